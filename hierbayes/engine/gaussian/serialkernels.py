"""The density of rows whose residuals are correlated within series, its gradient, and draws of coefficients (numba).

See `serial` for the model. Given theta, b has the mean b̂ and the covariance V, and the effects u of a level, of
variance 1 before any row, given b the mean L_K⁻ᵀ(C_y − C_X b) and the covariance K⁻¹, K = I + Λ'Z'Z Λ, L_K its Cholesky
factor and C = L_K⁻¹Λ'Z'[X, y], all of whitened rows. What a row's residual is expected to be times another's of its
series is the inner product of two vectors, (v, L_K⁻¹Λ'z, T(x − G'Λ'z)), with v the residual at the means, G = L_K⁻ᵀC_X
and T'T = V. With M the matrix of these the score of R is ½ L⁻ᵀ(M − I)L⁻¹: Fisher's identity.
"""

from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.hyperparameters import (
    CHOL,
    LAM,
    LAM_SCORE,
    SLOPE,
    VALUE,
    add_scores,
    constrain,
    keep_draw,
    set_theta,
    to_position,
)
from hierbayes.engine.core.loops import (
    cholesky,
    compiled,
    dot,
    fill,
    finite,
    gram_of_lower,
    invert_lower,
)
from hierbayes.engine.core.problem import Floats, Ints

A, INVERSE, COVARIANCE = 0, 1, 2  # of the coefficients: precision's Cholesky factor, its inverse T, V
TO_LEVEL, EFFECTS, GAIN, PULL, SCALED = (
    0,
    1,
    2,
    3,
    4,
)  # a level's room: Λ'Z'[X, y]; û; G; T G'; Λ'z and x − G'Λ'z
LOG, SCORE = 0, 1  # of own scales


class SerialConstants(NamedTuple):
    """What an evaluation reads: N rows of series, in patterns of times."""

    origin: Floats  # (n_theta,): theta is origin + scale_tril position
    scale_tril: Floats  # (n_theta, n_theta)
    sizes: Ints  # (4,): effects q of a level, coefficients p, own scales S, whether these are one sigma of all rows
    scalars: Floats  # (1,): the log density's part that does not depend on theta
    scales: Ints  # see `packing.Constants`; own ones, the effects' sds, and 1
    scale_priors: Floats
    factors: Ints  # (1 or 2, 5): that of the levels, and the series: times, first scale, …
    blocks: Ints
    shapes: Floats
    rows: Floats  # (N, q + p + 1): Z, X and the response about the reference, level by level and series by series
    sigma: Floats  # (N, S + 1): log sigma is the sum of these times the logs of own scales, and the last
    counts: Floats  # (series,): how many of them each stands for
    starts: Ints  # (series + 1,): where each series begins
    patterns: Ints  # (series,): the pattern of its times
    levels: Ints  # (levels + 1,): where each level's series begin
    times: Ints  # of all patterns, ascending in each
    time_starts: Ints  # (patterns + 1,): where a pattern's times begin
    root_starts: Ints  # (patterns + 1,): and its matrices
    prior: Floats  # (2, p): precision, mean


class SerialMemory(NamedTuple):
    """What an evaluation writes; one for each thread, T times, w = q + p + 1."""

    theta: Floats
    score: Floats
    scale: Floats
    shaped: Floats
    lams: Floats
    factor: Floats  # (T, T): L of a pattern
    inverse: Floats  # (T, T): L⁻¹
    spread: Floats  # (T, T): M − I
    half: Floats  # (T, T): L⁻ᵀ times that
    volumes: Floats  # (patterns,): log|L|
    roots: Floats  # L of all patterns
    inverses: Floats  # L⁻¹
    spreads: Floats  # sums of M − I over series
    sds: Floats  # (N,): 1 / sigma
    white: Floats  # (N, w): whitened rows
    terms: Floats  # (2, T, w): the vectors of rows, and of their sums
    products: Floats  # (w, w): cross-products of a level's whitened rows
    level_inverse: Floats  # (levels, q, q): L_K⁻¹
    level_columns: Floats  # (levels, q, p + 1): C
    level_square: Floats  # (q, q): K
    level_room: Floats
    H: Floats  # (p + 1, p + 1): sum of cross-products less C'C
    squares: Floats  # (3, p, p)
    vectors: Floats  # (2, p): b̂; what it comes from
    own: Floats  # (2, S): logs of own scales, their scores


@compiled
def serial_log_density(position: Floats, grad: Floats, c: SerialConstants, memory: SerialMemory) -> float:
    """Return log p(y, theta) with coefficients and effects integrated out, and set grad; -inf where it can't be."""
    set_theta(position, c.origin, c.scale_tril, memory.theta)
    value = c.scalars[0] + constrain(
        memory.theta, c.scales, c.scale_priors, c.factors, c.blocks, c.shapes, memory.scale, memory.shaped, memory.lams
    )  # fmt: skip
    value += integrate(c, memory)
    if finite(value):
        score_rows(c, memory)
        add_scores(
            memory.own[SCORE, 0], c.scales, c.scale_priors, c.factors, c.blocks, c.shapes, memory.scale, memory.shaped,
            memory.lams, memory.score,
        )  # fmt: skip
        for i in range(1, c.sizes[2]):
            if c.scales[i, 0] >= 0:
                slope = memory.scale[SLOPE, i] / memory.scale[VALUE, i]
                memory.score[c.scales[i, 0]] += memory.own[SCORE, i] * slope
    return to_position(value, memory.score, c.scale_tril, grad)


# -- the integral ----------------------------------------------------------------------------------------------------


@compiled
def integrate(c: SerialConstants, memory: SerialMemory) -> float:
    """Return the log density of the rows, but for its constant; set b̂, V and what effects follow from."""
    q, p = c.sizes[0], c.sizes[1]
    set_roots(c, memory)
    for i in range(c.sizes[2]):
        memory.own[LOG, i] = np.log(memory.scale[VALUE, i])
    memory.H[:] = 0.0
    value = 0.0
    for level in range(c.levels.size - 1):
        memory.products[:] = 0.0
        for g in range(c.levels[level], c.levels[level + 1]):
            value -= c.counts[g] * memory.volumes[c.patterns[g]] + whiten(g, c, memory)
            for i in range(c.starts[g], c.starts[g + 1]):
                for a in range(q + p + 1):
                    for b in range(a + 1):
                        memory.products[a, b] += memory.white[i, a] * memory.white[i, b]
        if q > 0:
            value -= eliminate(level, c, memory)
        for a in range(p + 1):
            for b in range(a + 1):
                memory.H[a, b] += memory.products[q + a, q + b]
    return value + solve(c.prior, memory.H, memory.squares, memory.vectors)


@compiled
def set_roots(c: SerialConstants, memory: SerialMemory) -> None:
    """Set L, L⁻¹ and log|L| of every pattern from the root of the correlations of all times."""
    root = memory.lams[CHOL, c.factors.shape[0] - 1]
    for pattern in range(c.time_starts.size - 1):
        times = c.times[c.time_starts[pattern] : c.time_starts[pattern + 1]]
        m, at = times.size, c.root_starts[pattern]
        L, X = memory.factor[:m, :m], memory.inverse[:m, :m]
        for i in range(m):
            for j in range(i + 1):
                L[i, j] = dot(root[times[i], : times[j] + 1], root[times[j], : times[j] + 1])
        memory.volumes[pattern] = cholesky(L)
        invert_lower(L, X)
        for i in range(m):
            for j in range(m):
                memory.roots[at + i * m + j] = L[i, j] if j <= i else 0.0
                memory.inverses[at + i * m + j] = X[i, j] if j <= i else 0.0


@compiled
def whiten(g: int, c: SerialConstants, memory: SerialMemory) -> float:
    """Set the whitened rows of a series; return the sum of log sigma over those that it stands for."""
    first, m = c.starts[g], c.starts[g + 1] - c.starts[g]
    at, own, total = c.root_starts[c.patterns[g]], c.sizes[2], 0.0
    for i in range(first, first + m):
        log_sigma = c.sigma[i, own]
        for j in range(own):
            log_sigma += c.sigma[i, j] * memory.own[LOG, j]
        total += log_sigma
        memory.sds[i] = np.exp(-log_sigma)
    for i in range(m):
        for column in range(c.rows.shape[1]):
            summed = 0.0
            for j in range(i + 1):
                summed += memory.inverses[at + i * m + j] * memory.sds[first + j] * c.rows[first + j, column]
            memory.white[first + i, column] = summed
    return c.counts[g] * total


@compiled
def eliminate(level: int, c: SerialConstants, memory: SerialMemory) -> float:
    """Take a level's effects out of the products of its rows; return ½ log|K|."""
    q, width = c.sizes[0], c.sizes[1] + 1
    lam, products, K = memory.lams[LAM, 0], memory.products, memory.level_square
    inverse, columns, pulled = (
        memory.level_inverse[level],
        memory.level_columns[level],
        memory.level_room[TO_LEVEL],
    )
    for a in range(q):
        for b in range(a):
            products[b, a] = products[a, b]
    for a in range(q):
        for b in range(a + 1):
            total = 1.0 if a == b else 0.0
            for i in range(a, q):
                total += lam[i, a] * dot(products[i, b:q], lam[b:q, b])
            K[a, b] = total
        for j in range(width):
            pulled[a, j] = 0.0
            for i in range(a, q):
                pulled[a, j] += lam[i, a] * products[q + j, i]
    value = cholesky(K)
    invert_lower(K, inverse)
    for a in range(q):
        for j in range(width):
            columns[a, j] = 0.0
            for i in range(a + 1):
                columns[a, j] += inverse[a, i] * pulled[i, j]
    for i in range(width):
        for j in range(i + 1):
            for a in range(q):
                products[q + i, q + j] -= columns[a, i] * columns[a, j]
    return value


@compiled
def solve(prior: Floats, H: Floats, squares: Floats, vectors: Floats) -> float:
    """Set b̂ and V; return the log density of the whitened response, its coefficients integrated out."""
    p = prior.shape[1]
    S, mode, right = squares[A], vectors[0], vectors[1]
    square = float(H[p, p])
    for i in range(p):
        for j in range(i + 1):
            S[i, j] = H[i, j]
        S[i, i] += prior[0, i]
        right[i] = H[p, i] + prior[0, i] * prior[1, i]
        square += prior[0, i] * prior[1, i] * prior[1, i]
    volume = cholesky(S)
    invert_lower(S, squares[INVERSE])
    gram_of_lower(squares[INVERSE], squares[COVARIANCE])
    for i in range(p):
        mode[i] = dot(squares[COVARIANCE, i], right)
    return -volume - 0.5 * (square - dot(mode, right))


# -- the gradient ----------------------------------------------------------------------------------------------------


@compiled
def score_rows(c: SerialConstants, memory: SerialMemory) -> None:
    """Set the scores of own scales, of the effects' Λ and of the root of the correlations of all times."""
    fill(memory.spreads, 0.0)
    fill(memory.own[SCORE], 0.0)
    memory.lams[LAM_SCORE] = 0.0
    for level in range(c.levels.size - 1):
        set_level(level, c, memory)
        for g in range(c.levels[level], c.levels[level + 1]):
            set_terms(level, g, c, memory)
            add_spread(g, c, memory)
    root_score = memory.lams[LAM_SCORE, c.factors.shape[0] - 1]
    root = memory.lams[CHOL, c.factors.shape[0] - 1]
    for pattern in range(c.time_starts.size - 1):
        add_root_score(pattern, root, root_score, c, memory)


@compiled
def set_level(level: int, c: SerialConstants, memory: SerialMemory) -> None:
    """Set a level's û, G and T G'."""
    q, p = c.sizes[0], c.sizes[1]
    inverse, columns, room = memory.level_inverse[level], memory.level_columns[level], memory.level_room
    mode, T = memory.vectors[0], memory.squares[INVERSE]
    for a in range(q):
        room[EFFECTS, 0, a] = 0.0
        for j in range(p):
            room[GAIN, a, j] = 0.0
        for i in range(a, q):
            room[EFFECTS, 0, a] += inverse[i, a] * (columns[i, p] - dot(columns[i, :p], mode))
            for j in range(p):
                room[GAIN, a, j] += inverse[i, a] * columns[i, j]
    for i in range(p):
        for a in range(q):
            room[PULL, i, a] = 0.0
            for j in range(i + 1):
                room[PULL, i, a] += T[i, j] * room[GAIN, a, j]


@compiled
def set_terms(level: int, g: int, c: SerialConstants, memory: SerialMemory) -> None:
    """Set the vectors of a series' rows, whose inner products are M, and add to the score of Λ."""
    q, p = c.sizes[0], c.sizes[1]
    inverse, room, lam = memory.level_inverse[level], memory.level_room, memory.lams[LAM, 0]
    mode, T, scores = memory.vectors[0], memory.squares[INVERSE], memory.lams[LAM_SCORE, 0]
    z, x = room[SCALED, 0], room[SCALED, 1]
    for i in range(c.starts[g + 1] - c.starts[g]):
        white, term = memory.white[c.starts[g] + i], memory.terms[0, i]
        for a in range(q):
            z[a] = dot(white[a:q], lam[a:q, a])
        term[0] = white[q + p] - dot(white[q : q + p], mode) - dot(z[:q], room[EFFECTS, 0, :q])
        for j in range(p):
            x[j] = white[q + j] - dot(z[:q], room[GAIN, :q, j])
        for a in range(q):
            term[1 + a] = dot(inverse[a, : a + 1], z[: a + 1])
        for j in range(p):
            term[1 + q + j] = dot(T[j, : j + 1], x[: j + 1])
        for b in range(q):
            pull = term[0] * room[EFFECTS, 0, b] + dot(term[1 + q : 1 + q + p], room[PULL, :p, b])
            pull -= dot(term[1 + b : 1 + q], inverse[b:, b])
            for a in range(b, q):
                scores[a, b] += white[a] * pull


@compiled
def add_spread(g: int, c: SerialConstants, memory: SerialMemory) -> None:
    """Add a series' M − I to that of its pattern, and its part to the scores of own scales."""
    first, m, count = c.starts[g], c.starts[g + 1] - c.starts[g], c.counts[g]
    at, own = c.root_starts[c.patterns[g]], c.sizes[2]
    terms, sums = memory.terms[0], memory.terms[1]
    for i in range(m):
        for j in range(i + 1):
            memory.spreads[at + i * m + j] += dot(terms[i], terms[j])
        memory.spreads[at + i * m + i] -= count
    if c.sizes[3] == 1:
        for i in range(m):
            memory.own[SCORE, 0] += dot(terms[i], terms[i]) - count
        return
    for i in range(m):  # (L M L⁻¹)_ii
        fill(sums[0], 0.0)
        fill(sums[1], 0.0)
        for j in range(i + 1):
            for a in range(sums.shape[1]):
                sums[0, a] += memory.roots[at + i * m + j] * terms[j, a]
        for j in range(i, m):
            for a in range(sums.shape[1]):
                sums[1, a] += memory.inverses[at + j * m + i] * terms[j, a]
        score = dot(sums[0], sums[1]) - count
        for k in range(own):
            memory.own[SCORE, k] += c.sigma[first + i, k] * score


@compiled
def add_root_score(
    pattern: int, root: Floats, root_score: Floats, c: SerialConstants, memory: SerialMemory
) -> None:
    """Add L⁻ᵀ (M − I) L⁻¹ times the root's rows of a pattern's times."""
    times = c.times[c.time_starts[pattern] : c.time_starts[pattern + 1]]
    m, at, spread, half = times.size, c.root_starts[pattern], memory.spread, memory.half
    for i in range(m):
        for j in range(i + 1):
            spread[i, j] = spread[j, i] = memory.spreads[at + i * m + j]
    for i in range(m):
        for j in range(m):
            total = 0.0
            for k in range(i, m):
                total += memory.inverses[at + k * m + i] * spread[k, j]
            half[i, j] = total
    for i in range(m):
        for j in range(m):
            score = 0.0
            for k in range(j, m):
                score += half[i, k] * memory.inverses[at + k * m + j]
            for column in range(min(times[i], times[j]) + 1):
                root_score[times[i], column] += score * root[times[j], column]


# -- draws -----------------------------------------------------------------------------------------------------------


@compiled
def draw_serial_conditional(
    thetas: Floats, out: Floats, out_scale: Floats, out_chol: Floats, c: SerialConstants, memory: SerialMemory
) -> None:
    """Turn rows of independent standard normals into draws of coefficients and effects, one a row of theta.

    b̂ + T'z, and then of each level Λ L_K⁻ᵀ(C_y − C_X b + z).
    """
    q, p = c.sizes[0], c.sizes[1]
    lam, T, b = memory.lams[LAM, 0], memory.squares[INVERSE], memory.vectors[1]
    shifted, effect = memory.level_room[TO_LEVEL, 0], memory.level_room[EFFECTS, 0]
    for draw in range(thetas.shape[0]):
        constrain(
            thetas[draw], c.scales, c.scale_priors, c.factors, c.blocks, c.shapes, memory.scale, memory.shaped,
            memory.lams,
        )  # fmt: skip
        keep_draw(draw, memory.scale, memory.shaped, memory.lams, out_scale, out_chol)
        integrate(c, memory)
        for i in range(p):
            b[i] = memory.vectors[0, i] + dot(T[i:, i], out[draw, i:p])
        for i in range(p):
            out[draw, i] = b[i]
        for level in range(c.levels.size - 1 if q > 0 else 0):
            inverse, columns, first = memory.level_inverse[level], memory.level_columns[level], p + level * q
            for a in range(q):
                shifted[a] = columns[a, p] - dot(columns[a, :p], b) + out[draw, first + a]
            for a in range(q):
                effect[a] = dot(inverse[a:, a], shifted[a:q])
            for a in range(q):
                out[draw, first + a] = dot(lam[a, : a + 1], effect[: a + 1])
