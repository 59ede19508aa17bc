"""Components of a mixture that nothing tells apart, in one order in every draw.

Where components are of one family, and their formulas and priors are the same, the posterior has each of its modes once
for every order of the labels, and chains may be in any. In each draw the labels are exchanged so that the components'
means ascend: what is left is the posterior of the components in that order.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.families.record import Alike
from hierbayes.links import LINKS
from hierbayes.priors import Prior
from hierbayes.schema import Variable
from hierbayes.spec import ModelSpec
from hierbayes.ties import Tie

Array = NDArray[np.float64]
Order = tuple[int, ...]  # which component each becomes, by their numbers from 0
AWAY = np.array([1e-3, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.49])  # from the middle, where priors are compared
UNITS = np.array([1.0, 10.0, 100.0])  # and in which multiples, of numbers without bounds


def exchanged(spec: ModelSpec) -> Alike | None:
    """The components whose labels draws exchange; None where something tells them apart."""
    alike = spec.family.alike
    if alike is None:
        return None
    first, *others = alike.named
    same = all(
        _told(spec, a) == _told(spec, b) for other in others for a, b in zip(first, other, strict=True)
    )
    ordered = len(spec.layout.predictors[first[0]].coefficients) > 0
    return alike if same and ordered and _shares_alike(spec, alike.shares) else None


def in_order(spec: ModelSpec, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Variables (…, dims) by name, components in the order of their linear predictors at the columns' means.

    Others, such as those of other responses, are left as they are.
    """
    alike, found = exchanged(spec), dict(arrays)
    if alike is None:
        return found
    means = np.stack([_at_means(spec, own[0], arrays) for own in alike.named], axis=-1)
    orders = np.argsort(means, axis=-1, kind="stable")
    for order in sorted({tuple(row) for row in orders.reshape(-1, orders.shape[-1]).tolist()}):
        if order != tuple(range(len(order))):
            here = (orders == order).all(axis=-1)
            for name, values in _in_this_order(spec, alike, order, arrays):
                found[name] = _where(here, values, found[name])
    return found


def _in_this_order(
    spec: ModelSpec, alike: Alike, order: Order, arrays: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Every variable whose values are others' in that order of the components, with them, in all draws."""
    for own, other in zip(alike.named, (alike.named[place] for place in order), strict=True):
        for one, two in zip(own, other, strict=True):
            for a, b in zip(_variables(spec, one), _variables(spec, two), strict=True):
                yield a.name, arrays[b.name]
    if len(order) == 2:
        for variable in _variables(spec, alike.shares[0]):
            yield variable.name, _complement(variable, np.asarray(arrays[variable.name]))
    else:
        names = [spec.own_variable(spec.family.parameter(share)).name for share in alike.shares]
        yield from zip(names, reordered([np.asarray(arrays[name]) for name in names], order), strict=True)
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        places, signs = _tied(spec, alike, order, tie)
        values = np.asarray(arrays[variable.name])
        yield variable.name, values[..., places, :][..., places] * signs[:, None] * signs


def reordered(shares: list[Array], order: Order) -> list[Array]:
    """Each component's share of those up to it, the components in another order.

    Examples
    --------
    >>> shares = [np.array(0.5), np.array(0.2)]  # components of 0.4, 0.4 and 0.2
    >>> [round(float(share), 3) for share in reordered(shares, (2, 0, 1))]
    [0.667, 0.4]
    """
    parts = [np.ones_like(shares[0])]
    for share in shares:
        parts = [*(part * (1.0 - share) for part in parts), share]
    parts = [parts[place] for place in order]
    before, found = parts[0], []
    for part in parts[1:]:
        before = before + part
        found.append(part / np.maximum(before, np.finfo(float).tiny))
    return found


def _tied(spec: ModelSpec, alike: Alike, order: Order, tie: Tie) -> tuple[list[int], Array]:
    """Which effect of a tie each is in that order of the components, and its sign then."""
    partner = {
        one: alike.named[place][at]
        for own, place in zip(alike.named, order, strict=True)
        for at, one in enumerate(own)
    }
    starts = {(m.response, m.parameter): places for m, places in zip(tie.members, tie.places, strict=True)}
    found, signs = list[int](), list[float]()
    for (response, parameter), places in starts.items():
        own = response == spec.response
        found += starts[response, partner.get(parameter, parameter) if own else parameter]
        signs += [-1.0 if own and parameter in alike.shares else 1.0] * len(places)
    return found, np.array(signs)


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


def _shares_alike(spec: ModelSpec, shares: tuple[str, ...]) -> bool:
    """Whether what a model says of how likely the components are is the same in any order of them.

    Of three and more it is where their shares have a symmetric Dirichlet distribution: the place-th among those up to
    it is Beta(a, (place − 1) a) then, of one a.
    """
    if len(shares) == 1:
        return _same_from_both_ends(spec, shares[0])
    if any(share in spec.layout.predictors for share in shares):
        return False
    priors = [spec.prior(share, parameter=share) for share in shares]
    if any(prior.name != "Beta" for prior in priors):
        return False
    found = [(stated["alpha"], stated["beta"]) for stated in (dict(prior.args) for prior in priors)]
    a = found[0][0]
    return bool(np.allclose(found, [(a, place * a) for place in range(1, len(shares) + 1)]))


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
    if prior.joint:
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
            *spec.structure_variables(parameter, factor),
        ]
    for curve in layout.curves:
        found += spec.curve_variables(parameter, curve).values()
    return found + [spec.simplex_variable(parameter, simplex.label) for simplex in layout.simplexes]


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
