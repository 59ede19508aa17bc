"""Waiting times: positive responses whose hazard is a power of time."""

from collections.abc import Callable
from math import lgamma
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import (
    ABOVE_ZERO,
    OWN_LINKS,
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

FAR = 600.0  # exp() of it is a number still


@deferred
def shared(shape: PositiveRow) -> tuple[float, float]:
    """Return log Γ(1 + 1/shape), the logarithm of the mean over the scale, and digamma there."""
    x = 1.0 + 1.0 / shape.value
    return lgamma(x), digamma(x)


@row_function
def row(
    y: float, mu: PositiveRow, shape: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float]:
    """Return the log density without -log y, and its scores in log mu and log shape."""
    log_mean, slope = once
    w = shape.value * (log_lane(y) - mu.log + log_mean)
    excess = exp_lane(w) - 1.0
    return shape.log + w - excess - 1.0, shape.value * excess, 1.0 - w * excess + excess * slope


@deferred
def tails(
    y: float, mu: PositiveRow, shape: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores in log mu and log shape."""
    if y <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    log_mean, slope = once
    w = shape.value * (np.log(y) - mu.log + log_mean)
    below, rise, above, fall = exponential_tails(w)
    by_shape = w - slope
    return below, -shape.value * rise, rise * by_shape, above, -shape.value * fall, fall * by_shape


def moments(
    log_mass: Callable[..., Array], lower: Array, upper: Array, mu: Positive, shape: Positive
) -> tuple[Array, Array]:
    """Mean and variance between two ends."""
    unit, power = scale(mu, shape), shape.value
    with np.errstate(over="ignore"):
        low, high = (np.maximum(lower, 0.0) / unit) ** power, (upper / unit) ** power
    once, twice = (moment_between(low, high, k / power) for k in (1, 2))
    return unit * once, np.square(unit) * np.maximum(twice - np.square(once), 0.0)


def moment_between(low: Array, high: Array, power: Array | float) -> Array:
    """Expectation of a power of a standard exponential variable, given that it lies between two ends."""
    width = high - low
    with np.errstate(over="ignore", invalid="ignore"):
        part = np.where(
            np.isinf(high), 0.0, np.exp(-width) * _beyond(np.where(np.isinf(high), 0.0, high), power)
        )
        return np.asarray((_beyond(low, power) - part) / -np.expm1(-width))


def _beyond(w: Array, power: Array | float) -> Array:
    """exp(w) Γ(1 + power, w): far out by its asymptotic series (Abramowitz & Stegun 1964, 6.5.32)."""
    near = np.minimum(w, FAR)
    found = np.exp(near) * special.gammaincc(1 + power, near) * special.gamma(1 + power)
    far = np.maximum(w, FAR)
    terms = np.cumprod([(power - k) / far for k in range(8)], axis=0)
    series = 1 + terms.sum(axis=0)
    return np.where(w < FAR, found, far**power * series)


def above(y: Any, alpha: Any, beta: Any) -> Any:
    """Logarithm of the probability above y, in tensors."""
    return -((y / beta) ** alpha)


def scale(mu: Positive, shape: Positive) -> Array:
    """The scale of that mean."""
    value: Array = mu.value / special.gamma(1 + 1 / shape.value)
    return value


def simulate(rng: np.random.Generator, mu: Positive, shape: Positive) -> Array:
    """Responses; a small shape underflows to 0, which is none."""
    noise = rng.weibull(np.broadcast_to(shape.value, np.shape(mu.eta)))
    return np.maximum(scale(mu, shape) * noise, TINY)


def variance(mu: Positive, shape: Positive) -> Array:
    """The mean's square times Γ(1 + 2/shape) / Γ(1 + 1/shape)² − 1."""
    log_ratio = special.gammaln(1 + 2 / shape.value) - 2 * special.gammaln(1 + 1 / shape.value)
    value: Array = np.square(mu.value) * np.expm1(log_ratio)
    return value


def cdf(y: Array, mu: Positive, shape: Positive) -> Array:
    """1 − exp(−(y / scale)^shape)."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # a mean that vanished
        return -np.expm1(-((y / scale(mu, shape)) ** shape.value))


def graph(pm: Any, mu: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's Weibull distribution."""
    m = shape.m
    return pm.Weibull, {"alpha": shape.value, "beta": mu.value / m.exp(m.gammaln(1 + 1 / shape.value))}


FAMILY = Family(
    "weibull",
    parameters=(
        Parameter("mu", POSITIVE, POSITIVE_LINKS, "mean"),
        Parameter(
            "shape", POSITIVE, OWN_LINKS, "shape", lambda spread: Prior("LogNormal", mu=0.0, sigma=1.0)
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
    tails=Tails(tails, moments, above),
    information=lambda mu, shape: np.square(shape.value) + 0 * mu.value,
    equation="Weibull(shape, scale mu/Γ(1 + 1/shape))",
)
