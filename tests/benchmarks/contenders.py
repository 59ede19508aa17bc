"""The packages that are measured, as commands on a job."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Contender

PEERS = Path(__file__).parent / "peers"
BAMBI = "HIERBAYES_BENCH_BAMBI"


def hierbayes(
    formula: str | dict[str, str] | list[str],
    family: str | list[str] = "gaussian",
    *,
    name: str = "hierbayes",
    repeats: int = 3,
    most: int | None = None,
    model: dict[str, Any] | None = None,
    matrices: str | None = None,
    **options: Any,
) -> Contender:
    """hierbayes, as ``Model(formula, data, family, **model).fit(**options)``; a first fit counts without repeats alone.

    Where levels are related, `matrices` names the module whose ``matrices()`` returns the model's ``data2``.
    """

    def command(folder: Path) -> list[str]:
        job = _job(folder, name, formula, family, repeats, options, model=model or {}, matrices=matrices)
        return [sys.executable, "-m", "tests.benchmarks.peers.ours", job]

    return Contender(name, command, most)


def bambi(
    formula: str, family: str = "gaussian", *, repeats: int = 0, most: int | None = None, **options: Any
) -> Contender:
    """Bambi with nutpie: building, compiling and sampling, as each of its users' fits does."""
    options = {"draws": 1000, "tune": 1000, "chains": 4} | options

    def command(folder: Path) -> list[str] | str:
        interpreter = os.environ.get(BAMBI)
        if not interpreter:
            return f"{BAMBI} names no interpreter that has Bambi"
        job = _job(folder, "Bambi", formula, family, repeats, options)
        return [interpreter, str(PEERS / "with_bambi.py"), job]

    return Contender("Bambi + nutpie", command, most)


def lme4(formula: str, family: str = "gaussian", *, repeats: int = 0, most: int | None = None) -> Contender:
    """lme4's point estimate, by ``lmer`` or ``glmer`` with their defaults."""

    def command(folder: Path) -> list[str] | str:
        if not _has_lme4():
            return "R with lme4 and jsonlite is not installed (Debian: r-cran-lme4, r-cran-jsonlite)"
        job = _job(folder, "lme4", formula, family, repeats, {})
        return ["Rscript", str(PEERS / "with_lme4.R"), job]

    return Contender("lme4 " + ("lmer" if family == "gaussian" else "glmer"), command, most)


@cache
def _has_lme4() -> bool:
    if not shutil.which("Rscript"):
        return False
    code = "quit(status = !all(sapply(c('lme4', 'jsonlite'), requireNamespace, quietly = TRUE)))"
    return subprocess.run(["Rscript", "-e", code], capture_output=True).returncode == 0


def _job(
    folder: Path,
    name: str,
    formula: str | dict[str, str] | list[str],
    family: str | list[str],
    repeats: int,
    options: dict[str, Any],
    **ours: Any,
) -> str:
    job = {
        "folder": str(folder),
        "formula": formula,
        "family": family,
        "repeats": repeats,
        "options": options,
    } | ours
    file = folder / f"{name.replace(' ', '-')}.json"
    file.write_text(json.dumps(job))
    return str(file)
