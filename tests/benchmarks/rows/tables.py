"""What comes after a large fit: every table, and predictions of many rows."""

import sys
from pathlib import Path

from tests.benchmarks.measure import Contender, Row, Target


def _contender(what: str) -> Contender:
    def command(folder: Path) -> list[str]:
        return [sys.executable, "-m", "tests.benchmarks.peers.tables", what]

    return Contender(what, command)


ROW = Row(
    "tables",
    "the tables of insteval's fit (73,421 rows, 4114 levels, 4 × 1000 draws), its arrays of every row, and "
    "predictions of 100,000 rows by the sleep study's; CPU seconds of the slowest",
    None,
    (_contender("tables"), _contender("arrays"), _contender("predict")),
    (
        Target("CPU seconds of the slowest table", lambda r: r.median("tables", "cpu"), below=3),
        Target("CPU seconds of 100,000 predictions", lambda r: r.median("predict", "cpu"), below=10),
        Target("peak MB of 100,000 predictions", lambda r: r.median("predict", "peak_mb"), below=2000),
    ),
    runs=1,
)
