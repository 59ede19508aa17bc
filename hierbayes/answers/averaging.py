"""Expected responses averaged over a normal distribution of the linear predictor: what new groups do to a mean.

Given a draw's parameters the effects of new levels are normal, and so is their sum in a row's linear predictor: one
integral a row, whatever the number of grouping factors. It has a closed form for the identity and log links; for
others it is Gauss–Hermite quadrature (Abramowitz & Stegun 1964, 25.4.46). Where several parameters of ``nl()`` vary,
it is an integral of as many dimensions.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.latent import Root, combined, triangular_root
from hierbayes.errors import UnsupportedError
from hierbayes.families import Family, Values
from hierbayes.links import Link

Array = NDArray[np.float64]
FEWEST, MOST = 15, 200  # nodes
RULES = (
    (15, 25),
    (9, 13),
    (7, 9),
)  # nodes in each of one, two and three directions: of a coarse and of a fine rule
LIGHTEST = 1e-9  # weights of nodes that are left out
# how far both rules may be apart, in standard deviations of what is averaged; and in what share of rows and draws more
UNSETTLED, FEW_UNSETTLED = 0.02, 0.01


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


def expect_of_several(function: Callable[[Array], Array], covariance: Array, names: tuple[str, ...]) -> Array:
    """E function(u), u normal about 0, in every entry: by products of Gauss–Hermite rules.

    Parameters
    ----------
    function : callable
        From u (d, …) to (…): an expected response.
    covariance : ndarray (d, d, …)
    names : tuple of str
        What the d numbers are, for messages.

    Raises
    ------
    UnsupportedError
        For more numbers than three, and where rules of two sizes differ: 1/u has no mean, and neither has exp(exp(u)).
    """
    if len(names) > len(RULES):
        raise UnsupportedError(
            f"{', '.join(names)} vary by groups: averages are taken over at most {len(RULES)} such parameters at once. "
            "Take groups='none', or draws of new groups: rows with new labels, output='draws'"
        )
    root = triangular_root(np, covariance)
    coarse, fine = (_by_rule(function, root, count) for count in RULES[len(names) - 1])
    with np.errstate(invalid="ignore"):
        apart = np.abs(fine[0] - coarse[0]) > UNSETTLED * (np.sqrt(fine[1]) + 1e-9 * np.abs(fine[0]))
    if np.mean(apart | ~np.isfinite(fine[0])) > FEW_UNSETTLED:
        raise UnsupportedError(
            f"the expected response has no average over groups' effects on {' and '.join(names)} that can be found: "
            "something is divided by a number that may be 0, say, or grows too fast. Take groups='none', or draws of "
            "new groups: rows with new labels, output='draws'"
        )
    return fine[0]


def _by_rule(function: Callable[[Array], Array], root: Root, count: int) -> tuple[Array, Array]:
    """Mean and variance of a function of normal numbers with that root, by so many nodes in each direction."""
    mean: Any = 0.0
    square: Any = 0.0
    for weight, point in normal_nodes(count, len(root)):
        if weight < LIGHTEST:
            continue
        with np.errstate(all="ignore"):  # what overflows is seen in the mean
            value = function(np.stack(combined(root, point)))
        mean, square = mean + weight * value, square + weight * value**2
    with np.errstate(all="ignore"):
        return np.asarray(mean), np.maximum(square - mean**2, 0.0)


def normal_nodes(count: int, dimensions: int) -> Iterator[tuple[float, Array]]:
    """Weights, whose sum is 1, and points (d,) by which functions of d standard normal numbers are averaged.

    Those of the product of Gauss–Hermite rules with so many nodes in each direction.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    weights = weights / weights.sum()
    for places in itertools.product(range(count), repeat=dimensions):
        yield float(np.prod(weights[list(places)])), nodes[list(places)]


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
