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
from scipy import special
from scipy.linalg import block_diag

from hierbayes.data.blocks import Block
from hierbayes.data.curves import Curve
from hierbayes.data.design import (
    MEAN,
    OBS,
    BoundPredictor,
    Design,
    PredictorLayout,
    drawn_rows,
    linear_predictor,
)
from hierbayes.data.factors import Factor
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
from hierbayes.distributions import equal_correlations
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families import Parameter
from hierbayes.families.serial import log_density
from hierbayes.kinds import CORRELATIONS, ORDERED, ParameterValues
from hierbayes.links import LINKS
from hierbayes.priors import Prior
from hierbayes.schema import CATEGORY, CORME, SIGMA, Shrunk, Variable
from hierbayes.several import JointSpec, ResidualCorrelations
from hierbayes.spec import ModelSpec
from hierbayes.tensormath import tensor_math as _math
from hierbayes.ties import TiedGroup

AT_MEANS = "_at_means"
PARAMETERIZATIONS = ("noncentered", "centered")
type Effects = Mapping[tuple[str, str, str], Any]  # (G, q), by response, parameter and factor


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
    labels = {**coords, **{_rows(spec): design.all.labels for spec, design in responses}}
    for spec, design in responses:
        _check_codes(spec, design)
    with pm.Model(coords={name: _coord(values) for name, values in labels.items()}) as model:
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
    math, whole, normal = _math(pm), design.all, None
    drawn = _imputed_values(pm, spec, whole)
    for block in spec.latent_blocks:
        normal = _given_measurements(pm, spec, block)
        values = normal[0] if spec.integrates_latents else _draw(pm, spec, block, normal)
        drawn |= _in_rows(whole, block, values)
    etas = {
        parameter: _predictor(pm, spec, parameter, whole.predictors[parameter], centered, tied, drawn)
        for parameter in spec.layout.predictors
    }
    given = {}
    for parameter in spec.family.parameters:
        if parameter.name in etas:
            link, eta = spec.parameter_link(parameter.name), etas[parameter.name]
        else:
            link, eta = LINKS["identity"], _own(pm, spec, parameter)
            if parameter.name == spec.family.origin and spec.moving:
                _put_at_zero(pm, spec, eta)
            if spec.sets_of(parameter) is not None:
                eta = eta[_data(pm, spec, f"{parameter.name}_sets", design.sets)]
        given[parameter.name] = parameter.kind.under(link, eta, math)
    if normal is not None and spec.integrates_latents:
        return _draw_given_responses(pm, spec, design, normal, given)
    if spec.missing_variable is None:
        return given
    known, missing = (
        {
            name: own.map(lambda eta: eta[part]) if name in etas else own  # noqa: B023 — used at once
            for name, own in given.items()
        }
        for part in (slice(len(design)), slice(len(design), None))
    )
    _draw_missing(pm, spec, design, known, missing)
    return known


def _given_measurements(pm: Any, spec: ModelSpec, block: LatentBlock) -> Normal:
    """The distribution of predictors' true values given their measurements; and a potential of these."""
    import pytensor.tensor as pt

    latent = spec.latent_variables(block)
    means, sds = (
        [
            _free(pm, spec.prior(one.kind, coefficient=column), one.name)
            for one, column in zip(own, block.columns, strict=True)
        ]
        for own in (latent.means, latent.sds)
    )
    cor = None
    if latent.cor is not None:
        cor = _matrix(pm, spec.prior(CORME, group=block.group), latent.cor, len(block.latents))
    normal, density = given_measurements(pt, means, block.covariance(sds, cor), *block.measured)
    pm.Potential(_unused(pm, f"{latent.values[0].dims[0]}_measurements"), density.sum())
    return normal


def _draw(pm: Any, spec: ModelSpec, block: LatentBlock, normal: Normal) -> list[Any]:
    """True values of predictors (L,), made of standard normal numbers."""
    import pytensor.tensor as pt

    variables = spec.latent_variables(block).values
    z = [pm.Normal(_unused(pm, f"{one.name}_z"), 0.0, 1.0, dims=one.dims) for one in variables]
    return [
        pm.Deterministic(one.name, x, dims=one.dims)
        for one, x in zip(variables, drawn_from(pt, normal, z), strict=True)
    ]


def _imputed_values(pm: Any, spec: ModelSpec, design: Design) -> dict[str, Any]:
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


def _draw_missing(
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
        z = pm.Normal(_unused(pm, f"{variable.name}_z"), 0.0, 1.0, dims=variable.dims)
        mean, sd = given_measurement(pt.sqrt, y, *(known[name].value for name in (MEAN, SIGMA, "se")))
        parts = [mean + sd * z[: len(y)]]
        if design.without is not None:
            parts.append(missing[MEAN].value + missing[SIGMA].value * z[len(y) :])
        pm.Deterministic(variable.name, pt.concatenate(parts), dims=variable.dims)
        return
    inner, inverse, slope = _inner(spec)
    units = inner(y)
    u = pm.Flat(
        _unused(pm, f"{variable.name}_free"), dims=variable.dims, initval=np.zeros(len(spec.drawn_rows))
    )
    t = units.mean() + units.std() * u
    values = pm.Deterministic(variable.name, inverse(t), dims=variable.dims)
    distribution, arguments = spec.family.in_tensors(pm, **missing)
    density = pm.logp(distribution.dist(**arguments), values) + slope(t)
    pm.Potential(_unused(pm, f"{variable.name}_density"), density.sum())


def _inner(spec: ModelSpec) -> tuple[Any, Any, Any]:
    """Responses as numbers without bounds (of arrays), and back with the logarithm of the slope (of tensors)."""
    import pytensor.tensor as pt

    inside = spec.family.support.contains(np.array([-1.0, 2.0]), None)
    if inside.all():
        return (lambda y: y), (lambda t: t), (lambda t: 0.0 * t)
    if inside.any():
        return np.log, pt.exp, (lambda t: t)
    return special.logit, pt.sigmoid, (lambda t: -pt.softplus(t) - pt.softplus(-t))


def _in_rows(design: Design, block: LatentBlock, values: Sequence[Any]) -> dict[str, Any]:
    """Values of predictors (L,) in every row (n,), by column."""
    rows = [drawn_rows(design, column) for column in block.columns]
    return {column: x[own.codes] for column, x, own in zip(block.columns, values, rows, strict=True)}


def _draw_given_responses(
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
    _draw(pm, spec, block, given_sum(normal, loadings, y - mean.value, variance))
    total = pt.sqrt(variance + variance_of_sum(normal, loadings))
    return {**given, SIGMA: sigma.kind.under("identity", total, _math(pm))}


def _rows(spec: ModelSpec) -> str:
    """The dimension of a response's rows."""
    return f"__obs_{spec.response}__" if spec.response else OBS


def _data(
    pm: Any, spec: ModelSpec, name: str, values: Any, dims: Sequence[str] = (), shape: Any = None
) -> Any:
    """What the rows have of a response: arrays (n, …)."""
    name = _unused(pm, f"{spec.response}_{name}" if spec.response else name)
    return pm.Data(name, values, dims=(_rows(spec), *dims), shape=shape)


def _coord(values: np.ndarray) -> list[Any]:
    """Labels as plain Python values, which every sampler takes."""
    return [
        value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value
        for value in values
    ]


def _check_codes(spec: ModelSpec, design: Design) -> None:
    """Level numbers must lie in range: compiled code checks no bounds and would return plausible nonsense."""
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            codes = design.predictors[parameter].factors[factor.name].all_codes
            if len(codes) and not 0 <= codes.min() <= codes.max() < len(factor.levels):
                raise DataError(
                    f"factor {factor.name!r} has rows whose level is not one of its {len(factor.levels)}"
                )


def _own(pm: Any, spec: ModelSpec, parameter: Parameter) -> Any:
    """The value of a parameter that has no formula, as a free variable."""
    prior = spec.prior(parameter.name, parameter=parameter.name)
    moved, variable = parameter.name == spec.family.origin and spec.moving, spec.own_variable(parameter)
    name = f"{variable.name}{AT_MEANS if moved else ''}"
    if name in pm.modelcontext(None).named_vars:  # what coefficients' scales follow is there before
        return pm.modelcontext(None)[name]
    if not parameter.kind.vector:
        return _free(pm, prior, name)
    if parameter.kind is CORRELATIONS:
        return _pairs(pm, prior, variable, parameter.size)
    if parameter.size:
        return _simplex(pm, prior, variable, parameter.size)
    start, dims = np.asarray(spec.typical(parameter), np.float64), variable.dims
    if prior.fixed is not None:
        return pm.Deterministic(name, np.full(start.shape, prior.fixed), dims=dims)
    arguments: dict[str, Any] = {key: np.full(start.shape, value) for key, value in prior.args}
    if parameter.kind is ORDERED:
        arguments["transform"] = pm.distributions.transforms.ordered
    return getattr(pm, prior.name)(name, **arguments, initval=start, dims=dims)


def _at_means(spec: ModelSpec, parameter: str) -> str:
    """What is added to the name of a variable that is about the predictors' means, where the schema's is not."""
    return AT_MEANS if parameter in spec.moving else ""


def _put_at_zero(pm: Any, spec: ModelSpec, thresholds: Any) -> None:
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


def _likelihood(pm: Any, spec: ModelSpec, design: Design, parameters: dict[str, ParameterValues]) -> None:
    if spec.layout.response.series is not None:
        _likelihood_of_series(pm, spec, design, parameters)
        return
    counts = []
    if spec.family.needs_trials:
        counts = [_data(pm, spec, "trials", design.trials)]
    distribution, arguments = spec.family.in_tensors(pm, *counts, **parameters)
    y = design.y
    assert y is not None, "a graph is built on rows with a response"
    if spec.family.support.whole:
        y = y.astype(np.int64)
    name: str = _unused(pm, spec.response_name)
    dims = [_rows(spec)] if design.without is None else []
    if spec.family.support.columns:
        dims.append(_unused(pm, CATEGORY))
        pm.modelcontext(None).add_coord(dims[1], spec.layout.response.levels)
    if design.weights is None:
        distribution(name, **arguments, observed=y, dims=dims or None)
        return
    weights = _data(pm, spec, "weights", design.weights)
    observed = pm.Data(name, y, dims=dims)
    densities = pm.logp(distribution.dist(**arguments), observed)
    pm.Potential(_unused(pm, f"{name}_weighted"), (weights * densities).sum())


def _likelihood_of_series(
    pm: Any, spec: ModelSpec, design: Design, parameters: dict[str, ParameterValues]
) -> None:
    """A potential of normal responses whose residuals are correlated within series."""
    import pytensor.tensor as pt

    series, rows = spec.layout.response.series, design.series
    assert series is not None, "its residuals are correlated"
    assert rows is not None, "rows with a response have their series"
    y = pm.Data(_unused(pm, spec.response_name), design.y, dims=_rows(spec))
    sigma = parameters["sigma"].value + pt.zeros_like(y)
    z, value = (y - parameters[MEAN].value) / sigma, parameters[series.parameter].value
    density = log_density(pt, series.structure, rows, value, z) - pt.log(sigma).sum()
    pm.Potential(_unused(pm, f"{spec.response_name}_series"), density)


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
        chol = pm.LKJCorr(_unused(pm, f"{variable.name}_chol"), n=size, eta=eta)
    else:
        chol = pt.as_tensor(np.linalg.cholesky(equal_correlations(prior.fixed, size)))
    pm.Deterministic(variable.name, pt.dot(chol, chol.T), dims=variable.dims)
    z, log_sigmas = [], []
    for (spec, design), given in zip(responses, parameters, strict=True):
        y = pm.Data(_unused(pm, spec.response_name), design.y, dims=_rows(spec))
        sigma = given["sigma"].value
        z.append((y - given["mu"].value) / sigma)
        log_sigmas.append(pt.log(sigma) + pt.zeros_like(y))
    shared = (parameters[0][name].value for name in residuals.law.shared)
    densities = pm.logp(residuals.law.graph(pm, size, chol, *shared), pt.stack(z, axis=1)).sum()
    pm.Potential(_unused(pm, f"{variable.name}_likelihood"), densities - pt.stack(log_sigmas).sum())


def _unused(pm: Any, name: str) -> str:
    """That name, or a longer one where a column that the user named so is a dimension already."""
    model, name = pm.modelcontext(None), name.replace("/", "_")  # PyMC allows no "/"
    while name in model.named_vars or name in model.coords:
        name = f"{name}_data"
    return name


def _predictor(
    pm: Any,
    spec: ModelSpec,
    parameter: str,
    bound: BoundPredictor,
    centered: bool,
    tied: Effects,
    drawn: dict[str, Any],
) -> Any:
    layout = spec.layout.predictors[parameter]
    x = None
    if layout.coefficients:
        columns = spec.coefficient_variable(parameter).dims
        x = _data(pm, spec, f"{parameter}_x", layout.map.inner_columns(bound.x), columns)
    offset = _data(pm, spec, f"{parameter}_offset", bound.offset)
    b, users = _coefficients(pm, spec, parameter, layout, centered)
    shares = {
        effect.label: _simplex(
            pm,
            spec.simplex_prior(parameter, effect),
            spec.simplex_variable(parameter, effect),
            len(effect.steps),
        )
        for effect in layout.monotonic
    }
    factors = []
    for factor in layout.factors:
        r = tied.get((spec.response, parameter, factor.name))
        if r is None:
            r = _group_effects(pm, spec, parameter, factor, centered)
        effects = spec.factor_variables(parameter, factor)["sd"].dims
        for rows in bound.factors[factor.name].memberships:
            codes = _data(pm, spec, f"{parameter}_level_{factor.name}", rows.codes)
            shape = (None, rows.z.shape[1])
            z = _data(pm, spec, f"{parameter}_z_{factor.name}", rows.z, effects, shape)
            factors.append((codes, z, r))
            first = 0
            for effect in factor.monotonic:
                stairs = rows.stairs[:, first : first + len(effect.steps)]
                first += len(effect.steps)
                dims = spec.simplex_variable(parameter, effect).dims
                name = f"{parameter}_stairs_{factor.name}_{effect.label}"
                climbed = _data(pm, spec, name, stairs, dims, (None, len(effect.steps)))
                factors.append((codes, climbed, effect.coefficients(r, shares[effect.label])))
    eta = _linear_predictor(x, offset, b, factors)
    first = 0
    for curve in layout.curves:
        s = _curve(pm, spec, parameter, curve, centered)
        dims = spec.curve_variables(parameter, curve)["s"].dims
        penalised = bound.penalised[:, first : first + curve.width]
        first += curve.width
        eta = eta + _data(pm, spec, f"{parameter}_columns_{curve.label}", penalised, dims) @ s
    first = 0
    for effect in layout.monotonic:
        variable = spec.simplex_variable(parameter, effect)
        stairs = bound.stairs[:, first : first + len(effect.steps)]
        first += len(effect.steps)
        columns_of = _data(pm, spec, f"{parameter}_stairs_{effect.label}", stairs, variable.dims)
        eta = eta + columns_of @ effect.coefficients(users, shares[effect.label])
    for place, latent in enumerate(layout.latent_effects):
        name = f"{parameter}_multiplier_{latent.label}"
        multiplier = _data(pm, spec, name, bound.multipliers[:, place])
        eta = eta + latent.addition(users, multiplier, drawn, bound.drawn)
    return eta


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
        name = _unused(pm, f"{variable.name}_intercept")
        inner = inner[intercept].set(_free(pm, priors[intercept], name))
    shrunk = spec.shrunk(parameter)
    if shrunk.places.size:
        slopes = [place for place in slopes if place not in shrunk.places]
        sds, name = _joint_sds(pm, spec, shrunk)[: len(shrunk.places)], f"{variable.name}_shrunk"
        inner = inner[shrunk.places].set(_shrunk(pm, sds, len(shrunk.places), name, centered))
    if slopes:
        name = _unused(pm, f"{variable.name}_slopes")
        inner = inner[np.array(slopes)].set(_free_vector(pm, [priors[j] for j in slopes], name))
    b = inner if layout.map.identity else pt.dot(layout.map.matrix, inner)
    pm.Deterministic(f"{variable.name}{_at_means(spec, parameter)}", b, dims=variable.dims)
    return inner, b


def _shrunk(pm: Any, sds: Any, size: int, name: str, centered: bool) -> Any:
    """The coefficients that have a joint prior."""
    if centered:
        return pm.Normal(_unused(pm, name), 0.0, sds, shape=size)
    return pm.Normal(_unused(pm, f"{name}_z"), 0.0, 1.0, shape=size) * sds


def _joint_sds(pm: Any, spec: ModelSpec, shrunk: Shrunk) -> Any:
    """The standard deviations that a joint prior decides (size,); whoever asks first makes its parameters."""
    import pytensor.tensor as pt

    size, values = shrunk.size, dict[str, Any]()
    for one, variable, prior in shrunk.parts:
        if variable.name in pm.modelcontext(None).named_vars:
            found = pm.modelcontext(None)[variable.name]
        elif one.support == "simplex":
            found = _simplex(pm, prior, variable, size)
        elif one.each:
            found = _free_vector(pm, [prior] * size, variable.name, variable.dims)
        else:
            found = _free(pm, prior, variable.name)
        values[variable.name] = found
    if shrunk.scale is not None:
        values[shrunk.scale.name] = _own(pm, spec, spec.family.parameter(SIGMA))
    return shrunk.sds(pt, values)


def _group_effects(pm: Any, spec: ModelSpec, parameter: str, factor: Factor, centered: bool) -> Any:
    """The (G, q) effects r of one factor, with their sds and correlations.

    Where priors are about other columns than the user's, so are the free variables; the schema's are computed from
    them.
    """
    import pytensor.tensor as pt

    variables, moved = spec.factor_variables(parameter, factor), not factor.map.identity
    free = "_centred" if moved else ""
    sd = _sds(pm, spec, parameter, factor)
    shape = (factor.width, len(factor.effects))
    name = variables["r"].name
    if not factor.correlated:
        shapes = [_free(pm, prior, variable.name) for variable, prior in _shapes(spec, parameter, factor)]
        law = factor.law_values(shapes)
        if centered and factor.relations is None:
            if factor.law.normal:
                return pm.Normal(name, 0.0, sd, dims=variables["r"].dims)
            return factor.law.graph(pm, name, pt.diag(sd), shape, *law, dims=variables["r"].dims)
        z = _standard(pm, factor, _unused(pm, f"{name}_z"), shape, law)
        return pm.Deterministic(name, factor.related(z, shapes, pt) * sd, dims=variables["r"].dims)
    chol, law = _correlation_factor(pm, spec, parameter, factor)
    scaled = sd[:, None] * chol
    root = pt.dot(factor.map.matrix, scaled) if moved else scaled
    if moved or factor.loaded:
        shifted = pt.sqrt(pt.sqr(root).sum(axis=1))
        pm.Deterministic(variables["sd"].name, shifted, dims=variables["sd"].dims)
        chol = root / shifted[:, None]
    if "cor" in variables:
        pm.Deterministic(variables["cor"].name, chol @ chol.T, dims=variables["cor"].dims)
    if centered and not factor.loaded:  # whose effects have no density, some deciding others
        dims = variables["r"].dims
        r = factor.law.graph(pm, _unused(pm, f"{name}{free}"), scaled, shape, *law, dims=dims)
        return pm.Deterministic(name, pt.dot(r, factor.map.matrix.T), dims=dims) if moved else r
    z = _standard(pm, factor, _unused(pm, f"{name}_z"), shape, law)
    return pm.Deterministic(name, pt.dot(z, root.T), dims=variables["r"].dims)


def _standard(pm: Any, factor: Factor, name: str, shape: tuple[int, int], law: Sequence[Any]) -> Any:
    """Standard effects (m, q): independent of each other where they are normal."""
    if factor.law.normal:
        return pm.Normal(name, 0.0, 1.0, shape=shape)
    return factor.law.graph(pm, name, np.eye(shape[1]), shape, *law)


def _shapes(spec: ModelSpec, parameter: str, factor: Factor) -> list[tuple[Variable, Prior]]:
    """The parameters of a factor's structures and of its levels' law, in the order of its `shapes`."""
    variables, priors = spec.shape_variables(parameter, factor), spec.shape_priors(parameter, factor)
    return list(zip(variables, priors, strict=True))


def _sds(pm: Any, spec: ModelSpec, parameter: str, factor: Factor) -> Any:
    """The standard deviations of the effects that the priors are about; the schema's, where those are the same."""
    import pytensor.tensor as pt

    variable, priors = spec.factor_variables(parameter, factor)["sd"], spec.sd_priors(parameter, factor)
    moved, shrunk = not factor.map.identity or factor.loaded is not None, spec.shrunk(parameter)
    if decided := shrunk.decided(factor.name):
        assert not moved, "standard deviations of a joint prior are those of the user's columns"
        sds, own = pt.zeros(len(priors)), [place for place in range(len(priors)) if place not in decided]
        sds = sds[list(decided)].set(_joint_sds(pm, spec, shrunk)[list(decided.values())])
        if own:
            free = _free_vector(pm, [priors[place] for place in own], _unused(pm, f"{variable.name}_own"))
            sds = sds[own].set(free)
        return pm.Deterministic(variable.name, sds[np.array(factor.scale_of)], dims=variable.dims)
    if factor.loaded is not None and all(prior.fixed is not None for prior in priors):
        return pt.as_tensor(np.array([prior.fixed for prior in priors])[list(factor.scale_of)])
    if len(priors) == len(factor.effects):
        return _free_vector(pm, priors, f"{variable.name}{'_centred' if moved else ''}", dims=variable.dims)
    sd = _free_vector(pm, priors, _unused(pm, f"{variable.name}_scales"))[np.array(factor.scale_of)]
    return sd if moved else pm.Deterministic(variable.name, sd, dims=variable.dims)


def tied_effects(pm: Any, spec: ModelSpec, centered: bool) -> dict[tuple[str, str, str], Any]:
    """The effects (G, q) of factors that are drawn together with those of other formulas, of all responses."""
    import pytensor.tensor as pt

    found: dict[tuple[str, str, str], Any] = {}
    for group in spec.tied_groups:
        sd = pt.concatenate(
            [_sds(pm, spec.siblings[m.response], m.parameter, m.factor) for m in group.members]
        )
        chol = pt.eye(group.slices[-1].stop)
        for member in group.members:
            if any(block.correlated and not block.identifier for block in member.factor.structures):
                raise UnsupportedError(
                    f"the graph has no effects of {member.factor.name!r} with an ID beside other correlated ones of "
                    "it; strategy='whitened' draws them"
                )
        for tie in group.ties:
            variable = spec.tie_variables[spec.ties.index(tie)]
            prior, q = spec.tie_prior(tie), len(tie.effects)
            part = (
                np.linalg.cholesky(equal_correlations(prior.fixed, q))
                if prior.fixed is not None
                else pm.LKJCorr(
                    _unused(pm, f"{variable.name}_chol"), n=q, eta=np.float64(dict(prior.args)["eta"])
                )
            )
            rows, columns = np.ix_(group.places(tie), group.places(tie))
            chol = chol[rows, columns].set(part)
        matrix = block_diag(*(member.factor.map.matrix for member in group.members))
        root = pt.dot(matrix, sd[:, None] * chol)
        covariance = pt.dot(root, root.T)
        shifted = pt.sqrt(pt.diag(covariance))
        cor = covariance / (shifted[:, None] * shifted)
        for tie in group.ties:
            variable, places = spec.tie_variables[spec.ties.index(tie)], group.places(tie)
            pm.Deterministic(variable.name, cor[places][:, places], dims=variable.dims)
        found |= _tied_parts(pm, spec, group, root, shifted, cor, centered)
    return found


def _tied_parts(
    pm: Any,
    spec: ModelSpec,
    group: TiedGroup,
    root: Any,
    sd: Any,
    cor: Any,
    centered: bool,
) -> dict[tuple[str, str, str], Any]:
    """Each formula's part of effects that are drawn together, and the schema's variables."""
    import pytensor.tensor as pt

    levels, size = len(group.members[0].factor.levels), group.slices[-1].stop
    name = _unused(pm, f"r_{group.members[0].factor.name}_{group.ties[0].identifier}")
    if centered:
        r = pm.MvNormal(name, mu=np.zeros(size), chol=root, shape=(levels, size))
    else:
        r = pt.dot(pm.Normal(f"{name}_z", 0.0, 1.0, shape=(levels, size)), root.T)
    found = {}
    for member, own in zip(group.members, group.slices, strict=True):
        variables = spec.siblings[member.response].factor_variables(member.parameter, member.factor)
        if variables["sd"].name not in pm.modelcontext(None).named_vars:
            pm.Deterministic(variables["sd"].name, sd[own], dims=variables["sd"].dims)
        if "cor" in variables:
            pm.Deterministic(variables["cor"].name, cor[own, own], dims=variables["cor"].dims)
        effects = pm.Deterministic(variables["r"].name, r[:, own], dims=variables["r"].dims)
        found[member.response, member.parameter, member.factor.name] = effects
    return found


def _curve(pm: Any, spec: ModelSpec, parameter: str, curve: Curve, centered: bool) -> Any:
    """The penalised coefficients of a smooth (m,), with their standard deviations."""
    import pytensor.tensor as pt

    variables, shrunk = spec.curve_variables(parameter, curve), spec.shrunk(parameter)
    sds, *shapes = (
        pm.Deterministic(variable.name, _joint_sds(pm, spec, shrunk)[shrunk.decided(curve.label)[0]])
        if prior.support == "coefficients"
        else _free(pm, prior, variable.name)
        for variable, prior in spec.curve_priors(parameter, curve)
    )
    if curve.process is not None:
        sds = sds * curve.process.sizes(pt, *shapes)
    name, dims = variables["s"].name, variables["s"].dims
    if centered:
        return pm.Normal(name, 0.0, sds, dims=dims)
    z = pm.Normal(_unused(pm, f"{name}_z"), 0.0, 1.0, shape=curve.width)
    return pm.Deterministic(name, z * sds, dims=dims)


def _correlation_factor(pm: Any, spec: ModelSpec, parameter: str, factor: Factor) -> tuple[Any, list[Any]]:
    """The (q, q) Cholesky factor of the correlations: each structure's own, zeros between blocks.

    And the parameters of the levels' law.
    """
    import pytensor.tensor as pt

    several = sum(block.matrix is not None for block in factor.structures) > 1
    shapes = _shapes(spec, parameter, factor)
    chol = pt.eye(len(factor.effects))
    for number, block in enumerate(factor.structures):
        q = len(block.effects)
        if not block.correlated:
            continue
        if block.structure.loadings:
            own, shapes = shapes[: len(block.parameters)], shapes[len(block.parameters) :]
            part = _loadings(pm, factor, block, own)
        elif block.matrix:
            prior = spec.cor_prior(parameter, factor, block)
            name = spec.factor_variables(parameter, factor)["cor"].name
            own_name = _unused(pm, f"{name}_{block.matrix.free}{number if several else ''}")
            part = (
                np.linalg.cholesky(equal_correlations(prior.fixed, q))
                if prior.fixed is not None
                else block.matrix.graph_factor(pm, own_name, q, dict(prior.args)["eta"])
            )
        else:
            own, shapes = shapes[: len(block.parameters)], shapes[len(block.parameters) :]
            values = [_free(pm, prior, variable.name)[None, None] for variable, prior in own]
            cor = block.structure.correlation(pt, q, block.positions, *values)
            part = pt.linalg.cholesky(cor, lower=True)
        rows, columns = np.ix_(block.effects, block.effects)
        chol = chol[rows, columns].set(part)
    return chol, [_free(pm, prior, variable.name) for variable, prior in shapes]


WHOLE = {
    "HalfNormal": ("Normal", "mu"),
    "HalfStudentT": ("StudentT", "mu"),
    "HalfCauchy": ("Cauchy", "alpha"),
}


def _loadings(pm: Any, factor: Factor, block: Block, own: Sequence[tuple[Variable, Prior]]) -> Any:
    """The root (q, q) of a covariance that comes of loadings: those, and zeros for the dimensions that there aren't.

    Those on the diagonal may have either sign here, as in the kernels (`structures.rr`); the schema's are settled.
    """
    import pytensor.tensor as pt

    assert block.structure.loadings is not None
    variable, priors = own[0][0].whole, []
    for _, prior in own:
        whole, middle = WHOLE.get(prior.name, ("", ""))
        priors.append(Prior(whole, **{middle: 0.0}, **dict(prior.args)) if whole else prior)
    free = _free_vector(pm, priors, _unused(pm, f"{variable.name}_free"))
    rows, columns = zip(*(cell.place for cell, _ in own), strict=True)
    places = np.searchsorted(block.effects, rows)
    matrix = pt.zeros((len(block.effects), block.rank))[places, np.array(columns)].set(free)
    whole_matrix = pt.zeros((len(factor.effects), block.rank))
    settled = block.structure.loadings.settled(matrix, pt)
    pm.Deterministic(variable.name, whole_matrix[np.array(block.effects)].set(settled), dims=variable.dims)
    left = pt.zeros((len(block.effects), len(block.effects) - block.rank))
    return pt.concatenate([matrix, left], axis=1)


def _pairs(pm: Any, prior: Prior, variable: Variable, size: int) -> Any:
    """The correlation of each pair of so many things, (pairs,): see `kinds.CORRELATIONS`."""
    cor = _correlations(pm, prior, variable, size)
    return pm.Deterministic(variable.name, cor[np.triu_indices(size, 1)], dims=variable.dims)


def _matrix(pm: Any, prior: Prior, variable: Variable, size: int) -> Any:
    """The correlations of so many things: (k, k)."""
    return pm.Deterministic(variable.name, _correlations(pm, prior, variable, size), dims=variable.dims)


def _correlations(pm: Any, prior: Prior, variable: Variable, size: int) -> Any:
    import pytensor.tensor as pt

    if prior.fixed is not None:
        return pt.as_tensor(equal_correlations(prior.fixed, size))
    eta = np.float64(dict(prior.args)["eta"])
    chol = pm.LKJCorr(_unused(pm, f"{variable.name}_chol"), n=size, eta=eta)
    return pt.dot(chol, chol.T)


def _simplex(pm: Any, prior: Prior, variable: Variable, size: int) -> Any:
    """Shares, of a monotonic effect's steps, of a parameter's own or of a joint prior (D,); a single one is all."""
    if size == 1:
        import pytensor.tensor as pt

        return pm.Deterministic(variable.name, pt.as_tensor(np.ones(1)), dims=variable.dims)
    concentration = np.broadcast_to([value for _, value in prior.args], (size,)).astype(np.float64)
    return pm.Dirichlet(variable.name, concentration, dims=variable.dims)


# -- priors -----------------------------------------------------------------------------------------------------


def _free(pm: Any, prior: Prior, name: str, dims: Any = None) -> Any:
    import pytensor.tensor as pt

    if prior.fixed is not None:
        return pm.Deterministic(name, pt.as_tensor(np.array(prior.fixed)), dims=dims)
    # arrays, because PyTensor keeps a Python number in the smallest type that holds it, single precision included
    arguments = {key: np.array(value) for key, value in prior.args}
    return _drawn(pm, prior, name, arguments, dims=dims)


def _drawn(pm: Any, prior: Prior, name: str, arguments: Mapping[str, Any], **shape: Any) -> Any:
    """PyMC's variable of that distribution, the arguments in place of the prior's own."""
    if not prior.distribution.whole:
        return getattr(pm, prior.name)(name, **arguments, **shape)
    ends = {word: arguments[word] for word in ("lower", "upper") if word in arguments}
    whole = getattr(pm, prior.distribution.whole)
    if not ends:
        return whole(name, **arguments, **shape)
    own = {word: value for word, value in arguments.items() if word not in ends}
    return pm.Truncated(name, whole.dist(**own), **ends, **shape)


def _free_vector(pm: Any, priors: Sequence[Prior], name: str, dims: Any = None) -> Any:
    """One variable a distribution, with an argument an element; several distributions make several variables."""
    import pytensor.tensor as pt

    kinds: dict[str, list[int]] = {}
    for place, prior in enumerate(priors):
        stated = [word for word, _ in prior.args if word in prior.distribution.defaults]  # what may be absent
        kinds.setdefault("_".join([prior.name.lower(), *stated]), []).append(place)
    if len(kinds) == 1:
        return _vector(pm, priors, name, dims)
    vector = pt.zeros(len(priors))
    for kind, places in kinds.items():
        vector = vector[np.array(places)].set(
            _vector(pm, [priors[j] for j in places], f"{name}_{kind}", None)
        )
    return pm.Deterministic(name, vector, dims=dims) if dims else vector


def _vector(pm: Any, priors: Sequence[Prior], name: str, dims: Any) -> Any:
    arguments = {key: np.array([dict(prior.args)[key] for prior in priors]) for key, _ in priors[0].args}
    if priors[0].name == "Fixed":
        import pytensor.tensor as pt

        return pm.Deterministic(name, pt.as_tensor(arguments["value"]), dims=dims)
    shape = {"dims": dims} if dims else {"shape": len(priors)}
    return _drawn(pm, priors[0], name, arguments, **shape)
