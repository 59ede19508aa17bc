"""Two large crossed factors: answers of people to questions, and ratings of things, up to MovieLens-25M's shape."""

from functools import partial

import numpy as np
import pandas as pd

from hierbayes import load_dataset
from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, Target, effective, seconds

FORMULA = "y ~ x + (1 | u) + (1 | i)"
RATED = "good ~ service + (1 | s) + (1 | d) + (1 | dept)"


def simulate(rows: int, users: int, items: int, binary: bool = False) -> pd.DataFrame:
    """Few users and items have most of the rows."""
    rng = np.random.default_rng(0)
    u = (users * rng.beta(0.6, 1.6, rows)).astype(int)
    i = (items * rng.beta(0.25, 1.5, rows)).astype(int)
    effects = 0.44 * rng.normal(size=users)[u], 0.5 * rng.normal(size=items)[i]
    x = rng.normal(size=rows)
    eta = 0.1 * x + effects[0] + effects[1]
    y = rng.random(rows) < 1 / (1 + np.exp(-eta)) if binary else 3.3 + eta + 0.85 * rng.normal(size=rows)
    return pd.DataFrame({"y": y.astype(int) if binary else y, "x": x, "u": u, "i": i})


def good_or_bad() -> pd.DataFrame:
    """Lecture evaluations of 4 or 5."""
    data = load_dataset("insteval")
    return data.assign(good=(data.y >= 4).astype(int)).drop(columns="y")


ROWS = (
    Row(
        "insteval-binary",
        f"the ratings of insteval as good (4 or 5) or bad, `{RATED}`, bernoulli, 73,421 rows, 4 × 1000 draws",
        good_or_bad,
        (hierbayes(RATED, "bernoulli", repeats=0), lme4(RATED, "binomial", most=1)),
        (seconds(20), effective(1000)),
        runs=1,
    ),
    Row(
        "answers",
        f"simulated: `{FORMULA}`, bernoulli, 200,000 rows, 5000 × 1000 levels, 2 × 300 draws",
        partial(simulate, 200_000, 5000, 1000, True),
        (hierbayes(FORMULA, "bernoulli", repeats=0, chains=2, draws=300),),
        (seconds(20), effective(500)),
        runs=1,
    ),
    Row(
        "ratings",
        f"simulated: `{FORMULA}`, gaussian, 1,000,000 rows, 20,000 × 5000 levels, 2 × 500 draws",
        partial(simulate, 1_000_000, 20_000, 5000),
        (hierbayes(FORMULA, repeats=0, chains=2, draws=500),),
        (seconds(9.4), effective(1000)),
        runs=1,
    ),
    Row(
        "movielens",
        f"simulated, of MovieLens-25M's shape: `{FORMULA}`, gaussian, 25,000,000 rows, 162,000 × 59,000 levels, "
        "2 × 250 draws",
        partial(simulate, 25_000_000, 162_000, 59_000),
        (hierbayes(FORMULA, repeats=0, chains=2, draws=250),),
        (
            seconds(162),
            Target("peak memory of the process, MB", lambda r: r.median("hierbayes", "peak_mb"), below=5000),
        ),
        runs=1,
    ),
)
