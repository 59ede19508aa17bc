"""Families of the user's own: with a row function, with a distribution of PyMC's, with both; what is refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.engine import choose
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works, grouped

EULER = -special.digamma(1)
PARAMETERS = {"mu": "number", "scale": hb.parameter("positive", prior="Exponential(1)", words="scale")}
EXACT = {
    "mean": lambda mu, scale: mu.value + EULER * scale.value,
    "variance": lambda mu, scale: (np.pi * scale.value) ** 2 / 6 + 0 * mu.value,
    "cdf": lambda y, mu, scale: np.exp(-np.exp(-(y - mu.value) / scale.value)),
    "simulate": lambda rng, mu, scale: rng.gumbel(mu.value, scale.value),
}


@hb.row_function
def fallen(z):
    return np.exp(-z)


def row(y, mu, scale):
    z = (y - mu.value) / scale.value
    rest = fallen(z)
    return -scale.log - z - rest, (1.0 - rest) / scale.value, z - 1.0 - z * rest


def distribution(pm, mu, scale):
    return pm.Gumbel, {"mu": mu.value, "beta": scale.value}


def gumbel(**changed):
    given = {"row": row, "distribution": distribution, **EXACT} | changed
    return hb.custom_family("gumbel", PARAMETERS, "number", **given)


@pytest.fixture(scope="module")
def data():
    rng, columns = grouped(600, 30, seed=2)
    return pd.DataFrame(columns | {"flood": rng.gumbel(2 + columns["eta"], 0.7)})


@pytest.mark.parametrize("family", [gumbel(), gumbel(row=None)], ids=["row", "distribution"])
def test_density_and_scores_are_scipys(family):
    y, mu = np.array([-2.0, 0.5, 9.0])[:, None], np.array([-1.0, 0.2, 2.0])
    value, scores = family.at(mu, {"scale": 0.7}, LINKS["identity"]).evaluate(y)
    assert_allclose(value, stats.gumbel_r(mu, 0.7).logpdf(y), rtol=1e-11)
    by_hand = (1 - np.exp(-(y - mu) / 0.7)) / 0.7
    assert_allclose(scores[0], by_hand, rtol=1e-11)


@pytest.mark.parametrize(
    "formula",
    ["flood ~ x + (1 | g)", "flood ~ x + (x | g)", {"mu": "flood ~ x", "scale": "~ x + (1 | g)"}],
)
def test_the_kernel_is_the_graph(data, formula):
    assert_kernel_is_the_graph(hb.Model(formula, data, family=gumbel()))


def test_everything_works(data, tmp_path):
    fit = assert_works(
        hb.Model("flood ~ x + (1 | g)", data, family=gumbel()),
        {"x": 0.4, "scale": 0.7, "sd[g, Intercept]": 0.5},
    )
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc", family=gumbel())
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    with pytest.raises(
        DataError, match=r"of your own, 'gumbel' with mu \(number\), scale \(positive\).*family="
    ):
        hb.load(tmp_path / "fit.nc")
    other = hb.custom_family(
        "gumbel", {"mu": "number", "s": "positive"}, "number", distribution=lambda pm, mu, s: 0
    )
    with pytest.raises(DataError, match=r"the one given is 'gumbel' with mu \(number\), s \(positive\)"):
        hb.load(tmp_path / "fit.nc", family=other)


def test_a_family_of_ones_own_is_not_asked_for_where_it_is_none(tmp_path):
    fit = hb.fit("Reaction ~ 1", hb.load_dataset("sleepstudy"), seed=1, progress=False)
    fit.save(tmp_path / "fit.nc")
    with pytest.raises(DataError, match="is of family 'gaussian', not 'gumbel'"):
        hb.load(tmp_path / "fit.nc", family=gumbel())


def test_a_changed_function_has_other_code():
    def one(y, mu, scale):
        return y + 1.0, 0.0, 0.0

    def two(y, mu, scale):
        return y + 2.0, 0.0, 0.0

    at = [
        gumbel(row=function).at(np.zeros(1), {"scale": 1.0}, LINKS["identity"]).log_density(np.ones(1))
        for function in (one, two)
    ]
    assert_allclose(at, [[2.0], [3.0]])


def test_the_strategy_is_what_the_density_allows(data):
    by_row, by_pymc = (
        hb.Model("flood ~ x", data, family=gumbel(**left)) for left in ({"distribution": None}, {"row": None})
    )
    assert choose(by_row.spec, by_row.design).strategy.name == "whitened"
    assert choose(by_pymc.spec, by_pymc.design).strategy.name == "nuts"
    assert "no row function, only a distribution of PyMC's" in repr(by_pymc)
    with pytest.raises(UnsupportedError, match="no distribution of PyMC's"):
        by_row.fit(strategy="nuts")
    with pytest.raises(UnsupportedError, match="no distribution of PyMC's, so there is no graph"):
        by_row.graph()
    with pytest.raises(UnsupportedError, match="no row function"):
        by_pymc.fit(strategy="whitened")
    with pytest.raises(UnsupportedError, match="row function"):
        by_pymc.approximate()


def test_pymc_alone_simulates_and_answers(data):
    """All but drawing goes by PyMC's distribution: densities of rows, responses, priors."""
    family = gumbel(row=None, simulate=None)
    model = hb.Model("flood ~ x", data.iloc[:40], family=family)
    drawn = model.prior_predictive(draws=20, seed=1)["prior_predictive"]["flood"]
    assert np.isfinite(drawn.to_numpy()).all()
    again = model.prior_predictive(draws=20, seed=1)["prior_predictive"]["flood"]
    assert_allclose(drawn, again)
    truth = {"Intercept": 1.0, "x": 0.3, "scale": 0.5}
    assert len(model.simulate(truth, seed=1)) == 40


def test_nuts_draws_what_whitened_draws(data):
    exact, by_pymc = (
        hb.fit("flood ~ x", data, family=gumbel(**left), seed=1, progress=False, chains=2)
        for left in ({}, {"row": None})
    )
    assert by_pymc.tree.attrs["strategy"] == "nuts"
    first, second = exact.summary(), by_pymc.summary()
    error = first["sd"] * np.sqrt(1 / first["ess_bulk"] + 1 / second["ess_bulk"])
    assert (np.abs(first["mean"] - second["mean"]) < 4.5 * error).all()
    assert_allclose(by_pymc.loo().elpd, exact.loo().elpd, atol=0.5)
    assert np.isfinite(by_pymc.residuals()["quantile"]).all()


def test_checks_find_what_is_wrong():
    right = hb.check_family(gumbel())
    assert right["passed"].all()
    assert right.index.tolist() == ["support", "density", "scores", "simulate", "cdf", "mean", "variance"]

    def wrong_score(y, mu, scale):
        value, first, second = -scale.log - (y - mu.value) / scale.value, 1.0 / scale.value, 0.0
        rest = np.exp(-(y - mu.value) / scale.value)
        return value - rest, first, second

    def wrong_density(y, mu, scale):
        z = (y - mu.value) / scale.value
        rest = np.exp(-z)
        return -z - rest, (1.0 - rest) / scale.value, z - z * rest  # it does not add up to 1

    for failing, changed in {
        ("scores",): {"row": wrong_score},
        ("density", "simulate"): {"row": wrong_density},
        ("simulate", "cdf", "mean", "variance"): {
            "simulate": lambda rng, mu, scale: rng.normal(mu.value, scale.value)
        },
        ("cdf",): {"cdf": lambda y, mu, scale: stats.norm.cdf(y, mu.value, scale.value)},
        ("mean",): {"mean": "mu", "variance": None},
        ("variance",): {"variance": lambda mu, scale: scale.value**2 + 0 * mu.value},
    }.items():
        table = hb.check_family(gumbel(**changed))
        assert tuple(table.index[~table["passed"]]) == failing, changed
    with pytest.raises(UnsupportedError, match="no parameter 'sd'; it has mu, scale"):
        hb.check_family(gumbel(), {"sd": 1.0})


def test_checks_of_counts_and_successes():
    binomial = hb.custom_family(
        "my_binomial",
        {"mu": "probability"},
        "successes",
        row=lambda y, trials, mu: (y * mu.log_p + (trials - y) * mu.log_q, y - trials * mu.p),
        of_y_alone=lambda y, n: special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1),
        distribution=lambda pm, n, mu: (pm.Binomial, {"n": n, "p": mu.p}),
        mean="mu",
        variance=lambda mu: mu.p * mu.q,
        cdf=lambda y, n, mu: stats.binom(n, mu.p).cdf(y),
    )
    table = hb.check_family(binomial, {"mu": [0.1, 0.6]}, trials=9)
    assert table["passed"].all(), table
    data = {"y": [0, 3, 4, 1], "n": [5, 5, 5, 5]}
    with pytest.raises(DataError, match="needs the number of trials"):
        hb.Model("y ~ 1", data, family=binomial)
    assert_kernel_is_the_graph(hb.Model("y | trials(n) ~ 1", data, family=binomial))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "poisson"}, "there is a family 'poisson' already"),
        ({"name": "my family"}, "no name of a family"),
        ({"parameters": {}}, "no parameters"),
        (
            {"parameters": {"mu": "real"}},
            "no kind of parameter 'real'; there are number, positive, probability",
        ),
        ({"parameters": {"y": "number"}}, "cannot have a parameter called 'y'"),
        ({"parameters": {"mu": "probability"}, "row": lambda y, mu: (0.0, 0.0)}, "mu, is a probability"),
        ({"support": "integer"}, "support='integer' of family 'f' is none of number, positive"),
        ({}, "has no density"),
        (
            {"row": lambda y, scale, mu: (0.0, 0.0, 0.0)},
            r"row of family 'f' takes \(y, scale, mu\); .* \(y, mu, scale\)",
        ),
        ({"distribution": lambda pm, mu: None}, r"is to take \(pm, mu, scale\)"),
        ({"row": row, "cdf": lambda y, mu: y}, r"cdf of family 'f'"),
        ({"row": row, "mean": "scale"}, "only the first parameter, 'mu'"),
    ],
)
def test_what_is_no_family_is_refused(given, words):
    whole = {"name": "f", "parameters": {"mu": "number", "scale": "positive"}, "support": "number"} | given
    with pytest.raises(UnsupportedError, match=words):
        hb.custom_family(**whole)


def test_scores_are_asked_for(data):
    family = gumbel(row=lambda y, mu, scale: -scale.log - (y - mu.value) / scale.value)
    with pytest.raises(UnsupportedError, match="returns the log density and a score for each of mu, scale"):
        family.at(np.zeros(1), {"scale": 1.0}, LINKS["identity"]).log_density(np.ones(1))
    nothing = gumbel(simulate=None, distribution=None)
    with pytest.raises(UnsupportedError, match="cannot be simulated: give custom_family simulate="):
        hb.Model("flood ~ x", data, family=nothing).prior_predictive(draws=10)
