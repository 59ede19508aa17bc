"""Gaussian rows whose residuals are correlated within series: coefficients integrated out, R as a structure has it.

y = offset + X b + e, and the residuals e of a series are N(0, sigma² R), R the correlations of its rows' times. With
the Cholesky factor L of R the rows L⁻¹[X, y] are independent. Their cross-products H change with R, so that they are
summed up in each evaluation. Where b has the posterior mean b̂ and covariance V given R and sigma, the score of R is
½ L⁻ᵀ (M / sigma² − I) L⁻¹ with M = v v' + U V U', v = L⁻¹(y − X b̂) and U = L⁻¹X: Fisher's identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.hyperparameters import (
    CHOL,
    LAM_SCORE,
    VALUE,
    add_scores,
    block_table,
    constrain,
    scale_table,
)
from hierbayes.engine.core.loops import (
    add_lower_rows,
    cholesky,
    compiled,
    dot,
    fill,
    finite,
    gram_of_lower,
    head_dot,
    invert_lower,
)
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.gaussian.conditional import Coefficients, in_batches
from hierbayes.engine.gaussian.moments import Moments
from hierbayes.engine.gaussian.packing import constant
from hierbayes.engine.gaussian.problem import GaussianProblem

A, INVERSE, COVARIANCE = 0, 1, 2  # of the coefficients: precision's Cholesky factor, its inverse, V


class SerialConstants(NamedTuple):
    """What an evaluation reads."""

    origin: Floats  # (n_theta,): theta is origin + scale_tril position
    scale_tril: Floats  # (n_theta, n_theta)
    scalars: Floats  # (2,): number of rows, the log density's part that does not depend on theta
    scales: Ints  # see `packing.Constants`; sigma, and 1
    scale_priors: Floats
    factors: Ints  # (1, 5): times, …
    blocks: Ints
    shapes: Floats
    rows: Floats  # (n, p + 1): X and the response about the reference, series by series, those of equal times together
    places: Ints  # (n,): which time each row has, ascending within a series
    starts: Ints  # (series + 1,): where each series begins
    same: Ints  # (series,): whether a series has the times of the one before it
    prior: Floats  # (2, p): precision, mean


class SerialMemory(NamedTuple):
    """What an evaluation writes; one for each thread, T times."""

    theta: Floats
    score: Floats
    scale: Floats
    shaped: Floats
    lams: Floats
    factor: Floats  # (T, T): L of the series at hand
    inverse: Floats  # (T, T): L⁻¹
    spread: Floats  # (T, T): the sum of M / sigma² − I over series of the same times
    half: Floats  # (T, T): L⁻ᵀ times that
    white: Floats  # (T, p + 1): L⁻¹[X, y]
    H: Floats  # (p + 1, p + 1): sum of their cross-products
    squares: Floats  # (3, p, p)
    vectors: Floats  # (2, p): b̂; what it comes from


@dataclass(frozen=True)
class Serial:
    """A collapsed model of correlated residuals: its constants and the way to make memory for them."""

    constants: SerialConstants
    n_theta: int
    n_coefficients: int

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.n_theta

    def standardised(self, origin: Floats, scale_tril: Floats) -> "Serial":
        """Return the model in other coordinates of theta."""
        return replace(self, constants=self.constants._replace(origin=origin, scale_tril=scale_tril))

    def with_tails(self, tails: Floats) -> "Serial":
        """Return the model with other tails of its scales."""
        priors = np.column_stack([self.constants.scale_priors[:, :2], tails])
        return replace(self, constants=self.constants._replace(scale_priors=priors))

    def memory(self) -> SerialMemory:
        """Return memory for evaluations on one thread."""
        c = self.constants
        times, p = int(c.factors[0, 0]), c.prior.shape[1]
        return SerialMemory(
            np.zeros(self.n_theta),
            np.zeros(self.n_theta),
            np.zeros((3, len(c.scales))),
            np.zeros((7, len(c.shapes))),
            np.zeros((5, 1, times, times)),
            np.zeros((times, times)),
            np.zeros((times, times)),
            np.zeros((times, times)),
            np.zeros((times, times)),
            np.zeros((times, p + 1)),
            np.zeros((p + 1, p + 1)),
            np.zeros((3, p, p)),
            np.zeros((2, p)),
        )


def serialise(problem: GaussianProblem, m: Moments) -> Serial:
    """Arrange the rows of a problem whose residuals are correlated within series."""
    series = problem.series
    assert series is not None, "its residuals are correlated"
    place = np.argmax(series.Z, axis=1)
    y = problem.y - m.reference.b @ problem.X.T
    y = y if problem.offset is None else y - problem.offset
    order = _in_order(series.codes, place)
    starts = np.searchsorted(_ranks(series.codes[order]), np.arange(len(np.unique(series.codes)) + 1))
    times = [tuple(place[order][first:end]) for first, end in pairwise(starts)]
    same = np.array([i > 0 and times[i] == times[i - 1] for i in range(len(times))], np.int64)
    scales, scale_priors = scale_table(problem.sigma_prior[None], (series,))
    blocks, shapes = block_table(problem.sigma_prior[None], (series,))
    constants = SerialConstants(
        origin=np.zeros(problem.n_theta),
        scale_tril=np.eye(problem.n_theta),
        scalars=np.array([len(y), constant(replace(problem, factors=(series,), series=None), m)]),
        scales=scales,
        scale_priors=scale_priors,
        factors=np.array([[series.q, 1, 0, series.n_levels, 0]], np.int64),
        blocks=blocks,
        shapes=shapes,
        rows=np.ascontiguousarray(np.column_stack([problem.X, y])[order]),
        places=np.ascontiguousarray(place[order], np.int64),
        starts=starts.astype(np.int64),
        same=same,
        prior=np.stack([problem.prior_precision, problem.prior_mean - m.reference.b]),
    )
    return Serial(constants, problem.n_theta, problem.X.shape[1])


def _in_order(codes: Ints, place: Ints) -> Ints:
    """The order of rows: series by series, those of equal times next to each other, and in time within each."""
    times: dict[int, list[int]] = {}
    for row in np.lexsort((place, codes)):
        times.setdefault(int(codes[row]), []).append(int(row))
    series = sorted(times.values(), key=lambda rows: tuple(place[rows]))
    return np.array([row for rows in series for row in rows], np.int64)


def _ranks(codes: Ints) -> Ints:
    """Numbers of the runs of equal codes."""
    return np.concatenate([[0], np.cumsum(codes[1:] != codes[:-1])])


@compiled
def serial_log_density(
    position: Floats, grad: Floats,
    origin: Floats, scale_tril: Floats, scalars: Floats, scales: Ints, scale_priors: Floats, factors: Ints,
    blocks: Ints, shapes: Floats, rows: Floats, places: Ints, starts: Ints, same: Ints, prior: Floats,
    theta: Floats, score: Floats, scale: Floats, shaped: Floats, lams: Floats, factor: Floats, inverse: Floats,
    spread: Floats, half: Floats, white: Floats, H: Floats, squares: Floats, vectors: Floats,
) -> float:  # fmt: skip
    """Return log p(y, theta) with the coefficients integrated out, and set grad; -inf where it can't be evaluated.

    The arguments after grad are `SerialConstants` and `SerialMemory`.
    """
    for i in range(theta.size):
        theta[i] = origin[i] + head_dot(scale_tril[i], position, i + 1)
    value = scalars[1] + constrain(theta, scales, scale_priors, factors, blocks, shapes, scale, shaped, lams)
    value -= scalars[0] * np.log(scale[VALUE, 0])
    value -= sum_up(lams[CHOL, 0], rows, places, starts, same, factor, inverse, white, H)
    value += solve(scale[VALUE, 0], prior, H, squares, vectors)
    if finite(value):
        sigma_score = score_root(
            scale[VALUE, 0], lams[CHOL, 0], rows, places, starts, same, factor, inverse, spread, half, white, squares,
            vectors, lams[LAM_SCORE, 0],
        )  # fmt: skip
        add_scores(sigma_score, scales, factors, blocks, shapes, scale, shaped, lams, score)
        if finite(score.sum()):
            fill(grad, 0.0)
            add_lower_rows(grad, theta.size, score, scale_tril, 0)
            return value
    fill(grad, 0.0)
    return -np.inf


@compiled
def set_factor(root: Floats, times: Ints, factor: Floats, inverse: Floats) -> float:
    """Set L and L⁻¹ of some times from the root of the correlations of all; return log|L|."""
    m = times.size
    L, X = factor[:m, :m], inverse[:m, :m]
    for i in range(m):
        for j in range(i + 1):
            L[i, j] = dot(root[times[i], : times[j] + 1], root[times[j], : times[j] + 1])
    value = cholesky(L)
    invert_lower(L, X)
    return value


@compiled
def whiten(inverse: Floats, rows: Floats, white: Floats) -> None:
    """Set the rows of a series, whitened."""
    for i in range(rows.shape[0]):
        for column in range(rows.shape[1]):
            total = 0.0
            for j in range(i + 1):
                total += inverse[i, j] * rows[j, column]
            white[i, column] = total


@compiled
def sum_up(
    root: Floats, rows: Floats, places: Ints, starts: Ints, same: Ints, factor: Floats, inverse: Floats, white: Floats,
    H: Floats,
) -> float:  # fmt: skip
    """Set H to the cross-products of all whitened rows; return the sum of log|L|."""
    H[:] = 0.0
    total = volume = 0.0
    for g in range(same.size):
        first, end = starts[g], starts[g + 1]
        if same[g] == 0:
            volume = set_factor(root, places[first:end], factor, inverse)
        total += volume
        whiten(inverse, rows[first:end], white)
        for i in range(end - first):
            for a in range(H.shape[0]):
                for b in range(a + 1):
                    H[a, b] += white[i, a] * white[i, b]
    return total


@compiled
def solve(sigma: float, prior: Floats, H: Floats, squares: Floats, vectors: Floats) -> float:
    """Set b̂ and V; return the log density of the whitened response, its coefficients integrated out."""
    p = prior.shape[1]
    is2 = 1.0 / (sigma * sigma)
    S, mode, right = squares[A], vectors[0], vectors[1]
    square = float(is2 * H[p, p])
    for i in range(p):
        for j in range(i + 1):
            S[i, j] = is2 * H[i, j]
        S[i, i] += prior[0, i]
        right[i] = is2 * H[p, i] + prior[0, i] * prior[1, i]
        square += prior[0, i] * prior[1, i] * prior[1, i]
    volume = cholesky(S)
    invert_lower(S, squares[INVERSE])
    gram_of_lower(squares[INVERSE], squares[COVARIANCE])
    for i in range(p):
        mode[i] = dot(squares[COVARIANCE, i], right)
    return -volume - 0.5 * (square - dot(mode, right))


@compiled
def score_root(
    sigma: float, root: Floats, rows: Floats, places: Ints, starts: Ints, same: Ints, factor: Floats, inverse: Floats,
    spread: Floats, half: Floats, white: Floats, squares: Floats, vectors: Floats, root_score: Floats,
) -> float:  # fmt: skip
    """Set the scores of the root of the correlations of all times; return that of log sigma."""
    p = squares.shape[1]
    is2, sigma_score = 1.0 / (sigma * sigma), 0.0
    root_score[:] = 0.0
    for g in range(same.size):
        first, end = starts[g], starts[g + 1]
        m = end - first
        if same[g] == 0:
            set_factor(root, places[first:end], factor, inverse)
            spread[:m, :m] = 0.0
        whiten(inverse, rows[first:end], white)
        for i in range(m):
            white[i, p] -= dot(white[i, :p], vectors[0])
        for i in range(m):
            spread[i, i] -= 1.0
            for j in range(i + 1):
                total = white[i, p] * white[j, p]
                for a in range(p):
                    total += white[i, a] * dot(squares[COVARIANCE, a], white[j, :p])
                spread[i, j] += is2 * total
        if g + 1 == same.size or same[g + 1] == 0:
            for i in range(m):
                sigma_score += spread[i, i]
            add_root_score(root, places[first:end], inverse, spread, half, root_score)
    return sigma_score


@compiled
def add_root_score(
    root: Floats, times: Ints, inverse: Floats, spread: Floats, half: Floats, root_score: Floats
) -> None:
    """Add L⁻ᵀ (M / sigma² − I) L⁻¹ times the root's rows of some times."""
    m = times.size
    for i in range(m):
        for j in range(i):
            spread[j, i] = spread[i, j]
    for i in range(m):
        for j in range(m):
            total = 0.0
            for k in range(i, m):
                total += inverse[k, i] * spread[k, j]
            half[i, j] = total
    for i in range(m):
        for j in range(m):
            score = 0.0
            for k in range(j, m):
                score += half[i, k] * inverse[k, j]
            for column in range(min(times[i], times[j]) + 1):
                root_score[times[i], column] += score * root[times[j], column]


# -- draws -----------------------------------------------------------------------------------------------------


def draw_serial(
    model: Serial, thetas: Floats, seed: Sequence[int] | int, threads: int = 1, keep: int | None = None
) -> Coefficients:
    """Draw the coefficients from their exact conditional, as `conditional.draw_coefficients`."""
    thetas = np.ascontiguousarray(thetas, dtype=np.float64)

    def draw_batch(part: slice, out: Floats, out_scale: Floats, out_chol: Floats) -> None:
        run(
            draw_serial_conditional, thetas[part], out, out_scale, out_chol, *model.constants, *model.memory()
        )

    return in_batches(model, len(thetas), draw_batch, seed, threads, keep)


@compiled
def draw_serial_conditional(
    thetas: Floats, out: Floats, out_scale: Floats, out_chol: Floats,
    origin: Floats, scale_tril: Floats, scalars: Floats, scales: Ints, scale_priors: Floats, factors: Ints,
    blocks: Ints, shapes: Floats, rows: Floats, places: Ints, starts: Ints, same: Ints, prior: Floats,
    theta: Floats, score: Floats, scale: Floats, shaped: Floats, lams: Floats, factor: Floats, inverse: Floats,
    spread: Floats, half: Floats, white: Floats, H: Floats, squares: Floats, vectors: Floats,
) -> None:  # fmt: skip
    """Turn rows of independent standard normals into draws of the coefficients, b̂ + S⁻ᵀz, one a row of theta."""
    p = prior.shape[1]
    for draw in range(thetas.shape[0]):
        constrain(thetas[draw], scales, scale_priors, factors, blocks, shapes, scale, shaped, lams)
        for i in range(scale.shape[1]):
            out_scale[draw, i] = scale[VALUE, i]
        for i in range(shaped.shape[1]):
            out_scale[draw, scale.shape[1] + i] = shaped[VALUE, i]
        for i in range(out_chol.shape[2]):
            for j in range(out_chol.shape[3]):
                out_chol[draw, 0, i, j] = lams[CHOL, 0, i, j]
        sum_up(lams[CHOL, 0], rows, places, starts, same, factor, inverse, white, H)
        solve(scale[VALUE, 0], prior, H, squares, vectors)
        for i in range(p):
            total = vectors[0, i]
            for j in range(i, p):
                total += squares[INVERSE, j, i] * out[draw, j]
            vectors[1, i] = total
        for i in range(p):
            out[draw, i] = vectors[1, i]
