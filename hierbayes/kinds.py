"""Kinds of parameters and their links: which numbers a parameter may be, and how a linear predictor gives them.

A kind has an *inner coordinate* t in which densities are well behaved in both tails: a number itself, the logarithm of
a positive number, the log odds of a probability. A link is a function from the linear predictor η to t, with its slope,
written once here; a row function (`hierbayes.families`) is given the parameter in the forms below, made of t, and
returns scores in t. So families know no link, and links know no family.

In compiled code a link is a number, its place in `Kind.links`; 0 is the canonical link, under which t is η.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from hierbayes.compiledlinks import (
    CAUCHIT,
    CLOGLOG,
    EXP,
    EXPM1,
    FARTHEST,
    LOG,
    LOG1P_EXP,
    LOG_ODDS,
    LOG_ODDS_ABOVE_1,
    LOG_ODDS_OF_LOG,
    LOG_SOFTPLUS,
    LOG_SQUARE,
    LOG_SQUAREPLUS,
    MINUS_HALF_LOG,
    MINUS_LOG,
    PROBIT,
    RECIPROCAL,
    SOFTPLUS,
    SQUAREPLUS,
    TWICE_ARCTAN,
)
from hierbayes.compiling import row_function
from hierbayes.links import LINKS, NUMPY_MATH, Link
from hierbayes.special import exp_lane, log1p_lane
from hierbayes.structures.record import BOUNDED, INSIDE
from hierbayes.structures.us import AllPairs

TINY = float(np.finfo(float).tiny)


class ParameterValues:
    """A parameter's values under a link, as NumPy arrays or tensors: what families' functions are given.

    Parameters
    ----------
    kind : Kind
    link : Link
    eta : array or tensor
        The linear predictor; under the identity link the values themselves.
    m : namespace
        The mathematics to use: `links.NUMPY_MATH`, or that of tensors.
    """

    def __init__(self, kind: "Kind", link: Link, eta: Any, m: Any = NUMPY_MATH) -> None:
        self.kind, self.link, self.eta, self.m = kind, link, eta, m

    @cached_property
    def value(self) -> Any:
        """The parameter itself."""
        with np.errstate(over="ignore", divide="ignore"):  # the limit is meant
            return self.link.inverse(self.eta, self.m)

    @cached_property
    def inner(self) -> Any:
        """Its inner coordinate."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return self.kind.inner[self.link.name](self.eta, self.m)

    def map(self, function: Callable[[Any], Any]) -> "ParameterValues":
        """The values that a function makes of the linear predictor, such as some of its rows."""
        return type(self)(self.kind, self.link, function(self.eta), self.m)

    def where_possible(self) -> Any:
        """Where the linear predictor is one that the link can take; None where that is everywhere."""
        if self.link.name not in self.kind.domains:
            return None
        low, high = self.kind.domains[self.link.name]
        inside = (np.asarray(self.eta) >= low) & (np.asarray(self.eta) <= high)
        return None if inside.all() else inside

    def possible(self) -> "ParameterValues":
        """The values with a possible one in the place of each that is not."""
        inside = self.where_possible()
        if inside is None:
            return self
        low, high = self.kind.domains[self.link.name]
        middle = (
            0.5 * (low + high) if np.isfinite(high - low) else low + 1.0 if np.isfinite(low) else high - 1.0
        )
        return self.map(lambda eta: np.where(inside, eta, middle))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.value, dtype=dtype)


class Positive(ParameterValues):
    """A positive parameter: also its logarithm."""

    @property
    def log(self) -> Any:
        """Its logarithm."""
        return self.inner


class Probability(ParameterValues):
    """A probability: also one minus it, both logarithms and the log odds, none of which loses digits in a tail."""

    @cached_property
    def log_odds(self) -> Any:
        """log(p / (1 - p)), kept finite."""
        return np.clip(self.inner, -FARTHEST, FARTHEST) if self.m is NUMPY_MATH else self.inner

    @cached_property
    def p(self) -> Any:
        """The probability, from its log odds."""
        return self.m.sigmoid(self.log_odds)

    @cached_property
    def q(self) -> Any:
        """One minus it."""
        return self.m.sigmoid(-self.log_odds)

    @cached_property
    def log_p(self) -> Any:
        """Its logarithm."""
        return -self.m.softplus(-self.log_odds)

    @cached_property
    def log_q(self) -> Any:
        """The logarithm of one minus it."""
        return -self.m.softplus(self.log_odds)


# -- what row functions are given --------------------------------------------------------------------------------


class NumberRow(NamedTuple):
    """A number, in one row."""

    value: float


class PositiveRow(NamedTuple):
    """A positive number and its logarithm, in one row."""

    value: float
    log: float


class ProbabilityRow(NamedTuple):
    """A probability p, 1 - p and both logarithms, in one row."""

    p: float
    q: float
    log_p: float
    log_q: float


class OrderedRow(NamedTuple):
    """The bounds of the interval that a category is, of ordered thresholds in one row; infinite at the ends.

    Category k of 0, 1, … lies between threshold k - 1 and threshold k.
    """

    lower: float
    upper: float


class ListRow(NamedTuple):
    """Several numbers in one row, element k of which is ``values[first + k, at]``; or where to write as many."""

    values: Any
    at: int
    first: int
    size: int


@row_function
def number_row(t: float) -> NumberRow:
    """Return a number's form in a row."""
    return NumberRow(t)


@row_function
def positive_row(t: float) -> PositiveRow:
    """Return a positive number's form in a row, from its logarithm."""
    return PositiveRow(exp_lane(t), t)


@row_function
def probability_row(t: float) -> ProbabilityRow:
    """Return a probability's form in a row, from its log odds."""
    tail = exp_lane(-abs(t))
    above = 1.0 if t >= 0.0 else 0.0
    rest, total = log1p_lane(tail), 1.0 + tail
    return ProbabilityRow(
        (above + (1.0 - above) * tail) / total,
        (1.0 - above + above * tail) / total,
        (1.0 - above) * t - rest,
        -above * t - rest,
    )


@row_function
def ordered_row(t: Any, i: int, first: int, last: int, category: float) -> OrderedRow:
    """Return a category's bounds, from thresholds in rows `first` to `last` - 1 of `t` (…, n)."""
    k = int(category)
    lower = t[first + k - 1, i] if k > 0 else -np.inf
    upper = t[first + k, i] if first + k < last else np.inf
    return OrderedRow(lower, upper)


@row_function
def list_row(t: Any, i: int, first: int, last: int) -> ListRow:
    """Return rows `first` to `last` - 1 of `t` (…, n) as a list, in one row."""
    return ListRow(t, i, first, last - first)


# -- the kinds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kind:
    """What is known of one kind of parameter.

    Attributes
    ----------
    name : str
    support : str
        Which priors its values may have: ``"real"``, ``"positive"``, ``"unit"``, ``"ordered"``, ``"bounded"``,
        ``"simplex"`` or ``"correlation"``.
    codes : mapping of str to int
        Its links, the canonical one first, and their numbers in compiled code.
    inner : mapping of str to callable
        ``inner[link](eta, m)``: the inner coordinate, with the functions of namespace `m`.
    values : type
        The form in which families' functions take it.
    form : str
        Name of the function here that makes its form in a row.
    free : callable
        ``free(values)``: values (…) or (…, elements) as numbers without bounds.
    bound : callable
        The inverse of `free`.
    log_slope : callable
        ``log_slope(values)``: log determinant of the values' derivatives in those numbers: (…).
    vector : bool
        Whether it has several components, each with a predictor of its own.
    domains : mapping of str to (float, float)
        Between which values a linear predictor must lie under a link, where not all are possible.
    parts : callable or None
        ``parts(values)``: inner coordinates of what row functions are given of values (…, elements): one an element,
        or as many as say all of them.
    of_part : Kind or None
        The kind of each part.
    joint : callable
        ``joint(values)``: what a joint prior of all elements (…, elements) is of: of correlations their matrix.
    of_joint : callable
        The inverse of `joint`.
    """

    name: str
    support: str
    codes: Mapping[str, int]
    inner: Mapping[str, Callable[[Any, Any], Any]]
    values: type[ParameterValues]
    form: str
    free: Callable[[Any], Any] = lambda values: values
    bound: Callable[[Any], Any] = lambda free: free
    log_slope: Callable[[Any], Any] = np.zeros_like
    vector: bool = False
    domains: Mapping[str, tuple[float, float]] = MappingProxyType({})
    parts: Callable[[Any], Any] | None = None
    of_part: "Kind | None" = None
    joint: Callable[[Any], Any] = lambda values: values
    of_joint: Callable[[Any], Any] = lambda values: values

    @property
    def links(self) -> tuple[str, ...]:
        """Names of its links, the canonical one first."""
        return tuple(self.codes)

    def under(self, link: str | Link, eta: Any, m: Any = NUMPY_MATH) -> ParameterValues:
        """The parameter where its linear predictor is `eta`."""
        return self.values(self, LINKS[link] if isinstance(link, str) else link, eta, m)


_NUMBER_CODES = {
    "identity": 0,
    "log": EXP,
    "inverse": RECIPROCAL,
    "softplus": SOFTPLUS,
    "squareplus": SQUAREPLUS,
    "log1p": EXPM1,
    "tan_half": TWICE_ARCTAN,
}
NUMBER = Kind(
    "number",
    "real",
    _NUMBER_CODES,
    {name: LINKS[name].inverse for name in _NUMBER_CODES},
    ParameterValues,
    "number_row",
)
POSITIVE = Kind(
    "positive",
    "positive",
    {
        "log": 0,
        "identity": LOG,
        "inverse": MINUS_LOG,
        "softplus": LOG_SOFTPLUS,
        "squareplus": LOG_SQUAREPLUS,
        "sqrt": LOG_SQUARE,
        "1/mu^2": MINUS_HALF_LOG,
        "logm1": LOG1P_EXP,
    },
    {
        "log": lambda eta, m: eta,
        "identity": lambda eta, m: m.log(eta),
        "inverse": lambda eta, m: -m.log(eta),
        "softplus": lambda eta, m: m.log(m.softplus(eta)),
        "squareplus": lambda eta, m: m.arcsinh(eta / 2),
        "sqrt": lambda eta, m: m.log(eta * eta),
        "1/mu^2": lambda eta, m: -0.5 * m.log(eta),
        "logm1": lambda eta, m: m.softplus(eta),
    },
    Positive,
    "positive_row",
    lambda values: np.log(np.maximum(values, TINY)),
    np.exp,
    lambda values: np.log(np.maximum(values, TINY)),
    domains={"identity": (0.0, np.inf), "inverse": (0.0, np.inf), "1/mu^2": (0.0, np.inf)},
)
PROBABILITY = Kind(
    "probability",
    "unit",
    {
        "logit": 0,
        "probit": PROBIT,
        "cloglog": CLOGLOG,
        "cauchit": CAUCHIT,
        "identity": LOG_ODDS,
        "log": LOG_ODDS_OF_LOG,
    },
    {
        **{name: link.log_odds for name, link in LINKS.items() if link.log_odds is not None},
        "identity": lambda p, m: m.log(p) - m.log1p(-p),
        "log": lambda eta, m: eta - m.log(-m.expm1(eta)),
    },
    Probability,
    "probability_row",
    lambda p: np.log(np.maximum(p, TINY)) - np.log(np.maximum(1 - p, TINY)),
    lambda free: NUMPY_MATH.sigmoid(free),
    lambda p: np.log(np.maximum(p, TINY)) + np.log(np.maximum(1 - p, TINY)),
    domains={"identity": (0.0, 1.0), "log": (-np.inf, 0.0)},
)
# the place of a first parameter where others have its part: a mixture's mu, whose predictor is 0 under any link
NOTHING = Kind(
    "nothing",
    "real",
    dict.fromkeys(LINKS, 0),
    dict.fromkeys(LINKS, lambda eta, m: eta),
    ParameterValues,
    "number_row",
)
# a number from 1 to 2: row functions are given it less 1, as a probability
POWER = Kind(
    "power",
    "real",
    {"logitm1": 0, "identity": LOG_ODDS_ABOVE_1},
    {"logitm1": lambda eta, m: eta, "identity": lambda power, m: m.log(power - 1) - m.log(2 - power)},
    ParameterValues,
    "probability_row",
    lambda power: np.log(np.maximum(power - 1, TINY)) - np.log(np.maximum(2 - power, TINY)),
    lambda free: 1 + NUMPY_MATH.sigmoid(free),
    lambda power: np.log(np.maximum(power - 1, TINY)) + np.log(np.maximum(2 - power, TINY)),
    domains={"identity": (1.0, 2.0)},
)
# a number from −1 to 1
CORRELATION = Kind(
    "correlation",
    BOUNDED,
    {"identity": 0},
    {"identity": lambda eta, m: eta},
    ParameterValues,
    "number_row",
    lambda cor: np.arctanh(np.clip(cor, -INSIDE, INSIDE)),
    np.tanh,
    lambda cor: np.log1p(-np.square(np.clip(cor, -INSIDE, INSIDE))),
    domains={"identity": (-1.0, 1.0)},
)


def _steps(values: Any) -> Any:
    """Logarithms of the steps between ordered values."""
    return np.log(np.maximum(np.diff(values, axis=-1), TINY))


ORDERED = Kind(
    "ordered",
    "ordered",
    {"identity": 0},
    {"identity": lambda eta, m: eta},
    ParameterValues,
    "ordered_row",
    lambda values: np.concatenate([values[..., :1], _steps(values)], axis=-1),
    lambda free: np.cumsum(np.concatenate([free[..., :1], np.exp(free[..., 1:])], axis=-1), axis=-1),
    lambda values: _steps(values).sum(axis=-1),
    vector=True,
)
VECTOR = Kind(
    "numbers",
    "real",
    {"identity": 0},
    {"identity": lambda eta, m: eta},
    ParameterValues,
    "list_row",
    log_slope=lambda values: np.zeros(np.shape(values)[:-1]),
    vector=True,
)


def _log(values: Any) -> Any:
    return np.log(np.maximum(values, TINY))


def _log_ratios(values: Any) -> Any:
    """Logarithms of shares over the last."""
    return _log(values[..., :-1]) - _log(values[..., -1:])


def _from_log_ratios(free: Any) -> Any:
    """The inverse of `_log_ratios`."""
    whole = np.concatenate([free, np.zeros_like(free[..., :1])], axis=-1)
    sizes = np.exp(whole - whole.max(axis=-1, keepdims=True))
    return sizes / sizes.sum(axis=-1, keepdims=True)


def _broken_off(values: Any) -> Any:
    """Log odds of the part of what is left that each share but the last is, of shares (…, m): m - 1 of (…)."""
    beyond = np.cumsum(values[..., :0:-1], axis=-1)[..., ::-1]
    return np.moveaxis(_log(values[..., :-1]) - _log(beyond), -1, 0)


# shares, whose sum is 1: row functions are given the part of what is left that each but the last is
SHARES = Kind(
    "shares",
    "simplex",
    {"identity": LOG_ODDS},
    {"identity": lambda eta, m: eta},
    ParameterValues,
    "probability_row",
    _log_ratios,
    _from_log_ratios,
    lambda values: _log(values).sum(axis=-1),
    vector=True,
    parts=_broken_off,
    of_part=PROBABILITY,
)
# the same where sets of rows have shares of their own: those parts are numbers, which need no link in any row
SHARES_BY_SET = replace(
    SHARES,
    name="shares by set",
    codes={"identity": 0},
    parts=lambda values: expit(_broken_off(values)),
    of_part=NUMBER,
)


def _matrices(pairs: Any) -> Any:
    """Correlation matrices (…, q, q) from the correlations of pairs, (1, 2), (1, 3), …, (2, 3), …: (…, pairs)."""
    size = round((1 + np.sqrt(1 + 8 * pairs.shape[-1])) / 2)
    found = np.broadcast_to(np.eye(size), (*pairs.shape[:-1], size, size)).copy()
    i, j = np.triu_indices(size, 1)
    found[..., i, j] = found[..., j, i] = pairs
    return found


def _of_pairs(matrices: Any) -> Any:
    """The inverse of `_matrices`."""
    return matrices[(..., *np.triu_indices(matrices.shape[-1], 1))]


_ALL_PAIRS = AllPairs()


def _of_partials(free: Any) -> Any:
    """Correlations of pairs (S, pairs) whose partials have these inverse hyperbolic tangents."""
    size = round((1 + np.sqrt(1 + 8 * free.shape[-1])) / 2)
    return _of_pairs(_ALL_PAIRS.from_partials(np.tanh(free), size))


def _partial_slope(pairs: Any) -> Any:
    """Log determinant of what `_of_partials` does: what LKJ(1), whose density is flat, has of the partials."""
    matrices = _matrices(pairs)
    powers = _ALL_PAIRS.powers(matrices.shape[-1], 1.0)
    return (powers * np.log1p(-np.square(_ALL_PAIRS.partials_of(matrices)))).sum(axis=-1)


# a correlation for each pair of several things
CORRELATIONS = Kind(
    "correlations",
    "correlation",
    {"identity": 0},
    {"identity": lambda eta, m: eta},
    ParameterValues,
    "list_row",
    lambda pairs: np.arctanh(_ALL_PAIRS.partials_of(_matrices(pairs))),
    _of_partials,
    _partial_slope,
    vector=True,
    joint=_matrices,
    of_joint=_of_pairs,
)
