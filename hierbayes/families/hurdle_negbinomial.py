"""Counts: whether there are any, and how many where there are, of a negative binomial without its zeros."""

from typing import Any

import numpy as np

from hierbayes.cumulative import draw_positive_negbinomial
from hierbayes.families import negbinomial
from hierbayes.families.record import Array
from hierbayes.families.zeros import hurdle
from hierbayes.kinds import Positive


def positive(rng: np.random.Generator, mu: Positive, shape: Positive) -> Array:
    """Counts that are not 0."""
    return draw_positive_negbinomial(rng, mu.value, np.broadcast_to(shape.value, np.shape(mu.eta)))


def graph(pm: Any, mu: Any, shape: Any, hu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's hurdle negative binomial distribution, whose psi is the probability of any."""
    return pm.HurdleNegativeBinomial, {"psi": hu.q, "mu": mu.value, "alpha": shape.value}


FAMILY = hurdle(negbinomial.FAMILY, "hurdle_negbinomial", globals(), graph, positive, place=25)
