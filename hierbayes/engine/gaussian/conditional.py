"""Exact draws of all coefficients given theta: dense ones first, then the primary factor's levels (numba)."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hierbayes.engine.core.hyperparameters import LAM, VALUE, Q, chol_shape, constrain, keep_draw
from hierbayes.engine.core.loops import add, add_lower_rows, add_product, compiled, fill
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.gaussian.elimination import (
    COLUMN,
    COLUMNS,
    EFFECT,
    END,
    FIRST,
    HALF,
    LEVELS,
    MODE,
    START,
    WIDTH,
    J,
    X,
    eliminate_levels,
    solve_dense,
)
from hierbayes.engine.gaussian.kernels import gain, level_mode, level_residual, set_effect
from hierbayes.engine.gaussian.packing import Packed

BATCH = 2_000_000  # numbers drawn together


class Arranged(Protocol):
    """A model whose coefficients are all integrated out."""

    @property
    def constants(self) -> Any:
        """What an evaluation reads."""

    @property
    def n_coefficients(self) -> int:
        """How many coefficients there are."""


@dataclass(frozen=True)
class Coefficients:
    """Draws given theta."""

    scale: Floats  # (draws, 1 + sds + shapes): sigma, the sds, the structures' parameters
    chol: Floats  # (draws, K, q, q): Cholesky factors of the correlation matrices, q the largest that isn't diagonal
    values: Floats  # (draws, p + Σ levels × q): b about the moments' reference, then each factor's deviations


def draw_coefficients(
    packed: Packed, thetas: Floats, seed: Sequence[int] | int, threads: int = 1, keep: int | None = None
) -> Coefficients:
    """Draw b and all group effects from their exact conditional, once for each theta.

    Parameters
    ----------
    packed : Packed
    thetas : array, shape (draws, n_theta)
    seed : int or sequence of int
        Same seed, same draws, whatever ``threads`` is.
    threads : int
        Batches of draws worked on at the same time.
    keep : int, optional
        How many of the coefficients to return, the first ones. Default: all.
    """
    thetas = np.ascontiguousarray(thetas, dtype=np.float64)

    def draw_batch(rows: slice, out: Floats, out_scale: Floats, out_chol: Floats) -> None:
        model: tuple[Any, ...] = (*packed.constants, *packed.memory())
        run(draw_conditional, thetas[rows], packed.levels, out, out_scale, out_chol, *model)

    return in_batches(packed, len(thetas), draw_batch, seed, threads, keep)


def in_batches(
    packed: Arranged,
    draws: int,
    draw_batch: Callable[[slice, Floats, Floats, Floats], None],
    seed: Sequence[int] | int,
    threads: int,
    keep: int | None,
    correlated: Ints | None = None,
) -> Coefficients:
    """Have ``draw_batch`` turn rows of standard normals into draws, some draws at a time on each thread.

    `correlated` has the blocks whose correlations are kept; default: all.
    """
    blocks = packed.constants.blocks if correlated is None else correlated
    scale = np.empty((draws, len(packed.constants.scales) + len(packed.constants.shapes)))
    chol = np.empty((draws, *chol_shape(len(packed.constants.factors), blocks)))
    values = np.empty((draws, packed.n_coefficients if keep is None else keep))
    size = max(1, BATCH // max(1, packed.n_coefficients))
    starts = range(0, draws, size)
    seeds = np.random.SeedSequence(seed).spawn(len(starts))

    def draw(start: int, batch_seed: np.random.SeedSequence) -> None:
        rows = slice(start, min(start + size, draws))
        shape = (rows.stop - start, packed.n_coefficients)
        normals = np.random.default_rng(batch_seed).standard_normal(shape)
        draw_batch(rows, normals, scale[rows], chol[rows])
        values[rows] = normals[:, :keep]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(draw, starts, seeds))
    return Coefficients(scale, chol, values)


@compiled
def draw_conditional(
    thetas: Floats, levels: Ints, out: Floats, out_scale: Floats, out_chol: Floats,
    origin: Floats, scale_tril: Floats, sizes: Ints, scalars: Floats, scales: Ints, scale_priors: Floats,
    factors: Ints, blocks: Ints, shapes: Floats, column_sets: Ints, columns: Ints, starts: Ints, ZZ: Floats, ZA: Floats,
    gram: Floats, prior: Floats, theta: Floats, score: Floats, scale: Floats, shaped: Floats, lams: Floats,
    inverses: Floats, tiles: Floats, rows: Floats, H: Floats, flat_H: Floats, column_set: Floats, E: Floats,
    squares: Floats, vectors: Floats,
) -> None:  # fmt: skip
    """Turn rows of independent standard normals into draws of all coefficients, one for each row of theta.

    Also store sigma, the sds and the structures' parameters, and the Cholesky factors of the correlation matrices.
    v = v̂ + R⁻ᵀε, then u_g = û_g(v) + L_g⁻ᵀz_g (docs/engine.md, section 1).
    """
    primary = sizes[0]
    q = factors[primary, Q] if primary >= 0 else 0
    for draw in range(thetas.shape[0]):
        constrain(thetas[draw], scales, scale_priors, factors, blocks, shapes, scale, shaped, lams)
        is2 = 1.0 / scale[VALUE, 0] ** 2
        keep_draw(draw, scale, shaped, lams, out_scale, out_chol)
        lam = lams[LAM, max(primary, 0)]
        eliminate_levels(
            is2, q, lam, column_sets, columns, starts, ZZ, ZA, gram, inverses, tiles, H, flat_H, column_set, E
        )
        solve_dense(is2, factors, lams[LAM], prior, E, squares, vectors)
        draw_dense_conditional(factors, lams[LAM], squares, vectors, out[draw])
        if primary >= 0:
            effects = out[draw, factors[primary, START] :]
            for k in range(column_sets.shape[0]):
                own = columns[column_sets[k, COLUMNS] : column_sets[k, COLUMNS] + column_sets[k, WIDTH]]
                for batch in range(column_sets[k, FIRST], column_sets[k, END]):
                    gain(q, inverses, batch * q * q, tiles[0])
                    level_residual(q, vectors[EFFECT], own, ZA, starts[batch], rows[0])
                    level_mode(is2, q, tiles[0], rows[0], rows[1])
                    _draw_batch_of_levels(q, lam, inverses[J], batch * q * q, levels[batch], rows, effects)


@compiled
def draw_dense_conditional(
    factors: Ints, lams: Floats, squares: Floats, vectors: Floats, out: Floats
) -> None:
    """Replace the dense coefficients' normals by their draw; set MODE and EFFECT to the draw's."""
    m = squares.shape[1]
    half, mode = vectors[HALF], vectors[MODE]
    p = m
    for k in range(factors.shape[0]):
        column, levels, start, q = factors[k, COLUMN], factors[k, LEVELS], factors[k, START], factors[k, Q]
        if column >= 0:
            p -= levels * q
            for level in range(levels):
                for a in range(q):
                    half[column + a * levels + level] += out[start + level * q + a]
    for i in range(p):
        half[m - p + i] += out[i]
    fill(mode, 0.0)
    add_lower_rows(mode, m, half[:m], squares[X], 0)
    set_effect(factors, lams, vectors)
    for i in range(p):
        out[i] = mode[m - p + i]
    for k in range(factors.shape[0]):
        column, levels, start, q = factors[k, COLUMN], factors[k, LEVELS], factors[k, START], factors[k, Q]
        if column >= 0:
            for level in range(levels):
                for a in range(q):
                    out[start + level * q + a] = -vectors[EFFECT, column + a * levels + level]


@compiled
def _draw_batch_of_levels(
    q: int, lam: Floats, inverse: Floats, z: int, levels: Ints, rows: Floats, effects: Floats
) -> None:
    """Replace a batch's normals in effects by Λ_k u_g, with the conditional mode of u_g in rows[1]."""
    normals, u, effect = rows[2], rows[1], rows[0]
    for a in range(q):
        fill(normals[a], 0.0)
        for i in range(levels.size):
            if levels[i] >= 0:
                normals[a, i] = effects[levels[i] * q + a]
    for a in range(q):
        for b in range(a, q):
            add_product(u[a], 1.0, inverse[z + b * q + a], normals[b])
    for c in range(q):
        fill(effect[c], 0.0)
        for a in range(c + 1):
            add(effect[c], lam[c, a], u[a])
        for i in range(levels.size):
            if levels[i] >= 0:
                effects[levels[i] * q + c] = effect[c, i]
