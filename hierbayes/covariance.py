"""Standard deviations and correlations of group effects at another value of their predictors.

A varying intercept is the effect where every other predictor of its term is 0. Priors are stated where those
predictors are at their means, because 0 may be far from any row; answers are given at the user's 0. With the effects
r = A r_c (`Factor.shift`), the covariance of r is A Σ_c A'.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def shift_covariance(shift: Array | None, sd: Array, cor: Array) -> tuple[Array, Array]:
    """Standard deviations and correlations of A r, from those of r.

    Parameters
    ----------
    shift : ndarray, (q, q), optional
        A; None for the identity.
    sd : ndarray, (…, q)
    cor : ndarray, (…, q, q)

    Returns
    -------
    sd : ndarray, (…, q)
    cor : ndarray, (…, q, q)

    Examples
    --------
    >>> at_zero = np.array([[1.0, -2.0], [0.0, 1.0]])
    >>> sd, cor = shift_covariance(at_zero, np.array([3.0, 2.0]), np.eye(2))
    >>> sd.tolist(), cor[0, 1].round(12)
    ([5.0, 2.0], np.float64(-0.8))
    """
    if shift is None:
        return sd, cor
    moved = (shift != np.eye(len(shift))).any(axis=1)
    covariance = shift @ (sd[..., :, None] * cor * sd[..., None, :]) @ shift.T
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    shifted = np.where(moved, np.sqrt(np.maximum(variance, np.finfo(float).tiny)), sd)
    correlation = np.clip(covariance / (shifted[..., :, None] * shifted[..., None, :]), -1.0, 1.0)
    unmoved = ~moved[:, None] & ~moved
    exact = np.where(unmoved, cor, correlation)
    return shifted, np.where(np.eye(len(shift), dtype=bool), 1.0, exact)


def shift_effects(shift: Array | None, r: Array) -> Array:
    """The effects A r_c of every level: (…, G, q)."""
    if shift is None:
        return r
    shifted = np.zeros_like(r)
    for i, j in np.argwhere(shift):  # a product with so small a matrix takes five times as long
        shifted[..., i] += shift[i, j] * r[..., j]
    return shifted
