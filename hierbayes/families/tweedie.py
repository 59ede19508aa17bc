"""Amounts of which some are 0: sums of gamma variables whose number is a Poisson's, as claims or catches are.

Their variance is phi times the mean to the power of `power`. The density is a series: Dunn & Smyth (2005), Statistics
and Computing 15.
"""

from math import lgamma
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.cumulative import draw_counts
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import OWN_LINKS, Array, Family, Parameter, first_value
from hierbayes.families.zeros import POSITIVE_OR_ZERO
from hierbayes.kinds import POSITIVE, POWER, ParameterValues, Positive, PositiveRow, ProbabilityRow
from hierbayes.priors import Prior
from hierbayes.special import digamma, exp_lane

NOTHING = -42.0  # logarithm of a term beside the largest one that adds nothing
TERMS = 300  # of the graph's series
LINKS = ("log", "identity", "inverse", "sqrt")


@row_function
def row(
    y: float, mu: PositiveRow, phi: PositiveRow, power: ProbabilityRow
) -> tuple[float, float, float, float]:
    """Return the log density without -log y, and its scores in log mu, log phi and the log odds of power − 1.

    The number of variables that add up to y is a Poisson's of mean `rate`, their shape is a and their scale y / x:
    Σ_j exp(j c − log j! − log Γ(a j)) times exp(−rate − x), with c = log rate + a log x.
    """
    log_rate = power.q * mu.log - phi.log - power.log_q
    rate = exp_lane(log_rate)
    rate_in_p = rate * (1.0 / power.q - mu.log)
    room = power.p * power.q
    if y == 0.0:
        return -rate, -power.q * rate, rate, -rate_in_p * room
    log_x = np.log(y) - phi.log - power.log_p - power.p * mu.log
    x, a = exp_lane(log_x), power.q / power.p
    c = log_rate + a * log_x
    # where terms are largest
    peak = exp_lane(power.q * np.log(y) - phi.log - power.log_q)
    step = max(np.floor(0.5 * np.sqrt(peak / (1.0 + a))), 1.0)
    first = max(np.floor(peak), 1.0)
    largest = first * c - lgamma(first + 1.0) - lgamma(a * first)
    total, once, slope = 1.0, 0.0, first * digamma(a * first)  # `once` counts from the first
    for direction in (-1.0, 1.0):
        j = first + direction * step
        while j >= 1.0:
            log_term = j * c - lgamma(j + 1.0) - lgamma(a * j) - largest
            if log_term < NOTHING:
                break
            term = np.exp(log_term)
            total += term
            once += term * (j - first)
            slope += term * j * digamma(a * j)
            j += direction * step
    count = first + once / total
    x_in_p = -x * (1.0 / power.p + mu.log)
    a_in_p = -1.0 / (power.p * power.p)
    c_in_p = 1.0 / power.q - mu.log + a_in_p * log_x - a * (1.0 / power.p + mu.log)
    return (
        largest + np.log(step * total) - rate - x,
        power.p * x - power.q * rate,
        rate + x - count * (1.0 + a),
        room * (count * c_in_p - a_in_p * slope / total - rate_in_p - x_in_p),
    )


def parts(mu: Positive, phi: Positive, power: ParameterValues) -> tuple[Array, Array, Array]:
    """The mean number of variables that are added, their shape and their scale."""
    p, mean = power.value, np.clip(mu.value, 1e-300, 1e300)
    with np.errstate(over="ignore", divide="ignore"):
        return (
            mean ** (2 - p) / (phi.value * (2 - p)),
            (2 - p) / (p - 1),
            phi.value * (p - 1) * mean ** (p - 1),
        )


def simulate(rng: np.random.Generator, mu: Positive, phi: Positive, power: ParameterValues) -> Array:
    """Responses."""
    rate, shape, scale = np.broadcast_arrays(*parts(mu, phi, power))
    count = draw_counts(rng, rate)
    drawn = rng.gamma(np.where(count > 0, count * shape, 1.0)) * scale
    return np.where(count > 0, np.minimum(drawn, 1e300), 0.0)


def cdf(y: Array, mu: Positive, phi: Positive, power: ParameterValues) -> Array:
    """P(Y <= y), by the number of variables that are added; of many in steps, between which nothing bends."""
    rate, shape, scale, y = np.broadcast_arrays(*parts(mu, phi, power), np.asarray(y, float))
    with np.errstate(over="ignore", invalid="ignore"):
        step = np.maximum(np.floor(np.sqrt(rate / (1 + shape)) / 2.5), 1.0)
        reach = np.where(np.isfinite(rate), np.ceil((10 * np.sqrt(rate) + 25) / step), 0.0)
        below = np.zeros(rate.shape)
        for k in range(-int(reach.max(initial=0.0)), int(reach.max(initial=0.0)) + 1):
            j = np.floor(rate) + k * step
            some = (j >= 1) & (np.abs(k) <= reach)
            count = np.where(some, j, 1.0)
            weight = step * np.exp(count * np.log(rate) - rate - special.gammaln(count + 1))
            below += np.where(some, weight * special.gammainc(count * shape, y / scale), 0.0)
        return np.clip(np.where(np.isfinite(rate), np.exp(-rate) + below, 0.0), 0.0, 1.0)


def graph(pm: Any, mu: Any, phi: Any, power: Any) -> tuple[Any, dict[str, Any]]:
    """The series about its largest term."""
    import pytensor.tensor as pt

    def log_density(y: Any, mean: Any, phi: Any, p: Any) -> Any:
        some, a = pt.switch(pt.gt(y, 0.0), y, 1.0), (2 - p) / (p - 1)
        rate, scale = mean ** (2 - p) / (phi * (2 - p)), phi * (p - 1) * mean ** (p - 1)
        x = some / scale
        peak = some ** (2 - p) / (phi * (2 - p))
        step = pt.maximum(pt.floor(pt.sqrt(peak / (1 + a)) / 2), 1.0)
        first = pt.floor(peak) - step * (TERMS // 2)
        first = pt.maximum(first, 1.0)
        j = first[..., None] + step[..., None] * np.arange(float(TERMS))
        c = pt.log(rate) + a * pt.log(x)
        terms = j * c[..., None] - pt.gammaln(j + 1) - pt.gammaln(pt.shape_padright(a) * j)
        between = pt.logsumexp(terms, axis=-1) + pt.log(step) - rate - x - pt.log(some)
        return pt.switch(pt.gt(y, 0.0), between, -rate)

    nothing = 0.0 * mu.value  # so that all have a row's shape
    arguments = {"mean": mu.value, "phi": phi.value + nothing, "p": power.value + nothing}
    return ByDensity(pm, log_density), arguments


FAMILY = Family(
    "tweedie",
    parameters=(
        Parameter("mu", POSITIVE, LINKS, "mean"),
        Parameter(
            "phi",
            POSITIVE,
            OWN_LINKS,
            "dispersion: variance over mu^power",
            lambda spread: Prior("LogNormal", mu=0.5 * float(np.log(spread)), sigma=2.0),
            lambda spread: float(np.sqrt(spread)),
        ),
        Parameter(
            "power",
            POWER,
            ("logitm1", "identity"),
            "power of the mean, between 1 and 2",
            lambda spread: Prior("Uniform", lower=1.0, upper=2.0),
            lambda spread: 1.5,
        ),
    ),
    support=POSITIVE_OR_ZERO,
    row=row,
    of_y_alone=lambda y: -np.log(np.where(np.asarray(y) > 0, y, 1.0)),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu, phi, power: phi.value * mu.value**power.value,
    cdf=cdf,
    information=lambda mu, phi, power: mu.value ** (2 - power.value) / phi.value,
    equation="Tweedie(mu, phi, power), variance phi mu^power",
    place=19,
)
