"""Quantile residuals and tests of them: DHARMa's, against what the rows' own response has not taught the model.

Each row's response is placed among responses simulated for that row: the share of simulations below it, for discrete
responses a uniform number between the shares below and not above it (Dunn & Smyth 1996, JCGS 5(3); Hartig, DHARMa
0.4, ``getQuantile(method = "PIT")``). Simulations of the posterior would sit too close to the response, because the
effects of its group have seen it: of a true model with twelve rows a level and two effects the residuals' variance
would be a quarter too small, and every test would say so. So simulations are weighted by leave-one-out weights
(`importance.smoothed_weights`), and the residuals of a model that fits are uniform on (0, 1), whatever the
family (Gelfand, Dey & Chang 1992; Vehtari, Gelman & Gabry 2017, Statistics and Computing 27).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from hierbayes.answers.draws import flatten
from hierbayes.answers.predict import CHUNK_ENTRIES, Request, choose_groups, evaluate_predictors, row_chunks
from hierbayes.criticism.importance import smoothed_weights
from hierbayes.criticism.likelihood import log_densities
from hierbayes.data.design import Design
from hierbayes.simulation import thin
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
EVEN = 0.7  # weights with so large a share of effective draws need no smoothing
TAIL = 1 / 251  # an outlier is one that DHARMa's 250 simulations would not reach


@dataclass(frozen=True, eq=False)
class Residuals:
    """Rows against responses simulated for them.

    Attributes
    ----------
    table : pandas.DataFrame
        One row an observation: observed, fitted (mean of its simulations), sd (of its simulations), residual
        (observed − fitted), pearson (residual / sd), quantile (on (0, 1), uniform where the model fits) and pareto_k
        of its weights, missing where they are so even that they need no smoothing.
    tests : pandas.DataFrame
        One row a test, its name the index: observed, expected, ratio, p_value.
    """

    table: pd.DataFrame
    tests: pd.DataFrame


def residuals(spec: ModelSpec, design: Design, posterior: xr.Dataset, draws: int, seed: int) -> Residuals:
    """Residuals and their tests, from about `draws` simulations a row; in chunks, so memory stays bounded.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    draws : int
        Simulations of each row, of evenly spaced draws of the posterior.
    seed : int
        Of the simulations and of the randomised quantiles.
    """
    y = design.y
    assert y is not None, "only rows with a response have residuals"
    flat = flatten(spec, thin(posterior, draws))
    request = Request("linear", choose_groups(spec, "all"), "error", seed)
    fitted, sd, below, upto, k = (np.empty(len(y)) for _ in range(5))
    squares, zeros = np.zeros(len(flat)), np.zeros(len(flat))  # of each set of independent replicates
    chunks = row_chunks(spec, flat, design, request, CHUNK_ENTRIES // 4)
    for number, (part, rows, effects) in enumerate(chunks):
        here, rng = y[part], np.random.default_rng([seed, 3, number])
        eta, aux = evaluate_predictors(spec, flat, rows, request, effects)
        simulated = spec.family.simulate(rng, eta, aux, spec.link, rows.trials)
        weights, k[part] = _weights(log_densities(spec, rows, eta, aux))
        fitted[part] = (weights * simulated).sum(axis=0)
        sd[part] = np.sqrt((weights * np.square(simulated - fitted[part])).sum(axis=0))
        below[part] = (weights * (simulated < here)).sum(axis=0)
        upto[part] = (weights * (simulated <= here)).sum(axis=0)
        replicates = _resampled(simulated, weights, rng)
        squares += _standardised(replicates, fitted[part], sd[part]).sum(axis=1)
        zeros += (replicates == 0).sum(axis=1)
    # rounding of the weights' sum must not reach beyond 1
    quantile = np.random.default_rng([seed, 2]).uniform(np.minimum(below, 1.0), np.clip(upto, 0.0, 1.0))
    residual = y - fitted
    columns = {"observed": y, "fitted": fitted, "sd": sd, "residual": residual}
    columns |= {"pearson": residual / np.where(sd > 0, sd, np.nan), "quantile": quantile, "pareto_k": k}
    observed = float(_standardised(y, fitted, sd).sum())
    tests = {
        "uniformity": _uniformity(quantile),
        "dispersion": _two_sided(observed / len(y), squares / len(y)),
        "outliers": _outliers(quantile),
    }
    if spec.family.support.whole and not spec.family.support.two_levels:
        tests["zeros"] = _two_sided(float((y == 0).sum()), zeros)
    frame = pd.DataFrame.from_dict(tests, orient="index", columns=["observed", "expected", "p_value"])
    frame.index.name = "test"
    frame.insert(2, "ratio", frame["observed"] / frame["expected"].where(frame["expected"] > 0))
    return Residuals(pd.DataFrame(columns, index=design.index), frame)


def _weights(log_likelihood: Array) -> tuple[Array, Array]:
    """Leave-one-out weights (S, k), and Pareto k of the columns whose weights were uneven enough to be smoothed."""
    with np.errstate(over="ignore", invalid="ignore"):
        weights = np.exp(np.min(log_likelihood, axis=0) - log_likelihood)
        weights /= weights.sum(axis=0)
        effective = 1 / np.square(weights).sum(axis=0)
    k = np.full(weights.shape[1], np.nan)
    uneven = ~(effective > EVEN * len(weights))
    if uneven.any():
        logs, k[uneven] = smoothed_weights(log_likelihood[:, uneven], 1.0)
        weights[:, uneven] = np.exp(logs)
    return weights, k


def _resampled(simulated: Array, weights: Array, rng: np.random.Generator) -> Array:
    """Each column drawn anew by its weights, in an order of its own: (S, k)."""
    draws, columns = simulated.shape
    edges = np.cumsum(weights, axis=0)
    edges /= edges[-1]
    # one search for all columns: column j's edges lie in (j, j + 1]
    shift = np.arange(columns)
    wanted = rng.uniform(size=(draws, columns)) + shift
    places = (
        np.searchsorted((edges + shift).T.ravel(), wanted.T.ravel(), side="right").reshape(columns, draws).T
    )
    return np.take_along_axis(simulated, np.clip(places - shift * draws, 0, draws - 1), axis=0)


def _standardised(y: Array, mean: Array, sd: Array) -> Array:
    """Squared distance from the mean in standard deviations; 0 where nothing varies."""
    scaled: Array = np.square(y - mean) / np.where(sd > 0, np.square(sd), np.inf)
    return scaled


def _uniformity(quantile: Array) -> tuple[float, float, float]:
    """Kolmogorov and Smirnov's distance from the uniform distribution, its mean under it, and the p-value."""
    found = stats.kstest(quantile, "uniform")
    expected = np.sqrt(np.pi / 2) * np.log(2) / np.sqrt(len(quantile))  # mean of Kolmogorov's distribution
    return float(found.statistic), float(expected), float(found.pvalue)


def _two_sided(observed: float, simulated: Array) -> tuple[float, float, float]:
    """An observed value among simulated ones, as DHARMa's ``testGeneric``: twice the smaller tail."""
    tail = min(np.mean(simulated >= observed), np.mean(simulated <= observed))
    return observed, float(simulated.mean()), float(min(1.0, 2 * tail))


def _outliers(quantile: Array) -> tuple[float, float, float]:
    """Rows whose quantile residual is as far out as DHARMa's default of 250 simulations would never reach."""
    outside = int(((quantile < TAIL) | (quantile > 1 - TAIL)).sum())
    return (
        float(outside),
        len(quantile) * 2 * TAIL,
        float(stats.binomtest(outside, len(quantile), 2 * TAIL).pvalue),
    )
