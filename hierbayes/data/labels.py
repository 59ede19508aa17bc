"""Values of columns as text and back, exactly: what a saved fit can hold, and so what a model takes."""

import datetime as dt
import fractions
import json
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hierbayes.errors import DataError


def to_json(value: Any) -> str:
    """A value as JSON that `from_json` reads back to an equal one of the same kind.

    Raises
    ------
    DataError
        For a value of a kind that has no such text.

    Examples
    --------
    >>> to_json((1, dt.date(1503, 1, 31)))
    '{"tuple": [1, {"date": "1503-01-31"}]}'
    """
    return json.dumps(_tagged(value))


def _tagged(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    match value:
        case None | bool() | int() | float() | str():
            return value
        case fractions.Fraction():
            return {"fraction": str(value)}
        case uuid.UUID():
            return {"uuid": value.hex}
        case bytes():
            return {"bytes": value.hex()}
        case tuple():
            return {"tuple": [_tagged(part) for part in value]}
        case pd.Interval(left=left, right=right, closed=closed):
            return {"interval": [_tagged(left), _tagged(right), closed]}
        case pd.Period(freqstr=freq):
            return {"period": [str(value), freq]}
        case pd.Timedelta():
            return {"timedelta": value.isoformat()}
        case dt.datetime():
            return {"datetime": value.isoformat()}
        case dt.date():
            return {"date": value.isoformat()}
        case dt.time():
            return {"time": value.isoformat()}
    raise DataError(
        f"{type(value).__name__} values, such as {value!r}, have no text that they could be read from"
    )


_READERS: dict[str, Callable[[Any], Any]] = {
    "fraction": fractions.Fraction,
    "uuid": uuid.UUID,
    "bytes": bytes.fromhex,
    "tuple": tuple,
    "interval": lambda parts: pd.Interval(*parts),
    "period": lambda parts: pd.Period(*parts),
    "timedelta": pd.Timedelta,
    "datetime": pd.Timestamp,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
}


def from_json(text: str) -> Any:
    """The value that `to_json` wrote."""

    def read(tagged: dict[str, Any]) -> Any:
        ((kind, value),) = tagged.items()
        return _READERS[kind](value)

    return json.loads(text, object_hook=read)


def check_labels(frame: pd.DataFrame) -> None:
    """Refuse columns of values that a saved fit could not hold, before any model is made of them.

    Raises
    ------
    DataError
        For values of a kind that isn't known (sets, lists, a user's own objects), which have no order either.
    """
    for name, column in frame.items():
        values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
        plain = values.dtype != object and not pd.api.types.is_complex_dtype(values.dtype)
        if plain or pd.api.types.infer_dtype(values, skipna=False) == "string":
            continue
        for value in {type(value): value for value in values}.values():
            try:
                same = from_json(to_json(value)) == value
            except (DataError, ValueError, TypeError):
                same = False
            if not same and not (pd.api.types.is_scalar(value) and pd.isna(value)):
                raise DataError(
                    f"column {name!r} holds {type(value).__name__} values, such as {value!r}, which cannot be levels "
                    "of a factor; make it a column of text or numbers"
                )
