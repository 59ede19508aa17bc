"""Pareto-smoothed importance weights: draws of one distribution that stand for another, and how far to trust them.

Vehtari, Simpson, Gelman, Yao & Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]
FEWEST = 30  # draws: a fifth of so few are the tail that k is of, and six are needed


def smoothed_weights(log_divisors: Array, efficiency: float = 1.0) -> tuple[Array, Array]:
    """Smoothed importance weights of draws, one over the divisors.

    Parameters
    ----------
    log_divisors : array (S, k)
        S is `FEWEST` or more.
        What each draw counts too much by, on the log scale: a row's likelihood, to turn draws of the posterior into
        draws without that row; or a proposal's density less the target's. +inf is a draw that cannot occur.
    efficiency : float
        Effective draws over draws.

    Returns
    -------
    log_weights : array (S, k)
        Those of a column sum to 1.
    pareto_k : array (k,)
        A column that is the same in every draw has nothing to smooth: equal weights, k −inf. One that is −inf in
        some draws leaves those alone with any weight, and one that is +inf in nearly all draws has no tail to judge
        by: k is +inf; with no other draws, weights are equal.
    """
    k = np.full(log_divisors.shape[1], -np.inf)
    endless = np.isneginf(log_divisors)
    k[endless.any(axis=0) | np.isposinf(log_divisors).all(axis=0)] = np.inf
    weights = np.where(endless, 0.0, np.where(endless.any(axis=0), -np.inf, 0.0))
    with np.errstate(invalid="ignore"):
        spread = np.ptp(np.where(endless, 0.0, log_divisors), axis=0)
    usable = np.flatnonzero((spread > 1e-12) & np.isneginf(k))
    if len(usable):
        from hierbayes.criticism.psis import smooth_log_weights  # compiled

        smoothed, k[usable] = smooth_log_weights(-log_divisors[:, usable].T, efficiency)
        weights[:, usable] = smoothed.T
    return weights - logsumexp(weights, axis=0), k
