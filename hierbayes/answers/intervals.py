"""Point and interval summaries of draws, by ArviZ's settings unless told otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.pareto import tail_shapes, unknown_moments
from hierbayes.engine.core.routine import run

Array = NDArray[np.float64]
KINDS = ("eti", "hdi")
TOGETHER = 16  # columns whose draws are sorted at a time: those of 4,000 draws fit into a processor's cache
ROWS = 256  # copied at a time
SET_MOMENTS = "hierbayes.answers.rowloops.set_moments"
MEASURES = ("mean", "sd", "lower", "upper", "median", "pareto_k")


@dataclass(frozen=True)
class Interval:
    """A credible interval's probability and kind.

    Attributes
    ----------
    prob : float
        Between 0 and 1.
    kind : {"eti", "hdi"}
        Equal-tailed, or highest density.
    """

    prob: float
    kind: str

    def __str__(self) -> str:
        return f"{100 * self.prob:g}% {self.kind.upper()}"

    def bounds(self, draws: Array) -> tuple[Array, Array]:
        """Lower and upper bound over the first axis: draws (S, …) → (…), (…)."""
        return self.of_ordered(np.sort(draws, axis=0))

    def of_ordered(self, ordered: Array) -> tuple[Array, Array]:
        """The same of draws in ascending order."""
        if self.kind == "eti":
            tail = (1 - self.prob) / 2
            return _quantile(ordered, tail), _quantile(ordered, 1 - tail)
        inside = int(np.floor(self.prob * len(ordered)))
        widths = ordered[inside:] - ordered[: len(ordered) - inside]
        first = np.argmin(widths, axis=0)[None]
        return np.take_along_axis(ordered, first, 0)[0], np.take_along_axis(ordered, first + inside, 0)[0]


def _quantile(ordered: Array, prob: float) -> Array:
    """NumPy's default quantile of values already sorted along the first axis: several times faster on many columns."""
    place = prob * (len(ordered) - 1)
    below = int(np.floor(place))
    above = min(below + 1, len(ordered) - 1)
    quantile: Array = ordered[below] + (place - below) * (ordered[above] - ordered[below])
    return quantile


def get_interval(prob: float | None = None, kind: str | None = None) -> Interval:
    """The interval asked for; what is None comes from ``arviz.rcParams`` (``stats.ci_prob``, ``stats.ci_kind``).

    Raises
    ------
    ValueError
        For a probability outside (0, 1) or an unknown kind.

    Examples
    --------
    >>> str(get_interval(0.95, "eti"))
    '95% ETI'
    """
    if prob is None or kind is None:
        from arviz_base import rcParams

        prob = rcParams["stats.ci_prob"] if prob is None else prob
        kind = rcParams["stats.ci_kind"] if kind is None else kind
    if not isinstance(prob, int | float | np.floating) or not 0 < prob < 1:
        raise ValueError(f"prob must lie between 0 and 1, such as 0.95; got {prob!r}")
    if kind not in KINDS:
        raise ValueError(f"an interval is 'eti' (equal tails) or 'hdi' (highest density); got {kind!r}")
    return Interval(float(prob), kind)


def summarise(draws: Array, interval: Interval, bounded: bool = False) -> dict[str, Any]:
    """Columns mean, sd, lower, upper over the first axis of draws (S, …), each flattened; one draw has no sd.

    A mean or sd that the draws' tails leave unknown (`hierbayes.answers.pareto`) is NaN, and there are the columns
    median and pareto_k beside. What is `bounded`, as probabilities are, has both whatever its draws look like.
    """
    return when_needed(measure(draws, interval, bounded=bounded))


def measure(
    draws: Array,
    interval: Interval,
    tails: Array | float = -np.inf,
    bounded: NDArray[np.bool_] | bool = False,
) -> dict[str, Array]:
    """As `summarise`, always with median and pareto_k: for tables made of several pieces, and then `when_needed`.

    `tails` (…) are values that Pareto k is known to have at least; what is `bounded` (…) has no tails.
    """
    flat = draws.reshape(len(draws), -1)
    known, ends = (np.broadcast_to(each, draws.shape[1:]).ravel() for each in (tails, bounded))
    columns = {name: np.empty(flat.shape[1]) for name in MEASURES}
    for first in range(0, flat.shape[1], TOGETHER):
        part = slice(first, first + TOGETHER)
        for name, values in _measure(flat[:, part], interval, known[part], ends[part]).items():
            columns[name][part] = values
    return columns


def _measure(draws: Array, interval: Interval, tails: Array, bounded: NDArray[np.bool_]) -> dict[str, Array]:
    """`measure` of a few columns, which are copied to lie one after the other in memory."""
    values = np.empty(draws.shape[::-1])
    for row in range(0, len(draws), ROWS):
        values[:, row : row + ROWS] = draws[row : row + ROWS].T
    mean, sd = np.empty(len(values)), np.empty(len(values))
    run(SET_MOMENTS, values, mean, sd)
    values.sort(axis=1)
    ordered = values.T
    lower, upper = interval.of_ordered(ordered)
    shapes = np.full(len(values), -np.inf)
    if not bounded.all():
        shapes = np.where(bounded, shapes, np.fmax(tail_shapes(ordered), tails))
    no_mean, no_sd = unknown_moments(shapes, len(draws))
    return {
        "mean": np.where(no_mean, np.nan, mean),
        "sd": np.where(no_sd, np.nan, sd),
        "lower": lower,
        "upper": upper,
        "median": _quantile(ordered, 0.5),
        "pareto_k": np.where(no_sd, shapes, np.nan),
    }


def when_needed[T: Mapping[str, Any] | pd.DataFrame](columns: T) -> T:
    """Columns, or a table, without median and pareto_k where every mean and sd is known."""
    if not np.isnan(np.asarray(columns["pareto_k"], dtype=float)).all():
        return columns
    if isinstance(columns, pd.DataFrame):
        return columns.drop(columns=["median", "pareto_k"])
    return {name: values for name, values in columns.items() if name not in ("median", "pareto_k")}  # type: ignore[return-value]


def centre(table: pd.DataFrame, mean: str = "mean") -> pd.Series:
    """What a picture shows of each row: the mean, and where there is none that can be told the median."""
    return table[mean].fillna(table["median"]) if "median" in table else table[mean]


def labelled(table: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    """The table with the interval it was made with in its attrs."""
    table.attrs["interval"] = str(interval)
    return table
