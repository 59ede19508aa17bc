"""Monotonic effects: what formulas say, densities, the posterior against brms's, answers, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.errors import DataError, FormulaError, PriorError, UnsupportedError
from hierbayes.formula import parse
from tests.families.fits import assert_kernel_is_the_graph

SIZES = ["low", "middle", "high", "top"]


def _frame(n: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    codes = rng.integers(0, 4, n)
    frame = pd.DataFrame({"size": pd.Categorical.from_codes(codes, SIZES, ordered=True), "k": codes + 2})
    frame["z"], frame["f"] = rng.normal(size=n), np.resize(["a", "b", "c"], n)
    frame["j"] = rng.integers(1, 5, n)
    frame["g"] = np.resize(list("pqrstu"), n)
    frame["y"] = np.array([0.0, 2.0, 2.5, 3.0])[codes] + 0.3 * frame["z"] + rng.normal(scale=0.5, size=n)
    frame["count"] = rng.poisson(np.exp(0.3 * frame["y"]))
    frame["yes"] = rng.integers(0, 2, n)
    return frame


FRAME = _frame()


# -- formulas and columns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["y ~ mo(x)", "y ~ mo(x) * z + (1 | g)", 'y ~ mo(x, levels=["a", "b"]) + mo(w):f', "y ~ 0 + mo(x)"],
)
def test_a_formula_is_read_and_written(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("y ~ log(mo(x))", "a term of its own, or a factor of one", "mo(x)"),
        ("y ~ mo(x + 1)", "mo() is of a column", "+ 1"),
        ("y ~ mo(2)", "names an ordered predictor", "mo(2)"),
        ("y ~ mo(x, k=3)", "mo() has no argument k", "3"),
        ('y ~ mo(x, id="a b")', "id of mo() is a word", "mo(x"),
        ("y ~ mo(x, id=3)", "id of mo() is a text in quotes", "3"),
        ('y ~ mo(x) * mo(x, id="p")', "one monotonic effect of a column", "mo(x, id"),
        ("y ~ z + (mo(x) | g)", "its steps are those of the same term outside", "mo(x)"),
        ("y ~ s(z, by=mo(x))", "a term of its own", "mo(x)"),
        ("mo(y) ~ x", "a term of its own", "mo(y)"),
        ("y ~ offset(mo(x))", "a term of its own", "mo(x)"),
    ],
)
def test_what_cannot_be_read_has_a_caret_below_it(text, words, place):
    with pytest.raises(FormulaError) as error:
        parse(text)
    assert words in str(error.value)
    line, caret = str(error.value).split("\n")[1:3]
    assert line[caret.index("^") :].startswith(place)


def test_columns_and_names():
    model = hb.Model("y ~ mo(size) * f + mo(k):z", FRAME)
    layout, bound = model.spec.layout.main, model.design.main
    assert layout.coefficients == (
        "Intercept", "mo(size)", "f[b]", "f[c]", "mo(size):f[b]", "mo(size):f[c]", "mo(k):z",
    )  # fmt: skip
    assert [effect.label for effect in layout.monotonic] == [
        "mo(size)", "mo(size):f[b]", "mo(size):f[c]", "mo(k):z",
    ]  # fmt: skip
    codes, in_b = FRAME["size"].cat.codes.to_numpy(), (FRAME["f"] == "b").to_numpy()
    assert_allclose(bound.x[:, 1], codes)
    assert_allclose(bound.x[:, 6], codes * FRAME["z"])
    above = codes[:, None] >= [1, 2, 3]
    assert_allclose(bound.stairs[:, :3], above)
    assert_allclose(bound.stairs[:, 3:6], above * in_b[:, None])
    assert_allclose(bound.stairs[:, 9:], above * FRAME[["z"]].to_numpy())
    names = [q.name for q in model.spec.quantities if q.kind == "simo"]
    assert names[:2] == ["simo[mo(size), low|middle]", "simo[mo(size), middle|high]"]
    assert names[-1] == "simo[mo(k):z, 4|5]"
    assert model.spec.coords["mo(size)_step"].tolist() == ["low|middle", "middle|high", "high|top"]


def test_whole_numbers_have_a_step_to_every_number_between():
    frame = FRAME.assign(k=np.where(FRAME["k"] == 3, 2, FRAME["k"]))
    assert hb.Model("y ~ mo(k)", frame).spec.layout.main.monotonic[0].steps == (("2|3", "3|4", "4|5"),)


def test_categories_without_rows_have_no_step():
    frame = FRAME[FRAME["size"] != "high"]
    assert hb.Model("y ~ mo(size)", frame).spec.layout.main.monotonic[0].steps == (
        ("low|middle", "middle|top"),
    )


def test_the_order_may_stand_in_the_formula():
    text = FRAME.assign(size=FRAME["size"].astype(str))
    stated = hb.Model(f"y ~ mo(size, levels={SIZES})".replace("'", '"'), text)
    known = hb.Model("y ~ mo(size)", FRAME)
    assert stated.spec.layout.main.coefficients == known.spec.layout.main.coefficients
    assert_allclose(stated.design.main.columns, known.design.main.columns)


def test_polars_enums_have_an_order():
    import polars as pl

    frame = pl.DataFrame(
        {"y": [1.0, 2.0, 3.0], "x": pl.Series(["a", "c", "b"], dtype=pl.Enum(["c", "b", "a"]))}
    )
    assert hb.Model("y ~ mo(x)", frame).spec.layout.main.monotonic[0].steps == (("c|b", "b|a"),)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (FRAME["size"].astype(str), "holds text; make it an ordered category, pandas.Categorical"),
        (FRAME["size"].cat.as_unordered(), "holds categories without one; make it an ordered category"),
        (FRAME["z"], "numbers that are not whole"),
        (FRAME["k"] * 100, "300 steps; cut it into fewer"),
        (FRAME["k"] * 0 + 4, "the one value 4"),
        (FRAME["k"] > 3, "needs an order"),
    ],
)
def test_a_column_without_an_order_is_refused(column, words):
    with pytest.raises(DataError, match=words):
        hb.Model("y ~ mo(x)", FRAME.assign(x=column))


def test_stated_levels_must_be_the_columns():
    with pytest.raises(DataError, match="levels= must hold each of its values once"):
        hb.Model('y ~ mo(f, levels=["a", "b"])', FRAME)


def test_rows_that_are_read_in_parts_are_refused(tmp_path):
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(UnsupportedError, match=r"mo\(k\) learns from a whole column"):
        hb.Model("y ~ mo(k)", str(tmp_path / "rows.csv"))


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        (
            {"simo": "Dirichlet(1, 2)"},
            r"simo is of 3 steps and cannot have the prior Dirichlet\(1, 2\); give one",
        ),
        ({"simo[mo(size)]": "Normal(0, 1)"}, "use Dirichlet"),
        ({"b": "Dirichlet(1)"}, "whose support is simplex"),
        ({"simo[mo(k)]": "Dirichlet(1)"}, r"did you mean simo\[mo\(size\)\]"),
    ],
)
def test_priors_that_cannot_be(priors, words):
    with pytest.raises(PriorError, match=words):
        hb.Model("y ~ mo(size)", FRAME, priors=priors)


# -- densities --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("y ~ mo(size) + z", "gaussian", {}),
        ("y ~ mo(size) * z + (1 | g)", "gaussian", {"simo[mo(size)]": "Dirichlet(2, 1, 0.5)"}),
        ("count ~ 0 + mo(size):f + (z | g)", "poisson", {"simo": "Dirichlet(3)"}),
        ("yes ~ mo(size) * z + mo(j)", "bernoulli", {"b[mo(size):z]": "Fixed(0.3)"}),
        ({"mu": "y ~ z", "sigma": "~ mo(k) + (1 | g)"}, "gaussian", {"sigma.b": "StudentT(3, 0, 1)"}),
        (["y ~ mo(size) + (1 |p| g)", "count ~ mo(size) * z + (1 |p| g)"], ["gaussian", "poisson"], {}),
    ],
)
def test_the_whitened_density_is_the_graphs(formula, family, priors):
    """And its gradient that of differences."""
    assert_kernel_is_the_graph(hb.Model(formula, FRAME, family=family, priors=priors))


def test_two_steps_of_one_size_are_a_straight_line():
    """A concentration without end leaves the number itself."""
    straight = hb.fit("y ~ k", FRAME, priors={"b": "Normal(0, 5)"}, seed=1, progress=False).summary()
    even = hb.fit(
        "y ~ mo(k)", FRAME, priors={"b": "Normal(0, 5)", "simo": "Dirichlet(1e7)"}, seed=1, progress=False
    ).summary()
    b, theirs = even.loc["mo(k)"], straight.loc["k"]
    assert b["mean"] == pytest.approx(theirs["mean"], abs=5 * theirs["sd"] / 3000**0.5)
    assert b["sd"] == pytest.approx(theirs["sd"], rel=0.06)


# -- the posterior ----------------------------------------------------------------------------------------------

LS = pd.read_csv(Path(__file__).parent / "monotonic" / "ls.csv")
# brms 2.18, 2 × 2500 draws: brm(ls ~ mo(income) + age + (1 | city), prior = c(prior(normal(60, 30), Intercept),
# prior(normal(0, 20), b), prior(exponential(0.1), sd), prior(exponential(0.1), sigma), prior(dirichlet(1), simo,
# coef = "moincome1"))), whose intercept is at the lowest income and the mean age
BRMS = {
    "mo(income)": (16.07415753, 0.41429246),
    "c_age": (0.05473596, 0.04384421),
    "sd[city, Intercept]": (5.50033569, 1.50765166),
    "sigma": (6.14261274, 0.32846984),
    "simo[mo(income), 1|2]": (0.62091348, 0.02251506),
    "simo[mo(income), 2|3]": (0.27152486, 0.02631715),
    "simo[mo(income), 3|4]": (0.10756166, 0.02493201),
}
BRMS_ESS = 1500  # of 5000 draws, of the least well drawn of them
INTERCEPT = 28.44868365  # at age 0


@pytest.fixture(scope="module")
def ls():
    priors = {"Intercept": "Normal(60, 30)", "b": "Normal(0, 20)", "sd": "Exponential(0.1)"}
    frame = LS.assign(c_age=LS["age"] - LS["age"].mean())
    return hb.fit(
        "ls ~ mo(income) + c_age + (1 | city)",
        frame,
        priors=priors | {"sigma": "Exponential(0.1)"},
        center=False,
        seed=1,
        progress=False,
    )


def test_the_posterior_is_brmss(ls):
    assert ls.tree.attrs["strategy"] == "whitened"
    table = ls.summary()
    for name, (mean, sd) in BRMS.items():
        own = table.loc[name]
        assert abs(own["mean"] - mean) < 4.5 * np.hypot(own["mcse_mean"], sd / BRMS_ESS**0.5), name
        assert abs(np.log(own["sd"] / sd)) < 4.5 * (0.5 / own["ess_tail"] + 0.5 / BRMS_ESS) ** 0.5, name
    at_zero = table.loc["Intercept", "mean"] - table.loc["c_age", "mean"] * LS["age"].mean()
    assert at_zero == pytest.approx(INTERCEPT, abs=0.1 * 2.59)
    assert table["ess_bulk"].min() > 1000
    assert table["r_hat"].max() < 1.01
    assert not int(ls.tree["sample_stats"]["diverging"].sum())


def test_every_draw_is_monotonic(ls):
    """And the coefficient is the average step."""
    shares = np.asarray(ls.posterior["simo_mo(income)"])
    assert_allclose(shares.sum(axis=-1), 1.0)
    new = pd.DataFrame({"income": [1, 2, 3, 4], "c_age": 0.0})
    curve = np.asarray(ls.predict(new, groups="none", kind="linear", output="draws"))
    steps = np.diff(curve, axis=-1)
    b = np.asarray(ls.posterior["b"].sel(coef="mo(income)"))
    assert (np.sign(steps) == np.sign(b)[..., None]).all()
    assert_allclose(steps, 3 * b[..., None] * shares)
    assert_allclose(steps.mean(axis=-1), b)


def test_answers(ls):
    effect = ls.conditional_effects("income")
    assert effect["income"].tolist() == [1, 2, 3, 4]
    assert (np.diff(effect["mean"]) > 0).all()
    table = ls.avg_comparisons("income")
    assert table["contrast"].tolist() == ["2 - 1", "3 - 1", "4 - 1"]
    assert_allclose(table["mean"], effect["mean"].to_numpy()[1:] - effect["mean"].to_numpy()[0], atol=1e-8)
    with pytest.raises(DataError, match="'income' is categorical and has no slope"):
        ls.avg_slopes("income")
    with pytest.raises(DataError, match=r"'income' has values in the new rows .*: 5; it has 1, 2, 3, 4"):
        ls.predict(pd.DataFrame({"income": [5], "c_age": 0.0}), groups="none")
    assert "mo(income) counts steps of 3·simo[mo(income), j]" in str(ls.model)
    dummies = hb.fit("ls ~ C(income) + c_age + (1 | city)", ls.data, seed=1, progress=False)
    assert ls.loo().elpd == pytest.approx(dummies.loo().elpd, abs=1)  # the steps are steep: nothing is gained
    assert "simo[mo(income), 1|2]" in ls.prior_sensitivity().index
    assert ls.residuals()["quantile"].std() == pytest.approx(0.29, abs=0.03)
    assert not ls.check()


def test_a_fit_is_saved_and_loaded(ls, tmp_path):
    ls.save(tmp_path / "fit.nc")
    new = pd.DataFrame({"income": [1, 3], "c_age": [0.0, 4.0]})
    found = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(found.predict(new, groups="none"), ls.predict(new, groups="none"))
    pd.testing.assert_frame_equal(found.summary(), ls.summary())


def test_the_other_strategies():
    model = hb.Model("y ~ mo(size)", FRAME)
    with pytest.raises(UnsupportedError, match="the steps of monotonic effects multiply a coefficient"):
        model.fit(strategy="collapsed")


def test_what_priors_and_known_parameters_imply():
    model = hb.Model("y ~ mo(size)", FRAME, priors={"b": "Normal(0, 1)", "simo": "Dirichlet(2, 1, 1)"})
    prior = model.prior_predictive(draws=4000, seed=1)["prior"]
    shares = np.asarray(prior["simo_mo(size)"]).reshape(-1, 3)
    assert_allclose(shares.mean(axis=0), [0.5, 0.25, 0.25], atol=0.015)
    known = {"Intercept": 1.0, "mo(size)": 2.0, "sigma": 1e-6}
    known |= {
        f"simo[mo(size), {step}]": v
        for step, v in zip(["low|middle", "middle|high", "high|top"], [0.5, 0.5, 0], strict=True)
    }
    y = model.simulate(known, seed=1)["y"]
    assert_allclose(y, np.array([1.0, 4.0, 7.0, 7.0])[FRAME["size"].cat.codes], atol=1e-4)
    with pytest.raises(DataError, match="are shares, 0 or more, whose sum is 1"):
        model.simulate(known | {"simo[mo(size), high|top]": 0.4}, seed=1)


def test_several_responses_have_their_own_steps():
    model = hb.Model(["y ~ mo(size)", "count ~ mo(size) + mo(k):z"], FRAME, family=["gaussian", "poisson"])
    fit = model.fit(seed=1, progress=False)
    alone = hb.fit("y ~ mo(size)", FRAME, seed=2, progress=False).summary()
    both = fit.summary()
    name = "simo[mo(size), low|middle]"
    row = next(label for label in both.index if label.startswith("y") and label.endswith(name))
    assert both.loc[row, "mean"] == pytest.approx(alone.loc[name, "mean"], abs=0.2 * alone.loc[name, "sd"])
