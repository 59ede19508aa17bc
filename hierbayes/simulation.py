"""Forward simulation: parameters from their priors, responses from parameters. Never MCMC."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.latents import population, true_values
from hierbayes.answers.predict import (
    Request,
    choose_groups,
    evaluate_predictors,
    predict_draws,
    square_roots,
)
from hierbayes.data.design import MEAN, Design
from hierbayes.data.factors import Factor
from hierbayes.data.latent import LatentBlock, drawn_from, given_measurement
from hierbayes.engine.draws import observed_dataset, to_dataset
from hierbayes.engine.streamed import Streamed
from hierbayes.exchange import in_order
from hierbayes.priors import Prior
from hierbayes.schema import SIGMA
from hierbayes.several import JointSpec
from hierbayes.spec import ModelSpec
from hierbayes.ties import TiedGroup

Array = NDArray[np.float64]


def sample_prior(spec: ModelSpec, draws: int, seed: int, training: Design | Streamed | None = None) -> Draws:
    """Independent draws of every variable of the schema from the priors.

    Parameters
    ----------
    draws : int
        S, how many.
    seed : int
    training : Design or Streamed, optional
        The training rows, where missing responses of theirs are to be among the draws.

    Returns
    -------
    Draws
        As one chain of S draws.
    """
    designs = {spec.response: training} if isinstance(training, Design) else {}
    return sample_priors([spec], designs, draws, seed)


def sample_priors(
    responses: Sequence[ModelSpec], designs: Mapping[str, Design], draws: int, seed: int
) -> Draws:
    """As `sample_prior`, of all responses of a model, each before others that read its missing values."""
    rng = np.random.default_rng(seed)
    values: dict[str, Array] = {}
    for spec in responses:
        values |= _sample_predictors(spec, draws, rng)
    for group in responses[0].tied_groups:
        values |= _sample_tied(responses[0], group, draws, rng)
    for spec in responses:
        for name in spec.plain_parameters:
            own, prior = spec.family.parameter(name), spec.prior(name, parameter=name)
            if own.size:
                sets = spec.sets_of(own)
                shape = (draws,) if sets is None else (draws, len(sets.labels))
                found = own.kind.of_joint(prior.sample(rng, shape, dimension=own.size))
            else:
                found = prior.sample(rng, (draws, *np.shape(spec.typical(own))))
            # elements in an order are alike and independent but for it: sorted, they are in it
            ordered = own.kind.support == "ordered"
            values[spec.own_variable(own).name] = np.sort(found, axis=-1) if ordered else found
        for block in spec.latent_blocks:
            values |= _sample_population(spec, block, draws, rng)
        _add_shrunk(spec, values, draws, rng)
        values = in_order(spec, spec.about_zero(values))
        if spec.missing_variable is not None and designs:
            drawn = _sample_missing(spec, Draws(values, 1, draws), designs[spec.response], rng)
            values[spec.missing_variable.name] = drawn
    return Draws(values, 1, draws)


def _sample_missing(spec: ModelSpec, draws: Draws, design: Design, rng: np.random.Generator) -> Array:
    """Missing values of a response, and true ones of what was measured, from given parameters: (S, L).

    In the order of the specification's `drawn_rows`.
    """
    request = Request("linear", choose_groups(spec, "all"), "error", 0)
    whole = design.all if spec.layout.response.measured is not None else design.without
    assert whole is not None, "there are missing values"
    eta, aux = evaluate_predictors(spec, draws, whole, request)
    if spec.layout.response.measured is None:
        return spec.family.of_row.at(eta, aux, spec.link).simulate(rng, None)
    found, n = true_values(spec, eta, aux, rng), len(design)
    given = spec.family.given(eta, aux, spec.link)
    mu, sigma, se = (np.broadcast_to(given[name].value, eta.shape)[:, :n] for name in (MEAN, SIGMA, "se"))
    mean, sd = given_measurement(np.sqrt, design.y, mu, sigma, se)
    found[:, :n] = mean + sd * rng.standard_normal(mean.shape)
    return found


def _sample_population(
    spec: ModelSpec, block: LatentBlock, draws: int, rng: np.random.Generator
) -> dict[str, Array]:
    """Where and how wide the true values of predictors are, which are drawn given their measurements."""
    latent, values = spec.latent_variables(block), dict[str, Array]()
    for variable, column in zip((*latent.means, *latent.sds), block.columns * 2, strict=True):
        values[variable.name] = spec.prior(variable.kind, coefficient=column).sample(rng, (draws,))
    if latent.cor is not None:
        prior = spec.prior(latent.cor.kind, group=block.group)
        values[latent.cor.name] = prior.sample(rng, (draws,), dimension=len(block.latents))
    z = rng.normal(size=(len(block.latents), draws, len(block.index)))
    drawn = drawn_from(np, population(spec, values, block, *block.measured), list(z))
    return values | {variable.name: x for variable, x in zip(latent.values, drawn, strict=True)}


def sample_joint_prior(spec: JointSpec, designs: Mapping[str, Design], draws: int, seed: int) -> Draws:
    """As `sample_prior`, of several responses, by the names of all."""
    found = sample_priors(spec.in_order, designs, draws, seed)
    residuals = spec.residuals
    if residuals is None:
        return found
    rng, size = np.random.default_rng([seed, 1]), len(spec.responses)
    drawn = residuals.prior.prior.sample(rng, (draws,), dimension=size)
    return replace(found, values={**found.values, residuals.variable.name: drawn})


def _sample_predictors(spec: ModelSpec, draws: int, rng: np.random.Generator) -> dict[str, Array]:
    """What the formulas of one response have, but for effects that are drawn with those of other formulas."""
    values: dict[str, Array] = {}
    for parameter, layout in spec.layout.predictors.items():
        if layout.coefficients:
            values[spec.coefficient_variable(parameter).name] = _sample_coefficients(
                spec, parameter, draws, rng
            )
        for factor in layout.factors:
            if spec.tied_group(parameter, factor) is None:
                values |= _sample_factor(spec, parameter, factor, draws, rng)
        for curve in layout.curves:
            for variable, prior in spec.curve_priors(parameter, curve):
                values[variable.name] = _sample_sd(prior, draws, rng)
            sds = spec.curve_sds(parameter, curve, values)
            values[spec.curve_variables(parameter, curve)["s"].name] = rng.normal(size=sds.shape) * sds
        for simplex in layout.simplexes:
            prior, size = spec.simplex_prior(parameter, simplex.label), len(simplex.steps)
            values[spec.simplex_variable(parameter, simplex.label).name] = prior.sample(
                rng, (draws,), dimension=size
            )
    return values


def _sample_coefficients(spec: ModelSpec, parameter: str, draws: int, rng: np.random.Generator) -> Array:
    """All coefficients, those of a joint prior 0 for now."""
    layout, shrunk = spec.layout.predictors[parameter], spec.shrunk(parameter)
    inner = np.zeros((draws, len(layout.coefficients)))
    for place, prior in enumerate(spec.coefficient_priors(parameter)):
        if place not in shrunk.places:
            inner[:, place] = prior.sample(rng, (draws,))
    return layout.map.to_user(inner)


def _add_shrunk(spec: ModelSpec, values: dict[str, Array], draws: int, rng: np.random.Generator) -> None:
    """Put in what has a joint prior: its scales may follow the response's own parameters."""
    for parameter, layout in spec.layout.predictors.items():
        shrunk = spec.shrunk(parameter)
        size = shrunk.size
        if not size:
            continue
        for one, variable, prior in shrunk.parts:
            if one.support == "simplex":
                values[variable.name] = prior.sample(rng, (draws,), dimension=size)
            else:
                values[variable.name] = prior.sample(rng, (draws, size) if one.each else (draws,))
        if shrunk.places.size:
            sds = shrunk.sds(np, values)[..., : len(shrunk.places)]
            name = spec.coefficient_variable(parameter).name
            inner = np.array(layout.map.to_inner(values[name]))
            inner[:, shrunk.places] = rng.normal(size=(draws, len(shrunk.places))) * sds
            values[name] = layout.map.to_user(inner)
        values |= spec.with_joint_sds(values)
        for factor in layout.factors:  # whose effects were drawn with sds of 1
            if shrunk.decided(factor.name):
                own = spec.factor_variables(parameter, factor)
                scales = [scale in shrunk.decided(factor.name) for scale in factor.scale_of]
                values[own["r"].name] = (
                    values[own["r"].name] * np.where(scales, values[own["sd"].name], 1.0)[:, None]
                )
        for curve in layout.curves:
            if shrunk.decided(curve.label):
                curve_own = spec.curve_variables(parameter, curve)
                values[curve_own["s"].name] = (
                    values[curve_own["s"].name] * values[curve_own["sd"].name][:, None]
                )


def _sample_factor(
    spec: ModelSpec, parameter: str, factor: Factor, draws: int, rng: np.random.Generator
) -> dict[str, Array]:
    sd = _sample_sds(spec, parameter, factor, draws, rng)
    shapes = [prior.sample(rng, (draws,)) for prior in spec.shape_priors(parameter, factor)]
    q = len(factor.effects)
    root = np.broadcast_to(np.eye(q), (draws, q, q)).copy()
    cor = root
    if factor.correlated:
        cor = factor.correlations(shapes, _sample_matrix(spec, parameter, factor, draws, rng))
        sd, cor, shapes = factor.settled(sd, cor, shapes)
        for own in (list(block.effects) for block in factor.structures if block.correlated):
            # any square root does; Cholesky's fails on a draw that is singular to rounding, as LKJ(0.2) has
            eigenvalues, vectors = np.linalg.eigh(cor[np.ix_(range(draws), own, own)])
            scaled = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))[:, None, :]
            root[np.ix_(range(draws), own, own)] = scaled
        cor = root @ np.swapaxes(root, 1, 2)
    z = factor.draw(rng, shapes, (draws,))
    r = np.einsum("sij,slj->sli", root, z) * sd[:, None, :]
    return spec.factor_arrays(parameter, factor, sd, cor, shapes, r)


def _sample_sds(
    spec: ModelSpec, parameter: str, factor: Factor, draws: int, rng: np.random.Generator
) -> Array:
    priors = spec.sd_priors(parameter, factor)
    return np.column_stack([_sample_sd(prior, draws, rng) for prior in priors])[:, list(factor.scale_of)]


def _sample_sd(prior: Prior, draws: int, rng: np.random.Generator) -> Array:
    """A standard deviation (S,), 1 for now where a joint prior will decide it."""
    return np.ones(draws) if prior.joint else prior.sample(rng, (draws,))


def _sample_tied(spec: ModelSpec, group: TiedGroup, draws: int, rng: np.random.Generator) -> dict[str, Array]:
    """The effects of one grouping factor on several predictors, and what they are drawn from."""
    members = [(spec.siblings[m.response], m.parameter, m.factor) for m in group.members]
    sds = [_sample_sds(*member, draws, rng) for member in members]
    shapes = [
        [prior.sample(rng, (draws,)) for prior in own.shape_priors(parameter, factor)]
        for own, parameter, factor in members
    ]
    cors = []
    for (own, parameter, factor), of_shapes in zip(members, shapes, strict=True):
        q = len(factor.effects)
        matrix = _sample_matrix(own, parameter, factor, draws, rng)
        cor = factor.correlations(of_shapes, matrix) if factor.correlated else np.eye(q)
        cors.append(np.broadcast_to(cor, (draws, q, q)))
    tied = [spec.tie_prior(tie).sample(rng, (draws,), dimension=len(tie.effects)) for tie in group.ties]
    cor, sd = group.joint(cors, tied), np.concatenate(sds, axis=1)
    z = rng.normal(size=(draws, len(group.members[0].factor.levels), sd.shape[1]))
    r = np.einsum("sij,slj->sli", square_roots(cor), z) * sd[:, None, :]
    values: dict[str, Array] = {}
    for (own, parameter, factor), of_shapes, part in zip(members, shapes, group.slices, strict=True):
        values |= own.factor_arrays(
            parameter, factor, sd[:, part], cor[:, part, part], of_shapes, r[:, :, part]
        )
    for tie, matrix in zip(group.ties, tied, strict=True):
        places = group.places(tie)
        variable = spec.tie_variables[spec.ties.index(tie)]
        values[variable.name] = tie.correlations(sd[:, places], matrix)
    return values


def _sample_matrix(
    spec: ModelSpec, parameter: str, factor: Factor, draws: int, rng: np.random.Generator
) -> Array | None:
    """Correlations that are parameters one by one, in their places among all: (S, q, q)."""
    if not factor.has_matrix:
        return None
    q = len(factor.effects)
    found = np.broadcast_to(np.eye(q), (draws, q, q)).copy()
    for block in factor.structures:
        if block.matrix:
            prior = spec.cor_prior(parameter, factor, block)
            own = block.matrix.sample(prior, rng, draws, len(block.effects))
            found[np.ix_(range(draws), block.effects, block.effects)] = own
    return found


def prior_predictive(
    spec: ModelSpec, design: Design, draws: int, seed: int, training: Design | Streamed
) -> xr.DataTree:
    """Groups prior, prior_predictive and, where there is a response, observed_data: one chain of independent draws."""
    prior = sample_prior(spec, draws, seed, training)
    arrays = {name: values[None] for name, values in prior.values.items()}
    groups = {
        "prior": to_dataset(spec, arrays),
        "prior_predictive": simulate_responses(spec, prior, design, seed),
    }
    if design.y is not None:
        groups["observed_data"] = observed_dataset(spec, design)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs["seed"] = seed
    return tree


def thin(posterior: xr.Dataset, draws: int | None) -> xr.Dataset:
    """Evenly spaced draws of each chain, about `draws` in all; all of them for None."""
    if draws is None:
        return posterior
    if draws < 1:
        raise ValueError(f"draws must be a whole number, 1 or more, or None for all; got {draws!r}")
    each = min(posterior.sizes["draw"], max(1, -(-draws // posterior.sizes["chain"])))
    return posterior.isel(draw=np.linspace(0, posterior.sizes["draw"] - 1, each).round().astype(int))


def simulate_responses(spec: ModelSpec, draws: Draws, design: Design, seed: int) -> xr.Dataset:
    """A response for each row and draw, of the prior or the posterior."""
    request = Request("response", choose_groups(spec, "all"), "sample", seed)
    values: Any = predict_draws(spec, draws, design, request)
    return xr.Dataset({spec.response_name: (values.dims, values.to_numpy())}, coords=values.coords)
