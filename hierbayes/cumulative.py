"""Counts: distribution functions of which SciPy's are slow or lose digits, orders, draws; arrays in, arrays out."""

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
LEAST = 1e-290  # of a probability whose tail is summed


def log_choices(y: Array, trials: Array) -> Array:
    """Logarithm of the number of orders in which y of the trials succeed."""
    choices: Array = special.gammaln(trials + 1) - special.gammaln(y + 1) - special.gammaln(trials - y + 1)
    return choices


def draw_counts(rng: np.random.Generator, mu: Array) -> Array:
    """Poisson variables of those means.

    NumPy's generator refuses means above 9.2e18; a linear predictor of 41 is past any count.
    """
    return rng.poisson(np.minimum(mu, 1e18)).astype(float)


def draw_positive_poisson(rng: np.random.Generator, mu: Array) -> Array:
    """Poisson variables that are not 0: the first event of a process on (0, 1) that has any, and those after it."""
    first = -np.log1p(rng.random(np.shape(mu)) * np.expm1(-mu))  # times mu
    return 1 + draw_counts(rng, np.maximum(mu - first, 0.0))


def draw_positive_negbinomial(rng: np.random.Generator, mu: Array, shape: Array) -> Array:
    """Negative binomial variables that are not 0: likewise, of the process that learns its rate from its events.

    A Poisson process whose rate is a gamma variable has its first event after t with probability (1 + t mu/shape) to
    the power of -shape; from then on its rate is one of shape + 1.
    """
    mu = np.maximum(mu, 1e-300)
    rate = shape / mu
    none = np.expm1(-shape * np.log1p(mu / shape))  # the probability of none, less 1
    first = rate * np.expm1(-np.log1p(rng.random(np.shape(mu)) * none) / shape)
    first = np.clip(first, 0.0, 1.0)
    return 1 + draw_counts(rng, rng.gamma(shape + 1, (1 - first) / np.maximum(rate + first, 1e-300)))


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

    To rounding of 1, by the incomplete beta function of the upper tail, whose argument keeps its digits where the shape
    is large; SciPy's complement of it takes ten times as long.
    """
    with np.errstate(divide="ignore"):  # the limit is meant
        share = 1 / (1 + shape / np.maximum(mu, 0))
    return np.where(mu >= 0, 1 - special.betainc(y + 1, shape, share), np.nan)


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
    The sum is of the tail that y lies in on average, whose terms mostly fall from y on. It has as many terms as that
    tail has values: time grows with the trials.
    """
    mean = trials * (a / (a + b))
    flip = y > np.mean(mean.reshape(-1, mean.shape[-1]), axis=0)
    first, second = np.where(flip, b, a), np.where(flip, a, b)
    at = np.where(flip, trials - y, y)
    term, total = np.ones_like(first), np.ones_like(first)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # where y is impossible and on the other side of the mean
        for _ in range(int(at.max(initial=0.0))):
            # P(j − 1) / P(j), 0 at j = 0; in this order, because the second shape may be lost beside the trials
            ratio = (trials - at) + second
            ratio /= first + np.maximum(at - 1, 0)
            ratio *= at / (trials - at + 1)
            term *= ratio
            total += term
            at = np.maximum(at - 1, 0)
        tail = np.minimum(mass * total, 1.0)
        exact = np.where(flip, 1 - tail + mass, tail)
    return np.where(mass > LEAST, exact, y > mean)
