"""What the pictures of fit have in common: titles, legends, marks."""

from typing import Any

from matplotlib.axes import Axes

from hierbayes.plots import BLUE

CROWD = 2000  # from so many points on they are drawn small and see-through


def points(n: int) -> dict[str, Any]:
    """How n points are drawn: many of them small and see-through."""
    crowd = n > CROWD
    return {
        "marker": "o",
        "linestyle": "none",
        "color": BLUE,
        "markeredgewidth": 0,
        "markersize": 2.0 if crowd else 3.5,
        "alpha": 0.25 if crowd else 0.6,
        "rasterized": crowd,
    }


def finish(ax: Axes, title: str, corner: Any = "best") -> None:
    """Frame, title and legend of a finished panel."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(shortened(title, 48), loc="left", fontsize="medium", parse_math=False)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, fontsize="x-small", loc=corner)


def shortened(name: str, width: int = 22) -> str:
    """A name cut to a width, with an ellipsis where something was cut."""
    return name if len(name) <= width else f"{name[: width - 1]}…"
