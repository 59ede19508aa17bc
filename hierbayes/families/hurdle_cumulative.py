"""Ordered categories after a hurdle: the first category with probability hu, else one of the others, `cumulative`."""

from typing import Any

import numpy as np

from hierbayes.compiling import Deferred, row_function
from hierbayes.families import cumulative, ordinal
from hierbayes.families.cumulative import interval
from hierbayes.families.latent import LATENTS
from hierbayes.families.record import Array, Family, Support
from hierbayes.families.zeros import share
from hierbayes.kinds import (
    ORDERED,
    ListRow,
    NumberRow,
    ParameterValues,
    PositiveRow,
    Probability,
    ProbabilityRow,
)

CATEGORIES = Support(
    "one of at least three categories in an order, the first of which is behind the hurdle",
    ordinal.CATEGORIES.contains,
    whole=True,
    categories=True,
    fewest=3,
)


def row_of(code: int) -> Deferred:
    """The row function under one latent distribution."""

    @row_function
    def row(
        y: float, mu: NumberRow, disc: PositiveRow, hu: ProbabilityRow, thresholds: ListRow, scores: ListRow
    ) -> tuple[float, float, float, float]:
        """Return the log density, and its scores in mu, log disc and the log odds of hu; set those of thresholds."""
        for j in range(scores.size):
            scores.values[scores.first + j, scores.at] = 0.0
        if y == 0.0:
            return hu.log_p, 0.0, 0.0, hu.q
        above = int(y) - 1  # the threshold above the category, one of 0 to size − 1 where it has one
        upper = (
            thresholds.values[thresholds.first + above, thresholds.at] if above < thresholds.size else np.inf
        )
        lower = thresholds.values[thresholds.first + above - 1, thresholds.at] if above > 0 else -np.inf
        a, b = disc.value * (upper - mu.value), disc.value * (lower - mu.value)
        value, score_a, score_b, both = interval(code, a, b, disc.value * (upper - lower))
        spread = 0.0
        if above < thresholds.size:
            spread += score_a * a
            scores.values[scores.first + above, scores.at] = disc.value * score_a
        if above > 0:
            spread += score_b * b
            scores.values[scores.first + above - 1, scores.at] = disc.value * score_b
        return value + hu.log_q, -disc.value * both, spread, -hu.p

    return row


def evenly_row_of(code: int) -> Deferred:
    """The same where thresholds are evenly spaced; the last category is a negative number."""
    after = cumulative.evenly_row_of(code)

    @row_function
    def row(
        y: float,
        mu: NumberRow,
        disc: PositiveRow,
        hu: ProbabilityRow,
        threshold: NumberRow,
        delta: PositiveRow,
    ) -> tuple[float, float, float, float, float, float]:
        """Return the log density, and its scores in mu, log disc, the log odds of hu, the threshold and log delta."""
        if y == 0.0:
            return hu.log_p, 0.0, 0.0, hu.q, 0.0, 0.0
        value, in_mu, in_disc, in_threshold, in_delta = after(
            y - 1.0 if y > 0.0 else y + 1.0, mu, disc, threshold, delta
        )
        return value + hu.log_q, in_mu, in_disc, -hu.p, in_threshold, in_delta

    return row


def family(latent: str, categories: int = 0) -> Family:
    """The family under one link; with evenly spaced thresholds between so many categories, or with any."""
    base = cumulative.family(latent, categories - 1) if categories else cumulative.FAMILY.latents[latent]
    assert base.probabilities is not None, "categories have probabilities"
    after = base.probabilities

    def probabilities(hu: Probability, **parameters: ParameterValues) -> Array:
        """P(y = k) of every category k: (…, K)."""
        others = np.asarray(hu.q)[..., None] * after(**parameters)
        first = np.broadcast_to(np.asarray(hu.p)[..., None], (*others.shape[:-1], 1))
        return np.concatenate([first, others], axis=-1)

    def below(parameters: dict[str, Any]) -> Array:
        """P(y <= k) of all categories but the last: (…, K − 1)."""
        return np.minimum(np.cumsum(probabilities(**parameters)[..., :-1], axis=-1), 1.0)

    def graph(pm: Any, hu: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        """PyMC's categorical distribution."""
        pt = hu.m.arrays
        others = base.in_tensors(pm, **parameters)[1]["p"]
        p, q = (pt.zeros_like(others[..., :1]) + pt.shape_padright(one) for one in (hu.p, hu.q))
        return pm.Categorical, {"p": pt.concatenate([p, q * others], axis=-1)}

    others, thresholds = base.parameters[:2], base.parameters[2:]
    hu = share("hu", "probability of the first category")
    if not categories:
        thresholds = (
            ordinal.thresholds_of(ORDERED, lambda shares: cumulative.between(shares[1:] / shares[1:].sum())),
        )
    code = LATENTS[latent].code
    return Family(
        "hurdle_cumulative",
        parameters=(*others, hu, *thresholds),
        support=CATEGORIES,
        row=evenly_row_of(code) if categories else row_of(code),
        response=(lambda y: np.where(y == categories - 1, -y, y)) if categories else (lambda y: y),
        graph=graph,
        simulate=lambda rng, **parameters: ordinal.draw(rng, below(parameters)),
        cdf=lambda y, **parameters: ordinal.up_to(y, below(parameters)),
        probabilities=probabilities,
        has_variance=False,
        own_in_mean=("disc", "hu"),
        latent=latent,
        origin=thresholds[0].name,
        listed=None if categories else 3,
        variant="equidistant" if categories else "",
        equidistant=None if categories else lambda count: family(latent, count),
        equation="the first category with probability hu, else "
        f"Cumulative(mu, disc, {', '.join(parameter.name for parameter in thresholds)})",
    )


FAMILY = ordinal.by_link(family)
