"""Lecture evaluations: three crossed factors."""

from hierbayes import load_dataset
from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, Target

FORMULA = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"

ROW = Row(
    "insteval",
    f"`{FORMULA}`, 73,421 rows, 2972 students × 1128 lecturers × 14 departments, 4 × 1000 draws",
    lambda: load_dataset("insteval"),
    (hierbayes(FORMULA, repeats=0), lme4(FORMULA, most=1)),
    (
        Target("seconds of fit()", lambda r: r.median("hierbayes"), below=15),
        Target("min bulk ESS", lambda r: r.median("hierbayes", "ess"), above=400),
        Target("share of lmer's seconds", lambda r: r.ratio("hierbayes", "lme4 lmer"), below=0.3),
    ),
    runs=1,
)
