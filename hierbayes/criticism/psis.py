"""Pareto-smoothed importance sampling of many rows at once: what ArviZ does for one after the other.

The largest of a row's importance weights are replaced by quantiles of a generalised Pareto distribution fitted to them
(Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25(72), section 3), by the estimate of Zhang & Stephens (2009),
Technometrics 51(3), with Vehtari et al.'s weak prior on its shape.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Tails:
    """The m largest weights of k rows.

    Attributes
    ----------
    places : ndarray of int, (k, m)
        Which draws they are of, in order of weight.
    weights : ndarray, (k, m)
        Smoothed, on the scale of the raw ones, whose largest is 1.
    pareto_k : ndarray, (k,)
    """

    places: Places
    weights: Array
    pareto_k: Array


def leave_one_out(log_likelihood: Array, efficiency: float) -> tuple[Array, Array, Array]:
    """Log densities of rows in S draws (k, S) → each row's elpd, Pareto k, and log mean density: (k,), (k,), (k,).

    Log densities must be finite, and differ between draws.
    """
    low = log_likelihood.min(axis=1, keepdims=True)
    raw = np.exp(low - log_likelihood)
    tails = smooth(raw, efficiency)
    draws, size = raw.shape[1], tails.places.shape[1]
    with np.errstate(divide="ignore"):
        products = np.log(tails.weights) + np.take_along_axis(log_likelihood, tails.places, 1) - low
    np.put_along_axis(raw, tails.places, 0.0, 1)
    total = raw.sum(axis=1) + tails.weights.sum(axis=1)
    # a raw weight times its density is exp(low) in every draw; a smoothed one may be far more
    most = np.maximum(products.max(axis=1), 0.0)
    together = (draws - size) * np.exp(-most) + np.exp(products - most[:, None]).sum(axis=1)
    elpd = low[:, 0] + most + np.log(together) - np.log(total)
    high = log_likelihood.max(axis=1, keepdims=True)
    lppd = high[:, 0] + np.log(np.exp(log_likelihood - high).mean(axis=1))
    return elpd, np.where(np.isnan(tails.pareto_k), np.inf, tails.pareto_k), lppd


def smooth(raw: Array, efficiency: float) -> Tails:
    """The tails of weights (k, S) whose largest is 1.

    Parameters
    ----------
    raw : ndarray, (k, S)
    efficiency : float
        Effective draws over draws.
    """
    draws = raw.shape[1]
    size = tail_size(draws, efficiency)
    cutoff = np.partition(raw, draws - size - 1, axis=1)[:, draws - size - 1]
    above = raw > cutoff[:, None]
    alike = above.sum(axis=1) == size
    places = np.empty((len(raw), size), dtype=np.intp)
    places[alike] = np.nonzero(above[alike])[1].reshape(-1, size)
    for row in np.flatnonzero(~alike):  # draws that repeat each other
        places[row] = np.argsort(raw[row], kind="stable")[-size:]
    weights = np.take_along_axis(raw, places, 1)
    order = np.argsort(weights, axis=1)
    places, weights = np.take_along_axis(places, order, 1), np.take_along_axis(weights, order, 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shape, scale = fit_pareto(weights - cutoff[:, None])
        remaining = np.log1p(-(np.arange(size) + 0.5) / size)
        inverse = np.where(
            shape[:, None] == 0, -remaining, np.expm1(-shape[:, None] * remaining) / shape[:, None]
        )
        smoothed = np.minimum(cutoff[:, None] + scale[:, None] * inverse, 1.0)
    good = np.isfinite(shape) & (scale > 0)
    return Tails(places, np.where(good[:, None], smoothed, weights), shape)


def tail_size(draws: int, efficiency: float) -> int:
    """How many weights count as the tail: at most a fifth, and 3 √(S / efficiency) of many draws."""
    return int(3 * np.sqrt(draws / efficiency) if draws * efficiency > 225 else draws / 5)


def fit_pareto(x: Array) -> tuple[Array, Array]:
    """Shape and scale of a generalised Pareto distribution for excesses in ascending order: (k, m) → (k,), (k,).

    The shape is NaN where a quarter of the excesses are the same, so that no such distribution is near.
    """
    size = x.shape[1]
    count = 30 + int(size**0.5)
    quartile = x[:, [int(size / 4 + 0.5) - 1]]
    grid = 1 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))
    b = grid / (3 * quartile) + 1 / x[:, [-1]]  # (k, count)
    means = np.stack([np.log1p(-b[:, [j]] * x).mean(axis=1) for j in range(count)], axis=1)
    profile = size * (np.log(-b / means) - means - 1)
    weights = np.exp(profile - profile.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[weights < 10 * np.finfo(float).eps] = 0.0
    middle = (b * weights).sum(axis=1) / weights.sum(axis=1)
    shape = np.log1p(-middle[:, None] * x).mean(axis=1)
    scale = -shape / middle
    shape = (size * shape + 10 * 0.5) / (size + 10)
    return np.where(quartile[:, 0] > x[:, 0], np.where(np.isnan(shape), np.inf, shape), np.nan), scale
