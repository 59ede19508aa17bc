"""Counts of failures before the first success: a negative binomial of shape 1."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hierbayes.compiling import deferred, row_function
from hierbayes.cumulative import draw_counts, negbinomial_cdf
from hierbayes.families import negbinomial
from hierbayes.families.record import COUNT, COUNT_LINKS, Array, Family, Parameter, Tails, first_value
from hierbayes.incomplete import complement
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.special import exp_lane, log1p_wide

ALIKE = 1e-3  # so many times its mean, counts below a bound are equally frequent


@row_function
def row(y: float, mu: PositiveRow) -> tuple[float, float]:
    """Return the log density, (1 / (1 + mu)) (mu / (1 + mu))^y, and its score in log mu."""
    value = -log1p_wide(mu.value) - y * log1p_wide(exp_lane(-mu.log))
    return value, (y - mu.value) / (1.0 + mu.value)


@deferred
def tails(y: float, mu: PositiveRow) -> tuple[float, float, float, float]:
    """Return the logarithms of the probabilities of y or less and of more, each with its score in log mu."""
    if y < 0.0:
        return -np.inf, 0.0, 0.0, 0.0
    k = np.floor(y) + 1.0
    above, fall = -k * log1p_wide(exp_lane(-mu.log)), k / (1.0 + mu.value)
    if above == 0.0:  # to rounding: of a mean without end
        return np.log(k) - mu.log, -1.0, 0.0, 0.0
    below, share = complement(above)
    return below, share * fall, above, fall


def moments(log_mass: Callable[..., Array], lower: Array, upper: Array, mu: Positive) -> tuple[Array, Array]:
    """Mean and variance between two ends.

    What a count is beyond the lower end is geometric too. Of one below m, mean and variance are less by m q^m /
    (1 − q^m) and m² q^m / (1 − q^m)², with q = mu / (1 + mu); of a mean far beyond m all m counts are alike.
    """
    first = np.maximum(lower, -1.0) + 1.0
    m = np.floor(upper) - first + 1.0
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        odds = np.where(np.isinf(m), 0.0, m / np.expm1(m * np.log1p(1 / mu.value)))
        mean, spread = (
            mu.value - odds,
            mu.value * (1 + mu.value) - odds * (odds + np.where(np.isinf(m), 0.0, m)),
        )
        alike = m < ALIKE * mu.value
        mean = np.where(alike, (m - 1) / 2 - (np.square(m) - 1) / (12 * mu.value), mean)
    return first + mean, np.where(alike, (np.square(m) - 1) / 12, np.maximum(spread, 0.0))


def simulate(rng: np.random.Generator, mu: Positive) -> Array:
    """Responses: Poisson counts whose means are exponential variables."""
    return draw_counts(rng, rng.exponential(mu.value))


def graph(pm: Any, mu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's negative binomial distribution, of shape 1."""
    return pm.NegativeBinomial, {"mu": mu.value, "alpha": np.array(1.0)}


FAMILY = Family(
    "geometric",
    parameters=(Parameter("mu", POSITIVE, COUNT_LINKS, "mean"),),
    support=COUNT,
    row=row,
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu: mu.value * (1 + mu.value),
    cdf=lambda y, mu: negbinomial_cdf(y, mu.value, np.array(1.0)),
    tails=Tails(tails, moments),
    information=lambda mu: mu.value / (1 + mu.value),
    equation="Geometric(1/(1 + mu))",
    summed=True,
    grows=("mu",),
    as_sum=(negbinomial.FAMILY, {"shape": 1.0}),
    place=14,
)
