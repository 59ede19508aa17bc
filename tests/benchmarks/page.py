"""Results as a page: what came out is kept in results.json, docs/benchmarks.md shows it."""

import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"

INTRODUCTION = """\
# Benchmarks

Speed and effective draws, beside those of other packages measured in the same run. Written by the command below;
what was missed is said as plainly as what was met.

```sh
python -m tests.benchmarks                         # every row; or name some: python -m tests.benchmarks sleepstudy cbpp
python -m tests.benchmarks --list
python -m tests.benchmarks insteval --write docs/benchmarks.md     # keep the results and write this page
```

The contenders of a row run in turn, A, B, A, B, …, each time in a process of its own, after one of hierbayes that doesn't count (it fills
the cache of kernels). A figure is the median of the runs, with the smallest and largest in brackets; a ratio is the median of the ratios of runs
in the same turn. *fit()* is the wall time of the call, once the package is imported and, where the row says so in its "first" column, the first
fit of the process is past; *CPU* is the CPU time of the same; *process* the wall time of the whole process with its data, imports
and repeats; *ESS* the smallest bulk effective sample size over population-level coefficients, sds, correlations and the family's own parameters
(Bambi's correlated slopes have no correlation), *of levels* that over every level's effects. *Load* is the machine's load average
beside the runs: above 1 or so, others were at work, and wall times are too long.

Peers: **lme4** where `Rscript` finds it with jsonlite (Debian: `r-cran-lme4`, `r-cran-jsonlite`); **Bambi with nutpie** where the environment
variable `HIERBAYES_BENCH_BAMBI` names the interpreter of a virtual environment that has both (Bambi 0.21 wants an older
formulae than hierbayes: `python3.13 -m venv bambi && bambi/bin/pip install bambi nutpie`). Where one is absent, its column is skipped, and the row says so.
"""

COLUMNS = {  # heading: (figure, format)
    "fit(), s": ("seconds", "{:.2f}"),
    "CPU, s": ("cpu", "{:.2f}"),
    "first, s": ("first", "{:.2f}"),
    "model, s": ("model", "{:.2f}"),
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
        "| row | figure | asked | measured | |",
        "|---|---|---|---|---|",
    ]
    for result in results.values():
        for verdict in result["verdicts"]:
            value = "–" if verdict["value"] is None else f"{verdict['value']:,.3g}"
            met = {True: "met", False: "**missed**", None: "not measured"}[verdict["met"]]
            lines.append(f"| {result['name']} | {verdict['words']} | {verdict['limit']} | {value} | {met} |")
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
    lines += [f"\n{note}." for note in result["notes"]]
    versions = {run["version"] for each in runs.values() for run in each if "version" in run}
    low, high = result["load"]
    lines.append(
        f"\n{result['when']}, commit {result['commit']}, load {low:.1f} to {high:.1f}; {result['machine']}; "
        f"{', '.join(sorted(versions) + [result['versions']])}.\n"
    )
    return "\n".join(lines)


def _cell(runs: list[dict[str, Any]], figure: str, form: str) -> str:
    values = [run[figure] for run in runs if run.get(figure) is not None]
    if not values:
        return ""
    middle = form.format(statistics.median(values))
    low, high = form.format(min(values)), form.format(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"
