"""Loops of Pareto smoothing: weights whose tail is smoothed, and a row left out (numba)."""

import numpy as np

from hierbayes import special
from hierbayes.answers.paretoloops import fit_tail
from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats

exp_lane = special.exp_lane.compiled


@compiled
def leave_out(
    values: Floats, lowest: Floats, high: Floats, elpd: Floats, shapes: Floats, lppd: Floats,
    remaining: Floats, grid: Floats, weights: Floats,
) -> None:  # fmt: skip
    """Set each row's elpd, Pareto k and log mean density from its log densities in S draws.

    Parameters
    ----------
    values : (k, S)
    lowest : (k, m + 1)
        The smallest of each row in ascending order: m in the tail of the weights, and the first that is not.
    high : (k,)
        The largest.
    remaining : (m,)
        Logarithms of what is beyond the quantiles.
    grid : (4, at least 30 + √m)
        Memory.
    weights : (m,)
        Memory.
    """
    draws, size = values.shape[1], lowest.shape[1] - 1
    for row in range(values.shape[0]):
        low, cutoff = lowest[row, 0], lowest[row, size]
        if not low > -np.inf:
            elpd[row], shapes[row] = -np.inf, np.inf
            lppd[row] = _log_mean(values[row], high[row]) if high[row] > -np.inf else -np.inf
            continue
        if high[row] - low <= 1e-12:
            elpd[row], shapes[row], lppd[row] = values[row, 0], -np.inf, values[row, 0]
            continue
        rest, beyond, inverse = 0.0, 0.0, 0.0
        for draw in range(draws):
            value = values[row, draw]
            weight = exp_lane(low - value)
            inverse += 1.0 / weight
            counted = (
                1.0 if value > cutoff else 0.0
            )  # a condition around the sums would keep them out of registers
            rest += weight * counted
            beyond += counted
        least = exp_lane(low - cutoff)
        rest += (draws - size - beyond) * least  # as much as the first of the tail
        # 1 / weight is the density over the smallest, as long as neither under- nor overflows
        near = high[row] - low < 600.0
        lppd[row] = low + np.log(inverse / draws) if near else _log_mean(values[row], high[row])
        for i in range(size):
            weights[i] = exp_lane(low - lowest[row, size - 1 - i])
        shapes[row] = smooth_tail(weights, least, remaining, grid)
        # a raw weight times its density is exp(low) in every draw; a smoothed one may be far more
        total = rest
        for i in range(size):
            total += weights[i]
        elpd[row] = low + _log_products(weights, lowest[row], draws - size) - np.log(total)


@compiled
def _log_products(weights: Floats, lowest: Floats, others: int) -> float:
    """Return log Σ weight × density / the smallest density, where that is 1 for the draws outside the tail."""
    size, low = weights.size, lowest[0]
    together, most = 1.0 * others, 0.0
    if lowest[size] - low < 600.0:
        for i in range(size):
            together += weights[i] * exp_lane(lowest[size - 1 - i] - low)
        return np.log(together)
    for i in range(size):
        weights[i] = np.log(weights[i]) + (lowest[size - 1 - i] - low)
        most = max(most, weights[i])
    together *= np.exp(-most)
    for i in range(size):
        together += exp_lane(weights[i] - most)
    return most + np.log(together)


@compiled
def _log_mean(row: Floats, high: float) -> float:
    """Return the logarithm of the mean of exp(row), whose largest entry is given."""
    total = 0.0
    for i in range(row.size):
        total += exp_lane(row[i] - high)
    return high + np.log(total / row.size)


@compiled
def smooth_tails(weights: Floats, cutoffs: Floats, shapes: Floats, remaining: Floats, grid: Floats) -> None:
    """Smooth each row's largest weights, and set its Pareto k."""
    for row in range(weights.shape[0]):
        shapes[row] = smooth_tail(weights[row], cutoffs[row], remaining, grid)


@compiled
def smooth_tail(weights: Floats, cutoff: float, remaining: Floats, grid: Floats) -> float:
    """Turn the largest weights, in ascending order and at most 1, into quantiles of their distribution; return k.

    The quantiles are those of the probabilities 1 - exp(remaining).
    They stay as they are where no such distribution can be fitted; k is then +inf.
    """
    for i in range(weights.size):
        weights[i] -= cutoff
    shape, scale = fit_tail(weights, grid)
    if not (np.abs(shape) < np.inf and scale > 0.0):
        for i in range(weights.size):
            weights[i] += cutoff
        return np.inf
    if np.abs(shape) > 1e-3:
        for i in range(weights.size):
            weights[i] = min(cutoff + scale * (exp_lane(-shape * remaining[i]) - 1.0) / shape, 1.0)
    else:
        for i in range(weights.size):
            quantile = -remaining[i] if shape == 0.0 else np.expm1(-shape * remaining[i]) / shape
            weights[i] = min(cutoff + scale * quantile, 1.0)
    return shape
