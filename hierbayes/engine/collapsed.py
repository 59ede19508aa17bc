"""The strategy for Gaussian models: coefficients integrated out exactly, NUTS draws the rest."""

import time
from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from hierbayes.data.curves import Curve
from hierbayes.data.design import MEAN, BoundFactor, Design, PredictorLayout
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.factors import Factor as FactorLayout
from hierbayes.data.series import Series
from hierbayes.distributions import HALVES, MIDDLES
from hierbayes.engine.core.problem import Block, Factor, Floats, PriorCode
from hierbayes.engine.core.shapes import (
    bounded_row,
    constant_rows,
    matrix_rows,
    normal_row,
    positive_row,
    real_row,
)
from hierbayes.engine.draws import to_tree
from hierbayes.engine.fixed import all_coefficients, known_values, split_columns
from hierbayes.engine.gaussian.problem import GaussianProblem, LogSigma
from hierbayes.engine.gaussian.route import SERIES, Route, chain_of, choose_route, parents_of
from hierbayes.engine.settings import Settings, notify_if_slow
from hierbayes.engine.streamed import Streamed
from hierbayes.families.bounds import WORDS
from hierbayes.families.serial import KINDS as CORRELATED
from hierbayes.kinds import CORRELATIONS
from hierbayes.priors import Prior
from hierbayes.spec import ModelSpec
from hierbayes.structures import BOUNDED, LAWS, POSITIVE, REAL, STRUCTURES, StructureParameter

if TYPE_CHECKING:
    from hierbayes.engine.gaussian.collapsed import Draws
    from hierbayes.engine.gaussian.moments import Moments
    from hierbayes.engine.gaussian.rotation import Rotated

SD_PRIORS = {  # our distributions → the kernels' densities of a standard deviation
    "Exponential": "EXPONENTIAL",
    "HalfNormal": "HALF_NORMAL",
    "HalfStudentT": "HALF_STUDENT",
    "HalfCauchy": "HALF_CAUCHY",
    "Gamma": "GAMMA",
    "InverseGamma": "INVERSE_GAMMA",
    "LogNormal": "LOGNORMAL",
    "Uniform": "UNIFORM",
    "HalfFlat": "HALF_FLAT",
    "Fixed": "FIXED",
}
LOADING_PRIORS = {  # about 0, or the half of that
    **{whole: SD_PRIORS[half] for half, (whole, _) in HALVES.items()},
    **{half: SD_PRIORS[half] for half in HALVES},
    "Fixed": "FIXED",
}
LAW_PRIORS = SD_PRIORS | {"TruncatedGamma": "TRUNCATED_GAMMA"}
COR_PRIORS = ("LKJ", "Fixed")
BOUNDED_PRIORS = ("Uniform", "Beta", "TruncatedNormal", "Fixed")
SHAPES = {shape.name: shape.kind for structure in STRUCTURES.values() for shape in structure.parameters}
SHAPES |= {
    kind.parameter(()).name: "cor" if kind.structure.matrix else BOUNDED for kind in CORRELATED.values()
}
SHAPES |= {
    loading.name: REAL
    for structure in STRUCTURES.values()
    if structure.loadings
    for loading in structure.loadings.parameters(2, 1)
}
LAW = "law"
SHAPES |= {parameter.name: LAW for law in LAWS.values() for parameter in law.parameters}
MOST_RELATED = 200  # levels whose effects are integrated out of the rows as they are
MOST_ROTATED = 1500  # the same of rows that are rotated once
COEFFICIENT_PRIORS = ("Normal", "Flat")


class Collapsed:
    """Coefficients integrated out; NUTS on sigma, sds and correlations (docs/engine.md, section 1).

    Of several large factors all but one are sampled, whitened, where that is cheaper (section 2).
    """

    name = "collapsed"

    def describe(self, spec: ModelSpec, design: Design | Streamed) -> str:
        """What it does with this model, in a clause."""
        factors = spec.layout.main.factors
        sampled = [factors[k].name for k in route_for(spec, design).sampled]
        drawn = "sds and correlations" if knows_sigma(spec) else "sigma, sds and correlations"
        if not sampled:
            return f"all coefficients integrated out exactly, NUTS on {drawn}"
        whitened = ", ".join(f"r[{name}]" for name in sampled)
        return (
            f"b and {', '.join(f'r[{f.name}]' for f in factors if f.name not in sampled)} integrated out exactly, "
            f"NUTS on {drawn.replace(' and', ',')} and, whitened, {whitened}: integrating those out too would cost more"
        )

    def supports(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """Why this model cannot be collapsed, in words; None where it can."""
        if spec.family.takes_se and "se" in spec.layout.predictors:
            return "each row has a standard error beside sigma"
        if any(parameter.known in WORDS for parameter in spec.family.known):
            return "the response is censored or truncated"
        series = spec.layout.response.series
        if spec.family.computed is not None:
            return f"{' and '.join(spec.family.computed.names)} is no sum of terms, but nl(…)"
        if not (spec.is_normal or (series and spec.link_name == "identity")):
            return (
                f"the response is {spec.family.name} with link {spec.shown_link}, not Gaussian with identity"
            )
        if not (has_one_sigma(spec) or (log_linear_sigma(spec) if series else knows_sigma(spec))):
            return "sigma has a formula of its own"
        several = next((factor for factor in spec.layout.main.factors if factor.members is not None), None)
        if several is not None:
            return f"each row has several levels of {several.name}"
        if series and (found := _beside_series(spec, design)):
            return found
        heavy = next((factor for factor in spec.layout.main.factors if not factor.law.normal), None)
        if heavy is not None:
            return f"effects of {heavy.name} are {heavy.law.words}, not normal"
        if spec.drawn_data:
            return f"{spec.drawn_data} are drawn"
        if spec.layout.main.monotonic:
            return "the steps of monotonic effects multiply a coefficient"
        for prior in spec.priors:
            known = prior.prior.fixed is not None and not isinstance(design, Streamed)
            if not known and not takes_prior(prior.kind, prior.prior):
                allowed = ", ".join(_allowed(prior.kind))
                return f"a prior of class {prior.kind} is {prior.prior.name}, not one of {allowed}"
        return None

    def dear(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """Why another strategy costs much less: many related levels, whose precision is sparse, in dense matrices."""
        layout = spec.layout.main
        if isinstance(design, Streamed):
            return None
        alone = _rotates(layout, design)
        for factor in layout.factors:
            relations = factor.relations
            if relations is None or factor.precision is None:
                continue
            most = MOST_ROTATED if alone else MOST_RELATED
            if len(relations.labels) > most:
                return (
                    f"{relations.name} has {len(relations.labels):,} levels and a sparse inverse: their effects are "
                    "sampled at a fraction of the cost"
                )
        return None

    def run(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw the posterior: a DataTree of the schema."""
        from hierbayes.engine.gaussian.collapsed import sample

        rows, summed = _rows(spec, design)
        start = time.perf_counter()
        problem, route, rotated = _asked(spec, design, rows)
        _load_kernels(settings, route)
        ready = time.perf_counter()
        drawn = sample(
            problem,
            m=summed,
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=settings.cores,
            seed=settings.seed,
            progress=settings.progress,
            target_accept=settings.target_accept,
            route=route,
        )
        drawn = drawn if rotated is None else rotated.unrotated(drawn)
        attributes = {
            "strategy": self.name,
            "sampler": "nutpie",
            "compile_seconds": ready - start,
            "sampling_seconds": time.perf_counter() - ready,
            "interrupted": int(drawn.sigma.shape != (settings.chains, settings.draws)),
        }
        return to_tree(spec, rows, posterior_arrays(spec, drawn), drawn.statistics, attributes)

    def approximate(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw a Gaussian approximation of what NUTS would draw, and the rest exactly given that."""
        from hierbayes.engine.core.approximation import draw_normal
        from hierbayes.engine.gaussian.collapsed import complete, density_of, log_volume, prepare, unframe

        rows, summed = _rows(spec, design)
        start = time.perf_counter()
        problem, route, rotated = _asked(spec, design, rows)
        _load_kernels(settings, route)
        ready, threads = time.perf_counter(), settings.threads
        model, m = prepare(problem, summed, route)
        positions, log_ratio = draw_normal(
            density_of(model), np.zeros(model.dim), settings.draws, settings.seed, threads
        )
        statistics = {"log_ratio": log_ratio + log_volume(model)}  # NUTS has no use for that constant
        points = unframe(model, positions)
        drawn = complete(problem, model, m.reference, points, statistics, settings.seed, threads)
        drawn = drawn if rotated is None else rotated.unrotated(drawn)
        attributes = {
            "strategy": self.name,
            "compile_seconds": ready - start,
            "sampling_seconds": time.perf_counter() - ready,
        }
        return to_tree(spec, rows, posterior_arrays(spec, drawn), drawn.statistics, attributes)


def _rows(spec: ModelSpec, design: Design | Streamed) -> tuple[Design, "Moments | None"]:
    """The rows, or none of them and the cross-products of their inner columns."""
    if isinstance(design, Streamed):
        return design.no_rows, design.inner_moments(spec.layout)
    return design, None


def _asked(
    spec: ModelSpec, design: Design | Streamed, rows: Design
) -> tuple[GaussianProblem, Route, "Rotated | None"]:
    """The problem and its route: that of rotated rows, and the way back, where they can be rotated."""
    problem = to_problem(spec, rows)
    if isinstance(design, Design) and any(f.relations is not None for f in spec.layout.main.factors):
        from hierbayes.engine.gaussian.collapsed import route_of
        from hierbayes.engine.gaussian.rotation import can_rotate, rotate

        if can_rotate(problem):
            rotated = rotate(problem)
            return rotated.problem, route_of(rotated.problem), rotated
    return problem, route_for(spec, design), None


def _rotates(layout: PredictorLayout, design: Design) -> bool:
    """Whether rows can be rotated, without the matrices that say so."""
    from hierbayes.engine.gaussian.rotation import MOST_BESIDE

    related = [factor for factor in layout.factors if factor.relations is not None]
    others = [factor for factor in layout.factors if factor.relations is None]
    if len(related) != 1 or len(related[0].effects) > 1 or layout.curves or design.weights is not None:
        return False
    assert related[0].relations is not None, "its levels are related"
    beside = sum(len(factor.levels) * len(factor.effects) for factor in others)
    free = not (related[0].relations.kind.parameters or any(factor.correlated for factor in others))
    return free and beside <= MOST_BESIDE


def has_one_sigma(spec: ModelSpec) -> bool:
    """Whether all rows have the same standard deviation, to be learnt."""
    return set(spec.layout.predictors) == {MEAN}


def knows_sigma(spec: ModelSpec) -> bool:
    """Whether each row's standard deviation is known: that of ``se(s)``, or a formula that is an offset alone."""
    if set(spec.layout.predictors) != {MEAN, "sigma"}:
        return False
    sigma = spec.layout.predictors["sigma"]
    return not (sigma.coefficients or sigma.factors or sigma.curves)


def log_linear_sigma(spec: ModelSpec) -> bool:
    """Whether log sigma is a sum of columns times coefficients with normal or known priors."""
    sigma = spec.layout.predictors.get("sigma")
    return (
        sigma is not None
        and set(spec.layout.predictors) == {MEAN, "sigma"}
        and not (sigma.factors or sigma.curves or sigma.monotonic)
        and spec.links["sigma"] == "log"
        and not spec.shrunk("sigma").places.size
        and all(prior.name in ("Normal", "Fixed") for prior in spec.coefficient_priors("sigma"))
    )


def _beside_series(spec: ModelSpec, design: Design | Streamed) -> str | None:
    """Why effects beside correlated residuals cannot be integrated out, in words; None where they can."""
    layout = spec.layout.main
    if len(layout.factors) + len(layout.curves) > 1:
        return "there are several group terms or smooths beside correlated residuals"
    for factor in layout.factors:
        if factor.relations is not None:
            return f"levels of {factor.name} are related, beside correlated residuals"
        if isinstance(design, Design) and design.series is not None:
            series, level = design.series.codes, design.main.factors[factor.name].codes
            if not np.array_equal(parents_of(series, level, int(series.max()) + 1)[series], level):
                return f"residuals are correlated across levels of {factor.name}"
    return None


def posterior_arrays(spec: ModelSpec, drawn: "Draws") -> dict[str, Any]:
    """Draws by the schema's names."""
    layout = spec.layout.main
    b = all_coefficients(drawn.b, layout, known_values(spec))
    arrays: dict[str, Any] = {} if "sigma" in spec.layout.predictors else {"sigma": drawn.sigma}
    if spec.layout.response.series and "sigma" in spec.layout.predictors and not knows_sigma(spec):
        known = known_values(spec, "sigma")
        free = np.log(drawn.own[..., : int(np.isnan(known).sum())])
        name = spec.coefficient_variable("sigma").name
        arrays[name] = all_coefficients(free, spec.layout.predictors["sigma"], known)
    arrays[spec.coefficient_variable(MEAN).name] = b
    parts = zip(layout.factors, drawn.sd, drawn.cor, drawn.shapes, drawn.r, strict=False)
    for factor, sd, cor, shapes, r in parts:
        own = level_draws(factor, sd, cor, r)
        arrays |= spec.factor_arrays(MEAN, factor, *own[:2], own_shapes(factor, shapes), own[2])
    if spec.layout.response.series:
        arrays |= _series_arrays(spec.layout.response.series, drawn.series)
    return arrays | curve_arrays(spec, MEAN, drawn.sd, drawn.shapes, drawn.r)


CROSSED, CHAIN, DENSE = Route(0, (1,), 1, 0.0), Route(0, (), 1, inf, chained=0.0), Route(0, (), 1, 0.0)


def _load_kernels(settings: Settings, route: Route) -> None:
    """Have every kernel at hand: milliseconds, but for the first time on a machine, which is said."""
    kinds = [CROSSED] if route.sampled else [SERIES] if route.series else []
    if route.chained < inf:
        kinds.append(CHAIN)
    if (
        not (route.sampled or route.series) and route.seconds < route.chained
    ):  # levels may yet turn out too different to be merged
        kinds.append(DENSE)
    with notify_if_slow(settings, "Compiling the kernels, once on this machine …"):
        for kind in kinds:
            use_kernels(kind)


def use_kernels(route: Route) -> None:
    """Call every kernel of a route, `CROSSED`, `CHAIN`, `DENSE` or `SERIES`, with a tiny model."""
    from hierbayes.engine.gaussian.collapsed import complete, prepare

    prior = np.array([PriorCode.EXPONENTIAL, 1.0, 0.0, 0.0])
    y, x, rows = np.arange(8.0), np.ones((8, 1)), np.arange(8)
    factors = [Factor(codes, x, 4, ((0,),), prior[None], (1.0,)) for codes in (rows // 2, rows % 4)]
    known = np.array([[PriorCode.FIXED, 1.0, 0.0, 0.0]])
    times = Block("homdiag", (0, 1), (0, 0), np.zeros((0, 8)))
    tiny = GaussianProblem(
        y,
        x,
        factors[: 1 + len(route.sampled)],
        np.zeros(1),
        np.ones(1),
        prior,
        centre=np.zeros(1),
        intercept=0,
        series=None
        if not route.series
        else Factor(rows // 2, np.eye(2)[rows % 2], 4, (), known, structured=(times,)),
    )
    model, moments = prepare(tiny, route=route)
    complete(tiny, model, moments.reference, np.zeros((1, 1, model.dim)), {}, 0, 1)


def route_for(spec: ModelSpec, design: Design | Streamed) -> Route:
    """Which factors are integrated out and which sampled, by cost."""
    if spec.layout.response.series:
        return SERIES
    layout = spec.layout.main
    sizes = [_size(factor) for factor in layout.factors]
    sizes += [(1, curve.width) for curve in layout.curves]
    levels = [size for size, _ in sizes]
    if isinstance(design, Streamed):
        chain = chain_of(levels, lambda j, k: design.moments.pair(j, k)[:2])
    else:
        factors = design.main.factors
        codes = [
            factors[factor.name].codes if factor.relations is None else np.zeros(len(design), np.int64)
            for factor in layout.factors
        ]
        codes += [np.zeros(len(design), np.int64) for _ in layout.curves]
        chain = chain_of(levels, lambda j, k: (codes[j], codes[k]))
    return choose_route(len(layout.coefficients), sizes, len(design), bool(chain))


def _size(factor: FactorLayout) -> tuple[int, int]:
    """Levels and effects of a factor as the engine has it: see `to_factor`."""
    q = len(factor.effects)
    return (len(factor.levels), q) if factor.relations is None else (1, factor.width * q)


def takes_prior(kind: str, prior: Prior) -> bool:
    """Whether coefficients can be integrated out under this prior of a class."""
    return prior.name in _allowed(kind) and takes_bounds(prior)


def takes_bounds(prior: Prior) -> bool:
    """Whether kernels have the bounds of a standard deviation's or a structure's prior: a Gamma's lower one alone."""
    return prior.name != "TruncatedGamma" or [word for word, _ in prior.args[2:]] == ["lower"]


def _allowed(kind: str) -> tuple[str, ...]:
    if kind in (INTERCEPT, "b"):
        return COEFFICIENT_PRIORS
    return allowed_scales(kind)


def allowed_scales(kind: str) -> tuple[str, ...]:
    """The priors that sds, correlations and structures' parameters may have."""
    return {
        "cor": COR_PRIORS,
        BOUNDED: BOUNDED_PRIORS,
        REAL: tuple(LOADING_PRIORS),
        LAW: tuple(LAW_PRIORS),
    }.get(SHAPES.get(kind, kind), tuple(SD_PRIORS))


def to_problem(spec: ModelSpec, design: Design) -> GaussianProblem:
    """The model and its rows as the plain arrays of the Gaussian engine."""
    assert design.y is not None, "a posterior is that of rows with a response"
    layout, bound = spec.layout.main, design.main
    known = known_values(spec)
    free = np.isnan(known)
    priors = [prior for prior, learnt in zip(spec.coefficient_priors(), free, strict=True) if learnt]
    moments = np.array([_normal(prior) for prior in priors]).reshape(-1, 2)
    X, added = split_columns(bound.x, layout, known)
    offset = bound.offset + added if layout.offsets or not free.all() else None
    weights, sigma = design.weights, _sigma_row(spec)
    series = _series(spec, design)
    if knows_sigma(spec) and not series:
        # the same density as of weighted rows with the standard deviation 1, but for a constant
        sds = spec.parameter_link("sigma").mean(design.predictors["sigma"].offset)
        weights = (1.0 if weights is None else weights) / np.square(sds)
    return GaussianProblem(
        y=spec.family.response(design.y),
        X=X,
        factors=to_factors(spec, design, MEAN),
        prior_mean=moments[:, 0],
        prior_precision=moments[:, 1],
        sigma_prior=sigma,
        centre=np.zeros(X.shape[1]),
        offset=offset,
        weights=weights,
        series=series,
        log_sigma=_log_sigma(spec, design) if series else None,
    )


def _series(spec: ModelSpec, design: Design) -> Factor | None:
    """The series as a factor, whose effects would be the residuals over sigma."""
    series = spec.layout.response.series
    if series is None:
        return None
    assert design.series is not None, "rows with a response have theirs"
    q, prior = len(series.times), spec.prior(series.parameter, parameter=series.parameter)
    if series.structure.matrix:
        rows = matrix_rows(series.structure, q, dict(prior.args).get("eta", 1.0), prior.fixed)
    else:
        (parameter,) = series.structure.parameters
        rows = shape_row(parameter, q, series.times, prior)
    rows = np.concatenate([rows, constant_rows(series.structure.constants(series.times))])
    return Factor(
        codes=design.series.codes,
        Z=np.eye(q)[design.series.places],
        n_levels=int(design.series.codes.max()) + 1,
        sd_priors=sd_row(Prior("Fixed", value=1.0))[None],
        structured=(Block(series.structure.name, tuple(range(q)), (0,) * q, rows),),
    )


def _series_arrays(series: Series, shapes: Floats) -> dict[str, Floats]:
    """The correlations of residuals by name, from draws of their structure's parameters (chain, draw, P)."""
    matrix, q = series.structure.matrix, len(series.times)
    if matrix is None:
        return {series.parameter: shapes[..., 0]}
    partials = shapes.reshape(-1, shapes.shape[-1])[:, : q * (q - 1) // 2]
    pairs = CORRELATIONS.of_joint(matrix.from_partials(partials, q))
    return {series.parameter: pairs.reshape(*shapes.shape[:-1], -1)}


def _log_sigma(spec: ModelSpec, design: Design) -> LogSigma | None:
    """What a formula of log sigma says of rows in series; None where all have the same sigma.

    A coefficient with a normal prior is the logarithm of a scale with a log-normal one.
    """
    if "sigma" not in spec.layout.predictors:
        return None
    layout, bound, known = (
        spec.layout.predictors["sigma"],
        design.predictors["sigma"],
        known_values(spec, "sigma"),
    )
    columns, added = split_columns(bound.x, layout, known)
    priors = [prior for prior in spec.coefficient_priors("sigma") if prior.fixed is None]
    rows = [sd_row(Prior("LogNormal", **dict(prior.args))) for prior in priors]
    if not rows:  # all is known
        return LogSigma(
            np.zeros((len(columns), 1)), bound.offset + added, sd_row(Prior("Fixed", value=1.0))[None]
        )
    return LogSigma(columns, bound.offset + added, np.array(rows))


def _sigma_row(spec: ModelSpec) -> Floats:
    """The prior of the residual standard deviation, 1 where each row's own is known."""
    prior = (
        Prior("Fixed", value=1.0)
        if "sigma" in spec.layout.predictors
        else spec.prior("sigma", parameter="sigma")
    )
    return sd_row(prior)


def _normal(prior: Prior) -> tuple[float, float]:
    """Mean and precision of a coefficient's prior; a flat one has precision 0."""
    if prior.name == "Flat":
        return 0.0, 0.0
    arguments = dict(prior.args)
    return arguments["mu"], arguments["sigma"] ** -2


def to_factors(
    spec: ModelSpec, design: Design, parameter: str, chosen: Sequence[FactorLayout] | None = None
) -> tuple[Factor, ...]:
    """The grouping factors of a parameter's formula, all or some, then the curves of its smooths, as plain arrays."""
    layout = spec.layout.predictors[parameter]
    own = layout.factors if chosen is None else chosen
    factors = [to_factor(spec, factor, design, parameter) for factor in own]
    return (*factors, *_curves(spec, design, parameter))


def _curves(spec: ModelSpec, design: Design, parameter: str) -> Iterator[Factor]:
    """Each curve is a factor of one level, whose effects are independent.

    They have one standard deviation, multiplied, where the curve is a process, by the roots of its spectral density.
    """
    columns = design.predictors[parameter].penalised
    first = 0
    for curve in spec.layout.predictors[parameter].curves:
        (_, prior), *shapes = spec.curve_priors(parameter, curve)
        yield Factor(
            codes=np.zeros(len(columns), np.int64),
            Z=columns[:, first : first + curve.width],
            n_levels=1,
            sd_priors=sd_rows(spec, parameter, curve.label, [prior]),
            structured=_curve_blocks(curve, [prior for _, prior in shapes]),
        )
        first += curve.width


def _curve_blocks(curve: Curve, priors: Sequence[Prior]) -> tuple[Block, ...]:
    if curve.process is None:
        return tuple(Block("diag", (place,), (0,), np.zeros((0, 8))) for place in range(curve.width))
    none = np.empty(0)
    rows = [
        shape_row(shape, curve.width, none, prior) for shape, prior in zip(curve.shapes, priors, strict=True)
    ]
    rows.append(constant_rows(curve.process.constants))
    places = tuple(range(curve.width))
    return (Block(curve.process.spectrum.name, places, (0,) * curve.width, np.concatenate(rows)),)


def curve_arrays(
    spec: ModelSpec, parameter: str, sd: Sequence[Floats], shapes: Sequence[Floats], r: Sequence[Floats]
) -> dict[str, Floats]:
    """Draws of smooths by the schema's names, from those of the factors of `to_factors`.

    They are sds (…, q), parameters of structures (…, P) and effects (…, levels, q).
    """
    layout, arrays = spec.layout.predictors[parameter], {}
    for place, curve in enumerate(layout.curves, start=len(layout.factors)):
        variables = spec.curve_variables(parameter, curve)
        arrays[variables["sd"].name] = sd[place][..., 0]
        for number, shape in enumerate(curve.shapes):
            arrays[variables[shape.name].name] = shapes[place][..., number]
        arrays[variables["s"].name] = r[place][..., 0, :]
    return arrays


def to_factor(spec: ModelSpec, factor: FactorLayout, design: Design, parameter: str) -> Factor:
    """A grouping factor of a parameter's formula, with the priors of its sds and correlations, as plain arrays."""
    bound = design.predictors[parameter].factors[factor.name]
    if factor.relations is not None:
        return _related(spec, factor, bound, parameter)
    memberships = [(each.codes, factor.map.inner_columns(each.z)) for each in bound.memberships]
    return Factor(
        codes=memberships[0][0],
        Z=memberships[0][1],
        n_levels=len(factor.levels),
        sd_priors=sd_rows(spec, parameter, factor.name, spec.sd_priors(parameter, factor)),
        structured=tuple(_blocks(spec, factor, parameter)),
        more=tuple(memberships[1:]),
    )


def _related(spec: ModelSpec, factor: FactorLayout, bound: BoundFactor, parameter: str) -> Factor:
    """A factor whose levels are related: one level with an independent effect for each column of their root.

    A level's effects are r = B √v u · sd, B the root of their covariance, so that a row has B's own row for columns.
    """
    z = factor.map.inner_columns(bound.z)
    columns = factor.root[bound.codes][:, :, None] * z[:, None, :]  # (n, m, q)
    return Factor(
        codes=np.zeros(len(z), np.int64),
        Z=columns.reshape(len(z), -1),
        n_levels=1,
        sd_priors=sd_rows(spec, parameter, factor.name, spec.sd_priors(parameter, factor)),
        structured=tuple(_related_blocks(spec, factor, parameter)),
    )


def _related_blocks(spec: ModelSpec, factor: FactorLayout, parameter: str) -> Iterator[Block]:
    """The independent effects: each by itself, or together where their variances come from parameters."""
    assert factor.relations is not None, "levels are related"
    kind, scales = factor.relations.kind, tuple(np.tile(factor.scale_of, factor.width).tolist())
    places = tuple(range(len(scales)))
    if not kind.parameters:
        for place, scale in zip(places, scales, strict=True):
            yield Block("diag", (place,), (scale,), np.zeros((0, 8)))
        return
    none, priors = np.empty(0), spec.shape_priors(parameter, factor)
    rows = [shape_row(shape, 1, none, prior) for shape, prior in zip(kind.parameters, priors, strict=True)]
    rows.append(constant_rows(factor.direction_constants))
    yield Block(kind.name, places, scales, np.concatenate(rows))


def level_draws(factor: FactorLayout, sd: Floats, cor: Floats, r: Floats) -> tuple[Floats, Floats, Floats]:
    """Draws of sds (…, q), correlations (…, q, q) and effects (…, G, q), from those of the factor of `to_factor`."""
    if factor.relations is None:
        return sd, cor, r
    q = len(factor.effects)
    effects = factor.root @ r.reshape(*r.shape[:-2], factor.width, q)
    return sd[..., :q], np.broadcast_to(np.eye(q), (*sd.shape[:-1], q, q)), effects


def _blocks(spec: ModelSpec, factor: FactorLayout, parameter: str) -> Iterator[Block]:
    """The covariance structures of a factor's effects as plain arrays."""
    scale_of, priors = factor.scale_of, iter(spec.shape_priors(parameter, factor))
    for block in factor.structures:
        q = len(block.effects)
        rows = [shape_row(shape, q, block.positions, next(priors)) for shape in block.parameters]
        if block.matrix:
            prior = spec.cor_prior(parameter, factor, block)
            rows.append(matrix_rows(block.structure, q, dict(prior.args).get("eta", 1.0), prior.fixed))
        if q > 1:
            rows.append(constant_rows(block.structure.constants(block.positions)))
        scales = tuple(scale_of[place] for place in block.effects)
        yield Block(block.structure.name, block.effects, scales, np.concatenate([np.zeros((0, 8)), *rows]))
    if not factor.law.normal:
        q, positions = len(factor.effects), np.arange(len(factor.effects), dtype=np.float64)
        rows = [shape_row(shape, q, positions, next(priors)) for shape in factor.law.parameters]
        yield Block(factor.law.name, (), (), np.concatenate(rows))


def shape_row(shape: StructureParameter, q: int, positions: Floats, prior: Prior) -> Floats:
    """A structure's parameter with its prior as the kernels read it: (1, 8)."""
    if shape.place:
        return _loading_row(shape, prior)
    lower, upper = shape.lower(q), shape.upper(q)
    if prior.fixed is not None:
        return constant_rows([prior.fixed], lower, upper)
    arguments = dict(prior.args)
    if shape.kind == POSITIVE:
        return positive_row(sd_row(prior), shape.typical(positions))
    if prior.name == "Beta":
        return bounded_row(0.0, 1.0, arguments["alpha"], arguments["beta"], lower, upper)
    low, high = arguments["lower"], arguments["upper"]
    if prior.name == "TruncatedNormal":
        return normal_row(low, high, arguments["mu"], arguments["sigma"], lower, upper)
    return bounded_row(low, high, 1.0, 1.0, lower, upper)


def _loading_row(shape: StructureParameter, prior: Prior) -> Floats:
    """A loading, whose size the kernels know a prior of: they start from where no column is 0, as all could stay."""
    if prior.fixed is not None:
        return constant_rows([prior.fixed], prior.fixed - 1.0, prior.fixed + 1.0)
    arguments = [value for word, value in prior.args if word != MIDDLES.get(prior.name)]
    code = PriorCode[LOADING_PRIORS[prior.name]]
    row = np.array([code, *arguments, 0.0, 0.0, 0.0][:4], dtype=np.float64)
    typical = arguments[-1]
    return real_row(row, typical, 0.5 * typical if shape.kind == POSITIVE else 0.0)


def own_shapes(factor: FactorLayout, shapes: Floats) -> list[Floats]:
    """The draws of a factor's `shapes`, (…) each, among those of all that its blocks give to the kernels (…, P)."""
    found, first = [], 0
    for block in factor.structures:
        q = len(block.effects)
        found += [shapes[..., first + place] for place in range(len(block.parameters))]
        first += len(block.parameters)
        if q > 1:
            first += len(block.matrix.pairs(q)) if block.matrix else 0
            first += len(block.structure.constants(block.positions))
    return found + [shapes[..., first + place] for place in range(len(factor.shapes) - len(found))]


def sd_rows(spec: ModelSpec, parameter: str, owner: str, priors: Sequence[Prior]) -> Floats:
    """The priors of a factor's standard deviations; of one that a joint prior decides, where it is among those."""
    decided = spec.shrunk(parameter).decided(owner)
    return np.array(
        [
            [PriorCode.JOINT, decided[place], 0.0, 0.0] if place in decided else sd_row(prior)
            for place, prior in enumerate(priors)
        ],
        np.float64,
    )


def sd_row(prior: Prior) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A prior of a standard deviation as the kernels read it: (code, a, b, c)."""
    arguments = [value for _, value in prior.args]
    return np.array([PriorCode[LAW_PRIORS[prior.name]], *arguments, 0.0, 0.0, 0.0][:4], dtype=np.float64)
