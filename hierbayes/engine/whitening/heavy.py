"""Which numbers have no end on a side: where log densities fall off too slowly, and the tail transforms for them.

Looked at are the numbers of theta, one by one, and of a model with several linear predictors its coefficients: a
probability that may as well be 0 in some rows is a direction in which the log density falls off more slowly on one
side. Such directions are found by its third derivative.
"""

from collections.abc import Callable

import numpy as np

from hierbayes.engine.core.density import Evaluate
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.standardisation import LOWEST, LogDensity, Tails, most_gaussian, spread_at
from hierbayes.engine.whitening.own import AT
from hierbayes.engine.whitening.packing import Packed
from hierbayes.engine.whitening.tails import UNIT, no_bends, no_tails, two_tails

PROBE = np.array([-2.0, 1.0, 2.0, 1.0, 1.0])  # tail transforms with which heights are looked at, in widths
FURTHEST, STEP = 10.0, 0.25  # of their coordinate, in which others follow; 10 there is 42 widths
NEAR = 3.0  # where a log density that falls off as a Gaussian's needs no further look
OTHERS = 2.0  # widths that others follow at most
SKEWED = 0.3  # a standardised third derivative that is worth a look
MOST = 8  # directions
ALIKE = 100.0  # condition number of directions that are too much alike
TURNS = 8  # of the power method
RATES = (0.5, 1.0, 2.0, 4.0)


def theta_tails(packed: Packed, density_of: Callable[[Packed], LogDensity]) -> Floats:
    """Tail transforms of theta, (T, 5), about the map's origin: of each number on the line of the others' means.

    Of the family's own numbers and standard deviations; with loadings' and correlations' chains got stuck now and then.

    Parameters
    ----------
    packed : Packed
        Without tail transforms.
    density_of : callable
        A model's log density of theta before its tail transforms.
    """
    mode, found = packed.mapping.origin, no_tails(packed.n_theta)
    try:
        spread = spread_at(density_of(packed), mode)
    except np.linalg.LinAlgError:  # not a number near there
        return found
    covariance = spread @ spread.T
    for i in sorted({*packed.model.own_places[:, AT], *packed.model.scales[:, 0]} - {-1}):
        width = float(covariance[i, i] ** 0.5)
        others = covariance[i] / width
        probe = no_tails(packed.n_theta)
        probe[i] = _placed(tuple(PROBE[:UNIT]), mode[i] / width, width)
        log_density = density_of(packed.mapped(tails=probe))

        def height(
            y: float,
            i: int = i,
            width: float = width,
            others: Floats = others,
            log_density: LogDensity = log_density,
        ) -> float:
            point = mode + others * np.clip(y, -OTHERS, OTHERS)
            point[i] = mode[i] + width * y
            return log_density(point)[0]

        tails = _tails_along(height)
        if any(tails):
            found[i] = _placed(tails, mode[i] / width, width)
    return found


def _placed(tails: Tails, mode: float, width: float) -> Floats:
    """A row of tail transforms, from knees counted from a mode (in widths)."""
    return np.array([tails[0] + mode, tails[1], tails[2] + mode, tails[3], width])


def coefficient_tails(
    packed: Packed, position: Floats, evaluate_of: Callable[[Packed], Evaluate]
) -> tuple[Floats, Floats]:
    """Directions of coefficients in which the log density has no end, with tail transforms: see `WhiteningMap`.

    Parameters
    ----------
    packed : Packed
        Leaning, so that its last coordinates are about independent.
    position : array (dim,)
        The mode.
    evaluate_of : callable
        A model's log density and gradient.
    """
    count = packed.mapping.t.size
    bends, directions = no_bends(), np.zeros((2, 0, count))
    if len(packed.model.predictors) < 2 or count == 0:
        return bends, directions
    thirds = _Thirds(evaluate_of(packed), position, count)
    of_axes = np.array([thirds.along(axis) for axis in np.eye(count)])
    root = packed.mapping.rotation[-count:, -count:]
    taken = np.zeros((0, count))
    while len(taken) < min(count, MOST) and np.isfinite(of_axes).all():
        way, third = thirds.most_skewed(of_axes, taken)
        if third < SKEWED:
            break
        ways = np.vstack([taken, way])
        both = _within_predictors(packed.model.predictors, np.linalg.solve(root.T, ways.T).T, ways @ root.T)
        if both is None:
            break
        evaluate = evaluate_of(packed.mapped(bends=np.vstack([bends, [*PROBE, 0.0]]), directions=both))

        def height(y: float, way: Floats = way, evaluate: Evaluate = evaluate) -> float:
            point = position.copy()
            point[-count:] += y * way
            return evaluate(point)[0]

        tails = _tails_along(height)
        if not any(tails):
            break
        bends, directions = np.vstack([bends, [*tails, 1.0, 0.0]]), both
        taken = ways
    return bends, directions


def _within_predictors(predictors: Ints, measures: Floats, ways: Floats) -> Floats | None:
    """Directions (2, D, P), each way kept to the coefficients of the linear predictor that has most of it.

    Where a probability is 0, nothing else follows its log odds any further. None: within their predictors the last way
    is one of the others.
    """
    own = np.zeros_like(ways)
    for k, share in enumerate(measures * ways):
        first, end = max(predictors, key=lambda j: share[slice(*j)].sum())
        own[k, first:end] = ways[k, first:end]
    crossing = own @ measures.T
    if np.linalg.cond(crossing) > ALIKE:
        return None
    return np.array([measures, np.linalg.solve(crossing, own)])


class _Thirds:
    """Third derivatives of a log density at its mode in the last coordinates, over steps of one standard deviation."""

    def __init__(self, evaluate: Evaluate, position: Floats, count: int) -> None:
        self.evaluate, self.position, self.count = evaluate, position, count
        self.score = evaluate(position)[1][-count:].copy()

    def along(self, way: Floats) -> Floats:
        """Of two of its places the derivative along a direction, of the third each."""
        step = np.zeros_like(self.position)
        step[-self.count :] = way
        ahead = self.evaluate(self.position + step)[1][-self.count :].copy()
        return ahead + self.evaluate(self.position - step)[1][-self.count :] - 2.0 * self.score

    def most_skewed(self, of_axes: Floats, taken: Floats) -> tuple[Floats, float]:
        """The direction with the largest third derivative, orthogonal to those taken, by the power method.

        De Lathauwer, De Moor & Vandewalle (2000), SIAM Journal on Matrix Analysis and Applications 21(4).
        """
        left = np.eye(self.count) - taken.T @ taken
        own = np.abs(np.einsum("ij,ij->i", of_axes @ left, left))
        way = left[int(np.argmax(own))]
        way = way / max(float(np.linalg.norm(way)), 1e-300)
        third = 0.0
        for _ in range(TURNS):
            turned = left @ self.along(way)
            size = float(np.linalg.norm(turned))
            if not 1e-6 < size < np.inf:
                return way, 0.0
            way, third = turned / size, float(turned @ way)
        return way, abs(third)


def _tails_along(height: Callable[[float], float]) -> Tails:
    """Tail transforms on a line, given the log density where the probe takes a coordinate, log-Jacobian included."""

    def relative(y: float) -> float:
        value = height(y) - np.log(two_tails(y, PROBE)[1])
        return float(value) if np.isfinite(value) else -np.inf

    top = relative(0.0)
    far = two_tails(NEAR, PROBE)[0]
    if not np.isfinite(top) or max(relative(NEAR), relative(-NEAR)) - top < -0.5 * far**2:
        return 0.0, 0.0, 0.0, 0.0
    heights = {0.0: 0.0}
    for side in (-1.0, 1.0):
        for y in side * np.arange(STEP, FURTHEST + STEP / 2, STEP):
            heights[float(y)] = max(relative(float(y)) - top, LOWEST - 1.0)
            if heights[float(y)] < LOWEST:
                break
    places = sorted(heights)
    values = np.array([heights[y] for y in places])
    if values.max() > 1.0:  # that was no mode
        return 0.0, 0.0, 0.0, 0.0
    return most_gaussian(np.array([two_tails(y, PROBE)[0] for y in places]), values, rates=RATES)
