"""What the pictures have in common: colours, words, axes, titles, marks."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hierbayes.answers.predict import scores_of
from hierbayes.data.design import MEAN, Design, is_main
from hierbayes.families.bounds import INTERVAL, LEFT, NONE, RIGHT
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]

# Okabe and Ito's blue and vermillion can be distinguished with every kind of colour vision
BLUE, PALE_BLUE, VERMILLION, GREY, PALE_GREY = "#0072B2", "#A8CCE3", "#D55E00", "#666666", "#E5E5E5"
OWN: dict[str, Any] = {"marker": "o", "color": VERMILLION, "markerfacecolor": "white", "linestyle": "none"}
POOLED: dict[str, Any] = {"marker": "o", "color": BLUE, "markeredgecolor": "white", "linestyle": "none"}
OKABE_ITO = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKS = {  # of responses, by how they are censored
    NONE: ("o", ""),
    RIGHT: ("^", ": more than this"),
    LEFT: ("v", ": this or less"),
    INTERVAL: ("D", ": from this to a later end"),
}
CROWD = 1000  # from so many points on they are drawn small and see-through


def axis_words(spec: ModelSpec, effect: str, parameter: str = MEAN) -> str:
    """The effect and the scale it is on: ``"Intercept (log odds of incidence)"``."""
    if not is_main(parameter):
        link = spec.parameter_link(parameter).name
        return f"{effect} ({parameter}{'' if link == 'identity' else f', {link} scale'})"
    response = spec.layout.response
    if spec.family.origin:
        return f"{effect} (latent {response.name})"
    two = response.levels is not None and not spec.family.has_categories
    name = f"{response.name} = {response.levels[1]}" if two and response.levels else response.name
    name = f"log {name}" if spec.family.log_response else name
    return f"{effect} ({spec.link.words.format(name)})"


def response_words(spec: ModelSpec, score: bool = False) -> str:
    """What the expected response is: ``"Reaction"``, ``"probability of use = Y"``, ``"share of incidence"``."""
    response = spec.layout.response
    if spec.family.has_categories:
        what = "probability" if spec.family.support.whole else "expected share"
        return f"{'expected score' if score else what} of {response.name}"
    if spec.family.needs_trials:
        return f"share of {response.name}"
    if spec.family.support.two_levels:
        value = "1" if response.levels is None else response.levels[1]
        return f"probability of {response.name} = {value}"
    return response.name


def scored_shares(spec: ModelSpec, design: Design) -> Array:
    """The training responses as numbers, those out of trials as shares, categories as scores: (n,)."""
    assert design.y is not None, "training rows have a response"
    if spec.family.has_categories:
        return np.asarray(scores_of(spec)[design.y.astype(np.int64)])
    y = spec.family.support.sizes(design.y)
    return y if design.trials is None else y / np.where(design.trials > 0, design.trials, np.nan)


def set_text(setter: Any, text: str, width: int) -> None:
    """Set a text with users' names in it: long ones in several lines, a dollar sign as it stands."""
    setter(wrap(text, width), parse_math=False)


def wrap(text: str, width: int) -> str:
    """A text in lines of that many characters."""
    return textwrap.fill(text, width, break_on_hyphens=False)


def new_axes(figsize: tuple[float, float]) -> Axes:
    """Axes of a new figure that leaves room for its labels."""
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def ink() -> Any:
    """Black, or what stands for it in the style in use."""
    return plt.rcParams["axes.edgecolor"]


def head(ax: Axes, title: str, note: str, columns: int) -> None:
    """Title and legend above the axes, where they hide no level."""
    corner: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    entries = len(ax.get_legend_handles_labels()[0])
    if entries:
        _enlarge(ax.legend(**corner, ncols=columns, frameon=False, fontsize="small", columnspacing=1.5))
    pad = 8 + 14 * -(-entries // columns)
    text = wrap(title, 60) + (f"\n{note}" if note else "")
    ax.set_title(text, loc="left", pad=pad, parse_math=False)


def points(n: int, colour: str = BLUE) -> dict[str, Any]:
    """How n points are drawn: many of them small and see-through."""
    crowd = n >= CROWD
    return {
        "marker": "o",
        "linestyle": "none",
        "color": colour,
        "markeredgewidth": 0,
        "markersize": 2.0 if crowd else 3.5,
        "alpha": 0.25 if crowd else 0.6,
        "rasterized": crowd,
    }


def draw_responses(
    ax: Axes, x: Array, y: Array, status: Array, kinds: Sequence[float], words: str, style: dict[str, Any]
) -> None:
    """Responses as points; of a censored one an open mark where it was last seen, which says to which side it is.

    Parameters
    ----------
    x, y, status : ndarray (n,)
        Where they are, and how each is censored.
    kinds : sequence of float
        The kinds of censoring that the legend has.
    words : str
        What they are, for the legend.
    style : dict
        Of points that are known exactly.
    """
    for kind in kinds:
        marker, beside = MARKS[kind]
        own = {} if kind == NONE else {"marker": marker, "markerfacecolor": "none", "markeredgewidth": 0.8}
        here = status == kind
        ax.plot(x[here], y[here], **(style | own), label=f"{words}{beside}")


def finish(ax: Axes, title: str, corner: Any = "best") -> None:
    """Frame, title and legend of a finished panel."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(shortened(title, 48), loc="left", fontsize="medium", parse_math=False)
    if ax.get_legend_handles_labels()[1]:
        _enlarge(ax.legend(frameon=False, fontsize="x-small", loc=corner))


def _enlarge(legend: Legend) -> None:
    """Points that are small and see-through are hardly seen one by one."""
    for handle in legend.legend_handles:
        if isinstance(handle, Line2D) and handle.get_linestyle() == "None":
            handle.set(alpha=1.0, markersize=max(4.0, handle.get_markersize()))


def shortened(name: str, width: int = 22) -> str:
    """A name cut to a width, with an ellipsis where something was cut."""
    return name if len(name) <= width else f"{name[: width - 1]}…"
