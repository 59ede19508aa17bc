"""What leans on what at the start: the rest of the map, from the curvature that the rows have together.

A row's information is gathered for one linear predictor at a time, and own parameters have none. But a shift moves all
levels, thresholds stretch with `disc`, and an excess of zeros takes the place of small means. So the Hessian at the
start is measured, by differences of scores. *Leaders*, the own parameters and, of several linear predictors, their
coefficients, take along what leans on them: x_rest = -H_rest⁻¹ H_rest,leader · leader.
"""

from dataclasses import dataclass

import numpy as np

from hierbayes.engine.core.density import Evaluate
from hierbayes.engine.core.problem import Floats, Ints, count_free
from hierbayes.engine.whitening.packing import Packed

STEP = 1e-3
ROUNDS, EXACT = 12, 0.03  # of conjugate gradients; the share of the score that may be left
WIDEST = 5.0  # standard deviations that a direction without curvature counts as
WORTH = 0.02  # standard deviations per standard deviation that a coordinate must lean by


@dataclass(frozen=True)
class Curvature:
    """The Hessian of -log density at a position, times any direction."""

    evaluate: Evaluate
    position: Floats

    def times(self, direction: Floats) -> Floats:
        """Hessian times direction, by central differences."""
        size = float(np.linalg.norm(direction))
        if size == 0.0:
            return np.zeros_like(direction)
        step = STEP / size * direction
        change = self.evaluate(self.position - step)[1].copy() - self.evaluate(self.position + step)[1]
        return change * (size / (2 * STEP))

    def follow(self, leader: Floats, rest: slice) -> Floats:
        """The move of the rest that keeps its score 0 as the leader moves by one, by conjugate gradients."""
        move = leader.copy()
        score = -self.times(move)[rest]
        enough = EXACT * float(np.linalg.norm(score))
        direction, size = score.copy(), float(score @ score)
        for _ in range(ROUNDS):
            if not size > max(enough, 1e-6) ** 2:
                break
            whole = np.zeros_like(move)
            whole[rest] = direction
            bent = self.times(whole)[rest]
            curvature = float(direction @ bent)
            if not curvature > 1e-6 * float(direction @ direction):  # it is no mode
                break
            move[rest] += size / curvature * direction
            score = score - size / curvature * bent
            size, before = float(score @ score), size
            direction = score + size / before * direction
        return move


def lean(
    packed: Packed, evaluate: Evaluate, position: Floats, leading: Ints | None = None
) -> tuple[Packed, Floats]:
    """Let coordinates lean on the leaders; also return the same position in the new coordinates.

    Theta must have its own scale, at 0 at the position. Its leaders are own parameters, unless others are given by
    their places in theta.
    """
    n_own = count_free(packed.model.own_priors) if leading is None else packed.n_theta
    several = len(packed.model.predictors) > 1
    n_coefs, dim = (packed.mapping.t.size if several else 0), packed.dim
    leaders = [*range(n_own), *range(dim - n_coefs, dim)]
    if not leaders or packed.dim == packed.n_theta:
        return packed, position
    curvature = Curvature(evaluate, position)
    rest = slice(packed.n_theta, dim - n_coefs)
    still = [] if leading is None else [i for i in range(n_own) if i not in leading]
    units = np.zeros((len(leaders), dim))
    units[range(len(leaders)), leaders] = 1.0
    moves = np.array(
        [unit if i in still else curvature.follow(unit, rest) for i, unit in zip(leaders, units, strict=True)]
    )
    bent = np.array([curvature.times(move)[leaders] for move in moves])
    bent = (bent + bent.T) / 2
    if not (np.isfinite(moves).all() and np.isfinite(bent).all()):
        return packed, position
    own, coefs = slice(0, n_own), slice(n_own, len(leaders))
    root = _upper_root(bent[coefs, coefs])
    bent[still] = bent[:, still] = 0.0
    follows = -root @ (root.T @ bent[coefs, own])  # coefficients' coordinates on own parameters
    of_rest = moves[:, rest].T
    return _leaning(packed, position, of_rest[:, own], of_rest[:, coefs], follows, root)


def _upper_root(precision: Floats) -> Floats:
    """Upper triangular K with K K' the inverse; what has no curvature is as wide as may be."""
    values, vectors = np.linalg.eigh(precision)
    covariance = (vectors / np.maximum(values, WIDEST**-2)) @ vectors.T
    return np.ascontiguousarray(np.linalg.cholesky(covariance[::-1, ::-1])[::-1, ::-1])


def _leaning(
    packed: Packed, position: Floats, on_own: Floats, on_coefs: Floats, follows: Floats, root: Floats
) -> tuple[Packed, Floats]:
    """The map with the rest (R', A) and (R', C), and coefficients (C, A), leaning."""
    rotation, n_theta = packed.mapping.rotation, packed.n_theta
    n_coefs, n_dense = len(root), len(rotation)
    n_plain = packed.dim - n_theta - n_dense  # coordinates of conditional effects
    corner = n_dense - n_coefs
    shifts = np.concatenate([on_own + on_coefs @ follows, follows])
    shifts[:n_plain] = on_own[:n_plain]  # by way of coefficients that is in `on_coefs`
    shifts[n_plain:] = rotation @ shifts[n_plain:]
    moved = rotation.copy()
    moved[:, corner:] = (rotation[:, :corner] @ on_coefs[n_plain:] + rotation[:, corner:]) @ root
    by_coefs = np.linalg.solve(rotation[corner:, corner:].T, on_coefs[:n_plain].T)
    new = position.copy()
    end = packed.dim - n_coefs
    new[end:] = np.linalg.solve(root, position[end:])
    new[n_theta:end] -= on_coefs @ position[end:]
    if np.abs(on_coefs[:n_plain]).max(initial=0.0) < WORTH:
        by_coefs = np.zeros((0, n_plain))
    if np.abs(shifts).max(initial=0.0) == 0.0:
        shifts = shifts[:, :0]
    return packed.mapped(
        shifts=np.ascontiguousarray(shifts.T), follows=np.ascontiguousarray(by_coefs), rotation=moved
    ), new
