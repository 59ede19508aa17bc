"""Coefficients whose prior is Fixed: their columns join the offset, their values every draw."""

import numpy as np

from hierbayes.data.design import MEAN, PredictorLayout
from hierbayes.engine.core.problem import Floats
from hierbayes.spec import ModelSpec


def known_values(spec: ModelSpec, parameter: str = MEAN) -> Floats:
    """What priors state of a formula's coefficients, those of inner columns: (p,), NaN where one is to be learnt."""
    stated = (prior.fixed for prior in spec.coefficient_priors(parameter))
    return np.array([np.nan if value is None else value for value in stated], np.float64)


def split_columns(x: Floats, layout: PredictorLayout, known: Floats) -> tuple[Floats, Floats]:
    """Inner columns of the free coefficients, and what the known ones add to the offset.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from hierbayes.columnmap import ColumnMap
    >>> layout = SimpleNamespace(map=ColumnMap(np.array([[1.0, -2.0], [0.0, 1.0]])))
    >>> split_columns(np.array([[1.0, 1.0], [1.0, 5.0]]), layout, np.array([np.nan, 10.0]))
    (array([[1.],
           [1.]]), array([-10.,  30.]))
    """
    free = np.isnan(known)
    inner = layout.map.inner_columns(x)
    return np.ascontiguousarray(inner[:, free]), inner[:, ~free] @ known[~free]


def all_coefficients(b: Floats, layout: PredictorLayout, known: Floats) -> Floats:
    """Draws of all coefficients (…, p), those of the user's columns, from draws of the free ones of inner columns."""
    full = np.empty((*b.shape[:-1], len(known)))
    full[..., np.isnan(known)] = b
    full[..., ~np.isnan(known)] = known[~np.isnan(known)]
    return layout.map.to_user(full)
