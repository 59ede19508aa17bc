"""Areas on a map, coloured by their effects and by how well these are known."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import flat_draws
from hierbayes.answers.ranks import find_factor
from hierbayes.data.design import MEAN
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError
from hierbayes.plots.basics import PALE_GREY, axis_words, set_text
from hierbayes.plots.levels import choose_effects
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import geopandas as gpd

MEANS, SDS = "PuOr_r", "cividis_r"  # told apart with every kind of colour vision
PANEL = (5.0, 3.6)  # inches


def plot_map(
    spec: ModelSpec,
    posterior: xr.Dataset,
    geometry: "gpd.GeoDataFrame",
    group: str | None = None,
    *,
    on: str | None = None,
    effects: str | Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Posterior means and standard deviations of the levels' effects, each on a map: ``Fit.plot_map`` says more.

    Parameters
    ----------
    spec : ModelSpec
    posterior : xarray.Dataset
    geometry, group, on, effects, figsize
        As in ``Fit.plot_map``.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, (effects, 2)
    """
    try:
        import geopandas
    except ImportError as error:
        raise ImportError("plot_map() needs GeoPandas: python -m pip install 'hierbayes[geo]'") from error
    if not isinstance(geometry, geopandas.GeoDataFrame):
        raise DataError(
            f"geometry is {type(geometry).__name__}; it must be a GeoDataFrame with the levels as index"
        )
    factor = find_factor(spec, group)
    places = _places(factor, geometry, on)
    chosen = factor.effects if effects is None else choose_effects(factor, effects)
    r = flat_draws(posterior, spec.factor_variables(MEAN, factor)["r"])
    size = figsize or (2 * PANEL[0], PANEL[1] * len(chosen))
    _, axes = plt.subplots(len(chosen), 2, squeeze=False, layout="constrained", figsize=size)
    for (left, right), effect in zip(axes, chosen, strict=True):
        draws = np.where(factor.has, r, np.nan)[..., factor.effects.index(effect)]
        means, sds = draws.mean(axis=0), draws.std(axis=0, ddof=1)
        most = float(np.nanmax(np.abs(means))) or 1.0
        words = axis_words(spec, effect)
        _colour(left, geometry, means, places, f"Deviation in {words}", MEANS, (-most, most))
        _colour(
            right,
            geometry,
            sds,
            places,
            "Its posterior sd",
            SDS,
            (float(np.nanmin(sds)), float(np.nanmax(sds))),
        )
    return axes


def _places(factor: Factor, geometry: "gpd.GeoDataFrame", on: str | None) -> NDArray[np.int64]:
    """The level of each shape, -1 where it is none; levels are compared as texts."""
    if on is not None and on not in geometry.columns:
        raise DataError(f"geometry has no column {on!r}; it has {', '.join(map(repr, geometry.columns))}")
    labels = geometry.index if on is None else geometry[on]
    number = {text: place for place, text in enumerate(map(str, factor.levels.labels))}
    found = np.array([number.get(str(label), -1) for label in labels], dtype=np.int64)
    missing = [text for text, place in number.items() if place not in set(found.tolist())]
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (", …" if len(missing) > 5 else "")
        where = "as index; on= names a column that has them" if on is None else f"in column {on!r}"
        raise DataError(
            f"geometry has no shape for {shown} of {factor.name!r}; it must have the levels {where}"
        )
    return found


def _colour(
    ax: Any,
    geometry: "gpd.GeoDataFrame",
    values: NDArray[np.float64],
    places: NDArray[np.int64],
    title: str,
    colours: str,
    limits: tuple[float, float],
) -> None:
    """One map: a value (G,) a level."""
    of_shapes = np.where(places >= 0, values[places], np.nan)
    geometry.plot(
        of_shapes,
        ax=ax,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        edgecolor="white",
        linewidth=0.3,
        legend=True,
        legend_kwds={"shrink": 0.7},
        missing_kwds={"color": PALE_GREY},
    )
    set_text(ax.set_title, title, 46)
    ax.set_axis_off()
