"""Differences between situations, as posteriors."""

from typing import Any

import numpy as np
import pandas as pd

from hierbayes.design import Layout
from hierbayes.errors import DataError
from hierbayes.intervals import Interval, labelled, summarise
from hierbayes.predict import Draws, Request, predict_draws
from hierbayes.spec import ModelSpec
from hierbayes.tables import read_columns


def compare(
    spec: ModelSpec, draws: Draws, rows_a: Any, rows_b: Any, request: Request, interval: Interval
) -> pd.DataFrame:
    """Posterior of prediction(a) − prediction(b): mean, sd, lower, upper, p_greater.

    Both sides are predicted in one table, so that a new level standing on both sides is one group. Equally many rows
    are compared one by one; otherwise each side is averaged within each draw.
    """
    columns = _columns(spec.layout, request)
    a = read_columns(rows_a, columns[0], optional=columns[1], words="rows_a")
    b = read_columns(rows_b, columns[0], optional=columns[1], words="rows_b")
    if not (len(a) and len(b)):
        raise DataError(f"{'rows_a' if len(b) else 'rows_b'} has no rows; a comparison needs at least one on each side")
    both = pd.concat([a, b], ignore_index=True)
    values = predict_draws(spec, draws, spec.layout.bind_new(both, request.groups), request).to_numpy()
    flat = values.reshape(-1, len(both))
    left, right = flat[:, : len(a)], flat[:, len(a) :]
    if len(a) == len(b):
        difference, index = left - right, a.index
    else:
        difference, index = (left.mean(axis=1) - right.mean(axis=1))[:, None], pd.Index(["average"])
    ties = 0.5 * np.mean(difference == 0, axis=0)
    table = pd.DataFrame(summarise(difference, interval), index=index)
    return labelled(table.assign(p_greater=np.mean(difference > 0, axis=0) + ties), interval)


def _columns(layout: Layout, request: Request) -> tuple[list[str], set[str]]:
    """Columns that predictions read, and those among them that may be absent."""
    needed = [name for f in layout.formulas.values() for name in f.predictor_columns]
    needed += [
        column
        for predictor in layout.predictors.values()
        for factor in predictor.factors
        if factor.name in request.groups
        for column in factor.levels.columns
    ]
    trials = layout.response.trial_columns
    return [*needed, *trials], set(trials) - set(needed)
