"""All pictures of a model's fit on one page."""

from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hierbayes.answers.intervals import get_interval
from hierbayes.criticism.discrepancies import replicate, share_of_zeros, statistic
from hierbayes.criticism.residuals import residuals
from hierbayes.criticism.survival import only_right, survival_beside
from hierbayes.data.design import Design
from hierbayes.plots.basics import wrap
from hierbayes.plots.ppc import counts, draw_distribution, draw_group, draw_rootogram, draw_statistic
from hierbayes.plots.residuals import draw_fitted, draw_levels, draw_quantile, draw_scale
from hierbayes.plots.survival import draw_survival
from hierbayes.spec import ModelSpec

EFFECTS_ON_PAGE = 4
PANEL = (4.3, 3.5)  # inches of one panel of the page


def plot_check(
    spec: ModelSpec,
    design: Design,
    posterior: xr.Dataset,
    *,
    draws: int = 500,
    seed: int = 0,
    figsize: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """One page of all that can be seen of a model's fit.

    Simulated beside observed responses: their distribution, for counts a rootogram and the share of zeros, the means
    of the first factor's levels; of censored responses the survival instead, by Kaplan and Meier. Quantile residuals
    with their tests, residuals against fitted means and scale–location; level effects against their distribution, up to
    four. What is left out is named at the foot.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    draws : int
        About how many draws of the posterior the residuals are of; at most 200 simulate responses.
    seed : int
    figsize : tuple of float, optional
        Width and height in inches; made to fit the panels unless given.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, (panels,)
    """
    found = residuals(spec, design, posterior, draws, seed)
    effects = [
        (parameter, factor, effect)
        for parameter, layout in spec.layout.predictors.items()
        for factor in layout.factors
        for effect in factor.effects
    ]
    names = list(dict.fromkeys(factor.name for _, factor, _ in effects))
    censored = spec.family.known_between is not None
    if censored:
        panels = _survival(spec, design, posterior, min(draws, 200))
    else:
        panels = _simulated(spec, design, posterior, min(draws, 200), seed, names)
    panels.append(partial(draw_quantile, found=found))
    if found.have_means:
        panels.append(partial(draw_fitted, found=found, spec=spec))
        panels.append(partial(draw_scale, found=found, spec=spec))
    for parameter, factor, effect in effects[:EFFECTS_ON_PAGE]:
        options: dict[str, Any] = {"parameter": parameter, "factor": factor, "effect": effect}
        panels.append(partial(draw_levels, spec=spec, posterior=posterior, **options))
    columns = 3 if len(panels) != 4 else 2
    lines = -(-len(panels) // columns)
    size = figsize or (PANEL[0] * columns, PANEL[1] * lines)
    figure, axes = plt.subplots(lines, columns, squeeze=False, figsize=size, layout="constrained")
    for ax, draw in zip(axes.flat, panels, strict=False):
        draw(ax)
    for ax in axes.flat[len(panels) :]:
        figure.delaxes(ax)
    left_out = _left_out([] if censored else names[1:], len(effects) - EFFECTS_ON_PAGE)
    if left_out:
        figure.supxlabel(wrap(left_out, 40 * columns), fontsize="small", parse_math=False)
    return np.asarray(axes.flat[: len(panels)])


def _survival(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, draws: int
) -> list[Callable[[Axes], None]]:
    """The panel of censored responses, which no simulated ones can be laid beside."""
    if not only_right(spec, design):
        return []
    interval = get_interval()
    found = survival_beside(spec, design, posterior, draws, interval)
    return [partial(draw_survival, spec=spec, found=found, interval=interval)]


def _simulated(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, draws: int, seed: int, groups: list[str]
) -> list[Callable[[Axes], None]]:
    """Panels of simulated beside observed responses."""
    replicates = replicate(spec, design, posterior, draws, seed)
    panels: list[Callable[[Axes], None]] = [partial(draw_distribution, spec=spec, replicates=replicates)]
    if counts(spec):
        zeros = statistic(replicates, share_of_zeros, "share of zeros")
        panels.append(partial(draw_rootogram, spec=spec, replicates=replicates))
        panels.append(partial(draw_statistic, spec=spec, found=zeros))
    if groups:
        panels.append(partial(draw_group, spec=spec, design=design, replicates=replicates, group=groups[0]))
    return panels


def _left_out(names: list[str], effects: int) -> str:
    """What is not on the page, and what draws it."""
    parts = [f"means by {', '.join(names)}: plot_ppc('group', group=…)"] if names else []
    if effects > 0:
        parts.append(f"{effects} more level effects: plot_level_qq(group, effect)")
    return f"Not on this page: {'; '.join(parts)}" if parts else ""
