"""A model whose largest factor's effects are integrated out: which factor, its rows level by level, its nodes."""

import numpy as np
from numpy.typing import NDArray

from hierbayes.engine.core.arguments import ROUTINE
from hierbayes.engine.core.hyperparameters import LAM
from hierbayes.engine.core.machine import address_of
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.routine import prepared, run
from hierbayes.engine.whitening.information import row_information
from hierbayes.engine.whitening.kernel import R, U, fill_rows, forward
from hierbayes.engine.whitening.packing import (
    CHUNK,
    END,
    FIRST_COLUMN,
    LEVEL,
    LEVELS,
    LINK,
    PREDICTOR_OF,
    SQUARE,
    START,
    WIDTH,
    Levels,
    Memory,
    Model,
    Packed,
    WhiteningMap,
)
from hierbayes.engine.whitening.problem import Problem
from hierbayes.engine.whitening.quadrature import (
    CENTRE,
    DRAWS,
    ETA,
    INFORMATION,
    MEAN,
    SEED,
    SHARE,
    VARIANCE,
    WEIGHT,
    Z,
    integrate,
)

SMALLEST = 1e-3  # sd that divides


def lay_out(codes: Ints, n_levels: int) -> Levels:
    """Lay out rows with these levels; no level has more rows than a chunk."""
    sizes = np.bincount(codes, minlength=n_levels)
    by_level = np.argsort(codes, kind="stable")
    starts = np.cumsum(sizes) - sizes
    order: list[Ints] = []
    first, at, fills = np.full(n_levels, -1), 0, []
    for level in np.flatnonzero(sizes):
        left = -at % CHUNK
        if sizes[level] > left > 0:
            order.append(np.full(left, by_level[starts[level]]))
            fills.append(np.arange(at, at + left))
            at += left
        first[level] = at
        order.append(by_level[starts[level] : starts[level] + sizes[level]])
        at += int(sizes[level])
    counts, filling = np.zeros(at, np.int64), np.zeros(at, bool)
    counts[first[first >= 0]] = sizes[first >= 0]
    filling[np.concatenate([np.zeros(0, np.int64), *fills])] = True
    return Levels(np.concatenate(order), filling, counts, first)


def rule(count: int, spread: float = 1.0) -> Floats:
    """Nodes of Gauss and Hermite, spread, with the logarithms of spread · w exp(x²/2) / √(2π): (2, count)."""
    x, w = np.polynomial.hermite_e.hermegauss(count)
    return np.vstack([spread * x, np.log(w) + 0.5 * np.square(x) + np.log(spread) - 0.5 * np.log(2 * np.pi)])


def integrated(problem: Problem, whole: Packed, levels: Levels, nodes: Floats, memory: Memory) -> Packed:
    """The model without its first factor's effects, from the whole one, whitened about the point that `memory` holds.

    Nodes are about the modes there. The map of all else is the whole one's, which took the effects for known.
    """
    count = int(whole.model.factors[0, LEVELS])
    w = whole.mapping.W[:count]
    sd = float(memory.lams[LAM, 0, 0, 0])
    model = _without_effects(problem, whole, levels, nodes)
    model.placed[...] = _placed(whole, levels, memory, row_information(problem, whole, memory)[0])
    settle(model, levels, memory.effects[U, :count], 1.0 / (1.0 + w * sd * sd), sd)
    packed = Packed(model, _rest(whole), whole.places, levels)
    model.integral[0] = address_of(ROUTINE, integrate, packed.integral_arguments(packed.memory()))
    return packed


def settle(model: Model, levels: Levels, mean: Floats, variance: Floats, sd: float) -> None:
    """Put a model's nodes where levels' effects have such a mean and variance (levels,) given all the rest."""
    sd, placed, known = max(sd, SMALLEST), model.placed, levels.first >= 0
    first = levels.first[known]
    precision = 1.0 / np.clip(variance[known], 1e-12, 1.0)
    placed[INFORMATION, first] = (precision - 1.0) / sd**2
    placed[CENTRE, first] = mean[known] * precision / sd
    level = np.cumsum(levels.counts > 0) - 1
    share = placed[Z] * placed[SHARE]  # whose sums over levels are the information
    sums = np.bincount(level, placed[Z] * share)
    wanted = placed[INFORMATION, first]
    # `first` ascends with the levels that have rows
    placed[SHARE] *= (wanted / np.where(sums > 0, sums, np.inf))[level]


def moments(levels: Levels, memory: Memory) -> tuple[Floats, Floats]:
    """Mean and variance of levels' effects u, (levels,) each, at the point that was evaluated last."""
    known = levels.first >= 0
    mean, variance = np.zeros(len(known)), np.ones(len(known))
    mean[known] = memory.moments[MEAN, levels.first[known]]
    variance[known] = memory.moments[VARIANCE, levels.first[known]]
    return mean, variance


def pass_on(memory: Memory, other: Memory, count: int, to_whole: bool) -> None:
    """Copy a point from one model's memory to another's; `count` effects are the whole one's alone."""
    for name in ("theta", "scale", "shaped", "lams", "coefs", "own", "stepped"):
        getattr(other, name)[...] = getattr(memory, name)
    if to_whole:
        other.effects[:, count:] = memory.effects
    else:
        other.effects[...] = memory.effects[:, count:]


def draw_effects(packed: Packed, positions: Floats, seeds: Ints, out: Floats) -> None:
    """Draw the effects r of the factor that was integrated out, given all else at positions (draws, dim).

    Parameters
    ----------
    packed : Packed
    positions : array, shape (draws, dim)
    seeds : array of int, shape (draws,)
        The same seeds give the same effects.
    out : array, shape (draws, levels)
        Set to the effects.
    """
    levels, memory, place = packed.integrated, packed.memory(), np.zeros(packed.dim)
    assert levels is not None
    memory.facts[DRAWS] = 1
    n, M, J = len(levels.order), len(packed.model.predictors), len(packed.model.components)
    drawn = np.zeros((1 + J, n))
    arrays = np.zeros((M, n)), np.zeros((J, n)), np.ones((J, n)), drawn
    move = prepared(forward, place, packed.model, packed.mapping, memory)
    draw = prepared(fill_rows, packed.model, memory, *arrays)
    known = levels.first >= 0
    for i, position in enumerate(positions):
        place[:] = position
        memory.facts[SEED] = seeds[i]
        move()
        draw()
        if not known.all():  # levels without rows
            out[i] = np.random.default_rng(seeds[i]).standard_normal(len(known))
        out[i, known] = drawn[0, levels.first[known]]
        out[i] *= memory.lams[LAM, 0, 0, 0]


def _placed(whole: Packed, levels: Levels, memory: Memory, information: Floats) -> Floats:
    """What `quadrature` reads of rows, but for where the nodes are: (6, N)."""
    model = whole.model
    n, j = model.rows.shape[1], int(model.columns[0])
    etas, out = np.zeros((len(model.predictors), n)), np.zeros((1 + len(model.components), n))
    inner, slopes = np.zeros((len(model.components), n)), np.ones((len(model.components), n))
    run(fill_rows, model, memory, etas, inner, slopes, out)
    z = model.Z[0]
    rest = etas[j] - z * memory.effects[R][model.codes[0]]
    placed = np.zeros((6, n))
    placed[Z], placed[WEIGHT], placed[SHARE], placed[ETA] = z, model.rows[1], z * information[j], rest
    placed = np.ascontiguousarray(placed[:, levels.order])
    placed[:, levels.fills] = 0.0
    return placed


def _without_effects(problem: Problem, whole: Packed, levels: Levels, nodes: Floats) -> Model:
    """The model's rows level by level, without the first factor's effects."""
    model, order, fills = whole.model, levels.order, levels.fills
    count, size = int(model.factors[0, LEVELS]), len(order)
    factors = model.factors.copy()
    factors[0, LEVELS] = 0
    factors[1:, START] -= count
    factors[1:, LEVEL] -= count
    factors[1:, SQUARE] -= count
    responses = model.responses.copy()
    responses[0, END] = size
    components = model.components.copy()
    component = int(np.flatnonzero(components[:, PREDICTOR_OF] == model.columns[0])[0])
    link = int(components[component, LINK])
    components[component, LINK] = 0  # its predictor is linked at each node
    width = int(responses[0, WIDTH])

    def taken[T: np.generic](columns: NDArray[T]) -> NDArray[T]:
        found = np.ascontiguousarray(columns[:, order])
        found[:, fills] = 0
        return found

    rows = model.rows[:, order]
    rows[1] = np.where(fills, 0.0, 1.0)  # weights are within the integrals
    constant = model.constant + 0.5 * count * np.log(2 * np.pi)
    return model._replace(
        responses=responses,
        constant=constant,
        components=components,
        factors=factors,
        memberships=np.ascontiguousarray(model.memberships[1:] - np.eye(1, 2, FIRST_COLUMN, dtype=np.int64)),
        X=taken(model.X),
        Z=taken(model.Z[1:]),
        codes=taken(model.codes[1:]),
        offsets=taken(model.offsets),
        y=np.ascontiguousarray(model.y.reshape(-1, width)[order]).ravel(),
        rows=np.ascontiguousarray(rows),
        sets=np.ascontiguousarray(model.sets[order]),
        stairs=taken(model.stairs),
        climbing=taken(model.climbing),
        integral=np.array([0, 0, component, link, width]),
        counts=levels.counts,
        nodes=nodes,
        placed=np.zeros((6, size)),
    )


def _rest(whole: Packed) -> WhiteningMap:
    """The whole model's map without the first factor's effects."""
    mapping, count = whole.mapping, int(whole.model.factors[0, LEVELS])
    gone = int(mapping.first[count])
    pairs = mapping.pairs[gone:].copy()
    entries = int(pairs[:, 2].min(initial=mapping.E.size))
    pairs -= np.array([count, 0, entries, count])
    return mapping._replace(
        W=mapping.W[count:],
        c=mapping.c[count:],
        spread=mapping.spread[count:],
        Eb=mapping.Eb[count:],
        first=mapping.first[count:] - gone,
        pairs=pairs,
        E=mapping.E[entries:],
        r=mapping.r[count:],
        shifts=np.ascontiguousarray(mapping.shifts[:, count:]),
        follows=np.ascontiguousarray(mapping.follows[:, count:]),
    )
