"""Differences between situations, as posteriors."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.intervals import Interval, labelled, measure, when_needed
from hierbayes.answers.predict import (
    Request,
    as_scores,
    categories_of,
    predict_chunks,
    predict_pairs,
    with_categories,
)
from hierbayes.data.design import Design
from hierbayes.data.latent import LatentRows
from hierbayes.errors import DataError
from hierbayes.spec import ModelSpec

ENTRIES = 40_000_000  # draws × rows of averages; of larger tables evenly spaced draws are used


def compare(
    spec: ModelSpec, draws: Draws, rows_a: Any, rows_b: Any, request: Request, interval: Interval
) -> pd.DataFrame:
    """Posterior of prediction(a) − prediction(b): mean, sd, lower, upper, p_greater.

    Both sides are predicted in one table, so that a new level standing on both sides is one group; and so is the
    unknown group of the first row on one side and of the first on the other, and so on. Equally many rows are compared
    one by one; otherwise each side is averaged within each draw, of large tables in evenly spaced draws.
    """
    a = spec.layout.read_new(rows_a, request.groups, "rows_a", request.unknown)
    b = spec.layout.read_new(rows_b, request.groups, "rows_b", request.unknown)
    if not (len(a) and len(b)):
        raise DataError(
            f"{'rows_a' if len(b) else 'rows_b'} has no rows; a comparison needs at least one on each side"
        )
    both = spec.layout.bind_new(pd.concat([a, b], ignore_index=True), request.groups, request.unknown)
    both = _share_unknown(spec, both, len(a))
    levels = categories_of(spec, request)
    if len(a) == len(b):
        tables = [
            _measure(as_scores(spec, request, left) - as_scores(spec, request, right), interval)
            for left, right in predict_pairs(spec, draws, both, request)
        ]
        return labelled(_indexed(when_needed(pd.concat(tables)), a.index, levels), interval)
    draws = draws.thinned(ENTRIES // (len(both) * max(len(levels), 1)))
    averages = np.zeros((max(len(levels), 1), len(draws), 2))
    weights = np.zeros((len(both), 2))
    weights[: len(a), 0], weights[len(a) :, 1] = 1 / len(a), 1 / len(b)
    for part, values in predict_chunks(spec, draws, both, request):
        averages += (np.moveaxis(values, -1, 0) if levels else as_scores(spec, request, values)) @ weights[
            part
        ]
    difference = (averages[..., 0] - averages[..., 1]).T
    return labelled(
        _indexed(when_needed(_measure(difference, interval)), pd.Index(["average"]), levels), interval
    )


def _indexed(table: pd.DataFrame, index: pd.Index, levels: tuple[Any, ...]) -> pd.DataFrame:
    """A table with a row an entry of the index, or one for each of its categories."""
    return table.set_axis(with_categories(index, levels) if levels else index)


def _share_unknown(spec: ModelSpec, both: Design, first: int) -> Design:
    """Rows of two sides, `first` of them the first one's: an unknown group is that of a row on both sides."""
    pairs = min(first, len(both) - first)
    predictors = {}
    for parameter, bound in both.predictors.items():
        factors = {}
        levels = {factor.name: len(factor.levels) for factor in spec.layout.predictors[parameter].factors}
        for name, factor in bound.factors.items():
            known = levels[name]
            missing = np.array([False] * known + [label is None for label in factor.new])
            left, right = np.arange(pairs), first + np.arange(pairs)
            memberships = []
            for each in factor.memberships:
                shared = missing[each.codes[left]] & missing[each.codes[right]]
                codes = each.codes.copy()
                codes[right[shared]] = codes[left[shared]]
                memberships.append(replace(each, codes=codes))
            factors[name] = replace(factor, memberships=tuple(memberships))
        drawn = {name: _share_measured(rows, first, pairs) for name, rows in bound.drawn.items()}
        predictors[parameter] = replace(bound, factors=factors, drawn=drawn)
    return replace(both, predictors=predictors)


def _share_measured(rows: LatentRows, first: int, pairs: int) -> LatentRows:
    """What rows say of a predictor whose values are drawn: the same measurement on both sides is of one value."""
    left, right, codes = np.arange(pairs), first + np.arange(pairs), rows.codes.copy()
    same = (rows.values[left] == rows.values[right]) & (rows.sds[left] == rows.sds[right])
    codes[right[same]] = codes[left[same]]
    return replace(rows, codes=codes)


def _measure(difference: NDArray[np.float64], interval: Interval) -> pd.DataFrame:
    """Draws of differences (S, k), or (S, k, K) of categories, as k rows or k K; a tie counts half."""
    difference = difference.reshape(len(difference), -1)
    greater = np.mean(difference > 0, axis=0) + 0.5 * np.mean(difference == 0, axis=0)
    return pd.DataFrame(measure(difference, interval)).assign(p_greater=greater)
