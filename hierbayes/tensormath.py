"""The functions of `links.NUMPY_MATH` on tensors, for graphs and for densities that PyMC alone knows."""

from types import SimpleNamespace
from typing import Any

import numpy as np


def tensor_math(pm: Any) -> SimpleNamespace:
    """The functions of `hierbayes.links.NUMPY_MATH` on tensors.

    Parameters
    ----------
    pm : module
        PyMC, which takes its time to import: whoever needs tensors has done so.
    """
    import pytensor.tensor as pt

    root = np.sqrt(2.0)  # NumPy's: PyTensor would take a plain 2.0, and its root, for float32

    def log_ndtr(x: Any) -> Any:
        # each branch sees only its own half: beyond 38 the other overflows, and its gradient would be NaN
        left, right = pt.minimum(x, -1.0), pt.maximum(x, -1.0)
        tail = pt.log(0.5 * pt.erfcx(-left / root)) - 0.5 * pt.sqr(left)
        return pt.switch(x < -1.0, tail, pt.log1p(-0.5 * pt.erfc(right / root)))

    return SimpleNamespace(
        exp=pt.exp,
        log=pt.log,
        expm1=pt.expm1,
        log1p=pt.log1p,
        sqrt=pt.sqrt,
        arcsinh=pt.arcsinh,
        arctan2=pt.arctan2,
        gammaln=pt.gammaln,
        softplus=pt.softplus,
        sigmoid=pm.math.sigmoid,
        ndtr=lambda x: 0.5 * pt.erfc(-x / root),
        log_ndtr=log_ndtr,
        arrays=pt,
    )
