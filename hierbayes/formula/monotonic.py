"""Monotonic effects in a formula, ``mo(x)``: what they name, checked."""

from dataclasses import dataclass
from typing import Any

from hierbayes.formula.calls import read_arguments
from hierbayes.formula.syntax import Call, Name, Node, columns_named, read_expression, walk
from hierbayes.formula.tokens import ReadError
from hierbayes.transforms import Argument

MONOTONIC = "mo"
_ARGUMENTS = {"levels": Argument("levels"), "id": Argument("text")}
_BY_GROUP = "its steps are those of the same term outside the parentheses: {0} + ({0} | g)"
_TWICE = "a product has one monotonic effect of a column; {0} stands there already"
_ID = 'id of mo() is a word that terms with the same steps have in common: mo(x, id="p")'


@dataclass(frozen=True)
class MonotonicTerm:
    """A monotonic effect as the formula has it.

    Attributes
    ----------
    call : Call
    column : str
        The ordered predictor.
    levels : tuple or None
        Its values in their order, where the formula says so.
    id : str
        What terms that share their steps have in common; "" where they are the term's own.
    """

    call: Call
    column: str
    levels: tuple[Any, ...] | None
    id: str = ""

    @property
    def label(self) -> str:
        """What its coefficient is called: ``"mo(x)"``."""
        return f"{MONOTONIC}({self.column})"


def is_monotonic(node: Node) -> bool:
    """Whether an expression is a monotonic effect."""
    return isinstance(node, Call) and node.function == MONOTONIC


def monotonic_terms(text: str) -> list[MonotonicTerm]:
    """The monotonic effects of a right-hand side.

    Examples
    --------
    >>> [term.label for term in monotonic_terms("1 + z + mo(income) * age")]
    ['mo(income)']
    """
    return [read_monotonic(node) for node in walk(read_expression(text)) if is_monotonic(node)]


def read_monotonic(call: Node) -> MonotonicTerm:
    """The monotonic effect that a call is.

    Raises
    ------
    ReadError
        Where it is not of one column, or has an argument that it doesn't know.
    """
    assert isinstance(call, Call), "is_monotonic said so"
    match call.arguments:
        case (Name(column), *_):
            pass
        case (first, *_) if columns_named(first):
            raise ReadError(
                first.position,
                "mo() is of a column; compute one with ordered categories or whole numbers first",
            )
        case _:
            raise ReadError(call.position, "mo() names an ordered predictor: mo(x)")
    values = read_arguments(Call(MONOTONIC, call.arguments[1:], call.keywords, call.position), _ARGUMENTS)
    if values["id"] is not None and not values["id"].isidentifier():
        raise ReadError(call.position, _ID)
    return MonotonicTerm(call, column, values["levels"], values["id"] or "")


def refuse_steps_by_group(effects: Node, common: str) -> None:
    """Refuse a monotonic effect that varies by groups and is not among the population-level terms."""
    known = {term.label for term in monotonic_terms(common)}
    for part in walk(effects):
        if is_monotonic(part) and read_monotonic(part).label not in known:
            raise ReadError(part.position, _BY_GROUP.format(read_monotonic(part).label))


def refuse_steps_twice(factors: tuple[Node, ...]) -> None:
    """Refuse a product of two monotonic effects of one column."""
    found: set[str] = set()
    for factor in factors:
        if is_monotonic(factor):
            label = read_monotonic(factor).label
            if label in found:
                raise ReadError(factor.position, _TWICE.format(label))
            found.add(label)
