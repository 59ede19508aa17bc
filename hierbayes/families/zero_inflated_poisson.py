"""Counts with more zeros than a Poisson has."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.cumulative import draw_counts, poisson_cdf
from hierbayes.families.record import (
    COUNT,
    COUNT_LINKS,
    SHARE_LINKS,
    Array,
    Family,
    Parameter,
)
from hierbayes.kinds import POSITIVE, PROBABILITY, Positive, PositiveRow, Probability, ProbabilityRow
from hierbayes.priors import Prior


@row_function
def row(y: float, mu: PositiveRow, zi: ProbabilityRow) -> tuple[float, float, float]:
    """Return the log density without log y!, and its scores in log mu and the log odds of zi."""
    if y > 0.0:
        return zi.log_q + y * mu.log - mu.value, y - mu.value, -zi.p
    zero = zi.log_q - mu.value
    value = max(zi.log_p, zero) + np.log1p(np.exp(-abs(zi.log_p - zero)))
    counted = np.exp(zero - value)  # the probability that this 0 was counted
    return value, -counted * mu.value, zi.q - counted


def simulate(rng: np.random.Generator, mu: Positive, zi: Probability) -> Array:
    """Responses: 0 with probability zi, else counts."""
    counts = draw_counts(rng, mu.value)
    return np.where(rng.random(np.shape(mu.eta)) < zi.p, 0.0, counts)


def variance(mu: Positive, zi: Probability) -> Array:
    """(1 − zi) mu (1 + zi mu)."""
    value: Array = zi.q * mu.value * (1 + zi.p * mu.value)
    return value


def graph(pm: Any, mu: Any, zi: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's zero-inflated Poisson distribution, whose psi is the share of counted responses."""
    return pm.ZeroInflatedPoisson, {"psi": zi.q, "mu": mu.value}


FAMILY = Family(
    "zero_inflated_poisson",
    parameters=(
        Parameter("mu", POSITIVE, COUNT_LINKS, "mean of the counts"),
        Parameter(
            "zi",
            PROBABILITY,
            SHARE_LINKS,
            "probability of a 0 beside the counts",
            lambda spread: Prior("Beta", alpha=1.0, beta=1.0),
            lambda spread: 0.5,
        ),
    ),
    support=COUNT,
    row=row,
    of_y_alone=lambda y: -special.gammaln(y + 1),
    graph=graph,
    simulate=simulate,
    mean=lambda mu, zi: zi.q * mu.value,
    variance=variance,
    cdf=lambda y, mu, zi: zi.p + zi.q * poisson_cdf(y, mu.value),
    equation="ZeroInflatedPoisson(mu, zi)",
    mean_of="multiple",
    own_in_mean=("zi",),
)
