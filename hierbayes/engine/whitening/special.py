"""Special functions that the families' kernels need (numba)."""

from collections.abc import Callable
from math import erfc, factorial, lgamma
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hierbayes.engine.gaussian.lanes import compiled

ROOT_HALF, LOG_ROOT_2PI = np.sqrt(0.5), 0.5 * np.log(2 * np.pi)
STIRLING = 10.0  # from here on the asymptotic series below are exact to rounding


@compiled
def digamma(x: float) -> float:
    """Return the derivative of log Γ at x > 0.

    Abramowitz & Stegun (1964), 6.3.5 and 6.3.18.
    """
    shift = 0.0
    while x < STIRLING:
        shift -= 1.0 / x
        x += 1.0
    return shift + np.log(x) - digamma_rest(x)


@compiled
def digamma_rest(x: float) -> float:
    """Return log x - ψ(x), for x >= STIRLING."""
    r = 1.0 / (x * x)
    series = r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - r * 691 / 32760)))))
    return 0.5 / x + series


@compiled
def lgamma_rest(x: float) -> float:
    """Return log Γ(x) - (x - ½) log x + x - ½ log 2π, for x >= STIRLING.

    Abramowitz & Stegun (1964), 6.1.41.
    """
    r = 1.0 / (x * x)
    return (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - r * 691 / 360360))))) / x


@compiled
def factorial_rest(x: float) -> tuple[float, float]:
    """Return log Γ(x + 1) - x log x + x and its derivative, for x >= 0."""
    if x < STIRLING:
        return lgamma(x + 1.0) - (x * np.log(x) if x > 0.0 else 0.0) + x, digamma(x + 1.0) - np.log(x)
    return 0.5 * np.log(x) + LOG_ROOT_2PI + lgamma_rest(x), 1.0 / x - digamma_rest(x)


@compiled
def lgamma_rise(x: float, y: float) -> tuple[float, float]:
    """Return log Γ(x + y) - log Γ(x) and its derivative in x, without cancellation for a large x; y >= 0."""
    if y == 0.0:
        return 0.0, 0.0
    if x < STIRLING:
        return lgamma(x + y) - lgamma(x), digamma(x + y) - digamma(x)
    ratio = np.log1p(y / x)
    value = (x - 0.5) * ratio + y * (np.log(x + y) - 1.0) + lgamma_rest(x + y) - lgamma_rest(x)
    return value, ratio - digamma_rest(x + y) + digamma_rest(x)


@compiled
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


@compiled
def log1p_rest(d: float) -> float:
    """Return log(1 + d) - d, near 0 by log(1 + d) = 2 artanh(s) with s = d / (2 + d), of which 2s - d = -s d."""
    if abs(d) >= 0.1:
        return np.log1p(d) - d
    s = d / (2.0 + d)
    z = s * s
    series = z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z / 13)))))
    return s * (2.0 * series - d)


@intrinsic  # type: ignore[untyped-decorator]
def _of_bits(typing_context: Any, bits: Any) -> Any:
    """Return the floating-point number whose bits an integer holds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


# Only here must sums keep their order: what is subtracted last is what rounding left of the first.
def _in_order[F: Callable[..., Any]](function: F) -> F:
    return nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)


LOG2_E = 1.0 / np.log(2.0)
LN2_HIGH = 6.93147180369123816490e-01  # its last bits are 0, so that multiples of it are exact
LN2_LOW = 1.90821492927058770002e-10
E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13 = (1.0 / factorial(k) for k in range(2, 14))


@_in_order
def exp_lane(x: float) -> float:
    """Return exp(x) by arithmetic alone, so that a loop over it fills vector registers; x is cut to ±708."""
    x = min(max(x, -708.0), 708.0)
    n = np.floor(x * LOG2_E + 0.5)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    series = E7 + r * (E8 + r * (E9 + r * (E10 + r * (E11 + r * (E12 + r * E13)))))
    series = 1.0 + r * (1.0 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * series))))))
    return series * _of_bits((np.int64(n) + np.int64(1023)) << np.int64(52))


@compiled
def log1p_lane(t: float) -> float:
    """Return log(1 + t) for t in [0, 1], by arithmetic alone: 2 artanh(s) with s = t / (2 + t) <= 1/3."""
    s = t / (2.0 + t)
    z = s * s
    series = 1 / 25 + z * (1 / 27 + z * (1 / 29 + z * (1 / 31 + z * (1 / 33 + z * (1 / 35)))))
    series = 1 / 13 + z * (1 / 15 + z * (1 / 17 + z * (1 / 19 + z * (1 / 21 + z * (1 / 23 + z * series)))))
    series = 1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z * series)))))
    return 2.0 * s * series
