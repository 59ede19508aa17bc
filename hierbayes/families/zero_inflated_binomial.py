"""Successes out of trials, with rows that could have none."""

from typing import Any

from hierbayes.families import binomial
from hierbayes.families.zeros import zero_inflated


def graph(pm: Any, trials: Any, mu: Any, zi: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's zero-inflated binomial distribution, whose psi is the share of counted responses."""
    return pm.ZeroInflatedBinomial, {"psi": zi.q, "n": trials, "p": mu.p}


FAMILY = zero_inflated(
    binomial.FAMILY,
    "zero_inflated_binomial",
    globals(),
    graph,
    equation="ZeroInflatedBinomial(trials, mu, zi)",
    place=22,
)
