"""Probabilities of categories along a predictor: a curve a category with its ribbon, or their shares stacked."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from hierbayes.answers.intervals import centre
from hierbayes.errors import DataError
from hierbayes.plots.basics import BLUE, OKABE_ITO, VERMILLION, ink

Array = NDArray[np.float64]
STYLES = ("-", "--", ":", "-.")  # of what the curves differ by beside the category
MARKERS = ("o", "s", "^", "D")
WIDTH = 0.6  # of the bars and of the points of one place


def category_colours(count: int, ordered: bool) -> list[Any]:
    """A colour for each category: along a scale where they are in an order.

    Examples
    --------
    >>> len(category_colours(5, ordered=True))
    5
    """
    if not ordered:
        return [OKABE_ITO[place % len(OKABE_ITO)] for place in range(count)]
    ends, middle = (np.array(to_rgb(VERMILLION)), np.array(to_rgb(BLUE))), np.array([0.78, 0.74, 0.70])
    found = []
    for at in np.linspace(-1, 1, count):
        share = abs(at) ** 0.8
        found.append(tuple(share * ends[int(at > 0)] + (1 - share) * middle))
    return found


def draw_curves(
    ax: Axes,
    x: Array,
    part: pd.DataFrame,
    colours: list[Any],
    labels: list[str],
    words: str,
    variant: int,
    line: bool,
) -> None:
    """A curve with its band for each category of one part, rows by predictor value and category; words for the part."""
    count = len(colours)
    if variant >= len(STYLES):
        raise DataError(
            f"more than {len(STYLES)} lines a category cannot be told apart; hold some predictors by at="
        )
    for place, colour in enumerate(colours):
        here = part.iloc[place::count]
        lower, upper = here["lower"].to_numpy(), here["upper"].to_numpy()
        style: dict[str, Any] = {"color": colour, "label": labels[place], "zorder": 3}
        if line:
            ax.fill_between(x, lower, upper, color=colour, alpha=0.2, linewidth=0, zorder=2)
            ax.plot(x, centre(here), linestyle=STYLES[variant], linewidth=1.8, **style)
            continue
        at = x + WIDTH * ((place + 0.5) / count - 0.5) + 0.04 * variant
        ax.vlines(at, lower, upper, color=colour, linewidth=2.5, zorder=2.5)
        shape: dict[str, Any] = {"marker": MARKERS[variant], "markeredgecolor": "white", "markersize": 7}
        ax.plot(at, centre(here), linestyle="none", **shape, **style)
    if words:
        kind: dict[str, Any] = (
            {"linestyle": STYLES[variant]} if line else {"linestyle": "none", "marker": MARKERS[variant]}
        )
        ax.plot([], [], color=ink(), label=words, **kind)


def draw_stacked(
    ax: Axes, x: Array, part: pd.DataFrame, colours: list[Any], labels: list[str], line: bool
) -> None:
    """Posterior means on top of each other, the first category at the bottom: they fill the axes."""
    count = len(colours)
    shares = centre(part).to_numpy().reshape(-1, count)
    tops = np.cumsum(shares, axis=1)
    for place, colour in enumerate(colours):
        bottom = tops[:, place] - shares[:, place]
        if line:
            ax.fill_between(x, bottom, tops[:, place], color=colour, linewidth=0, label=labels[place])
        else:
            ax.bar(x, shares[:, place], WIDTH, bottom, color=colour, label=labels[place])
    ax.set_ylim(0, 1)
    if line:
        ax.set_xlim(x.min(), x.max())
