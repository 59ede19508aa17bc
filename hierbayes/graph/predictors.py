"""Linear predictors in a PyMC model, and their coefficients."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from hierbayes.data.design import BoundPredictor, PredictorLayout, linear_predictor
from hierbayes.data.monotonic import Monotonic
from hierbayes.graph.levels import Effects, curve_effects, group_effects, joint_sds, shrunk_effects
from hierbayes.graph.variables import AT_MEANS, add_data, free_variable, free_vector, simplex, unused_name
from hierbayes.spec import ModelSpec


def _at_means(spec: ModelSpec, parameter: str) -> str:
    """What is added to the name of a variable that is about the predictors' means, where the schema's is not."""
    return AT_MEANS if parameter in spec.moving else ""


def put_at_zero(pm: Any, spec: ModelSpec, thresholds: Any) -> None:
    """The schema's thresholds and coefficients beside those that the likelihood reads, which are at the means."""
    import pytensor.tensor as pt

    model, moved = pm.modelcontext(None), thresholds
    for parameter, element in spec.moving.items():
        layout, variable = spec.layout.predictors[parameter], spec.coefficient_variable(parameter)
        b = model[f"{variable.name}{AT_MEANS}"]
        shift = b[layout.intercept]
        moved = (
            moved - shift
            if element < 0
            else pt.set_subtensor(moved[..., element], moved[..., element] - shift)
        )
        pm.Deterministic(variable.name, pt.set_subtensor(b[layout.intercept], 0.0), dims=variable.dims)
    origin = spec.own_variable(spec.family.parameter(spec.family.origin))
    pm.Deterministic(origin.name, moved, dims=origin.dims)


def add_predictor(
    pm: Any,
    spec: ModelSpec,
    parameter: str,
    bound: BoundPredictor,
    centered: bool,
    tied: Effects,
    drawn: dict[str, Any],
) -> Any:
    """One parameter's linear predictor (n,), with all that it is made of."""
    layout = spec.layout.predictors[parameter]
    x = None
    if layout.coefficients:
        columns = spec.coefficient_variable(parameter).dims
        x = add_data(pm, spec, f"{parameter}_x", layout.map.inner_columns(bound.x), columns)
    offset = add_data(pm, spec, f"{parameter}_offset", bound.offset)
    b, users = _coefficients(pm, spec, parameter, layout, centered)
    shares = {}
    for own in layout.simplexes:
        prior, variable = (
            spec.simplex_prior(parameter, own.label),
            spec.simplex_variable(parameter, own.label),
        )
        shares[variable.name] = simplex(pm, prior, variable, len(own.steps))
    factors = []
    for factor in layout.factors:
        r = tied.get((spec.response, parameter, factor.name))
        if r is None:
            r = group_effects(pm, spec, parameter, factor, centered)
        effects = spec.factor_variables(parameter, factor)["sd"].dims
        for rows in bound.factors[factor.name].memberships:
            codes = add_data(pm, spec, f"{parameter}_level_{factor.name}", rows.codes)
            shape = (None, rows.z.shape[1])
            z = add_data(pm, spec, f"{parameter}_z_{factor.name}", rows.z, effects, shape)
            factors.append((codes, z, r))
            first = 0
            for effect in factor.monotonic:
                stairs = rows.stairs[:, first : first + effect.width]
                first += effect.width
                name = f"{parameter}_stairs_{factor.name}_{effect.label}"
                dims = _step_dims(pm, spec, parameter, effect)
                climbed = add_data(pm, spec, name, stairs, dims, (None, effect.width))
                climbs = effect.coefficients(r, spec.shares(parameter, effect, shares))
                factors.append((codes, climbed, climbs))
    eta = _linear_predictor(x, offset, b, factors)
    first = 0
    for curve in layout.curves:
        s = curve_effects(pm, spec, parameter, curve, centered)
        dims = spec.curve_variables(parameter, curve)["s"].dims
        penalised = bound.penalised[:, first : first + curve.width]
        first += curve.width
        eta = eta + add_data(pm, spec, f"{parameter}_columns_{curve.label}", penalised, dims) @ s
    first = 0
    for effect in layout.monotonic:
        stairs = bound.stairs[:, first : first + effect.width]
        first += effect.width
        dims = _step_dims(pm, spec, parameter, effect)
        columns_of = add_data(pm, spec, f"{parameter}_stairs_{effect.label}", stairs, dims)
        eta = eta + columns_of @ effect.coefficients(users, spec.shares(parameter, effect, shares))
    for place, latent in enumerate(layout.latent_effects):
        name = f"{parameter}_multiplier_{latent.label}"
        multiplier = add_data(pm, spec, name, bound.multipliers[:, place])
        eta = eta + latent.addition(users, multiplier, drawn, bound.drawn)
    return eta


def _step_dims(pm: Any, spec: ModelSpec, parameter: str, effect: Monotonic) -> tuple[str, ...]:
    """The dimension of the columns of an effect's steps, or of pairs of steps: one that the graph alone has."""
    variables = [spec.simplex_variable(parameter, label) for label in effect.simplexes]
    if len(variables) == 1:
        return variables[0].dims
    name = ":".join(dim for variable in variables for dim in variable.dims)
    pm.modelcontext(None).add_coord(name, [", ".join(steps) for steps in itertools.product(*effect.steps)])
    return (name,)


def _linear_predictor(x: Any, offset: Any, b: Any, factors: Sequence[tuple[Any, Any, Any]]) -> Any:
    return linear_predictor(x, offset, b, [(codes, _Columns(z), r) for codes, z, r in factors])


class _Columns:
    """A tensor of columns whose number is known, for `linear_predictor`'s loop over effects."""

    def __init__(self, z: Any) -> None:
        self._z = z
        self.shape = z.type.shape

    def __getitem__(self, item: Any) -> Any:
        return self._z[item]


def _coefficients(
    pm: Any, spec: ModelSpec, parameter: str, layout: PredictorLayout, centered: bool
) -> tuple[Any, Any]:
    """Coefficients of the inner columns, and `b`, those of the user's columns."""
    import pytensor.tensor as pt

    if not layout.coefficients:
        return None, None
    variable = spec.coefficient_variable(parameter)
    priors = spec.coefficient_priors(parameter)
    intercept = layout.intercept
    slopes = [place for place in range(len(priors)) if place != intercept]
    inner = pt.zeros(len(priors))
    if intercept is not None:
        name = unused_name(pm, f"{variable.name}_intercept")
        inner = inner[intercept].set(free_variable(pm, priors[intercept], name))
    shrunk = spec.shrunk(parameter)
    if shrunk.places.size:
        slopes = [place for place in slopes if place not in shrunk.places]
        sds, name = joint_sds(pm, spec, shrunk)[: len(shrunk.places)], f"{variable.name}_shrunk"
        inner = inner[shrunk.places].set(shrunk_effects(pm, sds, len(shrunk.places), name, centered))
    if slopes:
        name = unused_name(pm, f"{variable.name}_slopes")
        inner = inner[np.array(slopes)].set(free_vector(pm, [priors[j] for j in slopes], name))
    b = inner if layout.map.identity else pt.dot(layout.map.matrix, inner)
    pm.Deterministic(f"{variable.name}{_at_means(spec, parameter)}", b, dims=variable.dims)
    return inner, b
