"""What the rows say about each sampled level once other factors are integrated out, roughly."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.gaussian.moments import Moments
from hierbayes.engine.gaussian.whitening import Entries, SparseRows, sparse

KEPT = 0.05  # share of a level's information that a rough elimination leaves at least


class Blocks(NamedTuple):
    """Cross-products of two factors' levels, where they share a row; sorted by level, then the other level."""

    starts: Ints  # (levels + 1,)
    level: Ints  # (pairs,)
    other: Ints  # (pairs,)
    values: Floats  # (pairs, q, q of the other)


def informations(
    m: Moments, primary: int, table: Ints, lams: Floats, sigma2: float
) -> tuple[Floats, SparseRows]:
    """Return W (D, largest q) and E (D, D): Schur complements, each factor eliminated before the next.

    Only the blocks of one level, and of two levels that share a row, are kept. That is exact for W of the first
    sampled factor, and for nested factors.

    Parameters
    ----------
    m : Moments
    primary : int
        The factor that is integrated out.
    table : array of int
        The sampled factors, as in `whitening.Whitening`.
    lams : array, shape (K, largest q, largest q)
        Each factor's Λ.
    sigma2 : float
    """
    order = [primary, *(int(k) for k in table[:, 0])]
    W = {k: m.within[k].copy() for k in order}
    E = {(k, later): _blocks(m, k, later) for k, later in combinations(order, 2)}
    for place, k in enumerate(order[:-1]):
        q = W[k].shape[1]
        lam = lams[k, :q, :q]
        inner = lam.T @ W[k] @ lam + sigma2 * np.eye(q)
        gain = lam @ np.linalg.solve(inner, np.broadcast_to(lam.T, W[k].shape))
        for later in order[place + 1 :]:
            pairs = E[k, later]
            lost = np.zeros_like(W[later])
            each = np.swapaxes(pairs.values, 1, 2) @ gain[pairs.level] @ pairs.values
            np.add.at(lost, pairs.other, each)
            W[later] = W[later] - (lost if place == 0 else _bounded(lost, W[later]))
        for second, third in combinations(order[place + 1 :], 2):
            _subtract_fill(E[k, second], E[k, third], gain, E[second, third])
    first = {int(row[0]): int(row[3]) for row in table}
    D = int((table[:, 1] * table[:, 2]).sum())
    information = np.zeros((D, int(table[:, 1].max())))
    for k, q, levels, at, _ in table:
        information[at : at + q * levels, :q] = W[k].reshape(-1, q)
    return information, sparse(D, _entries(E, order[1:], first))


def _blocks(m: Moments, k: int, other: int) -> Blocks:
    level, other_level, values = m.pair(k, other)
    order = np.lexsort((other_level, level))
    starts = np.searchsorted(level[order], np.arange(len(m.within[k]) + 1)).astype(np.int64)
    return Blocks(starts, level[order], other_level[order], np.array(values[order]))


def _bounded(lost: Floats, W: Floats) -> Floats:
    """Return what is lost, scaled down where a rough elimination would take more than there is."""
    share = np.linalg.eigvals(np.linalg.pinv(W, hermitian=True) @ lost).real.max(axis=1, initial=0.0)
    return lost * np.minimum(1.0, (1.0 - KEPT) / np.maximum(share, 1e-300))[:, None, None]


def _entries(E: dict[tuple[int, int], Blocks], order: Sequence[int], first: dict[int, int]) -> list[Entries]:
    parts: list[Entries] = []
    for k, later in combinations(order, 2):
        pairs = E[k, later]
        q, q_later = pairs.values.shape[1:]
        row = first[k] + pairs.level[:, None, None] * q + np.arange(q)[:, None]
        column = first[later] + pairs.other[:, None, None] * q_later + np.arange(q_later)
        rows, columns = np.broadcast_arrays(row, column)
        parts.append((rows, columns, pairs.values))
    return parts


@compiled
def _subtract_fill(second: Blocks, third: Blocks, gain: Floats, between: Blocks) -> None:
    """Subtract Σ_g B_g'gain_g C_g from the blocks of two later factors, where there is one; B, C sorted by g."""
    q, q2, q3 = gain.shape[1], second.values.shape[2], third.values.shape[2]
    for g in range(gain.shape[0]):
        for i in range(second.starts[g], second.starts[g + 1]):
            row = second.other[i]
            at, end = between.starts[row], between.starts[row + 1]
            for j in range(third.starts[g], third.starts[g + 1]):
                while at < end and between.other[at] < third.other[j]:
                    at += 1
                if at < end and between.other[at] == third.other[j]:
                    for a in range(q):
                        for b in range(q):
                            for c in range(q2):
                                for d in range(q3):
                                    between.values[at, c, d] -= (
                                        second.values[i, a, c] * gain[g, a, b] * third.values[j, b, d]
                                    )
