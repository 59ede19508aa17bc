"""What is known of a covariance structure: its parameters, its root with the reverse sweep, its correlations and words.

The covariance of a level's effects is D R D: D the standard deviations, one an effect or one for all, and R the
correlations, which the structure's own parameters decide. Sds are the same in all structures, so a structure says only
how R comes of its parameters: as a Cholesky factor for the kernels, and as a matrix for everybody else.

Of reduced rank the covariance is ΛΛ', and the loadings Λ, parameters themselves, decide the standard deviations too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import Deferred, deferred

if TYPE_CHECKING:
    from hierbayes.priors import Prior

Array = NDArray[np.float64]
BOUNDED, POSITIVE, REAL = "bounded", "positive", "real"
INSIDE = 1 - 1e-12  # a correlation that rounds to 1 keeps a finite coordinate

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
        `BOUNDED`, `POSITIVE` or `REAL`.
    words : str
    lower, upper : callable
        Its bounds for q effects.
    prior : callable
        The default prior for q effects at those positions, (q,) or (q, d): its distribution and arguments. Of a
        loading, in units of what a default says of the standard deviation of its effect.
    typical : callable
        A typical value of a positive one, given the positions.
    place : tuple of int
        Of a loading: which effect of the structure it is of, and which dimension; () of a number by itself.
    """

    name: str
    kind: str
    words: str
    prior: Callable[[int, Array], tuple[str, dict[str, float]]]
    lower: Callable[[int], float] = lambda q: 0.0
    upper: Callable[[int], float] = lambda q: inf
    typical: Callable[[Array], float] = lambda positions: 1.0
    place: tuple[int, ...] = ()


class FreeLoadings(ABC):
    """Loadings Λ (q, d) that are parameters one by one: a level's effects are Λu, of d independent normal numbers u."""

    @abstractmethod
    def parameters(self, q: int, rank: int) -> tuple[StructureParameter, ...]:
        """A parameter for each loading that is not 0, row by row."""

    @abstractmethod
    def settled(self, loadings: Any, m: Any = np) -> Any:
        """Those loadings (…, q, d) with the same covariance as some that the posterior has, NumPy's or PyTensor's."""


class FreeCorrelations(ABC):
    """Correlations that are themselves parameters, through P partial correlations without any bounds but ±1.

    Their prior is LKJ: the density det(R)^(eta − 1), of all matrices that the structure allows.
    """

    every_pair: bool  # whether each pair of effects has a correlation of its own
    free: str  # what the graph's free variable is called after

    @abstractmethod
    def pairs(self, q: int) -> list[tuple[int, int]]:
        """Pairs of q effects that tell all correlations, each once."""

    @abstractmethod
    def powers(self, q: int, eta: float) -> Array:
        """The density of each partial correlation w is proportional to (1 − w²) to its power, less 1: (P,)."""

    @abstractmethod
    def equal(self, q: int, value: float) -> Array:
        """The partial correlations (P,) of effects whose correlations are all the same."""

    @abstractmethod
    def partials_of(self, cor: Array) -> Array:
        """The partial correlations of some correlations: (S, q, q) → (S, P)."""

    @abstractmethod
    def from_partials(self, partials: Array, q: int) -> Array:
        """The correlations that have some partial correlations: (S, P) → (S, q, q)."""

    @abstractmethod
    def log_density(self, prior: "Prior", cor: Array) -> Array:
        """Log prior density of correlations (S, q, q): (S,)."""

    @abstractmethod
    def sample(self, prior: "Prior", rng: np.random.Generator, draws: int, q: int) -> Array:
        """Correlations from the prior: (S, q, q)."""

    @abstractmethod
    def graph_factor(self, pm: Any, name: str, q: int, eta: float) -> Any:
        """Their Cholesky factor in PyMC's graph, of a free variable of that name."""


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
        Of reduced rank what the covariance is.
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
    matrix : FreeCorrelations or None
        Where the posterior has the correlations themselves, as ``cor_<g>`` with an LKJ prior: how they are free.
    loadings : FreeLoadings or None
        Where the covariance comes of loadings: how they are free. Terms then say of how many dimensions, ``d=2``; the
        root is that of the covariance, which may have zeros on its diagonal, and no standard deviation is a parameter.
    positions : str
        What the effects stand for: "" for anything, "whole" for whole numbers, "any" for numbers, "equal" for numbers
        of equal distances, beyond which the structure doesn't go, "place" for one coordinate or several.
    constants : callable
        Of the positions, (q,) or (q, d), what the root is given besides the parameters.
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
    matrix: FreeCorrelations | None = None
    loadings: FreeLoadings | None = None
    positions: str = ""
    constants: Callable[[Array], Array] = lambda positions: np.empty(0)
    place: int = 100

    @property
    def correlated(self) -> bool:
        """Whether effects are correlated at all."""
        return bool(self.parameters or self.matrix or self.loadings)

    def parameters_of(self, q: int, rank: int) -> tuple[StructureParameter, ...]:
        """The parameters of q effects, of some rank where the covariance comes of loadings; one effect needs none."""
        if self.loadings is not None:
            return self.loadings.parameters(q, rank)
        return self.parameters if q > 1 else ()


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
