"""Counts of more or less variation than a Poisson's: the generalised Poisson distribution, glmmTMB's parameterisation.

Consul & Famoye (1992), Communications in Statistics 21. The variance is phi times the mean. With phi < 1 there are no
counts from mu / (1 − √phi) on, and the formula's probabilities add up to 1 only nearly; here they are divided by their
sum, which glmmTMB leaves out. It matters for means below 5 or so.
"""

from math import lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.cumulative import draw_counts
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import COUNT, COUNT_LINKS, OWN_LINKS, Array, Family, Parameter
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import exp_lane, log_lane

FEW, NARROW = 200.0, 10.0  # a mean and a variance from which on probabilities add up to 1, to rounding
WIDE, MARGIN = (
    12.0,
    20.0,
)  # standard deviations about the mean, and counts beside them, beyond which nothing counts
MOST = int(2 * WIDE * FEW**0.5 + 2 * MARGIN) + 2  # counts within
MANY = 1e6  # a mean from which on fewer counts than a Poisson's are drawn as a rounded normal variable
GENERATIONS = 2000


@row_function
def row(y: float, mu: PositiveRow, phi: PositiveRow) -> tuple[float, float, float]:
    """Return the log density without log y!, and its scores in log mu and log phi."""
    value, in_mu, in_phi = term(y, mu.log, phi.log)
    if phi.log < 0.0 and (mu.value < FEW or mu.value * phi.value < NARROW):
        total, total_mu, total_phi = total_of(mu.value, phi.value)
        return value - total, in_mu - total_mu, in_phi - total_phi
    return value, in_mu, in_phi


@row_function
def term(y: float, log_mu: float, log_phi: float) -> tuple[float, float, float]:
    """Return the formula's logarithm without log y!, and its derivatives in log mu and log phi.

    With theta = mu/√phi, lambda = 1 − 1/√phi and rate = theta + lambda y it is
    log theta + (y − 1) log rate − rate.
    """
    slower = exp_lane(-0.5 * log_phi)
    log_theta = log_mu - 0.5 * log_phi
    theta = exp_lane(log_theta)
    if y == 0.0:
        return -theta, -theta, 0.5 * theta
    rate = theta - np.expm1(-0.5 * log_phi) * y
    if not rate > 0.0:
        return -np.inf, 0.0, 0.0
    in_rate = (y - 1.0) / rate - 1.0
    value = log_theta + (y - 1.0) * log_lane(rate) - rate
    return value, 1.0 + in_rate * theta, -0.5 + 0.5 * in_rate * (y * slower - theta)


@deferred
def window(mu: float, phi: float) -> tuple[float, float]:
    """Return the first and the last count that counts, where phi < 1."""
    spread = WIDE * np.sqrt(mu * phi) + MARGIN
    return max(0.0, np.floor(mu - spread)), min(
        np.ceil(mu / (1.0 - np.sqrt(phi))) - 1.0, np.ceil(mu + spread)
    )


@deferred
def total_of(mu: float, phi: float) -> tuple[float, float, float]:
    """Return the logarithm of the sum of all probabilities by the formula, and its derivatives; phi < 1."""
    first, last = window(mu, phi)
    log_mu, log_phi = np.log(mu), np.log(phi)
    factorial = lgamma(first + 1.0)
    total, in_mu, in_phi = 0.0, 0.0, 0.0
    for k in range(int(last - first) + 1):
        y = first + k
        factorial += np.log(y) if k > 0 else 0.0
        value, slope_mu, slope_phi = term(y, log_mu, log_phi)
        p = np.exp(value - factorial)
        total += p
        in_mu += p * slope_mu
        in_phi += p * slope_phi
    return np.log(total), in_mu / total, in_phi / total


@deferred
def sums(y: Any, mu: Any, phi: Any, out: Any) -> None:
    """Set probability of y or less, mean and variance (3, n); y (n,) may be infinite, for moments alone."""
    for i in range(mu.size):
        log_mu, log_phi = np.log(mu[i]), np.log(phi[i])
        spread = WIDE * np.sqrt(mu[i] * phi[i]) + MARGIN
        first, last = max(0.0, np.floor(mu[i] - spread)), y[i]
        if phi[i] < 1.0:
            first, most = window(mu[i], phi[i])
            whole = last == np.inf
            end = most if mu[i] < FEW or mu[i] * phi[i] < NARROW or whole else min(most, last)
        else:
            end = last
        factorial = lgamma(first + 1.0)
        below, total, once, twice = 0.0, 0.0, 0.0, 0.0
        for k in range(max(int(end - first) + 1, 0)):
            x = first + k
            factorial += np.log(x) if k > 0 else 0.0
            p = np.exp(term(x, log_mu, log_phi)[0] - factorial)
            total += p
            once += p * (x - mu[i])
            twice += p * (x - mu[i]) ** 2
            if x <= last:
                below += p
        if phi[i] < 1.0 and (mu[i] < FEW or mu[i] * phi[i] < NARROW):
            below /= total
        away = once / total if total > 0.0 else 0.0
        out[0, i] = min(below, 1.0)
        out[1, i] = mu[i] + away
        out[2, i] = max(twice / total - away * away, 0.0) if total > 0.0 else 0.0


def summed(y: Any, mu: Positive, phi: Positive, needed: Any = True) -> Array:
    """What `sums` has, in the shape of all arguments after the first axis; NaN where it is not needed."""
    count, mean, factor = np.broadcast_arrays(np.asarray(y, float), mu.value, phi.value)
    chosen = np.broadcast_to(needed, count.shape) & np.isfinite(mean) & (mean > 0)
    found, out = np.full((3, *count.shape), np.nan), np.empty((3, int(chosen.sum())))
    sums.compiled(*(np.ascontiguousarray(each[chosen]) for each in (count, mean, factor)), out)
    found[:, chosen] = out
    return found


def moment(place: int, limit: Array, mu: Positive, phi: Positive) -> Array:
    """One of the moments: what the formula means where its probabilities add up to 1, else of those divided."""
    divided = (phi.value < 1) & ((mu.value < FEW) | (mu.value * phi.value < NARROW)) & (mu.value > 0)
    if not np.any(divided):
        return limit
    return np.where(divided, summed(np.inf, mu, phi, divided)[place], limit)


def mean(mu: Positive, phi: Positive) -> Array:
    """Mu, and with phi < 1 nearly so."""
    return moment(1, mu.value + 0 * phi.value, mu, phi)


def variance(mu: Positive, phi: Positive) -> Array:
    """Phi times mu, and with phi < 1 nearly so."""
    return moment(2, mu.value * phi.value, mu, phi)


def cdf(y: Array, mu: Positive, phi: Positive) -> Array:
    """P(Y <= y), its probabilities summed."""
    found = summed(y, mu, phi)[0]
    return np.where(mu.value == 0, 1.0, np.where(np.isinf(mu.value), 0.0, found))


def simulate(rng: np.random.Generator, mu: Positive, phi: Positive) -> Array:
    """Responses: with phi >= 1 the size of a population whose members have Poisson numbers of children."""
    mean, factor = np.broadcast_arrays(np.minimum(mu.value, 1e18), phi.value)
    more = np.maximum(factor, 1.0)
    fertility = 1 - 1 / np.sqrt(more)
    living = draw_counts(rng, mean / np.sqrt(more))
    y = living.copy()
    for _ in range(GENERATIONS):
        if not living.any():
            break
        living = draw_counts(rng, fertility * living)
        y += living
    still = np.maximum(
        living, 1.0
    )  # so near to a constant population that its end is that of a Brownian motion
    y += np.where(living > 0, rng.wald(still / (1 - fertility), still**2), 0.0).round()
    fewer = factor < 1
    return np.where(fewer, fewer_than_poisson(rng, mean, factor, fewer), y) if fewer.any() else y


def fewer_than_poisson(
    rng: np.random.Generator, mean: Array, factor: Array, chosen: NDArray[np.bool_]
) -> Array:
    """Responses with phi < 1: the inverse of the distribution function, of a large mean a normal variable."""
    normal = np.maximum(np.round(mean + np.sqrt(mean * factor) * rng.standard_normal(mean.shape)), 0.0)
    some = chosen & (mean < MANY) & (mean > 0)
    found = np.where(mean > 0, normal, 0.0)
    drawn = rng.random(int(some.sum()))
    invert.compiled(drawn, np.ascontiguousarray(mean[some]), np.ascontiguousarray(factor[some]))
    found[some] = drawn
    return found


@deferred
def invert(u: Any, mu: Any, phi: Any) -> None:
    """Put counts in the place of their probabilities (n,); phi < 1."""
    for i in range(mu.size):
        first, last = window(mu[i], phi[i])
        log_mu, log_phi = np.log(mu[i]), np.log(phi[i])
        divided = mu[i] < FEW or mu[i] * phi[i] < NARROW
        left = u[i] * (np.exp(total_of(mu[i], phi[i])[0]) if divided else 1.0)
        y, factorial = first, lgamma(first + 1.0)
        while y < last:
            left -= np.exp(term(y, log_mu, log_phi)[0] - factorial)
            if left < 0.0:
                break
            y += 1.0
            factorial += np.log(y)
        u[i] = y


def graph(pm: Any, mu: Any, phi: Any) -> tuple[Any, dict[str, Any]]:
    """The formula, divided by its sum where that is not 1."""
    import pytensor.tensor as pt

    def formula(y: Any, mean: Any, factor: Any) -> Any:
        theta = mean / pt.sqrt(factor)
        rate = theta + (1 - 1 / pt.sqrt(factor)) * y
        inside = pt.switch(rate > 0, rate, 1.0)
        value = pt.log(theta) + (y - 1) * pt.log(inside) - rate - pt.gammaln(y + 1)
        return pt.switch(rate > 0, value, -np.inf)

    def log_density(y: Any, mean: Any, factor: Any) -> Any:
        divided = pt.and_(factor < 1, pt.or_(mean < FEW, mean * factor < NARROW))
        some_mean, some_factor = pt.switch(divided, mean, 1.0), pt.switch(divided, factor, 0.9)
        first = pt.floor(some_mean - WIDE * pt.sqrt(some_mean * some_factor) - MARGIN)
        counts = pt.maximum(first, 0.0)[..., None] + np.arange(float(MOST))
        terms = formula(counts, some_mean[..., None], some_factor[..., None])
        value = formula(pt.cast(y, "float64"), mean, factor)
        return value - pt.switch(divided, pt.log(pt.sum(pt.exp(terms), axis=-1)), 0.0)

    return ByDensity(pm, log_density), {"mean": mu.value, "factor": phi.value + 0.0 * mu.value}


FAMILY = Family(
    "genpois",
    parameters=(
        Parameter("mu", POSITIVE, COUNT_LINKS, "mean"),
        Parameter(
            "phi",
            POSITIVE,
            OWN_LINKS,
            "dispersion: variance over mean",
            lambda spread: Prior("LogNormal", mu=0.7, sigma=1.0),
            lambda spread: 2.0,
        ),
    ),
    support=COUNT,
    row=row,
    of_y_alone=lambda y: -special.gammaln(y + 1),
    graph=graph,
    simulate=simulate,
    mean=mean,
    mean_of="other",
    own_in_mean=("phi",),
    variance=variance,
    cdf=cdf,
    equation="GeneralizedPoisson(mu, phi), variance mu phi",
    place=15,
)
