"""Positive responses with a heavy right tail: the time at which a Brownian motion with drift reaches a bound."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import ABOVE_ZERO, SHAPE, TINY, Array, Family, Parameter, Tails, first_value
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.special import LOG_ROOT_2PI, log1m_exp, log_ndtr_scaled
from hierbayes.tensormath import tensor_math

FAR = 200.0
LINKS = ("1/mu^2", "inverse", "identity", "log", "softplus", "squareplus")


@row_function
def row(y: float, mu: PositiveRow, shape: PositiveRow) -> tuple[float, float, float]:
    """Return the log density without what depends on y alone, and its scores in log mu and log shape."""
    away = (y - mu.value) / mu.value
    half = 0.5 * shape.value * away * (away / y)
    return 0.5 * shape.log - half, shape.value * away / mu.value, 0.5 - half


@deferred
def tails(y: float, mu: PositiveRow, shape: PositiveRow) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores in log mu and log shape.

    With s = √(shape/y), a = s (y/mu − 1) and b = s (y/mu + 1) they are Φ(a) + t and Φ(−a) − t, where t is
    exp(2 shape/mu) Φ(−b), or φ(a) Φ(−b)/φ(b).
    """
    if y <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    s, ratio, twice = np.sqrt(shape.value / y), y / mu.value, 2.0 * shape.value / mu.value
    a, b = s * (ratio - 1.0), s * (ratio + 1.0)
    common = -0.5 * a * a  # of all logarithms, which would leave their differences no digits
    tilt, _ = log_ndtr_scaled(-b)
    if a <= 0.0:
        normal, _ = log_ndtr_scaled(a)
        larger = max(normal, tilt)
        lower = larger + np.log(np.exp(normal - larger) + np.exp(tilt - larger))
        below = min(lower + common, 0.0)
        above = log1m_exp(below)
        upper = above - common
    else:
        if a < FAR:
            normal, _ = log_ndtr_scaled(-a)
            upper = normal + log1m_exp(min(tilt - normal, -1e-300))
        else:  # Mills's ratios of a and b, as series whose difference is taken term by term
            p, q = 1.0 / a, 1.0 / b
            series = 1.0 - (p * p + p * q + q * q) + 3.0 * (p**4 + p**3 * q + p * p * q * q + p * q**3 + q**4)
            upper = np.log(2.0 * s * p * q * series) - LOG_ROOT_2PI
        above = upper + common
        below = log1m_exp(above)
        lower = below - common
    by_mean = -twice * np.exp(tilt - lower), twice * np.exp(tilt - upper)
    by_shape = -s * np.exp(-LOG_ROOT_2PI - lower), s * np.exp(-LOG_ROOT_2PI - upper)
    return below, by_mean[0], by_shape[0] - by_mean[0], above, by_mean[1], by_shape[1] - by_mean[1]


def tensor_tails(y: Any, mu: Any, lam: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities below and above y, in tensors."""
    import pymc as pm
    import pytensor.tensor as pt

    log_ndtr, at = tensor_math(pm).log_ndtr, pt.maximum(y, TINY)
    root, ratio = pt.sqrt(lam / at), at / mu
    tilt, upper = 2 * lam / mu + log_ndtr(-root * (ratio + 1)), log_ndtr(root * (1 - ratio))
    below = pt.logaddexp(log_ndtr(root * (ratio - 1)), tilt)
    above = upper + pt.log(-pt.expm1(tilt - upper))
    return pt.switch(y > 0, below, -np.inf), pt.switch(y > 0, above, 0.0)


def simulate(rng: np.random.Generator, mu: Positive, shape: Positive) -> Array:
    """Responses; what underflows to 0 is none."""
    own = np.broadcast_to(shape.value, np.shape(mu.eta))
    return np.maximum(rng.wald(np.clip(mu.value, TINY, 1e150), own), TINY)


def cdf(y: Array, mu: Positive, shape: Positive) -> Array:
    """Φ(√(shape/y) (y/mu − 1)) + exp(2 shape/mu) Φ(−√(shape/y) (y/mu + 1))."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # a mean that vanished
        root, ratio = np.sqrt(shape.value / y), y / mu.value
        beyond = np.exp(2 * shape.value / mu.value + special.log_ndtr(-root * (ratio + 1)))
        return np.where(ratio < 1e8, special.ndtr(root * (ratio - 1)) + beyond, 1.0)


def graph(pm: Any, mu: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's Wald distribution."""
    return pm.Wald, {"mu": mu.value, "lam": shape.value}


FAMILY = Family(
    "inverse_gaussian",
    parameters=(Parameter("mu", POSITIVE, LINKS, "mean"), SHAPE),
    support=ABOVE_ZERO,
    row=row,
    of_y_alone=lambda y: -0.5 * np.log(2 * np.pi) - 1.5 * np.log(y),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu, shape: mu.value**3 / shape.value,
    cdf=cdf,
    tails=Tails(
        tails,
        None,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    information=lambda mu, shape: shape.value / mu.value,
    equation="InverseGaussian(mu, shape)",
    place=17,
)
