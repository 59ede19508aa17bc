"""The collapsed log density and its gradient against dense references; nothing is sampled."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hierbayes.engine.core.hyperparameters import tail_transform
from hierbayes.engine.core.problem import PriorCode
from hierbayes.engine.gaussian.kernels import log_density
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.nested import nest
from hierbayes.engine.gaussian.nestkernels import nested_log_density
from hierbayes.engine.gaussian.packing import pack
from hierbayes.engine.gaussian.problem import GaussianProblem
from tests.gaussian import problems as ref
from tests.gaussian.problems import PROBLEMS

CASES = [
    pytest.param(name, primary, id=f"{name}, primary {primary}")
    for name, make in PROBLEMS.items()
    for primary in (range(len(make().factors)) if make().factors else [-1])
]


def evaluate(made: GaussianProblem, theta: np.ndarray, primary: int = 0) -> tuple[float, np.ndarray]:
    packed = pack(made, moments(made), primary)
    grad = np.empty(made.n_theta)
    return log_density(np.asarray(theta, float), grad, *packed.constants, *packed.memory()), grad


@pytest.mark.parametrize(("name", "primary"), CASES)
def test_log_density_is_that_of_the_dense_normal(name: str, primary: int) -> None:
    made = PROBLEMS[name]()
    for seed in range(3):
        theta = ref.random_theta(made, seed)
        expected = ref.log_likelihood(made, ref.natural(made, theta)) + ref.log_prior(made, theta)
        assert evaluate(made, theta, primary)[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("name", "primary"), CASES)
def test_gradient_is_the_central_difference(name: str, primary: int) -> None:
    made = PROBLEMS[name]()
    packed = pack(made, moments(made), primary)
    memory, grad = packed.memory(), np.empty(made.n_theta)
    theta = ref.random_theta(made, 5)
    expected = ref.differentiate(lambda t: log_density(t, grad, *packed.constants, *memory), theta)
    log_density(theta, grad, *packed.constants, *memory)
    np.testing.assert_allclose(grad, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["q = 2", "nested", "other priors", "no factor"])
def test_tail_transformed_density_is_the_plain_one_with_its_jacobian(name: str) -> None:
    made = PROBLEMS[name]()
    packed = pack(made, moments(made), 0 if made.factors else -1)
    scales = packed.constants.scales[:, 0]
    tails = np.random.default_rng(3).uniform([-1.0, 0.5], [1.0, 4.0], (len(scales), 2))
    bent = packed.with_tails(tails)
    memory, grad = bent.memory(), np.empty(made.n_theta)
    theta = ref.random_theta(made, 6)
    plain, log_slopes = theta.copy(), 0.0
    for at, (knee, rate) in zip(scales, tails, strict=True):
        if at >= 0:
            plain[at], slope, _ = tail_transform(theta[at], knee, rate)
            log_slopes += np.log(slope)
    value = log_density(theta, grad, *bent.constants, *memory)
    assert value == pytest.approx(
        log_density(plain, grad, *packed.constants, *memory) + log_slopes, rel=1e-12
    )
    expected = ref.differentiate(lambda t: log_density(t, grad, *bent.constants, *memory), theta)
    log_density(theta, grad, *bent.constants, *memory)
    np.testing.assert_allclose(grad, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("nested", [False, True])
def test_density_of_a_sigma_near_0_is_that_of_the_dense_normal_where_effects_explain_y(nested: bool) -> None:
    """Rounding of y'y/σ² once made it larger than at any other σ, and chains stay there."""
    rng = np.random.default_rng(8)
    made = ref.problem(rng, [ref.factor(rng, np.arange(60), 1)])
    m = moments(made)
    packed = nest(made, m) if nested else pack(made, m, 0)
    density, memory, grad = (
        nested_log_density if nested else log_density,
        packed.memory(),
        np.empty(made.n_theta),
    )
    theta = ref.random_theta(made, 2)
    for log_sigma in (-6.0, -10.0, -13.0, -16.0, -25.0, -40.0):
        theta[0] = log_sigma
        expected = ref.log_likelihood(made, ref.natural(made, theta)) + ref.log_prior(made, theta)
        assert density(theta, grad, *packed.constants, *memory) == pytest.approx(expected, abs=0.1)
        assert grad[0] == pytest.approx(1.0, abs=0.1)  # of log σ: the prior's, flat near 0


def test_density_of_a_sigma_near_0_is_none_where_effects_leave_y_unexplained() -> None:
    made = PROBLEMS["q = 2"]()
    theta = ref.random_theta(made, 2)
    theta[0] = -20.0
    assert evaluate(made, theta)[0] == -np.inf


@pytest.mark.parametrize("name", PROBLEMS)
def test_log_density_is_joint_minus_conditional_at_any_point(name: str) -> None:
    made = PROBLEMS[name]()
    theta = ref.random_theta(made, 1)
    at = ref.natural(made, theta)
    mean, covariance = ref.conditional(made, at)
    scale = np.sqrt(np.diag(covariance))
    # three standard deviations out: much farther, both densities are huge and their difference is rounding
    point = mean + 3.0 * scale * np.random.default_rng(2).normal(size=mean.size)
    expected = ref.joint_log_density(made, at, point) + ref.log_prior(made, theta)
    standard = stats.multivariate_normal(cov=covariance / np.outer(scale, scale))
    expected -= standard.logpdf((point - mean) / scale) - np.log(scale).sum()
    assert evaluate(made, theta, 0 if made.factors else -1)[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("flat", [(0,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("name", ["no factor", "q = 2", "two crossed", "weights and offset"])
def test_flat_prior_is_integrated_over_lebesgue_measure(name: str, flat: tuple[int, ...]) -> None:
    made = PROBLEMS[name]()
    precision = made.prior_precision.copy()
    precision[list(flat)] = 0.0
    made = replace(made, prior_precision=precision)
    theta = ref.random_theta(made, 3)
    expected = ref.log_likelihood(made, ref.natural(made, theta)) + ref.log_prior(made, theta)
    assert evaluate(made, theta, 0 if made.factors else -1)[0] == pytest.approx(expected, rel=1e-8)


def test_flat_prior_is_the_limit_of_wide_ones() -> None:
    made = PROBLEMS["q = 2"]()
    thetas = [ref.random_theta(made, seed) for seed in (1, 2)]
    flat, wide = (replace(made, prior_precision=np.full(3, precision)) for precision in (0.0, 1e-10))
    steps = [evaluate(m, thetas[0])[0] - evaluate(m, thetas[1])[0] for m in (flat, wide)]
    assert steps[0] == pytest.approx(steps[1], rel=1e-7)


@pytest.mark.parametrize("name", ["q = 2", "nested", "two crossed, slopes"])
@pytest.mark.parametrize("which", ["first", "all"])
def test_sd_near_zero_is_no_special_case(name: str, which: str) -> None:
    made = PROBLEMS[name]()
    theta = ref.random_theta(made, 4)
    at = 1
    for f in made.factors:
        theta[at : at + (f.q if which == "all" else 1)] = -20.0
        at += f.q + f.n_correlations
    expected = ref.log_likelihood(made, ref.natural(made, theta)) + ref.log_prior(made, theta)
    for primary in range(len(made.factors)):
        value, grad = evaluate(made, theta, primary)
        assert value == pytest.approx(expected, rel=1e-8)
        # The likelihood is flat there: what is left of d/d log sd is the Jacobian's 1.
        assert grad[1] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", ["q = 2", "no intercept", "nested"])
def test_response_far_from_zero_keeps_its_digits(name: str) -> None:
    made = PROBLEMS[name]()
    if made.intercept is None:  # indicators that together make up the constant
        X = np.eye(3)[np.arange(60) % 3]
        made = replace(
            made, X=X, prior_mean=np.full(3, 1e6), prior_precision=np.full(3, 0.1), centre=np.zeros(3)
        )
    else:
        made = replace(made, prior_mean=made.prior_mean + np.array([1e6, 0, 0]))
    far = replace(made, y=made.y + 1e6)
    theta = ref.random_theta(made, 1)
    expected = ref.log_likelihood(far, ref.natural(far, theta)) + ref.log_prior(far, theta)
    assert evaluate(far, theta)[0] == pytest.approx(expected, rel=1e-8)


def test_shifting_response_and_intercept_changes_nothing() -> None:
    made = PROBLEMS["nested"]()
    theta = ref.random_theta(made, 1)
    near = evaluate(made, theta, 1)
    far = evaluate(
        replace(made, y=made.y + 1e6, prior_mean=made.prior_mean + np.array([1e6, 0, 0])), theta, 1
    )
    assert far[0] == pytest.approx(near[0], rel=1e-8)
    np.testing.assert_allclose(far[1], near[1], rtol=1e-7)


def test_weight_two_is_the_row_twice() -> None:
    made = PROBLEMS["three crossed"]()
    times = np.random.default_rng(0).integers(0, 4, 60)
    theta = ref.random_theta(made, 1)
    weighted = evaluate(replace(made, weights=times), theta)
    repeated = evaluate(made.rows(np.repeat(np.arange(60), times)), theta)
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-11)
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-9, atol=1e-9)


def test_order_of_rows_and_names_of_levels_do_not_matter() -> None:
    made = PROBLEMS["three crossed"]()
    rng = np.random.default_rng(0)
    theta = ref.random_theta(made, 1)
    shuffled = made.rows(rng.permutation(60))
    renamed = replace(
        shuffled, factors=[replace(f, codes=rng.permutation(f.n_levels)[f.codes]) for f in shuffled.factors]
    )
    assert evaluate(renamed, theta)[0] == pytest.approx(evaluate(made, theta)[0], rel=1e-11)


def test_any_primary_factor_gives_the_same_density() -> None:
    made = PROBLEMS["wide and sparse"]()
    theta = ref.random_theta(made, 1)
    values, grads = zip(*(evaluate(made, theta, primary) for primary in range(3)), strict=True)
    np.testing.assert_allclose(values, values[0], rtol=1e-11)
    np.testing.assert_allclose(grads, np.broadcast_to(grads[0], (3, made.n_theta)), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("theta0", [800.0, -800.0, np.nan])
def test_density_that_cannot_be_evaluated_is_minus_infinity(theta0: float) -> None:
    made = PROBLEMS["q = 2"]()
    theta = ref.random_theta(made, 1)
    theta[0] = theta0
    value, grad = evaluate(made, theta)
    assert value == -np.inf
    np.testing.assert_array_equal(grad, 0.0)


def test_frame_moves_and_turns_the_density() -> None:
    made = PROBLEMS["q = 3"]()
    packed = pack(made, moments(made), 0)
    rng = np.random.default_rng(0)
    scale_tril = np.tril(rng.normal(size=(made.n_theta, made.n_theta)))
    origin, position = rng.normal(size=(2, made.n_theta)) * 0.3
    moved = packed.standardised(origin, scale_tril)
    grad = np.empty(made.n_theta)
    value = log_density(position, grad, *moved.constants, *moved.memory())
    expected, expected_grad = evaluate(made, origin + scale_tril @ position)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(grad, scale_tril.T @ expected_grad, rtol=1e-10)


def test_uniform_prior_never_leaves_its_range() -> None:
    made = PROBLEMS["q = 1"]()
    row = [(PriorCode.UNIFORM, 0.5, 2.0, 0)]
    made = replace(made, factors=[replace(made.factors[0], sd_priors=row)])
    for t in (-600.0, -30.0, 0.0, 30.0, 600.0):
        value, grad = evaluate(made, [0.0, t])
        assert np.isfinite(value)
        assert np.all(np.isfinite(grad))
        assert 0.5 <= ref.natural(made, np.array([0.0, t])).sds[0][0] <= 2.0
