"""Rows that stay in their source: what stands in for a `Design` once they were summed up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.design import MEAN, BoundFactor, BoundPredictor, Design, Layout, Membership
from hierbayes.data.factors import Factor
from hierbayes.data.facts import FactorFacts
from hierbayes.data.sources import Source
from hierbayes.data.tables import used_categories
from hierbayes.errors import UnsupportedError

if TYPE_CHECKING:  # numba takes its time
    from hierbayes.engine.gaussian.moments import Moments


@dataclass(frozen=True, eq=False)
class Streamed:
    """Rows that stay in their source: what stands in for a `Design`.

    Attributes
    ----------
    source : Source
    layout : Layout
    moments : Moments
        Cross-products of all complete rows, their columns as residuals on all margins.
    facts : mapping of str to FactorFacts
        Of each grouping factor.
    count : int
        The complete rows.
    """

    source: Source
    layout: Layout
    moments: "Moments"
    facts: Mapping[str, FactorFacts]
    count: int

    def __len__(self) -> int:
        return self.count

    def designs(self) -> Iterator[Design]:
        """The rows as arrays, part by part, read once more."""
        for chunk in self.source.chunks(self.layout.columns):
            if len(chunk.frame):
                yield self.layout.bind(used_categories(chunk.frame))

    def column_products(self) -> NDArray[np.float64]:
        """Weighted cross-products of the population-level columns about their means: (p, p)."""
        return self.layout.main.columns.products

    def second_moments(self, factor: Factor) -> NDArray[np.float64]:
        """Weighted means of z z', z a row's columns of a factor's effects: (q, q)."""
        return factor.columns.second_moments

    def inner_moments(self, layout: Layout) -> "Moments":
        """Cross-products of the columns that the priors of a layout are about; it is this one but for stated priors."""
        mine, theirs = self.layout.main, layout.main
        maps = [(mine.columns.inner, theirs.map)]
        maps += [
            (own.columns.inner, other.map) for own, other in zip(mine.factors, theirs.factors, strict=True)
        ]
        if all((own.matrix == other.matrix).all() for own, other in maps):
            return self.moments
        columns, *effects = (own.inverse @ other.matrix for own, other in maps)
        b = theirs.map.to_inner(mine.columns.inner.to_user(self.moments.reference.b))
        return self.moments.about(b, columns, tuple(effects))

    @property
    def no_rows(self) -> Design:
        """A design of no rows, with this one's columns."""
        predictor = self.layout.main
        none, nobody = np.zeros(0), np.zeros(0, np.int64)
        factors = {
            factor.name: BoundFactor(
                (Membership(nobody, np.zeros((0, len(factor.effects))), np.zeros((0, 0))),)
            )
            for factor in predictor.factors
        }
        nothing = np.zeros((0, 0))
        x = np.zeros((0, len(predictor.coefficients)))
        bound = BoundPredictor(x, none, factors, nothing, nothing, nothing, {})
        return Design(MappingProxyType({MEAN: bound}), pd.RangeIndex(0), none, None, None)


def in_memory(design: Design | Streamed, what: str, instead: str = "") -> Design:
    """The rows, for what needs all of them at once.

    Raises
    ------
    UnsupportedError
        Where they stay in their source; `what` needs them, and `instead` says the way out.
    """
    if isinstance(design, Design):
        return design
    source = design.source
    way_out = instead or f"make the model of rows in memory: {source.collect}, or a sample of them"
    raise UnsupportedError(f"{what} needs the rows at once, and they stay in {source.words}; {way_out}")
