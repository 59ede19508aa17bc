"""Any correlations: unstructured, ``(x | g)``.

Row i of the Cholesky factor: C_ij = z_ij Π_{l<j} sqrt(1 − z_il²), with canonical partial correlations z. All Jacobians
and the LKJ density together leave (1 − z_ij²) to the power eta + (q − 2 − j) / 2 (Lewandowski, Kurowicka & Joe 2009,
Journal of Multivariate Analysis 100, section 2.4).
"""

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from hierbayes.compiling import deferred
from hierbayes.structures.record import INSIDE, ROOT, SCORE, VALUE, Array, FreeCorrelations, Structure

if TYPE_CHECKING:
    from hierbayes.priors import Prior


@deferred
def root(q: int, p: Any, chol: Any) -> None:
    """The factor from the partial correlations, row by row of its lower triangle."""
    t = 0
    for i in range(q):
        rest = 1.0
        for j in range(i):
            chol[i, j] = p[VALUE, t] * rest
            rest *= p[ROOT, t]
            t += 1
        chol[i, i] = rest


@deferred
def reverse(q: int, p: Any, chol: Any, chol_score: Any) -> None:
    """The reverse sweep of `root`."""
    t = 0
    for i in range(q):
        rest_score = chol_score[i, i]
        for j in range(i - 1, -1, -1):
            z, own = p[VALUE, t + j], p[ROOT, t + j]
            rest = 1.0  # Π_{l<j} of the roots, anew: dividing it out would fail at z = ±1
            for before in range(j):
                rest *= p[ROOT, t + before]
            score = chol_score[i, j]
            p[SCORE, t + j] += rest * own * (score * own - rest_score * z)
            rest_score = score * z + rest_score * own
        t += i


def correlation(m: Any, q: int, positions: Any, matrix: Any) -> Any:
    """The matrix itself."""
    return matrix


class AllPairs(FreeCorrelations):
    """A correlation for each pair of effects."""

    every_pair = True
    free = "chol"

    def pairs(self, q: int) -> list[tuple[int, int]]:
        """All pairs."""
        return list(combinations(range(q), 2))

    def powers(self, q: int, eta: float) -> Array:
        """Row by row of the lower triangle."""
        return np.array([eta + 0.5 * (q - 2 - j) for i in range(q) for j in range(i)])

    def equal(self, q: int, value: float) -> Array:
        """Of two effects given j others."""
        return np.array([value / (1.0 + j * value) for i in range(q) for j in range(i)])

    def partials_of(self, cor: Array) -> Array:
        """Correlations of effects i and k < i given those before k, row by row."""
        q = cor.shape[-1]
        root, found = np.zeros_like(cor), []
        root[:, 0, 0] = 1.0
        for i in range(1, q):
            left = np.ones(len(cor))
            for k in range(i):
                rest = cor[:, i, k] - (root[:, i, :k] * root[:, k, :k]).sum(axis=1)
                w = np.clip(rest / (root[:, k, k] * np.sqrt(left)), -INSIDE, INSIDE)
                root[:, i, k] = w * np.sqrt(left)
                left = left * (1 - np.square(w))
                found.append(w)
            root[:, i, i] = np.sqrt(left)
        return np.column_stack(found)

    def from_partials(self, partials: Array, q: int) -> Array:
        """The factor row by row, and its square."""
        root = np.zeros((len(partials), q, q))
        root[:, 0, 0] = 1.0
        for (i, k), w in zip(zip(*np.tril_indices(q, -1), strict=True), partials.T, strict=True):
            if k == 0:
                left = np.ones(len(partials))
            root[:, i, k] = w * np.sqrt(left)
            left = left * (1 - np.square(w))
            root[:, i, k + 1] = np.sqrt(left)  # the diagonal's, once k is the last
        cor = root @ np.swapaxes(root, 1, 2)
        cor[:, range(q), range(q)] = 1.0
        return cor

    def log_density(self, prior: "Prior", cor: Array) -> Array:
        """LKJ's."""
        return prior.logpdf(cor)

    def sample(self, prior: "Prior", rng: np.random.Generator, draws: int, q: int) -> Array:
        """LKJ's."""
        return prior.sample(rng, (draws,), dimension=q)

    def graph_factor(self, pm: Any, name: str, q: int, eta: float) -> Any:
        """PyMC's own LKJ."""
        return pm.LKJCorr(name, n=q, eta=np.float64(eta))


STRUCTURE = Structure(
    "us",
    words="correlated",
    equation="cor[{group}]",
    root=root,
    reverse=reverse,
    correlation=correlation,
    matrix=AllPairs(),
    place=0,
)
