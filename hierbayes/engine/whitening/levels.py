"""Levels' effects from their whitened coordinates, and back with scores (numba).

Given later coefficients, a level's u has about the precision M = w I + Λ'WΛ = L L', with w = 1 for normal effects, and
the mean M⁻¹Λ'(c - E · later):

    u = L⁻ᵀ (L⁻¹ Λ' (c - E · later) + z),   r = Λ u,   log-Jacobian -log|L|

where `later` is counted from the start's values. Scores of L turn into those of M by the reverse sweep of
Cholesky's factorization: Smith (1995), Journal of Computational and Graphical Statistics 4(2), in the form
M̄ = ½ (S + S'), S = L⁻ᵀ Φ(L'L̄) L⁻¹ of Murray (2016), arXiv:1602.07527, eq. 10.
"""

import numpy as np

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.whitening.law import df_score, law_constant, law_weight, log_law, one_weight
from hierbayes.engine.whitening.packing import LAW, LEVEL, LEVELS, SQUARE, START, Q
from hierbayes.structures.record import VALUE

R, U, SEEN, R_SCORE = 0, 1, 2, 3


@compiled
def freedom(factor: Ints, shaped: Floats) -> float:
    """Return the degrees of freedom of a factor's effects, 0 where they are normal."""
    return shaped[VALUE, factor[LAW]] if factor[LAW] >= 0 else 0.0


@compiled
def forward_levels(
    factor: Ints, lam: Floats, df: float, first: int, end: int, W: Floats, weight: Floats, c: Floats, Eb: Floats,
    firsts: Ints, pairs: Ints, E: Floats, start: Floats, moved: Floats, white: Floats, effects: Floats, roots: Floats,
    small: Floats,
) -> float:  # fmt: skip
    """Set u and r of a factor's levels; return their log prior without constant + log-Jacobian."""
    q = factor[Q]
    seen, sd = effects[SEEN], lam[0, 0]
    total, product = factor[LEVELS] * law_constant(q, df)[0], 1.0
    for level in range(factor[LEVELS]):
        at, square = factor[START] + level * q, factor[SQUARE] + level * q * q
        for a in range(q):
            value = c[at + a]
            for p in range(first, end):
                value -= Eb[at + a, p] * moved[p]
            seen[at + a] = value
        for pair in range(firsts[factor[LEVEL] + level], firsts[factor[LEVEL] + level + 1]):
            there, width, e = pairs[pair, 0], pairs[pair, 1], pairs[pair, 2]
            for b in range(width):
                change = effects[R, there + b] - start[there + b]
                for a in range(q):
                    seen[at + a] -= E[e + a * width + b] * change
        if q == 1:
            precision = one_weight(W[square], c[at], sd, df)[0] + W[square] * sd * sd
            root = 1.0 / np.sqrt(precision)
            roots[1, square] = root
            u = (sd * seen[at] * root + white[at]) * root
            effects[U, at], effects[R, at] = u, sd * u
            total += log_law(u * u, 1, df)
            product *= precision
            if not (1e-150 < product < 1e150):  # one logarithm for many levels
                total -= 0.5 * np.log(product)
                product = 1.0
        else:
            total -= root_of(q, lam, W, weight[factor[LEVEL] + level], square, roots)
            size = _place_square(q, at, square, lam, seen, white, effects[U], effects[R], roots, small[0])
            total += log_law(size, q, df)
    return total - 0.5 * np.log(product)


@compiled
def _place_square(
    q: int, at: int, square: int, lam: Floats, seen: Floats, white: Floats, u: Floats, r: Floats, roots: Floats,
    v: Floats,
) -> float:  # fmt: skip
    """Several effects of one level; return u'u."""
    for a in range(q):
        v[a] = white[at + a]
    for d in range(q):  # v = L⁻¹ Λ' seen + z
        total = 0.0
        for a in range(d, q):
            total += lam[a, d] * seen[at + a]
        for b in range(d, q):
            v[b] += roots[1, square + b * q + d] * total
    size = 0.0
    for a in range(q):  # u = L⁻ᵀ v
        total = 0.0
        for b in range(a, q):
            total += roots[1, square + b * q + a] * v[b]
        u[at + a] = total
        size += total * total
    for a in range(q):
        total = 0.0
        for b in range(a + 1):
            total += lam[a, b] * u[at + b]
        r[at + a] = total
    return size


@compiled
def root_of(q: int, lam: Floats, W: Floats, weight: float, square: int, roots: Floats) -> float:
    """Set a level's L and L⁻¹, lower triangles; return log|L|.

    In O(q³), as Cholesky's factorization itself: WΛ is formed first, where L⁻¹ comes to lie; what is above its diagonal
    is left of that.
    """
    L, J = roots[0], roots[1]
    for i in range(q):
        for b in range(q):
            total = 0.0
            for j in range(b, q):
                total += W[square + i * q + j] * lam[j, b]
            J[square + i * q + b] = total
    for a in range(q):
        for b in range(a + 1):
            total = weight if a == b else 0.0
            for i in range(a, q):
                total += lam[i, a] * J[square + i * q + b]
            for d in range(b):
                total -= L[square + a * q + d] * L[square + b * q + d]
            L[square + a * q + b] = np.sqrt(total) if a == b else total / L[square + b * q + b]
    logdet = 0.0
    for a in range(q):
        logdet += np.log(L[square + a * q + a])
        J[square + a * q + a] = 1.0 / L[square + a * q + a]
        for b in range(a):
            total = 0.0
            for d in range(b, a):
                total -= L[square + a * q + d] * J[square + d * q + b]
            J[square + a * q + b] = total / L[square + a * q + a]
    return logdet


@compiled
def inverse_levels(
    factor: Ints,
    lam: Floats,
    shaped: Floats,
    W: Floats,
    weight: Floats,
    c: Floats,
    u: Floats,
    roots: Floats,
    white: Floats,
) -> None:
    """Set the coordinates that give these u where later coefficients are the start's: z = L'u - L⁻¹ Λ' c."""
    q, df = factor[Q], freedom(factor, shaped)
    for level in range(factor[LEVELS]):
        at, square = factor[START] + level * q, factor[SQUARE] + level * q * q
        own = one_weight(W[square], c[at], lam[0, 0], df)[0] if q == 1 else weight[factor[LEVEL] + level]
        root_of(q, lam, W, own, square, roots)
        for a in range(q):
            white[at + a] = 0.0
        for d in range(q):
            seen = 0.0
            for a in range(d, q):
                seen += lam[a, d] * c[at + a]
            for a in range(d + 1):
                white[at + a] += roots[0, square + d * q + a] * u[at + d]
            for a in range(d, q):
                white[at + a] -= roots[1, square + a * q + d] * seen


@compiled
def vjp_levels(
    factor: Ints, lam: Floats, df: float, first: int, end: int, W: Floats, c: Floats, Eb: Floats, firsts: Ints,
    pairs: Ints, E: Floats, white_score: Floats, effects: Floats, t_score: Floats, roots: Floats, small: Floats,
    tiles: Floats, lam_score: Floats,
) -> float:  # fmt: skip
    """Set the scores of z from those of r; add to those of Λ, of the coefficients and of later levels.

    Return that of df.
    """
    q = factor[Q]
    seen, u, r_score = effects[SEEN], effects[U], effects[R_SCORE]
    sd, sd_score, law_score = lam[0, 0], 0.0, factor[LEVELS] * law_constant(q, df)[1]
    for level in range(factor[LEVELS]):
        at, square = factor[START] + level * q, factor[SQUARE] + level * q * q
        drawn = 1.0
        if df > 0.0:
            size = 0.0
            for a in range(q):
                size += u[at + a] * u[at + a]
            law_score += df_score(size, q, df)
            drawn = law_weight(size, q, df)
        if q == 1:
            inverse = roots[1, square]
            v_score = (sd * r_score[at] - drawn * u[at]) * inverse
            a_score = v_score * inverse
            m_score = 0.5 * inverse * (-u[at] * v_score - a_score * sd * seen[at] * inverse - inverse)
            white_score[at] = v_score
            sd_score += r_score[at] * u[at] + seen[at] * a_score + 2.0 * W[square] * sd * m_score
            if df > 0.0:
                _, in_sd, in_df = one_weight(W[square], c[at], sd, df)
                sd_score += m_score * in_sd
                law_score += m_score * in_df
            seen[at] = sd * a_score
        else:
            _score_square(
                q, at, square, lam, W, drawn, seen, u, r_score, white_score, roots, small, tiles, lam_score
            )
        for a in range(q):
            for p in range(first, end):
                t_score[p] -= Eb[at + a, p] * seen[at + a]
        for pair in range(firsts[factor[LEVEL] + level], firsts[factor[LEVEL] + level + 1]):
            there, width, e = pairs[pair, 0], pairs[pair, 1], pairs[pair, 2]
            for b in range(width):
                for a in range(q):
                    r_score[there + b] -= E[e + a * width + b] * seen[at + a]
    if q == 1:
        lam_score[0, 0] += sd_score
    return law_score


@compiled
def _score_square(
    q: int, at: int, square: int, lam: Floats, W: Floats, drawn: float, seen: Floats, u: Floats, r_score: Floats,
    white_score: Floats, roots: Floats, small: Floats, tiles: Floats, lam_score: Floats,
) -> None:  # fmt: skip
    """Several effects: also leave in seen the score of what W saw."""
    L, J = roots[0], roots[1]
    u_score, v_score, a_score, mean, projected = small[0], small[1], small[2], small[3], small[4]
    P, S = tiles[0], tiles[1]
    for a in range(q):
        total = -drawn * u[at + a]
        for b in range(a, q):
            total += lam[b, a] * r_score[at + b]
        u_score[a] = total
        total = 0.0
        for b in range(a, q):
            total += lam[b, a] * seen[at + b]
        projected[a] = total
    for a in range(q):  # v̄ = L⁻¹ū; mean = L⁻¹ Λ' seen
        total, other = 0.0, 0.0
        for b in range(a + 1):
            total += J[square + a * q + b] * u_score[b]
            other += J[square + a * q + b] * projected[b]
        v_score[a], mean[a] = total, other
        white_score[at + a] = total
    for a in range(q):
        total = 0.0
        for b in range(a, q):
            total += J[square + b * q + a] * v_score[b]
        a_score[a] = total
    for a in range(q):  # P = Φ(L'L̄), L̄ = -u v̄' - ā mean' - L⁻ᵀ's diagonal
        for b in range(a + 1):
            total = 0.0
            for i in range(a, q):
                score = -u[at + i] * v_score[b] - a_score[i] * mean[b]
                total += L[square + i * q + a] * (score - (J[square + i * q + i] if i == b else 0.0))
            P[a, b] = 0.5 * total if a == b else total
    for a in range(q):  # S = P L⁻¹
        for b in range(a + 1):
            total = 0.0
            for d in range(b, a + 1):
                total += P[a, d] * J[square + d * q + b]
            S[a, b] = total
        for b in range(a + 1, q):
            S[a, b] = 0.0
    for a in range(q):  # P = L⁻ᵀ S
        for b in range(q):
            total = 0.0
            for d in range(a, q):
                total += J[square + d * q + a] * S[d, b]
            P[a, b] = total
    for a in range(q):  # S = Λ (P + P'), which is twice Λ M̄
        for b in range(q):
            total = 0.0
            for d in range(a + 1):
                total += lam[a, d] * (P[d, b] + P[b, d])
            S[a, b] = total
    for a in range(q):
        for b in range(a + 1):
            total = r_score[at + a] * u[at + b] + seen[at + a] * a_score[b]
            for d in range(q):
                total += W[square + a * q + d] * S[d, b]
            lam_score[a, b] += total
    for a in range(q):  # the score of seen, in its place
        total = 0.0
        for b in range(a + 1):
            total += lam[a, b] * a_score[b]
        projected[a] = total
    for a in range(q):
        seen[at + a] = projected[a]
