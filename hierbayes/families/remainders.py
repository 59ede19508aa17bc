"""Parts of log densities in which nothing cancels, however large a shape or a precision is.

Near its mode a density is a difference of terms that are larger by many powers of ten. What is left of the logarithm
and of log Γ once those terms are taken away by hand is small, and known to all its digits.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
STIRLING = 1000.0  # from here on two terms of Stirling's series are exact to rounding
NEAR = 0.1


def log1p_rest(d: Array) -> Array:
    """log(1 + d) − d.

    Near 0 by log(1 + d) = 2 artanh(s) with s = d / (2 + d), of which 2s − d = −s d is known exactly.

    Examples
    --------
    >>> float(log1p_rest(np.array(1e-9)))
    -4.999999996666667e-19
    """
    s = np.where(np.abs(d) < NEAR, d / (2 + d), 0.0)
    z = s * s
    near = 2 * s * z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z / 13))))) - s * d
    with np.errstate(divide="ignore"):
        return np.where(np.abs(d) < NEAR, near, np.log1p(d) - d)


def stirling_rest(x: Array) -> Array:
    """log Γ(x) − (x − ½) log x + x − ½ log 2π for x >= `STIRLING` (Abramowitz & Stegun 1964, 6.1.41).

    Examples
    --------
    >>> float(stirling_rest(np.array(1e4)))
    8.333333330555556e-06
    """
    return (1 - 1 / (30 * x * x)) / (12 * x)


def factorial_rest(x: Array) -> Array:
    """log Γ(x + 1) − x log x + x for x >= 0.

    Examples
    --------
    >>> factorial_rest(np.array([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    small, large = np.minimum(x, STIRLING), np.maximum(x, STIRLING)
    near = special.gammaln(small + 1) - special.xlogy(small, small) + small
    return np.where(x < STIRLING, near, 0.5 * np.log(2 * np.pi * large) + stirling_rest(large))


def log_rise(log_x: Array, y: Array) -> Array:
    """log Γ(x + y) − log Γ(x) for y = 0 or y >= 1; of a whole y the logarithm of x (x + 1) … (x + y − 1).

    Without what differences lose: x may underflow to 0 (its own factor is split off), or be so large that both
    logarithms agree in all their digits (then by Stirling's series).
    """
    x = np.exp(np.minimum(log_x, 700.0)) + 1
    return np.where(y > 0, log_x + rise(x, np.maximum(y - 1, 0)), 0.0)


def rise(x: Array, k: Array) -> Array:
    """log Γ(x + k) − log Γ(x) for x > 0, k >= 0.

    Examples
    --------
    >>> rise(np.array([3.0, 1e16]), np.array(0.5)).round(4).tolist()
    [0.5078, 18.4207]
    """
    small, large = np.minimum(x, STIRLING), np.maximum(x, STIRLING)
    near = special.gammaln(small + k) - special.gammaln(small)
    rests = stirling_rest(large + k) - stirling_rest(large)
    far = (large - 0.5) * np.log1p(k / large) + k * (np.log(large + k) - 1) + rests
    return np.where(x < STIRLING, near, far)
