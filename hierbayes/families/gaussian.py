"""Normal responses."""

from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.families.record import NUMBER_LINKS, REAL, Array, Family, Parameter, first_value, sigma
from hierbayes.kinds import NUMBER, NumberRow, ParameterValues, Positive, PositiveRow

LOG_2PI = float(np.log(2 * np.pi))


@row_function
def row(y: float, mu: NumberRow, sigma: PositiveRow) -> tuple[float, float, float]:
    """Return the log density but for its constant, and its scores in mu and log sigma."""
    z = (y - mu.value) / sigma.value
    return -0.5 * z * z - sigma.log, z / sigma.value, z * z - 1.0


def simulate(rng: np.random.Generator, mu: ParameterValues, sigma: Positive) -> Array:
    """Responses, drawn in the order in memory of the means: adding them would take as long as drawing otherwise."""
    shape = np.shape(mu.eta)
    noise = rng.standard_normal(shape[::-1]).T if np.isfortran(mu.eta) else rng.standard_normal(shape)
    noise = noise * sigma.value
    noise += mu.value
    return noise


def graph(pm: Any, mu: Any, sigma: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's normal distribution."""
    return pm.Normal, {"mu": mu.value, "sigma": sigma.value}


FAMILY = Family(
    "gaussian",
    parameters=(Parameter("mu", NUMBER, NUMBER_LINKS, "mean"), sigma("residual standard deviation")),
    support=REAL,
    row=row,
    of_y_alone=lambda y: np.full(np.shape(y), -0.5 * LOG_2PI),
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=lambda mu, sigma: np.square(sigma.value) + 0 * mu.value,
    cdf=lambda y, mu, sigma: special.ndtr((y - mu.value) / sigma.value),
    information=lambda mu, sigma: 1 / np.square(sigma.value),
    equation="Normal(mu, sigma)",
    normal=True,
    takes_se=True,
    place=1,
)
