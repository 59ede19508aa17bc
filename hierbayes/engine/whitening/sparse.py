"""Fields (`fields`) as arrays, and their coordinates about a point."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Factor, Field, Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.whitening.codes import AS_ROWS, BESIDE, IN_D, IN_Q, PIVOT
from hierbayes.structures.related import MIXED, PROPER

LEAST = 1e-8  # of the mean precision: added to each, for what neither the prior nor the rows say anything of
STEP = 1e-3  # of what a root is differentiated by, in units of what it depends on
SMALLEST = 1e-4  # τ₀² as a share of κ₀²: independent effects that are almost none


class FieldTables(NamedTuple):
    """All fields of a model, one after another."""

    fields: Ints  # (F, 6): see codes
    starts: Ints  # where each level's neighbours begin, a field's M + 1
    neighbours: Ints
    strengths: Floats  # Q's entries
    nodes: Floats  # (2, ΣM), a field's after another: D's, and the constants of the precision's determinant
    order: (
        Ints  # (2 ΣM,), a field's after another: each coordinate's level, and part that sums to 0 (-1: none)
    )
    columns: Ints  # where the columns of each U begin, a field's M + 1
    rows: Ints  # of U's entries


class FieldMap(NamedTuple):
    """The coordinates of all fields about a point."""

    roots: Floats  # (3, entries): of U₀, U₁, U₂
    known: Floats  # (5, ΣM), a field's after another: see codes
    about: Floats  # (F, 3): κ₀², τ₀², α₀


class Pattern(NamedTuple):
    """The order in which a field's levels are eliminated, and where its root has entries."""

    order: Ints  # (M,)
    columns: Ints  # (M + 1,)
    rows: Ints  # those of a column ascend, its diagonal first


class Coordinates(NamedTuple):
    """One field's coordinates: its part of a `FieldMap`."""

    roots: Floats
    known: Floats
    about: Floats


def pattern_of(field: Field) -> Pattern:
    """Where the root of a field's precision has entries, levels in an order in which they are few."""
    from scipy.sparse import csc_matrix

    size = len(field.diagonal)
    return pattern_of_matrix(
        csc_matrix((field.strengths, field.neighbours, field.starts), shape=(size, size))
    )


def pattern_of_matrix(Q: Any) -> Pattern:
    """The same of a sparse symmetric matrix (M, M) of SciPy's, positive definite with more on its diagonal."""
    from scipy.sparse import csc_matrix, identity
    from scipy.sparse.linalg import splu

    whole = csc_matrix(Q + identity(Q.shape[0]) * Q.diagonal().mean())
    found = splu(whole, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    lower = csc_matrix(found.L)
    lower.sort_indices()
    order = np.argsort(found.perm_c).astype(np.int64)
    return Pattern(order, lower.indptr.astype(np.int64), lower.indices.astype(np.int64))


def field_tables(factors: Sequence[Factor], shapes: Sequence[int]) -> FieldTables:
    """The fields among factors; where in the shapes the parameter of each factor's kind is, if it has one."""
    table: list[list[int]] = []
    starts: list[Ints] = []
    neighbours: list[Ints] = []
    strengths: list[Floats] = []
    nodes: list[Floats] = []
    orders: list[Ints] = []
    columns: list[Ints] = []
    rows: list[Ints] = []
    node = entry = place = 0
    for factor, shape in zip(factors, shapes, strict=True):
        field = factor.related
        if field is None:
            continue
        size, pattern = len(field.diagonal), pattern_of(field)
        table.append([size, field.kind, shape, int(field.parts.max()) + 1, node, node + len(table)])
        starts.append(field.starts + entry)
        neighbours.append(field.neighbours)
        strengths.append(field.strengths)
        nodes.append(np.stack([field.diagonal, field.constants]))
        orders += [pattern.order, field.parts[pattern.order]]
        columns.append(pattern.columns + place)
        rows.append(pattern.rows)
        node, entry, place = node + size, entry + len(field.neighbours), place + len(pattern.rows)
    none = np.zeros(0, np.int64)
    return FieldTables(
        fields=np.array(table, np.int64).reshape(-1, 6),
        starts=np.concatenate([none, *starts]),
        neighbours=np.concatenate([none, *neighbours]),
        strengths=np.concatenate([np.zeros(0), *strengths]),
        nodes=np.concatenate([np.zeros((2, 0)), *nodes], axis=1),
        order=np.concatenate([none, *orders]),
        columns=np.concatenate([none, *columns]),
        rows=np.concatenate([none, *rows]),
    )


def coordinates_of(
    field: Field, pattern: Pattern, kappa: float, tau: float, alpha: float, beta: float, W: Floats
) -> Coordinates:
    """The coordinates about a point with these scales, where rows have the information W (M,) about effects."""
    square, size = tau**2, len(W)
    if field.kind == MIXED:
        square = max(square, SMALLEST * kappa**2)
    d = 1.0 + square * W
    omega = kappa**2 * W / d
    by_tau = -omega * W / d

    def root_at(h: float, g: float) -> tuple[Floats, Floats]:
        if field.kind == PROPER:
            return _factored(field, pattern, alpha + g, beta - g, omega * (1.0 + h))
        return _factored(field, pattern, alpha, beta, omega * (1.0 + h) + by_tau * g)

    root, pivots = root_at(0.0, 0.0)
    by_h, more, less = _slopes(root_at(STEP, 0.0), root_at(-STEP, 0.0), STEP)
    slope_h = (np.log(more) - np.log(less)) / (2 * STEP)
    known = np.zeros((5, size))
    known[PIVOT], known[AS_ROWS] = pivots, slope_h.clip(0.0, 1.0 - 1e-9)
    known[IN_Q] = (1.0 - known[AS_ROWS]) / alpha
    by_g = np.zeros_like(root)
    if field.kind != PROPER and field.kind != MIXED:
        return Coordinates(np.vstack([root, by_h, by_g]), known, np.array([kappa**2, square, alpha]))
    step = STEP * (square if field.kind == MIXED else min(alpha, beta))
    by_g, more, less = _slopes(root_at(0.0, step), root_at(0.0, -step), step)
    slope_g = (np.log(more) - np.log(less)) / (2 * step)
    if field.kind == MIXED:
        known[BESIDE] = (-slope_g / known[AS_ROWS].clip(1e-12)).clip(0.0, (1.0 - 1e-6) / square)
    else:
        left = 1.0 - known[AS_ROWS]
        known[IN_D] = (left - alpha * slope_g).clip(0.0)
        known[IN_Q] = ((left - beta * known[IN_D]) / alpha).clip(0.0)
    return Coordinates(np.vstack([root, by_h, by_g]), known, np.array([kappa**2, square, alpha]))


def _slopes(
    above: tuple[Floats, Floats], below: tuple[Floats, Floats], step: float
) -> tuple[Floats, Floats, Floats]:
    """The derivative of a root's entries, and the pivots of both."""
    return (above[0] - below[0]) / (2 * step), above[1], below[1]


def _factored(
    field: Field, pattern: Pattern, alpha: float, beta: float, omega: Floats
) -> tuple[Floats, Floats]:
    """The entries of U and the pivots C of the precision αQ + βD + Ω."""
    from scipy.sparse import csc_matrix, diags

    size = len(omega)
    Q = csc_matrix((field.strengths, field.neighbours, field.starts), shape=(size, size))
    whole = alpha * Q + diags(beta * field.diagonal + omega)
    whole = whole + LEAST * whole.diagonal().mean() * diags(np.ones(size))
    root, pivots = entries_of(pattern, whole), np.zeros(size)
    run(factorize, pattern.columns, pattern.rows, root, pivots)
    return root, pivots


def entries_of(pattern: Pattern, matrix: Any) -> Floats:
    """The lower triangle of a sparse matrix in a pattern's order, at the pattern's places."""
    from scipy.sparse import csc_matrix, tril

    size, order = matrix.shape[0], pattern.order
    lower = csc_matrix(tril(csc_matrix(matrix)[order][:, order]))
    lower.sort_indices()
    own = np.repeat(np.arange(size), np.diff(lower.indptr)) * size + lower.indices
    every = np.repeat(np.arange(size), np.diff(pattern.columns)) * size + pattern.rows
    found = np.zeros(len(pattern.rows))
    found[np.searchsorted(every, own)] = lower.data
    return found


def field_map(each: Sequence[Coordinates]) -> FieldMap:
    """Those of all fields together."""
    return FieldMap(
        np.ascontiguousarray(np.hstack([np.zeros((3, 0)), *(one.roots for one in each)])),
        np.concatenate([np.zeros((5, 0)), *(one.known for one in each)], axis=1),
        np.vstack([np.zeros((0, 3)), *(one.about for one in each)]),
    )


def plain_map(fields: FieldTables) -> FieldMap:
    """That of no information and independent effects."""
    known = np.zeros((5, len(fields.order) // 2))
    known[[PIVOT, IN_Q, IN_D]] = 1.0
    return FieldMap(np.zeros((3, len(fields.rows))), known, np.ones((len(fields.fields), 3)))


def taken_up(
    field: Field, pattern: Pattern, own: Coordinates, kappa: float, tau: float, W: Floats, cross: Floats
) -> Floats:
    """What the field takes up of later information: cross' V cross (P, P), V the covariance of effects given rows.

    ``cross`` (M, P) is the information that effects have in common with later coefficients.
    """
    d = 1.0 + tau**2 * W
    root = np.ascontiguousarray(own.roots[0])
    x = np.ascontiguousarray((kappa * cross / d[:, None])[pattern.order].T)
    for row in x:
        run(
            "hierbayes.engine.whitening.fields.solve_down", len(row), pattern.columns, pattern.rows, root, row
        )
    x /= np.sqrt(own.known[PIVOT])
    parts = field.parts[pattern.order]
    for part in range(int(parts.max()) + 1):
        along = (parts == part).astype(np.float64)
        run(
            "hierbayes.engine.whitening.fields.solve_down",
            len(along),
            pattern.columns,
            pattern.rows,
            root,
            along,
        )
        along /= np.sqrt(own.known[PIVOT])
        x -= np.outer(x @ along, along) / (along @ along)
    found: Floats = x @ x.T
    if field.kind == MIXED:
        found += (cross.T * (tau**2 / d)) @ cross
    return found


@compiled
def factorize(columns: Ints, rows: Ints, root: Floats, pivots: Floats) -> None:
    """From a matrix's lower triangle to U, unit lower triangular with the same places, and C: U C U' is the matrix."""
    for j in range(pivots.size):
        begin, end = columns[j], columns[j + 1]
        pivot = root[begin]
        pivots[j] = pivot
        for first in range(begin + 1, end):
            value = root[first]
            share = value / pivot
            if value == 0.0:
                continue
            place, last = columns[rows[first]], columns[rows[first] + 1]
            for second in range(first, end):
                while place < last and rows[place] < rows[second]:
                    place += 1
                if place < last and rows[place] == rows[second]:
                    root[place] -= share * root[second]
        for i in range(begin + 1, end):
            root[i] /= pivot
        root[begin] = 1.0


@compiled
def inverse_on_pattern(columns: Ints, rows: Ints, root: Floats, pivots: Floats, found: Floats) -> None:
    """The entries of (U C U')⁻¹ where U has entries (Takahashi, Fagan & Chin 1973, 8th PICA Conference)."""
    for j in range(pivots.size - 1, -1, -1):
        begin, end = columns[j], columns[j + 1]
        for first in range(end - 1, begin, -1):
            total = 0.0
            for second in range(begin + 1, end):
                column, row = min(rows[first], rows[second]), max(rows[first], rows[second])
                low, high = columns[column], columns[column + 1]
                while high - low > 1:
                    middle = (low + high) // 2
                    if rows[middle] <= row:
                        low = middle
                    else:
                        high = middle
                total -= root[second] * found[low]
            found[first] = total
        total = 1.0 / pivots[j]
        for second in range(begin + 1, end):
            total -= root[second] * found[second]
        found[begin] = total
