"""What the kernels ask of numba, for as long as they have to."""

from typing import Any

import numba as nb
import numpy as np

from hierbayes.engine.core.loops import UNCOUNTED


def references_in(**options: Any) -> int:
    """How often the machine code of a kernel that passes rows on counts references to them."""

    @nb.njit(error_model="numpy", **options)
    def solve(a: Any, b: Any) -> None:
        for i in range(len(b)):
            for j in range(i):
                b[i] -= a[i, j] * b[j]
            b[i] /= a[i, i]
        for i in range(len(b) - 1, -1, -1):
            for j in range(i + 1, len(b)):
                b[i] -= a[j, i] * b[j]
            b[i] /= a[i, i]

    @nb.njit(error_model="numpy", **options)
    def kernel(x: Any, y: Any) -> None:
        for i in range(len(x)):
            a, b = x[i], y[i]
            for k in range(len(y)):
                if k != i:
                    solve(a, b)
                    solve(x[k], b)
                    solve(a, y[k])

    kernel(np.ones((2, 3, 3)), np.ones((2, 3)))
    return sum(text.count("@NRT_incref(") for text in kernel.inspect_llvm().values())


def test_references_to_rows_are_counted_unless_numba_is_told():
    """When the first fails, numba has learnt to leave the counts out, and `loops.UNCOUNTED` can go."""
    assert references_in() > 0
    assert UNCOUNTED
    assert references_in(**UNCOUNTED) == 0
