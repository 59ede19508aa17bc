"""Pointwise log-likelihood of the training rows, computed on demand from the draws, in chunks."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.latents import given_rows, nodes_of_values
from hierbayes.answers.predict import Effects, Request, choose_groups, evaluate_predictors, row_chunks
from hierbayes.answers.series import OTHERS, given_others
from hierbayes.data.design import MEAN, OBS, Design
from hierbayes.data.latent import loadings_of, variance_of_sum
from hierbayes.data.levels import Codes
from hierbayes.families import Values
from hierbayes.schema import CHAIN_DIMS, SIGMA
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]


def log_densities(spec: ModelSpec, rows: Design, eta: Array, aux: Values) -> Array:
    """Log density of each row's response, times its weight: (…, n).

    Parameters
    ----------
    rows : Design
        n rows with their response.
    eta : ndarray (…, n)
        The mean's linear predictor; where residuals are correlated, the mean given other rows.
    aux : mapping of str to ndarray
        The family's own parameters, which broadcast against `eta`.

    Notes
    -----
    A weight of 2 is the row twice, as in the likelihood that was fitted; a row of weight 0 has log-likelihood 0
    whatever its response.
    """
    assert rows.y is not None, "only rows with a response have a likelihood"
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = spec.at(eta, aux).log_density(rows.y, rows.trials)
    values = np.where(np.isnan(values), -np.inf, values)
    if rows.weights is None:
        return values
    with np.errstate(invalid="ignore"):  # 0 times the logarithm of nothing
        return np.where(rows.weights > 0, rows.weights * values, 0.0)


def has_one_scale(spec: ModelSpec) -> bool:
    """Whether responses, or their logarithms, are normal with the same standard deviation in every row.

    And predictors and levels' effects have the same columns in every draw.
    """
    alike = not (spec.layout.main.steps_by_group or spec.layout.latents)
    return spec.is_normal and "sigma" in spec.plain_parameters and alike


def likelihood_chunks(
    spec: ModelSpec, draws: Draws, design: Design, entries: int | None = None, others: str = OTHERS
) -> Iterator[tuple[Codes, Array]]:
    """Log-likelihoods chunk by chunk: the places of some rows, and (S, those rows); every row once, in any order.

    Where residuals are correlated, each row's density is that given all other rows of its series, as leaving it out
    needs it; with ``others="earlier"`` that given the earlier ones, whose product is the density of all rows.
    Where predictors were measured with error, it is that given the measurements, and not the values drawn for that row.
    A chunk has about `entries` numbers, some 500,000 unless given; some ten arrays of that size are in use at once.
    """
    if has_one_scale(spec):
        from hierbayes.criticism.normal import density_chunks

        yield from density_chunks(spec, draws, design, entries)
        return
    request = Request("linear", choose_groups(spec, "all"), "error", 0)
    for places, rows, effects in row_chunks(spec, draws, design, request, entries):
        if spec.layout.latents:
            yield places, log_densities_given_measurements(spec, draws, rows, request, effects)
            continue
        eta, aux = evaluate_predictors(spec, draws, rows, request, effects)
        if rows.series is not None:
            eta, aux = given_others(spec, rows, eta, aux, others)
        yield places, log_densities(spec, rows, eta, aux)


def log_densities_given_measurements(
    spec: ModelSpec, draws: Draws, rows: Design, request: Request, effects: Effects
) -> Array:
    """Log density of each row's response without the true values of its own that were drawn for it: (S, n).

    Of normal responses in closed form, else by Gauss–Hermite quadrature over the values given their measurements.
    """
    if spec.integrates_latents:
        return log_densities(spec, rows, *without_own_values(spec, draws, rows, request, effects))
    total: Array | None = None
    for weight, drawn in nodes_of_values(spec, draws, rows, request.seed):
        eta, aux = evaluate_predictors(spec, draws, rows, request, effects, drawn)
        values = np.log(weight) + log_densities(spec, replace(rows, weights=None), eta, aux)
        total = values if total is None else np.logaddexp(total, values)
    assert total is not None, "there is a node at least"
    return total if rows.weights is None else rows.weights * total


def without_own_values(
    spec: ModelSpec, draws: Draws, rows: Design, request: Request, effects: Effects
) -> tuple[Array, Values]:
    """The parameters of normal responses given measurements, the true values integrated out."""
    (block,) = spec.latent_blocks
    normal = given_rows(spec, draws, rows, block)
    drawn = dict(zip(block.columns, normal[0], strict=True))
    eta, aux = evaluate_predictors(spec, draws, rows, request, effects, drawn)
    b = draws.values[spec.coefficient_variable(MEAN).name]
    loadings = loadings_of(spec.layout.main.latent_effects, block.columns, b, rows.main.multipliers)
    kind = spec.family.parameter(SIGMA).kind
    variance = np.square(np.asarray(aux[SIGMA])) + variance_of_sum(normal, loadings)
    return eta, {**aux, SIGMA: kind.under("identity", np.sqrt(variance))}


def log_likelihood(spec: ModelSpec, draws: Draws, design: Design, posterior: xr.Dataset) -> xr.Dataset:
    """The log-likelihood of every row in every draw, as ArviZ's group ``log_likelihood`` holds it.

    Memory: 8 bytes × draws × rows for the answer, and some 200 MB while it is made.

    Returns
    -------
    xarray.Dataset
        One variable, named like the response: (chain, draw, ``__obs__``).
    """
    values = np.empty((len(design), len(draws)))  # as chunks come, and as cross-validation reads them
    for places, piece in likelihood_chunks(spec, draws, design):
        values[places] = piece.T
    coords = {
        "chain": posterior["chain"].to_numpy(),
        "draw": posterior["draw"].to_numpy(),
        OBS: design.labels,
    }
    shape = (draws.chains, draws.draws, len(design))
    return xr.Dataset({spec.response_name: ((*CHAIN_DIMS, OBS), values.T.reshape(shape))}, coords=coords)
