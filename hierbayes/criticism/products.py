"""The marginal density of groups of normal rows with one scale, from sums over the rows.

With M = I + Λ' Z'WZ Λ / σ² (`criticism.marginal`) only Λ and σ differ between draws, and of the residuals e without the
integrated effects only e'We and Z'We are needed. So the rows of all groups are gone through once for these sums. M is
sparse, as effects whose levels share no rows are independent given the others: a department's lecturers who teach
nowhere else are eliminated one after another, and what they leave is little more than the department's own effect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import CHUNK_ENTRIES, distinct, square_roots
from hierbayes.criticism.likelihood import has_one_scale
from hierbayes.criticism.normal import TABLE_ENTRIES, logs_and_precision, sums_of
from hierbayes.data.design import MEAN, BoundPredictor, Design
from hierbayes.data.levels import Codes
from hierbayes.engine.core.routine import run
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
type Columns = Mapping[
    str, Codes
]  # by factor (L, q): numbers of the integrated effects, −1 of those that stay
SUM_RESIDUALS, INTEGRATE = (
    f"hierbayes.criticism.normalloops.{name}" for name in ("sum_residuals", "integrate")
)
LANES = 64  # draws that are gone through at a time,
LANE_ENTRIES = 2_000_000  # fewer where M has so many entries in them: 16 MB


@dataclass(frozen=True, eq=False)
class Scales:
    """The entries of Λ that aren't 0 in every draw.

    Attributes
    ----------
    values : ndarray (R, S)
        Each of them once a factor.
    sources, targets, rows : ndarray of int (U,)
        Columns of Z, in order, the whitened columns that they contribute to, and by which row of the values.
    """

    values: Array
    sources: Codes
    targets: Codes
    rows: Codes


def log_marginal_by_products(spec: ModelSpec, draws: Draws, design: Design, places: Codes) -> Array:
    """Log density of the rows at these places in each draw, the effects that only they inform integrated: (S,)."""
    groups = np.full(len(design), -1)
    groups[places] = 0
    ((_, values),) = log_marginals_by_products(spec, draws, design, groups)
    return values[0]


def log_marginals_by_products(
    spec: ModelSpec, draws: Draws, design: Design, groups: Codes
) -> Iterator[tuple[slice, Array]]:
    """Log density of each group's rows in each draw, the effects that only they inform integrated, some groups at once.

    Parameters
    ----------
    groups : ndarray of int (n,)
        The group of each row: 0, 1, …; −1 for rows that are in none.

    Yields
    ------
    slice, ndarray (k, S)
        Which groups, and the densities of each.
    """
    assert has_one_scale(spec), "other responses have no such closed form"
    order = np.argsort(groups, kind="stable")
    edges = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    columns, firsts = integrated_effects(spec, design, groups)
    step = max(1, CHUNK_ENTRIES // len(draws))
    waiting = [(0, len(edges) - 1)]
    while waiting:
        start, end = waiting.pop()
        rows = design.rows(order[edges[start] : edges[end]])
        if end - start > 1 and effects_of(rows.main) > TABLE_ENTRIES // len(draws):
            middle = (start + end) // 2
            waiting += [(middle, end), (start, middle)]
            continue
        sizes = np.diff(edges[start : end + 1])
        values = _log_marginals(spec, draws, rows, sizes, columns, firsts[start : end + 1])
        for at in range(0, len(values), step):
            some = values[at : at + step]
            yield slice(start + at, start + at + len(some)), some


def effects_of(bound: BoundPredictor) -> int:
    """How many effects the rows' levels have."""
    return sum(len(distinct(factor.all_codes)[0]) * factor.width for factor in bound.factors.values())


def integrated_effects(spec: ModelSpec, design: Design, groups: Codes) -> tuple[Columns, Codes]:
    """The effects of levels that stand in one group's rows only, and each group's first: by factor, (G + 1,).

    Numbered group by group, and there those first that share rows with the fewest others.
    """
    numbers: dict[str, Codes] = {}
    owners = [np.empty(0, dtype=np.int64)]
    count = 0
    for factor in spec.layout.main.factors:
        numbers[factor.name] = np.full((len(factor.levels), len(factor.effects)), -1)
        if not factor.by_own_rows:
            continue
        codes = design.main.factors[factor.name].codes
        low, high = np.full(len(factor.levels), groups.max() + 1), np.full(len(factor.levels), -1)
        np.minimum.at(low, codes, groups)
        np.maximum.at(high, codes, groups)
        own, q = np.flatnonzero((low == high) & (low >= 0)), len(factor.effects)
        numbers[factor.name][own] = count + np.arange(len(own) * q).reshape(-1, q)
        owners.append(np.repeat(low[own], q))
        count += len(own) * q
    pattern = _pattern(columns_of_rows(design.main, numbers), count)
    owner = np.concatenate(owners)
    order = np.lexsort([np.diff(pattern.indptr), owner])
    ranks = np.full(count + 1, -1)
    ranks[order] = np.arange(count)
    columns = {name: ranks[each] for name, each in numbers.items()}
    return columns, np.searchsorted(owner[order], np.arange(groups.max() + 2))


def columns_of_rows(bound: BoundPredictor, columns: Columns) -> Codes:
    """Which integrated effects each row has: (n, J), −1 for none."""
    each = [columns[name][one.codes] for name in columns for one in bound.factors[name].memberships]
    return np.concatenate([np.empty((len(bound.offset), 0), dtype=np.int64), *each], axis=1)


def _sparse(places: Codes, values: Array, count: int) -> sparse.csr_matrix:
    """Rows with values at some columns, those at −1 left out: (n, J), (n, J) → (n, count)."""
    rows, entries = np.nonzero(places >= 0)
    return sparse.csr_matrix(
        (values[rows, entries], (rows, places[rows, entries])), shape=(len(places), count)
    )


def _pattern(places: Codes, count: int) -> sparse.csc_matrix:
    """Which columns share rows."""
    here = _sparse(places, np.ones(places.shape), count)
    pattern = (here.T @ here).tocsc()
    pattern.sort_indices()
    return pattern


def _log_marginals(
    spec: ModelSpec, draws: Draws, rows: Design, sizes: Codes, columns: Columns, firsts: Codes
) -> Array:
    """Log densities of groups of rows, which follow each other: (k, S)."""
    local = {name: np.where(each < firsts[0], -1, each - firsts[0]) for name, each in columns.items()}
    count = int(firsts[-1] - firsts[0])
    sums = sums_of(spec, draws, rows, {name: each[:, 0] >= 0 for name, each in local.items()})
    places = columns_of_rows(rows.main, local)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    squares, products = np.zeros((len(sizes), len(draws))), np.zeros((count, len(draws)))
    none = np.full((len(rows), sums.places.shape[1] - places.shape[1]), -1)
    run(
        SUM_RESIDUALS, sums.y, sums.weights, sums.places, sums.coefficients,
        np.ascontiguousarray(np.concatenate([none, places], axis=1)), groups, sums.table,
        np.empty(len(draws)), squares, products,
    )  # fmt: skip
    starts, below = _fill(_pattern(places, count))
    z = _sparse(places, sums.coefficients[:, none.shape[1] :], count)
    scales = _scales(spec, draws, local, count)
    by_target = np.argsort(scales.targets, kind="stable")
    lanes = min(LANES, len(draws), max(4, LANE_ENTRIES // max(len(below), 1)))
    constants = np.stack(
        [np.bincount(groups, each, len(sizes)) for each in (sums.weights, sums.constants)], axis=1
    )
    inside = firsts - firsts[0]
    widest, most = int(np.diff(inside).max()), int(np.diff(starts[inside]).max())
    terms = _terms((z.multiply(sums.weights[:, None]).T @ z).tocoo(), scales, starts, below)
    ups = np.searchsorted(scales.targets[by_target], np.arange(count + 1))
    run(
        INTEGRATE, inside, starts, below, *terms, ups, scales.sources[by_target], scales.rows[by_target], scales.values,
        constants, *logs_and_precision(draws), products, squares, np.empty((most, lanes)),
        np.empty((widest, lanes)), np.empty((widest, lanes)), np.empty((2, lanes)),
    )  # fmt: skip
    return squares


def _fill(pattern: sparse.csc_matrix) -> tuple[Codes, Codes]:
    """Below the diagonal of the factor L of a matrix with this pattern: each column's first entry (m + 1,), rows (N,).

    A column has the rows of its own and of those that it is the first entry of (Davis 2006, Direct Methods for Sparse
    Linear Systems, section 4.1).
    """
    count = pattern.shape[1]
    waiting: list[list[Codes]] = [[] for _ in range(count)]
    found: list[Codes] = []
    for j in range(count):
        rows = pattern.indices[pattern.indptr[j] : pattern.indptr[j + 1]]
        if waiting[j]:
            rows = np.unique(np.concatenate([rows, *waiting[j]]))
            waiting[j] = []
        rows = rows[np.searchsorted(rows, j, side="right") :]
        if len(rows):
            waiting[rows[0]].append(rows)
        found.append(rows)
    starts = np.cumsum([0, *map(len, found)])
    return starts, np.concatenate([np.empty(0, dtype=np.int64), *found]).astype(np.int64)


def _terms(
    products: sparse.coo_matrix, scales: Scales, starts: Codes, below: Codes
) -> tuple[Codes, Array, Codes, Codes]:
    """What each entry of Λ' Z'WZ Λ is the sum of: first term of each (N + m + 1,), products, rows of Λ, twice."""
    count = len(starts) - 1
    first = np.searchsorted(scales.sources, np.arange(count + 1))
    many = np.diff(first)
    each = many[products.row] * many[products.col]
    of = np.repeat(np.arange(products.nnz), each)
    number = np.arange(len(of)) - np.repeat(np.cumsum(each) - each, each)
    left = first[products.row[of]] + number // many[products.col[of]]
    right = first[products.col[of]] + number % many[products.col[of]]
    row, column = scales.targets[left], scales.targets[right]
    keys = np.repeat(np.arange(count), np.diff(starts)) * count + below  # in order
    entry = np.where(row == column, len(below) + column, np.searchsorted(keys, column * count + row))
    lower = np.flatnonzero(row >= column)
    order = lower[np.argsort(entry[lower], kind="stable")]
    pairs = np.searchsorted(entry[order], np.arange(len(below) + count + 1))
    return pairs, products.data[of[order]], scales.rows[left[order]], scales.rows[right[order]]


def _scales(spec: ModelSpec, draws: Draws, columns: Columns, count: int) -> Scales:
    values = [np.empty((0, len(draws)))]
    found = [np.empty((0, 3), dtype=np.int64)]
    for factor in spec.layout.main.factors:
        variables = spec.factor_variables(MEAN, factor)
        sd, own = draws.values[variables["sd"].name], columns[factor.name]
        root = square_roots(spec.correlations(MEAN, factor, draws.values))
        own = own[own[:, 0] >= 0]
        for source, target in zip(*np.nonzero(root.any(axis=0)), strict=True):
            rows = np.full(len(own), sum(map(len, values)))
            found.append(np.stack([own[:, source], own[:, target], rows], axis=1))
            values.append((sd[:, source] * root[:, source, target])[None])
    together = np.concatenate(found)
    sources, targets, rows = together[np.argsort(together[:, 0], kind="stable")].T.copy()
    return Scales(np.concatenate(values), sources, targets, rows)
