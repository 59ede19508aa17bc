"""Families whose responses have a column for each category: densities, simulation, models, answers, refusals."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.engine.whitened import to_question
from hierbayes.engine.whitening.laplace import evaluator
from hierbayes.engine.whitening.packing import pack
from hierbayes.errors import DataError, FormulaError, UnsupportedError
from hierbayes.families import get_family
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph

ETAS = np.array([[0.0, 0.3, -1.1], [0.0, -0.4, 0.8], [0.0, 2.0, 1.5]])  # (n, K)
TRUTH = {
    "mulow.Intercept": 0.3,
    "mulow.x": 0.5,
    "mulow.sd[g, Intercept]": 0.5,
    "muhigh.Intercept": -0.2,
    "muhigh.x": -0.7,
    "muhigh.sd[g, Intercept]": 0.5,
}


def at(name: str, etas: np.ndarray, **own):
    """Responses of three categories at linear predictors (…, 3)."""
    family = get_family(name)[0].by_category(("none", "low", "high"))
    given = {"mulow": etas[..., 1], "muhigh": etas[..., 2]} | own
    return family.at(etas[..., 0], given, LINKS["identity"])


def partitions(trials: int, categories: int = 3) -> np.ndarray:
    """All counts of so many trials."""
    every = itertools.product(range(trials + 1), repeat=categories)
    return np.array([counts for counts in every if sum(counts) == trials], float)


# -- multinomial -------------------------------------------------------------------------------------------------


def test_multinomial_density_is_scipys():
    y = partitions(4)[:, None]
    found = at("multinomial", ETAS).log_density(y, np.full(3, 4.0))
    expected = stats.multinomial(4, special.softmax(ETAS, axis=1)).logpmf(y)
    assert_allclose(found, expected, rtol=1e-10)
    assert_allclose(np.exp(found).sum(axis=0), 1.0, rtol=1e-12)


@pytest.mark.parametrize("eta", [-40.0, 40.0])
def test_multinomial_tails_keep_their_digits(eta):
    etas = np.array([[0.0, eta, 0.0]])
    y = np.array([[[1.0, 2.0, 0.0]], [[0.0, 3.0, 0.0]], [[2.0, 0.0, 1.0]]])
    found, scores = at("multinomial", etas).evaluate(y, np.array([3.0]))
    log_p = (
        np.log(special.softmax([0.0, eta, 0.0])) if eta < 0 else np.array([-40.0, -2 * np.exp(-40), -40.0])
    )
    log_p = np.array([-np.log(2), -40 - np.log(2), -np.log(2)]) if eta < 0 else log_p
    expected = (y[:, 0] * log_p).sum(axis=1) + np.log([3, 1, 3])
    assert_allclose(found[:, 0], expected, rtol=1e-8, atol=1e-15)
    for place, score in enumerate(scores):
        assert_allclose(score[:, 0], y[:, 0, place] - 3 * np.exp(log_p[place]), rtol=1e-8, atol=1e-12)


def test_multinomial_counts_are_drawn_by_their_probabilities():
    y = at("multinomial", ETAS).simulate(np.random.default_rng(1), np.full(3, 3))
    assert y.shape == (3, 3)
    many = at("multinomial", np.tile(ETAS, (20_000, 1, 1))).simulate(np.random.default_rng(1), np.full(3, 3))
    every = partitions(3)
    p = np.exp(at("multinomial", ETAS).log_density(every[:, None], np.full(3, 3.0)))
    for row in range(3):
        seen = (many[:, row][:, None] == every).all(axis=2).sum(axis=0)
        assert stats.chisquare(seen, 20_000 * p[:, row]).pvalue > 1e-4


# -- dirichlet, dirichlet_multinomial ----------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [0.3, 4.0, 60.0, 2000.0])
def test_dirichlet_densities_are_scipys(phi):
    a = phi * special.softmax(ETAS, axis=1)
    y = np.random.default_rng(2).dirichlet([0.8, 2.0, 1.5], size=3)
    found = at("dirichlet", ETAS, phi=phi).log_density(y)
    assert_allclose(
        found, [stats.dirichlet(own).logpdf(each) for own, each in zip(a, y, strict=True)], rtol=1e-8
    )
    counts = partitions(5)[:, None]
    found = at("dirichlet_multinomial", ETAS, phi=phi).log_density(counts, np.full(3, 5.0))
    assert_allclose(
        found, stats.dirichlet_multinomial(a, 5).logpmf(counts.astype(int)), rtol=1e-8, atol=1e-10
    )
    assert_allclose(np.exp(found).sum(axis=0), 1.0, rtol=1e-10)


def test_a_large_phi_leaves_a_multinomial():
    y = partitions(4)[:, None]
    multinomial = at("multinomial", ETAS).log_density(y, np.full(3, 4.0))
    found = at("dirichlet_multinomial", ETAS, phi=1e12).log_density(y, np.full(3, 4.0))
    assert_allclose(found, multinomial, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("eta", [-40.0, 40.0])
def test_dirichlet_tails_keep_their_digits(eta):
    """Where a shape a vanishes, log Γ(a) is −log a and ψ(a) is −1/a."""
    phi, etas = 3.0, np.array([[0.0, eta, 0.0]])
    log_p = np.array([-40.0, 0.0, -40.0]) if eta > 0 else np.array([-np.log(2), eta - np.log(2), -np.log(2)])
    a = phi * np.exp(log_p)
    log_gamma = np.where(a > 1e-10, special.gammaln(a), -np.log(phi) - log_p)
    y = np.array([[0.2, 0.5, 0.3]])
    value, scores = at("dirichlet", etas, phi=phi).evaluate(y)
    expected = special.gammaln(phi) - log_gamma.sum() + ((a - 1) * np.log(y)).sum()
    assert_allclose(value, expected, rtol=1e-8)
    slopes = np.where(a > 1e-10, a * (np.log(y[0]) - special.digamma(a)), 1.0)
    in_etas = slopes - np.exp(log_p) * slopes.sum()
    assert_allclose([scores[0][0], *(score[0] for score in scores[2:])], in_etas, rtol=1e-8, atol=1e-8)


def test_dirichlet_responses_are_drawn_by_their_densities():
    """Moments of shares: mean p, variance p (1 − p) / (1 + phi); counts by their probabilities."""
    p, phi, count = special.softmax(ETAS, axis=1), 2.5, 40_000
    many = np.tile(ETAS, (count, 1, 1))
    y = at("dirichlet", many, phi=phi).simulate(np.random.default_rng(1))
    assert_allclose(y.sum(axis=-1), 1.0, rtol=1e-12)
    variance = p * (1 - p) / (1 + phi)
    assert np.all(abs(y.mean(axis=0) - p) < 4.5 * np.sqrt(variance / count))
    squares = np.square(y - p)
    assert np.all(abs(squares.mean(axis=0) - variance) < 4.5 * squares.std(axis=0) / np.sqrt(count))
    for row in range(3):  # a share alone is beta
        uniform = stats.beta(phi * p[row, 1], phi * (1 - p[row, 1])).cdf(y[:4000, row, 1])
        assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    counts = at("dirichlet_multinomial", many, phi=phi).simulate(np.random.default_rng(1), np.full(3, 3))
    every = partitions(3)
    expected = np.exp(at("dirichlet_multinomial", ETAS, phi=phi).log_density(every[:, None], np.full(3, 3.0)))
    for row in range(3):
        seen = (counts[:, row][:, None] == every).all(axis=2).sum(axis=0)
        assert stats.chisquare(seen, count * expected[:, row] / expected[:, row].sum()).pvalue > 1e-4


@pytest.mark.parametrize("name", ["dirichlet", "dirichlet_multinomial"])
def test_estimates_with_a_precision_are_near_the_truth(counts, name):
    trials = "" if name == "dirichlet" else " | trials(n)"
    formula = f"cbind(none, low, high){trials} ~ x + (1 | g)"
    design, truth = counts[["x", "g", "n"]].assign(n=20), TRUTH | {"phi": 6.0}
    data = hb.simulate(formula, design, truth, seed=1, family=name)
    model = hb.Model(formula, data, family=name)
    assert_kernel_is_the_graph(model)
    fit = model.fit(seed=1, progress=False)
    summary = fit.summary()
    for quantity, value in truth.items():
        assert abs(summary.loc[quantity, "mean"] - value) < 4 * summary.loc[quantity, "sd"], quantity
    assert summary["ess_bulk"].min() > 1000
    y = fit.predict(data.iloc[:3], kind="response", output="draws")
    assert_allclose(y.sum("category"), 1.0 if name == "dirichlet" else 20.0)
    assert np.isfinite(fit.loo().elpd)


def test_compositions_that_are_none_are_refused(counts):
    data = counts.assign(none=0.2, low=0.3, high=np.where(counts["x"] > 0, 0.5, 0.4))
    with pytest.raises(DataError, match=r"whose sum is 1; found 0\.2, 0\.3, 0\.4"):
        hb.Model("cbind(none, low, high) ~ x", data, family="dirichlet")
    with pytest.raises(DataError, match=r"0\.2, 0\.3, 0\.5 in every row"):
        hb.Model("cbind(none, low, high) ~ x", data.assign(high=0.5), family="dirichlet")
    with pytest.raises(DataError, match="'dirichlet' takes no trials"):
        hb.Model("cbind(none, low, high) | trials(n) ~ x", data, family="dirichlet")


# -- models ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counts() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    design = pd.DataFrame({"x": rng.normal(size=240), "g": np.arange(240) % 12, "n": rng.integers(1, 9, 240)})
    formula = "cbind(none, low, high) | trials(n) ~ x + (1 | g)"
    return hb.simulate(formula, design, TRUTH, seed=1, family="multinomial")


@pytest.fixture(scope="module")
def fit(counts) -> hb.Fit:
    formula = "cbind(none, low, high) | trials(n) ~ x + (1 | g)"
    return hb.fit(formula, counts, family="multinomial", seed=1, progress=False)


FORMULAS = [
    "cbind(none, low, high) ~ x + (x | g)",
    "cbind(none, low, high) | weights(w) ~ x + (1 | g)",
    {"mu": "c(none, low, high) | trials(n) ~ 1", "muhigh": "~ x + (1 | g)"},
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_kernel_is_the_graph(counts, formula):
    data = counts.assign(w=np.linspace(0.0, 2.0, len(counts)))
    assert_kernel_is_the_graph(hb.Model(formula, data, family="multinomial"))


def test_multinomial_is_categorical_on_a_row_a_trial(counts):
    """The same density and gradient at any parameters, but for the orders of the trials."""
    formula, names = "cbind(none, low, high) | trials(4) ~ x + (x | g)", ["none", "low", "high"]
    truth = {
        name.replace("Intercept]", effect + "]"): value
        for name, value in TRUTH.items()
        for effect in ("Intercept", "x")
    }
    data = hb.simulate(formula, counts[["x", "g"]], truth, seed=2, family="multinomial")
    places = np.repeat(np.arange(data[names].size), data[names].to_numpy().ravel())
    choice = pd.Categorical(np.array(names)[places % 3], names)
    single = data.iloc[places // 3].assign(choice=choice).reset_index(drop=True)
    models = (
        hb.Model(formula, data, family="multinomial"),
        hb.Model("choice ~ x + (x | g)", single, family="categorical"),
    )
    one, other = (pack(to_question(model.spec, model.design)) for model in models)
    y = data[names].to_numpy()
    orders = (special.gammaln(5) - special.gammaln(y + 1).sum(axis=1)).sum()
    rng = np.random.default_rng(5)
    for _ in range(3):
        position = 0.5 * rng.normal(size=one.dim)
        (value, gradient), (expected, slopes) = (evaluator(packed)(position) for packed in (one, other))
        assert_allclose(value, expected + orders, rtol=1e-12)
        assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-9)


def test_multinomial_estimates_are_nnets():
    """Where `nnet::multinom` ends the scores are 0, and the log likelihood is its.

    R 4.x, nnet 7.3.18: multinom(cbind(high, low, middle) ~ temp + contact, w, reltol = 1e-15, maxit = 1000) of the
    ratings of wine by temp and contact, 1 and 2 low, 3 middle, 4 and 5 high.
    """
    y = np.array([[0, 13, 5], [5, 5, 8], [2, 8, 8], [12, 1, 5.0]])  # cold.no, warm.no, cold.yes, warm.yes
    x = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]])
    b = np.array([[4.037731191, -3.993975356, -2.531538223], [3.030569338, -2.483304015, -1.492089056]])
    etas = np.column_stack([np.zeros(4), x @ b.T])
    value, scores = at("multinomial", etas).evaluate(y, y.sum(axis=1))
    orders = special.gammaln(y.sum(axis=1) + 1) - special.gammaln(y + 1).sum(axis=1)
    assert_allclose(value.sum() - orders.sum(), -61.73342845, rtol=1e-9)
    assert_allclose(np.array(scores[1:]) @ x, 0.0, atol=1e-6)


# -- fits --------------------------------------------------------------------------------------------------------


def test_the_truth_is_recovered(fit):
    summary = fit.summary()
    assert fit.tree.attrs["strategy"] == "whitened"
    for name, value in TRUTH.items():
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"], name
    assert summary["ess_bulk"].min() > 1000
    assert summary["r_hat"].max() < 1.02


def test_answers_have_the_categories(counts, fit):
    new = {"x": [0.0, 1.0], "g": [1, 99], "n": [3, 8]}
    table, draws = fit.predict(new), fit.predict(new, output="draws")
    assert list(table.index.get_level_values("category")) == ["none", "low", "high"] * 2
    assert_allclose(draws.sum("category"), 1.0, rtol=1e-12)
    y = fit.predict(new, kind="response", output="draws")
    assert y.dims == ("chain", "draw", "__obs__", "category")
    assert_allclose(y.sum("category"), np.broadcast_to([3.0, 8.0], y.shape[:3]))
    # a mean of draws: its Monte Carlo error is that of the counts' spread
    distance = (y.mean(("chain", "draw")) - draws.mean(("chain", "draw")) * np.array([[3.0], [8.0]])) / (
        y.std(("chain", "draw")) / np.sqrt(2000)
    )
    assert abs(distance).max() < 4.5
    b = {name: fit.posterior[f"b_{name}"].to_numpy() for name in ("mulow", "muhigh")}
    etas = np.stack([np.zeros(b["mulow"].shape[:2]), b["mulow"].sum(-1), b["muhigh"].sum(-1)], axis=-1)
    at_1 = fit.predict({"x": [1.0]}, groups="none", output="draws").to_numpy()[:, :, 0]
    assert_allclose(at_1, special.softmax(etas, axis=-1), rtol=1e-9)
    slopes = fit.avg_slopes("x")
    assert list(slopes["category"]) == ["none", "low", "high"]
    assert abs(slopes["mean"].sum()) < 1e-9


def test_the_log_likelihood_is_that_of_the_density(counts, fit):
    y, posterior = counts[["none", "low", "high"]].to_numpy(float), fit.posterior.isel(chain=0, draw=3)
    etas = [np.zeros(len(counts))]
    for name in ("mulow", "muhigh"):
        b = posterior[f"b_{name}"].to_numpy()
        r = posterior[f"r_{name}_g"].sel(g=counts["g"].to_numpy()).to_numpy()[:, 0]
        etas.append(b[0] + b[1] * counts["x"].to_numpy() + r)
    expected = stats.multinomial(y.sum(axis=1), special.softmax(np.column_stack(etas), axis=1)).logpmf(y)
    (found,) = fit.log_likelihood()["log_likelihood"].data_vars.values()
    assert_allclose(found.isel(chain=0, draw=3), expected, rtol=1e-9)
    assert np.isfinite(fit.loo().elpd)
    fewer = dataclasses.replace(fit, tree=fit.tree.isel(draw=slice(0, None, 10)))
    assert np.isfinite(fewer.logo("g").elpd)


def test_simulated_responses_have_the_categories(counts, fit):
    replicates = fit.posterior_predictive(draws=100)
    y = replicates["posterior_predictive"]["cbind(none, low, high)"]
    assert y.dims == ("chain", "draw", "__obs__", "category")
    assert list(y["category"].to_numpy()) == ["none", "low", "high"]
    assert_allclose(y.sum("category"), np.broadcast_to(counts["n"], y.shape[:3]))
    assert_allclose(
        replicates["observed_data"]["cbind(none, low, high)"], counts[["none", "low", "high"]].to_numpy()
    )
    prior = fit.model.prior_predictive(draws=20)["prior_predictive"]["cbind(none, low, high)"]
    assert prior.shape == (1, 20, len(counts), 3)
    rows = hb.design_grid(x=[0.0, 1.0], g=8, n=[5])
    design = hb.Model("cbind(none, low, high) | trials(n) ~ x + (1 | g)", rows, family="multinomial")
    drawn = design.prior_predictive(draws=20)["prior_predictive"]["cbind(none, low, high)"]
    assert_allclose(drawn.sum("category"), 5.0)
    assert "share of 'low'" in fit.model.prior_summary(draws=50).responses.index
    again = fit.model.simulate(TRUTH, seed=4)
    assert (again[["none", "low", "high"]].sum(axis=1) == counts["n"]).all()


def test_saved_fits_and_pictures(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    pd.testing.assert_frame_equal(again.predict(), fit.predict())
    for options in ({}, {"stacked": True}):
        assert "cbind(none, low, high)" in fit.plot_conditional_effects("x", **options).get_ylabel()
    assert [text.get_text() for text in fit.plot_ppc().get_legend().get_texts()] == ["none", "low", "high"]
    assert "max" in fit.plot_ppc(kind=np.max).get_xlabel()


def test_counts_may_stand_beside_another_response(counts):
    formulas = ["cbind(none, low, high) ~ x + (1 | g)", "n ~ x + (1 | g)"]
    assert_kernel_is_the_graph(hb.Model(formulas, counts, family=["multinomial", "poisson"]))


@pytest.mark.slow
def test_both_strategies_agree(fit):
    nuts = fit.model.fit(seed=2, strategy="nuts", progress=False)
    ours, other = fit.summary(), nuts.summary()
    error = np.hypot(ours["mcse_mean"], other["mcse_mean"])
    assert (abs(ours["mean"] - other["mean"]) < 4.5 * error).all()


# -- what is told, and what is refused ---------------------------------------------------------------------------


def test_empty_categories_and_separation_are_told(counts):
    with pytest.warns(UserWarning, match="no row has any of the category 'high'"):
        hb.Model("cbind(none, low, high) ~ x", counts.assign(high=0), family="multinomial")
    arm = np.where(counts["g"] < 6, "treated", "control")
    apart = counts.assign(
        arm=arm, low=counts["low"] * (arm == "control"), high=counts["high"] * (arm == "control")
    )
    apart = apart[apart[["none", "low", "high"]].sum(axis=1) > 0]
    with pytest.warns(UserWarning, match="without overlap"):
        hb.Model("cbind(none, low, high) ~ arm", apart, family="multinomial")
    assert hb.Model("cbind(none, low, high) ~ x", counts, family="multinomial").check() == ()


@pytest.mark.parametrize(
    ("formula", "family", "changes", "error", "words"),
    [
        ("none ~ x", "multinomial", {}, DataError, "a column for each category, such as cbind"),
        ("log(none) ~ x", "multinomial", {}, DataError, "a column for each category, such as cbind"),
        ("cbind(none, low) ~ x", "binomial", {}, DataError, r"write none \| trials\(none \+ low\)"),
        ("cbind(none, low, high) ~ x", "poisson", {}, DataError, "are several; responses of several columns"),
        (
            "cbind(none, low, high) | trials(n) ~ x",
            "multinomial",
            {"n": 3},
            DataError,
            "trials are not the sums",
        ),
        ("cbind(none, low, high) ~ x", "multinomial", {"low": 0.5}, DataError, "'dirichlet'"),
        ("cbind(none, low, high) ~ x", "multinomial", {"low": -1}, DataError, "Correct those rows"),
        (
            "cbind(none, low, high) ~ x",
            "multinomial",
            {"low": "few"},
            DataError,
            "column 'low' holds str values",
        ),
        ("cbind(none, low, low) ~ x", "multinomial", {}, FormulaError, "stands twice"),
        ("cbind(none, log(low), high) ~ x", "multinomial", {}, FormulaError, "name the columns"),
        ("cbind(none) ~ x", "multinomial", {}, FormulaError, "two or more"),
        (
            {"mu": "cbind(none, low, high) ~ x", "munone": "~ 1"},
            "multinomial",
            {},
            UnsupportedError,
            "no parameter 'munone'",
        ),
    ],
)
def test_what_is_none_of_its_responses_is_refused(counts, formula, family, changes, error, words):
    with pytest.raises(error, match=words):
        hb.Model(formula, counts.assign(**changes), family=family)


def test_what_takes_one_number_a_row_is_refused(fit):
    new = {"x": [0.0], "g": [1]}
    for refused, words in (
        (fit.residuals, "several columns"),
        (fit.plot_residuals, "several columns"),
        (fit.model.plot_prior_predictive, "several columns"),
        (fit.icc, "no one latent variable"),
        (fit.r2, "no one latent variable"),
        (lambda: fit.predict(new, kind="score"), "only categories in an order have scores"),
        (lambda: fit.predict(new, kind="linear"), "no one linear predictor"),
    ):
        with pytest.raises(UnsupportedError, match=words):
            refused()
    with pytest.raises(DataError, match="needs the trials of the new rows"):
        fit.predict(new, kind="response")
    with pytest.raises(DataError, match="several columns"):
        fit.plot_ppc(kind="group")
    rows = hb.design_grid(x=[0.0, 1.0])
    with pytest.raises(DataError, match=r"needs the number of trials"):
        hb.Model("cbind(none, low, high) ~ x", rows, family="multinomial")
