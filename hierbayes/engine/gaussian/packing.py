"""A collapsed model as the arrays that its kernels take: the model's constants, then their working memory.

Every model gives the same number of arrays with the same types, so a kernel compiles once.
"""

from dataclasses import dataclass, replace
from math import log, pi
from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.hyperparameters import block_table, effects_of, prior_constant, scale_table
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.gaussian.batches import dense, level_batches
from hierbayes.engine.gaussian.moments import Moments
from hierbayes.engine.gaussian.problem import GaussianProblem


class Constants(NamedTuple):
    """What an evaluation reads. K factors, G levels of the primary one in batches of L, m dense columns."""

    origin: Floats  # (n_theta,): theta is origin + scale_tril position, and position is what moves
    scale_tril: Floats  # (n_theta, n_theta), lower triangular
    sizes: Ints  # (2,): primary factor (-1: none), coefficients of the primary factor, empty lanes' included
    scalars: Floats  # (2,): sum of the weights, the log density's part that does not depend on theta
    scales: Ints  # (1 + Σq, 2): index in theta (-1: fixed), prior code; sigma first, then the factors' sds
    scale_priors: Floats  # (1 + Σq, 4): arguments a, b; knee and rate of the tail transform
    factors: Ints  # (K, 5): q, first scale, first dense column, number of levels, start in a draw
    blocks: Ints  # (blocks, 6 + 2 × largest q), (shapes, 8): see `core.hyperparameters`
    shapes: Floats
    column_sets: Ints  # see `batches.LevelBatches`
    columns: Ints
    starts: Ints
    ZZ: Floats
    ZA: Floats
    gram: Floats  # see `batches.Dense`
    prior: Floats


class Memory(NamedTuple):
    """What an evaluation writes; one for each thread."""

    theta: Floats  # (n_theta,)
    score: Floats  # (n_theta,): gradient in theta
    scale: Floats  # (3, 1 + Σq): value, slope, score
    shaped: Floats  # (7, shapes): the structures' parameters and constants
    lams: (
        Floats  # (5, K, largest q, largest q): chol, Λ, d log likelihood / d Λ; the blocks' own, their scores
    )
    inverses: Floats  # (2, batches × q², L): L_g⁻¹ and L_g⁻¹Λ'
    tiles: Floats  # (5, q², L)
    rows: Floats  # (3, q, L)
    H: Floats  # (widest, q, L): L_g⁻¹Λ'Z_g'[D y] of a batch
    flat_H: Floats  # (widest, q L): the same memory
    column_set: Floats  # (widest, widest + 3), always 0 above the diagonal: `loops.combine` reads on to a multiple of 4
    E: Floats  # (m + 1, m + 1): D'D - Σ H_g'H_g/σ², y last
    squares: Floats  # (5, m, m): E T, R = chol(S), R⁻¹, S⁻¹, T S⁻¹ T'
    vectors: Floats  # (3, m + 1): R⁻¹ rhs; v̂; -T v̂, then 1 for y


@dataclass(frozen=True)
class Packed:
    """A collapsed model: its constants and the way to make memory for them."""

    constants: Constants
    levels: Ints  # (batches, L), see `batches.LevelBatches`
    n_theta: int
    n_coefficients: int  # population-level and of all factors' levels

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.n_theta

    def standardised(self, origin: Floats, scale_tril: Floats) -> "Packed":
        """Return the model with another standardisation: where its density is taken about, and in which directions."""
        return replace(self, constants=self.constants._replace(origin=origin, scale_tril=scale_tril))

    def with_tails(self, tails: Floats) -> "Packed":
        """Return the model with other tails of its scales, (1 + Σq, 2)."""
        priors = np.column_stack([self.constants.scale_priors[:, :2], tails])
        return replace(self, constants=self.constants._replace(scale_priors=priors))

    def memory(self) -> Memory:
        """Return memory for evaluations on one thread."""
        c = self.constants
        m = c.prior.shape[1]
        lanes = c.ZZ.shape[1]
        q = int(c.factors[c.sizes[0], 0]) if c.sizes[0] >= 0 else 1
        widest = int(c.column_sets[:, 3].max(initial=1))
        largest = effects_of(c.blocks)
        H = np.zeros((widest, q, lanes))
        return Memory(
            np.zeros(self.n_theta),
            np.zeros(self.n_theta),
            np.zeros((3, len(c.scales))),
            np.zeros((7, len(c.shapes))),
            np.zeros((5, len(c.factors), largest, largest)),
            np.zeros((2, *c.ZZ.shape)),
            np.zeros((5, q * q, lanes)),
            np.zeros((3, q, lanes)),
            H,
            H.reshape(widest, q * lanes),
            np.zeros((widest, widest + 3)),
            np.zeros((m + 1, m + 1)),
            np.zeros((5, m, m)),
            np.zeros((3, m + 1)),
        )


def pack(problem: GaussianProblem, m: Moments, primary: int, sampled: tuple[int, ...] = ()) -> Packed:
    """Arrange a problem's moments around its primary factor (-1: there is no factor).

    Factors in ``sampled`` are left out of the elimination: the response is taken less their effects.
    """
    rest = dense(problem, m, primary, sampled)
    levels = level_batches(problem, m, primary, rest.slots)
    sigma = problem.sigma_prior[None]
    scales, scale_priors = scale_table(sigma, problem.factors)
    blocks, shapes = block_table(sigma, problem.factors)
    q = np.array([f.q for f in problem.factors], np.int64)
    sds = np.array([len(f.sd_priors) for f in problem.factors], np.int64)
    factors = np.column_stack([q, 1 + np.cumsum(sds) - sds, rest.slots])
    constants = Constants(
        origin=np.zeros(problem.n_theta),
        scale_tril=np.eye(problem.n_theta),
        sizes=np.array([primary, levels.levels.size * (q[primary] if primary >= 0 else 0)], np.int64),
        scalars=np.array([m.n, constant(problem, m)]),
        scales=scales,
        scale_priors=scale_priors,
        factors=np.ascontiguousarray(factors),
        blocks=blocks,
        shapes=shapes,
        column_sets=levels.column_sets,
        columns=levels.columns,
        starts=levels.starts,
        ZZ=levels.ZZ,
        ZA=levels.ZA,
        gram=rest.gram,
        prior=rest.prior,
    )
    n_coefficients = problem.X.shape[1] + sum(f.n_levels * f.q for f in problem.factors)
    return Packed(constants, levels.levels, problem.n_theta, n_coefficients)


def constant(problem: GaussianProblem, m: Moments) -> float:
    """Return the part of the log density that does not depend on theta; a flat prior has density 1."""
    proper = problem.prior_precision[problem.prior_precision > 0]
    flat = problem.prior_precision.size - proper.size
    return prior_constant(problem) + 0.5 * ((flat - m.n) * log(2 * pi) + float(np.log(proper).sum()))
