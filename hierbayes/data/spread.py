"""Means, standard deviations and cross-products of columns, additive over rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spread:
    """Where the values of k columns lie; ``+`` joins the rows of two tables.

    Attributes
    ----------
    weight : float
        The sum of the rows' weights.
    means : ndarray, (k,)
        Weighted means.
    products : ndarray, (k, k)
        Weighted cross-products about them.
    low, high : ndarray, (k,)
        The least and the largest values.
    """

    weight: float
    means: Array
    products: Array
    low: Array
    high: Array

    def __add__(self, other: "Spread") -> "Spread":
        """Both tables' rows (Chan, Golub and LeVeque 1983, The American Statistician 37, equation 2.1)."""
        weight = self.weight + other.weight
        share = other.weight / weight if weight > 0 else 0.5
        apart = other.means - self.means
        return Spread(
            weight,
            self.means + share * apart,
            self.products + other.products + self.weight * share * np.outer(apart, apart),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which columns have one value in every row: (k,)."""
        return self.low == self.high

    @property
    def deviations(self) -> Array:
        """Weighted standard deviations, divisor the sum of the weights: (k,)."""
        return np.sqrt(np.maximum(np.diagonal(self.products) / self.weight, 0.0))

    @property
    def scales(self) -> Array:
        """Standard deviations, 1 for a column that is constant: (k,)."""
        return np.where(self.constant | (self.deviations == 0), 1.0, self.deviations)


def spread_of(matrix: Array, weights: Array | None = None) -> Spread:
    """The spread of a matrix's columns.

    Parameters
    ----------
    matrix : ndarray, (n, k)
    weights : ndarray, (n,), optional
        1 each unless given.

    Examples
    --------
    >>> first, second = spread_of(np.array([[1.0], [2.0]])), spread_of(np.array([[6.0]]))
    >>> both = first + second
    >>> both.means.tolist(), both.products.tolist()
    ([3.0], [[14.0]])
    """
    weights = np.ones(len(matrix)) if weights is None else weights
    total = float(weights.sum())
    if total == 0.0:  # such rows are ignored, wherever they lie
        weights, count = np.ones(len(matrix)), float(len(matrix))
    else:
        count = total
    # around the first row first: a column of 1e6 + small numbers must not cancel
    shifted = matrix - matrix[:1]
    centre = weights @ shifted / count
    shifted -= centre
    products = (shifted.T * weights) @ shifted if total > 0 else np.zeros((matrix.shape[1],) * 2)
    return Spread(total, weights @ matrix / count, products, matrix.min(axis=0), matrix.max(axis=0))
