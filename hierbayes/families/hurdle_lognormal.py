"""Amounts: whether there is any, and how much where there is, of a lognormal distribution."""

from typing import Any

from hierbayes.families import lognormal
from hierbayes.families.zeros import hurdle


def graph(pm: Any, mu: Any, sigma: Any, hu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's hurdle lognormal distribution, whose psi is the probability of any."""
    return pm.HurdleLogNormal, {"psi": hu.q, "mu": mu.value, "sigma": sigma.value}


FAMILY = hurdle(lognormal.FAMILY, "hurdle_lognormal", globals(), graph, place=27)
