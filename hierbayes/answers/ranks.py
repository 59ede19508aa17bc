"""Levels against each other: the posterior of each level's rank, and differences between levels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.intervals import Interval, labelled, summarise
from hierbayes.answers.quantities import Quantities
from hierbayes.data.design import MEAN, Design
from hierbayes.data.factors import Factor, value_texts
from hierbayes.errors import DataError
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
type Held = Sequence[tuple[dict[str, Any], Design]]
ALL_PAIRS = 100  # up to so many levels every pair is compared unless told which


def find_factor(spec: ModelSpec, group: str | None = None) -> Factor:
    """The grouping factor of that name in the mean's formula; the first for None.

    Raises
    ------
    DataError
        For a model without grouping factors, or a name that is none of them.
    """
    layout = spec.layout.predictors[MEAN]
    if not layout.factors:
        raise DataError("the mean's formula has no grouping factor; add a term like (1 | group)")
    if group is None:
        return layout.factors[0]
    for factor in layout.factors:
        if factor.name == group:
            return factor
    have = ", ".join(map(repr, layout.factor_names))
    raise DataError(f"{group!r} is no grouping factor of the mean's formula; it has {have}")


def level_numbers(factor: Factor, labels: Sequence[Any], word: str) -> list[int]:
    """The numbers of levels named by their label or its text, or by a tuple of the values that it joins.

    Raises
    ------
    DataError
        For a label that is no level.
    """
    dates = len(factor.levels.columns) == 1 and isinstance(factor.levels.values[0], pd.DatetimeIndex)
    known = {_key(label, dates): number for number, label in enumerate(factor.levels.labels)}
    texts = [_key(label, dates) for label in labels]
    unknown = [label for label, text in zip(labels, texts, strict=True) if text not in known]
    if unknown:
        raise DataError(f"{word} names {unknown[0]!r}, which is no level of {factor.name!r}")
    return [known[text] for text in texts]


def _key(label: Any, date: bool) -> str:
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
    spec: ModelSpec, draws: Draws, factor: Factor, effect: str | None = None, held: Held | None = None
) -> list[tuple[dict[str, Any], Array]]:
    """What levels are compared by, each with its labels and its values in every draw (S, G).

    Each varying effect, or one of them; or with predictors held at some values, the deviations of the levels there.

    Parameters
    ----------
    held : list of (dict, Design), optional
        The values, and the training rows with the predictors held at them.

    Raises
    ------
    DataError
        For an unknown effect, an effect beside held predictors, or a predictor of the effects that is not held.
    """
    r = draws.values[spec.factor_variables(MEAN, factor)["r"].name]
    if held is None:
        return [
            ({"effect": factor.effects[place]}, r[:, :, place]) for place in effect_places(factor, effect)
        ]
    if effect is not None:
        raise DataError(
            "effect= compares one coefficient, at= the levels at values of predictors: give one of them"
        )
    found = []
    for values, design in held:
        z = design.predictors[MEAN].factors[factor.name].z
        loose = [name for name, column in zip(factor.effects, z.T, strict=True) if np.ptp(column) > 0]
        if loose:
            raise DataError(
                f"at leaves {', '.join(map(repr, loose))} open, which varies by {factor.name!r}; "
                "hold its predictors too"
            )
        found.append((values, np.asarray(r @ z[0])))
    return found


def rank(
    spec: ModelSpec,
    draws: Draws,
    interval: Interval,
    group: str | None = None,
    effect: str | None = None,
    descending: bool = False,
    held: Held | None = None,
) -> pd.DataFrame:
    """Each level's rank in every draw, summarised: 1 is the smallest, or the largest if `descending`.

    Columns group, level, effect (or the predictors held), mean, sd, lower, upper, p_first and p_last (of being ranked
    first and last). Levels that tie share their ranks and the probabilities.

    Raises
    ------
    DataError
        For an unknown factor, and as `level_values`.
    """
    factor = find_factor(spec, group)
    tables = []
    for words, values in level_values(spec, draws, factor, effect, held):
        signed = -values if descending else values
        labels = {"group": factor.name, "level": factor.levels.labels, **words}
        more = {"p_first": _share(signed, signed.min(axis=1)), "p_last": _share(signed, signed.max(axis=1))}
        tables.append(pd.DataFrame(labels | summarise(_ranks(signed), interval) | more))
    return labelled(pd.concat(tables, ignore_index=True), interval)


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
    held: Held | None = None,
) -> Quantities:
    """Differences a − b between levels in every draw: of all pairs of some levels, or of chosen pairs.

    Raises
    ------
    DataError
        For an unknown factor or level, all pairs of more than `ALL_PAIRS` levels, and as `level_values`.
    """
    factor = find_factor(spec, group)
    compared = level_values(spec, draws, factor, effect, held)
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
    columns = [values[:, first] - values[:, second] for _, values in compared]
    labels = [pd.DataFrame({**_pair_labels(factor, first, second), **words}) for words, _ in compared]
    return Quantities(pd.concat(labels, ignore_index=True), np.hstack(columns), draws.chains, "contrast")


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, Sequence | np.ndarray) and not isinstance(pair, str) and len(pair) == 2


def _pair_labels(factor: Factor, first: NDArray[np.int64], second: NDArray[np.int64]) -> Mapping[str, Any]:
    labels = factor.levels.labels
    return {"group": factor.name, "level_a": labels[first], "level_b": labels[second]}
