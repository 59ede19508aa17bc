"""Smooths by themselves, and their slopes: a panel a curve with its band, or a surface."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hierbayes.answers.draws import flatten
from hierbayes.answers.intervals import get_interval
from hierbayes.answers.smooths import Band, CurveDraws, curves_of, directions, slopes_of
from hierbayes.data.design import prefix_of
from hierbayes.plots.basics import BLUE, GREY, PALE_BLUE, finish
from hierbayes.spec import ModelSpec

MANY = 200  # different values, beyond which some of the marks below a curve are left out
ROW = 3  # panels a row


def plot_conditional_smooths(
    spec: ModelSpec,
    data: pd.DataFrame,
    posterior: xr.Dataset,
    smooth: str | None = None,
    *,
    prob: float | None = None,
    interval: str | None = None,
    simultaneous: bool = False,
    figsize: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """The table of ``Fit.conditional_smooths`` as a picture.

    Parameters
    ----------
    spec : ModelSpec
    data : pandas.DataFrame
        The training rows, whose values are marked below each curve.
    posterior : xarray.Dataset
    smooth, prob, interval, simultaneous
        As in ``Fit.conditional_smooths``.
    figsize : tuple of float, optional
        Width and height in inches.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
        One panel a curve.

    Raises
    ------
    DataError
        Where no smooth is called so, or the model has none.
    """
    band = Band(get_interval(prob, interval), simultaneous)
    return _draw(data, list(curves_of(spec, flatten(spec, posterior), smooth)), band, figsize)


def plot_smooth_slopes(
    spec: ModelSpec,
    data: pd.DataFrame,
    posterior: xr.Dataset,
    smooth: str | None = None,
    *,
    prob: float | None = None,
    interval: str | None = None,
    simultaneous: bool = False,
    figsize: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """The table of ``Fit.smooth_slopes`` as a picture: the parameters of `plot_conditional_smooths`, a panel a slope.

    Where the band leaves 0 out the line is thick.
    """
    band = Band(get_interval(prob, interval), simultaneous)
    return _draw(data, list(slopes_of(spec, flatten(spec, posterior), smooth)), band, figsize)


def _draw(
    data: pd.DataFrame, curves: Sequence[CurveDraws], band: Band, figsize: tuple[float, float] | None
) -> NDArray[Any]:
    width = min(ROW, len(curves))
    height = -(-len(curves) // width)
    _, panels = plt.subplots(
        height, width, figsize=figsize or (4.2 * width, 3.4 * height), layout="constrained", squeeze=False
    )
    for ax, found in zip(panels.ravel(), curves, strict=False):
        name = prefix_of(found.parameter, ": ") + found.curve.whole
        name = f"slope of {name} along {found.along}" if found.along else name
        if found.grid.shape[1] == 1:
            _draw_curve(ax, found, data, band.summarise(found.values))
            ax.set_ylabel(name, parse_math=False)
        else:
            _draw_surface(ax, found)
        finish(ax, name)
    for ax in panels.ravel()[len(curves) :]:
        ax.remove()
    return panels.ravel()[: len(curves)]


def _draw_curve(
    ax: Axes, found: CurveDraws, data: pd.DataFrame, table: dict[str, NDArray[np.float64]]
) -> None:
    name = found.grid.columns[0]
    x = found.grid[name].to_numpy()
    ax.axhline(0.0, color=GREY, linewidth=0.8, linestyle=":")
    ax.fill_between(x, table["lower"], table["upper"], color=PALE_BLUE, linewidth=0)
    ax.plot(x, table["mean"], color=BLUE)
    if found.along:
        ax.plot(x, np.where(directions(table) == "", np.nan, table["mean"]), color=BLUE, linewidth=3.5)
    values = np.unique(data[name].to_numpy(dtype=np.float64))
    marks = values[np.linspace(0, len(values) - 1, min(MANY, len(values))).astype(int)]
    ax.plot(marks, np.zeros(len(marks)), "|", color=GREY, transform=ax.get_xaxis_transform(), markersize=6)
    ax.set_xlabel(name, parse_math=False)


def _draw_surface(ax: Axes, found: CurveDraws) -> None:
    """Contours of the posterior mean."""
    first, second = found.grid.columns
    sides = [np.unique(found.grid[name]) for name in (first, second)]
    shape = tuple(map(len, sides))
    mean = found.values.mean(axis=0).reshape(shape)
    reach = max(np.abs(mean).max(), 1e-300)
    filled = ax.contourf(*sides, mean.T, levels=12, cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.figure.colorbar(filled, ax=ax, shrink=0.8)
    ax.set_xlabel(first, parse_math=False)
    ax.set_ylabel(second, parse_math=False)
