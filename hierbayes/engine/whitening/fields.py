"""Effects of many related levels whose precision is sparse: areas and their neighbours, relatives by descent (numba).

A *field* u of M levels has the prior precision α Q + β D, sparse Q and diagonal D; effects are r = κ u + τ v with
independent standard normal v, where a kind of field has those. The scales κ, τ, α, β follow from the standard deviation
and the kind's own parameter. Effects of which the rows say about exp(seen'r − ½ r'Wr) have independent v given u,

    v = τ (seen − W κ u) / d + z / √d,   d = 1 + τ² W,

and given all later coefficients u has the precision αQ + βD + Ω, Ω = κ² W / d. Its root would take a factorization in
each evaluation. But it depends on two numbers alone, those that the scales come from. So from its root U C U' at the
start, U unit lower triangular, and from the derivatives of U and C there, follows one that is about right everywhere,

    U = U₀ + h U₁ + g U₂,   C = C₀ (α q + β δ + a F / (1 + b (τ² − τ₀²))),   F = κ² / κ₀²,
    h = 2 (F − 1) / (F + 1),   g = α − α₀ or 2 τ₀² (τ² − τ₀²) / (τ² + τ₀²),

with a, b, q, δ of each coordinate, so that C is positive and both have the right slopes at the start and limits. The
map, whatever it is worth, is exact:

    u = U⁻ᵀ C^(−½) (C^(−½) U⁻¹ κ seen / d + z),   log-Jacobian −½ Σ log C.

An evaluation takes two solutions with U each way, whatever Q's eigenvalues and the scales are.

Fields that sum to 0 within parts of a map: z loses what it has in the direction of C^(−½) U⁻¹ 1, e of length 1, after
which 1'u = 0. What it had there, e'z, is a standard normal number that nothing depends on; the log-Jacobian has
−log|C^(−½) U⁻¹ 1| more. Conditioning by that projection: Rue & Held (2005), Gaussian Markov Random Fields, section
2.3.3; the whole as of a model with the number e'z beside it.
"""

import numpy as np

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.whitening.codes import (
    ALPHA,
    AS_ROWS,
    BESIDE,
    CONSTANT,
    DIAGONAL,
    IN_D,
    IN_Q,
    KAPPA,
    KIND,
    PARTS,
    PIVOT,
    SHAPE,
    SIZE,
    TAU,
)
from hierbayes.engine.whitening.packing import LEVEL, START
from hierbayes.structures.record import ABOVE, BELOW, SCORE
from hierbayes.structures.related import MIXED, PROPER

R, U, SEEN, R_SCORE = 0, 1, 2, 3
C, X, PROJECTED, ALONG, ONES, MEAN, SUM = range(7)  # of the memory; MEAN: U⁻¹ κ seen / d
ROOTS = 3  # U₀, U₁, U₂


@compiled
def scales_of(field: Ints, sd: float, shaped: Floats) -> tuple[float, float, float, float]:
    """Return κ, τ, α and β."""
    if field[KIND] == MIXED:
        return sd * np.sqrt(shaped[BELOW, field[SHAPE]]), sd * np.sqrt(shaped[ABOVE, field[SHAPE]]), 1.0, 0.0
    if field[KIND] == PROPER:
        return sd, 0.0, shaped[BELOW, field[SHAPE]], shaped[ABOVE, field[SHAPE]]
    return sd, 0.0, 1.0, 0.0


@compiled
def solve_down(size: int, columns: Ints, rows: Ints, root: Floats, x: Floats) -> None:
    """Set x to U⁻¹ x; a column of U begins with its diagonal, which is 1."""
    for j in range(size):
        for i in range(columns[j] + 1, columns[j + 1]):
            x[rows[i]] -= root[i] * x[j]


@compiled
def solve_up(size: int, columns: Ints, rows: Ints, root: Floats, x: Floats) -> None:
    """Set x to U⁻ᵀ x."""
    for j in range(size - 1, -1, -1):
        total = x[j]
        for i in range(columns[j] + 1, columns[j + 1]):
            total -= root[i] * x[rows[i]]
        x[j] = total


@compiled
def moved_by(
    field: Ints, kappa: float, tau: float, alpha: float, about: Floats
) -> tuple[float, float, float]:
    """Return F, h and g."""
    ratio = kappa * kappa / about[KAPPA]
    if field[KIND] == MIXED:
        square = tau * tau
        g = 2.0 * about[TAU] * (square - about[TAU]) / (square + about[TAU])
        return ratio, 2.0 * (ratio - 1.0) / (ratio + 1.0), g
    return ratio, 2.0 * (ratio - 1.0) / (ratio + 1.0), alpha - about[ALPHA]


@compiled
def set_root(
    field: Ints, kappa: float, tau: float, alpha: float, beta: float, parts: Ints, columns: Ints, rows: Ints,
    roots: Floats, known: Floats, about: Floats, root: Floats, work: Floats,
) -> float:  # fmt: skip
    """Set U, C and the directions e; return the log-Jacobian."""
    size = field[SIZE]
    ratio, h, g = moved_by(field, kappa, tau, alpha, about)
    for i in range(columns[0], columns[size]):
        root[i] = roots[0, i] + h * roots[1, i] + g * roots[2, i]
    total, product = 0.0, 1.0
    for j in range(size):
        own = alpha * known[IN_Q, j] + beta * known[IN_D, j]
        own += known[AS_ROWS, j] * ratio / (1.0 + known[BESIDE, j] * (tau * tau - about[TAU]))
        work[C, j] = known[PIVOT, j] * own
        product *= work[C, j]
        if not (1e-150 < product < 1e150):
            total -= 0.5 * np.log(product)
            product = 1.0
    total -= 0.5 * np.log(product)
    if field[PARTS] == 0:
        return total
    ones, along, sums = work[ONES], work[ALONG], work[SUM]
    for j in range(size):
        ones[j] = 1.0 if parts[j] >= 0 else 0.0
        along[j] = 0.0
    solve_down(size, columns, rows, root, ones)
    for part in range(field[PARTS]):
        sums[part] = 0.0
    for j in range(size):
        if parts[j] >= 0:
            along[j] = ones[j] / np.sqrt(work[C, j])
            sums[parts[j]] += along[j] * along[j]
    for part in range(field[PARTS]):
        total -= 0.5 * np.log(sums[part])
    for j in range(size):
        if parts[j] >= 0:
            along[j] /= np.sqrt(sums[parts[j]])
    return total


@compiled
def project(field: Ints, parts: Ints, along: Floats, x: Floats, sums: Floats) -> None:
    """Take from x what it has in the direction of each part, and leave that in `sums`."""
    for part in range(field[PARTS]):
        sums[part] = 0.0
    for j in range(field[SIZE]):
        if parts[j] >= 0:
            sums[parts[j]] += along[j] * x[j]
    for j in range(field[SIZE]):
        if parts[j] >= 0:
            x[j] -= along[j] * sums[parts[j]]


@compiled
def forward_field(
    factor: Ints, field: Ints, lam: Floats, shaped: Floats, first: int, end: int, W: Floats, c: Floats, Eb: Floats,
    firsts: Ints, pairs: Ints, E: Floats, start: Floats, moved: Floats, white: Floats, effects: Floats, starts: Ints,
    neighbours: Ints, strengths: Floats, nodes: Floats, parts: Ints, order: Ints, columns: Ints, rows: Ints,
    roots: Floats, known: Floats, about: Floats, root: Floats, work: Floats,
) -> float:  # fmt: skip
    """Set u and r of a field's levels; return their log prior + log-Jacobian without constants."""
    size, at = field[SIZE], factor[START]
    of_u = at + size if field[KIND] == MIXED else at
    kappa, tau, alpha, beta = scales_of(field, lam[0, 0], shaped)
    for i in range(size):
        value = c[at + i]
        for p in range(first, end):
            value -= Eb[at + i, p] * moved[p]
        level = factor[LEVEL] + i
        for pair in range(firsts[level], firsts[level + 1]):
            there, width, e = pairs[pair, 0], pairs[pair, 1], pairs[pair, 2]
            for b in range(width):
                value -= E[e + b] * (effects[R, there + b] - start[there + b])
        effects[SEEN, at + i] = value
    total = set_root(
        field, kappa, tau, alpha, beta, parts, columns, rows, roots, known, about, root, work
    )  # fmt: skip
    x = work[X]
    for j in range(size):
        i = order[j]
        work[MEAN, j] = kappa * effects[SEEN, at + i] / (1.0 + tau * tau * W[i])
        x[j] = white[of_u + j]
    solve_down(size, columns, rows, root, work[MEAN])
    project(field, parts, work[ALONG], x, work[SUM])
    for part in range(field[PARTS]):
        total -= 0.5 * work[SUM, part] * work[SUM, part]
    for j in range(size):
        work[PROJECTED, j] = work[MEAN, j] / np.sqrt(work[C, j]) + white[of_u + j]
    project(field, parts, work[ALONG], work[PROJECTED], work[SUM])
    for j in range(size):
        x[j] = work[PROJECTED, j] / np.sqrt(work[C, j])
    solve_up(size, columns, rows, root, x)
    u = effects[U, of_u : of_u + size]
    for j in range(size):
        u[order[j]] = x[j]
    for i in range(size):
        own = 0.0
        for k in range(starts[i], starts[i + 1]):
            own += strengths[k] * u[neighbours[k]]
        total -= 0.5 * u[i] * (alpha * own + beta * nodes[DIAGONAL, i] * u[i])
    if field[KIND] == PROPER:
        for i in range(size):
            total += 0.5 * np.log(beta + alpha * nodes[CONSTANT, i])
    for i in range(size):
        r = kappa * u[i]
        if field[KIND] == MIXED:
            d = 1.0 + tau * tau * W[i]
            v = tau * (effects[SEEN, at + i] - W[i] * r) / d + white[at + i] / np.sqrt(d)
            total -= 0.5 * (v * v + np.log(d))
            effects[U, at + i] = v
            effects[R, of_u + i] = u[i]
            r += tau * v
        effects[R, at + i] = r
    return total


@compiled
def inverse_field(
    factor: Ints, field: Ints, lam: Floats, shaped: Floats, W: Floats, c: Floats, u: Floats, parts: Ints, order: Ints,
    columns: Ints, rows: Ints, roots: Floats, known: Floats, about: Floats, root: Floats, work: Floats, white: Floats,
) -> None:  # fmt: skip
    """Set the coordinates that give these u where later coefficients are the start's; 0 along the directions."""
    size, at = field[SIZE], factor[START]
    of_u = at + size if field[KIND] == MIXED else at
    kappa, tau, alpha, beta = scales_of(field, lam[0, 0], shaped)
    set_root(field, kappa, tau, alpha, beta, parts, columns, rows, roots, known, about, root, work)
    mean = work[MEAN]
    for j in range(size):
        i = order[j]
        mean[j] = kappa * c[at + i] / (1.0 + tau * tau * W[i])
    solve_down(size, columns, rows, root, mean)
    for j in range(size):
        total = u[of_u + order[j]]
        for i in range(columns[j] + 1, columns[j + 1]):
            total += root[i] * u[of_u + order[rows[i]]]
        white[of_u + j] = total * np.sqrt(work[C, j]) - mean[j] / np.sqrt(work[C, j])
    project(field, parts, work[ALONG], white[of_u : of_u + size], work[SUM])
    if field[KIND] == MIXED:
        for i in range(size):
            d = 1.0 + tau * tau * W[i]
            own = tau * (c[at + i] - W[i] * kappa * u[of_u + i]) / d
            white[at + i] = (u[at + i] - own) * np.sqrt(d)


@compiled
def vjp_field(
    factor: Ints, field: Ints, lam: Floats, shaped: Floats, first: int, end: int, W: Floats, Eb: Floats, firsts: Ints,
    pairs: Ints, E: Floats, white: Floats, white_score: Floats, effects: Floats, t_score: Floats, lam_score: Floats,
    starts: Ints, neighbours: Ints, strengths: Floats, nodes: Floats, parts: Ints, order: Ints, columns: Ints,
    rows: Ints, roots: Floats, known: Floats, about: Floats, root: Floats, work: Floats,
) -> None:  # fmt: skip
    """Set the scores of z from those of r, right after `forward_field`; add to all others."""
    size, at = field[SIZE], factor[START]
    of_u = at + size if field[KIND] == MIXED else at
    kappa, tau, alpha, beta = scales_of(field, lam[0, 0], shaped)
    kappa_score, tau_score, alpha_score, beta_score = 0.0, 0.0, 0.0, 0.0
    u, seen, r_score = effects[U, of_u : of_u + size], effects[SEEN], effects[R_SCORE]
    x = work[X]
    for j in range(size):
        i = order[j]
        score = kappa * r_score[at + i]
        kappa_score += r_score[at + i] * u[i]
        if field[KIND] == MIXED:
            d, v = 1.0 + tau * tau * W[i], effects[U, at + i]
            rest = seen[at + i] - W[i] * kappa * u[i]
            v_score = tau * r_score[at + i] - v
            tau_score += r_score[at + i] * v + rest * v_score / d
            kappa_score -= tau * W[i] * u[i] * v_score / d
            score += r_score[of_u + i] - tau * W[i] * kappa * v_score / d
            root_d = np.sqrt(d)
            d_score = -(tau * rest / d + 0.5 * white[at + i] / root_d) * v_score / d - 0.5 / d
            tau_score += 2.0 * tau * W[i] * d_score
            white_score[at + i] = v_score / root_d
            r_score[of_u + i] = tau * v_score / d  # the score of seen, so far
        own = 0.0
        for k in range(starts[i], starts[i + 1]):
            own += strengths[k] * u[neighbours[k]]
        diagonal = nodes[DIAGONAL, i] * u[i]
        alpha_score -= 0.5 * u[i] * own
        beta_score -= 0.5 * u[i] * diagonal
        x[j] = score - alpha * own - beta * diagonal
    if field[KIND] == PROPER:
        for i in range(size):
            half = 0.5 / (beta + alpha * nodes[CONSTANT, i])
            alpha_score += half * nodes[CONSTANT, i]
            beta_score += half
    solve_down(size, columns, rows, root, x)
    h_score, g_score = 0.0, 0.0
    for j in range(size):
        for i in range(columns[j] + 1, columns[j + 1]):
            own = -u[order[rows[i]]] * x[j]
            h_score += own * roots[1, i]
            g_score += own * roots[2, i]
    for j in range(size):  # C's score stands in place of what was projected
        root_c = np.sqrt(work[C, j])
        work[PROJECTED, j] = -0.5 * (x[j] * work[PROJECTED, j] / root_c + 1.0) / work[C, j]
        x[j] /= root_c
    _score_white(field, of_u, parts, white, white_score, work)
    solve_up(size, columns, rows, root, x)
    if field[PARTS] > 0:
        solve_up(size, columns, rows, root, work[ALONG])
    for j in range(size):
        for i in range(columns[j] + 1, columns[j + 1]):
            own = -x[rows[i]] * work[MEAN, j]
            if field[PARTS] > 0:
                own -= work[ALONG, rows[i]] * work[ONES, j]
            h_score += own * roots[1, i]
            g_score += own * roots[2, i]
    ratio = kappa * kappa / about[KAPPA]
    ratio_score, square_score = 4.0 / (ratio + 1.0) ** 2 * h_score, 0.0
    for j in range(size):
        score = work[PROJECTED, j] * known[PIVOT, j]
        beside = 1.0 + known[BESIDE, j] * (tau * tau - about[TAU])
        alpha_score += score * known[IN_Q, j]
        beta_score += score * known[IN_D, j]
        ratio_score += score * known[AS_ROWS, j] / beside
        square_score -= score * known[AS_ROWS, j] * ratio * known[BESIDE, j] / (beside * beside)
    if field[KIND] == MIXED:
        square_score += g_score * 4.0 * about[TAU] * about[TAU] / (tau * tau + about[TAU]) ** 2
    elif field[KIND] == PROPER:
        alpha_score += g_score
    kappa_score += 2.0 * kappa / about[KAPPA] * ratio_score
    tau_score += 2.0 * tau * square_score
    for j in range(size):
        i = order[j]
        d = 1.0 + tau * tau * W[i]
        kappa_score += seen[at + i] / d * x[j]
        tau_score -= 2.0 * tau * W[i] * kappa * seen[at + i] * x[j] / (d * d)
        found = kappa * x[j] / d
        if field[KIND] == MIXED:
            found += r_score[of_u + i]
        work[MEAN, j] = found
    for j in range(size):
        i, found = order[j], work[MEAN, j]
        for p in range(first, end):
            t_score[p] -= Eb[at + i, p] * found
        level = factor[LEVEL] + i
        for pair in range(firsts[level], firsts[level + 1]):
            there, width, e = pairs[pair, 0], pairs[pair, 1], pairs[pair, 2]
            for b in range(width):
                r_score[there + b] -= E[e + b] * found
    _score_scales(field, lam[0, 0], shaped, kappa_score, tau_score, alpha_score, beta_score, lam_score)


@compiled
def _score_white(
    field: Ints, of_u: int, parts: Ints, white: Floats, white_score: Floats, work: Floats
) -> None:
    """From the scores of the projected coordinates to those of z, of the mean, of C and of U⁻¹ 1.

    `work[X]` has first the scores of what was projected, then those of the mean; `work[PROJECTED]` C's, to which is
    added; `work[ALONG]` first e, then the scores of U⁻¹ 1.
    """
    size = field[SIZE]
    x, along, mean, ones = work[X], work[ALONG], work[MEAN], work[ONES]
    for part in range(field[PARTS]):
        of_x, of_score, of_z, length = 0.0, 0.0, 0.0, 0.0
        for j in range(size):
            if parts[j] == part:
                of_x += along[j] * (mean[j] / np.sqrt(work[C, j]) + white[of_u + j])
                of_score += along[j] * x[j]
                of_z += along[j] * white[of_u + j]
                length += ones[j] * ones[j] / work[C, j]
        length = np.sqrt(length)
        turn = -2.0 * of_x * of_score - of_z * of_z  # e'ē
        for j in range(size):
            if parts[j] == part:
                root_c, e, z = np.sqrt(work[C, j]), along[j], white[of_u + j]
                e_score = -of_x * x[j] - of_score * (mean[j] / root_c + z) - of_z * z
                own = (e_score - e * turn - e) / length
                work[PROJECTED, j] -= 0.5 * own * e * length / work[C, j]
                along[j] = own / root_c
                white_score[of_u + j] = x[j] - of_score * e - of_z * e
                x[j] -= of_score * e
    for j in range(size):
        if parts[j] < 0:
            white_score[of_u + j] = x[j]
        root_c = np.sqrt(work[C, j])
        work[PROJECTED, j] -= 0.5 * x[j] * mean[j] / (root_c * work[C, j])
        x[j] /= root_c


@compiled
def _score_scales(
    field: Ints, sd: float, shaped: Floats, kappa_score: float, tau_score: float, alpha_score: float, beta_score: float,
    lam_score: Floats,
) -> None:  # fmt: skip
    """Add to the scores of the standard deviation and of the kind's parameter, times its distances to 0 and 1."""
    if field[KIND] == MIXED:
        below, above = shaped[BELOW, field[SHAPE]], shaped[ABOVE, field[SHAPE]]
        lam_score[0, 0] += kappa_score * np.sqrt(below) + tau_score * np.sqrt(above)
        slope = kappa_score * np.sqrt(above) - tau_score * np.sqrt(below)
        shaped[SCORE, field[SHAPE]] += 0.5 * sd * np.sqrt(below * above) * slope
        return
    lam_score[0, 0] += kappa_score
    if field[KIND] == PROPER:
        below, above = shaped[BELOW, field[SHAPE]], shaped[ABOVE, field[SHAPE]]
        shaped[SCORE, field[SHAPE]] += (alpha_score - beta_score) * below * above
