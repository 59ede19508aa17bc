"""The sleep study's correlated slopes: fit() alone."""

from hierbayes import load_dataset
from tests.benchmarks.contenders import bambi, hierbayes, lme4
from tests.benchmarks.measure import Row, Target, effective, seconds

FORMULA = "Reaction ~ Days + (Days | Subject)"

ROW = Row(
    "sleepstudy",
    f"`{FORMULA}`, 180 rows, 18 subjects, 4 × 1000 draws; fit() alone, kernels cached (Bambi has no correlation here)",
    lambda: load_dataset("sleepstudy"),
    (hierbayes(FORMULA, repeats=5), bambi(FORMULA), lme4(FORMULA, repeats=3)),
    (
        seconds(0.2),
        effective(2500),
        Target(
            "ESS per second over Bambi's", lambda r: r.ratio("hierbayes", "Bambi + nutpie", "rate"), above=80
        ),
    ),
)
