"""The whitening map about a point: Fisher information of all coefficients, eliminated level by level.

Factors lie by falling size. The leading ones, *conditional*, are eliminated one after another: of each level the map
keeps its own information W given all later coefficients, and its cross information E with those. What remains, the
small factors, wide ones (`wide`) and the population-level coefficients, is *dense*: there the map is one triangular
matrix.
"""

from dataclasses import dataclass

import numpy as np

from hierbayes.engine.core.hyperparameters import LAM
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.whitening.codes import NODE, ROW, SIZE
from hierbayes.engine.whitening.coefficients import coefficient
from hierbayes.engine.whitening.elimination import eliminate
from hierbayes.engine.whitening.fields import scales_of
from hierbayes.engine.whitening.kernel import T_SLOPE, R, T, U, evaluate_all, fill_rows
from hierbayes.engine.whitening.levels import root_of
from hierbayes.engine.whitening.packing import (
    BEGIN,
    CONDITIONAL,
    DENSE,
    EFFECT,
    END,
    END_COMPONENT,
    END_PREDICTOR,
    FACTOR,
    FIELD,
    FIRST_COMPONENT,
    FIRST_PREDICTOR,
    IS_WIDE,
    LAW,
    LEVEL,
    LEVELS,
    SQUARE,
    START,
    Memory,
    Model,
    Packed,
    Q,
)
from hierbayes.engine.whitening.problem import Problem
from hierbayes.engine.whitening.rows import apply_link
from hierbayes.engine.whitening.sparse import Coordinates, Pattern, coordinates_of, field_map, taken_up
from hierbayes.engine.whitening.stacked import Question, fields_of, problems_of
from hierbayes.engine.whitening.steps import climbed_columns, effective_columns
from hierbayes.engine.whitening.tails import MEASURE, PLAIN, VALUES
from hierbayes.engine.whitening.tails import START as BEGINS
from hierbayes.engine.whitening.wide import Turn, turned
from hierbayes.structures.record import VALUE

NARROW = 400  # dense coordinates that are always worth a matrix
ROWS_A_SQUARE = 20  # else the matrix may have as many entries as this many times the rows
STEP = 1e-4


@dataclass(frozen=True)
class Pairs:
    """Which levels of conditional factors share rows with which later levels.

    Attributes
    ----------
    first : array of int, shape (levels + 1,)
    pairs : array of int, shape (pairs, 4)
        As in `packing.WhiteningMap`, sorted by level and later level.
    rows : tuple of (factor, later factor, their rows, place of each row's pair among theirs, start in E of each pair)
        Of rows with several levels of a factor, the places of a row's pairs one after another.
    size : int
        Length of E.
    """

    first: Ints
    pairs: Ints
    rows: tuple[tuple[int, int, slice | Ints, Ints, Ints], ...]
    size: int


def split(packed: Packed) -> int:
    """How many factors are conditional: at least the largest, and all that would make the dense part too wide.

    Where rows have several levels of the largest, these are not independent given all later coefficients; then it too
    is dense, unless that is too wide. Wide factors are none of them; fields are, and what lies before one. Factors
    within which all larger ones are nested
    are conditional too: of a dense one, what its levels know of those within them is what they know at the start,
    however far the standard deviations move.
    """
    factors = packed.model.factors
    n = packed.model.rows.shape[1]
    limit = max(NARROW, int((ROWS_A_SQUARE * n) ** 0.5))
    sizes = factors[:, LEVELS] * factors[:, Q]
    coefficients = packed.mapping.t.size
    related = np.flatnonzero(factors[:, FIELD] >= 0)
    if len(related):
        return int(related[-1]) + 1
    several = np.bincount(packed.model.memberships[:, FACTOR], minlength=1)[0] > 1
    most = int((factors[:, IS_WIDE] == 0).sum())
    count = 0 if several else min(1, most)
    while count < most and sizes[count:].sum() + coefficients > limit:
        count += 1
    while 0 < count < most and all(_nested(packed.model, k, count) for k in range(count)):
        count += 1
    return count


def _nested(model: Model, k: int, later: int) -> bool:
    """Whether each level of a factor lies within one of a later one, no two of whose levels it ties."""
    chosen = _common_rows(model, k, later)
    if chosen is None:
        return True
    own, there = _memberships(model, k), _memberships(model, later)
    if len(own) > 1 or len(there) > 1:
        return False
    codes, others = own[0][0][chosen], there[0][0][chosen]
    found = np.zeros(int(model.factors[k, LEVELS]), np.int64)
    found[codes] = others
    return bool((found[codes] == others).all())


def find_pairs(packed: Packed, conditional: int) -> Pairs:
    """Find the pairs of levels that occur in the rows."""
    factors = packed.model.factors
    found, rows, at = [], [], 0
    for k in range(conditional):
        for later in range(k + 1, len(factors)):
            chosen = _common_rows(packed.model, k, later)
            if chosen is None:
                continue
            width = int(factors[later, LEVELS])
            together = [
                own[chosen] * width + there[chosen] for own, _, there, _ in _met(packed.model, k, later)
            ]
            cells, inverse = np.unique(np.concatenate(together), return_inverse=True)
            level, there = np.divmod(cells, width)
            block = int(factors[k, Q] * factors[later, Q])
            starts = at + block * np.arange(len(cells))
            q = factors[later, Q]
            columns = [
                factors[k, LEVEL] + level,
                factors[later, START] + there * q,
                np.full(len(cells), q),
                starts,
                factors[later, LEVEL] + there,
            ]
            found.append(np.column_stack(columns))
            rows.append((k, later, chosen, inverse.astype(np.int64), starts))
            at += block * len(cells)
    table = np.vstack([np.zeros((0, 5), np.int64), *found]).astype(np.int64)
    table = table[np.lexsort((table[:, 4], table[:, 0]))]
    counts = np.bincount(table[:, 0], minlength=int(factors[:, LEVELS].sum()))
    first = np.append(0, np.cumsum(counts)).astype(np.int64)
    return Pairs(first, np.ascontiguousarray(table[:, 1:]), tuple(rows), at)


def whiten(problem: Question, packed: Packed, pairs: Pairs, memory: Memory) -> Packed:
    """The map about the point that `memory` holds: theta, group effects and coefficients mapped by the kernel."""
    model = packed.model
    conditional, dense = int(model.sizes[CONDITIONAL]), int(model.sizes[DENSE])
    information, scores = row_information(problem, packed, memory)
    coefs = memory.coefs
    curvature = np.array([coefficient(t, prior)[4] for t, prior in zip(coefs[T], model.priors, strict=True)])
    W, c, Eb, E, S = _gather(packed, pairs, information, scores, memory)
    weight = _weights(packed, memory)
    start = packed.n_effects + packed.mapping.t.size - dense
    plain = conditional - len(model.fields.fields)
    run(
        eliminate,
        plain,
        conditional,
        start,
        model.factors,
        memory.lams[LAM],
        pairs.first,
        pairs.pairs,
        W,
        weight,
        E,
        Eb,
        S,
        np.zeros((2, len(W))),
        np.zeros((3, int(model.factors[:, Q].max(initial=1)), _widest(packed, pairs))),
    )
    own = [_take_up(problem, packed, pairs, memory, k, start, W, E, Eb, S) for k in range(plain, conditional)]
    rotation, turns = _rotation(packed, conditional, start, memory, S, curvature, W, weight)
    spread = np.zeros_like(c)
    r = memory.effects[R].copy()
    for k, factor in enumerate(model.factors):
        q, levels, at, square = factor[Q], factor[LEVELS], factor[START], factor[SQUARE]
        blocks = W[square : square + levels * q * q].reshape(levels, q, q)
        c[at : at + levels * q] += np.einsum(
            "gab,gb->ga", blocks, r[at : at + levels * q].reshape(levels, q)
        ).ravel()
        if k >= conditional:
            Eb[at : at + levels * q] = 0.0
        if factor[IS_WIDE]:
            c[at : at + q] = turns[k].vectors.T @ (turns[k].relative * c[at : at + q])
            W[square : square + q * q] = turns[k].vectors.ravel()
            spread[at : at + q] = turns[k].spread
    bends = packed.mapping.bends.copy()
    bends[:, BEGINS] += packed.mapping.directions[MEASURE] @ memory.white[VALUES, packed.n_effects :]
    return packed.mapped(
        origin=memory.theta[PLAIN].copy(), W=W, weight=weight, c=c, spread=spread, Eb=Eb, first=pairs.first,
        pairs=pairs.pairs, E=E, fields=field_map(own), r=r, t=coefs[T].copy(), rotation=rotation,
        bends=bends,
    )  # fmt: skip


def _take_up(
    problem: Question, packed: Packed, pairs: Pairs, memory: Memory, k: int, start: int, W: Floats, E: Floats,
    Eb: Floats, S: Floats,
) -> Coordinates:  # fmt: skip
    """Coordinates of a field; what it takes up of the information about later coefficients is subtracted from S."""
    model, factor = packed.model, packed.model.factors[k]
    own = model.fields.fields[factor[FIELD]]
    field, size = fields_of(problem)[factor[FIELD]], int(own[SIZE])
    kappa, tau, alpha, beta = scales_of(own, memory.lams[LAM, k, 0, 0], memory.shaped)
    seen = W[factor[SQUARE] : factor[SQUARE] + size].clip(0.0)
    W[factor[SQUARE] : factor[SQUARE] + size] = seen
    order, row = 2 * int(own[NODE]), int(own[ROW])
    columns = model.fields.columns[row : row + size + 1]
    pattern = Pattern(
        model.fields.order[order : order + size],
        columns - columns[0],
        model.fields.rows[columns[0] : columns[-1]],
    )
    found = coordinates_of(field, pattern, kappa, tau, alpha, beta, seen)
    P, dense = Eb.shape[1], len(S)
    cross = np.zeros((size, dense))
    cross[:, dense - P :] = Eb[factor[START] : factor[START] + size]
    for level in range(size):
        for there, width, e, _ in pairs.pairs[slice(*pairs.first[factor[LEVEL] + level :][:2])]:
            if there >= start:
                cross[level, there - start : there - start + width] = E[e : e + width]
    S -= taken_up(field, pattern, found, kappa, tau, seen, cross)
    return found


def _weights(packed: Packed, memory: Memory) -> Floats:
    """How strongly each level's effects are drawn to 0, 1 where they are normal: (Σ levels,).

    At the point Student's have the slope of normal effects with that precision, so that the map is about its mode.
    """
    found = np.ones(packed.mapping.weight.size)
    for factor in packed.model.factors:
        if factor[LAW] >= 0:
            q, levels, at, first = (int(factor[i]) for i in (Q, LEVELS, START, LEVEL))
            squares = np.square(memory.effects[U, at : at + levels * q]).reshape(levels, q).sum(axis=1)
            df = memory.shaped[VALUE, factor[LAW]]
            found[first : first + levels] = (df + q) / (df + squares)
    return found


def row_information(problem: Question, packed: Packed, memory: Memory) -> tuple[Floats, Floats]:
    """Each row's information about its linear predictors, and their scores: (M, n), (M, n).

    Expected information where responses are one of a few, or where the family knows the first component's. Otherwise
    it is the curvature.
    """
    model = packed.model
    n_predictors, n, n_components = len(model.predictors), model.rows.shape[1], len(model.components)
    etas, out = np.zeros((n_predictors, n)), np.zeros((1 + n_components, n))
    inner, slopes = np.zeros((n_components, n)), np.ones((n_components, n))
    run(fill_rows, model, memory, etas, inner, slopes, out)
    information, scores = np.zeros((n_predictors, n)), np.zeros((n_predictors, n))
    own = 0
    for one, response in zip(problems_of(problem), model.responses, strict=True):
        rows = slice(response[BEGIN], response[END])
        parts = slice(response[FIRST_COMPONENT], response[END_COMPONENT])
        predictors = slice(response[FIRST_PREDICTOR], response[END_PREDICTOR])
        values = memory.own[0, own : own + len(one.own)]
        own += len(one.own)
        components = model.components[parts] - [response[FIRST_PREDICTOR], 0, 0, 0]
        information[predictors, rows], scores[predictors, rows] = _of_response(
            one,
            response,
            components,
            etas[predictors, rows],
            values,
            np.ascontiguousarray(inner[parts, rows]),
            slopes[parts, rows],
            out[1:][parts, rows],
        )
    weights = model.rows[1]
    information = np.where(np.isfinite(information), information, 0.0).clip(0.0, 1e12) * weights
    scores = np.where(np.isfinite(scores), scores, 0.0).clip(-1e12, 1e12) * weights
    return information, scores


def _of_response(
    problem: Problem, response: Ints, components: Ints, etas: Floats, own: Floats, inner: Floats, slopes: Floats,
    out: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Information and scores of one response's linear predictors, without weights: (M, n), (M, n)."""
    n, information, scores = len(problem.y), np.zeros_like(etas), np.zeros_like(etas)
    expected = _over_categories(problem, response, inner)
    with np.errstate(all="ignore"):
        for c, (j, _, link, _) in enumerate(components):
            if j < 0:
                continue
            scores[j] = out[c] * slopes[c]
            if len(expected):
                information[j] = expected[c] * slopes[c] ** 2
                continue
            if c == 0 and problem.information is not None:
                information[j] = problem.information(etas, own, problem.trials, problem.sets)
                continue
            moved, slope, there = inner.copy(), np.ones(n), np.zeros((1 + len(inner), n))
            moved[c] = etas[j] + STEP
            if link:
                apply_link(link, moved[c], slope)
            evaluate_all(response, problem.y, problem.trials, moved, there)
            information[j] = (scores[j] - there[1 + c] * slope) / STEP
    return information, scores


def _over_categories(problem: Problem, response: Ints, inner: Floats) -> Floats:
    """Mean squares of the components' scores over the responses that there are: (J, n); (0, n) where not so few."""
    n, found = inner.shape[1], np.zeros_like(inner)
    if not len(problem.categories):
        return np.zeros((0, n))
    for category in problem.categories:
        imagined, there = np.full((n, 1), category), np.zeros((1 + len(inner), n))
        evaluate_all(response, imagined, problem.trials, inner, there)
        with np.errstate(all="ignore"):
            found += np.nan_to_num(np.exp(there[0]) * np.square(there[1:]))
    return found


def _widest(packed: Packed, pairs: Pairs) -> int:
    counts = np.diff(pairs.first)
    return int(counts.max(initial=0)) * int(packed.model.factors[:, Q].max(initial=1)) + packed.mapping.t.size


def _gather(
    packed: Packed, pairs: Pairs, information: Floats, scores: Floats, memory: Memory
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Sums over rows: W, the scores of r, Eb, E, and the dense part's own information."""
    known = packed.model
    Z = climbed_columns(known.Z, known.climbs, known.steps, memory.stepped, known.climbing)
    model = known._replace(Z=Z)
    conditional, dense = int(model.sizes[CONDITIONAL]), int(model.sizes[DENSE])
    slopes = memory.coefs[T_SLOPE]
    rises = effective_columns(model.X, model.steps, model.combinations, memory.stepped, model.stairs)
    W, c = np.zeros(packed.mapping.W.size), np.zeros(packed.n_effects)
    Eb, E, S = np.zeros(packed.mapping.Eb.shape), np.zeros(pairs.size), np.zeros((dense, dense))
    start = packed.n_effects + slopes.size - dense
    corner = dense - slopes.size
    for j, (first, end) in enumerate(model.predictors):
        X = rises[first:end] * slopes[first:end, None]
        S[corner + first : corner + end, corner + first : corner + end] = (X * information[j]) @ X.T
    for k, factor in enumerate(model.factors):
        q, levels, at, square = (int(factor[i]) for i in (Q, LEVELS, START, SQUARE))
        own = np.zeros((levels, q, q))
        columns = model.columns[factor[EFFECT] : factor[EFFECT] + q]
        for codes, Z in _memberships(model, k):
            for a, j in enumerate(columns):
                weighted = Z[a] * information[j]
                c[at + a : at + levels * q : q] += np.bincount(codes, Z[a] * scores[j], levels)
                for p in range(*model.predictors[j]):
                    sums = np.bincount(codes, weighted * rises[p], levels) * slopes[p]
                    Eb[at + a : at + levels * q : q, p] += sums
        for codes, Z, others, Z_there in _met(model, k, k):
            same = slice(None) if others is codes else codes == others
            for a, b, j in _effect_pairs(model, k, k):
                weighted = (Z[a] * information[j] * Z_there[b])[same]
                own[:, a, b] += np.bincount(codes[same], weighted, levels)
        W[square : square + levels * q * q] = own.ravel()
        if k >= conditional:
            here = slice(at - start, at - start + levels * q)
            S[here, corner:] = Eb[at : at + levels * q]
            S[corner:, here] = S[here, corner:].T
            if len(_memberships(model, k)) > 1:
                S[here, here] = _cross(model, k, k, information)
            else:
                for g in range(levels):
                    i = at - start + g * q
                    S[i : i + q, i : i + q] = own[g]
            for later in range(k + 1, len(model.factors)):
                if _common_rows(model, k, later) is not None:
                    block = _cross(model, k, later, information)
                    first_there = int(model.factors[later, START]) - start
                    there = slice(first_there, first_there + block.shape[1])
                    S[here, there] = block
                    S[there, here] = block.T
    _add_pairs(model, pairs, information, E)
    return W, c, Eb, E, S


def _add_pairs(model: Model, pairs: Pairs, information: Floats, E: Floats) -> None:
    """Set the cross information of levels that share rows."""
    for k, later, chosen, inverse, starts in pairs.rows:
        width = int(model.factors[later, Q])
        for a, b, j in _effect_pairs(model, k, later):
            met = _met(model, k, later)
            weighted = [(Z[a] * information[j] * Z_there[b])[chosen] for _, Z, _, Z_there in met]
            E[starts + a * width + b] = np.bincount(inverse, np.concatenate(weighted), len(starts))


def _memberships(model: Model, k: int) -> list[tuple[Ints, Floats]]:
    """The levels of a factor that rows have, with their columns: (n,), (q, n)."""
    q = model.factors[k, Q]
    return [
        (model.codes[t], model.Z[column : column + q])
        for t, (factor, column) in enumerate(model.memberships)
        if factor == k
    ]


def _met(model: Model, k: int, later: int) -> list[tuple[Ints, Floats, Ints, Floats]]:
    """The levels of two factors that rows have together, with their columns, each of a row's with each."""
    own = _memberships(model, k)
    return [(*one, *two) for one in own for two in (own if later == k else _memberships(model, later))]


def _effect_pairs(model: Model, k: int, later: int) -> list[tuple[int, int, int]]:
    """Effects of two factors on one predictor: each's place among its factor's, and that predictor."""
    one, two = model.factors[k], model.factors[later]
    return [
        (a, b, int(model.columns[one[EFFECT] + a]))
        for a in range(one[Q])
        for b in range(two[Q])
        if model.columns[one[EFFECT] + a] == model.columns[two[EFFECT] + b]
    ]


def _common_rows(model: Model, k: int, later: int) -> slice | Ints | None:
    """The rows of the predictors on which both factors have effects, None if there are no such predictors."""
    common = {j for _, _, j in _effect_pairs(model, k, later)}
    responses = [
        r for r in model.responses if any(r[FIRST_PREDICTOR] <= j < r[END_PREDICTOR] for j in common)
    ]
    if len(responses) == len(model.responses):
        return slice(None)
    if not responses:
        return None
    return np.concatenate([np.arange(r[BEGIN], r[END]) for r in responses])


def _cross(model: Model, k: int, later: int, information: Floats) -> Floats:
    """Cross information of two dense factors, or of one's levels that rows have together."""
    one, two = model.factors[k], model.factors[later]
    block = np.zeros((one[LEVELS], one[Q], two[LEVELS], two[Q]))
    for codes, Z, others, Z_there in _met(model, k, later):
        cells = codes * two[LEVELS] + others
        for a, b, j in _effect_pairs(model, k, later):
            weighted = Z[a] * information[j] * Z_there[b]
            sums = np.bincount(cells, weighted, int(one[LEVELS] * two[LEVELS]))
            block[:, a, :, b] += sums.reshape(one[LEVELS], two[LEVELS])
    return block.reshape(one[LEVELS] * one[Q], two[LEVELS] * two[Q])


def _rotation(
    packed: Packed,
    conditional: int,
    start: int,
    memory: Memory,
    S: Floats,
    curvature: Floats,
    W: Floats,
    weight: Floats,
) -> tuple[Floats, dict[int, Turn]]:
    """Dense coordinates that are independent at the start: C⁻ᵀ, with C C' the precision of the levels' own.

    And how wide factors are turned, by their number.
    """
    model, turns = packed.model, {}
    P = packed.mapping.t.size
    dense = len(S)
    roots = np.zeros((2, len(W)))
    scaling = np.zeros((dense, dense)) if dense > P else np.eye(dense)
    scaling[dense - P :, dense - P :] = np.eye(P)
    prior = np.zeros((dense, dense))
    prior[range(dense - P, dense), range(dense - P, dense)] = curvature
    for k in range(conditional, len(model.factors)):
        factor = model.factors[k]
        q, square = int(factor[Q]), int(factor[SQUARE])
        lam = memory.lams[LAM, k]
        for g in range(factor[LEVELS]):
            i = int(factor[START]) + g * q - start
            W[square + g * q * q : square + (g + 1) * q * q] = S[i : i + q, i : i + q].ravel()
            if factor[IS_WIDE]:
                turns[k] = turned(lam[:q, :q], S[i : i + q, i : i + q])
                scaling[i : i + q, i : i + q] = np.diagonal(lam)[:q, None] * turns[k].vectors * turns[k].roots
                prior[range(i, i + q), range(i, i + q)] = np.square(turns[k].roots)
                continue
            own = weight[factor[LEVEL] + g]
            root_of(q, lam, W, own, square + g * q * q, roots)
            inverse = np.tril(roots[1, square + g * q * q : square + (g + 1) * q * q].reshape(q, q))
            scaling[i : i + q, i : i + q] = np.tril(lam[:q, :q]) @ inverse.T
            prior[i : i + q, i : i + q] = own * inverse @ inverse.T
    precision = scaling.T @ S @ scaling + prior
    size = np.sqrt(np.abs(np.diagonal(precision)).clip(1e-300))
    scaled = precision / np.outer(size, size)
    values, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
    if values.min(initial=1.0) < 1e-10:
        scaled = (vectors * values.clip(1e-10)) @ vectors.T
    inverse = np.linalg.inv(np.linalg.cholesky((scaled + scaled.T) / 2))
    return np.ascontiguousarray(np.triu(inverse.T / size[:, None])), turns
