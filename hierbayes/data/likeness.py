"""Labels that are the same but for how they are written: blanks, case, a number as text, a time without its zone."""

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

_DASHES = dict.fromkeys(map(ord, "‐‑‒–—−"), "-") | dict.fromkeys(map(ord, "‘’‛′"), "'")
_TRUTH = {"true": "1", "false": "0"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[t ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?\s*(?:z|utc|[+-]\d\d:?\d\d)?")


def essence(value: Any) -> str:
    """What a label has in common with its other spellings.

    Examples
    --------
    >>> essence(" New  York"), essence("new york")
    ('new york', 'new york')
    >>> essence("10.0"), essence(10), essence(True), essence("TRUE")
    ('10', '10', '1', '1')
    >>> essence(dt.date(2024, 2, 1)), essence("2024-02-01 00:00:00+01:00")
    ('2024-02-01', '2024-02-01')
    """
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, int):
        return str(int(value))
    text = str(value.isoformat() if isinstance(value, dt.date) else value)
    text = " ".join(unicodedata.normalize("NFKC", text).translate(_DASHES).casefold().split())
    text = _TRUTH.get(text, text)
    if time := _TIME.fullmatch(text):
        clock = re.sub(r"(:00)?(\.0+)?$", "", time[2] or "")
        return time[1] if clock in ("", "00", "00:00") else f"{time[1]} {clock}"
    return _number(text)


def _number(text: str) -> str:
    """A number as it is shortest, other text as it is."""
    if re.fullmatch(r"[+-]?\d{1,99}", text):
        return str(int(text))
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() else str(value)


def alike(values: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Pairs among different values, each with the first that it is like.

    Examples
    --------
    >>> alike(["a", "b", "A ", 1])
    [('a', 'A ')]
    """
    firsts: dict[str, Any] = {}
    pairs = []
    for value in values:
        first = firsts.setdefault(essence(value), value)
        if first is not value:
            pairs.append((first, value))
    return pairs


def essences(values: Iterable[Any]) -> Mapping[str, Any]:
    """The values by what they have in common with other spellings of theirs."""
    return {essence(value): value for value in values}
