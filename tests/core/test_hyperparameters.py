"""Priors, transforms and Jacobians of sds and correlations."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hierbayes.engine.core.hyperparameters import (
    CHOL,
    PRIOR,
    _shape,
    constrain,
    prior_constant,
    shape_constant,
    tail_transform,
    unconstrain,
)
from hierbayes.engine.core.problem import Block, Factor, PriorCode
from hierbayes.engine.core.shapes import normal_row
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.packing import Memory, Packed, pack
from hierbayes.engine.gaussian.problem import GaussianProblem
from tests.gaussian import problems as ref

ROWS = {
    PriorCode.EXPONENTIAL: (0.7, 0),
    PriorCode.HALF_NORMAL: (1.3, 0),
    PriorCode.HALF_STUDENT: (4.0, 2.5),
    PriorCode.HALF_CAUCHY: (1.7, 0),
    PriorCode.GAMMA: (2.5, 1.2),
    PriorCode.INVERSE_GAMMA: (3.0, 2.0),
    PriorCode.LOGNORMAL: (-0.3, 0.6),
    PriorCode.UNIFORM: (0.4, 3.0),
    PriorCode.HALF_FLAT: (0, 0),
}


def test_every_density_of_a_scale_is_tested() -> None:
    """But for that of laws of levels, which models with Student levels have, and for those of joint priors.

    The densities of these, of several standard deviations together, are tested where the joint priors are.
    """
    assert {*ROWS, PriorCode.FIXED, PriorCode.TRUNCATED_GAMMA, PriorCode.JOINT} == set(PriorCode)


def prior_density(made: GaussianProblem) -> tuple[Callable[[np.ndarray], float], Memory]:
    """Return the log prior as a function of theta, and the memory that it fills."""
    return density_of(pack(made, moments(made), 0), made)


def density_of(packed: Packed, made: GaussianProblem) -> tuple[Callable[[np.ndarray], float], Memory]:
    c, memory, constant = packed.constants, packed.memory(), prior_constant(made)
    arguments = (
        c.scales,
        c.scale_priors,
        c.factors,
        c.blocks,
        c.shapes,
        memory.scale,
        memory.shaped,
        memory.lams,
    )
    return lambda theta: constant + constrain(np.asarray(theta, float), *arguments), memory


def constrained(made: GaussianProblem, theta: np.ndarray) -> tuple[float, Memory]:
    density, memory = prior_density(made)
    return density(theta), memory


def one_scale(code: PriorCode) -> GaussianProblem:
    """Return a problem whose sigma has the prior, with one group sd, flat."""
    made = replace(ref.PROBLEMS["q = 1"](), sigma_prior=(code, *ROWS[code], 0))
    return replace(made, factors=[replace(made.factors[0], sd_priors=[(PriorCode.HALF_FLAT, 0, 0, 0)])])


def correlated(k: int, eta: float) -> GaussianProblem:
    """Return a problem with one block of k effects and flat sds."""
    rng = np.random.default_rng(0)
    flat = [(PriorCode.HALF_FLAT, 0, 0, 0)]
    f = Factor(rng.integers(0, 5, 60), rng.normal(size=(60, k)), 5, (tuple(range(k)),), flat * k, (eta,))
    return ref.problem(rng, [f], sigma_prior=flat[0])


@pytest.mark.parametrize("code", ROWS)
@pytest.mark.parametrize("t", [-8.0, -1.0, 0.0, 0.4, 3.0])
def test_scale_prior_is_scipys_with_its_jacobian(code: PriorCode, t: float) -> None:
    made = one_scale(code)
    theta = np.array([t, 0.0])
    assert constrained(made, theta)[0] == pytest.approx(ref.log_prior(made, theta), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("code", [code for code in ROWS if code is not PriorCode.HALF_FLAT])
def test_scale_prior_integrates_to_one(code: PriorCode) -> None:
    density, _ = prior_density(one_scale(code))
    grid = np.linspace(-40, 40, 16001)
    assert np.sum([np.exp(density([t, 0.0])) for t in grid]) * (grid[1] - grid[0]) == pytest.approx(
        1.0, abs=1e-6
    )


@pytest.mark.parametrize(("knee", "rate"), [(-0.5, 2.0), (3.0, 0.4), (-2.0, 8.0)])
def test_tail_transform_rises_as_its_slope_says(knee: float, rate: float) -> None:
    for t in (-30.0, -3.0, -0.6, 0.0, 2.5, 20.0):
        s, slope, turn = tail_transform(t, knee, rate)
        assert s == pytest.approx(t - np.logaddexp(0, rate * (knee - t)) ** 2 / 2)
        before, after = tail_transform(t - 1e-5, knee, rate), tail_transform(t + 1e-5, knee, rate)
        assert slope == pytest.approx((after[0] - before[0]) / 2e-5, rel=1e-7)
        assert turn == pytest.approx((np.log(after[1]) - np.log(before[1])) / 2e-5, abs=1e-7)
    assert tail_transform(1.7, knee, 0.0) == (1.7, 1.0, 0.0)


@pytest.mark.parametrize("code", [PriorCode.EXPONENTIAL, PriorCode.GAMMA, PriorCode.UNIFORM])
def test_bent_scale_keeps_its_prior(code: PriorCode) -> None:
    """The share of draws below a value is the same in bent coordinates: both integrate to it."""
    made = one_scale(code)
    plain, bent = (
        pack(made, moments(made), 0).with_tails(np.array([[0.4, rate], [0, 0]])) for rate in (0.0, 1.5)
    )
    shares = []
    for packed in (plain, bent):
        density, memory = density_of(packed, made)
        grid = np.linspace(-40, 40, 16001)
        height, value = np.empty(grid.size), np.empty(grid.size)
        for i, t in enumerate(grid):
            height[i] = np.exp(density([t, 0.0]))
            value[i] = memory.scale[0, 0]
        shares.append([height[value < limit].sum() * (grid[1] - grid[0]) for limit in (0.5, 1.2, np.inf)])
    np.testing.assert_allclose(shares[0], shares[1], atol=5e-3)
    assert shares[1][2] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("eta", [0.5, 1.0, 2.0, 7.5])
def test_correlations_have_the_lkj_density(k: int, eta: float) -> None:
    made = correlated(k, eta)
    theta = ref.random_theta(made, k)
    value, memory = constrained(made, theta)
    assert value == pytest.approx(ref.log_prior(made, theta), rel=1e-8)
    chol = memory.lams[CHOL, 0]
    np.testing.assert_allclose(chol @ chol.T, ref.natural(made, theta).cors[0], atol=1e-13)
    np.testing.assert_array_equal(np.triu(chol, 1), 0.0)


@pytest.mark.parametrize(("k", "eta"), [(2, 1.0), (3, 2.0), (5, 1.5)])
def test_lkj_marginals_are_the_known_beta(k: int, eta: float) -> None:
    """Draw partial correlations from the density in theta by importance weights; compare E[ρ²] of each pair.

    A correlation of an LKJ matrix is 2 Beta(a, a) - 1 with a = eta - 1 + k/2, so E[ρ²] = 1/(2a + 1).
    """
    made = correlated(k, eta)
    rng = np.random.default_rng(1)
    start = 1 + k
    draws = rng.logistic(scale=0.5, size=(40_000, made.n_theta))
    density, memory = prior_density(made)
    weights, squares = np.empty(len(draws)), np.empty((len(draws), k, k))
    for i, theta in enumerate(draws):
        theta[:start] = 0.0
        value = density(theta)
        z = theta[start:] / 0.5
        weights[i] = np.exp(value + np.sum(np.abs(z) + 2 * np.log1p(np.exp(-np.abs(z))) + np.log(0.5)))
        squares[i] = (memory.lams[CHOL, 0] @ memory.lams[CHOL, 0].T) ** 2
    error = weights.std() / np.sqrt(len(draws))
    assert abs(weights.mean() - 1.0) < 4 * error  # the density is normalised
    expected = 1 / (2 * (eta - 1 + k / 2) + 1)
    for i in range(k):
        for j in range(i):
            terms = weights * (squares[:, i, j] - expected)
            assert abs(terms.mean()) < 4 * terms.std() / np.sqrt(len(draws))


@pytest.mark.parametrize("t", [-40.0, -3.0, -0.2, 0.0, 1.1, 9.0, 40.0])
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.2, 0.9)])
@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 0.5), (-3.0, 0.2)])
def test_normal_between_bounds_is_scipys_with_its_jacobian(t, bounds, mu, sigma) -> None:
    low, high = bounds
    row, out = normal_row(low, high, mu, sigma, -1.0, 1.0), np.zeros(7)
    block, flat = Block("ar1", (0, 1), (0, 1), row), [(PriorCode.HALF_FLAT, 0, 0, 0)] * 2
    factor = Factor(np.zeros(1, np.int64), np.ones((1, 2)), 1, sd_priors=np.array(flat), structured=(block,))
    constant = shape_constant(factor)
    found = _shape(t, row[0], out) + constant
    near, far = -np.logaddexp(0.0, -t), -np.logaddexp(0.0, t)
    x = low + (high - low) * np.exp(near)
    above = stats.norm.logcdf((high - mu) / sigma) if mu > low else stats.norm.logsf((low - mu) / sigma)
    below = stats.norm.logcdf((low - mu) / sigma) if mu > low else stats.norm.logsf((high - mu) / sigma)
    mass = above + np.log1p(-np.exp(below - above))
    expected = stats.norm.logpdf(x, mu, sigma) - mass + np.log(high - low) + near + far
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)
    slope = (_shape(t + 1e-5, row[0], out) - _shape(t - 1e-5, row[0], out)) / 2e-5
    _shape(t, row[0], out)
    assert out[PRIOR] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_extreme_partial_correlations_stay_finite() -> None:
    made = correlated(3, 2.0)
    theta = np.zeros(made.n_theta)
    theta[-3:] = [40.0, -300.0, 25.0]
    value, memory = constrained(made, theta)
    assert np.isfinite(value)
    assert np.all(np.isfinite(memory.lams))


@pytest.mark.parametrize("code", ROWS)
def test_unconstrain_inverts_the_transform(code: PriorCode) -> None:
    prior = np.array([code, *ROWS[code], 0.0])
    made = replace(ref.PROBLEMS["q = 1"](), sigma_prior=prior)
    theta = np.array([unconstrain(1.1, prior), 0.0])
    assert constrained(made, theta)[1].scale[0, 0] == pytest.approx(1.1)
    if code is PriorCode.UNIFORM:
        assert np.isfinite(unconstrain(99.0, prior))


@pytest.mark.parametrize(
    ("code", "a", "b"), [(0, 0, 0), (2, 3, -1), (6, 0, 0), (7, 2, 1), (7, -1, 1), (9, 0, 0)]
)
def test_prior_without_a_density_is_refused(code: int, a: float, b: float) -> None:
    with pytest.raises(ValueError, match=PriorCode(code).name):
        replace(ref.PROBLEMS["q = 1"](), sigma_prior=(code, a, b, 0))
