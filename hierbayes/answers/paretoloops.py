"""The loops of `hierbayes.answers.pareto`: the fit of a generalised Pareto distribution (numba)."""

import numpy as np

from hierbayes.answers.pareto import MOST_GRID
from hierbayes.engine.core.loops import compiled, fill
from hierbayes.engine.core.problem import Floats

AT_ONCE = 64  # factors of a product whose logarithm is taken
B, PRODUCT, MEAN_LOG, PROFILE = range(4)  # rows of the memory of a fit


@compiled
def fit_tails(x: Floats, shapes: Floats, scales: Floats, grid: Floats) -> None:
    """Set shape and scale of the distribution of each row."""
    for row in range(x.shape[0]):
        shapes[row], scales[row] = fit_tail(x[row], grid)


@compiled
def fit_tail(x: Floats, grid: Floats) -> tuple[float, float]:
    """Return shape and scale of a generalised Pareto distribution for excesses in ascending order.

    The shape is NaN where a quarter of the excesses are the same, so that no such distribution is near.
    """
    size, count = x.size, MOST_GRID + int(x.size**0.5)
    quartile, largest = x[int(size / 4 + 0.5) - 1], x[size - 1]
    if not quartile > x[0]:
        return np.nan, np.nan
    b, means, profile = grid[B, :count], grid[MEAN_LOG, :count], grid[PROFILE, :count]
    for j in range(count):
        b[j] = (1.0 - np.sqrt(count / (j + 0.5))) / (3.0 * quartile) + 1.0 / largest
    _mean_logs(x, b, largest / quartile, grid[PRODUCT, :count], means)
    highest = -np.inf
    for j in range(count):
        profile[j] = size * (np.log(-b[j] / means[j]) - means[j] - 1.0)
        highest = max(highest, profile[j])
    total = 0.0
    for j in range(count):
        profile[j] = np.exp(profile[j] - highest)
        total += profile[j]
    together, middle = 0.0, 0.0
    for j in range(count):
        weight = profile[j] / total
        if weight >= 10 * 2.220446049250313e-16:
            together += weight
            middle += weight * b[j]
    middle /= together
    shape = 0.0
    for i in range(size):
        shape += np.log1p(-middle * x[i])
    shape /= size
    scale = -shape / middle
    shape = (size * shape + 10 * 0.5) / (size + 10)
    return (shape if np.abs(shape) < np.inf else np.inf), scale


@compiled
def _mean_logs(x: Floats, b: Floats, ratio: float, products: Floats, means: Floats) -> None:
    """Set means to those of log(1 - b x) over x, for each b.

    As logarithms of products, as long as none of them can over- or underflow: a factor is below 1 + 3 ratio and above
    1/500, where ratio is the largest x over its first quartile.
    """
    size = x.size
    step = AT_ONCE if ratio < 1e4 else AT_ONCE // 4
    fill(means, 0.0)
    if ratio < 1e16:
        for start in range(0, size, step):
            fill(products, 1.0)
            i, end = start, min(start + step, size)
            while i + 3 < end:
                x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
                for j in range(b.size):
                    first = (1.0 - b[j] * x0) * (1.0 - b[j] * x1)
                    products[j] *= first * ((1.0 - b[j] * x2) * (1.0 - b[j] * x3))
                i += 4
            while i < end:
                for j in range(b.size):
                    products[j] *= 1.0 - b[j] * x[i]
                i += 1
            for j in range(b.size):
                means[j] += np.log(products[j])
    for j in range(b.size):
        if ratio >= 1e16 or np.abs(b[j]) * x[size - 1] < 0.01:  # products lose what is small beside 1
            means[j] = 0.0
            for i in range(size):
                means[j] += np.log1p(-b[j] * x[i])
        means[j] /= size
