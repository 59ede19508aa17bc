"""The reference models at default settings: are 4 × 1000 draws enough of them effective?"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.measure import Contender, Results, Row, Target
from tests.parity.models import MODELS


def _contender(name: str) -> Contender:
    reference = MODELS[name]

    def command(folder: Path) -> list[str]:
        file = folder / f"{name}.json"
        job = {"dataset": reference.dataset, "formula": reference.formula, "family": reference.family}
        file.write_text(json.dumps(job | {"repeats": 0, "options": {}}))
        return [sys.executable, "-m", "tests.benchmarks.peers.ours", str(file)]

    return Contender(name, command)


def _least(name: str) -> Callable[[Results], float | None]:
    return lambda results: results.median(name, "ess")


def _divergences(results: Results) -> float | None:
    found = [run["divergences"] for runs in results.runs.values() for run in runs]
    return float(sum(found)) if found else None


ROW = Row(
    "defaults",
    "the reference models of tests/parity at default settings; one run each, their first fit in a process",
    None,
    tuple(_contender(name) for name in MODELS),
    (
        *(Target(f"min bulk ESS of {name}", _least(name), above=1000) for name in MODELS),
        Target("divergences of all", _divergences, below=1),
    ),
    runs=1,
)
