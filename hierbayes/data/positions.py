"""What effects stand for, where a structure goes by distances: times, learnt from the rows and found in new ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.encoding import Term
from hierbayes.errors import DataError, FormulaError
from hierbayes.formula import Formula, GroupTerm, caret, quote
from hierbayes.formula.syntax import Call, Name, read_expression
from hierbayes.structures import Structure
from hierbayes.transforms import CATEGORIES

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


class Indicators:
    """What columns of times and of places have in common: 1 in the rows of an effect, 0 in others."""

    dropped: ClassVar[tuple[str, ...]] = ()
    intercept: ClassVar[None] = None
    is_numeric: ClassVar[bool] = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the effects."""
        raise NotImplementedError

    def find(self, frame: pd.DataFrame) -> tuple[Codes, Array]:
        """Which effect each row has, -1 for none, (n,), and what those from q on stand for, which are new."""
        raise NotImplementedError

    def with_moments(self, moments: Mapping[str, tuple[float, float]]) -> Self:
        """The same: nothing of it is a mean or a deviation."""
        return self

    def matrix(self, frame: pd.DataFrame) -> Array:
        """A column for each time or place of the training rows, then for each new one: (n, q + k)."""
        codes, new = self.find(frame)
        matrix = np.zeros((len(frame), len(self.labels) + len(new)))
        own = np.flatnonzero(codes >= 0)
        matrix[own, codes[own]] = 1.0
        return matrix


@dataclass(frozen=True, eq=False)
class Positions(Indicators):
    """An effect for each time of the training rows: the columns of a term whose structure goes by distances.

    Attributes
    ----------
    text : str
        The term as other encodings have it: ``"0 + C(t)"``.
    name : str
        The column of times.
    values : pandas.Index
        The distinct times as the data have them, in order.
    at : ndarray, (q,)
        Those times as numbers, ascending; places in their order where they are categories without numbers.
    kind : str
        Which times there may be, as `Structure.positions`.
    """

    text: str
    name: str
    values: pd.Index
    at: Array
    kind: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the effects: ``"t[0]"``."""
        return tuple(f"{self.name}[{value}]" for value in self.values)

    def labels_of(self, times: Array) -> tuple[str, ...]:
        """What the effects at other times (k,) are called."""
        return tuple(f"{self.name}[{time:g}]" for time in times)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The one term that they belong to."""
        return (Term(self.text.removeprefix("0 + "), frozenset({self.name}), tuple(range(len(self.at)))),)

    @property
    def numbers(self) -> bool:
        """Whether the times are numbers, whose distances are known."""
        return not np.isnan(as_numbers(self.values)).any()

    @property
    def categories(self) -> Mapping[str, tuple[Any, ...]]:
        """The categories that are no numbers."""
        return {} if self.numbers else {self.name: tuple(self.values)}

    def find(self, frame: pd.DataFrame) -> tuple[Codes, Array]:
        """Which effect each row has, (n,), and the times of those from q on, which training didn't have: (k,).

        Raises
        ------
        DataError
            For a new time that has no distance to those of training.
        """
        given = pd.Index(frame[self.name].astype(object))
        if not self.numbers:
            codes = self.values.astype(object).get_indexer(given)
            self._refuse(given[codes < 0], "its distance to those of training is not known")
            return codes.astype(np.int64), np.empty(0)
        times = as_numbers(given)
        self._refuse(given[~np.isfinite(times)], "times are numbers")
        if self.kind == "whole":
            self._refuse(given[times != np.round(times)], "times are whole")
        new = np.setdiff1d(times, self.at)
        if self.kind == "equal":
            self._refuse(given[np.isin(times, new)], "the correlations are those of training's times alone")
        return pd.Index(np.append(self.at, new)).get_indexer(pd.Index(times)).astype(np.int64), new

    def _refuse(self, times: pd.Index, why: str) -> None:
        if len(times):
            raise DataError(f"{self.name!r} has the time {times[0]!r} in the new rows, but {why}")


def learn_positions(
    formula: Formula, term: GroupTerm, structure: Structure, values: pd.Index, ordered: bool
) -> Positions:
    """The times of a term.

    Parameters
    ----------
    formula, term : Formula, GroupTerm
    structure : Structure
    values : pandas.Index
        The distinct values of the column that `time_column` names, in order.
    ordered : bool
        Whether they are categories: those that are no numbers are times in their order, one apart.
    """
    name = time_column(formula, term)
    times = as_numbers(values)
    problem, way = "", "make it a column of numbers"
    if np.isnan(times).any():
        if not ordered:
            problem = f"{name!r} has times that are no numbers, such as {values[np.isnan(times)][0]!r}"
            way += ", or of categories in the order of time" if structure.positions != "any" else ""
        elif structure.positions == "any":
            problem = f"{name!r} has categories that are no numbers, whose distances are not known"
        times = np.arange(len(values), dtype=float)
    elif (np.diff(times) <= 0).any():
        problem = f"the values of {name!r} are not in the order of their numbers"
    elif structure.positions == "whole" and (times != np.round(times)).any():
        problem = f"{name!r} has times that are not whole, such as {times[times != np.round(times)][0]:g}"
        way = "ou(…) takes any numbers"
    elif (
        structure.positions == "equal" and len(times) > 2 and np.ptp(gaps := np.diff(times)) > 1e-6 * gaps[0]
    ):
        uneven = int(np.argmax(np.abs(gaps - gaps[0])))
        problem = (
            f"the times {name!r} have different distances, {times[0]:g} to {times[1]:g} and {times[uneven]:g} to "
            f"{times[uneven + 1]:g}"
        )
        way = "ar1(…) takes whole numbers with gaps, ou(…) any numbers"
    if problem:
        raise FormulaError(caret(formula.text, term.position, f"{term}: {problem}; {way}"))
    text = f"0 + {quote(name)}" if ordered else f"0 + C({quote(name)})"
    return Positions(text, name, values, times, structure.positions)


def time_column(formula: Formula, term: GroupTerm) -> str:
    """The column of times of a term."""
    node = read_expression(term.effects.removeprefix("0 + "))
    if isinstance(node, Call) and node.function in CATEGORIES and len(node.arguments) == 1:
        node = node.arguments[0]
    if not term.effects.startswith("0 + ") or not isinstance(node, Name):
        reason = (
            f"{term.structure}() takes the times, a column, and no intercept: {term.structure}(0 + time | g)"
        )
        raise FormulaError(caret(formula.text, term.position, reason))
    return node.name


def as_numbers(values: pd.Index) -> Array:
    """Values as numbers, NaN where they are none."""
    numbers = pd.to_numeric(pd.Series(values.astype(object)), errors="coerce")
    return np.asarray(numbers, dtype=np.float64)
