"""Student's t: numbers with heavy tails."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.families.record import NUMBER_LINKS, REAL, Array, Family, Parameter, first_value, sigma
from hierbayes.kinds import NUMBER, POSITIVE, NumberRow, ParameterValues, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import lgamma_rise, log1p_wide

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
    # Lange, Little & Taylor (1989), appendix B: (ν + 1) / (ν + 3) / σ²
    information=lambda mu, sigma, nu: (nu.value + 1) / (nu.value + 3) / np.square(sigma.value),
    equation="StudentT(nu, mu, sigma)",
    has_variance=False,
    takes_se=True,
    place=2,
)
