"""Pictures of what priors imply: simulated responses, groups, sds, correlations."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hierbayes.data.design import Design
from hierbayes.expect import Simulation, level_means
from hierbayes.formula.latent import predictors_in
from hierbayes.plots.basics import BLUE, GREY, OKABE_ITO, PALE_BLUE, VERMILLION, wrap
from hierbayes.prior_summary import implied_effects, shares
from hierbayes.spec import ModelSpec
from hierbayes.structures import STRUCTURES

Array = NDArray[np.float64]
GREEN = OKABE_ITO[2]
WORLDS = ((BLUE, "-"), (VERMILLION, "--"), (GREEN, ":"))
LINES = 12  # levels drawn of one simulated data set
SHOWN = 0.99  # of the simulated values, the middle that a histogram shows
PANEL = (3.9, 3.1)

SHAPE_WORDS = {shape.name: shape.words for structure in STRUCTURES.values() for shape in structure.parameters}


def plot_prior_predictive(
    simulation: Simulation,
    *,
    bounds: tuple[float, float] | None = None,
    label: str | None = None,
    title: str = "",
) -> NDArray[Any]:
    """Simulated responses, simulated groups, and the implied priors of groups' sds, correlations and ICC.

    Parameters
    ----------
    simulation : Simulation
    bounds : tuple of float, optional
        What is plausible for a response; drawn, with the share of simulated responses outside.
    label : str, optional
        The response with its unit; its name unless given.
    title : str
        Of the figure.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
        One a panel, in one new figure.
    """
    simulation.need_numbers()
    label = label or simulation.spec.layout.response.name
    effects = dict(implied_effects(simulation))
    others = dict.fromkeys(name.partition("[")[0] for name in effects)
    order = dict.fromkeys(("sd", "cor", *(kind for kind in others if kind != "icc"), "icc"))
    kinds = {kind: [n for n in effects if n.startswith(f"{kind}[")] for kind in order}
    panels = 2 + sum(bool(names) for names in kinds.values())
    columns = 2 if panels == 4 else min(3, panels)
    rows = -(-panels // columns)
    size = (PANEL[0] * columns, PANEL[1] * rows + 0.3 * bool(title))
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    axes = list(grid.ravel())
    for ax in axes[panels:]:
        ax.remove()
    if title:
        figure.suptitle(title, parse_math=False)
    plot_prior_responses(simulation, axes[0], bounds=bounds, label=label)
    plot_prior_groups(simulation, axes[1], label=label)
    family = simulation.spec.family
    words = f"log {label}" if family.log_response else label
    scale = f"latent {label}" if family.origin else simulation.spec.link.words.format(words)
    factors = simulation.spec.layout.main.factors
    slopes = any(len(factor.effects) > (factor.intercept is not None) for factor in factors)
    headings = {
        "sd": (
            "Typical difference between groups",
            f"standard deviation, {scale}{'; of slopes, per unit' if slopes else ''}",
        ),
        "cor": ("Correlation of effects", "correlation"),
        "icc": ("Share of variance between groups", "intraclass correlation"),
    }
    remaining = iter(axes[2:panels])
    for kind, names in kinds.items():
        if names:
            heading, what = headings.get(kind, (SHAPE_WORDS.get(kind, kind).capitalize(), kind))
            named = {name: effects[name] for name in names}
            intercept = simulation.spec.layout.intercept_label
            _densities(next(remaining), named, heading, what, kind, intercept)
    return np.array(axes[:panels], dtype=object)


def plot_prior_responses(
    simulation: Simulation,
    ax: Axes | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    label: str | None = None,
) -> Axes:
    """Simulated responses, the middle 99 %; of two-valued responses, the proportion in each simulated data set.

    Data, where the model has them, are drawn as an outline.
    """
    ax = ax or plt.subplots(figsize=(5.0, 4.0), layout="constrained")[1]
    spec, y = simulation.spec, shares(simulation)
    label = label or spec.layout.response.name
    binary = spec.family.support.two_levels
    values = (y.mean(axis=1) if binary else y).ravel()
    values = values[np.isfinite(values)]
    edges, scale = _bins(spec, values, bounds)
    if scale != "linear":
        ax.set_xscale(scale, **({"linthresh": 1} if scale == "symlog" else {}))
    inside = values[(values >= edges[0]) & (values <= edges[-1])]
    weights = np.full(len(inside), 1 / len(values))
    ax.hist(inside, edges.tolist(), weights=weights, color=PALE_BLUE, label="simulated")
    if simulation.design.y is not None:
        _draw_observed(ax, simulation.design, edges, binary)
    if bounds is not None:
        outside = float(np.mean((y < bounds[0]) | (y > bounds[1]) | np.isnan(y)))
        ends = [end for end in bounds if edges[0] <= end <= edges[-1]]
        for number, end in enumerate(ends):
            note = f"plausible ({100 * outside:.2g} % outside)" if number == 0 else None
            ax.axvline(end, color=VERMILLION, linestyle="--", label=note)
    name_axes(ax, "Simulated responses", f"proportion of {label}" if binary else label, "share")
    _legend(ax)
    return ax


def _bins(spec: ModelSpec, values: Array, bounds: tuple[float, float] | None) -> tuple[Array, str]:
    """Edges of bins for the middle of the simulated values and what is plausible, and the axis' scale."""
    binary, trials = spec.family.support.two_levels, spec.family.needs_trials
    low, high = np.quantile(values, [(1 - SHOWN) / 2, (1 + SHOWN) / 2])
    if binary or trials:
        low, high = -0.05, 1.05
    if bounds is not None and np.isfinite(bounds).all():
        low, high = min(low, bounds[0]), max(high, bounds[1])
    whole = spec.family.support.whole and not trials and not binary
    if whole and high - low < 60:
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1), "linear"
    if whole and high > 30 * (1 + float(np.median(values))):
        return np.r_[-0.5, np.unique(np.floor(np.geomspace(1, high, 24))) - 0.5], "symlog"
    if low > 0 and high > 1000 * max(float(np.quantile(values, 0.25)), 1e-300):
        return np.geomspace(low, high, 51), "log"
    bins = 11 if trials else 22 if binary else 50
    return np.linspace(low, high if high > low else low + 1, bins + 1), "linear"


def _draw_observed(ax: Axes, design: Design, edges: Array, binary: bool) -> None:
    """The data's own responses: an outline, or of two values a line at their mean."""
    assert design.y is not None
    if binary:
        ax.axvline(design.y.mean(), color=GREY, label="data")
        return
    seen = design.y if design.trials is None else design.y / np.maximum(design.trials, 1)
    weights = np.full(len(seen), 1 / len(seen))
    ax.hist(seen, edges.tolist(), weights=weights, histtype="step", color=GREY, label="data")


def plot_prior_groups(simulation: Simulation, ax: Axes | None = None, *, label: str | None = None) -> Axes:
    """Expected responses of groups in three simulated data sets, against the first predictor that is a number.

    A line a level; dots where other predictors differ between its points. Without a predictor that is a number, or
    without groups, a column of dots for each of twenty simulated data sets.
    """
    ax = ax or plt.subplots(figsize=(5.0, 4.0), layout="constrained")[1]
    label = label or simulation.spec.layout.response.name
    predictor = _first_number(simulation)
    factors = simulation.design.main.factors
    if predictor is None:
        return _group_dots(simulation, ax, label)
    x = simulation.frame[predictor].to_numpy(dtype=float)
    group = _first_group(simulation)
    codes = factors[group].codes if group else np.zeros(len(x), dtype=int)
    levels = np.unique(codes)[:LINES]
    others = [name for name in _predictors(simulation) if name != predictor]
    for world, (color, style) in enumerate(WORLDS[: len(simulation.means)]):
        for number, level in enumerate(levels):
            rows = np.flatnonzero(codes == level)
            points = np.unique(x[rows])
            heights = [simulation.means[world, rows[x[rows] == point]].mean() for point in points]
            name = f"simulated data set {world + 1}" if number == 0 else None
            line = len(points) > 1 and _all_alike(simulation.frame[others].iloc[rows], x[rows])
            ax.plot(
                points,
                heights,
                marker="None" if line else "o",
                color=color,
                linestyle=style if line else "None",
                linewidth=1,
                markersize=3,
                alpha=0.8,
                label=name,
            )
    name_axes(
        ax, f"Simulated lines by {group}" if group else "Simulated lines", predictor, f"expected {label}"
    )
    _legend(ax)
    return ax


def _group_dots(simulation: Simulation, ax: Axes, label: str) -> Axes:
    worlds = min(20, len(simulation.means))
    if group := _first_group(simulation):
        values = level_means(simulation, group, shares(simulation))[:worlds, :50]
        title = f"Simulated {group} means"
    else:
        values, title = simulation.responses[:worlds, :50], "Simulated responses"
    number = np.repeat(np.arange(1, worlds + 1), values.shape[1])
    ax.plot(number, values.ravel(), "o", color=BLUE, markersize=3, alpha=0.5, markeredgewidth=0)
    if (values > 0).all() and values.max() > 1000 * np.median(values):
        ax.set_yscale("log")
    ax.locator_params(axis="x", integer=True)
    name_axes(ax, title, "simulated data set", label)
    return ax


def _first_group(simulation: Simulation) -> str:
    """The first grouping factor of which rows have one level each, "" where there is none."""
    factors = simulation.design.main.factors
    return next((name for name, factor in factors.items() if len(factor.memberships) == 1), "")


def _first_number(simulation: Simulation) -> str | None:
    """The first predictor of the mean that is a number with several values."""
    frame, names = simulation.frame, _predictors(simulation)
    return next((n for n in names if frame[n].dtype.kind in "iuf" and frame[n].nunique() > 1), None)


def _all_alike(others: pd.DataFrame, x: Array) -> bool:
    """Whether the same combinations of values stand at every point of x."""
    found: dict[float, set[tuple[Any, ...]]] = {}
    for point, values in zip(x.tolist(), others.itertuples(index=False), strict=True):
        found.setdefault(point, set()).add(tuple(values))
    return all(each == found[x[0]] for each in found.values())


def _predictors(simulation: Simulation) -> list[str]:
    """The columns in the mean's formula, population-level and varying effects."""
    layout = simulation.spec.layout.main
    texts = [layout.common.text, *(encoding.text for f in layout.factors for encoding in f.encodings)]
    return list(dict.fromkeys(name for text in texts for name in predictors_in(text)))


def _densities(ax: Axes, named: dict[str, Array], heading: str, what: str, kind: str, intercept: str) -> None:
    """Implied priors as outlines, up to the 97.5 % quantile of the widest."""
    ends = {"cor": (-1.0, 1.0), "rho": (-1.0, 1.0), "icc": (0.0, 1.0)}
    values = {name: v[np.isfinite(v)] for name, v in named.items()}
    low, high = ends.get(kind, (0.0, max(float(np.quantile(v, 0.975)) for v in values.values())))
    edges = np.linspace(low, high if high > low else low + 1, 21)
    styles = ("-", "--", ":", "-.")
    colors = (BLUE, VERMILLION, GREEN, GREY)
    for number, (name, draws) in enumerate(values.items()):
        if number == len(colors):  # more could not be distinguished
            break
        inside = draws[(draws >= edges[0]) & (draws <= edges[-1])]
        shown = name.split("[", 1)[1].removesuffix("]")
        ax.hist(
            inside,
            edges.tolist(),
            weights=np.full(len(inside), 1 / len(draws)),
            histtype="step",
            color=colors[number],
            linestyle=styles[number],
            linewidth=1.5,
            label=wrap(shown.removesuffix(f", {intercept}"), 28),
        )
    left_out = len(values) - len(colors)
    title = f"{heading} (4 of {len(values)})" if left_out > 0 else heading
    name_axes(ax, title, what, "share")
    _legend(ax)


def _legend(ax: Axes) -> None:
    low, high = ax.get_ylim()
    legend = ax.legend(loc="upper right", fontsize="small", edgecolor="none", framealpha=1)
    if ax.get_yscale() == "linear":  # room above for the names, without ticks there
        ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
        room = 0.1 + 0.1 * sum(1 + text.get_text().count("\n") for text in legend.get_texts())
        ax.set_ylim(low, high + room * (high - low))
        ax.set_yticks(ticks)
    for text in legend.get_texts():
        text.set_parse_math(False)


def name_axes(ax: Axes, title: str, x: str, y: str) -> None:
    """Title and labels of a panel, long ones on several lines."""
    ax.set_title(wrap(title, 40), parse_math=False, fontsize="medium")
    ax.set_xlabel(wrap(x, 42), parse_math=False)
    ax.set_ylabel(wrap(y, 34), parse_math=False)
    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", nbins=6)
