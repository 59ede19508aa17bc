"""The page on priors of standard deviations: its grid posteriors against closed forms."""

import numpy as np
import pytest
import scipy.stats as st

from hierbayes.priors import parse_prior
from tests.pages import ROOT, read_blocks


@pytest.fixture(scope="module")
def page():
    names: dict = {}
    exec(read_blocks((ROOT / "docs" / "hyperpriors.md").read_text())[0].code, names)
    return names


@pytest.mark.parametrize("prior", ["Exponential(1)", "HalfCauchy(1)", "InverseGamma(3, 2)"])
def test_quantiles_of_a_prior_are_scipys(page, prior):
    reference = {
        "Exponential(1)": st.expon(),
        "HalfCauchy(1)": st.halfcauchy(),
        "InverseGamma(3, 2)": st.invgamma(3, scale=2),
    }[prior]
    found = page["quantiles"](parse_prior(prior).logpdf(page["tau"]))[0]
    inside = reference.cdf(100)  # where the grid ends
    np.testing.assert_allclose(found, reference.ppf(inside * np.array([0.025, 0.5, 0.975])), rtol=2e-3)


@pytest.mark.parametrize("groups", [5, 10, 50])
def test_without_error_a_flat_prior_gives_an_inverse_gamma_variance(page, groups, monkeypatch):
    """p(τ) ∝ τ^-(G-1) exp(-S/2τ²), so that τ² is InverseGamma(G/2 - 1, S/2)."""
    monkeypatch.setitem(page, "ERROR", 1e-9)
    found = page["posterior"](parse_prior("Uniform(0, 100)"), groups)
    sums = page["samples"][groups]
    expected = [np.sqrt(st.invgamma(groups / 2 - 1, scale=s / 2).ppf([0.025, 0.5, 0.975])) for s in sums]
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=0.01)
