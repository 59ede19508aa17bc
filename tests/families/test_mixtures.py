"""Mixtures of families: densities from their definition, one order of the components, fits and answers."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.answers.draws import Draws, flatten
from hierbayes.criticism.coordinates import log_density
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.exchange import exchanged, in_order
from hierbayes.families import FAMILIES, get_family
from hierbayes.kinds import NUMBER, POSITIVE, PROBABILITY
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph

THETA = 0.35
FIRST, SECOND = np.array([-1.0, 0.4, 2.0]), np.array([3.0, -0.5, 2.5])  # linear predictors


def at(*names, **own):
    """A mixture whose components have these linear predictors, and these values of their other parameters."""
    family, links = get_family(hb.mixture(*names))
    link = LINKS[links["mu"]]
    given = {"mu1": link.mean(FIRST), "mu2": link.mean(SECOND), "theta2": np.array(THETA)}
    return family.at(np.zeros(3), given | {k: np.array(v) for k, v in own.items()}, link)


def mixed(one, two, y):
    """Log density and distribution function of scipy's distributions."""
    log = [d.logpdf(y) if hasattr(d.dist, "logpdf") else d.logpmf(y) for d in (one, two)]
    cdf = (1 - THETA) * one.cdf(y) + THETA * two.cdf(y)
    return np.logaddexp(np.log1p(-THETA) + log[0], np.log(THETA) + log[1]), cdf


def test_of_normal_and_student():
    y = np.array([-3.0, 0.2, 40.0])
    found = at("gaussian", "student", sigma1=0.7, sigma2=1.4, nu2=4.0)
    density, cdf = mixed(stats.norm(FIRST, 0.7), stats.t(4, SECOND, 1.4), y)
    assert_allclose(found.log_density(y), density, rtol=1e-12)
    assert_allclose(found.cdf(y), cdf, rtol=1e-12)


def test_of_counts():
    y = np.array([0.0, 3.0, 60.0])
    found = at("poisson", "negbinomial", shape2=1.5)
    m = np.exp(SECOND)
    density, cdf = mixed(stats.poisson(np.exp(FIRST)), stats.nbinom(1.5, 1.5 / (1.5 + m)), y)
    assert_allclose(found.log_density(y), density, rtol=1e-12)
    assert_allclose(found.cdf(y), cdf, rtol=1e-12)


def test_of_positive_numbers_whose_row_functions_leave_out_different_constants():
    y = np.array([0.02, 1.1, 30.0])
    found = at("gamma", "weibull", shape1=2.0, shape2=1.5)
    scale = np.exp(SECOND) / special.gamma(1 + 1 / 1.5)
    density, cdf = mixed(stats.gamma(2.0, scale=np.exp(FIRST) / 2.0), stats.weibull_min(1.5, scale=scale), y)
    assert_allclose(found.log_density(y), density, rtol=1e-12)
    assert_allclose(found.cdf(y), cdf, rtol=1e-11)


def test_of_successes_rows_and_trials():
    y, trials = np.array([0.0, 4.0, 9.0]), np.array([6.0, 6.0, 9.0])
    found = at("binomial", "betabinomial", phi2=3.0)
    p, q = special.expit(FIRST), special.expit(SECOND)
    one, two = stats.binom(trials, p), stats.betabinom(trials, q * 3.0, (1 - q) * 3.0)
    assert_allclose(found.log_density(y, trials), mixed(one, two, y)[0], rtol=1e-11)
    mean, variance = found.moments(trials)
    assert_allclose(mean, (1 - THETA) * one.mean() + THETA * two.mean(), rtol=1e-12)
    square = (1 - THETA) * (one.var() + one.mean() ** 2) + THETA * (two.var() + two.mean() ** 2)
    assert_allclose(variance, square - mean**2, rtol=1e-11)


def test_of_three():
    y, third = np.array([-3.0, 0.2, 40.0]), np.array([1.0, 7.0, 39.0])
    family, links = get_family(hb.mixture("gaussian", "student", "gaussian"))
    own = {"mu1": FIRST, "mu2": SECOND, "mu3": third, "sigma1": 0.7, "sigma2": 1.4, "nu2": 4.0, "sigma3": 2.0}
    own |= {"theta2": THETA, "theta3": 0.2}
    found = family.at(np.zeros(3), {k: np.array(v) for k, v in own.items()}, LINKS[links["mu"]])
    parts = [stats.norm(FIRST, 0.7), stats.t(4, SECOND, 1.4), stats.norm(third, 2.0)]
    shares = np.array([0.8 * (1 - THETA), 0.8 * THETA, 0.2])
    logs = np.log(shares)[:, None] + [part.logpdf(y) for part in parts]
    assert_allclose(found.log_density(y), special.logsumexp(logs, axis=0), rtol=1e-12)
    assert_allclose(found.cdf(y), shares @ [part.cdf(y) for part in parts], rtol=1e-12)
    mean, variance = found.moments()
    means, variances = np.array([part.mean() for part in parts]), np.array([part.var() for part in parts])
    assert_allclose(mean, shares @ means, rtol=1e-12)
    assert_allclose(variance, shares @ (variances + means**2) - mean**2, rtol=1e-12)


@pytest.mark.parametrize("eta", [-40.0, 40.0])
def test_both_ends_of_the_share_are_exact(eta):
    family, _ = get_family(hb.mixture("gaussian", "gaussian"))
    own = {
        "mu1": NUMBER.under("identity", np.array([1.0])),
        "mu2": NUMBER.under("identity", np.array([9.0])),
        "sigma1": POSITIVE.under("log", np.array([0.1])),
        "sigma2": POSITIVE.under("log", np.array([0.4])),
        "theta2": PROBABILITY.under("logit", np.array([eta])),
    }
    value, scores = family.at(np.zeros(1), own, LINKS["identity"]).evaluate(np.array([2.0]))
    parts = [stats.norm(1, np.exp(0.1)).logpdf(2.0), stats.norm(9, np.exp(0.4)).logpdf(2.0)]
    expected = np.logaddexp(special.log_expit(-eta) + parts[0], special.log_expit(eta) + parts[1])
    assert_allclose(value, expected, rtol=1e-13)
    share = np.exp(special.log_expit(eta) + parts[1] - expected)
    assert_allclose(scores[-1], share - special.expit(eta), rtol=1e-10)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("names", "own"),
    [
        (("gaussian", "student"), {"sigma1": 0.7, "sigma2": 1.4, "nu2": 4.0}),
        (("zero_inflated_poisson", "zero_inflated_poisson"), {"zi1": 0.2, "zi2": 0.3}),
        (("beta", "beta"), {"phi1": 2.0, "phi2": 6.0}),
        (("poisson", "negbinomial", "poisson"), {"mu3": np.full(3, 25.0), "shape2": 3.0, "theta3": 0.2}),
    ],
)
def test_simulated_responses_have_the_cdf_and_the_moments(names, own):
    found = at(*names, **own)
    tall = {
        name: values.kind.under(values.link, np.tile(values.eta, (20_000, 1)) if np.ndim(values.eta) else values.eta)
        for name, values in found.parameters.items()
    }  # fmt: skip
    y = found.family.at(tall["mu"].eta, tall, LINKS["identity"]).simulate(np.random.default_rng(3))
    mean, variance = found.moments()
    assert (np.abs(y.mean(axis=0) - mean) < 4 * np.sqrt(variance / 20_000)).all()
    assert_allclose(y.var(axis=0), variance, rtol=0.05)
    for place, column in enumerate(y.T):
        values, counts = np.unique(column, return_counts=True)
        cdf = found.cdf(np.repeat(values[:, None], 3, axis=1))[:, place]
        assert np.abs(np.cumsum(counts) / 20_000 - cdf).max() < 2.2 / np.sqrt(20_000)


# -- models ---------------------------------------------------------------------------------------------------------


def frame(rows=300, groups=10, seed=0):
    """Rows of two kinds: 1 + x and 6 + x/2 about the groups' effects, 40 % of them the second."""
    rng = np.random.default_rng(seed)
    g, x = np.arange(rows) % groups, rng.normal(size=rows)
    second, u = rng.random(rows) < 0.4, rng.normal(scale=0.5, size=(2, groups))
    y = np.where(
        second, 6 + 0.5 * x + u[1, g] + rng.normal(size=rows), 1 + x + u[0, g] + 0.7 * rng.normal(size=rows)
    )
    c = np.where(second, rng.poisson(9, rows), rng.poisson(2, rows))
    return pd.DataFrame({"y": y, "x": x, "g": g, "k": np.arange(rows) % 4, "c": c})


TWO, THREE = "mixture(gaussian, gaussian)", "mixture(gaussian, gaussian, gaussian)"
BY_ID = {"mu": "y ~ x + (1 |p| g)", "theta2": "~ x + (1 |p| g)"}


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ x + (1 | g)", TWO),
        ({"mu": "y ~ x", "mu2": "~ 1", "sigma1": "~ x", "theta2": "~ x"}, TWO),
        ("c ~ x", "mixture(poisson, negbinomial)"),
        ({"mu": "c ~ x + (1 | g)", "theta3": "~ x"}, "mixture(poisson, poisson, negbinomial)"),
    ],
)
def test_kernel_is_the_graph(formula, family):
    assert_kernel_is_the_graph(hb.Model(formula, frame(60), family=family))


@pytest.fixture(scope="module")
def fit():
    return hb.fit(
        "y ~ x + (1 | g)", frame(), family=hb.mixture("gaussian", "gaussian"), seed=1, progress=False
    )


def test_recovery(fit):
    truth = {
        "mu1.Intercept": 1, "mu1.x": 1, "mu1.sd[g, Intercept]": 0.5, "mu2.Intercept": 6, "mu2.x": 0.5,
        "mu2.sd[g, Intercept]": 0.5, "sigma1": 0.7, "sigma2": 1.0, "theta2": 0.4,
    }  # fmt: skip
    found = fit.summary()
    assert list(found.index) == list(truth)
    assert found["ess_bulk"].min() > 1000
    assert found["r_hat"].max() < 1.01
    off = [(found.loc[name, "mean"] - value) / found.loc[name, "sd"] for name, value in truth.items()]
    assert np.abs(off).max() < 3.5
    assert np.square(off).sum() < stats.chi2(len(off)).ppf(0.999)


def test_chains_begin_where_the_components_are_apart():
    """From a place where both lie on one another the coordinates were so wrong that a draw took 99 gradients."""
    rng = np.random.default_rng(3)
    x, second = rng.normal(size=400), rng.random(400) < 0.6
    data = pd.DataFrame({"x": x, "y": 3 * second + 0.5 * x + 0.6 * rng.normal(size=400)})
    found = hb.fit("y ~ x", data, family=hb.mixture("gaussian", "gaussian"), seed=1, progress=False)
    assert float(found.tree["sample_stats"]["n_steps"].mean()) < 20
    assert found.summary()["ess_bulk"].min() > 2000


def test_recovery_of_counts_whose_share_follows_a_predictor():
    rng = np.random.default_rng(2)
    x = rng.normal(size=500)
    second = rng.random(500) < special.expit(-0.5 + x)
    data = pd.DataFrame({"x": x, "c": np.where(second, rng.poisson(12, 500), rng.poisson(2, 500))})
    found = hb.fit(
        {"mu": "c ~ 1", "theta2": "~ x"}, data, family="mixture(poisson, poisson)", seed=1, progress=False
    )
    table = found.summary()
    assert table["ess_bulk"].min() > 1000
    for name, value in {
        "mu1.Intercept": np.log(2), "mu2.Intercept": np.log(12), "theta2.Intercept": -0.5, "theta2.x": 1.0
    }.items():  # fmt: skip
        assert abs(table.loc[name, "mean"] - value) < 3.5 * table.loc[name, "sd"], name


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ s(x, k=5)",
        {"mu": "y ~ x", "sigma1": "~ x", "sigma2": "~ x", "theta2": "~ x + (1 | g)"},
        {"mu": "y ~ mo(k)", "theta2": "~ mo(k)"},
        BY_ID,
    ],
)
def test_exchanged_labels_have_the_same_density_and_are_exchanged_back(formula):
    model = hb.Model(formula, frame(60), family=TWO)
    spec = model.spec
    assert exchanged(spec)
    tree = model.prior_predictive(draws=40, seed=3)
    ordered = flatten(spec, tree["prior"].to_dataset()).values
    first, second = (ordered[f"b_mu{k}"] @ spec.layout.predictors[f"mu{k}"].columns.means for k in (1, 2))
    assert (first < second).all()
    turned = exchange(spec, ordered)
    for name, values in in_order(spec, turned).items():
        assert_allclose(values, ordered[name], rtol=1e-14, err_msg=name)
    one, two = (log_density(spec, Draws(values, 1, 40), model.design) for values in (ordered, turned))
    assert_allclose(one, two, rtol=1e-10)
    if "cor_g_p" in ordered:
        assert_allclose(tied_density(ordered), tied_density(turned), rtol=1e-10)


def three_kinds(rows=500):
    """Rows of three kinds about 0, 5 and 10 and a slope of one half: a half, three and two tenths of them."""
    rng = np.random.default_rng(1)
    kind, x = rng.choice(3, rows, p=[0.5, 0.3, 0.2]), rng.normal(size=rows)
    y = 5.0 * kind + 0.5 * x + np.array([0.7, 1.0, 0.5])[kind] * rng.normal(size=rows)
    return pd.DataFrame({"y": y, "x": x, "g": np.arange(rows) % 10})


def test_recovery_of_three():
    found = hb.fit("y ~ x", three_kinds(), family=THREE, seed=1, progress=False).summary()
    truth = {
        "mu1.Intercept": 0, "mu1.x": 0.5, "mu2.Intercept": 5, "mu2.x": 0.5, "mu3.Intercept": 10, "mu3.x": 0.5,
        "sigma1": 0.7, "sigma2": 1.0, "sigma3": 0.5, "theta2": 0.3 / 0.8, "theta3": 0.2,
    }  # fmt: skip
    assert list(found.index) == list(truth)
    assert found["ess_bulk"].min() > 1000
    assert found["r_hat"].max() < 1.01
    off = [(found.loc[name, "mean"] - value) / found.loc[name, "sd"] for name, value in truth.items()]
    assert np.abs(off).max() < 3.5
    assert np.square(off).sum() < stats.chi2(len(off)).ppf(0.999)


def test_shares_of_three_are_uniform_over_those_that_add_to_1():
    model = hb.Model("y ~ 1", three_kinds(60), family=THREE)
    prior = model.prior_predictive(draws=4000, seed=2)["prior"]
    second, third = (prior[name].values.ravel() for name in ("theta2", "theta3"))
    for share in ((1 - third) * (1 - second), (1 - third) * second, third):
        assert stats.kstest(share, stats.beta(1, 2).cdf).pvalue > 1e-4


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0)])
def test_three_labels_in_any_order_have_the_same_density_and_are_put_in_order(order):
    model = hb.Model("y ~ x + (x |p| g)", three_kinds(60), family=THREE)
    spec = model.spec
    ordered = flatten(spec, model.prior_predictive(draws=40, seed=3)["prior"].to_dataset()).values
    first, second, third = (
        ordered[f"b_mu{k}"] @ spec.layout.predictors[f"mu{k}"].columns.means for k in (1, 2, 3)
    )
    assert ((first < second) & (second < third)).all()
    turned = dict(ordered)
    for place, other in enumerate(order):
        for name in ordered:
            if re.search(r"(mu|sigma)1", name):
                turned[re.sub(r"(mu|sigma)1", rf"\g<1>{place + 1}", name)] = ordered[
                    re.sub(r"(mu|sigma)1", rf"\g<1>{other + 1}", name)
                ]
    third = ordered["theta3"]
    parts = [(1 - third) * (1 - ordered["theta2"]), (1 - third) * ordered["theta2"], third]
    one, two, three = (parts[k] for k in order)
    turned |= {"theta2": two / (one + two), "theta3": three}
    effects = np.concatenate([[2 * k, 2 * k + 1] for k in order])
    turned["cor_g_p"] = ordered["cor_g_p"][:, effects][:, :, effects]
    one, two = (log_density(spec, Draws(values, 1, 40), model.design) for values in (ordered, turned))
    assert_allclose(
        one, two, rtol=1e-10
    )  # in log odds of theta2 and theta3: there it is the product of the shares
    for name, values in in_order(spec, turned).items():
        assert_allclose(values, ordered[name], rtol=1e-12, err_msg=name)


def test_shares_that_depend_on_a_predictor_or_differ_leave_three_as_they_are():
    data = three_kinds(60)
    for formula, priors in (
        ({"mu": "y ~ x", "theta3": "~ x"}, {}),
        ("y ~ x", {"theta3": "Beta(1, 1)"}),
        ("y ~ x", {"theta2": "Uniform(0, 1)"}),
        ("y ~ x", {"sigma2": "Exponential(1)"}),
    ):
        assert exchanged(hb.Model(formula, data, family=THREE, priors=priors).spec) is None
    alike = hb.Model("y ~ x", data, family=THREE, priors={"theta2": "Beta(3, 3)", "theta3": "Beta(3, 6)"})
    assert exchanged(alike.spec)


def tied_density(values):
    """The log density of effects on mu1, mu2 and theta2 that are correlated, in each draw."""
    r, sd = (
        np.concatenate([values[f"{kind}_{p}_g"] for p in ("mu1", "mu2", "theta2")], axis=-1)
        for kind in ("r", "sd")
    )
    covariances = sd[:, :, None] * values["cor_g_p"] * sd[:, None, :]
    return [stats.multivariate_normal(cov=c).logpdf(one).sum() for one, c in zip(r, covariances, strict=True)]


def exchange(spec, values):
    """All labels exchanged, by the variables' names."""
    found = {}
    for name, value in values.items():
        other = name.replace("mu1", "mu#").replace("mu2", "mu1").replace("mu#", "mu2")
        other = other.replace("sigma1", "sigma#").replace("sigma2", "sigma1").replace("sigma#", "sigma2")
        found[other] = value
        if name.startswith(("b_theta2", "r_theta2")):
            found[name] = -value
    if "theta2" in values:
        found["theta2"] = 1 - values["theta2"]
    if "cor_g_p" in values:  # of effects on mu1, mu2 and theta2
        order, signs = [1, 0, 2], np.array([1, 1, -1])
        found["cor_g_p"] = values["cor_g_p"][:, order][:, :, order] * signs[:, None] * signs
    return found


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x", {"priors": {"mu1.Intercept": "Normal(0, 1)", "mu2.Intercept": "Normal(1, 1)"}}),
        ("y ~ x", {"priors": {"sigma1": "Exponential(1)"}}),
        ("y ~ x", {"priors": {"theta2": "Beta(1, 9)"}}),
        ({"mu": "y ~ x", "mu2": "~ 1"}, {}),
        ({"mu": "y ~ x", "sigma1": "~ x"}, {}),
        ({"mu": "y ~ x", "theta2": "~ x"}, {"link": {"theta2": "cloglog"}}),
        ({"mu": "y ~ x", "theta2": "~ x"}, {"priors": {"theta2.Intercept": "Normal(-1, 1)"}}),
        ("y ~ x", {"family": "mixture(gaussian, student)"}),
    ],
)
def test_what_tells_components_apart_leaves_them_as_they_are(formula, options):
    model = hb.Model(formula, frame(60), **{"family": TWO} | options)
    assert exchanged(model.spec) is None
    b = model.prior_predictive(draws=40)["prior"]
    assert set(b["b_mu1"].values[0, :, 0] < b["b_mu2"].values[0, :, 0]) == {True, False}


def test_priors_that_are_alike_when_stated_leave_the_order():
    model = hb.Model(
        "y ~ x", frame(60), family=TWO, priors={"mu1.b": "Normal(0, 1)", "mu2.b": "Normal(0, 1)"}
    )
    assert exchanged(model.spec)


def test_a_model_reads_as_it_was_written(fit):
    text = str(fit.model)
    assert "Formula: y ~ x + (1 | g)\nFamily: mixture(gaussian, gaussian), link identity" in text
    assert "y_i ~ (1 − theta2)·Normal(mu1_i, sigma1) + theta2·Normal(mu2_i, sigma2)\n  mu1_i =" in text
    assert "mu_i" not in text
    assert fit.formula == "y ~ x + (1 | g)"
    other = hb.Model({"mu": "y ~ x", "mu2": "~ 1", "theta2": "~ x"}, frame(60), family=TWO)
    assert "Formula: y ~ x\nmu2 formula: ~ 1\ntheta2 formula: ~ x\n" in str(other)
    swapped = hb.Model({"mu": "y ~ x", "mu1": "~ 1"}, frame(60), family=TWO)
    assert "Formula: y ~ 1\nmu2 formula: ~ x\n" in str(swapped)


def test_answers(fit):
    new = fit.data.head(3)
    mean, share = (
        fit.predict(new, **{key: word}, output="draws")
        for key, word in (("kind", "mean"), ("parameter", "theta2"))
    )
    one, two = (fit.predict(new, parameter=name, output="draws") for name in ("mu1", "mu2"))
    assert_allclose(mean, (1 - share) * one + share * two, rtol=1e-12)
    assert list(fit.ranef()["parameter"].unique()) == ["mu1", "mu2"]
    quantile = np.sort(fit.residuals()["quantile"].to_numpy())
    places = (np.arange(len(quantile)) + 0.5) / len(quantile)
    assert (
        np.abs(quantile - places).max() < 1.95 / len(quantile) ** 0.5
    )  # Kolmogorov's, exceeded once in 1000 times
    loo = fit.loo()
    plain = hb.fit("y ~ x + (1 | g)", fit.data, seed=1, progress=False).loo()
    assert loo.elpd > plain.elpd + 100
    assert len(fit.conditional_effects("x")) == 100


def test_groups_are_integrated_over_both_components(fit):
    """`logo`'s integral of one group in some draws, by a grid of 200 × 200 points."""
    from hierbayes.criticism.marginal import hold_out, log_marginal

    draws = flatten(fit.spec, fit.tree["posterior"].to_dataset())
    few = Draws({name: values[::1000] for name, values in draws.values.items()}, 1, len(draws) // 1000)
    rows = fit.data[fit.data["g"] == 3]
    ((_, held),) = hold_out(fit.spec, few, fit.design, np.flatnonzero(fit.data["g"] == 3))
    found, _ = log_marginal(fit.spec, held)
    z = np.linspace(-7, 7, 200)
    for s in range(len(few)):
        v = {name: values[s] for name, values in few.values.items()}
        eta = [v[f"b_mu{k}"][0] + v[f"b_mu{k}"][1] * rows["x"].to_numpy() for k in (1, 2)]
        u = [v[f"sd_mu{k}_g"][0] * z for k in (1, 2)]
        parts = [
            stats.norm(eta[k][:, None] + u[k], v[f"sigma{k + 1}"]).logpdf(rows["y"].to_numpy()[:, None])
            for k in (0, 1)
        ]
        joint = np.logaddexp(
            np.log1p(-v["theta2"]) + parts[0][:, :, None], np.log(v["theta2"]) + parts[1][:, None, :]
        ).sum(axis=0)
        weight = stats.norm.logpdf(z)[:, None] + stats.norm.logpdf(z) + 2 * np.log(z[1] - z[0])
        assert_allclose(found[s], special.logsumexp(joint + weight), atol=1e-5)


def test_a_saved_fit_is_read_by_its_name(fit, tmp_path):
    path = tmp_path / "fit.nc"
    fit.save(path)
    again = hb.load(path)
    assert again.formula == fit.formula
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    pd.testing.assert_frame_equal(again.predict(fit.data.head()), fit.predict(fit.data.head()))


def test_what_has_no_one_answer_names_those_there_are(fit):
    for options in ({"kind": "linear"}, {"parameter": "mu"}):
        with pytest.raises(
            UnsupportedError, match="no one linear predictor; take parameter= one of mu1, mu2"
        ):
            fit.predict(**options)
    for answer in (fit.icc, fit.rank, fit.shrinkage, fit.plot_shrinkage):
        with pytest.raises(DataError, match=r"ranef\(\) has the effects on mu1, mu2"):
            answer()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("gaussian", "poisson"), "mix families of the same responses"),
        (("cumulative", "cumulative"), "cannot be part of a mixture"),
        (("lognormal", "gamma"), "another of its logarithm"),
        (("gamma", "exponential"), "leave out different terms"),
        (("gaussian",), "of two families and more, at most 9; got 1"),
        (("gaussian",) * 10, "at most 9; got 10"),
        (("gaussian", "gaussian", "poisson"), "mix families of the same responses"),
        (("gaussian", "mixture(gaussian, gaussian)"), "cannot be part of a mixture"),
    ],
)  # fmt: skip
def test_what_cannot_be_mixed_is_refused(parts, words):
    with pytest.raises(UnsupportedError, match=words):
        hb.mixture(*parts)


def test_names_of_mixtures_are_read():
    assert (
        get_family("mixture(poisson,negbinomial)")[0]
        is get_family(hb.mixture("poisson", FAMILIES["negbinomial"]))[0]
    )
    assert get_family(THREE)[0].components == ("mu1", "mu2", "mu3")


def test_beside_another_response_components_keep_their_order():
    model = hb.Model(["y ~ x + (1 |p| g)", "c ~ x + (1 |p| g)"], frame(60), family=[TWO, "poisson"])
    whole, (spec, other) = model.spec, model.spec.named
    assert exchanged(spec)
    assert exchanged(other) is None
    assert [m.parameter for m in whole.ties[0].members] == ["mu1", "mu2", "mu"]
    prior = flatten(spec, model.prior_predictive(draws=40, seed=3)["prior"].to_dataset()).values
    means = spec.layout.predictors["mu1"].columns.means
    assert (prior["b_y_mu1"] @ means < prior["b_y_mu2"] @ means).all()
    turned = exchange(spec, prior)
    order = [1, 0, 2]
    turned["cor_g_p"] = prior["cor_g_p"][:, order][:, :, order]
    turned["theta2_y"] = 1 - prior["theta2_y"]
    for name, values in in_order(spec, turned).items():
        assert_allclose(values, prior[name], rtol=1e-14, err_msg=name)
