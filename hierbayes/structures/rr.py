"""Reduced rank: effects are loadings times fewer independent numbers, as in factor analysis.

The covariance of q effects is ΛΛ' with Λ (q, d). Another Λ with its columns rotated has the same, so loadings above the
diagonal are 0; with that, another Λ with the signs of a column changed has the same, so those on the diagonal are
positive (Geweke & Zhou 1996, Review of Financial Studies 9). The kernels let them have either sign and take priors
that are symmetric about 0: no chain then stops at 0 on its way to the other sign of a whole column, and signs are
settled afterwards. Every covariance of rank d, but for a set of measure 0, is that of one Λ.

The default prior gives the variance of an effect, a sum of d squares, the same mean as that of other structures'
effects, whose sd has an exponential prior with mean s: E sd² = 2 s².
"""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.structures.record import (
    POSITIVE,
    REAL,
    SCORE,
    VALUE,
    FreeLoadings,
    Structure,
    StructureParameter,
)


@deferred
def rank_of(q: int, loadings: int) -> int:
    """How many columns so many loadings have, those on and below the diagonal."""
    rank, left = 0, loadings
    while left > 0:
        left -= q - rank
        rank += 1
    return rank


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """Λ, and zeros for the dimensions that there aren't."""
    rank, t = rank_of(q, p.shape[1]), 0
    for i in range(q):
        for j in range(i + 1):
            chol[i, j] = 0.0
            if j < rank:
                chol[i, j] = p[VALUE, t]
                t += 1


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """Each loading is an entry."""
    rank, t = rank_of(q, p.shape[1]), 0
    for i in range(q):
        for j in range(min(i + 1, rank)):
            p[SCORE, t] += chol_score[i, j]
            t += 1


def correlation(m: Any, q: int, positions: Any, loadings: Any) -> Any:
    """R_ij = Λ_i · Λ_j over the lengths of both; an effect without any loading is correlated with none."""
    lengths = m.sqrt((loadings**2).sum(axis=-1, keepdims=True))
    rows = loadings / m.where(lengths > 0.0, lengths, 1.0)
    return m.where(np.eye(q, dtype=bool), 1.0, m.matmul(rows, m.swapaxes(rows, -1, -2)))


class LowerTriangle(FreeLoadings):
    """Loadings on and below the diagonal, those on it positive."""

    def parameters(self, q: int, rank: int) -> tuple[StructureParameter, ...]:
        """Independent normal ones, half-normal on the diagonal."""
        return tuple(_loading(i, j, rank) for i in range(q) for j in range(min(i + 1, rank)))

    def settled(self, loadings: Any, m: Any = np) -> Any:
        """Columns with the sign of their diagonal entry changed to positive.

        Examples
        --------
        >>> LowerTriangle().settled(np.array([[-1.0, 0.0], [2.0, 3.0]])).tolist()
        [[1.0, 0.0], [-2.0, 3.0]]
        """
        diagonal = m.diagonal(loadings, axis1=-2, axis2=-1)
        return loadings * m.where(diagonal < 0, -1.0, 1.0)[..., None, :] + 0.0  # no -0.0


def _loading(i: int, j: int, rank: int) -> StructureParameter:
    width = float(np.sqrt(2.0 / rank))
    if i == j:
        return StructureParameter(
            "loadings",
            POSITIVE,
            "loadings of effects",
            prior=lambda q, positions: ("HalfNormal", {"sigma": width}),
            place=(i, j),
        )
    return StructureParameter(
        "loadings",
        REAL,
        "loadings of effects",
        prior=lambda q, positions: ("Normal", {"mu": 0.0, "sigma": width}),
        lower=lambda q: -np.inf,
        place=(i, j),
    )


STRUCTURE = Structure(
    "rr",
    words="reduced rank",
    equation="loadings[{group}] loadings[{group}]'",
    root=root,
    reverse=reverse,
    correlation=correlation,
    loadings=LowerTriangle(),
    place=12,
)
