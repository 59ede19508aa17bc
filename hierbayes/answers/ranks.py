"""Levels against each other: the posterior of each level's rank, and differences between levels."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.grids import held_values
from hierbayes.answers.predict import Request, choose_groups, predict_chunks
from hierbayes.answers.quantities import Quantities, beside, share_above
from hierbayes.data.design import MEAN, PredictorLayout, is_main
from hierbayes.data.factors import Factor
from hierbayes.data.levels import value_texts
from hierbayes.data.tables import with_columns
from hierbayes.errors import DataError
from hierbayes.formula.latent import predictors_in
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
CHECKED_ROWS = 50  # that differ in what is not held
ALL_PAIRS = 100  # up to so many levels every pair is compared unless told which


def no_factor(spec: ModelSpec, parameter: str = MEAN) -> str:
    """That the formula of a parameter has no grouping factor, and the way out."""
    others = [name for name, own in spec.layout.predictors.items() if own.factors]
    way = "add a term like (1 | group)"
    if others:
        way = (
            f"ranef() has the effects on {', '.join(others)}, and rank(), contrasts() and plot_ranef() take "
            f"parameter={others[0]!r}"
        )
    return f"{_whose(parameter)} formula has no grouping factor; {way}"


def _whose(parameter: str) -> str:
    return "the mean's" if is_main(parameter) else f"{parameter}'s"


def find_factor(spec: ModelSpec, group: str | None = None, parameter: str = MEAN) -> Factor:
    """The grouping factor of that name in the formula of the mean, or another parameter; the first for None.

    Raises
    ------
    DataError
        For a formula without grouping factors, a name that is none of them, or a parameter without a formula.
    """
    if parameter not in spec.layout.predictors:
        have = ", ".join(map(repr, spec.layout.predictors))
        raise DataError(f"{parameter!r} is no parameter with a formula; there are {have}")
    layout = spec.layout.predictors[parameter]
    if not layout.factors:
        raise DataError(no_factor(spec, parameter))
    if group is None:
        return layout.factors[0]
    for factor in layout.factors:
        if factor.name == group:
            return factor
    have = ", ".join(map(repr, layout.factor_names))
    raise DataError(f"{group!r} is no grouping factor of {_whose(parameter)} formula; it has {have}")


def level_numbers(factor: Factor, labels: Sequence[Any], word: str) -> list[int]:
    """The numbers of levels named by their label or its text, or by a tuple of the values that it joins.

    A value stands for itself before its text stands for it: 1 and ``"1"`` may be two levels.

    Raises
    ------
    DataError
        For a label that is no level, or whose text is that of several.
    """
    dates = len(factor.levels.columns) == 1 and isinstance(factor.levels.values[0], pd.DatetimeIndex)
    exact: dict[Any, int] = {}
    texts: dict[str, list[int]] = {}
    for number, (label, values) in enumerate(zip(factor.levels.labels, factor.levels.tuples, strict=True)):
        exact |= {values: number} if len(values) > 1 else {values[0]: number}
        texts.setdefault(_text(label, dates), []).append(number)
    return [_level_number(factor, label, exact, texts.get(_text(label, dates), []), word) for label in labels]


def _level_number(factor: Factor, label: Any, exact: Mapping[Any, int], alike: list[int], word: str) -> int:
    if isinstance(label, Hashable) and label in exact:
        return exact[label]
    if not alike:
        raise DataError(f"{word} names {label!r}, which is no level of {factor.name!r}")
    if len(alike) > 1:
        values = " and ".join(repr(factor.levels.tuples[number]) for number in alike)
        raise DataError(
            f"{word} names {label!r}, which may be several levels of {factor.name!r}, {values}; name one by its values"
        )
    return alike[0]


def _text(label: Any, date: bool) -> str:
    """A level in words: a date however it is written, a combination by its values joined."""
    if isinstance(label, tuple):
        return ":".join(value_texts(pd.Index([value]))[0] for value in label)
    return str(pd.to_datetime(label, errors="coerce")) if date else str(label)


def effect_places(factor: Factor, effect: str | None = None) -> list[int]:
    """The place of one varying effect of a factor; of all of them for None.

    Raises
    ------
    DataError
        For an effect that does not vary.
    """
    if effect is None:
        return list(range(len(factor.effects)))
    if effect not in factor.effects:
        have = ", ".join(map(repr, factor.effects))
        raise DataError(f"{effect!r} does not vary by {factor.name!r}; its effects are {have}")
    return [factor.effects.index(effect)]


def level_values(
    spec: ModelSpec,
    draws: Draws,
    factor: Factor,
    effect: str | None = None,
    at: "At | None" = None,
    parameter: str = MEAN,
) -> list[tuple[dict[str, Any], NDArray[np.int64], Array]]:
    """What levels are compared by, each with its labels, the levels (L,) and their values in every draw (S, L).

    Each varying effect, or one of them, of the levels that have it; or where all levels are with predictors held at
    some values.

    Raises
    ------
    DataError
        For an unknown effect, or an effect beside held predictors, and as `located`.
    """
    if at is None:
        r = draws.values[spec.factor_variables(parameter, factor)["r"].name]
        places = [(place, np.flatnonzero(factor.has[:, place])) for place in effect_places(factor, effect)]
        return [({"effect": factor.effects[place]}, own, r[:, own, place]) for place, own in places]
    if effect is not None:
        raise DataError(
            "effect= compares one coefficient, at= the levels at values of predictors: give one of them"
        )
    everyone = np.arange(len(factor.levels))
    return [(values, everyone, eta) for values, eta in located(spec, draws, factor, at, parameter)]


@dataclass(frozen=True, eq=False)
class At:
    """Columns held at values, every combination, and the training rows to hold them in."""

    values: Mapping[str, Any]
    data: pd.DataFrame


def located(
    spec: ModelSpec, draws: Draws, factor: Factor, at: At, parameter: str = MEAN
) -> list[tuple[dict[str, Any], Array]]:
    """A parameter's linear predictor of every level with columns held at values, each combination of these: (S, G).

    All that tells the levels apart there counts: the factor's effects, those of the other factors whose level it and
    `at` name together (a level that training hadn't is a new group), and a population-level part that reads the
    factor's own columns.

    Raises
    ------
    DataError
        For a column that is not in the model or that makes the levels, or where the differences hang on one that is
        not held.
    """
    held, levels = held_values(at.values), factor.rows()
    own = tuple(map(str, levels.columns))
    predictors, grouping = spec.layout.columns_for(choose_groups(spec, "all"))
    unknown = [name for name in held if name not in (*predictors, *grouping)]
    if unknown:
        have = ", ".join(map(repr, dict.fromkeys((*predictors, *grouping)))) or "none"
        raise DataError(f"at names {unknown[0]!r}, which is no predictor of this model; it has {have}")
    whole = [name for name in held if name in own]
    if whole:
        raise DataError(f"at holds {whole[0]!r}, by which the levels of {factor.name!r} differ; leave it out")
    layout = spec.layout.predictors[parameter]
    known = {*own, *held}
    groups = tuple(other.name for other in layout.factors if known.issuperset(other.level_columns))
    request = Request("linear", groups, "sample", 0, parameter=None if is_main(parameter) else parameter)
    found = []
    for combination in itertools.product(*held.values()):
        values = dict(zip(held, combination, strict=True))
        _check_open(layout, factor, with_columns(at.data, values), levels, groups)
        rows = at.data.iloc[np.zeros(len(levels), dtype=np.int64)].reset_index(drop=True)
        rows = with_columns(rows, {**values, **{name: levels[name] for name in own}})
        design = spec.layout.bind_new(rows, groups, slack=0.0)
        eta = np.empty((len(draws), len(levels)))
        for places, piece in predict_chunks(spec, draws, design, request):
            eta[:, places] = piece
        found.append((values, eta))
    return found


def _check_open(
    layout: PredictorLayout, factor: Factor, data: pd.DataFrame, levels: pd.DataFrame, groups: Sequence[str]
) -> None:
    """Refuse differences between levels that hang on a predictor which is not held: it differs in the rows `data`."""
    own = tuple(map(str, levels.columns))
    first = with_columns(data, {name: levels[name].iloc[0] for name in own})
    loose = []
    for other in layout.factors:
        if other.name in groups:
            each = other.matrix(first).reshape(-1, len(first), len(other.effects))  # of a row's levels
            moving = (np.ptp(each, axis=1) > 0).any(axis=0)
            loose += [label for label, moves in zip(other.effects, moving, strict=True) if moves]
    read = predictors_in(layout.common.text)
    if set(own) & set(read):
        some = data.drop_duplicates([name for name in read if name not in own] or None).head(CHECKED_ROWS)
        start = layout.common.matrix(with_columns(some, {name: levels[name].iloc[0] for name in own}))
        for level in range(1, len(levels)):
            moved = with_columns(some, {name: levels[name].iloc[level] for name in own})
            apart = np.ptp(layout.common.matrix(moved) - start, axis=0)
            loose += [
                layout.coefficients[j] for j in np.flatnonzero(apart > 1e-9 * (1 + np.abs(start).max()))
            ]
    if loose:
        names = list(dict.fromkeys(loose))
        shown = ", ".join(map(repr, names[:4])) + (", …" if len(names) > 4 else "")
        varies = "which varies" if len(names) == 1 else "which vary"
        raise DataError(f"at leaves {shown} open, {varies} by {factor.name!r}; hold its predictors too")


def rank(
    spec: ModelSpec,
    draws: Draws,
    group: str | None = None,
    effect: str | None = None,
    descending: bool = False,
    at: At | None = None,
    parameter: str = MEAN,
) -> Quantities:
    """Each level's rank in every draw: 1 is the smallest, or the largest if `descending`.

    Labels are group, level, effect (or the predictors held); beside the ranks are p_first and p_last (of being ranked
    first and last). Levels that tie share their ranks and the probabilities.

    Raises
    ------
    DataError
        For an unknown factor, and as `level_values`.
    """
    factor = find_factor(spec, group, parameter)
    labels, columns, first, last = [], [], [], []
    for words, own, values in level_values(spec, draws, factor, effect, at, parameter):
        signed = -values if descending else values
        ours = {"group": factor.name, "level": factor.levels.labels[own]}
        labels.append(_labels(words, ours, len(own)))
        columns.append(_ranks(signed))
        first.append(_share(signed, signed.min(axis=1)))
        last.append(_share(signed, signed.max(axis=1)))
    more = {"p_first": np.concatenate(first), "p_last": np.concatenate(last)}
    return Quantities(
        pd.concat(labels, ignore_index=True), np.hstack(columns), draws.chains, "rank", more=more
    )


def _labels(words: Mapping[str, Any], ours: Mapping[str, Any], rows: int) -> pd.DataFrame:
    """Columns of ours in front of what was held."""
    held = pd.DataFrame({name: [value] * rows for name, value in words.items()}, index=range(rows))
    return beside(held, ours, first=True)


def _ranks(values: Array) -> Array:
    """Ranks within each draw (S, G), 1 for the smallest; ties have the mean of theirs."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        from scipy.stats import rankdata

        return np.asarray(rankdata(values, axis=1), dtype=np.float64)
    ranks = np.empty(order.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, order.shape[1] + 1)[None, :], axis=1)
    return ranks


def _share(values: Array, extreme: Array) -> Array:
    """In how many of the draws each level has the extreme value, (G,); those that tie share a draw."""
    there = values == extreme[:, None]
    shares: Array = (there / there.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares


def contrasts(
    spec: ModelSpec,
    draws: Draws,
    group: str | None = None,
    effect: str | None = None,
    levels: Sequence[Any] | None = None,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    at: At | None = None,
    parameter: str = MEAN,
) -> Quantities:
    """Differences a − b between levels in every draw: of all pairs of some levels, or of chosen pairs.

    Raises
    ------
    DataError
        For an unknown factor or level, all pairs of more than `ALL_PAIRS` levels, and as `level_values`.
    """
    factor = find_factor(spec, group, parameter)
    compared = level_values(spec, draws, factor, effect, at, parameter)
    if pairs is not None:
        odd = [pair for pair in pairs if not _is_pair(pair)]
        if odd:
            raise DataError(
                f"pairs is a list of pairs of levels, such as [(a, b)]; got {odd[0]!r} among them"
            )
        flat = level_numbers(factor, [label for pair in pairs for label in pair], "pairs")
        chosen = list(zip(flat[::2], flat[1::2], strict=True))
    else:
        names = list(factor.levels.labels if levels is None else levels)
        if len(names) > ALL_PAIRS:
            count = len(names) * (len(names) - 1) // 2
            raise DataError(
                f"{len(names)} levels of {factor.name!r} have {count} pairs; name some: levels=[…] for all pairs of "
                "those, or pairs=[(a, b), …]"
            )
        numbers = level_numbers(factor, names, "levels")
        chosen = [(a, b) for place, a in enumerate(numbers) for b in numbers[place + 1 :]]
    first, second = (np.array([pair[side] for pair in chosen], dtype=np.int64) for side in (0, 1))
    columns, labels = [], []
    for words, own, values in compared:
        both = np.isin(first, own) & np.isin(second, own)
        a, b = first[both], second[both]
        columns.append(values[:, np.searchsorted(own, a)] - values[:, np.searchsorted(own, b)])
        labels.append(_labels(words, _pair_labels(factor, a, b), len(a)))
    differences = np.hstack(columns)
    if not differences.size and chosen:
        raise DataError(
            f"no two of these levels of {factor.name!r} have an effect in common: they are of different kinds; "
            "at={…} compares where they are"
        )
    return Quantities(
        pd.concat(labels, ignore_index=True),
        differences,
        draws.chains,
        "contrast",
        more=share_above(differences),
    )


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, Sequence | np.ndarray) and not isinstance(pair, str) and len(pair) == 2


def _pair_labels(factor: Factor, first: NDArray[np.int64], second: NDArray[np.int64]) -> Mapping[str, Any]:
    labels = factor.levels.labels
    return {"group": factor.name, "level_a": labels[first], "level_b": labels[second]}
