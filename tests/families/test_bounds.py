"""Censored and truncated responses: densities, answers, and what is refused."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, special, stats

import hierbayes as hb
from hierbayes.data.settling import settle
from hierbayes.errors import UnsupportedError
from hierbayes.families import FAMILIES, get_family
from hierbayes.formula import parse
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works, grouped
from tests.slow import with_slow

KIDNEY = hb.load_dataset("kidney")
LEFT, NONE, RIGHT, INTERVAL = -1.0, 0.0, 1.0, 2.0
OWN = {
    "gaussian": {"sigma": 1.3},
    "lognormal": {"sigma": 0.8},
    "weibull": {"shape": 1.4},
    "exponential": {},
    "gamma": {"shape": 2.3},
    "poisson": {},
    "negbinomial": {"shape": 1.7},
    "student": {"sigma": 1.2, "nu": 4.5},
    "geometric": {},
    "shifted_lognormal": {"sigma": 0.8, "ndt": 0.1},
    "frechet": {"nu": 4.5},
    "inverse_gaussian": {"shape": 2.5},
    "exgaussian": {"sigma": 0.7, "beta": 0.9},
    "asym_laplace": {"sigma": 0.8, "quantile": 0.4},
    "gen_extreme_value": {"sigma": 0.9, "xi": 0.15},
    "skew_normal": {"sigma": 0.9, "alpha": 3.0},
}
# test_share_bounds.py has the first three, test_scalars.py the fourth, test_cox.py the one whose knots are learnt
ELSEWHERE = ("beta", "binomial", "betabinomial", "compois")
TAILED = [
    name
    for name, one in FAMILIES.items()
    if one.tails is not None and one.known_from is None and name not in ELSEWHERE
]
WITH_MOMENTS = [name for name in TAILED if FAMILIES[name].tails.moments is not None]
each_with_moments = pytest.mark.parametrize("name", WITH_MOMENTS)
each_family = pytest.mark.parametrize("name", TAILED)
LONG = (  # whose fits take most time
    "student", "negbinomial", "gamma", "frechet", "inverse_gaussian", "exgaussian", "shifted_lognormal", "lognormal",
    "asym_laplace", "gen_extreme_value", "skew_normal", "exponential", "geometric",
)  # fmt: skip
each_fit = pytest.mark.parametrize("name", with_slow(TAILED, LONG))
PRIORS = {"asym_laplace": {"quantile": "Fixed(0.4)"}}  # the quantile that is asked for
EFFECTIVE = {
    "asym_laplace": 400
}  # draws: where the density has kinks, its curvature says nothing of its width
BOUNDS = {"": "", "lb": "trunc(lb=l)", "ub": "trunc(ub=u)", "both": "trunc(lb=l, ub=u)"}


def scipys(name: str, eta: np.ndarray, **own):
    """The family's distribution as SciPy has it, at the values of `OWN` unless others are given."""
    own = OWN[name] | own
    match name:
        case "gaussian":
            return stats.norm(eta, own["sigma"])
        case "lognormal":
            return stats.lognorm(own["sigma"], scale=np.exp(eta))
        case "weibull":
            return stats.weibull_min(own["shape"], scale=np.exp(eta) / special.gamma(1 + 1 / own["shape"]))
        case "exponential":
            return stats.expon(scale=np.exp(eta))
        case "gamma":
            return stats.gamma(own["shape"], scale=np.exp(eta) / own["shape"])
        case "student":
            return stats.t(own["nu"], eta, own["sigma"])
        case "poisson":
            return stats.poisson(np.exp(eta))
        case "negbinomial":
            return stats.nbinom(own["shape"], own["shape"] / (own["shape"] + np.exp(eta)))
        case "geometric":
            return stats.nbinom(1.0, 1 / (1 + np.exp(eta)))
        case "shifted_lognormal":
            return stats.lognorm(own["sigma"], own["ndt"], np.exp(eta))
        case "frechet":
            return stats.invweibull(own["nu"], scale=np.exp(eta) / special.gamma(1 - 1 / own["nu"]))
        case "inverse_gaussian":
            return stats.invgauss(np.exp(eta) / own["shape"], scale=own["shape"])
        case "exgaussian":
            return stats.exponnorm(own["beta"] / own["sigma"], eta - own["beta"], own["sigma"])
        case "asym_laplace":
            p = own["quantile"]
            return stats.laplace_asymmetric(np.sqrt(p / (1 - p)), eta, own["sigma"] / np.sqrt(p * (1 - p)))
        case "gen_extreme_value":
            return stats.genextreme(-own["xi"], eta, own["sigma"])
        case "skew_normal":
            lean = own["alpha"] / np.hypot(1, own["alpha"]) * np.sqrt(2 / np.pi)
            scale = own["sigma"] / np.sqrt(1 - lean**2)
            return stats.skewnorm(own["alpha"], eta - scale * lean, scale)
    raise AssertionError(f"what is the distribution of family {name}?")


def learnt(name: str) -> dict[str, float]:
    """The own parameters that have a posterior, and their true values."""
    return {key: value for key, value in OWN[name].items() if key not in PRIORS.get(name, {})}


def family_of(name: str, additions: str):
    """A family with its known parameters."""
    return settle({"mu": parse(f"y | {additions} ~ 1")}, pd.DataFrame({"y": [1.0]}), *get_family(name))[1]


def link_of(name: str) -> str:
    """The default, but that of the logarithm where the default has no linear predictor below 0."""
    return "log" if name == "inverse_gaussian" else FAMILIES[name].links[0]


def at(name: str, additions: str, eta, **stated):
    family = family_of(name, additions)
    own = OWN[name] | {k: np.asarray(v, float) for k, v in stated.items()}
    return family.at(np.asarray(eta), own, LINKS[link_of(name)])


def likelihood_of(fit, name: str) -> np.ndarray:
    """Each row's log-likelihood in every draw: (draws, rows)."""
    values = fit.log_likelihood()["log_likelihood"][name].to_numpy()
    return values.reshape(-1, values.shape[-1])


# -- densities ----------------------------------------------------------------------------------------------------

ETA = np.array([-0.4, 0.3, 1.1])
Y = np.array([0.6, 1.2, 3.0])
WHOLE = ("poisson", "negbinomial", "geometric")
REAL = ("gaussian", "student", "exgaussian", "asym_laplace", "gen_extreme_value", "skew_normal")


def responses(name: str) -> np.ndarray:
    """Some between the bounds of `ENDS`."""
    return np.ceil(Y) if name in WHOLE else Y


ENDS = {"l": np.array([0.5, 0.2, 1.0]), "u": np.array([4.0, 9.0, 6.0])}
# a number, a positive one and a count: with code of their own for each of `BOUNDS`, where others have that for both
# bounds, infinite where there is none
EACH_CODE = ("gaussian", "weibull", "poisson")


def bounded(name: str, bounds: str) -> tuple[str, np.ndarray, np.ndarray]:
    """What a formula adds for censoring between bounds, and these: (3,)."""
    lower = ENDS["l"] if bounds in ("lb", "both") else np.full(3, -np.inf)
    upper = ENDS["u"] if bounds in ("ub", "both") else np.full(3, np.inf)
    stated = BOUNDS[bounds if name in EACH_CODE else "both"]
    return " + ".join(part for part in ("cens(c, b)", stated) if part), lower, upper


def test_families_of_others_claim_no_tails_of_theirs():
    assert set(TAILED) == set(OWN)


@pytest.mark.parametrize(("status", "bounds"), list(itertools.product([LEFT, NONE, RIGHT, INTERVAL], BOUNDS)))
@each_family
def test_densities_are_scipys(name, status, bounds):
    additions, lower, upper = bounded(name, bounds)
    y = responses(name)
    y2 = y + 1.7
    stated = {"cens": np.full(3, status), "y2": y2, "lb": lower, "ub": upper}
    known = {p.name for p in family_of(name, additions).known}
    found = at(name, additions, ETA, **{n: v for n, v in stated.items() if n in known}).log_density(y)
    exact = scipys(name, ETA)
    whole = FAMILIES[name].support.whole
    below = exact.cdf(np.ceil(lower) - 1 if whole else lower)
    expected = {
        LEFT: exact.cdf(y) - below,
        NONE: exact.pmf(y) if whole else exact.pdf(y),
        RIGHT: exact.cdf(upper) - exact.cdf(y),
        INTERVAL: exact.cdf(np.minimum(y2, upper)) - exact.cdf(y),
    }[status] / (exact.cdf(upper) - below)
    assert_allclose(found, np.log(expected), rtol=1e-10)


@pytest.mark.parametrize(("status", "bounds"), list(itertools.product([LEFT, RIGHT, INTERVAL], BOUNDS)))
@pytest.mark.parametrize(("name", "link"), [(name, link) for name in TAILED for link in FAMILIES[name].links])
def test_scores_are_differences(name, link, status, bounds):
    additions, lower, upper = bounded(name, bounds)
    family = family_of(name, additions)
    eta, y = np.array([0.63, 1.13, 1.7]), responses(name)  # none at a response, where asym_laplace has a kink
    stated = {"cens": np.full(3, status), "y2": y + 1.7, "lb": lower, "ub": upper}
    known = {p.name: stated[p.name] for p in family.known}

    def density(eta, own):
        return family.at(eta, own | known, LINKS[link]).log_density(y)

    def difference(moved):
        near, far = (moved(k) - moved(-k) for k in (1e-3, 2e-3))
        return (8 * near - far) / 12e-3

    own = {n: np.asarray(v) for n, v in OWN[name].items()}
    _, scores = family.at(eta, own | known, LINKS[link]).evaluate(y)
    assert_allclose(scores[0], difference(lambda h: density(eta + h, own)), rtol=1e-6, atol=1e-8)
    for place, (parameter, value) in enumerate(own.items(), start=1):
        found = difference(lambda h, p=parameter, v=value: density(eta, own | {p: v + h}))
        assert_allclose(scores[place], found, rtol=1e-6, atol=1e-8)
    assert not np.any(scores[1 + len(own) :])


def by_quadrature(name: str, y: float, eta: float) -> tuple[float, float]:
    """The same as integrals of the density over its value at y, of the smaller tail."""
    own = {n: np.asarray(v) for n, v in OWN[name].items()}
    density = FAMILIES[name].at(np.asarray(eta), own, LINKS[link_of(name)]).log_density
    at_y, h = float(density(np.array(y))), 1e-6 * y
    slope = float(density(np.array(y + h)) - density(np.array(y - h))) / (2 * h)
    side, width = (-1.0 if slope > 0 else 1.0), 1 / max(abs(slope), 1.0)
    last = min(60.0, y / width) if side < 0 and name == "inverse_gaussian" else 60.0
    nodes = np.linspace(0.0, last, 13)

    def ratio(x: float) -> float:
        place = y + side * width * x
        return (
            0.0
            if place <= 0 and name == "inverse_gaussian"
            else np.exp(float(density(np.array(place))) - at_y)
        )

    total = sum(integrate.quad(ratio, *ends, epsabs=0, epsrel=1e-11)[0] for ends in itertools.pairwise(nodes))
    small = at_y + np.log(total * width)
    return (small, np.log1p(-np.exp(small))) if side < 0 else (np.log1p(-np.exp(small)), small)


def exact_tails(name: str, y: float, eta: float) -> tuple[float, float]:
    """Logarithms of the probabilities below and above."""
    if name in ("gaussian", "lognormal", "shifted_lognormal"):
        rest = y if name == "gaussian" else np.log(y - OWN[name].get("ndt", 0.0))
        z = (rest - eta) / OWN[name]["sigma"]
        return stats.norm.logcdf(z), stats.norm.logsf(z)
    if name in WHOLE:
        below = special.logsumexp(scipys(name, eta).logpmf([0, 1]))
        above = special.logsumexp(scipys(name, eta).logpmf(np.arange(2, 3000)))
        return (below, np.log1p(-np.exp(below))) if eta > 0 else (np.log1p(-np.exp(above)), above)
    if name == "gamma":  # Γ(a, x) = exp(-x) U(1 - a, 1 - a, x)
        a = OWN[name]["shape"]
        x = a * y / np.exp(eta)
        below = np.log(special.gammainc(a, x))
        above = np.log(special.hyperu(1 - a, 1 - a, x)) - x - special.gammaln(a)
        return (below, np.log1p(-np.exp(below))) if x < 1 else (np.log1p(-np.exp(above)), above)
    if name == "frechet":
        passed = (y / np.exp(eta) * special.gamma(1 - 1 / OWN[name]["nu"])) ** -OWN[name]["nu"]
        return -passed, np.log1p(-np.exp(-passed)) if passed > 1 else np.log(-np.expm1(-passed))
    if name == "student":
        z = (y - eta) / OWN[name]["sigma"]
        below, above = (np.log(stats.t.cdf(t, OWN[name]["nu"])) for t in (z, -z))
        return (below, np.log1p(-np.exp(below))) if z < 0 else (np.log1p(-np.exp(above)), above)
    if name == "asym_laplace":
        x, p = (y - eta) / OWN[name]["sigma"], OWN[name]["quantile"]
        if x < 0:
            return np.log(p) + (1 - p) * x, np.log1p(-p * np.exp((1 - p) * x))
        return np.log1p(-(1 - p) * np.exp(-p * x)), np.log(1 - p) - p * x
    if name == "gen_extreme_value":
        z = 1 + OWN[name]["xi"] * (y - eta) / OWN[name]["sigma"]
        passed = np.inf if z <= 0 else z ** (-1 / OWN[name]["xi"])
        return -passed, np.log(-np.expm1(-passed)) if passed < 1 else np.log1p(-np.exp(-passed))
    if name in ("inverse_gaussian", "exgaussian", "skew_normal"):
        return by_quadrature(name, y, eta)
    shape = OWN[name].get("shape", 1.0)
    hazard = (y / np.exp(eta) * special.gamma(1 + 1 / shape)) ** shape
    below = np.log1p(-np.exp(-hazard)) if hazard > 1 else np.log(-np.expm1(-hazard))
    return below, -hazard


@pytest.mark.parametrize("eta", [-12.0, -5.0, 0.0, 5.0, 12.0])
@each_family
def test_nothing_is_lost_in_the_tails(name, eta):
    y = np.array([1.0 if name in WHOLE else 0.7])
    below, above = exact_tails(name, y[0], eta)
    for status, expected in ((LEFT, below), (RIGHT, above)):
        value, scores = at(name, "cens(c)", [eta], cens=[status]).evaluate(y)
        assert_allclose(value[0], expected, rtol=1e-9, atol=1e-300)
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("eta", [-40.0, 40.0])
@each_family
def test_scores_are_finite_however_far_out(name, eta):
    y = np.array([1.0 if name in WHOLE else 0.7])
    additions = "cens(c, b) + trunc(lb=l, ub=u)"
    for status, bounds in itertools.product([LEFT, NONE, RIGHT, INTERVAL], [(-np.inf, np.inf), (0.5, 2.0)]):
        lower, upper = bounds
        value, scores = at(name, additions, [eta], cens=[status], y2=[2.0], lb=[lower], ub=[upper]).evaluate(
            y
        )
        # its least value may be above the response
        ended = name == "gen_extreme_value" and eta > 0 and value == -np.inf
        assert np.isfinite(value) or ended, (status, bounds)
        assert np.isfinite(scores).all(), (status, bounds)


def test_an_interval_far_in_a_tail_keeps_its_digits():
    """P(30 < Z <= 30.001) of a normal variable, whose distribution function is 1 to rounding at both ends."""
    near, far = special.erfcx(np.array([30.0, 30.001]) / np.sqrt(2))
    exact = np.log(0.5 * (near - far * np.exp(-0.5 * (30.001**2 - 30.0**2)))) - 0.5 * 30.0**2
    found = family_of("gaussian", "cens(c, b)").at(
        np.zeros(2), {"sigma": np.array(1.0), "cens": np.array([2.0, 2.0]), "y2": np.array([30.001, -30.0])},
        LINKS["identity"],
    )  # fmt: skip
    assert_allclose(found.log_density(np.array([30.0, -30.001])), exact, rtol=1e-11)


# -- what bounds leave ---------------------------------------------------------------------------------------------


def between(exact, power: int, low: float, high: float) -> float:
    """E[Y^power; low <= Y <= high]: a sum of counts, an integral of numbers."""
    if hasattr(exact.dist, "pmf"):
        k = np.arange(np.ceil(low), min(high, 2000) + 1)
        return np.sum(k**power * exact.pmf(k))
    return integrate.quad(lambda y: y**power * exact.pdf(y), low, high, epsabs=1e-12)[0]


@pytest.mark.parametrize("name", [name for name in TAILED if name not in WITH_MOMENTS])
def test_others_refuse_moments_between_bounds(name):
    truncated = at(name, "trunc(lb=l)", ETA, lb=ENDS["l"])
    for moment in (truncated.mean, truncated.variance):
        with pytest.raises(UnsupportedError, match="has no"):
            moment()


@pytest.mark.parametrize("bounds", ["lb", "ub", "both"])
@each_with_moments
def test_moments_between_bounds_are_integrals(name, bounds):
    stated = {"lb": ENDS["l"], "ub": ENDS["u"]}
    truncated = at(name, BOUNDS[bounds], ETA, **(stated if bounds == "both" else {bounds: stated[bounds]}))
    for place, eta in enumerate(ETA):
        low = ENDS["l"][place] if bounds != "ub" else (-np.inf if name in REAL else 0.0)
        high = ENDS["u"][place] if bounds != "lb" else np.inf
        mass, first, second = (between(scipys(name, eta), k, low, high) for k in range(3))
        assert_allclose(truncated.mean()[place], first / mass, rtol=1e-7)
        assert_allclose(truncated.variance()[place], second / mass - (first / mass) ** 2, rtol=1e-6)


def test_means_without_an_end_are_infinite_on_its_side():
    """Student's t with fewer than one degree of freedom has no mean, and half of it an infinite one."""
    for addition, end, infinite in (("trunc(lb=l)", "lb", np.inf), ("trunc(ub=l)", "ub", -np.inf)):
        found = at("student", addition, [0.3], nu=0.6, **{end: [-2.0]})
        assert found.mean() == infinite


@each_with_moments
def test_moments_far_in_a_tail_stay_near_the_bound(name):
    truncated = at(name, "trunc(lb=l, ub=u)", ETA, lb=[60.0] * 3, ub=[61.0] * 3)
    mean, sd = truncated.mean(), np.sqrt(truncated.variance())
    assert ((mean > 60) & (mean < 60.51)).all()
    assert ((sd > 0) & (sd < 0.51)).all()


@pytest.mark.parametrize("far", [False, True])
@each_family
def test_simulated_responses_lie_between_bounds_and_have_the_cdf(name, far):
    """Where a share of 1e-9 or less lies between the bounds too: then by the inverse."""
    lb, ub = (np.array([40.0, 50.0, 60.0]), np.array([45.0, 51.0, 90.0])) if far else (ENDS["l"], ENDS["u"])
    drawn = at(name, "trunc(lb=l, ub=u)", np.tile(ETA, (4000, 1)), lb=lb, ub=ub)
    y = drawn.simulate(np.random.default_rng(1))
    assert ((y >= lb) & (y <= ub)).all()
    upto = at(name, "trunc(lb=l, ub=u)", np.tile(ETA, (4000, 1)), lb=lb, ub=ub)
    before = upto.cdf(y - 1) if name in WHOLE else upto.cdf(y)
    share = np.random.default_rng(2).uniform(before, np.maximum(before, upto.cdf(y)))
    for column in share.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    ends = at(name, "trunc(lb=l, ub=u)", ETA, lb=lb, ub=ub)
    assert_allclose(ends.cdf(ub), 1.0)
    assert_allclose(ends.cdf(lb - 1), 0.0)


def test_bounds_that_one_draw_cannot_have_are_not_another_draws_affair():
    eta = np.array([[0.2, 0.4], [1.0, 2.0]])
    truncated = at("weibull", "trunc(lb=l)", eta, lb=[0.5, 1.0])
    assert_allclose(truncated.mean()[1], at("weibull", "trunc(lb=l)", eta[1], lb=[0.5, 1.0]).mean())


# -- references ----------------------------------------------------------------------------------------------------

# library(survival); survreg(Surv(time, status) ~ age + sex, kidney, dist=…): coefficients, scale, logLik
SURVREG = {
    "lognormal": ([4.82102048344, -0.00528556952912, -1.3766901657], 1.18482366516, -331.979812513),
    "weibull": ([5.24853515885, -0.00403419864604, -0.96548363705], 1.10331944469, -336.554156479),
    "exponential": ([5.27915768103, -0.00443922289971, -0.884997982592], 1.0, -337.132050004),
    "gaussian": (
        [4.82102048344, -0.00528556952912, -1.3766901657],
        1.18482366516,
        -98.5323499487,
    ),  # of log(time)
}


def at_survregs(name: str, X: np.ndarray, coefficients, scale: float, additions: str, **stated):
    """The family where survreg found the maximum: of a Weibull it has the logarithm of the scale, and 1 / shape."""
    eta = X @ np.asarray(coefficients)
    own = {"sigma": scale} if name in ("gaussian", "lognormal") else {}
    if name == "weibull":
        own, eta = {"shape": 1 / scale}, eta + special.gammaln(1 + scale)
    family = family_of(name, additions)
    return family.at(eta, {k: np.asarray(v) for k, v in (own | stated).items()}, LINKS[family.first.links[0]])


@pytest.mark.parametrize("name", SURVREG)
def test_survregs_estimates_are_the_maximum(name):
    coefficients, scale, expected = SURVREG[name]
    X = np.column_stack([np.ones(76), KIDNEY["age"], KIDNEY["sex"] == "male"]).astype(float)
    y = KIDNEY["time"].to_numpy(float)
    y = np.log(y) if name == "gaussian" else y
    found = at_survregs(name, X, coefficients, scale, "cens(c)", cens=1.0 - KIDNEY["status"])
    value, scores = found.evaluate(y)
    assert_allclose(value.sum(), expected, rtol=1e-10)
    assert_allclose(X.T @ scores[0] / np.abs(X).sum(axis=0), 0, atol=1e-5)
    if len(scores) > 2:
        assert_allclose(scores[1].sum(), 0, atol=1e-3)


def test_survregs_intervals_and_left_censoring():
    """Times known to the month, Surv(lo, lo + 30, type="interval2"); those up to 20 days, Surv(…, type="left")."""
    X = np.column_stack([np.ones(76), KIDNEY["sex"] == "male"]).astype(float)
    time = KIDNEY["time"].to_numpy(float)
    begun = np.floor(time / 30) * 30 + 1
    found = at_survregs(
        "weibull", X, [4.64582512809, -0.755666417958], 1.26552324558, "cens(c, b)",
        cens=np.full(76, INTERVAL), y2=begun + 30,
    )  # fmt: skip
    assert_allclose(found.log_density(begun).sum(), -164.228153487, rtol=1e-9)
    status = np.where(time <= 20, LEFT, NONE)
    found = at_survregs("lognormal", X, [4.11725343887, -1.1842486268], 1.28820198349, "cens(c)", cens=status)
    assert_allclose(found.log_density(np.maximum(time, 20)).sum(), -354.678546248, rtol=1e-9)


# brms, time | cens(censored) ~ age + sex + disease + (1 | patient), family lognormal, with the priors below: mean, sd
# and bulk effective sample size
BRMS_PRIORS = {
    "Intercept": "Normal(4, 3)",
    "b": "Normal(0, 2)",
    "sd": "Exponential(1)",
    "sigma": "Exponential(1)",
}
BRMS = {
    "Intercept": (4.45321, 0.72554, 4426),
    "age": (-0.0026497, 0.0130137, 4675),
    "sex[male]": (-1.45445, 0.35771, 4913),
    "disease[GN]": (0.13172, 0.43240, 4534),
    "disease[Other]": (0.43629, 0.46493, 4422),
    "disease[PKD]": (1.05950, 0.57624, 4032),
    "sd[patient, Intercept]": (0.36741, 0.23498, 1195),
    "sigma": (1.14649, 0.12514, 2625),
}


def test_the_posterior_of_the_catheters_is_brmss():
    formula = "time | cens(1 - status) ~ age + sex + disease + (1 | patient)"
    fit = hb.fit(formula, KIDNEY, family="lognormal", priors=BRMS_PRIORS, seed=1, progress=False)
    table = fit.summary()
    for name, (mean, sd, size) in BRMS.items():
        ours = table.loc[name]
        error = sd * np.sqrt(1 / size + 1 / ours["ess_bulk"])
        assert abs(ours["mean"] - mean) < 4 * error, name
        assert ours["sd"] == pytest.approx(sd, rel=4 * np.sqrt(0.5 / size + 0.5 / ours["ess_bulk"])), name


# -- models --------------------------------------------------------------------------------------------------------


def times(name: str, rows: int = 300, seed: int = 5) -> pd.DataFrame:
    """Responses of 30 groups with a slope of 0.4: all censored in some way, or truncated."""
    rng, columns = grouped(rows, 30, seed)
    eta = 1.0 + columns["eta"]
    y = scipys(name, eta).rvs(random_state=rng)
    end = scipys(name, 1.2).rvs(size=rows, random_state=rng)
    kind, whole = np.arange(rows) % 3, name in WHOLE
    width, limit = (2.0, 1.0) if whole else (0.5, 1.5)
    begun = (np.ceil(y / width) - 1) * width
    early = (kind == 1) & (y <= limit)
    interval = (kind == 2) & (begun >= 0 if whole else begun > 0)
    status = np.where(
        interval, INTERVAL, np.where(early, LEFT, np.where((kind == 0) & (y > end), RIGHT, NONE))
    )
    seen = np.select([interval, early, status == RIGHT], [begun, limit, end], y)
    table = pd.DataFrame({"x": columns["x"], "g": columns["g"], "y": seen, "end": begun + width, "exact": y})
    words = {LEFT: "left", NONE: "none", RIGHT: "right", INTERVAL: "interval"}
    return table.assign(status=pd.Series(status).map(words), low=1.0 if whole else 0.4 - 0.2 * (kind == 2))


@pytest.mark.parametrize(
    "response", ["y | cens(status, end)", "y | trunc(lb=low, ub=200)", "seen | cens(late)"]
)
@each_family
def test_the_kernel_is_the_graph(name, response):
    # few of those with a kink, so that none passes it within the steps of a difference
    rows = times(name, 60 if name == "asym_laplace" else 300).assign(
        late=lambda rows: rows["status"] == "right",
        seen=lambda rows: rows["y"].where(rows["late"], rows["exact"]),
    )
    rows = rows[rows["y"] >= rows["low"].max()]
    assert_kernel_is_the_graph(hb.Model(f"{response} ~ x + (1 | g)", rows, family=name, link=link_of(name)))


@each_fit
def test_censored_responses_are_fitted_and_answered(name):
    rows, priors = times(name, 900), PRIORS.get(name)
    model = hb.Model(
        "y | cens(status, end) ~ x + (1 | g)", rows, family=name, link=link_of(name), priors=priors
    )
    assert "not collapsed: the response is censored" in repr(model)
    fit = assert_works(
        model, {"x": 0.4, "Intercept": 1.0, "sd[g, Intercept]": 0.5} | learnt(name), EFFECTIVE.get(name, 1000)
    )
    assert_allclose(
        likelihood_of(fit, "y")[:, :60], probabilities_of(fit, name, fit.data.iloc[:60]), rtol=1e-6
    )


def probabilities_of(fit, name: str, rows: pd.DataFrame) -> np.ndarray:
    """Logarithms of each row's probability or density by SciPy, in every draw: (draws, rows)."""
    draws = fit.posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    b = draws["b"]
    eta = b.sel(coef="Intercept").to_numpy()[:, None] + np.outer(b.sel(coef="x"), rows["x"])
    eta += draws["r_g"].to_numpy()[:, rows["g"].to_numpy(), 0]
    own = {n: draws[n].to_numpy()[:, None] for n in OWN[name]}
    exact, y = scipys(name, eta, **own), rows["y"].to_numpy()
    return np.select(
        [rows["status"] == word for word in ("left", "right", "interval")],
        [
            exact.logcdf(y),
            exact.logsf(y),
            np.log(np.maximum(exact.cdf(rows["end"].to_numpy()) - exact.cdf(y), 1e-300)),
        ],
        exact.logpmf(y) if FAMILIES[name].support.whole else exact.logpdf(y),
    )


@each_fit
def test_truncated_responses_are_fitted_and_answered(name):
    rows = times(name, 1500)
    rows = rows.assign(y=rows["exact"])[(rows["exact"] >= rows["low"]) & (rows["exact"] <= 8)]
    formula, priors = "y | trunc(lb=low, ub=8) ~ x + (1 | g)", PRIORS.get(name)
    model = hb.Model(formula, rows, family=name, link=link_of(name), priors=priors)
    fit = assert_works(model, {"x": 0.4, "Intercept": 1.0} | learnt(name), EFFECTIVE.get(name, 1000))
    new = pd.DataFrame({"x": [0.0, 3.0], "g": [0, 1], "low": [2.0, 7.0]})
    drawn = fit.predict(new, kind="response", output="draws").to_numpy().reshape(-1, 2)
    assert ((drawn >= new["low"].to_numpy()) & (drawn <= 8)).all()
    if name in WITH_MOMENTS:
        mean = fit.predict(new, output="draws").to_numpy().reshape(-1, 2)
        assert ((mean >= new["low"].to_numpy()) & (mean <= 8)).all()
        assert np.all(np.abs(mean.mean(0) - drawn.mean(0)) < 4.5 * drawn.std(0) / np.sqrt(len(drawn)))
    else:
        with pytest.raises(UnsupportedError, match="has no expected response"):
            fit.predict(new)
    with pytest.raises(hb.DataError, match="no column 'low'"):
        fit.predict(new.drop(columns="low"))


@pytest.fixture(scope="module")
def catheters():
    return hb.fit(
        "time | cens(1 - status) ~ sex + (1 | patient)", KIDNEY, family="weibull", seed=1, progress=False
    )


def test_new_rows_need_no_status(catheters):
    new = {"sex": ["female", "male"], "patient": [None, None]}
    plain, told = catheters.predict(new), catheters.predict(new | {"status": [0, 1]})
    pd.testing.assert_frame_equal(plain, told)
    assert np.isfinite(catheters.predict(new, kind="response")[["lower", "upper"]].to_numpy()).all()


def test_a_censored_fit_is_saved_and_loaded(catheters, tmp_path):
    catheters.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.summary(), catheters.summary())
    assert again.loo().elpd == catheters.loo().elpd
    pd.testing.assert_frame_equal(again.residuals(seed=3), catheters.residuals(seed=3))


def test_residuals_of_censored_rows_are_quantiles_alone(catheters):
    table, censored = catheters.residuals(), KIDNEY["status"].to_numpy() == 0
    assert table["residual"].isna().to_numpy().tolist() == censored.tolist()
    assert table["pearson"].isna().to_numpy().tolist() == censored.tolist()
    assert table["quantile"].between(0, 1).all()
    with pytest.raises(hb.UnsupportedError, match="never censored"):
        catheters.plot_ppc()
    assert len(catheters.plot_check()) == 5  # survival, the residuals, and the patients' effects


@pytest.mark.filterwarnings("ignore:.approximate.")  # the draws are compared with each other
def test_the_same_status_in_other_words_is_the_same_model():
    words = {0: "right", 1: "none"}
    tables = {
        "1 - status": KIDNEY,
        "status == 0": KIDNEY,
        "late": KIDNEY.assign(late=KIDNEY["status"] == 0),
        "how": KIDNEY.assign(how=KIDNEY["status"].map(words)),
        "kind": KIDNEY.assign(kind=pd.Categorical(KIDNEY["status"].map(words))),
    }
    found = [
        hb.Model(f"time | cens({text}) ~ sex", rows, family="weibull").approximate(seed=1, progress=False)
        for text, rows in tables.items()
    ]
    for fit in found[1:]:
        pd.testing.assert_frame_equal(fit.summary(), found[0].summary())


@pytest.mark.filterwarnings("ignore:.approximate.")
@pytest.mark.parametrize("kind", ["numbers", "objects"])
def test_rows_without_an_upper_end_stay_where_they_need_none(kind):
    rows = times("weibull")
    end = rows["end"].where(rows["status"] == "interval")
    if kind == "objects":
        rows = rows.assign(y=rows["y"].clip(lower=1).round(), end=(2 * rows["y"].round() + 5).astype(int))
        end = rows["end"].astype("Int64").where(rows["status"] == "interval")
    complete = hb.Model("y | cens(status, end) ~ x", rows, family="weibull")
    gaps = hb.Model("y | cens(status, end) ~ x", rows.assign(end=end), family="weibull")
    assert len(gaps.data) == len(rows)
    found = [model.approximate(seed=1, progress=False).summary() for model in (complete, gaps)]
    pd.testing.assert_frame_equal(*found)
    lost = end.copy()
    lost[(rows["status"] == "interval").idxmax()] = None
    with pytest.warns(hb.DataWarning, match="1 of 300 rows left out for missing values in end"):
        assert len(hb.Model("y | cens(status, end) ~ x", rows.assign(end=lost), family="weibull").data) == 299


def test_all_responses_beyond_one_end_are_a_finding():
    with pytest.warns(hb.DataWarning, match=r"\[all-censored\] .* always from the right"):
        hb.Model("time | cens(1) ~ sex", KIDNEY, family="weibull")
    found = hb.Model("time | cens(1 - status) ~ sex", KIDNEY, family="weibull").check()
    assert "all-censored" not in {finding.code for finding in found}


def test_standard_errors_beside_censoring():
    """Of a normal response whose rows state standard errors beside sigma: the whole's tails."""
    family = family_of("gaussian", "se(s, sigma=True) + cens(c)")
    se, y = np.array([0.5, 2.0]), np.array([1.0, -0.3])
    own = {"sigma": np.array(0.7), "se": se, "cens": np.array([RIGHT, LEFT])}
    total = stats.norm(0.2, np.sqrt(0.7**2 + se**2))
    value, scores = family.at(np.full(2, 0.2), own, LINKS["identity"]).evaluate(y)
    assert_allclose(value, [total.logsf(y)[0], total.logcdf(y)[1]], rtol=1e-12)
    up, down = (
        family.at(np.full(2, 0.2), own | {"sigma": np.array(0.7 + h)}, LINKS["identity"]).log_density(y)
        for h in (1e-5, -1e-5)
    )
    assert_allclose(scores[1], (up - down) / 2e-5, rtol=1e-6)


def test_groups_are_left_out(catheters):
    found = catheters.logo("patient")
    assert np.isfinite(found.elpd)
    assert found.elpd < catheters.loo().elpd
