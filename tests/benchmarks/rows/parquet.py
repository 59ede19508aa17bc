"""Twenty million rows that stay in a Parquet file."""

import sys
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.measure import Contender, Results, Row, Target
from tests.benchmarks.peers.parquet import FORMULA, write_rows

FEW, MANY = "2,000,000 rows", "20,000,000 rows"


def _contender(name: str) -> Contender:
    def command(folder: Path) -> list[str] | str:
        if find_spec("duckdb") is None:
            return "duckdb is not installed"
        file = folder / f"{name.split(' ')[0]}.parquet"
        write_rows(file, int(name.split(" ")[0].replace(",", "")))
        return [sys.executable, "-m", "tests.benchmarks.peers.parquet", str(file)]

    return Contender(name, command)


def _growth(results: Results) -> float | None:
    ratio = results.ratio(MANY, FEW, "total")
    return None if ratio is None else ratio / 10


ROW = Row(
    "parquet",
    f"simulated: `{FORMULA}`, 1000 groups, rows in a Parquet file read through DuckDB in two passes, 4 × 1000 draws",
    None,
    (_contender(FEW), _contender(MANY)),
    (
        Target("peak memory of the process, MB", lambda r: r.median(MANY, "peak_mb"), below=2000),
        Target("seconds over those of a tenth of the rows, over ten", _growth, below=1.2),
    ),
    runs=1,
)
