"""Positive responses whose standard deviation grows with their mean."""

from collections.abc import Callable
from math import lgamma
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import (
    ABOVE_ZERO,
    POSITIVE_LINKS,
    SHAPE,
    TINY,
    Array,
    Family,
    Parameter,
    Tails,
    first_value,
)
from hierbayes.incomplete import gamma_tails
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.special import (
    LOG_ROOT_2PI,
    STIRLING,
    digamma,
    digamma_rest,
    lgamma_rest,
    log1p_minus,
    log_lane,
)


@deferred
def shared(shape: PositiveRow) -> tuple[float, float]:
    """Return shape log shape - shape - log Γ(shape), and its derivative."""
    if shape.value < STIRLING:
        constant = shape.value * shape.log - shape.value - lgamma(shape.value)
        return constant, shape.log - digamma(shape.value)
    return 0.5 * shape.log - LOG_ROOT_2PI - lgamma_rest(shape.value), digamma_rest(shape.value)


@row_function
def row(
    y: float, mu: PositiveRow, shape: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float]:
    """Return the log density without -log y, and its scores in log mu and log shape."""
    constant, slope = once
    away = (y - mu.value) / mu.value
    # log r - r + 1 of r = y / mu, which would lose all digits about r = 1: a large shape shows it
    deviance = log1p_minus(away) if abs(away) < 0.5 else log_lane(y) - mu.log - away
    return shape.value * deviance + constant, shape.value * away, shape.value * (deviance + slope)


@deferred
def tails(
    y: float, mu: PositiveRow, shape: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores in log mu and log shape."""
    if y <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    a = shape.value
    below, below_a, below_x, above, above_a, above_x = gamma_tails(a, a * y / mu.value)
    return below, -below_x, a * below_a + below_x, above, -above_x, a * above_a + above_x


def moments(
    log_mass: Callable[..., Array], lower: Array, upper: Array, mu: Positive, shape: Positive
) -> tuple[Array, Array]:
    """Mean and variance between two ends.

    Of the k-th moment such a share lies between them as of a gamma distribution of the same rate and shape + k.
    """
    rate = shape.value / mu.value

    def log_share(k: int) -> Array:
        more = shape.value + k
        own = POSITIVE.under("identity", more / rate), POSITIVE.under("identity", more)
        return log_mass(lower, upper, mu=own[0], shape=own[1])

    none, once, twice = (log_share(k) for k in range(3))
    mean = mu.value * np.exp(once - none)
    return mean, np.square(mean) * np.maximum(
        (1 + 1 / shape.value) * np.exp(twice + none - 2 * once) - 1, 0.0
    )


def simulate(rng: np.random.Generator, mu: Positive, shape: Positive) -> Array:
    """Responses; a small shape underflows to 0, which is none."""
    own = np.broadcast_to(shape.value, np.shape(mu.eta))
    return np.maximum(rng.gamma(own, mu.value / own), TINY)


def cdf(y: Array, mu: Positive, shape: Positive) -> Array:
    """Regularised incomplete gamma function."""
    with np.errstate(divide="ignore"):  # a mean that vanished
        return special.gammainc(shape.value, shape.value * y / mu.value)


def graph(pm: Any, mu: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's gamma distribution."""
    return pm.Gamma, {"alpha": shape.value, "beta": shape.value / mu.value}


FAMILY = Family(
    "gamma",
    parameters=(Parameter("mu", POSITIVE, POSITIVE_LINKS, "mean"), SHAPE),
    support=ABOVE_ZERO,
    row=row,
    shared=shared,
    of_y_alone=lambda y: -np.log(y),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu, shape: np.square(mu.value) / shape.value,
    cdf=cdf,
    tails=Tails(tails, moments),
    information=lambda mu, shape: shape.value + 0 * mu.value,
    equation="Gamma(shape, rate shape/mu)",
    place=9,
)
