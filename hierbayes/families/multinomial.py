"""Counts of several categories: trials of which each is one choice."""

from typing import Any

import numpy as np
from scipy.special import gammaln

from hierbayes.compiling import row_function
from hierbayes.families import softmax
from hierbayes.families.record import Array, Family, Support, whole
from hierbayes.families.softmax import log_total
from hierbayes.kinds import ListRow, ParameterValues

COUNTS = Support(
    "counts of at least two categories, whole numbers, 0 or more",
    lambda y, trials: whole(y).all(axis=-1),
    whole=True,
    ordered=False,
    advice="Correct those rows, or leave them out; shares whose sum is 1 are family='dirichlet'",
    columns=True,
)


@row_function
def row(y: ListRow, trials: float, listed: ListRow, scores: ListRow) -> float:
    """Return the log density without the orders of the trials; set its scores in all predictors."""
    value, total = 0.0, log_total(listed)
    for j in range(listed.size):
        log_share, count = listed.values[listed.first + j, listed.at] - total, y.values[y.first + j, y.at]
        value += count * log_share
        scores.values[scores.first + j, scores.at] = count - trials * np.exp(log_share)
    return value


def log_orders(y: Array, trials: Array) -> Array:
    """The logarithm of the number of orders in which so many trials give these counts: (…, K) → (…)."""
    found: Array = gammaln(np.asarray(trials) + 1.0) - gammaln(y + 1.0).sum(axis=-1)
    return found


def graph(pm: Any, trials: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's multinomial distribution."""
    return pm.Multinomial, {"n": trials, "p": pm.math.softmax(softmax.stacked(**parameters), axis=-1)}


def simulate(rng: np.random.Generator, trials: Any, **parameters: ParameterValues) -> Array:
    """Counts (…, K)."""
    return rng.multinomial(trials, softmax.probabilities(**parameters)).astype(float)


FAMILY = softmax.of_categories(
    Family(
        "multinomial",
        parameters=(softmax.MU,),
        support=COUNTS,
        row=row,
        of_y_alone=log_orders,
        graph=graph,
        simulate=simulate,
        probabilities=softmax.probabilities,
        listed=0,
        needs_trials=True,
        summed=True,
        equation="Multinomial(trials, softmax({}))",
    )
)
