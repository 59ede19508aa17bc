"""Angles about a direction mu, the closer the larger kappa is: the von Mises distribution.

An average of angles says nothing where they lie about π, so the family has no expected response: ask for mu.
"""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import OWN_LINKS, Array, Family, Parameter, Support
from hierbayes.kinds import NUMBER, POSITIVE, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import LOG_ROOT_2PI

ANGLE = Support(
    "an angle in radians, from −π to π",
    lambda y, trials: np.abs(y) <= np.pi,
    advice="Angles in degrees are to be made radians, numpy.deg2rad(y), and those beyond π to be taken back by turns: "
    "(y + π) % (2π) − π",
)
LARGE = 20.0  # kappa from which on the asymptotic series of Bessel functions are exact to rounding
TERMS = 30  # of the series of its distribution function
MOST = 1e6  # kappa beyond which a von Mises variable is normal to rounding


@deferred
def shared(kappa: PositiveRow) -> tuple[float, float]:
    """Return log(I0(kappa) exp(−kappa)) and kappa (1 − I1(kappa) / I0(kappa)).

    Abramowitz & Stegun (1964), 9.6.10 and 9.7.1.
    """
    x = kappa.value
    if x < LARGE:
        square, term, first, other = 0.25 * x * x, 1.0, 1.0, 1.0
        for j in range(1, 60):
            term *= square / (j * j)
            first += term
            other += term / (j + 1)
        return np.log(first) - x, x * (1.0 - 0.5 * x * other / first)
    term, below, total, rest = 1.0, 1.0, 1.0, 0.0
    for j in range(1, 30):
        odd = (2.0 * j - 1.0) ** 2
        term *= odd / (8.0 * j * x)
        below *= -(4.0 - odd) / (8.0 * j * x)
        total += term
        rest += term - below
    return np.log(total) - LOG_ROOT_2PI - 0.5 * kappa.log, x * rest / total


@row_function
def row(y: float, mu: NumberRow, kappa: PositiveRow, once: tuple[float, float]) -> tuple[float, float, float]:
    """Return the log density without log 2π, and its scores in mu and log kappa."""
    log_bessel, less = once
    half = np.sin(0.5 * (y - mu.value))
    away = 2.0 * kappa.value * half * half
    return -away - log_bessel, kappa.value * np.sin(y - mu.value), less - away


def simulate(rng: np.random.Generator, mu: ParameterValues, kappa: Positive) -> Array:
    """Responses."""
    shape = np.shape(mu.eta)
    about = rng.vonmises(0.0, np.broadcast_to(np.minimum(kappa.value, MOST), shape))
    close = rng.standard_normal(shape) / np.sqrt(kappa.value)
    turned = np.where(np.asarray(kappa.value) > MOST, close, about) + mu.value
    return np.clip(turned - 2 * np.pi * np.round(turned / (2 * np.pi)), -np.pi, np.pi)


def cdf(y: Array, mu: ParameterValues, kappa: Positive) -> Array:
    """P(−π < Y <= y): from the distribution about 0, which goes up by 1 each turn."""
    low, high = -np.pi - mu.value, y - mu.value
    side = np.where(low + high > 0, -1.0, 1.0)  # that on which the smaller tails keep their digits
    low, high = side * low, side * high
    return np.clip(side * (_below(high, kappa.value) - _below(low, kappa.value)), 0.0, 1.0)


def _below(angle: Array, kappa: Array) -> Array:
    """The distribution function about 0 at any angle, from its mode on; far below it with all digits."""
    from scipy import stats  # half a second to import

    angle, kappa = np.broadcast_arrays(np.asarray(angle, np.float64), kappa)
    turns = np.round(angle / (2 * np.pi))
    close = turns + _close(angle - 2 * np.pi * turns, np.maximum(kappa, LARGE))
    return np.where(kappa < LARGE, stats.vonmises.cdf(angle, np.minimum(kappa, LARGE)), close)


def _close(angle: Array, kappa: Array) -> Array:
    """The same between −π and π where kappa is large.

    As u = 2 √kappa sin(angle / 2) has the density φ(u) / √(1 − u²/(4 kappa)), but for a constant, it is a series of
    incomplete moments of a normal variable. SciPy has an approximation there, off by 1e-6.
    """
    half = 2.0 * kappa * np.sin(0.5 * angle) ** 2
    term, total, beyond = np.ones_like(kappa), np.zeros_like(kappa), np.zeros_like(half)
    for j in range(TERMS):
        total += term
        beyond += term * special.gammaincc(j + 0.5, half)
        term = term * (2.0 * j + 1.0) ** 2 / (8.0 * (j + 1.0) * kappa)
    beyond *= 0.5 / total
    return np.where(angle > 0, 1.0 - beyond, beyond)


def information(mu: ParameterValues, kappa: Positive) -> Array:
    """kappa I1(kappa) / I0(kappa)."""
    value: Array = kappa.value * special.i1e(kappa.value) / special.i0e(kappa.value) + 0 * mu.value
    return value


def graph(pm: Any, mu: Any, kappa: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's von Mises distribution."""
    return pm.VonMises, {"mu": mu.value, "kappa": kappa.value}


FAMILY = Family(
    "von_mises",
    parameters=(
        Parameter("mu", NUMBER, ("tan_half", "identity"), "direction"),
        Parameter(
            "kappa",
            POSITIVE,
            OWN_LINKS,
            "concentration",
            lambda spread: Prior("Exponential", lam=0.1),
            lambda spread: 3.0,
        ),
    ),
    support=ANGLE,
    row=row,
    shared=shared,
    of_y_alone=lambda y: np.full(np.shape(y), -np.log(2 * np.pi)),
    graph=graph,
    simulate=simulate,
    cdf=cdf,
    information=information,
    has_variance=False,
    equation="VonMises(mu, kappa)",
    place=35,
)
