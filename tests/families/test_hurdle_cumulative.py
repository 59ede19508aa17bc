"""Ordered categories after a hurdle: the two parts are models of their own, and together one."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.errors import DataError
from hierbayes.families import get_family
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph

ETA, OWN = np.array([-1.2, 0.3, 0.9]), {"disc": 1.4, "thresholds": np.array([-0.8, 0.1, 1.3])}
TRUTH = {
    "x": 0.7,
    "sd[g, Intercept]": 0.6,
    "disc": 1.0,
    "hu.Intercept": -0.8,
    "hu.x": 0.5,
    "thresholds[low|middle]": -0.5,
    "thresholds[middle|high]": 0.8,
}


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
@pytest.mark.parametrize("hu", [0.02, 0.6])
def test_probabilities_are_those_of_both_parts(link, hu):
    family, base = get_family("hurdle_cumulative", link)[0], get_family("cumulative", link)[0]
    at, after = (
        one.at(ETA, own, LINKS["identity"]) for one, own in ((family, OWN | {"hu": hu}), (base, OWN))
    )
    expected = np.column_stack([np.full(3, hu), (1 - hu) * after.probabilities()])
    assert_allclose(at.probabilities(), expected, rtol=1e-12)
    y = np.arange(5.0)[:, None]
    value, scores = at.evaluate(y)
    assert_allclose(np.exp(value), expected.T, rtol=1e-10)
    assert_allclose(at.cdf(y), expected.cumsum(axis=1).T, rtol=1e-12)
    inner = after.evaluate(y[1:] - 1)[1]
    assert_allclose(scores[2][0], 1.0 / hu, rtol=1e-9)
    for place, other in ((0, 0), (1, 1), (3, 2), (4, 3), (5, 4)):  # mu, disc, thresholds
        assert_allclose(scores[place][1:], inner[other], rtol=1e-9)
        assert not scores[place][0].any()


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_evenly_spaced_thresholds_are_those_of_any(link):
    free = get_family("hurdle_cumulative", link)[0]
    evenly = free.equidistant(5)
    own = {"disc": 1.4, "hu": 0.3}
    any_, spaced = (
        one.at(ETA, own | thresholds, LINKS["identity"])
        for one, thresholds in (
            (free, {"thresholds": np.array([-0.8, 0.1, 1.0])}),
            (evenly, {"threshold": np.array(-0.8), "delta": np.array(0.9)}),
        )
    )
    assert_allclose(spaced.probabilities(), any_.probabilities(), rtol=1e-12)
    y = np.arange(5.0)[:, None]
    (value, scores), (exact, others) = spaced.evaluate(y), any_.evaluate(y)
    assert_allclose(value, exact, rtol=1e-10)
    for found, expected in zip(scores[:3], others[:3], strict=True):
        assert_allclose(found, expected, rtol=1e-9)
    assert_allclose(scores[3], sum(others[3:]), rtol=1e-9, atol=1e-12)
    assert_allclose(scores[4], others[4] + 2 * others[5], rtol=1e-9, atol=1e-12)


def test_evenly_spaced_thresholds_are_learnt(scores):
    fit = hb.fit(
        'y | thres("equidistant") ~ x + (1 | g)', scores, family="hurdle_cumulative", seed=1, progress=False
    )
    summary = fit.summary()
    for name, value in {"x": 0.7, "threshold": -0.5, "delta": 1.3}.items():
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"], name


@pytest.mark.parametrize("eta", [-40.0, 40.0])
def test_tails_keep_their_digits(eta):
    at, after = (
        get_family(name)[0].at(np.full(3, eta), own, LINKS["identity"])
        for name, own in (("hurdle_cumulative", OWN | {"hu": 0.25}), ("cumulative", OWN))
    )
    y = np.array([1.0, 2.0, 4.0])
    assert_allclose(at.log_density(y), np.log(0.75) + after.log_density(y - 1), rtol=1e-10)


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    words = ["never", "low", "middle", "high"]
    frame = pd.DataFrame({"x": rng.normal(size=600), "g": np.arange(600) % 15})
    frame["y"] = pd.Categorical([words[0]] * 600, words, ordered=True)
    formulas = {"mu": "y ~ x + (1 | g)", "hu": "~ x"}
    found = hb.simulate(formulas, frame, TRUTH, seed=2, family="hurdle_cumulative")
    return found.assign(y=pd.Categorical(found["y"], words, ordered=True))


@pytest.mark.parametrize(
    ("formulas", "link"),
    [
        ({"mu": "y ~ x + (x | g)", "hu": "~ x + (1 | g)"}, "logit"),
        ({"mu": "y ~ x + (1 | g)", "disc": "~ x"}, "probit"),
        ({"mu": "y | thres(gr=half) ~ x"}, "cloglog"),
        ({"mu": 'y | thres("equidistant") ~ x + (1 | g)', "hu": "~ x", "disc": "~ x"}, "logit"),
    ],
)
def test_the_kernel_is_the_graph(scores, formulas, link):
    data = scores.assign(half=np.where(scores.index < 300, "a", "b"))
    assert_kernel_is_the_graph(hb.Model(formulas, data, family="hurdle_cumulative", link=link))


def test_the_truth_is_recovered_and_answered(scores, tmp_path):
    formulas = {"mu": "y ~ x + (1 | g)", "hu": "~ x"}
    fit = hb.fit(formulas, scores, family="hurdle_cumulative", seed=1, progress=False)
    summary = fit.summary()
    for name, value in TRUTH.items():
        assert abs(summary.loc[name, "mean"] - value) <= 4 * summary.loc[name, "sd"], name
    assert summary["ess_bulk"].min() > 1000
    new = {"x": [0.0], "g": [99]}
    table = fit.predict(new)
    assert list(table.index.get_level_values("category")) == ["never", "low", "middle", "high"]
    hu = fit.predict(new, parameter="hu", output="draws")
    assert_allclose(fit.predict(new, output="draws").sel(category="never"), hu, rtol=1e-12)
    assert np.isfinite(fit.loo().elpd)
    quantile = np.sort(fit.residuals()["quantile"].to_numpy())
    assert np.abs(quantile - (np.arange(600) + 0.5) / 600).max() < 1.95 / 600**0.5
    fit.save(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").predict(new), table)


def test_two_categories_have_no_order_behind_the_hurdle(scores):
    with pytest.raises(DataError, match="at least three categories"):
        hb.Model("y ~ x", scores.assign(y=(scores["x"] > 0).astype(int)), family="hurdle_cumulative")
