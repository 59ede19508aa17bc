"""Rows whose residuals are correlated within series: one dense normal distribution, its gradient, its draws."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hierbayes.engine.core.hyperparameters import CHOL, LAM, VALUE, constrain, prior_constant
from hierbayes.engine.core.problem import Block, Factor, PriorCode
from hierbayes.engine.core.shapes import bounded_row, constant_rows, matrix_rows
from hierbayes.engine.gaussian.collapsed import density_of
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.problem import GaussianProblem, LogSigma
from hierbayes.engine.gaussian.serial import Serial, draw_serial, merged, serialise, series_of
from hierbayes.structures import STRUCTURES

TIMES = np.array([0.0, 1.0, 2.0, 4.0, 5.0, 8.0])
SHAPES = {
    "ar1": np.concatenate([bounded_row(-1, 1, 1, 1, -1, 1), constant_rows(np.diff(TIMES))]),
    "homcs": bounded_row(0, 1, 1, 1, -0.2, 1),
    "us": matrix_rows(STRUCTURES["us"], 6, 1.0, None),
}


EXPONENTIAL = (PriorCode.EXPONENTIAL, 0.5, 0, 0)


def problem_of(name: str, effects: int = 0, logs: int = 0, copies: int = 1) -> GaussianProblem:
    """Eleven series a copy, each with some of the times, two with the same, in any order of rows.

    Two or three series a level of a factor with so many effects; log sigma has so many coefficients.
    """
    rng = np.random.default_rng(1)
    times = [rng.permutation(6)[:size] for size in (6, 6, 1, 2, 3, 4, 5, 5, 4, 3)]
    times = [*times, times[3]] * copies
    codes = np.repeat(np.arange(len(times)), [len(own) for own in times])
    order = rng.permutation(len(codes))
    codes, place = codes[order], np.concatenate(times)[order]
    n = len(codes)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    block = Block(name, tuple(range(6)), (0,) * 6, SHAPES[name])
    series = Factor(
        codes, np.eye(6)[place], len(times), sd_priors=[(PriorCode.FIXED, 1, 0, 0)], structured=(block,)
    )
    levels, log_sigma = (), None
    if effects:
        z, scales = rng.normal(size=(n, effects)), [EXPONENTIAL] * effects
        own = tuple(range(effects))
        correlated = Block("us", own, own, matrix_rows(STRUCTURES["us"], effects, 2.0, None))
        levels = (Factor(codes % 5, z, 6, sd_priors=scales, structured=(correlated,)),)  # one without rows
    if logs:
        priors = [(PriorCode.LOGNORMAL, 0.3, 1.5, 0)] * logs
        of_times = np.eye(6)[place][:, :logs] if logs > 1 else np.ones((n, 1))
        log_sigma = LogSigma(of_times, 0.1 * place, np.array(priors, np.float64))
    return GaussianProblem(
        5.0 + 2 * rng.normal(size=n),
        X,
        levels,
        prior_mean=np.array([4.0, 0.0, 1.0]),
        prior_precision=np.array([0.1, 1.0, 0.5]),
        sigma_prior=EXPONENTIAL,
        centre=np.zeros(3),
        offset=rng.normal(size=n),
        series=series,
        log_sigma=log_sigma,
    )


def covariance_of(problem: GaussianProblem, model: Serial, theta: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of all rows at a theta, of residuals and of effects: (n, n), (n, n), their Λ; and the log prior there."""
    memory, c = model.memory(), model.constants
    arguments = c.scales, c.scale_priors, c.factors, c.blocks, c.shapes
    prior = constrain(theta, *arguments, memory.scale, memory.shaped, memory.lams)
    root, place = np.tril(memory.lams[CHOL, -1])[:6, :6], np.argmax(problem.series.Z, axis=1)
    within = np.equal.outer(problem.series.codes, problem.series.codes)
    sigma = np.full(len(place), memory.scale[VALUE, 0])
    if problem.log_sigma is not None:
        own = memory.scale[VALUE, : len(problem.own_priors)]
        sigma = np.exp(problem.log_sigma.columns @ np.log(own) + problem.log_sigma.offset)
    residual = np.outer(sigma, sigma) * within * (root @ root.T)[np.ix_(place, place)]
    effects, lam = np.zeros(residual.shape), np.zeros((0, 0))
    for f in problem.factors:
        lam = np.tril(memory.lams[LAM, 0])[: f.q, : f.q]
        effects = np.equal.outer(f.codes, f.codes) * (f.Z @ lam @ lam.T @ f.Z.T)
    factors = (*problem.factors, problem.series)
    return residual, effects, lam, prior + prior_constant(replace(problem, factors=factors, series=None))


def expected(problem: GaussianProblem, model: Serial, theta: np.ndarray) -> float:
    """The log density by scipy."""
    residual, effects, _, prior = covariance_of(problem, model, theta)
    spread = problem.X / problem.prior_precision @ problem.X.T
    mean = problem.offset + problem.X @ problem.prior_mean
    return stats.multivariate_normal.logpdf(problem.y, mean, spread + residual + effects) + prior


CASES = [(name, 0, 0) for name in SHAPES] + [("ar1", 1, 0), ("us", 2, 0), ("homcs", 5, 0)]
CASES += [("us", 0, 6), ("ar1", 0, 1), ("ar1", 2, 3)]


@pytest.mark.parametrize(("name", "effects", "logs"), CASES)
def test_density_is_the_dense_normals(name, effects, logs):
    problem, rng = problem_of(name, effects, logs), np.random.default_rng(2)
    model = serialise(problem, moments(problem))
    density = density_of(model).evaluator()
    for _ in range(4):
        theta = rng.normal(scale=0.6, size=problem.n_theta)
        value, gradient = density(theta)
        assert value == pytest.approx(expected(problem, model, theta), abs=1e-8)
        found, step = gradient.copy(), 1e-5 * np.eye(len(theta))
        difference = [(density(theta + h)[0] - density(theta - h)[0]) / 2e-5 for h in step]
        np.testing.assert_allclose(found, difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("effects", "logs"), [(0, 0), (0, 6), (2, 0)])
def test_series_of_the_same_times_are_merged(effects, logs):
    """40 copies of eleven series have as many made-up ones as those of few times have numbers; the density stays."""
    problem, theta = problem_of("ar1", effects, logs, copies=40), np.full(20, 0.3)
    theta = theta[: problem.n_theta]
    about = moments(problem)
    found, width = series_of(problem, about), effects + 4
    few = merged(found, width)
    assert len(few) < len(found)
    assert sum(one.stands_for for one in few) == len(found) == 440
    model = serialise(problem, about)
    assert density_of(model).evaluator()(theta)[0] == pytest.approx(
        expected(problem, model, theta), rel=1e-10
    )


@pytest.mark.parametrize("effects", [0, 1])
@pytest.mark.parametrize("end", [-1, 1])
def test_density_at_the_ends_of_correlations(end, effects):
    """Of ρ 1e-7 from ±1, and effects' sd next to 0; the gradient by differences of logarithms."""
    problem = problem_of("ar1", effects)
    model = serialise(problem, moments(problem))
    density = density_of(model).evaluator()
    theta = np.array([2.0, *[-12.0] * effects, end * 17.0])
    value, gradient = density(theta)
    assert value == pytest.approx(expected(problem, model, theta), rel=1e-5)
    found, step = gradient.copy(), 1e-4 * np.eye(len(theta))
    difference = [(density(theta + h)[0] - density(theta - h)[0]) / 2e-4 for h in step]
    np.testing.assert_allclose(found, difference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("effects", [0, 2])
def test_coefficients_are_drawn_given_theta(effects):
    """And effects, those of the level without rows among them: their mean and covariance."""
    problem = problem_of("ar1", effects)
    about = moments(problem)
    model, draws = serialise(problem, about), 40_000
    theta = np.array([0.3, *[0.2, -0.4, 0.5][: 3 if effects else 0], 0.9])
    found = draw_serial(model, np.tile(theta, (draws, 1)), 1).values
    found[:, :3] += about.reference.b
    residual, _, lam, _ = covariance_of(problem, model, theta)
    W, precision = problem.X, np.diag(problem.prior_precision)
    prior = np.append(problem.prior_precision * problem.prior_mean, np.zeros(6 * effects))
    for f in problem.factors:
        z = np.zeros((len(W), 6, f.q))
        z[np.arange(len(W)), f.codes] = f.Z
        W = np.column_stack([W, z.reshape(len(W), -1)])
        inner = np.kron(np.eye(6), np.linalg.inv(lam @ lam.T))
        precision = np.block([[precision, np.zeros((3, len(inner)))], [np.zeros((len(inner), 3)), inner]])
    weighed = np.linalg.solve(residual, W)
    spread = np.linalg.inv(W.T @ weighed + precision)
    right = weighed.T @ (problem.y - problem.offset) + prior
    sds = np.sqrt(np.diagonal(spread))
    assert (np.abs(found.mean(axis=0) - spread @ right) < 4.5 * sds / draws**0.5).all()
    error = np.sqrt((np.outer(sds, sds) ** 2 + spread**2) / draws)
    assert (np.abs(np.cov(found.T) - spread) < 4.5 * error).all()
