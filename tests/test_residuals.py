"""Quantile residuals are DHARMa's: uniform under the model, and they see what they should see."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.answers.predict import Request, evaluate_predictors
from hierbayes.criticism import heldout
from hierbayes.criticism import residuals as module
from hierbayes.criticism.residuals import residuals
from hierbayes.families import FAMILIES
from tests.test_families import TEN

from .test_families import MEANS, SCIPY
from .test_predict import tame_fit, to_fit, values_of

RNG = np.random.default_rng(21)


def poisson_fit(y, x, codes, u, draws=1000, family="poisson", seed=3):
    """A posterior about the truth log rate = 0.5 + 0.4 x + u: narrow, so that residuals are about the family."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"y": y, "x": x, "g": [f"{code:03d}" for code in codes]})
    model = hb.Model("y ~ x + (1 | g)", data, family=family)
    values = {
        "b": np.array([0.5, 0.4]) + 0.02 * rng.normal(size=(draws, 2)),
        "sd_g": 0.5 * np.exp(0.05 * rng.normal(size=(draws, 1))),
        "r_g": (u + 0.02 * rng.normal(size=(draws, len(u))))[..., None],
    }
    if family == "negbinomial":
        values["shape"] = np.full(draws, 2.0)
    return to_fit(model, values, 2)


@pytest.fixture(scope="module")
def truth():
    codes = np.repeat(np.arange(30), 20)
    x, u = RNG.normal(size=600), 0.5 * RNG.normal(size=30)
    return x, codes, u, np.exp(0.5 + 0.4 * x + u[codes])


@pytest.fixture(scope="module")
def normal_fit():
    codes = np.repeat(np.arange(60), 8)
    x, r = RNG.normal(size=480), RNG.normal(size=(60, 2))
    y = 3 + r[codes, 0] + (1 + 0.5 * r[codes, 1]) * x + RNG.normal(size=480)
    data = pd.DataFrame({"y": y, "x": x, "g": [f"{code:03d}" for code in codes]})
    return hb.fit("y ~ x + (x | g)", data, seed=1, progress=False, draws=500)


def test_residuals_of_a_true_model_are_uniform(truth):
    x, codes, u, rate = truth
    fit = poisson_fit(RNG.poisson(rate), x, codes, u)
    tests = fit.residual_tests()
    assert list(tests.index) == ["uniformity", "dispersion", "outliers", "zeros"]
    assert list(tests.columns) == ["observed", "expected", "ratio", "p_value"]
    assert (tests["p_value"] > 0.01).all()
    assert tests.loc["dispersion", "ratio"] == pytest.approx(1, abs=4 * np.sqrt(2 / 600))


def test_group_effects_that_saw_the_rows_do_not_hide_in_the_residuals(normal_fit):
    """A quarter of the residuals' variance is gone in the posterior's own simulations; not in leave-one-out ones."""
    tests = normal_fit.residual_tests()
    assert tests.loc["dispersion", "ratio"] == pytest.approx(1, abs=0.06)
    assert (tests["p_value"] > 0.01).all()
    own = normal_fit.predict(kind="response", output="draws").to_numpy().reshape(-1, 480)
    naive = np.square((normal_fit.design.y - own.mean(axis=0)) / own.std(axis=0)).mean()
    assert naive < 0.85


RESPONSES = {
    "gaussian": lambda n: RNG.normal(0.3, 1.0, n),
    "student": lambda n: RNG.standard_t(3, n),
    "lognormal": lambda n: np.exp(RNG.normal(size=n)),
    "bernoulli": lambda n: RNG.integers(0, 2, n),
    "binomial": lambda n: RNG.integers(0, 6, n),
    "betabinomial": lambda n: RNG.integers(0, 6, n),
    "poisson": lambda n: RNG.poisson(2.0, n),
    "negbinomial": lambda n: RNG.negative_binomial(2, 0.5, n),
    "gamma": lambda n: RNG.gamma(2.0, size=n),
    "beta": lambda n: RNG.beta(2.0, 3.0, n),
}


def family_fit(name, weights=""):
    """A fit of 24 rows whose draws differ enough for some rows' weights to be smoothed."""
    data = pd.DataFrame({"y": RESPONSES[name](24), "x": RNG.normal(size=24), "g": list("abcdef") * 4})
    data = data.assign(n=5 + np.arange(24) % 3, w=1.0 + np.arange(24) % 2)
    trials = "trials(n)" if FAMILIES[name].needs_trials else ""
    sides = " + ".join(filter(None, (trials, weights)))
    model = hb.Model(f"y{f' | {sides}' if sides else ''} ~ x + (x | g)", data, family=name)
    fit = tame_fit(model, draws=500)
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    values["b"] *= 0.5
    values["r_g"] *= 0.3
    values["b"][:, 0] += 0.15 * np.random.default_rng(8).normal(size=1000)
    if name == "student":
        values["nu"] = 3.0 + np.random.default_rng(9).gamma(3.0, size=1000)
    return to_fit(model, values, 2)


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
@pytest.mark.parametrize(("name", "weights"), [(name, "") for name in TEN] + [("poisson", "weights(w)")])
def test_residuals_are_of_the_weighted_mixture(name, weights):
    """Mean, sd, probabilities of every row by SciPy's distributions, and ArviZ's smoothed weights."""
    from arviz_stats.base import array_stats

    fit = family_fit(name, weights)
    request = Request("linear", ("g",), "error", 0)
    eta, aux = evaluate_predictors(fit.spec, flatten(fit.spec, fit.posterior), fit.design, request)
    y, n = fit.design.y, fit.design.trials
    exact = SCIPY[name](MEANS[fit.spec.link_name](eta), aux, n)
    density = exact.logpdf(y) if hasattr(exact.dist, "pdf") else exact.logpmf(y)
    counted = density if not weights else density * fit.data["w"].to_numpy()
    plain = np.exp(counted.min(axis=0) - counted)
    plain /= plain.sum(axis=0)
    smooth, k = array_stats.psislw(np.ascontiguousarray(counted.T), axis=-1)
    even = 1 / np.square(plain).sum(axis=0) > 0.7 * len(plain)
    if not weights:
        assert even.any()
        assert not even.all() or name == "bernoulli"
    w = np.where(even, plain, np.exp(smooth.T))
    w /= w.sum(axis=0)
    table = fit.residuals(draws=None)
    mean = (w * exact.mean()).sum(axis=0)
    np.testing.assert_allclose(table["fitted"], mean, rtol=1e-6)
    np.testing.assert_array_equal(table["residual"], y - table["fitted"])
    sd = np.sqrt((w * (exact.var() + exact.mean() ** 2)).sum(axis=0) - mean**2)
    np.testing.assert_allclose(table["sd"], sd, rtol=1e-6)
    np.testing.assert_allclose(table["pearson"], (y - mean) / sd, rtol=1e-5, atol=1e-6)
    upto = (w * exact.cdf(y)).sum(axis=0)
    below = (w * exact.cdf(y - 1)).sum(axis=0) if FAMILIES[name].support.whole else upto
    quantile = table["quantile"].to_numpy()
    assert ((quantile >= below - 1e-7) & (quantile <= upto + 1e-7)).all()
    np.testing.assert_allclose(
        table["pareto_k"], np.where(even, np.nan, np.where(np.isnan(k), np.inf, k)), rtol=1e-6
    )
    tests = fit.residual_tests(draws=None)
    if "zeros" in tests.index:
        assert tests.loc["zeros", "expected"] == pytest.approx((w * exact.pmf(0)).sum(), rel=1e-6)
    if name != "student":
        assert tests.loc["dispersion", "observed"] == pytest.approx(np.mean(((y - mean) / sd) ** 2), rel=1e-6)


def test_leave_one_out_is_refitting_without_the_row(normal_fit):
    """Rows' mean, sd and quantile against fits in which their response is not."""
    table = normal_fit.residuals(draws=None)
    for place in (100, 333):
        kept = normal_fit.data.drop(index=normal_fit.data.index[place])
        refit = hb.fit("y ~ x + (x | g)", kept, seed=2, progress=False, draws=1000)
        row = normal_fit.data.iloc[[place]]
        mean = refit.predict(row, output="draws").to_numpy().ravel()
        sigma, y = values_of(refit, "sigma"), row["y"].item()
        assert table["fitted"].iloc[place] == pytest.approx(mean.mean(), abs=0.1 * table["sd"].iloc[place])
        assert table["sd"].iloc[place] == pytest.approx(np.sqrt(np.mean(sigma**2) + mean.var()), rel=0.05)
        assert table["quantile"].iloc[place] == pytest.approx(stats.norm(mean, sigma).cdf(y).mean(), abs=0.03)


def test_nothing_of_a_continuous_response_is_random(normal_fit):
    """The seed enters the p-value of the dispersion alone, and chunks not at all."""
    one, two = (residuals(normal_fit.spec, normal_fit.design, normal_fit.posterior, 500, s) for s in (0, 1))
    pd.testing.assert_frame_equal(one.table, two.table)
    p_value = one.tests.pop("p_value"), two.tests.pop("p_value")
    pd.testing.assert_frame_equal(one.tests, two.tests)
    assert p_value[0]["dispersion"] == pytest.approx(p_value[1]["dispersion"], abs=0.1)


def test_columns_are_drawn_by_their_weights():
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.full(6, 0.5), size=4).T
    drawn = np.concatenate([heldout._draw_places(weights, 7, rng) for _ in range(5000)], axis=1)
    for column in range(4):
        counts = np.bincount(drawn[column], minlength=6)
        np.testing.assert_allclose(counts / 35_000, weights[:, column], atol=4 * 0.5 / np.sqrt(35_000))
    together = np.corrcoef(drawn)
    np.testing.assert_allclose(together, np.eye(4), atol=4 / np.sqrt(35_000))
    edge = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(heldout._draw_places(edge, 3, rng), [[1] * 3, [0] * 3])


def test_replicates_are_the_predictive_distribution_row_by_row(truth):
    """Draws that move all rows together must not: rows are held out each by itself."""
    x, codes, u, rate = truth
    fit = poisson_fit(RNG.poisson(rate), x, codes, u, family="negbinomial")
    flat = flatten(fit.spec, fit.posterior)
    flat.values["b"][:, 0] += np.random.default_rng(4).normal(size=1000)
    eta, aux = evaluate_predictors(fit.spec, flat, fit.design, Request("linear", ("g",), "error", 0))
    found = heldout.hold_out(fit.spec, fit.design, eta, aux)
    drawn = heldout.replicate_rows(
        fit.spec, fit.design, eta, aux, found.weights, 1000, np.random.default_rng(5)
    )
    z = (drawn.mean(axis=0) - found.mean) / np.sqrt(found.variance / 1000)
    assert np.abs(z).max() < 5
    assert np.square(z).mean() < 1.3
    assert (drawn == 0).sum(axis=1).mean() == pytest.approx(found.zero.sum(), rel=0.01)
    total = ((drawn - found.mean) / np.sqrt(found.variance)).sum(axis=1)
    assert total.std() == pytest.approx(np.sqrt(600), rel=0.15)


DEPARTURES = {
    "overdispersed": (lambda rate: RNG.poisson(rate * RNG.gamma(1.5, 1 / 1.5, 600)), "dispersion", 1.3),
    "underdispersed": (lambda rate: np.round(rate), "dispersion", None),
    "zero-inflated": (lambda rate: RNG.poisson(rate) * (RNG.random(600) > 0.2), "zeros", 1.3),
    "outlying": (lambda rate: RNG.poisson(rate) + 25 * (RNG.random(600) < 0.03), "outliers", 3.0),
    "shifted": (lambda rate: RNG.poisson(1.4 * rate), "uniformity", None),
}


@pytest.mark.parametrize("departure", DEPARTURES)
def test_departures_are_seen(truth, departure):
    x, codes, u, rate = truth
    simulate, test, least = DEPARTURES[departure]
    found = poisson_fit(simulate(rate), x, codes, u).residual_tests().loc[test]
    assert found["p_value"] < 0.01
    if least is not None:
        assert found["ratio"] > least
    if departure == "underdispersed":
        assert found["ratio"] < 0.7


def test_discrete_quantiles_are_spread_between_the_probabilities(truth):
    """DHARMa's definition: uniform between the probabilities of less than the response and of no more."""
    x, codes, u, rate = truth
    y = RNG.poisson(rate)
    fit = poisson_fit(y, x, codes, u)
    quantile = fit.residuals(draws=1000, seed=5)["quantile"].to_numpy()
    lower, upper = stats.poisson(rate).cdf(y - 1), stats.poisson(rate).cdf(y)
    assert (quantile > lower - 0.03).all()
    assert (quantile < upper + 0.03).all()
    inside = (quantile - lower) / (upper - lower)
    assert stats.kstest(inside[upper - lower > 0.2], "uniform").pvalue > 1e-3
    again = fit.residuals(draws=1000, seed=5)["quantile"].to_numpy()
    np.testing.assert_array_equal(quantile, again)
    other = fit.residuals(draws=1000, seed=6)
    assert not np.array_equal(quantile, other["quantile"])


def test_chunks_change_nothing(truth, monkeypatch):
    x, codes, u, rate = truth
    fit = poisson_fit(RNG.poisson(rate), x, codes, u)
    whole = fit.residuals()
    monkeypatch.setattr(module, "CHUNK_ENTRIES", 4 * 1000 * 70)
    pieces = residuals(fit.spec, fit.design, fit.posterior, 1000, 0).table
    pd.testing.assert_frame_equal(pieces, whole, rtol=1e-10)


def student_fit(y, nu):
    draws = 1000
    rng = np.random.default_rng(3)
    model = hb.Model("y ~ 1", pd.DataFrame({"y": y}), family="student")
    values = {"b": 0.05 * rng.normal(size=(draws, 1)), "sigma": np.ones(draws), "nu": nu(rng, draws)}
    return to_fit(model, values, 2)


def test_a_response_without_variance_is_tested_by_its_normal_scores():
    """Some draws have two degrees of freedom or fewer: no sd, no Pearson residual, but a test that sees the spread."""
    y = stats.t(2).rvs(600, random_state=5)
    nu = lambda rng, draws: rng.uniform(1.5, 2.5, draws)  # noqa: E731
    fit = student_fit(y, nu)
    table, tests = fit.residuals(), fit.residual_tests()
    assert np.isposinf(table["sd"]).all()
    assert table["pearson"].isna().all()
    scores = stats.norm.ppf(table["quantile"])
    found = tests.loc["dispersion"]
    assert found["observed"] == pytest.approx(np.square(scores).mean(), rel=1e-9)
    assert found["p_value"] == pytest.approx(
        2 * min(stats.chi2(600).sf(found["observed"] * 600), stats.chi2(600).cdf(found["observed"] * 600))
    )
    assert (tests["p_value"] > 0.01).all()
    for factor in (0.6, 1.6):
        found = student_fit(factor * y, nu).residual_tests().loc["dispersion"]
        assert found["p_value"] < 0.01
        assert (found["ratio"] > 1) == (factor > 1)
    ordinary = student_fit(y, lambda rng, draws: np.full(draws, 3.0))
    np.testing.assert_allclose(ordinary.residuals()["sd"], np.sqrt(3.0), rtol=0.01)


@pytest.mark.parametrize("draws", [2, 20, 50])
def test_few_draws_are_taken_as_they_are(normal_fit, draws):
    """Too few to smooth the tail of their weights: those are left as they are, and have no Pareto k."""
    table = normal_fit.residuals(draws=draws)
    assert np.isfinite(table.drop(columns="pareto_k")).all(axis=None)
    assert table["pareto_k"].isna().all() == (draws < 30)


def test_yes_or_no_responses_have_no_zeros_to_count():
    model = hb.Model("y ~ 1", pd.DataFrame({"y": [0, 1, 1] * 20}), family="bernoulli")
    fit = to_fit(model, {"b": np.full((400, 1), np.log(2.0))}, 2)
    tests = fit.residual_tests()
    assert "zeros" not in tests.index
    assert tests.loc["dispersion", "ratio"] == pytest.approx(1, abs=0.1)


def test_rows_keep_their_index(normal_fit):
    assert normal_fit.residuals(draws=50).index.equals(normal_fit.data.index)
