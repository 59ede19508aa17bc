"""The formula of each parameter, from what a user gave."""

from collections.abc import Mapping
from dataclasses import replace

from hierbayes.data.design import MEAN, is_main
from hierbayes.errors import FormulaError, UnsupportedError
from hierbayes.families import Family
from hierbayes.formula import Formula, parse
from hierbayes.formula.nonlinear import NONLINEAR, learnt_in, with_parameters
from hierbayes.spelling import meant

type Formulas = str | Formula | Mapping[str, str | Formula]


def read_formulas(formula: Formulas, family: Family) -> dict[str, Formula]:
    """The formula of each parameter, the mean's first.

    Raises
    ------
    FormulaError
        When a text cannot be read, or none is the mean's.
    UnsupportedError
        For a parameter that neither the family nor an expression of ``nl()`` has.
    """
    if not isinstance(formula, Mapping):
        return {MEAN: _read(formula, response=True)}
    if MEAN not in formula:
        raise FormulaError(
            f"the formulas need one for {MEAN!r}, the mean; got {', '.join(map(repr, formula)) or 'none'}"
        )
    others = {name: _read_right(name, text) for name, text in formula.items() if not is_main(name)}
    found = resolve_nonlinear({MEAN: _read(formula[MEAN], response=True)} | others)
    _check_names(found, family)
    return found


def resolve_nonlinear(formulas: Mapping[str, Formula]) -> dict[str, Formula]:
    """The formulas, with those names in ``nl()`` known as parameters that have formulas.

    Raises
    ------
    FormulaError
        Where an expression has no parameter, or one that is an expression itself.
    """
    found = dict(formulas)
    for name, formula in formulas.items():
        if formula.nonlinear is None:
            continue
        having = [other for other in formulas if other not in (MEAN, name)]
        nonlinear = with_parameters(formula.nonlinear, having, formula.text)
        for parameter in nonlinear.parameters:
            if formulas[parameter].nonlinear is not None:
                raise FormulaError(
                    f"{parameter} in {NONLINEAR}() of {name} is {NONLINEAR}() itself; write its expression in its place"
                )
        columns = tuple(pair for pair in formula.columns if pair[0] not in nonlinear.parameters)
        found[name] = replace(formula, nonlinear=nonlinear, columns=columns)
    return found


def _check_names(formulas: Mapping[str, Formula], family: Family) -> None:
    """Refuse a formula of what is a parameter neither of the family nor of ``nl()``, or has no formula."""
    known, inside = (
        [auxiliary.name for auxiliary in family.own],
        learnt_in(f.nonlinear for f in formulas.values()),
    )
    for name in formulas:
        if name in (MEAN, *inside):
            continue
        if name not in known and family.by_category is None:
            have = ", ".join([MEAN, *known])
            words = f"family {family.name!r} has no parameter {name!r}; it has {have}"
            if inside:
                named = dict.fromkeys(n for f in formulas.values() if f.nonlinear for n in f.nonlinear.names)
                near = meant(name, named)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                words += f", and {NONLINEAR}() names {', '.join(named)}{hint}"
            raise UnsupportedError(words)
        if name in known and not family.parameter(name).takes_formula:
            raise UnsupportedError(
                f"{name} of family {family.name!r} is a vector, which has no formula; leave it out"
            )
    both = [name for name in inside if name in (family.first.name, *known)]
    if both:
        raise FormulaError(
            f"{NONLINEAR}() has a parameter {both[0]!r}, and so has family {family.name!r}; call it another name"
        )


def _read(formula: str | Formula, response: bool) -> Formula:
    return formula if isinstance(formula, Formula) else parse(formula, response=response)


def _read_right(parameter: str, formula: str | Formula) -> Formula:
    """A parameter's formula, which has no response: ``x``, ``~ x``, or ``zi ~ x`` with the parameter's own name."""
    if isinstance(formula, str):
        left, _, right = formula.rpartition("~")
        formula = f"~ {right}" if left.strip() in ("", parameter) else formula
    return _read(formula, response=False)
