"""Quantile regression: mu is the response's quantile of that probability, and deviations count as in the check loss."""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import NUMBER_LINKS, REAL, Array, Family, Parameter, Tails, sigma
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
        below, rise = quantile.log_p + quantile.q * x, quantile.q
        own = quantile.q - quantile.p * rise * x
        above, share = complement(below)
        steep, wider = -rise / sigma.value, -rise * x
        return below, steep, wider, own, above, share * steep, share * wider, share * own
    above, fall = quantile.log_q - quantile.p * x, quantile.p
    own = -quantile.p - quantile.q * fall * x
    below, share = complement(above)
    steep, wider = fall / sigma.value, fall * x
    return below, share * steep, share * wider, share * own, above, steep, wider, own


def tensor_tails(y: Any, mu: Any, b: Any, q: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities below and above y, in tensors."""
    import pytensor.tensor as pt

    x = (y - mu) * b / pt.sqrt(q * (1 - q))
    low, high = pt.log(q) + (1 - q) * pt.minimum(x, 0.0), pt.log1p(-q) - q * pt.maximum(x, 0.0)
    below = pt.switch(x < 0, low, pt.log1p(-pt.exp(high)))
    return below, pt.switch(x < 0, pt.log1p(-pt.exp(low)), high)


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
        None,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    information=lambda mu, sigma, quantile: quantile.p * quantile.q / np.square(sigma.value),
    equation="AsymmetricLaplace(mu, sigma, quantile)",
    place=32,
)
