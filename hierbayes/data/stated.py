"""What every row states beside its response: the known parameters of ``se(…)``, ``rate(…)``, ``cens(…)``, ``trunc(…)``.

Such a parameter is a predictor of the response distribution without coefficients, an offset alone; so engines, answers
and criticism read it as any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.expressions import Rows, describe_rows
from hierbayes.errors import DataError
from hierbayes.families import Parameter
from hierbayes.formula.syntax import Node, columns_named, read_expression
from hierbayes.kinds import POSITIVE

Array = NDArray[np.float64]
CENSORING = {"left": -1.0, "none": 0.0, "right": 1.0, "interval": 2.0}  # brms's words and numbers
WORDS = ", ".join([*CENSORING, "or -1, 0, 1, 2, or False and True (right)"])


# What new rows need not state, and what stands for it there: predictions are of the response, not of how much is seen.
SPARE = {"se": np.nan, "cens": 0.0, "y2": 0.0}


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
        """Its linear predictor in each row: (n, 1).

        Raises
        ------
        DataError
            For a value that it cannot be.
        """
        node, word = read_expression(self.text), self.parameter.known
        if word == "cens":
            return censoring_of(frame, self.text)[:, None]
        with np.errstate(all="ignore"):
            values = Rows(frame, self._states, learning=True).columns(node)
        values = np.array(np.broadcast_to(values, len(frame)), np.float64)
        if word == "y2":  # the upper end matters where the response lies in an interval
            values = np.where(np.isnan(values), 0.0, values)
        self._check(np.isfinite(values), frame, "a finite number")
        if self.parameter.kind is POSITIVE:
            self._check(values > 0, frame, "above 0")
            values = np.log(values)
        return values[:, None]

    @property
    def spare(self) -> bool:
        """Whether new rows need not state it."""
        return self.parameter.known in SPARE

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        return columns_named(read_expression(self.text))

    def new_rows(self, frame: pd.DataFrame) -> "Stated | Unstated":
        """What makes it in new rows."""
        word = self.parameter.known
        if self.spare and (word != "se" or not set(self.names) <= set(frame.columns)):
            return Unstated(SPARE[word])
        return self

    def _check(self, good: NDArray[np.bool_], frame: pd.DataFrame, words: str) -> None:
        if not good.all():
            raise DataError(
                f"{self.parameter.known} must be {words} in every row; {self.text} is not in "
                f"{describe_rows(frame.index[~good])}. Correct those rows or leave them out"
            )


@dataclass(frozen=True)
class Unstated:
    """What stands in new rows for what they need not state."""

    value: float
    text: str = ""

    def matrix(self, frame: pd.DataFrame) -> Array:
        """The same in each row: (n, 1)."""
        return np.full((len(frame), 1), self.value)


def censoring_of(frame: pd.DataFrame, text: str) -> Array:
    """How each row's response was observed: -1 left, 0 as it is, 1 right, 2 in an interval.

    Raises
    ------
    DataError
        For another value.
    """
    value = Rows(frame, {}).value(read_expression(text))
    if isinstance(value, pd.Series):
        known = value.astype(str).str.strip().str.lower()
        codes = np.asarray(known.map(CENSORING), np.float64)
    else:
        codes = np.array(np.broadcast_to(value, len(frame)), np.float64)
    good = np.isin(codes, list(CENSORING.values()))
    if not good.all():
        raise DataError(
            f"cens({text}) must be one of {WORDS} in every row; it is not in {describe_rows(frame.index[~good])}"
        )
    return codes


def check_response(name: str, y: Array, offsets: Mapping[str, Array], frame: pd.DataFrame) -> None:
    """Refuse responses that lie outside of their own row's bounds, and intervals without a length.

    Parameters
    ----------
    name : str
        The response's.
    y : ndarray (n,)
    offsets : mapping of str to ndarray (n,)
        Known parameters by their names.
    frame : pandas.DataFrame
        The rows.
    """
    for bound, below in (("lb", True), ("ub", False)):
        if bound in offsets:
            outside = y < offsets[bound] if below else y > offsets[bound]
            if outside.any():
                word = "below lb" if below else "above ub"
                raise DataError(
                    f"the response {name!r} is {word} of trunc(…) in {describe_rows(frame.index[outside])}, where none "
                    "can be observed; correct the bound or leave those rows out"
                )
    codes = offsets.get("cens")
    if codes is None:
        return
    if (codes == 2).any() and "y2" not in offsets:
        raise DataError(
            f"cens(…) says interval in {describe_rows(frame.index[codes == 2])}; name the column of the upper ends: "
            "cens(c, y2)"
        )
    if "y2" in offsets:
        short = (codes == 2) & ~(offsets["y2"] > y)
        if short.any():
            raise DataError(
                f"the upper end of an interval must lie above {name!r}, its lower end; it does not in "
                f"{describe_rows(frame.index[short])}"
            )
    if (codes != 0).all():
        raise DataError(f"every row of {name!r} is censored; check what the column of cens(…) says")
