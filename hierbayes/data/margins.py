"""Which columns are margins of which, and columns as residuals on theirs: what default priors are about.

A product of predictors far from 0 is nearly a multiple of its factors, and the coefficients of those are about values
that no row is near. So inside, each column is replaced by its residual on its margins, over the training rows: the
constant, and the columns of simpler terms whose variables are among its own. Shifting or rescaling a predictor then
changes nothing but units (docs/parameterisations.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hierbayes.columnmap import ColumnMap
from hierbayes.data.encoding import Term
from hierbayes.data.spread import Spread
from hierbayes.formula.syntax import Binary, Call, Constant, Name, Node, Unary, read_expression
from hierbayes.transforms import TRANSFORMS

Array = NDArray[np.float64]
type Margins = tuple[tuple[int, ...], ...]
# center, scale and their like: a linear map of their argument
MOMENT_TRANSFORMS = frozenset(name for name, record in TRANSFORMS.items() if record.of_moments is not None)
ROUNDS = 3  # of taking residuals: what the first leaves by rounding the next ones take away
NOTHING = 1e-12  # of a column's size: a residual smaller than that is rounding
SINGULAR = 1e-10  # of the largest eigenvalue of correlations


# -- which terms are simpler ------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def plainness(text: str) -> tuple[int, int]:
    """How plain a term is, lower for plainer: whether it holds functions, and its degree as a polynomial.

    Shifting or rescaling a predictor turns a polynomial into itself plus ones of a lower degree, wherever they stand.
    ``center(x)`` and ``scale(x)`` are as plain as x; functions of other kinds are what the degree counts in.

    Examples
    --------
    >>> [plainness(text) for text in ("x", "scale(x)", "I(x ** 2)", "I((x - 3) * z):w", "log(x)", "I(log(x) ** 2)")]
    [(0, 1), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    """
    return _plainness(read_expression(text))


def _plainness(node: Node) -> tuple[int, int]:
    """Of an expression: 1 where it holds functions that are no polynomials, else 0; and its degree."""
    match node:
        case Constant():
            return 0, 0
        case Name():
            return 0, 1
        case Unary(_, operand):
            return _plainness(operand)
        case Call("I", (inside,)):
            return _plainness(inside)
        case Call(function, arguments) if function in MOMENT_TRANSFORMS:
            return _plainness(arguments[0])
        case Binary("+" | "-", left, right):
            (a, m), (b, n) = _plainness(left), _plainness(right)
            return max(a, b), max(m, n)
        case Binary("*" | ":", left, right):
            (a, m), (b, n) = _plainness(left), _plainness(right)
            return max(a, b), m + n
        case Binary("/", left, right) if _plainness(right) == (0, 0):
            return _plainness(left)
        case Binary("**", base, Constant("number", text)) if text.isdigit():
            a, m = _plainness(base)
            return a, m * int(text)
    return 1, 1


def is_margin(simple: Term, term: Term) -> bool:
    """Whether a term is simpler than another and of no other variables.

    Examples
    --------
    >>> year, square = Term("year", frozenset({"year"}), (1,)), Term("I(year ** 2)", frozenset({"year"}), (2,))
    >>> product = Term("year:arm", frozenset({"year", "arm"}), (3,))
    >>> is_margin(year, square), is_margin(square, year), is_margin(square, product), is_margin(product, year)
    (True, False, True, False)
    """
    if simple.variables == term.variables:
        return plainness(simple.text) < plainness(term.text)
    return simple.variables < term.variables


def _margins(blocks: Sequence[Sequence[Term]], constants: Array) -> Margins:
    """The margins of each column but the constant, in its own block; the term that spans the constant has none."""
    found: list[tuple[int, ...]] = [()] * len(constants)
    for block in blocks:
        for term in block:
            if any(constants[column].any() for column in term.columns):
                continue
            simpler = [other for other in block if is_margin(other, term) and other.variables]
            columns = tuple(column for other in simpler for column in other.columns)
            for column in term.columns:
                found[column] = columns
    return tuple(found)


def _constants(blocks: Sequence[Sequence[Term]], count: int, rows: Callable[[], Array]) -> Array:
    """For each column the combination of columns that is 1 in every row, 0 where there is none: (k, k), a column each.

    That is the intercept, else a term of categories whose indicators sum to 1, else a column that never varies.
    """
    found = np.zeros((count, count))
    for block in blocks:
        if len(block) < 2:
            continue
        carrier, combination = _carrier(block, count, rows)
        for column in (column for term in block if term is not carrier for column in term.columns):
            found[:, column] = combination
    return found


def _carrier(block: Sequence[Term], count: int, rows: Callable[[], Array]) -> tuple[Term | None, Array]:
    weights = np.zeros(count)
    for term in sorted(block, key=lambda t: (len(t.variables), plainness(t.text), t.text)):
        if not term.variables:
            weights[term.columns[0]] = 1.0
            return term, weights
        columns = list(term.columns)
        x = rows()[:, columns]
        if not len(x):
            continue
        if np.ptp(x.sum(axis=1)) <= 1e-12 and abs(x[0].sum() - 1.0) <= 1e-12:
            weights[columns] = 1.0
            return term, weights
        for place, column in enumerate(columns):
            if np.ptp(x[:, place]) == 0 and x[0, place] != 0:
                weights[column] = 1.0 / x[0, place]
                return term, weights
    return None, weights


# -- residuals --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Columns:
    """What was learnt of k columns, and the map between them and those that priors are about.

    Attributes
    ----------
    margins : tuple of tuple of int
        Places of each column's margins, but for the constant.
    constants : ndarray, (k, k)
        In column j the combination of columns that is the constant margin of column j; zeros where it has none.
    residuals : ndarray, (k, k)
        In column j the combination of columns that is column j's residual on all its margins.
    spread : Spread
        Means and cross-products of the residuals over the training rows.
    literal : frozenset of int
        Columns whose prior the user states: it is about their coefficient as it is, so they are nobody's margins.
    """

    margins: Margins
    constants: Array
    residuals: Array
    spread: Spread
    literal: frozenset[int] = frozenset()

    @property
    def about_means(self) -> NDArray[np.bool_]:
        """Which columns have the constant among their margins; the others carry the level of the response: (k,)."""
        return self.constants.any(axis=0)

    @cached_property
    def inner(self) -> ColumnMap:
        """The map to the residuals on all margins."""
        return ColumnMap(self.residuals)

    @cached_property
    def map(self) -> ColumnMap:
        """The map to the columns that the model's priors are about.

        Those are the residuals, but that nothing is carried over to a coefficient whose prior is stated; and a constant
        without a stated prior is still the mean.
        """
        if not self.literal:
            return self.inner
        stated = list(self.literal)
        matrix = self.residuals.copy()
        matrix[stated] = np.eye(len(matrix))[stated]
        free = ~self.constants[stated].any(axis=0)
        matrix[:, free] -= (self.means @ matrix[:, free]) * self.constants[:, free]
        return ColumnMap(matrix)

    @cached_property
    def means(self) -> Array:
        """Means of the columns: (k,)."""
        return self.spread.means @ self.inner.inverse

    @cached_property
    def products(self) -> Array:
        """Cross-products of the columns about their means: (k, k)."""
        back = self.inner.inverse
        found: Array = back.T @ self.spread.products @ back
        return found

    @cached_property
    def second_moments(self) -> Array:
        """Means of products of two columns: (k, k)."""
        found: Array = self.products / self.spread.weight + np.outer(self.means, self.means)
        return found

    @cached_property
    def sizes(self) -> Array:
        """Root mean squares of the columns: (k,)."""
        return np.sqrt(np.maximum(np.diagonal(self.second_moments), 0.0))

    @cached_property
    def deviations(self) -> Array:
        """Standard deviations of the columns themselves: (k,)."""
        return np.sqrt(np.maximum(np.diagonal(self.products) / self.spread.weight, 0.0))

    @cached_property
    def scales(self) -> Array:
        """Standard deviations of the residuals: (k,). Where margins determine a column, that of the column itself."""
        found = np.array(self.spread.deviations)
        for fallback in (self.deviations, self.sizes, np.ones(len(found))):
            found = np.where(found > NOTHING * self.sizes, found, fallback)
        return np.where(np.isfinite(self.spread.deviations), found, self.spread.deviations)

    @property
    def magnitudes(self) -> Array:
        """Root mean squares of the residuals, as `scales`: the size of what carries the level of the response, (k,)."""
        return np.hypot(self.spread.means, self.scales)

    def settled(self, spread: Spread) -> "Columns":
        """The same, knowing means and cross-products of the residuals as they are so far."""
        sizes = replace(self, spread=spread).sizes
        alive = spread.deviations > NOTHING * sizes  # noise is no margin
        margins = tuple(tuple(margin for margin in own if alive[margin]) for own in self.margins)
        change = _residuals(margins, self.constants, spread)
        moved = replace(spread, means=spread.means @ change, products=change.T @ spread.products @ change)
        return replace(self, residuals=self.residuals @ change, spread=moved)

    def dependent(self) -> Array:
        """Combinations of the residuals that are 0 in every row: (k, d), one a column."""
        gram = self.spread.products + self.spread.weight * np.outer(self.spread.means, self.spread.means)
        norms = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
        nothing = norms <= NOTHING * self.sizes * np.sqrt(self.spread.weight)
        norms = np.where(nothing, 1.0, norms)
        scaled = np.where(nothing | nothing[:, None], 0.0, gram / np.outer(norms, norms))
        values, vectors = np.linalg.eigh(scaled)
        null = values < SINGULAR * max(values.max(initial=0.0), 1.0)
        found: Array = vectors[:, null] / norms[:, None]
        return found


def draft_columns(blocks: Sequence[Sequence[Term]], count: int, rows: Callable[[], Array]) -> Columns:
    """Columns with their margins, not measured yet.

    Parameters
    ----------
    blocks : sequence of sequence of Term
        Terms that may be each other's margins.
    count : int
        k.
    rows : callable
        Their values in rows that show each category and each extreme (n, k), asked for where there is no intercept.
    """
    constants = _constants(blocks, count, rows)
    none = Spread(0.0, np.zeros(count), np.zeros((count, count)), np.zeros(count), np.zeros(count))
    return Columns(_margins(blocks, constants), constants, np.eye(count), none)


def _residuals(margins: Margins, constants: Array, spread: Spread) -> Array:
    """The combinations (k, k) of columns that are their residuals on their margins and the constant."""
    found = np.eye(len(margins))
    means, products = spread.means, spread.products
    uncentred = products + spread.weight * np.outer(means, means)
    about_means = constants.any(axis=0)
    groups: dict[tuple[tuple[int, ...], bool], list[int]] = {}
    for column, own in enumerate(margins):
        groups.setdefault((own, bool(about_means[column])), []).append(column)
    for (own, centred), columns in groups.items():
        gram = products if centred else uncentred
        coefficients = np.zeros((len(margins), len(columns)))
        if own:
            coefficients[list(own)] = _solve(gram[np.ix_(own, own)], gram[np.ix_(own, columns)])
        found[:, columns] -= coefficients
        found[:, columns] -= (means[columns] - means @ coefficients) * constants[:, columns]
    return found


def _solve(gram: Array, right: Array) -> Array:
    """Least squares from cross-products; of columns that determine each other the smallest solution."""
    scale = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    kept = values > SINGULAR * max(values.max(initial=0.0), 1e-300)
    inverse = np.divide(1.0, values, where=kept, out=np.zeros(len(values)))
    found: Array = vectors @ (inverse[:, None] * (vectors.T @ (right / scale[:, None]))) / scale[:, None]
    return found
