"""Many independent effects of one level: smooths, processes and related levels of many columns (numba).

Λ is diagonal then, and about one number s times what it is at the start, D. With the eigenvectors V and the eigenvalues
ω of D W D, the precision I + Λ'WΛ of the level's u is about V diag(1 + s²ω) V'. So the map needs no factorization:

    u' = (s c / √(1 + s²ω) + z) / √(1 + s²ω),   u = V u',   r = Λ u,   log-Jacobian -½ Σ log(1 + s²ω)

It is exact where all have one standard deviation, and takes two products with V an evaluation: the general one of
`levels` takes the third power of their number.
"""

from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.loops import add, compiled, dot, fill
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.whitening.packing import SQUARE, START, Q

R, U, SEEN, R_SCORE, TURNED = 0, 1, 2, 3, 4


class Turn(NamedTuple):
    """Coordinates in which a wide factor's effects are about independent."""

    relative: Floats  # (q,): D
    vectors: Floats  # (q, q): V
    spread: Floats  # (q,): ω
    roots: Floats  # (q,): 1 / √(1 + s²ω) at the start


def turned(lam: Floats, information: Floats) -> Turn:
    """Return those of a factor with that Λ (q, q) at the start and that information about its effects."""
    size = float(np.sqrt(np.square(np.diagonal(lam)).mean()))
    relative = np.diagonal(lam) / max(size, np.finfo(float).tiny)
    spread, vectors = np.linalg.eigh(relative[:, None] * information * relative)
    spread = spread.clip(0.0)
    return Turn(relative, np.ascontiguousarray(vectors), spread, 1.0 / np.sqrt(1.0 + size * size * spread))


@compiled
def size_of(lam: Floats) -> float:
    """Return the root mean square s of a diagonal Λ."""
    total = 0.0
    for a in range(lam.shape[0]):
        total += lam[a, a] * lam[a, a]
    return np.sqrt(total / lam.shape[0])


@compiled
def forward_wide(
    factor: Ints,
    lam: Floats,
    W: Floats,
    c: Floats,
    spread: Floats,
    white: Floats,
    effects: Floats,
    roots: Floats,
) -> float:
    """Set u and r of a wide factor; return their log prior without constant + log-Jacobian."""
    q, at, square = factor[Q], factor[START], factor[SQUARE]
    size, total = size_of(lam[:q, :q]), 0.0
    turned = effects[TURNED, at : at + q]
    for a in range(q):
        precision = 1.0 + size * size * spread[at + a]
        root = 1.0 / np.sqrt(precision)
        roots[1, square + a] = root
        turned[a] = (size * c[at + a] * root + white[at + a]) * root
        total -= 0.5 * (turned[a] * turned[a] + np.log(precision))
    for a in range(q):
        u = dot(W[square + a * q : square + (a + 1) * q], turned)
        effects[U, at + a], effects[R, at + a] = u, lam[a, a] * u
    return total


@compiled
def inverse_wide(
    factor: Ints, lam: Floats, W: Floats, c: Floats, spread: Floats, u: Floats, white: Floats
) -> None:
    """Set the coordinates that give these u."""
    q, at, square = factor[Q], factor[START], factor[SQUARE]
    size, own = size_of(lam[:q, :q]), white[at : at + q]
    fill(own, 0.0)
    for a in range(q):
        add(own, u[at + a], W[square + a * q : square + (a + 1) * q])
    for a in range(q):
        root = 1.0 / np.sqrt(1.0 + size * size * spread[at + a])
        own[a] = own[a] / root - size * c[at + a] * root


@compiled
def vjp_wide(
    factor: Ints, lam: Floats, W: Floats, c: Floats, spread: Floats, white_score: Floats, effects: Floats,
    roots: Floats, small: Floats, lam_score: Floats,
) -> None:  # fmt: skip
    """Set the scores of z from those of r; add to those of Λ."""
    q, at, square = factor[Q], factor[START], factor[SQUARE]
    size, size_score = size_of(lam[:q, :q]), 0.0
    turned, u_score = effects[TURNED], small[0, :q]
    fill(u_score, 0.0)
    for a in range(q):
        r_score, u = effects[R_SCORE, at + a], effects[U, at + a]
        lam_score[a, a] += r_score * u
        add(u_score, lam[a, a] * r_score - u, W[square + a * q : square + (a + 1) * q])
    for a in range(q):
        root, omega = roots[1, square + a], spread[at + a]
        v_score = u_score[a] * root
        a_score = v_score * root
        mean = size * c[at + a] * root
        m_score = 0.5 * root * (-turned[at + a] * v_score - a_score * mean - root)
        white_score[at + a] = v_score
        size_score += c[at + a] * a_score + 2.0 * omega * size * m_score
    if size > 0.0:
        for a in range(q):
            lam_score[a, a] += size_score * lam[a, a] / (q * size)
