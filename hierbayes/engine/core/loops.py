"""Small loops that the kernels are made of: rows of numbers, and small symmetric matrices (numba).

No BLAS: a chain keeps to one thread, and nothing has to be imported for it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.options import DefaultOptions

from hierbayes.compiling import kept
from hierbayes.engine.core.problem import Floats
from hierbayes.structures.registry import DIGEST

# Kernels only write into arrays that they are given. Counting references to every row that one passes to
# another would take longer than the arithmetic; numba has a switch for it, though not a documented one. It can go
# when numba leaves such counts out by itself: `tests/core/test_loops.py` fails then.
UNCOUNTED = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Compile a kernel with numba; the machine code is kept on disk for all later sessions.

    Sums may be reassociated, so that they fill vector registers. NaN and infinity keep their meaning.
    """
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", **UNCOUNTED}
    return _stamped(kept(function, fastmath={"contract", "reassoc", "nsz"}, **options))


def _stamped[F: Callable[..., Any]](kernel: F) -> F:
    """Have numba take a kernel's machine code on disk for that of the covariance structures as they are now.

    It looks at the kernel's own file alone, and a structure that was added or changed would be left out without a word.
    """
    file = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if file is not None and hasattr(file, "_source_stamp"):
        file._source_stamp = (*file._source_stamp, DIGEST)
    return kernel


@compiled
def finite(x: float) -> bool:
    """Return whether a number is neither infinite nor NaN.

    ``np.isfinite`` asks whether x - x is a number, which reassociation may take for 0 when x is a sum.
    """
    return abs(x) < np.inf


@compiled
def fill(out: Floats, value: float) -> None:
    """Set a row to a value."""
    for i in range(out.size):
        out[i] = value


@compiled
def add(out: Floats, x: float, row: Floats) -> None:
    """Add x times a row."""
    for i in range(out.size):
        out[i] += x * row[i]


@compiled
def add_product(out: Floats, x: float, first: Floats, second: Floats) -> None:
    """Add x times the elementwise product of two rows."""
    for i in range(out.size):
        out[i] += x * first[i] * second[i]


@compiled
def dot(first: Floats, second: Floats) -> float:
    """Return the inner product of two rows."""
    total = 0.0
    for i in range(first.size):
        total += first[i] * second[i]
    return total


@compiled
def head_dot(first: Floats, second: Floats, count: int) -> float:
    """Return the inner product of two rows' first numbers."""
    total = 0.0
    for i in range(count):
        total += first[i] * second[i]
    return total


@compiled
def scale(out: Floats, x: float) -> None:
    """Multiply a row by x."""
    for i in range(out.size):
        out[i] *= x


@compiled
def set_product(out: Floats, first: Floats, second: Floats) -> None:
    """Set out to the elementwise product of two rows."""
    for i in range(out.size):
        out[i] = first[i] * second[i]


@compiled
def combine(weights: Floats, rows: Floats, start: int, count: int, out: Floats) -> None:
    """Set out to a weighted sum of consecutive rows, four at a time: count is rounded up to a multiple of 4."""
    fill(out, 0.0)
    for j in range(0, count, 4):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        r0, r1, r2, r3 = rows[start + j], rows[start + j + 1], rows[start + j + 2], rows[start + j + 3]
        for i in range(out.size):
            out[i] += w0 * r0[i] + w1 * r1[i] + w2 * r2[i] + w3 * r3[i]


@compiled
def add_gram(rows: Floats, count: int, gram: Floats) -> None:
    """Add the inner products of the first ``count`` rows to gram's lower triangle, four at a time."""
    for i in range(count):
        ri = rows[i]
        j = 0
        while j + 3 <= i:
            r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
            t0 = t1 = t2 = t3 = 0.0
            for k in range(ri.size):
                t0 += ri[k] * r0[k]
                t1 += ri[k] * r1[k]
                t2 += ri[k] * r2[k]
                t3 += ri[k] * r3[k]
            gram[i, j] += t0
            gram[i, j + 1] += t1
            gram[i, j + 2] += t2
            gram[i, j + 3] += t3
            j += 4
        while j <= i:
            gram[i, j] += dot(ri, rows[j])
            j += 1


@compiled
def add_lower_rows(out: Floats, length: int, weights: Floats, lower: Floats, first: int) -> None:
    """Add a weighted sum of a lower triangular matrix's rows, from ``first`` on one for each weight.

    Only the first ``length`` numbers of out are wanted; above its diagonal the matrix holds zeros. Weights of zero,
    four together, cost nothing.
    """
    j = 0
    while j + 3 < weights.size:
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        if w0 == 0.0 and w1 == 0.0 and w2 == 0.0 and w3 == 0.0:
            j += 4
            continue
        r0, r1, r2, r3 = lower[first + j], lower[first + j + 1], lower[first + j + 2], lower[first + j + 3]
        for i in range(min(length, first + j + 4)):
            out[i] += w0 * r0[i] + w1 * r1[i] + w2 * r2[i] + w3 * r3[i]
        j += 4
    while j < weights.size:
        w0, r0 = weights[j], lower[first + j]
        for i in range(min(length, first + j + 1)):
            out[i] += w0 * r0[i]
        j += 1


@compiled
def cholesky(S: Floats) -> float:
    """Factor S in place (lower triangle); return ½ log|S|, NaN if S is not positive definite.

    A row's leading zeros stay zeros and cost nothing.
    """
    total = 0.0
    for i in range(S.shape[0]):
        row = S[i]
        first = 0
        while first < i and row[first] == 0.0:
            first += 1
        first -= first % 4  # rows begin where vector registers do
        j = first
        while j + 3 < i:
            r0, r1, r2, r3 = S[j], S[j + 1], S[j + 2], S[j + 3]
            t0 = t1 = t2 = t3 = 0.0
            for k in range(first, j):
                t0 += row[k] * r0[k]
                t1 += row[k] * r1[k]
                t2 += row[k] * r2[k]
                t3 += row[k] * r3[k]
            t0, t1, t2, t3 = row[j] - t0, row[j + 1] - t1, row[j + 2] - t2, row[j + 3] - t3
            if t0 == 0.0 and t1 == 0.0 and t2 == 0.0 and t3 == 0.0:
                j += 4
                continue
            row[j] = t0 / r0[j]
            row[j + 1] = (t1 - row[j] * r1[j]) / r1[j + 1]
            row[j + 2] = (t2 - row[j] * r2[j] - row[j + 1] * r2[j + 1]) / r2[j + 2]
            t3 -= row[j] * r3[j] + row[j + 1] * r3[j + 1] + row[j + 2] * r3[j + 2]
            row[j + 3] = t3 / r3[j + 3]
            j += 4
        while j < i:
            row[j] = (row[j] - dot(row[first:j], S[j, first:j])) / S[j, j]
            j += 1
        pivot = row[i] - dot(row[first:i], row[first:i])
        if not pivot > 0.0:
            return np.nan
        row[i] = np.sqrt(pivot)
        total += np.log(row[i])
    return total


@compiled
def invert_lower(R: Floats, X: Floats) -> None:
    """Set X to R⁻¹, with R lower triangular."""
    for i in range(R.shape[0]):
        row = X[i]
        fill(row, 0.0)
        add_lower_rows(row, i, R[i, :i], X, 0)
        scale(row, -1.0 / R[i, i])
        row[i] = 1.0 / R[i, i]


@compiled
def gram_of_lower(X: Floats, V: Floats) -> None:
    """Set V to X'X, with X lower triangular: S⁻¹ if X is the inverse of S's Cholesky factor."""
    for i in range(X.shape[0]):
        fill(V[i], 0.0)
        add_lower_rows(V[i], i + 1, X[i:, i], X, i)
    for i in range(X.shape[0]):
        for j in range(i):
            V[j, i] = V[i, j]


@compiled
def scale_columns(matrix: Floats, start: int, levels: int, q: int, lam: Floats) -> None:
    """Multiply by diag(Λ, …, Λ) from the right the columns of one factor, which lie effect by effect."""
    for i in range(matrix.shape[0]):
        for b in range(q):
            out = matrix[i, start + b * levels : start + (b + 1) * levels]
            scale(out, lam[b, b])
            for a in range(b + 1, q):
                if lam[a, b] != 0.0:
                    add(out, lam[a, b], matrix[i, start + a * levels : start + (a + 1) * levels])


@compiled
def unscale_columns(matrix: Floats, start: int, levels: int, q: int, lam: Floats) -> None:
    """Multiply by diag(Λ, …, Λ)' from the right the columns of one factor."""
    for i in range(matrix.shape[0]):
        for a in range(q - 1, -1, -1):
            out = matrix[i, start + a * levels : start + (a + 1) * levels]
            scale(out, lam[a, a])
            for b in range(a):
                if lam[a, b] != 0.0:
                    add(out, lam[a, b], matrix[i, start + b * levels : start + (b + 1) * levels])


@compiled
def scale_rows(matrix: Floats, start: int, levels: int, q: int, lam: Floats) -> None:
    """Multiply by diag(Λ, …, Λ)' from the left the rows of one factor."""
    for level in range(start, start + levels):
        for b in range(q):
            scale(matrix[level + b * levels], lam[b, b])
            for a in range(b + 1, q):
                if lam[a, b] != 0.0:
                    add(matrix[level + b * levels], lam[a, b], matrix[level + a * levels])


@compiled
def unscale_rows(matrix: Floats, start: int, levels: int, q: int, lam: Floats) -> None:
    """Multiply by diag(Λ, …, Λ) from the left the rows of one factor."""
    for level in range(start, start + levels):
        for a in range(q - 1, -1, -1):
            scale(matrix[level + a * levels], lam[a, a])
            for b in range(a):
                if lam[a, b] != 0.0:
                    add(matrix[level + a * levels], lam[a, b], matrix[level + b * levels])
