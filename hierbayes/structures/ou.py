"""A process over times that are any numbers, whose correlation decays with their distance: Ornstein and Uhlenbeck's.

R_st = exp(−decay |s − t|), with one standard deviation. It is `ar1` in continuous time: φ_t = exp(−decay gap) > 0.
"""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.structures.record import POSITIVE, SCORE, VALUE, Structure, StructureParameter


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """The factor, each row from the one before."""
    decay = p[VALUE, 0]
    chol[0, 0] = 1.0
    for t in range(1, q):
        phi = np.exp(-decay * p[VALUE, t])
        for j in range(t):
            chol[t, j] = phi * chol[t - 1, j]
        chol[t, t] = np.sqrt(-np.expm1(-2.0 * decay * p[VALUE, t]))


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The recursion backwards; a positive number's score is that of its logarithm."""
    decay, total = p[VALUE, 0], 0.0
    for t in range(q - 1, 0, -1):
        x = decay * p[VALUE, t]
        phi, score = np.exp(-x), 0.0
        for j in range(t):
            score += chol_score[t, j] * chol[t - 1, j]
            chol_score[t - 1, j] += phi * chol_score[t, j]
        total -= score * phi * x
        if chol[t, t] > 0.0:
            total += chol_score[t, t] * phi * phi * (x / chol[t, t])
    p[SCORE, 0] += total


def correlation(m: Any, q: int, positions: Any, decay: Any) -> Any:
    """R_st = exp(−decay |s − t|)."""
    return m.exp(-decay * np.abs(np.subtract.outer(positions, positions)))


def slowest(positions: Any) -> float:
    """The decay by which the correlation of the first and the last time is exp(−2), a seventh."""
    return float(2.0 / (positions[-1] - positions[0]))


DECAY = StructureParameter(
    "decay",
    POSITIVE,
    "decay of the correlation per unit of time",
    prior=lambda q, positions: ("LogNormal", {"mu": float(np.log(2.0 * slowest(positions))), "sigma": 1.5}),
    typical=lambda positions: 2.0 * slowest(positions),
)
STRUCTURE = Structure(
    "ou",
    words="correlation decays with the distance in time, one sd",
    equation="exp(−decay |s − t|), decay = decay[{group}]",
    root=root,
    reverse=reverse,
    correlation=correlation,
    one_sd=True,
    parameters=(DECAY,),
    positions="any",
    constants=np.diff,
    place=6,
)
