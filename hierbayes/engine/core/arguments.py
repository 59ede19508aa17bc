"""A kernel's arguments as plain words: addresses and shapes, which compiled code reads through one pointer.

Arguments are whole numbers, arrays, or named tuples of those, to any depth. Every model gives a kernel the same
*layout*: as many arrays, of the same types and dimensions; their shapes and addresses differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hierbayes.engine.core.problem import Ints

HEAD = 2  # words of a table's row before the arguments': see `entry.claim_row`
DENSITY, ROUTINE = "density", "routine"  # kinds of C functions: see `entry`
ENTRY = "hierbayes_entry"  # the function of a module that is called from outside
LINE = 16  # words so near each other that two threads should not write some of them at a time

type Argument = int | np.ndarray[Any, Any] | tuple["Argument", ...]


def leaves_of(arguments: Sequence[Argument]) -> Iterator[int | np.ndarray[Any, Any]]:
    """Return all numbers and arrays, in order."""
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from leaves_of(argument)
        else:
            yield argument


def layout_of(arguments: Sequence[Argument]) -> str:
    """Return what a kernel is compiled for: the tuples' names, the arrays' types and dimensions.

    Examples
    --------
    >>> layout_of([np.zeros((2, 3)), np.zeros(4, np.int64)])
    'float64[2],int64[1]'
    """
    return ",".join(map(_layout, arguments))


def _layout(argument: Argument) -> str:
    if isinstance(argument, tuple):
        return f"{type(argument).__name__}({layout_of(argument)})"
    return f"{argument.dtype.name}[{argument.ndim}]" if isinstance(argument, np.ndarray) else "int"


def words_of(arguments: Sequence[Argument]) -> Ints:
    """Return each number, and each array's address and shape, one after another.

    The arrays must outlive all use of the words.

    Raises
    ------
    ValueError
        For an array whose numbers are not next to each other in the order of its indices.
    """
    words: list[int] = []
    for place, leaf in enumerate(leaves_of(arguments)):
        if not isinstance(leaf, np.ndarray):
            words.append(leaf)
        elif leaf.flags.c_contiguous:
            words += [leaf.ctypes.data, *leaf.shape]
        else:
            raise ValueError(
                f"array {place} of a kernel's arguments, of shape {leaf.shape}, is not contiguous"
            )
    return np.array(words, np.int64)


@dataclass(frozen=True)
class Table:
    """What a C function of a kernel reads and writes: words, and the arrays that they point to.

    Attributes
    ----------
    words : array of int64, (1 + rows, length)
        Its own shape first; then a row for each thread that may call at the same time.
    arguments : tuple
        Of each row.
    """

    words: Ints
    arguments: tuple[tuple[Argument, ...], ...]


def make_table(arguments: Sequence[tuple[Argument, ...]]) -> Table:
    """Return the table of the arguments of each thread."""
    rows = [words_of(each) for each in arguments]
    length = (HEAD + rows[0].size) // LINE * LINE + 2 * LINE
    words = np.zeros((1 + len(rows), length), np.int64)
    words[0, :2] = words.shape
    for row, own in zip(words[1:], rows, strict=True):
        row[HEAD : HEAD + own.size] = own
    return Table(words, tuple(arguments))


def reading(arguments: Sequence[Argument], names: dict[str, Any]) -> str:
    """Return source text that makes the arguments of `words`, an array of those words, again.

    The tuples' classes are added to the names that the text is compiled with.
    """
    text, _ = _reading(arguments, 0, names)
    return text


def _reading(arguments: Sequence[Argument], at: int, names: dict[str, Any]) -> tuple[str, int]:
    parts = []
    for argument in arguments:
        if isinstance(argument, tuple):
            kind = type(argument)
            names[kind.__name__] = kind
            inner, at = _reading(argument, at, names)
            parts.append(f"{kind.__name__}({inner})")
        elif not isinstance(argument, np.ndarray):
            parts.append(f"words[{at}]")
            at += 1
        else:
            shape = "".join(f"words[{at + 1 + axis}], " for axis in range(argument.ndim))
            parts.append(f"carray(as_pointer(words[{at}]), ({shape}), dtype=np.{argument.dtype.name})")
            at += 1 + argument.ndim
    return ", ".join(parts), at
