"""Designs without data: the rows that a prior predictive simulation needs, from a line of Python or TOML."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hierbayes.errors import DataError

type Column = int | Sequence[Any] | Mapping[str, Any]

LARGEST = 2_000_000  # rows of a grid: a factor too many is sooner meant than that


class DesignRows(pd.DataFrame):
    """A pandas data frame that need not hold the response: rows to simulate, not to fit.

    `design_grid` makes one; ``DesignRows(frame)`` makes one of rows of your own. What pandas makes of it (a
    selection, a column added) stays one.

    Examples
    --------
    >>> rows = DesignRows({"x": [0.0, 1.0], "g": ["a", "b"]})
    >>> type(rows.assign(z=1.0)[["x", "z"]]).__name__
    'DesignRows'
    """

    @property
    def _constructor(self) -> type["DesignRows"]:
        return DesignRows


def design_grid(
    columns: Mapping[str, Column] | None = None, /, *, replicates: int = 1, **more: Column
) -> DesignRows:
    """Every combination of the values given: a balanced design to simulate from.

    Parameters
    ----------
    columns : mapping of str to column, optional
        Columns whose names are no Python names; otherwise name them as arguments. A column is

        - a list of values, crossed with the other columns;
        - a whole number, so many levels of a grouping factor, ``"01"``, ``"02"``, …, crossed too;
        - ``{"of": "subject", "values": […]}``: a property of the levels of another column, which takes the values
          in turn: a treatment that each subject has one of.
    replicates : int
        How many rows each combination has.
    **more
        More columns.

    Returns
    -------
    DesignRows
        A data frame with a row for each combination and replicate, the first column changing slowest.

    Raises
    ------
    DataError
        For a column without values, a property of no column, or more than two million rows.

    Examples
    --------
    >>> rows = design_grid(subject=18, days=range(10), group={"of": "subject", "values": ["control", "drug"]})
    >>> len(rows), rows["subject"].iloc[-1], rows.groupby("group")["subject"].nunique().tolist()
    (180, '18', [9, 9])
    """
    given = {**(columns or {}), **more}
    if not given:
        raise DataError("a design needs a column; write design_grid(x=[0, 1], group=20)")
    if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 1:
        raise DataError(f"replicates must be a whole number, 1 or more; got {replicates!r}")
    crossed = {
        name: _values(name, column) for name, column in given.items() if not isinstance(column, Mapping)
    }
    size = math.prod(map(len, crossed.values())) * replicates
    if size > LARGEST:
        raise DataError(f"the design would have {size:,} rows, more than {LARGEST:,}; leave out some values")
    rows = [row for row in itertools.product(*crossed.values()) for _ in range(replicates)]
    frame = pd.DataFrame(rows, columns=list(crossed))
    for name, column in given.items():
        if isinstance(column, Mapping):
            frame[name] = _property(name, column, crossed, frame)
    return DesignRows(frame[list(given)])


def _values(name: str, column: Column) -> list[Any]:
    if isinstance(column, bool | str) or not isinstance(column, Iterable | int | np.integer):
        raise DataError(
            f"column {name!r} of the design is {column!r}; give a list of values, or a number of levels"
        )
    if not isinstance(column, Iterable):
        width = len(str(int(column)))
        values: list[Any] = [f"{level:0{width}d}" for level in range(1, int(column) + 1)]
    else:
        values = list(column)
    if not values:
        raise DataError(f"column {name!r} of the design has no values; give it one or more")
    return values


def _property(
    name: str, column: Mapping[str, Any], crossed: Mapping[str, list[Any]], frame: pd.DataFrame
) -> "pd.Series[Any]":
    if set(column) != {"of", "values"}:
        raise DataError(
            f"column {name!r} of the design is {dict(column)!r}; a property of another column's levels is written "
            '{"of": "subject", "values": ["control", "drug"]}'
        )
    owner, values = column["of"], _values(name, column["values"])
    if owner not in crossed:
        raise DataError(
            f"column {name!r} of the design is a property of {owner!r}, which is none of its columns: "
            f"{', '.join(crossed) or 'none'}"
        )
    cycle = dict(zip(crossed[owner], itertools.cycle(values), strict=False))
    return frame[owner].map(cycle)
