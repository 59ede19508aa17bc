"""Any correlations: unstructured, ``(x | g)``.

Row i of the Cholesky factor: C_ij = z_ij Π_{l<j} sqrt(1 − z_il²), with canonical partial correlations z. All Jacobians
and the LKJ density together leave (1 − z_ij²) to the power eta + (q − 2 − j) / 2 (Lewandowski, Kurowicka & Joe 2009,
Journal of Multivariate Analysis 100, section 2.4).
"""

from typing import Any

from hierbayes.compiling import deferred
from hierbayes.structures.record import ROOT, SCORE, VALUE, Structure


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """The factor from the partial correlations, row by row of its lower triangle."""
    t = 0
    for i in range(q):
        rest = 1.0
        for j in range(i):
            chol[i, j] = p[VALUE, t] * rest
            rest *= p[ROOT, t]
            t += 1
        chol[i, i] = rest


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The reverse sweep of `root`."""
    t = 0
    for i in range(q):
        rest_score = chol_score[i, i]
        for j in range(i - 1, -1, -1):
            z, own = p[VALUE, t + j], p[ROOT, t + j]
            rest = 1.0  # Π_{l<j} of the roots, anew: dividing it out would fail at z = ±1
            for before in range(j):
                rest *= p[ROOT, t + before]
            score = chol_score[i, j]
            p[SCORE, t + j] += rest * own * (score * own - rest_score * z)
            rest_score = score * z + rest_score * own
        t += i


def correlation(m: Any, q: int, positions: Any, matrix: Any) -> Any:
    """The matrix itself."""
    return matrix


STRUCTURE = Structure(
    "us",
    words="correlated",
    equation="cor[{group}]",
    root=root,
    reverse=reverse,
    correlation=correlation,
    matrix="all",
    place=0,
)
