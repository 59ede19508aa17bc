"""The collapsed log density and its gradient (numba). Symbols are those of docs/engine.md, section 1."""

import numpy as np

from hierbayes.engine.core.hyperparameters import (
    LAM,
    LAM_SCORE,
    VALUE,
    Q,
    add_scores,
    constrain,
    set_theta,
    to_position,
)
from hierbayes.engine.core.loops import (
    add,
    add_product,
    combine,
    compiled,
    dot,
    fill,
    finite,
    gram_of_lower,
    unscale_columns,
    unscale_rows,
)
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.gaussian.elimination import (
    COLUMN,
    COLUMNS,
    EFFECT,
    END,
    FIRST,
    LEVELS,
    MEAN,
    MODE,
    PRECISION,
    WIDTH,
    A,
    F,
    J,
    V,
    W,
    X,
    eliminate_levels,
    inverse_variance,
    settled,
    solve_dense,
)


@compiled
def log_density(
    position: Floats, grad: Floats,
    origin: Floats, scale_tril: Floats, sizes: Ints, scalars: Floats, scales: Ints, scale_priors: Floats,
    factors: Ints, blocks: Ints, shapes: Floats, column_sets: Ints, columns: Ints, starts: Ints, ZZ: Floats, ZA: Floats,
    gram: Floats, prior: Floats, theta: Floats, score: Floats, scale: Floats, shaped: Floats, lams: Floats,
    inverses: Floats, tiles: Floats, rows: Floats, H: Floats, flat_H: Floats, column_set: Floats, E: Floats,
    squares: Floats, vectors: Floats,
) -> float:  # fmt: skip
    """Return log p(y, theta) with all coefficients integrated out, at theta = origin + scale_tril position.

    Sets grad to the gradient in position. The arguments after grad are `packing.Constants` and
    `packing.Memory`. Where the density cannot be evaluated (an overflow, a singular S) it is -inf, with a
    gradient of zeros.
    """
    set_theta(position, origin, scale_tril, theta)
    value = scalars[1] + constrain(theta, scales, scale_priors, factors, blocks, shapes, scale, shaped, lams)
    likelihood, sigma_score = log_likelihood(
        sizes, scalars, factors, column_sets, columns, starts, ZZ, ZA, gram, prior, scale, lams, inverses, tiles, rows,
        H, flat_H, column_set, E, squares, vectors,
    )  # fmt: skip
    value += likelihood
    if finite(value):
        add_scores(sigma_score, scales, scale_priors, factors, blocks, shapes, scale, shaped, lams, score)
    return to_position(value, score, scale_tril, grad)


@compiled
def log_likelihood(
    sizes: Ints, scalars: Floats, factors: Ints, column_sets: Ints, columns: Ints, starts: Ints, ZZ: Floats, ZA: Floats,
    gram: Floats, prior: Floats, scale: Floats, lams: Floats, inverses: Floats, tiles: Floats, rows: Floats,
    H: Floats, flat_H: Floats, column_set: Floats, E: Floats, squares: Floats, vectors: Floats,
) -> tuple[float, float]:  # fmt: skip
    """Return log p(y | theta) without the constant scalars[1], and its derivative in log sigma.

    Sets the derivatives in each Λ too (LAM_SCORE), 0 for factors that are neither primary nor dense. They hold
    if the value is finite.
    """
    sigma = scale[VALUE, 0]
    is2 = inverse_variance(sigma, gram)
    primary = sizes[0]
    q = factors[primary, Q] if primary >= 0 else 0
    lam = lams[LAM, max(primary, 0)]
    half_log_det = eliminate_levels(
        is2, q, lam, column_sets, columns, starts, ZZ, ZA, gram, inverses, tiles, H, flat_H, column_set, E
    )
    dense_half_log_det, quad = solve_dense(is2, factors, lams[LAM], prior, E, squares, vectors)
    value = 0.5 * scalars[0] * np.log(is2) - half_log_det - dense_half_log_det - 0.5 * quad
    if not finite(value):
        return value, 0.0
    spread_dense(factors, lams[LAM], squares, vectors)
    penalty, trace = score_dense(is2, factors, prior, E, squares, vectors, lams[LAM_SCORE])
    level_penalty, level_trace = _score_levels(
        is2, q, lam, column_sets, columns, starts, ZZ, ZA, inverses, tiles, rows, column_set, squares[W],
        vectors[EFFECT], lams[LAM_SCORE, max(primary, 0)],
    )  # fmt: skip
    # Fisher's identity: E[Σ (y - η)²]/σ² - n, from the conditional mode and covariance
    explained = penalty + level_penalty + trace + level_trace - prior.shape[1] - sizes[1]
    return value, settled(sigma, is2, quad - scalars[0] - explained)


@compiled
def spread_dense(factors: Ints, lams: Floats, squares: Floats, vectors: Floats) -> None:
    """Set V = S⁻¹, W = T V T' and EFFECT."""
    m = squares.shape[1]
    gram_of_lower(squares[X], squares[V])
    for i in range(m):
        for j in range(m):
            squares[W, i, j] = squares[V, i, j]
    for k in range(factors.shape[0]):
        start, levels, q = factors[k, COLUMN], factors[k, LEVELS], factors[k, Q]
        if start >= 0:
            unscale_columns(squares[W], start, levels, q, lams[k])
            unscale_rows(squares[W], start, levels, q, lams[k])
    set_effect(factors, lams, vectors)


@compiled
def set_effect(factors: Ints, lams: Floats, vectors: Floats) -> None:
    """Set EFFECT = (-T v, 1) with v = MODE: its sum over [D y] is the residual of the dense coefficients."""
    m = vectors.shape[1] - 1
    for i in range(m):
        vectors[EFFECT, i] = -vectors[MODE, i]
    vectors[EFFECT, m] = 1.0
    for k in range(factors.shape[0]):
        if factors[k, COLUMN] >= 0:
            unscale_columns(vectors[EFFECT:], factors[k, COLUMN], factors[k, LEVELS], factors[k, Q], lams[k])


@compiled
def score_dense(
    is2: float, factors: Ints, prior: Floats, E: Floats, squares: Floats, vectors: Floats, scores: Floats
) -> tuple[float, float]:
    """Set scores to ∂/∂T = [(e - E T v̂) v̂' - E T V]/σ² summed over each dense factor's levels.

    Returns (v̂ - μ)'P(v̂ - μ) and tr(P V).
    """
    m = prior.shape[1]
    penalty, trace = 0.0, 0.0
    for i in range(m):
        penalty += prior[PRECISION, i] * (vectors[MODE, i] - prior[MEAN, i]) ** 2
        trace += prior[PRECISION, i] * squares[V, i, i]
    for k in range(factors.shape[0]):
        q = factors[k, Q]
        for a in range(q):
            fill(scores[k, a], 0.0)
        if factors[k, COLUMN] >= 0:
            levels = factors[k, LEVELS]
            for at in range(factors[k, COLUMN], factors[k, COLUMN] + levels):
                for a in range(q):
                    left = dot(E[at + a * levels], vectors[EFFECT])
                    for b in range(a + 1):
                        spread = dot(squares[F, at + a * levels], squares[V, at + b * levels])
                        scores[k, a, b] += is2 * (left * vectors[MODE, at + b * levels] - spread)
    return penalty, trace


@compiled
def _score_levels(
    is2: float, q: int, lam: Floats, column_sets: Ints, columns: Ints, starts: Ints, ZZ: Floats, ZA: Floats,
    inverses: Floats, tiles: Floats, rows: Floats, column_set: Floats, W: Floats, effect: Floats, score: Floats,
) -> tuple[float, float]:  # fmt: skip
    """Add the primary factor's ∂/∂Λ to score; return Σ û_g'û_g and Σ tr Cov(u_g)."""
    K, Q_, P, C, Y = tiles[0], tiles[1], tiles[2], tiles[3], tiles[4]
    penalty, trace = 0.0, 0.0
    for k in range(column_sets.shape[0]):
        width = column_sets[k, WIDTH]
        own = columns[column_sets[k, COLUMNS] : column_sets[k, COLUMNS] + width]
        for i in range(width - 1):  # half the diagonal: see _spread
            for j in range(i):
                column_set[i, j] = W[own[i], own[j]]
            column_set[i, i] = 0.5 * W[own[i], own[i]]
        for batch in range(column_sets[k, FIRST], column_sets[k, END]):
            z = batch * q * q
            gain(q, inverses, z, K)
            level_residual(q, effect, own, ZA, starts[batch], rows[0])
            level_mode(is2, q, K, rows[0], rows[1])
            _spread(q, width, column_set, ZA, starts[batch], P, Q_, rows[2, 0])
            _covary(is2, q, K, Q_, P, C)
            for a in range(q):
                penalty += dot(rows[1, a], rows[1, a])
                for b in range(a + 1):
                    trace += dot(inverses[J, z + a * q + b], inverses[J, z + a * q + b])
                trace += C[a * q + a].sum()
            _score_piece(is2, q, lam, ZZ, z, rows[0], rows[1], K, P, C, Y, score)
    return penalty, trace


@compiled
def gain(q: int, inverses: Floats, z: int, K: Floats) -> None:
    """Set K = Λ M_g⁻¹ = (L⁻¹Λ')'L⁻¹ of a batch's levels."""
    for c in range(q):
        for a in range(q):
            fill(K[c * q + a], 0.0)
            for b in range(a, q):
                add_product(K[c * q + a], 1.0, inverses[A, z + b * q + c], inverses[J, z + b * q + a])


@compiled
def level_residual(q: int, effect: Floats, own: Ints, ZA: Floats, start: int, residual: Floats) -> None:
    """Set residual = Z_g'(y - D T v) of a batch's levels."""
    for a in range(q):
        fill(residual[a], 0.0)
        for j in range(own.size):
            add(residual[a], effect[own[j]], ZA[start + a * own.size + j])


@compiled
def level_mode(is2: float, q: int, K: Floats, residual: Floats, u: Floats) -> None:
    """Set u = K'residual/σ², the mode of u_g given the dense coefficients."""
    for a in range(q):
        fill(u[a], 0.0)
        for c in range(q):
            add_product(u[a], is2, K[c * q + a], residual[c])


@compiled
def _spread(
    q: int, width: int, triangle: Floats, ZA: Floats, start: int, halves: Floats, Q_: Floats, y: Floats
) -> None:
    """Set Q = Z_g'D W D'Z_g; triangle is W's lower triangle with half its diagonal.

    With y_b = triangle z_b: z_a'W z_b = z_a'y_b + y_a'z_b. That halves the work.
    """
    for b in range(q):
        for a in range(q):
            fill(halves[a * q + b], 0.0)
        for row in range(width - 1):
            combine(triangle[row], ZA, start + b * width, row + 1, y)
            for a in range(q):
                add_product(halves[a * q + b], 1.0, ZA[start + a * width + row], y)
    for a in range(q):
        for b in range(q):
            fill(Q_[a * q + b], 0.0)
            add(Q_[a * q + b], 1.0, halves[a * q + b])
            add(Q_[a * q + b], 1.0, halves[b * q + a])


@compiled
def _covary(is2: float, q: int, K: Floats, Q_: Floats, P: Floats, C: Floats) -> None:
    """Set P = QK/σ² and C = K'P/σ²: what the dense coefficients add to Cov(u_g)."""
    for a in range(q):
        for c in range(q):
            fill(P[c * q + a], 0.0)
            for d in range(q):
                add_product(P[c * q + a], is2, Q_[c * q + d], K[d * q + a])
    for a in range(q):
        for b in range(q):
            fill(C[a * q + b], 0.0)
            for c in range(q):
                add_product(C[a * q + b], is2, K[c * q + a], P[c * q + b])


@compiled
def _score_piece(
    is2: float,
    q: int,
    lam: Floats,
    ZZ: Floats,
    z: int,
    residual: Floats,
    u: Floats,
    K: Floats,
    P: Floats,
    C: Floats,
    Y: Floats,
    score: Floats,
) -> None:
    """Add [Z'(y - D T v) û' - Z'Z(Λû û' + K + ΛC) + P]/σ² over a batch's levels."""
    for a in range(q):
        for d in range(q):
            fill(Y[d], 0.0)
            add(Y[d], 1.0, K[d * q + a])
            for b in range(d + 1):
                if lam[d, b] != 0.0:
                    add(Y[d], lam[d, b], C[b * q + a])
                    add_product(Y[d], lam[d, b], u[b], u[a])
        for c in range(a, q):
            total = dot(residual[c], u[a]) + P[c * q + a].sum()
            for d in range(q):
                total -= dot(ZZ[z + c * q + d], Y[d])
            score[c, a] += is2 * total
