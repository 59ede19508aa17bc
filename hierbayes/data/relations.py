"""Covariances between levels that come of a matrix, ``(1 | gr(g, cov=A))``: pedigrees, phylogenies, kinship, areas."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.likeness import essence, essences
from hierbayes.data.pedigrees import Pedigree, label_text
from hierbayes.errors import DataError
from hierbayes.structures import KNOWN, LevelCovariance
from hierbayes.structures.related import MIXED, PROPER

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
MANY = 40  # levels from which on a sparse precision is of use
FILLED = 0.15  # of all entries: where a triangular root has more, dense matrices do as well
COLUMNS = 256  # of an inverse, at a time
ROUNDED = 1e-10  # of the roots of both diagonal entries: an entry of a precision that is 0
_PEDIGREES = "; of animals and their parents, hb.pedigree(data) makes what cov= takes"
_WHOLE = re.compile(r"(?<=\d)\.0+$")
SYMMETRIC = 1e-8  # of the largest entry: how far a matrix may be from its transpose


@dataclass(frozen=True, eq=False)
class Precision:
    """The inverse of the covariance of a field u of M levels in units of sd², α Q + β D: sparse Q, diagonal D.

    See `hierbayes.structures.LevelCovariance.field` for effects and the scales.

    Attributes
    ----------
    matrix : scipy.sparse.csr_matrix, (M, M)
        Q, symmetric.
    diagonal : ndarray, (M,)
        D's.
    constants : ndarray, (M,)
        c, where the determinant of the precision is that of D times Π (β + α c).
    parts : ndarray of int, (M,)
        Which of the parts whose effects sum to 0 a level is in, -1 for none.
    log_determinant : float
        That of the precision at α = 1 and β = 0 among effects that sum to 0, or D's where β has a part in it.
    variances : ndarray, (M,) or None
        Those of u at α = 1 and β = 0, None where it has none.
    """

    matrix: Any
    diagonal: Array
    constants: Array
    parts: Codes
    log_determinant: float
    variances: Array | None

    def mean_variance(self, kind: LevelCovariance, shapes: Sequence[float]) -> float:
        """The mean of the variances of effects in units of sd², given the kind's parameters."""
        if kind.field == PROPER:
            (share,) = shapes
            return float(
                inverse_diagonal(share * self.matrix + (1 - share) * diagonal_matrix(self.diagonal)).mean()
            )
        assert self.variances is not None
        mean = float(self.variances.mean())
        return 1.0 - shapes[0] + shapes[0] * mean if kind.field == MIXED else mean


def inverted(matrix: Array) -> Precision | None:
    """The precision of a known covariance (M, M), if it is sparse, as that of a pedigree with all parents is."""
    from scipy.sparse import csr_matrix

    inverse = np.linalg.inv(matrix)
    size = np.sqrt(np.diagonal(inverse))
    inverse[np.abs(inverse) < ROUNDED * np.outer(size, size)] = 0.0
    own = csr_matrix((inverse + inverse.T) / 2)
    if not is_sparse(own):
        return None
    count, nothing = len(matrix), np.zeros(len(matrix))
    determinant = -float(np.linalg.slogdet(matrix).logabsdet)
    return Precision(own, nothing, nothing, np.full(count, -1), determinant, np.diagonal(matrix))


def of_pedigree(pedigree: Pedigree) -> Precision | None:
    """The precision of a pedigree's relationships; None where its root would have many entries."""
    inverse = pedigree.inverse()
    if not is_sparse(inverse):
        return None
    count, nothing = len(pedigree), np.zeros(len(pedigree))
    determinant = -float(np.log(pedigree.sampling_variances).sum())
    return Precision(inverse, nothing, nothing, np.full(count, -1), determinant, 1.0 + pedigree.coefficients)


def factored(matrix: Any) -> Any:
    """SciPy's factorization of a sparse symmetric positive definite matrix."""
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import splu

    return splu(csc_matrix(matrix), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def inverse_diagonal(matrix: Any) -> Array:
    """The diagonal of the inverse of a sparse symmetric positive definite matrix."""
    factor, found = factored(matrix), []
    for first in range(0, matrix.shape[0], COLUMNS):
        places = np.arange(first, min(first + COLUMNS, matrix.shape[0]))
        columns = np.zeros((matrix.shape[0], len(places)))
        columns[places, places - first] = 1.0
        found.append(factor.solve(columns)[places, places - first])
    return np.concatenate(found)


def diagonal_matrix(values: Array) -> Any:
    """A sparse diagonal matrix."""
    from scipy.sparse import diags

    return diags(values)


def is_sparse(matrix: Any) -> bool:
    """Whether a symmetric sparse matrix has a triangular root with few entries."""
    return bool(
        matrix.nnz < FILLED * matrix.shape[0] ** 2 and factored(matrix).L.nnz < FILLED * matrix.shape[0] ** 2
    )


@dataclass(frozen=True, eq=False)
class Relations:
    """A covariance between levels: that of their effects, but for the variance of these.

    Attributes
    ----------
    name : str
        What the formula calls it.
    labels : pandas.Index
        The M labels that it has, as texts.
    kind : LevelCovariance
    table : pandas.DataFrame or Pedigree
        What was given, to be saved.
    make_matrix : callable
        What the kind makes the covariance of: (M, M).
    make_precision : callable
        The same of the precision, sparse (see `Precision`).
    """

    name: str
    labels: pd.Index
    kind: LevelCovariance
    table: pd.DataFrame | Pedigree
    make_matrix: Callable[[], Array]
    make_precision: Callable[[], "Precision | None"]

    @cached_property
    def matrix(self) -> Array:
        """What the kind makes the covariance of: (M, M)."""
        return self.make_matrix()

    @cached_property
    def precision(self) -> "Precision | None":
        """The precision of the effects of many levels, None where it is not sparse or they are few."""
        return self.make_precision() if len(self.labels) >= MANY else None

    def places(self, labels: Any, group: str) -> Codes:
        """Where levels are among all that it has.

        Raises
        ------
        DataError
            For levels that it doesn't have.
        """
        texts = texts_of(labels)
        found = np.asarray(self.labels.get_indexer(texts), dtype=np.int64)
        if (found < 0).any():  # numbers as texts, "9.0"
            places = {_WHOLE.sub("", label): place for place, label in enumerate(self.labels)}
            found = np.array(
                [
                    places.get(_WHOLE.sub("", t), -1) if at < 0 else at
                    for t, at in zip(texts, found, strict=True)
                ]
            )
        missing = list(dict.fromkeys(texts[found < 0]))
        if missing:
            shown = ", ".join(map(repr, missing[:5])) + (", …" if len(missing) > 5 else "")
            known = essences(self.labels)
            near = next((f" (is {known[essence(m)]!r} {m!r}?)" for m in missing if essence(m) in known), "")
            raise DataError(
                f"{self.name}, by which levels of {group!r} are related, has no row for {shown}{near}; it must have "
                "all levels, those of new rows too"
            )
        return found

    @cached_property
    def columns(self) -> tuple[Array, Array]:
        """The basis of all levels (M, m), and the constants of its directions (m,): see `LevelCovariance`."""
        return self.kind.columns(self.matrix, np.arange(len(self.labels)))

    def mean_variance(self, shapes: Sequence[Any]) -> Array:
        """The mean of the variances, that of a level of which nothing is known, given the kind's parameters (…)."""
        if self.precision is not None and not self.kind.parameters:
            return np.asarray(self.precision.mean_variance(self.kind, ()))
        basis, constants = self.columns
        variances = self.kind.variances(constants, *(np.asarray(shape)[..., None] for shape in shapes))
        return np.asarray(variances @ np.square(basis).mean(axis=0))

    @cached_property
    def size(self) -> float:
        """The mean of the variances, halfway between the bounds of the kind's parameters."""
        halfway = [0.5 * (one.lower(1) + one.upper(1)) for one in self.kind.parameters]
        if self.precision is not None:
            return self.precision.mean_variance(self.kind, halfway)
        return float(self.mean_variance(halfway))


def read_relations(name: str, data2: Mapping[str, Any], group: str) -> Relations:
    """The known covariance of a name among the matrices that a user gave.

    Raises
    ------
    DataError
        For one that isn't there, or is no covariance matrix with a label for each row and column.
    """
    given = data2.get(name)
    if isinstance(given, Pedigree):
        return Relations(name, given.labels, KNOWN, given, given.matrix, lambda: of_pedigree(given))
    table = find_table(name, data2, f"gr({group}, cov={name}) needs the covariance {name} of the levels")
    labels, matrix = read_square(name, table)
    least = np.linalg.eigvalsh(matrix)[0]
    if least <= len(matrix) * np.finfo(float).eps * np.abs(matrix).max():
        raise DataError(
            f"data2[{name!r}] is not positive definite: its least eigenvalue is {least:.3g}. Two levels with the same "
            "row, such as clones or tips without a branch between them, are one level; of a matrix of rounded numbers "
            "more digits may help"
        )
    return Relations(
        name, labels, KNOWN, pd.DataFrame(matrix, labels, labels), lambda: matrix, lambda: inverted(matrix)
    )


def find_table(name: str, data2: Mapping[str, Any], needs: str) -> pd.DataFrame:
    """The data frame of a name, which a term needs.

    Raises
    ------
    DataError
        Where there is none.
    """
    if name not in data2:
        have = f"data2 has {', '.join(map(repr, data2))}" if data2 else "there is no data2"
        raise DataError(
            f"{needs}, and {have}; give a data frame with the levels as index and columns: data2={{{name!r}: …}}"
        )
    table = data2[name]
    if type(table).__name__ == "DataArray" and table.ndim == 2:  # xarray's, with its coordinates as labels
        table = table.to_pandas()
    if not isinstance(table, pd.DataFrame):
        sparse = ".sparse.from_spmatrix" if hasattr(table, "tocsr") else ""
        raise DataError(
            f"data2[{name!r}] is {type(table).__name__}; it must be a pandas DataFrame with the levels as index and "
            f"columns: pd.DataFrame{sparse}(matrix, levels, levels){_PEDIGREES}"
        )
    if not len(table):
        raise DataError(f"data2[{name!r}] has no rows")
    return table


def read_square(name: str, table: pd.DataFrame) -> tuple[pd.Index, Array]:
    """The labels of a symmetric matrix, as texts, and its entries with rows and columns in their order.

    Raises
    ------
    DataError
        For labels that aren't the same, entries that are no numbers, and a matrix that isn't symmetric.
    """
    labels, columns = texts_of(table.index), texts_of(table.columns)
    repeated = labels[labels.duplicated()]
    if len(repeated):
        raise DataError(f"data2[{name!r}] has the level {repeated[0]!r} twice")
    if set(labels) != set(columns) or len(labels) != len(columns):
        odd = next(iter(set(labels) ^ set(columns)), columns[columns.duplicated()][:1])
        raise DataError(f"data2[{name!r}] has other levels as columns than as index, such as {odd!r}")
    try:
        matrix = table.to_numpy(dtype=np.float64)[:, columns.get_indexer(labels)]
    except (TypeError, ValueError) as error:
        raise DataError(f"data2[{name!r}] has entries that are no numbers") from error
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise DataError(f"data2[{name!r}] has no number for {labels[i]!r} and {labels[j]!r}")
    apart = np.abs(matrix - matrix.T)
    if apart.max(initial=0.0) > SYMMETRIC * np.abs(matrix).max(initial=0.0):
        i, j = map(int, np.unravel_index(apart.argmax(), apart.shape))
        raise DataError(
            f"data2[{name!r}] is not symmetric: {matrix[i, j]:g} for {labels[i]!r} and {labels[j]!r}, and "
            f"{matrix[j, i]:g} the other way round"
        )
    return labels, (matrix + matrix.T) / 2


def texts_of(labels: Any) -> pd.Index:
    """Labels as texts, as which they are compared; whole numbers that a gap among them made floats, without a point."""
    return pd.Index([label_text(label) for label in labels], dtype=object)
