"""Predictors whose values are drawn, in given rows and every draw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.averaging import normal_nodes
from hierbayes.answers.draws import Draws, flat_draws
from hierbayes.answers.quantities import Pieces, Quantities
from hierbayes.data.design import MEAN, BoundPredictor, Design, drawn_rows
from hierbayes.data.latent import (
    KNOWN,
    Imputed,
    LatentBlock,
    LatentRows,
    Normal,
    drawn_from,
    given_measurements,
)
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.schema import SIGMA
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
type Values = Mapping[str, Array]  # (S, n), by column
NODES = 31, 15  # of quadrature over one true value, and over each of two
UNMEASURED = 1e100  # a standard deviation of what is no measurement
LATENTS = 11  # parts the random numbers of new values from those of levels and responses


def drawn_values(spec: ModelSpec, draws: Draws, design: Design, seed: int, vary: bool = True) -> Values:
    """The values of predictors that are drawn, in every draw and row: (S, n), by column.

    A training row has its own draws. A new row that states a measurement has one from its distribution given that and
    the population, the same for the same place among the rows.

    Parameters
    ----------
    vary : bool
        Whether new values vary, or are the means of their distribution.
    """
    found = {one.column: _imputed_values(spec, draws, design, one) for one in spec.layout.imputed}
    for block in spec.latent_blocks:
        rows = {column: drawn_rows(design, column) for column in block.columns}
        known = {
            column: draws.values[variable.name]
            for column, variable in zip(block.columns, spec.latent_variables(block).values, strict=True)
        }
        new = _new_values(spec, draws, block, list(rows.values()), seed, vary)
        for column, own in rows.items():
            values = np.empty((len(draws), len(own.codes)))
            values[:] = own.values
            trained = (own.codes != KNOWN) & (own.codes < len(block.index))
            values[:, trained] = known[column][:, own.codes[trained]]
            at = own.codes >= len(block.index)
            values[:, at] = new[column][:, at]
            found[column] = values
    return found


def _imputed_values(spec: ModelSpec, draws: Draws, design: Design, one: Imputed) -> Array:
    """The values of a predictor with missing ones, in every draw and row: (S, n)."""
    rows = drawn_rows(design, one.column)
    at = np.flatnonzero(rows.codes != KNOWN)
    values = np.empty((len(draws), len(rows.codes)))
    values[:] = rows.values
    if len(at):
        name = spec.imputed_variable(one.column).name
        drawn = draws.values.get(name, np.empty((len(draws), 0)))
        if rows.codes[at].max() >= drawn.shape[1]:
            raise UnsupportedError(
                f"{one.column!r} is missing in rows that the model was not made of, and its own formula says how it is "
                f"drawn: predict from the fit of all responses, fit.predict(rows, response={spec.response_name!r}), or "
                "fill it"
            )
        values[:, at] = drawn[:, rows.codes[at]]
    return values


def mean_values(spec: ModelSpec, draws: Draws, design: Design) -> dict[str, Array]:
    """Predictors with missing values (n,), the means of their draws in the place of these, by column."""
    return {one.column: _imputed_values(spec, draws, design, one).mean(axis=0) for one in spec.layout.imputed}


def true_values(spec: ModelSpec, eta: Array, aux: Any, rng: np.random.Generator) -> Array:
    """Values of a response that is measured with error, without that: (S, n)."""
    given = spec.family.given(eta, aux, spec.link)
    noise: Array = rng.standard_normal(eta.shape) * given[SIGMA].value
    return given[MEAN].value + noise


def _new_values(
    spec: ModelSpec, draws: Draws, block: LatentBlock, rows: list[LatentRows], seed: int, vary: bool
) -> Values:
    """Values given measurements alone (S, n), in rows of new ones; rows of one new level share theirs."""
    # a value that is stated says nothing of others: in what changes it they stay as they are
    sds = [np.where(own.codes == KNOWN, UNMEASURED, own.sds) for own in rows]
    normal = population(spec, draws.values, block, [own.values for own in rows], sds)
    codes = np.where(rows[0].codes >= len(block.index), rows[0].codes, KNOWN)
    for own in rows[1:]:
        codes = np.where(own.codes >= len(block.index), own.codes, codes)
    distinct, places = np.unique(codes, return_inverse=True)
    z = np.zeros((len(rows), len(draws), len(distinct)))
    if vary:
        for place, code in enumerate(distinct):
            if code != KNOWN:
                rng = np.random.default_rng([seed, LATENTS, int(code)])
                z[:, :, place] = rng.standard_normal((len(rows), len(draws)))
    return dict(zip(block.columns, drawn_from(np, normal, list(z[:, :, places])), strict=True))


def population(
    spec: ModelSpec,
    values: Mapping[str, Array],
    block: LatentBlock,
    measured: Sequence[Array],
    sds: Sequence[Array],
) -> Normal:
    """True values given measurements (n,) of each column, in draws by variable: means and covariances (S, n)."""
    latent = spec.latent_variables(block)
    means, spreads = (
        [values[variable.name][:, None] for variable in own] for own in (latent.means, latent.sds)
    )
    cor = None if latent.cor is None else values[latent.cor.name][:, None]
    return given_measurements(np, means, block.covariance(spreads, cor), measured, sds)[0]


def given_rows(spec: ModelSpec, draws: Draws, rows: Design, block: LatentBlock) -> Normal:
    """True values of rows given what each of them states: means and covariances (S, n)."""
    own = [drawn_rows(rows, column) for column in block.columns]
    return population(spec, draws.values, block, [one.values for one in own], [one.sds for one in own])


def as_new(spec: ModelSpec, design: Design) -> Design:
    """Training rows whose true values are drawn anew, from their measurements alone; levels keep theirs."""
    sizes = {
        column: len(block.index)
        for block in spec.latent_blocks
        if not block.group
        for column in block.columns
    }
    predictors = {}
    for parameter, bound in design.predictors.items():
        drawn = {
            column: replace(rows, codes=rows.codes + sizes.get(column, 0))
            for column, rows in bound.drawn.items()
        }
        predictors[parameter] = replace(bound, drawn=drawn)
    return replace(design, predictors=predictors)


def nodes_of_values(spec: ModelSpec, draws: Draws, rows: Design, seed: int) -> Iterator[tuple[float, Values]]:
    """Weights and values of predictors over which the rows' own true values are integrated out.

    Values that are a level's stay as they were drawn.

    Raises
    ------
    UnsupportedError
        For more than two predictors with values of each row.
    """
    block = next((block for block in spec.latent_blocks if not block.group), None)
    shared = drawn_values(spec, draws, rows, seed)
    if block is None:
        yield 1.0, shared
        return
    k = len(block.columns)
    if k > len(NODES):
        raise UnsupportedError(
            f"each row has {k} true values, of {', '.join(block.columns)}, and the density of a response without them "
            "is computed for one or two: compare models by posterior_predictive() instead"
        )
    normal = given_rows(spec, draws, rows, block)
    for weight, point in normal_nodes(NODES[k - 1], k):
        values = drawn_from(np, normal, point)
        yield weight, {**shared, **dict(zip(block.columns, values, strict=True))}


def need_known_predictors(spec: ModelSpec, what: str) -> None:
    """Refuse a model with predictors whose values are drawn, in what takes them for known."""
    if spec.layout.latents:
        raise UnsupportedError(
            f"{what} takes predictors for known, and the values of {spec.layout.latents[0].term.label} are drawn"
        )


def latent_part(
    spec: ModelSpec, parameter: str, draws: Draws, bound: BoundPredictor, drawn: Values
) -> Array | float:
    """What drawn values of predictors add to the linear predictor that the measured ones give: (S, n), or 0."""
    effects = spec.layout.predictors[parameter].latent_effects
    if not effects:
        return 0.0
    b = draws.values[spec.coefficient_variable(parameter).name]
    total = np.zeros((len(draws), len(bound.offset)))
    for place, effect in enumerate(effects):
        total += effect.addition(b, bound.multipliers[:, place], drawn, bound.drawn)
    return total


def latent_values(spec: ModelSpec, posterior: Any) -> Pieces:
    """Every drawn value of a predictor: column, and the label of its row or level.

    Raises
    ------
    DataError
        Where the model has none.
    """
    own = [variable for block in spec.latent_blocks for variable in spec.latent_variables(block).values]
    own += [] if spec.missing_variable is None else [spec.missing_variable]
    own += [spec.imputed_variable(one.column) for one in spec.layout.imputed if len(one.index)]
    pieces = []
    for variable in own:
        rows = list(spec.coords[variable.dims[0]])
        labels = pd.DataFrame({"column": variable.factor or spec.layout.response.name, "row": rows})
        draws = flat_draws(posterior, variable)
        pieces.append(Quantities(labels, draws, posterior.sizes["chain"], "latent_values"))
    if not pieces:
        raise DataError(
            "this model has no values that are drawn, as those of me(x, sd) are, and missing ones of mi(x)"
        )
    return Pieces(tuple(pieces), ("column", "row"))
