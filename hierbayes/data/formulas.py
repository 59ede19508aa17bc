"""The formula of each parameter, from what a user gave."""

from collections.abc import Mapping

from hierbayes.data.design import MEAN
from hierbayes.errors import FormulaError, UnsupportedError
from hierbayes.families import Family
from hierbayes.formula import Formula, parse

type Formulas = str | Formula | Mapping[str, str | Formula]


def read_formulas(formula: Formulas, family: Family) -> dict[str, Formula]:
    """The formula of each parameter, the mean's first.

    Raises
    ------
    FormulaError
        When a text cannot be read, or none is the mean's.
    UnsupportedError
        For a parameter that the family hasn't got.
    """
    if not isinstance(formula, Mapping):
        return {MEAN: _read(formula, response=True)}
    if MEAN not in formula:
        raise FormulaError(
            f"the formulas need one for {MEAN!r}, the mean; got {', '.join(map(repr, formula)) or 'none'}"
        )
    known = [auxiliary.name for auxiliary in family.own]
    for name in formula:
        if name != MEAN and name not in known and family.by_category is None:
            have = ", ".join([MEAN, *known])
            raise UnsupportedError(f"family {family.name!r} has no parameter {name!r}; it has {have}")
        if name in known and not family.parameter(name).takes_formula:
            raise UnsupportedError(
                f"{name} of family {family.name!r} is a vector, which has no formula; leave it out"
            )
    others = {name: _read_right(name, text) for name, text in formula.items() if name != MEAN}
    return {MEAN: _read(formula[MEAN], response=True)} | others


def _read(formula: str | Formula, response: bool) -> Formula:
    return formula if isinstance(formula, Formula) else parse(formula, response=response)


def _read_right(parameter: str, formula: str | Formula) -> Formula:
    """A parameter's formula, which has no response: ``x``, ``~ x``, or ``zi ~ x`` with the parameter's own name."""
    if isinstance(formula, str):
        left, _, right = formula.rpartition("~")
        formula = f"~ {right}" if left.strip() in ("", parameter) else formula
    return _read(formula, response=False)
