"""What rows state beside their response: standard errors, and what a count is over."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

import hierbayes as hb
from hierbayes.data.settling import settle
from hierbayes.families import get_family
from hierbayes.formula import parse
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, grouped

BCG = hb.load_dataset("bcg")


def family_of(name: str, formula: str):
    """A family with its known parameters."""
    return settle({"mu": parse(formula)}, pd.DataFrame({"y": [1.0]}), *get_family(name))[1]


@pytest.fixture(scope="module")
def counts():
    """Counts over 1 to 3 units, of a rate that is a gamma variable a unit."""
    rng, columns = grouped(400, 40, seed=3)
    over = 0.5 * (1 + np.arange(400) % 3)
    rate = rng.gamma(2 * over, np.exp(0.5 + columns["eta"]) / 2)
    x = columns["x"].round()
    return pd.DataFrame({"x": x, "g": columns["g"], "over": over, "y": rng.poisson(rate)})


def likelihood_of(fit, name: str) -> np.ndarray:
    """Each row's log-likelihood in every draw: (draws, rows)."""
    values = fit.log_likelihood()["log_likelihood"][name].to_numpy()
    return values.reshape(-1, values.shape[-1])


# -- densities ----------------------------------------------------------------------------------------------------


def test_densities_with_standard_errors_are_scipys():
    y, eta, se = np.array([-2.0, 0.3, 40.0])[:, None], np.array([-1.0, 0.2, 3.0]), np.array([0.1, 1.0, 30.0])
    total = np.sqrt(0.7**2 + se**2)
    own = {"sigma": 0.7, "se": se}
    found = family_of("gaussian", "y | se(s, sigma=True) ~ 1").at(eta, own, LINKS["identity"])
    assert_allclose(found.log_density(y), stats.norm(eta, total).logpdf(y), rtol=1e-12)
    assert_allclose(found.cdf(y), stats.norm(eta, total).cdf(y), rtol=1e-12)
    assert_allclose(found.variance(), total**2)
    student = family_of("student", "y | se(s, sigma=True) ~ 1").at(eta, own | {"nu": 4.0}, LINKS["identity"])
    assert_allclose(student.log_density(y), stats.t(4, eta, total).logpdf(y), rtol=1e-12)
    alone = family_of("student", "y | se(s) ~ 1").at(eta, {"sigma": se, "nu": 4.0}, LINKS["identity"])
    assert_allclose(alone.log_density(y), stats.t(4, eta, se).logpdf(y), rtol=1e-12)


# brms 2.22, log_lik_poisson(), log_lik_negbinomial(), log_lik_geometric(): mu * denom, and shape * denom
@pytest.mark.parametrize("name", ["poisson", "negbinomial", "geometric", "nbinom1"])
def test_densities_of_rates_are_those_of_sums(name):
    y, eta, over = np.array([0.0, 3.0, 40.0])[:, None], np.array([-1.0, 0.2, 3.0]), np.array([0.3, 1.0, 7.0])
    mu = np.exp(eta) * over
    shape = {"negbinomial": 2.5 * over, "geometric": over, "nbinom1": mu / 1.7}.get(name)
    exact = stats.poisson(mu) if shape is None else stats.nbinom(shape, shape / (shape + mu))
    own = {"negbinomial": {"shape": 2.5}, "nbinom1": {"phi": 1.7}}.get(name, {})
    found = family_of(name, "y | rate(d) ~ 1").at(eta, own | {"rate": over}, LINKS["log"])
    assert_allclose(found.log_density(y), exact.logpmf(y), rtol=1e-10)
    assert_allclose(found.cdf(y), exact.cdf(y), rtol=1e-9, atol=1e-14)
    assert_allclose(found.mean(), mu)
    assert_allclose(found.variance(), exact.var(), rtol=1e-12)
    drawn = found.parameters["mu"].map(lambda eta: np.tile(eta, (100_000, 1)))
    y = found.family.simulate(np.random.default_rng(1), **found.parameters | {"mu": drawn})
    assert np.all(np.abs(y.mean(axis=0) - mu) < 4 * np.sqrt(exact.var() / len(y)))


@pytest.mark.parametrize("link", ["log", "identity", "sqrt", "softplus"])
@pytest.mark.parametrize("name", ["poisson", "negbinomial", "geometric"])
def test_scores_of_rates_are_differences(name, link):
    family = family_of(name, "y | rate(d) ~ 1")
    eta, y, h = np.array([0.6, 1.1, 2.0]), np.array([0.0, 2.0, 9.0]), 1e-5
    own = {p.name: 1.7 for p in family.own}
    _, scores = family.at(eta, own, LINKS[link]).evaluate(y)
    up, down = (family.at(eta + step, own, LINKS[link]).log_density(y) for step in (h, -h))
    assert_allclose(scores[0], (up - down) / (2 * h), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("eta", [-40.0, 40.0])
def test_nothing_is_lost_in_the_tails(eta):
    for name in ("poisson", "negbinomial", "geometric", "nbinom1"):
        family = family_of(name, "y | rate(d) ~ 1")
        own = {p.name: 2.0 for p in family.own}
        value, scores = family.at(np.array(eta), own, LINKS["log"]).evaluate(np.array(3.0))
        assert np.isfinite([value, *scores]).all()


@pytest.mark.parametrize("name", ["poisson", "negbinomial", "geometric", "nbinom1"])
def test_the_kernel_of_rates_is_the_graph(counts, name):
    assert_kernel_is_the_graph(hb.Model("y | rate(over) ~ x + (1 | g)", counts, family=name))


@pytest.mark.parametrize("name", ["gaussian", "student"])
@pytest.mark.parametrize("sigma", ["", ", sigma=True"])
def test_the_kernel_with_standard_errors_is_the_graph(name, sigma):
    rows = pd.concat([BCG, BCG.assign(log_rr=BCG["log_rr"] + 0.1)])
    model = hb.Model(f"log_rr | se(se{sigma}) ~ latitude + (1 | trial)", rows, family=name)
    assert_kernel_is_the_graph(model)


# -- what they are for --------------------------------------------------------------------------------------------


def test_a_rate_of_a_poisson_is_an_offset(counts):
    """Down to the default priors."""
    rate = hb.Model("y | rate(over) ~ x + (1 | g)", counts, family="poisson").fit(seed=1, progress=False)
    offset = hb.fit("y ~ x + (1 | g) + offset(log(over))", counts, family="poisson", seed=2, progress=False)
    mine, theirs = rate.summary(), offset.summary()
    noise = np.hypot(mine["sd"] / np.sqrt(mine["ess_bulk"]), theirs["sd"] / np.sqrt(theirs["ess_bulk"]))
    assert (np.abs(mine["mean"] - theirs["mean"]) < 5 * noise).all()
    assert abs(rate.logo("g").elpd - offset.logo("g").elpd) < 1  # with Monte Carlo errors of some 0.2
    new = {"x": [0.0], "over": [3.0], "g": [1]}
    assert_allclose(rate.predict(new)["mean"], offset.predict(new)["mean"], rtol=0.03)
    with pytest.raises(hb.DataError, match="no column 'over'"):
        rate.predict({"x": [0.0], "g": [1]})


def dense(theta, data, restricted=False):
    """Log likelihood of a random-effects meta-analysis with a moderator: a dense normal density."""
    X = np.column_stack([np.ones(len(data)), data["latitude"]])
    V = np.diag(data["se"] ** 2 + np.exp(2 * theta))
    precision = np.linalg.inv(V)
    b = np.linalg.solve(X.T @ precision @ X, X.T @ precision @ data["log_rr"])
    value = stats.multivariate_normal(X @ b, V).logpdf(data["log_rr"])
    return value, b


def test_the_dense_density_gives_metafors_estimates():
    """rma(log_rr ~ latitude, sei=se, data=bcg, method="ML"), metafor 4.6 of R."""
    best = optimize.minimize_scalar(lambda theta: -dense(theta, BCG)[0], bounds=(-6, 2), method="bounded")
    value, b = dense(best.x, BCG)
    assert_allclose(value, -7.68565691985, rtol=1e-7)
    assert_allclose(b, [0.28210009, -0.02950927], rtol=1e-4)
    assert_allclose(np.exp(2 * best.x), 0.03435870519, rtol=1e-3)


def test_collapsed_takes_known_standard_errors():
    """Its posterior is the dense density times the prior, on a grid; and whitened's."""
    model = hb.Model("log_rr | se(se) ~ 1 + (1 | trial)", BCG)
    fits = [model.fit(seed=1, progress=False, strategy=s, draws=2000) for s in ("collapsed", "whitened")]
    assert "sigma" not in fits[0].posterior
    prior = {row["class"]: row["prior"] for row in model.priors.to_dict("records")}
    rate = float(prior["sd"].removeprefix("Exponential(lam=").rstrip(")"))
    location, width = (
        float(part.split("=")[1]) for part in prior["Intercept"].strip(")").split("(")[1].split(",")
    )
    tau = np.linspace(1e-4, 4, 1500)
    total = BCG["se"].to_numpy()[:, None] ** 2 + tau**2
    precision, y = 1 / total, BCG["log_rr"].to_numpy()[:, None]
    joint = (1 / width**2) + precision.sum(0)
    mean = (location / width**2 + (precision * y).sum(0)) / joint
    quadratic = (precision * (y - mean) ** 2).sum(0) + (mean - location) ** 2 / width**2
    log = -0.5 * (np.log(total).sum(0) + np.log(joint) + quadratic) - rate * tau
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    exact = {"Intercept": weight @ mean, "sd[trial, Intercept]": weight @ tau}
    for fit in fits:
        table = fit.summary()
        for name, value in exact.items():
            row = table.loc[name]
            assert abs(row["mean"] - value) < 4.5 * row["sd"] / np.sqrt(row["ess_bulk"]), (name, value)
    values = likelihood_of(fits[0], "log_rr")
    effects = fits[0].posterior["r_trial"].sel(trial=list(BCG["trial"])).to_numpy()[..., 0]
    mu = (fits[0].posterior["b"].to_numpy() + effects).reshape(-1, 13)
    assert_allclose(values, stats.norm(mu, BCG["se"]).logpdf(BCG["log_rr"]), rtol=1e-9)


def test_a_formula_that_is_an_offset_alone_is_a_known_standard_error():
    formula = {"mu": "log_rr ~ 1 + (1 | trial)", "sigma": "~ 0 + offset(log(se))"}
    written, stated = (hb.Model(f, BCG) for f in (formula, "log_rr | se(se) ~ 1 + (1 | trial)"))
    tables = [model.fit(seed=1, progress=False) for model in (written, stated)]
    assert [fit.tree.attrs["strategy"] for fit in tables] == ["collapsed"] * 2
    pd.testing.assert_frame_equal(*(fit.summary() for fit in tables))


def test_sigma_beside_standard_errors_is_an_effect_a_row():
    """sqrt(sigma² + se²) in every row is `(1 | trial)`'s sd beside se."""
    beside = hb.fit(
        "log_rr | se(se, sigma=True) ~ 1", BCG, priors={"sigma": "Exponential(1)"}, seed=1, progress=False
    )
    priors = {"sd": "Exponential(1)"}
    effect = hb.fit("log_rr | se(se) ~ 1 + (1 | trial)", BCG, priors=priors, seed=1, progress=False)
    mine, theirs = beside.summary().loc["sigma"], effect.summary().loc["sd[trial, Intercept]"]
    noise = np.hypot(*(row["sd"] / np.sqrt(row["ess_bulk"]) for row in (mine, theirs)))
    assert abs(mine["mean"] - theirs["mean"]) < 4 * noise


def test_new_rows_need_standard_errors_for_responses_alone(tmp_path):
    fit = hb.fit("log_rr | se(se) ~ latitude + (1 | trial)", BCG, seed=1, progress=False)
    new = {"latitude": [13.0], "trial": [None]}
    assert np.isfinite(fit.predict(new).to_numpy()).all()
    with pytest.raises(hb.DataError, match="add the column 'se'"):
        fit.predict(new, kind="response")
    assert np.isfinite(fit.predict(new | {"se": [0.2]}, kind="response").to_numpy()).all()
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    assert again.formula == fit.formula
    pd.testing.assert_frame_equal(again.predict(new), fit.predict(new))
    assert "se(se)" in repr(again)
    assert "offset" not in repr(again)


# -- lognormal responses ------------------------------------------------------------------------------------------


def test_lognormal_responses_are_collapsed():
    rng, columns = grouped(300, 30, seed=5)
    data = pd.DataFrame(columns | {"y": np.exp(1 + columns["eta"] + rng.normal(scale=0.6, size=300))})
    model = hb.Model("y ~ x + (1 | g)", data, family="lognormal")
    fits = [model.fit(seed=1, progress=False, strategy=s) for s in ("auto", "whitened")]
    assert fits[0].tree.attrs["strategy"] == "collapsed"
    mine, theirs = (fit.summary() for fit in fits)
    noise = np.hypot(*(table["sd"] / np.sqrt(table["ess_bulk"]) for table in (mine, theirs)))
    assert (np.abs(mine["mean"] - theirs["mean"]) < 4.5 * noise).all()
    posterior = fits[0].posterior
    b, r = posterior["b"].to_numpy().reshape(-1, 2), posterior["r_g"].to_numpy().reshape(-1, 30)
    mu = b[:, :1] + b[:, 1:] * data["x"].to_numpy() + r[:, data["g"]]
    exact = stats.lognorm(posterior["sigma"].to_numpy().reshape(-1, 1), scale=np.exp(mu)).logpdf(data["y"])
    assert_allclose(likelihood_of(fits[0], "y"), exact, rtol=1e-8, atol=1e-10)
    mean = np.exp(mu + posterior["sigma"].to_numpy().reshape(-1, 1) ** 2 / 2).mean(axis=0)
    assert_allclose(fits[0].predict(data)["mean"], mean, rtol=1e-9)
