"""What a function of a formula is: a record each, of a row alone or of what it learns from the training rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
REQUIRED: Any = object()


@dataclass(frozen=True)
class Argument:
    """An argument of a transform beside the values that it transforms.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    default : Any
        Its value where it is not given; `REQUIRED` for none.
    """

    kind: str
    default: Any = None


@dataclass(frozen=True)
class Elementwise:
    """A function whose value in a row depends on that row alone.

    Attributes
    ----------
    name : str
        What formulas call it; ``np.`` may stand before it.
    function : callable
        Arrays of float64 to one array, row by row.
    arguments : tuple of str
        The names of its arguments, in order.
    required : int
        How many of them must be given.
    slopes : tuple of callable
        Its derivative in each argument, a function of all of them, where parameters may stand in it too
        (`nl()`): then PyTensor has the function by the same name. None of steps and of what looks at single bits.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    required: int
    slopes: tuple[Callable[..., Any], ...] = ()


@dataclass(frozen=True)
class Transform:
    """A function that learns from the training rows and replays what it learnt on any others.

    Attributes
    ----------
    name : str
        What formulas call it.
    learn : callable
        Values of the training rows (n,) and the arguments by name → a state, which holds no rows. It raises a
        ValueError where they cannot serve, whose text follows "cannot be computed from these data: ".
    columns : callable
        State and values of any rows (n,) → their columns: (n,) or (n, k).
    arguments : mapping of str to Argument
        What stands behind the values, in order.
    of_moments : callable, optional
        The state from the mean and the standard deviation of the values alone, where nothing more is learnt: such a
        transform works on rows that are read in parts.
    takes_numbers : bool
        Whether the values are numbers, or a column as it is.
    """

    name: str
    learn: Callable[..., Any]
    columns: Callable[[Any, Any], Any]
    arguments: Mapping[str, Argument] = field(default_factory=lambda: MappingProxyType({}))
    of_moments: Callable[[float, float], Any] | None = None
    takes_numbers: bool = True


@dataclass(frozen=True)
class Categories:
    """A function that makes categories of a column.

    Attributes
    ----------
    name : str
        What formulas call it.
    arguments : mapping of str to Argument
        What stands behind the column, in order.
    contrast : str or None
        The contrast that it codes by; None where an argument says so.
    """

    name: str
    arguments: Mapping[str, Argument]
    contrast: str | None = None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_level(value: Any) -> bool:
    return isinstance(value, int | float | str)


# kind of an argument: what it must be, and the words for it
KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType(
    {
        "whole": (_is_whole, "a whole number"),
        "number": (_is_number, "a number"),
        "truth": (lambda value: isinstance(value, bool), "True or False"),
        "text": (lambda value: isinstance(value, str), "a text in quotes"),
        "level": (_is_level, "a level, a number or a text in quotes"),
        "numbers": (
            lambda value: isinstance(value, tuple) and bool(value) and all(map(_is_number, value)),
            "a list of numbers, [1, 2]",
        ),
        "levels": (
            lambda value: isinstance(value, tuple) and bool(value) and all(map(_is_level, value)),
            'a list of levels, ["a", "b"]',
        ),
    }
)
