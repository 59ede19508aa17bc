"""Quantile regression: mu is the response's quantile of that probability, and deviations count as in the check loss."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import NUMBER_LINKS, REAL, Array, Family, Parameter, Tails, sigma
from hierbayes.families.weibull import moment_between
from hierbayes.families.zeros import share
from hierbayes.incomplete import complement
from hierbayes.kinds import (
    NUMBER,
    NumberRow,
    ParameterValues,
    Positive,
    PositiveRow,
    Probability,
    ProbabilityRow,
)


@row_function
def row(
    y: float, mu: NumberRow, sigma: PositiveRow, quantile: ProbabilityRow
) -> tuple[float, float, float, float]:
    """Return the log density, and its scores in mu, log sigma and the log odds of the quantile."""
    x = (y - mu.value) / sigma.value
    slope = quantile.p if x >= 0.0 else -quantile.q
    loss = x * slope
    value = quantile.log_p + quantile.log_q - sigma.log - loss
    return value, slope / sigma.value, loss - 1.0, quantile.q - quantile.p - x * quantile.p * quantile.q


@deferred
def tails(
    y: float, mu: NumberRow, sigma: PositiveRow, quantile: ProbabilityRow
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores."""
    x = (y - mu.value) / sigma.value
    if x < 0.0:
        below = quantile.log_p + quantile.q * x
        above, share = complement(below)
        in_mu, in_sigma = -quantile.q / sigma.value, -quantile.q * x
        in_odds = quantile.q * (1.0 - quantile.p * x)
        return below, in_mu, in_sigma, in_odds, above, share * in_mu, share * in_sigma, share * in_odds
    above = quantile.log_q - quantile.p * x
    below, share = complement(above)
    in_mu, in_sigma = quantile.p / sigma.value, quantile.p * x
    in_odds = -quantile.p * (1.0 + quantile.q * x)
    return below, share * in_mu, share * in_sigma, share * in_odds, above, in_mu, in_sigma, in_odds


def moments(
    log_mass: Callable[..., Array],
    lower: Array,
    upper: Array,
    mu: ParameterValues,
    sigma: Positive,
    quantile: Probability,
) -> tuple[Array, Array]:
    """Mean and variance between two ends: of the exponential parts on either side of mu."""
    own = {"mu": mu, "sigma": sigma, "quantile": quantile}
    whole = log_mass(lower, upper, **own)
    low, high = (lower - mu.value) / sigma.value, (upper - mu.value) / sigma.value
    centre = mu.value + 0 * whole

    def part(start: Array, end: Array, rate: Array, mass: Array) -> tuple[Array, Array]:
        """First and second moments of |x| between two ends, times the share that lies there."""
        here = end > start
        share = np.where(here, np.exp(mass - whole), 0.0)
        start, end = rate * np.where(here, start, 0.0), rate * np.where(here, end, 1.0)
        once, twice = (np.asarray(share * moment_between(start, end, k) / rate**k) for k in (1, 2))
        return once, twice

    with np.errstate(invalid="ignore"):
        right = log_mass(np.maximum(lower, centre), np.maximum(upper, centre), **own)
        left = log_mass(np.minimum(lower, centre), np.minimum(upper, centre), **own)
        up, up_twice = part(np.maximum(low, 0.0), np.maximum(high, 0.0), quantile.p, right)
        down, down_twice = part(np.maximum(-high, 0.0), np.maximum(-low, 0.0), quantile.q, left)
    once, twice = up - down, up_twice + down_twice
    return mu.value + sigma.value * once, np.square(sigma.value) * np.maximum(twice - np.square(once), 0.0)


def tensor_tails(y: Any, mu: Any, b: Any, q: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities below and above y, in tensors, from PyMC's arguments."""
    import pytensor.tensor as pt

    x = (y - mu) * b / pt.sqrt(q * (1 - q))
    early, late = pt.log(q) + (1 - q) * pt.minimum(x, 0.0), pt.log(1 - q) - q * pt.maximum(x, 0.0)
    below = pt.switch(x < 0, early, pt.log1p(-pt.exp(late)))
    return below, pt.switch(x < 0, pt.log1p(-pt.exp(early)), late)


def mean(mu: ParameterValues, sigma: Positive, quantile: Probability) -> Array:
    """mu + sigma (1 − 2p) / (p (1 − p))."""
    value: Array = mu.value + sigma.value * (1 / quantile.p - 1 / quantile.q)
    return value


def variance(mu: ParameterValues, sigma: Positive, quantile: Probability) -> Array:
    """sigma² (1/p² + 1/(1 − p)²), of two exponential parts."""
    value: Array = np.square(sigma.value) * (quantile.p**-2.0 + quantile.q**-2.0) + 0 * mu.value
    return value


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive, quantile: Probability) -> Array:
    """Responses: the difference of two exponential variables."""
    shape = np.shape(mu.eta)
    up, down = rng.standard_exponential(shape), rng.standard_exponential(shape)
    drawn: Array = mu.value + sigma.value * (up / quantile.p - down / quantile.q)
    return drawn


def cdf(y: Array, mu: ParameterValues, sigma: Positive, quantile: Probability) -> Array:
    """p exp((1 − p) x) below mu, and 1 − (1 − p) exp(−p x) above it."""
    x = (y - mu.value) / sigma.value
    below = quantile.p * np.exp(quantile.q * np.minimum(x, 0.0))
    return np.where(x < 0, below, 1 - quantile.q * np.exp(-quantile.p * np.maximum(x, 0.0)))


def graph(pm: Any, mu: Any, sigma: Any, quantile: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's asymmetric Laplace distribution, whose b is a rate."""
    rate = quantile.m.sqrt(quantile.p * quantile.q) / sigma.value
    return pm.AsymmetricLaplace, {"mu": mu.value, "b": rate, "q": quantile.p}


FAMILY = Family(
    "asym_laplace",
    parameters=(
        Parameter("mu", NUMBER, NUMBER_LINKS, "quantile"),
        sigma("scale"),
        share("quantile", "probability of a response below mu"),
    ),
    support=REAL,
    row=row,
    graph=graph,
    simulate=simulate,
    mean=mean,
    mean_of="other",
    own_in_mean=("sigma", "quantile"),
    variance=variance,
    cdf=cdf,
    tails=Tails(
        tails,
        moments,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    information=lambda mu, sigma, quantile: quantile.p * quantile.q / np.square(sigma.value),
    equation="AsymmetricLaplace(mu, sigma, quantile)",
    place=32,
)
