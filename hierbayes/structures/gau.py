"""A smooth process over places: Gaussian correlations, with one standard deviation.

R_ij = exp(−distance² / (2 lscale²)), as in `gp(x)`; the range of geostatistics (and of glmmTMB) is √2 lscale.
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
        p[CORRELATION, at] = np.exp(-0.5 * x * x)
        p[SLOPE, at] = x * x * p[CORRELATION, at]
    factorise(q, p, chol)


def of_distance(m: Any, distance: Any, lscale: Any) -> Any:
    """exp(−distance² / (2 lscale²))."""
    return m.exp(-0.5 * (distance / lscale) ** 2)


STRUCTURE = process(
    "gau",
    root,
    of_distance,
    words="smooth over places, one sd",
    equation="exp(−distance² / 2 lscale²), lscale = lscale[{group}]",
    place=10,
)
