"""Model matrices: learnt once from the training rows, replayed on any new ones."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.cells import empty_columns
from hierbayes.data.coding import CodedBlock, code_terms, short_in_r
from hierbayes.data.curves import Curve, Curves, learn_curves
from hierbayes.data.expressions import Rows, describe_rows, not_finite, unwrapped
from hierbayes.data.latent import Imputed, Latent, LatentEffect, learn_latent
from hierbayes.data.monotonic import MOST_PAIRS, Monotonic, Ordered, Simplex, learn_ordered, simplexes_of
from hierbayes.data.tables import free_name
from hierbayes.data.variables import (
    Levels,
    Numbers,
    NumbersByMember,
    Variable,
    learn_by_member,
    learn_variable,
)
from hierbayes.errors import DataError, FormulaError
from hierbayes.formula.bymember import is_by_member
from hierbayes.formula.latent import is_latent, predictors_in
from hierbayes.formula.monotonic import is_monotonic
from hierbayes.formula.smooths import is_smooth, read_smooth
from hierbayes.formula.syntax import Call, Node, columns_named, render, walk
from hierbayes.formula.terms import read_terms
from hierbayes.transforms import TRANSFORMS

Array = NDArray[np.float64]
INTERCEPT = "Intercept"
MOST_COLUMNS = 20_000
type Factor = Variable | Curves | Ordered | Latent | Imputed
_PIECE = 4096  # rows that are put together at a time: their columns stay in the cache

__all__ = [
    "INTERCEPT",
    "Encoding",
    "Term",
    "describe_rows",
    "intercept_label",
    "learn_encoding",
    "learn_number",
    "moment_calls",
    "transformed_values",
]


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


@dataclass(frozen=True, eq=False)
class Block:
    """Columns that are products of the columns of some variables.

    Attributes
    ----------
    factors : tuple of Node
        The variables, by their expressions; none for the intercept.
    codings : tuple of (ndarray or None)
        For each, the matrix (levels, columns) that its level numbers are looked up in; None for numbers.
    labels : tuple of str
        The names of the columns.
    picks : tuple of tuple of int
        Which column of each variable a column is the product of.
    """

    factors: tuple[Node, ...]
    codings: tuple[Array | None, ...]
    labels: tuple[str, ...]
    picks: tuple[tuple[int, ...], ...]

    @property
    def term(self) -> str:
        """The text of its term."""
        return ":".join(map(render, self.factors)) or "1"

    def without(self, places: frozenset[int]) -> "Block":
        """The block less some of its columns."""
        kept = [j for j in range(len(self.picks)) if j not in places]
        return replace(
            self, labels=tuple(self.labels[j] for j in kept), picks=tuple(self.picks[j] for j in kept)
        )


@dataclass(frozen=True, eq=False)
class SmoothColumns:
    """A smooth, the places of its straight columns among the population-level ones, and of its penalised columns."""

    curves: Curves
    straight: tuple[int, ...]
    penalised: slice


@dataclass(frozen=True, eq=False)
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
    dropped : tuple of str
        Names of columns of cells without rows, which are left out: they are 0 in every training row, or determined
        by others.
    """

    text: str
    labels: tuple[str, ...]
    terms: tuple[Term, ...]
    dropped: tuple[str, ...]
    _blocks: tuple[Block, ...] = field(repr=False)
    _variables: Mapping[Node, Factor] = field(repr=False)
    _states: Mapping[Node, Any] = field(repr=False)

    @property
    def intercept(self) -> int | None:
        """Which of the columns is the intercept, None where there is none."""
        return next((term.columns[0] for term in self.terms if term.text == "1"), None)

    @property
    def categories(self) -> Mapping[str, tuple[Any, ...]]:
        """The levels of its categories, by what they are categories of."""
        return {render(node): v.levels for node, v in self._variables.items() if isinstance(v, Levels)}

    def category_of(self, text: str) -> tuple[int, ...]:
        """Which category of a variable that is coded in full each column is about: (k,)."""
        node = next(node for node in self._variables if render(node) == text)
        return tuple(picks[block.factors.index(node)] for block in self._blocks for picks in block.picks)

    def only(self, places: Sequence[int]) -> "Encoding":
        """The encoding of some of its columns."""
        kept, start, blocks, labels = set(places), 0, [], []
        for block in self._blocks:
            own = [j for j in range(len(block.picks)) if start + j in kept]
            if own:
                blocks.append(block.without(frozenset(range(len(block.picks))) - set(own)))
                labels += [self.labels[start + j] for j in own]
            start += len(block.picks)
        terms = _terms_of(tuple(blocks))
        return replace(self, labels=tuple(labels), terms=terms, _blocks=tuple(blocks))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that its values are made of, but for those that say how others were measured."""
        return predictors_in(self.text)

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """The curves of its smooths, whose straight parts are among the columns."""
        return tuple(curve for v in self._variables.values() if isinstance(v, Curves) for curve in v.each)

    @cached_property
    def monotonic(self) -> tuple[Monotonic, ...]:
        """The coefficients of monotonic effects, in their order."""
        found: list[Monotonic] = []
        place = 0
        for block in self._blocks:
            ordered = self._ordered(block)
            if ordered:
                steps = tuple(one.steps for one in ordered)
                found += [
                    Monotonic(label, place + j, steps, _simplex_labels(label, ordered))
                    for j, label in enumerate(block.labels)
                ]
            place += len(block.labels)
        return tuple(found)

    @cached_property
    def simplexes(self) -> tuple[Simplex, ...]:
        """The shares of the steps of `monotonic`, those that several have in common once."""
        return simplexes_of(self.monotonic)

    def _ordered(self, block: Block) -> list[Ordered]:
        """The ordered predictors that a block's columns are products of."""
        return [v for node in block.factors if isinstance(v := self._variables[node], Ordered)]

    @cached_property
    def latents(self) -> tuple[Latent | Imputed, ...]:
        """The predictors whose values are drawn."""
        return tuple(v for v in self._variables.values() if isinstance(v, Latent | Imputed))

    def with_drawn(self, index: Mapping[str, NDArray[Any]]) -> "Encoding":
        """The encoding where the values of missing predictors, by column, are drawn in the rows of these labels."""
        variables = {
            node: replace(v, index=index[v.column]) if isinstance(v, Imputed) and v.column in index else v
            for node, v in self._variables.items()
        }
        return replace(self, _variables=variables)

    @cached_property
    def latent_effects(self) -> tuple[LatentEffect, ...]:
        """The coefficients of products with these, in their order."""
        found: list[LatentEffect] = []
        place = 0
        for block in self._blocks:
            columns = tuple(latent.column for latent in self._latents(block))
            if columns:
                found += [LatentEffect(label, place + j, columns) for j, label in enumerate(block.labels)]
            place += len(block.labels)
        return tuple(found)

    def _latents(self, block: Block) -> list[Latent | Imputed]:
        return [v for node in block.factors if isinstance(v := self._variables[node], Latent | Imputed)]

    @property
    def smooths(self) -> "Iterator[SmoothColumns]":
        """Each smooth with the places of its columns."""
        places = {term.text: term.columns for term in self.terms}
        first = 0
        for node, variable in self._variables.items():
            if isinstance(variable, Curves):
                width = sum(curve.width for curve in variable.each)
                yield SmoothColumns(variable, places.get(render(node), ()), slice(first, first + width))
                first += width

    def smooth_rows(self, curves: Curves, frame: pd.DataFrame) -> tuple[Array, Array]:
        """The columns of one smooth that are free of penalty (n, p) and those that are penalised (n, m).

        The frame needs the columns that the smooth names, and no others.
        """
        rows = Rows(frame, dict(self._states))
        straight = curves.columns(rows)
        return np.column_stack(straight) if straight else np.empty((len(frame), 0)), curves.penalised(rows)

    @property
    def is_numeric(self) -> bool:
        """Whether no variable is one of categories."""
        return all(isinstance(variable, Numbers) for variable in self._variables.values())

    @property
    def by_member(self) -> bool:
        """Whether any of its columns has values for each of a row's levels."""
        return any(isinstance(variable, NumbersByMember) for variable in self._variables.values())

    def of_member(self, member: int) -> "Encoding":
        """The encoding with the values of one of a row's levels, in their order; otherwise they are the first's."""
        own = {
            node: replace(variable, member=member) if isinstance(variable, NumbersByMember) else variable
            for node, variable in self._variables.items()
        }
        return replace(self, _variables=own)

    def matrix(self, frame: pd.DataFrame) -> Array:
        """Columns of the model matrix for the rows of `frame`: (n, k), with everything learnt replayed.

        Raises
        ------
        DataError
            For a level that training didn't have, or a result that is not a finite number.
        """
        rows = Rows(frame, dict(self._states))
        with np.errstate(all="ignore"):
            values = {node: _values(variable, rows) for node, variable in self._variables.items()}
            matrix = np.empty((len(frame), len(self.labels)))
            for start in range(0, len(frame), _PIECE):
                piece = slice(start, start + _PIECE)
                _fill(matrix[piece], self._blocks, values, piece)
        self._check_finite(matrix, frame)
        return matrix

    def penalised(self, frame: pd.DataFrame) -> Array:
        """The penalised columns of all curves for the rows of `frame`, side by side: (n, m)."""
        rows = Rows(frame, dict(self._states))
        parts = [v.penalised(rows) for v in self._variables.values() if isinstance(v, Curves)]
        return np.hstack(parts) if parts else np.empty((len(frame), 0))

    def stairs(self, frame: pd.DataFrame) -> Array:
        """The columns of monotonic effects that begin at a step, for the rows of `frame`: (n, m).

        One for each step of each of `monotonic`, or for the steps of several together: what its column in the model
        matrix rises by there, from there on.
        """
        if not self.monotonic:
            return np.empty((len(frame), 0))
        rows, parts, effects = Rows(frame, dict(self._states)), [], iter(self.monotonic)
        for block in self._blocks:
            ordered = self._ordered(block)
            if ordered:
                codes = [one.columns(rows)[0] for one in ordered]
                multipliers = self._multipliers(block, ordered, rows).T
                parts += [next(effects).stairs(codes) * column[:, None] for column in multipliers]
        return np.hstack(parts)

    def multipliers(self, frame: pd.DataFrame) -> Array:
        """What each of `latent_effects` multiplies drawn values by, the product of its other factors: (n, k)."""
        rows = Rows(frame, dict(self._states))
        parts = [
            self._multipliers(block, latents, rows)
            for block in self._blocks
            if (latents := self._latents(block))
        ]
        return np.hstack(parts) if parts else np.empty((len(frame), 0))

    def _multipliers(self, block: Block, without: Sequence[Factor], rows: Rows) -> Array:
        """A block's columns with 1 in the place of some of their factors: (n, k)."""
        variables = {node: self._variables[node] for node in block.factors}
        values = {
            node: [np.ones(len(rows))] if any(v is one for one in without) else _values(v, rows)
            for node, v in variables.items()
        }
        found = np.empty((len(rows), len(block.labels)))
        _fill(found, (block,), values, slice(None))
        return found

    def _check_finite(self, matrix: Array, frame: pd.DataFrame) -> None:
        if np.isfinite(matrix.sum()):
            return
        bad_rows, bad_columns = np.nonzero(~np.isfinite(matrix))
        if len(bad_rows):
            rows = bad_rows[bad_columns == bad_columns[0]]
            raise not_finite(unwrapped(self.labels[bad_columns[0]]), frame.index[np.unique(rows)])

    def with_moments(self, moments: Mapping[str, tuple[float, float]]) -> "Encoding":
        """The encoding with ``center()``, ``scale()`` and the like about other means and deviations.

        Parameters
        ----------
        moments : mapping of str to (float, float)
            Mean and standard deviation of what each call transforms, by the call's text; they are about all training
            rows where the encoding was learnt from some.
        """
        states = dict(self._states)
        for call in states:
            if isinstance(call, Call) and (of_moments := TRANSFORMS[call.function].of_moments):
                states[call] = of_moments(*moments[render(call)])
        return replace(self, _states=states)


type _Values = list[Array] | NDArray[np.int64]


def _values(variable: Factor, rows: Rows) -> _Values:
    """Columns of numbers, or level numbers."""
    return variable.codes(rows) if isinstance(variable, Levels) else variable.columns(rows)


def _fill(out: Array, blocks: tuple[Block, ...], values: Mapping[Node, _Values], piece: slice) -> None:
    """The columns of all blocks for a piece of the rows, put into `out` (rows of the piece, k)."""
    place = 0
    for block in blocks:
        parts = [
            _part(values[node], coding, piece)
            for node, coding in zip(block.factors, block.codings, strict=True)
        ]
        for picks in block.picks:
            column = out[:, place]
            column[:] = parts[0][picks[0]] if parts else 1.0
            for part, pick in zip(parts[1:], picks[1:], strict=True):
                column *= part[pick]
            place += 1


def _part(values: _Values, coding: Array | None, piece: slice) -> Sequence[Array] | Array:
    """A variable's columns for a piece of the rows."""
    if isinstance(values, list):
        return [column[piece] for column in values]
    assert coding is not None, "level numbers are looked up"
    return coding.T[:, values[piece]]


# -- learning ---------------------------------------------------------------------------------------------------


def intercept_label(columns: Iterable[str]) -> str:
    """What the intercept is called beside these columns: ``"Intercept"``, unless one of them is called so.

    Examples
    --------
    >>> intercept_label(["x", "Intercept"])
    'Intercept_'
    """
    return free_name(INTERCEPT, set(columns))


def learn_encoding(text: str, frame: pd.DataFrame, intercept: str = INTERCEPT) -> Encoding:
    """Learn a right-hand side from complete training rows.

    Parameters
    ----------
    text : str
        Canonical, with the intercept explicit: ``"1 + Days"``, ``"0 + log(x)"``.
    frame : pandas.DataFrame
        The training rows, without missing values.
    intercept : str
        What the intercept is called.

    Examples
    --------
    >>> import pandas as pd
    >>> encoding = learn_encoding("1 + center(x)", pd.DataFrame({"x": [1.0, 2.0, 3.0]}))
    >>> encoding.matrix(pd.DataFrame({"x": [12.0]})).tolist()
    [[1.0, 10.0]]
    """
    terms = read_terms(text)
    factors = [(), *terms.present.values()] if terms.intercept else list(terms.present.values())
    rows = Rows(frame, {}, learning=True)
    nodes = dict.fromkeys(node for term in factors for node in term)
    with np.errstate(all="ignore"):
        variables = {node: _learn_factor(node, rows) for node in nodes}
    categorical = frozenset(node for node, variable in variables.items() if isinstance(variable, Levels))
    for term in factors:
        _check_size(text, term, variables)
        _check_steps(text, term, variables)
    _check_margins(text, factors, categorical)
    coded = code_terms(factors, categorical)
    whole = [_block(block, variables, intercept) for block in coded]
    empty = _empty(coded, whole, variables, rows)
    blocks = tuple(block.without(places) for block, places in zip(whole, empty, strict=True))
    dropped = tuple(
        block.labels[j] for block, places in zip(whole, empty, strict=True) for j in sorted(places)
    )
    labels = tuple(label for block in blocks for label in block.labels)
    repeated = sorted(label for label, times in Counter(labels).items() if times > 1)
    if repeated:
        raise FormulaError(f"{text!r} gives the column {repeated[0]!r} more than once; write it once")
    return Encoding(text, labels, _terms_of(blocks), dropped, blocks, variables, rows.states)


def _learn_factor(node: Node, rows: Rows) -> Factor:
    """A factor of a term, learnt."""
    if isinstance(node, Call) and is_smooth(node):
        return learn_curves(read_smooth(node), rows)
    if is_monotonic(node):
        return learn_ordered(node, rows)
    if is_by_member(node):
        return learn_by_member(node, rows)
    if is_latent(node):
        return learn_latent(node, rows)
    return learn_variable(node, rows)


def _check_size(text: str, term: tuple[Node, ...], variables: Mapping[Node, Factor]) -> None:
    sizes = {node: len(v.levels) for node in term if isinstance(v := variables[node], Levels)}
    if prod(sizes.values()) > MOST_COLUMNS:
        shown = ":".join(map(render, term))
        name = columns_named(max(sizes, key=lambda node: sizes[node]))[0]
        raise FormulaError(
            f"{shown} in {text!r} would have {prod(sizes.values())} columns; a factor of so many levels is for a group "
            f"term, (1 | {name})"
        )


def _check_steps(text: str, term: tuple[Node, ...], variables: Mapping[Node, Factor]) -> None:
    """Refuse a product of monotonic effects whose steps meet in too many places."""
    sizes = {node: len(v.steps) for node in term if isinstance(v := variables[node], Ordered)}
    if len(sizes) > 1 and prod(sizes.values()) > MOST_PAIRS:
        raise FormulaError(
            f"{':'.join(map(render, term))} in {text!r} multiplies {' by '.join(map(str, sizes.values()))} steps, more "
            f"than {MOST_PAIRS} pairs; cut the columns into fewer ordered categories first"
        )


def _simplex_labels(label: str, ordered: Sequence[Ordered]) -> tuple[str, ...]:
    """What the shares of the steps of each ordered predictor of a coefficient are called."""
    several = len(ordered) > 1
    return tuple(one.term.id or (f"{label}, {one.term.label}" if several else label) for one in ordered)


def _check_margins(text: str, factors: list[tuple[Node, ...]], categorical: frozenset[Node]) -> None:
    """Refuse what R's rule, and so lme4's, would code with fewer columns than the terms have."""
    place = short_in_r(factors, categorical)
    if place is None:
        return
    term = factors[place]
    whole = " * ".join(render(node) for node in term)
    raise FormulaError(
        f"{':'.join(map(render, term))} stands in {text!r} without all of its simpler terms: R and lme4 would leave "
        f"some of its columns out, others would not. Write {whole}, or add the simpler terms that are missing"
    )


def _block(coded: CodedBlock[Node], variables: Mapping[Node, Factor], intercept: str) -> Block:
    codings: list[Array | None] = []
    names: list[tuple[str, ...]] = []
    for node in coded.factors:
        variable = variables[node]
        if isinstance(variable, Levels):
            coding = variable.coding(node in coded.full)
            codings.append(coding.matrix)
            names.append(variable.labels(coding))
        else:
            codings.append(None)
            names.append(variable.labels)
    if not names:
        return Block((), (), (intercept,), ((),))
    labels = tuple(map(":".join, product(*names)))
    return Block(coded.factors, tuple(codings), labels, tuple(product(*(range(len(own)) for own in names))))


def _empty(
    coded: tuple[CodedBlock[Node], ...],
    blocks: list[Block],
    variables: Mapping[Node, Factor],
    rows: Rows,
) -> list[frozenset[int]]:
    """Places of each block's columns that no row can tell, because a combination of categories has none."""
    crossed = {
        node
        for block in coded
        for node in block.factors
        if sum(isinstance(variables[factor], Levels) for factor in block.factors) > 1
    }
    codes = {
        node: variable.codes(rows) if node in crossed else np.empty(0, np.int64)
        for node, variable in variables.items()
        if isinstance(variable, Levels)
    }
    sizes = {
        node: len(variable.levels) for node, variable in variables.items() if isinstance(variable, Levels)
    }
    return empty_columns(
        coded, [block.codings for block in blocks], [block.picks for block in blocks], codes, sizes
    )


def _terms_of(blocks: tuple[Block, ...]) -> tuple[Term, ...]:
    terms: list[Term] = []
    start = 0
    for block in blocks:
        columns = tuple(range(start, start + len(block.labels)))
        start += len(columns)
        variables = frozenset(name for node in block.factors for name in columns_named(node))
        if terms and terms[-1].text == block.term:
            columns = (*terms.pop().columns, *columns)
        if columns:
            terms.append(Term(block.term, variables, columns))
    return tuple(terms)


def learn_number(text: str, frame: pd.DataFrame, words: str) -> Encoding:
    """Learn an expression that is one number in each row: a computed response, an offset, trials, weights.

    Parameters
    ----------
    text : str
        The expression, arithmetic inside ``I()``: ``"log(y)"``, ``"I(n)"``.
    frame : pandas.DataFrame
        The training rows, without missing values.
    words : str
        What messages call it.
    """
    name = unwrapped(text)
    if name not in frame or pd.api.types.is_numeric_dtype(frame[name]):
        encoding = learn_encoding(f"0 + {text}", frame)
        if len(encoding.labels) == 1 and encoding.is_numeric:
            return encoding
    raise DataError(
        f"{words} must be one number in each row, but {name!r} is not; convert it in the data first"
    )


# -- transforms that are learnt in parts ------------------------------------------------------------------------


def moment_calls(text: str) -> Iterator[Call]:
    """The calls of a right-hand side that learn no more than a mean and a standard deviation."""
    for terms in read_terms(text).present.values():
        for node in terms:
            for part in walk(node):
                if not isinstance(part, Call):
                    continue
                transform = TRANSFORMS.get(part.function)
                if transform is not None and transform.of_moments is not None:
                    yield part


def transformed_values(text: str, frame: pd.DataFrame) -> dict[str, Array]:
    """What the calls of `moment_calls` are taken of, before they have learnt anything.

    Parameters
    ----------
    text : str
        As `learn_encoding` takes it, without such a call inside another.
    frame : pandas.DataFrame
        Some complete rows, n of them.

    Returns
    -------
    dict of str to ndarray, (n,)
        By the calls' texts.
    """
    rows = Rows(frame, {})
    with np.errstate(all="ignore"):
        return {
            render(call): rows.columns(call.arguments[0]).astype(np.float64) for call in moment_calls(text)
        }
