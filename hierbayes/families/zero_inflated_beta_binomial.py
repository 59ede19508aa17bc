"""Successes out of trials that vary more than a binomial's, with rows that could have none."""

from typing import Any

from hierbayes.families import betabinomial
from hierbayes.families.zeros import zero_inflated


def graph(pm: Any, trials: Any, mu: Any, phi: Any, zi: Any) -> tuple[Any, dict[str, Any]]:
    """A mixture of zeros and PyMC's beta-binomial distribution."""
    import pytensor.tensor as pt

    counts = pm.BetaBinomial.dist(alpha=mu.p * phi.value, beta=mu.q * phi.value, n=trials)
    weights = pt.stack(pt.broadcast_arrays(zi.p * pt.ones_like(mu.p), zi.q * pt.ones_like(mu.p)), axis=-1)
    return pm.Mixture, {"w": weights, "comp_dists": [pm.DiracDelta.dist(0), counts]}


FAMILY = zero_inflated(
    betabinomial.FAMILY,
    "zero_inflated_beta_binomial",
    globals(),
    graph,
    equation="ZeroInflatedBetaBinomial(trials, mu, phi, zi)",
    place=23,
)
