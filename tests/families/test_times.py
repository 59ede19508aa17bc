"""Families of times and of numbers with tails: densities against SciPy, estimates against brms."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import hierbayes as hb
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from hierbayes.priors import parse_prior
from tests.families.fits import assert_kernel_is_the_graph
from tests.seeds import shifted

POSITIVE, REAL = np.array([0.05, 0.7, 2.0, 30.0])[:, None], np.array([-9.0, -0.4, 1.0, 20.0])[:, None]
ETA, ABOVE = np.array([-1.0, 0.3, 2.0]), np.array([0.3, 1.0, 4.0])


def skew_normal(mu, sigma, alpha):
    delta = alpha / np.sqrt(1 + alpha**2)
    scale = sigma / np.sqrt(1 - 2 / np.pi * delta**2)
    return stats.skewnorm(alpha, mu - scale * delta * np.sqrt(2 / np.pi), scale)


def asym_laplace(mu, sigma, quantile):
    kappa = np.sqrt(quantile / (1 - quantile))
    return stats.laplace_asymmetric(kappa, mu, sigma / np.sqrt(quantile * (1 - quantile)))


CASES = [
    ("exponential", "log", POSITIVE, {}, lambda mu: stats.expon(scale=mu)),
    *(
        (
            "inverse_gaussian",
            "log",
            POSITIVE,
            {"shape": s},
            lambda mu, shape: stats.invgauss(mu / shape, scale=shape),
        )
        for s in (0.6, 9.0)
    ),
    *(
        (
            "shifted_lognormal",
            "identity",
            POSITIVE,
            {"sigma": s, "ndt": 0.04},
            lambda mu, sigma, ndt: stats.lognorm(sigma, loc=ndt, scale=np.exp(mu)),
        )
        for s in (0.3, 0.9)
    ),
    *(
        (
            "exgaussian",
            "identity",
            REAL,
            {"sigma": 1.3, "beta": b},
            lambda mu, sigma, beta: stats.exponnorm(beta / sigma, mu - beta, sigma),
        )
        for b in (0.02, 0.8, 6.0)
    ),
    *(
        ("asym_laplace", "identity", REAL, {"sigma": 1.3, "quantile": q}, asym_laplace)
        for q in (0.1, 0.5, 0.9)
    ),
    *(("skew_normal", "identity", REAL, {"sigma": 3.0, "alpha": a}, skew_normal) for a in (-4.0, 0.0, 1.5)),
    ("geometric", "log", np.array([0.0, 1, 3, 40])[:, None], {}, lambda mu: stats.nbinom(1, 1 / (1 + mu))),
    *(
        (
            "nbinom1",
            "log",
            np.array([0.0, 1, 3, 40])[:, None],
            {"phi": p},
            lambda mu, phi: stats.nbinom(mu / phi, 1 / (1 + phi)),
        )
        for p in (0.05, 3.0)
    ),
]


@pytest.mark.parametrize(
    ("name", "link", "y", "own", "exact"), CASES, ids=[f"{c[0]}-{k}" for k, c in enumerate(CASES)]
)
def test_density_and_moments_are_scipys(name, link, y, own, exact):
    found = FAMILIES[name].at(ETA, own, LINKS[link])
    base = exact(LINKS[link].mean(ETA), **own)
    logs = base.logpdf(y) if hasattr(base.dist, "pdf") else base.logpmf(y)
    keep = logs > -500  # beyond it SciPy's own formulas lose their digits
    assert_allclose(found.log_density(y)[keep], logs[keep], rtol=1e-8, atol=1e-9)
    assert_allclose(found.cdf(y), base.cdf(y), rtol=1e-7, atol=1e-10)
    assert_allclose(found.mean(), base.mean(), rtol=1e-9)
    assert_allclose(found.variance() + 0 * ETA, base.var() + 0 * ETA, rtol=1e-7)


@pytest.mark.parametrize("beta", [1e-8, 1e-4])
def test_an_exgaussian_of_a_small_tail_is_normal(beta):
    y = np.linspace(-4, 4, 9)
    found = FAMILIES["exgaussian"].at(np.zeros(9), {"sigma": 1.0, "beta": beta}, LINKS["identity"])
    value, scores = found.evaluate(y)
    assert_allclose(value, stats.norm.logpdf(y), atol=1e2 * beta)
    assert_allclose(scores[0], y, atol=1e2 * beta + 1e-9)
    assert_allclose(scores[1], y**2 - 1, atol=1e2 * beta + 1e-7)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(12)
    x, g = rng.normal(size=400), np.arange(400) % 20
    eta = 0.4 * x + rng.normal(scale=0.5, size=20)[g]
    return pd.DataFrame(
        {
            "x": x,
            "g": g,
            "time": 0.2 + np.exp(eta / 2 + 0.3 * rng.normal(size=400)),
            "y": eta + rng.normal(size=400) + rng.exponential(size=400),
            "count": rng.poisson(rng.exponential(np.exp(eta))),
        }
    )


MODELS = [
    ("time ~ x + (1 | g)", "exponential", None),
    ("time ~ x + (1 | g)", "inverse_gaussian", "log"),
    ({"mu": "time ~ x + (1 | g)", "sigma": "~ x"}, "shifted_lognormal", None),
    ({"mu": "time ~ x", "ndt": "~ (1 | g)"}, "shifted_lognormal", None),
    ({"mu": "y ~ x + (1 | g)", "beta": "~ x"}, "exgaussian", None),
    ("y ~ x + (1 | g)", "asym_laplace", None),
    ({"mu": "y ~ x + (1 | g)", "alpha": "~ x"}, "skew_normal", None),
    ("count ~ x + (1 | g)", "geometric", None),
    ({"mu": "count ~ x + (1 | g)", "phi": "~ x"}, "nbinom1", None),
]


@pytest.mark.parametrize(
    ("formula", "family", "link"), MODELS, ids=[f"{m[1]}-{k}" for k, m in enumerate(MODELS)]
)
def test_the_kernel_is_the_graph(data, formula, family, link):
    assert_kernel_is_the_graph(hb.Model(formula, data, family=family, link=link))


@pytest.mark.parametrize(
    "prior",
    [
        "Gamma(4, 8)",
        "HalfNormal(0.5)",
        "HalfCauchy(1)",
        "Uniform(0, 5)",
        "Uniform(0.01, 0.05)",
        "Fixed(0.05)",
    ],
)
def test_a_prior_of_the_shift_reaches_beyond_the_least_response(data, prior):
    model = hb.Model("time ~ x + (1 | g)", data, family="shifted_lognormal", priors={"ndt": prior})
    assert str(model.spec.prior("ndt", parameter="ndt")) == str(parse_prior(prior))
    assert_kernel_is_the_graph(model)


@pytest.mark.filterwarnings("ignore::hierbayes.SamplingWarning")
def test_draws_of_a_shift_near_the_least_response_seldom_diverge():
    rng = np.random.default_rng(shifted(3))
    y = 0.6 + np.exp(-0.4 + 0.4 * rng.normal(size=90))
    model = hb.Model("y ~ 1", {"y": y}, family="shifted_lognormal", priors={"ndt": "Gamma(4, 8)"})
    fit = model.fit(seed=1, progress=False)
    assert (
        fit.tree["sample_stats"]["diverging"].sum() < 20
    )  # 65 to 130 where it isn't bounded by the response


def test_the_shift_lies_below_all_responses(data):
    model = hb.Model("time ~ x + (1 | g)", data, family="shifted_lognormal")
    least = data["time"].min()
    assert str(model.spec.prior("ndt", parameter="ndt")) == f"Uniform(lower=0, upper={least:.6g})"
    summary = model.fit(seed=1, target_accept=0.95, progress=False).summary()
    assert summary.loc["ndt", "upper"] < least
    assert abs(summary.loc["ndt", "mean"] - 0.2) < 4 * summary.loc["ndt", "sd"]
    assert abs(summary.loc["x", "mean"] - 0.2) < 4 * summary.loc["x", "sd"]
