"""Lecture evaluations: three crossed factors."""

from hierbayes import load_dataset
from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, effective, seconds, share_of

FORMULA = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"

ROW = Row(
    "insteval",
    f"`{FORMULA}`, 73,421 rows, 2972 students × 1128 lecturers × 14 departments, 4 × 1000 draws",
    lambda: load_dataset("insteval"),
    (hierbayes(FORMULA, repeats=0), lme4(FORMULA, most=1)),
    (
        seconds(15),
        effective(400),
        share_of("lmer", 0.3),
    ),
    runs=1,
)
