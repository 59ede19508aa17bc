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


# derivatives, of those that parameters may stand in: of arrays, and compiled, of numbers
_LOG2 = np.log(2.0)
_SLOPES: dict[str, tuple[Callable[..., Any], ...]] = {
    "abs": (np.sign,),
    "arccos": (lambda x: -1 / np.sqrt(1 - x * x),),
    "arccosh": (lambda x: 1 / np.sqrt(x * x - 1),),
    "arcsin": (lambda x: 1 / np.sqrt(1 - x * x),),
    "arcsinh": (lambda x: 1 / np.sqrt(1 + x * x),),
    "arctan": (lambda x: 1 / (1 + x * x),),
    "arctanh": (lambda x: 1 / (1 - x * x),),
    "cos": (lambda x: -np.sin(x),),
    "cosh": (np.sinh,),
    "exp": (np.exp,),
    "exp2": (lambda x: _LOG2 * np.exp2(x),),
    "expm1": (np.exp,),
    "log": (lambda x: 1 / x,),
    "log10": (lambda x: 1 / (x * np.log(10.0)),),
    "log1p": (lambda x: 1 / (1 + x),),
    "log2": (lambda x: 1 / (x * _LOG2),),
    "reciprocal": (lambda x: -1 / (x * x),),
    "sin": (np.cos,),
    "sinh": (np.cosh,),
    "sqrt": (lambda x: 0.5 / np.sqrt(x),),
    "square": (lambda x: 2 * x,),
    "tan": (lambda x: 1 + np.square(np.tan(x)),),
    "tanh": (lambda x: 1 - np.square(np.tanh(x)),),
    "arctan2": (lambda y, x: x / (x * x + y * y), lambda y, x: -y / (x * x + y * y)),
    "logaddexp": (lambda a, b: np.exp(a - np.logaddexp(a, b)), lambda a, b: np.exp(b - np.logaddexp(a, b))),
    "maximum": (lambda a, b: (a >= b) * 1.0, lambda a, b: (b > a) * 1.0),
    "minimum": (lambda a, b: (a <= b) * 1.0, lambda a, b: (b < a) * 1.0),
    "power": (lambda a, b: b * np.power(a, b - 1), lambda a, b: np.power(a, b) * np.log(a)),
    "where": (
        lambda condition, x, y: condition * 0.0,
        lambda condition, x, y: (condition != 0.0) * 1.0,
        lambda condition, x, y: (condition == 0.0) * 1.0,
    ),
}


def _round(x: Any, decimals: Any = 0.0) -> Any:
    """Rounded to each row's own number of decimals."""
    return np.round(x, int(decimals)) if np.ndim(decimals) == 0 else np.rint(x * 10**decimals) / 10**decimals


_ALL = [
    *(Elementwise(name, function, ("x",), 1, _SLOPES.get(name, ())) for name, function in _OF_ONE.items()),
    *(
        Elementwise(name, function, ("x1", "x2"), 2, _SLOPES.get(name, ()))
        for name, function in _OF_TWO.items()
    ),
    Elementwise("clip", np.clip, ("a", "a_min", "a_max"), 3),
    Elementwise("round", _round, ("a", "decimals"), 1),
    Elementwise("where", np.where, ("condition", "x", "y"), 3, _SLOPES["where"]),
]
ELEMENTWISE = MappingProxyType({one.name: one for one in _ALL})
