"""The command: ``python -m tests.equality [CASE …] [--write FOLDER]``."""

import argparse
import sys
import time
from pathlib import Path

from tests.calibration.page import write_page
from tests.equality.cases import CASES
from tests.equality.comparing import compare
from tests.equality.page import keep


def main() -> int:
    """Compare the cases that are named, or all; 1 where two posteriors differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.equality", description=__doc__)
    parser.add_argument("cases", nargs="*", help="cases; all of them unless given")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="keep the figures; write the page there")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    differing = 0
    for name in options.cases or CASES:
        start = time.process_time()
        found = compare(CASES[name].model(), CASES[name].strategy)
        print(
            f"{name}: {len(found.scores)} scores, largest |z| of means {found.largest('mean'):.2f}, of sds "
            f"{found.largest('sd'):.2f}, limit {found.limit:.2f}, rms {(found.scores**2).mean() ** 0.5:.3f}; "
            f"ESS {found.ess}, divergences {found.divergences}; {time.process_time() - start:.0f} CPU s",
            flush=True,
        )
        if not found.far.empty:
            differing += 1
            print(found.far.to_string(), flush=True)
        if options.write:
            keep(CASES[name], found)
    if options.write:
        write_page(options.write)
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
