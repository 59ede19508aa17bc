"""What a Gaussian problem refuses."""

from dataclasses import replace

import numpy as np
import pytest

from hierbayes.engine.core.problem import Factor
from tests.gaussian.problems import EXPONENTIAL, PROBLEMS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.zeros(59)}, "y must have shape"),
        ({"weights": np.full(60, -1.0)}, "not be negative"),
        ({"prior_mean": np.zeros(2)}, "prior_mean must have shape"),
        ({"prior_precision": np.array([1.0, -1.0, 0.0])}, "finite and not negative"),
        ({"prior_precision": np.array([1.0, np.inf, 0.0])}, "finite and not negative"),
        ({"intercept": None}, "without one, centre must be zero"),
        ({"intercept": 1}, "own column"),
        ({"centre": np.zeros(3), "intercept": 1}, "all ones"),
    ],
)
def test_problem_refuses_what_does_not_fit(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PROBLEMS["q = 2"](), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": np.array([0, 1, 3])}, "0..2"),
        ({"codes": np.array([0, -1, 2])}, "0..2"),
        ({"codes": np.array([0, 1])}, "share their rows"),
        ({"blocks": ((0,), (0, 1))}, "each of the 2 effects once"),
        ({"eta": (1.0,)}, "2 blocks need as many eta"),
        ({"eta": (1.0, 0.0)}, "positive"),
        ({"sd_priors": [EXPONENTIAL]}, "shape"),
    ],
)
def test_factor_refuses_what_does_not_fit(changes: dict, message: str) -> None:
    made = Factor(np.arange(3), np.ones((3, 2)), 3, ((0,), (1,)), [EXPONENTIAL] * 2, (1.0, 1.0))
    with pytest.raises(ValueError, match=message):
        replace(made, **changes)
