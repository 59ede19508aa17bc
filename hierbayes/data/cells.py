"""Combinations of categories without a row: which columns of the model matrix cannot be told for want of them."""

from collections.abc import Hashable, Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.coding import CodedBlock

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
_MOST = 1_500  # columns of one term and its margins among which dependence is looked for


def empty_columns[F: Hashable](
    blocks: Sequence[CodedBlock[F]],
    codings: Sequence[tuple[Array | None, ...]],
    picks: Sequence[tuple[tuple[int, ...], ...]],
    codes: Mapping[F, Codes],
    sizes: Mapping[F, int],
) -> list[frozenset[int]]:
    """Columns that empty cells leave without meaning, as lme4 drops them: those that earlier ones determine.

    Only what the cells say counts: numeric factors are taken as if they varied in each.

    Parameters
    ----------
    blocks : sequence of CodedBlock
    codings : sequence of tuple of (ndarray or None)
        For each block the matrix (levels, columns) of each of its factors; None for numeric ones.
    picks : sequence of tuple of tuple of int
        For each block and column, which column of each factor it is the product of.
    codes : mapping to ndarray of int, (n,)
        Level numbers of the categorical factors over the training rows.
    sizes : mapping to int
        How many levels each has.

    Returns
    -------
    list of frozenset of int
        For each block the places of its columns that are to be left out.
    """
    out: list[frozenset[int]] = [frozenset()] * len(blocks)
    by_size = sorted(range(len(blocks)), key=lambda j: len(blocks[j].factors))
    for place in by_size:
        categories = tuple(factor for factor in blocks[place].factors if factor in codes)
        if len(categories) < 2:
            continue
        cells = _observed(categories, codes, sizes)
        if cells.shape[1] == prod(sizes[factor] for factor in categories):
            continue
        numeric = set(blocks[place].factors) - set(categories)
        margins = [
            j
            for j in by_size[: by_size.index(place)]
            if set(blocks[j].factors) - set(codes) == numeric
            and set(blocks[j].factors) < set(blocks[place].factors)
        ]
        simpler: list[Array] = []
        for j in margins:
            left_out = {key for key, places in _places(codings[j], picks[j]).items() if places <= out[j]}
            parts = _cell_columns(blocks[j].factors, codings[j], picks[j], categories, cells)
            simpler += [column for key, column in parts.items() if key not in left_out]
        own = _cell_columns(blocks[place].factors, codings[place], picks[place], categories, cells)
        places = _places(codings[place], picks[place])
        out[place] = frozenset().union(*(places[key] for key in _determined(simpler, own)))
    return out


def _observed[F: Hashable](
    categories: tuple[F, ...], codes: Mapping[F, Codes], sizes: Mapping[F, int]
) -> Codes:
    """The combinations that have rows: (factors, cells)."""
    shape = tuple(sizes[factor] for factor in categories)
    cells = np.unique(np.ravel_multi_index([codes[factor] for factor in categories], shape))
    return np.array(np.unravel_index(cells, shape))


def _key(pick: tuple[int, ...], codings: tuple[Array | None, ...]) -> tuple[int, ...]:
    """The categorical part of what a column is the product of: all numeric columns have the same cells."""
    return tuple(column for column, coding in zip(pick, codings, strict=True) if coding is not None)


def _places(
    codings: tuple[Array | None, ...], picks: tuple[tuple[int, ...], ...]
) -> dict[tuple[int, ...], frozenset[int]]:
    """Places of a block's columns by their categorical part."""
    found: dict[tuple[int, ...], set[int]] = {}
    for place, pick in enumerate(picks):
        found.setdefault(_key(pick, codings), set()).add(place)
    return {key: frozenset(places) for key, places in found.items()}


def _cell_columns[F: Hashable](
    factors: tuple[F, ...],
    codings: tuple[Array | None, ...],
    picks: tuple[tuple[int, ...], ...],
    categories: tuple[F, ...],
    cells: Codes,
) -> dict[tuple[int, ...], Array]:
    """The categorical parts of a block's columns over the cells, by what they are the products of."""
    coded = [
        coding[cells[categories.index(factor)]]
        for factor, coding in zip(factors, codings, strict=True)
        if coding is not None
    ]
    columns: dict[tuple[int, ...], Array] = {}
    for key in dict.fromkeys(_key(pick, codings) for pick in picks):
        column = np.ones(cells.shape[1])
        for matrix, pick in zip(coded, key, strict=True):
            column = column * matrix[:, pick]
        columns[key] = column
    return columns


def _determined(simpler: list[Array], own: dict[tuple[int, ...], Array]) -> list[tuple[int, ...]]:
    """Those of a block's columns that are 0 in every cell, or that the columns before them determine."""
    found = [key for key, column in own.items() if not column.any()]
    left = {key: column for key, column in own.items() if column.any()}
    if len(simpler) + len(left) > _MOST:
        return found
    matrix = np.column_stack([*simpler, *left.values()]) if simpler or left else np.empty((0, 0))
    matrix = matrix / np.linalg.norm(matrix, axis=0)
    basis = np.zeros((len(matrix), min(matrix.shape)))
    rank = 0
    for place, column in enumerate(matrix.T):
        rest = column - basis[:, :rank] @ (basis[:, :rank].T @ column)
        rest -= basis[:, :rank] @ (basis[:, :rank].T @ rest)
        size = np.linalg.norm(rest)
        if rank < len(matrix) and size > 1e-7:
            basis[:, rank] = rest / size
            rank += 1
        elif place >= len(simpler):
            found.append(list(left)[place - len(simpler)])
    return found
