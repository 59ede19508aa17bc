"""What bends in a smooth: the penalised columns of a basis, orthogonal to straight lines over the training rows."""

import numpy as np

from hierbayes.bases import BASES, Smooth, learn_smooths
from hierbayes.transforms.record import Argument, Array, Transform


def _learn(values: Array, k: int, bs: str, knots: tuple[float, ...] | None) -> Smooth:
    if bs not in BASES:
        raise ValueError(f'there is no basis "{bs}"; there are {", ".join(BASES)}')
    x = values[:, None]
    return learn_smooths(BASES[bs].learn(x, k, knots), x, [np.ones(len(x))], constant=True)[0]


def _columns(state: Smooth, values: Array) -> Array:
    return state.penalised(values[:, None], np.ones(len(values)))


BENDS = Transform(
    "bends",
    _learn,
    _columns,
    {"k": Argument("whole", 10), "bs": Argument("text", "tp"), "knots": Argument("numbers")},
)
