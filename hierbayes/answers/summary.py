"""Population-level effects, standard deviations, correlations, levels: labels beside draws.

Tables are tidy: one row an estimate, a level keeps its own value and type.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.convergence import diagnostics
from hierbayes.answers.draws import draws_of, flat_draws
from hierbayes.answers.quantities import Pieces, Quantities, stack
from hierbayes.data.factors import Factor
from hierbayes.distributions import SEVERAL
from hierbayes.errors import DataError
from hierbayes.priors import Prior
from hierbayes.schema import XME, YMI
from hierbayes.spec import ModelSpec
from hierbayes.spelling import meant

Array = NDArray[np.float64]
LEVEL_COLUMNS = "group", "level", "effect"
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
    arrays = {v.name: draws_of(posterior, v) for v in spec.variables if v.kind not in ("r", "s", XME, YMI)}
    return {q.name: q.of(arrays[q.variable.name]) for q in spec.quantities}


@dataclass(frozen=True, eq=False)
class Diagnosed(Quantities):
    """Quantities drawn by Markov chains, whose table says how well they were."""

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """As of all quantities, and ess_bulk, ess_tail, r_hat, mcse_mean.

        Where there is no sd that can be told, the mean has no Monte Carlo error either.
        """
        table = super().table(prob, interval)
        values = self.values.reshape(self.chains, -1, self.values.shape[1])
        for name, judged in diagnostics(values).items():
            table[name] = judged
        table["mcse_mean"] = table["mcse_mean"].where(table["sd"].notna())
        return table


def summary(spec: ModelSpec, posterior: xr.Dataset) -> Diagnosed:
    """The scalar quantities, their chains judged."""
    return Diagnosed(**vars(estimates(spec, posterior)))


def estimates(spec: ModelSpec, posterior: xr.Dataset, **attrs: Any) -> Quantities:
    """The scalar quantities; ``attrs`` go with the table."""
    draws = summary_draws(spec, posterior)
    labels = pd.DataFrame(index=pd.Index(list(draws), name="quantity"))
    flat = np.stack(list(draws.values()), axis=-1).reshape(-1, len(draws))
    bounded = np.array(
        [_is_bounded(spec.prior_of(quantity).prior) for quantity in spec.quantities], dtype=bool
    )
    return Quantities(
        labels,
        flat,
        posterior.sizes["chain"],
        "summary",
        _known_tails(spec, flat),
        attrs=attrs,
        bounded=bounded,
    )


def _is_bounded(prior: Prior) -> bool:
    """Whether nothing beyond -1 and 1 is possible under it: of probabilities, shares and correlations."""
    if prior.joint:
        return False
    if prior.support in SEVERAL:
        return True
    lower, upper = prior.distribution.bounds(**dict(prior.args))
    return lower >= -1.0 and upper <= 1.0


type Transform = Callable[[Array], Array] | Mapping[str, Callable[[Mapping[str, Array]], Array]]


def transformed(found: Quantities, transform: Transform) -> Quantities:
    """Functions of quantities, in every draw: of each by itself, or of all by name.

    Parameters
    ----------
    found : Quantities
        Of a summary, each with its name in the index.
    transform : function, or mapping of str to function
        ``np.exp`` makes another number of each quantity. ``{"ratio": lambda q: q["a"] / q["b"]}`` makes a quantity
        a name: its function gets the draws of all (chain, draw) by name, and returns (chain, draw).

    Raises
    ------
    DataError
        Where a function asks for a quantity that isn't there, or returns anything but a real number a draw.
    """
    if not isinstance(transform, Mapping):
        return replace(
            found,
            values=_real(transform(found.values), found.values.shape, "transform"),
            tails=-np.inf,
            bounded=False,
        )
    shape = (found.chains, -1)
    draws = {name: found.values[:, place].reshape(shape) for place, name in enumerate(found.labels.index)}
    values = []
    for name, function in transform.items():
        try:
            of_all = function(draws)
        except KeyError as missing:
            near = ", ".join(map(repr, meant(str(missing.args[0]), draws)))
            hint = f"did you mean {near}?" if near else "summary() lists them"
            raise DataError(f"transform {name!r}: there is no quantity {missing}; {hint}") from None
        values.append(
            _real(of_all, (found.chains, len(found.values) // found.chains), f"transform {name!r}").ravel()
        )
    labels = pd.DataFrame(index=pd.Index(list(transform), name=found.labels.index.name))
    return replace(found, labels=labels, values=np.stack(values, axis=-1), tails=-np.inf, bounded=False)


def _real(values: Any, shape: tuple[int, ...], words: str) -> Array:
    """What a user's function made of draws."""
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "fiub":
        raise DataError(
            f"{words} must make a number of each draw, {shape}; it made {array.dtype} {array.shape}"
        )
    return array.astype(float)


def _known_tails(spec: ModelSpec, draws: Array) -> Array:
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


def fixef(spec: ModelSpec, posterior: xr.Dataset) -> Pieces:
    """Population-level coefficients: parameter, effect."""
    pieces = [
        Quantities(
            pd.DataFrame({"parameter": parameter, "effect": [layout.coefficients[place] for place in own]}),
            flat_draws(posterior, spec.coefficient_variable(parameter))[:, own],
            posterior.sizes["chain"],
            "fixef",
        )
        for parameter, layout in spec.layout.predictors.items()
        if (own := _own_coefficients(spec, parameter))
    ]
    return Pieces(tuple(pieces), ("parameter", "effect"))


def _own_coefficients(spec: ModelSpec, parameter: str) -> list[int]:
    """Places of a formula's coefficients, but for an intercept that thresholds hold."""
    layout = spec.layout.predictors[parameter]
    nothing = layout.intercept if parameter in spec.moving else None
    return [place for place in range(len(layout.coefficients)) if place != nothing]


def ranef(spec: ModelSpec, posterior: xr.Dataset) -> Pieces:
    """Deviations of each level from the population: group, level, effect."""
    return _levels(spec, posterior, "ranef", _deviations)


def coef(spec: ModelSpec, posterior: xr.Dataset) -> Pieces:
    """Coefficients of each level, population-level plus deviation: group, level, effect.

    As lme4's ``coef``: a varying effect without a population-level coefficient is its deviation alone.
    """
    return _levels(spec, posterior, "coef", level_coefficients)


def _levels(
    spec: ModelSpec,
    posterior: xr.Dataset,
    name: str,
    values_of: Callable[[ModelSpec, xr.Dataset, str, Factor], Array],
) -> Pieces:
    pieces = []
    for labels, parameter, factor in labelled_factors(spec):
        values = values_of(spec, posterior, parameter, factor)
        pieces.append(Quantities(labels, values[:, factor.has], posterior.sizes["chain"], name))
    return Pieces(tuple(pieces), LEVEL_COLUMNS)


def level_coefficients(spec: ModelSpec, posterior: xr.Dataset, parameter: str, factor: Factor) -> Array:
    """Draws of each level's coefficients, flat: (S, G, q)."""
    layout = spec.layout.predictors[parameter]
    total = _deviations(spec, posterior, parameter, factor).copy()
    if not layout.coefficients:
        return total
    b = flat_draws(posterior, spec.coefficient_variable(parameter))
    for place, effect in enumerate(factor.bases):
        if effect in layout.coefficients:
            total[:, :, place] += b[:, [layout.coefficients.index(effect)]]
    return total


def level_table(
    spec: ModelSpec, columns_of: Callable[[str, Factor], Mapping[str, Any]], columns: tuple[str, ...]
) -> pd.DataFrame:
    """One row a level and effect of every factor: group, level, effect, and the columns of ``columns_of`` (G, q).

    Where several parameters have formulas, the column parameter comes first.
    """
    tables = [
        labels.assign(**{name: values[factor.has] for name, values in columns_of(parameter, factor).items()})
        for labels, parameter, factor in labelled_factors(spec)
    ]
    return stack(tables, (*LEVEL_COLUMNS, *columns))


def labelled_factors(spec: ModelSpec) -> Iterator[tuple[pd.DataFrame, str, Factor]]:
    """The labels of each factor's effects, its parameter and itself."""
    several = not spec.layout.alone
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            yield (
                pd.DataFrame(({"parameter": parameter} if several else {}) | level_labels(factor)),
                parameter,
                factor,
            )


def level_labels(factor: Factor) -> dict[str, Any]:
    """Columns group, level, effect: of each level the effects that it has in turn."""
    levels, effects = np.nonzero(factor.has)
    return {
        "group": factor.name,
        "level": factor.levels.labels[levels],
        "effect": np.array(factor.effects, dtype=object)[effects],
    }


def _deviations(spec: ModelSpec, posterior: xr.Dataset, parameter: str, factor: Factor) -> Array:
    return flat_draws(posterior, spec.factor_variables(parameter, factor)["r"])
