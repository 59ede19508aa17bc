"""Areas and which of them are neighbours, ``(1 | gr(county, car=W, type="bym2"))``: read and checked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.relations import (
    Precision,
    Relations,
    factored,
    find_table,
    inverse_diagonal,
    is_sparse,
    read_square,
    texts_of,
)
from hierbayes.errors import DataError
from hierbayes.structures import AREAS

Array = NDArray[np.float64]


def read_areas(name: str, kind: str, data2: Mapping[str, Any], group: str) -> Relations:
    """The covariance of areas of a kind that follows from a matrix or from pairs of neighbours.

    Raises
    ------
    DataError
        For a matrix that isn't there, or says of no areas whether they are neighbours.
    """
    table = find_table(name, data2, f"gr({group}, car={name}) needs {name}, which areas are neighbours")
    labels, weights = _read_neighbours(name, table)
    alone = labels[weights.sum(axis=1) == 0]
    if len(alone) == len(labels):
        raise DataError(f"data2[{name!r}] has no neighbours at all; independent areas are (1 | {group})")
    if kind == "car" and len(alone):
        raise DataError(
            f"data2[{name!r}] has areas without neighbours, such as {alone[0]!r}, whose effects have no variance in "
            "type='car'; give each a neighbour, or take type='bym2' or 'icar', where they are independent of others"
        )
    table = pd.DataFrame(weights, labels, labels)
    if kind == "car":
        return Relations(name, labels, AREAS[kind], table, lambda: weights, lambda: proper_precision(weights))
    return Relations(
        name, labels, AREAS[kind], table, lambda: scaled_inverse(weights), lambda: scaled_precision(weights)
    )


def _read_neighbours(name: str, table: pd.DataFrame) -> tuple[pd.Index, Array]:
    """Labels, and the weight of each two areas: 0 where they are no neighbours."""
    if set(texts_of(table.index)) != set(texts_of(table.columns)):
        if table.shape[1] == 2:
            return _read_pairs(name, table)
        if isinstance(table.index, pd.RangeIndex):
            raise DataError(
                f"data2[{name!r}] has {table.shape[1]} columns and no areas as index: pairs of neighbours are two "
                "columns, and a matrix has the areas as index and columns"
            )
    labels, weights = read_square(name, table)
    if (weights < 0).any():
        i, j = np.argwhere(weights < 0)[0]
        raise DataError(
            f"data2[{name!r}] is {weights[i, j]:g} for {labels[i]!r} and {labels[j]!r}; neighbours have a 1, or a "
            "positive weight, and others a 0"
        )
    own = np.flatnonzero(np.diagonal(weights))
    if len(own):
        raise DataError(
            f"data2[{name!r}] has {labels[own[0]]!r} as a neighbour of itself; the diagonal must be 0"
        )
    return labels, weights


def _read_pairs(name: str, table: pd.DataFrame) -> tuple[pd.Index, Array]:
    """The same of two columns with a pair of neighbours in each row; an area with none stands beside a gap."""
    first, second = table.iloc[:, 0], table.iloc[:, 1]
    if (first.isna() & second.isna()).any():
        raise DataError(
            f"data2[{name!r}] has a pair of two gaps; an area without neighbours stands beside a gap"
        )
    paired = (first.notna() & second.notna()).to_numpy()
    a, b = texts_of(first.where(first.notna(), second)), texts_of(second[paired])
    labels = a.append(b).unique()
    weights = np.zeros((len(labels), len(labels)))
    i, j = labels.get_indexer(a[paired]), labels.get_indexer(b)
    if (i == j).any():
        raise DataError(f"data2[{name!r}] has {labels[i[i == j][0]]!r} as a neighbour of itself")
    weights[i, j] = weights[j, i] = 1.0
    return labels, weights


def scaled_inverse(weights: Array) -> Array:
    """The generalised inverse of D − W, by which effects sum to 0 within each connected part of the map: (M, M).

    Scaled within each part, so that variances have the geometric mean 1; an area without neighbours has the variance 1
    (Freni-Sterrantino, Ventrucci & Rue 2018, Spatial and Spatio-temporal Epidemiology 26).

    Examples
    --------
    >>> scaled_inverse(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    array([[ 1., -1.,  0.],
           [-1.,  1.,  0.],
           [ 0.,  0.,  1.]])
    """
    found = np.zeros_like(weights)
    for part in connected_parts(weights):
        own = np.ix_(part, part)
        mean = np.full((len(part), len(part)), 1 / len(part))
        laplacian = np.diag(weights[own].sum(axis=1)) - weights[own]
        inverse = np.linalg.inv(laplacian + mean) - mean if len(part) > 1 else np.ones((1, 1))
        inverse = (inverse + inverse.T) / 2
        found[own] = inverse / np.exp(np.log(np.diagonal(inverse)).mean())
    return found


def scaled_precision(weights: Array) -> Precision | None:
    """The precision whose inverse is `scaled_inverse`, sparse; None where it is not."""
    from scipy.sparse import csr_matrix, diags

    count, determinant = len(weights), 0.0
    sizes, variances, of_part = np.ones(count), np.ones(count), np.full(count, -1)
    laplacian = csr_matrix(np.diag(weights.sum(axis=1)) - weights)
    if not is_sparse(laplacian + diags(np.ones(count))):
        return None
    several = [part for part in connected_parts(weights) if len(part) > 1]
    for number, part in enumerate(several):
        # with one effect free to move all: its inverse, less the means of rows and columns, is the generalised one
        pinned = laplacian[part][:, part] + csr_matrix(([1.0], ([0], [0])), shape=(len(part), len(part)))
        factor = factored(pinned)
        sums = factor.solve(np.ones(len(part)))
        own = inverse_diagonal(pinned) - 2 * sums / len(part) + sums.sum() / len(part) ** 2
        size = float(np.exp(np.log(own).mean()))
        sizes[part], of_part[part], variances[part] = size, number, own / size
        determinant += float(np.log(np.abs(factor.U.diagonal())).sum()) + np.log(len(part))
        determinant += (len(part) - 1) * np.log(size)
    alone = diags((of_part < 0).astype(np.float64))
    nothing = np.zeros(count)
    matrix = csr_matrix(diags(sizes) @ laplacian + alone)
    return Precision(matrix, nothing, nothing, of_part, determinant, variances)


def proper_precision(weights: Array) -> Precision | None:
    """That of ``type="car"``, D − ρ W = ρ (D − W) + (1 − ρ) D; None where it is not sparse."""
    from scipy.sparse import csr_matrix

    diagonal = weights.sum(axis=1)
    matrix = csr_matrix(np.diag(diagonal) - weights)
    scale = 1 / np.sqrt(diagonal)
    if not is_sparse(csr_matrix(np.diag(2 * diagonal) - weights)):
        return None
    distances = np.maximum(1.0 - np.linalg.eigvalsh(scale[:, None] * weights * scale), 0.0)
    none = np.full(len(weights), -1)
    return Precision(matrix, diagonal, distances, none, float(np.log(diagonal).sum()), None)


def connected_parts(weights: Array) -> list[NDArray[np.int64]]:
    """The places of the areas of each connected part of a map."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    count, of = connected_components(csr_matrix(weights), directed=False)
    return [np.flatnonzero(of == part) for part in range(count)]
