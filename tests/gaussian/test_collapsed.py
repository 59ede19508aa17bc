"""Choosing the primary factor, the starting standardisation, and one short run of NUTS."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from hierbayes.answers.convergence import ess_mean
from hierbayes.engine.core.density import Density
from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.nuts import sample_nuts
from hierbayes.engine.core.problem import PriorCode
from hierbayes.engine.gaussian.collapsed import HARMONIC, density_of, prepare, rough_start, sample
from hierbayes.engine.gaussian.moments import moments
from tests.gaussian.problems import PROBLEMS, problem

ENGINE = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "name", ["q = 3", "nested", "three crossed", "other priors", "no factor", "two levels"]
)
def test_frame_makes_the_posterior_standard(name: str) -> None:
    packed, _ = prepare(PROBLEMS[name]())
    evaluate = density_of(packed).evaluator()
    top, slope = evaluate(np.zeros(packed.n_theta))
    np.testing.assert_allclose(slope, 0.0, atol=1e-3)
    for i in range(packed.n_theta):
        for sign in (-1.0, 1.0):
            drop = top - evaluate(sign * np.eye(packed.n_theta)[i])[0]
            assert 0.02 < drop < 3.0  # of a standard normal: 0.5


def test_rough_start_can_be_evaluated_for_extreme_data() -> None:
    made = PROBLEMS["q = 2"]()
    for y in (np.zeros(60), made.y * 1e-12, made.y * 1e12):
        changed = replace(made, y=y)
        packed, m = prepare(changed)
        assert np.all(np.isfinite(rough_start(changed, m)))
        assert np.isfinite(density_of(packed).evaluator()(np.zeros(packed.n_theta))[0])


def test_sample_returns_draws_on_the_natural_scale() -> None:
    made = PROBLEMS["two crossed, slopes"]()
    uniform = (PriorCode.UNIFORM, 0.1, 2.0, 0)
    made = replace(made, sigma_prior=uniform)
    runs = [sample(made, draws=40, tune=50, chains=2, seed=5, cores=cores) for cores in (1, 2)]
    draws = runs[0]
    assert draws.sigma.shape == (2, 40)
    assert draws.b.shape == (2, 40, 3)
    assert [sd.shape for sd in draws.sd] == [(2, 40, 2), (2, 40, 3)]
    assert [cor.shape for cor in draws.cor] == [(2, 40, 2, 2), (2, 40, 3, 3)]
    assert [r.shape for r in draws.r] == [(2, 40, 6, 2), (2, 40, 5, 3)]
    assert draws.theta.shape == (2, 40, made.n_theta)
    assert np.all((draws.sigma > 0.1) & (draws.sigma < 2.0))
    np.testing.assert_array_equal(np.diagonal(draws.cor[1], axis1=-2, axis2=-1), 1.0)
    assert np.all(np.linalg.eigvalsh(draws.cor[1]) > 0)
    assert draws.statistics["diverging"].shape == (2, 40)
    for name in ("sigma", "b", "theta"):  # same seed, same draws, whatever the cores
        np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))


def test_posterior_of_one_sd_is_that_by_quadrature() -> None:
    """Known sigma (a narrow prior) leaves one free sd: its posterior mean by a sum over a grid."""
    made = PROBLEMS["q = 1"]()
    made = replace(made, sigma_prior=(PriorCode.LOGNORMAL, 0.0, 1e-3, 0))
    evaluate = density_of(replace_frame(made)).evaluator()
    grid = np.linspace(-6, 4, 2001)
    density = np.array([evaluate(np.array([0.0, t]))[0] for t in grid])
    weights = np.exp(density - density.max())
    expected = np.average(np.exp(grid), weights=weights)
    sd = np.sqrt(np.average((np.exp(grid) - expected) ** 2, weights=weights))
    draws = sample(made, draws=1000, chains=2, tune=200, seed=1).sd[0]
    # at least 500 effective draws: NUTS on one whitened number has more draws than it needs
    assert abs(draws.mean() - expected) < 4 * sd / np.sqrt(500)


def replace_frame(made):
    packed, _ = prepare(made)
    plain = packed.with_tails(np.zeros((len(packed.constants.scales), 2)))
    return plain.standardised(np.zeros(packed.n_theta), np.eye(packed.n_theta))


@compiled
def log_gamma(position, gradient, shape):
    total = 0.0
    for i in range(position.size):
        total += shape[0] * position[i] - np.exp(position[i])
        gradient[i] = shape[0] - np.exp(position[i])
    return total


def test_harmonic_trajectories_draw_from_any_density() -> None:
    """Logarithms of Gamma(3) draws: skewed, neither about 0 nor of sd 1, with known mean and variance."""

    dim = 60
    found = sample_nuts(
        Density(log_gamma, dim, (np.array([3.0]),), tuple),
        start=lambda seed: np.random.default_rng(seed).uniform(-2, 2, dim),
        draws=1000,
        tune=200,
        chains=2,
        cores=2,
        seed=1,
        target_accept=0.9,
        **HARMONIC,
    )
    draws = found.positions.reshape(-1, dim)
    assert found.statistics["step_size"].max() <= 1.1 * HARMONIC["max_step_size"]
    effective = 30_000  # over all coordinates, of 120,000: they are alike
    mean, variance = special.digamma(3), special.polygamma(1, 3)
    assert abs(draws.mean() - mean) < 4 * np.sqrt(variance / effective)
    fourth = special.polygamma(3, 3) + 2 * variance**2  # of (t - mean)², its variance
    assert abs(np.mean((draws - mean) ** 2) - variance) < 4 * np.sqrt(fourth / effective)
    third = special.polygamma(2, 3)
    assert np.mean((draws - mean) ** 3) == pytest.approx(third, rel=0.15)


def test_moments_can_stand_for_the_rows() -> None:
    made = PROBLEMS["nested"]()
    m = moments(made)
    for got, expected in zip(prepare(made, m)[0].constants, prepare(made)[0].constants, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_import_stays_cheap() -> None:
    heavy = ("pymc", "pytensor", "arviz", "arviz_stats", "nutpie", "matplotlib")
    code = f"import sys, hierbayes.engine.gaussian.collapsed; print([m for m in {heavy} if m in sys.modules])"
    assert run(code) == "[]"


def test_sampling_leaves_arviz_alone_and_usable() -> None:
    code = (
        "import sys; from hierbayes.engine.core.nuts import _import_nutpie; nutpie = _import_nutpie();"
        "before = 'arviz' in sys.modules; import arviz; print(before, callable(arviz.summary),"
        "callable(nutpie.sample.__globals__['arviz'].from_dict))"
    )
    assert run(code) == "False True True"


def run(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ENGINE)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("p", [6, 9])
def test_as_many_columns_as_rows_and_more(p: int) -> None:
    """No residual is left by least squares; the posterior of sigma, by a grid of dense normal densities, is proper."""
    rng = np.random.default_rng(61)
    made = problem(rng, [], p=p, n=6, prior_precision=np.full(p, 0.3))
    X, mean = made.X - made.centre, made.prior_mean
    logs = np.linspace(-9.0, 4.0, 2001)
    density = np.array(
        [
            stats.multivariate_normal(X @ mean, X @ X.T / 0.3 + np.exp(2 * t) * np.eye(6)).logpdf(made.y)
            + stats.halfnorm(scale=2.0).logpdf(np.exp(t))
            + t
            for t in logs
        ]
    )
    weights = np.exp(density - density.max())
    expected = float(weights @ np.exp(logs) / weights.sum())
    sd = float(np.sqrt(weights @ np.exp(2 * logs) / weights.sum() - expected**2))
    sigma = sample(made, draws=1000, seed=5).sigma
    error = sd / np.sqrt(ess_mean(sigma[..., None])[0])
    assert abs(sigma.mean() - expected) < 5 * error < 0.2 * sd
