"""Times that are a normal variable and an exponential one: a bell with a right tail. mu is the mean of both."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import (
    NUMBER_LINKS,
    OWN_LINKS,
    REAL,
    Array,
    Family,
    Parameter,
    Tails,
    first_value,
    sigma,
)
from hierbayes.kinds import NUMBER, POSITIVE, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import exp_lane, log1m_exp, log_ndtr, log_ndtr_scaled
from hierbayes.tensormath import tensor_math

LOG_HALF = float(np.log(0.5))


@row_function
def tilted(z: float, r: float) -> tuple[float, float]:
    """Return r²/2 − z r + log Φ(z − r), and minus its derivative in r; that in z is this one less z."""
    a = z - r
    if a < 0.0:
        scaled, excess = log_ndtr_scaled(a)
        return scaled - 0.5 * z * z, excess
    tail, slope = log_ndtr(a)
    return tail + r * (0.5 * r - z), slope + a


@row_function
def row(y: float, mu: NumberRow, sigma: PositiveRow, beta: PositiveRow) -> tuple[float, float, float, float]:
    """Return the log density, and its scores in mu, log sigma and log beta.

    With z = (y − mu + beta) / sigma and r = sigma / beta it is −log beta + r²/2 − z r + log Φ(z − r), of which the
    last cancels the others where beta is small: r²/2 − z r is (z − r)²/2 − z²/2.
    """
    z = (y - mu.value + beta.value) / sigma.value
    r = exp_lane(sigma.log - beta.log)
    value, excess = tilted(z, r)
    in_z = excess - z
    return value - beta.log, -in_z / sigma.value, -in_z * z - excess * r, in_z / r + excess * r - 1.0


@deferred
def tails(
    y: float, mu: NumberRow, sigma: PositiveRow, beta: PositiveRow
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores.

    With t = exp(r²/2 − z r) Φ(z − r) they are Φ(z) − t and Φ(−z) + t, whose derivative in z is r t either way.
    """
    z = (y - mu.value + beta.value) / sigma.value
    r = exp_lane(sigma.log - beta.log)
    tilt, excess = tilted(z, r)
    if z < 0.0:  # without −z²/2 of all, which would leave their differences no digits
        lower, _ = log_ndtr_scaled(z)
        share, _ = log_ndtr_scaled(z - r)
        rest = lower + log1m_exp(min(share - lower, -1e-300))
        below = rest - 0.5 * z * z
        above = log1m_exp(below)
        rise, fall = np.exp(share - rest), -np.exp(tilt - above)
    else:
        upper, _ = log_ndtr(-z)
        larger = max(upper, tilt)
        total = np.exp(upper - larger) + np.exp(tilt - larger)
        above = larger + np.log(total)
        if above < LOG_HALF:
            below = log1m_exp(above)
        else:
            lower, _ = log_ndtr(z)
            below = lower + log1m_exp(min(tilt - lower, -1e-300))
        rise, fall = np.exp(tilt - below), -np.exp(tilt - larger) / total
    steep, wider, own = -r / sigma.value, r * (excess - z), 1.0 - r * excess
    return below, rise * steep, rise * wider, rise * own, above, fall * steep, fall * wider, fall * own


def tensor_tails(y: Any, mu: Any, sigma: Any, nu: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities below and above y, in tensors."""
    import pymc as pm
    import pytensor.tensor as pt

    log_ndtr, z, r = tensor_math(pm).log_ndtr, (y - mu) / sigma, sigma / nu
    tilt = r * (r / 2 - z) + log_ndtr(z - r)
    lower = log_ndtr(z)
    return lower + pt.log(-pt.expm1(tilt - lower)), pt.logaddexp(log_ndtr(-z), tilt)


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
    tails=Tails(
        tails,
        None,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    equation="Normal(mu − beta, sigma) + Exponential(rate 1/beta)",
    place=31,
)
