"""Families: everything known of a response distribution, one record each.

Adding a family is adding its record to `FAMILIES`. The graph, the predictions, the checks of the response and the
default priors read the record; nothing else asks which family a model has. Two places know its name besides: the
command line's list, which must import nothing, and, for strategy ``whitened``, a compiled density under
`hierbayes.engine.whitening.codes`; without that NUTS on the graph takes the model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hierbayes.cumulative import betabinomial_cdf, binomial_cdf, negbinomial_cdf, poisson_cdf
from hierbayes.errors import UnsupportedError
from hierbayes.formula.terms import suggest
from hierbayes.links import LINKS, NUMPY_MATH, Link
from hierbayes.priors import Prior

Array = NDArray[np.float64]
Values = Mapping[str, Any]
LOG_2PI = float(np.log(2 * np.pi))
TINY, EPSILON = float(np.finfo(float).tiny), float(np.finfo(float).epsneg)
STIRLING = 1000.0  # from here on two terms of Stirling's series are exact to rounding
TERMS = 100  # trials up to which a beta-binomial's information is summed over its responses


@dataclass(frozen=True)
class Support:
    """Where a response may lie.

    Attributes
    ----------
    words : str
        The condition in words, for messages: "a whole number, 0 or more".
    contains : callable
        ``contains(y, trials)``: boolean array, one a row.
    whole : bool
        Whether responses are whole numbers.
    two_levels : bool
        Whether a two-valued column (text, categories, True and False) stands for 0 and 1.
    """

    words: str
    contains: Callable[[Array, Array | None], NDArray[np.bool_]]
    whole: bool = False
    two_levels: bool = False


@dataclass(frozen=True)
class Auxiliary:
    """A parameter of the response distribution besides its mean.

    Attributes
    ----------
    name : str
        Its name in the posterior: ``"sigma"``, ``"nu"``, ``"shape"``, ``"phi"``.
    words : str
        What it is, for printing.
    link : str
        The link that its own formula uses, when it has one.
    prior : callable
        ``prior(spread)``: the default prior for a response of that standard deviation.
    typical : callable
        ``typical(spread)``: a middling value, where the intercept of its own formula is centred.
    """

    name: str
    words: str
    link: str
    prior: Callable[[float], Prior]
    typical: Callable[[float], float]


@dataclass(frozen=True)
class Family:
    """A response distribution, its links and its own parameters.

    In every function `eta` is the linear predictor (any shape ending in rows), `aux` maps the names of the
    auxiliary parameters to arrays that broadcast against it, `link` is a `Link`, and `trials` (n,) is None except
    for families that have trials.

    Attributes
    ----------
    name : str
        What users write.
    links : tuple of str
        The links it takes, the default first.
    auxiliaries : tuple of Auxiliary
        Its own parameters.
    support : Support
        Where the response may lie.
    log_density : callable
        ``log_density(y, eta, aux, link, trials)``: log density of each row, -inf where `eta` gives a mean
        that the distribution cannot have (a negative one under the identity or inverse link).
    simulate : callable
        ``simulate(rng, eta, aux, link, trials)``: one response for each entry of `eta`, NaN for such a mean.
    mean : callable
        ``mean(eta, aux, link)``: expected response (for families with trials: per trial).
    variance : callable
        ``variance(eta, aux, link)``: variance of the response about that mean (for families with trials: of one
        trial), infinite where it has none.
    cdf : callable
        ``cdf(y, eta, aux, link, trials)``: probability of a response of `y` or less, `y` in the support; NaN for a mean
        that the distribution cannot have.
    information : callable
        ``information(eta, aux, link, trials)``: Fisher information of a row about `eta`.
    distribution : callable
        ``distribution(pm, m, eta, aux, link, trials)``: PyMC's class and its arguments.
    equation : str
        The distribution as printed: ``"Normal(mu, sigma)"``.
    needs_trials : bool
        Whether the response must state its trials.
    log_response : bool
        Whether location and scale are those of the response's logarithm.
    has_variance : bool
        Whether the response has a variance whatever the parameters are.
    design_effect : callable
        ``design_effect(aux, trials)``: the variance of a response out of trials over that of independent ones.
    threshold : bool
        Whether a response, or each of its trials, says on which side of a threshold a latent variable fell, whose
        distribution about the linear predictor is the link's.
    """

    name: str
    links: tuple[str, ...]
    auxiliaries: tuple[Auxiliary, ...]
    support: Support
    log_density: Callable[[Array, Array, Values, Link, Array | None], Array]
    simulate: Callable[[np.random.Generator, Array, Values, Link, Array | None], Array]
    mean: Callable[[Array, Values, Link], Array]
    variance: Callable[[Array, Values, Link], Array]
    cdf: Callable[[Array, Array, Values, Link, Array | None], Array]
    information: Callable[[Array, Values, Link, Array | None], Array]
    distribution: Callable[[Any, Any, Any, Values, Link, Any], tuple[Any, dict[str, Any]]]
    equation: str
    needs_trials: bool = False
    log_response: bool = False
    has_variance: bool = True
    design_effect: Callable[[Values, Array], Array] = lambda aux, trials: np.ones_like(trials)
    threshold: bool = False

    def moments(
        self, eta: Array, aux: Values, link: Link, trials: Array | None = None
    ) -> tuple[Array, Array]:
        """Mean and variance of the response itself, out of all its trials; each in the shape of `eta`."""
        shape = np.shape(eta)
        mean, variance = self.mean(eta, aux, link), self.variance(eta, aux, link)
        if trials is not None:
            mean, variance = trials * mean, trials * self.design_effect(aux, trials) * variance
        return np.broadcast_to(mean, shape), np.broadcast_to(variance, shape)

    def location_and_scale(
        self, y: Array, trials: Array | None, weights: Array, link: str
    ) -> tuple[float, float]:
        """Centre and spread of the response on the link's scale, for the default priors.

        Identity link: the (weighted) mean and standard deviation of the response. Log, logit, probit and cloglog:
        the link of the mean, pulled half a row from the boundary, and 1. Inverse: the inverse of the mean, twice.
        """
        values = np.log(y) if self.log_response else y
        if trials is not None:  # a row without trials counts for nothing
            values, weights = y / np.maximum(trials, 1), weights * trials
        total = weights.sum()
        mean = float((weights * values).sum() / total)
        if link == "identity":
            return mean, response_scale(values, weights)
        if link == "inverse":
            mean = mean or response_scale(values, weights)
            return 1 / mean, abs(1 / mean)
        if LINKS[link].log_odds is not None:
            mean = (mean * total + 0.5) / (total + 1)
        elif mean <= 0:
            mean = 0.5 / total if np.all(values >= 0) else response_scale(values, weights)
        return float(LINKS[link].link(mean)), 1.0

    def typical_location_and_scale(self, link: str) -> tuple[float, float]:
        """The same without a response: the middle of a link's own scale and 1, NaN where there is none.

        The middle is a probability of a half, or a mean of 1 under the log link.
        """
        if link in ("identity", "inverse"):
            return np.nan, np.nan
        return (0.0 if LINKS[link].log_odds is None else float(LINKS[link].link(0.5))), 1.0


def response_scale(values: Array, weights: Array) -> float:
    """Weighted standard deviation (divisor: the weights' sum), 1 where it vanishes."""
    mean = (weights * values).sum() / weights.sum()
    scale = float(np.sqrt((weights * np.square(values - mean)).sum() / weights.sum()))
    return scale if scale > 0 else 1.0


# -- supports ---------------------------------------------------------------------------------------------------


def _whole(y: Array) -> NDArray[np.bool_]:
    return np.isfinite(y) & (y == np.floor(y)) & (y >= 0)


REAL = Support("a finite number", lambda y, trials: np.isfinite(y))
POSITIVE = Support("a finite number above 0", lambda y, trials: np.isfinite(y) & (y > 0))
UNIT = Support("a number strictly between 0 and 1", lambda y, trials: (y > 0) & (y < 1))
COUNT = Support("a whole number, 0 or more", lambda y, trials: _whole(y), whole=True)
BINARY = Support(
    "0 or 1, or one of two values", lambda y, trials: (y == 0) | (y == 1), whole=True, two_levels=True
)
SUCCESSES = Support(
    "a whole number from 0 to the row's trials",
    lambda y, trials: _whole(y) & (y <= np.asarray(trials)),
    whole=True,
)


# -- auxiliary parameters ---------------------------------------------------------------------------------------


def _sigma(words: str) -> Auxiliary:
    return Auxiliary(
        "sigma", words, "log", lambda spread: Prior("Exponential", lam=1 / spread), lambda spread: spread
    )


# Heavy right tail (the Poisson limit stays possible), little mass near 0: brms' default for negbinomial's shape.
_DISPERSION = Prior("InverseGamma", alpha=0.4, beta=0.3)
NU = Auxiliary(
    "nu", "degrees of freedom", "log", lambda spread: Prior("Gamma", alpha=2.0, beta=0.1), lambda spread: 10.0
)
SHAPE = Auxiliary("shape", "shape", "log", lambda spread: _DISPERSION, lambda spread: 1.0)
PHI = Auxiliary("phi", "precision", "log", lambda spread: _DISPERSION, lambda spread: 10.0)


# -- functions of the records -----------------------------------------------------------------------------------


def _link_mean(eta: Array, aux: Values, link: Link) -> Array:
    return link.mean(eta)


def _student_variance(eta: Array, aux: Values, link: Link) -> Array:
    nu = np.asarray(aux["nu"])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nu > 2, np.square(aux["sigma"]) * nu / (nu - 2), np.inf) + 0 * eta


def _lognormal_mean(eta: Array, aux: Values, link: Link) -> Array:
    return np.exp(link.mean(eta) + np.square(aux["sigma"]) / 2)


def _bernoulli_variance(eta: Array, aux: Values, link: Link) -> Array:
    odds = _log_odds(eta, link)
    return special.expit(odds) * special.expit(-odds)


def _normal_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    z = (y - link.mean(eta)) / aux["sigma"]
    return -0.5 * (z * z + LOG_2PI) - np.log(aux["sigma"])


def _student_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    nu, sigma = aux["nu"], aux["sigma"]
    z = (y - link.mean(eta)) / sigma
    constant = (
        special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi) - np.log(sigma)
    )
    return constant - (nu + 1) / 2 * np.log1p(z * z / nu)


def _lognormal_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    return _normal_log_density(np.log(y), eta, aux, link, trials) - np.log(y)


def _binomial_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    n = np.ones_like(y) if trials is None else trials
    odds = _log_odds(eta, link)
    choose = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
    # y·logit − n·log(1 + exp(logit)), in the form that does not cancel for large logits
    return choose - y * np.logaddexp(0, -odds) - (n - y) * np.logaddexp(0, odds)


def _log_odds(eta: Array, link: Link) -> Array:
    """Log odds of a probability, kept finite: 0 times them must be 0."""
    assert link.log_odds is not None, f"{link.name} is not a link of probabilities"
    with np.errstate(over="ignore", divide="ignore"):
        return np.clip(link.log_odds(eta, NUMPY_MATH), -1e300, 1e300)


def _poisson_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    mu = link.mean(eta)
    return _where_possible(mu, special.xlogy(y, np.maximum(mu, 0)) - mu - special.gammaln(y + 1))


def _negbinomial_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    mean, shape = link.mean(eta), aux["shape"]
    mu = np.maximum(mean, 0)
    # Γ(y + shape) / (y! Γ(shape)) by the beta function: differences of gammaln cancel for a large shape
    choose = -np.log(y + shape) - special.betaln(y + 1, shape)
    return _where_possible(mean, choose - shape * np.log1p(mu / shape) + special.xlogy(y, mu / (mu + shape)))


def _gamma_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    mu, shape = link.mean(eta), aux["shape"]
    rate = shape / np.where(mu > 0, mu, 1.0)
    density = shape * np.log(rate) + (shape - 1) * np.log(y) - rate * y - special.gammaln(shape)
    return np.where(mu > 0, density, -np.inf)


def _beta_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    odds, phi = _log_odds(eta, link), aux["phi"]
    log_mu, log_rest = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
    a, b = np.exp(log_mu) * phi, np.exp(log_rest) * phi
    # 1 / B(a, b) = mu (1 − mu) phi / (phi + 1) / B(a + 1, b + 1), which stays finite as a or b vanishes
    constant = log_mu + log_rest + np.log(phi / (phi + 1)) - special.betaln(a + 1, b + 1)
    return constant + (a - 1) * np.log(y) + (b - 1) * np.log1p(-y)


def _beta_shapes(eta: Array, aux: Values, link: Link) -> tuple[Array, Array]:
    """mu·phi and (1 − mu)·phi, by the log odds: 1 − mu rounds to 0 long before the shape is 0."""
    odds = np.clip(_log_odds(eta, link), -300, 300)  # both above 0, and their trigamma function finite
    return special.expit(odds) * aux["phi"], special.expit(-odds) * aux["phi"]


def _betabinomial_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    n = np.ones_like(y) if trials is None else trials
    odds, phi = _log_odds(eta, link), aux["phi"]
    log_a, log_b = (np.log(phi) - np.logaddexp(0, signed) for signed in (-odds, odds))
    choose = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
    return choose + _log_rise(log_a, y) + _log_rise(log_b, n - y) - _log_rise(np.log(phi), n)


def _log_rise(log_x: Array, y: Array) -> Array:
    """log Γ(x + y) − log Γ(x) for whole y, the logarithm of x (x + 1) … (x + y − 1).

    Without what differences lose: x may underflow to 0 (its own factor is split off), or be so large that both
    logarithms agree in all their digits (then by Stirling's series, Abramowitz & Stegun 1964, 6.1.41).
    """
    x = np.exp(np.minimum(log_x, 700.0)) + 1
    k = np.maximum(y - 1, 0)
    small, large = np.minimum(x, STIRLING), np.maximum(x, STIRLING)
    near = special.gammaln(small + k) - special.gammaln(small)
    rests = [(1 - 1 / (30 * z**2)) / (12 * z) for z in (large + k, large)]
    far = (large - 0.5) * np.log1p(k / large) + k * (np.log(large + k) - 1) + rests[0] - rests[1]
    return np.where(y > 0, log_x + np.where(x < STIRLING, near, far), 0.0)


def _gamma_cdf(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    mu, shape = link.mean(eta), aux["shape"]
    with np.errstate(divide="ignore"):  # a mean that vanished
        return np.where(mu >= 0, special.gammainc(shape, shape * y / np.maximum(mu, 0)), np.nan)


def _bernoulli_cdf(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    return np.where(y < 1, special.expit(-_log_odds(eta, link)), 1.0)


def _betabinomial_cdf(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    n = np.ones_like(y) if trials is None else trials
    mass = np.exp(_betabinomial_log_density(y, eta, aux, link, trials))
    return betabinomial_cdf(y, n, *_beta_shapes(eta, aux, link), mass)


def _where_possible(mu: Array, values: Array) -> Array:
    """Log densities, -inf at a negative mean, which the identity and inverse links can give."""
    return np.where(mu >= 0, values, -np.inf)


def _draw_where_possible(mu: Array, draw: Callable[[Array], Array]) -> Array:
    """``draw(mu)``, NaN at a negative mean: NumPy's generators would refuse all means for one such."""
    return np.where(mu >= 0, draw(np.where(mu >= 0, mu, 1.0)), np.nan)


def _poisson_draw(rng: np.random.Generator, mu: Array) -> Array:
    # NumPy's generator refuses means above 9.2e18; a linear predictor of 41 is past any count
    return rng.poisson(np.minimum(mu, 1e18)).astype(float)


def _poisson_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    return _draw_where_possible(link.mean(eta), lambda mu: _poisson_draw(rng, mu))


def _negbinomial_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    shape = np.broadcast_to(aux["shape"], np.shape(eta))
    return _draw_where_possible(link.mean(eta), lambda mu: _poisson_draw(rng, rng.gamma(shape, mu / shape)))


def _normal_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    shape = np.shape(eta)
    # in the order in memory of the linear predictors, or adding them takes as long as drawing
    noise = rng.standard_normal(shape[::-1]).T if np.isfortran(eta) else rng.standard_normal(shape)
    noise = noise * aux["sigma"]
    noise += link.mean(eta)
    return noise


def _lognormal_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    # 0 and infinity are no responses
    return np.exp(np.clip(_normal_simulate(rng, eta, aux, link, trials), -700, 700))


def _gamma_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    shape = np.broadcast_to(aux["shape"], np.shape(eta))
    # a small shape underflows to 0, which is no response
    return _draw_where_possible(link.mean(eta), lambda mu: np.maximum(rng.gamma(shape, mu / shape), TINY))


def _beta_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    # small shapes round to 0 or 1, which are no responses
    return np.clip(rng.beta(*_beta_shapes(eta, aux, link)), TINY, 1 - EPSILON)


def _binomial_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    n = 1 if trials is None else np.asarray(trials, dtype=np.int64)
    return rng.binomial(n, link.mean(eta)).astype(float)


def _betabinomial_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    n = 1 if trials is None else np.asarray(trials, dtype=np.int64)
    return rng.binomial(n, rng.beta(*_beta_shapes(eta, aux, link))).astype(float)


def _beta_information(eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    """Ferrari & Cribari-Neto (2004), eq. 8: phi² (ψ'(μφ) + ψ'((1−μ)φ)) (dμ/dη)²."""
    a, b = _beta_shapes(eta, aux, link)
    phi = np.asarray(aux["phi"])
    return phi**2 * (special.polygamma(1, a) + special.polygamma(1, b)) * link.slope(eta) ** 2


def _binomial_information(eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    odds = _log_odds(eta, link)
    variance = special.expit(odds) * special.expit(-odds)
    n = 1.0 if trials is None else trials
    with np.errstate(divide="ignore", invalid="ignore"):
        return n * np.where(variance > 0, link.slope(eta) ** 2 / variance, 0.0)


def _betabinomial_information(eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    """The mean square of the score, summed over the responses.

    That of more than `TERMS` trials is scaled up from that of `TERMS` in the ratio of n / (1 + (n − 1) / (1 + phi)),
    their numbers of independent trials: exact for a large phi, else too small, by a tenth for a mean of 0.1 and a phi
    of 10, down to a third of it for a mean of 0.001.
    """
    n = np.ones(1) if trials is None else np.asarray(trials, dtype=np.float64)
    few = np.minimum(n, TERMS)
    a, b = _beta_shapes(eta, aux, link)
    phi = a + b
    # log density and score, d / d a − d / d b, of y successes: from y = 0 on
    logs = _log_rise(np.log(b), few) - _log_rise(np.log(phi), few)
    score = special.digamma(b) - special.digamma(b + few)
    total = np.exp(logs) * score**2
    with np.errstate(divide="ignore", invalid="ignore"):  # of more successes than trials, which are left out
        for y in range(int(few.max(initial=0.0))):
            left = few - y
            after = b + (left - 1)  # in this order: b may be lost in 1
            logs = logs + np.log(left / (y + 1) * (a + y) / after)
            score = score + 1 / (a + y) + 1 / after
            total = total + np.where(left > 0, np.exp(logs) * score**2, 0.0)
    independent, summed = ((1 + phi) * many / (phi + np.maximum(many, 1)) for many in (n, few))
    return (phi * link.slope(eta)) ** 2 * total * independent / np.where(summed > 0, summed, 1.0)


def _bernoulli_distribution(
    pm: Any, m: Any, eta: Any, aux: Values, link: Link, trials: Any
) -> tuple[Any, dict[str, Any]]:
    assert link.log_odds is not None
    odds = link.log_odds(eta, m)
    return (
        (pm.Bernoulli, {"logit_p": odds}) if trials is None else (pm.Binomial, {"n": trials, "logit_p": odds})
    )


def _beta_distribution(
    pm: Any, m: Any, eta: Any, aux: Values, link: Link, trials: Any
) -> tuple[Any, dict[str, Any]]:
    assert link.log_odds is not None
    odds = link.log_odds(eta, m)
    return pm.Beta, {"alpha": m.sigmoid(odds) * aux["phi"], "beta": m.sigmoid(-odds) * aux["phi"]}


def _betabinomial_distribution(
    pm: Any, m: Any, eta: Any, aux: Values, link: Link, trials: Any
) -> tuple[Any, dict[str, Any]]:
    _, shapes = _beta_distribution(pm, m, eta, aux, link, trials)
    return pm.BetaBinomial, {**shapes, "n": trials}


NUMBER_LINKS = ("identity", "log", "inverse")
POSITIVE_LINKS = ("log", "identity", "inverse")
UNIT_LINKS = ("logit", "probit", "cloglog")

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="gaussian",
            links=NUMBER_LINKS,
            auxiliaries=(_sigma("residual standard deviation"),),
            support=REAL,
            log_density=_normal_log_density,
            simulate=_normal_simulate,
            mean=_link_mean,
            variance=lambda eta, aux, link: np.square(aux["sigma"]) + 0 * eta,
            cdf=lambda y, eta, aux, link, trials: special.ndtr((y - link.mean(eta)) / aux["sigma"]),
            information=lambda eta, aux, link, trials: (link.slope(eta) / aux["sigma"]) ** 2,
            distribution=lambda pm, m, eta, aux, link, trials: (
                pm.Normal,
                {"mu": link.inverse(eta, m), "sigma": aux["sigma"]},
            ),
            equation="Normal(mu, sigma)",
        ),
        Family(
            name="student",
            links=NUMBER_LINKS,
            auxiliaries=(_sigma("residual scale"), NU),
            support=REAL,
            log_density=_student_log_density,
            simulate=lambda rng, eta, aux, link, trials: (
                link.mean(eta) + aux["sigma"] * rng.standard_t(np.broadcast_to(aux["nu"], np.shape(eta)))
            ),
            mean=_link_mean,
            variance=_student_variance,
            cdf=lambda y, eta, aux, link, trials: special.stdtr(
                aux["nu"], (y - link.mean(eta)) / aux["sigma"]
            ),
            # Lange, Little & Taylor (1989), appendix B: (ν + 1) / (ν + 3) / σ²
            information=lambda eta, aux, link, trials: (
                (aux["nu"] + 1) / (aux["nu"] + 3) * (link.slope(eta) / aux["sigma"]) ** 2
            ),
            distribution=lambda pm, m, eta, aux, link, trials: (
                pm.StudentT,
                {"nu": aux["nu"], "mu": link.inverse(eta, m), "sigma": aux["sigma"]},
            ),
            equation="StudentT(nu, mu, sigma)",
            has_variance=False,
        ),
        Family(
            name="lognormal",
            links=("identity", "inverse"),
            auxiliaries=(_sigma("standard deviation of the logarithm"),),
            support=POSITIVE,
            log_density=_lognormal_log_density,
            simulate=_lognormal_simulate,
            mean=_lognormal_mean,
            variance=lambda eta, aux, link: (
                np.expm1(np.square(aux["sigma"])) * _lognormal_mean(eta, aux, link) ** 2
            ),
            cdf=lambda y, eta, aux, link, trials: special.ndtr((np.log(y) - link.mean(eta)) / aux["sigma"]),
            information=lambda eta, aux, link, trials: (link.slope(eta) / aux["sigma"]) ** 2,
            distribution=lambda pm, m, eta, aux, link, trials: (
                pm.LogNormal,
                {"mu": link.inverse(eta, m), "sigma": aux["sigma"]},
            ),
            equation="LogNormal(mu, sigma)",
            log_response=True,
        ),
        Family(
            name="bernoulli",
            links=UNIT_LINKS,
            auxiliaries=(),
            support=BINARY,
            log_density=_binomial_log_density,
            simulate=_binomial_simulate,
            mean=_link_mean,
            variance=_bernoulli_variance,
            cdf=_bernoulli_cdf,
            information=_binomial_information,
            distribution=_bernoulli_distribution,
            equation="Bernoulli(mu)",
            threshold=True,
        ),
        Family(
            name="binomial",
            links=UNIT_LINKS,
            auxiliaries=(),
            support=SUCCESSES,
            log_density=_binomial_log_density,
            simulate=_binomial_simulate,
            mean=_link_mean,
            variance=_bernoulli_variance,
            cdf=lambda y, eta, aux, link, trials: binomial_cdf(
                y, np.ones_like(y) if trials is None else trials, _log_odds(eta, link)
            ),
            information=_binomial_information,
            distribution=_bernoulli_distribution,
            equation="Binomial(trials, mu)",
            threshold=True,
            needs_trials=True,
        ),
        Family(
            name="betabinomial",
            links=UNIT_LINKS,
            auxiliaries=(PHI,),
            support=SUCCESSES,
            log_density=_betabinomial_log_density,
            simulate=_betabinomial_simulate,
            mean=_link_mean,
            variance=_bernoulli_variance,  # of one trial, whatever phi: its trials vary together, none more
            cdf=_betabinomial_cdf,
            information=_betabinomial_information,
            distribution=_betabinomial_distribution,
            equation="BetaBinomial(trials, mu·phi, (1 − mu)·phi)",
            design_effect=lambda aux, trials: 1 + (np.maximum(trials, 1) - 1) / (1 + aux["phi"]),
            threshold=True,
            needs_trials=True,
        ),
        Family(
            name="poisson",
            links=("log", "identity"),
            auxiliaries=(),
            support=COUNT,
            log_density=_poisson_log_density,
            simulate=_poisson_simulate,
            mean=_link_mean,
            variance=_link_mean,
            cdf=lambda y, eta, aux, link, trials: poisson_cdf(y, link.mean(eta)),
            information=lambda eta, aux, link, trials: link.slope(eta) ** 2 / link.mean(eta),
            distribution=lambda pm, m, eta, aux, link, trials: (pm.Poisson, {"mu": link.inverse(eta, m)}),
            equation="Poisson(mu)",
        ),
        Family(
            name="negbinomial",
            links=("log", "identity"),
            auxiliaries=(SHAPE,),
            support=COUNT,
            log_density=_negbinomial_log_density,
            simulate=_negbinomial_simulate,
            mean=_link_mean,
            variance=lambda eta, aux, link: link.mean(eta) * (1 + link.mean(eta) / aux["shape"]),
            cdf=lambda y, eta, aux, link, trials: negbinomial_cdf(y, link.mean(eta), aux["shape"]),
            information=lambda eta, aux, link, trials: (
                link.slope(eta) ** 2 / (link.mean(eta) * (1 + link.mean(eta) / aux["shape"]))
            ),
            distribution=lambda pm, m, eta, aux, link, trials: (
                pm.NegativeBinomial,
                {"mu": link.inverse(eta, m), "alpha": aux["shape"]},
            ),
            equation="NegativeBinomial(mu, shape), variance mu + mu²/shape",
        ),
        Family(
            name="gamma",
            links=POSITIVE_LINKS,
            auxiliaries=(SHAPE,),
            support=POSITIVE,
            log_density=_gamma_log_density,
            simulate=_gamma_simulate,
            mean=_link_mean,
            variance=lambda eta, aux, link: link.mean(eta) ** 2 / aux["shape"],
            cdf=_gamma_cdf,
            information=lambda eta, aux, link, trials: aux["shape"] * (link.slope(eta) / link.mean(eta)) ** 2,
            distribution=lambda pm, m, eta, aux, link, trials: (
                pm.Gamma,
                {"alpha": aux["shape"], "beta": aux["shape"] / link.inverse(eta, m)},
            ),
            equation="Gamma(shape, rate shape/mu)",
        ),
        Family(
            name="beta",
            links=UNIT_LINKS,
            auxiliaries=(PHI,),
            support=UNIT,
            log_density=_beta_log_density,
            simulate=_beta_simulate,
            mean=_link_mean,
            variance=lambda eta, aux, link: _bernoulli_variance(eta, aux, link) / (1 + aux["phi"]),
            cdf=lambda y, eta, aux, link, trials: special.betainc(*_beta_shapes(eta, aux, link), y),
            information=_beta_information,
            distribution=_beta_distribution,
            equation="Beta(mu·phi, (1 − mu)·phi)",
        ),
    )
}


# What a name that is no family's asks for, by a part of it, and what does it.
ELSEWHERE = {
    **dict.fromkeys(
        ("ordinal", "cumulative", "ratio", "acat", "categorical", "multinomial"),
        "brms and Bambi have ordinal and categorical responses",
    ),
    **dict.fromkeys(
        ("zeroinflated", "hurdle", "zip", "zinb"), "brms, Bambi and glmmTMB have zero-inflation and hurdles"
    ),
    **dict.fromkeys(("weibull", "cox", "frechet", "survival"), "brms and Bambi have models of survival"),
    "logistic": "for a yes/no response take 'bernoulli'",
}


def get_family(name: str, link: str | None = None) -> tuple[Family, str]:
    """The family of that name, with the link asked for or its default.

    Raises
    ------
    UnsupportedError
        For a family or a link that is not offered; the message lists those that are.

    Examples
    --------
    >>> family, link = get_family("poisson")
    >>> family.name, link
    ('poisson', 'log')
    """
    aliases = {"normal": "gaussian", "t": "student", "binary": "bernoulli", "negativebinomial": "negbinomial"}
    key = str(name).lower().replace("_", "")
    family = FAMILIES.get(aliases.get(key, key))
    if family is None:
        hint = next((f"; {way}" for word, way in ELSEWHERE.items() if word in key), "") or suggest(
            key, FAMILIES
        )
        end = " " if hint.endswith("?") else "; "
        raise UnsupportedError(
            f"there is no family {name!r}{hint}{end}the families are {', '.join(FAMILIES)}"
        )
    if link is None:
        return family, family.links[0]
    if link not in family.links:
        raise UnsupportedError(
            f"family {family.name!r} has no link {link!r}; its links are {', '.join(family.links)}"
        )
    return family, link
