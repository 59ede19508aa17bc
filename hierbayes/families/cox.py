"""Times until an event whose hazard is a baseline, the same for all rows, times mu: Cox's proportional hazards.

The baseline is brms's: a combination of cubic M-splines, five unless ``bhaz(…)`` says otherwise, whose coefficients are
shares (`sbhaz`); the level of the hazard is mu's. An M-spline is a density, and its distribution function an I-spline
(Ramsay 1988, Statistical Science 3(4), 425-441), so that the cumulative baseline rises from 0 at the first knot to 1 at
the last. The knots are stated, or learnt from the training times. Nothing is known of the hazard beyond them: there it
is 0, and what has not had its event by then has none. So there is no expected time, and no time can be simulated.

Rows of several strata may have a baseline each, which differ in the shares. Then a row function is given the parts that
shares break off what is left as they are, instead of by their log odds.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from hierbayes.compiling import Deferred, row_function, written
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import ABOVE_ZERO, Array, Family, Parameter, Tails
from hierbayes.kinds import NUMBER, POSITIVE, SHARES, SHARES_BY_SET, ParameterValues, Positive
from hierbayes.priors import Prior
from hierbayes.special import exponential_tails

DEGREE, SPLINES = 3, 5
BEYOND = 1 / 50  # how far the outer knots lie beyond the training times, of their range

type Eight = tuple[float, float, float, float, float, float, float, float]


# -- splines -----------------------------------------------------------------------------------------------------


@row_function
def cubic(
    y: float, t1: float, t2: float, t3: float, t4: float, t5: float, t6: float, t7: float, t8: float
) -> Eight:
    """Return the four M-splines that aren't 0 between the knots t4 and t5, and the I-splines of the same.

    From B-splines of one order after another (de Boor 2001, A Practical Guide to Splines, chapter X).
    """
    r5, r6, r7, r8 = t5 - y, t6 - y, t7 - y, t8 - y
    l1, l2, l3, l4 = y - t1, y - t2, y - t3, y - t4
    x = 1.0 / (t5 - t4)
    b0, b1 = r5 * x, l4 * x
    x, z = b0 / (t5 - t3), b1 / (t6 - t4)
    b0, b1, b2 = r5 * x, l3 * x + r6 * z, l4 * z
    x, z, w = b0 / (t5 - t2), b1 / (t6 - t3), b2 / (t7 - t4)
    b0, b1, b2, b3 = r5 * x, l2 * x + r6 * z, l3 * z + r7 * w, l4 * w
    x, z, w, v = b0 / (t5 - t1), b1 / (t6 - t2), b2 / (t7 - t3), b3 / (t8 - t4)
    c1, c2, c3, c4 = l1 * x + r6 * z, l2 * z + r7 * w, l3 * w + r8 * v, l4 * v
    i3 = c3 + c4
    i2 = c2 + i3
    return 4.0 * x, 4.0 * z, 4.0 * w, 4.0 * v, c1 + i2, i2, i3, c4


def _around(interval: int, last: int) -> list[int]:
    """The knots about an interval between two, four on either side; the outer ones stand as often as needed."""
    return [min(max(k, 0), last) for k in range(interval - DEGREE, interval + DEGREE + 2)]


@cache
def splines(count: int) -> Deferred:
    """``splines(y, *knots)``: all M-splines at y, and the I-splines: what each M-spline's mass up to y is."""
    knots = _knots(count)
    lines = [f"def splines(y, {', '.join(knots)}):", f"    if y <= {knots[0]}:"]
    lines += [f"        return {_numbers([0.0] * count)}, {_numbers([0.0] * count)}"]
    lines += [f"    if y >= {knots[-1]}:"]
    lines += [f"        return {_numbers([0.0] * count)}, {_numbers([1.0] * count)}"]
    for k in range(len(knots) - 1):
        given = ", ".join(knots[place] for place in _around(k, len(knots) - 1))
        before, after = ["1.0"] * k, ["0.0"] * (count - 4 - k)
        last = k == len(knots) - 2
        indent = "    " if last else "        "
        lines += [] if last else [f"    if y < {knots[k + 1]}:"]
        lines += [f"{indent}m1, m2, m3, m4, i1, i2, i3, i4 = cubic(y, {given})"]
        m, i = ["0.0"] * k + ["m1", "m2", "m3", "m4"] + after, [*before, "i1", "i2", "i3", "i4", *after]
        lines += [f"{indent}return {_numbers(m)}, {_numbers(i)}"]
    return written("splines", "\n".join([*lines, ""]), __file__, __name__, cubic=cubic)


def _numbers(values: Sequence[Any]) -> str:
    return f"({', '.join(map(str, values))})"


def _knots(count: int) -> list[str]:
    return [f"knot{k}" for k in range(1, count - DEGREE + 2)]


def i_splines(y: Array, knots: list[Array]) -> Array:
    """The I-splines at many places, on a last axis."""
    shape = np.broadcast_shapes(np.shape(y), *map(np.shape, knots))
    t = np.stack([np.broadcast_to(knot, shape) for knot in knots], axis=-1)
    y = np.broadcast_to(np.clip(y, knots[0], knots[-1]), shape)
    last, count = len(knots) - 1, len(knots) + DEGREE - 1
    interval = sum((y >= t[..., k] for k in range(1, last)), np.zeros(shape, np.int64))
    about = np.clip(interval[..., None] + np.arange(-DEGREE, DEGREE + 2), 0, last)
    found = np.stack(cubic(y, *np.moveaxis(np.take_along_axis(t, about, axis=-1), -1, 0))[4:], axis=-1)
    place = np.arange(count) - interval[..., None]
    inside = np.take_along_axis(found, np.clip(place, 0, DEGREE), axis=-1)
    return np.where(place < 0, 1.0, np.where(place > DEGREE, 0.0, np.minimum(inside, 1.0)))


# -- rows --------------------------------------------------------------------------------------------------------


def _row_function(name: str, count: int, apart: bool, lines: list[str], **tools: Any) -> Deferred:
    """A function of y and all parameters: its own lines after those that make splines and shares."""
    knots, parts = _knots(count), [f"sbhaz{k}" for k in range(1, count)]
    numbers = range(1, count + 1)
    m, i = (", ".join(f"{word}{k}" for k in numbers) for word in "mi")
    source = [
        f"def {name}(y, mu, {', '.join([*knots, *parts])}):",
        f"    ({m}), ({i}) = splines(y, {', '.join(f'{knot}.value' for knot in knots)})",
        "    left1 = 1.0",
    ]
    for k, part in enumerate(parts, start=1):
        source += [
            f"    p{k}, q{k} = " + (f"{part}.value, 1.0 - {part}.value" if apart else f"{part}.p, {part}.q")
        ]
        source += [f"    s{k}, left{k + 1} = left{k} * p{k}, left{k} * q{k}"]
    source += [f"    s{count} = left{count}", *(f"    {line}" for line in lines), ""]
    return written(
        name, "\n".join(source), __file__, __name__, splines=splines(count), inf=np.inf, log=np.log, **tools
    )


def _sum(count: int, word: str) -> str:
    return " + ".join(f"s{k} * {word}{k}" for k in range(1, count + 1))


def _scores(count: int, apart: bool) -> list[str]:
    """Lines that make the scores g1, g2, … of the parts broken off, from derivatives h1, h2, … in the shares."""
    lines = [f"e{count} = h{count}"]
    for k in range(count - 1, 0, -1):
        slope = f"left{k}" if apart else f"s{k} * q{k}"
        lines += [f"g{k}, e{k} = {slope} * (h{k} - e{k + 1}), p{k} * h{k} + q{k} * e{k + 1}"]
    return lines


def row_of(count: int, apart: bool) -> Deferred:
    """The log density, the logarithm of the hazard less its integral, and its scores."""
    still = ["0.0"] * len(_knots(count))
    nothing = ", ".join(["0.0", *still, *["0.0"] * (count - 1)])
    numbers = range(1, count + 1)
    lines = [
        f"hazard = {_sum(count, 'm')}",
        "if hazard <= 0.0:",
        f"    return -inf, {nothing}",
        f"total = mu.value * ({_sum(count, 'i')})",
        *(f"h{k} = m{k} / hazard - mu.value * i{k}" for k in numbers),
        *_scores(count, apart),
        f"return log(hazard) + mu.log - total, 1.0 - total, {', '.join([*still, *(f'g{k}' for k in numbers[:-1])])}",
    ]
    return _row_function("row", count, apart, lines)


def tails_of(count: int, apart: bool) -> Deferred:
    """The logarithms of the probabilities of an event by y and of none, each with its scores."""
    still = ["0.0"] * len(_knots(count))
    nothing = ", ".join(["0.0", *still, *["0.0"] * (count - 1)])
    numbers = range(1, count + 1)
    sides = [
        ", ".join([side, slope, *still, *(f"{slope} * g{k}" for k in numbers[:-1])])
        for side, slope in (("below", "rise"), ("above", "fall"))
    ]
    lines = [
        f"total = {_sum(count, 'i')}",
        "if total <= 0.0:",
        f"    return -inf, {nothing}, 0.0, {nothing}",
        "below, rise, above, fall = exponential_tails(mu.log + log(total))",
        *(f"h{k} = i{k} / total" for k in numbers),
        *_scores(count, apart),
        f"return {', '.join(sides)}",
    ]
    return _row_function("tails", count, apart, lines, exponential_tails=exponential_tails)


# -- what is learnt of the training times ------------------------------------------------------------------------


def knots_of(y: Array, count: int = SPLINES, stated: tuple[float, ...] | None = None) -> dict[str, float]:
    """The knots of the baseline: one beyond either end of the training times and the times' quantiles, as in brms.

    Raises
    ------
    DataError
        Where inner knots coincide or lie beyond the outer ones.
    """
    low, high = float(np.min(y)), float(np.max(y))
    beyond = BEYOND * (high - low)
    first, last = max(low - beyond, 0.0), high + beyond
    shares = np.linspace(0.0, 1.0, count - DEGREE + 1)[1:-1]
    inner = np.quantile(y, shares) if stated is None else np.array(stated)
    if stated is not None and not ((inner > first) & (inner < last)).all():
        raise DataError(
            f"the knots of bhaz(…) lie between the outer ones, {first:g} and {last:g}, a fiftieth of the times' range "
            f"beyond the first and the last time; {', '.join(f'{knot:g}' for knot in inner)} do not all"
        )
    found = [first, *map(float, inner), last]
    if any(before >= after for before, after in pairwise(found)):
        raise DataError(
            f"the times have too few values for a baseline of {count} splines: the knots, their quantiles, would be "
            f"{', '.join(f'{knot:g}' for knot in found)}. Take fewer, bhaz(df={DEGREE + 1}) has no inner knot, or "
            "state the inner knots: bhaz(knots=[…])"
        )
    return dict(zip(_knots(count), found, strict=True))


def cdf(y: Array, mu: Positive, sbhaz: ParameterValues, **knots: ParameterValues) -> Array:
    """Probability of an event by y: 1 − exp(−mu times the cumulative baseline), which isn't known beyond its end."""
    places = [knots[f"knot{k}"].value for k in range(1, len(knots) + 1)]
    masses = i_splines(y, places)
    with np.errstate(over="ignore"):
        found = -np.expm1(-mu.value * (sbhaz.value * masses).sum(axis=-1))
    return np.where(y <= places[-1], found, np.where(np.isinf(y), 1.0, np.nan))


def simulate(rng: np.random.Generator, **parameters: ParameterValues) -> Array:
    """None: what lies beyond the last knot has no time."""
    raise UnsupportedError(
        "a response of family 'cox' cannot be simulated: nothing is known of its hazard beyond the last time. "
        "survival(), residuals() and loo() need no simulated times; families whose times can be are weibull, "
        "lognormal, gamma and exponential"
    )


# -- graphs: the recursion of Cox and de Boor, whatever the order ------------------------------------------------


def tensor_splines(y: Any, ends: list[Any], order: int) -> list[Any]:
    """All B-splines of an order at y, in tensors; each outer knot stands as often as the order."""
    import pytensor.tensor as pt

    last = len(ends) - 1
    places = [0] * order + list(range(1, last)) + [last] * order
    found = [
        pt.cast((y >= ends[a]) & (y < ends[b]), "float64") if a != b else None for a, b in pairwise(places)
    ]
    for k in range(1, order):
        raised = []
        for j in range(len(found) - 1):
            low, high = (places[j], places[j + k]), (places[j + 1], places[j + 1 + k])
            parts = []
            if low[0] != low[1] and found[j] is not None:
                parts.append((y - ends[low[0]]) / (ends[low[1]] - ends[low[0]]) * found[j])
            if high[0] != high[1] and found[j + 1] is not None:
                parts.append((ends[high[1]] - y) / (ends[high[1]] - ends[high[0]]) * found[j + 1])
            raised.append(sum(parts) if parts else None)
        found = raised
    return [0.0 * y if one is None else one for one in found]


def _hazard(y: Any, ends: list[Any], sbhaz: list[Any]) -> Any:
    order, last = DEGREE + 1, len(ends) - 1
    places = [0] * order + list(range(1, last)) + [last] * order
    widths = [ends[places[j + order]] - ends[places[j]] for j in range(len(sbhaz))]
    b = tensor_splines(y, ends, order)
    return sum(s * order * one / width for s, one, width in zip(sbhaz, b, widths, strict=True))


def _cumulative(y: Any, ends: list[Any], sbhaz: list[Any]) -> Any:
    import pytensor.tensor as pt

    b = tensor_splines(pt.minimum(y, ends[-1]), ends, DEGREE + 2)
    inside = sum(s * sum(b[j + 1 :]) for j, s in enumerate(sbhaz))
    return pt.switch(y >= ends[-1], 1.0, inside)


def _in_tensors(arguments: dict[str, Any]) -> tuple[Any, list[Any], list[Any]]:
    count = sum(name.startswith("sbhaz") for name in arguments)
    ends = [arguments[name] for name in _knots(count)]
    return arguments["mu"], ends, [arguments[f"sbhaz{k}"] for k in range(1, count + 1)]


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


# -- families ----------------------------------------------------------------------------------------------------


def _knot(name: str, place: int, last: int) -> Parameter:
    words = "where the baseline begins" if place == 1 else "where the baseline ends"
    if 1 < place < last:
        words = "middle knot of the baseline" if last == 3 else f"knot {place} of {last} of the baseline"
    return Parameter(name, NUMBER, ("identity",), words, known=name)


@cache
def family(count: int = SPLINES, knots: tuple[float, ...] | None = None, apart: bool = False) -> Family:
    """The family with a baseline of so many splines.

    Parameters
    ----------
    count : int
        How many M-splines there are, 4 or more.
    knots : tuple of float or None
        The inner knots, four fewer than `count`; None where the times say.
    apart : bool
        Whether rows of several strata have shares of their own.
    """
    names = _knots(count)

    def graph(pm: Any, mu: Any, sbhaz: Any, **ends: Any) -> tuple[Any, dict[str, Any]]:
        """The density in tensors: PyMC has none."""
        given = {name: ends[name].value for name in names}
        each = {f"sbhaz{k + 1}": sbhaz.value[..., k] for k in range(count)}
        return ByDensity(pm, tensor_log_density), {"mu": mu.value, **given, **each}

    plain = (count, knots, apart) == (SPLINES, None, False)
    return Family(
        "cox",
        parameters=(
            Parameter(
                "mu", POSITIVE, ("log", "identity", "softplus", "squareplus"), "hazard over the baseline"
            ),
            *(_knot(name, place, len(names)) for place, name in enumerate(names, start=1)),
            Parameter(
                "sbhaz",
                SHARES_BY_SET if apart else SHARES,
                ("identity",),
                "shares of the M-splines in the baseline",
                lambda spread: Prior("Dirichlet", a=1.0),
                lambda size: np.full(count, 1.0 / count),
                size=count,
            ),
        ),
        support=ABOVE_ZERO,
        moving_ends=True,
        row=row_of(count, apart),
        graph=graph,
        simulate=simulate,
        cdf=cdf,
        tails=Tails(tails_of(count, apart), None, tensor_above, tensor_below),
        known_from=lambda y: knots_of(y, count, knots),
        has_variance=False,
        stands_for=np.ones_like,  # the cumulative baseline ends at 1
        mean_of="other",
        baseline=family if plain else None,
        variant="" if plain else f"df{count}{'_apart' if apart else ''}",
        equation=f"Cox(hazard mu · Σ sbhaz M(y), M-splines on {', '.join(names)})",
        place=17,
    )


FAMILY = family()
