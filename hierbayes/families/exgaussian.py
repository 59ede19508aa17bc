"""Times that are a normal variable and an exponential one: a bell with a right tail. mu is the mean of both."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.families.record import (
    NUMBER_LINKS,
    OWN_LINKS,
    REAL,
    Array,
    Family,
    Parameter,
    first_value,
    sigma,
)
from hierbayes.kinds import NUMBER, POSITIVE, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import exp_lane, log_ndtr, log_ndtr_scaled


@row_function
def row(y: float, mu: NumberRow, sigma: PositiveRow, beta: PositiveRow) -> tuple[float, float, float, float]:
    """Return the log density, and its scores in mu, log sigma and log beta.

    With z = (y − mu + beta) / sigma and r = sigma / beta it is −log beta + r²/2 − z r + log Φ(z − r), of which the
    last cancels the others where beta is small: r²/2 − z r is (z − r)²/2 − z²/2.
    """
    z = (y - mu.value + beta.value) / sigma.value
    r = exp_lane(sigma.log - beta.log)
    a = z - r
    if a < 0.0:
        scaled, excess = log_ndtr_scaled(a)
        value = scaled - 0.5 * z * z - beta.log
    else:
        tail, slope = log_ndtr(a)
        value, excess = tail + r * (0.5 * r - z) - beta.log, slope + a
    in_z = excess - z
    return value, -in_z / sigma.value, -in_z * z - excess * r, in_z / r + excess * r - 1.0


def parts(mu: ParameterValues, sigma: Positive, beta: Positive, y: Array) -> tuple[Array, Array]:
    """z and r of `row`."""
    return (y - mu.value + beta.value) / sigma.value, sigma.value / beta.value


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive, beta: Positive) -> Array:
    """Responses."""
    shape = np.shape(mu.eta)
    tail = beta.value * (rng.standard_exponential(shape) - 1)
    drawn: Array = mu.value + sigma.value * rng.standard_normal(shape) + tail
    return drawn


def cdf(y: Array, mu: ParameterValues, sigma: Positive, beta: Positive) -> Array:
    """Φ(z) − exp(r²/2 − z r) Φ(z − r)."""
    z, r = parts(mu, sigma, beta, y)
    value: Array = special.ndtr(z) - np.exp(r * (r / 2 - z) + special.log_ndtr(z - r))
    return value


def graph(pm: Any, mu: Any, sigma: Any, beta: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's ex-Gaussian distribution, whose mu is the normal part's mean."""
    return pm.ExGaussian, {"mu": mu.value - beta.value, "sigma": sigma.value, "nu": beta.value}


FAMILY = Family(
    "exgaussian",
    parameters=(
        Parameter("mu", NUMBER, NUMBER_LINKS, "mean"),
        sigma("standard deviation of the normal part"),
        Parameter(
            "beta",
            POSITIVE,
            OWN_LINKS,
            "mean of the exponential part",
            lambda spread: Prior("Exponential", lam=1 / spread),
            lambda spread: spread,
        ),
    ),
    support=REAL,
    row=row,
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu, sigma, beta: np.square(sigma.value) + np.square(beta.value) + 0 * mu.value,
    cdf=cdf,
    equation="Normal(mu − beta, sigma) + Exponential(rate 1/beta)",
    place=31,
)
