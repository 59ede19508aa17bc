"""Results as a page: what came out is kept in results.json, docs/benchmarks.md shows it."""

import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"

INTRODUCTION = (Path(__file__).parent / "introduction.md").read_text()

COLUMNS = {  # heading: (figure, format)
    "fit(), s": ("seconds", "{:.2f}"),
    "call, s": ("call", "{:.2f}"),
    "CPU, s": ("cpu", "{:.2f}"),
    "first, s": ("first", "{:.2f}"),
    "model, s": ("model", "{:.2f}"),
    "in all, s": ("total", "{:.2f}"),
    "moments, s": ("moments", "{:.2f}"),
    "process, s": ("process", "{:.1f}"),
    "peak, MB": ("peak_mb", "{:,.0f}"),
    "ESS": ("ess", "{:,.0f}"),
    "of levels": ("ess_levels", "{:,.0f}"),
    "ESS/s": ("rate", "{:,.4g}"),
    "ESS/gradient": ("ess_gradient", "{:.4f}"),
    "diverged": ("divergences", "{:.0f}"),
}


def load_results() -> dict[str, Any]:
    """The results kept so far, by row."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(results: list[dict[str, Any]], order: list[str]) -> dict[str, Any]:
    """Put new results among those kept, in the rows' order."""
    kept = load_results() | {result["name"]: result for result in results}
    ordered = {name: kept[name] for name in order if name in kept}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")
    return ordered


def write_page(results: dict[str, Any], page: Path) -> None:
    """The page of all results."""
    parts = [INTRODUCTION, _verdicts(results), *(_section(result) for result in results.values())]
    page.write_text("\n".join(parts))


def _verdicts(results: dict[str, Any]) -> str:
    lines = [
        "## What was asked, and what came out\n",
        "| row | figure | asked | measured | | load |",
        "|---|---|---|---|---|---|",
    ]
    for result in results.values():
        for verdict in result["verdicts"]:
            value = "–" if verdict["value"] is None else f"{verdict['value']:,.3g}"
            met = {True: "met", False: "**missed**", None: "not measured"}[verdict["met"]]
            asked = f"{verdict['words']} | {verdict['limit']}"
            lines.append(f"| {result['name']} | {asked} | {value} | {met} | {max(result['load']):.0f} |")
    return "\n".join(lines) + "\n"


def _section(result: dict[str, Any]) -> str:
    runs = {name: each for name, each in result["runs"].items() if each}
    columns = {
        heading: (figure, form)
        for heading, (figure, form) in COLUMNS.items()
        if any(run.get(figure) is not None for each in runs.values() for run in each)
    }
    lines = [f"## {result['name']}\n", f"{result['work'][0].upper()}{result['work'][1:]}.\n"]
    lines.append("| | runs | " + " | ".join(columns) + " |")
    lines.append("|---" * (len(columns) + 2) + "|")
    for name, each in runs.items():
        label = each[0].get("strategy")
        label = f"{name}, `{label}`" if label else name
        cells = [_cell(each, figure, form) for figure, form in columns.values()]
        lines.append(f"| {label} | {len(each)} | " + " | ".join(cells) + " |")
    lines += [
        f"\n{name}, CPU s: {run['each']}." for name, each in runs.items() for run in each[:1] if "each" in run
    ]
    lines += [f"\n{note}." for note in result["notes"]]
    versions = {run["version"] for each in runs.values() for run in each if "version" in run}
    low, high = result["load"]
    elapsed = f"{result['elapsed']:.0f} s in all, " if "elapsed" in result else ""
    lines.append(
        f"\n{result['when']}, {elapsed}commit {result['commit']}, load {low:.1f} to {high:.1f}; {result['machine']}; "
        f"{', '.join([*sorted(versions), result['versions']])}.\n"
    )
    return "\n".join(lines)


def _cell(runs: list[dict[str, Any]], figure: str, form: str) -> str:
    values = [run[figure] for run in runs if run.get(figure) is not None]
    if not values:
        return ""
    middle = form.format(statistics.median(values))
    low, high = form.format(min(values)), form.format(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"
