"""Smooth terms of a formula, ``s(x, k=10, bs="tp", by=f)``: what they name, checked."""

from dataclasses import dataclass

from hierbayes.bases import BASES
from hierbayes.formula.calls import check_expression, read_arguments
from hierbayes.formula.syntax import (
    Call,
    Constant,
    Name,
    Node,
    columns_named,
    label_of,
    read_expression,
    walk,
)
from hierbayes.formula.tokens import ReadError
from hierbayes.transforms import CATEGORIES, Argument

SMOOTH = "s"
_ALONE = (
    "a smooth is a term of its own, added to the others: y ~ z + s(x); a curve for each level is s(x, by=f)"
)
_ARGUMENTS = {"k": Argument("whole"), "bs": Argument("text", "tp"), "knots": Argument("numbers")}
_PLAIN_K = {1: 10, 2: 30}  # by the number of predictors


@dataclass(frozen=True)
class SmoothTerm:
    """A smooth as the formula has it.

    Attributes
    ----------
    call : Call
    predictors : tuple of Node
    by : Node or None
        What the curve is multiplied by, or has a curve for each level of.
    k : int
    kind : str
        The basis's name.
    knots : tuple of float or None
    """

    call: Call
    predictors: tuple[Node, ...]
    by: Node | None
    k: int
    kind: str
    knots: tuple[float, ...] | None

    @property
    def label(self) -> str:
        """What it is called: ``"s(x)"``, ``"s(x, z):dose"``."""
        name = f"{SMOOTH}({', '.join(map(label_of, self.predictors))})"
        return name if self.by is None else f"{name}:{label_of(self.by)}"


def is_smooth(node: Node) -> bool:
    """Whether an expression is a smooth."""
    return isinstance(node, Call) and node.function == SMOOTH


def smooth_predictors(text: str) -> dict[str, str]:
    """Columns along which a right-hand side has a smooth, and the label of the first.

    Examples
    --------
    >>> smooth_predictors("1 + z + s(log(temp), k=5, by=site)")
    {'temp': 's(log(temp)):site'}
    """
    found: dict[str, str] = {}
    for node in walk(read_expression(text)):
        if isinstance(node, Call) and is_smooth(node):
            term = read_smooth(node)
            for name in (name for part in term.predictors for name in columns_named(part)):
                found.setdefault(name, term.label)
    return found


def read_smooth(call: Call) -> SmoothTerm:
    """The smooth that a call is.

    Raises
    ------
    ReadError
        For an argument that it doesn't have, or one of another kind.
    """
    predictors = call.arguments
    if not predictors:
        raise ReadError(call.position, "s() names the predictors of a curve first: s(x), s(x, by=f), s(x, z)")
    for part in predictors:
        check_expression(part, predictor=True)
        if isinstance(part, Call) and part.function in CATEGORIES:
            raise ReadError(part.position, "a curve is along numbers; one for each category is s(x, by=f)")
        if not columns_named(part):
            raise ReadError(part.position, "this names no column; keywords are written out: s(x, k=10)")
    given = dict(call.keywords)
    by = given.pop("by", None)
    if by is not None:
        _check_by(by)
    for word, value in given.items():
        if word not in _ARGUMENTS:
            raise ReadError(value.position, f"s() has no argument {word}; it has k, bs, by and knots")
    values = read_arguments(Call(SMOOTH, (), tuple(given.items()), call.position), _ARGUMENTS)
    kind = values["bs"]
    if kind not in BASES:
        raise ReadError(given["bs"].position, _why_no_basis(kind))
    if len(predictors) > BASES[kind].predictors:
        raise ReadError(predictors[BASES[kind].predictors].position, _why_too_many(kind))
    k = _PLAIN_K[len(predictors)] if values["k"] is None else values["k"]
    if k < 3:
        raise ReadError(given["k"].position, "k is the number of a basis's functions, 3 or more")
    return SmoothTerm(call, predictors, by, k, kind, values["knots"])


def _check_by(by: Node) -> None:
    if isinstance(by, Constant) or not columns_named(by):
        raise ReadError(by.position, "by= names a column, of categories or of numbers")
    if not isinstance(by, Name | Call):
        raise ReadError(by.position, "arithmetic goes into I(): by=I(2 * z)")
    check_expression(by, predictor=True)


def _why_no_basis(kind: str) -> str:
    ways = {
        "re": "; effects of groups are (1 | g)",
        "fs": "; a curve for each level is s(x, by=g)",
        "ts": '; bs="tp" is what comes nearest',
        "cs": '; bs="cr" is what comes nearest',
        "bs": '; bs="ps" is what comes nearest',
        "gp": "",
        "ad": "",
    }
    known = ", ".join(f'"{name}" ({basis.words})' for name, basis in BASES.items())
    return f'there is no basis "{kind}"{ways.get(kind, "")}; there are {known}'


def _why_too_many(kind: str) -> str:
    if BASES[kind].predictors > 1:
        return f'bs="{kind}" takes up to {BASES[kind].predictors} predictors'
    return f'bs="{kind}" is along one predictor; a surface is s(x, z) with bs="tp"'


def refuse_smooth(node: Node) -> None:
    """Refuse a smooth that stands in another term, or varies by groups."""
    for part in walk(node):
        if is_smooth(part):
            raise ReadError(part.position, _ALONE)
