"""Every family under every link: density, draws, information and PyMC distribution say the same thing."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

from hierbayes import cli
from hierbayes.errors import UnsupportedError
from hierbayes.families import FAMILIES, get_family, response_scale
from hierbayes.links import LINKS, NUMPY_MATH
from hierbayes.model import Model

TEN = (
    "gaussian", "student", "lognormal", "bernoulli", "binomial", "betabinomial", "poisson", "negbinomial", "gamma",
    "beta",
)  # fmt: skip
# links of which the tables below know the means; tests/test_links.py has every kind under all of its links
OTHER_LINKS = ("cauchit", "softplus", "squareplus", "sqrt", "1/mu^2", "logm1")


def tabled(name):
    """The links that the tables below know of a family."""
    without = OTHER_LINKS + (("identity", "log") if FAMILIES[name].links[0] == "logit" else ())
    return [link for link in FAMILIES[name].links if link not in without]


PAIRS = [(name, link) for name in TEN for link in tabled(name)]
pairs = pytest.mark.parametrize(("name", "link"), PAIRS, ids=[f"{name}-{link}" for name, link in PAIRS])

# SciPy's own word for each inverse link, its logarithm, and the logarithm of one minus it
MEANS = {
    "identity": lambda eta: eta,
    "log": np.exp,
    "inverse": lambda eta: 1 / eta,
    "logit": special.expit,
    "probit": stats.norm.cdf,
    "cloglog": stats.gumbel_l.cdf,
}
LOG_MEANS = {"logit": special.log_expit, "probit": stats.norm.logcdf, "cloglog": stats.gumbel_l.logcdf}
LOG_REST = {
    "logit": lambda eta: special.log_expit(-eta),
    "probit": stats.norm.logsf,
    "cloglog": stats.gumbel_l.logsf,
}
SCIPY = {
    "gaussian": lambda mu, aux, n: stats.norm(mu, aux["sigma"]),
    "student": lambda mu, aux, n: stats.t(aux["nu"], mu, aux["sigma"]),
    "lognormal": lambda mu, aux, n: stats.lognorm(aux["sigma"], scale=np.exp(mu)),
    "bernoulli": lambda mu, aux, n: stats.bernoulli(mu),
    "binomial": lambda mu, aux, n: stats.binom(n, mu),
    "betabinomial": lambda mu, aux, n: stats.betabinom(n, mu * aux["phi"], (1 - mu) * aux["phi"]),
    "poisson": lambda mu, aux, n: stats.poisson(mu),
    "negbinomial": lambda mu, aux, n: stats.nbinom(aux["shape"], aux["shape"] / (aux["shape"] + mu)),
    "gamma": lambda mu, aux, n: stats.gamma(aux["shape"], scale=mu / aux["shape"]),
    "beta": lambda mu, aux, n: stats.beta(mu * aux["phi"], (1 - mu) * aux["phi"]),
}
AUXILIARIES = {
    "gaussian": [{"sigma": 0.3}, {"sigma": 20.0}],
    "student": [{"sigma": 0.3, "nu": 6.0}, {"sigma": 20.0, "nu": 30.0}],
    "gamma": [{"shape": 0.7}, {"shape": 30.0}],
    "lognormal": [{"sigma": 0.3}, {"sigma": 0.8}],
    "negbinomial": [{"shape": 0.7}, {"shape": 30.0}],
    "beta": [{"phi": 4.0}, {"phi": 80.0}],
    "betabinomial": [{"phi": 0.8}, {"phi": 80.0}],
}
RESPONSES = {
    "gaussian": [-50.0, -1.0, 0.0, 0.3, 50.0],
    "student": [-50.0, -1.0, 0.0, 0.3, 50.0],
    "lognormal": [1e-3, 0.4, 1.0, 30.0],
    "bernoulli": [0.0, 1.0],
    "binomial": [0.0, 1.0, 3.0, 7.0],
    "betabinomial": [0.0, 1.0, 3.0, 7.0],
    "poisson": [0.0, 1.0, 4.0, 60.0],
    "negbinomial": [0.0, 1.0, 4.0, 60.0],
    "gamma": [1e-3, 0.4, 1.0, 30.0],
    "beta": [1e-6, 0.2, 0.5, 0.999],
}
TRIALS = 7.0
FAR = 40.0


def moderate(name, link):
    """Linear predictors whose means are ordinary ones."""
    if link in ("logit", "probit", "cloglog"):
        return np.linspace(-2.0, 0.4, 6)
    if link == "log":
        return np.linspace(-2.0, 3.0, 7)
    if name in ("gaussian", "student", "lognormal"):
        return np.array([-2.5, -1.0, -0.4, 0.4, 1.0, 2.5])
    return np.array([0.05, 0.4, 1.0, 2.5, 8.0])


def trials_of(name):
    return np.array(TRIALS) if FAMILIES[name].needs_trials else None


def far_log_density(name, link, y, eta, aux):
    """The log density from logarithms throughout, so that nothing under- or overflows at a far eta."""
    if name in ("bernoulli", "binomial"):
        n = TRIALS if name == "binomial" else 1.0
        return np.log(special.binom(n, y)) + y * LOG_MEANS[link](eta) + (n - y) * LOG_REST[link](eta)
    if name == "betabinomial":
        means = np.exp(LOG_MEANS[link](eta)), np.exp(LOG_REST[link](eta))
        total = np.log(special.binom(TRIALS, y)) - sum(np.log1p(k / aux["phi"]) for k in range(int(TRIALS)))
        for mean, log_mean, count in zip(means, (LOG_MEANS, LOG_REST), (y, TRIALS - y), strict=True):
            for k in range(int(TRIALS)):
                factor = np.log(mean + k / aux["phi"]) if k else log_mean[link](eta)
                total = total + np.where(k < count, factor, 0.0)
        return total
    if name == "beta":
        log_a, log_b = np.log(aux["phi"]) + LOG_MEANS[link](eta), np.log(aux["phi"]) + LOG_REST[link](eta)
        a, b = np.exp(log_a), np.exp(log_b)
        # 1/B(a, b) tends to the smaller of its arguments as that vanishes
        constant = np.where(np.minimum(a, b) < 1e-14, np.minimum(log_a, log_b), -special.betaln(a, b))
        return constant + (a - 1) * np.log(y) + (b - 1) * np.log1p(-y)
    if name == "negbinomial":
        shape, log_mean = aux["shape"], eta if link == "log" else np.log(eta)
        log_total = np.logaddexp(np.log(shape), log_mean)
        choose = special.gammaln(y + shape) - special.gammaln(shape) - special.gammaln(y + 1)
        return choose + shape * (np.log(shape) - log_total) + y * (log_mean - log_total)
    mean = MEANS[link](eta)
    frozen = SCIPY[name](mean, aux, TRIALS)
    return frozen.logpdf(y) if hasattr(frozen.dist, "pdf") else frozen.logpmf(y)


# -- links ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", MEANS)
def test_a_link_inverts_its_mean_and_knows_its_slope(link):
    eta = moderate("gamma", link)
    record = LINKS[link]
    assert record.name == link
    assert_allclose(record.mean(eta), MEANS[link](eta), rtol=1e-13)
    assert_allclose(record.link(record.mean(eta)), eta, rtol=1e-12)
    step = 1e-5 * np.abs(eta).clip(0.1)
    difference = (record.mean(eta + step) - record.mean(eta - step)) / (2 * step)
    assert_allclose(record.slope(eta), difference, rtol=1e-7)


@pytest.mark.parametrize("link", LOG_MEANS)
def test_log_odds_lose_nothing_in_the_tails(link):
    eta = np.array([-FAR, -20.0, -3.0, -0.1, 0.0, 0.1, 2.0, 5.0, FAR])
    assert_allclose(
        LINKS[link].log_odds(eta, NUMPY_MATH), LOG_MEANS[link](eta) - LOG_REST[link](eta), rtol=1e-13
    )


def test_the_graph_has_the_same_mathematics():
    import pymc as pm
    import pytensor.tensor as pt

    from hierbayes.tensormath import tensor_math as _math

    x = np.array([-30.0, -3.0, -0.5, 0.2, 3.0, 7.0])
    there = _math(pm)
    assert vars(there).keys() == vars(NUMPY_MATH).keys()
    for name, function in vars(NUMPY_MATH).items():
        if name == "arrays":  # a module of functions of arrays
            continue
        values = np.abs(x) if name in ("log", "log1p", "gammaln", "sqrt") else x
        given = (np.array(1.0), values) if name == "arctan2" else (values,)
        assert_allclose(evaluate(vars(there)[name](*map(pt.as_tensor, given))), function(*given), rtol=1e-12)


# -- density -------------------------------------------------------------------------------------------------


@pairs
def test_log_density_is_scipys(name, link):
    eta, y = moderate(name, link)[:, None], np.array(RESPONSES[name])
    for aux in AUXILIARIES.get(name, [{}]):
        frozen = SCIPY[name](MEANS[link](eta), aux, TRIALS)
        expected = frozen.logpdf(y) if hasattr(frozen.dist, "pdf") else frozen.logpmf(y)
        found = FAMILIES[name].at(eta, aux, LINKS[link]).log_density(y, trials_of(name))
        assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pairs
def test_log_density_far_out_is_finite_and_right(name, link):
    positive = link in ("identity", "inverse") and name in ("poisson", "negbinomial", "gamma")
    eta = np.array([1e-9, 1e-3, FAR] if positive else [-FAR, -20.0, 20.0, FAR])[:, None]
    y = np.array(RESPONSES[name])
    for aux in AUXILIARIES.get(name, [{}]):
        found = FAMILIES[name].at(eta, aux, LINKS[link]).log_density(y, trials_of(name))
        assert np.isfinite(found).all()
        assert_allclose(found, far_log_density(name, link, y, eta, aux), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "link"), [p for p in PAIRS if p[1] in ("identity", "inverse")])
def test_a_mean_outside_the_distributions_domain_has_no_density_and_no_responses(name, link):
    family, aux = FAMILIES[name], AUXILIARIES.get(name, [{}])[0]
    eta, y = np.array([-2.0, -0.1]), np.array(RESPONSES[name])[:, None]
    density = family.at(eta, aux, LINKS[link]).log_density(y)
    simulated = family.at(eta, aux, LINKS[link]).simulate(np.random.default_rng(1))
    if name in ("gaussian", "student", "lognormal"):
        assert np.isfinite(density).all()
        assert np.isfinite(simulated).all()
    else:
        assert np.all(density == -np.inf)
        assert np.isnan(simulated).all()


def test_negbinomial_with_a_huge_shape_is_poisson():
    y, eta = np.array([0.0, 3.0, 40.0]), np.array([1.5])
    log = LINKS["log"]
    poisson = FAMILIES["poisson"].at(eta, {}, log).log_density(y)
    assert_allclose(FAMILIES["negbinomial"].at(eta, {"shape": 1e12}, log).log_density(y), poisson, rtol=1e-8)


@pytest.mark.parametrize("link", LOG_MEANS)
def test_betabinomial_with_a_huge_phi_is_binomial(link):
    """The log density falls short of it by terms of order n² / phi."""
    y, trials, eta = np.array([0.0, 1.0, 150.0, 200.0]), np.array(200.0), np.array([[-2.5], [0.4]])
    record = LINKS[link]
    binomial = FAMILIES["binomial"].at(eta, {}, record).log_density(y, trials)
    for phi in (1e8, 1e10, 1e13):
        found = FAMILIES["betabinomial"].at(eta, {"phi": phi}, record).log_density(y, trials)
        p = MEANS[link](eta)
        order = (y * (y - 1) / p + (200 - y) * (199 - y) / (1 - p) - 200 * 199) / (2 * phi)
        assert_allclose(found, binomial + order, rtol=1e-8, atol=5e-9)
    information = FAMILIES["binomial"].at(eta, {}, record).information(trials)
    found = FAMILIES["betabinomial"].at(eta, {"phi": 1e8}, record).information(trials)
    assert_allclose(found, information, rtol=1e-5)


# -- moments -------------------------------------------------------------------------------------------------


@pairs
def test_simulate_has_scipys_distribution(name, link):
    """Mean and variance by z-scores, the distribution by Kolmogorov's distance, the mean exactly."""
    family, draws = FAMILIES[name], 40_000
    rng = np.random.default_rng([5, PAIRS.index((name, link))])
    eta, n = moderate(name, link), trials_of(name)
    for aux in AUXILIARIES.get(name, [{}]):
        simulated = family.at(np.tile(eta, (draws, 1)), aux, LINKS[link]).simulate(rng, n)
        assert simulated.shape == (draws, len(eta))
        assert simulated.dtype == np.float64
        assert family.support.contains(simulated, n).all()
        exact = SCIPY[name](MEANS[link](eta), aux, TRIALS)
        per_trial = exact.mean() / (1.0 if n is None else TRIALS)
        assert_allclose(family.at(eta, aux, LINKS[link]).mean(), per_trial, rtol=1e-12)
        mean, variance = exact.mean(), exact.var()
        z = (simulated.mean(axis=0) - mean) / np.sqrt(variance / draws)
        assert np.abs(z).max() < 4
        squares = np.square(simulated - mean)
        # 4.5: squares of heavy tails are not yet normal; 1e-9: those of a fair coin are all 0.25
        assert np.all(
            np.abs(squares.mean(axis=0) - variance) < 4.5 * squares.std(axis=0) / np.sqrt(draws) + 1e-9
        )
        for column, place in zip(simulated.T, range(len(eta)), strict=True):
            values, counts = np.unique(column, return_counts=True)
            one = SCIPY[name](MEANS[link](eta[place]), aux, TRIALS)
            distance = np.abs(np.cumsum(counts) / draws - one.cdf(values)).max()
            assert distance < 2.2 / np.sqrt(draws)  # exceeded once in 8000 times


@pairs
def test_simulate_takes_an_eta_for_each_draw_and_row(name, link):
    """eta (S, n) with auxiliaries (S, 1) and trials (n,), as predictions use it."""
    family = FAMILIES[name]
    eta = np.broadcast_to(moderate(name, link)[-3:], (2000, 3))
    small, large = AUXILIARIES.get(name, [{}, {}])
    aux = {key: np.repeat([small[key], large[key]], 1000)[:, None] for key in small}
    trials = np.array([1.0, 5.0, 400.0]) if family.needs_trials else None
    simulated = family.at(eta, aux, LINKS[link]).simulate(np.random.default_rng(3), trials)
    again = family.at(eta, aux, LINKS[link]).simulate(np.random.default_rng(3), trials)
    assert simulated.shape == (2000, 3)
    assert np.array_equal(simulated, again)
    assert np.broadcast_shapes(np.shape(family.at(eta, aux, LINKS[link]).mean()), (2000, 3)) == (2000, 3)
    half = slice(0, 1000), slice(1000, None)
    for rows, values in zip(half, (small, large), strict=True):
        exact = SCIPY[name](MEANS[link](eta[0]), values, trials)
        z = (simulated[rows].mean(axis=0) - exact.mean()) / (exact.std() / np.sqrt(1000))
        assert np.abs(z).max() < 4


@pytest.mark.parametrize(("name", "link"), [p for p in PAIRS if p[1] not in ("identity", "inverse")])
def test_nothing_breaks_at_a_far_eta(name, link):
    """A wide prior reaches such values; a draw of them must not stop a prior predictive."""
    family = FAMILIES[name]
    eta = np.array([-800.0, -FAR, 4.0, FAR, 800.0])
    for aux in AUXILIARIES.get(name, [{}]):
        simulated = family.at(eta, aux, LINKS[link]).simulate(np.random.default_rng(1), trials_of(name))
        assert not np.isnan(simulated).any()
        if link in ("logit", "probit", "cloglog"):
            y = np.array(RESPONSES[name])[:, None]
            assert not np.isnan(family.at(eta, aux, LINKS[link]).log_density(y, trials_of(name))).any()


# -- distribution function -------------------------------------------------------------------------------------


@pairs
def test_cdf_is_scipys_and_moments_are_of_the_response(name, link):
    eta, y, n = moderate(name, link)[:, None], np.array(RESPONSES[name]), trials_of(name)
    for aux in AUXILIARIES.get(name, [{}]):
        exact = SCIPY[name](MEANS[link](eta), aux, TRIALS)
        found = FAMILIES[name].at(eta, aux, LINKS[link]).cdf(y, n)
        assert_allclose(found, exact.cdf(y), rtol=1e-10, atol=1e-13)
        mean, variance = FAMILIES[name].at(eta, aux, LINKS[link]).moments(n)
        assert_allclose(mean, exact.mean(), rtol=1e-12)
        assert_allclose(variance, exact.var(), rtol=1e-9)


@pairs
def test_cdf_adds_up_the_density(name, link):
    family, n = FAMILIES[name], trials_of(name)
    eta = moderate(name, link)[[1, -1]][:, None]
    for aux in AUXILIARIES.get(name, [{}]):
        if family.support.whole:
            y = np.arange(2.0 if name == "bernoulli" else 8.0)
            expected = np.exp(family.at(eta, aux, LINKS[link]).log_density(y, n)).cumsum(axis=1)
            assert_allclose(family.at(eta, aux, LINKS[link]).cdf(y, n), expected, rtol=1e-11, atol=1e-15)
            continue
        exact = SCIPY[name](MEANS[link](eta[0]), aux, TRIALS)
        nodes, weights = np.polynomial.legendre.leggauss(200)
        low, high = exact.ppf(0.2), exact.ppf(0.9)
        y = (low + high + (high - low) * nodes) / 2
        between = (weights * np.exp(family.at(eta[0], aux, LINKS[link]).log_density(y, n))).sum()
        cdf = family.at(eta[0], aux, LINKS[link]).cdf(np.array([low, high])[:, 0], n)
        assert_allclose(between * (high - low) / 2, cdf[1] - cdf[0], rtol=1e-10)


@pairs
def test_cdf_far_out_is_a_probability(name, link):
    positive = link in ("identity", "inverse") and name in ("poisson", "negbinomial", "gamma")
    eta = np.array([1e-9, FAR, 800.0] if positive else [-800.0, -FAR, FAR, 800.0])[:, None]
    for aux in AUXILIARIES.get(name, [{}]):
        found = FAMILIES[name].at(eta, aux, LINKS[link]).cdf(np.array(RESPONSES[name]), trials_of(name))
        assert ((found >= 0) & (found <= 1)).all()
        if name in ("poisson", "negbinomial", "gamma") and link in ("identity", "inverse"):
            nothing = FAMILIES[name].at(np.array([-1.0]), aux, LINKS[link]).cdf(np.array([1.0]))
            assert np.isnan(nothing).all()


@pytest.mark.parametrize("phi", [1e-3, 0.8, 30.0, 1e9])
def test_cdf_of_many_trials(phi):
    """Of a U-shaped distribution and of one that is all but binomial, at both ends and in the middle."""
    eta, n = np.array([-6.0, -1.0, 0.0, 3.0])[:, None], 1000.0
    y = np.array([0.0, 1.0, 30.0, 500.0, 953.0, 999.0, 1000.0])
    mu = special.expit(eta)
    found = FAMILIES["betabinomial"].at(eta, {"phi": phi}, LINKS["logit"]).cdf(y, np.full(7, n))
    if phi == 1e9:
        assert_allclose(found, stats.binom(n, mu).cdf(y), rtol=1e-3, atol=1e-12)
        return
    responses = FAMILIES["betabinomial"].at(eta, {"phi": phi}, LINKS["logit"])
    exact = np.exp(responses.log_density(np.arange(n + 1), np.array(n)))
    assert_allclose(found, exact.cumsum(axis=1)[:, y.astype(int)], rtol=1e-9, atol=1e-12)


def test_negbinomial_cdf_with_a_huge_shape_is_poissons():
    y, eta, log = np.array([0.0, 3.0, 40.0]), np.array([[-20.0], [1.5], [4.0]]), LINKS["log"]
    poisson = FAMILIES["poisson"].at(eta, {}, log).cdf(y)
    found = FAMILIES["negbinomial"].at(eta, {"shape": 1e12}, log).cdf(y)
    assert_allclose(found, poisson, rtol=1e-8, atol=1e-15)


# -- information ---------------------------------------------------------------------------------------------


def expectation(name, link, eta, aux, function):
    """E f(Y) at one eta: a sum over the support, or the trapezoid rule where the tails are light."""
    exact = SCIPY[name](MEANS[link](eta), aux, TRIALS)
    if FAMILIES[name].support.whole:
        y = np.arange(0.0, min(exact.support()[1], exact.ppf(1 - 1e-15) + 200) + 1)
        return exact.pmf(y) @ function(y)
    mu = MEANS[link](eta)
    w = np.linspace(-400.0 if name in ("gamma", "beta") else -35.0, 35.0, 40_001)
    y, slope = {
        "gaussian": (mu + aux.get("sigma", 1) * w, aux.get("sigma", 1)),
        "student": (mu + aux.get("sigma", 1) * np.sinh(w), aux.get("sigma", 1) * np.cosh(w)),
        "lognormal": (np.exp(w), np.exp(w)),
        "gamma": (np.exp(w), np.exp(w)),
        "beta": (special.expit(w), special.expit(w) * special.expit(-w)),
    }[name]
    density = exact.pdf(y) * slope
    inside = density > 1e-300
    return (density[inside] @ function(y[inside])) * (w[1] - w[0])


@pairs
def test_information_is_the_expected_curvature(name, link):
    family, n = FAMILIES[name], trials_of(name)
    for aux in AUXILIARIES.get(name, [{}]):
        for eta in moderate(name, link):
            found = family.at(np.array([eta]), aux, LINKS[link]).information(n)
            # small against the curve's own width
            step = min(4e-3, 0.01 * abs(eta), 0.01 / np.sqrt(found.item()))

            def curvature(y, eta=eta, aux=aux, step=step):
                at = [
                    family.at(np.array(eta + k * step), aux, LINKS[link]).log_density(y, n)
                    for k in range(-2, 3)
                ]
                return (-at[0] + 16 * at[1] - 30 * at[2] + 16 * at[3] - at[4]) / (12 * step**2)

            assert_allclose(found, -expectation(name, link, eta, aux, curvature), rtol=2e-6)


@pytest.mark.parametrize("trials", [1.0, 30.0, 100.0, 1000.0])
@pytest.mark.parametrize("phi", [0.8, 8.0, 800.0])
def test_information_of_many_trials(trials, phi):
    """Exact up to a hundred trials, and beyond never more than it is nor below 0.7 of it."""
    family, logit, at = FAMILIES["betabinomial"], LINKS["logit"], np.array([-2.5, 0.4])
    mu, y = special.expit(at), np.arange(trials + 1)[:, None]
    a, b = mu * phi, (1 - mu) * phi
    score = special.digamma(a + y) - special.digamma(b + trials - y) - special.digamma(a) + special.digamma(b)
    exact = (phi * mu * (1 - mu)) ** 2 * (stats.betabinom.pmf(y, trials, a, b) * score**2).sum(axis=0)
    share = family.at(at, {"phi": phi}, logit).information(np.array(trials)) / exact
    assert_allclose(share, 1.0 if trials <= 100 else share.clip(0.7, 1.0), rtol=1e-8)


@pairs
def test_information_far_out_is_a_number(name, link):
    """Never negative, never NaN: a search for the mode passes through such places."""
    positive = link in ("identity", "inverse") and name in ("poisson", "negbinomial", "gamma")
    eta = np.array([1e-3, FAR] if positive else [-FAR, -8.0, 8.0, FAR])
    for aux in AUXILIARIES.get(name, [{}]):
        information = FAMILIES[name].at(eta, aux, LINKS[link]).information(trials_of(name))
        assert np.isfinite(information).all()
        assert (information >= 0).all()


# -- the response --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("gaussian", [-1e9, 0, 2.5], [np.nan, np.inf, -np.inf]),
        ("student", [-1e9, 0, 2.5], [np.nan, np.inf, -np.inf]),
        ("lognormal", [1e-300, 2.5], [0, -1, np.nan, np.inf]),
        ("gamma", [1e-300, 2.5], [0, -1, np.nan, np.inf]),
        ("bernoulli", [0, 1], [-1, 0.5, 2, np.nan]),
        ("binomial", [0, 3, 7], [-1, 0.5, 8, np.nan, np.inf]),
        ("betabinomial", [0, 3, 7], [-1, 0.5, 8, np.nan, np.inf]),
        ("poisson", [0, 1, 1e9], [-1, 0.5, np.nan, np.inf]),
        ("negbinomial", [0, 1, 1e9], [-1, 0.5, np.nan, np.inf]),
        ("beta", [1e-300, 0.5, 1 - 1e-16], [0, 1, -0.1, 1.1, np.nan]),
    ],
)
def test_support(name, inside, outside):
    support, trials = FAMILIES[name].support, np.array(TRIALS)
    assert support.contains(np.array(inside, dtype=float), trials).all()
    assert not support.contains(np.array(outside, dtype=float), trials).any()


def test_successes_are_held_against_their_own_rows_trials():
    contains = FAMILIES["binomial"].support.contains
    assert contains(np.array([2.0, 2.0, 0.0]), np.array([2.0, 1.0, 0.0])).tolist() == [True, False, True]


ONES = np.ones(4)
COUNTS = np.array([1.0, 2.0, 3.0, 6.0])


@pytest.mark.parametrize(
    ("name", "link", "y", "expected"),
    [
        ("gaussian", "identity", COUNTS, (3.0, np.std(COUNTS))),
        ("gaussian", "log", COUNTS, (np.log(3), 1.0)),
        ("gaussian", "log", COUNTS - 4, (np.log(np.std(COUNTS)), 1.0)),  # the mean has no logarithm
        ("gaussian", "inverse", COUNTS, (1 / 3, 1 / 3)),
        ("gaussian", "inverse", -COUNTS, (-1 / 3, 1 / 3)),
        ("gaussian", "identity", 5 * ONES, (5.0, 1.0)),
        ("lognormal", "identity", COUNTS, (np.log(COUNTS).mean(), np.log(COUNTS).std())),
        ("poisson", "log", COUNTS, (np.log(3), 1.0)),
        ("poisson", "log", 0 * ONES, (np.log(0.5 / 4), 1.0)),
        ("poisson", "identity", COUNTS, (3.0, np.std(COUNTS))),
        ("bernoulli", "logit", np.array([0.0, 0, 0, 1]), (special.logit(1.5 / 5), 1.0)),
        ("bernoulli", "logit", ONES, (special.logit(4.5 / 5), 1.0)),
        ("bernoulli", "probit", ONES, (stats.norm.ppf(4.5 / 5), 1.0)),
        ("bernoulli", "cloglog", 0 * ONES, (np.log(-np.log(1 - 0.5 / 5)), 1.0)),
    ],
)
def test_location_and_scale(name, link, y, expected):
    assert_allclose(FAMILIES[name].location_and_scale(y, None, ONES, link), expected, rtol=1e-14)


def test_location_of_successes_counts_each_trial():
    y, trials = np.array([1.0, 8.0, 0.0]), np.array([2.0, 10.0, 0.0])  # a row without trials says nothing
    found = FAMILIES["binomial"].location_and_scale(y, trials, np.ones(3), "logit")
    assert_allclose(found, (special.logit(9.5 / 13), 1.0))


def test_location_under_the_inverse_link_exists_where_the_mean_vanishes():
    location, scale = FAMILIES["gaussian"].location_and_scale(
        np.array([-1.0, 1.0]), None, np.ones(2), "inverse"
    )
    assert np.isfinite(location)
    assert 0 < scale < np.inf


@pairs
def test_weight_two_is_the_row_twice(name, link):
    family = FAMILIES[name]
    y = np.resize(RESPONSES[name], 6)
    weights = np.array([2.0, 1.0, 1.0, 3.0, 1.0, 2.0])
    trials = np.full(6, TRIALS) if family.needs_trials else None
    twice = np.repeat(np.arange(6), weights.astype(int))
    trials_twice = None if trials is None else trials[twice]
    found = family.location_and_scale(y, trials, weights, link)
    repeated = family.location_and_scale(y[twice], trials_twice, np.ones(len(twice)), link)
    assert_allclose(found, repeated, rtol=1e-12)
    assert response_scale(y, weights) == pytest.approx(response_scale(y[twice], np.ones(len(twice))))


# -- the registry --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEN)
def test_a_record_is_complete(name):
    family = FAMILIES[name]
    assert family.name == name
    assert name in cli.FAMILIES
    assert f'"{name}"' in Model.__doc__
    assert family.links
    assert all(link in LINKS for link in family.links)
    assert family.support.words
    assert "mu" in family.equation
    assert ("trials" in family.equation) == family.needs_trials
    rng = np.random.default_rng(1)
    for auxiliary in family.own:
        assert auxiliary.name in family.equation
        assert auxiliary.words
        for spread in (1e-3, 1.0, 1e4):
            prior = auxiliary.prior(spread)
            assert prior.support == "positive"
            assert not prior.bare
            typical = auxiliary.typical(spread)
            assert np.isfinite(LINKS[auxiliary.link].link(typical))
            # the typical value is one that the prior finds typical
            assert 0.02 < (prior.sample(rng, (2000,)) < typical).mean() < 0.98
    # what its own test tables say of it
    assert name in SCIPY
    assert name in RESPONSES
    assert AUXILIARIES.get(name, [{}])[0].keys() == {auxiliary.name for auxiliary in family.own}


@pairs
def test_pymcs_distribution_is_the_same_density_with_a_gradient(name, link):
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    from hierbayes.tensormath import tensor_math as _math

    near = moderate(name, link)
    # beyond these the second shape of a beta is 0 in double precision, and PyMC's log density -inf
    farthest = (
        {"probit": 20.0, "cloglog": 5.0}.get(link, FAR) if "phi" in AUXILIARIES.get(name, [{}])[0] else FAR
    )
    if link not in ("identity", "inverse"):
        near = np.concatenate([near, [-farthest, -5.0, 5.0, farthest]])
    family, y = FAMILIES[name], np.array(RESPONSES[name])
    point, values = (a.ravel() for a in np.meshgrid(near, y))
    observed = values.astype(np.int64) if family.support.whole else values
    # shared, as in the graph: of a constant n, `n - y + beta` would be rewritten as `(n + beta) - y`, which loses beta
    trials = None if trials_of(name) is None else pytensor.shared(np.full(len(values), TRIALS))
    for aux in AUXILIARIES.get(name, [{}]):
        x = pt.vector("eta")
        tensors = {key: pt.as_tensor(np.float64(value)) for key, value in aux.items()}
        given = family.given(x, tensors, LINKS[link], _math(pm))
        kind, arguments = family.graph(pm, *([] if trials is None else [trials]), **given)
        logp = pm.logp(kind.dist(**arguments), observed)
        density, gradient = evaluate([logp, pt.grad(logp.sum(), x)], {x: point})
        expected = family.at(point, aux, LINKS[link]).log_density(values, trials_of(name))
        assert_allclose(density, expected, rtol=1e-8, atol=1e-8)
        assert np.isfinite(gradient).all()


def evaluate(outputs, inputs=None):
    """Values of tensors with the rewrites of a real run, which keep the tails, but nothing compiled."""
    import pymc as pm
    from pytensor.compile.mode import Mode

    inputs = inputs or {}
    # without fusion, whose Python fallback computes 1/x in single precision
    mode = Mode(linker="py", optimizer="fast_run").excluding("fusion")
    function = pm.compile(list(inputs), outputs, mode=mode)
    return function(*inputs.values())


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("gaussian", None), ("gaussian", "identity")),
        (("Normal", "log"), ("gaussian", "log")),
        (("neg_binomial", None), ("negbinomial", "log")),
        (("NegativeBinomial", None), ("negbinomial", "log")),
        (("bernoulli", "probit"), ("bernoulli", "probit")),
        (("beta_binomial", None), ("betabinomial", "logit")),
        (("t", None), ("student", "identity")),
    ],
)
def test_get_family(asked, found):
    family, links = get_family(*asked)
    assert (family.name, links[family.first.name]) == found
    assert family is FAMILIES[found[0]]


def test_get_family_says_what_there_is():
    with pytest.raises(
        UnsupportedError,
        match=r"'survival'; times, censored too, are 'cox', .*; the families are gaussian, student",
    ):
        get_family("survival")
    with pytest.raises(UnsupportedError, match=r"'poisson' has no link 'logit'; its links are log, identity"):
        get_family("poisson", "logit")


# -- large shapes and precisions -----------------------------------------------------------------------------

LARGE = [1e10, 4e14, 4e16]


def large(name, size):
    """A family's linear predictor, own parameters, and responses within six sds of a mean where it is all but normal.

    Also their distances in sds, and the logarithm of that normal density with the skewness' term of Edgeworth's series.
    """
    z, eta = np.linspace(-6.0, 6.0, 25), np.array(0.3)
    if name == "gamma":
        mu, sd, skewness, own = np.exp(eta), np.exp(eta) / np.sqrt(size), 2 / np.sqrt(size), {"shape": size}
    elif name == "beta":
        mu, own = special.expit(eta), {"phi": size}
        sd = np.sqrt(mu * (1 - mu) / (size + 1))
        skewness = 2 * (1 - 2 * mu) * np.sqrt(size + 1) / ((size + 2) * np.sqrt(mu * (1 - mu)))
    else:
        mu, sd, skewness, own = eta, 1.7, 0.0, {"sigma": 1.7, "nu": size}
    y = mu + sd * z
    z = (y - mu) / sd  # as rounding left it
    return y, eta, own, z, stats.norm.logpdf(z) - np.log(sd) + skewness / 6 * (z**3 - 3 * z)


@pytest.mark.parametrize("size", LARGE)
@pytest.mark.parametrize(("name", "link"), [("gamma", "log"), ("beta", "logit"), ("student", "identity")])
def test_densities_of_a_large_shape_are_the_normal_ones_they_tend_to(name, link, size):
    y, eta, own, _, expected = large(name, size)
    found = FAMILIES[name].at(np.broadcast_to(eta, y.shape), own, LINKS[link]).log_density(y)
    assert_allclose(
        found, expected, rtol=0, atol=1e-6
    )  # six sds times what the last digit of a mean is in sds
