"""Pointwise log-likelihood of the training rows, computed on demand from the draws, in chunks."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import Request, choose_groups, evaluate_predictors, row_chunks
from hierbayes.answers.series import OTHERS, given_others
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

    And their levels' effects have the same columns in every draw.
    """
    return spec.is_normal and "sigma" in spec.plain_parameters and not spec.layout.main.steps_by_group


def likelihood_chunks(
    spec: ModelSpec, draws: Draws, design: Design, entries: int | None = None, others: str = OTHERS
) -> Iterator[tuple[Codes, Array]]:
    """Log-likelihoods chunk by chunk: the places of some rows, and (S, those rows); every row once, in any order.

    Where residuals are correlated, each row's density is that given all other rows of its series, as leaving it out
    needs it; with ``others="earlier"`` that given the earlier ones, whose product is the density of all rows.
    A chunk has about `entries` numbers, some 500,000 unless given; some ten arrays of that size are in use at once.
    """
    if has_one_scale(spec):
        from hierbayes.criticism.normal import density_chunks

        yield from density_chunks(spec, draws, design, entries)
        return
    request = Request("linear", choose_groups(spec, "all"), "error", 0)
    for places, rows, effects in row_chunks(spec, draws, design, request, entries):
        eta, aux = evaluate_predictors(spec, draws, rows, request, effects)
        if rows.series is not None:
            eta, aux = given_others(spec, rows, eta, aux, others)
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
