"""Smooths by themselves: each curve along its predictor, and its slope, without the intercept and the other terms."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws, population_coefficients
from hierbayes.answers.intervals import Interval, summarise
from hierbayes.data.curves import Curve, Curves
from hierbayes.data.encoding import Encoding
from hierbayes.data.ranges import Range
from hierbayes.errors import DataError
from hierbayes.formula.syntax import columns_named
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
ALONG = 100  # points of a curve
SIDE = 30  # points along each side of a surface
STEP = 1e-5  # of a predictor's range, to either side of the point that a slope is at


@dataclass(frozen=True, eq=False)
class CurveDraws:
    """A curve, or its slope, over a grid.

    Attributes
    ----------
    parameter : str
        The parameter whose formula it is in.
    curve : Curve
    grid : pandas.DataFrame, (n, d)
        The predictors' values.
    values : ndarray, (S, n)
        The curve there in every draw, on the link's scale.
    along : str
        Of a slope the predictor that it is per unit of; "" of a curve.
    """

    parameter: str
    curve: Curve
    grid: pd.DataFrame
    values: Array
    along: str = ""


def curves_of(
    spec: ModelSpec, draws: Draws, label: str | None = None, points: int | None = None
) -> Iterator[CurveDraws]:
    """Each smooth's curve, or the one of that label, over the range of its predictors in the training rows.

    Raises
    ------
    DataError
        Where no smooth of the model is called so, or it has none.
    """
    for function in _functions(spec, draws, label):
        grid = _grid(function.axes, points)
        yield CurveDraws(function.parameter, function.curve, grid, function.at(grid))


def slopes_of(
    spec: ModelSpec, draws: Draws, label: str | None = None, points: int | None = None
) -> Iterator[CurveDraws]:
    """The derivative of each smooth's curve along each of its predictors, where `curves_of` has the curve.

    It is the quotient of differences to either side; at an end of the predictor's range, to the one side that has data.
    """
    for function in _functions(spec, draws, label):
        grid = _grid(function.axes, points)
        for along, axis in function.axes.items():
            step = STEP * (axis.high - axis.low)
            before, after = (grid[along] + side * step for side in (-1, 1))
            before, after = before.clip(lower=axis.low), after.clip(upper=axis.high)
            columns = function.columns(grid.assign(**{along: after}))
            columns -= function.columns(grid.assign(**{along: before}))
            slope = columns / (after - before).to_numpy()[:, None]
            yield CurveDraws(function.parameter, function.curve, grid, function.coefficients @ slope.T, along)


@dataclass(frozen=True, eq=False)
class _Function:
    """A curve as a function of its predictors, in every draw."""

    parameter: str
    curve: Curve
    curves: Curves
    common: Encoding
    axes: Mapping[str, Range]
    coefficients: Array  # (S, k)

    def columns(self, grid: pd.DataFrame) -> Array:
        """(n, k)."""
        frame = grid.assign(**_by_values(self.curves, self.curve))
        return np.hstack(self.common.smooth_rows(self.curves, frame))

    def at(self, grid: pd.DataFrame) -> Array:
        """(S, n)."""
        values: Array = self.coefficients @ self.columns(grid).T
        return values


def _functions(spec: ModelSpec, draws: Draws, label: str | None) -> Iterator[_Function]:
    """Each smooth's curve, or the one of that label."""
    labels = [curve.whole for layout in spec.layout.predictors.values() for curve in layout.curves]
    if not labels or (label is not None and label not in labels):
        what = (
            "the model has no smooths; s(x) in a formula is one"
            if not labels
            else (f"{label!r} is no smooth of this model; it has {', '.join(dict.fromkeys(labels))}")
        )
        raise DataError(what)
    for parameter, layout in spec.layout.predictors.items():
        coefficients = population_coefficients(spec, parameter, draws.values)
        for smooth in layout.common.smooths:
            assert coefficients is not None, "a smooth has coefficients"
            first = len(layout.coefficients)
            places = list(smooth.straight)
            places += range(first + smooth.penalised.start, first + smooth.penalised.stop)
            names = dict.fromkeys(
                name for part in smooth.curves.term.predictors for name in columns_named(part)
            )
            axes = {name: spec.layout.ranges[name] for name in names}
            for curve in {curve.whole: curve for curve in smooth.curves.each}.values():
                if label is None or curve.whole == label:
                    own = coefficients[:, places]
                    yield _Function(parameter, curve, smooth.curves, layout.common, axes, own)


def _grid(axes: Mapping[str, Range], points: int | None) -> pd.DataFrame:
    count = points or (ALONG if len(axes) == 1 else SIDE)
    values = [np.linspace(axis.low, axis.high, count) for axis in axes.values()]
    return pd.DataFrame(list(itertools.product(*values)), columns=list(axes))


def _by_values(curves: Curves, curve: Curve) -> dict[str, Any]:
    """What the smooth is by: the curve's level, or 1 where it is a number."""
    if curves.term.by is None:
        return {}
    (name, *others) = columns_named(curves.term.by)
    return {name: 1.0 if curve.level is None else curve.level} | dict.fromkeys(others, 1.0)


@dataclass(frozen=True)
class Band:
    """What a band about a curve holds with the interval's probability.

    Attributes
    ----------
    interval : Interval
        Where the band holds the curve point by point.
    simultaneous : bool
        Whether it holds the whole curve, all its points at once: then it is as many standard deviations wide at every
        point, so many that this share of the draws lies within all along (Ruppert, Wand & Carroll 2003,
        Semiparametric Regression, section 6.5).
    """

    interval: Interval
    simultaneous: bool = False

    def __str__(self) -> str:
        return f"{100 * self.interval.prob:g}% simultaneous" if self.simultaneous else str(self.interval)

    def summarise(self, values: Array) -> dict[str, Any]:
        """Columns mean, sd, lower, upper over draws of a curve (S, n)."""
        columns = summarise(values, self.interval)
        if self.simultaneous:
            mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1)
            apart = np.abs(values - mean) / np.where(sd > 0, sd, np.inf)
            width = np.quantile(apart.max(axis=1), self.interval.prob) * sd
            columns |= {"lower": mean - width, "upper": mean + width}
        return columns


def conditional_smooths(
    spec: ModelSpec, draws: Draws, band: Band, label: str | None = None, points: int | None = None
) -> pd.DataFrame:
    """One row a point of a curve: smooth, variable, value, mean, sd, lower, upper.

    A surface's rows have variable2 and value2 too; where several parameters have formulas, parameter comes first.
    """
    return _table(spec, curves_of(spec, draws, label, points), band)


def smooth_slopes(
    spec: ModelSpec, draws: Draws, band: Band, label: str | None = None, points: int | None = None
) -> pd.DataFrame:
    """As `conditional_smooths`, of the slopes: along which predictor, and the direction where the band tells it."""
    return _table(spec, slopes_of(spec, draws, label, points), band)


def directions(columns: Mapping[str, Any]) -> NDArray[np.object_]:
    """``"up"`` where a slope's band is above 0, ``"down"`` where it is below, ``""`` where it holds 0."""
    lower, upper = (np.asarray(columns[name]) for name in ("lower", "upper"))
    return np.select([lower > 0, upper < 0], ["up", "down"], "").astype(object)


def _table(spec: ModelSpec, curves: Iterable[CurveDraws], band: Band) -> pd.DataFrame:
    tables, labels = [], ["parameter", "smooth", "along"]
    for found in curves:
        columns: dict[str, Any] = {"parameter": found.parameter, "smooth": found.curve.whole}
        for place, name in enumerate(found.grid.columns, start=1):
            number = place if place > 1 else ""
            columns |= {f"variable{number}": name, f"value{number}": found.grid[name].to_numpy()}
        labels += [name for name in columns if name not in labels]
        columns |= band.summarise(found.values)
        if found.along:
            columns |= {"along": found.along, "direction": directions(columns)}
        tables.append(pd.DataFrame(columns))
    table = pd.concat(tables, ignore_index=True)
    kept = [name for name in labels if name in table]
    table = table[[*kept, *(name for name in table if name not in labels)]]
    if spec.layout.alone:
        table = table.drop(columns="parameter")
    if "along" in table and "variable2" not in table:  # of one predictor, which is the variable
        table = table.drop(columns="along")
    table.attrs["interval"] = str(band)
    return table
