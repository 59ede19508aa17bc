"""Priors of population-level coefficients: any distribution of the table, bounded ones too (numba)."""

from math import lgamma, log, pi

import numpy as np

from hierbayes.engine.core.hyperparameters import positive, scale_constant, unconstrain
from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, PriorCode
from hierbayes.engine.whitening.codes import BETA, CAUCHY, FLAT, LAPLACE, LOGISTIC, NORMAL, STUDENT_T


@compiled
def coefficient(
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
    code, a, b, c = int(prior[0]), *prior[1:]
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
    if int(prior[0]) == BETA:
        share = min(max(value, 0.02), 0.98)
        return log(share / (1 - share))
    if int(prior[0]) >= NORMAL:
        return value
    return unconstrain(value if value > 0 or int(prior[0]) == PriorCode.UNIFORM else 0.1, prior)
