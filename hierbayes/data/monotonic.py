"""Monotonic effects learnt: an ordered predictor's values, and the coefficients that rise in its steps.

With D + 1 values the predictor's column counts 0, …, D, and its coefficient b is the average step. The effect of step i
is b D ζ_i, with ζ a simplex (Bürkner & Charpentier 2020, British Journal of Mathematical and Statistical Psychology 73,
eq. 4 and 5). So the linear predictor is that of the column, which rises evenly, and of D columns that are 1 from a step
on, with the coefficients b (D ζ_i − 1).
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.expressions import Rows, not_computed
from hierbayes.errors import DataError
from hierbayes.formula.monotonic import MonotonicTerm, monotonic_terms, read_monotonic
from hierbayes.formula.syntax import Node, render

Array = NDArray[np.float64]
MOST_STEPS = 100  # of a column of whole numbers
_ORDER = (
    'make it an ordered category, pandas.Categorical({0}, categories=["low", "high"], ordered=True), or say the order '
    'here, mo({0}, levels=["low", "high"])'
)


@dataclass(frozen=True)
class Ordered:
    """An ordered predictor.

    Attributes
    ----------
    term : MonotonicTerm
    levels : tuple
        Its D + 1 values, the lowest first.
    """

    term: MonotonicTerm
    levels: tuple[Any, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of its column."""
        return (self.term.label,)

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of its D steps: ``"low|middle"``."""
        return tuple(f"{below}|{above}" for below, above in itertools.pairwise(self.levels))

    def columns(self, rows: Rows) -> list[Array]:
        """How many steps lie below each row's value: (n,).

        Raises
        ------
        DataError
            For a value that is none of the training rows'.
        """
        values = rows.frame[self.term.column]
        codes = pd.Index(self.levels).get_indexer(pd.Index(values.to_numpy(dtype=object)))
        if codes.min(initial=0) < 0:
            shown = ", ".join(map(str, values[codes < 0].drop_duplicates().tolist()))
            raise DataError(
                f"{self.term.column!r} has values in the new rows that {self.term.label} has no step to: {shown}; it "
                f"has {', '.join(map(str, self.levels))}"
            )
        return [codes.astype(np.float64)]


@dataclass(frozen=True)
class Monotonic:
    """A coefficient whose effect rises, or falls, in unequal steps: a population-level one, or a group's effect.

    Attributes
    ----------
    label : str
        The coefficient's: ``"mo(x)"``, ``"mo(x):z"``. What a group adds to it has its label, and its steps.
    place : int
        Where it is among the coefficients, or the effects of a level.
    steps : tuple of str
        The names of its D steps.
    """

    label: str
    place: int
    steps: tuple[str, ...]

    def coefficients(self, b: Any, simplex: Any) -> Any:
        """Of the columns that are 1 from a step on, of arrays or tensors: b (…, p) and simplex (…, D) → (…, D).

        Of groups' effects b is (…, L, q), and the simplex (…, 1, D).
        """
        return b[..., self.place, None] * (len(self.steps) * simplex - 1.0)


def learn_ordered(node: Node, rows: Rows) -> Ordered:
    """An ordered predictor, learnt from the training rows: ordered categories, or whole numbers.

    Raises
    ------
    DataError
        For values that have no order, or a single one.
    """
    term = read_monotonic(node)
    column = rows.frame[term.column]
    levels = _stated(term, column) if term.levels is not None else _found(term, column)
    if len(levels) < 2:
        raise not_computed(term.call, f"{term.column!r} has the one value {levels[0]!r}, so there is no step")
    return Ordered(term, tuple(levels))


def _stated(term: MonotonicTerm, column: "pd.Series[Any]") -> list[Any]:
    known = column.drop_duplicates().tolist()
    levels = list(term.levels or ())
    missing = [value for value in known if value not in levels]
    if missing or len(set(levels)) < len(levels):
        raise not_computed(
            term.call,
            f"levels= must hold each of its values once, the lowest first: {', '.join(map(repr, known))}",
        )
    return levels


def _found(term: MonotonicTerm, column: "pd.Series[Any]") -> list[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = np.unique(np.asarray(column.cat.codes))
        return list(column.cat.categories[used])
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        raise _no_order(term, "text" if pd.api.types.is_string_dtype(column) else "no whole numbers")
    numbers = column.to_numpy(dtype=np.float64)
    if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
        raise not_computed(
            term.call,
            f"{term.column!r} holds numbers that are not whole; a monotonic effect has a step between any two "
            f"neighbouring values, so cut it into ordered categories first, or write s({term.column})",
        )
    low, high = int(numbers.min()), int(numbers.max())
    if high - low > MOST_STEPS:
        raise not_computed(
            term.call,
            f"{term.column!r} reaches from {low} to {high}, {high - low} steps; cut it into fewer ordered categories "
            f"first, or write s({term.column})",
        )
    return list(range(low, high + 1))


def refuse_unordered(text: str, frame: pd.DataFrame) -> None:
    """Refuse monotonic effects of categories that no one has put in order, of columns as the user has them."""
    for term in monotonic_terms(text):
        dtype = frame[term.column].dtype
        if term.levels is None and isinstance(dtype, pd.CategoricalDtype) and not dtype.ordered:
            raise _no_order(term, "categories without one")


def _no_order(term: MonotonicTerm, words: str) -> DataError:
    return DataError(
        f"{render(term.call)!r} needs an order, and {term.column!r} holds {words}; {_ORDER.format(term.column)}"
    )
