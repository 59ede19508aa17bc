"""Coefficients that are shares of another: the steps of a monotonic effect (numba).

A predictor may have columns whose coefficients are c (m ζ_i − 1), i = 1, …, m: c is a combination of its
population-level coefficients, and ζ a simplex. Groups' effects r may be such a c too: they *climb*, with columns of
their own and the same ζ. The simplex is broken off a stick: ζ_1 = v_1, ζ_2 = (1 − v_1) v_2, …,
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
# of a column: ζ_i, the stick's length before it, its coefficient and the score of that; m ζ_i − 1 and, by groups'
# effects, the score of that
SHARE, LEFT, COEFFICIENT, SCORE, UNIT, UNIT_SCORE = range(6)
# in the row of an effect that climbs: its steps, membership, column of Z, place among its level's effects, first column
STEPS, MEMBERSHIP, COLUMN, PLACE, FIRST_CLIMBED = range(5)
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
            steps[UNIT, first + i] = count * left * broken - 1.0
            steps[COEFFICIENT, first + i] = size * steps[UNIT, first + i]
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
            moved += steps[SCORE, i] * steps[UNIT, i]
        add(b_score, moved, combinations[k, : b.size])
        last = first + count - 1
        # the score of a unit of the stick behind a break
        beyond = count * (size * steps[SCORE, last] + steps[UNIT_SCORE, last])
        for i in range(count - 2, -1, -1):
            at, broken = table[k, FIRST_OWN] + i, own[VALUE, table[k, FIRST_OWN] + i]
            here = count * (size * steps[SCORE, first + i] + steps[UNIT_SCORE, first + i])
            own[OWN_SCORE, at] = steps[LEFT, first + i] * (here - beyond)
            beyond = broken * here + (1.0 - broken) * beyond


@compiled
def add_climbs(
    units: Floats, columns: Floats, start: int, codes: Ints, q: int, at: int, r: Floats, eta: Floats
) -> None:
    """Add an effect that climbs, r at `at` + q · codes, to some rows' linear predictors; columns (m, n)."""
    for s in range(units.size):
        for i in range(eta.size):
            eta[i] += units[s] * columns[s, start + i] * r[at + codes[i] * q]


@compiled
def score_climbs(
    units: Floats, columns: Floats, start: int, codes: Ints, q: int, at: int, r: Floats, score: Floats,
    r_score: Floats, unit_score: Floats,
) -> None:  # fmt: skip
    """Add to the scores of the effects and of the units: the reverse sweep of `add_climbs`."""
    for s in range(units.size):
        for i in range(score.size):
            each = columns[s, start + i] * score[i]
            r_score[at + codes[i] * q] += units[s] * each
            unit_score[s] += each * r[at + codes[i] * q]


def climbed_columns(Z: Floats, climbs: Ints, table: Ints, steps: Floats, climbing: Floats) -> Floats:
    """What the linear predictors rise by per unit of each group effect, the shares known: as Z."""
    if not len(climbs):
        return Z
    found = Z.copy()
    for row in climbs:
        _, _, first, count = table[row[STEPS]]
        own = climbing[row[FIRST_CLIMBED] : row[FIRST_CLIMBED] + count]
        found[row[COLUMN]] += steps[UNIT, first : first + count] @ own
    return found


def effective_columns(X: Floats, table: Ints, combinations: Floats, steps: Floats, stairs: Floats) -> Floats:
    """What the linear predictors rise by per unit of each coefficient, the shares known: (P, n)."""
    if not len(table):
        return X
    found = X.copy()
    for k, (_, _, first, count) in enumerate(table):
        columns = slice(first, first + count)
        rise = steps[UNIT, columns] @ stairs[columns]
        found += np.outer(combinations[k, : len(X)], rise)
    return found
