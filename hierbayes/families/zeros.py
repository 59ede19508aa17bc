"""Families from families: responses with zeros that a distribution has not, or more of them than it has.

`zero_inflated` mixes zeros into counts, which have some of their own. `hurdle` says first whether there is any, then
how much where there is: of counts the distribution without its zeros, of numbers the distribution itself. In both the
added parameter is a probability: of a zero beside the counts, of any zero at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hierbayes.compiling import Deferred, written
from hierbayes.families.record import SHARE_LINKS, Array, Family, Parameter, Support
from hierbayes.kinds import PROBABILITY
from hierbayes.priors import Prior
from hierbayes.special import exp_lane, log1m_exp, log1p_lane

POSITIVE_OR_ZERO = Support(
    "a finite number, 0 or more", lambda y, trials: np.isfinite(y) & (y >= 0), atoms=(0.0,)
)


def share(name: str, words: str) -> Parameter:
    """A probability beside those that a family has, every value of it alike in its prior."""
    prior = Prior("Beta", alpha=1.0, beta=1.0)
    return Parameter(name, PROBABILITY, SHARE_LINKS, words, lambda spread: prior, lambda spread: 0.5)


def zero_inflated(
    base: Family,
    name: str,
    module: Mapping[str, Any],
    graph: Callable[..., tuple[Any, dict[str, Any]]] | None,
    **fields: Any,
) -> Family:
    """The family of counts with zeros mixed in, with probability `zi`.

    Parameters
    ----------
    base : Family
        Of counts, or of successes out of trials, with mean, variance and distribution function.
    name : str
    module : mapping
        The globals of the family's file, beside which its compiled code is kept.
    graph : callable or None
        As a family's.
    fields
        Others of the record.
    """
    added = share("zi", "probability of a 0 beside the counts")
    lines = [
        "value, {scores} = row({arguments})",
        "if y > 0.0:",
        "    return zi.log_q + value, {scores}, -zi.p",
        "zero = zi.log_q + value",
        "total = max(zi.log_p, zero) + log1p_lane(exp_lane(-abs(zi.log_p - zero)))",
        "counted = exp_lane(zero - total)  # the probability that this 0 was counted",
        "return total, {counted}, zi.q - counted",
    ]

    def simulate(rng: np.random.Generator, *trials: Any, zi: Any, **others: Any) -> Array:
        y = base.simulate(rng, *trials, **others)
        return np.where(rng.random(y.shape) < zi.p, 0.0, y)

    def mean(zi: Any, **others: Any) -> Array:
        value: Array = zi.q * _of(base.mean)(**others)
        return value

    def variance(zi: Any, **others: Any) -> Array:
        average, spread = _of(base.mean)(**others), _of(base.variance)(**others)
        value: Array = zi.q * (spread + zi.p * average**2)
        return value

    def design_effect(trials: Array, zi: Any, **others: Any) -> Array:
        """Trials of one row are zeros together."""
        average, spread = _of(base.mean)(**others), _of(base.variance)(**others)
        within = base.design_effect(trials, **others) * spread
        value: Array = (within + trials * zi.p * average**2) / (spread + zi.p * average**2)
        return value

    def cdf(y: Array, *trials: Any, zi: Any, **others: Any) -> Array:
        value: Array = zi.p + zi.q * _of(base.cdf)(y, *trials, **others)
        return value

    return _with(
        base,
        added,
        name,
        module,
        lines,
        {
            "graph": graph,
            "simulate": simulate,
            "mean": mean,
            "variance": variance,
            "design_effect": design_effect,
            "cdf": cdf,
            "equation": f"0 with probability zi, else {base.equation}",
            **fields,
        },
    )


def hurdle(
    base: Family,
    name: str,
    module: Mapping[str, Any],
    graph: Callable[..., tuple[Any, dict[str, Any]]] | None,
    positive: Callable[..., Array] | None = None,
    parameter: str = "hu",
    **fields: Any,
) -> Family:
    """The family of zeros with probability `hu`, and otherwise of what `base` has above 0.

    Parameters
    ----------
    base : Family
        Of counts, or of numbers above 0, with mean, variance and distribution function.
    name, module, graph
        As in `zero_inflated`.
    positive : callable
        ``positive(rng, **parameters)``: counts of the base family that are not 0; needed where it has zeros.
    parameter : str
        The name of the probability.
    fields
        Others of the record.
    """
    added = share(parameter, "probability of a 0")
    zero = "y == 0.0" if np.isfinite(_zero(base)) else "y == -inf"
    lines = [
        f"if {zero}:",
        f"    return {parameter}.log_p, {{nothing}}, {parameter}.q",
        "value, {scores} = row({arguments})",
    ]
    if positive is None:
        lines.append(f"return {parameter}.log_q + value, {{scores}}, -{parameter}.p")
    else:
        lines += [
            "none, {zeros} = row({arguments_of_zero})",
            "odds = 1.0 / expm1(-none)  # of a zero of the base family",
            f"return {parameter}.log_q + value - log1m_exp(none), {{truncated}}, -{parameter}.p",
        ]

    def above(function: Callable[..., Array], **others: Any) -> Array:
        """What the base family has above 0 of an average that zeros add nothing to."""
        whole = function(**others)
        if positive is None:
            return whole
        return whole / -np.expm1(_log_zero(base, others))

    def square(**others: Any) -> Array:
        value: Array = _of(base.variance)(**others) + _of(base.mean)(**others) ** 2
        return value

    def simulate(rng: np.random.Generator, **given: Any) -> Array:
        none, others = _split(given, parameter)
        y = (positive or base.simulate)(rng, **others)
        return np.where(rng.random(y.shape) < none.p, 0.0, y)

    def mean(**given: Any) -> Array:
        none, others = _split(given, parameter)
        value: Array = none.q * above(_of(base.mean), **others)
        return value

    def variance(**given: Any) -> Array:
        none, others = _split(given, parameter)
        average = above(_of(base.mean), **others)
        inside = np.maximum(above(square, **others) - average**2, 0.0)
        value: Array = none.q * (inside + none.p * average**2)
        return value

    def cdf(y: Array, **given: Any) -> Array:
        none, others = _split(given, parameter)
        low = np.where(np.asarray(y) > 0, y, 1.0)
        below = _of(base.cdf)(low, **others)
        if positive is not None:
            beyond = -np.expm1(_log_zero(base, others))
            below = np.clip(1 - (1 - below) / np.maximum(beyond, np.finfo(float).tiny), 0.0, 1.0)
        return np.where(np.asarray(y) > 0, none.p + none.q * below, none.p + 0.0 * below)

    return _with(
        base,
        added,
        name,
        module,
        lines,
        {
            "graph": graph,
            "support": base.support if positive else POSITIVE_OR_ZERO,
            "simulate": simulate,
            "mean": mean,
            "variance": variance,
            "cdf": cdf,
            "equation": f"0 with probability {parameter}, else {base.equation}{' above 0' if positive else ''}",
            "mean_of": "other" if positive else "multiple",
            "typical_rows": lambda y: y > 0,
            **fields,
        },
    )


def _with(
    base: Family,
    added: Parameter,
    name: str,
    module: Mapping[str, Any],
    lines: list[str],
    fields: dict[str, Any],
) -> Family:
    """The base family with a parameter more, and the row function of those lines."""
    parameters = [parameter.name for parameter in base.parameters]
    scores = [f"score_{parameter}" for parameter in parameters]
    zeros = [f"zero_{parameter}" for parameter in parameters]
    once = ["once"] if base.shared else []
    arguments = [*(["trials"] if base.needs_trials else []), *parameters]
    words = {
        "scores": scores,
        "zeros": zeros,
        "nothing": ["0.0"] * len(scores),
        "counted": [f"counted * {score}" for score in scores],
        "truncated": [f"{score} + odds * {zero}" for score, zero in zip(scores, zeros, strict=True)],
        "arguments": ["y", *arguments, *once],
        "arguments_of_zero": ["0.0", *arguments, *once],
    }
    texts = {key: ", ".join(values) for key, values in words.items()}
    heading = f"def {name}_row({', '.join(['y', *arguments, added.name, *once])}):"
    source = "\n".join([heading, *(f"    {line.format(**texts)}" for line in lines), ""])
    assert base.row is not None, "a family that others are made of has a row function"
    row: Deferred = written(
        f"{name}_row",
        source,
        module["__file__"],
        module["__name__"],
        base.row.stored,
        row=base.row,
        exp_lane=exp_lane,
        log1p_lane=log1p_lane,
        log1m_exp=log1m_exp,
        expm1=np.expm1,
        inf=np.inf,
    )

    def of_y_alone(y: Array, *trials: Any) -> Array:
        y = np.asarray(y)
        inside = y > 0
        found = np.zeros(np.shape(y))
        found[inside] = base.of_y_alone(y[inside], *(np.broadcast_to(n, y.shape)[inside] for n in trials))
        return found

    def response(y: Array) -> Array:
        with np.errstate(divide="ignore"):  # a zero's logarithm is what the row function knows it by
            return base.response(y)

    record: dict[str, Any] = {
        "name": name,
        "parameters": (*base.parameters, added),
        "row": row,
        "response": response,
        "of_y_alone": of_y_alone,
        "tails": None,
        "information": None,
        "own_in_mean": (*base.own_in_mean, added.name),
        "zeros_by": added.name,
        "mean_of": "multiple",
        "threshold": False,
        "summed": False,
        "normal": False,
        "takes_se": False,
        "grows": (),
        "as_sum": None,
        "place": 100,
    }
    return replace(base, **(record | fields))


def _zero(base: Family) -> float:
    """What the row function is given of a response of 0."""
    with np.errstate(divide="ignore"):
        return float(base.response(np.zeros(1))[0])


def _log_zero(base: Family, others: Mapping[str, Any]) -> Array:
    """The logarithm of the probability that the base family gives to 0."""
    from hierbayes.families.record import Responses

    return Responses(base, others).log_density(np.zeros(1))


def _split(given: Mapping[str, Any], name: str) -> tuple[Any, dict[str, Any]]:
    """That parameter, and the others."""
    return given[name], {key: value for key, value in given.items() if key != name}


def _of(function: Callable[..., Array] | None) -> Callable[..., Array]:
    assert function is not None, "a family that others are made of has moments and a distribution function"
    return function
