"""Facts about the rows of a grouping factor's levels, additive over rows: what the checks of a design look at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.design import BoundFactor
from hierbayes.data.spread import Spread, spread_of

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FactorFacts:
    """How the rows of one factor lie on its G levels; ``+`` joins the rows of two tables.

    Attributes
    ----------
    counts : ndarray of int, (G,)
        Rows of each level.
    low, high : ndarray, (G, q)
        The least and the largest value of each effect's column within each level.
    columns : Spread
        Of the effects' columns over all rows, whatever their weights.
    """

    counts: NDArray[np.int64]
    low: Array
    high: Array
    columns: Spread

    def __add__(self, other: "FactorFacts") -> "FactorFacts":
        return FactorFacts(
            self.counts + other.counts,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.columns + other.columns,
        )

    @property
    def varying(self) -> NDArray[np.int64]:
        """Within how many levels each effect's column has several values: (q,)."""
        levels: NDArray[np.int64] = (self.high > self.low).sum(axis=0)
        return levels


def factor_facts(bound: BoundFactor, levels: int) -> FactorFacts:
    """The facts of one factor over given rows.

    Parameters
    ----------
    bound : BoundFactor
        n rows, all of known levels.
    levels : int
        G.
    """
    q = bound.width
    low, high = np.full((q, levels), np.inf), np.full((q, levels), -np.inf)
    codes, z = _each_level(bound)
    for effect in range(q):
        column = z[:, effect]
        if column.min() == column.max():  # an intercept: no need to look at every row
            low[effect] = high[effect] = column[0]
        else:
            np.minimum.at(low[effect], codes, column)
            np.maximum.at(high[effect], codes, column)
    return FactorFacts(np.bincount(codes, minlength=levels), low.T, high.T, spread_of(z))


def _each_level(bound: BoundFactor) -> tuple[NDArray[np.int64], Array]:
    """The level of each row with its columns, a row with several levels once for each that weighs anything."""
    if len(bound.memberships) == 1:
        return bound.codes, bound.z
    codes, z = (
        np.concatenate(parts) for parts in zip(*((m.codes, m.z) for m in bound.different_levels), strict=True)
    )
    weighing = z.any(axis=1)
    return codes[weighing], z[weighing]
