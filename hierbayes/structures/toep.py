"""Correlations that depend on how many times apart two effects are: Toeplitz, with a standard deviation an effect.

The partial autocorrelations w_k, of two effects k apart given those between, may be any numbers within ±1 (Barndorff-
Nielsen & Schou 1973, Journal of Multivariate Analysis 3). Each row of the Cholesky factor is the one before, rotated:
from the end, with d = 0 at first, C_ik = s_k C_{i−1,k−1} − w_k d and then d = w_k C_{i−1,k−1} + s_k d, where s_k is the
root of 1 − w_k², and C_i0 is the last d. So rows have length 1, and nothing is divided (Schur's algorithm).

Correlations of lags 1 to q − 1 have the density Π_k (1 − w_k²)^(q − 1 − k) in the partial ones, and det(R) is
Π_k (1 − w_k²)^(q − k), which gives the powers of LKJ's density.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.structures.record import (
    INSIDE,
    ROOT,
    SCORE,
    VALUE,
    Array,
    FreeCorrelations,
    Structure,
)

if TYPE_CHECKING:
    from hierbayes.priors import Prior


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """The factor, each row from the one before."""
    chol[0, 0] = 1.0
    for i in range(1, q):
        d = 0.0
        for k in range(i, 0, -1):
            w, s, before = p[VALUE, k - 1], p[ROOT, k - 1], chol[i - 1, k - 1]
            chol[i, k] = s * before - w * d
            d = w * before + s * d
        chol[i, 0] = d


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The rotations backwards, which give each d anew."""
    for i in range(q - 1, 0, -1):
        d, score = chol[i, 0], chol_score[i, 0]
        for k in range(1, i + 1):
            w, s, before = p[VALUE, k - 1], p[ROOT, k - 1], chol[i - 1, k - 1]
            d = s * d - w * chol[i, k]
            own = chol_score[i, k]
            # ds/dw = −w / s, and all times s²
            p[SCORE, k - 1] += s * (s * (score * before - own * d) - w * (own * before + score * d))
            chol_score[i - 1, k - 1] += s * own + w * score
            score = s * score - w * own


def correlation(m: Any, q: int, positions: Any, matrix: Any) -> Any:
    """R_ij from the first row's element |i − j|."""
    return matrix[..., 0, _lags(q)]


def _lags(q: int) -> Any:
    return np.abs(np.subtract.outer(range(q), range(q)))


def levinson(m: Any, partials: Any, lags: int) -> Any:
    """Autocorrelations (…, lags + 1) from partial ones (…, lags): Levinson's recursion, with NumPy or PyTensor.

    Examples
    --------
    >>> levinson(np, np.array([[0.5, 0.0, 0.0]]), 3).tolist()
    [[1.0, 0.5, 0.25, 0.125]]
    """
    found = m.ones_like(partials[..., :1])
    slopes, rest = partials[..., :0], found
    for k in range(lags):
        w = partials[..., k : k + 1]
        ahead = (slopes * found[..., :0:-1]).sum(axis=-1, keepdims=True)
        found = m.concatenate([found, ahead + w * rest], axis=-1)
        slopes = m.concatenate([slopes - w * slopes[..., ::-1], w], axis=-1)
        rest = rest * (1 - w**2)
    return found


class Lags(FreeCorrelations):
    """A correlation for each lag."""

    every_pair = False
    free = "partials"

    def pairs(self, q: int) -> list[tuple[int, int]]:
        """The first effect and each later one."""
        return [(0, lag) for lag in range(1, q)]

    def powers(self, q: int, eta: float) -> Array:
        """Those of det(R)^(eta − 1) and of the change from correlations."""
        return eta * np.arange(q - 1, 0, -1.0)

    def equal(self, q: int, value: float) -> Array:
        """Of two effects given the k − 1 between."""
        return np.array([value / (1.0 + j * value) for j in range(q - 1)])

    def partials_of(self, cor: Array) -> Array:
        """Durbin's recursion."""
        found, slopes, rest = [], np.empty((len(cor), 0)), np.ones(len(cor))
        for k in range(1, cor.shape[-1]):
            w = (cor[:, 0, k] - (slopes * cor[:, 0, k - 1 : 0 : -1]).sum(axis=1)) / rest
            w = np.clip(w, -INSIDE, INSIDE)
            slopes = np.column_stack([slopes - w[:, None] * slopes[:, ::-1], w])
            rest = rest * (1 - np.square(w))
            found.append(w)
        return np.column_stack(found)

    def from_partials(self, partials: Array, q: int) -> Array:
        """Levinson's recursion."""
        found: Array = levinson(np, partials, q - 1)[:, _lags(q)]
        return found

    def log_density(self, prior: "Prior", cor: Array) -> Array:
        """Of the correlations by lag."""
        from scipy.special import betaln

        q = cor.shape[-1]
        power, flat = self.powers(q, dict(prior.args)["eta"]), self.powers(q, 1.0)
        heights = (power - flat) * np.log1p(-np.square(self.partials_of(cor)))
        density: Array = (heights - betaln(power, power) - (2 * power - 1) * np.log(2.0)).sum(axis=1)
        return density

    def sample(self, prior: "Prior", rng: np.random.Generator, draws: int, q: int) -> Array:
        """From independent partial autocorrelations."""
        if prior.fixed is not None:
            return prior.sample(rng, (draws,), dimension=q)
        powers = self.powers(q, dict(prior.args)["eta"])
        return self.from_partials(2 * rng.beta(powers, powers, (draws, q - 1)) - 1, q)

    def graph_factor(self, pm: Any, name: str, q: int, eta: float) -> Any:
        """From independent partial autocorrelations, (1 + w) / 2 being a Beta's."""
        import pytensor.tensor as pt

        powers = self.powers(q, eta)
        halves = pm.Beta(name, powers, powers, shape=q - 1)
        return pt.linalg.cholesky(levinson(pt, 2 * halves - 1, q - 1)[_lags(q)], lower=True)


STRUCTURE = Structure(
    "toep",
    words="a correlation for each lag",
    equation="cor[{group}], by lag",
    root=root,
    reverse=reverse,
    correlation=correlation,
    matrix=Lags(),
    positions="equal",
    place=7,
)
