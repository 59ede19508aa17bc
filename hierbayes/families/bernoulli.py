"""Yes or no."""

from typing import Any

import numpy as np

from hierbayes.compiling import row_function
from hierbayes.families.record import UNIT_LINKS, Array, Family, Parameter, Support
from hierbayes.kinds import PROBABILITY, Probability, ProbabilityRow

BINARY = Support(
    "0 or 1, or one of two values", lambda y, trials: (y == 0) | (y == 1), whole=True, two_levels=True
)


@row_function
def row(y: float, mu: ProbabilityRow) -> tuple[float, float]:
    """Return the log density and its score in the log odds."""
    return y * mu.log_p + (1.0 - y) * mu.log_q, y * mu.q - (1.0 - y) * mu.p


def graph(pm: Any, mu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's Bernoulli distribution."""
    return pm.Bernoulli, {"logit_p": mu.log_odds}


def simulate(rng: np.random.Generator, mu: Probability) -> Array:
    """Responses."""
    return rng.binomial(1, mu.value).astype(float)


FAMILY = Family(
    "bernoulli",
    parameters=(Parameter("mu", PROBABILITY, UNIT_LINKS, "probability"),),
    support=BINARY,
    row=row,
    graph=graph,
    simulate=simulate,
    mean=lambda mu: mu.value,
    variance=lambda mu: mu.p * mu.q,
    cdf=lambda y, mu: np.where(y < 1, mu.q, 1.0),
    information=lambda mu: mu.p * mu.q,
    equation="Bernoulli(mu)",
    threshold=True,
    summed=True,
    place=4,
)
