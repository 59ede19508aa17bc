"""Sampling by NUTS on the graph: schema, seeds, interruption, samplers."""

import hashlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pyarrow
import pytest

import hierbayes as hb
from hierbayes.engine.core import nuts
from hierbayes.engine.draws import largest_block
from hierbayes.schema import CHAIN_DIMS

from .conftest import SLEEP
from .seeds import shifted


def test_the_tree_follows_the_schema(sleep_fit):
    posterior = sleep_fit.posterior
    assert list(posterior.data_vars) == [variable.name for variable in sleep_fit.spec.variables]
    for variable in sleep_fit.spec.variables:
        assert posterior[variable.name].dims == (*CHAIN_DIMS, *variable.dims)
    assert posterior["Subject"].to_numpy().tolist() == sorted(
        hb.load_dataset("sleepstudy")["Subject"].unique()
    )
    assert {"diverging", "energy", "n_steps", "tree_depth"} <= set(sleep_fit.tree["sample_stats"].data_vars)
    assert "Reaction" in sleep_fit.tree["observed_data"]
    assert sleep_fit.tree.attrs["strategy"] == "nuts"
    assert sleep_fit.tree.attrs["seed"] == 2


def test_nothing_is_said_when_all_is_well(sleep_fit):
    assert sleep_fit.check() == ()


def test_arviz_reads_the_tree(sleep_fit):
    import arviz as az

    theirs = az.summary(sleep_fit.tree, var_names=["b", "sigma"], round_to="none")
    ours = sleep_fit.summary()
    np.testing.assert_allclose(theirs.loc["sigma", "mean"], ours.loc["sigma", "mean"])
    np.testing.assert_allclose(theirs.loc["b[Days]", "ess_bulk"], ours.loc["Days", "ess_bulk"])


SHORT = "Reaction ~ Days + (1 | Subject)"
SCRIPT = f"""
import hashlib, hierbayes as hb
fit = hb.fit("{SHORT}", hb.load_dataset("sleepstudy"), seed={shifted(2)}, strategy="nuts", progress=False, cores=1)
print(hashlib.sha256(fit.posterior["r_Subject"].to_numpy().tobytes()).hexdigest())
"""


@pytest.mark.filterwarnings(
    "ignore::hierbayes.errors.SamplingWarning"
)  # too few draws to say anything of more
def test_a_seed_repeats_the_draws_in_another_process_and_another_gives_others():
    model = hb.Model(SHORT, hb.load_dataset("sleepstudy"))
    one, other = (model.fit(seed=seed, strategy="nuts", progress=False).posterior for seed in (2, 3))
    here = hashlib.sha256(one["r_Subject"].to_numpy().tobytes()).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=300
    )
    assert there.stdout.strip() == here
    assert not np.isin(other["sigma"], one["sigma"]).any()


@pytest.fixture
def interruptible():
    """Ctrl-C as in a terminal; a shell has its background commands ignore it, and nothing would stop the run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning")  # of few draws, on a slow machine
@pytest.mark.parametrize("strategy", ["nuts", "collapsed", "whitened"])
def test_an_interrupted_run_keeps_what_is_drawn(monkeypatch, strategy):
    import nutpie

    sample = nutpie.sample

    def sample_and_interrupt(*args, **options):
        threading.Timer(1.5, signal.raise_signal, [signal.SIGINT]).start()
        return sample(*args, **options)

    monkeypatch.setattr(nutpie, "sample", sample_and_interrupt)
    model = hb.Model(SLEEP, hb.load_dataset("sleepstudy"))
    with pytest.warns(hb.SamplingWarning, match="interrupted"):
        fit = model.fit(
            draws=2_000_000, tune=50, chains=2, cores=2, seed=1, strategy=strategy, progress=False
        )
    assert fit.tree.attrs["interrupted"] == 1
    assert 0 < fit.posterior.sizes["draw"] < 2_000_000
    assert all(np.isfinite(fit.posterior[name]).all() for name in fit.posterior.data_vars)
    assert "stopped early" in repr(fit)


@pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning")  # of few draws
def test_names_may_have_commas():
    frame = hb.load_dataset("sleepstudy").rename(columns={"Subject": "who, where"})
    frame["z"] = np.random.default_rng(1).normal(size=len(frame))
    model = hb.Model("Reaction ~ s(Days, z, k=6) + (1 | `who, where`)", frame)
    fit = model.fit(draws=20, tune=50, chains=2, seed=1, strategy="nuts", progress=False)
    assert fit.posterior["s_s(Days, z)"].dims == ("chain", "draw", "s(Days, z)_basis")
    assert fit.posterior["r_who, where"].shape == (2, 20, 18, 1)


@pytest.mark.parametrize(
    ("counts", "chains", "draws"),
    [
        ([5, 5], [0, 1], 5),
        ([900, 0, 880, 12], [0, 2], 880),
        ([3, 0], [0], 3),
        ([0, 0], [0], 0),
        ([10, 4], [0], 10),
    ],
)
def test_the_largest_block_of_an_interrupted_run(counts, chains, draws):
    found = largest_block(np.array(counts))
    assert (found[0].tolist(), found[1]) == (chains, draws)


def test_the_centered_graph_has_the_same_posterior(sleep_fit):
    other = hb.fit(
        SLEEP,
        hb.load_dataset("sleepstudy"),
        seed=3,
        strategy="nuts",
        parameterization="centered",
        draws=3000,
        progress=False,
    )
    a, b = sleep_fit.summary(), other.summary()
    z = (a["mean"] - b["mean"]) / np.hypot(a["mcse_mean"], b["mcse_mean"])
    assert (z.abs() < 4).all(), z


def test_progress_says_that_it_compiles(capfd):
    model = hb.Model("Reaction ~ 1", hb.load_dataset("sleepstudy"))
    model.fit(draws=1000, tune=500, chains=4, seed=1, strategy="nuts", progress=True)
    assert "compiling" in capfd.readouterr().err


def test_silence_on_request(capfd):
    model = hb.Model("Reaction ~ 1", hb.load_dataset("sleepstudy"))
    model.fit(draws=1000, tune=500, chains=4, seed=1, strategy="nuts", progress=False)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""


def test_pymcs_own_sampler():
    model = hb.Model("Reaction ~ Days", hb.load_dataset("sleepstudy"))
    fit = model.fit(
        draws=500, tune=500, chains=2, cores=1, seed=1, strategy="nuts", sampler="pymc", progress=False
    )
    assert fit.tree.attrs["sampler"] == "pymc"
    ols = np.polynomial.polynomial.polyfit(fit.data["Days"], fit.data["Reaction"], 1)
    table = fit.fixef().set_index("effect")
    assert (np.abs(table["mean"] - ols) < 0.25 * table["sd"]).all()


def test_an_interrupted_run_keeps_the_statistics_of_the_chains_that_it_keeps():
    rng, drawn, stats = np.random.default_rng(1), [], []
    for length in (30, 2, 50, 48):  # with ten draws of tuning each
        positions = rng.normal(size=(length, 2))
        drawn.append(pyarrow.table({"position": list(positions)}))
        tuning = np.arange(length) < 10
        stats.append(pyarrow.table({"tuning": tuning, "logp": positions.sum(axis=1)}))
    found = nuts._read(drawn, stats, 2)
    assert found.positions.shape == (2, 38, 2)
    np.testing.assert_array_equal(found.statistics["logp"], found.positions.sum(axis=2))
    np.testing.assert_array_equal(found.positions[1, 0], np.array(drawn[3]["position"].to_pylist())[10])
