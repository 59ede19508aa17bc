"""A process over places that is as smooth as its data say: Matérn correlations, with one standard deviation.

R_ij = 2^(1 − ν) / Γ(ν) x^ν K_ν(x) with x = √(2ν) distance / lscale and the smoothness ν. It is `exp` at ν = 1/2 and
tends to `gau` as ν grows, with the same lscale; the range of glmmTMB's `mat` is lscale / √(2ν).

No Bessel function is computed. With s from a Gamma(ν, ν) distribution, whose mean is 1, R is the mean of
exp(−distance² / (2 lscale² s)), a mixture of `gau`'s: by s = exp(v) an integral over v,

    R = ∫ exp(ν g(v)) exp(−exp(−v) distance² / (2 lscale²)) dv / ∫ exp(ν g(v)) dv,   g(v) = v − exp(v) + 1,

and its derivatives in lscale and ν are integrals of the same kind. What is integrated is analytic and vanishes at both
ends, so that sums over equally spaced v are exact to rounding errors with a step of 0.2, or less where ν is large
(Trefethen & Weideman 2014, SIAM Review 56, section 5). Where a whole number of steps doubles exp(v), hardly any
exponential is computed: 1 − exp(−2x) = u (2 − u) with u = 1 − exp(−x).
"""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.structures.distances import (
    CORRELATION,
    DISTANCE,
    LSCALE,
    SECOND_SLOPE,
    SLOPE,
    factorise,
    process,
)
from hierbayes.structures.record import POSITIVE, SCORE, VALUE, StructureParameter

NEGLIGIBLE = 39.0  # exp(−39) is nothing beside 1
NODES = 150  # of the graph's sums, whose number cannot depend on parameters


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """Sums over v of all distances at once, and the factor of the correlations."""
    lscale, nu = p[VALUE, 0], p[VALUE, 1]
    nearest = np.inf
    for at in range(2, p.shape[1]):
        nearest = min(nearest, p[DISTANCE, at])
        p[CORRELATION, at] = p[SLOPE, at] = p[SECOND_SLOPE, at] = 0.0
    front = 0.5 / (lscale * lscale)
    reach = NEGLIGIBLE / nu
    reach += np.sqrt(2.0 * reach)  # ν g(v) < −39 below v = −reach, and above log(1 + reach)
    # what is far below matters to no distance, and there exp(v) vanishes
    low = max(-reach, min(-40.0, np.log(front * nearest * nearest / NEGLIGIBLE)))
    high = np.log1p(reach)
    halving = int(np.ceil(np.log(2.0) / min(0.2, 0.45 / np.sqrt(nu))))  # steps by which exp(v) halves
    step = np.log(2.0) / halving
    nodes = int((high - low) / step) + 2
    total = tilt = 0.0
    for first in range(min(halving, nodes)):
        for node in range(first, nodes, halving):
            v = high - node * step
            g = v - np.expm1(v)
            weight, width = np.exp(nu * g), front * np.exp(-v)
            total += weight
            tilt += weight * g
            if width * nearest * nearest > NEGLIGIBLE:
                continue
            for at in range(2, p.shape[1]):
                x = width * p[DISTANCE, at] * p[DISTANCE, at]
                # 1 − exp(−x), from that of x / 2
                rest = -np.expm1(-x) if node == first else p[SCORE, at] * (2.0 - p[SCORE, at])
                part = weight * (1.0 - rest)
                p[SCORE, at] = rest
                p[CORRELATION, at] += part
                p[SLOPE, at] += 2.0 * x * part
                p[SECOND_SLOPE, at] += g * part
    low = high - (nodes - 1) * step
    # below `low` each weight is the one above it times the same factor, or all are nothing
    lost = -np.expm1(-nu * step)
    below = np.exp(nu * (low - np.expm1(low) - step)) / lost
    total += below
    tilt += below * (low + 1.0 - step / lost)
    for at in range(2, p.shape[1]):
        p[CORRELATION, at] /= total
        p[SLOPE, at] /= total
        p[SECOND_SLOPE, at] = nu * (p[SECOND_SLOPE, at] - p[CORRELATION, at] * tilt) / total
    factorise(q, p, chol)


def of_distance(m: Any, distance: Any, lscale: Any, smoothness: Any) -> Any:
    """The same sums, with the second integral by a gamma function."""
    from scipy.special import gammaln

    log_gamma = gammaln if m is np else m.gammaln
    reach = NEGLIGIBLE / smoothness
    reach = reach + m.sqrt(2.0 * reach)
    high = m.log1p(reach)
    nearest = distance[distance > 0].min()
    low = m.maximum(-reach, m.minimum(2.0 * m.log(nearest / lscale) - np.log(2.0 * NEGLIGIBLE), 0.0))
    step = (high - low) / NODES
    stirling = 0.5 * m.log(2 * np.pi / smoothness) + 1 / (12 * smoothness) - 1 / (360 * smoothness**3)
    exact = smoothness + log_gamma(smoothness) - smoothness * m.log(smoothness)
    log_total = m.where(smoothness > 1e3, stirling, exact)  # of large numbers little is left by the exact one

    def part(node: Any, distance: Any, *values: Any) -> Any:
        """Node after node of what is integrated."""
        lscale, smoothness, high, step, log_total = values
        v = high - node * step
        return step * m.exp(
            smoothness * (v - m.expm1(v)) - log_total - 0.5 * m.exp(-v) * (distance / lscale) ** 2
        )

    values = (lscale, smoothness, high, step, log_total)
    if m is np:  # of many draws: one node at a time
        return sum(part(node, distance, *values) for node in range(NODES + 1))
    return part(np.arange(NODES + 1.0), distance[..., None], *(value[..., None] for value in values)).sum(
        axis=-1
    )


SMOOTHNESS = StructureParameter(
    "smoothness",
    POSITIVE,
    "smoothness of the process",
    prior=lambda q, positions: ("LogNormal", {"mu": 0.0, "sigma": 0.7}),
)
STRUCTURE = process(
    "mat",
    root,
    of_distance,
    (LSCALE, SMOOTHNESS),
    words="as smooth over places as the data say, one sd",
    equation="Matérn(√(2 smoothness) distance / lscale), lscale = lscale[{group}], smoothness = smoothness[{group}]",
    place=11,
)
