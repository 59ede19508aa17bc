"""Any data frame in, the pandas columns that a model needs out."""

import difflib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from hierbayes.errors import DataError


def read_columns(
    data: Any,
    columns: Sequence[str],
    *,
    optional: Iterable[str] = (),
    words: str = "the data",
    ways: Mapping[str, str] | None = None,
    stated: Container[str] = (),
) -> pd.DataFrame:
    """The named columns of any data frame as pandas columns of plain types.

    Parameters
    ----------
    data : data frame or mapping
        Anything narwhals reads (pandas, polars, PyArrow, a lazy polars frame, …) or a mapping of column names to
        values, n rows.
    columns : sequence of str
        The columns to read.
    optional : iterable of str
        Columns among them that may be absent.
    words : str
        What messages call the table.
    ways : mapping of str to str, optional
        The way out where that column is absent, told in the message.
    stated : container of str
        Columns of categories that are told as they are: whether they have an order, and of an order all of it.

    Returns
    -------
    pandas.DataFrame
        The columns in the order asked for. Nullable and Arrow types become NumPy's, missing values NaN or None;
        a categorical keeps the order of its categories and loses the unused ones. polars' Categorical, whose
        order is that of first appearance anywhere in the process, becomes text; its Enum keeps its order.

    Raises
    ------
    DataError
        If `data` is no table, or a column is absent (near matches are named) or stands twice.

    Examples
    --------
    >>> read_columns({"x": [1, 2], "g": ["a", "b"]}, ["g"])["g"].tolist()
    ['a', 'b']
    """
    frame = _native(data, words)
    names = _names(frame)
    optional = set(optional)
    wanted = [name for name in dict.fromkeys(columns) if name in names or name not in optional]
    ways = dict(ways or {})
    if isinstance(frame, pd.DataFrame):
        ways |= {
            str(name): "it is in the index: reset_index() makes it a column" for name in frame.index.names
        }
    check_columns(names, wanted, words, ways)
    if isinstance(frame, pd.DataFrame):
        return pd.DataFrame({name: _plain(frame[name], name in stated) for name in wanted}, index=frame.index)
    selected = frame.select(wanted) if wanted else frame.select(nw.len())
    columns_read = selected.collect() if isinstance(selected, nw.LazyFrame) else selected
    length = len(columns_read) if wanted else int(columns_read.item())
    return pd.DataFrame(
        {name: _plain(_series(columns_read[name]), name in stated) for name in wanted},
        index=pd.RangeIndex(length),
    )


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a table that is read in parts.

    Attributes
    ----------
    frame : pandas.DataFrame
        Those complete in every column asked for; a categorical keeps its unused categories, which other parts may use.
    rows : int
        How many there were.
    missing : pandas.Series of int
        How many values each column missed.
    """

    frame: pd.DataFrame
    rows: int
    missing: "pd.Series[int]"


def read_chunk(part: Any, columns: Sequence[str], first: int = 0) -> Chunk:
    """The complete rows of one part of a table.

    Parameters
    ----------
    part : data frame
        pandas, polars or PyArrow, with no column twice.
    columns : sequence of str
        The columns to read; they are there.
    first : int
        The number of its first row in the whole table; pandas' rows keep their own labels.
    """
    if isinstance(part, pd.DataFrame):
        missing = part[list(columns)].isna()
        kept = part.loc[~missing.any(axis=1).to_numpy(), list(columns)]
        frame = pd.DataFrame({name: _plain(kept[name], whole=True) for name in columns}, index=kept.index)
        return Chunk(frame, len(part), missing.sum())
    table = nw.from_native(part, eager_only=True).select(columns)
    gaps = {name: _missing(table[name]) for name in columns}
    keep = ~np.logical_or.reduce(list(gaps.values()))
    kept = table if keep.all() else table.filter(keep.tolist())
    index = pd.Index(first + np.flatnonzero(keep))
    if len(index):
        series = {name: _chunk_series(kept[name]).set_axis(index) for name in columns}
    else:
        series = {name: pd.Series(index=index, dtype=object) for name in columns}
    counts = pd.Series({name: int(gap.sum()) for name, gap in gaps.items()}, dtype=np.int64)
    return Chunk(pd.DataFrame(series, index=index), len(keep), counts)


def _chunk_series(column: "nw.Series[Any]") -> pd.Series:
    if (
        column.dtype == nw.String
    ):  # as objects: every text is looked up, and pandas' own type would make each anew
        return pd.Series(column.to_list(), dtype=object)
    return _plain(_series(column), whole=True)


def _missing(column: "nw.Series[Any]") -> "np.ndarray[Any, np.dtype[np.bool_]]":
    missing: np.ndarray[Any, np.dtype[np.bool_]] = column.is_null().to_numpy()
    if column.dtype.is_float():
        missing = missing | column.is_nan().fill_null(True).to_numpy()
    return missing


def free_name(name: str, taken: Container[str]) -> str:
    """A name of ours that a user's column has given way to: underscores behind it until it is free.

    Examples
    --------
    >>> free_name("mean", {"mean", "sd"}), free_name("mean", {"sd"})
    ('mean_', 'mean')
    """
    while name in taken:
        name += "_"
    return name


def used_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows, their categoricals without the categories that none of them has."""
    categorical = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return with_columns(frame, {name: frame[name].cat.remove_unused_categories() for name in categorical})


def with_columns(frame: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """The same rows with other values in some columns, whatever these are called: pandas' assign takes no "self"."""
    changed = frame.copy(deep=False)
    for name, values in columns.items():
        changed[name] = values
    return changed


def plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns with their types settled again: what was not plain for a missing value, or for an unused category."""
    return pd.DataFrame({name: _plain(frame[name]) for name in frame.columns}, index=frame.index)


_MAKE_A_TABLE = {
    "list": "; pandas.DataFrame(…) makes one of it",
    "ndarray": "; pandas.DataFrame(…, columns=[…]) makes one of it",
    "Series": "; a row of a frame stays a frame by data.iloc[[0]]",
}


def _native(data: Any, words: str) -> Any:
    """`data` as a pandas frame, or wrapped by narwhals."""
    if isinstance(data, pd.DataFrame):
        if data.columns.nlevels > 1:
            raise DataError(
                f"{words} have column labels of {data.columns.nlevels} levels, such as {data.columns[0]!r}; "
                "give each column one name: data.columns = ['_'.join(map(str, c)) for c in data.columns]"
            )
        return data
    if isinstance(data, Mapping):
        try:
            return pd.DataFrame(dict(data))
        except ValueError as error:
            one_row = "; one row is {'x': [1.0], …}" if all(map(np.isscalar, data.values())) else f": {error}"
            raise DataError(f"the mapping is not a table, equally many values a column{one_row}") from error
    try:
        frame = nw.from_native(data)
    except TypeError as error:
        raise DataError(
            f"{words} must be a data frame (pandas, polars, PyArrow, …) or a mapping of column names to values, "
            f"not {type(data).__name__}{_MAKE_A_TABLE.get(type(data).__name__, '')}"
        ) from error
    return frame.to_native() if isinstance(frame.to_native(), pd.DataFrame) else frame


def _names(frame: Any) -> list[Any]:
    return list(frame.collect_schema().names() if isinstance(frame, nw.LazyFrame) else frame.columns)


def column_names(data: Any, words: str = "the data") -> tuple[str, ...]:
    """The names of all columns of any data frame."""
    return tuple(map(str, _names(_native(data, words))))


def check_columns(
    names: Sequence[str],
    wanted: Sequence[str],
    words: str = "the data",
    ways: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Refuse columns that are not there, or that are there twice; `ways` has the way out for some of them."""
    absent = [name for name in wanted if name not in names]
    if absent:
        raise DataError("; ".join(_absent(name, names, words, ways.get(name)) for name in absent))
    twice = [name for name in wanted if list(names).count(name) > 1]
    if twice:
        raise DataError(f"{words} have more than one column {twice[0]!r}; give each column its own name")


def _absent(name: str, names: Sequence[str], words: str, way: str | None) -> str:
    text = [str(n) for n in names]
    if name in text:  # as the label of a column that isn't text
        label = names[text.index(name)]
        return (
            f"{words} call a column {label!r}, which is {type(label).__name__}; a formula's names are text: give it "
            "one, as in data.columns = data.columns.map(str)"
        )
    folded = {n.lower(): n for n in text}
    near = [folded[name.lower()]] if name.lower() in folded else []
    near = near or ([] if way else difflib.get_close_matches(name, text, n=3))
    if near:
        return f"{words} have no column {name!r}; did you mean {' or '.join(repr(n) for n in near)}?"
    shown = ", ".join(text[:20]) + (", …" if len(text) > 20 else "")
    return f"{words} have no column {name!r}; they have {shown or 'none'}{f'; {way}' if way else ''}"


def _series(column: "nw.Series[Any]") -> pd.Series:
    """A narwhals column as a pandas one, without needing PyArrow."""
    dtype, values = column.dtype, column.to_list
    if dtype == nw.Enum or (dtype == nw.Categorical and not column.implementation.is_polars()):
        categories, ordered = column.cat.get_categories().to_list(), dtype == nw.Enum
        return pd.Series(pd.Categorical(values(), categories=categories, ordered=ordered))
    if dtype in (nw.Date, nw.Datetime):
        return pd.Series(pd.to_datetime(values()))
    whole_with_gaps = dtype.is_integer() and column.null_count() > 0
    if dtype.is_numeric() and not (dtype.is_decimal() or whole_with_gaps or dtype in (nw.Int128, nw.UInt128)):
        return pd.Series(column.to_numpy())
    return pd.Series(values(), dtype=object if column.null_count() else None)


def _plain(column: pd.Series, stated: bool = False, whole: bool = False) -> pd.Series:
    """A pandas column with a plain type: NumPy's numbers and booleans, text, ordered categories (if whole, all)."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        if stated:
            return column if dtype.ordered else column.cat.remove_unused_categories()
        return (column if whole else column.cat.remove_unused_categories()).cat.as_ordered()
    if pd.api.types.is_bool_dtype(dtype):
        return _objects(column) if column.isna().any() else column.astype(bool)
    if pd.api.types.is_numeric_dtype(dtype):
        return _plain_numbers(column)
    if isinstance(dtype, pd.ArrowDtype):
        return pd.Series(_arrow_values(column), index=column.index)
    if isinstance(dtype, pd.StringDtype) and dtype.na_value is pd.NA:
        return _objects(column)
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        known = column.dropna()
        if len(known) and known.map(lambda value: isinstance(value, bool | np.bool_)).all():
            return column if len(known) < len(column) else column.astype(bool)
        if len(known) and known.map(lambda value: isinstance(value, int | float | np.number | Decimal)).all():
            whole = len(known) < len(column) and bool(
                known.map(lambda value: isinstance(value, int | np.integer)).all()
            )
            return column if whole else pd.to_numeric(column.map(_number))
    return column


def _plain_numbers(column: pd.Series) -> pd.Series:
    """Wide enough that arithmetic doesn't overflow; whole numbers with gaps stay whole, as objects."""
    dtype = column.dtype
    if pd.api.types.is_complex_dtype(dtype) or dtype in (np.int64, np.float64):
        return column
    if not pd.api.types.is_integer_dtype(dtype):
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
    if column.isna().any():
        return _objects(column)
    wide = (
        pd.api.types.is_unsigned_integer_dtype(dtype)
        and len(column)
        and column.max() > np.iinfo(np.int64).max
    )
    return pd.Series(column.to_numpy(dtype=np.uint64 if wide else np.int64), index=column.index)


def _objects(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), None)


def _arrow_values(column: pd.Series) -> Any:
    values = column.astype(object)
    date = str(column.dtype).startswith(("date", "timestamp"))
    return pd.to_datetime(values).array if date else values.where(column.notna(), None).tolist()


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    return value
