"""Data of several responses from known truths, their effects and residuals correlated as stated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import pandas as pd

from hierbayes.answers.draws import Draws
from hierbayes.data.design import Design
from hierbayes.data.formulas import read_formulas
from hierbayes.data.tables import with_columns
from hierbayes.errors import DataError
from hierbayes.families import get_family
from hierbayes.joint_reading import check_alike, check_residuals, families_of, one_each, response_names
from hierbayes.known_parameters import (
    Array,
    Names,
    check_definite,
    check_parameters,
    drawn_columns,
    effects_table,
    learnt,
    names_of,
    numbers,
    refuse_drawn,
    stated_values,
    tie_matrix,
    with_effects,
)
from hierbayes.priors import PriorSet
from hierbayes.several import JointSpec, by_response, resolve_joint, with_common_levels
from hierbayes.spec import ModelSpec


def simulate_jointly(
    whole: JointSpec, frames: Mapping[str, pd.DataFrame], parameters: Mapping[str, Any], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of all responses with these drawn at known parameters, and the group effects drawn for them.

    A response that is a predictor of another is drawn first, and predicts the other as drawn.

    Parameters
    ----------
    frames : mapping of str to pandas.DataFrame
        Each response's rows.
    parameters : mapping of str to float
        As `known_joint_draws` takes them.

    Returns
    -------
    data, effects : pandas.DataFrame
        `data` has the rows of any response, nothing where one lacks them. `effects` has the response's name first.
    """
    _check_labels(frames)
    draws = known_joint_draws(whole, parameters, seed)
    named = {spec.response: spec for spec in whole.named}
    made: dict[str, pd.Series[Any]] = {}
    found: dict[str, pd.DataFrame] = {}
    for name in _in_turn(whole):
        frame, own = frames[name], whole.responses[name].layout.response.columns
        drawn = {column: values for column, values in made.items() if column in frame and column not in own}
        for column, values in drawn.items():
            at = values if values.index.equals(frame.index) else values.reindex(frame.index)
            frame = frame.assign(**{column: at.where(at.notna(), frame[column])})
        design: Design = named[name].layout.bind(frame)
        columns = drawn_columns(named[name], draws, design, frame, seed)
        found[name] = with_columns(frame, columns)
        made |= {column: found[name][column] for column in columns}
    effects = by_response({name: effects_table(spec, draws) for name, spec in named.items()}).fillna("")
    return _together(found.values()), effects


def simulate_joint_design(
    formulas: Sequence[Any],
    data: Any,
    family: Any,
    link: Any,
    parameters: Mapping[str, Any],
    seed: int,
    matrices: Mapping[str, Any],
    rescor: bool,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As `simulate_jointly`, for rows that have no responses yet: the formulas' left sides name the new columns."""
    names = response_names(formulas)
    specs: dict[str, ModelSpec] = {}
    frames: dict[str, pd.DataFrame] = {}
    each = zip(
        names,
        formulas,
        families_of(family, names),
        one_each(link, len(names), "link"),
        strict=True,
    )
    for name, formula, given, given_link in each:
        found, links = get_family(given, given_link)
        own = {key.removeprefix(f"{name}."): value for key, value in parameters.items()}
        read = read_formulas(formula, found)
        specs[name], frames[name], _ = learnt(read, data, found, links, own, matrices)
        if rescor:
            check_residuals(name, specs[name], specs[name].layout.bind(frames[name]))
    if rescor:
        check_alike(specs)
    whole = resolve_joint(with_common_levels(specs, frames), PriorSet(), rescor)
    return simulate_jointly(whole, frames, parameters, seed)


def known_joint_draws(whole: JointSpec, parameters: Mapping[str, Any], seed: int) -> Draws:
    """One draw of the schema of all responses at known parameters, with group effects drawn from their distribution.

    Parameters
    ----------
    parameters : mapping of str to float
        By the names of ``JointFit.summary``: ``"math.Intercept"``, ``"math.sd[school, Intercept]"``, …; a correlation
        such as ``"cor[school, math_Intercept, reading_Intercept]"`` or ``"rescor[math, reading]"`` is 0 unless given.

    Raises
    ------
    DataError
        For a parameter that is absent, unknown or out of range.
    """
    for spec in whole.responses.values():
        refuse_drawn(spec)
    given = numbers(parameters)
    across = {one.name: one for one in whole.across()}
    check_parameters(names_of_all(whole), given)
    values: dict[str, Array] = {}
    pairs: dict[str, dict[tuple[int, ...], float]] = {v.name: {} for v in whole.tie_variables}
    for name, spec in whole.responses.items():
        shown = {q.name: whole.shown_name(name, q.name) for q in spec.quantities}
        own = {here: given[joint] for here, joint in shown.items() if joint in given}
        stated = stated_values(spec, own)
        values |= {new.name: stated[old.name] for old, new in whole.renamed[name] if old.name in stated}
        for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
            place, chosen = whole.places_of(name, tie)
            for q in (q for q in spec.quantities if q.variable.name == variable.name):
                i, j = q.place
                pairs[whole.tie_variables[place].name][chosen[i], chosen[j]] = own.get(q.name, 0.0)
    for one in across.values():
        pairs.setdefault(one.variable.name, {})[one.place] = given.get(one.name, 0.0)
    for tie, variable in zip(whole.ties, whole.tie_variables, strict=True):
        values[variable.name] = tie_matrix(whole.named[0], tie, pairs[variable.name], values)
    values = with_effects(whole.named, values, seed)
    if whole.residuals is not None:
        name, matrix = whole.residuals.variable.name, np.eye(len(whole.responses))
        for (i, j), value in pairs[name].items():
            matrix[i, j] = matrix[j, i] = value
        check_definite(matrix, "the residuals")
        values[name] = matrix[None]
    return Draws(values, 1, 1)


def names_of_all(whole: JointSpec) -> Names:
    """The names of all responses' parameters, as `JointFit.summary` has them."""
    parts = [names_of(spec).called(partial(whole.shown_name, name)) for name, spec in whole.responses.items()]
    names = reduce(Names.beside, parts)
    return replace(names, correlations=(*names.correlations, *(one.name for one in whole.across())))


def _in_turn(whole: JointSpec) -> list[str]:
    """The responses, each after those that predict it."""
    columns = {name: set(spec.layout.response.columns) for name, spec in whole.responses.items()}
    reads = {name: set(spec.layout.columns) - columns[name] for name, spec in whole.responses.items()}
    before = {name: [other for other in columns if reads[name] & columns[other]] for name in columns}
    try:
        return [*TopologicalSorter(before).static_order()]
    except CycleError as circle:
        raise DataError(
            f"{', '.join(dict.fromkeys(circle.args[1]))} predict each other, so there is no order to draw them in; "
            "leave one of them out of another's formula"
        ) from None


def _check_labels(frames: Mapping[str, pd.DataFrame]) -> None:
    """Refuse rows that lack a response and can't be told from others by their labels."""
    first, *others = frames.values()
    alike = all(frame.index.equals(first.index) for frame in others)
    if not alike and not all(frame.index.is_unique for frame in frames.values()):
        raise DataError(
            "rows that lack a response are known by their labels, and some labels stand twice; number the rows, "
            "data.reset_index(drop=True)"
        )


def _together(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all responses in one table; of a column that several have, the first that has a value."""
    found = list(tables)
    columns = dict.fromkeys(column for table in found for column in table)
    return reduce(pd.DataFrame.combine_first, found)[[*columns]]
