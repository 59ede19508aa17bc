"""Largest values: the generalised extreme value distribution, of location mu, scale sigma and shape xi.

With xi > 0 the upper tail is a power and there is a least value, mu − sigma/xi; with xi < 0 there is a largest one.
"""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import NUMBER_LINKS, REAL, Array, Family, Parameter, Tails, sigma
from hierbayes.kinds import NUMBER, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import exp_lane, exponential_tails, log1p_minus

SMALL = 1e-8  # of xi: below it the Gumbel distribution's formulas are exact to rounding
EULER, ZETA_2, ZETA_3 = float(np.euler_gamma), np.pi**2 / 6, float(special.zeta(3))


@row_function
def bent(x: float, z: float) -> tuple[float, float]:
    """Return u = log(1 + xi x) / xi of z = xi x > -1, and its derivative in xi over x²."""
    if abs(z) < 1e-8:
        return x * (1.0 - 0.5 * z), -0.5 + 2.0 / 3.0 * z
    rest = log1p_minus(z) if abs(z) < 0.5 else np.log1p(z) - z
    return x * (1.0 + rest / z), -1.0 / (1.0 + z) - rest / z / z


@row_function
def row(y: float, mu: NumberRow, sigma: PositiveRow, xi: NumberRow) -> tuple[float, float, float, float]:
    """Return the log density, and its scores in mu, log sigma and xi.

    With x = (y − mu) / sigma and u = log(1 + xi x) / xi it is −log sigma − (1 + xi) u − exp(−u).
    """
    x = (y - mu.value) / sigma.value
    z = xi.value * x
    if not z > -1.0:
        return -np.inf, 0.0, 0.0, 0.0
    u, bend = bent(x, z)
    less = exp_lane(-u)
    in_u = less - 1.0 - xi.value
    in_x = in_u / (1.0 + z)
    in_xi = -u + (in_u * x) * (x * bend)
    return -sigma.log - (1.0 + xi.value) * u - less, -in_x / sigma.value, -1.0 - in_x * x, in_xi


@deferred
def tails(
    y: float, mu: NumberRow, sigma: PositiveRow, xi: NumberRow
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the logarithms of the probabilities below and above y, each with its scores.

    They are −exp(−u) and log(1 − exp(−exp(−u))).
    """
    x = (y - mu.value) / sigma.value
    z = xi.value * x
    if not z > -1.0:  # beyond the least value, or the largest
        if xi.value > 0.0:
            return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        return 0.0, 0.0, 0.0, 0.0, -np.inf, 0.0, 0.0, 0.0
    u, bend = bent(x, z)
    above, fall, below, rise = exponential_tails(-u)
    in_x = -1.0 / (1.0 + z)
    steep, wider, own = -in_x / sigma.value, -in_x * x, -x * (x * bend)  # of −u
    return below, rise * steep, rise * wider, rise * own, above, fall * steep, fall * wider, fall * own


def tensor_tails(y: Any, mu: Any, sigma: Any, xi: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities below and above y, in tensors."""
    import pytensor.tensor as pt

    x = (y - mu) / sigma
    inside, u = tensor_u(x, xi)
    passed = pt.exp(-u)
    below = pt.switch(inside, -passed, pt.switch(xi > 0, -np.inf, 0.0))
    return below, pt.switch(inside, pt.log(-pt.expm1(-passed)), pt.switch(xi > 0, 0.0, -np.inf))


def tensor_u(x: Any, xi: Any) -> tuple[Any, Any]:
    """Which x the distribution has, and u of these; near xi = 0 by the first terms of a series."""
    import pytensor.tensor as pt

    z = xi * x
    flat, inside = pt.abs(z) < 1e-5, z > -1
    some = pt.switch(pt.and_(inside, pt.invert(flat)), z, 1.0)
    return inside, x * pt.switch(flat, 1 - z / 2 + z * z / 3 - z**3 / 4, pt.log1p(some) / some)


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive, xi: ParameterValues) -> Array:
    """Responses."""
    u = -np.log(rng.standard_exponential(np.shape(mu.eta)))
    with np.errstate(over="ignore"):
        flat = np.abs(xi.value) < SMALL
        x = np.where(flat, u, np.expm1(xi.value * u) / np.where(flat, 1.0, xi.value))
        drawn: Array = mu.value + sigma.value * x
    return np.clip(drawn, -1e300, 1e300)


def mean(mu: ParameterValues, sigma: Positive, xi: ParameterValues) -> Array:
    """Mu + sigma (Γ(1 − xi) − 1) / xi; infinite from xi = 1 on."""
    shape = np.asarray(xi.value)
    flat, inside = np.abs(shape) < SMALL, np.where(shape < 1, shape, 0.5)
    away = np.expm1(special.gammaln(1 - inside)) / np.where(flat, 1.0, inside)
    value: Array = mu.value + sigma.value * np.where(shape < 1, np.where(flat, EULER, away), np.inf)
    return value


def variance(mu: ParameterValues, sigma: Positive, xi: ParameterValues) -> Array:
    """sigma² (Γ(1 − 2 xi) − Γ(1 − xi)²) / xi²; infinite from xi = 1/2 on."""
    shape = np.asarray(xi.value)
    flat, inside = np.abs(shape) < 1e-5, np.where(shape < 0.5, shape, 0.25)
    once, twice = special.gammaln(1 - inside), special.gammaln(1 - 2 * inside)
    exact = np.exp(2 * once) * np.expm1(twice - 2 * once) / np.square(np.where(flat, 1.0, inside))
    near = ZETA_2 + inside * (2 * ZETA_3 + 2 * EULER * ZETA_2)
    spread = np.where(shape < 0.5, np.where(flat, near, exact), np.inf)
    value: Array = np.square(sigma.value) * spread + 0 * mu.value
    return value


def cdf(y: Array, mu: ParameterValues, sigma: Positive, xi: ParameterValues) -> Array:
    """exp(−(1 + xi x)^(−1/xi)): 0 below the least value, 1 above the largest."""
    x = (y - mu.value) / sigma.value
    z = xi.value * x
    flat = np.abs(xi.value) < SMALL
    with np.errstate(over="ignore", divide="ignore"):
        u = np.where(flat, x, np.log1p(np.maximum(z, -1.0)) / np.where(flat, 1.0, xi.value))
        return np.exp(-np.exp(-u))


def graph(pm: Any, mu: Any, sigma: Any, xi: Any) -> tuple[Any, dict[str, Any]]:
    """Its density."""
    import pytensor.tensor as pt

    def log_density(y: Any, mu: Any, sigma: Any, xi: Any) -> Any:
        inside, u = tensor_u((y - mu) / sigma, xi)
        return pt.switch(inside, -pt.log(sigma) - (1 + xi) * u - pt.exp(-u), -np.inf)

    return ByDensity(pm, log_density), {"mu": mu.value, "sigma": sigma.value, "xi": xi.value}


FAMILY = Family(
    "gen_extreme_value",
    parameters=(
        Parameter("mu", NUMBER, NUMBER_LINKS, "location"),
        sigma("scale"),
        Parameter(
            "xi",
            NUMBER,
            ("log1p", "identity"),
            "shape: above 0 a heavy upper tail",
            lambda spread: Prior("Normal", mu=0.0, sigma=0.5),
            lambda spread: 0.1,
        ),
    ),
    support=REAL,
    moving_ends=True,
    row=row,
    graph=graph,
    simulate=simulate,
    mean=mean,
    mean_of="other",
    own_in_mean=("sigma", "xi"),
    variance=variance,
    cdf=cdf,
    tails=Tails(
        tails,
        None,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    equation="GeneralizedExtremeValue(mu, sigma, xi)",
    has_variance=False,
    place=34,
)
