"""A model and its whitening map as the arrays that the kernels take: what they read, then what they write.

Every model gives the same number of arrays with the same types, so a kernel compiles once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hierbayes.engine.gaussian.hyperparameters import block_table, lkj_constant, scale_constant, scale_table
from hierbayes.engine.gaussian.problem import Factor, Floats, Ints, PriorCode, count_free
from hierbayes.engine.whitening.coefficients import coefficient_constant
from hierbayes.engine.whitening.problem import Problem, ordered_factors

CHUNK = 256  # rows worked on together: what they read stays in the nearest cache
FAMILY, LINK, SCALES, DENSE, CONDITIONAL = 0, 1, 2, 3, 4  # in `sizes`
OWN = 5  # and two numbers for each of the family's own parameters: its scale (-1: none), its predictor (-1: none)
Q, FIRST_SCALE, LEVELS, START, COLUMN, LEVEL, SQUARE, PREDICTOR = range(8)  # in a factor's row


class Model(NamedTuple):
    """Rows, priors and structure. K factors by falling size, R group effects, P coefficients, J predictors."""

    sizes: (
        Ints  # (9,): family, link, plain parameters, dense coordinates, conditional factors, own parameters
    )
    constant: Floats  # (1,)
    scales: (
        Ints  # (S, 2): index in theta (-1: fixed), prior code; the family's own first, then the factors' sds
    )
    scale_priors: Floats  # (S, 2): arguments
    factors: Ints  # (K, 8): q, first scale, levels, start in r, first column of Z, first level, start in W, predictor
    blocks: Ints  # see gaussian.hyperparameters
    eta: Floats
    priors: Floats  # (P, 4): of the coefficients
    predictors: Ints  # (J, 2): first coefficient, end
    X: Floats  # (P, n)
    Z: Floats  # (Σq, n)
    codes: Ints  # (K, n)
    offsets: Floats  # (J, n)
    rows: Floats  # (3, n): y, trials, weights


class Chart(NamedTuple):
    """From whitened coordinates to theta, group effects and coefficients (docs/engine.md)."""

    origin: Floats  # (T,): theta at the pilot
    frame: Floats  # (T, T), lower triangular
    W: Floats  # (Σ levels q²,): information about each level's effects, later coefficients known
    c: Floats  # (R,): information times the effects at the pilot, plus the score there
    Eb: Floats  # (R, P): cross information with the coefficients
    first: Ints  # (Σ levels + 1,): each level's first entry of `pairs`
    pairs: Ints  # (pairs, 4): start in r and number of a later level's effects, start in E, that level
    E: Floats  # cross information with later levels
    r: Floats  # (R,): group effects at the pilot
    t: Floats  # (P,): unconstrained coefficients at the pilot
    rotation: Floats  # (m, m), upper triangular: of the last coordinates
    volume: Floats  # (1,): logarithm of the determinants of frame and rotation


class Memory(NamedTuple):
    """What an evaluation writes; one for each thread."""

    theta: Floats  # (2, T): itself, its score
    scale: Floats  # (3, S)
    partial: Floats  # (2, T)
    lams: Floats  # (3, K, q, q)
    white: Floats  # (2, R + P): coordinates after the rotation, their scores
    effects: Floats  # (4, R): r, u, what W sees of them, score of r
    coefs: Floats  # (5, P): t, coefficient, slope, score of the prior, score of t
    roots: Floats  # (2, Σ levels q²): L and L⁻¹
    small: Floats  # (6, q): of a level
    tiles: Floats  # (4, q, q)
    etas: Floats  # (2, J, CHUNK): linear predictors, their scores
    own: Floats  # (2, CHUNK): the family's own parameters
    out: Floats  # (4, CHUNK): see `densities`
    own_score: Floats  # (2,)


@dataclass(frozen=True)
class Packed:
    """A model with a whitening chart."""

    model: Model
    chart: Chart
    places: tuple[tuple[int, int], ...]  # (predictor, factor) of each factor, in the kernel's order

    @property
    def n_theta(self) -> int:
        """Number of free hyperparameters: the family's own, sds and correlations."""
        return self.chart.origin.size

    @property
    def n_effects(self) -> int:
        """Number of group effects, all factors' and levels'."""
        return self.chart.r.size

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.n_theta + self.n_effects + self.chart.t.size

    def memory(self) -> Memory:
        """Memory for evaluations on one thread."""
        theta, effects, coefs = self.n_theta, self.n_effects, self.chart.t.size
        q = self.model.blocks.shape[1] - 3
        n_factors, n_predictors = len(self.model.factors), len(self.model.predictors)
        return Memory(
            np.zeros((2, theta)),
            np.zeros((3, len(self.model.scales))),
            np.zeros((2, theta)),
            np.zeros((3, n_factors, q, q)),
            np.zeros((2, effects + coefs)),
            np.zeros((4, effects)),
            np.zeros((5, coefs)),
            np.zeros((2, self.chart.W.size)),
            np.zeros((6, q)),
            np.zeros((4, q, q)),
            np.zeros((2, n_predictors, CHUNK)),
            np.ones((2, CHUNK)),
            np.zeros((4, CHUNK)),
            np.zeros(2),
        )

    def mapped(self, **changes: Any) -> "Packed":
        """The same model with parts of another map."""
        chart = self.chart._replace(**changes)
        diagonals = np.append(np.diagonal(chart.frame), np.diagonal(chart.rotation))
        return replace(self, chart=chart._replace(volume=np.array([np.log(diagonals).sum()])))


def pack(problem: Problem) -> Packed:
    """Arrange a problem for the kernels, with the map of no information: standard non-centered coordinates."""
    places = ordered_factors(problem.predictors)
    factors = [problem.predictors[j].factors[k] for j, k in places]
    levels = np.array([f.n_levels for f in factors], np.int64)
    q = np.array([f.q for f in factors], np.int64)
    own = len(problem.plain)
    table = np.column_stack(
        [
            q,
            own + np.cumsum(q) - q,
            levels,
            np.cumsum(levels * q) - levels * q,
            np.cumsum(q) - q,
            np.cumsum(levels) - levels,
            np.cumsum(levels * q * q) - levels * q * q,
            np.array([j for j, _ in places], np.int64),
        ]
    ).reshape(-1, 8)
    scale_priors = np.vstack([problem.scale_priors, *(f.sd_priors for f in factors)])
    scales, arguments = scale_table(problem.scale_priors, factors)
    blocks, eta = block_table(problem.scale_priors, factors)
    n_theta = count_free(scale_priors) + sum(f.n_correlations for f in factors)
    n_effects = int((levels * q).sum())
    ends = np.cumsum([len(p.priors) for p in problem.predictors])
    priors = np.vstack([p.priors.reshape(-1, 4) for p in problem.predictors])
    model = Model(
        sizes=_sizes(problem),
        constant=np.array([_constant(problem, scale_priors, factors, priors)]),
        scales=scales,
        scale_priors=arguments,
        factors=np.ascontiguousarray(table),
        blocks=blocks,
        eta=eta,
        priors=priors,
        predictors=np.column_stack([np.append(0, ends[:-1]), ends]).astype(np.int64),
        X=_stack([p.X.T for p in problem.predictors], len(problem.y)),
        Z=_stack([f.Z.T for f in factors], len(problem.y)),
        codes=_stack([f.codes[None] for f in factors], len(problem.y)).astype(np.int64),
        offsets=_stack([p.offset[None] for p in problem.predictors], len(problem.y)),
        rows=_stack([problem.y[None], problem.trials[None], problem.weights[None]], len(problem.y)),
    )
    return Packed(model, _plain_map(n_theta, n_effects, table, priors), tuple(places))


def _stack(parts: Sequence[Floats | Ints], n: int) -> Floats:
    return np.ascontiguousarray(np.vstack([np.zeros((0, n)), *parts]))


def _sizes(problem: Problem) -> Ints:
    own = [-1] * 4
    for place, parameter in enumerate(problem.plain):
        own[2 * (parameter - 1)] = place
    for place, predictor in enumerate(problem.predictors):
        if predictor.parameter:
            own[2 * (predictor.parameter - 1) + 1] = place
    return np.array([problem.density.code, problem.link, len(problem.plain), 0, 0, *own], np.int64)


def _constant(problem: Problem, scale_priors: Floats, factors: list[Factor], priors: Floats) -> float:
    """The part of the log density that depends on nothing drawn."""
    total = problem.constant + sum(scale_constant(PriorCode(int(c)), a, b) for c, a, b, _ in scale_priors)
    total += sum(lkj_constant(f) for f in factors) + sum(coefficient_constant(row) for row in priors)
    effects = sum(f.n_levels * f.q for f in factors)
    return total - 0.5 * effects * float(np.log(2 * np.pi))


def _plain_map(n_theta: int, n_effects: int, factors: Ints, priors: Floats) -> Chart:
    n_levels = int(factors[:, LEVELS].sum())
    return Chart(
        origin=np.zeros(n_theta),
        frame=np.eye(n_theta),
        W=np.zeros(int((factors[:, LEVELS] * factors[:, Q] ** 2).sum())),
        c=np.zeros(n_effects),
        Eb=np.zeros((n_effects, len(priors))),
        first=np.zeros(n_levels + 1, np.int64),
        pairs=np.zeros((0, 4), np.int64),
        E=np.zeros(0),
        r=np.zeros(n_effects),
        t=np.zeros(len(priors)),
        rotation=np.zeros((0, 0)),
        volume=np.zeros(1),
    )
