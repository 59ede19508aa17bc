"""The factors of terms, learnt: numbers with their columns, categories with their levels and contrasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.expressions import Rows, plain_column, unwrapped
from hierbayes.errors import DataError
from hierbayes.formula.bymember import read_by_member
from hierbayes.formula.calls import arguments_of
from hierbayes.formula.syntax import Call, Name, Node, columns_named, label_of, render
from hierbayes.transforms import CATEGORIES, ChosenContrast, Coding

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Numbers:
    """An expression with a number or several in each row.

    Attributes
    ----------
    node : Node
    width : int or None
        How many columns it has; None for one without a second dimension.
    """

    node: Node
    width: int | None

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its columns."""
        name = label_of(self.node)
        if self.width is None or self.width == 1:
            return (name,)
        return tuple(f"{name}[{j}]" for j in range(self.width))

    def columns(self, rows: Rows) -> list[Array]:
        """Its columns over rows: (n,) each."""
        values = rows.columns(self.node)
        if values.dtype != np.float64:
            values = values.astype(np.float64)
        return [values] if values.ndim == 1 else list(np.ascontiguousarray(values.T))


@dataclass(frozen=True)
class Levels:
    """A column of categories, or an expression made categories by ``C()``.

    Attributes
    ----------
    node : Node
    levels : tuple
        The values of the training rows in their order.
    contrast : ChosenContrast
    """

    node: Node
    levels: tuple[Any, ...]
    contrast: ChosenContrast

    def coding(self, full: bool) -> Coding:
        """How the levels become columns: with one for each, or by contrasts."""
        try:
            return self.contrast.code(self.levels, alone=full)
        except ValueError as error:
            raise DataError(f"{render(self.node)!r} cannot be computed from these data: {error}") from error

    def labels(self, coding: Coding) -> tuple[str, ...]:
        """The names of a coding's columns."""
        return tuple(f"{label_of(self.node)}[{label}]" for label in coding.labels)

    def codes(self, rows: Rows) -> Codes:
        """The number of each row's level: (n,).

        Raises
        ------
        DataError
            For a level that the training rows didn't have.
        """
        values = _categorical_values(self.node, rows)
        known = pd.Index(self.levels)
        if isinstance(values.dtype, pd.CategoricalDtype):
            own, distinct = np.asarray(values.cat.codes), pd.Index(values.cat.categories)
        else:
            own, distinct = pd.factorize(values)
        codes = _places(known, pd.Index(distinct))[own]
        if codes.min(initial=0) < 0:
            self._refuse(values[codes < 0])
        return codes

    def _refuse(self, unseen: "pd.Series[Any]") -> None:
        shown = ", ".join(map(str, unseen.drop_duplicates().tolist()))
        raise DataError(
            f"{unwrapped(render(self.node))!r} has levels in the new rows that training didn't: {shown}. "
            "A population-level factor has coefficients for its training levels alone: use those, or fit it as a "
            f"grouping factor, (1 | {columns_named(self.node)[0]}), whose new levels are drawn from the population"
        )


@dataclass(frozen=True)
class NumbersByMember(Numbers):
    """Numbers of each of a row's levels, ``mmc(x1, x2)``: those of one of them at a time.

    Attributes
    ----------
    each : tuple of Numbers
    member : int
        Of which level the columns are.
    """

    each: tuple[Numbers, ...] = ()
    member: int = 0

    def columns(self, rows: Rows) -> list[Array]:
        """Those of the one level over rows: (n,)."""
        return self.each[self.member].columns(rows)


type Variable = Numbers | Levels


def learn_by_member(node: Call, rows: Rows) -> NumbersByMember:
    """The numbers of each of a row's levels, learnt from the training rows."""
    each = []
    for column in read_by_member(node):
        variable = learn_variable(column, rows)
        if not isinstance(variable, Numbers):
            raise DataError(f"{render(node)!r} takes columns of numbers, and {column.name!r} has categories")
        each.append(variable)
    return NumbersByMember(node, None, tuple(each))


def learn_variable(node: Node, rows: Rows) -> Variable:
    """A factor of a term, learnt from the training rows: categories where it is text or ``C()`` says so."""
    if isinstance(node, Call) and node.function in CATEGORIES:
        return _learn_called(node, rows)
    value = rows.value(node)
    if isinstance(value, str):
        raise DataError(f"{render(node)!r} is a text, not a column")
    if isinstance(value, pd.Series):
        return Levels(node, tuple(_levels_of(value, node)), ChosenContrast())
    return Numbers(node, value.shape[1] if value.ndim > 1 else None)


def _learn_called(call: Call, rows: Rows) -> Levels:
    arguments = arguments_of(call)
    levels: Sequence[Any] = _levels_of(_categorical_values(call, rows), call)
    if (order := arguments["levels"]) is not None:
        if len(order) != len(set(order)) or set(order) != set(levels):
            raise DataError(
                f"{render(call)!r} cannot be computed from these data: levels= must hold each of its levels once, "
                f"{', '.join(map(repr, levels))}"
            )
        levels = order
    contrast = arguments.get("contrast") or ChosenContrast()
    if named := CATEGORIES[call.function].contrast:
        (argument,) = (value for word, value in arguments.items() if word != "levels")
        contrast = ChosenContrast(named, argument)
    return Levels(call, tuple(levels), contrast)


def _categorical_values(node: Node, rows: Rows) -> "pd.Series[Any]":
    """What categories are made of: a column as it is, or an expression's values."""
    inside = node.arguments[0] if isinstance(node, Call) and node.function in CATEGORIES else node
    if isinstance(inside, Name):
        return rows.frame[inside.name]
    values = rows.value(inside)
    if isinstance(values, pd.Series):
        return values
    numbers = np.broadcast_to(np.asarray(values), len(rows)) if np.ndim(values) < 2 else None
    if numbers is None:
        raise DataError(f"{render(node)!r} cannot be computed from these data: it would have several columns")
    if (
        numbers.dtype == np.float64
        and (numbers == np.floor(numbers)).all()
        and (np.abs(numbers) < 2**53).all()
    ):
        numbers = numbers.astype(np.int64)
    return pd.Series(numbers, index=rows.frame.index)


def _levels_of(column: "pd.Series[Any]", node: Node) -> list[Any]:
    """The distinct values of training rows: categories in their order, others sorted."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = np.unique(np.asarray(column.cat.codes))
        return column.cat.categories[used[used >= 0]].tolist()
    distinct = column.drop_duplicates().tolist()
    try:
        return sorted(distinct)
    except TypeError as error:
        kinds = " and ".join(sorted({type(value).__name__ for value in distinct}))
        raise DataError(
            f"{render(node)!r} holds {kinds} values, which have no order; make it a column of one kind"
        ) from error


def _places(known: pd.Index, values: pd.Index) -> Codes:
    """Places of values among levels, numbers and truth values by their value: −1 where they are none of them."""
    if pd.api.types.is_bool_dtype(known.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        known, values = _as_numbers(known), _as_numbers(values)
    return np.asarray(known.get_indexer(values), dtype=np.int64)


def _as_numbers(values: pd.Index) -> pd.Index:
    plain = plain_column(pd.Series(values))
    return pd.Index(plain)
