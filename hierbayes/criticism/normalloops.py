"""Loops over rows whose response is normal with one scale: draws side by side, a row at a time (numba)."""

import numpy as np

from hierbayes.engine.gaussian.lanes import add, compiled, fill
from hierbayes.engine.gaussian.problem import Floats, Ints


@compiled
def log_densities(
    y: Floats, weights: Floats, constants: Floats, places: Ints, coefficients: Floats, table: Floats,
    logs: Floats, precision: Floats, out: Floats,
) -> None:  # fmt: skip
    """Set out (k, S) to weight · (logs − ½ precision (y − η)²) + constant; η is each row's sum over the table.

    Parameters
    ----------
    y, weights, constants : (k,)
        y without the offset.
    places, coefficients : (k, J)
        Which rows of the table each row's predictor is the sum of, and how often.
    table : (T, S)
    logs, precision : (S,)
        ½ log(precision / 2π), and 1 / σ².
    """
    for i in range(y.size):
        if weights[i] == 0.0:
            fill(out[i], 0.0)
            continue
        residual(y[i], places[i], coefficients[i], table, out[i])
        for draw in range(logs.size):
            e = out[i, draw]
            value = weights[i] * (logs[draw] - 0.5 * precision[draw] * e * e) + constants[i]
            out[i, draw] = value if value == value else -np.inf


@compiled
def residual(y: float, places: Ints, coefficients: Floats, table: Floats, out: Floats) -> None:
    """Set out to y less a sum over the table; a negative place is left out."""
    fill(out, y)
    for j in range(places.size):
        if places[j] >= 0 and coefficients[j] != 0.0:
            add(out, -coefficients[j], table[places[j]])
