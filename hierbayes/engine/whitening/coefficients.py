"""Priors of population-level coefficients: any distribution of the table, bounded ones too (numba)."""

from math import lgamma, log, pi

import numpy as np

from hierbayes.distributions import DISTRIBUTIONS
from hierbayes.engine.core.hyperparameters import positive, scale_constant, unconstrain
from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, PriorCode
from hierbayes.engine.whitening.codes import (
    BETA,
    BOUNDED_CODES,
    CAUCHY,
    FLAT,
    LAPLACE,
    LOGISTIC,
    NORMAL,
    STUDENT_T,
)

LOWER, UPPER = (
    4,
    5,
)  # of a prior's row (6,), behind its number and its arguments: infinite where there is no bound


def widened(priors: Floats) -> Floats:
    """Return the rows of priors (P, 6), from those that have no bounds (P, 4) or are as wide."""
    if priors.shape[1] == UPPER + 1:
        return priors
    ends = np.tile([-np.inf, np.inf], (len(priors), 1))
    return np.hstack([priors, ends])


@compiled
def coefficient(t: float, prior: Floats) -> tuple[float, float, float, float, float]:
    """Return as `_coefficient` does; of one between bounds, t is the logarithm of its distance from the only one.

    Or, between two, the log odds of its place. What lies above 0, or within 0 and 1, has an end there.
    """
    code, low, high = int(prior[0]), prior[LOWER], prior[UPPER]
    if low == -np.inf and high == np.inf:
        return _coefficient(t, code, prior[1], prior[2], prior[3])
    rest = 1.0  # 1 - x of a probability, from its distance to the upper end
    if low > -np.inf and high < np.inf:
        tail = np.exp(-abs(t))
        more, less = 1.0 / (1.0 + tail), tail / (1.0 + tail)
        p, q = (more, less) if t >= 0 else (less, more)
        x, slope, rest = low + (high - low) * p, (high - low) * p * q, 1.0 - high + (high - low) * q
        jacobian, its_score, its_curvature = np.log(slope), q - p, 2.0 * p * q
    else:
        slope = np.exp(t) if low > -np.inf else -np.exp(t)
        x = (low if low > -np.inf else high) + slope
        jacobian, its_score, its_curvature = t, 1.0, 0.0
    inner = x
    if code == BETA:
        inner = np.log(x) - np.log(rest)
    elif code < NORMAL:
        inner = np.log(x)
    _, steepness, density, score, curvature = _coefficient(inner, code, prior[1], prior[2], prior[3])
    if code == BETA:  # whose density is that of its log odds
        density, score, curvature = (
            density - np.log(steepness),
            score - (rest - x),
            curvature - 2.0 * x * rest,
        )
        curvature += score * (rest - x)
    elif code < NORMAL:  # that of its logarithm
        density, score = density - inner, score - 1.0
        curvature += score
    away = slope / steepness
    bent = curvature * away * away - score * away * its_score + its_curvature
    return x, slope, density + jacobian, score * away + its_score, max(bent, 0.0)


@compiled
def _coefficient(
    t: float, code: int, a: float, b: float, c: float
) -> tuple[float, float, float, float, float]:
    """Return a coefficient, d coefficient/dt, its log density without constant, that one's slope and curvature.

    The density includes the log-Jacobian; the curvature is what a Gaussian stand-in takes, never negative.
    A coefficient of unbounded prior is t itself.
    """
    if code == NORMAL:
        z = (t - a) / b
        return t, 1.0, -0.5 * z * z, -z / b, 1.0 / (b * b)
    if code == FLAT:
        return t, 1.0, 0.0, 0.0, 0.0
    if code in (STUDENT_T, CAUCHY):
        nu, mu, sigma = (a, b, c) if code == STUDENT_T else (1.0, a, b)
        z = (t - mu) / sigma
        w = (nu + 1.0) / (nu + z * z)
        return t, 1.0, -0.5 * (nu + 1.0) * np.log1p(z * z / nu), -w * z / sigma, w / (sigma * sigma)
    if code == LAPLACE:
        z = (t - a) / b
        return t, 1.0, -abs(z), -np.sign(z) / b, 1.0 / (b * b * max(abs(z), 1.0))
    if code == LOGISTIC:
        z = (t - a) / b
        tail = np.exp(-abs(z))
        slope = np.sign(z) * (1.0 - tail) / (1.0 + tail)
        return t, 1.0, -abs(z) - 2.0 * np.log1p(tail), -slope / b, 2.0 * tail / ((1.0 + tail) * b) ** 2
    if code == BETA:  # of a probability, by its log odds
        tail = np.exp(-abs(t))
        more, less, rest = 1.0 / (1.0 + tail), tail / (1.0 + tail), np.log1p(tail)
        p, q = (more, less) if t >= 0 else (less, more)
        return p, p * q, a * min(t, 0.0) - b * max(t, 0.0) - (a + b) * rest, a * q - b * p, (a + b) * p * q
    value, slope, density, score = positive(t, code, a, b)
    _, _, _, before = positive(t - 1e-4, code, a, b)
    return value, slope, density, score, max((before - score) / 1e-4, 0.0)


def coefficient_constant(prior: Floats) -> float:
    """The part of a prior's log density that `coefficient` leaves out."""
    if np.isinf(prior[LOWER:]).all():
        return _constant(prior)
    name = next(name for name, code in BOUNDED_CODES.items() if code == int(prior[0]))
    share = DISTRIBUTIONS[name].share
    assert share is not None, "it lies between bounds"
    own = prior[1 : 1 + len(DISTRIBUTIONS[name].parameters) - 2]
    return _constant(prior) - share(*own, *(None if np.isinf(end) else end for end in prior[LOWER:]))


def _constant(prior: Floats) -> float:
    code, a, b, c = int(prior[0]), *prior[1:LOWER]
    if code == NORMAL:
        return -0.5 * log(2 * pi) - log(b)
    if code == STUDENT_T:
        return lgamma((a + 1) / 2) - lgamma(a / 2) - 0.5 * log(a * pi) - log(c)
    if code == CAUCHY:
        return -log(pi) - log(b)
    if code == LAPLACE:
        return -log(2 * b)
    if code == LOGISTIC:
        return -log(b)
    if code == FLAT:
        return 0.0
    if code == BETA:
        return lgamma(a + b) - lgamma(a) - lgamma(b)
    return scale_constant(PriorCode(code), a, b)


def unconstrain_coefficient(value: float, prior: Floats) -> float:
    """The t of a coefficient; one outside its prior's range is moved inside."""
    if np.isfinite(prior[LOWER:]).any():
        return _between(value, prior)
    if int(prior[0]) == BETA:
        share = min(max(value, 0.02), 0.98)
        return log(share / (1 - share))
    if int(prior[0]) >= NORMAL:
        return value
    return unconstrain(value if value > 0 or int(prior[0]) == PriorCode.UNIFORM else 0.1, prior)


def _between(value: float, prior: Floats) -> float:
    """The t of a number between bounds: one beyond them is moved inside."""
    code, low, high = int(prior[0]), prior[LOWER], prior[UPPER]
    if np.isfinite(low) and np.isfinite(high):
        share = min(max((value - low) / (high - low), 0.02), 0.98)
        return log(share / (1 - share))
    scale = abs(value) + low if code < NORMAL else prior[3] if code == STUDENT_T else prior[2]
    return log(max(value - low if np.isfinite(low) else high - value, 0.1 * scale))
