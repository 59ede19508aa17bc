"""What a model's priors imply, in sentences and tables: the summary of a prior predictive simulation."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.predict import category_numbers
from hierbayes.answers.variance import has_variance_on_the_link
from hierbayes.data.design import MEAN
from hierbayes.expect import Simulation
from hierbayes.implied import icc, inner_sds, r2
from hierbayes.reprs import format_table

Array = NDArray[np.float64]
QUANTILES = (0.05, 0.5, 0.95)
COLUMNS = ("5%", "50%", "95%")
UNITS = {
    "logit": "log odds",
    "probit": "probit units",
    "cloglog": "complementary log-log units",
    "cauchit": "cauchit units",
}


@dataclass(frozen=True, eq=False)
class PriorSummary:
    """What the priors imply; it prints as sentences and two tables.

    Attributes
    ----------
    sentences : tuple of str
    responses : pandas.DataFrame
        Of simulated responses, and of whole simulated data sets, the 5 %, 50 % and 95 % quantiles.
    effects : pandas.DataFrame
        Of sds and correlations of group effects (where their priors stand) and intraclass correlations.
    """

    sentences: tuple[str, ...]
    responses: pd.DataFrame
    effects: pd.DataFrame

    def _blocks(self) -> Iterator[tuple[str, pd.DataFrame]]:
        yield "Simulated data", self.responses
        if len(self.effects):
            yield "Groups, on the link's scale", self.effects

    def __repr__(self) -> str:
        parts = ["\n".join(f"- {sentence}" for sentence in self.sentences)]
        parts += [f"{words}\n{format_table(table).to_string()}" for words, table in self._blocks()]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences)
        tables = "".join(
            f"<p>{words}</p>{format_table(table).to_html(border=0)}" for words, table in self._blocks()
        )
        return f"<div><ul>{items}</ul>{tables}</div>"


def summarise_prior(simulation: Simulation) -> PriorSummary:
    """Sentences and tables on simulated data sets and the parameters behind them."""
    effects = dict(implied_effects(simulation))
    table = pd.DataFrame(
        [_quantiles(values) for values in effects.values()], index=list(effects), columns=COLUMNS, dtype=float
    )
    sentences = (
        *_response_sentences(simulation),
        *_effect_sentences(simulation),
        *_explained_sentences(simulation),
    )
    return PriorSummary(sentences, _response_table(simulation), table)


def implied_effects(simulation: Simulation) -> Iterator[tuple[str, Array]]:
    """Prior draws (S,) of sds, correlations and intraclass correlations of the mean's groups, by name."""
    spec, prior = simulation.spec, simulation.prior
    for factor in spec.layout.main.factors:
        sd, cor = inner_sds(spec, prior, factor)
        for label, places in factor.scales:
            yield f"sd[{factor.name}, {label}]", sd[:, places[0]]
        if cor is not None:
            for first, second in factor.correlated_pairs:
                effects = f"{factor.effects[first]}, {factor.effects[second]}"
                yield f"cor[{factor.name}, {effects}]", cor[:, first, second]
        for variable in spec.shape_variables(MEAN, factor):
            yield variable.address, variable.of(prior.values)
        if len(factor.levels) < len(simulation.design) and has_variance_on_the_link(spec):
            yield f"icc[{factor.name}]", icc(spec, prior, simulation.design, factor.name)


def _quantiles(values: Array) -> Array:
    known = values[~np.isnan(values)]
    return np.quantile(known, QUANTILES, method="nearest") if known.size else np.full(3, np.nan)


def _response_table(simulation: Simulation) -> pd.DataFrame:
    if simulation.spec.family.has_categories:
        each = {f"share of {level!r}": values for level, values in _category_shares(simulation).items()}
        return pd.DataFrame(
            [_quantiles(values) for values in each.values()], index=list(each), columns=COLUMNS
        )
    y = shares(simulation)
    rows = {
        "a response": y.ravel(),
        "mean of a data set": y.mean(axis=1),
        "sd of a data set": y.std(axis=1),
        "minimum of a data set": y.min(axis=1),
        "maximum of a data set": y.max(axis=1),
    }
    return pd.DataFrame([_quantiles(values) for values in rows.values()], index=list(rows), columns=COLUMNS)


def shares(simulation: Simulation) -> Array:
    """Simulated responses (S, n); of families with trials, as shares of the row's trials."""
    trials = simulation.design.trials
    return simulation.responses if trials is None else simulation.responses / np.maximum(trials, 1)


# -- sentences --------------------------------------------------------------------------------------------------


def _response_sentences(simulation: Simulation) -> Iterator[str]:
    spec = simulation.spec
    if spec.family.has_categories:
        yield from _category_sentences(simulation)
        return
    name, y = spec.layout.response.name, shares(simulation)
    if spec.family.support.two_levels or spec.family.needs_trials:
        proportions = y.mean(axis=1)
        low, middle, high = map(_number, _quantiles(proportions))
        yield f"The proportion in a simulated data set is {middle} at the median; 90 % lie in {low} to {high}."
        extreme = np.mean((simulation.means < 0.01) | (simulation.means > 0.99))
        yield f"{_percent(extreme)} of the probabilities lie below 1 % or above 99 %."
    else:
        low, middle, high = map(_number, _quantiles(y.ravel()))
        yield f"A simulated {name} is {middle} at the median; 90 % lie in {low} to {high}."
        yield from _sign_sentences(simulation)
    yield from _data_sentences(simulation)


def _category_shares(simulation: Simulation) -> dict[Any, Array]:
    """Each category's share of a simulated data set: (S,)."""
    levels, responses = simulation.spec.layout.response.levels or (), simulation.responses
    if simulation.spec.family.support.columns:
        totals = responses.sum(axis=1)
        return dict(zip(levels, (totals / totals.sum(axis=1, keepdims=True)).T, strict=True))
    numbers = category_numbers(simulation.spec)
    return {
        level: np.mean(responses == number, axis=1) for level, number in zip(levels, numbers, strict=True)
    }


def _category_sentences(simulation: Simulation) -> Iterator[str]:
    for level, values in _category_shares(simulation).items():
        low, middle, high = map(_number, _quantiles(values))
        yield (
            f"The share of {level!r} in a simulated data set is {middle} at the median; 90 % lie in {low} to {high}."
        )


def _sign_sentences(simulation: Simulation) -> Iterator[str]:
    spec, y = simulation.spec, simulation.responses
    if np.isnan(y).any():
        family = spec.family.name
        yield f"{_percent(np.isnan(y).mean())} of the means are negative, which family {family!r} cannot have."
    if spec.family.support.whole:
        yield f"{_percent((y == 0).mean())} of simulated responses are 0."
    elif spec.family.support.contains(np.array([-1.0]), None).all():
        negative = float((y < 0).mean())
        if 0 < negative < 1:
            yield f"{_percent(negative)} of simulated responses are negative."


def _data_sentences(simulation: Simulation) -> Iterator[str]:
    observed = simulation.design.y
    if observed is None:
        return
    trials = simulation.design.trials
    observed = observed if trials is None else observed / np.maximum(trials, 1)
    y = shares(simulation)
    ratio = _quantiles(y.std(axis=1) / (observed.std() or 1.0))
    low, middle, high = map(_number, ratio)
    yield (
        f"The sd of a simulated data set is {middle} times that of the data at the median; 90 % lie in {low} to {high}."
    )


def _effect_sentences(simulation: Simulation) -> Iterator[str]:
    spec, prior = simulation.spec, simulation.prior
    link = spec.shown_link
    ratios = spec.family.mean_is_exponential(spec.link_name) or link == "log"
    for factor in spec.layout.main.factors:
        sd, _ = inner_sds(spec, prior, factor)
        for effect, (place, *_) in factor.scales:
            values = np.exp(sd[:, place]) if ratios else sd[:, place]
            low, middle, high = map(_number, _quantiles(values))
            unit = f" {UNITS[link]}" if link in UNITS else ""
            by = f"a factor of {low} to {high}" if ratios else f"{low} to {high}{unit}"
            who = f"{factor.name} differs from the population"
            if place != factor.intercept:
                who = f"{factor.name}'s effect of {effect} differs from the population's"
            yield f"A typical {who} by {by} (90 % of standard deviations; the median is {middle})."
        if len(factor.levels) == len(simulation.design) or not has_variance_on_the_link(spec):
            continue
        low, middle, high = map(_number, _quantiles(icc(spec, prior, simulation.design, factor.name)))
        words = f"The share of variance between levels of {factor.name} (ICC)"
        yield f"{words} is {middle} at the median; 90 % lie in {low} to {high}."


def _explained_sentences(simulation: Simulation) -> Iterator[str]:
    spec = simulation.spec
    layout = spec.layout.main
    if len(layout.coefficients) == (0 if layout.intercept is None else 1):
        return  # the ICC says it
    if not has_variance_on_the_link(spec):
        return
    low, middle, high = map(_number, _quantiles(r2(spec, simulation.prior, simulation.design)[1]))
    who = "Predictors and groups" if layout.factors else "Predictors"
    yield f"{who} explain a share of {middle} of the variance (R²) at the median; 90 % lie in {low} to {high}."


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.4g} %"
