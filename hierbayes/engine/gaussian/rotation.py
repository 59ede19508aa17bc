"""One known covariance between levels and nothing else: rows rotated once, after which levels are independent.

With y = X b + B v + e, v ~ N(0, σ_v² I) and B = U S V', the rotated rows U'y = U'X b + S w + U'e have one effect each,
those of w = V'v are independent as v's are, and U'e is distributed as e (Lippert et al. 2011, Nature Methods 8(10)). So
a density costs as much as the rows, where v integrated out of the rows as they are costs the cube of its length.
"""

from dataclasses import dataclass, replace

import numpy as np

from hierbayes.engine.core.problem import Block, Factor, Floats
from hierbayes.engine.gaussian.collapsed import Draws
from hierbayes.engine.gaussian.problem import GaussianProblem


@dataclass(frozen=True, eq=False)
class Rotated:
    """A rotated problem, and the way back.

    Attributes
    ----------
    problem : GaussianProblem
        With a factor of q levels in place of one level with q effects.
    back : array, (q, q)
        V'.
    fitted : array, (p,)
        Coefficients by least squares: the rotated problem's are deviations from them, so that no digits are lost.
    """

    problem: GaussianProblem
    back: Floats
    fitted: Floats

    def unrotated(self, drawn: Draws) -> Draws:
        """Return draws with the coefficients and the effects (…, 1, q) of the problem as it was."""
        effects = tuple((r[..., 0] @ self.back)[..., None, :] for r in drawn.r)
        return replace(drawn, b=drawn.b + self.fitted, r=effects)


def can_rotate(problem: GaussianProblem) -> bool:
    """Return whether all group effects are those of one level, independent, with one standard deviation."""
    if len(problem.factors) != 1 or problem.weights is not None:
        return False
    (factor,) = problem.factors
    return factor.n_levels == 1 and len(factor.sd_priors) == 1 and all(len(b) == 1 for b in factor.blocks)


def rotate(problem: GaussianProblem) -> Rotated:
    """Return a problem whose `can_rotate` is true with its rows rotated; as many, the last ones perhaps 0."""
    (factor,) = problem.factors
    n, q = factor.Z.shape
    y = problem.y if problem.offset is None else problem.y - problem.offset
    fitted = np.linalg.lstsq(problem.X, y)[0]
    rows = np.column_stack([y - problem.X @ fitted, problem.X])
    few = n <= q + rows.shape[1]  # rows beside those that the effects reach: too few to be put together
    left, singular, back = np.linalg.svd(factor.Z, full_matrices=few)
    rotated, z, reached = np.zeros(rows.shape), np.zeros((n, 1)), left.shape[1]
    rotated[:reached] = left.T @ rows
    z[: len(singular), 0] = singular
    if not few:  # of the others only their products count
        rest = np.linalg.qr(rows - left @ rotated[:reached], mode="r")
        rotated[reached : reached + len(rest)] = rest
    levels = Factor(
        codes=np.minimum(np.arange(n), q - 1),
        Z=z,
        n_levels=q,
        sd_priors=factor.sd_priors,
        structured=(Block("diag", (0,), (0,), np.zeros((0, 8))),),
    )
    turned = replace(
        problem,
        y=rotated[:, 0],
        X=rotated[:, 1:],
        factors=(levels,),
        prior_mean=problem.prior_mean - fitted,
        offset=None,
    )
    return Rotated(turned, back, fitted)
