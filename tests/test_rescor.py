"""Gaussian and Student responses whose residuals are correlated."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import hierbayes as hb
from hierbayes.engine.several import rows_of
from hierbayes.families.correlated import NORMAL, T, partial_priors, roots
from hierbayes.priors import Prior
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_graph import FRAME


@pytest.mark.parametrize("correlated", [NORMAL, T], ids=["normal", "t"])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_rows_are_those_of_a_dense_distribution(size, correlated):
    rng, rows = np.random.default_rng(size), rows_of(correlated)
    t = rng.normal(size=(2 * size, 6))
    t = np.vstack([t, rng.uniform(0.1, 0.9, size=(size * (size - 1) // 2, 6))])
    root = roots(t[2 * size :].T)
    sigma = np.exp(t[1 : 2 * size : 2].T)
    if correlated is T:
        t = np.vstack([t, np.log([0.3, 1.0, 2.5, 8.0, 90.0, 1e7])])
    found = rows.evaluate(np.zeros(6), None, t)
    covariance = sigma[:, :, None] * (root @ np.swapaxes(root, 1, 2)) * sigma[:, None, :]
    for i in range(6):
        y, mean = -t[0 : 2 * size : 2, i], np.zeros(size)
        if correlated is T:
            nu = np.exp(t[-1, i])
            expected = stats.multivariate_t.logpdf(y, mean, covariance[i], nu) + 0.5 * size * np.log(np.pi)
        else:
            expected = stats.multivariate_normal.logpdf(y, mean, covariance[i]) + 0.5 * size * np.log(
                2 * np.pi
            )
        assert_allclose(
            found[0, i], expected, rtol=1e-7 if i == 5 else 1e-10
        )  # scipy's at nu = 1e7 has few digits
    for c in range(len(t)):
        near, far = (
            rows.evaluate(np.zeros(6), None, t + k * 1e-3 * np.eye(len(t))[c][:, None])[0]
            - rows.evaluate(np.zeros(6), None, t - k * 1e-3 * np.eye(len(t))[c][:, None])[0]
            for k in (1, 2)
        )
        assert_allclose(found[1 + c], (8 * near - far) / 0.012, rtol=1e-6, atol=1e-8)


def test_partial_correlations_have_the_lkj_distribution():
    """Drawn one by one they make correlations as LKJ draws are: each (r + 1) / 2 is Beta(η + (K − 2) / 2)."""
    rng = np.random.default_rng(1)
    priors = partial_priors(Prior("LKJ", eta=1.5), 4)
    root = roots(np.column_stack([prior.sample(rng, (20_000,)) for prior in priors]))
    cor = root @ np.swapaxes(root, 1, 2)
    for i, j in zip(*np.tril_indices(4, -1), strict=True):
        assert stats.kstest((cor[:, i, j] + 1) / 2, stats.beta(2.5, 2.5).cdf).pvalue > 1e-4
    known = roots(np.array([dict(p.args)["value"] for p in partial_priors(Prior("Fixed", value=0.4), 3)]))
    assert_allclose(known @ known.T, np.full((3, 3), 0.4) + 0.6 * np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("formulas", "priors"),
    [
        ("mvbind(real, positive) ~ x + (1 |p| g)", {"rescor": "LKJ(2)", "cor[g, p]": "LKJ(1.5)"}),
        (["real ~ x", {"mu": "share ~ w + (1 | g)", "sigma": "~ x"}, "positive ~ 1"], {}),
        ("mvbind(real, positive) ~ x", {"rescor": "Fixed(0.4)"}),
        ("mvbind(real, positive) ~ mo(k)", {}),
    ],
    ids=["tied", "three", "known", "steps"],
)
@pytest.mark.parametrize("family", ["gaussian", "student"])
def test_density_is_the_graphs(formulas, priors, family):
    assert_kernel_is_the_graph(hb.Model(formulas, FRAME, family, priors=priors, rescor=True))


def simulated(rows: int = 600, seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=rows), np.arange(rows) % 40
    effects = rng.multivariate_normal([0, 0], [[0.36, 0.15], [0.15, 0.25]], 40)[g]
    noise = rng.multivariate_normal([0, 0], [[1, -0.9], [-0.9, 2.25]], rows)
    frame = pd.DataFrame({"x": x, "g": g})
    frame["a"] = 1 + 0.5 * x + effects[:, 0] + noise[:, 0]
    frame["b"] = -1 + effects[:, 1] + noise[:, 1]
    return frame


@pytest.fixture(scope="module")
def fit():
    frame = simulated()
    frame.loc[3, "b"] = np.nan
    frame.loc[5, "x"] = np.nan
    with pytest.warns(hb.DataWarning, match="2 of 600"):
        model = hb.Model(["a ~ x + (1 |p| g)", "b ~ 1 + (1 |p| g)"], frame, rescor=True)
    return model.fit(seed=1, progress=False)


def test_recovery(fit):
    found = fit.summary()
    truth = {
        "a.Intercept": 1, "a.x": 0.5, "a.sd[g, Intercept]": 0.6, "a.sigma": 1, "b.Intercept": -1,
        "b.sd[g, Intercept]": 0.5, "b.sigma": 1.5, "cor[g, a_Intercept, b_Intercept]": 0.5, "rescor[a, b]": -0.6,
    }  # fmt: skip
    assert set(found.index) == set(truth)
    off = [(found.loc[name, "mean"] - value) / found.loc[name, "sd"] for name, value in truth.items()]
    assert np.abs(off).max() < 3
    assert found["ess_bulk"].min() > 400
    assert {name: len(own.design) for name, own in fit.model.models.items()} == {"a": 598, "b": 598}


def test_estimates_are_those_of_seemingly_unrelated_regressions():
    """Without groups and with one design the means are least squares, and the residuals' correlation is theirs."""
    frame = simulated(rows=2000)
    fit = hb.fit("mvbind(a, b) ~ x", frame, rescor=True, seed=2, progress=False)
    X = np.column_stack([np.ones(len(frame)), frame["x"]])
    b, *_ = np.linalg.lstsq(X, frame[["a", "b"]].to_numpy(), rcond=None)
    cor = np.corrcoef((frame[["a", "b"]].to_numpy() - X @ b).T)[0, 1]
    found = fit.summary()
    for column, name in enumerate("ab"):
        assert_allclose(found.loc[[f"{name}.Intercept", f"{name}.x"], "mean"], b[:, column], atol=0.005)
    assert_allclose(found.loc["rescor[a, b]", "mean"], cor, atol=0.003)
    assert_allclose(found.loc["rescor[a, b]", "sd"], (1 - cor**2) / np.sqrt(len(frame)), rtol=0.1)


def test_means_of_two_outcomes_are_nearly_remls():
    """nlme 3.1-162: lme(y ~ 0 + which + which:iqc, random = ~ 0 + which | school, weights = varIdent(~ 1 | which),
    correlation = corSymm(~ 1 | school/pupil)).
    """
    bdf = hb.load_dataset("bdf")
    formula = "mvbind(language, arithmetic) ~ center(iq) + (1 |p| school)"
    fit = hb.fit(formula, bdf, rescor=True, seed=1, progress=False)
    reml = {
        "language.Intercept": 40.5784, "language.center(iq)": 2.4697, "language.sd[school, Intercept]": 3.0746,
        "language.sigma": 6.5017, "arithmetic.Intercept": 19.0875, "arithmetic.center(iq)": 1.5030,
        "arithmetic.sd[school, Intercept]": 2.8043, "arithmetic.sigma": 6.5017 * 0.7556998,
        "cor[school, language_Intercept, arithmetic_Intercept]": 0.884, "rescor[language, arithmetic]": 0.4741,
    }  # fmt: skip
    found = fit.summary()
    assert set(found.index) == set(reml)
    for name, value in reml.items():
        assert abs(found.loc[name, "mean"] - value) < 0.35 * found.loc[name, "sd"], name


def test_simulated_responses_have_the_correlation(fit):
    cor = fit.posterior["rescor"].to_numpy()[..., 0, 1].mean()
    tree = fit.posterior_predictive(draws=400, seed=1)
    linear = fit.predict(kind="linear", output="draws")
    rows = {"x": [0.0, 0.0], "g": [0, 1001]}
    responses = fit.predict(rows, kind="response", output="draws", seed=2)
    means = fit.predict(rows, kind="linear", output="draws", seed=2)
    z = [(responses[name] - means[name]).to_numpy().reshape(-1, 2) for name in "ab"]
    for place in (0, 1):
        assert abs(np.corrcoef(z[0][:, place], z[1][:, place])[0, 1] - cor) < 4 * (1 - cor**2) / np.sqrt(4000)
    assert abs(np.corrcoef(z[0][:, 0], z[1][:, 1])[0, 1]) < 4 / np.sqrt(4000)
    assert_allclose(z[0].std(), fit.summary().loc["a.sigma", "mean"], rtol=0.05)
    kept = np.isin(linear["a"]["draw"], tree["posterior_predictive_a"]["draw"])
    noise = [
        tree[f"posterior_predictive_{name}"][name].to_numpy() - linear[name].to_numpy()[:, kept]
        for name in "ab"
    ]
    assert_allclose(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1], cor, atol=0.01)


def test_prior_simulations_have_the_correlation(fit):
    known = {"Intercept": 0, "b": 0, "sd": 0.001, "sigma": 1, "rescor": 0.7}
    model = hb.Model(
        "mvbind(a, b) ~ x + (1 | g)", simulated(), rescor=True,
        priors={name: f"Fixed({value})" for name, value in known.items()},
    )  # fmt: skip
    tree = model.prior_predictive(draws=50, seed=1)
    assert_allclose(tree["prior/rescor"].to_numpy()[..., 0, 1], 0.7)
    y = [tree[f"prior_predictive_{name}"][name].to_numpy().ravel() for name in "ab"]
    assert_allclose(np.corrcoef(*y)[0, 1], 0.7, atol=0.02)
    drawn = fit.model.prior_predictive(draws=4000, seed=1)["prior/rescor"].to_numpy()[0, :, 0, 1]
    assert stats.kstest(drawn, stats.uniform(-1, 2).cdf).pvalue > 1e-4


def test_it_is_named_and_kept(fit, tmp_path):
    assert fit.posterior["rescor"].dims == ("chain", "draw", "rescor_response", "rescor_response2")
    assert "Residuals correlated across a, b\n  rescor ~ LKJ(eta=1)" in repr(fit.model)
    table = fit.priors.set_index("class")
    assert table.loc["rescor", "prior"] == "LKJ(eta=1)"
    row = fit.varcorr().iloc[-1]
    assert (row["group"], row["effect"], row["effect2"]) == ("residual", "a", "b")
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    pd.testing.assert_frame_equal(again.priors, fit.priors)


@pytest.mark.parametrize("name", ["loo", "logo", "log_likelihood", "prior_sensitivity"])
def test_what_needs_each_rows_likelihood_is_refused(fit, name):
    arguments = ("g",) if name == "logo" else ()
    with pytest.raises(hb.UnsupportedError, match="correlated with those of b"):
        getattr(fit.response("a"), name)(*arguments)


@pytest.mark.parametrize(
    ("formulas", "families", "options", "words"),
    [
        ("mvbind(a, n) ~ x", ["gaussian", "poisson"], {}, "'n' is poisson"),
        (["a ~ x", "b | weights(n) ~ x"], "gaussian", {}, "those of 'b' state weights"),
        (["a ~ x", "b | cens(c) ~ x"], "gaussian", {}, "those of 'b' state"),
        ("mvbind(a, b) ~ x", "gaussian", {"link": "log"}, "with link log"),
    ],
)
def test_refusals(formulas, families, options, words):
    frame = simulated().assign(n=1, c=np.arange(600) % 2)
    with pytest.raises(hb.UnsupportedError, match=words):
        hb.Model(formulas, frame, families, rescor=True, **options)


def test_a_prior_of_rescor_needs_it():
    with pytest.raises(hb.PriorError, match="matches nothing"):
        hb.Model("mvbind(a, b) ~ x", simulated(), priors={"rescor": "LKJ(2)"})


def test_rows_are_left_out_with_both_responses(fit):
    found = fit.log_likelihood()["log_likelihood"]["responses"]
    rows = fit.response("a").design.index
    for draw in (0, 17):
        one = {name: array.to_numpy()[0, draw] for name, array in fit.posterior.data_vars.items()}
        codes = {name: fit.response(name).design.main.factors["g"].codes for name in "ab"}
        mean = np.column_stack(
            [
                one["b_a"] @ [np.ones(len(rows)), fit.model.models["a"].data["x"]]
                + one["r_a_g"][codes["a"], 0],
                one["b_b"][0] + one["r_b_g"][codes["b"], 0],
            ]
        )
        sds = np.array([one["sigma_a"], one["sigma_b"]])
        y = np.column_stack([fit.response(name).design.y for name in "ab"])
        expected = stats.multivariate_normal.logpdf(y - mean, cov=sds[:, None] * one["rescor"] * sds)
        assert_allclose(found.to_numpy()[0, draw], expected)
    assert fit.loo().pareto_k.max() < 0.7


# -- Student's t ---------------------------------------------------------------------------------------------------


def with_outliers(rows: int = 800, seed: int = 6) -> pd.DataFrame:
    """Residuals of a bivariate t of 4 degrees of freedom, scales 1 and 1.5, correlation 0.7."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    noise = stats.multivariate_t([0, 0], [[1, 1.05], [1.05, 2.25]], 4).rvs(rows, random_state=seed)
    return pd.DataFrame({"x": x, "a": 1 + 0.5 * x + noise[:, 0], "b": -1 + noise[:, 1]})


@pytest.fixture(scope="module")
def heavy():
    return hb.fit(["a ~ x", "b ~ 1"], with_outliers(), "student", rescor=True, seed=1, progress=False)


def test_recovery_of_t(heavy):
    found = heavy.summary()
    truth = {
        "a.Intercept": 1,
        "a.x": 0.5,
        "a.sigma": 1,
        "nu": 4,
        "b.Intercept": -1,
        "b.sigma": 1.5,
        "rescor[a, b]": 0.7,
    }
    assert list(found.index) == list(truth)
    off = [(found.loc[name, "mean"] - value) / found.loc[name, "sd"] for name, value in truth.items()]
    assert np.abs(off).max() < 3.5
    assert found["ess_bulk"].min() > 1000
    assert "nu" in heavy.posterior
    priors = heavy.priors
    assert priors.loc[priors["parameter"] == "nu", "response"].tolist() == [""]


def test_of_t_one_normal_distribution_says_less_of_the_slopes(heavy):
    normal = hb.fit(["a ~ x", "b ~ 1"], with_outliers(), rescor=True, seed=1, progress=False)
    assert heavy.summary().loc["a.x", "sd"] < 0.95 * normal.summary().loc["a.x", "sd"]
    assert heavy.loo().elpd > normal.loo().elpd + 50


def test_simulated_responses_of_t_are_stretched_together(heavy):
    rows = {"x": np.zeros(3)}
    drawn = heavy.predict(rows, kind="response", output="draws", seed=2)
    means = heavy.predict(rows, kind="linear", output="draws", seed=2)
    own = heavy.posterior
    z = np.stack(
        [((drawn[n] - means[n]) / own[f"sigma_{n}"]).to_numpy().reshape(-1, 3) for n in "ab"], axis=-1
    )
    cor, nu = own["rescor"].to_numpy().reshape(-1, 2, 2), own["nu"].to_numpy().ravel()
    square = np.einsum("sni,sij,snj->sn", z, np.linalg.inv(cor), z)
    for place in range(3):  # |L⁻¹ z|² / 2 has Fisher's distribution of 2 and nu degrees of freedom
        assert stats.kstest(stats.f.cdf(square[:, place] / 2, 2, nu), "uniform").pvalue > 1e-4


def test_likelihood_of_t_is_the_dense_one(heavy, tmp_path):
    found = heavy.log_likelihood()["log_likelihood"]["responses"]
    one = {name: array.to_numpy()[1, 5] for name, array in heavy.posterior.data_vars.items()}
    data = heavy.model.models["a"].data
    mean = np.column_stack([one["b_a"][0] + one["b_a"][1] * data["x"], np.full(len(data), one["b_b"][0])])
    sds = np.array([one["sigma_a"], one["sigma_b"]])
    y = np.column_stack([heavy.response(name).design.y for name in "ab"])
    expected = stats.multivariate_t.logpdf(y - mean, shape=sds[:, None] * one["rescor"] * sds, df=one["nu"])
    assert_allclose(found.to_numpy()[1, 5], expected)
    heavy.save(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").summary(), heavy.summary())


@pytest.mark.slow
def test_draws_of_t_are_nuts(heavy):
    """The graph's posterior, within Monte Carlo error."""
    model = hb.Model(["a ~ x", "b ~ 1"], with_outliers(), "student", rescor=True)
    one, two = heavy.summary(), model.fit(strategy="nuts", seed=3, progress=False).summary()
    error = np.hypot(one["sd"] / np.sqrt(one["ess_bulk"]), two["sd"] / np.sqrt(two["ess_bulk"]))
    assert (np.abs(one["mean"] - two["mean"]) / error).max() < 4
    assert_allclose(one["sd"], two["sd"], rtol=0.15)


def test_prior_simulations_of_t():
    known = {"Intercept": 0, "sigma": 1, "rescor": 0.5, "nu": 3}
    priors = {name: f"Fixed({value})" for name, value in known.items()}
    model = hb.Model("mvbind(a, b) ~ 1", with_outliers(), "student", rescor=True, priors=priors)
    tree = model.prior_predictive(draws=30, seed=1)
    y = np.stack([tree[f"prior_predictive_{name}"][name].to_numpy().ravel() for name in "ab"], axis=-1)
    square = np.einsum("ni,ij,nj->n", y, np.linalg.inv([[1, 0.5], [0.5, 1]]), y)
    assert stats.kstest(square / 2, stats.f(2, 3).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("formulas", "family", "priors", "error", "words"),
    [
        (
            "mvbind(a, b) ~ x",
            ["gaussian", "student"],
            None,
            hb.UnsupportedError,
            "'a' is gaussian, 'b' student",
        ),
        (
            ["a ~ x", {"mu": "b ~ x", "nu": "~ x"}],
            "student",
            None,
            hb.UnsupportedError,
            "that of 'b' has a formula",
        ),
        ("mvbind(a, b) ~ x", "student", {"b.nu": "Gamma(4, 1)"}, hb.PriorError, "one nu for all responses"),
    ],
)
def test_refusals_of_t(formulas, family, priors, error, words):
    with pytest.raises(error, match=words):
        hb.Model(formulas, with_outliers(), family, priors=priors, rescor=True)
