"""Draws as flat arrays: parts of them, and fewer of them."""

import numpy as np

from hierbayes.answers.draws import Draws


def numbered(chains: int, draws: int) -> Draws:
    """Draws whose values say which chain and which draw they are."""
    chain, draw = np.divmod(np.arange(chains * draws), draws)
    return Draws({"b": np.column_stack([chain, draw]), "sigma": 1000.0 * chain + draw}, chains, draws)


def test_thinned_draws_are_evenly_spaced_in_every_chain():
    for chains, most in ((4, 100), (3, 12), (4, 3), (1, 7)):
        draws = numbered(chains, 250).thinned(most)
        each = max(1, most // chains)
        assert (draws.chains, draws.draws, len(draws)) == (chains, each, chains * each)
        b = draws.values["b"].reshape(chains, each, 2)
        np.testing.assert_array_equal(b[..., 0], np.repeat(np.arange(chains), each).reshape(chains, each))
        np.testing.assert_array_equal(b[..., 1], np.broadcast_to(b[0, :, 1], (chains, each)))
        if each > 1:
            assert (b[0, 0, 1], b[0, -1, 1]) == (0, 249)
            assert np.ptp(np.diff(b[0, :, 1])) <= 1
        np.testing.assert_array_equal(draws.values["sigma"], draws.values["b"] @ [1000, 1])


def test_few_draws_are_left_as_they_are():
    draws = numbered(2, 10)
    assert draws.thinned(20) is draws
    assert draws.thinned(10**6) is draws
