"""The log density and its gradient in whitened coordinates, for every model (numba; docs/engine.md)."""

from typing import Any

import numpy as np

from hierbayes.engine.core.hyperparameters import LAM, LAM_SCORE, add_scores, constrain
from hierbayes.engine.core.loops import add, compiled, dot, fill
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.whitening.codes import NODE, ROW
from hierbayes.engine.whitening.codes import SIZE as FIELD_SIZE
from hierbayes.engine.whitening.coefficients import coefficient
from hierbayes.engine.whitening.fields import forward_field, vjp_field
from hierbayes.engine.whitening.levels import forward_levels, freedom, vjp_levels
from hierbayes.engine.whitening.own import place_own, score_own
from hierbayes.engine.whitening.packing import (
    ADDRESS,
    BEGIN,
    CHUNK,
    EFFECT,
    END,
    END_COMPONENT,
    END_PREDICTOR,
    FACTOR,
    FIELD,
    FIRST_COLUMN,
    FIRST_COMPONENT,
    FIRST_PREDICTOR,
    IS_WIDE,
    LAST_PREDICTOR,
    LAW,
    LEVELS,
    PREDICTOR,
    SQUARE,
    START,
    Memory,
    Model,
    Q,
    WhiteningMap,
)
from hierbayes.engine.whitening.rows import call_family, evaluate_rows, score_rows, set_constants
from hierbayes.engine.whitening.steps import (
    COEFFICIENT,
    COUNT,
    FIRST,
    FIRST_CLIMBED,
    MEMBERSHIP,
    PLACE,
    SCORE,
    STEPS,
    UNIT,
    UNIT_SCORE,
    add_climbs,
    place_steps,
    score_climbs,
    score_steps,
)
from hierbayes.engine.whitening.steps import PREDICTOR as STEPS_PREDICTOR
from hierbayes.engine.whitening.tails import PLAIN, SCORES, VALUES, bend, bend_theta, score_bends, score_theta
from hierbayes.engine.whitening.wide import forward_wide, vjp_wide
from hierbayes.structures.record import SCORE as SHAPE_SCORE

R, U, SEEN, R_SCORE = 0, 1, 2, 3  # of the group effects
T, B, T_SLOPE, PRIOR_SCORE, T_SCORE = 0, 1, 2, 3, 4  # of the coefficients


MODEL_END = len(Model._fields)
MAP_END = MODEL_END + len(WhiteningMap._fields)


@compiled
def log_density(position: Floats, gradient: Floats, *arrays: Any) -> float:
    """Set the gradient at a position (dim,); return the log density there.

    The arrays are those of a `Model`, a `WhiteningMap` and a `Memory`: one by one they reach compiled code in half
    the time.
    """
    model, mapping = Model(*arrays[:MODEL_END]), WhiteningMap(*arrays[MODEL_END:MAP_END])
    memory = Memory(*arrays[MAP_END:])
    total = model.constant[0] + mapping.volume[0] + forward(position, model, mapping, memory)
    total += _rows(model, memory)
    _scores(gradient, model, mapping, memory)
    return total


@compiled
def forward(position: Floats, model: Model, mapping: WhiteningMap, memory: Memory) -> float:
    """Set theta, Λ, group effects and coefficients of a position; return log prior + log-Jacobian."""
    n_theta = mapping.origin.size
    plain_theta, theta = memory.theta[PLAIN], memory.theta[VALUES]
    for i in range(n_theta):
        plain_theta[i] = mapping.origin[i] + dot(mapping.scale_tril[i], position[:n_theta])
    total = bend_theta(mapping.tails, memory.theta)
    total += constrain(
        theta,
        model.scales,
        model.scale_priors,
        model.factors,
        model.blocks,
        model.shapes,
        memory.scale,
        memory.shaped,
        memory.lams,
    )
    total += place_own(theta, model.own_places, model.own_priors, memory.own)
    white = memory.white[VALUES]
    n_effects, m = mapping.r.size, mapping.rotation.shape[0]
    plain = white.size - m
    for i in range(plain):
        white[i] = position[n_theta + i]
    for i in range(m):
        white[plain + i] = dot(mapping.rotation[i, i:], position[n_theta + plain + i :])
    for i in range(mapping.shifts.shape[0]):
        add(white, plain_theta[i] - mapping.origin[i], mapping.shifts[i])
    for j in range(mapping.follows.shape[0]):
        add(white[:plain], white[n_effects + j], mapping.follows[j])
    coefs = memory.coefs
    for j in range(coefs.shape[1]):
        coefs[T, j] = mapping.t[j] + white[n_effects + j]
    total += bend(mapping.bends, mapping.directions, white[n_effects:], coefs[T], memory.bent)
    for j in range(coefs.shape[1]):
        prior = model.priors[j]
        coefs[B, j], coefs[T_SLOPE, j], value, coefs[PRIOR_SCORE, j], _ = coefficient(coefs[T, j], prior)
        total += value
    place_steps(model.steps, model.combinations, coefs[B], memory.own, memory.stepped)
    for k in range(model.factors.shape[0] - 1, -1, -1):
        factor = model.factors[k]
        first, end = model.predictors[factor[PREDICTOR], 0], model.predictors[factor[LAST_PREDICTOR], 1]
        if factor[IS_WIDE]:
            total += forward_wide(
                factor,
                memory.lams[LAM, k],
                mapping.W,
                mapping.c,
                mapping.spread,
                white,
                memory.effects,
                memory.roots,
            )
            continue
        if factor[FIELD] >= 0:
            total += _forward_field(
                factor, model.fields.fields[factor[FIELD]], k, first, end, model, mapping, memory
            )
            continue
        total += forward_levels(
            factor, memory.lams[LAM, k], freedom(factor, memory.shaped), first, end, mapping.W, mapping.weight,
            mapping.c, mapping.Eb, mapping.first, mapping.pairs, mapping.E, mapping.r, white[n_effects:], white,
            memory.effects, memory.roots, memory.small,
        )  # fmt: skip
    return total


@compiled
def _forward_field(
    factor: Ints,
    field: Ints,
    k: int,
    first: int,
    end: int,
    model: Model,
    mapping: WhiteningMap,
    memory: Memory,
) -> float:
    """Set the effects of related levels: `fields.forward_field` of one field's part of the arrays."""
    size, node, row = field[FIELD_SIZE], field[NODE], field[ROW]
    order = model.fields.order[2 * node : 2 * (node + size)]
    nodes = model.fields.nodes[:, node : node + size]
    known = mapping.fields.known[:, node : node + size]
    work = memory.fields[:, node : node + size]
    return forward_field(
        factor, field, memory.lams[LAM, k], memory.shaped, first, end,
        mapping.W[factor[SQUARE] : factor[SQUARE] + size], mapping.c, mapping.Eb, mapping.first, mapping.pairs,
        mapping.E, mapping.r, memory.white[VALUES, mapping.r.size :], memory.white[VALUES], memory.effects,
        model.fields.starts[row : row + size + 1], model.fields.neighbours, model.fields.strengths,
        nodes, order[size:], order[:size],
        model.fields.columns[row : row + size + 1], model.fields.rows, mapping.fields.roots, known,
        mapping.fields.about[factor[FIELD]], memory.field_roots, work,
    )  # fmt: skip


@compiled
def _score_field(
    factor: Ints,
    field: Ints,
    k: int,
    first: int,
    end: int,
    model: Model,
    mapping: WhiteningMap,
    memory: Memory,
) -> None:
    """Set the scores of a field's coordinates: `fields.vjp_field`, from what `_forward_field` left in memory."""
    size, node, row = field[FIELD_SIZE], field[NODE], field[ROW]
    order = model.fields.order[2 * node : 2 * (node + size)]
    nodes = model.fields.nodes[:, node : node + size]
    known = mapping.fields.known[:, node : node + size]
    work = memory.fields[:, node : node + size]
    vjp_field(
        factor, field, memory.lams[LAM, k], memory.shaped, first, end,
        mapping.W[factor[SQUARE] : factor[SQUARE] + size], mapping.Eb, mapping.first, mapping.pairs, mapping.E,
        memory.white[VALUES], memory.white[SCORES], memory.effects, memory.coefs[T_SCORE],
        memory.lams[LAM_SCORE, k], model.fields.starts[row : row + size + 1], model.fields.neighbours,
        model.fields.strengths, nodes, order[size:], order[:size],
        model.fields.columns[row : row + size + 1], model.fields.rows, mapping.fields.roots, known,
        mapping.fields.about[factor[FIELD]], memory.field_roots, work,
    )  # fmt: skip


@compiled
def _rows(model: Model, memory: Memory) -> float:
    """Set the likelihood's scores of group effects, coefficients and own parameters; return its logarithm."""
    fill(memory.effects[R_SCORE], 0.0)
    fill(memory.coefs[T_SCORE], 0.0)
    fill(memory.stepped[SCORE], 0.0)
    for k in range(memory.lams.shape[1]):
        for i in range(memory.lams.shape[2]):
            fill(memory.lams[LAM_SCORE, k, i], 0.0)
    fill(memory.stepped[UNIT_SCORE], 0.0)
    set_constants(model, memory)
    total, possible = 0.0, True
    for response in model.responses:
        for start in range(response[BEGIN], response[END], CHUNK):
            end = min(start + CHUNK, response[END])
            predict(start, end, response, model, memory)
            possible &= evaluate_rows(start, end - start, response, model, memory)
            total += score_rows(start, end - start, response, model, memory)
            _collect(start, end, response, model, memory)
    return total if possible else -np.inf


@compiled
def predict(start: int, end: int, response: Ints, model: Model, memory: Memory) -> None:
    """Set the linear predictors of some rows of a response, at most CHUNK of them."""
    size = end - start
    r = memory.effects[R]
    for j in range(response[FIRST_PREDICTOR], response[END_PREDICTOR]):
        eta = memory.etas[0, j, :size]
        fill(eta, 0.0)
        add(eta, 1.0, model.offsets[j, start:end])
        for p in range(model.predictors[j, 0], model.predictors[j, 1]):
            add(eta, memory.coefs[B, p], model.X[p, start:end])
    for k in range(model.steps.shape[0]):
        j, first = model.steps[k, STEPS_PREDICTOR], model.steps[k, FIRST]
        if j >= response[FIRST_PREDICTOR] and j < response[END_PREDICTOR]:
            for i in range(first, first + model.steps[k, COUNT]):
                add(memory.etas[0, j, :size], memory.stepped[COEFFICIENT, i], model.stairs[i, start:end])
    for t in range(model.memberships.shape[0]):
        k = model.memberships[t, FACTOR]
        q, at = model.factors[k, Q], model.factors[k, START]
        codes = model.codes[t, start:end]
        for a in range(q):
            j = model.columns[model.factors[k, EFFECT] + a]
            if j < response[FIRST_PREDICTOR] or j >= response[END_PREDICTOR]:
                continue
            eta, z = memory.etas[0, j, :size], model.Z[model.memberships[t, FIRST_COLUMN] + a, start:end]
            if model.factors[k, LEVELS] == 1:  # a smooth
                add(eta, r[at + a], z)
                continue
            for i in range(size):
                eta[i] += z[i] * r[at + codes[i] * q + a]
    for climb in model.climbs:
        j, first, last, own, t, q, at = _climb_of(climb, model)
        if j >= response[FIRST_PREDICTOR] and j < response[END_PREDICTOR]:
            add_climbs(
                memory.stepped[UNIT, first:last], model.climbing[own : own + last - first], start,
                model.codes[t, start:end], q, at, r, memory.etas[0, j, :size],
            )  # fmt: skip


@compiled
def _climb_of(climb: Ints, model: Model) -> tuple[int, int, int, int, int, int, int]:
    """Predictor of an effect that climbs, its steps' columns, its own first, membership, q, place of the first in r."""
    k, t = climb[STEPS], climb[MEMBERSHIP]
    factor = model.factors[model.memberships[t, FACTOR]]
    first = model.steps[k, FIRST]
    last = first + model.steps[k, COUNT]
    return (
        model.steps[k, STEPS_PREDICTOR],
        first,
        last,
        climb[FIRST_CLIMBED],
        t,
        factor[Q],
        factor[START] + climb[PLACE],
    )


@compiled
def _collect(start: int, end: int, response: Ints, model: Model, memory: Memory) -> None:
    """Add the scores of some rows of a response to those of coefficients and group effects."""
    size = end - start
    r_score = memory.effects[R_SCORE]
    for j in range(response[FIRST_PREDICTOR], response[END_PREDICTOR]):
        score = memory.etas[1, j, :size]
        for p in range(model.predictors[j, 0], model.predictors[j, 1]):
            memory.coefs[T_SCORE, p] += dot(score, model.X[p, start:end])
    for k in range(model.steps.shape[0]):
        j, first = model.steps[k, STEPS_PREDICTOR], model.steps[k, FIRST]
        if j >= response[FIRST_PREDICTOR] and j < response[END_PREDICTOR]:
            for i in range(first, first + model.steps[k, COUNT]):
                memory.stepped[SCORE, i] += dot(memory.etas[1, j, :size], model.stairs[i, start:end])
    for t in range(model.memberships.shape[0]):
        k = model.memberships[t, FACTOR]
        q, at = model.factors[k, Q], model.factors[k, START]
        codes = model.codes[t, start:end]
        for a in range(q):
            j = model.columns[model.factors[k, EFFECT] + a]
            if j < response[FIRST_PREDICTOR] or j >= response[END_PREDICTOR]:
                continue
            score, z = memory.etas[1, j, :size], model.Z[model.memberships[t, FIRST_COLUMN] + a, start:end]
            if model.factors[k, LEVELS] == 1:  # one sum in registers, no store a row
                r_score[at + a] += dot(score, z)
                continue
            for i in range(size):
                r_score[at + codes[i] * q + a] += z[i] * score[i]
    for climb in model.climbs:
        j, first, last, own, t, q, at = _climb_of(climb, model)
        if j >= response[FIRST_PREDICTOR] and j < response[END_PREDICTOR]:
            score_climbs(
                memory.stepped[UNIT, first:last], model.climbing[own : own + last - first], start,
                model.codes[t, start:end], q, at, memory.effects[R], memory.etas[1, j, :size], r_score,
                memory.stepped[UNIT_SCORE, first:last],
            )  # fmt: skip


@compiled
def _scores(gradient: Floats, model: Model, mapping: WhiteningMap, memory: Memory) -> None:
    """Set the gradient from the likelihood's scores: the reverse sweep of `forward`."""
    n_theta, n_effects, m = mapping.origin.size, mapping.r.size, mapping.rotation.shape[0]
    white, coefs = memory.white, memory.coefs
    score_steps(model.steps, model.combinations, coefs[B], memory.own, memory.stepped, coefs[T_SCORE])
    for j in range(coefs.shape[1]):
        coefs[T_SCORE, j] = coefs[T_SCORE, j] * coefs[T_SLOPE, j] + coefs[PRIOR_SCORE, j]
    score_bends(mapping.directions, memory.bent, coefs[T_SCORE])
    for k in range(model.factors.shape[0]):
        factor = model.factors[k]
        first, end = model.predictors[factor[PREDICTOR], 0], model.predictors[factor[LAST_PREDICTOR], 1]
        lam_score = memory.lams[LAM_SCORE, k]
        if factor[IS_WIDE]:
            vjp_wide(
                factor, memory.lams[LAM, k], mapping.W, mapping.c, mapping.spread, white[SCORES], memory.effects,
                memory.roots, memory.small, lam_score,
            )  # fmt: skip
            continue
        if factor[FIELD] >= 0:
            _score_field(factor, model.fields.fields[factor[FIELD]], k, first, end, model, mapping, memory)
            continue
        df = freedom(factor, memory.shaped)
        law_score = vjp_levels(
            factor, memory.lams[LAM, k], df, first, end, mapping.W, mapping.c, mapping.Eb, mapping.first, mapping.pairs,
            mapping.E, white[SCORES], memory.effects, coefs[T_SCORE], memory.roots, memory.small, memory.tiles,
            lam_score,
        )  # fmt: skip
        if factor[LAW] >= 0:
            memory.shaped[SHAPE_SCORE, factor[LAW]] += df * law_score
    plain = white.shape[1] - m
    for j in range(coefs.shape[1]):
        white[SCORES, n_effects + j] = coefs[T_SCORE, j]
    for j in range(mapping.follows.shape[0]):
        white[SCORES, n_effects + j] += dot(white[SCORES, :plain], mapping.follows[j])
    for i in range(plain):
        gradient[n_theta + i] = white[SCORES, i]
    tail = gradient[n_theta + plain :]
    fill(tail, 0.0)
    for i in range(m):
        add(tail[i:], white[SCORES, plain + i], mapping.rotation[i, i:])
    if n_theta > 0:
        score = memory.theta[SCORES]
        score_own(model.own_places, memory.own, score)
        if model.scales.shape[0] > 0:
            add_scores(
                0.0, model.scales, model.scale_priors, model.factors, model.blocks, model.shapes, memory.scale,
                memory.shaped, memory.lams, score,
            )  # fmt: skip
        score_theta(memory.theta)
        for i in range(mapping.shifts.shape[0]):
            score[i] += dot(white[SCORES], mapping.shifts[i])
        fill(gradient[:n_theta], 0.0)
        for i in range(n_theta):
            add(gradient[:n_theta], score[i], mapping.scale_tril[i])


@compiled
def fill_rows(model: Model, memory: Memory, etas: Floats, inner: Floats, slopes: Floats, out: Floats) -> None:
    """Set each row's linear predictors (M, n), inner coordinates and slopes (J, n), density and scores (1 + J, n)."""
    set_constants(model, memory)
    for response in model.responses:
        first, last = response[FIRST_COMPONENT], response[END_COMPONENT]
        for start in range(response[BEGIN], response[END], CHUNK):
            end = min(start + CHUNK, response[END])
            predict(start, end, response, model, memory)
            evaluate_rows(start, end - start, response, model, memory)
            for i in range(end - start):
                for j in range(response[FIRST_PREDICTOR], response[END_PREDICTOR]):
                    etas[j, start + i] = memory.etas[0, j, i]
                out[0, start + i] = memory.out[0, i]
                for c in range(first, last):
                    inner[c, start + i] = memory.inner[c, i]
                    slopes[c, start + i] = memory.slopes[c, i]
                    out[1 + c, start + i] = memory.out[1 + c - first, i]


@compiled
def evaluate_all(response: Ints, y: Floats, trials: Floats, inner: Floats, out: Floats) -> None:
    """Set log densities and scores (1 + J, n) of rows of a response y (n, m) from inner coordinates (J, n)."""
    call_family(
        response[ADDRESS],
        inner.shape[1],
        inner.shape[0],
        inner.shape[1],
        y,
        trials,
        inner,
        out,
    )
