"""The posterior's joint density, and draws as points without bounds that can be moved about.

A point has the coefficients (those of inner columns), the logarithms of standard deviations and of the family's own
parameters, the inverse hyperbolic tangents of the correlations' partials, log ratios of the shares of steps, and the
effects of a few chosen levels. Where a point moves, the effects of all other levels, and the coefficients of smooths,
follow: each keeps its place in the distribution that it has given the point, about a normal one whose mean and spread
shrink with the standard deviation (`Following`). Moved by the same amount in every draw, effects of draws whose
standard deviation is small would all be impossible there. A map of points so extended to whole draws has the
determinant that it has for points, times that of the effects' spreads.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import LEVEL_ENTRIES
from hierbayes.answers.series import EARLIER
from hierbayes.criticism.likelihood import likelihood_chunks
from hierbayes.criticism.sensitivity import inner_covariance, log_effects, log_prior
from hierbayes.data.design import Design
from hierbayes.data.factors import Factor
from hierbayes.data.levels import Codes
from hierbayes.kinds import SHARES
from hierbayes.priors import Prior
from hierbayes.schema import Variable
from hierbayes.spec import ModelSpec
from hierbayes.structures import FreeCorrelations
from hierbayes.structures.record import INSIDE

Array = NDArray[np.float64]
Places = NDArray[np.intp]
type Levels = Mapping[tuple[str, str], Codes]  # some levels, by parameter and factor
TINY = float(np.finfo(float).tiny)
DRAWS_A_COORDINATE = 10  # in half the draws, or effects follow without shrinkage
NOISES = np.geomspace(1e-6, 1e4, 21)  # tried, over the effects' own variance
NOISE_LEVELS = 50  # of a factor, that they are tried on
LIMITS = {"positive": (0.0, np.inf), "unit": (0.0, 1.0)}  # of a joint prior's parameters


@dataclass(frozen=True, eq=False)
class Space:
    """Draws and their points.

    Attributes
    ----------
    spec : ModelSpec
    draws : Draws
        S of them.
    levels : mapping of (parameter, factor) to ndarray of int
        The levels whose effects are coordinates.
    points : ndarray (S, d)
    following : mapping of (sd, effects) to two `Following`
        By the variables' names: how effects change, in the draws' first half and in their second. Each is learnt of
        the other half: of thousands of effects that follow, a regression on the same draws would turn what is chance
        in them into a trend.
    """

    spec: ModelSpec
    draws: Draws
    levels: Levels
    points: Array
    following: Mapping[tuple[str, str], tuple["Following", "Following"]]

    def parts(self) -> Iterator[slice]:
        """Slices of the draws, none across their middle, whose effects fit into memory."""
        effects = sum(first.slopes[0].size for first, _ in self.following.values())
        step = max(1, LEVEL_ENTRIES // max(1, effects))
        half, size = len(self.draws) // 2, len(self.draws)
        for first, last in ((0, half), (half, size)):
            yield from (slice(start, min(start + step, last)) for start in range(first, last, step))

    def at(self, points: Array, part: slice) -> Draws:
        """Some of the draws, by a slice of `parts`, each moved to another point: (those draws, d)."""
        before = self.draws.part(part).values
        values = dict(before)
        _put(self.spec, self.levels, points, values)
        for followed, follow in self._followed(part):
            old_sd, old = followed.arrays(before)
            sd, r = followed.arrays(values)
            place = (old - follow.mean(self.points[part], old_sd)) / follow.scale(old_sd)
            moved = follow.mean(points, sd) + place * follow.scale(sd)
            moved[:, followed.levels] = r[:, followed.levels]
            values[followed.effects] = moved.reshape(before[followed.effects].shape)
        return Draws(values, 1, len(points))

    def log_volume(self, moved: Draws, part: slice) -> Array:
        """Log determinant of moved draws' effects in those before, by the slice of `parts` that they are of: (S,)."""
        total = np.zeros(len(moved))
        for followed, follow in self._followed(part):
            now, before = (
                follow.scale(followed.arrays(draws.values)[0])[:, 0]
                for draws in (moved, self.draws.part(part))
            )
            total += follow.free * np.log(now / before).sum(axis=1)
        return total

    def _followed(self, part: slice) -> Iterator[tuple["Followed", "Following"]]:
        """The variables of effects that follow, and how they do."""
        second = part.start >= len(self.draws) // 2
        for followed in _followed(self.spec, self.levels, {}):
            yield followed, self.following[followed.sd, followed.effects][second]


@dataclass(frozen=True, eq=False)
class Followed:
    """Variables of effects that follow: those of a factor's levels, or of a smooth, each of whose columns is one.

    Attributes
    ----------
    sd, effects : str
        Names of the variables.
    levels : ndarray of int
        The levels that are coordinates.
    free : int
        How many of the levels are neither coordinates nor integrated.
    column_sds : callable, optional
        Of a curve: the standard deviations of its columns (S, m), from the values. Columns that have one in common are
        its levels, others its effects.
    """

    sd: str
    effects: str
    levels: Codes
    free: int
    column_sds: Callable[[Mapping[str, Array]], Array] | None = None

    def arrays(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """Standard deviations (S, q) and effects (S, G, q)."""
        sd, effects = values[self.sd], values[self.effects]
        if self.column_sds is None:
            return sd, effects
        return (
            (self.column_sds(values), effects[:, None])
            if self.free == 1
            else (sd[:, None], effects[..., None])
        )


def _followed(spec: ModelSpec, levels: Levels, without: Levels) -> Iterator[Followed]:
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            key, variables = (parameter, factor.name), spec.factor_variables(parameter, factor)
            free = len(factor.levels) - len(levels[key]) - len(without.get(key, ()))
            yield Followed(variables["sd"].name, variables["r"].name, levels[key], free)
        for curve in layout.curves:
            variables = spec.curve_variables(parameter, curve)
            none = np.zeros(0, np.intp)
            free = 1 if curve.process is not None else curve.width
            sds = partial(spec.curve_sds, parameter, curve)
            yield Followed(variables["sd"].name, variables["s"].name, none, free, sds)


@dataclass(frozen=True, eq=False)
class Following:
    """The distribution of a factor's effects given a point: normal, by shrinkage.

    Rows that tell an effect with variance v leave it the mean λ m and the variance λ v, λ = sd² / (sd² + v), where m is
    what they say alone, which moves with the point. v near 0 is effects that know nothing of their sd, an endless one
    effects that know nothing else.

    Attributes
    ----------
    noise : ndarray (q,)
        v, as one for all levels.
    centre : ndarray (d,)
        A point in the middle.
    slopes : ndarray (1 + d, G, q)
        m: at the centre, and how it changes with the point.
    free : int
        How many of the levels are neither coordinates nor integrated.
    """

    noise: Array
    centre: Array
    slopes: Array
    free: int

    def mean(self, points: Array, sd: Array) -> Array:
        """Of the effects, at points (S, d) whose sds are (S, q): (S, G, q)."""
        alone = self.slopes[0] + np.tensordot(points - self.centre, self.slopes[1:], 1)
        return _shrinkage(sd, self.noise)[:, None] * alone

    def scale(self, sd: Array) -> Array:
        """Their standard deviations: (S, 1, q)."""
        return np.sqrt(_shrinkage(sd, self.noise) * self.noise)[:, None]


def _shrinkage(sd: Array, noise: Array) -> Array:
    variance = np.maximum(np.square(sd), TINY)
    share: Array = variance / (variance + noise)
    return share


def space_of(spec: ModelSpec, draws: Draws, levels: Levels, without: Levels | None = None) -> Space:
    """The points of draws, with some levels' effects among the coordinates, and others' (`without`) nowhere."""
    points, half = _points(spec, draws, levels), len(draws) // 2
    following = {}
    for followed in _followed(spec, levels, without or {}):
        sd, r = followed.arrays(draws.values)
        first, second = (
            _learn(points[some], sd[some], r[some], followed.free)
            for some in (slice(half, None), slice(half))
        )
        following[followed.sd, followed.effects] = first, second
    return Space(spec, draws, levels, points, following)


def _learn(points: Array, sd: Array, r: Array, free: int) -> Following:
    """Regressions of a factor's effects on points, with the noise under which draws are likeliest."""
    centre = points.mean(axis=0)
    some = np.linspace(0, r.shape[1] - 1, min(r.shape[1], NOISE_LEVELS)).astype(int)
    enough = len(points) >= DRAWS_A_COORDINATE * (1 + points.shape[1])
    noise, slopes = np.empty(r.shape[2]), np.empty((1 + points.shape[1], *r.shape[1:]))
    for j in range(r.shape[2]):
        typical = max(float(np.median(np.square(sd[:, j]))), TINY)
        tried = typical * (NOISES if enough else NOISES[:1])
        fits = [_likelihood(points - centre, sd[:, j], r[:, some, j], each) for each in tried]
        noise[j] = tried[int(np.argmax(fits))]
        slopes[..., j] = _regress(points - centre, sd[:, j], r[..., j], noise[j])[0]
    return Following(noise, centre, slopes, free)


def _likelihood(centred: Array, sd: Array, r: Array, noise: float) -> float:
    """Of effects (S, G) under a noise, their variances multiplied by what fits best; less a constant."""
    left, scale = _regress(centred, sd, r, noise)[1:]
    spread = np.log(np.maximum(np.square(left).mean(axis=0), TINY)).mean()
    return float(-0.5 * spread - np.log(scale).mean())


def _regress(centred: Array, sd: Array, r: Array, noise: float) -> tuple[Array, Array, Array]:
    """Slopes of what rows say alone (1 + d, G), places that are left (S, G), and the scale (S,)."""
    share = _shrinkage(sd, np.array(noise))
    scale = np.sqrt(share * noise)
    columns = np.column_stack([np.ones(len(r)), centred]) * (share / scale)[:, None]
    sizes = np.maximum(np.sqrt(np.square(columns).mean(axis=0)), TINY)
    wanted = r / scale[:, None]
    slopes = np.linalg.pinv(columns / sizes) @ wanted
    return slopes / sizes[:, None], wanted - (columns / sizes) @ slopes, scale


def log_density(spec: ModelSpec, draws: Draws, design: Design, without: Levels | None = None) -> Array:
    """Log density of the posterior at each draw, its parameters as coordinates of a point, less a constant: (S,).

    Parameters
    ----------
    without : mapping of (parameter, factor) to ndarray of int, optional
        Levels whose effects don't count; none of the rows has them.
    """
    values = dict(draws.values)
    for (parameter, name), levels in (without or {}).items():
        factor = next(f for f in spec.layout.predictors[parameter].factors if f.name == name)
        variable = spec.factor_variables(parameter, factor)["r"].name
        values[variable] = np.delete(values[variable], levels, axis=1)
    total = log_effects(spec, Draws(values, draws.chains, draws.draws)) + log_jacobian(spec, draws)
    for densities in log_prior(spec, draws).values():
        total = total + densities
    for _, rows in likelihood_chunks(spec, draws, design, others=EARLIER):
        total = total + rows.sum(axis=1)
    return total


def log_jacobian(spec: ModelSpec, draws: Draws) -> Array:
    """Log determinant of the derivatives of sds, correlations and own parameters to their coordinates: (S,).

    Of correlations with partials w it is what LKJ(1), whose density is flat, has of these; w = tanh x has the
    derivative 1 − w².
    """
    total = np.zeros(len(draws))
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            sd, cor = inner_covariance(spec, draws, parameter, factor)
            total += _log(sd[:, _free_sds(spec, parameter, factor)]).sum(axis=1)
            for variable, low, high in _free_shapes(spec, parameter, factor):
                total += _log_slope(variable.of(draws.values), low, high)
            for block, matrix in _free_blocks(spec, parameter, factor):
                w, powers = matrix.partials_of(cor[:, block][:, :, block]), matrix.powers(len(block), 1.0)
                total += (powers * np.log1p(-np.square(w))).sum(axis=1)
        for name, support in _joint_prior(spec, parameter):
            low, high = LIMITS[support]
            total += _log_slope(draws.values[name], low, high).reshape(len(draws), -1).sum(axis=1)
        for name in _free_smooths(spec, parameter):
            total += _log(draws.values[name])
        for name in _simplexes(spec, parameter):
            total += SHARES.log_slope(draws.values[name])
    for name in _free_auxiliaries(spec):
        total += (
            spec.family.parameter(name).kind.log_slope(draws.values[name]).reshape(len(draws), -1).sum(axis=1)
        )
    return total


# -- coordinates --------------------------------------------------------------------------------------------------


def _points(spec: ModelSpec, draws: Draws, levels: Levels) -> Array:
    columns = [np.empty((len(draws), 0))]
    draws = Draws(spec.about_means(draws.values), draws.chains, draws.draws)
    for parameter, layout in spec.layout.predictors.items():
        if layout.coefficients:
            b = layout.map.to_inner(draws.values[spec.coefficient_variable(parameter).name])
            columns.append(b[:, _free_coefficients(spec, parameter)])
        for factor in layout.factors:
            sd, cor = inner_covariance(spec, draws, parameter, factor)
            columns.append(_log(sd[:, _free_sds(spec, parameter, factor)]))
            for variable, low, high in _free_shapes(spec, parameter, factor):
                columns.append(_unbounded(variable.of(draws.values), low, high))
            for block, matrix in _free_blocks(spec, parameter, factor):
                columns.append(np.arctanh(matrix.partials_of(cor[:, block][:, :, block])))
            r = draws.values[spec.factor_variables(parameter, factor)["r"].name]
            chosen = np.ix_(range(len(r)), levels[parameter, factor.name], factor.deciding)
            columns.append(r[chosen].reshape(len(draws), -1))
        for name, support in _joint_prior(spec, parameter):
            unbounded = _unbounded(draws.values[name], *LIMITS[support])
            columns.append(unbounded.reshape(len(draws), -1))
        columns += [_log(draws.values[name])[:, None] for name in _free_smooths(spec, parameter)]
        columns += [SHARES.free(draws.values[name]) for name in _simplexes(spec, parameter)]
    for name in _free_auxiliaries(spec):
        columns.append(spec.family.parameter(name).kind.free(draws.values[name]).reshape(len(draws), -1))
    return np.column_stack(columns)


def _put(spec: ModelSpec, levels: Levels, points: Array, values: dict[str, Array]) -> None:
    """Put the points' coordinates where `_points` has them from."""
    first = 0

    def take(count: int) -> Array:
        nonlocal first
        first += count
        return points[:, first - count : first]

    values |= spec.about_means(values)
    draws = Draws(dict(values), 1, len(points))
    for parameter, layout in spec.layout.predictors.items():
        if layout.coefficients:
            name = spec.coefficient_variable(parameter).name
            b, free = np.array(layout.map.to_inner(values[name])), _free_coefficients(spec, parameter)
            b[:, free] = take(len(free))
            values[name] = layout.map.to_user(b)
        for factor in layout.factors:
            variables = spec.factor_variables(parameter, factor)
            sd, cor = (array.copy() for array in inner_covariance(spec, draws, parameter, factor))
            free = _free_sds(spec, parameter, factor)
            sd[:, free] = np.exp(take(len(free)))
            sd = sd[:, [factor.scales[scale][1][0] for scale in factor.scale_of]]
            for variable, low, high in _free_shapes(spec, parameter, factor):
                whole: Array = values[variable.name].copy()
                values[variable.name] = whole
                place: tuple[Any, ...] = (..., *variable.place)
                whole[place] = _bounded(take(1)[:, 0], low, high)
            for block, matrix in _free_blocks(spec, parameter, factor):
                partials = np.clip(np.tanh(take(len(matrix.pairs(len(block))))), -INSIDE, INSIDE)
                every = np.ix_(range(len(cor)), block, block)
                cor[every] = matrix.from_partials(partials, len(block))
            shapes = spec.shape_values(parameter, factor, values)
            sd, cor, _ = factor.settled(sd, cor, shapes)
            sd, cor = factor.map.to_user_covariance(sd, cor)
            values[variables["sd"].name] = sd
            if "cor" in variables:
                values[variables["cor"].name] = cor
            r = values[variables["r"].name].copy()
            chosen = np.ix_(range(len(r)), levels[parameter, factor.name], factor.deciding)
            r[chosen] = take(chosen[1].size * chosen[2].size).reshape(r[chosen].shape)
            values[variables["r"].name] = factor.decided(r, shapes)
        for name, support in _joint_prior(spec, parameter):
            unbounded = take(values[name][0].size).reshape(values[name].shape)
            values[name] = _bounded(unbounded, *LIMITS[support])
        for name in _free_smooths(spec, parameter):
            values[name] = np.exp(take(1)[:, 0])
        for name in _simplexes(spec, parameter):
            values[name] = SHARES.bound(take(values[name].shape[1] - 1))
    for name in _free_auxiliaries(spec):
        kind = spec.family.parameter(name).kind
        shape = kind.free(values[name][:1]).shape[1:]
        values[name] = kind.bound(take(math.prod(shape)).reshape(len(points), *shape))
    values |= spec.with_joint_sds(values)
    values |= spec.about_zero(values)


def _free_coefficients(spec: ModelSpec, parameter: str) -> Places:
    return np.flatnonzero([prior.fixed is None for prior in spec.coefficient_priors(parameter)])


def _free_sds(spec: ModelSpec, parameter: str, factor: Factor) -> Places:
    """The first effect of each standard deviation that is a parameter: neither fixed nor a joint prior's matter."""
    priors = spec.sd_priors(parameter, factor)
    scales = zip(factor.scales, priors, strict=True)
    return np.array([places[0] for (_, places), prior in scales if _is_free(prior)], dtype=np.intp)


def _is_free(prior: Prior) -> bool:
    return prior.fixed is None and not prior.joint


def _free_shapes(spec: ModelSpec, parameter: str, factor: Factor) -> Iterator[tuple[Variable, float, float]]:
    """Parameters of covariance structures that are not fixed, and what their priors let them lie between."""
    shapes = zip(
        factor.shapes,
        spec.shape_variables(parameter, factor),
        spec.shape_priors(parameter, factor),
        strict=True,
    )
    for (block, shape), variable, prior in shapes:
        if prior.fixed is None:
            q, (low, high) = len(block.effects), prior.distribution.bounds(**dict(prior.args))
            yield variable, max(shape.lower(q), low), min(shape.upper(q), high)


def _unbounded(values: Array, low: float, high: float) -> Array:
    """Log odds of the place between two bounds, or the logarithm above the one that there is, or without any itself."""
    if np.isinf(low):
        return values
    if np.isinf(high):
        return _log(values - low)
    share = np.clip((values - low) / (high - low), 1 - INSIDE, INSIDE)
    found: Array = np.log(share) - np.log1p(-share)
    return found


def _bounded(points: Array, low: float, high: float) -> Array:
    """The values that `_unbounded` has from there."""
    if np.isinf(low):
        return points
    if np.isinf(high):
        return low + np.exp(points)
    found: Array = low + (high - low) * np.clip(expit(points), 1 - INSIDE, INSIDE)
    return found


def _log_slope(values: Array, low: float, high: float) -> Array:
    """Logarithm of the derivative of `_bounded`."""
    if np.isinf(low):
        return np.zeros(np.shape(values))
    if np.isinf(high):
        return _log(values - low)
    return _log(values - low) + _log(high - values) - np.log(high - low)


def _free_smooths(spec: ModelSpec, parameter: str) -> list[str]:
    """The variables of smooths' standard deviations and length scales that are not fixed."""
    return [
        variable.name
        for curve in spec.layout.predictors[parameter].curves
        for variable, prior in spec.curve_priors(parameter, curve)
        if _is_free(prior)
    ]


def _simplexes(spec: ModelSpec, parameter: str) -> list[str]:
    """The variables of shares, of monotonic effects' steps or of a joint prior: their coordinates are log ratios."""
    simplexes = spec.layout.predictors[parameter].simplexes
    found = [spec.simplex_variable(parameter, simplex.label).name for simplex in simplexes]
    return found + [name for name, support in _joint_prior(spec, parameter, ("simplex",))]


def _joint_prior(
    spec: ModelSpec, parameter: str, supports: tuple[str, ...] = tuple(LIMITS)
) -> list[tuple[str, str]]:
    """The variables of a joint prior's parameters that are of these supports, with the support."""
    parts = spec.shrunk(parameter).parts
    return [(variable.name, one.support) for one, variable, _ in parts if one.support in supports]


def _free_blocks(
    spec: ModelSpec, parameter: str, factor: Factor
) -> Iterator[tuple[tuple[int, ...], FreeCorrelations]]:
    """Effects whose correlations are parameters themselves, and not fixed; and how they are."""
    for block in factor.structures:
        if block.matrix and spec.cor_prior(parameter, factor, block).fixed is None:
            yield block.effects, block.matrix


def _free_auxiliaries(spec: ModelSpec) -> list[str]:
    return [name for name in spec.plain_parameters if spec.prior(name, parameter=name).fixed is None]


def _log(values: Array) -> Array:
    return np.log(np.maximum(values, TINY))
