"""A process over places whose correlation falls exponentially with their distance, with one standard deviation.

R_ij = exp(−distance / lscale); along one coordinate it is `ou` with decay = 1 / lscale.
"""

from typing import Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.structures.distances import CORRELATION, DISTANCE, SLOPE, factorise, process
from hierbayes.structures.record import VALUE


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """The factor of the correlations."""
    lscale = p[VALUE, 0]
    for at in range(1, p.shape[1]):
        x = p[DISTANCE, at] / lscale
        p[CORRELATION, at] = np.exp(-x)
        p[SLOPE, at] = x * p[CORRELATION, at]
    factorise(q, p, chol)


def of_distance(m: Any, distance: Any, lscale: Any) -> Any:
    """exp(−distance / lscale)."""
    return m.exp(-distance / lscale)


STRUCTURE = process(
    "exp",
    root,
    of_distance,
    words="correlation falls exponentially with the distance, one sd",
    equation="exp(−distance / lscale), lscale = lscale[{group}]",
    place=9,
)
