"""Shares between 0 and 1."""

from collections.abc import Callable
from math import lgamma
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import PHI, TINY, UNIT_LINKS, Array, Family, Parameter, Support, Tails
from hierbayes.incomplete import beta_tails
from hierbayes.kinds import POSITIVE, PROBABILITY, Positive, PositiveRow, Probability, ProbabilityRow
from hierbayes.special import (
    LOG_ROOT_2PI,
    STIRLING,
    digamma,
    digamma_rest,
    lgamma_rest,
    lgamma_rise,
    log_lane,
    log_ratio_minus,
)

EPSILON = float(np.finfo(float).epsneg)
LARGE = 1e4  # phi beyond which differences of logarithms of gamma functions lose digits
UNIT = Support("a number strictly between 0 and 1", lambda y, trials: (y > 0) & (y < 1))


@deferred
def shared(phi: PositiveRow) -> tuple[float, float]:
    """Return the parts of the log density and of its score in log phi that depend on phi alone, of a small phi."""
    if phi.value > LARGE:
        return 0.0, 0.0
    return lgamma(phi.value) + 2.0 * phi.log, phi.value * digamma(phi.value) + 2.0


@row_function
def row(
    y: float, mu: ProbabilityRow, phi: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float]:
    """Return the log density without -log y - log(1 - y), and its scores in the log odds of mu and log phi."""
    a, b = mu.p * phi.value, mu.q * phi.value
    if min(a, b) >= STIRLING:
        return large_shapes(y, mu, phi, a, b)
    constant, slope = once
    log_y, log_rest = log_lane(y), np.log1p(-y)
    # Γ(a) = Γ(a + 1) / a: mu may round to 0 while its logarithm is finite
    digamma_a, digamma_b = digamma(a + 1.0), digamma(b + 1.0)
    in_mu = mu.q - mu.p + phi.value * mu.p * mu.q * (digamma_b - digamma_a + log_y - log_rest)
    in_phi = phi.value * (mu.p * (log_y - digamma_a) + mu.q * (log_rest - digamma_b))
    if phi.value <= LARGE:
        value = constant + mu.log_p + mu.log_q - lgamma(a + 1.0) - lgamma(b + 1.0)
        return value + a * log_y + b * log_rest, in_mu, in_phi + slope
    # one shape small, one so large that a difference of logarithms of their gamma functions would lose its digits
    less, log_less = (a, mu.log_p) if a < b else (b, mu.log_q)
    rise, _ = lgamma_rise(max(a, b), less)
    value = rise - lgamma(less + 1.0) + log_less + phi.log
    return value + a * log_y + b * log_rest, in_mu, in_phi + phi.value * digamma(phi.value) + 2.0


@deferred
def large_shapes(
    y: float, mu: ProbabilityRow, phi: PositiveRow, a: float, b: float
) -> tuple[float, float, float]:
    """Return the same where both shapes a = mu phi and b = (1 - mu) phi are large.

    By Stirling's series: log B(a, b) and what depends on y cancel to the divergence a (log r - r + 1) +
    b (log s - s + 1) with r = y / mu and s = (1 - y) / (1 - mu), whose linear parts add to nothing.
    """
    away = mu.q - (1.0 - y) if y > 0.5 else y - mu.p
    first = log_ratio_minus(y / mu.p, away / mu.p)
    second = log_ratio_minus((1.0 - y) / mu.q, -away / mu.q)
    rest_a, rest_b = digamma_rest(a), digamma_rest(b)
    value = a * first + b * second + lgamma_rest(phi.value) - lgamma_rest(a) - lgamma_rest(b)
    # log(y / (1 - y)) less the log odds of mu
    odds = first + away / mu.p - second + away / mu.q
    in_phi = a * (first + rest_a) + b * (second + rest_b) - phi.value * digamma_rest(phi.value)
    return (
        value + 0.5 * (phi.log + mu.log_p + mu.log_q) - LOG_ROOT_2PI,
        phi.value * mu.p * mu.q * (odds + rest_a - rest_b),
        in_phi,
    )


@deferred
def tails(
    y: float, mu: ProbabilityRow, phi: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with scores in the log odds and log phi."""
    if y <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    if y >= 1.0:
        return 0.0, 0.0, 0.0, -np.inf, 0.0, 0.0
    a, b = mu.p * phi.value, mu.q * phi.value
    below, below_a, below_b, _, above, above_a, above_b, _ = beta_tails(a, b, np.log(y), np.log1p(-y))
    return (
        below, a * mu.q * (below_a - below_b), a * below_a + b * below_b,
        above, a * mu.q * (above_a - above_b), a * above_a + b * above_b,
    )  # fmt: skip


def shapes(mu: Probability, phi: Positive) -> tuple[Array, Array]:
    """mu·phi and (1 − mu)·phi, by the log odds: both above 0, and their trigamma function finite."""
    odds = np.clip(mu.log_odds, -300, 300)
    return special.expit(odds) * phi.value, special.expit(-odds) * phi.value


def simulate(rng: np.random.Generator, mu: Probability, phi: Positive) -> Array:
    """Responses; small shapes round to 0 or 1, which are none."""
    return np.clip(rng.beta(*shapes(mu, phi)), TINY, 1 - EPSILON)


def information(mu: Probability, phi: Positive) -> Array:
    """Ferrari & Cribari-Neto (2004), eq. 8: phi² (ψ'(μφ) + ψ'((1−μ)φ)) (dμ/dη)²."""
    a, b = shapes(mu, phi)
    value: Array = np.square(phi.value * mu.p * mu.q) * (special.polygamma(1, a) + special.polygamma(1, b))
    return value


def moments(
    log_mass: Callable[..., Array], lower: Array, upper: Array, mu: Probability, phi: Positive
) -> tuple[Array, Array]:
    """Mean and variance between two ends.

    Of the k-th moment such a share lies between them as of a beta distribution of shapes mu phi + k and (1 − mu) phi.
    """
    a, b = shapes(mu, phi)

    def log_share(k: int) -> Array:
        total = POSITIVE.under("identity", a + b + k)
        return log_mass(lower, upper, mu=PROBABILITY.under("logit", np.log((a + k) / b)), phi=total)

    none, once, twice = (log_share(k) for k in range(3))
    mean = a / (a + b) * np.exp(once - none)
    square = a / (a + b) * (a + 1) / (a + b + 1) * np.exp(twice - none)
    return mean, np.maximum(square - np.square(mean), 0.0)


def above_in_tensors(y: Any, alpha: Any, beta: Any) -> Any:
    """The logarithm of P(Y > y): of 1 − Y below 1 − y."""
    import pymc as pm

    return pm.logcdf(pm.Beta.dist(beta, alpha), 1.0 - y)


def graph(pm: Any, mu: Any, phi: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's beta distribution."""
    return pm.Beta, {"alpha": mu.p * phi.value, "beta": mu.q * phi.value}


FAMILY = Family(
    "beta",
    parameters=(Parameter("mu", PROBABILITY, UNIT_LINKS, "mean"), PHI),
    support=UNIT,
    row=row,
    shared=shared,
    of_y_alone=lambda y: -np.log(y) - np.log1p(-y),
    graph=graph,
    simulate=simulate,
    mean=lambda mu, phi: mu.value,
    variance=lambda mu, phi: mu.p * mu.q / (1 + phi.value),
    cdf=lambda y, mu, phi: special.betainc(*shapes(mu, phi), y),
    tails=Tails(tails, moments, above_in_tensors),
    information=information,
    equation="Beta(mu·phi, (1 − mu)·phi)",
    place=10,
)
