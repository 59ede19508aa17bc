"""The levels' deviations from the population, ordered, with intervals: caterpillar plots."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import flat_draws
from hierbayes.answers.intervals import Interval, centre, get_interval, summarise
from hierbayes.answers.ranks import find_factor
from hierbayes.data.design import MEAN
from hierbayes.plots.basics import BLUE, POOLED, axis_words, head, ink, set_text
from hierbayes.plots.levels import choose_effects, choose_rows
from hierbayes.spec import ModelSpec


def plot_ranef(
    spec: ModelSpec,
    posterior: xr.Dataset,
    group: str | None = None,
    *,
    effects: str | Sequence[str] | None = None,
    prob: float | None = None,
    interval: str | None = None,
    figsize: tuple[float, float] | None = None,
    max_levels: int | None = 60,
    parameter: str = MEAN,
) -> NDArray[Any]:
    """Deviations of the levels from the population: a panel an effect, a row a level.

    The levels are ordered by posterior mean of the first effect, alike in all panels. The marker is the
    posterior mean, the thick line the 50% interval.

    Parameters
    ----------
    spec : ModelSpec
    posterior : xarray.Dataset
    group : str, optional
        A grouping factor of the parameter's formula; the first unless given.
    effects : str or list of str, optional
        The varying effects to show; all unless given.
    prob : float, optional
        Probability of the thin line's interval; from ``arviz.rcParams`` unless given.
    interval : {"eti", "hdi"}, optional
        The kind of both; from ``arviz.rcParams`` unless given.
    figsize : tuple of float, optional
        Width and height in inches; made to fit panels and levels unless given.
    max_levels : int or None
        Of more levels the lowest and the highest are shown, half each, and the title says so. None: no limit.
    parameter : str
        In whose formula the factor stands.

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
    factor = find_factor(spec, group, parameter)
    chosen = factor.effects if effects is None else choose_effects(factor, effects)
    thin = get_interval(prob, interval)
    places = [factor.effects.index(effect) for effect in chosen]
    r = flat_draws(posterior, spec.factor_variables(parameter, factor)["r"])
    has, means = factor.has[:, places], r.mean(axis=0)[:, places]
    shown = factor.only(np.flatnonzero(has.any(axis=1)))
    r, has, means = r[:, has.any(axis=1)], has[has.any(axis=1)], means[has.any(axis=1)]
    rows = choose_rows(shown, means[np.arange(len(means)), has.argmax(axis=1)], max_levels)
    size = figsize or rows.figsize(*[4.4 if len(chosen) == 1 else 3.4] * len(chosen))
    _, axes = plt.subplots(1, len(chosen), sharey=True, squeeze=False, layout="constrained", figsize=size)
    for ax, effect, place, own in zip(axes[0], chosen, places, has[rows.levels].T, strict=True):
        ax.axvline(0, color=ink(), linewidth=1, zorder=1)
        draws, heights = r[:, rows.levels[own], place], rows.heights[own]
        middle = centre(pd.DataFrame(summarise(draws, thin)))
        ax.plot(middle, heights, **POOLED, markersize=6, zorder=3, label="posterior mean")
        for line, width in ((Interval(0.5, thin.kind), 3.0), (thin, 1.0)):
            lower, upper = line.bounds(draws)
            ax.hlines(heights, lower, upper, color=BLUE, linewidth=width, label=str(line))
        set_text(ax.set_xlabel, f"Deviation in {axis_words(spec, effect, parameter)}", 46)
        ax.locator_params(axis="x", nbins=5)  # numbers of neighbouring panels must not meet
        rows.finish(ax)
    head(axes[0, 0], f"Deviations by {factor.name}", rows.note, columns=3)
    rows.write_names(axes[0, 0])
    return np.asarray(axes[0])
