"""ModelSpec + Design → pm.Model: the reference meaning of every model, and the only place that makes one of PyMC's.

Inside are the columns that priors are about (`data.margins`), so that the intercept's prior is about the response at
the predictors' means, and default priors of varying intercepts that are correlated with slopes likewise. Group effects
are non-centered (``r = z Λ'`` with standard normal z) unless asked otherwise; correlations have an LKJ prior on the
Cholesky factor of each block of correlated effects. Outside, `b`, `sd`, `cor` and `r` are on the scale of the user's
columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hierbayes.data.design import MEAN, Design
from hierbayes.distributions import equal_correlations
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families.serial import log_density
from hierbayes.graph.latents import (
    draw_given_responses,
    draw_latents,
    draw_missing,
    given_measured,
    imputed_values,
    values_in_rows,
)
from hierbayes.graph.levels import Effects, tied_effects
from hierbayes.graph.predictors import add_predictor, put_at_zero
from hierbayes.graph.variables import add_data, own_parameter, plain_labels, row_dimension, unused_name
from hierbayes.kinds import ParameterValues
from hierbayes.links import LINKS
from hierbayes.schema import CATEGORY
from hierbayes.several import JointSpec, ResidualCorrelations
from hierbayes.spec import ModelSpec
from hierbayes.tensormath import tensor_math

PARAMETERIZATIONS = ("noncentered", "centered")


def build_graph(spec: ModelSpec, design: Design, parameterization: str = "noncentered") -> Any:
    """The model as a `pymc.Model` with dims and coords.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows bound by the spec's layout.
    parameterization : {"noncentered", "centered"}
        Whether group effects are scaled standard normals, or drawn from their distribution directly.

    Returns
    -------
    pymc.Model
        Its variables include every name of the posterior schema. Where the rows have weights the likelihood is a
        potential; otherwise it is an observed variable.
    """
    return _build([(spec, design)], spec.coords, parameterization)


def build_joint_graph(
    spec: JointSpec, designs: Mapping[str, Design], parameterization: str = "noncentered"
) -> Any:
    """As `build_graph`, of several responses, each with its training rows."""
    responses = [(own, designs[own.response]) for own in spec.in_order]
    return _build(responses, spec.coords, parameterization, spec.residuals)


def _build(
    responses: Sequence[tuple[ModelSpec, Design]],
    coords: Mapping[str, np.ndarray],
    parameterization: str,
    residuals: ResidualCorrelations | None = None,
) -> Any:
    """The graph of all responses of a model, each with its rows, and the correlations of their residuals."""
    import pymc as pm

    if parameterization not in PARAMETERIZATIONS:
        raise UnsupportedError(
            f"there is no parameterization {parameterization!r}; there are {' and '.join(PARAMETERIZATIONS)}"
        )
    centered = parameterization == "centered"
    labels = {**coords, **{row_dimension(spec): design.all.labels for spec, design in responses}}
    for spec, design in responses:
        _check_codes(spec, design)
    with pm.Model(coords={name: plain_labels(values) for name, values in labels.items()}) as model:
        tied = tied_effects(pm, responses[0][0], centered)
        given = [_parameters(pm, spec, design, centered, tied) for spec, design in responses]
        if residuals is None:
            for (spec, design), parameters in zip(responses, given, strict=True):
                _likelihood(pm, spec, design, parameters)
        else:
            _correlated_likelihood(pm, responses, given, residuals)
    return model


def _parameters(
    pm: Any, spec: ModelSpec, design: Design, centered: bool, tied: Effects
) -> dict[str, ParameterValues]:
    """The values of one response's parameters, by its predictors and own parameters."""
    math, whole, normal = tensor_math(pm), design.all, None
    drawn = imputed_values(pm, spec, whole)
    for block in spec.latent_blocks:
        normal = given_measured(pm, spec, block)
        values = normal[0] if spec.integrates_latents else draw_latents(pm, spec, block, normal)
        drawn |= values_in_rows(whole, block, values)
    etas = {
        parameter: add_predictor(pm, spec, parameter, whole.predictors[parameter], centered, tied, drawn)
        for parameter in spec.layout.predictors
    }
    given = {}
    for parameter in spec.family.parameters:
        if parameter.name in etas:
            link, eta = spec.parameter_link(parameter.name), etas[parameter.name]
        else:
            link, eta = LINKS["identity"], own_parameter(pm, spec, parameter)
            if parameter.name == spec.family.origin and spec.moving:
                put_at_zero(pm, spec, eta)
            if spec.sets_of(parameter) is not None:
                eta = eta[add_data(pm, spec, f"{parameter.name}_sets", design.sets)]
        given[parameter.name] = parameter.kind.under(link, eta, math)
    if normal is not None and spec.integrates_latents:
        return draw_given_responses(pm, spec, design, normal, given)
    if spec.missing_variable is None:
        return given
    known, missing = (
        {
            name: own.map(lambda eta: eta[part]) if name in etas else own  # noqa: B023 — used at once
            for name, own in given.items()
        }
        for part in (slice(len(design)), slice(len(design), None))
    )
    draw_missing(pm, spec, design, known, missing)
    return known


def _check_codes(spec: ModelSpec, design: Design) -> None:
    """Level numbers must lie in range: compiled code checks no bounds and would return plausible nonsense."""
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            codes = design.predictors[parameter].factors[factor.name].all_codes
            if len(codes) and not 0 <= codes.min() <= codes.max() < len(factor.levels):
                raise DataError(
                    f"factor {factor.name!r} has rows whose level is not one of its {len(factor.levels)}"
                )


def _likelihood(pm: Any, spec: ModelSpec, design: Design, parameters: dict[str, ParameterValues]) -> None:
    if spec.layout.response.series is not None:
        _likelihood_of_series(pm, spec, design, parameters)
        return
    counts = []
    if spec.family.needs_trials:
        counts = [add_data(pm, spec, "trials", design.trials)]
    distribution, arguments = spec.family.in_tensors(pm, *counts, **parameters)
    y = design.y
    assert y is not None, "a graph is built on rows with a response"
    if spec.family.support.whole:
        y = y.astype(np.int64)
    name: str = unused_name(pm, spec.response_name)
    dims = [row_dimension(spec)] if design.without is None else []
    if spec.family.support.columns:
        dims.append(unused_name(pm, CATEGORY))
        pm.modelcontext(None).add_coord(dims[1], spec.layout.response.levels)
    if design.weights is None:
        distribution(name, **arguments, observed=y, dims=dims or None)
        return
    weights = add_data(pm, spec, "weights", design.weights)
    observed = pm.Data(name, y, dims=dims)
    densities = pm.logp(distribution.dist(**arguments), observed)
    pm.Potential(unused_name(pm, f"{name}_weighted"), (weights * densities).sum())


def _likelihood_of_series(
    pm: Any, spec: ModelSpec, design: Design, parameters: dict[str, ParameterValues]
) -> None:
    """A potential of normal responses whose residuals are correlated within series."""
    import pytensor.tensor as pt

    series, rows = spec.layout.response.series, design.series
    assert series is not None, "its residuals are correlated"
    assert rows is not None, "rows with a response have their series"
    y = pm.Data(unused_name(pm, spec.response_name), design.y, dims=row_dimension(spec))
    sigma = parameters["sigma"].value + pt.zeros_like(y)
    z, value = (y - parameters[MEAN].value) / sigma, parameters[series.parameter].value
    density = log_density(pt, series.structure, rows, value, z) - pt.log(sigma).sum()
    pm.Potential(unused_name(pm, f"{spec.response_name}_series"), density)


def _correlated_likelihood(
    pm: Any,
    responses: Sequence[tuple[ModelSpec, Design]],
    parameters: Sequence[dict[str, ParameterValues]],
    residuals: ResidualCorrelations,
) -> None:
    """A potential of responses of the same rows, whose residuals are correlated."""
    import pytensor.tensor as pt

    size, variable, prior = len(responses), residuals.variable, residuals.prior.prior
    if prior.fixed is None:
        eta = np.float64(dict(prior.args)["eta"])
        chol = pm.LKJCorr(unused_name(pm, f"{variable.name}_chol"), n=size, eta=eta)
    else:
        chol = pt.as_tensor(np.linalg.cholesky(equal_correlations(prior.fixed, size)))
    pm.Deterministic(variable.name, pt.dot(chol, chol.T), dims=variable.dims)
    z, log_sigmas = [], []
    for (spec, design), given in zip(responses, parameters, strict=True):
        y = pm.Data(unused_name(pm, spec.response_name), design.y, dims=row_dimension(spec))
        sigma = given["sigma"].value
        z.append((y - given["mu"].value) / sigma)
        log_sigmas.append(pt.log(sigma) + pt.zeros_like(y))
    shared = (parameters[0][name].value for name in residuals.law.shared)
    densities = pm.logp(residuals.law.graph(pm, size, chol, *shared), pt.stack(z, axis=1)).sum()
    pm.Potential(unused_name(pm, f"{variable.name}_likelihood"), densities - pt.stack(log_sigmas).sum())
