"""Families that glmmTMB and brms have, a parameter at a time: their likelihoods, densities by definition, models."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.families import FAMILIES
from hierbayes.families.bounds import with_bounds
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works, grouped
from tests.families.test_zeros import SALAMANDERS
from tests.slow import with_slow


def density(family, eta, own, y):
    return FAMILIES[family].at(eta, own, LINKS[FAMILIES[family].links[0]]).log_density(y)


# -- glmmTMB's log-likelihood at its estimates --------------------------------------------------------------------


def test_ordbeta_is_glmmtmbs():
    """sleepstudy$share <- pmin(pmax((Reaction - 230)/150, 0), 1); glmmTMB(share ~ Days, family = ordbeta).

    Its start is list(psi = c(-1, 1)); fit$par has the cutpoints.
    """
    data = hb.load_dataset("sleepstudy")
    y = ((data["Reaction"] - 230) / 150).clip(0, 1).to_numpy()
    eta = -1.11145100386261 + 0.20366230584618 * data["Days"].to_numpy()
    own = {
        "phi": np.exp(1.09486821487235),
        "cutzero": -2.74907950162126,
        "delta": 2.49919899662200 + 2.74907950162126,
    }
    assert_allclose(density("ordbeta", eta, own, y).sum(), -67.799098856866, atol=1e-9)


def test_genpois_is_glmmtmbs():
    """glmmTMB(count ~ mined, data = Salamanders, family = genpois)."""
    data = SALAMANDERS
    eta = -1.0176367501081 + 1.8080860514250 * (data["mined"] == "no").to_numpy()
    found = density("genpois", eta, {"phi": 4.4239714923616}, data["count"].to_numpy(float))
    assert_allclose(found.sum(), -872.3072032501293, atol=1e-9)


def test_compois_is_glmmtmbs():
    """glmmTMB(count ~ spray, data = InsectSprays, family = compois); its dispersion is 1/shape.

    There glmmTMB's log-likelihood is the largest.
    """
    counts = [
        [10, 7, 20, 14, 14, 12, 10, 23, 17, 20, 14, 13],
        [11, 17, 21, 11, 16, 14, 17, 17, 19, 21, 7, 13],
        [0, 1, 7, 2, 3, 1, 2, 1, 3, 0, 1, 4],
        [3, 5, 12, 6, 4, 3, 5, 5, 5, 5, 2, 4],
        [3, 5, 3, 5, 3, 6, 1, 1, 3, 2, 6, 4],
        [11, 9, 15, 22, 15, 16, 13, 10, 26, 26, 24, 13],
    ]
    differences = [0, 0.0558802454450401, -1.9401798052167099, -1.0815176867535610]
    differences += [-1.4213863422391342, 0.1392619745429504]
    eta = np.repeat(2.6741487825763857 + np.array(differences), 12)
    found = FAMILIES["compois"].at(eta, {"shape": 1 / 1.38271395549623}, LINKS["log"])
    value, (in_mu, in_shape) = found.evaluate(np.ravel(counts).astype(float))
    assert_allclose(value.sum(), -180.656639222632, atol=1e-8)
    assert_allclose(in_mu.reshape(6, 12).sum(axis=1), 0.0, atol=1e-3)
    assert_allclose(in_shape.sum(), 0.0, atol=1e-3)


def test_tweedie_is_glmmtmbs():
    """glmmTMB(count ~ mined, data = Salamanders, family = tweedie); family_params has the power."""
    data = SALAMANDERS
    eta = -1.2192408569991 + 2.0367638211682 * (data["mined"] == "no").to_numpy()
    own = {"phi": 2.6425066671395, "power": 1.2384622062862}
    found = density("tweedie", eta, own, data["count"].to_numpy(float))
    assert_allclose(found.sum(), -883.8294776038143, atol=1e-9)


# -- densities and moments, from their definitions ----------------------------------------------------------------

ETA = np.array([-1.3, 0.4, 2.1])
COUNTS = np.arange(4000.0)[:, None]


def ordbeta(y, eta, phi, cutzero, delta):
    mu = special.expit(eta)
    upper, lower = stats.logistic.cdf(eta - cutzero), stats.logistic.cdf(eta - cutzero - delta)
    between = np.log(upper - lower) + stats.beta(mu * phi, (1 - mu) * phi).logpdf(y)
    return np.where(y == 0, np.log(1 - upper), np.where(y == 1, np.log(lower), between))


def genpois(y, eta, phi):
    """Divided by the sum, where phi < 1."""

    def formula(y):
        theta, rate = np.exp(eta) / np.sqrt(phi), np.exp(eta) / np.sqrt(phi) + (1 - phi**-0.5) * y
        with np.errstate(invalid="ignore"):
            value = np.log(theta) + (y - 1) * np.log(rate) - rate - special.gammaln(y + 1)
        return np.where(rate > 0, value, -np.inf)

    return formula(y) - (special.logsumexp(formula(COUNTS), axis=0) if phi < 1 else 0.0)


def compois(y, eta, shape):
    """Of the lambda whose mean is exp(eta), by bisection."""

    def logs(log_lambda):
        return COUNTS * log_lambda - shape * special.gammaln(COUNTS + 1)

    low, high = np.full(eta.shape, -60.0), np.maximum(shape * np.logaddexp(eta, 0), eta)
    for _ in range(100):
        middle = (low + high) / 2
        mean = (COUNTS * special.softmax(logs(middle), axis=0)).sum(axis=0)
        low, high = np.where(mean < np.exp(eta), middle, low), np.where(mean < np.exp(eta), high, middle)
    return y * low - shape * special.gammaln(y + 1) - special.logsumexp(logs(low), axis=0)


def discrete_weibull(y, eta, shape):
    log_mu = special.log_expit(eta)
    return np.log(np.exp(log_mu * y**shape) - np.exp(log_mu * (y + 1) ** shape))


def frechet(y, eta, nu):
    return stats.invweibull(nu, scale=np.exp(eta) / special.gamma(1 - 1 / nu)).logpdf(y)


def gen_extreme_value(y, eta, sigma, xi):
    with np.errstate(divide="ignore"):
        return stats.genextreme(-xi, eta, sigma).logpdf(y)


def von_mises(y, eta, kappa):
    return stats.vonmises(kappa, 2 * np.arctan(eta)).logpdf(y)


def tweedie(y, eta, phi, power):
    """Gamma variables, as many as a Poisson variable is."""
    mu, j = np.exp(eta), np.arange(1, 3000)[:, None, None]
    rate, scale = mu ** (2 - power) / (phi * (2 - power)), phi * (power - 1) * mu ** (power - 1)
    with np.errstate(divide="ignore"):
        terms = stats.poisson(rate).logpmf(j) + stats.gamma(
            (2 - power) / (power - 1) * j, scale=scale
        ).logpdf(y)
    return np.where(y == 0, -rate, special.logsumexp(terms, axis=0))


SOME, SHARES = np.array([0.0, 1, 3, 40])[:, None], np.array([0.0, 1e-6, 0.3, 0.98, 1])[:, None]
FEW, AMOUNTS = np.array([0.0, 1, 2, 5])[:, None], np.array([0.2, 1.1, 3.0, 30.0])[:, None]
ANGLES = np.array([-np.pi, -1.2, 0.1, 3.1])[:, None]
CASES = [
    *(
        ("ordbeta", SHARES, {"phi": p, "cutzero": c, "delta": d}, ordbeta)
        for p, c, d in [(0.3, -1.0, 2.0), (20.0, -3.0, 6.0), (3.0, 0.5, 0.1)]
    ),
    *(("genpois", SOME, {"phi": p}, genpois) for p in (0.04, 0.5, 0.97, 1.0, 1.8, 30.0)),
    *(("compois", SOME, {"shape": p}, compois) for p in (0.02, 0.3, 0.99, 1.0, 1.2, 4.0)),
    *(("discrete_weibull", FEW, {"shape": p}, discrete_weibull) for p in (0.3, 1.0, 2.4)),
    *(("frechet", AMOUNTS, {"nu": p}, frechet) for p in (1.05, 2.0, 9.0)),
    *(
        ("gen_extreme_value", AMOUNTS - 3.0, {"sigma": 1.7, "xi": p}, gen_extreme_value)
        for p in (-0.4, -1e-7, 0.0, 1e-9, 0.02, 0.6)
    ),
    *(
        ("tweedie", np.array([0.0, 0.01, 1.0, 20.0])[:, None], {"phi": p, "power": q}, tweedie)
        for p, q in [(1.0, 1.5), (0.02, 1.3), (5.0, 1.05), (0.6, 1.95)]
    ),
    *(("von_mises", ANGLES, {"kappa": p}, von_mises) for p in (1e-3, 2.0, 19.9, 20.1, 300.0)),
]


@pytest.mark.parametrize(
    ("name", "y", "own", "exact"), CASES, ids=[f"{c[0]}-{k}" for k, c in enumerate(CASES)]
)
def test_density_is_the_definitions(name, y, own, exact):
    found = density(name, ETA, own, y)
    expected = exact(y, ETA, **own)
    keep = (expected > -500) | (found == -np.inf)  # beyond it SciPy's own formulas underflow
    assert_allclose(found[keep], expected[keep], rtol=1e-9, atol=1e-9)
    assert_allclose(graphs(name, y, own), found, rtol=1e-8, atol=1e-8)


def graphs(name, y, own):
    """The graph's log density."""
    import pymc as pm
    import pytensor.tensor as pt

    from hierbayes.tensormath import tensor_math as _math
    from tests.test_families import evaluate

    family = FAMILIES[name]
    y, eta = np.broadcast_arrays(y, ETA)
    own = {key: pt.as_tensor(np.float64(value)) for key, value in own.items()}
    given = family.given(pt.as_tensor(eta.ravel()), own, LINKS[family.links[0]], _math(pm))
    kind, arguments = family.graph(pm, **given)
    observed = y.ravel().astype(np.int64) if family.support.whole else y.ravel()
    return evaluate([pm.logp(kind.dist(**arguments), observed)])[0].reshape(y.shape)


COUNTED = [
    *(("genpois", {"phi": p}) for p in (0.04, 0.5, 0.97, 1.0, 1.8, 6.0)),
    *(("compois", {"shape": p}) for p in (0.1, 0.6, 1.0, 2.5)),
    *(("discrete_weibull", {"shape": p}) for p in (0.7, 1.0, 2.4)),
]


@pytest.mark.parametrize(("name", "own"), COUNTED, ids=[f"{c[0]}-{k}" for k, c in enumerate(COUNTED)])
def test_counts_add_up_to_one_and_have_their_moments(name, own):
    link = LINKS[FAMILIES[name].links[0]]
    found = FAMILIES[name].at(ETA, own, link)
    p = np.exp(found.log_density(COUNTS))
    mean, square = (p * COUNTS).sum(axis=0), (p * COUNTS**2).sum(axis=0)
    assert_allclose(p.sum(axis=0), 1.0, rtol=1e-10)
    assert_allclose(found.mean(), mean, rtol=1e-9)
    assert_allclose(found.variance() + 0 * ETA, square - mean**2, rtol=1e-8, atol=1e-10)
    assert_allclose(found.cdf(COUNTS), p.cumsum(axis=0), rtol=1e-9)
    drawn = FAMILIES[name].at(np.tile(ETA, (20_000, 1)), own, link).simulate(np.random.default_rng(5))
    for column, below in zip(drawn.T, p.cumsum(axis=0).T, strict=True):
        shares = np.bincount(column.astype(int), minlength=len(COUNTS)).cumsum() / len(column)
        assert np.abs(shares - below).max() < 2.2 / np.sqrt(len(column))  # exceeded once in 8000 times


@pytest.mark.parametrize("nu", [1.5, 2.5, 6.0])
def test_frechet_has_the_mean_that_it_names(nu):
    found = FAMILIES["frechet"].at(ETA, {"nu": nu}, LINKS["log"])
    exact = stats.invweibull(nu, scale=np.exp(ETA) / special.gamma(1 - 1 / nu))
    assert_allclose(found.mean(), exact.mean(), rtol=1e-10)
    assert_allclose(found.variance(), exact.var() if nu > 2 else np.inf, rtol=1e-8)
    assert_allclose(found.cdf(AMOUNTS), exact.cdf(AMOUNTS), rtol=1e-9)


def test_frechet_has_no_density_without_a_mean():
    found = FAMILIES["frechet"].at(ETA, {"nu": 0.9}, LINKS["log"])
    assert np.all(found.log_density(AMOUNTS) == -np.inf)
    assert np.isnan(found.simulate(np.random.default_rng(1))).all()


@pytest.mark.parametrize("xi", [-0.4, -1e-6, 1e-9, 1e-4, 0.3, 0.7])
def test_gen_extreme_value_has_scipys_moments(xi):
    found = FAMILIES["gen_extreme_value"].at(ETA, {"sigma": 1.7, "xi": xi}, LINKS["identity"])
    # SciPy's own moments lose digits near 0, where the distribution is Gumbel's but for terms in xi
    near = abs(xi) < 1e-3
    exact = stats.gumbel_r(ETA, 1.7) if near else stats.genextreme(-xi, ETA, 1.7)
    assert_allclose(found.mean(), exact.mean(), rtol=1e-9 + 30 * near * abs(xi))
    assert_allclose(
        found.variance() + 0 * ETA, exact.var() if xi < 0.5 else np.inf, rtol=1e-8 + 10 * near * abs(xi)
    )
    exact = stats.genextreme(-xi, ETA, 1.7)
    assert_allclose(found.cdf(AMOUNTS), exact.cdf(AMOUNTS), rtol=1e-8)


def test_genpois_has_the_mean_and_variance_of_glmmtmb_where_its_probabilities_add_up():
    eta = np.log([20.0, 300.0, 1e4])
    for phi in (0.5, 1.0, 3.0):
        found = FAMILIES["genpois"].at(eta, {"phi": phi}, LINKS["log"])
        assert_allclose(found.mean(), np.exp(eta), rtol=1e-9)
        assert_allclose(found.variance() + 0 * eta, phi * np.exp(eta), rtol=1e-6)


@pytest.mark.parametrize("shape", [0.05, 0.8, 3.0])
@pytest.mark.parametrize("eta", [3.0, 8.0, 15.0, 30.0])
def test_compois_keeps_its_digits_at_large_means(shape, eta):
    """Log density and scores near the mean, by the first terms of the asymptotic series of log Z."""
    mu = np.exp(eta)
    if min(shape, 1 / shape) * mu < 400:
        return
    alpha = mu + (shape - 1) / (2 * shape)
    alpha += (shape**2 - 1) / (24 * shape**2) / alpha + (shape**2 - 1) / (24 * shape**3) / alpha**2
    y = np.round(mu + np.array([-2.0, 0.0, 2.0]) * np.sqrt(mu / shape))
    r = (y - alpha) / alpha
    # log(alpha^y exp(-alpha) / y!), by Stirling's series
    poisson = -alpha * ((1 + r) * np.log1p(r) - r) - 0.5 * np.log(2 * np.pi * y) - 1 / (12 * y)
    n = shape**2
    terms = (n - 1) / 24, (n - 1) / 48, (n - 1) * (161 - 9 * n) / 5760
    series = sum(c / (shape * alpha) ** k for k, c in enumerate(terms, start=1))
    exact = shape * poisson + 0.5 * (shape - 1) * np.log(2 * np.pi * alpha) + 0.5 * np.log(shape) - series
    value, (in_mu, _) = FAMILIES["compois"].at(np.full(3, eta), {"shape": shape}, LINKS["log"]).evaluate(y)
    assert_allclose(value, exact, atol=1e-6, rtol=1e-8)
    assert_allclose(in_mu, shape * (y - mu), rtol=1e-2, atol=0.02 * np.sqrt(mu * shape))


@pytest.mark.parametrize("shape", [0.1, 0.6, 1.0, 2.5])
def test_both_tails_of_compois_are_sums(shape):
    """Logarithms of the probabilities of y or less and of more, their scores, and a far mean."""
    y, counts = np.array([0.0, 2.0, 9.0, 40.0]), np.arange(4000.0)[:, None]
    family = with_bounds(FAMILIES["compois"], ("cens",))

    def at(eta, status, shape=shape):
        return family.at(np.full(4, eta), {"shape": shape, "cens": np.full(4, status)}, LINKS["log"])

    def difference(moved):
        near, far = (moved(k) - moved(-k) for k in (1e-3, 2e-3))
        return (8 * near - far) / 12e-3

    for eta in (-3.0, 0.5, 2.5):
        logs = FAMILIES["compois"].at(np.full(4, eta), {"shape": shape}, LINKS["log"]).log_density(counts)
        for status, chosen in ((-1.0, counts <= y), (1.0, counts > y)):
            value, scores = at(eta, status).evaluate(y)
            exact = special.logsumexp(np.where(chosen, logs, -np.inf), axis=0)
            assert_allclose(value, exact, rtol=1e-10, atol=1e-14)
            found = difference(lambda h, e=eta, s=status: at(e + h, s).log_density(y))
            assert_allclose(scores[0], found, rtol=1e-6, atol=1e-9)
            found = difference(lambda h, e=eta, s=status: at(e, s, shape + h).log_density(y))
            assert_allclose(scores[1], found, rtol=1e-6, atol=1e-9)
    for eta in (-40.0, 40.0):
        for status in (-1.0, 1.0):
            value, scores = at(eta, status).evaluate(y)
            assert np.isfinite([value, *scores]).all()


# -- models ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    rng, columns = grouped(400, 20, seed=3)
    eta = columns["eta"]
    family = {name: FAMILIES[name].at(eta, own, LINKS[FAMILIES[name].links[0]]) for name, own in OWN.items()}
    return pd.DataFrame(columns | {name: at.simulate(rng) for name, at in family.items()})


OWN = {
    "ordbeta": {"phi": 4.0, "cutzero": -1.5, "delta": 3.5},
    "genpois": {"phi": 2.0},
    "compois": {"shape": 1.5},
    "discrete_weibull": {"shape": 1.4},
    "frechet": {"nu": 5.0},
    "tweedie": {"phi": 1.3, "power": 1.5},
    "gen_extreme_value": {"sigma": 1.2, "xi": 0.1},
    "von_mises": {"kappa": 4.0},
}
MODELS = [
    ({"mu": "ordbeta ~ x + (1 | g)", "cutzero": "~ x"}, "ordbeta"),
    ({"mu": "ordbeta ~ x", "phi": "~ x", "delta": "~ (1 | g)"}, "ordbeta"),
    ({"mu": "genpois ~ x + (1 | g)", "phi": "~ x"}, "genpois"),
    ({"mu": "compois ~ x + (1 | g)", "shape": "~ x"}, "compois"),
    ({"mu": "discrete_weibull ~ x + (1 | g)", "shape": "~ x"}, "discrete_weibull"),
    ({"mu": "frechet ~ x + (1 | g)", "nu": "~ x"}, "frechet"),
    ({"mu": "tweedie ~ x + (1 | g)", "phi": "~ x", "power": "~ x"}, "tweedie"),
    ({"mu": "tweedie ~ x", "phi": "~ (1 | g)"}, "tweedie"),
    ({"mu": "gen_extreme_value ~ x + (1 | g)", "xi": "~ x"}, "gen_extreme_value"),
    ({"mu": "von_mises ~ x + (1 | g)", "kappa": "~ x"}, "von_mises"),
]


@pytest.mark.parametrize(("formula", "family"), MODELS, ids=[f"{m[1]}-{k}" for k, m in enumerate(MODELS)])
def test_the_kernel_is_the_graph(data, formula, family):
    assert_kernel_is_the_graph(hb.Model(formula, data, family=family))


@pytest.mark.parametrize("family", with_slow(OWN, ("compois", "tweedie")))
def test_estimates_are_near_the_truth(data, family):
    assert_works(hb.Model(f"{family} ~ x + (1 | g)", data, family=family), {"x": 0.4} | OWN[family])
