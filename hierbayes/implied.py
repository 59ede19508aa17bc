"""What priors imply for quantities that nobody states directly: intraclass correlations, sds at the means."""

import numpy as np
from numpy.typing import NDArray

from hierbayes.covariance import shift_covariance
from hierbayes.design import MEAN, Design
from hierbayes.errors import DataError
from hierbayes.factors import Factor
from hierbayes.predict import Draws
from hierbayes.spec import ModelSpec
from hierbayes.variance import latent_components, row_weights

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
