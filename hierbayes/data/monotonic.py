"""Monotonic effects learnt: an ordered predictor's values, and the coefficients that rise in its steps.

With D + 1 values the predictor's column counts 0, …, D, and its coefficient b is the average step. The effect of step i
is b D ζ_i, with ζ a simplex (Bürkner & Charpentier 2020, British Journal of Mathematical and Statistical Psychology 73,
eq. 4 and 5). So the linear predictor is that of the column, which rises evenly, and of D columns that are 1 from a step
on, with the coefficients b (D ζ_i − 1). A product of two of them has a column for each pair of their steps, that is 1
from both on, and the coefficients b (D ζ_i E η_j − 1).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
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
MOST_PAIRS = 1000  # of steps of the columns of a product
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
class Simplex:
    """The shares of D steps: those of an ordered predictor in one term, or in all that have them in common.

    Attributes
    ----------
    label : str
        What they are called: ``"mo(x)"``, ``"mo(x):z"``, in a product ``"mo(x):mo(w), mo(x)"``, or their ID.
    steps : tuple of str
        The names of the steps; numbers of those that predictors of different values share.
    product : str
        The coefficient whose product they are part of, "" of all others.
    """

    label: str
    steps: tuple[str, ...]
    product: str = ""


@dataclass(frozen=True)
class Monotonic:
    """A coefficient whose effect rises, or falls, in unequal steps: a population-level one, or a group's effect.

    Attributes
    ----------
    label : str
        The coefficient's: ``"mo(x)"``, ``"mo(x):z"``, ``"mo(x):mo(w)"``. What a group adds to it has its label, and
        its steps.
    place : int
        Where it is among the coefficients, or the effects of a level.
    steps : tuple of tuple of str
        The names of the steps of each ordered predictor that it is of: D of one, D and E of two.
    simplexes : tuple of str
        The labels of each one's `Simplex`.
    """

    label: str
    place: int
    steps: tuple[tuple[str, ...], ...]
    simplexes: tuple[str, ...]

    @property
    def width(self) -> int:
        """How many columns its steps have: D, or D E."""
        return prod(map(len, self.steps))

    def stairs(self, codes: Sequence[Array]) -> NDArray[np.bool_]:
        """The columns that are 1 from a step on, or from several, by how many steps lie below each row: (n, width)."""
        found = np.ones((len(codes[0]), 1), bool)
        for own, steps in zip(codes, self.steps, strict=True):
            above = own[:, None] > np.arange(len(steps))
            found = (found[:, :, None] & above[:, None, :]).reshape(len(own), -1)
        return found

    def coefficients(self, b: Any, shares: Sequence[Any]) -> Any:
        """Of the columns that are 1 from a step on, of arrays or tensors: b (…, p), shares (…, D) → (…, width).

        Of groups' effects b is (…, L, q), and the shares (…, 1, D).
        """
        sizes = [len(steps) for steps in self.steps]
        places = np.indices(sizes).reshape(len(sizes), -1)
        rise = 1.0
        for size, own, at in zip(sizes, shares, places, strict=True):
            rise = rise * (size * own)[..., at]
        return b[..., self.place, None] * (rise - 1.0)


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


def simplexes_of(effects: Sequence[Monotonic]) -> tuple[Simplex, ...]:
    """The shares of all these coefficients' steps, each once.

    Raises
    ------
    DataError
        For an ID of predictors that have different numbers of steps.
    """
    found: dict[str, Simplex] = {}
    for effect in effects:
        for label, steps in zip(effect.simplexes, effect.steps, strict=True):
            known = found.setdefault(
                label, Simplex(label, steps, effect.label if len(effect.steps) > 1 else "")
            )
            if len(known.steps) != len(steps):
                raise DataError(
                    f"terms with id={label!r} share their steps, so they have as many: {effect.label} has "
                    f"{len(steps)}, another term {len(known.steps)}"
                )
            if known.steps != steps:
                found[label] = Simplex(label, tuple(map(str, range(1, len(steps) + 1))))
    return tuple(found.values())


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
