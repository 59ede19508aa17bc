"""Smooths learnt: a curve for each smooth of a right-hand side, or for each level that it is by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hierbayes.bases import BASES, Smooth, learn_smooths
from hierbayes.data.expressions import Rows, not_computed
from hierbayes.data.variables import Levels, Variable, learn_variable
from hierbayes.errors import DataError
from hierbayes.formula.smooths import SmoothTerm
from hierbayes.formula.syntax import label_of, render

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve or surface: what is penalised of it has a standard deviation of its own.

    Attributes
    ----------
    label : str
        ``"s(x)"``, ``"s(x):arm[placebo]"``.
    term : SmoothTerm
        The smooth that it is of.
    level : object
        The level that it is for, None where there is one curve.
    width : int
        How many penalised columns it has.
    size : float
        Root mean square, over the training rows that it is about, of a curve whose standard deviation is 1.
    """

    label: str
    term: SmoothTerm
    level: object
    width: int
    size: float


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of one smooth term.

    Attributes
    ----------
    term : SmoothTerm
    by : Levels, Numbers or None
        What it is by.
    each : tuple of Curve
    labels : tuple of str
        The names of the columns that are free of penalty.
    """

    term: SmoothTerm
    by: Variable | None
    each: tuple[Curve, ...]
    labels: tuple[str, ...]
    _smooths: tuple[Smooth, ...]

    def columns(self, rows: Rows) -> list[Array]:
        """What is free of penalty, over rows: (n,) each."""
        x = _predictors(self.term, rows)
        multipliers = _multipliers(self.by, rows)
        straight = [s.straight(x, by) for s, by in zip(self._smooths, multipliers, strict=True)]
        return [column for columns in straight for column in columns.T]

    def penalised(self, rows: Rows) -> Array:
        """The penalised columns of every curve side by side: (n, m)."""
        x = _predictors(self.term, rows)
        multipliers = _multipliers(self.by, rows)
        parts = [s.penalised(x, by) for s, by in zip(self._smooths, multipliers, strict=True)]
        return np.hstack(parts)


def learn_curves(term: SmoothTerm, rows: Rows) -> Curves:
    """Learn the curves of a smooth from the training rows.

    Raises
    ------
    DataError
        Where the rows cannot carry it, such as a k above the number of different values.
    """
    x = _predictors(term, rows)
    by = None if term.by is None else learn_variable(term.by, rows)
    try:
        basis = BASES[term.kind].learn(x, term.k, term.knots)
    except ValueError as error:
        raise not_computed(term.call, str(error)) from error
    multipliers = _multipliers(by, rows)
    numeric = by is not None and not isinstance(by, Levels)
    smooths = learn_smooths(basis, x, multipliers, constant=numeric)
    each, labels = [], []
    levels = by.levels if isinstance(by, Levels) else (None,)
    for level, smooth, multiplier in zip(levels, smooths, multipliers, strict=True):
        label = term.label if level is None else f"{term.label}[{level}]"
        columns = smooth.penalised(x, multiplier)
        counted = max(int(np.count_nonzero(multiplier)), 1)
        size = float(np.sqrt((columns**2).sum() / counted))
        each.append(Curve(label, term, level, columns.shape[1], size))
        labels += _straight_labels(label, term, smooth)
    return Curves(term, by, tuple(each), tuple(labels), tuple(smooths))


def _straight_labels(label: str, term: SmoothTerm, smooth: Smooth) -> list[str]:
    """``s(x)`` for the one straight column of a curve; of several each says which it is: ``s(x, z)[x]``."""
    names = [label_of(part) for part in term.predictors] if smooth.basis.straight else []
    if smooth.constant:
        return [f"{label}[1]", *(f"{label}[{name}]" for name in names)]
    return [label] if len(names) == 1 else [f"{label}[{name}]" for name in names]


def _predictors(term: SmoothTerm, rows: Rows) -> Array:
    """What the smooth is along: (n, d)."""
    columns: Sequence[Array] = [rows.columns(part) for part in term.predictors]
    for part, column in zip(term.predictors, columns, strict=True):
        if column.ndim > 1:
            raise not_computed(term.call, f"{render(part)} has {column.shape[1]} columns")
    x = np.column_stack(columns).astype(np.float64)
    if not np.isfinite(x).all():
        bad = rows.frame.index[~np.isfinite(x).all(axis=1)]
        raise DataError(
            f"{render(term.call)!r} is along what is not a finite number in {len(bad)} of {len(x)} rows, the first "
            f"{bad[0]}; remove or correct those rows"
        )
    return x


def _multipliers(by: Variable | None, rows: Rows) -> list[Array]:
    """What each curve is multiplied by: 1, a number, or 1 in the rows of its level; (n,) each."""
    if by is None:
        return [np.ones(len(rows))]
    if isinstance(by, Levels):
        codes = by.codes(rows)
        return [(codes == place).astype(np.float64) for place in range(len(by.levels))]
    columns = by.columns(rows)
    if len(columns) != 1:
        raise not_computed(by.node, f"by= takes one column, and this has {len(columns)}")
    return columns
