"""What a model of any family does: a new family's test calls these."""

import numpy as np

import hierbayes as hb
from tests.test_graph import compile_quickly
from tests.whitening.points import assert_density


class Graph:
    """PyMC's log density at a point."""

    def __init__(self, graph):
        self.logp_of = compile_quickly(graph, graph.logp())

    def logp(self, point):
        return float(self.logp_of(**point))


def assert_kernel_is_the_graph(model: hb.Model) -> None:
    """The whitened kernel's log density is PyMC's, in other variables, and its gradient is right."""
    assert_density(model, Graph(model.graph()), scale=0.3)


def assert_works(model: hb.Model, truth: dict[str, float], effective: int = 1000) -> hb.Fit:
    """Estimates near the truth, sound chains, and every answer that a model and a fit give."""
    fit = model.fit(seed=1, progress=False)
    assert fit.tree.attrs["strategy"] == "whitened"
    summary = fit.summary()
    for name, value in truth.items():
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"], name
    assert summary["ess_bulk"].min() > effective
    assert summary["r_hat"].max() < 1.02
    for kind in ("linear", "response", *(["mean"] if model.spec.family.mean is not None else [])):
        found = fit.predict(fit.data.iloc[:4], kind=kind)
        if model.spec.family.mean is None:  # of angles, whose averages say nothing
            found = found[["lower", "upper"]]
        assert np.isfinite(found.to_numpy()).all()
    # Kolmogorov's distance of the quantile residuals from uniform ones, exceeded once in 1000 times
    quantile = np.sort(fit.residuals()["quantile"].to_numpy())
    assert (
        np.abs(quantile - (np.arange(len(quantile)) + 0.5) / len(quantile)).max()
        < 1.95 / len(quantile) ** 0.5
    )
    assert np.isfinite(fit.loo().elpd)
    for name in model.spec.plain_parameters:
        assert name in repr(model)
        assert name in set(model.priors["class"])
        assert name in fit.posterior
    drawn = model.prior_predictive(draws=50)
    y = next(iter(drawn["prior_predictive"].data_vars.values())).to_numpy()
    assert model.spec.family.support.contains(y, model.design.trials).all()
    if model.spec.family.mean is not None:
        assert str(model.prior_summary(draws=200))
    return fit


def grouped(rows: int, groups: int, seed: int) -> tuple[np.random.Generator, dict]:
    """A generator, and columns x and g with eta = 0.4 x + the group's effect of sd 0.5."""
    rng = np.random.default_rng(seed)
    g = np.arange(rows) % groups
    x = rng.normal(size=rows)
    return rng, {"x": x, "g": g, "eta": 0.4 * x + rng.normal(scale=0.5, size=groups)[g]}
