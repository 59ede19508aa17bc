"""Shares of which some are 0 and some 1: whether one of both, which of them, and a beta distribution between."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.families import beta
from hierbayes.families.beta import row as beta_row
from hierbayes.families.beta import shared
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import Array, Family, Support
from hierbayes.families.zeros import share
from hierbayes.kinds import Positive, PositiveRow, Probability, ProbabilityRow

SHARE = Support("a number from 0 to 1", lambda y, trials: (y >= 0) & (y <= 1), atoms=(0.0, 1.0))


@row_function
def row(
    y: float,
    mu: ProbabilityRow,
    phi: PositiveRow,
    zoi: ProbabilityRow,
    coi: ProbabilityRow,
    once: tuple[float, float],
) -> tuple[float, float, float, float, float]:
    """Return the log density without what depends on y alone, and its scores."""
    if y == 0.0:
        return zoi.log_p + coi.log_q, 0.0, 0.0, zoi.q, -coi.p
    if y == 1.0:
        return zoi.log_p + coi.log_p, 0.0, 0.0, zoi.q, coi.q
    value, in_mu, in_phi = beta_row(y, mu, phi, once)
    return zoi.log_q + value, in_mu, in_phi, -zoi.p, 0.0


def simulate(
    rng: np.random.Generator, mu: Probability, phi: Positive, zoi: Probability, coi: Probability
) -> Array:
    """Responses."""
    inside = beta.simulate(rng, mu, phi)
    ends = (rng.random(inside.shape) < coi.p).astype(float)
    return np.where(rng.random(inside.shape) < zoi.p, ends, inside)


def mean(mu: Probability, phi: Positive, zoi: Probability, coi: Probability) -> Array:
    """zoi coi + (1 − zoi) mu."""
    value: Array = zoi.p * coi.p + zoi.q * mu.p
    return value


def variance(mu: Probability, phi: Positive, zoi: Probability, coi: Probability) -> Array:
    """Within the three parts and between them."""
    square = zoi.p * coi.p + zoi.q * (mu.p * mu.q / (1 + phi.value) + mu.p**2)
    return np.maximum(square - mean(mu, phi, zoi, coi) ** 2, 0.0)


def cdf(y: Array, mu: Probability, phi: Positive, zoi: Probability, coi: Probability) -> Array:
    """P(Y <= y)."""
    between = special.betainc(*beta.shapes(mu, phi), np.clip(y, 0.0, 1.0))
    value: Array = zoi.p * np.where(np.asarray(y) >= 1, 1.0, coi.q) + zoi.q * between
    return value


def of_y_alone(y: Array) -> Array:
    """What a beta density leaves out, of shares between 0 and 1."""
    inside = (y > 0) & (y < 1)
    between = np.where(inside, y, 0.5)
    return np.where(inside, -np.log(between) - np.log1p(-between), 0.0)


def graph(pm: Any, mu: Any, phi: Any, zoi: Any, coi: Any) -> tuple[Any, dict[str, Any]]:
    """Zeros, ones, and PyMC's beta distribution."""
    import pytensor.tensor as pt

    def log_density(y: Any, a: Any, b: Any, zero: Any, one: Any, rest: Any) -> Any:
        inside = pt.switch(pt.or_(pt.eq(y, 0.0), pt.eq(y, 1.0)), np.array(0.5), y)
        between = rest + pm.logp(pm.Beta.dist(alpha=a, beta=b), inside)
        return pt.switch(pt.eq(y, 0.0), zero, pt.switch(pt.eq(y, 1.0), one, between))

    arguments = {
        "a": mu.p * phi.value,
        "b": mu.q * phi.value,
        "zero": zoi.log_p + coi.log_q,
        "one": zoi.log_p + coi.log_p,
        "rest": zoi.log_q,
    }
    return ByDensity(pm, log_density), arguments


FAMILY = Family(
    "zero_one_inflated_beta",
    parameters=(
        *beta.FAMILY.parameters,
        share("zoi", "probability of a 0 or a 1"),
        share("coi", "probability of a 1 where it is one of both"),
    ),
    support=SHARE,
    row=row,
    shared=shared,
    of_y_alone=of_y_alone,
    graph=graph,
    simulate=simulate,
    mean=mean,
    mean_of="other",
    own_in_mean=("zoi", "coi"),
    typical_rows=lambda y: (y > 0) & (y < 1),
    variance=variance,
    cdf=cdf,
    equation="0 or 1 with probability zoi, then 1 with probability coi; else Beta(mu·phi, (1 − mu)·phi)",
    place=29,
)
