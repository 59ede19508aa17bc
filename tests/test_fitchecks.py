"""What `Fit.check` finds of a family that does not suit its responses, and that it is quiet where one does."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb

RNG = np.random.default_rng(8)
N = 300
D = pd.DataFrame({"x": RNG.normal(size=N), "g": RNG.integers(0, 10, N).astype(str)})
ETA = 0.5 + 0.3 * D["x"] + pd.Series(RNG.normal(0, 0.5, 10))[D["g"].astype(int)].to_numpy()


def findings(response, **options):
    data = D.assign(y=response)
    fit = hb.fit("y ~ x + (1 | g)", data, seed=1, progress=False, draws=500, **options)
    draws = "low-ess", "r-hat", "sd-at-zero", "divergences"
    return {finding.code: finding for finding in fit.check() if finding.code not in draws}


def test_a_gaussian_taken_for_revenue_is_found_out():
    found = findings(np.exp(3 + ETA + RNG.normal(0, 0.9, N)))
    assert list(found) == ["impossible-responses", "residuals-not-uniform"]
    assert "'y' is above 0 in every row, and the model expects" in found["impossible-responses"].found
    assert "'lognormal' or 'gamma'" in found["impossible-responses"].advice


def test_a_gaussian_taken_for_shares_is_found_out():
    found = findings(RNG.beta(0.5, 0.5, N))
    assert "below 0 and" in found["impossible-responses"].found
    assert "'beta' for shares" in found["impossible-responses"].advice


@pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning")
def test_counts_that_vary_more_than_a_poisson_are_found_out():
    mu = np.exp(ETA)
    counts = RNG.negative_binomial(1.2, 1.2 / (1.2 + mu)).astype(float)
    found = findings(counts, family="poisson")
    assert "dispersion" in found
    assert "'negbinomial' has a parameter for it" in found["dispersion"].advice
    assert findings(counts, family="negbinomial") == {}


@pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning")
@pytest.mark.parametrize(
    ("family", "response"),
    [
        ("gaussian", ETA + RNG.normal(size=N)),  # below 0 in some rows
        ("gaussian", 60 + ETA + RNG.normal(size=N)),  # far above 0 in all
        ("lognormal", np.exp(3 + ETA + RNG.normal(0, 0.9, N))),
        ("poisson", RNG.poisson(np.exp(ETA)).astype(float)),
        ("bernoulli", RNG.binomial(1, 1 / (1 + np.exp(-ETA))).astype(float)),
    ],
)
def test_the_right_family_has_no_findings(family, response):
    assert findings(response, family=family) == {}


def test_few_draws_and_few_rows_say_nothing(known_fit):
    data = D.assign(y=np.exp(RNG.normal(0, 3, N)))
    (finding,) = known_fit(hb.Model("y ~ x", data), {"sigma": 1.0}, chains=1, draws=5).check()
    assert finding.code == "low-ess"
    few = known_fit(hb.Model("y ~ x", data[:10]), {"sigma": RNG.uniform(1, 2, 200)}, chains=1)
    assert "impossible-responses" not in [finding.code for finding in few.check()]
