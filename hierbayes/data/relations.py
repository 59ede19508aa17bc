"""Known covariances between levels, ``(1 | gr(g, cov=A))``: pedigrees, phylogenies, kinship."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.errors import DataError

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
SYMMETRIC = 1e-8  # of the largest entry: how far a matrix may be from its transpose


@dataclass(frozen=True, eq=False)
class Relations:
    """A known covariance between levels: that of their effects, but for the variance of these.

    Attributes
    ----------
    name : str
        What the formula calls it.
    labels : pandas.Index
        The M labels that it has, as texts.
    matrix : ndarray, (M, M)
    """

    name: str
    labels: pd.Index
    matrix: Array

    def places(self, labels: Any, group: str) -> Codes:
        """Where levels are among all that it has.

        Raises
        ------
        DataError
            For levels that it doesn't have.
        """
        texts = pd.Index([str(label) for label in labels], dtype=object)
        found = self.labels.get_indexer(texts)
        missing = list(dict.fromkeys(texts[found < 0]))
        if missing:
            shown = ", ".join(map(repr, missing[:5])) + (", …" if len(missing) > 5 else "")
            raise DataError(
                f"the covariance {self.name} of the levels of {group!r} has no row for {shown}; it must have all "
                "levels, those of new rows too"
            )
        return np.asarray(found, dtype=np.int64)

    @property
    def table(self) -> pd.DataFrame:
        """The matrix with its labels."""
        return pd.DataFrame(self.matrix, self.labels, self.labels)

    @cached_property
    def size(self) -> float:
        """The mean of the variances: that of a level of which nothing is known."""
        return float(np.diagonal(self.matrix).mean())


def read_relations(name: str, data2: Mapping[str, Any], group: str) -> Relations:
    """The matrix of a name among those that a user gave.

    Raises
    ------
    DataError
        For one that isn't there, or is no covariance matrix with a label for each row and column.
    """
    if name not in data2:
        have = f"data2 has {', '.join(map(repr, data2))}" if data2 else "there is no data2"
        raise DataError(
            f"gr({group}, cov={name}) needs the covariance {name} of the levels, and {have}; give a data frame with "
            f"the levels as index and columns: data2={{{name!r}: …}}"
        )
    table = data2[name]
    if not isinstance(table, pd.DataFrame):
        raise DataError(
            f"data2[{name!r}] is {type(table).__name__}; it must be a pandas DataFrame with the levels of {group!r} as "
            "index and columns: pd.DataFrame(matrix, levels, levels)"
        )
    labels = pd.Index([str(label) for label in table.index], dtype=object)
    columns = pd.Index([str(label) for label in table.columns], dtype=object)
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
    _check(name, labels, matrix)
    return Relations(name, labels, (matrix + matrix.T) / 2)


def _check(name: str, labels: pd.Index, matrix: Array) -> None:
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise DataError(f"data2[{name!r}] has no number for {labels[i]!r} and {labels[j]!r}")
    apart = np.abs(matrix - matrix.T)
    if apart.max() > SYMMETRIC * np.abs(matrix).max():
        i, j = map(int, np.unravel_index(apart.argmax(), apart.shape))
        raise DataError(
            f"data2[{name!r}] is not symmetric: {matrix[i, j]:g} for {labels[i]!r} and {labels[j]!r}, and "
            f"{matrix[j, i]:g} the other way round"
        )
    least = np.linalg.eigvalsh(matrix)[0]
    if least <= len(matrix) * np.finfo(float).eps * np.abs(matrix).max():
        raise DataError(
            f"data2[{name!r}] is not positive definite: its least eigenvalue is {least:.3g}. Two levels with the same "
            "row, such as clones or tips without a branch between them, are one level; of a matrix of rounded numbers "
            "more digits may help"
        )
