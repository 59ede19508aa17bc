"""Where the curve of a formula's terms ends, and where it jumps: columns in splines, columns in steps."""

from collections.abc import Callable

from hierbayes.formula.smooths import smooth_predictors
from hierbayes.formula.syntax import (
    COMPARISONS,
    Binary,
    Call,
    Node,
    columns_named,
    read_expression,
    render,
    walk,
)

# curves that are made for the range of the training rows
_CURVES = frozenset({"bends", "bs", "cc", "cr", "poly", "tp"})
# functions of numpy that jump, so that they have no slope
_JUMPS = frozenset(
    {"ceil", "equal", "floor", "floor_divide", "greater", "greater_equal", "heaviside", "less", "less_equal"}
    | {"logical_and", "logical_not", "logical_or", "logical_xor", "mod", "not_equal", "remainder", "rint"}
    | {"round", "sign", "signbit", "trunc"}
)


def curves_in(text: str) -> dict[str, str]:
    """Columns that stand in a spline or a polynomial basis, and the first such term of each.

    Examples
    --------
    >>> curves_in("1 + age + bs(log(temp), df=4) * group")
    {'temp': 'bs(log(temp), df=4)'}
    """
    return smooth_predictors(text) | _columns(
        text, lambda node: isinstance(node, Call) and node.function in _CURVES
    )


def steps_in(text: str) -> dict[str, str]:
    """Columns that enter by a step, and the first such term of each.

    Examples
    --------
    >>> steps_in("1 + age + I(age >= 65) + floor(dose)")
    {'age': 'age >= 65', 'dose': 'floor(dose)'}
    """
    return _columns(text, _is_step)


def _is_step(node: Node) -> bool:
    if isinstance(node, Call):
        return node.function.removeprefix("np.") in _JUMPS
    return isinstance(node, Binary) and node.operator in COMPARISONS


def _columns(text: str, wanted: Callable[[Node], bool]) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in walk(read_expression(text)):
        if wanted(node):
            for name in columns_named(node):
                found.setdefault(name, render(node))
    return found
