"""What must be learnt of all rows, kept in few of them: a summary of rows that is itself made of rows.

Everything that a layout learns of values (the levels of a factor, the categories of a predictor, a column that never
varies, a value that is infinite) can be learnt from a table with one row for each combination of each grouping factor,
one for each category, and the rows where each number is least and largest. Surveys add, so they may be made of parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from hierbayes.data.design import Layout
from hierbayes.data.encoding import Encoding, transformed_values
from hierbayes.data.levels import Codes
from hierbayes.data.spread import Spread, spread_of
from hierbayes.data.tables import Chunk
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.formula import Formula
from hierbayes.formula.latent import is_latent
from hierbayes.formula.monotonic import is_monotonic
from hierbayes.formula.smooths import is_smooth
from hierbayes.formula.syntax import Call, Name, Node, columns_named, read_expression, render, walk
from hierbayes.formula.terms import read_terms
from hierbayes.transforms import CATEGORIES, TRANSFORMS

SAMPLED = 256  # rows of a part that are kept as a sample
SAMPLE = 8192  # rows of a sample, at most

type Transforms = Mapping[str, Spread]


@dataclass(frozen=True, eq=False)
class Scan:
    """What is learnt of rows; ``+`` joins those of two tables.

    Attributes
    ----------
    keys : tuple of tuple of str
        Columns whose combinations are all in `frame`.
    frame : pandas.DataFrame
        Complete rows: one a combination, and those where a number is least or largest.
    sample : pandas.DataFrame
        Complete rows from everywhere.
    rows, complete : int
        How many there were, and how many without a gap.
    missing : pandas.Series of int
        How many values each column misses.
    transforms : mapping of str to Spread
        For each ``center()``, ``scale()`` and the like, by its text, the spread of what it is taken of.
    """

    keys: tuple[tuple[str, ...], ...]
    frame: pd.DataFrame
    sample: pd.DataFrame
    rows: int
    complete: int
    missing: "pd.Series[int]"
    transforms: Transforms

    def __add__(self, other: "Scan") -> "Scan":
        sample = _stacked(self.sample, other.sample)
        while len(sample) > SAMPLE:
            sample = sample.iloc[::2]
        mine, theirs = self.transforms, other.transforms
        transforms = {**mine, **theirs} | {call: mine[call] + theirs[call] for call in mine if call in theirs}
        keys = tuple(dict.fromkeys((*self.keys, *other.keys)))
        frame = _stacked(self.frame, other.frame)
        return Scan(
            keys,
            frame.iloc[_telling_rows(frame, keys)],
            sample,
            self.rows + other.rows,
            self.complete + other.complete,
            self.missing + other.missing,
            transforms,
        )


def scan(keys: tuple[tuple[str, ...], ...], texts: Sequence[str], chunk: Chunk) -> Scan:
    """Scan one part of a table.

    Parameters
    ----------
    keys : tuple of tuple of str
        As `keys_of` gives them.
    texts : sequence of str
        The right-hand sides that encodings will be learnt from.
    chunk : Chunk
    """
    frame = chunk.frame
    spread_rows = np.unique(np.linspace(0, len(frame) - 1, min(SAMPLED, len(frame))).astype(np.int64))
    transforms: dict[str, Spread] = {}
    if len(frame):
        values = {call: v for text in texts for call, v in transformed_values(text, frame).items()}
        transforms = {call: spread_of(v[:, None]) for call, v in values.items()}
        keys = tuple(dict.fromkeys((*keys, *_crossed_categories(texts, frame))))
    telling = frame.iloc[_telling_rows(frame, keys)]
    sample = frame.iloc[spread_rows]
    return Scan(keys, telling, sample, chunk.rows, len(frame), chunk.missing, transforms)


def keys_of(formulas: Mapping[str, Formula]) -> tuple[tuple[str, ...], ...]:
    """The columns whose combinations a scan must keep: those of each grouping factor, and each column of categories.

    Raises
    ------
    UnsupportedError
        For a function that learns from whole columns, or categories of something computed.
    """
    keys: dict[tuple[str, ...], None] = {}
    for formula in formulas.values():
        keys |= dict.fromkeys(tuple(sorted(term.factor)) for term in formula.groups)
        for text in formula.encoded_texts:
            for call in (part for part in walk(read_expression(text)) if isinstance(part, Call)):
                _check_call(call)
                if call.function in CATEGORIES:
                    keys[columns_named(call.arguments[0])] = None
    return tuple(key for key in keys if not any(set(key) < set(other) for other in keys))


def _crossed_categories(texts: Sequence[str], frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """The columns of categories that make up one term: which of their combinations have rows is learnt."""
    for text in texts:
        for term in read_terms(text).present.values():
            names = {name for node in term if (name := _category(node, frame))}
            if len(names) > 1:
                yield tuple(sorted(names))


def _category(node: Node, frame: pd.DataFrame) -> str | None:
    match node:
        case Call(function, (Name(name), *_)) if function in CATEGORIES:
            return name
        case Name(name) if not pd.api.types.is_numeric_dtype(frame[name]):
            return name
    return None


def with_transforms(layout: Layout, transforms: Transforms) -> Layout:
    """The layout, with the ``center()`` and ``scale()`` of its encodings about all rows."""
    moments = {call: (float(s.means[0]), float(s.deviations[0])) for call, s in transforms.items()}

    def about_all(encoding: Encoding) -> Encoding:
        return encoding.with_moments(moments)

    predictors = {
        name: replace(
            predictor,
            common=about_all(predictor.common),
            offsets=tuple(about_all(o) if isinstance(o, Encoding) else o for o in predictor.offsets),
            factors=tuple(
                replace(factor, encodings=tuple(each.with_moments(moments) for each in factor.encodings))
                for factor in predictor.factors
            ),
        )
        for name, predictor in layout.predictors.items()
    }
    encoding, weights = layout.response.encoding, layout.response.weights
    response = replace(
        layout.response,
        encoding=about_all(encoding) if encoding else None,
        weights=about_all(weights) if isinstance(weights, Encoding) else weights,
    )
    return replace(layout, predictors=MappingProxyType(predictors), response=response)


def _check_call(call: Call) -> None:
    inside = {part.function for node in call.arguments for part in walk(node) if isinstance(part, Call)}
    centring = _learns_moments(call.function)
    if (
        is_smooth(call)
        or is_monotonic(call)
        or is_latent(call)
        or (call.function in TRANSFORMS and not centring)
    ):
        raise UnsupportedError(
            f"{render(call)} learns from a whole column at once, and the rows are read in parts; compute its columns "
            "in the data, take powers of a scaled column, as in scale(x) + I(scale(x)**2), or give the rows in memory"
        )
    if centring and any(map(_learns_moments, inside)):
        raise UnsupportedError(
            f"{render(call)} takes a mean of what has to learn a mean first, and the rows are read in parts; "
            "one of the two is enough"
        )
    if call.function in CATEGORIES and not isinstance(call.arguments[0], Name):
        raise UnsupportedError(
            f"{render(call)} makes categories of something computed, and the rows are read in parts; "
            "make it a column of the data"
        )


def _learns_moments(function: str) -> bool:
    return function in TRANSFORMS and TRANSFORMS[function].of_moments is not None


def _telling_rows(frame: pd.DataFrame, keys: Sequence[tuple[str, ...]]) -> Codes:
    """Places of the rows that stand for all: (m,), ascending."""
    told = np.zeros(len(frame), dtype=bool)
    covered = {name for key in keys if len(key) == 1 for name in key}
    for key in keys:
        told |= _first_rows(frame, key)
    for name in frame.columns if len(frame) else ():
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
            values = column.to_numpy()
            told[[values.argmin(), values.argmax()]] = True
        elif name not in covered:
            told |= _first_rows(frame, (name,))
    return np.flatnonzero(told)


def _first_rows(frame: pd.DataFrame, key: tuple[str, ...]) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    try:
        return ~frame.duplicated(list(key)).to_numpy()
    except TypeError as error:
        raise DataError(
            f"{' and '.join(map(repr, key))} hold values that cannot be levels; make columns of text or numbers"
        ) from error


def _stacked(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The rows of both; a column's categories are those of both, in their order."""
    if not len(first) or not len(second):
        return first if len(first) else second
    for name in first.columns:
        mine, theirs = first[name].dtype, second[name].dtype
        if (
            mine != theirs
            and isinstance(mine, pd.CategoricalDtype)
            and isinstance(theirs, pd.CategoricalDtype)
        ):
            both = pd.CategoricalDtype(mine.categories.append(theirs.categories).unique(), ordered=True)
            first, second = first.astype({name: both}), second.astype({name: both})
    return pd.concat([first, second])
