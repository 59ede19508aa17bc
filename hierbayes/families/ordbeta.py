"""Shares of which some are 0 and some 1, of one predictor: two cutpoints on the log odds of mu, and a beta between.

Kubinec (2023), Political Analysis 31. Whether a response is 0, 1 or between is told as in an ordinal model: the further
mu is beyond the cutpoint of 1, the likelier is a 1.
"""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.families import beta
from hierbayes.families.beta import row as beta_row
from hierbayes.families.beta import shared
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import OWN_LINKS, Array, Family, Parameter
from hierbayes.families.zero_one_inflated_beta import SHARE, of_y_alone
from hierbayes.kinds import (
    NUMBER,
    POSITIVE,
    PROBABILITY,
    NumberRow,
    ParameterValues,
    Positive,
    PositiveRow,
    Probability,
    ProbabilityRow,
    probability_row,
)
from hierbayes.priors import Prior


@row_function
def row(
    y: float,
    mu: ProbabilityRow,
    phi: PositiveRow,
    cutzero: NumberRow,
    delta: PositiveRow,
    once: tuple[float, float],
) -> tuple[float, float, float, float, float]:
    """Return the log density without what depends on y alone, and its scores.

    Between, F(a) − F(b) = F(a) (1 − F(b)) (1 − exp(−delta)) with a and b the distances from the cutpoints.
    """
    a = mu.log_p - mu.log_q - cutzero.value
    if y == 0.0:
        some = probability_row(a)
        return some.log_q, -some.p, 0.0, some.p, 0.0
    all_ = probability_row(a - delta.value)
    if y == 1.0:
        return all_.log_p, all_.q, 0.0, -all_.q, -delta.value * all_.q
    some = probability_row(a)
    value, in_mu, in_phi = beta_row(y, mu, phi, once)
    gap = np.expm1(-delta.value)
    moved = some.q - all_.p
    in_delta = all_.p - (1.0 + gap) / gap
    return (
        value + some.log_p + all_.log_q + np.log(-gap),
        in_mu + moved,
        in_phi,
        -moved,
        delta.value * in_delta if delta.value < np.inf else 0.0,
    )


def parts(mu: Probability, cutzero: ParameterValues, delta: Positive) -> tuple[Array, Array, Array]:
    """Probabilities of 0, of what lies between, and of 1."""
    a = mu.log_odds - cutzero.value
    b = a - delta.value
    between = special.expit(a) * special.expit(-b) * -np.expm1(-delta.value)
    return special.expit(-a), between, special.expit(b)


def simulate(
    rng: np.random.Generator, mu: Probability, phi: Positive, cutzero: ParameterValues, delta: Positive
) -> Array:
    """Responses."""
    inside = beta.simulate(rng, mu, phi)
    none, _, all_ = parts(mu, cutzero, delta)
    u = rng.random(inside.shape)
    return np.where(u < none, 0.0, np.where(u >= 1 - all_, 1.0, inside))


def mean(mu: Probability, phi: Positive, cutzero: ParameterValues, delta: Positive) -> Array:
    """P(between) mu + P(1)."""
    _, between, all_ = parts(mu, cutzero, delta)
    value: Array = between * mu.p + all_
    return value


def variance(mu: Probability, phi: Positive, cutzero: ParameterValues, delta: Positive) -> Array:
    """Within the three parts and between them."""
    _, between, all_ = parts(mu, cutzero, delta)
    square = all_ + between * (mu.p * mu.q / (1 + phi.value) + mu.p**2)
    return np.maximum(square - mean(mu, phi, cutzero, delta) ** 2, 0.0)


def cdf(y: Array, mu: Probability, phi: Positive, cutzero: ParameterValues, delta: Positive) -> Array:
    """P(Y <= y)."""
    none, between, _ = parts(mu, cutzero, delta)
    inside = special.betainc(*beta.shapes(mu, phi), np.clip(y, 0.0, 1.0))
    return np.where(np.asarray(y) >= 1, 1.0, none + between * inside)


def graph(pm: Any, mu: Any, phi: Any, cutzero: Any, delta: Any) -> tuple[Any, dict[str, Any]]:
    """The three parts, and PyMC's beta distribution."""
    import pytensor.tensor as pt

    def log_density(y: Any, a: Any, b: Any, first: Any, second: Any) -> Any:
        ends = pt.or_(pt.eq(y, 0.0), pt.eq(y, 1.0))
        inside = pm.logp(pm.Beta.dist(alpha=a, beta=b), pt.switch(ends, np.array(0.5), y))
        between = pt.log(pt.sigmoid(first) - pt.sigmoid(second))
        none, all_ = -pt.softplus(first), -pt.softplus(-second)
        return pt.switch(pt.eq(y, 0.0), none, pt.switch(pt.eq(y, 1.0), all_, between + inside))

    first = mu.log_odds - cutzero.value
    arguments = {"a": mu.p * phi.value, "b": mu.q * phi.value, "first": first, "second": first - delta.value}
    return ByDensity(pm, log_density), arguments


FAMILY = Family(
    "ordbeta",
    parameters=(
        # the cutpoints are numbers on the log odds of mu, which another link would leave without a meaning
        Parameter("mu", PROBABILITY, ("logit",), "mean of what lies between 0 and 1"),
        beta.FAMILY.parameter("phi"),
        Parameter(
            "cutzero",
            NUMBER,
            ("identity",),
            "log odds of mu at which a 0 has probability 1/2",
            lambda spread: Prior("StudentT", nu=3.0, mu=0.0, sigma=2.5),
            lambda spread: -1.5,
        ),
        Parameter(
            "delta",
            POSITIVE,
            OWN_LINKS,
            "distance from there to where a 1 has",
            lambda spread: Prior("LogNormal", mu=1.0, sigma=1.0),
            lambda spread: 3.0,
        ),
    ),
    support=SHARE,
    row=row,
    shared=shared,
    of_y_alone=of_y_alone,
    graph=graph,
    simulate=simulate,
    mean=mean,
    mean_of="other",
    own_in_mean=("cutzero", "delta"),
    variance=variance,
    cdf=cdf,
    equation="0 below cutzero, 1 above cutzero + delta, by a latent logistic variable about logit mu; "
    "else Beta(mu·phi, (1 − mu)·phi)",
    place=29,
)
