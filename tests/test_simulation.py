"""Draws from the prior have the prior's distribution, and the responses are those of the drawn parameters."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import hierbayes as hb
from hierbayes.engine.draws import to_dataset
from hierbayes.errors import PriorError
from hierbayes.families import FAMILIES
from hierbayes.simulation import sample_prior, simulate_responses, thin

from .test_families import MEANS, PAIRS, SCIPY, TEN
from .test_graph import DENSITIES, FRAME, RESPONSE, ROWS, columns, left_side

DRAWS = 20_000
LEAST_P = 1e-4  # of a Kolmogorov–Smirnov test; there are about 40 of them


def assert_from(sample, cdf) -> None:
    assert stats.kstest(np.ravel(sample), cdf).pvalue > LEAST_P


# -- parameters ----------------------------------------------------------------------------------------------

PRIORS = {
    "b[w]": "StudentT(3, 1, 0.5)",
    "sd[g, x]": "HalfNormal(0.7)",
    "sd[h]": "InverseGamma(3, 2)",
    "cor[g]": "LKJ(1.5)",
    "sigma": "Gamma(2, 0.5)",
}


@pytest.fixture(scope="module")
def model() -> hb.Model:
    return hb.Model("real ~ x + w + c + (x + w | g) + (1 | h)", FRAME, priors=PRIORS)


@pytest.fixture(scope="module")
def drawn(model):
    return sample_prior(model.spec, DRAWS, seed=3)


def prior_cdf(model, kind, **where):
    prior = model.spec.prior(kind, **where)
    return DENSITIES[prior.name](*dict(prior.args).values()).cdf


def test_draws_follow_the_schema(model, drawn):
    assert (drawn.chains, drawn.draws, len(drawn)) == (1, DRAWS, DRAWS)
    assert set(drawn.values) == {variable.name for variable in model.spec.variables}
    for variable in model.spec.variables:
        shape = tuple(len(model.spec.coords[dim]) for dim in variable.dims)
        assert drawn.values[variable.name].shape == (DRAWS, *shape)


def test_coefficients_come_from_their_priors(model, drawn):
    """The slopes as they are; the intercept at the predictors' means, where its prior is, and not at 0."""
    b = drawn.values["b"]
    labels = model.spec.layout.predictors["mu"].coefficients
    assert labels == ("Intercept", "x", "w", "c[lo]", "c[mid]")
    for place, label in enumerate(labels[1:], start=1):
        assert_from(b[:, place], prior_cdf(model, "b", coefficient=label))
    means = np.array([column.mean() for column in columns("x", "w", "c").values()])
    centred = b[:, 0] + b[:, 1:] @ means
    assert_from(centred, prior_cdf(model, "Intercept"))
    assert stats.kstest(b[:, 0], prior_cdf(model, "Intercept")).pvalue < 1e-6
    together = stats.spearmanr(np.column_stack([centred, b[:, 1:]])).statistic
    assert np.abs(together - np.eye(5)).max() < 4.5 / np.sqrt(DRAWS)


def test_standard_deviations_and_sigma_come_from_their_priors(model, drawn):
    """At the user's zero: the correlations of g are stated, and so its whole block is literal."""
    for place, effect in enumerate(("Intercept", "x", "w")):
        cdf = prior_cdf(model, "sd", coefficient=effect, group="g")
        assert_from(drawn.values["sd_g"][:, place], cdf)
    assert_from(drawn.values["sd_h"], prior_cdf(model, "sd", coefficient="Intercept", group="h"))
    assert_from(drawn.values["sigma"], prior_cdf(model, "sigma", parameter="sigma"))


def assert_correlations(matrices: np.ndarray) -> None:
    assert_allclose(matrices, np.swapaxes(matrices, 1, 2), atol=1e-15)
    assert_allclose(np.diagonal(matrices, axis1=1, axis2=2), 1.0, rtol=1e-12)
    assert np.linalg.eigvalsh(matrices).min() > -1e-12


def test_correlations_are_lkj(drawn):
    """Each is Beta(η − 1 + d/2) on (−1, 1), uncorrelated with the others, and E det R is known."""
    assert_correlations(drawn.values["cor_g"])
    matrices, eta, d = drawn.values["cor_g"], 1.5, 3
    shape = eta - 1 + d / 2
    below = matrices[:, *np.tril_indices(d, -1)]
    for column in below.T:
        assert_from(column, stats.beta(shape, shape, loc=-1, scale=2).cdf)
    assert np.abs(np.corrcoef(below.T) - np.eye(3)).max() < 4.5 / np.sqrt(DRAWS)
    # det R is a product of independent Beta(η + (d − 1 − k)/2, k/2), k = 1 … d − 1: the onion's layers
    expected = np.prod([stats.beta(eta + (d - 1 - k) / 2, k / 2).mean() for k in range(1, d)])
    determinants = np.linalg.det(matrices)
    assert abs(determinants.mean() - expected) < 4 * determinants.std() / np.sqrt(DRAWS)


def test_effects_have_the_covariance_of_their_draw(drawn):
    """r | sd, cor ~ N(0, D R D), independently over levels: undone, standard normals are left."""
    r, sd, cor = (drawn.values[f"{kind}_g"] for kind in ("r", "sd", "cor"))
    root = np.linalg.cholesky(sd[:, :, None] * cor * sd[:, None, :])
    z = np.linalg.solve(root[:, None], r[..., None])[..., 0]
    assert_from(z[:2000], stats.norm.cdf)
    flat = z.reshape(DRAWS, -1)
    assert np.abs(flat.mean(axis=0)).max() < 4 / np.sqrt(DRAWS)
    assert np.abs(np.cov(flat.T) - np.eye(flat.shape[1])).max() < 4.5 * np.sqrt(2 / DRAWS)
    assert_from((drawn.values["r_h"] / drawn.values["sd_h"][:, None])[:2000], stats.norm.cdf)


def test_effects_of_different_blocks_are_uncorrelated():
    model = hb.Model("real ~ x + (1 | g) + (0 + x + w | g)", FRAME)
    drawn = sample_prior(model.spec, 4000, seed=5)
    matrices = drawn.values["cor_g"]
    assert_correlations(matrices)
    assert np.all(matrices[:, 0, 1:] == 0)
    assert_from(matrices[:, 2, 1], stats.uniform(-1, 2).cdf)  # LKJ(1), of two effects
    scaled = drawn.values["r_g"] / drawn.values["sd_g"][:, None, :]
    cross = np.mean(scaled[..., 0] * scaled[..., 2], axis=1)
    assert abs(cross.mean()) < 4 * cross.std() / np.sqrt(4000)
    within = np.mean(scaled[..., 1] * scaled[..., 2], axis=1) - matrices[:, 1, 2]
    assert abs(within.mean()) < 4 * within.std() / np.sqrt(4000)


def test_an_uncorrelated_term_has_no_correlations():
    drawn = sample_prior(hb.Model("real ~ x + (x || g)", FRAME).spec, 10, seed=5)
    assert set(drawn.values) == {"b", "sd_g", "r_g", "sigma"}


def test_correlations_at_the_edge_do_not_stop_the_draws():
    """An LKJ prior below 1 draws matrices that are singular to rounding."""
    model = hb.Model("real ~ x + (x + w | g)", FRAME, priors={"cor": "LKJ(0.05)"})
    drawn = sample_prior(model.spec, 5000, seed=1)
    assert_correlations(drawn.values["cor_g"])
    assert np.isfinite(drawn.values["r_g"]).all()


def test_other_parameters_have_draws_of_their_own():
    formulas = {"mu": "real ~ x + (1 | g)", "sigma": "~ w + (x | g)"}
    model = hb.Model(formulas, FRAME, priors={"sigma.b": "Normal(0, 0.2)"})
    drawn = sample_prior(model.spec, 5000, seed=2)
    assert set(drawn.values) == {"b", "b_sigma", "sd_g", "r_g", "sd_sigma_g", "cor_sigma_g", "r_sigma_g"}
    b = drawn.values["b_sigma"]
    assert_from(b[:, 1], stats.norm(0, 0.2).cdf)
    assert_from(b[:, 0] + b[:, 1] * FRAME["w"].mean(), stats.norm(np.log(FRAME["real"].std(ddof=0)), 2.5).cdf)


def test_an_improper_prior_cannot_be_drawn_from():
    model = hb.Model("real ~ x", FRAME, priors={"b": "Flat"})
    with pytest.raises(PriorError, match=r"Flat\(\) is improper"):
        model.prior_predictive(seed=1)


def test_a_seed_repeats_the_draws(model):
    first, again, other = (model.prior_predictive(20, seed=seed) for seed in (1, 1, 2))
    for group in ("prior", "prior_predictive"):
        assert first[group].to_dataset().equals(again[group].to_dataset())
        assert not first[group].to_dataset().equals(other[group].to_dataset())


# -- responses -----------------------------------------------------------------------------------------------


def test_the_tree_follows_the_schema(model):
    tree = model.prior_predictive(draws=7, seed=4)
    assert set(tree.children) == {"prior", "prior_predictive", "observed_data"}
    prior = tree["prior"].to_dataset()
    assert list(prior.data_vars) == [variable.name for variable in model.spec.variables]
    for variable in model.spec.variables:
        assert prior[variable.name].dims == ("chain", "draw", *variable.dims)
    for dim, labels in model.spec.coords.items():
        assert prior[dim].to_numpy().tolist() == list(labels)
    predictive = tree["prior_predictive"]["real"]
    assert predictive.dims == ("chain", "draw", "__obs__")
    assert predictive.shape == (1, 7, ROWS)
    assert_allclose(tree["observed_data"]["real"], FRAME["real"])
    assert tree.attrs["seed"] == 4


def linear_predictor(prior, parameter, slopes, groups) -> np.ndarray:
    """η (S, n) from the tree's own draws, labels and the user's own columns."""
    own, prefix = ("b", "") if parameter == "mu" else (f"b_{parameter}", f"{parameter}_")
    b = prior[own].to_numpy()[0]
    x = np.column_stack([np.ones(ROWS), *(columns(*slopes).values())])
    eta = b @ x.T
    for name, effects in groups.items():
        levels = pd.get_dummies(FRAME[name])[prior[name].to_numpy().tolist()].to_numpy(float)
        r = prior[f"r_{prefix}{name}"].to_numpy()[0]
        for place, column in enumerate(columns(*effects).values()):
            eta = eta + r[:, :, place] @ (levels * column[:, None]).T
    return eta


# Priors that keep the responses where their cumulative distribution has digits
NARROW = {"Intercept": "Normal(0.3, 0.3)", "b": "Normal(0, 0.2)", "sd": "Exponential(5)"}


@pytest.mark.parametrize("family", TEN)
def test_responses_are_those_of_the_drawn_parameters(family):
    """Their probability integral transform, by a linear predictor written by hand, is uniform."""
    model = hb.Model(f"{left_side(family)} ~ x + c + (x | g) + (1 | h)", FRAME, family=family, priors=NARROW)
    tree = model.prior_predictive(draws=200, seed=6)
    prior, y = tree["prior"].to_dataset(), tree["prior_predictive"][RESPONSE[family]].to_numpy()[0]
    eta = linear_predictor(prior, "mu", ["x", "c"], {"g": ["Intercept", "x"], "h": ["Intercept"]})
    aux = {a.name: prior[a.name].to_numpy()[0][:, None] for a in FAMILIES[family].own}
    exact = SCIPY[family](MEANS[model.spec.link_name](eta), aux, FRAME["n"].to_numpy())
    u = exact.cdf(y)
    if not hasattr(exact.dist, "pdf"):  # spread over its step
        u = u - np.random.default_rng(1).uniform(size=u.shape) * exact.pmf(y)
    assert_from(u, "uniform")
    assert_allclose(np.corrcoef(u.T), np.eye(ROWS), atol=0.35)  # and rows have noise of their own


def test_responses_use_offsets_and_another_parameters_formula():
    formulas = {"mu": "real ~ x + offset(e) + (1 | g)", "sigma": "~ w + offset(log(e)) + (1 | g)"}
    model = hb.Model(formulas, FRAME, priors=NARROW | {"sigma.b": "Normal(0, 0.5)"})
    tree = model.prior_predictive(draws=200, seed=7)
    prior = tree["prior"].to_dataset()
    exposure = FRAME["e"].to_numpy()
    mu = exposure + linear_predictor(prior, "mu", ["x"], {"g": ["Intercept"]})
    sigma = exposure * np.exp(linear_predictor(prior, "sigma", ["w"], {"g": ["Intercept"]}))
    assert_from((tree["prior_predictive"]["real"].to_numpy()[0] - mu) / sigma, stats.norm.cdf)


@pytest.mark.parametrize(("family", "link"), PAIRS, ids=[f"{f}-{link}" for f, link in PAIRS])
def test_default_priors_can_be_simulated(family, link):
    """Whatever the wide priors draw: responses in the support, or NaN where the mean leaves the domain."""
    model = hb.Model(f"{left_side(family)} ~ x + (x + w | g)", FRAME, family=family, link=link)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = model.prior_predictive(draws=400, seed=8)
    y = tree["prior_predictive"][RESPONSE[family]].to_numpy()
    inside = FAMILIES[family].support.contains(y, FRAME["n"].to_numpy())
    can_leave = link in ("identity", "inverse") and family in ("poisson", "negbinomial", "gamma")
    assert np.all(inside | np.isnan(y))
    assert np.isnan(y).any() == can_leave


# -- from a posterior ----------------------------------------------------------------------------------------


def test_posterior_predictive_keeps_chains_and_draws(model):
    from hierbayes.answers.draws import flatten

    prior = sample_prior(model.spec, 30, seed=1)
    shaped = {
        v.name: prior.values[v.name].reshape(3, 10, *prior.values[v.name].shape[1:])
        for v in model.spec.variables
    }
    tree = model.prior_predictive(draws=1)
    posterior = tree["prior"].to_dataset().isel(chain=[0] * 3, draw=[0] * 10)
    for v in model.spec.variables:
        posterior[v.name] = (("chain", "draw", *v.dims), shaped[v.name])
    found = simulate_responses(model.spec, flatten(model.spec, posterior), model.design, seed=9)["real"]
    assert found.dims == ("chain", "draw", "__obs__")
    assert found.shape == (3, 10, ROWS)
    again = simulate_responses(model.spec, prior, model.design, seed=9)["real"]
    assert_allclose(found.to_numpy().reshape(30, ROWS), again.to_numpy()[0])


@pytest.mark.parametrize(
    ("wanted", "kept"), [(None, 100), (400, 100), (40, 10), (41, 11), (1, 1), (4000, 100)]
)
def test_thin_spreads_what_it_keeps_over_each_chain(model, wanted, kept):
    import xarray as xr

    posterior = xr.Dataset(
        {"sigma": (("chain", "draw"), np.zeros((4, 100)))}, coords={"draw": np.arange(100)}
    )
    thinned = thin(posterior, wanted)
    assert dict(thinned.sizes) == {"chain": 4, "draw": kept}
    places = thinned["draw"].to_numpy()
    assert len(set(places)) == kept
    assert places[0] == 0
    assert kept == 1 or places[-1] == 99
    assert np.ptp(np.diff(places)) <= 1 if kept > 2 else True


@pytest.mark.parametrize("draws", [0, -5])
def test_thinning_to_no_draws_is_refused(model, draws):
    prior = sample_prior(model.spec, 8, seed=1)
    posterior = to_dataset(model.spec, {name: values[None] for name, values in prior.values.items()})
    with pytest.raises(ValueError, match=r"1 or more, or None for all; got"):
        thin(posterior, draws)
