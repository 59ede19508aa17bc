"""Effects of new levels that are related to known ones, given those of the known ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.factors import Factor
from hierbayes.engine.core.routine import run
from hierbayes.engine.whitening.sparse import entries_of, inverse_on_pattern, pattern_of_matrix
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


def new_effects(
    factor: Factor,
    new: Sequence[Any],
    shapes: Sequence[Array],
    effects: Array,
    apart: Array,
    sd: Array,
    numbers: Callable[[str], Array] | None,
) -> Array:
    """Effects of new levels given the known ones': (L, q, S).

    Parameters
    ----------
    factor, new, shapes
        As in `conditional_levels`.
    effects : ndarray, (S, G, q)
        Those of the known levels.
    apart : ndarray, (L, q, S)
        Those of as many levels that are related to none, with their sds; 0 for means.
    sd : ndarray, (S, q)
    numbers : callable or None
        Standard normal numbers (S,) for any label; None for means.
    """
    if factor.precision is None:
        weights, covariance = conditional_levels(factor, new, shapes)
        return np.asarray(
            (_eigenroot(covariance) @ apart.transpose(2, 0, 1) + weights @ effects).transpose(1, 2, 0)
        )
    found, given = np.empty(apart.shape), GivenKnown(factor)
    unknown = [place for place, label in enumerate(new) if label is None]
    found[unknown] = apart[unknown] * np.sqrt(_mean_variance(factor, shapes))
    stated, places = given.places(new)
    if not stated:
        return found
    z = None if numbers is None else np.array([numbers(given.labels[level]) for level in given.left])
    for draw in range(len(effects)):
        if draw == 0 or shapes:
            given.set([float(shape[draw]) for shape in shapes])
        size = max(sd[draw, 0], np.finfo(float).tiny)
        own = given.field(effects[draw, :, 0] / size, 0.0 if z is None else np.ascontiguousarray(z[:, draw]))
        found[stated, 0, draw] = size * own[places]
        if given.kind.field == MIXED:
            share = shapes[0][draw]
            found[stated, 0, draw] *= np.sqrt(share)
            found[stated, 0, draw] += np.sqrt(1.0 - share) * apart[stated, 0, draw]
    return found


def new_variances(factor: Factor, new: Sequence[Any], shapes: Sequence[Array]) -> Array:
    """The variances of new levels' effects given the known ones', in units of their sd²: (S or 1, L)."""
    if factor.precision is None:
        _, covariance = conditional_levels(factor, new, shapes)
        return np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0)
    given, count = GivenKnown(factor), len(shapes[0]) if shapes else 1
    found = np.empty((count, len(new)))
    found[:] = np.atleast_1d(_mean_variance(factor, shapes))[:, None]
    stated, places = given.places(new)
    for draw in range(count if stated else 0):
        given.set([float(shape[draw]) for shape in shapes])
        found[draw, stated] = np.maximum(given.variances()[places], 0.0)
        if given.kind.field == MIXED:
            share = shapes[0][draw]
            found[draw, stated] = share * found[draw, stated] + 1.0 - share
    return found


def _mean_variance(factor: Factor, shapes: Sequence[Array]) -> Array:
    """The variance of a level of which nothing is known: (S,), or one number where all draws share it."""
    assert factor.relations is not None, "levels are independent"
    return np.asarray(factor.relations.mean_variance(shapes))


def _eigenroot(covariance: Array) -> Array:
    """Square roots (…, L, L), also where some levels' effects are known from others'."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ vectors.swapaxes(-1, -2))


def _of_unknown(factor: Factor, levels: int, shapes: Sequence[Array], draws: int) -> Array:
    """The covariance of levels of which nothing is known, related to none: (draws, L, L)."""
    relations = factor.relations
    assert relations is not None, "levels are independent"
    variance = relations.mean_variance(shapes) if len(shapes) == len(relations.kind.parameters) else 1.0
    return np.broadcast_to(np.atleast_1d(variance), draws)[:, None, None] * np.eye(levels)


class GivenKnown:
    """Effects of levels of which some are known, where the precision of all is sparse and sd is 1.

    Of effects that are the field itself, those of the levels that are not known have its precision among them. Of
    κu + τv, the field given the known ones has the precision Q + κ²/τ² at these. What sums to 0 is conditioned on after
    that. Where entries of a root are is found once; draws that have a precision of their own fill it in anew.

    Parameters
    ----------
    factor : Factor
        With a sparse precision.
    """

    def __init__(self, factor: Factor):
        precision, relations = factor.precision, factor.relations
        assert precision is not None, "the precision is sparse"
        assert relations is not None, "levels are related"
        size = precision.matrix.shape[0]
        self.kind, self.labels = relations.kind, relations.labels
        self._relations, self._name = relations, factor.name
        self.known = relations.places(factor.levels.labels, factor.name)
        mixed = self.kind.field == MIXED
        self.left = np.arange(size) if mixed else np.setdiff1d(np.arange(size), self.known)
        """Those whose part of the field is drawn, (N,)."""
        own = precision.matrix[self.left][:, self.left]
        self._across = precision.matrix[self.left][:, self.known]
        self.pattern = pattern_of_matrix(own)
        order = self.left[self.pattern.order]
        self._strengths = entries_of(self.pattern, own)
        self._diagonal, self._is_known = precision.diagonal[order], np.isin(order, self.known).astype(float)
        parts = precision.parts[self.left]
        self._parts, self._count = parts, int(parts.max(initial=-1)) + 1
        self._sums_of_known = (precision.parts[self.known][:, None] == np.arange(self._count)).astype(float).T
        self._root, self._pivots = np.zeros(len(self.pattern.rows)), np.ones(len(self.left))
        self._share, self._along = 1.0, np.zeros(len(self.left))

    def set(self, shapes: Sequence[float]) -> None:
        """Factorise the precision with these values of the kind's parameters."""
        share = shapes[0] if shapes else 1.0
        pattern, diagonal = self.pattern, self.pattern.columns[:-1]
        self._root[:] = self._strengths
        if self.kind.field == PROPER:
            self._root *= share
            self._root[diagonal] += (1.0 - share) * self._diagonal
        if self.kind.field == MIXED:
            self._root[diagonal] += share / max(1.0 - share, TINY) * self._is_known
        self._root[diagonal] += TINY * self._root[diagonal].mean()
        run(
            "hierbayes.engine.whitening.sparse.factorize",
            pattern.columns,
            pattern.rows,
            self._root,
            self._pivots,
        )
        self._share = share
        if self._count:
            self._along = self._solved((self._parts >= 0).astype(float), 0.0)

    def field(self, values: Array, z: Array | float) -> Array:
        """The field at `left` (N,), given the known effects (G,), and as many normal numbers, or 0 for its mean."""
        share = self._share
        if self.kind.field == MIXED:
            score = np.zeros(len(self.left))
            score[self.known] = np.sqrt(share) / max(1.0 - share, TINY) * values
        else:
            score = -(self._across @ values) * (share if self.kind.field == PROPER else 1.0)
        found = self._solved(score, z)
        if self._count:
            sums = np.zeros(self._count) if self.kind.field == MIXED else -(self._sums_of_known @ values)
            within = self._parts >= 0
            parts = self._parts[within]
            weights = np.bincount(parts, self._along[within], minlength=self._count)
            missing = sums - np.bincount(parts, found[within], minlength=self._count)
            ratio = np.divide(missing, weights, out=np.zeros(self._count), where=weights > 0)
            found[within] += self._along[within] * ratio[parts]
        return found

    def variances(self) -> Array:
        """The variances of the field at `left`, given the known effects: (N,)."""
        pattern, found = self.pattern, np.zeros(len(self._root))
        run(inverse_on_pattern, pattern.columns, pattern.rows, self._root, self._pivots, found)
        variances = np.empty(len(self.left))
        variances[pattern.order] = found[pattern.columns[:-1]]
        within = self._parts >= 0
        if self._count:
            weights = np.bincount(self._parts[within], self._along[within], minlength=self._count)
            variances[within] -= np.square(self._along[within]) / weights[self._parts[within]]
        return variances

    def _solved(self, score: Array, z: Array | float) -> Array:
        """The precision's inverse times a score, and draws of it: (N,)."""
        pattern, x = self.pattern, np.ascontiguousarray(score[self.pattern.order])
        run(
            "hierbayes.engine.whitening.fields.solve_down",
            len(x),
            pattern.columns,
            pattern.rows,
            self._root,
            x,
        )
        x /= self._pivots
        if isinstance(z, np.ndarray):
            x += z[pattern.order] / np.sqrt(self._pivots)
        run(
            "hierbayes.engine.whitening.fields.solve_up", len(x), pattern.columns, pattern.rows, self._root, x
        )
        found = np.empty(len(x))
        found[pattern.order] = x
        return found

    def places(self, new: Sequence[Any]) -> tuple[list[int], Codes]:
        """Which of new levels have a label, and where among `left` these are."""
        stated = [place for place, label in enumerate(new) if label is not None]
        relations = self._relations
        codes = relations.places([new[place][0] for place in stated], self._name)
        return stated, np.searchsorted(self.left, codes)


def _solve(covariance: Array, across: Array) -> Array:
    """The covariance's inverse times columns that it reaches, also where it has none: effects that sum to 0."""
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.pinv(covariance, rcond=NOTHING, hermitian=True) @ across)
    return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, across)))
