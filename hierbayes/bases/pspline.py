"""P-splines (Eilers and Marx 1996, Statistical Science 11): cubic B-splines at even knots, differences penalised."""

import numpy as np

from hierbayes.bases.record import Array, Basis, BasisKind, check_least

_MARGIN = 0.001  # of the range, by which the outer knots lie beyond the data
_DEGREE = 3


def learn(values: Array, k: int, knots: tuple[float, ...] | None) -> Basis:
    """k cubic B-splines whose second differences are penalised; straight lines are free of penalty."""
    from scipy.interpolate import BSpline

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
    at = np.linspace(low - _DEGREE * step, high + _DEGREE * step, inside + 2 * _DEGREE)
    spline = BSpline(at, np.eye(k), _DEGREE)
    differences = np.diff(np.eye(k), n=2, axis=0)

    def evaluate(x: Array) -> Array:
        flat = x[:, 0]
        columns: Array = spline(np.clip(flat, low, high))
        for end, outside in ((low, flat < low), (high, flat > high)):
            if outside.any():
                columns[outside] += np.outer(flat[outside] - end, spline(end, nu=1))
        return columns

    return Basis(evaluate, differences.T @ differences, straight=True)


P_SPLINE = BasisKind("ps", "P-spline", learn)
