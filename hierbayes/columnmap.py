"""The linear map between the user's columns and those inside, which priors are about.

Inside, a column of a model matrix X is replaced by its residual on other columns (`data.margins`): the matrix is X C,
with C triangular in some order of the columns and 1 on its diagonal. Coefficients c of X C are coefficients b = C c of
X, group effects likewise, and the covariance of effects C u is C Σ C' (docs/parameterisations.md).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FEW = 16  # products with a small matrix take five times as long as adding a few multiples


@dataclass(frozen=True, eq=False)
class ColumnMap:
    """C, and what it does to columns, coefficients, effects and covariances.

    Attributes
    ----------
    matrix : ndarray, (k, k)
        C, triangular in some order and 1 on its diagonal.

    Examples
    --------
    >>> about_mean = ColumnMap(np.array([[1.0, -2.0], [0.0, 1.0]]))  # x less its mean 2
    >>> about_mean.inner_columns(np.array([[1.0, 2.0], [1.0, 5.0]])).tolist()
    [[1.0, 0.0], [1.0, 3.0]]
    >>> about_mean.to_user(np.array([10.0, 3.0])).tolist()  # 10 at the mean and slope 3
    [4.0, 3.0]
    >>> sd, cor = about_mean.to_user_covariance(np.array([3.0, 2.0]), np.eye(2))
    >>> sd.tolist(), cor[0, 1].round(12)
    ([5.0, 2.0], np.float64(-0.8))
    """

    matrix: Array

    @cached_property
    def inverse(self) -> Array:
        """C⁻¹ (k, k)."""
        change = self.matrix - np.eye(len(self.matrix))
        if not (change @ change).any():
            return np.eye(len(change)) - change  # exactly
        return np.linalg.inv(self.matrix)

    @cached_property
    def identity(self) -> bool:
        """Whether it changes nothing."""
        return bool((self.matrix == np.eye(len(self.matrix))).all())

    def inner_columns(self, x: Array) -> Array:
        """The columns X C of rows X: (n, k)."""
        return x if self.identity else _added(x, self.matrix.T)

    def to_user(self, inner: Array) -> Array:
        """Coefficients or effects of the user's columns from those of the inner ones: (…, k)."""
        return inner if self.identity else _added(inner, self.matrix)

    def to_inner(self, user: Array) -> Array:
        """Coefficients or effects of the inner columns from those of the user's: (…, k)."""
        return user if self.identity else _added(user, self.inverse)

    def to_user_covariance(self, sd: Array, cor: Array) -> tuple[Array, Array]:
        """Standard deviations (…, k) and correlations (…, k, k) of the user's effects from those of the inner ones."""
        return (sd, cor) if self.identity else _covariance(self.matrix, sd, cor)

    def to_inner_covariance(self, sd: Array, cor: Array) -> tuple[Array, Array]:
        """Standard deviations (…, k) and correlations (…, k, k) of the inner effects from those of the user's."""
        return (sd, cor) if self.identity else _covariance(self.inverse, sd, cor)


def _added(values: Array, matrix: Array) -> Array:
    """``values @ matrix.T``, whose diagonal is 1: the values themselves, and what others add to some of them."""
    change = matrix - np.eye(len(matrix))
    rows, columns = np.nonzero(change)
    found: Array = np.array(values, dtype=np.float64)
    if len(rows) <= FEW:
        for i, j in zip(rows, columns, strict=True):
            found[..., i] += change[i, j] * values[..., j]
        return found
    read = np.unique(columns)
    if len(read) < len(matrix):
        return found + values[..., read] @ change[:, read].T
    changed = np.unique(rows)
    found[..., changed] += values @ change[changed].T
    return found


def _covariance(matrix: Array, sd: Array, cor: Array) -> tuple[Array, Array]:
    """Standard deviations and correlations of M u, from those of u; what M leaves alone stays as it is, exactly."""
    unit = np.eye(len(matrix), dtype=bool)
    moved = (matrix != unit).any(axis=1)
    covariance = matrix @ (sd[..., :, None] * cor * sd[..., None, :]) @ matrix.T
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    found = np.where(moved, np.sqrt(np.maximum(variance, np.finfo(float).tiny)), sd)
    correlation = np.clip(covariance / (found[..., :, None] * found[..., None, :]), -1.0, 1.0)
    unmoved = ~moved[:, None] & ~moved
    return found, np.where(unit, 1.0, np.where(unmoved, cor, correlation))
