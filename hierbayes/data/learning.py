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
from hierbayes.data.encoding import describe_rows, learn_encoding, learn_number
from hierbayes.data.factors import learn_factors
from hierbayes.data.ranges import learn_ranges
from hierbayes.data.response import addition_values, learn_response
from hierbayes.data.spread import Spread, spread_of
from hierbayes.data.tables import plain_columns, read_columns
from hierbayes.errors import DataError, DataWarning
from hierbayes.families import Family
from hierbayes.formula import Formula

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measures:
    """Means and spreads of one linear predictor's columns; ``+`` joins the rows of two tables.

    Attributes
    ----------
    x : Spread
        Of the population-level columns.
    z : tuple of Spread
        Of each factor's effect columns.
    offset : Spread
        Of the offsets' sum, one column.
    """

    x: Spread
    z: tuple[Spread, ...]
    offset: Spread

    def __add__(self, other: "Measures") -> "Measures":
        z = tuple(mine + theirs for mine, theirs in zip(self.z, other.z, strict=True))
        return Measures(self.x + other.x, z, self.offset + other.offset)


def complete_rows(formulas: Mapping[str, Formula], data: Any) -> pd.DataFrame:
    """The columns of all formulas, less the rows with a missing value in any of them: one filter for everything.

    Raises
    ------
    DataError
        For an absent column (but for the response's in `DesignRows`), one without any value, or when no complete
        row is left.
    """
    design_only = isinstance(data, DesignRows)
    response = distinct(formula.response_columns for formula in formulas.values())
    frame = read_columns(data, columns_of(formulas), optional=response if design_only else ())
    missing = frame.isna()
    counts = missing.sum()
    keep = ~missing.any(axis=1)
    report_gaps(len(frame), int(keep.sum()), counts)
    return settle_types(formulas, frame[keep], counts) if counts.any() else frame


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


def learn(formulas: Mapping[str, Formula], frame: pd.DataFrame, family: Family, link: str) -> Layout:
    """Learn the layout of a model from complete training rows.

    Parameters
    ----------
    formulas : mapping of str to Formula
        The mean's formula under ``"mu"``, others under their parameter's name.
    frame : pandas.DataFrame
        As `complete_rows` returns it.
    family : Family
    link : str

    Raises
    ------
    DataError
        When a column cannot serve: not numeric and not categorical, infinite, outside the family's support, …
    """
    layout = draft(formulas, frame, family, link)
    weights = addition_values(layout.response.weights, frame, "weights")
    settled = {}
    for name, predictor in layout.predictors.items():
        x = predictor.common.matrix(frame)
        z = [factor.matrix(frame) for factor in predictor.factors]
        measures = measure(x, z, offset_of(predictor.offsets, frame), weights)
        settled[name] = settle(predictor, measures)
        scaled = (x - settled[name].centres) / settled[name].scales
        check_rank(settled[name], measures.x, scaled.T @ scaled, len(frame))
    return replace(layout, predictors=MappingProxyType(settled))


def draft(formulas: Mapping[str, Formula], frame: pd.DataFrame, family: Family, link: str) -> Layout:
    """A layout whose columns are not measured yet: means 0, scales 1."""
    _check_predictors(formulas, frame)
    response = learn_response(formulas[MEAN], frame, family, link)
    predictors = {name: _draft_predictor(formula, frame) for name, formula in formulas.items()}
    kinds = {name: kind_of(frame[name]) for name in distinct(f.predictor_columns for f in formulas.values())}
    ranges = learn_ranges(formulas.values(), frame)
    return Layout(
        MappingProxyType(dict(formulas)),
        MappingProxyType(predictors),
        response,
        MappingProxyType(kinds),
        MappingProxyType(ranges),
    )


def _draft_predictor(formula: Formula, frame: pd.DataFrame) -> PredictorLayout:
    common = learn_encoding(formula.common, frame)
    p = len(common.labels)
    offsets = tuple(learn_number(text, frame, "an offset") for text in formula.offsets)
    return PredictorLayout(common, np.zeros(p), np.ones(p), learn_factors(formula, frame), offsets, 0.0)


def measure(x: Array, z: Sequence[Array], offset: Array, weights: Array | None) -> Measures:
    """Measure one linear predictor's columns over rows: x (n, p), each factor's z (n, q), offset (n,)."""
    return Measures(
        spread_of(x, weights),
        tuple(spread_of(columns, weights) for columns in z),
        spread_of(offset[:, None], weights),
    )


def settle(layout: PredictorLayout, measures: Measures) -> PredictorLayout:
    """The layout with its columns' means and scales."""
    factors = tuple(
        replace(factor, means=tuple(spread.means.tolist()), scales=tuple(spread.scales.tolist()))
        for factor, spread in zip(layout.factors, measures.z, strict=True)
    )
    return replace(
        layout,
        means=measures.x.means,
        scales=measures.x.scales,
        factors=factors,
        offset_mean=float(measures.offset.means[0]),
    )


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


def check_rank(layout: PredictorLayout, spread: Spread, gram: Array, n: int) -> None:
    """Refuse population-level columns that determine each other, and name them.

    Parameters
    ----------
    spread : Spread
        Of the columns.
    gram : ndarray, (p, p)
        Cross-products of the columns, centred and scaled, over n rows.
    """
    p = len(layout.coefficients)
    if p == 0:
        return
    for j, name in enumerate(layout.coefficients):
        if spread.low[j] == spread.high[j] == 0:
            raise DataError(
                f"column {name!r} is 0 in every row, so its coefficient has no meaning; leave it out"
            )
        if layout.intercept is not None and j != layout.intercept and spread.constant[j]:
            raise DataError(f"column {name!r} is constant, as the intercept is; leave one of them out")
    norms = np.sqrt(np.diagonal(gram))
    values, vectors = np.linalg.eigh(gram / np.outer(norms, norms))
    null = values < 1e-10 * max(values[-1], 1.0)
    if not null.any():
        return
    names = [layout.coefficients[j] for j in np.flatnonzero(np.abs(vectors[:, null]).max(axis=1) > 1e-6)]
    raise DataError(
        f"the columns {', '.join(map(repr, names))} determine each other (rank {p - int(null.sum())} of {p}, {n} "
        "rows), so their coefficients have no separate meaning; leave one out"
    )
