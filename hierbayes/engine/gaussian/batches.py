"""Moments -> the arrays of the collapsed kernel: one factor's levels sorted by their columns, everything else dense.

The dense columns are the other factors' effects × levels, effect by effect, those of many levels first, and then X's
p: so elimination from the left leaves the zeros of nested factors as they are. A level of the
primary factor meets only some of them (a pupil meets one school), so levels that meet the same ones share a
*column_set*: a compact array over these columns only. A crossed design gives one column_set, a nested one gives a
column_set a parent or a few.
"""

from dataclasses import dataclass

import numpy as np

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.gaussian.moments import Moments
from hierbayes.engine.gaussian.problem import GaussianProblem

STEP = 16.0  # fixed cost of a short inner loop, in vector steps
VECTOR = 8  # levels in a vector step
REGISTERS = 16  # levels that an unrolled loop takes at once: other numbers leave a slow remainder
PIECE = 12288  # numbers of a batch that should stay in the second-level cache


@dataclass(frozen=True)
class LevelBatches:
    """Cross-products of the primary factor's levels with themselves and with the dense columns.

    Levels come in batches of L lanes; each row of an array holds one number of every level of a batch. Lanes
    without a level hold zeros, as a level without rows would.
    """

    levels: Ints  # (batches, L): the problem's number of each level, -1 in an empty lane
    column_sets: (
        Ints  # (column_sets, 4): first batch, end of its batches, start in columns, number of columns
    )
    columns: Ints  # the sets' dense columns, ascending; the last of each is y's, m
    starts: Ints  # (batches,): first row in ZA
    ZZ: Floats  # (batches × q², L)
    ZA: Floats  # (Σ q × columns + 3, L): effect by effect


@dataclass(frozen=True)
class Dense:
    """Cross-products of the dense columns and y, and the coefficients' prior."""

    slots: Ints  # (K, 3): first dense column (-1: the primary factor, a sampled one), levels, start in a draw
    gram: Floats  # (m + 1, m + 1), y last
    prior: Floats  # (2, m): precision (1 for whitened effects), mean about the moments' reference


def dense(problem: GaussianProblem, m: Moments, primary: int, sampled: tuple[int, ...] = ()) -> Dense:
    """Return the dense part if ``primary`` is eliminated first (-1: there is no factor) and others are sampled."""
    p = problem.X.shape[1]
    slots = np.full((len(problem.factors), 3), -1, np.int64)
    start = p
    for k, f in enumerate(problem.factors):
        slots[k] = -1, f.n_levels, start
        start += f.n_levels * f.q
    column = 0
    for k in sorted(range(len(problem.factors)), key=lambda k: -problem.factors[k].n_levels):
        if k != primary and k not in sampled:
            slots[k, 0] = column
            column += problem.factors[k].n_levels * problem.factors[k].q
    prior = np.zeros((2, column + p))
    prior[0] = 1.0
    prior[0, column:] = problem.prior_precision
    prior[1, column:] = problem.prior_mean - m.reference.b
    return Dense(slots, _dense_gram(p, column + p, m, slots), prior)


def _dense_gram(p: int, width: int, m: Moments, slots: Ints) -> Floats:
    """Return ``[D y]'[D y]`` (m + 1, m + 1)."""
    others = [k for k in range(len(slots)) if slots[k, 0] >= 0]
    at = {k: slots[k, 0] + np.arange(m.with_dense[k][..., 0].size).reshape(-1, slots[k, 1]).T for k in others}
    population = np.arange(width - p, width + 1)  # and y
    gram = np.zeros((width + 1, width + 1))
    gram[np.ix_(population, population)] = m.dense
    for k in others:
        gram[at[k][:, :, None], at[k][:, None, :]] = m.within[k]
        gram[at[k][:, :, None], population] = m.with_dense[k]
        gram[population, at[k][:, :, None]] = m.with_dense[k]
        for other in set(others) - {k}:
            level, other_level, values = m.pair(k, other)
            gram[at[k][level][:, :, None], at[other][other_level][:, None, :]] = values
    return gram


def level_batches(problem: GaussianProblem, m: Moments, primary: int, slots: Ints) -> LevelBatches:
    """Sort the primary factor's levels by the columns they meet and lay out their cross-products."""
    if primary < 0:
        none = np.zeros(0, np.int64)
        return LevelBatches(
            none.reshape(0, 1), none.reshape(0, 4), none, none, np.zeros((0, 1)), np.zeros((3, 1))
        )
    p, q = problem.X.shape[1], problem.factors[primary].q
    width = p + sum(f.n_levels * f.q for k, f in enumerate(problem.factors) if slots[k, 0] >= 0)
    met = _met(problem, m, primary, slots)
    order = _similar_order(met, width)
    members = np.split(order, _group(order, met, p + 1, q)[:-1])
    own = [np.concatenate([met.of_any(part), np.arange(width - p, width + 1)]) for part in members]
    widths = np.array([columns.size for columns in own])
    lanes = _lanes(np.array([part.size for part in members]), widths, q)
    batches = np.array([-(-part.size // lanes) for part in members])
    ends = np.cumsum(batches)
    table = np.column_stack([ends - batches, ends, np.cumsum(widths) - widths, widths])
    levels = np.full((ends[-1], lanes), -1, np.int64)
    for part, end, count in zip(members, ends, batches, strict=True):
        levels[end - count : end].ravel()[: part.size] = part
    sizes = np.repeat(q * widths, batches)
    starts = np.cumsum(sizes) - sizes
    ZA = np.zeros((sizes.sum() + 3, lanes))  # rows are read four at a time
    for batch, column_set in enumerate(np.repeat(np.arange(len(members)), batches)):
        block = _batch(levels[batch], own[column_set], m.with_dense[primary], met, p)
        ZA[starts[batch] : starts[batch] + len(block)] = block
    ZZ = np.where(levels[..., None, None] >= 0, m.within[primary][levels], 0.0).transpose(0, 2, 3, 1)
    return LevelBatches(
        levels, table, np.concatenate(own), starts, np.ascontiguousarray(ZZ).reshape(-1, lanes), ZA
    )


def _batch(levels: Ints, columns: Ints, with_dense: Floats, met: "Met", p: int) -> Floats:
    """Return ``Z_g'[D y]`` of a batch's levels, (q × columns, L)."""
    q = with_dense.shape[1]
    block = np.zeros((q, columns.size, levels.size))
    for lane, g in enumerate(levels[levels >= 0]):
        block[:, columns.size - p - 1 :, lane] = with_dense[g]
        block[:, np.searchsorted(columns, met.of(g)), lane] = met.products[
            met.starts[g] : met.starts[g + 1]
        ].T
    return block.reshape(-1, levels.size)


def _lanes(sizes: Ints, widths: Ints, q: int) -> int:
    """Return how many levels to work on together: batches that fit the cache, few empty lanes."""
    fit = max(VECTOR, PIECE // int(q * widths.max(initial=1)) // VECTOR * VECTOR)
    choices = sorted(
        {
            min(lanes, fit, -(-int(sizes.max(initial=1)) // REGISTERS) * REGISTERS)
            for lanes in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
        }
    )
    cost = [float((-(-sizes // lanes) * widths**2 * (STEP + q * lanes / VECTOR)).sum()) for lanes in choices]
    return choices[int(np.argmin(cost))]


@dataclass(frozen=True)
class Met:
    """The other factors' dense columns that each level of the primary factor meets, and ``Z_g'D`` there."""

    starts: Ints  # (G + 1,)
    columns: Ints  # (met,) ascending within a level
    products: Floats  # (met, q)

    def of(self, level: int) -> Ints:
        """Return the columns of one level."""
        return self.columns[self.starts[level] : self.starts[level + 1]]

    def of_any(self, levels: Ints) -> Ints:
        """Return the columns that some of the levels meet, ascending."""
        return np.unique(np.concatenate([self.of(level) for level in levels]))


def _met(problem: GaussianProblem, m: Moments, primary: int, slots: Ints) -> Met:
    """Return which dense columns of other factors each level of the primary factor meets."""
    factor = problem.factors[primary]
    levels, columns, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros((0, factor.q))]
    for k, other in enumerate(problem.factors):
        if slots[k, 0] >= 0:
            level, other_level, products = m.pair(primary, k)
            levels.append(np.repeat(level, other.q))
            columns.append((slots[k, 0] + other_level[:, None] + np.arange(other.q) * other.n_levels).ravel())
            values.append(products.transpose(0, 2, 1).reshape(-1, factor.q))
    level, column = np.concatenate(levels), np.concatenate(columns)
    order = np.lexsort((column, level))
    starts = np.searchsorted(level[order], np.arange(factor.n_levels + 1)).astype(np.int64)
    return Met(starts, column[order], np.concatenate(values)[order])


def _similar_order(met: Met, width: int) -> Ints:
    """Return the levels so that those which meet the same columns are neighbours."""
    noise = np.random.default_rng(0).integers(1, 2**40, size=width)
    sums = np.concatenate([[0], np.cumsum(noise[met.columns])])
    fingerprint = sums[met.starts[1:]] - sums[met.starts[:-1]]
    lowest = np.append(met.columns, -1)[np.where(met.starts[1:] > met.starts[:-1], met.starts[:-1], -1)]
    return np.lexsort((fingerprint, lowest)).astype(np.int64)


def _group(order: Ints, met: Met, fixed: int, q: int) -> Ints:
    """Return where column sets end: a level joins the one before it if that costs less than a set of its own."""
    ends = np.empty(order.size, np.int64)
    room = np.empty((2, int(met.columns.max(initial=0)) + 1), np.int64)
    count = run(_find_ends, order, met.starts, met.columns, fixed, q, room[0], room[1], ends)
    return ends[: int(count)]


@compiled
def _find_ends(
    order: Ints, starts: Ints, columns: Ints, fixed: int, q: int, column_set: Ints, union: Ints, ends: Ints
) -> int:
    """Fill ends and return how many there are; `column_set` and `union` have room for all columns."""
    n_panels, size, width = 0, 0, 0
    for i in range(order.size):
        met = columns[starts[order[i]] : starts[order[i] + 1]]
        joined_width = _unite(column_set[:width], met, union)
        joined = (fixed + joined_width) ** 2 * (STEP + q * (size + 1) / VECTOR)
        apart = (fixed + width) ** 2 * (STEP + q * size / VECTOR) + (fixed + met.size) ** 2 * (
            STEP + q / VECTOR
        )
        if size > 0 and joined > apart:
            ends[n_panels] = i
            n_panels, size = n_panels + 1, 0
            joined_width = _unite(column_set[:0], met, union)
        size, width = size + 1, joined_width
        for j in range(width):
            column_set[j] = union[j]
    if size > 0:
        ends[n_panels] = order.size
        n_panels += 1
    return n_panels


@compiled
def _unite(a: Ints, b: Ints, out: Ints) -> int:
    """Write the union of two ascending arrays and return its size."""
    i = j = n = 0
    while i < a.size or j < b.size:
        if j == b.size or (i < a.size and a[i] <= b[j]):
            if j < b.size and a[i] == b[j]:
                j += 1
            out[n] = a[i]
            i += 1
        else:
            out[n] = b[j]
            j += 1
        n += 1
    return n
