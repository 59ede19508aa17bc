"""The first fit that a machine ever makes: every cache empty."""

import sys
from pathlib import Path

from tests.benchmarks.measure import Contender, Row, Target

FITS = {
    "sleepstudy": 'hb.fit("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"), progress=False)',
    "cbpp": 'hb.fit("incidence | trials(size) ~ period + (1 | herd)", hb.load_dataset("cbpp"), "binomial", '
    "progress=False)",
}


def _alone(fit: str) -> Contender:
    """A process whose caches are folders that are made for it; Python's own code files of the package stay."""
    code = (
        "import os, tempfile\n"
        "folder = tempfile.mkdtemp()\n"
        "os.environ |= {'NUMBA_CACHE_DIR': folder, 'XDG_CACHE_HOME': folder}\n"
        "os.environ['PYTENSOR_FLAGS'] = f'base_compiledir={folder}'\n"
        f"import hierbayes as hb\nprint({FITS[fit]})\n"
    )

    def command(folder: Path) -> list[str]:
        return [sys.executable, "-c", code]

    return Contender(fit, command)


ROW = Row(
    "first",
    "a Python process that imports, fits and prints the summary, with the caches of a machine that never made a fit",
    None,
    tuple(map(_alone, FITS)),
    tuple(
        Target(f"seconds of the process, {fit}", lambda r, f=fit: r.median(f, "process"), below=10)
        for fit in FITS
    ),
    runs=2,
)
