"""Places that effects stand for, of one coordinate or several: learnt from the rows and found in new ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.encoding import Encoding, Term
from hierbayes.data.positions import Indicators, Positions, as_numbers
from hierbayes.errors import DataError, FormulaError
from hierbayes.formula import Formula, GroupTerm, caret, quote
from hierbayes.formula.syntax import Name, read_expression, summands

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Places(Indicators):
    """An effect for each place of the training rows: the columns of a term whose structure goes by distances.

    Attributes
    ----------
    text : str
        The term as other encodings have it: ``"0 + C(x):C(y)"``.
    names : tuple of str
        The columns of coordinates, d of them.
    at : ndarray, (q, d)
        The distinct places, in the order of their coordinates.
    """

    text: str
    names: tuple[str, ...]
    at: Array
    categories: Mapping[str, tuple[Any, ...]] = MappingProxyType({})

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the effects: ``"x[0.5]:y[2]"``."""
        return self.labels_of(self.at)

    def labels_of(self, places: Array) -> tuple[str, ...]:
        """What the effects at some places (k, d) are called."""
        return tuple(
            ":".join(f"{name}[{value:g}]" for name, value in zip(self.names, place, strict=True))
            for place in places
        )

    @property
    def terms(self) -> tuple[Term, ...]:
        """The one term that they belong to."""
        return (Term(self.text.removeprefix("0 + "), frozenset(self.names), tuple(range(len(self.at)))),)

    def find(self, frame: pd.DataFrame) -> tuple[Codes, Array]:
        """Which effect each row has, (n,), and the places of those from q on, which training didn't have: (k, d).

        Raises
        ------
        DataError
            For a coordinate that is no number.
        """
        places = coordinates_of(frame, self.names)
        distinct, codes = np.unique(places, axis=0, return_inverse=True)
        known = {tuple(place): code for code, place in enumerate(self.at.tolist())}
        new = [place for place in distinct.tolist() if tuple(place) not in known]
        known |= {tuple(place): len(self.at) + code for code, place in enumerate(new)}
        of_distinct = np.array([known[tuple(place)] for place in distinct.tolist()], dtype=np.int64)
        return of_distinct[codes.ravel()], np.array(new).reshape(-1, len(self.names))


@dataclass(frozen=True, eq=False)
class OfKind(Indicators):
    """The times or places of one kind of levels: the columns are 0 in rows of levels of other kinds.

    Attributes
    ----------
    located : Positions or Places
        Learnt from the kind's own rows.
    kinds : Encoding
        The indicators of all kinds.
    kind : int
        Which of them it is.
    suffix : str
        What names of its effects end in: ``":armA"``.
    """

    located: Positions | Places
    kinds: Encoding
    kind: int
    suffix: str

    @property
    def text(self) -> str:
        """The term as other encodings have it: ``"0 + C(arm):C(t)"``."""
        return f"{self.kinds.text}:{self.located.text.removeprefix('0 + ')}"

    @property
    def at(self) -> Array:
        """What each effect stands for: (q,) or (q, d)."""
        return self.located.at

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the effects: ``"t[0]:armA"``."""
        return tuple(f"{label}{self.suffix}" for label in self.located.labels)

    def labels_of(self, times: Array) -> tuple[str, ...]:
        """What the effects at other times (k,) or places (k, d) are called."""
        return tuple(f"{label}{self.suffix}" for label in self.located.labels_of(times))

    @property
    def terms(self) -> tuple[Term, ...]:
        """The one term that they belong to."""
        (own,), (kinds,) = self.located.terms, self.kinds.terms
        return (Term(self.text.removeprefix("0 + "), own.variables | kinds.variables, own.columns),)

    @property
    def categories(self) -> Mapping[str, tuple[Any, ...]]:
        """The kinds, and the times that are no numbers."""
        return {**self.located.categories, **self.kinds.categories}

    def category_of(self, text: str) -> tuple[int, ...]:
        """Of which kind each column is: (q,)."""
        return (self.kind,) * len(self.at)

    def find(self, frame: pd.DataFrame) -> tuple[Codes, Array]:
        """Which effect each row has, -1 for those of other kinds, and the new times or places, as `Positions.find`."""
        own = np.flatnonzero(self.kinds.matrix(frame)[:, self.kind])
        codes, new = self.located.find(frame.iloc[own])
        found = np.full(len(frame), -1, dtype=np.int64)
        found[own] = codes
        return found, new


Located = Positions | Places | OfKind


def coordinates_of(frame: pd.DataFrame, names: tuple[str, ...]) -> Array:
    """Coordinates of the rows, (n, d); DataError where one is no number."""
    columns = []
    for name in names:
        values = as_numbers(pd.Index(frame[name].astype(object)))
        if not np.isfinite(values).all():
            bad = frame[name].iloc[int(np.flatnonzero(~np.isfinite(values))[0])]
            raise DataError(f"{name!r} is a coordinate of places, and has {bad!r}; coordinates are numbers")
        columns.append(values)
    return np.column_stack(columns)


def learn_places(formula: Formula, term: GroupTerm, frame: pd.DataFrame) -> Places:
    """The places of a term, whose columns are their coordinates: ``exp(0 + x + y | g)``."""
    nodes = [node for _, node in summands(read_expression(term.effects.removeprefix("0 + ")))]
    names = tuple(node.name for node in nodes if isinstance(node, Name))
    if not term.effects.startswith("0 + ") or len(names) < len(nodes):
        reason = (
            f"{term.structure}() takes the coordinates of places, columns, and no intercept: "
            f"{term.structure}(0 + x + y | g)"
        )
        raise FormulaError(caret(formula.text, term.position, reason))
    text = "0 + " + ":".join(f"C({quote(name)})" for name in names)
    return Places(text, names, np.unique(coordinates_of(frame, names), axis=0))
