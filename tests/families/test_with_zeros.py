"""Zeros beside any family: those that brms has no name for, and a user's own."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.errors import UnsupportedError
from hierbayes.families import FAMILIES, get_family
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, grouped

MADE = {
    "zero_inflated_geometric": hb.zero_inflated("geometric"),
    "hurdle_geometric": hb.hurdle("geometric"),
    "hurdle_weibull": hb.hurdle("weibull"),
}


def poisson(**changed):
    given = {
        "row": lambda y, mu: (y * mu.log - mu.value, y - mu.value),
        "distribution": lambda pm, mu: (pm.Poisson, {"mu": mu.value}),
        "of_y_alone": lambda y: -special.gammaln(y + 1),
        "simulate": lambda rng, mu: rng.poisson(mu.value).astype(float),
        "mean": "mu",
        "variance": lambda mu: mu.value,
        "cdf": lambda y, mu: stats.poisson(mu.value).cdf(y),
    } | changed
    return hb.custom_family("my_poisson", {"mu": "positive"}, "count", **given)


@pytest.mark.parametrize("family", MADE.values(), ids=MADE)
def test_it_is_what_it_says(family):
    table = hb.check_family(family, {"mu": [0.3, 1.0, 4.0]})
    assert table["passed"].all(), table


@pytest.mark.parametrize("make", [hb.zero_inflated, hb.hurdle])
def test_a_family_of_ones_own_with_zeros_is_the_packages(make):
    own, ours = make(poisson()), make("poisson")
    y, eta = np.array([0.0, 1.0, 5.0])[:, None], np.array([-2.0, 0.3, 2.0])
    found, expected = (
        family.at(eta, {family.own[0].name: 0.3}, LINKS["log"]).evaluate(y) for family in (own, ours)
    )
    assert_allclose(found[0], expected[0], rtol=1e-11)
    assert_allclose(found[1], expected[1], rtol=1e-11, atol=1e-12)


def test_counts_without_zeros_where_nearly_all_are():
    """By adding probabilities up: a geometric count above 0 is 1 and another."""
    family = MADE["hurdle_geometric"]
    mu = np.full(40_000, 0.01)
    y = family.at(np.log(mu), {"hu": 0.0}, LINKS["log"]).simulate(np.random.default_rng(1))
    p = 1 / 1.01
    counts = np.array([(y == 1).sum(), (y == 2).sum(), (y > 2).sum()])
    expected = len(y) * np.array([p, p * (1 - p), (1 - p) ** 2])
    assert ((counts - expected) ** 2 / expected).sum() < 18.4  # exceeded once in 10,000 times


def test_names_that_are_here_are_those():
    assert hb.zero_inflated("poisson") is FAMILIES["zero_inflated_poisson"]
    assert hb.hurdle("lognormal") is FAMILIES["hurdle_lognormal"]
    assert hb.zero_inflated("betabinomial") is FAMILIES["zero_inflated_beta_binomial"]
    assert get_family("hurdle_geometric")[0] is MADE["hurdle_geometric"]


def test_the_kernel_is_the_graph_and_fits_come_back(tmp_path):
    rng, columns = grouped(300, 15, seed=4)
    amount = np.exp(1 + columns["eta"]) * rng.weibull(1.5, 300) * (rng.random(300) > 0.4)
    data = pd.DataFrame(columns | {"amount": amount})
    model = hb.Model({"mu": "amount ~ x + (1 | g)", "hu": "~ x"}, data, family="hurdle_weibull")
    assert_kernel_is_the_graph(model)
    fit = model.fit(seed=1, progress=False)
    assert fit.tree.attrs["strategy"] == "whitened"
    summary = fit.summary()
    for name, value in {"x": 0.4, "shape": 1.5, "hu.Intercept": np.log(0.4 / 0.6), "hu.x": 0.0}.items():
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"]
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.fixef(), fit.fixef())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hb.zero_inflated("gamma"), "hurdle has zeros beside numbers above 0"),
        (lambda: hb.hurdle("gaussian"), "a hurdle is for counts and for numbers above 0"),
        (lambda: hb.hurdle("beta"), "a hurdle is for counts and for numbers above 0"),
        (lambda: hb.hurdle("mixture(poisson, poisson)"), "is of one distribution"),
        (lambda: get_family("hurdle_nosuch"), "there is no family 'hurdle_nosuch'"),
        (lambda: hb.hurdle("binomial"), "a hurdle is for counts and for numbers above 0"),
        (lambda: hb.hurdle(MADE["zero_inflated_geometric"]), "a probability of zeros already, zi"),
        (lambda: hb.hurdle(poisson(cdf=None)), "'my_poisson' has no cdf"),
        (lambda: hb.zero_inflated(poisson(row=None)), "'my_poisson' has no row"),
        (lambda: hb.hurdle("nosuch"), "there is no family 'nosuch'"),
    ],
)
def test_what_has_no_such_zeros_is_refused(make, words):
    with pytest.raises(UnsupportedError, match=words):
        make()
