"""Monotonic effects in a formula, ``mo(x)``: what they name, checked."""

from dataclasses import dataclass
from typing import Any

from hierbayes.formula.calls import read_arguments
from hierbayes.formula.syntax import Call, Name, Node, columns_named, read_expression, walk
from hierbayes.formula.tokens import ReadError
from hierbayes.transforms import Argument

MONOTONIC = "mo"
_ARGUMENTS = {"levels": Argument("levels")}
_BY_GROUP = "its steps are those of the same term outside the parentheses: {0} + ({0} | g)"
_TWO = "a term has one monotonic effect; of two, one can be C(x) or the number itself"


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
    """

    call: Call
    column: str
    levels: tuple[Any, ...] | None

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
    return MonotonicTerm(call, column, values["levels"])


def refuse_steps_by_group(effects: Node, common: str) -> None:
    """Refuse a monotonic effect that varies by groups and is not among the population-level terms."""
    known = {term.label for term in monotonic_terms(common)}
    for part in walk(effects):
        if is_monotonic(part) and read_monotonic(part).label not in known:
            raise ReadError(part.position, _BY_GROUP.format(read_monotonic(part).label))


def refuse_two(factors: tuple[Node, ...]) -> None:
    """Refuse a product of two monotonic effects."""
    found = [factor for factor in factors if is_monotonic(factor)]
    if len(found) > 1:
        raise ReadError(found[1].position, _TWO)
