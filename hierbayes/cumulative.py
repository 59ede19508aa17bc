"""Distribution functions of counts, of which SciPy's are slow or lose digits: arrays in, arrays out."""

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]


def poisson_cdf(y: Array, mu: Array) -> Array:
    """P(Y ≤ y) of a Poisson variable; NaN at a negative mean.

    Examples
    --------
    >>> poisson_cdf(np.array([0.0, 1.0]), np.array(1.0)).round(3).tolist()
    [0.368, 0.736]
    """
    return np.where(mu >= 0, special.gammaincc(y + 1, np.maximum(mu, 0)), np.nan)


def negbinomial_cdf(y: Array, mu: Array, shape: Array) -> Array:
    """P(Y ≤ y) of a count with mean `mu` and variance mu + mu²/shape; NaN at a negative mean.

    By the incomplete beta function's complement, whose argument keeps its digits where the shape is large.
    """
    with np.errstate(divide="ignore"):  # the limit is meant
        share = 1 / (1 + shape / np.maximum(mu, 0))
    return np.where(mu >= 0, special.betaincc(y + 1, shape, share), np.nan)


def binomial_cdf(y: Array, trials: Array, odds: Array) -> Array:
    """P(Y ≤ y) of successes out of trials, from the log odds of a success."""
    below = special.betainc(np.maximum(trials - y, 1), y + 1, special.expit(-odds))
    return np.where(y < trials, below, 1.0)


def betabinomial_cdf(y: Array, trials: Array, a: Array, b: Array, mass: Array) -> Array:
    """P(Y ≤ y) of a beta-binomial variable: its probabilities summed, from y outwards.

    Parameters
    ----------
    y, trials : ndarray (k,)
    a, b : ndarray (…, k)
        Shapes of the beta distribution that the probability of a success is drawn from.
    mass : ndarray (…, k)
        P(Y = y).

    Notes
    -----
    The sum is of the tail that y lies in, whose terms fall from y on, so that none of their ratios overflows. It has
    as many terms as that tail has values: time grows with the trials.
    """
    flip = y > trials * (a / (a + b))
    first, second = np.where(flip, b, a), np.where(flip, a, b)
    at = np.where(flip, trials - y, y) + 0.0 * a
    term, total = np.ones_like(at), np.ones_like(at)
    for _ in range(int(at.max(initial=0.0))):
        # P(j − 1) / P(j), 0 at j = 0; j + second in this order: second may be lost beside the trials
        ratio = at / (trials - at + 1) * ((trials - at) + second) / (first + np.maximum(at - 1, 0))
        term = np.where(at > 0, term * ratio, 0.0)
        total += term
        at = np.maximum(at - 1, 0)
    tail = np.minimum(mass * total, 1.0)
    return np.where(flip, 1 - tail + mass, tail)
