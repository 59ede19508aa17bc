"""Ordered categories: between which thresholds a latent variable falls: P(y <= k) = F(disc (threshold k − mu))."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import Deferred, row_function
from hierbayes.families import ordinal
from hierbayes.families.latent import LATENTS, log_odds, log_odds_row
from hierbayes.families.record import Array, Family
from hierbayes.kinds import ORDERED, NumberRow, OrderedRow, ParameterValues, PositiveRow


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


def family(latent: str) -> Family:
    """The family under one link."""

    def bounds(**parameters: ParameterValues) -> tuple[Array, Array]:
        """The log odds of where each category ends and begins: (…, K), (…, K)."""
        inner = log_odds(latent, ordinal.distances(**parameters))
        end = np.full((*inner.shape[:-1], 1), np.inf)
        return np.concatenate([inner, end], axis=-1), np.concatenate([-end, inner], axis=-1)

    def probabilities(**parameters: ParameterValues) -> Array:
        """P(y = k) of every category k: (…, K)."""
        upper, lower = bounds(**parameters)
        value: Array = special.expit(upper) * special.expit(-lower) * -np.expm1(lower - upper)
        return value

    def below(**parameters: ParameterValues) -> Array:
        """P(y <= k) of all categories but the last: (…, K − 1)."""
        found: Array = special.expit(log_odds(latent, ordinal.distances(**parameters)))
        return found

    def information(disc: ParameterValues, **parameters: ParameterValues) -> Array:
        """The mean square of the score in mu."""
        x = ordinal.distances(disc=disc, **parameters)
        rising = ordinal.hazards(latent, x)[0]
        density = rising * special.expit(log_odds(latent, x))
        edges = np.concatenate([density[..., :1] * 0, density, density[..., :1] * 0], axis=-1)
        p = probabilities(disc=disc, **parameters)
        squares = np.where(p > 0, np.diff(edges, axis=-1) ** 2 / np.where(p > 0, p, 1.0), 0.0)
        found: Array = np.square(disc.value) * squares.sum(axis=-1)
        return found

    def graph(pm: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        """PyMC's categorical distribution of differences of the distribution function."""
        import pytensor.tensor as pt

        inside = LATENTS[latent].cdf(ordinal.tensor_distances(**parameters), parameters["mu"].m)
        edge = pt.zeros_like(inside[..., :1])
        return pm.Categorical, {"p": pt.diff(pt.concatenate([edge, inside, edge + 1.0], axis=-1), axis=-1)}

    return Family(
        "cumulative",
        parameters=(ordinal.MU, ordinal.DISC, ordinal.thresholds_of(ORDERED, ordinal.evenly)),
        support=ordinal.CATEGORIES,
        row=row_of(LATENTS[latent].code),
        graph=graph,
        simulate=lambda rng, **parameters: ordinal.draw(rng, below(**parameters)),
        cdf=lambda y, **parameters: ordinal.up_to(y, below(**parameters)),
        probabilities=probabilities,
        information=information,
        has_variance=False,
        latent=latent,
        origin="thresholds",
        latent_variance=LATENTS[latent].variance,
        equation="Cumulative(mu, disc, thresholds)",
    )


FAMILY = ordinal.by_link(family)
