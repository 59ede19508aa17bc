"""Each level's line over its own data, with the population's, in small panels."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws, flatten
from hierbayes.answers.effects import as_predictors, is_numeric, levels_of, predictor_columns
from hierbayes.answers.intervals import Interval, centre, get_interval
from hierbayes.answers.predict import Request, choose_groups, predict_table
from hierbayes.answers.ranks import find_factor, level_numbers
from hierbayes.criticism.survival import censoring
from hierbayes.data.design import MEAN, Design
from hierbayes.data.factors import Factor
from hierbayes.data.levels import is_nested
from hierbayes.errors import DataError
from hierbayes.formula import names_in
from hierbayes.plots.basics import (
    BLUE,
    GREY,
    PALE_BLUE,
    PALE_GREY,
    draw_responses,
    response_words,
    scored_shares,
    set_text,
    wrap,
)
from hierbayes.schema import CHAIN_DIMS
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
POINTS = 25  # of a line
PANEL = (1.55, 1.5)  # inches
MOST_COLUMNS = 6
CROWD = 100  # from so many rows of a level on, smaller points
NAME_WIDTH = 18  # characters of a line of a panel's name


def plot_groups(
    spec: ModelSpec,
    design: Design,
    data: pd.DataFrame,
    posterior: xr.Dataset,
    group: str | None = None,
    x: str | None = None,
    *,
    levels: Sequence[Any] | None = None,
    max_levels: int = 24,
    prob: float | None = None,
    interval: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Expected responses of each level along a predictor, over the level's own data: a panel a level.

    The line is the posterior mean with the factor's effects, the band its interval, the dashed line the same without
    those effects: a level at the population's centre. Lines go over the level's own range of `x`; along a category, and
    where a level has one value alone, there are points for lines. Other predictors are
    at the level's own mean, categories at its most common value. Factors that the level lies in, as a class in a
    school, count in its line; other grouping factors count in neither.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    data : pandas.DataFrame
        The same as a table.
    posterior : xarray.Dataset
    group : str, optional
        A grouping factor of the mean's formula; the first unless given.
    x : str, optional
        A predictor; the first number among those whose effects vary by the factor, else among all, else the first
        category in that order, unless given.
    levels : list, optional
        The levels to show, in that order.
    max_levels : int
        Unless `levels` are given: of more levels the lowest and the highest are shown, half each, by the posterior
        mean of their effect of `x`, or of the first effect where `x` does not vary; the title says so.
    prob, interval : float, str, optional
        Probability and kind of the band; from ``arviz.rcParams`` unless given.
    figsize : tuple of float, optional
        Width and height in inches; made to fit the panels unless given.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, (panels,)

    Raises
    ------
    DataError
        For an unknown factor, level or predictor, or a model without predictors.
    """
    factor = find_factor(spec, group)
    data = as_predictors(spec, data)
    x = _choose_x(spec, data, factor, x)
    effect = x if x in factor.bases else factor.bases[0]
    chosen, note = _choose_levels(spec, posterior, factor, effect, levels, max_levels)
    bound = design.main.factors
    codes = bound[factor.name].codes
    counting = tuple(
        name for name, other in bound.items() if len(other.memberships) == 1 and is_nested(codes, other.codes)
    )
    draws = flatten(spec, posterior)
    along = [_axis(data[x], codes == level) for level in chosen]
    own_x = _places(data[x])
    have = predictor_columns(spec, Request("linear", choose_groups(spec, "all"), "mean", 0))
    trials = [name for name in spec.layout.response.trial_columns if name not in have]
    # means of trials are no trials
    rows = _lines(data.drop(columns=trials), codes, chosen, x, [values for values, _ in along])
    band = get_interval(prob, interval)
    known = _predicted(spec, draws, rows, counting, band)
    typical = _predicted(spec, draws, rows, (), band)
    y = scored_shares(spec, design)
    status = censoring(design)
    kinds = np.unique(status).tolist()
    columns = min(len(chosen), MOST_COLUMNS)
    height = -(-len(chosen) // columns)
    size = figsize or (max(PANEL[0] * columns, 4.2) + 1.5, PANEL[1] * height + 1.0)
    figure, axes = plt.subplots(
        height, columns, sharex=True, sharey=True, squeeze=False, layout="constrained", figsize=size
    )
    texts = factor.levels.texts
    start = 0
    for ax, level, (values, places) in zip(axes.flat, chosen, along, strict=False):
        own, part = codes == level, slice(start, start := start + len(values))
        draw = _draw_lines if is_numeric(data[x]) and len(values) > 1 else _draw_points
        draw(ax, places, known.iloc[part], centre(typical).iloc[part], str(band))
        _finish_panel(ax, None if is_numeric(data[x]) else values)
        _draw_data(ax, own_x[own], y[own], status[own], kinds)
        ax.set_title(wrap(texts[level], NAME_WIDTH), fontsize="small", pad=3, parse_math=False)
    _leave_out(axes, len(chosen))
    title = f"{response_words(spec, score=True)} by {factor.name}" + (f": {note}" if note else "")
    _label(figure, axes[0, 0], x, response_words(spec, score=True), title)
    return np.asarray(axes.flat[: len(chosen)])


def _leave_out(axes: NDArray[Any], panels: int) -> None:
    """Hide what is behind the last panel; the lowest panel of a column carries its numbers."""
    for ax in axes.flat[panels:]:
        ax.set_visible(False)
    columns = axes.shape[1]
    for column in range(columns):
        axes[(panels - 1 - column) // columns, column].tick_params(labelbottom=True)


def _label(figure: Figure, first: Axes, x: str, y: str, title: str) -> None:
    """Labels and legend that all panels share."""
    set_text(figure.supxlabel, x, 60)
    set_text(figure.supylabel, y, 60)
    set_text(figure.suptitle, title, int(11 * figure.get_figwidth()))
    # at the side: below, it would lie on a label of the user's own
    style: dict[str, Any] = {"frameon": False, "fontsize": "small"}
    figure.legend(*first.get_legend_handles_labels(), loc="outside right upper", **style)


def _draw_data(ax: Axes, x: Array, y: Array, status: Array, kinds: Sequence[float]) -> None:
    """A level's own rows, smaller where they crowd."""
    style: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": "black", "markeredgewidth": 0}
    style |= {"markersize": 1.5 if len(x) >= CROWD else 3, "alpha": 0.6, "zorder": 2}
    draw_responses(ax, x, y, status, kinds, "data", style)


def _draw_lines(ax: Axes, x: Array, band: pd.DataFrame, population: pd.Series, words: str) -> None:
    """The lines of one level."""
    ax.fill_between(x, band["lower"], band["upper"], color=PALE_BLUE, linewidth=0, label=words)
    ax.plot(x, centre(band), color=BLUE, linewidth=1.6, label="level", zorder=3)
    ax.plot(x, population, color=GREY, linewidth=1.2, linestyle="--", label="population", zorder=2.5)


def _draw_points(ax: Axes, x: Array, band: pd.DataFrame, population: pd.Series, words: str) -> None:
    """The same along a category."""
    ax.vlines(x, band["lower"], band["upper"], color=PALE_BLUE, linewidth=5, label=words)
    marks: dict[str, Any] = {"linestyle": "none", "zorder": 3}
    ax.plot(x, centre(band), "o", color=BLUE, markersize=4.5, label="level", **marks)
    ax.plot(x, population, "_", color=GREY, markersize=11, label="population", **marks)


def _finish_panel(ax: Axes, categories: list[Any] | None) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=PALE_GREY, linewidth=0.5)
    ax.tick_params(labelsize="small")
    ax.locator_params(nbins=4)
    if categories is not None:
        names = [wrap(str(value), NAME_WIDTH) for value in categories]
        level = sum(map(len, names)) + 2 * len(names) <= NAME_WIDTH
        ax.set_xticks(range(len(names)), labels=names, rotation=0 if level else 90, parse_math=False)
        ax.set_xlim(-0.6, len(names) - 0.4)


def _choose_x(spec: ModelSpec, data: pd.DataFrame, factor: Factor, x: str | None) -> str:
    every = predictor_columns(spec, Request("linear", choose_groups(spec, "all"), "mean", 0))
    have = [name for name in every if name not in factor.levels.columns]  # along which a level would change
    if x is not None and x not in have:
        shown = ", ".join(map(repr, have)) or "none"
        raise DataError(
            f"{x!r} is no predictor of this model that can vary within a level of {factor.name!r}; it has {shown}"
        )
    if not have:
        raise DataError("this model has no predictor to draw lines along; plot_ranef shows the levels")
    varying = {name for encoding in factor.encodings for name in names_in(encoding.text)}
    numbers = [name for name in have if is_numeric(data[name])] or have
    return x or next((name for name in numbers if name in varying), numbers[0])


def _axis(column: pd.Series, own: NDArray[np.bool_]) -> tuple[list[Any], Array]:
    """Values of a predictor to predict a level at, and their places along the axis; `own` are the level's rows.

    A number's are within the level's own range, and one where it has one value alone.
    """
    if is_numeric(column):
        low, high = column[own].min(), column[own].max()
        grid = np.linspace(low, high, POINTS if high > low else 1)
        return list(grid), grid
    values = levels_of(column)
    return values, np.arange(float(len(values)))


def _places(column: pd.Series) -> Array:
    """Where the rows are along the axis, those of one category side by side: (n,)."""
    if is_numeric(column):
        return column.to_numpy(dtype=np.float64)
    places = column.map({value: place for place, value in enumerate(levels_of(column))}).to_numpy(np.float64)
    beside: Array = 0.3 * (np.random.default_rng(0).uniform(size=len(column)) - 0.5)
    return places + beside


def _choose_levels(
    spec: ModelSpec,
    posterior: xr.Dataset,
    factor: Factor,
    effect: str,
    levels: Sequence[Any] | None,
    max_levels: int,
) -> tuple[Numbers, str]:
    """Numbers of the levels to show, and what the title says of the choice."""
    total = len(factor.levels)
    if levels is not None:
        chosen = level_numbers(factor, list(levels), "levels")
        if not chosen:
            raise DataError("levels names no level; leave it out for all")
        return np.array(chosen), f"{len(chosen)} of {total} levels"
    if max_levels < 2:
        raise DataError(f"max_levels must be 2 or more; got {max_levels!r}")
    if total <= max_levels:
        return np.arange(total), ""
    variable = spec.factor_variables(MEAN, factor)["r"]
    means = np.asarray(posterior[variable.name].mean(CHAIN_DIMS).transpose(*variable.dims))
    means = np.where(factor.has & (np.array(factor.bases, dtype=object) == effect), means, 0.0).sum(axis=1)
    order = np.argsort(means, kind="stable")
    low, high = max_levels // 2, max_levels - max_levels // 2
    note = f"the {low} lowest and {high} highest of {total} levels in {effect}"
    return np.concatenate([order[:low], order[total - high :]]), note


def _lines(
    data: pd.DataFrame, codes: Numbers, chosen: Numbers, x: str, along: list[list[Any]]
) -> pd.DataFrame:
    """Rows along each level's values of `x`, its other columns at what is typical of it."""
    blocks = []
    for level, values in zip(chosen, along, strict=True):
        own = data[codes == level]
        typical = {
            name: own[name].mean() if is_numeric(own[name]) else own[name].mode().iloc[0]
            for name in data.columns
            if name != x
        }
        blocks.append(pd.DataFrame({x: values, **typical}))
    rows = pd.concat(blocks, ignore_index=True)
    firsts = data.iloc[[int(np.flatnonzero(codes == level)[0]) for level in chosen]]
    for name in firsts.columns:  # a level's own labels, whatever their type
        if name != x and not _varies(data[name], codes):
            rows[name] = np.repeat(firsts[name].to_numpy(), [len(values) for values in along])
    return rows


def _varies(column: pd.Series, codes: Numbers) -> bool:
    """Whether a column differs within any level."""
    return bool((column.groupby(codes).nunique() > 1).any())


def _predicted(
    spec: ModelSpec, draws: Draws, rows: pd.DataFrame, groups: tuple[str, ...], band: Interval
) -> pd.DataFrame:
    design = spec.layout.bind_new(rows, groups)
    kind = "score" if spec.family.has_categories else "mean"
    return predict_table(spec, draws, design, Request(kind, groups, "mean", 0), band)
