"""The family's own parameters without a formula: from theta to their values, with their priors, and back (numba).

They are what an intercept alone would be, with a prior of the value itself. The elements of an ordered vector are its
first and the logarithms of the steps between them.
"""

from collections.abc import Sequence

import numpy as np

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.whitening.coefficients import coefficient, unconstrain_coefficient
from hierbayes.engine.whitening.rows import PRIOR_SCORE, SCORE, SLOPE, VALUE

AT, AFTER = (
    0,
    1,
)  # of an own parameter: its index in theta (-1: fixed), whether it lies above the one before it


@compiled
def place_own(theta: Floats, places: Ints, priors: Floats, own: Floats) -> float:
    """Set values, slopes and scores of the prior; return log prior + log-Jacobian without constant."""
    total = 0.0
    for a in range(places.shape[0]):
        prior, at = priors[a], places[a, AT]
        if at < 0:
            own[VALUE, a], own[SLOPE, a], own[PRIOR_SCORE, a] = prior[1], 0.0, 0.0
            continue
        above = places[a, AFTER] > 0
        step = np.exp(theta[at]) if above else 0.0
        t = own[VALUE, a - 1] + step if above else theta[at]
        own[VALUE, a], own[SLOPE, a], value, own[PRIOR_SCORE, a], _ = coefficient(t, prior)
        total += value
        if above:
            own[SLOPE, a] = step
            total += theta[at]
    return total


@compiled
def score_own(places: Ints, own: Floats, score: Floats) -> None:
    """Set the scores of theta from the likelihood's of the values: the reverse sweep of `place_own`."""
    later = 0.0  # of the elements above, which move along
    for a in range(places.shape[0] - 1, -1, -1):
        at = places[a, AT]
        if at < 0:
            continue
        if places[a, AFTER] > 0:
            later += own[PRIOR_SCORE, a] + own[SCORE, a]
            score[at] = later * own[SLOPE, a] + 1.0
        else:
            score[at] = own[PRIOR_SCORE, a] + (own[SCORE, a] + later) * own[SLOPE, a]
            later = 0.0


def start_own(values: Sequence[float], places: Ints, priors: Floats, theta: Floats) -> None:
    """Set the own parameters' part of theta to those values."""
    for a, (at, after) in enumerate(places):
        if at >= 0:
            theta[at] = (
                np.log(values[a] - values[a - 1]) if after else unconstrain_coefficient(values[a], priors[a])
            )
