"""Nested factors: what a parent's levels don't share costs nothing; a chain is eliminated factor by factor."""

from dataclasses import replace

import numpy as np
import pytest

from hierbayes.engine.core.problem import Factor, PriorCode
from hierbayes.engine.gaussian.collapsed import arrange
from hierbayes.engine.gaussian.elimination import R, X
from hierbayes.engine.gaussian.kernels import log_density
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.nestdraws import draw_nested
from hierbayes.engine.gaussian.nested import Nested, nest, seconds_of
from hierbayes.engine.gaussian.nestkernels import nested_log_density
from hierbayes.engine.gaussian.packing import pack
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.gaussian.route import Route, chained_seconds, choose_route
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


def uneven() -> GaussianProblem:
    """Schools in towns in regions with 2, 1 and 3 effects; some of each without rows, rows with weights."""
    rng = np.random.default_rng(22)
    school = rng.choice(np.delete(np.arange(90), [3, 40, 41]), 300)
    town = rng.permutation(30)[school // 3]
    region = rng.integers(0, 7, 30)[town]
    factors = [
        ref.factor(rng, region, 3, n_levels=9),
        ref.factor(rng, school, 2, n_levels=90),
        ref.factor(rng, town, 1, n_levels=32),
    ]
    return replace(ref.problem(rng, factors, n=300), weights=rng.choice([0.0, 0.5, 1.0, 2.0], 300))


def partly_fixed() -> GaussianProblem:
    """The same with sigma, one sd and the regions' correlations known."""
    made = uneven()
    region, school, town = made.factors
    known = (PriorCode.FIXED, 0.7, 0, 0)
    factors = [replace(region, cor=0.3), replace(school, sd_priors=[known, ref.EXPONENTIAL]), town]
    return replace(made, factors=factors, sigma_prior=known)


def balanced() -> GaussianProblem:
    """Every child is seen on three or on all four occasions: two patterns, in five schools."""
    rng = np.random.default_rng(23)
    child = np.repeat(np.arange(40), 4)
    occasion = np.tile(np.arange(4.0), 40)
    seen = (child % 3 > 0) | (occasion < 3)
    child, Z = child[seen], np.column_stack([np.ones(160), occasion])[seen]
    factors = [replace(ref.factor(rng, codes, 2), Z=Z) for codes in (child % 5, child)]
    return ref.problem(rng, factors, n=seen.sum())


CHAINS = {name: ref.PROBLEMS[name] for name in (
    "q = 1", "q = 3", "merged blocks", "two blocks", "nested", "one row a level", "slope constant within levels",
    "predictors of odd scales", "p = 30", "two levels", "no intercept", "other priors",
)} | {
    "uneven": uneven, "partly fixed": partly_fixed, "balanced": balanced, "three deep": lambda: three_deep(2),
}  # fmt: skip


def evaluate(made: GaussianProblem, theta: np.ndarray) -> tuple[float, np.ndarray]:
    nested, grad = nest(made, moments(made)), np.empty(made.n_theta)
    return nested_log_density(theta, grad, *nested.constants, *nested.memory()), grad


@pytest.mark.parametrize("name", CHAINS)
def test_log_density_of_a_chain_is_that_of_the_dense_normal(name: str) -> None:
    made = CHAINS[name]()
    for seed in range(3):
        theta = ref.random_theta(made, seed)
        expected = ref.log_likelihood(made, ref.natural(made, theta)) + ref.log_prior(made, theta)
        assert evaluate(made, theta)[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", CHAINS)
def test_gradient_of_a_chain_is_the_central_difference(name: str) -> None:
    made = CHAINS[name]()
    nested, grad = nest(made, moments(made)), np.empty(made.n_theta)
    memory, theta = nested.memory(), ref.random_theta(made, 5)
    expected = ref.differentiate(lambda t: nested_log_density(t, grad, *nested.constants, *memory), theta)
    nested_log_density(theta, grad, *nested.constants, *memory)
    np.testing.assert_allclose(grad, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["q = 3", "two blocks", "nested", "no intercept", "uneven", "balanced"])
def test_draws_of_a_chain_have_the_conditional_mean_and_covariance(name: str) -> None:
    made, draws = CHAINS[name](), 20_000
    m, theta = moments(made), ref.random_theta(made, 1)
    mean, covariance = ref.conditional(made, ref.natural(made, theta))
    drawn = draw_nested(nest(made, m), np.repeat(theta[None], draws, 0), seed=3).values
    drawn[:, : made.X.shape[1]] += m.reference.b
    variance = np.diag(covariance)
    z = (drawn.mean(0) - mean) / np.sqrt(variance / draws)
    assert np.abs(z).max() < 4.5
    z = (np.cov(drawn.T) - covariance) / np.sqrt((np.outer(variance, variance) + covariance**2) / draws)
    assert np.abs(z).max() < 6  # of up to 60 000 entries
    assert np.sqrt((z**2).mean()) == pytest.approx(1.0, abs=0.25)


def test_levels_with_the_same_cross_products_are_merged() -> None:
    nested = nest(balanced(), moments(balanced()))
    assert nested.constants.chain[:, 2].tolist() == [2, 5]  # patterns, schools
    assert nested.constants.counts[0].sum() == 40
    assert seconds_of(balanced(), moments(balanced())) == chained_seconds(3, [(5, 2), (40, 2)], 2 * 5)


def test_a_chain_has_the_density_of_the_dense_elimination_where_sds_are_zero() -> None:
    made = uneven()
    theta = ref.random_theta(made, 4)
    theta[[1, 7, 10]] = -800.0
    packed, grad = pack(made, moments(made), 1), np.empty(made.n_theta)
    expected = log_density(theta, grad, *packed.constants, *packed.memory())
    value, score = evaluate(made, theta)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(score, grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("theta0", [800.0, -800.0, np.nan])
def test_density_of_a_chain_that_cannot_be_evaluated_is_minus_infinity(theta0: float) -> None:
    made = CHAINS["nested"]()
    value, grad = evaluate(made, np.append(theta0, ref.random_theta(made, 1)[1:]))
    assert value == -np.inf
    np.testing.assert_array_equal(grad, 0.0)


def test_frame_moves_and_turns_the_density_of_a_chain() -> None:
    made = CHAINS["nested"]()
    rng = np.random.default_rng(0)
    scale_tril = np.tril(rng.normal(size=(made.n_theta, made.n_theta)))
    origin, position = rng.normal(size=(2, made.n_theta)) * 0.3
    moved, grad = nest(made, moments(made)).standardised(origin, scale_tril), np.empty(made.n_theta)
    value = nested_log_density(position, grad, *moved.constants, *moved.memory())
    expected, expected_grad = evaluate(made, origin + scale_tril @ position)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(grad, scale_tril.T @ expected_grad, rtol=1e-10)


def test_crossed_factors_are_no_chain() -> None:
    made = ref.PROBLEMS["two crossed"]()
    with pytest.raises(ValueError, match="not nested"):
        nest(made, moments(made))


def test_levels_that_cannot_be_merged_are_eliminated_one_by_one() -> None:
    rng = np.random.default_rng(24)
    kinds = []
    for q in (1, 2):  # with intercepts alone, levels of equal size are alike
        made = ref.problem(rng, [ref.factor(rng, rng.integers(0, 2000, 6000), q)], n=6000)
        route = choose_route(3, [(2000, q)], 6000, nested=True)
        kinds.append(type(arrange(made, moments(made), route)).__name__)
    assert kinds == ["Nested", "Packed"]
    assert isinstance(arrange(made, moments(made), Route(0, (), 3, 1.0, chained=1.0)), Nested)
