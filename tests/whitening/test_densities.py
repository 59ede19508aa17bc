"""Each family's compiled row: scores against differences, far out in the tails too; special functions against SciPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from hierbayes.special import (
    digamma,
    exp_lane,
    lgamma_rise,
    log1p_lane,
    log1p_minus,
    log1p_wide,
    log_lane,
    log_ndtr,
)
from tests.test_families import (
    AUXILIARIES,
    FAR,
    LARGE,
    LOG_MEANS,
    LOG_REST,
    PAIRS,
    RESPONSES,
    TRIALS,
    far_log_density,
    large,
    moderate,
)

pairs = pytest.mark.parametrize(("name", "link"), PAIRS, ids=[f"{name}-{link}" for name, link in PAIRS])


def rows(name, link, y, eta, aux):
    """The log density and its derivatives in η and own parameters, of every response at every linear predictor."""
    y, eta = (np.ravel(a).astype(float) for a in np.broadcast_arrays(np.array(y)[:, None], eta))
    trials = np.full(y.size, TRIALS) if FAMILIES[name].needs_trials else None
    value, slopes = FAMILIES[name].at(eta, aux, LINKS[link]).evaluate(y, trials)
    return y, eta, value, slopes


def difference(function, at, step):
    """The derivative by central differences of fourth order."""
    near, far = (function(at + k * step) - function(at - k * step) for k in (1, 2))
    return (8 * near - far) / (12 * step)


@pytest.mark.parametrize(
    ("name", "link", "aux"),
    [(name, link, aux) for name, link in PAIRS for aux in AUXILIARIES.get(name, [{}])],
)
def test_density_and_derivatives_of_a_row(name, link, aux):
    y, eta, _, slopes = rows(name, link, RESPONSES[name], moderate(name, link), aux)
    trials = np.full(y.size, TRIALS) if FAMILIES[name].needs_trials else None

    def record(eta, **other):
        return FAMILIES[name].at(eta, aux | other, LINKS[link]).log_density(y, trials)

    assert_allclose(slopes[0], difference(record, eta, 1e-3 * np.abs(eta)), rtol=1e-6, atol=1e-7)
    for place, (parameter, at) in enumerate(aux.items()):

        def moved(values, parameter=parameter):
            return record(eta, **{parameter: values})

        assert_allclose(slopes[1 + place], difference(moved, at, 1e-3 * at), rtol=1e-6, atol=1e-7)


@pairs
def test_nothing_is_lost_far_out(name, link):
    """η = ±40: the log density is exact, its derivative finite."""
    positive = link in ("identity", "inverse") and name not in ("gaussian", "student", "lognormal")
    eta = np.array([FAR] if positive else [-FAR, FAR])
    for aux in AUXILIARIES.get(name, [{}]):
        _, _, value, slopes = rows(name, link, RESPONSES[name], eta, aux)
        with np.errstate(all="ignore"):
            expected = np.concatenate(
                [np.ravel(far_log_density(name, link, one, eta, aux)) for one in RESPONSES[name]]
            )
        assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
        assert len(slopes) == 1 + len(aux)
        assert np.isfinite(slopes).all()


@pytest.mark.parametrize("link", LOG_MEANS)
@pytest.mark.parametrize("phi", [1e-3, 0.5, 9.0, 1e3, 1e8])
def test_betabinomial_from_few_trials_to_many_and_from_two_values_to_a_binomial(link, phi):
    """Value and slopes by sums over the trials, in which nothing cancels, whatever phi and however far eta."""
    for n in (1.0, 9.0, 4000.0):
        for y in dict.fromkeys((0.0, 1.0, n // 3, n - 1, n)):
            for eta in (-FAR, -6.0, 0.3, 2.0, FAR):
                expected, slopes = special.gammaln([n + 1, y + 1, n - y + 1]) @ [1, -1, -1], np.zeros(2)
                expected -= np.log1p(np.arange(n) / phi).sum()
                slopes[1] += (np.arange(n) / (phi + np.arange(n))).sum()
                with np.errstate(under="ignore"):
                    step = 1e-4 * max(1.0, abs(eta))
                    for log_mean, count in ((LOG_MEANS[link], y), (LOG_REST[link], n - y)):
                        if count:
                            mean, k = np.exp(log_mean(eta)), np.arange(1, count)
                            expected += log_mean(eta) + np.log(mean + k / phi).sum()
                            growth = difference(log_mean, eta, step)
                            slopes[0] += growth * (1 + (mean / (mean + k / phi)).sum())
                            slopes[1] -= (k / (mean * phi + k)).sum()
                responses = FAMILIES["betabinomial"].at(np.array([eta]), {"phi": phi}, LINKS[link])
                value, found = responses.evaluate(np.array([y]), np.array([n]))
                assert_allclose(value, expected, rtol=1e-10, atol=1e-10)
                assert_allclose(found[0], slopes[0], rtol=1e-6, atol=1e-9)
                assert_allclose(phi * found[1], slopes[1], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shape", [4e4, 4e8, 4e12, 4e16])
def test_a_gamma_of_a_huge_shape_loses_no_digits(shape):
    """About its mean it is normal with variance mu²/shape, but for terms of the order of 1 / sqrt(shape)."""
    mu = 3.0
    y = mu * (1 + np.array([-1.0, 0.5, 2.0]) / np.sqrt(shape))
    value, slopes = FAMILIES["gamma"].at(np.log(np.full(3, mu)), {"shape": shape}, LINKS["log"]).evaluate(y)
    z = (y - mu) / mu * np.sqrt(shape)
    assert_allclose(
        value, stats.norm.logpdf(z) - np.log(mu / np.sqrt(shape)), atol=20 / np.sqrt(shape) + 1e-6
    )
    assert_allclose(slopes[0], z * np.sqrt(shape), rtol=1e-5)
    assert_allclose(shape * slopes[1], 0.5 - z**2 / 2, atol=20 / np.sqrt(shape) + 1e-6)


@pytest.mark.parametrize("phi", [4e4, 4e8, 4e12, 4e14])
def test_a_beta_of_a_huge_precision_loses_no_digits(phi):
    mu = 0.3
    sd = np.sqrt(mu * (1 - mu) / phi)
    y = mu + sd * np.array([-1.0, 0.5, 2.0])
    eta = np.full(3, special.logit(mu))
    value, slopes = FAMILIES["beta"].at(eta, {"phi": phi}, LINKS["logit"]).evaluate(y)
    z = (y - special.expit(eta)) / sd
    assert_allclose(value, stats.norm.logpdf(z) - np.log(sd), atol=20 / np.sqrt(phi) + 1e-5)
    assert_allclose(slopes[0], z * np.sqrt(phi * mu * (1 - mu)), rtol=10 / np.sqrt(phi) + 1e-5)
    assert_allclose(phi * slopes[1], 0.5 - z**2 / 2, atol=20 / np.sqrt(phi) + 1e-5)


@pytest.mark.parametrize(("phi", "eta"), [(4e14, 33.0), (1e6, 12.5)])
def test_a_beta_of_one_small_and_one_huge_shape_is_a_gamma(phi, eta):
    """Of a = mu phi small and b huge, b y is a gamma variable of shape a, but for terms of the order of 1 / b."""
    a = phi * special.expit(-eta)
    y = np.array([0.3, 1.0, 4.0]) / phi
    far = FAMILIES["beta"].at(np.full(3, -eta), {"phi": phi}, LINKS["logit"]).evaluate(y)
    assert_allclose(far[0], stats.gamma(a, scale=1 / phi).logpdf(y), atol=100 / phi + 1e-6)


@pytest.mark.parametrize("size", LARGE)
@pytest.mark.parametrize(("name", "link"), [("gamma", "log"), ("beta", "logit"), ("student", "identity")])
def test_rows_of_a_large_shape_are_the_normal_ones_they_tend_to(name, link, size):
    y, eta, own, z, expected = large(name, size)
    _, _, value, slopes = rows(name, link, y, eta, own)
    assert_allclose(
        value, expected, rtol=0, atol=1e-6
    )  # six sds times what the last digit of a mean is in sds
    # an sd in proportion to the root of the shape: d log density / d log shape = (1 − z²) / 2; nu says nothing more
    place = list(own).index({"gamma": "shape", "beta": "phi"}.get(name, "nu"))
    slope = 0.0 if name == "student" else (1 - z**2) / 2
    assert_allclose(size * slopes[1 + place], slope, rtol=0, atol=1e-3)


def test_special_functions():
    x = np.concatenate([np.geomspace(1e-8, 1e8, 400), [9.999, 10.0, 10.001]])
    assert_allclose([digamma(v) for v in x], special.digamma(x), rtol=1e-12, atol=1e-13)
    x = np.geomspace(1e-3, 1e4, 300)
    for y in (0.0, 0.5, 3.0, 400.0):
        found = np.array([lgamma_rise(v, y) for v in x])
        assert_allclose(found[:, 0], special.gammaln(x + y) - special.gammaln(x), rtol=1e-12, atol=1e-10)
        assert_allclose(found[:, 1], special.digamma(x + y) - special.digamma(x), rtol=1e-12, atol=1e-11)
        x_far = 1e9  # where that difference would have lost all digits: log Γ(x + y) - log Γ(x) → y log x
        value, slope = lgamma_rise(x_far, y)
        assert_allclose(value, y * np.log(x_far) + y * (y - 1) / (2 * x_far), rtol=1e-14)
        assert_allclose(slope, y / x_far, rtol=1e-6)
    z = np.linspace(-60, 60, 4001)
    found = np.array([log_ndtr(v) for v in z])
    assert_allclose(found[:, 0], special.log_ndtr(z), rtol=1e-12, atol=1e-300)
    mills = np.sqrt(2 / np.pi) / special.erfcx(-z / np.sqrt(2))
    assert_allclose(found[:, 1], mills, rtol=1e-11, atol=1e-300)
    e = np.linspace(-700, 700, 5001)
    assert_allclose([exp_lane(v) for v in e], np.exp(e), rtol=1e-15)
    t = np.concatenate([np.linspace(0, 1, 1001), np.geomspace(1e-300, 1, 500)])
    assert_allclose([log1p_lane(v) for v in t], np.log1p(t), rtol=2e-15)
    x = np.concatenate([np.geomspace(3e-308, 1e308, 2000), np.linspace(0.5, 2, 1001)])
    assert_allclose([log_lane(v) for v in x], np.log(x), rtol=3e-16)
    x = np.concatenate([np.geomspace(1e-300, 1e300, 2000), np.linspace(0, 2, 1001)])
    assert_allclose([log1p_wide(v) for v in x], np.log1p(x), rtol=5e-16)
    x = np.concatenate([np.linspace(-0.5, -0.1, 101), np.linspace(0.1, 0.5, 101)])
    assert_allclose([log1p_minus(v) for v in x], np.log1p(x) - x, rtol=1e-14)
    x = np.concatenate([-np.geomspace(1e-12, 1e-4, 50), np.geomspace(1e-12, 1e-4, 50)])
    assert_allclose([log1p_minus(v) for v in x], -x * x / 2 + x**3 / 3 - x**4 / 4 + x**5 / 5, rtol=1e-14)
