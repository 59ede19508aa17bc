"""The loops of predictions and of their tables, draws side by side (numba)."""

import numpy as np

from hierbayes.engine.core.loops import add, compiled
from hierbayes.engine.core.problem import Floats, Ints


@compiled
def add_effects(codes: Ints, z: Floats, r: Floats, out: Floats) -> None:
    """Add z · r[level] of each row in every draw.

    Parameters
    ----------
    codes, z : (n,), (n, q)
        Level numbers and effect columns.
    r : (L, q, S)
    out : (n, S)
    """
    for i in range(codes.size):
        effects = r[codes[i]]
        for effect in range(z.shape[1]):
            add(out[i], z[i, effect], effects[effect])


@compiled
def set_moments(values: Floats, means: Floats, sds: Floats) -> None:
    """Set mean and standard deviation of each row of values (k, S); a single draw has no sd."""
    for row in range(values.shape[0]):
        total = 0.0
        for draw in range(values.shape[1]):
            total += values[row, draw]
        mean = total / values.shape[1]
        squares = 0.0
        for draw in range(values.shape[1]):
            squares += (values[row, draw] - mean) * (values[row, draw] - mean)
        means[row] = mean
        sds[row] = np.sqrt(squares / (values.shape[1] - 1.0))
