"""What both engines are asked in common: grouping factors, and priors of standard deviations, as plain arrays."""

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Blocks = tuple[tuple[int, ...], ...]


class PriorCode(IntEnum):
    """Densities that a standard deviation may have; the kernels know them by these numbers.

    A prior is a row ``(code, a, b, c)``; the columns beyond a density's own arguments are not read.
    """

    EXPONENTIAL = 0  # a: rate
    HALF_NORMAL = 1  # a: scale
    HALF_STUDENT = 2  # a: degrees of freedom, b: scale
    HALF_CAUCHY = 3  # a: scale
    GAMMA = 4  # a: shape, b: rate
    INVERSE_GAMMA = 5  # a: shape, b: scale
    LOGNORMAL = 6  # a: mean of the log, b: sd of the log
    UNIFORM = 7  # a: lower, b: upper
    HALF_FLAT = 8
    TRUNCATED_GAMMA = 10  # a: shape, b: rate, c: lower end; of a structure's or law's parameter
    FIXED = 9  # a: the value itself, which is no number of theta


@dataclass(frozen=True)
class Block:
    """Effects of a level that one covariance structure is about, independent of those of other blocks.

    Parameters
    ----------
    structure : str
        Its name in `hierbayes.structures`; that of the levels' law, `hierbayes.structures.laws`, where there are no
        effects: the shapes are the law's parameters then, and it stands behind the others.
    effects : tuple of int
        Ascending, which keeps Λ lower triangular.
    scales : tuple of int
        Which of the factor's standard deviations each effect has.
    shapes : array, shape (P, 8)
        Its parameters, then its constants: see `hyperparameters.constrain`.
    """

    structure: str
    effects: tuple[int, ...]
    scales: tuple[int, ...]
    shapes: Floats

    @property
    def n_free(self) -> int:
        """Number of free parameters."""
        return int((self.shapes[:, 0] >= 0).sum())


@dataclass(frozen=True, eq=False)
class Field:
    """Related levels with a sparse precision α Q + β D: see `hierbayes.engine.whitening.fields`.

    Attributes
    ----------
    kind : int
    starts, neighbours, strengths : arrays, shape (M + 1,), (entries,), (entries,)
        Q by its rows: where they begin, columns, entries; symmetric.
    diagonal : array, shape (M,)
        D's.
    constants : array, shape (M,)
        c, where the determinant of the precision is that of D times Π (β + α c).
    parts : array of int, shape (M,)
        Which of the parts whose effects sum to 0 a level is in, -1 for none.
    constant : float
        Of the logarithm of the prior density of u, less that of M standard normal numbers.
    """

    kind: int
    starts: Ints
    neighbours: Ints
    strengths: Floats
    diagonal: Floats
    constants: Floats
    parts: Ints
    constant: float


@dataclass(frozen=True)
class Factor:
    """A grouping factor and its varying effects.

    Parameters
    ----------
    codes : array of int, shape (n,)
        Level of each row, from 0.
    Z : array, shape (n, q)
        The columns whose effects vary over the levels.
    n_levels : int
        Number of levels; a level without rows is allowed.
    blocks : tuple of tuples of int
        Which effects are correlated: ``((0, 1),)`` is unstructured, ``((0,), (1,))`` diagonal.
    sd_priors : array, shape (q, 4)
        One row ``(code, a, b, c)`` a standard deviation, see `PriorCode`: an effect has one of its own unless
        `structured` says otherwise.
    eta : tuple of float
        LKJ shape of each block; not read for a block of one effect.
    cor : float, optional
        The value of every correlation within a block, where it is known; then no correlation is free.
    structured : tuple of Block
        The covariance structures; unless given, `blocks` are unstructured.
    more : tuple of (array of int (n,), array (n, q))
        Further levels of each row with their columns, where rows have several.
    related : Field, optional
        Of M related levels with one effect each; where effects have a part that is not related, M further levels stand
        for the one that is.
    """

    codes: Ints
    Z: Floats
    n_levels: int
    blocks: Blocks = ()
    sd_priors: Floats = field(default_factory=lambda: np.empty((0, 4)))
    eta: tuple[float, ...] = ()
    cor: float | None = None
    structured: tuple[Block, ...] = field(default=())
    more: tuple[tuple[Ints, Floats], ...] = ()
    related: Field | None = None

    def __post_init__(self) -> None:
        set_fields(self, codes=np.ascontiguousarray(self.codes, dtype=np.int64))
        set_fields(self, Z=np.ascontiguousarray(self.Z, dtype=np.float64))
        set_fields(self, sd_priors=prior_rows(self.sd_priors), n_levels=int(self.n_levels))
        more = [
            (np.ascontiguousarray(c, np.int64), np.ascontiguousarray(Z, np.float64)) for c, Z in self.more
        ]
        set_fields(self, more=tuple(more))
        for codes, Z in self.memberships:
            if Z.ndim != 2 or codes.shape != Z.shape[:1]:
                raise ValueError(f"codes {codes.shape} and Z {Z.shape} must share their rows")
            if codes.size and (codes.min() < 0 or codes.max() >= self.n_levels):
                raise ValueError(f"codes must lie in 0..{self.n_levels - 1}")
        if self.structured:
            set_fields(self, blocks=tuple(block.effects for block in self.structured))
            set_fields(self, eta=(1.0,) * len(self.blocks))
        if sorted(e for block in self.blocks for e in block) != list(range(self.q)):
            raise ValueError(f"blocks {self.blocks} must hold each of the {self.q} effects once")
        if len(self.eta) != len(self.blocks):
            raise ValueError(f"{len(self.blocks)} blocks need as many eta, got {len(self.eta)}")
        if not all(shape > 0 for shape in self.eta):
            raise ValueError(f"eta must be positive, got {self.eta}")
        largest = max(map(len, self.blocks))
        if self.cor is not None and largest > 1 and not -1 / (largest - 1) < self.cor < 1:
            raise ValueError(f"{largest} effects cannot all have the correlation {self.cor}")
        tied = {scale for block in self.structured for scale in block.scales}
        if self.sd_priors.shape != (len(tied) or self.q, 4):
            raise ValueError(f"sd_priors must have shape ({self.q}, 4), got {self.sd_priors.shape}")
        # Ascending effects keep Λ lower triangular.
        set_fields(self, blocks=tuple(tuple(sorted(block)) for block in self.blocks))

    @property
    def memberships(self) -> tuple[tuple[Ints, Floats], ...]:
        """The level of each row with its columns, (n,) and (n, q), then its further ones."""
        return ((self.codes, self.Z), *self.more)

    def rows(self, chosen: Ints | slice) -> "Factor":
        """The same for some of the rows."""
        more = tuple((codes[chosen], Z[chosen]) for codes, Z in self.more)
        return replace(self, codes=self.codes[chosen], Z=self.Z[chosen], more=more)

    @property
    def q(self) -> int:
        """Number of varying effects."""
        return self.Z.shape[1]

    @property
    def n_scales(self) -> int:
        """Number of free standard deviations."""
        return count_free(self.sd_priors)

    @property
    def n_correlations(self) -> int:
        """Number of free correlations, or of what else the structures have for free parameters."""
        if self.structured:
            return sum(block.n_free for block in self.structured)
        if self.cor is not None:
            return 0
        return sum(len(block) * (len(block) - 1) // 2 for block in self.blocks)

    @property
    def scale_of(self) -> Ints:
        """Which of the standard deviations each effect has: (q,)."""
        found = np.arange(self.q)
        for block in self.structured:
            found[list(block.effects)] = block.scales
        return found


def count_free(priors: Floats) -> int:
    """Return how many of the scales are not fixed."""
    return int((priors[:, 0] != PriorCode.FIXED).sum())


def set_fields(record: object, **values: object) -> None:
    """Normalise fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def prior_rows(rows: object) -> Floats:
    """Return checked ``(code, a, b, c)`` rows."""
    table = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    for code, a, b, _ in table:
        valid = {
            PriorCode.EXPONENTIAL: a > 0,
            PriorCode.HALF_NORMAL: a > 0,
            PriorCode.HALF_STUDENT: a > 0 and b > 0,
            PriorCode.HALF_CAUCHY: a > 0,
            PriorCode.GAMMA: a > 0 and b > 0,
            PriorCode.INVERSE_GAMMA: a > 0 and b > 0,
            PriorCode.LOGNORMAL: b > 0,
            PriorCode.UNIFORM: 0 <= a < b,
            PriorCode.HALF_FLAT: True,
            PriorCode.FIXED: 0 < a < np.inf,
            PriorCode.TRUNCATED_GAMMA: False,  # none of an sd, whose row has no place for a third argument
        }[PriorCode(int(code))]
        if not valid:
            raise ValueError(f"{PriorCode(int(code)).name} has no density with arguments {a}, {b}")
    return table
