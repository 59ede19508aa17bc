"""Positive responses with a heavy right tail: the time at which a Brownian motion with drift reaches a bound."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.families.record import ABOVE_ZERO, SHAPE, TINY, Array, Family, Parameter, first_value
from hierbayes.kinds import POSITIVE, Positive, PositiveRow

LINKS = ("1/mu^2", "inverse", "identity", "log", "softplus", "squareplus")


@row_function
def row(y: float, mu: PositiveRow, shape: PositiveRow) -> tuple[float, float, float]:
    """Return the log density without what depends on y alone, and its scores in log mu and log shape."""
    away = (y - mu.value) / mu.value
    half = 0.5 * shape.value * away * (away / y)
    return 0.5 * shape.log - half, shape.value * away / mu.value, 0.5 - half


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
    information=lambda mu, shape: shape.value / mu.value,
    equation="InverseGaussian(mu, shape)",
    place=17,
)
