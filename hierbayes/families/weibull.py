"""Waiting times: positive responses whose hazard is a power of time."""

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
    first_value,
)
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import digamma, exp_lane, log_lane


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
    information=lambda mu, shape: np.square(shape.value) + 0 * mu.value,
    equation="Weibull(shape, scale mu/Γ(1 + 1/shape))",
)
