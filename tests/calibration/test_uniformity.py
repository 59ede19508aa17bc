"""The yardstick itself: exact for uniform ranks, sharp for others."""

import numpy as np
import pytest

from tests.calibration.uniformity import bands, counts, coverage, p_value, points, tail_probabilities

N, KEPT = 60, 29


def test_coverage_is_what_simulation_gives():
    rng = np.random.default_rng(1)
    ranks = rng.integers(0, KEPT + 1, (4000, N))
    below = np.array([counts(row, KEPT) for row in ranks])
    smallest = tail_probabilities(N, KEPT)[np.arange(KEPT), below].min(axis=1)
    for tail in (0.002, 0.01, 0.05, 0.2):
        share = np.mean(smallest > tail)
        expected = coverage(N, KEPT, tail)
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)


def test_bands_hold_the_share_they_promise():
    rng = np.random.default_rng(2)
    lower, upper = bands(N, KEPT, 0.9)
    paths = np.array([counts(row, KEPT) for row in rng.integers(0, KEPT + 1, (4000, N))]) / N
    share = np.mean(((paths >= lower) & (paths <= upper)).all(axis=1))
    # counts are whole, so a band keeps a little more than asked, never less
    assert 0.9 - 4 * np.sqrt(0.9 * 0.1 / 4000) < share < 0.93
    assert (lower <= points(KEPT)).all()
    assert (upper >= points(KEPT)).all()


SPOILT = {
    "biased": lambda u: u**1.6,
    "too wide": lambda u: 0.5 + 0.75 * (u - 0.5),
    "too narrow": lambda u: 0.5 + np.sign(u - 0.5) * np.abs(2 * u - 1) ** 0.5 / 2,
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_wrong_posterior_is_seen(spoilt):
    u = np.random.default_rng(3).random(200)
    assert p_value((SPOILT[spoilt](u) * 201).astype(int), 200) < 0.001


def test_uniform_ranks_pass():
    assert p_value(np.random.default_rng(3).integers(0, 201, 200), 200) > 0.05
