"""What lies between bounds, far out in the tails too: densities by quadrature, draws by their distribution."""

from itertools import pairwise

import numpy as np
import pymc as pm
import pytest
import scipy.stats as st
from scipy.integrate import quad

from hierbayes.distributions import TRUNCATED
from hierbayes.graph.variables import free_variable, free_vector
from hierbayes.priors import Prior, parse_prior
from tests.seeds import shifted

# no probability there is a number that a computer has, and between two ends that are near nearly none
FAR = [
    "Normal(0, 1, lower=50)",
    "Normal(3, 2, upper=-120)",
    "Normal(0, 1, lower=41, upper=41.001)",
    "StudentT(100000, 0, 1, lower=60)",
    "StudentT(5, 0, 1, upper=-1e70)",
    "Cauchy(0, 1, lower=1e150)",
    "Laplace(1, 0.5, lower=700)",
    "Logistic(0, 1, lower=1000)",
    "Gamma(2, 0.1, lower=20000)",
    "Gamma(300, 1, upper=3)",
    "InverseGamma(3, 2, upper=0.001)",
    "InverseGamma(120, 2, lower=1000)",
    "Exponential(2, lower=900)",
    "Exponential(2, lower=900, upper=900.1)",
    "LogNormal(0, 1, upper=1e-20)",
    "LogNormal(0, 0.1, lower=1e3)",
    "Beta(200, 2, upper=0.001)",
    "Beta(2, 3000, lower=0.9)",
]

LIGHT = [text for text in FAR if "StudentT(5" not in text and "Cauchy" not in text]


def _range(prior: Prior) -> tuple[float, float]:
    """The bounds of a prior, and where nothing is left on the other side."""
    lower, upper = prior.distribution.bounds(**dict(prior.args))
    drawn = prior.sample(np.random.default_rng(shifted(1)), 1000)
    width = drawn.max() - drawn.min()
    return max(lower, drawn.min() - 40 * width), min(upper, drawn.max() + 40 * width)


def test_every_distribution_is_tried():
    assert {parse_prior(text).distribution.inside for text in FAR} == set(TRUNCATED)


@pytest.mark.parametrize("text", LIGHT)
def test_densities_integrate_to_one(text):
    prior = parse_prior(text)
    lower, upper = _range(prior)
    edges = np.linspace(lower, upper, 60)
    total = sum(quad(lambda x: np.exp(prior.logpdf(x)), *ends, epsabs=1e-13)[0] for ends in pairwise(edges))
    assert total == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize(
    ("text", "power"), [("StudentT(5, 0, 1, upper=-1e70)", 5), ("Cauchy(0, 1, lower=1e150)", 1)]
)
def test_heavy_tails_are_powers(text, power):
    """x^-(ν + 1) from the bound on, a Pareto distribution."""
    prior = parse_prior(text)
    (end,) = (value for word, value in prior.args if word in ("lower", "upper"))
    for times in (1.0, 3.0):
        exact = np.log(power) - np.log(abs(end)) - (power + 1) * np.log(times)
        assert prior.logpdf(times * end) == pytest.approx(exact, rel=1e-10)
    drawn = prior.sample(np.random.default_rng(shifted(4)), 1000)
    assert st.kstest((drawn / end) ** -power, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("text", LIGHT)
def test_draws_have_that_density(text):
    """Kolmogorov's distance from the distribution function, by quadrature between successive draws."""
    prior = parse_prior(text)
    drawn = np.sort(prior.sample(np.random.default_rng(shifted(2)), 400))
    edges = np.r_[drawn[:1], drawn]
    lower, upper = prior.distribution.bounds(**dict(prior.args))
    assert lower <= drawn[0]
    assert drawn[-1] <= upper
    density = np.exp(prior.logpdf(edges))
    middle = np.exp(prior.logpdf(0.5 * (edges[1:] + edges[:-1])))
    between = (edges[1:] - edges[:-1]) * (density[1:] + 4 * middle + density[:-1]) / 6  # Simpson's rule
    start = 1.0 - between[1:].sum() if np.isfinite(upper) and not np.isfinite(lower) else 0.0
    distance = np.abs(start + np.cumsum(between) - np.arange(400) / 400).max()
    assert distance < 1.95 / 400**0.5 + 1 / 400 * 10


@pytest.mark.parametrize(
    "text", [*FAR, "Gamma(2, 1, upper=3)", "Beta(2, 3, lower=0.4)", "Exponential(1, lower=1, upper=2)"]
)
def test_the_graph_has_the_density(text):
    prior = parse_prior(text)
    with pm.Model() as model:
        variable = free_variable(pm, prior, "x")
    x = np.median(prior.sample(np.random.default_rng(shifted(3)), 101))
    found = pm.logp(variable, np.array(x)).eval(mode="FAST_COMPILE")
    assert found == pytest.approx(float(prior.logpdf(x)), rel=1e-9)
    start = model.initial_point()
    assert np.isfinite(next(iter(start.values())))
    drawn = pm.draw(variable, 3, random_seed=1)
    assert np.isfinite(prior.logpdf(drawn)).all()


def test_vectors_have_bounds_of_their_own():
    priors = [parse_prior(f"Gamma({shape}, 1, upper={end})") for shape, end in ((2, 1), (3, 4), (0.5, 900))]
    with pm.Model():
        vector = free_vector(pm, priors, "x")
    x = np.array([0.3, 3.9, 200.0])
    found = pm.logp(vector, x).eval(mode="FAST_COMPILE")
    np.testing.assert_allclose(found, [float(p.logpdf(v)) for p, v in zip(priors, x, strict=True)], rtol=1e-9)
    assert (pm.logp(vector, np.array([1.1, 4.1, 901.0])).eval(mode="FAST_COMPILE") == -np.inf).all()


def test_a_share_on_either_side_of_the_median_is_scipys():
    prior = Prior("Gamma", 3, 2, lower=0.4, upper=3)
    whole = st.gamma(3, scale=0.5)
    share = prior.distribution.share(3.0, 2.0, 0.4, 3.0)
    assert share == pytest.approx(np.log(whole.cdf(3) - whole.cdf(0.4)), rel=1e-13)
