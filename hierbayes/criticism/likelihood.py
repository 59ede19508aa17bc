"""Pointwise log-likelihood of the training rows, computed on demand from the draws, in chunks."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import Request, choose_groups, evaluate_predictors, row_chunks
from hierbayes.data.design import OBS, Design
from hierbayes.data.levels import Codes
from hierbayes.families import Values
from hierbayes.spec import CHAIN_DIMS, ModelSpec

Array = NDArray[np.float64]


def log_densities(spec: ModelSpec, rows: Design, eta: Array, aux: Values) -> Array:
    """Log density of each row's response, times its weight: (…, n).

    Parameters
    ----------
    rows : Design
        n rows with their response.
    eta : ndarray (…, n)
        The mean's linear predictor.
    aux : mapping of str to ndarray
        The family's own parameters, which broadcast against `eta`.

    Notes
    -----
    A weight of 2 is the row twice, as in the likelihood that was fitted; a row of weight 0 has log-likelihood 0
    whatever its response.
    """
    assert rows.y is not None, "only rows with a response have a likelihood"
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = spec.family.at(eta, aux, spec.link).log_density(rows.y, rows.trials)
    values = np.where(np.isnan(values), -np.inf, values)
    if rows.weights is None:
        return values
    with np.errstate(invalid="ignore"):  # 0 times the logarithm of nothing
        return np.where(rows.weights > 0, rows.weights * values, 0.0)


def has_one_scale(spec: ModelSpec) -> bool:
    """Whether responses, or their logarithms, are normal with the same standard deviation in every row."""
    return spec.is_normal and "sigma" in spec.plain_parameters


def likelihood_chunks(
    spec: ModelSpec, draws: Draws, design: Design, entries: int | None = None
) -> Iterator[tuple[Codes, Array]]:
    """Log-likelihoods chunk by chunk: the places of some rows, and (S, those rows); every row once, in any order.

    A chunk has about `entries` numbers, some 500,000 unless given; some ten arrays of that size are in use at once.
    """
    if has_one_scale(spec):
        from hierbayes.criticism.normal import density_chunks

        yield from density_chunks(spec, draws, design, entries)
        return
    request = Request("linear", choose_groups(spec, "all"), "error", 0)
    for places, rows, effects in row_chunks(spec, draws, design, request, entries):
        eta, aux = evaluate_predictors(spec, draws, rows, request, effects)
        yield places, log_densities(spec, rows, eta, aux)


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
