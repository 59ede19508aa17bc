"""A model and its whitening map as the arrays that the kernels take: what they read, then what they write.

Every model gives the same number of arrays with the same types, so a kernel compiles once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hierbayes.engine.core.arguments import Argument, words_of
from hierbayes.engine.core.hyperparameters import (
    FACTOR as OF_FACTOR,
)
from hierbayes.engine.core.hyperparameters import (
    FIRST_SHAPE,
    block_table,
    effects_of,
    law_places,
    scale_constant,
    scale_table,
    shape_constant,
)
from hierbayes.engine.core.problem import Factor, Floats, Ints, PriorCode, count_free
from hierbayes.engine.whitening.codes import SIZE
from hierbayes.engine.whitening.coefficients import coefficient_constant, widened
from hierbayes.engine.whitening.sparse import (
    FieldMap,
    FieldTables,
    field_tables,
    plain_map,
)
from hierbayes.engine.whitening.stacked import (
    Place,
    Question,
    is_wide,
    joint_factors,
    problems_of,
    response_of,
)
from hierbayes.engine.whitening.tails import no_bends, no_tails

CHUNK = 256  # rows worked on together: what they read stays in the nearest cache
ROWWISE = 12  # rows of the memory of integrals: see `quadrature`
DENSE, CONDITIONAL = 0, 1  # in `sizes`
# in a response's row: its rows, its family's address, its components, its predictors, its columns in `y`
BEGIN, END, ADDRESS, FIRST_COMPONENT, END_COMPONENT, FIRST_PREDICTOR, END_PREDICTOR, FIRST_Y, WIDTH = range(9)
PREDICTOR_OF, CONSTANT, LINK, STEP = 0, 1, 2, 3  # in a component's row
# in a factor's row; a factor may have effects on several predictors
Q, FIRST_SCALE, LEVELS, START, EFFECT, LEVEL, SQUARE, PREDICTOR, LAST_PREDICTOR, IS_WIDE, LAW, FIELD = range(
    12
)
FACTOR, FIRST_COLUMN = range(2)  # in a membership's row: whose levels its codes are, its first column of Z


class Model(NamedTuple):
    """Rows, priors and structure.

    K factors by falling size with T memberships, one each but where rows have several levels; R group effects, P
    coefficients, M predictors, A own parameters, J components.
    """

    sizes: Ints  # (2,): dense coordinates, conditional factors
    responses: Ints  # (responses, 9): first row, end, address of the family's rows, components, predictors, y
    constant: Floats  # (1,)
    components: Ints  # (J, 4): predictor (-1: none), own parameter (-1: none), link, step to the next set
    own_places: Ints  # (A, 2): index in theta (-1: fixed), whether it lies above the one before it
    own_priors: Floats  # (A, 6): of the own parameters
    scales: Ints  # (S, 2): index in theta (-1: fixed), prior code, of the factors' sds
    scale_priors: Floats  # (S, 4): arguments, see core.hyperparameters
    factors: Ints  # (K, 12): q, first scale, levels, start in r, first effect, level, start in W, predictors, wide,
    # law, place of its field (-1: none)
    columns: Ints  # (Σq,): the predictor of each effect
    memberships: Ints  # (T, 2): factor, first column of Z; in the factors' order
    blocks: Ints  # see core.hyperparameters
    shapes: Floats
    priors: Floats  # (P, 6): of the coefficients, see coefficients
    predictors: Ints  # (M, 2): first coefficient, end
    X: Floats  # (P, n)
    Z: Floats  # (Σq of the memberships, n)
    codes: Ints  # (T, n)
    offsets: Floats  # (M, n)
    y: Floats  # (Σ n m,): of each row its m columns, of each response all rows
    rows: Floats  # (2, n): trials, weights
    sets: Ints  # (n,)
    steps: Ints  # see steps: predictor, first own number, first column, columns
    combinations: Floats  # (steps, P + 1): what they are shares of, of each coefficient and beside them
    stairs: Floats  # (columns of steps, n)
    climbs: Ints  # see steps: groups' effects that climb
    climbing: Floats  # (their columns, n)
    fields: FieldTables
    integral: Ints  # (5,): of a factor whose effects are integrated out: address of `quadrature.integrate`, else 0, and
    # the factor, the component that its effects move, that component's link, columns of y
    counts: Ints  # (n or 0,): where a level of that factor begins, its number of rows
    nodes: Floats  # (2, nodes): where they are, logarithms of their weights
    placed: Floats  # (6, n or 0): see `quadrature`


class WhiteningMap(NamedTuple):
    """From whitened coordinates to theta, group effects and coefficients (docs/engine.md)."""

    origin: Floats  # (T,): theta at the start, before its tail transforms
    scale_tril: Floats  # (T, T), lower triangular
    W: Floats  # (Σ levels q²,): information about each level's effects, later coefficients known; of a wide factor V
    weight: (
        Floats  # (Σ levels,): how strongly each level's effects are drawn to 0 at the start, normal ones by 1
    )
    c: Floats  # (R,): information times the effects at the start, plus the score there; of a wide factor V'D times it
    spread: Floats  # (R,): ω of wide factors' effects, see wide
    Eb: Floats  # (R, P): cross information with the coefficients
    first: Ints  # (Σ levels + 1,): each level's first entry of `pairs`
    pairs: Ints  # (pairs, 4): start in r and number of a later level's effects, start in E, that level
    E: Floats  # cross information with later levels
    fields: FieldMap
    r: Floats  # (R,): group effects at the start
    t: Floats  # (P,): unconstrained coefficients at the start
    rotation: Floats  # (m, m), upper triangular: of the last coordinates
    shifts: Floats  # (A, R + P): what a unit of the first of theta adds to coordinates after the rotation
    follows: Floats  # (P or 0, plain): what a unit of each coefficient adds to those before the last m
    tails: (
        Floats  # (T, 5): knee and rate of theta's tail transforms, left and right, and their unit: see tails
    )
    bends: Floats  # (D, 6): the same of directions of coefficients, and where the start is on each
    directions: Floats  # (2, D, P): what measures the way along each, and the way
    volume: Floats  # (1,): logarithm of the determinants of scale_tril and rotation


class Memory(NamedTuple):
    """What an evaluation writes; one for each thread."""

    theta: (
        Floats  # (5, T): itself, its score, itself before the tail transform, that one's slope and its turn
    )
    scale: Floats  # (3, S)
    shaped: Floats  # (7, shapes): the structures' parameters and constants
    lams: Floats  # (5, K, q, q)
    white: Floats  # (2, R + P): coordinates after the rotation, their scores
    effects: Floats  # (5, R): r, u, what W sees of them, score of r, u of wide factors turned by V
    coefs: Floats  # (5, P): t, coefficient, slope, score of the prior, score of t
    bent: Floats  # (2, D): slopes of the bends, and their turns
    roots: Floats  # (2, Σ levels q²): L and L⁻¹
    small: Floats  # (6, q): of a level
    tiles: Floats  # (4, q, q)
    fields: Floats  # (7, ΣM), a field's after another: see fields
    field_roots: Floats  # (entries,): of the fields' U
    etas: Floats  # (2, M, CHUNK): linear predictors, their scores
    own: Floats  # (4, A): own parameters, their slopes, the prior's scores, the likelihood's
    inner: Floats  # (J, CHUNK): inner coordinates
    slopes: Floats  # (J, CHUNK): their derivatives in the linear predictors
    out: Floats  # (1 + J, CHUNK): log densities, and their derivatives in the inner coordinates
    stepped: Floats  # (6, columns of steps): see steps
    words: Ints  # arguments of `quadrature.integrate`, if it is called; the first two are its rows
    facts: Ints  # (6 or 0,): see `quadrature`
    rowwise: Floats  # (12 or 0, CHUNK)
    grid: Floats  # (nodes, 3 + J, CHUNK)
    moments: Floats  # (2, n or 0): mean and variance of each level's effect


@dataclass(frozen=True)
class Levels:
    """How the rows of a factor lie: level by level, no level across two chunks.

    Attributes
    ----------
    order : array of int, shape (N,)
        A row of the problem for each; any for those that fill a chunk up.
    fills : array of bool, shape (N,)
    counts : array of int, shape (N,)
        Where a level begins, its number of rows, else 0.
    first : array of int, shape (levels,)
        Where each level begins, -1 where it has no rows.
    """

    order: Ints
    fills: np.ndarray
    counts: Ints
    first: Ints


@dataclass(frozen=True)
class Packed:
    """A model with a whitening mapping."""

    model: Model
    mapping: WhiteningMap
    places: tuple[tuple[Place, ...], ...]  # (predictor, factor) of each factor, in the kernel's order
    integrated: Levels | None = None  # how rows lie whose first factor's effects are integrated out

    @property
    def n_theta(self) -> int:
        """Number of free hyperparameters: the family's own, sds and correlations."""
        return self.mapping.origin.size

    @property
    def n_effects(self) -> int:
        """Number of group effects, all factors' and levels'."""
        return self.mapping.r.size

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.n_theta + self.n_effects + self.mapping.t.size

    def memory(self) -> Memory:
        """Memory for evaluations on one thread."""
        theta, effects, coefs = self.n_theta, self.n_effects, self.mapping.t.size
        q = effects_of(self.model.blocks)
        n_factors, n_predictors = len(self.model.factors), len(self.model.predictors)
        n_components = len(self.model.components)
        found = Memory(
            np.zeros((5, theta)),
            np.zeros((3, len(self.model.scales))),
            np.zeros((7, len(self.model.shapes))),
            np.zeros((5, n_factors, q, q)),
            np.zeros((2, effects + coefs)),
            np.zeros((5, effects)),
            np.zeros((5, coefs)),
            np.zeros((2, len(self.mapping.bends))),
            np.zeros((2, self.mapping.W.size)),
            np.zeros((6, q)),
            np.zeros((4, q, q)),
            np.zeros((7, int(self.model.fields.fields[:, SIZE].sum()))),
            np.zeros(len(self.model.fields.rows)),
            np.zeros((2, n_predictors, CHUNK)),
            np.zeros((4, len(self.model.own_places))),
            np.zeros((n_components, CHUNK)),
            np.ones((n_components, CHUNK)),
            np.zeros((1 + n_components, CHUNK)),
            np.zeros((6, len(self.model.stairs))),
            *(np.zeros(0, np.int64), np.zeros(0, np.int64)),
            *(np.zeros((0, CHUNK)), np.zeros((0, 0, CHUNK)), np.zeros((2, 0))),
        )
        if len(self.model.counts) == 0:
            return found
        n_nodes, rows = self.model.nodes.shape[1], len(self.model.counts)
        found = found._replace(
            facts=np.append(self.model.integral[1:], [0, 0]),
            rowwise=np.zeros((ROWWISE, CHUNK)),
            grid=np.zeros((n_nodes, 3 + n_components, CHUNK)),
            moments=np.zeros((2, rows)),
        )
        return found._replace(words=words_of(self.integral_arguments(found)))

    def integral_arguments(self, memory: Memory) -> tuple[Argument, ...]:
        """What `quadrature.integrate` takes."""
        model = self.model
        return (
            *(0, 0, int(model.responses[0, ADDRESS]), memory.facts, memory.lams, model.counts, model.nodes),
            *(model.placed, model.y, model.rows, memory.inner, memory.out, memory.rowwise, memory.grid),
            memory.moments,
        )

    def mapped(self, **changes: Any) -> "Packed":
        """The same model with parts of another map."""
        mapping = self.mapping._replace(**changes)
        diagonals = np.append(np.diagonal(mapping.scale_tril), np.diagonal(mapping.rotation))
        return replace(self, mapping=mapping._replace(volume=np.array([np.log(diagonals).sum()])))


def pack(problem: Question) -> Packed:
    """Arrange a problem for the kernels, with the map of no information: standard non-centered coordinates."""
    found = [(places, _with_joint_sds(problem, places, factor)) for places, factor in joint_factors(problem)]
    factors = [factor for _, factor in found]
    columns = [j for places, _ in found for j, k in places for _ in range(problem.predictors[j].factors[k].q)]
    responses, components = _responses(problem)
    n = int(responses[-1, END])
    levels = np.array([f.n_levels for f in factors], np.int64)
    q = np.array([f.q for f in factors], np.int64)
    sds = np.array([len(f.sd_priors) for f in factors], np.int64)
    rows_of_own = [widened(one.prior.reshape(1, -1)) for one in problem.own]
    wide_own = np.concatenate([np.zeros((0, 6)), *rows_of_own])
    own = wide_own[:, :4]
    blocks, shapes = block_table(own, factors)
    related = np.array([f.related is not None for f in factors], bool)
    table = np.column_stack(
        [
            q,
            np.cumsum(sds) - sds,
            levels,
            np.cumsum(levels * q) - levels * q,
            np.cumsum(q) - q,
            np.cumsum(levels) - levels,
            np.cumsum(levels * q * q) - levels * q * q,
            np.array([places[0][0] for places, _ in found], np.int64),
            np.array([places[-1][0] for places, _ in found], np.int64),
            np.array([is_wide(f) for f in factors], np.int64),
            law_places(len(factors), blocks),
            np.where(related, np.cumsum(related) - 1, -1),
        ]
    ).reshape(-1, 12)
    every = [(k, codes, Z) for k, factor in enumerate(factors) for codes, Z in factor.memberships]
    widths = np.array([Z.shape[1] for _, _, Z in every], np.int64)
    members = np.column_stack([[k for k, _, _ in every], np.cumsum(widths) - widths])
    scales, arguments = scale_table(own, factors)
    n_theta = count_free(own) + sum(f.n_scales + f.n_correlations for f in factors)
    n_effects = int((levels * q).sum())
    ends = np.cumsum([len(p.priors) for p in problem.predictors])
    priors = np.vstack([widened(p.priors) for p in problem.predictors])
    model = Model(
        sizes=np.zeros(2, np.int64),
        responses=responses,
        constant=np.array([_constant(problem, wide_own, factors, priors)]),
        components=components,
        own_places=np.column_stack([scales[: len(own), 0], [one.after for one in problem.own]])
        .astype(np.int64)
        .reshape(-1, 2),
        own_priors=wide_own,
        scales=np.ascontiguousarray(scales[len(own) :]),
        scale_priors=np.ascontiguousarray(arguments[len(own) :]),
        factors=np.ascontiguousarray(table),
        columns=np.array(columns, np.int64),
        memberships=np.ascontiguousarray(members.reshape(-1, 2), np.int64),
        blocks=blocks,
        shapes=shapes,
        priors=priors,
        predictors=np.column_stack([np.append(0, ends[:-1]), ends]).astype(np.int64),
        X=_placed(problem, [p.X.T for p in problem.predictors]),
        Z=_stack([Z.T for _, _, Z in every], n),
        codes=_stack([codes[None] for _, codes, _ in every], n).astype(np.int64),
        offsets=_placed(problem, [p.offset[None] for p in problem.predictors]),
        y=np.concatenate([p.y.ravel() for p in problems_of(problem)]),
        rows=np.hstack([np.vstack([p.trials, p.weights]) for p in problems_of(problem)]),
        sets=np.concatenate([p.sets for p in problems_of(problem)]).astype(np.int64),
        **_steps(problem, ends, n),
        **_climbs(problem, [places for places, _ in found], members, n),
        fields=field_tables(factors, _first_shapes(factors, blocks)),
        integral=np.zeros(5, np.int64),
        counts=np.zeros(0, np.int64),
        nodes=np.zeros((2, 0)),
        placed=np.zeros((6, 0)),
    )
    mapping = _plain_map(n_theta, n_effects, table, priors, model.fields)
    return Packed(model, mapping, tuple(places for places, _ in found))


def _first_shapes(factors: Sequence[Factor], blocks: Ints) -> list[int]:
    """Where in the shapes those of each factor begin, -1 where there are none."""
    found = [-1] * len(factors)
    for block in blocks[::-1]:
        if block[FIRST_SHAPE] < block[FIRST_SHAPE + 1]:
            found[block[OF_FACTOR]] = int(block[FIRST_SHAPE])
    return found


def _with_joint_sds(question: Question, places: tuple[Place, ...], factor: Factor) -> Factor:
    """The factor, each standard deviation that a joint prior decides with the number of that prior's factor.

    A predictor has at most one of these: the last of its factors.
    """
    priors, at = factor.sd_priors.copy(), 0
    if not (priors[:, 0] == PriorCode.JOINT).any():
        return factor
    order = [own for own, _ in joint_factors(question)]
    for j, k in places:
        last = len(question.predictors[j].factors) - 1
        own = slice(at, at + len(question.predictors[j].factors[k].sd_priors))
        joint = priors[own, 0] == PriorCode.JOINT
        priors[own, 2] = np.where(joint, order.index(((j, last),)), priors[own, 2])
        at = own.stop
    return replace(factor, sd_priors=priors)


def _responses(question: Question) -> tuple[Ints, Ints]:
    """Each response's row, and the components of all, their predictors and own numbers counted through."""
    table: list[list[int]] = []
    components: list[tuple[int, int, int, int]] = []
    row = predictor = own = at = 0
    for problem in problems_of(question):
        end, first = row + len(problem.y), len(components)
        components += [
            (c.predictor + predictor * (c.predictor >= 0), c.own + own * (c.own >= 0), c.link, c.step)
            for c in problem.components
        ]
        last = predictor + len(problem.predictors)
        width = problem.y.shape[1]
        table.append([row, end, problem.address, first, len(components), predictor, last, at, width])
        row, predictor, own, at = end, last, own + len(problem.own), at + problem.y.size
    return np.array(table, np.int64), np.array(components, np.int64)


def _steps(question: Question, ends: Ints, n: int) -> dict[str, Any]:
    """The columns whose coefficients are shares of others: their table, what they are shares of, the columns."""
    firsts = np.cumsum([0, *(len(problem.own) for problem in problems_of(question))])
    starts = np.cumsum([0, *(len(problem.y) for problem in problems_of(question))])
    table, combinations, stairs = [], [np.zeros((0, ends[-1] + 1))], [np.zeros((0, n))]
    for j, (predictor, response) in enumerate(zip(question.predictors, response_of(question), strict=True)):
        for steps in predictor.steps:
            count = steps.columns.shape[1]
            table.append([j, firsts[response] + steps.own, sum(map(len, stairs)), count])
            combination, columns = np.zeros((1, ends[-1] + 1)), np.zeros((count, n))
            combination[0, ends[j] - len(steps.of) : ends[j]] = steps.of
            combination[0, -1] = steps.known
            columns[:, starts[response] : starts[response + 1]] = steps.columns.T
            combinations.append(combination)
            stairs.append(columns)
    return {
        "steps": np.array(table, np.int64).reshape(-1, 4),
        "combinations": np.concatenate(combinations),
        "stairs": np.ascontiguousarray(np.concatenate(stairs)),
    }


def _climbs(question: Question, places: Sequence[tuple[Place, ...]], members: Ints, n: int) -> dict[str, Any]:
    """The groups' effects that climb in the steps of a coefficient: their table, their columns."""
    starts = np.cumsum([0, *(len(problem.y) for problem in problems_of(question))])
    table, climbing, number = [], [np.zeros((0, n))], 0
    for j, (predictor, response) in enumerate(zip(question.predictors, response_of(question), strict=True)):
        for steps in predictor.steps:
            for climb in steps.climbs:
                k = next(k for k, own in enumerate(places) if (j, climb.factor) in own)
                before = places[k][: places[k].index((j, climb.factor))]
                effect = climb.effect + sum(question.predictors[i].factors[f].q for i, f in before)
                t = int(np.flatnonzero(members[:, FACTOR] == k)[climb.membership])
                table.append([number, t, members[t, FIRST_COLUMN] + effect, effect, sum(map(len, climbing))])
                columns = np.zeros((climb.columns.shape[1], n))
                columns[:, starts[response] : starts[response + 1]] = climb.columns.T
                climbing.append(columns)
            number += 1
    return {
        "climbs": np.array(table, np.int64).reshape(-1, 5),
        "climbing": np.ascontiguousarray(np.concatenate(climbing)),
    }


def _placed(question: Question, parts: Sequence[Floats]) -> Floats:
    """Rows of columns, a part for each predictor: each over its own response's rows, zero in the others'."""
    sizes, responses = [len(problem.y) for problem in problems_of(question)], response_of(question)
    if len(sizes) == 1:
        return _stack(parts, sizes[0])
    starts = np.cumsum([0, *sizes])
    wide = [np.zeros((len(part), starts[-1])) for part in parts]
    for whole, part, r in zip(wide, parts, responses, strict=True):
        whole[:, starts[r] : starts[r + 1]] = part
    return _stack(wide, int(starts[-1]))


def _stack(parts: Sequence[Floats | Ints], n: int) -> Floats:
    return np.ascontiguousarray(np.vstack([np.zeros((0, n)), *parts]))


def _constant(problem: Question, own: Floats, factors: list[Factor], priors: Floats) -> float:
    """The part of the log density that depends on nothing drawn."""
    sds = [row for f in factors for row in f.sd_priors]
    total = problem.constant + sum(scale_constant(PriorCode(int(c)), a, b) for c, a, b, _ in sds)
    total += sum(shape_constant(f) for f in factors)
    total += sum(f.related.constant for f in factors if f.related is not None)
    total += sum(coefficient_constant(row) for row in (*own, *priors))
    effects = sum(f.n_levels * f.q for f in factors)
    return total - 0.5 * effects * float(np.log(2 * np.pi))


def _plain_map(
    n_theta: int, n_effects: int, factors: Ints, priors: Floats, fields: FieldTables
) -> WhiteningMap:
    n_levels = int(factors[:, LEVELS].sum())
    return WhiteningMap(
        origin=np.zeros(n_theta),
        scale_tril=np.eye(n_theta),
        W=np.zeros(int((factors[:, LEVELS] * factors[:, Q] ** 2).sum())),
        weight=np.ones(n_levels),
        c=np.zeros(n_effects),
        spread=np.zeros(n_effects),
        Eb=np.zeros((n_effects, len(priors))),
        first=np.zeros(n_levels + 1, np.int64),
        pairs=np.zeros((0, 4), np.int64),
        E=np.zeros(0),
        fields=plain_map(fields),
        r=np.zeros(n_effects),
        t=np.zeros(len(priors)),
        rotation=np.zeros((0, 0)),
        shifts=np.zeros((0, n_effects + len(priors))),
        follows=np.zeros((0, n_effects)),
        tails=no_tails(n_theta),
        bends=no_bends(),
        directions=np.zeros((2, 0, len(priors))),
        volume=np.zeros(1),
    )
