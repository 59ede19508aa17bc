"""The ranges of numeric predictors in the training rows, and what is said of rows that lie beyond them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hierbayes.formula import Formula, categories_in
from hierbayes.formula.latent import predictors_in
from hierbayes.formula.shapes import curves_in

FAR = 1.0  # of its training range: how far beyond it a number may lie before that is worth a warning


@dataclass(frozen=True)
class Range:
    """Where a numeric predictor lies in the training rows.

    Attributes
    ----------
    low, high : float
        Its least and its largest value.
    curve : str
        The spline or polynomial basis that it stands in, ``""`` where it stands in none.
    """

    low: float
    high: float
    curve: str = ""

    def limits(self, slack: float) -> tuple[float, float]:
        """What is taken for inside: for a curve its range, for others `slack` times its width more on either side.

        Examples
        --------
        >>> Range(0.0, 9.0).limits(1.0), Range(0.0, 9.0, "bs(x, df=4)").limits(1.0)
        ((-9.0, 18.0), (0.0, 9.0))
        """
        more = (self.high - self.low) * (0.0 if self.curve else slack)
        return self.low - more, self.high + more


def learn_ranges(formulas: Collection[Formula], frame: pd.DataFrame) -> dict[str, Range]:
    """The range of each number that a coefficient, an effect or ``nl()`` is of; offsets have none of these.

    Parameters
    ----------
    formulas : collection of Formula
    frame : pandas.DataFrame
        The training rows, or some of them with the least and the largest value of every number.
    """
    texts = [text for f in formulas for text in (f.common, *(term.encoded for term in f.groups))]
    curves = {name: term for text in texts for name, term in curves_in(text).items()}
    categories = {name for text in texts for name in categories_in(text)}
    found = {}
    names = [name for text in texts for name in predictors_in(text)]
    names += [name for f in formulas if f.nonlinear for name in f.nonlinear.columns]
    for name in dict.fromkeys(names):
        column = frame[name]
        if name in categories and name not in curves:
            continue
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and len(column):
            found[name] = Range(float(column.min()), float(column.max()), curves.get(name, ""))
    return found


def describe_beyond(ranges: Mapping[str, Range], frame: pd.DataFrame, slack: float) -> str:
    """What lies beyond the training rows, in words; ``""`` where nothing does.

    Parameters
    ----------
    ranges : mapping of str to Range
    frame : pandas.DataFrame
        New rows without missing numbers, n of them.
    slack : float
        How many times its range a number that is in no curve may lie beyond it.

    Examples
    --------
    >>> ranges = {"temp": Range(1.5, 30.2, "bs(temp, df=5)"), "x": Range(0, 9)}
    >>> print(describe_beyond(ranges, pd.DataFrame({"temp": [20.0, 35.0], "x": [12, 8]}), FAR))
    predictions go beyond the training rows: 'temp' reaches 35 in 1 of 2 rows, and training had 1.5 to 30.2 (no data \
hold its curve bs(temp, df=5) there)
    """
    found = list(_beyond(ranges, frame, slack))
    return f"predictions go beyond the training rows: {'; '.join(found)}" if found else ""


def _beyond(ranges: Mapping[str, Range], frame: pd.DataFrame, slack: float) -> Iterator[str]:
    for name, known in ranges.items():
        if name not in frame or not pd.api.types.is_numeric_dtype(frame[name]):
            continue
        values = frame[name].to_numpy(dtype=np.float64)
        values = values[np.isfinite(values)]  # what is not finite is an error of its own
        low, high = known.limits(slack)
        below, above = values < low, values > high
        outside = int((below | above).sum())
        if not outside:
            continue
        ends = [f"{v:.6g}" for v, is_out in ((values.min(), below), (values.max(), above)) if is_out.any()]
        why = (
            f"no data hold its curve {known.curve} there"
            if known.curve
            else "the model's form alone says what is there"
        )
        yield (
            f"{name!r} reaches {' and '.join(ends)} in {outside:,} of {len(frame):,} rows, and training had "
            f"{known.low:.6g} to {known.high:.6g} ({why})"
        )
