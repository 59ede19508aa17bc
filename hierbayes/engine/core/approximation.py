"""Draws of the normal distribution nearest to a density, and what they lack of being the density's own."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hierbayes.engine.core.density import Density, Evaluate
from hierbayes.engine.core.problem import Floats

PAIRS = 32  # of opposite draws, over which scores are averaged
ROUNDS = 20
ARRIVED = 0.02  # largest mean score, per standard deviation
LONGEST = 1.0


def draw_normal(
    density: Density, start: Floats, draws: int, seed: int, threads: int
) -> tuple[Floats, Floats]:
    """Draw from a normal distribution that stands for a density, in coordinates in which that is about N(0, I).

    Its covariance is I, its mean that of `nearest_mean`.

    Parameters
    ----------
    density : Density
    start : array (dim,)
        Its mode, or near it.
    draws : int
    seed : int
        Same seed, same draws, whatever ``threads`` is.
    threads : int
        Positions evaluated at the same time.

    Returns
    -------
    positions : array (1, draws, dim)
        As one chain.
    log_ratio : array (1, draws)
        The log density less that of the normal distribution; −inf where it cannot be evaluated.
    """
    mean = nearest_mean(density.evaluator(), start)
    away = np.random.default_rng(seed).standard_normal((draws, mean.size))
    log_density = np.empty(draws)

    def fill(part: np.ndarray) -> None:
        evaluate = density.evaluator()
        for draw in part:
            log_density[draw] = evaluate(mean + away[draw])[0]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(fill, np.array_split(np.arange(draws), max(1, threads))))
    log_density[np.isnan(log_density)] = -np.inf
    log_normal = -0.5 * (away**2).sum(axis=1) - 0.5 * mean.size * np.log(2 * np.pi)
    return (mean + away)[None], (log_density - log_normal)[None]


def nearest_mean(evaluate: Evaluate, start: Floats, pairs: int = PAIRS) -> Floats:
    """The mean m at which N(m, I) is nearest to a density p in Kullback–Leibler divergence, KL(N ‖ p).

    There the score has mean 0 under N(m, I) (Opper & Archambeau 2009, Neural Computation 21(3), eq. 6). As its
    curvature is about 1, the mean score is the step to take. A mode is no such place: a density that falls off more
    slowly on one side than on the other, a little in each of hundreds of directions, has its mass elsewhere.
    """
    mean, best, highest = start, start, -np.inf
    for _ in range(ROUNDS):
        value, score = mean_score(evaluate, mean, pairs)
        if not np.isfinite(score).all():
            break
        if value > highest:
            best, highest = mean, value
        largest = float(np.abs(score).max(initial=0.0))
        if largest < ARRIVED:
            break
        mean = mean + score * min(1.0, LONGEST / largest)
    return best


def mean_score(evaluate: Evaluate, mean: Floats, pairs: int = PAIRS) -> tuple[float, Floats]:
    """Return the means of a log density and of its score under N(mean, I), over always the same opposite draws."""
    draws = np.random.default_rng(0).standard_normal((pairs, mean.size))
    total, score = 0.0, np.zeros(mean.size)
    for away in np.concatenate([draws, -draws]):
        value, gradient = evaluate(mean + away)
        total += value / (2 * pairs)
        score += gradient / (2 * pairs)
    return total, score
