"""Smooth terms of a formula, ``s(x, k=10, bs="tp", by=f)`` and ``gp(x, k=20)``: what they name, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    render,
    walk,
)
from hierbayes.formula.tokens import ReadError
from hierbayes.structures import SPECTRA
from hierbayes.transforms import CATEGORIES, Argument

SMOOTH, PROCESS, TENSOR = "s", "gp", "t2"
_ALONE = (
    "a smooth is a term of its own, added to the others: y ~ z + s(x); a curve for each level is s(x, by=f)"
)
_OF_GROUPS = {
    "re": 's(g, bs="re") is the group term (1 | g); a slope of x for each level is (0 + x | g), '
    "effects of combinations are (1 | g:h)",
    "fs": 's(x, g, bs="fs") is a curve along x for each level of g: the predictor first, then a column of '
    "groups, and k=",
}
_ARGUMENTS = {"k": Argument("whole"), "bs": Argument("text", "tp"), "knots": Argument("numbers")}
_PLAIN_K = {1: 10, 2: 30}  # by the number of predictors
_PROCESS_ARGUMENTS = {
    "k": Argument("whole"),
    "c": Argument("number", 1.25),
    "cov": Argument("text", "exp_quad"),
}
_TENSOR_ARGUMENTS = {"k": Argument("whole", 5), "bs": Argument("text", "cr")}
_TENSOR_BASES = ("cr", "ps", "tp")
_PLAIN_PROCESS_K = {1: 20, 2: 10}  # a direction


_ARGUMENTS_OF = {SMOOTH: _ARGUMENTS, PROCESS: _PROCESS_ARGUMENTS, TENSOR: _TENSOR_ARGUMENTS}


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
        return _label(SMOOTH, self.predictors, self.by)


@dataclass(frozen=True)
class ProcessTerm:
    """A Gaussian process as the formula has it.

    Attributes
    ----------
    call : Call
    predictors : tuple of Node
    by : Node or None
        What the process is multiplied by, or has a process for each level of.
    k : int
        Functions a direction.
    c : float
        How far they reach to each side of the middle, in largest distances of training rows.
    cov : str
        The covariance's name.
    """

    call: Call
    predictors: tuple[Node, ...]
    by: Node | None
    k: int
    c: float
    cov: str

    @property
    def label(self) -> str:
        """What it is called: ``"gp(x)"``, ``"gp(x, z):dose"``."""
        return _label(PROCESS, self.predictors, self.by)


@dataclass(frozen=True)
class TensorTerm:
    """A tensor product of two smooths as the formula has it.

    Attributes
    ----------
    call : Call
    predictors : tuple of two Node
    k : int
        Functions along each.
    kind : str
        The name of both bases.
    """

    call: Call
    predictors: tuple[Node, ...]
    k: int
    kind: str
    by: None = None

    @property
    def label(self) -> str:
        """What it is called: ``"t2(x, z)"``."""
        return _label(TENSOR, self.predictors, None)


type CurveTerm = SmoothTerm | ProcessTerm | TensorTerm


def _label(function: str, predictors: tuple[Node, ...], by: Node | None) -> str:
    name = f"{function}({', '.join(map(label_of, predictors))})"
    return name if by is None else f"{name}:{label_of(by)}"


def is_smooth(node: Node) -> bool:
    """Whether an expression is a smooth, a tensor product of two, or a Gaussian process."""
    return isinstance(node, Call) and node.function in _ARGUMENTS_OF


def is_of_groups(node: Node) -> bool:
    """Whether an expression is a smooth whose basis is that of group effects."""
    return isinstance(node, Call) and node.function == SMOOTH and _basis_named(node) in _OF_GROUPS


def _basis_named(call: Call) -> str:
    basis = dict(call.keywords).get("bs")
    return basis.text[1:-1] if isinstance(basis, Constant) else ""


def group_text(call: Call) -> str:
    """The group terms that a smooth of groups stands for.

    Examples
    --------
    >>> group_text(read_expression('s(site, bs="re")'))
    '(1 | site)'
    >>> group_text(read_expression('s(Time, Chick, bs="fs", k=5)'))
    '(1 + center(Time) || Chick) + homdiag(0 + bends(Time, k=5) | Chick)'

    Raises
    ------
    ReadError
        For an argument that such a smooth doesn't have.
    """
    kind = _basis_named(call)
    given = {word: value for word, value in call.keywords if word != "bs"}
    known = {"k": _ARGUMENTS["k"]} if kind == "fs" else {}
    for word, value in given.items():
        if word not in known:
            raise ReadError(value.position, f's(…, bs="{kind}") has no argument {word}; {_OF_GROUPS[kind]}')
    names, last = call.arguments, call.arguments[-1] if call.arguments else None
    if len(names) != (2 if kind == "fs" else 1) or not isinstance(last, Name):
        raise ReadError(call.position, _OF_GROUPS[kind])
    group = render(last)
    if kind == "re":
        return f"(1 | {group})"
    check_expression(names[0], predictor=True)
    x = render(names[0])
    k = read_arguments(Call("bends", (), tuple(given.items()), call.position), known)["k"]
    bends = f"bends({x})" if k is None else f"bends({x}, k={k})"
    return f"(1 + center({x}) || {group}) + homdiag(0 + {bends} | {group})"


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


def read_smooth(call: Call) -> CurveTerm:
    """The smooth or the process that a call is.

    Raises
    ------
    ReadError
        For an argument that it doesn't have, or one of another kind.
    """
    name, known = call.function, _ARGUMENTS_OF[call.function]
    predictors = call.arguments
    if not predictors:
        raise ReadError(
            call.position,
            f"{name}() names the predictors of a curve first: {name}(x), {name}(x, by=f), {name}(x, z)",
        )
    for part in predictors:
        check_expression(part, predictor=True)
        if isinstance(part, Call) and part.function in CATEGORIES:
            raise ReadError(
                part.position, f"a curve is along numbers; one for each category is {name}(x, by=f)"
            )
        if not columns_named(part):
            raise ReadError(part.position, f"this names no column; keywords are written out: {name}(x, k=10)")
    given = dict(call.keywords)
    by = given.pop("by", None) if name != TENSOR else None
    if by is not None:
        _check_by(by)
    for word, value in given.items():
        if word not in known:
            first, *more = known if name == TENSOR else (next(iter(known)), "by", *list(known)[1:])
            words = ", ".join((first, *more[:-1])) + f" and {more[-1]}"
            raise ReadError(value.position, f"{name}() has no argument {word}; it has {words}")
    values = read_arguments(Call(name, (), tuple(given.items()), call.position), known)
    if name == PROCESS:
        return _process(call, predictors, by, given, values)
    if name == TENSOR:
        return _tensor(call, predictors, given, values)
    return _smooth(call, predictors, by, given, values)


def _smooth(
    call: Call,
    predictors: tuple[Node, ...],
    by: Node | None,
    given: Mapping[str, Node],
    values: Mapping[str, Any],
) -> SmoothTerm:
    kind = values["bs"]
    if kind in _OF_GROUPS:
        raise ReadError(
            given["bs"].position, f"effects of groups are a term of their own; {_OF_GROUPS[kind]}"
        )
    if kind not in BASES:
        raise ReadError(given["bs"].position, _why_no_basis(kind))
    if len(predictors) > BASES[kind].predictors:
        raise ReadError(predictors[BASES[kind].predictors].position, _why_too_many(kind))
    k = _PLAIN_K[len(predictors)] if values["k"] is None else values["k"]
    if k < 3:
        raise ReadError(given["k"].position, "k is the number of a basis's functions, 3 or more")
    return SmoothTerm(call, predictors, by, k, kind, values["knots"])


def _process(
    call: Call,
    predictors: tuple[Node, ...],
    by: Node | None,
    given: Mapping[str, Node],
    values: Mapping[str, Any],
) -> ProcessTerm:
    if len(predictors) > 2:
        raise ReadError(predictors[2].position, "gp() is along one predictor or two: gp(x), gp(x, z)")
    cov, c = values["cov"], float(values["c"])
    if cov not in SPECTRA:
        known = ", ".join(f'"{name}" ({one.words})' for name, one in SPECTRA.items())
        raise ReadError(given["cov"].position, f'there is no covariance "{cov}"; there are {known}')
    k = _PLAIN_PROCESS_K[len(predictors)] if values["k"] is None else values["k"]
    if k < 3:
        raise ReadError(given["k"].position, "k is the number of functions in each direction, 3 or more")
    if c <= 0.5:
        raise ReadError(
            given["c"].position,
            "c is above 0.5, at which the functions end with the training rows; 1.25 is usual",
        )
    return ProcessTerm(call, predictors, by, k, c, cov)


def _tensor(
    call: Call, predictors: tuple[Node, ...], given: Mapping[str, Node], values: Mapping[str, Any]
) -> TensorTerm:
    if len(predictors) != 2:
        raise ReadError(call.position, "t2() is along two predictors: t2(x, z)")
    kind, k = values["bs"], values["k"]
    if kind not in _TENSOR_BASES:
        known = ", ".join(f'"{name}" ({BASES[name].words})' for name in _TENSOR_BASES)
        raise ReadError(given["bs"].position, f"the bases along both predictors of t2() are one of {known}")
    if k < 3:
        raise ReadError(given["k"].position, "k is the number of functions along each predictor, 3 or more")
    return TensorTerm(call, predictors, k, kind)


def _check_by(by: Node) -> None:
    if isinstance(by, Constant) or not columns_named(by):
        raise ReadError(by.position, "by= names a column, of categories or of numbers")
    if not isinstance(by, Name | Call):
        raise ReadError(by.position, "arithmetic goes into I(): by=I(2 * z)")
    check_expression(by, predictor=True)


def _why_no_basis(kind: str) -> str:
    ways = {
        "ts": '; bs="tp" is what comes nearest',
        "cs": '; bs="cr" is what comes nearest',
        "bs": '; bs="ps" is what comes nearest',
        "gp": "; a Gaussian process is gp(x)",
        "ad": "",
    }
    known = [f'"{name}" ({basis.words})' for name, basis in BASES.items()]
    known += ['"re" (levels of a factor)', '"fs" (a curve a level of a factor)']
    return f'there is no basis "{kind}"{ways.get(kind, "")}; there are {", ".join(known)}'


def _why_too_many(kind: str) -> str:
    if BASES[kind].predictors > 1:
        return f'bs="{kind}" takes up to {BASES[kind].predictors} predictors'
    return f'bs="{kind}" is along one predictor; a surface is s(x, z) with bs="tp"'


def refuse_smooth(node: Node) -> None:
    """Refuse a smooth that stands in another term, or varies by groups."""
    for part in walk(node):
        if is_smooth(part):
            raise ReadError(part.position, _ALONE)
