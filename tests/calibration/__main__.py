"""The command: ``python -m tests.calibration [SETTING …] [--replications N] [--write FOLDER]``."""

import argparse
import sys
from pathlib import Path

from tests.calibration.designs import SETTINGS
from tests.calibration.page import keep, write_page
from tests.calibration.simulation import KEPT, calibrate
from tests.calibration.uniformity import p_value


def main() -> int:
    """Calibrate the settings that are named, or all, and print each quantity's p-value."""
    parser = argparse.ArgumentParser(prog="python -m tests.calibration", description=__doc__)
    parser.add_argument("settings", nargs="*", help="settings; all of them unless given")
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--write", type=Path, metavar="FOLDER", help="keep the ranks; write the page and figures there"
    )
    parser.add_argument("--page-only", action="store_true", help="with --write: from the ranks kept")
    options = parser.parse_args()
    unknown = set(options.settings) - set(SETTINGS)
    if unknown:
        parser.error(f"there is no setting {', '.join(sorted(unknown))}; there are {', '.join(SETTINGS)}")
    for name in () if options.page_only else options.settings or SETTINGS:
        setting = SETTINGS[name]
        found = calibrate(setting, options.replications, options.seed, lambda words: print(words, flush=True))
        for quantity, ranks in found.ranks.items():
            print(f"  {quantity:32} p = {p_value(ranks, KEPT):.3g}")
        print(f"  {found.divergences} divergences", flush=True)
        if options.write:
            keep(name, setting.formula, setting.family, setting.strategy, found, list(SETTINGS))
    if options.write:
        write_page(options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
