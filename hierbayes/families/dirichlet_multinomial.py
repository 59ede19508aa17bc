"""Counts of several categories whose probabilities vary from row to row, as a Dirichlet variable."""

from dataclasses import replace
from typing import Any

import numpy as np

from hierbayes.compiling import deferred, row_function
from hierbayes.families import dirichlet, softmax
from hierbayes.families.multinomial import COUNTS, log_orders
from hierbayes.families.record import PHI, Array, Family
from hierbayes.families.softmax import centre_scores, log_total
from hierbayes.kinds import ListRow, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.special import lgamma_rise


@deferred
def of_one(count: float, log_share: float, phi: PositiveRow) -> tuple[float, float]:
    """Return log Γ(a + count) - log Γ(a), a = phi times the share, and its derivative in log a.

    Γ(a + y) / Γ(a) = a Γ(a + y) / Γ(a + 1): the share may round to 0 while its logarithm is finite.
    """
    if count == 0.0:
        return 0.0, 0.0
    log_a = log_share + phi.log
    a = np.exp(log_a)
    more, steep = lgamma_rise(a + 1.0, count - 1.0)
    return log_a + more, 1.0 + a * steep


@row_function
def row(
    y: ListRow, trials: float, mu: NumberRow, phi: PositiveRow, listed: ListRow, scores: ListRow
) -> tuple[float, float, float]:
    """Return the log density without the orders, and its scores in the first predictor and log phi; set all others'."""
    total = np.logaddexp(mu.value, log_total(listed))
    rise, slope = lgamma_rise(phi.value, trials)
    value, first = of_one(y.values[y.first, y.at], mu.value - total, phi)
    every = first
    for j in range(listed.size):
        log_share = listed.values[listed.first + j, listed.at] - total
        more, score = of_one(y.values[y.first + 1 + j, y.at], log_share, phi)
        value, every = value + more, every + score
        scores.values[scores.first + j, scores.at] = score
    centre_scores(total, every, listed, scores)
    return value - rise, first - np.exp(mu.value - total) * every, every - slope * phi.value


def graph(pm: Any, trials: Any, phi: Any, **predictors: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's Dirichlet-multinomial distribution."""
    return pm.DirichletMultinomial, {"n": trials, **dirichlet.graph(pm, phi, **predictors)[1]}


def simulate(rng: np.random.Generator, trials: Any, phi: Positive, **predictors: ParameterValues) -> Array:
    """Counts (…, K): multinomial ones of probabilities that are a Dirichlet variable."""
    p = dirichlet.simulate(rng, phi, **predictors)
    return rng.multinomial(trials, p / p.sum(axis=-1, keepdims=True)).astype(float)


FAMILY = softmax.of_categories(
    Family(
        "dirichlet_multinomial",
        parameters=(softmax.MU, replace(PHI, endless=True)),
        support=COUNTS,
        row=row,
        of_y_alone=log_orders,
        graph=graph,
        simulate=simulate,
        probabilities=lambda phi, **predictors: softmax.probabilities(**predictors),
        listed=2,
        needs_trials=True,
        equation="DirichletMultinomial(trials, phi·softmax({}))",
    )
)
