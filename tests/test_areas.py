"""Areas whose effects follow their neighbours': ``(1 | gr(g, car=W, type="bym2"))``."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.related import conditional_levels
from hierbayes.criticism.sensitivity import log_effects
from hierbayes.engine.collapsed import to_problem
from hierbayes.engine.gaussian.collapsed import arrange, density_of, route_of
from hierbayes.engine.gaussian.moments import moments
from hierbayes.formula import parse
from hierbayes.simulation import sample_prior
from tests.families.fits import assert_kernel_is_the_graph

KINDS = ["icar", "bym2", "car"]


def grid(rows: int, columns: int) -> pd.DataFrame:
    """The neighbours of a grid's cells a0, a1, …, each pair once."""
    cells = np.arange(rows * columns).reshape(rows, columns)
    beside = [(cells[:, :-1].ravel(), cells[:, 1:].ravel()), (cells[:-1].ravel(), cells[1:].ravel())]
    first, second = (np.concatenate(part) for part in zip(*beside, strict=True))
    return pd.DataFrame({"area": [f"a{i}" for i in first], "neighbour": [f"a{j}" for j in second]})


def weights_of(pairs: pd.DataFrame) -> pd.DataFrame:
    """The same as a matrix."""
    labels = pd.unique(pairs.to_numpy().ravel())
    found = pd.DataFrame(0.0, labels, labels)
    for a, b in pairs.to_numpy():
        found.loc[a, b] = found.loc[b, a] = 1.0
    return found


PAIRS = grid(3, 4)
W = weights_of(PAIRS)
LEVELS = [f"a{i}" for i in range(10)]  # two areas of the map have no rows
RNG = np.random.default_rng(1)
DATA = pd.DataFrame({"g": np.repeat(LEVELS, 3), "x": RNG.normal(size=30), "h": np.arange(30) % 6})
DATA["y"] = RNG.normal(size=30) + np.repeat(RNG.normal(size=10), 3)
DATA["n"] = RNG.poisson(2, size=30)


def covariance_of(kind: str, rho: float, weights: pd.DataFrame = W) -> pd.DataFrame:
    """The covariance of areas in units of sd², written from its definition."""
    w = weights.to_numpy()
    laplacian = np.diag(w.sum(axis=1)) - w
    if kind == "car":
        found = np.linalg.inv(np.diag(w.sum(axis=1)) - rho * w)
    else:
        inverse = np.linalg.pinv(laplacian, rcond=1e-10, hermitian=True)
        scaled = inverse / stats.gmean(np.diagonal(inverse))
        found = scaled if kind == "icar" else (1 - rho) * np.eye(len(w)) + rho * scaled
    return pd.DataFrame(found, weights.index, weights.index)


def model_of(kind: str, formula: str = "y ~ x + (1 | {})", family: str = "gaussian") -> hb.Model:
    return hb.Model(formula.format(f'gr(g, car=W, type="{kind}")'), DATA, family, data2={"W": PAIRS})


def test_the_text_round_trips():
    text = 'y ~ x + (1 | gr(g, car=`my W`, type="bym2"))'
    assert str(parse(text)) == text
    assert str(parse(text.replace('"', "'"))) == text
    assert [name for name, _ in parse(text).columns] == ["y", "x", "g"]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("car(W, gr=g)", "car"),
        ('car(W, g, "bym2")', "bym2"),
        ('car(M=W, gr=g, type="esicar")', "icar"),
        ('car(W, gr=g, type="escar")', "car"),
    ],
)
def test_areas_may_be_written_as_in_brms(written, kind):
    formula = parse(f"y ~ x + {written}")
    assert str(formula) == f'y ~ x + (1 | gr(g, car=W, type="{kind}"))'
    assert [name for name, _ in formula.columns] == ["y", "x", "g"]


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("kind", KINDS)
def test_whitened_kernel_is_the_graph(kind, family):
    response = "y" if family == "gaussian" else "n"
    assert_kernel_is_the_graph(model_of(kind, f"{response} ~ x + (1 | {{}}) + (1 | h)", family))


def test_several_effects_of_areas_of_a_fixed_covariance():
    assert_kernel_is_the_graph(model_of("icar", "n ~ x + (x || {})", "poisson"))


@pytest.mark.parametrize("kind", KINDS)
def test_collapsed_density_is_that_of_the_dense_normal(kind):
    """Near both bounds of rho, and at an sd near 0."""
    model = model_of(kind)
    problem = to_problem(model.spec, model.design)
    evaluate = density_of(arrange(problem, moments(problem), route_of(problem))).evaluator()
    (factor,) = model.spec.layout.main.factors
    means = np.array([dict(p.args)["mu"] for p in model.spec.coefficient_priors()])
    sds = np.array([dict(p.args)["sigma"] for p in model.spec.coefficient_priors()])
    X = model.spec.layout.main.map.inner_columns(model.design.main.x)
    rates = [dict(prior.args)["lam"] for prior in model.spec.sd_priors("mu", factor)]
    rate = dict(model.spec.prior("sigma", parameter="sigma").args)["lam"]
    found, expected = [], []
    for theta in ([0.1, -0.3, 0.4], [0.3, 0.2, 9.0], [-0.2, 0.5, -9.0], [0.2, -9.0, 1.0]):
        theta = np.array(theta)[: problem.n_theta]
        (sigma, sd), rho = np.exp(theta[:2]), 1 / (1 + np.exp(-theta[2:].sum()))
        related = covariance_of(kind, rho).loc[DATA["g"], DATA["g"]].to_numpy()
        covariance = sd**2 * related + sigma**2 * np.eye(len(DATA))
        normal = stats.multivariate_normal(X @ means, covariance + (X * sds**2) @ X.T).logpdf(DATA["y"])
        prior = stats.expon.logpdf([sigma, sd], scale=1 / np.array([rate, *rates])).sum() + theta[:2].sum()
        prior += 0 if kind == "icar" else np.log(rho) + np.log1p(-rho)
        value, gradient = evaluate(theta)
        found.append(value)
        expected.append(normal + prior)
        steps = 1e-4 * np.eye(len(theta))
        slopes = [(evaluate(theta + step)[0] - evaluate(theta - step)[0]) / 2e-4 for step in steps]
        np.testing.assert_allclose(evaluate(theta)[1], slopes, rtol=1e-5, atol=1e-5)
        assert np.isfinite(gradient).all()
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["bym2", "car"])
def test_effects_have_the_density_of_the_covariance(kind):
    model = model_of(kind)
    draws = sample_prior(model.spec, 5, seed=1)
    expected = [
        stats.multivariate_normal(None, sd[0] ** 2 * covariance_of(kind, rho).loc[LEVELS, LEVELS]).logpdf(
            r[:, 0]
        )
        for sd, rho, r in zip(*(draws.values[name] for name in ("sd_g", "rho_g", "r_g")), strict=True)
    ]
    np.testing.assert_allclose(log_effects(model.spec, draws), expected, rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_prior_draws_have_the_covariance(kind):
    priors = {} if kind == "icar" else {"rho[g]": "Fixed(0.7)"}
    model = hb.Model(f'y ~ x + (1 | gr(g, car=W, type="{kind}"))', DATA, priors=priors, data2={"W": W})
    draws = sample_prior(model.spec, 40_000, seed=1)
    scaled = draws.values["r_g"][..., 0] / draws.values["sd_g"]
    expected = covariance_of(kind, 0.7).loc[LEVELS, LEVELS].to_numpy()
    spread = np.sqrt((np.outer(np.diagonal(expected), np.diagonal(expected)) + expected**2) / 40_000)
    assert (np.abs(np.cov(scaled.T) - expected) / spread).max() < 5


def test_effects_sum_to_zero_in_each_part_of_the_map():
    """And variances have the geometric mean 1 in each; an area alone has the variance 1."""
    two = grid(2, 3).map(lambda label: f"b{label}")
    alone = pd.DataFrame({"area": ["c"], "neighbour": [None]})
    model = hb.Model(
        'y ~ (1 | gr(g, car=W, type="icar"))',
        pd.DataFrame({"g": ["c", *LEVELS], "y": np.arange(11.0)}),
        data2={"W": pd.concat([PAIRS, two, alone])},
    )
    relations = model.spec.layout.main.factors[0].relations
    assert "1 area without neighbours: 'c'" in str(model.check())
    table = pd.DataFrame(relations.matrix, relations.labels, relations.labels)
    for prefix in ("a", "ba"):
        part = [label for label in relations.labels if label.rstrip("0123456789") == prefix]
        np.testing.assert_allclose(table.loc[part, part].sum(), 0, atol=1e-12)
        assert stats.gmean(np.diagonal(table.loc[part, part])) == pytest.approx(1)
        assert not table.loc[part].drop(columns=part).to_numpy().any()
    assert table.loc["c", "c"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_new_areas_are_drawn_given_their_neighbours(kind):
    factor = model_of(kind).spec.layout.main.factors[0]
    rhos = [] if kind == "icar" else [np.array([0.3, 0.95])]
    new = ["a11", "a10"]
    weights, covariance = conditional_levels(factor, [("a11",), None, ("a10",)], rhos)
    for draw, rho in enumerate(rhos[0] if rhos else [0.5]):
        whole = covariance_of(kind, rho)
        expected = np.linalg.lstsq(
            whole.loc[LEVELS, LEVELS].to_numpy(), whole.loc[LEVELS, new].to_numpy(), rcond=None
        )[0]
        np.testing.assert_allclose(weights[draw][[0, 2]], expected.T, atol=1e-8)
        apart = whole.loc[new, new].to_numpy() - whole.loc[new, LEVELS].to_numpy() @ expected
        np.testing.assert_allclose(covariance[draw][np.ix_([0, 2], [0, 2])], apart, atol=1e-8)
        assert covariance[draw, 1, 1] == pytest.approx(np.diagonal(whole).mean())
        assert not weights[draw, 1].any()


@pytest.mark.parametrize(
    ("term", "matrix", "reason"),
    [
        ('(1 | gr(g, car=W, type="bym"))', PAIRS, 'no type "bym"; there is "icar", "bym2", "car"'),
        ("(1 | gr(g, car=W))", PAIRS, "needs type="),
        ('(1 | gr(g, type="car"))', PAIRS, "type= goes with car="),
        ('(1 | gr(g, car="W", type="car"))', PAIRS, "names a matrix of data2"),
        ('(1 | gr(g, car=W, cov=W, type="car"))', PAIRS, "not both"),
        ('car(W, gr=g, type="sar")', PAIRS, 'no type "sar"; there is "icar"'),
        ("car(W)", PAIRS, "names a matrix of data2 and a column"),
        ("x:car(W, gr=g)", PAIRS, "a term of their own"),
        ('(1 | gr(g, car=V, type="car"))', PAIRS, "needs V, which areas are neighbours, and data2 has 'W'"),
        ('(x || gr(g, car=W, type="bym2"))', PAIRS, "one effect each"),
        ('(1 | gr(g:h, car=W, type="bym2"))', PAIRS, "those of one column"),
        ('(1 | gr(g, car=W, type="bym2"))', W.to_numpy(), "is ndarray"),
        ('(1 | gr(g, car=W, type="bym2"))', PAIRS.iloc[:4], "no row for"),
        ('(1 | gr(g, car=W, type="bym2"))', W.where(W.iloc[0, 1] != W, -1), "-1 for"),
        ('(1 | gr(g, car=W, type="bym2"))', W + np.eye(12), "neighbour of itself"),
        ('(1 | gr(g, car=W, type="bym2"))', W + np.eye(12, k=1), "not symmetric"),
        ('(1 | gr(g, car=W, type="bym2"))', 0 * W, "no neighbours at all"),
        (
            '(1 | gr(g, car=W, type="car"))',
            pd.concat([PAIRS, pd.DataFrame({"area": ["z"], "neighbour": [None]})]),
            "without neighbours, such as 'z'",
        ),
        ('(1 | gr(g, car=W, type="escar"))', PAIRS, 'brms\'s "escar" is type="car" here'),
        ('(1 | gr(g, car=W, type="bym2"))', PAIRS.assign(length=1.0), "pairs of neighbours are two columns"),
        (
            '(1 | gr(g, car=W, type="bym2"))',
            pd.concat([PAIRS, pd.DataFrame({"area": [None], "neighbour": [None]})]),
            "two gaps",
        ),
    ],
)
def test_what_cannot_be_says_why(term, matrix, reason):
    with pytest.raises(hb.HierBayesError, match=reason):
        hb.Model(f"y ~ {term}", DATA, data2={"W": matrix})


def test_pairs_and_matrices_say_the_same():
    one, other, sparse = (
        hb.Model('y ~ (1 | gr(g, car=W, type="car"))', DATA, data2={"W": given})
        for given in (PAIRS, W.iloc[::-1], W.astype(pd.SparseDtype("float")))
    )
    roots = [model.spec.layout.main.factors[0] for model in (one, other, sparse)]
    covariances = [(f.root * f.direction_variances([np.array(0.6)])) @ f.root.T for f in roots]
    np.testing.assert_allclose(covariances[0], covariances[1], rtol=1e-10)
    np.testing.assert_allclose(covariances[0], covariances[2], rtol=1e-10)


@pytest.mark.parametrize("swapped", [False, True])
def test_numbers_of_areas_beside_a_gap_stay_whole(swapped):
    """An area without neighbours has a gap beside it, which makes floats of the others in that column."""
    pairs = pd.DataFrame({"area": [1, 2, 3, 4, 5], "neighbour": [2, 3, 4, 1, None]})
    if swapped:
        pairs = pairs[["neighbour", "area"]]
    data = pd.DataFrame({"g": [1, 2, 3, 4, 5] * 3, "y": np.arange(15.0)})
    model = hb.Model('y ~ (1 | gr(g, car=W, type="bym2"))', data, data2={"W": pairs})
    (factor,) = model.spec.layout.main.factors
    ring = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
    np.testing.assert_allclose(factor.relations.table.loc[list("12345"), list("12345")], np.pad(ring, (0, 1)))


# library(spData); library(mgcv); 200 rows as hb.load_dataset("sids"), nbl the neighbours by name
# d$ft <- sqrt(1000) * (sqrt(deaths / births) + sqrt((deaths + 1) / births)); d$nw <- nonwhite / births
# m <- gam(ft ~ period + nw + s(county, bs = "mrf", xt = list(nb = nbl), k = 100), data = d, method = "REML")
# sd is sqrt(m$sig2 * m$smooth[[1]]$S.scale / m$sp), times the root of the geometric mean of diag(ginv(Laplacian))
MGCV = {"sd[county, Intercept]": 0.3023803391, "sigma": 0.7935319666}
MGCV_EFFECTS = {
    "Ashe": -0.02137596675,
    "Anson": 0.19668990663,
    "Robeson": 0.08708824802,
    "Dare": -0.56807751225,
}
MGCV_COEFFICIENTS = [2.180604523889, 0.007181465129, 2.318025923179]


def transformed_sids() -> pd.DataFrame:
    sids = hb.load_dataset("sids")
    roots = np.sqrt(sids["deaths"] / sids["births"]) + np.sqrt((sids["deaths"] + 1) / sids["births"])
    return sids.assign(ft=np.sqrt(1000) * roots, nw=sids["nonwhite"] / sids["births"])


def test_smoothed_counties_are_those_of_mgcv():
    """A Markov random field at its estimates: the same coefficients and the same effects of counties."""
    data, matrices = transformed_sids(), {"W": hb.load_dataset("sids_neighbours")}
    priors = {name: f"Fixed({value})" for name, value in MGCV.items()} | {"Intercept": "Flat", "b": "Flat"}
    formula = 'ft ~ period + nw + (1 | gr(county, car=W, type="icar"))'
    fit = hb.Model(formula, data, priors=priors, data2=matrices).fit(seed=1, progress=False)
    coefficients = fit.fixef()
    error = coefficients["sd"] / np.sqrt(3_000)
    assert (np.abs(coefficients["mean"].to_numpy() - MGCV_COEFFICIENTS) / error).max() < 4
    effects = fit.ranef().set_index("level").loc[list(MGCV_EFFECTS)]
    left = (effects["mean"] - pd.Series(MGCV_EFFECTS)) / (effects["sd"] / np.sqrt(3_000))
    assert left.abs().max() < 4


def test_the_likelihood_of_mgcv_is_largest_at_its_estimates():
    """Restricted maximum likelihood, from the engine's density with flat priors of everything."""
    data, matrices = transformed_sids(), {"W": hb.load_dataset("sids_neighbours")}
    priors = {"Intercept": "Flat", "b": "Flat", "sd": "HalfFlat", "sigma": "HalfFlat"}
    formula = 'ft ~ period + nw + (1 | gr(county, car=W, type="icar"))'
    model = hb.Model(formula, data, priors=priors, data2=matrices)
    problem = to_problem(model.spec, model.design)
    evaluate = density_of(arrange(problem, moments(problem), route_of(problem))).evaluator()
    theta = np.log([MGCV["sigma"], MGCV["sd[county, Intercept]"]])
    slope = evaluate(theta)[1] - 1  # less those of the Jacobians of the logarithms
    np.testing.assert_allclose(slope, 0, atol=1e-3)


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(3)
    map_ = grid(6, 7)
    covariance = covariance_of("bym2", 0.8, weights_of(map_))
    effects = np.linalg.cholesky(covariance.to_numpy()) @ rng.normal(size=42)
    levels = np.repeat(covariance.index.to_numpy()[:40], 4)
    x = rng.normal(size=160)
    n = rng.poisson(np.exp(1 + 0.3 * x + np.repeat(0.7 * effects[:40], 4)))
    rows = pd.DataFrame({"n": n, "x": x, "g": levels})
    formula = 'n ~ x + (1 | gr(g, car=W, type="bym2"))'
    return hb.fit(formula, rows, "poisson", data2={"W": map_}, seed=1, progress=False)


def test_parameters_are_recovered(fit):
    summary = fit.summary()
    for name, truth in {"x": 0.3, "sd[g, Intercept]": 0.7, "rho[g]": 0.8}.items():
        row = summary.loc[name]
        assert row["ess_bulk"] > 400
        assert abs(row["mean"] - truth) < 4 * row["sd"]


def test_predictions_of_new_areas_have_the_conditional_moments(fit):
    """In each draw: of its neighbours' effects, and sd and rho there."""
    new = {"x": [0.0, 0.0], "g": ["a41", "a40"]}
    drawn = np.asarray(fit.predict(new, kind="linear", output="draws", seed=2)).reshape(-1, 2)
    posterior = fit.posterior.stack(sample=("chain", "draw"))
    b = posterior["b"].sel(coef="Intercept").to_numpy()
    r = posterior["r_g"].sel(g_effect="Intercept").transpose("sample", "g")
    sd, rho = posterior["sd_g"].to_numpy()[0], posterior["rho_g"].to_numpy()
    known, weights = r["g"].to_numpy(), weights_of(grid(6, 7))
    scaled = []
    for s in range(0, len(b), 20):
        whole = covariance_of("bym2", rho[s], weights)
        half = np.linalg.solve(whole.loc[known, known].to_numpy(), whole.loc[known, new["g"]].to_numpy())
        mean = b[s] + r.to_numpy()[s] @ half
        spread = whole.loc[new["g"], new["g"]].to_numpy() - whole.loc[new["g"], known].to_numpy() @ half
        scaled.append(np.linalg.solve(np.linalg.cholesky(spread), drawn[s] - mean) / sd[s])
    assert stats.kstest(np.ravel(scaled), "norm").pvalue > 1e-3
    average = fit.predict(new, kind="mean", new_levels="average")
    assert (average["mean"] > fit.predict(new, kind="mean", new_levels="mean")["mean"]).all()
    with pytest.raises(hb.DataError, match="no row for 'other'"):
        fit.predict(new | {"g": ["a41", "other"]})


@pytest.mark.parametrize("kind", KINDS)
def test_variances_of_areas_are_the_diagonal(kind):
    factor = model_of(kind).spec.layout.main.factors[0]
    rhos = np.array([0.3, 0.95])
    found = np.broadcast_to(factor.level_variances([] if kind == "icar" else [rhos]), (2, 10))
    for own, rho in zip(found, rhos, strict=True):
        np.testing.assert_allclose(own, np.diagonal(covariance_of(kind, rho).loc[LEVELS, LEVELS]), rtol=1e-8)


def test_answers_know_areas(fit, tmp_path):
    assert fit.loo().elpd < 0
    assert np.isfinite(fit.icc()["mean"]).all()
    assert "rho" in set(fit.varcorr()["effect2"])
    assert np.isfinite(fit.prior_sensitivity()["prior"]).all()
    assert "sd[g]² ((1 − rho[g]) I + rho[g] Q⁻(W))" in repr(fit.model)
    for call in (lambda: fit.logo("g"), fit.shrinkage):
        with pytest.raises(hb.UnsupportedError, match="related"):
            call()
    fit.plot_ranef()
    fit.plot_level_qq()
    fit.save(tmp_path / "fit.nc")
    loaded = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(loaded.ranef(), fit.ranef())
    new = {"x": [0.0], "g": ["a41"]}
    pd.testing.assert_frame_equal(loaded.predict(new, seed=1), fit.predict(new, seed=1))


def test_simulated_rows_have_the_covariance():
    design = {"g": W.index.to_numpy()}
    truth = {"Intercept": 0, "sd[g, Intercept]": 2, "rho[g]": 0.6, "sigma": 1e-6}
    formula = 'y ~ 1 + (1 | gr(g, car=W, type="bym2"))'
    rows = [hb.simulate(formula, design, truth, seed=seed, data2={"W": PAIRS})["y"] for seed in range(200)]
    root = np.linalg.cholesky(covariance_of("bym2", 0.6).to_numpy())
    scaled = np.linalg.solve(root, np.array(rows).T / 2)
    assert stats.kstest(scaled.ravel(), "norm").pvalue > 1e-3
