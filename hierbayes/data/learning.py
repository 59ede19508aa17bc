"""Complete training rows → Layout: encodings and levels from the rows, means and spreads from sums over them.

`draft` learns what the rows' values say (levels, knots, what stands for 0 and 1); `measure` sums up, additively,
what their number and sizes say; `settle` joins the two. `learn` is the three for one table.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype

from hierbayes.data.bounds import check_bounds
from hierbayes.data.design import (
    MEAN,
    PACKAGE,
    Layout,
    PredictorLayout,
    columns_of,
    distinct,
    kind_of,
    offset_of,
)
from hierbayes.data.designrows import DesignRows
from hierbayes.data.encoding import Encoding, describe_rows, intercept_label, learn_encoding, learn_number
from hierbayes.data.factors import Factor, learn_factors
from hierbayes.data.labels import check_labels
from hierbayes.data.margins import ROUNDS, Columns, draft_columns
from hierbayes.data.monotonic import refuse_unordered
from hierbayes.data.ranges import learn_ranges
from hierbayes.data.response import ResponseLayout, addition_values, learn_response, response_values
from hierbayes.data.spread import Spread, spread_of
from hierbayes.data.stated import Stated, needless_ends, unasked_columns
from hierbayes.data.tables import column_names, plain_columns, read_columns, with_columns
from hierbayes.errors import DataError, DataWarning, FormulaError, UnsupportedError
from hierbayes.families import FAMILIES, Family, Parameter
from hierbayes.formula import Formula, caret, names_in
from hierbayes.formula.latent import MISSING, LatentTerm, latent_terms, names_outside
from hierbayes.formula.monotonic import monotonic_terms
from hierbayes.formula.syntax import read_expression
from hierbayes.spelling import meant

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measures:
    """Means and spreads of one linear predictor's inner columns; ``+`` joins the rows of two tables.

    Attributes
    ----------
    x : Spread
        Of the population-level columns, as residuals as far as they are known.
    z : tuple of Spread
        Of each factor's effect columns, likewise.
    offset : Spread
        Of the offsets' sum, one column.
    """

    x: Spread
    z: tuple[Spread, ...]
    offset: Spread

    def __add__(self, other: "Measures") -> "Measures":
        z = tuple(mine + theirs for mine, theirs in zip(self.z, other.z, strict=True))
        return Measures(self.x + other.x, z, self.offset + other.offset)


def complete_rows(formulas: Mapping[str, Formula], data: Any, family: Family | None = None) -> pd.DataFrame:
    """The columns of all formulas, less the rows with a missing value in any of them: one filter for everything.

    Raises
    ------
    DataError
        For an absent column (but for the response's in `DesignRows`), one without any value, or when no complete
        row is left.
    """
    design_only = isinstance(data, DesignRows)
    response = distinct(formula.response_columns for formula in formulas.values())
    optional = distinct([response, *(unasked_columns(formula) for formula in formulas.values())])
    stated = response if family is not None and family.support.categories else ()
    _check_nonlinear(formulas, data)
    frame = read_columns(
        data,
        columns_of(formulas),
        optional=optional if design_only else (),
        stated=(*stated, *_ordered_columns(formulas)),
    )
    frame = _with_order(formulas, frame, stated)
    missing = _missing(formulas, frame)
    frame = _with_gaps(frame, missing)
    counts = missing.sum()
    keep = ~missing.any(axis=1)
    report_gaps(len(frame), int(keep.sum()), counts)
    if not counts.any():
        return frame
    settled = settle_types(formulas, frame[keep], counts)
    told = [name for name in stated if name in frame and isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return with_columns(settled, {name: frame[name][keep] for name in told})


def _check_nonlinear(formulas: Mapping[str, Formula], data: Any) -> None:
    """Refuse a name in ``nl()`` that is neither a column nor a parameter with a formula."""
    for formula in formulas.values():
        if formula.nonlinear is None:
            continue
        have = column_names(data)
        for name in formula.nonlinear.columns:
            if name not in have:
                near = meant(name, [*formula.nonlinear.parameters, *have])
                hint = f"did you mean {' or '.join(near)}? " if near else ""
                place = dict(formula.columns)[name]
                message = (
                    f"{name} is neither a column of the data nor a parameter with a formula; {hint}Columns are "
                    f'{", ".join(have)}; a parameter has a formula of its own: {{"mu": …, "{name}": "~ 1"}}'
                )
                raise FormulaError(caret(formula.text, place, message))


def _missing(formulas: Mapping[str, Formula], frame: pd.DataFrame) -> pd.DataFrame:
    """What is missing in rows (n,) that need it: the upper end of an interval is, where the response is one."""
    missing = frame.isna()
    for formula in formulas.values():
        names, unneeded = needless_ends(formula, frame)
        missing.loc[unneeded, list(names)] = False
        errors = names_in(formula.stated["se"]) if formula.imputed_columns and "se" in formula.stated else ()
        missing.loc[_without_response(formula, frame), list(errors)] = False
    missing[[name for name in _drawn_columns(formulas) if name in frame]] = False
    return missing


def _without_response(formula: Formula, frame: pd.DataFrame) -> NDArray[np.bool_]:
    """The rows whose response is missing and drawn (n,): none of a design, which has no response at all."""
    columns = [name for name in formula.imputed_columns if name in frame]
    return np.asarray(frame[columns].isna().any(axis=1).to_numpy(), np.bool_)


def _drawn_columns(formulas: Mapping[str, Formula]) -> tuple[str, ...]:
    """The columns whose missing values are drawn, and that nothing else needs."""
    drawn: set[str] = set()
    needed: set[str] = set()
    for formula in formulas.values():
        drawn |= {*formula.imputed_columns}
        for text in formula.encoded_texts:
            node = read_expression(text)
            drawn |= {term.column for term in latent_terms(text) if term.function == MISSING}
            needed |= set(names_outside(node)) - {*formula.imputed_columns}
        needed |= {*formula.grouping_columns}
        needed |= {name for text in formula.stated.values() for name in names_in(text)}
    return tuple(name for name in drawn if name not in needed)


def _with_gaps(frame: pd.DataFrame, missing: pd.DataFrame) -> pd.DataFrame:
    """The rows, whole numbers of which some may stay missing as numbers that can."""
    stay = (frame.isna() & ~missing).any()
    whole = [name for name in frame.columns if stay[name] and infer_dtype(frame[name]) == "integer"]
    return with_columns(frame, {name: frame[name].astype(np.float64) for name in whole}) if whole else frame


def _ordered_columns(formulas: Mapping[str, Formula]) -> tuple[str, ...]:
    """The columns that have monotonic effects."""
    return distinct(
        [term.column for term in monotonic_terms(formula.common)] for formula in formulas.values()
    )


def _with_order(formulas: Mapping[str, Formula], frame: pd.DataFrame, stated: Sequence[str]) -> pd.DataFrame:
    """The rows with the categories of monotonic effects, checked to be ordered, as plain as all others."""
    for formula in formulas.values():
        refuse_unordered(formula.common, frame)
    plain = [name for name in _ordered_columns(formulas) if name not in stated]
    return with_columns(frame, dict(plain_columns(frame[plain]))) if plain else frame


def report_gaps(rows: int, complete: int, missing: "pd.Series[int]") -> None:
    """Warn of rows that are left out, and refuse a table of which none is left.

    Parameters
    ----------
    rows, complete : int
        How many there are, and how many of them have a value in every column.
    missing : pandas.Series of int
        How many values each column misses.
    """
    if rows == 0:
        raise DataError("the data have no rows; check how they were read or filtered")
    empty = missing.index[missing == rows]
    if len(empty):
        raise DataError(f"column {empty[0]!r} has no values at all; leave it out of the formula or fill it")
    if complete == rows:
        return
    words = ", ".join(f"{name} ({missing[name]})" for name in missing.index if missing[name])
    if complete == 0:
        raise DataError(
            f"no row is complete: every row has a missing value in one of {words}; fill one of them or leave it out"
        )
    warnings.warn(
        f"{rows - complete} of {rows} rows left out for missing values in {words}; "
        "fill them if those rows should count",
        DataWarning,
        skip_file_prefixes=(PACKAGE,),
    )


def settle_types(
    formulas: Mapping[str, Formula], frame: pd.DataFrame, missing: "pd.Series[int]"
) -> pd.DataFrame:
    """Complete rows with the types that their columns would have if the others had never been there."""
    return plain_columns(_whole_levels(formulas, frame, missing > 0))


def _whole_levels(
    formulas: Mapping[str, Formula], frame: pd.DataFrame, gaps: "pd.Series[bool]"
) -> pd.DataFrame:
    """Grouping columns of whole numbers that pandas holds as floats because of their gaps, whole again."""
    predictors = distinct(formula.predictor_columns for formula in formulas.values())
    grouping = distinct(formula.grouping_columns for formula in formulas.values())
    whole = {
        name: np.int64
        for name in grouping
        if gaps[name] and name not in predictors and _holds_whole_numbers(frame[name])
    }
    return frame.astype(whole) if whole else frame


def _holds_whole_numbers(column: pd.Series) -> bool:
    return bool(pd.api.types.is_float_dtype(column)) and bool(
        (np.isfinite(column) & (column == np.floor(column))).all()
    )


def learn(
    formulas: Mapping[str, Formula],
    frame: pd.DataFrame,
    family: Family,
    link: str,
    matrices: Mapping[str, Any] = MappingProxyType({}),
) -> Layout:
    """Learn the layout of a model from complete training rows.

    Parameters
    ----------
    formulas : mapping of str to Formula
        The mean's formula under ``"mu"``, others under their parameter's name.
    frame : pandas.DataFrame
        As `complete_rows` returns it.
    family : Family
    link : str
    matrices : mapping of str to data frame
        The known covariances between levels that the formulas name.

    Raises
    ------
    DataError
        When a column cannot serve: not numeric and not categorical, infinite, outside the family's support, …
    """
    if formulas[MEAN].imputed_columns:
        frame = _missing_last(formulas, frame)
    layout = draft(formulas, frame, family, link, matrices)
    weights = addition_values(layout.response.weights, frame, "weights")
    settled = {}
    for name, drafted in layout.predictors.items():
        factors = tuple(factor.counted(frame, weights) for factor in drafted.factors)
        predictor = replace(drafted, factors=factors)
        x = predictor.common.matrix(frame)
        z = [factor.matrix(frame) for factor in predictor.factors]
        settled[name] = learn_columns(predictor, x, z, offset_of(predictor.offsets, frame), weights)
    return replace(layout, predictors=MappingProxyType(settled), rows=len(observed_rows(formulas, frame)))


def learn_columns(
    layout: PredictorLayout, x: Array, z: Sequence[Array], offset: Array, weights: Array | None
) -> PredictorLayout:
    """The layout with its columns measured over rows: x (n, p), each factor's z (n, q), offset (n,)."""
    several = any(any(columns.margins) for columns in _columns(layout))
    for _ in range(ROUNDS if several else 1):
        layout = settle(layout, measure(layout, x, z, offset, weights))
    return layout


def _columns(layout: PredictorLayout) -> list[Columns]:
    return [layout.columns, *(factor.columns for factor in layout.factors)]


def draft(
    formulas: Mapping[str, Formula],
    frame: pd.DataFrame,
    family: Family,
    link: str,
    matrices: Mapping[str, Any] = MappingProxyType({}),
) -> Layout:
    """A layout whose columns are not measured yet."""
    known = {p.name: p for p in family.known}
    learnt = {name: formula for name, formula in formulas.items() if name not in known}
    _check_predictors(learnt, frame)
    response = _learn_response(formulas[MEAN], frame, family, link)
    check_labels(frame)
    columns = distinct(f.predictor_columns for f in learnt.values())
    intercept = intercept_label(columns)
    predictors = {
        name: _draft_known(known[name], formula, frame)
        if name in known
        else _draft_predictor(formula, frame, intercept, matrices)
        for name, formula in formulas.items()
    }
    _check_measurements(predictors)
    response = _over_one(response, predictors, family, link, frame)
    check_bounds(response, {name: predictors[name].offsets for name in known}, family, frame)
    if len(known) == len(family.own) and not (
        predictors[MEAN].coefficients or predictors[MEAN].factors or predictors[MEAN].curves
    ):
        raise FormulaError(
            f"{formulas[MEAN].text.strip()!r} leaves nothing to learn: no intercept, term or group term, and family "
            f"{family.name!r} has no other parameter; write 1 for the intercept alone, as in y ~ 1"
        )
    kinds = {name: kind_of(frame[name]) for name in columns}
    ranges = learn_ranges(learnt.values(), frame)
    return Layout(
        MappingProxyType(dict(formulas)),
        MappingProxyType(predictors),
        response,
        MappingProxyType(kinds),
        MappingProxyType(ranges),
    )


def observed_rows(formulas: Mapping[str, Formula], frame: pd.DataFrame) -> pd.DataFrame:
    """Complete rows less those whose response is missing and drawn."""
    return frame[~_without_response(formulas[MEAN], frame)] if formulas[MEAN].imputed_columns else frame


def _missing_last(formulas: Mapping[str, Formula], frame: pd.DataFrame) -> pd.DataFrame:
    """The rows, those below others whose response is missing.

    What nobody measured has no standard error, and any will do.
    """
    observed = observed_rows(formulas, frame)
    missing = frame[_without_response(formulas[MEAN], frame)]
    errors = names_in(formulas[MEAN].stated.get("se", "0"))
    return pd.concat([observed, missing.fillna(dict.fromkeys(errors, 1.0))])


def _learn_response(formula: Formula, frame: pd.DataFrame, family: Family, link: str) -> ResponseLayout:
    """The left-hand side, from the rows that have it."""
    if not formula.imputed_columns:
        return learn_response(formula, frame, family, link)
    _check_imputed(formula, family)
    observed = observed_rows({MEAN: formula}, frame)
    found = learn_response(formula, observed, family, link)
    missing, measured = frame[_without_response(formula, frame)], "se" in formula.stated
    labels = np.asarray(observed.index.to_numpy()) if measured else None
    return replace(found, missing=missing if len(missing) else None, measured=labels)


def _check_imputed(formula: Formula, family: Family) -> None:
    """Refuse missing responses of a family whose values are not any number of an interval."""
    if not family.imputable:
        known = ", ".join(name for name, other in FAMILIES.items() if other.imputable)
        raise UnsupportedError(
            f"missing values of a response are drawn where it is a number of a fixed interval, and that of family "
            f"{family.name!r} is not: mi() goes with {known}. Of others see fit_multiple"
        )
    if "se" in formula.stated and not FAMILIES[family.name].normal:
        raise UnsupportedError(f"mi(sd) is of a normal response, and this is {family.name}; leave sd out")
    if formula.residuals is not None:
        raise UnsupportedError(
            f"mi() is of rows one by one, and residuals are correlated by {formula.residuals}; leave one out"
        )


def _draft_predictor(
    formula: Formula, frame: pd.DataFrame, intercept: str, matrices: Mapping[str, Any]
) -> PredictorLayout:
    common = learn_encoding(formula.common, frame, intercept)
    offsets = tuple(learn_number(text, frame, "an offset") for text in formula.offsets)
    columns = draft_columns([common.terms], len(common.labels), lambda: common.matrix(frame))
    factors = learn_factors(formula, frame, intercept, matrices)
    for factor in factors:
        _check_steps(formula, factor, common)
    return PredictorLayout(common, columns, factors, offsets, 0.0)


def _check_steps(formula: Formula, factor: Factor, common: Encoding) -> None:
    """Refuse a monotonic effect of groups without the population-level one whose steps it has."""
    known = {effect.label: (effect.steps, effect.simplexes) for effect in common.monotonic}
    for effect in factor.monotonic:
        if known.get(effect.label) != (effect.steps, effect.simplexes):
            same = "id=" if effect.label in known and known[effect.label][0] == effect.steps else "levels="
            way = f"give both the same {same}" if effect.label in known else "add that one to the formula"
            raise FormulaError(
                f"{formula.text.strip()!r}: {effect.label} by {factor.name!r} has the steps of the population-level "
                f"{effect.label}; {way}"
            )


def _check_measurements(predictors: Mapping[str, PredictorLayout]) -> None:
    """Refuse a column that several formulas say was measured in different ways."""
    found: dict[str, LatentTerm] = {}
    for layout in predictors.values():
        for latent in layout.common.latents:
            term = found.setdefault(latent.column, latent.term)
            if term != latent.term:
                raise FormulaError(
                    f"{term.label} has sd={term.sd}{f', gr={term.group}' if term.group else ''} in one formula and "
                    f"sd={latent.term.sd}{f', gr={latent.term.group}' if latent.term.group else ''} in another; a "
                    "column has one measurement"
                )


def _draft_known(parameter: Parameter, formula: Formula, frame: pd.DataFrame) -> PredictorLayout:
    """What rows state: an offset without coefficients."""
    common = learn_encoding("0", frame, "")
    columns = draft_columns([common.terms], 0, lambda: common.matrix(frame))
    stated = Stated(parameter, formula.offsets[0])
    made_of = stated if set(stated.names) <= set(frame.columns) else stated.new_rows(frame)  # a design's rows
    return PredictorLayout(common, columns, (), (made_of,), 0.0)


def _over_one(
    response: ResponseLayout,
    predictors: Mapping[str, PredictorLayout],
    family: Family,
    link: str,
    frame: pd.DataFrame,
) -> ResponseLayout:
    """The response; of counts over a rate with the location and scale of those over one unit."""
    if "rate" not in {parameter.name for parameter in family.known}:
        return response
    y = response_values(response, frame)
    if y is None:
        return response
    rate = np.exp(offset_of(predictors["rate"].offsets, frame))
    weights = addition_values(response.weights, frame, "weights")
    weights = rate if weights is None else weights * rate
    location, scale = family.location_and_scale(y / rate, None, weights, link)
    return replace(response, location=location, scale=scale)


def measure(
    layout: PredictorLayout, x: Array, z: Sequence[Array], offset: Array, weights: Array | None
) -> Measures:
    """Measure one linear predictor's columns over rows: x (n, p), each factor's z (n, q), offset (n,)."""
    return Measures(
        spread_of(layout.columns.inner.inner_columns(x), weights),
        tuple(
            spread_of(factor.columns.inner.inner_columns(columns), _of_levels(weights, len(columns)))
            for factor, columns in zip(layout.factors, z, strict=True)
        ),
        spread_of(offset[:, None], weights),
    )


def _of_levels(weights: Array | None, rows: int) -> Array | None:
    """The weights of rows that are as often there as they have levels."""
    return None if weights is None else np.tile(weights, rows // max(len(weights), 1))


def settle(layout: PredictorLayout, measures: Measures) -> PredictorLayout:
    """The layout with what is now known of its columns."""
    factors = tuple(
        replace(factor, columns=factor.columns.settled(spread))
        for factor, spread in zip(layout.factors, measures.z, strict=True)
    )
    columns = layout.columns.settled(measures.x)
    return replace(layout, columns=columns, factors=factors, offset_mean=float(measures.offset.means[0]))


# -- checks before anything is learnt ---------------------------------------------------------------------------


def _check_predictors(formulas: Mapping[str, Formula], frame: pd.DataFrame) -> None:
    for name in distinct(formula.predictor_columns for formula in formulas.values()):
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(column):
            if column.nunique() == 1:
                raise DataError(
                    f"column {name!r} has the one value {column.iloc[0]!r}; it cannot be a predictor: leave it out"
                )
            continue
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
            kinds = " and ".join(sorted({type(value).__name__ for value in column.iloc[:1000]}))
            date = pd.api.types.is_datetime64_any_dtype(column)
            way_out = (
                "make it a number first, such as the days since a date"
                if date
                else "make it one of these first"
            )
            raise DataError(
                f"column {name!r} holds {kinds} values; a predictor is a column of numbers, booleans, text or "
                f"categories: {way_out}"
            )
        infinite = np.isinf(column.to_numpy(dtype=np.float64))
        if infinite.any():
            rows = describe_rows(frame.index[infinite])
            raise DataError(f"column {name!r} is infinite in {rows}; leave those rows out or correct them")
