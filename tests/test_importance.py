"""Smoothed weights where there is something to smooth, and where there is not."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from hierbayes.answers.approximation import good_k
from hierbayes.criticism.importance import FEWEST, smoothed_weights

RATIO = 0.8 * np.random.default_rng(1).standard_normal(1000)


def test_weights_are_of_one_over_the_divisor():
    log_weights, k = smoothed_weights(-RATIO[:, None])
    assert np.corrcoef(log_weights[:, 0], RATIO)[0, 1] > 0.99
    assert np.exp(log_weights).sum() == pytest.approx(1)
    logs, theirs = array_stats.psislw(-RATIO)
    assert k[0] == pytest.approx(theirs, rel=1e-9)
    np.testing.assert_allclose(log_weights[:, 0], logs, rtol=1e-10)


def test_pareto_k_is_that_of_a_pareto_tail():
    """The weight u^-k of uniform u has a tail of index k."""
    u = np.random.default_rng(2).uniform(size=(20_000, 3))
    k = smoothed_weights(np.array([0.3, 0.6, 0.9]) * np.log(u))[1]
    np.testing.assert_allclose(k, [0.3, 0.6, 0.9], atol=0.12)


def test_draws_that_cannot_occur():
    divisors = np.repeat(-RATIO[:, None], 4, axis=1)
    divisors[:300, 1] = np.inf
    divisors[1:, 2] = np.inf
    divisors[:, 3] = np.inf
    log_weights, k = smoothed_weights(divisors)
    weights = np.exp(log_weights)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert (weights[:300, 1] == 0).all()
    assert weights[0, 2] == pytest.approx(1)
    assert np.ptp(weights[:, 3]) == 0
    assert np.isfinite(k[:2]).all()
    assert np.isposinf(k[2:]).all()


def test_draws_that_take_all_weight_and_draws_that_are_the_same():
    divisors = np.repeat(-RATIO[:, None], 2, axis=1)
    divisors[5, 0] = -np.inf
    divisors[:, 1] = 2.0
    log_weights, k = smoothed_weights(divisors)
    assert np.exp(log_weights[5, 0]) == 1
    assert np.ptp(log_weights[:, 1]) == 0
    np.testing.assert_array_equal(k, [np.inf, -np.inf])


def test_the_limit_follows_the_draws():
    assert good_k(4000) == 0.7
    assert good_k(100) == pytest.approx(0.5)
    assert np.isfinite(smoothed_weights(-RATIO[:FEWEST, None])[1]).all()
