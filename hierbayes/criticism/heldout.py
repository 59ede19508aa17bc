"""Each row's predictive distribution without the row itself: its mean, variance, distribution function, responses.

Leaving a row out weights the draws by one over the density of its response (Gelfand, Dey & Chang 1992; Vehtari, Gelman
& Gabry 2017, Statistics and Computing 27). Given a draw, the family knows the mean, the variance and the distribution
function of a response; so those of the mixture are weighted averages, and nothing is simulated to find them.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hierbayes.answers.pareto import tail_size
from hierbayes.answers.predict import scores_of
from hierbayes.criticism.importance import FEWEST, smoothed_weights
from hierbayes.criticism.likelihood import log_densities
from hierbayes.criticism.psis import largest, smooth
from hierbayes.data.design import Design
from hierbayes.engine.core.routine import run
from hierbayes.families import Values
from hierbayes.kinds import ParameterValues
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
Places = NDArray[np.int64]
PICK = "hierbayes.criticism.resampling.pick"
EVEN = 0.7  # weights with so large a share of effective draws need no smoothing


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictive distributions of k rows, each without its own response, as mixtures over S draws.

    Attributes
    ----------
    weights : ndarray (S, k)
        Of the draws; those of a row sum to 1.
    pareto_k : ndarray (k,)
        Missing where the weights are so even that they need no smoothing.
    mean, variance : ndarray (k,)
        The variance is infinite, or not a number, where a draw has none.
    below, upto : ndarray (k,)
        Probabilities of less than the response, and of no more than it; of a continuous response the same. Of a
        censored one, of less and of no more than it may be.
    zero : ndarray (k,)
        Probability of 0, where responses are counts; else 0.
    censored : ndarray of bool (k,)
        Which responses are known to lie between two ends only.
    """

    weights: Array
    pareto_k: Array
    mean: Array
    variance: Array
    below: Array
    upto: Array
    zero: Array
    censored: NDArray[np.bool_]


def hold_out(
    spec: ModelSpec, rows: Design, eta: Array, aux: Values, left_out: Array | None = None
) -> HeldOut:
    """The predictive distribution of each row.

    Parameters
    ----------
    rows : Design
        k rows with their response.
    eta : ndarray (S, k)
        The mean's linear predictor in each draw.
    aux : mapping of str to ndarray
        The family's own parameters, which broadcast against `eta`.
    left_out : ndarray (S, k), optional
        Log density of each row given all others, where that is not its density at these parameters.

    Notes
    -----
    With weights w_s, mean Σ w_s μ_s; variance Σ w_s (V_s + (μ_s − mean)²), the law of total variance; and P(Y ≤ y) =
    Σ w_s F(y | s).
    """
    assert rows.y is not None, "only rows with a response can be held out"
    family, y = spec.family.of_row, rows.y
    density = log_densities(spec, replace(rows, weights=None), eta, aux)
    counted = density if rows.weights is None else np.where(rows.weights > 0, rows.weights * density, 0.0)
    weights, k = leave_one_out_weights(counted if left_out is None else left_out)
    if family.support.categories and family.support.ordered:  # by their scores
        scores, p = scores_of(spec), spec.at(eta, aux).probabilities()
        centres = p @ scores
        variances = p @ np.square(scores) - np.square(centres)
    elif family.mean is None or family.variance is None:  # categories in no order
        centres = variances = np.full((1, len(y)), np.nan)
    else:
        centres, variances = spec.at(eta, aux).moments(rows.trials)
    with np.errstate(invalid="ignore"):  # draws without weight that have no variance
        mean = _average(weights, centres)
        variance = _average(weights, variances + np.square(centres - mean))
        upto = _average(weights, spec.at(eta, aux).upto(y, rows.trials))
    below, zero = upto, np.zeros(len(y))
    in_steps = spec.at(eta, aux).in_steps(y)
    if in_steps.any():
        below = np.where(in_steps, upto - _average(weights, np.exp(density)), upto)
    if family.support.counts:
        nothing = replace(rows, y=np.zeros(len(y)), weights=None)
        zero = _average(weights, np.exp(log_densities(spec, nothing, eta, aux)))
    # rounding must not reach beyond 0 and 1
    below, upto = np.clip(below, 0.0, 1.0), np.clip(upto, 0.0, 1.0)
    return HeldOut(weights, k, mean, variance, below, upto, zero, spec.at(eta, aux).censored(y))


def _average(weights: Array, values: Array) -> Array:
    """Weighted mean over the draws, which lie side by side in memory: (S, k) → (k,)."""
    return np.vecdot(weights.T, np.broadcast_to(values, weights.shape).T)


def leave_one_out_weights(log_likelihood: Array) -> tuple[Array, Array]:
    """Leave-one-out weights (S, k), and Pareto k of the columns whose weights were uneven enough to be smoothed."""
    with np.errstate(over="ignore", invalid="ignore"):
        weights = np.exp(np.min(log_likelihood, axis=0) - log_likelihood)
        total = weights.sum(axis=0)
        effective = total**2 / np.vecdot(weights.T, weights.T)
    k = np.full(weights.shape[1], np.nan)
    draws = len(weights)
    uneven = ~(effective > EVEN * draws)
    usual = np.flatnonzero(uneven & np.isfinite(effective) & (draws >= FEWEST))
    if len(usual):
        raw = np.ascontiguousarray(weights[:, usual].T)
        places = largest(raw, tail_size(draws, 1.0) + 1)
        tail = np.take_along_axis(raw, places, 1)
        smoothed, k[usual] = smooth(tail[:, 1:], tail[:, 0])
        np.put_along_axis(raw, places[:, 1:], smoothed, 1)
        weights[:, usual], total[usual] = raw.T, raw.sum(axis=1)
    impossible = np.flatnonzero(~np.isfinite(effective))  # responses that cannot occur in some of the draws
    if len(impossible):
        logs, k[impossible] = smoothed_weights(log_likelihood[:, impossible], 1.0)
        weights[:, impossible], total[impossible] = np.exp(logs), 1.0
    weights /= total
    return weights, k


def replicate_rows(
    spec: ModelSpec,
    rows: Design,
    eta: Array,
    aux: Values,
    weights: Array,
    replicates: int,
    rng: np.random.Generator,
) -> Array:
    """Responses drawn from each row's predictive distribution, independently of other rows': (replicates, k)."""
    places = _draw_places(weights, replicates, rng)

    def picked(values: Array) -> Array:
        """Of values (S, k or 1, …) those of the places: (replicates, k, …)."""
        columns = np.zeros_like(places) if values.shape[1] == 1 else np.arange(len(places))[:, None]
        return np.swapaxes(values[places, columns], 0, 1)

    own = {
        name: values.map(picked) if isinstance(values, ParameterValues) else picked(values)
        for name, values in aux.items()
    }
    return spec.at(picked(eta), own).simulate(rng, rows.trials)


def _draw_places(weights: Array, replicates: int, rng: np.random.Generator) -> Places:
    """Draws of each column by its weights, begun at a place of its own: (k, replicates).

    Systematic resampling: as often as its weight says, rounded up or down. Columns begin at random draws, so that in
    one replicate the draws of different columns have nothing to do with each other.
    """
    columns = weights.shape[1]
    places = np.empty((columns, replicates), dtype=np.int64)
    turns = rng.integers(replicates, size=(columns,))
    run(PICK, np.ascontiguousarray(weights.T), rng.uniform(size=(columns,)), turns, places)
    return places
