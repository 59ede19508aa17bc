"""Fixed sds, correlations and coefficients: constants in the graph, in simulations and in the posterior."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import hierbayes as hb
from hierbayes.errors import PriorError
from tests.test_collapsed import _assert_same_posterior

RNG = np.random.default_rng(4)
FRAME = pd.DataFrame(
    {"g": np.repeat(list("abcdef"), 5), "x": np.tile(np.arange(5.0), 6), "y": RNG.normal(size=30)}
)
ALL = {"Intercept": "Normal(1, 2)", "b": "Normal(0, 3)", "sd[g, Intercept]": "Fixed(2)", "sd[g, x]": "Fixed(0.5)",
       "cor": "Fixed(-0.4)", "sigma": "Fixed(1.5)"}  # fmt: skip
COVARIANCE = np.array([[4, -0.4], [-0.4, 0.25]])


def test_the_graphs_density_is_that_of_the_model_with_constants():
    """Free are intercept, slope and the standard normals behind r; everything else is a number."""
    model = hb.Model("y ~ x + (x | g)", FRAME, priors=ALL)
    graph = model.graph()
    assert {variable.name for variable in graph.free_RVs} == {"b_intercept", "b_slopes", "r_g_z"}
    logp = graph.compile_logp(mode="FAST_COMPILE")
    centred = FRAME["x"].to_numpy() - 2
    root = np.linalg.cholesky(COVARIANCE)  # of effects at 0 of x, where they are stated
    for seed in range(3):
        rng = np.random.default_rng(seed)
        intercept, slope, z = rng.normal(), rng.normal(size=1), rng.normal(size=(6, 2))
        r = (z @ root.T)[np.repeat(np.arange(6), 5)]
        mean = intercept + slope * centred + r[:, 0] + r[:, 1] * FRAME["x"]
        expected = st.norm(1, 2).logpdf(intercept) + st.norm(0, 3).logpdf(slope).sum()
        expected += st.norm.logpdf(z).sum() + st.norm(mean, 1.5).logpdf(FRAME["y"]).sum()
        found = logp({"b_intercept": intercept, "b_slopes": slope, "r_g_z": z})
        assert float(found) == pytest.approx(expected, rel=1e-10)


def test_simulated_effects_have_the_fixed_covariance():
    model = hb.Model("y ~ x + (x | g)", FRAME, priors=ALL)
    prior = model.simulate_prior(5000, seed=2).prior.values
    draws = prior["r_g"].reshape(-1, 2)
    error = np.abs(np.cov(draws.T) - COVARIANCE)
    assert (error < 5 * np.sqrt(2 / len(draws)) * np.sqrt(np.outer([4, 0.25], [4, 0.25]))).all()
    assert np.ptp(prior["sigma"]) == 0
    assert prior["sd_g"][0, 1] == 0.5


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("collapsed", {}),
        ("whitened", {}),
        pytest.param("nuts", {"parameterization": "centered"}, marks=pytest.mark.slow),
    ],
)
def test_the_posterior_given_fixed_sds_is_the_closed_form(strategy, options):
    """y ~ N(b, 1.5² I + 2² blocks): the posterior of b is normal, its moments from dense matrices."""
    priors = {"Intercept": "Normal(1, 2)", "sd": "Fixed(2)", "sigma": "Fixed(1.5)"}
    model = hb.Model("y ~ 1 + (1 | g)", FRAME, priors=priors)
    assert "strategy 'collapsed'" in repr(model)
    fit = model.fit(draws=1000, chains=2, seed=3, progress=False, strategy=strategy, **options)
    same = FRAME["g"].to_numpy()[:, None] == FRAME["g"].to_numpy()
    precision = np.linalg.inv(1.5**2 * np.eye(30) + 4.0 * same)
    variance = 1 / (precision.sum() + 1 / 4)
    mean = variance * ((precision @ FRAME["y"]).sum() + 1 / 4)
    row = fit.summary().loc["Intercept"]
    assert row["ess_bulk"] > 200
    assert abs(row["mean"] - mean) < 4 * np.sqrt(variance / row["ess_bulk"])
    assert abs(row["sd"] / np.sqrt(variance) - 1) < 4 / np.sqrt(2 * row["ess_bulk"])
    assert np.ptp(fit.posterior["sd_g"].to_numpy()) < 1e-12
    assert float(fit.posterior["sigma"].mean()) == pytest.approx(1.5)


def test_fixed_values_stand_in_every_draw():
    """Stated as they are shown, whatever the prior of the intercepts' sd is."""
    priors = {"sd[g, x]": "Fixed(0.5)", "cor": "Fixed(-0.4)"}
    fit = hb.fit("y ~ x + (x | g)", FRAME, priors=priors, draws=500, seed=1, progress=False)
    assert fit.tree.attrs["strategy"] == "collapsed"
    sd, cor = (fit.posterior[name].to_numpy() for name in ("sd_g", "cor_g"))
    assert np.allclose(sd[..., 1], 0.5, rtol=1e-12)
    assert np.allclose(cor[..., 0, 1], -0.4, rtol=1e-10)
    assert np.ptp(sd[..., 0]) > 0


@pytest.mark.parametrize(
    ("address", "value", "message"),
    [
        (
            "cor",
            "Fixed(-0.6)",
            "3 effects cannot all have the correlation -0.6; it must lie between -0.5 and 1",
        ),
        ("cor", "Fixed(1)", "must lie between -0.5 and 1"),
        ("sd", "Fixed(0)", "Fixed: value must be positive|support is real"),
        ("sigma", "Fixed(-1)", "support is real"),
        ("b", "Fixed()", "value is missing"),
        ("b", "Fixed(inf)", "value must be finite"),
    ],
)
def test_values_that_cannot_be(address, value, message):
    with pytest.raises(PriorError, match=message):
        hb.Model("y ~ x + I(x**2) + (x + I(x**2) | g)", FRAME, priors={address: value})


def test_a_fixed_coefficient_is_a_known_effect():
    model = hb.Model("y ~ x", FRAME, priors={"b[x]": "Fixed(3)"})
    assert np.unique(model.prior_predictive(10)["prior"]["b"].sel(coef="x")).tolist() == [3.0]
    assert {variable.name for variable in model.graph().free_RVs} == {"b_intercept", "sigma"}


@pytest.mark.parametrize("strategy", ["collapsed", "whitened"])
@pytest.mark.parametrize(
    "known",
    [{"x": 0.5}, {"Intercept": 1.5}, {"Intercept": 1.5, "w": -0.3}, {"Intercept": 1.0, "x": 0.5, "w": 0.2}],
)
def test_the_posterior_given_fixed_coefficients_is_the_closed_form(known, strategy):
    """Sds fixed too, so that all is normal: what is left of y - known columns, by dense matrices."""
    frame = FRAME.assign(w=np.sin(np.arange(30)))
    stated = {
        name if name == "Intercept" else f"b[{name}]": f"Fixed({value})" for name, value in known.items()
    }
    priors = {"Intercept": "Normal(1, 2)", "b": "Normal(0, 3)", "sd": "Fixed(2)", "sigma": "Fixed(1.5)"}
    model = hb.Model("y ~ x + w + (1 | g)", frame, priors=priors | stated)
    assert "strategy 'collapsed'" in repr(model)
    fit = model.fit(draws=1000, seed=3, progress=False, strategy=strategy)
    names = ["Intercept", "x", "w"]
    x = frame[["x", "w"]].to_numpy()
    columns = np.column_stack([np.ones(30), x - x.mean(axis=0)])
    value, free = np.array([known.get(n, 0.0) for n in names]), np.array([n not in known for n in names])
    rest = frame["y"].to_numpy() - columns @ value
    same = frame["g"].to_numpy()[:, None] == frame["g"].to_numpy()
    weight = np.linalg.inv(1.5**2 * np.eye(30) + 4.0 * same)
    prior, centre = np.diag([1 / 4, 1 / 9, 1 / 9])[np.ix_(free, free)], np.array([1.0, 0, 0])[free]
    covariance = np.zeros((3, 3))
    left = columns[:, free]
    covariance[np.ix_(free, free)] = np.linalg.inv(left.T @ weight @ left + prior)
    value[free] = covariance[np.ix_(free, free)] @ (left.T @ weight @ rest + prior @ centre)
    at_zero = np.eye(3)
    at_zero[0, 1:] = -x.mean(axis=0)  # the posterior's intercept is that where predictors are 0
    mean, sd = at_zero @ value, np.sqrt(np.diag(at_zero @ covariance @ at_zero.T))
    table = fit.summary().loc[names]
    moving = sd > 0
    assert (table["ess_bulk"][moving] > 1000).all()
    error = sd[moving] / np.sqrt(table["ess_bulk"][moving])
    assert (np.abs(table["mean"] - mean)[moving] < 4 * error).all()
    assert (np.abs(table["sd"][moving] / sd[moving] - 1) < 4 / np.sqrt(2 * table["ess_bulk"][moving])).all()
    assert np.allclose(table["mean"][~moving], mean[~moving], rtol=1e-12)
    assert np.allclose(fit.fixef()["mean"], table["mean"], rtol=1e-12)
    assert np.ptp(fit.posterior["b"].to_numpy()[..., ~moving], axis=(0, 1)).max(initial=0.0) < 1e-12


def test_fixed_coefficients_by_every_strategy():
    """A count: the whitened posterior, all of its variables, is that of NUTS on the graph."""
    rng = np.random.default_rng(5)
    frame = FRAME.assign(w=rng.normal(2, 1, 30))
    frame["k"] = rng.poisson(np.exp(0.5 + 0.3 * (frame["w"] - 2) + np.repeat(rng.normal(size=6), 5)))
    model = hb.Model(
        "k ~ x + w + (1 | g)",
        frame,
        family="poisson",
        priors={"b[w]": "Fixed(0.3)", "Intercept": "Fixed(0.5)"},
    )
    fit = model.fit(seed=1, draws=2000, progress=False)
    nuts = model.fit(seed=2, draws=2000, progress=False, strategy="nuts", target_accept=0.99)
    assert fit.tree.attrs["strategy"] == "whitened"
    _assert_same_posterior(fit, nuts)
    assert np.unique(fit.posterior["b"].sel(coef="w")).tolist() == [0.3]
    assert {finding.code for finding in fit.check()} <= {"sd-at-zero"}


def test_where_nothing_is_left_to_learn():
    frame = FRAME.assign(v=(FRAME["y"] > 0).astype(int))
    model = hb.Model(
        "v ~ x", frame, family="bernoulli", priors={"Intercept": "Fixed(0.5)", "b": "Fixed(0.3)"}
    )
    for fit in (model.fit(seed=1, progress=False), model.approximate(seed=1, progress=False)):
        assert fit.tree.attrs["strategy"] == "whitened"
        assert np.allclose(fit.fixef()["mean"], [0.5 - 0.3 * 2, 0.3])
        assert not fit.fixef()["sd"].round(12).any()


def test_rows_in_a_file_need_a_coefficient_to_learn(tmp_path):
    FRAME.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(hb.UnsupportedError, match=r"the prior of b\[x\] is Fixed"):
        hb.Model("y ~ x", str(tmp_path / "rows.parquet"), priors={"b[x]": "Fixed(3)"})
