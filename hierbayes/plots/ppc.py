"""Pictures of simulated beside observed responses: their distribution, by group, rootograms, any statistic."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hierbayes.answers.intervals import get_interval
from hierbayes.answers.predict import scores_of
from hierbayes.criticism.discrepancies import (
    Frequencies,
    Replicates,
    Statistic,
    frequencies,
    level_means,
    replicate,
    share_of_zeros,
    statistic,
)
from hierbayes.criticism.survival import survival_beside
from hierbayes.data.design import Design
from hierbayes.data.levels import value_texts
from hierbayes.errors import DataError
from hierbayes.plots.basics import (
    BLUE,
    GREY,
    PALE_BLUE,
    PALE_GREY,
    VERMILLION,
    finish,
    ink,
    new_axes,
    set_text,
    wrap,
)
from hierbayes.plots.categories import category_colours
from hierbayes.plots.survival import draw_survival
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
PPC_KINDS = ("density", "group", "rootogram", "zeros", "survival")
CURVES = 50  # simulated densities drawn
NAMED = 30  # up to so many levels are named at the axis
LINE = 75  # characters along an axis
NAME_WIDTH = 24  # of a line of a name that stands upright


def plot_ppc(
    spec: ModelSpec,
    design: Design,
    posterior: xr.Dataset,
    kind: str | Callable[[Array], float] = "density",
    *,
    group: str | None = None,
    draws: int = 200,
    seed: int = 0,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Responses simulated from the posterior beside the observed ones.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    kind : {"density", "group", "rootogram", "zeros", "survival"} or callable
        The distribution of all responses (of discrete ones the frequency of each value, of binomial ones the
        cumulative distribution of the shares); the mean of each level; for counts the hanging rootogram
        (Kleiber & Zeileis 2016, American Statistician 70(3)) or the share of zeros; the share of responses above each
        time, by Kaplan and Meier where some are censored, beside what the model expects of the same rows; or any
        statistic of a set of responses, ``function(y)`` that returns a number, such as ``numpy.max``.
    group : str, optional
        The grouping factor for ``"group"``; the first unless given.
    draws : int
        About how many sets of responses to simulate.
    seed : int
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
        For an unknown kind, a rootogram or zeros of a response that is not counts, a model without groups.
    UnsupportedError
        For simulated beside censored responses: take ``"survival"``. For survival of responses that are truncated, or
        censored but on the right.
    """
    _check_kind(spec, kind)
    if kind == "survival":
        interval = get_interval()
        beside = survival_beside(spec, design, posterior, draws, interval)
        ax = ax or new_axes(figsize or (6.4, 4.2))
        draw_survival(ax, spec, beside, interval)
        return ax
    replicates = replicate(spec, design, posterior, draws, seed)
    if spec.family.support.categories and kind != "density":
        replicates = replicates.scored(scores_of(spec))
    ax = ax or new_axes(figsize or (6.4, 4.2))
    if callable(kind):
        draw_statistic(ax, spec, statistic(replicates, kind))
    elif kind == "group":
        draw_group(ax, spec, design, replicates, _group(spec, group))
    elif kind == "rootogram":
        draw_rootogram(ax, spec, replicates)
    elif kind == "zeros":
        draw_statistic(ax, spec, statistic(replicates, share_of_zeros, "share of zeros"))
    else:
        draw_distribution(ax, spec, replicates)
    return ax


def _check_kind(spec: ModelSpec, kind: Any) -> None:
    if callable(kind):
        return
    if kind not in PPC_KINDS:
        raise DataError(f"kind must be one of {', '.join(PPC_KINDS)} or a function; got {kind!r}")
    if kind == "group" and spec.family.support.columns:
        raise DataError("kind='group' is for responses of one number; this one has several columns")
    if kind in ("rootogram", "zeros") and not counts(spec):
        raise DataError(f"kind={kind!r} is for counts; family {spec.family.name!r} has other responses")


def counts(spec: ModelSpec) -> bool:
    """Whether the response is a count, not a yes or no or successes out of trials."""
    return spec.family.support.counts and not spec.family.needs_trials


def _group(spec: ModelSpec, group: str | None) -> str:
    if group is not None:
        return group
    names = [factor.name for layout in spec.layout.predictors.values() for factor in layout.factors]
    if not names:
        raise DataError("the model has no grouping factor; kind='density' shows all responses together")
    return names[0]


def draw_distribution(ax: Axes, spec: ModelSpec, replicates: Replicates) -> None:
    """All responses together: densities, frequencies, or shares of the trials."""
    name = spec.layout.response.name
    if spec.family.support.columns:
        _draw_shares(ax, spec, replicates.shares())
    elif replicates.trials is not None:
        _draw_cumulative(ax, f"share of {name}", replicates.shares())
    elif spec.family.support.whole:
        _draw_frequencies(ax, name, replicates)
        if spec.family.support.categories:
            levels = [wrap(str(level), NAME_WIDTH) for level in spec.layout.response.levels or ()]
            ax.set_xticks(range(len(levels)), labels=levels, parse_math=False)
    else:
        _draw_densities(ax, name, replicates)
    finish(ax, "Observed and simulated responses")


def _draw_densities(ax: Axes, name: str, replicates: Replicates) -> None:
    from arviz_stats.base import array_stats

    y, every = replicates.observed, replicates.simulated
    simulated = every[:: max(1, len(every) // CURVES)][:CURVES]
    # a heavy tail must not squeeze the rest: the frame holds the observed, and all but the simulations' far ends
    low, high = np.nanquantile(simulated, [0.002, 0.998])
    low, high = min(low, y.min()), max(high, y.max())
    for number, row in enumerate(simulated):
        inside = row[(row >= low) & (row <= high)]
        if len(inside) > 1 and np.ptp(inside) > 0:
            grid, density, _ = array_stats.kde(inside)
            label = None if number else _some(len(simulated), len(every))
            ax.plot(grid, density * len(inside) / len(row), color=PALE_BLUE, linewidth=0.7, label=label)
    grid, density, _ = array_stats.kde(y)
    ax.plot(grid, density, color=VERMILLION, linewidth=2, label="observed")
    ax.set_xlim(low, high)
    ax.set_ylim(bottom=0)
    beyond = np.mean((simulated < low) | (simulated > high))
    words = f"{name} ({beyond:.1%} of the simulated lie beyond)" if beyond >= 0.0005 else name
    ax.set_xlabel(words, parse_math=False)
    ax.set_ylabel("density")


def _some(drawn: int, sets: int) -> str:
    return "simulated" if drawn == sets else f"simulated, {drawn} of {sets} sets"


def _draw_frequencies(ax: Axes, name: str, replicates: Replicates) -> None:
    interval = get_interval()
    found = frequencies(replicates, interval)
    ax.bar(
        found.values,
        found.observed,
        width=0.85,
        color=PALE_GREY,
        edgecolor=GREY,
        linewidth=0.4,
        label="observed",
    )
    ax.plot(found.values, found.expected, "o", color=BLUE, markersize=3.5, label="simulated")
    ax.vlines(found.values, found.lower, found.upper, color=BLUE, linewidth=1.2, label=f"its {interval}")
    _count_axis(ax, name, found)
    ax.set_ylabel("rows")


def _count_axis(ax: Axes, name: str, found: Frequencies) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    last = f" (the last bar: {found.values[-1]:.0f} or more)" if found.more else ""
    ax.set_xlabel(f"{name}{last}", parse_math=False)


def _draw_cumulative(ax: Axes, name: str, replicates: Replicates) -> None:
    simulated = replicates.simulated[:CURVES]
    for number, row in enumerate(simulated):
        label = None if number else _some(len(simulated), len(replicates.simulated))
        ax.ecdf(row, color=PALE_BLUE, linewidth=0.7, label=label)
    ax.ecdf(replicates.observed, color=VERMILLION, linewidth=2, label="observed")
    ax.set_xlabel(name, parse_math=False)
    ax.set_ylabel("share of rows not above")


def _draw_shares(ax: Axes, spec: ModelSpec, replicates: Replicates) -> None:
    """The cumulative distribution of each category's share, simulated ones thin."""
    levels = spec.layout.response.levels or ()
    simulated = replicates.simulated[: max(1, CURVES // len(levels))]
    for place, colour in enumerate(category_colours(len(levels), ordered=False)):
        for row in simulated:
            ax.ecdf(row[:, place], color=colour, linewidth=0.5, alpha=0.3)
        label = wrap(str(levels[place]), NAME_WIDTH)
        ax.ecdf(replicates.observed[:, place], color=colour, linewidth=2, label=label)
    ax.set_xlabel(f"share of each column (thin: {len(simulated)} simulated sets)")
    ax.set_ylabel("share of rows not above")


def draw_rootogram(ax: Axes, spec: ModelSpec, replicates: Replicates) -> None:
    """Observed frequencies hanging from the expected, on the root's scale."""
    interval = get_interval()
    found = frequencies(replicates, interval)
    top, height = np.sqrt(found.expected), np.sqrt(found.observed)
    ax.bar(
        found.values, height, bottom=top - height, width=0.85, color=PALE_GREY, edgecolor=GREY, linewidth=0.4,
        label="observed, hanging",
    )  # fmt: skip
    ax.plot(found.values, top, color=BLUE, marker="o", markersize=3.5, linewidth=1.2, label="simulated")
    band: dict[str, Any] = {"color": PALE_BLUE, "alpha": 0.6, "zorder": 0.5, "label": f"its {interval}"}
    ax.fill_between(found.values, np.sqrt(found.lower), np.sqrt(found.upper), **band)
    ax.axhline(0, color=ink(), linewidth=1)
    _count_axis(ax, spec.layout.response.name, found)
    ax.set_ylabel("root of the number of rows")
    finish(ax, "Rootogram")


def draw_statistic(ax: Axes, spec: ModelSpec, found: Statistic) -> None:
    """A statistic's distribution over simulated sets, and its observed value."""
    bins: Any = "auto"
    distinct = np.unique(found.simulated[np.isfinite(found.simulated)])
    if len(distinct) <= 40:  # a discrete statistic: a bar a value
        step = np.diff(distinct).min() if len(distinct) > 1 else 1.0
        bins = np.append(distinct - step / 2, distinct[-1] + step / 2)
    ax.hist(found.simulated, bins=bins, color=PALE_BLUE, edgecolor="white", linewidth=0.3, label="simulated")
    ax.axvline(found.observed, color=VERMILLION, linewidth=2, label=f"observed: {found.observed:.4g}")
    set_text(ax.set_xlabel, f"{found.name} of {spec.layout.response.name}", 50)
    ax.set_ylabel("simulated sets")
    finish(ax, f"P(simulated ≥ observed) = {found.p_value:.3f}")


def draw_group(ax: Axes, spec: ModelSpec, design: Design, replicates: Replicates, group: str) -> None:
    """Observed means of the levels over the intervals of simulated ones."""
    interval = get_interval()
    means = level_means(spec, design, replicates, group)
    order = np.argsort(means.observed, kind="stable")
    at = np.arange(len(order))
    lower, upper = interval.bounds(means.simulated[:, order])
    thick = 3.0 if len(order) <= NAMED else max(0.6, 150 / len(order))
    ax.vlines(at, lower, upper, color=PALE_BLUE, linewidth=thick, label=f"simulated, {interval}")
    size = 4.0 if len(order) <= NAMED else max(1.2, 60 / len(order))
    observed = means.observed[order]
    ax.plot(at, observed, "o", color=VERMILLION, markersize=size, label="observed", zorder=3)
    response = spec.layout.response.name
    share = f"share of {response}" if replicates.trials is not None else f"mean {response}"
    share = f"mean score of {response}" if spec.family.support.categories else share
    ax.set_ylabel(share, parse_math=False)
    if len(order) <= NAMED:
        names = value_texts(pd.Index(means.labels[order]))
        room = LINE // len(names)  # characters beside each other
        level = max(len(word) for name in names for word in name.split() or [""]) <= room
        shown = [wrap(name, room if level else NAME_WIDTH) for name in names]
        style: dict[str, Any] = {"rotation": 0 if level else 90, "fontsize": "x-small", "parse_math": False}
        ax.set_xticks(at, labels=shown, **style)
        ax.set_xlabel(group, parse_math=False)
    else:
        ax.set_xticks([])
        ax.set_xlabel(f"{len(order)} levels of {group}, by observed mean", parse_math=False)
    low, high = min(lower.min(), observed.min()), max(upper.max(), observed.max())
    first = slice(0, -(-2 * len(order) // 5))  # where the legend is
    if max(upper[first].max(), observed[first].max()) > high - 0.2 * (high - low):
        ax.set_ylim(top=high + 0.25 * (high - low))
    outside = int(((observed < lower) | (observed > upper)).sum())
    finish(ax, f"Means by {group}: {outside} of {len(order)} outside", "upper left")
