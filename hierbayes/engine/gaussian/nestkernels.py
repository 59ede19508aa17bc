"""The collapsed log density of nested factors and its gradient: one elimination after another (numba).

Going up the chain, each level is eliminated from its own and all later columns, and what is left is added to its
parent's. Going back, the derivative in a parent's matrix gives those in its levels'. Symbols are those of
docs/engine.md, section 1.
"""

import numpy as np

from hierbayes.engine.core.hyperparameters import (
    LAM,
    LAM_SCORE,
    VALUE,
    add_scores,
    constrain,
    set_theta,
    to_position,
)
from hierbayes.engine.core.loops import (
    add,
    add_product,
    compiled,
    dot,
    fill,
    finite,
    set_product,
)
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.gaussian.cells import (
    add_to_parents,
    from_cells,
    score_columns,
    sum_columns,
    take_from_parents,
    to_cells,
    triangle,
    weighted_log,
)
from hierbayes.engine.gaussian.elimination import (
    EFFECT,
    A,
    J,
    V,
    factor_levels,
    information,
    inverse_variance,
    settled,
    solve_dense,
    times_transpose,
)
from hierbayes.engine.gaussian.kernels import gain, score_dense, spread_dense
from hierbayes.engine.gaussian.nested import NestedConstants, NestedMemory

K, GAIN, OWN = 2, 3, 4  # of solved, after J and A
FACTOR, SIZE, COUNT, PIECES, FIRST, SQUARES, TRIANGLES = 0, 1, 2, 3, 4, 5, 6  # columns of chain


@compiled
def nested_log_density(
    position: Floats, grad: Floats,
    origin: Floats, scale_tril: Floats, scalars: Floats, scales: Ints, scale_priors: Floats, factors: Ints,
    blocks: Ints, shapes: Floats, prior: Floats, chain: Ints, parents: Ints, counts: Floats, ZZ: Floats,
    patterns: Ints, homes: Ints, products: Floats, own: Floats, gram: Floats,
    theta: Floats, score: Floats, scale: Floats, shaped: Floats, lams: Floats, solved: Floats, tiles: Floats,
    rows: Floats, flat: Floats, spread: Floats, sums: Floats, left: Floats, scores: Floats, E: Floats,
    squares: Floats, vectors: Floats,
) -> float:  # fmt: skip
    """Return log p(y, theta) with all coefficients integrated out, at theta = origin + scale_tril position.

    Sets grad. Where the density cannot be evaluated it is -inf, with a gradient of zeros. The arguments after grad are
    `nested.NestedConstants` and `nested.NestedMemory`: numba takes arrays one by one in half the time of two tuples.
    """
    c = NestedConstants(
        origin, scale_tril, scalars, scales, scale_priors, factors, blocks, shapes, prior, chain, parents, counts, ZZ,
        patterns, homes, products, own, gram,
    )  # fmt: skip
    memory = NestedMemory(
        theta, score, scale, shaped, lams, solved, tiles, rows, flat, spread, sums, left,
        scores, E, squares, vectors,
    )  # fmt: skip
    set_theta(position, origin, scale_tril, theta)
    value = scalars[1] + constrain(theta, scales, scale_priors, factors, blocks, shapes, scale, shaped, lams)
    sigma = scale[VALUE, 0]
    is2 = inverse_variance(sigma, gram)
    half_log_det, quad = eliminate_chain(is2, c, memory)
    value += 0.5 * scalars[0] * np.log(is2) - half_log_det - 0.5 * quad
    if finite(value):
        spread_dense(factors, lams[LAM], squares, vectors)
        penalty, trace = score_dense(1.0, factors, prior, E, squares, vectors, lams[LAM_SCORE])
        explained = penalty + trace - prior.shape[1]
        for place in range(chain.shape[0] - 1, 0, -1):
            score_later(place, c, memory)
        score_first(is2, c, memory)
        for i in range(chain.shape[0]):
            k = chain[i, FACTOR]
            for a in range(chain[i, SIZE]):
                for b in range(a + 1):  # Σ E[u_g'u_g] less its dimension
                    explained += lams[LAM_SCORE, k, a, b] * lams[LAM, k, a, b]
        sigma_score = settled(sigma, is2, quad - scalars[0] - explained)
        add_scores(sigma_score, scales, scale_priors, factors, blocks, shapes, scale, shaped, lams, score)
    return to_position(value, score, scale_tril, grad)


@compiled
def eliminate_chain(is2: float, c: NestedConstants, memory: NestedMemory) -> tuple[float, float]:
    """Eliminate all levels and then b: fill all of memory up to MODE of its vectors.

    Returns ½ Σ log|I + Λ'AΛ| + ½ log|S| (NaN if S is not positive definite) and the quadratic form.
    """
    for i in range(c.information.shape[0]):
        fill(memory.information[i], 0.0)
        add(memory.information[i], is2, c.information[i])
    for i in range(memory.E.shape[0]):
        for j in range(memory.E.shape[0]):
            memory.E[i, j] = is2 * c.gram[i, j]
    total = eliminate_first(is2, c, memory)
    for place in range(1, c.chain.shape[0]):
        total += eliminate_later(place, c, memory)
    for i in range(memory.E.shape[0]):
        for j in range(i):
            memory.E[j, i] = memory.E[i, j]
    half_log_det, quad = solve_dense(
        1.0, c.factors, memory.lams[LAM], c.prior, memory.E, memory.squares, memory.vectors
    )
    return total + half_log_det, quad


@compiled
def eliminate_first(is2: float, c: NestedConstants, memory: NestedMemory) -> float:
    """Take the innermost factor's levels from their parents' matrices; return Σ log|L_g|."""
    q, batches, lanes = c.chain[0, SIZE], c.chain[0, PIECES], c.ZZ.shape[1]
    lam = memory.lams[LAM, c.chain[0, FACTOR]]
    total = 0.0
    for batch in range(batches):
        z = batch * q * q
        for i in range(q * q):
            fill(memory.solved[OWN, z + i], 0.0)
            add(memory.solved[OWN, z + i], is2, c.ZZ[z + i])
        shrink(q, lam, z, memory.solved, memory.tiles)
        for a in range(q):
            total -= weighted_log(c.counts[batch], memory.solved[J, z + a * q + a])
            for b in range(a + 1):
                pair = memory.flat[a * (a + 1) // 2 + b, batch * lanes : (batch + 1) * lanes]
                fill(pair, 0.0)
                add(pair, is2, memory.solved[K, z + a * q + b])
    to_cells(c.patterns, memory.flat, memory.spread)
    sum_columns(c.products, memory.spread, memory.sums)
    w = later_width(0, c.chain, c.prior)
    for i in range(w):
        for j in range(i + 1):
            entry = triangle(i, j)
            if c.chain.shape[0] == 1:
                memory.E[i, j] -= is2 * memory.sums[entry].sum()
            else:
                add_to_parents(c.homes[0], c.homes[1], entry, -is2, memory.sums[entry], memory.information)
    return total


@compiled
def shrink(q: int, lam: Floats, z: int, solved: Floats, tiles: Floats) -> float:
    """Set what is solved of a batch whose rows start at z, from its A; return Σ log|L|."""
    information(1.0, q, lam, solved[OWN], z, tiles[0], tiles[1])
    total = factor_levels(q, tiles[1], solved[J], z)
    times_transpose(q, lam, solved[J], solved[A], z)
    gain(q, solved, z, tiles[0])
    for i in range(q * q):
        fill(solved[GAIN, z + i], 0.0)
        add(solved[GAIN, z + i], 1.0, tiles[0, i])
    for a in range(q):
        for b in range(q):
            fill(solved[K, z + a * q + b], 0.0)
            for i in range(q):
                add_product(solved[K, z + a * q + b], 1.0, solved[A, z + i * q + a], solved[A, z + i * q + b])
    return total


@compiled
def later_width(place: int, chain: Ints, prior: Floats) -> int:
    """Return the number of columns that follow a factor's own: its ancestors' effects, X and y."""
    width = prior.shape[1] + 1
    for after in range(place + 1, chain.shape[0]):
        width += chain[after, SIZE]
    return width


@compiled
def eliminate_later(place: int, c: NestedConstants, memory: NestedMemory) -> float:
    """Eliminate a later factor's levels, adding what is left to their parents'; return Σ log|L_g|."""
    q, k, w = c.chain[place, SIZE], c.chain[place, FACTOR], later_width(place, c.chain, c.prior)
    size = (q + w) * (q + w + 1) // 2
    left = memory.tiles[0, 0]
    total = 0.0
    for batch in range(c.chain[place, PIECES]):
        z, b = c.chain[place, SQUARES] + batch * q * q, c.chain[place, TRIANGLES] + batch * size
        for i in range(q):
            for j in range(q):
                fill(memory.solved[OWN, z + i * q + j], 0.0)
                add(memory.solved[OWN, z + i * q + j], 1.0, memory.information[b + triangle(i, j)])
        total += shrink(q, memory.lams[LAM, k], z, memory.solved, memory.tiles)
        _explain(q, w, z, b, memory.solved[K], memory.information, memory.rows)
        for i in range(w):
            for j in range(i + 1):
                fill(left, 0.0)
                add(left, 1.0, memory.information[b + triangle(q + i, q + j)])
                for a in range(q):
                    add_product(
                        left, -1.0, memory.information[b + triangle(q + i, a)], memory.rows[j * q + a]
                    )
                if place == c.chain.shape[0] - 1:
                    memory.E[i, j] += left.sum()
                else:
                    home = c.chain[place, FIRST] + batch
                    add_to_parents(
                        c.parents[0, home], c.parents[1, home], triangle(i, j), 1.0, left, memory.information
                    )
    return total


@compiled
def _explain(q: int, w: int, z: int, b: int, shrinkage: Floats, left: Floats, rows: Floats) -> None:
    """Set rows (w, q) to later columns' products with the levels', times K."""
    for j in range(w):
        for a in range(q):
            fill(rows[j * q + a], 0.0)
            for d in range(q):
                add_product(rows[j * q + a], 1.0, shrinkage[z + a * q + d], left[b + triangle(q + j, d)])


@compiled
def _outer_score(i: int, j: int, V_: Floats, effect: Floats) -> float:
    """Return ∂/∂E: -½ (S⁻¹ + effect effect'), with nothing of S⁻¹ for y."""
    spread = V_[i, j] if i < V_.shape[0] and j < V_.shape[0] else 0.0
    return -0.5 * (spread + effect[i] * effect[j])


@compiled
def score_later(place: int, c: NestedConstants, memory: NestedMemory) -> None:
    """Add a later factor's ∂/∂Λ, and scores to the derivative in its levels' matrices, from their parents'."""
    q, k, w = c.chain[place, SIZE], c.chain[place, FACTOR], later_width(place, c.chain, c.prior)
    size = (q + w) * (q + w + 1) // 2
    shrinkage, mean, later = memory.tiles[2], memory.rows, memory.scores
    for batch in range(c.chain[place, PIECES]):
        z, b = c.chain[place, SQUARES] + batch * q * q, c.chain[place, TRIANGLES] + batch * size
        for i in range(w):
            for j in range(i + 1):
                row = later[b + triangle(q + i, q + j)]
                if place == c.chain.shape[0] - 1:
                    fill(row, _outer_score(i, j, memory.squares[V], memory.vectors[EFFECT]))
                else:
                    home = c.chain[place, FIRST] + batch
                    take_from_parents(
                        c.parents[0, home], c.parents[1, home], triangle(i, j), 1.0, memory.scores, row
                    )
        for i in range(w):  # mean (w, q): the parents' score times the products with the levels' effects
            for a in range(q):
                fill(mean[i * q + a], 0.0)
                for j in range(w):
                    row = memory.information[b + triangle(q + j, a)]
                    add_product(mean[i * q + a], 1.0, later[b + triangle(q + i, q + j)], row)
        for a in range(q):
            for d in range(q):
                fill(shrinkage[a * q + d], 0.0)
                for i in range(w):
                    row = memory.information[b + triangle(q + i, a)]
                    add_product(shrinkage[a * q + d], -1.0, row, mean[i * q + d])
        for i in range(w):
            for a in range(q):
                row = later[b + triangle(q + i, a)]
                fill(row, 0.0)
                for d in range(q):
                    add_product(row, -1.0, memory.solved[K, z + a * q + d], mean[i * q + d])
        _score_own(q, z, b, memory.solved[K], memory.tiles, memory.scores)
        _score_lam(
            q, z, c.counts[c.chain[place, FIRST] + batch], memory.solved, memory.tiles,
            memory.lams[LAM_SCORE, k],
        )  # fmt: skip


@compiled
def _score_own(q: int, z: int, b: int, shrinkage: Floats, tiles: Floats, scores: Floats) -> None:
    """Set scores in the levels' own information to -K (∂/∂K) K - ½ K; tiles[2] holds ∂/∂K."""
    half = tiles[1]
    for a in range(q):
        for d in range(q):
            fill(half[a * q + d], 0.0)
            for e in range(q):
                add_product(half[a * q + d], 1.0, shrinkage[z + a * q + e], tiles[2, e * q + d])
    for a in range(q):
        for d in range(a + 1):
            row = scores[b + triangle(a, d)]
            fill(row, 0.0)
            add(row, -0.5, shrinkage[z + a * q + d])
            for e in range(q):
                add_product(row, -1.0, half[a * q + e], shrinkage[z + e * q + d])


@compiled
def _score_lam(q: int, z: int, counts: Floats, solved: Floats, tiles: Floats, score: Floats) -> None:
    """Add Σ 2 (I - A K)(∂/∂K) G - counts A G over a batch's levels to score; tiles[2] holds ∂/∂K, G is GAIN."""
    first, second = tiles[0], tiles[1]
    for a in range(q):
        for d in range(q):
            fill(first[a * q + d], 0.0)
            for e in range(q):
                add_product(first[a * q + d], 2.0, tiles[2, a * q + e], solved[GAIN, z + e * q + d])
    for a in range(q):
        for d in range(q):
            set_product(second[a * q + d], counts, solved[GAIN, z + a * q + d])
            for e in range(q):
                add_product(second[a * q + d], 1.0, solved[K, z + a * q + e], first[e * q + d])
    for a in range(q):
        for d in range(a + 1):
            score[a, d] += first[a * q + d].sum()
            for e in range(q):
                score[a, d] -= dot(solved[OWN, z + a * q + e], second[e * q + d])


@compiled
def score_first(is2: float, c: NestedConstants, memory: NestedMemory) -> None:
    """Add the innermost factor's ∂/∂Λ, from the derivatives in its levels' parents' matrices."""
    q, k, lanes = c.chain[0, SIZE], c.chain[0, FACTOR], c.ZZ.shape[1]
    w = later_width(0, c.chain, c.prior)
    for i in range(w):
        for j in range(i + 1):
            entry, times = triangle(i, j), -is2 * (1.0 if i == j else 2.0)
            out = memory.sums[entry]
            if c.chain.shape[0] == 1:
                fill(out, times * _outer_score(i, j, memory.squares[V], memory.vectors[EFFECT]))
            else:
                take_from_parents(c.homes[0], c.homes[1], entry, times, memory.scores, out)
    score_columns(c.products, memory.sums, memory.spread)
    from_cells(c.patterns, memory.spread, memory.flat)
    for batch in range(c.chain[0, PIECES]):
        z = batch * q * q
        for a in range(q):
            for b in range(a + 1):
                pair = memory.flat[a * (a + 1) // 2 + b, batch * lanes : (batch + 1) * lanes]
                for row in (memory.tiles[2, a * q + b], memory.tiles[2, b * q + a]):
                    fill(row, 0.0)
                    add(row, is2 if a == b else 0.5 * is2, pair)
        _score_lam(q, z, c.counts[batch], memory.solved, memory.tiles, memory.lams[LAM_SCORE, k])
