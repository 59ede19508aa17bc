"""Numbers with one heavier tail: a normal distribution with skewness. mu is the mean, sigma the standard deviation."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import NUMBER_LINKS, REAL, Array, Family, Parameter, first_value, sigma
from hierbayes.kinds import NUMBER, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import LOG_ROOT_2PI, log_ndtr

ROOT_2_PI = np.sqrt(2 / np.pi)


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
    equation="SkewNormal(mu, sigma, alpha)",
    place=33,
)
