"""Families whose responses are censored or truncated: made of any family whose tails are known.

Of a censored response it is known that it lies between two ends, and its row has the logarithm of that probability
where others have a density. A truncated one was seen because it lies between two bounds, and its row's density is over
their probability. Both are differences of distribution functions, taken in the tail that loses nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import Deferred, deferred, written
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import Array, Family, Parameter, Responses
from hierbayes.kinds import NUMBER, ParameterValues
from hierbayes.special import log1m_exp

LEFT, NONE, RIGHT, INTERVAL = -1.0, 0.0, 1.0, 2.0  # brms's numbers
WORDS = {
    "cens": "how it is censored",
    "y2": "upper end of a censored interval",
    "lb": "lower bound",
    "ub": "upper bound",
}
LOG_HALF = float(np.log(0.5))
ROUNDS = 20  # of drawing anew what fell outside, before the rest are drawn by the inverse
CLOSEST = 1e-12  # logarithms of tails in tensors: at least so far apart


@cache
def with_bounds(base: Family, stated: tuple[str, ...]) -> Family:
    """The family whose rows state how they are censored, or what bounds let them through.

    Parameters
    ----------
    base : Family
        With `tails`.
    stated : tuple of str
        Those of `WORDS` that rows state, in that order. A response with ``y2`` has ``cens``.
    """
    names = [p.name for p in base.parameters]
    truncated = "lb" in stated or "ub" in stated
    assert base.tails is not None, "the family has tails"
    family = replace(
        base,
        parameters=(*base.parameters, *_added(stated)),
        row=_row(base, stated),
        graph=_graph(base, stated),
        response=lambda y: y,
        known_between=_known_between if "cens" in stated else None,
        tails=None,
        information=None,
        simulate=lambda rng, *trials, **given: base.simulate(
            rng, *trials, **{name: given[name] for name in names}
        ),
        mean=_without(base.mean, names),
        variance=_without(base.variance, names),
        cdf=_without(base.cdf, names),
        has_variance=base.has_variance
        and "cens" not in stated
        and not (truncated and base.tails.moments is None),
        summed=False,
        normal=False,
        takes_se=False,
        grows=(),
        variant="_".join(part for part in (base.variant, *stated) if part),
    )
    return _truncated(family, base, stated) if truncated else family


def _without(function: Callable[..., Array] | None, names: list[str]) -> Callable[..., Array] | None:
    """A function of the base family's parameters, given those of the new one."""
    if function is None:
        return None
    return lambda *values, **given: function(*values, **{name: given[name] for name in names})


def _truncated(family: Family, base: Family, stated: tuple[str, ...]) -> Family:
    """With what bounds change: simulated responses, moments, distribution function."""
    names = [p.name for p in base.parameters]
    assert base.tails is not None, "the family has tails"
    moments_of = base.tails.moments
    below = _answering(base, stated, "below", _below_lines(base, stated))
    inverse = _answering(base, stated, "inverse", _inverse_lines(base, stated))

    def moment(place: int) -> Callable[..., Array] | None:
        if moments_of is None:
            return None

        def found(**given: ParameterValues) -> Array:
            lower, upper = _bounds(base, given)
            return moments_of(log_mass(base), lower, upper, **{name: given[name] for name in names})[place]

        return found

    def simulate(rng: np.random.Generator, *trials: Array, **given: ParameterValues) -> Array:
        lower, upper = _bounds(base, given)
        shape = np.broadcast_shapes(
            *(np.shape(values.eta)[: -1 if values.kind.vector else None] for values in given.values())
        )
        inside = {name: values.map(_spread(shape)) for name, values in given.items()}
        lower, upper = (np.broadcast_to(end, shape) for end in (lower, upper))
        counts = [np.broadcast_to(n, shape) for n in trials]
        y = np.array(base.simulate(rng, *counts, **{name: inside[name] for name in names}), np.float64)
        for turn in range(ROUNDS + 1):
            out = ~((y > lower) & (y <= upper))
            if not out.any():
                break
            some = {name: values.map(_picked(out)) for name, values in inside.items()}
            few = [n[out] for n in counts]
            if turn < ROUNDS:
                y[out] = base.simulate(rng, *few, **{name: some[name] for name in names})
            else:
                y[out] = Responses(inverse, some).log_density(rng.uniform(size=out.sum()), *few)
        return y

    return replace(
        family,
        simulate=simulate,
        mean=moment(0),
        variance=moment(1),
        cdf=lambda y, *trials, **given: np.exp(Responses(below, given).log_density(y, *trials)),
        mean_of="other",
        own_in_mean=tuple(p.name for p in family.own if p.name not in ("cens", "y2")),
        equation=f"{base.equation} between {' and '.join(stated[-2:] if 'lb' in stated else stated[-1:])}",
    )


def _spread(shape: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda eta: np.broadcast_to(eta, shape)


def _picked(out: NDArray[np.bool_]) -> Callable[[Array], Array]:
    return lambda eta: eta[out]


def _bounds(base: Family, given: dict[str, ParameterValues]) -> tuple[Array, Array]:
    """The bounds, of counts the lower one as the last that is excluded; infinite where there is none."""
    lower = given["lb"].value if "lb" in given else np.array(-np.inf)
    upper = given["ub"].value if "ub" in given else np.array(np.inf)
    return (np.ceil(lower) - 1.0 if base.support.whole else lower), upper


def _known_between(
    y: Array, cens: ParameterValues, y2: ParameterValues | None = None, **others: ParameterValues
) -> tuple[Array, Array]:
    status = cens.value
    lower = np.where(status == LEFT, -np.inf, y)
    upper = np.where(status == RIGHT, np.inf, y)
    return lower, upper if y2 is None else np.where(status == INTERVAL, y2.value, upper)


# -- rows ------------------------------------------------------------------------------------------------------------


@deferred
def between(
    below_low: float, above_low: float, below_high: float, above_high: float
) -> tuple[float, float, float, float, float]:
    """Return log P(low < Y <= high) and its derivatives in what it is given.

    These are the logarithms of the probabilities below and above both ends.
    """
    if below_high < LOG_HALF:
        value = below_high + log1m_exp(below_low - below_high) if below_low > -np.inf else below_high
        if value == -np.inf:
            return value, 0.0, 0.0, 0.0, 0.0
        return value, -np.exp(below_low - value), 0.0, np.exp(below_high - value), 0.0
    if above_low < LOG_HALF:
        value = above_low + log1m_exp(above_high - above_low) if above_high > -np.inf else above_low
        if value == -np.inf:
            return value, 0.0, 0.0, 0.0, 0.0
        return value, 0.0, np.exp(above_low - value), 0.0, -np.exp(above_high - value)
    value = np.log1p(-np.exp(below_low) - np.exp(above_high))
    return value, -np.exp(below_low - value), 0.0, 0.0, -np.exp(above_high - value)


def _mass(base: Family) -> Deferred:
    """``mass(low, high, [trials,] *parameters[, once])``: log P(low < Y <= high), and its scores in the parameters."""
    assert base.tails is not None, "the family has tails"
    names = _arguments(base)
    given = ", ".join(_given(base))
    sides = [f"{side}_{end}" for end in ("low", "high") for side in ("below", "above")]
    lines = []
    for end, infinite, (below, above) in (("low", "-inf", ("-inf", "0.0")), ("high", "inf", ("0.0", "-inf"))):
        own = [
            f"{side}_{end}{part}" for side in ("below", "above") for part in ("", *(f"_{n}" for n in names))
        ]
        lines += [f"{' = '.join(own)} = 0.0", f"below_{end}, above_{end} = {below}, {above}"]
        sign = ">" if infinite == "-inf" else "<"
        lines += [f"if {end} {sign} {infinite}:", f"    {', '.join(own)} = tails({end}, {given})"]
    lines += [f"value, {', '.join(f'by_{side}' for side in sides)} = between({', '.join(sides)})"]
    scores = [" + ".join(f"by_{side} * {side}_{n}" for side in sides) for n in names]
    lines += [f"return {', '.join(['value', *scores])}"]
    name = f"{_name(base)}_mass"
    return _function(name, f"low, high, {given}", lines, tails=base.tails.row, between=between)


def _row(base: Family, stated: tuple[str, ...]) -> Deferred:
    names = _arguments(base)
    given = ", ".join(_given(base))
    found = ", ".join(["value", *(f"score_{n}" for n in names)])
    nothing = ", ".join(["-inf", *["0.0"] * (len(names) + len(stated))])
    inside = "low < y <= high" if base.support.whole else "low <= y <= high"
    respond = base.response if isinstance(base.response, np.ufunc) else None
    density = f"inner({'respond(y)' if respond else 'y'}, {given})"
    lines = [*_bound_lines(base, stated), f"if not {inside}:", f"    return {nothing}"]
    if "cens" in stated:
        lines += ["status, start, end = cens.value, y, y", "if status < -0.5:", "    start = low"]
        lines += ["elif status > 1.5:", "    end = min(y2.value, high)"] if "y2" in stated else []
        lines += ["elif status > 0.5:", "    end = high"]
        lines += ["if start < end:", f"    {found} = mass(start, end, {given})"]
        lines += ["else:", f"    {found} = {density}"]
    else:
        lines += [f"{found} = {density}"]
    scores = [f"score_{n}" for n in names]
    if "lb" in stated or "ub" in stated:
        lines += [f"{', '.join(['total', *(f'total_{n}' for n in names)])} = mass(low, high, {given})"]
        # bounds of which a distribution that ends before them leaves nothing
        lines += ["if total == -inf:", f"    return {nothing}"]
        scores = [f"score_{n} - total_{n}" for n in names]
        lines += ["value = value - total"]
    lines += [f"return {', '.join(['value', *scores, *['0.0'] * len(stated)])}"]
    tools: dict[str, Any] = {"inner": base.row, "mass": _mass(base)} | (
        {"respond": respond} if respond else {}
    )
    return _function(f"{_name(base, stated)}_row", f"y, {_all_given(base, stated)}", lines, **tools)


def _below_lines(base: Family, stated: tuple[str, ...]) -> list[str]:
    """Lines that return the logarithm of the truncated distribution function."""
    given = ", ".join(_given(base))
    return [
        *_bound_lines(base, stated),
        "if y <= low:",
        "    return -inf",
        f"return mass(low, min(y, high), {given})[0] - mass(low, high, {given})[0]",
    ]


def _inverse_lines(base: Family, stated: tuple[str, ...]) -> list[str]:
    """Lines that return the truncated response below which a share y lies, by halving."""
    given = ", ".join(_given(base))
    middle = "floor(0.5 * (left + right))" if base.support.whole else "0.5 * (left + right)"
    return [
        *_bound_lines(base, stated),
        f"goal = log(y) + mass(low, high, {given})[0]",
        "left, right, step = low, high, 1.0",
        "while left == -inf or (left > low and step < 1e300 and " + f"mass(low, left, {given})[0] > goal):",
        "    left, step = high - step, 2.0 * step",
        "while right == inf or (right < high and step < 1e300 and "
        + f"mass(low, right, {given})[0] < goal):",
        "    right, step = low + step, 2.0 * step",
        "while True:",
        f"    middle = {middle}",
        "    if middle <= left or middle >= right:",
        "        return right",
        f"    if mass(low, middle, {given})[0] < goal:",
        "        left = middle",
        "    else:",
        "        right = middle",
    ]


def _bound_lines(base: Family, stated: tuple[str, ...]) -> list[str]:
    low = "ceil(lb.value) - 1.0" if base.support.whole else "lb.value"
    return [
        f"low = {low if 'lb' in stated else '-inf'}",
        f"high = {'ub.value' if 'ub' in stated else 'inf'}",
    ]


@cache
def log_mass(base: Family) -> Callable[..., Array]:
    """``log_mass(lower, upper, **parameters)``: the logarithm of the probability between two ends, (…, n)."""
    answer = _answering(base, ("lb",), "mass", [f"return mass(lb.value, y, {', '.join(_given(base))})[0]"])

    def found(lower: Array, upper: Array, **given: ParameterValues) -> Array:
        given["lb"] = NUMBER.under("identity", lower)
        return Responses(answer, {p.name: given[p.name] for p in answer.parameters}).log_density(upper)

    return found


def _answering(base: Family, stated: tuple[str, ...], word: str, lines: list[str]) -> Family:
    """What stands for a family whose log density is a function of a number and of the parameters: an answer."""
    name, given = f"{_name(base, stated)}_{word}", _all_given(base, stated)
    inner = _function(f"{name}_alone", f"y, {given}", lines, mass=_mass(base))
    zeros = ", ".join(["0.0"] * (len(_arguments(base)) + len(stated)))
    return replace(
        base,
        parameters=(*base.parameters, *_added(stated)),
        row=_function(f"{name}_row", f"y, {given}", [f"return alone(y, {given}), {zeros}"], alone=inner),
        response=lambda y: y,
        of_y_alone=lambda y, *trials: np.zeros(np.shape(y)),
        variant="_".join(part for part in (base.variant, *stated, word) if part),
    )


def _added(stated: tuple[str, ...]) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, NUMBER, ("identity",), WORDS[name], known=name) for name in stated)


def _arguments(base: Family) -> list[str]:
    return [name for parameter in base.parameters for name, _ in parameter.arguments]


def _given(base: Family) -> list[str]:
    return [*_trials(base), *_arguments(base), *(["once"] if base.shared else [])]


def _all_given(base: Family, stated: tuple[str, ...]) -> str:
    return ", ".join([*_trials(base), *_arguments(base), *stated, *(["once"] if base.shared else [])])


def _trials(base: Family) -> list[str]:
    return ["trials"] if base.needs_trials else []


def _name(base: Family, stated: tuple[str, ...] = ()) -> str:
    return "_".join(part for part in (base.name, base.variant, *stated) if part)


def _function(name: str, arguments: str, lines: list[str], **tools: Any) -> Deferred:
    source = "\n".join([f"def {name}({arguments}):", *(f"    {line}" for line in lines), ""])
    numbers: dict[str, Any] = {"inf": np.inf, "floor": np.floor, "ceil": np.ceil, "log": np.log}
    return written(name, source, __file__, __name__, **numbers, **tools)


# -- graphs ----------------------------------------------------------------------------------------------------------


def _graph(base: Family, stated: tuple[str, ...]) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """The same density in tensors, from PyMC's distribution and its probabilities."""
    names = [p.name for p in base.parameters]

    def graph(pm: Any, *trials: Any, **given: ParameterValues) -> tuple[Any, dict[str, Any]]:
        distribution, arguments = base.in_tensors(pm, *trials, **{name: given[name] for name in names})
        bounds = {name: given[name].value for name in stated}

        def log_density(y: Any, **values: Any) -> Any:
            of = _Probabilities(pm, base, distribution, {name: values[name] for name in arguments})
            return of.log_density(y, **{name: values[name] for name in stated})

        return ByDensity(pm, log_density), arguments | bounds

    return graph


class _Probabilities:
    """Logarithms of probabilities in tensors, of PyMC's distribution with given arguments."""

    def __init__(self, pm: Any, base: Family, distribution: Any, arguments: dict[str, Any]) -> None:
        assert base.tails is not None, "the family has tails"
        self.pm, self.whole, self.tails = pm, base.support.whole, base.tails
        self.variable, self.arguments = distribution.dist(**arguments), arguments

    def below(self, y: Any) -> Any:
        if self.tails.below is None:
            return self.pm.logcdf(self.variable, y)
        return self.tails.below(y, **self.arguments)

    def above(self, y: Any) -> Any:
        if self.tails.above is None:
            return self.pm.logccdf(self.variable, y)
        return self.tails.above(y, **self.arguments)

    def mass(self, low: Any, high: Any) -> Any:
        """log P(low < Y <= high), of ends of which None is infinite."""
        import pytensor.tensor as pt

        if low is None or high is None:
            return self.below(high) if low is None else self.above(low)

        def difference(larger: Any, smaller: Any) -> Any:
            return larger + pt.log(-pt.expm1(pt.minimum(smaller - larger, -CLOSEST)))

        by_below = difference(self.below(high), self.below(low))
        by_above = difference(self.above(low), self.above(high))
        return pt.switch(self.below(high) < LOG_HALF, by_below, by_above)

    def log_density(self, y: Any, cens: Any = None, y2: Any = None, lb: Any = None, ub: Any = None) -> Any:
        import pytensor.tensor as pt

        low = pt.ceil(lb) - 1 if lb is not None and self.whole else lb
        value = self.pm.logp(self.variable, y)
        if cens is not None:
            value = pt.switch(pt.eq(cens, RIGHT), self.mass(y, ub), value)
            value = pt.switch(pt.eq(cens, LEFT), self.mass(low, y), value)
        if y2 is not None:
            end = pt.switch(pt.eq(cens, INTERVAL), y2, y + 1)
            end = end if ub is None else pt.minimum(end, ub)
            value = pt.switch(pt.eq(cens, INTERVAL), self.mass(y, end), value)
        return value if lb is None and ub is None else value - self.mass(low, ub)
