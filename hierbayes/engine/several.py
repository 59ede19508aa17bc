"""Several responses drawn together, by the strategies that can."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from hierbayes.data.design import Design
from hierbayes.engine import nuts
from hierbayes.engine.core.shapes import with_own_from
from hierbayes.engine.draws import observed_dataset, statistics_dataset, to_dataset
from hierbayes.engine.registry import Plan, Strategy
from hierbayes.engine.settings import Settings
from hierbayes.engine.whitened import (
    Whitened,
    draw,
    draw_near,
    own_numbers,
    own_row,
    posterior_arrays,
    tied_correlations,
    to_problem,
    to_tie,
)
from hierbayes.engine.whitening.compression import compress
from hierbayes.engine.whitening.problem import Component, Own, Predictor, Problem
from hierbayes.engine.whitening.stacked import Stacked
from hierbayes.errors import UnsupportedError
from hierbayes.exchange import in_order
from hierbayes.families.correlated import partial_priors, roots
from hierbayes.families.record import Correlated
from hierbayes.families.rows import Rows
from hierbayes.kinds import NUMBER
from hierbayes.priors import Prior
from hierbayes.several import JointSpec

# arrays and sampler statistics (chain, draw, …) by name, and how they came about
type Drawn = tuple[Mapping[str, Any], Mapping[str, Any], dict[str, Any]]


def choose_jointly(spec: JointSpec, designs: Mapping[str, Design], name: str = "auto") -> Plan:
    """The strategy of that name for several responses, or for ``"auto"`` the first that supports each of them.

    Raises
    ------
    UnsupportedError
        For another name, or a strategy that cannot draw one of the responses.
    """
    if name not in ("auto", *STRATEGIES):
        raise UnsupportedError(
            f"strategy {name!r} does not draw several responses together; there are auto, {', '.join(STRATEGIES)}"
        )
    asked = list(STRATEGIES) if name == "auto" else [name]
    obstacles: list[str] = []
    for strategy in (STRATEGIES[one][0] for one in asked):
        found = [
            f"of response {response!r} {obstacle}"
            for response, own in spec.responses.items()
            if (obstacle := strategy.supports(own, designs[response]))
        ]
        if not found:
            reason = "several responses" if name == "auto" else "asked for"
            return Plan(strategy, "; ".join([reason, *obstacles]))
        obstacles.append(f"not {strategy.name}: {found[0]}")
    raise UnsupportedError("no strategy can draw this model: " + "; ".join(obstacles))


def to_stacked(spec: JointSpec, designs: Mapping[str, Design]) -> Stacked:
    """All responses and their rows as the engine takes them, equal rows of each merged."""
    problems = tuple(_counted_through(to_problem(own, designs[name]) for name, own in spec.responses.items()))
    residuals = spec.residuals
    if residuals is None:
        problems = tuple(compress(problem) for problem in problems)
    else:
        family = next(iter(spec.responses.values())).family
        names = [parameter.name for parameter in family.parameters]
        shared = [names.index(name) for name in spec.shared]
        priors = partial_priors(residuals.prior.prior, len(problems))
        problems = (_correlated(problems, rows_of(residuals.law).address, shared, priors),)
    ties = tuple(to_tie(tie, spec.tie_prior(tie), spec.predictors) for tie in spec.ties)
    return Stacked(problems, ties)


def _counted_through(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Responses whose coefficients follow their own numbers, which are counted through all of them."""
    first = 0
    for problem in problems:
        predictors = (
            replace(p, factors=tuple(with_own_from(factor, first) for factor in p.factors))
            for p in problem.predictors
        )
        yield replace(problem, predictors=tuple(predictors))
        first += len(problem.own)


@cache
def rows_of(correlated: Correlated) -> Rows:
    """The row function of responses whose residuals are correlated, for many rows."""
    parameters = (("mu", NUMBER),)
    return Rows(
        f"correlated_{correlated.name}", correlated.row, None, parameters, needs_trials=False, listed=0
    )


def _correlated(
    problems: Sequence[Problem], address: int, shared: Sequence[int], priors: Sequence[Prior]
) -> Problem:
    """Responses of the same rows as one, by the differences of means and responses.

    Of the parameters that they share the first response's is read; those of the others are known numbers, which are
    not.
    """
    components: list[Component] = []
    common: list[Component] = []
    predictors: list[Predictor] = []
    own: list[Own] = []
    for problem in problems:
        j, a = len(predictors), len(own)
        its_own = list(problem.own)
        for place, c in enumerate(problem.components):
            moved = replace(c, predictor=c.predictor + j * (c.predictor >= 0), own=c.own + a * (c.own >= 0))
            if place not in shared:
                components.append(moved)
            elif j == 0:
                common.append(moved)
            else:
                known = Prior("Fixed", value=its_own[c.own].value)
                its_own[c.own] = replace(its_own[c.own], prior=own_row(known))
        for place, one in enumerate(problem.predictors):
            steps = tuple(replace(each, own=each.own + a) for each in one.steps)
            if place == problem.components[0].predictor:
                one = replace(one, offset=one.offset - problem.y[:, 0], start=0.0)
            predictors.append(replace(one, steps=steps))
        own += its_own
    link = NUMBER.codes["identity"]
    components += [Component(-1, len(own) + place, link) for place in range(len(priors))]
    own += [Own(own_row(prior), 0.5) for prior in priors]
    components += common
    return replace(
        problems[0],
        address=address,
        components=tuple(components),
        predictors=tuple(predictors),
        own=tuple(own),
        constant=sum(problem.constant for problem in problems),
        information=None,
    )


def draw_jointly(
    spec: JointSpec, designs: Mapping[str, Design], settings: Settings, plan: Plan
) -> xr.DataTree:
    """Draws of all responses' variables: groups posterior, sample_stats and each response's observed data."""
    drawn = STRATEGIES[plan.strategy.name][1](spec, designs, settings)
    return _to_tree(spec, designs, settings, plan, drawn)


def approximate_jointly(
    spec: JointSpec, designs: Mapping[str, Design], settings: Settings, plan: Plan
) -> xr.DataTree | None:
    """Draws of a Gaussian approximation to the posterior of all responses; None by a strategy that has none."""
    if plan.strategy.name != Whitened.name:
        return None
    return _to_tree(spec, designs, settings, plan, _draw_whitened(spec, designs, settings, draw_near))


def _to_tree(
    spec: JointSpec, designs: Mapping[str, Design], settings: Settings, plan: Plan, drawn: Drawn
) -> xr.DataTree:
    arrays, statistics, attributes = drawn
    for one in spec.named:
        arrays = in_order(one, arrays)
    stats = statistics_dataset(statistics)
    groups = {"posterior": to_dataset(spec, arrays), "sample_stats": stats}
    for name, design in designs.items():
        groups[f"observed_data_{name}"] = observed_dataset(spec.responses[name], design)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(attributes | {"strategy_reason": plan.reason, "seed": settings.seed})
    return tree


def _draw_whitened(
    spec: JointSpec, designs: Mapping[str, Design], settings: Settings, how: Any = draw
) -> Drawn:
    start = time.perf_counter()
    drawn, attributes = how(to_stacked(spec, designs), sum(map(len, designs.values())), settings, start)
    arrays: dict[str, Any] = {}
    predictor = own = 0
    for name, one in spec.responses.items():
        # what responses share is the first's
        arrays = spec.joint_arrays(name, posterior_arrays(one, drawn, predictor, own)) | arrays
        predictor += len(one.layout.predictors)
        own += own_numbers(one)
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        arrays[variable.name] = tied_correlations(tie, drawn, spec.predictors)
    if spec.residuals is not None:
        root = roots(drawn.own[..., own:])
        arrays[spec.residuals.variable.name] = root @ np.swapaxes(root, -1, -2)
    return arrays, drawn.statistics, attributes


def _draw_by_nuts(spec: JointSpec, designs: Mapping[str, Design], settings: Settings) -> Drawn:
    from hierbayes.graph import build_joint_graph

    names = [variable.name for variable in spec.variables]
    return nuts.draw(lambda: build_joint_graph(spec, designs, settings.parameterization), names, settings)


STRATEGIES: dict[str, tuple[Strategy, Callable[[JointSpec, Mapping[str, Design], Settings], Drawn]]] = {
    "whitened": (Whitened(), _draw_whitened),
    "nuts": (nuts.Nuts(), _draw_by_nuts),
}
