"""The pointwise log-likelihood is the family's density of each row, times its weight, in bounded memory."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism import likelihood, normal
from hierbayes.criticism.likelihood import likelihood_chunks

from .test_predict import tame_fit, values_of

pytestmark = pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")

N = 36
RNG = np.random.default_rng(4)
D = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "g": np.tile(list("abcdef"), N // 6),
        "real": RNG.normal(size=N),
        "above": RNG.gamma(2.0, size=N),
        "unit": RNG.uniform(0.1, 0.9, N),
        "count": RNG.poisson(2.0, N),
        "yes": np.tile([0, 1], N // 2),
        "k": RNG.integers(0, 8, N),
        "n": 8 + np.arange(N) % 3,
        "w": np.tile([0.0, 1.0, 2.0], N // 3),
        "e": RNG.uniform(0.5, 2, N),
    }
)

FAMILIES = {
    "gaussian": ("real", lambda eta, a: stats.norm(eta, a["sigma"]).logpdf(D["real"])),
    "student": ("real", lambda eta, a: stats.t(a["nu"], eta, a["sigma"]).logpdf(D["real"])),
    "lognormal": ("above", lambda eta, a: stats.lognorm(a["sigma"], scale=np.exp(eta)).logpdf(D["above"])),
    "bernoulli": ("yes", lambda eta, a: stats.bernoulli(1 / (1 + np.exp(-eta))).logpmf(D["yes"])),
    "binomial": ("k | trials(n)", lambda eta, a: stats.binom(D["n"], 1 / (1 + np.exp(-eta))).logpmf(D["k"])),
    "betabinomial": (
        "k | trials(n)",
        lambda eta, a: stats.betabinom(
            D["n"], a["phi"] / (1 + np.exp(-eta)), a["phi"] / (1 + np.exp(eta))
        ).logpmf(D["k"]),
    ),
    "poisson": ("count", lambda eta, a: stats.poisson(np.exp(eta)).logpmf(D["count"])),
    "negbinomial": (
        "count",
        lambda eta, a: stats.nbinom(a["shape"], a["shape"] / (a["shape"] + np.exp(eta))).logpmf(D["count"]),
    ),
    "gamma": (
        "above",
        lambda eta, a: stats.gamma(a["shape"], scale=np.exp(eta) / a["shape"]).logpdf(D["above"]),
    ),
    "beta": (
        "unit",
        lambda eta, a: stats.beta(a["phi"] / (1 + np.exp(-eta)), a["phi"] / (1 + np.exp(eta))).logpdf(
            D["unit"]
        ),
    ),
}


def eta_of(fit):
    """X b + offset + r of the row's level, by hand: (S, n)."""
    b, r = values_of(fit, "b"), values_of(fit, "r_g")
    codes = D["g"].map({level: place for place, level in enumerate("abcdef")}).to_numpy()
    x = D["x"].to_numpy()
    return b[:, [0]] + b[:, [1]] * x + np.log(D["e"].to_numpy()) + r[:, codes, 0] + r[:, codes, 1] * x


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_rows_density(family, weighted):
    response, expected = FAMILIES[family]
    addition = (" + weights(w)" if "|" in response else " | weights(w)") if weighted else ""
    model = hb.Model(f"{response}{addition} ~ x + offset(log(e)) + (x | g)", D, family=family)
    fit = tame_fit(model, draws=20)
    tree = fit.log_likelihood()
    (name,) = tree["log_likelihood"].data_vars
    assert name == response.split(" |")[0]
    values = tree["log_likelihood"][name]
    assert values.dims == ("chain", "draw", "__obs__")
    assert set(tree.children) == {*fit.tree.children, "log_likelihood"}
    aux = {n: values_of(fit, n)[:, None] for n in fit.spec.plain_parameters}
    want = expected(eta_of(fit), aux) * (D["w"].to_numpy() if weighted else 1.0)
    np.testing.assert_allclose(values.to_numpy().reshape(-1, N), want, rtol=1e-9, atol=1e-11)


def test_a_formula_for_sigma_counts():
    fit = tame_fit(hb.Model({"mu": "real ~ x", "sigma": "~ x + (1 | g)"}, D), draws=20)
    b, b_sigma, r = (values_of(fit, name) for name in ("b", "b_sigma", "r_sigma_g"))
    codes = D["g"].map({level: place for place, level in enumerate("abcdef")}).to_numpy()
    x = D["x"].to_numpy()
    sigma = np.exp(b_sigma[:, [0]] + b_sigma[:, [1]] * x + r[:, codes, 0])
    want = stats.norm(b[:, [0]] + b[:, [1]] * x, sigma).logpdf(D["real"])
    values = fit.log_likelihood()["log_likelihood"]["real"].to_numpy().reshape(-1, N)
    np.testing.assert_allclose(values, want, rtol=1e-10)


@pytest.mark.parametrize(
    "formula", ["real ~ x + (x || g) + (1 | h)", "above | weights(w) ~ 0 + (x | g) + (1 | h)"]
)
def test_rows_of_one_scale_have_the_familys_density(formula, monkeypatch):
    """Sums over a table of coefficients and effects, few levels at a time, against the linear predictor."""
    data = D.assign(h=np.arange(N) % 5)
    fit = tame_fit(
        hb.Model(formula, data, family="lognormal" if "above" in formula else "gaussian"), draws=20
    )
    draws, (name,) = flatten(fit.spec, fit.posterior), fit.log_likelihood()["log_likelihood"].data_vars
    monkeypatch.setattr(likelihood, "has_one_scale", lambda spec: False)
    want = fit.log_likelihood()["log_likelihood"][name].to_numpy().reshape(-1, N)
    monkeypatch.undo()
    monkeypatch.setattr(normal, "LEVEL_ENTRIES", 7 * len(draws))
    found = np.full(want.shape, np.nan)
    for places, values in likelihood_chunks(fit.spec, draws, fit.design, entries=4 * len(draws)):
        found[:, places] = values
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-13)


def test_chunks_are_the_whole_in_pieces():
    fit = tame_fit(hb.Model("count ~ x + (x | g)", D, family="poisson"), draws=20)
    whole = fit.log_likelihood()["log_likelihood"]["count"].to_numpy().reshape(-1, N)
    pieces = list(likelihood_chunks(fit.spec, flatten(fit.spec, fit.posterior), fit.design, entries=40 * 7))
    assert [len(places) for places, _ in pieces] == [7] * (N // 7) + [N % 7]
    found = np.full(whole.shape, np.nan)
    for places, values in pieces:
        found[:, places] = values
    np.testing.assert_allclose(found, whole, rtol=1e-13)


def test_memory_is_that_of_the_answer_and_a_chunk():
    rows, draws = 20_000, 500
    many = pd.DataFrame({"x": RNG.normal(size=rows), "g": np.arange(rows) % 50, "y": RNG.poisson(1.0, rows)})
    fit = tame_fit(hb.Model("y ~ x + (x | g)", many, family="negbinomial"), draws=draws, chains=1)
    tracemalloc.start()
    fit.log_likelihood()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * rows * draws + 200e6
