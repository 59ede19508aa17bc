"""Compiled functions of arrays, called without numba's compiler where their machine code is at hand."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from hierbayes.engine.core.arguments import ROUTINE, Argument, words_of
from hierbayes.engine.core.machine import ready_address_of

FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


def run(kernel: Callable[..., Any], *arguments: Argument) -> float:
    """Call a kernel with whole numbers, contiguous arrays and named tuples of those; return its number, if it has one.

    Where neither the disk nor the package has its code for such arguments, numba compiles it, as in any call.
    """
    address = ready_address_of(ROUTINE, kernel, arguments)
    if address is None:
        return kernel(*arguments)
    words, result = words_of(arguments), np.zeros(1)
    FUNCTION(address)(words.ctypes.data, result.ctypes.data)
    return float(result[0])
