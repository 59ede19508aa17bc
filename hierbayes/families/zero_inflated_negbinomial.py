"""Counts with more zeros than a negative binomial has."""

from typing import Any

from hierbayes.families import negbinomial
from hierbayes.families.zeros import zero_inflated


def graph(pm: Any, mu: Any, shape: Any, zi: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's zero-inflated negative binomial distribution, whose psi is the share of counted responses."""
    return pm.ZeroInflatedNegativeBinomial, {"psi": zi.q, "mu": mu.value, "alpha": shape.value}


FAMILY = zero_inflated(
    negbinomial.FAMILY,
    "zero_inflated_negbinomial",
    globals(),
    graph,
    equation="ZeroInflatedNegativeBinomial(mu, shape, zi)",
    place=21,
)
