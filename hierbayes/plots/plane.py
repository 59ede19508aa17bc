"""Levels in the plane of two effects: own and pooled estimates, the population's ellipses, names that fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from numpy.typing import NDArray

from hierbayes.plots.basics import GREY, OWN, POOLED, ink, wrap
from hierbayes.plots.levels import CROWD, NAME_WIDTH, draw_arrows

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

ALL_NAMED = 25  # up to so many levels the plane names every one
GAPS, TURNS = (6.0, 10.0, 15.0, 22.0, 30.0, 40.0), 16  # where a name may stand: points away, directions
LEADERS_FROM = 2 * TURNS  # a name farther than the second gap is joined to its marker


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """Coefficients of G levels for k effects (G, k), the population's (k,) and their covariance (k, k).

    `radius` gives how far out, in standard deviations, so much of the population is.
    """

    alone: Array
    pooled: Array
    lower: Array
    upper: Array
    centre: Array
    spread: Array
    radius: Callable[[float], float]

    @property
    def has_own(self) -> Mask:
        """The levels that their own rows settle: (G,)."""
        return np.isfinite(self.alone).all(axis=1)

    @property
    def own_words(self) -> str:
        """What the open markers are, and how many levels have none."""
        none, total = int((~self.has_own).sum()), len(self.alone)
        return "own rows alone" + (f" (not estimable for {none} of {total} levels)" if none else "")

    def farthest(self, points: Array) -> list[int]:
        """The levels by Mahalanobis distance of their points from the population, those without one last."""
        away = np.nan_to_num(points - self.centre)
        distances = (away @ np.linalg.pinv(self.spread) * away).sum(axis=1)
        order: list[int] = np.argsort(-distances, kind="stable").tolist()
        return order

    def ellipse(self, prob: float) -> Array:
        """The curve that holds `prob` of the population of two effects: (points, 2)."""
        variances, axes = np.linalg.eigh(self.spread)
        angles = np.linspace(0, 2 * np.pi, 181)
        circle = self.radius(prob) * np.column_stack([np.cos(angles), np.sin(angles)])
        return np.asarray(self.centre + circle @ (axes * np.sqrt(np.maximum(variances, 0))).T)


def near_levels(values: Shrinkage, max_levels: int | None) -> Mask:
    """The levels whose own estimates the frame must hold: (G,).

    Of few levels all. Of many those within three times the range of the pooled ones, so that a few poor
    estimates do not squash the rest.
    """
    if max_levels is None or len(values.pooled) <= max_levels:
        return values.has_own
    core = np.concatenate([values.pooled, values.ellipse(0.9)])
    low, high = core.min(axis=0), core.max(axis=0)
    return np.asarray(((values.alone >= 2 * low - high) & (values.alone <= 2 * high - low)).all(axis=1))


def draw_plane(ax: Axes, values: Shrinkage, near: Mask) -> str:
    """Two effects; returns what the title is to say of estimates beyond the frame."""
    count = len(values.pooled)
    size = 6.0 if count <= ALL_NAMED else 4.5 if count < CROWD else 3.0
    over = 4.5 if count > ALL_NAMED else 1.0  # many markers would hide the ellipses
    draw_arrows(ax, values.alone, values.pooled, size)
    ax.plot(*values.alone.T, **OWN, markersize=size, zorder=3, label=values.own_words)
    filled = {**POOLED, "markersize": size + 0.5, "markeredgewidth": size / 10}
    ax.plot(*values.pooled.T, **filled, zorder=4, label="partial pooling")
    ax.plot(*values.ellipse(0.5).T, color=GREY, linewidth=1, zorder=over, label="50% and 90% of levels")
    ax.plot(*values.ellipse(0.9).T, color=GREY, linewidth=1, zorder=over)
    cross: dict[str, Any] = {"marker": "x", "color": ink(), "linestyle": "none", "markeredgewidth": 2.2}
    ax.plot(*values.centre, **cross, markersize=10, zorder=5, label="population")
    ax.spines[["top", "right"]].set_visible(False)
    held = np.concatenate([values.pooled, values.ellipse(0.9), values.alone[near]])
    low, high = held.min(axis=0), held.max(axis=0)
    margin = 0.08 * (high - low)
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
    beyond = int((values.has_own & ~near).sum())
    return f"own estimates of {beyond} of {count} levels lie beyond the frame" if beyond else ""


# -- names ------------------------------------------------------------------------------------------------


def write_names(ax: Axes, values: Shrinkage, names: list[tuple[int, str]]) -> None:
    """Write levels' names beside their open markers, clear of each other and inside the frame.

    Greedy, in the order given: of many places around the marker, the one that hides least.
    """
    if not names:
        return
    ax.figure.canvas.figure.draw_without_rendering()  # settles the axes' place, on which pixels depend
    frame, point, pixels = ax.get_window_extent(), ax.figure.dpi / 72, ax.transData.transform
    tips, tails = pixels(values.pooled), pixels(values.alone)
    seen = ((tails > frame.min) & (tails < frame.max)).all(axis=1)
    ends, anchors = np.where(seen[:, None], [values.alone, tails], [values.pooled, tips])
    markers = np.concatenate([tips, tails[seen], pixels(values.centre[None])])
    ways = (tips + np.linspace(0.1, 0.9, 9)[:, None, None] * (anchors - tips)).reshape(-1, 2)
    lines = np.concatenate([ways, pixels(values.ellipse(0.5)), pixels(values.ellipse(0.9))])
    taken = np.empty((0, 4))
    for level, name in names:
        text = _write(ax, name, ends[level])
        extent = Text.get_window_extent(text)  # without the leader line
        half = np.array([extent.width, extent.height]) / 2
        offsets, boxes, cost = _places(anchors[level], anchors[level] - tips[level], half, point)
        cost += 30 * _inside(markers, boxes, 5 * point).sum(axis=1) + _inside(lines, boxes, point).sum(axis=1)
        cost[(boxes[:, :2] < frame.min).any(axis=1) | (boxes[:, 2:] > frame.max).any(axis=1)] = np.inf
        apart = 2 * point
        meet = (boxes[:, None, :2] < taken[:, 2:] + apart) & (boxes[:, None, 2:] > taken[:, :2] - apart)
        cost[meet.all(axis=2).any(axis=1)] = np.inf
        best = int(np.argmin(cost))
        if not np.isfinite(cost[best]):
            text.remove()
            continue
        taken = np.concatenate([taken, boxes[[best]]])
        text.set_position(tuple(offsets[best] / point))
        if text.arrow_patch is not None:
            text.arrow_patch.set_visible(best >= LEADERS_FROM)


def _write(ax: Axes, name: str, end: Array) -> Annotation:
    place: dict[str, Any] = {"xy": tuple(end), "xytext": (0, 0), "textcoords": "offset points"}
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "small", "parse_math": False}
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
    text = ax.annotate(wrap(name, NAME_WIDTH), **place, **style, arrowprops=leader, zorder=6)
    text.set_in_layout(False)
    return text


def _places(anchor: Array, outward: Array, half: Array, point: float) -> tuple[Array, Array, Array]:
    """Places for a box of that half size around an anchor, all in pixels.

    Returns the offsets of its middle (m, 2), the boxes (m, 4) as left, bottom, right, top, and a cost (m,)
    that grows with distance and with turning away from `outward`.
    """
    gaps = np.repeat(GAPS, TURNS)
    angles = np.tile(np.arange(TURNS) * 2 * np.pi / TURNS, len(GAPS))
    towards = np.column_stack([np.cos(angles), np.sin(angles)])
    edge = towards / np.abs(towards).max(axis=1, keepdims=True)
    offsets = half * edge + gaps[:, None] * point * towards
    turned = 1 - towards @ outward / max(float(np.hypot(*outward)), 1e-9)
    boxes = np.hstack([anchor + offsets - half, anchor + offsets + half])
    return offsets, boxes, 0.4 * gaps + 1.5 * turned


def _inside(points: Array, boxes: Array, pad: float) -> Mask:
    """Which points (k, 2) lie in which boxes (m, 4), or within `pad` of them: (m, k)."""
    x, y = points.T
    left, bottom, right, top = boxes.T[..., None]
    return np.asarray((x > left - pad) & (x < right + pad) & (y > bottom - pad) & (y < top + pad))
