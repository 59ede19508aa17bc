"""Families of a number: normal, Student's t, and lognormal, whose logarithm is normal."""

import numpy as np
from scipy import special

from hierbayes.families.record import POSITIVE, Array, Auxiliary, Family, Support, Values, link_mean
from hierbayes.families.remainders import rise
from hierbayes.links import Link
from hierbayes.priors import Prior

LOG_2PI = float(np.log(2 * np.pi))
NUMBER_LINKS = ("identity", "log", "inverse")
REAL = Support("a finite number", lambda y, trials: np.isfinite(y))
NU = Auxiliary(
    "nu", "degrees of freedom", "log", lambda spread: Prior("Gamma", alpha=2.0, beta=0.1), lambda spread: 10.0
)


def _sigma(words: str) -> Auxiliary:
    return Auxiliary(
        "sigma", words, "log", lambda spread: Prior("Exponential", lam=1 / spread), lambda spread: spread
    )


def _normal_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    z = (y - link.mean(eta)) / aux["sigma"]
    return -0.5 * (z * z + LOG_2PI) - np.log(aux["sigma"])


def _normal_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    shape = np.shape(eta)
    # in the order in memory of the linear predictors, or adding them takes as long as drawing
    noise = rng.standard_normal(shape[::-1]).T if np.isfortran(eta) else rng.standard_normal(shape)
    noise = noise * aux["sigma"]
    noise += link.mean(eta)
    return noise


GAUSSIAN = Family(
    name="gaussian",
    links=NUMBER_LINKS,
    auxiliaries=(_sigma("residual standard deviation"),),
    support=REAL,
    log_density=_normal_log_density,
    simulate=_normal_simulate,
    mean=link_mean,
    variance=lambda eta, aux, link: np.square(aux["sigma"]) + 0 * eta,
    cdf=lambda y, eta, aux, link, trials: special.ndtr((y - link.mean(eta)) / aux["sigma"]),
    information=lambda eta, aux, link, trials: (link.slope(eta) / aux["sigma"]) ** 2,
    distribution=lambda pm, m, eta, aux, link, trials: (
        pm.Normal,
        {"mu": link.inverse(eta, m), "sigma": aux["sigma"]},
    ),
    equation="Normal(mu, sigma)",
)


def _student_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    nu, sigma = aux["nu"], aux["sigma"]
    z = (y - link.mean(eta)) / sigma
    constant = rise(np.asarray(nu / 2), np.asarray(0.5)) - 0.5 * np.log(nu * np.pi) - np.log(sigma)
    return constant - (nu + 1) / 2 * np.log1p(z * z / nu)


def _student_variance(eta: Array, aux: Values, link: Link) -> Array:
    nu = np.asarray(aux["nu"])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(nu > 2, np.square(aux["sigma"]) * nu / (nu - 2), np.inf) + 0 * eta


STUDENT = Family(
    name="student",
    links=NUMBER_LINKS,
    auxiliaries=(_sigma("residual scale"), NU),
    support=REAL,
    log_density=_student_log_density,
    simulate=lambda rng, eta, aux, link, trials: (
        link.mean(eta) + aux["sigma"] * rng.standard_t(np.broadcast_to(aux["nu"], np.shape(eta)))
    ),
    mean=link_mean,
    variance=_student_variance,
    cdf=lambda y, eta, aux, link, trials: special.stdtr(aux["nu"], (y - link.mean(eta)) / aux["sigma"]),
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
)


def _lognormal_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    return _normal_log_density(np.log(y), eta, aux, link, trials) - np.log(y)


def _lognormal_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    # 0 and infinity are no responses
    return np.exp(np.clip(_normal_simulate(rng, eta, aux, link, trials), -700, 700))


def _lognormal_mean(eta: Array, aux: Values, link: Link) -> Array:
    return np.exp(link.mean(eta) + np.square(aux["sigma"]) / 2)


LOGNORMAL = Family(
    name="lognormal",
    links=("identity", "inverse"),
    auxiliaries=(_sigma("standard deviation of the logarithm"),),
    support=POSITIVE,
    log_density=_lognormal_log_density,
    simulate=_lognormal_simulate,
    mean=_lognormal_mean,
    variance=lambda eta, aux, link: np.expm1(np.square(aux["sigma"])) * _lognormal_mean(eta, aux, link) ** 2,
    cdf=lambda y, eta, aux, link, trials: special.ndtr((np.log(y) - link.mean(eta)) / aux["sigma"]),
    information=lambda eta, aux, link, trials: (link.slope(eta) / aux["sigma"]) ** 2,
    distribution=lambda pm, m, eta, aux, link, trials: (
        pm.LogNormal,
        {"mu": link.inverse(eta, m), "sigma": aux["sigma"]},
    ),
    equation="LogNormal(mu, sigma)",
    log_response=True,
)
