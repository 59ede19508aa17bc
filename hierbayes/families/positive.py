"""Families of a mean above 0: counts, and positive numbers."""

from collections.abc import Callable

import numpy as np
from scipy import special

from hierbayes.cumulative import negbinomial_cdf, poisson_cdf
from hierbayes.families.record import (
    DISPERSION,
    POSITIVE,
    TINY,
    Array,
    Auxiliary,
    Family,
    Support,
    Values,
    link_mean,
    whole,
)
from hierbayes.families.remainders import NEAR, factorial_rest, log1p_rest
from hierbayes.links import Link

POSITIVE_LINKS = ("log", "identity", "inverse")
COUNT = Support("a whole number, 0 or more", lambda y, trials: whole(y), whole=True)
SHAPE = Auxiliary("shape", "shape", "log", lambda spread: DISPERSION, lambda spread: 1.0)


def _where_possible(mu: Array, values: Array) -> Array:
    """Log densities, -inf at a negative mean, which the identity and inverse links can give."""
    return np.where(mu >= 0, values, -np.inf)


def _draw_where_possible(mu: Array, draw: Callable[[Array], Array]) -> Array:
    """``draw(mu)``, NaN at a negative mean: NumPy's generators would refuse all means for one such."""
    return np.where(mu >= 0, draw(np.where(mu >= 0, mu, 1.0)), np.nan)


def _poisson_draw(rng: np.random.Generator, mu: Array) -> Array:
    # NumPy's generator refuses means above 9.2e18; a linear predictor of 41 is past any count
    return rng.poisson(np.minimum(mu, 1e18)).astype(float)


def _poisson_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    mu = link.mean(eta)
    return _where_possible(mu, special.xlogy(y, np.maximum(mu, 0)) - mu - special.gammaln(y + 1))


def _poisson_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    return _draw_where_possible(link.mean(eta), lambda mu: _poisson_draw(rng, mu))


POISSON = Family(
    name="poisson",
    links=("log", "identity"),
    auxiliaries=(),
    support=COUNT,
    log_density=_poisson_log_density,
    simulate=_poisson_simulate,
    mean=link_mean,
    variance=link_mean,
    cdf=lambda y, eta, aux, link, trials: poisson_cdf(y, link.mean(eta)),
    information=lambda eta, aux, link, trials: link.slope(eta) ** 2 / link.mean(eta),
    distribution=lambda pm, m, eta, aux, link, trials: (pm.Poisson, {"mu": link.inverse(eta, m)}),
    equation="Poisson(mu)",
)


def _negbinomial_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    mean, shape = link.mean(eta), aux["shape"]
    mu = np.maximum(mean, 0)
    # Γ(y + shape) / (y! Γ(shape)) by the beta function: differences of gammaln cancel for a large shape
    choose = -np.log(y + shape) - special.betaln(y + 1, shape)
    return _where_possible(mean, choose - shape * np.log1p(mu / shape) + special.xlogy(y, mu / (mu + shape)))


def _negbinomial_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    shape = np.broadcast_to(aux["shape"], np.shape(eta))
    return _draw_where_possible(link.mean(eta), lambda mu: _poisson_draw(rng, rng.gamma(shape, mu / shape)))


NEGBINOMIAL = Family(
    name="negbinomial",
    links=("log", "identity"),
    auxiliaries=(SHAPE,),
    support=COUNT,
    log_density=_negbinomial_log_density,
    simulate=_negbinomial_simulate,
    mean=link_mean,
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
)


def _gamma_log_density(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    mean, shape = link.mean(eta), np.asarray(aux["shape"])
    ratio = y / np.where(mean > 0, mean, 1.0)
    # shape log shape − shape − log Γ(shape), and log ratio − ratio + 1, are differences of much larger terms
    constant = np.log(shape) - factorial_rest(shape)
    near = np.abs(ratio - 1) < NEAR
    deviance = np.where(near, log1p_rest(np.where(near, ratio - 1, 0.0)), np.log(ratio) - ratio + 1)
    return np.where(mean > 0, shape * deviance + constant - np.log(y), -np.inf)


def _gamma_simulate(
    rng: np.random.Generator, eta: Array, aux: Values, link: Link, trials: Array | None
) -> Array:
    shape = np.broadcast_to(aux["shape"], np.shape(eta))
    # a small shape underflows to 0, which is no response
    return _draw_where_possible(link.mean(eta), lambda mu: np.maximum(rng.gamma(shape, mu / shape), TINY))


def _gamma_cdf(y: Array, eta: Array, aux: Values, link: Link, trials: Array | None) -> Array:
    mu, shape = link.mean(eta), aux["shape"]
    with np.errstate(divide="ignore"):  # a mean that vanished
        return np.where(mu >= 0, special.gammainc(shape, shape * y / np.maximum(mu, 0)), np.nan)


GAMMA = Family(
    name="gamma",
    links=POSITIVE_LINKS,
    auxiliaries=(SHAPE,),
    support=POSITIVE,
    log_density=_gamma_log_density,
    simulate=_gamma_simulate,
    mean=link_mean,
    variance=lambda eta, aux, link: link.mean(eta) ** 2 / aux["shape"],
    cdf=_gamma_cdf,
    information=lambda eta, aux, link, trials: aux["shape"] * (link.slope(eta) / link.mean(eta)) ** 2,
    distribution=lambda pm, m, eta, aux, link, trials: (
        pm.Gamma,
        {"alpha": aux["shape"], "beta": aux["shape"] / link.inverse(eta, m)},
    ),
    equation="Gamma(shape, rate shape/mu)",
)
