"""What is known of a Gaussian process's covariance: its spectral density, by which a basis of sines stands for it.

A process with standard deviation sdgp and length scale l is about Σ_j √S(ω_j) φ_j(x) z_j, with independent standard
normal z_j, fixed functions φ_j of frequencies ω_j, and the spectral density S (Solin & Särkkä 2020, Statistics and
Computing 30; Riutort-Mayol, Bürkner, Andersen, Solin & Vehtari 2023, Statistics and Computing 33, which has the
densities in section 2.1 and the rules for `fewest` and `widest` in section 4.2). Their roots are, to the engines, the
Cholesky factor of the effects of one level, diagonal, that is multiplied by sdgp.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gamma, log, pi
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import Deferred, deferred
from hierbayes.structures.record import SCORE, VALUE

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The covariance of an isotropic Gaussian process.

    Attributes
    ----------
    name : str
        What ``cov=`` calls it.
    words : str
    equation : str
        Correlation at distance r, l being the length scale.
    root, reverse : Deferred
        As in `hierbayes.structures.Structure`: p has a column for the length scale and then the `constants`; the
        factor is diagonal, of √S at sdgp = 1.
    log_density : callable
        ``log_density(m, lscale, squares, d)``: log S at squared frequencies in d dimensions, sdgp = 1, with `m` NumPy
        or PyTensor's tensor module.
    constants : callable
        Squared frequencies (k,) and the number of dimensions → what the root is given beside the length scale.
    correlation : callable
        Of r / l, an array.
    fewest : float
        Functions a dimension that it takes, over half the box's width in length scales.
    widest : float
        Length scales that half the box's width must hold.
    """

    name: str
    words: str
    equation: str
    root: Deferred
    reverse: Deferred
    log_density: Callable[..., Any]
    constants: Callable[[Array, int], Array]
    correlation: Callable[[Array], Array]
    fewest: float
    widest: float


def _head(nu: float, d: int) -> list[float]:
    constant = log(2.0**d * pi ** (d / 2) * gamma(nu + d / 2) / gamma(nu) * (2 * nu) ** nu) if nu > 0 else 0.0
    return [float(d), nu, constant, 2 * nu]


# -- exponentiated quadratic: S = (√2π l)^d exp(−l²ω²/2) -----------------------------------------------------------


@deferred
def smooth_root(q: int, p: Any, chol: Any) -> None:
    """The roots of the spectral density."""
    scale, d = p[VALUE, 0], p[VALUE, 1]
    front = 0.5 * d * np.log(np.sqrt(2.0 * np.pi) * scale)
    for i in range(q):
        for j in range(i):
            chol[i, j] = 0.0
        chol[i, i] = np.exp(front - 0.25 * scale * scale * p[VALUE, 5 + i])


@deferred
def smooth_reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The score of log l."""
    scale, d, total = p[VALUE, 0], p[VALUE, 1], 0.0
    for i in range(q):
        total += chol_score[i, i] * chol[i, i] * 0.5 * (d - scale * scale * p[VALUE, 5 + i])
    p[SCORE, 0] += total


def smooth_log_density(m: Any, lscale: Any, squares: Any, d: int) -> Any:
    """Log S."""
    return d * (0.5 * log(2 * pi) + m.log(lscale)) - 0.5 * lscale**2 * squares


# -- Matérn of order ν: S = K l^d (2ν + l²ω²)^−(ν + d/2) ------------------------------------------------------------


@deferred
def rough_root(q: int, p: Any, chol: Any) -> None:
    """The roots of the spectral density."""
    scale, d, nu, constant, twice = p[VALUE, 0], p[VALUE, 1], p[VALUE, 2], p[VALUE, 3], p[VALUE, 4]
    front = 0.5 * (constant + d * np.log(scale))
    for i in range(q):
        for j in range(i):
            chol[i, j] = 0.0
        within = twice + scale * scale * p[VALUE, 5 + i]
        chol[i, i] = np.exp(front - 0.5 * (nu + 0.5 * d) * np.log(within))


@deferred
def rough_reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The score of log l."""
    scale, d, nu, twice, total = p[VALUE, 0], p[VALUE, 1], p[VALUE, 2], p[VALUE, 4], 0.0
    for i in range(q):
        squared = scale * scale * p[VALUE, 5 + i]
        slope = d - (2.0 * nu + d) * squared / (twice + squared)
        total += chol_score[i, i] * chol[i, i] * 0.5 * slope
    p[SCORE, 0] += total


def _matern(
    name: str, words: str, equation: str, nu: float, correlation: Any, fewest: float, widest: float
) -> Spectrum:
    def log_density(m: Any, lscale: Any, squares: Any, d: int) -> Any:
        return _head(nu, d)[2] + d * m.log(lscale) - (nu + d / 2) * m.log(2 * nu + lscale**2 * squares)

    def constants(squares: Array, d: int) -> Array:
        return np.concatenate([_head(nu, d), squares])

    return Spectrum(
        name,
        words,
        equation,
        rough_root,
        rough_reverse,
        log_density,
        constants,
        correlation,
        fewest,
        widest,
    )


SPECTRA: Mapping[str, Spectrum] = MappingProxyType(
    {
        spectrum.name: spectrum
        for spectrum in (
            Spectrum(
                "exp_quad",
                "smooth without bound",
                "exp(−r² / 2l²)",
                smooth_root,
                smooth_reverse,
                smooth_log_density,
                lambda squares, d: np.concatenate([_head(0.0, d), squares]),
                lambda r: np.exp(-0.5 * r**2),
                fewest=1.75,
                widest=3.2,
            ),
            _matern(
                "matern32",
                "with a slope everywhere",
                "(1 + √3 r/l) exp(−√3 r/l)",
                1.5,
                lambda r: (1 + np.sqrt(3.0) * r) * np.exp(-np.sqrt(3.0) * r),
                fewest=3.42,
                widest=4.5,
            ),
            _matern(
                "matern52",
                "with a curvature everywhere",
                "(1 + √5 r/l + 5r²/3l²) exp(−√5 r/l)",
                2.5,
                lambda r: (1 + np.sqrt(5.0) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5.0) * r),
                fewest=2.65,
                widest=4.1,
            ),
        )
    }
)
