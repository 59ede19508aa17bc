"""Incomplete gamma and beta functions: logarithms of both tails with their derivatives, for compiled code.

Of both tails the smaller is computed and the other is what it leaves of 1: neither loses digits where it is small.
"""

from math import lgamma

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.special import (
    LOG_ROOT_2PI,
    STIRLING,
    digamma,
    digamma_rest,
    lgamma_rest,
    lgamma_rise,
    log1m_exp,
    log_ratio_minus,
    trigamma,
)

SMALL, EXACT, LONGEST = 1e-300, 1e-16, 1_000_000
TINY_SHAPE = 1e-3  # of a beta variable, which then is mostly at that end


@deferred
def complement(log_p: float) -> tuple[float, float]:
    """Return log(1 - p), and what a change of log p is to it: -p / (1 - p)."""
    if log_p >= 0.0:
        return -np.inf, -np.inf
    return log1m_exp(log_p), -1.0 / np.expm1(-log_p)


@deferred
def log_gamma_mass(a: float, x: float) -> tuple[float, float]:
    """Return log(x^a exp(-x) / Γ(a)) and its derivative in a; its derivative in x is a/x - 1."""
    away = (x - a) / a
    # log r - r + 1 of r = x / a, and log r
    deviance = log_ratio_minus(x / a, away) if x > SMALL * a else np.log(x) - np.log(a) - away
    log_ratio = deviance + away
    if a < STIRLING:
        return a * (deviance + np.log(a) - 1.0) - lgamma(a), log_ratio + np.log(a) - digamma(a)
    return a * deviance + 0.5 * np.log(a) - LOG_ROOT_2PI - lgamma_rest(a), log_ratio + digamma_rest(a)


@deferred
def gamma_tails(a: float, x: float) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the regularised incomplete gamma functions P(a, x) and Q(a, x) and their derivatives.

    Each is followed by its derivatives in a and in log x. P is a power series and Q a continued fraction
    (Abramowitz & Stegun 1964, 6.5.29 and 6.5.31, by Lentz's method), both differentiated term by term.
    """
    mass, slope = log_gamma_mass(a, x)
    if x < a + 1.0:
        term, change = 1.0 / a, -1.0 / (a * a)
        total, total_change = term, change
        for n in range(1, LONGEST):
            ratio = x / (a + n)
            change = change * ratio - term * ratio / (a + n)
            term *= ratio
            total += term
            total_change += change
            if term < EXACT * total and abs(change) < EXACT * abs(total_change):
                break
        lower, lower_a = mass + np.log(total), slope + total_change / total
        lower_x = np.exp(mass - lower)
        upper, share = complement(min(lower, 0.0))
        return lower, lower_a, lower_x, upper, share * lower_a, share * lower_x
    b, b_change = x + 1.0 - a, -1.0
    c, c_change = 1.0 / SMALL, 0.0
    d, d_change = 1.0 / b, -b_change / (b * b)
    h, h_change = d, d_change
    for i in range(1, LONGEST):
        part, part_change = -i * (i - a), float(i)
        b += 2.0
        below = part * d + b
        below_change = part_change * d + part * d_change + b_change
        c_change = b_change + part_change / c - part * c_change / (c * c)
        c = b + part / c
        d, d_change = 1.0 / below, -below_change / (below * below)
        step, step_change = c * d, c_change * d + c * d_change
        h_change = h_change * step + h * step_change
        h *= step
        if abs(step - 1.0) < EXACT * 4 and abs(h * step_change) <= EXACT * 4 * abs(h_change):
            break
    upper, upper_a = mass + np.log(h), slope + h_change / h
    upper_x = -np.exp(mass - upper)
    lower, share = complement(min(upper, 0.0))
    return lower, share * upper_a, share * upper_x, upper, upper_a, upper_x


@deferred
def beta_fraction(a: float, b: float, x: float) -> tuple[float, float, float]:
    """Return the logarithm of the incomplete beta function's continued fraction and its derivatives in a and b.

    Abramowitz & Stegun (1964), 26.5.8, by Lentz's method, differentiated term by term; x below (a + 1) / (a + b + 2).
    """
    c, c_a, c_b = 1.0, 0.0, 0.0
    first = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / first
    d_a, d_b = (1.0 - b) * x / (a + 1.0) ** 2 * d * d, x / (a + 1.0) * d * d
    value, value_a, value_b = np.log(d), d_a / d, d_b / d
    for n in range(2, LONGEST):
        m = n // 2
        if n % 2 == 0:
            below = (a + n - 1.0) * (a + n)
            part, part_b = m * (b - m) * x / below, m * x / below
            part_a = -part * (1.0 / (a + n - 1.0) + 1.0 / (a + n))
        else:
            below = (a + n - 1.0) * (a + n)
            part, part_b = -(a + m) * (a + b + m) * x / below, -(a + m) * x / below
            part_a = -(2.0 * a + b + 2.0 * m) * x / below
            part_a -= part * (1.0 / (a + n - 1.0) + 1.0 / (a + n))
        turned, turned_a, turned_b = 1.0 + part * d, part_a * d + part * d_a, part_b * d + part * d_b
        c_a, c_b = (part_a - part * c_a / c) / c, (part_b - part * c_b / c) / c
        c = 1.0 + part / c
        d = 1.0 / turned
        d_a, d_b = -turned_a * d * d, -turned_b * d * d
        step = c * d
        step_a, step_b = c_a / c + d_a / d, c_b / c + d_b / d
        value += np.log(step)
        value_a += step_a
        value_b += step_b
        # a whole b ends the fraction, and not what changes with b; c's share of a step and d's cancel to rounding
        rest_a, rest_b = abs(value_a) + abs(c_a / c), abs(value_b) + abs(c_b / c)
        if (
            abs(step - 1.0) < 4 * EXACT
            and abs(step_a) <= 4 * EXACT * rest_a
            and abs(step_b) <= 4 * EXACT * rest_b
        ):
            break
    return value, value_a, value_b


@deferred
def log_beta_mass(a: float, b: float, log_x: float, log_rest: float) -> tuple[float, float, float]:
    """Return log(x^a (1 - x)^b / B(a, b)) and its derivatives in a and b, of which log x and log(1 - x) are given."""
    if (
        min(a, b) >= STIRLING
    ):  # what would cancel is a log r - r + 1, of r = x / mean, and the same at the other end
        p, q, rest = a / (a + b), b / (a + b), digamma_rest(a + b)
        away = q - np.exp(log_rest) if log_x > log_rest else np.exp(log_x) - p
        near = abs(away) < 0.5 * min(p, q)
        first = log_ratio_minus(1.0 + away / p, away / p) if near else log_x - np.log(p) - away / p
        second = log_ratio_minus(1.0 - away / q, -away / q) if near else log_rest - np.log(q) + away / q
        value = a * first + b * second + 0.5 * np.log(a * q) - LOG_ROOT_2PI
        value += lgamma_rest(a + b) - lgamma_rest(a) - lgamma_rest(b)
        return value, first + away / p + digamma_rest(a) - rest, second - away / q + digamma_rest(b) - rest
    small = min(a, b)
    rise, rise_large = lgamma_rise(max(a, b), small)
    rise_small = digamma(a + b) - digamma(small)
    rise_a, rise_b = (rise_small, rise_large) if a < b else (rise_large, rise_small)
    return a * log_x + b * log_rest + rise - lgamma(small), log_x + rise_a, log_rest + rise_b


@deferred
def beta_near_one(a: float, b: float, log_x: float) -> tuple[float, float, float]:
    """Return log I(x; a, b) for a small a, where it is near 0, and its derivatives in a and b.

    Abramowitz & Stegun (1964), 26.5.4 with (1 - x)^b as a power series: x^a Γ(a + b) / (Γ(b) Γ(a + 1)) times
    1 + a Σ (1 - b)…(n - b) x^n / (n! (a + n)), of which each factor's logarithm is about a multiple of a. Differences
    of log Γ are integrals of the digamma function, by Simpson's rule.
    """
    ends = b + 1.0, b + 1.0 + 0.5 * a, b + 1.0 + a
    rise = (digamma(ends[0]) + 4.0 * digamma(ends[1]) + digamma(ends[2])) / 6.0
    bend = (trigamma(ends[0]) + 4.0 * trigamma(ends[1]) + trigamma(ends[2])) / 6.0
    fall = (digamma(1.0) + 4.0 * digamma(1.0 + 0.5 * a) + digamma(1.0 + a)) / 6.0
    x, term, term_b, total, total_a, total_b = np.exp(log_x), 1.0, 0.0, 0.0, 0.0, 0.0
    for n in range(1, LONGEST):
        term_b = (term_b * (n - b) - term) * x / n
        term *= (n - b) * x / n
        total += term / (a + n)
        total_a -= term / (a + n) ** 2
        total_b += term_b / (a + n)
        if abs(term) <= EXACT * abs(total) and abs(term_b) <= EXACT * abs(total_b):
            break
    value = a * (log_x + rise - fall) - np.log1p(a / b) + np.log1p(a * total)
    slope = log_x + digamma(ends[2]) - digamma(1.0 + a) - 1.0 / (a + b)
    inside = 1.0 + a * total
    return value, slope + (total + a * total_a) / inside, a * (bend + 1.0 / (b * (a + b)) + total_b / inside)


@deferred
def beta_tails(
    a: float, b: float, log_x: float, log_rest: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the logarithms of the regularised incomplete beta function I(x; a, b) and of 1 - I.

    Each is followed by its derivatives in a, in b and in the log odds of x, of which log x and log(1 - x) are given.
    """
    mass, mass_a, mass_b = log_beta_mass(a, b, log_x, log_rest)
    x = np.exp(log_x)
    if x < (a + 1.0) / (a + b + 2.0):
        value, value_a, value_b = beta_fraction(a, b, x)
        lower, lower_a, lower_b = mass - np.log(a) + value, mass_a - 1.0 / a + value_a, mass_b + value_b
        lower_x = np.exp(mass - lower)
        if a < TINY_SHAPE:  # I is near 1, but not its series
            lower, lower_a, lower_b = beta_near_one(a, b, log_x)
        upper, share = complement(min(lower, 0.0))
        return lower, lower_a, lower_b, lower_x, upper, share * lower_a, share * lower_b, share * lower_x
    value, value_b, value_a = beta_fraction(b, a, np.exp(log_rest))
    upper, upper_a, upper_b = mass - np.log(b) + value, mass_a + value_a, mass_b - 1.0 / b + value_b
    upper_x = -np.exp(mass - upper)
    if b < TINY_SHAPE:
        upper, upper_b, upper_a = beta_near_one(b, a, log_rest)
    lower, share = complement(min(upper, 0.0))
    return lower, share * upper_a, share * upper_b, share * upper_x, upper, upper_a, upper_b, upper_x
