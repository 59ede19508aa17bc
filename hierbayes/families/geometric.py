"""Counts of failures before the first success: a negative binomial of shape 1."""

from typing import Any

import numpy as np

from hierbayes.compiling import row_function
from hierbayes.cumulative import draw_counts, negbinomial_cdf
from hierbayes.families import negbinomial
from hierbayes.families.record import COUNT, COUNT_LINKS, Array, Family, Parameter, first_value
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.special import exp_lane, log1p_wide


@row_function
def row(y: float, mu: PositiveRow) -> tuple[float, float]:
    """Return the log density, (1 / (1 + mu)) (mu / (1 + mu))^y, and its score in log mu."""
    value = -log1p_wide(mu.value) - y * log1p_wide(exp_lane(-mu.log))
    return value, (y - mu.value) / (1.0 + mu.value)


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
    information=lambda mu: mu.value / (1 + mu.value),
    equation="Geometric(1/(1 + mu))",
    summed=True,
    grows=("mu",),
    as_sum=(negbinomial.FAMILY, {"shape": 1.0}),
    place=14,
)
