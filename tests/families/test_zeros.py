"""Zero-inflated and hurdle families: densities from their definition, glmmTMB's and brms's estimates, fits."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.errors import DataError
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works, grouped

SHAPE, PHI, SIGMA, TRIALS = 1.7, 4.0, 0.8, 6.0
COUNTS, SHARES, AMOUNTS = (
    np.array([0.0, 1, 2, 9]),
    np.array([0.0, 0.01, 0.4, 0.97]),
    np.array([0.0, 0.03, 1, 20]),
)
BASES = {
    "poisson": lambda mu: stats.poisson(mu),
    "negbinomial": lambda mu: stats.nbinom(SHAPE, SHAPE / (SHAPE + mu)),
    "gamma": lambda mu: stats.gamma(SHAPE, scale=mu / SHAPE),
    "lognormal": lambda mu: stats.lognorm(SIGMA, scale=np.exp(mu)),
    "binomial": lambda mu: stats.binom(TRIALS, mu),
    "beta_binomial": lambda mu: stats.betabinom(TRIALS, mu * PHI, (1 - mu) * PHI),
    "beta": lambda mu: stats.beta(mu * PHI, (1 - mu) * PHI),
}
OWN = {"shape": SHAPE, "phi": PHI, "sigma": SIGMA}
ETA = {
    "log": np.array([-3.0, 0.2, 2.0]),
    "identity": np.array([-1.0, 0.2, 2.0]),
    "logit": np.array([-3.0, 0.2, 2.0]),
}


def cases(start):
    """Families of numbers; those with tests of their own apart."""
    apart = "zero_inflated_beta", "hurdle_cumulative"
    return [name for name in FAMILIES if name.startswith(start) and name not in apart]


def at(name, probability, share=0.3):
    family = FAMILIES[name]
    own = {p.name: share if p.name == probability else OWN[p.name] for p in family.own}
    link = family.links[0]
    mu = LINKS[link].mean(ETA[link])
    trials = np.array(TRIALS) if family.needs_trials else None
    return (
        family.at(ETA[link], own, LINKS[link]),
        BASES[name.split("_", 2 if name[0] == "z" else 1)[-1]](mu),
        trials,
    )


@pytest.mark.parametrize("name", cases("zero_inflated"))
def test_zero_inflation_mixes_zeros_in(name):
    found, base, trials = at(name, "zi")
    y = COUNTS[:, None].clip(max=TRIALS if trials is not None else np.inf)
    expected = np.where(y == 0, 0.3 + 0.7 * base.pmf(0), 0.7 * base.pmf(y))
    assert_allclose(np.exp(found.log_density(y, trials)), expected, rtol=1e-10)
    assert_allclose(found.cdf(y, trials), 0.3 + 0.7 * base.cdf(y), rtol=1e-10)
    mean, variance = found.moments(trials)
    assert_allclose(mean, 0.7 * base.mean(), rtol=1e-10)
    assert_allclose(variance, 0.7 * (base.var() + base.mean() ** 2) - mean**2, rtol=1e-9)


@pytest.mark.parametrize("name", cases("hurdle"))
def test_a_hurdle_has_zeros_of_its_own_alone(name):
    found, base, _ = at(name, "hu")
    counts = name in ("hurdle_poisson", "hurdle_negbinomial")
    y = (COUNTS if counts else AMOUNTS)[:, None]
    none = base.pmf(0) if counts else 0.0
    density = base.pmf(y) if counts else base.pdf(y)
    expected = np.where(y == 0, 0.3, 0.7 * density / (1 - none))
    assert_allclose(np.exp(found.log_density(y)), expected, rtol=1e-10)
    assert_allclose(
        found.cdf(y), np.where(y == 0, 0.3, 0.3 + 0.7 * (base.cdf(y) - none) / (1 - none)), rtol=1e-9
    )
    # (1 − hu) times the mean of the part above 0
    assert_allclose(found.mean(), 0.7 * base.mean() / (1 - none), rtol=1e-10)
    square = 0.7 * (base.var() + base.mean() ** 2) / (1 - none)
    assert_allclose(found.variance(), square - found.mean() ** 2, rtol=1e-8)


def test_zero_inflated_beta_is_a_hurdle_of_shares():
    eta, own = np.array([-2.0, 0.2, 1.5]), {"phi": PHI, "zi": 0.3}
    found = FAMILIES["zero_inflated_beta"].at(eta, own, LINKS["logit"])
    base = BASES["beta"](special.expit(eta))
    y = SHARES[:, None]
    expected = np.where(y == 0, 0.3, 0.7 * base.pdf(np.where(y == 0, 0.5, y)))
    assert_allclose(np.exp(found.log_density(y)), expected, rtol=1e-10)
    assert_allclose(found.mean(), 0.7 * base.mean(), rtol=1e-12)


def test_zero_one_inflated_beta_has_both_ends():
    eta, own = np.array([-2.0, 0.2, 1.5]), {"phi": PHI, "zoi": 0.3, "coi": 0.2}
    found = FAMILIES["zero_one_inflated_beta"].at(eta, own, LINKS["logit"])
    base = BASES["beta"](special.expit(eta))
    y = np.append(SHARES, 1.0)[:, None]
    inside = 0.7 * base.pdf(y.clip(1e-9, 1 - 1e-9))
    expected = np.where(y == 0, 0.3 * 0.8, np.where(y == 1, 0.3 * 0.2, inside))
    assert_allclose(np.exp(found.log_density(y)), expected, rtol=1e-10)
    assert_allclose(found.mean(), 0.3 * 0.2 + 0.7 * base.mean(), rtol=1e-12)
    square = 0.3 * 0.2 + 0.7 * (base.var() + base.mean() ** 2)
    assert_allclose(found.variance(), square - found.mean() ** 2, rtol=1e-10)
    assert_allclose(found.cdf(np.array([0.0])), 0.24)
    assert_allclose(found.cdf(np.array([1.0])), 1.0)


@pytest.mark.parametrize("name", ["hurdle_poisson", "hurdle_negbinomial", "zero_inflated_negbinomial"])
@pytest.mark.parametrize("odds", [-40.0, 40.0])
@pytest.mark.parametrize("eta", [-40.0, 0.3, 8.0])
def test_no_tail_is_lost(name, odds, eta):
    """Of the probability, and of a mean so small that a count above 0 can only be 1."""
    family = FAMILIES[name]
    parameter = "zi" if name[0] == "z" else "hu"
    share = family.parameter(parameter).kind.under("logit", np.array(odds))
    own = {p.name: share if p.name == parameter else SHAPE for p in family.own}
    found = family.at(np.array(eta), own, LINKS["log"]).log_density(np.array([0.0, 1.0]))
    log_p, log_q = special.log_expit(odds), special.log_expit(-odds)
    mu = np.longdouble(np.exp(np.longdouble(eta)))
    if name == "hurdle_poisson":
        none, one = -mu, np.longdouble(eta) - mu
    else:
        none = -SHAPE * np.log1p(mu / SHAPE)
        one = none + np.longdouble(eta) + np.log(np.longdouble(SHAPE)) - np.log(SHAPE + mu)
    if name[0] == "z":
        expected = [np.logaddexp(np.longdouble(log_p), log_q + none), log_q + one]
    else:
        expected = [log_p, log_q + one - np.log(-np.expm1(none))]
    # 1e-14: the last digit of a logarithm of -40 that cancels another
    assert_allclose(found, np.array(expected, float), rtol=1e-12, atol=1e-14)


# -- models ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    rng, columns = grouped(900, 40, seed=5)
    mu, p = np.exp(1 + columns["eta"]), special.expit(columns["eta"])
    none = rng.random(900) < 0.3
    counts = rng.negative_binomial(SHAPE, SHAPE / (SHAPE + mu))
    return pd.DataFrame(
        columns
        | {
            "zinb": np.where(none, 0, counts),
            "zib": np.where(none, 0, rng.binomial(6, p)),
            "amount": np.where(none, 0.0, rng.gamma(SHAPE, mu / SHAPE)),
            "share": np.where(none, 0.0, rng.beta(p * PHI, (1 - p) * PHI)),
            "ends": np.where(none, rng.random(900) < 0.4, rng.beta(p * PHI, (1 - p) * PHI)),
        }
    )


MODELS = [
    ({"mu": "zinb ~ x + (1 | g)", "zi": "~ x"}, "zero_inflated_negbinomial"),
    ({"mu": "zinb ~ x", "shape": "~ x", "zi": "~ (1 | g)"}, "zero_inflated_negbinomial"),
    ({"mu": "zib | trials(6) ~ x", "zi": "~ x"}, "zero_inflated_binomial"),
    ({"mu": "zib | trials(6) ~ x", "zi": "~ x"}, "zero_inflated_beta_binomial"),
    ({"mu": "zinb ~ x + (1 | g)", "hu": "~ x"}, "hurdle_poisson"),
    ({"mu": "zinb ~ x + (1 | g)", "hu": "~ x"}, "hurdle_negbinomial"),
    ("amount ~ x + (1 | g)", "hurdle_gamma"),
    ({"mu": "amount ~ x", "sigma": "~ x", "hu": "~ x"}, "hurdle_lognormal"),
    ({"mu": "share ~ x", "zi": "~ x"}, "zero_inflated_beta"),
    ({"mu": "ends ~ x", "zoi": "~ x", "coi": "~ x"}, "zero_one_inflated_beta"),
]


@pytest.mark.parametrize(("formula", "family"), MODELS, ids=[f"{m[1]}-{k}" for k, m in enumerate(MODELS)])
def test_the_kernel_is_the_graph(data, formula, family):
    assert_kernel_is_the_graph(hb.Model(formula, data, family=family))


@pytest.mark.parametrize(
    ("response", "family", "truth"),
    [
        ("zinb", "zero_inflated_negbinomial", {"x": 0.4, "zi": 0.3}),
        ("amount", "hurdle_gamma", {"x": 0.4, "hu": 0.3, "shape": SHAPE}),
        ("ends", "zero_one_inflated_beta", {"x": 0.4, "zoi": 0.3, "coi": 0.4}),
    ],
)
def test_everything_works(data, response, family, truth):
    assert_works(hb.Model(f"{response} ~ x + (1 | g)", data, family=family), truth)


def test_a_response_of_zeros_alone_is_no_hurdle(data):
    with pytest.raises(DataError, match=r"is 0 in every row that counts, which says nothing of mu, the mean"):
        hb.Model("y ~ x", data.assign(y=0), family="hurdle_poisson")


# -- others' estimates ----------------------------------------------------------------------------------------

SALAMANDERS = hb.load_dataset("salamanders")
# glmmTMB 1.1.5 on its Salamanders (Price et al. 2016): estimate, standard error; of hurdles its zi is hu
GLMMTMB = {
    "hurdle_negbinomial": {
        "Intercept": (-0.1514, 0.2403), "mined[no]": (1.1300, 0.2329),
        "hu.Intercept": (1.6650, 0.1558), "hu.mined[no]": (-2.1505, 0.1921),
    },
    "hurdle_poisson": {
        "Intercept": (0.2793, 0.1672), "mined[no]": (0.9597, 0.1816),
        "hu.Intercept": (1.6650, 0.1558), "hu.mined[no]": (-2.1505, 0.1921),
    },
    "nbinom1": {"Intercept": (-1.1436, 0.2135), "mined[no]": (1.8734, 0.2494)},
}  # fmt: skip


# without sites: coefficients of mu and of zi or hu, shape or phi, log likelihood
#   m <- glmmTMB(count ~ mined, zi = ~mined, family = nbinom2, data = d)   # truncated_nbinom2, …; nbinom1 has no zi
#   cat(sprintf("%.9g", c(fixef(m)$cond, fixef(m)$zi, sigma(m), logLik(m))))
GLMMTMB_LIKELIHOOD = {
    "zero_inflated_negbinomial": (
        (-0.155590214, 1.13234182), (0.640234497, -2.39697201), 0.99639417, -867.396528
    ),
    "zero_inflated_poisson": ((0.335385968, 0.932681645), (1.31729758, -1.88087743), None, -958.9627),
    "hurdle_negbinomial": ((-0.155590942, 1.13234252), (1.66500858, -2.15051189), 0.996394852, -867.396528),
    "hurdle_poisson": ((0.335386504, 0.932680952), (1.66500791, -2.15051581), None, -958.9627),
    "nbinom1": ((-0.998717085, 1.78629174), None, 3.01142792, -870.718658),
}  # fmt: skip


@pytest.mark.parametrize("name", GLMMTMB_LIKELIHOOD)
def test_the_likelihood_at_its_maximum_is_glmmtmbs(name):
    data, family = SALAMANDERS, FAMILIES[name]
    x = np.column_stack([np.ones(len(data)), data["mined"] == "no"])
    mu, zero, shape, expected = GLMMTMB_LIKELIHOOD[name]

    def total(mu, zero, shape):
        own = {} if zero is None else {"zi" if name[0] == "z" else "hu": special.expit(x @ zero)}
        own |= {} if shape is None else {family.own[0].name: np.asarray(shape)}
        return family.at(x @ mu, own, LINKS["log"]).log_density(data["count"].to_numpy(float)).sum()

    assert total(mu, zero, shape) == pytest.approx(expected, abs=1e-5)
    for step in (0.05, -0.05):  # and it is a maximum
        assert total(np.add(mu, [step, 0]), zero, shape) < expected
        assert total(np.add(mu, [0, step]), zero, shape) < expected


@pytest.mark.parametrize("family", GLMMTMB)
def test_estimates_are_glmmtmbs(family):
    data = SALAMANDERS
    data["mined"] = pd.Categorical(data["mined"], ["yes", "no"])
    formulas = {"mu": "count ~ mined + (1 | site)"}
    if family != "nbinom1":
        formulas["hu"] = "~ mined"
    priors = {"b": "Normal(0, 10)", "sd": "HalfNormal(1)"}
    summary = hb.Model(formulas, data, family=family, priors=priors).fit(seed=3, progress=False).summary()
    assert summary["ess_bulk"].min() > 400
    for name, (estimate, error) in GLMMTMB[family].items():
        # a posterior mean is apart from the maximum where the likelihood is skew, most so of hu and its intercept
        assert abs(summary.loc[name, "mean"] - estimate) < 0.6 * error, name
        assert_allclose(summary.loc[name, "sd"], error, rtol=0.3, err_msg=name)


def test_shares_with_zeros_are_fitted_without_a_word_of_numpys(recwarn):
    y = np.tile([0.0, 0.2, 0.7], 10)
    assert hb.Model("y ~ 1", pd.DataFrame({"y": y}), "zero_inflated_beta").fit(
        draws=50, chains=2, progress=False
    )
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning)]
