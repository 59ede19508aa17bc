"""One correlation of all pairs: compound symmetry, with a standard deviation an effect.

With a = 1 − ρ and e_j = 1 + jρ the Cholesky factor of (1 − ρ) I + ρ 11' has in column j the diagonal
d_j = sqrt(a e_j / e_{j−1}), d_0 = 1, and below it ρ d_j / e_j throughout. From the distance to the lower bound
−1 / (q − 1), e_j is a sum of numbers that are not negative, so that no digit is lost at either end.
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
def part(j: int, q: int, below: float) -> float:
    """1 + jρ, ρ lying `below` above −1 / (q − 1)."""
    return (q - 1.0 - j) / (q - 1.0) + j * below


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """The factor, column by column."""
    rho, below, above = p[VALUE, 0], p[BELOW, 0], p[ABOVE, 0]
    for j in range(q):
        if j == 0:
            own, under = 1.0, rho
        else:
            e, before = part(j, q, below), part(j - 1, q, below)
            own = np.sqrt(above * e / before)
            under = rho * np.sqrt(above / (e * before)) if j < q - 1 else 0.0
        chol[j, j] = own
        for i in range(j + 1, q):
            chol[i, j] = under


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The derivatives of every column's two numbers, times the distances to both bounds."""
    rho, below, above = p[VALUE, 0], p[BELOW, 0], p[ABOVE, 0]
    total = 0.0
    for j in range(q):
        score = 0.0
        for i in range(j + 1, q):
            score += chol_score[i, j]
        if j == 0:
            total += score * below * above
            continue
        e, before = part(j, q, below), part(j - 1, q, below)
        share = 1.0 if j == q - 1 else j * below / e  # jρ' / e_j times `below`
        earlier = (j - 1.0) * below / before
        own = chol[j, j]
        total += chol_score[j, j] * own * 0.5 * (above * (share - earlier) - below)
        if j < q - 1:
            g = np.sqrt(above / (e * before))
            total += score * g * (below * above - 0.5 * rho * (below + above * (share + earlier)))
    p[SCORE, 0] += total


def correlation(m: Any, q: int, positions: Any, rho: Any) -> Any:
    """R_ij = ρ."""
    return m.where(np.eye(q, dtype=bool), 1.0, rho)


RHO = StructureParameter(
    "rho",
    BOUNDED,
    "correlation of any two effects",
    lower=lambda q: -1.0 / (q - 1),
    upper=lambda q: 1.0,
    prior=lambda q, positions: ("Uniform", {"lower": -1.0 / (q - 1), "upper": 1.0}),
)
STRUCTURE = Structure(
    "cs",
    words="one correlation",
    equation="(1 − rho) I + rho 11', rho = rho[{group}]",
    root=root,
    reverse=reverse,
    correlation=correlation,
    parameters=(RHO,),
    place=3,
)
