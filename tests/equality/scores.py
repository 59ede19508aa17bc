"""Differences of two posteriors in their Monte Carlo errors."""

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from scipy import stats

import hierbayes as hb

FAMILYWISE = 0.01  # chance that two right posteriors are called different, over all their means and sds


def scores(one: hb.Fit, two: hb.Fit) -> pd.Series:
    """z of each scalar's mean and sd: their difference over its Monte Carlo error.

    Entries that never move (the diagonal of a correlation matrix) and correlations' upper triangles are left out.
    """
    found: dict[tuple[str, str], float] = {}
    for variable in one.spec.variables:
        left, right = (_flat(fit.posterior[variable.name].to_numpy()) for fit in (one, two))
        shape = one.posterior[variable.name].shape[2:]
        for statistic, function in (("mean", np.mean), ("sd", np.std)):
            with np.errstate(invalid="ignore"):  # the diagonal of a correlation matrix never moves
                errors = [
                    np.asarray(array_stats.mcse(draws, method=statistic, chain_axis=0, draw_axis=1))
                    for draws in (left, right)
                ]
            gap = function(left, axis=(0, 1)) - function(right, axis=(0, 1))
            for place, index in enumerate(np.ndindex(*shape)):
                if variable.kind == "cor" and index[0] <= index[1]:
                    continue
                error = np.hypot(errors[0][place], errors[1][place])
                name = f"{variable.name}{list(map(int, index)) if index else ''}"
                found[name, statistic] = gap[place] / error
    return pd.Series(found)


def limit(count: int) -> float:
    """The |z| that the largest of `count` standard normal scores exceeds with probability `FAMILYWISE` (Bonferroni)."""
    return float(stats.norm.isf(FAMILYWISE / (2 * count)))


def _flat(draws: np.ndarray) -> np.ndarray:
    return draws.reshape(*draws.shape[:2], -1)
