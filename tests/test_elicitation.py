"""Elicited priors have the probability asked for, by SciPy and by simulation."""

import numpy as np
import pytest
import scipy.stats as st

import hierbayes as hb
from hierbayes.errors import PriorError

SCIPY = {
    "Normal": lambda mu, sigma: st.norm(mu, sigma),
    "HalfNormal": lambda sigma: st.halfnorm(scale=sigma),
    "Gamma": lambda alpha, beta: st.gamma(alpha, scale=1 / beta),
    "StudentT": lambda nu, mu, sigma: st.t(nu, mu, sigma),
}


@pytest.mark.parametrize(
    ("name", "lower", "upper", "mass", "fixed"),
    [
        ("normal", 200, 500, 0.9, {}),
        ("half_normal", 1, 50, 0.9, {}),
        ("Gamma", 20, 80, 0.8, {}),
        ("StudentT", -2, 2, 0.95, {"nu": 4}),
    ],
)
def test_the_interval_has_the_probability(name, lower, upper, mass, fixed):
    prior = hb.elicit(name, lower, upper, mass, **fixed)
    assert dict(prior.args).items() >= fixed.items()
    reference = SCIPY[prior.name](**dict(prior.args))
    assert reference.cdf(upper) - reference.cdf(lower) == pytest.approx(mass, abs=0.006)


def test_what_a_distribution_cannot_have_is_refused():
    with pytest.raises(
        PriorError, match=r"HalfCauchy cannot have 90 % between 1 and 50; the nearest, .* has 82"
    ):
        hb.elicit("HalfCauchy", 1, 50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Normal", 5, 2), "lower must be below upper"),
        (("Normal", 0, np.inf), "lower must be below upper"),
        (("Normal", 0, 1, 90), "prob is a probability between 0 and 1"),
        (("LKJ", 0, 1), "LKJ is not found from an interval"),
        (("Flat", 0, 1), "Flat is not found from an interval"),
        (("Nromal", 0, 1), "No prior distribution 'Nromal'"),
    ],
)
def test_bad_questions(arguments, message):
    with pytest.raises(PriorError, match=message):
        hb.elicit(*arguments)


def test_an_argument_that_a_distribution_has_not_got_cannot_be_fixed():
    with pytest.raises(PriorError, match="Normal has no argument 'mass' to fix; it has mu, sigma"):
        hb.elicit("Normal", 0, 1, mass=0.5)


def test_new_groups_lie_where_they_should():
    priors = hb.elicit_groups(200, 500, 0.9, group="subject")
    rows = hb.design_grid(subject=5, trial=2)
    model = hb.Model("rt ~ 1 + (1 | subject)", rows, priors=[priors, {"sigma": "Exponential(0.02)"}])
    tree = model.prior_predictive(100_000, seed=3)
    new = np.asarray(tree["prior"]["b"][0, :, 0] + tree["prior"]["r_subject"][0, :, 0, 0])
    share = np.mean((new > 200) & (new < 500))
    assert abs(share - 0.9) < 0.002 + 4.5 * np.sqrt(
        0.09 / 100_000
    )  # three digits of the scale, and Monte Carlo


def test_any_unit_will_do():
    ms, s = hb.elicit_groups(200, 500), hb.elicit_groups(0.2, 0.5)
    assert dict(ms["Intercept"].args)["sigma"] == pytest.approx(1000 * dict(s["Intercept"].args)["sigma"])
    assert dict(ms["sd"].args)["lam"] == pytest.approx(dict(s["sd"].args)["lam"] / 1000)
