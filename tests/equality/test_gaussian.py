"""Gaussian models with everything integrated out against NUTS on the graph; the sleep study is a test of every run."""

import warnings

import pytest

import hierbayes as hb
from tests.equality.scores import limit, scores
from tests.parity.models import MODELS

NAMES = ("pastes_nested", "oats_splitplot", "radon_slopes", "hsb82_slopes")


def compare(model: hb.Model) -> None:
    fast = model.fit(draws=4000, seed=1, progress=False)
    assert fast.tree.attrs["strategy"] != "nuts"
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", hb.SamplingWarning
        )  # a divergence of NUTS on the graph is the reference's own
        nuts = model.fit(strategy="nuts", seed=2, draws=2000, tune=2000, progress=False, target_accept=0.99)
    z = scores(fast, nuts)
    far = z[z.abs() > limit(len(z))]
    print(
        f"{len(z)} scores, largest {z.abs().max():.2f}, limit {limit(len(z)):.2f}, rms {(z**2).mean() ** 0.5:.3f}"
    )
    assert far.empty, far.to_string()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_posterior_is_that_of_nuts(name):
    reference = MODELS[name]
    compare(hb.Model(reference.formula, hb.load_dataset(reference.dataset)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_three_crossed_factors_have_the_posterior_of_nuts():
    sample = hb.load_dataset("insteval").sample(frac=0.1, random_state=1)
    compare(hb.Model("y ~ service + (1 | s) + (1 | d) + (1 | dept)", sample))
