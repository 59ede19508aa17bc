"""Ordered categories: where a latent logistic variable about mu falls between thresholds.

The thresholds say where the categories are, so the intercept of mu's formula is known to be 0 at the predictors' means,
and the thresholds are those there: P(y <= k) = logistic(threshold k − mu).
"""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.families.record import Array, Family, Parameter, Support
from hierbayes.kinds import NUMBER, ORDERED, NumberRow, OrderedRow, ParameterValues
from hierbayes.priors import Prior

CATEGORIES = Support(
    "one of at least two categories in an order",
    lambda y, trials: np.isfinite(y) & (y == np.floor(y)) & (y >= 0),
    whole=True,
    categories=True,
)


@row_function
def row(y: float, mu: NumberRow, thresholds: OrderedRow) -> tuple[float, float, tuple[float, float]]:
    """Return the log density, and its scores in mu and in the thresholds below and above the category.

    With logistic F, F(a) − F(b) = F(a) (1 − F(b)) (1 − exp(b − a)), which loses no digits in either tail.
    """
    a, b = thresholds.upper - mu.value, thresholds.lower - mu.value
    tail_a, tail_b = np.exp(-abs(a)), np.exp(-abs(b))
    beyond = (tail_a if a > 0.0 else 1.0) / (1.0 + tail_a)  # 1 − F(a)
    before = (1.0 if b > 0.0 else tail_b) / (1.0 + tail_b)  # F(b)
    width = thresholds.upper - thresholds.lower
    between = 1.0 / np.expm1(width)
    value = min(a, 0.0) - np.log1p(tail_a) - max(b, 0.0) - np.log1p(tail_b) + np.log(-np.expm1(-width))
    return value, before - beyond, (-before - between, beyond + between)


def bounds(mu: ParameterValues, thresholds: ParameterValues) -> tuple[Array, Array]:
    """Where each category ends and begins, less mu: (…, K), (…, K)."""
    inner = np.asarray(thresholds.value) - np.asarray(mu.value)[..., None]
    end = np.full((*inner.shape[:-1], 1), np.inf)
    return np.concatenate([inner, end], axis=-1), np.concatenate([-end, inner], axis=-1)


def probabilities(mu: ParameterValues, thresholds: ParameterValues) -> Array:
    """P(y = k) of every category k: (…, K)."""
    upper, lower = bounds(mu, thresholds)
    value: Array = special.expit(upper) * special.expit(-lower) * -np.expm1(lower - upper)
    return value


def cdf(y: Array, mu: ParameterValues, thresholds: ParameterValues) -> Array:
    """P(y <= k)."""
    upper, _ = bounds(mu, thresholds)
    shape = np.broadcast_shapes(np.shape(y), upper.shape[:-1])
    below = np.broadcast_to(special.expit(upper), (*shape, upper.shape[-1]))
    places = np.broadcast_to(np.asarray(y, np.int64), shape)[..., None]
    return np.take_along_axis(below, places, axis=-1)[..., 0]


def simulate(rng: np.random.Generator, mu: ParameterValues, thresholds: ParameterValues) -> Array:
    """Responses: the number of thresholds below a latent variable."""
    latent = np.asarray(mu.value) + rng.logistic(size=np.shape(mu.eta))
    found = np.zeros(latent.shape)
    for threshold in np.moveaxis(np.asarray(thresholds.value), -1, 0):
        found += latent > threshold
    return found


def information(mu: ParameterValues, thresholds: ParameterValues) -> Array:
    """The mean square of the score."""
    upper, lower = bounds(mu, thresholds)
    score = special.expit(lower) - special.expit(-upper)
    value: Array = (probabilities(mu, thresholds) * score**2).sum(axis=-1)
    return value


def graph(pm: Any, mu: Any, thresholds: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's ordered logistic distribution, without a record of its probabilities."""
    return pm.Categorical, {"p": pm.OrderedLogistic.compute_p(mu.value, thresholds.value)}


FAMILY = Family(
    "cumulative",
    parameters=(
        Parameter("mu", NUMBER, ("identity",), "latent mean", intercept=Prior("Fixed", value=0.0)),
        Parameter(
            "thresholds",
            ORDERED,
            ("identity",),
            "thresholds between categories",
            lambda spread: Prior("StudentT", nu=3.0, mu=0.0, sigma=2.5),
            lambda categories: special.logit(np.arange(1, categories) / categories),
        ),
    ),
    support=CATEGORIES,
    row=row,
    graph=graph,
    simulate=simulate,
    cdf=cdf,
    probabilities=probabilities,
    information=information,
    has_variance=False,
    latent_variance=np.pi**2 / 3,
    equation="OrderedLogistic(mu, thresholds)",
)
