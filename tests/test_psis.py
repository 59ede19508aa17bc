"""Pareto smoothing of many rows at once, against ArviZ's of one after the other."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import logsumexp

from hierbayes.answers.pareto import fit_pareto
from hierbayes.criticism.crossval import psis

RNG = np.random.default_rng(5)


def columns(draws: int) -> np.ndarray:
    """Log densities (S, k) from harmless to hopeless: −½ (y − mu)² of ever further outliers, and Student's t's."""
    mu = RNG.normal(size=(draws, 1))
    return np.column_stack([-0.5 * (np.linspace(0, 4, 30) - mu) ** 2, RNG.standard_t(3, size=(draws, 5))])


@pytest.mark.parametrize(("draws", "efficiency"), [(100, 1.0), (1000, 0.4), (4000, 1.2)])
def test_every_column_is_arvizs(draws, efficiency):
    values = columns(draws)
    logs, k = array_stats.psislw(np.ascontiguousarray(values.T), r_eff=efficiency, axis=-1)
    elpd, found, p = psis(values, efficiency)
    assert_allclose(found, k, rtol=1e-8)
    assert np.ptp(k) > 0.5
    want = logsumexp(logs.T + values, axis=0)
    assert_allclose(elpd, want, rtol=1e-9)
    assert_allclose(p, logsumexp(values, axis=0) - np.log(draws) - want, atol=1e-9)


def test_draws_that_repeat_each_other():
    values = np.repeat(columns(250), 4, axis=0)
    logs, k = array_stats.psislw(np.ascontiguousarray(values.T), r_eff=0.3, axis=-1)
    elpd, found, _ = psis(values, 0.3)
    assert_allclose(found, k, rtol=1e-8)
    assert_allclose(elpd, logsumexp(logs.T + values, axis=0), rtol=1e-9)


def test_the_distribution_that_is_fitted():
    x = np.sort(stats.genpareto(0.4, scale=2.0).rvs((50, 2000), random_state=1), axis=1)
    shape, scale = fit_pareto(x)
    assert abs(shape.mean() - 0.4) < 4 * shape.std() / np.sqrt(50) + 0.01
    assert abs(scale.mean() - 2.0) < 4 * scale.std() / np.sqrt(50) + 0.02


def test_tails_from_flat_to_endless_are_arvizs():
    """Excesses up to 10³⁰ times their quartile, one weight that is all, and weights that are all but equal."""
    steep = -RNG.exponential([3.0, 6.0, 12.0, 24.0], size=(1000, 4))
    one = np.where(np.arange(1000)[:, None] == 7, -40.0, RNG.normal(size=(1000, 1)) * 1e-3)
    values = np.column_stack([steep, one, RNG.normal(size=(1000, 2)) * 1e-6, -RNG.uniform(size=(1000, 1))])
    logs, k = array_stats.psislw(np.ascontiguousarray(values.T), r_eff=1.0, axis=-1)
    elpd, found, _ = psis(values, 1.0)
    assert_allclose(found, k, rtol=1e-7)
    assert_allclose(elpd, logsumexp(logs.T + values, axis=0), rtol=1e-9, atol=1e-12)


def test_far_apart_densities_neither_overflow_nor_vanish():
    values = np.column_stack(
        [np.linspace(-3000, 0, 1000), np.linspace(-1e-9, 0, 1000), np.repeat([-3000.0, 0], [9, 991])]
    )
    elpd, k, p = psis(values, 1.0)
    assert np.isfinite(elpd).all()
    assert np.isfinite(p).all()
    assert k[0] > 0.7
