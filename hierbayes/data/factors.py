"""Grouping factors: their varying effects and which of those are correlated."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.columnmap import ColumnMap
from hierbayes.data.areas import read_areas
from hierbayes.data.blocks import Block
from hierbayes.data.encoding import INTERCEPT, Encoding, Term, learn_encoding
from hierbayes.data.levelkinds import LevelKinds, learn_kinds, locate_by_kind, split_by_kind
from hierbayes.data.levels import Codes, Levels, factorize, learn_levels
from hierbayes.data.margins import Columns, draft_columns
from hierbayes.data.members import Members, learn_member_levels, learn_members
from hierbayes.data.monotonic import Monotonic
from hierbayes.data.places import Located, learn_places
from hierbayes.data.positions import Positions, as_numbers, learn_positions, time_column
from hierbayes.data.relations import Precision, Relations, read_relations
from hierbayes.data.tables import free_name
from hierbayes.errors import FormulaError, UnsupportedError
from hierbayes.formula import Formula, GroupTerm, caret
from hierbayes.structures import (
    AREAS,
    LAWS,
    NORMAL,
    STRUCTURES,
    Law,
    Structure,
    StructureParameter,
)

Array = NDArray[np.float64]
MOST_EFFECTS = 200  # of a level, that are correlated


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping factor with all the effects that vary by it, merged from every term of a formula.

    Attributes
    ----------
    levels : Levels
        Its G levels.
    effects : tuple of str
        Labels of its q varying effects, the intercept as ``"Intercept"`` (`encoding.intercept_label`).
    structures : tuple of Block
        The covariance structures of its effects, one a term.
    encodings : tuple of Encoding, Positions or Places
        How the columns of Z are made, one a term.
    columns : Columns
        What was learnt of the columns of Z; only effects of one block are each other's margins.
    kinds : LevelKinds or None
        Of which kind each level and each effect is, where kinds of levels have effects of their own.
    relations : Relations or None
        Where the covariance between levels comes from; None where they are independent.
    told_by_others : bool
        Whether an ID correlates its effects with some on other responses, whose rows then say something of them.
    members : Members or None
        Where a row's levels stand and what they weigh; None where each has one.
    law : Law
        Of a level's effects, given their sds and correlations.
    """

    levels: Levels
    effects: tuple[str, ...]
    structures: tuple[Block, ...]
    encodings: tuple[Encoding | Located, ...]
    columns: Columns
    kinds: LevelKinds | None = None
    relations: Relations | None = None
    told_by_others: bool = False
    members: Members | None = None
    law: Law = NORMAL

    @property
    def by_own_rows(self) -> bool:
        """Whether nothing but a level's own rows says more of its effects than their distribution does."""
        return self.apart and not self.told_by_others

    @property
    def apart(self) -> bool:
        """Whether levels are neither related nor share rows."""
        return self.relations is None and self.members is None

    @property
    def level_columns(self) -> tuple[str, ...]:
        """The columns of the data that say what levels a row has."""
        return self.levels.columns if self.members is None else self.members.columns

    def levels_of(self, frame: pd.DataFrame) -> Levels:
        """The levels that other rows have, in one order."""
        learn = learn_levels if self.members is None else learn_member_levels
        return learn(self.level_columns, frame)

    def codes(self, frame: pd.DataFrame) -> Codes:
        """The levels of each row by number, as `Levels.codes` gives them, one or several: (n, M)."""
        if self.members is not None:
            return self.members.codes(self.levels, frame)
        return self.levels.codes(frame)[:, None]

    def weighed(self, frame: pd.DataFrame, columns: Sequence[Array]) -> list[Array]:
        """The columns of each of a row's levels (n, …), M of them or one that all have, times what the level weighs."""
        if self.members is None:
            return list(columns)
        weights = self.members.weigh(frame).T
        each = columns if len(columns) > 1 else [columns[0]] * len(weights)
        return [own * weight[:, None] for own, weight in zip(each, weights, strict=True)]

    @property
    def _encodings_of_members(self) -> list[tuple[Encoding | Located, ...]]:
        """The encodings with the values of each of a row's levels; one of all levels where they are the same."""
        if not any(isinstance(one, Encoding) and one.by_member for one in self.encodings):
            return [self.encodings]
        assert self.members is not None, "only rows with several levels have values for each"
        return [
            tuple(one.of_member(member) if isinstance(one, Encoding) else one for one in self.encodings)
            for member in range(len(self.members.columns))
        ]

    def near_matches(self, frame: pd.DataFrame) -> list[tuple[str, Any, Any]]:
        """New levels that are written almost like known ones: the column, the new one and the known one."""
        if self.members is not None:
            return self.members.near_matches(self.levels, frame)
        return self.levels.near_matches(frame)

    @cached_property
    def _directions(self) -> tuple[Array, Array]:
        assert self.relations is not None, "levels are independent"
        places = self.relations.places(self.levels.labels, self.name)
        return self.relations.kind.columns(self.relations.matrix, places)

    @property
    def root(self) -> Array:
        """What effects of related levels are made of independent ones by, but for the variances of these: (G, m)."""
        return self._directions[0]

    @property
    def precision(self) -> Precision | None:
        """The sparse precision of the effects of many related levels, one each; None where there is none."""
        if self.relations is None or len(self.effects) > 1 or self.monotonic:
            return None
        return self.relations.precision

    @property
    def direction_constants(self) -> Array:
        """What the variances of the independent ones come from, beside parameters: (m,)."""
        return self._directions[1]

    def direction_variances(self, shapes: Sequence[Any]) -> Any:
        """The variances (…, m) of the independent ones, given the parameters (…) of their covariance."""
        assert self.relations is not None, "levels are independent"
        return self.relations.kind.variances(
            self.direction_constants, *(shape[..., None] for shape in shapes)
        )

    @property
    def width(self) -> int:
        """How many independent effects make those of all levels, for each of a level's: m, or G."""
        return len(self.levels) if self.relations is None else self.root.shape[1]

    def related(self, z: Any, shapes: Sequence[Any], m: Any = np) -> Any:
        """Standard normal numbers (…, m, q) as numbers of related levels (…, G, q), NumPy's or PyTensor's.

        Parameters
        ----------
        shapes : sequence of array (…)
            The parameters of the covariance between levels.
        m : module
        """
        if self.relations is None:
            return z
        return m.matmul(self.root, m.sqrt(self.direction_variances(shapes))[..., None] * z)

    def unrelated(self, r: Array, shapes: Sequence[Array]) -> tuple[Array, Array]:
        """Effects of levels (…, G, q) as independent ones (…, m, q), and the log determinant of what they are made by.

        The inverse of `related`; where there are more directions than levels, of another root of the covariance.
        """
        if self.relations is None:
            return r, np.zeros(())
        variances = self.direction_variances(shapes)
        levels, width = self.root.shape
        if width > levels:
            root = np.linalg.cholesky((self.root * variances[..., None, :]) @ self.root.T)
            determinant = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
            return np.linalg.solve(root, r), determinant
        sizes = np.sqrt(np.maximum(variances, np.finfo(float).tiny))
        own = 0.5 * np.linalg.slogdet(self.root.T @ self.root).logabsdet
        z = (np.linalg.pinv(self.root) @ r) / sizes[..., None]
        return z, own + np.log(sizes).sum(axis=-1)

    def level_precision(self, shapes: Sequence[Array]) -> Array:
        """The inverse of the covariance between levels: (G, G); huge in directions in which it has no variance."""
        covariance = (self.root * self.direction_variances(shapes)) @ self.root.T
        tiny = 1e-10 * float(np.trace(covariance)) / len(covariance)
        return np.linalg.inv(covariance + tiny * np.eye(len(covariance)))

    def level_variances(self, shapes: Sequence[Array]) -> Array:
        """The variances of levels' effects, in units of a standard effect's times sd²: (…, G)."""
        if self.relations is None:
            return np.ones(len(self.levels))
        if self.precision is not None and self.precision.variances is not None:
            known = self.precision.variances[self.relations.places(self.levels.labels, self.name)]
            share = np.asarray(shapes[0])[..., None] if len(shapes) else 1.0
            return np.asarray(1.0 - share + share * known)
        return np.asarray(self.direction_variances(shapes) @ np.square(self.root).T)

    def law_values(self, shapes: Sequence[Any]) -> Sequence[Any]:
        """The parameters of the levels' law, the last of `shapes`."""
        return shapes[len(shapes) - len(self.law.parameters) :]

    def variance(self, shapes: Sequence[Array]) -> Array:
        """The variance of a standard effect, by which that of an effect is more than its sd²: (…), infinite or not."""
        return np.asarray(self.law.variance(*self.law_values(shapes)))

    def squares(self, r: Array, sd: Array, cor: Array) -> Array:
        """The sum of squares (…, G) of the standard effects behind effects (…, G, q) with sds (…, q)."""
        standard = r / np.maximum(sd, np.finfo(float).tiny)[..., None, :]
        values, vectors = np.linalg.eigh(cor)
        turned = standard @ vectors
        found: Array = (np.square(turned) / np.maximum(values, 1e-14)[..., None, :]).sum(axis=-1)
        return found

    def draw(self, rng: np.random.Generator, shapes: Sequence[Array], draws: tuple[int, ...] = ()) -> Array:
        """Standard effects of all levels, before sds and correlations: (…, G, q).

        Parameters
        ----------
        shapes : sequence of array (…)
        draws : tuple of int
            How many.
        """
        z = self.related(rng.normal(size=(*draws, self.width, len(self.effects))), shapes)
        values = [np.asarray(value)[..., None] for value in self.law_values(shapes)]
        stretched: Array = z * self.law.stretch(rng, np.zeros(z.shape[:-1]), 0, *values)[..., None]
        return stretched

    @property
    def name(self) -> str:
        """The factor's name: ``"Subject"``, ``"batch:cask"``."""
        return self.levels.name

    @cached_property
    def has(self) -> NDArray[np.bool_]:
        """Which effects each level has: (G, q), all of them unless kinds of levels differ.

        The others are what a level would have if it were of another kind: nothing is known of them but their sd.
        """
        if self.kinds is None:
            return np.ones((len(self.levels), len(self.effects)), dtype=bool)
        return self.kinds.levels[:, None] == self.kinds.effects

    def rows(self) -> pd.DataFrame:
        """The columns that say what a level is, its kind among them, with a row for each level.

        Where rows have several levels, that one is all of them.
        """
        found = self.levels.rows()
        if self.members is not None:
            (values,) = found.columns
            return pd.DataFrame(dict.fromkeys(self.members.columns, found[values]))
        if self.kinds is not None:
            found[self.kinds.column] = pd.Index(self.kinds.values)[self.kinds.levels]
        return found

    def only(self, levels: Codes) -> "Factor":
        """The factor with some of its levels, ascending."""
        kinds = None if self.kinds is None else replace(self.kinds, levels=self.kinds.levels[levels])
        return replace(self, levels=self.levels.only(levels), kinds=kinds)

    def with_levels(self, levels: Levels) -> "Factor":
        """The factor with those of other rows too."""
        if self.kinds is not None and len(levels) > len(self.levels):
            raise UnsupportedError(
                f"some levels of {self.name!r} have no row of one of the responses, and of what kind they are is not "
                f"known there; leave gr(…, by={self.kinds.column}) out, or rows of levels without all responses"
            )
        return replace(self, levels=levels)

    def together(self, count: int) -> tuple[str, ...]:
        """The first effects that some level has together, up to `count` of them."""
        return tuple(self.effects[place] for place in np.flatnonzero(self.has[0])[:count])

    @property
    def bases(self) -> tuple[str, ...]:
        """The population-level coefficients that the effects are deviations from, where there are any so called."""
        return self.effects if self.kinds is None else self.kinds.bases

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Effects whose correlations are free, each in one block: all of an unstructured term, others alone."""
        return tuple(
            part
            for block in self.structures
            for part in ([block.effects] if block.every_pair else [(place,) for place in block.effects])
        )

    @property
    def correlated(self) -> bool:
        """Whether any two effects are correlated."""
        return any(block.correlated for block in self.structures)

    @property
    def has_matrix(self) -> bool:
        """Whether any correlations are parameters one by one."""
        return any(block.matrix is not None for block in self.structures)

    @property
    def correlated_pairs(self) -> list[tuple[int, int]]:
        """The pairs of effects whose correlations are parameters, each once."""
        return [pair for block in self.structures for pair in block.pairs]

    @property
    def scales(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The standard deviations: what each is called, and the effects that have it."""
        return tuple(
            scale
            for block in self.structures
            for scale in (
                [(block.label, block.effects)]
                if block.structure.one_sd and len(block.effects) > 1
                else [(self.effects[place], (place,)) for place in block.effects]
            )
        )

    @property
    def scale_of(self) -> tuple[int, ...]:
        """Which of `scales` each effect has."""
        of = {place: number for number, (_, places) in enumerate(self.scales) for place in places}
        return tuple(of[place] for place in range(len(self.effects)))

    @property
    def scale_sizes(self) -> Array:
        """What an sd of 1 adds to the linear predictor's sd, about: the size of its columns."""
        own, together = self.columns.scales, np.square(self.columns.sizes)
        if self.kinds is not None:
            own, together = self.kinds.scales(self.columns.spread), together / self.kinds.shares
        if self.relations is not None:
            own, together = own * self.relations.size**0.5, together * self.relations.size
        if self.members is not None:
            own, together = own * self.members.size, together * self.members.size**2
        return np.array(
            [
                own[places[0]] if len(places) == 1 else np.sqrt(together[list(places)].sum()) or 1.0
                for _, places in self.scales
            ]
        )

    @property
    def shapes(self) -> list[tuple[Block, StructureParameter]]:
        """The numbers of all structures, each with its block; then those of all levels, with a block of all effects.

        These are of the covariance between levels, and of the law of their effects.
        """
        own = [(block, parameter) for block in self.structures for parameter in block.parameters]
        between = self.relations.kind.parameters if self.relations is not None else ()
        q = len(self.effects)
        whole = Block(STRUCTURES["diag"], tuple(range(q)), "", np.arange(q, dtype=np.float64))
        return own + [(whole, parameter) for parameter in (*between, *self.law.parameters)]

    @property
    def shape_labels(self) -> list[str]:
        """What tells each of `shapes` from others of its name: its block's label, or nothing.

        Of a loading its effect and dimension, these from 1.
        """
        names = [parameter.name for _, parameter in self.shapes]
        found = []
        for block, shape in self.shapes:
            label = block.label if names.count(shape.name) > 1 else ""
            if shape.place:
                label = f"{self.effects[block.effects[shape.place[0]]]}, {shape.place[1] + 1}"
            found.append(label)
        return found

    @property
    def loaded(self) -> Block | None:
        """The effects whose covariance comes of loadings, None without any."""
        return next((block for block in self.structures if block.structure.loadings), None)

    def is_loaded(self, place: int) -> bool:
        """Whether an effect has loadings, from which its standard deviation comes."""
        return self.loaded is not None and place in self.loaded.effects

    @property
    def deciding(self) -> list[int]:
        """The effects that decide all of them, given their covariance."""
        return sorted(place for block in self.structures for place in block.deciding)

    def loadings(self, shapes: Sequence[Any]) -> Array:
        """The loadings (…, q, d) among values (…) of `shapes`, 0 of effects that have none."""
        block, first = self.loaded, 0
        assert block is not None, "its effects have loadings"
        for other in itertools.takewhile(lambda other: other is not block, self.structures):
            first += len(other.parameters)
        own = block.loadings(shapes[first : first + len(block.parameters)])
        found: Array = np.zeros((*own.shape[:-2], len(self.effects), block.rank))
        found[..., list(block.effects), :] = own
        return found

    def decided(self, r: Array, shapes: Sequence[Array]) -> Array:
        """Effects (…, G, q) of which those that `deciding` has decide the others, given loadings among `shapes`."""
        if self.loaded is None:
            return r
        own, rank = list(self.loaded.effects), self.loaded.rank
        loadings = self.loadings(shapes)[..., own, :]
        above, found = loadings[..., :rank, :], r.copy()
        numbers = np.linalg.solve(above, np.swapaxes(r[..., own[:rank]], -1, -2))
        found[..., own[rank:]] = np.swapaxes(loadings[..., rank:, :] @ numbers, -1, -2)
        return found

    def settled(self, sd: Array, cor: Array, shapes: Sequence[Array]) -> tuple[Array, Array, list[Array]]:
        """Sds (…, q), correlations (…, q, q) and `shapes`, those of effects with loadings coming of these."""
        block = self.loaded
        if block is None:
            return sd, cor, list(shapes)
        assert block.structure.loadings is not None, "its effects have loadings"
        own = list(block.effects)
        loadings = block.structure.loadings.settled(self.loadings(shapes)[..., own, :])
        sd = np.broadcast_to(sd, (*loadings.shape[:-2], len(self.effects))).copy()
        cor = np.broadcast_to(cor, (*sd.shape, len(self.effects))).copy()
        sd[..., own] = np.sqrt(np.square(loadings).sum(axis=-1))
        cor[(..., *np.ix_(own, own))] = block.structure.correlation(np, len(own), block.positions, loadings)
        cells = [
            loadings[(..., *shape.place)] if shape.place else value
            for (_, shape), value in zip(self.shapes, shapes, strict=True)
        ]
        return sd, cor, cells

    def correlations(self, values: Sequence[Any], matrix: Any = None, m: Any = np) -> Any:
        """The correlations of all effects (…, q, q), from values (…) of `shapes` in their order.

        Parameters
        ----------
        matrix : array (…, q, q), optional
            With the correlations that are parameters one by one.
        m : module
            NumPy, or PyTensor's tensors.
        """
        q, first = len(self.effects), 0
        parts: list[Any] = []
        for block in self.structures:
            own, after = np.ix_(block.effects, block.effects), first + len(block.parameters)
            of_block = matrix[(..., *own)] if block.matrix else None
            parts.append(block.correlations(values[first:after], of_block, m))
            first = after
        if len(parts) == 1:
            return parts[0]
        found = m.zeros((*np.broadcast_shapes(*(part.shape[:-2] for part in parts)), q, q))
        for block, part in zip(self.structures, parts, strict=True):
            own = np.ix_(block.effects, block.effects)
            if m is np:
                found[(..., *own)] = part
            else:
                found = found[own].set(part)
        return found

    @property
    def intercept(self) -> int | None:
        """Place of the varying intercept among the effects, None where there is none."""
        first = 0
        for encoding in self.encodings:
            if encoding.intercept is not None:
                return first + encoding.intercept
            first += len(encoding.labels)
        return None

    @cached_property
    def monotonic(self) -> tuple[Monotonic, ...]:
        """The effects that rise in the steps of the population-level effects so called."""
        found, first = list[Monotonic](), 0
        for encoding in self.encodings:
            if isinstance(encoding, Encoding):
                found += [replace(effect, place=first + effect.place) for effect in encoding.monotonic]
            first += len(encoding.labels)
        return tuple(found)

    def stairs(self, frame: pd.DataFrame) -> Array:
        """The columns of the monotonic effects' steps for the rows of `frame`: (n, l), as `Encoding.stairs`."""
        parts = [one.stairs(frame) for one in self.encodings if isinstance(one, Encoding)]
        return np.hstack([np.empty((len(frame), 0)), *parts])

    @property
    def map(self) -> ColumnMap:
        """The map between the user's effects and those that the priors of sds and correlations are about."""
        return self.columns.map

    def counted(self, frame: pd.DataFrame, weights: Array | None) -> "Factor":
        """The same, knowing how much each kind of levels counts in the training rows."""
        if self.kinds is None:
            return self
        return replace(self, kinds=self.kinds.weighed(self.levels.codes(frame), weights))

    def matrix(self, frame: pd.DataFrame) -> Array:
        """Z for the rows of `frame`, which have no time that training didn't: (n, q).

        Of values that differ between a row's levels, those of all first levels and then of all second ones: (M n, q).
        """
        return np.concatenate([_matrix(encodings, frame) for encodings in self._encodings_of_members])

    def bind(self, frame: pd.DataFrame) -> tuple[list[Array], Mapping[int, Array]]:
        """Z for new rows, (n, q) and a column more for each new time or place; and those by their block's number.

        One for each of a row's levels, times what that weighs.
        """
        found = [self._bind(encodings, frame) for encodings in self._encodings_of_members]
        return self.weighed(frame, [z for z, _ in found]), found[0][1]

    def _bind(
        self, encodings: Sequence[Encoding | Located], frame: pd.DataFrame
    ) -> tuple[Array, Mapping[int, Array]]:
        parts = [encoding.matrix(frame) for encoding in encodings]
        widths = [len(encoding.labels) for encoding in self.encodings]
        known = [part[:, :width] for part, width in zip(parts, widths, strict=True)]
        new = [part[:, width:] for part, width in zip(parts, widths, strict=True)]
        beyond = {
            number: encoding.find(frame)[1]
            for number, encoding in enumerate(self.encodings)
            if isinstance(encoding, Located) and new[number].shape[1]
        }
        return np.hstack([*known, *new]), beyond

    def reaching(self, beyond: Mapping[int, Array]) -> "Factor":
        """The factor with effects for other times or places too, behind the effects that it has.

        Parameters
        ----------
        beyond : mapping of int to ndarray
            The times (k,) or places (k, d) by the number of their block, as `bind` gives them.
        """
        blocks, effects, kinds = list(self.structures), list(self.effects), self.kinds
        for number, times in beyond.items():
            block, first = blocks[number], len(effects)
            encoding = self.encodings[number]
            assert isinstance(encoding, Located), "only these have others than those of training"
            effects += encoding.labels_of(times)
            places = (*block.effects, *range(first, len(effects)))
            blocks[number] = replace(
                block, effects=places, positions=np.concatenate([block.positions, times])
            )
            if kinds is not None:
                kinds = kinds.reaching(block.effects[0], encoding.labels_of(times))
        return (
            replace(self, effects=tuple(effects), structures=tuple(blocks), kinds=kinds) if beyond else self
        )


def learn_factors(
    formula: Formula,
    frame: pd.DataFrame,
    intercept: str = INTERCEPT,
    matrices: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Factor, ...]:
    """The grouping factors of a formula, terms on one factor merged, in order of appearance, not measured as yet.

    `matrices` are what covariances between levels come from, by their names.
    """
    terms: dict[tuple[tuple[str, ...], bool], list[GroupTerm]] = {}
    for term in formula.groups:
        several = term.grouping.several
        key = next(
            (k for k in terms if set(k[0]) == set(term.factor) and k[1] == several), (term.factor, several)
        )
        terms.setdefault(key, []).append(term)
        if term.grouping != terms[key][0].grouping or (several and term.factor != key[0]):
            reason = (
                f"{terms[key][0]} says something else of the levels of {':'.join(key[0])!r}; make a copy of the column "
                "under another name for one of them"
            )
            raise FormulaError(caret(formula.text, term.position, reason))
    factors = [
        (group, _merge(formula, columns, group, frame, intercept)) for (columns, _), group in terms.items()
    ]
    return tuple(_relate(formula, group[0], factor, matrices) for group, factor in factors)


def _relate(formula: Formula, term: GroupTerm, factor: Factor, matrices: Mapping[str, Any]) -> Factor:
    """The factor with the covariance between its levels, if its terms say where that comes from."""
    grouping = term.grouping
    if not (grouping.cov or grouping.car):
        return factor
    reason = ""
    if factor.correlated:
        reason = (
            "effects of related levels that are correlated with each other are not fitted yet; (x || gr(g, cov=A)) has "
            "uncorrelated ones"
        )
    elif len(term.factor) > 1:
        reason = "related levels are those of one column; make one of the levels' labels"
    elif grouping.by and grouping.car and AREAS[grouping.type].parameters and len(factor.effects) > 1:
        terms = " + ".join(
            f"(0 + kind{n} | gr({factor.name}{n}, car={grouping.car}, type={grouping.type!r}))"
            for n in (1, 2)
        )
        reason = (
            f"areas of type={grouping.type!r} have one effect and one rho, and by= makes an effect of each kind; give "
            f"each kind a term with its indicator, 1 in its rows and 0 in others, on a copy of the column: {terms}"
        )
    elif grouping.car and AREAS[grouping.type].parameters and len(factor.effects) > 1:
        reason = (
            f"areas of type={grouping.type!r} have one effect each; make a copy of the column under another name for "
            "each further one"
        )
    if reason:
        raise FormulaError(caret(formula.text, term.position, reason))
    relations = (
        read_relations(grouping.cov, matrices, factor.name)
        if grouping.cov
        else read_areas(grouping.car, grouping.type, matrices, factor.name)
    )
    relations.places(factor.levels.labels, factor.name)
    return replace(factor, relations=relations)


def _merge(
    formula: Formula,
    columns: tuple[str, ...],
    terms: Sequence[GroupTerm],
    frame: pd.DataFrame,
    intercept: str,
) -> Factor:
    encodings: list[Encoding | Located] = []
    effects: list[str] = []
    blocks: list[Block] = []
    related: list[tuple[Term, ...]] = []
    _check_rank(formula, terms)
    for term in terms:
        structure = STRUCTURES[term.structure]
        for encoding, suffix in _encode(formula, term, structure, frame, intercept):
            _check_effects(formula, term, structure, encoding.labels, effects)
            first = len(effects)
            places = tuple(range(first, first + len(encoding.labels)))
            label = free_name(term.effects.removeprefix("0 + "), {*effects, *encoding.labels})
            positions = encoding.at if isinstance(encoding, Located) else np.arange(len(places), dtype=float)
            blocks.append(Block(structure, places, f"{label}{suffix}", positions, term.identifier, term.rank))
            if structure.matrix is not None and structure.matrix.every_pair:
                related.append(tuple(_moved(part, first) for part in encoding.terms))
            effects += encoding.labels
            encodings.append(encoding)
    made = tuple(encodings)
    learnt = draft_columns(related, len(effects), lambda: _matrix(made, frame))
    grouping = terms[0].grouping
    levels = (learn_member_levels if grouping.several else learn_levels)(columns, frame)
    members = learn_members(grouping, columns, frame) if grouping.several else None
    kinds = learn_kinds(levels, made, grouping, frame)
    law = LAWS[grouping.dist] if grouping.dist else NORMAL
    return Factor(levels, tuple(effects), tuple(blocks), made, learnt, kinds, members=members, law=law)


def _check_rank(formula: Formula, terms: Sequence[GroupTerm]) -> None:
    """Refuse what effects with loadings don't go with."""
    loaded = [term for term in terms if STRUCTURES[term.structure].loadings]
    if not loaded:
        return
    term, reason = loaded[-1], ""
    identified = next((other for other in terms if other.identifier), None)
    if len(loaded) > 1:
        reason = (
            f"{':'.join(term.factor)!r} has loadings in {loaded[0]}; put all effects in one term, or make a copy of "
            "the column under another name"
        )
    elif term.grouping.by:
        reason = f"{term.structure}() has the same loadings for all levels; leave by= out"
    elif term.grouping.dist:
        reason = f"effects of {term.structure}() are normal; leave dist= out"
    elif identified is not None:
        reason = (
            f"{term.structure}() doesn't stand beside effects with an ID, {identified}; leave the ID out, or make a "
            "copy of the column under another name"
        )
    if reason:
        raise FormulaError(caret(formula.text, term.position, reason))


def _check_effects(
    formula: Formula, term: GroupTerm, structure: Structure, labels: Sequence[str], others: Sequence[str]
) -> None:
    """Refuse effects that the factor has from another term, and too many that are correlated."""
    repeated = [label for label in labels if label in others]
    reason = ""
    if repeated:
        reason = (
            f"the effect {repeated[0]!r} of {':'.join(term.factor)!r} stands twice; leave it out of one term, "
            "as in (1 | g) + (0 + x | g)"
        )
    elif structure.loadings and len(labels) < max(2, term.rank):
        reason = (
            f"{len(labels)} effects have loadings in {len(labels)} dimensions at most; d={term.rank} is more"
            if len(labels) > 1
            else f"{term} has one effect, whose covariance has no rank to reduce; write (… | g)"
        )
    elif len(labels) > MOST_EFFECTS and structure.correlated:
        reason = (
            f"{term} has {len(labels)} effects a level; more than {MOST_EFFECTS} that are correlated take too "
            "long: let fewer vary, or round the times or places"
        )
    if reason:
        raise FormulaError(caret(formula.text, term.position, reason))


def _encode(
    formula: Formula, term: GroupTerm, structure: Structure, frame: pd.DataFrame, intercept: str
) -> list[tuple[Encoding, str]] | list[tuple[Located, str]]:
    """How the columns of a term are made, those of each kind of levels apart; and what their names end in."""
    if not structure.positions:
        encoding = learn_encoding(term.encoded, frame, intercept)
        if term.grouping.by and encoding.monotonic:
            reason = f"{term} has steps, which don't go with gr(…, by={term.grouping.by}) yet; leave by= out"
            raise FormulaError(caret(formula.text, term.position, reason))
        return split_by_kind(encoding, term.grouping, intercept)
    if structure.positions == "place":
        return locate_by_kind(lambda rows: learn_places(formula, term, rows), frame, term.grouping)
    times = frame[time_column(formula, term)]
    every, ordered = factorize(times)[0], isinstance(times.dtype, pd.CategoricalDtype)
    numbers = not np.isnan(as_numbers(every)).any()

    def learn(rows: pd.DataFrame) -> Positions:
        # categories without numbers have their distances from all others
        values = factorize(rows[times.name])[0] if numbers and rows is not frame else every
        return learn_positions(formula, term, structure, values, ordered)

    return locate_by_kind(learn, frame, term.grouping)


def _moved(term: Term, by: int) -> Term:
    return replace(term, columns=tuple(column + by for column in term.columns))


def _matrix(encodings: Sequence[Encoding | Located], frame: pd.DataFrame) -> Array:
    return np.hstack([encoding.matrix(frame) for encoding in encodings])
