"""Contrasts: from k levels to the columns that tell them apart, beside an intercept or without one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from hierbayes.transforms.record import Argument, Array, Categories


@dataclass(frozen=True)
class Coding:
    """What the levels of a factor become.

    Attributes
    ----------
    matrix : ndarray, (levels, columns)
    labels : tuple of str
        What stands in the brackets of a column's name.
    """

    matrix: Array
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Contrast:
    """A way of coding levels.

    Attributes
    ----------
    name : str
        What formulas call it.
    beside : callable
        Levels and argument → the k − 1 columns (fewer for some matrices) beside an intercept.
    alone : callable
        Levels and argument → the k columns without one.
    argument : str or None
        The name of its argument.
    kind : str
        The kind of that, one of `KINDS`.
    """

    name: str
    beside: Callable[[Sequence[Any], Any], Coding]
    alone: Callable[[Sequence[Any], Any], Coding]
    argument: str | None = None
    kind: str = "level"


@dataclass(frozen=True)
class ChosenContrast:
    """A contrast with its argument, as a formula has it."""

    name: str = "Treatment"
    argument: Any = None

    def code(self, levels: Sequence[Any], alone: bool) -> Coding:
        """The coding of levels in their order.

        Raises
        ------
        ValueError
            Where the argument doesn't go with these levels.

        Examples
        --------
        >>> ChosenContrast("Sum").code(["a", "b", "c"], alone=False).matrix.tolist()
        [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]
        """
        contrast = CONTRASTS[self.name]
        return (contrast.alone if alone else contrast.beside)(levels, self.argument)


def _place(level: Any, levels: Sequence[Any]) -> int:
    if level not in levels:
        raise ValueError(f"{level!r} is none of its levels, {', '.join(map(repr, levels[:20]))}")
    return list(levels).index(level)


def _texts(levels: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, levels))


def indicators(levels: Sequence[Any], argument: Any = None) -> Coding:
    """A column for each level, 1 in its rows."""
    return Coding(np.eye(len(levels)), _texts(levels))


def _treatment(levels: Sequence[Any], reference: Any) -> Coding:
    place = 0 if reference is None else _place(reference, levels)
    kept = [j for j in range(len(levels)) if j != place]
    return Coding(np.eye(len(levels))[:, kept], _texts([levels[j] for j in kept]))


def _sum(levels: Sequence[Any], omit: Any) -> Coding:
    """Each level against the mean of all; the omitted one is minus the sum of the others."""
    place = len(levels) - 1 if omit is None else _place(omit, levels)
    kept = [j for j in range(len(levels)) if j != place]
    matrix = np.eye(len(levels))[:, kept]
    matrix[place] = -1.0
    return Coding(matrix, _texts([levels[j] for j in kept]))


def _sum_and_mean(levels: Sequence[Any], omit: Any) -> Coding:
    rest = _sum(levels, omit)
    return Coding(np.column_stack([np.ones(len(levels)), rest.matrix]), ("mean", *rest.labels))


def _helmert(levels: Sequence[Any], argument: Any) -> Coding:
    """Each level but the first against the mean of those before it; R's ``contr.helmert``."""
    k = len(levels)
    matrix = np.zeros((k, k - 1))
    for j in range(k - 1):
        matrix[: j + 1, j] = -1.0
        matrix[j + 1, j] = j + 1.0
    return Coding(matrix, _texts(levels[1:]))


def _polynomial(levels: Sequence[Any], scores: tuple[float, ...] | None) -> Coding:
    """Orthonormal polynomials in the levels' scores, 1, 2, … unless they are given; R's ``contr.poly``."""
    k = len(levels)
    values = np.arange(1.0, k + 1) if scores is None else np.array(scores, dtype=np.float64)
    if len(values) != k or len(np.unique(values)) < k:
        raise ValueError(f"Poly() takes as many different scores as there are levels, {k}")
    powers = np.vander(values - values.mean(), k, increasing=True)
    q, r = np.linalg.qr(powers)
    matrix = q[:, 1:] * np.sign(np.diagonal(r)[1:])
    return Coding(matrix, tuple([".L", ".Q", ".C"][j] if j < 3 else f"^{j + 1}" for j in range(k - 1)))


def _matrix(levels: Sequence[Any], rows: tuple[tuple[float, ...], ...]) -> Coding:
    """The user's own: a row for each level in order, a column for each contrast."""
    matrix = np.array(rows, dtype=np.float64)
    if len(matrix) != len(levels):
        shown = ", ".join(map(repr, levels[:20]))
        raise ValueError(f"the matrix has {len(matrix)} rows and there are {len(levels)} levels: {shown}")
    columns = matrix.shape[1]
    if np.linalg.matrix_rank(np.column_stack([np.ones(len(levels)), matrix])) < columns + 1:
        raise ValueError("the columns of the matrix and the intercept determine each other")
    return Coding(matrix, tuple(str(j + 1) for j in range(columns)))


CONTRASTS: Mapping[str, Contrast] = MappingProxyType(
    {
        contrast.name: contrast
        for contrast in (
            Contrast("Treatment", _treatment, indicators, "reference"),
            Contrast("Sum", _sum, _sum_and_mean, "omit"),
            Contrast("Helmert", _helmert, indicators),
            Contrast("Poly", _polynomial, indicators, "scores", "numbers"),
            Contrast("matrix", _matrix, indicators, "rows", "matrix"),
        )
    }
)
# those that a formula names; a matrix is written out
NAMED_CONTRASTS = frozenset(CONTRASTS) - {"matrix"}

_CODED = MappingProxyType({"contrast": Argument("contrast"), "levels": Argument("levels")})
CATEGORIES: Mapping[str, Categories] = MappingProxyType(
    {
        record.name: record
        for record in (
            Categories("C", _CODED),
            Categories("factor", _CODED),
            Categories("T", {"ref": Argument("level"), "levels": Argument("levels")}, "Treatment"),
            Categories("S", {"omit": Argument("level"), "levels": Argument("levels")}, "Sum"),
        )
    }
)
