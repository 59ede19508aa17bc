"""Pedigrees: who are the parents of whom, what that says of relationships, and the sparse inverse of these.

With animals in an order in which parents stand before their offspring, the relationship matrix is A = T D T'. T⁻¹ has
1 on the diagonal and −½ for each known parent, and D is diagonal: an animal's Mendelian sampling variance is
1 − ¼ Σ (1 + F_p) over its known parents p, whose coefficients of inbreeding are F_p. So A⁻¹ = T⁻¹' D⁻¹ T⁻¹ is simply
written down (Henderson 1976, Biometrics 32; with inbreeding Quaas 1976, Biometrics 32), and the coefficients come from
the rows of T without A itself (Meuwissen & Luo 1992, Genetics Selection Evolution 24).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.tables import read_columns
from hierbayes.errors import DataError

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
UNKNOWN = -1
GAPS = {
    "",
    "0",
    "na",
    "nan",
    "none",
    "*",
    ".",
    "?",
    "-",
}  # what unknown parents are called in files, in small letters


@dataclass(frozen=True, eq=False)
class Pedigree:
    """Animals and their parents, made by `pedigree`: what ``gr(animal, cov=A)`` takes as A.

    Attributes
    ----------
    labels : pandas.Index
        The M animals as texts, parents before their offspring.
    parents : ndarray of int, (M, 2)
        The places of both parents of each, -1 for one that is not known.
    coefficients : ndarray, (M,)
        Of inbreeding.
    """

    labels: pd.Index
    parents: Codes
    coefficients: Array

    def __len__(self) -> int:
        """How many animals it has."""
        return len(self.labels)

    def __repr__(self) -> str:
        """How many animals, founders and inbred ones it has."""
        founders = int((self.parents == UNKNOWN).all(axis=1).sum())
        inbred = int((self.coefficients > 0).sum())
        return f"Pedigree of {len(self)} animals, {founders} of them founders, {inbred} inbred"

    @property
    def inbreeding(self) -> "pd.Series[float]":
        """Coefficients of inbreeding, by animal."""
        return pd.Series(self.coefficients, self.labels, name="inbreeding")

    @property
    def sampling_variances(self) -> Array:
        """Of each animal's effect given its parents', in units of the variance among founders: (M,)."""
        return 1.0 - np.where(self.parents == UNKNOWN, 0.0, 0.25 * (1 + self.coefficients[self.parents])).sum(
            axis=1
        )

    def relationships(self) -> pd.DataFrame:
        """The matrix A of additive relationships, dense, with the animals as index and columns."""
        return pd.DataFrame(self.matrix(), self.labels, self.labels)

    def matrix(self) -> Array:
        """The same as an array: (M, M), each animal's row the mean of its parents'."""
        found = np.zeros((len(self), len(self)))
        for i, parents in enumerate(self.parents):
            for parent in parents[parents != UNKNOWN]:
                found[i, :i] += 0.5 * found[parent, :i]
            found[:i, i] = found[i, :i]
            found[i, i] = 1.0 + self.coefficients[i]
        return found

    def inverse(self) -> Any:
        """A⁻¹ as a sparse matrix of SciPy: (M, M), with the animals in the order of `labels`."""
        from scipy.sparse import csr_matrix, diags, identity

        animal, side = np.nonzero(self.parents != UNKNOWN)
        halves = (np.full(len(animal), 0.5), (animal, self.parents[animal, side]))
        contrasts = identity(len(self), format="csr") - csr_matrix(halves, shape=(len(self), len(self)))
        return csr_matrix(contrasts.T @ diags(1 / self.sampling_variances) @ contrasts)


def pedigree(data: Any, animal: str = "animal", parents: Sequence[str] = ("sire", "dam")) -> Pedigree:
    """A pedigree, for effects of related animals: ``(1 | gr(animal, cov=A))`` with ``data2={"A": pedigree(…)}``.

    Parameters
    ----------
    data : data frame
        A row for each animal, in any order.
    animal : str
        The column of the animals.
    parents : sequence of str
        The columns of its two parents, a gap for one that is not known. Which of them is the sire makes no difference;
        of plants that fertilise themselves both are the same. Parents without a row of their own are founders:
        unrelated to each other and not inbred.

    Returns
    -------
    Pedigree
        Its `relationships()` are A, its `inverse()` the sparse A⁻¹, its `inbreeding` a coefficient for each animal.

    Raises
    ------
    DataError
        For an animal with two rows, one that is its own ancestor, and a parent such as ``"0"`` that stands for none.

    Examples
    --------
    Two full siblings, and their calf:

    >>> family = {"animal": ["calf", "bull", "cow"], "sire": ["bull", "old", "old"], "dam": ["cow", "ann", "ann"]}
    >>> herd = pedigree(family)
    >>> herd
    Pedigree of 5 animals, 2 of them founders, 1 inbred
    >>> herd.inbreeding["calf"]
    np.float64(0.25)
    >>> herd.relationships().loc["calf", ["bull", "old", "calf"]].tolist()
    [0.75, 0.5, 1.25]
    """
    own, first, second = _read(data, animal, tuple(parents))
    twice = next((label for label, rows in Counter(own).items() if rows > 1), None)
    if twice is not None:
        raise DataError(
            f"the pedigree has two rows of the animal {twice!r}; each has one, with both its parents"
        )
    place = set(own)
    founders = [
        label for label in dict.fromkeys([*first, *second]) if label is not None and label not in place
    ]
    odd = next((label for label in founders if label.strip().lower() in GAPS), None)
    if odd is not None:
        raise DataError(
            f"the pedigree has the parent {odd!r}, who has no row; a parent that is not known is a gap (None, NaN), or "
            "all who have it would be siblings"
        )
    of = dict.fromkeys(founders, (None, None)) | dict(zip(own, zip(first, second, strict=True), strict=True))
    labels = _parents_first({label: [p for p in both if p is not None] for label, both in of.items()})
    places = {label: number for number, label in enumerate(labels)} | {None: UNKNOWN}
    return from_places(labels, np.array([[places[parent] for parent in of[label]] for label in labels]))


def from_places(labels: Sequence[str], parents: Codes) -> Pedigree:
    """The pedigree of animals whose parents stand before them, given the places of these (M, 2), -1 of unknown ones."""
    codes = np.asarray(parents, dtype=np.int64).reshape(len(labels), 2)
    return Pedigree(pd.Index(labels, dtype=object), codes, _inbreeding(codes))


def _read(
    data: Any, animal: str, parents: tuple[str, ...]
) -> tuple[list[str], list[str | None], list[str | None]]:
    """The animals as texts, and the parents of each, None where they are not known."""
    if len(parents) != 2:
        raise DataError(f"a pedigree has two columns of parents, not {len(parents)}")
    way = 'say which column is which: hb.pedigree(data, animal="id", parents=("father", "mother"))'
    names = (animal, *parents)
    frame = read_columns(data, names, words="the pedigree", ways=dict.fromkeys(names, way))
    if not len(frame):
        raise DataError("the pedigree has no rows")
    own, first, second = ([None if pd.isna(v) else label_text(v) for v in frame[name]] for name in names)
    if None in own:
        raise DataError(f"the pedigree has no animal in row {own.index(None)}: {animal!r} has a gap there")
    return [label for label in own if label is not None], first, second


def label_text(label: Any) -> str:
    """A label as text; whole numbers that a gap among them made floats are written as such."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _parents_first(parents: dict[str, list[str]]) -> list[str]:
    """The animals in an order with parents before their offspring, and otherwise as they are given."""
    try:
        return list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        shown = " is a child of ".join(map(repr, circle))
        raise DataError(f"the pedigree goes in a circle: {shown}") from None


def _inbreeding(parents: Codes) -> Array:
    """Coefficients of inbreeding (M,): A_ii = Σ_j T_ij² D_j, over an animal's ancestors from the youngest back."""
    found, variances = np.zeros(len(parents)), np.ones(len(parents))
    of_parents: dict[tuple[int, int], float] = {}
    both = [tuple(map(int, pair)) for pair in parents]
    for i, (a, b) in enumerate(both):
        variances[i] -= sum(0.25 * (1 + found[parent]) for parent in (a, b) if parent != UNKNOWN)
        if UNKNOWN in (a, b):
            continue
        if (a, b) not in of_parents:  # full siblings share it
            shares, waiting, total = {i: 1.0}, [-i], 0.0
            while waiting:
                j = -heappop(waiting)
                share = shares.pop(j)
                total += share * share * variances[j]
                for parent in both[j]:
                    if parent != UNKNOWN:
                        if parent not in shares:
                            heappush(waiting, -parent)
                        shares[parent] = shares.get(parent, 0.0) + 0.5 * share
            of_parents[a, b] = total - 1.0
        found[i] = of_parents[a, b]
    return found
