"""Smooths: what formulas say, densities against the graph, curves against mgcv and brms, answers."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.answers.smooths import curves_of
from hierbayes.errors import DataError, DataWarning, FormulaError, UnsupportedError
from hierbayes.formula import parse
from tests.families.fits import assert_kernel_is_the_graph
from tests.integrals import densities
from tests.whitening.points import Whitened

MCYCLE = pd.read_csv(Path(__file__).parent / "smooths" / "mcycle.csv")
REFERENCE = json.loads((Path(__file__).parent / "smooths" / "reference.json").read_text())


def _frame(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 10, n)
    frame = pd.DataFrame({"x": x, "z": rng.normal(size=n), "f": np.resize(["a", "b", "c"], n)})
    frame["g"] = np.resize(list("pqrstu"), n)
    frame["y"] = np.sin(x) + 0.3 * frame["z"] + rng.normal(scale=0.3, size=n)
    frame["count"] = rng.poisson(np.exp(0.5 + 0.5 * np.sin(x)))
    frame["yes"] = rng.integers(0, 2, n)
    return frame


FRAME = _frame()


# -- formulas ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "y ~ s(x)",
        "y ~ z + s(x, k=15) + (1 | g)",
        'y ~ s(log(x), bs="cr", by=f)',
        "y ~ s(x, z, k=20)",
        'y ~ 0 + s(x, bs="cc", knots=[0, 12])',
        'y ~ t2(x, z, k=4, bs="tp") + f',
    ],
)
def test_a_formula_is_read_and_written(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("y ~ s(x) * f", "a smooth is a term of its own", "s(x)"),
        ("y ~ s(x):f", "a curve for each level is s(x, by=f)", "s(x)"),
        ("y ~ (s(x) | g)", "a smooth is a term of its own", "s(x)"),
        ("y ~ log(s(x))", "a smooth is a term of its own", "s(x)"),
        ("y ~ s(x, 10)", "keywords are written out", "10"),
        ('y ~ z * s(x, bs="re")', "effects of groups are a term of their own", '"re"'),
        ('y ~ s(x, g, bs="re")', "effects of combinations are (1 | g:h)", "s(x, g"),
        ('y ~ s(x, bs="fs")', "a curve along x for each level of g", "s(x, bs"),
        ('y ~ s(x, g, bs="fs", by=z)', 's(…, bs="fs") has no argument by', "z)"),
        ('y ~ x - s(g, bs="re")', "cannot be subtracted", "s(g"),
        ("y ~ s(x, m=2)", "s() has no argument m", "2"),
        ('y ~ s(x, z, bs="cr")', "along one predictor", "z, bs"),
        ("y ~ s(x, by=2)", "by= names a column", "2"),
        ("y ~ s(x, k=2)", "3 or more", "2)"),
        ("y ~ s(C(f))", "a curve is along numbers", "C(f)"),
        ("y ~ te(x, z)", "a tensor product of smooths is t2(x, z)", "te"),
        ("y ~ t2(x)", "along two predictors", "t2"),
        ("y ~ t2(x, z, by=f)", "it has k and bs", "f)"),
        ('y ~ t2(x, z, bs="cc")', 'one of "cr"', '"cc"'),
        ("y ~ t2(x, z, k=2)", "3 or more", "2)"),
        ("y ~ t2(x, z) * f", "a smooth is a term of its own", "t2"),
        ("s(y) ~ x", "a smooth is a term of its own", "s(y)"),
    ],
)
def test_what_cannot_be_read_has_a_caret_below_it(text, words, place):
    with pytest.raises(FormulaError) as error:
        parse(text)
    assert words in str(error.value)
    line, caret = str(error.value).split("\n")[1:3]
    assert line[caret.index("^") :].startswith(place)


def test_too_large_a_k_says_which_is_possible():
    with pytest.raises(DataError, match="k=10 needs 10 different values; there are 6: write k=6 or less"):
        hb.Model("y ~ s(x)", FRAME.assign(x=np.resize(np.arange(6), len(FRAME))))


def test_rows_that_are_read_in_parts_cannot_teach_a_smooth(tmp_path):
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(UnsupportedError, match=r"s\(x\) learns from a whole column"):
        hb.Model("y ~ s(x)", str(tmp_path / "rows.csv"))


def test_labels_and_default_priors():
    with pytest.warns(DataWarning, match="determine each other"):  # lines along x are in three smooths
        model = hb.Model("y ~ f + s(x, by=f) + s(z, k=6) + s(x, z, k=8)", FRAME)
    assert [q.name for q in model.spec.quantities if q.kind == "sds"] == [
        "sds[s(x):f[a]]",
        "sds[s(x):f[b]]",
        "sds[s(x):f[c]]",
        "sds[s(z)]",
        "sds[s(x, z)]",
    ]
    layout = model.spec.layout.predictors["mu"]
    assert layout.coefficients[3:] == (
        "s(x):f[a]",
        "s(x):f[b]",
        "s(x):f[c]",
        "s(z)",
        "s(x, z)[x]",
        "s(x, z)[z]",
    )
    # the prior mean of the curve's root mean square is the response's standard deviation
    curve = layout.curves[3]
    columns = model.design.predictors["mu"].penalised[:, 24:28]
    assert curve.width == 4
    assert curve.size == pytest.approx(np.sqrt((columns**2).sum() / len(FRAME)))
    prior = model.spec.prior("sds", coefficient="s(z)")
    assert dict(prior.args)["lam"] == pytest.approx(curve.size / FRAME["y"].std(ddof=0), rel=0.02)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ('y ~ z + s(g, bs="re")', "y ~ z + (1 | g)"),
        ('y ~ s(x, g, bs="fs")', "y ~ 1 + (center(x) || g) + homdiag(0 + bends(x) | g)"),
        (
            'y ~ s(log(x), `my g`, bs="fs", k=5)',
            "y ~ 1 + (center(log(x)) || `my g`) + homdiag(0 + bends(log(x), k=5) | `my g`)",
        ),
    ],
)
def test_smooths_of_groups_are_group_terms(text, groups):
    assert parse(text) == parse(groups)
    assert str(parse(text)) == groups


# -- densities --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "priors"),
    [
        ("y ~ s(x, k=5)", {}),
        ("y ~ s(x, k=5) + (1 | g)", {"sds": "HalfStudentT(3, 1)"}),
        ('y ~ f + s(x, k=4, by=f, bs="cr") + (z | g)', {"cor": "Fixed(0.2)"}),
        ('y ~ s(x, bs="cc", k=5) + s(z, bs="ps", k=5)', {"b": "Normal(0, 3)", "sds[s(z)]": "Gamma(2, 1)"}),
        ("y ~ s(x, z, k=6)", {"sds": "Fixed(0.8)"}),
        ("y ~ t2(x, z, k=3) + (1 | g)", {"sds[t2(x, z)[x]]": "HalfNormal(2)"}),
    ],
)
def test_the_collapsed_density_is_the_graphs_integral(formula, priors):
    for found, wanted in densities(hb.Model(formula, FRAME, priors=priors)):
        assert found == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("count ~ s(x, k=5) + (1 | g)", "poisson", {}),
        ("yes ~ f + s(x, k=4, by=f)", "bernoulli", {"sds": "HalfNormal(2)"}),
        ({"mu": "y ~ s(x, k=5)", "sigma": '~ s(z, k=5, bs="ps")'}, "gaussian", {}),
        ("count ~ s(x, k=5, by=z)", "negbinomial", {"sds": "Fixed(0.7)"}),
        ('count ~ t2(x, z, k=4, bs="ps")', "poisson", {}),
    ],
)
def test_the_whitened_density_is_the_graphs(formula, family, priors):
    assert_kernel_is_the_graph(hb.Model(formula, FRAME, family=family, priors=priors))


def test_a_gradient_is_that_of_differences():
    whitened = Whitened(hb.Model("count ~ s(x, k=6) + (1 | g)", FRAME, family="poisson"))
    position = np.random.default_rng(3).normal(scale=0.5, size=whitened.packed.dim)
    gradient = whitened.evaluate(position)[1].copy()  # the evaluator's own array
    assert_allclose(gradient, whitened.differences(position), atol=1e-5)


# -- curves -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mcycle():
    priors = {"Intercept": "Normal(-25, 50)", "b": "Normal(0, 200)", "sds": "Exponential(0.01)"}
    return hb.fit(
        "accel ~ s(times, k=15)",
        MCYCLE,
        priors=priors | {"sigma": "Exponential(0.05)"},
        seed=1,
        progress=False,
    )


def test_the_posterior_is_brmss(mcycle):
    """brms's column of the straight line is 83 times narrower and not orthogonal to the others; its sd is 200 there."""
    brms = REFERENCE["brms"]
    found = mcycle.predict(pd.DataFrame({"times": brms["at"]}))
    mean, sd = np.array(brms["mean"]), np.array(brms["sd"])
    assert np.abs((found["mean"] - mean) / sd).max() < 0.12
    assert_allclose(found["sd"], sd, rtol=0.1)
    table = mcycle.summary()
    for name in ("Intercept", "sds[s(times)]", "sigma"):
        own = brms["parameters"][name]
        assert table.loc[name, "mean"] == pytest.approx(own["mean"], abs=0.12 * own["sd"]), name
        assert table.loc[name, "sd"] == pytest.approx(own["sd"], rel=0.12), name


def test_the_curve_is_mgcvs(mcycle):
    found = mcycle.predict(pd.DataFrame({"times": REFERENCE["brms"]["at"]}))
    gap = (found["mean"] - np.array(REFERENCE["mgcv"]["fit"])) / found["sd"]
    assert np.abs(gap).max() < 0.25
    assert mcycle.edf()["mean"].item() == pytest.approx(REFERENCE["mgcv"]["edf"], rel=0.1)


def test_draws_are_nearly_independent(mcycle):
    assert mcycle.summary()["ess_bulk"].min() > 1000
    assert mcycle.summary()["r_hat"].max() < 1.01


# -- answers ----------------------------------------------------------------------------------------------------


def test_a_curve_alone_is_the_prediction_less_the_intercept(mcycle):
    table = mcycle.conditional_smooths("s(times)", resolution=7)
    assert table.columns.tolist() == ["smooth", "variable", "value", "mean", "sd", "lower", "upper"]
    whole = mcycle.predict(pd.DataFrame({"times": table["value"]}))
    assert_allclose(
        table["mean"] + mcycle.fixef().set_index("effect").loc["Intercept", "mean"], whole["mean"]
    )
    over_rows = mcycle.predict(MCYCLE)["mean"].mean()
    assert over_rows == pytest.approx(mcycle.summary().loc["Intercept", "mean"])
    with pytest.raises(DataError, match=r"it has s\(times\)"):
        mcycle.conditional_smooths("s(x)")


# m <- gam(accel ~ s(times, k = 15), data = d, method = "REML"); with X <- predict(m, data.frame(times = at ± 1e-4),
# type = "lpmatrix"), their difference over 2e-4: X %*% coef(m), sqrt(rowSums((X %*% vcov(m, unconditional = T)) * X))
SLOPES_AT = [2.4, 8, 14, 17.5, 21, 26, 33, 40, 57.6]
SLOPES = [-0.01509, 0.481, -11.81564, -20.60346, -0.23444, 24.19205, -4.59257, -0.3667, 1.68943]
SLOPES_SE = [5.41476, 3.55235, 2.47036, 2.42349, 2.47786, 3.05827, 2.9555, 2.55697, 6.99234]


def test_the_slope_of_a_curve_is_mgcvs(mcycle):
    table = mcycle.smooth_slopes(resolution=553)  # every tenth of a millisecond
    assert table.columns.tolist() == [
        "smooth",
        "variable",
        "value",
        "mean",
        "sd",
        "lower",
        "upper",
        "direction",
    ]
    at = table.iloc[[round(10 * (time - 2.4)) for time in SLOPES_AT]]
    assert_allclose(at["value"], SLOPES_AT)
    assert (((at["mean"] - SLOPES) / at["sd"]).abs() < 0.25).all()
    assert_allclose(at["sd"], SLOPES_SE, rtol=0.15)
    assert at["direction"].tolist() == ["", "", "down", "down", "", "up", "", "", ""]
    # the differences of the curve itself
    curve = mcycle.conditional_smooths(resolution=553)
    between = np.diff(curve["mean"]) / np.diff(curve["value"])
    assert_allclose(table["mean"].rolling(2).mean().dropna(), between, atol=0.02)


def test_a_simultaneous_band_holds_whole_curves(mcycle):
    curve = next(curves_of(mcycle.spec, flatten(mcycle.spec, mcycle.posterior)))
    for simultaneous, inside in ((False, (0.0, 0.5)), (True, (0.9, 0.9))):
        table = mcycle.conditional_smooths(prob=0.9, interval="eti", simultaneous=simultaneous)
        within = (curve.values >= table["lower"].to_numpy()) & (curve.values <= table["upper"].to_numpy())
        low, high = inside
        assert low - 1e-3 <= within.all(axis=1).mean() <= high + 1e-3
        assert table.attrs["interval"] == ("90% simultaneous" if simultaneous else "90% ETI")
    wide = mcycle.smooth_slopes(prob=0.9, simultaneous=True)
    narrow = mcycle.smooth_slopes(prob=0.9)
    assert ((wide["direction"] != "") <= (narrow["direction"] != "")).all()
    assert (wide["direction"] != "").any()


def test_a_smooth_is_no_group(mcycle):
    assert mcycle.varcorr().shape[0] <= 1
    assert mcycle.ranef().empty
    r2 = mcycle.r2()
    assert (r2.loc[r2["kind"] == "marginal", "mean"].to_numpy() > 0.7).all()
    new = pd.DataFrame({"times": [20.0]})
    assert mcycle.predict(new, groups="none")["mean"].item() == mcycle.predict(new)["mean"].item()


def test_beyond_the_data_a_prediction_warns(mcycle):
    with pytest.warns(DataWarning, match=r"no data hold its curve s\(times\) there"):
        mcycle.predict(pd.DataFrame({"times": [80.0]}))


def test_a_fit_is_saved_and_loaded(mcycle, tmp_path):
    mcycle.save(tmp_path / "fit.nc")
    new = pd.DataFrame({"times": [7.0, 33.0]})
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").predict(new), mcycle.predict(new))


def test_left_out_rows_and_priors(mcycle):
    assert mcycle.loo().elpd == pytest.approx(-610, abs=3)
    assert mcycle.prior_sensitivity().index.tolist() == ["Intercept", "s(times)", "sds[s(times)]", "sigma"]
    assert not mcycle.check()


@pytest.fixture(scope="module")
def levels():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hb.fit(
            "count ~ f + s(x, k=6, by=f) + (1 | g)", FRAME, family="poisson", seed=1, progress=False
        )


@pytest.mark.slow
def test_the_posterior_of_whitened_is_that_of_nuts():
    """Means in units of their Monte Carlo errors, and sds."""
    model = hb.Model("count ~ s(x, k=6) + (1 | g)", FRAME, family="poisson")
    whitened = model.fit(seed=1, draws=2000, progress=False)
    assert whitened.tree.attrs["strategy"] == "whitened"
    nuts = model.fit(seed=2, draws=2000, strategy="nuts", target_accept=0.99, progress=False)
    one, other = whitened.summary(), nuts.summary()
    errors = np.hypot(one["sd"] / one["ess_bulk"] ** 0.5, other["sd"] / other["ess_bulk"] ** 0.5)
    assert (((one["mean"] - other["mean"]) / errors).abs() < 4).all()
    assert_allclose(one["sd"], other["sd"], rtol=0.1)
    at = pd.DataFrame({"x": np.linspace(0.5, 9.5, 7)})
    mine, theirs = (fit.predict(at, groups="none", kind="linear") for fit in (whitened, nuts))
    assert (((mine["mean"] - theirs["mean"]) / mine["sd"]).abs() < 0.1).all()
    assert_allclose(mine["sd"], theirs["sd"], rtol=0.1)


def test_each_level_has_a_curve(levels):
    table = levels.conditional_smooths()
    assert table["smooth"].unique().tolist() == ["s(x):f[a]", "s(x):f[b]", "s(x):f[c]"]
    row = pd.DataFrame({"x": [3.0], "f": ["b"]})
    assert np.isfinite(levels.predict(row, groups="none", kind="linear")["mean"].item())
    with pytest.raises(DataError, match="has levels in the new rows that training didn't"):
        levels.predict(row.assign(f="d"), groups="none")
    edf = levels.edf()
    assert (edf["mean"] > 0.8).all()
    assert (edf["mean"] < 5.01).all()


def test_pictures(levels, mcycle):
    assert len(levels.plot_conditional_smooths()) == 3
    (ax,) = mcycle.plot_conditional_smooths()
    assert ax.get_xlabel() == "times"
    assert ax.get_title("left") == "s(times)"
    (slope,) = mcycle.plot_smooth_slopes(simultaneous=True)
    assert slope.get_title("left") == "slope of s(times) along times"
    thick = slope.get_lines()[2].get_ydata()
    known = mcycle.smooth_slopes(simultaneous=True)["direction"] != ""
    assert np.array_equal(np.isfinite(thick), known)


def test_prior_draws_and_known_truths():
    model = hb.Model("y ~ s(x, k=6)", FRAME)
    prior = model.prior_predictive(draws=400)["prior"]
    sds, s = prior["sds_s(x)"].to_numpy(), prior["s_s(x)"].to_numpy()
    assert (s / sds[..., None]).std() == pytest.approx(1.0, abs=0.1)


# -- curves of groups -------------------------------------------------------------------------------------------

# mgcv 1.8-41, with Subject a factor of lme4's sleepstudy:
# sm <- smoothCon(s(Days, Subject, bs = "fs", k = 5), data = d)[[1]]; sm$X[d$Subject == "308", 1:3]
FS_PENALISED = [
    [
        0.3069281415,
        -0.252106365,
        -0.374437867,
        -0.0330516699,
        0.3526677604,
    ],  # of the first five days, and as much
    [
        -0.745878938,
        0.1159817191,
        0.6787796493,
        0.7327258687,
        0.3089625552,
    ],  # less than 0 in the last five, mirrored
    [-2.5164151314, -1.0343176154, 0.3078677085, 1.3397719078, 1.9030931305],  # as the first again
]
# m <- gam(Reaction ~ s(Days, Subject, bs = "fs", k = 5), data = d, method = "REML")
# predict(m, d[d$Subject %in% c("308", "335"), ])
FS_FIT = [241.28392, 262.74284, 287.8474, 315.47461, 340.16925, 357.82729, 370.54418, 385.48407, 408.43829]
FS_FIT += [438.26571, 255.7403, 259.41074, 261.57849, 261.15968, 258.0976, 253.30733, 248.05359, 243.26822]
FS_FIT += [239.21078, 235.59865]


@pytest.fixture(scope="module")
def nights():
    formula = 'Reaction ~ s(Days, Subject, bs="fs", k=5)'
    return hb.fit(formula, hb.load_dataset("sleepstudy"), seed=1, progress=False)


def test_what_bends_in_a_factor_smooth_is_mgcvs(nights):
    """Its covariance among the days of one subject, but for a factor that is the standard deviation's unit."""
    columns = nights.model.design.main.factors["Subject"].z[:10, 2:]
    first, signs = np.array(FS_PENALISED), np.array([1.0, -1.0, 1.0])
    whole = np.hstack([first, signs[:, None] * first[:, ::-1]])
    ours, theirs = columns @ columns.T, whole.T @ whole
    assert_allclose(ours * (np.trace(theirs) / np.trace(ours)), theirs, atol=1e-8 * np.abs(theirs).max())


def test_the_curves_of_groups_are_mgcvs(nights):
    assert nights.tree.attrs["strategy"] == "collapsed"
    two = nights.data[nights.data["Subject"].astype(str).isin(["308", "335"])]
    found = nights.predict(two)
    assert np.abs((found["mean"] - FS_FIT) / found["sd"]).max() < 0.25
    assert list(nights.summary().index[1:4]) == [
        "sd[Subject, Intercept]",
        "sd[Subject, center(Days)]",
        "sd[Subject, bends(Days, k=5)]",
    ]
    assert nights.summary()["ess_bulk"].min() > 1000


def test_the_whitened_density_of_curves_of_groups_is_the_graphs():
    assert_kernel_is_the_graph(
        hb.Model(
            'count ~ z + s(x, g, bs="fs", k=4)', FRAME, family="poisson", priors={"sd": "Exponential(2)"}
        )
    )


def test_curves_of_groups_go_with_new_rows_and_a_saved_fit(nights, tmp_path):
    nights.save(tmp_path / "fit.nc")
    new = pd.DataFrame({"Days": [0.5, 8.5], "Subject": [nights.data["Subject"].iloc[0], None]})
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").predict(new), nights.predict(new))
    with pytest.warns(DataWarning, match=r"no data hold its curve bends\(Days, k=5\) there"):
        nights.predict(new.assign(Days=20.0))


# -- tensor products --------------------------------------------------------------------------------------------

# mgcv 1.8-41: i <- 0:143; d <- data.frame(x = i %% 12, z = i %/% 12)
# d$y <- 2 * sin(d$x / 2) * cos(d$z / 3) + 0.5 * sin(7919 * i)
# m <- gam(y ~ t2(x, z, k = 5), data = d, method = "REML"); summary(m)$edf is 18.586 with the intercept
# predict(m, data.frame(x = c(0, 2.5, 5, 7.5, 11, 3, 9), z = c(0, 11, 4, 8.5, 11, 6, 1)), se = TRUE)
T2_AT = pd.DataFrame({"x": [0, 2.5, 5, 7.5, 11, 3, 9], "z": [0, 11, 4, 8.5, 11, 6, 1]})
T2_FIT = [0.23442, -1.70927, 0.29231, 1.03537, 1.2266, -0.80376, -1.74175]
T2_SE = [0.27045, 0.19284, 0.11219, 0.1187, 0.26976, 0.12189, 0.12171]
PARTS = ["t2(x, z)[x]", "t2(x, z)[z]", "t2(x, z)[x, z]"]


@pytest.fixture(scope="module")
def surface():
    i = np.arange(144)
    frame = pd.DataFrame({"x": i % 12, "z": i // 12})
    frame["y"] = 2 * np.sin(frame["x"] / 2) * np.cos(frame["z"] / 3) + 0.5 * np.sin(7919 * i)
    return hb.fit("y ~ t2(x, z, k=5)", frame, seed=1, progress=False)


def test_a_tensor_product_is_mgcvs(surface):
    found = surface.predict(T2_AT)
    assert np.abs((found["mean"] - T2_FIT) / found["sd"]).max() < 0.25
    error = 1 / np.sqrt(2 * surface.summary()["ess_bulk"].min())  # of a standard deviation, relative
    assert_allclose(found["sd"], T2_SE, rtol=0.1 + 4.5 * error)
    assert surface.edf()["smooth"].tolist() == PARTS
    assert surface.edf()["mean"].sum() == pytest.approx(18.586 - 1, rel=0.1)
    assert [name for name in surface.summary().index if name.startswith("sds")] == [
        f"sds[{p}]" for p in PARTS
    ]


def test_the_parts_of_a_tensor_product_are_one_surface(surface):
    """Its lines and bends, all but the intercept; a line's slope is that of its straight column."""
    table = surface.conditional_smooths("t2(x, z)", resolution=3)
    assert len(table) == 9
    whole = surface.predict(pd.DataFrame({"x": table["value"], "z": table["value2"]}))
    assert_allclose(table["mean"] + surface.summary().loc["Intercept", "mean"], whole["mean"], atol=1e-8)
    layout, bound = surface.spec.layout.main, surface.model.design.main
    assert layout.coefficients == ("Intercept", "t2(x, z)[x]", "t2(x, z)[z]", "t2(x, z)[x:z]")
    assert_allclose(bound.x.T @ bound.penalised, 0.0, atol=1e-8)
    assert [curve.width for curve in layout.curves] == [6, 6, 9]
    assert len(np.ravel(surface.plot_conditional_smooths())) == 1
    assert len(np.ravel(surface.plot_smooth_slopes())) == 2


def test_a_surface_has_slopes_along_both_predictors(surface):
    """At a corner the one-sided differences of the surface itself."""
    table = surface.smooth_slopes(resolution=3)
    assert table.columns[:6].tolist() == ["smooth", "along", "variable", "value", "variable2", "value2"]
    corner = table.groupby("along").head(1).set_index("along")["mean"]
    near = pd.DataFrame({"x": [0, 1e-3, 0], "z": [0, 0, 1e-3]})
    origin, x, z = surface.predict(near)["mean"]
    assert_allclose(corner[["x", "z"]], [1e3 * (x - origin), 1e3 * (z - origin)], rtol=1e-2)


def test_a_tensor_product_does_not_depend_on_units(surface):
    """A thin plate does."""
    moved = surface.data.assign(x=1000 * surface.data["x"] + 7)
    other = hb.Model("y ~ t2(x, z, k=5)", moved)
    assert_allclose(other.design.main.penalised, surface.model.design.main.penalised, atol=1e-8)


def test_a_surface_goes_with_a_saved_fit(surface, tmp_path):
    surface.save(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").predict(T2_AT), surface.predict(T2_AT))
