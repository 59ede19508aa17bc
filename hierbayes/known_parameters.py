"""Data from known truths: parameters by the names of a summary, group effects and responses drawn from them."""

import difflib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import Request, choose_groups, predict_chunks, square_roots
from hierbayes.answers.summary import level_table
from hierbayes.data.curves import SCALES
from hierbayes.data.design import MEAN, Design
from hierbayes.data.designrows import DesignRows
from hierbayes.data.factors import Factor
from hierbayes.data.learning import complete_rows, learn
from hierbayes.data.settling import settle
from hierbayes.data.stated import uncensored
from hierbayes.data.tables import with_columns
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families import Family
from hierbayes.formula import Formula
from hierbayes.kinds import CORRELATIONS
from hierbayes.schema import SIMPLEX, Variable
from hierbayes.spec import ModelSpec
from hierbayes.structures import BOUNDED
from hierbayes.ties import Tie

Array = NDArray[np.float64]
type Formulas = Mapping[str, Formula]


def simulate(
    spec: ModelSpec, design: Design, frame: pd.DataFrame, parameters: Mapping[str, Any], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `frame` with responses drawn at those parameters, and the group effects drawn for them.

    Parameters
    ----------
    design, frame : Design, pandas.DataFrame
        n rows as arrays, and as a table.
    parameters : mapping of str to float
        As `known_draws` takes them.

    Returns
    -------
    data, effects : pandas.DataFrame
        `effects` as `effects_table` has them.

    Raises
    ------
    DataError
        For a parameter that is absent, unknown or out of range, a response that is computed from a column, or
        means that the family cannot have.
    """
    draws = known_draws(spec, parameters, seed)
    return with_columns(frame, drawn_columns(spec, draws, design, frame, seed)), effects_table(spec, draws)


def drawn_columns(
    spec: ModelSpec, draws: Draws, design: Design, frame: pd.DataFrame, seed: int
) -> dict[str, Any]:
    """The columns of a response drawn at the first of some draws, in the data's words.

    Raises
    ------
    DataError
        As `simulate`.
    """
    response = spec.layout.response
    if not response.columns:
        raise DataError(
            f"the response {response.name!r} is computed from other columns, so its values cannot be put back into "
            "them; write the formula with a plain column on the left"
        )
    if response.choices is not None and response.choices.column is None:
        raise DataError(
            f"the choices of {response.name!r} are computed, dec({response.choices.text}), so they cannot be put back; "
            "write dec() of a plain column"
        )
    request = Request("response", choose_groups(spec, "all"), "error", seed)
    columns = spec.family.support.columns
    y = np.empty((len(design), len(response.columns)) if columns else len(design))
    for places, values in predict_chunks(spec, draws, design, request):
        y[places] = values[0]
    impossible = np.isnan(y).reshape(len(y), -1).any(axis=1)
    if impossible.any():
        raise DataError(
            f"{impossible.sum()} of {len(y)} rows have a mean that family {spec.family.name!r} cannot have, "
            f"under link {spec.shown_link!r}; change the parameters, or take another link"
        )
    parts = [_in_the_datas_words(spec, part) for part in spec.family.support.parts(y)]
    made = dict(zip(response.columns, parts, strict=True))
    if response.choices is not None and (name := response.choices.column) is not None:
        made[name] = response.choices.written(y > 0, frame.get(name))
    censoring = spec.formulas[MEAN].stated.get("cens")
    return made if censoring is None else made | uncensored(censoring, frame)


def effects_table(spec: ModelSpec, draws: Draws) -> pd.DataFrame:
    """The group effects of the first draw, as a ranef's: group, level, effect, value.

    Where several formulas have any, the column parameter comes first.
    """

    def drawn(parameter: str, factor: Factor) -> dict[str, Array]:
        return {"value": draws.values[spec.factor_variables(parameter, factor)["r"].name][0]}

    return level_table(spec, drawn, ("value",))


def _in_the_datas_words(spec: ModelSpec, y: Array) -> Any:
    """Responses as the column had them: its values, words of a scale in their order, whole numbers, or numbers."""
    levels, support = spec.layout.response.levels, spec.family.support
    if levels is not None and not support.columns:
        codes = y.astype(int)
        if support.categories and support.ordered and all(isinstance(level, str) for level in levels):
            return pd.Categorical(np.array(levels, dtype=object)[codes], list(levels), ordered=True)
        return pd.Series(np.array(levels, dtype=object)[codes]).infer_objects().to_numpy()
    return y.astype(np.int64) if spec.family.support.whole else spec.family.support.sizes(y)


@dataclass(frozen=True)
class Names:
    """The parameters of a model by the names that a summary prints, and what values they may have."""

    coefficients: tuple[str, ...]
    sds: tuple[str, ...]
    correlations: tuple[str, ...]
    smooths: tuple[str, ...]
    own: Mapping[str, str]  # the family's own numbers, and their supports
    shapes: Mapping[
        str, tuple[float, float]
    ]  # numbers, of structures and the family, with bounds they lie between
    sequences: tuple[tuple[str, ...], ...]  # of those numbers some that rise
    shares: tuple[tuple[str, ...], ...]  # of the steps of monotonic effects

    @property
    def needed(self) -> tuple[str, ...]:
        """Those without a value of their own; a correlation is 0 unless given."""
        shares = itertools.chain.from_iterable(self.shares)
        return (*self.coefficients, *self.sds, *self.smooths, *shares, *self.shapes, *self.own)

    def called(self, shown: Callable[[str], str]) -> "Names":
        """The same by other names."""
        return Names(
            tuple(map(shown, self.coefficients)),
            tuple(map(shown, self.sds)),
            tuple(map(shown, self.correlations)),
            tuple(map(shown, self.smooths)),
            {shown(name): support for name, support in self.own.items()},
            {shown(name): limits for name, limits in self.shapes.items()},
            tuple(tuple(map(shown, names)) for names in self.sequences),
            tuple(tuple(map(shown, names)) for names in self.shares),
        )

    def beside(self, other: "Names") -> "Names":
        """These and those of another response, once where both have one in common."""
        return Names(
            (*self.coefficients, *other.coefficients),
            (*self.sds, *other.sds),
            (*self.correlations, *other.correlations),
            (*self.smooths, *other.smooths),
            {**self.own, **other.own},
            {**self.shapes, **other.shapes},
            (*self.sequences, *other.sequences),
            (*self.shares, *other.shares),
        )


def names_of(spec: ModelSpec) -> Names:
    """The names of a model's parameters."""
    named = {kind: tuple(q.name for q in spec.quantities if q.kind == kind) for kind in ("b", "sd", "cor")}
    smooths = tuple(q.name for q in spec.quantities if q.kind in SCALES)
    own = {
        q.name: spec.family.parameter(q.variable.parameter).kind.support
        for q in spec.quantities
        if q.kind == "auxiliary"
    }
    pairs = tuple(name for name, support in own.items() if support == "correlation")
    limits: dict[tuple[Any, ...], tuple[float, float]] = {
        (p.name,): p.kind.domains["identity"]
        for p in spec.family.own
        if p.kind.support == BOUNDED and not p.known
    }
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            for (block, shape), variable in zip(
                factor.shapes, spec.shape_variables(parameter, factor), strict=True
            ):
                own_limits = shape.lower(len(block.effects)), shape.upper(len(block.effects))
                limits[variable.name, *variable.place] = own_limits
        for curve in layout.curves:
            for shape in curve.shapes:
                variable = spec.curve_variables(parameter, curve)[shape.name]
                limits[variable.name,] = shape.lower(curve.width), shape.upper(curve.width)
    keys = {q.name: (q.variable.name, *q.variable.place) for q in spec.quantities}
    shapes = {name: limits[key] for name, key in keys.items() if key in limits}
    ordered: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for q in spec.quantities:
        if own.get(q.name) == "ordered":
            ordered.setdefault((q.variable.name, q.place[:-1]), []).append(q.name)
    sequences = tuple(map(tuple, ordered.values()))
    simplexes: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for q in spec.quantities:
        if q.kind == SIMPLEX or own.get(q.name) == "simplex":
            simplexes.setdefault((q.variable.name, q.place[:-1]), []).append(q.name)
    shares = tuple(map(tuple, simplexes.values()))
    own = {name: support for name, support in own.items() if name not in (*pairs, *shapes)}
    return Names(named["b"], named["sd"], (*named["cor"], *pairs), smooths, own, shapes, sequences, shares)


def refuse_drawn(spec: ModelSpec) -> None:
    """Refuse a model with values that are drawn: of true and missing ones known parameters say nothing.

    Raises
    ------
    UnsupportedError
    """
    if spec.layout.latents:
        label, column = spec.layout.latents[0].term.label, spec.layout.latents[0].column
        raise UnsupportedError(
            f"simulation from known parameters takes true values of predictors: write {column} in the place of "
            f"{label}, simulate, and make the errors of measurement, or the gaps, afterwards"
        )
    if spec.missing_variable is not None:
        raise UnsupportedError(
            f"simulation from known parameters draws every response: leave mi() of {spec.layout.response.name} out, "
            "and make the gaps afterwards"
        )


def known_draws(spec: ModelSpec, parameters: Mapping[str, Any], seed: int) -> Draws:
    """One draw of the posterior's schema at known parameters, with group effects drawn from their distribution.

    Parameters
    ----------
    parameters : mapping of str to float
        By the names of ``Fit.summary``: ``"Intercept"``, ``"Days"``, ``"sd[Subject, Days]"``, ``"sigma"``, … and
        ``"cor[Subject, Intercept, Days]"``, which is 0 unless given. Coefficients, standard deviations and
        correlations are those at 0 of the user's columns.
    seed : int

    Raises
    ------
    DataError
        For a parameter that is absent, unknown or out of range.
    """
    refuse_drawn(spec)
    given = numbers(parameters)
    check_parameters(names_of(spec), given)
    values = stated_values(spec, given)
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        own = (q for q in spec.quantities if q.variable.name == variable.name)
        across = {q.place: given.get(q.name, 0.0) for q in own}
        values[variable.name] = tie_matrix(spec, tie, across, values)
    return Draws(with_effects([spec], values, seed), 1, 1)


def stated_values(spec: ModelSpec, given: Mapping[str, float]) -> dict[str, Array]:
    """The variables of a model that known parameters state, each (1, …): all but effects of levels and curves."""
    values: dict[str, Array] = {}
    for parameter, layout in spec.layout.predictors.items():
        if layout.coefficients:
            variable = spec.coefficient_variable(parameter)
            values[variable.name] = _given(spec, variable, given)[None]
        shrunk = spec.shrunk(parameter)
        for _, joint, _ in shrunk.parts:  # nothing follows from these where coefficients and sds are known
            values[joint.name] = np.full((1, *([shrunk.size] if joint.dims else [])), np.nan)
        for factor in layout.factors:
            variables = spec.factor_variables(parameter, factor)
            shapes = [
                _given(spec, variable, given)[variable.place]
                for variable in spec.shape_variables(parameter, factor)
            ]
            sd, cor = _given(spec, variables["sd"], given)[list(factor.scale_of)], np.eye(len(factor.effects))
            if "cor" in variables:
                cor = _correlations(spec, factor, variables, shapes, given)
            sd, cor, shapes = factor.settled(sd, cor, shapes)
            arrays = {"sd": sd, "cor": cor}
            values |= {v.name: arrays[kind][None] for kind, v in variables.items() if kind != "r"}
            for variable, shape in zip(spec.shape_variables(parameter, factor), shapes, strict=True):
                values[variable.name] = (factor.loadings(shapes) if variable.place else shape)[None]
        for curve in layout.curves:
            for key, variable in spec.curve_variables(parameter, curve).items():
                if key != "s":
                    values[variable.name] = np.atleast_1d(_given(spec, variable, given))
        for simplex in layout.simplexes:
            variable = spec.simplex_variable(parameter, simplex.label)
            values[variable.name] = _given(spec, variable, given)[None]
    for variable in (v for v in spec.variables if v.kind == "auxiliary"):
        own, kind = _given(spec, variable, given), spec.family.parameter(variable.name).kind
        if kind is CORRELATIONS:
            check_definite(kind.joint(own), variable.name)
        values[variable.name] = own[None]
    return values


def tie_matrix(
    spec: ModelSpec, tie: Tie, across: Mapping[tuple[int, ...], float], values: Mapping[str, Array]
) -> Array:
    """All correlations of a tie, (1, Q, Q): those within its formulas from `values`, `across` them by place."""
    found = np.zeros((len(tie.effects), len(tie.effects)))
    for member, places in zip(tie.members, tie.places, strict=True):
        own = spec.siblings[member.response].correlations(member.parameter, member.factor, values)[0]
        found[np.ix_(places, places)] = own[np.ix_(member.effects, member.effects)]
    for (i, j), value in across.items():
        found[i, j] = found[j, i] = value
    return found[None]


def with_effects(responses: Sequence[ModelSpec], values: dict[str, Array], seed: int) -> dict[str, Array]:
    """Those values and effects of levels and curves drawn from them, for all responses of a model."""
    rng = np.random.default_rng([seed, 2])
    for spec in responses:
        for parameter, layout in spec.layout.predictors.items():
            for factor in layout.factors:
                if spec.tied_group(parameter, factor) is not None:
                    continue
                variables = spec.factor_variables(parameter, factor)
                z = factor.draw(rng, [shape[0] for shape in spec.shape_values(parameter, factor, values)])
                root = square_roots(spec.correlations(parameter, factor, values)[0])
                values[variables["r"].name] = (z @ root.T * values[variables["sd"].name][0])[None]
            for curve in layout.curves:
                sds = spec.curve_sds(parameter, curve, values)
                name = spec.curve_variables(parameter, curve)["s"].name
                values[name] = rng.normal(size=sds.shape) * sds
    for group in responses[0].tied_groups:
        sd, cor = responses[0].tied_covariance(group, values)
        check_definite(cor[0], group.members[0].factor.name)
        z = rng.normal(size=(len(group.members[0].factor.levels), sd.shape[-1]))
        r = z @ square_roots(cor[0]).T * sd[0]
        for member, part in zip(group.members, group.slices, strict=True):
            own = responses[0].siblings[member.response]
            values[own.factor_variables(member.parameter, member.factor)["r"].name] = r[None, :, part]
    return values


def _given(spec: ModelSpec, variable: Variable, given: Mapping[str, float]) -> Array:
    """The given values of a variable's quantities, in their order."""
    shape = [len(spec.coords[dim]) for dim in variable.dims]
    found = np.zeros(shape)  # an intercept that thresholds have is 0
    for quantity in spec.quantities:
        if quantity.variable.name == variable.name:
            found[quantity.place] = given.get(quantity.name, 0.0)  # a correlation that is not
    return found


def _correlations(
    spec: ModelSpec,
    factor: Factor,
    variables: Mapping[str, Variable],
    shapes: Sequence[Array],
    given: Mapping[str, float],
) -> Array:
    cor = np.eye(len(factor.effects))
    if factor.has_matrix:
        for quantity in spec.quantities:
            if quantity.variable.name == variables["cor"].name:
                i, j = quantity.place
                cor[i, j] = cor[j, i] = given.get(quantity.name, 0.0)
    if factor.correlated:
        cor = factor.correlations(shapes, cor)
    check_definite(cor, factor.name)
    return cor


def check_definite(cor: Array, name: str) -> None:
    """Refuse correlations that no distribution has."""
    if np.linalg.eigvalsh(cor)[0] < -1e-9:
        raise DataError(
            f"the correlations of {name!r} contradict each other; no distribution has them: change one"
        )


def numbers(parameters: Mapping[str, Any]) -> dict[str, float]:
    """Known parameters as numbers, by name."""
    return {str(name): _number(name, value) for name, value in dict(parameters).items()}


def _number(name: Any, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"parameter {name!r} must be one number; got {value!r}")
    return number


def check_parameters(names: Names, given: Mapping[str, float]) -> None:
    """Refuse parameters that are absent, unknown or out of range."""
    known = [*names.needed, *names.correlations]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise DataError(f"the model has no parameter {name!r}; {hint}")
    absent = [name for name in names.needed if name not in given]
    if absent:
        raise DataError(f"the parameters lack {', '.join(map(repr, absent))}; give each a number")
    for name, value in given.items():
        if name in (*names.sds, *names.smooths) and value < 0:
            raise DataError(f"{name!r} is a standard deviation, 0 or more; got {value:g}")
        if name in names.correlations and abs(value) > 1:
            raise DataError(f"{name!r} is a correlation, between -1 and 1; got {value:g}")
        if name in names.shapes and not names.shapes[name][0] < value < names.shapes[name][1]:
            low, high = names.shapes[name]
            raise DataError(f"{name!r} lies between {low:.3g} and {high:.3g}; got {value:g}")
        if names.own.get(name) == "positive" and value <= 0:
            raise DataError(f"{name!r} must be above 0; got {value:g}")
        if names.own.get(name) == "unit" and not 0 < value < 1:
            raise DataError(f"{name!r} is a probability, between 0 and 1; got {value:g}")
    for shares in names.shares:
        if min(given[name] for name in shares) < 0 or not np.isclose(sum(given[name] for name in shares), 1):
            raise DataError(f"{', '.join(shares)} are shares, 0 or more, whose sum is 1")
    for below, above in (pair for names_ in names.sequences for pair in itertools.pairwise(names_)):
        if given[below] >= given[above]:
            raise DataError(f"{above!r} must be above {below!r}; got {given[above]:g} and {given[below]:g}")


def simulate_design(
    formulas: Formulas,
    data: Any,
    family: Family,
    links: Mapping[str, str],
    parameters: Mapping[str, Any],
    seed: int,
    matrices: Mapping[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As `simulate`, for rows that have no response yet: the formula's left side names the new column.

    Returns
    -------
    data, effects : pandas.DataFrame
        The columns of `data` and the response; of rows with gaps, which are left out, those that the formulas name.
        The group effects, as `effects_table` has them.
    """
    spec, frame, whole = learnt(formulas, data, family, links, parameters, matrices)
    return simulate(spec, spec.layout.bind(frame), whole, parameters, seed)


def learnt(
    formulas: Formulas,
    data: Any,
    family: Family,
    links: Mapping[str, str],
    parameters: Mapping[str, Any],
    matrices: Mapping[str, Any],
) -> tuple[ModelSpec, pd.DataFrame, pd.DataFrame]:
    """A model without priors of rows that have no response yet, its complete rows, and these as they were given."""
    response = formulas[MEAN].response
    assert response is not None, "the mean's formula has a response"
    if not response.columns:
        raise DataError(
            f"the response {response.expression!r} is computed; simulation needs a plain column on the left"
        )
    rows = _as_frame(data)
    if family.support.columns:  # named in the formula, so nothing is learnt from their values
        rows = rows.drop(columns=list(response.columns), errors="ignore")
        frame = complete_rows(formulas, DesignRows(rows), family)
    else:
        rows = _with_a_response(rows, response.columns[0], family, parameters)
        frame = complete_rows(formulas, rows, family)
    formulas, family = settle(formulas, frame, family, links)
    links = family.with_links(links)
    layout = learn(formulas, frame, family, links[family.first.name], matrices)
    return ModelSpec(layout, family, links, ()), frame, rows if len(rows) == len(frame) else frame


def _named_categories(parameters: Mapping[str, Any]) -> list[str]:
    """The categories that thresholds' names have: ``"thresholds[low|high]"``."""
    names = [str(name) for name in parameters if str(name).startswith("thresholds[")]
    pairs = [name.removeprefix("thresholds[").removesuffix("]").split("|") for name in names]
    return [pair[0] for pair in pairs[:1]] + [pair[-1] for pair in pairs]


def _as_frame(data: Any) -> pd.DataFrame:
    """Rows of a design, in any table."""
    import narwhals.stable.v2 as nw

    if isinstance(data, pd.DataFrame | Mapping):
        frame = pd.DataFrame(dict(data) if isinstance(data, Mapping) else data)
    else:
        native = nw.from_native(data)
        eager = native.collect() if isinstance(native, nw.LazyFrame) else native
        frame = pd.DataFrame({name: eager[name].to_list() for name in eager.columns})
    if not len(frame):
        raise DataError("the design has no rows; give one for each response to simulate")
    return frame


def _with_a_response(
    frame: pd.DataFrame, column: str, family: Family, parameters: Mapping[str, Any]
) -> pd.DataFrame:
    """The rows with some response that the family may have, so that the layout can be learnt."""
    if family.support.categories:
        # a category behind a hurdle has no threshold that names it
        levels = _named_categories(parameters) if family.support.fewest == 2 else []
        if column not in frame and len(levels) < 2:
            raise DataError(
                f"the categories of {column!r} are not known; give the design a column of that name with every "
                "category in it, as pandas.Categorical(…, categories, ordered=True)"
            )
        if column in frame:
            return frame
        first = pd.Categorical([levels[0]] * len(frame), levels, ordered=True)
        return with_columns(frame, {column: first})
    possible = 0.0 if family.typical_rows is None else 1.0
    values = np.full(len(frame), possible) if family.support.whole else np.linspace(0.25, 0.75, len(frame))
    return with_columns(frame, {column: values})
