"""Counts whose variance is their mean."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.cumulative import draw_counts, poisson_cdf
from hierbayes.families.record import (
    COUNT,
    COUNT_LINKS,
    Array,
    Family,
    Parameter,
    first_value,
)
from hierbayes.kinds import POSITIVE, Positive, PositiveRow


@row_function
def row(y: float, mu: PositiveRow) -> tuple[float, float]:
    """Return the log density without log y!, and its score in log mu."""
    return (y * mu.log if y > 0.0 else 0.0) - mu.value, y - mu.value


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
    information=first_value,
    equation="Poisson(mu)",
    summed=True,
    grows=("mu",),
    place=7,
)
