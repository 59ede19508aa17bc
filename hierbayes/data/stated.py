"""What every row states beside its response: the known parameters of ``se(…)`` and ``rate(…)``.

Such a parameter is a predictor of the response distribution without coefficients, an offset alone; so engines, answers
and criticism read it as any other.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.expressions import Rows, describe_rows
from hierbayes.errors import DataError
from hierbayes.families import Parameter
from hierbayes.formula.syntax import Node, columns_named, read_expression

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stated:
    """A known parameter of the rows, from a column, an expression of columns or a number.

    Attributes
    ----------
    parameter : Parameter
    text : str
        The expression.
    """

    parameter: Parameter
    text: str
    _states: dict[Node, Any] = field(default_factory=dict, repr=False)

    def matrix(self, frame: pd.DataFrame) -> Array:
        """Its linear predictor in each row, the logarithm of what is stated: (n, 1).

        Raises
        ------
        DataError
            For a value that it cannot be.
        """
        node = read_expression(self.text)
        with np.errstate(all="ignore"):
            values = Rows(frame, self._states, learning=True).columns(node)
        values = np.array(np.broadcast_to(values, len(frame)), np.float64)
        self._check(np.isfinite(values), frame, "a finite number")
        self._check(values > 0, frame, "above 0")
        return np.log(values)[:, None]

    @property
    def spare(self) -> bool:
        """Whether new rows need not state it: predictions are of the response, not of how well it is measured."""
        return self.parameter.known == "se"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        return columns_named(read_expression(self.text))

    def new_rows(self, frame: pd.DataFrame) -> "Stated | Unstated":
        """What makes it in new rows."""
        if self.spare and not set(self.names) <= set(frame.columns):
            return Unstated()
        return self

    def _check(self, good: NDArray[np.bool_], frame: pd.DataFrame, words: str) -> None:
        if not good.all():
            raise DataError(
                f"{self.parameter.known} must be {words} in every row; {self.text} is not in "
                f"{describe_rows(frame.index[~good])}. Correct those rows or leave them out"
            )


@dataclass(frozen=True)
class Unstated:
    """What stands in new rows for what they need not state: not a number."""

    text: str = ""

    def matrix(self, frame: pd.DataFrame) -> Array:
        """The same in each row: (n, 1)."""
        return np.full((len(frame), 1), np.nan)
