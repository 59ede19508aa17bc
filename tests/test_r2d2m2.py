"""Joint priors of coefficients and standard deviations: what they say of R², densities, draws, and answers."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import Draws, flatten
from hierbayes.criticism import coordinates
from hierbayes.criticism.sensitivity import log_effects, log_prior
from hierbayes.errors import PriorError
from hierbayes.graph import build_graph
from hierbayes.simulation import sample_prior
from tests.families.fits import Graph, assert_kernel_is_the_graph
from tests.test_shrinkage import FRAME as ROWS
from tests.test_shrinkage import _logp
from tests.whitening.points import assert_density

FRAME = ROWS.assign(h=np.random.default_rng(1).integers(0, 4, len(ROWS)))
BOTH = {"b": "R2D2(0.4, 5, 0.7, main=True)", "sd": "R2D2"}
HORSES = {"b": "horseshoe(3, main=True)", "sd": "horseshoe"}
SLOPES = ["x1", "x2", "x3", "x4"]


# -- what is stated -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        (
            {"b": "R2D2(0.3)", "sd": "R2D2"},
            "b and sd share one joint prior, R2D2, and none of them has main=True",
        ),
        ({"b": "R2D2(main=True)", "sd": "R2D2(main=True)"}, "and 2 of them has main=True"),
        ({"b": "R2D2(main=True)", "sd": "horseshoe"}, "one and the same, not b: R2D2, sd: Horseshoe"),
        ({"sd[g]": "R2D2"}, r"sd\[g\] cannot have the prior R2D2.*give it to 'sd'.*sd\[g\]"),
        ({"sds[s(v)]": "R2D2"}, "give it to 'sds'"),
        ({"b": "R2D2(main=2)"}, "main must be True or False"),
    ],
)
def test_what_cannot_be_said(priors, words):
    with pytest.raises(PriorError, match=words):
        hb.Model("y ~ u + s(v, k=5) + (x | g) + (1 | h)", FRAME, priors=priors)


@pytest.mark.filterwarnings("ignore::hierbayes.DataWarning")
def test_the_arguments_of_one_class_hold_for_all():
    priors = {"sd": "R2D2(0.2, 8, main=True)", "b": "R2D2", "sds": "R2D2", "sd[h]": "Exponential(2)"}
    model = hb.Model("y ~ u + s(v, k=5) + (x | g) + (1 | h)", FRAME, priors=priors)
    table = model.priors.set_index(["class", "coefficient", "group"])["prior"]
    joint = "R2D2(mean_R2=0.2, prec_R2=8, cons_D2=0.5, autoscale=True)"
    assert (table[["b", "sds"]] == joint).all()
    assert table["sd", "x", "g"] == table["sd", "Intercept", "g"] == joint
    assert table["sd", "Intercept", "h"] == "Exponential(lam=2)"
    shared = ["u", "s(v)", "sd[g, Intercept]", "sd[g, x]", "sds[s(v)]"]
    assert model.spec.coords["shrunk"].tolist() == shared
    words = repr(model)
    assert "sd[g, Intercept], sd[g, x], sds[s(v)]: each its own s_j" in words
    assert "b and sd and sds, 5 of them" in words
    assert "strategy 'whitened'" in words
    # the standard deviations are those at 0 of the user's columns, as a stated prior's are
    assert model.spec.layout.main.factors[0].map.identity


def test_a_formula_of_its_own():
    """That of sigma has a joint prior of its own, which follows no sigma."""
    priors = {"sigma.b": "R2D2(main=True)", "sigma.sd": "R2D2"}
    spec = hb.Model({"mu": "y ~ u", "sigma": "~ v + w + (1 | g)"}, FRAME, priors=priors).spec
    assert spec.shrunk("mu").size == 0
    assert spec.shrunk("sigma").scale is None
    assert spec.coords["sigma_shrunk"].tolist() == ["v", "w", "sd[g, Intercept]"]
    assert [v.name for v in spec.shrunk("sigma").variables] == ["R2D2_R2_sigma", "R2D2_phi_sigma"]


# -- densities ----------------------------------------------------------------------------------------------------


def test_the_graph_is_what_is_written():
    priors = {"Intercept": "Normal(2, 3)", **BOTH, "sigma": "Exponential(1)"}
    model = hb.Model("y ~ u + v + (x || g)", FRAME, priors=priors, center=False)
    graph = build_graph(model.spec, model.design, "centered")
    shares, tau2 = np.array([0.4, 0.1, 0.3, 0.2]), 0.3 / 0.7
    r = np.random.default_rng(2).normal(size=(5, 2))
    point = {"b_intercept": 1.7, "b_shrunk": np.array([0.6, -0.1]), "sigma": 1.2, "R2D2_R2": 0.3}
    point |= {"R2D2_phi": shares, "r_g": r}
    sds = 1.2 * np.sqrt(shares * tau2)
    levels = pd.Categorical(FRAME["g"]).codes
    mean = 1.7 + FRAME[["u", "v"]].to_numpy() @ point["b_shrunk"] + r[levels, 0] + r[levels, 1] * FRAME["x"]
    wanted = stats.norm.logpdf(FRAME["y"], mean, 1.2).sum() + stats.norm.logpdf(1.7, 2, 3)
    wanted += stats.expon.logpdf(1.2) + stats.norm.logpdf(point["b_shrunk"], 0, sds[:2]).sum()
    wanted += stats.norm.logpdf(r, 0, sds[2:]).sum()
    wanted += stats.beta.logpdf(0.3, 2, 3) + stats.dirichlet.logpdf(shares, [0.7] * 4)
    assert _logp(graph, point) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.filterwarnings("ignore::hierbayes.DataWarning")
@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("y ~ u + v + (x | g) + (1 | h)", "gaussian", BOTH | {"sd[h]": "Exponential(1)"}),
        ("y ~ u + s(v, k=5) + (x || g)", "gaussian", HORSES | {"sds": "horseshoe"}),
        ("y ~ u + gp(v, k=5)", "gaussian", {"b": "R2D2(main=True)", "sdgp": "R2D2"}),
        ("count ~ 1 + (u | g) + (1 | h)", "negbinomial", {"sd": "R2D2"}),
        (
            {"mu": "y ~ u + (1 |a| g)", "sigma": "~ v + w + (1 |a| g)"},
            "gaussian",
            BOTH | {"sigma.b": HORSES["b"], "sigma.sd": "horseshoe"},
        ),
        ("y ~ u + cs(0 + size | g) + ar1(0 + size | h)", "gaussian", BOTH),
        ("y ~ u + (x | gr(g, dist='student'))", "gaussian", BOTH | {"sigma": "Fixed(0.7)"}),
    ],
)
def test_the_whitened_density_is_the_graphs(formula, family, priors):
    model = hb.Model(formula, FRAME, family=family, priors=priors)
    assert "strategy 'whitened'" in repr(model)
    assert_kernel_is_the_graph(model)


def test_several_responses():
    priors = {f"y.{kind}": prior for kind, prior in BOTH.items()}
    priors |= {f"x.{kind}": prior for kind, prior in HORSES.items()}
    model = hb.Model(["y ~ u + v + (1 |a| g)", "x ~ u + w + (1 |a| g)"], FRAME, priors=priors)
    assert_density(model, Graph(model.graph()), scale=0.3)


def test_one_standard_deviation_alone():
    model = hb.Model("y ~ u + (1 | g)", FRAME, priors={"sd": "R2D2"})
    assert "is of one standard deviation" in repr(model)
    assert "strategy 'nuts'" in repr(model)
    assert np.isfinite(model.graph().compile_logp(mode="FAST_COMPILE")(model.graph().initial_point()))


# -- what it says of R² -------------------------------------------------------------------------------------------


def _many(columns: int = 60, groups: int = 400) -> pd.DataFrame:
    """Many standardised predictors and many groups: what they explain of one data set is what it is on average."""
    rng = np.random.default_rng(4)
    n = 4 * groups
    x = np.linalg.qr(rng.normal(size=(n, columns)))[0]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(columns)])
    return frame.assign(g=rng.permutation(np.arange(n) % groups), y=rng.normal(size=n))


def test_explained_variance_is_beta():
    """The parameter itself; the standard deviations put together; and that of simulated data, within 0.05."""
    frame = _many()
    formula = f"y ~ {' + '.join(frame.columns[:60])} + (1 | g)"
    priors = {
        "b": "R2D2(0.3, 8, 5, main=True)",
        "sd": "R2D2",
        "Intercept": "Normal(0, 1)",
        "sigma": "Exponential(2)",
    }
    model = hb.Model(formula, frame, priors=priors)
    beta = stats.beta(2.4, 5.6)
    draws = sample_prior(model.spec, 2000, 1).values
    explained, sigma = draws["R2D2_R2"], draws["sigma"]
    assert stats.kstest(explained, beta.cdf).pvalue > 1e-3
    sds = sigma[:, None] * np.sqrt(draws["R2D2_phi"] * (explained / (1 - explained))[:, None])
    assert_allclose(draws["sd_g"][:, 0], sds[:, -1])
    assert stats.kstest((draws["b"][:, 1:] / sds[:, :-1]).ravel(), "norm").pvalue > 1e-3
    assert stats.kstest((draws["r_g"][:, :, 0] / draws["sd_g"]).ravel(), "norm").pvalue > 1e-3
    between = (sds**2).sum(axis=1)
    assert_allclose(between / (between + sigma**2), explained)
    predictors = frame[frame.columns[:60]].to_numpy() @ draws["b"][:, 1:].T
    eta = predictors + draws["r_g"][:, frame["g"].to_numpy(), 0].T
    variance = eta.var(axis=0)
    realised = variance / (variance + sigma**2)
    assert np.abs(realised - explained).mean() < 0.05
    assert np.abs(np.quantile(realised, [0.1, 0.5, 0.9]) - beta.ppf([0.1, 0.5, 0.9])).max() < 0.03


@pytest.mark.parametrize("prior", ["R2D2", "horseshoe"])
def test_smooths_and_tied_effects_are_drawn_with_their_scales(prior):
    priors = {"b": f"{prior}(main=True)", "sd": prior, "sds": prior, "sigma.sd": "HalfNormal(1)"}
    formulas = {"mu": "y ~ u + s(v, k=6) + (1 |a| g)", "sigma": "~ 1 + (1 |a| g)"}
    spec = hb.Model(formulas, FRAME, priors=priors).spec
    values = sample_prior(spec, 1500, 3).values
    sds = spec.shrunk("mu").sds(np, values)
    assert_allclose(values["sd_g"][:, 0], sds[:, 2])
    assert_allclose(values["sds_s(v)"], sds[:, 3])
    for effects, sd in ((values["r_g"][..., 0], sds[:, [2]]), (values["s_s(v)"], sds[:, [3]])):
        assert stats.kstest((effects / sd).ravel(), "norm").pvalue > 1e-3
    tied = (
        (values["r_g"][..., 0] / sds[:, [2]]).ravel(),
        (values["r_sigma_g"][..., 0] / values["sd_sigma_g"]).ravel(),
    )
    assert abs(np.corrcoef(*tied)[0, 1]) < 0.1


# -- the posterior ------------------------------------------------------------------------------------------------


def _made(n: int = 240, seed: int = 5) -> pd.DataFrame:
    """Two of four predictors and one of two grouping factors matter."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 4)), columns=SLOPES)
    frame["g"], frame["h"] = np.arange(n) % 20, rng.integers(0, 12, n)
    effects = rng.normal(0, 0.8, 20)
    return frame.assign(
        y=1 + 0.7 * frame["x1"] - 0.4 * frame["x2"] + effects[frame["g"]] + rng.normal(size=n)
    )


FORMULA = f"y ~ {' + '.join(SLOPES)} + (1 | g) + (1 | h)"
PRIORS = {
    "Intercept": "Normal(0, 5)",
    "sigma": "Exponential(1)",
    "b": "R2D2(0.5, 4, main=True)",
    "sd": "R2D2",
}


@pytest.fixture(scope="module")
def fit():
    return hb.fit(FORMULA, _made(), priors=PRIORS, seed=1, progress=False)


def test_what_made_the_data_is_found(fit):
    assert fit.tree.attrs["strategy"] == "whitened"
    table = fit.summary()
    assert table["ess_bulk"].min() > 1000
    assert table["r_hat"].max() < 1.01
    truth = {"x1": 0.7, "x2": -0.4, "x3": 0.0, "x4": 0.0, "sd[g, Intercept]": 0.8, "sigma": 1.0}
    for name, value in truth.items():
        assert abs(table.loc[name, "mean"] - value) < 3 * table.loc[name, "sd"], name
    assert table.loc["sd[h, Intercept]", "mean"] < 0.25
    assert 0.3 < table.loc["R2D2_R2", "mean"] < 0.75
    v = fit.posterior
    share = (v["R2D2_phi"] * (v["R2D2_R2"] / (1 - v["R2D2_R2"]))).sel(shrunk="sd[g, Intercept]")
    assert_allclose(v["sigma"] * np.sqrt(share), v["sd_g"].squeeze())


@pytest.mark.slow
def test_strategies_agree(fit):
    """Within four Monte Carlo errors of means, and of the logarithms of standard deviations."""
    other = hb.fit(
        FORMULA, _made(), priors=PRIORS, seed=2, strategy="nuts", target_accept=0.95, progress=False
    )
    own, nuts = fit.summary(), other.summary()
    for name in own.index:
        error = np.hypot(*(t.loc[name, "sd"] / t.loc[name, "ess_bulk"] ** 0.5 for t in (own, nuts)))
        assert abs(own.loc[name, "mean"] - nuts.loc[name, "mean"]) < 4 * error, name
        spread = np.hypot(*(1 / t.loc[name, "ess_tail"] ** 0.5 for t in (own, nuts)))
        assert abs(np.log(own.loc[name, "sd"] / nuts.loc[name, "sd"])) < 4 * spread, name


def test_the_parts_of_the_density(fit):
    """Of sds there is no density of their own: they are what the joint prior's parameters make them."""
    draws = flatten(fit.spec, fit.posterior).thinned(4)
    prior, v = log_prior(fit.spec, draws), draws.values
    assert "sd" not in prior
    assert_allclose(prior["R2D2_R2"], stats.beta.logpdf(v["R2D2_R2"], 2, 2))
    tau2 = (v["R2D2_R2"] / (1 - v["R2D2_R2"]))[:, None]
    sds = v["sigma"][:, None] * np.sqrt(v["R2D2_phi"] * tau2)
    wanted = stats.norm.logpdf(v["b"][:, 1:], 0, sds[:, :4]).sum(axis=1)
    wanted += stats.dirichlet([0.5] * 6).logpdf(v["R2D2_phi"].T)
    for place, name in ((4, "r_g"), (5, "r_h")):
        wanted += stats.norm.logpdf(v[name][..., 0], 0, sds[:, [place]]).sum(axis=1)
    assert_allclose(log_effects(fit.spec, draws), wanted)


@pytest.mark.filterwarnings("ignore::hierbayes.DataWarning")
def test_points_and_their_jacobian():
    """Coordinates leave out the sds that follow, and put them in behind those that they follow."""
    priors = BOTH | {"sd[h]": "Exponential(1)", "sds": "R2D2"}
    model = hb.Model("y ~ u + s(v, k=4) + (1 | g) + (1 | h)", FRAME, priors=priors)
    draws = sample_prior(model.spec, 3, 2)
    space = coordinates.space_of(model.spec, draws, {("mu", "g"): np.arange(2), ("mu", "h"): np.arange(0)})
    points, step = space.points[:1], 1e-6
    at = space.at(points, slice(0, 1))
    for name, values in draws.values.items():
        assert_allclose(at.values[name], values[:1], rtol=1e-8)
    free = ["b", "R2D2_R2", "R2D2_phi", "sd_h", "sigma", "r_g"]
    columns = []
    for unit in np.eye(points.shape[1]):
        ends = []
        for sign in (1, -1):
            one = {name: values[:1].copy() for name, values in draws.values.items()}
            levels = {("mu", "g"): np.arange(2), ("mu", "h"): np.arange(0)}
            coordinates._put(model.spec, levels, points + sign * step * unit, one)
            assert_allclose(one["sd_g"][:, 0], model.spec.shrunk("mu").sds(np, one)[:, 2])
            one |= {"R2D2_phi": one["R2D2_phi"][:, :-1], "r_g": one["r_g"][:, :2]}
            ends.append(np.concatenate([np.ravel(one[name]) for name in free]))
        columns.append((ends[0] - ends[1]) / (2 * step))
    wanted = np.linalg.slogdet(np.array(columns)).logabsdet
    inner = Draws({name: values[:1] for name, values in draws.values.items()}, 1, 1)
    assert coordinates.log_jacobian(model.spec, inner)[0] == pytest.approx(wanted, abs=1e-5)


def test_answers(fit, tmp_path):
    new = _made().iloc[:3].assign(g=[1, 2, 99])
    assert np.isfinite(fit.predict(new).to_numpy()).all()
    assert np.isfinite(fit.loo().elpd)
    assert np.isfinite(fit.logo("g").elpd)
    assert {"R2D2_R2", "x1", "sigma"} <= set(fit.prior_sensitivity().index)
    assert fit.varcorr().shape[0] >= 2
    assert fit.icc()["mean"].between(0, 1).all()
    assert np.isfinite(fit.shrinkage(group="g")["partial_pooling"]).all()
    fit.save(tmp_path / "fit.nc")
    loaded = hb.load(tmp_path / "fit.nc")
    assert loaded.spec.priors == fit.spec.priors
    pd.testing.assert_frame_equal(loaded.summary(), fit.summary())
    model = hb.Model(FORMULA, _made(), priors=PRIORS)
    assert "Predictors and groups explain a share of" in str(model.prior_summary(draws=300))
    with pytest.warns(hb.SamplingWarning, match="Gaussian approximation"):
        assert np.isfinite(model.approximate(draws=100, seed=1).summary()["mean"]).all()
    known = {"Intercept": 1, "x1": 0.5, "x2": 0, "x3": 0, "x4": 0, "sigma": 1}
    known |= {"sd[g, Intercept]": 0.5, "sd[h, Intercept]": 0.1}
    assert len(hb.simulate(FORMULA, _made(), known, seed=1)) == len(_made())
