"""What a response settles: how many parameters its family has, by categories and by additions; and their formulas."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.design import MEAN, is_main
from hierbayes.data.response import categories_of, learn_response, response_values
from hierbayes.data.series import learn_series
from hierbayes.errors import DataError, FormulaError, UnsupportedError
from hierbayes.families import FAMILIES, Family
from hierbayes.families.bounds import WORDS, with_bounds
from hierbayes.families.known import with_rate, with_se
from hierbayes.families.nonlinear import nonlinear
from hierbayes.families.serial import with_series
from hierbayes.formula import Formula, caret
from hierbayes.formula.nonlinear import NONLINEAR, learnt_in

type Formulas = dict[str, Formula]


def settle(
    formulas: Mapping[str, Formula], frame: pd.DataFrame, family: Family, links: Mapping[str, str]
) -> tuple[Formulas, Family]:
    """The formula of every parameter, and the family with as many of them as the response has categories.

    Most families have the same parameters whatever the response, and come back as they are. Done twice it changes
    nothing more.

    Parameters
    ----------
    formulas : mapping of str to Formula
        As users write them.
    frame : pandas.DataFrame
        Complete training rows.
    family : Family
    links : mapping of str to str
        Of its parameters.

    Raises
    ------
    DataError, UnsupportedError
        Where the response has no categories that the family may have, or a formula is no parameter's.
    """
    if family.computed is not None:
        return dict(formulas), family
    settled, first = dict(formulas), formulas[MEAN]
    levels = _levels(first, frame, family)
    assert first.response is not None
    baseline = first.response.baseline
    if str(baseline) and family.baseline is not None:
        family = family.baseline(baseline.count, baseline.knots, bool(baseline.group))
    if levels and first.response.thresholds.equidistant:
        family = _equidistant(family, len(levels))
    if levels and first.specific and family.specific is not None:
        family = family.specific(len(levels) - 1)
        own = Formula(None, first.specific, (), (), columns=first.columns)
        settled |= {p.name: own for p in family.own if p.moves is not None}
    if levels and family.by_category is not None:
        family = family.by_category(levels)
    if family.components:
        settled = _a_formula_each(settled, family)
    _check_names(settled, family)
    if family.known and all(p.name in settled for p in family.known):
        return settled, family
    settled, family = _with_known(settled, frame, family)
    return _with_nonlinear(settled, _with_series(settled, frame, family), family.with_links(links))


def _with_nonlinear(formulas: Formulas, family: Family, links: Mapping[str, str]) -> tuple[Formulas, Family]:
    """The family with the parameters of nonlinear predictors in the place of what they are of."""
    expressions = {name: f.nonlinear for name, f in formulas.items() if f.nonlinear is not None}
    if not expressions:
        return formulas, family
    if family.components:
        raise UnsupportedError(
            f"family {family.name!r} has a linear predictor for each of several parts, and takes no {NONLINEAR}(…)"
        )
    made = nonlinear(family, expressions, links)
    first = formulas[MEAN]
    texts = {
        parameter.name: Formula(None, "0", (), (text,), columns=first.columns)
        for parameter, text in made.stated
    }
    return formulas | texts, made.family


def _with_series(formulas: Formulas, frame: pd.DataFrame, family: Family) -> Family:
    """The family with the correlation of residuals within series, where the response's formula has one."""
    first = formulas[MEAN]
    term = first.residuals
    if term is None or family.variant == term.kind:
        return family
    reason = ""
    if not family.normal or family.log_response:
        reason = f"residuals of family {family.name!r} cannot be correlated; those of 'gaussian' can"
    if family.known or any(name in first.stated for name in WORDS):
        reason = (
            f"{term.kind}() goes with no standard errors and no limits of rows; leave se(…), cens(…) or trunc(…) "
            "out"
        )
    elif not reason and first.response is not None and "weights" in dict(first.response.additions):
        reason = f"{term.kind}() goes with no weights(…); leave them out"
    if reason:
        raise FormulaError(caret(first.text, term.position, reason))
    return with_series(family, term, learn_series(term, frame).labels)


def _with_known(formulas: Formulas, frame: pd.DataFrame, family: Family) -> tuple[Formulas, Family]:
    """The family with the parameters that rows state, each an offset without coefficients."""
    first = formulas[MEAN]
    stated = first.stated
    if "se" in stated:
        family = _with_se(formulas, family, "sigma" in stated)
    if "rate" in stated:
        _need(family, "rate", bool(family.grows), [f.name for f in FAMILIES.values() if f.grows])
        family = with_rate(family)
    ends = tuple(name for name in WORDS if name in stated)
    if ends:
        addition = "cens" if "cens" in stated else "trunc"
        _need(family, addition, family.tails is not None, [f.name for f in FAMILIES.values() if f.tails])
        family = with_bounds(family, ends)
    if family.known_from is not None:
        found = family.known_from(_response(first, frame, family))
        stated = stated | {name: repr(value) for name, value in found.items()}
    known = {p.name: Formula(None, "0", (), (stated[p.known],), columns=first.columns) for p in family.known}
    return formulas | known, family


def _response(formula: Formula, frame: pd.DataFrame, family: Family) -> NDArray[np.float64]:
    """The responses of the training rows, checked against the family's support."""
    assert formula.response is not None
    if not set(formula.response_columns) <= set(frame.columns):
        raise DataError(
            f"family {family.name!r} learns its baseline from the response {formula.response.expression!r}, and the "
            "rows have none; give them a column of that name"
        )
    link = family.first.link
    response = learn_response(formula, frame, family, link)
    found = response_values(response, frame)
    assert found is not None
    return found


def _with_se(formulas: Formulas, family: Family, beside_sigma: bool) -> Family:
    _need(family, "se", family.takes_se, [f.name for f in FAMILIES.values() if f.takes_se])
    if "sigma" in formulas and not beside_sigma:
        raise UnsupportedError(
            "se(…) says what sigma is in every row, so it has no formula; leave that out, or write se(…, sigma=True) "
            "for a residual standard deviation beside the standard errors"
        )
    return with_se(family, beside_sigma)


def _need(family: Family, addition: str, takes: bool, others: Sequence[str]) -> None:
    if not takes:
        raise UnsupportedError(f"family {family.name!r} takes no {addition}(…); {', '.join(others)} do")


def _levels(formula: Formula, frame: pd.DataFrame, family: Family) -> tuple[Any, ...]:
    """The categories of a response, none where it has none: the values of a column, or several columns' names."""
    assert formula.response is not None
    columns = formula.response.columns
    if family.support.columns:
        return columns if len(columns) > 1 else ()
    some = family.support.categories and columns and columns[0] in frame
    return categories_of(frame[columns[0]], family) if some else ()


def _equidistant(family: Family, categories: int) -> Family:
    if family.equidistant is None:
        raise UnsupportedError(
            f'family {family.name!r} has no evenly spaced thresholds; leave "equidistant" out, or take '
            + " or ".join(name for name, other in FAMILIES.items() if other.equidistant)
        )
    return family.equidistant(categories)


def _a_formula_each(formulas: Formulas, family: Family) -> Formulas:
    """The bare formula for each component that has none of its own, and none for the first parameter."""
    bare = formulas[MEAN]
    own = replace(bare, response=None)
    nothing = Formula(bare.response, "0", (), (), text=bare.text, columns=bare.columns)
    found = {MEAN: nothing} | dict.fromkeys(family.components, own)
    return found | {name: formula for name, formula in formulas.items() if not is_main(name)}


def as_written(formulas: Formulas, family: Family) -> Formulas:
    """What settles to these formulas: the first component's is the bare one, which others have without a word."""
    if not family.components:
        return formulas
    first = formulas[family.components[0]]
    told = {
        name: formula
        for name, formula in formulas.items()
        if not is_main(name) and not (name in family.components and formula == first)
    }
    return {MEAN: replace(first, response=formulas[MEAN].response)} | told


def _check_names(formulas: Formulas, family: Family) -> None:
    known = [parameter.name for parameter in family.parameters]
    inside = learnt_in(f.nonlinear for f in formulas.values())
    for name in formulas:
        if name not in (*known, *inside):
            have = ", ".join(known)
            raise UnsupportedError(f"family {family.name!r} has no parameter {name!r}; it has {have}")
