"""Are ranks uniform? Exact simultaneous bands of their empirical distribution, and a p-value.

Säilynoja, Bürkner & Vehtari (2022), Graphical test for discrete uniformity and its applications in goodness-of-fit
evaluation and multiple sample comparison, Statistics and Computing 32:32. The smallest pointwise tail probability over
all evaluation points is the statistic; how often uniform ranks give a smaller one follows by their recursion (section
2.2.3) over the points, the counts being a Markov chain of binomial steps.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Array = NDArray[np.float64]


def points(kept: int) -> Array:
    """Where the distribution is looked at: the share of uniform ranks 0 … kept below each rank, ends left out."""
    return np.arange(1, kept + 1) / (kept + 1)


def counts(ranks: NDArray[np.int64], kept: int) -> NDArray[np.int64]:
    """How many ranks lie below each evaluation point."""
    return np.cumsum(np.bincount(ranks, minlength=kept + 1))[:-1]


def p_value(ranks: NDArray[np.int64], kept: int) -> float:
    """Probability that uniform ranks stray as far somewhere as these do."""
    tails = tail_probabilities(len(ranks), kept)
    smallest = tails[np.arange(kept), counts(ranks, kept)].min()
    return 1.0 - coverage(len(ranks), kept, smallest)


def bands(n: int, kept: int, probability: float) -> tuple[Array, Array]:
    """Lower and upper end, (kept,) each, that hold all of the empirical distribution with that probability."""

    def excess(log_tail: float) -> float:
        return coverage(n, kept, float(np.exp(log_tail))) - probability

    tail = float(np.exp(optimize.brentq(excess, np.log(1e-12), np.log(0.5), xtol=1e-6)))
    inside = tail_probabilities(n, kept) > tail
    return inside.argmax(axis=1) / n, (n - inside[:, ::-1].argmax(axis=1)) / n


@cache
def tail_probabilities(n: int, kept: int) -> Array:
    """Twice the smaller tail of each possible count at each point, (kept, n + 1)."""
    law = stats.binom(n, points(kept)[:, None])
    k = np.arange(n + 1)
    return 2 * np.minimum(law.cdf(k), law.sf(k - 1))


@cache
def _steps(n: int, kept: int) -> Array:
    """Probabilities of the next point's count given this one's, (kept, n + 1, n + 1), from count 0 at 0."""
    at = np.concatenate([[0.0], points(kept)])
    share = np.diff(at) / (1 - at[:-1])
    before, after = np.arange(n + 1)[:, None], np.arange(n + 1)[None, :]
    return np.stack([stats.binom.pmf(after - before, n - before, step) for step in share])


def coverage(n: int, kept: int, tail: float) -> float:
    """Probability that uniform ranks keep a tail probability above `tail` at every point."""
    inside = tail_probabilities(n, kept) > tail
    chance = np.zeros(n + 1)
    chance[0] = 1.0
    for step, allowed in zip(_steps(n, kept), inside, strict=True):
        chance = np.where(allowed, chance @ step, 0.0)
    return float(chance.sum())
