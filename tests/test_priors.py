"""Priors: densities and draws against SciPy and PyMC, texts, addresses, TOML."""

import inspect
import math
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as some
from scipy.integrate import quad

from hierbayes.distributions import DISTRIBUTIONS, RECORDS
from hierbayes.errors import PriorError
from hierbayes.graph.variables import free_variable
from hierbayes.priors import Prior, PriorSet, normalise_address, parse_prior


class Between:
    """What of a distribution lies between bounds, by SciPy's own one, from the side whose tails keep their digits."""

    def __init__(self, whole, lower: float, upper: float):
        self.whole, self.lower, self.upper = whole, lower, upper
        self.above = lower > whole.median()
        tail = whole.sf if self.above else whole.cdf
        self.mass = abs(tail(upper) - tail(lower))

    def logpdf(self, x):
        inside = (x >= self.lower) & (x <= self.upper)
        return np.where(
            np.isnan(x), np.nan, np.where(inside, self.whole.logpdf(x) - np.log(self.mass), -np.inf)
        )

    def cdf(self, x):
        x = np.clip(x, self.lower, self.upper)
        if self.above:
            return (self.whole.sf(self.lower) - self.whole.sf(x)) / self.mass
        return (self.whole.cdf(x) - self.whole.cdf(self.lower)) / self.mass

    def moment(self, power: int) -> float:
        if not np.isfinite(self.whole.var()) and np.isinf([self.lower, self.upper]).any():
            return np.inf
        density = lambda x: x**power * self.whole.pdf(x) / self.mass  # noqa: E731
        return quad(density, self.lower, self.upper, epsabs=1e-12)[0]

    def mean(self) -> float:
        return self.moment(1)

    def var(self) -> float:
        return self.moment(2) - self.mean() ** 2 if np.isfinite(self.moment(2)) else np.inf

    def std(self) -> float:
        return self.var() ** 0.5

    def stats(self, moments: str) -> float:
        return np.nan  # not asked: the whole distribution is compared


UNIVARIATE = [
    (Prior("Uniform", -1, 4), st.uniform(-1, 5)),
    (Prior("Normal", 0.5, 2.5), st.norm(0.5, 2.5)),
    (Prior("StudentT", 3, -1, 2), st.t(3, -1, 2)),
    (Prior("StudentT", 0.4, 0, 5), st.t(0.4, 0, 5)),
    (Prior("Cauchy", 1, 2), st.cauchy(1, 2)),
    (Prior("Laplace", 1, 0.3), st.laplace(1, 0.3)),
    (Prior("Logistic", -2, 1.5), st.logistic(-2, 1.5)),
    (Prior("Exponential", 0.2), st.expon(scale=5)),
    (Prior("HalfNormal", 3), st.halfnorm(scale=3)),
    (Prior("HalfCauchy", 2), st.halfcauchy(scale=2)),
    (Prior("Gamma", 2, 0.5), st.gamma(2, scale=2)),
    (Prior("Gamma", 1, 3), st.gamma(1, scale=1 / 3)),
    (Prior("Gamma", 0.3, 2), st.gamma(0.3, scale=0.5)),
    (Prior("InverseGamma", 3, 4), st.invgamma(3, scale=4)),
    (Prior("InverseGamma", 0.7, 0.2), st.invgamma(0.7, scale=0.2)),
    (Prior("LogNormal", 1, 0.5), st.lognorm(0.5, scale=math.e)),
    (Prior("Beta", 2, 3), st.beta(2, 3)),
    (Prior("TruncatedNormal", 0.5, 2.5, lower=0), st.truncnorm(-0.2, np.inf, 0.5, 2.5)),
    (Prior("TruncatedNormal", 1, 2, -2, 3), st.truncnorm(-1.5, 1, 1, 2)),
    (Prior("TruncatedNormal", sigma=2, upper=-1), st.truncnorm(-np.inf, -0.5, 0, 2)),
    (Prior("TruncatedNormal", 0, 1, lower=6), st.truncnorm(6, np.inf)),
    (Prior("StudentT", 3, 0.5, 2.5, lower=0), Between(st.t(3, 0.5, 2.5), 0, np.inf)),
    (Prior("StudentT", 2.5, 1, 2, lower=-2, upper=3), Between(st.t(2.5, 1, 2), -2, 3)),
    (Prior("StudentT", 30, 0, 1, lower=6), Between(st.t(30), 6, np.inf)),
    (Prior("Cauchy", 1, 2, upper=0.5), Between(st.cauchy(1, 2), -np.inf, 0.5)),
    (Prior("Cauchy", 0, 1, lower=-1, upper=5), Between(st.cauchy(), -1, 5)),
    (Prior("Laplace", 1, 0.3, lower=0.5), Between(st.laplace(1, 0.3), 0.5, np.inf)),
    (Prior("Laplace", 0, 1, lower=5, upper=8), Between(st.laplace(), 5, 8)),
    (Prior("Logistic", -2, 1.5, lower=-4, upper=1), Between(st.logistic(-2, 1.5), -4, 1)),
    (Prior("Logistic", 0, 1, upper=-5), Between(st.logistic(), -np.inf, -5)),
    (Prior("HalfNormal", 2, upper=3), st.truncnorm(0, 1.5, 0, 2)),
    (Prior("HalfStudentT", 4, 2, upper=3), Between(st.t(4, 0, 2), 0, 3)),
    (Prior("HalfCauchy", 2, lower=1, upper=9), Between(st.cauchy(0, 2), 1, 9)),
    (Prior("TruncatedGamma", 2, 0.1, 1), Between(st.gamma(2, scale=10), 1, np.inf)),
    (Prior("Gamma", 3, 2, lower=5), Between(st.gamma(3, scale=0.5), 5, np.inf)),
    (Prior("Gamma", 0.6, 2, upper=3), Between(st.gamma(0.6, scale=0.5), 0, 3)),
    (Prior("Gamma", 3, 2, lower=0.5, upper=3), Between(st.gamma(3, scale=0.5), 0.5, 3)),
    (Prior("InverseGamma", 3, 4, upper=2), Between(st.invgamma(3, scale=4), 0, 2)),
    (Prior("InverseGamma", 3, 4, lower=0.5, upper=9), Between(st.invgamma(3, scale=4), 0.5, 9)),
    (Prior("Exponential", 0.2, lower=1), Between(st.expon(scale=5), 1, np.inf)),
    (Prior("Exponential", 2, lower=0.3, upper=4), Between(st.expon(scale=0.5), 0.3, 4)),
    (Prior("LogNormal", 1, 0.5, upper=2), Between(st.lognorm(0.5, scale=math.e), 0, 2)),
    (Prior("LogNormal", 0, 1, lower=0.5, upper=9), Between(st.lognorm(1), 0.5, 9)),
    (Prior("Beta", 2, 3, lower=0.4), Between(st.beta(2, 3), 0.4, 1)),
    (Prior("Beta", 0.7, 2, upper=0.6), Between(st.beta(0.7, 2), 0, 0.6)),
    (Prior("Beta", 5, 2, lower=0.2, upper=0.9), Between(st.beta(5, 2), 0.2, 0.9)),
]
GRID = np.r_[-40, np.linspace(-5, 9, 113), 1e-300, 40, np.nan]


def names(cases: list) -> list[str]:
    return [str(case[0]) for case in cases]


def correlation(q: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(q + 2, q))
    return np.corrcoef(x.T)


# Densities


def test_tables_cover_every_distribution() -> None:
    tested = {prior.name for prior, _ in UNIVARIATE} | {"HalfStudentT", "Flat", "HalfFlat", "LKJ", "Fixed"}
    tested |= {"Dirichlet"}
    assert tested == set(DISTRIBUTIONS)


@pytest.mark.parametrize("a", [(1.0,), (3.0,), (2.0, 1.0, 0.5)])
def test_a_dirichlet_is_scipys(a) -> None:
    """One concentration for all elements, or one each."""
    prior, theirs = Prior("Dirichlet", *a), st.dirichlet(np.broadcast_to(a, 3))
    x = np.array([[0.2, 0.3, 0.5], [0.05, 0.9, 0.05]])
    np.testing.assert_allclose(prior.logpdf(x), theirs.logpdf(x.T), rtol=1e-12)
    assert prior.logpdf([0.2, 0.3, 0.6]) == -np.inf
    draws = prior.sample(np.random.default_rng(1), 20_000, dimension=3)
    np.testing.assert_allclose(draws.mean(axis=0), theirs.mean(), atol=0.01)
    np.testing.assert_allclose(draws.var(axis=0), theirs.var(), atol=0.005)


def test_codes_are_distinct() -> None:
    assert sorted(record.code for record in RECORDS.values()) == list(range(len(RECORDS)))


@pytest.mark.parametrize(("prior", "reference"), UNIVARIATE, ids=names(UNIVARIATE))
@pytest.mark.filterwarnings("error")
def test_logpdf_is_scipys(prior: Prior, reference: st.rv_continuous) -> None:
    np.testing.assert_allclose(prior.logpdf(GRID), reference.logpdf(GRID), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("prior", [prior for prior, _ in UNIVARIATE], ids=str)
@pytest.mark.filterwarnings("error")
def test_logpdf_far_out(prior: Prior) -> None:
    # where SciPy takes the log of an underflowed density
    x = np.array([1e3, 1e5, 1e100])
    assert np.all(prior.logpdf([-np.inf, np.inf]) == -np.inf)
    if prior.support == "unit":
        assert np.all(prior.logpdf(x) == -np.inf)
    elif "upper" not in dict(prior.args):
        assert np.all(np.isfinite(prior.logpdf(x)))
        assert np.all(np.diff(prior.logpdf(x)) < 0)
    if prior.support == "positive":
        assert np.all(prior.logpdf(-x) == -np.inf)


def test_logpdf_of_half_student_t() -> None:
    prior = Prior("HalfStudentT", 3, 2)
    x = GRID[GRID >= 0]
    np.testing.assert_allclose(prior.logpdf(x), np.log(2) + st.t(3, 0, 2).logpdf(x), rtol=1e-12)
    assert np.all(prior.logpdf([-1e-300, -3.0, -np.inf]) == -np.inf)


def test_logpdf_of_flat_priors() -> None:
    assert np.all(Prior("Flat").logpdf([-1e9, 0.0, 3.0]) == 0)
    np.testing.assert_array_equal(Prior("HalfFlat").logpdf([-1e-9, 0.0, 3.0]), [-np.inf, 0, 0])


def test_student_t_with_huge_nu_is_normal() -> None:
    x = np.linspace(-4, 4, 17)
    # t = N + O(x^4 / nu), so 1e-9 leaves room for the truth and none for cancelling gammas
    np.testing.assert_allclose(Prior("StudentT", 1e12, 0, 1).logpdf(x), st.norm.logpdf(x), rtol=0, atol=1e-9)


def test_logpdf_broadcasts_arguments() -> None:
    sigma = np.array([[0.5], [2.0]])
    value = DISTRIBUTIONS["Normal"].logpdf(np.arange(3.0), mu=0.0, sigma=sigma)
    np.testing.assert_allclose(value, st.norm(0, sigma).logpdf(np.arange(3.0)))
    assert Prior("Normal", 0, 1).logpdf(0.0).shape == ()


# Draws


@pytest.mark.parametrize(("prior", "reference"), UNIVARIATE, ids=names(UNIVARIATE))
def test_sample_is_scipys(prior: Prior, reference: st.rv_continuous) -> None:
    draws = prior.sample(np.random.default_rng(2718), (100, 200))
    assert draws.shape == (100, 200)
    assert st.kstest(draws.ravel(), reference.cdf).pvalue > 1e-3
    if np.isfinite(reference.var()):
        standard_error = reference.std() / math.sqrt(draws.size)
        assert abs(draws.mean() - reference.mean()) < 4 * standard_error
    if np.isfinite(reference.stats("k")):
        excess = float(reference.stats("k"))
        assert abs(draws.var() / reference.var() - 1) < 4 * math.sqrt((excess + 2) / draws.size)


def test_sample_of_half_student_t() -> None:
    draws = Prior("HalfStudentT", 3, 2).sample(np.random.default_rng(1), 20_000)
    assert st.kstest(draws, lambda x: 2 * st.t(3, 0, 2).cdf(x) - 1).pvalue > 1e-3
    mean = (
        2 * 2 * st.t(3).expect(lambda x: x, lb=0)
    )  # of |2 t|; its variance is 2² · 3 less the mean's square
    assert abs(draws.mean() - mean) < 4 * math.sqrt((12 - mean**2) / draws.size)


def test_draws_of_a_fixed_value_are_that_value() -> None:
    assert (Prior("Fixed", 2.5).sample(np.random.default_rng(1), (3, 2)) == np.full((3, 2), 2.5)).all()


def test_a_set_reads_as_its_entries_with_their_origins(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[priors]\nb = "Normal(0, 2)"\nsd = "HalfNormal"\n')
    both = PriorSet.from_toml(file).merge(PriorSet.of({"sd": "Exponential(1)"}))
    lines = repr(both).splitlines()
    assert lines == [
        "PriorSet",
        "  b   Normal(mu=0, sigma=2)  (file mine.toml)",
        "  sd  Exponential(lam=1)  (user)",
    ]


@pytest.mark.parametrize("prior", [prior for prior, _ in UNIVARIATE], ids=str)
def test_same_seed_same_draws(prior: Prior) -> None:
    first, again, other = (prior.sample(np.random.default_rng(seed), 4) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)
    assert prior.sample(np.random.default_rng(5)).shape == ()


@pytest.mark.filterwarnings("error")
def test_vague_inverse_gamma_draws_without_warning() -> None:
    draws = Prior("InverseGamma", 1e-3, 1e-3).sample(np.random.default_rng(0), 100)
    assert np.all(draws > 0)


@pytest.mark.parametrize("name", ["Flat", "HalfFlat"])
def test_improper_priors_are_not_simulated(name: str) -> None:
    with pytest.raises(PriorError, match=r"improper.*give a proper prior"):
        Prior(name).sample(np.random.default_rng(0), 3)


# LKJ


@pytest.mark.parametrize("eta", [0.5, 1.0, 2.0, 7.5])
def test_lkj_of_two_integrates_to_one(eta: float) -> None:
    # r = sin(t) makes the integrand cos(t)^(2 eta - 1), bounded for eta >= 1/2
    t, weight = np.polynomial.legendre.leggauss(60)
    r = np.sin(t * np.pi / 2)
    matrices = np.stack([np.ones_like(r), r, r, np.ones_like(r)], -1).reshape(-1, 2, 2)
    density = np.exp(Prior("LKJ", eta).logpdf(matrices))
    assert (weight * density * np.cos(t * np.pi / 2)).sum() * np.pi / 2 == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("eta", [1.0, 2.0, 4.5])
def test_lkj_of_three_integrates_to_one(eta: float) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(24)
    a, b, c = np.meshgrid(*[nodes * np.pi / 2] * 3, indexing="ij")
    w = np.einsum("i,j,k->ijk", weights, weights, weights) * (np.pi / 2) ** 3
    # r23 runs over r12 r13 + cos(a) cos(b) (-1, 1)
    r12, r13, r23 = np.sin(a), np.sin(b), np.sin(a) * np.sin(b) + np.cos(a) * np.cos(b) * np.sin(c)
    jacobian = np.cos(a) ** 2 * np.cos(b) ** 2 * np.cos(c)
    one = np.ones_like(a)
    matrices = np.stack([one, r12, r13, r12, one, r23, r13, r23, one], -1).reshape(*a.shape, 3, 3)
    assert (w * jacobian * np.exp(Prior("LKJ", eta).logpdf(matrices))).sum() == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize(("q", "eta"), [(2, 1.0), (3, 0.6), (3, 2.0), (5, 1.5)])
def test_lkj_draws(q: int, eta: float) -> None:
    prior = Prior("LKJ", eta)
    draws = prior.sample(np.random.default_rng(31), 20_000, dimension=q)
    assert draws.shape == (20_000, q, q)
    assert np.all(np.isfinite(prior.logpdf(draws)))
    np.testing.assert_array_equal(draws, np.swapaxes(draws, 1, 2))
    np.testing.assert_array_equal(np.diagonal(draws, axis1=1, axis2=2), 1)
    marginal = st.beta(eta - 1 + q / 2, eta - 1 + q / 2, loc=-1, scale=2)
    pvalues = [st.kstest(draws[:, i, j], marginal.cdf).pvalue for i in range(q) for j in range(i)]
    assert min(pvalues) > 1e-3 / len(pvalues)
    # E|R| = C(eta + 1) / C(eta), with C the normalising constant: density and draws belong together
    det = np.linalg.det(draws)
    expected = math.exp(prior.logpdf(np.eye(q)) - Prior("LKJ", eta + 1).logpdf(np.eye(q)))
    assert abs(det.mean() - expected) < 4 * det.std() / math.sqrt(len(det))


def test_lkj_shapes() -> None:
    prior, rng = Prior("LKJ", 2), np.random.default_rng(0)
    assert prior.sample(rng, dimension=3).shape == (3, 3)
    assert prior.sample(rng, (4, 2), dimension=3).shape == (4, 2, 3, 3)
    np.testing.assert_array_equal(prior.sample(rng, dimension=1), [[1.0]])
    assert prior.logpdf(np.eye(1)) == 0
    assert prior.logpdf(prior.sample(rng, (4, 2), dimension=3)).shape == (4, 2)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 1], [1, 1]],
        [[1, 0.2], [0.3, 1]],
        [[2, 0], [0, 2]],
        [[1, np.nan], [np.nan, 1]],
        [[1, 1.5], [1.5, 1]],
        [[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]],
        # two negative eigenvalues, so the determinant is positive
        [[1, 3, 0, 0], [3, 1, 0, 0], [0, 0, 1, 3], [0, 0, 3, 1]],
    ],
)
def test_lkj_outside_support(matrix: list) -> None:
    assert Prior("LKJ", 2).logpdf(matrix) == -np.inf


@pytest.mark.parametrize(("name", "dimension"), [("LKJ", 0), ("HalfNormal", 2)])
def test_dimension_goes_with_lkj(name: str, dimension: int) -> None:
    with pytest.raises(PriorError, match="LKJ and Dirichlet"):
        Prior(name, 2).sample(np.random.default_rng(0), dimension=dimension)


# PyMC


@pytest.mark.parametrize("record", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_arguments_are_pymcs(record) -> None:
    import pymc as pm

    if record.name == "Fixed":
        assert not hasattr(pm, "Fixed")  # the graph holds a constant
        return
    if record.name == "LKJ":
        assert list(inspect.signature(pm.LKJCorr.dist).parameters)[1:2] == ["eta"]  # n comes from the model
        return
    theirs = inspect.signature(getattr(pm, record.whole or record.name).dist).parameters
    positional = [p.name for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if (record.whole or record.name) == "StudentT":
        positional.append("sigma")  # keyword-only in PyMC
    if record.whole:
        bounds = [name for name in record.parameters if name in ("lower", "upper")]
        assert (*positional[: len(record.parameters) - len(bounds)], *bounds) == record.parameters
        return
    if record.name == "TruncatedNormal":
        assert set(record.parameters) <= set(theirs)  # PyMC has a precision between them
        return
    assert tuple(positional[: len(record.parameters)]) == record.parameters


def test_logpdf_is_pymcs() -> None:
    import pymc as pm
    import pytensor

    priors = [
        *(prior for prior, _ in UNIVARIATE),
        Prior("HalfStudentT", 3, 2),
        Prior("Flat"),
        Prior("HalfFlat"),
    ]
    x = np.array([0.01, 0.7, 3.5])
    with pm.Model():  # as models have them
        variables = [free_variable(pm, prior, f"x{place}") for place, prior in enumerate(priors)]
    logps = [pm.logp(variable, x) for variable in variables]
    values = pytensor.function([], logps, mode="FAST_COMPILE")()
    for prior, theirs in zip(priors, values, strict=True):
        # PyMC's own log(2) of the half-Cauchy is a single-precision constant; SciPy checks the last digits
        np.testing.assert_allclose(
            prior.logpdf(x), np.broadcast_to(theirs, 3), rtol=0, atol=1e-8, err_msg=str(prior)
        )


@pytest.mark.parametrize("q", [2, 3, 4])
@pytest.mark.parametrize("eta", [0.7, 1.0, 3.0])
def test_lkj_is_pymcs_up_to_its_jacobian(q: int, eta: float) -> None:
    import pymc as pm

    matrix, sds = correlation(q, seed=q), np.linspace(0.5, 2, q)
    factor = np.linalg.cholesky(matrix)
    ours, log_diagonal, row = Prior("LKJ", eta).logpdf(matrix), np.log(np.diag(factor)), np.arange(1, q + 1)
    theirs = pm.logp(pm.LKJCorr.dist(n=q, eta=np.array(eta)), factor).eval(mode="FAST_COMPILE")
    assert theirs == pytest.approx(ours + ((q - row) * log_diagonal).sum(), rel=1e-10)

    # A row of the covariance's factor is sd times a unit vector: polar coordinates add u_ii / sd^(i - 1).
    sd_prior = Prior("Exponential", 0.5)
    packed = (sds[:, None] * factor)[np.tril_indices(q)]
    covariance = pm.LKJCholeskyCov.dist(
        eta=np.array(eta), n=q, sd_dist=pm.Exponential.dist(np.array(0.5)), compute_corr=False
    )
    theirs = pm.logp(covariance, packed).eval(mode="FAST_COMPILE")
    jacobian = ((q - row + 1) * log_diagonal - (row - 1) * np.log(sds)).sum()
    assert theirs == pytest.approx(ours + sd_prior.logpdf(sds).sum() + jacobian, rel=1e-10)


# Texts

GOOD = [
    ("Normal(0, 2.5)", Prior("Normal", 0, 2.5)),
    ("normal(mu=0, sigma=2.5)", Prior("Normal", 0, 2.5)),
    ("Normal(sigma=2.5)", Prior("Normal", 0, 2.5)),
    ("Normal(sigma=2.5, mu=-1)", Prior("Normal", -1, 2.5)),
    ("Normal(0, sigma = 2.5)", Prior("Normal", 0, 2.5)),
    ("  Gaussian ( 0 ,1e0 ) ", Prior("Normal", 0, 1)),
    ("Normal(+.5, 1.)", Prior("Normal", 0.5, 1)),
    ("Normal(\n  0,\n  1\n)", Prior("Normal", 0, 1)),
    ("student_t(3, 0, 2.5)", Prior("StudentT", 3, 0, 2.5)),
    ("StudentT(nu=4, sigma=1)", Prior("StudentT", 4, 0, 1)),
    ("t(3, 0, 1)", Prior("StudentT", 3, 0, 1)),
    ("student(3, 0, 1)", Prior("StudentT", 3, 0, 1)),
    ("cauchy(0, 5)", Prior("Cauchy", 0, 5)),
    ("double_exponential(0, 2)", Prior("Laplace", 0, 2)),
    ("Laplace(b=2)", Prior("Laplace", 0, 2)),
    ("logistic(0, 1)", Prior("Logistic", 0, 1)),
    ("uniform(-1, 1)", Prior("Uniform", -1, 1)),
    ("Flat", Prior("Flat")),
    ("Flat()", Prior("Flat")),
    ("half_flat", Prior("HalfFlat")),
    ("exponential(1)", Prior("Exponential", 1)),
    ("Exponential(lam=0.1)", Prior("Exponential", 0.1)),
    ("exp(2)", Prior("Exponential", 2)),
    ("HalfNormal", Prior("HalfNormal")),
    ("HalfNormal()", Prior("HalfNormal")),
    ("half-normal(2)", Prior("HalfNormal", 2)),
    ("HALFNORMAL(1E3)", Prior("HalfNormal", 1000)),
    ("half_t(3, 2)", Prior("HalfStudentT", 3, 2)),
    ("half_student_t(3, 2)", Prior("HalfStudentT", 3, 2)),
    ("half_cauchy(2)", Prior("HalfCauchy", 2)),
    ("gamma(2, 0.1)", Prior("Gamma", 2, 0.1)),
    ("inv_gamma(1, 1)", Prior("InverseGamma", 1, 1)),
    ("log_normal(0, 1)", Prior("LogNormal", 0, 1)),
    ("lkj(2)", Prior("LKJ", 2)),
    ("lkj_corr(eta=2)", Prior("LKJ", 2)),
]

BAD = [
    ("", "Cannot read the prior ''"),
    ("(0, 1)", "Cannot read the prior"),
    ("Normal(0, 1", "Cannot read the prior 'Normal(0, 1'"),
    ("Normal 0, 1)", "Cannot read the prior"),
    ("Normal(0, 1) + 1", "Cannot read the prior"),
    ("Normal(0, 1)T(0,)", "Cannot read the prior"),
    ("Normal(0, (1))", "Cannot read the prior"),
    ("Normal(0, one)", "'one' is not a number"),
    ("Normal(0, 1/2)", "'1/2' is not a number"),
    ("Normal(0, )", "'' is not a number"),
    ("Normal(mu=, sigma=1)", "'' is not a number"),
    ("Normal(mu=0=1, sigma=1)", "no parameter 'mu=0'"),
    ("Normal(__import__=1)", "no parameter '__import__'"),
    ("Normal(sigma=1, 0)", "'0' needs a name of its own"),
    ("Normal(mu=1, mu=2)", "'mu=2' needs a name of its own"),
    ("Normal(0, mu=1)", "mu is given twice"),
    ("Nromal(0, 1)", "No prior distribution 'Nromal' (the nearest: Normal"),
    ("Weibull(1, 1)", "all: Flat, HalfFlat, Uniform, Normal"),
    ("Normal(mu=0, sd=1)", "Normal has no parameter 'sd'; it has mu, sigma. Did you mean sigma?"),
    ("Normal(mean=0, sigma=1)", "Did you mean mu?"),
    ("Normal(mu=0, simga=1)", "Did you mean sigma?"),
    ("Normal(mu=0, Sigma=1)", "Did you mean sigma?"),
    ("Normal(mu=0, zzz=1)", "'zzz'; it has mu, sigma."),
    ("Cauchy(mu=0, sigma=1)", "Did you mean alpha?"),
    ("HalfCauchy(scale=1)", "Did you mean beta?"),
    ("Laplace(mu=0, std=1)", "Did you mean b?"),
    ("Exponential(rate=1)", "Did you mean lam?"),
    ("Exponential(lambda=1)", "Did you mean lam?"),
    ("Exponential(scale=1)", "Did you mean lam = 1/scale?"),
    ("Gamma(shape=1, rate=1)", "Did you mean alpha?"),
    ("Gamma(alpha=1, scale=1)", "Did you mean beta = 1/scale?"),
    ("StudentT(df=3)", "Did you mean nu?"),
    ("Flat(scale=1)", "Flat has no parameter 'scale'; it has none."),
    ("Normal(1, 2, 3)", "Normal takes mu, sigma; found 3 arguments"),
    ("Flat(1)", "Flat takes no arguments; found 1 arguments"),
    ("Normal(0)", "sigma is missing. Write Normal alone for a default scale."),
    ("StudentT(mu=0, sigma=1)", "StudentT takes nu, mu, sigma; nu is missing"),
    ("Uniform", "Uniform takes lower, upper; lower is missing"),
    ("Uniform(0)", "upper is missing"),
    ("Normal(nan, 1)", "mu must be finite, not nan"),
    ("Normal(0, inf)", "sigma must be finite, not inf"),
    ("Normal(1e999, 1)", "mu must be finite"),
    ("Normal(0, 0)", "Normal: sigma must be positive, not 0"),
    ("HalfNormal(-1)", "sigma must be positive, not -1"),
    ("Exponential(0)", "lam must be positive"),
    ("LKJ(-2)", "eta must be positive"),
    ("StudentT(0, 0, 1)", "nu must be positive"),
    ("Uniform(1, 1)", "lower must be below upper, but 1.0 >= 1.0"),
    ("Uniform(2, 1)", "lower must be below upper"),
]


@pytest.mark.parametrize(("text", "expected"), GOOD, ids=[text for text, _ in GOOD])
def test_parse(text: str, expected: Prior) -> None:
    assert parse_prior(text) == expected


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text for text, _ in BAD])
def test_parse_errors(text: str, message: str) -> None:
    with pytest.raises(PriorError) as caught:
        parse_prior(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [0, 2.5, True, None, [1, 2], np.float64(3)])
def test_only_texts_and_priors_are_priors(value: object) -> None:
    with pytest.raises(PriorError, match="fixed value"):
        parse_prior(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1", None, True, 1j, np.array([1.0, 2.0]), np.array(1.0), Prior("Flat")])
def test_arguments_are_numbers(value: object) -> None:
    with pytest.raises(PriorError, match="sigma must be one number"):
        Prior("Normal", 0, value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, np.float32("inf")])
def test_arguments_are_finite(value: float) -> None:
    with pytest.raises(PriorError, match="mu must be finite"):
        Prior("Normal", value, 1)


def test_a_positive_number_that_no_float_can_hold_is_not_positive() -> None:
    with pytest.raises(PriorError, match="positive"):
        Prior("HalfNormal", Fraction(1, 10**400))


@pytest.mark.parametrize("name", ["Normal(0, 1)", 3, None, "", "(0, 1)"])
def test_names_are_names(name: object) -> None:
    with pytest.raises(PriorError, match="No prior distribution"):
        Prior(name, 0, 1)  # type: ignore[arg-type]


def test_errors_are_value_errors() -> None:
    with pytest.raises(ValueError, match="no parameter"):
        Prior("Normal", mu=0, sd=1)


# A prior as a value


def test_constructor_calls_agree() -> None:
    prior = Prior("Normal", mu=0, sigma=2.5)
    assert (
        prior
        == Prior("Normal", 0, 2.5)
        == Prior("normal", np.int64(0), np.float64(2.5))
        == parse_prior(prior)
    )
    assert prior.args == (("mu", 0.0), ("sigma", 2.5))
    assert hash(prior) == hash(Prior("Normal", -0.0, Fraction(5, 2)))
    assert prior != Prior("Normal", 0, 2)


def test_prior_is_immutable_and_pickles() -> None:
    prior = Prior("Normal", 0, 1)
    with pytest.raises(AttributeError):
        prior.name = "Cauchy"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(prior)) == prior


@pytest.mark.parametrize(
    ("prior", "short", "exact", "code"),
    [
        (
            Prior("Normal", 0, 2.5),
            "Normal(mu=0, sigma=2.5)",
            "Normal(mu=0, sigma=2.5)",
            'Prior("Normal", mu=0, sigma=2.5)',
        ),
        (
            Prior("HalfNormal", 1 / 3),
            "HalfNormal(sigma=0.333333)",
            "HalfNormal(sigma=0.3333333333333333)",
            'Prior("HalfNormal", sigma=0.3333333333333333)',
        ),
        (Prior("HalfNormal"), "HalfNormal", "HalfNormal", 'Prior("HalfNormal")'),
        (Prior("Flat"), "Flat()", "Flat()", 'Prior("Flat")'),
    ],
    ids=["plain", "long", "bare", "empty"],
)
def test_texts_of_a_prior(prior: Prior, short: str, exact: str, code: str) -> None:
    assert (str(prior), prior.to_text(), repr(prior)) == (short, exact, code)


@pytest.mark.parametrize(
    ("prior", "support"),
    [
        ("Normal(0, 1)", "real"),
        ("Normal", "real"),
        ("HalfNormal", "positive"),
        ("LogNormal(0, 1)", "positive"),
        ("HalfFlat", "positive"),
        ("Flat", "real"),
        ("Uniform(0, 1)", "unit"),
        ("Uniform(0.5, 1)", "unit"),
        ("Uniform(0.5, 2)", "positive"),
        ("Beta(2, 3)", "unit"),
        ("Uniform(-1, 1)", "real"),
        ("LKJ", "correlation"),
        ("LKJ(2)", "correlation"),
        ("Dirichlet(2, 1, 1)", "simplex"),
    ],
)
def test_support(prior: str, support: str) -> None:
    assert parse_prior(prior).support == support


@pytest.mark.parametrize("name", [name for name, record in DISTRIBUTIONS.items() if record.parameters])
def test_bare_names(name: str) -> None:
    if name in ("Uniform", "Fixed") or name.startswith("Truncated"):
        with pytest.raises(PriorError, match=r"(lower|value|sigma|alpha|nu|beta|b|s|lam) is missing"):
            Prior(name)
        return
    prior = Prior(name)
    assert prior.bare
    with pytest.raises(PriorError, match="no arguments yet"):
        prior.logpdf(1.0)
    with pytest.raises(PriorError, match="no arguments yet"):
        prior.sample(np.random.default_rng(0), 2)
    resolved = prior.resolve(3, 10)
    assert not resolved.bare
    assert resolved.resolve(0, 1) is resolved


@pytest.mark.parametrize("name", ["Flat", "HalfFlat"])
def test_flat_priors_are_complete_as_they_are(name: str) -> None:
    assert not Prior(name).bare
    assert Prior(name).resolve(1, 2) == Prior(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Normal", Prior("Normal", 3, 10)),
        ("StudentT", Prior("StudentT", 3, 3, 10)),
        ("Cauchy", Prior("Cauchy", 3, 10)),
        ("Laplace", Prior("Laplace", 3, 10)),
        ("Logistic", Prior("Logistic", 3, 10)),
        ("Exponential", Prior("Exponential", 0.1)),
        ("HalfNormal", Prior("HalfNormal", 10)),
        ("HalfStudentT", Prior("HalfStudentT", 3, 10)),
        ("HalfCauchy", Prior("HalfCauchy", 10)),
        ("Gamma", Prior("Gamma", 2, 0.2)),
        ("InverseGamma", Prior("InverseGamma", 3, 20)),
        ("LogNormal", Prior("LogNormal", math.log(10), 1)),
        ("LKJ", Prior("LKJ", 1)),
        ("Dirichlet", Prior("Dirichlet", 1)),
    ],
)
def test_resolve(name: str, expected: Prior) -> None:
    assert Prior(name).resolve(location=3, scale=10) == expected


@pytest.mark.parametrize(
    "name", ["Normal", "Exponential", "HalfNormal", "Gamma", "InverseGamma", "LogNormal"]
)
def test_resolved_priors_scale_with_the_data(name: str) -> None:
    # changing the unit of y by 1000 changes the prior by just that
    x = np.array([0.2, 1.0, 5.0])
    small, large = Prior(name).resolve(0, 2), Prior(name).resolve(0, 2000)
    np.testing.assert_allclose(small.logpdf(x), large.logpdf(1000 * x) + math.log(1000), rtol=1e-12)


@pytest.mark.parametrize(
    ("location", "scale"), [(0, 0), (0, -1), (0, math.nan), (0, math.inf), (math.nan, 1)]
)
def test_resolve_needs_a_scale(location: float, scale: float) -> None:
    with pytest.raises(PriorError, match="cannot be scaled"):
        Prior("Exponential").resolve(location, scale)


# Laws

finite = some.floats(allow_nan=False, allow_infinity=False)
positive = some.floats(min_value=0, exclude_min=True, allow_infinity=False)


@some.composite
def priors(draw: some.DrawFn) -> Prior:
    record = draw(some.sampled_from(list(DISTRIBUTIONS.values())))
    if record.scaled is not None and draw(some.booleans()):
        return Prior(record.name)
    if record.name == "Uniform":
        lower, upper = sorted(draw(some.lists(finite, min_size=2, max_size=2, unique=True)))
        return Prior("Uniform", lower, upper)
    if record.inside:
        inside = some.floats(1e-3, 0.999) if record.support != "real" else finite
        lower, upper = sorted(draw(some.lists(inside, min_size=2, max_size=2, unique=True)))
        bounds = draw(
            some.sampled_from([{}, {"lower": lower}, {"upper": upper}, {"lower": lower, "upper": upper}])
        )
        own = [draw(finite if role == "location" else positive) for role in record.roles[:-2]]
        return Prior(record.name, *own, **bounds)
    return Prior(record.name, *(draw(finite if role == "location" else positive) for role in record.roles))


# no lone surrogates: they are no Unicode text, and TOML is
texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=20)
pieces = some.lists(
    some.sampled_from(
        ["sd", "b", "[", "]", "(", ")", ",", ".", " ", "\t", "x", '"', "\\", "é", "\x7f", "\n"]
    ),
    max_size=12,
).map("".join)
addresses = (texts | pieces).filter(normalise_address)
sets = some.dictionaries(addresses.map(normalise_address), priors(), max_size=5).map(PriorSet.of)


def test_bounds_of_any_prior_of_real_numbers() -> None:
    """brms's words too; a half of a distribution about 0 is what of it lies between bounds; some have none."""
    assert parse_prior("Normal(1, 2, lb=0)") == Prior("TruncatedNormal", 1, 2, lower=0)
    assert parse_prior("student_t(3, 0, 2.5, ub=1)") == Prior("TruncatedStudentT", 3, 0, 2.5, upper=1)
    assert Prior("HalfCauchy", 2, upper=9) == Prior("TruncatedCauchy", 0, 2, lower=0, upper=9)
    assert Prior("HalfNormal", 2, lower=-3, upper=9) == Prior("TruncatedNormal", 0, 2, lower=0, upper=9)
    assert Prior("Uniform", lower=0, upper=2).name == "Uniform"
    assert parse_prior("gamma(2, 0.1, lb=1)") == Prior("TruncatedGamma", 2, 0.1, 1)
    assert Prior("Exponential", 1, lower=-2, upper=3) == Prior("TruncatedExponential", 1, upper=3)
    # bounds that cut nothing off are none
    assert Prior("Gamma", 2, 1, lower=0) == Prior("Gamma", 2, 1)
    assert Prior("Beta", 2, 1, lower=-1, upper=1) == Prior("Beta", 2, 1)
    assert Prior("HalfNormal", 2, lower=0) == Prior("HalfNormal", 2)
    assert Prior("Gamma", 2, 1, upper=0.9).support == Prior("Beta", 2, 1, upper=0.9).support == "unit"
    for text, words in (
        ("LKJ(2, upper=0.5)", "LKJ takes no bounds; Normal, StudentT"),
        ("Flat(lower=2)", r"between two it is Uniform\(lower, upper\), above 0 HalfFlat"),
        ("Normal(lower=0)", "needs its arguments: mu, sigma"),
        ("Laplace(0, 1, lower=3, upper=2)", "lower must be below upper"),
        ("Gamma(2, 1, upper=-1)", "lower must be below upper, but 0.0 >= -1.0"),
        ("Beta(2, 1, lower=1.5)", "lower must be below upper, but 1.5 >= 1.0"),
        ("LogNormal(0, 1, upper=inf)", "upper must be finite"),
    ):
        with pytest.raises(PriorError, match=words):
            parse_prior(text)
    with pytest.raises(PriorError, match=r"nothing of Normal\(mu=0, sigma=1\) lies between 1e\+200 and None"):
        Prior("Normal", 0, 1, lower=1e200).logpdf(2e200)
    assert Prior("Cauchy", 0, 1, lower=0).tail == 1.0
    assert Prior("Cauchy", 0, 1, lower=0, upper=9).tail == 0.0
    assert Prior("StudentT", 4, 0, 1, lower=0).tail == 0.25


@given(priors())
def test_text_round_trip(prior: Prior) -> None:
    assert parse_prior(prior.to_text()) == prior


@given(priors())
def test_repr_round_trip(prior: Prior) -> None:
    assert eval(repr(prior), {"Prior": Prior}) == prior


@given(texts)
def test_parse_raises_nothing_but_prior_errors(text: str) -> None:
    for candidate in (text, f"Normal({text})"):
        try:
            prior = parse_prior(candidate)
        except PriorError:
            continue
        assert isinstance(prior, Prior)


@given(texts | pieces)
def test_normalise_is_idempotent(text: str) -> None:
    assert normalise_address(normalise_address(text)) == normalise_address(text)


@given(sets)
def test_toml_round_trip(priors: PriorSet) -> None:
    assert PriorSet.from_toml(priors.to_toml()) == priors


@given(sets, sets)
def test_merge_law(one: PriorSet, two: PriorSet) -> None:
    merged = dict(one.merge(two).entries)
    assert merged == {**dict(one.entries), **dict(two.entries)}
    assert one.merge(one) == one
    assert one.merge(PriorSet()) == one


# Addresses and sets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b", "b"),
        (" Intercept ", "Intercept"),
        ("sd[ Subject ,Days ]", "sd[Subject, Days]"),
        ("sd [Subject,Days]", "sd[Subject, Days]"),
        ("sigma . sd[Subject]", "sigma.sd[Subject]"),
        ("b[C(x)[T.a b]]", "b[C(x)[T.a b]]"),
        ("b[ C( x )[ T.a b ] ]", "b[C(x)[T.a b]]"),
        ("b[title[T.Dr. Who]]", "b[title[T.Dr. Who]]"),
        ("b[poly(x,2)]", "b[poly(x, 2)]"),
        ("b[a (b) c]", "b[a (b) c]"),
        ("b[reaction time]", "b[reaction time]"),
        ("sd[a:b]", "sd[a:b]"),
    ],
)
def test_normalise_address(text: str, expected: str) -> None:
    assert normalise_address(text) == expected


def test_set_from_mapping() -> None:
    priors = PriorSet.of({"b": "Normal(0, 1)", "sd[ Subject ]": Prior("HalfNormal")})
    assert priors.entries == (("b", Prior("Normal", 0, 1)), ("sd[Subject]", Prior("HalfNormal")))
    assert priors.origin == "user"
    assert PriorSet.of(priors) is priors
    assert PriorSet.of(None) == PriorSet.of({}) == PriorSet()
    assert hash(priors) == hash(PriorSet.of(dict(priors.entries)))


def test_get() -> None:
    priors = PriorSet.of({"sd[Subject, Days]": "Exponential(1)"})
    assert priors.get(" sd[ Subject,Days ]") == Prior("Exponential", 1)
    assert priors.get("sd") is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"b": 3}, r"Prior for 'b': .*not 3; a fixed value is 'Fixed\(2.5\)'"),
        ({"b[Days]": "Normal(0, -1)"}, r"Prior for 'b\[Days\]': Normal: sigma must be positive"),
        ({"sd[a,b]": "Flat", "sd[a, b]": "Flat"}, r"Prior for 'sd\[a, b\]': the address is given twice"),
        ({" ": "Flat"}, r"Prior for ' ': the address is empty"),
        ([1, 2], r"a mapping .* not \[1, 2\]"),
        (Prior("Flat"), r"a mapping .* not Prior\(\"Flat\"\)"),
    ],
    ids=str,
)
def test_bad_sets(source: object, message: str) -> None:
    with pytest.raises(PriorError, match=message):
        PriorSet.of(source)  # type: ignore[arg-type]


def test_merge() -> None:
    one = PriorSet((("b", Prior("Flat")), ("sd", Prior("HalfNormal"))), "file a.toml")
    two = PriorSet.of({"cor": "LKJ(2)", "b": "Normal(0, 1)"})
    merged = one.merge(two)
    assert [address for address, _ in merged.entries] == ["b", "sd", "cor"]
    assert merged.get("b") == Prior("Normal", 0, 1)
    assert merged.origin == "file a.toml and user"
    assert one.merge(PriorSet()).origin == "file a.toml"
    assert PriorSet().merge(two).origin == "user"


def test_toml_text() -> None:
    priors = PriorSet.of({"b": "Normal(0, 1)", "sigma.b": "Flat", 'b[C(x)[T.a "b"]]': "HalfNormal"})
    assert priors.to_toml().splitlines() == [
        "[priors]",
        'b = "Normal(mu=0, sigma=1)"',
        '"sigma.b" = "Flat()"',
        r'"b[C(x)[T.a \"b\"]]" = "HalfNormal"',
    ]


def test_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "sleep.toml"
    path.write_text(
        'description = "reaction times"\n[priors]\nsigma.Intercept = "Normal(0, 1)"\n'
        '"b[Days]" = "Normal"\n[expect]\nshare = 0.9\n',
        encoding="utf-8",
    )
    priors = PriorSet.from_toml(path)
    assert priors.entries == (("sigma.Intercept", Prior("Normal", 0, 1)), ("b[Days]", Prior("Normal")))
    assert priors.origin == "file sleep.toml"
    assert PriorSet.of(path) == PriorSet.of(str(path)) == priors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no toml at all", "Reading a TOML text"),
        ('[prior]\nb = "Flat"', r"no table \[priors\]"),
        ("priors = 3", r"no table \[priors\]"),
        ("[priors]\nb = 3", "fixed value"),
        ('[priors]\nb = "Normal(0)"', "Reading a TOML text: Prior for 'b': .*sigma is missing"),
        ('[priors]\nb = "Flat"\nb = "Flat"', "Reading a TOML text"),
        ("nowhere/to/be/found.toml", "Reading nowhere/to/be/found.toml: .*No such file"),
    ],
)
def test_bad_toml(text: str, message: str) -> None:
    with pytest.raises(PriorError, match=message):
        PriorSet.from_toml(text)
