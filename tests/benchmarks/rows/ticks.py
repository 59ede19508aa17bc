"""Ticks on chicks in broods in places: counts with an effect a row."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, effective, seconds

CHICKS, BROODS, PLACES = 403, 118, 63
FORMULA = "ticks ~ year2 + height + (1 | chick) + (1 | brood) + (1 | place)"


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    place_of = rng.integers(0, PLACES, BROODS)
    brood = np.concatenate([np.arange(BROODS), rng.integers(0, BROODS, CHICKS - BROODS)])
    place = place_of[brood]
    year2, height = (rng.integers(0, 3, BROODS)[brood] == 1).astype(int), 35 * rng.normal(size=PLACES)[place]
    eta = 0.4 + 1.1 * year2 - 0.024 * height + 0.55 * rng.normal(size=CHICKS)
    eta += 0.8 * rng.normal(size=BROODS)[brood] + 0.5 * rng.normal(size=PLACES)[place]
    return pd.DataFrame(
        {
            "ticks": rng.poisson(np.exp(eta)),
            "year2": year2,
            "height": height,
            "chick": pd.Categorical.from_codes(
                np.arange(CHICKS), [f"c{level:03}" for level in range(CHICKS)]
            ),
            "brood": pd.Categorical.from_codes(brood, [f"b{level:03}" for level in range(BROODS)]),
            "place": pd.Categorical.from_codes(place, [f"p{level:02}" for level in range(PLACES)]),
        }
    )


ROW = Row(
    "ticks",
    f"simulated: `{FORMULA}`, poisson, {CHICKS} rows, an effect each, {BROODS} broods in {PLACES} places, "
    "4 × 1000 draws",
    simulate,
    (hierbayes(FORMULA, "poisson", repeats=3), lme4(FORMULA, "poisson")),
    (
        seconds(3),
        effective(1000),
    ),
    runs=2,
)
