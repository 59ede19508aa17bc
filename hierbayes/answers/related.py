"""Effects of new levels that are related to known ones, given those of the known ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.factors import Factor
from hierbayes.structures.related import NOTHING

Array = NDArray[np.float64]


def conditional_levels(factor: Factor, new: Sequence[Any], shapes: Sequence[Array]) -> tuple[Array, Array]:
    """The conditional distribution of new levels' effects given the known ones', in units of their sd.

    A level of which nothing is known, None, is related to no other, and has the mean of the variances.

    Parameters
    ----------
    factor : Factor
        Whose G levels are related.
    new : sequence
        L labels, each a tuple of the columns' values or None.
    shapes : sequence of ndarray, (S,)
        Draws of the parameters of the covariance between levels; where there are none, all draws share one.

    Returns
    -------
    weights : ndarray, (S or 1, L, G)
        The conditional mean is their product with the known levels' effects.
    covariance : ndarray, (S or 1, L, L)

    Raises
    ------
    DataError
        For levels that the known covariance doesn't have.
    """
    relations = factor.relations
    assert relations is not None, "levels are independent"
    stated = [place for place, label in enumerate(new) if label is not None]
    known = relations.places(factor.levels.labels, factor.name)
    places = relations.places([new[place][0] for place in stated], factor.name)
    basis, constants = relations.columns
    variances = np.atleast_2d(relations.kind.variances(constants, *(shape[:, None] for shape in shapes)))
    weights = np.zeros((len(variances), len(new), len(factor.levels)))
    unknown = np.broadcast_to(np.atleast_1d(relations.mean_variance(shapes)), len(variances))
    covariance = unknown[:, None, None] * np.eye(len(new))
    if stated:
        for draw, own in enumerate(variances):
            across = (basis[known] * own) @ basis[places].T
            weights[draw, stated] = _solve((basis[known] * own) @ basis[known].T, across).T
            alone = (basis[places] * own) @ basis[places].T
            covariance[draw][np.ix_(stated, stated)] = alone - weights[draw, stated] @ across
    return weights, covariance


def _solve(covariance: Array, across: Array) -> Array:
    """The covariance's inverse times columns that it reaches, also where it has none: effects that sum to 0."""
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.pinv(covariance, rcond=NOTHING, hermitian=True) @ across)
    return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, across)))
