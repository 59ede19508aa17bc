"""Gaussian models with everything integrated out against NUTS on the graph; the sleep study is a test of every run."""

import pytest

import hierbayes as hb
from tests.equality.comparing import compare
from tests.parity.models import MODELS

NAMES = ("pastes_nested", "oats_splitplot", "radon_slopes", "hsb82_slopes")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_posterior_is_that_of_nuts(name):
    reference = MODELS[name]
    compare(hb.Model(reference.formula, hb.load_dataset(reference.dataset)), "collapsed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_three_crossed_factors_have_the_posterior_of_nuts():
    sample = hb.load_dataset("insteval").sample(frac=0.1, random_state=1)
    compare(hb.Model("y ~ service + (1 | s) + (1 | d) + (1 | dept)", sample), "collapsed")
