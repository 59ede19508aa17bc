"""Predictions along a predictor, the others held: a grid with expected and predictive intervals."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hierbayes.answers.draws import Draws
from hierbayes.answers.effects import (
    as_predictors,
    is_indicator,
    is_numeric,
    levels_of,
    predictor_columns,
)
from hierbayes.answers.intervals import get_interval, labelled, summarise
from hierbayes.answers.predict import Request, as_scores, categories_of, choose_groups, predict_chunks
from hierbayes.answers.quantities import Quantities, beside, by_category
from hierbayes.answers.series import each_alone
from hierbayes.data.design import Design
from hierbayes.data.tables import with_columns
from hierbayes.errors import DataError
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

RESOLUTION = 100  # points of a numeric predictor


@dataclass(frozen=True, eq=False)
class Grid:
    """Rows that differ in a few columns.

    Attributes
    ----------
    rows : pandas.DataFrame
        With every column that predictions read; grouping columns that were not given are missing.
    columns : tuple of str
        Those that differ: the predictor first, then the one that the curves differ by, then those of `at`.
    held : mapping of str to object
        At which value every other predictor, offset and number of trials is.
    """

    rows: pd.DataFrame
    columns: tuple[str, ...]
    held: Mapping[str, Any]

    @property
    def labels(self) -> pd.DataFrame:
        """The columns that differ."""
        return self.rows[list(self.columns)]


def make_grid(
    spec: ModelSpec,
    data: pd.DataFrame,
    variable: str,
    by: str | None = None,
    at: Mapping[str, Any] | None = None,
    resolution: int = RESOLUTION,
) -> Grid:
    """The rows of a conditional effect.

    Parameters
    ----------
    data : pandas.DataFrame
        The training rows.
    variable : str
        A predictor: `resolution` values over its range, or its levels. ``"x:z"`` is ``"x"`` by ``"z"``.
    by : str, optional
        Another predictor, at its mean and one standard deviation either side, at 0 and 1 where it is one of these in
        every row, or at its levels.
    at : mapping of str to values, optional
        Columns held at these values, every combination. Other numbers are at their mean, categories at their first
        level, and grouping factors at no level.

    Raises
    ------
    DataError
        For a name that is no column of the model, or a column named twice.
    """
    data = as_predictors(spec, data)
    predictors = predictor_columns(spec, Request("linear", choose_groups(spec, "all"), "mean", 0))
    if by is None and variable not in predictors and variable.count(":") == 1:
        variable, by = (part.strip() for part in variable.split(":"))
    grouping = tuple(
        c for layout in spec.layout.predictors.values() for f in layout.factors for c in f.level_columns
    )
    held = held_values(at)
    axes: dict[str, list[Any]] = {}
    for name in (variable, by):
        if name is None:
            continue
        if name not in predictors or name in axes:
            have = ", ".join(map(repr, predictors)) or "none"
            what = "stands twice" if name in axes else "is no predictor of this model"
            raise DataError(f"{name!r} {what}; its predictors are {have}")
        axes[name] = held.pop(name) if name in held else _values(data[name], resolution, not axes)
    columns = spec.layout.columns
    unknown = [name for name in held if name not in columns]
    if unknown:
        raise DataError(
            f"at names {unknown[0]!r}, which is no column of this model; it has {', '.join(columns)}"
        )
    axes |= held
    rows = pd.DataFrame(list(itertools.product(*axes.values())), columns=list(axes))
    trials = set(spec.layout.response.trial_columns)
    errors = [name for made_of in spec.layout.unstated.values() for name in made_of]
    averaged = [*_read(spec), *errors]
    reading = [*dict.fromkeys([*averaged, *grouping, *trials])]
    others: dict[str, Any] = {}
    for name in reading:
        if name in axes:
            continue
        if name in trials and name not in predictors:
            others[name] = float(np.round(data[name].median()))
        elif name in averaged:
            others[name] = float(data[name].mean()) if is_numeric(data[name]) else levels_of(data[name])[0]
        else:
            rows[name] = None
    return Grid(with_columns(rows, others), tuple(axes), others)


def bind_grid(spec: ModelSpec, grid: Grid, request: Request) -> Design:
    """The grid's rows as arrays, each a series of its own; a number beyond the training rows is reported."""
    return each_alone(spec.layout.bind_new(grid.rows, request.groups, request.unknown, slack=0.0), spec)


def conditional_effects(
    spec: ModelSpec, draws: Draws, grid: Grid, design: Design, request: Request
) -> Quantities:
    """The prediction in every row of the grid, in every draw; `design` is the grid as `bind_grid` gives it."""
    levels = categories_of(spec, request)
    values = np.empty((len(draws), len(design), max(len(levels), 1)))
    for part, piece in predict_chunks(spec, draws, design, request):
        values[:, part] = piece if levels else as_scores(spec, request, piece)[..., None]
    if request.kind == "response" and design.trials is not None:
        values /= design.trials[:, None]
    flat = values.reshape(len(draws), -1)
    return Quantities(
        by_category(grid.labels, levels), flat, draws.chains, request.kind, bounded=bool(levels)
    )


@dataclass(frozen=True, eq=False)
class ConditionalEffects:
    """Predictions along a grid, and for means the bounds of a new response.

    A new response out of trials is a share of them, and one that is a category has no bounds. Either way
    ``attrs["held"]`` has the values of the other columns.
    """

    spec: ModelSpec
    posterior: Draws
    grid: Grid
    request: Request

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """The grid's columns, mean, sd, lower, upper, and predictive_lower, predictive_upper of a new response."""
        design = bind_grid(self.spec, self.grid, self.request)
        table = conditional_effects(self.spec, self.posterior, self.grid, design, self.request).table(
            prob, interval
        )
        expected = self.request.kind == "mean" and self.request.parameter is None
        if expected and not categories_of(self.spec, self.request):
            anew = replace(self.request, kind="response")
            simulated = conditional_effects(self.spec, self.posterior, self.grid, design, anew)
            bounds = summarise(simulated.values, get_interval(prob, interval))
            table = beside(table, {f"predictive_{bound}": bounds[bound] for bound in ("lower", "upper")})
        table.attrs["held"] = dict(self.grid.held)
        return labelled(table, get_interval(prob, interval))

    def draws(self) -> "xr.DataArray":
        """Every draw of the prediction in every row of the grid: (chain, draw, quantity)."""
        design = bind_grid(self.spec, self.grid, self.request)
        found = conditional_effects(self.spec, self.posterior, self.grid, design, self.request).draws()
        found.attrs["held"] = dict(self.grid.held)
        return found


def _read(spec: ModelSpec) -> tuple[str, ...]:
    """Every predictor and offset column."""
    return spec.layout.columns_for(choose_groups(spec, "all"))[0]


def held_values(at: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """The values that columns are held at, each a list."""
    if at is not None and not isinstance(at, Mapping):
        raise DataError(f"at must be a mapping of columns to values, such as {{'x': [0, 1]}}; got {at!r}")
    return {
        name: [values] if np.isscalar(values) or values is None else list(values)
        for name, values in (at or {}).items()
    }


def _values(column: pd.Series, resolution: int, first: bool) -> list[Any]:
    if not is_numeric(column):
        return levels_of(column)
    if first:
        return list(np.linspace(column.min(), column.max(), resolution))
    if is_indicator(column):
        return [0, 1]
    mean, sd = column.mean(), column.std()
    return [mean - sd, mean, mean + sd] if sd > 0 else [mean]
