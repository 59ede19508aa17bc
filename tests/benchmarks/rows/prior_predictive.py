"""Thousands of simulated data sets before there are data: the prior predictive of a design, after the first call."""

import sys

from tests.benchmarks.measure import Contender, Row, Target

FAMILIES = ("gaussian", "bernoulli", "negbinomial")
CALLS = 3
CODE = """
import json, sys, time
import numpy as np
import hierbayes as hb

family = sys.argv[1]
rows = hb.design_grid(person=50, item=20)
rows["x"] = np.random.default_rng(0).normal(size=len(rows))
priors = {"Intercept": "Normal(0, 1)", "b": "Normal(0, 1)", "sd": "Exponential(1)"}
priors |= {"sigma": "Exponential(1)"} if family == "gaussian" else {}
model = hb.Model("y ~ x + (x | person) + (x | item)", rows, family, priors)
seconds, cpu = [], []
for seed in range(int(sys.argv[2]) + 1):
    start, used = time.perf_counter(), time.process_time()
    tree = model.prior_predictive(4000, seed=seed)
    seconds.append(time.perf_counter() - start)
    cpu.append(time.process_time() - used)
assert tree["prior_predictive"]["y"].shape == (1, 4000, 1000)
print(json.dumps({"call": np.median(seconds[1:]), "cpu": np.median(cpu[1:]), "first": seconds[0]}))
"""


def _contender(family: str) -> Contender:
    return Contender(family, lambda folder: [sys.executable, "-c", CODE, family, str(CALLS)])


ROW = Row(
    "prior_predictive",
    "4000 data sets of 1000 rows simulated from priors, correlated slopes by two crossed factors, 50 × 20 levels; "
    f"`prior_predictive(4000)`, the median of {CALLS} calls after the first",
    None,
    tuple(_contender(family) for family in FAMILIES),
    tuple(
        Target(f"seconds, {family}", lambda r, f=family: r.median(f, "call"), below=2) for family in FAMILIES
    ),
)
