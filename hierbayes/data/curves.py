"""Smooths and Gaussian processes learnt: a curve for each of a right-hand side, or for each level that it is by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.bases import (
    BASES,
    BENDING,
    SineBasis,
    Smooth,
    TensorPart,
    learn_sines,
    learn_smooths,
    learn_tensor,
)
from hierbayes.data.expressions import Rows, not_computed
from hierbayes.data.variables import Levels, Variable, learn_variable
from hierbayes.errors import DataError
from hierbayes.formula.smooths import CurveTerm, ProcessTerm, SmoothTerm, TensorTerm
from hierbayes.formula.syntax import label_of, render
from hierbayes.structures import POSITIVE, SPECTRA, Spectrum, StructureParameter

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Process:
    """What a curve that is a Gaussian process has beside its columns: how their sds come of its length scale.

    Attributes
    ----------
    spectrum : Spectrum
    basis : SineBasis
    lscale : StructureParameter
    """

    spectrum: Spectrum
    basis: SineBasis
    lscale: StructureParameter

    @property
    def constants(self) -> Array:
        """What the spectrum's root is given beside the length scale."""
        return self.spectrum.constants(self.basis.squares, len(self.basis.centre))

    def sizes(self, m: Any, lscale: Any) -> Any:
        """Standard deviations of the columns where that of the process is 1, with `m` NumPy or PyTensor's tensors."""
        basis = self.basis
        return m.exp(0.5 * self.spectrum.log_density(m, lscale, basis.squares, len(basis.centre)))


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve or surface: what is penalised of it has a standard deviation of its own.

    Attributes
    ----------
    label : str
        ``"s(x)"``, ``"s(x):arm[placebo]"``; of a part of a tensor product what bends there: ``"t2(x, z)[x]"``.
    term : SmoothTerm, ProcessTerm or TensorTerm
        The smooth that it is of.
    level : object
        The level that it is for, None where there is one curve.
    width : int
        How many penalised columns it has.
    size : float
        Root mean square, over the training rows that it is about, of a curve whose standard deviation is 1.
    process : Process or None
        What makes it a Gaussian process.
    """

    label: str
    term: CurveTerm
    level: object
    width: int
    size: float
    process: Process | None = None

    @property
    def whole(self) -> str:
        """The label of the function that it is, or is a part of."""
        return self.term.label if isinstance(self.term, TensorTerm) else self.label

    @property
    def scale(self) -> str:
        """What its standard deviation is called: brms's words."""
        return "sds" if self.process is None else "sdgp"

    @property
    def shapes(self) -> tuple[StructureParameter, ...]:
        """Its parameters beside the standard deviation."""
        return () if self.process is None else (self.process.lscale,)

    def column_sds(self, sd: Array, shapes: Sequence[Array]) -> Array:
        """The standard deviation of each column: draws (S,) of its own and of its `shapes` → (S, m)."""
        if self.process is None:
            return np.repeat(sd[:, None], self.width, axis=1)
        found: Array = sd[:, None] * self.process.sizes(np, shapes[0][:, None])
        return found


SCALES = ("sds", "sdgp")  # what curves' standard deviations are called
LSCALE = "lscale"


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of one smooth term.

    Attributes
    ----------
    term : SmoothTerm or ProcessTerm
    by : Levels, Numbers or None
        What it is by.
    each : tuple of Curve
    labels : tuple of str
        The names of the columns that are free of penalty.
    """

    term: CurveTerm
    by: Variable | None
    each: tuple[Curve, ...]
    labels: tuple[str, ...]
    _smooths: tuple["Smooth | Sines | TensorPart", ...]

    def columns(self, rows: Rows) -> list[Array]:
        """What is free of penalty, over rows: (n,) each."""
        x = _predictors(self.term, rows)
        multipliers = self._multipliers(rows)
        straight = [s.straight(x, by) for s, by in zip(self._smooths, multipliers, strict=True)]
        return [column for columns in straight for column in columns.T]

    def penalised(self, rows: Rows) -> Array:
        """The penalised columns of every curve side by side: (n, m)."""
        x = _predictors(self.term, rows)
        multipliers = self._multipliers(rows)
        try:
            parts = [s.penalised(x, by) for s, by in zip(self._smooths, multipliers, strict=True)]
        except ValueError as error:
            raise DataError(f"{render(self.term.call)!r} cannot be computed here: {error}") from error
        return np.hstack(parts)

    def _multipliers(self, rows: Rows) -> list[Array]:
        """What each of the parts is multiplied by: those of a tensor product alike."""
        found = _multipliers(self.by, rows)
        return found * len(self._smooths) if isinstance(self.term, TensorTerm) else found


@dataclass(frozen=True, eq=False)
class Sines:
    """The columns of a Gaussian process: all have a standard deviation, and none sums to 0."""

    basis: SineBasis

    def straight(self, x: Array, by: Array) -> Array:
        """Nothing: (n, 0)."""
        return np.empty((len(x), 0))

    def penalised(self, x: Array, by: Array) -> Array:
        """The sines, multiplied: (n, m)."""
        columns: Array = self.basis.evaluate(x) * by[:, None]
        return columns


def learn_curves(term: CurveTerm, rows: Rows) -> Curves:
    """Learn the curves of a smooth from the training rows.

    Raises
    ------
    DataError
        Where the rows cannot carry it, such as a k above the number of different values.
    """
    x = _predictors(term, rows)
    by = None if term.by is None else learn_variable(term.by, rows)
    multipliers = _multipliers(by, rows)
    try:
        if isinstance(term, ProcessTerm):
            return _learn_processes(term, by, x, multipliers)
        if isinstance(term, TensorTerm):
            return _learn_tensor(term, x)
        basis = BASES[term.kind].learn(x, term.k, term.knots)
    except ValueError as error:
        raise not_computed(term.call, str(error)) from error
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


def _learn_tensor(term: TensorTerm, x: Array) -> Curves:
    """The three parts of a tensor product, each with the straight column that is of its predictors."""
    first, second = (BASES[term.kind].learn(x[:, [j]], term.k, None) for j in (0, 1))
    parts, ones = learn_tensor((first, second), x), np.ones(len(x))
    names = [label_of(part) for part in term.predictors]
    each, labels = [], []
    for part, bends in zip(parts, BENDING, strict=True):
        own = [name for name, bent in zip(names, bends, strict=True) if bent]
        columns = part.penalised(x, ones)
        size = float(np.sqrt((columns**2).sum() / len(x)))
        each.append(Curve(f"{term.label}[{', '.join(own)}]", term, None, columns.shape[1], size))
        labels.append(f"{term.label}[{':'.join(own)}]")
    return Curves(term, None, tuple(each), tuple(labels), tuple(parts))


def _learn_processes(term: ProcessTerm, by: Variable | None, x: Array, multipliers: list[Array]) -> Curves:
    """A process, or one a level, all on the box about all rows and with one prior of length scales."""
    basis = learn_sines(x, term.k, term.c)
    alpha, beta = _spaced(basis)
    lscale = StructureParameter(
        LSCALE,
        POSITIVE,
        "length scale, in the predictor's units",
        prior=lambda q, positions: ("InverseGamma", {"alpha": alpha, "beta": beta}),
        typical=lambda positions: 0.2 * basis.extent,
    )
    process = Process(SPECTRA[term.cov], basis, lscale)
    each = []
    levels = by.levels if isinstance(by, Levels) else (None,)
    for level, multiplier in zip(levels, multipliers, strict=True):
        label = term.label if level is None else f"{term.label}[{level}]"
        counted = max(int(np.count_nonzero(multiplier)), 1)
        size = float(np.sqrt(np.square(multiplier).sum() / counted))
        each.append(Curve(label, term, level, len(basis.indices), size, process))
    return Curves(term, by, tuple(each), (), (Sines(basis),) * len(each))


def _spaced(basis: SineBasis) -> tuple[float, float]:
    """The inverse gamma with a probability of 1 % below the smallest distance of rows and above the largest.

    As brms has it (Betancourt's advice): what is shorter or longer than that the rows cannot tell.
    """
    from scipy.optimize import brentq
    from scipy.special import gammaincc, gammainccinv

    low, high = basis.gap, basis.extent
    if high / low < 1.5:  # two or three rows
        low = high / 1.5

    def above(log_shape: float) -> float:
        """1 % below `low` gives the scale; how much then lies above `high`, less 1 %."""
        shape = np.exp(log_shape)
        return float(1.0 - gammaincc(shape, gammainccinv(shape, 0.01) * low / high) - 0.01)

    shape = float(np.exp(brentq(above, np.log(1e-2), np.log(1e4))))
    return shape, float(gammainccinv(shape, 0.01) * low)


def _straight_labels(label: str, term: SmoothTerm, smooth: Smooth) -> list[str]:
    """``s(x)`` for the one straight column of a curve; of several each says which it is: ``s(x, z)[x]``."""
    names = [label_of(part) for part in term.predictors] if smooth.basis.straight else []
    if smooth.constant:
        return [f"{label}[1]", *(f"{label}[{name}]" for name in names)]
    return [label] if len(names) == 1 else [f"{label}[{name}]" for name in names]


def _predictors(term: CurveTerm, rows: Rows) -> Array:
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
