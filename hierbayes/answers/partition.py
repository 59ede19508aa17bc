"""Tables of where the variance lies: varcorr, intraclass correlations, and the variance explained."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.grids import held_values
from hierbayes.answers.intervals import get_interval, labelled, summarise
from hierbayes.answers.nonlinear_variance import (
    evaluations_of_numbers,
    nonlinear_components,
    varies_in_numbers,
)
from hierbayes.answers.predict import CHUNK_ENTRIES, Request, choose_groups, covariances, evaluate_predictors
from hierbayes.answers.quantities import Quantities, beside
from hierbayes.answers.ranks import no_factor
from hierbayes.answers.variance import (
    EVALUATIONS,
    Components,
    average_square,
    check_levels,
    check_variance,
    evaluations,
    has_variance_on_the_link,
    heavy_levels,
    latent_components,
    product,
    response_components,
    row_weights,
    second_moments,
    share_of,
    structural_factors,
)
from hierbayes.data.blocks import Block
from hierbayes.data.design import MEAN, Design, is_main
from hierbayes.data.factors import Factor
from hierbayes.data.tables import free_name, with_columns
from hierbayes.engine.streamed import Streamed
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
RESIDUAL = "Residual"
TOTAL = "total"
ENTRIES = 20_000_000  # draws × rows; of larger tables evenly spaced draws are used
SCALES = ("both", "latent", "response")
DEFINITIONS = ("adjusted", "unadjusted")


@dataclass(frozen=True, eq=False)
class VarCorr:
    """Standard deviations and correlations, and beside each its (co)variance and that's share.

    Attributes
    ----------
    estimates : Quantities
    variance, share : ndarray, (S, k)
    """

    estimates: Quantities
    variance: Array
    share: Array

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """One row an estimate: mean, sd, lower, upper; variance (or covariance) and share with their bounds."""
        chosen = get_interval(prob, interval)
        if self.estimates.labels.empty:
            return labelled(self.estimates.labels.copy(), chosen)
        table = self.estimates.table(prob, interval)
        for name, values in {"variance": self.variance, "share": self.share}.items():
            summary = summarise(values, chosen)
            table[name] = summary["mean"]
            if np.isnan(summary["mean"]).any() and "median" in summary:
                table[f"{name}_median"] = summary["median"]
            for bound in ("lower", "upper"):
                table[f"{name}_{bound}"] = summary[bound]
        return table

    def draws(self) -> "xr.DataArray":
        """Every draw of the standard deviations and correlations: (chain, draw, quantity)."""
        return self.estimates.draws()


def varcorr(spec: ModelSpec, draws: Draws, design: Design | Streamed, method: str = "lognormal") -> VarCorr:
    """Standard deviations and correlations of group effects, and the residual's.

    Labels are parameter, group, effect, effect2 (empty for a standard deviation). Where sigma has a formula its
    variance is averaged over the rows, and its standard deviation is the root of that. Where the mean is an expression
    of parameters that vary, a share is of the response's variance, and only a factor with one effect has one.
    """
    weights = row_weights(design)
    parts = latent_components(spec, draws, design, weights, method)
    total = parts.between + parts.residual
    labels: list[tuple[str, str, str, str]] = []
    columns: list[tuple[Array, Array, Array]] = []
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            moments = second_moments(spec, draws, design, parameter, factor, weights / weights.sum())
            divisor = total if is_main(parameter) else np.full(len(draws), np.nan)
            for first, second, column in _estimates(spec, parameter, factor, draws, moments, divisor):
                labels.append((parameter, factor.name, first, second))
                columns.append(column)
    nothing = np.full(len(draws), np.nan)
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        for i, j in tie.across:
            labels.append((tie.members[0].parameter, tie.group, tie.effects[i], tie.effects[j]))
            columns.append((draws.values[variable.name][:, i, j], nothing, nothing))
    square = average_square(spec, draws, design, weights, "sigma")
    if square is not None:
        factors = spec.layout.main.factor_names
        labels.append((MEAN, free_name(RESIDUAL, set(factors)), "sigma", ""))
        # the variance of Student's t is infinite with 2 degrees of freedom or fewer, and then it is all
        columns.append((np.sqrt(square), square, share_of(parts.own, total)))
    if varies_in_numbers(spec) and isinstance(design, Design):
        shares = _shares_of_numbers(spec, draws, design, weights, [label[1] for label in labels])
        columns = [(*column[:2], share) for column, share in zip(columns, shares, strict=True)]
    table = pd.DataFrame(labels, columns=["parameter", "group", "effect", "effect2"])
    none = np.empty((len(draws), 0))
    value, variance, share = (
        (np.stack(values, axis=-1) for values in zip(*columns, strict=True)) if columns else (none,) * 3
    )
    return VarCorr(Quantities(table, value, draws.chains, "varcorr"), variance, share)


def _shares_of_numbers(
    spec: ModelSpec, draws: Draws, design: Design, weights: Array, groups: list[str]
) -> list[Array]:
    """The shares of rows of a table of these groups: NaN of a factor's that has several, of the last what is left."""
    some = draws.thinned(EVALUATIONS // evaluations_of_numbers(spec, design) or 1)
    nothing = np.full(len(some), np.nan)
    try:
        parts = nonlinear_components(spec, some, design, weights)
    except UnsupportedError:  # the standard deviations are there all the same
        return [nothing] * len(groups)
    total = parts.between + parts.residual
    residual = free_name(RESIDUAL, set(spec.layout.main.factor_names))
    alone = {name: share_of(part, total) for name, part in parts.groups.items() if groups.count(name) == 1}
    alone |= {residual: share_of(parts.own, total)}
    return [alone.get(group, nothing) for group in groups]


def _estimates(
    spec: ModelSpec, parameter: str, factor: Factor, draws: Draws, moments: Array, total: Array
) -> list[tuple[str, str, tuple[Array, Array, Array]]]:
    """Of each standard deviation and correlation of a factor: effects, itself, its (co)variance, its share."""
    variables = spec.factor_variables(parameter, factor)
    sd, covariance = draws.values[variables["sd"].name], covariances(spec, parameter, factor, draws)
    times = factor.variance(spec.shape_values(parameter, factor, draws.values))
    found = []
    for label, places in factor.scales:
        value = sd[:, places[0]]
        shared = sum((moments[:, place, place] for place in places), start=np.zeros(len(draws)))
        own = product(value**2, times)
        found.append((label, "", (value, own, share_of(product(value**2, shared), total))))
    cor = spec.correlations(parameter, factor, draws.values)
    for block in factor.structures:
        every = block.every_pair or bool(block.structure.loadings)
        pairs = list(itertools.combinations(block.effects, 2)) if every else []
        for i, j in pairs:
            value = cor[:, i, j]
            share = share_of(2 * product(covariance[:, i, j], moments[:, i, j]), total)
            own = product(covariance[:, i, j], times)
            found.append((factor.effects[i], factor.effects[j], (value, own, share)))
        if block.correlated and not every:
            found += _structured(spec, parameter, factor, block, draws, covariance, moments, total)
    of_blocks = sum(len(block.parameters) for block in factor.structures)
    for variable in spec.shape_variables(parameter, factor)[of_blocks:]:
        nothing = np.full(len(draws), np.nan)
        found.append((factor.effects[0], variable.kind, (variable.of(draws.values), nothing, nothing)))
    return found


def _structured(
    spec: ModelSpec,
    parameter: str,
    factor: Factor,
    block: Block,
    draws: Draws,
    covariance: Array,
    moments: Array,
    total: Array,
) -> list[tuple[str, str, tuple[Array, Array, Array]]]:
    """Of the numbers that correlations come from: no covariance is theirs, and the share of all is the first's."""
    variables = zip(factor.shapes, spec.shape_variables(parameter, factor), strict=True)
    own = [variable for (of, _), variable in variables if of is block]
    names = [(block.label, variable.kind, draws.values[variable.name]) for variable in own]
    if block.matrix:
        cor = draws.values[spec.factor_variables(parameter, factor)["cor"].name]
        names += [(factor.effects[i], factor.effects[j], cor[:, i, j]) for i, j in block.pairs]
    pairs = [(i, j) for i in block.effects for j in block.effects if i < j]
    shares = share_of(
        sum(
            (2 * product(covariance[:, i, j], moments[:, i, j]) for i, j in pairs), start=np.zeros(len(draws))
        ),
        total,
    )
    nothing = np.full(len(draws), np.nan)
    return [
        (first, second, (value, nothing, shares if place == 0 else nothing))
        for place, (first, second, value) in enumerate(names)
    ]


# -- intraclass correlations ------------------------------------------------------------------------------------


def icc(
    spec: ModelSpec,
    draws: Draws,
    design: Design,
    data: pd.DataFrame,
    at: Mapping[str, Any] | None = None,
    scale: str = "both",
    definition: str = "adjusted",
    method: str = "lognormal",
) -> Quantities:
    """Intraclass correlations, one a grouping factor, scale and value of `at`; of several factors also their total.

    Parameters
    ----------
    design, data : Design, pandas.DataFrame
        The training rows.
    at : mapping of str to values, optional
        Predictors held at these values in all rows, every combination; the rows' own values unless given.
    scale : {"both", "latent", "response"}
        Of the link, or of the response itself. With an identity link they are one.
    definition : {"adjusted", "unadjusted"}
        Whether the population-level part's variance is left out of the total or counts in it.
    method : str
        As in `variance.latent_components`.

    Raises
    ------
    ValueError, DataError
    """
    for word, value, allowed in (("scale", scale, SCALES), ("definition", definition, DEFINITIONS)):
        if value not in allowed:
            raise ValueError(f"{word} must be one of {', '.join(allowed)}; got {value!r}")
    check_variance(spec, "intraclass correlation")
    computed = varies_in_numbers(spec)
    if not computed:
        check_levels(spec, response=scale == "response" and not _identity(spec))
        _check_shared(spec, design)
    scales = _scales(spec, scale)
    if computed:
        draws = draws.thinned(EVALUATIONS // evaluations_of_numbers(spec, design) or 1)
    elif "response" in scales and not _identity(spec):
        draws = draws.thinned(EVALUATIONS // evaluations(spec, design) or 1)
    weights = row_weights(design)
    groups: list[str] = []
    held: list[dict[str, Any]] = []
    wheres: list[str] = []
    columns: list[Array] = []
    for values, rows in hold(spec, design, data, at):
        for where in scales:
            parts = (
                latent_components(spec, draws, rows, weights, method)
                if where == "latent" or _identity(spec)
                else nonlinear_components(spec, draws, rows, weights)
                if computed
                else response_components(spec, draws, rows, weights)
            )
            for group, share in _shares(parts, definition).items():
                groups.append(group)
                held.append(values)
                wheres.append(where)
                columns.append(share)
    cells = pd.DataFrame(held, columns=list(at or {}), index=range(len(held)))
    frame = beside(beside(cells, {"group": groups}, first=True), {"scale": wheres})
    stacked = np.stack(columns, axis=-1) if columns else np.empty((len(draws), 0))
    return Quantities(frame, stacked, draws.chains, "icc")


def _check_shared(spec: ModelSpec, design: Design) -> None:
    """Refuse where no two responses share a level of any factor: the correlation of two that do has no meaning."""
    if structural_factors(spec, design):
        return
    names = ", ".join(map(repr, spec.layout.main.factor_names))
    if not names:
        raise DataError(no_factor(spec))
    raise DataError(
        f"every level of {names} has one row, so no two responses share a level, whose correlation an ICC is; "
        "varcorr() has the share of its variance, in a meta-analysis I²"
    )


def _identity(spec: ModelSpec) -> bool:
    return spec.family.mean_is_predictor(spec.link_name)


def _scales(spec: ModelSpec, scale: str) -> tuple[str, ...]:
    if _identity(spec):  # the two are one, called as it was asked for
        return ("response" if scale == "both" else scale,)
    if scale != "response" and not has_variance_on_the_link(spec):
        if scale == "latent":
            raise UnsupportedError(
                f"the mean of family {spec.family.name!r} depends on more than its linear predictor, so its "
                "responses have no variance on the link's scale; take scale='response'"
            )
        return ("response",)
    if scale != "both":
        return (scale,)
    # 1/eta has no mean over normal effects: the response's scale has no variance there
    without = not spec.link.has_average or spec.family.mean is None or heavy_levels(spec)
    return ("latent",) if without else ("latent", "response")


def _shares(parts: Components, definition: str) -> dict[str, Array]:
    total = parts.between + parts.residual + (parts.fixed if definition == "unadjusted" else 0.0)
    # of one factor it would say the same twice
    together = {} if len(parts.groups) == 1 else {free_name(TOTAL, set(parts.groups)): parts.between}
    return {group: share_of(values, total) for group, values in {**parts.groups, **together}.items()}


def hold(
    spec: ModelSpec, design: Design, data: pd.DataFrame, at: Mapping[str, Any] | None
) -> list[tuple[dict[str, Any], Design]]:
    """The training rows with predictors held at each combination of values.

    Raises
    ------
    DataError
        When `at` names no predictor of the model.
    """
    several = held_values(at)
    if not several:
        return [({}, design)]
    groups = choose_groups(spec, "all")
    predictors, _ = spec.layout.columns_for(groups)
    unknown = [name for name in several if name not in predictors]
    if unknown:
        have = ", ".join(map(repr, predictors)) or "none"
        raise DataError(f"at names {unknown[0]!r}, which is no predictor of this model; it has {have}")
    found = []
    for combination in itertools.product(*several.values()):
        values = dict(zip(several, combination, strict=True))
        found.append((values, spec.layout.bind_new(with_columns(data, values), groups, slack=0.0)))
    return found


# -- variance explained -----------------------------------------------------------------------------------------


def r2(spec: ModelSpec, draws: Draws, design: Design, method: str = "lognormal") -> Quantities:
    """Shares of variance explained, marginal (population-level part) and conditional (group effects too).

    ``gelman``: of the expected responses of these rows and the variance about them (Gelman, Goodrich, Gabry &
    Vehtari 2019, The American Statistician 73(3), eq. 3). What the marginal one leaves is what the group effects
    add in these rows, and the distribution's own variance. ``nakagawa``: of new rows of new groups, on the link's
    scale (Nakagawa & Schielzeth 2013, Methods in Ecology and Evolution 4(2), eq. 29-30; Johnson 2014 for slopes;
    Nakagawa, Johnson & Schielzeth 2017), where a response has one variance about its linear predictor.
    """
    check_variance(spec, "R²")
    draws = draws.thinned(ENTRIES // len(design))
    weights = row_weights(design)
    found = {}
    if spec.family.mean is not None:  # categories have shares of the latent variable's variance alone
        found["gelman"] = _gelman(spec, draws, design, weights)
    if has_variance_on_the_link(spec):
        parts = latent_components(spec, draws, design, weights, method)
        total = parts.fixed + parts.between + parts.residual
        explained = parts.fixed, parts.fixed + parts.between
        found["nakagawa"] = [share_of(part, total) for part in explained]
    columns = np.stack([values for both in found.values() for values in both], axis=-1)
    labels = pd.DataFrame(
        itertools.product(found, ("marginal", "conditional")), columns=["definition", "kind"]
    )
    return Quantities(labels, columns, draws.chains, "r2")


def _gelman(spec: ModelSpec, draws: Draws, design: Design, weights: Array) -> list[Array]:
    """Marginal and conditional: (S,), (S,)."""
    family, link = spec.family, spec.link
    nobody = Request("linear", (), "mean", 0)
    everybody = Request("linear", choose_groups(spec, "all"), "mean", 0)
    found = np.empty((2, len(draws)))
    share, scale = weights / weights.sum(), weights.sum() / max(weights.sum() - 1, 1.0)

    def variance(values: Array) -> Array:
        return np.square(values - (values @ share)[:, None]) @ share * scale

    step = max(1, CHUNK_ENTRIES // len(design))
    for start in range(0, len(draws), step):
        part = slice(start, start + step)
        some = draws.part(part)
        eta, aux = evaluate_predictors(spec, some, design, nobody)
        marginal = np.broadcast_to(family.at(eta, aux, link).mean(), eta.shape)
        eta, aux = evaluate_predictors(spec, some, design, everybody)
        conditional = np.broadcast_to(family.at(eta, aux, link).mean(), eta.shape)
        residual = np.broadcast_to(family.at(eta, aux, link).variance(), eta.shape) @ share
        explained = np.stack([variance(marginal), variance(conditional)])
        found[:, part] = explained / (explained + residual)
        found[0, part] = explained[0] / (explained[0] + variance(conditional - marginal) + residual)
    return list(found)
