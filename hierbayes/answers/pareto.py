"""How heavy the tails of draws are: whether their mean and standard deviation exist, and can be known from so many.

A quantity whose tail falls as x^(-1/k) has a standard deviation for k < ½ and a mean for k < 1. That of draws is about
right only where its own error exists, which for the mean is k < ½ and for the standard deviation k < ¼. k is that of
the generalised Pareto distribution of the largest and of the smallest draws (Vehtari, Simpson, Gelman, Yao & Gabry
2024, Pareto smoothed importance sampling, JMLR 25(72), section 3), by the estimate of Zhang & Stephens (2009),
Technometrics 51(3), with Vehtari et al.'s weak prior.
"""

import numpy as np
from numpy.typing import NDArray

from hierbayes.engine.core.routine import run

Array = NDArray[np.float64]
FIT_TAILS = "hierbayes.answers.paretoloops.fit_tails"
Truths = NDArray[np.bool_]
MOST_GRID = 30  # points of the fit's grid beside the root of how many excesses there are
FEWEST = 30  # draws: a fifth of so few are the tail
NO_MEAN, NO_SD = 0.7, 0.5  # k from which on draws don't say what it is, in any number that there are
ERRORS = 2.0  # sampling errors that k must be above the value below which the moment's own error exists
LIGHT = 12.0  # largest excess over the middle one: of an exponential tail's 190 it is 7.6, and less of lighter ones


def tail_size(draws: int, efficiency: float = 1.0) -> int:
    """How many draws count as the tail: at most a fifth, and 3 √(S / efficiency) of many."""
    return int(3 * np.sqrt(draws / efficiency) if draws * efficiency > 225 else draws / 5)


def tail_shapes(ordered: Array) -> Array:
    """Pareto k of the heavier tail of draws in ascending order: (S, …) → (…).

    −inf of a tail that is plainly lighter than any whose mean or sd is in question, +inf where a draw is infinite.

    Examples
    --------
    >>> draws = np.sort(np.random.default_rng(1).standard_t([1, 2, 50], (4000, 3)), axis=0)
    >>> tail_shapes(draws).round(1).tolist()
    [1.0, 0.6, -inf]
    """
    size = tail_size(len(ordered))
    flat = ordered.reshape(len(ordered), -1)
    shapes = np.full(flat.shape[1], -np.inf)
    if len(ordered) < FEWEST:
        return shapes.reshape(ordered.shape[1:])
    endless = np.isinf(flat[0]) | np.isinf(flat[-1])
    middle, upper, last = size - size // 2, size - size // 4, size
    for tail in (flat[-size - 1 :] - flat[-size - 1], (flat[size] - flat[: size + 1])[::-1]):
        with np.errstate(invalid="ignore"):
            heavy = tail[last] > LIGHT * tail[middle]
            # of mostly zeros the middle may be near 0 whatever the tail
            heavy &= tail[last] - tail[middle] > LIGHT * (tail[upper] - tail[middle])
            heavy = np.flatnonzero(heavy)
        if len(heavy):
            found, _ = fit_pareto(np.ascontiguousarray(tail[1:, heavy].T))
            for place in np.flatnonzero(np.isnan(found)):
                found[place] = _shape_above_ties(tail[1:, heavy[place]])
            shapes[heavy] = np.fmax(shapes[heavy], found)
    shapes[endless] = np.inf
    return shapes.reshape(ordered.shape[1:])


def _shape_above_ties(excesses: Array) -> float:
    """Pareto k of excesses, the smallest of which are ties, as those of counts are: of what is above them."""
    while len(excesses) >= FEWEST:
        excesses = excesses[excesses > excesses[0]] - excesses[0]
        if len(excesses) >= FEWEST:
            shape = float(fit_pareto(excesses[None])[0][0])
            if shape == shape:
                return shape
    return -np.inf


def unknown_moments(shapes: Array, draws: int) -> tuple[Truths, Truths]:
    """Where so many draws with that Pareto k have no mean, and no standard deviation, that can be told.

    Beyond ½ and 0.7 no number of draws helps; and beyond what chance makes of ¼ and ½, where the errors end.

    Examples
    --------
    >>> [[bool(each) for each in unknown_moments(np.array(k), 4000)] for k in (0.3, 0.6, 1.0)]
    [[False, False], [False, True], [True, True]]
    """
    with np.errstate(invalid="ignore"):
        least = shapes - ERRORS * (1 + shapes) / np.sqrt(max(tail_size(draws), 1))
    least = np.where(np.isposinf(shapes), np.inf, least)
    no_sd = (shapes >= NO_SD) & (least >= NO_SD / 2)
    return no_sd & (shapes >= NO_MEAN) & (least >= NO_SD), no_sd


def fit_pareto(x: Array) -> tuple[Array, Array]:
    """Shape and scale of a generalised Pareto distribution for excesses in ascending order: (k, m) → (k,), (k,).

    The shape is NaN where a quarter of the excesses are the same, so that no such distribution is near.
    """
    shapes, scales = np.empty(len(x)), np.empty(len(x))
    run(FIT_TAILS, x, shapes, scales, memory(x.shape[1]))
    return shapes, scales


def memory(size: int) -> Array:
    """Working memory of a fit to so many excesses."""
    return np.empty((4, MOST_GRID + int(size**0.5)))
