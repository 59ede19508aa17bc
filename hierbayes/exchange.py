"""Components of a mixture that nothing tells apart, in one order in every draw.

Where two components are of one family, and their formulas and priors are the same, the posterior has each of its modes
twice, with the labels exchanged, and chains may be in either. Draws whose first component lies above the second have
their labels exchanged: what is left is the posterior of the components in that order.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.families.record import Twins
from hierbayes.links import LINKS
from hierbayes.priors import Prior
from hierbayes.spec import ModelSpec, Variable
from hierbayes.ties import Tie

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
    """Variables (…, dims) by name, the second component that whose linear predictor at the columns' means is larger.

    Others, such as those of other responses, are left as they are.
    """
    twins, found = exchanged(spec), dict(arrays)
    if twins is None:
        return found
    first, second = (_at_means(spec, parameter, arrays) for parameter in twins.pairs[0])
    turned = first > second
    for one, two in twins.pairs:
        for a, b in zip(_variables(spec, one), _variables(spec, two), strict=True):
            found[a.name] = _where(turned, arrays[b.name], arrays[a.name])
            found[b.name] = _where(turned, arrays[a.name], arrays[b.name])
    for variable in _variables(spec, twins.share):
        values = np.asarray(arrays[variable.name])
        found[variable.name] = _where(turned, _complement(variable, values), values)
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        order, signs = _tied(spec, twins, tie)
        values = np.asarray(arrays[variable.name])
        other = values[..., order, :][..., order] * signs[:, None] * signs
        found[variable.name] = _where(turned, other, values)
    return found


def _tied(spec: ModelSpec, twins: Twins, tie: Tie) -> tuple[list[int], Array]:
    """Which effect of a tie each is when labels are exchanged, and its sign then."""
    partner = dict(twins.pairs) | {two: one for one, two in twins.pairs}
    starts = {(m.response, m.parameter): places for m, places in zip(tie.members, tie.places, strict=True)}
    order, signs = list[int](), list[float]()
    for (response, parameter), places in starts.items():
        own = response == spec.response
        order += starts[response, partner.get(parameter, parameter) if own else parameter]
        signs += [-1.0 if own and parameter == twins.share else 1.0] * len(places)
    return order, np.array(signs)


def _told(spec: ModelSpec, parameter: str) -> tuple[Any, ...]:
    """All that a model says of a parameter, but for its name; ties name both of those that they tie."""
    formula = spec.layout.formulas.get(parameter)
    ties = [("cor", tie.identifier, tie.group) for tie in spec.ties]
    priors = [
        ("" if p.kind == parameter else p.kind, p.coefficient, p.group, p.prior, p.literal)
        for p in spec.priors
        if p.parameter == parameter and (p.kind, p.coefficient, p.group) not in ties
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
    if prior.support == "coefficients":
        return middle == 0.0
    return bool(np.allclose(prior.logpdf(middle - away), prior.logpdf(middle + away)))


def _at_means(spec: ModelSpec, parameter: str, arrays: Mapping[str, Any]) -> Array:
    """A linear predictor at the means of its columns, without effects of levels: (…,)."""
    b = np.asarray(arrays[spec.coefficient_variable(parameter).name])
    found: Array = b @ spec.layout.predictors[parameter].columns.means
    return found


def _variables(spec: ModelSpec, parameter: str) -> list[Variable]:
    """A parameter's variables, but for those that it shares with others."""
    layout = spec.layout.predictors.get(parameter)
    if layout is None:
        return [spec.own_variable(spec.family.parameter(parameter))]
    found = [spec.coefficient_variable(parameter)] if layout.coefficients else []
    found += spec.shrunk(parameter).variables
    for factor in layout.factors:
        found += [
            *spec.factor_variables(parameter, factor).values(),
            *spec.shape_variables(parameter, factor),
        ]
    for curve in layout.curves:
        found += spec.curve_variables(parameter, curve).values()
    return found + [spec.simplex_variable(parameter, effect) for effect in layout.monotonic]


def _complement(variable: Variable, values: Array) -> Array:
    """The same of the probability's complement: coefficients and effects with the other sign."""
    if variable.kind == "auxiliary":
        return 1.0 - values
    return -values if variable.kind in ("b", "r", "s") else values


def _where(turned: NDArray[np.bool_], other: Any, values: Any) -> Array:
    """The draws of one array (…, dims) where the labels are exchanged, and elsewhere those of another."""
    found: Array = np.where(
        turned.reshape(turned.shape + (1,) * (np.ndim(values) - turned.ndim)), other, values
    )
    return found
