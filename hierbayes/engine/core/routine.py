"""Compiled functions of arrays, called without numba's compiler where their machine code is at hand."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from hierbayes.engine.core.arguments import ROUTINE, Argument, leaves_of, words_of
from hierbayes.engine.core.machine import Kernel, imported, ready_address_of

FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


def run(kernel: Kernel, *arguments: Argument) -> float:
    """Call a kernel with whole numbers, arrays and named tuples of those; return its number, if it has one.

    Where neither the disk nor the package has its code for such arguments, numba compiles it, as in any call: so it
    does for arrays whose numbers aren't next to each other in the order of their indices. Of a
    kernel given by its name, such as ``"hierbayes.answers.rowloops.add_effects"``, nothing is imported before.
    """
    return prepared(kernel, *arguments)()


def prepared(kernel: Kernel, *arguments: Argument) -> Callable[[], float]:
    """Return a function that calls a kernel with always the same arrays, whose numbers may change.

    Beside `run`, a call takes no time for finding out where these are.
    """
    address = ready_address_of(ROUTINE, kernel, arguments)
    if address is None or not all(map(_in_order, leaves_of(arguments))):
        return lambda: imported(kernel)(*arguments)
    words, result, function = words_of(arguments), np.zeros(1), FUNCTION(address)
    places = words.ctypes.data, result.ctypes.data

    def call() -> float:
        function(*places)
        return float(result[0])

    call.arrays = words, arguments  # type: ignore[attr-defined]  # which must outlive it
    return call


def _in_order(leaf: int | np.ndarray[Any, Any]) -> bool:
    return not isinstance(leaf, np.ndarray) or leaf.flags.c_contiguous
