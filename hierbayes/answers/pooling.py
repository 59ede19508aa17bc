"""What each level says alone, beside what it says in company: no, partial and complete pooling.

The no-pooling estimates are each level's maximum-likelihood coefficients from its own rows, the complete-pooling ones
those of all rows as if they were one level (`level_mle`). Pooling factors are Gelman & Pardoe's (2006),
Technometrics 48(2).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import flat_draws, population_coefficients
from hierbayes.answers.intervals import Interval, labelled, summarise
from hierbayes.answers.latents import need_known_predictors
from hierbayes.answers.level_mle import LevelRows, climb, level_products, orthonormal
from hierbayes.answers.predict import square_roots
from hierbayes.answers.quantities import stack
from hierbayes.answers.ranks import find_factor, no_factor
from hierbayes.answers.series import need_independent
from hierbayes.answers.summary import level_coefficients, level_labels
from hierbayes.data.design import MEAN, Design, linear_predictor
from hierbayes.data.factors import Factor
from hierbayes.data.levels import Codes, is_nested
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.schema import CHAIN_DIMS
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

COLUMNS = [
    *("group", "level", "effect", "n", "no_pooling", "partial_pooling", "lower", "upper", "population"),
    *("complete_pooling", "pooling", "pooling_factor"),
]


# -- public -------------------------------------------------------------------------------------------------


def no_pooling(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, factor_name: str | None = None
) -> pd.DataFrame:
    """Each level's coefficients by maximum likelihood from its own rows.

    A coefficient is population-level plus deviation, as in lme4's ``coef``. Everything else of the mean's
    linear predictor (other population-level columns, offsets, other factors' effects) and the family's own
    parameters are held at their posterior means; but factors nested in this one are left out, since their effects,
    the classes' of a school, are part of what the level's rows say of it. Where the likelihood has several maxima
    (Student's t), it is the one reached from the partial-pooling estimate.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    factor_name : str, optional
        A grouping factor of the mean's formula; the first unless given.

    Returns
    -------
    pandas.DataFrame
        One row a level and effect: level, effect, estimate, n. `n` counts the level's rows, less those whose
        weight or trials are 0. The estimate is NaN where the rows do not settle it: too few of them, columns
        that depend on each other within the level, or a maximum at infinity (separation) or, with an identity
        or inverse link, at the edge of what the mean may be.

    Raises
    ------
    DataError
        For a name that is no grouping factor of the mean's formula.

    Examples
    --------
    >>> import hierbayes as hb
    >>> model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))
    >>> posterior = model.prior_predictive(draws=10)["prior"].to_dataset()  # any draws of the schema
    >>> no_pooling(model.spec, model.design, posterior).round(2).head(2)
      level     effect  estimate   n
    0   308  Intercept    244.19  10
    1   308       Days     21.76  10
    """
    factor = find_factor(spec, factor_name)
    _refuse_steps(spec)
    means = posterior_means(spec, posterior)
    counts = _informative(design)
    codes = design.main.factors[factor.name].codes[counts]
    estimate = _estimate(spec, design, means, factor, codes, _coefficients(spec, means, factor))
    n = np.bincount(codes, minlength=len(factor.levels))
    columns = {"estimate": estimate[factor.has], "n": n[np.nonzero(factor.has)[0]]}
    return pd.DataFrame(level_labels(factor) | columns).drop(columns="group")


def complete_pooling(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, factor_name: str | None = None
) -> Array:
    """A factor's coefficients by maximum likelihood from all rows as if they were one level: (q,).

    What is held at its posterior mean is as in `no_pooling`. NaN where the rows do not settle it.
    """
    factor = find_factor(spec, factor_name)
    _refuse_steps(spec)
    means = posterior_means(spec, posterior)
    codes = np.zeros(int(_informative(design).sum()), dtype=np.int64)
    return _estimate(spec, design, means, factor, codes, population(spec, posterior, factor)[None])[0]


def pooling_factors(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, factor: Factor
) -> tuple[Array, Array]:
    """How much each level is pooled (G, q), and each effect as a whole (q,): 0 not at all, 1 completely.

    A level's is the share of an effect's variance between levels that its own rows leave open, var(r | rows) / σ², at
    the posterior means: with one effect Gelman & Pardoe's (2006) ω = (σ_y²/n) / (σ² + σ_y²/n), the weight of the
    population in the level's estimate. Effects of factors nested in this one are integrated out. The effect's is
    their λ = 1 − V(E(r)) / E(V(r)), V the variance over the levels (their equation 7).
    """
    if factor.relations is not None:
        raise UnsupportedError(
            f"the levels of {factor.name!r} are related, and are pooled towards their relatives, not towards one mean; "
            "ranef() has their effects"
        )
    _refuse_steps(spec)
    means = posterior_means(spec, posterior)
    counts = _informative(design)
    bound = design.main.factors[factor.name]
    codes, z = bound.codes[counts], bound.z[counts]
    rows = _rows(spec, design, means, z, codes, counts)
    rest, centre = _rest(spec, design, means, factor)[counts], _coefficients(spec, means, factor)[codes]
    each_row = rows.weights * rows.information(rest + (z * centre).sum(axis=1))
    information = level_products(rows, each_row, len(factor.levels))
    information -= _shared_with_nested(spec, design, posterior, factor, rows, each_row)
    weights = level_weights(spec, posterior, factor)
    between = between_covariance(spec, posterior, factor) / weights[:, None, None]
    left = np.linalg.solve(np.eye(between.shape[1]) + between @ information, between)
    variance = np.diagonal(between, axis1=1, axis2=2)
    levels = np.ones(variance.shape)
    np.divide(np.diagonal(left, axis1=1, axis2=2), variance, out=levels, where=variance > 0)
    r = flat_draws(posterior, spec.factor_variables(MEAN, factor)["r"])
    own = [r[:, has, place] for place, has in enumerate(factor.has.T)]
    each = np.array([effects.var(axis=1).mean() for effects in own])
    of_means = np.array([effects.mean(axis=0).var() for effects in own])
    whole = 1 - np.divide(of_means, each, out=np.zeros_like(each), where=each > 0)
    return levels, whole


def _refuse_steps(spec: ModelSpec) -> None:
    """Refuse models whose levels' own coefficients go by steps that all rows together decide."""
    if spec.layout.main.steps_by_group:
        raise UnsupportedError(
            "a monotonic effect varies by group, and a level's own rows don't say how its steps share the effect, so "
            "that there is no estimate without pooling; ranef() has the levels' effects"
        )


def _estimate(
    spec: ModelSpec, design: Design, means: Mapping[str, Array], factor: Factor, codes: Codes, start: Array
) -> Array:
    """Maximum-likelihood coefficients of each level from `start` (G, q), where `codes` are the informative rows'."""
    informative, bound = _informative(design), design.main.factors[factor.name]
    rest = _rest(spec, design, means, factor, without=nested_factors(spec, design, factor))
    estimate = np.full(start.shape, np.nan)
    for effects in _own_effects(factor):
        own = factor.has[bound.codes][:, effects].all(axis=1)
        counts, rows = informative & own, codes[own[informative]]
        z, centre = bound.z[np.ix_(counts, effects)], start[:, effects]
        basis, root, full = orthonormal(z, rows, len(start))
        eta = rest[counts] + (z * centre[rows]).sum(axis=1)
        shift, found = climb(_rows(spec, design, means, basis, rows, counts), eta, full)
        moved = np.linalg.solve(root[found], shift[found][..., None])[..., 0]
        estimate[np.ix_(found, effects)] = centre[found] + moved
    return estimate


def _own_effects(factor: Factor) -> list[list[int]]:
    """The effects that levels of each kind have; all of them where there is one kind."""
    return [np.flatnonzero(own).tolist() for own in np.unique(factor.has, axis=0)]


def nested_factors(spec: ModelSpec, design: Design, factor: Factor) -> tuple[Factor, ...]:
    """The other factors of the mean's formula each of whose levels has rows in one level of this factor only."""
    bound = design.main.factors
    return tuple(
        other
        for other in spec.layout.main.factors
        if other.name != factor.name
        and other.apart  # levels of different levels here
        and is_nested(bound[other.name].codes, bound[factor.name].codes)
    )


def _shared_with_nested(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, factor: Factor, rows: LevelRows, each_row: Array
) -> Array:
    """What a level's information loses because its rows must tell the effects nested in it too: (G, q, q).

    C (I + N'WN)⁻¹ C' of each level, where W is the information of each row, N the columns of the nested effects times
    the root of their covariance, and C = Z'WN: a Schur complement (Henderson 1984, chapter 5).
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    levels, q = len(factor.levels), rows.basis.shape[1]
    shared = np.zeros((levels, q, q))
    counts, blocks, owners = _informative(design), [], []
    for other in nested_factors(spec, design, factor):
        bound = design.main.factors[other.name]
        codes = bound.codes[counts]
        z = bound.z[counts] @ square_roots(between_covariance(spec, posterior, other)[None])[0]
        z /= np.sqrt(level_weights(spec, posterior, other)[codes])[:, None]
        width = z.shape[1]
        places = codes[:, None] * width + np.arange(width)
        at = (np.repeat(np.arange(len(codes)), width), places.ravel())
        blocks.append(sparse.csr_array((z.ravel(), at), shape=(len(codes), len(other.levels) * width)))
        owner = np.zeros(len(other.levels), dtype=np.int64)
        owner[codes] = rows.codes
        owners.append(np.repeat(owner, width))
    if not blocks:
        return shared
    columns, owner = sparse.hstack(blocks, format="csr"), np.concatenate(owners)
    weighted = columns.T * each_row
    crossed = weighted @ rows.basis
    inner = sparse.csc_matrix(weighted @ columns + sparse.eye_array(len(owner)))
    solved = splu(inner).solve(crossed)
    for i, j in np.ndindex(q, q):
        shared[:, i, j] = np.bincount(owner, weights=crossed[:, i] * solved[:, j], minlength=levels)
    return shared


def population(spec: ModelSpec, posterior: xr.Dataset, factor: Factor) -> Array:
    """Population-level coefficients (posterior means) of a factor's effects, 0 where there is none: (q,)."""
    layout = spec.layout.main
    centre = np.zeros(len(factor.effects))
    if layout.coefficients:
        b = posterior_means(spec, posterior)[spec.coefficient_variable(MEAN).name]
        for place, effect in enumerate(factor.bases):
            if effect in layout.coefficients:
                centre[place] = b[layout.coefficients.index(effect)]
    return centre


def between_covariance(spec: ModelSpec, posterior: xr.Dataset, factor: Factor) -> Array:
    """Posterior mean of the covariance matrix of a factor's effects between levels: (q, q)."""
    own = [*spec.factor_variables(MEAN, factor).values(), *spec.structure_variables(MEAN, factor)]
    values = {variable.name: flat_draws(posterior, variable) for variable in own if variable.kind != "r"}
    sd = values[spec.factor_variables(MEAN, factor)["sd"].name]
    cor = spec.correlations(MEAN, factor, values)
    products: Array = sd[:, :, None] * cor * sd[:, None, :]
    return products.mean(axis=0)


def level_weights(spec: ModelSpec, posterior: xr.Dataset, factor: Factor) -> Array:
    """How strongly each level is drawn to the population, against normal effects of that covariance: (G,).

    1 where they are normal. Student's are normal with Σ u of a level, and this is the posterior mean of 1/u.
    """
    if factor.law.normal:
        return np.ones(len(factor.levels))
    own = [*spec.factor_variables(MEAN, factor).values(), *spec.structure_variables(MEAN, factor)]
    values = {variable.name: flat_draws(posterior, variable) for variable in own}
    found: Array = spec.level_weights(MEAN, factor, values).mean(axis=0)
    return found


def shrinkage_table(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, interval: Interval, group: str | None = None
) -> pd.DataFrame:
    """No, partial and complete pooling of every level side by side.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    interval : Interval
        Of the partial-pooling estimates.
    group : str, optional
        One grouping factor of the mean's formula; all of them unless given.

    Returns
    -------
    pandas.DataFrame
        group, level, effect, n, no_pooling (as `no_pooling`), partial_pooling (posterior mean of the level's
        coefficient) with its lower and upper, population (the population-level coefficient, 0 where there is
        none), complete_pooling (as `complete_pooling`), pooling and pooling_factor (as `pooling_factors`).

    Raises
    ------
    DataError
        For a name that is no grouping factor of the mean's formula, or where only other formulas have any.
    """
    chosen = spec.layout.main.factors if group is None else (find_factor(spec, group),)
    if not chosen and any(own.factors for own in spec.layout.predictors.values()):
        raise DataError(no_factor(spec))
    tables = [_shrinkage(spec, design, posterior, interval, factor) for factor in chosen]
    return labelled(stack(tables, COLUMNS), interval)


def posterior_means(spec: ModelSpec, posterior: xr.Dataset) -> dict[str, Array]:
    """Posterior mean of every variable of the schema."""
    return {v.name: np.asarray(posterior[v.name].mean(CHAIN_DIMS).transpose(*v.dims)) for v in spec.variables}


# -- tables -------------------------------------------------------------------------------------------------


def _shrinkage(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, interval: Interval, factor: Factor
) -> pd.DataFrame:
    alone = no_pooling(spec, design, posterior, factor.name)
    levels, whole = pooling_factors(spec, design, posterior, factor)
    together = summarise(level_coefficients(spec, posterior, MEAN, factor)[:, factor.has], interval)
    effects = np.nonzero(factor.has)[1]
    unknown = {name: together[name] for name in ("median", "pareto_k") if name in together}
    columns = {
        "n": alone["n"].to_numpy(),
        "no_pooling": alone["estimate"].to_numpy(),
        "partial_pooling": together["mean"],
        "lower": together["lower"],
        "upper": together["upper"],
        "population": population(spec, posterior, factor)[effects],
        "complete_pooling": complete_pooling(spec, design, posterior, factor.name)[effects],
        "pooling": levels[factor.has],
        "pooling_factor": whole[effects],
    }
    return pd.DataFrame(level_labels(factor) | columns | unknown)


# -- what is held fixed -------------------------------------------------------------------------------------


def _coefficients(spec: ModelSpec, means: Mapping[str, Array], factor: Factor) -> Array:
    """Posterior-mean coefficients of each level: (G, q)."""
    layout = spec.layout.main
    total = means[spec.factor_variables(MEAN, factor)["r"].name].copy()
    for place, effect in enumerate(factor.bases):
        if effect in layout.coefficients:
            total[:, place] += means[spec.coefficient_variable(MEAN).name][layout.coefficients.index(effect)]
    return total


def _rest(
    spec: ModelSpec,
    design: Design,
    means: Mapping[str, Array],
    factor: Factor | None,
    parameter: str = MEAN,
    without: tuple[Factor, ...] = (),
) -> Array:
    """A linear predictor at the posterior mean, less the factor's coefficients and the effects of others: (n,)."""
    need_known_predictors(spec, "what a level's own rows say")
    layout, bound = spec.layout.predictors[parameter], design.predictors[parameter]
    b = population_coefficients(spec, parameter, means)
    if b is not None and factor is not None:
        b = b * np.array(
            [
                j >= len(layout.coefficients) or layout.coefficients[j] not in factor.bases
                for j in range(len(b))
            ]
        )
    others = []
    for other in layout.factors:
        if (factor is None or other.name != factor.name) and other not in without:
            r = means[spec.factor_variables(parameter, other)["r"].name]
            others += bound.factors[other.name].terms(spec.with_steps(parameter, other, means, r))
    return np.asarray(linear_predictor(bound.columns, bound.offset, b, others))


def _informative(design: Design) -> Mask:
    """The rows that say anything: weight and trials above 0."""
    counts = np.ones(len(design), dtype=bool)
    for values in (design.weights, design.trials):
        if values is not None:
            counts &= values > 0
    return counts


def _rows(
    spec: ModelSpec, design: Design, means: Mapping[str, Array], basis: Array, codes: Codes, counts: Mask
) -> LevelRows:
    assert design.y is not None, "training rows have a response"
    need_independent(spec, "no pooling estimates a level from its own rows alone")
    aux = {}
    for own in spec.family.own:
        if own.name in design.predictors:
            eta = _rest(spec, design, means, None, own.name)[counts]
            aux[own.name] = own.kind.under(spec.parameter_link(own.name), eta)
        else:
            value = spec.in_rows(own.name, np.asarray(means[own.name])[None], design.sets)[0]
            whole = np.broadcast_to(value, (len(design), *value.shape[1:]))
            aux[own.name] = own.kind.under("identity", whole[counts])
    weights = np.ones(len(codes)) if design.weights is None else design.weights[counts]
    trials = None if design.trials is None else design.trials[counts]
    return LevelRows(spec, design.y[counts], trials, weights, aux, basis, codes)
