"""What rows state beside their responses: ``dec(…)``, and known parameters of ``se``, ``rate``, ``cens``, ``trunc``.

A known parameter is a predictor of the response distribution without coefficients, an offset alone; so engines, answers
and criticism read it as any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.expressions import Rows, describe_rows
from hierbayes.data.tables import plain_columns
from hierbayes.errors import DataError
from hierbayes.families import Parameter
from hierbayes.families.bounds import INTERVAL, LEFT, NONE, RIGHT
from hierbayes.families.nonlinear import OF_COLUMNS
from hierbayes.formula import Formula
from hierbayes.formula.syntax import Name, Node, columns_named, read_expression
from hierbayes.kinds import POSITIVE

Array = NDArray[np.float64]
STATUSES = {"left": LEFT, "none": NONE, "right": RIGHT, "interval": INTERVAL}  # True is right, as 1 is
CHOICES = {"lower": 0.0, "upper": 1.0}  # brms's words and numbers
CHOICE_WORDS = "'upper' or 'lower' (or 1 and 0, True and False)"
STATUS_WORDS = "'none', 'left', 'right' or 'interval' (or 0, -1, 1, 2; True is 'right')"


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
        """Its linear predictor in each row: what is stated, of what is positive the logarithm: (n, 1).

        Raises
        ------
        DataError
            For a value that it cannot be.
        """
        if self.parameter.known == "cens":
            status = statuses(self.text, frame, STATUSES, self._states)
            self._check(np.isin(status, tuple(STATUSES.values())), frame, STATUS_WORDS)
            return status[:, None]
        values = self.numbers(frame)
        if (
            self.parameter.known == "y2"
        ):  # where the response is no interval there need be none: any number will do
            return np.where(np.isfinite(values), values, 0.0)[:, None]
        self._check(np.isfinite(values), frame, "a finite number")
        if self.parameter.kind is not POSITIVE:
            return values[:, None]
        self._check(values > 0, frame, "above 0")
        return np.log(values)[:, None]

    def numbers(self, frame: pd.DataFrame) -> Array:
        """What is stated, as it is written: (n,)."""
        with np.errstate(all="ignore"):
            values = Rows(frame, self._states, learning=True).columns(read_expression(self.text))
        return np.array(np.broadcast_to(values, len(frame)), np.float64)

    @property
    def asked(self) -> str:
        """What new rows must state it for: ``"everything"``, ``"responses"`` or ``"nothing"``.

        Predictions are of the response itself: not of how well it is measured, or how much of it is seen.
        """
        return {"se": "responses", "cens": "nothing", "y2": "nothing"}.get(self.parameter.known, "everything")

    @property
    def is_predictor(self) -> bool:
        """Whether it is made of predictors, of ``nl()``, and not of how a response was observed."""
        return self.parameter.known == OF_COLUMNS

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        return columns_named(read_expression(self.text))

    def new_rows(self, frame: pd.DataFrame) -> "Stated | Unstated":
        """What makes it in new rows."""
        if self.asked == "nothing":
            return Unstated(0.0)
        if self.asked == "responses" and not set(self.names) <= set(frame.columns):
            return Unstated(np.nan)
        return self

    def _check(self, good: NDArray[np.bool_], frame: pd.DataFrame, words: str) -> None:
        if not good.all():
            raise DataError(
                f"{self.parameter.known} must be {words} in every row; {self.text} is not in "
                f"{describe_rows(frame.index[~good])}. Correct those rows or leave them out"
            )


@dataclass(frozen=True)
class Unstated:
    """What stands in new rows for what they need not state: not a number, or a response that is not censored."""

    value: float
    text: str = ""

    def matrix(self, frame: pd.DataFrame) -> Array:
        """The same in each row: (n, 1)."""
        return np.full((len(frame), 1), self.value)


@dataclass(frozen=True, eq=False)
class Choices:
    """Which of two boundaries each row's response reached: ``dec(…)``.

    Attributes
    ----------
    text : str
        A column or an expression.
    """

    text: str
    _states: dict[Node, Any] = field(default_factory=dict, repr=False)

    def signs(self, frame: pd.DataFrame) -> Array:
        """1 in rows at the upper boundary, -1 at the lower one: (n,).

        Raises
        ------
        DataError
            For a value that says neither.
        """
        found = statuses(self.text, frame, CHOICES, self._states)
        unclear = ~np.isin(found, (0.0, 1.0))
        if unclear.any():
            raise DataError(
                f"dec({self.text}) must be {CHOICE_WORDS} in every row; it is not in "
                f"{describe_rows(frame.index[unclear])}. Of other words say which one is the upper boundary: "
                'dec(choice == "word")'
            )
        return np.where(found == 1.0, 1.0, -1.0)

    @property
    def column(self) -> str | None:
        """The column it is; None where it is computed."""
        match read_expression(self.text):
            case Name(name):
                return name
        return None

    def written(self, upper: NDArray[np.bool_], like: pd.Series | None) -> Any:
        """Choices as a column has them: words, True and False, or 1 and 0."""
        if like is None or pd.api.types.is_bool_dtype(like):
            return upper.astype(np.int64) if like is None else upper
        if pd.api.types.is_numeric_dtype(like):
            return upper.astype(np.int64)
        return np.where(upper, "upper", "lower").astype(object)


def statuses(
    text: str, frame: pd.DataFrame, words: Mapping[str, float], states: dict[Node, Any] | None = None
) -> Array:
    """What each row says in some words, or in the numbers that they stand for: (n,), NaN where in neither."""
    node = read_expression(text)
    with np.errstate(all="ignore"):
        found = Rows(frame, {} if states is None else states, learning=True).value(node)
    if isinstance(found, pd.Series):
        return np.array(found.astype(object).map(words), np.float64)
    return np.array(np.broadcast_to(found, len(frame)), np.float64)


def uncensored(text: str, frame: pd.DataFrame) -> dict[str, Any]:
    """The column that says how responses are censored, such that none is.

    Parameters
    ----------
    text : str
        A column, or an expression of one.

    Raises
    ------
    DataError
        For an expression of which no value in the rows says that a response is not censored.
    """
    node = read_expression(text)
    names = [name for name in columns_named(node) if name in frame]
    if not names or (statuses(text, frame, STATUSES) == NONE).all():
        return {}
    column = frame[names[0]]
    values = [*column.dropna().unique(), *((0, 1) if pd.api.types.is_numeric_dtype(column) else ())]
    for value in values if len(names) == 1 else ():
        made = pd.Series([value] * len(frame), frame.index, dtype=column.dtype)
        if (statuses(text, frame.assign(**{names[0]: made}), STATUSES) == NONE).all():
            return {names[0]: made}
    if not isinstance(node, Name):
        raise DataError(
            f"simulated responses are not censored, and how these are is computed, cens({text}), so that cannot be put "
            "back; write cens() of a plain column"
        )
    return {names[0]: np.full(len(frame), "none")}


def unasked_columns(formula: Formula) -> tuple[str, ...]:
    """The columns of what is said of responses alone, how censored or which choice, that rows without one have not."""
    texts = [text for word, text in formula.stated.items() if word in ("dec", "cens", "y2")]
    return tuple(name for text in texts for name in columns_named(read_expression(text)))


def needless_ends(formula: Formula, frame: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """The columns that only upper ends of intervals are made of, and the rows (n,) whose response needs none."""
    text, none = formula.stated, np.zeros(len(frame), np.bool_)
    if "y2" not in text or not set(unasked_columns(formula)) <= set(frame.columns):
        return (), none
    read = {word: columns_named(read_expression(other)) for word, other in text.items()}
    others = {name for word, names in read.items() if word != "y2" for name in names}
    others |= {*formula.response_columns, *formula.predictor_columns, *formula.grouping_columns}
    known = frame[list(read["cens"])].notna().all(axis=1).to_numpy()
    none[known] = statuses(text["cens"], plain_columns(frame[known]), STATUSES) != INTERVAL
    return tuple(name for name in read["y2"] if name not in others), none
