"""The whitened strategy: what it takes, that its posterior is the graph's, and that its start is not easily upset."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import hierbayes as hb
from hierbayes.data.design import MEAN
from hierbayes.engine import choose
from hierbayes.engine.core.arguments import leaves_of
from hierbayes.engine.whitened import to_problem
from hierbayes.engine.whitening.laplace import laplace_start
from tests.test_collapsed import _assert_same_posterior
from tests.test_graph import DENSITIES

CBPP = "incidence | trials(size) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def cbpp_model():
    return hb.Model(CBPP, hb.load_dataset("cbpp"), family="binomial")


@pytest.fixture(scope="module")
def cbpp_fit(cbpp_model):
    return cbpp_model.fit(seed=1, progress=False)


def test_the_posterior_is_that_of_nuts(cbpp_model, cbpp_fit):
    nuts = cbpp_model.fit(seed=2, strategy="nuts", draws=2000, target_accept=0.97, progress=False)
    assert cbpp_fit.tree.attrs["strategy"] == "whitened"
    assert list(cbpp_fit.posterior.data_vars) == list(nuts.posterior.data_vars)
    for name in cbpp_fit.posterior.data_vars:
        assert cbpp_fit.posterior[name].dims == nuts.posterior[name].dims
    assert set(nuts.tree["sample_stats"].data_vars) == set(cbpp_fit.tree["sample_stats"].data_vars)
    _assert_same_posterior(cbpp_fit, nuts)


def test_the_betabinomial_posterior_of_cbpp_is_that_of_an_integrated_likelihood():
    """Herds integrated out by quadrature, the rest by importance sampling: no NUTS, no kernel, no family's record."""
    model = hb.Model(CBPP, hb.load_dataset("cbpp"), family="betabinomial")
    fit = model.fit(draws=3000, target_accept=0.95, seed=1, progress=False)
    assert fit.summary()["ess_bulk"].min() > 1000
    layout, bound = model.spec.layout.predictors[MEAN], model.design.predictors[MEAN]
    x, codes = layout.map.inner_columns(bound.x), bound.factors["herd"].codes
    y, n = model.design.y[:, None], model.design.trials[:, None]
    draws = fit.posterior.stack(draw_=("chain", "draw"))
    b = layout.map.to_inner(draws["b"].to_numpy().T).T
    found = np.vstack([b, np.log(draws["sd_herd"].to_numpy()), np.log(draws["phi"].to_numpy())])
    sd_prior = model.spec.prior("sd", coefficient="Intercept", group="herd")
    priors = (*model.spec.coefficient_priors(MEAN), sd_prior, model.spec.prior("phi", parameter="phi"))
    proposal = stats.multivariate_t(found.mean(axis=1), 1.3 * np.cov(found), df=5)
    points = proposal.rvs(4000, random_state=3)
    nodes, masses = np.polynomial.hermite_e.hermegauss(21)
    masses = np.log(masses / masses.sum())
    quantities = np.column_stack([points[:, :4], np.exp(points[:, 4:])])
    logs = points[:, 4:].sum(axis=1) - proposal.logpdf(points)
    for prior, values in zip(priors, quantities.T, strict=True):
        logs += DENSITIES[prior.name](*dict(prior.args).values()).logpdf(values)
    for s, (*b, sd, phi) in enumerate(quantities):
        eta = (x @ b)[:, None] + sd * nodes
        alpha, beta = (np.clip(special.expit(signed) * phi, 1e-280, 1e280) for signed in (eta, -eta))
        rows = special.betaln(y + alpha, n - y + beta) - special.betaln(alpha, beta)
        herds = np.stack([np.bincount(codes, column) for column in rows.T])
        logs[s] += special.logsumexp(herds + masses[:, None], axis=0).sum()
    weights = special.softmax(logs)
    assert 1 / np.square(weights).sum() > 1000
    for power in (1, 2):
        values, own = points**power, found**power
        expected = weights @ values
        error = np.sqrt(np.square(weights) @ np.square(values - expected))
        # a thousand effective draws of the chains at the least
        z = (own.mean(axis=1) - expected) / np.hypot(error, own.std(axis=1) / np.sqrt(1000))
        assert np.abs(z).max() < 3.5


def test_betabinomial_parameters_are_recovered():
    """Also a precision that depends on a predictor."""
    rng = np.random.default_rng(12)
    frame = pd.DataFrame({"g": np.repeat(np.arange(40), 12), "x": rng.normal(size=480)})
    frame["n"], u = rng.integers(1, 40, 480), rng.normal(0, 0.8, 40)
    mu = special.expit(-0.7 + 0.5 * frame["x"] + u[frame["g"]])
    phi = np.exp(1.5 + 0.6 * frame["x"])
    frame["y"] = rng.binomial(frame["n"], rng.beta(mu * phi, (1 - mu) * phi))
    formulas = {"mu": "y | trials(n) ~ x + (1 | g)", "phi": "~ x"}
    fit = hb.fit(formulas, frame, family="betabinomial", draws=1500, chains=2, seed=1, progress=False)
    assert fit.tree.attrs["strategy"] == "whitened"
    table = fit.summary()
    assert table["ess_bulk"].min() > 400
    z = (table["mean"] - [-0.7, 0.5, 0.8, 1.5, 0.6]) / table["sd"]
    assert z.abs().max() < 3
    assert table["sd"].max() < 0.2


def test_draws_are_nearly_independent(cbpp_fit):
    table = cbpp_fit.summary()
    assert table["ess_bulk"].min() > 3000
    assert cbpp_fit.check() == ()
    assert not cbpp_fit.tree["sample_stats"]["diverging"].any()


def test_a_seed_repeats_the_draws(cbpp_model):
    one, two = (cbpp_model.fit(seed=4, cores=cores, progress=False) for cores in (1, 2))
    other = cbpp_model.fit(seed=5, progress=False)
    assert one.posterior.equals(two.posterior)
    assert not np.isin(other.posterior["b"], one.posterior["b"]).any()


def test_a_fit_needs_no_pymc():
    code = (
        "import sys, hierbayes as hb; "
        f"fit = hb.fit({CBPP!r}, hb.load_dataset('cbpp'), family='binomial', draws=200, progress=False); "
        "fit.ranef(); fit.predict(); "
        "print([name for name in ('pymc', 'pytensor') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _rows(n=400, seed=3):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"g": rng.integers(0, 40, n), "h": rng.integers(0, 7, n), "x": rng.integers(0, 3, n)}
    )
    frame["eta"] = 0.5 * frame["x"] - 0.5 + rng.normal(size=40)[frame["g"]] + rng.normal(size=7)[frame["h"]]
    frame["y"] = rng.binomial(1, 1 / (1 + np.exp(-frame["eta"])))
    frame["count"] = rng.poisson(np.exp(frame["eta"]))
    return frame


def test_the_plan_says_how_many_cells_are_left():
    frame = pd.concat([_rows()] * 5)
    model = hb.Model("y ~ x + (1 | h)", frame, family="bernoulli")
    plan = choose(model.spec, model.design)
    assert "2,000 rows → 21 cells" in plan.reason
    fit = model.fit(seed=1, progress=False)
    assert (fit.tree.attrs["rows"], fit.tree.attrs["cells"]) == (2000, 21)
    assert len(fit.tree["observed_data"]["y"]) == 2000


def test_merging_rows_changes_no_posterior(monkeypatch):
    model = hb.Model("count ~ x + (1 | h)", _rows(), family="poisson")
    merged = model.fit(seed=1, progress=False)
    monkeypatch.setattr("hierbayes.engine.whitened.compress", lambda problem: problem)
    plain = model.fit(seed=2, progress=False)
    assert merged.tree.attrs["cells"] < plain.tree.attrs["cells"] == 400
    _assert_same_posterior(merged, plain)


def _hard(name):
    """Data that upset approximations, with the formula and family for them."""
    frame, rng = _rows(), np.random.default_rng(1)
    if name == "separation":
        return "y ~ x + (1 | h)", frame.assign(y=(frame["x"] > 0).astype(int)), "bernoulli"
    if name == "rare":
        return "y ~ x + (1 | h)", frame.assign(y=(np.arange(400) == 7).astype(int)), "bernoulli"
    if name == "all zero":
        return "count ~ x + (1 | g)", frame.assign(count=0), "poisson"
    if name == "one row a level":
        return "count ~ x + (1 | o)", frame.assign(o=np.arange(400)), "poisson"
    if name == "no spread between groups":
        return "count ~ x + (1 | g)", frame.assign(count=rng.poisson(3.0, 400)), "poisson"
    if name == "badly scaled":
        return "count ~ z + (1 | g)", frame.assign(z=1e9 + 1e6 * frame["x"]), "poisson"
    if name == "huge counts":
        return "count ~ x + (1 | g)", frame.assign(count=rng.poisson(np.exp(frame["eta"] + 12))), "poisson"
    if name == "outliers":
        return "v ~ x + (1 | g)", frame.assign(v=rng.standard_cauchy(400)), "student"
    if name == "mean near 0":
        return "count ~ x + (1 | g)", frame.assign(count=rng.poisson(1e-2, 400)), "negbinomial"
    if name == "empty cells":  # some combinations of predictors, and most of two factors, never occur
        c = np.where(frame["x"] == 1, "a", np.where(frame["h"] < 4, "b", "c"))
        return "y ~ x + c + (1 | g) + (1 | h) + (1 | g:h)", frame.assign(c=c), "bernoulli"
    if name == "one answer a level":
        return "y ~ x + (1 | o)", frame.assign(o=np.arange(400)), "bernoulli"
    if name == "separated by level":
        return "y ~ x + (x | h)", frame.assign(y=(frame["h"] > 2).astype(int)), "bernoulli"
    if name == "two levels":
        return "y ~ x + (x | o)", frame.assign(o=frame["g"] % 2), "bernoulli"
    if name == "slopes badly scaled":
        return "count ~ z + (z | g)", frame.assign(z=1e9 + 1e6 * frame["x"]), "poisson"
    if name == "hardly any rows a level":
        g, h = rng.integers(0, 3000, 6000), rng.integers(0, 3000, 6000)
        return (
            "y ~ 1 + (1 | g) + (1 | h)",
            pd.DataFrame({"y": rng.integers(0, 2, 6000), "g": g, "h": h}),
            "bernoulli",
        )
    assert name == "many levels"
    g, h, k = rng.integers(0, 3000, 12000), rng.integers(0, 2000, 12000), rng.integers(0, 1500, 12000)
    effects = [rng.normal(size=size)[codes] for size, codes in ((3000, g), (2000, h), (1500, k))]
    y = rng.binomial(1, 1 / (1 + np.exp(-sum(effects))))
    return "y ~ 1 + (1 | g) + (1 | h) + (1 | k)", pd.DataFrame({"y": y, "g": g, "h": h, "k": k}), "bernoulli"


HARD = [
    "separation", "rare", "all zero", "one row a level", "no spread between groups", "badly scaled", "huge counts",
    "outliers", "mean near 0", "empty cells", "one answer a level", "separated by level", "two levels",
    "slopes badly scaled", "hardly any rows a level", "many levels",
]  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_the_laplace_start_arrives(name):
    formula, frame, family = _hard(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        model = hb.Model(formula, frame, family=family)
    start = laplace_start(to_problem(model.spec, model.design))
    assert start.converged, start.slope
    for array in leaves_of(start.packed.mapping):
        assert np.isfinite(array).all()


def test_without_a_laplace_start_the_posterior_is_the_same(monkeypatch, cbpp_model, cbpp_fit, capsys):
    """A map that knows nothing is exact too: it only takes longer."""
    monkeypatch.setattr("hierbayes.engine.whitening.laplace.ROUNDS", 1)
    monkeypatch.setattr("hierbayes.engine.whitening.laplace.STEPS", 0)
    fit = cbpp_model.fit(seed=3, draws=2000, target_accept=0.95, progress=True)
    assert fit.tree.attrs["initialisation"] == "not converged"
    assert "did not converge" in capsys.readouterr().err
    _assert_same_posterior(fit, cbpp_fit)
