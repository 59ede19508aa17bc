"""Effects of new levels that are related to known ones, given those of the known ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.factors import Factor

Array = NDArray[np.float64]


def conditional_levels(factor: Factor, new: Sequence[Any]) -> tuple[Array, Array]:
    """The conditional distribution of new levels' effects given the known ones', in units of their sd.

    A level of which nothing is known, None, is related to no other, and has the mean of the variances.

    Parameters
    ----------
    factor : Factor
        Whose G levels are related.
    new : sequence
        L labels, each a tuple of the columns' values or None.

    Returns
    -------
    weights : ndarray, (L, G)
        The conditional mean is their product with the known levels' effects.
    covariance : ndarray, (L, L)

    Raises
    ------
    DataError
        For levels that the known covariance doesn't have.
    """
    relations = factor.relations
    assert relations is not None, "levels are independent"
    stated = [place for place, label in enumerate(new) if label is not None]
    weights, covariance = np.zeros((len(new), len(factor.levels))), relations.size * np.eye(len(new))
    known = relations.places(factor.levels.labels, factor.name)
    places = relations.places([new[place][0] for place in stated], factor.name)
    half = np.linalg.solve(factor.root, relations.matrix[np.ix_(known, places)])
    weights[stated] = np.linalg.solve(factor.root.T, half).T
    covariance[np.ix_(stated, stated)] = relations.matrix[np.ix_(places, places)] - half.T @ half
    return weights, covariance
