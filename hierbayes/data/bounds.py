"""Whether what rows state of censored responses and of bounds can be: before anything is learnt of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.expressions import describe_rows
from hierbayes.data.response import ResponseLayout, addition_values, response_values
from hierbayes.data.stated import Stated
from hierbayes.errors import DataError
from hierbayes.families import Family
from hierbayes.families.bounds import INTERVAL, LEFT, NONE, RIGHT

Array = NDArray[np.float64]


def check_bounds(
    response: ResponseLayout, offsets: Mapping[str, tuple[Any, ...]], family: Family, frame: pd.DataFrame
) -> None:
    """Refuse responses outside their bounds, empty intervals, and intervals without an upper end.

    Parameters
    ----------
    response : ResponseLayout
    offsets : mapping of str to tuple of Stated
        What known parameters are made of.
    family : Family
    frame : pandas.DataFrame
        Complete training rows.

    Raises
    ------
    DataError
    """
    y = response_values(response, frame)
    if y is None or not {"cens", "lb", "ub"} & set(offsets):
        return
    made = {name: first for name, (first,) in offsets.items() if isinstance(first, Stated)}
    texts = {name: one.text for name, one in made.items()}
    values = {
        name: one.numbers(frame) if name == "y2" else one.matrix(frame)[:, 0] for name, one in made.items()
    }
    rows = _Stated(response.name, y, values, addition_values(response.trials, frame, "trials"), frame)
    rows.check_bounds(texts, family.support.whole)
    if "cens" in texts:
        rows.check_censoring(texts, family.support.whole)


class _Stated:
    """Responses (n,) with what their rows state."""

    def __init__(
        self, name: str, y: Array, values: Mapping[str, Array], trials: Array | None, frame: pd.DataFrame
    ) -> None:
        self.name, self.y, self.frame = name, y, frame
        self.status = values.get("cens", np.full(len(y), NONE))
        self.y2 = values.get("y2")
        self.lower = values.get("lb", np.full(len(y), -np.inf))
        self.upper = values.get("ub", np.full(len(y), np.inf))
        self.most = self.upper if trials is None else np.minimum(self.upper, trials)

    def check_bounds(self, texts: Mapping[str, str], whole: bool) -> None:
        empty = self.lower > self.upper if whole else self.lower >= self.upper
        self._refuse(empty, f"the bounds lb = {texts.get('lb')} and ub = {texts.get('ub')} leave no response")
        for word, outside in (("below lb", self.y < self.lower), ("above ub", self.y > self.upper)):
            self._refuse(
                outside,
                f"the response {self.name!r} is {word} = {texts.get(word[-2:])}, where none could have been seen",
                "Correct the bound, or leave those rows out; a response that is only known to lie beyond a limit is "
                "censored, not truncated: cens(…)",
            )

    def check_censoring(self, texts: Mapping[str, str], whole: bool) -> None:
        interval = self.status == INTERVAL
        if self.y2 is None:
            self._refuse(
                interval,
                f"cens({texts['cens']}) says 'interval', which needs the upper end of each interval",
                f"Write cens({texts['cens']}, y2) with y2 the column of upper ends; {self.name!r} is the lower one",
            )
        else:
            self._refuse(
                interval & ~((self.y2 > self.y) & np.isfinite(self.y2)),
                f"an interval ends above the response {self.name!r}, where it begins; {texts['y2']} does not, or is "
                "infinite",
                "Correct those rows; what is known exactly is 'none', what has no upper end 'right'",
            )
        first = np.ceil(self.lower) - 1 if whole else self.lower
        nothing = ((self.status == LEFT) & (self.y <= first)) | (
            np.isin(self.status, (RIGHT, INTERVAL)) & (self.y >= self.most)
        )
        ends = "the bounds" if self.most is self.upper else "the bounds and among the trials"
        self._refuse(nothing, f"between {ends} nothing is left where the response {self.name!r} may be")

    def _refuse(self, bad: NDArray[np.bool_], words: str, way: str = "Correct those rows") -> None:
        if bad.any():
            raise DataError(f"{words}, in {describe_rows(self.frame.index[bad])}. {way}")
