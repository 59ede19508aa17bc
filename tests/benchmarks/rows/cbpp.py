"""Cattle herds: a small binomial model."""

from hierbayes import load_dataset
from tests.benchmarks.contenders import bambi, hierbayes, lme4
from tests.benchmarks.measure import Row, effective, seconds, share_of

ROW = Row(
    "cbpp",
    "`incidence | trials(size) ~ period + (1 | herd)`, binomial, 56 rows, 15 herds, 4 × 1000 draws",
    lambda: load_dataset("cbpp"),
    (
        hierbayes("incidence | trials(size) ~ period + (1 | herd)", "binomial", repeats=5),
        bambi("p(incidence, size) ~ period + (1|herd)", "binomial"),
        lme4("cbind(incidence, size - incidence) ~ period + (1 | herd)", "binomial", repeats=3),
    ),
    (
        seconds(0.2),
        share_of("glmer", 2),
        effective(3000),
    ),
)
