"""Shares of several categories, whose sum is 1: compositions."""

from math import lgamma
from typing import Any

import numpy as np

from hierbayes.compiling import deferred, row_function
from hierbayes.families import softmax
from hierbayes.families.record import PHI, TINY, Array, Family, Support
from hierbayes.families.softmax import centre_scores, log_total
from hierbayes.kinds import ListRow, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.special import LOG_ROOT_2PI, STIRLING, digamma, digamma_rest, lgamma_rest

CLOSE = 1e-6  # how far from 1 the sum of shares may be, which were rounded
SHARES = Support(
    "shares of at least two categories, above 0, whose sum is 1",
    lambda y, trials: (y > 0).all(axis=-1) & (np.abs(y.sum(axis=-1) - 1) < CLOSE),
    ordered=False,
    advice="Counts are family='multinomial' or 'dirichlet_multinomial'; percentages are to be divided by 100. A share "
    "of exactly 0 is none that this distribution gives: merge such categories, or count what they are shares of",
    columns=True,
)


@deferred
def of_all(phi: PositiveRow) -> tuple[float, float]:
    """Return log Γ(phi) - phi log phi + phi, and its derivative in log phi."""
    if phi.value >= STIRLING:
        rest = LOG_ROOT_2PI - 0.5 * phi.log + lgamma_rest(phi.value)
        return rest, -phi.value * digamma_rest(phi.value)
    value = lgamma(phi.value) - phi.value * (phi.log - 1.0)
    return value, phi.value * (digamma(phi.value) - phi.log)


@deferred
def of_one(log_y: float, log_share: float, phi: PositiveRow) -> tuple[float, float]:
    """Return a (log y + log phi - 1) - log Γ(a), a = phi times the share, and its derivative in log a, phi given.

    Of a large a by Stirling's series, in which nothing large is left; of others Γ(a) = Γ(a + 1) / a, since the share
    may round to 0 while its logarithm is finite.
    """
    log_a = log_share + phi.log
    a = np.exp(log_a)
    if a >= STIRLING:
        away = log_y - log_share
        return a * away + 0.5 * log_a - LOG_ROOT_2PI - lgamma_rest(a), a * (away + digamma_rest(a))
    value = a * (log_y + phi.log - 1.0) - lgamma(a + 1.0) + log_a
    return value, a * (log_y + phi.log - digamma(a + 1.0)) + 1.0


@row_function
def row(
    log_y: ListRow, mu: NumberRow, phi: PositiveRow, listed: ListRow, scores: ListRow
) -> tuple[float, float, float]:
    """Return the log density without -log y, and its scores in the first predictor and log phi; set all others'."""
    total = np.logaddexp(mu.value, log_total(listed))
    value, rest = of_all(phi)
    more, first = of_one(log_y.values[log_y.first, log_y.at], mu.value - total, phi)
    value, every = value + more, first
    for j in range(listed.size):
        log_share = listed.values[listed.first + j, listed.at] - total
        more, score = of_one(log_y.values[log_y.first + 1 + j, log_y.at], log_share, phi)
        value, every = value + more, every + score
        scores.values[scores.first + j, scores.at] = score
    centre_scores(total, every, listed, scores)
    return value, first - np.exp(mu.value - total) * every, rest + every


def graph(pm: Any, phi: Any, **predictors: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's Dirichlet distribution."""
    shares = pm.math.softmax(softmax.stacked(**predictors), axis=-1)
    return pm.Dirichlet, {"a": shares * shapes(phi.value)}


def shapes(phi: Any) -> Any:
    """The precision beside categories on a last axis."""
    return phi[..., None] if getattr(phi, "ndim", 0) else phi


def simulate(rng: np.random.Generator, phi: Positive, **predictors: ParameterValues) -> Array:
    """Shares (…, K): gamma variables over their sum; those of small shapes may round to 0, which is none."""
    p = softmax.probabilities(**predictors)
    # a gamma variable of shape a is one of shape a + 1 times U^(1/a): its logarithm stays finite where it is tiny
    a = np.maximum(p * np.asarray(phi.value)[..., None], TINY)
    logs = np.log(rng.gamma(a + 1.0)) + np.log1p(-rng.random(a.shape)) / a
    found: Array = np.exp(logs - np.logaddexp.reduce(logs, axis=-1, keepdims=True))
    return np.maximum(found, TINY)


FAMILY = softmax.of_categories(
    Family(
        "dirichlet",
        parameters=(softmax.MU, PHI),
        support=SHARES,
        row=row,
        of_y_alone=lambda y: -np.log(y).sum(axis=-1),
        response=np.log,
        graph=graph,
        simulate=simulate,
        probabilities=lambda phi, **predictors: softmax.probabilities(**predictors),
        listed=2,
        equation="Dirichlet(phi·softmax({}))",
    )
)
