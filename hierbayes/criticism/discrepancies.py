"""Numbers behind the pictures of a model's fit: simulated responses beside the observed, effects beside their law."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from hierbayes.answers.draws import draws_of, flatten
from hierbayes.answers.intervals import Interval
from hierbayes.criticism.crossval import group_codes
from hierbayes.data.design import Design
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.simulation import simulate_responses, thin
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Replicates:
    """Observed responses and sets of responses simulated for the same rows.

    Attributes
    ----------
    observed : ndarray (n,)
        Of a response of several columns (n, m).
    simulated : ndarray (S, n)
        Or (S, n, m).
    trials : ndarray (n,) or None
        Of a binomial response.
    """

    observed: Array
    simulated: Array
    trials: Array | None

    def scored(self, scores: Array) -> "Replicates":
        """Categories, which are their places, as scores (K,)."""
        return replace(
            self, observed=scores[self.observed.astype(int)], simulated=scores[self.simulated.astype(int)]
        )

    def shares(self) -> "Replicates":
        """Successes as shares of the trials; rows without trials are left out. Other responses as they are."""
        if self.trials is None:
            return self
        some = self.trials > 0
        trials = self.trials[some].reshape(-1, *[1] * (self.observed.ndim - 1))
        return Replicates(self.observed[some] / trials, self.simulated[:, some] / trials, None)


def replicate(spec: ModelSpec, design: Design, posterior: xr.Dataset, draws: int, seed: int) -> Replicates:
    """About `draws` simulated sets of responses, of evenly spaced draws; 8 bytes × draws × rows."""
    assert design.y is not None, "only rows with a response can be checked"
    if spec.family.known_between is not None:
        raise UnsupportedError(
            "simulated responses are never censored, so the observed ones cannot be laid beside them; "
            "plot_ppc('survival') lays their survival beside the expected, and residuals() and plot_residuals() know "
            "what is censored"
        )
    flat = flatten(spec, thin(posterior, draws))
    (values,) = simulate_responses(spec, flat, design, seed).data_vars.values()
    return Replicates(design.y, values.to_numpy().reshape(-1, *design.y.shape), design.trials)


@dataclass(frozen=True, eq=False)
class LevelMeans:
    """Mean response of each level, observed (G,) and simulated (S, G), for the levels that have rows."""

    labels: NDArray[Any]
    observed: Array
    simulated: Array


def level_means(spec: ModelSpec, design: Design, replicates: Replicates, group: str) -> LevelMeans:
    """Mean responses by level; of a binomial response, successes over trials."""
    labels, codes = group_codes(spec, design, group)
    trials = np.ones(len(codes)) if replicates.trials is None else replicates.trials
    counts = np.bincount(codes, weights=trials, minlength=len(labels))
    some = counts > 0
    each = [np.bincount(codes, weights=row, minlength=len(labels))[some] for row in replicates.simulated]
    observed = np.bincount(codes, weights=replicates.observed, minlength=len(labels))[some]
    return LevelMeans(labels[some], observed / counts[some], np.array(each) / counts[some])


@dataclass(frozen=True, eq=False)
class Frequencies:
    """How often each value of a discrete response occurs: observed (k,), expected (k,), bounds (k,), (k,).

    `more` says whether larger values are counted with the last.
    """

    values: Array
    observed: Array
    expected: Array
    lower: Array
    upper: Array
    more: bool


def frequencies(replicates: Replicates, interval: Interval, largest: int = 200) -> Frequencies:
    """Counts of rows with each value 0, 1, …, up to the largest observed or expected in a thousandth of the rows.

    Larger values, and those above `largest`, are counted together, with the last.
    """
    y, simulated = replicates.observed, replicates.simulated
    top = int(min(max(y.max(), np.quantile(simulated, 0.999)), largest))
    values = np.arange(top + 1.0)

    def count(responses: Array) -> Array:
        whole = np.clip(responses[np.isfinite(responses)], 0, top).astype(np.int64)
        return np.bincount(whole, minlength=top + 1).astype(np.float64)

    counts = np.array([count(row) for row in simulated])
    lower, upper = interval.bounds(counts)
    more = bool(max(y.max(), np.nanmax(simulated)) > top)
    return Frequencies(values, count(y), counts.mean(axis=0), lower, upper, more)


@dataclass(frozen=True, eq=False)
class Statistic:
    """A statistic of the observed responses, of each simulated set (S,), and the share of sets that reach it."""

    name: str
    observed: float
    simulated: Array

    @property
    def p_value(self) -> float:
        """Posterior predictive p-value: share of simulated sets at least as large, ties counted half."""
        above, equal = self.simulated > self.observed, self.simulated == self.observed
        return float(above.mean() + 0.5 * equal.mean())


def statistic(
    replicates: Replicates, function: Callable[[Array], float], name: str | None = None
) -> Statistic:
    """``function(y)``, a number, of the observed and of every simulated set of responses.

    Raises
    ------
    DataError
        Where it does not return one number.
    """
    try:
        observed = float(function(replicates.observed))
        simulated = np.array([float(function(row)) for row in replicates.simulated])
    except (TypeError, ValueError) as error:
        raise DataError(
            "the statistic must take an array of responses and return one number, as numpy.std does; "
            f"it failed: {error}"
        ) from error
    return Statistic(name or str(getattr(function, "__name__", "statistic")), observed, simulated)


def share_of_zeros(y: Array) -> float:
    """Share of the responses that are 0."""
    return float(np.mean(y == 0))


@dataclass(frozen=True, eq=False)
class Scores:
    """Ordered standardised effects of G levels beside normal scores: expected (G,), mean (G,), lower, upper."""

    expected: Array
    mean: Array
    lower: Array
    upper: Array


def level_scores(
    spec: ModelSpec, posterior: xr.Dataset, parameter: str, factor: Factor, effect: str, interval: Interval
) -> Scores:
    """Effects over their standard deviation in each draw, ordered in each draw, against normal quantiles.

    In every draw the standardised effects of a model that fits look like a standard normal sample (Yuan & Johnson
    2012, Biometrics 68(1)); posterior means would not, because they are shrunk. Where their law is not normal they are
    the normal numbers of the same probabilities under it. Blom's plotting positions.
    """
    variables, place = spec.factor_variables(parameter, factor), factor.effects.index(effect)
    r = posterior[variables["r"].name].transpose("chain", "draw", *variables["r"].dims).to_numpy()
    shapes = [draws_of(posterior, variable) for variable in spec.shape_variables(parameter, factor)]
    law = [value.reshape(-1, 1) for value in factor.law_values(shapes)]
    r = factor.unrelated(r, shapes)[0][..., place]
    if factor.kinds is not None and factor.relations is None:  # which makes them directions, without kinds
        r = r[..., factor.has[:, place]]
    sd = posterior[variables["sd"].name].transpose("chain", "draw", ...).to_numpy()[..., place]
    scores = (r / np.maximum(sd, np.finfo(float).tiny)[..., None]).reshape(-1, r.shape[-1])
    ordered = np.sort(factor.law.normal_scores(scores, *law), axis=1)
    lower, upper = interval.bounds(ordered)
    levels = r.shape[-1]
    expected = special.ndtri((np.arange(1, levels + 1) - 0.375) / (levels + 0.25))
    return Scores(expected, ordered.mean(axis=0), lower, upper)
