"""Exact draws of all coefficients of nested factors given theta: b, then level by level inwards (numba)."""

from collections.abc import Sequence

import numpy as np

from hierbayes.engine.core.hyperparameters import LAM, VALUE, constrain, keep_draw
from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.gaussian.cells import triangle
from hierbayes.engine.gaussian.conditional import Coefficients, draw_dense_conditional, in_batches
from hierbayes.engine.gaussian.elimination import EFFECT, LEVELS, START, A
from hierbayes.engine.gaussian.nested import Nested, NestedConstants, NestedLevels, NestedMemory
from hierbayes.engine.gaussian.nestkernels import (
    COUNT,
    FACTOR,
    SIZE,
    SQUARES,
    TRIANGLES,
    K,
    eliminate_chain,
    later_width,
)


def draw_nested(
    model: Nested, thetas: Floats, seed: Sequence[int] | int, threads: int = 1, keep: int | None = None
) -> Coefficients:
    """Draw b and all group effects from their exact conditional, as `conditional.draw_coefficients`."""
    thetas = np.ascontiguousarray(thetas, dtype=np.float64)
    c, levels = model.constants, model.levels
    later, q = c.factors[c.chain[1:, FACTOR], LEVELS], c.chain[:, SIZE]

    def draw_batch(rows: slice, out: Floats, out_scale: Floats, out_chol: Floats) -> None:
        paths = np.zeros((int(later.sum()) + 1, levels.ZA.shape[2]))
        spreads = np.zeros((int(c.chain[0, COUNT]), 2 * int(q[0]) ** 2))
        room = paths, spreads, np.zeros(2 * int(q.max()))
        run(draw_nested_conditional, thetas[rows], out, out_scale, out_chol, *room, c, levels, model.memory())

    return in_batches(model, len(thetas), draw_batch, seed, threads, keep)


@compiled
def draw_nested_conditional(
    thetas: Floats, out: Floats, out_scale: Floats, out_chol: Floats, paths: Floats, spreads: Floats, pull: Floats,
    c: NestedConstants, levels: NestedLevels, memory: NestedMemory,
) -> None:  # fmt: skip
    """Turn rows of independent standard normals into draws of all coefficients, one for each row of theta.

    Given everything later, a level's effects are r_g = K_g (Z_g'(y - all later)/σ²) + ΛL_g⁻ᵀz_g. A row of paths has
    the effects of a level and of all that is later with a minus sign, and 1 for y.
    """
    for draw in range(thetas.shape[0]):
        constrain(
            thetas[draw], c.scales, c.scale_priors, c.factors, c.blocks, c.shapes, memory.scale, memory.shaped,
            memory.lams,
        )  # fmt: skip
        keep_draw(draw, memory.scale, memory.shaped, memory.lams, out_scale, out_chol)
        is2 = 1.0 / memory.scale[VALUE, 0] ** 2
        eliminate_chain(is2, c, memory)
        draw_dense_conditional(c.factors, memory.lams[LAM], memory.squares, memory.vectors, out[draw])
        row = paths.shape[0] - 1
        for i in range(memory.vectors.shape[1]):
            paths[row, i] = memory.vectors[EFFECT, i]
        for place in range(c.chain.shape[0] - 1, 0, -1):
            row -= c.factors[c.chain[place, FACTOR], LEVELS]
            _draw_later(place, row, out[draw], paths, pull, levels.parent[place], c, memory)
        _colour_first(is2, out[draw], paths, spreads, pull, c, levels, memory)


@compiled
def _draw_later(
    place: int, first: int, out: Floats, paths: Floats, pull: Floats, parent: Ints, c: NestedConstants,
    memory: NestedMemory,
) -> None:  # fmt: skip
    """Replace the normals of a later factor's levels, whose rows in paths begin at ``first``."""
    q, w, count = c.chain[place, SIZE], later_width(place, c.chain, c.prior), c.chain[place, COUNT]
    lanes = c.ZZ.shape[1]
    start = c.factors[c.chain[place, FACTOR], START]
    size = (q + w) * (q + w + 1) // 2
    for g in range(count):  # parents' rows follow; all levels of the outermost factor have the one parent 0
        batch, lane = g // lanes, g % lanes
        z, b = c.chain[place, SQUARES] + batch * q * q, c.chain[place, TRIANGLES] + batch * size
        later = paths[first + count + parent[g]]
        for a in range(q):
            pull[a] = 0.0
            for j in range(w):
                pull[a] += memory.information[b + triangle(q + j, a), lane] * later[j]
        for a in range(q):
            effect = 0.0
            for d in range(q):
                effect += memory.solved[K, z + a * q + d, lane] * pull[d]
                effect += memory.solved[A, z + d * q + a, lane] * out[start + g * q + d]
            paths[first + g, a] = -effect
        for j in range(w):
            paths[first + g, q + j] = later[j]
        for a in range(q):
            out[start + g * q + a] = -paths[first + g, a]


@compiled
def _colour_first(
    is2: float, out: Floats, paths: Floats, spreads: Floats, pull: Floats, c: NestedConstants, levels: NestedLevels,
    memory: NestedMemory,
) -> None:  # fmt: skip
    """Replace the normals of the innermost factor's levels."""
    q, lanes = c.chain[0, SIZE], c.ZZ.shape[1]
    start = c.factors[c.chain[0, FACTOR], START]
    for pattern in range(c.chain[0, COUNT]):
        z, lane = pattern // lanes * q * q, pattern % lanes
        for a in range(q):
            for d in range(q):
                spreads[pattern, 2 * (a * q + d)] = is2 * memory.solved[K, z + a * q + d, lane]
                spreads[pattern, 2 * (a * q + d) + 1] = memory.solved[A, z + d * q + a, lane]
    for g in range(levels.ZA.shape[0]):
        later, own = paths[levels.parent[0, g]], spreads[levels.pattern[g]]
        for a in range(q):
            total = 0.0
            for j in range(later.size):
                total += levels.ZA[g, a, j] * later[j]
            pull[a] = total
        for a in range(q):
            total = 0.0
            for d in range(q):
                at = 2 * (a * q + d)
                total += own[at] * pull[d] + own[at + 1] * out[start + g * q + d]
            pull[q + a] = total
        for a in range(q):
            out[start + g * q + a] = pull[q + a]
