"""What is known of a covariance structure: its parameters, its root with the reverse sweep, its correlations and words.

The covariance of a level's effects is D R D: D the standard deviations, one an effect or one for all, and R the
correlations, which the structure's own parameters decide. Sds are the same in all structures, so a structure says only
how R comes of its parameters: as a Cholesky factor for the kernels, and as a matrix for everybody else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import Deferred, deferred

Array = NDArray[np.float64]
BOUNDED, POSITIVE = "bounded", "positive"

# Rows of what a root is given: each parameter's value, how far it lies above its lower and below its upper bound, the
# root of the product of both, and where the reverse sweep adds the parameter's score.
VALUE, BELOW, ABOVE, ROOT, SCORE = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class StructureParameter:
    """One number of a structure.

    Attributes
    ----------
    name : str
        What it is called in the posterior and in priors: ``"rho"``.
    kind : str
        `BOUNDED` or `POSITIVE`.
    words : str
    lower, upper : callable
        Its bounds for q effects.
    prior : callable
        The default prior for q effects at those positions (q,): its distribution and arguments.
    typical : callable
        A typical value of a positive one, given the positions.
    """

    name: str
    kind: str
    words: str
    prior: Callable[[int, Array], tuple[str, dict[str, float]]]
    lower: Callable[[int], float] = lambda q: 0.0
    upper: Callable[[int], float] = lambda q: inf
    typical: Callable[[Array], float] = lambda positions: 1.0


@dataclass(frozen=True, eq=False)
class Structure:
    """A covariance structure of q effects of a level.

    Attributes
    ----------
    name : str
        As it is written before the parenthesis of a group term.
    words : str
        Of a model's description: ``"one correlation"``.
    equation : str
        What the correlation R of effects i and j is, in a model's equations; ``"{group}"`` stands for the group's name.
    root : Deferred
        ``root(q, p, chol)`` sets the lower triangle of the (q, q) Cholesky factor of R. `p` has a column for each
        parameter, then one for each constant, and the rows `VALUE`, `BELOW`, `ABOVE`, `ROOT`, `SCORE`.
    reverse : Deferred
        ``reverse(q, p, chol, chol_score)`` adds to ``p[SCORE]`` each parameter's score, that of its value times BELOW
        times ABOVE: the score in a coordinate without bounds. The scores of the factor's entries may be written over.
    correlation : callable
        ``correlation(m, q, positions, *parameters)`` gives R (…, q, q) with `m` NumPy or PyTensor's tensor module; a
        parameter has two axes of length 1 behind its own, so that it broadcasts.
    one_sd : bool
        Whether all effects have the same standard deviation.
    parameters : tuple of StructureParameter
    matrix : str
        Which correlations the posterior has one by one, as ``cor_<g>`` with an LKJ prior: "" for none, "all", "lags".
    positions : str
        What the effects stand for: "" for anything, "whole" for whole numbers, "any" for numbers.
    constants : callable
        Of the positions (q,), what the root is given besides the parameters.
    place : int
        Its place among the others.
    """

    name: str
    words: str
    equation: str
    root: Deferred
    reverse: Deferred
    correlation: Callable[..., Any]
    one_sd: bool = False
    parameters: tuple[StructureParameter, ...] = ()
    matrix: str = ""
    positions: str = ""
    constants: Callable[[Array], Array] = lambda positions: np.empty(0)
    place: int = 100

    @property
    def correlated(self) -> bool:
        """Whether effects are correlated at all."""
        return bool(self.parameters or self.matrix)

    def partials(self, q: int) -> int:
        """How many partial correlations are free."""
        return {"": 0, "all": q * (q - 1) // 2, "lags": q - 1}[self.matrix]

    def powers(self, q: int, eta: float) -> Array:
        """The LKJ density in each partial correlation w: (1 − w²) to these powers, less 1.

        The density of R is det(R)^(eta − 1), of all correlation matrices or of those of the structure.
        """
        if self.matrix == "all":  # row by row of the lower triangle
            return np.array([eta + 0.5 * (q - 2 - j) for i in range(q) for j in range(i)])
        return (
            np.array([(eta - 1) * (q - lag) + q - lag for lag in range(1, q)]) if self.matrix else np.empty(0)
        )


@deferred
def identity_root(q: int, p: Any, chol: Any) -> None:
    """Effects that are independent."""
    for i in range(q):
        for j in range(i):
            chol[i, j] = 0.0
        chol[i, i] = 1.0


@deferred
def no_reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """Nothing to add to: there are no parameters."""


def identity_correlation(m: Any, q: int, positions: Array) -> Any:
    """The correlations of independent effects."""
    return m.eye(q)
