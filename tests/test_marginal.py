"""Integrated likelihoods against dense normal densities, numerical integrals and brute force."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism import canonical, marginal, products
from hierbayes.criticism.marginal import hold_out, is_normal, log_marginal, normal_conditional

from .test_predict import tame_fit

pytestmark = pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")

RNG = np.random.default_rng(11)
N = 48
D = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "z": RNG.normal(size=N),
        "school": np.repeat(list("abcd"), N // 4),
        "room": np.tile([1, 2, 3], N // 3),
        "item": np.tile(list("uvwxyz"), N // 6),
        "row": np.arange(N),
        "y": RNG.normal(size=N),
        "above": RNG.gamma(2.0, size=N),
        "count": RNG.poisson(3.0, N),
        "yes": RNG.integers(0, 2, N),
        "k": RNG.integers(0, 8, N),
        "w": np.tile([1.0, 2.0, 0.5], N // 3),
    }
)
PLACES = np.flatnonzero(D["school"] == "b")


def held_out(formula, family="gaussian", places=PLACES, draws=4):
    fit = tame_fit(hb.Model(formula, D, family=family), draws=draws, chains=1)
    ((_, held),) = list(hold_out(fit.spec, flatten(fit.spec, fit.posterior), fit.design, places))
    return fit, held


def dense(fit, s, places, integrated):
    """Mean (n,) and covariance (n, n) of the linear predictor of some rows in draw s, from the posterior's arrays."""
    layout, bound = fit.spec.layout.predictors["mu"], fit.design.predictors["mu"]
    draw = fit.posterior.isel(chain=0, draw=s)
    mean = bound.offset[places] + bound.x[places] @ draw["b"].to_numpy()
    cov = np.zeros((len(places), len(places)))
    for factor in layout.factors:
        rows = bound.factors[factor.name]
        z, codes = rows.z[places], rows.codes[places]
        if factor.name in integrated:
            sd = draw[f"sd_{factor.name}"].to_numpy()
            cor = draw[f"cor_{factor.name}"].to_numpy() if factor.correlated else np.eye(len(sd))
            cov += (codes[:, None] == codes) * (z @ (sd[:, None] * cor * sd) @ z.T)
        else:
            mean = mean + (z * draw[f"r_{factor.name}"].to_numpy()[codes]).sum(axis=1)
    return mean, cov


NORMAL = [
    ("y ~ x + (x | school)", ["school"]),
    ("y ~ x + (x || school) + (1 | item)", ["school"]),
    ("y ~ x + (1 | school/room)", ["school", "school:room"]),
    ("y ~ x + (x | school) + (z | school:room) + (1 | item)", ["school", "school:room"]),
    ("y ~ x + (1 | school) + (1 | row)", ["school", "row"]),
]


@pytest.mark.parametrize(("formula", "integrated"), NORMAL)
def test_a_normal_groups_density_is_the_multivariate_normal(formula, integrated):
    fit, held = held_out(formula)
    assert is_normal(fit.spec, held)
    fine, coarse = log_marginal(fit.spec, held)
    np.testing.assert_array_equal(fine, coarse)
    for s, value in enumerate(fine):
        mean, cov = dense(fit, s, PLACES, integrated)
        sigma = float(fit.posterior["sigma"][0, s])
        want = stats.multivariate_normal(mean, cov + sigma**2 * np.eye(len(PLACES))).logpdf(
            D["y"].to_numpy()[PLACES]
        )
        assert value == pytest.approx(want, rel=1e-10)


def test_weights_divide_the_variance_and_count_in_the_constant():
    """N(y; m, s²)^w = N(y; m, s²/w) · (2πs²)^{(1−w)/2} w^{−1/2}."""
    fit, held = held_out("y | weights(w) ~ x + (x | school)")
    w = D["w"].to_numpy()[PLACES]
    for s, value in enumerate(log_marginal(fit.spec, held)[0]):
        mean, cov = dense(fit, s, PLACES, ["school"])
        variance = float(fit.posterior["sigma"][0, s]) ** 2
        want = stats.multivariate_normal(mean, cov + np.diag(variance / w)).logpdf(D["y"].to_numpy()[PLACES])
        want += (0.5 * (1 - w) * np.log(2 * np.pi * variance) - 0.5 * np.log(w)).sum()
        assert value == pytest.approx(want, rel=1e-10)


def test_a_lognormal_group_is_normal_on_its_logarithm():
    fit, held = held_out("above ~ x + (1 | school)", "lognormal")
    y = D["above"].to_numpy()[PLACES]
    for s, value in enumerate(log_marginal(fit.spec, held)[0]):
        mean, cov = dense(fit, s, PLACES, ["school"])
        cov += float(fit.posterior["sigma"][0, s]) ** 2 * np.eye(len(y))
        assert value == pytest.approx(
            stats.multivariate_normal(mean, cov).logpdf(np.log(y)) - np.log(y).sum()
        )


@pytest.mark.parametrize("formula", ["y ~ x + (x | school/room)", "y | weights(w) ~ x + (x | school)"])
def test_one_row_given_the_others_is_a_ratio_of_densities(formula):
    fit, held = held_out(formula)
    rows = normal_conditional(fit.spec, held).log_leave_one_out()
    weights = np.ones(len(PLACES)) if held.rows.weights is None else held.rows.weights
    for place in (0, 5):
        without = np.where(np.arange(len(weights)) == place, 0.0, weights)
        ratio = log_marginal(fit.spec, held)[0] - log_marginal(fit.spec, held.weighted(without))[0]
        np.testing.assert_allclose(rows[:, place], ratio, rtol=1e-9)


def test_rows_without_effects_of_their_own_are_plain_densities():
    fit, held = held_out("y ~ x + (1 | item)")
    assert held.effects == 0
    want = fit.log_likelihood()["log_likelihood"]["y"].to_numpy()[0][:, PLACES].sum(axis=1)
    np.testing.assert_allclose(log_marginal(fit.spec, held)[0], want)


@pytest.mark.parametrize(
    "formula",
    ["y ~ x + (1 | school)", "y ~ x + (x | school)", "y ~ x + (1 | school/room)", "y ~ (x + z | school)"],
)
def test_quadrature_finds_the_exact_integral_of_a_normal_response(formula):
    """With one or two effects to rounding; with more, a quasi-random sample to a percent or so."""
    fit, held = held_out(formula)
    exact = log_marginal(fit.spec, held)[0]
    fine, coarse = marginal._quadrature(fit.spec, held)
    np.testing.assert_allclose(fine, exact, atol=1e-6 if held.effects <= 2 else 0.1)
    assert np.abs(coarse - exact).max() < (1e-6 if held.effects <= 2 else 0.2)


OTHERS = [
    ("yes ~ x + (1 | school)", "bernoulli"),
    ("k | trials(8) ~ x + (1 | school)", "binomial"),
    ("count ~ x + (1 | school)", "poisson"),
    ("count | weights(w) ~ x + (1 | school)", "negbinomial"),
    ("y ~ x + (1 | school)", "student"),
    ("above ~ x + (1 | school)", "gamma"),
]


@pytest.mark.parametrize(("formula", "family"), OTHERS)
def test_one_effect_against_a_numerical_integral(formula, family):
    fit, held = held_out(formula, family)
    fine, coarse = log_marginal(fit.spec, held)
    want = [_integral(fit, held, s) for s in range(4)]
    np.testing.assert_allclose(fine, want, rtol=1e-7, atol=1e-6)
    assert np.abs(coarse - fine).max() < 1e-3


def _integral(fit, held, s):
    """∫ Π p(y | η + u)^w N(u; 0, sd²) du by adaptive quadrature on the effect's own scale."""
    sd = float(fit.posterior["sd_school"][0, s, 0])
    eta = held.etas["mu"][s]
    aux = {name: float(values[s, 0]) for name, values in held.aux.items()}
    rows, w = held.rows, 1.0 if held.rows.weights is None else held.rows.weights

    def log_joint(u):
        densities = fit.spec.family.at(eta + u, aux, fit.spec.link).log_density(rows.y, rows.trials)
        return float((w * densities).sum()) + stats.norm(0, sd).logpdf(u)

    top = max(log_joint(u) for u in np.linspace(-4 * sd, 4 * sd, 81))
    value, _ = integrate.quad(
        lambda u: np.exp(log_joint(u) - top), -10 * sd, 10 * sd, points=np.linspace(-2, 2, 9), limit=400
    )
    return np.log(value) + top


def test_an_effect_of_one_rows_own_has_the_count_distribution_of_a_normal_mixture():
    places = np.array([7])
    fit, held = held_out("count ~ x + (1 | row)", "poisson", places)
    for s, value in enumerate(log_marginal(fit.spec, held)[0]):
        sd, eta = float(fit.posterior["sd_row"][0, s, 0]), held.etas["mu"][s, 0]
        z, weight = np.polynomial.hermite_e.hermegauss(180)
        terms = stats.poisson(np.exp(eta + sd * z)).logpmf(D["count"][7]) + np.log(
            weight / np.sqrt(2 * np.pi)
        )
        assert value == pytest.approx(special.logsumexp(terms), abs=1e-6)


@pytest.mark.parametrize(
    ("formula", "family", "tolerance"),
    [
        ("yes ~ x + (x | school)", "bernoulli", 0.02),
        ("yes ~ x + (1 | school/room)", "bernoulli", 0.05),
        ({"mu": "y ~ x + (1 | school)", "sigma": "~ (1 | school)"}, "gaussian", 0.03),
    ],
)
def test_several_effects_against_brute_force(formula, family, tolerance):
    """The mean of the likelihood over draws of the effects from their distribution."""
    fit, held = held_out(formula, family)
    fine, _ = log_marginal(fit.spec, held)
    rng = np.random.default_rng(5)
    for s, value in enumerate(fine):
        u = rng.normal(size=(200_000, held.effects))
        etas = {
            name: eta[s] + (u @ held.columns[name][s].T if name in held.columns else 0.0)
            for name, eta in held.etas.items()
        }
        aux = {name: values[s] for name, values in held.aux.items()}
        aux |= {name: np.exp(eta) for name, eta in etas.items() if name != "mu"}
        logs = fit.spec.family.at(etas["mu"], aux, fit.spec.link).log_density(held.rows.y).sum(axis=1)
        want = special.logsumexp(logs) - np.log(len(logs))
        error = np.exp(logs - want).std() / np.sqrt(len(logs))
        assert error < tolerance / 3
        assert value == pytest.approx(want, abs=4 * error + (tolerance if held.effects > 2 else 1e-3))


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::hierbayes.errors.SamplingWarning")
def test_rows_that_say_too_much_of_effects_leave_an_answer():
    """A density as narrow as this has curvatures of 1e200 away from its mode."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"g": np.repeat(list("abcdefgh"), 6), "x": rng.normal(size=48), "t": rng.exponential(size=48)}
    )
    model = hb.Model("t ~ x + (x | g)", data, "weibull", priors={"shape": "Fixed(300)"})
    fit = model.fit(draws=50, tune=50, chains=2, seed=1, progress=False)
    assert len(fit.logo("g").table) == 8


def test_slices_of_the_draws_are_the_whole_in_pieces(monkeypatch):
    fit = tame_fit(hb.Model("y ~ x + (x | school)", D), draws=9, chains=1)
    draws = flatten(fit.spec, fit.posterior)
    whole = [log_marginal(fit.spec, held)[0] for _, held in hold_out(fit.spec, draws, fit.design, PLACES)]
    monkeypatch.setattr(marginal, "CHUNK_ENTRIES", 2 * 2 * len(PLACES))
    pieces = [(part, held) for part, held in hold_out(fit.spec, draws, fit.design, PLACES)]
    assert [part.stop - part.start for part, _ in pieces] == [2, 2, 2, 2, 1]
    np.testing.assert_allclose(
        np.concatenate([log_marginal(fit.spec, held)[0] for _, held in pieces]), whole[0]
    )


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ x + (1 | school) + (1 | item)", "gaussian"),
        ("y | weights(w) ~ x + (x || school) + (1 | school:room)", "gaussian"),
        ("y ~ x + (x | school) + (1 | school:room)", "gaussian"),
        ("above | weights(w) ~ x + (x | school)", "lognormal"),
        ("y ~ x + (1 | item)", "gaussian"),
    ],
)
def test_products_over_the_rows_give_the_same_density(formula, family, monkeypatch):
    fit, held = held_out(formula, family)
    monkeypatch.setattr(products, "CHUNK_ENTRIES", 3 * len(PLACES))
    found = products.log_marginal_by_products(fit.spec, flatten(fit.spec, fit.posterior), fit.design, PLACES)
    np.testing.assert_allclose(found, log_marginal(fit.spec, held)[0], rtol=1e-11)


@pytest.mark.parametrize(
    ("formula", "family", "group"),
    [
        ("y ~ x + (1 | school) + (1 | item)", "gaussian", "item"),
        ("y | weights(w) ~ x + (x || school) + (z | school:room) + (x | school:item)", "gaussian", "school"),
        ("above ~ x + (x | school) + (1 | room:item) + (1 | item)", "lognormal", "school"),
        ("y ~ 0 + (1 | school:room) + (1 | room:item) + (x | row)", "gaussian", "room:item"),
    ],
)
def test_all_groups_at_once_have_the_density_of_each(formula, family, group, monkeypatch):
    """Own effects that cross each other inside a group leave fill, those of other groups stay; in small pieces."""
    fit = tame_fit(hb.Model(formula, D, family=family), draws=5, chains=1)
    draws, codes = flatten(fit.spec, fit.posterior), fit.design.predictors["mu"].factors[group].codes
    monkeypatch.setattr(products, "LANES", 2)
    monkeypatch.setattr(products, "CHUNK_ENTRIES", 2 * len(draws))
    monkeypatch.setattr(products, "TABLE_ENTRIES", 20 * len(draws))
    found = np.full((codes.max() + 1, len(draws)), np.nan)
    for some, values in products.log_marginals_by_products(fit.spec, draws, fit.design, codes):
        found[some] = values
    for level, values in enumerate(found):
        ((_, held),) = hold_out(fit.spec, draws, fit.design, np.flatnonzero(codes == level))
        np.testing.assert_allclose(values, log_marginal(fit.spec, held)[0], rtol=1e-10)


COUNTS = [
    ("yes ~ x + (1 | school) + (1 | item)", "bernoulli", "school"),
    ("k | trials(8) ~ x + (0 + z | school:room) + (x | item)", "binomial", "school:room"),
    ("count | weights(w) ~ x + (1 | row) + (1 | school)", "poisson", "row"),
    ("count ~ x + offset(z) + (1 | school) + (1 | school:room)", "poisson", "school:room"),
]


@pytest.mark.parametrize(("formula", "family", "group"), COUNTS)
def test_one_effect_a_group_by_compiled_quadrature(formula, family, group, monkeypatch):
    """Beside the quadrature of any response, which is tested against numerical integrals; in small pieces."""
    fit = tame_fit(hb.Model(formula, D, family=family), draws=5, chains=1)
    draws, codes = flatten(fit.spec, fit.posterior), fit.design.predictors["mu"].factors[group].codes
    draws.values[f"sd_{group}"][0] *= 20.0  # so that Newton's first steps are far too long
    monkeypatch.setattr(canonical, "LANES", 2)
    monkeypatch.setattr(canonical, "LEVEL_ENTRIES", 20 * len(draws))
    seen = []
    for some, fine, coarse in canonical.log_marginals_of_one(fit.spec, draws, fit.design, codes):
        for level, values, halved in zip(some, fine, coarse, strict=True):
            seen.append(level)
            ((_, held),) = hold_out(fit.spec, draws, fit.design, np.flatnonzero(codes == level))
            want, half = log_marginal(fit.spec, held)
            assert (np.abs(values - want) <= 1e-6 + 0.1 * np.abs(want - half)).all()
            assert (np.abs(halved - half) <= 1e-6 + 0.1 * np.abs(want - half)).all()
    assert sorted(seen) == list(range(codes.max() + 1))


def test_groups_of_several_effects_and_other_links_are_left_to_others():
    for formula, family, link in [
        ("yes ~ x + (1 | school) + (1 | school:room)", "bernoulli", None),
        ("yes ~ x + (x | school)", "bernoulli", None),
        ("yes ~ x + (1 | school)", "bernoulli", "probit"),
        ("count ~ x + (1 | school)", "negbinomial", None),
    ]:
        fit = tame_fit(hb.Model(formula, D, family=family, link=link), draws=3, chains=1)
        codes = fit.design.predictors["mu"].factors["school"].codes
        draws = flatten(fit.spec, fit.posterior)
        assert not list(canonical.log_marginals_of_one(fit.spec, draws, fit.design, codes))


def test_products_are_for_one_scale():
    assert products.has_one_scale(hb.Model("y ~ x + (1 | school)", D).spec)
    assert not products.has_one_scale(hb.Model({"mu": "y ~ x + (1 | school)", "sigma": "~ x"}, D).spec)
    assert not products.has_one_scale(hb.Model("count ~ x + (1 | school)", D, family="poisson").spec)
