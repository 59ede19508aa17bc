"""Successes out of trials."""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred, row_function
from hierbayes.cumulative import binomial_cdf, log_choices
from hierbayes.families.record import SUCCESSES, UNIT_LINKS, Array, Family, Parameter, Tails
from hierbayes.incomplete import beta_tails
from hierbayes.kinds import PROBABILITY, Probability, ProbabilityRow


@row_function
def row(y: float, trials: float, mu: ProbabilityRow) -> tuple[float, float]:
    """Return the log density without the number of orders of the successes, and its score in the log odds."""
    failures = trials - y
    return y * mu.log_p + failures * mu.log_q, y * mu.q - failures * mu.p


@deferred
def tails(y: float, trials: float, mu: ProbabilityRow) -> tuple[float, float, float, float]:
    """Return the logarithms of the probabilities of y or less and of more, each with its score in the log odds."""
    y = np.floor(y)
    if y < 0.0:
        return -np.inf, 0.0, 0.0, 0.0
    if y >= trials:
        return 0.0, 0.0, -np.inf, 0.0
    above, _, _, rise, below, _, _, fall = beta_tails(y + 1.0, trials - y, mu.log_p, mu.log_q)
    return below, fall, above, rise


def tensor_tails(y: Any, n: Any, logit_p: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities of y or less and of more, in tensors."""
    import pymc as pm
    import pytensor.tensor as pt

    inside = pt.and_(y >= 0, y < n)
    first = pt.switch(inside, pt.floor(y), 0.0) + 1.0
    last = pt.switch(inside, n - pt.floor(y), 1.0)
    above = pm.logcdf(pm.Beta.dist(first, last), pt.sigmoid(logit_p))
    below = pm.logcdf(pm.Beta.dist(last, first), pt.sigmoid(-logit_p))
    ends = pt.switch(y < 0, -np.inf, 0.0), pt.switch(y < 0, 0.0, -np.inf)
    return pt.switch(inside, below, ends[0]), pt.switch(inside, above, ends[1])


def graph(pm: Any, trials: Any, mu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's binomial distribution."""
    return pm.Binomial, {"n": trials, "logit_p": mu.log_odds}


def simulate(rng: np.random.Generator, trials: Any, mu: Probability) -> Array:
    """Responses."""
    return rng.binomial(trials, mu.value).astype(float)


FAMILY = Family(
    "binomial",
    parameters=(Parameter("mu", PROBABILITY, UNIT_LINKS, "probability"),),
    support=SUCCESSES,
    row=row,
    of_y_alone=log_choices,
    graph=graph,
    simulate=simulate,
    mean=lambda mu: mu.value,
    variance=lambda mu: mu.p * mu.q,
    cdf=lambda y, trials, mu: binomial_cdf(y, trials, mu.log_odds),
    tails=Tails(
        tails,
        None,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    information=lambda trials, mu: trials * mu.p * mu.q,
    equation="Binomial(trials, mu)",
    threshold=True,
    needs_trials=True,
    summed=True,
    place=5,
)
