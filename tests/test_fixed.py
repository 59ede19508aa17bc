"""Fixed sds and correlations: constants in the graph, in simulations and in the posterior."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import hierbayes as hb
from hierbayes.errors import PriorError

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
    root = np.linalg.cholesky(COVARIANCE)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        intercept, slope, z = rng.normal(), rng.normal(size=1), rng.normal(size=(6, 2))
        r = (z @ root.T)[np.repeat(np.arange(6), 5)]
        mean = intercept + slope * centred + r[:, 0] + r[:, 1] * centred
        expected = st.norm(1, 2).logpdf(intercept) + st.norm(0, 3).logpdf(slope).sum()
        expected += st.norm.logpdf(z).sum() + st.norm(mean, 1.5).logpdf(FRAME["y"]).sum()
        found = logp({"b_intercept": intercept, "b_slopes": slope, "r_g_z": z})
        assert float(found) == pytest.approx(expected, rel=1e-10)


def test_simulated_effects_have_the_fixed_covariance_at_the_mean():
    model = hb.Model("y ~ x + (x | g)", FRAME, priors=ALL)
    prior = model.simulate_prior(5000, seed=2).prior.values
    at_mean = prior["r_g"] @ np.array([[1, 0], [2, 1]])  # the intercepts' part moves to x = 2
    draws = at_mean.reshape(-1, 2)
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
    """Stated at the mean of x, they are shifted to 0 of x in the posterior: exactly, as Σ = A Σ_c A'."""
    priors = {"sd[g, x]": "Fixed(0.5)", "cor": "Fixed(-0.4)"}
    fit = hb.fit("y ~ x + (x | g)", FRAME, priors=priors, draws=500, seed=1, progress=False)
    assert fit.tree.attrs["strategy"] == "collapsed"
    sd, cor = (fit.posterior[name].to_numpy() for name in ("sd_g", "cor_g"))
    at_zero = sd[..., :, None] * cor * sd[..., None, :]
    back = np.array([[1.0, 2.0], [0.0, 1.0]])
    at_mean = back @ at_zero @ back.T
    assert np.allclose(at_mean[..., 1, 1], 0.25, rtol=1e-12)
    assert np.allclose(at_mean[..., 0, 1] / np.sqrt(at_mean[..., 0, 0] * 0.25), -0.4, rtol=1e-10)
    assert np.ptp(at_mean[..., 0, 0]) > 0


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
