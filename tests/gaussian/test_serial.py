"""Rows whose residuals are correlated within series: one dense normal distribution, its gradient, its draws."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hierbayes.engine.core.hyperparameters import CHOL, VALUE, constrain, prior_constant
from hierbayes.engine.core.problem import Block, Factor, PriorCode
from hierbayes.engine.core.shapes import bounded_row, constant_rows, matrix_rows
from hierbayes.engine.gaussian.collapsed import density_of
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.gaussian.serial import Serial, draw_serial, serialise
from hierbayes.structures import STRUCTURES

TIMES = np.array([0.0, 1.0, 2.0, 4.0, 5.0, 8.0])
SHAPES = {
    "ar1": np.concatenate([bounded_row(-1, 1, 1, 1, -1, 1), constant_rows(np.diff(TIMES))]),
    "homcs": bounded_row(0, 1, 1, 1, -0.2, 1),
    "us": matrix_rows(STRUCTURES["us"], 6, 1.0, None),
}


def problem_of(name: str) -> GaussianProblem:
    """Eleven series, each with some of the times, two with the same, in any order of rows."""
    rng = np.random.default_rng(1)
    times = [rng.permutation(6)[:size] for size in (6, 6, 1, 2, 3, 4, 5, 5, 4, 3)]
    times.append(times[3])
    codes = np.repeat(np.arange(11), [len(own) for own in times])
    order = rng.permutation(len(codes))
    codes, place = codes[order], np.concatenate(times)[order]
    X = np.column_stack([np.ones(len(codes)), rng.normal(size=(len(codes), 2))])
    effects = tuple(range(6))
    block = Block(name, effects, (0,) * 6, SHAPES[name])
    series = Factor(codes, np.eye(6)[place], 11, sd_priors=[(PriorCode.FIXED, 1, 0, 0)], structured=(block,))
    return GaussianProblem(
        5.0 + 2 * rng.normal(size=len(codes)),
        X,
        (),
        prior_mean=np.array([4.0, 0.0, 1.0]),
        prior_precision=np.array([0.1, 1.0, 0.5]),
        sigma_prior=(PriorCode.EXPONENTIAL, 0.5, 0, 0),
        centre=np.zeros(3),
        offset=rng.normal(size=len(codes)),
        series=series,
    )


def residual_covariance(
    problem: GaussianProblem, model: Serial, theta: np.ndarray
) -> tuple[np.ndarray, float]:
    """Of all rows at a theta, (n, n); and the log prior there."""
    memory, c = model.memory(), model.constants
    arguments = c.scales, c.scale_priors, c.factors, c.blocks, c.shapes
    prior = constrain(theta, *arguments, memory.scale, memory.shaped, memory.lams)
    root, place = np.tril(memory.lams[CHOL, 0]), np.argmax(problem.series.Z, axis=1)
    within = np.equal.outer(problem.series.codes, problem.series.codes)
    covariance = memory.scale[VALUE, 0] ** 2 * within * (root @ root.T)[np.ix_(place, place)]
    return covariance, prior + prior_constant(replace(problem, factors=(problem.series,), series=None))


@pytest.mark.parametrize("name", SHAPES)
def test_density_is_the_dense_normals(name):
    problem, rng = problem_of(name), np.random.default_rng(2)
    model = serialise(problem, moments(problem))
    density = density_of(model).evaluator()
    for _ in range(4):
        theta = rng.normal(scale=0.6, size=problem.n_theta)
        value, gradient = density(theta)
        covariance, prior = residual_covariance(problem, model, theta)
        spread = problem.X / problem.prior_precision @ problem.X.T
        mean = problem.offset + problem.X @ problem.prior_mean
        expected = stats.multivariate_normal.logpdf(problem.y, mean, spread + covariance) + prior
        assert value == pytest.approx(expected, abs=1e-8)
        found, step = gradient.copy(), 1e-5 * np.eye(len(theta))
        difference = [(density(theta + h)[0] - density(theta - h)[0]) / 2e-5 for h in step]
        np.testing.assert_allclose(found, difference, rtol=1e-5, atol=1e-6)


def test_coefficients_are_drawn_given_theta():
    problem = problem_of("ar1")
    about = moments(problem)
    model, theta, draws = serialise(problem, about), np.array([0.3, 0.9]), 40_000
    found = draw_serial(model, np.tile(theta, (draws, 1)), 1).values + about.reference.b
    covariance, _ = residual_covariance(problem, model, theta)
    weighed = np.linalg.solve(covariance, problem.X)
    spread = np.linalg.inv(problem.X.T @ weighed + np.diag(problem.prior_precision))
    right = weighed.T @ (problem.y - problem.offset) + problem.prior_precision * problem.prior_mean
    sds = np.sqrt(np.diagonal(spread))
    assert (np.abs(found.mean(axis=0) - spread @ right) < 4.5 * sds / draws**0.5).all()
    error = np.sqrt((np.outer(sds, sds) ** 2 + spread**2) / draws)
    assert (np.abs(np.cov(found.T) - spread) < 4.5 * error).all()
