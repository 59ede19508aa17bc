"""The page of the last calibration: its figures, and a table of p-values."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.calibration.simulation import KEPT, Calibration
from tests.calibration.uniformity import bands, counts, p_value, points
from tests.equality.page import section

RANKS = Path(__file__).parent / "ranks.json"
BAND = 0.95
COLUMNS = 4

INTRODUCTION = (Path(__file__).parent / "introduction.md").read_text()


def load_ranks() -> dict[str, Any]:
    """The last ranks of every setting."""
    return json.loads(RANKS.read_text()) if RANKS.exists() else {}


def keep(
    name: str,
    formula: str | dict[str, str] | list[str],
    family: str | list[str],
    strategy: str,
    found: Calibration,
    order: list[str],
) -> None:
    """Put a setting's ranks among those kept."""
    kept = load_ranks() | {
        name: {
            "formula": formula,
            "family": family,
            "strategy": strategy,
            "divergences": found.divergences,
            "seconds": round(found.seconds),
            "ranks": {quantity: ranks.tolist() for quantity, ranks in found.ranks.items()},
        }
    }
    RANKS.write_text(json.dumps({key: kept[key] for key in order if key in kept}) + "\n")


def write_page(folder: Path) -> None:
    """docs/calibration.md and its figures."""
    settings = load_ranks()
    p = {
        (name, quantity): p_value(np.array(ranks), KEPT)
        for name, setting in settings.items()
        for quantity, ranks in setting["ranks"].items()
    }
    worst = min(p, key=lambda key: p[key])
    replications = len(next(iter(next(iter(settings.values()))["ranks"].values())))
    parts = [
        INTRODUCTION.format(
            replications=replications, kept=KEPT, band=BAND, tests=len(p), stray=len(p) * (1 - BAND),
            limit=0.01 / len(p), smallest=p[worst], where=f"{worst[1]} of {worst[0]}",
        )
    ]  # fmt: skip
    for name, setting in settings.items():
        figure = f"figures/calibration-{name}.png"
        draw(setting["ranks"], folder / figure)
        parts += [
            f"## {name}\n",
            f"{formulas(setting['formula'])}, {families(setting['family'])}, strategy `{setting['strategy']}`; "
            f"{setting['divergences']} divergences in all, {setting['seconds']} s.\n",
            f"![Rank distributions minus the uniform one, with their simultaneous bands]({figure})\n",
            "| quantity | p |\n|---|---|",
            *(f"| `{escaped(q)}` | {p[name, q]:.2g} |" for q in setting["ranks"]),
            "",
        ]
    (folder / "calibration.md").write_text("\n".join([*parts, section()]))


def formulas(stated: str | dict[str, str] | list[str]) -> str:
    """A formula, or one for each parameter or response, as code."""
    lines = [stated] if isinstance(stated, str) else stated
    lines = [f"{name}: {text}" for name, text in lines.items()] if isinstance(lines, dict) else lines
    return ", ".join(f"`{line}`" for line in lines)


def families(stated: str | list[str]) -> str:
    """The family, or each response's."""
    return stated if isinstance(stated, str) else " and ".join(stated)


def escaped(quantity: str) -> str:
    """A name in a cell of a table, whose columns a bar parts."""
    return quantity.replace("|", "\\|")


def draw(ranks: dict[str, list[int]], file: Path) -> None:
    """A panel a quantity: empirical minus uniform distribution of its ranks over the band."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    n = len(next(iter(ranks.values())))
    at = points(KEPT)
    lower, upper = bands(n, KEPT, BAND)
    rows = -(-len(ranks) // COLUMNS)
    figure, axes = plt.subplots(
        rows,
        COLUMNS,
        figsize=(11, 2.2 * rows + 0.5),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (quantity, values) in zip(axes.flat, ranks.items(), strict=False):
        ax.fill_between(at, lower - at, upper - at, color="0.85", step="mid")
        ax.plot(at, counts(np.array(values), KEPT) / n - at, color="#0072B2", drawstyle="steps-mid")
        ax.axhline(0, color="0.4", linewidth=0.6)
        ax.set_title(quantity, fontsize=9)
    for ax in axes.flat[len(ranks) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(len(ranks) - COLUMNS, 0) : len(ranks)]:
        ax.tick_params(labelbottom=True)  # the lowest panel of its column
    figure.supxlabel("rank of the truth, as a share of the draws", fontsize=10)
    figure.supylabel("share of replications below, minus uniform", fontsize=10)
    figure.savefig(file, dpi=110)
    plt.close(figure)
