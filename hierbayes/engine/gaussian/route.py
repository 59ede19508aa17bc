"""Which factors' effects are integrated out and which are sampled: the cheaper way, by the sizes alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from math import inf

import numpy as np

from hierbayes.engine.core.problem import Ints

MULTIPLICATION = 1 / 1.6e10  # seconds, in the dense loops
PRODUCT = 1e-9  # seconds of one sparse cross-product, used forwards and back
LEVEL = 4e-8  # seconds of whitening one effect
OVERHEAD = 1e-5  # seconds, of an evaluation
CHAINED = 3e-10  # seconds, in the loops over a chain's levels
CELL = 6e-10  # seconds of a number of a cell, used forwards and back
SAMPLED = 2.5  # gradients that a draw takes with sampled effects, for one that a draw of theta alone takes
WORTH = 1.25  # what integrating one more factor out may cost: draws are then less dependent
FEW = (
    12  # effects × levels that are always integrated out: the scale of few levels is wide and badly whitened
)


@dataclass(frozen=True)
class Route:
    """How a Gaussian model's effects are dealt with.

    Attributes
    ----------
    primary : int
        The factor that is eliminated level by level; -1 if there is none.
    sampled : tuple of int
        Factors whose effects are sampled, whitened. All others are integrated out with dense matrices.
    columns : int
        Dense columns: X's, and the effects × levels of the factors that are neither. Work grows with their third
        power.
    seconds : float
        Rough time of one gradient.
    chained : float
        The same if factors that form a chain are eliminated one after another (`nested`): at most that, as levels
        with the same cross-products are merged. Infinite where they don't form one, or some are sampled.
    series : bool
        Whether residuals are correlated within series, which know one way.
    """

    primary: int
    sampled: tuple[int, ...]
    columns: int
    seconds: float
    chained: float = inf
    series: bool = False


SERIES = Route(0, (), 1, 0.0, series=True)


def choose_route(p: int, factors: Sequence[tuple[int, int]], rows: int, nested: bool = False) -> Route:
    """Return the cheapest route.

    Parameters
    ----------
    p : int
        Population-level coefficients.
    factors : sequence of (int, int)
        Levels and effects of each grouping factor.
    rows : int
    nested : bool
        Whether each factor's levels lie in single levels of the next larger one's.

    Notes
    -----
    A factor of one level, as a smooth is, has nothing that is eliminated level by level: it is integrated out with the
    dense columns, unless factors of several levels form a chain with it.

    Examples
    --------
    >>> choose_route(2, [(2972, 1), (1128, 1), (14, 1)], 73_421).sampled
    (1, 2)
    >>> choose_route(2, [(60, 2), (1700, 2)], 7650, nested=True).sampled
    ()
    """
    sizes = [levels * q for levels, q in factors]
    several = [k for k, (levels, _) in enumerate(factors) if levels > 1]
    if not several:
        columns = p + sum(sizes)
        return Route(-1, (), columns, _dense_seconds(columns, -1, (), factors, rows))
    primary = max(several, key=lambda k: sizes[k])
    falling = sorted((k for k in several if k != primary), key=lambda k: -sizes[k])
    routes, few = [], 0
    while falling and sum(sizes[k] for k in falling[few:]) > FEW:
        few += 1
    for count in range(few + 1):
        sampled = tuple(sorted(falling[:count]))
        columns = p + sum(size for k, size in enumerate(sizes) if k != primary and k not in sampled)
        seconds = _dense_seconds(columns, primary, sampled, factors, rows)
        seconds += _sparse_seconds(sampled, factors, rows)
        routes.append(Route(primary, sampled, columns, seconds))
    if nested and (len(several) > 1 or len(several) == len(sizes)):
        most = chained_seconds(p, factors, max(levels for levels, _ in factors))
        seconds = routes[0].seconds
        routes[0] = replace(routes[0], chained=most, seconds=most if most <= WORTH * seconds else seconds)
    cost = [route.seconds * (SAMPLED if route.sampled else 1.0) for route in routes]
    return next(route for route, seconds in zip(routes, cost, strict=True) if seconds <= WORTH * min(cost))


def chain_of(levels: Sequence[int], codes: Callable[[int, int], tuple[Ints, Ints]]) -> tuple[int, ...]:
    """Return the factors from the innermost, if each one's levels lie in single levels of the next; else nothing.

    Parameters
    ----------
    levels : sequence of int
        Each factor's number of levels.
    codes : callable
        Levels of two factors, given their numbers, for all rows or for all pairs that share a row.
    """
    order = sorted(range(len(levels)), key=lambda k: -levels[k])
    for inner, outer in pairwise(order):
        level, parent = codes(inner, outer)
        if not np.array_equal(parents_of(level, parent, levels[inner])[level], parent):
            return ()
    return tuple(order)


def parents_of(level: Ints, parent: Ints, n_levels: int) -> Ints:
    """Return each level's parent, 0 for a level without rows."""
    out = np.zeros(n_levels, np.int64)
    out[level] = parent
    return out


def _dense_seconds(
    columns: int, primary: int, sampled: tuple[int, ...], factors: Sequence[tuple[int, int]], rows: int
) -> float:
    """Return the time that eliminating the primary factor and the dense columns takes.

    A level of the primary factor meets at most as many levels of another as it has rows.
    """
    work = float(columns) ** 3
    if primary >= 0:
        levels, q = factors[primary]
        others = [f for k, f in enumerate(factors) if k != primary and k not in sampled]
        met = sum(min(other, rows / levels) * effects for other, effects in others)
        p = columns - sum(other * effects for other, effects in others)
        work += 2.0 * levels * q * (p + 1 + met) ** 2
    return OVERHEAD + work * MULTIPLICATION


def chained_seconds(p: int, factors: Sequence[tuple[int, int]], cells: int) -> float:
    """Return the time that a chain takes whose innermost factor's levels are merged into so many cells."""
    inwards = sorted(factors, key=lambda factor: factor[0])
    total, width = OVERHEAD, p + 1
    for levels, q in inwards[:-1]:
        total += levels * q * (q + width) ** 2 * CHAINED
        width += q
    q = inwards[-1][1]
    return total + cells * (q * (q + 1) // 2) * (width * (width + 1) // 2) * CELL


def _sparse_seconds(sampled: tuple[int, ...], factors: Sequence[tuple[int, int]], rows: int) -> float:
    """Return the time that sampled effects take; two factors have at most as many pairs as there are rows."""
    total = sum(factors[k][0] * factors[k][1] ** 2 for k in sampled) * LEVEL
    for j, k in combinations(range(len(factors)), 2):
        if j in sampled or k in sampled:
            (levels, q), (others, effects) = factors[j], factors[k]
            total += min(rows, levels * others) * q * effects * PRODUCT
    return total
