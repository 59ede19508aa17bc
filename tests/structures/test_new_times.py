"""Times that training didn't have: a known level's effects there are normal given the known ones."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb

TIMES, NEW = np.array([0, 1, 3, 6]), np.array([2, 5, 9, 12])
DRAWS = 20_000
SHAPES = {
    "ar1": ("rho_g", 0.7, lambda gap: 0.7**gap),
    "ou": ("decay_g", 0.25, lambda gap: np.exp(-0.25 * gap)),
}


def rows_at(level, times) -> pd.DataFrame:
    return pd.DataFrame({"g": level, "t": times})


@pytest.fixture(scope="module", params=SHAPES)
def known(request, known_fit):
    """A fit of a known process, its effects, and the covariance at training's times and then the new ones."""
    name = request.param
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"g": np.repeat(list("abcdef"), 4), "t": np.tile(TIMES, 6)})
    frame = frame.assign(n=rng.poisson(2.0, size=24))
    model = hb.Model(f"n ~ 1 + {name}(0 + t | g)", frame, family="poisson")
    variable, value, correlation = SHAPES[name]
    r = rng.normal(size=(6, 4))
    values = {"r_g": r, "sd_g": np.full(4, 1.5), variable: value}
    fit = known_fit(model, values, chains=1, draws=DRAWS)
    times = np.concatenate([TIMES, NEW])
    covariance = 1.5**2 * correlation(np.abs(np.subtract.outer(times, times)).astype(float))
    return fit, r, covariance


def assert_moments(found: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    """Draws (S, k) have that mean and covariance, as far as S draws tell."""
    variances = np.diagonal(covariance)
    assert (np.abs(found.mean(axis=0) - mean) < 4.5 * np.sqrt(variances / len(found))).all()
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / len(found))
    assert (np.abs(np.cov(found.T) - covariance) < 4.5 * error).all()


def linear(fit, frame, **options) -> np.ndarray:
    drawn = fit.predict(frame, kind="linear", output="draws", **options)
    return np.asarray(drawn).reshape(DRAWS, len(frame))


def dense(r: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the effects at the new times, given those at training's."""
    weights = np.linalg.solve(covariance[:4, :4], covariance[:4, 4:]).T
    return weights @ r, covariance[4:, 4:] - weights @ covariance[:4, 4:]


def test_draws_have_the_conditional_moments(known):
    fit, r, covariance = known
    found = linear(fit, rows_at("b", NEW[[2, 0, 3, 1]]))[:, [1, 3, 0, 2]]
    assert_moments(found, *dense(r[1], covariance))


def test_means_are_the_conditional_ones(known):
    fit, r, covariance = known
    found = linear(fit, rows_at("c", NEW), new_levels="mean")
    np.testing.assert_allclose(found, np.broadcast_to(dense(r[2], covariance)[0], found.shape), atol=1e-12)


def test_known_times_keep_their_effects(known):
    fit, r, _ = known
    found = linear(fit, rows_at("a", [*TIMES, *NEW]))[:, :4]
    np.testing.assert_array_equal(found, np.broadcast_to(r[0], found.shape))


def test_a_new_level_is_drawn_at_all_times(known):
    fit, _, covariance = known
    assert_moments(linear(fit, rows_at("new", [*TIMES, *NEW])), np.zeros(8), covariance)


def test_a_new_level_at_known_times_is_the_same_beside_new_ones(known):
    fit, _, _ = known
    alone = linear(fit, rows_at("new", TIMES))
    np.testing.assert_allclose(linear(fit, rows_at("new", [*TIMES, *NEW]))[:, :4], alone, atol=1e-12)


def test_averages_over_new_levels_know_the_variance_at_new_times(known):
    fit, _, _ = known
    found = fit.predict(rows_at("a", NEW), kind="mean", groups="average")["mean"]
    np.testing.assert_allclose(found, np.exp(1.5**2 / 2), rtol=1e-12)


def test_two_levels_are_independent(known):
    fit, r, covariance = known
    frame = pd.concat([rows_at("a", NEW), rows_at("c", NEW)])
    found = linear(fit, frame)
    mean, own = dense(r[0], covariance)
    assert_moments(found[:, :4], mean, own)
    assert np.abs(np.corrcoef(found.T)[:4, 4:]).max() < 4.5 / DRAWS**0.5


def test_process_beside_free_effects(known_fit):
    """Effects of an unstructured block beside a process, of one factor: only the process goes on."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": np.repeat(np.arange(6), 4), "t": np.tile(TIMES, 6), "x": rng.normal(size=24)})
    model = hb.Model("y ~ 1 + (x | g) + ar1(0 + t | g)", frame.assign(y=rng.normal(size=24)))
    cor = np.eye(6)
    cor[0, 1] = cor[1, 0] = 0.4
    r = rng.normal(size=(6, 6))
    values = {"r_g": r, "sd_g": [1, 2, 0.5, 0.5, 0.5, 0.5], "cor_g": cor, "rho_g": -0.6, "sigma": 1.0}
    fit = known_fit(model, values, chains=1, draws=2)
    new = rows_at(3, [7, 8]).assign(x=2.0)
    found = fit.predict(new, kind="linear", new_levels="mean")["mean"]
    expected = r[3, 0] + 2.0 * r[3, 1] + r[3, 5] * np.array([-0.6, 0.36])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isfinite(fit.predict(new.assign(g=99), kind="linear")).all().all()


def test_process_beside_tied_effects(known_fit):
    """Effects that are tied across formulas leave the process its own way to new times, of known and new levels."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(list("abcdef"), 4), "t": np.tile(TIMES, 6)})
    formulas = {"mu": "y ~ 1 + (1 |i| g) + ar1(0 + t | g)", "sigma": "~ 1 + (1 |i| g)"}
    model = hb.Model(formulas, frame.assign(y=rng.normal(size=24)))
    r = rng.normal(size=(6, 5))
    values = {
        "r_g": r,
        "sd_g": [0.0, 1.5, 1.5, 1.5, 1.5],
        "rho_g": 0.7,
        "sd_sigma_g": [1.0],
        "cor_g_i": np.eye(2),
    }
    fit = known_fit(model, values, chains=1, draws=DRAWS)
    times = np.concatenate([TIMES, NEW])
    covariance = 1.5**2 * 0.7 ** np.abs(np.subtract.outer(times, times)).astype(float)
    mean, own = dense(r[0, 1:], covariance)
    assert_moments(linear(fit, rows_at("a", NEW)), r[0, 0] + mean, own)
    assert_moments(linear(fit, rows_at("new", times)), np.zeros(8), covariance)


def test_singular_correlations_are_no_special_case(known_fit):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": np.repeat(np.arange(6), 4), "t": np.tile(TIMES, 6)})
    model = hb.Model("y ~ 1 + ar1(0 + t | g)", frame.assign(y=rng.normal(size=24)))
    r = np.broadcast_to(rng.normal(size=(6, 1)), (6, 4))
    fit = known_fit(model, {"r_g": r, "sd_g": np.ones(4), "rho_g": 1.0, "sigma": 1.0}, chains=1, draws=2)
    found = fit.predict(rows_at(2, NEW), kind="linear")["mean"]
    np.testing.assert_allclose(found, r[2, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "times", "at", "message"),
    [
        ("ar1", TIMES, 2.5, "times are whole"),
        ("ou", TIMES, np.inf, "times are numbers"),
        ("ar1", pd.Categorical(list("abcd")), "e", "distance to those of training is not known"),
    ],
)
def test_times_without_a_place_are_refused(known_fit, name, times, at, message):
    frame = pd.DataFrame({"g": np.repeat(range(6), 4), "t": np.tile(TIMES, 6), "y": np.arange(24.0)})
    if isinstance(times, pd.Categorical):
        frame["t"] = pd.Categorical(list("abcd") * 6)
    fit = known_fit(hb.Model(f"y ~ 1 + {name}(0 + t | g)", frame), {"sigma": 1.0})
    new = pd.DataFrame({"g": [1], "t": pd.Categorical([at]) if isinstance(at, str) else [at]})
    with pytest.raises(hb.DataError, match=message):
        fit.predict(new, kind="linear")


def test_effects_are_called_after_their_times():
    frame = pd.DataFrame({"g": np.repeat(range(6), 4), "t": np.tile(TIMES, 6), "y": np.arange(24.0)})
    (factor,) = hb.Model("y ~ 1 + ar1(0 + t | g)", frame).spec.layout.predictors["mu"].factors
    assert factor.effects == ("t[0]", "t[1]", "t[3]", "t[6]")


@pytest.mark.parametrize(
    ("name", "way"), [("ar1", "categories in the order of time"), ("ou", "a column of numbers\n")]
)
def test_text_times_are_told_the_way_out(name, way):
    frame = pd.DataFrame({"g": np.repeat(range(6), 4), "t": list("dacb") * 6, "y": np.arange(24.0)})
    with pytest.raises(hb.FormulaError, match=way):
        hb.Model(f"y ~ 1 + {name}(0 + t | g)", frame)
