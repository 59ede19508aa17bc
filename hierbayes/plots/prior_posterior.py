"""Priors beside posteriors, a panel a quantity."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hierbayes.answers.draws import flatten
from hierbayes.errors import DataError
from hierbayes.implied import inner_quantities
from hierbayes.plots.basics import BLUE, GREY
from hierbayes.plots.priors import name_axes
from hierbayes.simulation import sample_prior
from hierbayes.spec import ModelSpec
from hierbayes.standing import quantity_standing

Array = NDArray[np.float64]
MOST_PANELS = 12


def plot_prior_posterior(
    spec: ModelSpec,
    posterior: Any,
    names: Sequence[str] | None = None,
    *,
    draws: int = 4000,
    seed: int = 0,
    figsize: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Prior and posterior of each quantity that `Fit.summary` lists, a panel each.

    Both are where the priors are stated: intercepts, and what correlates with them, at the predictors' means. A panel
    shows the posterior and as much of the prior as lies within six times its width.

    Parameters
    ----------
    spec : ModelSpec
    posterior : xarray.Dataset
    names : sequence of str, optional
        Names as in `Fit.summary`; the first twelve unless given, and the heading says of how many.
    draws : int
        Of the prior.
    seed : int
    figsize : tuple of float, optional
        Inches.

    Returns
    -------
    ndarray of matplotlib.axes.Axes

    Raises
    ------
    DataError
        For a name that is no quantity of the model.
    PriorError
        For an improper prior, which cannot be simulated.
    """
    before = inner_quantities(spec, sample_prior(spec, draws, seed))
    after, where = inner_quantities(spec, flatten(spec, posterior)), quantity_standing(spec)
    chosen = list(after)[:MOST_PANELS] if names is None else list(names)
    unknown = [name for name in chosen if name not in after]
    if unknown:
        raise DataError(f"{unknown[0]!r} is no quantity of this model; it has {', '.join(after)}")
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    size = figsize or (2.9 * columns, 2.3 * rows + 0.4)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for ax, name in zip(grid.ravel(), chosen, strict=False):
        _beside(ax, before[name], after[name], f"{name} {where.get(name, '')}".rstrip())
    for ax in grid.ravel()[len(chosen) :]:
        ax.remove()
    some = f"the first {len(chosen)} of {len(after)} quantities; names=[…] draws others"
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=2,
        frameon=False,
        title=some if names is None and len(chosen) < len(after) else None,
    )
    return np.array(grid.ravel()[: len(chosen)], dtype=object)


def _beside(ax: Axes, prior: Array, posterior: Array, name: str) -> None:
    low, high = np.quantile(posterior, [0.001, 0.999])
    width = high - low
    if not width > 1e-6 * abs(high):  # a fixed value, but for rounding
        low, high, width = low - 0.5 * abs(low), high + 0.5 * abs(high), abs(high) or 1.0
    start, end = np.quantile(prior, [0.01, 0.99])
    low, high = max(min(low, start), low - 6 * width), min(max(high, end), high + 6 * width)
    edges = np.linspace(low, high if high > low else low + width, 61)
    for values, color, style, label in ((prior, GREY, "--", "prior"), (posterior, BLUE, "-", "posterior")):
        inside = values[(values >= edges[0]) & (values <= edges[-1])]
        weights = np.full(len(inside), 1 / (len(values) * (edges[1] - edges[0])))
        ax.hist(
            inside,
            edges.tolist(),
            weights=weights,
            histtype="step",
            color=color,
            linestyle=style,
            label=label,
        )
    name_axes(ax, "", name, "density")
    ax.xaxis.label.set_fontsize("small")
    ax.locator_params(axis="x", nbins=4)
