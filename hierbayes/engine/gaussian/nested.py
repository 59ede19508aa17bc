"""Moments of nested factors -> the arrays of the nested kernel: levels with the same Z'Z are merged, exactly.

Factors form a *chain* if each level of one lies in a single level of the next: pupils in classes in schools.
One alone is a chain too. What the innermost factor's levels add to everything later is linear in
K_g = Λ(Λ'Z_g'Z_gΛ/σ² + I)⁻¹Λ', which levels with the same Z_g'Z_g (a *pattern*) share. So their cross-products
with later columns are summed beforehand, once for each pattern and parent (a *cell*); see docs/engine.md, section 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.hyperparameters import block_table, effects_of, scale_table
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.gaussian.moments import Moments
from hierbayes.engine.gaussian.packing import constant
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.gaussian.route import chain_of, chained_seconds, parents_of

LANES = 64  # levels worked on together, at most
REGISTERS = 16  # numbers that an unrolled loop takes at once
COLUMN = 4  # cost of adding up a column, in multiplications


class NestedConstants(NamedTuple):
    """What an evaluation reads.

    F factors from the innermost; w later columns of the innermost's levels (effects of their ancestors, X, y). Levels
    come in batches of L lanes, each row of an array holds one number of every level; lanes without a level hold
    zeros.
    """

    origin: Floats  # (n_theta,), (n_theta, n_theta): as `packing.Constants`
    scale_tril: Floats
    scalars: Floats
    scales: Ints
    scale_priors: Floats
    factors: Ints
    blocks: Ints
    shapes: Floats
    prior: Floats  # (2, p): precision, mean about the moments' reference
    chain: Ints  # (F, 7): factor, q, levels (or patterns), batches, first of batches, row in A, row in information
    parents: Ints  # (2, Σ batches, L): first row of a level's parent in information, and its lane; 0 without a parent
    counts: Floats  # (Σ batches, L): levels that have a pattern; 1 for later factors' levels
    ZZ: Floats  # (batches × q², L): patterns
    patterns: Ints  # (cells of a column, columns): each cell's pattern; a column's cells have one parent
    homes: Ints  # (2, columns): the parent's first row in information, and its lane
    products: Floats  # (entries × pairs × cells, columns): Σ Z_g'[D y] ⊗ Z_g'[D y] by entry of w × w's lower triangle
    information: Floats  # (Σ batches × triangle, L): later factors' levels, themselves and later columns
    gram: Floats  # (p + 1, p + 1)


class NestedLevels(NamedTuple):
    """What draws of every level's effects read besides."""

    ZA: Floats  # (G, q, w): Z_g'[D y] of the innermost factor's levels
    pattern: Ints  # (G,): a level's pattern
    parent: Ints  # (F, most levels): number of a level's parent


class NestedMemory(NamedTuple):
    """What an evaluation writes; one for each thread."""

    theta: Floats  # (n_theta,)
    score: Floats  # (n_theta,)
    scale: Floats  # as `packing.Memory`
    shaped: Floats
    lams: Floats
    solved: Floats  # (5, rows, L): L⁻¹, L⁻¹Λ', K = Λ(I + Λ'AΛ)⁻¹Λ', Λ(I + Λ'AΛ)⁻¹, A; LL' = I + Λ'AΛ
    tiles: Floats  # (3, q², L)
    rows: Floats  # (q × w, L)
    flat: Floats  # (pairs, batches × L): K/σ² by pattern, then its score
    spread: Floats  # (pairs × cells, columns): the same by cell
    sums: Floats  # (entries, columns)
    information: Floats  # as the constants', less what the factors before take
    scores: Floats  # the derivative in it
    E: Floats  # (p + 1, p + 1)
    squares: Floats  # (5, p, p), as `packing.Memory`
    vectors: Floats  # (3, p + 1)


@dataclass(frozen=True)
class Nested:
    """A model whose factors form a chain, ready for evaluation."""

    constants: NestedConstants
    levels: NestedLevels
    n_theta: int
    n_coefficients: int

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.n_theta

    def standardised(self, origin: Floats, scale_tril: Floats) -> "Nested":
        """Return the model with another standardisation, as `packing.Packed.standardised`."""
        return replace(self, constants=self.constants._replace(origin=origin, scale_tril=scale_tril))

    def with_tails(self, tails: Floats) -> "Nested":
        """Return the model with other tails of its scales, (1 + Σq, 2)."""
        priors = np.column_stack([self.constants.scale_priors[:, :2], tails])
        return replace(self, constants=self.constants._replace(scale_priors=priors))

    def memory(self) -> NestedMemory:
        """Return memory for evaluations on one thread."""
        c = self.constants
        lanes, p, widest = c.ZZ.shape[1], c.prior.shape[1], effects_of(c.blocks)
        q = c.chain[:, 1]
        largest, width = int(q.max()), int(q[1:].sum()) + p + 1
        rows = int((c.chain[:, 3] * q**2).sum())
        pairs = int(q[0] * (q[0] + 1) // 2)
        return NestedMemory(
            np.zeros(self.n_theta),
            np.zeros(self.n_theta),
            np.zeros((3, len(c.scales))),
            np.zeros((7, len(c.shapes))),
            np.zeros((5, len(c.factors), widest, widest)),
            np.zeros((5, rows, lanes)),
            np.zeros((3, largest**2, lanes)),
            np.zeros((largest * width, lanes)),
            np.zeros((pairs, int(c.chain[0, 3]) * lanes)),
            np.zeros((pairs * len(c.patterns), c.patterns.shape[1])),
            np.zeros((len(c.products) // (pairs * len(c.patterns)), c.patterns.shape[1])),
            np.zeros_like(c.information),
            np.zeros_like(c.information),
            np.zeros((p + 1, p + 1)),
            np.zeros((5, p, p)),
            np.zeros((3, p + 1)),
        )


def nest(problem: GaussianProblem, m: Moments) -> Nested:
    """Arrange a problem's moments, if its factors form a chain.

    Raises
    ------
    ValueError
        If they don't.
    """
    order = chain_of([f.n_levels for f in problem.factors], lambda j, k: m.pair(j, k)[:2])
    if not order:
        raise ValueError("the factors are not nested")
    q = np.array([problem.factors[k].q for k in order])
    levels = [problem.factors[k].n_levels for k in order]
    parent = np.zeros((len(order), max(levels)), np.int64)
    for place, (inner, outer) in enumerate(pairwise(order)):
        parent[place, : levels[place]] = parents_of(*m.pair(inner, outer)[:2], levels[place])
    pattern, ZZ = _merge(m.within[order[0]])
    ZA = _with_later(m, order, 0)
    patterns, family, products = _sum_by_cell(ZA, pattern, parent[0, : levels[0]])
    sizes = [len(ZZ), *levels[1:]]
    lanes = min(LANES, -(-max(sizes) // REGISTERS) * REGISTERS)
    batches = np.array([-(-size // lanes) for size in sizes])
    squares = batches * q**2
    counts = [np.bincount(pattern).astype(np.float64), *(np.ones(size) for size in sizes[1:])]
    later = [_triangle(m, order, place) for place in range(1, len(order))]
    entries = np.array([0, *(rows.shape[1] for rows in later)])  # of a later factor's level
    first = np.cumsum(entries * batches) - entries * batches  # row in information
    parents = np.zeros((2, batches.sum(), lanes), np.int64)
    homes = np.zeros((2, family.size), np.int64)
    if later:
        homes[:] = first[1] + family // lanes * entries[1], family % lanes
    for place in range(1, len(later)):
        own, at = parent[place, : levels[place]], np.arange(levels[place])
        row = first[place + 1] + own // lanes * entries[place + 1]
        parents[:, batches[:place].sum() + at // lanes, at % lanes] = row, own % lanes
    sigma = problem.sigma_prior[None]
    scales, scale_priors = scale_table(sigma, problem.factors)
    blocks, shapes = block_table(sigma, problem.factors)
    p, all_q = problem.X.shape[1], np.array([f.q for f in problem.factors])
    sds = np.array([len(f.sd_priors) for f in problem.factors])
    all_levels = np.array([f.n_levels for f in problem.factors])
    starts = p + np.cumsum(all_levels * all_q) - all_levels * all_q
    constants = NestedConstants(
        origin=np.zeros(problem.n_theta),
        scale_tril=np.eye(problem.n_theta),
        scalars=np.array([m.n, constant(problem, m)]),
        scales=scales,
        scale_priors=scale_priors,
        factors=np.column_stack([all_q, 1 + np.cumsum(sds) - sds, np.full(q.size, -1), all_levels, starts]),
        blocks=blocks,
        shapes=shapes,
        prior=np.array([problem.prior_precision, problem.prior_mean - m.reference.b]),
        chain=np.column_stack(
            [order, q, sizes, batches, np.cumsum(batches) - batches, np.cumsum(squares) - squares, first]
        ),
        parents=parents,
        counts=np.concatenate(
            [_in_lanes(each[:, None], count, lanes) for each, count in zip(counts, batches, strict=True)]
        ),
        ZZ=_in_lanes(ZZ.reshape(len(ZZ), -1), batches[0], lanes),
        patterns=patterns,
        homes=homes,
        products=products,
        information=np.concatenate(
            [_in_lanes(*each, lanes) for each in zip(later, batches[1:], strict=True)]
            or [np.zeros((0, lanes))]
        ),
        gram=m.dense.copy(),
    )
    return Nested(
        constants, NestedLevels(ZA, pattern, parent), problem.n_theta, int(p + (all_levels * all_q).sum())
    )


def seconds_of(problem: GaussianProblem, m: Moments) -> float:
    """Return the time that a gradient takes if the factors form a chain: by the cells that are left."""
    factors = [(f.n_levels, f.q) for f in problem.factors]
    order = chain_of([levels for levels, _ in factors], lambda j, k: m.pair(j, k)[:2])
    keys, _ = _merge(m.within[order[0]])
    if len(order) > 1:
        keys = keys * factors[order[1]][0] + parents_of(*m.pair(*order[:2])[:2], keys.size)
    return chained_seconds(problem.X.shape[1], factors, np.unique(keys).size)


def _merge(ZZ: Floats) -> tuple[Ints, Floats]:
    """Return each level's pattern, and the patterns: the distinct ``Z_g'Z_g``, to the last bit."""
    flat = ZZ.reshape(len(ZZ), -1)
    order = np.lexsort(flat.T)
    new = np.ones(len(flat), bool)
    new[1:] = (flat[order[1:]] != flat[order[:-1]]).any(axis=1)
    pattern = np.empty(len(flat), np.int64)
    pattern[order] = np.cumsum(new) - 1
    return pattern, ZZ[order[new]]


def _with_later(m: Moments, order: Sequence[int], place: int) -> Floats:
    """Return a factor's cross-products (G, q, w) with its ancestors' effects, X and y."""
    own = m.with_dense[order[place]]
    parts = []
    for later in order[place + 1 :]:
        level, _, values = m.pair(order[place], later)
        part = np.zeros((len(own), own.shape[1], values.shape[2]))
        part[level] = values
        parts.append(part)
    return np.concatenate([*parts, own], axis=2)


def _triangle(m: Moments, order: Sequence[int], place: int) -> Floats:
    """Return the lower triangle (G, entries) of what the rows say about a later factor's level and what follows.

    The entries among later columns alone are 0: those columns' own products are added where they are eliminated.
    """
    later = _with_later(m, order, place)
    G, q, w = later.shape
    whole = np.zeros((G, q + w, q + w))
    whole[:, :q, :q] = m.within[order[place]]
    whole[:, q:, :q] = later.transpose(0, 2, 1)
    row, column = np.tril_indices(q + w)
    return whole[:, row, column]


def _sum_by_cell(ZA: Floats, pattern: Ints, parent: Ints) -> tuple[Ints, Ints, Floats]:
    """Return each column's patterns, parent and products: see `NestedConstants`. Places without a cell hold zeros."""
    G, q, w = ZA.shape
    order = np.lexsort((pattern, parent))
    new = np.ones(G, bool)
    new[1:] = (np.diff(pattern[order]) != 0) | (np.diff(parent[order]) != 0)
    first = np.flatnonzero(new)
    families, start, size = np.unique(parent[order[first]], return_index=True, return_counts=True)
    pairs = [(a, b) for a in range(q) for b in range(a + 1)]
    height = _height(size, len(pairs))
    columns = -(-size // height)
    width = -(-int(columns.sum()) // REGISTERS) * REGISTERS
    place = np.arange(len(first)) - np.repeat(start, size)
    column = np.repeat(np.cumsum(columns) - columns, size) + place // height
    patterns = np.zeros((height, width), np.int64)
    patterns[place % height, column] = pattern[order[first]]
    family = np.zeros(width, np.int64)
    family[: columns.sum()] = np.repeat(families, columns)
    entries = list(zip(*np.tril_indices(w), strict=True))
    products = np.zeros(
        (-(-len(entries) // 4) * 4, len(pairs), height, width)
    )  # entries are read four at a time
    for entry, (i, j) in enumerate(entries):
        for pair, (a, b) in enumerate(pairs):
            each = ZA[:, a, i] * ZA[:, b, j]
            if a != b:
                each = each + ZA[:, b, i] * ZA[:, a, j]
            products[entry, pair, place % height, column] = np.add.reduceat(each[order], first)
    return patterns, family, products.reshape(-1, width)


def _height(sizes: Ints, pairs: int) -> int:
    """Return how many cells to have in a column: few empty places, and few columns to add up."""
    choices = np.unique(np.minimum(np.arange(1, 65), sizes.max()))
    columns = (-(-sizes // choices[:, None])).sum(axis=1)
    return int(choices[np.argmin(-(-columns // REGISTERS) * REGISTERS * (pairs * choices + COLUMN))])


def _in_lanes(values: Floats, batches: int, lanes: int) -> Floats:
    """Return (levels, entries) as (batches × entries, lanes), zeros in lanes without a level."""
    padded = np.zeros((batches * lanes, values.shape[1]))
    padded[: len(values)] = values
    return np.ascontiguousarray(padded.reshape(batches, lanes, -1).transpose(0, 2, 1)).reshape(-1, lanes)
