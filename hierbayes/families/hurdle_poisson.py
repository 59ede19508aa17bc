"""Counts: whether there are any, and how many where there are, of a Poisson without its zeros."""

from typing import Any

import numpy as np

from hierbayes.cumulative import draw_positive_poisson
from hierbayes.families import poisson
from hierbayes.families.record import Array
from hierbayes.families.zeros import hurdle
from hierbayes.kinds import Positive


def positive(rng: np.random.Generator, mu: Positive) -> Array:
    """Counts that are not 0."""
    return draw_positive_poisson(rng, mu.value)


def graph(pm: Any, mu: Any, hu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's hurdle Poisson distribution, whose psi is the probability of any."""
    return pm.HurdlePoisson, {"psi": hu.q, "mu": mu.value}


FAMILY = hurdle(poisson.FAMILY, "hurdle_poisson", globals(), graph, positive, place=24)
