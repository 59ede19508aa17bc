"""A compiled log density on R^dim with all that it reads, and working memory for as many threads as call it."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hierbayes.engine.core.arguments import DENSITY, Argument, Table, make_table
from hierbayes.engine.core.machine import address_of
from hierbayes.engine.core.problem import Floats

Evaluate = Callable[[Floats], tuple[float, Floats]]
FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_void_p] * 4)


@dataclass(frozen=True)
class Density:
    """A log density and its gradient, as a compiled function and the arrays that it is called with.

    Attributes
    ----------
    kernel : compiled function
        Of a position, an array that it sets to the gradient, the constants and the memory; returns the log density.
        What it returns depends on nothing that was in the memory before.
    dim : int
    constants : tuple of arrays, or of named tuples of arrays
        Only read.
    make_memory : callable
        Returns memory to write to, for one thread.
    """

    kernel: Callable[..., float]
    dim: int
    constants: tuple[Argument, ...]
    make_memory: Callable[[], tuple[Argument, ...]]

    def table(self, rows: int) -> Table:
        """Return the arguments for as many threads."""
        return make_table([(*self.constants, *self.make_memory()) for _ in range(rows)])

    def address(self, table: Table) -> int:
        """Return where the C function is."""
        return address_of(DENSITY, self.kernel, table.arguments[0])

    def evaluator(self) -> "Evaluator":
        """Return a function of a position, with memory of its own: one for each thread."""
        return Evaluator(self)


class Evaluator:
    """A function of a position that returns the log density and its gradient, the same array each time.

    Where the log density cannot be computed it is -inf or NaN, and the gradient means nothing.
    """

    def __init__(self, density: Density) -> None:
        self.dim = density.dim
        self.position, self.gradient, self.value = np.zeros(self.dim), np.zeros(self.dim), np.zeros(1)
        self.table = density.table(1)
        self.function = FUNCTION(density.address(self.table))
        arrays = self.position, self.gradient, self.value, self.table.words
        self.places = [array.ctypes.data for array in arrays]

    def __call__(self, position: Floats) -> tuple[float, Floats]:
        """Evaluate."""
        self.position[:] = position
        self.function(self.dim, *self.places)
        return float(self.value[0]), self.gradient
