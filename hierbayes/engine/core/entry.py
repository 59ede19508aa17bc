"""From a kernel to an LLVM module with one C function, made by numba.

A log density becomes the function that nutpie calls: ``int64 f(uint64 dim, double *position, double *gradient, double
*value, int64 *table)``. It reads a kernel's arrays through a table (`arguments.Table`), which has a row of words for
each chain: no two threads use the same working memory at the same time, and each goes on with what it had before.
Any other kernel becomes ``int64 f(int64 *words, double *result)``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from hierbayes.engine.core.arguments import DENSITY, ENTRY, HEAD, ROUTINE, Argument, reading

NEAR = 1 << 18  # bytes between places on one thread's stack, at most; those of two threads are further apart
WORD = ir.IntType(64)


@intrinsic  # type: ignore[untyped-decorator]
def as_pointer(_: Any, address: Any) -> Any:
    """Return a number as the address that it is."""
    return types.voidptr(address), lambda _c, builder, _s, args: builder.inttoptr(args[0], cgutils.voidptr_t)


@intrinsic  # type: ignore[untyped-decorator]
def stack_address(_: Any) -> Any:
    """Return where on its stack the thread is."""
    return types.int64(), lambda _c, builder, _s, _a: builder.ptrtoint(
        cgutils.alloca_once(builder, WORD), WORD
    )


@intrinsic  # type: ignore[untyped-decorator]
def claim(_: Any, address: Any) -> Any:
    """Set a word from 0 to 1 unless another thread was first; return whether it was done."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        word = builder.inttoptr(args[0], WORD.as_pointer())
        pair = builder.cmpxchg(word, WORD(0), WORD(1), "acq_rel", "monotonic")
        return builder.extract_value(pair, 1)

    return types.boolean(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def release(_: Any, address: Any) -> Any:
    """Set a word to 0 when all that was written before can be seen by other threads."""

    def generate(context: Any, builder: Any, _s: Any, args: Any) -> Any:
        builder.store_atomic(WORD(0), builder.inttoptr(args[0], WORD.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(address), generate


@nb.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def claim_row(table: Any, address: int) -> int:
    """Return a row of the table that is this thread's until it releases it: its own of before, an unused one, any."""
    here = stack_address()
    while True:
        for choice in range(3):
            for row in range(1, table.shape[0]):
                place = table[row, 1]
                fits = abs(place - here) < NEAR if choice == 0 else (place == 0 or choice == 2)
                if fits and claim(address + 8 * row * table.shape[1]):
                    table[row, 1] = here
                    return row


@intrinsic  # type: ignore[untyped-decorator]
def as_number(_: Any, pointer: Any) -> Any:
    """Return an address as a number."""
    return types.int64(pointer), lambda _c, builder, _s, args: builder.ptrtoint(args[0], WORD)


def make_entry(kind: str, kernel: Callable[..., Any], arguments: Sequence[Argument]) -> str:
    """Return the LLVM module with the C function of a kernel, called `arguments.ENTRY`, as text.

    Parameters
    ----------
    kind : str
        `arguments.DENSITY`, the kernel being a function of a position, an array for the gradient, and the arguments,
        that returns the log density; or `arguments.ROUTINE`, a function of the arguments alone.
    kernel : compiled function
    arguments : sequence
        Of any model: what counts are types and dimensions.
    """
    names: dict[str, Any] = {"__name__": __name__, "kernel": kernel, "np": np}
    names |= {f.__name__: f for f in (carray, as_pointer, as_number, claim_row, release)}
    if kind == DENSITY:
        source = f"""
def entry(dim, position, gradient, value, user):
    head = carray(user, (2,), dtype=np.int64)
    table = carray(user, (head[0], head[1]), dtype=np.int64)
    address = as_number(user)
    row = claim_row(table, address)
    words = table[row, {HEAD}:]
    total = kernel(carray(position, (dim,)), carray(gradient, (dim,)), {reading(arguments, names)})
    release(address + 8 * row * head[1])
    value[0] = total
    return 0 if abs(total) < np.inf else 1
"""
    else:
        returns = kernel.py_func.__annotations__["return"] is not None  # type: ignore[attr-defined]
        source = f"""
def entry(words, result):
    {"result[0] = " if returns else ""}kernel({reading(arguments, names)})
    return 0
"""
    exec(source, names)
    return _module(names["entry"], SIGNATURES[kind])


DOUBLES, WORDS = types.CPointer(types.float64), types.CPointer(types.int64)
SIGNATURES = {
    DENSITY: types.int64(types.uint64, DOUBLES, DOUBLES, DOUBLES, types.voidptr),
    ROUTINE: types.int64(WORDS, DOUBLES),
}


def _module(function: Callable[..., int], signature: Any) -> str:
    """Compile; add a C function that returns what numba's returns, or 2 if that raised, which no kernel does."""
    options = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    result = nb.njit(signature, **options)(function).overloads[signature.args]
    passed = ", ".join(
        f"{'i64' if isinstance(kind, types.Integer) else 'ptr'} %x{i}"
        for i, kind in enumerate(signature.args)
    )
    wrapper = f"""
define i64 @{ENTRY}({passed}) {{
  %out = alloca i64
  %raised = alloca ptr
  %status = call i32 @"{result.fndesc.llvm_func_name}"(ptr %out, ptr %raised, {passed})
  %result = load i64, ptr %out
  %fine = icmp eq i32 %status, 0
  %code = select i1 %fine, i64 %result, i64 2
  ret i64 %code
}}
"""
    return str(result.library.get_llvm_str()) + wrapper
