"""The values of a formula's expressions over rows: one evaluator of the syntax tree, which knows no other code.

Every number and truth value is a float64 before anything is computed of it, whatever the column's type.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_complex_dtype, is_numeric_dtype

from hierbayes.errors import DataError
from hierbayes.formula.calls import arguments_of, literal
from hierbayes.formula.syntax import COMPARISONS, Binary, Call, Constant, Name, Node, Unary, render
from hierbayes.transforms import TRANSFORMS, Transform, elementwise

Array = NDArray[np.float64]

type Text = pd.Series[Any] | str
type Value = NDArray[Any] | Text

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Rows:
    """The rows of a table as expressions see them.

    Attributes
    ----------
    frame : pandas.DataFrame
        n complete rows.
    states : mapping of Node to Any
        What transforms learnt of the training rows, by their call; for a column of categories that is compared by
        order, the categories.
    learning : bool
        Whether these are the training rows: then what `states` lacks is learnt and put there.
    """

    frame: pd.DataFrame
    states: dict[Node, Any]
    learning: bool = False

    def __len__(self) -> int:
        return len(self.frame)

    def columns(self, node: Node) -> NDArray[Any]:
        """An expression's numbers: (n,) or, of a transform with several columns, (n, k)."""
        value = self.value(node)
        if isinstance(value, pd.Series | str):
            raise not_computed(node, _text_words(value))
        return value if value.ndim else np.full(len(self), value)

    def value(self, node: Node) -> Value:
        """What an expression is: numbers, truth values (of comparisons), or a column of text or categories."""
        match node:
            case Name(name):
                return plain_column(self.frame[name])
            case Constant("string"):
                return str(literal(node))
            case Constant():
                return np.asarray(literal(node), dtype=np.float64)
            case Unary(sign, operand):
                number = self._number(operand, node)
                return -number if sign == "-" else number
            case Binary(sign, left, right) if sign in COMPARISONS:
                return self._compared(node, sign, left, right)
            case Binary(sign) if sign in _ARITHMETIC:
                return self._arithmetic(node)
            case Call("I", arguments, keywords):
                return self.value(arguments[0] if arguments else keywords[0][1])
            case Call(function) if function in TRANSFORMS:
                return self._transformed(node, TRANSFORMS[function])
            case Call(function, arguments, keywords) if record := elementwise(function):
                given = dict(zip(record.arguments, arguments, strict=False)) | dict(keywords)
                numbers = [self._number(given[word], node) for word in record.arguments if word in given]
                return np.asarray(record.function(*numbers), dtype=np.float64)
        raise not_computed(node, "it is no expression of columns")

    def _number(self, node: Node, within: Node) -> Array:
        """One number a row, or one for all."""
        value = self.value(node)
        if isinstance(value, pd.Series | str):
            raise not_computed(within, _text_words(value))
        if value.ndim > 1:
            raise not_computed(within, f"{render(node)} has {value.shape[1]} columns")
        return np.asarray(value, dtype=np.float64)

    def _arithmetic(self, node: Node) -> Array:
        spine: list[Binary] = []  # a sum of a thousand columns is a left branch as deep
        first = node
        while isinstance(first, Binary) and first.operator in _ARITHMETIC:
            spine.append(first)
            first = first.left
        total = self._number(first, node)
        for step in reversed(spine):
            total = _ARITHMETIC[step.operator](total, self._number(step.right, node))
        return total

    def _compared(self, node: Node, sign: str, left: Node, right: Node) -> NDArray[np.bool_]:
        sides = [_unlabelled(self.value(side)) for side in (left, right)]
        texts = [isinstance(side, pd.Series | str) for side in sides]
        if any(texts) and not all(texts):
            words = next(_text_words(side) for side in sides if isinstance(side, pd.Series | str))
            raise not_computed(node, f"{words}, the other side numbers")
        if not any(texts):
            sides = [np.asarray(side, dtype=np.float64) for side in sides]
        elif sign in ("==", "!="):
            sides = [side if isinstance(side, str) else np.asarray(side, dtype=object) for side in sides]
        else:
            sides = self._ranks(node, (left, right), sides)
        return np.asarray(_COMPARE[sign](*sides), dtype=np.bool_)

    def _ranks(self, node: Node, nodes: tuple[Node, Node], sides: list[Any]) -> list[Any]:
        """Sides of a comparison by order: places among the training rows' categories, texts themselves without any."""
        if self.learning:
            ordered = [
                side for side in sides if isinstance(getattr(side, "dtype", None), pd.CategoricalDtype)
            ]
            self.states[node] = ordered[0].cat.categories.tolist() if ordered else None
        categories = self.states[node]
        if categories is None:
            return [side if isinstance(side, str) else np.asarray(side, dtype=object) for side in sides]
        index = pd.Index(categories)
        ranks = [index.get_indexer(pd.Index([side] if isinstance(side, str) else side)) for side in sides]
        for rank, side in zip(ranks, sides, strict=True):
            if (rank < 0).any():
                unknown = side if isinstance(side, str) else side[rank < 0].iloc[0]
                raise not_computed(
                    node, f"{unknown!r} is none of the categories {', '.join(map(repr, categories))}"
                )
        return ranks

    def _transformed(self, call: Call, transform: Transform) -> Array:
        first = call.arguments[0]
        values = self._number(first, call) if transform.takes_numbers else self.value(first)
        try:
            if self.learning and call not in self.states:
                self._check_finite(values, first)
                self.states[call] = transform.learn(values, **arguments_of(call))
            return transform.columns(self.states[call], values)
        except ValueError as error:
            raise not_computed(call, str(error)) from error

    def _check_finite(self, values: Value, node: Node) -> None:
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            bad = self.frame.index[~np.isfinite(values)]
            raise not_finite(render(node), bad)


def plain_column(column: "pd.Series[Any]") -> Value:
    """A column's numbers and truth values as float64, text and categories as they are."""
    if is_numeric_dtype(column) and not is_complex_dtype(column):
        return column.to_numpy(dtype=np.float64)
    return column


def _unlabelled(value: Value) -> Value:
    """Categories of numbers as the numbers that they are."""
    if not (isinstance(value, pd.Series) and isinstance(value.dtype, pd.CategoricalDtype)):
        return value
    return np.asarray(value).astype(np.float64) if is_numeric_dtype(value.cat.categories) else value


def not_finite(words: str, rows: pd.Index) -> DataError:
    """An expression is infinite or undefined in some rows."""
    return DataError(
        f"{words!r} is not a finite number in {describe_rows(rows)}; remove or correct those rows, or change the "
        "transformation"
    )


def not_computed(node: Node, why: str) -> DataError:
    """An expression has no value over these rows."""
    return DataError(f"{unwrapped(render(node))!r} cannot be computed from these data: {why}")


def _text_words(value: Text) -> str:
    name = f"text {value!r}" if isinstance(value, str) else repr(value.name)
    return f"{name} is text or categories, which are for factors and comparisons, not for arithmetic"


def unwrapped(text: str) -> str:
    """A term as the user wrote it, without the ``I()`` that was put around it."""
    inside = text.removeprefix("I(").removesuffix(")")
    return inside if text == f"I({inside})" and inside.isidentifier() else text


SHOWN_ROWS = 5


def describe_rows(rows: Any) -> str:
    """``"row 3"`` or ``"rows 3, 5, 9, … (12 in all)"``, by the labels of the user's own index.

    Examples
    --------
    >>> describe_rows([3, 5])
    'rows 3, 5'
    """
    shown = ", ".join(str(row) for row in list(rows[:SHOWN_ROWS]))
    if len(rows) > SHOWN_ROWS:
        return f"rows {shown}, … ({len(rows)} in all)"
    return f"row{'s' if len(rows) > 1 else ''} {shown}"
