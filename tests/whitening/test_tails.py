"""Tail transforms on either side: exact changes of coordinates, found where a log density has no end."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import hierbayes as hb
from hierbayes.answers.convergence import ess
from hierbayes.engine.whitened import to_question
from hierbayes.engine.whitening.laplace import laplace_start
from hierbayes.engine.whitening.tails import LEFT_RATE, RIGHT_RATE, before_tails, two_tails
from tests.families.fits import Graph
from tests.seeds import shifted
from tests.whitening.points import assert_density

ROWS = [
    np.array([*sides, unit])
    for sides in ((0, 0, 0, 0), (-1, 2, 0, 0), (0, 0, 1.5, 0.5), (-0.5, 1, 2, 4))
    for unit in (1.0, 0.3)
]


@pytest.mark.parametrize("tails", ROWS, ids=str)
def test_tails_rise_as_their_slopes_say_and_have_an_inverse(tails):
    places = np.linspace(-9.0, 9.0, 37)
    for t in places:
        s, slope, turn = two_tails(t, tails)
        before, after = two_tails(t - 1e-5, tails), two_tails(t + 1e-5, tails)
        np.testing.assert_allclose((after[0] - before[0]) / 2e-5, slope, rtol=1e-8)
        np.testing.assert_allclose((np.log(after[1]) - np.log(before[1])) / 2e-5, turn, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(before_tails(np.array([s]), tails[None]), t, rtol=1e-10, atol=1e-10)
        assert slope >= 1.0


def successes() -> pd.DataFrame:
    """Successes that vary no more than a binomial's, in groups."""
    rng = np.random.default_rng(4)
    g = np.arange(60) % 12
    p = special.expit(-1.5 + rng.normal(scale=0.5, size=12)[g])
    trials = rng.integers(5, 25, size=60)
    return pd.DataFrame({"g": g, "trials": trials, "y": rng.binomial(trials, p)})


def zeros(sites: int = 20) -> pd.DataFrame:
    """Counts, with an excess of zeros in half of the sites, and none in the others."""
    rng = np.random.default_rng(6)
    site = np.arange(12 * sites) % sites
    mined = (site < sites // 2).astype(int)
    mu = np.exp(0.6 + rng.normal(scale=0.3, size=sites)[site])
    y = rng.poisson(mu) * (rng.random(12 * sites) > 0.4 * mined)
    return pd.DataFrame({"y": y, "mined": mined, "site": site})


MODELS = {
    "betabinomial": lambda: hb.Model("y | trials(trials) ~ 1 + (1 | g)", successes(), family="betabinomial"),
    "zero_inflated_poisson": lambda: hb.Model(
        {"mu": "y ~ 1 + (1 | site)", "zi": "~ mined"}, zeros(), family="zero_inflated_poisson"
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_density_is_that_of_the_graph_with_the_jacobian(name):
    model = MODELS[name]()
    whitened = assert_density(model, Graph(model.graph()), scale=1.5)
    mapping = whitened.packed.mapping
    assert whitened.start.converged
    if name == "betabinomial":
        assert mapping.tails[0, RIGHT_RATE] > 0  # phi may as well be infinite
        assert mapping.tails[0, LEFT_RATE] == 0
    else:
        assert len(mapping.bends) > 0
        measures, ways = mapping.directions
        np.testing.assert_allclose(measures @ ways.T, np.eye(len(ways)), atol=1e-10)


def test_the_direction_without_an_end_is_a_cell_s_log_odds():
    """Where nothing was mined there may be no excess of zeros: those log odds move, and no others."""
    model = MODELS["zero_inflated_poisson"]()
    packed = laplace_start(to_question(model.spec, model.design)).packed
    intercept, slope = packed.model.predictors[1]
    way = packed.mapping.directions[1, 0]
    assert not way[:intercept].any()  # counts have their mean whatever the log odds are
    centred = np.array([-0.5, 0.5])
    unmined, mined = way[intercept] + way[slope - 1] * centred
    assert unmined < 0  # further out is smaller
    assert abs(mined) < 0.1 * abs(unmined)


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", {"mu": "y ~ x + (1 | g)", "shape": "~ x"}], ids=str)
def test_what_the_data_know_has_no_tail_transform(formula):
    rng = np.random.default_rng(2)
    x, g = rng.normal(size=600), np.arange(600) % 30
    mu = np.exp(1.5 + 0.3 * x + rng.normal(scale=0.5, size=30)[g])
    frame = pd.DataFrame({"x": x, "g": g, "y": rng.negative_binomial(2, 2 / (2 + mu))})
    model = hb.Model(formula, frame, family="negbinomial")
    mapping = laplace_start(to_question(model.spec, model.design)).packed.mapping
    assert not mapping.tails[:, [LEFT_RATE, RIGHT_RATE]].any()
    assert len(mapping.bends) == 0


PROBABILITIES = np.array([0.025, 0.25, 0.5, 0.75, 0.95, 0.99])


def assert_quantiles(draws: np.ndarray, places: np.ndarray, density: np.ndarray) -> None:
    """Draws (chain, draw) lie below a grid's quantiles as often as they should, within their Monte Carlo error."""
    p = np.cumsum(density) / density.sum()
    for probability, place in zip(PROBABILITIES, np.interp(PROBABILITIES, p, places), strict=True):
        below = (draws <= place).astype(float)
        error = (probability * (1 - probability) / ess(below[..., None])[0]) ** 0.5
        assert abs(below.mean() - probability) < 4 * error, probability


def test_draws_of_a_dispersion_without_an_end_are_of_the_exact_posterior():
    rng = np.random.default_rng(3)
    y = rng.binomial(12, 0.3, size=40)
    priors = {"Intercept": "Normal(-0.8, 1)", "phi": "InverseGamma(0.4, 0.3)"}
    frame = pd.DataFrame({"y": y, "n": 12})
    model = hb.Model("y | trials(n) ~ 1", frame, family="betabinomial", priors=priors)
    assert laplace_start(to_question(model.spec, model.design)).packed.mapping.tails[0, RIGHT_RATE] > 0
    fit = model.fit(draws=2000, seed=shifted(1), strategy="whitened", progress=False)
    log_phi = np.log(fit.tree["posterior"]["phi"].values)
    eta, t = np.linspace(-2.2, 0.4, 160), np.arange(-3.0, 50.0, 0.05)
    phi = np.exp(np.minimum(t, 18.0))[:, None]  # further out it is a binomial to the last digit
    p = special.expit(eta)
    height = sum(
        count * stats.betabinom.logpmf(k, 12, phi * p, phi * (1 - p))
        for k, count in zip(*np.unique(y, return_counts=True), strict=True)
    )
    height = height + stats.norm.logpdf(eta, -0.8, 1.0) + (-0.4 * t - 0.3 * np.exp(-t))[:, None]
    assert_quantiles(log_phi, t + 0.025, np.exp(height - height.max()).sum(axis=1))
    assert (
        ess(log_phi[..., None])[0] > 3500
    )  # of 8000; 6600 and more over three seeds, 1700 at most without tails


def test_draws_of_log_odds_without_an_end_are_of_the_exact_posterior():
    rng = np.random.default_rng(8)
    half = np.repeat([-0.5, 0.5], 60)
    y = rng.poisson(2.0, size=120) * (rng.random(120) > np.where(half > 0, 0.4, 0.0))
    priors = {"Intercept": "Normal(0.7, 1)", "zi.Intercept": "Normal(0, 2.5)", "zi.b": "Normal(0, 3)"}
    frame = pd.DataFrame({"y": y, "half": half})
    model = hb.Model({"mu": "y ~ 1", "zi": "~ half"}, frame, family="zero_inflated_poisson", priors=priors)
    fit = model.fit(draws=2000, seed=shifted(1), strategy="whitened", progress=False)
    b = fit.tree["posterior"]["b_zi"].values
    log_mu = np.linspace(0.2, 1.2, 60)[:, None, None]
    odds = [np.linspace(-24.0, 3.0, 500)[:, None], np.linspace(-4.0, 2.5, 160)]
    height = stats.norm.logpdf(log_mu, 0.7, 1.0)
    height = height + stats.norm.logpdf((odds[0] + odds[1]) / 2, 0.0, 2.5)
    height = height + stats.norm.logpdf(odds[1] - odds[0], 0.0, 3.0)
    for side, eta in zip((-0.5, 0.5), odds, strict=True):
        own = y[half == side]
        zero = np.logaddexp(special.log_expit(eta), special.log_expit(-eta) - np.exp(log_mu))
        some = special.log_expit(-eta) - np.exp(log_mu)
        height = height + (own == 0).sum() * zero + (own > 0).sum() * some + own.sum() * log_mu
    density = np.exp(height - height.max())
    for axis, sign, effective in ((1, -0.5, 2500), (2, 0.5, 5500)):
        grid = np.squeeze(odds[axis - 1])
        others = tuple({0, 1, 2} - {axis})
        draws = b[..., 0] + sign * b[..., 1]
        assert_quantiles(draws, grid + 0.5 * (grid[1] - grid[0]), density.sum(axis=others))
        assert ess(draws[..., None])[0] > effective  # of 8000; 4200 and 7200, without tails 2900 and 3600
