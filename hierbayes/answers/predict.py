"""Predictions from draws: known levels, new levels, missing levels, in bounded memory."""

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Number
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.averaging import average_mean, expect, expect_of_several
from hierbayes.answers.beyond import add_new_times, scales_of
from hierbayes.answers.draws import LARGEST_KEPT, Draws, population_coefficients
from hierbayes.answers.intervals import MEASURES, Interval, labelled, measure, summarise, when_needed
from hierbayes.answers.latents import drawn_values, latent_part
from hierbayes.answers.related import conditional_effects
from hierbayes.answers.series import Past, check_series, draw_responses, given_past, series_blocks
from hierbayes.answers.threads import side_by_side
from hierbayes.data.design import MEAN, OBS, BoundFactor, BoundPredictor, Design, is_main
from hierbayes.data.factors import Factor
from hierbayes.data.levels import Codes
from hierbayes.engine.core.routine import run
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families import Values
from hierbayes.kinds import NOTHING
from hierbayes.links import LINKS
from hierbayes.schema import CATEGORY, CHAIN_DIMS
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
KINDS = ("linear", "mean", "response", "score")
NEW_LEVELS = ("sample", "mean", "average", "error")
CHUNK_ENTRIES = 500_000  # draws × rows of one chunk: 4 MB an array, which a processor's cache holds
LEVEL_ENTRIES = LARGEST_KEPT // 8  # draws × effects gathered at a time, in memory that the next ones find
SERIES = 7  # parts the random numbers of series from those of chunks
FEW_COLUMNS = 32  # of which a loop takes the product: NumPy's threads wait for each other on a busy machine
ADD_EFFECTS = "hierbayes.answers.rowloops.add_effects"
type Effects = Mapping[
    tuple[str, str], tuple[Codes, Array]
]  # by parameter and factor: levels (L,), (S, L, q)


@dataclass(frozen=True)
class Request:
    """What to predict.

    Attributes
    ----------
    kind : {"linear", "mean", "response", "score"}
    groups : tuple of str
        The grouping factors that count.
    new_levels : {"sample", "mean", "average", "error"}
    seed : int
    unknown : tuple of str
        Those of `groups` whose level is unknown in every row, whatever the rows say.
    side : int
        Which of several predictions that are compared: each has responses of its own, and the new levels of all.
    parameter : str or None
        Instead of the response a parameter of the family: its value, or its linear predictor.
    past : Past or None
        Training rows in series of these rows, whose residuals tell of theirs.
    """

    kind: str
    groups: tuple[str, ...]
    new_levels: str
    seed: int
    unknown: tuple[str, ...] = ()
    side: int = 1
    parameter: str | None = None
    past: Past | None = None

    def __post_init__(self) -> None:
        for word, value, allowed in (("kind", self.kind, KINDS), ("new_levels", self.new_levels, NEW_LEVELS)):
            if value not in allowed:
                raise ValueError(f"{word} must be one of {', '.join(allowed)}; got {value!r}")
        if not isinstance(self.seed, Integral) or isinstance(self.seed, bool) or self.seed < 0:
            raise ValueError(f"seed must be a whole number, 0 or more; got {self.seed!r}")


def make_request(
    spec: ModelSpec, kind: str, groups: Any, new_levels: str, seed: int, parameter: str | None = None
) -> Request:
    """A request in the user's words; ``groups="average"`` is every factor, at unknown levels that are averaged over.

    Raises
    ------
    DataError
        For a name that is no grouping factor of the model.
    UnsupportedError
        For a parameter that the family hasn't got, or of which there is no such prediction.
    """
    if spec.family.components and (parameter or kind) in ("linear", spec.family.first.name):
        raise UnsupportedError(
            f"family {spec.family.name!r} has no one linear predictor; take parameter= one of "
            f"{', '.join(spec.family.components)}"
        )
    if parameter is not None:
        _check_parameter(spec, kind, groups, new_levels, parameter)
        return Request(kind, choose_groups(spec, groups), new_levels, seed, parameter=parameter)
    if isinstance(groups, str) and groups == "average":
        names = choose_groups(spec, "all")
        return Request(kind, names, "average", seed, names)
    return Request(kind, choose_groups(spec, groups), new_levels, seed)


def _check_parameter(spec: ModelSpec, kind: str, groups: Any, new_levels: str, parameter: str) -> None:
    family = spec.family
    computed = () if family.computed is None else family.computed.names
    known = [
        own.name
        for own in family.parameters
        if not own.kind.vector and (own.kind is not NOTHING or own.name in computed)
    ]
    if parameter in family.quantities and kind == "linear":
        raise UnsupportedError(f"{parameter} has no linear predictor; take kind='mean', its value")
    known += family.quantities
    if parameter not in known:
        raise UnsupportedError(
            f"family {family.name!r} has no parameter {parameter!r} of one number; it has {', '.join(known)}"
        )
    if kind == "response":
        raise UnsupportedError(
            f"responses are drawn from all parameters together; of {parameter} alone take kind='mean', its value, or "
            "kind='linear'"
        )
    if kind == "mean" and (new_levels == "average" or (groups is not None and str(groups) == "average")):
        raise UnsupportedError(
            f"{parameter} is not averaged over new groups; take groups='none', or new_levels='sample' and average the "
            "draws"
        )


def choose_groups(spec: ModelSpec, groups: Any) -> tuple[str, ...]:
    """The names of the grouping factors that count: ``"all"``, ``"none"``, one name or a list of names.

    Raises
    ------
    DataError
        For a name that is no grouping factor of the model.
    """
    names = tuple(dict.fromkeys(f.name for layout in spec.layout.predictors.values() for f in layout.factors))
    if isinstance(groups, str) and groups in ("all", "none"):
        return names if groups == "all" else ()
    if groups is None:
        return ()
    several = isinstance(groups, Iterable) and not isinstance(groups, str)
    chosen = tuple(groups) if several else (groups,)
    unknown = [name for name in chosen if name not in names]
    if unknown:
        have = ", ".join(names) or "none"
        raise DataError(
            f"groups names {unknown[0]!r}, which is no grouping factor of this model; it has {have}. "
            "groups='all' counts them all, groups='none' none, groups='average' averages over new ones"
        )
    return chosen


def predict_chunks(
    spec: ModelSpec, draws: Draws, design: Design, request: Request
) -> Iterator[tuple[Codes, Array]]:
    """Predictions chunk by chunk: the places of some rows, and (S, those rows); every row once, in any order.

    A new level's effects are drawn once per posterior draw and shared by all its rows, whichever chunk they fall in;
    a row whose level is missing has effects of its own.
    """
    return of_chunks(lambda values: values, spec, draws, design, request)


def of_chunks[T](
    found: Callable[[Array], T], spec: ModelSpec, draws: Draws, design: Design, request: Request
) -> Iterator[tuple[Codes, T]]:
    """What is found in the predictions of each chunk, on all cores, beside the places of its rows."""
    _check_request(spec, design, request)

    def work(chunk: tuple[int, tuple[Codes, Design, Effects]]) -> tuple[Codes, T]:
        number, (places, rows, effects) = chunk
        return places, found(_predict_chunk(spec, draws, request, number, places, rows, effects))

    return side_by_side(work, enumerate(row_chunks(spec, draws, design, request)))


def _predict_chunk(
    spec: ModelSpec,
    draws: Draws,
    request: Request,
    number: int,
    places: Codes,
    rows: Design,
    effects: Effects,
) -> Array:
    """Predictions (S, n) of a chunk's rows, whose random numbers come from the chunk's number, or from their series."""
    if request.kind == "response" and rows.series is not None:
        eta, aux = evaluate_predictors(spec, draws, rows, request, effects)
        drawn = draw_responses(spec, rows, eta, aux, (request.seed, request.side, SERIES))
        return _beside_past(spec, draws, request, places, rows, drawn, eta, aux)
    if request.past is not None and request.kind in ("mean", "score") and request.parameter is None:
        eta, aux = evaluate_predictors(spec, draws, rows, request, effects)
        mean = _predict_rows(spec, draws, rows, request, _noise(spec, request, number), effects)
        return _beside_past(spec, draws, request, places, rows, mean, eta, aux)
    draw = spec.correlated_residuals(draws.values) if request.kind == "response" else None
    if draw is None:
        return _predict_rows(spec, draws, rows, request, _noise(spec, request, number), effects)
    eta, aux = evaluate_predictors(spec, draws, rows, request, effects)
    given = spec.family.given(eta, aux, spec.link)
    seed = [request.seed, request.side]
    rows_z = [draw(np.random.default_rng([*seed, int(place), len(spec.siblings)])) for place in places]
    z = np.stack(rows_z, axis=-1)
    return np.asarray(given[MEAN].value + given["sigma"].value * z)


def _beside_past(
    spec: ModelSpec, draws: Draws, request: Request, places: Codes, rows: Design, found: Array, eta: Array, aux: Values
) -> Array:  # fmt: skip
    """Predictions with those of rows that belong to series of training given that one's residuals."""
    past = request.past
    if past is None or (past.of[places] < 0).all():
        return found
    of, known = past.of[places], past.rows.rows(past.beside(places))
    there, aux_there = evaluate_predictors(spec, draws, known, replace(request, kind="linear", past=None))
    given = spec.family.given(there, aux_there, spec.link)
    assert known.y is not None, "training rows have a response"
    z = (known.y - given[MEAN].value) / given["sigma"].value
    own = spec.family.given(eta, aux, spec.link)
    sigma = np.broadcast_to(own["sigma"].value, eta.shape)
    noise = None
    if request.kind == "response":
        assert rows.series is not None, "their residuals are correlated"
        noise = np.empty(eta.shape)
        for place, row in enumerate(places):
            seed = [request.seed, request.side, SERIES, len(past.of), int(row)]
            noise[:, place] = np.random.default_rng(seed).standard_normal(len(eta))
    mean = own[MEAN].value + sigma * given_past(spec, rows, of, known, z, aux, noise)
    return np.where(of >= 0, mean, found)


def _noise(spec: ModelSpec, request: Request, number: int) -> np.random.Generator:
    """The generator of a chunk's simulated responses; several responses of a model have different ones."""
    place = list(spec.siblings).index(spec.response)
    return np.random.default_rng([request.seed, request.side, number, *([place] if place else [])])


def row_chunks(
    spec: ModelSpec, draws: Draws, design: Design, request: Request, entries: int | None = None
) -> Iterator[tuple[Codes, Design, Effects]]:
    """Every row once, chunk by chunk: the places of some rows, those rows, and the effects of their levels.

    Rows of a level follow each other, so that its effects are gathered or drawn once. A chunk has about `entries` draws
    × rows, `CHUNK_ENTRIES` unless given. Where residuals are correlated, it is whole series.
    """
    step = max(1, (entries or CHUNK_ENTRIES) // len(draws))
    if design.series is not None:
        for places in series_blocks(design.series, step):
            rows = design.rows(places)
            yield places, rows, gather_effects(spec, draws, rows, request)
        return
    for places in level_blocks(design, request.groups, LEVEL_ENTRIES // len(draws)):
        rows = design.rows(places)
        effects = gather_effects(spec, draws, rows, request)
        for start in range(0, len(places), step):
            part = slice(start, start + step)
            yield places[part], rows.rows(part), effects


def level_blocks(design: Design, groups: Container[str], most: int) -> Iterator[Codes]:
    """The places of all rows in blocks whose levels have `most` effects or so, as few as halving finds.

    Rows of a level follow each other, where one has to be chosen those of the factor with most levels.
    """
    factors = [f for p in design.predictors.values() for name, f in p.factors.items() if name in groups]
    counts = [len(distinct(factor.all_codes)[0]) for factor in factors]
    order = np.arange(len(design))
    if factors:  # most levels change least often
        order = np.lexsort(
            [factors[place].memberships[0].codes for place in np.argsort(counts, kind="stable")]
        )
    waiting = [order]
    while waiting:
        places = waiting.pop()
        effects = sum(len(distinct(f.rows(places).all_codes)[0]) * f.width for f in factors)
        if len(places) < 2 or effects <= most:
            yield places
        else:
            waiting += [places[len(places) // 2 :], places[: len(places) // 2]]


def distinct(codes: Codes) -> tuple[Codes, Codes]:
    """Levels in order, and the place of each row's among them, without sorting."""
    here = np.bincount(codes) > 0
    return np.flatnonzero(here), (np.cumsum(here) - 1)[codes]


def predict_pairs(
    spec: ModelSpec, draws: Draws, design: Design, request: Request
) -> Iterator[tuple[Array, Array]]:
    """Predictions of the design's first half beside those of its second, chunk by chunk: (S, k), (S, k)."""
    _check_request(spec, design, request)
    pairs = len(design) // 2
    step = max(1, CHUNK_ENTRIES // (2 * len(draws)))
    for start in range(0, pairs, step):
        first = np.arange(start, min(start + step, pairs))
        rng = np.random.default_rng([request.seed, 1, start])
        values = _predict_rows(spec, draws, design.rows(np.concatenate([first, pairs + first])), request, rng)
        yield values[:, : len(first)], values[:, len(first) :]


def _check_request(spec: ModelSpec, design: Design, request: Request) -> None:
    if request.kind == "response":
        check_series(spec, design)
    if request.kind == "response" and spec.family.needs_trials and design.trials is None:
        columns = ", ".join(map(repr, spec.layout.response.trial_columns))
        raise DataError(f"kind='response' needs the trials of the new rows: add the column {columns}")
    for name, made_of in spec.layout.unstated.items() if request.kind == "response" else ():
        if np.isnan(design.predictors[name].offset).any():
            names = ", ".join(map(repr, made_of))
            raise DataError(
                f"kind='response' needs the standard errors of the new rows: add the column {names}"
            )
    _check_new_levels(design, request)


def predict_table(
    spec: ModelSpec, draws: Draws, design: Design, request: Request, interval: Interval
) -> pd.DataFrame:
    """One row a prediction: mean, sd, lower, upper; the index is that of the rows."""
    levels = categories_of(spec, request)
    if levels:
        values = predict_draws(spec, draws, design, request)
        return _category_table(values, levels, design.index, interval, bounded=request.kind == "mean")
    columns = {name: np.empty(len(design)) for name in MEASURES}

    def measured(values: Array) -> Mapping[str, Array]:
        return measure(as_scores(spec, request, values), interval)

    for places, found in of_chunks(measured, spec, draws, design, request):
        for name, numbers in found.items():
            columns[name][places] = numbers
    return labelled(pd.DataFrame(when_needed(columns), index=design.index), interval)


def predict_draws(spec: ModelSpec, draws: Draws, design: Design, request: Request) -> Any:
    """Every draw of every prediction: a DataArray (chain, draw, row), of what categories have each also by category.

    Simulated responses that are categories are their places, 0, 1, ….
    """
    import xarray as xr

    coords = {"chain": np.arange(draws.chains), "draw": np.arange(draws.draws), OBS: design.labels}
    dims: tuple[str, ...] = (*CHAIN_DIMS, OBS)
    levels = categories_of(spec, request)
    if levels:
        coords[CATEGORY] = np.array(levels, dtype=object)
        dims = (*dims, CATEGORY)
    values = np.empty((len(design), len(draws), *(len(coords[dim]) for dim in dims[3:])))  # as chunks come
    for places, piece in predict_chunks(spec, draws, design, request):
        values[places] = np.swapaxes(piece, 0, 1)
    shape = tuple(len(coords[dim]) for dim in dims)
    name = spec.response_name if request.kind == "response" else request.parameter or request.kind
    return xr.DataArray(np.swapaxes(values, 0, 1).reshape(shape), coords=coords, dims=dims, name=name)


def categories_of(spec: ModelSpec, request: Request) -> tuple[Any, ...]:
    """The categories that a prediction has a number for each of, in their order; none where it is one number."""
    some = request.kind == "mean" and request.parameter is None and spec.family.has_categories
    some |= request.kind == "response" and spec.family.support.columns
    return spec.layout.response.levels or () if some else ()


def scores_of(spec: ModelSpec) -> Array:
    """The score of each ordered category: its value where all are numbers, else 1, 2, ….

    Raises
    ------
    UnsupportedError
        For a response that is no category, or one without an order.
    """
    levels, support = spec.layout.response.levels or (), spec.family.support
    if not (support.categories and support.ordered):
        what = "numbers, whose expectation is kind='mean'"
        if spec.family.has_categories:
            what = (
                "categories in no order: take kind='mean', their probabilities, or every draw, output='draws'"
            )
        raise UnsupportedError(
            f"only categories in an order have scores; those of {spec.family.name!r} are {what}"
        )
    numbers = all(isinstance(level, Number) and not isinstance(level, bool) for level in levels)
    return np.array(levels if numbers else range(1, len(levels) + 1), np.float64)


def category_numbers(spec: ModelSpec) -> Array:
    """A number for each category: the scores where they are in an order, else 1, 2, …."""
    if spec.family.support.ordered:
        return scores_of(spec)
    return np.arange(1.0, 1 + len(spec.layout.response.levels or ()))


def as_scores(spec: ModelSpec, request: Request, values: Array) -> Array:
    """Simulated responses as numbers to average: of categories their scores, refused where in no order; sizes."""
    if request.kind != "response" or request.parameter is not None:
        return values
    if not spec.family.support.categories:
        return spec.family.support.sizes(values)
    return scores_of(spec)[values.astype(np.int64)]


def _category_table(
    values: Any, levels: tuple[Any, ...], index: pd.Index, interval: Interval, bounded: bool
) -> pd.DataFrame:
    """One row a row and category: mean, sd, lower, upper of its probability, or of its count or share."""
    flat = values.to_numpy().reshape(-1, len(index) * values.sizes[CATEGORY])
    index = with_categories(index, levels)
    return labelled(pd.DataFrame(summarise(flat, interval, bounded=bounded), index=index), interval)


def with_categories(index: pd.Index, levels: tuple[Any, ...]) -> pd.MultiIndex:
    """An index with a last part: each entry once for each category."""
    rows = [
        (*(label if isinstance(label, tuple) else (label,)), level) for label in index for level in levels
    ]
    return pd.MultiIndex.from_tuples(rows, names=[*index.names, CATEGORY])


def evaluate_predictors(
    spec: ModelSpec,
    draws: Draws,
    design: Design,
    request: Request,
    effects: Effects | None = None,
    drawn: Mapping[str, Array] | None = None,
) -> tuple[Array, Values]:
    """The first parameter's linear predictor (S, n), and the others' values, which broadcast against it.

    `effects` are those of the rows' levels, by `gather_effects`, where more rows than these share them; `drawn` the
    values of predictors, by `drawn_values` unless given.
    """
    effects = gather_effects(spec, draws, design, request) if effects is None else effects
    if drawn is None:
        drawn = drawn_values(spec, draws, design, request.seed, request.new_levels != "mean")
    etas = {
        parameter: linear_predictor_of(spec, parameter, draws, bound, effects)
        + latent_part(spec, parameter, draws, bound, drawn)
        for parameter, bound in design.predictors.items()
    }
    return values_at(spec, draws, design, etas)


def values_at(
    spec: ModelSpec, draws: Draws, design: Design, etas: Mapping[str, Array]
) -> tuple[Array, Values]:
    """As `evaluate_predictors`, from the linear predictors of all parameters with a formula, each (S, n)."""
    aux = own_values(spec, draws, design) | own_of_predictors(spec, etas)
    return with_computed(spec, etas[MEAN], aux)


def own_of_predictors(spec: ModelSpec, etas: Mapping[str, Array]) -> dict[str, Any]:
    """The values of the family's own parameters that have a formula, from their linear predictors."""
    return {
        parameter: spec.family.parameter(parameter).kind.under(spec.parameter_link(parameter), eta)
        for parameter, eta in etas.items()
        if not is_main(parameter)
    }


def with_computed(spec: ModelSpec, eta: Array, aux: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    """The first parameter's linear predictor (S, n) and the others' values, those that follow from others made."""
    computed = spec.family.computed
    if computed is None:
        return eta, aux
    found = computed.etas(spec.family.given(eta, aux, spec.link))
    shape, aux = eta.shape, dict(aux)
    for parameter, values in found.items():
        if parameter == spec.family.first.name:
            eta = np.array(np.broadcast_to(values, shape))
        else:
            kind = spec.family.parameter(parameter).kind
            aux[parameter] = kind.under(spec.parameter_link(parameter), np.broadcast_to(values, shape))
    return eta, aux


def own_values(spec: ModelSpec, draws: Draws, design: Design) -> dict[str, Any]:
    """The parameters without a formula in every draw, as they broadcast against linear predictors (S, n)."""
    plain = {name: spec.own_variable(spec.family.parameter(name)).name for name in spec.plain_parameters}
    return {name: spec.in_rows(name, draws.values[own], design.sets) for name, own in plain.items()}


def _predict_rows(
    spec: ModelSpec,
    draws: Draws,
    design: Design,
    request: Request,
    rng: np.random.Generator,
    effects: Effects | None = None,
) -> Array:
    eta, aux = evaluate_predictors(spec, draws, design, request, effects)
    if request.parameter is not None:
        given = spec.family.given(eta, aux, spec.link)
        if request.parameter in spec.family.quantities:
            return np.broadcast_to(spec.family.quantities[request.parameter](**given), eta.shape)
        values = given[request.parameter]
        linear = request.kind == "linear" and request.parameter in spec.layout.predictors
        found = values.eta if linear else values.value
        if request.kind == "linear" and not linear:
            found = LINKS[spec.links[request.parameter]].link(found)
        return np.broadcast_to(found, eta.shape)
    if request.kind == "linear":
        return eta
    if request.kind == "score" and spec.family.has_categories:
        scores = scores_of(spec)
        found = _probabilities(spec, draws, design, request, eta, aux) @ scores
        return np.asarray(found)
    if request.kind in ("mean", "score"):
        if spec.family.has_categories:
            return _probabilities(spec, draws, design, request, eta, aux)
        if request.new_levels == "average":
            found = _average_of_numbers(spec, draws, design, request, effects)
            if found is not None:
                return found
            variance = _unknown_variance(spec, draws, design, request)
            return np.broadcast_to(average_mean(spec.family, spec.link, eta, variance, aux), eta.shape)
        return np.broadcast_to(spec.family.at(eta, aux, spec.link).mean(), eta.shape)
    # of rows by themselves, whose residuals have nothing to do with each other's
    return spec.family.of_row.at(eta, aux, spec.link).simulate(rng, design.trials)


def _average_of_numbers(
    spec: ModelSpec, draws: Draws, design: Design, request: Request, effects: Effects | None
) -> Array | None:
    """The mean averaged over new levels' effects on the parameters of ``nl()``, (S, n); None where none varies so."""
    computed = spec.family.computed
    if computed is None or not mean_is_computed(spec):
        return None
    varying = {
        parameter: [
            f for f in layout.factors if f.name in request.groups and _is_unknown(design, parameter, f)
        ]
        for parameter, layout in spec.layout.predictors.items()
        if parameter in computed.learnt
    }
    varying = {parameter: factors for parameter, factors in varying.items() if factors}
    if not varying:
        return None
    _unknown_variance(spec, draws, design, request, tuple(varying))  # what else there is no average over
    effects = gather_effects(spec, draws, design, request) if effects is None else effects
    etas = {
        parameter: linear_predictor_of(spec, parameter, draws, bound, effects)
        for parameter, bound in design.predictors.items()
    }

    def mean(shifts: Array) -> Array:
        moved = {name: etas[name] + shift for name, shift in zip(varying, shifts, strict=True)}
        eta, aux = values_at(spec, draws, design, etas | moved)
        return np.broadcast_to(spec.family.at(eta, aux, spec.link).mean(), eta.shape)

    return expect_of_several(
        mean, joint_covariance(spec, draws, design, varying, known=False), tuple(varying)
    )


def mean_is_computed(spec: ModelSpec) -> bool:
    """Whether expressions of ``nl()`` have a part in the expected response."""
    computed = spec.family.computed
    names = () if computed is None else computed.names
    return any(name in (spec.family.first.name, *spec.family.own_in_mean) for name in names)


def _is_unknown(design: Design, parameter: str, factor: Factor) -> bool:
    """Whether some rows have a level of the factor that training hadn't, or none."""
    rows = design.predictors[parameter].factors[factor.name]
    return any(z.any() for _, z in _unknown_columns(factor, rows))


def joint_covariance(
    spec: ModelSpec, draws: Draws, design: Design, varying: Mapping[str, Sequence[Factor]], known: bool
) -> Array:
    """Covariance of each row's linear predictors over effects of its new levels, by parameters: (d, d, S, n).

    With `known` its known levels are taken for new ones too.
    """
    names = list(varying)

    def columns(factor: Factor, rows: BoundFactor) -> list[tuple[Codes, Array]]:
        if known:
            return [(each.codes, each.columns) for each in rows.different_levels]
        return _unknown_columns(factor, rows)

    found = np.zeros((len(names), len(names), len(draws), len(design)))
    for i, parameter in enumerate(names):
        for factor in varying[parameter]:
            rows = design.predictors[parameter].factors[factor.name]
            covariance = column_covariances(spec, parameter, rows.reaching(factor), draws)
            if known:
                of_levels = np.atleast_2d(
                    factor.level_variances(spec.shape_values(parameter, factor, draws.values))
                )
            else:
                of_levels = _new_variances(spec, parameter, factor, draws, rows)
            for codes, z in columns(factor, rows):
                place = codes if known else np.maximum(codes - len(factor.levels), 0)
                found[i, i] += effect_variance(covariance, z) * of_levels[:, place]
            tied = spec.tied_group(parameter, factor)
            if tied is None:
                continue
            sd, cor = spec.tied_covariance(tied[0], draws.values)
            for member, others in zip(tied[0].members, tied[0].slices, strict=True):
                if member.parameter not in names[:i]:
                    continue
                j = names.index(member.parameter)
                cross = (sd[:, :, None] * cor * sd[:, None, :])[:, tied[1], others]
                theirs = design.predictors[member.parameter].factors[member.factor.name]
                q, m = cross.shape[1:]
                for (_, z), (_, w) in zip(columns(factor, rows), columns(member.factor, theirs), strict=True):
                    found[i, j] += np.einsum("na,sab,nb->sn", z[:, :q], cross, w[:, :m])
                found[j, i] = found[i, j]
    return found


def _probabilities(
    spec: ModelSpec, draws: Draws, design: Design, request: Request, eta: Array, aux: Values
) -> Array:
    """Probabilities of the categories (S, n, K), where asked for averaged over the effects of new levels."""
    family, link = spec.family, spec.link
    if request.new_levels == "average":
        variance = _unknown_variance(spec, draws, design, request)
        found = expect(
            lambda values: np.moveaxis(family.at(values, aux, link).probabilities(), -1, 0),
            eta,
            np.sqrt(variance),
        )
        return np.moveaxis(found, 0, -1)
    found = family.at(eta, aux, link).probabilities()
    return np.broadcast_to(found, (*eta.shape, found.shape[-1]))


def linear_predictor_of(
    spec: ModelSpec, parameter: str, draws: Draws, bound: BoundPredictor, effects: Effects
) -> Array:
    """A parameter's linear predictor in every draw, with those effects of levels: (S, n)."""
    layout = spec.layout.predictors[parameter]
    eta = _population_part(bound, population_coefficients(spec, parameter, draws.values), len(draws))
    for factor in layout.factors:
        if (parameter, factor.name) in effects:
            levels, r = effects[parameter, factor.name]
            for codes, z, own in bound.factors[factor.name].terms(r, levels):
                _add_products(eta, codes, z, own.transpose(1, 2, 0))
    return eta.T


def _population_part(bound: BoundPredictor, b: Array | None, draws: int) -> Array:
    """offset + X b and the smooths in every draw: (n, S)."""
    eta = np.empty((len(bound.offset), draws))
    eta[:] = bound.offset[:, None]
    if b is not None and b.shape[1] <= FEW_COLUMNS:
        _add_products(eta, np.zeros(len(eta), np.int64), bound.columns, b.T[None])
    elif b is not None:
        eta += bound.columns @ b.T
    return eta


def _add_products(eta: Array, codes: Codes, z: Array, r: Array) -> None:
    """Add z · r[level], as `linear_predictor` does, to rows (n, S): codes (n,), z (n, q), r (L, q, S)."""
    run(ADD_EFFECTS, codes, np.ascontiguousarray(z), np.ascontiguousarray(r), eta)


def gather_effects(spec: ModelSpec, draws: Draws, design: Design, request: Request) -> Effects:
    """The effects of the levels that these rows have, new ones included, for the factors that count."""
    return {
        (parameter, factor.name): _effects(
            spec, parameter, factor, draws, bound.factors[factor.name], request
        )
        for parameter, bound in design.predictors.items()
        for factor in spec.layout.predictors[parameter].factors
        if factor.name in request.groups
    }


def _effects(
    spec: ModelSpec, parameter: str, factor: Factor, draws: Draws, rows: BoundFactor, request: Request
) -> tuple[Codes, Array]:
    """Level numbers in order (L,) and their effects, with those of steps (S, L, q + l)."""
    levels = np.unique(rows.all_codes)
    known, q = levels[levels < len(factor.levels)], len(factor.effects)
    reached = rows.reaching(factor)
    r = np.zeros((len(levels), len(reached.effects), len(draws)))
    variable = spec.factor_variables(parameter, factor)["r"]
    r[: len(known), :q] = draws.values[variable.name][:, known].transpose(1, 2, 0)
    averaged = request.new_levels == "average" and request.kind != "response"
    drawn = levels[: len(known)] if averaged or request.new_levels == "mean" else levels
    if len(drawn) > len(known):
        _draw_levels(
            spec, parameter, factor, draws, r[len(known) :, :q], rows.new, drawn[len(known) :], request.seed
        )
    if factor.relations is not None and len(levels) > len(known):
        new = [rows.new[level - len(factor.levels)] for level in levels[len(known) :]]
        shapes = spec.shape_values(parameter, factor, draws.values)
        mean, covariance = conditional_effects(factor, new, shapes, draws.values[variable.name])
        apart = _eigenroot(covariance) @ r[len(known) :].transpose(2, 0, 1)
        r[len(known) :] = (apart + mean).transpose(1, 2, 0)
    if rows.beyond:
        whose = f"{_whose(spec.response, parameter)} at new times"
        tuples = [*factor.levels.tuples, *rows.new]
        numbers = np.maximum(drawn - len(factor.levels), 0)
        generators = [
            _level_generator(request.seed, whose, factor, tuples[level], number)
            for level, number in zip(drawn, numbers, strict=True)
        ]
        standing = None if request.new_levels == "mean" else generators
        add_new_times(spec, parameter, reached, draws, r[: len(drawn)], standing)
    return levels, spec.with_steps(parameter, factor, draws.values, r.transpose(2, 0, 1))


def _eigenroot(covariance: Array) -> Array:
    """Square roots (…, L, L), also where some levels' effects are known from others'."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ vectors.swapaxes(-1, -2))


def _draw_levels(
    spec: ModelSpec,
    parameter: str,
    factor: Factor,
    draws: Draws,
    r: Array,
    labels: Sequence[Any],
    levels: Codes,
    seed: int,
) -> None:
    """Draw the effects (L, q, S) of new levels from the population, each from a generator of its own."""
    found, of_whom = population_root(spec, parameter, factor, draws)
    law, none = factor.law_values(spec.shape_values(parameter, factor, draws.values)), np.zeros(len(draws))
    root = np.ascontiguousarray(found.transpose(1, 2, 0))
    used = [np.flatnonzero(row.any(axis=1)) for row in root]
    z = np.empty((len(draws), root.shape[1]))
    for own, level in zip(r, levels, strict=True):
        number = level - len(factor.levels)
        generator = _level_generator(seed, of_whom, factor, labels[number], number)
        generator.standard_normal(out=z)
        z *= factor.law.stretch(generator, none, 0, *law)[:, None]
        for i, columns in enumerate(used):
            own[i] = 0.0
            for j in reversed(columns):
                own[i] += root[i, j] * z[:, j]


def population_root(spec: ModelSpec, parameter: str, factor: Factor, draws: Draws) -> tuple[Array, str]:
    """A factor's effects from independent standard normal numbers: (S, q, m), and whose numbers those are.

    Effects that are correlated with those of other formulas come from the same numbers as these.
    """
    tied = spec.tied_group(parameter, factor)
    if tied is None:
        sd = draws.values[spec.factor_variables(parameter, factor)["sd"].name]
        root = sd[:, :, None] * square_roots(spec.correlations(parameter, factor, draws.values))
        return root, _whose(spec.response, parameter)
    group, own = tied
    sd, cor = spec.tied_covariance(group, draws.values)
    whose = "|".join(_whose(m.response, m.parameter) for m in group.members)
    return (sd[:, :, None] * square_roots(cor))[:, own], whose


def _whose(response: str, parameter: str) -> str:
    """Whose random numbers some are: those of other responses and parameters are others."""
    return f"{response}.{parameter}" if response else parameter


def covariances(spec: ModelSpec, parameter: str, factor: Factor, draws: Draws) -> Array:
    """Covariance matrix of a factor's effects in every draw: (S, q, q)."""
    variables = spec.factor_variables(parameter, factor)
    sd = scales_of(factor, draws.values[variables["sd"].name])
    products: Array = sd[:, :, None] * spec.correlations(parameter, factor, draws.values) * sd[:, None, :]
    return products


def column_covariances(spec: ModelSpec, parameter: str, factor: Factor, draws: Draws) -> Array:
    """As `covariances`, of the effects with those of steps, one for each of `Membership.columns`: (S, q + l, q + l)."""
    half = spec.with_steps(parameter, factor, draws.values, covariances(spec, parameter, factor, draws))
    return np.asarray(spec.with_steps(parameter, factor, draws.values, half.swapaxes(1, 2)))


def effect_variance(covariance: Array, z: Array) -> Array:
    """Variance z Σ z' that a factor's effects give to each row's linear predictor, in every draw: (S, n)."""
    total = np.zeros((len(covariance), len(z)))
    for i in range(z.shape[1]):
        for j in range(i + 1):
            if z[:, i].any() and z[:, j].any():
                total += covariance[:, [i], j] * ((1 if i == j else 2) * z[:, i] * z[:, j])
    return np.maximum(total, 0.0)


def _unknown_variance(
    spec: ModelSpec, draws: Draws, design: Design, request: Request, others: tuple[str, ...] = ()
) -> Array:
    """Variance of each row's linear predictor over the effects of its new and unknown levels: (S, n).

    Over effects on other parameters that have a part in the mean there is no average, but for those that are named.
    """
    total = np.zeros((len(draws), len(design)))
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            if factor.name not in request.groups:
                continue
            rows = design.predictors[parameter].factors[factor.name]
            columns = _unknown_columns(factor, rows)
            if any(z.any() for _, z in columns):
                _check_average(spec, factor)
            if is_main(parameter):
                covariance = column_covariances(spec, parameter, rows.reaching(factor), draws)
                of_levels = _new_variances(spec, parameter, factor, draws, rows)
                for codes, z in columns:
                    own = of_levels[:, np.maximum(codes - len(factor.levels), 0)]
                    total += effect_variance(covariance, z) * own
            elif (
                parameter in spec.family.own_in_mean
                and parameter not in others
                and any(z.any() for _, z in columns)
            ):
                raise UnsupportedError(
                    f"the mean of family {spec.family.name!r} depends on {parameter}, which varies by {factor.name!r}: "
                    "only over effects on the first parameter are averages taken, and of some others there are none. "
                    "Take groups='none', or draws of new groups: rows with new labels, output='draws'"
                )
    return total


def _check_average(spec: ModelSpec, factor: Factor) -> None:
    """Refuse a mean averaged over effects that are not normal, unless it is the linear predictor's."""
    if not (factor.law.normal or spec.family.mean_is_linear(spec.link_name)):
        raise UnsupportedError(
            f"the effects of {factor.name!r} are not normal (dist=), and with link {spec.shown_link!r} a mean has no "
            "average over new levels: take groups='none', or draws of new groups: rows with new labels, "
            "output='draws'"
        )


def _unknown_columns(factor: Factor, rows: BoundFactor) -> list[tuple[Codes, Array]]:
    """Level numbers (n,) and the effects' columns, 0 but for new levels; of each of a row's levels in turn."""
    return [
        (each.codes, each.columns * (each.codes >= len(factor.levels))[:, None])
        for each in rows.different_levels
    ]


def _new_variances(spec: ModelSpec, parameter: str, factor: Factor, draws: Draws, rows: BoundFactor) -> Array:
    """The variances of new levels' effects in units of sd², given known ones to which they are related: (S or 1, L)."""
    if factor.relations is None or not rows.new:
        return np.ones((1, max(len(rows.new), 1)))
    shapes = spec.shape_values(parameter, factor, draws.values)
    nothing = np.zeros((len(draws), len(factor.levels), 1))
    _, covariance = conditional_effects(factor, rows.new, shapes, nothing)
    return np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0)


def _level_generator(
    seed: int, parameter: str, factor: Factor, label: Any, number: int
) -> np.random.Generator:
    """A generator of a new level's own: the same label gives the same effects, whatever other rows there are."""
    identity = f"row {number}" if label is None else repr(tuple(map(_distinct_text, label)))
    digest = hashlib.blake2b(f"{parameter}/{factor.name}/{identity}".encode(), digest_size=16).digest()
    return np.random.default_rng([seed, int.from_bytes(digest)])


def _distinct_text(value: Any) -> str:
    """A label as text that no label of another type has: the number 1 is not the text "1"."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Number):
        return f"number {complex(value)}"  # type: ignore[call-overload]
    return f"{type(value).__name__} {value}"


def square_roots(correlations: Array) -> Array:
    """A matrix square root of each correlation matrix (S, q, q), also where rounding left it barely indefinite."""
    try:
        return np.linalg.cholesky(correlations)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlations)
        return vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]


def _check_new_levels(design: Design, request: Request) -> None:
    if request.new_levels != "error":
        return
    for bound in design.predictors.values():
        for name, factor in bound.factors.items():
            if name in request.groups and factor.new:
                shown = ", ".join(
                    "a missing value" if v is None else ":".join(map(str, v)) for v in factor.new[:5]
                )
                raise DataError(
                    f"the new rows have levels of {name!r} that training didn't: {shown}; "
                    "new_levels='sample' draws their effects from the population"
                )
