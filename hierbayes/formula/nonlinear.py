"""Nonlinear predictors in a formula, ``nl(expression)``: what they name, checked, and their values.

The expression is of columns and of parameters that have formulas of their own. What is of columns alone is computed
from the rows as any expression of a formula is; above that stand arithmetic, comparisons by size and the functions of
`hierbayes.transforms` that have a slope. One tree serves NumPy draws, the PyTensor graph and derivatives.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hierbayes.errors import FormulaError
from hierbayes.formula.calls import check_expression
from hierbayes.formula.syntax import (
    COMPARISONS,
    Binary,
    Call,
    Constant,
    Name,
    Node,
    Unary,
    children,
    columns_named,
    render,
    walk,
)
from hierbayes.formula.tokens import ReadError, caret
from hierbayes.transforms import ELEMENTWISE, TRANSFORMS, elementwise

NONLINEAR = "nl"
ALONE = (
    "nl() stands alone on the right side; what else is added goes inside it, as a parameter with a formula of its own: "
    '{"mu": "y ~ nl(a * exp(-b * x) + c)", "a": "~ 1", "b": "~ 1", "c": "~ z + (1 | g)"}'
)
_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Nonlinear:
    """A predictor that is an expression of columns and of other predictors.

    Attributes
    ----------
    node : Node
        The expression.
    parameters : tuple of str
        The names in it that have formulas; all others are columns.
    """

    node: Node
    parameters: tuple[str, ...] = field(default=(), compare=False)

    @property
    def text(self) -> str:
        """Canonical text of the expression."""
        return render(self.node)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name in it, each once, in order of appearance."""
        return columns_named(self.node)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the data that it names."""
        return tuple(name for name in self.names if name not in self.parameters)

    @cached_property
    def parts(self) -> tuple[Node, ...]:
        """The largest parts that are of columns alone, each once: numbers of a row."""
        found: dict[Node, None] = {}
        pending = [self.node]
        while pending:
            node = pending.pop()
            if self.is_learnt(node):
                pending += reversed(children(node))
            elif columns_named(node):
                found[node] = None
        return tuple(found)

    def is_learnt(self, node: Node) -> bool:
        """Whether a part of it has a parameter in it."""
        return any(isinstance(part, Name) and part.name in self.parameters for part in walk(node))

    def evaluate(self, values: Mapping[str, Any], parts: Sequence[Any], m: Any) -> Any:
        """Its value, of arrays or of tensors, which broadcast.

        Parameters
        ----------
        values : mapping of str to array or tensor
            The parameters' values.
        parts : sequence of array or tensor
            Those of `parts`, in their order.
        m : module
            NumPy, or PyTensor's module of tensors.
        """
        return _evaluate(self.node, {**_named(values), **dict(zip(self.parts, parts, strict=True))}, m)

    def derivatives(self, values: Mapping[str, Any], parts: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        """Its value and its derivative in each parameter, arrays that broadcast, by the chain rule from below."""
        known = {**_named(values), **dict(zip(self.parts, parts, strict=True))}
        with np.errstate(all="ignore"):
            value, slopes = _differentiate(self.node, known, frozenset(self.parameters))
        return value, {name: slopes.get(name, 0.0) for name in self.parameters}


def _named(values: Mapping[str, Any]) -> dict[Node, Any]:
    return {Name(name, 0): value for name, value in values.items()}


# -- reading ----------------------------------------------------------------------------------------------------


def read_nonlinear(call: Call) -> Nonlinear:
    """The nonlinear predictor that a call ``nl(…)`` is.

    Raises
    ------
    ReadError
        Where it is not one expression that can be computed.
    """
    if len(call.arguments) != 1 or call.keywords:
        raise ReadError(call.position, "nl() takes one expression: nl(a * exp(-b * x))")
    node = call.arguments[0]
    if not columns_named(node):
        raise ReadError(
            node.position, "nl() names no parameter: nl(a * exp(-b * x)), where a and b have formulas"
        )
    check_expression(Call("I", (node,), (), node.position), predictor=True)
    return Nonlinear(node)


def with_parameters(nonlinear: Nonlinear, having_formulas: Sequence[str], text: str) -> Nonlinear:
    """The predictor, told which of its names have formulas.

    Parameters
    ----------
    nonlinear : Nonlinear
    having_formulas : sequence of str
    text : str
        The formula's, for messages.

    Raises
    ------
    FormulaError
        Where none has, or where something is computed of a parameter that has no slope in it.
    """
    parameters = tuple(name for name in nonlinear.names if name in having_formulas)
    if not parameters:
        names = ", ".join(nonlinear.names)
        raise FormulaError(
            caret(
                text,
                nonlinear.node.position,
                f"nothing in nl() has a formula, of {names}; give its parameters one each: "
                f'{{"mu": …, "{nonlinear.names[0]}": "~ 1"}}; an expression of columns alone is a term, I(…)',
            )
        )
    found = Nonlinear(nonlinear.node, parameters)
    for node in walk(found.node):
        if found.is_learnt(node):
            message = _why_no_slope(node)
            if message:
                raise FormulaError(caret(text, node.position, message))
    return found


def learnt_in(predictors: Iterable[Nonlinear | None]) -> tuple[str, ...]:
    """The parameters of nonlinear predictors, each once, in order of appearance."""
    return tuple(dict.fromkeys(name for one in predictors if one for name in one.parameters))


def _why_no_slope(node: Node) -> str:
    """Why nothing of a parameter can be computed so; "" where it can."""
    match node:
        case Call(function) if function in TRANSFORMS:
            return f"{function}() learns from a column, and this has a parameter in it"
        case Call(function) if (record := elementwise(function)) and not record.slopes:
            known = ", ".join(sorted(name for name, one in ELEMENTWISE.items() if one.slopes))
            return (
                f"{function}() of a parameter has no derivative here, which sampling needs; of columns alone it may "
                f"stand. Of parameters there are + - * / **, < <= > >= and {known}"
            )
        case Binary("==" | "!=" as sign):
            return f"a parameter is a number that is hardly ever equal to another; `{sign}` is for columns"
    return ""


# -- values -----------------------------------------------------------------------------------------------------


def arguments_of_call(node: Call) -> tuple[Node, ...]:
    """The arguments of a function of the table, in its order."""
    record = elementwise(node.function)
    names = ("x",) if record is None else record.arguments
    given = dict(zip(names, node.arguments, strict=False)) | dict(node.keywords)
    return tuple(given[name] for name in names if name in given)


def number_of(node: Constant) -> np.float64:
    """In double precision: PyTensor keeps a Python number in the smallest type that holds it."""
    return np.float64({"True": 1.0, "False": 0.0}.get(node.text) if node.kind == "word" else float(node.text))


def _evaluate(node: Node, known: Mapping[Node, Any], m: Any) -> Any:
    if node in known:
        return known[node]
    match node:
        case Constant():
            return number_of(node)
        case Unary(sign, operand):
            value = _evaluate(operand, known, m)
            return -value if sign == "-" else value
        case Binary(sign, left, right) if sign in COMPARISONS:
            holds = _ORDERED[sign](_evaluate(left, known, m), _evaluate(right, known, m))
            return m.where(holds, np.float64(1.0), np.float64(0.0))
        case Binary(sign, left, right):
            a, b = _evaluate(left, known, m), _evaluate(right, known, m)
            return {
                "+": lambda: a + b,
                "-": lambda: a - b,
                "*": lambda: a * b,
                "/": lambda: a / b,
                "**": lambda: a**b,
            }[sign]()
        case Call("I"):
            return _evaluate(arguments_of_call(node)[0], known, m)
        case Call(function):
            record = elementwise(function)
            assert record is not None, "the formula was checked"
            values = [_evaluate(argument, known, m) for argument in arguments_of_call(node)]
            return getattr(m, record.name)(*values)
    raise AssertionError(node)


def _differentiate(
    node: Node, known: Mapping[Node, Any], learnt: frozenset[str]
) -> tuple[Any, dict[str, Any]]:
    """A part's value, and its derivatives in the parameters that are in it."""
    if node in known:
        own = isinstance(node, Name) and node.name in learnt
        return known[node], {node.name: 1.0} if own and isinstance(node, Name) else {}
    match node:
        case Constant():
            return number_of(node), {}
        case Call("I"):
            return _differentiate(arguments_of_call(node)[0], known, learnt)
    below = arguments_of_call(node) if isinstance(node, Call) else children(node)
    pairs = [_differentiate(part, known, learnt) for part in below]
    values = [value for value, _ in pairs]
    found: dict[str, Any] = {}
    for place, (_, inner) in enumerate(pairs):
        outer = _slope(node, place, values) if inner else 0.0
        for name, slope in inner.items():
            found[name] = found.get(name, 0.0) + outer * slope
    return _evaluate(node, {**known, **dict(zip(below, values, strict=True))}, np), found


def _slope(node: Node, place: int, values: Sequence[Any]) -> Any:
    """The derivative of an operator or a function in one of its arguments."""
    match node, place:
        case Unary(sign), _:
            return -1.0 if sign == "-" else 1.0
        case Binary(sign), _ if sign in COMPARISONS:
            return 0.0
        case Binary("+"), _:
            return 1.0
        case Binary("-"), _:
            return 1.0 if place == 0 else -1.0
        case Binary("*"), _:
            return values[1 - place]
        case Binary("/"), 0:
            return 1.0 / values[1]
        case Binary("/"), _:
            return -values[0] / np.square(values[1])
        case Binary("**"), _:
            return ELEMENTWISE["power"].slopes[place](*values)
        case Call(function), _:
            record = elementwise(function)
            assert record is not None, "the formula was checked"
            return record.slopes[place](*values)
    raise AssertionError(node)
