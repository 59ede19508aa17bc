"""Components of a mixture that nothing tells apart, in one order in every draw.

Where two components are of one family, and their formulas and priors are the same, the posterior has each of its modes
twice, with the labels exchanged, and chains may be in either. Draws whose first component lies above the second have
their labels exchanged: what is left is the posterior of the components in that order.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.errors import UnsupportedError
from hierbayes.families.record import Twins
from hierbayes.links import LINKS
from hierbayes.priors import Prior
from hierbayes.several import JointSpec
from hierbayes.spec import ModelSpec, Variable

Array = NDArray[np.float64]
AWAY = np.array([1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.49])  # from the middle, where priors are compared
UNITS = np.array([1.0, 10.0, 100.0])  # and in which multiples, of numbers without bounds


def exchanged(spec: ModelSpec) -> Twins | None:
    """The components whose labels draws exchange; None where something tells them apart."""
    twins = spec.family.twins
    if twins is None:
        return None
    alike = all(_told(spec, one) == _told(spec, two) for one, two in twins.pairs)
    ordered = len(spec.layout.predictors[twins.pairs[0][0]].coefficients) > 0
    return twins if alike and ordered and _same_from_both_ends(spec, twins.share) else None


def in_order(spec: ModelSpec, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of the schema (…, dims) with the second component the one that is larger at the predictors' means."""
    twins, found = exchanged(spec), dict(arrays)
    if twins is None:
        return found
    first, second = (_at_means(spec, parameter, arrays) for parameter in twins.pairs[0])
    turned = first > second
    for one, two in _variables(spec, twins):
        a, b = np.asarray(arrays[one.name]), np.asarray(arrays[two.name])
        where = _beside(turned, a)
        found[one.name], found[two.name] = np.where(where, b, a), np.where(where, a, b)
    for variable in (v for v in spec.variables if v.parameter == twins.share and v.kind != "tie"):
        values = np.asarray(arrays[variable.name])
        found[variable.name] = np.where(_beside(turned, values), _complement(variable, values), values)
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        partner = {twins.share: twins.share} | dict(twins.pairs) | {two: one for one, two in twins.pairs}
        starts = {m.parameter: places for m, places in zip(tie.members, tie.places, strict=True)}
        order = [place for member in tie.members for place in starts[partner[member.parameter]]]
        signs = np.array(
            [-1.0 if m.parameter == twins.share else 1.0 for m in tie.members for _ in m.effects]
        )
        values = np.asarray(arrays[variable.name])
        other = values[..., order, :][..., order] * signs[:, None] * signs
        found[variable.name] = np.where(_beside(turned, values), other, values)
    return found


def exchange_obstacle(spec: JointSpec, response: str) -> str | None:
    """Why a response's components cannot be put in order beside other responses, in words; None where they can."""
    own = spec.responses[response]
    tied = any(member.response == response for tie in spec.ties for member in tie.members)
    if not (tied and exchanged(own)):
        return None
    return (
        f"the components of {own.family.name}, the family of {response!r}, are put in order draw by draw, which "
        "effects that are tied by an |ID| in models of several responses cannot follow; leave the ID out, or state "
        "priors by which the components differ"
    )


def jointly_in_order(spec: JointSpec, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """As `in_order`, of all responses' variables.

    Raises
    ------
    UnsupportedError
        Where `exchange_obstacle` has a reason.
    """
    found = dict(arrays)
    for response, own in spec.responses.items():
        obstacle = exchange_obstacle(spec, response)
        if obstacle:
            raise UnsupportedError(obstacle)
        if exchanged(own):
            found |= spec.joint_arrays(response, in_order(own, spec.own_arrays(response, arrays)))
    return found


def _told(spec: ModelSpec, parameter: str) -> tuple[Any, ...]:
    """All that a model says of a parameter, but for its name; ties name both of those that they tie."""
    formula = spec.layout.formulas.get(parameter)
    priors = [
        ("" if p.kind == parameter else p.kind, p.coefficient, p.group, p.prior, p.literal)
        for p in spec.priors
        if p.parameter == parameter and not (p.kind == "cor" and p.coefficient)
    ]
    return formula, spec.links[parameter], priors


def _same_from_both_ends(spec: ModelSpec, share: str) -> bool:
    """Whether all that a model says of a probability it says of its complement too."""
    layout = spec.layout.predictors.get(share)
    if layout is None:
        return _symmetric(spec.prior(share, parameter=share), 0.5, AWAY)
    link = LINKS[spec.links[share]]
    turns = np.allclose(link.link(0.5 - AWAY), -link.link(0.5 + AWAY))
    away = np.outer(UNITS, AWAY).ravel()
    priors = [_symmetric(prior, 0.0, away) for prior in spec.coefficient_priors(share)]
    return turns and not layout.offsets and all(priors)


def _symmetric(prior: Prior, middle: float, away: Array) -> bool:
    if prior.fixed is not None:
        return prior.fixed == middle
    return bool(np.allclose(prior.logpdf(middle - away), prior.logpdf(middle + away)))


def _at_means(spec: ModelSpec, parameter: str, arrays: Mapping[str, Any]) -> Array:
    """A linear predictor at the means of its columns, without effects of levels: (…,)."""
    b = np.asarray(arrays[spec.coefficient_variable(parameter).name])
    found: Array = b @ spec.layout.predictors[parameter].columns.means
    return found


def _variables(spec: ModelSpec, twins: Twins) -> Iterator[tuple[Variable, Variable]]:
    """The variables of both components, in pairs."""
    for pair in twins.pairs:
        one, two = ([v for v in spec.variables if v.parameter == name and v.kind != "tie"] for name in pair)
        yield from zip(one, two, strict=True)


def _complement(variable: Variable, values: Array) -> Array:
    """The same of the probability's complement: coefficients and effects with the other sign."""
    if variable.kind == "auxiliary":
        return 1.0 - values
    return -values if variable.kind in ("b", "r", "s") else values


def _beside(turned: NDArray[np.bool_], values: Array) -> NDArray[np.bool_]:
    """Draws' flags (…,) as they broadcast against values (…, dims)."""
    return turned.reshape(turned.shape + (1,) * (values.ndim - turned.ndim))
