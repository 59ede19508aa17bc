"""Log densities of rows, and their scores, from PyMC's distribution alone: for families without a row function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.kinds import Kind
from hierbayes.tensormath import tensor_math

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TensorRows:
    """What `rows.Rows` is, where derivatives are PyTensor's and the density has no address.

    Attributes
    ----------
    name : str
        The family's.
    graph : callable
        ``graph(pm, [trials,] **parameters)``: PyMC's distribution and its arguments.
    parameters : sequence of (str, Kind)
        Names and kinds of the parameters, none of them a vector.
    needs_trials, whole : bool
        As of the family and its support.
    """

    name: str
    graph: Callable[..., tuple[Any, dict[str, Any]]]
    parameters: Sequence[tuple[str, Kind]]
    needs_trials: bool
    whole: bool

    @cached_property
    def _function(self) -> Any:
        import pymc as pm
        import pytensor
        import pytensor.tensor as pt

        y = pt.lvector("y") if self.whole else pt.dvector("y")
        trials = pt.lvector("trials")
        inner = [pt.dvector(name) for name, _ in self.parameters]
        math = tensor_math(pm)
        given = {
            name: kind.under(kind.links[0], t, math)
            for (name, kind), t in zip(self.parameters, inner, strict=True)
        }
        counts = [trials] if self.needs_trials else []
        distribution, arguments = self.graph(pm, *counts, **given)
        value = pm.logp(distribution.dist(**arguments), y) + pt.zeros_like(inner[0])
        scores = pytensor.grad(value.sum(), inner, disconnected_inputs="ignore")
        # a distribution's own checks of its parameters stop at one row; there its density is none, or NaN
        mode = pytensor.compile.get_default_mode().including("local_remove_check_parameter")
        return pytensor.function([y, trials, *inner], [value, *scores], mode=mode, on_unused_input="ignore")

    def evaluate(self, y: Array, trials: Array | None, t: Array) -> Array:
        """Log density and scores (1 + J, N) of N rows, y (N,) or (N, 1), from inner coordinates (J, N)."""
        y = np.ravel(y)
        out = np.empty((1 + len(t), y.size))
        if y.size:
            trials = np.ones(len(y)) if trials is None else trials
            whole = np.asarray(y, np.int64 if self.whole else np.float64)
            with np.errstate(all="ignore"):
                out[:] = self._function(whole, np.asarray(trials, np.int64), *t)
        return out
