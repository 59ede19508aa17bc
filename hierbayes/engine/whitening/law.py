"""The law of a level's effects in the kernels: normal, or Student's t (numba).

Of u, the q standard effects of a level: multivariate t with `df` degrees of freedom (see `hierbayes.structures.laws`),
in the first two functions normal where `df` is 0.
"""

import numpy as np

from hierbayes.compiling import resolved
from hierbayes.engine.core.loops import compiled
from hierbayes.special import lgamma_rise as rise

lgamma_rise = compiled(resolved(rise.function))


@compiled
def log_law(square: float, q: int, df: float) -> float:
    """Return the log density at a sum of squares u'u, without what doesn't depend on u."""
    if df == 0.0:
        return -0.5 * square
    return -0.5 * (df + q) * np.log1p(square / df)


@compiled
def law_constant(q: int, df: float) -> tuple[float, float]:
    """Return what `log_law` leaves out, less the normal one's -q/2 log 2π, and its derivative in df."""
    if df == 0.0:
        return 0.0, 0.0
    value, slope = lgamma_rise(0.5 * df, 0.5 * q)
    return value - 0.5 * q * np.log(0.5 * df), 0.5 * (slope - q / df)


@compiled
def law_weight(square: float, q: int, df: float) -> float:
    """Return what the slope of `log_law` is minus u times."""
    return (df + q) / (df + square)


@compiled
def df_score(square: float, q: int, df: float) -> float:
    """Return the derivative of `log_law` in df."""
    ratio = square / df
    return 0.5 * ((1.0 + q / df) * ratio / (1.0 + ratio) - np.log1p(ratio))


@compiled
def one_weight(W: float, c: float, sd: float, df: float) -> tuple[float, float, float]:
    """Return how strongly a level's one effect is drawn to 0, by what its rows say, and its derivatives in sd and df.

    They say c / W with the variance 1 / W, which among levels has the variance sd² + 1 / W and about the law's weight.
    So the map follows a level that is far out to where its rows put it, the more the smaller the others' sd is.
    """
    if df == 0.0 or W <= 0.0:
        return 1.0, 0.0, 0.0
    precision = 1.0 + W * sd * sd
    square = c * c / (W * precision)
    weight = (df + 1.0) / (df + square)
    return (
        weight,
        weight / (df + square) * square * 2.0 * W * sd / precision,
        (square - 1.0) / (df + square) ** 2,
    )
