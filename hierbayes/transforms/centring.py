"""Transforms that learn a mean and a standard deviation."""

from dataclasses import dataclass

import numpy as np

from hierbayes.transforms.record import Array, Transform


@dataclass(frozen=True)
class Standard:
    """The mean that is taken off, and the standard deviation that the rest is divided by."""

    mean: float
    deviation: float


def _learn_centre(values: Array) -> Standard:
    return _centre(float(np.mean(values)), 1.0)


def _learn_scale(values: Array) -> Standard:
    return _scale(float(np.mean(values)), float(np.std(values)))


def _centre(mean: float, deviation: float) -> Standard:
    return Standard(mean, 1.0)


def _scale(mean: float, deviation: float) -> Standard:
    if not deviation > 0:
        raise ValueError("it has one value in every row, so there is no standard deviation to divide by")
    return Standard(mean, deviation)


def _columns(state: Standard, values: Array) -> Array:
    return (values - state.mean) / state.deviation


CENTER = Transform("center", _learn_centre, _columns, of_moments=_centre)
SCALE = Transform("scale", _learn_scale, _columns, of_moments=_scale)
STANDARDIZE = Transform("standardize", _learn_scale, _columns, of_moments=_scale)
