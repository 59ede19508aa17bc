"""A family's row function over many rows, compiled: for the kernels by its address, for NumPy as a function of arrays.

A row function says what one row's log density is and its scores in the inner coordinates of the parameters. Here it
becomes one C function over rows, compiled once a family and kept on disk, into whose loop it is inlined:

    void rows(n, J, stride, y (n, m), trials (n,), t (J, stride), out (1 + J, stride))

with J components of parameters: `t` their inner coordinates, `out` the log density and its scores. A response has m
columns, one in most families. Engines call it by its address, a chunk of rows at a time, so that no family adds to the
time that another takes to compile.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes import compiledlinks, kinds
from hierbayes.compiling import FAST, OPTIONS, Deferred, resolved
from hierbayes.errors import UnsupportedError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """A row function with what it takes.

    Attributes
    ----------
    name : str
        The family's.
    row : Deferred
        ``row(y, [trials,] parameters…[, shared])`` → (log density, score, …): see `Family`.
    shared : Deferred or None
    parameters : sequence of (str, Kind)
        Names and kinds of the parameters.
    needs_trials : bool
    listed : int or None
        From which parameter on the row function is given all components as one list: see `Family`.
    beside_columns : int or None
        How many components are no column's, of responses that have a column for each of the others: then the row
        function is given a list of these columns. None of responses that are numbers.
    """

    name: str
    row: Deferred
    shared: Deferred | None
    parameters: Sequence[tuple[str, kinds.Kind]]
    needs_trials: bool
    listed: int | None = None
    beside_columns: int | None = None

    @cached_property
    def _function(self) -> Any:
        import numba as nb

        numbers = nb.types.CPointer(nb.types.float64)
        signature = nb.types.void(*[nb.types.int64] * 3, *[numbers] * 4)
        options = {key: value for key, value in OPTIONS.items() if key != "nogil"}
        options["cache"] = self.row.stored
        try:
            return nb.cfunc(signature, fastmath=FAST, **options)(self._loop())
        except nb.core.errors.NumbaError as error:
            names = ", ".join(name for name, _ in self.parameters)
            raise UnsupportedError(
                f"numba cannot compile the row function of family {self.name!r}. It returns the log density and a "
                f"score for each of {names}; functions that it calls are numba's (numba.njit) or marked by "
                f"hb.row_function. In numba's words: {error}"
            ) from error

    @property
    def address(self) -> int:
        """Where the compiled function is."""
        return int(self._function.address)

    def _loop(self) -> Callable[..., None]:
        """The loop over rows, written out for this family's parameters.

        It is given the family's own file, whose changes numba looks at when it reads compiled code from disk.
        """
        import numba as nb

        space: dict[str, Any] = {"carray": nb.carray, "row": self.row.compiled, "nan": np.nan}
        for _, kind in self.parameters:
            space[kind.form] = getattr(kinds, kind.form).compiled
        space["list_row"] = kinds.list_row.compiled
        if self.shared is not None:
            space["shared"] = self.shared.compiled
        exec(compile(self.source, inspect.getfile(self.row.function), "exec"), space)
        loop = space[f"{self.name}_rows"]
        loop.__module__ = self.row.__module__
        return resolved(loop)

    @property
    def source(self) -> str:
        """The loop as text."""
        response, responses = "y[i]", "carray(y_at, (n,))"
        if self.beside_columns is not None:
            m = f"J - {self.beside_columns}"
            response, responses = f"list_row(y, i, 0, {m})", f"carray(y_at, (n, {m})).T"
        forms, scores, arguments = [], [], [response, *(["trials[i]"] if self.needs_trials else [])]
        stores = ["out[0, i] = value"]
        for place, (name, kind) in enumerate(self.parameters[: self.listed]):
            arguments.append(name)
            if kind.vector:
                forms.append(f"{name} = {kind.form}(t, i, {place}, J, y[i])")
                scores.append(f"(lower_{name}, upper_{name})")
                stores += [
                    f"for j in range({place}, J):",
                    "    out[1 + j, i] = 0.0",
                    "k = int(y[i])",
                    "if k > 0:",
                    f"    out[{place} + k, i] = lower_{name}",
                    f"if {place} + k < J:",
                    f"    out[{place} + 1 + k, i] = upper_{name}",
                ]
            else:
                forms.append(f"{name} = {kind.form}(t[{place}, i])")
                scores.append(f"score_{name}")
                stores.append(f"out[{1 + place}, i] = score_{name}")
        if self.listed is not None:
            forms.append(f"listed = list_row(t, i, {self.listed}, J)")
            arguments += ["listed", f"list_row(out, i, {1 + self.listed}, 1 + J)"]
        arguments += ["once"] if self.shared is not None else []
        y, trials, t, out = (f"{name}_" if self.shared else name for name in ("y", "trials", "t", "out"))
        returned = ", ".join(["value", *scores])
        body = [*forms, f"{returned} = row({', '.join(arguments)})", *stores]
        return "\n".join(
            [
                f"def {self.name}_rows(n, J, stride, y_at, trials_at, t_at, out_at):",
                f"    {y}, {trials} = {responses}, carray(trials_at, (n,))",
                f"    {t}, {out} = carray(t_at, (J, stride)), carray(out_at, (1 + J, stride))",
                *(
                    f"    {line}"
                    for line in (self._runs(body) if self.shared else ["for i in range(n):", *_in(body)])
                ),
                "",
            ]
        )

    def _runs(self, body: Sequence[str]) -> list[str]:
        """Runs of rows that share what `shared` is computed from."""
        assert self.shared is not None
        wanted = list(inspect.signature(self.shared.function).parameters)
        names = [name for name, _ in self.parameters]
        reads = [f"t_[{names.index(name)}, {{0}}]" if name in names else f"{name}_[{{0}}]" for name in wanted]
        same = " and ".join(f"{read.format('end')} == {read.format('first')}" for read in reads)
        given = [
            f"{dict(self.parameters)[name].form}({read.format('first')})"
            if name in names
            else read.format("first")
            for name, read in zip(wanted, reads, strict=True)
        ]
        run = [
            f"once = shared({', '.join(given)})",
            "end = first + 1",
            f"while end < n and {same}:",
            "    end += 1",
            # parts whose rows count from 0: a number that may be negative is a place from the end, which takes time
            "y, trials, t, out = y_[first:end], trials_[first:end], t_[:, first:end], out_[:, first:end]",
            "for i in range(end - first):",
            *_in(body),
            "first = end",
        ]
        return ["first = 0", "while first < n:", *_in(run)]

    def evaluate(self, y: Array, trials: Array | None, t: Array) -> Array:
        """Log density and scores (1 + J, N) of N rows, y (N,) or (N, m), from inner coordinates (J, N)."""
        n, y = len(y), np.ascontiguousarray(y, np.float64)
        trials = np.ones(n) if trials is None else np.ascontiguousarray(trials, np.float64)
        t = np.ascontiguousarray(t)
        out = np.empty((1 + len(t), n))
        if n:
            arrays = [_pointer(array) for array in (y, trials, t, out)]
            self._function.ctypes(n, len(t), n, *arrays)
        return out


def _in(lines: Sequence[str]) -> list[str]:
    """Lines of text within a loop."""
    return [f"    {line}" for line in lines]


def _pointer(array: Array) -> Any:
    import ctypes

    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


def inner_coordinates(kind: kinds.Kind, link: str, eta: Array) -> tuple[Array, Any, Any]:
    """Inner coordinates of linear predictors, their slopes (1 under the canonical link), and which are possible."""
    code = kind.codes[link]
    if code == 0:
        return eta, 1.0, True
    if np.isfortran(eta):
        inner, slope, possible = inner_coordinates(kind, link, eta.T)
        return inner.T, slope.T, possible if possible is True else possible.T
    t, slope = np.array(eta, np.float64, order="C"), np.empty(eta.shape)
    if compiledlinks.apply_link.compiled(code, t.reshape(-1), slope.reshape(-1)):
        return t, slope, True
    low, high = kind.domains[link]
    return t, slope, (eta >= low) & (eta <= high)
