"""Gaussian elimination given theta: the primary factor's levels, then the dense coefficients (numba).

Symbols are those of docs/engine.md, section 1. Every row of the arrays over levels holds one number of each
level of a batch: inner loops run over levels or over dense columns, and fill vector registers whatever q is.
"""

import numpy as np

from hierbayes.engine.core.hyperparameters import Q
from hierbayes.engine.core.loops import (
    add,
    add_gram,
    add_lower_rows,
    add_product,
    cholesky,
    compiled,
    fill,
    head_dot,
    invert_lower,
    scale_columns,
    scale_rows,
    set_product,
)
from hierbayes.engine.core.problem import Floats, Ints

LARGEST = 1e14  # y'y/σ² of which about two decimals are left
J, A = 0, 1  # of inverses: L_g⁻¹ and L_g⁻¹Λ'
F, R, X, V, W = 0, 1, 2, 3, 4  # of squares: E T, chol(S), R⁻¹, S⁻¹, T S⁻¹ T'
HALF, MODE, EFFECT = 0, 1, 2  # of vectors: R⁻¹ rhs; v̂; -T v̂, then 1 for y
PRECISION, MEAN = 0, 1  # of prior
COLUMN, LEVELS, START = 2, 3, 4  # of a factor's row: first dense column, number of levels, start in a draw
FIRST, END, COLUMNS, WIDTH = (
    0,
    1,
    2,
    3,
)  # of a column_set's row: its batches, start in columns, number of columns


@compiled
def inverse_variance(sigma: float, gram: Floats) -> float:
    """Return 1/σ², at most `LARGEST` / y'y.

    The quadratic form is a difference of numbers as large as y'y/σ². Beyond that limit rounding alone would make the
    density of a tiny σ large, and a chain that came there would stay.
    """
    is2, y = 1.0 / (sigma * sigma), gram.shape[0] - 1
    return LARGEST / gram[y, y] if is2 * gram[y, y] > LARGEST else is2


@compiled
def settled(sigma: float, is2: float, sigma_score: float) -> float:
    """Return the score in log σ: where 1/σ² is at its limit 0, or NaN if the likelihood there still changes with σ.

    As σ goes to 0 it settles where the effects can explain all of y, as those of a process over time can.
    """
    if is2 * sigma * sigma > 0.999:
        return sigma_score
    return 0.0 if abs(sigma_score) < 1.0 else np.nan


@compiled
def eliminate_levels(
    is2: float,
    q: int,
    lam: Floats,
    column_sets: Ints,
    columns: Ints,
    starts: Ints,
    ZZ: Floats,
    ZA: Floats,
    gram: Floats,
    inverses: Floats,
    tiles: Floats,
    H: Floats,
    flat_H: Floats,
    column_set: Floats,
    E: Floats,
) -> float:
    """Set E = [D y]'[D y] - Σ H_g'H_g/σ² with y as the last column; return Σ log|L_g|. is2 is 1/σ²."""
    for i in range(E.shape[0]):
        for j in range(E.shape[0]):
            E[i, j] = gram[i, j]
    half_log_det = 0.0
    for k in range(column_sets.shape[0]):
        width = column_sets[k, WIDTH]
        for i in range(width):
            fill(column_set[i], 0.0)
        for batch in range(column_sets[k, FIRST], column_sets[k, END]):
            z = batch * q * q
            information(is2, q, lam, ZZ, z, tiles[0], tiles[1])
            half_log_det += factor_levels(q, tiles[1], inverses[J], z)
            times_transpose(q, lam, inverses[J], inverses[A], z)
            _project(q, width, inverses[A], z, ZA, starts[batch], H)
            add_gram(flat_H, width, column_set)
        for i in range(width):
            row = columns[column_sets[k, COLUMNS] + i]
            for j in range(i + 1):
                E[row, columns[column_sets[k, COLUMNS] + j]] -= is2 * column_set[i, j]
    for i in range(E.shape[0]):
        for j in range(i):
            E[j, i] = E[i, j]
    return half_log_det


@compiled
def information(is2: float, q: int, lam: Floats, ZZ: Floats, z: int, ZL: Floats, M: Floats) -> None:
    """Set the lower triangle of M to I + Λ'Z_g'Z_gΛ/σ² of a batch's levels, whose rows in ZZ start at z."""
    for b in range(q):
        for c in range(q):
            fill(ZL[c], 0.0)
            for d in range(b, q):
                if lam[d, b] != 0.0:
                    add(ZL[c], is2 * lam[d, b], ZZ[z + c * q + d])
        for a in range(b, q):
            fill(M[a * q + b], 1.0 if a == b else 0.0)
            for c in range(a, q):
                if lam[c, a] != 0.0:
                    add(M[a * q + b], lam[c, a], ZL[c])


@compiled
def factor_levels(q: int, M: Floats, inverse: Floats, z: int) -> float:
    """Factor each level's M = L L' in place and set inverse = L⁻¹; return Σ log|L|."""
    total, product = 0.0, 1.0
    for j in range(q):
        pivot, reciprocal = M[j * q + j], inverse[z + j * q + j]
        for k in range(j):
            add_product(pivot, -1.0, M[j * q + k], M[j * q + k])
        for i in range(pivot.size):
            pivot[i] = np.sqrt(pivot[i])
            reciprocal[i] = 1.0 / pivot[i]
        for i in range(pivot.size):  # pivots are >= 1: multiply, and take a logarithm only now and then
            product *= pivot[i]
            if not product < 1e100:
                total += np.log(product)
                product = 1.0
        for a in range(j + 1, q):
            row = M[a * q + j]
            for k in range(j):
                add_product(row, -1.0, M[a * q + k], M[j * q + k])
            for i in range(row.size):
                row[i] *= reciprocal[i]
        for column in range(j):
            row = inverse[z + j * q + column]
            fill(row, 0.0)
            for k in range(column, j):
                add_product(row, -1.0, M[j * q + k], inverse[z + k * q + column])
            for i in range(row.size):
                row[i] *= reciprocal[i]
    return total + np.log(product)


@compiled
def times_transpose(q: int, lam: Floats, inverse: Floats, scaled: Floats, z: int) -> None:
    """Set scaled = L⁻¹Λ' for each level."""
    for a in range(q):
        for c in range(q):
            fill(scaled[z + a * q + c], 0.0)
            for b in range(min(a, c) + 1):
                if lam[c, b] != 0.0:
                    add(scaled[z + a * q + c], lam[c, b], inverse[z + a * q + b])


@compiled
def _project(q: int, width: int, scaled: Floats, z: int, ZA: Floats, start: int, H: Floats) -> None:
    """Set H (columns, q, L) to L_g⁻¹Λ'Z_g'[D y]."""
    for j in range(width):
        for a in range(q):
            set_product(H[j, a], scaled[z + a * q], ZA[start + j])
            for c in range(1, q):
                add_product(H[j, a], 1.0, scaled[z + a * q + c], ZA[start + c * width + j])


@compiled
def solve_dense(
    is2: float, factors: Ints, lams: Floats, prior: Floats, E: Floats, squares: Floats, vectors: Floats
) -> tuple[float, float]:
    """Eliminate the dense coefficients: fill E T, R, R⁻¹, HALF and MODE.

    Returns ½ log|S| (NaN if S is not positive definite) and ε/σ² - rhs'v̂ + μ'Pμ.
    """
    m = prior.shape[1]
    half, mode = vectors[HALF], vectors[MODE]
    _scale_dense(is2, factors, lams, E, squares, vectors[HALF : HALF + 1])
    quad = float(is2 * E[m, m])
    for i in range(m):
        squares[R, i, i] += prior[PRECISION, i]
        pull = prior[PRECISION, i] * prior[MEAN, i]
        half[i] += pull
        quad += pull * prior[MEAN, i]
    half_log_det = cholesky(squares[R])
    invert_lower(squares[R], squares[X])
    for i in range(m - 1, -1, -1):  # from the last row up, in place
        half[i] = head_dot(squares[X, i], half, i + 1)
        quad -= half[i] * half[i]
    fill(mode, 0.0)
    add_lower_rows(mode, m, half[:m], squares[X], 0)
    return half_log_det, quad


@compiled
def _scale_dense(is2: float, factors: Ints, lams: Floats, E: Floats, squares: Floats, half: Floats) -> None:
    """Set F = E T, R to S without its prior, T'E T/σ², and half (a row) to T'e/σ²."""
    m = squares.shape[1]
    for i in range(m):
        half[0, i] = is2 * E[m, i]
        for j in range(m):
            squares[F, i, j] = E[i, j]
    for k in range(factors.shape[0]):
        start, levels, q = factors[k, COLUMN], factors[k, LEVELS], factors[k, Q]
        if start >= 0:
            scale_columns(half, start, levels, q, lams[k])
            scale_columns(squares[F], start, levels, q, lams[k])
    for i in range(m):
        for j in range(m):
            squares[R, i, j] = is2 * squares[F, i, j]
    for k in range(factors.shape[0]):
        if factors[k, COLUMN] >= 0:
            scale_rows(squares[R], factors[k, COLUMN], factors[k, LEVELS], factors[k, Q], lams[k])
