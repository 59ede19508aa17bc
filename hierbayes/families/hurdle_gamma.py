"""Amounts: whether there is any, and how much where there is, of a gamma distribution."""

from typing import Any

from hierbayes.families import gamma
from hierbayes.families.zeros import hurdle


def graph(pm: Any, mu: Any, shape: Any, hu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's hurdle gamma distribution, whose psi is the probability of any."""
    return pm.HurdleGamma, {"psi": hu.q, "alpha": shape.value, "beta": shape.value / mu.value}


FAMILY = hurdle(gamma.FAMILY, "hurdle_gamma", globals(), graph, place=26)
