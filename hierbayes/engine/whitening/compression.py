"""Rows that say the same are one row: exact, and automatic where it pays (docs/engine.md)."""

import numpy as np
from numpy.typing import NDArray

from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.whitening.problem import Problem

WORTH = 0.8  # of the rows at most must be left
MIXERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93))


def compress(problem: Problem) -> Problem:
    """Merge rows with the same predictors, offset and levels.

    Where the log density is linear in the response (counts of a Poisson, successes and trials) the merged row holds
    means, weighted, and the sum of the weights; otherwise only rows with the same response are merged.
    """
    merged = merge(problem)
    if merged is None:
        return problem
    first, cell = merged
    weights = np.bincount(cell, problem.weights)
    if not problem.summed:
        return problem.merged(first, problem.y[first], problem.trials[first], weights)
    size = np.where(weights > 0, weights, 1.0)
    y = np.column_stack([np.bincount(cell, problem.weights * column) / size for column in problem.y.T])
    trials = np.bincount(cell, problem.weights * problem.trials) / size
    return problem.merged(first, y, trials, weights)


def cells(problem: Problem) -> int:
    """How many rows are left."""
    merged = merge(problem)
    return len(problem.y) if merged is None else len(merged[0])


def merge(problem: Problem) -> tuple[Ints, Ints] | None:
    """A row of each cell, and the cell of each row; None where it does not pay."""
    columns = problem.columns()
    if not problem.summed:
        columns += [*problem.y.T, problem.trials]
    key = _keys(columns, len(problem.y))
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    if len(first) > WORTH * len(key):
        return None
    if any(np.any(column != column[first][cell]) for column in columns):  # two cells with one key
        table = np.column_stack(columns)
        _, first, cell = np.unique(table, axis=0, return_index=True, return_inverse=True)
        if len(first) > WORTH * len(key):
            return None
    return first, cell.reshape(-1)


def _keys(columns: list[Floats | Ints], n: int) -> NDArray[np.uint64]:
    """A number for each row, the same for the same numbers and hardly ever for others."""
    key = np.zeros(n, np.uint64)
    for column in columns:
        bits = (np.asarray(column, np.float64) + 0.0).view(np.uint64)  # -0.0 becomes 0.0
        key = (key ^ bits) * MIXERS[0]
        key ^= key >> np.uint64(29)
        key *= MIXERS[1]
        key ^= key >> np.uint64(32)
    return key
