"""The log prior is that of the model, and power-scaling with it finds priors that fight the data or replace them."""

import arviz_base
import arviz_stats
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism.sensitivity import check_boundary, inner_covariance, log_effects, log_prior

from .conftest import SLEEP
from .test_predict import tame_fit, to_fit, values_of

pytestmark = pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")


@pytest.fixture(scope="module")
def sleep():
    return hb.fit(SLEEP, hb.load_dataset("sleepstudy"), seed=2, progress=False)


def priors_of(fit):
    return {(p.kind, p.coefficient): dict(p.prior.args) for p in fit.spec.priors}


def test_the_log_prior_by_hand(sleep):
    """Everything about the mean of Days, 4.5: the intercept, and the covariance of the subjects' effects."""
    found = log_prior(sleep.spec, flatten(sleep.spec, sleep.posterior))
    assert set(found) == {"b", "sd", "cor", "sigma"}
    args = priors_of(sleep)
    b, sd, cor, sigma = (values_of(sleep, name) for name in ("b", "sd_Subject", "cor_Subject", "sigma"))
    middle = args["Intercept", ""]
    slope = args["b", "Days"]
    want = stats.norm(middle["mu"], middle["sigma"]).logpdf(b[:, 0] + 4.5 * b[:, 1])
    want += stats.norm(slope["mu"], slope["sigma"]).logpdf(b[:, 1])
    np.testing.assert_allclose(found["b"], want)
    rho = cor[:, 0, 1]
    at_mean = np.sqrt(sd[:, 0] ** 2 + 2 * 4.5 * rho * sd[:, 0] * sd[:, 1] + 4.5**2 * sd[:, 1] ** 2)
    rates = args["sd", "Intercept"]["lam"], args["sd", "Days"]["lam"]
    want = stats.expon(scale=1 / rates[0]).logpdf(at_mean) + stats.expon(scale=1 / rates[1]).logpdf(sd[:, 1])
    np.testing.assert_allclose(found["sd"], want)
    rho_at_mean = (rho * sd[:, 0] + 4.5 * sd[:, 1]) / at_mean
    eta = args["cor", ""]["eta"]
    np.testing.assert_allclose(
        found["cor"], stats.beta(eta, eta).logpdf((rho_at_mean + 1) / 2) - np.log(2), atol=1e-9
    )
    np.testing.assert_allclose(found["sigma"], stats.expon(scale=1 / args["sigma", ""]["lam"]).logpdf(sigma))


def test_the_log_prior_is_the_graphs():
    """Up to what it leaves out, the effects: the graph's joint density of its free variables but the z."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"y": rng.poisson(2.0, 60), "x": rng.normal(5, 1, 60), "g": np.repeat(list("abcdef"), 10)}
    )
    model = hb.Model(
        "y ~ x + (x || g)",
        data,
        family="negbinomial",
        priors={"sd": "HalfStudentT(3, 1)", "b": "Cauchy(0, 1)"},
    )
    fit = tame_fit(model, draws=3, chains=1)
    draws = flatten(fit.spec, fit.posterior)
    graph = model.graph()
    free = [variable for variable in graph.free_RVs if not variable.name.endswith("_z")]
    density = graph.compile_logp(vars=free, jacobian=False, mode="FAST_COMPILE")
    for s in range(3):
        b = draws.values["b"][s]
        point = graph.initial_point() | {
            "b_intercept": b[0] + b[1] * data["x"].mean(),
            "b_slopes": b[1:],
            "sd_g_log__": np.log(draws.values["sd_g"][s]),
            "shape_log__": np.log(draws.values["shape"][s]),
        }
        total = sum(values[s] for values in log_prior(fit.spec, draws).values())
        assert total == pytest.approx(float(density(point)), rel=1e-9)


def test_a_formula_of_sigma_has_its_priors():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"y": rng.normal(size=60), "x": rng.normal(5, 1, 60), "g": np.repeat(list("abcdef"), 10)}
    )
    fit = tame_fit(hb.Model({"mu": "y ~ x", "sigma": "~ x + (1 | g)"}, data), draws=3, chains=1)
    found = log_prior(fit.spec, flatten(fit.spec, fit.posterior))
    assert set(found) == {"b", "sd"}
    want = 0.0
    for name, parameter in (("b", "mu"), ("b_sigma", "sigma")):
        b = values_of(fit, name)
        args = {p.kind: dict(p.prior.args) for p in fit.spec.priors if p.parameter == parameter}
        want += stats.norm(args["Intercept"]["mu"], args["Intercept"]["sigma"]).logpdf(
            b[:, 0] + b[:, 1] * data["x"].mean()
        )
        want += stats.norm(args["b"]["mu"], args["b"]["sigma"]).logpdf(b[:, 1])
    np.testing.assert_allclose(found["b"], want)


def test_the_density_of_the_effects(sleep):
    draws = flatten(sleep.spec, sleep.posterior)
    found = log_effects(sleep.spec, draws)
    sd, cor, r = (values_of(sleep, name) for name in ("sd_Subject", "cor_Subject", "r_Subject"))
    for s in (0, 1234):
        cov = sd[s][:, None] * cor[s] * sd[s]
        want = stats.multivariate_normal(np.zeros(2), cov).logpdf(r[s]).sum()
        assert found[s] == pytest.approx(want, rel=1e-8)
    data = hb.load_dataset("sleepstudy")
    apart = tame_fit(hb.Model("Reaction ~ Days + (Days || Subject)", data), draws=3, chains=1)
    want = (
        stats.norm(0, values_of(apart, "sd_Subject")[:, None])
        .logpdf(values_of(apart, "r_Subject"))
        .sum((1, 2))
    )
    np.testing.assert_allclose(log_effects(apart.spec, flatten(apart.spec, apart.posterior)), want)


def test_fixed_values_have_no_prior_and_do_not_move():
    data = hb.load_dataset("sleepstudy")
    priors = {"sd[Subject, Days]": "Fixed(6)", "cor[Subject]": "Fixed(0)"}
    fit = tame_fit(hb.Model(SLEEP, data, priors=priors), draws=200)
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    values["sd_Subject"][:, 1] = 6.0
    values["cor_Subject"][:] = np.eye(2)
    fit = to_fit(hb.Model(SLEEP, data, priors=priors), values, 2)
    found = log_prior(fit.spec, flatten(fit.spec, fit.posterior))
    assert (found["cor"] == 0).all()
    assert np.isfinite(found["sd"]).all()
    table = fit.prior_sensitivity()
    assert list(table.index) == ["Intercept", "Days", "sd[Subject, Intercept]", "sigma"]
    assert np.isfinite(table[["prior", "likelihood"]]).all(axis=None)


def test_fixed_values_that_are_shifted_do_not_move_either():
    priors = {"sd": "Fixed(20)", "cor": "Fixed(0.1)"}  # about day 4.5; in the draws they are about day 0
    fit = hb.fit(SLEEP, hb.load_dataset("sleepstudy"), priors=priors, seed=1, progress=False)
    assert list(fit.prior_sensitivity().index) == ["Intercept", "Days", "sigma"]


def test_default_priors_decide_nothing(sleep):
    table = sleep.prior_sensitivity()
    assert list(table.index) == list(sleep.summary().index)
    assert (table["diagnosis"] == "").all()
    assert (table["prior"] < 0.05).all()
    assert (table["likelihood"] > 0.05).all()


def test_a_prior_that_fights_the_data():
    fit = hb.fit(
        SLEEP, hb.load_dataset("sleepstudy"), priors={"b[Days]": "Normal(-20, 3)"}, seed=2, progress=False,
        target_accept=0.95,
    )  # fmt: skip
    table = fit.prior_sensitivity()
    assert table.loc["Days", "diagnosis"] == "prior-data conflict"
    assert table.loc["sigma", "diagnosis"] == ""
    finding = next(finding for finding in fit.check(thorough=True) if finding.code == "prior-conflict")
    assert "Days" in finding.found


def test_a_prior_that_replaces_the_data():
    """Two predictors that are all but the same: their sum is learnt, their difference is the prior's."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=50)
    data = pd.DataFrame({"x": x, "z": x + 1e-4 * rng.normal(size=50), "y": x + rng.normal(size=50)})
    priors = {"b": "Normal(0, 1)"}
    fit = hb.fit("y ~ x + z", data, priors=priors, seed=2, progress=False)
    table = fit.prior_sensitivity()
    assert list(table.loc[["x", "z"], "diagnosis"]) == ["strong prior or weak likelihood"] * 2
    assert table.loc["sigma", "diagnosis"] == ""
    assert "strong-prior" in [finding.code for finding in fit.check(thorough=True)]


def test_power_scaling_is_arvizs():
    """y ~ N(mu, sigma), mu ~ N(0, 1): ArviZ's table of densities written out with SciPy."""
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"y": rng.normal(3.0, 1.0, 4)})
    model = hb.Model("y ~ 1", data, priors={"Intercept": "Normal(0, 1)", "sigma": "Exponential(2)"})
    mu = rng.normal(data["y"].sum() / 5, 5**-0.5, (4, 2000))
    sigma = np.exp(0.1 * rng.normal(size=(4, 2000)))
    table = to_fit(model, {"b": mu.reshape(-1, 1), "sigma": sigma.ravel()}, 4).prior_sensitivity()
    prior = stats.norm(0, 1).logpdf(mu) + stats.expon(scale=0.5).logpdf(sigma)
    likelihood = stats.norm(mu[..., None], sigma[..., None]).logpdf(data["y"].to_numpy())
    groups = {"posterior": {"mu": mu}, "log_prior": {"p": prior}, "log_likelihood": {"y": likelihood}}
    want = arviz_stats.psense_summary(arviz_base.from_dict(groups), round_to=12)
    assert table.loc["Intercept", "prior"] == pytest.approx(want.loc["mu", "prior"], rel=1e-6)
    assert table.loc["Intercept", "likelihood"] == pytest.approx(want.loc["mu", "likelihood"], rel=1e-6)
    assert table.loc["Intercept", "diagnosis"] == "prior-data conflict"


# -- boundaries ---------------------------------------------------------------------------------------------------


def fit_with(**changes):
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"y": rng.normal(size=60), "x": rng.normal(size=60), "g": np.repeat(list("abcdef"), 10)}
    )
    model = hb.Model("y ~ x + (x | g)", data)
    fit = tame_fit(model, draws=500, chains=4)
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    for name, change in changes.items():
        change(values[name], rng)
    return to_fit(model, values, 4)


def found_of(fit):
    return tuple(check_boundary(fit.spec, fit.posterior))


def test_nothing_is_said_of_a_sound_posterior():
    assert found_of(fit_with()) == ()


def test_a_standard_deviation_piled_up_at_zero():
    def pile(sd, rng):
        sd[:, 1] = np.abs(rng.normal(size=2000)) * 0.3

    (finding,) = found_of(fit_with(sd_g=pile))
    assert finding.code == "sd-at-zero"
    assert "sd[g, x] is piled up at 0" in finding.found

    def gamma(sd, rng):
        sd[:, 1] = rng.gamma(3.0, 0.1, 2000)  # 0 at 0

    assert found_of(fit_with(sd_g=gamma)) == ()


def test_a_correlation_at_one():
    def extreme(cor, rng):
        cor[:, 0, 1] = cor[:, 1, 0] = -1 + 0.03 * rng.uniform(size=2000)

    (finding,) = found_of(fit_with(cor_g=extreme))
    assert finding.code == "cor-at-one"
    assert "cor[g, Intercept, x]" in finding.found
    assert "100%" in finding.found


def test_a_far_zero_alone_makes_no_extreme_correlation():
    """At the user's zero, year 0, every correlation is near −1; where the data are it is not."""
    data = hb.load_dataset("sleepstudy")
    fit = hb.fit(SLEEP, data.assign(Days=data["Days"] + 2000), seed=2, progress=False)
    assert np.mean(np.abs(values_of(fit, "cor_Subject")[:, 0, 1]) > 0.95) > 0.9
    assert "cor-at-one" not in [finding.code for finding in found_of(fit)]
    draws = flatten(fit.spec, fit.posterior)
    factor = fit.spec.layout.predictors["mu"].factors[0]
    sd, cor = inner_covariance(fit.spec, draws, "mu", factor)
    assert np.median(sd[:, 0]) == pytest.approx(37, abs=6)
    assert np.abs(np.median(cor[:, 0, 1])) < 0.9


def test_influence_is_told_on_request():
    rng = np.random.default_rng(5)
    code = np.repeat(np.arange(10), 6)
    y = 0.3 * rng.normal(size=10)[code] + rng.normal(size=60) + 15.0 * (code == 4)
    data = pd.DataFrame({"y": y, "g": [f"g{c}" for c in code]})
    fit = hb.fit("y ~ 1 + (1 | g)", data, seed=1, progress=False)
    assert found_of(fit) == ()
    finding = next(finding for finding in fit.check(thorough=True) if finding.code == "influential-level")
    assert "1 of the 10 levels of 'g': g4" in finding.found


@pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning")
def test_a_row_that_the_posterior_hangs_on():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=20)})
    data["y"] = data["x"] + rng.normal(size=20)
    data.loc[7] = [8.0, -30.0]
    fit = hb.fit("y ~ x", data, seed=1, progress=False)
    finding = next(finding for finding in fit.check(thorough=True) if finding.code == "influential-rows")
    assert "row 7" in finding.found
