"""Covariances between levels that come of a matrix, ``(1 | gr(g, cov=A))``: pedigrees, phylogenies, kinship, areas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.errors import DataError
from hierbayes.structures import KNOWN, LevelCovariance

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
SYMMETRIC = 1e-8  # of the largest entry: how far a matrix may be from its transpose


@dataclass(frozen=True, eq=False)
class Relations:
    """A covariance between levels: that of their effects, but for the variance of these.

    Attributes
    ----------
    name : str
        What the formula calls it.
    labels : pandas.Index
        The M labels that it has, as texts.
    matrix : ndarray, (M, M)
        What the kind makes the covariance of.
    kind : LevelCovariance
    table : pandas.DataFrame
        What was given, to be saved.
    """

    name: str
    labels: pd.Index
    matrix: Array
    kind: LevelCovariance
    table: pd.DataFrame

    def places(self, labels: Any, group: str) -> Codes:
        """Where levels are among all that it has.

        Raises
        ------
        DataError
            For levels that it doesn't have.
        """
        texts = texts_of(labels)
        found = self.labels.get_indexer(texts)
        missing = list(dict.fromkeys(texts[found < 0]))
        if missing:
            shown = ", ".join(map(repr, missing[:5])) + (", …" if len(missing) > 5 else "")
            raise DataError(
                f"{self.name}, by which levels of {group!r} are related, has no row for {shown}; it must have all "
                "levels, those of new rows too"
            )
        return np.asarray(found, dtype=np.int64)

    @cached_property
    def columns(self) -> tuple[Array, Array]:
        """The basis of all levels (M, m), and the constants of its directions (m,): see `LevelCovariance`."""
        return self.kind.columns(self.matrix, np.arange(len(self.labels)))

    def mean_variance(self, shapes: Sequence[Any]) -> Array:
        """The mean of the variances, that of a level of which nothing is known, given the kind's parameters (…)."""
        basis, constants = self.columns
        variances = self.kind.variances(constants, *(np.asarray(shape)[..., None] for shape in shapes))
        return np.asarray(variances @ np.square(basis).mean(axis=0))

    @cached_property
    def size(self) -> float:
        """The mean of the variances, halfway between the bounds of the kind's parameters."""
        halfway = [0.5 * (one.lower(1) + one.upper(1)) for one in self.kind.parameters]
        return float(self.mean_variance(halfway))


def read_relations(name: str, data2: Mapping[str, Any], group: str) -> Relations:
    """The known covariance of a name among the matrices that a user gave.

    Raises
    ------
    DataError
        For one that isn't there, or is no covariance matrix with a label for each row and column.
    """
    table = find_table(name, data2, f"gr({group}, cov={name}) needs the covariance {name} of the levels")
    labels, matrix = read_square(name, table)
    least = np.linalg.eigvalsh(matrix)[0]
    if least <= len(matrix) * np.finfo(float).eps * np.abs(matrix).max():
        raise DataError(
            f"data2[{name!r}] is not positive definite: its least eigenvalue is {least:.3g}. Two levels with the same "
            "row, such as clones or tips without a branch between them, are one level; of a matrix of rounded numbers "
            "more digits may help"
        )
    return Relations(name, labels, matrix, KNOWN, pd.DataFrame(matrix, labels, labels))


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
    if not isinstance(table, pd.DataFrame):
        sparse = ".sparse.from_spmatrix" if hasattr(table, "tocsr") else ""
        raise DataError(
            f"data2[{name!r}] is {type(table).__name__}; it must be a pandas DataFrame with the levels as index and "
            f"columns: pd.DataFrame{sparse}(matrix, levels, levels)"
        )
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
    """Labels as texts, as which they are compared."""
    return pd.Index([str(label) for label in labels], dtype=object)
