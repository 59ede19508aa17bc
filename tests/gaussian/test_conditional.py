"""Draws of all coefficients given theta against the dense conditional distribution."""

import numpy as np
import pytest

from hierbayes.engine.gaussian.collapsed import complete
from hierbayes.engine.gaussian.conditional import draw_coefficients
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.packing import pack
from tests.gaussian import problems as ref
from tests.gaussian.problems import PROBLEMS

DRAWS = 20_000


@pytest.mark.parametrize(
    ("name", "primary"),
    [
        ("no factor", -1), ("q = 1", 0), ("q = 3", 0), ("two blocks", 0), ("nested", 0), ("nested", 1),
        ("two crossed, slopes", 0), ("two crossed, slopes", 1), ("three crossed", 1), ("weights and offset", 0),
        ("one row a level", 0), ("slope constant within levels", 0), ("empty levels", 0), ("no intercept", 0),
    ],
)  # fmt: skip
def test_draws_have_the_conditional_mean_and_covariance(name: str, primary: int) -> None:
    made = PROBLEMS[name]()
    m = moments(made)
    theta = ref.random_theta(made, 1)
    mean, covariance = ref.conditional(made, ref.natural(made, theta))
    drawn = draw_coefficients(pack(made, m, primary), np.repeat(theta[None], DRAWS, 0), seed=3).values
    drawn[:, : made.X.shape[1]] += m.reference.b
    variance = np.diag(covariance)
    z = (drawn.mean(0) - mean) / np.sqrt(variance / DRAWS)
    assert np.abs(z).max() < 4.5
    spread = np.sqrt((np.outer(variance, variance) + covariance**2) / DRAWS)
    z = (np.cov(drawn.T) - covariance) / spread
    assert np.abs(z).max() < 5.5  # of up to 18 000 entries
    assert np.sqrt((z**2).mean()) == pytest.approx(1.0, abs=0.25)


def test_sd_of_zero_gives_effects_of_zero() -> None:
    made = PROBLEMS["two crossed"]()
    theta = np.array([0.0, -800.0, -800.0])
    drawn = draw_coefficients(pack(made, moments(made), 0), theta[None], seed=1).values
    np.testing.assert_array_equal(drawn[0, 3:], 0.0)
    assert np.all(np.isfinite(drawn))


def test_draws_follow_the_seed_and_not_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hierbayes.engine.gaussian.conditional.BATCH", 100)
    made = PROBLEMS["three crossed"]()
    packed = pack(made, moments(made), 0)
    thetas = np.stack([ref.random_theta(made, seed) for seed in range(20)])
    first, second, other = (
        draw_coefficients(packed, thetas, seed, threads).values for seed, threads in ((1, 1), (1, 3), (2, 1))
    )
    np.testing.assert_array_equal(first, second)
    assert not np.any(first == other)


def test_results_are_on_the_users_scale() -> None:
    """Mean of many draws at one theta = dense mean, un-centred, split by factor, level and effect."""
    made = PROBLEMS["two crossed, slopes"]()
    m = moments(made)
    theta = ref.random_theta(made, 2)
    at = ref.natural(made, theta)
    mean, covariance = ref.conditional(made, at)
    thetas = np.broadcast_to(theta, (2, DRAWS // 2, theta.size))
    packed = pack(made, m, 0)
    draws = complete(made, packed, m.reference, thetas, {}, seed=1, threads=1)
    error = 5 * np.sqrt(np.diag(covariance).max() / DRAWS)
    intercept = mean[0] - made.centre[1:] @ mean[1:3]
    assert draws.b.mean((0, 1))[0] == pytest.approx(intercept, abs=20 * error)
    np.testing.assert_allclose(draws.b.mean((0, 1))[1:], mean[1:3], atol=error)
    # For each draw, the linear predictor is the same on both scales.
    centred = draws.b[..., 0] + draws.b @ made.centre
    assert centred.mean() == pytest.approx(mean[0], abs=error)
    start = 3
    for k, f in enumerate(made.factors):
        expected = mean[start : start + f.n_levels * f.q].reshape(f.n_levels, f.q)
        assert draws.r[k].shape == (2, DRAWS // 2, f.n_levels, f.q)
        np.testing.assert_allclose(draws.r[k].mean((0, 1)), expected, atol=error)
        np.testing.assert_allclose(draws.sd[k][0, 0], at.sds[k], rtol=1e-12)
        np.testing.assert_allclose(draws.cor[k][1, 3], at.cors[k], atol=1e-12)
        start += f.n_levels * f.q
    assert draws.sigma[0, 0] == pytest.approx(at.sigma)


def test_effects_can_be_left_out() -> None:
    made = PROBLEMS["nested"]()
    m = moments(made)
    packed = pack(made, m, 1)
    theta = np.stack([[ref.random_theta(made, seed) for seed in range(6)]])
    whole, part = (complete(made, packed, m.reference, theta, {}, 1, 1, effects) for effects in (True, False))
    np.testing.assert_array_equal(part.b, whole.b)
    assert (len(whole.r), part.r) == (2, ())
