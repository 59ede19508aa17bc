"""Expected responses averaged over new groups: closed forms, brute force, and what rows they need."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

import hierbayes as hb
from hierbayes.answers.averaging import expect
from hierbayes.errors import DataError, UnsupportedError

RNG = np.random.default_rng(11)
D = pd.DataFrame(
    {
        "y": np.tile([0, 1, 1], 40),
        "x": np.tile([-1.0, 0.0, 1.0, 2.0], 30),
        "g": np.repeat(np.arange(12), 10),
        "h": np.tile(np.arange(8), 15),
    }
)
NEW = pd.DataFrame({"x": [-1.0, 0.5, 2.0]})
COR = [[1.0, -0.4], [-0.4, 1.0]]
VALUES = {"b": [-0.8, 0.6], "sd_g": [1.2, 0.7], "cor_g": COR, "sd_h": [0.9]}
SIGMA_G = np.outer([1.2, 0.7], [1.2, 0.7]) * COR


@pytest.fixture(scope="module")
def fit(known_fit):
    model = hb.Model("y ~ x + (x | g) + (1 | h)", D, family="bernoulli")
    r = {"r_g": RNG.normal(size=(12, 2)), "r_h": RNG.normal(size=(8, 1))}
    return known_fit(model, VALUES | r, chains=1, draws=2)


def test_probabilities_against_brute_force_to_three_digits(fit):
    found = fit.predict(NEW, groups="average", output="draws").to_numpy()[0]
    z = np.column_stack([np.ones(3), NEW["x"]])
    draws = RNG.multivariate_normal([0, 0], SIGMA_G, size=2_000_000) @ z.T
    draws += 0.9 * RNG.normal(size=(2_000_000, 1))
    expected = special.expit(z @ VALUES["b"] + draws).mean(axis=0)
    assert_allclose(found, [expected, expected], atol=1e-3)
    typical = fit.predict(NEW, groups="none")["mean"]
    assert (abs(found[0] - 0.5) < abs(typical - 0.5)).all()  # averaging draws probabilities towards a half


@pytest.mark.parametrize(("sd", "error"), [(0.3, 1e-9), (1.0, 1e-8), (3.0, 1e-6), (8.0, 2e-5)])
def test_quadrature_of_the_logit_against_adaptive_integration(sd, error):
    from scipy.integrate import quad

    for centre in (-4.0, 0.0, 1.5):
        exact = quad(lambda z, m=centre: special.expit(m + sd * z) * stats.norm.pdf(z), -12, 12, limit=500)[0]
        assert_allclose(expect(special.expit, np.array([centre]), np.array([sd])), exact, atol=error)


def test_probit_has_a_closed_form(known_fit):
    fit = known_fit(
        hb.Model("y ~ x + (1 | g)", D, family="bernoulli", link="probit"), {"b": [0.3, 1.0], "sd_g": [2.0]}
    )
    found = fit.predict(NEW, groups="average")["mean"]
    assert_allclose(found, stats.norm.cdf((0.3 + NEW["x"]) / np.sqrt(5)), atol=1e-6)


def test_log_link_and_lognormal_have_closed_forms(known_fit):
    counts = known_fit(hb.Model("y ~ x + (1 | g)", D, family="poisson"), {"b": [0.3, 1.0], "sd_g": [0.8]})
    assert_allclose(counts.predict(NEW, groups="average")["mean"], np.exp(0.3 + NEW["x"] + 0.32))
    positive = D.assign(y=D["y"] + 1.0)
    model = hb.Model("y ~ x + (1 | g)", positive, family="lognormal")
    fit = known_fit(model, {"b": [0.3, 1.0], "sd_g": [0.8], "sigma": 0.5})
    assert_allclose(fit.predict(NEW, groups="average")["mean"], np.exp(0.3 + NEW["x"] + 0.32 + 0.125))


def test_a_new_level_in_a_known_one_is_averaged_about_the_known_one(fit):
    rows = NEW.assign(g=[3, 3, 99], h=[99, 2, 2])
    found = fit.predict(rows, new_levels="average", output="draws").to_numpy()[0, 0]
    r_g, r_h = (fit.posterior[name].to_numpy()[0, 0] for name in ("r_g", "r_h"))
    x = NEW["x"].to_numpy()
    known = VALUES["b"][0] + VALUES["b"][1] * x + r_g[3, 0] + r_g[3, 1] * x
    new_h = special.expit(known[0] + 0.9 * RNG.normal(size=2_000_000)).mean()
    assert_allclose(found[:2], [new_h, special.expit(known[1] + r_h[2, 0])], atol=1e-3)
    draws = RNG.multivariate_normal([0, 0], SIGMA_G, size=2_000_000) @ [1, 2.0]
    assert_allclose(found[2], special.expit(-0.8 + 1.2 + r_h[2, 0] + draws).mean(), atol=1e-3)


def test_known_levels_are_not_averaged_over(known_fit):
    """Beside rows of new levels, and of a level that is known in one factor and new in the other."""
    model = hb.Model("count ~ x + (1 | g) + (1 | h)", D.assign(count=np.arange(120) % 5), family="poisson")
    r = {"r_g": np.linspace(-1, 1, 12)[:, None], "r_h": np.linspace(0, 1, 8)[:, None]}
    fit = known_fit(model, {"b": [0.3, 1.0], "sd_g": [0.8], "sd_h": [0.6]} | r)
    rows = pd.DataFrame({"x": 0.5, "g": [0, 11, 0, 99, 98], "h": [7, 0, 77, 7, 77]})
    found = fit.predict(rows, new_levels="average")["mean"]
    eta = 0.8 + np.array([-1 + 1, 1 + 0, -1, 1, 0])
    assert_allclose(found, np.exp(eta + np.array([0, 0, 0.36, 0.64, 1.0]) / 2))
    assert_allclose(fit.predict(new_levels="average")["mean"], fit.predict()["mean"])


def test_averages_need_no_grouping_columns_and_ignore_those_there_are(fit):
    found = fit.predict(NEW, groups="average")
    pd.testing.assert_frame_equal(fit.predict(NEW.assign(g=1, h=2), groups="average"), found)
    assert len(fit.predict(groups="average")) == len(D)
    compared = fit.compare(NEW.iloc[[2]], NEW.iloc[[0]], groups="average")
    assert_allclose(compared["mean"], found["mean"].iloc[2] - found["mean"].iloc[0])


def test_linear_predictors_average_to_those_without_groups_and_responses_are_drawn(fit):
    linear = fit.predict(NEW, kind="linear", groups="average")["mean"]
    assert_allclose(linear, fit.predict(NEW, kind="linear", groups="none")["mean"])
    many = NEW.iloc[[2] * 40_000]
    responses = fit.predict(many, kind="response", groups="average", output="draws", seed=3)
    assert_array_equal(np.unique(responses), [0, 1])
    assert_allclose(responses.mean(), fit.predict(NEW, groups="average")["mean"].iloc[2], atol=0.006)


def test_averages_that_do_not_exist(known_fit):
    positive = D.assign(y=D["y"] + 1.0)
    inverse = hb.Model("y ~ x + (1 | g)", positive, family="gamma", link="inverse")
    with pytest.raises(UnsupportedError, match="1/eta has no mean"):
        known_fit(inverse, {"b": [9.0, 1.0], "sd_g": [0.1], "shape": 1.0}).predict(NEW, groups="average")
    scale = hb.Model({"mu": "y ~ x + (1 | g)", "sigma": "~ 1 + (1 | h)"}, positive, family="lognormal")
    with pytest.raises(UnsupportedError, match="depends on sigma, which varies by 'h'"):
        known_fit(scale, {}).predict(NEW, groups="average")
    with pytest.raises(DataError, match="groups='average' averages over new ones"):
        known_fit(scale, {}).predict(NEW, groups="avrage")
