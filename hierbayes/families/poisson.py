"""Counts whose variance is their mean."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.cumulative import draw_counts, poisson_cdf
from hierbayes.families.record import (
    COUNT,
    COUNT_LINKS,
    Array,
    Family,
    Parameter,
    Tails,
    first_value,
)
from hierbayes.incomplete import gamma_tails
from hierbayes.kinds import POSITIVE, Positive, PositiveRow


@row_function
def row(y: float, mu: PositiveRow) -> tuple[float, float]:
    """Return the log density without log y!, and its score in log mu."""
    return (y * mu.log if y > 0.0 else 0.0) - mu.value, y - mu.value


@deferred
def tails(y: float, mu: PositiveRow) -> tuple[float, float, float, float]:
    """Return the logarithms of the probabilities of y or less and of more, each with its score in log mu."""
    if y < 0.0:
        return -np.inf, 0.0, 0.0, 0.0
    above, _, rise, below, _, fall = gamma_tails(np.floor(y) + 1.0, mu.value)
    return below, fall, above, rise


def moments(log_mass: Callable[..., Array], lower: Array, upper: Array, mu: Positive) -> tuple[Array, Array]:
    """Mean and variance between two ends.

    E[Y (Y − 1) …; lower < Y <= upper], of k factors, is mu^k times the probability between ends lower by k.
    """
    none, once, twice = (log_mass(lower - k, upper - k, mu=mu) for k in range(3))
    mean = mu.value * np.exp(once - none)
    return mean, np.maximum(np.square(mu.value) * np.exp(twice - none) + mean - np.square(mean), 0.0)


def simulate(rng: np.random.Generator, mu: Positive) -> Array:
    """Responses."""
    return draw_counts(rng, mu.value)


def graph(pm: Any, mu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's Poisson distribution."""
    return pm.Poisson, {"mu": mu.value}


FAMILY = Family(
    "poisson",
    parameters=(Parameter("mu", POSITIVE, COUNT_LINKS, "mean"),),
    support=COUNT,
    row=row,
    of_y_alone=lambda y: -special.gammaln(y + 1),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=first_value,
    cdf=lambda y, mu: poisson_cdf(y, mu.value),
    tails=Tails(tails, moments),
    information=first_value,
    equation="Poisson(mu)",
    summed=True,
    grows=("mu",),
    place=7,
)
