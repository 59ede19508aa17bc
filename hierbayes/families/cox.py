"""Times until an event whose hazard is a baseline, the same for all rows, times mu: Cox's proportional hazards.

The baseline is brms's: a combination of five cubic M-splines, whose coefficients are shares (`sbhaz`); the level of
the hazard is mu's. An M-spline is a density, and its distribution function an I-spline (Ramsay 1988, Statistical
Science 3(4), 425-441), so that the cumulative baseline rises from 0 at the first knot to 1 at the last. The knots are
learnt from the training times. Nothing is known of the hazard beyond them: there it is 0, and what has not had its
event by then has none. So there is no expected time, and no time can be simulated.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from hierbayes.compiling import deferred, row_function
from hierbayes.errors import UnsupportedError
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import ABOVE_ZERO, Array, Family, Parameter, Tails
from hierbayes.kinds import (
    NUMBER,
    POSITIVE,
    SHARES,
    NumberRow,
    ParameterValues,
    Positive,
    PositiveRow,
    ProbabilityRow,
)
from hierbayes.priors import Prior
from hierbayes.special import exponential_tails

DEGREE, SPLINES = 3, 5
BEYOND = 1 / 50  # how far the outer knots lie beyond the training times, of their range

type Four = tuple[float, float, float, float]
type Five = tuple[float, float, float, float, float]


@row_function
def raised(near: float, far: float, b0: float, b1: float, b2: float, b3: float) -> Five:
    """Return B-splines of the next order at a place in an outer interval, from those of one that aren't 0 there.

    They are numbered from the end at which all knots but one coincide: `near` is how far from it the place is on the
    way to the middle knot, `far` how far on the way to the other end (de Boor 2001, A Practical Guide to Splines, IX).
    """
    return (
        (1.0 - near) * b0,
        near * b0 + (1.0 - far) * b1,
        far * b1 + (1.0 - far) * b2,
        far * b2 + (1.0 - far) * b3,
        far * b3,
    )


@row_function
def cubic(near: float, far: float) -> Four:
    """Return the cubic B-splines that aren't 0 there, in the same order."""
    b0, b1, _, _, _ = raised(near, far, 1.0, 0.0, 0.0, 0.0)
    b0, b1, b2, _, _ = raised(near, far, b0, b1, 0.0, 0.0)
    b0, b1, b2, b3, _ = raised(near, far, b0, b1, b2, 0.0)
    return b0, b1, b2, b3


@row_function
def splines(y: float, first: float, middle: float, last: float) -> tuple[Five, Five]:
    """Return the M-splines at y, and the I-splines: what each M-spline's mass up to y is."""
    if y <= first:
        return (0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 0.0)
    if y >= last:
        return (0.0, 0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0, 1.0)
    whole, early = last - first, y < middle
    width, gone = (middle - first, y - first) if early else (last - middle, last - y)
    near, far = gone / width, gone / whole
    b0, b1, b2, b3 = cubic(near, far)
    c0, c1, c2, c3, c4 = raised(near, far, b0, b1, b2, b3)
    if early:
        masses = (c1 + c2 + c3 + c4, c2 + c3 + c4, c3 + c4, c4, 0.0)
        return (4.0 * b0 / width, 4.0 * b1 / whole, 4.0 * b2 / whole, 4.0 * b3 / whole, 0.0), masses
    masses = (1.0, c0 + c1 + c2 + c3, c0 + c1 + c2, c0 + c1, c0)
    return (0.0, 4.0 * b3 / whole, 4.0 * b2 / whole, 4.0 * b1 / whole, 4.0 * b0 / width), masses


@row_function
def shares(v1: ProbabilityRow, v2: ProbabilityRow, v3: ProbabilityRow, v4: ProbabilityRow) -> Five:
    """Return the shares of which these are broken off what is left, one after another."""
    left2 = v1.q * v2.q
    left3 = left2 * v3.q
    return v1.p, v1.q * v2.p, left2 * v3.p, left3 * v4.p, left3 * v4.q


@row_function
def by_parts(g: Five, v1: ProbabilityRow, v2: ProbabilityRow, v3: ProbabilityRow, v4: ProbabilityRow) -> Four:
    """Return scores in the log odds of what is broken off, from those in the logarithms of the shares."""
    beyond4 = g[4]
    beyond3 = beyond4 + g[3]
    beyond2 = beyond3 + g[2]
    beyond1 = beyond2 + g[1]
    return (
        v1.q * g[0] - v1.p * beyond1,
        v2.q * g[1] - v2.p * beyond2,
        v3.q * g[2] - v3.p * beyond3,
        v4.q * g[3] - v4.p * beyond4,
    )


@row_function
def row(
    y: float,
    mu: PositiveRow,
    knot1: NumberRow,
    knot2: NumberRow,
    knot3: NumberRow,
    v1: ProbabilityRow,
    v2: ProbabilityRow,
    v3: ProbabilityRow,
    v4: ProbabilityRow,
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Return the log density, the logarithm of the hazard less its integral, and its scores."""
    m, i = splines(y, knot1.value, knot2.value, knot3.value)
    s = shares(v1, v2, v3, v4)
    hazard = s[0] * m[0] + s[1] * m[1] + s[2] * m[2] + s[3] * m[3] + s[4] * m[4]
    if hazard <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    total = mu.value * (s[0] * i[0] + s[1] * i[1] + s[2] * i[2] + s[3] * i[3] + s[4] * i[4])
    g = (
        s[0] * (m[0] / hazard - mu.value * i[0]),
        s[1] * (m[1] / hazard - mu.value * i[1]),
        s[2] * (m[2] / hazard - mu.value * i[2]),
        s[3] * (m[3] / hazard - mu.value * i[3]),
        s[4] * (m[4] / hazard - mu.value * i[4]),
    )
    g1, g2, g3, g4 = by_parts(g, v1, v2, v3, v4)
    return np.log(hazard) + mu.log - total, 1.0 - total, 0.0, 0.0, 0.0, g1, g2, g3, g4


@deferred
def tails(
    y: float,
    mu: PositiveRow,
    knot1: NumberRow,
    knot2: NumberRow,
    knot3: NumberRow,
    v1: ProbabilityRow,
    v2: ProbabilityRow,
    v3: ProbabilityRow,
    v4: ProbabilityRow,
) -> tuple[float, ...]:
    """Return the logarithms of the probabilities of an event by y and of none, each with its scores."""
    _, i = splines(y, knot1.value, knot2.value, knot3.value)
    s = shares(v1, v2, v3, v4)
    total = s[0] * i[0] + s[1] * i[1] + s[2] * i[2] + s[3] * i[3] + s[4] * i[4]
    if total <= 0.0:
        nothing = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        return (-np.inf,) + nothing + (0.0,) + nothing  # noqa: RUF005 (numba unpacks none)
    below, rise, above, fall = exponential_tails(mu.log + np.log(total))
    g = (
        s[0] * i[0] / total,
        s[1] * i[1] / total,
        s[2] * i[2] / total,
        s[3] * i[3] / total,
        s[4] * i[4] / total,
    )
    g1, g2, g3, g4 = by_parts(g, v1, v2, v3, v4)
    risen = (rise, 0.0, 0.0, 0.0, rise * g1, rise * g2, rise * g3, rise * g4)
    fallen = (fall, 0.0, 0.0, 0.0, fall * g1, fall * g2, fall * g3, fall * g4)
    return (below,) + risen + (above,) + fallen  # noqa: RUF005


def knots(y: Array) -> dict[str, float]:
    """The knots of the baseline, from the training times: the median, and one beyond either end, as brms has them."""
    low, high = float(np.min(y)), float(np.max(y))
    beyond = BEYOND * (high - low)
    return {"knot1": max(low - beyond, 0.0), "knot2": float(np.median(y)), "knot3": high + beyond}


def cdf(
    y: Array,
    mu: Positive,
    knot1: ParameterValues,
    knot2: ParameterValues,
    knot3: ParameterValues,
    sbhaz: ParameterValues,
) -> Array:
    """Probability of an event by y: 1 − exp(−mu times the cumulative baseline), which isn't known beyond its end."""
    masses = i_splines(y, knot1.value, knot2.value, knot3.value)
    with np.errstate(over="ignore"):
        found = -np.expm1(-mu.value * (sbhaz.value * masses).sum(axis=-1))
    return np.where(y <= knot3.value, found, np.where(np.isinf(y), 1.0, np.nan))


def i_splines(y: Array, first: Array, middle: Array, last: Array) -> Array:
    """The I-splines at many places, on a last axis."""
    y = np.clip(y, first, last)
    early = y < middle
    gone = np.where(early, y - first, last - y)
    near, far = gone / np.where(early, middle - first, last - middle), gone / (last - first)
    c = np.stack(raised(near, far, *cubic(near, far)), axis=-1)
    upto, nothing = np.cumsum(c, axis=-1), np.zeros_like(c[..., :1])
    rising = np.concatenate([np.cumsum(c[..., :0:-1], axis=-1)[..., ::-1], nothing], axis=-1)
    return np.where(early[..., None], rising, np.minimum(upto, 1.0)[..., ::-1])


def simulate(rng: np.random.Generator, **parameters: ParameterValues) -> Array:
    """None: what lies beyond the last knot has no time."""
    raise UnsupportedError(
        "a response of family 'cox' cannot be simulated: nothing is known of its hazard beyond the last time. "
        "survival(), residuals() and loo() need no simulated times; families whose times can be are weibull, "
        "lognormal, gamma and exponential"
    )


# -- graphs: the recursion of Cox and de Boor, whatever the order ------------------------------------------------


def tensor_splines(y: Any, ends: tuple[Any, Any, Any], order: int) -> list[Any]:
    """All B-splines of an order at y, in tensors; each outer knot stands as often as the order."""
    import pytensor.tensor as pt

    places = [0] * order + [1] + [2] * order
    found = [
        pt.cast((y >= ends[a]) & (y < ends[b]), "float64") if a != b else None for a, b in pairwise(places)
    ]
    for k in range(1, order):
        raised_ = []
        for j in range(len(found) - 1):
            low, high = (places[j], places[j + k]), (places[j + 1], places[j + 1 + k])
            parts = []
            if low[0] != low[1] and found[j] is not None:
                parts.append((y - ends[low[0]]) / (ends[low[1]] - ends[low[0]]) * found[j])
            if high[0] != high[1] and found[j + 1] is not None:
                parts.append((ends[high[1]] - y) / (ends[high[1]] - ends[high[0]]) * found[j + 1])
            raised_.append(sum(parts) if parts else None)
        found = raised_
    return [0.0 * y if one is None else one for one in found]


def _hazard(y: Any, ends: tuple[Any, Any, Any], sbhaz: list[Any]) -> Any:
    places = [0] * (DEGREE + 1) + [1] + [2] * (DEGREE + 1)
    widths = [ends[places[j + DEGREE + 1]] - ends[places[j]] for j in range(SPLINES)]
    b = tensor_splines(y, ends, DEGREE + 1)
    return sum(s * (DEGREE + 1) * one / width for s, one, width in zip(sbhaz, b, widths, strict=True))


def _cumulative(y: Any, ends: tuple[Any, Any, Any], sbhaz: list[Any]) -> Any:
    import pytensor.tensor as pt

    b = tensor_splines(pt.minimum(y, ends[2]), ends, DEGREE + 2)
    inside = sum(s * sum(b[j + 1 :]) for j, s in enumerate(sbhaz))
    return pt.switch(y >= ends[2], 1.0, inside)


def _in_tensors(arguments: dict[str, Any]) -> tuple[Any, tuple[Any, Any, Any], list[Any]]:
    ends = (arguments["knot1"], arguments["knot2"], arguments["knot3"])
    return arguments["mu"], ends, [arguments[f"sbhaz{k}"] for k in range(1, SPLINES + 1)]


def tensor_log_density(y: Any, **arguments: Any) -> Any:
    """The log density in tensors."""
    import pytensor.tensor as pt

    mu, ends, sbhaz = _in_tensors(arguments)
    return pt.log(_hazard(y, ends, sbhaz)) + pt.log(mu) - mu * _cumulative(y, ends, sbhaz)


def tensor_above(y: Any, **arguments: Any) -> Any:
    """The logarithm of the probability of no event by y, in tensors."""
    mu, ends, sbhaz = _in_tensors(arguments)
    return -mu * _cumulative(y, ends, sbhaz)


def tensor_below(y: Any, **arguments: Any) -> Any:
    """The logarithm of the probability of an event by y, in tensors."""
    import pytensor.tensor as pt

    return pt.log(-pt.expm1(tensor_above(y, **arguments)))


def graph(pm: Any, mu: Any, knot1: Any, knot2: Any, knot3: Any, sbhaz: Any) -> tuple[Any, dict[str, Any]]:
    """The density in tensors: PyMC has none."""
    ends = {"knot1": knot1.value, "knot2": knot2.value, "knot3": knot3.value}
    each = {f"sbhaz{k + 1}": sbhaz.value[..., k] for k in range(SPLINES)}
    return ByDensity(pm, tensor_log_density), {"mu": mu.value, **ends, **each}


def _knot(name: str, words: str) -> Parameter:
    return Parameter(name, NUMBER, ("identity",), words, known=name)


FAMILY = Family(
    "cox",
    parameters=(
        Parameter("mu", POSITIVE, ("log", "identity", "softplus", "squareplus"), "hazard over the baseline"),
        _knot("knot1", "where the baseline begins"),
        _knot("knot2", "middle knot of the baseline"),
        _knot("knot3", "where the baseline ends"),
        Parameter(
            "sbhaz",
            SHARES,
            ("identity",),
            "shares of the M-splines in the baseline",
            lambda spread: Prior("Dirichlet", a=1.0),
            lambda size: np.full(SPLINES, 1.0 / SPLINES),
            size=SPLINES,
        ),
    ),
    support=ABOVE_ZERO,
    moving_ends=True,
    row=row,
    graph=graph,
    simulate=simulate,
    cdf=cdf,
    tails=Tails(tails, None, tensor_above, tensor_below),
    known_from=knots,
    has_variance=False,
    stands_for=np.ones_like,  # the cumulative baseline ends at 1
    mean_of="other",
    equation="Cox(hazard mu · Σ sbhaz M(y), M-splines on knot1, knot2, knot3)",
    place=17,
)
