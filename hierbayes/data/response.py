"""The left-hand side: the response, what stands for 0 and 1, its trials and weights."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.encoding import Encoding, describe_rows, learn_number
from hierbayes.data.levels import factorize
from hierbayes.data.series import Series, learn_series
from hierbayes.data.stated import Choices
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families import FAMILIES, Family
from hierbayes.formula import Formula, Response, names_in, quote

Array = NDArray[np.float64]
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
SHARE = re.compile(r"I\((\w+) / (\w+)\)")
MOST_STEPS = 12  # of a score; what has more values measures
ORDINAL = "family='cumulative' is for categories in an order, 'categorical' for others"
MOST_CATEGORIES = 100


@dataclass(frozen=True, eq=False)
class RowSets:
    """A column each of whose values, the G `labels`, has a vector of its own: `words`, thresholds or a baseline."""

    column: str
    labels: pd.Index
    words: str

    def codes(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """Which set each row has: (n,).

        Raises
        ------
        DataError
            For a value that training hadn't.
        """
        column = frame[self.column]
        codes = self.labels.get_indexer(pd.Index(column))
        if (codes < 0).any():
            value = column.to_numpy()[np.flatnonzero(codes < 0)[0]]
            shown = ", ".join(map(str, self.labels[:5])) + (", …" if len(self.labels) > 5 else "")
            raise DataError(
                f"nothing is known of the {self.words} of {self.column} = {value!r} in "
                f"{describe_rows(frame.index[codes < 0])}; training had {shown}"
            )
        return np.asarray(codes, np.int64)


@dataclass(frozen=True, eq=False)
class ResponseLayout:
    """What was learnt of the left-hand side.

    Attributes
    ----------
    name : str
        The response as written: ``"Reaction"``, ``"log(y)"``.
    columns : tuple of str
        The column it is, or the columns of several categories; none when it is computed.
    encoding : Encoding or None
        How it is computed, None when it is a column.
    levels : tuple or None
        The two values that stand for 0 and 1, or the categories in their order.
    trials, weights : Encoding, float or None
        The additions ``trials(…)`` and ``weights(…)``; a number where they are constant. Of counts of several
        categories the trials are their sum where nothing else is said.
    location, scale : float
        Centre and spread of the training response on the link's scale.
    spread : float
        Standard deviation of the training response (of its logarithm where the family says so).
    least : float
        The least of the training responses.
    shares : array (K,)
        The categories' shares of the training rows, each with half a row more so that none is 0.
    absent : bool
        Whether the rows are a design without a response. Then `spread` is NaN, and so are `location` and `scale`
        but for links to a scale of their own, where they are those of the middle and 1.
    sets : RowSets or None
        Whose rows have thresholds, or a baseline hazard, of their own; None where all share them.
    series : Series or None
        Within which residuals are correlated; None where they are independent.
    choices : Choices or None
        Which of two boundaries responses reached, where they are times with that sign; None of others.
    missing : pandas.DataFrame or None
        The rows whose response is missing and drawn; None where there are none.
    measured : ndarray or None
        Labels of the other rows, where their true values are drawn too because they were measured with error.
    """

    name: str
    columns: tuple[str, ...]
    encoding: Encoding | None
    levels: tuple[Any, ...] | None
    trials: Encoding | float | None
    weights: Encoding | float | None
    location: float
    scale: float
    spread: float
    least: float = np.nan
    shares: Array = field(default_factory=lambda: np.empty(0))
    absent: bool = False
    sets: RowSets | None = None
    series: Series | None = None
    choices: Choices | None = None
    missing: pd.DataFrame | None = None
    measured: NDArray[Any] | None = None

    def measure(self, name: str) -> float:
        """Its `spread`, or the `least` of it."""
        return self.least if name == "least" else self.spread

    @property
    def trial_columns(self) -> tuple[str, ...]:
        """The columns that ``trials(…)`` reads."""
        return names_in(self.trials.text.removeprefix("0 + ")) if isinstance(self.trials, Encoding) else ()

    @property
    def series_columns(self) -> tuple[str, ...]:
        """The columns that say a row's series and time, where residuals are correlated."""
        return () if self.series is None else self.series.columns


def learn_response(formula: Formula, frame: pd.DataFrame, family: Family, link: str) -> ResponseLayout:
    """Learn the left-hand side from complete training rows, and check it against the family's support."""
    response = formula.response
    assert response is not None, "the mean's formula has a response"
    columns = response.columns
    _check_columns(response, family)
    absent = not set(formula.response_columns) <= set(frame.columns)
    trials = _trials_text(response, family, absent)
    _check_vectors(formula, family)
    if absent and family.support.categories:
        raise DataError(
            f"the categories of {response.expression!r} are learnt from its values, and the rows have none; give the "
            "rows a column of that name with every category in it"
        )
    several = family.support.columns
    if several and not absent:
        _check_numbers(frame[list(columns)])
    draft = ResponseLayout(
        name=columns[0] if len(columns) == 1 else response.expression,
        columns=columns,
        encoding=None if columns or absent else learn_number(response.expression, frame, "the response"),
        levels=columns if several else _levels(frame[columns[0]], family) if columns and not absent else None,
        trials=_learn_addition(trials, frame, "trials"),
        weights=_learn_addition(dict(response.additions).get("weights"), frame, "weights"),
        location=0.0,
        scale=1.0,
        spread=1.0,
        absent=absent,
        sets=_learn_sets(response, frame) if response.sets else None,
        series=learn_series(formula.residuals, frame) if formula.residuals else None,
        choices=_learn_choices(formula, family),
    )
    if absent:
        location, scale = family.typical_location_and_scale(link)
        return replace(draft, location=location, scale=scale, spread=np.nan)
    return _with_response_scales(draft, frame, family, link)


def _check_columns(response: Response, family: Family) -> None:
    """Refuse several columns where the response is one, and the reverse."""
    columns, expression = response.columns, response.expression
    if family.support.categories and not columns:
        raise DataError(
            f"the response of family {family.name!r} must be a column; {expression!r} is computed"
        )
    taking = ", ".join(name for name, other in FAMILIES.items() if other.support.columns)
    if family.support.columns and len(columns) < 2:
        raise DataError(
            f"the response of family {family.name!r} has a column for each category, such as cbind(a, b, c) ~ …; "
            f"{expression!r} is one"
        )
    if len(columns) > 1 and not family.support.columns:
        way = f"responses of several columns are those of {taking}"
        if family.needs_trials and len(columns) == 2:
            good, bad = map(quote, columns)
            way = f"write {good} | trials({good} + {bad}) ~ … of successes and failures; {way}"
        raise DataError(
            f"the response of family {family.name!r} is one column, and {expression} are several; {way}"
        )


def _check_numbers(columns: pd.DataFrame) -> None:
    for name, column in columns.items():
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            raise DataError(
                f"the response's column {name!r} holds {type(column.iloc[0]).__name__} values; each of several columns "
                "of a response is a column of numbers"
            )


def _trials_text(response: Response, family: Family, absent: bool) -> str | None:
    """The expression of the trials: as it is stated, or the sum of the columns; None where a family has none."""
    stated = dict(response.additions).get("trials")
    if stated is not None and not family.needs_trials:
        taking = " or ".join(f"family={name!r}" for name, other in FAMILIES.items() if other.needs_trials)
        raise DataError(f"family {family.name!r} takes no trials(…); use {taking}, or leave it out")
    if stated is not None or not family.needs_trials:
        return stated
    if family.support.columns and not absent:
        return " + ".join(map(quote, response.columns))
    written = f"`{_with_trials(response.expression)} ~ …`, the trials a column or a number"
    other = "" if absent else ". For a response of zeros and ones, or yes and no, take family='bernoulli'"
    raise DataError(f"family {family.name!r} needs the number of trials of each row: write {written}{other}")


def _learn_choices(formula: Formula, family: Family) -> Choices | None:
    text, taking = formula.stated.get("dec"), [f.name for f in FAMILIES.values() if f.support.signed]
    if text is not None and not family.support.signed:
        raise DataError(f"family {family.name!r} takes no dec(…); {', '.join(taking)} does")
    if text is None and family.support.signed:
        assert formula.response is not None
        raise DataError(
            f"a response of family {family.name!r} is a time and a choice: write {formula.response.expression} | "
            "dec(choice) ~ …, choice a column that is 'upper' or 'lower', 1 or 0, True or False"
        )
    return None if text is None else Choices(text)


def _check_vectors(formula: Formula, family: Family) -> None:
    response = formula.response
    assert response is not None
    if str(response.thresholds) and not family.origin:
        raise DataError(
            f"family {family.name!r} has no thresholds; leave {response.thresholds} out, or take an ordinal family"
        )
    if str(response.baseline) and not any(parameter.name == "sbhaz" for parameter in family.own):
        taking = ", ".join(name for name, other in FAMILIES.items() if other.baseline)
        raise UnsupportedError(
            f"family {family.name!r} has no baseline hazard; leave {response.baseline} out, or take {taking}"
        )
    if formula.specific and not any(parameter.name == "cs1" for parameter in family.own):
        ordinal = ", ".join(name for name, other in FAMILIES.items() if other.specific)
        raise UnsupportedError(
            f"family {family.name!r} has no category-specific effects, cs(…): take one of {ordinal}, or leave cs out"
        )


def _learn_sets(response: Response, frame: pd.DataFrame) -> RowSets:
    labels, _ = factorize(frame[response.sets])
    return RowSets(response.sets, labels, "thresholds" if response.thresholds.group else "baseline hazard")


def _with_response_scales(
    draft: ResponseLayout, frame: pd.DataFrame, family: Family, link: str
) -> ResponseLayout:
    y = response_values(draft, frame)
    assert y is not None, "there is a response to learn from"
    if family.support.columns:  # before their sums are taken for trials
        _check_support(draft, y, None, family, frame.index)
    trials = addition_values(draft.trials, frame, "trials")
    weights = addition_values(draft.weights, frame, "weights")
    weights = np.ones(len(frame)) if weights is None else weights
    if not weights.sum() > 0:
        raise DataError(
            "the weights are all 0, so no row would count; check the column, or leave weights(…) out"
        )
    if trials is not None and not trials.any():
        raise DataError("the trials are 0 in every row, so there is nothing to count; check the column")
    if not family.support.columns:
        _check_support(draft, y, trials, family, frame.index)
    elif trials is not None and (trials != y.sum(axis=1)).any():
        raise DataError(
            f"the trials are not the sums of {draft.name} in {describe_rows(frame.index[trials != y.sum(axis=1)])}. "
            "Correct those rows, or leave trials(…) out: then the sums are"
        )
    if family.typical_rows is not None and not weights[family.typical_rows(y)].any():
        raise DataError(
            f"the response {draft.name!r} is {' or '.join(f'{value:g}' for value in np.unique(y)[:3])} in every row "
            f"that counts, which says nothing of {family.first.name}, the {family.first.words}; model whether there is "
            "any at all by family='bernoulli'"
        )
    if not family.support.whole and (family.support.sizes(y) == family.support.sizes(y[:1])).all():
        raise DataError(
            f"the response {draft.name!r} is {_numbers(family.support.sizes(y[0]))} in every row; there is nothing to "
            "model: check the column"
        )
    location, scale = family.location_and_scale(y, trials, weights, link)
    return replace(
        draft,
        location=location,
        scale=scale,
        spread=family.spread(y, weights),
        least=float(family.support.sizes(y).min()),
        shares=_shares(y, weights, draft.levels) if family.support.categories else draft.shares,
    )


def _with_trials(expression: str) -> str:
    """How a response with trials is written, of one that states none; of a share ``k / n`` the two parts.

    Examples
    --------
    >>> _with_trials("k"), _with_trials("I(k / n)")
    ('k | trials(n)', 'k | trials(n)')
    """
    share = SHARE.fullmatch(expression)
    return f"{share[1]} | trials({share[2]})" if share else f"{expression} | trials(n)"


def _check_support(
    draft: ResponseLayout, y: Array, trials: Array | None, family: Family, index: pd.Index
) -> None:
    inside = family.support.contains(y, trials)
    if inside.all():
        return
    rows = np.flatnonzero(~inside)
    if family.support.columns:
        found = _numbers(y[rows[0]])
    else:
        found = _shortened(", ".join(f"{value:g}" for value in dict.fromkeys(y[rows].tolist()[:100])))
    raise DataError(
        f"the response {draft.name!r} of family {family.name!r} must be {family.support.words}; "
        f"found {found} in {describe_rows(index[rows])}. {_way_out(y, inside, family)}"
    )


def _numbers(response: Array) -> str:
    """One response in figures, of several columns each."""
    return ", ".join(f"{value:g}" for value in np.atleast_1d(response))


def _shares(y: Array, weights: Array, levels: tuple[Any, ...] | None) -> Array:
    counted = np.bincount(y.astype(np.int64), weights, minlength=len(levels or ())) + 0.5
    found: Array = counted / counted.sum()
    return found


def _shortened(values: str, shown: int = 3) -> str:
    parts = values.split(", ")
    return ", ".join(parts[:shown]) + (", …" if len(parts) > shown else "")


def _way_out(y: Array, inside: NDArray[np.bool_], family: Family) -> str:
    """What to do about values outside the support: by what they are, not by which family would swallow them."""
    outside, support = y[~inside], family.support
    if not np.isfinite(y).all():
        return "Leave those rows out, or correct them"
    if support.advice:
        return support.advice
    if support.two_levels:
        values = np.unique(y)
        if len(values) == 2:
            return f"Recode it in the data: 1 where it is {values[1]:g}, else 0"
        return (
            "If it counts successes, say of how many trials: family='binomial' and trials(…). "
            f"If it is a scale of steps: {ORDINAL}. Otherwise recode it to 0 and 1"
        )
    if (y[inside] > 0).all() and (outside == 0).all():
        return _about_zeros(len(outside) / len(y))
    if support.whole and (outside != np.floor(outside)).any():
        return (
            "Rates and means of counts are modelled by their counts, with the exposure in offset(log(…)); "
            "shares by successes and trials(…), family='binomial'"
        )
    if support.whole and (outside < 0).any():
        return "No count is negative: correct those rows; a code such as -9 may stand for a missing value"
    if family.needs_trials:
        return "Correct those rows: there are more successes than trials"
    if (outside < 0).any():
        share = f"{len(outside) / len(y):.0%} of the rows"
        return (
            f"Values below 0 are {share}: if they are errors or a code for missing ones, correct those rows; "
            "if such values do occur, families of any number are gaussian and student"
        )
    return (
        "If they are shares of a count, model that: successes | trials(n), family='binomial' or 'betabinomial'. "
        "Percentages are to be divided by 100; shares of exactly 0 or 1 need family='zero_one_inflated_beta', or "
        "'zero_inflated_beta'"
    )


def _about_zeros(share: float) -> str:
    return (
        f"{share:.0%} of the rows are 0, which such a family cannot give. If 0 means none at all, a hurdle model says "
        "whether there is any, and how much where there is: family='hurdle_gamma' or 'hurdle_lognormal', of shares "
        "'zero_inflated_beta'. If 0 means too little to measure, those rows are censored: "
        "put the limit in the place of 0, and 'left' into a column for cens(…)"
    )


def _learn_addition(text: str | None, frame: pd.DataFrame, word: str) -> Encoding | float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return learn_number(f"I({text})", frame, word)


def _levels(column: pd.Series, family: Family) -> tuple[Any, ...] | None:
    """The values standing for 0 and 1 in a response that is not numeric, or all categories of one that has such."""
    if family.support.categories:
        return categories_of(column, family)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return None
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else _distinct(column)
    categories = [value.item() if isinstance(value, np.generic) else value for value in values]
    shown = ", ".join(map(repr, categories[:5])) + (", …" if len(categories) > 5 else "")
    if not family.support.two_levels:
        if len(categories) == 2:
            way_out = "For a yes/no response take family='bernoulli', or recode it as numbers"
        elif pd.api.types.is_datetime64_any_dtype(column):
            way_out = "Make it a number, such as the days since a date"
        else:
            way_out = _about_categories(str(column.name), [str(category) for category in categories])
        raise DataError(
            f"the response {column.name!r} of family {family.name!r} must be {family.support.words}; it holds {shown}. "
            + way_out
        )
    if len(categories) != 2:
        raise DataError(
            f"a response of family {family.name!r} has two values; {column.name!r} has {len(categories)}: {shown}. "
            f"A model of all of them is another: {ORDINAL}. For one against the others, recode it in the data, such as "
            f"{column.name} == {categories[0]!r}"
        )
    return (categories[0], categories[1])


def _about_categories(name: str, categories: list[str]) -> str:
    """The way out for text where numbers are needed: measured numbers, a score, or categories."""
    numbers = [category for category in categories if NUMBER.fullmatch(category.strip())]
    if len(numbers) < len(categories) / 2:
        if sum(
            "," in category and bool(NUMBER.fullmatch(category.replace(",", ".", 1)))
            for category in categories
        ):
            return "If they are numbers with a decimal comma, read them so: pandas.read_csv(…, decimal=',')"
        return f"Categories are no numbers, nor is their order: {ORDINAL}"
    convert = f"pandas.to_numeric(data[{name!r}])"
    if len(numbers) < len(categories):
        other = next(category for category in categories if category not in numbers)
        return (
            f"Most are numbers stored as text, but {other!r} is not: correct it in the data, then {convert}"
        )
    if len(numbers) <= MOST_STEPS and all(float(number).is_integer() for number in numbers):
        return (
            f"If they are a score, the steps between its values are not known to be equal, which this family would "
            f"take for granted: {ORDINAL}. If they count or measure something, convert them: {convert}"
        )
    return f"If these are numbers stored as text, convert them: {convert}"


def categories_of(column: pd.Series, family: Family) -> tuple[Any, ...]:
    """Categories in their order: as the column has them, else sorted. Those of a stated order may be empty."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        stated = column if column.cat.ordered else column.cat.remove_unused_categories()
        values = list(stated.cat.categories)
        if family.support.ordered and not column.cat.ordered and _alphabetical(values):
            raise DataError(
                f"the categories of {column.name!r} are in alphabetical order, and the column does not say that it is "
                f"theirs; give them one: pandas.Categorical(data[{column.name!r}], {values[:3]!r}, ordered=True)"
            )
    else:
        values = _distinct(column)
        if not pd.api.types.is_numeric_dtype(column) and family.support.ordered:
            raise DataError(
                f"the categories of {column.name!r} are text without an order; give it one, as in "
                f"pandas.Categorical(data[{column.name!r}], {values[:3]!r}, ordered=True)"
            )
    if len(values) < 2:
        raise DataError(
            f"the response {column.name!r} of family {family.name!r} is {values[0]!r} in every row"
        )
    if len(values) < family.support.fewest:
        raise DataError(
            f"the response {column.name!r} has {len(values)} values; one of family {family.name!r} is "
            f"{family.support.words}"
        )
    if len(values) > MOST_CATEGORIES:
        raise DataError(
            f"the response {column.name!r} has {len(values)} values; family {family.name!r} takes each for a category. "
            "Take a family of numbers or counts"
        )
    return tuple(value.item() if isinstance(value, np.generic) else value for value in values)


def _alphabetical(values: list[Any]) -> bool:
    """Whether more than two texts stand as sorting leaves them."""
    return len(values) > 2 and all(isinstance(value, str) for value in values) and values == sorted(values)


def _distinct(column: pd.Series) -> list[Any]:
    try:
        return sorted(column.unique())
    except TypeError:
        kinds = sorted({type(value).__name__ for value in column})
        raise DataError(
            f"the response {column.name!r} holds {' and '.join(kinds)} values; make it a column of numbers"
        ) from None


def response_values(response: ResponseLayout, frame: pd.DataFrame) -> Array | None:
    """The response of given rows as numbers: (n,), of several columns (n, m), or None for a design without one.

    A time at the lower of two boundaries is negative.
    """
    if response.absent:
        return None
    if response.choices is not None:
        times = response_values(replace(response, choices=None), frame)
        assert times is not None, "there are responses"
        if not (times > 0).all():
            raise DataError(
                f"the response {response.name!r} must be a finite number above 0, a time; it is not in "
                f"{describe_rows(frame.index[~(times > 0)])}. Correct those rows, or leave them out; the boundary "
                "that was reached stands in dec(…)"
            )
        return times * response.choices.signs(frame)
    if response.encoding is not None:
        return response.encoding.matrix(frame)[:, 0]
    if len(response.columns) > 1:
        return np.ascontiguousarray(frame[list(response.columns)].to_numpy(dtype=np.float64))
    column = frame[response.columns[0]]
    if response.levels is not None:
        unknown = ~column.isin(response.levels).to_numpy()
        if unknown.any():
            raise DataError(
                f"the response {response.name!r} must be one of {response.levels}; "
                f"it isn't in {describe_rows(frame.index[unknown])}"
            )
        return pd.Index(response.levels).get_indexer(pd.Index(column)).astype(np.float64)
    return column.to_numpy(dtype=np.float64)


def addition_values(addition: Encoding | float | None, frame: pd.DataFrame, word: str) -> Array | None:
    """The values of ``trials(…)`` or ``weights(…)`` for given rows: (n,), or None where the formula has none."""
    if addition is None:
        return None
    values = addition.matrix(frame)[:, 0] if isinstance(addition, Encoding) else np.full(len(frame), addition)
    if (values < 0).any():
        raise DataError(
            f"{word} must be 0 or more; negative in {describe_rows(frame.index[values < 0])}. Correct those rows"
        )
    if word == "trials" and (values != np.floor(values)).any():
        rows = describe_rows(frame.index[values != np.floor(values)])
        raise DataError(f"trials must be whole numbers; they are not in {rows}. Give successes out of trials")
    return np.ascontiguousarray(values)
