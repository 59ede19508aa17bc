"""What structures of distances share: everything but how the correlation falls with the distance.

A process that is smooth, or known at places that are near, has correlations that no computer tells from singular ones.
A share `NUGGET` of the variance, each effect's own, keeps them positive definite.

A constant of the root is the distance of two effects. The other rows of its column are the root's memory until the
reverse sweep: `CORRELATION`, and below it how steep that is in the logarithm of each parameter, two of them at most.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import Deferred, deferred
from hierbayes.structures.record import (
    ABOVE,
    BELOW,
    POSITIVE,
    ROOT,
    SCORE,
    VALUE,
    Structure,
    StructureParameter,
)

Array = NDArray[np.float64]
NUGGET = 1e-8
DISTANCE, CORRELATION, SLOPE, SECOND_SLOPE = VALUE, BELOW, ABOVE, ROOT


@deferred
def factorise(q: int, p: Any, chol: Any) -> None:
    """Set the lower triangle to the Cholesky factor of the correlations that are in `p`, less the nugget's share."""
    at = p.shape[1] - q * (q - 1) // 2
    for i in range(q):
        for j in range(i):
            chol[i, j] = (1.0 - NUGGET) * p[CORRELATION, at]
            at += 1
        chol[i, i] = 1.0
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


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """Through the factor to each correlation; a positive number's score is that of its logarithm."""
    parameters = p.shape[1] - q * (q - 1) // 2
    factorise_reverse(q, chol, chol_score)
    for parameter in range(parameters):
        total, at = 0.0, parameters
        for i in range(q):
            for j in range(i):
                total += chol_score[i, j] * p[SLOPE + parameter, at]
                at += 1
        p[SCORE, parameter] += (1.0 - NUGGET) * total


def between(positions: Array) -> Array:
    """Distances of all places (q, d) to each other, row by row of the lower triangle."""
    places = positions.reshape(len(positions), -1)
    found = np.sqrt(np.square(places[:, None] - places[None]).sum(axis=-1))
    return found[np.tril_indices(len(places), -1)]


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


def process(
    name: str,
    root: Deferred,
    of_distance: Callable[..., Any],
    parameters: tuple[StructureParameter, ...] = (LSCALE,),
    **record: Any,
) -> Structure:
    """The structure of a process over places, with one standard deviation.

    Parameters
    ----------
    name : str
    root : Deferred
        As a `Structure`'s: sets `CORRELATION` and the slopes of every distance, and then calls `factorise`.
    of_distance : callable
        ``of_distance(m, distance, *parameters)``: the correlations of effects at some distances (q, q), with `m` NumPy
        or PyTensor's tensor module.
    parameters : tuple of StructureParameter
    **record
        What else a `Structure` has: `words`, `equation` and `place`.
    """

    def correlation(m: Any, q: int, positions: Any, *values: Any) -> Any:
        places = positions.reshape(q, -1)
        distances = np.sqrt(np.square(places[:, None] - places[None]).sum(axis=-1))
        return m.where(np.eye(q, dtype=bool), 1.0, (1.0 - NUGGET) * of_distance(m, distances, *values))

    return Structure(
        name,
        root=root,
        reverse=reverse,
        correlation=correlation,
        one_sd=True,
        parameters=parameters,
        positions="place",
        constants=between,
        **record,
    )
