"""Smooths by themselves: each curve along its predictor, without the intercept and the other terms."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws, population_coefficients
from hierbayes.answers.intervals import Interval, labelled, summarise
from hierbayes.data.curves import Curve, Curves
from hierbayes.data.design import MEAN
from hierbayes.errors import DataError
from hierbayes.formula.syntax import columns_named
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
ALONG = 100  # points of a curve
SIDE = 30  # points along each side of a surface
COLUMNS = ("parameter", "smooth", "variable", "value", "variable2", "value2")


@dataclass(frozen=True, eq=False)
class CurveDraws:
    """A curve over a grid.

    Attributes
    ----------
    parameter : str
        The parameter whose formula it is in.
    curve : Curve
    grid : pandas.DataFrame, (n, d)
        The predictors' values.
    values : ndarray, (S, n)
        The curve there in every draw, on the link's scale.
    """

    parameter: str
    curve: Curve
    grid: pd.DataFrame
    values: Array


def curves_of(
    spec: ModelSpec, draws: Draws, label: str | None = None, points: int | None = None
) -> Iterator[CurveDraws]:
    """Each smooth's curve, or the one of that label, over the range of its predictors in the training rows.

    Raises
    ------
    DataError
        Where no smooth of the model is called so, or it has none.
    """
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
        assert coefficients is not None or not layout.curves, "a smooth has coefficients"
        for smooth in layout.common.smooths:
            first = len(layout.coefficients)
            places = list(smooth.straight)
            places += range(first + smooth.penalised.start, first + smooth.penalised.stop)
            for curve in {curve.whole: curve for curve in smooth.curves.each}.values():
                if label is None or curve.whole == label:
                    grid = _grid(spec, smooth.curves, points)
                    frame = grid.assign(**_by_values(smooth.curves, curve))
                    columns = np.hstack(layout.common.smooth_rows(smooth.curves, frame))
                    assert coefficients is not None, "a smooth has coefficients"
                    yield CurveDraws(parameter, curve, grid, coefficients[:, places] @ columns.T)


def _grid(spec: ModelSpec, curves: Curves, points: int | None) -> pd.DataFrame:
    names = list(dict.fromkeys(name for part in curves.term.predictors for name in columns_named(part)))
    count = points or (ALONG if len(names) == 1 else SIDE)
    ranges = [spec.layout.ranges[name] for name in names]
    axes = [np.linspace(one.low, one.high, count) for one in ranges]
    return pd.DataFrame(list(itertools.product(*axes)), columns=names)


def _by_values(curves: Curves, curve: Curve) -> dict[str, Any]:
    """What the smooth is by: the curve's level, or 1 where it is a number."""
    if curves.term.by is None:
        return {}
    (name, *others) = columns_named(curves.term.by)
    return {name: 1.0 if curve.level is None else curve.level} | dict.fromkeys(others, 1.0)


def conditional_smooths(
    spec: ModelSpec, draws: Draws, interval: Interval, label: str | None = None, points: int | None = None
) -> pd.DataFrame:
    """One row a point of a curve: smooth, variable, value, mean, sd, lower, upper.

    A surface's rows have variable2 and value2 too; where several parameters have formulas, parameter comes first.
    """
    tables = []
    for found in curves_of(spec, draws, label, points):
        columns: dict[str, Any] = {"parameter": found.parameter, "smooth": found.curve.whole}
        for place, name in enumerate(found.grid.columns):
            columns |= {COLUMNS[2 + 2 * place]: name, COLUMNS[3 + 2 * place]: found.grid[name].to_numpy()}
        tables.append(pd.DataFrame(columns | summarise(found.values, interval)))
    table = pd.concat(tables, ignore_index=True)
    kept = [name for name in COLUMNS if name in table] + [name for name in table if name not in COLUMNS]
    table = table[kept]
    if all(parameter == MEAN for parameter in spec.layout.predictors):
        table = table.drop(columns="parameter")
    return labelled(table, interval)
