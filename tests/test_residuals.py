"""Quantile residuals are DHARMa's: uniform under the model, and they see what they should see."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.criticism import residuals as module
from hierbayes.criticism.residuals import residuals

from .test_predict import to_fit, values_of

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


def test_residuals_are_leave_one_out(normal_fit):
    """Mean, sd and quantile of a row's simulations against its weighted normal densities."""
    table = normal_fit.residuals(draws=2000)
    b, r, sigma = (values_of(normal_fit, name) for name in ("b", "r_g", "sigma"))
    place = 100
    x, code = normal_fit.data["x"].iloc[place], 100 // 8
    mean = b[:, 0] + r[:, code, 0] + (b[:, 1] + r[:, code, 1]) * x
    density = stats.norm(mean, sigma)
    y = normal_fit.data["y"].iloc[place]
    weights = 1 / density.pdf(y)
    weights /= weights.sum()
    row = table.iloc[place]
    want = (weights * mean).sum()
    error = row["sd"] / np.sqrt(500)
    assert row["fitted"] == pytest.approx(want, abs=4 * error)
    assert row["sd"] == pytest.approx(np.sqrt((weights * (sigma**2 + (mean - want) ** 2)).sum()), rel=0.1)
    assert row["quantile"] == pytest.approx((weights * density.cdf(y)).sum(), abs=0.07)
    assert row["residual"] == y - row["fitted"]
    assert row["pearson"] == pytest.approx(row["residual"] / row["sd"])
    assert not table["pareto_k"].iloc[place] > 0.7


def test_columns_are_drawn_by_their_weights():
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.full(6, 0.5), size=4).T
    simulated = np.tile(np.arange(6.0)[:, None], (1, 4)) + 10 * np.arange(4)
    drawn = np.concatenate([module._resampled(simulated, weights, rng) for _ in range(5000)])
    for column in range(4):
        counts = np.bincount((drawn[:, column] - 10 * column).astype(int), minlength=6)
        np.testing.assert_allclose(counts / 30_000, weights[:, column], atol=4 * 0.5 / np.sqrt(30_000))


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


def test_discrete_quantiles_are_spread_between_the_shares(truth):
    """DHARMa's definition: uniform between the shares of simulations below and not above the response."""
    x, codes, u, rate = truth
    y = RNG.poisson(rate)
    fit = poisson_fit(y, x, codes, u)
    quantile = fit.residuals(draws=1000, seed=5)["quantile"].to_numpy()
    lower, upper = stats.poisson(rate).cdf(y - 1), stats.poisson(rate).cdf(y)
    assert (quantile > lower - 0.1).all()
    assert (quantile < upper + 0.1).all()
    inside = (quantile - lower) / (upper - lower)
    assert stats.kstest(inside[upper - lower > 0.2], "uniform").pvalue > 1e-3
    again = fit.residuals(draws=1000, seed=5)["quantile"].to_numpy()
    np.testing.assert_array_equal(quantile, again)
    assert not np.array_equal(quantile, fit.residuals(draws=1000, seed=6)["quantile"])


def test_chunks_change_nothing_but_the_noise(truth, monkeypatch):
    x, codes, u, rate = truth
    fit = poisson_fit(RNG.poisson(rate), x, codes, u)
    whole = fit.residuals()
    monkeypatch.setattr(module, "CHUNK_ENTRIES", 4 * 1000 * 70)
    pieces = residuals(fit.spec, fit.design, fit.posterior, 1000, 0).table
    np.testing.assert_allclose(pieces["fitted"], whole["fitted"], atol=0.5)
    np.testing.assert_allclose(pieces["fitted"].mean(), whole["fitted"].mean(), rtol=0.01)


def test_yes_or_no_responses_have_no_zeros_to_count():
    model = hb.Model("y ~ 1", pd.DataFrame({"y": [0, 1, 1] * 20}), family="bernoulli")
    fit = to_fit(model, {"b": np.full((400, 1), np.log(2.0))}, 2)
    tests = fit.residual_tests()
    assert "zeros" not in tests.index
    assert tests.loc["dispersion", "ratio"] == pytest.approx(1, abs=0.1)


def test_rows_keep_their_index(normal_fit):
    assert normal_fit.residuals(draws=50).index.equals(normal_fit.data.index)
