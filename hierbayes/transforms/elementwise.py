"""The functions that a formula may call on numbers: each row's value is that row's alone."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from hierbayes.transforms.record import Elementwise

_OF_ONE: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "arccos": np.arccos,
    "arccosh": np.arccosh,
    "arcsin": np.arcsin,
    "arcsinh": np.arcsinh,
    "arctan": np.arctan,
    "arctanh": np.arctanh,
    "cbrt": np.cbrt,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg2rad": np.deg2rad,
    "degrees": np.degrees,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "fabs": np.fabs,
    "floor": np.floor,
    "isfinite": np.isfinite,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "logical_not": np.logical_not,
    "negative": np.negative,
    "positive": np.positive,
    "rad2deg": np.rad2deg,
    "radians": np.radians,
    "reciprocal": np.reciprocal,
    "rint": np.rint,
    "sign": np.sign,
    "signbit": np.signbit,
    "sin": np.sin,
    "sinc": np.sinc,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}
_OF_TWO: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "arctan2": np.arctan2,
    "divide": np.divide,
    "equal": np.equal,
    "floor_divide": np.floor_divide,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "heaviside": np.heaviside,
    "hypot": np.hypot,
    "less": np.less,
    "less_equal": np.less_equal,
    "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,
    "multiply": np.multiply,
    "not_equal": np.not_equal,
    "power": np.power,
    "remainder": np.remainder,
    "subtract": np.subtract,
    "true_divide": np.true_divide,
}


def _round(x: Any, decimals: Any = 0.0) -> Any:
    """Rounded to each row's own number of decimals."""
    return np.round(x, int(decimals)) if np.ndim(decimals) == 0 else np.rint(x * 10**decimals) / 10**decimals


ELEMENTWISE = MappingProxyType(
    {name: Elementwise(name, function, ("x",), 1) for name, function in _OF_ONE.items()}
    | {name: Elementwise(name, function, ("x1", "x2"), 2) for name, function in _OF_TWO.items()}
    | {
        "clip": Elementwise("clip", np.clip, ("a", "a_min", "a_max"), 3),
        "round": Elementwise("round", _round, ("a", "decimals"), 1),
        "where": Elementwise("where", np.where, ("condition", "x", "y"), 3),
    }
)
