"""Several responses from known parameters, approximated, and under other priors."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from tests.test_responses import simulated

FORMULA = "mvbind(weight, count) ~ x + (1 |p| g)"
ACROSS = "cor[g, weight_Intercept, count_Intercept]"
TRUTH = {
    "weight.Intercept": 1, "weight.x": 0.5, "weight.sigma": 0.7, "weight.sd[g, Intercept]": 1,
    "count.Intercept": 0.5, "count.x": -0.3, "count.sd[g, Intercept]": 0.5, ACROSS: 0.6,
}  # fmt: skip


def design(groups: int, rows: int) -> pd.DataFrame:
    x = np.random.default_rng(2).normal(size=groups * rows)
    return pd.DataFrame({"g": np.repeat(np.arange(groups), rows), "x": x})


def test_effects_have_the_correlation_across_responses():
    data, effects = hb.simulate(
        FORMULA, design(4000, 2), TRUTH, seed=1, family=["gaussian", "poisson"], effects=True
    )
    wide = effects.pivot_table(index="level", columns="response", values="value")
    assert_allclose(wide.corr().loc["weight", "count"], 0.6, atol=4 * (1 - 0.36) / np.sqrt(4000))
    assert_allclose(wide.std()[["weight", "count"]], [1, 0.5], rtol=4 / np.sqrt(8000))
    rest = data["weight"] - 1 - 0.5 * data["x"] - wide["weight"].loc[data["g"]].to_numpy()
    assert_allclose(rest.std(), 0.7, rtol=4 / np.sqrt(16_000))
    mean = np.exp(0.5 - 0.3 * data["x"] + wide["count"].loc[data["g"]].to_numpy())
    assert abs(((data["count"] - mean) / np.sqrt(mean)).mean()) < 4 / np.sqrt(8000)


def test_residuals_have_theirs():
    truth = TRUTH | {"count.sigma": 2.0, "rescor[weight, count]": -0.7}
    data, effects = hb.simulate(FORMULA, design(500, 10), truth, seed=3, rescor=True, effects=True)
    wide = effects.pivot_table(index="level", columns="response", values="value").loc[data["g"]].to_numpy()
    rest = data[["count", "weight"]].to_numpy() - wide - np.outer(data["x"], [-0.3, 0.5]) - [0.5, 1]
    assert_allclose(np.corrcoef(rest.T)[0, 1], -0.7, atol=4 * (1 - 0.49) / np.sqrt(5000))
    assert_allclose(rest.std(axis=0), [2, 0.7], rtol=4 / np.sqrt(10_000))


def test_a_model_simulates_its_own_rows_and_a_fit_takes_its_summary():
    data = simulated(groups=30, rows=10)
    with pytest.warns(hb.DataWarning, match="left out"):
        model = hb.Model(FORMULA, data, family=["gaussian", "poisson"])
    found = model.simulate(TRUTH, seed=1)
    assert found.index.equals(data.index)
    assert found["count"].isna().sum() == data["count"].isna().sum()
    assert found["weight"].isna().equals(data["weight"].isna())
    pd.testing.assert_frame_equal(found, model.simulate(TRUTH, seed=1))
    table = model.fit(draws=3000, seed=1, progress=False).summary()
    assert not model.simulate(table["mean"], seed=1).equals(found)


def test_a_response_that_predicts_another_is_drawn_first():
    rows = pd.DataFrame({"x": np.linspace(-1, 1, 400), "m": 0.0, "y": 0.0})
    rows.loc[1, "m"] = 1.0
    model = hb.Model(["y ~ m", "m ~ x"], rows.assign(y=np.arange(400.0)))
    truth = {"y.Intercept": 0, "y.m": 2, "y.sigma": 0.01, "m.Intercept": 100, "m.x": 1, "m.sigma": 1}
    data = model.simulate(truth, seed=1)
    assert_allclose(data["y"], 2 * data["m"], atol=0.06)
    both = hb.Model(["y ~ m", "m ~ y"], data)
    truth = truth | {"m.y": 1}
    del truth["m.x"]
    with pytest.raises(hb.DataError, match="predict each other"):
        both.simulate(truth)


def test_categories_are_named_by_the_thresholds_of_their_response():
    truth = {
        "a.Intercept": 0,
        "a.sigma": 1,
        "b.thresholds[low|mid]": -1,
        "b.thresholds[mid|high]": 1,
        "b.disc": 1,
        "b.x": 0.5,
    }
    data = hb.simulate(["a ~ 1", "b ~ x"], design(50, 10), truth, family=["gaussian", "cumulative"], seed=1)
    assert set(data["b"]) == {"low", "mid", "high"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight.x": None}, "lack 'weight.x'"),
        ({"x": 1}, "no parameter 'x'"),
        ({ACROSS: 1.5}, "between -1 and 1"),
        ({"weight.sigma": -1}, "above 0"),
    ],
)
def test_parameters_that_cannot_be(change, words):
    truth = {name: value for name, value in (TRUTH | change).items() if value is not None}
    with pytest.raises(hb.DataError, match=words):
        hb.simulate(FORMULA, design(5, 4), truth, family=["gaussian", "poisson"])


def test_what_stands_apart_is_refused():
    with pytest.raises(hb.UnsupportedError, match="several responses, and here is one"):
        hb.simulate("y ~ x", design(5, 4), {}, rescor=True)
    with pytest.raises(hb.UnsupportedError, match="gaussian or student"):
        hb.simulate(FORMULA, design(5, 4), TRUTH, family=["gaussian", "poisson"], rescor=True)
    twice = simulated(groups=12, rows=3)
    twice.index = np.zeros(len(twice), dtype=int)
    with pytest.warns(hb.DataWarning, match="left out"):
        model = hb.Model(FORMULA, twice, family=["gaussian", "poisson"])
    with pytest.raises(hb.DataError, match="labels stand twice"):
        model.simulate(TRUTH)


@pytest.fixture(scope="module")
def joint():
    truth = TRUTH | {"count.sigma": 1.0}
    data = hb.simulate(FORMULA, design(40, 10), truth, seed=5)
    model = hb.Model(FORMULA, data)
    return model, model.fit(seed=1, progress=False)


def test_an_approximation_is_near_the_posterior(joint):
    model, fit = joint
    glance = model.approximate(seed=1, progress=False)
    assert glance.pareto_k < 0.7
    assert "r_hat" not in glance.summary()
    assert [finding.code for finding in glance.check()] == ["approximate"]
    exact = fit.summary()
    shift = (glance.summary()["mean"] - exact["mean"]) / exact["sd"]
    weight = np.exp(glance.tree["sample_stats"]["log_weight"].to_numpy().ravel())
    assert abs(shift).max() < 0.5
    draws = glance.response("weight").summary(output="draws")
    values = draws.to_numpy().reshape(-1, draws.shape[-1]) if draws.ndim == 3 else draws.to_numpy()
    mean = (values * weight[:, None]).sum(axis=0) / weight.sum()
    own = fit.response("weight").summary()
    assert abs((mean - own["mean"]) / own["sd"]).max() < 0.25
    with pytest.raises(hb.UnsupportedError, match="reweights draws"):
        glance.loo()
    assert fit.pareto_k is None


def test_other_priors_stand_beside(joint):
    _, fit = joint
    found = fit.refit({"weight.b[x]": "Normal(0, 0.01)", "cor[g, p]": "LKJ(40)"}, progress=False)
    table = found.table()
    assert table.loc["weight.x", "prior_after"] == "Normal(mu=0, sigma=0.01)"
    assert table.loc["weight.x", "mean_after"] < 0.1 < table.loc["weight.x", "mean_before"]
    assert table.loc[ACROSS, "prior_after"] == "LKJ(eta=40)"
    assert table.loc[ACROSS, "mean_after"] < 0.5 * table.loc[ACROSS, "mean_before"]
    same = ["count.x", "weight.sigma"]
    assert (table.loc[same, "prior_before"] == table.loc[same, "prior_after"]).all()
    back = found.after.refit(None, progress=False).after
    assert back.priors["prior"].tolist() == fit.priors["prior"].tolist()
    kept = found.after.model.with_priors({"count.sigma": "Exponential(3)"})
    assert kept.spec.prior_texts[ACROSS] == "LKJ(eta=40)"
    assert kept.spec.prior_texts["count.sigma"] == "Exponential(lam=3)"


def test_structure_and_simulated_data_of_each_response(joint):
    model, _ = joint
    two = hb.Model(
        "mvbind(weight, count) ~ x + (1 |p| g) + (1 | h)",
        model.response("weight").data.assign(
            count=lambda rows: np.sin(np.arange(len(rows))), h=lambda rows: np.arange(len(rows)) % 7
        ),
    )
    assert two.structure()["response"].tolist() == ["weight", "count"]
    axes = model.plot_prior_predictive("count", draws=50)
    assert len(axes.ravel()) >= 2
    with pytest.raises(hb.DataError, match="no response"):
        model.plot_prior_predictive("height")
