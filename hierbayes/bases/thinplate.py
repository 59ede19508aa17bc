"""Thin plate regression splines (Wood 2003, JRSS B 65, section 3): the leading eigenvectors of a thin plate spline."""

from collections.abc import Callable

import numpy as np

from hierbayes.bases.draws import drawn_places
from hierbayes.bases.record import Array, Basis, BasisKind, check_distinct, check_least

SITES = 2000  # beyond which some of the distinct values are drawn
_PIECE = 2_000_000  # numbers of a matrix (rows, sites) that are made at a time


def learn(values: Array, k: int, knots: tuple[float, ...] | None) -> Basis:
    """The basis of k functions for the distinct rows of `values` (n, d), d = 1 or 2.

    Penalised is the integrated square of the second derivatives; planes are free of penalty.
    """
    d = values.shape[1]
    if knots is not None:
        raise ValueError('knots= has no meaning for bs="tp", whose knots are the data; bs="cr" takes knots')
    check_least(k, d + 2, "tp")
    check_distinct(values, k)
    centre = values.mean(axis=0)
    sites = np.unique(values - centre, axis=0)
    if len(sites) > SITES:
        sites = sites[np.sort(drawn_places(len(sites), SITES))]
        check_distinct(sites, k)
    kernel = _kernel(sites, sites)
    sizes, vectors = _leading(kernel, k)
    planes = np.column_stack([np.ones(len(sites)), sites])
    free = _without(planes.T @ vectors)  # combinations of eigenvectors that are orthogonal to planes
    radial = vectors @ free
    bending = free.T @ (sizes[:, None] * free)
    columns = _natural(sites[:, 0], kernel @ radial) if d == 1 else _of_kernel(sites, radial)

    def evaluate(x: Array) -> Array:
        moved = x - centre
        return np.column_stack([columns(moved), np.ones(len(moved)), moved]) / norms

    norms = np.ones(k)
    norms = np.sqrt(np.mean(evaluate(values) ** 2, axis=0))
    penalty = np.zeros((k, k))
    penalty[: k - d - 1, : k - d - 1] = 0.5 * (bending + bending.T)
    return Basis(evaluate, penalty / np.outer(norms, norms), straight=True)


def _kernel(x: Array, sites: Array) -> Array:
    """Of the distance r: r³/12 in one dimension, r² log(r)/8π in two; (n, sites)."""
    if x.shape[1] == 1:
        return np.abs(np.subtract.outer(x[:, 0], sites[:, 0])) ** 3 / 12
    squared = sum(np.subtract.outer(x[:, j], sites[:, j]) ** 2 for j in range(x.shape[1]))
    return squared * np.log(np.where(squared > 0, squared, 1.0)) / (16 * np.pi)


def _leading(matrix: Array, k: int) -> tuple[Array, Array]:
    """The k eigenvalues that are largest in size, in descending order, and their vectors (sites, k)."""
    if k >= len(matrix) // 2 or len(matrix) <= 200:
        values, vectors = np.linalg.eigh(matrix)
    else:
        from scipy.sparse.linalg import eigsh

        values, vectors = eigsh(matrix, k=k, which="LM", v0=np.ones(len(matrix)), tol=1e-15)
    largest = np.argsort(-np.abs(values), kind="stable")[:k]
    order = largest[np.argsort(-values[largest])]
    return values[order], vectors[:, order]


def _without(rows: Array) -> Array:
    """An orthonormal basis (k, k − m) of what is orthogonal to m rows (m, k), by reflections from the last column on.

    Any would span the same functions, but mgcv's scale of the penalty depends on which.
    """
    m, k = rows.shape
    rest, basis = rows.copy(), np.eye(k)
    for i in range(m):
        size = k - i
        normal = np.zeros(k)
        normal[:size] = rest[i, :size]
        length = np.linalg.norm(normal)
        normal[size - 1] += length if normal[size - 1] >= 0 else -length
        normal /= np.linalg.norm(normal)
        rest -= 2.0 * np.outer(rest @ normal, normal)
        basis -= 2.0 * np.outer(basis @ normal, normal)
    return basis[:, : k - m]


def _natural(sites: Array, values: Array) -> Callable[[Array], Array]:
    """In one dimension: natural cubic splines with knots at the sites, straight outside, by their values there."""
    from hierbayes.bases.cubic import natural_spline

    spline = natural_spline(sites, values)
    return lambda x: spline(x[:, 0])


def _of_kernel(sites: Array, radial: Array) -> Callable[[Array], Array]:
    def columns(x: Array) -> Array:
        rows = max(1, _PIECE // len(sites))
        pieces = [_kernel(x[start : start + rows], sites) @ radial for start in range(0, len(x), rows)]
        return np.concatenate(pieces) if pieces else np.empty((0, radial.shape[1]))

    return columns


THIN_PLATE = BasisKind("tp", "thin plate regression spline", learn, predictors=2)
