"""Expected responses averaged over a normal distribution of the linear predictor: what new groups do to a mean.

Given a draw's parameters the effects of new levels are normal, and so is their sum in a row's linear predictor: one
integral a row, whatever the number of grouping factors. It has a closed form for the identity and log links; for
others it is Gauss–Hermite quadrature (Abramowitz & Stegun 1964, 25.4.46).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.errors import UnsupportedError
from hierbayes.families import Family, Values
from hierbayes.links import Link

Array = NDArray[np.float64]
FEWEST, MOST = 15, 200  # nodes


def gauss_hermite(sd: float) -> tuple[Array, Array]:
    """Nodes and weights of the expectation over a standard normal variable, for a spread of `sd` on the link's scale.

    The poles of the inverse logit lie π from the real line, so the number of nodes grows with the square of `sd`.

    Examples
    --------
    >>> nodes, weights = gauss_hermite(1.0)
    >>> round(float(weights @ nodes**4), 6)
    3.0
    """
    count = int(np.clip(np.ceil(FEWEST + 3 * np.nan_to_num(sd) ** 2), FEWEST, MOST))
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def expect(function: Callable[[Array], Array], centre: Array, sd: Array) -> Array:
    """E function(centre + sd · z), z standard normal, in every entry of `centre` and `sd` (alike in shape).

    What the function returns ends in that shape.
    """
    total: Any = 0.0
    for node, weight in zip(*gauss_hermite(float(np.max(sd, initial=0.0))), strict=True):
        total = total + weight * function(centre + node * sd)
    return np.asarray(total)


def average_mean(family: Family, link: Link, eta: Array, variance: Any, aux: Values) -> Array:
    """Expected response where the linear predictor is normal about `eta` with that variance.

    Raises
    ------
    UnsupportedError
        For the links inverse and 1/mu², under which that expectation does not exist.
    """
    if family.mean_is_exponential(link.name):
        return family.at(eta + variance / 2, aux, link).mean()
    if family.mean_is_linear(link.name):
        return family.at(eta, aux, link).mean()
    if not link.has_average:
        of_eta = "1/eta" if link.name == "inverse" else "a power of eta"
        raise UnsupportedError(
            f"with link {link.name!r} the expected response of a new group has no average over groups ({of_eta} has no "
            "mean); take groups='none', or link='log'"
        )
    return expect(lambda values: family.at(values, aux, link).mean(), eta, np.sqrt(variance))
