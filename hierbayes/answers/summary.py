"""Tables from draws: population-level effects, standard deviations, correlations, levels.

Each function takes a specification and a posterior dataset, computes the quantity in every draw, and summarises
last. Tables are tidy: one row an estimate, a level keeps its own value and type.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.convergence import diagnostics
from hierbayes.answers.draws import draws_of, flat_draws
from hierbayes.answers.intervals import MEASURES, Interval, labelled, measure, when_needed
from hierbayes.data.factors import Factor
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
FAR, REACHED = (
    10.0,
    1e-3,
)  # medians, and the share of draws beyond: of a parameter that data tell there is none


def summary_draws(spec: ModelSpec, posterior: xr.Dataset) -> dict[str, Array]:
    """The scalar quantities of a model by their printed names, each (chain, draw): all but the levels' effects.

    The names are the addresses of the priors: ``"Days"``, ``"sd[Subject, Days]"``,
    ``"cor[Subject, Intercept, Days]"``, ``"sigma"``; those of another parameter's formula begin with its name and a
    dot. Where a predictor is called so, there is an underscore behind: ``"sigma_"``.
    """
    arrays = {v.name: draws_of(posterior, v) for v in spec.variables if v.kind not in ("r", "s")}
    return {q.name: q.of(arrays[q.variable.name]) for q in spec.quantities}


def summary(spec: ModelSpec, posterior: xr.Dataset, interval: Interval) -> pd.DataFrame:
    """One row a scalar quantity: mean, sd, lower, upper, ess_bulk, ess_tail, r_hat, mcse_mean.

    Where there is no sd that can be told, the mean has no Monte Carlo error either.
    """
    draws = summary_draws(spec, posterior)
    stacked = np.stack(list(draws.values()), axis=-1)
    table = _estimates(spec, draws, interval).assign(**diagnostics(stacked))
    table["mcse_mean"] = table["mcse_mean"].where(table["sd"].notna())
    return labelled(table, interval)


def estimates(spec: ModelSpec, posterior: xr.Dataset, interval: Interval) -> pd.DataFrame:
    """One row a scalar quantity: mean, sd, lower, upper."""
    return labelled(_estimates(spec, summary_draws(spec, posterior), interval), interval)


def _estimates(spec: ModelSpec, draws: Mapping[str, Array], interval: Interval) -> pd.DataFrame:
    flat = np.stack(list(draws.values()), axis=-1).reshape(-1, len(draws))
    columns = when_needed(measure(flat, interval, known_tails(spec, flat)))
    return pd.DataFrame(columns, index=pd.Index(list(draws), name="quantity"))


def known_tails(spec: ModelSpec, draws: Array) -> Array:
    """Pareto k of quantities whose posterior has its prior's tail, which draws (S, k) reach; −inf of all others: (k,).

    The posterior of a parameter that no data bound (`families.Parameter.endless`) falls as its prior does from
    somewhere on: so far out, often, that only a few draws are there, and in some seeds too few to tell its k. Where
    none come near, the tail is ignored.
    """
    found = np.full(len(spec.quantities), -np.inf)
    for place, quantity in enumerate(spec.quantities):
        if quantity.kind == "auxiliary" and spec.family.parameter(quantity.variable.parameter).endless:
            values = draws[:, place]
            if np.mean(values > FAR * np.median(values)) >= REACHED:
                found[place] = spec.prior_of(quantity).prior.tail
    return found


def fixef(spec: ModelSpec, posterior: xr.Dataset, interval: Interval) -> pd.DataFrame:
    """Population-level coefficients: parameter, effect, mean, sd, lower, upper."""
    tables = [
        pd.DataFrame(
            {"parameter": parameter, "effect": [layout.coefficients[place] for place in own]}
            | measure(flat_draws(posterior, spec.coefficient_variable(parameter))[:, own], interval)
        )
        for parameter, layout in spec.layout.predictors.items()
        if (own := _own_coefficients(spec, parameter))
    ]
    columns = ["parameter", "effect", "mean", "sd", "lower", "upper"]
    if not tables:
        return labelled(pd.DataFrame(columns=columns), interval)
    return labelled(when_needed(pd.concat(tables, ignore_index=True)), interval)


def _own_coefficients(spec: ModelSpec, parameter: str) -> list[int]:
    """Places of a formula's coefficients, but for an intercept that thresholds hold."""
    layout = spec.layout.predictors[parameter]
    nothing = layout.intercept if parameter in spec.moving else None
    return [place for place in range(len(layout.coefficients)) if place != nothing]


def ranef(spec: ModelSpec, posterior: xr.Dataset, interval: Interval) -> pd.DataFrame:
    """Deviations of each level from the population: group, level, effect, mean, sd, lower, upper."""
    return _level_table(
        spec, interval, lambda parameter, factor: _deviations(spec, posterior, parameter, factor)
    )


def coef(spec: ModelSpec, posterior: xr.Dataset, interval: Interval) -> pd.DataFrame:
    """Coefficients of each level, population-level plus deviation: group, level, effect, mean, sd, lower, upper.

    As lme4's ``coef``: a varying effect without a population-level coefficient is its deviation alone.
    """
    return _level_table(
        spec,
        interval,
        lambda parameter, factor: level_coefficients(spec, posterior, parameter, factor),
    )


def level_coefficients(spec: ModelSpec, posterior: xr.Dataset, parameter: str, factor: Factor) -> Array:
    """Draws of each level's coefficients, flat: (S, G, q)."""
    layout = spec.layout.predictors[parameter]
    total = _deviations(spec, posterior, parameter, factor).copy()
    if not layout.coefficients:
        return total
    b = flat_draws(posterior, spec.coefficient_variable(parameter))
    for place, effect in enumerate(factor.effects):
        if effect in layout.coefficients:
            total[:, :, place] += b[:, [layout.coefficients.index(effect)]]
    return total


def _level_table(spec: ModelSpec, interval: Interval, draws_of: Any) -> pd.DataFrame:
    def columns_of(parameter: str, factor: Factor) -> Mapping[str, Any]:
        return measure(draws_of(parameter, factor), interval)

    return labelled(when_needed(level_table(spec, columns_of, MEASURES)), interval)


def level_table(
    spec: ModelSpec, columns_of: Callable[[str, Factor], Mapping[str, Any]], columns: tuple[str, ...]
) -> pd.DataFrame:
    """One row a level and effect of every factor: group, level, effect, and the columns of ``columns_of``.

    Where several parameters have formulas, the column parameter comes first.
    """
    several = len(spec.layout.predictors) > 1
    tables = [
        pd.DataFrame(
            ({"parameter": parameter} if several else {})
            | level_labels(factor)
            | dict(columns_of(parameter, factor))
        )
        for parameter, layout in spec.layout.predictors.items()
        for factor in layout.factors
    ]
    return stack_levels(tables, ("group", "level", "effect", *columns))


def level_labels(factor: Factor) -> dict[str, Any]:
    """Columns group, level, effect: of each level its effects in turn."""
    return {
        "group": factor.name,
        "level": np.repeat(factor.levels.labels, len(factor.effects)),
        "effect": np.tile(np.array(factor.effects, dtype=object), len(factor.levels)),
    }


def stack_levels(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Tables of factors one below the other, a level with its own value and type; of none, an empty one."""
    if not tables:
        return pd.DataFrame(columns=list(columns))
    if len({table["level"].dtype for table in tables}) > 1:
        tables = [table.astype({"level": object}) for table in tables]
    return pd.concat(tables, ignore_index=True)


def _deviations(spec: ModelSpec, posterior: xr.Dataset, parameter: str, factor: Factor) -> Array:
    return flat_draws(posterior, spec.factor_variables(parameter, factor)["r"])
