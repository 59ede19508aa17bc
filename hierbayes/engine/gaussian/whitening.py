"""The map between sampled coordinates and the group effects that are not integrated out, and its gradient (numba).

Symbols are those of docs/engine.md, section 2. Factors come by falling number of levels; each level is mapped
given the levels of *later* factors, so the map runs from the last factor to the first and its gradient back.
"""

from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints

FACTOR, Q, LEVELS, FIRST, START = 0, 1, 2, 3, 4  # columns of a sampled factor's row
U, R, C, HALF, Z = 0, 1, 2, 3, 4  # rows of mapped: u, r = Λu, c, L⁻¹Λ'c/σ², z
WL, INNER, OUTER = 0, 1, 2  # of squares: WΛ, Y and L⁻ᵀY, L⁻ᵀYL⁻¹
SCORE, SOLVED = 0, 1  # of halves: L⁻¹ ∂/∂u, L⁻ᵀL⁻¹ ∂/∂u


class SparseRows(NamedTuple):
    """A sparse matrix by rows."""

    starts: Ints  # (rows + 1,)
    columns: Ints  # (non-zeros,)
    values: Floats  # (non-zeros,)


Entries = tuple[Ints, Ints, Floats]


def sparse(n_rows: int, parts: list[Entries]) -> SparseRows:
    """Return a sparse matrix of entries (rows, columns, values); zeros are left out."""
    row, column, value = (
        np.concatenate([np.zeros(0, kind), *(np.ravel(part[i]) for part in parts)])
        for i, kind in enumerate((np.int64, np.int64, np.float64))
    )
    order = np.lexsort((column, row))
    order = order[value[order] != 0]
    starts = np.searchsorted(row[order], np.arange(n_rows + 1)).astype(np.int64)
    return SparseRows(starts, column[order].astype(np.uint32), value[order])


class Whitening(NamedTuple):
    """How the D sampled effects follow from coordinates that are about N(0, I)."""

    table: Ints  # (factors, 5): factor, q, levels, first effect, start in a draw
    information: Floats  # (D, largest q): row a of level g's W at the level's first effect + a
    centre: Floats  # (D,): s
    later: SparseRows  # (D, D): E
    directions: Floats  # (k, D): orthonormal rows
    stretch: Floats  # (k,): the width of each direction, less 1


class Mapped(NamedTuple):
    """What placing the effects leaves behind, and memory for the gradient."""

    mapped: Floats  # (5, D)
    chol: Floats  # (D, largest q): L of each level, with reciprocals on its diagonal
    pull: Floats  # (D,): derivative of the log density in r
    squares: Floats  # (3, largest q, largest q)
    halves: Floats  # (2, largest q)


@compiled
def forward(is2: float, lams: Floats, x: Floats, whitening: Whitening, work: Mapped) -> float:
    """Set r from coordinates x; return log N(u; 0, I) without its constant plus log |du/dx| given theta.

    u_g = A⁻¹Λ'c/σ² + L⁻ᵀz with A = LL' = I + Λ'WΛ/σ² and c = s - E r_later.
    """
    _stretch(x, whitening.directions, whitening.stretch, work.mapped[Z])
    mapped, chol = work.mapped, work.chol
    squared, log_det, product = 0.0, 0.0, 1.0
    for k in range(whitening.table.shape[0] - 1, -1, -1):
        q, first = whitening.table[k, Q], whitening.table[k, FIRST]
        lam = lams[whitening.table[k, FACTOR]]
        for g in range(whitening.table[k, LEVELS]):
            at = first + g * q
            for a in range(q):
                left = whitening.centre[at + a]
                for e in range(whitening.later.starts[at + a], whitening.later.starts[at + a + 1]):
                    left -= whitening.later.values[e] * mapped[R, whitening.later.columns[e]]
                mapped[C, at + a] = left
            _factor_level(
                is2, q, lam, whitening.information[at : at + q], work.squares[WL], chol[at : at + q]
            )
            for b in range(q):
                product *= chol[at + b, b]
                half = 0.0
                for a in range(b, q):
                    half += lam[a, b] * mapped[C, at + a]
                half *= is2
                for j in range(b):
                    half -= chol[at + b, j] * mapped[HALF, at + j]
                mapped[HALF, at + b] = half * chol[at + b, b]
            if not product > 1e-100:  # reciprocal pivots are <= 1: a logarithm only now and then
                log_det -= np.log(product)
                product = 1.0
            for b in range(q - 1, -1, -1):
                u = mapped[HALF, at + b] + mapped[Z, at + b]
                for j in range(b + 1, q):
                    u -= chol[at + j, b] * mapped[U, at + j]
                u *= chol[at + b, b]
                mapped[U, at + b] = u
                squared += u * u
            for a in range(q):
                r = 0.0
                for b in range(a + 1):
                    r += lam[a, b] * mapped[U, at + b]
                mapped[R, at + a] = r
    for k in range(whitening.stretch.size):
        log_det -= np.log1p(whitening.stretch[k])
    return -0.5 * squared - log_det + np.log(product)


@compiled
def _stretch(x: Floats, directions: Floats, stretch: Floats, out: Floats) -> None:
    """Set out = x + Σ_i stretch_i d_i d_i'x: a symmetric matrix, so its own transpose."""
    for i in range(out.size):
        out[i] = x[i]
    for k in range(stretch.size):
        row = directions[k]
        share = 0.0
        for i in range(row.size):
            share += row[i] * x[i]
        share *= stretch[k]
        for i in range(row.size):
            out[i] += share * row[i]


@compiled
def _factor_level(is2: float, q: int, lam: Floats, W: Floats, wl: Floats, L: Floats) -> None:
    """Set wl = WΛ and L to the Cholesky factor of I + Λ'WΛ/σ², with the reciprocals of its diagonal."""
    for a in range(q):
        for b in range(q):
            total = 0.0
            for d in range(b, q):
                total += W[a, d] * lam[d, b]
            wl[a, b] = total
    for i in range(q):
        for j in range(i + 1):
            total = 0.0
            for d in range(i, q):
                total += lam[d, i] * wl[d, j]
            total = is2 * total + (1.0 if i == j else 0.0)
            for d in range(j):
                total -= L[i, d] * L[j, d]
            L[i, j] = 1.0 / np.sqrt(total) if i == j else total * L[j, j]


@compiled
def vjp(is2: float, lams: Floats, whitening: Whitening, work: Mapped, scores: Floats, grad: Floats) -> float:
    """Set grad to the derivative in x and add those in each Λ to scores; return that in log sigma.

    ``work.pull`` holds the derivative in r of everything that follows from r alone. The log density of
    `forward` is included. Derivation in docs/engine.md, section 2.
    """
    mapped, chol, pull = work.mapped, work.chol, work.pull
    sigma_score = 0.0
    for k in range(whitening.table.shape[0]):
        q, first = whitening.table[k, Q], whitening.table[k, FIRST]
        lam, score = lams[whitening.table[k, FACTOR]], scores[whitening.table[k, FACTOR]]
        for g in range(whitening.table[k, LEVELS]):
            at = first + g * q
            half, solved = work.halves[SCORE], work.halves[SOLVED]
            for b in range(q):
                total = -mapped[U, at + b]
                for a in range(b, q):
                    total += lam[a, b] * pull[at + a]
                    score[a, b] += pull[at + a] * mapped[U, at + b]
                for j in range(b):
                    total -= chol[at + b, j] * half[j]
                half[b] = total * chol[at + b, b]
                mapped[Z, at + b], half_z = half[b], mapped[Z, at + b]
                sigma_score -= 2.0 * half[b] * mapped[HALF, at + b]
                for j in range(b):  # Y, the score of L⁻¹ dA L⁻ᵀ; Z holds z from b on and the score before
                    work.squares[INNER, b, j] = -0.5 * (
                        half[b] * mapped[HALF, at + j] + half[j] * mapped[HALF, at + b] + half_z * half[j]
                    )
                    work.squares[INNER, j, b] = work.squares[INNER, b, j]
                work.squares[INNER, b, b] = -half[b] * (mapped[HALF, at + b] + 0.5 * half_z) - 0.5
            for b in range(q - 1, -1, -1):
                total = half[b]
                for j in range(b + 1, q):
                    total -= chol[at + j, b] * solved[j]
                solved[b] = total * chol[at + b, b]
            sigma_score += _score_level(
                is2, q, lam, whitening.information[at : at + q], chol[at : at + q], work.squares, score
            )
            for i in range(q):
                back = 0.0
                for j in range(i + 1):
                    score[i, j] += is2 * mapped[C, at + i] * solved[j]
                    back += lam[i, j] * solved[j]
                back *= is2
                for e in range(whitening.later.starts[at + i], whitening.later.starts[at + i + 1]):
                    pull[whitening.later.columns[e]] -= whitening.later.values[e] * back
    _stretch(mapped[Z], whitening.directions, whitening.stretch, grad)
    return sigma_score


@compiled
def _score_level(
    is2: float, q: int, lam: Floats, W: Floats, L: Floats, squares: Floats, score: Floats
) -> float:
    """Add 2 WΛ L⁻ᵀYL⁻¹/σ², what A contributes, to score; return its part in log sigma."""
    inner, outer, wl = squares[INNER], squares[OUTER], squares[WL]
    for column in range(q):
        for b in range(q - 1, -1, -1):
            total = inner[b, column]
            for j in range(b + 1, q):
                total -= L[j, b] * inner[j, column]
            inner[b, column] = total * L[b, b]
    for row in range(q):
        for b in range(q - 1, -1, -1):
            total = inner[row, b]
            for j in range(b + 1, q):
                total -= L[j, b] * outer[row, j]
            outer[row, b] = total * L[b, b]
    for a in range(q):
        for b in range(q):
            total = 0.0
            for d in range(b, q):
                total += W[a, d] * lam[d, b]
            wl[a, b] = total
    sigma_score = 0.0
    for a in range(q):
        for b in range(a + 1):
            total = 0.0
            for d in range(q):
                total += wl[a, d] * outer[d, b]
            total *= 2.0 * is2
            score[a, b] += total
            sigma_score -= total * lam[a, b]
    return sigma_score
