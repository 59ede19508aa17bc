"""Coefficients that are shares of another: the steps of a monotonic effect (numba).

A predictor may have columns whose coefficients are c (m ζ_i − 1), i = 1, …, m: c is a combination of its
population-level coefficients, and ζ a simplex. The simplex is broken off a stick: ζ_1 = v_1, ζ_2 = (1 − v_1) v_2, …,
the last what is left. Under a Dirichlet prior the v_i are independent with Beta priors, so they are m − 1 of the
model's own numbers.
"""

import numpy as np

from hierbayes.engine.core.loops import add, compiled, dot
from hierbayes.engine.core.problem import Floats, Ints

PREDICTOR, FIRST_OWN, FIRST, COUNT = (
    0,
    1,
    2,
    3,
)  # in a row of the table: predictor, own number of v_1, column, m
SHARE, LEFT, COEFFICIENT, SCORE = (
    0,
    1,
    2,
    3,
)  # of a column: ζ_i, the stick's length before it, coefficient, score
VALUE, OWN_SCORE = 0, 3  # of an own number, see rows


@compiled
def place_steps(table: Ints, combinations: Floats, b: Floats, own: Floats, steps: Floats) -> None:
    """Set shares and coefficients of all columns from the population-level coefficients and the own numbers."""
    for k in range(table.shape[0]):
        first, count = table[k, FIRST], table[k, COUNT]
        size = combinations[k, b.size] + dot(combinations[k, : b.size], b)
        left = 1.0
        for i in range(count):
            broken = own[VALUE, table[k, FIRST_OWN] + i] if i < count - 1 else 1.0
            steps[LEFT, first + i] = left
            steps[SHARE, first + i] = left * broken
            steps[COEFFICIENT, first + i] = size * (count * left * broken - 1.0)
            left *= 1.0 - broken


@compiled
def score_steps(
    table: Ints, combinations: Floats, b: Floats, own: Floats, steps: Floats, b_score: Floats
) -> None:
    """Add to the scores of b and set those of the own numbers: the reverse sweep of `place_steps`."""
    for k in range(table.shape[0]):
        first, count = table[k, FIRST], table[k, COUNT]
        size = combinations[k, b.size] + dot(combinations[k, : b.size], b)
        moved = 0.0
        for i in range(first, first + count):
            moved += steps[SCORE, i] * (count * steps[SHARE, i] - 1.0)
        add(b_score, moved, combinations[k, : b.size])
        beyond = (
            size * count * steps[SCORE, first + count - 1]
        )  # the score of a unit of the stick behind a break
        for i in range(count - 2, -1, -1):
            at, broken = table[k, FIRST_OWN] + i, own[VALUE, table[k, FIRST_OWN] + i]
            here = size * count * steps[SCORE, first + i]
            own[OWN_SCORE, at] = steps[LEFT, first + i] * (here - beyond)
            beyond = broken * here + (1.0 - broken) * beyond


def effective_columns(X: Floats, table: Ints, combinations: Floats, steps: Floats, stairs: Floats) -> Floats:
    """What the linear predictors rise by per unit of each coefficient, the shares known: (P, n)."""
    if not len(table):
        return X
    found = X.copy()
    for k, (_, _, first, count) in enumerate(table):
        columns = slice(first, first + count)
        rise = (count * steps[SHARE, columns] - 1.0) @ stairs[columns]
        found += np.outer(combinations[k, : len(X)], rise)
    return found
