"""The strategy for models of any family: NUTS in coordinates in which the posterior is about N(0, I)."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.design import BoundPredictor, Design, PredictorLayout
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.monotonic import Monotonic
from hierbayes.engine.collapsed import (
    allowed_scales,
    curve_arrays,
    own_shapes,
    sd_row,
    takes_bounds,
)
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.shapes import matrix_rows
from hierbayes.engine.draws import to_tree
from hierbayes.engine.fields import whitened_draws, whitened_factors
from hierbayes.engine.fixed import all_coefficients, known_values, split_columns
from hierbayes.engine.settings import Settings, notify, notify_if_slow
from hierbayes.engine.shrinkage import joint_arrays, obstacle, shares_of
from hierbayes.engine.shrinkage import to_factors as shrunk_factors
from hierbayes.engine.streamed import Streamed, in_memory
from hierbayes.engine.whitening.codes import BOUNDED_CODES, NORMAL, PRIOR_CODES
from hierbayes.engine.whitening.compression import cells, compress
from hierbayes.engine.whitening.integrable import integrable
from hierbayes.engine.whitening.problem import Climb, Component, Own, Predictor, Problem, Steps
from hierbayes.engine.whitening.stacked import Question, Stacked, problems_of
from hierbayes.engine.whitening.stacked import Tie as EngineTie
from hierbayes.families import Parameter
from hierbayes.families.rows import Rows
from hierbayes.priors import Prior
from hierbayes.schema import SIMPLEX
from hierbayes.spec import ModelSpec
from hierbayes.structures import STRUCTURES
from hierbayes.ties import Tie

if TYPE_CHECKING:
    from hierbayes.engine.whitening.laplace import LaplaceStart
    from hierbayes.engine.whitening.sample import Draws


TUNE, TUNE_UNGUIDED = 250, 1000  # coordinates are good from the start, where the initialisation arrived
TARGET_ACCEPT = 0.8  # there are no funnels to be careful in
TARGET_SHORT_STEPS = (
    0.95  # levels far out and levels near 0 want steps of different lengths; so do curved ridges
)
TARGET_INTEGRATED = 0.65  # few coordinates are left, and longer steps cost little


class Whitened:
    """NUTS in coordinates in which the posterior is about N(0, I) (docs/engine.md, section 3)."""

    name = "whitened"

    def describe(self, spec: ModelSpec, design: Design | Streamed) -> str:
        """What it does with this model, in words."""
        design = in_memory(design, "strategy 'whitened'")
        words = "NUTS in coordinates whitened by a Laplace approximation"
        problem = to_problem(spec, design)
        if integrable(problem) and (place := integrable(to_question(spec, design))):
            layout = list(spec.layout.predictors.values())[place[0]]
            words += f", effects of {layout.factors[place[1]].name} integrated out by quadrature"
        left = cells(problem)
        return words if left == len(design) else f"{words}; {len(design):,} rows → {left:,} cells"

    def supports(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """Why this model cannot be whitened, in words; None where it can."""
        if isinstance(design, Streamed):
            return f"its rows stay in {design.source.words}"
        if spec.layout.response.series is not None:
            return "residuals are correlated within series"
        if spec.family.row is None and spec.family.computed is not None:
            return f"nl(…) of a parameter of family {spec.family.name!r} has its derivatives from the graph alone"
        if spec.family.row is None:
            return f"family {spec.family.name!r} has no row function, only a distribution of PyMC's"
        if spec.drawn_data:
            return f"{spec.drawn_data} are drawn"
        for parameter in spec.layout.predictors:
            if found := obstacle(spec, parameter):
                return found
        for layout in spec.layout.predictors.values():
            if any(factor.monotonic and factor.relations is not None for factor in layout.factors):
                return "a monotonic effect varies by levels that are related"
            if any(len(effect.steps) > 1 for effect in layout.monotonic):
                return "two monotonic effects multiply each other"
            if len(layout.simplexes) < len(layout.monotonic):
                return "monotonic effects share their steps"
        for prior in spec.priors:
            if prior.prior.joint:
                continue
            allowed = _allowed(spec, prior.kind)
            if prior.prior.fixed is None and prior.prior.name not in allowed:
                return f"a prior of class {prior.kind} is {prior.prior.name}, not one of {', '.join(allowed)}"
            if not (_has_ends(spec, prior.kind) or takes_bounds(prior.prior)):
                return f"a prior of class {prior.kind} is a Gamma with other bounds than a lower one"
        return None

    def dear(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """No other strategy costs less."""
        return None

    def run(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw the posterior: a DataTree of the schema."""
        start = time.perf_counter()
        rows = in_memory(design, f"strategy {self.name!r}")
        drawn, attributes = draw(to_question(spec, rows), len(rows), settings, start)
        return to_tree(spec, rows, posterior_arrays(spec, drawn), drawn.statistics, attributes)

    def approximate(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw a Gaussian approximation in the whitened coordinates."""
        start = time.perf_counter()
        rows = in_memory(design, f"strategy {self.name!r}")
        drawn, attributes = draw_near(to_question(spec, rows), len(rows), settings, start)
        return to_tree(spec, rows, posterior_arrays(spec, drawn), drawn.statistics, attributes)


def draw_near(
    question: Question, rows: int, settings: Settings, start: float
) -> tuple["Draws", dict[str, Any]]:
    """As `draw`, of a normal distribution in the whitened coordinates that is near the posterior."""
    from hierbayes.engine.core.approximation import draw_normal
    from hierbayes.engine.whitening.laplace import density_of
    from hierbayes.engine.whitening.sample import expand

    initial = _find(question, settings)
    ready, threads = time.perf_counter(), settings.threads
    density = density_of(initial.packed)
    positions, log_ratio = draw_normal(density, initial.position, settings.draws, settings.seed, threads)
    drawn = expand(question, initial.packed, positions, {"log_ratio": log_ratio}, threads, settings.seed)
    return drawn, _facts(question, drawn, initial, rows, start, ready)


def draw(question: Question, rows: int, settings: Settings, start: float) -> tuple["Draws", dict[str, Any]]:
    """Draws of a model with so many rows, which was begun at `start`, and how they came about."""
    from hierbayes.engine.whitening.sample import sample

    initial = _find(question, settings)
    if not initial.converged:
        notify(settings, "The Laplace approximation did not converge: chains start from a wider region.")
    ready = time.perf_counter()
    drawn = sample(
        question,
        initial,
        draws=settings.draws,
        tune=settings.tune or (TUNE if initial.converged else TUNE_UNGUIDED),
        chains=settings.chains,
        cores=settings.cores,
        seed=settings.seed,
        progress=settings.progress,
        target_accept=settings.target_accept or _target(question, initial),
    )
    interrupted = next(iter(drawn.statistics.values())).shape != (settings.chains, settings.draws)
    how = {"sampler": "nutpie", "interrupted": int(interrupted)}
    return drawn, _facts(question, drawn, initial, rows, start, ready) | how


def _find(question: Question, settings: Settings) -> "LaplaceStart":
    """Where the posterior is."""
    from hierbayes.engine.whitening.laplace import integrated_start, laplace_start

    with notify_if_slow(
        settings,
        "Finding where the posterior is; the first time on a machine that is compiled, in about half a minute …",
    ):
        if isinstance(question, Problem) and integrable(question):
            return integrated_start(question)
        return laplace_start(question)


def _target(question: Question, initial: "LaplaceStart") -> float:
    from hierbayes.engine.whitening.packing import LAW

    heavy = (initial.packed.model.factors[:, LAW] >= 0).any()
    if heavy or any(problem.curved for problem in problems_of(question)):
        return TARGET_SHORT_STEPS
    return TARGET_ACCEPT if initial.packed.integrated is None else TARGET_INTEGRATED


def _facts(
    question: Question, drawn: "Draws", initial: "LaplaceStart", rows: int, start: float, ready: float
) -> dict[str, Any]:
    """What the tree says of its draws, once they are made: begun at `start`, sampled since `ready`."""
    return {
        "strategy": Whitened.name,
        "rows": rows,
        "cells": sum(len(one.y) for one in problems_of(question)),
        "initialisation": "converged" if initial.converged else "not converged",
        **drawn.quadrature,
        "compile_seconds": ready - start,
        "sampling_seconds": time.perf_counter() - ready,
    }


def to_question(spec: ModelSpec, design: Design) -> Question:
    """The model and its rows as the engine takes them: equal rows merged, effects of several formulas tied."""
    problem = compress(to_problem(spec, design))
    if not spec.ties:
        return problem
    places = {("", parameter): j for j, parameter in enumerate(spec.layout.predictors)}
    return Stacked((problem,), tuple(to_tie(tie, spec.tie_prior(tie), places) for tie in spec.ties))


def to_tie(tie: Tie, prior: Prior, predictors: Mapping[tuple[str, str], int]) -> EngineTie:
    """A tie as plain arrays, from the place of each response's and parameter's predictor."""
    members = tuple((predictors[m.response, m.parameter], m.place, m.effects) for m in tie.members)
    eta = dict(prior.args).get("eta", 1.0)
    return EngineTie(members, "us", matrix_rows(STRUCTURES["us"], len(tie.effects), eta, prior.fixed))


def tied_correlations(tie: Tie, drawn: "Draws", predictors: Mapping[tuple[str, str], int]) -> Floats:
    """Draws of the correlations of a tie's effects of the user's columns: (…, Q, Q)."""
    own = [(predictors[m.response, m.parameter], m.place) for m in tie.members]
    places = next(places for places in drawn.joint if own[0] in places)
    sd, cor = drawn.joint[places]
    sizes = [drawn.sd[j][k].shape[-1] for j, k in places]
    starts = dict(zip(places, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
    chosen = [starts[place] + e for place, m in zip(own, tie.members, strict=True) for e in m.effects]
    return tie.correlations(sd[..., chosen], cor[..., chosen, :][..., chosen])


def _has_ends(spec: ModelSpec, kind: str) -> bool:
    """Whether priors of a class may lie between bounds."""
    return kind in (INTERCEPT, "b") or kind in spec.plain_parameters


def _allowed(spec: ModelSpec, kind: str) -> tuple[str, ...]:
    if kind == SIMPLEX or (kind in spec.plain_parameters and spec.family.parameter(kind).size):
        return ("Dirichlet",)
    if kind in spec.plain_parameters and spec.family.parameter(kind).kind.vector:
        return tuple(name for name, code in PRIOR_CODES.items() if code >= NORMAL)
    if _has_ends(spec, kind):
        return (*PRIOR_CODES, *BOUNDED_CODES)
    return allowed_scales(kind)


def posterior_arrays(
    spec: ModelSpec, drawn: "Draws", predictor: int = 0, own_number: int = 0
) -> dict[str, Any]:
    """Draws by the schema's names, on the scale of the user's columns.

    Of several responses, those of one, whose predictors and own numbers begin at these places.
    """
    arrays: dict[str, Any] = {}
    first = own_number
    for own in spec.family.parameters:
        if own.name in spec.plain_parameters:
            size = spec.components(own)
            arrays[own.name] = _own_values(spec, own, drawn.own[..., first : first + size])
            first += size
    for j, (parameter, layout) in enumerate(spec.layout.predictors.items(), start=predictor):
        shrunk = spec.shrunk(parameter)
        if shrunk.size:
            arrays |= joint_arrays(spec, parameter, drawn.shapes[j][-1])
        if layout.coefficients:
            known, b = known_values(spec, parameter), drawn.b[j]
            if shrunk.places.size:
                effects = drawn.r[j][-1][..., 0, : len(shrunk.places)]
                b = _with_shrunk(b, effects, shrunk.places, np.isnan(known))
            arrays[spec.coefficient_variable(parameter).name] = all_coefficients(b, layout, known)
        for k, factor in enumerate(layout.factors):
            shapes = own_shapes(factor, drawn.shapes[j][k])
            sd, cor, r = whitened_draws(factor, drawn.sd[j][k], drawn.cor[j][k], drawn.r[j][k])
            arrays |= spec.factor_arrays(parameter, factor, sd, cor, shapes, r)
        arrays |= curve_arrays(spec, parameter, drawn.sd[j], drawn.shapes[j], drawn.r[j])
        for simplex in layout.simplexes:
            broken = drawn.own[..., first : first + len(simplex.steps) - 1]
            arrays[spec.simplex_variable(parameter, simplex.label).name] = shares_of(broken)
            first += len(simplex.steps) - 1
    places = {("", parameter): j for j, parameter in enumerate(spec.layout.predictors, start=predictor)}
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        arrays[variable.name] = tied_correlations(tie, drawn, places)
    return spec.about_zero(arrays)


def _own_values(spec: ModelSpec, parameter: Parameter, numbers: Floats) -> Floats:
    """A parameter without a formula, (…) or (…, elements), from the engine's numbers (…, as many as say it)."""
    if parameter.size:
        sets = spec.sets_of(parameter)
        by_set = () if sets is None else (len(sets.labels),)
        return shares_of(numbers.reshape(*numbers.shape[:-1], *by_set, parameter.size - 1))
    if not parameter.kind.vector:
        return numbers[..., 0]
    return numbers.reshape(*numbers.shape[:-1], *np.shape(spec.typical(parameter)))


def _with_shrunk(b: Floats, shrunk: Floats, places: Ints, free: NDArray[np.bool_]) -> Floats:
    """Draws of all free coefficients, from those that have their own priors and those that have a joint one."""
    whole = np.empty((*b.shape[:-1], len(free)))
    own = free.copy()
    own[places] = False
    whole[..., own], whole[..., places] = b, shrunk
    return whole[..., free]


def own_numbers(spec: ModelSpec) -> int:
    """How many numbers of the model's own there are: of parameters without a formula, and of shares of steps."""
    plain = sum(spec.components(spec.family.parameter(name)) for name in spec.plain_parameters)
    simplexes = [simplex for layout in spec.layout.predictors.values() for simplex in layout.simplexes]
    return plain + sum(len(simplex.steps) - 1 for simplex in simplexes)


def to_problem(spec: ModelSpec, design: Design) -> Problem:
    """The model and its rows as the plain arrays of the whitened engine."""
    assert design.y is not None, "a posterior is that of rows with a response"
    family, n = spec.family, len(design)
    rows = family.rows
    assert isinstance(rows, Rows), "the family has a row function"
    y = design.y.astype(np.float64)
    trials = np.ones(n) if design.trials is None else np.asarray(design.trials, np.float64)
    weights = np.ones(n) if design.weights is None else np.asarray(design.weights, np.float64)
    known = {p.name: p.kind.under(p.link, design.predictors[p.name].offset) for p in family.known}
    constant = float(weights @ family.constant(y, trials, known))
    own: list[Own] = []
    components: list[Component] = []
    for parameter in family.parameters:
        if parameter.name in spec.layout.predictors:
            place = list(spec.layout.predictors).index(parameter.name)
            link = parameter.kind.codes[spec.parameter_link(parameter.name).name]
            components.append(Component(place, -1, link))
        else:
            prior = spec.prior(parameter.name, parameter=parameter.name)
            if parameter.of == "least" and not known:
                least = float(family.support.sizes(y[weights > 0.0]).min(initial=np.inf))
                prior, left_out = _below(prior, least)
                constant += left_out
            more = _own(spec, parameter, prior)
            code, sets = parameter.kind.codes["identity"], spec.sets_of(parameter)
            size = len(more) if sets is None else len(more) // len(sets.labels)
            step = 0 if sets is None else size
            components += [Component(-1, len(own) + k, code, step) for k in range(size)]
            own += more
    predictors = []
    for name in spec.layout.predictors:
        steps, broken = _steps(spec, design, name, len(own))
        predictors.append(_predictor(spec, design, name, steps))
        own += broken
    return Problem(
        address=rows.address,
        components=tuple(components),
        y=np.ascontiguousarray(family.response(y), np.float64).reshape(n, -1),
        trials=trials,
        weights=weights,
        categories=family.response(np.arange(_categories(spec), dtype=np.float64)),
        sets=np.zeros(n, np.int64) if design.sets is None else design.sets,
        predictors=tuple(predictors),
        own=tuple(own),
        constant=constant,
        information=None if family.information is None else _information(spec),
        summed=family.summed,
        curved=family.curved,
    )


def _categories(spec: ModelSpec) -> int:
    """How many categories a response has, 0 where it is none."""
    return len(spec.layout.response.levels or ()) if spec.family.support.categories else 0


def _below(prior: Prior, least: float) -> tuple[Prior, float]:
    """A prior of what cannot be above the least response, cut off there, and the log share of it that is left.

    The posterior is the same, but a number between bounds has coordinates in which the least response is far away.
    """
    if prior.fixed is not None or prior.name == "HalfFlat" or np.isinf(least):
        return prior, 0.0
    cut = prior.between(0.0, least)
    if cut is None:
        return prior, 0.0
    middle = 0.5 * sum(cut.distribution.bounds(**dict(cut.args)))
    return cut, float(prior.logpdf(middle) - cut.logpdf(middle))


def _own(spec: ModelSpec, parameter: Parameter, stated: Prior) -> list[Own]:
    """The numbers of a parameter without a formula: one, or one an element of a vector."""
    if parameter.size:
        sets = spec.sets_of(parameter)
        return _broken(stated, parameter.size) * (1 if sets is None else len(sets.labels))
    prior = own_row(stated)
    values, ordered = np.atleast_2d(spec.typical(parameter)), parameter.kind.support == "ordered"
    return [
        Own(prior, float(value), after=ordered and place > 0)
        for row in values
        for place, value in enumerate(row)
    ]


def _information(spec: ModelSpec) -> Callable[[Floats, Floats, Floats, Ints], Floats]:
    """Expected information of rows about the first parameter's linear predictor, from the engine's arrays."""

    def information(etas: Floats, own: Floats, trials: Floats, sets: Ints) -> Floats:
        given: dict[str, Any] = {}
        first = 0
        for parameter in spec.family.own:
            if parameter.name in spec.layout.predictors:
                eta = etas[list(spec.layout.predictors).index(parameter.name)]
                given[parameter.name] = parameter.kind.under(spec.parameter_link(parameter.name), eta)
            else:
                size = spec.components(parameter)
                values = _own_values(spec, parameter, own[first : first + size])
                given[parameter.name] = values if spec.sets_of(parameter) is None else values[sets]
                first += size
        place = list(spec.layout.predictors).index(spec.family.first.name)
        return spec.family.at(etas[place], given, spec.link).information(trials)

    return information


def _steps(
    spec: ModelSpec, design: Design, parameter: str, first: int
) -> tuple[tuple[Steps, ...], list[Own]]:
    """The columns of a formula's monotonic effects, and the numbers that their shares are made of, from `first` on."""
    layout, stairs = spec.layout.predictors[parameter], design.predictors[parameter].stairs
    known = known_values(spec, parameter)
    free = np.isnan(known)
    free[spec.shrunk(parameter).places] = False  # which have no part in the effects': see `obstacle`
    stated = ~np.isnan(known)
    found: list[Steps] = []
    own: list[Own] = []
    column = 0
    for effect in layout.monotonic:
        (label,), count, row = effect.simplexes, effect.width, layout.map.matrix[effect.place]
        columns = stairs[:, column : column + count]
        size, climbs = (
            float(row[stated] @ known[stated]),
            tuple(_climbs(layout, design.predictors[parameter], effect)),
        )
        found.append(Steps(columns, row[free], size, first + len(own), climbs))
        column += count
        own += _broken(spec.simplex_prior(parameter, label), count)
    return tuple(found), own


def _climbs(layout: PredictorLayout, bound: BoundPredictor, effect: Monotonic) -> Iterator[Climb]:
    """The effects of groups that rise in the steps of a monotonic effect."""
    for k, factor in enumerate(layout.factors):
        column = 0
        for own in factor.monotonic:
            columns = slice(column, column + own.width)
            column = columns.stop
            if own.label != effect.label:
                continue
            for inner in np.flatnonzero(factor.map.matrix[own.place]).tolist():
                for t, rows in enumerate(bound.factors[factor.name].memberships):
                    stairs = rows.stairs[:, columns] * factor.map.matrix[own.place, inner]
                    yield Climb(k, t, inner, stairs)


def _broken(dirichlet: Prior, count: int) -> list[Own]:
    """The parts of what is left that shares but the last are, under a Dirichlet prior of all.

    Each is Beta: the share's own concentration, and that of all later ones.
    """
    concentration = np.broadcast_to([value for _, value in dirichlet.args], (count,))
    found = []
    for share, later in zip(concentration, np.cumsum(concentration[:0:-1])[::-1], strict=False):
        prior = Prior("Beta", alpha=float(share), beta=float(later))
        found.append(Own(coefficient_row(prior), float(share / (share + later))))
    return found


def _predictor(spec: ModelSpec, design: Design, parameter: str, steps: tuple[Steps, ...]) -> Predictor:
    layout, bound = spec.layout.predictors[parameter], design.predictors[parameter]
    location, scale = spec.location_and_scale(parameter)
    known = known_values(spec, parameter)
    X, added = split_columns(bound.x, layout, known)
    priors, shrunk = spec.coefficient_priors(parameter), spec.shrunk(parameter)
    free = np.flatnonzero(np.isnan(known))
    own = ~np.isin(free, shrunk.places)
    coefficients = None
    sds = [
        *(0.5 * scale / factor.scale_sizes for factor in layout.factors),
        *(np.array([0.5 * scale / curve.size]) for curve in layout.curves),
    ]
    if spec.family.parameter(parameter).unscaled:  # the priors alone say where it is
        coefficients = np.array([priors[place].typical for place in free[own]], np.float64)
        sds = [
            *(
                np.array([_typical(prior) for prior in spec.sd_priors(parameter, factor)])
                for factor in layout.factors
            ),
            *(np.array([_typical(spec.curve_priors(parameter, curve)[0][1])]) for curve in layout.curves),
        ]
    return Predictor(
        X=np.ascontiguousarray(X[:, own]),
        offset=bound.offset + added,
        factors=(
            *whitened_factors(spec, design, parameter),
            *shrunk_factors(spec, design, parameter),
        ),
        priors=np.array([coefficient_row(priors[place]) for place in free[own]]).reshape(-1, 6),
        start=location + spec.family.parameter(parameter).start * scale,
        coefficients=coefficients,
        sds=(*sds, *([np.ones(1)] if shrunk.size else [])),
        steps=steps,
    )


def _typical(prior: Prior) -> float:
    """A typical value of a standard deviation; any of one that a joint prior decides."""
    return 1.0 if prior.joint else prior.typical


def own_row(prior: Prior) -> Floats:
    """A prior of an own parameter as the kernel reads it: (code, a, b, c)."""
    return sd_row(prior) if prior.fixed is not None else coefficient_row(prior)


def coefficient_row(prior: Prior) -> Floats:
    """A prior of a coefficient as the kernel reads it: (code, a, b, c, lower end, upper end)."""
    if prior.name not in BOUNDED_CODES:
        own = [PRIOR_CODES[prior.name], *(value for _, value in prior.args), 0.0, 0.0, 0.0][:4]
        return np.array([*own, -np.inf, np.inf], dtype=np.float64)
    arguments = [value for word, value in prior.args if word not in ("lower", "upper")]
    ends = prior.distribution.bounds(**dict(prior.args))
    own = [BOUNDED_CODES[prior.name], *arguments, 0.0, 0.0, 0.0][:4]
    return np.array([*own, *ends], dtype=np.float64)
