"""Tail transforms of theta, and of directions of coefficients, on either side (numba; docs/engine.md, section 3).

Where a dispersion may as well be infinite or a probability 0, its logarithm or log odds has no end on one side. Such a
number s is sampled as t, with s = t - w h(t)²/2 on the left and + on the right, where h is 0 towards the middle: what
falls off as exp(-|s|) is about Gaussian in t.
"""

import numpy as np

from hierbayes.engine.core.hyperparameters import tail_transform
from hierbayes.engine.core.loops import add, compiled, dot
from hierbayes.engine.core.problem import Floats

VALUES, SCORES, PLAIN, SLOPE, TURN = range(5)  # of theta: PLAIN is t, VALUES s
LEFT_KNEE, LEFT_RATE, RIGHT_KNEE, RIGHT_RATE, UNIT, START = range(6)  # in a row of tails, in a row of bends
MEASURE, WAY = 0, 1  # of directions
OF_SLOPE, OF_TURN = 0, 1
NEWTON = 30  # steps of Newton's method


@compiled
def two_tails(t: float, tails: Floats) -> tuple[float, float, float]:
    """Return s, ds/dt and the slope of the logarithm of that. Rates of 0: no tail transform."""
    unit = tails[UNIT]
    y = t / unit
    low, low_slope, low_turn = tail_transform(y, tails[LEFT_KNEE], tails[LEFT_RATE])
    high, high_slope, high_turn = tail_transform(-y, -tails[RIGHT_KNEE], tails[RIGHT_RATE])
    slope = low_slope + high_slope - 1.0
    return unit * (low - high - y), slope, (low_slope * low_turn - high_slope * high_turn) / (slope * unit)


def no_tails(count: int) -> Floats:
    """Rows of numbers without tail transforms: (count, 5)."""
    found = np.zeros((count, UNIT + 1))
    found[:, UNIT] = 1.0
    return found


def no_bends() -> Floats:
    """Of no direction a row of tail transforms, and where the start is on it: (0, 6)."""
    return np.zeros((0, START + 1))


def before_tails(values: Floats, tails: Floats) -> Floats:
    """The t of numbers s, by Newton's method: on each side s is a convex or concave function of t."""
    found = values.copy()
    for i, value in enumerate(values):
        for _ in range(NEWTON):
            s, slope, _ = two_tails(found[i], tails[i])
            found[i] -= (s - value) / slope
    return found


@compiled
def bend_theta(tails: Floats, theta: Floats) -> float:
    """Set theta from what it is before its tail transforms; return the log-Jacobian."""
    total = 0.0
    for i in range(tails.shape[0]):
        theta[VALUES, i], theta[SLOPE, i], theta[TURN, i] = two_tails(theta[PLAIN, i], tails[i])
        total += np.log(theta[SLOPE, i])
    return total


@compiled
def score_theta(theta: Floats) -> None:
    """Turn the score of theta into that of what it is before its tail transforms."""
    for i in range(theta.shape[1]):
        theta[SCORES, i] = theta[SCORES, i] * theta[SLOPE, i] + theta[TURN, i]


@compiled
def bend(bends: Floats, directions: Floats, white: Floats, t: Floats, bent: Floats) -> float:
    """Move coefficients t further along each direction, by how far `white` is; return the log-Jacobian.

    What measures one direction is 0 along the others and 1 along its own.
    """
    total = 0.0
    for k in range(bends.shape[0]):
        way = dot(directions[MEASURE, k], white)
        here, _, _ = two_tails(bends[k, START], bends[k])
        there, bent[OF_SLOPE, k], bent[OF_TURN, k] = two_tails(bends[k, START] + way, bends[k])
        add(t, there - here - way, directions[WAY, k])
        total += np.log(bent[OF_SLOPE, k])
    return total


@compiled
def score_bends(directions: Floats, bent: Floats, score: Floats) -> None:
    """Turn the score of coefficients t into that of their coordinates before they were moved: the reverse of `bend`."""
    for k in range(bent.shape[1]):
        along = dot(directions[WAY, k], score)
        add(score, (bent[OF_SLOPE, k] - 1.0) * along + bent[OF_TURN, k], directions[MEASURE, k])
