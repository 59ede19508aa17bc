"""Kinds of parameters and their links: which numbers a parameter may be, and how a linear predictor gives them.

A kind has an *inner coordinate* t in which densities are well behaved in both tails: a number itself, the logarithm of
a positive number, the log odds of a probability. A link is a function from the linear predictor η to t, with its slope,
written once here; a row function (`hierbayes.families`) is given the parameter in the forms below, made of t, and
returns scores in t. So families know no link, and links know no family.

In compiled code a link is a number, its place in `Kind.links`; 0 is the canonical link, under which t is η.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hierbayes.compiling import deferred, row_function
from hierbayes.links import LINKS, NUMPY_MATH, Link
from hierbayes.special import exp_lane, log1p_lane, log_ndtr

TINY = float(np.finfo(float).tiny)
FARTHEST = 1e300  # of log odds, which stay finite: 0 times them must be 0


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


# -- links in compiled code --------------------------------------------------------------------------------------

EXP, RECIPROCAL, LOG, MINUS_LOG, PROBIT, CLOGLOG, LOG_ODDS = range(1, 8)


@deferred
def apply_link(code: int, t: Any, slope: Any) -> bool:
    """Put inner coordinates in the place of linear predictors (n,), and set dt/dη; return whether all are possible.

    An impossible value, such as a negative mean of counts, is replaced by one that is possible.
    """
    possible = True
    for i in range(t.size):
        eta = t[i]
        if code == EXP:
            t[i] = slope[i] = np.exp(eta)
        elif code == RECIPROCAL:
            t[i] = 1.0 / eta
            slope[i] = -t[i] * t[i]
        elif code in (LOG, MINUS_LOG):
            sign = 1.0 if code == LOG else -1.0
            if eta < 0.0 or np.isnan(eta):
                possible, eta = False, 1.0
            t[i], slope[i] = sign * np.log(eta), sign / eta
        elif code == PROBIT:
            log_p, slope_p = log_ndtr(eta)
            log_q, slope_q = log_ndtr(-eta)
            t[i], slope[i] = log_p - log_q, slope_p + slope_q
        elif code == CLOGLOG:
            x = np.exp(min(eta, 690.0))  # log(1 - p) is -x
            if x < 1e-5:
                t[i] = eta + 0.5 * x + x * x / 24.0
                slope[i] = 1.0 + 0.5 * x + x * x / 12.0
            else:
                tail = np.exp(-x)
                p = -np.expm1(-x)
                t[i] = np.log(p) + x
                slope[i] = x * (1.0 + tail / p)
        elif code == LOG_ODDS:
            if not 0.0 <= eta <= 1.0:
                possible, eta = False, 0.5
            t[i] = np.log(eta) - np.log1p(-eta)
            slope[i] = 1.0 / (eta * (1.0 - eta))
        else:
            slope[i] = 1.0
    return possible


# -- the kinds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kind:
    """What is known of one kind of parameter.

    Attributes
    ----------
    name : str
    support : str
        Which priors its values may have: ``"real"``, ``"positive"``, ``"unit"`` or ``"ordered"``.
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

    @property
    def links(self) -> tuple[str, ...]:
        """Names of its links, the canonical one first."""
        return tuple(self.codes)

    def under(self, link: str | Link, eta: Any, m: Any = NUMPY_MATH) -> ParameterValues:
        """The parameter where its linear predictor is `eta`."""
        return self.values(self, LINKS[link] if isinstance(link, str) else link, eta, m)


NUMBER = Kind(
    "number",
    "real",
    {"identity": 0, "log": EXP, "inverse": RECIPROCAL},
    {name: LINKS[name].inverse for name in ("identity", "log", "inverse")},
    ParameterValues,
    "number_row",
)
POSITIVE = Kind(
    "positive",
    "positive",
    {"log": 0, "identity": LOG, "inverse": MINUS_LOG},
    {
        "log": lambda eta, m: eta,
        "identity": lambda eta, m: m.log(eta),
        "inverse": lambda eta, m: -m.log(eta),
    },
    Positive,
    "positive_row",
    lambda values: np.log(np.maximum(values, TINY)),
    np.exp,
    lambda values: np.log(np.maximum(values, TINY)),
)
PROBABILITY = Kind(
    "probability",
    "unit",
    {"logit": 0, "probit": PROBIT, "cloglog": CLOGLOG, "identity": LOG_ODDS},
    {
        **{name: link.log_odds for name, link in LINKS.items() if link.log_odds is not None},
        "identity": lambda p, m: m.log(p) - m.log1p(-p),
    },
    Probability,
    "probability_row",
    lambda p: np.log(np.maximum(p, TINY)) - np.log(np.maximum(1 - p, TINY)),
    lambda free: NUMPY_MATH.sigmoid(free),
    lambda p: np.log(np.maximum(p, TINY)) + np.log(np.maximum(1 - p, TINY)),
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
