"""Normal responses with one scale: log densities of rows in every draw."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws, population_coefficients
from hierbayes.answers.predict import CHUNK_ENTRIES, LEVEL_ENTRIES, choose_groups, level_blocks
from hierbayes.data.design import MEAN, Design
from hierbayes.data.levels import Codes
from hierbayes.engine.core.routine import run
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
LOG_DENSITIES = "hierbayes.criticism.normalloops.log_densities"
TABLE_ENTRIES = 20_000_000  # draws × effects that groups share: gathered anew for each part of the groups


def density_chunks(
    spec: ModelSpec, draws: Draws, design: Design, entries: int | None = None
) -> Iterator[tuple[Codes, Array]]:
    """Log densities of the responses chunk by chunk, as `likelihood.likelihood_chunks`."""
    logs, precision = logs_and_precision(draws)
    step = max(1, (entries or CHUNK_ENTRIES) // len(draws))
    for block in level_blocks(design, choose_groups(spec, "all"), LEVEL_ENTRIES // len(draws)):
        sums = sums_of(spec, draws, design.rows(block))
        for start in range(0, len(block), step):
            some = slice(start, start + step)
            values = np.empty((len(block[some]), len(draws)))
            run(
                LOG_DENSITIES, sums.y[some], sums.weights[some], sums.constants[some], sums.places[some],
                sums.coefficients[some], sums.table, logs, precision, values,
            )  # fmt: skip
            yield block[some], values.T


def logs_and_precision(draws: Draws) -> tuple[Array, Array]:
    """½ log(1 / 2πσ²) and 1 / σ² in every draw: (S,), (S,)."""
    with np.errstate(divide="ignore"):
        precision = 1 / np.square(draws.values["sigma"])
        return 0.5 * np.log(precision / (2 * np.pi)), precision


@dataclass(frozen=True, eq=False)
class Sums:
    """Linear predictors of n rows as sums over the rows of one table, which has the draws side by side.

    Attributes
    ----------
    table : ndarray (T, S)
        Population-level coefficients, then the effects of the levels that these rows have.
    places : ndarray of int (n, J)
        Which rows of the table each row's predictor is the sum of.
    coefficients : ndarray (n, J)
        How often.
    y, weights, constants : ndarray (n,)
        The response, or its logarithm, less the offset; row weights; −w log y of a lognormal response.
    """

    table: Array
    places: Codes
    coefficients: Array
    y: Array
    weights: Array
    constants: Array


def sums_of(spec: ModelSpec, draws: Draws, rows: Design, without: Mapping[str, Any] | None = None) -> Sums:
    """The sums that some of the training rows' linear predictors are.

    `without` says, by factor, which levels (L,) are left out: their effects' places are −1.
    """
    assert rows.y is not None, "only rows with a response have a likelihood"
    layout, bound = spec.layout.main, rows.main
    b, p = population_coefficients(spec, MEAN, draws.values), bound.columns.shape[1]
    blocks = [] if b is None else [b.T]
    places, columns = [np.broadcast_to(np.arange(p), bound.columns.shape)], [bound.columns]
    first = p
    for factor in layout.factors:
        q, rows_of = len(factor.effects), bound.factors[factor.name]
        here = np.bincount(rows_of.all_codes, minlength=len(factor.levels)) > 0
        if without is not None:
            here &= ~without[factor.name]
        r = draws.values[spec.factor_variables(MEAN, factor)["r"].name]
        blocks.append((r if here.all() else r[:, here]).reshape(len(r), -1).T)
        starts = np.where(here, first + (np.cumsum(here) - 1) * q, -1)
        for each in rows_of.memberships:
            number = starts[each.codes][:, None]
            places.append(np.where(number >= 0, number + np.arange(q), -1))
            columns.append(each.z)
        first += int(here.sum()) * q
    table = np.ascontiguousarray(np.concatenate([np.empty((0, len(draws))), *blocks]))
    y = np.log(rows.y) if spec.family.log_response else rows.y
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    return Sums(
        table,
        np.ascontiguousarray(np.concatenate(places, axis=1)),
        np.ascontiguousarray(np.concatenate(columns, axis=1)),
        y - bound.offset,
        weights,
        -weights * y if spec.family.log_response else np.zeros(len(rows)),
    )
