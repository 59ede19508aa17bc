"""Student's t: numbers with heavy tails."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families import correlated
from hierbayes.families.record import (
    NUMBER_LINKS,
    REAL,
    TINY,
    Array,
    Family,
    Parameter,
    Tails,
    first_value,
    sigma,
)
from hierbayes.incomplete import beta_tails, complement
from hierbayes.kinds import NUMBER, POSITIVE, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import lgamma_rise, log1p_wide, log_ndtr

LOG_2, LOG_PI = float(np.log(2)), float(np.log(np.pi))
NORMAL = 1e10  # degrees of freedom from which on the distribution is normal
CLOSE = 1e-5  # of degrees of freedom to 1 and to 2, where moments change their form

NU = Parameter(
    "nu",
    POSITIVE,
    ("log", "logm1", "identity"),
    "degrees of freedom",
    lambda spread: Prior("Gamma", alpha=2.0, beta=0.1),
    lambda spread: 10.0,
    endless=True,
)


@deferred
def shared(nu: PositiveRow) -> tuple[float, float]:
    """Return the part of the log density that depends on nu alone, and its derivative in nu without that of log nu."""
    value, slope = lgamma_rise(0.5 * nu.value, 0.5)
    return value - 0.5 * nu.log, slope


@row_function
def row(
    y: float, mu: NumberRow, sigma: PositiveRow, nu: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the log density but for its constant, and its scores in mu, log sigma and log nu."""
    constant, slope = once
    z = (y - mu.value) / sigma.value
    rest = log1p_wide(z * z / nu.value)
    w = (nu.value + 1.0) / (nu.value + z * z)
    excess = w * z * z - 1.0
    value = constant - sigma.log - 0.5 * (nu.value + 1.0) * rest
    return value, w * z / sigma.value, excess, 0.5 * (nu.value * (slope - rest) + excess)


@deferred
def tails(
    y: float, mu: NumberRow, sigma: PositiveRow, nu: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, with their scores in mu, log sigma and log nu."""
    z = (y - mu.value) / sigma.value
    if nu.value > NORMAL:
        below, rise = log_ndtr(z)
        above, fall = log_ndtr(-z)
        return (
            below, -rise / sigma.value, -z * rise, 0.0,
            above, fall / sigma.value, z * fall, 0.0,
        )  # fmt: skip
    ratio = max(z * z, TINY) / nu.value
    rest = log1p_wide(ratio)
    # both tails beyond |z| are the incomplete beta function of nu / (nu + z²) (Abramowitz & Stegun 1964, 26.7.1)
    twice, twice_a, _, twice_x, _, _, _, _ = beta_tails(0.5 * nu.value, 0.5, -rest, np.log(ratio) - rest)
    outer = twice - LOG_2
    inner, share = complement(outer)
    hazard = np.exp(once[0] - 0.5 * LOG_PI - 0.5 * (nu.value + 1.0) * rest - outer)
    side = 1.0 if z > 0.0 else -1.0
    in_mu, in_sigma = side * hazard / sigma.value, side * z * hazard
    in_nu = 0.5 * nu.value * twice_a + twice_x
    if z > 0.0:
        return inner, share * in_mu, share * in_sigma, share * in_nu, outer, in_mu, in_sigma, in_nu
    return outer, in_mu, in_sigma, in_nu, inner, share * in_mu, share * in_sigma, share * in_nu


def moments(
    log_mass: Callable[..., Array],
    lower: Array,
    upper: Array,
    mu: ParameterValues,
    sigma: Positive,
    nu: Positive,
) -> tuple[Array, Array]:
    """Mean and variance between two ends; without an upper or lower end they may be infinite.

    With the standard density f and w = 1 + t²/ν, ∫ t f = -ν/(ν - 1) [w f], and
    ∫ w f = ((ν - 1) ∫ f - [t w f]) / (ν - 2).
    """
    freedom = np.asarray(nu.value) + 0 * mu.value
    freedom = np.where(np.abs(freedom - 1) < CLOSE, 1 + CLOSE, freedom)
    freedom = np.where(np.abs(freedom - 2) < CLOSE, 2 + CLOSE, freedom)
    mass = log_mass(lower, upper, mu=mu, sigma=sigma, nu=nu)
    once, twice = np.zeros_like(mass), np.zeros_like(mass)
    for sign, end in ((1.0, lower), (-1.0, upper)):
        t = np.where(np.isfinite(end), (end - mu.value) / sigma.value, 0.0)
        log_w = np.log1p(t * t / freedom)
        constant = (
            special.gammaln((freedom + 1) / 2) - special.gammaln(freedom / 2) - 0.5 * np.log(freedom * np.pi)
        )
        here = np.exp(constant - 0.5 * (freedom - 1) * log_w - mass)
        once += sign * np.where(np.isfinite(end), here, np.where(freedom > 1, 0.0, np.inf))
        twice += sign * np.where(np.isfinite(end), t * here, 0.0)
    mean = freedom / (freedom - 1) * once
    square = freedom * ((freedom - 1 + twice) / (freedom - 2) - 1)
    endless = ~(np.isfinite(lower) & np.isfinite(upper)) & (freedom <= 2)
    spread = np.where(endless, np.inf, np.maximum(square - np.square(mean), 0.0))
    return mu.value + sigma.value * mean, np.square(sigma.value) * spread


def variance(mu: ParameterValues, sigma: Positive, nu: Positive) -> Array:
    """Infinite for two degrees of freedom or fewer."""
    freedom = np.asarray(nu.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(freedom > 2, np.square(sigma.value) * freedom / (freedom - 2), np.inf) + 0 * mu.value


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive, nu: Positive) -> Array:
    """Responses."""
    drawn: Array = mu.value + sigma.value * rng.standard_t(np.broadcast_to(nu.value, np.shape(mu.eta)))
    return drawn


def graph(pm: Any, mu: Any, sigma: Any, nu: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's Student's t distribution."""
    return pm.StudentT, {"nu": nu.value, "mu": mu.value, "sigma": sigma.value}


FAMILY = Family(
    "student",
    parameters=(Parameter("mu", NUMBER, NUMBER_LINKS, "mean"), sigma("residual scale"), NU),
    support=REAL,
    row=row,
    shared=shared,
    of_y_alone=lambda y: np.full(np.shape(y), -0.5 * np.log(np.pi)),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=variance,
    cdf=lambda y, mu, sigma, nu: special.stdtr(nu.value, (y - mu.value) / sigma.value),
    tails=Tails(tails, moments),
    # Lange, Little & Taylor (1989), appendix B: (ν + 1) / (ν + 3) / σ²
    information=lambda mu, sigma, nu: (nu.value + 1) / (nu.value + 3) / np.square(sigma.value),
    equation="StudentT(nu, mu, sigma)",
    has_variance=False,
    takes_se=True,
    correlated=correlated.T,
    place=2,
)
