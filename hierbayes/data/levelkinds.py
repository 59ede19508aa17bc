"""Kinds of levels with covariances of their own, ``(x | gr(g, by=z))``: the effects of each kind stand side by side.

A level's columns are those of its kind, 0 for all others, so that a kind is a block of effects like any other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.encoding import Encoding, learn_encoding
from hierbayes.data.levels import Levels
from hierbayes.data.places import Located, OfKind, Places
from hierbayes.data.positions import Positions
from hierbayes.data.spread import Spread
from hierbayes.errors import DataError
from hierbayes.formula.grouping import Grouping
from hierbayes.formula.syntax import label_of, read_expression

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LevelKinds:
    """Of which kind each level and each effect of a grouping factor is.

    Attributes
    ----------
    column : str
        Whose values the kinds are.
    values : tuple
        Those values.
    levels : ndarray of int, (G,)
    effects : ndarray of int, (q,)
    bases : tuple of str
        What each effect is called without its kind.
    shares : ndarray, (q,)
        The share of the training rows, by weight, that is of each effect's kind.
    """

    column: str
    values: tuple[Any, ...]
    levels: Codes
    effects: Codes
    bases: tuple[str, ...]
    shares: Array

    def scales(self, spread: Spread) -> Array:
        """Standard deviations of columns within their kind's rows; the size of one constant there: (q,)."""
        squares = (np.square(spread.deviations) + np.square(spread.means)) / self.shares
        variances = squares - np.square(spread.means / self.shares)
        return np.sqrt(np.where(variances > 1e-9 * squares, variances, squares))

    def weighed(self, codes: Codes, weights: Array | None) -> "LevelKinds":
        """The same, knowing the level of each training row (n,) and its weight."""
        sums = np.bincount(self.levels[codes], weights, minlength=self.effects.max() + 1)
        return replace(self, shares=(sums / sums.sum())[self.effects])

    def reaching(self, effect: int, labels: Sequence[str]) -> "LevelKinds":
        """The same with more effects, behind all others, of the kind that an effect is of."""
        alike, suffix = [effect] * len(labels), _suffix(self.column, self.values[self.effects[effect]])
        return replace(
            self,
            effects=np.append(self.effects, self.effects[alike]),
            bases=(*self.bases, *(label.removesuffix(suffix) for label in labels)),
            shares=np.append(self.shares, self.shares[alike]),
        )

    def check(self, levels: Levels, codes: Codes, frame: pd.DataFrame) -> None:
        """Refuse rows, of known levels where their number (n,) isn't negative, that make a level of another kind.

        Raises
        ------
        DataError
            Naming the first such level.
        """
        rows = np.flatnonzero(codes >= 0)
        kinds = pd.Index(self.values).get_indexer(pd.Index(frame[self.column].iloc[rows].astype(object)))
        odd = np.flatnonzero(kinds != self.levels[codes[rows]])
        if len(odd):
            level, kind = codes[rows[odd[0]]], self.values[kinds[odd[0]]]
            raise DataError(
                f"level {levels.texts[level]!r} of {levels.name!r} has {self.column} = {kind!r} in the new rows and "
                f"{self.values[self.levels[level]]!r} in training; its effects as one of another kind are not known. "
                "Give it a new label, or leave the group out, by groups='none' or 'average'"
            )


def split_by_kind(encoding: Encoding, grouping: Grouping, intercept: str) -> list[tuple[Encoding, str]]:
    """The columns of each kind of levels under brms's names, ``"Intercept:armA"``, and what these end in."""
    if not grouping.by:
        return [(encoding, "")]
    kinds, category = encoding.category_of(grouping.category), label_of(read_expression(grouping.category))
    found: list[tuple[Encoding, str]] = []
    for kind, (value, suffix) in enumerate(_suffixes(encoding, grouping)):
        own = encoding.only([place for place, other in enumerate(kinds) if other == kind])
        bases = [label.removeprefix(f"{category}[{value}]").removeprefix(":") for label in own.labels]
        labels = tuple(f"{base or intercept}{suffix}" for base in bases)
        if labels:
            dropped = () if found else encoding.dropped
            found.append((replace(own, labels=labels, dropped=dropped), suffix))
    return found


def locate_by_kind(
    learn: Callable[[pd.DataFrame], Positions | Places], frame: pd.DataFrame, grouping: Grouping
) -> list[tuple[Located, str]]:
    """The times or places of each kind of levels, and what names of their effects end in.

    Parameters
    ----------
    learn : callable
        Those of some of the rows.
    frame : data frame
    grouping : Grouping
    """
    if not grouping.by:
        return [(learn(frame), "")]
    kinds = learn_encoding(f"0 + {grouping.category}", frame)
    indicators = kinds.matrix(frame)
    return [
        (OfKind(learn(frame[indicators[:, kind] > 0]), kinds, kind, suffix), suffix)
        for kind, (_, suffix) in enumerate(_suffixes(kinds, grouping))
    ]


def learn_kinds(
    levels: Levels, encodings: Sequence[Encoding | Located], grouping: Grouping, frame: pd.DataFrame
) -> LevelKinds | None:
    """The kind of each level and of each effect; None where there is one kind.

    Raises
    ------
    DataError
        For a level whose rows are of several kinds.
    """
    if not grouping.by:
        return None
    parts = [part for part in encodings if isinstance(part, Encoding | OfKind)]
    values = parts[0].categories[grouping.category]
    kinds = pd.Index(values).get_indexer(pd.Index(frame[grouping.by].astype(object)))
    codes, found = levels.codes(frame), np.zeros(len(levels), dtype=np.int64)
    found[codes] = kinds
    odd = np.flatnonzero(found[codes] != kinds)
    if len(odd):
        level = codes[odd[0]]
        own = " and ".join(repr(values[kind]) for kind in np.unique(kinds[codes == level])[:2])
        raise DataError(
            f"gr({levels.name}, by={grouping.by}): level {levels.texts[level]!r} of {levels.name!r} has rows with "
            f"{grouping.by} = {own}; a level is of one kind. Where {grouping.by} varies within levels it is an effect: "
            f"(0 + {grouping.by} || {levels.name})"
        )
    effects: list[int] = []
    bases: list[str] = []
    for encoding in parts:
        places, suffixes = encoding.category_of(grouping.category), _suffixes(encoding, grouping)
        effects += places
        bases += [
            label.removesuffix(suffixes[kind][1]) for label, kind in zip(encoding.labels, places, strict=True)
        ]
    codes_of = np.array(effects, dtype=np.int64)
    return LevelKinds(grouping.by, values, found, codes_of, tuple(bases), np.ones(len(codes_of)))


def _suffixes(encoding: Encoding | OfKind, grouping: Grouping) -> list[tuple[Any, str]]:
    """The kinds, and what names of their effects end in."""
    return [(value, _suffix(grouping.by, value)) for value in encoding.categories[grouping.category]]


def _suffix(column: str, value: Any) -> str:
    return f":{column}{value}"
