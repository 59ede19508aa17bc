"""What priors imply for quantities that nobody states directly: shares of variance, sds at the means."""

import numpy as np
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.summary import correlated_pairs
from hierbayes.answers.variance import latent_components, row_weights
from hierbayes.covariance import shift_covariance
from hierbayes.data.design import MEAN, Design
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]


def sds_at_means(
    spec: ModelSpec, draws: Draws, factor: Factor, parameter: str = MEAN
) -> tuple[Array, Array | None]:
    """Standard deviations (S, q) and correlations (S, q, q) of a factor's effects where their priors are stated.

    That is at the predictors' means for intercepts that are correlated with slopes; the draws hold them at the
    user's 0. Without correlations the second is None.
    """
    variables = spec.factor_variables(parameter, factor)
    sd = draws.values[variables["sd"].name]
    if not factor.correlated:
        return sd, None
    back = None if factor.shift is None else np.linalg.inv(factor.shift)
    return shift_covariance(back, sd, draws.values[variables["cor"].name])


def quantities_at_means(spec: ModelSpec, draws: Draws) -> dict[str, Array]:
    """The quantities of `Fit.summary`, each (S,), where their priors are stated: at the predictors' means."""
    found: dict[str, Array] = {}
    for parameter, layout in spec.layout.predictors.items():
        prefix = "" if parameter == MEAN else f"{parameter}."
        if layout.coefficients:
            b = draws.values[spec.coefficient_variable(parameter).name]
            found |= {f"{prefix}{label}": b[:, j] for j, label in enumerate(layout.coefficients)}
            if layout.intercept is not None:
                found[f"{prefix}{INTERCEPT}"] = b[:, layout.intercept] + b @ layout.centres
        for factor in layout.factors:
            sd, cor = sds_at_means(spec, draws, factor, parameter)
            found |= {
                f"{prefix}sd[{factor.name}, {effect}]": sd[:, j] for j, effect in enumerate(factor.effects)
            }
            for i, j in correlated_pairs(factor):
                assert cor is not None, "pairs are those of a correlated factor"
                name = f"{prefix}cor[{factor.name}, {factor.effects[i]}, {factor.effects[j]}]"
                found[name] = cor[:, i, j]
    return found | {name: draws.values[name] for name in spec.plain_parameters}


def icc(spec: ModelSpec, draws: Draws, design: Design, group: str) -> Array:
    """Intraclass correlation of one grouping factor on the link's scale, in every draw: (S,).

    Its variance over that of all factors and the response distribution, as `Fit.icc` defines it.

    Raises
    ------
    DataError
        For a name that is no grouping factor of the mean's formula with fewer levels than rows.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a prior may allow infinite means
        parts = latent_components(spec, draws, design, row_weights(design))
        if group not in parts.groups:
            have = ", ".join(parts.groups) or "none"
            raise DataError(f"{group!r} is no grouping factor with fewer levels than rows; there are: {have}")
        return np.asarray(parts.groups[group] / (parts.between + parts.residual))


def r2(spec: ModelSpec, draws: Draws, design: Design) -> tuple[Array, Array]:
    """Shares of variance explained on the link's scale, in every draw: marginal and conditional, each (S,).

    By the population-level part, and by it and all grouping factors: ``nakagawa`` of `Fit.r2`.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        parts = latent_components(spec, draws, design, row_weights(design))
        total = parts.fixed + parts.between + parts.residual
        return np.asarray(parts.fixed / total), np.asarray((parts.fixed + parts.between) / total)
