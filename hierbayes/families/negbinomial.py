"""Counts that vary more than a Poisson's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.cumulative import draw_counts, negbinomial_cdf
from hierbayes.families.record import (
    COUNT,
    COUNT_LINKS,
    SHAPE,
    Array,
    Family,
    Parameter,
    Tails,
    first_value,
)
from hierbayes.incomplete import beta_tails, gamma_tails
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.special import lgamma_rise, log1p_wide, log_lane

POISSON = 1e9  # so many times the mean and the count, a shape is the Poisson's


@row_function
def row(y: float, mu: PositiveRow, shape: PositiveRow) -> tuple[float, float, float]:
    """Return the log density without log y!, and its scores in log mu and log shape."""
    rise, slope = lgamma_rise(shape.value, y)
    total = mu.value + shape.value
    log_ratio = log1p_wide(mu.value / shape.value)
    value = rise - shape.value * log_ratio + (y * (mu.log - log_lane(total)) if y > 0.0 else 0.0)
    share = shape.value / total
    expected = shape.value if share == 0.0 else mu.value * share
    return value, y * share - expected, shape.value * (slope - log_ratio + (mu.value - y) / total)


@deferred
def tails(y: float, mu: PositiveRow, shape: PositiveRow) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities of y or less and of more, with scores in log mu and log shape."""
    if y < 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    k = np.floor(y) + 1.0
    if shape.value > POISSON * max(
        mu.value, k
    ):  # beyond which a share of successes near 1 has no digits left
        above, _, rise, below, _, fall = gamma_tails(k, mu.value)
        return below, fall, 0.0, above, rise, 0.0
    log_share = -log1p_wide(mu.value / shape.value), -log1p_wide(shape.value / mu.value)
    below, below_a, _, below_x, above, above_a, _, above_x = beta_tails(
        shape.value, k, log_share[0], log_share[1]
    )
    return (
        below, -below_x, shape.value * below_a + below_x,
        above, -above_x, shape.value * above_a + above_x,
    )  # fmt: skip


def moments(
    log_mass: Callable[..., Array], lower: Array, upper: Array, mu: Positive, shape: Positive
) -> tuple[Array, Array]:
    """Mean and variance between two ends.

    E[Y (Y − 1) …; lower < Y <= upper], of k factors, is of a negative binomial of the same odds, shape + k, and ends
    lower by k.
    """
    odds = mu.value / shape.value

    def log_share(k: int) -> Array:
        more = shape.value + k
        own = POSITIVE.under("identity", more * odds), POSITIVE.under("identity", more)
        return log_mass(lower - k, upper - k, mu=own[0], shape=own[1])

    none, once, twice = (log_share(k) for k in range(3))
    mean = mu.value * np.exp(once - none)
    pairs = np.square(mu.value) * (1 + 1 / shape.value) * np.exp(twice - none)
    return mean, np.maximum(pairs + mean - np.square(mean), 0.0)


def simulate(rng: np.random.Generator, mu: Positive, shape: Positive) -> Array:
    """Responses: Poisson counts whose means are gamma variables."""
    own = np.broadcast_to(shape.value, np.shape(mu.eta))
    return draw_counts(rng, rng.gamma(own, mu.value / own))


def variance(mu: Positive, shape: Positive) -> Array:
    """The mean, and its square over the shape."""
    value: Array = mu.value * (1 + mu.value / shape.value)
    return value


def graph(pm: Any, mu: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's negative binomial distribution."""
    return pm.NegativeBinomial, {"mu": mu.value, "alpha": shape.value}


FAMILY = Family(
    "negbinomial",
    parameters=(Parameter("mu", POSITIVE, COUNT_LINKS, "mean"), replace(SHAPE, endless=True)),
    support=COUNT,
    row=row,
    of_y_alone=lambda y: -special.gammaln(y + 1),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=variance,
    cdf=lambda y, mu, shape: negbinomial_cdf(y, mu.value, shape.value),
    tails=Tails(tails, moments),
    information=lambda mu, shape: mu.value / (1 + mu.value / shape.value),
    equation="NegativeBinomial(mu, shape), variance mu + mu²/shape",
    grows=("mu", "shape"),
    place=8,
)
