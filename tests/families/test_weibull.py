"""Waiting times."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works, grouped


@pytest.fixture(scope="module")
def data():
    rng, columns = grouped(800, 40, seed=6)
    mu = np.exp(1 + columns["eta"])
    return pd.DataFrame(columns | {"time": mu * rng.weibull(1.7, 800) / special.gamma(1 + 1 / 1.7)})


def test_density_and_distribution_function_are_scipys():
    y, eta = np.array([1e-3, 0.4, 3.0, 40.0])[:, None], np.array([-2.0, 0.3, 3.0])
    for shape in (0.6, 1.0, 7.0):
        exact = stats.weibull_min(shape, scale=np.exp(eta) / special.gamma(1 + 1 / shape))
        found = FAMILIES["weibull"].at(eta, {"shape": shape}, LINKS["log"])
        assert_allclose(found.log_density(y), exact.logpdf(y), rtol=1e-11, atol=1e-11)
        assert_allclose(found.cdf(y), exact.cdf(y), rtol=1e-11)
        assert_allclose(found.mean(), exact.mean(), rtol=1e-12)
        assert_allclose(found.variance(), exact.var(), rtol=1e-9)


def test_a_shape_of_one_is_a_gamma_of_shape_one():
    y, eta, one = np.array([0.1, 2.0, 9.0]), np.array(0.7), {"shape": 1.0}
    weibull, gamma = (
        FAMILIES[name].at(eta, one, LINKS["log"]).log_density(y) for name in ("weibull", "gamma")
    )
    assert_allclose(weibull, gamma, rtol=1e-13)


@pytest.mark.parametrize(
    "formula",
    ["time ~ x + (1 | g)", {"mu": "time ~ x", "shape": "~ x"}],
    ids=["plain", "shape with a formula"],
)
def test_the_kernel_is_the_graph(data, formula):
    assert_kernel_is_the_graph(hb.Model(formula, data, family="weibull"))


def test_everything_works(data):
    model = hb.Model("time ~ x + (1 | g)", data, family="weibull")
    assert_works(model, {"x": 0.4, "shape": 1.7, "sd[g, Intercept]": 0.5})
