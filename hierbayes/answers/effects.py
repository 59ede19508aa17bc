"""What predictors do to predictions: averages over rows, contrasts and slopes, averaged inside each draw.

The names are those of the R package marginaleffects (Arel-Bundock, Greifer & Heiss 2024, J. Statistical Software
111(9)): a comparison changes one predictor in every row and leaves the rest of the row as it is.
"""

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.comparison import ENTRIES
from hierbayes.answers.draws import Draws
from hierbayes.answers.latents import mean_values
from hierbayes.answers.predict import Request, as_scores, categories_of, choose_groups, predict_chunks
from hierbayes.answers.quantities import Quantities, beside, by_category, share_above
from hierbayes.data.design import PACKAGE, Design, drawn_rows
from hierbayes.data.encoding import Encoding
from hierbayes.data.latent import LatentRows
from hierbayes.data.levels import factorize
from hierbayes.data.places import Located
from hierbayes.data.stated import Stated
from hierbayes.data.tables import read_columns, with_columns
from hierbayes.errors import DataError, DataWarning
from hierbayes.formula import categories_in
from hierbayes.formula.latent import predictors_in
from hierbayes.formula.shapes import steps_in
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
STEP = 1e-5  # of a predictor's range: half the way over which a slope is taken
type Side = tuple[Any, Any]  # a key, and a predictor's value or values in the rows
COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {"difference": np.subtract, "ratio": np.divide}


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to average over, and the cells within which to average.

    Attributes
    ----------
    frame : pandas.DataFrame, (n, …)
        The columns that predictions read.
    cells : pandas.DataFrame, (k, …)
        The combinations of the columns that the averages are by; one row without columns for an overall average.
    weights : ndarray, (n, k)
        A cell's share of each row.
    training : pandas.DataFrame
        The training rows, whose range and levels the predictors have, as `as_predictors` gives them.
    drawn : mapping of str to LatentRows
        Where the rows are the training rows: whose drawn values are theirs, by predictor.
    """

    frame: pd.DataFrame
    cells: pd.DataFrame
    weights: Array
    training: pd.DataFrame
    drawn: Mapping[str, LatentRows]

    def others(self, name: str = "") -> Mapping[str, LatentRows]:
        """The drawn values of predictors but for one that is given others."""
        return {column: rows for column, rows in self.drawn.items() if column != name}


def read_rows(
    spec: ModelSpec,
    training: pd.DataFrame,
    rows: Any,
    by: str | Sequence[str] | None,
    request: Request,
    draws: Draws,
    design: Design,
) -> Rows:
    """The rows asked for, the training rows for None, cut into cells by the columns `by`.

    `design` is the training rows as arrays. The mean of a predictor's draws stands where one of them misses it.

    Raises
    ------
    DataError
        For an absent column, or no rows.
    """
    given = training if rows is None else rows
    frame = spec.layout.read_new(given, request.groups, "the rows", request.unknown)
    if not len(frame):
        raise DataError("there are no rows to average over; give one at least")
    drawn: dict[str, LatentRows] = {}
    if rows is None:
        drawn = {latent.column: drawn_rows(design, latent.column) for latent in spec.layout.latents}
        frame = with_columns(frame, mean_values(spec, draws, design))
    columns = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    training = as_predictors(spec, training)
    if not columns:
        return Rows(frame, pd.DataFrame(index=[0]), np.full((len(frame), 1), 1 / len(frame)), training, drawn)
    kept = "the fit keeps the model's columns alone; give the rows with it, rows=data"
    ways = {name: kept for name in columns if rows is None}
    labels = read_columns(given, columns, words="the rows", ways=ways)
    labels = labels.set_axis(frame.index)
    if labels.isna().any(axis=None):
        raise DataError(
            f"by names a column with missing values, {', '.join(columns)}; fill it or leave those rows out"
        )
    groups = labels.groupby(list(columns), observed=True, sort=True)
    codes = groups.ngroup().to_numpy()
    weights = np.zeros((len(frame), codes.max() + 1))
    weights[np.arange(len(frame)), codes] = 1.0
    first = labels.iloc[np.unique(codes, return_index=True)[1]].reset_index(drop=True)
    return Rows(frame, first, weights / weights.sum(axis=0), training, drawn)


def avg_predictions(spec: ModelSpec, draws: Draws, rows: Rows, request: Request) -> Quantities:
    """Predictions averaged over the rows of each cell, in every draw."""
    levels = categories_of(spec, request)
    draws = _thinned(draws, rows, levels)
    values = _averages(spec, draws, rows.frame, rows.weights, request, rows.others())
    return Quantities(
        by_category(rows.cells, levels), values, draws.chains, request.kind, bounded=bool(levels)
    )


def _thinned(draws: Draws, rows: Rows, levels: tuple[Any, ...], sides: int = 1) -> Draws:
    """Evenly spaced draws, as many as so large a table allows."""
    return draws.thinned(ENTRIES // (sides * len(rows.frame) * max(len(levels), 1)))


def avg_comparisons(
    spec: ModelSpec,
    draws: Draws,
    rows: Rows,
    request: Request,
    variables: Any = None,
    comparison: str = "difference",
) -> Quantities:
    """Averages of the predictions with a predictor at one value and at another, and their difference or ratio.

    Raises
    ------
    ValueError, DataError
    """
    if comparison not in COMPARISONS:
        raise ValueError(f"comparison must be one of {', '.join(COMPARISONS)}; got {comparison!r}")
    levels = categories_of(spec, request)
    draws = _thinned(draws, rows, levels, 2)
    sign = "-" if comparison == "difference" else "/"
    labels, columns = [], []
    for name, wanted in _choose_variables(spec, request, variables).items():
        contrasts = _contrasts(rows, name, wanted, sign)
        values = {key: value for low, high, _ in contrasts for key, value in (low, high)}
        averages = {
            key: _averages(
                spec,
                draws,
                _stating(spec, rows.frame, name, value),
                rows.weights,
                replace(request, side=side),
                rows.others(name),
            )
            for side, (key, value) in enumerate(values.items(), start=1)
        }
        for (low, _), (high, _), words in contrasts:
            labels.append(by_category(_labelled_cells(rows, name, words), levels))
            columns.append(COMPARISONS[comparison](averages[high], averages[low]))
    compared = np.hstack(columns)
    more = share_above(compared, 1.0 if comparison == "ratio" else 0.0)
    bounded = bool(levels) and comparison == "difference"
    labelled_rows = pd.concat(labels, ignore_index=True)
    return Quantities(labelled_rows, compared, draws.chains, comparison, bounded=bounded, more=more)


def avg_slopes(
    spec: ModelSpec, draws: Draws, rows: Rows, request: Request, variables: Any = None
) -> Quantities:
    """Derivatives of the predictions in numeric predictors, averaged over the rows of each cell, in every draw.

    Where a predictor is a grouping factor too, a row stays in its group.

    Raises
    ------
    DataError
        For a predictor that is a category, or one that enters by a step.
    """
    levels = categories_of(spec, request)
    draws = _thinned(draws, rows, levels, 2)
    labels, columns = [], []
    for name in _choose_numeric(spec, rows, request, variables):
        low, high = _sides(rows, name)
        width = high - low
        weights = rows.weights / width[:, None]
        own = _own_levels(spec, rows, name, request)
        above, below = (
            _averages(
                spec,
                draws,
                _stating(spec, rows.frame, name, values),
                weights,
                request,
                rows.others(name),
                own,
            )
            for values in (high, low)
        )
        labels.append(by_category(_labelled_cells(rows, name, "dY/dX"), levels))
        columns.append(above - below)
    values = np.hstack(columns)
    more = share_above(values)
    return Quantities(pd.concat(labels, ignore_index=True), values, draws.chains, "slope", more=more)


def slopes(spec: ModelSpec, draws: Draws, rows: Rows, request: Request, variables: Any = None) -> Quantities:
    """Derivatives of the predictions in numeric predictors, one a row and predictor, in every draw."""
    levels = categories_of(spec, request)
    draws = _thinned(draws, rows, levels, 2)
    labels, columns = [], []
    for name in _choose_numeric(spec, rows, request, variables):
        low, high = _sides(rows, name)
        own = _own_levels(spec, rows, name, request)
        above, below = (
            _averages(
                spec, draws, _stating(spec, rows.frame, name, values), None, request, rows.others(name), own
            )
            for values in (high, low)
        )
        terms = pd.DataFrame({"term": name, "contrast": "dY/dX", "row": rows.frame.index})
        labels.append(by_category(terms, levels))
        columns.append((above - below) / np.repeat(high - low, max(len(levels), 1)))
    values = np.hstack(columns)
    more = share_above(values)
    return Quantities(pd.concat(labels, ignore_index=True), values, draws.chains, "slope", more=more)


def _stating(spec: ModelSpec, frame: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    """Rows with other values of a predictor, which are true ones and not measured."""
    measured = [latent.term.sd for latent in spec.layout.latents if latent.column == name]
    return with_columns(frame, {name: values}).drop(columns=measured, errors="ignore")


def _averages(
    spec: ModelSpec,
    draws: Draws,
    frame: pd.DataFrame,
    weights: Array | None,
    request: Request,
    drawn: Mapping[str, LatentRows],
    own: Design | None = None,
) -> Array:
    """Predictions times weights (n, k) in every draw: (S, k); the predictions themselves without weights.

    Of probabilities those of all categories side by side: (S, k K).
    The levels are those of the frame, or of `own`; predictors' values in `drawn` are drawn ones.
    """
    design = _with_drawn(spec.layout.bind_new(frame, request.groups, request.unknown), drawn)
    if own is not None:
        design = _with_levels(design, own)
    count = len(frame) if weights is None else weights.shape[1]
    total = np.zeros((max(len(categories_of(spec, request)), 1), len(draws), count))
    for part, values in predict_chunks(spec, draws, design, request):
        each = np.moveaxis(values, -1, 0) if values.ndim > 2 else as_scores(spec, request, values)[None]
        if weights is None:
            total[:, :, part] = each
        else:
            total += each @ weights[part]
    return np.moveaxis(total, 0, -1).reshape(len(draws), -1)


def _own_levels(spec: ModelSpec, rows: Rows, name: str, request: Request) -> Design | None:
    """The rows as they are, where changing the predictor would put them into other groups."""
    layouts = spec.layout.predictors.values()
    factors = [factor for layout in layouts for factor in layout.factors if factor.name in request.groups]
    if not any(name in factor.level_columns for factor in factors):
        return None
    return spec.layout.bind_new(rows.frame, request.groups, request.unknown)


def _with_levels(design: Design, own: Design) -> Design:
    """The design with the levels of another of as many rows."""
    predictors = {}
    for parameter, bound in design.predictors.items():
        levels = own.predictors[parameter].factors
        factors = {name: factor.at_levels(levels[name]) for name, factor in bound.factors.items()}
        predictors[parameter] = replace(bound, factors=factors)
    return replace(design, predictors=predictors)


def _with_drawn(design: Design, drawn: Mapping[str, LatentRows]) -> Design:
    """The design with values of predictors that are drawn, in the place of measured ones and means."""
    predictors = {}
    for parameter, bound in design.predictors.items():
        own = {
            name: replace(rows, codes=drawn[name].codes) if name in drawn else rows
            for name, rows in bound.drawn.items()
        }
        predictors[parameter] = replace(bound, drawn=own)
    return replace(design, predictors=predictors) if drawn else design


def _labelled_cells(rows: Rows, name: str, contrast: str) -> pd.DataFrame:
    return beside(rows.cells, {"term": name, "contrast": contrast}, first=True)


# -- which predictors, which values -----------------------------------------------------------------------------


def predictor_columns(spec: ModelSpec, request: Request) -> tuple[str, ...]:
    """The columns that enter the model as predictors, offsets apart, in order of appearance."""
    encodings = _encodings(spec, request.groups)
    return tuple(dict.fromkeys(name for encoding in encodings for name in predictors_in(encoding.text)))


def _kind_columns(spec: ModelSpec) -> set[str]:
    """The columns that say of which kind levels are, and nothing else: a level of another kind is another level."""
    layouts = spec.layout.predictors.values()
    kinds = [f.kinds.column for layout in layouts for f in layout.factors if f.kinds is not None]
    read = {name for layout in layouts for name in predictors_in(layout.common.text)}
    return set(kinds) - read


def as_predictors(spec: ModelSpec, data: pd.DataFrame) -> pd.DataFrame:
    """Rows in which numbers that a formula makes categories of, as ``C(year)`` does, are categories."""
    encodings = _encodings(spec, choose_groups(spec, "all"))
    names = {name for encoding in encodings for name in categories_in(encoding.text)}
    return with_columns(
        data, {name: data[name].astype("category") for name in names if is_numeric(data[name])}
    )


def _encodings(spec: ModelSpec, groups: tuple[str, ...]) -> list[Encoding | Located | Stated]:
    layouts = spec.layout.predictors.values()
    varying = [
        encoding
        for layout in layouts
        for factor in layout.factors
        if factor.name in groups
        for encoding in factor.encodings
    ]
    offsets = [offset for layout in layouts for offset in layout.offsets]
    nonlinear = [offset for offset in offsets if isinstance(offset, Stated) and offset.is_predictor]
    return [*(layout.common for layout in layouts), *nonlinear, *varying]


def is_numeric(column: pd.Series) -> bool:
    """Whether a predictor is a number, not a category or a truth value."""
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def is_indicator(column: pd.Series) -> bool:
    """Whether a predictor is a number that is 0 or 1 in every row, and both in some."""
    return is_numeric(column) and set(column.unique()) == {0, 1}


def levels_of(column: pd.Series) -> list[Any]:
    """The values of a categorical predictor in their order: the first is the reference."""
    if pd.api.types.is_bool_dtype(column):
        return [False, True]
    return list(factorize(column)[0])


def _choose_variables(spec: ModelSpec, request: Request, variables: Any) -> Mapping[str, Any]:
    have = predictor_columns(spec, request)
    if variables is None:
        chosen: Mapping[str, Any] = dict.fromkeys(name for name in have if name not in _kind_columns(spec))
    elif isinstance(variables, Mapping):
        chosen = variables
    else:
        chosen = dict.fromkeys([variables] if isinstance(variables, str) else variables)
    unknown = [name for name in chosen if name not in have]
    if unknown or not chosen:
        what = f"{unknown[0]!r}, which is no predictor of this model" if unknown else "no predictor"
        raise DataError(f"variables names {what}; it has {', '.join(map(repr, have)) or 'none'}")
    return chosen


def _choose_numeric(spec: ModelSpec, rows: Rows, request: Request, variables: Any) -> list[str]:
    chosen = list(_choose_variables(spec, request, variables))
    numeric = [name for name in chosen if is_numeric(rows.training[name])]
    if variables is not None and len(numeric) < len(chosen):
        name = next(name for name in chosen if name not in numeric)
        raise DataError(f"{name!r} is categorical and has no slope; avg_comparisons compares its levels")
    if not numeric:
        raise DataError(
            "no predictor of this model is a number; avg_comparisons compares levels of categories"
        )
    return _without_steps(spec, request, numeric, asked=variables is not None)


def _without_steps(spec: ModelSpec, request: Request, names: list[str], asked: bool) -> list[str]:
    """The predictors whose predictions have a slope: a step has slope 0, but for where it is infinite.

    One that was asked for is refused, others are left out with a warning.
    """
    steps = {
        name: step
        for encoding in _encodings(spec, request.groups)
        for name, step in steps_in(encoding.text).items()
    }
    found = [name for name in names if name in steps]
    if not found:
        return names
    name, smooth = found[0], [name for name in names if name not in steps]
    words = (
        f"{name!r} enters by a step, {steps[name]}, which has no slope where it jumps; compare values on either side, "
        f"as in avg_comparisons({{{name!r}: (from, to)}})"
    )
    if asked or not smooth:
        raise DataError(words)
    warnings.warn(
        f"slopes are of {', '.join(smooth)} alone: {words}", DataWarning, skip_file_prefixes=(PACKAGE,)
    )
    return smooth


def _sides(rows: Rows, name: str) -> tuple[Array, Array]:
    """Values just below and above each row's own, inside the training range where the row is."""
    low, high = float(rows.training[name].min()), float(rows.training[name].max())
    values = rows.frame[name].to_numpy(dtype=np.float64)
    step = STEP * (high - low) if high > low else STEP * max(abs(high), 1.0)
    below, above = values - step, values + step
    # transformations such as splines and logarithms may end where the data do
    return (
        np.where((values >= low) & (below < low), np.minimum(low, values), below),
        np.where((values <= high) & (above > high), np.maximum(high, values), above),
    )


def _contrasts(rows: Rows, name: str, wanted: Any, sign: str) -> list[tuple[Side, Side, str]]:
    """Pairs of sides, from and to, with words for them."""
    column = rows.training[name]
    pair = isinstance(wanted, tuple | list)
    if pair and len(wanted) != 2:
        raise DataError(f"a contrast of {name!r} is a pair of values (from, to); got {wanted!r}")
    if is_numeric(column):
        if pair:
            return [((0, wanted[0]), (1, wanted[1]), f"{wanted[1]} {sign} {wanted[0]}")]
        if isinstance(wanted, str):
            raise DataError(
                f"a contrast of the number {name!r} is a step or a pair (from, to); got {wanted!r}"
            )
        if wanted is None and is_indicator(column):
            return [((0, 0), (1, 1), f"1 {sign} 0")]
        step = 1 if wanted is None else wanted
        values = rows.frame[name].to_numpy(dtype=np.float64)
        return [((0, values), (1, values + step), f"+{step:g}")]
    levels = levels_of(column)
    if pair:
        pairs = [(wanted[0], wanted[1])]
    elif wanted == "pairwise":
        pairs = list(itertools.combinations(levels, 2))
    elif wanted in (None, "reference"):
        pairs = [(levels[0], level) for level in levels[1:]]
    else:
        raise DataError(
            f"a contrast of {name!r} is 'reference', 'pairwise' or a pair (from, to) of its levels; got {wanted!r}"
        )
    unknown = [value for both in pairs for value in both if value not in levels]
    if unknown:
        raise DataError(f"{name!r} has no level {unknown[0]!r}; it has {', '.join(map(repr, levels))}")
    return [((low, low), (high, high), f"{high} {sign} {low}") for low, high in pairs]
