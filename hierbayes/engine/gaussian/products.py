"""Moments -> the arrays of the crossed kernel: sparse cross-products with the effects that are sampled."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.gaussian.elimination import END, FIRST, WIDTH
from hierbayes.engine.gaussian.moments import Moments
from hierbayes.engine.gaussian.packing import Memory, Packed, pack
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.gaussian.whitening import Entries, Mapped, SparseRows, Whitening, sparse


class Products(NamedTuple):
    """Cross-products of the D sampled effects' columns, and the response's before r is subtracted."""

    with_primary: SparseRows  # (batches × q × L, D): the primary factor's levels in the order of its batches
    with_sampled: SparseRows  # (D, D)
    with_dense: SparseRows  # (D, m)
    with_response: Floats  # (D,)
    primary_response: Floats  # (batches × q, L)
    dense_response: Floats  # (m + 1,): y'y last


class Work(NamedTuple):
    """What an evaluation writes beside `packing.Memory` and `whitening.Mapped`; one for each thread."""

    ZA: Floats  # as `Constants.ZA`, with the response y - D r
    gram: Floats  # as `Constants.gram`, with the response y - D r in the last row
    effects: Floats  # (batches × q, L): mode of the primary factor's effects
    flat_effects: Floats  # the same memory
    left: Floats  # (D,): D'(y - D r)


@dataclass(frozen=True)
class Crossed:
    """A model with some factors' effects sampled, ready for evaluation."""

    packed: Packed
    products: Products
    whitening: Whitening

    @property
    def size(self) -> int:
        """Number of sampled effects."""
        return self.whitening.centre.size

    @property
    def dim(self) -> int:
        """Number of coordinates: those of theta, then one for each sampled effect."""
        return self.packed.n_theta + self.size

    def whitened(self, whitening: Whitening) -> "Crossed":
        """Return the model in other coordinates of the effects."""
        return replace(self, whitening=whitening)

    def standardised(self, origin: Floats, scale_tril: Floats) -> "Crossed":
        """Return the model in other coordinates of theta."""
        return replace(self, packed=self.packed.standardised(origin, scale_tril))

    def with_tails(self, tails: Floats) -> "Crossed":
        """Return the model with other tails of its scales."""
        return replace(self, packed=self.packed.with_tails(tails))

    def memory(self) -> tuple[Memory, Mapped, Work]:
        """Return memory for evaluations on one thread."""
        c = self.packed.constants
        widest = self.whitening.information.shape[1]
        effects = np.zeros_like(self.products.primary_response)
        return (
            self.packed.memory(),
            Mapped(
                np.zeros((5, self.size)),
                np.zeros((self.size, widest)),
                np.zeros(self.size),
                np.zeros((3, widest, widest)),
                np.zeros((2, widest)),
            ),
            Work(c.ZA.copy(), c.gram.copy(), effects, effects.reshape(-1), np.zeros(self.size)),
        )


def cross(problem: GaussianProblem, m: Moments, primary: int, sampled: tuple[int, ...]) -> Crossed:
    """Arrange a problem's moments for sampling the effects of some factors, in non-centred coordinates."""
    packed = pack(problem, m, primary, sampled)
    c = packed.constants
    order = sorted(sampled, key=lambda k: -problem.factors[k].n_levels)
    table = np.array(
        [[k, problem.factors[k].q, problem.factors[k].n_levels, 0, c.factors[k, 4]] for k in order], np.int64
    )
    sizes = table[:, 1] * table[:, 2]
    table[:, 3] = np.cumsum(sizes) - sizes
    D = int(sizes.sum())
    first = {k: int(at) for k, at in zip(order, table[:, 3], strict=True)}
    q = problem.factors[primary].q
    batches, lanes = packed.levels.shape
    rows = np.zeros((problem.factors[primary].n_levels, q), np.int64)
    batch, lane = np.nonzero(packed.levels >= 0)
    rows[packed.levels[batch, lane]] = (batch[:, None] * q + np.arange(q)) * lanes + lane[:, None]
    widths = np.repeat(c.column_sets[:, WIDTH], c.column_sets[:, END] - c.column_sets[:, FIRST])
    y_rows = (c.starts[:, None] + np.arange(1, q + 1) * widths[:, None] - 1).ravel()
    p, m_dense = problem.X.shape[1], c.prior.shape[1]
    with_response = np.concatenate([m.with_dense[k][..., p].ravel() for k in order])
    products = Products(
        with_primary=sparse(
            batches * q * lanes,
            [_entries(m, primary, k, rows, _effects(problem, k, first[k])) for k in order],
        ),
        with_sampled=sparse(D, _sampled_entries(m, problem, order, first)),
        with_dense=sparse(D, _dense_entries(m, problem, order, first, c.factors[:, 2], m_dense - p)),
        with_response=with_response,
        primary_response=np.ascontiguousarray(c.ZA[y_rows]),
        dense_response=c.gram[m_dense].copy(),
    )
    widest = int(table[:, 1].max())
    plain = Whitening(table, np.zeros((D, widest)), np.zeros(D), sparse(D, []), np.zeros((0, D)), np.zeros(0))
    return Crossed(packed, products, plain)


def _effects(problem: GaussianProblem, k: int, first: int) -> Ints:
    """Return the places (levels, q) of a sampled factor's effects."""
    f = problem.factors[k]
    return first + np.arange(f.n_levels * f.q, dtype=np.int64).reshape(f.n_levels, f.q)


def _entries(m: Moments, j: int, k: int, rows: Ints, columns: Ints) -> Entries:
    """Return two factors' cross-products, given the places (levels, q) of their effects."""
    level, other, values = m.pair(j, k)
    row, column = np.broadcast_arrays(rows[level][:, :, None], columns[other][:, None, :])
    return row, column, values


def _sampled_entries(
    m: Moments, problem: GaussianProblem, order: list[int], first: dict[int, int]
) -> list[Entries]:
    parts: list[Entries] = []
    for k in order:
        at = _effects(problem, k, first[k])
        row, column = np.broadcast_arrays(at[:, :, None], at[:, None, :])
        parts.append((row, column, m.within[k]))
        parts += [
            _entries(m, k, other, at, _effects(problem, other, first[other])) for other in order if other != k
        ]
    return parts


def _dense_entries(
    m: Moments,
    problem: GaussianProblem,
    order: list[int],
    first: dict[int, int],
    columns: Ints,
    population: int,
) -> list[Entries]:
    p = problem.X.shape[1]
    parts: list[Entries] = []
    for k in order:
        at = _effects(problem, k, first[k])
        row, column = np.broadcast_arrays(at[:, :, None], population + np.arange(p))
        parts.append((row, column, m.with_dense[k][..., :p]))
        for other in np.flatnonzero(columns >= 0).tolist():
            f = problem.factors[other]
            places = columns[other] + np.arange(f.n_levels * f.q).reshape(f.q, f.n_levels).T
            parts.append(_entries(m, k, other, at, places))
    return parts
