"""Predictions along two predictors at once: contours of the posterior mean, over the data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hierbayes.answers.draws import Draws
from hierbayes.answers.effects import is_numeric
from hierbayes.answers.grids import Grid, bind_grid, conditional_effects, make_grid
from hierbayes.answers.predict import Request, categories_of
from hierbayes.errors import DataError
from hierbayes.plots.basics import points, response_words, set_text
from hierbayes.spec import ModelSpec

INK = "#222222"  # rims of points, which stand out on every colour of the scale
SIDE = 40  # values along each predictor
CONTOURS = 12


def surface_grid(
    spec: ModelSpec, data: pd.DataFrame, variable: str, by: str | None, at: Mapping[str, Any] | None
) -> Grid:
    """Rows over the ranges of two numeric predictors, the second slowest; others are held as in `make_grid`.

    Raises
    ------
    DataError
        For one predictor alone, one that isn't a number, or another held at several values.
    """
    names = make_grid(spec, data, variable, by, at, 2).columns
    if len(names) < 2:
        raise DataError(
            f"a surface is over two predictors: plot_conditional_effects({variable!r}, by=…, surface=True)"
        )
    for name in names[:2]:
        if not is_numeric(data[name]):
            raise DataError(
                f"a surface is over two numbers, and {name!r} is categorical; its levels are curves"
            )
    ranges = {name: np.linspace(data[name].min(), data[name].max(), SIDE) for name in names[:2]}
    grid = make_grid(spec, data, names[0], names[1], {**(at or {}), **ranges})
    if len(grid.rows) != SIDE**2:
        raise DataError(
            f"a surface is drawn at one value of {', '.join(map(repr, names[2:]))}; hold it at one by at="
        )
    return grid


def draw_surface(
    ax: Axes, spec: ModelSpec, data: pd.DataFrame, draws: Draws, grid: Grid, request: Request, show_data: bool
) -> None:
    """Contours of the expected response, and where the training rows lie.

    Raises
    ------
    DataError
        For categories, whose probabilities are a surface each.
    """
    if categories_of(spec, request):
        raise DataError("a surface is of one number; of categories take the expected score, kind='score'")
    first, second = grid.columns[:2]
    found = conditional_effects(spec, draws, grid, bind_grid(spec, grid, request), request)
    mean = found.values.mean(axis=0).reshape(SIDE, SIDE)
    sides = [np.unique(grid.rows[name].to_numpy(dtype=np.float64)) for name in (first, second)]
    filled = ax.contourf(*sides, mean.T, levels=CONTOURS, cmap="cividis")
    words = response_words(spec, request.kind == "score")
    ax.figure.colorbar(filled, ax=ax, shrink=0.85).set_label(words, parse_math=False)
    if show_data:
        edge = {"markeredgecolor": INK, "markeredgewidth": 0.4}
        ax.plot(
            data[first], data[second], **(points(len(data), "white") | edge), zorder=3, label="training rows"
        )
    set_text(ax.set_xlabel, first, 60)
    set_text(ax.set_ylabel, second, 50)
