"""Predictors with a value for each of a row's levels: ``(1 + mmc(x1, x2) | mm(g1, g2))``."""

from typing import TypeGuard

from hierbayes.formula.syntax import Call, Name, Node, walk
from hierbayes.formula.tokens import ReadError

BY_MEMBER = "mmc"


def is_by_member(node: Node) -> TypeGuard[Call]:
    """Whether an expression has a value for each of a row's levels."""
    return isinstance(node, Call) and node.function == BY_MEMBER


def read_by_member(node: Call) -> tuple[Name, ...]:
    """The columns of ``mmc()``, one for each of a row's levels.

    Raises
    ------
    ReadError
        For anything but columns.
    """
    names = tuple(part for part in node.arguments if isinstance(part, Name))
    other = next((part for part in node.arguments if not isinstance(part, Name)), None)
    if other is not None or node.keywords or len(names) < 2:
        place = node.position if other is None else other.position
        raise ReadError(place, "mmc() takes columns, one for each column of mm(): mmc(x1, x2)")
    return names


def refuse_by_member(node: Node) -> None:
    """Refuse ``mmc()`` where rows have one level, or none."""
    for part in walk(node):
        if is_by_member(part):
            raise ReadError(
                part.position, "mmc() has values of each of a row's levels: (1 + mmc(x1, x2) | mm(g1, g2))"
            )


def check_by_member(node: Node, members: int) -> None:
    """Refuse ``mmc()`` with other than a column for each of a row's levels, of which there are so many."""
    for part in walk(node):
        if is_by_member(part) and len(part.arguments) != members:
            raise ReadError(
                part.position,
                f"mmc() has {len(part.arguments)} columns, and each row {members} levels of mm()",
            )
