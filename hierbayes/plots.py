"""Pictures of a posterior: the levels' shrinkage towards the population, and their deviations from it.

Each function draws numbers of `hierbayes.pooling` or of the draws, returns its axes and shows nothing.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Annotation, Text
from numpy.typing import NDArray

from hierbayes.design import MEAN, Design
from hierbayes.errors import DataError
from hierbayes.factors import Factor
from hierbayes.intervals import Interval, get_interval
from hierbayes.pooling import between_covariance, population, shrinkage_table
from hierbayes.ranks import find_factor
from hierbayes.spec import CHAIN_DIMS, ModelSpec

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Okabe and Ito's blue and vermillion are told apart with every kind of colour vision
BLUE, PALE_BLUE, VERMILLION, GREY, PALE_GREY = "#0072B2", "#A8CCE3", "#D55E00", "#666666", "#E5E5E5"
OWN: dict[str, Any] = {"marker": "o", "color": VERMILLION, "markerfacecolor": "white", "linestyle": "none"}
POOLED: dict[str, Any] = {"marker": "o", "color": BLUE, "markeredgecolor": "white", "linestyle": "none"}
SCALES = {
    "identity": "{}",
    "log": "log mean of {}",
    "logit": "log odds of {}",
    "probit": "probit of {}",
    "cloglog": "complementary log-log of {}",
    "inverse": "inverse mean of {}",
}
ALL_NAMED = 25  # up to so many levels the plane names every one
SOME_NAMED = 10  # of more levels these
CROWD = 200  # from so many levels on, arrow heads only clutter
NAME_WIDTH = 36  # characters of a level's name in one line
TALLEST = 100.0  # inches of a figure; matplotlib draws no more than 65536 pixels
GAPS, TURNS = (6.0, 10.0, 15.0, 22.0, 30.0, 40.0), 16  # where a name may stand: points away, directions
LEADERS_FROM = 2 * TURNS  # a name farther than the second gap is joined to its marker


# -- public -------------------------------------------------------------------------------------------------


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
) -> Axes:
    """Each level's coefficients from its own rows alone, and where partial pooling draws them.

    Two effects span a plane. The open marker is what a level's own rows say (`pooling.no_pooling`); an arrow
    leads to the filled one, its posterior mean; the cross is the population, and the ellipses hold 50% and
    90% of its levels. With one effect there is a row a level, ordered by posterior mean, with credible
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
    chosen = factor.effects[:2] if effects is None else _choose_effects(factor, effects)
    if len(chosen) > 2:
        raise DataError(f"shrinkage is drawn for one or two effects at a time; got {', '.join(chosen)}")
    interval = get_interval()
    values = _shrinkage(spec, design, posterior, factor, chosen, interval)
    title = f"Shrinkage by {factor.name}"
    if len(chosen) == 1:
        rows = _choose_rows(factor, values.pooled[:, 0], max_levels)
        ax = ax or _new_axes(figsize or rows.figsize(5.0))
        _set(ax.set_xlabel, _axis_words(spec, chosen[0]), 60)
        _draw_rows(ax, values, rows, interval)
        _head(ax, title, rows.note, columns=2)
        rows.write_names(ax)
        return ax
    near = _near(values, max_levels)
    named = _choose_names(factor, values, near, labels)
    ax = ax or _new_axes(figsize or (6.8, 6.2))
    _set(ax.set_xlabel, _axis_words(spec, chosen[0]), 60)
    _set(ax.set_ylabel, _axis_words(spec, chosen[1]), 50)
    _head(ax, title, _draw_plane(ax, values, near), columns=2)
    _write_names(ax, values, [(level, str(factor.levels.labels[level])) for level in named])
    return ax


def plot_ranef(
    spec: ModelSpec,
    posterior: xr.Dataset,
    group: str | None = None,
    *,
    effects: str | Sequence[str] | None = None,
    prob: float | None = None,
    figsize: tuple[float, float] | None = None,
    max_levels: int | None = 60,
) -> NDArray[Any]:
    """Deviations of the levels from the population: a panel an effect, a row a level.

    The levels are ordered by posterior mean of the first effect, alike in all panels. The marker is the
    posterior mean, the thick line the 50% interval.

    Parameters
    ----------
    spec : ModelSpec
    posterior : xarray.Dataset
    group : str, optional
        A grouping factor of the mean's formula; the first unless given.
    effects : str or list of str, optional
        The varying effects to show; all unless given.
    prob : float, optional
        Probability of the thin line's interval; from ``arviz.rcParams`` unless given, as the kind of both.
    figsize : tuple of float, optional
        Width and height in inches; made to fit panels and levels unless given.
    max_levels : int or None
        Of more levels the lowest and the highest are shown, half each, and the title says so. None: no limit.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, (effects,)

    Raises
    ------
    DataError
        For a model without grouping factors, or an unknown factor or effect.

    Examples
    --------
    >>> import hierbayes as hb
    >>> model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))
    >>> posterior = model.prior_predictive(draws=10)["prior"].to_dataset()  # any draws of the schema
    >>> [ax.get_xlabel() for ax in plot_ranef(model.spec, posterior)]
    ['Deviation in Intercept (Reaction)', 'Deviation in Days (Reaction)']
    """
    factor = find_factor(spec, group)
    chosen = factor.effects if effects is None else _choose_effects(factor, effects)
    thin = get_interval(prob)
    places = [factor.effects.index(effect) for effect in chosen]
    variable = spec.factor_variables(MEAN, factor)["r"]
    r = posterior[variable.name].transpose(*CHAIN_DIMS, *variable.dims)
    rows = _choose_rows(factor, np.asarray(r.mean(CHAIN_DIMS))[:, places[0]], max_levels)
    draws = np.asarray(r)[:, :, rows.levels].reshape(-1, len(rows.levels), len(factor.effects))
    size = figsize or rows.figsize(*[4.4 if len(chosen) == 1 else 3.4] * len(chosen))
    _, axes = plt.subplots(1, len(chosen), sharey=True, squeeze=False, layout="constrained", figsize=size)
    for ax, effect, place in zip(axes[0], chosen, places, strict=True):
        ax.axvline(0, color=_ink(), linewidth=1, zorder=1)
        mean = draws[..., place].mean(axis=0)
        ax.plot(mean, rows.heights, **POOLED, markersize=6, zorder=3, label="posterior mean")
        for interval, width in ((Interval(0.5, thin.kind), 3.0), (thin, 1.0)):
            lower, upper = interval.bounds(draws[..., place])
            ax.hlines(rows.heights, lower, upper, color=BLUE, linewidth=width, label=str(interval))
        _set(ax.set_xlabel, f"Deviation in {_axis_words(spec, effect)}", 46)
        ax.locator_params(axis="x", nbins=5)  # numbers of neighbouring panels must not meet
        rows.finish(ax)
    _head(axes[0, 0], f"Deviations by {factor.name}", rows.note, columns=3)
    rows.write_names(axes[0, 0])
    return np.asarray(axes[0])


# -- what to draw -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Shrinkage:
    """Coefficients of G levels for k effects (G, k), the population's (k,) and their covariance (k, k)."""

    alone: Array
    pooled: Array
    lower: Array
    upper: Array
    centre: Array
    spread: Array

    @property
    def has_own(self) -> Mask:
        """The levels that their own rows settle: (G,)."""
        return np.isfinite(self.alone).all(axis=1)

    @property
    def own_words(self) -> str:
        """What the open markers are, and how many levels have none."""
        none, total = int((~self.has_own).sum()), len(self.alone)
        return "own rows alone" + (f" (not estimable for {none} of {total} levels)" if none else "")

    def farthest(self, points: Array) -> list[int]:
        """The levels by Mahalanobis distance of their points from the population, those without one last."""
        away = np.nan_to_num(points - self.centre)
        distances = (away @ np.linalg.pinv(self.spread) * away).sum(axis=1)
        order: list[int] = np.argsort(-distances, kind="stable").tolist()
        return order

    def ellipse(self, prob: float) -> Array:
        """The curve that holds `prob` of a bivariate normal population: (points, 2)."""
        variances, axes = np.linalg.eigh(self.spread)
        angles = np.linspace(0, 2 * np.pi, 181)
        circle = np.sqrt(-2 * np.log1p(-prob)) * np.column_stack([np.cos(angles), np.sin(angles)])
        return np.asarray(self.centre + circle @ (axes * np.sqrt(np.maximum(variances, 0))).T)


def _shrinkage(
    spec: ModelSpec,
    design: Design,
    posterior: xr.Dataset,
    factor: Factor,
    effects: tuple[str, ...],
    interval: Interval,
) -> _Shrinkage:
    table = shrinkage_table(spec, design, posterior, interval, factor.name)
    places = [factor.effects.index(effect) for effect in effects]

    def wide(column: str) -> Array:
        return table[column].to_numpy(dtype=np.float64).reshape(-1, len(factor.effects))[:, places]

    return _Shrinkage(
        alone=wide("no_pooling"),
        pooled=wide("partial_pooling"),
        lower=wide("lower"),
        upper=wide("upper"),
        centre=population(spec, posterior, factor)[places],
        spread=between_covariance(spec, posterior, factor)[np.ix_(places, places)],
    )


def _choose_effects(factor: Factor, effects: str | Sequence[str]) -> tuple[str, ...]:
    chosen = (effects,) if isinstance(effects, str) else tuple(dict.fromkeys(effects))
    unknown = [effect for effect in chosen if effect not in factor.effects]
    if unknown or not chosen:
        what = f"{unknown[0]!r}, which does not vary" if unknown else "nothing that varies"
        have = ", ".join(map(repr, factor.effects))
        raise DataError(f"effects names {what} by {factor.name!r}; its effects are {have}")
    return chosen


def _choose_names(factor: Factor, values: _Shrinkage, near: Mask, labels: str | Sequence[Any]) -> list[int]:
    """Numbers of the levels to name in the plane, the most extreme first."""
    order = values.farthest(values.pooled)
    if not isinstance(labels, str):
        numbers = {str(label): number for number, label in enumerate(factor.levels.labels)}
        unknown = [label for label in labels if str(label) not in numbers]
        if unknown:
            raise DataError(f"labels names {unknown[0]!r}, which is no level of {factor.name!r}")
        wanted = {numbers[str(label)] for label in labels}
        return [level for level in order if level in wanted]
    if labels not in ("auto", "all", "none"):
        raise DataError(f"labels must be 'auto', 'all', 'none' or a list of levels; got {labels!r}")
    if labels == "auto" and len(order) > ALL_NAMED:
        alone = values.farthest(np.where(near[:, None], values.alone, np.nan))
        return list(dict.fromkeys(order[: SOME_NAMED // 2] + alone[: SOME_NAMED // 2]))
    return [] if labels == "none" else order


# -- words --------------------------------------------------------------------------------------------------


def _axis_words(spec: ModelSpec, effect: str) -> str:
    """The effect and the scale it is on: ``"Intercept (log odds of incidence)"``."""
    response = spec.layout.response
    name = response.name if response.levels is None else f"{response.name} = {response.levels[1]}"
    name = f"log {name}" if spec.family.log_response else name
    return f"{effect} ({SCALES[spec.link_name].format(name)})"


def _set(setter: Any, text: str, width: int) -> None:
    """Set a text with users' names in it: long ones in several lines, a dollar sign as it stands."""
    setter(_wrap(text, width), parse_math=False)


def _wrap(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)


def _new_axes(figsize: tuple[float, float]) -> Axes:
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def _ink() -> Any:
    """Black, or what stands for it in the style in use."""
    return plt.rcParams["axes.edgecolor"]


def _head(ax: Axes, title: str, note: str, columns: int) -> None:
    """Title and legend above the axes, where they hide no level."""
    corner: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    legend = ax.legend(**corner, ncols=columns, frameon=False, fontsize="small", columnspacing=1.5)
    pad = 8 + 14 * -(-len(legend.get_texts()) // columns)
    text = _wrap(title, 60) + (f"\n{note}" if note else "")
    ax.set_title(text, loc="left", pad=pad, parse_math=False)


# -- a row a level ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _LevelRows:
    """The levels of a chart from the bottom up; what the title says of their choice; the gap, if any."""

    levels: NDArray[np.int64]
    heights: Array
    names: tuple[str, ...]
    note: str
    gap: tuple[float, str] | None

    def figsize(self, *panels: float) -> tuple[float, float]:
        """Inches for panels of these widths, with room for every row and every name."""
        longest = max(len(line) for name in self.names for line in name.split("\n"))
        height = 1.5 + (self.heights[-1] + 1) * (0.07 + 0.14 * self.lines)
        return sum(panels) + 0.6 + 0.075 * longest, min(height, TALLEST)

    @property
    def lines(self) -> int:
        """Lines of the name that has most."""
        return max(name.count("\n") + 1 for name in self.names)

    def finish(self, ax: Axes) -> None:
        """Limits, grid, and the gap between the lowest and the highest."""
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_ylim(-0.8, self.heights[-1] + 0.8)
        ax.margins(x=0.05)
        ax.grid(axis="x", color=PALE_GREY)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
        if self.gap is not None:
            ax.axhline(self.gap[0], color=GREY, linewidth=0.8, linestyle=(0, (1, 3)))

    def write_names(self, ax: Axes) -> None:
        """Name the rows and the gap, small enough for the axes' height; the last thing to do."""
        ax.set_yticks(self.heights, labels=list(self.names), fontsize=9, parse_math=False)
        if self.gap is not None:
            where: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center"}
            box = {"facecolor": ax.get_facecolor(), "edgecolor": "none", "pad": 1.5}
            ax.text(0.02, *self.gap, **where, bbox=box, color=GREY, fontsize="small")
        ax.figure.canvas.figure.draw_without_rendering()  # settles the axes' height
        row = 72 * ax.get_window_extent().height / ax.figure.dpi / (self.heights[-1] + 1.6)
        ax.tick_params(axis="y", labelsize=float(np.clip(0.8 * row / self.lines, 1.0, 9.0)))


def _choose_rows(factor: Factor, order_by: Array, max_levels: int | None) -> _LevelRows:
    """All levels by their estimate, or the most extreme half from each end."""
    if max_levels is not None and max_levels < 2:
        raise DataError(f"max_levels must be 2 or more, or None for all; got {max_levels!r}")
    order = np.argsort(order_by, kind="stable")
    heights, note, gap = np.arange(len(order), dtype=np.float64), "", None
    if max_levels is not None and len(order) > max_levels:
        low, high = max_levels // 2, max_levels - max_levels // 2
        note = f"the {low} lowest and {high} highest of {len(order)} levels"
        gap = (float(low), f"{len(order) - max_levels} levels between")
        order = np.concatenate([order[:low], order[len(order) - high :]])
        heights = np.concatenate([np.arange(low), np.arange(low, low + high) + 1.0])
    names = tuple(_wrap(str(name), NAME_WIDTH) for name in factor.levels.labels[order])
    return _LevelRows(order, heights, names, note, gap)


def _draw_rows(ax: Axes, values: _Shrinkage, rows: _LevelRows, interval: Interval) -> None:
    tails = np.column_stack([values.alone[rows.levels], rows.heights])
    tips = np.column_stack([values.pooled[rows.levels], rows.heights])
    lower, upper = values.lower[rows.levels, 0], values.upper[rows.levels, 0]
    ax.plot(*tails.T, **OWN, markersize=6, zorder=3, label=values.own_words)
    ax.plot(*tips.T, **POOLED, markersize=6.5, zorder=4, label="partial pooling")
    ax.hlines(rows.heights, lower, upper, color=PALE_BLUE, linewidth=5, zorder=1.5, label=f"its {interval}")
    ax.axvline(values.centre[0], color=_ink(), linewidth=1, zorder=1, label="population")
    _draw_arrows(ax, tails, tips, 6.0)
    rows.finish(ax)


def _draw_arrows(ax: Axes, tails: Array, tips: Array, size: float) -> None:
    """Arrows from no pooling to partial pooling, for the levels that have both."""
    ways = np.stack([tails, tips], axis=1)[np.isfinite(tails).all(axis=1)]
    if len(tails) >= CROWD:
        ax.add_collection(LineCollection(list(ways), colors=GREY, linewidths=0.5, alpha=0.5, zorder=2))
        return
    head = "-|>,head_length=3,head_width=1.6"
    style: dict[str, Any] = {"arrowstyle": head, "shrinkA": size / 2, "shrinkB": size / 2, "linewidth": 0.9}
    for tail, tip in ways:
        ax.add_patch(FancyArrowPatch(tail, tip, **style, mutation_scale=1, color=GREY, zorder=2))


# -- the plane ----------------------------------------------------------------------------------------------


def _near(values: _Shrinkage, max_levels: int | None) -> Mask:
    """The levels whose own estimates the frame must hold: (G,).

    Of few levels all. Of many those within three times the range of the pooled ones, so that a few poor
    estimates do not squash the rest.
    """
    if max_levels is None or len(values.pooled) <= max_levels:
        return values.has_own
    core = np.concatenate([values.pooled, values.ellipse(0.9)])
    low, high = core.min(axis=0), core.max(axis=0)
    return np.asarray(((values.alone >= 2 * low - high) & (values.alone <= 2 * high - low)).all(axis=1))


def _draw_plane(ax: Axes, values: _Shrinkage, near: Mask) -> str:
    """Two effects; returns what the title is to say of estimates beyond the frame."""
    count = len(values.pooled)
    size = 6.0 if count <= ALL_NAMED else 4.5 if count < CROWD else 3.0
    over = 4.5 if count > ALL_NAMED else 1.0  # many markers would hide the ellipses
    _draw_arrows(ax, values.alone, values.pooled, size)
    ax.plot(*values.alone.T, **OWN, markersize=size, zorder=3, label=values.own_words)
    filled = {**POOLED, "markersize": size + 0.5, "markeredgewidth": size / 10}
    ax.plot(*values.pooled.T, **filled, zorder=4, label="partial pooling")
    ax.plot(*values.ellipse(0.5).T, color=GREY, linewidth=1, zorder=over, label="50% and 90% of levels")
    ax.plot(*values.ellipse(0.9).T, color=GREY, linewidth=1, zorder=over)
    cross: dict[str, Any] = {"marker": "x", "color": _ink(), "linestyle": "none", "markeredgewidth": 2.2}
    ax.plot(*values.centre, **cross, markersize=10, zorder=5, label="population")
    ax.spines[["top", "right"]].set_visible(False)
    held = np.concatenate([values.pooled, values.ellipse(0.9), values.alone[near]])
    low, high = held.min(axis=0), held.max(axis=0)
    margin = 0.08 * (high - low)
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
    beyond = int((values.has_own & ~near).sum())
    return f"own estimates of {beyond} of {count} levels lie beyond the frame" if beyond else ""


# -- names in the plane -------------------------------------------------------------------------------------


def _write_names(ax: Axes, values: _Shrinkage, names: list[tuple[int, str]]) -> None:
    """Write levels' names beside their open markers, clear of each other and inside the frame.

    Greedy, in the order given: of many places around the marker, the one that hides least.
    """
    if not names:
        return
    ax.figure.canvas.figure.draw_without_rendering()  # settles the axes' place, on which pixels depend
    frame, point, pixels = ax.get_window_extent(), ax.figure.dpi / 72, ax.transData.transform
    tips, tails = pixels(values.pooled), pixels(values.alone)
    seen = ((tails > frame.min) & (tails < frame.max)).all(axis=1)
    ends, anchors = np.where(seen[:, None], [values.alone, tails], [values.pooled, tips])
    markers = np.concatenate([tips, tails[seen], pixels(values.centre[None])])
    ways = (tips + np.linspace(0.1, 0.9, 9)[:, None, None] * (anchors - tips)).reshape(-1, 2)
    lines = np.concatenate([ways, pixels(values.ellipse(0.5)), pixels(values.ellipse(0.9))])
    taken = np.empty((0, 4))
    for level, name in names:
        text = _write(ax, name, ends[level])
        extent = Text.get_window_extent(text)  # without the leader line
        half = np.array([extent.width, extent.height]) / 2
        offsets, boxes, cost = _places(anchors[level], anchors[level] - tips[level], half, point)
        cost += 30 * _inside(markers, boxes, 5 * point).sum(axis=1) + _inside(lines, boxes, point).sum(axis=1)
        cost[(boxes[:, :2] < frame.min).any(axis=1) | (boxes[:, 2:] > frame.max).any(axis=1)] = np.inf
        apart = 2 * point
        meet = (boxes[:, None, :2] < taken[:, 2:] + apart) & (boxes[:, None, 2:] > taken[:, :2] - apart)
        cost[meet.all(axis=2).any(axis=1)] = np.inf
        best = int(np.argmin(cost))
        if not np.isfinite(cost[best]):
            text.remove()
            continue
        taken = np.concatenate([taken, boxes[[best]]])
        text.set_position(tuple(offsets[best] / point))
        if text.arrow_patch is not None:
            text.arrow_patch.set_visible(best >= LEADERS_FROM)


def _write(ax: Axes, name: str, end: Array) -> Annotation:
    place: dict[str, Any] = {"xy": tuple(end), "xytext": (0, 0), "textcoords": "offset points"}
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "small", "parse_math": False}
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
    text = ax.annotate(_wrap(name, NAME_WIDTH), **place, **style, arrowprops=leader, zorder=6)
    text.set_in_layout(False)
    return text


def _places(anchor: Array, outward: Array, half: Array, point: float) -> tuple[Array, Array, Array]:
    """Places for a box of that half size around an anchor, all in pixels.

    Returns the offsets of its middle (m, 2), the boxes (m, 4) as left, bottom, right, top, and a cost (m,)
    that grows with distance and with turning away from `outward`.
    """
    gaps = np.repeat(GAPS, TURNS)
    angles = np.tile(np.arange(TURNS) * 2 * np.pi / TURNS, len(GAPS))
    towards = np.column_stack([np.cos(angles), np.sin(angles)])
    edge = towards / np.abs(towards).max(axis=1, keepdims=True)
    offsets = half * edge + gaps[:, None] * point * towards
    turned = 1 - towards @ outward / max(float(np.hypot(*outward)), 1e-9)
    boxes = np.hstack([anchor + offsets - half, anchor + offsets + half])
    return offsets, boxes, 0.4 * gaps + 1.5 * turned


def _inside(points: Array, boxes: Array, pad: float) -> Mask:
    """Which points (k, 2) lie in which boxes (m, 4), or within `pad` of them: (m, k)."""
    x, y = points.T
    left, bottom, right, top = boxes.T[..., None]
    return np.asarray((x > left - pad) & (x < right + pad) & (y > bottom - pad) & (y < top + pad))
