"""Check the prior files named, or all beside this script: the same as ``hierbayes prior-check``.

Usage: python priors/simulate.py [PATH ...] [--figures FOLDER | --no-figures] [--draws N] [--seed N]
"""

import sys
from pathlib import Path

from hierbayes.cli import main

arguments = sys.argv[1:]
if not arguments or arguments[0].startswith("--"):
    arguments.insert(0, str(Path(__file__).parent))
sys.exit(main(["prior-check", *arguments]))
