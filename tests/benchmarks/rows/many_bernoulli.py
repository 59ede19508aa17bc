"""A hundred thousand binary rows in 300 groups, against the non-centered graph."""

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes
from tests.benchmarks.measure import Row, Target

ROWS, GROUPS, COEFFICIENTS = 100_000, 300, 10
FORMULA = "y ~ " + " + ".join(f"x{j}" for j in range(1, COEFFICIENTS)) + " + (1 | g)"
GRAPH = "hierbayes, non-centered graph"
CHAINS, DRAWS = 2, 40  # of the graph: minutes, and enough to tell a factor of 20


def simulate() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    g = rng.choice(GROUPS, ROWS, p=rng.dirichlet(np.full(GROUPS, 0.7)))
    x = rng.normal(size=(ROWS, COEFFICIENTS - 1))
    coefficients = np.linspace(0.5, -0.5, COEFFICIENTS)
    eta = coefficients[0] + x @ coefficients[1:] + rng.normal(size=GROUPS)[g]
    columns = {f"x{j + 1}": x[:, j] for j in range(x.shape[1])}
    group = pd.Categorical.from_codes(g, [f"g{level:03}" for level in range(GROUPS)])
    return pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), **columns, "g": group})


ROW = Row(
    "many-bernoulli",
    f"simulated: bernoulli, 100,000 rows, 300 groups of uneven size, {COEFFICIENTS} coefficients, 4 × 1000 draws; the "
    f"graph, whose 4 × 1000 would take hours, {CHAINS} × {DRAWS} after as many of warm-up, so that its ESS is rough. "
    "Gradients are those of the draws kept",
    simulate,
    (
        hierbayes(FORMULA, "bernoulli", repeats=0),
        hierbayes(
            FORMULA,
            "bernoulli",
            name=GRAPH,
            repeats=0,
            most=1,
            strategy="nuts",
            draws=DRAWS,
            tune=DRAWS,
            chains=CHAINS,
        ),
    ),
    (
        Target("ESS a gradient", lambda r: r.median("hierbayes", "ess_gradient"), above=0.05),
        Target("ESS per second over the graph's", lambda r: r.ratio("hierbayes", GRAPH, "rate"), above=20),
    ),
    runs=1,
)
