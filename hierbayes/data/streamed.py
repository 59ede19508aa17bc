"""Rows that stay in their source: what stands in for a `Design` once they were summed up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.design import MEAN, BoundFactor, BoundPredictor, Design, Layout
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
        Cross-products of all complete rows.
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
        predictor, about = self.layout.predictors[MEAN], self.moments.reference
        p, apart = len(predictor.coefficients), predictor.means - about.centre
        if predictor.intercept is not None:
            apart[predictor.intercept] = 1.0
        products: NDArray[np.float64] = self.moments.dense[:p, :p] - self.moments.n * np.outer(apart, apart)
        return products

    def second_moments(self, factor: Factor) -> NDArray[np.float64]:
        """Weighted means of z z', z a row's columns of a factor's effects: (q, q)."""
        place = self.layout.predictors[MEAN].factor_names.index(factor.name)
        products = self.moments.within[place].sum(axis=0) / self.moments.n
        back = np.eye(len(products)) if factor.shift is None else np.linalg.inv(factor.shift)
        moments: NDArray[np.float64] = back.T @ products @ back
        return moments

    @property
    def no_rows(self) -> Design:
        """A design of no rows, with this one's columns."""
        predictor = self.layout.predictors[MEAN]
        none = np.zeros(0)
        factors = {
            factor.name: BoundFactor(np.zeros(0, np.int64), np.zeros((0, len(factor.effects))))
            for factor in predictor.factors
        }
        bound = BoundPredictor(np.zeros((0, len(predictor.coefficients))), none, factors)
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
