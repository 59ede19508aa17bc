"""Series of rows whose residuals are correlated: which series and which time each row has."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.encoding import describe_rows
from hierbayes.data.levels import factorize
from hierbayes.data.positions import as_numbers
from hierbayes.errors import DataError
from hierbayes.formula.residuals import Residuals
from hierbayes.structures import STRUCTURES, Structure

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
STRUCTURE_OF = {"ar": "ar1", "cosy": "homcs"}
MOST_TIMES = 200  # that are correlated, as effects of a level


class SeriesRows(NamedTuple):
    """Rows as arrays.

    Attributes
    ----------
    codes : ndarray of int, (n,)
        The series of each row, from 0.
    places : ndarray of int, (n,)
        Its time's place among all times.
    """

    codes: Codes
    places: Codes


@dataclass(frozen=True, eq=False)
class Series:
    """What was learnt of series.

    Attributes
    ----------
    term : Residuals
    times : ndarray (T,)
        All times, ascending.
    """

    term: Residuals
    times: Array

    @property
    def structure(self) -> Structure:
        """That of the residuals of one series."""
        return STRUCTURES[STRUCTURE_OF[self.term.kind]]

    def rows(self, frame: pd.DataFrame) -> SeriesRows:
        """Which series and time each row has."""
        codes, times = _codes(self.term, frame), _times(self.term, frame)
        return SeriesRows(codes, np.searchsorted(self.times, times).astype(np.int64))


def learn_series(term: Residuals, frame: pd.DataFrame) -> Series:
    """The times of all series.

    Raises
    ------
    DataError
        For times that are no whole numbers, that one series has twice, or that are too many.
    """
    codes, times = _codes(term, frame), _times(term, frame)
    distinct = np.unique(times)
    twice = pd.DataFrame({"series": codes, "time": times}).duplicated().to_numpy()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise DataError(
            f"{term} correlates residuals of different times, and the series of {describe_rows(frame.index[[row]])} "
            f"has the time {times[row]:g} twice; give gr= the column that tells series apart, or leave time= out for "
            "the order of the rows"
        )
    if len(distinct) > MOST_TIMES:
        raise DataError(
            f"{term} has {len(distinct)} different times; more than {MOST_TIMES} that are correlated take too long: "
            "round them, or number them within each series"
        )
    if len(distinct) < 2:
        raise DataError(f"{term} has no series of two rows, so nothing is correlated; leave it out")
    return Series(term, distinct)


def _codes(term: Residuals, frame: pd.DataFrame) -> Codes:
    return factorize(frame[term.group])[1] if term.group else np.zeros(len(frame), np.int64)


def _times(term: Residuals, frame: pd.DataFrame) -> Array:
    """The time of each row, (n,): its number in its series where the term has no column of times."""
    if not term.time:
        return np.asarray(pd.Series(0, frame.index).groupby(_codes(term, frame)).cumcount(), np.float64)
    times = as_numbers(pd.Index(frame[term.time].astype(object)))
    bad = ~(np.isfinite(times) & (times == np.round(times)))
    if bad.any() and term.kind == "cosy":  # whose times only tell rows apart
        return factorize(frame[term.time])[1].astype(np.float64)
    if bad.any():
        value = frame[term.time].astype(object).iloc[int(np.flatnonzero(bad)[0])]
        raise DataError(
            f"the times {term.time!r} of {term} are whole numbers, and {value!r} is none; number them, or leave time= "
            "out for the order of the rows"
        )
    return times
