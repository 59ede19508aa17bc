"""Cubic regression splines by their values at the knots, natural and cyclic, with the integrated squared curvature."""

from collections.abc import Callable

import numpy as np

from hierbayes.bases.record import Array, Basis, BasisKind, check_distinct, check_least


def natural_spline(knots: Array, values: Array) -> Callable[[Array], Array]:
    """Natural cubic splines through values (m, k) at m knots, straight outside: x (n,) → (n, k)."""
    bends = np.zeros_like(values)
    bends[1:-1] = _second_derivatives(knots, values)
    steps = np.diff(values[[0, 1, -2, -1]], axis=0) / np.array(
        [[knots[1] - knots[0]], [1.0], [knots[-1] - knots[-2]]]
    )
    slopes = (
        steps[0] - bends[1] * (knots[1] - knots[0]) / 6,
        steps[2] + bends[-2] * (knots[-1] - knots[-2]) / 6,
    )

    def evaluate(x: Array) -> Array:
        columns = _between(knots, values, bends, np.clip(x, knots[0], knots[-1]))
        for end, slope, outside in (
            (knots[0], slopes[0], x < knots[0]),
            (knots[-1], slopes[1], x > knots[-1]),
        ):
            if outside.any():
                columns[outside] += np.outer(x[outside] - end, slope)
        return columns

    return evaluate


def _second_derivatives(knots: Array, values: Array) -> Array:
    """Those of natural splines at the inner knots, (m − 2, k): the tridiagonal system, solved from the first row on."""
    h = np.diff(knots)
    slopes = np.diff(values, axis=0) / h[:, None]
    right = np.diff(slopes, axis=0)
    diagonal, beside = (h[:-1] + h[1:]) / 3, h[1:-1] / 6
    for i in range(1, len(right)):
        share = beside[i - 1] / diagonal[i - 1]
        diagonal[i] -= share * beside[i - 1]
        right[i] -= share * right[i - 1]
    for i in range(len(right) - 1, -1, -1):
        if i + 1 < len(right):
            right[i] -= beside[i] * right[i + 1]
        right[i] /= diagonal[i]
    return right


def _between(knots: Array, values: Array, bends: Array, x: Array) -> Array:
    """Cubic splines between their knots, by their values and second derivatives there (m, k) each: (n, k)."""
    after = np.clip(np.searchsorted(knots, x, side="right"), 1, len(knots) - 1)
    before = after - 1
    h = knots[after] - knots[before]
    a, b = (knots[after] - x) / h, (x - knots[before]) / h
    columns: Array = a[:, None] * values[before] + b[:, None] * values[after]
    columns += ((a**3 - a) * h**2 / 6)[:, None] * bends[before]
    columns += ((b**3 - b) * h**2 / 6)[:, None] * bends[after]
    return columns


def _placed(values: Array, k: int, knots: tuple[float, ...] | None) -> Array:
    """k knots at quantiles of the distinct values, or those given."""
    if knots is not None:
        given = np.array(knots, dtype=np.float64)
        if len(given) != k:
            raise ValueError(f"k={k} needs {k} knots, and knots= has {len(given)}")
        if (np.diff(given) <= 0).any():
            raise ValueError("the knots must ascend")
        return given
    check_distinct(values, k)
    return np.quantile(np.unique(values), np.linspace(0.0, 1.0, k))


def learn_natural(values: Array, k: int, knots: tuple[float, ...] | None) -> Basis:
    """A natural cubic spline with k knots; straight lines are free of penalty."""
    check_least(k, 3, "cr")
    at = _placed(values, k, knots)
    spline = natural_spline(at, np.eye(k))
    h = np.diff(at)
    second = np.zeros((k - 2, k))  # values at the knots → divided second differences
    gram = np.zeros((k - 2, k - 2))
    for i in range(k - 2):
        second[i, i : i + 3] = 1 / h[i], -1 / h[i] - 1 / h[i + 1], 1 / h[i + 1]
        gram[i, i] = (h[i] + h[i + 1]) / 3
        if i:
            gram[i, i - 1] = gram[i - 1, i] = h[i] / 6
    return Basis(lambda x: spline(x[:, 0]), second.T @ np.linalg.solve(gram, second), straight=True)


def learn_cyclic(values: Array, k: int, knots: tuple[float, ...] | None) -> Basis:
    """A periodic cubic spline with k knots of which the first and the last are one place; two knots are its period."""
    check_least(k, 4, "cc")
    at = _periodic(values[:, 0], k, knots)
    low, period = float(at[0]), float(at[-1] - at[0])
    h, m = np.diff(at), k - 1
    second, gram = np.zeros((m, m)), np.zeros((m, m))
    for i in range(m):
        before, after = h[i - 1], h[i]
        second[i, i - 1] += 1 / before
        second[i, i] -= 1 / before + 1 / after
        second[i, (i + 1) % m] += 1 / after
        gram[i, i - 1] += before / 6
        gram[i, i] += (before + after) / 3
        gram[i, (i + 1) % m] += after / 6
    bends = np.linalg.solve(gram, second)
    around = np.append(np.arange(m), 0)  # the last knot is the first
    values, curved = np.eye(m)[around], bends[around]
    return Basis(
        lambda x: _between(at, values, curved, low + np.mod(x[:, 0] - low, period)),
        second.T @ bends,
        straight=False,
    )


def _periodic(values: Array, k: int, knots: tuple[float, ...] | None) -> Array:
    if knots is None or len(knots) != 2:
        return _placed(values[:, None], k, knots)
    low, high = knots
    if not low < high:
        raise ValueError(f"the period begins at {low:g} and ends at {high:g}; knots=[begin, end]")
    if values.min() < low or values.max() > high:
        raise ValueError(f"some values lie outside of the period, {low:g} to {high:g}")
    check_distinct(values[:, None], k - 1)
    within = np.unique(values[(values > low) & (values < high)])
    return np.quantile(np.concatenate([[low], within, [high]]), np.linspace(0.0, 1.0, k))


NATURAL = BasisKind("cr", "cubic regression spline", learn_natural)
CYCLIC = BasisKind("cc", "cyclic cubic regression spline", learn_cyclic)
