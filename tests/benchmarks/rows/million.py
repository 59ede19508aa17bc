"""A million rows, 1000 groups with correlated slopes, 15 coefficients."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, Target, effective, seconds, share_of

ROWS, GROUPS, COEFFICIENTS = 1_000_000, 1000, 15
FORMULA = "y ~ " + " + ".join(f"x{j}" for j in range(1, COEFFICIENTS)) + " + (x1 | g)"


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    g = rng.integers(0, GROUPS, ROWS)
    x = rng.normal(size=(ROWS, COEFFICIENTS - 1))
    effects = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 0.5]], GROUPS)[g]
    mean = 1 + x @ np.linspace(0.9, -1, COEFFICIENTS - 1) + effects[:, 0] + effects[:, 1] * x[:, 0]
    columns = {f"x{j + 1}": x[:, j] for j in range(x.shape[1])}
    group = pd.Categorical.from_codes(g, [f"g{level:04}" for level in range(GROUPS)])
    return pd.DataFrame({"y": rng.normal(mean, 1.5), **columns, "g": group})


ROW = Row(
    "million",
    "simulated: 1,000,000 rows, 1000 groups with correlated intercept and slope, 15 coefficients, 4 × 1000 draws",
    simulate,
    (hierbayes(FORMULA, repeats=2), lme4(FORMULA, most=1)),
    (
        Target("seconds of the moments", lambda r: r.median("hierbayes", "moments"), below=1),
        seconds(5),
        effective(3000),
        share_of("lmer", 1),
    ),
    runs=1,
)
