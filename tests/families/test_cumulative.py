"""Ordered categories."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.errors import DataError, HierBayesError, PriorError, UnsupportedError
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works, grouped

THRESHOLDS = np.array([-1.0, 0.5, 2.0])
OWN = {"disc": 1.0, "thresholds": THRESHOLDS}
WORDS = ["bad", "fair", "good", "top"]


@pytest.fixture(scope="module")
def data():
    rng, columns = grouped(1000, 40, seed=7)
    latent = columns["eta"] + rng.logistic(size=1000)
    rating = (latent[:, None] > THRESHOLDS).sum(axis=1)
    words = pd.Categorical(np.array(WORDS)[rating], WORDS, ordered=True)
    return pd.DataFrame(columns | {"rating": 1 + rating, "word": words})


def test_the_density_is_a_difference_of_logistic_distribution_functions():
    eta = np.array([-3.0, 0.2, 2.5])
    found = FAMILIES["cumulative"].at(eta, OWN, LINKS["identity"])
    ends = np.concatenate([[-np.inf], THRESHOLDS, [np.inf]])
    expected = np.diff(stats.logistic.cdf(ends[:, None] - eta), axis=0)
    assert_allclose(np.exp(found.log_density(np.arange(4.0)[:, None])), expected, rtol=1e-12)
    assert_allclose(found.probabilities(), expected.T, rtol=1e-12)


@pytest.mark.parametrize("eta", [-40.0, 40.0])
def test_no_category_is_lost_in_a_tail(eta):
    at = FAMILIES["cumulative"].at(np.full(4, eta), OWN, LINKS["identity"])
    value = at.log_density(np.arange(4.0))
    near, far = (0, 3) if eta < 0 else (3, 0)
    assert abs(value[near]) < 1e-15
    assert_allclose(value[far], special.log_expit(THRESHOLDS[0] - eta if eta > 0 else eta - THRESHOLDS[-1]))
    step = np.log(np.exp(THRESHOLDS[1]) - np.exp(THRESHOLDS[0]))  # of F(a) - F(b) far below: e^a - e^b
    assert_allclose(
        value[1], (step - eta) if eta > 0 else np.log(np.exp(1.0) - np.exp(-0.5)) + eta, rtol=1e-12
    )


@pytest.mark.parametrize("formula", ["rating ~ x + (1 | g)", "word ~ 0 + x"])
def test_the_kernel_is_the_graph(data, formula):
    priors = {"b": "Normal(0, 1)"} if "0" in formula else {}
    assert_kernel_is_the_graph(hb.Model(formula, data, family="cumulative", priors=priors))


def test_everything_works(data):
    model = hb.Model("word ~ x + (1 | g)", data, family="cumulative")
    names = [f"thresholds[{below}|{above}]" for below, above in itertools.pairwise(WORDS)]
    truth = dict(zip(names, THRESHOLDS, strict=True))
    fit = assert_works(model, truth | {"x": 0.4, "sd[g, Intercept]": 0.5})
    table = fit.predict(data.iloc[:3], kind="mean")
    assert table.index.names[-1] == "category"
    assert_allclose(table["mean"].groupby(level=0).sum(), 1.0)
    draws = fit.predict(data.iloc[:3], kind="mean", output="draws")
    assert draws.dims[-1] == "category"
    assert list(draws["category"].to_numpy()) == WORDS
    assert "bad < fair < good < top" in repr(model)
    thresholds = fit.posterior["thresholds"].to_numpy()
    assert (np.diff(thresholds, axis=-1) > 0).all()
    sd = fit.posterior["sd_g"].to_numpy()
    assert_allclose(fit.icc()["mean"].iloc[0], np.mean(sd**2 / (sd**2 + np.pi**2 / 3)), rtol=1e-6)
    with pytest.raises(UnsupportedError, match="has no expected response"):
        fit.icc(scale="response")


def test_prior_draws_of_thresholds_are_in_order(data):
    model = hb.Model("word ~ x", data, family="cumulative")
    drawn = model.prior_predictive(draws=2000)["prior"]["thresholds"].to_numpy()[0]
    assert (np.diff(drawn, axis=-1) > 0).all()
    middle = stats.t(3, scale=2.5).rvs((20_000, 3), random_state=1)
    assert stats.ks_2samp(drawn[:, 1], np.sort(middle, axis=1)[:, 1]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"word": ["b", "a"] * 500}, "text without an order"),
        ({"word": 1.0}, "in every row"),
        ({"word": np.arange(1000)}, "takes each for a category"),
    ],
)
def test_responses_that_are_no_categories_are_refused(data, change, message):
    with pytest.raises(DataError, match=message):
        hb.Model("word ~ x", data.assign(**change), family="cumulative")


def test_what_a_vector_does_not_take_is_refused(data):
    with pytest.raises(HierBayesError, match="thresholds"):
        hb.Model({"mu": "word ~ x", "thresholds": "~ x"}, data, family="cumulative")
    with pytest.raises(PriorError, match="for all of them alike"):
        hb.Model("word ~ x", data, family="cumulative", priors={"thresholds": "Fixed(1)"})
