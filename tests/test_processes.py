"""Gaussian processes: what formulas say, densities against exact processes and the graph, answers and findings."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.stats import expon, gamma, invgamma, multivariate_normal

import hierbayes as hb
from hierbayes.criticism.processchecks import check_processes, longest, shortest
from hierbayes.engine.collapsed import to_problem
from hierbayes.engine.gaussian.collapsed import arrange, density_of, route_of
from hierbayes.engine.gaussian.moments import moments
from hierbayes.errors import DataError, FormulaError
from hierbayes.formula import parse
from hierbayes.structures import SPECTRA
from tests.families.fits import assert_kernel_is_the_graph
from tests.integrals import densities
from tests.test_smooths import FRAME
from tests.whitening.points import Whitened

# -- formulas ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "y ~ gp(x)",
        'y ~ z + gp(x, k=15, c=1.5, cov="matern52") + (1 | g)',
        "y ~ gp(x, z, k=5, by=f)",
        "y ~ gp(x, c=5 / 4)",
    ],
)
def test_a_formula_is_read_and_written(text):
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("y ~ gp(x) * f", "a smooth is a term of its own", "gp(x)"),
        ("y ~ gp(x, 10)", "keywords are written out: gp(x, k=10)", "10"),
        ('y ~ gp(x, cov="periodic")', 'there are "exp_quad"', '"periodic"'),
        ("y ~ gp(x, bs=2)", "it has k, by, c and cov", "2"),
        ("y ~ gp(x, k=2)", "3 or more", "2)"),
        ("y ~ gp(x, c=0.4)", "c is above 0.5", "0.4"),
        ("y ~ gp(x, c=1/4)", "c is above 0.5", "/4"),
        ("y ~ gp(x, c=5/0)", "c of gp() is a number", "/0"),
        ("y ~ gp(x, z, w)", "one predictor or two", "w"),
        ("gp(y) ~ x", "a Gaussian process is a term of its own", "gp(y)"),
    ],
)
def test_what_cannot_be_read_has_a_caret_below_it(text, words, place):
    with pytest.raises(FormulaError) as error:
        parse(text)
    assert words in str(error.value)
    line, caret = str(error.value).split("\n")[1:3]
    assert caret.index("^") == line.index(place)


def test_the_default_prior_of_the_length_scale_is_brmss():
    """1 % lies below the smallest distance of two rows and 1 % above the largest: brms's `def_lscale_prior`."""
    values = np.array([0.0, 0.3, 1.0, 2.5, 4.0, 7.0])
    model = hb.Model("y ~ gp(x, k=5)", pd.DataFrame({"x": values, "y": values**0.5}))
    prior = dict(model.spec.prior("lscale", coefficient="gp(x)").args)
    found = invgamma(prior["alpha"], scale=prior["beta"])
    assert_allclose([found.cdf(0.3), found.sf(7.0)], 0.01, rtol=1e-6)
    assert [q.name for q in model.spec.quantities] == ["Intercept", "sdgp[gp(x)]", "lscale[gp(x)]", "sigma"]


# in log density, for k = 40 along one predictor and 22 along each of two: frequencies that are left out are variance
# that is left out, and a Matérn process has more of it the rougher it is and the more directions there are
ERRORS = {("exp_quad", 1): 0.1, ("matern52", 1): 0.15, ("matern32", 1): 0.35}
ERRORS |= {("exp_quad", 2): 0.15, ("matern52", 2): 0.4, ("matern32", 2): 0.8}


# -- the covariance ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("name", SPECTRA)
def test_a_spectral_density_is_the_covariances_transform(name, d):
    """Its integral over all frequencies, over (2π)^d, is the variance; and so is that times cos(ω r) the covariance."""
    spectrum, lscale = SPECTRA[name], 0.7
    from scipy.integrate import quad
    from scipy.special import j0

    for r in (0.0, 0.5, 1.4):

        def part(w, r=r):
            density = np.exp(spectrum.log_density(np, lscale, w**2, d))
            return density * (np.cos(w * r) / np.pi if d == 1 else w * j0(w * r) / (2 * np.pi))

        found = quad(part, 0, 4000, limit=4000, points=[1, 10, 100])[0]
        assert found == pytest.approx(float(spectrum.correlation(np.array(r / lscale))), abs=2e-4)


@pytest.mark.parametrize("cov", SPECTRA)
@pytest.mark.parametrize("d", [1, 2])
def test_the_density_is_that_of_an_exact_process(cov, d):
    """Within the length scales that k and c stand for; the rest is beyond what the page promises."""
    rng = np.random.default_rng(7)
    n = 40
    frame = pd.DataFrame({"x": rng.uniform(0, 10, n), "z": rng.uniform(0, 8, n)})
    frame["y"] = np.sin(frame["x"]) + 0.2 * frame["z"] + rng.normal(scale=0.3, size=n)
    formula = f"y ~ gp(x, k=40, cov='{cov}')" if d == 1 else f"y ~ gp(x, z, k=22, cov='{cov}')"
    priors = {
        "Intercept": "Normal(0, 1)",
        "sdgp": "Exponential(1)",
        "lscale": "Gamma(4, 2)",
        "sigma": "Exponential(2)",
    }
    model = hb.Model(formula, frame, priors=priors)
    problem = to_problem(model.spec, model.design)
    evaluate = density_of(arrange(problem, moments(problem), route_of(problem))).evaluator()
    curve = model.spec.layout.predictors["mu"].curves[0]
    typical = curve.shapes[0].typical(np.empty(0))
    places = frame[["x", "z"][:d]].to_numpy()
    distance = np.sqrt(((places[:, None] - places) ** 2).sum(axis=2))
    least, most = shortest(curve.process), longest(curve.process)
    error = []
    for lscale in (1.3 * least, np.sqrt(1.3 * least * most), most):
        for sdgp in (0.5, 1.5):
            covariance = sdgp**2 * SPECTRA[cov].correlation(distance / lscale) + 0.09 * np.eye(n) + 1.0
            exact = multivariate_normal(np.zeros(n), covariance).logpdf(frame["y"])
            exact += expon.logpdf(sdgp) + gamma(4, scale=0.5).logpdf(lscale) + expon(scale=0.5).logpdf(0.3)
            exact += np.log(0.3 * sdgp * lscale)  # of theta, which are logarithms
            theta = np.log([0.3, sdgp, lscale / typical])
            error.append(evaluate(theta)[0] - exact)
    assert np.abs(error).max() < ERRORS[cov, d], error


@pytest.mark.parametrize(
    ("formula", "priors"),
    [
        ("y ~ gp(x, k=6)", {}),
        ('y ~ z + gp(x, k=5, by=f, cov="matern32") + (1 | g)', {"lscale": "LogNormal(1, 0.5)"}),
        ('y ~ gp(x, z, k=4, cov="matern52")', {"sdgp": "Fixed(0.8)"}),
    ],
)
def test_the_collapsed_density_is_the_graphs_integral(formula, priors):
    for found, wanted in densities(hb.Model(formula, FRAME, priors=priors), scale=0.4):
        assert found == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("count ~ gp(x, k=6) + (1 | g)", "poisson", {}),
        ('yes ~ f + gp(x, k=4, by=f, cov="matern52")', "bernoulli", {"sdgp": "HalfNormal(2)"}),
        ({"mu": "y ~ gp(x, k=5)", "sigma": "~ gp(z, k=5, cov='matern32')"}, "gaussian", {}),
        ("count ~ gp(x, k=5, by=z)", "negbinomial", {"lscale": "Fixed(0.7)"}),
    ],
)
def test_the_whitened_density_is_the_graphs(formula, family, priors):
    assert_kernel_is_the_graph(hb.Model(formula, FRAME, family=family, priors=priors))


@pytest.mark.parametrize("cov", SPECTRA)
def test_a_gradient_is_that_of_differences(cov):
    whitened = Whitened(hb.Model(f"count ~ gp(x, k=6, cov='{cov}') + (1 | g)", FRAME, family="poisson"))
    position = np.random.default_rng(3).normal(scale=0.5, size=whitened.packed.dim)
    gradient = whitened.evaluate(position)[1].copy()  # the evaluator's own array
    assert_allclose(gradient, whitened.differences(position), atol=1e-5)


# -- answers ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fit():
    priors = {"lscale": "InverseGamma(5, 8)", "sdgp": "HalfNormal(1.5)"}
    return hb.fit("y ~ gp(x, k=25)", FRAME, priors=priors, seed=1, progress=False)


def test_the_posterior_is_that_of_the_exact_process(fit):
    """By a grid over sdgp, the length scale and sigma: the mean of the curve and of the length scale."""
    x, y = FRAME["x"].to_numpy(), FRAME["y"].to_numpy()
    priors = {p.kind: dict(p.prior.args) for p in fit.spec.priors}
    at = np.linspace(0.5, 9.5, 8)
    sds, lscales, sigmas = np.geomspace(0.2, 6, 22), np.geomspace(0.5, 5, 30), np.geomspace(0.2, 0.6, 20)
    logs, means = [], []
    location, width = priors["Intercept"]["mu"], priors["Intercept"]["sigma"]
    for lscale in lscales:
        shape = np.exp(-0.5 * (x[:, None] - x) ** 2 / lscale**2)
        across = np.exp(-0.5 * (at[:, None] - x) ** 2 / lscale**2)
        prior = invgamma(priors["lscale"]["alpha"], scale=priors["lscale"]["beta"]).logpdf(lscale)
        for sd in sds:
            values, vectors = np.linalg.eigh(sd**2 * shape + width**2)
            rotated = vectors.T @ (y - location)
            for sigma in sigmas:
                total = values + sigma**2
                log = prior - 0.5 * (sd / 1.5) ** 2 - priors["sigma"]["lam"] * sigma
                log += np.log(lscale * sd * sigma) - 0.5 * (np.log(total) + rotated**2 / total).sum()
                logs.append(log)
                inner = vectors @ (rotated / total)
                means.append([lscale, *((sd**2 * across + width**2) @ inner + location)])
    weights = np.exp(np.array(logs) - np.max(logs))
    exact = weights @ np.array(means) / weights.sum()
    lscale = np.asarray(fit.posterior["lscale_gp(x)"]).ravel()
    assert lscale.mean() == pytest.approx(exact[0], abs=0.1 * lscale.std())
    found = fit.predict(pd.DataFrame({"x": at}))
    assert np.abs((found["mean"] - exact[1:]) / found["sd"]).max() < 0.12


def test_answers(fit):
    table = fit.summary()
    assert list(table.index) == ["Intercept", "sdgp[gp(x)]", "lscale[gp(x)]", "sigma"]
    curve = fit.conditional_smooths(resolution=7)
    assert set(curve["smooth"]) == {"gp(x)"}
    whole = fit.predict(pd.DataFrame({"x": curve["value"]}), output="draws")
    b = np.asarray(fit.posterior["b"])[..., 0].ravel()
    assert_allclose(np.asarray(whole).reshape(-1, 7).mean(axis=0) - b.mean(), curve["mean"], atol=1e-6)
    freedom = fit.edf()
    assert freedom["columns"].item() == 25
    assert 4 < freedom["mean"].item() < 16
    assert fit.prior_sensitivity().loc["lscale[gp(x)]", "prior"] >= 0
    assert np.isfinite(fit.loo().elpd)


def test_a_saved_fit_predicts_the_same(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    new = pd.DataFrame({"x": [0.7, 5.5]})
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").predict(new), fit.predict(new))


def test_far_from_the_data_there_is_no_process(fit):
    with pytest.warns(hb.DataWarning, match="beyond the training rows"):
        fit.predict(pd.DataFrame({"x": [14.0]}))
    beyond = pytest.warns(hb.DataWarning, match="beyond the training rows")
    with beyond, pytest.raises(DataError, match=r"gp\(x, k=25\).*fit with c="):
        fit.predict(pd.DataFrame({"x": [30.0]}))


def _findings(formula: str, lscale: float):
    model = hb.Model(formula, FRAME)
    draws = lscale * np.random.default_rng(1).uniform(0.95, 1.05, (4, 100))
    posterior = xr.Dataset({"lscale_gp(x)": (("chain", "draw"), draws)})
    return {finding.code: str(finding) for finding in check_processes(model.spec, posterior)}


def _named(formula: str, lscale: float) -> int:
    return int(re.search(r"Fit with k=(\d+)", _findings(formula, lscale)["few-functions"]).group(1))


def test_too_few_functions_are_found_and_the_named_number_is_enough():
    found = _findings("y ~ gp(x, k=30)", 0.5)
    assert list(found) == ["few-functions"]
    assert "the 30 functions of gp(x)" in found["few-functions"]
    k = _named("y ~ gp(x, k=30)", 0.5)
    assert 1.75 * 1.25 * np.ptp(FRAME["x"]) / k == pytest.approx(0.48, abs=0.02)
    assert not _findings(f"y ~ gp(x, k={k})", 0.5)
    assert _findings(f"y ~ gp(x, k={k - 2})", 0.5)


def test_draws_far_below_what_the_functions_follow_name_no_number_but_twice_as_many():
    assert _named("y ~ gp(x, k=12)", 0.5) == _named("y ~ gp(x, k=12)", 0.01) == 24


def test_a_narrow_box_is_found_and_the_named_one_is_enough():
    found = _findings("y ~ gp(x)", 6.0)
    assert list(found) == ["narrow-box"]
    c, k = re.search(r"Fit with c=([\d.]+), k=(\d+)", found["narrow-box"]).groups()
    assert not _findings(f"y ~ gp(x, c={c}, k={k})", 6.0)


def test_simulation_from_known_parameters():
    known = {"Intercept": 2.0, "sdgp[gp(x)]": 1.5, "lscale[gp(x)]": 1.0, "sigma": 0.01}
    model = hb.Model("y ~ gp(x, k=40)", FRAME)
    draws = np.stack([np.asarray(model.simulate(known, seed=s)["y"]) for s in range(200)])
    assert draws.std(axis=0).mean() == pytest.approx(1.5, rel=0.1)
