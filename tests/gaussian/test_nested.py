"""Nested factors: what a parent's levels don't share stays zero through elimination, so it costs nothing."""

import numpy as np
import pytest

from hierbayes.engine.gaussian.elimination import R, X
from hierbayes.engine.gaussian.kernels import log_density
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.packing import pack
from hierbayes.engine.gaussian.problem import Factor, GaussianProblem, PriorCode
from tests.gaussian import problems as ref

SD = np.array([PriorCode.EXPONENTIAL, 1.0, 0.0, 0.0])


def three_deep(q: int) -> GaussianProblem:
    """5 regions of 4 schools of 3 classes of 4 rows, q effects each."""
    rng = np.random.default_rng(21)
    classes = np.repeat(np.arange(60), 4)
    x = rng.normal(size=(240, 1))
    Z = np.column_stack([np.ones(240), x])[:, :q]
    factors = tuple(
        Factor(classes // size, Z, 60 // size, (tuple(range(q)),), np.tile(SD, (q, 1)), (1.0,))
        for size in (12, 3, 1)
    )
    D = np.column_stack([np.ones(240), x])
    return GaussianProblem(
        rng.normal(size=240),
        D,
        factors,
        np.zeros(2),
        np.ones(2),
        SD,
        centre=np.array([0.0, x.mean()]),
        intercept=0,
    )


@pytest.mark.parametrize("q", [1, 2])
def test_levels_of_different_parents_stay_apart(q):
    made = three_deep(q)
    packed = pack(made, moments(made), primary=2)
    memory = packed.memory()
    theta = ref.random_theta(made, 1)
    value = log_density(theta, np.empty(made.n_theta), *packed.constants, *memory)
    expected = ref.log_likelihood(made, ref.natural(made, theta)) + ref.log_prior(made, theta)
    assert value == pytest.approx(expected, rel=1e-8)
    p, effects = 2, 25 * q  # of 20 schools, then of 5 regions
    factor = np.tril(memory.squares[R])[:effects, :effects]
    inverse = memory.squares[X][:effects, :effects]
    # a school meets itself, a region its four schools and itself, each with q × q numbers, half of them on the diagonal
    within = 25 * q * (q + 1) // 2
    assert np.count_nonzero(factor) == np.count_nonzero(inverse) == within + 20 * q * q
    assert np.count_nonzero(memory.squares[X][effects:]) == p * effects + 3
