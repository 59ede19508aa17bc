"""A chart with a row for each level: which levels, their names, their arrows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray

from hierbayes.data.factors import Factor
from hierbayes.errors import DataError
from hierbayes.plots.basics import GREY, PALE_GREY, wrap

Array = NDArray[np.float64]

CROWD = 200  # from so many levels on, arrow heads only clutter
NAME_WIDTH = 36  # characters of a level's name in one line
TALLEST = 100.0  # inches of a figure; matplotlib draws no more than 65536 pixels


def choose_effects(factor: Factor, effects: str | Sequence[str]) -> tuple[str, ...]:
    """The effects asked for, each of which must vary by the factor."""
    chosen = (effects,) if isinstance(effects, str) else tuple(dict.fromkeys(effects))
    unknown = [effect for effect in chosen if effect not in factor.effects]
    if unknown or not chosen:
        what = f"{unknown[0]!r}, which does not vary" if unknown else "nothing that varies"
        have = ", ".join(map(repr, factor.effects))
        raise DataError(f"effects names {what} by {factor.name!r}; its effects are {have}")
    return chosen


@dataclass(frozen=True, eq=False)
class LevelRows:
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


def choose_rows(
    factor: Factor, order_by: Array, max_levels: int | None, ends: tuple[str, str] = ("lowest", "highest")
) -> LevelRows:
    """All levels in that order, or half from each end."""
    if max_levels is not None and max_levels < 2:
        raise DataError(f"max_levels must be 2 or more, or None for all; got {max_levels!r}")
    order = np.argsort(order_by, kind="stable")
    heights, note, gap = np.arange(len(order), dtype=np.float64), "", None
    if max_levels is not None and len(order) > max_levels:
        low, high = max_levels // 2, max_levels - max_levels // 2
        note = f"the {low} {ends[0]} and {high} {ends[1]} of {len(order)} levels"
        gap = (float(low), f"{len(order) - max_levels} levels between")
        order = np.concatenate([order[:low], order[len(order) - high :]])
        heights = np.concatenate([np.arange(low), np.arange(low, low + high) + 1.0])
    texts = factor.levels.texts
    names = tuple(wrap(texts[level], NAME_WIDTH) for level in order)
    return LevelRows(order, heights, names, note, gap)


def draw_arrows(ax: Axes, tails: Array, tips: Array, size: float) -> None:
    """Arrows from no pooling to partial pooling, for the levels that have both."""
    ways = np.stack([tails, tips], axis=1)[np.isfinite(tails).all(axis=1)]
    if len(tails) >= CROWD:
        ax.add_collection(LineCollection(list(ways), colors=GREY, linewidths=0.5, alpha=0.5, zorder=2))
        return
    head = "-|>,head_length=3,head_width=1.6"
    style: dict[str, Any] = {"arrowstyle": head, "shrinkA": size / 2, "shrinkB": size / 2, "linewidth": 0.9}
    for tail, tip in ways:
        ax.add_patch(FancyArrowPatch(tail, tip, **style, mutation_scale=1, color=GREY, zorder=2))
