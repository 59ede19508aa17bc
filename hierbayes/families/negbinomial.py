"""Counts that vary more than a Poisson's."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.cumulative import draw_counts, negbinomial_cdf
from hierbayes.families.record import (
    COUNT,
    COUNT_LINKS,
    SHAPE,
    Array,
    Family,
    Parameter,
    first_value,
)
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.special import lgamma_rise, log1p_wide, log_lane


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
    information=lambda mu, shape: mu.value / (1 + mu.value / shape.value),
    equation="NegativeBinomial(mu, shape), variance mu + mu²/shape",
    grows=("mu", "shape"),
    place=8,
)
