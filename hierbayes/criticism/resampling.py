"""Draws picked by their weights, column by column (numba)."""

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Floats, Ints


@compiled
def pick(weights: Floats, starts: Floats, turns: Ints, places: Ints) -> None:
    """Set which draws stand for each row: systematic resampling, as often as its weight says, rounded up or down.

    Parameters
    ----------
    weights : (k, S)
        Those of a row sum to 1.
    starts : (k,)
        Uniform on (0, 1).
    turns : (k,)
        Where in `places` each row begins.
    places : (k, R)
    """
    rows, wanted = places.shape
    last = weights.shape[1] - 1
    for row in range(rows):
        edge, picked, at = 0.0, 0, turns[row]
        for draw in range(last + 1):
            edge += wanted * weights[row, draw]
            # rounding of the sum must not leave the last places empty
            while picked < wanted and (picked + starts[row] < edge or draw == last):
                places[row, at] = draw
                picked += 1
                at = at + 1 if at + 1 < wanted else 0
