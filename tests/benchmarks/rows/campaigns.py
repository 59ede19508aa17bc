"""Conversions of campaigns by region: rare events in thousands of cells."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes, lme4
from tests.benchmarks.measure import Row, effective, seconds

CAMPAIGNS, REGIONS, CELLS = 500, 5, 2477
RIGHT = "region + (1 | campaign/region)"


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    cell = np.sort(rng.choice(CAMPAIGNS * REGIONS, CELLS, replace=False))
    campaign, region = np.divmod(cell, REGIONS)
    shown = rng.integers(20, 400, CELLS)
    eta = -5.5 + 0.3 * rng.normal(size=REGIONS)[region]
    eta += 0.5 * rng.normal(size=CAMPAIGNS)[campaign] + 0.3 * rng.normal(size=CELLS)
    return pd.DataFrame(
        {
            "conv": rng.binomial(shown, 1 / (1 + np.exp(-eta))),
            "shown": shown,
            "campaign": pd.Categorical.from_codes(campaign, [f"c{level:03}" for level in range(CAMPAIGNS)]),
            "region": pd.Categorical.from_codes(region, [f"r{level}" for level in range(REGIONS)]),
        }
    )


ROW = Row(
    "campaigns",
    f"simulated: `conv | trials(shown) ~ {RIGHT}`, binomial, {CELLS} cells of {CAMPAIGNS} campaigns, "
    "less than one event each, 4 × 1000 draws",
    simulate,
    (
        hierbayes(f"conv | trials(shown) ~ {RIGHT}", "binomial", repeats=3),
        lme4(f"cbind(conv, shown - conv) ~ {RIGHT}", "binomial"),
    ),
    (
        seconds(5),
        effective(1000),
    ),
    runs=2,
)
