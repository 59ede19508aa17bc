"""The levels of a grouping factor: values of a column, or observed combinations of several, in one order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.likeness import essence, essences
from hierbayes.errors import DataError

Codes = NDArray[np.int64]
NEW, MISSING = -1, -2


def is_nested(inner: Codes, outer: Codes) -> bool:
    """Whether the rows of each inner level lie in one outer level, by the level numbers of n rows.

    Examples
    --------
    >>> is_nested(np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1]))
    True
    """
    pairs = np.unique(inner * (outer.max(initial=0) + 1) + outer)
    return len(pairs) == len(np.unique(inner))


def value_texts(values: pd.Index) -> list[str]:
    """Values in words: dates without a time of day by their day alone.

    Examples
    --------
    >>> value_texts(pd.date_range("2024-02-28", periods=2))
    ['2024-02-28', '2024-02-29']
    """
    if isinstance(values, pd.DatetimeIndex):
        days = (values == values.normalize()).all()
        return [value.strftime("%Y-%m-%d") if days else str(value) for value in values]
    return [str(value) for value in np.asarray(values)]


@dataclass(frozen=True, eq=False)
class Levels:
    """The observed levels of one grouping factor: values of a column, or observed combinations of several.

    Attributes
    ----------
    columns : tuple of str
        The columns whose values (or combinations) are the levels.
    values : tuple of pandas.Index
        The distinct values of each column, in order.
    cells : ndarray of int, (G,)
        The observed combinations, as ravelled codes into `values`, ascending.
    """

    columns: tuple[str, ...]
    values: tuple[pd.Index, ...]
    cells: Codes

    @property
    def name(self) -> str:
        """The factor's name: ``"batch:cask"``."""
        return ":".join(self.columns)

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def labels(self) -> NDArray[Any]:
        """One label a level: the data's own value for one column, ``"A:a"`` for a combination."""
        if len(self.columns) == 1:
            return np.asarray(self.values[0])
        labels = [":".join(level) for level in self._joined(value_texts)]
        if len(set(labels)) < len(labels):  # "a:b" beside "c" is not "a" beside "b:c", nor 1 the text "1"
            labels = [":".join(map(repr, level)) for level in self.tuples]
        return np.asarray(labels, dtype=object)

    def only(self, places: Codes) -> "Levels":
        """Some of the levels, ascending."""
        if len(self.columns) == 1:
            return Levels(self.columns, (self.values[0][places],), np.arange(len(places)))
        return replace(self, cells=self.cells[places])

    @property
    def tuples(self) -> list[tuple[Any, ...]]:
        """The columns' own values of each level."""
        return self._joined(lambda values: values.tolist())

    def _joined(self, each: Callable[[pd.Index], list[Any]]) -> list[tuple[Any, ...]]:
        codes = np.unravel_index(self.cells, [len(v) for v in self.values])
        parts = [
            [made[place] for place in code] for made, code in zip(map(each, self.values), codes, strict=True)
        ]
        return list(zip(*parts, strict=True))

    def rows(self) -> pd.DataFrame:
        """The columns with a row for each level."""
        codes = np.unravel_index(self.cells, [len(v) for v in self.values])
        return pd.DataFrame(
            {name: values[code] for name, values, code in zip(self.columns, self.values, codes, strict=True)}
        )

    @property
    def texts(self) -> list[str]:
        """The labels as they are written beside a picture, a date without its time."""
        return value_texts(self.values[0] if len(self.columns) == 1 else pd.Index(self.labels))

    @cached_property
    def _essences(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(essences(values) for values in self.values)

    def near_matches(self, frame: pd.DataFrame) -> list[tuple[str, Any, Any]]:
        """New values that are written almost like known ones: the column, the new one and the known one."""
        found = []
        for name, values, known in zip(self.columns, self.values, self._essences, strict=True):
            codes = _column_codes(frame[name], values)
            for value in dict.fromkeys(frame[name][codes == NEW].tolist()):
                if (match := known.get(essence(value))) is not None:
                    found.append((name, value, match))
        return found

    def codes(self, frame: pd.DataFrame) -> Codes:
        """Level number of each row, `NEW` where training didn't have it, `MISSING` where a value is missing: (n,)."""
        each = [
            _column_codes(frame[name], values) for name, values in zip(self.columns, self.values, strict=True)
        ]
        if len(each) == 1:
            return each[0]
        lowest = np.minimum.reduce(each)
        cell = np.ravel_multi_index([np.maximum(code, 0) for code in each], [len(v) for v in self.values])
        found = np.searchsorted(self.cells, cell).clip(max=len(self.cells) - 1)
        codes = np.where(self.cells[found] == cell, found, NEW)
        return np.where(lowest == MISSING, MISSING, np.where(lowest == NEW, NEW, codes)).astype(np.int64)


def learn_levels(columns: tuple[str, ...], frame: pd.DataFrame) -> Levels:
    """Levels of the columns' observed combinations; categories keep their order, other values are sorted."""
    values, codes = zip(*(factorize(frame[name]) for name in columns), strict=True)
    if len(columns) == 1:
        return Levels(columns, values, np.arange(len(values[0])))
    cells = np.unique(np.ravel_multi_index(codes, [len(v) for v in values]))
    return Levels(columns, values, cells.astype(np.int64))


def factorize(column: pd.Series) -> tuple[pd.Index, Codes]:
    """Distinct values of a complete column in order, and the number of each row's: categories keep their order."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = column.cat.remove_unused_categories()
        return pd.Index(present.cat.categories), np.asarray(present.cat.codes, dtype=np.int64)
    try:
        codes, values = pd.factorize(column)
    except TypeError as error:
        kind = type(column.iloc[0]).__name__
        raise DataError(
            f"column {column.name!r} holds {kind} values, which cannot be the levels of a grouping factor; "
            "make it a column of text or numbers"
        ) from error
    values, codes = pd.Index(values), np.asarray(codes, dtype=np.int64)
    try:
        order = values.argsort()
    except TypeError:  # values of several types have no order of their own
        order = np.array(sorted(range(len(values)), key=lambda j: _mixed_order(values[j])))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return values[order], rank[codes]


def _mixed_order(value: Any) -> tuple[str, float, str]:
    number = isinstance(value, int | float | np.number)
    return ("number" if number else type(value).__name__, float(value) if number else 0.0, str(value))


def _column_codes(column: pd.Series, values: pd.Index) -> Codes:
    if isinstance(column.dtype, pd.CategoricalDtype):
        each = values.get_indexer(_comparable(str(column.name), column.cat.categories, values))
        own = np.asarray(column.cat.codes, dtype=np.int64)
        return np.where(own < 0, MISSING, np.append(each, MISSING)[own]).astype(np.int64)
    missing = column.isna().to_numpy()
    known = _comparable(str(column.name), pd.Index(column[~missing]), values)
    codes = np.full(len(column), MISSING, dtype=np.int64)
    codes[~missing] = values.get_indexer(known)
    return codes


def _comparable(name: str, index: pd.Index, values: pd.Index) -> pd.Index:
    """New values in a form that can equal the training values, or an error where, say, text stands for numbers."""
    if kind_of_values(index) == kind_of_values(values) or not len(index):
        return index
    spelt = {spelling: value for value in values for spelling in _spellings(value)}
    same = {(type(value), value) for value in values.astype(object)}
    for value in index.astype(object).unique():
        alike = next((spelt[spelling] for spelling in _spellings(value) if spelling in spelt), None)
        if alike is not None and (type(value), value) not in same:
            raise DataError(
                f"{name!r} holds {_type_name(value)} {value!r} where the training data had {_type_name(alike)} "
                f"{alike!s}; convert the column to the training type, or the level would count as new"
            )
    return index.astype(object)


def kind_of_values(values: pd.Index) -> str:
    """What values are, in a word, all numbers alike: ``"number"``, ``"string"``."""
    numbers = ("integer", "floating", "mixed-integer-float")
    inferred = values.inferred_type
    return "number" if inferred in numbers else inferred


def _spellings(value: Any) -> set[str]:
    """Texts by which a value would be recognised under another type: 1.0 as "1", midnight as its date, True as "1"."""
    spellings = {str(value)}
    if isinstance(value, bool | np.bool_) or (isinstance(value, float) and value.is_integer()):
        spellings.add(str(int(value)))
    return spellings | {text.removesuffix(" 00:00:00") for text in spellings}


def _type_name(value: Any) -> str:
    return type(value.item() if isinstance(value, np.generic) else value).__name__
