"""What the Gaussian engine is asked: rows, grouping factors and priors as plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Blocks = tuple[tuple[int, ...], ...]


class PriorCode(IntEnum):
    """Densities that a standard deviation may have; the kernels know them by these numbers.

    A prior is a row ``(code, a, b, c)``; the columns beyond a density's own arguments are not read.
    """

    EXPONENTIAL = 0  # a: rate
    HALF_NORMAL = 1  # a: scale
    HALF_STUDENT = 2  # a: degrees of freedom, b: scale
    HALF_CAUCHY = 3  # a: scale
    GAMMA = 4  # a: shape, b: rate
    INVERSE_GAMMA = 5  # a: shape, b: scale
    LOGNORMAL = 6  # a: mean of the log, b: sd of the log
    UNIFORM = 7  # a: lower, b: upper
    HALF_FLAT = 8
    FIXED = 9  # a: the value itself, which is no number of theta


@dataclass(frozen=True)
class Factor:
    """A grouping factor and its varying effects.

    Parameters
    ----------
    codes : array of int, shape (n,)
        Level of each row, from 0.
    Z : array, shape (n, q)
        The columns whose effects vary over the levels.
    n_levels : int
        Number of levels; a level without rows is allowed.
    blocks : tuple of tuples of int
        Which effects are correlated: ``((0, 1),)`` is unstructured, ``((0,), (1,))`` diagonal.
    sd_priors : array, shape (q, 4)
        One row ``(code, a, b, c)`` an effect, see `PriorCode`.
    eta : tuple of float
        LKJ shape of each block; not read for a block of one effect.
    cor : float, optional
        The value of every correlation within a block, where it is known; then no correlation is free.
    """

    codes: Ints
    Z: Floats
    n_levels: int
    blocks: Blocks
    sd_priors: Floats
    eta: tuple[float, ...]
    cor: float | None = None

    def __post_init__(self) -> None:
        _set(self, codes=np.ascontiguousarray(self.codes, dtype=np.int64))
        _set(self, Z=np.ascontiguousarray(self.Z, dtype=np.float64))
        _set(self, sd_priors=_prior_rows(self.sd_priors), n_levels=int(self.n_levels))
        if self.Z.ndim != 2 or self.codes.shape != self.Z.shape[:1]:
            raise ValueError(f"codes {self.codes.shape} and Z {self.Z.shape} must share their rows")
        if self.codes.size and (self.codes.min() < 0 or self.codes.max() >= self.n_levels):
            raise ValueError(f"codes must lie in 0..{self.n_levels - 1}")
        if sorted(e for block in self.blocks for e in block) != list(range(self.q)):
            raise ValueError(f"blocks {self.blocks} must hold each of the {self.q} effects once")
        if len(self.eta) != len(self.blocks):
            raise ValueError(f"{len(self.blocks)} blocks need as many eta, got {len(self.eta)}")
        if not all(shape > 0 for shape in self.eta):
            raise ValueError(f"eta must be positive, got {self.eta}")
        largest = max(map(len, self.blocks))
        if self.cor is not None and largest > 1 and not -1 / (largest - 1) < self.cor < 1:
            raise ValueError(f"{largest} effects cannot all have the correlation {self.cor}")
        if self.sd_priors.shape != (self.q, 4):
            raise ValueError(f"sd_priors must have shape ({self.q}, 4), got {self.sd_priors.shape}")
        # Ascending effects keep Λ lower triangular.
        _set(self, blocks=tuple(tuple(sorted(block)) for block in self.blocks))

    @property
    def q(self) -> int:
        """Number of varying effects."""
        return self.Z.shape[1]

    @property
    def n_scales(self) -> int:
        """Number of free standard deviations."""
        return count_free(self.sd_priors)

    @property
    def n_correlations(self) -> int:
        """Number of free correlations."""
        if self.cor is not None:
            return 0
        return sum(len(block) * (len(block) - 1) // 2 for block in self.blocks)


@dataclass(frozen=True)
class GaussianProblem:
    """A Gaussian mixed model: ``y ~ N(offset + X b + Σ_k Z_k r_k[codes_k], sigma²)``.

    The prior of the population-level coefficients is stated for the design with ``X - centre``: slopes are
    the user's own, the intercept is the expected response at ``centre``.

    Parameters
    ----------
    y : array, shape (n,)
    X : array, shape (n, p)
        Population-level columns on the user's scale, the intercept's among them.
    factors : sequence of Factor
    prior_mean, prior_precision : arrays, shape (p,)
        Normal prior of the centred coefficients; precision 0 is a flat prior.
    sigma_prior : array, shape (4,)
        ``(code, a, b, c)``, see `PriorCode`.
    centre : array, shape (p,)
        What is subtracted from each column; 0 for the intercept's own.
    intercept : int, optional
        Column of ones that takes up the centring; needed when ``centre`` is not zero.
    offset, weights : arrays, shape (n,), optional
        A weight multiplies its row's log density: 2 is the row twice.

    Examples
    --------
    >>> exponential = (PriorCode.EXPONENTIAL, 1.0, 0, 0)
    >>> ones = np.ones((4, 1))
    >>> group = Factor([0, 0, 1, 1], ones, 2, blocks=((0,),), sd_priors=[exponential], eta=(1.0,))
    >>> GaussianProblem([1.0, 2.0, 4.0, 5.0], ones, [group], [3.0], [0.1], exponential, [0.0], 0).n_theta
    2
    """

    y: Floats
    X: Floats
    factors: Sequence[Factor]
    prior_mean: Floats
    prior_precision: Floats
    sigma_prior: Floats
    centre: Floats
    intercept: int | None = None
    offset: Floats | None = None
    weights: Floats | None = None

    def __post_init__(self) -> None:
        X = np.asarray(self.X, dtype=np.float64)
        n, p = X.shape
        _set(self, X=X, y=np.asarray(self.y, dtype=np.float64), factors=tuple(self.factors))
        _set(self, centre=np.asarray(self.centre, dtype=np.float64))
        _set(self, prior_mean=np.asarray(self.prior_mean, dtype=np.float64))
        _set(self, prior_precision=np.asarray(self.prior_precision, dtype=np.float64))
        _set(self, sigma_prior=_prior_rows(self.sigma_prior)[0])
        for name in ("offset", "weights"):
            if getattr(self, name) is not None:
                _set(self, **{name: np.asarray(getattr(self, name), dtype=np.float64)})
        for name in ("prior_mean", "prior_precision", "centre"):
            if getattr(self, name).shape != (p,):
                raise ValueError(f"{name} must have shape ({p},), got {getattr(self, name).shape}")
        for name in ("y", "offset", "weights"):
            if getattr(self, name) is not None and np.shape(getattr(self, name)) != (n,):
                raise ValueError(f"{name} must have shape ({n},), got {np.shape(getattr(self, name))}")
        if any(f.codes.shape != (n,) for f in self.factors):
            raise ValueError(f"every factor must have {n} rows")
        if not np.all(self.prior_precision >= 0) or not np.all(np.isfinite(self.prior_precision)):
            raise ValueError("prior_precision must be finite and not negative")
        if self.weights is not None and not np.all(self.weights >= 0):
            raise ValueError("weights must not be negative")
        if self.intercept is None and np.any(self.centre):
            raise ValueError("centring moves the intercept: without one, centre must be zero")
        if self.intercept is not None and self.centre[self.intercept] != 0:
            raise ValueError("the intercept's own column is not centred")
        if self.intercept is not None and not np.all(X[:, self.intercept] == 1):
            raise ValueError(f"column {self.intercept} of X is not an intercept: it must be all ones")

    @property
    def n_theta(self) -> int:
        """Number of unconstrained hyperparameters."""
        return count_free(self.sigma_prior[None]) + sum(f.n_scales + f.n_correlations for f in self.factors)

    def rows(self, selection: slice | Ints) -> "GaussianProblem":
        """Return the same model on some of the rows."""
        factors = tuple(replace(f, codes=f.codes[selection], Z=f.Z[selection]) for f in self.factors)
        return replace(
            self,
            y=self.y[selection],
            X=self.X[selection],
            factors=factors,
            offset=None if self.offset is None else self.offset[selection],
            weights=None if self.weights is None else self.weights[selection],
        )


def count_free(priors: Floats) -> int:
    """Return how many of the scales are not fixed."""
    return int((priors[:, 0] != PriorCode.FIXED).sum())


def _set(record: object, **values: object) -> None:
    """Normalise fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def _prior_rows(rows: object) -> Floats:
    """Return checked ``(code, a, b, c)`` rows."""
    table = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    for code, a, b, _ in table:
        valid = {
            PriorCode.EXPONENTIAL: a > 0,
            PriorCode.HALF_NORMAL: a > 0,
            PriorCode.HALF_STUDENT: a > 0 and b > 0,
            PriorCode.HALF_CAUCHY: a > 0,
            PriorCode.GAMMA: a > 0 and b > 0,
            PriorCode.INVERSE_GAMMA: a > 0 and b > 0,
            PriorCode.LOGNORMAL: b > 0,
            PriorCode.UNIFORM: 0 <= a < b,
            PriorCode.HALF_FLAT: True,
            PriorCode.FIXED: 0 < a < np.inf,
        }[PriorCode(int(code))]
        if not valid:
            raise ValueError(f"{PriorCode(int(code)).name} has no density with arguments {a}, {b}")
    return table
