"""Angles at any concentration: the density with its scores, and the distribution function, against quadrature."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from hierbayes.families import FAMILIES
from hierbayes.links import LINKS

LARGE = (1e4, 1e6, 1e8)
AWAY = np.array([-8.0, -6.0, -3.0, -1.0, 0.0, 0.5, 2.0, 5.0])[:, None]  # standard deviations from the mode


def angles(eta: np.ndarray, kappa: float) -> np.ndarray:
    """Angles so far from 2 atan(eta): how far on a chord, counted so that no digit is lost."""
    return 2.0 * np.arctan(eta) + 2.0 * np.arcsin(AWAY / (2.0 * np.sqrt(kappa)))


def family(eta: np.ndarray, kappa: float, link: str = "tan_half"):
    return FAMILIES["von_mises"].at(eta, {"kappa": kappa}, LINKS[link])


@pytest.mark.parametrize("kappa", [100.0, *LARGE])
def test_density_and_scores_at_large_kappa_and_far_out(kappa):
    """With u = 2 √kappa sin((y − mu)/2): −u²/2 − log(2π I0(kappa) exp(−kappa)), and its slopes."""
    eta = np.array([-40.0, -1.3, 0.0, 2.1, 40.0])
    y = angles(eta, kappa)
    y = np.where(np.abs(y) <= np.pi, y, 0.99 * np.pi)  # where it would have gone round
    value, (in_mu, in_kappa) = family(eta, kappa).evaluate(y)
    apart = y - 2.0 * np.arctan(eta)
    away = 2.0 * kappa * np.sin(0.5 * apart) ** 2
    digits = (
        4e-16 * np.pi * np.sqrt(kappa)
    )  # what the rounding of the angles themselves leaves, in deviations
    assert_allclose(value, -away - np.log(2.0 * np.pi * special.i0e(kappa)), rtol=1e-12, atol=20 * digits)
    slope = kappa * np.sin(apart) * 2.0 / (1.0 + eta**2)
    assert_allclose(in_mu, slope, rtol=1e-10, atol=digits * np.sqrt(kappa))
    less = 1 / 2 + 1 / (8 * kappa) + 1 / (8 * kappa**2) + 25 / (128 * kappa**3) + 13 / (32 * kappa**4)
    assert_allclose(
        kappa * in_kappa, less - away, rtol=1e-8, atol=2e-10 + 20 * digits
    )  # less: kappa (1 − I1/I0)


def below(y: float, kappa: float) -> float:
    """The distribution function about 0, by quadrature."""
    x, w = np.polynomial.legendre.leggauss(800)
    far = 22.0 / np.sqrt(kappa)
    low, high = max(-np.pi, min(y, 0.0) - far), min(y, far)
    t = 0.5 * (high - low) * x + 0.5 * (high + low)
    density = np.exp(-2.0 * kappa * np.sin(0.5 * t) ** 2) / (2.0 * np.pi * special.i0e(kappa))
    return 0.5 * (high - low) * float(w @ density)


@pytest.mark.parametrize("kappa", [0.1, 5.0, 19.9, 20.1, 60.0, 300.0, *LARGE])
def test_cdf_is_the_integral_of_the_density(kappa):
    """Where kappa is large, with all digits in either tail; SciPy's own is off by 1e-6 at kappa = 51."""
    widest = min(1.0 / np.sqrt(kappa), 0.5)
    y = widest * np.array([-6.0, -3.0, -1.0, 0.0, 0.5, 2.0, 5.0])
    y = y[np.abs(y) < np.pi]
    exact = np.array([below(one, kappa) for one in y])
    found = family(np.zeros(1), kappa, "identity").cdf(y)
    assert_allclose(found, exact, rtol=1e-9 if kappa > 50 else 0.0, atol=0.0 if kappa > 50 else 1e-12)


@pytest.mark.parametrize("kappa", [3.0, 60.0, 1e6])
def test_cdf_about_another_direction_goes_round_once(kappa):
    y = np.linspace(-np.pi, np.pi, 9)
    for mu in (-3.1, -1.0, 2.0, 40.0):
        found = family(np.array([mu]), kappa, "identity").cdf(y)
        turned = (y - mu + np.pi) % (2.0 * np.pi) - np.pi
        exact = np.array([below(t, kappa) for t in turned])
        first = below((-mu) % (2.0 * np.pi) - np.pi, kappa)
        assert_allclose(found[0], 0.0, atol=1e-9)
        assert_allclose(found[-1], 1.0, rtol=1e-9)
        assert (np.diff(found) >= 0.0).all()
        assert_allclose((found - (exact - first) + 0.5) % 1.0, 0.5, atol=1e-9)
