"""Levels against each other: the posterior of each level's rank, and differences between levels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.intervals import Interval, labelled, summarise
from hierbayes.answers.quantities import Quantities
from hierbayes.data.design import MEAN
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError
from hierbayes.spec import ModelSpec

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
    """The numbers of levels named by their label, or by its text where that is unambiguous.

    Raises
    ------
    DataError
        For a label that is no level.
    """
    known = {str(label): number for number, label in enumerate(factor.levels.labels)}
    unknown = [label for label in labels if str(label) not in known]
    if unknown:
        raise DataError(f"{word} names {unknown[0]!r}, which is no level of {factor.name!r}")
    return [known[str(label)] for label in labels]


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


def rank(
    spec: ModelSpec,
    draws: Draws,
    interval: Interval,
    group: str | None = None,
    effect: str | None = None,
    descending: bool = False,
) -> pd.DataFrame:
    """Each level's rank in every draw, summarised: 1 is the smallest, or the largest if `descending`.

    Columns group, level, effect, mean, sd, lower, upper, p_first and p_last (of being ranked first and last).

    Raises
    ------
    DataError
        For an unknown factor or effect.
    """
    factor = find_factor(spec, group)
    r = draws.values[spec.factor_variables(MEAN, factor)["r"].name]
    tables = []
    for place in effect_places(factor, effect):
        order = np.argsort(-r[:, :, place] if descending else r[:, :, place], axis=1)
        ranks = np.empty(order.shape)
        np.put_along_axis(ranks, order, np.arange(1.0, order.shape[1] + 1)[None, :], axis=1)
        labels = {"group": factor.name, "level": factor.levels.labels, "effect": factor.effects[place]}
        more = {"p_first": (ranks == 1).mean(axis=0), "p_last": (ranks == order.shape[1]).mean(axis=0)}
        tables.append(pd.DataFrame(labels | summarise(ranks, interval) | more))
    return labelled(pd.concat(tables, ignore_index=True), interval)


def contrasts(
    spec: ModelSpec,
    draws: Draws,
    group: str | None = None,
    effect: str | None = None,
    levels: Sequence[Any] | None = None,
    pairs: Sequence[tuple[Any, Any]] | None = None,
) -> Quantities:
    """Differences a − b between levels in every draw: of all pairs of some levels, or of chosen pairs.

    Raises
    ------
    DataError
        For an unknown factor, effect or level, or all pairs of more than `ALL_PAIRS` levels.
    """
    factor = find_factor(spec, group)
    places = effect_places(factor, effect)
    if pairs is not None:
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
    r = draws.values[spec.factor_variables(MEAN, factor)["r"].name]
    first, second = (np.array([pair[side] for pair in chosen], dtype=np.int64) for side in (0, 1))
    columns = [r[:, first, place] - r[:, second, place] for place in places]
    labels = [
        pd.DataFrame({**_pair_labels(factor, first, second), "effect": factor.effects[place]})
        for place in places
    ]
    return Quantities(pd.concat(labels, ignore_index=True), np.hstack(columns), draws.chains, "contrast")


def _pair_labels(factor: Factor, first: NDArray[np.int64], second: NDArray[np.int64]) -> Mapping[str, Any]:
    labels = factor.levels.labels
    return {"group": factor.name, "level_a": labels[first], "level_b": labels[second]}
