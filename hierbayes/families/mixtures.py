"""Mixtures: each response is of one of several distributions, which of them is not known.

The parameters are the families' with a 1, a 2, … behind, as brms has them, and `theta2`, `theta3`, …: the probability
of the second among the first two, that of the third among the first three. So each is any number from 0 to 1, whatever
the others are, and may have a formula; of two components `theta2` is the probability of the second. The bare formula is
that of `mu1`, `mu2`, …, each where it has none of its own; `mu` itself is none.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import Deferred, row_function, written
from hierbayes.errors import UnsupportedError
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import Alike, Array, Family, Parameter
from hierbayes.families.zeros import share
from hierbayes.kinds import NOTHING
from hierbayes.priors import Prior
from hierbayes.special import exp_lane, log1p_lane

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
MOST = len(ORDINALS)
SAMPLES = np.array(
    [0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 7.0, 30.0]
)  # responses at which left-out parts are compared
TRIALS = np.arange(40.0, 40.0 + len(SAMPLES))


@row_function
def log_sum(one: float, two: float) -> float:
    """Return the logarithm of a sum from those of both."""
    largest = max(one, two)
    return largest if largest == -np.inf else largest + log1p_lane(exp_lane(-abs(one - two)))


@cache
def mixed(*parts: Family) -> Family:
    """The mixture of families: see `hierbayes.mixture`."""
    name = f"mixture({', '.join(part.name for part in parts)})"
    if not 2 <= len(parts) <= MOST:
        raise UnsupportedError(f"a mixture is of two families and more, at most {MOST}; got {len(parts)}")
    for part in parts:
        _check(name, part)
        _check_together(name, parts[0], part)
    links = [link for link in parts[0].first.links if all(link in part.first.links for part in parts[1:])]
    if not links:
        raise UnsupportedError(f"{name}: the means have no link in common, which they must share")
    row = _row(name, parts)
    by_link = {link: _under(name, parts, link, row) for link in links}
    return replace(by_link[links[0]], latents=by_link)


def shares_of(count: int) -> tuple[str, ...]:
    """The parameters that say how likely each component is but the first.

    Examples
    --------
    >>> shares_of(3)
    ('theta2', 'theta3')
    """
    return tuple(f"theta{place}" for place in range(2, count + 1))


def _check(name: str, part: Family) -> None:
    vector = any(parameter.kind.vector for parameter in part.parameters)
    if part.support.categories or part.support.signed or part.row is None or vector or part.components:
        raise UnsupportedError(
            f"{name}: {part.name!r} cannot be part of a mixture, which is of numbers or counts whose family has "
            "a row function"
        )
    if any(parameter.name == "theta" for parameter in part.parameters):
        raise UnsupportedError(f"{name}: {part.name!r} has a parameter theta, which is a mixture's own")


def _check_together(name: str, one: Family, two: Family) -> None:
    if (one.support.words, one.needs_trials) != (two.support.words, two.needs_trials):
        raise UnsupportedError(
            f"{name}: a response of {one.name!r} is {one.support.words}, one of {two.name!r} {two.support.words}; "
            "mix families of the same responses"
        )
    if one.log_response != two.log_response or not _same_responses(one, two):
        raise UnsupportedError(
            f"{name}: one is a distribution of the response, another of its logarithm; mix those of one kind"
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
    """The row function of all: log Σ exp, and scores weighed by the probability that the response is of each."""
    identifier = name.replace("(", "_").replace(", ", "_").removesuffix(")")
    trials = ["trials"] if parts[0].needs_trials else []
    shares = shares_of(len(parts))
    functions: dict[str, Any] = {"exp_lane": exp_lane, "log_sum": log_sum, "inf": np.inf}
    lines, scores = [], dict[str, str]()
    for place, part in _placed(parts):
        own = [f"{parameter.name}{place}" for parameter in part.parameters]
        functions[f"_row{place}"] = part.row
        once = []
        if part.shared is not None:
            functions[f"_shared{place}"] = part.shared
            given = inspect.signature(part.shared.function).parameters
            wanted = [one if one == "trials" else f"{one}{place}" for one in given]
            once = [f"_shared{place}({', '.join(wanted)})"]
        targets = ", ".join([f"_value{place}", *(f"_score_{parameter}" for parameter in own)])
        lines.append(f"{targets} = _row{place}({', '.join(['y', *trials, *own, *once])})")
        scores |= {p: f"_share{place} * _score_{p} if _share{place} > 0.0 else 0.0" for p in own}
    names = [parameter.name for parameter in _parameters(parts, parts[0].first.link)]
    for place, part in _placed(parts):
        weights = [f"{shares[place - 2]}.log_p"] if place > 1 else []
        weights += [f"{later}.log_q" for later in shares[place - 1 :]]
        constant = f" + {_difference(name, parts[0], part)!r}" if place > 1 else ""
        lines.append(f"_joint{place} = {' + '.join(weights)} + _value{place}{constant}")
    total = "_joint1"
    for place in range(2, len(parts) + 1):
        total = f"log_sum({total}, _joint{place})"
    lines += [
        f"_total = {total}",
        "if _total == -inf:",
        f"    return {', '.join(['_total', *(['0.0'] * len(names))])}",
        *(f"_share{place} = exp_lane(_joint{place} - _total)" for place, _ in _placed(parts)),
    ]
    for place, theta in enumerate(
        shares, 2
    ):  # one of the first `place` components: in which this says something
        among = "" if place == len(parts) else f" * ({' + '.join(f'_share{k}' for k in range(1, place + 1))})"
        scores[theta] = f"_share{place} - {theta}.p{among}"
    lines.append(f"return _total, 0.0, {', '.join(scores[name] for name in names[1:])}")
    heading = f"def {identifier}_row({', '.join(['y', *trials, *names])}):"
    source = "\n".join([heading, *(f"    {line}" for line in lines), ""])
    stored = all(part.row is not None and part.row.stored for part in parts)
    return written(f"{identifier}_row", source, __file__, __name__, stored, **functions)


def _placed(parts: Sequence[Family]) -> list[tuple[int, Family]]:
    """Components with the numbers that stand behind their parameters."""
    return list(enumerate(parts, 1))


def _within(parameter: Parameter, count: int) -> Callable[[float], Any]:
    """The typical value of a component's parameter, given the spread of all responses.

    Within a component it is taken to be a part of that: as large, and all would lie on one another.
    """
    part = 1.0 / count if parameter.of == "spread" else 1.0
    return lambda spread: parameter.typical(part * spread)


def _start(place: int, count: int) -> float:
    """Where a component's mean is sought first, in standard deviations: normal quantiles of equal shares."""
    return round(float(special.ndtri((place - 0.5) / count)), 4)


def _share(place: int, count: int) -> Parameter:
    """How likely a component is among those up to it; all of these together are a uniform draw of shares."""
    among = "" if count == 2 else f" among the first {'two' if place == 2 else place}"
    found = share(f"theta{place}", f"probability of the {ORDINALS[place - 1]}{among}")
    if place == 2:
        return found
    prior = Prior("Beta", alpha=1.0, beta=place - 1.0)
    return replace(found, prior=lambda spread: prior, typical=lambda spread: 1.0 / place)


def _parameters(parts: Sequence[Family], link: str) -> tuple[Parameter, ...]:
    """Those of all in turns: mu, mu1, mu2, sigma1, sigma2, theta2."""
    count = len(parts)
    found = [
        (order, place, parameter)
        for place, part in _placed(parts)
        for order, parameter in enumerate(part.parameters)
    ]
    own = [
        replace(
            parameter,
            name=f"{parameter.name}{place}",
            links=(link,) if order == 0 else parameter.links,
            words=f"{parameter.words} of the {ORDINALS[place - 1]}",
            typical=_within(parameter, count),
            of="response" if order == 0 else parameter.of,
            start=_start(place, count) if order == 0 else 0.0,
        )
        for order, place, parameter in sorted(found, key=lambda one: one[:2])
    ]
    nothing = Parameter("mu", NOTHING, (link,), "nothing: the components' have their own")
    return (nothing, *own, *(_share(place, count) for place in range(2, count + 1)))


def _under(name: str, parts: Sequence[Family], link: str, row: Deferred) -> Family:
    """The mixture where all means have that link."""
    first, shares = parts[0], shares_of(len(parts))

    def graph(pm: Any, *trials: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        """The densities of PyMC, added."""
        made, arguments = [], dict[str, Any]()
        for theta in shares:
            arguments |= {
                f"log_q_{theta}": parameters[theta].log_q,
                f"log_p_{theta}": parameters[theta].log_p,
            }
        for (place, part), values in zip(_placed(parts), _split(parts, parameters), strict=True):
            distribution, own = part.in_tensors(pm, *trials, **values)
            made.append((place, distribution, list(own)))
            arguments |= {f"{key}_{place}": value for key, value in own.items()}

        def log_density(y: Any, **given: Any) -> Any:
            logs = [
                pm.logp(distribution.dist(**{key: given[f"{key}_{place}"] for key in keys}), y)
                for place, distribution, keys in made
            ]
            found = logs[0]
            for theta, own in zip(shares, logs[1:], strict=True):
                found = pm.math.logaddexp(given[f"log_q_{theta}"] + found, given[f"log_p_{theta}"] + own)
            return found

        return ByDensity(pm, log_density), arguments

    def simulate(rng: np.random.Generator, *trials: Any, **parameters: Any) -> Array:
        found, *others = (
            part.simulate(rng, *trials, **values)
            for part, values in zip(parts, _split(parts, parameters), strict=True)
        )
        for theta, own in zip(shares, others, strict=True):
            found = np.where(rng.random(own.shape) < parameters[theta].p, own, found)
        return found

    fields: dict[str, Any] = {
        field: partial(function, parts)
        for field, function in _MOMENTS.items()
        if all(getattr(part, field) is not None for part in parts)
    }
    mean_of = tuple(
        f"{own}{place}" for place, part in _placed(parts) for own in (part.first.name, *part.own_in_mean)
    )
    return Family(
        name,
        parameters=_parameters(parts, link),
        support=first.support,
        row=row,
        graph=graph,
        simulate=simulate,
        equation=_equation(parts),
        of_y_alone=first.of_y_alone,
        response=first.response,
        needs_trials=first.needs_trials,
        log_response=first.log_response,
        has_variance=all(part.has_variance for part in parts),
        typical_rows=first.typical_rows,
        stands_for=first.stands_for,
        mean_of="other",
        own_in_mean=(*mean_of, *shares),
        components=tuple(f"{part.first.name}{place}" for place, part in _placed(parts)),
        alike=_alike(parts),
        **fields,
    )


def _alike(parts: Sequence[Family]) -> Alike | None:
    """The parameters of components that are all of one family."""
    if any(part is not parts[0] for part in parts):
        return None
    named = tuple(tuple(f"{own.name}{place}" for own in part.parameters) for place, part in _placed(parts))
    return Alike(named, shares_of(len(parts)))


def _split(parts: Sequence[Family], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters of each by its own names."""
    return [
        {own.name: parameters[f"{own.name}{place}"] for own in part.parameters}
        for place, part in _placed(parts)
    ]


def _equation(parts: Sequence[Family]) -> str:
    """Each component's equation times its share of those up to it."""
    found = _numbered(parts[0], 1)
    for (place, part), theta in zip(_placed(parts)[1:], shares_of(len(parts)), strict=True):
        before = found if place == 2 else f"[{found}]"
        found = f"(1 − {theta})·{before} + {theta}·{_numbered(part, place)}"
    return found


def _numbered(part: Family, place: int) -> str:
    """Its equation with the place behind each parameter."""
    names = "|".join(own.name for own in part.parameters)
    return re.sub(rf"\b({names})\b", rf"\g<1>{place}", part.equation)


# -- moments, from those of all ----------------------------------------------------------------------------------


def _each(
    field: str, parts: Sequence[Family], given: Sequence[Any], parameters: Mapping[str, Any]
) -> list[Any]:
    """What the records say under that name."""
    return [
        getattr(part, field)(*given, **values)
        for part, values in zip(parts, _split(parts, parameters), strict=True)
    ]


def _averaged(values: Sequence[Array], parameters: Mapping[str, Any]) -> Array:
    """Their mean, each weighed by how likely its component is."""
    found = values[0]
    for theta, value in zip(shares_of(len(values)), values[1:], strict=True):
        found = parameters[theta].q * found + parameters[theta].p * value
    return found


def _mean(parts: Sequence[Family], **parameters: Any) -> Array:
    return _averaged(_each("mean", parts, (), parameters), parameters)


def _between(parts: Sequence[Family], parameters: Mapping[str, Any]) -> Array:
    """The variance of the means about that of the mixture."""
    mean, *others = _each("mean", parts, (), parameters)
    found = np.zeros_like(mean)
    for theta, own in zip(shares_of(len(parts)), others, strict=True):
        p, q = parameters[theta].p, parameters[theta].q
        found, mean = q * found + p * q * np.square(mean - own), q * mean + p * own
    return found


def _variance(parts: Sequence[Family], **parameters: Any) -> Array:
    return _averaged(_each("variance", parts, (), parameters), parameters) + _between(parts, parameters)


def _design_effect(parts: Sequence[Family], trials: Array, **parameters: Any) -> Array:
    """Trials of one row are of the same distribution."""
    effects = _each("design_effect", parts, (trials,), parameters)
    variances = _each("variance", parts, (), parameters)
    within = _averaged([e * v for e, v in zip(effects, variances, strict=True)], parameters)
    value: Array = (within + trials * _between(parts, parameters)) / _variance(parts, **parameters)
    return value


def _cdf(parts: Sequence[Family], y: Array, *trials: Any, **parameters: Any) -> Array:
    return _averaged(_each("cdf", parts, (y, *trials), parameters), parameters)


_MOMENTS: dict[str, Callable[..., Array]] = {
    "mean": _mean,
    "variance": _variance,
    "design_effect": _design_effect,
    "cdf": _cdf,
}
