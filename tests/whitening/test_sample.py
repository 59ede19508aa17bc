"""Harmonic trajectories against straight steps: the same posterior; and where chains start."""

import arviz_stats
import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.engine.core.nuts import sample_nuts
from hierbayes.engine.whitened import to_problem
from hierbayes.engine.whitening import sample as sampling
from hierbayes.engine.whitening.compression import compress
from hierbayes.engine.whitening.laplace import laplace_start


def test_harmonic_trajectories_have_the_posterior_of_straight_steps(monkeypatch):
    rng = np.random.default_rng(1)
    person, item = np.divmod(np.arange(80 * 10), 10)
    eta = 0.3 + 1.2 * rng.normal(size=80)[person] + rng.normal(size=10)[item]
    frame = pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "person": person, "item": item})
    model = hb.Model("y ~ 1 + (1 | person) + (1 | item)", frame, family="bernoulli")
    problem = compress(to_problem(model.spec, model.design))
    start = laplace_start(problem)
    assert start.converged
    assert start.packed.dim >= sampling.MANY

    def run() -> sampling.Draws:
        settings = {"draws": 1500, "tune": 250, "chains": 2, "cores": 2, "seed": 1, "target_accept": 0.8}
        return sampling.sample(problem, start, progress=False, **settings)

    harmonic = run()
    assert harmonic.statistics["step_size"].max() <= 1.1 * sampling.HARMONIC["max_step_size"]
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "MANY", np.inf)
        straight = run()
    monkeypatch.setattr(sampling, "is_nearly_normal", lambda *given: True)
    long = run()
    assert long.statistics["n_steps"].mean() < harmonic.statistics["n_steps"].mean()
    for circular in (harmonic, long):
        assert not np.isin(circular.b[0], straight.b[0]).any()
        for of in (np.asarray, np.square):  # means, then squares: the variances
            for one, other in zip(numbers(circular), numbers(straight), strict=True):
                errors = [float(arviz_stats.mcse(of(draws))) for draws in (one, other)]
                assert abs(of(one).mean() - of(other).mean()) < 4.5 * np.hypot(*errors)


def test_steps_are_long_where_the_posterior_is_nearly_normal():
    """As with many rows a group; of persons by items, above, they are not."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(60), 400)
    y = rng.binomial(1, 1 / (1 + np.exp(-(0.3 + rng.normal(size=60)[g]))))
    model = hb.Model("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g}), family="bernoulli")
    start = laplace_start(compress(to_problem(model.spec, model.design)))
    assert sampling._steps(start, 0.8) == sampling.NEARLY_NORMAL
    assert sampling._steps(start, 0.9999) == sampling.HARMONIC


def numbers(draws: sampling.Draws) -> list[np.ndarray]:
    """The intercept, both sds and some effects, each (chain, draw)."""
    effects = [r[..., level, 0] for r in draws.r[0] for level in (0, 3, 7)]
    return [draws.b[0][..., 0], *(sd[..., 0] for sd in draws.sd[0]), *effects]


@pytest.mark.parametrize("converged", [True, False])
def test_chains_start_apart_as_far_as_draws_are(converged, monkeypatch):
    """In whitened coordinates a draw is about N(0, I); chains that start at one point hide that they don't mix."""
    frame = pd.DataFrame({"y": np.arange(40) % 4, "g": np.arange(40) % 8})
    model = hb.Model("y ~ 1 + (1 | g)", frame, family="poisson")
    initial = laplace_start(compress(to_problem(model.spec, model.design)))
    monkeypatch.setattr(type(initial), "converged", converged)
    width, start = 1.0 if converged else sampling.WIDER, sampling._positions(initial)
    starts = np.array([start(seed) for seed in range(200)]) - initial.position
    assert len(np.unique(starts, axis=0)) == len(starts)
    assert np.abs(starts.mean(axis=0) / width).max() < 5 / np.sqrt(200)
    # where the density is 0 a start is nearer
    assert (np.abs(starts.std(axis=0) / width - 1) < 0.3).mean() > 0.8
    seeds = []

    def recorded(density, *, start, **settings):
        return sample_nuts(density, start=lambda seed: seeds.append(seed) or start(seed), **settings)

    monkeypatch.setattr(sampling, "sample_nuts", recorded)
    settings = {"draws": 5, "tune": 5, "chains": 4, "cores": 1, "seed": 1, "target_accept": 0.8}
    sampling.sample(compress(to_problem(model.spec, model.design)), initial, progress=False, **settings)
    assert len(set(seeds)) == 4


def test_positions_and_statistics_are_of_the_same_draws():
    """The log density that is recorded of a draw is that of its position."""
    frame = pd.DataFrame({"y": np.arange(40) % 4, "g": np.arange(40) % 8})
    model = hb.Model("y ~ 1 + (1 | g)", frame, family="poisson")
    initial = laplace_start(compress(to_problem(model.spec, model.design)))
    density = sampling.density_of(initial.packed)
    settings = {"draws": 20, "tune": 30, "chains": 4, "cores": 2, "seed": 1}
    found = sample_nuts(density, start=sampling._positions(initial), **settings)
    assert found.positions.shape == (4, 20, initial.packed.dim)
    evaluate = density.evaluator()
    wanted = [[evaluate(position)[0] for position in chain] for chain in found.positions]
    np.testing.assert_allclose(found.statistics["logp"], wanted, rtol=1e-9)
    assert len(np.unique(found.positions[:, 0], axis=0)) == 4


def test_the_search_arrives_where_two_of_four_categories_are_rare() -> None:
    """Thresholds begin at the categories' shares: from evenly spread ones `disc` ran away before they could move."""
    formulas = {"mu": "rating ~ treat + period + (1 | subject)", "disc": "~ treat"}
    model = hb.Model(formulas, hb.load_dataset("inhaler"), family="cumulative")
    assert laplace_start(compress(to_problem(model.spec, model.design))).converged
