"""Counts of trials until something ends, whose hazard is about a power of their number; mu is P(Y >= 1), brms's q.

Nakagawa & Osaki (1975), IEEE Transactions on Reliability 24: P(Y >= y) = mu^(y^shape).
"""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import COUNT, OWN_LINKS, SHARE_LINKS, TINY, Array, Family, Parameter
from hierbayes.kinds import POSITIVE, PROBABILITY, Positive, PositiveRow, Probability, ProbabilityRow
from hierbayes.priors import Prior
from hierbayes.special import exp_lane, log_lane

ONE_BY_ONE = 128  # terms of the mean; the rest is an integral (Euler & Maclaurin), right to 1e-11 of the mean
MOST = 1e18


@row_function
def row(y: float, mu: ProbabilityRow, shape: PositiveRow) -> tuple[float, float, float]:
    """Return the log density, and its scores in the log odds of mu and log shape.

    With l = −log mu it is −l y^s + log(1 − exp(−l ((y + 1)^s − y^s))).
    """
    rate = max(-mu.log_p, TINY)
    if y == 0.0:
        power, log_y, gap, log_next = 0.0, 0.0, 1.0, 0.0
    else:
        log_y, step = log_lane(y), np.log1p(1.0 / y)
        power = exp_lane(shape.value * log_y)
        gap, log_next = power * np.expm1(min(shape.value * step, 700.0)), log_y + step
    width = rate * gap
    if width > 700.0:  # there is hardly anything beyond y
        return -rate * power, mu.q * power, -shape.value * rate * power * log_y
    odds = 1.0 / np.expm1(width)
    value = -rate * power + np.log(-np.expm1(-width))
    wider = gap * log_next + power * (log_next - log_y)
    in_shape = rate * (wider * odds - power * log_y)
    return value, mu.q * (power - gap * odds), shape.value * in_shape


def rate(mu: Probability) -> Array:
    """−log mu."""
    return np.maximum(-mu.log_p, TINY)


def simulate(rng: np.random.Generator, mu: Probability, shape: Positive) -> Array:
    """Responses: Weibull times, of which whole units count."""
    with np.errstate(over="ignore"):
        times = (rng.standard_exponential(np.shape(mu.eta)) / rate(mu)) ** (1 / shape.value)
        return np.minimum(np.floor(times), MOST)


def moments(mu: Probability, shape: Positive) -> tuple[Array, Array]:
    """Mean and mean square: Σ P(Y >= y) and Σ (2y − 1) P(Y >= y)."""
    decay, s = np.broadcast_arrays(rate(mu), shape.value)
    once, twice = np.zeros(decay.shape), np.zeros(decay.shape)
    last, end = float(ONE_BY_ONE), decay * float(ONE_BY_ONE) ** s
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for y in range(1, ONE_BY_ONE):
            term = np.exp(-decay * float(y) ** s)
            once += term
            twice += (2 * y - 1) * term
        term, slope = np.exp(-end), -np.exp(-end) * s * end / last
        beyond = [
            special.gammaincc(k / s, end) * np.exp(special.gammaln(k / s) - k * np.log(decay) / s) / s
            for k in (1, 2)
        ]
        once += beyond[0] + term / 2 - slope / 12
        twice += 2 * beyond[1] - beyond[0] + (2 * last - 1) * (term / 2 - slope / 12) - term / 6
    return once, twice


def variance(mu: Probability, shape: Positive) -> Array:
    """The mean square less the mean's square."""
    once, twice = moments(mu, shape)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(np.isfinite(twice), np.maximum(twice - once**2, 0.0), np.inf)


def cdf(y: Array, mu: Probability, shape: Positive) -> Array:
    """1 − mu^((y + 1)^shape)."""
    with np.errstate(over="ignore"):
        value: Array = -np.expm1(-rate(mu) * (np.asarray(y) + 1) ** shape.value)
    return value


def graph(pm: Any, mu: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's discrete Weibull distribution, in logarithms."""
    import pytensor.tensor as pt

    def log_density(y: Any, rate: Any, shape: Any) -> Any:
        y = pt.cast(y, "float64")
        power, beyond = pt.switch(pt.eq(y, 0.0), 0.0, pt.maximum(y, 1.0) ** shape), (y + 1) ** shape
        return -rate * power + pt.log(-pt.expm1(-rate * (beyond - power)))

    return ByDensity(pm, log_density), {"rate": -mu.log_p, "shape": shape.value}


FAMILY = Family(
    "discrete_weibull",
    parameters=(
        Parameter("mu", PROBABILITY, SHARE_LINKS, "probability of a response above 0"),
        Parameter(
            "shape", POSITIVE, OWN_LINKS, "shape", lambda spread: Prior("LogNormal", mu=0.0, sigma=1.0)
        ),
    ),
    support=COUNT,
    row=row,
    graph=graph,
    simulate=simulate,
    mean=lambda mu, shape: moments(mu, shape)[0],
    mean_of="other",
    own_in_mean=("shape",),
    stands_for=lambda y: (y > 0).astype(float),
    variance=variance,
    cdf=cdf,
    equation="DiscreteWeibull(mu, shape), P(Y ≥ y) = mu^(y^shape)",
    place=16,
)
