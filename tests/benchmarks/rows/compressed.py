"""A million binary rows of few distinct kinds."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes
from tests.benchmarks.measure import Row, effective, seconds

ROWS, GROUPS, AGES = 1_000_000, 500, 20
FORMULA = "y ~ age + woman + (1 | g)"


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    g, age, woman = rng.integers(0, GROUPS, ROWS), rng.integers(0, AGES, ROWS), rng.integers(0, 2, ROWS)
    eta = -0.5 + 0.05 * age + 0.3 * woman + rng.normal(0, 0.5, GROUPS)[g]
    group = pd.Categorical.from_codes(g, [f"g{level:03}" for level in range(GROUPS)])
    return pd.DataFrame(
        {"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "age": age, "woman": woman, "g": group}
    )


ROW = Row(
    "compressed",
    f"simulated: `{FORMULA}`, bernoulli, 1,000,000 rows of 20,000 distinct kinds, 500 groups, 4 × 1000 draws",
    simulate,
    (hierbayes(FORMULA, "bernoulli", repeats=0),),
    (
        seconds(10),
        effective(400),
    ),
    runs=2,
)
