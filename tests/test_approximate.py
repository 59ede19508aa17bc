"""Approximations: near the posterior, exact ratios of densities beside them, and nowhere taken for the posterior."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import hierbayes as hb
from hierbayes.answers.summary import summary_draws
from hierbayes.engine.core.approximation import draw_normal, nearest_mean
from hierbayes.engine.gaussian.route import Route
from hierbayes.engine.whitened import Whitened as Strategy
from hierbayes.engine.whitened import posterior_arrays
from hierbayes.engine.whitening.sample import expand
from tests.seeds import shifted
from tests.test_graph import compile_quickly
from tests.whitening.points import Whitened

CBPP = "incidence | trials(size) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def model():
    return hb.Model(CBPP, hb.load_dataset("cbpp"), family="binomial")


@pytest.fixture(scope="module")
def glance(model):
    return model.approximate(seed=1)


def quietly(model, **options):
    """Few draws have a low limit of k."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.SamplingWarning)
        return model.approximate(**options)


def weights(fit):
    return np.exp(fit.tree["sample_stats"]["log_weight"].to_numpy().ravel())


# -- the numbers --------------------------------------------------------------------------------------------------


def test_it_is_near_the_posterior_and_its_weights_lead_there(model):
    """In units of posterior standard deviations, over six of them: how near one comes by itself is luck."""
    exact = model.fit(draws=8000, seed=2, progress=False)
    expected, dims = summary_draws(model.spec, exact.posterior), ("chain", "draw")
    raw, weighted = [], []
    for seed in range(1, 7):
        glance = quietly(model, seed=seed, draws=4000)
        found, weight = summary_draws(model.spec, glance.posterior), weights(glance)
        raw.append([(found[name].mean() - draws.mean()) / draws.std() for name, draws in expected.items()])
        weighted.append([(weight @ found[name].ravel() - d.mean()) / d.std() for name, d in expected.items()])
        for name, draws in expected.items():
            assert 0.8 < found[name].std() / draws.std() < 1.2, name
        r, r_exact = (fit.posterior["r_herd"] for fit in (glance, exact))
        assert abs((r.mean(dims) - r_exact.mean(dims)) / r_exact.std(dims)).max() < 0.2
    off, left = (np.sqrt(np.mean(np.square(distances), axis=0)) for distances in (raw, weighted))
    assert off.max() < 0.2
    assert left.max() < 0.08
    assert np.linalg.norm(left) < 0.6 * np.linalg.norm(off)


def test_a_gaussian_model_against_its_exact_posterior():
    """Balanced one-way data: the covariance has three eigenvalues, so a grid over both sds has everything."""
    model = hb.Model("Yield ~ 1 + (1 | Batch)", hb.load_dataset("dyestuff2"))
    mean, sd = (dict(model.spec.prior("Intercept").args)[name] for name in ("mu", "sigma"))
    rates = [
        dict(prior.args)["lam"]
        for prior in (
            model.spec.prior("sd", coefficient="Intercept", group="Batch"),
            model.spec.prior("sigma", parameter="sigma"),
        )
    ]
    y = model.data["Yield"].to_numpy().reshape(6, 5)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum()
    between = 5 * ((y.mean(axis=1) - y.mean()) ** 2).sum()
    steps = np.linspace(-9, 4, 1301), np.linspace(-1, 4, 501)
    tau, sigma = (np.exp(values) for values in np.meshgrid(*steps, indexing="ij"))
    of_level = sigma**2 + 5 * tau**2
    log_density = (
        -12 * np.log(2 * np.pi * sigma**2) - within / (2 * sigma**2)
        - 2.5 * np.log(2 * np.pi * of_level) - between / (2 * of_level)
        + stats.norm.logpdf(np.sqrt(30) * y.mean(), np.sqrt(30) * mean, np.sqrt(of_level + 30 * sd**2))
        + np.log(rates[0]) - rates[0] * tau + np.log(rates[1]) - rates[1] * sigma
        + np.log(tau * sigma) + np.log(0.01 * 0.01)
    )  # fmt: skip
    evidence = logsumexp(log_density)
    exact = np.exp(log_density - evidence)

    fit = model.approximate(draws=20_000, seed=1)
    weight = weights(fit)
    # the ratios' mean over part of the plane is that part of the evidence: far from sd = 0, where few draws are
    ratio = np.exp(fit.tree["sample_stats"]["log_ratio"].to_numpy().ravel() - evidence)
    part = np.where(fit.posterior["sd_Batch"].to_numpy().ravel() > 0.2, ratio, 0.0)
    error = part.std() / np.sqrt(part.size)
    assert abs(part.mean() - exact[tau > 0.2].sum()) < 4 * error < 0.03
    for name, values in {"sd_Batch": tau, "sigma": sigma}.items():
        draws = fit.posterior[name].to_numpy().ravel()
        centre = (exact * values).sum()
        width = np.sqrt((exact * (values - centre) ** 2).sum())
        error = np.sqrt((weight**2 * (draws - centre) ** 2).sum())
        assert abs(weight @ draws - centre) < 4 * error < 0.15 * width
        assert abs(draws.mean() - centre) < 0.25 * width
    moved = fit.posterior["sd_Batch"].to_numpy().ravel()
    assert abs(weight @ moved - (exact * tau).sum()) < 0.5 * abs(moved.mean() - (exact * tau).sum())


def test_sampled_effects_lead_to_the_same_evidence(monkeypatch):
    """Integrated out or approximated with theta: the mean ratio of densities is p(y) either way."""
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"g": np.repeat(np.arange(30), 8), "h": np.tile(np.arange(16), 15)})
    data["y"] = rng.normal(size=30)[data["g"]] + rng.normal(size=16)[data["h"]] + rng.normal(size=240)
    model = hb.Model("y ~ 1 + (1 | g) + (1 | h)", data.astype({"g": str, "h": str}))
    evidence, means = [], []
    for route in (Route(0, (), 17, 0.0), Route(0, (1,), 1, 0.0)):
        monkeypatch.setattr("hierbayes.engine.collapsed.route_for", lambda spec, design, route=route: route)
        fit = model.approximate(seed=1)
        evidence.append(logsumexp(fit.tree["sample_stats"]["log_ratio"]) - np.log(4000))
        means.append(weights(fit) @ fit.posterior["r_h"].to_numpy()[0, :, :, 0])
    assert evidence[0] == pytest.approx(evidence[1], abs=0.05)
    np.testing.assert_allclose(*means, atol=0.08)


def test_the_ratio_is_the_graphs_density_over_the_gaussian():
    data = pd.DataFrame({"y": [0, 3, 1, 2, 5, 2], "x": [0.0, 1, 2, 0, 1, 2], "g": list("aabbcc")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        model = hb.Model("y ~ x + (1 | g)", data, family="poisson")
    fit = quietly(model, draws=50, seed=3)
    whitened = Whitened(model)
    positions, _ = draw_normal(
        SimpleNamespace(evaluator=lambda: whitened.evaluate), whitened.start.position, 50, shifted(3), 1
    )
    arrays = posterior_arrays(model.spec, expand(whitened.problem, whitened.packed, positions, {}))
    np.testing.assert_array_equal(arrays["b"], fit.posterior["b"])  # these are the draws' coordinates
    mean = nearest_mean(whitened.evaluate, whitened.start.position)
    graph = model.graph()
    logp = compile_quickly(graph, graph.logp())
    for place, position in enumerate(positions[0, :6]):
        density = float(logp(**whitened.point(position))) + whitened.log_jacobian(position)
        gaussian = stats.multivariate_normal(mean).logpdf(position)
        found = float(fit.tree["sample_stats"]["log_ratio"][0, place])
        assert found == pytest.approx(density - gaussian, abs=1e-7)


def test_the_mean_is_the_nearest_one_and_not_the_mode():
    """Of exp(x - exp(x)) the mode is 0; E[1 - exp(x)] = 0 under N(m, 1) at m = -1/2."""

    def evaluate(x):
        return float((x - np.exp(x)).sum()), 1 - np.exp(x)

    mean = nearest_mean(evaluate, np.zeros(400))
    assert mean.mean() == pytest.approx(-0.5, abs=0.03)
    assert mean.std() < 0.2


def test_a_gaussian_density_leaves_nothing_to_weigh():
    centre = np.array([0.3, -0.2, 0.9])

    def evaluate(x):
        return stats.multivariate_normal(centre).logpdf(x) + 7.0, centre - x

    positions, ratio = draw_normal(SimpleNamespace(evaluator=lambda: evaluate), np.zeros(3), 2000, 1, 1)
    np.testing.assert_allclose(ratio, 7.0, atol=0.1)  # its mean is found to 0.02
    assert np.abs(positions[0].mean(axis=0) - centre).max() < 4 / np.sqrt(2000)


# -- how far to trust it ------------------------------------------------------------------------------------------


def test_pareto_k_is_large_where_the_posterior_is_skewed():
    """Degrees of freedom and scale of a t distribution: neither is nearly normal, on any scale."""
    sleep = hb.load_dataset("sleepstudy")
    model = hb.Model("Reaction ~ Days + (Days | Subject)", sleep, family="student")
    with pytest.warns(hb.SamplingWarning, match=r"\[approximate\].*may be off"):
        fit = model.approximate(seed=1)
    assert fit.pareto_k > 0.8
    (finding,) = (f for f in fit.check() if f.code == "approximate")
    assert f"Pareto k {fit.pareto_k:.2f} (trusted below 0.70)" in finding.found


def test_a_mode_that_was_not_found_is_told(monkeypatch, model):
    monkeypatch.setattr("hierbayes.engine.whitening.laplace.ROUNDS", 1)
    monkeypatch.setattr("hierbayes.engine.whitening.laplace.STEPS", 0)
    with pytest.warns(hb.SamplingWarning, match="where the posterior has its mode was not found"):
        fit = model.approximate(draws=400)
    assert np.isfinite(fit.posterior["b"]).all()


# -- what it is called --------------------------------------------------------------------------------------------


def test_it_follows_the_schema(model, glance):
    assert list(glance.posterior.data_vars) == [variable.name for variable in model.spec.variables]
    assert (glance.posterior.sizes["chain"], glance.posterior.sizes["draw"]) == (1, 4000)
    assert glance.predict(kind="response").shape == (56, 4)
    assert len(glance.ranef()) == 15
    assert (glance.varcorr()["sd"] > 0).all()


def test_it_says_everywhere_that_it_is_an_approximation(model, glance, tmp_path):
    words = f"a Gaussian approximation to the posterior, Pareto k {glance.pareto_k:.2f} (trusted below 0.70)"
    glance.save(tmp_path / "glance.nc")
    for fit in (glance, hb.load(tmp_path / "glance.nc")):
        assert f"4000 draws of {words}" in repr(fit)
        assert f"4000 draws of {words}" in fit._repr_html_()
        table = fit.summary()
        assert table.attrs["approximation"] == words
        assert table.columns.tolist() == ["mean", "sd", "lower", "upper"]
        assert fit.tree.attrs["approximation"] == "Gaussian"
        assert fit.pareto_k == glance.pareto_k
        assert [finding.code for finding in fit.check()] == ["approximate"]
    assert "approximation" in glance.posterior_predictive(draws=10).attrs
    drawn = model.fit(draws=400, chains=1, progress=False)
    assert drawn.pareto_k is None
    assert "approximation" not in repr(drawn)


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("loo", lambda fit: fit.loo()),
        ("loo", lambda fit: hb.compare_models(fit, fit)),
        ("logo", lambda fit: fit.logo("herd")),
        ("prior_sensitivity", lambda fit: fit.prior_sensitivity()),
        ("check", lambda fit: fit.check(thorough=True)),
    ],
)
def test_what_reweights_a_posterior_refuses_it(glance, what, call):
    with pytest.raises(
        hb.UnsupportedError, match=rf"{what}\(.*these are of a Gaussian approximation.*fit\(\)"
    ):
        call(glance)


def test_refitting_approximates_again(glance):
    both = glance.refit({"sd": "HalfNormal(0.1)"})
    assert both.after.pareto_k is not None
    assert both.after.posterior.sizes["draw"] == 4000
    assert both.table().loc["sd[herd, Intercept]", "shift"] < -1
    with pytest.raises(
        TypeError, match=r"an approximation approximates again.*draws, seed, progress; got 'chains'"
    ):
        glance.refit(None, chains=4)


# -- asking for it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", [CBPP, "incidence ~ period + (1 | herd)"])
def test_a_seed_repeats_the_draws(formula, monkeypatch):
    family = "binomial" if "trials" in formula else "gaussian"
    model = hb.Model(formula, hb.load_dataset("cbpp"), family=family)
    one, other = (quietly(model, draws=200, seed=seed).tree for seed in (4, 5))
    monkeypatch.setattr("hierbayes.engine.settings.Settings.threads", 3)
    again = quietly(model, draws=200, seed=4).tree
    for group in ("posterior", "sample_stats"):
        assert again[group].to_dataset().equals(one[group].to_dataset())
    assert not np.isin(other["posterior"]["b"], one["posterior"]["b"]).any()


def test_rows_that_stay_in_a_file(tmp_path):
    sleep, formula = hb.load_dataset("sleepstudy"), "Reaction ~ Days + (Days | Subject)"
    sleep.to_parquet(tmp_path / "sleep.parquet")
    streamed = hb.Model(formula, str(tmp_path / "sleep.parquet")).approximate(seed=1)
    here = hb.Model(formula, sleep).approximate(seed=1)
    np.testing.assert_allclose(streamed.summary(), here.summary(), rtol=1e-6)


def test_a_model_that_only_nuts_draws(monkeypatch):
    monkeypatch.setattr(Strategy, "supports", lambda self, spec, design: "it has no such family")
    model = hb.Model(CBPP, hb.load_dataset("cbpp"), family="binomial")
    with pytest.raises(
        hb.UnsupportedError, match=r"no approximation of this model.*has no such family.*fit\(\) draws"
    ):
        model.approximate()


def test_where_all_is_fixed_the_approximation_is_exact():
    priors = {"sd": "Fixed(30)", "sigma": "Fixed(25)"}
    model = hb.Model("Reaction ~ Days + (1 | Subject)", hb.load_dataset("sleepstudy"), priors=priors)
    fit = model.approximate(seed=1)
    assert fit.pareto_k == -np.inf
    assert np.ptp(weights(fit)) == 0


def test_too_few_draws_and_no_response(model):
    with pytest.raises(ValueError, match="draws must be a whole number, 30 or more; got 29"):
        model.approximate(draws=29)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        model.approximate(seed=-1)
    with pytest.raises(hb.DataError, match=r"approximate\(\) needs the response 'y'"):
        hb.Model("y ~ 1 + (1 | g)", hb.design_grid(g=6, row=3), family="poisson").approximate()
