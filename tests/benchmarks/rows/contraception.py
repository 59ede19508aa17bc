"""Contraception in Bangladesh: binary, with a squared predictor."""

import pandas as pd

from hierbayes import load_dataset
from tests.benchmarks.contenders import bambi, hierbayes, lme4
from tests.benchmarks.measure import Row, effective, share_of


def read() -> pd.DataFrame:
    frame = load_dataset("contraception").drop(columns="woman")
    return frame.assign(used=(frame["use"] == "Y").astype(int))


RIGHT = "age + {} + urban + livch + (1 | district)"

ROW = Row(
    "contraception",
    "`use ~ age + I(age**2) + urban + livch + (1 | district)`, bernoulli, 1934 rows, 60 districts, 4 × 1000 draws; "
    "Bambi 4 × 200 after 200 of warm-up (its 4 × 1000 after 1000 take minutes)",
    read,
    (
        hierbayes("used ~ " + RIGHT.format("I(age**2)"), "bernoulli", repeats=3),
        bambi("used ~ " + RIGHT.format("I(age**2)"), "bernoulli", most=1, draws=200, tune=200),
        lme4("used ~ " + RIGHT.format("I(age^2)"), "binomial"),
    ),
    (
        share_of("glmer", 1.2),
        effective(4000),
    ),
    runs=2,
)
