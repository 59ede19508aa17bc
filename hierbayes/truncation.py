"""What of a distribution lies between bounds: its probability by logarithms, however far out, and draws of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import betaincinv, gammainccinv, gammaincinv, log_ndtr, ndtri_exp, stdtrit

from hierbayes.errors import PriorError
from hierbayes.incomplete import beta_tails, gamma_tails
from hierbayes.special import log1m_exp

type Array = NDArray[np.float64]
type Size = int | tuple[int, ...] | None
type Tails = tuple[float, float]  # logarithms of the probabilities below a number and above it

HALF = math.log(0.5)
SMALLEST = -600.0  # logarithm of a probability that the inverses of tails still take
POINTS = 2001  # of the table of a tail beyond that
FARTHEST = 45.0  # how far its logarithm falls in the table: what lies beyond is never drawn


@dataclass(frozen=True)
class Truncation:
    """How a distribution is cut off: its tails and their inverses.

    Attributes
    ----------
    tails : callable
        ``tails(x, *arguments)``: the logarithms of the probabilities below and above a number.
    inverse : callable
        ``inverse(log_p, above, *arguments)``: the numbers below which that probability lies, or above which, of its
        logarithms.

    Examples
    --------
    >>> round(EXPONENTIAL.log_share(1000.0, math.inf, 2.0), 6)
    -2000.0
    """

    tails: Callable[..., Tails]
    inverse: Callable[..., Any]

    def log_share(self, lower: float, upper: float, *arguments: float) -> float:
        """Logarithm of the probability between two ends, which may be infinite.

        By the tail on whose side of the median both lie; where they lie on either side, what their tails leave of 1.
        PriorError where there is nothing.
        """
        below, above = self._ends(lower, upper, arguments)
        if above[0] < HALF:
            return _log_difference(*above)
        if below[1] < HALF:
            return _log_difference(below[1], below[0])
        return math.log1p(-(math.exp(below[0]) + math.exp(above[1])))

    def _ends(self, lower: float, upper: float, arguments: tuple[float, ...]) -> tuple[Tails, Tails]:
        """The logarithms of the probabilities below both ends, and of those above both."""
        low = (-math.inf, 0.0) if lower == -math.inf else self.tails(lower, *arguments)
        high = (0.0, -math.inf) if upper == math.inf else self.tails(upper, *arguments)
        return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))

    def draw(self, rng: Generator, lower: float, upper: float, *arguments: float, size: Size) -> Array:
        """Draws between two ends, by the inverse of the tail that keeps its digits there."""
        self.log_share(lower, upper, *arguments)  # there is something
        below, above = self._ends(lower, upper, arguments)
        from_above = above[0] < HALF
        near, far = above if from_above else below[::-1]
        # a probability between both: what is nearer the middle, less a part of the difference
        log_p = near + np.log1p(rng.uniform(size=size) * math.expm1(far - near))
        if near > SMALLEST:
            drawn = self.inverse(log_p, from_above, *arguments)
        else:
            start, end = (lower, upper) if from_above else (upper, lower)
            drawn = self._far(log_p, start, end, from_above, arguments)
        return np.clip(np.asarray(drawn, dtype=float), lower, upper)

    def _far(self, log_p: Any, start: float, end: float, above: bool, arguments: tuple[float, ...]) -> Array:
        """The inverse of a tail by a table of it, where no probability is a number: from `start` towards `end`."""

        def tail(x: float) -> float:
            return float(self.tails(x, *arguments)[above])

        lowest = tail(start) - FARTHEST
        if not math.isfinite(end):
            width = 1e-6 * (abs(start) or 1.0)
            while tail(start + math.copysign(width, end)) > lowest:
                width *= 2.0
            end = start + math.copysign(width, end)
        near = start
        while abs(end - near) > 1e-6 * abs(end - start) and tail(end) < lowest:
            middle = 0.5 * (near + end)
            near, end = (middle, end) if tail(middle) > lowest else (near, middle)
        wide = start * end > 0 and not 0.5 < start / end < 2.0
        inside = np.geomspace(start, end, POINTS) if wide else np.linspace(start, end, POINTS)
        return np.interp(-log_p, [-tail(x) for x in inside], inside)


def _log_difference(more: float, less: float) -> float:
    """Logarithm of a difference of probabilities, of their logarithms."""
    if not less < more:
        raise PriorError("between its bounds lies nothing of a distribution")
    return more if less == -math.inf else float(more + log1m_exp(less - more))


def symmetric(below: Callable[..., Tails], inverse: Callable[..., Any], shapes: int = 0) -> Truncation:
    """A distribution that is symmetric about its location: of the standard one, the tails and the inverse of the lower.

    Its arguments are so many of its shape, the location and the scale.
    """

    def tails(x: float, *arguments: float) -> Tails:
        location, scale = arguments[shapes:]
        return below((x - location) / scale, *arguments[:shapes])

    def of_tail(log_p: Any, above: bool, *arguments: float) -> Any:
        location, scale = arguments[shapes:]
        return location + (-scale if above else scale) * inverse(log_p, *arguments[:shapes])

    return Truncation(tails, of_tail)


def _log_rest(log_p: Any) -> Any:
    return np.log(-np.expm1(log_p))


def _sides(tail: float, z: float) -> Tails:
    """Both tails at z, of the logarithm of the smaller one."""
    rest = math.log1p(-math.exp(tail))
    return (tail, rest) if z < 0 else (rest, tail)


def _student(z: float, nu: float) -> Tails:
    if z == 0:
        return HALF, HALF
    away = z * z / nu  # infinite where z is huge, then its logarithm is not
    log_away = 2.0 * math.log(abs(z)) - math.log(nu)
    log_whole = math.log1p(away) if away < math.inf else log_away
    return _sides(HALF + float(beta_tails(0.5 * nu, 0.5, -log_whole, log_away - log_whole)[0]), z)


def _laplace_inverse(log_p: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.where(log_p < HALF, log_p - HALF, HALF - _log_rest(log_p))


def _log_logistic(z: float) -> float:
    return -math.log1p(math.exp(-z)) if z > 0 else z - math.log1p(math.exp(z))


def _gamma(x: float, alpha: float, beta: float) -> Tails:
    if x <= 0:
        return -math.inf, 0.0
    found = gamma_tails(alpha, beta * x)
    return float(found[0]), float(found[3])


def _gamma_inverse(log_p: Any, above: bool, alpha: float, beta: float) -> Any:
    return (gammainccinv if above else gammaincinv)(alpha, np.exp(log_p)) / beta


def _inverse_gamma(x: float, alpha: float, beta: float) -> Tails:
    if x <= 0:
        return -math.inf, 0.0
    below, above = _gamma(1.0 / x, alpha, beta)
    return above, below


def _exponential(x: float, lam: float) -> Tails:
    return (float(log1m_exp(-lam * x)), -lam * x) if x > 0 else (-math.inf, 0.0)


def _lognormal(x: float, mu: float, sigma: float) -> Tails:
    z = (math.log(x) - mu) / sigma if x > 0 else -math.inf
    return float(log_ndtr(z)), float(log_ndtr(-z))


def _beta(x: float, alpha: float, beta: float) -> Tails:
    if not 0 < x < 1:
        return (0.0, -math.inf) if x > 0 else (-math.inf, 0.0)
    found = beta_tails(alpha, beta, math.log(x), math.log1p(-x))
    return float(found[0]), float(found[4])


def _beta_inverse(log_p: Any, above: bool, alpha: float, beta: float) -> Any:
    p = np.exp(log_p)
    return 1.0 - betaincinv(beta, alpha, p) if above else betaincinv(alpha, beta, p)


NORMAL = symmetric(lambda z: (float(log_ndtr(z)), float(log_ndtr(-z))), ndtri_exp)
STUDENT_T = symmetric(_student, lambda log_p, nu: stdtrit(nu, np.exp(log_p)), 1)
CAUCHY = symmetric(lambda z: _student(z, 1.0), lambda log_p: stdtrit(1.0, np.exp(log_p)))
LAPLACE = symmetric(lambda z: _sides(HALF - abs(z), z), _laplace_inverse)
LOGISTIC = symmetric(lambda z: (_log_logistic(z), _log_logistic(-z)), lambda log_p: log_p - _log_rest(log_p))
GAMMA = Truncation(_gamma, _gamma_inverse)
INVERSE_GAMMA = Truncation(
    _inverse_gamma, lambda log_p, above, alpha, beta: 1.0 / _gamma_inverse(log_p, not above, alpha, beta)
)
EXPONENTIAL = Truncation(
    _exponential, lambda log_p, above, lam: -(log_p if above else _log_rest(log_p)) / lam
)
LOGNORMAL = Truncation(
    _lognormal,
    lambda log_p, above, mu, sigma: np.exp(mu + (-sigma if above else sigma) * ndtri_exp(log_p)),
)
BETA = Truncation(_beta, _beta_inverse)
