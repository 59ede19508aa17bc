"""Formula + table → Layout (learnt, no rows); Layout.bind(table) → Design; and the one linear predictor.

A `Layout` holds all that training taught: levels, centres, spline knots, scales. It binds any table of rows into a
`Design`, plain arrays that the graph, the samplers and the predictions share. Group effects stay indexed: a row
carries the number of its level, never an indicator column.
"""

import warnings
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.columnmap import ColumnMap
from hierbayes.data.curves import Curve
from hierbayes.data.encoding import Encoding, describe_rows, intercept_label
from hierbayes.data.factors import Factor
from hierbayes.data.latent import Imputed, Latent, LatentEffect, LatentRows
from hierbayes.data.levels import MISSING, NEW, Codes
from hierbayes.data.margins import Columns
from hierbayes.data.monotonic import Monotonic, Simplex
from hierbayes.data.pedigrees import Pedigree
from hierbayes.data.places import Located
from hierbayes.data.ranges import FAR, Range, describe_beyond
from hierbayes.data.response import ResponseLayout, addition_values, response_values
from hierbayes.data.series import SeriesRows
from hierbayes.data.stated import Stated, Unstated
from hierbayes.data.tables import read_columns, with_columns
from hierbayes.errors import DataError, DataWarning, UnsupportedError
from hierbayes.formula import Formula
from hierbayes.formula.latent import predictors_in

Array = NDArray[np.float64]
MEAN = "mu"
OBS = "__obs__"
UNKNOWN_LEVEL = (
    "add it (a level, or None where it is unknown), or say which grouping factors count: groups='none', "
    "groups='average' or a list without {0!r}"
)
PACKAGE = (
    f"{Path(__file__).parents[1]}/"  # warnings point at the caller's line, whichever function they come from
)


@dataclass(frozen=True, eq=False)
class PredictorLayout:
    """What was learnt of one linear predictor.

    Attributes
    ----------
    common : Encoding
        How the population-level columns are made, p of them.
    columns : Columns
        What was learnt of them.
    factors : tuple of Factor
        The grouping factors with their varying effects.
    offsets : tuple of Encoding or Stated
        The offsets; they are summed. Of a parameter that rows state, what it is made of.
    offset_mean : float
        The mean of that sum over the training rows, which the intercept need not make up.
    """

    common: Encoding
    columns: Columns
    factors: tuple[Factor, ...]
    offsets: tuple[Encoding | Stated | Unstated, ...]
    offset_mean: float

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Labels of the population-level coefficients."""
        return self.common.labels

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The curves of its smooths: what is free of penalty is among the population-level columns."""
        return self.common.curves

    @property
    def monotonic(self) -> tuple[Monotonic, ...]:
        """The coefficients of monotonic effects, whose columns are among the population-level ones."""
        return self.common.monotonic

    @property
    def simplexes(self) -> tuple[Simplex, ...]:
        """The shares of their steps, those that several have in common once."""
        return self.common.simplexes

    @property
    def latent_effects(self) -> tuple[LatentEffect, ...]:
        """The coefficients of predictors whose values are drawn, whose columns are among the population-level ones."""
        return self.common.latent_effects

    @property
    def steps_by_group(self) -> bool:
        """Whether any group's effects are monotonic."""
        return any(factor.monotonic for factor in self.factors)

    @property
    def needed_offsets(self) -> tuple[Encoding | Stated | Unstated, ...]:
        """The offsets that new rows must have."""
        return tuple(o for o in self.offsets if not isinstance(o, Stated) or o.asked == "everything")

    def for_new(self, frame: pd.DataFrame) -> "PredictorLayout":
        """The layout that new rows are bound by, where some of what training rows stated need not be there."""
        if len(self.needed_offsets) == len(self.offsets):
            return self
        offsets = tuple(o.new_rows(frame) if isinstance(o, Stated) else o for o in self.offsets)
        return replace(self, offsets=offsets)

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the grouping factors."""
        return tuple(factor.name for factor in self.factors)

    @property
    def intercept(self) -> int | None:
        """Place of the intercept among the coefficients, None where there is none."""
        return self.common.intercept

    @property
    def map(self) -> ColumnMap:
        """The map between the user's columns and those that the priors of coefficients are about."""
        return self.columns.map


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything learnt from the training rows, and none of the rows.

    Attributes
    ----------
    formulas : mapping of str to Formula
        The formula of each parameter that has one; ``"mu"`` always.
    predictors : mapping of str to PredictorLayout
        What was learnt for each.
    response : ResponseLayout
        What was learnt of the left-hand side.
    kinds : mapping of str to str
        What each predictor's column holds: ``"numbers"``, ``"text"``, ``"categories of numbers"``, …
    ranges : mapping of str to Range
        Where each number among the predictors lies.
    rows : int or None
        How many training rows there are; None of rows that are read in parts.
    """

    formulas: Mapping[str, Formula]
    predictors: Mapping[str, PredictorLayout]
    response: ResponseLayout
    kinds: Mapping[str, str]
    ranges: Mapping[str, Range]
    rows: int | None = None

    @property
    def unstated(self) -> Mapping[str, tuple[str, ...]]:
        """The columns of each parameter that new rows need state for simulated responses alone."""
        return {
            name: offset.names
            for name, layout in self.predictors.items()
            for offset in layout.offsets
            if isinstance(offset, Stated) and offset.asked == "responses"
        }

    @cached_property
    def latents(self) -> tuple[Latent | Imputed, ...]:
        """The predictors of any formula whose values are drawn, each once."""
        found = {latent.column: latent for own in self.predictors.values() for latent in own.common.latents}
        return tuple(found.values())

    @property
    def imputed(self) -> tuple[Imputed, ...]:
        """Those that are missing in some rows, and drawn as values of a response."""
        return tuple(latent for latent in self.latents if isinstance(latent, Imputed))

    def with_drawn(self, index: Mapping[str, NDArray[Any]]) -> "Layout":
        """The layout where the values of these predictors, by column, are drawn in the rows of such labels."""
        predictors = {
            name: replace(own, common=own.common.with_drawn(index)) for name, own in self.predictors.items()
        }
        return replace(self, predictors=MappingProxyType(predictors))

    @property
    def alone(self) -> bool:
        """Whether the main formula is the only one."""
        return len(self.predictors) == 1

    @property
    def main(self) -> PredictorLayout:
        """What was learnt for the main formula, the one with the response."""
        return self.predictors[MEAN]

    @property
    def matrices(self) -> dict[str, pd.DataFrame | Pedigree]:
        """The known covariances between levels, and pedigrees, by their names."""
        factors = [factor for layout in self.predictors.values() for factor in layout.factors]
        return {r.name: r.table for r in (factor.relations for factor in factors) if r is not None}

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that any part of the model reads, in order of appearance."""
        return columns_of(self.formulas)

    @property
    def intercept_label(self) -> str:
        """What intercepts are called in every formula of the model."""
        return intercept_label(self.kinds)

    @property
    def factor_names(self) -> tuple[str, ...]:
        """The grouping factors of any formula."""
        return distinct(layout.factor_names for layout in self.predictors.values())

    def with_literal(self, literal: Callable[[str, str, str], bool]) -> "Layout":
        """The same, with the maps to the columns that priors are about where some priors are literal.

        Parameters
        ----------
        literal : callable
            ``literal(parameter, group, coefficient)``: whether the prior of a coefficient (group ``""``), or of the
            effects of a group, is about these as they are.
        """

        def placed(columns: Columns, parameter: str, group: str, labels: Sequence[str]) -> Columns:
            stated = frozenset(j for j, label in enumerate(labels) if literal(parameter, group, label))
            return columns if stated == columns.literal else replace(columns, literal=stated)

        predictors = {
            name: replace(
                layout,
                columns=placed(layout.columns, name, "", layout.coefficients),
                factors=tuple(
                    replace(factor, columns=placed(factor.columns, name, factor.name, factor.effects))
                    for factor in layout.factors
                ),
            )
            for name, layout in self.predictors.items()
        }
        return replace(self, predictors=MappingProxyType(predictors))

    def bind(self, data: Any) -> "Design":
        """Training-like rows, response included, as arrays. Rows must be complete.

        Parameters
        ----------
        data : pandas.DataFrame
            Rows as `complete_rows` returns them.
        """
        missing = self.response.missing
        return Design(
            predictors=MappingProxyType(self._bind_training(data, 0)),
            index=data.index,
            y=response_values(self.response, data),
            trials=addition_values(self.response.trials, data, "trials"),
            weights=addition_values(self.response.weights, data, "weights"),
            sets=None if self.response.sets is None else self.response.sets.codes(data),
            series=None if self.response.series is None else self.response.series.rows(data),
            without=None if missing is None else self._bind_missing(missing, len(data)),
        )

    def _bind_training(self, data: pd.DataFrame, first: int) -> dict[str, "BoundPredictor"]:
        drawn = {latent.column: latent.training_rows(data, first) for latent in self.latents}
        return {
            name: _bind_predictor(layout, data, layout.factor_names, drawn)
            for name, layout in self.predictors.items()
        }

    def _bind_missing(self, missing: pd.DataFrame, first: int) -> "Design":
        bound = MappingProxyType(self._bind_training(missing, first))
        return Design(predictors=bound, index=missing.index, y=None, trials=None, weights=None)

    def columns_for(
        self, groups: Container[str], unknown: Container[str] = ()
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What predictions with these grouping factors read: the predictors' columns, and the factors' own.

        Of factors that are `unknown` in every row, the effects' columns are read and the levels' are not.
        """
        layouts = self.predictors.values()
        factors = [factor for layout in layouts for factor in layout.factors if factor.name in groups]
        encodings: list[Encoding | Located | Stated | Unstated] = [
            encoding for layout in layouts for encoding in (layout.common, *layout.needed_offsets)
        ]
        encodings += [encoding for factor in factors for encoding in factor.encodings]
        encodings += [weight for factor in factors if factor.members for weight in factor.members.weights]
        own = () if self.response.sets is None else (self.response.sets.column,)
        predictors = distinct([*(predictors_in(encoding.text) for encoding in encodings), own])
        return predictors, distinct(factor.level_columns for factor in factors if factor.name not in unknown)

    def read_new(
        self, data: Any, groups: Container[str], words: str, unknown: Container[str] = ()
    ) -> pd.DataFrame:
        """The columns of new rows that predictions read; those of trials, series and measurements may be absent.

        Parameters
        ----------
        data : data frame or mapping
        groups : container of str
            The grouping factors that count.
        words : str
            What messages call the rows.
        unknown : container of str
            Those of `groups` whose level is unknown in every row.
        """
        predictors, grouping = self.columns_for(groups, unknown)
        measured = [(latent.term.sd, latent.term.group) for latent in self.latents]
        stated = [[name for name in names if name] for names in measured]
        extra = distinct(
            [self.response.trial_columns, *self.unstated.values(), self.response.series_columns, *stated]
        )
        imputed = [latent.column for latent in self.imputed]
        spare = (set(extra) - {*predictors, *grouping}) | set(imputed)
        ways = {name: UNKNOWN_LEVEL.format(name) for name in grouping if name not in predictors}
        frame = read_columns(data, [*predictors, *grouping, *extra], optional=spare, words=words, ways=ways)
        absent = {name: np.full(len(frame), np.nan) for name in imputed if name not in frame}
        return with_columns(frame, absent) if absent else frame

    def bind_new(
        self, data: Any, groups: Container[str], unknown: Container[str] = (), slack: float = FAR
    ) -> "Design":
        """New rows as arrays; no response is needed, and levels may be new or missing.

        Parameters
        ----------
        data : data frame or mapping
            Any table with the predictors' columns, n rows.
        groups : container of str
            The grouping factors that count; the columns of others need not be there.
        unknown : container of str
            Those of `groups` whose level is unknown in every row: their columns need not be there either.
        slack : float
            How far beyond the training rows a number may lie, in widths of its range there, before a warning says so;
            one in a spline or a polynomial basis may not at all.

        Returns
        -------
        Design
            `y` and `weights` are None; `trials` is None where the column is absent.

        Raises
        ------
        DataError
            For an absent column, a missing predictor or an unseen level of a population-level factor.
        """
        trials = self.response.trial_columns
        predictors, _ = self.columns_for(groups, unknown)
        frame = self.read_new(data, groups, "the new rows", unknown)
        imputed = {latent.column for latent in self.imputed}
        _refuse_missing(
            frame,
            [name for name in predictors if name not in imputed],
            "only grouping factors may be missing there; fill it or leave those rows out",
        )
        _check_kinds(frame, {name: self.kinds[name] for name in predictors if name in self.kinds})
        self._warn_beyond(frame[list(predictors)], slack)
        has_trials = all(name in frame for name in trials)
        _refuse_missing(
            frame,
            [name for name in trials if name in frame],
            "fill it, or leave the column out: means need no trials",
        )
        drawn = {latent.column: latent.new_rows(frame) for latent in self.latents}
        bound = {
            name: _bind_predictor(layout.for_new(frame), frame, groups, drawn, unknown)
            for name, layout in self.predictors.items()
        }
        self._tell_near_matches(
            frame, {name for name in self.factor_names if name in groups and name not in unknown}, bound
        )
        return Design(
            predictors=MappingProxyType(bound),
            index=frame.index,
            y=None,
            trials=addition_values(self.response.trials, frame, "trials") if has_trials else None,
            weights=None,
            sets=None if self.response.sets is None else self.response.sets.codes(frame),
            series=self._new_series(frame),
        )

    def _new_series(self, frame: pd.DataFrame) -> SeriesRows | None:
        """The series and times of new rows, where all their columns are there and full: responses alone need them."""
        series, columns = self.response.series, list(self.response.series_columns)
        if series is None or not set(columns) <= set(frame.columns) or frame[columns].isna().any(axis=None):
            return None
        return series.rows(frame)

    def _warn_beyond(self, frame: pd.DataFrame, slack: float) -> None:
        beyond = describe_beyond(self.ranges, frame, slack)
        if beyond:
            warnings.warn(beyond, DataWarning, skip_file_prefixes=(PACKAGE,))

    def _tell_near_matches(
        self, frame: pd.DataFrame, known: Container[str], bound: Mapping[str, "BoundPredictor"]
    ) -> None:
        """Warn of new levels that are known ones but for a blank, their case, their type, …"""
        found: dict[tuple[str, Any], Any] = {}
        for name, layout in self.predictors.items():
            for factor in layout.factors:
                if factor.name in known and bound[name].factors[factor.name].new:
                    near = factor.near_matches(frame)
                    found |= {(column, value): match for column, value, match in near}
        for column in dict.fromkeys(column for column, _ in found):
            own = [(value, match) for (name, value), match in found.items() if name == column]
            shown = ", ".join(f"{value!r} (known: {match!r})" for value, match in own[:5])
            warnings.warn(
                f"{column!r} has new levels that differ from known ones only in how they are written: {shown}"
                f"{', …' if len(own) > 5 else ''}. They are predicted as new groups; write them as training had them, "
                "if they are the same",
                DataWarning,
                skip_file_prefixes=(PACKAGE,),
            )


@dataclass(frozen=True, eq=False)
class Membership:
    """The level of each row, or one of several that it has.

    Attributes
    ----------
    codes : ndarray of int, (n,)
        Level of each row: below G a known level, from G on the new levels of the factor's rows.
    z : ndarray, (n, q)
        The varying effects' columns, times what the level weighs; those of new times behind all others.
    stairs : ndarray, (n, l)
        The columns of the monotonic effects' steps, effect by effect, times the same.
    """

    codes: Codes
    z: Array
    stairs: Array

    @property
    def columns(self) -> Array:
        """Those of the effects and of their steps: (n, q + l)."""
        return np.hstack([self.z, self.stairs]) if self.stairs.shape[1] else self.z

    def rows(self, part: slice | Codes) -> "Membership":
        """The same for some of the rows: a slice, or their places."""
        return Membership(self.codes[part], self.z[part], self.stairs[part])


@dataclass(frozen=True, eq=False)
class BoundFactor:
    """One grouping factor over given rows.

    Attributes
    ----------
    memberships : tuple of Membership
        One, unless rows have several levels.
    new : tuple
        Labels of the new levels, each a tuple of the columns' values; None for a row whose level is missing.
    beyond : mapping of int to ndarray
        Times that training didn't have, by the number of the factor's block.
    """

    memberships: tuple[Membership, ...]
    new: tuple[Any, ...] = ()
    beyond: Mapping[int, Array] = MappingProxyType({})

    @property
    def _only(self) -> Membership:
        if len(self.memberships) > 1:
            raise UnsupportedError(
                "this takes each row to have one level, and there is a factor mm(…) of which rows have several; "
                "ranef(), varcorr(), icc(), predict(), loo() and what is made of them know such rows"
            )
        return self.memberships[0]

    @property
    def codes(self) -> Codes:
        """The one level of each row: (n,)."""
        return self._only.codes

    @property
    def z(self) -> Array:
        """The columns of the one level's effects: (n, q)."""
        return self._only.z

    @property
    def width(self) -> int:
        """How many effects' columns there are."""
        return self.memberships[0].z.shape[1]

    @property
    def all_codes(self) -> Codes:
        """The levels of all rows, a row several times if it has several."""
        if len(self.memberships) == 1:
            return self.memberships[0].codes
        return np.concatenate([membership.codes for membership in self.memberships])

    def terms(self, r: Any, levels: Codes | None = None) -> list[tuple[Codes, Array, Any]]:
        """What `linear_predictor` adds up, from effects of all levels or of some, ascending: (L,).

        The effects are (…, L, q + l), with those of the steps: `ModelSpec.with_steps`.
        """
        return [
            (each.codes if levels is None else np.searchsorted(levels, each.codes), each.columns, r)
            for each in self.memberships
        ]

    @cached_property
    def different_levels(self) -> tuple[Membership, ...]:
        """The memberships, where a level that a row has twice is one with the weight of both, and then one without.

        So that a row's levels are independent, and variances add up.
        """
        found = [self.memberships[0]]
        for each in self.memberships[1:]:
            z, stairs = each.z.copy(), each.stairs.copy()
            for place, before in enumerate(found):
                same = (before.codes == each.codes)[:, None]
                found[place] = replace(
                    before,
                    z=before.z + np.where(same, z, 0.0),
                    stairs=before.stairs + np.where(same, stairs, 0.0),
                )
                z[same[:, 0]] = 0.0
                stairs[same[:, 0]] = 0.0
            found.append(Membership(each.codes, z, stairs))
        return tuple(found)

    def at_levels(self, other: "BoundFactor") -> "BoundFactor":
        """The same columns at the levels of as many other rows."""
        pairs = zip(self.memberships, other.memberships, strict=True)
        memberships = tuple(replace(own, codes=theirs.codes) for own, theirs in pairs)
        return replace(self, memberships=memberships, new=other.new)

    def rows(self, part: slice | Codes) -> "BoundFactor":
        """The same for some of the rows: a slice, or their places."""
        return replace(self, memberships=tuple(each.rows(part) for each in self.memberships))

    def reaching(self, factor: Factor) -> Factor:
        """The factor with an effect for each column of z."""
        return factor.reaching(self.beyond)


@dataclass(frozen=True, eq=False)
class BoundPredictor:
    """One linear predictor over given rows.

    Attributes
    ----------
    x : ndarray, (n, p)
        Population-level columns.
    offset : ndarray, (n,)
    factors : mapping of str to BoundFactor
        Those that count, by name.
    penalised : ndarray, (n, m)
        The penalised columns of the smooths, curve by curve.
    stairs : ndarray, (n, l)
        The columns of the monotonic effects' steps, effect by effect.
    multipliers : ndarray, (n, k)
        What each coefficient of predictors whose values are drawn multiplies these by.
    drawn : mapping of str to LatentRows
        What the rows say of these predictors, by column.
    """

    x: Array
    offset: Array
    factors: Mapping[str, BoundFactor]
    penalised: Array
    stairs: Array
    multipliers: Array
    drawn: Mapping[str, LatentRows]

    @cached_property
    def columns(self) -> Array:
        """All that is no group's: X, the smooths' penalised columns and the steps' columns, (n, p + m + l)."""
        more = [part for part in (self.penalised, self.stairs) if part.shape[1]]
        return np.hstack([self.x, *more]) if more else self.x

    def above(self, other: "BoundPredictor") -> "BoundPredictor":
        """These rows, and those of another below them."""
        factors = {
            name: replace(
                factor,
                memberships=tuple(
                    Membership(
                        np.concatenate([own.codes, more.codes]),
                        np.vstack([own.z, more.z]),
                        np.vstack([own.stairs, more.stairs]),
                    )
                    for own, more in zip(factor.memberships, other.factors[name].memberships, strict=True)
                ),
            )
            for name, factor in self.factors.items()
        }
        return BoundPredictor(
            np.vstack([self.x, other.x]),
            np.concatenate([self.offset, other.offset]),
            factors,
            np.vstack([self.penalised, other.penalised]),
            np.vstack([self.stairs, other.stairs]),
            np.vstack([self.multipliers, other.multipliers]),
            {name: drawn.above(other.drawn[name]) for name, drawn in self.drawn.items()},
        )

    def rows(self, part: slice | Codes) -> "BoundPredictor":
        """The same for some of the rows: a slice, or their places."""
        factors = {name: factor.rows(part) for name, factor in self.factors.items()}
        return BoundPredictor(
            self.x[part],
            self.offset[part],
            factors,
            self.penalised[part],
            self.stairs[part],
            self.multipliers[part],
            {name: drawn.rows(part) for name, drawn in self.drawn.items()},
        )


@dataclass(frozen=True, eq=False)
class Design:
    """Rows as arrays: the linear predictors, the response y (n,), trials (n,), weights (n,), sets of rows (n,).

    A response of several columns is (n, m). Rows of a response whose residuals are correlated have the series and the
    time of each, new ones if their columns are there. Training rows whose response is missing, and drawn, are `without`
    it.
    """

    predictors: Mapping[str, BoundPredictor]
    index: pd.Index
    y: Array | None
    trials: Array | None
    weights: Array | None
    sets: Codes | None = None
    series: SeriesRows | None = None
    without: "Design | None" = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def main(self) -> BoundPredictor:
        """The linear predictor of the main formula, the one with the response."""
        return self.predictors[MEAN]

    @property
    def labels(self) -> NDArray[Any]:
        """The rows as the user's table has them, (n,): tuples where its index has several columns."""
        return np.asarray(self.index.to_numpy())

    def rows(self, part: slice | Codes) -> "Design":
        """The same for some of the rows: a slice, or their places."""
        predictors = {name: bound.rows(part) for name, bound in self.predictors.items()}
        y, trials, weights = (None if a is None else a[part] for a in (self.y, self.trials, self.weights))
        sets = None if self.sets is None else self.sets[part]
        series = None if self.series is None else self.series.rows(part)
        return Design(predictors, self.index[part], y, trials, weights, sets, series, self.without)

    @property
    def all(self) -> "Design":
        """These rows, and below them those without a response."""
        if self.without is None:
            return self
        below = self.without.predictors
        predictors = {name: bound.above(below[name]) for name, bound in self.predictors.items()}
        return Design(predictors, self.index.append(self.without.index), None, None, None)


def drawn_rows(design: Design, column: str) -> LatentRows:
    """What the rows say of a predictor whose values are drawn."""
    return next(bound.drawn[column] for bound in design.predictors.values() if column in bound.drawn)


def prefix_of(parameter: str, mark: str) -> str:
    """What names of a parameter's formula begin with: nothing in the main formula.

    Examples
    --------
    >>> prefix_of("mu", "."), prefix_of("sigma", ".")
    ('', 'sigma.')
    """
    return "" if is_main(parameter) else f"{parameter}{mark}"


def is_main(parameter: str) -> bool:
    """Whether this is the parameter of the main formula, the one with the response.

    Names and tables leave that parameter unsaid, and answers are about it unless they are asked for another.
    """
    return parameter == MEAN


def linear_predictor(x: Any, offset: Any, b: Any, factors: Iterable[tuple[Any, Any, Any]]) -> Any:
    """offset + X b + Σ Z · r[level], for NumPy draws and the PyTensor graph alike.

    Parameters
    ----------
    x : (n, p)
        Population-level columns.
    offset : (n,)
    b : (…, p) or None
        Coefficients, None where p = 0.
    factors : iterable of (codes (n,), z (n, q), r (…, G, q))
        Level numbers, effect columns and effects of each grouping factor.

    Returns
    -------
    (…, n)
    """
    eta = offset if b is None else offset + b @ x.T
    for codes, z, r in factors:
        for effect in range(z.shape[1]):
            eta = eta + z[:, effect] * r[..., effect][..., codes]
    return eta


# -- columns ----------------------------------------------------------------------------------------------------


def columns_of(formulas: Mapping[str, Formula]) -> tuple[str, ...]:
    """Every column that the formulas name, in order of appearance."""
    return distinct([name for name, _ in formula.columns] for formula in formulas.values())


def distinct(columns: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Every name once, in order of appearance."""
    return tuple(dict.fromkeys(name for names in columns for name in names))


def kind_of(column: pd.Series) -> str:
    """What a predictor's column holds, in words."""
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    values = pd.Series(column.cat.categories) if categorical else column
    if pd.api.types.is_numeric_dtype(values):
        return "categories of numbers" if categorical else "numbers"
    if pd.api.types.is_string_dtype(values):
        return "text"
    return f"{type(values.iloc[0]).__name__} values"


def _check_kinds(frame: pd.DataFrame, kinds: Mapping[str, str]) -> None:
    """Refuse new rows with text where training had numbers, and the like: arithmetic on it would be nonsense."""
    for name, kind in kinds.items():
        found = kind_of(frame[name]) if len(frame) else kind
        if found != kind and (kind, found) != ("categories of numbers", "numbers"):
            raise DataError(
                f"column {name!r} holds {found} in the new rows where training had {kind}; convert it"
            )


def _refuse_missing(frame: pd.DataFrame, columns: Sequence[str], way_out: str) -> None:
    for name in columns:
        missing = frame[name].isna().to_numpy()
        if missing.any():
            raise DataError(
                f"column {name!r} is missing in {describe_rows(frame.index[missing])} of the new rows; {way_out}"
            )


# -- binding ----------------------------------------------------------------------------------------------------


def _bind_predictor(
    layout: PredictorLayout,
    frame: pd.DataFrame,
    groups: Container[str],
    drawn: Mapping[str, LatentRows],
    unknown: Container[str] = (),
) -> BoundPredictor:
    offset = offset_of(layout.offsets, frame)
    factors = {
        factor.name: _bind_unknown(factor, frame) if factor.name in unknown else _bind_factor(factor, frame)
        for factor in layout.factors
        if factor.name in groups
    }
    common = layout.common
    return BoundPredictor(
        common.matrix(frame),
        offset,
        factors,
        common.penalised(frame),
        common.stairs(frame),
        common.multipliers(frame),
        {latent.column: drawn[latent.column] for latent in common.latents},
    )


def offset_of(offsets: Iterable[Encoding | Stated | Unstated], frame: pd.DataFrame) -> Array:
    """The sum of the offsets in each row: (n,)."""
    return sum((encoding.matrix(frame)[:, 0] for encoding in offsets), start=np.zeros(len(frame)))


def _bind_unknown(factor: Factor, frame: pd.DataFrame) -> BoundFactor:
    """As for rows that all miss their levels: each has new ones of its own."""
    z, beyond = factor.bind(frame)
    count = 1 if factor.members is None else len(factor.members.columns)
    codes = len(factor.levels) + np.arange(len(frame) * count, dtype=np.int64).reshape(len(frame), -1)
    return BoundFactor(_memberships(factor, frame, codes, z), (None,) * codes.size, beyond)


def _memberships(
    factor: Factor, frame: pd.DataFrame, codes: Codes, z: Sequence[Array]
) -> tuple[Membership, ...]:
    """What rows have of each of their levels, from their numbers (n, M) and the effects' columns, M times (n, q)."""
    stairs = factor.weighed(frame, [factor.stairs(frame)])
    return tuple(
        Membership(np.ascontiguousarray(each), columns, steps)
        for each, columns, steps in zip(codes.T, z, stairs, strict=True)
    )


def _bind_factor(factor: Factor, frame: pd.DataFrame) -> BoundFactor:
    """Level numbers with new levels numbered after the known ones; a missing value is a level of its own."""
    codes, (z, beyond) = factor.codes(frame), factor.bind(frame)
    if factor.kinds is not None:
        factor.kinds.check(factor.levels, codes[:, 0], frame)
    new: dict[Any, int] = {}
    if codes.min(initial=0) < 0:
        codes = codes.copy()
        columns = [frame[name].to_numpy() for name in factor.level_columns]
        for row, place in np.argwhere(codes < 0).tolist():
            own = columns if factor.members is None else [columns[place]]
            label = None if codes[row, place] == MISSING else tuple(column[row] for column in own)
            key = (row, place) if label is None else ("level", *label)
            codes[row, place] = len(factor.levels) + new.setdefault(key, len(new))
        assert NEW not in codes
    labels = tuple(None if key[0] != "level" else key[1:] for key in new)
    return BoundFactor(_memberships(factor, frame, codes, z), labels, beyond)
