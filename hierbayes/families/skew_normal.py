"""Numbers with one heavier tail: a normal distribution with skewness. mu is the mean, sigma the standard deviation."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import (
    NUMBER_LINKS,
    REAL,
    Array,
    Family,
    Parameter,
    Tails,
    first_value,
    sigma,
)
from hierbayes.incomplete import complement
from hierbayes.kinds import NUMBER, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import LOG_ROOT_2PI, log_ndtr, log_ndtr_scaled
from hierbayes.tensormath import tensor_math

ROOT_2_PI = np.sqrt(2 / np.pi)
LOG_HALF, LOG_2, LOG_PI = float(np.log(0.5)), float(np.log(2.0)), float(np.log(np.pi))
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
PIECES = np.array([0.0, 1.0, 3.0, 8.0, 18.0, 40.0])  # of integrals of about exp(-v)


@deferred
def shared(alpha: NumberRow) -> tuple[float, float, float]:
    """Return mean and standard deviation of the distribution of location 0 and scale 1, and that mean's slope."""
    size = np.hypot(1.0, alpha.value)
    centre = ROOT_2_PI * alpha.value / size
    return centre, np.sqrt(1.0 - centre * centre), ROOT_2_PI / (size * size * size)


@row_function
def row(
    y: float, mu: NumberRow, sigma: PositiveRow, alpha: NumberRow, once: tuple[float, float, float]
) -> tuple[float, float, float, float]:
    """Return the log density but for its constant, and its scores in mu, log sigma and alpha."""
    centre, sd, slope = once
    w = (y - mu.value) / sigma.value
    if not abs(w) < 1e150:
        return -np.inf, 0.0, 0.0, 0.0
    z = w * sd + centre
    tail, h = log_ndtr(alpha.value * z)
    in_z = alpha.value * h - z
    narrower = -centre * slope / sd  # of sd in alpha
    value = np.log(sd) - sigma.log - 0.5 * z * z + tail
    in_alpha = narrower / sd + in_z * (w * narrower + slope) + z * h
    return value, -in_z * sd / sigma.value, -1.0 - in_z * w * sd, in_alpha


@deferred
def tails(
    y: float, mu: NumberRow, sigma: PositiveRow, alpha: NumberRow, once: tuple[float, float, float]
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores in mu, log sigma and alpha."""
    centre, sd, slope = once
    w = (y - mu.value) / sigma.value
    if not abs(w) < 1e150:
        if w < 0.0:
            return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        return 0.0, 0.0, 0.0, 0.0, -np.inf, 0.0, 0.0, 0.0
    z = w * sd + centre
    if z < 0.0:
        below = log_left(-z, alpha.value)
        above, _ = complement(below)
    else:
        above = log_left(z, -alpha.value)
        below, _ = complement(above)
    density = LOG_2 - LOG_ROOT_2PI - 0.5 * z * z + log_ndtr(alpha.value * z)[0]
    size = 1.0 + alpha.value * alpha.value
    leaning = -0.5 * z * z * size - LOG_PI - np.log(size)  # less is below z, the larger alpha is
    in_z = np.exp(density - below), -np.exp(density - above)
    in_alpha = -np.exp(leaning - below), np.exp(leaning - above)
    by_alpha = slope - w * centre * slope / sd  # of z in alpha
    wider = -w * sd
    steep = -sd / sigma.value
    return (
        below, in_z[0] * steep, in_z[0] * wider, in_z[0] * by_alpha + in_alpha[0],
        above, in_z[1] * steep, in_z[1] * wider, in_z[1] * by_alpha + in_alpha[1],
    )  # fmt: skip


@deferred
def log_left(h: float, alpha: float) -> float:
    """Return the logarithm of P(Z < -h) of location 0, scale 1 and shape alpha; h >= 0.

    That of alpha and that of -alpha add up to 2 Φ(-h).
    """
    if alpha > 0.0:
        return log_less(h, alpha) - 0.5 * h * h
    normal, _ = log_ndtr_scaled(-h)
    if alpha == 0.0:
        return normal - 0.5 * h * h
    return normal - 0.5 * h * h + np.log(2.0 - np.exp(log_less(h, -alpha) - normal))


@deferred
def log_less(h: float, alpha: float) -> float:
    """Return the logarithm of P(Z < -h) exp(h²/2), of alpha > 0.

    P is the integral of exp(-h² (1 + x²) / 2) / (1 + x²) / π from alpha on, and Φ(-h) less that up to alpha: Owen's T
    (Owen 1956, Annals of Mathematical Statistics 27).
    """
    reach = h * alpha
    if reach >= 1.0:  # with x = alpha + v / (h reach)
        total = 0.0
        for piece in range(len(PIECES) - 1):
            half = 0.5 * (PIECES[piece + 1] - PIECES[piece])
            for k in range(len(NODES)):
                v = PIECES[piece] + half * (1.0 + NODES[k])
                x = alpha + v / (h * reach)
                shrunk = v / reach
                total += half * WEIGHTS[k] * np.exp(-v - 0.5 * shrunk * shrunk) / (1.0 + x * x)
        return np.log(total) - np.log(h * reach) - LOG_PI - 0.5 * reach * reach
    if alpha <= 1.0:
        normal, _ = log_ndtr_scaled(-h)
        return np.log(np.exp(normal) - 2.0 * owen(h, alpha))
    tail, _ = log_ndtr(-reach)  # 2 T(h alpha, 1 / alpha) - Φ(-h alpha) (1 - 2 Φ(-h)); h is below 1
    normal, _ = log_ndtr(-h)
    found = 2.0 * np.exp(-0.5 * reach * reach) * owen(reach, 1.0 / alpha)
    return np.log(found - np.exp(tail) * (-np.expm1(LOG_2 + normal))) + 0.5 * h * h


@deferred
def owen(h: float, a: float) -> float:
    """Return Owen's T(h, a) exp(h²/2), of a <= 1 and h a of a few."""
    total = 0.0
    for k in range(len(NODES)):
        x = 0.5 * a * (1.0 + NODES[k])
        total += WEIGHTS[k] * np.exp(-0.5 * h * h * x * x) / (1.0 + x * x)
    return total * 0.5 * a / (2.0 * np.pi)


def tensor_tails(y: Any, mu: Any, sigma: Any, alpha: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities below and above y, in tensors: of the thinner tail an integral."""
    import pymc as pm
    import pytensor.tensor as pt

    log_ndtr, z = tensor_math(pm).log_ndtr, (y - mu) / sigma
    at, lean = -pt.abs(z), pt.switch(z < 0, alpha, -alpha)  # z is left of 0, or its mirror image is
    thin = pt.maximum(pt.abs(lean), 1e-6)

    def log_density(x: Any, shape: Any) -> Any:
        return LOG_2 - LOG_ROOT_2PI - 0.5 * x * x + log_ndtr(shape * x)

    start = log_density(at, thin)
    slope = -at + thin * pt.exp(-0.5 * pt.sqr(thin * at) - LOG_ROOT_2PI - log_ndtr(thin * at))
    width = pt.shape_padright(1.0 / pt.maximum(slope, 3.0))
    halves = np.diff(PIECES) / 2
    nodes = (PIECES[:-1, None] + halves[:, None] * (1.0 + NODES)).ravel()
    places = pt.shape_padright(at) - width * nodes
    ratios = pt.exp(log_density(places, pt.shape_padright(thin)) - pt.shape_padright(start))
    less = start + pt.log(pt.sum(ratios * width * np.outer(halves, WEIGHTS).ravel(), axis=-1))
    normal = log_ndtr(at)
    left = pt.switch(lean > 0, less, normal + pt.log(2.0 - pt.exp(less - normal)))
    rest = pt.log1p(-pt.exp(left))
    return pt.switch(z < 0, left, rest), pt.switch(z < 0, rest, left)


def standard(alpha: ParameterValues) -> tuple[Array, Array]:
    """Mean and standard deviation of the distribution of location 0 and scale 1."""
    centre = ROOT_2_PI * alpha.value / np.hypot(1.0, alpha.value)
    return centre, np.sqrt(1 - centre**2)


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive, alpha: ParameterValues) -> Array:
    """Responses."""
    shape = np.shape(mu.eta)
    centre, sd = standard(alpha)
    size = np.hypot(1.0, alpha.value)
    drawn = (alpha.value * np.abs(rng.standard_normal(shape)) + rng.standard_normal(shape)) / size
    value: Array = mu.value + sigma.value * (drawn - centre) / sd
    return value


def cdf(y: Array, mu: ParameterValues, sigma: Positive, alpha: ParameterValues) -> Array:
    """Φ(z) − 2 T(z, alpha), with Owen's T."""
    centre, sd = standard(alpha)
    z = (y - mu.value) / sigma.value * sd + centre
    value: Array = special.ndtr(z) - 2 * special.owens_t(z, alpha.value)
    return value


def graph(pm: Any, mu: Any, sigma: Any, alpha: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's skew-normal distribution, of a location and a scale."""
    m = mu.m
    centre = np.array(ROOT_2_PI) * alpha.value / m.sqrt(1 + alpha.value**2)
    scale = sigma.value / m.sqrt(1 - centre**2)
    return pm.SkewNormal, {"mu": mu.value - scale * centre, "sigma": scale, "alpha": alpha.value}


FAMILY = Family(
    "skew_normal",
    parameters=(
        Parameter("mu", NUMBER, NUMBER_LINKS, "mean"),
        sigma("residual standard deviation"),
        Parameter(
            "alpha",
            NUMBER,
            ("identity",),
            "skewness",
            lambda spread: Prior("Normal", mu=0.0, sigma=4.0),
            lambda spread: 0.0,
        ),
    ),
    support=REAL,
    row=row,
    shared=shared,
    of_y_alone=lambda y: np.full(np.shape(y), np.log(2) - LOG_ROOT_2PI),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu, sigma, alpha: np.square(sigma.value) + 0 * mu.value,
    cdf=cdf,
    tails=Tails(
        tails,
        None,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    equation="SkewNormal(mu, sigma, alpha)",
    place=33,
)
