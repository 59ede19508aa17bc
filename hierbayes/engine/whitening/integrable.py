"""Which factor's effects are better integrated out than sampled."""

import numpy as np

from hierbayes.engine.core.problem import Factor
from hierbayes.engine.whitening.problem import Problem
from hierbayes.engine.whitening.stacked import Place, Question, joint_factors

MOST_ROWS, LEAST_LEVELS = 2, 100  # rows a level, and levels, where it pays
LARGEST = 100  # rows of one level, which a chunk must hold


def integrable(problem: Question) -> Place | None:
    """The factor whose effects are integrated out, if there is one that can be and where it pays.

    The largest, with one independent effect a level on one linear predictor. Where levels have a yes-or-no row or two,
    most of them say only that their effect is not far out on one side: no normal distribution is like that, and
    thousands of such effects pull at one standard deviation. Where rows are counts, or more a level, sampled effects
    do as well at a fraction of the cost of an evaluation (docs/engine.md, section 7, has figures).
    """
    found = joint_factors(problem)
    if not isinstance(problem, Problem) or not found:
        return None
    places, factor = found[0]
    if len(places) > 1 or not _one_effect(factor):
        return None
    if any(steps.climbs for predictor in problem.predictors for steps in predictor.steps):
        return None
    if sum(component.predictor == places[0][0] for component in problem.components) != 1:
        return None
    if any(each.related is not None for _, each in found):
        return None
    if factor.n_levels < LEAST_LEVELS or problem.weights.sum() > MOST_ROWS * factor.n_levels:
        return None
    fits = np.bincount(factor.codes).max() <= LARGEST
    return places[0] if fits and _yes_or_no(problem) else None


def _yes_or_no(problem: Problem) -> bool:
    """Whether responses have two values; of merged rows, almost all, as the others are means."""
    y = problem.y[problem.weights <= 1.0]
    return bool(problem.trials.max(initial=1.0) <= 1.0 and y.size and np.isin(y, (y.min(), y.max())).all())


def _one_effect(factor: Factor) -> bool:
    """Whether levels have one independent effect each, and rows one level."""
    plain = all(block.structure == "us" and len(block.shapes) == 0 for block in factor.structured)
    return factor.q == 1 and plain and not factor.more
