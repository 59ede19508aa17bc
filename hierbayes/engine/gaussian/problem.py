"""What the Gaussian engine is asked: rows, grouping factors and priors as plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.problem import Factor, Floats, Ints, count_free, prior_rows, set_fields


class LogSigma(NamedTuple):
    """Standard deviations of rows: the logarithms are sums of columns times those of own scales, and an offset.

    Attributes
    ----------
    columns : array, shape (n, S)
    offset : array, shape (n,)
    priors : array, shape (S, 4)
        Of the own scales.
    """

    columns: Floats
    offset: Floats
    priors: Floats


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
    series : Factor, optional
        Where residuals are correlated within the levels of a factor: an effect for each time, its column of Z the
        rows of that time, and of standard deviation 1; their correlations are the residuals'. There is one factor or
        none, whose levels hold whole series, and no weights then.
    log_sigma : LogSigma, optional
        Of rows in series: their standard deviations, where they are not all sigma.

    Examples
    --------
    >>> from hierbayes.engine.core.problem import PriorCode
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
    series: Factor | None = None
    log_sigma: LogSigma | None = None

    def __post_init__(self) -> None:
        X = np.asarray(self.X, dtype=np.float64)
        n, p = X.shape
        set_fields(self, X=X, y=np.asarray(self.y, dtype=np.float64), factors=tuple(self.factors))
        set_fields(self, centre=np.asarray(self.centre, dtype=np.float64))
        set_fields(self, prior_mean=np.asarray(self.prior_mean, dtype=np.float64))
        set_fields(self, prior_precision=np.asarray(self.prior_precision, dtype=np.float64))
        set_fields(self, sigma_prior=prior_rows(self.sigma_prior)[0])
        for name in ("offset", "weights"):
            if getattr(self, name) is not None:
                set_fields(self, **{name: np.asarray(getattr(self, name), dtype=np.float64)})
        for name in ("prior_mean", "prior_precision", "centre"):
            if getattr(self, name).shape != (p,):
                raise ValueError(f"{name} must have shape ({p},), got {getattr(self, name).shape}")
        for name in ("y", "offset", "weights"):
            if getattr(self, name) is not None and np.shape(getattr(self, name)) != (n,):
                raise ValueError(f"{name} must have shape ({n},), got {np.shape(getattr(self, name))}")
        if any(f.codes.shape != (n,) for f in self.factors):
            raise ValueError(f"every factor must have {n} rows")
        if any(f.more for f in self.factors):
            raise ValueError("a row has one level of each factor here")
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
    def own_priors(self) -> Floats:
        """Priors of the scales that are no group effects', (S, 4): sigma's, or those that log sigma comes from."""
        return self.sigma_prior[None] if self.log_sigma is None else self.log_sigma.priors

    @property
    def n_theta(self) -> int:
        """Number of unconstrained hyperparameters."""
        factors = (*self.factors, *([self.series] if self.series else []))
        return count_free(self.own_priors) + sum(f.n_scales + f.n_correlations for f in factors)

    def rows(self, selection: slice | Ints) -> "GaussianProblem":
        """Return the same model on some of the rows."""
        factors = tuple(f.rows(selection) for f in self.factors)
        return replace(
            self,
            series=self.series.rows(selection) if self.series else None,
            log_sigma=self.log_sigma
            and LogSigma(
                self.log_sigma.columns[selection], self.log_sigma.offset[selection], self.log_sigma.priors
            ),
            y=self.y[selection],
            X=self.X[selection],
            factors=factors,
            offset=None if self.offset is None else self.offset[selection],
            weights=None if self.weights is None else self.weights[selection],
        )
