"""A CSV file as a data frame: columns where the header has them, whatever the separator, decimal mark and encoding."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hierbayes.errors import DataError


@dataclass(frozen=True)
class Dialect:
    """How a file's text is to be read.

    Attributes
    ----------
    separator : str
        What stands between values, one character.
    decimal : str
        The decimal mark of its numbers.
    encoding : str
        Of its text, as Python names it.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        for name, mark in (("separator", self.separator), ("decimal mark", self.decimal)):
            if len(mark) != 1:
                raise DataError(f"the {name} is one character, not {mark!r}")
        if self.separator == self.decimal:
            raise DataError(f"the separator and the decimal mark are both {self.decimal!r}; they must differ")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise DataError(
                f"there is no encoding {self.encoding!r}; mostly it is utf-8, latin-1, cp1252 or utf-16"
            ) from None

    @property
    def options(self) -> dict[str, Any]:
        """The same, as pandas calls it."""
        return {"sep": self.separator, "decimal": self.decimal, "encoding": self.encoding}


def read_header(path: str | Path, dialect: Dialect) -> list[str]:
    """The names of a file's columns as they stand there; one without a name is called by its place.

    Raises
    ------
    DataError
        For a file that isn't there, is empty, or plainly has another separator.
    """
    if not Path(path).exists():
        raise DataError(f"there is no file {str(path)!r} here ({Path.cwd()})")
    first = _parse(path, dialect, header=None, nrows=1, dtype=str, keep_default_na=False)
    names = [name or f"Unnamed: {place}" for place, name in enumerate(first.iloc[0])]
    other = next((mark for mark in (";", "\t", "|", ",") if len(names) == 1 and mark in names[0]), None)
    if other:
        raise DataError(
            f"{str(path)!r} would have one column, {names[0]!r}; if {other!r} separates its values, say so: "
            f"--separator {'tab' if other == '\t' else repr(other)}"
        )
    return names


def read_csv(path: str | Path, text: Sequence[str] = (), dialect: Dialect = Dialect()) -> pd.DataFrame:
    """The rows of a CSV file with a header; whole numbers stay whole where some are missing.

    Parameters
    ----------
    path : str or Path
    text : sequence of str
        Columns to read as text, whatever they look like.
    dialect : Dialect

    Returns
    -------
    pandas.DataFrame
        Its columns as the header names them, twice the same name twice. Rows may end in a separator.

    Raises
    ------
    DataError
        For a file that can't be read so, a column of `text` that isn't there, and rows of more values than the
        header has names, whose columns no one could tell.
    """
    header = read_header(path, dialect)
    absent = [name for name in text if name not in header]
    if absent:
        raise DataError(
            f"{str(path)!r} has no column {absent[0]!r} to read as text; it has {', '.join(header)}"
        )
    # without `index_col`, pandas takes the first column of longer rows for their labels, and shifts all others
    frame = _parse(
        path,
        dialect,
        header=0,
        names=range(len(header)),
        index_col=False,
        dtype={place: str for place, name in enumerate(header) if name in text},
        dtype_backend="numpy_nullable",
    )
    return frame.set_axis(header, axis=1)


def _parse(path: str | Path, dialect: Dialect, **options: Any) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, **dialect.options, **options)
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"the rows of {str(path)!r} have more values than its header has names: name every column in the header "
            "(R's write.table leaves out the name of the rows' own; write.csv(…, row.names = FALSE) doesn't write it)"
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{str(path)!r} is not {dialect.encoding} text: {error}. Name its encoding, as in --encoding latin-1"
        ) from error
    except ValueError as error:  # pandas' own errors among them
        raise DataError(f"{str(path)!r} cannot be read as CSV: {str(error).strip()}") from error
