"""Distributions that PyMC has not, for graphs: by their log densities in tensors."""

from collections.abc import Callable
from typing import Any


class ByDensity:
    """What stands for one of PyMC's distributions: called to observe a variable, or ``dist`` for one alone.

    Parameters
    ----------
    pm : module
        PyMC.
    log_density : callable
        ``log_density(y, **arguments)``, of tensors.
    """

    def __init__(self, pm: Any, log_density: Callable[..., Any]) -> None:
        self.pm, self.log_density = pm, log_density

    def _logp(self, names: list[str]) -> Callable[..., Any]:
        def logp(value: Any, *values: Any) -> Any:
            return self.log_density(value, **dict(zip(names, values, strict=True)))

        return logp

    def __call__(self, name: str, observed: Any = None, dims: Any = None, **arguments: Any) -> Any:
        """A variable of the model at hand, observed or free."""
        logp = self._logp(list(arguments))
        return self.pm.CustomDist(name, *arguments.values(), logp=logp, observed=observed, dims=dims)

    def dist(self, **arguments: Any) -> Any:
        """The distribution without a name."""
        return self.pm.CustomDist.dist(*arguments.values(), logp=self._logp(list(arguments)))
