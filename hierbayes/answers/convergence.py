"""Effective sample sizes, R-hat and Monte Carlo error of many quantities at once.

The definitions are those of Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), "Rank-normalization, folding, and
localization: an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2), and the numbers ArviZ's.
They are computed here because ArviZ takes three times as long for them, and its import (all of scipy.stats) 1.4 s, a
fifth of the wait for a first summary.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]

FEWEST = 4  # draws of a chain
RESOLUTION = 1e-15  # of a quantity that never moves
TAILS = 0.05, 0.95
AT_ONCE = 50  # quantities, whose spectra must find room in memory


def diagnostics(draws: Array) -> dict[str, Array]:
    """Diagnostics of draws (chain, draw, k), each (k,): ess_bulk, ess_tail, r_hat, mcse_mean.

    NaN where they say nothing: fewer than four draws a chain, a NaN among them, and R-hat of a single chain.

    Examples
    --------
    >>> draws = np.random.default_rng(1).standard_normal((4, 1000, 2))
    >>> {name: values.round(2).tolist() for name, values in diagnostics(draws).items()}
    {'ess_bulk': [3740.6, 4104.03], 'ess_tail': [4043.25, 4012.41], 'r_hat': [1.0, 1.0], 'mcse_mean': [0.02, 0.02]}
    """
    parts = [_diagnose(draws[..., at : at + AT_ONCE]) for at in range(0, max(draws.shape[2], 1), AT_ONCE)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _diagnose(draws: Array) -> dict[str, Array]:
    names = "ess_bulk", "ess_tail", "r_hat", "mcse_mean"
    found = {name: np.full(draws.shape[2], np.nan) for name in names}
    usable = ~np.isnan(draws).any(axis=(0, 1))
    if draws.shape[1] < FEWEST or not usable.any():
        return found
    values = draws[..., usable]
    halves = _split(values)
    scores = _normal_scores(halves)
    found["ess_bulk"][usable] = ess(scores)
    tails = np.quantile(values, TAILS, axis=(0, 1))
    found["ess_tail"][usable] = np.min(
        [ess(_split((values <= tail).astype(float))) for tail in tails], axis=0
    )
    if len(draws) > 1:
        folded = np.abs(halves - np.median(halves, axis=(0, 1)))
        found["r_hat"][usable] = np.maximum(_r_hat(scores), _r_hat(_normal_scores(folded)))
    found["mcse_mean"][usable] = values.std(axis=(0, 1), ddof=1) / np.sqrt(ess_mean(values))
    return found


def ess(draws: Array) -> Array:
    """Effective sample size of the means of draws (chain, draw, k): (k,), by Geyer's initial monotone sequence.

    Chains are taken as they come: neither split nor ranked.
    """
    chains, count = draws.shape[:2]
    size = chains * count
    covariance = _autocovariance(draws).mean(axis=0)
    within = covariance[0] * count / (count - 1.0)
    total = covariance[0] + (draws.mean(axis=1).var(axis=0, ddof=1) if chains > 1 else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # of what never moves
        correlation = 1.0 - (within - covariance) / total
    correlation[0] = 1.0
    pairs = correlation[: 2 * (count // 2)].reshape(count // 2, 2, -1).sum(axis=1)
    # the last pair looked at: the first whose sum isn't positive, and none beyond count - 3
    ended = ~(pairs > 0)
    last = np.where(ended.any(axis=0), ended.argmax(axis=0), count)
    last = np.minimum(last, max((count - 3) // 2, 0))
    before = np.arange(len(pairs))[:, None] < last
    monotone = np.where(before, np.minimum.accumulate(pairs, axis=0), 0.0).sum(axis=0)
    columns = np.arange(draws.shape[2])
    even = correlation[2 * last, columns]
    tail = np.where((pairs[last, columns] >= 0) | (even > 0), even, 0.0)
    tau = np.maximum(-1.0 + 2.0 * monotone + tail, 1 / np.log10(size))
    moves = np.ptp(draws, axis=(0, 1)) >= RESOLUTION
    return np.where(moves, size / tau, size)


def ess_mean(draws: Array) -> Array:
    """Effective sample size of the means of draws (chain, draw, k) whose chains may drift: (k,)."""
    return ess(_split(draws))


def _autocovariance(draws: Array) -> Array:
    """Of each chain at every lag, over the number of draws: (chain, draw, k)."""
    count = draws.shape[1]
    length = 1 << (2 * count - 1).bit_length()  # room for no wrapping around
    waves = np.fft.rfft(draws - draws.mean(axis=1, keepdims=True), n=length, axis=1)
    covariance: Array = np.fft.irfft(waves * waves.conj(), n=length, axis=1)[:, :count] / count
    return covariance


def _split(draws: Array) -> Array:
    """First and second halves as chains of their own; the middle one of an odd number of draws is left out."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _normal_scores(draws: Array) -> Array:
    """Normal quantiles of each quantity's ranks over all chains (Blom's offset of 3/8); ties share their mean rank."""
    size = draws.shape[0] * draws.shape[1]
    flat = draws.reshape(size, -1)
    ranks = np.empty(flat.shape)
    for column, values in enumerate(flat.T):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks[:, column] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    scores: Array = ndtri((ranks - 3 / 8) / (size + 1 / 4)).reshape(draws.shape)
    return scores


def _r_hat(draws: Array) -> Array:
    """Potential scale reduction of chains as they come: (k,)."""
    count = draws.shape[1]
    between = count * draws.mean(axis=1).var(axis=0, ddof=1)
    within = draws.var(axis=1, ddof=1).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # what never moves has no R-hat
        ratio: Array = np.sqrt((between / within + count - 1) / count)
    return ratio
