"""Data from known truths: their moments, their words, and what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.errors import DataError

LEVELS, ROWS = 4000, 5
DESIGN = pd.DataFrame({"x": np.tile(np.arange(ROWS) / 2.0, LEVELS), "g": np.repeat(np.arange(LEVELS), ROWS)})
TRUTH = {
    "Intercept": 2.0,
    "x": -1.0,
    "sd[g, Intercept]": 1.5,
    "sd[g, x]": 0.5,
    "cor[g, Intercept, x]": -0.6,
    "sigma": 0.8,
}
FORMULA = "y ~ x + (x | g)"


def test_a_normal_model_has_the_moments_it_should():
    y = hb.simulate(FORMULA, DESIGN, TRUTH, seed=4)["y"].to_numpy().reshape(LEVELS, ROWS)
    z = np.column_stack([np.ones(ROWS), np.arange(ROWS) / 2])
    sd = np.array([1.5, 0.5])
    covariance = z @ (np.outer(sd, sd) * [[1, -0.6], [-0.6, 1]]) @ z.T + 0.64 * np.eye(ROWS)
    assert_allclose(y.mean(axis=0), z @ [2.0, -1.0], atol=4 * np.sqrt(covariance.max() / LEVELS))
    # the standard error of a variance is √(2 / n) of it
    assert_allclose(np.cov(y.T), covariance, atol=4 * np.sqrt(2 / LEVELS) * covariance.max())


def test_the_truth_is_recovered():
    data, effects = hb.simulate(FORMULA, DESIGN.iloc[: 150 * ROWS], TRUTH, seed=5, effects=True)
    fit = hb.fit(FORMULA, data, seed=1, progress=False)
    table = fit.summary()
    assert table["ess_bulk"].min() > 400
    z = (table["mean"] - pd.Series(TRUTH)[table.index]) / table["sd"]
    assert z.abs().max() < 3
    found = fit.ranef(prob=0.9)
    pd.testing.assert_frame_equal(found[["group", "level", "effect"]], effects.drop(columns="value"))
    assert abs(effects["value"].between(found["lower"], found["upper"]).mean() - 0.9) < 0.06
    again = hb.Model(FORMULA, data).simulate(table["mean"], seed=2)
    assert_allclose(again["y"].std(), data["y"].std(), rtol=0.15)


def test_the_effects_are_those_in_the_data():
    truth = TRUTH | {"sigma": 1e-9}
    data, effects = hb.simulate(FORMULA, DESIGN, truth, seed=3, effects=True)
    r = effects.pivot(index="level", columns="effect", values="value").loc[data["g"]]
    mean = 2 + r["Intercept"].to_numpy() + (r["x"].to_numpy() - 1) * data["x"].to_numpy()
    assert_allclose(data["y"], mean, atol=1e-7)
    pd.testing.assert_frame_equal(hb.Model(FORMULA, data).simulate(truth, seed=3), data[["y", "x", "g"]])


def test_the_same_seed_gives_the_same_data():
    first = hb.simulate(FORMULA, DESIGN, TRUTH, seed=4)
    pd.testing.assert_frame_equal(first, hb.simulate(FORMULA, DESIGN, TRUTH, seed=4))
    assert not first["y"].equals(hb.simulate(FORMULA, DESIGN, TRUTH, seed=5)["y"])


def test_every_kind_of_table_will_do_and_other_columns_stay():
    rows = {"x": [0.0, 1.0, 2.0] * 4, "g": list("aabbccddeeff"), "note": ["k"] * 12}
    expected = hb.simulate(FORMULA, pd.DataFrame(rows), TRUTH, seed=1)
    assert expected.columns.tolist() == ["x", "g", "note", "y"]
    for table in (pl.DataFrame(rows), pl.LazyFrame(rows), rows):
        found = hb.simulate(FORMULA, table, TRUTH, seed=1)
        assert_allclose(found["y"], expected["y"])
    assert "y" not in rows


def test_counts_out_of_trials_and_counts():
    design = DESIGN.assign(n=7)
    truth = {"Intercept": 0.5, "sd[g, Intercept]": 0.0}
    y = hb.simulate("k | trials(n) ~ 1 + (1 | g)", design, truth, family="binomial", seed=1)["k"]
    assert y.dtype == np.int64
    assert_allclose(y.mean(), 7 / (1 + np.exp(-0.5)), rtol=0.01)
    truth = {"Intercept": 1.0, "sd[g, Intercept]": 0.6, "shape": 3.0}
    counts = hb.simulate("k ~ 1 + (1 | g)", design, truth, family="negbinomial", seed=1)["k"]
    assert_allclose(counts.mean(), np.exp(1 + 0.18), rtol=0.05)


def test_a_parameter_with_a_formula():
    formulas = {"mu": "y ~ 1", "sigma": "~ x"}
    truth = {"Intercept": 0.0, "sigma.Intercept": 0.0, "sigma.x": 1.0}
    data = hb.simulate(formulas, DESIGN, truth, seed=1)
    spread = data.groupby("x")["y"].std()
    assert_allclose(spread, np.exp(spread.index.to_numpy()), rtol=0.06)


def test_a_model_simulates_its_own_rows_in_its_own_words():
    data = hb.load_dataset("contraception")
    model = hb.Model("use ~ age + (1 | district)", data, family="bernoulli")
    found = model.simulate({"Intercept": 0.4, "age": 0.05, "sd[district, Intercept]": 0.3}, seed=1)
    assert set(found["use"]) == set(data["use"])
    assert found["age"].equals(model.data["age"])
    assert found["use"].ne(model.data["use"]).any()
    hb.Model("use ~ age + (1 | district)", found, family="bernoulli")


def test_simulated_categories_keep_their_order_and_their_kind():
    words = ["low", "middle", "high"]
    rows = pd.DataFrame({"x": np.linspace(-2, 2, 60)})
    rows["score"] = np.arange(60) % 3 + 1
    rows["said"] = pd.Categorical(np.array(words)[rows["score"] - 1], words, ordered=True)
    truth = {"x": 1.0, "disc": 1.0}
    said = hb.Model("said ~ x", rows, family="cumulative")
    found = said.simulate(truth | {"thresholds[low|middle]": -1.0, "thresholds[middle|high]": 1.0}, seed=1)
    assert found["said"].dtype == rows["said"].dtype
    again = hb.Model("said ~ x", found, family="cumulative")
    assert again.spec.layout.response.levels == said.spec.layout.response.levels
    score = hb.Model("score ~ x", rows, family="cumulative")
    found = score.simulate(truth | {"thresholds[1|2]": -1.0, "thresholds[2|3]": 1.0}, seed=1)
    assert found["score"].dtype == np.int64


@pytest.mark.parametrize(
    ("status", "values", "none"),
    [
        ("late", ["right"] * 20, "none"),
        ("late", [False, True] * 10, False),
        ("1 - late", [0, 1] * 10, 1),
        ("1 - late", [0] * 20, 1),
        ('late == "lost"', ["seen", "lost"] * 10, "seen"),
    ],
)
def test_simulated_times_are_not_censored(status, values, none):
    rows = pd.DataFrame({"x": np.linspace(-1, 1, 20), "late": values})
    truth = {"Intercept": 1.0, "x": 1.0, "shape": 2.0}
    found = hb.simulate(f"time | cens({status}) ~ x", rows, truth, family="weibull", seed=1)
    assert set(found["late"]) == {none}
    assert found["late"].dtype == rows["late"].dtype


def test_censoring_that_cannot_be_put_back_is_refused():
    rows = pd.DataFrame({"x": np.linspace(-1, 1, 20), "late": [0, 1] * 10, "lost": [1, 0] * 10})
    truth = {"Intercept": 1.0, "x": 1.0, "shape": 2.0}
    with pytest.raises(DataError, match="simulated responses are not censored"):
        hb.simulate("time | cens(late + lost) ~ x", rows, truth, family="weibull")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigm": 1.0}, "no parameter 'sigm'; did you mean 'sigma'?"),
        ({"x": None}, "parameter 'x' must be one number; got None"),
        ({"sd[g, x]": -1.0}, "'sd[g, x]' is a standard deviation, 0 or more; got -1"),
        ({"cor[g, Intercept, x]": 1.2}, "is a correlation, between -1 and 1"),
        ({"sigma": 0.0}, "'sigma' must be above 0"),
    ],
)
def test_parameters_that_are_refused(change, message):
    with pytest.raises(DataError) as error:
        hb.simulate(FORMULA, DESIGN, TRUTH | change)
    assert message in str(error.value)


def test_what_else_is_refused():
    with pytest.raises(DataError, match=r"the parameters lack 'x', 'sd\[g, x\]'; give each a number"):
        hb.simulate(
            FORMULA, DESIGN, {name: TRUTH[name] for name in ("Intercept", "sd[g, Intercept]", "sigma")}
        )
    with pytest.raises(DataError, match="is computed"):
        hb.simulate("log(y) ~ x + (x | g)", DESIGN, TRUTH)
    with pytest.raises(DataError, match="the design has no rows"):
        hb.simulate(FORMULA, DESIGN.iloc[:0], TRUTH)
    with pytest.raises(DataError, match="no column 'z'"):
        hb.simulate("y ~ z + (1 | g)", DESIGN, TRUTH)
    negative = {"Intercept": -1.0, "sd[g, Intercept]": 0.1}
    with pytest.raises(DataError, match="20000 of 20000 rows have a mean that family 'poisson' cannot have"):
        hb.simulate("y ~ 1 + (1 | g)", DESIGN, negative, family="poisson", link="identity")
    three = {"Intercept": 0, "x": 0, "I(x ** 2)": 0, "sigma": 1} | {
        f"sd[g, {e}]": 1 for e in ("Intercept", "x", "I(x ** 2)")
    }
    pairs = {"cor[g, Intercept, x]": 0.9, "cor[g, Intercept, I(x ** 2)]": 0.9, "cor[g, x, I(x ** 2)]": -0.9}
    with pytest.raises(DataError, match="contradict each other"):
        hb.simulate("y ~ x + I(x ** 2) + (x + I(x ** 2) | g)", DESIGN, three | pairs)
    model = hb.Model("log(Reaction) ~ Days + (1 | Subject)", hb.load_dataset("sleepstudy"))
    with pytest.raises(DataError, match="cannot be put back"):
        model.simulate({"Intercept": 5, "Days": 0.1, "sd[Subject, Intercept]": 0.1, "sigma": 0.1})
