"""Positive responses whose logarithm is normal."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.families.gaussian import LOG_2PI, row
from hierbayes.families.gaussian import simulate as simulate_normal
from hierbayes.families.record import ABOVE_ZERO, Array, Family, Parameter, sigma
from hierbayes.kinds import NUMBER, ParameterValues, Positive


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
    information=lambda mu, sigma: 1 / np.square(sigma.value),
    equation="LogNormal(mu, sigma)",
    log_response=True,
    normal=True,
    place=3,
)
