"""True and missing values of predictors in a PyMC model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from hierbayes.data.design import MEAN, Design, drawn_rows
from hierbayes.data.latent import (
    KNOWN,
    LatentBlock,
    Normal,
    drawn_from,
    given_measurement,
    given_measurements,
    given_sum,
    loadings_of,
    variance_of_sum,
)
from hierbayes.graph.variables import correlation_root, free_variable, unused_name
from hierbayes.kinds import ParameterValues
from hierbayes.schema import CORME, SIGMA
from hierbayes.spec import ModelSpec
from hierbayes.tensormath import tensor_math


def given_measured(pm: Any, spec: ModelSpec, block: LatentBlock) -> Normal:
    """The distribution of predictors' true values given their measurements; and a potential of these."""
    import pytensor.tensor as pt

    latent = spec.latent_variables(block)
    means, sds = (
        [
            free_variable(pm, spec.prior(one.kind, coefficient=column), one.name)
            for one, column in zip(own, block.columns, strict=True)
        ]
        for own in (latent.means, latent.sds)
    )
    cor = None
    if latent.cor is not None:
        cor = correlation_root(pm, spec.prior(CORME, group=block.group), latent.cor, len(block.latents))
    normal, density = given_measurements(pt, means, block.covariance(sds, cor), *block.measured)
    pm.Potential(unused_name(pm, f"{latent.values[0].dims[0]}_measurements"), density.sum())
    return normal


def draw_latents(pm: Any, spec: ModelSpec, block: LatentBlock, normal: Normal) -> list[Any]:
    """True values of predictors (L,), made of standard normal numbers."""
    import pytensor.tensor as pt

    variables = spec.latent_variables(block).values
    z = [pm.Normal(unused_name(pm, f"{one.name}_z"), 0.0, 1.0, dims=one.dims) for one in variables]
    return [
        pm.Deterministic(one.name, x, dims=one.dims)
        for one, x in zip(variables, drawn_from(pt, normal, z), strict=True)
    ]


def imputed_values(pm: Any, spec: ModelSpec, design: Design) -> dict[str, Any]:
    """Predictors with missing values, which another response has drawn, in every row (n,), by column."""
    import pytensor.tensor as pt

    found = {}
    for one in spec.layout.imputed:
        rows = drawn_rows(design, one.column)
        at = np.flatnonzero(rows.codes != KNOWN)
        values = pt.as_tensor(rows.values)
        if len(at):
            missing = pm.modelcontext(None)[spec.imputed_variable(one.column).name]
            values = pt.set_subtensor(values[at], missing[rows.codes[at]])
        found[one.column] = values
    return found


def draw_missing(
    pm: Any,
    spec: ModelSpec,
    design: Design,
    known: dict[str, ParameterValues],
    missing: dict[str, ParameterValues],
) -> None:
    """Missing values of a response, and the true ones of others that were measured with error.

    `known` and `missing` are the parameters in the rows with a response and without one. Missing values are made of
    numbers without bounds, such as logarithms, in units of the values that are there.
    """
    import pytensor.tensor as pt

    variable, y = spec.missing_variable, design.y
    assert variable is not None, "there are missing values"
    assert y is not None, "a graph is built on rows with a response"
    if spec.layout.response.measured is not None:
        z = pm.Normal(unused_name(pm, f"{variable.name}_z"), 0.0, 1.0, dims=variable.dims)
        mean, sd = given_measurement(pt.sqrt, y, *(known[name].value for name in (MEAN, SIGMA, "se")))
        parts = [mean + sd * z[: len(y)]]
        if design.without is not None:
            parts.append(missing[MEAN].value + missing[SIGMA].value * z[len(y) :])
        pm.Deterministic(variable.name, pt.concatenate(parts), dims=variable.dims)
        return
    inner, inverse, slope = _inner(spec)
    units = inner(y)
    u = pm.Flat(
        unused_name(pm, f"{variable.name}_free"), dims=variable.dims, initval=np.zeros(len(spec.drawn_rows))
    )
    t = units.mean() + units.std() * u
    values = pm.Deterministic(variable.name, inverse(t), dims=variable.dims)
    distribution, arguments = spec.family.in_tensors(pm, **missing)
    density = pm.logp(distribution.dist(**arguments), values) + slope(t)
    pm.Potential(unused_name(pm, f"{variable.name}_density"), density.sum())


def _inner(spec: ModelSpec) -> tuple[Any, Any, Any]:
    """Responses as numbers without bounds (of arrays), and back with the logarithm of the slope (of tensors)."""
    import pytensor.tensor as pt

    inside = spec.family.support.contains(np.array([-1.0, 2.0]), None)
    if inside.all():
        return (lambda y: y), (lambda t: t), (lambda t: 0.0 * t)
    if inside.any():
        return np.log, pt.exp, (lambda t: t)
    return special.logit, pt.sigmoid, (lambda t: -pt.softplus(t) - pt.softplus(-t))


def values_in_rows(design: Design, block: LatentBlock, values: Sequence[Any]) -> dict[str, Any]:
    """Values of predictors (L,) in every row (n,), by column."""
    rows = [drawn_rows(design, column) for column in block.columns]
    return {column: x[own.codes] for column, x, own in zip(block.columns, values, rows, strict=True)}


def draw_given_responses(
    pm: Any, spec: ModelSpec, design: Design, normal: Normal, given: dict[str, ParameterValues]
) -> dict[str, ParameterValues]:
    """True values of predictors given measurements and normal responses; and the parameters without them.

    `given` are the parameters at the means of the true values given their measurements. About those means a response is
    normal too, with the variance that the true values add. So the responses' density is one without any of them, and
    the standard normal numbers that they are made of have nothing to do with anything else that is drawn.
    """
    import pytensor.tensor as pt

    (block,), bound = spec.latent_blocks, design.main
    b = pm.modelcontext(None)[spec.coefficient_variable(MEAN).name]
    effects = spec.layout.main.latent_effects
    loadings = loadings_of(effects, block.columns, b, bound.multipliers)
    mean, sigma = given[MEAN], given[SIGMA]
    assert design.y is not None, "a graph is built on rows with a response"
    y = np.log(design.y) if spec.family.log_response else design.y
    variance = pt.sqr(sigma.value)
    draw_latents(pm, spec, block, given_sum(normal, loadings, y - mean.value, variance))
    total = pt.sqrt(variance + variance_of_sum(normal, loadings))
    return {**given, SIGMA: sigma.kind.under("identity", total, tensor_math(pm))}
