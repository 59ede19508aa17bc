"""Children of mothers in communities: thousands of levels with a yes/no row or two."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, effective, seconds

MOTHERS, CHILDREN, COMMUNITIES = 1595, 2160, 161
FORMULA = "y ~ age2 + rural + schooled + (1 | mother) + (1 | community)"


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    community_of = rng.integers(0, COMMUNITIES, MOTHERS)
    mother = np.concatenate([np.arange(MOTHERS), rng.integers(0, MOTHERS, CHILDREN - MOTHERS)])
    community = community_of[mother]
    columns = {
        "age2": rng.random(CHILDREN) < 0.6,
        "rural": (rng.random(COMMUNITIES) < 0.7)[community],
        "schooled": rng.random(CHILDREN) < 0.5,
    }
    X = np.column_stack([np.ones(CHILDREN), *columns.values()]).astype(float)
    effects = 2.3 * rng.normal(size=MOTHERS)[mother] + 1.1 * rng.normal(size=COMMUNITIES)[community]
    eta = X @ [-1.2, 1.6, -1.0, 0.5] + effects
    return pd.DataFrame(
        {name: column.astype(int) for name, column in columns.items()}
        | {
            "y": (rng.random(CHILDREN) < 1 / (1 + np.exp(-eta))).astype(int),
            "mother": pd.Categorical.from_codes(mother, [f"m{level:04}" for level in range(MOTHERS)]),
            "community": pd.Categorical.from_codes(
                community, [f"c{level:03}" for level in range(COMMUNITIES)]
            ),
        }
    )


ROW = Row(
    "children",
    f"simulated: `{FORMULA}`, bernoulli, {CHILDREN} rows, {MOTHERS} mothers in {COMMUNITIES} communities, "
    "4 × 1000 draws",
    simulate,
    (hierbayes(FORMULA, "bernoulli", repeats=3), lme4(FORMULA, "binomial")),
    (
        seconds(5),
        effective(1500),
    ),
    runs=2,
)
