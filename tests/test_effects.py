"""What predictors do to predictions, against the same arithmetic written out draw by draw."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special

import hierbayes as hb
from hierbayes.answers.intervals import get_interval
from hierbayes.errors import DataError, DataWarning

RNG = np.random.default_rng(5)
N, DRAWS = 60, 40
D = pd.DataFrame(
    {
        "y": np.tile([0, 1, 1], 20),
        "x": RNG.normal(2.0, 1.5, N),
        "kind": pd.Categorical(np.tile(["lo", "mid", "hi"], 20), ["lo", "mid", "hi"]),
        "g": np.tile(list("abcdef"), N // 6),
        "smoker": np.arange(N) % 4 == 0,
    }
)
B = RNG.normal(size=(DRAWS, 5)) * 0.3 + [-0.5, 0.4, -0.3, 0.5, 0.2]
R = RNG.normal(size=(DRAWS, 6, 2)) * 0.8
FORMULA = "y ~ x + kind + smoker + (x | g)"


@pytest.fixture(scope="module")
def fit(known_fit):
    model = hb.Model(FORMULA, D, family="bernoulli")
    assert list(model.spec.layout.predictors["mu"].coefficients) == [
        "Intercept",
        "x",
        "kind[mid]",
        "kind[hi]",
        "smoker",
    ]
    values = {"b": B, "r_g": R, "sd_g": [0.8, 0.5], "cor_g": np.eye(2)}
    return known_fit(model, values)


def probabilities(x=None, kind=None, smoker=None, groups=True):
    """(draws, rows) with a predictor at another value."""
    x = D["x"].to_numpy() if x is None else np.broadcast_to(x, N)
    kind = D["kind"].to_numpy() if kind is None else np.full(N, kind)
    smoker = D["smoker"].to_numpy() if smoker is None else np.full(N, smoker)
    design = np.column_stack([np.ones(N), x, kind == "mid", kind == "hi", smoker]).astype(float)
    eta = B @ design.T
    if groups:
        codes = D["g"].map({name: place for place, name in enumerate("abcdef")}).to_numpy()
        eta = eta + R[:, codes, 0] + R[:, codes, 1] * x
    return special.expit(eta)


def assert_summarises(row, draws):
    lower, upper = get_interval().bounds(draws)
    assert_allclose(
        row[["mean", "sd", "lower", "upper"]].to_numpy(dtype=float),
        [draws.mean(), draws.std(ddof=1), lower, upper],
        rtol=1e-5,
    )


def test_average_predictions(fit):
    assert_summarises(fit.avg_predictions().iloc[0], probabilities().mean(axis=1))
    table = fit.avg_predictions(by="kind")
    assert table["kind"].tolist() == ["lo", "mid", "hi"]
    for _, row in table.iterrows():
        assert_summarises(row, probabilities()[:, D["kind"] == row["kind"]].mean(axis=1))
    both = fit.avg_predictions(by=["g", "smoker"], groups="none")
    row = both[(both["g"] == "b") & ~both["smoker"]].iloc[0]
    cell = ((D["g"] == "b") & ~D["smoker"]).to_numpy()
    assert_summarises(row, probabilities(groups=False)[:, cell].mean(axis=1))


def test_contrasts_of_a_category_are_averaged_inside_each_draw(fit):
    table = fit.avg_comparisons("kind").set_index("contrast")
    assert list(table.index) == ["mid - lo", "hi - lo"]
    difference = (probabilities(kind="hi") - probabilities(kind="lo")).mean(axis=1)
    assert_summarises(table.loc["hi - lo"], difference)
    assert table.loc["hi - lo", "p_greater"] == np.mean(difference > 0)
    pairs = fit.avg_comparisons({"kind": "pairwise"})
    assert pairs["contrast"].tolist() == ["mid - lo", "hi - lo", "hi - mid"]
    one = fit.avg_comparisons({"kind": ("hi", "mid")}, by="g")
    assert one["contrast"].unique().tolist() == ["mid - hi"]
    of_c = (probabilities(kind="mid") - probabilities(kind="hi"))[:, D["g"] == "c"].mean(axis=1)
    assert_summarises(one[one["g"] == "c"].iloc[0], of_c)
    ratio = fit.avg_comparisons({"kind": ("lo", "hi")}, comparison="ratio").iloc[0]
    expected = probabilities(kind="hi").mean(axis=1) / probabilities(kind="lo").mean(axis=1)
    assert_summarises(ratio, expected)
    assert ratio["p_greater"] == np.mean(expected > 1)


def test_steps_and_pairs_of_a_number_and_truth_values(fit):
    table = fit.avg_comparisons({"x": 2, "smoker": None}).set_index("contrast")
    x = D["x"].to_numpy()
    assert_summarises(table.loc["+2"], (probabilities(x=x + 2) - probabilities()).mean(axis=1))
    yes = (probabilities(smoker=1.0) - probabilities(smoker=0.0)).mean(axis=1)
    assert_summarises(table.loc["True - False"], yes)
    pair = fit.avg_comparisons({"x": (0, 3)}).iloc[0]
    assert pair["contrast"] == "3 - 0"
    assert_summarises(pair, (probabilities(x=3.0) - probabilities(x=0.0)).mean(axis=1))
    assert fit.avg_comparisons()["term"].tolist() == ["x", "kind", "kind", "smoker"]


def test_responses_that_are_compared_have_noise_of_their_own(known_fit):
    draws = 4000
    values = {"b": np.tile([1.0, 0.5], (draws, 1)), "sd_g": [2.0], "sigma": np.full(draws, 3.0)}
    data = D.assign(y=RNG.normal(size=N))
    noisy = known_fit(hb.Model("y ~ x + (1 | g)", data), values)
    asked = {"rows": {"x": [0.0], "g": ["new"]}, "kind": "response"}
    row = noisy.avg_comparisons({"x": (0, 1)}, **asked).iloc[0]
    # the new group is the same on both sides, the residuals are not
    assert row["sd"] == pytest.approx(3 * np.sqrt(2), rel=0.05)
    assert row["p_greater"] == pytest.approx(special.ndtr(0.5 / (3 * np.sqrt(2))), abs=0.03)
    assert noisy.avg_comparisons({"x": (0, 1)}, rows=asked["rows"])["sd"][0] == pytest.approx(0, abs=1e-9)


def test_a_number_that_is_0_or_1_goes_from_0_to_1(known_fit):
    data = D.assign(smoker=D["smoker"].astype(int))
    model = hb.Model(FORMULA, data, family="bernoulli")
    coded = known_fit(model, {"b": B, "r_g": R, "sd_g": [0.8, 0.5], "cor_g": np.eye(2)})
    (row,) = coded.avg_comparisons("smoker").to_dict("records")
    assert row["contrast"] == "1 - 0"
    yes = (probabilities(smoker=1.0) - probabilities(smoker=0.0)).mean(axis=1)
    assert row["mean"] == pytest.approx(yes.mean())
    with pytest.warns(DataWarning, match="'smoker' reaches 3 in 15 of 60 rows, and training had 0 to 1"):
        assert coded.avg_comparisons({"smoker": 2})["contrast"].tolist() == ["+2"]
    assert coded.conditional_effects("x:smoker", resolution=2)["smoker"].tolist() == [0, 1, 0, 1]


def test_average_slopes_are_derivatives(fit):
    p, codes = probabilities(), D["g"].map({name: place for place, name in enumerate("abcdef")}).to_numpy()
    derivative = p * (1 - p) * (B[:, [1]] + R[:, codes, 1])
    assert_summarises(fit.avg_slopes("x").iloc[0], derivative.mean(axis=1))
    by = fit.avg_slopes(by="g")
    assert_summarises(by[by["g"] == "d"].iloc[0], derivative[:, D["g"] == "d"].mean(axis=1))
    rows = fit.slopes("x")
    assert rows["row"].tolist() == list(range(N))
    assert_summarises(rows.iloc[7], derivative[:, 7])


def test_an_identity_link_gives_back_its_coefficient(known_fit):
    model = hb.Model("x ~ smoker + log(z) + bs(w, df=4) + (1 | g)", D.assign(z=D["x"] ** 2 + 1, w=D["x"]))
    values = {"b": RNG.normal(size=(DRAWS, 7)), "sd_g": [1.0], "sigma": 1.0}
    fit = known_fit(model, values)
    found = fit.avg_comparisons("smoker", output="draws").to_numpy().ravel()
    assert_allclose(found, values["b"][:, 1], rtol=1e-9)
    slope = fit.avg_slopes("z", output="draws").to_numpy().ravel()
    assert_allclose(slope, values["b"][:, 2] * (1 / (D["x"] ** 2 + 1)).mean(), rtol=1e-4)
    assert np.isfinite(fit.avg_slopes("w")["mean"]).all()  # a spline ends where the data do


def test_the_slope_of_a_predictor_that_groups_too_keeps_each_row_in_its_group(known_fit):
    data = pd.DataFrame({"y": D["x"], "year": np.arange(N) % 6, "site": np.arange(N) % 5})
    b, r = RNG.normal(size=(DRAWS, 2)), RNG.normal(size=(DRAWS, 6, 1))
    model = hb.Model("y ~ year + (1 | year) + (1 | site:year)", data)
    fit = known_fit(model, {"b": b, "r_year": r, "sd_year": [1.0], "sd_site:year": [1.0], "sigma": 1.0})
    slope = fit.avg_slopes("year", output="draws").to_numpy().ravel()
    assert_allclose(slope, b[:, 1], rtol=1e-6)
    new = {"year": [7, 7], "site": [0, 9]}
    rows = fit.slopes("year", rows=new, output="draws").to_numpy().reshape(DRAWS, 2)
    assert_allclose(rows, b[:, [1, 1]], rtol=1e-6)
    step = fit.avg_comparisons({"year": (0, 1)}, output="draws", groups="year").to_numpy().ravel()
    assert_allclose(step, b[:, 1] + r[:, 1, 0] - r[:, 0, 0])  # a year later is another year


def test_numbers_that_the_formula_makes_categories_have_levels(known_fit):
    data = D.assign(y=D["x"], period=np.arange(N) // 6 % 3 + 1, dose=np.arange(N) % 4 * 0.5)
    model = hb.Model("y ~ C(period) + dose + (factor(period) | g)", data)
    b, r = RNG.normal(size=(DRAWS, 4)), RNG.normal(size=(DRAWS, 6, 3))
    fit = known_fit(model, {"b": b, "r_g": r, "sd_g": [1.0, 1.0, 1.0], "cor_g": np.eye(3), "sigma": 1.0})
    found = fit.avg_comparisons()
    assert found["contrast"].tolist() == ["2 - 1", "3 - 1", "+1"]
    average = r[:, np.arange(N) % 6, 2].mean(axis=1)
    assert_summarises(found.iloc[1], b[:, 2] + average)
    assert fit.avg_slopes()["term"].tolist() == ["dose"]
    with pytest.raises(DataError, match="'period' is categorical and has no slope"):
        fit.avg_slopes("period")
    table = fit.conditional_effects("period")
    assert table["period"].tolist() == [1, 2, 3]
    assert_summarises(table.iloc[2], b[:, 0] + b[:, 2] + b[:, 3] * data["dose"].mean())
    held = fit.conditional_effects("dose", resolution=2)
    assert_allclose(held["mean"], [b[:, 0].mean(), (b[:, 0] + 1.5 * b[:, 3]).mean()])
    labels = fit.plot_conditional_effects("period").get_xticklabels()
    assert [label.get_text() for label in labels] == ["1", "2", "3"]
    assert fit.plot_groups("g", "dose").shape == (6,)


def test_population_averages_of_new_groups(fit):
    table = fit.avg_comparisons("kind", groups="average").set_index("contrast")
    average = fit.predict(D.assign(kind="hi"), groups="average", output="draws").mean("__obs__")
    average = average - fit.predict(D.assign(kind="lo"), groups="average", output="draws").mean("__obs__")
    assert_allclose(table.loc["hi - lo", "mean"], average.mean(), rtol=1e-9)


def test_rows_may_be_any_table(fit):
    import polars as pl

    rows = {
        "x": [0.0, 1.0],
        "kind": ["lo", "hi"],
        "smoker": [True, False],
        "g": ["a", "b"],
        "site": ["n", "s"],
    }
    table = fit.avg_predictions(pl.DataFrame(rows), by="site")
    assert_allclose(table["mean"], fit.predict(rows)["mean"])
    assert table["site"].tolist() == ["n", "s"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda fit: fit.avg_comparisons("Kind"),
            "'Kind', which is no predictor of this model; it has 'x', 'kind'",
        ),
        (lambda fit: fit.avg_slopes("kind"), "'kind' is categorical and has no slope"),
        (
            lambda fit: fit.avg_comparisons({"kind": ("lo", "high")}),
            "'kind' has no level 'high'; it has 'lo', 'mid', 'hi'",
        ),
        (lambda fit: fit.avg_comparisons({"kind": "all"}), "is 'reference', 'pairwise' or a pair"),
        (lambda fit: fit.avg_comparisons({"x": "sd"}), "is a step or a pair"),
        (lambda fit: fit.avg_comparisons({"x": (1, 2, 3)}), "is a pair of values"),
        (
            lambda fit: fit.avg_predictions(by="country"),
            "the fit keeps the model's columns alone; give the rows with it, rows=data",
        ),
        (lambda fit: fit.avg_predictions(D.iloc[:0]), "no rows to average over"),
        (lambda fit: fit.conditional_effects("g"), "'g' is no predictor of this model"),
        (lambda fit: fit.conditional_effects("x:x"), "'x' stands twice"),
        (lambda fit: fit.conditional_effects("x", at={"h": 1}), "at names 'h'"),
    ],
)
def test_requests_that_cannot_be_met(fit, ask, message):
    with pytest.raises(DataError) as error:
        ask(fit)
    assert message in str(error.value)
    with pytest.raises(ValueError, match="comparison must be one of"):
        fit.avg_comparisons(comparison="odds")
    with pytest.raises(ValueError, match="a slope is of kind"):
        fit.avg_slopes(kind="response")


# -- along a predictor ------------------------------------------------------------------------------------------


def test_a_number_runs_over_its_range_with_the_others_held(fit):
    table = fit.conditional_effects("x", resolution=5)
    assert_allclose(table["x"], np.linspace(D["x"].min(), D["x"].max(), 5))
    row = pd.DataFrame({"x": table["x"], "kind": "lo", "smoker": False})
    expected = fit.predict(row, groups="none")
    pd.testing.assert_frame_equal(table[["mean", "sd", "lower", "upper"]], expected)


def test_two_predictors_and_held_values(fit):
    table = fit.conditional_effects("kind:x")
    assert table["kind"].tolist() == np.repeat(["lo", "mid", "hi"], 3).tolist()
    mean, sd = D["x"].mean(), D["x"].std()
    assert_allclose(table["x"][:3], [mean - sd, mean, mean + sd])
    held = fit.conditional_effects("x", at={"kind": ["mid", "hi"], "x": [1.0, 2.0], "smoker": True})
    assert held[["x", "kind"]].to_numpy().tolist() == [[1.0, "mid"], [1.0, "hi"], [2.0, "mid"], [2.0, "hi"]]
    expected = fit.predict(held[["x", "kind"]].assign(smoker=True), groups="none")["mean"]
    assert_allclose(held["mean"], expected)


def test_known_new_and_averaged_groups_along_a_predictor(fit):
    known = fit.conditional_effects("x", at={"g": ["a", "f"]}, groups="all", resolution=3)
    rows = known[["x", "g"]].assign(kind="lo", smoker=False)
    assert_allclose(known["mean"], fit.predict(rows)["mean"])
    average = fit.conditional_effects("x", groups="average", resolution=3)
    assert_allclose(average["mean"], fit.predict(rows[::2], groups="average")["mean"])
    draws = fit.conditional_effects("x", resolution=3, output="draws")
    assert draws.dims == ("chain", "draw", "quantity")
    assert_allclose(draws.mean(("chain", "draw")), fit.conditional_effects("x", resolution=3)["mean"])


def test_predictive_intervals_are_of_a_new_response(known_fit):
    data = pd.DataFrame({"y": RNG.normal(size=30), "x": np.arange(30.0), "g": np.repeat(np.arange(6), 5)})
    fit = known_fit(
        hb.Model("y ~ x + (1 | g)", data), {"b": [1.0, 0.5], "sd_g": [2.0], "sigma": 1.5}, draws=20_000
    )
    for groups, sd in (("none", 1.5), ("average", 2.5)):
        table = fit.conditional_effects("x", groups=groups, resolution=2, prob=0.9, interval="eti")
        assert_allclose(table["predictive_upper"] - table["mean"], 1.645 * sd, rtol=0.03)
        assert_allclose(table["mean"] - table["predictive_lower"], 1.645 * sd, rtol=0.03)


def test_new_responses_out_of_trials_are_shares_of_the_median_number(known_fit):
    data = pd.DataFrame(
        {"k": [1, 3, 0, 2], "n": [10, 20, 10, 10], "x": [0.0, 1.0, 2.0, 1.0], "g": list("abab")}
    )
    with pytest.warns(hb.errors.DataWarning):
        model = hb.Model("k | trials(n) ~ x + (1 | g)", data, family="binomial")
    fit = known_fit(model, {"b": [0.0, 1.0], "sd_g": [0.1]}, draws=400)
    shares = fit.conditional_effects("x", kind="response", output="draws", resolution=2)
    assert set(np.round(10 * shares.to_numpy().ravel(), 9)) <= set(range(11))


def test_binomial_and_offset_columns_are_held(known_fit):
    data = pd.DataFrame(
        {"y": [1, 3, 0, 2] * 3, "e": [1.0, 2.0, 3.0, 2.0] * 3, "x": np.arange(12.0), "g": list("abcdef") * 2}
    )
    fit = known_fit(
        hb.Model("y ~ x + offset(log(e)) + (1 | g)", data, family="poisson"), {"b": [0.2, 0.1], "sd_g": [0.5]}
    )
    table = fit.conditional_effects("x", at={"x": [0.0]})
    assert_allclose(table["mean"], 2.0 * np.exp(0.2))


def test_standard_errors_of_a_curve_are_at_their_mean(known_fit):
    rows = D.assign(y=RNG.normal(size=N), s=np.linspace(0.5, 1.5, N))
    model = hb.Model("y | se(s) ~ x", rows)
    fit = known_fit(model, {"b": np.tile([1.0, 0.5], (4000, 1))})
    table = fit.conditional_effects("x", resolution=3)
    assert table.attrs["held"] == {"s": pytest.approx(1.0)}
    width = (table["predictive_upper"] - table["predictive_lower"]).to_numpy()
    assert_allclose(width, 2 * 1.598, rtol=0.06)  # 89% of a normal variable with standard deviation 1
    held = fit.conditional_effects("x", at={"s": 0.5}, resolution=3)
    narrow = (held["predictive_upper"] - held["predictive_lower"]).to_numpy()
    assert_allclose(narrow, 1.598, rtol=0.06)
