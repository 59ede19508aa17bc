"""Small log densities with known moments, compiled like the engines' own."""

from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.density import Density
from hierbayes.engine.core.loops import compiled


@compiled
def log_gamma(position, gradient, shape):
    """Logarithms of Gamma(shape) draws: mean digamma(shape), variance trigamma(shape)."""
    total = 0.0
    for i in range(position.size):
        total += shape[0] * position[i] - np.exp(position[i])
        gradient[i] = shape[0] - np.exp(position[i])
    return total


class Shape(NamedTuple):
    low: np.ndarray
    high: np.ndarray


@compiled
def triangle(position, gradient, shape, scratch, number):
    """Density 2 (x - low) / (high - low)² between the two, and none elsewhere."""
    total = 0.0
    for i in range(position.size):
        scratch[i] = position[i] - shape.low[i]
        gradient[i] = 1.0 / scratch[i]
        if scratch[i] <= 0.0 or position[i] >= shape.high[i]:
            total = -np.inf
        else:
            total += np.log(scratch[i])
    number[0] += 1
    return total


def gamma_density(dim: int, shape: float = 3.0) -> Density:
    return Density(log_gamma, dim, (np.array([shape]),), tuple)


def triangle_density(dim: int) -> Density:
    return Density(
        triangle,
        dim,
        (Shape(np.zeros(dim), np.linspace(1.0, 2.0, dim)),),
        lambda: (np.zeros(dim), np.zeros(1, np.int64)),
    )
