"""Tensor products of two smooths: a surface whose bends along each predictor, and along both, are apart.

Each margin is a constant, a straight line and functions that bend, which have a coefficient of standard deviation 1 at
a penalty of 1. The products of what is straight in both are free of penalty. Those of what bends along the first, along
the second, and along both have a standard deviation each (Wood, Scheipl & Faraway 2013, Statistics and Computing 23,
section 3). Unlike a thin plate, which is the same in all directions, it does not depend on the predictors' units.
"""

from dataclasses import dataclass

import numpy as np

from hierbayes.bases.record import Array, Basis

_NOTHING = 1e-10  # of the largest eigenvalue of a penalty


@dataclass(frozen=True, eq=False)
class Margin:
    """What a surface is along one of its predictors.

    Attributes
    ----------
    basis : Basis
    combination : ndarray, (k, r)
        The functions that bend as combinations of the basis.
    centre, spread : float
        Mean and standard deviation over the training rows.
    """

    basis: Basis
    combination: Array
    centre: float
    spread: float

    def bending(self, x: Array) -> Array:
        """The functions that bend: (n, r)."""
        columns: Array = self.basis.evaluate(x[:, None]) @ self.combination
        return columns

    def straight(self, x: Array) -> Array:
        """A constant and a line, of one size: (n, 2)."""
        return np.column_stack([np.ones(len(x)), (x - self.centre) / self.spread])


@dataclass(frozen=True, eq=False)
class TensorPart:
    """The products of two margins that share a standard deviation, and one of those that are free of penalty.

    Attributes
    ----------
    margins : tuple of two Margin
    bends : tuple of two bool
        Along which predictors they bend.
    size : float
        What the products are divided by.
    lines : ndarray, (4, m)
        The multiples of what is straight in both that are taken off them.
    """

    margins: tuple[Margin, Margin]
    bends: tuple[bool, bool]
    size: float
    lines: Array

    def straight(self, x: Array, by: Array) -> Array:
        """The line along the predictor that it bends along, or the product of both: (n, 1)."""
        parts = [
            x[:, j] - margin.centre
            for j, (margin, bends) in enumerate(zip(self.margins, self.bends, strict=True))
            if bends
        ]
        return (np.prod(parts, axis=0) * by)[:, None]

    def penalised(self, x: Array, by: Array) -> Array:
        """The products, orthogonal to what is straight in both over the training rows: (n, m)."""
        columns = (
            self._products(x)
            - _crossed(*(m.straight(x[:, j]) for j, m in enumerate(self.margins))) @ self.lines
        )
        found: Array = columns * by[:, None]
        return found

    def _products(self, x: Array) -> Array:
        first, second = (
            margin.bending(x[:, j]) if bends else margin.straight(x[:, j])
            for j, (margin, bends) in enumerate(zip(self.margins, self.bends, strict=True))
        )
        return _crossed(first, second) / self.size


def _crossed(first: Array, second: Array) -> Array:
    """Every column of one times every column of the other."""
    return (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)


BENDING = ((True, False), (False, True), (True, True))


def learn_tensor(bases: tuple[Basis, Basis], x: Array) -> list[TensorPart]:
    """The three parts of a surface: what bends along the first predictor, along the second, and along both.

    Parameters
    ----------
    bases : tuple of two Basis
        Learnt from the columns of `x`.
    x : ndarray, (n, 2)
        Training rows.
    """
    margins = tuple(_margin(basis, x[:, j]) for j, basis in enumerate(bases))
    whole = _crossed(*(np.hstack([m.bending(x[:, j]), m.straight(x[:, j])]) for j, m in enumerate(margins)))
    size = float(np.abs(whole).sum(axis=1).max())  # the units of mgcv and brms
    flat = _crossed(*(m.straight(x[:, j]) for j, m in enumerate(margins)))
    found = []
    for bends in BENDING:
        raw = TensorPart((margins[0], margins[1]), bends, size, np.empty((0, 0)))
        columns = raw._products(x)
        lines = np.linalg.lstsq(flat, columns, rcond=None)[0]
        found.append(TensorPart(raw.margins, bends, size, lines))
    return found


def _margin(basis: Basis, x: Array) -> Margin:
    sizes, vectors = np.linalg.eigh(basis.penalty)
    bends = sizes > _NOTHING * sizes[-1]
    combination = vectors[:, bends] / np.sqrt(sizes[bends])
    columns = basis.evaluate(x[:, None]) @ combination
    combination = combination / np.sqrt(np.mean(columns**2))  # as large as the line and the constant
    return Margin(basis, combination, float(x.mean()), float(x.std()))
