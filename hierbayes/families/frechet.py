"""Largest values whose tail is a power: the Fréchet distribution. mu is the mean, nu the tail's power, above 1."""

from collections.abc import Callable
from math import lgamma
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import (
    ABOVE_ZERO,
    POSITIVE_LINKS,
    TINY,
    Array,
    Family,
    Parameter,
    Tails,
    first_value,
)
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import digamma, exp_lane, exponential_tails, log_lane


@deferred
def shared(nu: PositiveRow) -> tuple[float, float]:
    """Return log Γ(1 − 1/nu), the logarithm of the mean over the scale, and digamma there; NaN where it has no mean."""
    x = 1.0 - 1.0 / nu.value
    if x <= 0.0:
        return np.nan, 0.0
    return lgamma(x), digamma(x)


@row_function
def row(y: float, mu: PositiveRow, nu: PositiveRow, once: tuple[float, float]) -> tuple[float, float, float]:
    """Return the log density without -log y, and its scores in log mu and log nu."""
    log_mean, slope = once
    if not log_mean < np.inf:
        return -np.inf, 0.0, 0.0
    w = -nu.value * (log_lane(y) - mu.log + log_mean)
    excess = exp_lane(w) - 1.0
    return nu.log + w - excess - 1.0, -nu.value * excess, 1.0 - excess * (w - slope)


@deferred
def tails(
    y: float, mu: PositiveRow, nu: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores in log mu and log nu."""
    log_mean, slope = once
    if y <= 0.0 or not log_mean < np.inf:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    w = -nu.value * (np.log(y) - mu.log + log_mean)
    above, rise, below, fall = exponential_tails(w)
    by_nu = w - slope
    return below, nu.value * fall, fall * by_nu, above, nu.value * rise, rise * by_nu


def moments(
    log_mass: Callable[..., Array], lower: Array, upper: Array, mu: Positive, nu: Positive
) -> tuple[Array, Array]:
    """Mean and variance between two ends, infinite where there is none.

    (y / scale)^−nu is a standard exponential variable, of which these are powers −1/nu and −2/nu.
    """
    unit, power = scale(mu, nu), 1 / np.asarray(nu.value)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        low, high = (upper / unit) ** -nu.value, (np.maximum(lower, 0.0) / unit) ** -nu.value
        once, twice = (_power_between(low, high, -k * power) for k in (1, 2))
        return unit * once, np.square(unit) * np.maximum(twice - np.square(once), 0.0)


def _power_between(low: Array, high: Array, power: Array) -> Array:
    """Expectation of a power above −2 of a standard exponential variable, given that it lies between two ends.

    Γ(a, x) for an a below 0 is (Γ(a + 1, x) − x^a exp(−x)) / a.
    """
    a = 1.0 + power
    inside = np.where(a > 0, a, a + 1.0)

    def above(x: Array) -> Array:
        direct = special.gammaincc(inside, x) * special.gamma(inside)
        edge = np.where(np.isinf(x), 0.0, x**a * np.exp(-np.where(np.isinf(x), 0.0, x)))
        return np.asarray(np.where(a > 0, direct, (direct - edge) / a))

    mass = np.exp(-low) * -np.expm1(low - high)
    return np.asarray((above(low) - above(high)) / mass)


def scale(mu: Positive, nu: Positive) -> Array:
    """The scale of that mean; NaN where there is none."""
    with np.errstate(invalid="ignore"):
        power = np.where(np.asarray(nu.value) > 1, 1 / nu.value, np.nan)
        value: Array = mu.value * np.exp(-special.gammaln(1 - power))
    return value


def simulate(rng: np.random.Generator, mu: Positive, nu: Positive) -> Array:
    """Responses."""
    with np.errstate(over="ignore"):
        drawn = np.exp(-np.log(rng.standard_exponential(np.shape(mu.eta))) / nu.value)
        return np.clip(np.minimum(scale(mu, nu), 1e300) * drawn, TINY, 1e300)


def variance(mu: Positive, nu: Positive) -> Array:
    """The mean's square times Γ(1 − 2/nu) / Γ(1 − 1/nu)² − 1, infinite up to nu = 2."""
    power = 1 / np.maximum(nu.value, 2.0)
    with np.errstate(over="ignore", invalid="ignore"):
        log_ratio = special.gammaln(1 - 2 * power) - 2 * special.gammaln(1 - power)
        return np.where(np.asarray(nu.value) > 2, np.square(mu.value) * np.expm1(log_ratio), np.inf)


def cdf(y: Array, mu: Positive, nu: Positive) -> Array:
    """exp(−(y / scale)^−nu)."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # a mean that vanished
        value: Array = np.exp(-((y / scale(mu, nu)) ** -nu.value))
    return value


def _log_over_scale(y: Any, mean: Any, power: Any) -> Any:
    """The logarithm of a response over the scale, in tensors."""
    import pytensor.tensor as pt

    return pt.log(y) - pt.log(mean) + pt.gammaln(1 - 1 / pt.maximum(power, 1.0))


def tensor_below(y: Any, mean: Any, power: Any) -> Any:
    """The logarithm of the probability below y, in tensors."""
    import pytensor.tensor as pt

    return -pt.exp(-power * _log_over_scale(y, mean, power))


def tensor_above(y: Any, mean: Any, power: Any) -> Any:
    """The logarithm of the probability above y, in tensors."""
    import pytensor.tensor as pt

    return pt.log(-pt.expm1(tensor_below(y, mean, power)))


def graph(pm: Any, mu: Any, nu: Any) -> tuple[Any, dict[str, Any]]:
    """Its density by scale and power."""
    import pytensor.tensor as pt

    def log_density(y: Any, mean: Any, power: Any) -> Any:
        z = _log_over_scale(y, mean, power)
        value = pt.log(power) - pt.log(y) - power * z - pt.exp(-power * z)
        return pt.switch(power > 1, value, -np.inf)

    return ByDensity(pm, log_density), {"mean": mu.value, "power": nu.value}


FAMILY = Family(
    "frechet",
    parameters=(
        Parameter("mu", POSITIVE, POSITIVE_LINKS, "mean"),
        Parameter(
            "nu",
            POSITIVE,
            ("logm1", "identity"),
            "power of the tail, above 1",
            lambda spread: Prior("InverseGamma", alpha=2.0, beta=12.0),
            lambda spread: 7.0,
        ),
    ),
    support=ABOVE_ZERO,
    row=row,
    shared=shared,
    of_y_alone=lambda y: -np.log(y),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=variance,
    cdf=cdf,
    tails=Tails(tails, moments, tensor_above, tensor_below),
    information=lambda mu, nu: np.square(nu.value) + 0 * mu.value,
    equation="Frechet(nu, scale mu/Γ(1 − 1/nu))",
    has_variance=False,
    place=18,
)
