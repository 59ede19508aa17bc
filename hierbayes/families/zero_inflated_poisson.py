"""Counts with more zeros than a Poisson has."""

from typing import Any

from hierbayes.families import poisson
from hierbayes.families.zeros import zero_inflated


def graph(pm: Any, mu: Any, zi: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's zero-inflated Poisson distribution, whose psi is the share of counted responses."""
    return pm.ZeroInflatedPoisson, {"psi": zi.q, "mu": mu.value}


FAMILY = zero_inflated(
    poisson.FAMILY,
    "zero_inflated_poisson",
    globals(),
    graph,
    equation="ZeroInflatedPoisson(mu, zi)",
    place=20,
)
