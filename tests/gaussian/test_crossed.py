"""Some factors' effects sampled, the rest integrated out: density, gradient and draws against dense references."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from hierbayes.engine.core.problem import Factor
from hierbayes.engine.gaussian.collapsed import sample
from hierbayes.engine.gaussian.crossed import CrossedEvaluator, draw_crossed
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.gaussian.products import Crossed, cross
from hierbayes.engine.gaussian.route import Route
from hierbayes.engine.gaussian.whitening import R, U, sparse
from tests.gaussian import problems as ref
from tests.gaussian.problems import PROBLEMS

DRAWS = 20_000


def _merged() -> GaussianProblem:
    rng = np.random.default_rng(61)
    codes = rng.integers(0, (7, 5), (60, 2)).T
    return ref.problem(
        rng,
        [ref.factor(rng, codes[0], 3, ((0, 2), (1,))), ref.factor(rng, codes[1], 4, ((0, 3), (1,), (2,)))],
    )


def _deep() -> GaussianProblem:
    rng = np.random.default_rng(62)
    inner = np.sort(rng.integers(0, 24, 90))
    return ref.problem(
        rng, [ref.factor(rng, inner // 6, 1), ref.factor(rng, inner, 1), ref.factor(rng, inner // 2, 2)], n=90
    )


def _one_row_a_level() -> GaussianProblem:
    rng = np.random.default_rng(63)
    return ref.problem(
        rng, [ref.factor(rng, rng.permutation(60), 1), ref.factor(rng, rng.permutation(60), 2)]
    )


KNOWN = (
    "two crossed", "two crossed, slopes", "three crossed", "nested", "weights and offset", "empty levels",
    "wide and sparse", "fixed sds and correlations",
)  # fmt: skip
CROSSED = {name: PROBLEMS[name] for name in KNOWN} | {
    "merged blocks": _merged,
    "three nested": _deep,
    "one row a level": _one_row_a_level,
}
CASES = [
    pytest.param(name, primary, sampled, id=f"{name}, primary {primary}, sampled {sampled}")
    for name, make in CROSSED.items()
    for primary in range(len(make().factors))
    for size in range(1, len(make().factors))
    for sampled in combinations([k for k in range(len(make().factors)) if k != primary], size)
]


def crossed(made: GaussianProblem, primary: int, sampled: tuple[int, ...]) -> Crossed:
    """Return a model with a whitening that uses all that a whitening has, at random."""
    model = cross(made, moments(made), primary, sampled)
    rng = np.random.default_rng(7)
    information = np.zeros_like(model.whitening.information)
    entries = []
    for _, q, levels, first, _ in model.whitening.table:
        end = first + q * levels
        for at in range(first, end, q):
            root = rng.normal(size=(q, q + 1))
            information[at : at + q, :q] = root @ root.T
        if end < model.size:
            row, column = (
                np.repeat(np.arange(first, end), 2),
                rng.integers(end, model.size, 2 * (end - first)),
            )
            entries.append((row, column, rng.normal(size=row.size)))
    directions = np.linalg.qr(rng.normal(size=(model.size, 3)))[0].T
    return model.whitened(
        model.whitening._replace(
            information=information,
            centre=rng.normal(size=model.size),
            later=sparse(model.size, entries),
            directions=np.ascontiguousarray(directions),
            stretch=rng.uniform(-0.5, 1.0, size=3),
        )
    )


def given_effects(made: GaussianProblem, model: Crossed, r: np.ndarray) -> tuple[GaussianProblem, list[int]]:
    """Return the model of what the sampled effects leave of the response, and the factors it keeps."""
    y = made.y.copy()
    for k, q, levels, first, _ in model.whitening.table:
        f = made.factors[k]
        y -= (f.Z * r[first : first + q * levels].reshape(levels, q)[f.codes]).sum(1)
    kept = [k for k in range(len(made.factors)) if k not in model.whitening.table[:, 0]]
    return replace(made, y=y, factors=[made.factors[k] for k in kept]), kept


def expected_density(made: GaussianProblem, model: Crossed, point: np.ndarray) -> float:
    """Return the dense normal density given the effects + theirs + the prior of theta + log|du/dx|."""
    density = CrossedEvaluator(model)

    def effects(coordinates: np.ndarray, row: int = U) -> np.ndarray:
        density(np.concatenate([theta, coordinates]))
        return density.mapped.mapped[row].copy()

    theta, x = point[: made.n_theta], point[made.n_theta :]
    at = ref.natural(made, theta)
    inner, kept = given_effects(made, model, effects(x, R))
    inner_at = ref.Natural(at.sigma, tuple(at.sds[k] for k in kept), tuple(at.cors[k] for k in kept))
    u = effects(x)
    log_jacobian = np.linalg.slogdet(ref.differentiate(effects, x, step=0.1))[1]
    return (
        ref.log_likelihood(inner, inner_at)
        + ref.log_prior(made, theta)
        - 0.5 * (u @ u + u.size * np.log(2 * np.pi))
        + log_jacobian
    )


def random_point(model: Crossed, seed: int) -> np.ndarray:
    return 0.6 * np.random.default_rng(seed).normal(size=model.dim)


@pytest.mark.parametrize(("name", "primary", "sampled"), CASES)
def test_log_density_is_that_of_the_dense_normal(name: str, primary: int, sampled: tuple[int, ...]) -> None:
    made = CROSSED[name]()
    model = crossed(made, primary, sampled)
    for seed in range(2):
        point = random_point(model, seed)
        assert CrossedEvaluator(model)(point)[0] == pytest.approx(
            expected_density(made, model, point), rel=1e-8
        )


@pytest.mark.parametrize(("name", "primary", "sampled"), CASES)
def test_gradient_is_the_central_difference(name: str, primary: int, sampled: tuple[int, ...]) -> None:
    made = CROSSED[name]()
    model = crossed(made, primary, sampled)
    density, point = CrossedEvaluator(model), random_point(model, 5)
    expected = ref.differentiate(lambda x: density(x)[0], point)
    np.testing.assert_allclose(density(point)[1], expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("flat", [(0,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("name", ["two crossed", "three crossed", "weights and offset"])
def test_flat_prior_is_integrated_over_lebesgue_measure(name: str, flat: tuple[int, ...]) -> None:
    made = CROSSED[name]()
    precision = made.prior_precision.copy()
    precision[list(flat)] = 0.0
    made = replace(made, prior_precision=precision)
    model = crossed(made, 0, (1,))
    point = random_point(model, 3)
    assert CrossedEvaluator(model)(point)[0] == pytest.approx(expected_density(made, model, point), rel=1e-8)


@pytest.mark.parametrize("name", ["two crossed, slopes", "nested", "one row a level"])
@pytest.mark.parametrize("log_sd", [-20.0, -800.0])
def test_sd_near_zero_is_no_special_case(name: str, log_sd: float) -> None:
    made = CROSSED[name]()
    model = crossed(made, 0, (1,))
    point = random_point(model, 4)
    at = 1 + made.factors[0].q + made.factors[0].n_correlations
    point[[1, at]] = log_sd  # a factor integrated out, and one sampled
    value, grad = CrossedEvaluator(model)(point)
    assert np.all(np.isfinite(grad))
    assert grad[[1, at]] == pytest.approx(1.0, abs=1e-6)  # the likelihood is flat: the Jacobian's 1 is left
    if log_sd > -100:
        assert value == pytest.approx(expected_density(made, model, point), rel=1e-8)


@pytest.mark.parametrize("place", [0, 3, -1])
def test_density_that_cannot_be_evaluated_is_minus_infinity(place: int) -> None:
    model = crossed(CROSSED["two crossed"](), 0, (1,))
    for bad in (np.nan, 1e200):
        point = random_point(model, 1)
        point[place] = bad
        value, grad = CrossedEvaluator(model)(point)
        assert value == -np.inf
        np.testing.assert_array_equal(grad, 0.0)


def test_response_far_from_zero_keeps_its_digits() -> None:
    made = CROSSED["three crossed"]()
    model, point = crossed(made, 0, (1, 2)), random_point(crossed(made, 0, (1, 2)), 1)
    near = CrossedEvaluator(model)(point)
    far = replace(made, y=made.y + 1e6, prior_mean=made.prior_mean + np.array([1e6, 0, 0]))
    value, grad = CrossedEvaluator(crossed(far, 0, (1, 2)))(point)
    assert value == pytest.approx(near[0], rel=1e-8)
    np.testing.assert_allclose(grad, near[1], rtol=1e-6, atol=1e-7)


def test_weight_two_is_the_row_twice() -> None:
    made = CROSSED["three crossed"]()
    times = np.random.default_rng(0).integers(0, 4, 60)
    models = [
        crossed(m, 0, (1, 2))
        for m in (replace(made, weights=times), made.rows(np.repeat(np.arange(60), times)))
    ]
    weighted, repeated = (CrossedEvaluator(model)(random_point(model, 1)) for model in models)
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-11)
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "primary", "sampled"),
    [
        ("two crossed, slopes", 0, (1,)), ("three crossed", 0, (1, 2)), ("three crossed", 1, (0,)),
        ("three nested", 1, (2,)), ("weights and offset", 0, (1,)), ("empty levels", 0, (1,)),
        ("one row a level", 0, (1,)),
    ],
)  # fmt: skip
def test_draws_have_the_conditional_mean_and_covariance(
    name: str, primary: int, sampled: tuple[int, ...]
) -> None:
    made = CROSSED[name]()
    m = moments(made)
    model = crossed(made, primary, sampled)
    point = random_point(model, 1)
    density = CrossedEvaluator(model)
    density(point)
    r = density.mapped.mapped[R].copy()
    inner, kept = given_effects(made, model, r)
    at = ref.natural(made, point[: made.n_theta])
    mean, covariance = ref.conditional(
        inner, ref.Natural(at.sigma, tuple(at.sds[k] for k in kept), tuple(at.cors[k] for k in kept))
    )
    drawn = draw_crossed(model, np.repeat(point[None], DRAWS, 0), seed=3).values
    p = made.X.shape[1]
    drawn[:, :p] += m.reference.b
    free = [drawn[:, :p]]
    start = p
    for k, f in enumerate(made.factors):
        own = drawn[:, start : start + f.n_levels * f.q]
        start += f.n_levels * f.q
        if k in kept:
            free.append(own)
        else:
            row = next(row for row in model.whitening.table if row[0] == k)
            np.testing.assert_allclose(
                own, np.broadcast_to(r[row[3] : row[3] + own.shape[1]], own.shape), rtol=1e-12, atol=1e-14
            )
    drawn = np.hstack(free)
    variance = np.diag(covariance)
    assert np.abs((drawn.mean(0) - mean) / np.sqrt(variance / DRAWS)).max() < 4.5
    spread = np.sqrt((np.outer(variance, variance) + covariance**2) / DRAWS)
    z = (np.cov(drawn.T) - covariance) / spread
    assert np.abs(z).max() < 5.5
    assert np.sqrt((z**2).mean()) == pytest.approx(1.0, abs=0.25)


def penicillin() -> GaussianProblem:
    """24 plates crossed with 6 samples, and 9 batches of plates' medium: every plate tries each sample."""
    rng = np.random.default_rng(71)
    plate, mould = np.divmod(np.arange(144), 6)
    codes = [plate, mould, rng.integers(0, 9, 144)]
    factors = [
        Factor(c, np.ones((144, 1)), int(c.max()) + 1, ((0,),), [ref.EXPONENTIAL], (1.0,)) for c in codes
    ]
    x = rng.normal(size=144)
    y = 23 + 0.3 * x + 0.85 * rng.normal(size=24)[plate] + 1.5 * rng.normal(size=6)[mould]
    y += 0.4 * rng.normal(size=9)[codes[2]] + 0.55 * rng.normal(size=144)
    return ref.problem(
        rng,
        factors,
        p=2,
        n=144,
        y=y,
        X=np.column_stack([np.ones(144), x]),
        centre=np.array([0, x.mean()]),
        prior_mean=np.array([20.0, 0.0]),
        prior_precision=np.array([0.04, 1.0]),
    )


def test_posterior_is_that_with_everything_integrated_out() -> None:
    from arviz_stats.base import array_stats

    made = penicillin()
    runs = [
        sample(made, draws=1500, chains=2, seed=1, route=Route(0, sampled, 0, 0.0))
        for sampled in ((), (1, 2), (2,))
    ]
    columns = [
        np.concatenate([d.sigma[..., None], d.b, *d.sd, *(r.reshape(2, 1500, -1) for r in d.r)], axis=-1)
        for d in runs
    ]
    for other in columns[1:]:
        for statistic, function in (("mean", np.mean), ("sd", np.std)):
            error = [
                array_stats.mcse(d, method=statistic, chain_axis=0, draw_axis=1) for d in (columns[0], other)
            ]
            gap = function(columns[0], axis=(0, 1)) - function(other, axis=(0, 1))
            assert np.abs(gap / np.hypot(*error)).max() < 4.5
        assert array_stats.ess(other, chain_axis=0, draw_axis=1).min() > 400


def test_draws_follow_the_seed_and_not_the_cores() -> None:
    made = CROSSED["three crossed"]()
    route = Route(0, (1, 2), 3, 0.0)
    runs = [
        sample(made, draws=40, tune=50, chains=2, seed=s, cores=c, route=route)
        for s, c in ((5, 1), (5, 2), (6, 2))
    ]
    for name in ("sigma", "b", "theta"):
        np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))
        assert not np.any(getattr(runs[0], name) == getattr(runs[2], name))
    for one, two in zip(runs[0].r, runs[1].r, strict=True):
        np.testing.assert_array_equal(one, two)
    assert [r.shape for r in runs[0].r] == [(2, 40, 9, 2), (2, 40, 6, 1), (2, 40, 4, 2)]


def test_effects_can_be_left_out() -> None:
    made = CROSSED["three crossed"]()
    part, whole = (
        sample(made, draws=20, tune=20, chains=1, seed=1, effects=effects, route=Route(0, (1, 2), 3, 0.0))
        for effects in (False, True)
    )
    np.testing.assert_array_equal(part.b, whole.b)
    assert (part.r, len(whole.r)) == ((), 3)
