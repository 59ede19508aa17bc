"""What structures of distances share: the factor by a dense Cholesky, its reverse sweep, and their length scale.

A process that is smooth, or known at places that are near, has correlations that no computer tells from singular ones.
A share `NUGGET` of the variance, each effect's own, keeps them positive definite.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import deferred
from hierbayes.structures.record import POSITIVE, StructureParameter

Array = NDArray[np.float64]
NUGGET = 1e-8


@deferred
def factorise(q: int, chol: Any) -> None:
    """Replace the lower triangle of a matrix by its Cholesky factor."""
    for j in range(q):
        rest = chol[j, j]
        for k in range(j):
            rest -= chol[j, k] * chol[j, k]
        own = np.sqrt(rest)
        chol[j, j] = own
        for i in range(j + 1, q):
            total = chol[i, j]
            for k in range(j):
                total -= chol[i, k] * chol[j, k]
            chol[i, j] = total / own


@deferred
def factorise_reverse(q: int, chol: Any, score: Any) -> None:
    """Replace the scores of the factor's entries by those of the matrix's (Murray 2016, arXiv 1602.07527)."""
    for j in range(q - 1, -1, -1):
        own, total = chol[j, j], score[j, j]
        for i in range(j + 1, q):
            total -= chol[i, j] * score[i, j] / own
            score[i, j] /= own
        total /= own
        for k in range(j):
            passed = total * chol[j, k]
            for i in range(j + 1, q):
                passed += score[i, j] * chol[i, k]
                score[i, k] -= score[i, j] * chol[j, k]
            score[j, k] -= passed
        score[j, j] = 0.5 * total


def between(positions: Array) -> Array:
    """Distances of all places (q, d) to each other, row by row of the lower triangle."""
    places = positions.reshape(len(positions), -1)
    found = np.sqrt(np.square(places[:, None] - places[None]).sum(axis=-1))
    return found[np.tril_indices(len(places), -1)]


def by_distance(of: Callable[..., Any]) -> Callable[..., Any]:
    """A structure's `correlation` from that of effects at some distance, ``of(m, distance, *parameters)``."""

    def correlation(m: Any, q: int, positions: Any, *parameters: Any) -> Any:
        places = positions.reshape(q, -1)
        distances = np.sqrt(np.square(places[:, None] - places[None]).sum(axis=-1))
        return m.where(np.eye(q, dtype=bool), 1.0, (1.0 - NUGGET) * of(m, distances, *parameters))

    return correlation


def extent(positions: Array) -> float:
    """The greatest distance of two places."""
    return float(between(positions).max())


LSCALE = StructureParameter(
    "lscale",
    POSITIVE,
    "length scale of the correlation",
    prior=lambda q, positions: ("LogNormal", {"mu": float(np.log(extent(positions) / 4.0)), "sigma": 1.5}),
    typical=lambda positions: extent(positions) / 4.0,
)
