"""Loops of the nested kernel: from patterns to cells to their parents' matrices, and back (numba)."""

import numpy as np

from hierbayes.engine.core.loops import add_product, compiled, fill
from hierbayes.engine.core.problem import Floats, Ints


@compiled
def weighted_log(weights: Floats, row: Floats) -> float:
    """Return the weighted sum of the logarithms of numbers of at most 1; those of weight 1 are multiplied first."""
    total, product = 0.0, 1.0
    for i in range(row.size):
        if weights[i] == 1.0:
            product *= row[i]
            if product < 1e-100:
                total += np.log(product)
                product = 1.0
        elif weights[i] > 0.0:
            total += weights[i] * np.log(row[i])
    return total + np.log(product)


@compiled
def to_cells(patterns: Ints, flat: Floats, spread: Floats) -> None:
    """Give each cell the numbers of its pattern."""
    for pair in range(flat.shape[0]):
        for i in range(patterns.shape[0]):
            row = spread[pair * patterns.shape[0] + i]
            for column in range(row.size):
                row[column] = flat[pair, patterns[i, column]]


@compiled
def from_cells(patterns: Ints, spread: Floats, flat: Floats) -> None:
    """Sum the cells' numbers for each pattern."""
    for pair in range(flat.shape[0]):
        fill(flat[pair], 0.0)
        for i in range(patterns.shape[0]):
            row = spread[pair * patterns.shape[0] + i]
            for column in range(row.size):
                flat[pair, patterns[i, column]] += row[column]


@compiled
def sum_columns(products: Floats, spread: Floats, sums: Floats) -> None:
    """Set each column's sums to its products weighted with spread, for each entry."""
    height = spread.shape[0]
    for entry in range(sums.shape[0]):
        out, at, i = sums[entry], entry * height, 0
        fill(out, 0.0)
        while i + 3 < height:
            s0, s1, s2, s3 = spread[i], spread[i + 1], spread[i + 2], spread[i + 3]
            p0, p1, p2, p3 = (
                products[at + i],
                products[at + i + 1],
                products[at + i + 2],
                products[at + i + 3],
            )
            for j in range(out.size):
                out[j] += s0[j] * p0[j] + s1[j] * p1[j] + s2[j] * p2[j] + s3[j] * p3[j]
            i += 4
        while i < height:
            add_product(out, 1.0, spread[i], products[at + i])
            i += 1


@compiled
def score_columns(products: Floats, sums: Floats, spread: Floats) -> None:
    """Set spread to the products weighted with sums: the transpose of `sum_columns`."""
    height = spread.shape[0]
    for i in range(height):
        out = spread[i]
        fill(out, 0.0)
        for entry in range(0, sums.shape[0], 4):
            at = entry * height + i
            s0, s1, s2, s3 = sums[entry], sums[entry + 1], sums[entry + 2], sums[entry + 3]
            p0, p1, p2, p3 = (
                products[at],
                products[at + height],
                products[at + 2 * height],
                products[at + 3 * height],
            )
            for j in range(out.size):
                out[j] += s0[j] * p0[j] + s1[j] * p1[j] + s2[j] * p2[j] + s3[j] * p3[j]


@compiled
def add_to_parents(
    rows: Ints, lanes: Ints, entry: int, times: float, values: Floats, information: Floats
) -> None:
    """Add times values to one entry of the parents' matrices, which begin at ``rows`` in ``lanes``."""
    for i in range(values.size):
        information[rows[i] + entry, lanes[i]] += times * values[i]


@compiled
def take_from_parents(
    rows: Ints, lanes: Ints, entry: int, times: float, scores: Floats, values: Floats
) -> None:
    """Set values to times one entry of the parents' scores: the transpose of `add_to_parents`."""
    for i in range(values.size):
        values[i] = times * scores[rows[i] + entry, lanes[i]]


@compiled
def triangle(i: int, j: int) -> int:
    """Return the place of an entry in a lower triangle by rows."""
    return i * (i + 1) // 2 + j if i >= j else j * (j + 1) // 2 + i
