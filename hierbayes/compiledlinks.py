"""Links in compiled code: from linear predictors to the inner coordinates of parameters, with their slopes.

A link is a number there; 0 is the canonical link of its kind, under which the inner coordinate is the predictor.
"""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.special import log_ndtr

FARTHEST = 1e300  # of log odds, which stay finite: 0 times them must be 0

(
    EXP,
    RECIPROCAL,
    SOFTPLUS,
    SQUAREPLUS,
    LOG,
    MINUS_LOG,
    LOG_SOFTPLUS,
    LOG_SQUAREPLUS,
    LOG_SQUARE,
    MINUS_HALF_LOG,
    LOG1P_EXP,
    PROBIT,
    CLOGLOG,
    CAUCHIT,
    LOG_ODDS,
    LOG_ODDS_OF_LOG,
    EXPM1,
    TWICE_ARCTAN,
    LOG_ODDS_ABOVE_1,
) = range(1, 20)


@deferred
def apply_link(code: int, t: Any, slope: Any) -> bool:
    """Put inner coordinates in the place of linear predictors (n,), and set dt/dη; return whether all are possible.

    An impossible value, such as a negative mean of counts, is replaced by one that is possible.
    """
    if code == 0:
        for i in range(t.size):
            slope[i] = 1.0
        return True
    if code == EXP:
        for i in range(t.size):
            t[i] = slope[i] = np.exp(t[i])
        return True
    possible = True
    for i in range(t.size):
        t[i], slope[i], inside = moved(code, t[i])
        possible &= inside
    return possible


@deferred
def moved(code: int, eta: float) -> tuple[float, float, bool]:
    """Return the inner coordinate, its derivative in eta, and whether eta is possible."""
    if code == RECIPROCAL:
        t = 1.0 / eta
        return t, -t * t, True
    if code == SOFTPLUS:
        tail = np.exp(-abs(eta))
        return max(eta, 0.0) + np.log1p(tail), (1.0 if eta > 0.0 else tail) / (1.0 + tail), True
    if code == SQUAREPLUS:
        t = np.exp(np.arcsinh(0.5 * eta))
        return t, t / np.hypot(eta, 2.0), True
    if code in (LOG, MINUS_LOG, MINUS_HALF_LOG):
        power = 1.0 if code == LOG else -1.0 if code == MINUS_LOG else -0.5
        if eta < 0.0 or np.isnan(eta):
            return 0.0, power, False
        return power * np.log(eta), power / eta, True
    if code == LOG_SOFTPLUS:
        tail = np.exp(-abs(eta))
        if eta < -30.0:  # log(log1p(x)) of a small x
            return eta - 0.5 * tail, 1.0 - 0.5 * tail, True
        value = max(eta, 0.0) + np.log1p(tail)
        return np.log(value), (1.0 if eta > 0.0 else tail) / ((1.0 + tail) * value), True
    if code == LOG_SQUAREPLUS:
        return np.arcsinh(0.5 * eta), 1.0 / np.hypot(eta, 2.0), True
    if code == LOG_SQUARE:
        return 2.0 * np.log(abs(eta)), 2.0 / eta, True
    if code == EXPM1:
        return np.expm1(eta), np.exp(eta), True
    if code == TWICE_ARCTAN:
        return 2.0 * np.arctan(eta), 2.0 / (1.0 + eta * eta), True
    if code == LOG1P_EXP:
        tail = np.exp(-abs(eta))
        return max(eta, 0.0) + np.log1p(tail), (1.0 if eta > 0.0 else tail) / (1.0 + tail), True
    if code == LOG_ODDS_ABOVE_1:
        return moved_probability(LOG_ODDS, eta - 1.0)
    return moved_probability(code, eta)


@deferred
def moved_probability(code: int, eta: float) -> tuple[float, float, bool]:
    """Return the same for the log odds of a probability."""
    if code == PROBIT:
        log_p, slope_p = log_ndtr(eta)
        log_q, slope_q = log_ndtr(-eta)
        return log_p - log_q, slope_p + slope_q, True
    if code == CLOGLOG:
        x = np.exp(min(eta, 690.0))  # log(1 - p) is -x
        if x < 1e-5:
            return eta + 0.5 * x + x * x / 24.0, 1.0 + 0.5 * x + x * x / 12.0, True
        tail = np.exp(-x)
        p = -np.expm1(-x)
        return np.log(p) + x, x * (1.0 + tail / p), True
    if code == CAUCHIT:
        p, q = np.arctan2(1.0, -eta), np.arctan2(1.0, eta)  # times pi
        density = 1.0 / (1.0 + eta * eta)
        return np.log(p) - np.log(q), density / p + density / q, True
    if code == LOG_ODDS:
        if not 0.0 <= eta <= 1.0:
            return 0.0, 4.0, False
        t = np.log(eta) - np.log1p(-eta)
        return min(max(t, -FARTHEST), FARTHEST), min(1.0 / (eta * (1.0 - eta)), FARTHEST), True
    # LOG_ODDS_OF_LOG
    if not eta <= 0.0:
        return 0.0, 2.0, False
    q = abs(np.expm1(eta))
    return min(eta - np.log(q), FARTHEST), min(1.0 / q, FARTHEST), True
