"""Persons and items, crossed: binary answers."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import bambi, hierbayes, lme4
from tests.benchmarks.measure import Row, effective, share_of

PERSONS, ITEMS = 316, 24
FORMULA = "y ~ x + (1 | person) + (1 | item)"


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    person, item = np.repeat(np.arange(PERSONS), ITEMS), np.tile(np.arange(ITEMS), PERSONS)
    x = rng.normal(size=PERSONS)[person]
    eta = 0.2 + 0.4 * x + rng.normal(0, 1.3, PERSONS)[person] + rng.normal(0, 1.0, ITEMS)[item]
    return pd.DataFrame(
        {
            "y": rng.binomial(1, 1 / (1 + np.exp(-eta))),
            "x": x,
            "person": pd.Categorical.from_codes(person, [f"p{level:03}" for level in range(PERSONS)]),
            "item": pd.Categorical.from_codes(item, [f"i{level:02}" for level in range(ITEMS)]),
        }
    )


ROW = Row(
    "crossed-bernoulli",
    f"simulated: `{FORMULA}`, bernoulli, 316 persons × 24 items, 7584 rows, 4 × 1000 draws",
    simulate,
    (
        hierbayes(FORMULA, "bernoulli", repeats=1),
        bambi(FORMULA, "bernoulli", most=1),
        lme4(FORMULA, "binomial"),
    ),
    (
        share_of("glmer", 3),
        effective(4000),
    ),
    runs=2,
)
