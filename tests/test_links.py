"""Every kind of parameter under every link that it has: the parameter, both tails, the slopes, and models of them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.errors import UnsupportedError
from hierbayes.families import FAMILIES, get_family
from hierbayes.families.rows import inner_coordinates
from hierbayes.kinds import NUMBER, POSITIVE, POWER, PROBABILITY
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_families import MEANS, evaluate

FAR = np.array([-40.0, -20.0, -3.0, -0.4, 0.3, 0.9, 2.0, 20.0, 40.0])
ABOVE = np.array([1e-9, 0.02, 0.4, 1.0, 7.0, 40.0])
SHARES = np.array([1e-9, 0.02, 0.4, 0.9, 1 - 1e-6])
# the values as SciPy or plain arithmetic has them
VALUES = MEANS | {
    "cauchit": stats.cauchy.cdf,
    "softplus": lambda eta: -special.log_expit(-eta),
    # (eta + sqrt(eta² + 4)) / 2, of negative numbers as the reciprocal of the other root
    "squareplus": lambda eta: np.where(
        eta < 0, 2 / (np.hypot(eta, 2) + np.abs(eta)), (eta + np.hypot(eta, 2)) / 2
    ),
    "sqrt": np.square,
    "1/mu^2": lambda eta: eta**-0.5,
    "logm1": lambda eta: 1 + np.exp(eta),
    "log1p": np.expm1,
    "logitm1": lambda eta: 1 + special.expit(eta),
    "tan_half": lambda eta: 2 * np.arctan(eta),
}
LOG_TAILS = {
    "logit": (special.log_expit, lambda eta: special.log_expit(-eta)),
    "probit": (stats.norm.logcdf, stats.norm.logsf),
    "cloglog": (stats.gumbel_l.logcdf, stats.gumbel_l.logsf),
    # tan's complement: arctan(1/x) keeps the digits of a small tail
    "cauchit": (
        lambda eta: np.log(np.where(eta < 0, np.arctan(-1 / eta), np.pi / 2 + np.arctan(eta)) / np.pi),
        lambda eta: np.log(np.where(eta > 0, np.arctan(1 / eta), np.pi / 2 - np.arctan(eta)) / np.pi),
    ),
    "identity": (np.log, lambda p: np.log1p(-p)),
    "log": (lambda eta: eta, lambda eta: np.log(-np.expm1(eta))),
}
KINDS = [(kind, link) for kind in (NUMBER, POSITIVE, PROBABILITY, POWER) for link in kind.links]
kinds = pytest.mark.parametrize(("kind", "link"), KINDS, ids=[f"{kind.name}-{link}" for kind, link in KINDS])


def etas(kind, link):
    if kind is PROBABILITY and link == "identity":
        return SHARES
    if kind is PROBABILITY and link == "log":
        return -ABOVE
    if kind is POWER and link == "identity":
        return 1 + SHARES[1:4]  # nearer to 1 or 2 a number has too few digits for a difference
    return ABOVE if link in kind.domains else FAR


def expected_inner(kind, link, eta):
    if kind is NUMBER:
        return VALUES[link](eta)
    if kind is POWER:
        return eta if link == "logitm1" else np.log(eta - 1) - np.log(2 - eta)
    if kind is PROBABILITY:
        below, above = LOG_TAILS[link]
        return below(eta) - above(eta)
    exact = {"log": eta, "inverse": -np.log(eta.clip(1e-300)), "1/mu^2": -np.log(eta.clip(1e-300)) / 2}
    return exact[link] if link in exact else np.log(VALUES[link](eta))


@kinds
def test_inner_coordinates_keep_both_tails(kind, link):
    eta = etas(kind, link)
    t, slope, possible = inner_coordinates(kind, link, eta)
    assert np.all(possible)
    assert_allclose(t, expected_inner(kind, link, eta), rtol=1e-12, atol=1e-15)
    assert_allclose(kind.under(link, eta).inner, t, rtol=1e-13, atol=1e-15)
    assert_allclose(np.asarray(kind.under(link, eta)), VALUES[link](eta), rtol=1e-12)
    room = np.abs(eta)
    if link == "identity" and kind in (PROBABILITY, POWER):
        low, high = kind.domains[link]
        room = np.minimum(eta - low, high - eta)
    step = 1e-4 * np.minimum(room, 1.0)

    def at(k):
        return inner_coordinates(kind, link, eta + k * step)[0]

    difference = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
    # t's own rounding shows in a difference
    noise = 4e-15 * np.abs(t) / step
    assert np.all(np.abs(slope - difference) <= 1e-7 * np.abs(slope) + noise + 1e-12)


@kinds
def test_the_graph_has_the_same_inner_coordinates(kind, link):
    import pymc as pm
    import pytensor.tensor as pt

    from hierbayes.tensormath import tensor_math as _math

    eta = etas(kind, link)
    under = kind.under(link, pt.as_tensor(eta), _math(pm))
    assert_allclose(evaluate(under.inner), inner_coordinates(kind, link, eta)[0], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("link", LINKS)
def test_a_link_inverts_its_values_and_knows_its_slope(link):
    eta = np.array([0.2, 0.7, 1.5])
    record = LINKS[link]
    assert_allclose(record.link(record.mean(eta)), eta, rtol=1e-12)
    difference = (record.mean(eta + 1e-5) - record.mean(eta - 1e-5)) / 2e-5
    assert_allclose(record.slope(eta), difference, rtol=1e-7)
    assert record.words.format("weight").endswith("weight")


@pytest.mark.parametrize(
    ("kind", "link", "eta", "possible"),
    [
        (POSITIVE, "identity", [-1.0, 0.5], [False, True]),
        (POSITIVE, "1/mu^2", [-1.0, 0.5], [False, True]),
        (PROBABILITY, "identity", [-0.1, 0.0, 1.0, 1.1], [False, True, True, False]),
        (PROBABILITY, "log", [-0.1, 0.0, 0.1], [True, True, False]),
    ],
)
def test_impossible_values_are_told(kind, link, eta, possible):
    t, slope, found = inner_coordinates(kind, link, np.array(eta))
    assert found.tolist() == possible
    assert np.isfinite(t).all()
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_link_of_every_parameter_has_a_default_scale(name):
    for parameter in FAMILIES[name].own:
        for link in parameter.links if parameter.takes_formula else ():
            location, scale = parameter.location_and_scale(link, 2.5)
            assert np.isfinite(location)
            assert 0 < scale < np.inf
            value = LINKS[link].mean(np.array(location))
            assert_allclose(value, parameter.typical(2.5), rtol=1e-10)


def test_default_scales_are_a_factor_e():
    sigma = FAMILIES["gaussian"].parameter("sigma")
    assert sigma.location_and_scale("log", 5.0) == (np.log(5.0), 1.0)
    assert_allclose(sigma.location_and_scale("identity", 5.0), (5.0, 5.0))
    assert_allclose(
        sigma.location_and_scale("softplus", 5.0), (np.log(np.expm1(5.0)), 5.0 / (1 - np.exp(-5.0)))
    )


# -- which link whose parameter has ---------------------------------------------------------------------------


def test_a_link_a_parameter():
    _, links = get_family("student", {"sigma": "softplus", "nu": "logm1"})
    assert links == {"mu": "identity", "sigma": "softplus", "nu": "logm1"}
    with pytest.raises(
        UnsupportedError, match=r"'gaussian' has no parameter 'phi' for the link 'log'; it has mu, sigma"
    ):
        get_family("gaussian", {"phi": "log"})
    with pytest.raises(
        UnsupportedError, match=r"no link 'probit' for sigma; its links for sigma are log, identity"
    ):
        get_family("gaussian", {"sigma": "probit"})


# -- models ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    x, g = rng.uniform(0, 2, 300), np.arange(300) % 12
    eta = 0.3 * x + rng.normal(scale=0.2, size=12)[g]
    return pd.DataFrame(
        {
            "x": x,
            "g": g,
            "y": 1 + eta + (0.4 + 0.5 * x) * rng.normal(size=300),
            "count": rng.poisson(np.exp(0.5 + eta)),
            "zeros": np.where(rng.random(300) < 0.3, 0, rng.poisson(np.exp(1 + eta))),
            "successes": rng.binomial(9, special.expit(eta - 0.5)),
            "positive": rng.gamma(2.0, np.exp(eta) / 2.0),
        }
    )


CASES = [
    ({"mu": "y ~ x + (1 | g)", "sigma": "~ x"}, "gaussian", {"sigma": "identity"}),
    ({"mu": "y ~ x", "sigma": "~ x + (1 | g)"}, "gaussian", {"mu": "softplus", "sigma": "softplus"}),
    ({"mu": "y ~ x", "sigma": "~ x", "nu": "~ x"}, "student", {"sigma": "squareplus", "nu": "logm1"}),
    ({"mu": "count ~ x", "shape": "~ x"}, "negbinomial", {"mu": "sqrt", "shape": "identity"}),
    ({"mu": "zeros ~ x", "zi": "~ x"}, "zero_inflated_poisson", {"mu": "squareplus", "zi": "cauchit"}),
    ("successes | trials(9) ~ x + (1 | g)", "binomial", "cauchit"),
    ("successes | trials(9) ~ x", "binomial", {"mu": "log"}),
    ("successes | trials(9) ~ x", "betabinomial", "identity"),
    ("positive ~ x + (1 | g)", "gamma", "softplus"),
]


@pytest.mark.parametrize(("formula", "family", "link"), CASES, ids=[f"{c[1]}-{c[2]}" for c in CASES])
def test_the_kernel_is_the_graph(data, formula, family, link):
    assert_kernel_is_the_graph(hb.Model(formula, data, family=family, link=link))


def test_a_sigma_with_identity_link_is_sigma(data):
    """Not its logarithm: in the whitened kernel, in predictions and in simulated data."""
    formulas = {"mu": "y ~ x", "sigma": "~ x"}
    model = hb.Model(formulas, data, link={"sigma": "identity"})
    assert "Family: gaussian, link identity, sigma identity" in str(model)
    assert "sigma_i = b[Intercept]" in str(model)
    fit = model.fit(seed=2, progress=False)
    assert fit.tree.attrs["strategy"] == "whitened"
    summary = fit.summary()
    for name, value in {"sigma.Intercept": 0.4, "sigma.x": 0.5}.items():
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"], name
    draws = fit.posterior
    b, b_sigma = (draws[name].to_numpy().reshape(-1, 2) for name in ("b", "b_sigma"))
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    exact = stats.norm(b[:, [0]] + b[:, [1]] * x, b_sigma[:, [0]] + b_sigma[:, [1]] * x).logpdf(y)
    found = fit.loo().elpd
    density = special.logsumexp(exact, axis=0) - np.log(len(exact))
    assert abs(found - density.sum()) < 10  # the same scale: log sigma for sigma is hundreds away
    new = pd.DataFrame({"x": [0.0, 2.0]})
    spread = fit.predict(new, kind="response", output="draws").to_numpy().reshape(-1, 2).std(axis=0)
    sigma, mu = ([v[:, 0], v[:, 0] + 2 * v[:, 1]] for v in (b_sigma, b))
    expected = [np.sqrt(np.mean(s**2) + m.var()) for s, m in zip(sigma, mu, strict=True)]
    assert_allclose(spread, expected, rtol=0.06)


def test_a_link_is_kept_in_files_and_by_new_priors(data, tmp_path):
    model = hb.Model({"mu": "y ~ x", "sigma": "~ x"}, data, link={"sigma": "softplus"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.SamplingWarning)
        fit = model.approximate(draws=50, progress=False)
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    assert again.spec.links == {"mu": "identity", "sigma": "softplus"}
    new = pd.DataFrame({"x": [0.5, 1.5]})
    pd.testing.assert_frame_equal(fit.predict(new, kind="mean"), again.predict(new, kind="mean"))


def test_a_prior_file_names_a_link_a_parameter(tmp_path):
    path = tmp_path / "spread.toml"
    path.write_text(
        """
        family = "gaussian"
        link = {sigma = "softplus"}
        [formula]
        mu = "y ~ x"
        sigma = "~ x"
        [priors]
        Intercept = "Normal(0, 1)"
        b = "Normal(0, 1)"
        "sigma.Intercept" = "Normal(-50, 0.1)"
        "sigma.b" = "Normal(0, 0.1)"
        [design]
        x = [0, 1]
        """
    )
    file = hb.read_prior_file(path)
    simulation = file.simulate(200)
    assert simulation.spec.links["sigma"] == "softplus"


def test_data_are_simulated_with_the_link(data):
    design = {"x": np.repeat([0.0, 2.0], 4000)}
    truth = {"Intercept": 1.0, "x": 0.0, "sigma.Intercept": 0.5, "sigma.x": 1.0}
    drawn = hb.simulate({"mu": "y ~ x", "sigma": "~ x"}, design, truth, seed=1, link={"sigma": "identity"})
    assert_allclose(drawn.groupby("x")["y"].std(), [0.5, 2.5], rtol=0.05)
