"""The two ways to nutpie, and that they are one."""

import subprocess
import sys

import numpy as np
import nutpie.compile_pymc
import pytest
from scipy import special

from hierbayes.engine.core.density import Density
from hierbayes.engine.core.nuts import Chains, by_address, sample_nuts
from tests.core.kernels import gamma_density, triangle_density


def draw(density: Density, **changes) -> Chains:
    settings = {"draws": 100, "tune": 100, "chains": 3, "cores": 2, "seed": 3, "target_accept": 0.9} | changes
    return sample_nuts(
        density,
        start=lambda seed: np.random.default_rng(seed).uniform(0.2, 0.8, density.dim),
        **settings,
    )


def test_this_release_of_nutpie_takes_addresses():
    """If this fails, sampling is several times slower and one chain waits for another: see `by_address`."""
    assert by_address(gamma_density(2), 2, np.zeros) is not None


@pytest.mark.parametrize("missing", ["CompiledPyMCModel", "_make_model", "an argument"])
@pytest.mark.parametrize("make", [gamma_density, triangle_density])
def test_a_release_without_these_names_draws_the_same(monkeypatch, make, missing):
    expected = draw(make(4))
    module = nutpie.compile_pymc
    if missing == "CompiledPyMCModel":
        monkeypatch.delattr(module, missing)
    elif missing == "_make_model":
        monkeypatch.delattr(module.CompiledPyMCModel, missing)
        monkeypatch.delattr(nutpie.sample.__globals__["CompiledModel"], missing)
    else:
        monkeypatch.setattr(module, "CompiledPyMCModel", lambda *, dims: None)
    assert by_address(make(4), 3, np.zeros) is None
    got = draw(make(4))
    np.testing.assert_array_equal(got.positions, expected.positions)
    for name, values in expected.statistics.items():
        np.testing.assert_array_equal(got.statistics[name], values)


@pytest.mark.parametrize("cores", [1, 3])
def test_draws_do_not_depend_on_the_cores(cores):
    np.testing.assert_array_equal(
        draw(gamma_density(4), cores=cores).positions, draw(gamma_density(4)).positions
    )


def test_draws_are_those_of_the_density():
    found = draw(gamma_density(20), draws=2000).positions.reshape(-1, 20)
    mean, variance = special.digamma(3), special.polygamma(1, 3)
    effective = 20_000  # of 120,000 over all coordinates, which are alike
    assert abs(found.mean() - mean) < 4 * np.sqrt(variance / effective)
    inside = draw(triangle_density(3), draws=2000).positions.reshape(-1, 3)
    high = np.linspace(1.0, 2.0, 3)
    assert ((inside > 0) & (inside < high)).all()
    sd = high / np.sqrt(18)
    assert (np.abs(inside.mean(axis=0) - 2 / 3 * high) < 4 * sd / np.sqrt(300)).all()


def test_chains_start_where_they_are_told_and_differ():
    starts = []

    def start(seed: int) -> np.ndarray:
        starts.append(seed)
        return np.full(2, 0.5)

    found = sample_nuts(gamma_density(2), start=start, draws=5, tune=5, chains=3, cores=1, seed=1)
    assert len(set(starts)) == 3
    assert len(np.unique(found.positions[:, -1, 0])) == 3


def test_one_display_has_the_progress_of_all_chains():
    seen = []
    draw(
        gamma_density(200),
        draws=3000,
        chains=4,
        progress_callback=lambda chains: seen.append(len(chains)),
        progress_rate=5,
    )
    assert seen
    assert set(seen) == {4}


def test_nutpie_imports_arviz():
    """When this fails, nutpie imports arviz only where it needs it, and `nuts._import_nutpie` can go."""
    code = "import sys, nutpie; print('arviz' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
