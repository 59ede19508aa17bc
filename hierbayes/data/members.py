"""Several levels of one grouping factor a row, each with a weight: ``(1 | mm(g1, g2, weights=cbind(w1, w2)))``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.encoding import Encoding, describe_rows, learn_number
from hierbayes.data.levels import Codes, Levels, factorize, kind_of_values
from hierbayes.errors import DataError
from hierbayes.formula.grouping import Grouping

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Members:
    """Where a row's levels stand, and what they weigh.

    Attributes
    ----------
    columns : tuple of str
        M columns, each with one of a row's levels.
    weights : tuple of Encoding
        How the weight of each is made; none where they weigh the same.
    scale : bool
        Whether a row's weights are divided by their sum.
    size : float
        The root of the mean sum of a row's squared weights in the training rows: the linear predictor's sd where that
        of independent levels is 1.
    """

    columns: tuple[str, ...]
    weights: tuple[Encoding, ...]
    scale: bool
    size: float = 1.0

    def codes(self, levels: Levels, frame: pd.DataFrame) -> Codes:
        """The numbers of each row's levels, as `Levels.codes` gives them: (n, M)."""
        return np.column_stack([replace(levels, columns=(column,)).codes(frame) for column in self.columns])

    def near_matches(self, levels: Levels, frame: pd.DataFrame) -> list[tuple[str, Any, Any]]:
        """As `Levels.near_matches`, in any of the columns."""
        each = [replace(levels, columns=(column,)).near_matches(frame) for column in self.columns]
        return [match for matches in each for match in matches]

    def weigh(self, frame: pd.DataFrame) -> Array:
        """What each of a row's levels weighs: (n, M).

        Raises
        ------
        DataError
            For weights that cannot be divided by their sum.
        """
        if not self.weights:
            return np.full((len(frame), len(self.columns)), 1.0 / len(self.columns) if self.scale else 1.0)
        found = np.hstack([encoding.matrix(frame) for encoding in self.weights])
        called = f"the weights of mm({', '.join(self.columns)})"
        if not self.scale:
            return found
        self._refuse(
            frame, (found < 0).any(axis=1), f"{called} are negative", "weights that may be need scale=False"
        )
        sums = found.sum(axis=1)
        self._refuse(frame, sums == 0, f"{called} are all 0", "give one of the levels a weight")
        return np.asarray(found / sums[:, None])

    def _refuse(self, frame: pd.DataFrame, rows: NDArray[np.bool_], what: str, way_out: str) -> None:
        if rows.any():
            raise DataError(f"{what} in {describe_rows(frame.index[rows])}; {way_out}")


def learn_members(grouping: Grouping, columns: Sequence[str], frame: pd.DataFrame) -> Members:
    """How the rows of a table say what levels they have.

    Raises
    ------
    DataError
        For weights that are no numbers, or none that can serve.
    """
    weights = tuple(learn_number(text, frame, "a weight of mm()") for text in grouping.weights)
    members = Members(tuple(columns), weights, grouping.scale)
    if not len(frame):
        return members
    squares = np.square(members.weigh(frame)).sum(axis=1)
    return replace(members, size=float(np.sqrt(squares.mean())))


def learn_member_levels(columns: Sequence[str], frame: pd.DataFrame) -> Levels:
    """The levels that stand in any of some columns, in one order.

    Raises
    ------
    DataError
        For columns of which one has numbers and another texts.
    """
    name = f"mm({', '.join(columns)})"
    kinds = {kind_of_values(factorize(frame[column])[0]): column for column in columns if len(frame)}
    if len(kinds) > 1:
        (first, column), (second, other) = list(kinds.items())[:2]
        raise DataError(
            f"{name} has {first} values in column {column!r} and {second} values in {other!r}; give both one type, or "
            "no level of one is that of the other"
        )
    together = pd.concat([frame[column] for column in columns], ignore_index=True).rename(name)
    values = factorize(together)[0]
    return Levels((name,), (values,), np.arange(len(values)))
