"""The coordinates of the sampled effects: information of levels, and a posterior that is about N(0, I)."""

from dataclasses import replace

import numpy as np
import pytest

from hierbayes.engine.core.problem import Factor
from hierbayes.engine.gaussian.collapsed import prepare, rough_start
from hierbayes.engine.gaussian.crossed import CrossedEvaluator
from hierbayes.engine.gaussian.information import informations
from hierbayes.engine.gaussian.laplace import GivenTheta, conjugate_gradients, extreme_directions, whiten
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.gaussian.products import Crossed, cross
from hierbayes.engine.gaussian.route import Route
from tests.gaussian import problems as ref
from tests.gaussian.test_crossed import CROSSED, crossed, penicillin


def dense_information(made: GaussianProblem, before: list[int], k: int, at: ref.Natural) -> np.ndarray:
    """Return Z_k'Z_k less what integrating out the factors before leaves of it, by dense matrices."""
    A = ref.design(made)
    p = made.X.shape[1]
    ends = p + np.cumsum([f.n_levels * f.q for f in made.factors])
    part = {j: A[:, ends[j] - f.n_levels * f.q : ends[j]] for j, f in enumerate(made.factors)}
    covariance = np.diag(at.sigma**2 / ref.weight(made))
    for j in before:
        covariance += part[j] @ np.kron(np.eye(made.factors[j].n_levels), at.covariance(j)) @ part[j].T
    return at.sigma**2 * part[k].T @ np.linalg.solve(covariance, part[k])


@pytest.mark.parametrize(
    ("name", "primary", "sampled", "exact"),
    [
        ("two crossed, slopes", 0, (1,), 1), ("merged blocks", 1, (0,), 1), ("three crossed", 0, (1, 2), 1),
        ("three nested", 1, (0, 2), 2), ("empty levels", 0, (1,), 1),
    ],
)  # fmt: skip
def test_information_of_a_level_is_the_schur_complement(
    name: str, primary: int, sampled: tuple[int, ...], exact: int
) -> None:
    made = CROSSED[name]()
    model = cross(made, moments(made), primary, sampled)
    at = ref.natural(made, ref.random_theta(made, 1))
    widest = max(f.q for f in made.factors)
    lams = np.zeros((len(made.factors), widest, widest))
    for k, f in enumerate(made.factors):
        lams[k, : f.q, : f.q] = np.linalg.cholesky(at.covariance(k))
    table = model.whitening.table
    W, E = informations(moments(made), primary, table, lams, at.sigma**2)
    before = [primary]
    for k, q, levels, first, _ in table[:exact]:
        dense = dense_information(made, before, k, at)
        for g in range(levels):
            own = slice(g * q, (g + 1) * q)
            np.testing.assert_allclose(
                W[first + g * q : first + (g + 1) * q, :q], dense[own, own], rtol=1e-9, atol=1e-9
            )
        before.append(int(k))
    assert np.all(E.columns > np.repeat(np.arange(model.size), np.diff(E.starts)))
    # what is left of a level after rough eliminations is never negative
    for _, q, levels, first, _ in table:
        blocks = W[first : first + q * levels, :q].reshape(levels, q, q)
        assert np.linalg.eigvalsh(blocks).min() > -1e-9 * np.abs(blocks).max()


def test_conjugate_gradients_find_where_the_score_is_zero() -> None:
    model = crossed(CROSSED["three crossed"](), 0, (1, 2))
    given = GivenTheta(model, ref.random_theta(CROSSED["three crossed"](), 1))
    size = np.abs(given.score(np.zeros(model.size))).max()
    assert np.abs(given.score(conjugate_gradients(given))).max() < 1e-4 * size


def curvature(model: Crossed, theta: np.ndarray) -> np.ndarray:
    given = GivenTheta(model, theta)
    origin = given.score(np.zeros(model.size))
    return np.stack([origin - given.score(e) for e in np.eye(model.size)])


def test_directions_are_eigenvectors_of_the_curvature() -> None:
    made = CROSSED["three crossed"]()
    model, theta = crossed(made, 0, (1, 2)), ref.random_theta(made, 1)
    values, directions = extreme_directions(GivenTheta(model, theta))
    H = curvature(model, theta)
    np.testing.assert_allclose(H, H.T, atol=1e-9 * np.abs(H).max())
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(values)), atol=1e-10)
    np.testing.assert_allclose(directions @ H, values[:, None] * directions, atol=1e-6 * values.max())


@pytest.mark.parametrize("name", ["three crossed", "three nested", "merged blocks", "weights and offset"])
def test_effects_are_about_standard_given_theta(name: str) -> None:
    made = CROSSED[name]()
    sampled = tuple(range(1, len(made.factors)))
    m = moments(made)
    theta = ref.random_theta(made, 1)
    model = whiten(m, cross(made, m, 0, sampled), theta)
    assert np.abs(GivenTheta(model, theta).score(np.zeros(model.size))).max() < 1e-4
    values = np.linalg.eigvalsh(curvature(model, theta))
    assert values.min() > 0.3
    assert values.max() < 2.5


def test_frame_makes_the_posterior_standard() -> None:
    made = penicillin()
    model, _ = prepare(made, route=Route(0, (1, 2), 2, 0.0))
    density = CrossedEvaluator(model)
    noise = np.random.default_rng(0).standard_normal((200, model.size))
    n = made.n_theta

    def averaged(position: np.ndarray) -> float:
        return np.mean([density(np.concatenate([position, z]))[0] for z in noise])

    top = averaged(np.zeros(n))
    for i in range(n):
        for sign in (-1.0, 1.0):
            drop = top - averaged(sign * np.eye(n)[i])
            assert 0.02 < drop < 3.0  # of a standard normal: 0.5


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e12])
def test_extreme_data_have_coordinates(scale: float) -> None:
    made = CROSSED["three crossed"]()
    made = replace(made, y=made.y * scale)
    model, _ = prepare(made, route=Route(0, (1, 2), 3, 0.0))
    value, grad = CrossedEvaluator(model)(np.zeros(model.dim))
    assert np.isfinite(value)
    assert np.all(np.isfinite(grad))


def test_laplace_start_recovers_what_the_data_were_made_from() -> None:
    rng = np.random.default_rng(3)
    n, sizes, sds = 6000, (300, 200, 20), (0.5, 0.8, 0.3)
    codes = [rng.integers(0, size, n) for size in sizes]
    y = 2 + 0.7 * rng.normal(size=n)
    for c, size, sd in zip(codes, sizes, sds, strict=True):
        effects = rng.normal(size=size)
        y += sd * ((effects - effects.mean()) / effects.std())[c]
    factors = [
        Factor(c, np.ones((n, 1)), size, ((0,),), [ref.EXPONENTIAL], (1.0,))
        for c, size in zip(codes, sizes, strict=True)
    ]
    made = ref.problem(rng, factors, p=1, n=n, y=y, X=np.ones((n, 1)), centre=np.zeros(1))
    m = moments(made)
    model, _ = prepare(made, m, Route(0, (1, 2), 1, 0.0))
    found = np.exp(model.packed.constants.origin)
    np.testing.assert_allclose(found[:3], [0.7, 0.5, 0.8], rtol=0.06)
    assert found[3] == pytest.approx(0.3, rel=0.25)
    start = np.exp(rough_start(made, m))
    assert np.abs(np.log(start / found)).max() > 0.3, "where it starts is elsewhere"
