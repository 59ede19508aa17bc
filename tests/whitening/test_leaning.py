"""What leans on own parameters and on coefficients of several predictors: at the start, and in the draws."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.engine.core.problem import count_free
from hierbayes.engine.whitened import to_problem
from hierbayes.engine.whitening import laplace
from hierbayes.engine.whitening.compression import compress


def times() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    x, g = rng.normal(size=400), np.arange(400) % 20
    eta = 0.2 * x + rng.normal(scale=0.25, size=20)[g]
    return pd.DataFrame({"x": x, "g": g, "y": 0.2 + np.exp(eta + 0.3 * rng.normal(size=400))})


def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    x, g = rng.normal(size=600), np.arange(600) % 20
    eta = 0.8 * x + rng.normal(scale=0.6, size=20)[g] + rng.logistic(size=600) * np.exp(-0.3 * x)
    return pd.DataFrame({"x": x, "g": g, "y": 1 + np.digitize(eta, [-1.5, -0.3, 0.6, 1.8])})


MODELS = {
    "shifted_lognormal": lambda: hb.Model("y ~ x + (1 | g)", times(), family="shifted_lognormal"),
    "cumulative": lambda: hb.Model({"mu": "y ~ x + (1 | g)", "disc": "~ x"}, ratings(), family="cumulative"),
    "acat": lambda: hb.Model("y ~ cs(x) + (1 | g)", ratings(), family="acat"),
}


def curvature(start: laplace.LaplaceStart) -> tuple[np.ndarray, np.ndarray]:
    """Minus the Hessian at a start, and which coordinates are led: effects, and coefficients of one predictor."""
    packed, step = start.packed, 1e-3
    evaluate = laplace.evaluator(packed)
    units = step * np.eye(packed.dim)
    rows = [evaluate(start.position - e)[1].copy() - evaluate(start.position + e)[1].copy() for e in units]
    led = np.ones(packed.dim, bool)
    led[: packed.n_theta] = False
    if len(packed.model.predictors) > 1:
        led[-packed.mapping.t.size :] = False
    hessian = np.array(rows) / (2 * step)
    return (hessian + hessian.T) / 2, led


@pytest.mark.parametrize("name", MODELS)
def test_at_the_start_nothing_leans_any_more(name, monkeypatch):
    model = MODELS[name]()
    problem = compress(to_problem(model.spec, model.design))
    start = laplace.laplace_start(problem)
    assert start.converged
    hessian, led = curvature(start)
    own = np.arange(len(led)) < count_free(start.packed.model.own_priors)
    leaders = ~led & (own | (np.arange(len(led)) >= start.packed.n_theta))
    assert leaders.sum() >= 2
    assert np.abs(hessian[np.ix_(led, leaders)]).max() < 0.1
    np.testing.assert_allclose(hessian[np.ix_(leaders, leaders)], np.eye(leaders.sum()), atol=0.1)

    monkeypatch.setattr(laplace, "lean", lambda packed, evaluate, position: (packed, position))
    before, _ = curvature(laplace.laplace_start(problem))
    assert np.linalg.cond(before) > 3 * np.linalg.cond(hessian)  # so there was something to do


@pytest.mark.parametrize("name", MODELS)
def test_draws_are_effective(name):
    fit = MODELS[name]().fit(seed=1, target_accept=0.95, progress=False)
    assert fit.tree.attrs["strategy"] == "whitened"
    assert fit.summary()["ess_bulk"].min() > 1000  # of 4000; without leaning 226, 1021 and fewer


def test_a_model_of_one_mean_keeps_its_map():
    """Counts have no own parameter, and one predictor: nothing is measured, nothing added."""
    frame = pd.DataFrame({"y": np.arange(40) % 4, "g": np.arange(40) % 8})
    model = hb.Model("y ~ 1 + (1 | g)", frame, family="poisson")
    mapping = laplace.laplace_start(compress(to_problem(model.spec, model.design))).packed.mapping
    assert mapping.shifts.shape[0] == 0
    assert mapping.follows.shape[0] == 0
