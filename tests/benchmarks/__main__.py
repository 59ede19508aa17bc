"""The command: ``python -m tests.benchmarks [ROW …] [--runs N] [--write PAGE] [--list]``."""

import argparse
import sys
from pathlib import Path

from tests.benchmarks.machine import describe_commit, describe_machine, describe_versions
from tests.benchmarks.measure import run_row
from tests.benchmarks.page import keep, load_results, write_page
from tests.benchmarks.rows import ROWS


def main() -> int:
    """Run the rows that are named, or all; 1 where a limit was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", help="rows of the table; all of them unless given")
    parser.add_argument("--runs", type=int, help="turns that count; each row's own number unless given")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="keep the results and write them as a page"
    )
    parser.add_argument(
        "--page-only", action="store_true", help="with --write: measure nothing, write the page again"
    )
    parser.add_argument(
        "--list", action="store_true", help="say what rows there are, and how long each last took"
    )
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if options.list:
        kept = load_results()
        for row in ROWS.values():
            elapsed = kept.get(row.name, {}).get("elapsed")
            print(f"{row.name:20} {'' if elapsed is None else f'{elapsed:.0f} s':>7}  {row.work}")
        return 0
    if options.page_only:
        write_page(load_results(), options.write)
        return 0
    print(f"{describe_machine()}; {describe_versions()}; commit {describe_commit()}")
    missed = 0
    for name in options.rows or ROWS:
        result = run_row(ROWS[name], options.runs)
        missed += sum(verdict["met"] is False for verdict in result["verdicts"])
        if options.write:
            write_page(keep([result], list(ROWS)), options.write)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
