"""Monotonic effects that vary by group: columns, densities, posteriors, answers, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.answers.predict import Request, evaluate_predictors
from hierbayes.criticism.likelihood import log_densities
from hierbayes.criticism.marginal import hold_out, log_marginal
from hierbayes.errors import FormulaError, UnsupportedError
from hierbayes.formula import parse
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_monotonic import FRAME as PLAIN

N = len(PLAIN)
FRAME = PLAIN.assign(
    h=np.roll(PLAIN["g"].to_numpy(), 7), w=np.linspace(0.2, 0.8, N), v=np.linspace(0.8, 0.2, N)
)

FEW = pytest.mark.filterwarnings(
    "ignore::hierbayes.errors.SamplingWarning"
)  # draws, and fewer effective ones


# -- formulas ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["y ~ mo(x) + (mo(x) | g)", "y ~ mo(x) * z + (0 + mo(x) + mo(x):z || g)"])
def test_a_formula_is_read_and_written(text):
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y ~ mo(size) + (mo(size):z | g)", "has the steps of the population-level mo.size.:z; add that one"),
        ("y ~ mo(size) + (mo(size) | gr(g, by=h))", "which don't go with gr.*leave by= out"),
        (
            "y ~ mo(size) + mo(k) + (mo(size) * mo(k) | g)",
            "has the steps of the population-level mo.size.:mo.k.",
        ),
        ('y ~ mo(size, id="p") + (mo(size) | g)', "give both the same id="),
        ("y ~ mo(k) + ar1(0 + mo(k) | g)", "takes the times, a column"),
        (
            'y ~ mo(f, levels=["a", "b", "c"]) + (mo(f, levels=["c", "b", "a"]) | g)',
            "give both the same levels=",
        ),
    ],
)
def test_what_cannot_be_is_refused(text, words):
    with pytest.raises(FormulaError, match=words):
        hb.Model(text, FRAME)


# -- densities --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("y ~ mo(size) + (1 + mo(size) | g)", "gaussian", {}),
        (
            "y ~ mo(size) * z + (0 + mo(size) + mo(size):z || g)",
            "gaussian",
            {"simo[mo(size)]": "Dirichlet(2, 1, 0.5)"},
        ),
        (
            "count ~ mo(size) * f + mo(j) + (mo(j) + mo(size) | g) + (1 | h)",
            "poisson",
            {"b[mo(j)]": "Fixed(0.3)"},
        ),
        ("count ~ mo(size) + (mo(size) | mm(g, h, weights=cbind(w, v)))", "poisson", {}),
        (
            {"mu": "y ~ z + mo(k) + (1 + mo(k) |p| g)", "sigma": "~ mo(k) + (1 + mo(k) |p| g)"},
            "gaussian",
            {},
        ),
        (
            ["y ~ mo(size) + (1 + mo(size) |p| g)", "count ~ mo(size) * z + (mo(size) |p| g)"],
            ["gaussian", "poisson"],
            {},
        ),
    ],
)
def test_the_whitened_density_is_the_graphs(formula, family, priors):
    """And its gradient that of differences."""
    assert_kernel_is_the_graph(hb.Model(formula, FRAME, family=family, priors=priors))


def test_a_level_climbs_the_populations_steps_by_a_height_of_its_own():
    """The rows' density in draws of the prior, against the heights written out."""
    model = hb.Model("count ~ mo(size) * z + (1 + mo(size) + mo(size):z | g)", FRAME, family="poisson")
    prior = model.prior_predictive(draws=50, seed=2)["prior"]
    draws = flatten(model.spec, prior.to_dataset())
    request = Request("linear", ("g",), "error", 0)
    eta, aux = evaluate_predictors(model.spec, draws, model.design, request)
    b, r = draws.values["b"], draws.values["r_g"]
    codes, level = FRAME["size"].cat.codes.to_numpy(), np.unique(FRAME["g"], return_inverse=True)[1]
    heights = [
        np.concatenate([np.zeros((50, 1)), 3 * draws.values[name].cumsum(axis=1)], axis=1)[:, codes]
        for name in ("simo_mo(size)", "simo_mo(size):z")
    ]
    z = FRAME["z"].to_numpy()
    own = [b[:, [0]] + r[:, level, 0], b[:, [1]] + r[:, level, 1], b[:, [3]] + r[:, level, 2]]
    by_hand = own[0] + own[1] * heights[0] + b[:, [2]] * z + own[2] * heights[1] * z
    assert_allclose(eta, by_hand, rtol=1e-10, atol=1e-10)
    mean = np.exp(np.minimum(by_hand, 30))
    y, small = FRAME["count"].to_numpy(), by_hand < 30
    density = y * by_hand - mean - np.vectorize(lambda k: float(np.log(np.arange(1, k + 1)).sum()))(y)
    found = log_densities(model.spec, model.design, eta, aux)
    assert_allclose(found[small], density[small], rtol=1e-9, atol=1e-9)


# -- posteriors -------------------------------------------------------------------------------------------------

TRUE = {"b": 0.8, "shares": np.array([0.6, 0.1, 0.3]), "sd": [0.7, 0.45], "sigma": 1.0}


def _groups() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(30), 20), rng.integers(0, 4, 600)
    r = rng.normal(size=(30, 2)) * TRUE["sd"]
    height = np.append(0.0, 3 * TRUE["shares"].cumsum())[x]
    y = 1.0 + r[g, 0] + (TRUE["b"] + r[g, 1]) * height + rng.normal(size=600)
    return pd.DataFrame({"y": y, "x": x, "g": [f"g{i}" for i in g], "half": np.where(x > 1, "b", "a")})


GROUPS = _groups()


@pytest.fixture(scope="module")
def fit():
    return hb.fit("y ~ mo(x) + (1 + mo(x) | g)", GROUPS, seed=1, progress=False)


def test_what_the_data_were_made_of_is_found(fit):
    assert fit.tree.attrs["strategy"] == "whitened"
    table = fit.summary()
    true = {"Intercept": 1.0, "mo(x)": 0.8, "sigma": 1.0, "sd[g, Intercept]": 0.7, "sd[g, mo(x)]": 0.45}
    true |= {f"simo[mo(x), {i}|{i + 1}]": share for i, share in enumerate(TRUE["shares"])}
    for name, value in true.items():
        assert abs(table.loc[name, "mean"] - value) < 3 * table.loc[name, "sd"], name
    assert table["ess_bulk"].min() > 1000
    assert table["r_hat"].max() < 1.01
    assert not int(fit.tree["sample_stats"]["diverging"].sum())


@pytest.mark.slow
@FEW
def test_nuts_agrees(fit):
    other = fit.model.fit(strategy="nuts", draws=500, chains=2, seed=2, progress=False).summary()
    table = fit.summary()
    for name in table.index:
        error = np.hypot(table.loc[name, "mcse_mean"], other.loc[name, "mcse_mean"])
        assert abs(table.loc[name, "mean"] - other.loc[name, "mean"]) < 4.5 * error, name


def test_even_steps_are_slopes():
    """A concentration without end leaves (x | g), which another strategy integrates out exactly."""
    priors = {"b": "Normal(0, 5)"}
    even = hb.fit(
        "y ~ mo(x) + (1 + mo(x) | g)",
        GROUPS,
        priors=priors | {"simo": "Dirichlet(1e7)"},
        seed=1,
        progress=False,
    ).summary()
    slopes = hb.fit("y ~ x + (1 + x | g)", GROUPS, priors=priors, seed=1, progress=False)
    assert slopes.tree.attrs["strategy"] == "collapsed"
    table = slopes.summary()
    table.index = [name.replace("x", "mo(x)") for name in table.index]
    for name in table.index:
        error = np.hypot(table.loc[name, "mcse_mean"], even.loc[name, "mcse_mean"])
        assert abs(table.loc[name, "mean"] - even.loc[name, "mean"]) < 4.5 * error, name


def test_related_levels_take_the_graph():
    levels = sorted(set(FRAME["g"]))
    A = pd.DataFrame(0.5 + 0.5 * np.eye(6), levels, levels)
    model = hb.Model("y ~ mo(size) + (1 + mo(size) || gr(g, cov=A))", FRAME, data2={"A": A})
    assert "'nuts'" in str(model)
    assert "a monotonic effect varies by levels that are related" in str(model)


# -- answers ----------------------------------------------------------------------------------------------------


def test_a_left_out_level_has_the_normal_density_of_all_its_rows(fit):
    """What `logo` weighs, against dense matrices in every draw."""
    spec, design = fit.model.spec, fit.model.design
    some = flatten(spec, fit.posterior).thinned(20)
    places = np.flatnonzero(GROUPS["g"] == "g3")
    found = np.concatenate([log_marginal(spec, held)[0] for _, held in hold_out(spec, some, design, places)])
    x, y = GROUPS["x"].to_numpy()[places], GROUPS["y"].to_numpy()[places]
    values = some.values
    for s in range(len(some)):
        height = np.append(0.0, 3 * values["simo_mo(x)"][s].cumsum())[x]
        Z = np.column_stack([np.ones(len(x)), height])
        sd, cor = values["sd_g"][s], values["cor_g"][s]
        covariance = Z @ (sd[:, None] * cor * sd) @ Z.T + values["sigma"][s] ** 2 * np.eye(len(x))
        assert found[s] == pytest.approx(
            multivariate_normal(Z @ values["b"][s], covariance).logpdf(y), abs=1e-8
        )


def test_variances_are_of_the_steps_in_each_draw(fit):
    new = pd.DataFrame({"x": [0, 1, 3], "g": "a new one"})
    drawn = np.asarray(fit.predict(new, kind="linear", output="draws", new_levels="sample", seed=1))
    centre = np.asarray(fit.predict(new, kind="linear", output="draws", groups="none"))
    apart = (drawn - centre).reshape(-1, 3)
    values = flatten(fit.model.spec, fit.posterior).values
    heights = np.concatenate([np.zeros((len(apart), 1)), 3 * values["simo_mo(x)"].cumsum(axis=1)], axis=1)
    Z = np.stack([np.ones((len(apart), 3)), heights[:, [0, 1, 3]]], axis=2)
    sigma = values["sd_g"][:, :, None] * values["cor_g"] * values["sd_g"][:, None, :]
    variance = np.einsum("sni,sij,snj->sn", Z, sigma, Z)
    standard = apart / np.sqrt(variance)
    assert_allclose((standard**2).mean(axis=0), 1.0, atol=5 * np.sqrt(2 / len(apart)))
    x = GROUPS["x"].to_numpy()
    Z = np.stack([np.ones((len(apart), 600)), heights[:, x]], axis=2)
    between = np.einsum("sni,sij,snj->sn", Z, sigma, Z).mean(axis=1)
    fixed = (values["b"][:, [1]] * heights[:, x]).var(axis=1, ddof=1)
    r2 = (fixed + between) / (fixed + between + values["sigma"] ** 2)
    icc = between / (between + values["sigma"] ** 2)
    assert fit.icc()["mean"].iloc[0] == pytest.approx(icc.mean(), abs=1e-6)
    assert fit.r2()["mean"].iloc[3] == pytest.approx(r2.mean(), abs=1e-6)


def test_every_answer_is_there_or_refused_in_words(fit, tmp_path):
    new = pd.DataFrame({"x": [0, 2, 3], "g": ["g1", "g2", None]})
    means = fit.predict(new, new_levels="sample")["mean"]
    assert np.isfinite(means).all()
    loo, elpd = fit.loo(), fit.loo().elpd
    straight = hb.fit("y ~ x + (1 + x | g)", GROUPS, seed=1, progress=False)
    assert elpd - straight.loo().elpd > 5  # uneven steps are what the data have
    assert loo.elpd > fit.logo("g").elpd
    assert fit.ranef()["effect"].unique().tolist() == ["Intercept", "mo(x)"]
    assert len(fit.varcorr()) == 4
    assert fit.residuals()["quantile"].std() == pytest.approx(0.29, abs=0.03)
    assert fit.avg_comparisons("x")["contrast"].tolist() == ["1 - 0", "2 - 0", "3 - 0"]
    assert np.isfinite(fit.conditional_effects("x", groups="average")["mean"]).all()
    assert "simo[mo(x), 0|1]" in fit.prior_sensitivity().index
    assert not fit.check()
    fit.plot_ranef("g")
    with pytest.raises(UnsupportedError, match="its steps share the effect"):
        fit.shrinkage("g")
    fit.save(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(
        hb.load(tmp_path / "fit.nc").predict(new, new_levels="sample"), fit.predict(new, new_levels="sample")
    )


@FEW
def test_counts_and_levels_that_share_rows():
    formula = "count ~ mo(size) + (1 + mo(size) | mm(g, h, weights=cbind(w, v)))"
    fit = hb.fit(formula, FRAME, family="poisson", draws=200, chains=2, seed=1, progress=False)
    assert fit.tree.attrs["strategy"] == "whitened"
    assert np.isfinite(fit.loo().elpd)
    alone = hb.fit(
        "count ~ mo(size) + (0 + mo(size) | g)", FRAME, family="poisson", draws=200, seed=1, progress=False
    )
    assert np.isfinite(alone.logo("g").elpd)
    assert np.isfinite(alone.predict(FRAME.head(4), groups="average")["mean"]).all()


def test_known_parameters_make_responses():
    model = hb.Model("y ~ mo(size) + (0 + mo(size) | g)", FRAME)
    known = {"Intercept": 1.0, "mo(size)": 2.0, "sigma": 1e-6, "sd[g, mo(size)]": 1.0}
    known |= {
        f"simo[mo(size), {step}]": share
        for step, share in zip(["low|middle", "middle|high", "high|top"], [0.5, 0.5, 0.0], strict=True)
    }
    y = model.simulate(known, seed=1)["y"].to_numpy()
    codes, level = FRAME["size"].cat.codes.to_numpy(), np.unique(FRAME["g"], return_inverse=True)[1]
    height = np.array([0.0, 1.5, 3.0, 3.0])[codes]
    for g in range(6):
        own = (level == g) & (codes > 0)
        slopes = (y[own] - 1.0) / height[own]
        assert np.ptp(slopes) < 1e-4
    assert_allclose(y[codes == 0], 1.0, atol=1e-4)
