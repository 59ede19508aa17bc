"""Tables that are read in parts: files and relations through DuckDB, Polars' lazy frames, Dask's data frames.

A source gives sums over its rows: a function of one part, added up over all of them. That is all the fast Gaussian
strategy needs, so memory is bounded by a part and by what is summed.
"""

import contextlib
import functools
import glob
import operator
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any, Protocol

from hierbayes.data.csvfile import Dialect, read_header
from hierbayes.data.tables import Chunk, read_chunk
from hierbayes.errors import DataError, UnsupportedError

CHUNK = 1 << 18  # rows read at once
DUCKDB_SETTINGS: dict[str, Any] = {
    "memory_limit": "512MB",
    "threads": min(4, os.cpu_count() or 1),
}
NA = (  # as pandas.read_csv has it
    *(
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
    ),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
WORDS = "'true', 'True', 'TRUE', 'false', 'False', 'FALSE'"
WHOLE = r"regexp_full_match({0}, '\s*[+-]?[0-9]+\s*')"
CSV_KINDS = {  # what a column of texts is, the first kind that all its values have
    "BOOLEAN": f"{{0}} IN ({WORDS})",
    "BIGINT": f"{WHOLE} AND try_cast(trim({{0}}) AS BIGINT) IS NOT NULL",
    "UBIGINT": f"{WHOLE} AND try_cast(trim({{0}}) AS UBIGINT) IS NOT NULL",
    "DOUBLE": r"regexp_full_match({0}, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*') "
    "OR lower({0}) IN ('inf', '+inf', '-inf', 'infinity', '+infinity', '-infinity')",
}
CSV_VALUES = {
    "BOOLEAN": "lower({0}) = 'true'",
    "BIGINT": "CAST(trim({0}) AS BIGINT)",
    "UBIGINT": "CAST(trim({0}) AS UBIGINT)",
    "DOUBLE": "CAST(trim({0}) AS DOUBLE)",
    "VARCHAR": "{0}",
}
FILES = (".parquet", ".csv", ".csv.gz")


@dataclass(frozen=True)
class Progress:
    """A line on the terminal about a pass over the rows.

    Attributes
    ----------
    task : str
        What is being done: ``"Reading rows, pass 1 of 2"``.
    total : int or None
        The number of rows, where it is known.
    shown : bool
        Whether anything is said at all.
    """

    task: str
    total: int | None
    shown: bool

    def over(self, chunks: Iterator[Chunk], wait: float = 1.0, every: float = 0.5) -> Iterator[Chunk]:
        """The same chunks; what takes longer than `wait` seconds is reported, `every` half second or so."""
        start = told = time.perf_counter()
        rows, said = 0, False
        for chunk in chunks:
            rows += chunk.rows
            yield chunk
            now = time.perf_counter()
            if self.shown and now - start > wait and now - told > every:
                told, said = now, True
                self.tell(f"{self._share(rows)}{self.total or rows:,} rows, {now - start:.0f} s")
        if said:
            self.tell(
                f"{self._share(rows)}{self.total or rows:,} rows, {time.perf_counter() - start:.0f} s\n"
            )

    def _share(self, rows: int) -> str:
        return f"{rows / self.total:.0%} of " if self.total else ""

    def tell(self, text: str) -> None:
        """Overwrite the line."""
        if self.shown:
            print(f"\r{self.task}: {text}", end="", file=sys.stderr, flush=True)


class Source(Protocol):
    """A table of rows that stay where they are."""

    @property
    def words(self) -> str:
        """What it is, for people: ``"rows/*.parquet through DuckDB"``."""
        ...

    @property
    def collect(self) -> str:
        """How to have its rows in memory instead."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""
        ...

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Its rows in order, part by part."""
        ...

    def total[T](
        self, columns: Sequence[str], part: Callable[[Chunk], T | None], progress: Progress
    ) -> T | None:
        """The sum of a function over the parts; a part without rows may give None."""
        ...


def join[T](first: T | None, second: T | None) -> T | None:
    """The sum of two parts' values, of which either may be empty."""
    if first is None or second is None:
        return second if first is None else first
    added: T = operator.add(first, second)
    return added


@dataclass(frozen=True, eq=False)
class Sequential:
    """A source that one process reads from its first row to its last.

    Attributes
    ----------
    words, collect : str
    names : tuple of str
    parts : callable
        ``parts(columns)``: the rows as PyArrow or polars tables.
    """

    words: str
    collect: str
    names: tuple[str, ...]
    parts: Callable[[Sequence[str]], Iterator[Any]]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Its rows in order, part by part, numbered from 0."""
        first = 0
        for part in self.parts(columns):
            yield read_chunk(part, columns, first)
            first += len(part)

    def total[T](
        self, columns: Sequence[str], part: Callable[[Chunk], T | None], progress: Progress
    ) -> T | None:
        """The sum of a function over the parts."""
        found: T | None = None
        for chunk in progress.over(self.chunks(columns)):
            found = join(found, part(chunk))
        return found


@dataclass(frozen=True, eq=False)
class DaskSource:
    """A Dask data frame: partitions are worked on where they are, and their values added in a tree."""

    frame: Any
    words: str = "a Dask data frame"
    collect: str = "data.compute()"

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""
        return tuple(self.frame.columns)

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Its rows, partition by partition."""
        for partition in self.frame[list(columns)].to_delayed():
            yield read_chunk(partition.compute(), columns)

    def total[T](
        self, columns: Sequence[str], part: Callable[[Chunk], T | None], progress: Progress
    ) -> T | None:
        """The sum of a function over the partitions, by whichever scheduler Dask uses here."""
        from dask.base import compute
        from dask.delayed import delayed

        work, add = delayed(_of_partition, pure=False), delayed(join, pure=False)
        values = [
            work(partition, tuple(columns), part) for partition in self.frame[list(columns)].to_delayed()
        ]
        notice = Timer(1.0, progress.tell, (f"{len(values)} partitions with Dask …",))
        while len(values) > 1:
            pairs = [add(*pair) for pair in zip(values[::2], values[1::2], strict=False)]
            values = pairs + values[len(values) - len(values) % 2 :]
        notice.start()
        try:
            (found,) = compute(values[0])
        finally:
            notice.cancel()
        return found


def _of_partition[T](partition: Any, columns: Sequence[str], part: Callable[[Chunk], T]) -> T:
    return part(read_chunk(partition, columns))


def find_source(data: Any) -> Source | None:
    """What `data` is read through, None where it is a table in memory.

    Parameters
    ----------
    data : str, Path, DuckDB relation, polars LazyFrame, Dask data frame or anything else
        A text or path names ``.parquet`` or ``.csv`` files; it may have wildcards.

    Raises
    ------
    DataError
        For a path without files, or of files of another kind.
    UnsupportedError
        Where the package that reads it is not installed.
    """
    if isinstance(data, str | Path):
        return _files(str(data))
    home, name = type(data).__module__.split(".")[0], type(data).__name__
    if home in ("duckdb", "_duckdb") and name == "DuckDBPyRelation":
        _need("pyarrow", "a DuckDB relation")
        return Sequential(
            "a DuckDB relation", "relation.df()", tuple(data.columns), functools.partial(_relation, data)
        )
    if home == "polars" and name == "LazyFrame":
        names = tuple(data.collect_schema().names())
        return Sequential("a polars LazyFrame", "data.collect()", names, functools.partial(_lazy, data))
    if home in ("dask", "dask_expr") and name == "DataFrame":
        return DaskSource(data)
    return None


def _files(pattern: str) -> Source:
    kind = next((ending for ending in FILES if pattern.lower().endswith(ending)), None)
    if kind is None:
        raise DataError(
            f"a path is that of {', '.join(FILES)} files; got {pattern!r}. Several are named by a pattern, "
            "'folder/*.parquet'"
        )
    if not glob.glob(pattern, recursive=True):
        raise DataError(f"there is no file {pattern!r} here ({Path.cwd()})")
    for package in ("duckdb", "pyarrow"):
        _need(package, f"the file {pattern!r}")
    read: Callable[[Sequence[str]], Iterator[Any]] = functools.partial(_file_parts, pattern)
    import duckdb

    with _connect() as connection:
        relation = _open(connection, pattern)
        names = tuple(relation.columns)
        if kind != ".parquet":
            names = _csv_names(pattern)
            try:
                types = _csv_types(relation)
            except duckdb.Error as error:
                raise DataError(f"DuckDB cannot read {pattern!r}: {error}") from error
            read = functools.partial(_csv_parts, pattern, names, types)
    way_out = f"pandas.read_{'parquet' if kind == '.parquet' else 'csv'}(…)"
    return Sequential(f"{pattern} through DuckDB", way_out, names, read)


def _need(package: str, what: str) -> None:
    try:
        __import__(package)
    except ImportError as error:
        raise UnsupportedError(
            f"reading {what} needs {package}: pip install 'hierbayes[duckdb]', or read it into a data frame first"
        ) from error


def _connect() -> Any:
    import duckdb

    connection = duckdb.connect(":memory:", config=DUCKDB_SETTINGS)
    with contextlib.suppress(
        duckdb.InvalidInputException
    ):  # a notebook without widgets has no bar to switch off
        connection.execute("SET enable_progress_bar = false")  # notebooks turn it on; `progress` decides here
    return connection


def _open(connection: Any, pattern: str) -> Any:
    """The files as a relation; of text files every value as text, the columns by their places."""
    import duckdb

    try:
        if pattern.lower().endswith(".parquet"):
            return connection.read_parquet(pattern)
        names = [f"c{place}" for place in range(len(_csv_names(pattern)))]
        form = {"sep": ",", "quotechar": '"', "escapechar": '"', "header": True}
        return connection.read_csv(pattern, na_values=list(NA), all_varchar=True, names=names, **form)
    except duckdb.Error as error:
        raise DataError(f"DuckDB cannot read {pattern!r}: {error}") from error


def _csv_names(pattern: str) -> tuple[str, ...]:
    """The columns of text files as their header has them, which must be that of all."""
    first, *others = sorted(glob.glob(pattern, recursive=True))
    names = read_header(first, Dialect())
    for other in others:
        if read_header(other, Dialect()) != names:
            raise DataError(
                f"{other!r} has other columns than {first!r}, or in another order; files that are read as one table "
                "have one header"
            )
    return tuple(names)


def _csv_types(relation: Any) -> tuple[str, ...]:
    """What each column of texts is, as `pandas.read_csv` has it: what all its values are that aren't missing."""
    kinds = list(CSV_KINDS.items())
    counts = [f"count(*) FILTER ({test.format(name)})" for name in relation.columns for _, test in kinds]
    known = [f"count({name})" for name in relation.columns]
    (row,) = relation.aggregate(", ".join([*known, *counts])).fetchall()
    found = []
    for place, total in enumerate(row[: len(known)]):
        own = row[len(known) + place * len(kinds) :]
        every = (kind for (kind, _), count in zip(kinds, own, strict=False) if count == total)
        found.append(next(every, "VARCHAR"))
    return tuple(found)


def _csv_parts(
    pattern: str, names: tuple[str, ...], types: tuple[str, ...], columns: Sequence[str]
) -> Iterator[Any]:
    places = [names.index(name) for name in columns]
    values = ", ".join(CSV_VALUES[types[place]].format(f"c{place}") for place in places)
    with _connect() as connection:
        for part in _batches(_open(connection, pattern).project(values)):
            yield part.rename_columns(list(columns))


def _file_parts(pattern: str, columns: Sequence[str]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    categories = _categories(pattern, columns) if pattern.lower().endswith(".parquet") else {}
    with _connect() as connection:
        for part in _relation(_open(connection, pattern), columns):
            for name, values in categories.items():
                place = part.column_names.index(name)
                codes = pc.index_in(part[name].combine_chunks(), value_set=values)
                part = part.set_column(place, name, pa.DictionaryArray.from_arrays(codes, values))
            yield part


def _categories(pattern: str, columns: Sequence[str]) -> dict[str, Any]:
    """The categories, in their order, of texts that were written as categoricals; DuckDB reads the texts alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, Any] = {}
    for path in sorted(glob.glob(pattern, recursive=True)):
        with pq.ParquetFile(path) as file:
            types = {field.name: field.type for field in file.schema_arrow}
            names = [
                name
                for name in columns
                if pa.types.is_dictionary(types[name]) and pa.types.is_string(types[name].value_type)
            ]
            for group in range(file.num_row_groups if names else 0):
                for name, column in zip(names, file.read_row_group(group, names).columns, strict=True):
                    values = [found[name]] if name in found else []
                    values += [chunk.dictionary for chunk in column.chunks]
                    if values:  # none where a whole row group is missing
                        found[name] = pa.concat_arrays(values).unique()
    return found


def _relation(relation: Any, columns: Sequence[str]) -> Iterator[Any]:
    quoted = ['"' + name.replace('"', '""') + '"' for name in columns]
    yield from _batches(relation.select(*quoted))


def _batches(relation: Any) -> Iterator[Any]:
    import pyarrow as pa

    reader = relation.to_arrow_reader(CHUNK)
    try:
        for batch in reader:
            yield pa.Table.from_batches([batch])
    finally:
        reader.close()


def _lazy(frame: Any, columns: Sequence[str]) -> Iterator[Any]:
    yield from frame.select(columns).collect_batches(chunk_size=CHUNK, maintain_order=True)
