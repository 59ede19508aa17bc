"""P-splines (Eilers and Marx 1996, Statistical Science 11): cubic B-splines at even knots, differences penalised."""

import numpy as np

from hierbayes.bases.record import Array, Basis, BasisKind, check_least

_MARGIN = 0.001  # of the range, by which the outer knots lie beyond the data
_DEGREE = 3


def learn(values: Array, k: int, knots: tuple[float, ...] | None) -> Basis:
    """k cubic B-splines whose second differences are penalised; straight lines are free of penalty."""
    check_least(k, _DEGREE + 1, "ps")
    if knots is not None and len(knots) != 2:
        raise ValueError(
            'the knots of bs="ps" are evenly spaced; knots=[low, high] sets where they begin and end'
        )
    low, high = (float(values.min()), float(values.max())) if knots is None else knots
    if not low < high:
        raise ValueError(f"the values reach from {low:g} to {high:g}; a curve needs several")
    if values.min() < low or values.max() > high:
        raise ValueError(f"some values lie outside of the knots, {low:g} to {high:g}")
    margin = _MARGIN * (high - low)
    low, high = low - margin, high + margin
    inside = k - _DEGREE + 1
    step = (high - low) / (inside - 1)
    differences = np.diff(np.eye(k), n=2, axis=0)

    def evaluate(x: Array) -> Array:
        flat = x[:, 0]
        columns = _b_splines((np.clip(flat, low, high) - low) / step, k)
        for end, outside in ((0.0, flat < low), (inside - 1.0, flat > high)):
            if outside.any():  # along the tangent
                beyond = (flat[outside] - low) / step - end
                columns[outside] += np.outer(beyond, _slopes(end, k))
        return columns

    return Basis(evaluate, differences.T @ differences, straight=True)


def _b_splines(u: Array, k: int) -> Array:
    """The k cubic B-splines over k − 3 intervals of length 1 from 0 on: u (n,) → (n, k)."""
    cell = np.clip(np.floor(u).astype(np.int64), 0, k - _DEGREE - 1)
    t = u - cell
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    columns = np.zeros((len(u), k))
    for place, piece in enumerate(pieces):
        columns[np.arange(len(u)), cell + place] = piece / 6
    return columns


def _slopes(end: float, k: int) -> Array:
    """Derivatives of the B-splines at a knot: (k,)."""
    slopes = np.zeros(k)
    first = int(end)
    slopes[first], slopes[first + 2] = -0.5, 0.5
    return slopes


P_SPLINE = BasisKind("ps", "P-spline", learn)
