"""Each family's row in compiled code against its record, far out in the tails too; special functions against SciPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from hierbayes.engine.whitening import densities
from hierbayes.engine.whitening.codes import DENSITIES, LINK_CODES
from hierbayes.engine.whitening.special import digamma, exp_lane, lgamma_rise, log1p_lane, log_ndtr
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
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
    """The log density with its constant, and its derivatives, of every response at every linear predictor."""
    density = DENSITIES[name]
    y, eta = (np.ravel(a).astype(float) for a in np.broadcast_arrays(np.array(y)[:, None], eta))
    trials = np.full(y.size, TRIALS if FAMILIES[name].needs_trials else 1.0)
    own, out = np.ones((2, y.size)), np.zeros((4, y.size))
    for place, value in enumerate(aux.values()):
        own[place] = value
    densities.evaluate(density.code, LINK_CODES[link], density.response(y), trials, eta, own, out)
    return y, eta, out[0] + density.constant(y, trials), out[1:]


def difference(function, at, step):
    """The derivative by central differences of fourth order."""
    near, far = (function(at + k * step) - function(at - k * step) for k in (1, 2))
    return (8 * near - far) / (12 * step)


@pytest.mark.parametrize(
    ("name", "link", "aux"),
    [(name, link, aux) for name, link in PAIRS for aux in AUXILIARIES.get(name, [{}])],
)
def test_density_and_derivatives_of_a_row(name, link, aux):
    y, eta, value, slopes = rows(name, link, RESPONSES[name], moderate(name, link), aux)
    trials = np.full(y.size, TRIALS) if FAMILIES[name].needs_trials else None

    def record(eta, **other):
        return FAMILIES[name].log_density(y, eta, aux | other, LINKS[link], trials)

    assert_allclose(value, record(eta), rtol=1e-10, atol=1e-10)
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
        assert np.isfinite(slopes[: 1 + len(aux)]).all()


@pytest.mark.parametrize("link", LOG_MEANS)
@pytest.mark.parametrize("phi", [1e-3, 0.5, 9.0, 1e3, 1e8])
def test_betabinomial_from_few_trials_to_many_and_from_two_values_to_a_binomial(link, phi):
    """Value and slopes by sums over the trials, in which nothing cancels, whatever phi and however far eta."""
    family, density = FAMILIES["betabinomial"], DENSITIES["betabinomial"]
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
                own, out = np.full((2, 1), phi), np.zeros((4, 1))
                row = np.array([y]), np.array([n])
                densities.evaluate(density.code, LINK_CODES[link], *row, np.array([eta]), own, out)
                record = family.log_density(row[0], np.array([eta]), {"phi": phi}, LINKS[link], row[1])
                assert_allclose(out[0] + density.constant(*row), expected, rtol=1e-10, atol=1e-10)
                assert_allclose(record, expected, rtol=1e-10, atol=1e-10)
                assert_allclose(out[1], slopes[0], rtol=1e-6, atol=1e-9)
                assert_allclose(phi * out[2], slopes[1], rtol=1e-8, atol=1e-10)


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
