"""Pictures of residuals, and of level effects against their distribution."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hierbayes.answers.intervals import Interval, get_interval
from hierbayes.criticism.discrepancies import Scores, level_scores
from hierbayes.criticism.residuals import Residuals, normal_scores, residuals
from hierbayes.data.design import MEAN, Design, prefix_of
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.plots.basics import BLUE, GREY, PALE_BLUE, VERMILLION, finish, ink, new_axes, points
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
RESIDUAL_KINDS = ("quantile", "fitted", "scale")


def plot_residuals(
    spec: ModelSpec,
    design: Design,
    posterior: xr.Dataset,
    kind: str = "quantile",
    *,
    draws: int | None = 1000,
    seed: int = 0,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Residuals of the training rows.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    kind : {"quantile", "fitted", "scale"}
        Quantile residuals against the uniform distribution they have under the model, with the tests' p-values;
        quantile residuals against fitted means, with their running quartiles; or the size of Pearson's
        residuals (of a Student response: of normal scores) against fitted means.
    draws : int or None
        About how many draws of the posterior to use; None for all.
    seed : int
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure unless given.
    figsize : tuple of float, optional
        Width and height of the new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if kind not in RESIDUAL_KINDS:
        raise DataError(f"kind must be one of {', '.join(RESIDUAL_KINDS)}; got {kind!r}")
    found = residuals(spec, design, posterior, draws, seed)
    if kind != "quantile" and not found.have_means:
        raise UnsupportedError(
            f"responses of family {spec.family.name!r} have no means to draw residuals against; kind='quantile' "
            "needs none"
        )
    ax = ax or new_axes(figsize or (6.0, 4.5))
    if kind == "quantile":
        draw_quantile(ax, found)
    elif kind == "fitted":
        draw_fitted(ax, found, spec)
    else:
        draw_scale(ax, found, spec)
    return ax


def plot_level_qq(
    spec: ModelSpec,
    posterior: xr.Dataset,
    group: str | None = None,
    effect: str | None = None,
    *,
    parameter: str = MEAN,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Effects of the levels, over their standard deviation, against the normal distribution they are drawn from.

    Parameters
    ----------
    spec : ModelSpec
    posterior : xarray.Dataset
    group : str, optional
        A grouping factor; the first unless given.
    effect : str, optional
        One of its varying effects; the first unless given.
    parameter : str
        The parameter whose formula it stands in.
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
        For a model without grouping factors, or an unknown factor or effect.
    """
    factors = {factor.name: factor for factor in spec.layout.predictors[parameter].factors}
    if not factors:
        raise DataError(f"{parameter}'s formula has no grouping factor, whose levels' effects could be drawn")
    name = next(iter(factors)) if group is None else group
    if name not in factors:
        have = ", ".join(factors)
        raise DataError(f"{group!r} is no grouping factor of {parameter}'s formula; it has {have}")
    factor = factors[name]
    if effect is not None and effect not in factor.effects:
        raise DataError(f"{effect!r} does not vary by {name!r}; its effects are {', '.join(factor.effects)}")
    ax = ax or new_axes(figsize or (5.0, 4.5))
    draw_levels(ax, spec, posterior, parameter, factor, effect or factor.effects[0])
    return ax


# -- residuals ----------------------------------------------------------------------------------------------


def draw_quantile(ax: Axes, found: Residuals) -> None:
    """Ordered quantile residuals against uniform quantiles, with the tests' p-values."""
    quantile = np.sort(found.table["quantile"].to_numpy())
    n = len(quantile)
    expected = (np.arange(1, n + 1) - 0.5) / n
    ax.plot([0, 1], [0, 1], color=ink(), linewidth=1)
    ax.plot(expected, quantile, **points(n))
    p_values = found.tests["p_value"]
    words = "\n".join(f"{name}: p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}" for name, p in p_values.items())
    ax.text(0.03, 0.97, words, transform=ax.transAxes, va="top", fontsize="small")
    ax.set_xlabel("uniform quantile")
    ax.set_ylabel("quantile residual")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    finish(ax, "Quantile residuals")


def draw_fitted(ax: Axes, found: Residuals, spec: ModelSpec) -> None:
    """Quantile residuals against fitted means, with running quartiles."""
    fitted, quantile = found.table["fitted"].to_numpy(), found.table["quantile"].to_numpy()
    ax.plot(fitted, quantile, **points(len(fitted)))
    for level in (0.25, 0.5, 0.75):
        ax.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        x, running = _running(fitted, quantile, level)
        label = "running quartiles" if level == 0.5 else None
        ax.plot(x, running, color=VERMILLION, linewidth=1.6, label=label)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel(_fitted_words(spec), parse_math=False)
    ax.set_ylabel("quantile residual")
    finish(ax, "Residuals against fitted")


def draw_scale(ax: Axes, found: Residuals, spec: ModelSpec) -> None:
    """Root of the size of Pearson's residuals, or of normal scores, against fitted means."""
    fitted = found.table["fitted"].to_numpy()
    pearson = spec.family.has_variance
    scaled = (
        found.table["pearson"].to_numpy() if pearson else normal_scores(found.table["quantile"].to_numpy())
    )
    size = np.sqrt(np.abs(scaled))
    usable = np.isfinite(size)
    ax.plot(fitted[usable], size[usable], **points(len(fitted)))
    x, running = _running(fitted[usable], size[usable], 0.5)
    ax.plot(x, running, color=VERMILLION, linewidth=1.6, label="running median")
    ax.set_ylim(bottom=0)
    ax.set_xlabel(_fitted_words(spec), parse_math=False)
    ax.set_ylabel("√ |Pearson residual|" if pearson else "√ |normal score of the residual|")
    finish(ax, "Scale–location")


def _fitted_words(spec: ModelSpec) -> str:
    return f"fitted {spec.layout.response.name}"


def _running(x: Array, y: Array, level: float) -> tuple[Array, Array]:
    """Quantile of y in windows of the ordered x, about a fifth of the rows each: at up to 40 places."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    n = len(x)
    half = max(15, n // 10)  # fewer rows say nothing of a quartile
    centres = np.unique(np.linspace(0, n - 1, 40).astype(int))
    windows = [slice(max(0, c - half), min(n, c + half + 1)) for c in centres]
    return np.array([np.median(x[w]) for w in windows]), np.array([np.quantile(y[w], level) for w in windows])


# -- level effects ------------------------------------------------------------------------------------------


def draw_levels(
    ax: Axes, spec: ModelSpec, posterior: xr.Dataset, parameter: str, factor: Factor, effect: str
) -> None:
    """One effect's standardised level effects against normal quantiles."""
    interval = get_interval()
    scores = level_scores(spec, posterior, parameter, factor, effect, interval)
    _draw_scores(ax, scores, interval)
    prefix = prefix_of(parameter, ": ")
    ax.set_xlabel("normal quantile")
    words = f", {factor.law.words} to normal" if factor.law.words else ""
    ax.set_ylabel(f"effect / sd{words}, ordered")
    finish(ax, f"{prefix}{effect} by {factor.name}", "upper left")


def _draw_scores(ax: Axes, scores: Scores, interval: Interval) -> None:
    many = len(scores.expected) > 100
    if many:
        ax.fill_between(scores.expected, scores.lower, scores.upper, color=PALE_BLUE, label=str(interval))
    else:
        ax.vlines(
            scores.expected, scores.lower, scores.upper, color=PALE_BLUE, linewidth=2, label=str(interval)
        )
    ends = scores.expected[[0, -1]] if len(scores.expected) > 1 else np.array([-1.0, 1.0])
    ax.plot(ends, ends, color=ink(), linewidth=1)
    ax.plot(
        scores.expected, scores.mean, "o", color=BLUE, markersize=2 if many else 4, label="posterior mean"
    )
