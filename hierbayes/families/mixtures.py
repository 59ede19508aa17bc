"""Mixtures: each response is of one of two distributions, which of them is not known.

The parameters are the two families' with a 1 or a 2 behind, as brms has them, and `theta2`, the probability of the
second. The bare formula is that of `mu1` and of `mu2`, each where it has none of its own; `mu` itself is none.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from hierbayes.compiling import Deferred, written
from hierbayes.errors import UnsupportedError
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import Array, Family, Parameter, Twins
from hierbayes.families.zeros import share
from hierbayes.kinds import NOTHING
from hierbayes.special import exp_lane, log1p_lane

PLACES = (1, 2)
SHARE = "theta2"
SAMPLES = np.array(
    [0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 7.0, 30.0]
)  # responses at which left-out parts are compared
TRIALS = np.arange(40.0, 40.0 + len(SAMPLES))
START = 0.6745  # of a normal distribution's standard deviations: where its quartiles are
WITHIN = 0.5  # of the responses' spread is typical within a component: as large as that, and both lie on one another


@cache
def mixed(*parts: Family) -> Family:
    """The mixture of two families: see `hierbayes.mixture`."""
    name = f"mixture({', '.join(part.name for part in parts)})"
    _check(name, parts)
    links = [link for link in parts[0].first.links if link in parts[1].first.links]
    if not links:
        raise UnsupportedError(f"{name}: the means of the two have no link in common, which they must share")
    row = _row(name, parts)
    by_link = {link: _under(name, parts, link, row) for link in links}
    return replace(by_link[links[0]], latents=by_link)


def _check(name: str, parts: Sequence[Family]) -> None:
    one, two = parts
    for part in parts:
        vector = any(parameter.kind.vector for parameter in part.parameters)
        if part.support.categories or part.row is None or vector or part.components:
            raise UnsupportedError(
                f"{name}: {part.name!r} cannot be part of a mixture, which is of numbers or counts whose family has "
                "a row function"
            )
        if any(parameter.name == "theta" for parameter in part.parameters):
            raise UnsupportedError(f"{name}: {part.name!r} has a parameter theta, which is a mixture's own")
    if (one.support.words, one.needs_trials) != (two.support.words, two.needs_trials):
        raise UnsupportedError(
            f"{name}: a response of {one.name!r} is {one.support.words}, one of {two.name!r} {two.support.words}; "
            "mix families of the same responses"
        )
    if one.log_response != two.log_response or not _same_responses(one, two):
        raise UnsupportedError(
            f"{name}: one is a distribution of the response, the other of its logarithm; mix two of one kind"
        )


def _inside(part: Family) -> tuple[Array, tuple[Array, ...]]:
    """Responses that the family may have, and their trials where it needs them."""
    inside = part.support.contains(SAMPLES, TRIALS)
    trials = (TRIALS[inside],) if part.needs_trials else ()
    return SAMPLES[inside], trials


def _same_responses(one: Family, two: Family) -> bool:
    """Whether row functions of both are given the same of a response."""
    y, _ = _inside(one)
    return np.array_equal(one.response(y), two.response(y))


def _difference(name: str, one: Family, two: Family) -> float:
    """The second family's part of the log density that its row function leaves out, less the first's: a constant."""
    if one.of_y_alone is two.of_y_alone:
        return 0.0
    y, trials = _inside(one)
    found = np.asarray(two.of_y_alone(y, *trials)) - one.of_y_alone(y, *trials)
    if not np.ptp(found) < 1e-9:
        raise UnsupportedError(
            f"{name}: their row functions leave out different terms of the response, which no mixture adds; if "
            "one is the other where a parameter has some value, mix that one with itself and give this a Fixed prior"
        )
    return float(found[0])


def _row(name: str, parts: Sequence[Family]) -> Deferred:
    """The row function of both: log Σ exp, and scores weighed by the probability that the response is of each."""
    identifier = name.replace("(", "_").replace(", ", "_").removesuffix(")")
    trials = ["trials"] if parts[0].needs_trials else []
    functions: dict[str, Any] = {"exp_lane": exp_lane, "log1p_lane": log1p_lane, "inf": np.inf}
    lines = []
    for place, part in zip(PLACES, parts, strict=True):
        own = [f"{parameter.name}{place}" for parameter in part.parameters]
        functions[f"_row{place}"] = part.row
        once = []
        if part.shared is not None:
            functions[f"_shared{place}"] = part.shared
            given = inspect.signature(part.shared.function).parameters
            wanted = [one if one == "trials" else f"{one}{place}" for one in given]
            once = [f"_shared{place}({', '.join(wanted)})"]
        scores = [f"_score_{parameter}" for parameter in own]
        lines.append(
            f"{', '.join([f'_value{place}', *scores])} = _row{place}({', '.join(['y', *trials, *own, *once])})"
        )
    names = [parameter.name for parameter in _parameters(parts, parts[0].first.link)]
    shares = {p: f"_share{p[-1]} * _score_{p} if _share{p[-1]} > 0.0 else 0.0" for p in names[1:-1]}
    lines += [
        f"_joint1, _joint2 = theta2.log_q + _value1, theta2.log_p + _value2 + {_difference(name, *parts)!r}",
        "_largest = max(_joint1, _joint2)",
        "if _largest == -inf:",
        f"    return {', '.join(['_largest', *(['0.0'] * len(names))])}",
        "_total = _largest + log1p_lane(exp_lane(-abs(_joint1 - _joint2)))",
        "_share1, _share2 = exp_lane(_joint1 - _total), exp_lane(_joint2 - _total)",
        f"return _total, 0.0, {', '.join(shares.values())}, _share2 - theta2.p",
    ]
    heading = f"def {identifier}_row({', '.join(['y', *trials, *names])}):"
    source = "\n".join([heading, *(f"    {line}" for line in lines), ""])
    stored = all(part.row is not None and part.row.stored for part in parts)
    return written(f"{identifier}_row", source, __file__, __name__, stored, **functions)


def _within(parameter: Parameter) -> Callable[[float], Any]:
    """The typical value of a component's parameter, given the spread of all responses."""
    share = WITHIN if parameter.of == "spread" else 1.0
    return lambda spread: parameter.typical(share * spread)


def _parameters(parts: Sequence[Family], link: str) -> tuple[Parameter, ...]:
    """Those of both in turns: mu, mu1, mu2, sigma1, sigma2, theta2."""
    found = [
        (order, place, parameter)
        for place, part in zip(PLACES, parts, strict=True)
        for order, parameter in enumerate(part.parameters)
    ]
    own = [
        replace(
            parameter,
            name=f"{parameter.name}{place}",
            links=(link,) if order == 0 else parameter.links,
            words=f"{parameter.words} of the {('first', 'second')[place - 1]}",
            typical=_within(parameter),
            of="response" if order == 0 else parameter.of,
            start=START * (-1, 1)[place - 1] if order == 0 else 0.0,
        )
        for order, place, parameter in sorted(found, key=lambda one: one[:2])
    ]
    nothing = Parameter("mu", NOTHING, (link,), "nothing: the components' have their own")
    return (nothing, *own, share(SHARE, "probability of the second"))


def _under(name: str, parts: Sequence[Family], link: str, row: Deferred) -> Family:
    """The mixture where both means have that link."""
    first = parts[0]

    def graph(pm: Any, *trials: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        """The two densities of PyMC, added."""
        theta, made = parameters[SHARE], []
        arguments = {"log_q": theta.log_q, "log_p": theta.log_p}
        for place, values in zip(PLACES, _split(parts, parameters), strict=True):
            distribution, own = parts[place - 1].in_tensors(pm, *trials, **values)
            made.append((distribution, list(own)))
            arguments |= {f"{key}_{place}": value for key, value in own.items()}

        def log_density(y: Any, log_q: Any, log_p: Any, **given: Any) -> Any:
            joint = [
                weight + pm.logp(distribution.dist(**{key: given[f"{key}_{place}"] for key in keys}), y)
                for place, weight, (distribution, keys) in zip(PLACES, (log_q, log_p), made, strict=True)
            ]
            return pm.math.logaddexp(*joint)

        return ByDensity(pm, log_density), arguments

    def simulate(rng: np.random.Generator, *trials: Any, **parameters: Any) -> Array:
        one, two = (
            part.simulate(rng, *trials, **values)
            for part, values in zip(parts, _split(parts, parameters), strict=True)
        )
        return np.where(rng.random(one.shape) < parameters[SHARE].p, two, one)

    fields: dict[str, Any] = {
        field: partial(function, parts)
        for field, function in _MOMENTS.items()
        if all(getattr(part, field) is not None for part in parts)
    }
    mean_of = tuple(
        f"{own}{place}"
        for place, part in zip(PLACES, parts, strict=True)
        for own in (part.first.name, *part.own_in_mean)
    )
    return Family(
        name,
        parameters=_parameters(parts, link),
        support=first.support,
        row=row,
        graph=graph,
        simulate=simulate,
        equation=" + ".join(
            f"{weight}·{_numbered(part, place)}"
            for place, part, weight in zip(PLACES, parts, ("(1 − theta2)", SHARE), strict=True)
        ),
        of_y_alone=first.of_y_alone,
        response=first.response,
        needs_trials=first.needs_trials,
        log_response=first.log_response,
        has_variance=all(part.has_variance for part in parts),
        typical_rows=first.typical_rows,
        stands_for=first.stands_for,
        mean_of="other",
        own_in_mean=(*mean_of, SHARE),
        components=tuple(f"{part.first.name}{place}" for place, part in zip(PLACES, parts, strict=True)),
        twins=_twins(parts),
        **fields,
    )


def _twins(parts: Sequence[Family]) -> Twins | None:
    """The parameters of two of one family, in pairs."""
    one, two = parts
    if one is not two:
        return None
    return Twins(tuple((f"{own.name}1", f"{own.name}2") for own in one.parameters), SHARE)


def _split(parts: Sequence[Family], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters of each by its own names."""
    return [
        {own.name: parameters[f"{own.name}{place}"] for own in part.parameters}
        for place, part in zip(PLACES, parts, strict=True)
    ]


def _numbered(part: Family, place: int) -> str:
    """Its equation with the place behind each parameter."""
    names = "|".join(own.name for own in part.parameters)
    return re.sub(rf"\b({names})\b", rf"\g<1>{place}", part.equation)


# -- moments, from those of both ---------------------------------------------------------------------------------


def _mean(parts: Sequence[Family], **parameters: Any) -> Array:
    one, two = _both("mean", parts, (), parameters)
    value: Array = parameters[SHARE].q * one + parameters[SHARE].p * two
    return value


def _between(parts: Sequence[Family], parameters: Mapping[str, Any]) -> Array:
    """The variance of the means about that of the mixture."""
    one, two = _both("mean", parts, (), parameters)
    value: Array = parameters[SHARE].p * parameters[SHARE].q * np.square(one - two)
    return value


def _variance(parts: Sequence[Family], **parameters: Any) -> Array:
    one, two = _both("variance", parts, (), parameters)
    value: Array = parameters[SHARE].q * one + parameters[SHARE].p * two + _between(parts, parameters)
    return value


def _design_effect(parts: Sequence[Family], trials: Array, **parameters: Any) -> Array:
    """Trials of one row are of the same distribution."""
    theta, between = parameters[SHARE], _between(parts, parameters)
    effects = _both("design_effect", parts, (trials,), parameters)
    one, two = (
        effect * variance
        for effect, variance in zip(effects, _both("variance", parts, (), parameters), strict=True)
    )
    value: Array = (theta.q * one + theta.p * two + trials * between) / _variance(parts, **parameters)
    return value


def _cdf(parts: Sequence[Family], y: Array, *trials: Any, **parameters: Any) -> Array:
    one, two = _both("cdf", parts, (y, *trials), parameters)
    value: Array = parameters[SHARE].q * one + parameters[SHARE].p * two
    return value


def _both(
    field: str, parts: Sequence[Family], given: Sequence[Any], parameters: Mapping[str, Any]
) -> list[Any]:
    """What the two records say under that name."""
    return [
        getattr(part, field)(*given, **values)
        for part, values in zip(parts, _split(parts, parameters), strict=True)
    ]


_MOMENTS: dict[str, Callable[..., Array]] = {
    "mean": _mean,
    "variance": _variance,
    "design_effect": _design_effect,
    "cdf": _cdf,
}
