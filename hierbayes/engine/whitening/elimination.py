"""Elimination of levels, one after another, from the information of all coefficients (numba)."""

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.whitening.levels import root_of
from hierbayes.engine.whitening.packing import LEVEL, LEVELS, SQUARE, START, Q


@compiled
def eliminate(
    plain: int, conditional: int, start: int, factors: Ints, lams: Floats, firsts: Ints, pairs: Ints, W: Floats,
    weight: Floats,
    E: Floats, Eb: Floats, S: Floats, roots: Floats, wide: Floats,
) -> None:  # fmt: skip
    """Subtract from all later information what each level of the plain ones among conditional factors takes up.

    Between two levels that do not share rows, nothing is kept: the map need not be exact.
    """
    P = Eb.shape[1]
    corner = S.shape[0] - P
    last = factors[conditional - 1] if conditional > 0 else factors[0]
    end = last[START] + last[LEVELS] * last[Q] if conditional > 0 else 0  # of the conditional effects
    for k in range(plain):
        q = factors[k, Q]
        lam = lams[k]
        for level in range(factors[k, LEVELS]):
            at, square = factors[k, START] + level * q, factors[k, SQUARE] + level * q * q
            here = factors[k, LEVEL] + level
            begin, stop = firsts[here], firsts[here + 1]
            root_of(q, lam, W, weight[here], square, roots)
            width = 0
            for pair in range(begin, stop):
                for b in range(pairs[pair, 1]):
                    for a in range(q):
                        wide[0, a, width] = E[pairs[pair, 2] + a * pairs[pair, 1] + b]
                    width += 1
            for p in range(P):
                for a in range(q):
                    wide[0, a, width + p] = Eb[at + a, p]
            for j in range(
                width + P
            ):  # wide[1] = L⁻¹ Λ' of the cross information: its products are subtracted
                for a in range(q):
                    total = 0.0
                    for b in range(a, q):
                        total += lam[b, a] * wide[0, b, j]
                    wide[2, a, j] = total
                for a in range(q):
                    total = 0.0
                    for b in range(a + 1):
                        total += roots[1, square + a * q + b] * wide[2, b, j]
                    wide[1, a, j] = total
            one = 0
            for pair in range(begin, stop):
                there, q_one = pairs[pair, 0], pairs[pair, 1]
                two = 0
                for other in range(begin, stop):
                    where, q_two = pairs[other, 0], pairs[other, 1]
                    dense = there >= end and where >= end
                    target = -1
                    if pair == other and not dense:
                        target = _square_of(factors, pairs[pair, 3])
                    elif there < end and pairs[other, 3] > pairs[pair, 3] and not dense:
                        target = _find(firsts, pairs, pairs[pair, 3], pairs[other, 3])
                    for b in range(q_one):
                        for d in range(q_two):
                            total = 0.0
                            for a in range(q):
                                total += wide[1, a, one + b] * wide[1, a, two + d]
                            if dense:
                                S[there - start + b, where - start + d] -= total
                            elif pair == other:
                                W[target + b * q_two + d] -= total
                            elif target >= 0:
                                E[target + b * q_two + d] -= total
                    two += q_two
                for b in range(q_one):
                    for p in range(P):
                        total = 0.0
                        for a in range(q):
                            total += wide[1, a, one + b] * wide[1, a, width + p]
                        Eb[there + b, p] -= total
                        if there >= end:
                            S[there - start + b, corner + p] -= total
                            S[corner + p, there - start + b] -= total
                one += q_one
            for p in range(P):
                for d in range(P):
                    for a in range(q):
                        S[corner + p, corner + d] -= wide[1, a, width + p] * wide[1, a, width + d]


@compiled
def _square_of(factors: Ints, level: int) -> int:
    """Start in W of a level by its number among all."""
    k = factors.shape[0] - 1
    while factors[k, LEVEL] > level:
        k -= 1
    return factors[k, SQUARE] + (level - factors[k, LEVEL]) * factors[k, Q] * factors[k, Q]


@compiled
def _find(firsts: Ints, pairs: Ints, level: int, later: int) -> int:
    """Start in E of a pair of levels, -1 if they share no rows."""
    low, high = firsts[level], firsts[level + 1]
    while low < high:
        middle = (low + high) // 2
        if pairs[middle, 3] < later:
            low = middle + 1
        else:
            high = middle
    return pairs[low, 2] if low < firsts[level + 1] and pairs[low, 3] == later else -1
