"""Model matrices by formulae: learnt once from the training rows, replayed on any new ones."""

import contextlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.errors import DataError, FormulaError
from hierbayes.formula import CENTRINGS, NUMPY_FUNCTIONS, names_in
from hierbayes.formula.syntax import Call, Name, columns_named, formulae_name, read_expression, render, walk

Array = NDArray[np.float64]
SHOWN_ROWS = 5
INTERCEPT = "Intercept"


@dataclass(frozen=True)
class Term:
    """One term of a right-hand side.

    Attributes
    ----------
    text : str
        As a formula has it: ``"Days"``, ``"I(Days ** 2):arm"``; ``"1"`` for the intercept.
    variables : frozenset of str
        The columns of the data that it names; none for the intercept.
    columns : tuple of int
        Places of its columns in the model matrix.
    """

    text: str
    variables: frozenset[str]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Encoding:
    """One right-hand side whose levels, centres and knots have been learnt.

    Attributes
    ----------
    text : str
        The right-hand side: ``"1 + Days"``.
    labels : tuple of str
        The names of its k columns.
    terms : tuple of Term
        What the columns belong to, in their order.
    """

    text: str
    labels: tuple[str, ...]
    terms: tuple[Term, ...]
    _terms: Any = field(repr=False, compare=False)

    def matrix(self, frame: pd.DataFrame) -> Array:
        """Columns of the model matrix for the rows of `frame`: (n, k), with everything learnt replayed.

        Raises
        ------
        DataError
            For a level that training didn't have, or a result that is not a finite number.
        """
        if self._terms is None:
            return np.empty((len(frame), 0))
        with _formulae_errors(self.text, frame):
            matrix = self._terms.evaluate_new_data(frame).design_matrix
        matrix = np.ascontiguousarray(matrix, dtype=np.float64).reshape(len(frame), len(self.labels))
        self._check_finite(matrix, frame)
        return matrix

    def _check_finite(self, matrix: Array, frame: pd.DataFrame) -> None:
        if np.isfinite(matrix.sum()):
            return
        bad_rows, bad_columns = np.nonzero(~np.isfinite(matrix))
        if len(bad_rows):
            label = _unwrapped(self.labels[bad_columns[0]])
            rows = bad_rows[bad_columns == bad_columns[0]]
            raise DataError(
                f"{label!r} is not a finite number in {describe_rows(frame.index[np.unique(rows)])}; "
                "remove or correct those rows, or change the transformation"
            )


def learn_encoding(text: str, frame: pd.DataFrame) -> Encoding:
    """Learn a right-hand side from complete training rows.

    Parameters
    ----------
    text : str
        As formulae reads it, with the intercept explicit: ``"1 + Days"``, ``"0 + log(x)"``.
    frame : pandas.DataFrame
        The training rows, without missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> encoding = learn_encoding("1 + center(x)", pd.DataFrame({"x": [1.0, 2.0, 3.0]}))
    >>> encoding.matrix(pd.DataFrame({"x": [12.0]})).tolist()
    [[1.0, 10.0]]
    """
    if text == "0":
        return Encoding(text, (), (), None)
    from formulae import design_matrices
    from formulae.environment import Environment

    _compare_calls_safely()
    with _formulae_errors(text, frame):
        # an environment of its own: the default captures the caller's frames, and keeps all that they hold alive
        common = design_matrices(text, frame, na_action="error", env=Environment([_functions()])).common
    labels = tuple(common.as_dataframe().columns)
    repeated = {label for label in labels if labels.count(label) > 1}
    if repeated:
        raise FormulaError(f"{text!r} gives the column {sorted(repeated)[0]!r} more than once; write it once")
    _forget_rows(common)
    return Encoding(text, labels, _terms_of(text, common), common)


def _terms_of(text: str, common: Any) -> tuple[Term, ...]:
    """The terms of formulae's matrix; its names have lost their parentheses and quotes, those of `text` have not."""
    nodes = [node for node in walk(read_expression(text)) if isinstance(node, Name | Call)]
    parts = {formulae_name(node): node for node in nodes}
    found = []
    for name, term in common.terms.items():
        own = [parts[component.name] for component in getattr(term, "components", ())]
        columns = common.slices[name]
        found.append(
            Term(
                ":".join(map(render, own)) or "1",
                frozenset(column for node in own for column in columns_named(node)),
                tuple(range(columns.start, columns.stop)),
            )
        )
    return tuple(sorted(found, key=lambda term: term.columns))


def transformed_values(text: str, frame: pd.DataFrame) -> tuple[Array, ...]:
    """What the ``center()`` and ``scale()`` calls of a right-hand side are taken of, before they have learnt anything.

    Parameters
    ----------
    text : str
        As `learn_encoding` takes it, without such a call inside another.
    frame : pandas.DataFrame
        Some complete rows, n of them.

    Returns
    -------
    tuple of ndarray, (n,)
        One a call, in the order that `set_transforms` takes.
    """
    if not any(f"{name}(" in text for name in CENTRINGS):
        return ()
    from formulae.environment import Environment
    from formulae.model_description import model_description
    from formulae.transforms import TRANSFORMS

    environment = Environment([TRANSFORMS, _functions()])
    with _formulae_errors(text, frame):
        calls = _centrings(model_description(text).common_terms)
        values = [[*call.args, *call.kwargs.values()][0].eval(frame, environment) for call in calls]
    return tuple(np.asarray(value, dtype=np.float64) for value in values)


def set_transforms(encoding: Encoding, means: Sequence[float], deviations: Sequence[float]) -> None:
    """Give an encoding's ``center()`` and ``scale()`` calls the means and deviations of all training rows.

    It was learnt from some of them; nothing must have been encoded with it yet.
    """
    calls = _centrings(encoding._terms.terms.values()) if encoding._terms is not None else []
    for call, mean, deviation in zip(calls, means, deviations, strict=True):
        call.stateful_transform.mean = mean
        if hasattr(call.stateful_transform, "std"):
            call.stateful_transform.std = deviation


def _centrings(terms: Iterable[Any]) -> list[Any]:
    """The calls of `CENTRINGS` in formulae's terms, in order of appearance."""
    found: list[Any] = []
    components = [part for term in terms for part in getattr(term, "components", ())]
    pending = [part.call for part in reversed(components) if hasattr(part, "call")]
    while pending:
        node = pending.pop()
        if getattr(node, "callee", None) in CENTRINGS:
            found.append(node)
        pending += [*reversed([*getattr(node, "args", ()), *getattr(node, "kwargs", {}).values()])]
    return found


def learn_number(text: str, frame: pd.DataFrame, words: str) -> Encoding:
    """Learn an expression that is one number in each row: a computed response, an offset, trials, weights.

    Parameters
    ----------
    text : str
        The expression as formulae reads it, arithmetic inside ``I()``: ``"log(y)"``, ``"I(n)"``.
    frame : pandas.DataFrame
        The training rows, without missing values.
    words : str
        What messages call it.
    """
    name = _unwrapped(text)
    if name not in frame or pd.api.types.is_numeric_dtype(frame[name]):
        encoding = learn_encoding(f"0 + {text}", frame)
        kinds = {
            part.kind for term in encoding._terms.terms.values() for part in getattr(term, "components", ())
        }
        if len(encoding.labels) == 1 and kinds <= {"numeric"}:
            return encoding
    raise DataError(
        f"{words} must be one number in each row, but {name!r} is not; convert it in the data first"
    )


def describe_rows(rows: Sequence[Any] | pd.Index) -> str:
    """``"row 3"`` or ``"rows 3, 5, 9, … (12 in all)"``, by the labels of the user's own index.

    Examples
    --------
    >>> describe_rows([3, 5])
    'rows 3, 5'
    """
    shown = ", ".join(str(row) for row in list(rows[:SHOWN_ROWS]))
    if len(rows) > SHOWN_ROWS:
        return f"rows {shown}, … ({len(rows)} in all)"
    return f"row{'s' if len(rows) > 1 else ''} {shown}"


def _functions() -> dict[str, Any]:
    """What a formula may call besides formulae's own transforms; the names are `hierbayes.formula.FUNCTIONS`."""
    from formulae.transforms import TRANSFORMS

    return {"np": np, "factor": TRANSFORMS["C"]} | {name: getattr(np, name) for name in NUMPY_FUNCTIONS}


def _compare_calls_safely() -> None:
    """Let formulae 0.9 compare a call with anything: ``scale(log(x)) + scale(z)`` fails there otherwise."""
    from formulae.terms.call_resolver import LazyCall

    def same(self: Any, other: object) -> bool:
        mine = (self.callee, self.args, self.kwargs)
        return isinstance(other, LazyCall) and mine == (other.callee, other.args, other.kwargs)

    LazyCall.__eq__ = same


def _forget_rows(common: Any) -> None:
    """Drop the training rows that formulae keeps in its terms; what was learnt stays."""
    common.data = common.design_matrix = None
    for term in common.terms.values():
        term.data = None
        for component in getattr(term, "components", ()):
            component.value = component._intermediate_data = None


@contextlib.contextmanager
def _formulae_errors(text: str, frame: pd.DataFrame) -> Iterator[None]:
    """Turn whatever formulae raises into a DataError, and keep its printed notes off the screen."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
            yield
    except (DataError, FormulaError):
        raise
    except Exception as error:
        message = str(error).strip() or type(error).__name__
        unseen = re.match(r"The levels \((.*)\) in '(.*)' are not present", message, re.DOTALL)
        if unseen:
            raise DataError(
                f"{unseen[2]!r} has levels in the new rows that training didn't: {unseen[1]}. A population-level "
                f"factor has coefficients for its training levels alone: use those, or fit it as a grouping factor, "
                f"(1 | {names_in(unseen[2])[0]}), whose new levels are drawn from the population"
            ) from error
        labels = [
            name
            for name in names_in(text)
            if name in frame and not pd.api.types.is_numeric_dtype(frame[name])
        ]
        words = f"; text such as {labels[0]!r} is for factors, not for arithmetic" if labels else ""
        shown = _unwrapped(text.removeprefix("0 + ").removeprefix("1 + "))
        raise DataError(
            f"{shown!r} cannot be computed from these data: {message.rstrip('.')}{words}"
        ) from error


def _unwrapped(text: str) -> str:
    """A term as the user wrote it, without the ``I()`` that was put around it."""
    inside = text.removeprefix("I(").removesuffix(")")
    return inside if text == f"I({inside})" and inside.isidentifier() else text
