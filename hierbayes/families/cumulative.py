"""Ordered categories: between which thresholds a latent variable falls: P(y <= k) = F(disc (threshold k − mu))."""

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from hierbayes.compiling import Deferred, row_function
from hierbayes.families import ordinal
from hierbayes.families.latent import LATENTS, log_odds, log_odds_row
from hierbayes.families.record import Array, Family, Parameter
from hierbayes.kinds import NUMBER, ORDERED, POSITIVE, NumberRow, OrderedRow, ParameterValues, PositiveRow
from hierbayes.priors import Prior


@row_function
def interval(code: int, a: float, b: float, gap: float) -> tuple[float, float, float, float]:
    """Return log(F(a) − F(b)), its derivatives in a and in b, and their sum; `gap` is a − b.

    With log odds α and β of F, F(a) − F(b) = F(a) (1 − F(b)) (1 − exp(β − α)), which loses no digits in either tail.
    """
    odds_a, slope_a = (np.inf, 0.0) if a == np.inf else log_odds_row(code, a)
    odds_b, slope_b = (-np.inf, 0.0) if b == -np.inf else log_odds_row(code, b)
    tail_a, tail_b = np.exp(-abs(odds_a)), np.exp(-abs(odds_b))
    beyond = (tail_a if odds_a > 0.0 else 1.0) / (1.0 + tail_a)  # 1 − F(a)
    before = (1.0 if odds_b > 0.0 else tail_b) / (1.0 + tail_b)  # F(b)
    width = gap if code == 0 else odds_a - odds_b
    if not width > 0.0:  # no category lies between thresholds that are one to rounding
        return -np.inf, 0.0, 0.0, 0.0
    between = 1.0 / np.expm1(width)
    value = (
        min(odds_a, 0.0) - np.log1p(tail_a) - max(odds_b, 0.0) - np.log1p(tail_b) + np.log(-np.expm1(-width))
    )
    score_a, score_b = slope_a * (beyond + between), -slope_b * (before + between)
    both = beyond - before if code == 0 else score_a + score_b
    return value, score_a, score_b, both


def row_of(code: int) -> Deferred:
    """The row function under one latent distribution."""

    @row_function
    def row(
        y: float, mu: NumberRow, disc: PositiveRow, thresholds: OrderedRow
    ) -> tuple[float, float, float, tuple[float, float]]:
        """Return the log density, and its scores in mu, log disc and the thresholds that bound the category."""
        a, b = disc.value * (thresholds.upper - mu.value), disc.value * (thresholds.lower - mu.value)
        gap = disc.value * (thresholds.upper - thresholds.lower)
        value, score_a, score_b, both = interval(code, a, b, gap)
        spread = (score_a * a if a < np.inf else 0.0) + (score_b * b if b > -np.inf else 0.0)
        return value, -disc.value * both, spread, (disc.value * score_b, disc.value * score_a)

    return row


def evenly_row_of(code: int) -> Deferred:
    """The same where thresholds are evenly spaced; the last category, which has no upper one, is a negative number."""

    @row_function
    def row(
        y: float, mu: NumberRow, disc: PositiveRow, threshold: NumberRow, delta: PositiveRow
    ) -> tuple[float, float, float, float, float]:
        """Return the log density, and its scores in mu, log disc, the first threshold and log delta."""
        k = abs(y)
        upper = np.inf if y < 0.0 else threshold.value + k * delta.value
        lower = threshold.value + (k - 1.0) * delta.value if k > 0.0 else -np.inf
        a, b = disc.value * (upper - mu.value), disc.value * (lower - mu.value)
        value, score_a, score_b, both = interval(
            code, a, b, a - b if y < 0.0 or k == 0.0 else disc.value * delta.value
        )
        spread = (score_a * a if a < np.inf else 0.0) + (score_b * b if b > -np.inf else 0.0)
        steps = disc.value * delta.value * (score_a * k + score_b * (k - 1.0))
        return value, -disc.value * both, spread, disc.value * both, steps

    return row


def between(shares: Array) -> Array:
    """Thresholds of a logistic variable between categories of these shares."""
    found: Array = special.logit(np.cumsum(shares)[:-1])
    return found


class Spaced(NamedTuple):
    """Thresholds as a vector, of a first one and the distance between them."""

    value: Any


def spaced(categories: int, threshold: Any, delta: Any, **others: Any) -> dict[str, Any]:
    """Parameters of evenly spaced thresholds as those of any."""
    steps = np.arange(categories - 1.0)
    first, step = (threshold.m.arrays.expand_dims(one.value, -1) for one in (threshold, delta))
    return {**others, "thresholds": Spaced(first + step * steps)}


def family(latent: str, categories: int = 0) -> Family:
    """The family under one link; with evenly spaced thresholds between so many categories, or with any."""

    def given(parameters: dict[str, Any]) -> dict[str, Any]:
        return spaced(categories, **parameters) if categories else parameters

    def bounds(parameters: dict[str, Any]) -> tuple[Array, Array]:
        """The log odds of where each category ends and begins: (…, K), (…, K)."""
        inner = log_odds(latent, ordinal.distances(**given(parameters)))
        end = np.full((*inner.shape[:-1], 1), np.inf)
        return np.concatenate([inner, end], axis=-1), np.concatenate([-end, inner], axis=-1)

    def probabilities(**parameters: ParameterValues) -> Array:
        """P(y = k) of every category k: (…, K)."""
        upper, lower = bounds(parameters)
        value: Array = special.expit(upper) * special.expit(-lower) * -np.expm1(lower - upper)
        return value

    def below(parameters: dict[str, Any]) -> Array:
        """P(y <= k) of all categories but the last: (…, K − 1)."""
        found: Array = special.expit(log_odds(latent, ordinal.distances(**given(parameters))))
        return found

    def information(**parameters: ParameterValues) -> Array:
        """The mean square of the score in mu."""
        x = ordinal.distances(**given(parameters))
        rising = ordinal.hazards(latent, x)[0]
        density = rising * special.expit(log_odds(latent, x))
        edges = np.concatenate([density[..., :1] * 0, density, density[..., :1] * 0], axis=-1)
        p = probabilities(**parameters)
        squares = np.where(p > 0, np.diff(edges, axis=-1) ** 2 / np.where(p > 0, p, 1.0), 0.0)
        found: Array = np.square(parameters["disc"].value) * squares.sum(axis=-1)
        return found

    def graph(pm: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        """PyMC's categorical distribution of differences of the distribution function."""
        pt = parameters["mu"].m.arrays
        inside = LATENTS[latent].cdf(ordinal.tensor_distances(**given(parameters)), parameters["mu"].m)
        edge = pt.zeros_like(inside[..., :1])
        return pm.Categorical, {"p": pt.diff(pt.concatenate([edge, inside, edge + 1.0], axis=-1), axis=-1)}

    thresholds: tuple[Parameter, ...] = (ordinal.thresholds_of(ORDERED, between),)
    code = LATENTS[latent].code
    if categories:
        thresholds = (FIRST, DELTA)
    return Family(
        "cumulative",
        parameters=(ordinal.MU, ordinal.DISC, *thresholds),
        support=ordinal.CATEGORIES,
        row=evenly_row_of(code) if categories else row_of(code),
        response=(lambda y: np.where(y == categories - 1, -y, y)) if categories else (lambda y: y),
        graph=graph,
        simulate=lambda rng, **parameters: ordinal.draw(rng, below(parameters)),
        cdf=lambda y, **parameters: ordinal.up_to(y, below(parameters)),
        probabilities=probabilities,
        information=information,
        has_variance=False,
        own_in_mean=("disc",),
        latent=latent,
        latent_variance=LATENTS[latent].variance,
        origin=thresholds[0].name,
        variant="equidistant" if categories else "",
        equidistant=None if categories else lambda count: family(latent, count),
        equation=f"Cumulative(mu, disc, {', '.join(parameter.name for parameter in thresholds)})",
    )


FIRST = Parameter(
    "threshold",
    NUMBER,
    ("identity",),
    "first threshold",
    lambda spread: Prior("StudentT", nu=3.0, mu=0.0, sigma=2.5),
    lambda spread: -1.0,
    formula=False,
)
DELTA = Parameter(
    "delta",
    POSITIVE,
    ("log",),
    "distance between thresholds",
    lambda spread: Prior("Exponential", lam=1.0),
)
FAMILY = ordinal.by_link(family)
