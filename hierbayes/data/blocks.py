"""Effects of a level with one covariance structure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.structures import FreeCorrelations, Structure, StructureParameter

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Block:
    """Effects of a level with one covariance structure, independent of those of other blocks.

    Attributes
    ----------
    structure : Structure
    effects : tuple of int
        Places among the factor's effects, ascending.
    label : str
        What they are called together: ``"f"`` of ``cs(0 + f | g)``.
    positions : ndarray (q,) or (q, d)
        What each effect stands for, where the structure asks for it: a time, or a place.
    identifier : str
        That of other formulas' blocks whose effects are correlated with these, "" for none.
    rank : int
        Of how many dimensions its loadings are; 0 without any.
    """

    structure: Structure
    effects: tuple[int, ...]
    label: str
    positions: Array
    identifier: str = ""
    rank: int = 0

    @property
    def correlated(self) -> bool:
        """Whether any two of its effects are correlated."""
        return self.structure.correlated and len(self.effects) > 1

    @property
    def parameters(self) -> tuple[StructureParameter, ...]:
        """The structure's own numbers; one effect alone needs none."""
        return self.structure.parameters_of(len(self.effects), self.rank)

    @property
    def matrix(self) -> FreeCorrelations | None:
        """How correlations are parameters themselves, as `Structure.matrix`."""
        return self.structure.matrix if len(self.effects) > 1 else None

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of effects whose correlation is a parameter of its own; one pair a lag, where it decides."""
        places = self.matrix.pairs(len(self.effects)) if self.matrix else []
        return [(self.effects[i], self.effects[j]) for i, j in places]

    @property
    def deciding(self) -> tuple[int, ...]:
        """The first effects that decide all of them, given the covariance: all where it has full rank."""
        return self.effects[: self.rank] if self.rank else self.effects

    def loadings(self, values: Sequence[Any], m: Any = np) -> Any:
        """Loadings (…, q, d) from the values (…) of its parameters, NumPy's or PyTensor's."""
        places = [parameter.place for parameter in self.parameters]
        cells = dict(zip(places, map(m.asarray, values), strict=True))
        none = m.zeros_like(cells[0, 0])
        rows = [
            m.stack([cells.get((i, j), none) for j in range(self.rank)], axis=-1)
            for i in range(len(self.effects))
        ]
        return m.stack(rows, axis=-2)

    def correlations(self, values: Sequence[Any], matrix: Any = None, m: Any = np) -> Any:
        """The correlations of its effects (…, q, q), from the values (…) of its parameters.

        Parameters
        ----------
        matrix : array (…, q, q), optional
            Correlations that are parameters one by one.
        m : module
            NumPy, or PyTensor's tensors.
        """
        q = len(self.effects)
        if not self.correlated:
            return np.eye(q)
        given = [matrix] if self.matrix else [m.asarray(value)[..., None, None] for value in values]
        if self.rank:
            given = [self.loadings(values, m)]
        return self.structure.correlation(m, q, self.positions, *given)

    @property
    def every_pair(self) -> bool:
        """Whether each pair of effects has a correlation of its own."""
        return self.matrix is not None and self.matrix.every_pair
