"""Where to start: the posterior mode of the hyperparameters and the curvature there."""

from collections.abc import Callable, Sequence
from itertools import product
from math import log
from typing import Protocol, Self

import numpy as np

from hierbayes.engine.core.problem import Floats, Ints

LogDensity = Callable[[Floats], tuple[float, Floats]]
Tails = tuple[float, float, float, float]
FURTHEST = 12.0  # how far below its mode a log sd is looked at
LOWEST = -30.0  # log densities below the mode's by more are as good as none
GAIN = 0.02  # nats that make a tail transform worth while; with less, a mixture of three normals diverged
KNEES, RATES = np.linspace(-4, 2, 13), (0.5, 1.0, 2.0)  # of a tail on the left, in standard deviations


def find_mode(log_density: LogDensity, start: Floats, max_steps: int = 200) -> Floats:
    """Return a maximum of the log density by BFGS; the last point reached if it does not converge.

    ``log_density`` may return the same array for every gradient.
    Nocedal & Wright (2006), Numerical Optimization, algorithm 6.1, with a backtracking line search.
    """
    # by hand: the sleep study's mode takes 29 evaluations and 0.7 ms; scipy's BFGS 26 and 3 ms, and 600 ms of import
    x = start.copy()
    value, score = log_density(x)
    score = score.copy()
    inverse = np.eye(x.size)
    for _ in range(max_steps):
        direction = inverse @ score
        slope = float(score @ direction)
        if not slope > 1e-8:
            break
        step = min(1.0, 2.0 / np.abs(direction).max())
        for _ in range(30):
            new_value, new_score = log_density(x + step * direction)
            if new_value >= value + 1e-4 * step * slope:
                break
            step *= 0.4
        else:
            break
        moved, bent = step * direction, score - new_score
        x, value, score = x + moved, new_value, new_score.copy()
        curvature = float(moved @ bent)
        if curvature > 1e-12:
            reflect = np.eye(x.size) - np.outer(moved, bent) / curvature
            inverse = reflect @ inverse @ reflect.T + np.outer(moved, moved) / curvature
    return x


def spread_at(log_density: LogDensity, mode: Floats, widest: float = 1.0) -> Floats:
    """Return a Cholesky factor of the inverse curvature at the mode, directions no wider than ``widest``.

    Flat or rising directions (an sd near zero) count as of that width.
    """
    dim = mode.size
    hessian = np.empty((dim, dim))
    for i in range(dim):
        step = np.zeros(dim)
        step[i] = 1e-3
        hessian[i] = (log_density(mode - step)[1].copy() - log_density(mode + step)[1]) / 2e-3
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    variances = 1.0 / np.maximum(values, widest**-2)
    return np.linalg.cholesky((vectors * variances) @ vectors.T)


class Standardisable(Protocol):
    """A model whose scales can have tail transforms, and whose coordinates can be standardised."""

    def with_tails(self, tails: Floats) -> Self:
        """Return the model with other tails of its scales."""

    def standardised(self, origin: Floats, scale_tril: Floats) -> Self:
        """Return the model in other coordinates of theta."""


def standardise[M: Standardisable](
    model: M, scales: Ints, density_of: Callable[[M], LogDensity], mode: Floats
) -> M:
    """Return a model in coordinates in which theta is about N(0, I), with tail transforms where scales need them.

    Parameters
    ----------
    model : Packed, Nested or Crossed
    scales : ndarray of int
        The first table of `hyperparameters.scale_table`.
    density_of : callable
        A model's log density of theta.
    mode : ndarray
        Of the model as it is.
    """
    log_density = density_of(model)
    spread = spread_at(log_density, mode)
    tails = find_tail_transforms(log_density, mode, spread, scales)
    if tails.any():
        model = model.with_tails(tails)
        log_density = density_of(model)
        mode = find_mode(log_density, mode)
        spread = spread_at(log_density, mode)
    return model.standardised(mode, spread)


def find_tail_transforms(log_density: LogDensity, mode: Floats, spread: Floats, scales: Ints) -> Floats:
    """Return knee and rate of each scale's tail transform: where an sd may be 0, log sd has a long tail.

    ``scales`` is the first table of `hyperparameters.scale_table`.
    """
    covariance = spread @ spread.T
    return np.array(
        [
            find_tail_transform(log_density, mode, covariance, at) if at >= 0 else (0.0, 0.0)
            for at in scales[:, 0]
        ]
    )


def find_tail_transform(
    log_density: LogDensity, mode: Floats, covariance: Floats, i: int
) -> tuple[float, float]:
    """Return knee and rate of the tail transform that makes theta[i] the most Gaussian; a rate of 0 if none helps.

    The log density is taken along the line of the others' means given number i.
    """
    width = covariance[i, i] ** 0.5
    top = log_density(mode)[0]

    def height(step: float) -> float:
        point = mode + covariance[i] / width * np.clip(step, -2, 2)
        point[i] = mode[i] + width * step
        return max(LOWEST - 1.0, log_density(point)[0] - top)

    if height(-4.0) < -8.0:  # no heavier than a Gaussian's
        return 0.0, 0.0
    steps = np.concatenate([np.arange(-FURTHEST / width, -4, 0.5 / width), np.linspace(-4, 5, 19)])
    heights = np.array([height(step) for step in steps])
    if heights.max() > 1.0:  # that was no mode: the response has no variation, say
        return 0.0, 0.0
    knee, rate, _, _ = most_gaussian(steps, heights, unit=1.0 / width, right=False)
    return (mode[i] + width * knee, rate / width) if rate else (0.0, 0.0)


def most_gaussian(
    steps: Floats,
    heights: Floats,
    *,
    unit: float = 1.0,
    right: bool = True,
    rates: Sequence[float] = RATES,
) -> Tails:
    """Return knee and rate, left and right, of the tail transforms that make a density the most Gaussian.

    A tail transform's divergence from the Gaussian of the same mean and variance is, but for a constant,
    log sd(t) + E[log ds/dt]. A rate is 0 where none helps.

    Parameters
    ----------
    steps : ndarray, (k,)
        Ascending places, in standard deviations from the mode.
    heights : ndarray, (k,)
        Log densities there, less the mode's.
    unit : float
        What the tail transform's h²/2 is counted in, in standard deviations.
    right : bool
        Whether there may be one on the right.
    rates : sequence of float
        Those tried.
    """
    within = np.flatnonzero(heights > LOWEST)
    s = np.linspace(steps[within[0]], steps[within[-1]], 600)
    p = np.exp(np.interp(s, steps, heights) - heights.max())
    p /= p.sum()
    t = np.arange(max(s[0] - 1.0, -40.0), min(s[-1] + 1.0, 40.0), 0.02)

    def divergence(tails: Tails) -> float:
        bent, slope = t.copy(), np.ones_like(t)
        for side, knee, rate in ((-1.0, *tails[:2]), (1.0, *tails[2:])):
            x = rate * side * (t - knee)
            h = np.logaddexp(0, x) if rate else 0.0
            bent += side * 0.5 * unit * h**2
            slope += unit * rate * h / (1 + np.exp(-x))
        return _log_sd(p, np.interp(s, bent, t)) + float(p @ np.log(np.interp(s, bent, slope)))

    found: Tails = (0.0, 0.0, 0.0, 0.0)
    least = divergence(found)
    for side in (-1, 1) if right else (-1,):
        tried = [
            (knee, rate, *found[2:]) if side < 0 else (*found[:2], -knee, rate)
            for knee, rate in product(KNEES, rates)
        ]
        divergences = [divergence(tails) for tails in tried]
        best = int(np.argmin(divergences))
        if divergences[best] < least - GAIN:
            found, least = tried[best], divergences[best]
    return found


def _log_sd(p: Floats, x: Floats) -> float:
    """Return the logarithm of the standard deviation of values with probabilities p."""
    return 0.5 * log(float(p @ (x - p @ x) ** 2))
