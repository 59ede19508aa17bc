"""Growth curves: pupils with slopes in schools with slopes."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, effective, share_of

PUPILS, SCHOOLS, OCCASIONS = 1700, 60, 6
FORMULA = "score ~ year + (year | school/pupil)"


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    school_of = np.concatenate([np.arange(SCHOOLS), rng.integers(0, SCHOOLS, PUPILS - SCHOOLS)])
    pupil = np.repeat(np.arange(PUPILS), OCCASIONS)
    pupil = pupil[rng.random(len(pupil)) < 0.75]  # a quarter of the occasions are missing
    year = (
        np.concatenate([np.sort(rng.choice(OCCASIONS, count, replace=False)) for count in np.bincount(pupil)])
        - 2.5
    )
    schools = rng.multivariate_normal([0, 0], [[0.17, 0.01], [0.01, 0.012]], SCHOOLS)
    pupils = rng.multivariate_normal([0, 0], [[0.64, 0.05], [0.05, 0.012]], PUPILS)
    effects = schools[school_of[pupil]] + pupils[pupil]
    mean = -0.8 + 0.76 * year + effects[:, 0] + effects[:, 1] * year
    return pd.DataFrame(
        {
            "score": rng.normal(mean, 0.55),
            "year": year,
            "pupil": pd.Categorical.from_codes(pupil, [f"p{level:04}" for level in range(PUPILS)]),
            "school": pd.Categorical.from_codes(
                school_of[pupil], [f"s{level:02}" for level in range(SCHOOLS)]
            ),
        }
    )


ROW = Row(
    "growth",
    f"simulated: `{FORMULA}`, about 7,650 rows, 1700 pupils with slopes in 60 schools with slopes, 4 × 1000 draws",
    simulate,
    (hierbayes(FORMULA, repeats=2), lme4(FORMULA)),
    (
        share_of("lmer", 2),
        effective(1000),
    ),
    runs=2,
)
