"""Moment matching: draws moved until they are like draws of the posterior without a row.

Importance sampling fails for a row that moves the posterior far: few of the draws lie where the posterior without it
is. An affine map that gives the draws the weighted mean, then variances, then covariances, brings them nearer, and can
be repeated (Paananen, Piironen, Bürkner & Vehtari 2021, Statistics and Computing 31, algorithm 1). The draws as they
were and as they are moved are a sample of a mixture whose density is known, and the answer is weighted by that (their
section 2.3, with every draw in both halves).

The effects that only the row's group informs are integrated out of the density that is matched: matched themselves, by
draws that all follow the row, they seem well told and are not.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from hierbayes.answers.draws import Draws
from hierbayes.criticism.coordinates import log_density, space_of
from hierbayes.criticism.importance import FEWEST, smoothed_weights
from hierbayes.criticism.marginal import (
    hold_out,
    is_normal,
    log_marginal,
    normal_conditional,
    own_levels,
    series_marginal,
)
from hierbayes.data.design import PACKAGE, Design
from hierbayes.data.levels import Codes
from hierbayes.errors import SamplingWarning
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
type Evaluate = Callable[
    [Array], tuple[Array, Array]
]  # points (S, d) → log densities of posterior and row, (S,) each
GOAL = 0.5  # Pareto k: below, the weights have a variance
MOST_MAPS = 20  # tried for a row
PASSES = 10  # over all rows and draws, for a row
MOST_DENSITIES = 5_000_000_000  # of rows in draws, for all rows: some minutes


@dataclass(frozen=True, eq=False)
class Affine:
    """Points x (S, d) → matrix x + shift."""

    matrix: Array
    shift: Array

    def __call__(self, points: Array) -> Array:
        """The points, mapped."""
        return points @ self.matrix.T + self.shift

    def back(self, points: Array) -> Array:
        """The points that are mapped to these."""
        return np.linalg.solve(self.matrix, (points - self.shift).T).T

    def after(self, first: "Affine") -> "Affine":
        """The map that does `first`, then this."""
        return Affine(self.matrix @ first.matrix, self.matrix @ first.shift + self.shift)


@dataclass(frozen=True, eq=False)
class Matched:
    """Draws on their way to the posterior without a row.

    Attributes
    ----------
    map : Affine or None
        What has been done to the points so far; None for nothing.
    points : ndarray (S, d)
    joint, own : ndarray (S,)
        Log densities there, of the posterior and of the row.
    log_weights : ndarray (S,)
    pareto_k : float
    """

    map: Affine | None
    points: Array
    joint: Array
    own: Array
    log_weights: Array
    pareto_k: float


def match_rows(
    spec: ModelSpec, draws: Draws, design: Design, rows: Codes, efficiency: float
) -> Iterator[tuple[int, float, float]]:
    """Moment matching of some rows, as long as it is affordable: place, elpd and Pareto k of each.

    The rows that come last in `rows` are left where there are too many, and a warning tells how many.
    """
    spent, each = 0, len(design) * len(draws)
    for number, place in enumerate(rows):
        if spent + PASSES * each > MOST_DENSITIES:
            warnings.warn(
                f"{len(rows) - number} of the {len(rows)} rows with too large a Pareto k were left without moment "
                f"matching: each takes some {PASSES} passes over {len(design):,} rows × {len(draws):,} draws. "
                "loo(refit=True) refits the model without each of them",
                SamplingWarning,
                skip_file_prefixes=(PACKAGE,),
            )
            return
        found, passes = match_row(spec, draws, design, int(place), efficiency)
        spent += passes * each
        if found is not None:
            yield int(place), *found


def match_row(
    spec: ModelSpec, draws: Draws, design: Design, place: int, efficiency: float
) -> tuple[tuple[float, float] | None, int]:
    """Log density of a row given all others and its Pareto k, None where no map helps; and the passes over all rows."""
    if len(draws) < FEWEST:
        return None, 0
    evaluate, points = density_without(spec, draws, design, place)
    start = starting_point(evaluate, points, efficiency)
    if not (points.shape[1] and np.isfinite(start.joint).all() and np.isfinite(start.own).all()):
        return None, 1
    matched, maps = match(evaluate, start, efficiency)
    return (None if matched.map is None else mixed(evaluate, start, matched, efficiency)), maps + 2


# -- the algorithm ------------------------------------------------------------------------------------------------


def starting_point(evaluate: Evaluate, points: Array, efficiency: float) -> Matched:
    """The draws as they are: plain importance sampling."""
    joint, own = evaluate(points)
    return Matched(None, points, joint, own, *_smoothed(own, efficiency))


def match(evaluate: Evaluate, start: Matched, efficiency: float, goal: float = GOAL) -> tuple[Matched, int]:
    """The draws moved until Pareto k is as small as the goal, or no map makes it smaller; and the maps tried."""
    now, maps, proposals = start, 0, iter(PROPOSALS)
    while now.pareto_k > goal and maps < MOST_MAPS and (propose := next(proposals, None)) is not None:
        step = propose(now.points, np.exp(now.log_weights))
        if step is None:
            continue
        points, maps = step(now.points), maps + 1
        joint, own = evaluate(points)
        log_weights, k = _smoothed(own - joint + start.joint, efficiency)
        if k < now.pareto_k:
            whole = step if now.map is None else step.after(now.map)
            now, proposals = Matched(whole, points, joint, own, log_weights, k), iter(PROPOSALS)
    return now, maps


def mixed(evaluate: Evaluate, start: Matched, matched: Matched, efficiency: float) -> tuple[float, float]:
    """Log density of the row and Pareto k by the draws as they were and as they are moved, weighted together.

    Every draw counts twice, so there are no more effective draws than if each counted once.
    """
    assert matched.map is not None, "a map, or there is nothing to mix"
    determinant = np.linalg.slogdet(matched.map.matrix)[1]
    before, _ = evaluate(matched.map.back(start.points))
    joint, own = np.append(start.joint, matched.joint), np.append(start.own, matched.own)
    moved = np.append(before, start.joint) - determinant  # density of moved draws, at either kind
    log_weights, k = _smoothed(np.logaddexp(joint, moved) - joint + own, efficiency / 2)
    return float(logsumexp(log_weights + np.where(np.isneginf(log_weights), 0.0, own))), k


def _smoothed(log_divisors: Array, efficiency: float) -> tuple[Array, float]:
    impossible = np.isnan(log_divisors)  # of draws that were moved out of the support
    with np.errstate(all="ignore"):  # weights that hang on a few draws: k is large or infinite
        log_weights, k = smoothed_weights(np.where(impossible, np.inf, log_divisors)[:, None], efficiency)
    return log_weights[:, 0], float(k[0])


def _match_means(points: Array, weights: Array) -> Affine | None:
    return Affine(np.eye(points.shape[1]), weights @ points - points.mean(axis=0))


def _match_variances(points: Array, weights: Array) -> Affine | None:
    old, new = points.mean(axis=0), weights @ points
    scales = np.sqrt(
        (weights @ np.square(points - new)) * len(points) / (len(points) - 1) / points.var(axis=0, ddof=1)
    )
    return Affine(np.diag(scales), new - scales * old) if (scales > 0).all() else None


def _match_covariances(points: Array, weights: Array) -> Affine | None:
    old, new = points.mean(axis=0), weights @ points
    if len(points) < 10 * points.shape[1] or np.square(weights).sum() * (points.shape[1] + 1) > 1:
        return None  # too few draws, or too few with any weight
    try:
        roots = [
            np.linalg.cholesky(np.atleast_2d(np.cov(points, rowvar=False, aweights=each)))
            for each in (None, weights)
        ]
    except np.linalg.LinAlgError:
        return None
    matrix = np.linalg.solve(roots[0].T, roots[1].T).T
    return Affine(matrix, new - matrix @ old)


PROPOSALS = (_match_means, _match_variances, _match_covariances)


# -- the density --------------------------------------------------------------------------------------------------


def density_without(spec: ModelSpec, draws: Draws, design: Design, place: int) -> tuple[Evaluate, Array]:
    """A function of points that has the posterior's log density and the row's given all others, and the draws' points.

    The group whose effects are integrated is that of the row's factor with the fewest rows a level; the effects of its
    levels of other factors are coordinates.
    """
    together = smallest_group(design, place)
    own = {key: levels for key, (levels, _) in own_levels(spec, design, together).items()}
    levels = {
        (parameter, name): np.setdiff1d(bound.codes[[place]], own[parameter, name])
        for parameter, predictor in design.predictors.items()
        for name, bound in predictor.factors.items()
    }
    space = space_of(spec, draws, levels, own)
    others = design.rows(np.setdiff1d(np.arange(len(design)), together))

    def evaluate(points: Array) -> tuple[Array, Array]:
        joint, row = np.empty(len(points)), np.empty(len(points))
        for part in space.parts():
            with np.errstate(over="ignore", invalid="ignore"):
                moved = space.at(points[part], part)
                whole, row[part] = group_densities(spec, moved, design, together, place)
                joint[part] = log_density(spec, moved, others, own) + whole + space.log_volume(moved, part)
        return np.where(np.isnan(joint), -np.inf, joint), row

    return evaluate, space.points


def smallest_group(design: Design, place: int) -> Codes:
    """The rows of a row's level of the factor with the fewest rows there; the row alone where it has no one level.

    Where residuals are correlated, they are whole series: those of the level, or else the row's own.
    """
    factors = [bound for predictor in design.predictors.values() for bound in predictor.factors.values()]
    codes = [bound.codes for bound in factors if len(bound.memberships) == 1]
    groups = [np.flatnonzero(each == each[place]) for each in codes]
    if design.series is not None:
        series = design.series.codes
        groups = [group for group in groups if holds_whole(series, group)] or [
            np.flatnonzero(series == series[place])
        ]
    return min(groups, key=len, default=np.array([place]))


def holds_whole(series: Codes, places: Codes) -> bool:
    """Whether some rows are all those of their series."""
    return int(np.isin(series, series[places]).sum()) == len(places)


def group_densities(
    spec: ModelSpec, draws: Draws, design: Design, together: Codes, place: int
) -> tuple[Array, Array]:
    """Log density of rows, their own effects integrated, and of the row at `place` given the others: (S,), (S,)."""
    at = int(np.flatnonzero(together == place)[0])
    whole, row = np.empty(len(draws)), np.empty(len(draws))
    for part, held in hold_out(spec, draws, design, together):
        if held.rows.series is not None:
            whole[part], rows = series_marginal(spec, held)
            row[part] = rows[:, at]
            continue
        if held.effects and is_normal(spec, held):
            normal = normal_conditional(spec, held)
            whole[part], row[part] = normal.log_marginal, normal.log_leave_one_out()[:, at]
            continue
        weights = np.ones(len(together)) if held.rows.weights is None else held.rows.weights.copy()
        whole[part] = log_marginal(spec, held)[0]
        weights[at] = 0.0
        row[part] = whole[part] - log_marginal(spec, held.weighted(weights))[0]
    return whole, row
