"""Joint priors of coefficients: what they say, densities against SciPy's and the graph's, draws against brms's."""

import json
from pathlib import Path

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
from hierbayes.priors import parse_prior
from hierbayes.simulation import sample_prior
from tests.families.fits import Graph, assert_kernel_is_the_graph
from tests.whitening.points import assert_density

FOLDER = Path(__file__).parent / "shrinkage"
TWENTY = pd.read_csv(FOLDER / "hs.csv")
BRMS = json.loads((FOLDER / "brms.json").read_text())["posterior"]
SIZES = ["small", "middle", "large"]
SLOPES = [f"x{j}" for j in range(1, 21)]


def _frame(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({name: rng.normal(1.0, 1.5, n) for name in "uvwx"})
    frame["g"] = np.resize(list("pqrst"), n)
    frame["y"] = 2.0 + 0.8 * frame["u"] + rng.normal(size=n)
    frame["count"] = rng.poisson(np.exp(0.3 + 0.3 * frame["u"]))
    frame["size"] = pd.Categorical(np.resize(SIZES, n), SIZES, ordered=True)
    return frame


FRAME = _frame()


# -- what is stated -----------------------------------------------------------------------------------------------


def test_brmss_names_arguments_and_defaults():
    whole = "Horseshoe(df=1, scale_global=1, df_global=1, scale_slab=2, df_slab=4, autoscale=True)"
    assert str(parse_prior("horseshoe()")) == str(parse_prior("horseshoe")) == whole
    assert parse_prior("horseshoe(3, par_ratio=0.1, autoscale=FALSE)") == hb.Prior(
        "Horseshoe", df=3, par_ratio=0.1, autoscale=False
    )
    assert str(parse_prior("R2D2")) == "R2D2(mean_R2=0.5, prec_R2=2, cons_D2=0.5, autoscale=True)"
    for text in ("horseshoe(par_ratio=0.1)", "R2D2(0.3, 10, autoscale=False)"):
        prior = parse_prior(text)
        assert parse_prior(prior.to_text()) == prior


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        ({"b": "horseshoe(df=0)"}, "df must be positive"),
        ({"b": "R2D2(mean_R2=1)"}, "mean_R2 must lie between 0 and 1"),
        ({"b": "R2D2(autoscale=2)"}, "autoscale must be True or False"),
        ({"b": "Normal(0, True)"}, "must be one number, not True"),
        ({"b[u]": "horseshoe"}, "joint one of all coefficients of a formula.*give it to 'b'"),
        ({"sigma": "R2D2"}, "joint one of all coefficients"),
        ({"Intercept": "R2D2"}, "joint one of all coefficients"),
    ],
)
def test_what_cannot_be_said(priors, words):
    with pytest.raises(PriorError, match=words):
        hb.Model("y ~ u + v + (1 | g)", FRAME, priors=priors)


def test_numbers_are_settled():
    """The ratio of expected coefficients, and whether there is a standard deviation to follow."""
    model = hb.Model("y ~ u + v + w", FRAME, priors={"b": "horseshoe(par_ratio=0.5)"})
    text = str(model.spec.prior("b", coefficient="u"))
    assert text.startswith(f"Horseshoe(df=1, scale_global={0.5 / 40**0.5:.6g}, ")
    assert text.endswith("autoscale=True)")
    counts = hb.Model("count ~ u + v", FRAME, family="poisson", priors={"b": "R2D2"})
    assert str(counts.spec.prior("b", coefficient="v")).endswith("autoscale=False)")
    both = hb.Model(
        {"mu": "y ~ u + v", "sigma": "~ u + w"}, FRAME, priors={"b": "R2D2", "sigma.b": "horseshoe"}
    )
    for parameter in ("mu", "sigma"):
        assert both.spec.shrunk(parameter).scale is None
    assert [v.name for v in both.spec.shrunk("sigma").variables] == [
        "hs_global_sigma",
        "hs_slab_sigma",
        "hs_local_sigma",
    ]
    one = hb.Model("y ~ u + v + w", FRAME, priors={"b": "horseshoe", "b[v]": "Normal(0, 1)"})
    assert one.spec.coords["shrunk"].tolist() == ["u", "w"]


# -- densities ----------------------------------------------------------------------------------------------------


def _half_t(x, df, scale=1.0):
    return np.log(2) + stats.t.logpdf(x, df, scale=scale)


def test_the_graph_of_a_horseshoe_is_what_is_written():
    priors = {"Intercept": "Normal(2, 3)", "b": "horseshoe(2, 0.3, 1, 1.5, 5)", "sigma": "Exponential(1)"}
    model = hb.Model("y ~ u + v + w", FRAME, priors=priors, center=False)
    graph = build_graph(model.spec, model.design, "centered")
    point = {"b_intercept": 1.7, "b_shrunk": np.array([0.6, -0.1, 0.02]), "sigma": 1.2, "hs_global": 0.2}
    point |= {"hs_slab": 0.8, "hs_local": np.array([3.0, 0.5, 0.1])}
    narrow = 1.2 * 0.2 * point["hs_local"]
    slab = 1.5**2 * 0.8
    sds = np.sqrt(slab * narrow**2 / (slab + narrow**2))
    mean = 1.7 + FRAME[["u", "v", "w"]].to_numpy() @ point["b_shrunk"]
    wanted = stats.norm.logpdf(FRAME["y"], mean, 1.2).sum() + stats.norm.logpdf(1.7, 2, 3)
    wanted += stats.expon.logpdf(1.2) + stats.norm.logpdf(point["b_shrunk"], 0, sds).sum()
    wanted += (
        _half_t(0.2, 1, 0.3)
        + stats.invgamma.logpdf(0.8, 2.5, scale=2.5)
        + _half_t(point["hs_local"], 2).sum()
    )
    # PyMC's half distributions have log 2 in single precision
    assert _logp(graph, point) == pytest.approx(wanted, abs=1e-8)


def test_the_graph_of_r2d2_is_what_is_written():
    priors = {"Intercept": "Normal(2, 3)", "b": "R2D2(0.4, 5, 0.7)", "sigma": "Exponential(1)"}
    model = hb.Model("y ~ u + v + w", FRAME, priors=priors, center=False)
    graph = build_graph(model.spec, model.design, "centered")
    shares = np.array([0.7, 0.2, 0.1])
    point = {"b_intercept": 1.7, "b_shrunk": np.array([0.6, -0.1, 0.02]), "sigma": 1.2, "R2D2_R2": 0.3}
    point |= {"R2D2_phi": shares}
    sds = 1.2 * np.sqrt(shares * 0.3 / 0.7)
    mean = 1.7 + FRAME[["u", "v", "w"]].to_numpy() @ point["b_shrunk"]
    wanted = stats.norm.logpdf(FRAME["y"], mean, 1.2).sum() + stats.norm.logpdf(1.7, 2, 3)
    wanted += stats.expon.logpdf(1.2) + stats.norm.logpdf(point["b_shrunk"], 0, sds).sum()
    wanted += stats.beta.logpdf(0.3, 2, 3) + stats.dirichlet.logpdf(shares, [0.7] * 3)
    assert _logp(graph, point) == pytest.approx(wanted, rel=1e-10)


def _logp(graph, point) -> float:
    """The density of a graph's variables themselves."""
    place = {}
    for variable in graph.free_RVs:
        transform, value = graph.rvs_to_transforms[variable], np.asarray(point[variable.name])
        if transform is not None:
            value = transform.forward(value, *variable.owner.inputs).eval()
        place[graph.rvs_to_values[variable].name] = value
    return float(graph.compile_logp(jacobian=False, mode="FAST_COMPILE")(place))


@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("y ~ u + v + w + (1 | g)", "gaussian", {"b": "horseshoe(3, 0.3)", "b[v]": "StudentT(3, 0, 1)"}),
        ("y ~ u + v + w + x", "gaussian", {"b": "R2D2(0.4, 5, 0.7)", "sigma": "Gamma(2, 1)"}),
        ("y ~ u + v + w", "student", {"b": "R2D2", "b[w]": "Fixed(0.3)", "sigma": "Fixed(1.3)"}),
        ("count ~ u + v + s(w, k=4)", "negbinomial", {"b": "horseshoe(par_ratio=0.5)"}),
        ({"mu": "y ~ u + v", "sigma": "~ w + x"}, "gaussian", {"b": "R2D2", "sigma.b": "horseshoe(3)"}),
        ("y ~ mo(size) + u + v", "gaussian", {"b": "horseshoe(3)", "b[mo(size)]": "Normal(0, 1)"}),
    ],
)
def test_the_whitened_density_is_the_graphs(formula, family, priors):
    model = hb.Model(formula, FRAME, family=family, priors=priors)
    assert "strategy 'whitened'" in repr(model)
    assert_kernel_is_the_graph(model)


def test_several_responses_follow_each_their_own_sigma():
    priors = {"y.b": "horseshoe(3)", "x.b": "R2D2(0.4, 5)"}
    model = hb.Model(["y ~ u + v + (1 |a| g)", "x ~ u + w + (1 |a| g)"], FRAME, priors=priors)
    assert_density(model, Graph(model.graph()), scale=0.3)


@pytest.mark.parametrize(
    ("formula", "priors", "words"),
    [
        ("y ~ u", {"b": "horseshoe"}, "is of one coefficient"),
        ("y ~ u + v", {"b": "R2D2", "sigma": "Uniform(0, 9)"}, "follows sigma, whose prior is Uniform"),
        ("y ~ u + v", {"b": "R2D2", "sigma": "Beta(2, 2)"}, "follows sigma, whose prior is Beta"),
        ("y ~ u + v", {"b": "R2D2", "sigma": "Normal(1, 1, lower=0)"}, "whose prior is TruncatedNormal"),
        ("y ~ u + mo(size)", {"b": "R2D2"}, "a monotonic effect has a joint prior"),
    ],
)
def test_other_models_are_drawn_by_nuts(formula, priors, words):
    model = hb.Model(formula, FRAME, priors=priors)
    assert "strategy 'nuts'" in repr(model)
    assert words in repr(model)
    assert np.isfinite(model.graph().compile_logp(mode="FAST_COMPILE")(model.graph().initial_point()))


# -- draws --------------------------------------------------------------------------------------------------------


def test_draws_of_the_prior():
    """Beside those of a formula written out; of each the distribution, and how they hang together."""
    rng, size = np.random.default_rng(3), 4000
    priors = {"Intercept": "Normal(0, 1)", "b": "horseshoe(3, 0.5, 2, 1.5, 6)", "sigma": "Exponential(2)"}
    model = hb.Model("y ~ u + v + w", FRAME, priors=priors)
    drawn = sample_prior(model.spec, size, 1).values
    sigma = rng.exponential(0.5, size)[:, None]
    narrow = sigma * 0.5 * np.abs(rng.standard_t(2, (size, 1))) * np.abs(rng.standard_t(3, (size, 3)))
    slab = 1.5**2 / rng.gamma(3, 1 / 3, (size, 1))
    b = rng.normal(size=(size, 3)) * np.sqrt(slab * narrow**2 / (slab + narrow**2))
    assert stats.ks_2samp(drawn["b"][:, 1], b[:, 0]).pvalue > 1e-3
    assert stats.ks_2samp(drawn["b"][:, 2] / drawn["b"][:, 3], b[:, 1] / b[:, 2]).pvalue > 1e-3
    shares = sample_prior(hb.Model("y ~ u + v + w", FRAME, priors={"b": "R2D2(0.3, 8)"}).spec, size, 1).values
    explained = shares["R2D2_R2"]
    assert stats.kstest(explained, stats.beta(2.4, 5.6).cdf).pvalue > 1e-3
    scaled = shares["b"][:, 1:] / shares["sigma"][:, None] / np.sqrt(explained / (1 - explained))[:, None]
    assert stats.kstest((scaled / np.sqrt(shares["R2D2_phi"])).ravel(), "norm").pvalue > 1e-3
    assert_allclose(shares["R2D2_phi"].sum(axis=1), 1.0)


@pytest.fixture(scope="module")
def twenty():
    formula = f"y ~ {' + '.join(SLOPES)} + (1 | g)"
    priors = {"Intercept": "Normal(0, 5)", "b": "horseshoe(df=1, par_ratio=0.2)"}
    priors |= {"sd": "Exponential(1)", "sigma": "Exponential(1)"}
    return hb.fit(formula, TWENTY, priors=priors, seed=1, progress=False)


def test_the_posterior_is_brmss(twenty):
    """Monte Carlo errors are 1/60 of an sd for brms's coefficients, 1/30 for its intercept."""
    assert twenty.tree.attrs["strategy"] == "whitened"
    table = twenty.summary()
    for name, own in BRMS.items():
        assert table.loc[name, "mean"] == pytest.approx(own["mean"], abs=0.1 * own["sd"]), name
        assert table.loc[name, "sd"] == pytest.approx(own["sd"], rel=0.12), name
    assert table["ess_bulk"].min() > 1000
    assert table["r_hat"].max() < 1.01
    # three of the twenty made the data: 2, -1.5 and 0.5 (tests/shrinkage)
    apart = (table.loc[SLOPES, "mean"] / table.loc[SLOPES, "sd"]).abs()
    assert apart.sort_values().index[-3:].sort_values().tolist() == ["x1", "x2", "x3"]
    assert apart.sort_values().iloc[-4] < 1


def test_a_fit_is_saved_and_loaded(twenty, tmp_path):
    twenty.save(tmp_path / "fit.nc")
    loaded = hb.load(tmp_path / "fit.nc")
    assert loaded.spec.priors == twenty.spec.priors
    assert loaded.posterior["hs_local"].dims == ("chain", "draw", "shrunk")
    pd.testing.assert_frame_equal(loaded.summary(), twenty.summary())
    pd.testing.assert_frame_equal(loaded.predict(TWENTY.iloc[:3]), twenty.predict(TWENTY.iloc[:3]))


def test_the_parts_of_the_density(twenty):
    """Hyperparameters are the prior; coefficients given their scales, and those, go with the effects of levels."""
    draws = flatten(twenty.spec, twenty.posterior).thinned(4)
    prior = log_prior(twenty.spec, draws)
    assert_allclose(prior["hs_global"], _half_t(draws.values["hs_global"], 1, 0.2 / 120**0.5))
    v = draws.values
    narrow = (v["sigma"] * v["hs_global"])[:, None] * v["hs_local"]
    slab = 4 * v["hs_slab"][:, None]
    b = stats.norm.logpdf(v["b"][:, 1:], 0, np.sqrt(slab * narrow**2 / (slab + narrow**2))).sum(axis=1)
    levels = stats.norm.logpdf(v["r_g"][..., 0], 0, v["sd_g"]).sum(axis=1)
    assert_allclose(log_effects(twenty.spec, draws), b + _half_t(v["hs_local"], 1).sum(axis=1) + levels)


@pytest.mark.parametrize("prior", ["horseshoe(3)", "R2D2(0.4, 5)"])
def test_points_and_their_jacobian(prior):
    model = hb.Model("y ~ u + v + w", FRAME, priors={"b": prior})
    draws = sample_prior(model.spec, 3, 2)
    space = coordinates.space_of(model.spec, draws, {})
    moved = [space.at(space.points[part], part) for part in space.parts()]
    for name, values in draws.values.items():
        assert_allclose(np.concatenate([one.values[name] for one in moved]), values, rtol=1e-8)
    points, step = space.points[:1], 1e-6
    columns = []
    for unit in np.eye(points.shape[1]):
        ends = []
        for sign in (1, -1):
            one = {name: values[:1].copy() for name, values in draws.values.items()}
            coordinates._put(model.spec, {}, points + sign * step * unit, one)
            free = {name: v[:, :-1] if name == "R2D2_phi" else v for name, v in one.items()}
            ends.append(np.concatenate([np.ravel(v) for v in free.values()]))
        columns.append((ends[0] - ends[1]) / (2 * step))
    wanted = np.linalg.slogdet(np.array(columns)).logabsdet
    inner = Draws({name: values[:1] for name, values in draws.values.items()}, 1, 1)
    assert coordinates.log_jacobian(model.spec, inner)[0] == pytest.approx(wanted, abs=1e-5)


def test_answers(twenty):
    assert "hs_global" in twenty.summary().index
    assert not any(name.startswith("hs_local") for name in twenty.summary().index)
    formula = str(twenty.spec.formulas["mu"])
    wide = hb.fit(formula, TWENTY, priors={"b": "Normal(0, 2.5)"}, seed=1, progress=False)
    assert twenty.loo().elpd > wide.loo().elpd + 2
    sensitivity = twenty.prior_sensitivity()
    assert {"x1", "hs_global", "hs_slab", "sigma"} <= set(sensitivity.index)


def test_sparse_coefficients_of_counts():
    """Thirty predictors, four of which matter, in a Poisson model: the horseshoe is nearer than independent priors."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(100, 30))
    truth = np.zeros(30)
    truth[[2, 9, 17, 28]] = [0.6, -0.5, 0.4, -0.7]
    frame = pd.DataFrame(x, columns=[f"z{j}" for j in range(30)])
    frame["count"] = rng.poisson(np.exp(0.5 + x @ truth))
    formula, errors = f"count ~ {' + '.join(frame.columns[:-1])}", {}
    for prior in ("horseshoe(par_ratio=0.15)", "Normal(0, 1)"):
        fit = hb.fit(formula, frame, family="poisson", priors={"b": prior}, seed=1, progress=False)
        errors[prior] = float(np.sqrt(np.mean((fit.fixef()["mean"].to_numpy()[1:] - truth) ** 2)))
    assert errors["horseshoe(par_ratio=0.15)"] < 0.7 * errors["Normal(0, 1)"]
