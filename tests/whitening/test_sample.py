"""Harmonic trajectories against straight steps: the same posterior."""

import arviz_stats
import numpy as np
import pandas as pd

import hierbayes as hb
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
    monkeypatch.setattr(sampling, "MANY", np.inf)
    straight = run()
    assert harmonic.statistics["step_size"].max() <= 1.1 * sampling.HARMONIC["max_step_size"]
    assert not np.isin(harmonic.b[0], straight.b[0]).any()
    for of in (np.asarray, np.square):  # means, then squares: the variances
        for one, other in zip(numbers(harmonic), numbers(straight), strict=True):
            errors = [float(arviz_stats.mcse(of(draws))) for draws in (one, other)]
            assert abs(of(one).mean() - of(other).mean()) < 4.5 * np.hypot(*errors)


def numbers(draws: sampling.Draws) -> list[np.ndarray]:
    """The intercept, both sds and some effects, each (chain, draw)."""
    effects = [r[..., level, 0] for r in draws.r[0] for level in (0, 3, 7)]
    return [draws.b[0][..., 0], *(sd[..., 0] for sd in draws.sd[0]), *effects]
