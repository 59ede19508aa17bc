"""A basis as straight lines and penalised columns: what a smooth is in a regression model.

The penalised columns have independent coefficients of one standard deviation, which is what the penalty says as a
prior; what is free of penalty is columns of the population-level part (Wood 2017, Generalized Additive Models, 5.8).
Both parts' functions sum to 0 over the training rows, and the penalised columns are orthogonal to the straight ones
there, so that the coefficient of those is the slope of the line through the curve.
"""

from dataclasses import dataclass

import numpy as np

from hierbayes.bases.record import Array, Basis

_NOTHING = 1e-10  # of the largest eigenvalue of a penalty


@dataclass(frozen=True, eq=False)
class Smooth:
    """One curve (or surface), learnt.

    Attributes
    ----------
    basis : Basis
    centre : ndarray, (d,)
        Means of the predictors over the training rows.
    constant : bool
        Whether constants are among its functions: they are where a number multiplies them, otherwise they are the
        intercept's.
    combination : ndarray, (k, m)
        The penalised columns as combinations of the basis.
    lines : ndarray, (p, m)
        The multiples of the straight columns that are taken off them.
    """

    basis: Basis
    centre: Array
    constant: bool
    combination: Array
    lines: Array

    def straight(self, x: Array, by: Array) -> Array:
        """What is free of penalty: (n, p)."""
        columns = [np.ones(len(x))] if self.constant else []
        if self.basis.straight:
            columns += list((x - self.centre).T)
        return np.column_stack(columns) * by[:, None] if columns else np.empty((len(x), 0))

    def penalised(self, x: Array, by: Array) -> Array:
        """The penalised columns: (n, m)."""
        columns: Array = (self.basis.evaluate(x) @ self.combination) * by[:, None]
        return columns - self.straight(x, by) @ self.lines


def learn_smooths(basis: Basis, x: Array, multipliers: list[Array], constant: bool) -> list[Smooth]:
    """A smooth for each multiplier, all on one basis.

    Parameters
    ----------
    basis : Basis
        Learnt from the same rows.
    x : ndarray, (n, d)
        Training rows.
    multipliers : list of ndarray, (n,)
        What the curve is multiplied by: 1, a number, or 1 in the rows of one level.
    constant : bool
        Whether constants stay among the functions.
    """
    columns = basis.evaluate(x)
    penalty = _scaled(basis.penalty, columns)
    centring = np.eye(columns.shape[1]) if constant else _without_mean(columns)
    sizes, vectors = np.linalg.eigh(centring.T @ penalty @ centring)
    bends = sizes > _NOTHING * sizes[-1]
    combination = centring @ (vectors[:, bends] / np.sqrt(sizes[bends]))
    raw = Smooth(basis, x.mean(axis=0), constant, combination, np.empty((0, 0)))
    return [_orthogonal(raw, columns @ combination, x, by) for by in multipliers]


def _scaled(penalty: Array, columns: Array) -> Array:
    """The penalty in the units that standard deviations of smooths have in mgcv and brms."""
    largest = np.abs(columns).sum(axis=1).max() ** 2
    found: Array = penalty * (largest / np.abs(penalty).sum(axis=0).max())
    return found


def _without_mean(columns: Array) -> Array:
    """Combinations (k, k − 1) of the columns that sum to 0 over the rows, orthonormal."""
    means = columns.mean(axis=0)
    return np.linalg.qr(means[:, None], mode="complete")[0][:, 1:]


def _orthogonal(raw: Smooth, columns: Array, x: Array, by: Array) -> Smooth:
    """The smooth with penalised columns that are orthogonal over the rows, to each other and to the straight ones."""
    straight = raw.straight(x, by)
    own = columns * by[:, None]
    lines = np.linalg.lstsq(straight, own, rcond=None)[0]
    turn = (
        np.linalg.svd(own - straight @ lines, full_matrices=True)[2].T if len(own) <= own.shape[1] else None
    )
    if turn is None:
        residual = own - straight @ lines
        turn = np.linalg.eigh(residual.T @ residual)[1][:, ::-1]
    turn = turn * np.where(turn[np.abs(turn).argmax(axis=0), np.arange(turn.shape[1])] < 0, -1.0, 1.0)
    return Smooth(raw.basis, raw.centre, raw.constant, raw.combination @ turn, lines @ turn)
