"""Designs without data, and models of them."""

import itertools

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.errors import DataError, PriorError


def test_a_grid_holds_every_combination_once_per_replicate():
    rows = hb.design_grid({"of what": ["a", "b"]}, x=[0.5, 2.5], g=3, replicates=2)
    expected = [key for key in itertools.product("ab", [0.5, 2.5], "123") for _ in range(2)]
    assert list(rows.itertuples(index=False, name=None)) == expected
    assert list(rows.columns) == ["of what", "x", "g"]


def test_levels_sort_as_they_count():
    assert hb.design_grid(g=100)["g"].tolist() == [f"{n:03d}" for n in range(1, 101)]
    assert len(hb.design_grid(g=np.int64(4))) == 4


def test_a_property_takes_its_values_in_turn():
    rows = hb.design_grid(dose={"of": "g", "values": [1, 2, 3]}, g=7, x=[0, 1])
    assert list(rows.columns) == ["dose", "g", "x"]
    found = rows.drop_duplicates(["g", "dose"]).set_index("g")["dose"]
    assert found.to_dict() == dict(zip("1234567", [1, 2, 3, 1, 2, 3, 1], strict=True))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "needs a column"),
        ({"x": []}, "'x' of the design has no values"),
        ({"g": 0}, "'g' of the design has no values"),
        ({"x": "abc"}, "'x' of the design is 'abc'"),
        ({"x": True}, "'x' of the design is True"),
        ({"x": 1.5}, "'x' of the design is 1.5"),
        ({"x": {"of": "g"}, "g": 2}, "a property of another column's levels is written"),
        ({"x": {"of": "h", "values": [1]}, "g": 2}, "a property of 'h', which is none of its columns: g"),
        ({"x": 3000, "g": 3000}, "would have 9,000,000 rows"),
    ],
)
def test_bad_columns(columns, message):
    with pytest.raises(DataError, match=message):
        hb.design_grid(columns)


@pytest.mark.parametrize("replicates", [0, -1, 1.5, True])
def test_bad_replicates(replicates):
    with pytest.raises(DataError, match="replicates must be a whole number"):
        hb.design_grid(x=[1], replicates=replicates)


# -- models of a design --------------------------------------------------------------------------------------

PRIORS = {
    "Intercept": "Normal(300, 50)",
    "b": "Normal(0, 10)",
    "sd": "HalfNormal(30)",
    "sigma": "Gamma(4, 0.1)",
}
ROWS = hb.design_grid(x=[0.0, 1.0, 3.0], g=4)


def test_a_misspelt_response_of_data_is_still_an_error():
    with pytest.raises(DataError, match="no column 'yy'; did you mean 'y'"):
        hb.Model("yy ~ x", pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": [1.0, 2.0, 5.0]}))


def test_own_rows_are_a_design_where_they_are_called_one():
    frame = pd.DataFrame({"x": [0.0, 1.0], "g": ["a", "b"]})
    with pytest.raises(DataError, match="no column 'y'"):
        hb.Model("y ~ x + (1 | g)", frame, family="poisson")
    with pytest.warns(hb.DataWarning, match="few-levels|one-row"):
        model = hb.Model("y ~ x + (1 | g)", hb.DesignRows(frame), family="poisson")
    assert model.prior_predictive(3)["prior_predictive"]["y"].shape == (1, 3, 2)


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_what_needs_a_response_says_so():
    model = hb.Model("log(y) ~ x + (x | g)", ROWS, priors=PRIORS)
    assert "Not for fit(): a design without the response 'log(y)'" in repr(model)
    assert "Not for fit()" in model._repr_html_()
    for call in (model.fit, model.graph):
        with pytest.raises(DataError, match=r"needs the response 'log\(y\)'"):
            call()
    tree = model.prior_predictive(5)
    assert set(tree.children) == {"prior", "prior_predictive"}
    assert model.priors["origin"].tolist() == ["user"] * 4 + ["default", "user"]


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
@pytest.mark.parametrize(
    ("family", "priors", "missing"),
    [
        ("gaussian", None, "Intercept, b[x], sd[g, Intercept], sd[g, x], sigma"),
        ("gaussian", {**PRIORS, "sd[g, x]": "HalfNormal"}, "sd[g, x]"),
        ("student", {"Intercept": "Normal(0, 1)", "b": "Normal(0, 1)", "sd": "Exponential(1)"}, "sigma"),
        ("lognormal", {"b": "Normal(0, 1)", "sd": "Exponential", "sigma": "Exponential(1)"},
         "Intercept, sd[g, Intercept], sd[g, x]"),
    ],
)  # fmt: skip
def test_priors_that_only_a_response_could_scale_are_listed(family, priors, missing):
    with pytest.raises(PriorError) as caught:
        hb.Model("y ~ x + (x | g)", ROWS, family, priors)
    assert str(caught.value).endswith(f"must be given with their numbers: {missing}")


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
@pytest.mark.parametrize(
    ("family", "link", "location"),
    [
        ("bernoulli", None, 0.0),
        ("beta", "cloglog", np.log(np.log(2))),
        ("poisson", None, 0.0),
        ("gamma", None, 0.0),
    ],
)
def test_links_with_a_scale_of_their_own_have_defaults(family, link, location):
    model = hb.Model("y ~ x + (x | g)", ROWS, family, link=link)
    sd = np.std([0.0, 1.0, 3.0])
    intercept, slope = (prior.args for prior in model.spec.coefficient_priors())
    assert dict(intercept) == pytest.approx({"mu": location, "sigma": 2.5})
    assert dict(slope) == pytest.approx({"mu": 0.0, "sigma": 2.5 / sd})


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_defaults_of_a_design_are_those_of_data_with_the_same_rows():
    y = np.arange(12) % 2
    bare, whole = (hb.Model("y ~ x + (x | g)", rows, "bernoulli") for rows in (ROWS, ROWS.assign(y=y)))
    assert whole.design.y is not None
    pd.testing.assert_frame_equal(bare.priors, whole.priors)  # half of y is 1, so the middle is the same
    one, other = (model.prior_predictive(50, seed=3)["prior_predictive"]["y"] for model in (bare, whole))
    np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_trials_and_formulas_of_other_parameters():
    model = hb.Model("y | trials(n) ~ x + (1 | g)", ROWS.assign(n=[3, 8] * 6), "binomial")
    y = np.asarray(model.prior_predictive(400)["prior_predictive"]["y"])[0]
    assert y[:, ::2].max() == 3
    assert y[:, 1::2].max() == 8
    formulas = {"mu": "y ~ x", "sigma": "~ x"}
    with pytest.raises(PriorError, match=r"with their numbers: Intercept, b\[x\], sigma.Intercept$"):
        hb.Model(formulas, ROWS)
    given = {"Intercept": "Normal(0, 1)", "b": "Normal(0, 1)", "sigma.Intercept": "Normal(0, 1)"}
    assert hb.Model(formulas, ROWS, priors=given).priors["origin"].tolist() == [
        "user",
        "user",
        "user",
        "default",
    ]


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_new_groups_of_a_prior_predictive_come_from_the_population():
    priors = {"Intercept": "Fixed(300)", "sd": "Fixed(30)", "sigma": "Fixed(1)"}
    model = hb.Model("y ~ 1 + (1 | g)", ROWS, priors=priors)
    rows = {"g": ["new", "new", "other", "1"]}
    y = np.asarray(model.prior_predictive(4000, seed=1, rows=rows)["prior_predictive"]["y"])[0]
    covariance = np.cov(y.T)
    expected = 900 * np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) + np.eye(4)
    assert np.abs(covariance - expected).max() < 5 * 901 * np.sqrt(2 / 4000)
    assert np.abs(y.mean(axis=0) - 300).max() < 4.5 * np.sqrt(901 / 4000)
