"""Families' log densities and their derivatives, elementwise (numba).

A function fills, for some rows, the log density without its constants (`codes.Density.constant`) and its derivatives in
the linear predictor and in the family's own parameters. A family is one of these, its line in `evaluate` and its record
in `codes`.
"""

from math import lgamma

import numpy as np

from hierbayes.engine.gaussian.lanes import compiled
from hierbayes.engine.gaussian.problem import Floats
from hierbayes.engine.whitening.codes import (
    BETA,
    BINOMIAL,
    GAMMA,
    GAUSSIAN,
    INVERSE,
    LOG,
    LOG_2PI,
    LOGIT,
    NEGBINOMIAL,
    POISSON,
    PROBIT,
    STUDENT,
)
from hierbayes.engine.whitening.special import (
    STIRLING,
    digamma,
    digamma_rest,
    exp_lane,
    factorial_rest,
    lgamma_rest,
    lgamma_rise,
    log1p_lane,
    log1p_rest,
    log_ndtr,
)

VALUE, ETA, FIRST, SECOND = 0, 1, 2, 3  # of what a density fills: itself, its derivatives


@compiled
def evaluate(
    family: int, link: int, y: Floats, trials: Floats, eta: Floats, aux: Floats, out: Floats
) -> None:
    """Fill out (4, rows or more) for rows with linear predictor eta and own parameters aux (2, rows or more)."""
    if family == BINOMIAL:
        if link == LOGIT:
            _binomial_logit(y, trials, eta, out)
        else:
            _binomial(link, y, trials, eta, out)
    elif family == GAUSSIAN:
        _gaussian(link, y, eta, aux, out)
    elif family == STUDENT:
        _student(link, y, eta, aux, out)
    elif family == POISSON:
        _poisson(link, y, eta, out)
    elif family == NEGBINOMIAL:
        _negbinomial(link, y, eta, aux, out)
    elif family == GAMMA:
        _gamma(link, y, eta, aux, out)
    elif family == BETA:
        _beta(link, y, eta, aux, out)
    else:
        _betabinomial(link, y, trials, eta, aux, out)


@compiled
def number(link: int, eta: float) -> tuple[float, float]:
    """Return a mean that is a number, and its derivative in eta."""
    if link == LOG:
        mu = np.exp(eta)
        return mu, mu
    if link == INVERSE:
        mu = 1.0 / eta
        return mu, -mu * mu
    return eta, 1.0


@compiled
def share(link: int, eta: float) -> tuple[float, float, float, float, float, float]:
    """Return a mean p in (0, 1), 1 - p, both logarithms, and both logarithms' derivatives in eta.

    No one of them loses digits in a tail.
    """
    if link == LOGIT:
        tail = np.exp(-abs(eta))
        more, less, rest = 1.0 / (1.0 + tail), tail / (1.0 + tail), np.log1p(tail)
        if eta >= 0:
            return more, less, -rest, -eta - rest, less, -more
        return less, more, eta - rest, -rest, more, -less
    if link == PROBIT:
        log_p, slope_p = log_ndtr(eta)
        log_q, slope_q = log_ndtr(-eta)
        return np.exp(log_p), np.exp(log_q), log_p, log_q, slope_p, -slope_q
    t = np.exp(eta)
    if t < 1e-5:
        return (
            t * (1.0 - 0.5 * t),
            1.0 - t,
            eta - 0.5 * t + t * t / 24.0,
            -t,
            1.0 - 0.5 * t + t * t / 12.0,
            -t,
        )
    p = -np.expm1(-t)
    q = np.exp(-t)
    return p, q, np.log(p), -t, (t * q / p if q > 0.0 else 0.0), -t


@compiled
def _gaussian(link: int, y: Floats, eta: Floats, aux: Floats, out: Floats) -> None:
    log_sigma, last = 0.0, 1.0
    for i in range(y.size):
        sigma = aux[0, i]
        if sigma != last:
            log_sigma, last = np.log(sigma), sigma
        mu, slope = number(link, eta[i])
        z = (y[i] - mu) / sigma
        out[VALUE, i] = -0.5 * z * z - log_sigma
        out[ETA, i] = slope * z / sigma
        out[FIRST, i] = (z * z - 1.0) / sigma


@compiled
def _student(link: int, y: Floats, eta: Floats, aux: Floats, out: Floats) -> None:
    last_sigma, last_nu, log_sigma, constant, slope_nu = -1.0, -1.0, 0.0, 0.0, 0.0
    for i in range(y.size):
        sigma, nu = aux[0, i], aux[1, i]
        if sigma != last_sigma:
            log_sigma, last_sigma = np.log(sigma), sigma
        if nu != last_nu:
            value, slope_nu = lgamma_rise(0.5 * nu, 0.5)
            constant, last_nu = value - 0.5 * np.log(nu), nu
        mu, slope = number(link, eta[i])
        z = (y[i] - mu) / sigma
        rest = np.log1p(z * z / nu)
        w = (nu + 1.0) / (nu + z * z)
        out[VALUE, i] = constant - log_sigma - 0.5 * (nu + 1.0) * rest
        out[ETA, i] = slope * w * z / sigma
        out[FIRST, i] = (w * z * z - 1.0) / sigma
        out[SECOND, i] = 0.5 * (slope_nu - rest + (w * z * z - 1.0) / nu)


@compiled
def _binomial_logit(y: Floats, trials: Floats, eta: Floats, out: Floats) -> None:
    for i in range(y.size):
        tail = exp_lane(-abs(eta[i]))
        above = 1.0 if eta[i] >= 0.0 else 0.0
        p = (above + (1.0 - above) * tail) / (1.0 + tail)
        out[VALUE, i] = (y[i] - trials[i] * above) * eta[i] - trials[i] * log1p_lane(tail)
        out[ETA, i] = y[i] - trials[i] * p


@compiled
def _binomial(link: int, y: Floats, trials: Floats, eta: Floats, out: Floats) -> None:
    for i in range(y.size):
        _, _, log_p, log_q, slope_p, slope_q = share(link, eta[i])
        failures = trials[i] - y[i]
        out[VALUE, i] = (y[i] * log_p if y[i] > 0 else 0.0) + (failures * log_q if failures > 0 else 0.0)
        out[ETA, i] = (y[i] * slope_p if y[i] > 0 else 0.0) + (failures * slope_q if failures > 0 else 0.0)


@compiled
def _poisson(link: int, y: Floats, eta: Floats, out: Floats) -> None:
    if link == LOG:
        for i in range(y.size):
            mu = exp_lane(eta[i])
            out[VALUE, i] = y[i] * eta[i] - mu
            out[ETA, i] = y[i] - mu
        return
    for i in range(y.size):
        mu, slope = number(link, eta[i])
        possible = mu > 0.0 or (mu == 0.0 and y[i] == 0.0)
        out[VALUE, i] = ((y[i] * np.log(mu) if y[i] > 0 else 0.0) - mu) if possible else -np.inf
        out[ETA, i] = ((y[i] / mu if y[i] > 0 else 0.0) - 1.0) * slope


@compiled
def _negbinomial(link: int, y: Floats, eta: Floats, aux: Floats, out: Floats) -> None:
    for i in range(y.size):
        shape = aux[0, i]
        mu, slope = number(link, eta[i])
        log_mean = eta[i] if link == LOG else (np.log(mu) if mu > 0 else 0.0)
        rise, slope_shape = lgamma_rise(shape, y[i])
        log_ratio, log_total = np.log1p(mu / shape), np.log(shape + mu)
        value = rise - shape * log_ratio + (y[i] * (log_mean - log_total) if y[i] > 0 else 0.0)
        possible = mu > 0.0 or (mu == 0.0 and y[i] == 0.0)
        out[VALUE, i] = value if possible else -np.inf
        share_of_shape = shape / (shape + mu)
        if link == LOG:
            out[ETA, i] = y[i] * share_of_shape - (shape if share_of_shape == 0.0 else mu * share_of_shape)
        else:
            out[ETA, i] = slope * share_of_shape * ((y[i] / mu if y[i] > 0 else 0.0) - 1.0)
        out[FIRST, i] = slope_shape - log_ratio + (mu - y[i]) / (mu + shape)


@compiled
def _gamma(link: int, y: Floats, eta: Floats, aux: Floats, out: Floats) -> None:
    last, constant, slope_shape = -1.0, 0.0, 0.0
    for i in range(y.size):
        shape = aux[0, i]
        if shape != last:  # shape log shape - shape - log Γ(shape), and its derivative
            last = shape
            if shape < STIRLING:
                constant = shape * np.log(shape) - shape - lgamma(shape)
                slope_shape = np.log(shape) - digamma(shape)
            else:
                constant = 0.5 * np.log(shape) - 0.5 * LOG_2PI - lgamma_rest(shape)
                slope_shape = digamma_rest(shape)
        mu, slope = number(link, eta[i])
        ratio = y[i] * np.exp(-eta[i]) if link == LOG else y[i] / mu
        if abs(ratio - 1.0) < 0.1:
            deviance = log1p_rest(ratio - 1.0)
        else:
            log_ratio = np.log(y[i]) - eta[i] if link == LOG else (np.log(ratio) if mu > 0 else 0.0)
            deviance = log_ratio - ratio + 1.0
        out[VALUE, i] = shape * deviance + constant if mu > 0.0 or link == LOG else -np.inf
        out[ETA, i] = shape * (ratio - 1.0) * (1.0 if link == LOG else slope / mu)
        out[FIRST, i] = deviance + slope_shape


@compiled
def _beta(link: int, y: Floats, eta: Floats, aux: Floats, out: Floats) -> None:
    last, rest_phi, slope_phi = -1.0, 0.0, 0.0
    for i in range(y.size):
        phi = aux[0, i]
        if phi != last:
            last = phi
            rest_phi, slope_phi = factorial_rest(phi)
        p, q, log_p, log_q, slope_p, slope_q = share(link, eta[i])
        log_y, log_rest = np.log(y[i]), np.log1p(-y[i])
        # of Γ(a), Γ(b) what Stirling's formula leaves; a may round to 0 while the mean's logarithm is finite
        a, b = p * phi, q * phi
        rest_a, slope_a = factorial_rest(a)
        rest_b, slope_b = factorial_rest(b)
        apart = q - (1.0 - y[i]) if y[i] > 0.5 else y[i] - p
        if abs(apart) < 0.1 * min(p, q):  # the linear parts of both logarithms cancel
            divergence = p * log1p_rest(apart / p) + q * log1p_rest(-apart / q)
        else:
            divergence = p * (log_y - log_p) + q * (log_rest - log_q)
        out[VALUE, i] = phi * divergence + rest_phi - rest_a - rest_b + np.log(phi) + log_p + log_q
        a_part = a * slope_a if a > 0.0 else 0.0
        b_part = b * slope_b if b > 0.0 else 0.0
        out[ETA, i] = slope_p * (1.0 - a_part + a * (log_y - log_p)) + slope_q * (
            1.0 - b_part + b * (log_rest - log_q)
        )
        out[FIRST, i] = divergence + slope_phi + (1.0 - a_part - b_part) / phi


@compiled
def _betabinomial(link: int, y: Floats, trials: Floats, eta: Floats, aux: Floats, out: Floats) -> None:
    last_phi, last_n, log_phi, rise_phi, slope_phi = -1.0, -1.0, 0.0, 0.0, 0.0
    for i in range(y.size):
        phi, n = aux[0, i], trials[i]
        if phi != last_phi or n != last_n:
            last_phi, last_n, log_phi = phi, n, np.log(phi)
            rise_phi, slope_phi = lgamma_rise(phi, n)
        p, q, log_p, log_q, slope_p, slope_q = share(link, eta[i])
        value, in_eta, in_phi = -rise_phi, 0.0, -slope_phi
        # Γ(a + y) / Γ(a) = a Γ(a + y) / Γ(a + 1): the mean p may round to 0 while its logarithm is finite
        if y[i] > 0.0:
            rise, slope = lgamma_rise(p * phi + 1.0, y[i] - 1.0)
            value += log_p + log_phi + rise
            in_eta += slope_p * (1.0 + p * phi * slope)
            in_phi += 1.0 / phi + p * slope
        if n > y[i]:
            rise, slope = lgamma_rise(q * phi + 1.0, n - y[i] - 1.0)
            value += log_q + log_phi + rise
            in_eta += slope_q * (1.0 + q * phi * slope)
            in_phi += 1.0 / phi + q * slope
        out[VALUE, i], out[ETA, i], out[FIRST, i] = value, in_eta, in_phi
