"""Survival of the responses beside what the model expects of them: Kaplan and Meier's estimate, and its curves."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from hierbayes.answers.draws import flatten
from hierbayes.answers.intervals import Interval
from hierbayes.answers.predict import Request, choose_groups
from hierbayes.answers.survival import Survival, check_times
from hierbayes.data.design import Design
from hierbayes.errors import UnsupportedError
from hierbayes.families.bounds import NONE, RIGHT
from hierbayes.simulation import thin
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
POINTS = 100  # of a curve


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """Survival estimated from responses alone: after each of k times at which some end.

    Attributes
    ----------
    times : ndarray (k,)
    survival, lower, upper : ndarray (k,)
        The estimate and the ends of its confidence interval, missing where nothing says how far off it is.
    censored : ndarray (c,)
        Where responses were last seen.
    """

    times: Array
    survival: Array
    lower: Array
    upper: Array
    censored: Array


def kaplan_meier(y: Array, right: NDArray[np.bool_], weights: Array | None, prob: float) -> KaplanMeier:
    """Kaplan and Meier's estimate, with Greenwood's variance on the scale of log(−log).

    Kalbfleisch & Prentice (2002), The Statistical Analysis of Failure Time Data, section 1.4.

    Parameters
    ----------
    y : ndarray (n,)
    right : ndarray of bool (n,)
        Which responses are censored: more than `y`.
    weights : ndarray (n,) or None
        How many rows each stands for.
    prob : float
        Of the confidence interval.

    Examples
    --------
    >>> found = kaplan_meier(np.array([1.0, 2.0, 3.0]), np.array([False, True, False]), None, 0.95)
    >>> found.times.tolist(), found.survival.round(3).tolist()
    ([1.0, 3.0], [0.667, 0.0])
    """
    weights = np.ones(len(y)) if weights is None else weights
    times = np.unique(y[~right & (weights > 0)])
    ended = np.array([weights[~right & (y == time)].sum() for time in times])
    at_risk = np.array([weights[y >= time].sum() for time in times])
    survival = np.cumprod(1.0 - ended / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(ended / (at_risk * (at_risk - ended)))
        log = np.log(survival)
        z = special.ndtri(0.5 + 0.5 * prob)
        width = np.where(survival > 0, z * np.sqrt(greenwood) / np.abs(log), np.nan)
        lower, upper = np.exp(log * np.exp(width)), np.exp(log * np.exp(-width))
    return KaplanMeier(times, survival, lower, upper, np.unique(y[right & (weights > 0)]))


@dataclass(frozen=True, eq=False)
class Curves:
    """The survival of the rows on average as a model expects it, at T times: mean, lower, upper (T,)."""

    times: Array
    mean: Array
    lower: Array
    upper: Array


def survival_beside(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, draws: int, interval: Interval
) -> tuple[KaplanMeier, Curves]:
    """Kaplan and Meier's estimate of the training responses, and the rows' mean survival in about `draws` draws.

    Raises
    ------
    UnsupportedError
        For responses that are truncated, or censored but on the right, and those that are no numbers.
    """
    assert design.y is not None, "only rows with a response can be checked"
    y = spec.family.support.sizes(design.y)
    last = float(y.max())
    times = check_times(spec.family, np.linspace(min(0.0, float(y.min())), last, POINTS))
    right = _right(spec, design)
    flat = flatten(spec, thin(posterior, draws))
    request = Request("linear", choose_groups(spec, "all"), "error", 0)
    weights = np.ones(len(y)) if design.weights is None else np.asarray(design.weights, np.float64)
    total = np.zeros((len(flat), len(times)))
    for places, values in Survival(spec, flat, design, request, times).chunks():
        total += np.einsum("n,snt->st", weights[places], values)
    expected = total / weights.sum()
    lower, upper = interval.bounds(expected)
    observed = kaplan_meier(y, right, design.weights, interval.prob)
    return observed, Curves(times, expected.mean(axis=0), lower, upper)


def only_right(spec: ModelSpec, design: Design) -> bool:
    """Whether all that is known of responses is that they are equal to, or more than, a number."""
    if {parameter.known for parameter in spec.family.known} & {"lb", "ub"}:
        return False
    return bool(np.isin(censoring(design), (NONE, RIGHT)).all())


def _right(spec: ModelSpec, design: Design) -> NDArray[np.bool_]:
    """Which responses are censored on the right: (n,)."""
    if not only_right(spec, design):
        raise UnsupportedError(
            "Kaplan and Meier's estimate is of responses that are exact or censored on the right, and some of these "
            "are truncated, or censored on the left or between two ends; residuals() and plot_residuals() know what "
            "is known of them"
        )
    return censoring(design) == RIGHT


def censoring(design: Design) -> Array:
    """How the response of each training row is censored, by brms's numbers: (n,)."""
    if "cens" not in design.predictors:
        return np.full(len(design), NONE)
    return np.asarray(design.predictors["cens"].offset)
