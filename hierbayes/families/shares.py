"""Families of a probability: yes or no, successes out of trials, shares."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.cumulative import betabinomial_cdf, binomial_cdf
from hierbayes.families.record import (
    DISPERSION,
    TINY,
    Array,
    Auxiliary,
    Family,
    Support,
    Values,
    link_mean,
    whole,
)
from hierbayes.families.remainders import NEAR, factorial_rest, log1p_rest, log_rise
from hierbayes.links import NUMPY_MATH, Link

EPSILON = float(np.finfo(float).epsneg)
TERMS = 100  # trials up to which a beta-binomial's information is summed over its responses
UNIT_LINKS = ("logit", "probit", "cloglog")
UNIT = Support("a number strictly between 0 and 1", lambda y, trials: (y > 0) & (y < 1))
BINARY = Support(
    "0 or 1, or one of two values", lambda y, trials: (y == 0) | (y == 1), whole=True, two_levels=True
)
SUCCESSES = Support(
    "a whole number from 0 to the row's trials",
    lambda y, trials: whole(y) & (y <= np.asarray(trials)),
    whole=True,
)
PHI = Auxiliary("phi", "precision", "log", lambda spread: DISPERSION, lambda spread: 10.0)


def _log_odds(eta: Array, link: Link) -> Array:
    """Log odds of a probability, kept finite: 0 times them must be 0."""
    assert link.log_odds is not None, f"{link.name} is not a link of probabilities"
    with np.errstate(over="ignore", divide="ignore"):
        return np.clip(link.log_odds(eta, NUMPY_MATH), -1e300, 1e300)


def _bernoulli_variance(eta: Array, aux: Values, link: Link) -> Array:
    odds = _log_odds(eta, link)
    return special.expit(odds) * special.expit(-odds)


def _binomial_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    n = np.ones_like(y) if trials is None else trials
    odds = _log_odds(eta, link)
    choose = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
    # y·logit − n·log(1 + exp(logit)), in the form that does not cancel for large logits
    far = y * np.maximum(-odds, 0) + (n - y) * np.maximum(odds, 0)
    return choose - far - n * np.log1p(np.exp(-np.abs(odds)))


def _binomial_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    n = 1 if trials is None else np.asarray(trials, dtype=np.int64)
    return rng.binomial(n, link.mean(eta)).astype(float)


def _binomial_information(eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    odds = _log_odds(eta, link)
    variance = special.expit(odds) * special.expit(-odds)
    n = 1.0 if trials is None else trials
    with np.errstate(divide="ignore", invalid="ignore"):
        return n * np.where(variance > 0, link.slope(eta) ** 2 / variance, 0.0)


def _bernoulli_cdf(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    return np.where(y < 1, special.expit(-_log_odds(eta, link)), 1.0)


def _bernoulli_distribution(
    pm: Any, m: Any, eta: Any, aux: Values, link: Link, trials: Any
) -> tuple[Any, dict[str, Any]]:
    assert link.log_odds is not None
    odds = link.log_odds(eta, m)
    return (
        (pm.Bernoulli, {"logit_p": odds}) if trials is None else (pm.Binomial, {"n": trials, "logit_p": odds})
    )


BERNOULLI = Family(
    name="bernoulli",
    links=UNIT_LINKS,
    auxiliaries=(),
    support=BINARY,
    log_density=_binomial_log_density,
    simulate=_binomial_simulate,
    mean=link_mean,
    variance=_bernoulli_variance,
    cdf=_bernoulli_cdf,
    information=_binomial_information,
    distribution=_bernoulli_distribution,
    equation="Bernoulli(mu)",
    threshold=True,
)

BINOMIAL = Family(
    name="binomial",
    links=UNIT_LINKS,
    auxiliaries=(),
    support=SUCCESSES,
    log_density=_binomial_log_density,
    simulate=_binomial_simulate,
    mean=link_mean,
    variance=_bernoulli_variance,
    cdf=lambda y, eta, aux, link, trials: binomial_cdf(
        y, np.ones_like(y) if trials is None else trials, _log_odds(eta, link)
    ),
    information=_binomial_information,
    distribution=_bernoulli_distribution,
    equation="Binomial(trials, mu)",
    threshold=True,
    needs_trials=True,
)


# -- probabilities that vary ------------------------------------------------------------------------------------


def _beta_shapes(eta: Array, aux: Values, link: Link) -> tuple[Array, Array]:
    """mu·phi and (1 − mu)·phi, by the log odds: 1 − mu rounds to 0 long before the shape is 0."""
    odds = np.clip(_log_odds(eta, link), -300, 300)  # both above 0, and their trigamma function finite
    return special.expit(odds) * aux["phi"], special.expit(-odds) * aux["phi"]


def _beta_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    """By Stirling's series of the gamma functions: −phi times the divergence of y from mu, and what is left.

    With B(mu phi, (1 − mu) phi) written out, phi log phi cancels, and near the mode so do the linear parts of the two
    logarithms: all that is left is small.
    """
    odds, phi = _log_odds(eta, link), np.asarray(aux["phi"])
    log_mu, log_rest = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
    mu, rest = np.exp(log_mu), np.exp(log_rest)
    apart = np.where(y > 0.5, rest - (1 - y), y - mu)
    near = np.abs(apart) < NEAR * np.minimum(mu, rest)
    parts = np.where(near, apart, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # a mean that vanished is not near
        close = mu * log1p_rest(parts / mu) + rest * log1p_rest(-parts / rest)
    far = mu * (np.log(y) - log_mu) + rest * (np.log1p(-y) - log_rest)
    constant = factorial_rest(phi) - factorial_rest(mu * phi) - factorial_rest(rest * phi) + np.log(phi)
    return phi * np.where(near, close, far) + constant + log_mu + log_rest - np.log(y) - np.log1p(-y)


def _beta_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    # small shapes round to 0 or 1, which are no responses
    return np.clip(rng.beta(*_beta_shapes(eta, aux, link)), TINY, 1 - EPSILON)


def _beta_information(eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    """Ferrari & Cribari-Neto (2004), eq. 8: phi² (ψ'(μφ) + ψ'((1−μ)φ)) (dμ/dη)²."""
    a, b = _beta_shapes(eta, aux, link)
    phi = np.asarray(aux["phi"])
    return phi**2 * (special.polygamma(1, a) + special.polygamma(1, b)) * link.slope(eta) ** 2


def _beta_distribution(
    pm: Any, m: Any, eta: Any, aux: Values, link: Link, trials: Any
) -> tuple[Any, dict[str, Any]]:
    assert link.log_odds is not None
    odds = link.log_odds(eta, m)
    return pm.Beta, {"alpha": m.sigmoid(odds) * aux["phi"], "beta": m.sigmoid(-odds) * aux["phi"]}


BETA = Family(
    name="beta",
    links=UNIT_LINKS,
    auxiliaries=(PHI,),
    support=UNIT,
    log_density=_beta_log_density,
    simulate=_beta_simulate,
    mean=link_mean,
    variance=lambda eta, aux, link: _bernoulli_variance(eta, aux, link) / (1 + aux["phi"]),
    cdf=lambda y, eta, aux, link, trials: special.betainc(*_beta_shapes(eta, aux, link), y),
    information=_beta_information,
    distribution=_beta_distribution,
    equation="Beta(mu·phi, (1 − mu)·phi)",
)


def _betabinomial_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    n = np.ones_like(y) if trials is None else trials
    odds, phi = _log_odds(eta, link), aux["phi"]
    log_a, log_b = (np.log(phi) - np.logaddexp(0, signed) for signed in (-odds, odds))
    choose = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
    return choose + log_rise(log_a, y) + log_rise(log_b, n - y) - log_rise(np.log(phi), n)


def _betabinomial_cdf(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    n = np.ones_like(y) if trials is None else trials
    mass = np.exp(_betabinomial_log_density(y, eta, aux, link, trials))
    return betabinomial_cdf(y, n, *_beta_shapes(eta, aux, link), mass)


def _betabinomial_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    n = 1 if trials is None else np.asarray(trials, dtype=np.int64)
    return rng.binomial(n, rng.beta(*_beta_shapes(eta, aux, link))).astype(float)


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
    logs = log_rise(np.log(b), few) - log_rise(np.log(phi), few)
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


def _betabinomial_distribution(
    pm: Any, m: Any, eta: Any, aux: Values, link: Link, trials: Any
) -> tuple[Any, dict[str, Any]]:
    _, shapes = _beta_distribution(pm, m, eta, aux, link, trials)
    return pm.BetaBinomial, {**shapes, "n": trials}


BETABINOMIAL = Family(
    name="betabinomial",
    links=UNIT_LINKS,
    auxiliaries=(PHI,),
    support=SUCCESSES,
    log_density=_betabinomial_log_density,
    simulate=_betabinomial_simulate,
    mean=link_mean,
    variance=_bernoulli_variance,  # of one trial, whatever phi: its trials vary together, none more
    cdf=_betabinomial_cdf,
    information=_betabinomial_information,
    distribution=_betabinomial_distribution,
    equation="BetaBinomial(trials, mu·phi, (1 − mu)·phi)",
    design_effect=lambda aux, trials: 1 + (np.maximum(trials, 1) - 1) / (1 + aux["phi"]),
    threshold=True,
    needs_trials=True,
)
