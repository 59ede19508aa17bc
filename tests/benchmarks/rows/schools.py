"""Pupils in schools in authorities: a nested pair of factors with many levels."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, effective, share_of

PUPILS, SCHOOLS, AUTHORITIES = 31_000, 2410, 131
FORMULA = "score ~ prior + girl + age + (1 | authority/school)"


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    authority_of = np.sort(
        np.concatenate([np.arange(AUTHORITIES), rng.integers(0, AUTHORITIES, SCHOOLS - AUTHORITIES)])
    )
    size = rng.dirichlet(np.full(SCHOOLS, 1.2))
    school = np.concatenate([np.arange(SCHOOLS), rng.choice(SCHOOLS, PUPILS - SCHOOLS, p=size)])
    prior, girl, age = rng.normal(size=PUPILS), rng.integers(0, 2, PUPILS), rng.normal(18, 0.3, PUPILS)
    effects = rng.normal(0, 0.25, AUTHORITIES)[authority_of] + rng.normal(0, 0.9, SCHOOLS)
    mean = 5 + 1.8 * prior - 0.3 * girl - 0.4 * (age - 18) + effects[school]
    return pd.DataFrame(
        {
            "score": rng.normal(mean, 2.3),
            "prior": prior,
            "girl": girl,
            "age": age,
            "school": pd.Categorical.from_codes(school, [f"s{level:04}" for level in range(SCHOOLS)]),
            "authority": pd.Categorical.from_codes(
                authority_of[school], [f"a{level:03}" for level in range(AUTHORITIES)]
            ),
        }
    )


ROW = Row(
    "schools",
    f"simulated: `{FORMULA}`, 31,000 pupils in 2410 schools nested in 131 authorities, 4 × 1000 draws",
    simulate,
    (hierbayes(FORMULA, repeats=2), lme4(FORMULA)),
    (
        share_of("lmer", 1.5),
        effective(1000),
    ),
    runs=2,
)
