"""A smooth process over places: Gaussian correlations, with one standard deviation.

R_ij = exp(−distance² / (2 lscale²)), as in `gp(x)`; the range of geostatistics (and of glmmTMB) is √2 lscale.
"""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.structures.distances import (
    LSCALE,
    NUGGET,
    between,
    by_distance,
    factorise,
    factorise_reverse,
)
from hierbayes.structures.record import SCORE, VALUE, Structure


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """The factor of the correlations."""
    lscale, at = p[VALUE, 0], 1
    for i in range(q):
        for j in range(i):
            x = p[VALUE, at] / lscale
            chol[i, j] = (1.0 - NUGGET) * np.exp(-0.5 * x * x)
            at += 1
        chol[i, i] = 1.0
    factorise(q, chol)


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """Through the factor to each correlation; a positive number's score is that of its logarithm."""
    lscale, at, total = p[VALUE, 0], 1, 0.0
    factorise_reverse(q, chol, chol_score)
    for i in range(q):
        for j in range(i):
            x = p[VALUE, at] / lscale
            total += chol_score[i, j] * (1.0 - NUGGET) * np.exp(-0.5 * x * x) * x * x
            at += 1
    p[SCORE, 0] += total


def of_distance(m: Any, distance: Any, lscale: Any) -> Any:
    """exp(−distance² / (2 lscale²))."""
    return m.exp(-0.5 * (distance / lscale) ** 2)


STRUCTURE = Structure(
    "gau",
    words="smooth over places, one sd",
    equation="exp(−distance² / 2 lscale²), lscale = lscale[{group}]",
    root=root,
    reverse=reverse,
    correlation=by_distance(of_distance),
    one_sd=True,
    parameters=(LSCALE,),
    positions="place",
    constants=between,
    place=10,
)
