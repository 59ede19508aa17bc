"""Residuals that are correlated across responses: y = mu + sigma L z in each row, L L' their correlations.

z is a vector of independent standard normal variables, or one of Student's t: normal over one √(χ²/ν) for all responses
of a row (brms's ``set_rescor`` of families gaussian and student).

L comes from partial correlations w_kj of responses k and j given those before j: L_kj = w_kj Π √(1 − w_ki²), i < j.
Under an LKJ prior they are independent (Lewandowski, Kurowicka & Joe 2009, Journal of Multivariate Analysis 100,
section 2); in the engine each is 2p − 1 of a number p with a Beta distribution.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.distributions import equal_correlations
from hierbayes.families.record import Correlated
from hierbayes.kinds import ListRow
from hierbayes.priors import Prior
from hierbayes.special import LOG_ROOT_2PI, lgamma_rise, log1p_wide

Array = NDArray[np.float64]


@row_function
def remainder(t: Array, at: int, partials: int, j: int) -> float:
    """Return Π √(1 − w_ki²), i < j, of the partial correlations of one response that begin at a place."""
    found = 1.0
    for i in range(j):
        p = t[partials + i, at]
        found *= 2.0 * np.sqrt(p * (1.0 - p))
    return found


@row_function
def responses_of(coordinates: int) -> int:
    """Return K of 2K + K (K − 1) / 2 coordinates."""
    return int((np.sqrt(9.0 + 8.0 * coordinates) - 3.0) / 2.0 + 0.5)


@row_function
def decorrelate(size: int, inner: ListRow, scores: ListRow) -> tuple[float, float]:
    """Return |v|² of v = L⁻¹ z, and −log det of sigma L; put v where the scores of mu will be.

    The coordinates are mu_k − y_k and log sigma_k of each response, and then each partial correlation's p, row by row
    of L.
    """
    t, at, first, out = inner.values, inner.at, inner.first, scores.first
    found = scores.values
    square, volume, log_sigmas = 0.0, 1.0, 0.0
    for k in range(size):
        log_sigma, partials = t[first + 2 * k + 1, at], first + 2 * size + k * (k - 1) // 2
        left, rest = -t[first + 2 * k, at] * np.exp(-log_sigma), 1.0
        for j in range(k):
            p = t[partials + j, at]
            left -= (2.0 * p - 1.0) * rest * found[out + 2 * j, at]
            rest *= 2.0 * np.sqrt(p * (1.0 - p))
        v = left / rest
        found[out + 2 * k, at] = v
        volume *= rest
        square += v * v
        log_sigmas += log_sigma
    return square, -log_sigmas - np.log(volume)


@row_function
def set_scores(size: int, weight: float, inner: ListRow, scores: ListRow) -> None:
    """Set the scores of all coordinates from v, where the log density falls by `weight` times half of |v|²."""
    t, at, first, out = inner.values, inner.at, inner.first, scores.first
    found = scores.values  # v where the score of mu will be, g = weight L⁻ᵀ v where that of sigma will be
    for back in range(size):
        k = size - 1 - back
        left = weight * found[out + 2 * k, at]
        for m in range(k + 1, size):
            partials = first + 2 * size + m * (m - 1) // 2
            w, rest = 2.0 * t[partials + k, at] - 1.0, remainder(t, at, partials, k)
            left -= w * rest * found[out + 2 * m + 1, at]
        partials = first + 2 * size + k * (k - 1) // 2
        found[out + 2 * k + 1, at] = left / remainder(t, at, partials, k)
    for k in range(size):
        g, rest = found[out + 2 * k + 1, at], 1.0
        left = -t[first + 2 * k, at] * np.exp(-t[first + 2 * k + 1, at])
        for j in range(k):
            place = 2 * size + k * (k - 1) // 2 + j
            p, v = t[first + place, at], found[out + 2 * j, at]
            w, square = 2.0 * p - 1.0, 4.0 * p * (1.0 - p)
            left -= w * rest * v
            found[out + place, at] = 2.0 * (rest * g * v - w * (g * left - 1.0) / square)
            rest *= np.sqrt(square)
    for k in range(size):
        g, scale = found[out + 2 * k + 1, at], np.exp(-t[first + 2 * k + 1, at])
        found[out + 2 * k + 1, at] = -g * t[first + 2 * k, at] * scale - 1.0
        found[out + 2 * k, at] = g * scale


@row_function
def normal_row(y: float, inner: ListRow, scores: ListRow) -> float:
    """Return the log density of one row of K responses, but for its constant; set its scores.

    `y` itself is not looked at: see `decorrelate` for the coordinates.
    """
    size = responses_of(inner.size)
    square, sizes = decorrelate(size, inner, scores)
    set_scores(size, 1.0, inner, scores)
    return sizes - 0.5 * square


@row_function
def t_row(y: float, inner: ListRow, scores: ListRow) -> float:
    """Return the same of Student's t; the last coordinate is log nu."""
    size = responses_of(inner.size - 1)
    last = inner.size - 1
    log_nu = inner.values[inner.first + last, inner.at]
    nu = np.exp(log_nu)
    square, sizes = decorrelate(size, inner, scores)
    weight = (nu + size) / (nu + square)
    set_scores(size, weight, inner, scores)
    rise, slope = lgamma_rise(0.5 * nu, 0.5 * size)
    rest = log1p_wide(square / nu)
    scores.values[scores.first + last, scores.at] = 0.5 * (nu * (slope - rest) - size + weight * square)
    return sizes + rise - 0.5 * size * log_nu - 0.5 * (nu + size) * rest


def _t_log_density(square: Array, size: int, nu: Array) -> Array:
    half = 0.5 * (nu + size)
    constant = special.gammaln(half) - special.gammaln(0.5 * nu) - 0.5 * size * np.log(nu * np.pi)
    found: Array = constant - half * np.log1p(square / nu)
    return found


def _t_graph(pm: Any, size: int, chol: Any, nu: Any) -> Any:
    return pm.MvStudentT.dist(nu=nu, mu=np.zeros(size), chol=chol)


NORMAL = Correlated(
    "normal",
    normal_row,
    log_density=lambda square, size: -0.5 * square - size * LOG_ROOT_2PI,
    stretch=lambda rng: 1.0,
    graph=lambda pm, size, chol: pm.MvNormal.dist(mu=np.zeros(size), chol=chol),
)
T = Correlated(
    "t",
    t_row,
    shared=("nu",),
    log_density=_t_log_density,
    stretch=lambda rng, nu: np.sqrt(nu / rng.chisquare(nu)),
    graph=_t_graph,
)


def roots(p: Array) -> Array:
    """Cholesky factors (…, K, K) of the correlations that have these partial ones, 2p − 1: (…, K (K − 1) / 2).

    Examples
    --------
    >>> root = roots(np.array([0.9]))
    >>> (root @ root.T).round(12).tolist()
    [[1.0, 0.8], [0.8, 1.0]]
    """
    size = round((1 + np.sqrt(1 + 8 * p.shape[-1])) / 2)
    found = np.zeros((*p.shape[:-1], size, size))
    found[..., 0, 0] = 1.0
    for k in range(1, size):
        w = 2 * p[..., k * (k - 1) // 2 : k * (k + 1) // 2] - 1
        rest = np.cumprod(np.sqrt(1 - w**2), axis=-1)
        found[..., k, 0] = w[..., 0]
        found[..., k, 1:k] = w[..., 1:] * rest[..., :-1]
        found[..., k, k] = rest[..., -1]
    return found


def log_densities(
    correlated: Correlated, residuals: Array, scales: Array, root: Array, *shared: Array
) -> Array:
    """Log density of the responses of rows whose residuals are correlated: (S, n).

    Parameters
    ----------
    correlated : Correlated
    residuals, scales : ndarray (S, n, K)
        Responses less their means, and their scales.
    root : ndarray (S, K, K)
        Cholesky factors of the correlations.
    *shared : ndarray (S,)
        The parameters that all responses share.

    Examples
    --------
    >>> from scipy import stats
    >>> correlations = np.array([[1.0, 0.6], [0.6, 1.0]])
    >>> root = np.linalg.cholesky(correlations)[None]
    >>> found = log_densities(NORMAL, np.array([[[0.3, -1.0]]]), np.ones((1, 1, 2)), root)
    >>> bool(np.isclose(found[0, 0], stats.multivariate_normal.logpdf([0.3, -1.0], cov=correlations)))
    True
    """
    z = np.swapaxes(residuals / scales, -1, -2)
    independent = np.linalg.solve(root, z)
    sizes = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)[:, None] + np.log(scales).sum(axis=-1)
    square = np.square(independent).sum(axis=-2)
    found: Array = correlated.log_density(square, root.shape[-1], *(one[:, None] for one in shared)) - sizes
    return found


def partial_priors(prior: Prior, size: int) -> list[Prior]:
    """The prior of each p, of the prior of all correlations of so many responses: LKJ, or one known value.

    Examples
    --------
    >>> [str(own) for own in partial_priors(Prior("LKJ", eta=1.0), 3)]
    ['Beta(alpha=1.5, beta=1.5)', 'Beta(alpha=1.5, beta=1.5)', 'Beta(alpha=1, beta=1)']
    """
    places = [(k, j) for k in range(1, size) for j in range(k)]
    if prior.fixed is None:
        shapes = [dict(prior.args)["eta"] + (size - 2 - j) / 2 for _, j in places]
        return [Prior("Beta", alpha=shape, beta=shape) for shape in shapes]
    root = np.linalg.cholesky(equal_correlations(prior.fixed, size))
    partials = [root[k, j] / np.sqrt(1 - np.sum(root[k, :j] ** 2)) for k, j in places]
    return [Prior("Fixed", value=float((1 + w) / 2)) for w in partials]
