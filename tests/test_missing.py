"""Missing values that are drawn: what formulas say, rows that stay, densities, answers, and what is refused."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import hierbayes as hb
from hierbayes.errors import DataError, DataWarning, FormulaError, UnsupportedError
from hierbayes.formula import parse
from hierbayes.joint import JointFit
from tests.seeds import shifted
from tests.test_measured import _evaluated, _point

BOTH = ["y ~ mi(x) + z", "x | mi() ~ z"]


def _frame(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    z = rng.normal(size=n)
    x = 0.7 * z + rng.normal(size=n)
    frame = pd.DataFrame({"z": z, "g": np.resize(list("pqrstuvw"), n), "s": rng.uniform(0.3, 0.6, n)})
    frame["y"] = 1 + 2 * x - z + rng.normal(size=n)
    frame["true"] = x
    frame["x"] = np.where(rng.uniform(size=n) < 0.3, np.nan, x)
    frame["p"] = np.exp(frame["x"])
    frame["u"] = 1 / (1 + np.exp(-frame["x"]))
    return frame


FRAME = _frame()
GAPS = FRAME["x"].isna().to_numpy()


# -- formulas and rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "y ~ mi(x)",
        "y ~ mi(x) * z + (1 | g)",
        "x | mi() ~ z",
        "x | mi(s) ~ z",
        "x | mi(s + 1) ~ 1",
        "y | mi() ~ mi(x)",
    ],
)
def test_a_formula_is_read_and_written(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y ~ mi()", "mi() needs x"),
        ("y ~ mi(x, s)", "mi() takes 1 argument"),
        ("y ~ mi(log(x))", "x of mi() is a column"),
        ("y ~ mi(x) + (mi(x) | g)", "not an effect that varies by group"),
        ("y ~ s(mi(x))", "mi() is not a function here"),
        ("log(x) | mi() ~ z", "a response that is a column"),
        ("x | mi() + weights(w) ~ z", "mi() and weights() don't go together"),
        ("x | mi() + se(s) ~ z", "mi() and se() don't go together"),
        ("x | mi(s, t) ~ z", "mi() takes nothing, or the standard errors"),
        ("x | trials() ~ z", "trials() needs an argument"),
    ],
)
def test_what_cannot_be_read_is_refused(text, words):
    with pytest.raises(FormulaError, match=re.escape(words)):
        parse(text)


def test_rows_without_x_stay_and_others_with_gaps_are_left_out_with_the_same_words():
    frame = FRAME.assign(z=FRAME["z"].where(FRAME.index > 2))
    with pytest.warns(DataWarning, match=r"3 of 60 rows left out for missing values in z \(3\)") as caught:
        model = hb.Model(BOTH, frame)
    assert len(caught) == 1
    y, x = model.response("y"), model.response("x")
    assert len(y.data) == 57
    assert len(x.data) == 57 - GAPS[3:].sum()
    assert x.spec.drawn_rows.tolist() == y.spec.layout.imputed[0].index.tolist()
    assert x.spec.drawn_rows.tolist() == FRAME.index[3:][GAPS[3:]].tolist()
    assert "and 20 whose x is missing and drawn" in repr(model).replace(str(GAPS[3:].sum()), "20")


def test_a_column_that_is_read_elsewhere_must_be_there():
    with pytest.warns(DataWarning, match=rf"{GAPS.sum()} of 60 rows left out for missing values in x"):
        model = hb.Model([*BOTH, "s ~ x"], FRAME)
    assert model.response("x").spec.missing_variable is None


@pytest.mark.parametrize(
    ("formulas", "family", "error", "words"),
    [
        (
            "y ~ mi(x) + z",
            "gaussian",
            FormulaError,
            "nothing says how these are distributed; add its formula",
        ),
        (
            ["y ~ mi(x)", "z ~ 1"],
            "gaussian",
            FormulaError,
            'add its formula: ["y ~ mi(x) + …", "x | mi() ~ …"]',
        ),
        (
            ["y | mi() ~ mi(x)", "x | mi() ~ mi(y)"],
            "gaussian",
            FormulaError,
            "predicted from others that they predict",
        ),
        (
            ["y ~ mi(n)", "n | mi() ~ z"],
            ["gaussian", "poisson"],
            UnsupportedError,
            "mi() goes with gaussian, student",
        ),
        (
            ["y ~ mi(x)", "x | mi(s) ~ z"],
            ["gaussian", "student"],
            UnsupportedError,
            "mi(sd) is of a normal response",
        ),
        ("x | mi() ~ ar(gr=g)", "gaussian", UnsupportedError, "residuals are correlated"),
    ],
)
def test_what_says_nothing_of_missing_values_is_refused(formulas, family, error, words):
    frame = FRAME.assign(n=np.where(GAPS, np.nan, 2.0 * np.arange(60)))
    with pytest.raises(error, match=re.escape(words)):
        hb.Model(formulas, frame, family)


def test_rows_need_labels_of_their_own_and_residuals_are_apart():
    with pytest.raises(DataError, match="two rows have the label 0"):
        hb.Model(BOTH, FRAME.set_axis(np.zeros(60, int)))
    with pytest.raises(UnsupportedError, match="that are known"):
        hb.Model(BOTH, FRAME, rescor=True)


# -- densities --------------------------------------------------------------------------------------------------


def _mu(at, response, columns):
    b, labels = at[f"b_{response}"], ["Intercept", *columns]
    return sum(value * column for value, column in zip(b, [1.0, *columns.values()], strict=True)) + 0 * len(
        labels
    )


X_FAMILIES = {
    "gaussian": ("x", lambda eta, at: stats.norm(eta, at["sigma_x"])),
    "student": ("x", lambda eta, at: stats.t(at["nu_x"], eta, at["sigma_x"])),
    "lognormal": ("p", lambda eta, at: stats.lognorm(at["sigma_p"], scale=np.exp(eta))),
    "gamma": ("p", lambda eta, at: stats.gamma(at["shape_p"], scale=np.exp(eta) / at["shape_p"])),
    "beta": (
        "u",
        lambda eta, at: stats.beta(
            at["phi_u"] / (1 + np.exp(-eta)), at["phi_u"] * (1 - 1 / (1 + np.exp(-eta)))
        ),
    ),
}


@pytest.mark.parametrize("family", X_FAMILIES)
def test_the_graph_is_the_joint_density_of_both_responses_and_missing_values(family):
    name, distribution = X_FAMILIES[family]
    model = hb.Model([f"y ~ mi({name}) + z", f"{name} | mi() ~ z"], FRAME, ["gaussian", family])
    graph = model.graph()
    point = _point(graph)
    at = _evaluated(graph, point, [v.name for v in model.spec.variables])
    drawn = at[f"Ymi_{name}"]
    x = FRAME[name].to_numpy().copy()
    x[GAPS] = drawn
    z = FRAME["z"].to_numpy()
    expected = stats.norm(_mu(at, "y", {"x": x, "z": z}), at["sigma_y"]).logpdf(FRAME["y"]).sum()
    expected += distribution(_mu(at, name, {"z": z}), at).logpdf(x).sum()
    slope = {"x": lambda v: 0.0, "p": np.log, "u": lambda v: np.log(v * (1 - v))}[name](drawn)
    shown = graph.compile_logp(vars=[*graph.observed_RVs, *graph.potentials], mode="FAST_COMPILE")(point)
    assert_allclose(shown, expected + np.sum(slope), rtol=1e-9)


def test_the_graph_of_measured_and_missing_values_is_their_joint_density():
    model = hb.Model(["y ~ mi(x) + z", "x | mi(s) ~ z"], FRAME)
    graph = model.graph()
    point = _point(graph)
    at = _evaluated(graph, point, [v.name for v in model.spec.variables])
    assert len(at["Ymi_x"]) == 60
    order = [*np.flatnonzero(~GAPS), *np.flatnonzero(GAPS)]
    assert model.response("x").spec.drawn_rows.tolist() == order
    x = np.empty(60)
    x[order] = at["Ymi_x"]
    z, s, sigma = FRAME["z"].to_numpy(), FRAME["s"].to_numpy(), at["sigma_x"]
    expected = stats.norm(_mu(at, "y", {"x": x, "z": z}), at["sigma_y"]).logpdf(FRAME["y"]).sum()
    expected += stats.norm(_mu(at, "x", {"z": z}), sigma).logpdf(x).sum()
    expected += stats.norm(x, s).logpdf(FRAME["x"])[~GAPS].sum()
    sds = np.where(GAPS, sigma, sigma * s / np.sqrt(sigma**2 + s**2))
    free = [v for v in graph.free_RVs if v.name == "Ymi_x_z"]
    shown = graph.compile_logp(vars=[*graph.observed_RVs, *graph.potentials, *free], mode="FAST_COMPILE")(
        point
    )
    assert_allclose(shown, expected + np.log(sds).sum(), rtol=1e-9)


# -- answers ----------------------------------------------------------------------------------------------------


def _from_the_prior(formulas=BOTH, family="gaussian", draws=300, frame=FRAME) -> JointFit:
    """A fit whose draws are those of priors: of answers, all numbers are known."""
    import xarray as xr

    stated = {"Intercept": "Normal(1, 0.2)", "b": "Normal(0.3, 0.1)", "sigma": "Gamma(20, 20)"}
    model = hb.Model(formulas, frame, family, priors=stated)
    prior = model.prior_predictive(draws, seed=shifted(1))
    groups = {"posterior": prior["prior"].to_dataset(), "sample_stats": xr.Dataset()}
    groups |= {
        f"observed_data_{name}": prior[f"observed_data_{name}"].to_dataset() for name in model.responses
    }
    return JointFit(model, xr.DataTree.from_dict(groups))


def _draws(fit, name):
    return fit.posterior[name].to_numpy()[0]


def test_missing_values_of_the_prior_are_drawn_from_their_own_formula():
    fit = _from_the_prior()
    b, x = _draws(fit, "b_x"), _draws(fit, "Ymi_x")
    z = FRAME["z"].to_numpy()[GAPS]
    u = stats.norm(b[:, :1] + b[:, 1:] * z, _draws(fit, "sigma_x")[:, None]).cdf(x)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3


def test_true_values_of_the_prior_are_drawn_given_their_measurements():
    fit = _from_the_prior(["y ~ mi(x) + z", "x | mi(s) ~ z"])
    b, sigma = _draws(fit, "b_x"), _draws(fit, "sigma_x")[:, None]
    rows = FRAME[~GAPS]
    mu, s = b[:, :1] + b[:, 1:] * rows["z"].to_numpy(), rows["s"].to_numpy()
    precision = sigma**-2 + s**-2.0
    mean = (mu / sigma**2 + rows["x"].to_numpy() / s**2) / precision
    found = (_draws(fit, "Ymi_x")[:, : len(rows)] - mean) * np.sqrt(precision)
    assert stats.kstest(found.ravel(), "norm").pvalue > 1e-3


def test_training_rows_have_their_drawn_values_and_new_ones_those_of_the_formula_of_x():
    fit = _from_the_prior()
    b, x = _draws(fit, "b_y"), np.tile(FRAME["x"].to_numpy(), (300, 1))
    x[:, GAPS] = _draws(fit, "Ymi_x")
    shown = fit.predict(kind="linear", response="y", output="draws").to_numpy()[0]
    assert_allclose(shown, b[:, :1] + b[:, 1:2] * x + b[:, 2:] * FRAME["z"].to_numpy(), rtol=1e-9)
    new = pd.DataFrame({"x": [1.0, np.nan, 2.0, np.nan], "z": [0.0, 2.0, 0.0, -1.0]})
    drawn = fit.predict(new, kind="linear", response="y", output="draws", seed=3).to_numpy()[0]
    assert_allclose(drawn[:, 0], b[:, 0] + b[:, 1])
    values = (drawn[:, [1, 3]] - b[:, :1] - b[:, 2:] * [2.0, -1.0]) / b[:, 1:2]
    own = _draws(fit, "b_x")
    u = stats.norm(own[:, :1] + own[:, 1:] * [2.0, -1.0], _draws(fit, "sigma_x")[:, None]).cdf(values)
    assert stats.kstest(u[:, 0], "uniform").pvalue > 1e-3
    assert stats.kstest(u[:, 1], "uniform").pvalue > 1e-3
    without = fit.predict(new[["z"]].iloc[[1, 3]], kind="linear", response="y", output="draws", seed=3)
    assert_allclose(without.to_numpy()[0], drawn[:, [1, 3]])
    with pytest.raises(UnsupportedError, match="predict from the fit of all responses"):
        fit.response("y").predict(new)


def test_averages_over_the_training_rows_have_their_drawn_values():
    fit = _from_the_prior(["y ~ mi(x) * z", "x | mi() ~ z"])
    b, x = _draws(fit, "b_y"), np.tile(FRAME["x"].to_numpy(), (300, 1))
    x[:, GAPS] = _draws(fit, "Ymi_x")
    for table in (fit.avg_comparisons(response="y"), fit.avg_slopes(response="y")):
        means = table.set_index("term")["mean"]
        assert_allclose(means["z"], (b[:, 2] + b[:, 3] * x.mean(axis=1)).mean(), rtol=1e-6)
        assert_allclose(means["x"], (b[:, 1] + b[:, 3] * FRAME["z"].mean()).mean(), rtol=1e-6)
    assert_allclose(
        fit.avg_predictions(response="y")["mean"].iloc[0],
        fit.predict(response="y")["mean"].mean(),
    )


def test_chains_of_missing_values_are_followed():
    frame = FRAME.assign(w=np.where(FRAME.index % 7 == 0, np.nan, FRAME["z"] + 1))
    fit = _from_the_prior(["y ~ mi(x)", "x | mi() ~ mi(w)", "w | mi() ~ z"], frame=frame)
    assert [spec.response for spec in fit.spec.in_order] == ["w", "x", "y"]
    drawn = fit.predict({"z": [1.0]}, kind="linear", response="y", output="draws").to_numpy()[0, :, 0]
    x = (drawn - _draws(fit, "b_y")[:, 0]) / _draws(fit, "b_y")[:, 1]
    own, of_w = _draws(fit, "b_x"), _draws(fit, "b_w")
    mean = own[:, 0] + own[:, 1] * (of_w[:, 0] + of_w[:, 1])
    sd = np.hypot(_draws(fit, "sigma_x"), own[:, 1] * _draws(fit, "sigma_w"))
    assert stats.kstest((x - mean) / sd, "norm").pvalue > 1e-3
    graph = fit.model.graph()
    assert np.isfinite(graph.compile_logp(mode="FAST_COMPILE")(graph.initial_point()))


@pytest.mark.parametrize(
    ("formulas", "family"),
    [
        (BOTH, "gaussian"),
        (["y | mi() ~ mi(p) + (1 | g)", "p | mi() ~ z + (1 | g)"], ["gaussian", "lognormal"]),
    ],
)
def test_every_answer_is_given_or_refused_in_words(formulas, family, tmp_path):
    frame = FRAME.assign(y=FRAME["y"].where(FRAME.index != 5)) if "y | mi" in formulas[0] else FRAME
    fit = _from_the_prior(formulas, family, frame=frame)
    name = fit.responses[1]
    assert np.isfinite(fit.loo().elpd)
    assert fit.residuals(response="y")["quantile"].between(0, 1).all()
    assert fit.posterior_predictive(10)["posterior_predictive_y"].sizes["__obs__"] == len(
        fit.model.response("y").data
    )
    assert not any("Ymi" in quantity for quantity in fit.summary().index)
    table = fit.latent_values(response=name)
    assert table["row"].tolist() == FRAME.index[GAPS].tolist()
    of_y = fit.latent_values(response="y")
    assert_allclose(of_y.loc[of_y["column"] == name, "mean"], table["mean"])
    assert (of_y["column"] == "y").sum() == ("y | mi" in formulas[0])
    fit.check()
    assert fit.conditional_effects(name, response="y")["mean"].notna().all()
    for method in ("prior_sensitivity", "edf"):
        with pytest.raises(UnsupportedError, match="are drawn"):
            getattr(fit, method)(response="y")
    with pytest.raises(UnsupportedError, match="or the gaps, afterwards"):
        fit.model.response("y").simulate({"Intercept": 1})
    for response in fit.responses:
        with pytest.raises(UnsupportedError, match="effects, residuals or missing values"):
            fit.response(response).save(tmp_path / "one.nc")
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    assert_allclose(again.predict(response="y")["mean"], fit.predict(response="y")["mean"])
    assert again.latent_values(response=name).equals(table)
    assert again.predict({"z": [0.3], "g": ["p"]}, response="y").equals(
        fit.predict({"z": [0.3], "g": ["p"]}, response="y")
    )


def test_a_single_response_may_have_missing_values():
    model = hb.Model("x | mi() ~ z", FRAME)
    assert model.spec.missing_variable.name == "Ymi"
    assert len(model.data) == 60 - GAPS.sum()
    for strategy in ("collapsed", "whitened"):
        with pytest.raises(UnsupportedError, match="missing values of the response are drawn"):
            model.fit(strategy=strategy)
    prior = model.prior_predictive(4)["prior"]
    assert prior["Ymi"].shape == (1, 4, GAPS.sum())
    assert model.prior_predictive(4, rows={"z": [0.0]})["prior"]["Ymi"].shape == (1, 4, GAPS.sum())


def test_a_design_without_responses_and_rows_in_a_file():
    model = hb.Model(
        "x | mi() ~ z",
        hb.DesignRows({"z": [0.0, 1.0]}),
        priors={"b": "Normal(0, 1)"} | {"Intercept": "Normal(0, 1)", "sigma": "Exponential(1)"},
    )
    assert model.spec.missing_variable is None
    assert model.prior_predictive(3)["prior_predictive"]["x"].shape == (1, 3, 2)


def test_rows_that_stay_in_a_file_are_refused(tmp_path):
    FRAME[["x", "z"]].to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(UnsupportedError, match="missing values of the response are drawn"):
        hb.Model("x | mi() ~ z", str(tmp_path / "rows.csv"))


# -- the posterior ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_posterior_is_that_of_the_density_in_which_missing_values_never_appear():
    """Of normal responses the missing predictor integrates out: y is normal given z alone in those rows."""
    from scipy.optimize import minimize

    fit = hb.fit(BOTH, FRAME, draws=2000, chains=4, seed=1, progress=False)
    own, y, x, z = fit.spec.responses, *(FRAME[name].to_numpy() for name in ("y", "x", "z"))

    def prior(name, b, sigma):
        spec = own[name]
        inner = spec.layout.main.map.to_inner(b)
        found = sum(p.logpdf(value) for p, value in zip(spec.coefficient_priors(), inner, strict=True))
        return found + spec.prior("sigma", parameter="sigma").logpdf(np.array(sigma)) + np.log(sigma)

    def density(t):
        b, a, sigma, tau = t[:3], t[3:5], np.exp(t[5]), np.exp(t[6])
        mean = a[0] + a[1] * z
        found = stats.norm(mean, tau).logpdf(x)[~GAPS].sum()
        of_y = b[0] + b[1] * np.where(GAPS, mean, x) + b[2] * z
        found += stats.norm(of_y, np.sqrt(sigma**2 + np.where(GAPS, b[1] * tau, 0) ** 2)).logpdf(y).sum()
        return float(found + prior("y", b, sigma) + prior("x", a, tau))

    mode = minimize(lambda t: -density(t), np.array([1, 2, -1, 0, 0.7, 0, 0]), method="BFGS")
    wide = stats.multivariate_t(mode.x, 1.3 * mode.hess_inv, df=7, seed=np.random.default_rng(2))
    points = wide.rvs(20_000)
    logs = np.array([density(t) for t in points]) - wide.logpdf(points)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    points[:, 5:] = np.exp(points[:, 5:])
    mean = weights @ points
    sd = np.sqrt(weights @ (points - mean) ** 2)
    names = ["y.Intercept", "y.mi(x)", "y.z", "x.Intercept", "x.z", "y.sigma", "x.sigma"]
    table = fit.summary().loc[names]
    error = np.hypot(table["mcse_mean"], sd * np.sqrt((weights**2).sum()))
    assert (np.abs(table["mean"] - mean) < 4 * error).all()
    assert_allclose(table["sd"], sd, rtol=0.08)
    assert table["ess_bulk"].min() > 1000
