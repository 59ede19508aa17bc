"""From starting Python to a printed summary."""

import os
import sys
from pathlib import Path

from tests.benchmarks.contenders import BAMBI
from tests.benchmarks.measure import Contender, Row, Target

OURS = """
import hierbayes as hb
print(hb.fit("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"), progress=False))
"""
CSV = Path(__file__).parents[3] / "hierbayes" / "datasets" / "sleepstudy.csv"
BAMBIS = f"""
import warnings; warnings.simplefilter("ignore")
import arviz as az, bambi as bmb, pandas as pd
model = bmb.Model("Reaction ~ Days + (Days | Subject)", pd.read_csv({str(CSV)!r}, dtype={{"Subject": str}}))
print(az.summary(model.fit(inference_method="nutpie", draws=1000, tune=1000, chains=4, cores=2, progressbar=False)))
"""


def _bambi(folder: Path) -> list[str] | str:
    interpreter = os.environ.get(BAMBI)
    return [interpreter, "-c", BAMBIS] if interpreter else f"{BAMBI} names no interpreter that has Bambi"


ROW = Row(
    "startup",
    "a Python process that imports, fits the sleep study as above and prints the summary; kernels and bytecode cached, "
    "no extras installed (xarray imports Dask where it is)",
    None,
    (
        Contender("hierbayes", lambda folder: [sys.executable, "-c", OURS]),
        Contender("Bambi + nutpie", _bambi),
    ),
    (
        Target("seconds of the process", lambda r: r.median("hierbayes", "process"), below=1.5),
        Target(
            "share of Bambi's seconds",
            lambda r: r.ratio("hierbayes", "Bambi + nutpie", "process"),
            below=0.2,
        ),
    ),
    runs=3,
)
