"""The posterior mode, the curvature there, and coordinates without the long tail of an sd that may be 0."""

from collections.abc import Callable

import numpy as np
import pytest

from hierbayes.engine.core.hyperparameters import tail_transform
from hierbayes.engine.core.standardisation import find_mode, find_tail_transform, spread_at

Density = Callable[[float], float]


def in_two_dimensions(f: Density) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return x ~ N(0, 1) and t, given x about x/2 + a draw of f, as a density with its gradient."""

    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        x, t = point
        slope = (f(t - 0.5 * x + 1e-5) - f(t - 0.5 * x - 1e-5)) / 2e-5
        return f(t - 0.5 * x) - 0.5 * x**2, np.array([-x - 0.5 * slope, slope])

    return evaluate


def half_normal(t: float) -> float:
    """The log density of log sd where sd is half-normal: a posterior that reaches 0."""
    return t - 0.5 * np.exp(min(2 * t, 50.0))


def half_student_from_many(t: float) -> float:
    """The log density of log sd where forty groups say that it is about 1."""
    return -40 * t - 20 * np.exp(-2 * t) if t > -150 else -np.inf


def shape(f: Density, knee: float, rate: float) -> tuple[float, float]:
    """Return skewness and excess kurtosis of f in bent coordinates, by sums over a grid."""
    t = np.linspace(-40, 12, 20001)
    height = np.array(
        [f(tail_transform(at, knee, rate)[0]) + np.log(tail_transform(at, knee, rate)[1]) for at in t]
    )
    p = np.exp(height - height.max())
    p /= p.sum()
    z = t - p @ t
    z /= np.sqrt(p @ z**2)
    return float(p @ z**3), float(p @ z**4) - 3


def test_bend_takes_away_the_tail_of_an_sd_that_may_be_zero() -> None:
    evaluate = in_two_dimensions(half_normal)
    mode = find_mode(evaluate, np.array([0.3, -1.0]))
    np.testing.assert_allclose(mode, 0.0, atol=1e-4)  # where t - exp(2t)/2 is largest
    spread = spread_at(evaluate, mode)
    knee, rate = find_tail_transform(evaluate, mode, spread @ spread.T, 1)
    before, after = shape(half_normal, 0.0, 0.0), shape(half_normal, knee, rate)
    assert before[0] < -1.4
    assert before[1] > 3
    assert abs(after[0]) < 0.5
    assert abs(after[1]) < 0.5


@pytest.mark.parametrize("f", [half_student_from_many, lambda t: -0.5 * (t / 0.1) ** 2])
def test_a_scale_that_is_known_is_not_bent(f: Density) -> None:
    evaluate = in_two_dimensions(f)
    mode = find_mode(evaluate, np.array([0.1, 0.1]))
    spread = spread_at(evaluate, mode)
    assert find_tail_transform(evaluate, mode, spread @ spread.T, 1) == (0.0, 0.0)
