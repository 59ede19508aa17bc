"""Special functions that row functions need, one number at a time, for compiled code.

`exp_lane` and `log1p_lane` are arithmetic alone, so that a loop over rows fills vector registers.
"""

from math import erfc, factorial, lgamma

import numpy as np

from hierbayes.compiling import deferred, row_function, row_function_in_order

ROOT_HALF, LOG_ROOT_2PI = np.sqrt(0.5), 0.5 * np.log(2 * np.pi)
FEW = 8.0  # factors that are multiplied one by one
STIRLING = 10.0  # from here on the asymptotic series below are exact to rounding


@deferred
def digamma(x: float) -> float:
    """Return the derivative of log Γ at x > 0.

    Abramowitz & Stegun (1964), 6.3.5 and 6.3.18.
    """
    above, below = 0.0, 1.0  # 1/x + 1/(x + 1) + … as one fraction: many divisions would take longest
    while x < STIRLING:
        above = above * x + below
        below *= x
        x += 1.0
    return np.log(x) - digamma_rest(x) - above / below


@deferred
def digamma_rest(x: float) -> float:
    """Return log x - ψ(x), for x >= STIRLING."""
    r = 1.0 / (x * x)
    series = r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - r * 691 / 32760)))))
    return 0.5 / x + series


@deferred
def trigamma(x: float) -> float:
    """Return the derivative of the digamma function at x > 0 (Abramowitz & Stegun 1964, 6.4.6 and 6.4.12)."""
    total = 0.0
    while x < STIRLING:
        total += 1.0 / (x * x)
        x += 1.0
    r = 1.0 / (x * x)
    series = 1 / 6 - r * (1 / 30 - r * (1 / 42 - r * (1 / 30 - r * (5 / 66 - r * 691 / 2730))))
    return total + 0.5 * r + (1.0 + r * series) / x


@deferred
def lgamma_rest(x: float) -> float:
    """Return log Γ(x) - (x - ½) log x + x - ½ log 2π, for x >= STIRLING.

    Abramowitz & Stegun (1964), 6.1.41.
    """
    r = 1.0 / (x * x)
    return (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - r * 691 / 360360))))) / x


@deferred
def lgamma_rise(x: float, y: float) -> tuple[float, float]:
    """Return log Γ(x + y) - log Γ(x) and its derivative in x, without cancellation for a large x; y >= 0."""
    if y == 0.0:
        return 0.0, 0.0
    if y <= FEW and x < 1e30 and y == np.floor(y):  # x (x + 1) … (x + y - 1) and its derivative
        product, above = x, 1.0
        for k in range(1, int(y)):
            above = above * (x + k) + product
            product *= x + k
        return np.log(product), above / product
    if x < STIRLING:
        return lgamma(x + y) - lgamma(x), digamma(x + y) - digamma(x)
    ratio = np.log1p(y / x)
    value = (x - 0.5) * ratio + y * (np.log(x + y) - 1.0) + lgamma_rest(x + y) - lgamma_rest(x)
    return value, ratio - digamma_rest(x + y) + digamma_rest(x)


@deferred
def log_ndtr(x: float) -> tuple[float, float]:
    """Return the logarithm of the standard normal distribution function at x, and its derivative.

    Below -20 by the asymptotic series of Abramowitz & Stegun (1964), 26.2.12.
    """
    density = -0.5 * x * x - LOG_ROOT_2PI
    if x > 0.0:
        tail = 0.5 * erfc(x * ROOT_HALF)
        return np.log1p(-tail), np.exp(density) / (1.0 - tail)
    if x > -20.0:
        value = np.log(0.5 * erfc(-x * ROOT_HALF))
        return value, np.exp(density - value)
    r, term, series = 1.0 / (x * x), 1.0, 1.0
    for k in range(1, 20, 2):
        term *= -k * r
        series += term
    return density - np.log(-x) + np.log(series), -x / series


@deferred
def log1m_exp(x: float) -> float:
    """Return log(1 - exp(x)) for x < 0 (Mächler 2012, vignette of R's Rmpfr, eq. 7)."""
    return np.log(-np.expm1(x)) if x > -0.6931471805599453 else np.log1p(-np.exp(x))


@deferred
def exponential_tails(w: float) -> tuple[float, float, float, float]:
    """Return log(1 - exp(-e)) and its derivative in w, of e = exp(w), and -e with its own."""
    if w < -36.0:  # 1 - exp(-e) is e
        e = np.exp(w)
        return w, 1.0, -e, -e
    e = np.exp(min(w, 700.0))
    return log1m_exp(-e), e / np.expm1(e) if e < 700.0 else 0.0, -e, -e


LOG2_E, ROOT_2 = 1.0 / np.log(2.0), np.sqrt(2.0)
# the bits behind the binary point, those of 1 and of 2^52
MANTISSA, ONE, TWO_52 = np.uint64(2**52 - 1), np.uint64(1023 << 52), np.uint64(1075 << 52)
LN2_HIGH = 6.93147180369123816490e-01  # its last bits are 0, so that multiples of it are exact
LN2_LOW = 1.90821492927058770002e-10
E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13 = (1.0 / factorial(k) for k in range(2, 14))


@row_function_in_order
def exp_lane(x: float) -> float:
    """Return exp(x) by arithmetic alone, so that a loop over it fills vector registers; x is cut to ±708."""
    x = min(max(x, -708.0), 708.0)
    n = np.floor(x * LOG2_E + 0.5)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    series = E7 + r * (E8 + r * (E9 + r * (E10 + r * (E11 + r * (E12 + r * E13)))))
    series = 1.0 + r * (1.0 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * series))))))
    power: float = np.int64((np.int64(n) + np.int64(1023)) << np.int64(52)).view(np.float64)
    return series * power


@row_function
def log1p_lane(t: float) -> float:
    """Return log(1 + t) for t in [0, 1], by arithmetic alone: 2 artanh(s) with s = t / (2 + t) <= 1/3."""
    s = t / (2.0 + t)
    z = s * s
    series = 1 / 25 + z * (1 / 27 + z * (1 / 29 + z * (1 / 31 + z * (1 / 33 + z * (1 / 35)))))
    series = 1 / 13 + z * (1 / 15 + z * (1 / 17 + z * (1 / 19 + z * (1 / 21 + z * (1 / 23 + z * series)))))
    series = 1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z * series)))))
    return 2.0 * s * series


@row_function
def log_lane(x: float) -> float:
    """Return log(x) for x > 0 that is neither infinite nor denormal, by arithmetic alone."""
    bits = np.float64(x).view(np.uint64)
    mantissa = np.uint64((bits & MANTISSA) | ONE).view(np.float64)  # from 1 to 2
    # processors turn few numbers at a time into floating point, but they can put bits behind those of 2^52
    exponent = np.uint64((bits >> np.uint64(52)) | TWO_52).view(np.float64) - (2.0**52 + 1023.0)
    halved = 1.0 if mantissa > ROOT_2 else 0.0
    away = mantissa * (1.0 - 0.5 * halved) - 1.0
    power = exponent + halved
    return power * LN2_HIGH + (away + (log1p_minus(away) + power * LN2_LOW))


@row_function
def log1p_minus(x: float) -> float:
    """Return log(1 + x) - x, about -x²/2 near 0, for |x| <= 1/2: 2 artanh(s) - x with s = x / (2 + x)."""
    s = x / (2.0 + x)
    z = s * s
    series = 1 / 25 + z * (1 / 27 + z * (1 / 29 + z * (1 / 31 + z * (1 / 33 + z * (1 / 35)))))
    series = 1 / 13 + z * (1 / 15 + z * (1 / 17 + z * (1 / 19 + z * (1 / 21 + z * (1 / 23 + z * series)))))
    series = 1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z * series))))
    return 2.0 * s * z * series - x * s


@row_function
def log_ratio_minus(ratio: float, away: float) -> float:
    """Return log r - (r - 1), of a ratio r and of r - 1, which may have more digits than the ratio shows."""
    return log1p_minus(away) if abs(away) < 0.5 else log_lane(ratio) - away


@row_function_in_order
def log1p_wide(x: float) -> float:
    """Return log(1 + x) for x >= 0, by arithmetic alone; what rounding left of 1 + x is added to its logarithm."""
    total = 1.0 + x
    found = log_lane(total) + (x - (total - 1.0)) / total
    return found if x < np.inf else x


@deferred
def log_ndtr_scaled(x: float) -> tuple[float, float]:
    """Return log Φ(x) + x²/2 and its derivative, φ(x)/Φ(x) + x, which stay small for a large negative x.

    Below -20 by the asymptotic series of Abramowitz & Stegun (1964), 26.2.12.
    """
    if x > -20.0:
        value, slope = log_ndtr(x)
        return value + 0.5 * x * x, slope + x
    r, term, rest = 1.0 / (x * x), 1.0, 0.0
    for k in range(1, 20, 2):
        term *= -k * r
        rest += term
    return -np.log(-x) - LOG_ROOT_2PI + np.log1p(rest), x * rest / (1.0 + rest)
