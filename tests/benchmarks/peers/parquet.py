"""A model of rows in Parquet: ``python -m tests.benchmarks.peers.parquet FILE``; `write_rows` makes such a file."""

import json
import sys
import time
from pathlib import Path
from typing import Any

GROUPS = 1000
FORMULA = "y ~ x1 + x2 + x3 + x4 + (x1 | g)"
NORMAL = "sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())"


def write_rows(file: Path, rows: int) -> None:
    """Simulated rows, written by DuckDB without holding them: 1000 groups with intercepts and slopes."""
    import duckdb

    duckdb.sql(
        f"""
        COPY (
            SELECT 1 + 0.5 * x1 - 0.3 * x2 + 0.2 * x3 + (0.5 + 0.3 * x1) * sin(7 * g) + 1.5 * e AS y, x1, x2, x3, x4, g
            FROM (
                SELECT {NORMAL} AS x1, {NORMAL} AS x2, {NORMAL} AS x3, {NORMAL} AS x4, {NORMAL} AS e,
                    CAST(floor(random() * {GROUPS}) AS INTEGER) AS g
                FROM range({rows})
            )
        ) TO '{file}' (FORMAT parquet)
        """
    )


def main(file: str) -> dict[str, Any]:
    import hierbayes as hb

    start = time.perf_counter()
    model = hb.Model(FORMULA, file, progress=False)
    modelled = time.perf_counter()
    used = time.process_time()
    fit = model.fit(seed=1, progress=False)
    done, cpu = time.perf_counter(), time.process_time() - used
    summary = fit.summary()
    return {
        "seconds": done - modelled,
        "cpu": cpu,
        "model": modelled - start,
        "total": done - start,
        "ess": float(summary["ess_bulk"].min()),
        "least": str(summary["ess_bulk"].idxmin()),
        "divergences": int(fit.tree["sample_stats"]["diverging"].sum()),
        "strategy": fit.tree.attrs["strategy"],
        "version": f"hierbayes {fit.tree.attrs['hierbayes_version']}",
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
