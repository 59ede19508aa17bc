"""Several responses with group effects that are correlated across them."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.engine.core.hyperparameters import LAM, VALUE
from hierbayes.engine.several import to_stacked
from hierbayes.engine.whitening.kernel import B, R, forward
from hierbayes.engine.whitening.laplace import evaluator, laplace_start
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_graph import FRAME

PRIORS = {"Intercept": "Normal(0, 3)", "b": "Normal(0, 2)", "sd": "HalfNormal(2)", "cor[g, p]": "LKJ(1.5)"}


def simulated(groups: int = 60, rows: int = 15, cor: float = 0.8, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    effects = rng.multivariate_normal([0, 0], [[1.0, 0.5 * cor], [0.5 * cor, 0.25]], groups)
    g = np.repeat(np.arange(groups), rows)
    x = rng.normal(size=len(g))
    frame = pd.DataFrame({"x": x, "g": g})
    frame["weight"] = 1 + 0.5 * x + effects[g, 0] + 0.7 * rng.normal(size=len(g))
    frame["count"] = rng.poisson(np.exp(0.5 - 0.3 * x + effects[g, 1])).astype(float)
    frame.loc[rng.choice(len(g), len(g) // 5, replace=False), "count"] = np.nan
    frame.loc[g == 1, "weight"] = np.nan  # one group without any row of this response
    return frame


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return simulated()


def log_density(frame, families, values) -> float:
    """The joint density of a Gaussian and another response by hand, the effects' as one dense normal."""
    total = 0.0
    for number, (response, family) in enumerate(families.items()):
        rows = frame[frame[response].notna()]
        b = values["b"][number]
        eta = b[0] + b[1] * (rows["x"] - rows["x"].mean()) + values["r"][rows["g"], number]
        y, sigma = rows[response].to_numpy(), values["sigma"].get(response)
        if family == "gaussian":
            total += stats.norm.logpdf(y, eta, sigma).sum() + stats.expon.logpdf(sigma)
        else:
            total += stats.poisson.logpmf(y, np.exp(eta)).sum()
        total += stats.norm.logpdf(b[0], 0, 3) + stats.norm.logpdf(b[1], 0, 2)
    sd, rho = values["sd"], values["rho"]
    total += stats.halfnorm.logpdf(sd, scale=2).sum()
    total += 0.5 * np.log1p(-(rho**2)) - 2 * np.log(2) - special.betaln(1.5, 1.5)  # LKJ(1.5) of two
    levels = len(values["r"])
    covariance = np.kron(np.eye(levels), np.outer(sd, sd) * np.array([[1, rho], [rho, 1]]))
    return total + stats.multivariate_normal.logpdf(values["r"].ravel(), np.zeros(2 * levels), covariance)


@pytest.mark.parametrize("other", ["gaussian", "poisson"])
def test_density_is_a_dense_normals(other):
    frame = simulated(groups=4, rows=6)
    families = {"weight": "gaussian", "count": other}
    priors = {**PRIORS, "weight.sigma": "Exponential(1)"}
    if other == "gaussian":
        priors["count.sigma"] = "Exponential(1)"
    with pytest.warns(hb.DataWarning):
        model = hb.Model("mvbind(weight, count) ~ x + (1 |p| g)", frame, ["gaussian", other], priors)
    designs = {name: own.design for name, own in model.models.items()}
    packed = laplace_start(to_stacked(model.spec, designs)).packed
    memory, evaluate = packed.memory(), evaluator(packed)

    def values(position):
        forward(position, packed.model, packed.mapping, memory)
        lam = memory.lams[LAM, 0]
        covariance = np.tril(lam) @ np.tril(lam).T
        sd = np.sqrt(np.diagonal(covariance))
        sigma = dict(zip([n for n, f in families.items() if f == "gaussian"], memory.own[VALUE], strict=True))
        return {
            "b": memory.coefs[B].reshape(2, 2).copy(), "r": memory.effects[R].reshape(-1, 2).copy(), "sd": sd,
            "rho": covariance[0, 1] / sd.prod(), "sigma": sigma,
        }  # fmt: skip

    def flat(position):
        v = values(position)
        return np.concatenate(
            [v["b"].ravel(), v["r"].ravel(), v["sd"], [v["rho"]], list(v["sigma"].values())]
        )

    def derivative(function, position, step=1e-3):
        found = []
        for unit in np.eye(position.size):
            near, far = (
                function(position + k * step * unit) - function(position - k * step * unit) for k in (1, 2)
            )
            found.append((8 * near - far) / (12 * step))
        return np.array(found)

    rng = np.random.default_rng(1)
    for _ in range(2):
        position = 0.3 * rng.normal(size=packed.dim)
        density, gradient = evaluate(position)
        gradient = gradient.copy()
        jacobian = np.linalg.slogdet(derivative(flat, position)).logabsdet
        assert_allclose(density, log_density(frame, families, values(position)) + jacobian, rtol=1e-8)
        differences = derivative(lambda at: evaluate(at)[0], position)
        assert_allclose(gradient, differences, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("formulas", "families", "priors"),
    [
        (
            ["real ~ x + (x |p| g) + (1 | h)", "count ~ w + (1 |p| g)"],
            ["gaussian", "poisson"],
            {"cor[g, p]": "LKJ(1.5)", "real.sd[g, x]": "HalfNormal(1)", "count.b[w]": "Fixed(0.2)"},
        ),
        (
            {"mu": "mvbind(real, positive) ~ x + (1 |p| g)", "sigma": "~ w + (1 |p| g)"},
            ["gaussian", "lognormal"],
            {"cor": "Fixed(0.3)"},
        ),
        (
            ["c ~ x + (1 |p| g) + s(w, k=4)", "binary | weights(k) ~ (x |p| g)"],
            ["cumulative", "bernoulli"],
            {},
        ),
    ],
    ids=["counts", "scales", "categories"],
)
def test_density_is_the_graphs(formulas, families, priors):
    frame = FRAME.assign(c=pd.Categorical(FRAME["c"], ["lo", "mid", "hi"], ordered=True))
    assert_kernel_is_the_graph(hb.Model(formulas, frame, families, priors))


@pytest.fixture(scope="module")
def fit(data):
    with pytest.warns(hb.DataWarning):
        model = hb.Model(["weight ~ x + (1 |p| g)", "count ~ x + (1 |p| g)"], data, ["gaussian", "poisson"])
    return model.fit(seed=1, progress=False)


@pytest.mark.slow
def test_nuts_has_the_same_posterior(fit):
    with warnings.catch_warnings():  # its few effective draws are judged by their Monte Carlo errors
        warnings.simplefilter("ignore", hb.SamplingWarning)
        nuts = fit.model.fit(seed=2, progress=False, strategy="nuts", parameterization="centered")
    assert nuts.tree.attrs["strategy"] == "nuts"
    assert list(nuts.posterior.data_vars) == list(fit.posterior.data_vars)
    found, expected = nuts.summary(), fit.summary()
    assert found.index.equals(expected.index)
    error = np.hypot(found["mcse_mean"], expected["mcse_mean"])
    assert (np.abs(found["mean"] - expected["mean"]) / error).max() < 4
    assert_allclose(found["sd"], expected["sd"], rtol=0.12)


def test_findings_name_the_response_or_the_correlation_across(fit, data):
    assert not [finding for finding in fit.check() if not finding.question]
    tree = fit.tree.copy(deep=True)
    apart = np.linspace(0, 0.1, tree["posterior"].sizes["chain"])[:, None]
    tree["posterior/cor_g_p"] = tree["posterior/cor_g_p"] * (1 - apart[..., None, None])
    tree["posterior/sigma_weight"] = tree["posterior/sigma_weight"] + apart
    tree["sample_stats/diverging"] = xr.zeros_like(tree["sample_stats/diverging"]) + (np.arange(1000) == 7)
    findings = type(fit)(fit.model, tree).check()
    texts = [finding.found for finding in findings]
    assert [finding.code for finding in findings].count("divergences") == 1
    assert any("for cor[g, weight_Intercept, count_Intercept]" in text for text in texts)
    assert any(re.match(r"weight: the chains disagree: .* for sigma", text) for text in texts)
    assert not any(text.startswith("count: the chains") for text in texts)


def test_recovery(fit):
    found = fit.summary()
    truth = {
        "weight.Intercept": 1, "weight.x": 0.5, "weight.sd[g, Intercept]": 1, "weight.sigma": 0.7,
        "count.Intercept": 0.5, "count.x": -0.3, "count.sd[g, Intercept]": 0.5,
        "cor[g, weight_Intercept, count_Intercept]": 0.8,
    }  # fmt: skip
    assert set(found.index) == set(truth)
    off = [(found.loc[name, "mean"] - value) / found.loc[name, "sd"] for name, value in truth.items()]
    assert np.abs(off).max() < 3
    assert found["ess_bulk"].min() > 400


def test_names_of_variables(fit):
    assert set(fit.posterior.data_vars) == {
        "b_weight", "sd_weight_g", "r_weight_g", "sigma_weight", "b_count", "sd_count_g", "r_count_g", "cor_g_p",
    }  # fmt: skip
    assert fit.posterior["cor_g_p"].dims == ("chain", "draw", "g_p_effect", "g_p_effect2")
    assert list(fit.posterior["g_p_effect"].values) == ["weight_Intercept", "count_Intercept"]
    assert fit.posterior["r_weight_g"].dims == ("chain", "draw", "g", "weight_g_effect")


def test_a_group_without_rows_learns_from_the_other_response(fit):
    """Its effect follows the other's by the regression of correlated normal effects."""
    post = fit.posterior
    r, other = (post[f"r_{name}_g"].sel(g=1).to_numpy().ravel() for name in ("weight", "count"))
    slope = post["cor_g_p"].to_numpy()[..., 0, 1].ravel() * post["sd_weight_g"].to_numpy().ravel()
    expected = slope / post["sd_count_g"].to_numpy().ravel() * other
    error = r.std() / np.sqrt(len(r) / 4)
    assert abs(r.mean() - expected.mean()) < 4 * error


def test_answers_of_one_response(fit, data):
    own = fit.response("count")
    assert isinstance(own, hb.Fit)
    assert_allclose(own.posterior["b"], fit.posterior["b_count"])
    pd.testing.assert_frame_equal(fit.predict(response="count"), own.predict())
    new = fit.predict({"x": [0.0], "g": [0]}, response="weight")
    assert new.shape[0] == 1
    assert fit.loo(response="count").n_data_points == data["count"].notna().sum()
    assert set(fit.ranef()["response"]) == set(fit.fixef()["response"]) == {"weight", "count"}
    assert len(fit.coef()) == 2 * data["g"].nunique()
    row = fit.varcorr().iloc[-1]
    assert (row["effect"], row["effect2"]) == ("weight_Intercept", "count_Intercept")
    assert "2 responses" in repr(fit)
    assert "Correlated across formulas by g" in repr(fit.model)


def test_saved_and_loaded(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    pd.testing.assert_frame_equal(again.priors, fit.priors)
    pd.testing.assert_frame_equal(
        again.predict(response="weight"), fit.predict(response="weight"), check_index_type=False
    )


def test_priors_name_their_response(data):
    with pytest.warns(hb.DataWarning):
        model = hb.Model(
            "mvbind(weight, count) ~ x + (x |p| g)", data,
            priors={"weight.b[x]": "Normal(0, 1)", "cor[g, p]": "LKJ(2)"},
        )  # fmt: skip
    table = model.priors.set_index(["response", "class", "coefficient"])["prior"]
    assert table["weight", "b", "x"] == "Normal(mu=0, sigma=1)"
    assert table["count", "b", "x"] != "Normal(mu=0, sigma=1)"
    assert table["", "cor", "p"] == "LKJ(eta=2)"
    assert (
        table["weight", "cor", ""] == "LKJ(eta=3)"
    )  # its margin: half a unit for each of the two other effects


def test_responses_without_an_id_are_as_by_themselves(data):
    frame = data.dropna()
    both = hb.fit(
        ["weight ~ x + (1 | g)", "count ~ x"], frame, ["gaussian", "poisson"], seed=2, progress=False
    )
    alone = hb.fit("weight ~ x + (1 | g)", frame, seed=3, progress=False)
    found, expected = both.response("weight").summary(), alone.summary()
    error = np.hypot(found["mcse_mean"], expected["mcse_mean"])
    assert (np.abs(found["mean"] - expected["mean"]) / error).max() < 4.5
    assert_allclose(found["sd"], expected["sd"], rtol=0.12)


def test_means_of_two_outcomes_are_nearly_remls():
    """nlme 3.1-162: lme(y ~ 0 + which + which:iqc, random = ~ 0 + which | school, weights = varIdent(~ 1 | which))."""
    bdf = hb.load_dataset("bdf")
    fit = hb.fit("mvbind(language, arithmetic) ~ center(iq) + (1 |p| school)", bdf, seed=1, progress=False)
    reml = {
        "language.Intercept": 40.5327, "language.center(iq)": 2.4481, "language.sd[school, Intercept]": 3.1039,
        "language.sigma": 6.4948, "arithmetic.Intercept": 19.0610, "arithmetic.center(iq)": 1.4928,
        "arithmetic.sd[school, Intercept]": 2.8588, "arithmetic.sigma": 6.4948 * 0.7558813,
    }  # fmt: skip
    found = fit.summary()
    for name, value in reml.items():
        assert abs(found.loc[name, "mean"] - value) < 0.25 * found.loc[name, "sd"], name
    cor = found.loc["cor[school, language_Intercept, arithmetic_Intercept]"]
    assert (
        cor["lower"] < 0.977 < 1
    )  # the REML estimate lies near the bound, to which a posterior mean keeps a distance
    assert cor["mean"] > 0.9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: hb.Model(["x ~ 1", "x ~ 1"], d), "response of two formulas"),
        (
            lambda d: hb.Model(["weight ~ x", "count ~ x"], d, ["gaussian"] * 3),
            "family names 3 for 2 responses",
        ),
        (
            lambda d: hb.Model(["weight ~ x", "count ~ x"], d, {"weight": "gaussian", "y": "poisson"}),
            "family has 'weight', 'y' for the responses 'weight', 'count'",
        ),
        (lambda d: hb.Model("weight ~ x", d, ["gaussian", "poisson"]), "one response has one family"),
        (lambda d: hb.Model("weight ~ x", d, rescor=True), "this model has one"),
        (lambda d: hb.Model("mvbind(weight, count) ~ x", d).fit(strategy="collapsed"), "whitened, nuts"),
        (lambda d: hb.Model("mvbind(weight, count) ~ x", d).response("z"), "there are weight, count"),
        (
            lambda d: hb.Model("mvbind(weight, count) ~ x", d, priors={"z.b": "Normal(0, 1)"}),
            "matches nothing",
        ),
    ],
)
def test_refusals(call, words, data):
    with pytest.raises(hb.HierBayesError, match=words):
        call(data.dropna())


def test_families_may_be_named_by_their_responses(data):
    families = {"count": "poisson", "weight": "student"}
    model = hb.Model(["weight ~ x", "count ~ x"], data.dropna(), families)
    assert [model.response(name).spec.family.name for name in ("weight", "count")] == ["student", "poisson"]


@pytest.mark.parametrize("address", ["cor", "cor[g]", "cor[g, p]"])
def test_a_class_of_priors_is_about_whoever_has_it(address, data):
    formulas, families = ["weight ~ x + (1 |p| g)", "count ~ x + (1 |p| g)"], ["gaussian", "poisson"]
    priors = {address: "LKJ(3)", "sigma": "Exponential(2)"}
    table = hb.Model(formulas, data.dropna(), families, priors=priors).priors.set_index("class")["prior"]
    assert str(table["cor"]) == "LKJ(eta=3)"
    assert str(table["sigma"]) == "Exponential(lam=2)"


def test_a_prior_of_an_id_that_is_not_there_is_refused(data):
    with pytest.raises(hb.PriorError, match="matches nothing of any response"):
        hb.Model(["weight ~ (1 |p| g)", "count ~ (1 |p| g)"], data.dropna(), priors={"cor[g, q]": "LKJ(2)"})


def test_methods_ask_for_a_response(fit):
    with pytest.raises(TypeError, match="response='weight'"):
        fit.residuals()
    with pytest.raises(hb.UnsupportedError, match="response='weight'"):
        fit.logo("g")


@pytest.mark.filterwarnings(
    "ignore::hierbayes.errors.DataWarning", "ignore::hierbayes.errors.SamplingWarning"
)
def test_rows_are_left_out_with_all_their_responses(fit, data):
    own = {
        name: fit.response(name).log_likelihood()["log_likelihood"][name].stack(s=("chain", "draw"))
        for name in fit.responses
    }
    together = fit.log_likelihood()["log_likelihood"]["responses"].stack(s=("chain", "draw"))
    labels = together["__obs__"].to_numpy()
    assert set(labels) == set(data.index[data[["weight", "count"]].notna().any(axis=1)])
    for label in (labels[0], labels[7], labels[-1]):
        expected = sum(
            one.sel(__obs__=label).to_numpy() for one in own.values() if label in one["__obs__"].to_numpy()
        )
        assert_allclose(together.sel(__obs__=label), expected)
    found = fit.loo()
    assert_allclose(found.elpd, found.table["elpd"].sum())
    apart = hb.Model(["weight ~ x + (1 | g)", "count ~ x + (1 | g)"], data, ["gaussian", "poisson"])
    other = apart.fit(draws=200, chains=2, seed=2, progress=False)
    table = hb.compare_models(together=fit, apart=other)
    assert set(table.index) == {"together", "apart"}


def test_new_groups_have_effects_on_all_responses_together(fit):
    """A new group's two effects have the correlation of the draw; those of two groups have none."""
    rows = {"x": [0.0] * 3, "g": [1001, 1002, 1001]}
    drawn = fit.predict(rows, kind="linear", output="draws", seed=4)
    posterior = fit.posterior
    z = {
        name: (values.to_numpy() - posterior[f"b_{name}"].to_numpy()[..., :1]).reshape(-1, 3)
        / posterior[f"sd_{name}_g"].to_numpy().reshape(-1, 1)
        for name, values in drawn.items()
    }
    cor = posterior["cor_g_p"].to_numpy()[..., 0, 1].mean()
    size = len(z["weight"])
    assert abs(np.mean(z["weight"][:, 0] * z["count"][:, 0]) - cor) < 4 * np.sqrt((1 + cor**2) / size)
    assert abs(np.corrcoef(z["weight"][:, 0], z["count"][:, 1])[0, 1]) < 4 / np.sqrt(size)
    assert_allclose(z["weight"][:, 0], z["weight"][:, 2])
    assert all(abs(values.std() - 1) < 0.05 for values in z.values())


def test_predictions_of_all_responses(fit):
    rows = {"x": [0.0, 1.0], "g": [0, 1001]}
    table = fit.predict(rows, seed=2)
    assert table.index.names == ["response", None]
    for name in fit.responses:
        pd.testing.assert_frame_equal(table.loc[name], fit.predict(rows, seed=2, response=name))
    pd.testing.assert_frame_equal(
        table.loc["weight"].iloc[:1], fit.response("weight").predict(rows, seed=2).iloc[:1]
    )


def test_simulated_responses_are_correlated_through_the_effects_alone(data):
    """Without an ID nothing is shared: neither the effects of a new group nor the residuals."""
    two = hb.Model("mvbind(weight, other) ~ x + (1 | g)", data.assign(other=data["weight"]).dropna())
    fit = two.fit(seed=1, draws=500, progress=False)
    rows = {"x": np.zeros(2), "g": [0, 1001]}
    for kind in ("response", "linear"):
        drawn = fit.predict(rows, kind=kind, output="draws", seed=3)
        a, b = (drawn[name].to_numpy().reshape(-1, 2)[:, -1] for name in ("weight", "other"))
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(a)), kind
    tree = fit.posterior_predictive(draws=200)
    a, b = (tree[f"posterior_predictive_{name}"][name].to_numpy() for name in ("weight", "other"))
    within = (a - a.mean(axis=(0, 1))).ravel(), (b - b.mean(axis=(0, 1))).ravel()
    assert abs(np.corrcoef(*within)[0, 1]) < 0.05


def test_tables_of_categories_and_numbers(data):
    frame = data.dropna().assign(
        grade=lambda d: pd.cut(d["weight"], 3, labels=["low", "middle", "high"]).cat.as_ordered()
    )
    model = hb.Model(["grade ~ x + (1 |p| g)", "count ~ x + (1 |p| g)"], frame, ["cumulative", "poisson"])
    fit = model.fit(seed=1, progress=False)
    table = fit.predict({"x": [0.0], "g": [1001]})
    assert table.index.names == ["response", None, "category"]
    assert table.loc["grade"].index.get_level_values("category").tolist() == ["low", "middle", "high"]
    assert table.loc["count"].index.get_level_values("category").tolist() == [""]


# -- priors ----------------------------------------------------------------------------------------------


def test_prior_draws_have_the_prior(data):
    with pytest.warns(hb.DataWarning):
        model = hb.Model("mvbind(weight, count) ~ x + (x |p| g)", data, priors={"cor[g, p]": "LKJ(2)"})
    tree = model.prior_predictive(draws=4000, seed=2)
    assert set(tree["prior"].data_vars) == {variable.name for variable in model.spec.variables}
    cor = tree["prior/cor_g_p"].to_numpy()[0]
    assert_allclose(cor[:, 0, 2].var(), 1 / (2 * 2 + 4 - 1), rtol=0.1)  # Beta(η + (q - 2)/2) on (-1, 1)
    assert_allclose(cor[:, 0, 1], tree["prior/cor_weight_g"].to_numpy()[0][:, 0, 1])
    z = [
        tree[f"prior/r_{name}_g"].to_numpy()[0, :, :, 0] / tree[f"prior/sd_{name}_g"].to_numpy()[0, :, :1]
        for name in ("weight", "count")
    ]
    strong = cor[:, 0, 2] > 0.7
    products = (z[0] * z[1])[strong]
    error = products.std() / np.sqrt(products.size)
    assert_allclose(products.mean(), cor[strong, 0, 2].mean(), atol=4.5 * error)
    for name, own in model.models.items():
        assert tree[f"prior_predictive_{name}"][name].shape == (1, 4000, len(own.design))
    mean = tree["prior/b_weight"].to_numpy()[0] @ model.models["weight"].design.main.x.T
    assert mean.shape == (4000, len(model.models["weight"].design))


def test_prior_summaries_are_those_of_each_response(data):
    model = hb.Model(
        ["weight ~ x + (1 |p| g)", "count ~ x + (1 |p| g)"], data.dropna(), ["gaussian", "poisson"],
        priors={"sd": "HalfNormal(0.5)", "b": "Normal(0, 0.5)"},
    )  # fmt: skip
    both = model.prior_summary(draws=4000, seed=1)
    alone = model.response("weight").prior_summary(draws=4000, seed=2)
    assert_allclose(both.responses["weight"].effects["50%"], alone.effects["50%"], rtol=0.1)
    assert_allclose(both.responses["weight"].responses["50%"], alone.responses["50%"], rtol=0.1, atol=0.1)
    assert "── count " in repr(both)
    simulated = model.simulate_prior(draws=500, seed=1)
    assert simulated["weight"].responses.shape == (500, len(data.dropna()))


def test_prior_predictions_of_new_groups(data):
    """Where nothing else varies, responses of a new group are correlated as its effects are."""
    known = {"Intercept": 0, "b": 0, "sd": 1, "sigma": 0.001, "cor[g, p]": 0.9}
    model = hb.Model(
        "mvbind(weight, count) ~ x + (1 |p| g)",
        data.dropna(),
        priors={name: f"Fixed({value})" for name, value in known.items()},
    )
    tree = model.prior_predictive(draws=4000, seed=1, rows={"x": [0.0], "g": [1001]})
    assert "observed_data_weight" not in tree
    y = [tree[f"prior_predictive_{name}"][name].to_numpy().ravel() for name in ("weight", "count")]
    assert_allclose(np.corrcoef(*y)[0, 1], 0.9, atol=4 * (1 - 0.9**2) / np.sqrt(4000))


def test_leaving_out_knows_that_other_responses_say_something(fit, tmp_path):
    own = fit.response("count")
    assert set(own.loo().table["method"]) == {"psis"}  # no effects are integrated with their own rows alone
    for refused in (
        lambda: own.logo("g"),
        own.prior_sensitivity,
        lambda: own.refit({"b": "Normal(0, 1)"}),
        lambda: own.save(tmp_path / "part.nc"),
    ):
        with pytest.raises(hb.UnsupportedError, match="responses"):
            refused()


def test_every_method_of_a_fit_is_there_for_a_response(fit):
    """But those that speak of all responses at once."""
    together = [name for name in dir(hb.Fit) if callable(getattr(hb.Fit, name)) and not name.startswith("_")]
    assert all(callable(getattr(fit, name)) for name in together if name != "refit")
    table = fit.residual_tests(response="weight")
    pd.testing.assert_frame_equal(table, fit.response("weight").residual_tests())
    assert fit.check(thorough=True) is not None
