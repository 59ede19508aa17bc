"""Seizure counts with an effect of each observation."""

from hierbayes import load_dataset
from tests.benchmarks.contenders import bambi, hierbayes, lme4
from tests.benchmarks.measure import Row, effective, seconds

FORMULA = "count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)"

ROW = Row(
    "epilepsy",
    f"`{FORMULA}`, poisson, 236 rows, 59 patients and 236 observation-level effects, 4 × 1000 draws",
    lambda: load_dataset("epilepsy").drop(columns="visit"),
    (
        hierbayes(FORMULA, "poisson", repeats=3),
        bambi(FORMULA, "poisson", most=1),
        lme4(FORMULA, "poisson"),
    ),
    (
        seconds(4),
        effective(1000),
    ),
    runs=2,
)
