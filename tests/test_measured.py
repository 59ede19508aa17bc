"""Predictors measured with error: what formulas say, densities, answers, and what is refused."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism.likelihood import likelihood_chunks
from hierbayes.data.latent import drawn_from, given_measurements, given_sum, variance_of_sum
from hierbayes.errors import DataError, FormulaError, PriorError, UnsupportedError
from hierbayes.formula import parse
from hierbayes.formula.latent import predictors_in
from tests.seeds import shifted


def _frame(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    x, g = rng.normal(3, 2, n), np.resize(list("pqrstuvw"), n)
    frame = pd.DataFrame({"s": rng.uniform(0.5, 1.5, n), "z": rng.normal(size=n), "g": g})
    frame["x"] = x + frame["s"] * rng.normal(size=n)
    frame["w"], frame["sw"] = 0.5 * x + rng.normal(size=n), 0.4
    frame["y"] = 1 + 0.8 * x - frame["z"] + rng.normal(scale=0.7, size=n)
    frame["k"], frame["one"] = rng.poisson(np.exp(0.2 * x)), 1.0
    return frame


FRAME = _frame()


# -- formulas ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["y ~ me(x, s)", "y ~ me(x, s) * z + (1 | g)", "y ~ me(x, s, gr=g):f", "y ~ me(`a b`, s):me(w, t)"],
)
def test_a_formula_is_read_and_written(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("y ~ me(x)", "me() needs sd", "me(x)"),
        ("y ~ me(x, 0.3)", "sd of me() is a column", "0.3"),
        ("y ~ me(log(x), s)", "x of me() is a column", "log(x)"),
        ("y ~ me(x, s, group=g)", "me() has no argument group", "g)"),
        ("y ~ me(x, s) + (me(x, s) | g)", "not an effect that varies by group", "me(x, s) |"),
        ("y ~ me(x, s) * mo(k)", "not both", "me(x, s)"),
        ("y ~ log(me(x, s))", "a term of its own, or a factor of one", "me(x, s)"),
        ("y ~ cs(me(x, s))", "not an effect that differs by threshold", "me(x, s)"),
        ("y ~ offset(me(x, s))", "a term of its own, or a factor of one", "me(x, s)"),
    ],
)
def test_what_cannot_be_read_has_a_caret_below_it(text, words, place):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    message = str(caught.value)
    assert words in message
    above, below = next((a, b) for a, b in pairwise(message.splitlines()) if b.strip() == "^")
    assert above[below.index("^") :].startswith(place)


def test_columns_that_say_how_others_were_measured_are_no_predictors():
    assert predictors_in("1 + z + me(x, s, gr=g) * v") == ("z", "x", "v")
    assert hb.Model("y ~ me(x, s) + z", FRAME).spec.layout.columns_for(()) == (("x", "z"), ())


@pytest.mark.parametrize(
    ("change", "formula", "words"),
    [
        ({"s": 0.0}, "y ~ me(x, s)", "'s', the standard deviation of 'x' in me(), is negative or 0 in row"),
        ({"s": -1.0}, "y ~ me(x, s)", "is negative or 0"),
        ({"s": FRAME["g"]}, "y ~ me(x, s)", "must hold numbers"),
        ({"x": 2.0}, "y ~ me(x, s)", "has the one value 2"),
        ({}, "y ~ me(x, s, gr=g)", "me(x) has one value for each g, and 'x' differs"),
    ],
)
def test_what_cannot_be_a_measurement_is_refused(change, formula, words):
    with pytest.raises(DataError, match=re.escape(words)):
        hb.Model(formula, FRAME.assign(**change))


def test_a_column_has_one_measurement():
    with pytest.raises(FormulaError, match="sd=s in one formula and sd=sw in another"):
        hb.Model({"mu": "y ~ me(x, s)", "sigma": "~ me(x, sw)"}, FRAME)
    hb.Model({"mu": "y ~ me(x, s)", "sigma": "~ me(x, s)"}, FRAME)


# -- distributions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_true_values_given_measurements_and_a_response_are_those_of_dense_matrices(k, size):
    rng = np.random.default_rng(k)
    a = rng.normal(size=(k, k))
    cov, mean, values = a @ a.T + np.eye(k), rng.normal(size=k), rng.normal(size=k)
    sds, loadings, variance = size * rng.uniform(0.5, 2, k), rng.normal(size=k), 0.3
    normal, density = given_measurements(np, mean, cov, values, sds)
    total = cov + np.diag(sds**2)
    gain = cov @ np.linalg.inv(total)
    left = np.linalg.inv(np.linalg.inv(cov) + np.diag(sds**-2.0))
    assert_allclose(density, stats.multivariate_normal(mean, total).logpdf(values), rtol=1e-10)
    assert_allclose(normal[0], mean + gain @ (values - mean), rtol=1e-6)
    assert_allclose(normal[1], left, rtol=1e-6, atol=1e-9 * size**2)
    assert_allclose(variance_of_sum(normal, loadings), loadings @ left @ loadings, rtol=1e-6)
    after, cov_after = given_sum(normal, loadings, 0.4, variance)
    gain = left @ loadings / (loadings @ left @ loadings + variance)
    assert_allclose(after, normal[0] + gain * 0.4, rtol=1e-6)
    assert_allclose(cov_after, left - np.outer(gain, loadings @ left), rtol=1e-5, atol=1e-8 * size**2)
    root = np.stack([drawn_from(np, ([0.0] * k, normal[1]), z) for z in np.eye(k)], axis=1)
    assert_allclose(root @ root.T, left, rtol=1e-6, atol=1e-9 * size**2)


def _point(graph, seed=3):
    rng = np.random.default_rng(seed)
    return {
        name: np.asarray(v + 0.3 * rng.normal(size=np.shape(v))) for name, v in graph.initial_point().items()
    }


def _evaluated(graph, point, names):
    from pymc import compile as compile_graph

    inner = graph.replace_rvs_by_values([graph[name] for name in names])
    values = compile_graph(graph.value_vars, inner, mode="FAST_COMPILE", on_unused_input="ignore")(
        *[point[v.name] for v in graph.value_vars]
    )
    return dict(zip(names, values, strict=True))


def _joint_density(spec, at, one_density):
    """Density of measurements, true values and responses, from the draws' names."""
    total = 0.0
    for block in spec.latent_blocks:
        latent = spec.latent_variables(block)
        x = np.column_stack([at[v.name] for v in latent.values])
        mean, sd = (np.array([at[v.name] for v in own]) for own in (latent.means, latent.sds))
        cor = np.eye(len(mean)) if latent.cor is None else at[latent.cor.name]
        total += stats.multivariate_normal(mean, sd[:, None] * cor * sd).logpdf(x).sum()
        for own, values in zip(block.latents, x.T, strict=True):
            total += stats.norm(values, own.sds).logpdf(own.values).sum()
    return total + one_density(at)


MODELS = [
    ("y ~ me(x, s) + z", "gaussian", True),
    ("y | weights(one) ~ me(x, s) + z", "gaussian", False),
    ("y ~ me(x, s) * z + me(w, sw)", "gaussian", True),
    ("y | weights(one) ~ me(x, s) * z + me(w, sw)", "gaussian", False),
    ("y ~ me(x, s):me(w, sw)", "gaussian", False),
    ("k ~ me(x, s) + me(w, sw)", "poisson", False),
]


def _eta(spec, frame, at):
    b = dict(zip(spec.layout.main.coefficients, at["b"], strict=True))
    x, w = at.get("Xme_x"), at.get("Xme_w")
    columns = {"Intercept": 1.0, "z": frame["z"], "me(x)": x, "me(w)": w}
    columns |= {"me(x):z": None if x is None else x * frame["z"]}
    columns |= {"me(x):me(w)": None if w is None else x * w}
    return sum(value * np.asarray(columns[name]) for name, value in b.items())


@pytest.mark.parametrize(("formula", "family", "integrated"), MODELS)
def test_the_graph_is_the_joint_density_of_measurements_true_values_and_responses(
    formula, family, integrated
):
    """Standard normal numbers are drawn: so the graph's density is the joint one times the Jacobian of these."""
    model = hb.Model(formula, FRAME, family)
    spec, graph = model.spec, model.graph()
    assert spec.integrates_latents == integrated
    differences = []
    for seed in (3, 4, 5):
        point = _point(graph, seed)
        at = _evaluated(graph, point, [v.name for v in spec.variables])
        free = {name for name in graph.named_vars if name.endswith("_z")}
        shown = graph.compile_logp(
            vars=[
                v for v in [*graph.basic_RVs, *graph.potentials] if v.name in free or v in _observed(graph)
            ],
            mode="FAST_COMPILE",
        )(point)

        def density(at):
            eta = _eta(spec, FRAME, at)
            if family == "poisson":
                return stats.poisson(np.exp(eta)).logpmf(FRAME["k"]).sum()
            return stats.norm(eta, at["sigma"]).logpdf(FRAME["y"]).sum()

        jacobian = _log_jacobian(spec, at, integrated)
        differences.append(shown - _joint_density(spec, at, density) - jacobian)
    assert_allclose(differences, 0.0, atol=1e-6)


def _observed(graph):
    return [*graph.observed_RVs, *graph.potentials]


def _log_jacobian(spec, at, integrated):
    """Σ log |root| of the true values' distribution given all that was used, by dense matrices."""
    (block,) = spec.latent_blocks
    latent = spec.latent_variables(block)
    sd = np.array([at[v.name] for v in latent.sds])
    cor = np.eye(len(sd)) if latent.cor is None else at[latent.cor.name]
    precision = np.linalg.inv(sd[:, None] * cor * sd)
    total = 0.0
    b = dict(zip(spec.layout.main.coefficients, at["b"], strict=True))
    for i in range(len(FRAME)):
        own = precision + np.diag([one.sds[i] ** -2.0 for one in block.latents])
        if integrated:
            loadings = np.array(
                [b[f"me({c})"] + b.get(f"me({c}):z", 0.0) * FRAME["z"][i] for c in block.columns]
            )
            own = own + np.outer(loadings, loadings) / at["sigma"] ** 2
        total -= 0.5 * np.linalg.slogdet(own)[1]
    return total


def test_rows_of_a_level_share_their_true_value():
    frame = FRAME.assign(
        x=FRAME["g"].map(dict(zip("pqrstuvw", [1.0, 3, 4, 6, 2, 0, 5, 3], strict=True))), s=0.5
    )
    model = hb.Model("y ~ me(x, s, gr=g)", frame)
    spec = model.spec
    assert not spec.integrates_latents
    (block,) = spec.latent_blocks
    assert block.index.tolist() == list("pqrstuvw")
    assert spec.latent_variables(block).values[0].dims == ("me_g_level",)
    graph = model.graph()
    point = _point(graph)
    at = _evaluated(graph, point, [v.name for v in spec.variables])
    eta = at["b"][0] + at["b"][1] * at["Xme_x"][np.tile(np.arange(8), 5)]
    shown = graph.compile_logp(vars=graph.observed_RVs, mode="FAST_COMPILE")(point)
    assert_allclose(shown, stats.norm(eta, at["sigma"]).logpdf(frame["y"]).sum())


# -- priors and words -------------------------------------------------------------------------------------------


def test_default_priors_follow_the_measurements_and_a_user_states_others():
    priors = hb.Model("y ~ me(x, s)", FRAME).priors.set_index("class")["prior"]
    mean, sd = FRAME["x"].mean(), FRAME["x"].std(ddof=0)
    assert priors["meanme"] == f"Normal(mu={mean:.6g}, sigma={2.5 * sd:.6g})"
    assert priors["sdme"] == f"Exponential(lam={1 / sd:.6g})"
    stated = {
        "meanme[x]": "Normal(3, 1)",
        "sdme": "Gamma(2, 1)",
        "corme": "LKJ(2)",
        "b[me(x)]": "Normal(0, 1)",
    }
    model = hb.Model("y ~ me(x, s) + me(w, sw)", FRAME, priors=stated)
    table = model.priors
    assert table.loc[table["origin"] != "default", "class"].tolist() == [
        "b",
        "meanme",
        "sdme",
        "sdme",
        "corme",
    ]
    assert "(me(x), me(w))_i ~ MvNormal(meanme, D R D), D = diag(sdme), R = corme" in str(model)
    with pytest.raises(PriorError, match="whose support is real"):
        hb.Model("y ~ me(x, s)", FRAME, priors={"sdme": "Normal(0, 1)"})


def test_other_strategies_say_why_they_cannot():
    model = hb.Model("y ~ me(x, s)", FRAME)
    for strategy in ("collapsed", "whitened"):
        with pytest.raises(UnsupportedError, match=re.escape("the values of me(x) are drawn")):
            model.fit(strategy=strategy)
    assert "fit() will take strategy 'nuts'" in str(model)


# -- answers ----------------------------------------------------------------------------------------------------


def _from_the_prior(formula, family="gaussian", draws=400, frame=FRAME):
    """A fit whose draws are those of priors: of answers, all numbers are known."""
    import xarray as xr

    stated = {
        "Intercept": "Normal(1, 0.2)",
        "b": "Normal(0.3, 0.1)",
        "meanme": "Normal(2, 0.2)",
        "sdme": "Gamma(20, 10)",
    }
    stated |= {"sigma": "Gamma(20, 20)"} if family == "gaussian" else {}
    model = hb.Model(formula, frame, family, priors=stated)
    prior = model.prior_predictive(draws, seed=shifted(1))["prior"].to_dataset()
    tree = xr.DataTree.from_dict({"posterior": prior, "sample_stats": xr.Dataset()})
    return hb.Fit(model.spec, model.data, model.design, tree)


def test_training_rows_have_their_own_values_and_new_ones_those_of_their_measurements():
    fit = _from_the_prior("y ~ me(x, s) + z")
    draws = flatten(fit.spec, fit.posterior).values
    b, x = draws["b"], draws["Xme_x"]
    shown = fit.predict(kind="linear", output="draws").to_numpy()[0]
    assert_allclose(shown, b[:, :1] + b[:, 1:2] * x + b[:, 2:] * FRAME["z"].to_numpy(), rtol=1e-10)
    known = fit.predict({"x": [2.0], "z": [0.0]}, kind="linear", output="draws").to_numpy()[0, :, 0]
    assert_allclose(known, b[:, 0] + 2 * b[:, 1])
    rows = {"x": [5.0, 5.0], "s": [1.0, 0.0], "z": [0.0, 0.0]}
    drawn = fit.predict(rows, kind="linear", output="draws", seed=4).to_numpy()[0]
    assert_allclose(drawn[:, 1], b[:, 0] + 5 * b[:, 1])
    found = (drawn[:, 0] - b[:, 0]) / b[:, 1]
    precision = 1 + draws["sdme_x"] ** -2
    mean = (5 + draws["meanme_x"] * draws["sdme_x"] ** -2) / precision
    z = (found - mean) * np.sqrt(precision)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    middle = fit.predict(rows, kind="linear", new_levels="mean", output="draws").to_numpy()[0]
    assert_allclose(middle[:, 0], b[:, 0] + b[:, 1] * mean)


def test_what_is_changed_is_the_true_value_and_others_stay():
    fit = _from_the_prior("y ~ me(x, s) * z + me(w, sw)")
    b = flatten(fit.spec, fit.posterior).values["b"].mean(axis=0)
    at = dict(zip(fit.spec.layout.main.coefficients, b, strict=True))
    table = fit.avg_comparisons().set_index("term")["mean"]
    assert_allclose(table["w"], at["me(w)"], rtol=1e-9)
    assert_allclose(table["x"], at["me(x)"] + at["me(x):z"] * FRAME["z"].mean(), rtol=1e-9)
    slopes = fit.avg_slopes().set_index("term")["mean"]
    assert_allclose(slopes["x"], table["x"], rtol=1e-6)
    effects = fit.conditional_effects("x", kind="linear")
    rise = np.diff(effects["mean"]) / np.diff(effects["x"])
    assert_allclose(rise, at["me(x)"] + at["me(x):z"] * FRAME["z"].mean(), rtol=1e-6)
    one, other = {"x": [3.0], "s": [1.0], "w": [1.0], "sw": [0.4], "z": [0.0]}, {"z": [1.0]}
    both = fit.compare(one | other, one, kind="linear")
    assert (
        both["sd"].iloc[0] < 1.0
    )  # the two rows have one true value: x stays in the difference by me(x):z alone


def test_the_density_without_a_rows_own_value_is_the_integral_over_it():
    closed, summed = (
        _from_the_prior(formula, draws=50)
        for formula in ("y ~ me(x, s) + z", "y | weights(one) ~ me(x, s) + z")
    )
    found = []
    for fit in (closed, summed):
        values = np.empty((50, len(FRAME)))
        for places, piece in likelihood_chunks(fit.spec, flatten(closed.spec, closed.posterior), fit.design):
            values[:, places] = piece
        found.append(values)
    assert_allclose(found[0], found[1], atol=2e-4)
    draws = flatten(closed.spec, closed.posterior).values
    row, sd, s = FRAME.iloc[7], draws["sdme_x"], FRAME["s"][7]
    gain = sd**2 / (sd**2 + s**2)
    mean = draws["b"] @ [1.0, 0.0, row["z"]] + draws["b"][:, 1] * (
        draws["meanme_x"] + gain * (row["x"] - draws["meanme_x"])
    )
    variance = draws["sigma"] ** 2 + draws["b"][:, 1] ** 2 * gain * s**2
    assert_allclose(found[0][:, 7], stats.norm(mean, np.sqrt(variance)).logpdf(row["y"]), rtol=1e-9)


@pytest.mark.parametrize(
    ("formula", "family"), [("y ~ me(x, s) + z", "gaussian"), ("k ~ me(x, s) + (1 | g)", "poisson")]
)
def test_every_answer_is_given_or_refused_in_words(formula, family, tmp_path):
    fit = _from_the_prior(formula, family)
    assert np.isfinite(fit.loo().elpd)
    assert fit.residuals()["quantile"].between(0, 1).all()
    assert fit.posterior_predictive(10)["posterior_predictive"].sizes["__obs__"] == len(FRAME)
    assert fit.r2()["mean"].between(0, 1).all()
    assert {"meanme[x]", "sdme[x]"} <= set(fit.summary().index)
    assert not any("Xme" in name for name in fit.summary().index)
    table = fit.latent_values()
    assert table["column"].eq("x").all()
    assert table["row"].tolist() == list(range(len(FRAME)))
    fit.check()
    for method, arguments in (("prior_sensitivity", ()), ("edf", ()), ("logo", ("g",))):
        with pytest.raises(UnsupportedError, match=re.escape("the values of me(x) are drawn")):
            getattr(fit, method)(*arguments)
    with pytest.raises(UnsupportedError, match="refitting without some rows"):
        fit.loo(refit=True)
    with pytest.raises(UnsupportedError, match="make the errors of measurement"):
        fit.model.simulate({"Intercept": 1})
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    assert_allclose(again.predict()["mean"], fit.predict()["mean"])
    assert_allclose(again.latent_values()["mean"], table["mean"])


def test_a_fit_without_drawn_predictors_says_so(known_fit):
    fit = known_fit(hb.Model("y ~ x", FRAME), {"b": [1.0, 2.0], "sigma": 1.0})
    with pytest.raises(DataError, match="this model has no values that are drawn"):
        fit.latent_values()


def test_residuals_across_responses_and_one_value_for_two_responses_are_refused():
    with pytest.raises(UnsupportedError, match="one true value for both is not there yet"):
        hb.Model(["y ~ me(x, s)", "z ~ me(x, s)"], FRAME)
    with pytest.raises(UnsupportedError, match="about predictors that are known"):
        hb.Model(["y ~ me(x, s)", "z ~ 1"], FRAME, rescor=True)


def test_one_of_several_responses_has_it():
    model = hb.Model(["y ~ me(x, s)", "z ~ w"], FRAME)
    names = [variable.name for variable in model.spec.variables]
    assert {"meanme_y_x", "sdme_y_x", "Xme_y_x", "b_z"} <= set(names)
    assert model.prior_predictive(5)["prior"]["Xme_y_x"].shape == (1, 5, len(FRAME))
    assert np.isfinite(model.graph().compile_logp(mode="FAST_COMPILE")(model.graph().initial_point()))


# -- the posterior ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_posterior_is_that_of_a_dense_joint_normal_distribution():
    """Against importance sampling from the mode of the density of (x, y), in which true values never appear."""
    from scipy.optimize import minimize

    fit = hb.fit("y ~ me(x, s) + z", FRAME, draws=2000, chains=4, seed=1, progress=False)
    model, y, x, s, z = fit.spec, *(FRAME[name].to_numpy() for name in ("y", "x", "s", "z"))
    priors = {(p.kind, p.coefficient): p.prior for p in model.priors}
    inner = model.layout.main.map

    def density(t):
        b, mean, sd, sigma = t[:3], t[3], np.exp(t[4]), np.exp(t[5])
        total = sd**2 + s**2
        given = mean + sd**2 / total * (x - mean)
        variance = sigma**2 + b[1] ** 2 * sd**2 * s**2 / total
        found = stats.norm(mean, np.sqrt(total)).logpdf(x).sum()
        found += stats.norm(b[0] + b[1] * given + b[2] * z, np.sqrt(variance)).logpdf(y).sum()
        own = inner.to_inner(b)
        found += priors["Intercept", ""].logpdf(own[0]) + priors["b", "me(x)"].logpdf(own[1])
        found += priors["b", "z"].logpdf(own[2]) + priors["meanme", "x"].logpdf(np.array(mean))
        found += (
            priors["sdme", "x"].logpdf(np.array(sd))
            + t[4]
            + priors["sigma", ""].logpdf(np.array(sigma))
            + t[5]
        )
        return float(found)

    mode = minimize(lambda t: -density(t), np.array([1, 0.8, -1, 3, 0.7, -0.3]), method="BFGS")
    rng = np.random.default_rng(2)
    wide = stats.multivariate_t(mode.x, 1.3 * mode.hess_inv, df=7, seed=rng)
    points = wide.rvs(20_000)
    weights = np.exp((logs := np.array([density(t) for t in points]) - wide.logpdf(points)) - logs.max())
    weights /= weights.sum()
    points[:, 4:] = np.exp(points[:, 4:])
    mean = weights @ points
    sd = np.sqrt(weights @ (points - mean) ** 2)
    table = fit.summary().loc[["Intercept", "me(x)", "z", "meanme[x]", "sdme[x]", "sigma"]]
    error = np.hypot(table["mcse_mean"], sd / np.sqrt(1 / (weights**2).sum()))
    assert (np.abs(table["mean"] - mean) < 4 * error).all()
    assert_allclose(table["sd"], sd, rtol=0.08)
    assert table["ess_bulk"].min() > 1000
