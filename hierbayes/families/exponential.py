"""Waiting times whose hazard is the same at all times."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hierbayes.compiling import deferred, row_function
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
from hierbayes.families.weibull import moment_between
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.special import exp_lane, exponential_tails


@row_function
def row(y: float, mu: PositiveRow) -> tuple[float, float]:
    """Return the log density and its score in log mu."""
    ratio = y * exp_lane(-mu.log)
    return -mu.log - ratio, ratio - 1.0


@deferred
def tails(y: float, mu: PositiveRow) -> tuple[float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its score in log mu."""
    if y <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0
    below, rise, above, fall = exponential_tails(np.log(y) - mu.log)
    return below, -rise, above, -fall


def moments(log_mass: Callable[..., Array], lower: Array, upper: Array, mu: Positive) -> tuple[Array, Array]:
    """Mean and variance between two ends."""
    low, high = np.maximum(lower, 0.0) / mu.value, upper / mu.value
    once, twice = (moment_between(low, high, k) for k in (1, 2))
    return mu.value * once, np.square(mu.value) * np.maximum(twice - np.square(once), 0.0)


def simulate(rng: np.random.Generator, mu: Positive) -> Array:
    """Responses; what underflows to 0 is none."""
    return np.maximum(rng.exponential(mu.value), TINY)


def cdf(y: Array, mu: Positive) -> Array:
    """1 − exp(−y / mu)."""
    with np.errstate(divide="ignore", over="ignore"):  # a mean that vanished
        return -np.expm1(-y / mu.value)


def graph(pm: Any, mu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's exponential distribution."""
    return pm.Exponential, {"lam": 1 / mu.value}


FAMILY = Family(
    "exponential",
    parameters=(Parameter("mu", POSITIVE, POSITIVE_LINKS, "mean"),),
    support=ABOVE_ZERO,
    row=row,
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu: np.square(mu.value),
    cdf=cdf,
    tails=Tails(tails, moments, lambda y, lam: -y * lam),
    information=lambda mu: 1 + 0 * mu.value,
    equation="Exponential(rate 1/mu)",
    place=16,
)
