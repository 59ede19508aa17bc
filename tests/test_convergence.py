"""Effective sample sizes, R-hat and Monte Carlo error, against ArviZ's."""

import subprocess
import sys

import numpy as np
import pytest
from arviz_stats.base import array_stats

from hierbayes.answers.convergence import diagnostics


def autoregressive(phi, chains, draws, quantities, seed=0):
    noise = np.random.default_rng(seed).standard_normal((chains, draws, quantities))
    for draw in range(1, draws):
        noise[:, draw] += phi * noise[:, draw - 1]
    return noise


def by_arviz(draws):
    axes = {"chain_axis": 0, "draw_axis": 1}
    with np.errstate(all="ignore"):
        return {
            "ess_bulk": array_stats.ess(draws, method="bulk", **axes),
            "ess_tail": array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **axes),
            "r_hat": array_stats.rhat(draws, **axes),
            "mcse_mean": array_stats.mcse(draws, method="mean", **axes),
        }


def assert_arvizs(draws):
    ours, theirs = diagnostics(draws), by_arviz(draws)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("chains", [1, 2, 4])
@pytest.mark.parametrize("phi", [-0.9, -0.5, 0.0, 0.5, 0.95, 0.999])
def test_autoregressive_chains(phi, chains):
    for draws in (4, 5, 6, 7, 8, 9, 10, 11, 13, 50, 101, 1000):
        assert_arvizs(autoregressive(phi, chains, draws, 3))


def test_many_quantities_and_none():
    assert_arvizs(autoregressive(0.5, 2, 60, 120))
    assert [values.shape for values in diagnostics(np.zeros((2, 60, 0))).values()] == [(0,)] * 4


def test_ties():
    draws = autoregressive(0.5, 4, 200, 3)
    assert_arvizs(np.round(draws))
    assert_arvizs(np.maximum(draws, 0.5))


def test_chains_that_disagree():
    draws = autoregressive(0.3, 4, 100, 2) + np.arange(4)[:, None, None]
    assert (diagnostics(draws)["r_hat"] > 1.3).all()
    assert_arvizs(draws)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_never_moves_is_missing_or_infinite():
    draws = autoregressive(0.3, 4, 100, 5)
    draws[..., 0] *= 1e-18
    draws[..., 1] = 2.5
    draws[0, 3, 2] = np.nan
    draws[1, 5, 3] = np.inf
    found = diagnostics(draws)
    assert found["ess_bulk"][1] == 400
    assert np.isnan(found["r_hat"][[1, 2]]).all()
    assert_arvizs(draws)


@pytest.mark.filterwarnings("ignore:At least")
def test_too_few_draws_say_nothing():
    assert all(np.isnan(values).all() for values in diagnostics(np.zeros((4, 3, 2))).values())


def test_a_first_fit_and_its_summary_wait_for_no_arviz():
    code = (
        "import sys, hierbayes as hb; "
        "fit = hb.fit('Reaction ~ Days + (Days | Subject)', hb.load_dataset('sleepstudy'), draws=50, tune=50, "
        "seed=1, progress=False); fit.summary(prob=0.9, interval='eti'); "
        "print([m for m in ('arviz', 'arviz_stats', 'scipy.stats', 'matplotlib', 'pymc') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
