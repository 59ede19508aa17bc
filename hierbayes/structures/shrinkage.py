"""Joint priors of coefficients: how a few numbers, and one for each of them, decide how far each may be from 0.

Given those numbers the coefficients are independent, b_j ~ Normal(0, s_j); a standard deviation of group effects, or of
a smooth, that the prior is of too is itself one of the s_j. What differs between the priors is how the s_j come of
the numbers. With σ, the standard deviation of the residuals where there is one and the
prior is asked to follow it, else 1:

- Horseshoe: s_j = 1 / √(1 / (σ τ λ_j)² + 1 / c²) with τ = hs_global, λ_j = hs_local, c² = scale_slab² · hs_slab: near 0
  for most, and at most about c for a few (Piironen & Vehtari 2017, Electronic Journal of Statistics 11, section 2.3).
- R2D2: s_j = σ √(φ_j R² / (1 − R²)) with R² = R2D2_R2, shares φ_j = R2D2_phi (Zhang, Naughton, Bondell & Reich 2022,
  Journal of the American Statistical Association 117, section 2); with standard deviations of group effects among the
  s_j it is R2D2M2 (Aguilar & Bürkner 2023, Electronic Journal of Statistics 17, section 2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from hierbayes.compiling import Deferred, deferred
from hierbayes.structures.record import ABOVE, BELOW, SCORE, VALUE, identity_root, no_reverse


@dataclass(frozen=True)
class ShrinkageParameter:
    """One number of a joint prior, or one for each thing that it is of.

    Attributes
    ----------
    name : str
        What it is called in the posterior: brms's name.
    words : str
    support : str
        ``"positive"``, ``"unit"`` or, of shares, ``"simplex"``.
    each : bool
        Whether there is one for each coefficient and standard deviation.
    prior : callable
        Arguments of the joint prior → its own prior: a distribution and arguments.
    """

    name: str
    words: str
    support: str
    each: bool
    prior: Callable[[Mapping[str, float]], tuple[str, dict[str, float]]]


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """A joint prior of coefficients and standard deviations.

    Attributes
    ----------
    name : str
        That of its `hierbayes.distributions.Distribution`, which says what arguments it takes.
    parameters : tuple of ShrinkageParameter
    sds : callable
        ``sds(m, arguments, sigma, *parameters)``: the standard deviations s_j (…, p), with `m` NumPy or PyTensor's
        tensor module. What is one number has an axis of length 1 behind its own; so has `sigma`, or it is 1.
    equation : str
        The same in a model's equations.
    root, reverse : Deferred
        As in `hierbayes.structures.Structure`, of a diagonal factor: p has columns for σ and the parameters in their
        order, shares by the parts of what is left that are broken off one after another (p − 1 of them), and last for
        what `constant` makes of the arguments.
    constant : callable
    """

    name: str
    parameters: tuple[ShrinkageParameter, ...]
    sds: Callable[..., Any]
    equation: str
    root: Deferred
    reverse: Deferred
    constant: Callable[[Mapping[str, float]], float] = lambda arguments: 1.0


# of no coefficients
INDEPENDENT = Shrinkage("", (), lambda m, arguments, sigma: m.zeros((0,)), "", identity_root, no_reverse)


@deferred
def horseshoe_root(q: int, p: Any, chol: Any) -> None:
    """The standard deviations, from σ, τ, slab, λ_1, …, λ_q and scale_slab²."""
    tau, widest = p[VALUE, 0] * p[VALUE, 1], p[VALUE, 3 + q] * p[VALUE, 2]
    for i in range(q):
        for j in range(i):
            chol[i, j] = 0.0
        own = tau * p[VALUE, 3 + i]
        chol[i, i] = 1.0 / np.sqrt(1.0 / (own * own) + 1.0 / widest)


@deferred
def horseshoe_reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The scores of the logarithms of σ, τ, slab and each λ: what of s_j^-2 is of the narrow scale, and of the slab."""
    widest = p[VALUE, 3 + q] * p[VALUE, 2]
    for i in range(q):
        score, slab = chol_score[i, i] * chol[i, i], chol[i, i] * chol[i, i] / widest
        p[SCORE, 0] += score * (1.0 - slab)
        p[SCORE, 1] += score * (1.0 - slab)
        p[SCORE, 2] += 0.5 * score * slab
        p[SCORE, 3 + i] += score * (1.0 - slab)


@deferred
def r2d2_root(q: int, p: Any, chol: Any) -> None:
    """The standard deviations, from σ, R² and the parts of what is left of the shares."""
    size, left = p[VALUE, 0] * np.sqrt(p[BELOW, 1] / p[ABOVE, 1]), 1.0
    for i in range(q):
        for j in range(i):
            chol[i, j] = 0.0
        if i < q - 1:
            chol[i, i] = size * np.sqrt(left * p[BELOW, 2 + i])
            left *= p[ABOVE, 2 + i]
        else:
            chol[i, i] = size * np.sqrt(left)


@deferred
def r2d2_reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The scores of log σ and of the log odds of R² and of each part."""
    later = 0.0
    for i in range(q - 1, -1, -1):
        score = chol_score[i, i] * chol[i, i]
        p[SCORE, 0] += score
        p[SCORE, 1] += 0.5 * score
        if i < q - 1:
            p[SCORE, 2 + i] += 0.5 * (p[ABOVE, 2 + i] * score - p[BELOW, 2 + i] * later)
        later += score


def _horseshoe(m: Any, arguments: Mapping[str, float], sigma: Any, tau: Any, slab: Any, local: Any) -> Any:
    widest = arguments["scale_slab"] ** 2 * slab
    return 1.0 / m.sqrt((sigma * tau * local) ** -2.0 + 1.0 / widest)


def _r2d2(m: Any, arguments: Mapping[str, float], sigma: Any, r2: Any, shares: Any) -> Any:
    return sigma * m.sqrt(shares * (r2 / (1.0 - r2)))


SHRINKAGES: Mapping[str, Shrinkage] = MappingProxyType(
    {
        shrinkage.name: shrinkage
        for shrinkage in (
            Shrinkage(
                "Horseshoe",
                (
                    ShrinkageParameter(
                        "hs_global",
                        "the scale of all, in standard deviations of the residuals where it follows those",
                        "positive",
                        False,
                        lambda a: ("HalfStudentT", {"nu": a["df_global"], "sigma": a["scale_global"]}),
                    ),
                    ShrinkageParameter(
                        "hs_slab",
                        "the square of the widest scale, in units of scale_slab²",
                        "positive",
                        False,
                        lambda a: ("InverseGamma", {"alpha": 0.5 * a["df_slab"], "beta": 0.5 * a["df_slab"]}),
                    ),
                    ShrinkageParameter(
                        "hs_local",
                        "each one's own scale",
                        "positive",
                        True,
                        lambda a: ("HalfStudentT", {"nu": a["df"], "sigma": 1.0}),
                    ),
                ),
                _horseshoe,
                "1/√(1/({scale}{prefix}hs_global·{prefix}hs_local_j)² + 1/({scale_slab:g}²·{prefix}hs_slab))",
                horseshoe_root,
                horseshoe_reverse,
                lambda a: a["scale_slab"] ** 2,
            ),
            Shrinkage(
                "R2D2",
                (
                    ShrinkageParameter(
                        "R2D2_R2",
                        "the share of the variance that all of them explain, of columns with an sd of 1",
                        "unit",
                        False,
                        lambda a: (
                            "Beta",
                            {
                                "alpha": a["mean_R2"] * a["prec_R2"],
                                "beta": (1.0 - a["mean_R2"]) * a["prec_R2"],
                            },
                        ),
                    ),
                    ShrinkageParameter(
                        "R2D2_phi",
                        "each one's share in that",
                        "simplex",
                        True,
                        lambda a: ("Dirichlet", {"a": a["cons_D2"]}),
                    ),
                ),
                _r2d2,
                "{scale}√({prefix}R2D2_phi_j·{prefix}R2D2_R2/(1 − {prefix}R2D2_R2))",
                r2d2_root,
                r2d2_reverse,
            ),
        )
    }
)
