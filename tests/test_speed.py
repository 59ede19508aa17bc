"""Tables of a large fit take moments (73 421 ratings, 4114 levels, 4000 draws), and so do thousands of simulations."""

import time

import numpy as np
import pytest

import hierbayes as hb
from tests.benchmarks.peers.tables import TABLES


@pytest.fixture(scope="module")
def large(known_fit):
    model = hb.Model("y ~ service + (1 | s) + (1 | d) + (1 | dept)", hb.load_dataset("insteval"))
    rng = np.random.default_rng(0)
    values = {}
    for variable in model.spec.variables:
        own = tuple(len(model.spec.coords[dim]) for dim in variable.dims)
        centre = {"b": 0.1, "sd": 0.4, "auxiliary": 1.2, "r": 0.0}[variable.kind]
        spread = 0.4 if variable.kind == "r" else 0.01
        values[variable.name] = centre + spread * rng.normal(size=(4000, *own))
    return known_fit(model, values, chains=4)


@pytest.mark.parametrize("name", [name for name in TABLES if name != "check"])  # there is nothing to find
def test_every_table_takes_less_than_three_seconds(large, name):
    start = time.process_time()  # other programs on the machine don't count
    table = TABLES[name](large)
    assert time.process_time() - start < 3
    assert len(table)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "negbinomial"])
def test_thousands_of_data_sets_of_a_thousand_rows_take_less_than_two_seconds(family):
    rows = hb.design_grid(person=50, item=20)
    rows["x"] = np.linspace(-1, 1, len(rows))
    priors = {"Intercept": "Normal(0, 1)", "b": "Normal(0, 1)", "sd": "Exponential(1)"}
    priors |= {"sigma": "Exponential(1)"} if family == "gaussian" else {}
    model = hb.Model("y ~ x + (x | person) + (x | item)", rows, family, priors)
    model.prior_predictive(10)
    start = time.process_time()
    tree = model.prior_predictive(4000)
    assert time.process_time() - start < 2
    assert tree["prior_predictive"]["y"].shape == (1, 4000, 1000)
