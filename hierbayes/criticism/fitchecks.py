"""Findings about the fit of a model: do the responses look as it says, and can they be where it says."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import flatten
from hierbayes.answers.predict import Request, choose_groups, evaluate_predictors, row_chunks
from hierbayes.criticism.findings import Finding
from hierbayes.data.design import Design
from hierbayes.simulation import thin
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
DRAWS, ROWS = 400, 4000  # of a posterior and of a table that are looked at, evenly spaced
FEWEST_DRAWS, FEWEST_ROWS = 100, 20  # from which on anything is said
SURE = 1e-3  # p-value
APART = 0.05  # of two distribution functions: what is less hardly changes an answer
DISPERSION = 0.8, 1.25  # variances relative to the model's that hardly change an answer
EXPECTED = 4.0  # impossible responses: of so many or more none is seen with probability 0.02
COUNTS_FAMILY = {"poisson": "negbinomial", "binomial": "betabinomial"}


def check_fit(spec: ModelSpec, design: Design, posterior: xr.Dataset) -> Iterator[Finding]:
    """Whether the training responses look like draws from the model.

    Quantile residuals of rows left out (`criticism.residuals`) should be uniform, and their variance the model's; and a
    response that is never negative should not be expected to be. Of many rows some are looked at.
    """
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    if len(design) < FEWEST_ROWS or draws < FEWEST_DRAWS or spec.family.cdf is None:
        return
    places = np.unique(np.linspace(0, len(design) - 1, min(len(design), ROWS)).astype(np.int64))
    rows = design.rows(places)
    of = f"{len(rows):,} rows" + (f", evenly spaced among {len(design):,}" if len(rows) < len(design) else "")
    outside = list(_check_support(spec, rows, posterior, of))
    yield from outside
    from hierbayes.criticism.residuals import residuals  # scipy.stats takes its time

    tests = residuals(spec, rows, posterior, DRAWS, 0).tests
    yield from _check_uniform(spec, tests, of, bool(outside))
    yield from _check_dispersion(spec, tests, of)


def _check_uniform(spec: ModelSpec, tests: pd.DataFrame, of: str, outside: bool) -> Iterator[Finding]:
    found = tests.loc["uniformity"]
    if found["p_value"] < SURE and found["observed"] > APART:
        yield Finding(
            "residuals-not-uniform",
            f"the responses do not lie as family {spec.family.name!r} says: their quantile residuals are up to "
            f"{found['observed']:.2f} from uniform, where {found['expected']:.2f} is usual ({of})",
            "Begin with the family that the response's range asks for, and look again"
            if outside
            else "plot_ppc() and plot_residuals('fitted') show where; try another family, link, or term",
        )


def _check_dispersion(spec: ModelSpec, tests: pd.DataFrame, of: str) -> Iterator[Finding]:
    found = tests.loc["dispersion"]
    low, high = DISPERSION
    if not (found["p_value"] < SURE and not low <= found["ratio"] <= high):
        return
    more = found["ratio"] > high
    wider = COUNTS_FAMILY.get(spec.family.name)
    yield Finding(
        "dispersion",
        f"the responses vary {found['ratio']:.3g} times as much about their means as the model says ({of})",
        f"Family {wider!r} has a parameter for it, as has an effect a row; intervals are too narrow as they are"
        if more and wider
        else "Intervals are too narrow as they are: look for a term that is missing, or for rows far from all others"
        if more
        else "Intervals are too wide as they are: the responses are not independent draws, or are bounded",
    )


def _check_support(spec: ModelSpec, rows: Design, posterior: xr.Dataset, of: str) -> Iterator[Finding]:
    """Responses that are never below 0, or always between 0 and 1, under a family of any number."""
    y, name = rows.y, spec.layout.response.name
    if (
        y is None
        or spec.family.support.signed
        or y.min() < 0
        or not spec.family.support.contains(np.array([-1.0]), np.ones(1)).all()
    ):
        return
    high = 1.0 if y.max() <= 1 else np.inf
    below, above = _expected_outside(spec, rows, posterior, high)
    if below + above < EXPECTED:
        return
    parts = [f"{below:.3g} below 0"] * (below > 0.1) + [f"{above:.3g} above 1"] * (above > 0.1)
    if np.isfinite(high):
        range_, families = "between 0 and 1", "'bernoulli' for 0 and 1, 'beta' for shares between them"
    elif y.min() > 0:
        range_, families = "above 0", "'lognormal' or 'gamma'"
    else:
        range_ = "0 or more"
        families = "'poisson' or 'negbinomial' if it is a count; else model zeros and positive values apart"
    yield Finding(
        "impossible-responses",
        f"{name!r} is {range_} in every row, and the model expects {' and '.join(parts)} ({of})",
        f"Take a family that has no such responses: {families}",
    )


def _expected_outside(
    spec: ModelSpec, rows: Design, posterior: xr.Dataset, high: float
) -> tuple[float, float]:
    """How many responses of these rows the posterior expects below 0, and above `high`."""
    draws = flatten(spec, thin(posterior, DRAWS))
    request = Request("linear", choose_groups(spec, "all"), "error", 0)
    below = above = 0.0
    for _, part, effects in row_chunks(spec, draws, rows, request):
        eta, aux = evaluate_predictors(spec, draws, part, request, effects)
        responses = spec.family.at(eta, aux, spec.link)
        below += float(responses.cdf(np.zeros(len(part)), part.trials).mean(axis=0).sum())
        if np.isfinite(high):
            upto = responses.cdf(np.full(len(part), high), part.trials)
            above += float((1 - upto).mean(axis=0).sum())
    return below, above
