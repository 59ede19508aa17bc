"""Rotated rows: the same density and, turned back, the same effects as dense normal distributions have."""

from dataclasses import replace

import numpy as np
import pytest

from hierbayes.engine.core.problem import Block, Factor, Floats, PriorCode
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.gaussian.rotation import MOST_BESIDE, can_rotate, rotate

PRIOR = np.array([PriorCode.EXPONENTIAL, 1.0, 0.0, 0.0])
Q = 9


def problem_of(
    n: int, blocks: tuple[tuple[int, ...], ...] = tuple((j,) for j in range(Q))
) -> GaussianProblem:
    rng = np.random.default_rng(n)
    structured = tuple(Block("diag", block, (0,) * len(block), np.zeros((0, 8))) for block in blocks)
    factor = Factor(
        np.zeros(n, int), rng.normal(size=(n, Q)), 1, sd_priors=PRIOR[None], structured=structured
    )
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    return GaussianProblem(
        1e3 + rng.normal(size=n),
        X,
        [factor],
        np.array([990.0, 0.3]),
        np.array([0.01, 0.5]),
        PRIOR,
        np.zeros(2),
        offset=rng.normal(size=n),
    )


def columns_of(problem: GaussianProblem) -> Floats:
    """All effects' columns, level by level: (n, levels · q)."""
    (factor,) = problem.factors
    columns = np.zeros((len(problem.y), factor.n_levels, factor.q))
    columns[np.arange(len(problem.y)), factor.codes] = factor.Z
    return columns.reshape(len(problem.y), -1)


def dense(problem: GaussianProblem, sd: float, sigma: float, b: Floats) -> tuple[float, Floats]:
    """The log density of y with b integrated out, and the effects' mean given b."""
    Z, offset = columns_of(problem), 0.0 if problem.offset is None else problem.offset
    y, noise = problem.y - offset, sigma**2 * np.eye(len(problem.y))
    covariance = sd**2 * Z @ Z.T + noise
    means = sd**2 * Z.T @ np.linalg.solve(covariance, y - problem.X @ b)
    covariance = covariance + (problem.X / problem.prior_precision) @ problem.X.T
    left = y - problem.X @ problem.prior_mean
    logs = len(y) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1]
    return -0.5 * (logs + left @ np.linalg.solve(covariance, left)), means


@pytest.mark.parametrize("n", [5, Q, Q + 2, Q + 5, 60])  # fewer rows than effects, a few more, many more
def test_density_and_effects_are_those_of_the_rows_as_they_were(n):
    problem = problem_of(n)
    assert can_rotate(problem)
    rotated, b = rotate(problem), np.array([995.0, 0.2])
    for sd, sigma in ((0.5, 1.2), (2.0, 0.3)):
        density, effects = dense(problem, sd, sigma, b)
        found, turned = dense(rotated.problem, sd, sigma, b - rotated.fitted)
        np.testing.assert_allclose(found, density, rtol=1e-10)
        np.testing.assert_allclose(turned @ rotated.back, effects, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("n", [5, 20, 60])
@pytest.mark.parametrize("first", [True, False])
def test_few_effects_of_other_factors_are_rotated_with_the_rows(n, first):
    """Two uncorrelated effects with sds of their own, in front of the related levels or behind."""
    problem, rng = problem_of(n), np.random.default_rng(n + 1)
    other = Factor(
        rng.integers(4, size=n),
        rng.normal(size=(n, 2)),
        4,
        structured=tuple(Block("diag", (j,), (j,), np.zeros((0, 8))) for j in (0, 1)),
        sd_priors=np.stack([PRIOR, PRIOR]),
    )
    factors = [other, *problem.factors] if first else [*problem.factors, other]
    both = replace(problem, factors=factors)
    assert can_rotate(both)
    rotated = rotate(both)
    place = 1 if first else 0
    assert rotated.place == place
    sds, sigma, b = {"related": 0.7, "other": np.array([1.5, 0.4])}, 0.8, np.array([995.0, 0.2])

    def normal(one: GaussianProblem, means: Floats) -> tuple[float, Floats, Floats]:
        columns = [factor.Z if factor.n_levels == 1 else _dense(factor) for factor in one.factors]
        variances = [np.full(columns[place].shape[1], sds["related"] ** 2)]
        variances.insert(1 - place, np.tile(sds["other"] ** 2, 4))
        Z, v = np.hstack(columns), np.concatenate(variances)
        y = one.y - (0.0 if one.offset is None else one.offset)
        noise = (Z * v) @ Z.T + sigma**2 * np.eye(n)
        effects = v * (Z.T @ np.linalg.solve(noise, y - one.X @ means))
        whole = noise + (one.X / one.prior_precision) @ one.X.T
        left = y - one.X @ one.prior_mean
        logs = n * np.log(2 * np.pi) + np.linalg.slogdet(whole)[1]
        split = columns[0].shape[1]
        return -0.5 * (logs + left @ np.linalg.solve(whole, left)), effects[:split], effects[split:]

    density, *effects = normal(both, b)
    found, *turned = normal(rotated.problem, b - rotated.fitted)
    np.testing.assert_allclose(found, density, rtol=1e-10)
    np.testing.assert_allclose(turned[place] @ rotated.back, effects[place], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(turned[1 - place], effects[1 - place], rtol=1e-8, atol=1e-8)


def _dense(factor: Factor) -> Floats:
    columns = np.zeros((len(factor.codes), factor.n_levels, factor.q))
    columns[np.arange(len(factor.codes)), factor.codes] = factor.Z
    return columns.reshape(len(factor.codes), -1)


def test_many_effects_weights_and_correlated_effects_stay_as_they_are():
    problem = problem_of(20)
    (factor,) = problem.factors
    many = Factor(
        np.arange(20) % 10,
        np.ones((20, 1)),
        MOST_BESIDE + 1,
        structured=(Block("diag", (0,), (0,), np.zeros((0, 8))),),
        sd_priors=PRIOR[None],
    )
    assert can_rotate(replace(problem, factors=(factor, replace(many, n_levels=MOST_BESIDE))))
    assert not can_rotate(replace(problem, factors=(factor, many)))
    pair = Factor(
        np.arange(20) % 4,
        np.ones((20, 2)),
        4,
        blocks=((0, 1),),
        sd_priors=np.stack([PRIOR, PRIOR]),
        eta=(1.0,),
    )
    assert not can_rotate(replace(problem, factors=(factor, pair)))
    assert not can_rotate(replace(problem, weights=np.ones(20)))
    assert not can_rotate(replace(problem, factors=()))
    assert not can_rotate(problem_of(20, (tuple(range(Q)),)))
