"""Ratings, stages, choices and many zeros."""

import numpy as np
import pandas as pd

from hierbayes import load_dataset
from tests.benchmarks.contenders import hierbayes
from tests.benchmarks.measure import Row, effective, seconds

PERSONS, ITEMS, CHOICES = 50, 24, 4


def answers() -> pd.DataFrame:
    """One of four choices, of every person to every item."""
    rng = np.random.default_rng(0)
    person, item = (each.ravel() for each in np.indices((PERSONS, ITEMS)))
    x = rng.normal(size=PERSONS)[person]
    eta = np.zeros((PERSONS * ITEMS, CHOICES))
    for k in range(1, CHOICES):
        eta[:, k] = (
            0.3 * k
            - 0.4
            + 0.5 * x
            + 0.8 * rng.normal(size=PERSONS)[person]
            + 0.5 * rng.normal(size=ITEMS)[item]
        )
    choice = (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)
    return pd.DataFrame(
        {
            "choice": pd.Categorical.from_codes(choice, list("abcd")),
            "x": x,
            "person": pd.Categorical.from_codes(person, [f"p{level:02}" for level in range(PERSONS)]),
            "item": pd.Categorical.from_codes(item, [f"i{level:02}" for level in range(ITEMS)]),
        }
    )


ROWS = (
    Row(
        "wine",
        "`rating ~ temp + contact + (1 | judge)`, cumulative, 72 ratings by 9 judges, 4 × 1000 draws",
        lambda: load_dataset("wine"),
        (hierbayes("rating ~ temp + contact + (1 | judge)", "cumulative"),),
        (seconds(0.5), effective(1000)),
        runs=2,
    ),
    Row(
        "inhaler",
        "`rating ~ treat + period + carry + (1 | subject)`, sratio, 572 ratings by 286 patients, 4 × 1000 draws",
        lambda: load_dataset("inhaler"),
        (hierbayes("rating ~ treat + period + carry + (1 | subject)", "sratio"),),
        (seconds(3), effective(1000)),
        runs=2,
    ),
    Row(
        "choices",
        f"simulated: `choice ~ x + (1 | person) + (1 | item)`, categorical, one of {CHOICES}, {PERSONS} persons × "
        f"{ITEMS} items, 4 × 1000 draws",
        answers,
        (hierbayes("choice ~ x + (1 | person) + (1 | item)", "categorical"),),
        (seconds(5), effective(1000)),
        runs=2,
    ),
    Row(
        "salamanders",
        "`count ~ spp + mined + (1 | site)`, `zi ~ mined`, zero_inflated_negbinomial, 644 counts, 4 × 1000 draws",
        lambda: load_dataset("salamanders"),
        (
            hierbayes(
                {"mu": "count ~ spp + mined + (1 | site)", "zi": "~ mined"}, "zero_inflated_negbinomial"
            ),
        ),
        (seconds(1), effective(1000)),
        runs=2,
    ),
)
