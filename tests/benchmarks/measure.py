"""Rows of the table: who does the work, in what turn, and what must come out."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tests.benchmarks.machine import describe_commit, describe_machine, describe_versions
from tests.benchmarks.table import write_table

ROOT = Path(__file__).parents[2]
type Figures = dict[str, Any]  # of one run: seconds, cpu, ess, …, and the process's own


@dataclass(frozen=True)
class Contender:
    """One way to do a row's work.

    Attributes
    ----------
    name : str
    command : callable
        From the folder with the data to a command line; or to a reason, in words, why it cannot run here.
    most : int or None
        At most this many runs, for what takes minutes.
    """

    name: str
    command: Callable[[Path], list[str] | str]
    most: int | None = None


class Results:
    """What the contenders of a row measured, run by run."""

    def __init__(self, runs: dict[str, list[Figures]]) -> None:
        self.runs = runs

    def median(self, name: str, figure: str = "seconds") -> float | None:
        """The median of a figure over a contender's runs; None where it was not measured."""
        values = [run[figure] for run in self.runs.get(name, []) if run.get(figure) is not None]
        return statistics.median(values) if values else None

    def ratio(self, name: str, other: str, figure: str = "seconds") -> float | None:
        """The median over runs in the same turn of one contender's figure over another's."""
        pairs = zip(self.runs.get(name, []), self.runs.get(other, []), strict=False)
        quotients = [one[figure] / two[figure] for one, two in pairs]
        return statistics.median(quotients) if quotients else None


@dataclass(frozen=True)
class Target:
    """What a row must reach: a number of its results, and the limit it must be on the right side of."""

    words: str
    value: Callable[[Results], float | None]
    below: float | None = None
    above: float | None = None

    def judge(self, results: Results) -> dict[str, Any]:
        """The measured value and whether the limit is met; None where there is nothing to judge."""
        value = self.value(results)
        met = None
        if value is not None:
            met = (self.below is None or value < self.below) and (self.above is None or value > self.above)
        sign, limit = ("<", self.below) if self.below is not None else (">", self.above)
        return {"words": self.words, "limit": f"{sign} {limit:g}", "value": value, "met": met}


def seconds(below: float) -> Target:
    """So few seconds of fit()."""
    return Target("seconds of fit()", lambda r: r.median("hierbayes"), below=below)


def effective(above: float) -> Target:
    """So many effective draws of every quantity."""
    return Target("min bulk ESS", lambda r: r.median("hierbayes", "ess"), above=above)


def share_of(function: str, below: float) -> Target:
    """So small a share of the seconds that lme4's ``lmer`` or ``glmer`` takes."""
    return Target(
        f"share of {function}'s seconds", lambda r: r.ratio("hierbayes", f"lme4 {function}"), below=below
    )


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        As on the command line.
    work : str
        What is done, on what: rows, structure, draws.
    data : callable
        Makes the data frame; None where the contenders make their own.
    contenders : tuple of Contender
        They run in turn, each in a process of its own: A, B, A, B, …
    targets : tuple of Target
    runs : int
        Turns that count.
    """

    name: str
    work: str
    data: Callable[[], pd.DataFrame] | None
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...]
    runs: int = 3


def run_row(row: Row, turns: int | None = None, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure one row: a first turn of hierbayes alone that doesn't count, then the turns."""
    load, start = [os.getloadavg()[0]], time.perf_counter()
    say(f"{row.name}: {row.work}")
    runs: dict[str, list[Figures]] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if row.data is not None:
            write_table(row.data(), folder)
        commands = {}
        for contender in row.contenders:
            command = contender.command(folder)
            if isinstance(command, str):
                notes.append(f"{contender.name} skipped: {command}")
                say(f"  {notes[-1]}")
            else:
                commands[contender] = command
        for turn in range((turns or row.runs) + 1):
            for place, (contender, command) in enumerate(commands.items()):
                counts = turn > 0
                if not counts and (place > 0 or contender.most):
                    continue  # the first turn is there to fill hierbayes' cache of kernels
                if contender.most and len(runs.get(contender.name, [])) >= contender.most:
                    continue
                figures = run_command(command)
                load.append(figures["load"])
                say(f"  {'' if counts else '(warm-up) '}{contender.name}: {_line(figures)}")
                if counts:
                    runs.setdefault(contender.name, []).append(figures)
    results = Results(runs)
    verdicts = [target.judge(results) for target in row.targets]
    for verdict in verdicts:
        say("  " + _verdict(verdict))
    return {
        "name": row.name,
        "work": row.work,
        "runs": runs,
        "notes": notes,
        "verdicts": verdicts,
        "load": [min(load), max(load)],
        "elapsed": time.perf_counter() - start,
        "when": time.strftime("%Y-%m-%d"),
        "commit": describe_commit(),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }


def run_command(command: list[str]) -> Figures:
    """Run a contender; its last line is JSON, to which the process's wall and CPU seconds and peak memory are added."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors, cwd=ROOT, env=_environment())
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped already
        out.seek(0)
        errors.seek(0)
        if status:
            raise RuntimeError(
                f"{' '.join(command)} ended with {process.returncode}:\n{errors.read()[-4000:]}"
            )
        lines = out.read().strip().splitlines()
    figures: Figures = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    figures |= {
        "process": wall,
        "process_cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,  # Linux counts KiB
        "load": load,
    }
    if figures.get("ess") and figures.get("seconds"):
        figures["rate"] = figures["ess"] / figures["seconds"]
    if figures.get("ess") and figures.get("gradients"):
        figures["ess_gradient"] = figures["ess"] / figures["gradients"]
    return figures


def _environment() -> dict[str, str]:
    """This process's, with this copy of hierbayes first, and bytecode kept: pip keeps it of what it installs."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return own | {"PYTHONPATH": str(ROOT)}


def _line(figures: Figures) -> str:
    words = {
        "seconds": "{:.2f} s",
        "call": "call {:.2f} s",
        "cpu": "{:.2f} CPU s",
        "first": "first {:.2f} s",
        "model": "model {:.2f} s",
        "total": "in all {:.2f} s",
        "moments": "moments {:.2f} s",
        "ess": "min bulk ESS {:.0f}",
        "least": "({})",
        "ess_levels": "of levels {:.0f}",
        "ess_gradient": "{:.4f} ESS a gradient",
        "divergences": "{} divergences",
        "strategy": "{}",
        "each": "each {}",
        "process": "process {:.1f} s",
        "peak_mb": "peak {:.0f} MB",
        "load": "load {:.1f}",
    }
    return ", ".join(form.format(figures[key]) for key, form in words.items() if figures.get(key) is not None)


def _verdict(verdict: dict[str, Any]) -> str:
    if verdict["met"] is None:
        return f"[not measured] {verdict['words']} {verdict['limit']}"
    met = "met" if verdict["met"] else "MISSED"
    return f"[{met}] {verdict['words']}: {verdict['value']:.4g}, asked {verdict['limit']}"
