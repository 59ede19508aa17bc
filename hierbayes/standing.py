"""Where priors stand: at which values of other predictors the quantity lies that a prior is about, in words."""

import numpy as np

from hierbayes.data.encoding import INTERCEPT, Term
from hierbayes.data.factors import Factor
from hierbayes.data.margins import Columns
from hierbayes.schema import ResolvedPrior
from hierbayes.spec import ModelSpec

AT_ZERO = "at 0"
AT_MEANS = "at the predictors' means"
ON_AVERAGE = "on average over the rows"
SEVERAL = 3  # values that are named, at most


def standing(spec: ModelSpec, prior: ResolvedPrior) -> str:
    """Where a prior stands: ``"at Days = 4.5"``, ``"at 0"``; empty where other predictors have no part in its meaning.

    Examples
    --------
    >>> import hierbayes as hb
    >>> model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))
    >>> [standing(model.spec, prior) for prior in model.spec.priors]
    ["at the predictors' means", '', 'at Days = 4.5', '', 'at Days = 4.5', '']
    """
    layout = spec.layout.predictors.get(prior.parameter)
    if prior.kind == spec.family.origin != "":
        return _thresholds_standing(spec)
    if layout is None or prior.kind not in (INTERCEPT, "b", "sd", "cor"):
        return ""
    if not prior.group:
        label = prior.coefficient or spec.layout.intercept_label
        words = _standing(spec, layout.columns, layout.common.terms, layout.coefficients.index(label))
        return AT_MEANS if prior.kind == INTERCEPT and words not in ("", AT_ZERO) else words
    factor = next(factor for factor in layout.factors if factor.name == prior.group)
    if prior.kind == "sd":
        places = dict(factor.scales)[prior.coefficient]
        return next(filter(None, (_effect_standing(spec, factor, place) for place in places)), "")
    every = [_effect_standing(spec, factor, place) for place in range(len(factor.effects))]
    return next((words for words in every if words), "")


def _thresholds_standing(spec: ModelSpec) -> str:
    """Of thresholds, which are the intercepts: at the predictors' means, or where these are 0."""
    moving = [spec.layout.predictors[name] for name in spec.moving]
    if not any(len(layout.coefficients) > 1 for layout in moving):
        return ""
    return AT_ZERO if all(layout.intercept in layout.columns.literal for layout in moving) else AT_MEANS


def quantity_standing(spec: ModelSpec) -> dict[str, str]:
    """Where the prior of each quantity of `Fit.summary` stands, by the quantity's name; "" is left out."""
    words = {quantity.name: standing(spec, spec.prior_of(quantity)) for quantity in spec.quantities}
    return {name: text for name, text in words.items() if text}


def _effect_standing(spec: ModelSpec, factor: Factor, place: int) -> str:
    first, terms = 0, list[Term]()
    for encoding in factor.encodings:
        terms += [
            Term(term.text, term.variables, tuple(first + column for column in term.columns))
            for term in encoding.terms
        ]
        first += len(encoding.labels)
    return _standing(spec, factor.columns, tuple(terms), place)


def _standing(spec: ModelSpec, columns: Columns, terms: tuple[Term, ...], place: int) -> str:
    """Of one coefficient: what other columns add to it on the way to the inner columns."""
    if not _others(columns, columns.inner.inverse[place], place):
        return ""
    weights = columns.map.inverse[place]
    others = _others(columns, weights, place)
    if not others:
        return AT_ZERO
    of = {column: term for term in terms for column in term.columns}
    values: dict[str, float] = {}
    for other in others:
        constant = not of[place].variables <= of[other].variables  # the term stands in for the intercept
        held = _held(spec, Term("1", frozenset(), ()) if constant else of[place], of[other])
        if held is None:
            return ON_AVERAGE if of[place].variables else AT_MEANS
        values[held] = float(weights[other])
    if len(values) > SEVERAL:
        return AT_MEANS
    return "at " + ", ".join(f"{name} = {value:.6g}" for name, value in values.items())


def _others(columns: Columns, weights: np.ndarray, place: int) -> list[int]:
    sizes = columns.sizes
    parts = np.abs(weights) * sizes[place]
    told = parts > 1e-8 * np.maximum(columns.scales, np.finfo(float).tiny)
    return [int(other) for other in np.flatnonzero(told) if other != place]


def _held(spec: ModelSpec, term: Term, product: Term) -> str | None:
    """The one column of numbers that a product has beside a term; None for any other relation of the two."""
    more = product.variables - term.variables
    if len(more) != 1 or product.variables < term.variables:
        return None
    (name,) = more
    parts, own = product.text.split(":"), term.text.split(":") if term.variables else []
    beside = [part for part in parts if part not in own]
    plain = len(beside) == 1 and beside[0].strip("`") == name and set(own) <= set(parts)
    return name if plain and spec.layout.kinds.get(name) == "numbers" else None
