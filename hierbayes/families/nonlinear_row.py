"""The row function of a family with nonlinear predictors: the base family's at the expressions' values.

It is written out from the trees that the formula's own parser made: the text that is compiled holds names made here,
numbers, operators and functions of `hierbayes.transforms`, and nothing that a formula says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hierbayes.compiledlinks import moved
from hierbayes.compiling import Deferred, written
from hierbayes.families.record import Family, Parameter
from hierbayes.formula.nonlinear import Nonlinear, arguments_of_call, number_of
from hierbayes.formula.syntax import COMPARISONS, Binary, Call, Constant, Name, Node, Unary, children, render
from hierbayes.kinds import number_row, positive_row, probability_row
from hierbayes.transforms import elementwise

_FORMS = {"number_row": number_row, "positive_row": positive_row, "probability_row": probability_row}


def nonlinear_row(
    base: Family,
    links: Mapping[str, str],
    expressions: Mapping[str, Nonlinear],
    stated: Mapping[str, str],
    parameters: Sequence[Parameter],
) -> Deferred | None:
    """The row function; None where the base family has none of single numbers, or is given the parameter as a list.

    Arguments are those of `hierbayes.families.nonlinear.Expressions`.
    """
    inside = [parameter for parameter in base.parameters if parameter.name in expressions]
    if base.row is None or base.listed is not None or base.support.columns:
        return None
    if any(parameter.kind.form not in _FORMS or parameter.size for parameter in inside):
        return None
    writer = _Writer()
    names = {parameter.name: f"p{place}" for place, parameter in enumerate(parameters)}

    def each(parameter: Parameter, before: str = "") -> list[str]:
        """Names of what is given of a parameter: of shares several, the parts broken off."""
        own = before + names[parameter.name]
        several = range(1, parameter.size)
        return [f"{own}_{k}" for k in several] if parameter.size else [own]

    for parameter in inside:
        expression, own = expressions[parameter.name], names[parameter.name]
        known: dict[Node, str] = {Name(name, 0): f"{names[name]}.value" for name in expression.parameters}
        known |= {part: f"{names[stated[render(part)]]}.value" for part in expression.parts}
        eta, slopes = writer.visit(expression.node, known, frozenset(expression.parameters))
        code = parameter.kind.codes[links[parameter.name]]
        writer.lines += [
            f"t_{own}, slope_{own}, inside_{own} = "
            + (f"moved({code}, {eta})" if code else f"{eta}, 1.0, True"),
            f"at_{own} = {parameter.kind.form}(t_{own})",
            *(f"d_{own}_{names[name]} = slope_{own} * {slope}" for name, slope in slopes.items()),
        ]
    given = [
        one
        for p in base.parameters
        for one in ([f"at_{names[p.name]}"] if p.name in expressions else each(p))
    ]
    scores = [score for p in base.parameters for score in each(p, "s_")]
    trials = ["trials"] if base.needs_trials else []
    once = ["once"] if base.shared is not None else []
    returned = []
    for parameter in parameters:
        own = names[parameter.name]
        of = [p.name for p in inside if parameter.name in expressions[p.name].parameters]
        if parameter.name in expressions:
            returned.append("0.0")
        elif parameter in base.parameters:
            returned += each(parameter, "s_")
        else:
            parts = [f"s_{names[name]} * d_{names[name]}_{own}" for name in of]
            returned.append(" + ".join(parts) or "0.0")
    possible = " and ".join(f"inside_{names[p.name]}" for p in inside)
    body = [
        *writer.lines,
        f"value, {', '.join(scores)} = inner({', '.join(['y', *trials, *given, *once])})",
        f"if not ({possible}):",
        "    value = -inf",
        f"return value, {', '.join(returned)}",
    ]
    name = f"{base.name}_nl_row"
    arguments = [one for parameter in parameters for one in each(parameter)]
    heading = f"def {name}({', '.join(['y', *trials, *arguments, *once])}):"
    source = "\n".join([heading, *(f"    {line}" for line in body), ""])
    tools: dict[str, Any] = {**_FORMS, "moved": moved, "inf": np.inf, "inner": base.row, **writer.functions}
    return written(name, source, __file__, __name__, stored=False, **tools)


class _Writer:
    """Lines that compute expressions and their derivatives, and the functions that these call."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.functions: dict[str, Any] = {}

    def put(self, text: str) -> str:
        """Compute it and return its name."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def function(self, name: str, function: Any) -> str:
        """A name for a function of the table."""
        self.functions[name] = function
        return name

    def visit(
        self, node: Node, known: Mapping[Node, str], learnt: frozenset[str]
    ) -> tuple[str, dict[str, str]]:
        """A part's value, and its derivatives in the parameters that are in it."""
        if node in known:
            own = isinstance(node, Name) and node.name in learnt
            return known[node], {node.name: "1.0"} if own and isinstance(node, Name) else {}
        match node:
            case Constant():
                return f"({float(number_of(node))!r})", {}
            case Call("I"):
                return self.visit(arguments_of_call(node)[0], known, learnt)
        below = arguments_of_call(node) if isinstance(node, Call) else children(node)
        pairs = [self.visit(part, known, learnt) for part in below]
        values = [value for value, _ in pairs]
        whole = self.put(self._value(node, values))
        found: dict[str, list[str]] = {}
        for place, (_, inner) in enumerate(pairs):
            outer = self._slope(node, place, values) if inner else "0.0"
            for name, slope in inner.items():
                found.setdefault(name, []).append(f"{outer} * {slope}")
        return whole, {name: self.put(" + ".join(parts)) for name, parts in found.items()}

    def _value(self, node: Node, values: Sequence[str]) -> str:
        match node:
            case Unary(sign):
                return f"{sign}{values[0]}"
            case Binary(sign) if sign in COMPARISONS:
                return f"1.0 if {values[0]} {sign} {values[1]} else 0.0"
            case Binary(sign):
                return f"{values[0]} {sign} {values[1]}"
            case Call("where" | "np.where"):
                return f"{values[1]} if {values[0]} != 0.0 else {values[2]}"
            case Call(function):
                record = elementwise(function)
                assert record is not None, "the formula was checked"
                return f"{self.function(f'f_{record.name}', record.function)}({', '.join(values)})"
        raise AssertionError(node)

    def _slope(self, node: Node, place: int, values: Sequence[str]) -> str:
        match node, place:
            case Unary(sign), _:
                return f"{sign}1.0"
            case Binary(sign), _ if sign in COMPARISONS:
                return "0.0"
            case Binary("+"), _:
                return "1.0"
            case Binary("-"), _:
                return "1.0" if place == 0 else "-1.0"
            case Binary("*"), _:
                return values[1 - place]
            case Binary("/"), 0:
                return self.put(f"1.0 / {values[1]}")
            case Binary("/"), _:
                return self.put(f"-{values[0]} / ({values[1]} * {values[1]})")
        record = elementwise("power" if isinstance(node, Binary) else node.function)  # type: ignore[union-attr]
        assert record is not None, "the formula was checked"
        slope = record.slopes[place]
        if not isinstance(slope, np.ufunc):
            slope = Deferred(slope, within=True, stored=False)
        function = self.function(f"s_{record.name}_{place}", slope)
        return self.put(f"{function}({', '.join(values)})")
