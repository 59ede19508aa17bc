"""Normal responses."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families import correlated
from hierbayes.families.record import NUMBER_LINKS, REAL, Array, Family, Parameter, Tails, first_value, sigma
from hierbayes.kinds import NUMBER, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.special import log_ndtr

LOG_2PI = float(np.log(2 * np.pi))


@row_function
def row(y: float, mu: NumberRow, sigma: PositiveRow) -> tuple[float, float, float]:
    """Return the log density but for its constant, and its scores in mu and log sigma."""
    z = (y - mu.value) / sigma.value
    return -0.5 * z * z - sigma.log, z / sigma.value, z * z - 1.0


@deferred
def tails(y: float, mu: NumberRow, sigma: PositiveRow) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores in mu and log sigma."""
    z = (y - mu.value) / sigma.value
    below, rise = log_ndtr(z)
    above, fall = log_ndtr(-z)
    return below, -rise / sigma.value, -z * rise, above, fall / sigma.value, z * fall


def moments(
    log_mass: Callable[..., Array], lower: Array, upper: Array, mu: ParameterValues, sigma: Positive
) -> tuple[Array, Array]:
    """Mean and variance between two ends (Johnson, Kotz & Balakrishnan 1994, 13.10.1)."""
    low, high = (lower - mu.value) / sigma.value, (upper - mu.value) / sigma.value
    mass = log_mass(lower, upper, mu=mu, sigma=sigma)
    at_low, at_high = (np.exp(-0.5 * (z * z + LOG_2PI) - mass) for z in (low, high))
    shift = at_low - at_high
    rest = np.where(np.isfinite(low), low, 0.0) * at_low - np.where(np.isfinite(high), high, 0.0) * at_high
    return mu.value + sigma.value * shift, np.square(sigma.value) * np.maximum(1 + rest - shift * shift, 0.0)


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive) -> Array:
    """Responses, drawn in the order in memory of the means: adding them would take as long as drawing otherwise."""
    shape = np.shape(mu.eta)
    noise = rng.standard_normal(shape[::-1]).T if np.isfortran(mu.eta) else rng.standard_normal(shape)
    noise = noise * sigma.value
    noise += mu.value
    return noise


def graph(pm: Any, mu: Any, sigma: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's normal distribution."""
    return pm.Normal, {"mu": mu.value, "sigma": sigma.value}


FAMILY = Family(
    "gaussian",
    parameters=(Parameter("mu", NUMBER, NUMBER_LINKS, "mean"), sigma("residual standard deviation")),
    support=REAL,
    row=row,
    of_y_alone=lambda y: np.full(np.shape(y), -0.5 * LOG_2PI),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu, sigma: np.square(sigma.value) + 0 * mu.value,
    cdf=lambda y, mu, sigma: special.ndtr((y - mu.value) / sigma.value),
    tails=Tails(tails, moments),
    information=lambda mu, sigma: 1 / np.square(sigma.value),
    equation="Normal(mu, sigma)",
    normal=True,
    takes_se=True,
    correlated=correlated.NORMAL,
    place=1,
)
