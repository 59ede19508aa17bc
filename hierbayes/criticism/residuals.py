"""Quantile residuals and tests of them: DHARMa's, against what the rows' own response has not taught the model.

Each row's response is placed in its predictive distribution: the probability of less than it, for discrete responses a
uniform number between the probabilities of less and of no more (Dunn & Smyth 1996, JCGS 5(3); Hartig, DHARMa 0.4,
``getQuantile(method = "PIT")``, which takes shares of simulated responses for the probabilities). The posterior's own
distribution would sit too close to the response, because the effects of its group have seen it: of a true model with
twelve rows a level and two effects the residuals' variance would be a quarter too small, and every test would say so.
So the distribution is that of the posterior without the row (`heldout`), and the residuals of a model that fits are
uniform on (0, 1), whatever the family.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import special, stats

from hierbayes.answers.draws import flatten
from hierbayes.answers.latents import as_new
from hierbayes.answers.predict import (
    CHUNK_ENTRIES,
    Request,
    choose_groups,
    evaluate_predictors,
    row_chunks,
    scores_of,
)
from hierbayes.answers.series import EARLIER, OTHERS, given_others
from hierbayes.criticism.heldout import hold_out, replicate_rows
from hierbayes.criticism.likelihood import (
    log_densities,
    log_densities_given_measurements,
    without_own_values,
)
from hierbayes.data.design import Design
from hierbayes.errors import UnsupportedError
from hierbayes.simulation import thin
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
TAIL = 1 / 251  # an outlier is one that DHARMa's 250 simulations would not reach
REPLICATES = 250, 1000  # sets of responses that a statistic is held against: of many rows, of few
RESPONSES = 20_000_000  # replicated responses from which on the sets become fewer


@dataclass(frozen=True, eq=False)
class Residuals:
    """Rows against their predictive distributions.

    Attributes
    ----------
    table : pandas.DataFrame
        One row an observation: observed, of ordered categories the score; fitted and sd, the mean and standard
        deviation of a response there; residual (observed − fitted, missing where the response is censored), pearson
        (residual / sd, missing where there is no sd), quantile (on (0, 1), uniform where the model fits) and pareto_k
        of its weights, missing where they are so even that they need no smoothing.
    tests : pandas.DataFrame
        One row a test, its name the index: observed, expected, ratio, p_value.
    """

    table: pd.DataFrame
    tests: pd.DataFrame

    @property
    def have_means(self) -> bool:
        """Whether the response has fitted means; angles, and categories in no order, have none."""
        return bool(self.table["fitted"].notna().any())


def residuals(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, draws: int | None, seed: int
) -> Residuals:
    """Residuals and their tests, from about `draws` draws; in chunks, so memory stays bounded.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    draws : int or None
        Evenly spaced draws of the posterior to use; None for all.
    seed : int
        Of the randomised quantiles of discrete responses, and of the sets of responses behind the p-values.

    Notes
    -----
    Dispersion is the mean squared Pearson residual, held against independent responses from the same predictive
    distributions. Of a family that may have no variance it is the mean square of the quantile residuals' normal scores
    (Dunn & Smyth 1996), a chi-squared variable over its degrees of freedom.
    """
    y = design.y
    assert y is not None, "only rows with a response have residuals"
    family = spec.family
    if family.support.columns:
        raise UnsupportedError(
            f"residuals place one number in its distribution, and a response of family {family.name!r} has several "
            "columns; plot_ppc() has the shares of each beside simulated ones, loo() each row's predictive density"
        )
    flat = flatten(spec, thin(posterior, draws))
    request = Request("linear", choose_groups(spec, "all"), "error", seed)
    fitted, variance, below, upto, zero, k = (np.empty(len(y)) for _ in range(6))
    sets = int(np.clip(RESPONSES // max(len(y), 1), *REPLICATES))
    squares, zeros, censored = np.zeros(sets), np.zeros(sets), np.zeros(len(y), np.bool_)
    counted = family.support.counts
    chunks = row_chunks(spec, flat, design, request, CHUNK_ENTRIES // 4)
    for number, (part, rows, effects) in enumerate(chunks):
        left_out = None
        if spec.integrates_latents:
            eta, aux = without_own_values(spec, flat, rows, request, effects)
        else:
            anew = as_new(spec, rows) if spec.layout.latents else rows
            eta, aux = evaluate_predictors(spec, flat, anew, request, effects)
            if spec.layout.latents:
                left_out = log_densities_given_measurements(spec, flat, rows, request, effects)
        if rows.series is not None:
            left_out = log_densities(spec, rows, *given_others(spec, rows, eta, aux, OTHERS))
            eta, aux = given_others(spec, rows, eta, aux, EARLIER)
        found = hold_out(spec, rows, eta, aux, left_out)
        fitted[part], variance[part], k[part] = found.mean, found.variance, found.pareto_k
        below[part], upto[part], zero[part] = (
            found.below,
            found.upto,
            np.where(found.censored, 0.0, found.zero),
        )
        censored[part] = found.censored
        if family.has_variance or counted:
            rng = np.random.default_rng([seed, 3, number])
            responses = replicate_rows(spec, rows, eta, aux, found.weights, sets, rng)
            squares += np.nansum(
                _standardised(family.support.sizes(responses), found.mean, found.variance), axis=1
            )
            zeros += (responses[:, ~found.censored] == 0).sum(axis=1)
    quantile = np.random.default_rng([seed, 2]).uniform(below, np.maximum(below, upto))
    if family.support.categories and family.support.ordered:
        y = scores_of(spec)[y.astype(np.int64)]
    y = family.support.sizes(y)
    # categories have no variance, not an infinite one
    nothing = np.nan if family.variance is None else np.inf
    sd = np.sqrt(np.where(np.isfinite(variance), variance, nothing))
    residual = np.where(censored, np.nan, y - fitted)
    columns = {"observed": y, "fitted": fitted, "sd": sd, "residual": residual}
    pearson = residual / np.where((sd > 0) & np.isfinite(sd), sd, np.nan)
    columns |= {"pearson": pearson, "quantile": quantile, "pareto_k": k}
    tests = {"uniformity": _uniformity(quantile)}
    if family.has_variance:
        varying = np.isfinite(pearson).sum()
        observed = np.nansum(np.square(pearson)) / varying
        tests["dispersion"] = observed, 1.0, _two_sided(observed, squares / varying)
    else:
        tests["dispersion"] = _spread_of_scores(quantile)
    tests["outliers"] = _outliers(quantile)
    if counted:
        observed = float((y[~censored] == 0).sum())
        tests["zeros"] = observed, zero.sum(), _two_sided(observed, zeros)
    frame = pd.DataFrame.from_dict(tests, orient="index", columns=["observed", "expected", "p_value"])
    frame.index.name = "test"
    frame.insert(2, "ratio", frame["observed"] / frame["expected"].where(frame["expected"] > 0))
    return Residuals(pd.DataFrame(columns, index=design.index), frame)


def _standardised(y: Array, mean: Array, variance: Array) -> Array:
    """Squared distance from the mean over the variance; missing where nothing varies."""
    return np.square(y - mean) / np.where((variance > 0) & np.isfinite(variance), variance, np.nan)


def normal_scores(quantile: Array) -> Array:
    """Quantile residuals carried to the normal distribution, finite where they are 0 or 1 to rounding.

    Examples
    --------
    >>> normal_scores(np.array([0.025, 0.5])).round(2).tolist()
    [-1.96, 0.0]
    """
    return special.ndtri(np.clip(quantile, 1e-15, 1 - 1e-15))


def _spread_of_scores(quantile: Array) -> tuple[float, float, float]:
    """Mean square of normal scores, 1, and its two-sided p-value as that of a chi-squared variable."""
    total, n = np.square(normal_scores(quantile)).sum(), len(quantile)
    tail = min(stats.chi2.sf(total, n), stats.chi2.cdf(total, n))
    return float(total / n), 1.0, float(2 * tail)


def _uniformity(quantile: Array) -> tuple[float, float, float]:
    """Kolmogorov and Smirnov's distance from the uniform distribution, its mean under it, and the p-value."""
    found = stats.kstest(quantile, "uniform")
    expected = np.sqrt(np.pi / 2) * np.log(2) / np.sqrt(len(quantile))  # mean of Kolmogorov's distribution
    return float(found.statistic), float(expected), float(found.pvalue)


def _two_sided(observed: float, simulated: Array) -> float:
    """p-value of an observed value among simulated ones, as DHARMa's ``testGeneric``: twice the smaller tail."""
    tail = min(np.mean(simulated >= observed), np.mean(simulated <= observed))
    return float(min(1.0, 2 * tail))


def _outliers(quantile: Array) -> tuple[float, float, float]:
    """Rows whose quantile residual is as far out as DHARMa's default of 250 simulations would never reach."""
    outside = int(((quantile < TAIL) | (quantile > 1 - TAIL)).sum())
    return (
        float(outside),
        len(quantile) * 2 * TAIL,
        float(stats.binomtest(outside, len(quantile), 2 * TAIL).pvalue),
    )
