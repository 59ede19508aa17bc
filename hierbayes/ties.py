"""Group effects that are correlated across formulas: those of terms with one ID, ``(x |ID| g)``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from hierbayes.data.blocks import Block
from hierbayes.data.design import PredictorLayout, prefix_of
from hierbayes.data.factors import Factor
from hierbayes.errors import FormulaError
from hierbayes.priors import Prior

Array = NDArray[np.float64]
type Key = tuple[str, str]  # response ("" where there is one alone) and parameter


@dataclass(frozen=True, eq=False)
class Member:
    """One formula's part of a tie.

    Attributes
    ----------
    response, parameter : str
        Whose formula it is; the response is "" where there is one alone.
    factor : Factor
    effects : tuple of int
        The tied ones among the factor's effects.
    place : int
        The factor's among those of its formula.
    """

    response: str
    parameter: str
    factor: Factor
    effects: tuple[int, ...]
    place: int

    @property
    def labels(self) -> tuple[str, ...]:
        """What its effects are called beside those of other formulas: ``"sigma_Intercept"``."""
        before = f"{self.response}_" if self.response else ""
        return tuple(
            f"{before}{prefix_of(self.parameter, '_')}{self.factor.effects[place]}" for place in self.effects
        )


def _slices(members: Sequence[Member]) -> tuple[slice, ...]:
    """Where each member's effects are among all of theirs."""
    ends = np.cumsum([len(member.effects) for member in members]).tolist()
    return tuple(slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True))


@dataclass(frozen=True, eq=False)
class Tie:
    """The effects of one grouping factor that have one ID, of several formulas: unstructured correlations.

    Attributes
    ----------
    identifier : str
    group : str
        The grouping factor's name.
    members : tuple of Member
    """

    identifier: str
    group: str
    members: tuple[Member, ...]

    @cached_property
    def effects(self) -> tuple[str, ...]:
        """Labels of all its effects, Q of them."""
        return tuple(label for member in self.members for label in member.labels)

    @property
    def variable(self) -> str:
        """What its correlation matrix is called in the posterior, where that name is free."""
        return f"cor_{self.group}_{self.identifier}"

    @cached_property
    def places(self) -> tuple[tuple[int, ...], ...]:
        """Where each member's effects are among all."""
        return tuple(tuple(range(own.start, own.stop)) for own in _slices(self.members))

    @property
    def across(self) -> list[tuple[int, int]]:
        """The pairs of effects of different formulas, whose correlations no single formula has."""
        return [
            (i, j)
            for place, own in enumerate(self.places)
            for later in self.places[place + 1 :]
            for i in own
            for j in later
        ]

    @cached_property
    def matrix(self) -> Array:
        """From the effects that priors are about to the user's (Q, Q)."""
        parts = [m.factor.map.matrix[np.ix_(m.effects, m.effects)] for m in self.members]
        return np.asarray(block_diag(*parts))

    def correlations(self, sd: Array, cor: Array) -> Array:
        """Correlations of the user's effects (…, Q, Q), from inner sds (…, Q) and correlations (…, Q, Q)."""
        scaled = self.matrix * sd[..., None, :]
        covariance = scaled @ cor @ np.swapaxes(scaled, -1, -2)
        size = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        found = np.clip(covariance / (size[..., :, None] * size[..., None, :]), -1.0, 1.0)
        return np.where(np.eye(len(self.effects), dtype=bool), 1.0, found)

    def has(self, response: str, parameter: str, factor: Factor, block: Block) -> bool:
        """Whether a formula's block is part of it."""
        return block.identifier == self.identifier and any(
            (m.response, m.parameter, m.factor.name) == (response, parameter, factor.name)
            for m in self.members
        )

    def margin(self, prior: Prior, effects: int) -> Prior:
        """What the prior of all its correlations says of those of some of its effects alone.

        A submatrix of an LKJ matrix is LKJ with ½ more shape for each effect that is left out.
        """
        if prior.fixed is not None:
            return prior
        eta = dict(prior.args)["eta"]
        return Prior("LKJ", eta=eta + 0.5 * (len(self.effects) - effects))


def find_ties(predictors: Mapping[Key, PredictorLayout]) -> tuple[Tie, ...]:
    """The ties of some formulas' grouping factors; an ID that stands in one formula alone ties nothing."""
    found: dict[tuple[frozenset[str], str], list[Member]] = {}
    for (response, parameter), layout in predictors.items():
        for place, factor in enumerate(layout.factors):
            for block in (block for block in factor.structures if block.identifier):
                key = frozenset(factor.levels.columns), block.identifier
                found.setdefault(key, []).append(Member(response, parameter, factor, block.effects, place))
    ties = []
    for (_, identifier), members in found.items():
        if len(members) > 1:
            names = dict.fromkeys(member.factor.name for member in members)
            if len(names) > 1:
                raise FormulaError(
                    f"the ID {identifier} stands beside {' and '.join(names)}; write the same order of columns"
                )
            ties.append(Tie(identifier, next(iter(names)), tuple(members)))
    return tuple(ties)


def ties_within(predictors: Mapping[str, PredictorLayout]) -> tuple[Tie, ...]:
    """The ties of the formulas of one response's parameters."""
    return find_ties({("", parameter): layout for parameter, layout in predictors.items()})


@dataclass(frozen=True, eq=False)
class TiedGroup:
    """One grouping factor whose effects on several predictors are drawn together: Q of them, all members' in order.

    Attributes
    ----------
    ties : tuple of Tie
    members : tuple of Member
        One a factor, with all of its effects: those that are in no tie too.
    """

    ties: tuple[Tie, ...]
    members: tuple[Member, ...]

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each member's effects are among all."""
        return _slices(self.members)

    def places(self, tie: Tie) -> list[int]:
        """Where a tie's effects are among all."""
        first = {(m.response, m.parameter): s.start for m, s in zip(self.members, self.slices, strict=True)}
        return [first[m.response, m.parameter] + effect for m in tie.members for effect in m.effects]

    def joint(self, cors: Sequence[Array], tied: Sequence[Array]) -> Array:
        """Correlations of all effects (…, Q, Q): those of each member and of each tie put together."""
        size = self.slices[-1].stop
        found = np.zeros((*np.broadcast_shapes(*(c.shape[:-2] for c in (*cors, *tied))), size, size))
        for own, cor in zip(self.slices, cors, strict=True):
            found[..., own, own] = cor
        for tie, cor in zip(self.ties, tied, strict=True):
            found[(..., *np.ix_(self.places(tie), self.places(tie)))] = cor
        return found


def tied_groups(ties: Iterable[Tie]) -> tuple[TiedGroup, ...]:
    """The ties by their grouping factors."""
    by_group: dict[str, list[Tie]] = {}
    for tie in ties:
        by_group.setdefault(tie.group, []).append(tie)
    found = []
    for own in by_group.values():
        parts = {(m.response, m.parameter): m for tie in own for m in tie.members}
        members = tuple(replace(m, effects=tuple(range(len(m.factor.effects)))) for m in parts.values())
        found.append(TiedGroup(tuple(own), members))
    return tuple(found)


def tie_of(ties: Iterable[Tie], response: str, parameter: str, factor: Factor, block: Block) -> Tie | None:
    """The tie that a formula's block is part of, None where it is none's."""
    return next((tie for tie in ties if tie.has(response, parameter, factor, block)), None)
