"""Successes out of trials."""

from typing import Any

import numpy as np

from hierbayes.compiling import row_function
from hierbayes.cumulative import binomial_cdf, log_choices
from hierbayes.families.record import SUCCESSES, UNIT_LINKS, Array, Family, Parameter
from hierbayes.kinds import PROBABILITY, Probability, ProbabilityRow


@row_function
def row(y: float, trials: float, mu: ProbabilityRow) -> tuple[float, float]:
    """Return the log density without the number of orders of the successes, and its score in the log odds."""
    failures = trials - y
    return y * mu.log_p + failures * mu.log_q, y * mu.q - failures * mu.p


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
    information=lambda trials, mu: trials * mu.p * mu.q,
    equation="Binomial(trials, mu)",
    threshold=True,
    needs_trials=True,
    summed=True,
    place=5,
)
