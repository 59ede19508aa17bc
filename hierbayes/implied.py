"""What priors imply for quantities that nobody states directly: shares of variance; and quantities where priors are."""

import numpy as np
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.variance import check_levels, latent_components, row_weights, share_of
from hierbayes.data.design import MEAN, Design
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]


def inner_sds(
    spec: ModelSpec, draws: Draws, factor: Factor, parameter: str = MEAN
) -> tuple[Array, Array | None]:
    """Standard deviations (S, q) and correlations (S, q, q) of a factor's effects where their priors stand.

    That is mostly at the predictors' means for intercepts that are correlated with slopes; the draws hold them at the
    user's 0. Without correlations the second is None.
    """
    variables = spec.factor_variables(parameter, factor)
    sd = draws.values[variables["sd"].name]
    if not factor.correlated:
        return sd, None
    return factor.map.to_inner_covariance(sd, spec.correlations(parameter, factor, draws.values))


def inner_quantities(spec: ModelSpec, draws: Draws) -> dict[str, Array]:
    """The quantities of `Fit.summary`, each (S,), where their priors stand: intercepts at the predictors' means, …"""
    values = spec.about_means(draws.values)
    for parameter, layout in spec.layout.predictors.items():
        if layout.coefficients:
            name = spec.coefficient_variable(parameter).name
            values[name] = layout.map.to_inner(values[name])
        for factor in layout.factors:
            variables = spec.factor_variables(parameter, factor)
            sd, cor = inner_sds(spec, draws, factor, parameter)
            values[variables["sd"].name] = sd
            if "cor" in variables and cor is not None:
                values[variables["cor"].name] = cor
    return {q.name: q.of(values[q.variable.name]) for q in spec.quantities}


def icc(spec: ModelSpec, draws: Draws, design: Design, group: str) -> Array:
    """Intraclass correlation of one grouping factor on the link's scale, in every draw: (S,).

    Its variance over that of all factors and the response distribution, as `Fit.icc` defines it.

    Raises
    ------
    DataError
        For a name that is no grouping factor of the mean's formula with fewer levels than rows.
    UnsupportedError
        Where the mean has no average over the levels' effects: `variance.check_levels`.
    """
    check_levels(spec)
    with np.errstate(over="ignore", invalid="ignore"):  # a prior may allow infinite means
        parts = latent_components(spec, draws, design, row_weights(design))
        if group not in parts.groups:
            have = ", ".join(parts.groups) or "none"
            raise DataError(f"{group!r} is no grouping factor with fewer levels than rows; there are: {have}")
        return share_of(parts.groups[group], parts.between + parts.residual)


def r2(spec: ModelSpec, draws: Draws, design: Design) -> tuple[Array, Array]:
    """Shares of variance explained on the link's scale, in every draw: marginal and conditional, each (S,).

    By the population-level part, and by it and all grouping factors: ``nakagawa`` of `Fit.r2`.
    """
    check_levels(spec)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = latent_components(spec, draws, design, row_weights(design))
        total = parts.fixed + parts.between + parts.residual
        return share_of(parts.fixed, total), share_of(parts.fixed + parts.between, total)
