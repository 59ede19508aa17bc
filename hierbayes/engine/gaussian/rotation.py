"""Levels with a known covariance, and few other effects: rows rotated once, after which those levels are independent.

With y = X b + W u + B v + e, v ~ N(0, σ_v² I) and B = U S V', the rotated rows U'y = U'X b + U'W u + S w + U'e have one
effect each, those of w = V'v are independent as v's are, and U'e is distributed as e (Lippert et al. 2011, Nature
Methods 8(10)). So a density costs as much as the rows, where v integrated out of the rows as they are costs the cube of
its length. The effects u of other factors, whose levels the rotated rows no longer have, are dense columns beside X's.
"""

from dataclasses import dataclass, replace

import numpy as np

from hierbayes.engine.core.problem import Block, Factor, Floats
from hierbayes.engine.gaussian.collapsed import Draws
from hierbayes.engine.gaussian.problem import GaussianProblem

MOST_BESIDE = 150  # effects of other factors: their number squared times the rows is the work of a density


@dataclass(frozen=True, eq=False)
class Rotated:
    """A rotated problem, and the way back.

    Attributes
    ----------
    problem : GaussianProblem
        With a factor of q levels in place of one level with q effects, and one level with all effects in place of other
        factors.
    place : int
        Which factor that is.
    back : array, (q, q)
        V'.
    fitted : array, (p,)
        Coefficients by least squares: the rotated problem's are deviations from them, so that no digits are lost.
    sizes : tuple of (int, int)
        The levels and effects of each factor as it was.
    """

    problem: GaussianProblem
    place: int
    back: Floats
    fitted: Floats
    sizes: tuple[tuple[int, int], ...]

    def unrotated(self, drawn: Draws) -> Draws:
        """Return draws with the coefficients and the effects (…, levels, q) of the problem as it was."""
        effects, sds, correlations = list(drawn.r), list(drawn.sd), list(drawn.cor)
        for place, (levels, q) in enumerate(self.sizes):
            if place == self.place:
                effects[place] = (effects[place][..., 0] @ self.back)[..., None, :]
            else:
                effects[place] = effects[place].reshape(*effects[place].shape[:-2], levels, q)
                sds[place], correlations[place] = sds[place][..., :q], correlations[place][..., :q, :q]
        b = drawn.b + self.fitted
        return replace(drawn, b=b, r=tuple(effects), sd=tuple(sds), cor=tuple(correlations))


def can_rotate(problem: GaussianProblem) -> bool:
    """Return whether effects of one level with one standard deviation are there, and all effects are independent.

    Those of other factors are few: `MOST_BESIDE` in all.
    """
    beside = [factor for factor in problem.factors if not _is_one_level(factor)]
    return (
        problem.weights is None
        and len(beside) < len(problem.factors)
        and all(len(block) == 1 for factor in problem.factors for block in factor.blocks)
        and sum(factor.n_levels * factor.q for factor in beside) <= MOST_BESIDE
    )


def _is_one_level(factor: Factor) -> bool:
    """Return whether a factor has one level, whose effects have one standard deviation."""
    return factor.n_levels == 1 and len(factor.sd_priors) == 1


def rotate(problem: GaussianProblem) -> Rotated:
    """Return a problem whose `can_rotate` is true with its rows rotated; as many, the last ones perhaps 0."""
    factors = list(problem.factors)
    place = max((k for k, one in enumerate(factors) if _is_one_level(one)), key=lambda k: factors[k].q)
    turning, p = factors[place], problem.X.shape[1]
    n, q = turning.Z.shape
    y = problem.y if problem.offset is None else problem.y - problem.offset
    fitted = np.linalg.lstsq(problem.X, y)[0]
    beside = [_columns(factor) for factor in factors if factor is not turning]
    rows = np.column_stack([y - problem.X @ fitted, problem.X, *beside])
    few = n <= q + rows.shape[1]  # rows beside those that the effects reach: too few to be put together
    left, singular, back = np.linalg.svd(turning.Z, full_matrices=few)
    rotated, z, reached = np.zeros(rows.shape), np.zeros((n, 1)), left.shape[1]
    rotated[:reached] = left.T @ rows
    z[: len(singular), 0] = singular
    if not few:  # of the others only their products count
        rest = np.linalg.qr(rows - left @ rotated[:reached], mode="r")
        rotated[reached : reached + len(rest)] = rest
    first, turned = 1 + p, list[Factor]()
    for factor in factors:
        if factor is turning:
            codes = np.minimum(np.arange(n), q - 1)
            one = (Block("diag", (0,), (0,), np.zeros((0, 8))),)
            turned.append(Factor(codes, z, q, sd_priors=factor.sd_priors, structured=one))
        else:
            turned.append(_as_one_level(factor, rotated[:, first : first + factor.n_levels * factor.q]))
            first += factor.n_levels * factor.q
    whole = replace(
        problem,
        y=rotated[:, 0],
        X=rotated[:, 1 : 1 + p],
        factors=turned,
        prior_mean=problem.prior_mean - fitted,
        offset=None,
    )
    return Rotated(whole, place, back, fitted, tuple((one.n_levels, one.q) for one in factors))


def _columns(factor: Factor) -> Floats:
    """All effects' columns, level by level: (n, levels · q)."""
    found = np.zeros((len(factor.codes), factor.n_levels, factor.q))
    found[np.arange(len(factor.codes)), factor.codes] = factor.Z
    return found.reshape(len(found), -1)


def _as_one_level(factor: Factor, columns: Floats) -> Factor:
    """The same independent effects as those of one level, with these columns (n, levels · q)."""
    scales = {block.effects[0]: block.scales[0] for block in factor.structured}
    blocks = tuple(
        Block("diag", (effect,), (scales[effect % factor.q],), np.zeros((0, 8)))
        for effect in range(factor.n_levels * factor.q)
    )
    codes = np.zeros(len(columns), np.int64)
    return Factor(codes, columns, 1, sd_priors=factor.sd_priors, structured=blocks)
