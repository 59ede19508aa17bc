"""Covariances between levels, of relatives and of areas: a fixed basis, and the variance of each of its directions.

Levels' effects are r = B diag(√v) z, for each effect times its standard deviation, with independent standard normal z:
B (G, m) is fixed, and the variances v (m,) come of the kind's own parameters, if it has any. To the engines √v is the
diagonal Cholesky factor of m effects of one level, whose columns are those of B.

Areas: Besag, York & Mollié (1991), Annals of the Institute of Statistical Mathematics 43; scaled and mixed as in BYM2
(Riebler, Sørbye, Simpson & Rue 2016, Statistical Methods in Medical Research 25), in maps of several parts as in
Freni-Sterrantino, Ventrucci & Rue (2018), Spatial and Spatio-temporal Epidemiology 26.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import Deferred, deferred
from hierbayes.structures.record import (
    ABOVE,
    BELOW,
    BOUNDED,
    SCORE,
    VALUE,
    StructureParameter,
    identity_root,
    no_reverse,
)

Array = NDArray[np.float64]
PLAIN, MIXED, PROPER = (
    0,
    1,
    2,
)  # the field alone; beside independent effects; with a parameter in its precision
NOTHING = 1e-10  # of the largest eigenvalue: a direction without variance


@dataclass(frozen=True, eq=False)
class LevelCovariance:
    """A kind of covariance between levels.

    Attributes
    ----------
    name : str
        What ``type=`` calls it.
    equation : str
        The covariance in units of sd², ``"{name}"`` standing for the matrix's and ``"{rho}"`` for the parameter's.
    columns : callable
        Of a known matrix (M, M) and the places in it of G levels: B (G, m), and a constant for each direction (m,).
    variances : callable
        ``variances(constants, *parameters)`` gives v (…, m), of parameters (…, 1), NumPy's or PyTensor's.
    parameters : tuple of StructureParameter
    root, reverse : Deferred
        As in `hierbayes.structures.Structure`, the `constants` behind the parameters.
    field : int
        How effects are made of those whose precision is sparse: see `hierbayes.engine.whitening.fields`.
    """

    name: str
    equation: str
    columns: Callable[[Array, Any], tuple[Array, Array]]
    variances: Callable[..., Any]
    parameters: tuple[StructureParameter, ...] = ()
    root: Deferred = identity_root
    reverse: Deferred = no_reverse
    field: int = PLAIN


def known_columns(matrix: Array, places: Any) -> tuple[Array, Array]:
    """A root of the covariance among the levels, Cholesky's where it has one."""
    own = matrix[np.ix_(places, places)]
    try:
        root = np.linalg.cholesky(own)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(own)
        kept = values > NOTHING * values[-1]
        root = vectors[:, kept] * np.sqrt(values[kept])
    return root, np.ones(root.shape[1])


def mixed_columns(matrix: Array, places: Any) -> tuple[Array, Array]:
    """Eigenvectors of the covariance among the levels, and its eigenvalues."""
    values, vectors = np.linalg.eigh(matrix[np.ix_(places, places)])
    return vectors, np.where(values > NOTHING * values[-1], values, 0.0)


def proper_columns(matrix: Array, places: Any) -> tuple[Array, Array]:
    """D^−½ V, with V the eigenvectors of D^−½ W D^−½, and how far its eigenvalues lie below 1.

    D − ρ W = D^½ V diag(1 − ρ μ) V' D^½, for every ρ.
    """
    scale = 1 / np.sqrt(matrix.sum(axis=1))
    values, vectors = np.linalg.eigh(scale[:, None] * matrix * scale)
    return (scale[:, None] * vectors)[places], np.maximum(1.0 - values, 0.0)


# -- v = 1 − ρ + ρ c, c the eigenvalues; its inverse for the proper model, c = 1 − μ ----------------------------------


@deferred
def mixed_root(q: int, p: Any, chol: Any) -> None:
    """The roots of the directions' variances."""
    for i in range(q):
        for j in range(i):
            chol[i, j] = 0.0
        chol[i, i] = np.sqrt(p[ABOVE, 0] + p[BELOW, 0] * p[VALUE, 1 + i])


@deferred
def mixed_reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The score of rho, times its distances to 0 and 1."""
    total = 0.0
    for i in range(q):
        if chol[i, i] > 0.0:
            total += chol_score[i, i] * 0.5 * (p[VALUE, 1 + i] - 1.0) / chol[i, i]
    p[SCORE, 0] += total * p[BELOW, 0] * p[ABOVE, 0]


@deferred
def proper_root(q: int, p: Any, chol: Any) -> None:
    """The roots of the directions' variances."""
    for i in range(q):
        for j in range(i):
            chol[i, j] = 0.0
        chol[i, i] = 1.0 / np.sqrt(p[ABOVE, 0] + p[BELOW, 0] * p[VALUE, 1 + i])


@deferred
def proper_reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The score of rho, times its distances to 0 and 1."""
    total = 0.0
    for i in range(q):
        variance = chol[i, i] * chol[i, i]
        total += chol_score[i, i] * chol[i, i] * 0.5 * (1.0 - p[VALUE, 1 + i]) * (variance * p[ABOVE, 0])
    p[SCORE, 0] += total * p[BELOW, 0]


def _share(words: str) -> StructureParameter:
    return StructureParameter(
        "rho",
        BOUNDED,
        words,
        upper=lambda q: 1.0,
        prior=lambda q, positions: ("Uniform", {"lower": 0.0, "upper": 1.0}),
    )


KNOWN = LevelCovariance("known", "{name}", known_columns, lambda c: c)
AREAS: Mapping[str, LevelCovariance] = MappingProxyType(
    {
        one.name: one
        for one in (
            LevelCovariance("icar", "Q⁻({name})", known_columns, lambda c: c),
            LevelCovariance(
                "bym2",
                "((1 − {rho}) I + {rho} Q⁻({name}))",
                mixed_columns,
                lambda c, rho: 1.0 - rho + rho * c,
                (_share("share of the variance that neighbours have in common"),),
                mixed_root,
                mixed_reverse,
                MIXED,
            ),
            LevelCovariance(
                "car",
                "(D − {rho} {name})⁻¹",
                proper_columns,
                lambda c, rho: 1.0 / (1.0 - rho + rho * c),
                (_share("how far an effect follows its neighbours' mean"),),
                proper_root,
                proper_reverse,
                PROPER,
            ),
        )
    }
)
