"""Effects of new levels that are related to known ones, given those of the known ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.factors import Factor
from hierbayes.data.relations import Precision, diagonal_matrix, factored
from hierbayes.structures import LevelCovariance
from hierbayes.structures.related import MIXED, NOTHING, PROPER

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
TINY = 1e-9  # of the mean precision: added to each, where a part of a map has no known level


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
    covariance = _of_unknown(factor, len(new), shapes, len(variances))
    if stated:
        for draw, own in enumerate(variances):
            across = (basis[known] * own) @ basis[places].T
            weights[draw, stated] = _solve((basis[known] * own) @ basis[known].T, across).T
            alone = (basis[places] * own) @ basis[places].T
            covariance[draw][np.ix_(stated, stated)] = alone - weights[draw, stated] @ across
    return weights, covariance


def conditional_effects(
    factor: Factor, new: Sequence[Any], shapes: Sequence[Array], effects: Array
) -> tuple[Array, Array]:
    """Conditional means of new levels' effects given the known ones' (S, G, q), and their covariance in units of sd².

    As `conditional_levels`, whose weights are not needed where the precision of all levels' effects is sparse.

    Returns
    -------
    mean : ndarray, (S, L, q)
    covariance : ndarray, (S or 1, L, L)
    """
    precision, relations = factor.precision, factor.relations
    if precision is None or relations is None:
        weights, covariance = conditional_levels(factor, new, shapes)
        return weights @ effects, covariance
    stated = np.array([place for place, label in enumerate(new) if label is not None], dtype=np.int64)
    known = relations.places(factor.levels.labels, factor.name)
    places = relations.places([new[place][0] for place in stated], factor.name)
    count = len(effects) if shapes else 1
    unknown = any(label is None for label in new)
    covariance = _of_unknown(factor, len(new), shapes if unknown else (), count)
    mean = np.zeros((len(effects), len(new), effects.shape[2]))
    if len(stated) == 0:
        return mean, covariance
    for draw in range(count):
        own = [float(shape[draw]) for shape in shapes]
        of_draws = slice(None) if count == 1 else slice(draw, draw + 1)
        values = effects[of_draws].transpose(1, 0, 2).reshape(len(known), -1)
        found, alone = _given_known(precision, relations.kind, own, known, places, values)
        mean[of_draws, stated] = found.reshape(len(places), -1, effects.shape[2]).transpose(1, 0, 2)
        covariance[draw][np.ix_(stated, stated)] = alone
    return mean, covariance


def _of_unknown(factor: Factor, levels: int, shapes: Sequence[Array], draws: int) -> Array:
    """The covariance of levels of which nothing is known, related to none: (draws, L, L)."""
    relations = factor.relations
    assert relations is not None, "levels are independent"
    variance = relations.mean_variance(shapes) if len(shapes) == len(relations.kind.parameters) else 1.0
    return np.broadcast_to(np.atleast_1d(variance), draws)[:, None, None] * np.eye(levels)


def _given_known(
    precision: Precision,
    kind: LevelCovariance,
    shapes: Sequence[float],
    known: Codes,
    places: Codes,
    values: Array,
) -> tuple[Array, Array]:
    """Conditional means (L, P) and covariance (L, L) of some levels, given values (G, P) of others, where sd is 1.

    Of effects that are the field itself, those of the levels that are not known have its precision among them. Of
    κu + τv, the field given the known ones has the precision Q + κ²/τ² at these. What sums to 0 is conditioned on
    after that.
    """
    size = precision.matrix.shape[0]
    share = shapes[0] if shapes else 1.0
    if kind.field == MIXED:
        left, apart = np.arange(size), max(1.0 - share, TINY)
        at_known = np.zeros(size)
        at_known[known] = share / apart
        own = precision.matrix + diagonal_matrix(at_known)
        score = np.zeros((size, values.shape[1]))
        score[known] = np.sqrt(share) / apart * values
    else:
        whole = precision.matrix
        if kind.field == PROPER:
            whole = share * whole + (1.0 - share) * diagonal_matrix(precision.diagonal)
        left = np.setdiff1d(np.arange(size), known)
        own, score = whole[left][:, left], -(whole[left][:, known] @ values)
    parts = np.unique(precision.parts[left][precision.parts[left] >= 0])
    ones = (precision.parts[left][:, None] == parts).astype(np.float64)
    if kind.field == MIXED:
        sums = np.zeros((len(parts), values.shape[1]))
    else:
        sums = -((precision.parts[known][:, None] == parts).T @ values)
    factor = factored(own + TINY * own.diagonal().mean() * diagonal_matrix(np.ones(len(left))))
    chosen = np.searchsorted(left, places)
    unit = np.zeros((len(left), len(places)))
    unit[chosen, range(len(places))] = 1.0
    mean, columns = factor.solve(score), factor.solve(unit)
    if len(parts):
        reached = factor.solve(ones)
        between = np.linalg.inv(ones.T @ reached)
        mean = mean + reached @ (between @ (sums - ones.T @ mean))
        columns = columns - reached @ (between @ (ones.T @ columns))
    covariance = (columns[chosen] + columns[chosen].T) / 2
    if kind.field == MIXED:
        return np.sqrt(share) * mean[chosen], share * covariance + (1.0 - share) * np.eye(len(places))
    return mean[chosen], covariance


def _solve(covariance: Array, across: Array) -> Array:
    """The covariance's inverse times columns that it reaches, also where it has none: effects that sum to 0."""
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.pinv(covariance, rcond=NOTHING, hermitian=True) @ across)
    return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, across)))
