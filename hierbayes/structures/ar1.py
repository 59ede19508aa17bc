"""An autoregressive process over whole-numbered times, with one standard deviation.

R_st = ρ^|s − t|. The factor's rows follow the recursion r_1 = u_1, r_t = φ_t r_{t−1} + sqrt(1 − φ_t²) u_t with
φ_t = ρ^gap, the gap being that to the time before, which may be more than 1.
"""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.structures.record import (
    ABOVE,
    BELOW,
    BOUNDED,
    SCORE,
    VALUE,
    Structure,
    StructureParameter,
)


@deferred
def log_size(rho: float, below: float, above: float) -> float:
    """log|ρ| for ρ `below` above −1 and `above` below 1, to the last digit near both."""
    return np.log1p(-above) if rho > 0.5 else (np.log1p(-below) if rho < -0.5 else np.log(abs(rho)))


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """The factor, each row from the one before."""
    rho = p[VALUE, 0]
    size = log_size(rho, p[BELOW, 0], p[ABOVE, 0])
    chol[0, 0] = 1.0
    for t in range(1, q):
        gap = p[VALUE, t]
        phi = np.exp(gap * size)
        if rho < 0.0 and gap % 2.0 == 1.0:
            phi = -phi
        for j in range(t):
            chol[t, j] = phi * chol[t - 1, j]
        chol[t, t] = np.sqrt(-np.expm1(2.0 * gap * size))


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The recursion backwards: the score of φ_t, and of row t − 1 what row t passes on."""
    rho, below, above = p[VALUE, 0], p[BELOW, 0], p[ABOVE, 0]
    size = log_size(rho, below, above)
    total = 0.0
    for t in range(q - 1, 0, -1):
        gap = p[VALUE, t]
        odd = rho < 0.0 and gap % 2.0 == 1.0
        phi = -np.exp(gap * size) if odd else np.exp(gap * size)
        score = 0.0
        for j in range(t):
            score += chol_score[t, j] * chol[t - 1, j]
            chol_score[t - 1, j] += phi * chol_score[t, j]
        # dφ/dρ = gap ρ^(gap − 1), and the diagonal's derivative is −φ dφ/dρ over it; both times (1 − ρ)(1 + ρ)
        slope = gap * np.exp((gap - 1.0) * size) if gap > 1.0 else 1.0
        if rho < 0.0 and (gap - 1.0) % 2.0 == 1.0:
            slope = -slope
        own = chol[t, t]
        total += score * slope * below * above
        if own > 0.0:  # (1 − ρ²) / sqrt(1 − φ²) is small where both are
            total -= chol_score[t, t] * phi * slope * (below * above / own)
    p[SCORE, 0] += total


def correlation(m: Any, q: int, positions: Any, rho: Any) -> Any:
    """R_st = ρ^|s − t|."""
    gaps = np.abs(np.subtract.outer(positions, positions))
    return m.where(gaps == 0, 1.0, rho ** np.maximum(gaps, 1.0))


RHO = StructureParameter(
    "rho",
    BOUNDED,
    "correlation of neighbouring times",
    lower=lambda q: -1.0,
    upper=lambda q: 1.0,
    prior=lambda q, positions: ("Uniform", {"lower": -1.0, "upper": 1.0}),
)
STRUCTURE = Structure(
    "ar1",
    words="autoregressive over time, one sd",
    equation="rho^|s − t|, rho = rho[{group}]",
    root=root,
    reverse=reverse,
    correlation=correlation,
    one_sd=True,
    parameters=(RHO,),
    positions="whole",
    constants=np.diff,
    place=5,
)
