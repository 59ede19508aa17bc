"""Rows: from linear predictors and own parameters to log densities and scores, whatever the family (numba).

A family's components, each scalar parameter and each element of a vector, have an inner coordinate in every row
(`hierbayes.kinds`): of a linear predictor by its link, or of one of the model's own parameters, the same in all rows.
The family's compiled function (`hierbayes.families.rows`) is called by its address, a chunk of rows at a time.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hierbayes import compiledlinks
from hierbayes.engine.core.loops import compiled, dot, fill
from hierbayes.engine.core.problem import Ints
from hierbayes.engine.whitening.packing import (
    ADDRESS,
    BEGIN,
    CONSTANT,
    END_COMPONENT,
    FIRST_COMPONENT,
    FIRST_Y,
    LINK,
    PREDICTOR_OF,
    STEP,
    WIDTH,
    Memory,
    Model,
)

apply_link = compiledlinks.apply_link.compiled
VALUE, SLOPE, PRIOR_SCORE, SCORE = 0, 1, 2, 3  # of an own parameter


@intrinsic  # type: ignore[untyped-decorator]
def call_family(
    typing_context: Any,
    address: Any,
    n: Any,
    components: Any,
    stride: Any,
    y: Any,
    trials: Any,
    t: Any,
    out: Any,
) -> Any:
    """Call the C function at an address with (n, components, stride, y*, trials*, t*, out*)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, pointer = ir.IntType(64), ir.DoubleType().as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [number] * 3 + [pointer] * 4)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        arrays = [
            context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in range(4, 8)
        ]
        builder.call(function, [*arguments[1:4], *arrays])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, y, trials, t, out), generate


@intrinsic  # type: ignore[untyped-decorator]
def call_routine(typing_context: Any, address: Any, words: Any) -> Any:
    """Call the C function at an address with the words of its arguments (`hierbayes.engine.core.routine`)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(64)
        kind = ir.FunctionType(number, [number.as_pointer(), ir.DoubleType().as_pointer()])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        array = context.make_array(signature.args[1])(context, builder, arguments[1]).data
        builder.call(function, [array, ir.Constant(ir.DoubleType().as_pointer(), None)])
        return context.get_dummy_value()

    return types.void(types.int64, words), generate


@compiled
def set_constants(model: Model, memory: Memory) -> None:
    """Set the inner coordinates of what is the same in all rows, and no score of it yet."""
    for c in range(model.components.shape[0]):
        own = model.components[c, CONSTANT]
        if model.components[c, STEP] > 0:
            fill(memory.own[SCORE], 0.0)
            fill(memory.slopes[c], 1.0)
        elif own >= 0:
            memory.own[SCORE, own] = 0.0
            fill(memory.inner[c], memory.own[VALUE, own])
            apply_link(model.components[c, LINK], memory.inner[c], memory.slopes[c])


@compiled
def evaluate_rows(start: int, size: int, response: Ints, model: Model, memory: Memory) -> bool:
    """Set inner coordinates, their slopes, log densities and scores of a response's rows, linear predictors set.

    Return whether all linear predictors are possible.
    """
    possible = True
    first, last = response[FIRST_COMPONENT], response[END_COMPONENT]
    for c in range(first, last):
        j, link, step = (
            model.components[c, PREDICTOR_OF],
            model.components[c, LINK],
            model.components[c, STEP],
        )
        if step > 0:
            inner, own = memory.inner[c], model.components[c, CONSTANT]
            for i in range(size):
                inner[i] = memory.own[VALUE, own + model.sets[start + i] * step]
        elif j >= 0:
            inner, eta = memory.inner[c], memory.etas[0, j]
            for i in range(size):
                inner[i] = eta[i]
            if link != 0:
                possible &= apply_link(link, inner[:size], memory.slopes[c, :size])
    if model.integral[0] != 0:
        memory.words[0], memory.words[1] = start, size
        call_routine(model.integral[0], memory.words)
        return possible
    end, first_y = start + size, response[FIRST_Y] + (start - response[BEGIN]) * response[WIDTH]
    call_family(
        response[ADDRESS],
        size,
        last - first,
        memory.inner.shape[1],
        model.y[first_y : first_y + size * response[WIDTH]],
        model.rows[0, start:end],
        memory.inner[first:last],
        memory.out,
    )
    return possible


@compiled
def score_rows(start: int, size: int, response: Ints, model: Model, memory: Memory) -> float:
    """Set the scores of the rows' linear predictors, add to those of own parameters; return the log likelihood."""
    weights = model.rows[1, start : start + size]
    first = response[FIRST_COMPONENT]
    for c in range(first, response[END_COMPONENT]):
        j, own = model.components[c, PREDICTOR_OF], model.components[c, CONSTANT]
        found = memory.out[1 + c - first, :size]
        if model.components[c, STEP] > 0:
            for i in range(size):
                at = own + model.sets[start + i] * model.components[c, STEP]
                memory.own[SCORE, at] += found[i] * weights[i]
            continue
        if own >= 0:
            memory.own[SCORE, own] += memory.slopes[c, 0] * dot(found, weights)
            continue
        score = memory.etas[1, j]
        if model.components[c, LINK] == 0:
            for i in range(size):
                score[i] = found[i] * weights[i]
        else:
            slope = memory.slopes[c]
            for i in range(size):
                score[i] = found[i] * weights[i] * slope[i]
    return dot(memory.out[0, :size], weights)
