"""Counts whose variance is a multiple of their mean: glmmTMB's other negative binomial."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.cumulative import draw_counts, negbinomial_cdf
from hierbayes.families.record import COUNT, COUNT_LINKS, OWN_LINKS, Array, Family, Parameter, first_value
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import exp_lane, lgamma_rise, log1p_wide


@row_function
def row(y: float, mu: PositiveRow, phi: PositiveRow) -> tuple[float, float, float]:
    """Return the log density without log y!, and its scores in log mu and log phi."""
    shape = exp_lane(mu.log - phi.log)
    rise, slope = lgamma_rise(shape, y)
    total = log1p_wide(phi.value)
    value = rise - shape * total - y * log1p_wide(exp_lane(-phi.log))
    in_mu = shape * (slope - total)
    return value, in_mu, (y - mu.value) / (1.0 + phi.value) - in_mu


def simulate(rng: np.random.Generator, mu: Positive, phi: Positive) -> Array:
    """Responses: Poisson counts whose means are gamma variables of one scale."""
    own = np.broadcast_to(phi.value, np.shape(mu.eta))
    return draw_counts(rng, rng.gamma(np.minimum(mu.value / own, 1e300), own))


def variance(mu: Positive, phi: Positive) -> Array:
    """The mean times 1 + phi."""
    value: Array = mu.value * (1 + phi.value)
    return value


def graph(pm: Any, mu: Any, phi: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's negative binomial distribution, of shape mu / phi."""
    return pm.NegativeBinomial, {"mu": mu.value, "alpha": mu.value / phi.value}


FAMILY = Family(
    "nbinom1",
    parameters=(
        Parameter("mu", POSITIVE, COUNT_LINKS, "mean"),
        Parameter("phi", POSITIVE, OWN_LINKS, "dispersion", lambda spread: Prior("Exponential", lam=0.2)),
    ),
    support=COUNT,
    row=row,
    of_y_alone=lambda y: -special.gammaln(y + 1),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=variance,
    cdf=lambda y, mu, phi: negbinomial_cdf(y, mu.value, mu.value / phi.value),
    equation="NegativeBinomial(mu, mu/phi), variance mu (1 + phi)",
    grows=("mu",),
    place=15,
)
