"""Nonlinear predictors, ``nl()``: their trees and derivatives, densities by hand, a reference, and every answer."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.data.formulas import read_formulas
from hierbayes.errors import DataError, FormulaError, PriorError, UnsupportedError
from hierbayes.families import get_family
from hierbayes.formula import parse
from hierbayes.formula.nonlinear import with_parameters
from hierbayes.transforms import ELEMENTWISE
from tests.families.fits import assert_kernel_is_the_graph

GROWTH = {
    "mu": "height ~ nl(asym + (r0 - asym) * exp(-exp(lrc) * age))",
    "asym": "~ 1 + (1 | seed)",
    "r0": "~ 1",
    "lrc": "~ 1",
}
PRIORS = {
    "asym.Intercept": "Normal(100, 20)",
    "asym.sd": "Exponential(0.2)",
    "r0.Intercept": "Normal(-8, 5)",
    "lrc.Intercept": "Normal(-3, 1)",
    "sigma": "Exponential(1)",
}
PINES = hb.load_dataset("loblolly")


def expression(text: str, *parameters: str):
    """The expression of ``y ~ nl(text)`` where these names have formulas."""
    formula = parse(f"y ~ nl({text})")
    return with_parameters(formula.nonlinear, parameters, formula.text)


# -- the tree ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(name for name, one in ELEMENTWISE.items() if one.slopes))
def test_functions_of_parameters_are_the_same_on_tensors_and_have_their_slopes(name):
    import pytensor
    import pytensor.tensor as pt

    record = ELEMENTWISE[name]
    names = ["a", "b", "c"][: len(record.arguments)]
    low, high = {"arccosh": (1.2, 3.0)}.get(name, (0.1, 0.9))
    rng = np.random.default_rng(3)
    values = {one: rng.uniform(low, high, size=4) for one in names}
    if name == "where":
        values["a"] = np.array([0.0, 1.0, 0.0, 1.0])
    found = expression(f"{name}({', '.join(names)})", *names)
    value, slopes = found.derivatives(values, [])
    assert_allclose(value, record.function(*values.values()), rtol=1e-14)
    tensors = {one: pt.dvector(one) for one in names}
    graph = found.evaluate(tensors, [], pt)
    scores = pytensor.grad(graph.sum(), list(tensors.values()), disconnected_inputs="ignore")
    compute = pytensor.function(list(tensors.values()), [graph, *scores], mode="FAST_COMPILE")
    on_tensors, *of_tensors = compute(*values.values())
    assert_allclose(on_tensors, value, rtol=1e-12)
    for one, score in zip(names, of_tensors, strict=True):
        assert_allclose(np.broadcast_to(slopes[one], 4), score, rtol=1e-9, atol=1e-14, err_msg=one)


@pytest.mark.parametrize(
    "text",
    [
        "a * exp(-b * x) + c",
        "a / (1 + exp((b - x) / c)) - x ** 2 * a",
        "a ** b - (-c) ** 2 / (1 + (x > 2)) + np.log(a * a + x)",
        "(x < b) * a + where(x >= b, c * (x - b), 0) - maximum(a, x)",
        "I(a * 2) * log(x) + {b + c} * (g == 'one')",
    ],
)
def test_derivatives_are_finite_differences(text):
    from hierbayes.data.expressions import Rows

    frame = pd.DataFrame({"x": [1.7, 2.4, 3.1], "g": ["one", "two", "one"]})
    found = expression(text, "a", "b", "c")
    parts = [np.asarray(Rows(frame, {}, learning=True).columns(part), np.float64) for part in found.parts]
    values = {"a": np.array(1.3), "b": np.array(2.1), "c": np.array(0.8)}
    value, slopes = found.derivatives(values, parts)
    assert_allclose(value, found.evaluate(values, parts, np), rtol=1e-14)
    for name in found.parameters:
        step = 1e-6
        up, down = (found.evaluate({**values, name: values[name] + s}, parts, np) for s in (step, -step))
        assert_allclose(np.broadcast_to(slopes[name], 3), (up - down) / (2 * step), rtol=1e-7, atol=1e-9)


def test_what_is_of_columns_alone_is_computed_once_from_the_rows():
    found = expression("a * log(x) + b * (g == 'u') / log(x) - 2 * z", "a", "b")
    from hierbayes.formula.syntax import render

    assert [render(part) for part in found.parts] == ["log(x)", 'g == "u"', "2 * z"]
    assert found.columns == ("x", "g", "z")


def test_the_text_round_trips():
    text = "y | weights(w) ~ nl(a * exp(-(b + 1) * x) ** 2)"
    formula = parse(text)
    assert str(formula) == text
    assert parse(str(formula)) == formula
    assert str(parse("~ nl(a*x)", response=False)) == "~ nl(a * x)"


# -- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ nl(a * x) + z", "nl.. stands alone on the right side"),
        ("y ~ z + (1 | g) + nl(a * x)", "nl.. stands alone"),
        ("y ~ z * nl(a * x)", "a nonlinear predictor is the whole right side"),
        ("y ~ nl(a, x)", "takes one expression"),
        ("y ~ nl(2)", "names no parameter"),
        ("y ~ nl(a.__class__(x))", "not a known function"),
        ("y ~ nl(eval(a))", "not a known function"),
        ("y ~ nl(open('x') + a)", "not a known function"),
        ("y ~ nl('a' + x)", "a text stands in a comparison"),
        ("y ~ nl(a[0] * x)", "has no meaning here"),
        ("y ~ nl((1 | g) + a)", "a group term cannot stand inside an expression"),
        ("y ~ nl(a * (x | g))", "a group term cannot stand inside an expression"),
        ("y ~ nl(C(a) * x)", "makes categories"),
        ("y ~ nl(s(x) * a)", "a smooth is a term of its own"),
    ],
)
def test_what_is_no_expression_is_refused_where_it_stands(formula, message):
    with pytest.raises(FormulaError, match=message):
        parse(formula)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("floor(a) * x", "has no derivative here"),
        ("center(a) * x", "learns from a column"),
        ("(a == 2) * x", "hardly ever equal"),
        ("b * x", "nothing in nl.. has a formula"),
    ],
)
def test_what_has_no_slope_is_refused(text, message):
    with pytest.raises(FormulaError, match=message):
        read_formulas({"mu": f"y ~ nl({text})", "a": "~ 1"}, get_family("gaussian")[0])


ROWS = pd.DataFrame({"y": [0.1, 0.4, 0.5, 0.2], "x": [1.0, 2.0, 3.0, 4.0], "g": list("aabb")})


@pytest.mark.parametrize(
    ("formulas", "error", "message"),
    [
        ({"mu": "y ~ nl(a * xx)", "a": "~ 1"}, FormulaError, "xx is neither a column .* did you mean x"),
        (
            {"mu": "y ~ nl(asym * x + asm)", "asym": "~ 1"},
            FormulaError,
            "asm is neither .* did you mean asym",
        ),
        ({"mu": "y ~ nl(asym * x)", "asymp": "~ 1"}, FormulaError, "nothing in nl"),
        (
            {"mu": "y ~ nl(a * x)", "a": "~ 1", "b": "~ 1"},
            UnsupportedError,
            "no parameter 'b'.* nl.. names a, x",
        ),
        ({"mu": "y ~ nl(a * x)", "a": "~ nl(b)", "b": "~ 1"}, FormulaError, "is nl.. itself"),
        ({"mu": "y ~ nl(sigma * x)", "sigma": "~ 1"}, FormulaError, "call it another name"),
        ({"mu": "y ~ nl(a * x)", "a": "~ 1 + (1 | g)"}, PriorError, r"a.Intercept, a.sd\[g, Intercept\]"),
    ],
)
def test_what_cannot_be_a_model_is_refused_before_sampling(formulas, error, message):
    with pytest.raises(error, match=message):
        hb.Model(formulas, ROWS)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("strategy", ["whitened", "nuts"])
def test_what_has_no_value_anywhere_has_no_place_to_start(strategy):
    model = hb.Model({"mu": "y ~ nl(a / (x - x))", "a": "~ 1"}, ROWS, priors={"a.Intercept": "Normal(0, 1)"})
    with pytest.raises(DataError, match=r"chains find no place to start: .* a division by 0"):
        model.fit(strategy=strategy, chains=2, progress=False)


def test_priors_must_have_their_numbers():
    formulas = {"mu": "y ~ nl(a * x)", "a": "~ x"}
    with pytest.raises(PriorError, match=r"with their numbers: a\.Intercept, a\.b"):
        hb.Model(formulas, ROWS, priors={"a.Intercept": "Normal"})
    hb.Model(formulas, ROWS, priors={"a.Intercept": "Normal(0, 1)", "a.b": "Normal(0, 1)"})


def test_responses_of_several_parts_take_none():
    rows = ROWS.assign(c=list("uvwu"))
    with pytest.raises(UnsupportedError, match="takes no nl"):
        hb.Model({"mu": "c ~ nl(a * x)", "a": "~ 1"}, rows, "categorical", {"a.Intercept": "Normal(0, 1)"})
    with pytest.raises(UnsupportedError, match="takes no nl"):
        hb.Model(
            {"mu": "y ~ nl(a * x)", "a": "~ 1"},
            rows,
            hb.mixture("gaussian", "gaussian"),
            {"a.Intercept": "Normal(0, 1)"},
        )


def test_a_column_that_is_not_finite_is_refused():
    rows = ROWS.assign(x=[0.0, 1.0, 2.0, 3.0])
    with pytest.raises(DataError, match=r"log\(x\) is not in row 0"):
        hb.Model({"mu": "y ~ nl(a * log(x))", "a": "~ 1"}, rows, priors={"a.Intercept": "Normal(0, 1)"})


# -- densities --------------------------------------------------------------------------------------------------

MU = {"mu": "{} ~ nl(a * exp(-b * x) + c)", "a": "~ 1", "b": "~ z", "c": "~ 1 + (1 | g)"}
OF_MU = {"a.Intercept": "Normal(1, 1)", "b.Intercept": "Normal(0.3, 0.2)", "b.b": "Normal(0, 0.1)"}
OF_MU |= {"c.Intercept": "Normal(0, 1)", "c.sd": "Exponential(2)"}
SIGMA = MU | {"sigma": "~ nl(s0 + s1 * log(x))", "s0": "~ 1", "s1": "~ 1"}
OF_SIGMA = OF_MU | {"s0.Intercept": "Normal(0, 1)", "s1.Intercept": "Normal(0, 1)"}


def rows(seed: int = 5, n: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(0.5, 4.0, size=n), rng.normal(size=n)
    return pd.DataFrame(
        {
            "x": x,
            "z": z,
            "g": np.arange(n) % 6,
            "number": rng.normal(size=n),
            "positive": rng.gamma(2.0, size=n),
            "count": rng.poisson(2.0, size=n),
            "yes": rng.integers(0, 2, size=n),
            "successes": rng.binomial(6, 0.4, size=n),
            "size": np.full(n, 6),
            "grade": rng.integers(1, 4, size=n),
            "w": rng.integers(1, 3, size=n),
            "s": rng.uniform(0.5, 1.0, size=n),
        }
    )


CASES = {
    "gaussian": (MU, "number", "gaussian", None),
    "sigma": (SIGMA, "number", "gaussian", None),
    "se": (MU, "number | se(s, sigma=True)", "gaussian", None),
    "gamma": (MU, "positive", "gamma", None),
    "poisson, softplus": (MU, "count", "poisson", "softplus"),
    "negbinomial": (MU, "count", "negbinomial", None),
    "bernoulli, cloglog": (MU, "yes", "bernoulli", "cloglog"),
    "binomial": (MU, "successes | trials(size)", "binomial", None),
    "cumulative": (MU, "grade", "cumulative", None),
    "correlated": (
        MU | {"a": "~ 1 + (1 |s| g)", "c": "~ 1 + (1 |s| g)"},
        "number",
        "gaussian",
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_is_the_graph_and_its_gradient_is_right(case):
    formulas, response, family, link = CASES[case]
    formulas = {**formulas, "mu": formulas["mu"].format(response)}
    priors = OF_SIGMA if "sigma" in formulas else OF_MU
    priors = priors | ({"a.sd": "Exponential(2)"} if case == "correlated" else {})
    assert_kernel_is_the_graph(hb.Model(formulas, rows(), family, priors, link))


def log_density_and_scores(spec, y, etas, own, trials=None):
    """The rows' log density and its derivatives in the linear predictors of all parameters."""
    family = spec.family
    given = {n: family.parameter(n).kind.under(spec.parameter_link(n), eta) for n, eta in etas.items()}
    responses = family.at(np.zeros(len(y)), {**given, **own}, spec.link)
    return responses.evaluate(y, trials)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_density_is_that_of_the_expression(compiled):
    frame = rows()
    model = hb.Model({**SIGMA, "mu": SIGMA["mu"].format("number")}, frame, priors=OF_SIGMA)
    family = model.spec.family
    rng = np.random.default_rng(1)
    n = len(frame)
    etas = {name: rng.normal(scale=0.4, size=n) for name in ("a", "b", "c", "s0", "s1")}
    stated = {p.name: model.design.predictors[p.name].offset for p in family.known}
    names = [p.name for p in family.parameters]
    t = np.array([{**etas, **stated}.get(name, np.zeros(n)) for name in names])
    y = frame["number"].to_numpy()
    evaluate = family.rows.evaluate if compiled else family.computed.rows.evaluate
    found = evaluate(y, None, t)
    x = frame["x"].to_numpy()

    def by_hand(a, b, c, s0, s1):
        return stats.norm.logpdf(y, a * np.exp(-b * x) + c, np.exp(s0 + s1 * np.log(x)))

    constant = family.constant(y)
    assert_allclose(found[0] + constant, by_hand(**etas), rtol=1e-10)
    for name in etas:
        up, down = (by_hand(**{**etas, name: etas[name] + h}) for h in (1e-6, -1e-6))
        assert_allclose(found[1 + names.index(name)], (up - down) / 2e-6, rtol=1e-5, atol=1e-6)
    for name in set(names) - set(etas) - set(stated):
        assert not found[1 + names.index(name)].any()


def test_ordered_categories_have_the_compiled_row_and_its_numpy_twin():
    frame = rows()
    model = hb.Model({**MU, "mu": MU["mu"].format("grade")}, frame, "cumulative", OF_MU)
    family, n = model.spec.family, len(frame)
    y = model.design.y
    rng = np.random.default_rng(2)
    etas = {name: rng.normal(scale=0.4, size=n) for name in ("a", "b", "c")}
    etas |= {p.name: model.design.predictors[p.name].offset for p in family.known}
    scalars = [p.name for p in family.parameters if not p.kind.vector]
    t = np.array([*(etas.get(name, np.zeros(n)) for name in scalars), np.full(n, -0.5), np.full(n, 0.8)])
    one, other = family.rows.evaluate(y, None, t), family.computed.rows.evaluate(y, None, t)
    assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    mu = etas["a"] * np.exp(-etas["b"] * frame["x"]) + etas["c"]
    cdf = np.array([np.zeros(n), stats.logistic.cdf(-0.5 - mu), stats.logistic.cdf(0.8 - mu), np.ones(n)])
    places = y.astype(int)
    assert_allclose(one[0], np.log(cdf[places + 1, np.arange(n)] - cdf[places, np.arange(n)]), rtol=1e-9)


def test_a_mean_that_cannot_be_has_no_density():
    frame = rows()
    formulas = {"mu": "count ~ nl(a * (x - 1))", "a": "~ 1"}
    model = hb.Model(formulas, frame, "poisson", {"a.Intercept": "Normal(1, 1)"}, "identity")
    family = model.spec.family
    t = np.array([np.zeros(30), np.ones(30), model.design.predictors["nl1"].offset])
    assert [p.name for p in family.parameters] == ["mu", "a", "nl1"]
    below = frame["x"].to_numpy() < 1
    assert 0 < below.sum() < 30
    for found in (
        family.rows.evaluate(model.design.y, None, t),
        family.computed.rows.evaluate(model.design.y, None, t),
    ):
        assert_allclose(np.isneginf(found[0]), below)


# -- fits -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pines() -> hb.Fit:
    return hb.fit(GROWTH, PINES, priors=PRIORS, seed=1, progress=False)


def test_pines_are_those_of_nlme(pines):
    """R's nlme 3.1: nlme(height ~ SSasymp(age, Asym, R0, lrc), random = Asym ~ 1 | Seed), maximum likelihood."""
    assert pines.tree.attrs["strategy"] == "whitened"
    summary = pines.summary()
    assert summary["ess_bulk"].min() > 1000
    nlme = {
        "asym.Intercept": (101.44960, 2.4616951),
        "r0.Intercept": (-8.62733, 0.3179505),
        "lrc.Intercept": (-3.23375, 0.0342702),
    }
    for name, (estimate, error) in nlme.items():
        found = summary.loc[name]
        assert abs(found["mean"] - estimate) < 0.5 * error, name
        assert 0.85 < found["sd"] / error < 1.3, name
    for name, estimate in {"sigma": 0.7188625, "asym.sd[seed, Intercept]": 3.650642}.items():
        assert summary.loc[name, "lower"] < estimate < summary.loc[name, "upper"]
    levels = pines.ranef().set_index("level")
    for seed, effect in {"329": -5.5654676, "305": 7.0963810, "315": -0.1100587}.items():
        assert abs(levels.loc[seed, "mean"] - effect) < 0.75 * levels.loc[seed, "sd"], seed


def test_predictions_are_the_expression_of_the_draws(pines):
    new = pd.DataFrame({"age": [4.0, 25.0, 12.0], "seed": ["301", "305", "305"]})
    draws = flatten(pines.spec, pines.tree["posterior"].to_dataset())
    levels = list(pines.tree["posterior"]["seed"].to_numpy())
    places = [levels.index(seed) for seed in new["seed"]]
    asym = draws.values["b_asym"][:, :1] + draws.values["r_asym_seed"][:, places, 0]
    r0, lrc = draws.values["b_r0"][:, :1], draws.values["b_lrc"][:, :1]
    expected = asym + (r0 - asym) * np.exp(-np.exp(lrc) * new["age"].to_numpy())
    for options in ({"kind": "mean"}, {"kind": "linear"}, {"parameter": "mu"}):
        found = pines.predict(new, output="draws", **options).to_numpy().reshape(-1, 3)
        assert_allclose(found, expected, rtol=1e-10)
    found = pines.predict(new, parameter="asym", output="draws").to_numpy().reshape(-1, 3)
    assert_allclose(found, asym, rtol=1e-12)


def test_new_levels_have_asymptotes_of_the_population(pines):
    new = pd.DataFrame({"age": [1e6, 1e6], "seed": ["new", None]})
    with pytest.warns(hb.DataWarning, match="age"):
        found = pines.predict(new, output="draws").to_numpy().reshape(-1, 2)
    draws = flatten(pines.spec, pines.tree["posterior"].to_dataset())
    sd, b = draws.values["sd_asym_seed"][:, 0], draws.values["b_asym"][:, 0]
    z = (found - b[:, None]) / sd[:, None]
    assert np.abs(z.mean(axis=0)).max() < 5 / len(z) ** 0.5
    assert np.abs(z.std(axis=0) - 1).max() < 5 / (2 * len(z)) ** 0.5


@pytest.mark.filterwarnings("ignore:.approximate.")
def test_every_other_answer(pines, tmp_path):
    assert "mu_i = asym_i + (r0_i - asym_i) * exp(-exp(lrc_i) * age)" in repr(pines.model)
    curve = pines.conditional_effects("age")
    assert curve["age"].min() == 3
    assert curve["age"].max() == 25
    assert (np.diff(curve["mean"]) > 0).all()
    loo, logo = pines.loo(), pines.logo("seed")
    assert -115 < loo.elpd < -90
    assert loo.elpd > logo.elpd
    assert (pines.residuals()["quantile"].between(0, 1)).all()
    assert pines.avg_slopes("age").loc[0, "mean"] == pytest.approx(2.72, abs=0.1)
    assert np.isfinite(pines.prior_sensitivity()["likelihood"]).all()
    assert pines.posterior_predictive()["posterior_predictive"]["height"].sizes["__obs__"] == 84
    assert set(pines.varcorr()["parameter"]) == {"asym", "mu"}
    assert pines.priors["parameter"].tolist().count("asym") == 2
    pines.save(tmp_path / "pines.nc")
    again = hb.load(tmp_path / "pines.nc")
    pd.testing.assert_frame_equal(again.summary(), pines.summary())
    assert again.formula == pines.formula
    pd.testing.assert_frame_equal(again.predict(PINES.head()), pines.predict(PINES.head()))
    assert pines.model.approximate(draws=200, seed=1).pareto_k > 0
    simulated = pines.model.simulate(
        {
            "asym.Intercept": 100,
            "asym.sd[seed, Intercept]": 0.0,
            "r0.Intercept": -8,
            "lrc.Intercept": -3,
            "sigma": 1e-9,
        }
    )
    assert_allclose(simulated["height"], 100 - 108 * np.exp(-np.exp(-3) * simulated["age"]), rtol=1e-6)
    prior = pines.model.prior_predictive(draws=50)
    assert prior["prior_predictive"]["height"].sizes["__obs__"] == 84


def test_a_prior_alone_is_drawn_from_where_there_is_no_response():
    design = hb.design_grid({"age": [3.0, 10.0, 25.0], "seed": list("abcdef")})
    model = hb.Model(GROWTH, design, priors=PRIORS)
    drawn = model.prior_predictive(draws=400, seed=1)["prior"]
    assert abs(float(drawn["b_asym"].mean()) - 100) < 5 * 20 / 400**0.5


def test_a_saturating_count_is_recovered():
    """Michaelis and Menten's curve of counts, its maximum by sex and site."""
    rng = np.random.default_rng(11)
    n, sites = 900, 30
    site, dose = rng.integers(0, sites, size=n), rng.uniform(0.2, 8.0, size=n)
    male = rng.integers(0, 2, size=n)
    top = 2.5 + 0.6 * male + rng.normal(scale=0.3, size=sites)[site]
    half = np.log(1.5)
    frame = pd.DataFrame({"dose": dose, "male": male, "site": site})
    frame["count"] = rng.poisson(np.exp(top * dose / (np.exp(half) + dose)))
    formulas = {
        "mu": "count ~ nl(top * dose / (exp(half) + dose))",
        "top": "~ male + (1 | site)",
        "half": "~ 1",
    }
    priors = {
        "top.Intercept": "Normal(2, 2)",
        "top.b": "Normal(0, 1)",
        "half.Intercept": "Normal(0, 1)",
        "top.sd": "Exponential(2)",
    }
    fit = hb.fit(formulas, frame, "poisson", priors, seed=2, progress=False)
    summary = fit.summary()
    assert summary["ess_bulk"].min() > 1000
    truth = {"top.male": 0.6, "half.Intercept": np.log(1.5), "top.sd[site, Intercept]": 0.3}
    for name, value in truth.items():
        assert abs(summary.loc[name, "mean"] - value) < 3.5 * summary.loc[name, "sd"], name


@pytest.mark.slow
def test_strategies_agree(pines):
    nuts = hb.fit(
        GROWTH, PINES, priors=PRIORS, seed=4, strategy="nuts", draws=2000, target_accept=0.95, progress=False
    )
    one, other = pines.summary(), nuts.summary()
    error = np.hypot(one["sd"] / one["ess_bulk"] ** 0.5, other["sd"] / other["ess_bulk"] ** 0.5)
    assert (np.abs(one["mean"] - other["mean"]) < 4.5 * error).all()
    assert_allclose(one["sd"], other["sd"], rtol=0.15)


def test_without_groups_the_mode_is_least_squares():
    """Wide priors and one curve: the posterior is about scipy's least squares."""
    one = PINES[PINES["seed"] == "301"]

    def curve(age, asym, r0, lrc):
        return asym + (r0 - asym) * np.exp(-np.exp(lrc) * age)

    best, covariance = optimize.curve_fit(curve, one["age"], one["height"], p0=[100, -8, -3])
    formulas = {name: text.replace(" + (1 | seed)", "") for name, text in GROWTH.items()}
    priors = {
        "asym.Intercept": "Normal(100, 200)",
        "r0.Intercept": "Normal(0, 100)",
        "lrc.Intercept": "Normal(-3, 10)",
    }
    sigma = float(np.sqrt(np.square(one["height"] - curve(one["age"], *best)).sum() / 3))
    fit = hb.fit(
        formulas,
        one,
        priors=priors | {"sigma": f"Fixed({sigma})"},
        seed=3,
        target_accept=0.95,
        progress=False,
    )
    summary = fit.summary()
    for name, estimate, variance in zip(("asym", "r0", "lrc"), best, np.diag(covariance), strict=True):
        found = summary.loc[f"{name}.Intercept"]
        assert abs(found["mean"] - estimate) < 0.3 * variance**0.5
        assert found["sd"] == pytest.approx(variance**0.5, rel=0.15)


def test_another_prior_leaves_those_that_must_be_stated_as_they_were(pines):
    after = pines.refit({"asym.Intercept": "Normal(90, 5)"}, draws=500, progress=False).after
    assert after.priors["prior"].tolist()[1:] == pines.priors["prior"].tolist()[1:]
    assert after.summary().loc["asym.Intercept", "mean"] < pines.summary().loc["asym.Intercept", "mean"]
    with pytest.raises(PriorError, match="with their numbers"):
        pines.refit(None, progress=False)


@pytest.mark.parametrize(
    ("response", "family", "priors"),
    [
        ("number | cens(status)", "gaussian", {}),
        ("positive | cens(status)", "cox", {}),
        ("count", "zero_inflated_poisson", {}),
    ],
)
def test_what_families_have_beside_the_mean_is_theirs_still(response, family, priors):
    """Censored rows, shares of a baseline, zeros: each density by the compiled row is that of the base family."""
    frame = rows().assign(status=["right", "none", "left"] * 10)
    frame = frame.assign(status=["right", "none"] * 15) if family == "cox" else frame
    linear = hb.Model(f"{response} ~ 0 + x", frame, family)
    model = hb.Model(
        {"mu": f"{response} ~ nl(a * x)", "a": "~ 1"}, frame, family, {"a.Intercept": "Normal(0, 1)"}
    )
    values = {}
    for own in model.spec.family.own:
        if own.name in model.spec.plain_parameters:
            values[own.name] = np.asarray(model.spec.typical(own), np.float64)
    stated = {p.name: model.design.predictors[p.name].offset for p in model.spec.family.known}
    known = {
        n: model.spec.family.parameter(n).kind.under(model.spec.family.parameter(n).link, v)
        for n, v in stated.items()
    }
    y, n = model.design.y, len(frame)
    found, scores = model.spec.family.at(
        np.zeros(n), {**values, **known, "a": np.full(n, 0.4)}, model.spec.link
    ).evaluate(y)
    x = frame["x"].to_numpy()
    base = {
        k: v for k, v in {**values, **known}.items() if k in [p.name for p in linear.spec.family.parameters]
    }
    wanted, of_mu = linear.spec.family.at(0.4 * x, base, linear.spec.link).evaluate(y)
    assert_allclose(found, wanted, rtol=1e-10)
    place = [p.name for p in model.spec.family.parameters].index("a")
    assert_allclose(scores[place], of_mu[0] * x, rtol=1e-9, atol=1e-12)
    assert np.isfinite(found).all()


def test_where_rows_stay_in_files_or_residuals_are_correlated_it_is_refused(tmp_path):
    PINES.to_csv(tmp_path / "pines.csv", index=False)
    with pytest.raises(UnsupportedError, match=r"nl\(…\) is no sum of terms"):
        hb.Model(GROWTH, str(tmp_path / "pines.csv"), priors=PRIORS)
    both = {f"height.{address}": text for address, text in PRIORS.items()}
    rows = PINES.assign(width=PINES["height"] / 10)
    model = hb.Model([GROWTH, "width ~ age + (1 | seed)"], rows, priors=both)
    assert "asym_i = b[Intercept] + r[seed]" in repr(model)
    with pytest.raises(UnsupportedError, match="sums of terms"):
        hb.Model([GROWTH, "width ~ age + (1 | seed)"], rows, priors=both, rescor=True)
