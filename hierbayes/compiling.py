"""Functions that numba compiles when they are first needed: until then nothing imports it.

Families state their row functions here, below the engines that run them, and `import hierbayes` stays quick.
"""

import warnings
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from types import CellType, FunctionType
from typing import Any


class Deferred:
    """A function of numbers to be compiled with all that it calls; called from Python it runs as it is written.

    Parameters
    ----------
    function : callable
        May call other deferred functions by their names in its module.
    in_order : bool
        Whether sums must keep their order, because what is subtracted last is what rounding left of the first.
    within : bool
        Whether it always becomes part of what calls it, so that a loop over rows can fill vector registers.
    stored : bool
        Whether machine code is kept on disk for later sessions. A user's own is not: it may call what numba does not
        look at when it reads the disk, and would then be what it was before a change.

    Examples
    --------
    >>> square = Deferred(lambda x: x * x)
    >>> square(3.0)
    9.0
    """

    def __init__(
        self,
        function: Callable[..., Any],
        in_order: bool = False,
        within: bool = False,
        stored: bool = True,
    ) -> None:
        self.function = function
        self.in_order = in_order
        self.within = within
        self.stored = stored
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *arguments: Any) -> Any:
        """Run it as it is written."""
        return self.function(*arguments)

    @cached_property
    def compiled(self) -> Any:
        """The function as numba's, with machine code on disk for all later sessions where it is stored."""
        fast = {"contract"} if self.in_order else FAST
        options = OPTIONS | {"cache": self.stored}
        return kept(resolved(self.function), fastmath=fast, forceinline=self.within, **options)


def kept[F: Callable[..., Any]](function: F, **options: Any) -> F:
    """Compile with numba and keep the machine code, or only compile where no folder can be written to."""
    import numba as nb

    try:
        return nb.njit(**options)(function)
    except RuntimeError as error:  # numba's word for a read-only installation of a user without a home
        if "cannot cache function" not in str(error):
            raise
        _say_that_nothing_is_kept()
        return nb.njit(**{**options, "cache": False})(function)


@cache
def _say_that_nothing_is_kept() -> None:
    warnings.warn(
        "no folder can be written to that would keep the compiled kernels, so every session compiles them anew, which "
        "takes a minute or two; set the environment variable NUMBA_CACHE_DIR to a folder that can be written to",
        UserWarning,
        skip_file_prefixes=(str(Path(__file__).parent),),
    )


FAST = {"contract", "reassoc", "nsz"}  # sums fill vector registers; NaN and infinity keep their meaning
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


def deferred(function: Callable[..., Any]) -> Deferred:
    """Compile a function when it is first needed in compiled code."""
    return Deferred(function)


def row_function(function: Callable[..., Any]) -> Deferred:
    """The same, for what is computed of each row: it becomes part of the loop over rows."""
    return Deferred(function, within=True)


def row_function_in_order(function: Callable[..., Any]) -> Deferred:
    """The same, where sums must keep their order."""
    return Deferred(function, in_order=True, within=True)


def resolved(function: Callable[..., Any]) -> FunctionType:
    """The same function, the deferred ones that it names, in its module or around it, compiled."""
    assert isinstance(function, FunctionType)
    cells = tuple(
        CellType(cell.cell_contents.compiled) if isinstance(cell.cell_contents, Deferred) else cell
        for cell in function.__closure__ or ()
    )
    names = {
        name: value.compiled
        for name, value in function.__globals__.items()
        if name in function.__code__.co_names and isinstance(value, Deferred)
    }
    made = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        cells or None,
    )
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__
    return made


def written(name: str, source: str, file: str, module: str, stored: bool = True, **names: Any) -> Deferred:
    """A row function from its text, which calls others by the names given; kept on disk beside those of a file.

    Parameters
    ----------
    name : str
        The function's in the text.
    source : str
    file, module : str
        Those of the family: numba looks at the file's changes when it reads compiled code from disk.
    stored : bool
        As of `Deferred`.
    """
    space: dict[str, Any] = dict(names)
    exec(compile(source, file, "exec"), space)
    function = space[name]
    function.__module__ = module
    return Deferred(function, within=True, stored=stored)
