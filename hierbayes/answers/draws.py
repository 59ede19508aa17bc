"""Posterior draws as flat arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.schema import CHAIN_DIMS, Variable
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
LARGEST_KEPT = 32_000_000  # bytes, just below glibc's largest


@dataclass(frozen=True)
class Draws:
    """Posterior draws as flat arrays (S, …) by variable name.

    Attributes
    ----------
    values : mapping of str to ndarray
    chains, draws : int
        S = chains × draws.
    """

    values: Mapping[str, Array]
    chains: int
    draws: int

    def __len__(self) -> int:
        return self.chains * self.draws

    def part(self, some: slice) -> "Draws":
        """Some of the S draws, as one chain."""
        values = {name: array[some] for name, array in self.values.items()}
        return Draws(values, 1, len(range(*some.indices(len(self)))))

    def thinned(self, most: int) -> "Draws":
        """Evenly spaced draws of each chain, at most `most` in all, one a chain at least; all where there are fewer."""
        each = max(1, most // self.chains)
        if each >= self.draws:
            return self
        kept = np.linspace(0, self.draws - 1, each).round().astype(int)
        places = (np.arange(self.chains)[:, None] * self.draws + kept).ravel()
        return Draws({name: values[places] for name, values in self.values.items()}, self.chains, each)


def population_coefficients(spec: ModelSpec, parameter: str, values: Mapping[str, Array]) -> Array | None:
    """Coefficients of `BoundPredictor.columns`: (…, p + m + l); None where there are none.

    Parameters
    ----------
    values : mapping of str to ndarray
        Draws, or their means, by variable name.
    """
    layout = spec.layout.predictors[parameter]
    parts = [values[spec.coefficient_variable(parameter).name]] if layout.coefficients else []
    parts += [values[spec.curve_variables(parameter, curve)["s"].name] for curve in layout.curves]
    for effect in layout.monotonic:
        parts.append(effect.coefficients(parts[0], spec.shares(parameter, effect, values)))
    if len(parts) < 2:
        return parts[0] if parts else None
    return np.concatenate(parts, axis=-1)


def flatten(spec: ModelSpec, posterior: Any) -> Draws:
    """The schema's variables of a posterior dataset, chains and draws in one axis."""
    keep_freed_memory()
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    return Draws({v.name: flat_draws(posterior, v) for v in spec.variables}, chains, draws)


def draws_of(posterior: Any, variable: Variable) -> Array:
    """A variable of a posterior dataset: (chain, draw, …), in the schema's order of dimensions."""
    values = posterior[variable.name].transpose(*CHAIN_DIMS, *variable.dims).to_numpy()
    return np.asarray(variable.of({variable.name: values}))


def flat_draws(posterior: Any, variable: Variable) -> Array:
    """The same with chains and draws in one axis: (S, …)."""
    values = draws_of(posterior, variable)
    return values.reshape(-1, *values.shape[2:])


def keep_freed_memory() -> None:
    """Let the process keep blocks of up to 32 MB that arrays leave, for the next arrays.

    What is done with draws is done chunk by chunk, in arrays of a few MB that come and go. glibc hands such blocks back
    to the system at once, and fetching their pages anew takes several times as long as the arithmetic on them; but it
    keeps blocks up to the size of the largest that was ever freed, 32 MB at most (mallopt(3), M_MMAP_THRESHOLD). Other
    allocators lose nothing by it.
    """
    np.empty(LARGEST_KEPT // 8)
