"""Times that begin after a shift: what lies beyond it is lognormal, as reaction times after a non-decision time."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families import lognormal
from hierbayes.families.densities import ByDensity
from hierbayes.families.gaussian import LOG_2PI
from hierbayes.families.gaussian import simulate as simulate_normal
from hierbayes.families.gaussian import tails as normal_tails
from hierbayes.families.record import ABOVE_ZERO, OWN_LINKS, Array, Family, Parameter, Tails, sigma
from hierbayes.kinds import NUMBER, POSITIVE, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import log_lane
from hierbayes.tensormath import tensor_math


@row_function
def row(y: float, mu: NumberRow, sigma: PositiveRow, ndt: PositiveRow) -> tuple[float, float, float, float]:
    """Return the log density but for its constant, and its scores in mu, log sigma and log ndt."""
    beyond = y - ndt.value
    if beyond <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0
    log = log_lane(beyond)
    z = (log - mu.value) / sigma.value
    value = -0.5 * z * z - sigma.log - log
    return value, z / sigma.value, z * z - 1.0, ndt.value / beyond * (1.0 + z / sigma.value)


@deferred
def tails(
    y: float, mu: NumberRow, sigma: PositiveRow, ndt: PositiveRow
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores."""
    beyond = y - ndt.value
    if beyond <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    below, rise, by_sigma, above, fall, down_sigma = normal_tails(np.log(beyond), mu, sigma)
    later = ndt.value / beyond  # moves log(y − ndt) down, as mu moves it up
    return below, rise, by_sigma, rise * later, above, fall, down_sigma, fall * later


def moments(
    log_mass: Callable[..., Array],
    lower: Array,
    upper: Array,
    mu: ParameterValues,
    sigma: Positive,
    ndt: Positive,
) -> tuple[Array, Array]:
    """Mean and variance between two ends."""

    def of_rest(low: Array, high: Array, **own: ParameterValues) -> Array:
        return log_mass(low, high, **own, ndt=ndt)

    mean, variance = lognormal.moments(of_rest, lower, upper, mu, sigma)
    return ndt.value + mean, variance


def tensor_tails(y: Any, mu: Any, sigma: Any, ndt: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities below and above y, in tensors."""
    import pymc as pm
    import pytensor.tensor as pt

    inside, log_ndtr = y > ndt, tensor_math(pm).log_ndtr
    z = (pt.log(pt.switch(inside, y - ndt, 1.0)) - mu) / sigma
    return pt.switch(inside, log_ndtr(z), -np.inf), pt.switch(inside, log_ndtr(-z), 0.0)


def beyond(mu: ParameterValues, sigma: Positive) -> Array:
    """The mean of what lies beyond the shift, exp(mu + sigma²/2)."""
    value: Array = np.exp(mu.value + np.square(sigma.value) / 2)
    return value


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive, ndt: Positive) -> Array:
    """Responses."""
    drawn: Array = ndt.value + np.exp(np.clip(simulate_normal(rng, mu, sigma), -700, 700))
    return drawn


def cdf(y: Array, mu: ParameterValues, sigma: Positive, ndt: Positive) -> Array:
    """Φ((log(y − ndt) − mu) / sigma), 0 up to the shift."""
    rest = np.asarray(y - ndt.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = special.ndtr((np.log(np.maximum(rest, 0.0)) - mu.value) / sigma.value)
    return np.where(rest > 0, below, 0.0)


def graph(pm: Any, mu: Any, sigma: Any, ndt: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's lognormal distribution beyond the shift."""

    def log_density(y: Any, mu: Any, sigma: Any, ndt: Any) -> Any:
        return pm.logp(pm.LogNormal.dist(mu=mu, sigma=sigma), y - ndt)

    return ByDensity(pm, log_density), {"mu": mu.value, "sigma": sigma.value, "ndt": ndt.value}


FAMILY = Family(
    "shifted_lognormal",
    parameters=(
        Parameter("mu", NUMBER, ("identity", "inverse"), "mean of the logarithm beyond the shift"),
        sigma("standard deviation of the logarithm beyond the shift"),
        Parameter(
            "ndt",
            POSITIVE,
            OWN_LINKS,
            "shift, or non-decision time",
            lambda least: Prior("Uniform", lower=0.0, upper=least),
            lambda least: 0.5 * least,
            of="least",
        ),
    ),
    support=ABOVE_ZERO,
    moving_ends=True,
    curved=True,
    row=row,
    of_y_alone=lambda y: np.full(np.shape(y), -0.5 * LOG_2PI),
    graph=graph,
    simulate=simulate,
    mean=lambda mu, sigma, ndt: ndt.value + beyond(mu, sigma),
    mean_of="other",
    own_in_mean=("sigma", "ndt"),
    variance=lambda mu, sigma, ndt: np.expm1(np.square(sigma.value)) * beyond(mu, sigma) ** 2,
    cdf=cdf,
    tails=Tails(
        tails,
        moments,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    equation="ndt + LogNormal(mu, sigma)",
    log_response=True,
    place=30,
)
