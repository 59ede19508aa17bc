"""The levels' shrinkage towards the population, as arrows from no pooling to partial pooling."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hierbayes.answers.draws import flat_draws
from hierbayes.answers.intervals import Interval, centre, get_interval
from hierbayes.answers.pooling import between_covariance, population, shrinkage_table
from hierbayes.answers.ranks import find_factor, level_numbers
from hierbayes.data.design import MEAN, Design
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError
from hierbayes.plots.basics import OWN, PALE_BLUE, POOLED, axis_words, head, ink, new_axes, set_text
from hierbayes.plots.levels import LevelRows, choose_effects, choose_rows, draw_arrows
from hierbayes.plots.plane import ALL_NAMED, Shrinkage, draw_plane, near_levels, write_names
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SOME_NAMED = 10  # of more levels these


def plot_shrinkage(
    spec: ModelSpec,
    design: Design,
    posterior: xr.Dataset,
    group: str | None = None,
    *,
    effects: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    max_levels: int | None = 60,
    labels: str | Sequence[Any] = "auto",
    order: str = "estimate",
) -> Axes:
    """Each level's coefficients from its own rows alone, and where partial pooling draws them.

    Two effects span a plane. The open marker is what a level's own rows say (`pooling.no_pooling`); an arrow
    leads to the filled one, its posterior mean; the cross is the population, and the ellipses hold 50% and
    90% of its levels. With one effect there is a row a level, ordered by posterior mean or by n, with credible
    intervals (width and kind from ``arviz.rcParams``). A level that has no estimate of its own has the filled
    marker only.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    group : str, optional
        A grouping factor of the mean's formula; the first unless given.
    effects : str or list of str, optional
        One or two of its varying effects; the first two unless given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given. The heading stands above the axes: make a figure of your own
        with ``layout="constrained"``, which leaves room for it.
    figsize : tuple of float, optional
        Width and height of the new figure in inches; made to fit the levels unless given.
    max_levels : int or None
        Of more levels, rows show the lowest and the highest, half each. The plane shows all, but its frame no
        longer stretches to far own estimates. The title says what was left out. None: no limit.
    labels : {"auto", "all", "none"} or list
        The levels to name in the plane: all of a few, the most extreme of many; all; none; those listed. A
        name for which there is no room is left out.
    order : {"estimate", "n"}
        What the rows are ordered by: the posterior mean, or the number of the level's own rows, few at the bottom,
        where estimates move farthest.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        For a model without grouping factors, or an unknown factor, effect or level.

    Examples
    --------
    >>> import hierbayes as hb
    >>> model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))
    >>> posterior = model.prior_predictive(draws=10)["prior"].to_dataset()  # any draws of the schema
    >>> plot_shrinkage(model.spec, model.design, posterior).get_ylabel()
    'Days (Reaction)'
    """
    factor = find_factor(spec, group)
    chosen = factor.together(2) if effects is None else choose_effects(factor, effects)
    if len(chosen) > 2:
        raise DataError(f"shrinkage is drawn for one or two effects at a time; got {', '.join(chosen)}")
    interval = get_interval()
    own = _own_levels(factor, chosen)
    values = _shrinkage(spec, design, posterior, factor, chosen, interval)
    counts = np.bincount(design.main.factors[factor.name].codes, minlength=len(factor.levels))[own]
    factor = factor.only(own)
    title = f"Shrinkage by {factor.name}"
    if len(chosen) == 1:
        rows = _ordered_rows(counts, factor, values, max_levels, order)
        ax = ax or new_axes(figsize or rows.figsize(5.0))
        set_text(ax.set_xlabel, axis_words(spec, chosen[0]), 60)
        _draw_rows(ax, values, rows, interval)
        head(ax, title, rows.note, columns=2)
        rows.write_names(ax)
        return ax
    near = near_levels(values, max_levels)
    named = _choose_names(factor, values, near, labels)
    ax = ax or new_axes(figsize or (6.8, 6.2))
    set_text(ax.set_xlabel, axis_words(spec, chosen[0]), 60)
    set_text(ax.set_ylabel, axis_words(spec, chosen[1]), 50)
    head(ax, title, draw_plane(ax, values, near), columns=2)
    texts = factor.levels.texts
    write_names(ax, values, [(level, texts[level]) for level in named])
    return ax


def _ordered_rows(
    n: NDArray[np.int64], factor: Factor, values: Shrinkage, max_levels: int | None, order: str
) -> LevelRows:
    """The levels by estimate; or by number of rows (n, of each level), those with equally many by estimate."""
    if order not in ("estimate", "n"):
        raise DataError(f"order must be 'estimate' or 'n'; got {order!r}")
    pooled = values.pooled[:, 0]
    if order == "estimate":
        return choose_rows(factor, pooled, max_levels)
    places = np.empty(len(pooled))
    places[np.lexsort((pooled, n))] = np.arange(len(pooled))
    rows = choose_rows(factor, places, max_levels, ("smallest", "largest"))
    names = tuple(f"{name}  n = {n[level]}" for name, level in zip(rows.names, rows.levels, strict=True))
    return replace(rows, names=names)


def _shrinkage(
    spec: ModelSpec,
    design: Design,
    posterior: xr.Dataset,
    factor: Factor,
    effects: tuple[str, ...],
    interval: Interval,
) -> Shrinkage:
    table = shrinkage_table(spec, design, posterior, interval, factor.name)
    places = [factor.effects.index(effect) for effect in effects]

    def wide(column: pd.Series) -> Array:
        whole = np.full(factor.has.shape, np.nan)
        whole[factor.has] = column.to_numpy(dtype=np.float64)
        return whole[np.ix_(_own_levels(factor, effects), places)]

    shapes = [np.median(flat_draws(posterior, own)) for own in spec.shape_variables(MEAN, factor)]
    law = factor.law_values(shapes)
    return Shrinkage(
        alone=wide(table["no_pooling"]),
        pooled=wide(centre(table, "partial_pooling")),
        lower=wide(table["lower"]),
        upper=wide(table["upper"]),
        centre=population(spec, posterior, factor)[places],
        spread=between_covariance(spec, posterior, factor)[np.ix_(places, places)],
        radius=lambda prob: factor.law.radius(prob, *law),
    )


def _own_levels(factor: Factor, effects: tuple[str, ...]) -> NDArray[np.int64]:
    """The levels that have all these effects."""
    own = np.flatnonzero(factor.has[:, [factor.effects.index(effect) for effect in effects]].all(axis=1))
    if not len(own):
        raise DataError(
            f"no level of {factor.name!r} has both {' and '.join(effects)}; they are of different kinds"
        )
    return own


def _choose_names(factor: Factor, values: Shrinkage, near: Mask, labels: str | Sequence[Any]) -> list[int]:
    """Numbers of the levels to name in the plane, the most extreme first."""
    order = values.farthest(values.pooled)
    if not isinstance(labels, str):
        wanted = set(level_numbers(factor, labels, "labels"))
        return [level for level in order if level in wanted]
    if labels not in ("auto", "all", "none"):
        raise DataError(f"labels must be 'auto', 'all', 'none' or a list of levels; got {labels!r}")
    if labels == "auto" and len(order) > ALL_NAMED:
        alone = values.farthest(np.where(near[:, None], values.alone, np.nan))
        return list(dict.fromkeys(order[: SOME_NAMED // 2] + alone[: SOME_NAMED // 2]))
    return [] if labels == "none" else order


def _draw_rows(ax: Axes, values: Shrinkage, rows: LevelRows, interval: Interval) -> None:
    tails = np.column_stack([values.alone[rows.levels], rows.heights])
    tips = np.column_stack([values.pooled[rows.levels], rows.heights])
    lower, upper = values.lower[rows.levels, 0], values.upper[rows.levels, 0]
    ax.plot(*tails.T, **OWN, markersize=6, zorder=3, label=values.own_words)
    ax.plot(*tips.T, **POOLED, markersize=6.5, zorder=4, label="partial pooling")
    ax.hlines(rows.heights, lower, upper, color=PALE_BLUE, linewidth=5, zorder=1.5, label=f"its {interval}")
    ax.axvline(values.centre[0], color=ink(), linewidth=1, zorder=1, label="population")
    draw_arrows(ax, tails, tips, 6.0)
    rows.finish(ax)
