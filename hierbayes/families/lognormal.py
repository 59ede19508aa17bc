"""Positive responses whose logarithm is normal."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred
from hierbayes.families.gaussian import LOG_2PI, row
from hierbayes.families.gaussian import simulate as simulate_normal
from hierbayes.families.gaussian import tails as normal_tails
from hierbayes.families.record import ABOVE_ZERO, Array, Family, Parameter, Tails, sigma
from hierbayes.kinds import NUMBER, NumberRow, ParameterValues, Positive, PositiveRow


@deferred
def tails(y: float, mu: NumberRow, sigma: PositiveRow) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores in mu and log sigma."""
    if y <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    return normal_tails(np.log(y), mu, sigma)


def moments(
    log_mass: Callable[..., Array], lower: Array, upper: Array, mu: ParameterValues, sigma: Positive
) -> tuple[Array, Array]:
    """Mean and variance between two ends.

    Of the k-th moment such a share lies between them as of a lognormal distribution with mu + k sigma².
    """
    square = np.square(sigma.value)

    def log_moment(k: int) -> Array:
        moved = NUMBER.under("identity", mu.value + k * square)
        found: Array = k * mu.value + k * k * square / 2 + log_mass(lower, upper, mu=moved, sigma=sigma)
        return found

    none, once, twice = (log_moment(k) for k in range(3))
    mean = np.exp(once - none)
    return mean, np.square(mean) * np.maximum(np.expm1(twice + none - 2 * once), 0.0)


def mean(mu: ParameterValues, sigma: Positive) -> Array:
    """exp(mu + sigma²/2)."""
    value: Array = np.exp(mu.value + np.square(sigma.value) / 2)
    return value


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive) -> Array:
    """Responses; 0 and infinity are none."""
    return np.exp(np.clip(simulate_normal(rng, mu, sigma), -700, 700))


def graph(pm: Any, mu: Any, sigma: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's lognormal distribution."""
    return pm.LogNormal, {"mu": mu.value, "sigma": sigma.value}


FAMILY = Family(
    "lognormal",
    parameters=(
        Parameter("mu", NUMBER, ("identity", "inverse"), "mean of the logarithm"),
        sigma("standard deviation of the logarithm"),
    ),
    support=ABOVE_ZERO,
    row=row,
    response=np.log,
    of_y_alone=lambda y: -0.5 * LOG_2PI - np.log(y),
    graph=graph,
    simulate=simulate,
    mean=mean,
    own_in_mean=("sigma",),
    variance=lambda mu, sigma: np.expm1(np.square(sigma.value)) * mean(mu, sigma) ** 2,
    cdf=lambda y, mu, sigma: special.ndtr((np.log(y) - mu.value) / sigma.value),
    tails=Tails(tails, moments),
    information=lambda mu, sigma: 1 / np.square(sigma.value),
    equation="LogNormal(mu, sigma)",
    log_response=True,
    normal=True,
    place=3,
)
