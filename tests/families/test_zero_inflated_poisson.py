"""Counts with more zeros than a Poisson has."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.errors import PriorError, UnsupportedError
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works, grouped


@pytest.fixture(scope="module")
def data():
    rng, columns = grouped(900, 40, seed=5)
    mu = np.exp(1 + columns["eta"])
    return pd.DataFrame(columns | {"count": np.where(rng.random(900) < 0.3, 0, rng.poisson(mu))})


def test_the_density_is_a_mixture_of_zeros_and_a_poisson():
    y, eta = np.array([0.0, 1.0, 4.0, 30.0])[:, None], np.array([-2.0, 0.3, 3.0])
    for zi in (1e-9, 0.3, 1 - 1e-9):
        found = FAMILIES["zero_inflated_poisson"].at(eta, {"zi": np.array(zi)}, LINKS["log"])
        poisson = stats.poisson(np.exp(eta)).logpmf(y) + np.log1p(-zi)
        expected = np.where(y == 0, np.logaddexp(np.log(zi), poisson), poisson)
        assert_allclose(found.log_density(y), expected, rtol=1e-9)


@pytest.mark.parametrize("odds", [-40.0, 40.0])
def test_no_tail_of_the_probability_is_lost(odds):
    family = FAMILIES["zero_inflated_poisson"]
    zi = family.parameter("zi").kind.under("logit", np.array(odds))
    found = family.at(np.array(0.3), {"zi": zi}, LINKS["log"]).log_density(np.array([0.0, 2.0]))
    counted = stats.poisson(np.exp(0.3)).logpmf([0, 2]) + special.log_expit(-odds)
    assert_allclose(found, [np.logaddexp(special.log_expit(odds), counted[0]), counted[1]], rtol=1e-12)


@pytest.mark.parametrize(
    "formula",
    ["count ~ x + (1 | g)", {"mu": "count ~ x", "zi": "~ x + (1 | g)"}, "count | weights(2) ~ x"],
    ids=["plain", "zi with a formula", "weights"],
)
def test_the_kernel_is_the_graph(data, formula):
    assert_kernel_is_the_graph(hb.Model(formula, data, family="zero_inflated_poisson"))


def test_everything_works(data):
    model = hb.Model("count ~ x + (1 | g)", data, family="zero_inflated_poisson")
    assert_works(model, {"x": 0.4, "zi": 0.3, "sd[g, Intercept]": 0.5})


def test_a_probability_takes_priors_of_probabilities(data):
    formula = "count ~ x"
    for prior in ("Beta(2, 5)", "Uniform(0, 1)", "Fixed(0.25)"):
        model = hb.Model(formula, data, family="zero_inflated_poisson", priors={"zi": prior})
        assert str(model.spec.prior("zi", parameter="zi")).startswith(prior.split("(")[0])
    with pytest.raises(PriorError, match=r"zi cannot have the prior StudentT.*such as Beta"):
        hb.Model(formula, data, family="zero_inflated_poisson", priors={"zi": "StudentT(3, 0, 1)"})
    for prior in ("Beta(2, 5)", "Normal(0.3, 0.2)"):  # of a normal, what of it lies between 0 and 1
        model = hb.Model(formula, data, family="zero_inflated_poisson", priors={"zi": prior})
        assert_kernel_is_the_graph(model)


def test_means_are_not_averaged_over_groups_of_two_parameters(data):
    model = hb.Model({"mu": "count ~ x", "zi": "~ 1 + (1 | g)"}, data, family="zero_inflated_poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.SamplingWarning)
        fit = model.approximate(draws=100, progress=False)
    with pytest.raises(UnsupportedError, match="depends on zi, which varies by 'g'"):
        fit.predict(data.iloc[:2], groups="average")
