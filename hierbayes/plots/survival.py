"""The survival of responses, by Kaplan and Meier, beside the curve that the model expects."""

import numpy as np
from matplotlib.axes import Axes

from hierbayes.answers.intervals import Interval
from hierbayes.criticism.survival import Curves, KaplanMeier
from hierbayes.plots.basics import BLUE, PALE_BLUE, VERMILLION, finish
from hierbayes.spec import ModelSpec


def draw_survival(ax: Axes, spec: ModelSpec, found: tuple[KaplanMeier, Curves], interval: Interval) -> None:
    """A step for each time at which responses end, with its confidence interval; ticks where some were last seen."""
    observed, expected = found
    first = expected.times[0]
    start, one = np.array([first]), np.ones(1)
    times = np.concatenate([start, observed.times])

    def stepped(values: np.ndarray) -> np.ndarray:
        return np.concatenate([one, values])

    ax.fill_between(expected.times, expected.lower, expected.upper, color=PALE_BLUE, linewidth=0, alpha=0.6)
    ax.plot(expected.times, expected.mean, color=BLUE, linewidth=1.8, label=f"expected, its {interval}")
    ax.step(
        times, stepped(observed.survival), where="post", color=VERMILLION, linewidth=1.6, label="Kaplan–Meier"
    )
    for values, label in (
        (observed.lower, f"its {interval.prob:.0%} confidence interval"),
        (observed.upper, None),
    ):
        ax.step(
            times, stepped(values), where="post", color=VERMILLION, linewidth=0.8, linestyle=":", label=label
        )
    if observed.censored.size:
        before = np.searchsorted(observed.times, observed.censored, side="right")
        heights = stepped(observed.survival)[before]
        ax.plot(observed.censored, heights, "|", color=VERMILLION, markersize=6, label="censored")
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(spec.layout.response.name, parse_math=False)
    ax.set_ylabel("share that is more")
    finish(ax, "Survival, observed and expected")
