"""Predictions along a predictor with their ribbons, over the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hierbayes.answers.draws import flatten
from hierbayes.answers.effects import as_predictors, is_numeric
from hierbayes.answers.grids import RESOLUTION, ConditionalEffects, Grid, make_grid
from hierbayes.answers.intervals import MEASURES, centre, get_interval
from hierbayes.answers.predict import categories_of, make_request
from hierbayes.criticism.survival import censoring
from hierbayes.data.design import Design, distinct, offset_of
from hierbayes.data.tables import with_columns
from hierbayes.errors import DataError
from hierbayes.formula import names_in
from hierbayes.plots.basics import (
    GREY,
    OKABE_ITO,
    PALE_GREY,
    draw_responses,
    head,
    new_axes,
    points,
    response_words,
    scored_shares,
    set_text,
    wrap,
)
from hierbayes.plots.categories import category_colours, draw_curves, draw_stacked
from hierbayes.plots.surfaces import draw_surface, surface_grid
from hierbayes.schema import CATEGORY
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
SHOWN = ("expected", "predictive", "data")
NAMED = 6  # columns whose held values the title says
BANDS = {"predictive": "a new response", "expected": "the mean"}
PREDICTIVE = ("predictive_lower", "predictive_upper")
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
    kind: str = "mean",
    stacked: bool = False,
    surface: bool = False,
    groups: Any = "none",
    new_levels: Any = "sample",
    show: str | tuple[str, ...] = SHOWN,
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
    show : str or tuple of {"expected", "predictive", "data"}
        Beside the curve: the band of the expected response, that of a new response, and the training rows; a new
        response's band is drawn for a single curve, and where there are more than the two responses 0 and 1. Where an
        offset is held, as an exposure is, the training responses are carried to it: with a log link multiplied by the
        ratio, else left out where the curves differ by it.
    kind : {"mean", "score"}
        Of categories their probabilities, a curve each, or the expected score.
    stacked : bool
        Whether the categories' probabilities are stacked, without bands, rather than curves.
    surface : bool
        Whether two numbers span a surface, contours of the posterior mean with the training rows as points, rather
        than curves at three values of the second.
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
        For a name that is no column of the model, more than eight curves, or an unknown word in `show`.
    """
    show = _check_show(show)
    data = as_predictors(spec, data)
    if kind not in ("mean", "score"):
        raise ValueError(f"kind must be mean or score; got {kind!r}")
    request = make_request(spec, kind, groups, new_levels, seed)
    if surface:
        grid = surface_grid(spec, data, variable, by, at)
        ax = ax or new_axes(figsize or (6.4, 4.6))
        draw_surface(ax, spec, data, flatten(spec, posterior), grid, request, "data" in show)
        notes = ["posterior mean", *([_held_words(grid)] if grid.held else [])]
        heading = f"{response_words(spec, kind == 'score')} over {grid.columns[0]} and {grid.columns[1]}"
        head(ax, heading, "\n".join(wrap(words, 70) for words in notes), columns=1)
        return ax
    levels = categories_of(spec, request)
    if stacked and not levels:
        raise DataError("stacked=True is for the probabilities of categories; this shows one number")
    grid = make_grid(spec, data, variable, by, at, resolution)
    band = get_interval(prob, interval)
    table = ConditionalEffects(spec, flatten(spec, posterior), grid, request).table(prob, interval)
    # by place: a predictor may be called "mean"
    labels, numbers = table[list(grid.columns)], table.drop(columns=list(grid.columns))
    front, back = ([CATEGORY] if levels else []), (PREDICTIVE if kind == "mean" and not levels else ())
    own = MEASURES[: numbers.shape[1] - len(front) - len(back)]  # median and pareto_k only where needed
    numbers = numbers.set_axis([*front, *own, *back], axis="columns")
    curves = _split(labels, grid.columns[1:])
    along = _Along.of(data[grid.columns[0]], labels)
    notes = [_held_words(grid)] if grid.held else []
    ax = ax or new_axes(figsize or (6.4, 4.6))
    if levels:
        _draw_categories(ax, spec, along, curves, numbers, stacked)
        notes.append("posterior means" if stacked else f"{band} of each probability")
        _finish(ax, spec, along, kind)
        ax.set_ylim(0, 1 if stacked else None)
        head(
            ax,
            f"{response_words(spec)} along {along.name}",
            "\n".join(wrap(words, 70) for words in notes),
            columns=5,
        )
        return ax
    if kind == "score":
        show = tuple(name for name in show if name != "predictive")
    if "predictive" in show and (len(curves) > 1 or spec.family.support.two_levels):
        if show != SHOWN:  # then it was asked for
            notes.append("a new response's band is drawn for a single curve of more than two responses")
        show = tuple(name for name in show if name != "predictive")
    if "data" in show:
        y, words = _at_held_offset(spec, design, data, grid)
        if y is None:
            notes.append(words)
        else:
            _draw_data(ax, along, data, y, censoring(design), words)
    for place, (words, part) in enumerate(curves):
        bands = [name for name in BANDS if name in show]
        beside = 0.12 * (place - (len(curves) - 1) / 2)
        x, here = along.at(part, beside), numbers.loc[part.index]
        _draw_curve(ax, x, here, words, OKABE_ITO[place], bands, str(band), along.numeric)
    _finish(ax, spec, along, kind)
    if "expected" in show and len(curves) > 1:
        notes.append(f"{band} of the mean")
    note = "\n".join(wrap(words, 70) for words in notes)
    head(
        ax,
        f"{response_words(spec, kind == 'score')} along {along.name}",
        note,
        columns=2 if len(curves) == 1 else 3,
    )
    return ax


def _draw_categories(
    ax: Axes,
    spec: ModelSpec,
    along: "_Along",
    curves: Sequence[tuple[str, pd.DataFrame]],
    numbers: pd.DataFrame,
    stacked: bool,
) -> None:
    """The probabilities of all categories, for each combination of what else differs."""
    levels = spec.layout.response.levels or ()
    if stacked and len(curves) > 1:
        raise DataError(f"stacked=True draws one combination, not {len(curves)}; hold the others by at=")
    colours = category_colours(len(levels), spec.family.support.ordered)
    for variant, (words, part) in enumerate(curves):
        x, here = along.at(part.iloc[:: len(levels)]), numbers.loc[part.index]
        labels = ["_" if variant else str(level) for level in levels]
        if stacked:
            draw_stacked(ax, x, here, colours, labels, along.numeric)
        else:
            draw_curves(ax, x, here, colours, labels, words, variant, along.numeric)


def _check_show(show: str | Sequence[str]) -> tuple[str, ...]:
    chosen = (show,) if isinstance(show, str) else tuple(show)
    unknown = [name for name in chosen if name not in SHOWN]
    if unknown:
        raise DataError(f"show names {unknown[0]!r}; beside the curve it takes {', '.join(SHOWN)}")
    return chosen


def _held_words(grid: Grid) -> str:
    """At which values the other columns are: ``"at age = 41.2, arm = control"``."""
    texts = [_curve_words([name], [value]) for name, value in grid.held.items()]
    more = f", … ({len(texts)} in all)" if len(texts) > NAMED else ""
    return f"at {', '.join(texts[:NAMED])}{more}"


def _at_held_offset(
    spec: ModelSpec, design: Design, data: pd.DataFrame, grid: Grid
) -> tuple[Array | None, str]:
    """The training responses as they would be at the curve's offset, such as its exposure, and words for them.

    None, and why, where the curve's offset cannot be given to them.
    """
    y, offsets = scored_shares(spec, design), spec.layout.main.offsets
    names = distinct(names_in(encoding.text) for encoding in offsets)
    held = {name: grid.rows[name].unique() for name in names if name != grid.columns[0]}
    if not held:
        return y, "data"
    shown = ", ".join(held)
    if any(len(values) > 1 for values in held.values()):
        return None, f"no data are drawn: the curves differ in {shown}, and so do the rows"
    values = {name: only[0] for name, only in held.items()}
    apart = offset_of(offsets, with_columns(data, values)) - offset_of(offsets, data)
    if np.allclose(apart, 0):
        return y, "data"
    words = f"data carried to {_curve_words(list(values), list(values.values()))}"
    if spec.family.mean_is_exponential(spec.link_name):
        return y * np.exp(apart), words
    if spec.family.mean_is_predictor(spec.link_name):
        return y + apart, words
    return None, f"no data are drawn: the curve is at one {shown}, and the rows are not"


@dataclass(frozen=True)
class _Along:
    """The predictor along the axis: a number at its value, a category at its place, the places in order."""

    name: str
    places: Mapping[Any, int]

    @classmethod
    def of(cls, column: pd.Series, table: pd.DataFrame) -> "_Along":
        name = str(column.name)
        values = [] if is_numeric(column) else dict.fromkeys(table[name])
        return cls(name, {value: place for place, value in enumerate(values)})

    @property
    def numeric(self) -> bool:
        return not self.places

    def at(self, rows: pd.DataFrame, beside: float | Array = 0.0) -> Array:
        """Where rows stand: (n,); those of one category side by side."""
        if self.numeric:
            return rows[self.name].to_numpy(dtype=np.float64)
        return rows[self.name].map(self.places).to_numpy(dtype=np.float64) + beside


def _split(table: pd.DataFrame, others: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Each curve's words, none where it is the only one, and its rows."""
    differing = [name for name in others if table[name].nunique() > 1]
    if not differing:
        return [("", table)]
    curves = [
        (_curve_words(differing, values), part) for values, part in table.groupby(differing, sort=False)
    ]
    if len(curves) > len(OKABE_ITO):
        raise DataError(
            f"{len(curves)} curves cannot be distinguished; hold some of {', '.join(differing)} by at="
        )
    return curves


def _draw_data(ax: Axes, along: _Along, data: pd.DataFrame, y: Array, status: Array, words: str) -> None:
    beside = 0.24 * (np.random.default_rng(0).uniform(size=len(data)) - 0.5)
    style = points(len(data), GREY) | {"zorder": 1}
    draw_responses(ax, along.at(data, beside), y, status, np.unique(status).tolist(), words, style)


def _draw_curve(
    ax: Axes,
    x: Array,
    part: pd.DataFrame,
    words: str,
    colour: str,
    bands: Sequence[str],
    interval: str,
    line: bool,
) -> None:
    """Expected responses with their bands, a line or a point a category."""
    for name in bands:
        label = f"{interval} of {BANDS[name]}" if not words else "_"  # what begins so is not in the legend
        draw = _draw_ribbon if line else _draw_bars
        draw(ax, x, part, name, colour, label)
    style: dict[str, Any] = {"color": colour, "label": words or "expected", "zorder": 3}
    style |= {"linewidth": 1.8} if line else {**MARKER, "linestyle": "none", "markersize": 7}
    ax.plot(x, centre(part), **style)


def _finish(ax: Axes, spec: ModelSpec, along: _Along, kind: str) -> None:
    """Labels and frame."""
    if not along.numeric:
        names = [str(value) for value in along.places]
        ax.set_xticks(list(along.places.values()), labels=names, parse_math=False)
        ax.set_xlim(-0.6, len(names) - 0.4)
    set_text(ax.set_xlabel, along.name, 60)
    set_text(ax.set_ylabel, response_words(spec, kind == "score"), 50)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=PALE_GREY, linewidth=0.6)
    ax.set_axisbelow(True)


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
