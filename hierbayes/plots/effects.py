"""Predictions along a predictor with their ribbons, over the data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from hierbayes.answers.draws import flatten
from hierbayes.answers.effects import as_predictors, is_numeric
from hierbayes.answers.grids import RESOLUTION, conditional_table, make_grid
from hierbayes.answers.intervals import get_interval
from hierbayes.answers.predict import make_request
from hierbayes.data.design import Design
from hierbayes.errors import DataError
from hierbayes.plots.basics import (
    CROWD,
    GREY,
    OKABE_ITO,
    PALE_GREY,
    head,
    new_axes,
    response_words,
    set_text,
    shares,
)
from hierbayes.spec import ModelSpec

BANDS = {"predictive": "a new response", "expected": "the mean"}
MARKER = {"marker": "o", "markeredgecolor": "white"}


def plot_conditional_effects(
    spec: ModelSpec,
    design: Design,
    data: pd.DataFrame,
    posterior: xr.Dataset,
    variable: str,
    by: str | None = None,
    *,
    at: Mapping[str, Any] | None = None,
    groups: Any = "none",
    new_levels: Any = "sample",
    show: tuple[str, ...] = ("expected", "predictive", "data"),
    prob: float | None = None,
    interval: str | None = None,
    seed: int = 0,
    resolution: int = RESOLUTION,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """The table of ``Fit.conditional_effects`` as a picture.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    data : pandas.DataFrame
        The same as a table.
    posterior : xarray.Dataset
    variable, by, at, groups, new_levels, prob, interval, seed, resolution
        As in ``Fit.conditional_effects``; up to eight curves.
    show : tuple of {"expected", "predictive", "data"}
        The band of the expected response, that of a new response, and the training rows; a new response's band is
        drawn for a single curve, and where there are more than the two responses 0 and 1.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    figsize : tuple of float, optional
        Width and height of the new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        For a name that is no column of the model, or more than eight curves.
    """
    data = as_predictors(spec, data)
    request = make_request(spec, "mean", groups, new_levels, seed)
    grid = make_grid(spec, data, variable, by, at, resolution)
    band = get_interval(prob, interval)
    table = conditional_table(spec, flatten(spec, posterior), grid, request, band)
    first, *others = grid.columns
    differing = [name for name in others if table[name].nunique() > 1]
    curves = list(table.groupby(differing, sort=False)) if differing else [((), table)]
    if len(curves) > len(OKABE_ITO):
        raise DataError(
            f"{len(curves)} curves cannot be told apart; hold some of {', '.join(differing)} by at="
        )
    if spec.family.support.two_levels:
        show = tuple(name for name in show if name != "predictive")
    ax = ax or new_axes(figsize or (6.4, 4.6))
    numeric = is_numeric(data[first])
    places = {value: place for place, value in enumerate(dict.fromkeys(table[first]))}
    if "data" in show:
        x = (
            data[first].to_numpy(dtype=np.float64)
            if numeric
            else data[first].map(places).to_numpy(dtype=np.float64)
        )
        if not numeric:  # points of one category side by side
            x = x + 0.24 * (np.random.default_rng(0).uniform(size=len(x)) - 0.5)
        crowd = len(x) >= CROWD
        marks: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": GREY, "markeredgewidth": 0}
        size, alpha = (2.0, 0.2) if crowd else (3.5, 0.5)
        ax.plot(
            x, shares(design), **marks, markersize=size, alpha=alpha, zorder=1, rasterized=crowd, label="data"
        )
    for place, ((values, part), colour) in enumerate(zip(curves, OKABE_ITO, strict=False)):
        words = _curve_words(differing, values)
        bands = [name for name in BANDS if name in show and (name == "expected" or not words)]
        dodge = 0.12 * (place - (len(curves) - 1) / 2)
        at_x = part[first] if numeric else part[first].map(places).to_numpy(dtype=np.float64) + dodge
        for name in bands:
            label = f"{band} of {BANDS[name]}" if not words else "_"  # what begins so is not in the legend
            draw = _draw_ribbon if numeric else _draw_bars
            draw(ax, at_x, part, name, colour, label)
        style: dict[str, Any] = {"color": colour, "label": words or "expected", "zorder": 3}
        style |= {"linewidth": 1.8} if numeric else {**MARKER, "linestyle": "none", "markersize": 7}
        ax.plot(at_x, part["mean"], **style)
    if not numeric:
        ax.set_xticks(list(places.values()), labels=[str(value) for value in places], parse_math=False)
        ax.set_xlim(-0.6, len(places) - 0.4)
    set_text(ax.set_xlabel, first, 60)
    set_text(ax.set_ylabel, response_words(spec), 50)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=PALE_GREY, linewidth=0.6)
    ax.set_axisbelow(True)
    note = f"{band} of the mean" if "expected" in show and len(curves) > 1 else ""
    head(ax, f"{response_words(spec)} along {first}", note, columns=2 if len(curves) == 1 else 3)
    return ax


def _draw_ribbon(ax: Axes, x: Any, part: pd.DataFrame, name: str, colour: str, label: str) -> None:
    alpha = 0.3 if name == "expected" else 0.12
    ax.fill_between(x, *_bounds(part, name), color=colour, alpha=alpha, linewidth=0, zorder=2, label=label)


def _draw_bars(ax: Axes, x: Any, part: pd.DataFrame, name: str, colour: str, label: str) -> None:
    width = 3.5 if name == "expected" else 1.4
    ax.vlines(x, *_bounds(part, name), color=colour, linewidth=width, zorder=2.5, label=label)


def _bounds(part: pd.DataFrame, name: str) -> tuple[Any, Any]:
    prefix = "" if name == "expected" else "predictive_"
    return part[f"{prefix}lower"].to_numpy(), part[f"{prefix}upper"].to_numpy()


def _curve_words(names: list[str], values: Any) -> str:
    shown = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(f"{name} = {value}" for name, value in zip(names, shown, strict=True))
