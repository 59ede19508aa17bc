"""The collapsed strategy: what it takes, and that its posterior is the graph's."""

import warnings

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.engine import choose
from hierbayes.engine.collapsed import Collapsed
from tests.conftest import SLEEP
from tests.integrals import densities


def _frame(n=60, seed=3):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 5, n), rng.integers(0, 4, n)
    x, z = rng.normal(3.0, 1.0, n), rng.normal(size=n)
    y = 50 + 2 * x + rng.normal(size=5)[g] + rng.normal(size=4)[h] + rng.normal(size=n)
    return pd.DataFrame(
        {"y": y, "x": x, "z": z, "g": g, "h": h, "w": rng.integers(1, 4, n) / 2, "e": rng.uniform(1, 2, n)}
    )


def _model(formula, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        return hb.Model(formula, _frame(), **options)


@pytest.mark.parametrize(
    ("formula", "options", "reason"),
    [
        ("h ~ x + (1 | g)", {"family": "poisson"}, "poisson with link log"),
        ("y ~ x + (1 | g)", {"link": "log"}, "gaussian with link log"),
        ({"mu": "y ~ x + (1 | g)", "sigma": "~ x"}, {}, "sigma has a formula"),
        (
            "y ~ x + (1 | g)",
            {"priors": {"b": "StudentT(3, 0, 1)"}},
            "class b is StudentT, not one of Normal, Flat",
        ),
        ("y ~ x + (1 | g)", {"priors": {"Intercept": "Cauchy(0, 1)"}}, "class Intercept is Cauchy"),
    ],
)
def test_what_cannot_be_collapsed_says_why(formula, options, reason):
    model = _model(formula, **options)
    assert reason in Collapsed().supports(model.spec, model.design)
    plan = choose(model.spec, model.design)
    assert plan.strategy.name == "whitened"
    assert reason in plan.reason
    assert reason in repr(model)
    with pytest.raises(hb.UnsupportedError, match=r"use strategy='auto'"):
        model.fit(strategy="collapsed")


def test_of_large_crossed_factors_one_is_integrated_out():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=3000), "g": np.arange(3000) % 900, "h": np.arange(3000) % 700})
    said = repr(hb.Model("y ~ 1 + (1 | g) + (1 | h)", frame))
    assert "strategy 'collapsed': b and r[g] integrated out exactly" in said
    assert "whitened, r[h]" in said


def test_the_model_says_that_it_will_be_collapsed():
    assert "fit() will take strategy 'collapsed'" in repr(hb.Model(SLEEP, hb.load_dataset("sleepstudy")))


UNCORRELATED = [
    ("y ~ x", {}),
    ("y ~ x + (1 | g)", {}),
    ("y | weights(w) ~ x*z + offset(e) + (1 | g)", {}),
    ("y ~ x + (1 | g) + (0 + z | g) + (x || h)", {}),
    ("y ~ 0 + x + (1 | g/h)", {}),
    ("y ~ 1 + (z || g) + (1 | h)", {"sd[g]": "Gamma(2, 1)", "sd[h]": "HalfStudentT(3, 1)", "sigma": "LogNormal(0, 1)"}),
    ("y ~ x + (1 | g)", {"sd": "HalfNormal", "sigma": "HalfCauchy(2)", "b[x]": "Normal(1, 0.5)"}),
    ("y ~ x + (1 | g)", {"Intercept": "Normal(40, 3)", "b": "Normal(0, 3)"}),
    ("y ~ x + z + offset(e) + (1 | g)", {"b[x]": "Fixed(0.7)"}),
    ("y ~ x + z + (1 | g)", {"Intercept": "Fixed(2)", "b[z]": "Fixed(-1)"}),
    ("y ~ x + (1 | g) + (1 | h)", {"sd[g]": "InverseGamma(3, 1)", "sigma": "InverseGamma(2, 2)"}),
    ("y | weights(w) ~ x*z + I(x**2) + (1 | g)", {}),
    ("y ~ x*z + I(x**2) + (1 | g)", {"b[x:z]": "Normal(1, 0.5)", "b[z]": "Normal(0, 2)"}),
    ("y ~ x*z + (1 | g)", {"b[x]": "Fixed(1.5)", "b[x:z]": "Flat"}),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "priors"), UNCORRELATED)
def test_the_density_is_the_graphs_integral_over_all_coefficients(formula, priors):
    """The graph's log density is quadratic in b and z, so a few values give its integral over them exactly."""
    for found, integral in densities(_model(formula, priors=priors)):
        assert found == pytest.approx(integral, rel=1e-8)


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y | se(w) ~ x + (1 | g) + (1 | h)", "gaussian"),
        ("y | se(sqrt(e)) + weights(w) ~ x + offset(e) + (1 | g)", "gaussian"),
        ({"mu": "y ~ x + (1 | g)", "sigma": "~ 0 + offset(log(e))"}, "gaussian"),
        ("y ~ x + z + (1 | g)", "lognormal"),
        ("y | weights(w) ~ x + (z || g)", "lognormal"),
    ],
)
def test_so_is_that_of_known_standard_deviations_and_of_logarithms(formula, family):
    """But for a constant, which nobody needs."""
    (first, one), (second, two) = densities(_model(formula, family=family))
    assert second - first == pytest.approx(two - one, rel=1e-8, abs=1e-8)


def _assert_same_posterior(a, b):
    """Means and standard deviations of every variable within Monte Carlo error."""
    from arviz_stats.base import array_stats

    for variable in a.spec.variables:
        left, right = (fit.posterior[variable.name].to_numpy() for fit in (a, b))
        left, right = (draws.reshape(*draws.shape[:2], -1) for draws in (left, right))
        moving = left.std(axis=(0, 1)) > 1e-12
        for statistic in ("mean", "sd"):
            errors = [
                np.asarray(array_stats.mcse(draws[..., moving], method=statistic, chain_axis=0, draw_axis=1))
                for draws in (left, right)
            ]
            function = np.mean if statistic == "mean" else np.std
            gap = function(left, axis=(0, 1))[moving] - function(right, axis=(0, 1))[moving]
            z = gap / np.hypot(*errors)
            assert np.abs(z).max() < 4.5, (variable.name, statistic, z)


def test_the_posterior_is_that_of_nuts(sleep_fit):
    collapsed = hb.fit(SLEEP, hb.load_dataset("sleepstudy"), seed=5, draws=3000, progress=False)
    assert collapsed.tree.attrs["strategy"] == "collapsed"
    assert list(collapsed.posterior.data_vars) == list(sleep_fit.posterior.data_vars)
    for name in collapsed.posterior.data_vars:
        assert collapsed.posterior[name].dims == sleep_fit.posterior[name].dims
        assert collapsed.posterior[name].coords.equals(sleep_fit.posterior[name].coords)
    assert set(sleep_fit.tree["sample_stats"].data_vars) == set(collapsed.tree["sample_stats"].data_vars)
    _assert_same_posterior(collapsed, sleep_fit)


@pytest.mark.slow
def test_the_posterior_is_that_of_nuts_in_a_tangled_model():
    model = _model(
        "y | weights(w) ~ x*z + offset(e) + (x | g) + (0 + z | g) + (1 | h)",
        priors={"cor[g]": "LKJ(3)", "sd[h]": "HalfNormal", "b[z]": "Normal(0, 1)"},
    )
    collapsed = model.fit(seed=1, progress=False)
    nuts = model.fit(seed=1, tune=1500, strategy="nuts", target_accept=0.97, progress=False)
    _assert_same_posterior(collapsed, nuts)


def test_a_seed_repeats_the_draws():
    model = hb.Model(SLEEP, hb.load_dataset("sleepstudy"))
    one, two = (model.fit(seed=4, cores=cores, progress=False) for cores in (1, 2))
    other = model.fit(seed=5, progress=False)
    assert one.posterior.equals(two.posterior)
    assert not np.isin(other.posterior["sigma"], one.posterior["sigma"]).any()


def test_an_sd_at_zero_is_no_trouble():
    """The draws are sound, so fitting warns of nothing; the posterior's own shape is reported on request."""
    fit = hb.fit("Yield ~ 1 + (1 | Batch)", hb.load_dataset("dyestuff2"), seed=1, progress=False)
    assert [finding.code for finding in fit.check()] == ["sd-at-zero"]
    assert fit.posterior["sd_Batch"].quantile(0.05) < 0.2


def test_an_sd_that_may_be_zero_is_drawn_well():
    """In log sd, with its long tail, 1,300 of these 4,000 draws are effective."""
    fit = hb.fit("strength ~ 1 + (1 | batch/cask)", hb.load_dataset("pastes"), seed=1, progress=False)
    assert fit.posterior["sd_batch"].quantile(0.05) < 0.2
    assert fit.summary()["ess_bulk"].min() > 2000


def test_a_fit_needs_no_pymc():
    import subprocess
    import sys

    code = (
        "import sys, hierbayes as hb; "
        "fit = hb.fit('Reaction ~ Days + (Days | Subject)', hb.load_dataset('sleepstudy'), progress=False); "
        "fit.summary(); fit.predict({'Days': [1], 'Subject': ['new']}); "
        "print([name for name in ('pymc', 'pytensor') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_new_subject_varies_as_the_formula_says():
    fit = hb.fit(SLEEP, hb.load_dataset("sleepstudy"), seed=2, draws=5000, progress=False)
    days = np.array([0.0, 4.0, 9.0])
    rows = {"Days": np.tile(days, 2), "Subject": ["one"] * 3 + ["two"] * 3}
    drawn = fit.predict(rows, output="draws", seed=1).to_numpy().reshape(-1, 2, 3)
    posterior = fit.posterior
    b = posterior["b"].to_numpy().reshape(-1, 2)
    sd0, sd1 = posterior["sd_Subject"].to_numpy().reshape(-1, 2).T
    rho = posterior["cor_Subject"].to_numpy().reshape(-1, 2, 2)[:, 0, 1]
    mean = b[:, [0]] + b[:, [1]] * days
    group = sd0[:, None] ** 2 + 2 * np.outer(rho * sd0 * sd1, days) + np.outer(sd1**2, days**2)
    expected = np.sqrt(mean.var(axis=0) + group.mean(axis=0))
    # 20,000 draws of a variable with kurtosis near 4: a relative Monte Carlo error of 0.6 % in the sd
    np.testing.assert_allclose(drawn.std(axis=0), np.stack([expected] * 2), rtol=0.025)
    standard = (drawn - mean[:, None]) / np.sqrt(group)[:, None]
    between = np.corrcoef(standard[:, 0, 2], standard[:, 1, 2])[0, 1]
    assert abs(between) < 4 / np.sqrt(len(standard)), (
        "two new subjects are independent given the hyperparameters"
    )
    slope = (sd0**2 + np.outer(rho * sd0 * sd1, [9.0]).ravel()) / np.sqrt(group[:, 0] * group[:, 2])
    shared = np.mean(standard[:, 0, 0] * standard[:, 0, 2])
    assert shared == pytest.approx(slope.mean(), abs=0.04), "rows of one new subject share its effects"


def test_the_rating_study_is_collapsed():
    said = repr(hb.Model("y ~ service + (1 | s) + (1 | d) + (1 | dept)", hb.load_dataset("insteval")))
    assert "strategy 'collapsed': b and r[s] integrated out exactly" in said
    assert "whitened, r[d], r[dept]" in said


def test_crossed_factors_are_drawn_on_the_users_scale():
    """Posterior means recover what 300 crossed with 150 levels and shifted slopes were made from."""
    rng = np.random.default_rng(5)
    n, sizes = 6000, (300, 150)
    g, h = (rng.integers(0, size, n) for size in sizes)
    x = rng.normal(10.0, 2.0, n)
    r_g = np.column_stack([rng.normal(size=300), 0.3 * rng.normal(size=300)])
    r_h = 0.6 * rng.normal(size=150)
    y = 5 + 0.5 * x + r_g[g, 0] + r_g[g, 1] * x + r_h[h] + rng.normal(size=n)
    frame = pd.DataFrame({"y": y, "x": x, "g": g, "h": h})
    model = hb.Model("y ~ x + (x | g) + (1 | h)", frame)
    assert "whitened, r[h]" in repr(model)
    fit = model.fit(draws=1000, chains=2, seed=1, progress=False)
    assert fit.check() == ()
    truth = {"sd_g": [1.0, 0.3], "sd_h": [0.6], "sigma": 1.0}
    for name, value in truth.items():
        draws = fit.posterior[name]
        z = (draws.mean(("chain", "draw")) - value) / draws.std(("chain", "draw"))
        assert np.abs(z).max() < 4
    for name, effects in {"r_g": r_g, "r_h": r_h[:, None]}.items():
        draws = fit.posterior[name]
        z = (effects - draws.mean(("chain", "draw")).to_numpy()) / draws.std(("chain", "draw")).to_numpy()
        assert z.std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.slow
def test_the_posterior_of_crossed_factors_is_that_of_nuts():
    data = hb.load_dataset("insteval").sample(frac=0.1, random_state=1)
    model = hb.Model("y ~ service + (1 | s) + (1 | d) + (1 | dept)", data)
    collapsed = model.fit(seed=1, draws=2000, progress=False)
    assert collapsed.tree.attrs["strategy"] == "collapsed"
    nuts = model.fit(seed=2, draws=1000, tune=1500, strategy="nuts", progress=False)
    _assert_same_posterior(collapsed, nuts)
