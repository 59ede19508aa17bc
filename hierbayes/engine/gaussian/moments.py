"""Cross-products of a Gaussian problem: all that its likelihood needs, additive over rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hierbayes.engine.core.loops import add_gram, compiled
from hierbayes.engine.core.problem import Factor, Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.gaussian.problem import GaussianProblem

CHUNK = 8192  # rows; a chunk's dense columns stay in the second-level cache
# of the response's sum of squares about its mean: what the prior weighs beside the rows in their reference
PRIOR_SHARE = 1e-16


@dataclass(frozen=True)
class Reference:
    """The fixed point that moments are taken about.

    ``y - offset - (X - centre) @ b`` replaces the response. Any values give the same posterior; values near
    the fit keep sums of squares small, so that nothing cancels (docs/engine.md, section 1).
    """

    centre: Floats  # (p,)
    b: Floats  # (p,)

    def same_as(self, other: "Reference") -> bool:
        """Whether moments about both may be added."""
        return np.array_equal(self.centre, other.centre) and np.array_equal(self.b, other.b)


@dataclass(frozen=True)
class Pairs:
    """Cross-products of two factors' effects, for the pairs of levels that share a row."""

    keys: Ints  # (pairs,) ascending: level of the first × n_levels of the second + level of the second
    values: Floats  # (pairs, q_first, q_second)

    def __add__(self, other: "Pairs") -> "Pairs":
        keys, index = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        values = np.zeros((keys.size, *self.values.shape[1:]))
        values[index[: self.keys.size]] = self.values
        values[index[self.keys.size :]] += other.values
        return Pairs(keys, values)


@dataclass(frozen=True)
class Moments:
    """Weighted cross-products; ``+`` joins the moments of two sets of rows.

    Parameters
    ----------
    reference : Reference
        What they were taken about; the same for every summand.
    n : float
        Sum of the weights.
    dense : array, shape (p + 1, p + 1)
        ``A'A`` of ``A = [X - centre, y - offset - (X - centre) b]``.
    within : tuple of arrays, shape (n_levels, q, q)
        ``Z_g'Z_g`` of each factor.
    with_dense : tuple of arrays, shape (n_levels, q, p + 1)
        ``Z_g'A`` of each factor.
    pairs : tuple of Pairs
        Of factors (0, 1), (0, 2), …, (1, 2), …
    """

    reference: Reference
    n: float
    dense: Floats
    within: tuple[Floats, ...]
    with_dense: tuple[Floats, ...]
    pairs: tuple[Pairs, ...]

    def __add__(self, other: "Moments") -> "Moments":
        if not self.reference.same_as(other.reference):
            raise ValueError("moments taken about different references do not add")
        return Moments(
            self.reference,
            self.n + other.n,
            self.dense + other.dense,
            tuple(a + b for a, b in zip(self.within, other.within, strict=True)),
            tuple(a + b for a, b in zip(self.with_dense, other.with_dense, strict=True)),
            tuple(a + b for a, b in zip(self.pairs, other.pairs, strict=True)),
        )

    def about(
        self, b: Floats, columns: Floats | None = None, effects: tuple[Floats, ...] | None = None
    ) -> "Moments":
        """Return the moments of the same rows about other coefficients b; these should lie near, or digits are lost.

        The dense columns become ``X T`` with T (p, p) of ``columns``, those of each factor's effects ``Z U`` with its
        matrix U (q, q) of ``effects``; b is of ``X T``.
        """
        effects = tuple(np.eye(ZZ.shape[1]) for ZZ in self.within) if effects is None else effects
        p = b.size
        change = np.eye(p + 1)
        if columns is not None:
            change[:p, :p] = columns
        change[:p, p] = self.reference.b - change[:p, :p] @ b
        dense = change.T @ self.dense @ change
        pairs = [
            Pairs(both.keys, first.T @ both.values @ second)
            for both, (first, second) in zip(self.pairs, combinations(effects, 2), strict=True)
        ]
        return Moments(
            Reference(self.reference.centre, b),
            self.n,
            0.5 * (dense + dense.T),
            tuple(U.T @ ZZ @ U for ZZ, U in zip(self.within, effects, strict=True)),
            tuple(U.T @ ZA @ change for ZA, U in zip(self.with_dense, effects, strict=True)),
            tuple(pairs),
        )

    def pair(self, first: int, second: int) -> tuple[Ints, Ints, Floats]:
        """Return levels of ``first``, levels of ``second`` and ``Z_first'Z_second`` of each pair met."""
        low, high = sorted((first, second))
        order = list(combinations(range(len(self.within)), 2))
        pairs = self.pairs[order.index((low, high))]
        low_level, high_level = np.divmod(pairs.keys, len(self.within[high]))
        if first == low:
            return low_level, high_level, pairs.values
        return high_level, low_level, pairs.values.transpose(0, 2, 1)


def reference(problem: GaussianProblem) -> Reference:
    """Return the point to take moments about: the least-squares fit without the grouping factors.

    It need not be accurate. Directions of X that the rows hardly determine keep the coefficient 0, and a column that is
    rounding alone that of its prior.
    """
    p = problem.X.shape[1]
    gram = np.zeros((p + 1, p + 1))
    for _, A, _ in _chunks(problem, Reference(problem.centre, np.zeros(p))):
        run(add_gram, A, p + 1, gram)
    gram = _symmetric(gram)
    y = problem.y if problem.offset is None else problem.y - problem.offset
    ridge = PRIOR_SHARE * y.size * np.var(y) * problem.prior_precision
    gram[range(p), range(p)] += ridge
    gram[:p, p] += ridge * problem.prior_mean
    return Reference(problem.centre, least_squares(gram))


def least_squares(gram: Floats) -> Floats:
    """Return the coefficients (p,) of least squares from ``[X y]'[X y]``; those hardly determined stay 0."""
    p = len(gram) - 1
    scale = np.sqrt(np.diag(gram)[:p])
    scale[scale == 0] = 1.0
    values, vectors = np.linalg.eigh(gram[:p, :p] / np.outer(scale, scale))
    kept = values > 1e-8 * max(values.max(initial=0.0), 1e-300)
    inverse = np.divide(1.0, values, where=kept, out=np.zeros(p))
    return vectors @ (inverse * (vectors.T @ (gram[:p, p] / scale))) / scale


def moments(problem: GaussianProblem, about: Reference | None = None) -> Moments:
    """Return the cross-products of all rows, in one pass.

    Parameters
    ----------
    problem : GaussianProblem
    about : Reference, optional
        For rows that are one part of many: the reference that all parts share. Default: `reference`.

    Examples
    --------
    >>> exponential = (0, 1.0, 0, 0)
    >>> ones = np.ones((4, 1))
    >>> group = Factor([0, 0, 1, 1], ones, 2, blocks=((0,),), sd_priors=[exponential], eta=(1.0,))
    >>> problem = GaussianProblem([1.0, 2.0, 4.0, 5.0], ones, [group], [3.0], [0.1], exponential, [0.0], 0)
    >>> about = reference(problem)
    >>> joined = moments(problem.rows(slice(0, 3)), about) + moments(problem.rows(slice(3, 4)), about)
    >>> joined.n, float(joined.dense[1, 1])  # the rows, and the sum of squares about the mean
    (4.0, 10.0)
    """
    about = reference(problem) if about is None else about
    p = problem.X.shape[1]
    n = 0.0
    dense = np.zeros((p + 1, p + 1))
    within = tuple(np.zeros((f.n_levels, f.q, f.q)) for f in problem.factors)
    with_dense = tuple(np.zeros((f.n_levels, f.q, p + 1)) for f in problem.factors)
    for rows, A, root in _chunks(problem, about):
        n += float(root @ root)
        run(add_gram, A, p + 1, dense)
        by_row = np.ascontiguousarray(A.T)
        for f, ZZ, ZA in zip(problem.factors, within, with_dense, strict=True):
            run(_add_level_products, f.codes[rows], f.Z[rows], by_row, root, ZZ, ZA)
    pairs = tuple(
        _pairs(first, second, problem.weights) for first, second in combinations(problem.factors, 2)
    )
    return Moments(about, n, _symmetric(dense), within, with_dense, pairs)


def _chunks(problem: GaussianProblem, about: Reference) -> Iterator[tuple[slice, Floats, Floats]]:
    """Yield rows, their dense columns and y (p + 1, rows) about a reference, and the weights' square roots.

    Rows are multiplied by the root of their weight, so that all products of theirs are weighted. No BLAS:
    its threads wait for each other on a busy machine, and these products are narrow.
    """
    n, p = problem.X.shape
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        A = np.empty((p + 1, rows.stop - start))
        np.subtract(problem.X[rows].T, about.centre[:, None], out=A[:p])
        A[p] = problem.y[rows]
        if problem.offset is not None:
            A[p] -= problem.offset[rows]
        for j in range(p):
            A[p] -= about.b[j] * A[j]
        root = np.ones(A.shape[1]) if problem.weights is None else np.sqrt(problem.weights[rows])
        A *= root
        yield rows, A, root


def _symmetric(lower: Floats) -> Floats:
    """Return the matrix whose lower triangle is given."""
    return np.tril(lower) + np.tril(lower, -1).T


def _pairs(first: Factor, second: Factor, weights: Floats | None) -> Pairs:
    """Return the cross-products of two factors."""
    keys, index = _number(first.codes * second.n_levels + second.codes, first.n_levels * second.n_levels)
    values = np.zeros((keys.size, first.q, second.q))
    w = np.ones(index.size) if weights is None else np.asarray(weights, np.float64)
    run(_add_pair_products, index, first.Z, second.Z, w, values)
    return Pairs(keys, values)


def _number(keys: Ints, n_keys: int) -> tuple[Ints, Ints]:
    """Return the keys that occur, ascending, and each row's place among them."""
    if n_keys > 8 * keys.size + 1_000_000:  # a table over all keys would cost more than sorting
        return np.unique(keys, return_inverse=True)
    present = np.bincount(keys, minlength=n_keys) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[keys]


@compiled
def _add_level_products(codes: Ints, Z: Floats, A: Floats, root: Floats, ZZ: Floats, ZA: Floats) -> None:
    """Add the rows' ``Z_g'Z_g`` to ZZ (n_levels, q, q) and ``Z_g'A`` to ZA (n_levels, q, p + 1).

    A's rows (rows, p + 1) carry the root of their weight already.
    """
    q = Z.shape[1]
    columns = A.shape[1]
    for i in range(codes.size):
        g = codes[i]
        for a in range(q):
            z = root[i] * Z[i, a]
            if z != 0.0:
                for b in range(q):
                    ZZ[g, a, b] += z * root[i] * Z[i, b]
                for j in range(columns):
                    ZA[g, a, j] += z * A[i, j]


@compiled
def _add_pair_products(index: Ints, Z_first: Floats, Z_second: Floats, w: Floats, values: Floats) -> None:
    """Add the rows' ``Z_first'Z_second`` to values (pairs, q_first, q_second)."""
    for i in range(index.size):
        for a in range(Z_first.shape[1]):
            z = w[i] * Z_first[i, a]
            for b in range(Z_second.shape[1]):
                values[index[i], a, b] += z * Z_second[i, b]
