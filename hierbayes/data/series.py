"""Series of rows whose residuals are correlated: which series and which time each row has."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.encoding import describe_rows
from hierbayes.data.levels import factorize
from hierbayes.data.positions import as_numbers
from hierbayes.errors import DataError
from hierbayes.families.serial import KINDS, Correlated
from hierbayes.formula.residuals import Residuals
from hierbayes.kinds import CORRELATIONS
from hierbayes.structures import Structure

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


class SeriesRows(NamedTuple):
    """Rows as arrays.

    Attributes
    ----------
    codes : ndarray of int, (n,)
        The series of each row, from 0.
    places : ndarray of int, (n,)
        Its time's place among `times`, −1 for one that there is no correlation for.
    times : ndarray (T,)
        Ascending.
    known : ndarray of int, (n,)
        The number of each row's series among training's, −1 for one that training hadn't.
    """

    codes: Codes
    places: Codes
    times: Array
    known: Codes

    def rows(self, part: slice | Codes) -> "SeriesRows":
        """The same for some of the rows: a slice, or their places."""
        return SeriesRows(self.codes[part], self.places[part], self.times, self.known[part])


@dataclass(frozen=True, eq=False)
class Series:
    """What was learnt of series.

    Attributes
    ----------
    term : Residuals
    times : ndarray (T,)
        All times, ascending: numbers, or the places of what is no number.
    values : pandas.Index
        Their values in the column of times, where these are labels; empty where they are numbers.
    groups : pandas.Index
        The series, by the values of their column; empty where all rows are one.
    """

    term: Residuals
    times: Array
    values: pd.Index
    groups: pd.Index

    @property
    def kind(self) -> Correlated:
        """How residuals are correlated."""
        return KINDS[self.term.kind]

    @property
    def structure(self) -> Structure:
        """That of the residuals of one series."""
        return self.kind.structure

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the times."""
        return tuple(map(str, self.values)) if len(self.values) else tuple(f"{time:g}" for time in self.times)

    @property
    def parameter(self) -> str:
        """The family's parameter that says the correlations."""
        return self.kind.parameter(self.labels).name

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that say a row's series and time."""
        return tuple(name for name in (self.term.group, self.term.time) if name)

    def rows(self, frame: pd.DataFrame) -> SeriesRows:
        """Which series and time each row has, of training or new; what can't be is for `check` to say."""
        codes, known = _codes(self.term, frame), np.zeros(len(frame), np.int64)
        if self.term.group:
            known = self.groups.get_indexer(pd.Index(frame[self.term.group].astype(object)))
        if len(self.values):
            places = self.values.get_indexer(pd.Index(frame[self.term.time]))
            return SeriesRows(codes, places, self.times, known)
        numbers = _times(self.term, frame)
        possible = self.term.kind == "cosy" or numbers == np.round(numbers)
        times, places = np.unique(numbers[possible], return_inverse=True)
        found = np.full(len(frame), -1)
        found[possible] = places
        return SeriesRows(codes, found, times, known)

    def check(self, rows: SeriesRows, index: pd.Index) -> None:
        """Refuse rows whose residuals have no correlations.

        Raises
        ------
        DataError
            For a time that training had not, where times are labels; one that is no whole number; one that a series
            has twice.
        """
        unknown = np.flatnonzero(rows.places < 0)
        if len(unknown):
            where = describe_rows(index[unknown[:1]])
            known = (
                f"one of {', '.join(self.labels)}: no other has been seen"
                if len(self.values)
                else "a whole number"
            )
            raise DataError(f"the time {self.term.time!r} of {where} has to be {known}")
        twice = pd.DataFrame({"series": rows.codes, "time": rows.places}).duplicated().to_numpy()
        if twice.any():
            times: Any = self.values if len(self.values) else rows.times
            raise DataError(_twice(self.term, index, twice, times[rows.places]))

    def correlations(self, values: Any, times: Array | None = None) -> Array:
        """The correlations at all times, or at others, in each draw: (S, T, T).

        Parameters
        ----------
        values : ndarray (S,) or (S, pairs)
            Of the parameter.
        times : ndarray (T,), optional
        """
        times = self.times if times is None else times
        own = CORRELATIONS.joint(values) if self.structure.matrix else values[:, None, None]
        found = np.asarray(self.structure.correlation(np, len(times), times, own), np.float64)
        return np.broadcast_to(found, (len(values), len(times), len(times)))


def learn_series(term: Residuals, frame: pd.DataFrame) -> Series:
    """The times of all series.

    Raises
    ------
    DataError
        For times that are no whole numbers, that one series has twice, or that are too many.
    """
    values, kind = pd.Index([]), KINDS[term.kind]
    if kind.numbered:
        numbers = _times(term, frame)
        _check_numbers(term, frame, numbers)
    else:
        values, places = factorize(frame[term.time])
        numbers = places.astype(np.float64)
    codes, distinct = _codes(term, frame), np.unique(numbers)
    twice = pd.DataFrame({"series": codes, "time": numbers}).duplicated().to_numpy()
    if twice.any():
        raise DataError(_twice(term, frame.index, twice, numbers if kind.numbered else values[places]))
    if len(distinct) > kind.most:
        raise DataError(
            f"{term} has {len(distinct)} different times; more than {kind.most} that are correlated take too long: "
            "round them, or number them within each series"
        )
    if len(distinct) < 2:
        raise DataError(f"{term} has no series of two rows, so nothing is correlated; leave it out")
    groups = factorize(frame[term.group])[0].astype(object) if term.group else pd.Index([])
    return Series(term, distinct, values, groups)


def _twice(term: Residuals, index: pd.Index, twice: NDArray[np.bool_], times: Any) -> str:
    row = int(np.flatnonzero(twice)[0])
    time = times[row]
    shown = f"{time:g}" if isinstance(time, float) else str(time)
    way = "" if term.kind == "unstr" else ", or leave time= out for the order of the rows"
    return (
        f"{term} correlates residuals of different times, and the series of {describe_rows(index[[row]])} has the time "
        f"{shown} twice; give gr= the column that tells series apart{way}"
    )


def _codes(term: Residuals, frame: pd.DataFrame) -> Codes:
    return factorize(frame[term.group])[1] if term.group else np.zeros(len(frame), np.int64)


def _times(term: Residuals, frame: pd.DataFrame) -> Array:
    """The time of each row, (n,): its number in its series where the term has no column of times."""
    if not term.time:
        return np.asarray(pd.Series(0, frame.index).groupby(_codes(term, frame)).cumcount(), np.float64)
    times = as_numbers(pd.Index(frame[term.time].astype(object)))
    if term.kind == "cosy" and not _whole(times).all():  # whose times only tell rows apart
        return factorize(frame[term.time])[1].astype(np.float64)
    return times


def _whole(times: Array) -> NDArray[np.bool_]:
    return np.isfinite(times) & (times == np.round(times))


def _check_numbers(term: Residuals, frame: pd.DataFrame, times: Array) -> None:
    bad = ~_whole(times)
    if bad.any():
        value = frame[term.time].astype(object).iloc[int(np.flatnonzero(bad)[0])]
        raise DataError(
            f"the times {term.time!r} of {term} are whole numbers, and {value!r} is none; number them, or leave time= "
            "out for the order of the rows"
        )
