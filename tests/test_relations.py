"""Levels with a known covariance: ``(1 | gr(g, cov=A))``."""

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
from hierbayes.engine.gaussian.rotation import can_rotate, rotate
from hierbayes.formula import parse
from hierbayes.simulation import sample_prior
from tests.families.fits import assert_kernel_is_the_graph


def covariance_of(count: int, seed: int = 3, size: float = 1.0) -> pd.DataFrame:
    """A covariance of levels s0, s1, … that are related more or less, with variances about `size`."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(count, count + 3))
    labels = [f"s{place}" for place in range(count)]
    return pd.DataFrame(size * (parts @ parts.T / (count + 3) + 0.1 * np.eye(count)), labels, labels)


def rows_of(matrix: pd.DataFrame, levels: int, each: int = 3, seed: int = 1, sd: float = 1.5) -> pd.DataFrame:
    """Rows of the first levels, their effects drawn with the covariance of all."""
    rng = np.random.default_rng(seed)
    r = sd * np.linalg.cholesky(matrix.to_numpy()) @ rng.normal(size=len(matrix))
    g = np.repeat(np.arange(levels), each)
    x = rng.normal(size=g.size)
    y = 1 + 0.5 * x + r[g] + rng.normal(scale=0.6, size=g.size)
    counts = rng.poisson(np.exp(0.3 * y))
    return pd.DataFrame({"y": y, "x": x, "g": matrix.index.to_numpy()[g], "n": counts})


MATRIX = covariance_of(12)
DATA = rows_of(MATRIX, 9)


def model_of(formula: str = "y ~ x + (1 | gr(g, cov=A))", family: str = "gaussian") -> hb.Model:
    return hb.Model(formula, DATA, family, data2={"A": MATRIX})


def test_the_text_round_trips():
    text = "y ~ x + (x || gr(g, cov=`my A`))"
    assert str(parse(text)) == text
    assert [name for name, _ in parse(text).columns] == ["y", "x", "g"]


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("term", ["(1 | {})", "(x || {})", "homdiag(0 + f | {})", "(1 | {}) + (1 | h)"])
def test_whitened_kernel_is_the_graph(term, family):
    data = DATA.assign(f=np.tile(["p", "q", "r"], 9), h=np.arange(27) % 7)
    formula = f"{'y' if family == 'gaussian' else 'n'} ~ x + {term.format('gr(g, cov=A)')}"
    assert_kernel_is_the_graph(hb.Model(formula, data, family, data2={"A": MATRIX}))


def test_collapsed_density_is_that_of_the_dense_normal():
    """y is normal with covariance sd² A of the rows' levels, and with the coefficients' prior, which widens it."""
    model = model_of("y ~ x + (x || gr(g, cov=A))")
    problem = to_problem(model.spec, model.design)
    evaluate = density_of(arrange(problem, moments(problem), route_of(problem))).evaluator()
    (factor,) = model.spec.layout.main.factors
    means = np.array([dict(p.args)["mu"] for p in model.spec.coefficient_priors()])
    sds = np.array([dict(p.args)["sigma"] for p in model.spec.coefficient_priors()])
    X = model.spec.layout.main.map.inner_columns(model.design.main.x)
    related = MATRIX.loc[DATA["g"], DATA["g"]].to_numpy()
    rates = [dict(prior.args)["lam"] for prior in model.spec.sd_priors("mu", factor)]
    rate = dict(model.spec.prior("sigma", parameter="sigma").args)["lam"]
    rng = np.random.default_rng(2)
    found, expected = [], []
    for _ in range(4):
        theta = rng.normal(scale=0.4, size=problem.n_theta)
        sigma, sd, slope = np.exp(theta)
        x = DATA["x"].to_numpy()
        covariance = related * (sd**2 + slope**2 * np.outer(x, x)) + sigma**2 * np.eye(len(DATA))
        normal = stats.multivariate_normal(X @ means, covariance + (X * sds**2) @ X.T).logpdf(DATA["y"])
        prior = stats.expon.logpdf([sigma, sd, slope], scale=1 / np.array([rate, *rates])).sum() + theta.sum()
        found.append(evaluate(theta)[0])
        expected.append(normal + prior)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("each", [1, 2, 6])
def test_rotated_rows_have_the_density_of_the_dense_normal(each):
    """And the effects that they leave, turned back, the dense conditional's mean."""
    data = rows_of(MATRIX, 9, each).assign(known=lambda d: 0.1 * np.arange(len(d)))
    model = hb.Model("y ~ x + offset(known) + (1 | gr(g, cov=A))", data, data2={"A": MATRIX})
    problem = to_problem(model.spec, model.design)
    assert can_rotate(problem)
    rotated = rotate(problem)
    evaluate = density_of(
        arrange(rotated.problem, moments(rotated.problem), route_of(rotated.problem))
    ).evaluator()
    X = problem.X
    sds = problem.prior_precision**-0.5
    related = MATRIX.loc[data["g"], data["g"]].to_numpy()
    (factor,) = model.spec.layout.main.factors
    (sd_prior,) = model.spec.sd_priors("mu", factor)
    rates = [dict(p.args)["lam"] for p in (model.spec.prior("sigma", parameter="sigma"), sd_prior)]
    y = (data["y"] - data["known"]).to_numpy()
    for theta in np.random.default_rng(2).normal(scale=0.4, size=(4, 2)):
        sigma, sd = np.exp(theta)
        covariance = related * sd**2 + sigma**2 * np.eye(len(data))
        normal = stats.multivariate_normal(X @ problem.prior_mean, covariance + (X * sds**2) @ X.T).logpdf(y)
        prior = stats.expon.logpdf([sigma, sd], scale=1 / np.array(rates)).sum() + theta.sum()
        np.testing.assert_allclose(evaluate(theta)[0], normal + prior, rtol=1e-8)
        # w's conditional mean, of rotated rows one by one, turned back into that of the levels' effects
        z, e = (
            rotated.problem.factors[0].Z[:, 0],
            rotated.problem.y - rotated.problem.X @ ([1.0, 0.5] - rotated.fitted),
        )
        w = sd**2 * z[:9] * e[:9] / (sd**2 * z[:9] ** 2 + sigma**2)
        found = factor.root @ (w @ rotated.back)
        across = MATRIX.loc[MATRIX.index[:9], data["g"]].to_numpy()
        expected = sd**2 * across @ np.linalg.solve(covariance, y - X @ [1.0, 0.5])
        np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_correlated_effects_and_weights_are_not_rotated():
    for formula in (
        "y ~ x + (x || gr(g, cov=A))",
        "y ~ x + (1 | gr(g, cov=A)) + (x | h)",
        "y | weights(n) ~ (1 | gr(g, cov=A))",
    ):
        model = hb.Model(formula, DATA.assign(h=np.arange(27) % 7), data2={"A": MATRIX})
        assert not can_rotate(to_problem(model.spec, model.design))


def test_rotated_rows_with_other_effects_leave_those_of_both_factors():
    """Mean and covariance of all effects, by the dense normal, with every sd known."""
    priors = {"sigma": "Fixed(0.6)", "sd[g]": "Fixed(0.9)", "sd[h]": "Fixed(0.5)"}
    data = DATA.assign(h=np.arange(27) % 5)
    model = hb.Model("y ~ x + (1 | h) + (1 | gr(g, cov=A))", data, data2={"A": MATRIX}, priors=priors)
    assert can_rotate(to_problem(model.spec, model.design))
    fit = model.fit(strategy="collapsed", seed=1, progress=False)
    r = [fit.posterior[name].to_numpy().reshape(4000, -1) for name in ("r_g", "r_h")]
    found, labels = np.hstack(r), list(fit.posterior["g"].to_numpy())
    indicators = [data["g"].to_numpy()[:, None] == labels, data["h"].to_numpy()[:, None] == np.arange(5)]
    Z = np.hstack(indicators).astype(float)
    prior = np.zeros((len(labels) + 5,) * 2)
    prior[: len(labels), : len(labels)] = 0.81 * MATRIX.loc[labels, labels].to_numpy()
    prior[len(labels) :, len(labels) :] = 0.25 * np.eye(5)
    problem = to_problem(model.spec, model.design)
    noise = 0.36 * np.eye(27) + (problem.X / problem.prior_precision) @ problem.X.T
    weights = np.linalg.solve(Z @ prior @ Z.T + noise, Z @ prior).T
    left = prior - weights @ Z @ prior
    z = np.linalg.solve(
        np.linalg.cholesky(left),
        (found - weights @ (data["y"] - problem.X @ problem.prior_mean).to_numpy()).T,
    )
    assert np.abs(z.mean(axis=1)).max() < 4.5 / 4000**0.5
    assert np.abs(z @ z.T / 4000 - np.eye(len(z))).max() < 5 * (2 / 4000) ** 0.5


def test_effects_have_the_density_of_the_known_covariance():
    model = model_of("y ~ x + (x || gr(g, cov=A))")
    draws = sample_prior(model.spec, 5, seed=1)
    own = MATRIX.iloc[:9, :9].to_numpy()
    expected = [
        sum(stats.multivariate_normal(None, sd[j] ** 2 * own).logpdf(r[:, j]) for j in range(2))
        for sd, r in zip(draws.values["sd_g"], draws.values["r_g"], strict=True)
    ]
    np.testing.assert_allclose(log_effects(model.spec, draws), expected, rtol=1e-9)


def test_prior_draws_have_the_covariance():
    draws = sample_prior(model_of().spec, 40_000, seed=1)
    scaled = draws.values["r_g"][..., 0] / draws.values["sd_g"]
    np.testing.assert_allclose(np.cov(scaled.T), MATRIX.iloc[:9, :9], atol=0.06)


def test_default_priors_go_by_the_size_of_the_matrix():
    """An sd for a covariance four times as large is half as large."""
    one, other = (
        hb.Model("y ~ x + (1 | gr(g, cov=A))", DATA, data2={"A": matrix}).spec.prior(
            "sd", coefficient="Intercept", group="g"
        )
        for matrix in (MATRIX, 4 * MATRIX)
    )
    assert dict(other.args)["lam"] == pytest.approx(2 * dict(one.args)["lam"])


@pytest.mark.parametrize(
    ("formula", "matrix", "reason"),
    [
        ("y ~ (1 | gr(g, cov=B))", MATRIX, "needs the covariance B .* data2 has 'A'"),
        ("y ~ (1 | gr(g, cov='A'))", MATRIX, "names a matrix of data2"),
        ("y ~ (x | gr(g, cov=A))", MATRIX, "uncorrelated ones"),
        ("y ~ (1 | gr(g:z, cov=A))", MATRIX, "those of one column"),
        ("y ~ (1 | gr(g, cov=A, car=A, type='icar'))", MATRIX, "not both"),
        ("y ~ (1 |p| gr(g, cov=A))", MATRIX, "an ID"),
        ("y ~ (1 | gr(g, cov=A)) + (0 + x | g)", MATRIX, "says something else"),
        ("y ~ (1 | gr(g, cov=A))", MATRIX.to_numpy(), "pandas DataFrame with the levels as index"),
        ("y ~ (1 | gr(g, cov=A))", MATRIX.iloc[:8, :8], "no row for 's8'"),
        ("y ~ (1 | gr(g, cov=A))", MATRIX.iloc[:, :8], "other levels as columns"),
        ("y ~ (1 | gr(g, cov=A))", MATRIX.rename(index={"s1": "s2"}), "'s2' twice"),
        (
            "y ~ (1 | gr(g, cov=A))",
            MATRIX.replace(MATRIX.iloc[1, 2], 9.0).iloc[::-1],
            "not positive definite",
        ),
        ("y ~ (1 | gr(g, cov=A))", MATRIX + np.eye(12, k=1), "not symmetric"),
        ("y ~ (1 | gr(g, cov=A))", MATRIX.where(MATRIX < 1.2), "no number for"),
        ("y ~ (1 | gr(g, cov=A))", 0 * MATRIX + 1, "not positive definite"),
        ("y ~ (1 | gr(g, cov=A))", MATRIX.iloc[:0, :0], "has no rows"),
        ("y ~ (1 | gr(g, cov=A))", MATRIX.rename(str.upper).rename(str.upper, axis=1), r"\(is 'S0' 's0'\?\)"),
        ("y ~ (1 | gr(g, cov=A)) + (1 | g)", MATRIX, "make a copy of the grouping column"),
        ("y ~ (x | gr(g, cov=A, cor=False))", MATRIX, r"without correlations are \(x \|\| g\)"),
        ("y ~ (1 | gr(g, id='p'))", MATRIX, r"are \(x \|ID\| g\)"),
    ],
)
def test_what_cannot_be_says_why(formula, matrix, reason):
    with pytest.raises(hb.HierBayesError, match=reason):
        hb.Model(formula, DATA.assign(z="a"), data2={"A": matrix})


def test_matrices_without_a_name_are_refused():
    with pytest.raises(hb.DataError, match="data2 is DataFrame; it has matrices by the names"):
        hb.Model("y ~ (1 | gr(g, cov=A))", DATA, data2=MATRIX)


@pytest.mark.parametrize("rows", [int, float, lambda number: f"{number}.0"])
@pytest.mark.parametrize("labels", [int, float, str])
def test_whole_numbers_are_the_same_levels_with_and_without_a_point(rows, labels):
    """A gap makes floats of whole numbers, in a column of rows as in an index."""
    own = [labels(place) for place in range(12)]
    data = DATA.assign(g=[rows(int(label[1:])) for label in DATA["g"]])
    model = hb.Model(
        "y ~ x + (1 | gr(g, cov=A))", data, data2={"A": MATRIX.set_axis(own).set_axis(own, axis=1)}
    )
    (factor,) = model.spec.layout.main.factors
    np.testing.assert_allclose(factor.root @ factor.root.T, MATRIX.iloc[:9, :9])


def test_an_array_of_xarray_has_its_coordinates_as_labels():
    array = MATRIX.rename_axis(index="a", columns="b").stack().to_xarray()
    (one,) = model_of().spec.layout.main.factors
    (other,) = hb.Model("y ~ x + (1 | gr(g, cov=A))", DATA, data2={"A": array}).spec.layout.main.factors
    np.testing.assert_allclose(one.root, other.root)


def test_rows_and_columns_may_stand_in_any_order():
    shuffled = MATRIX.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)
    other = hb.Model("y ~ x + (1 | gr(g, cov=A))", DATA, data2={"A": shuffled})
    one = model_of()
    for mine, theirs in zip(one.spec.layout.main.factors, other.spec.layout.main.factors, strict=True):
        np.testing.assert_allclose(mine.root, theirs.root)


@pytest.fixture(scope="module")
def matrix():
    return covariance_of(63, seed=5)


@pytest.fixture(scope="module")
def fit(matrix):
    return hb.fit(
        "y ~ x + (1 | gr(g, cov=A))", rows_of(matrix, 60), data2={"A": matrix}, seed=1, progress=False
    )


def test_parameters_are_recovered(fit):
    summary = fit.summary()
    for name, truth in {"x": 0.5, "sd[g, Intercept]": 1.5, "sigma": 0.6}.items():
        row = summary.loc[name]
        assert row["ess_bulk"] > 400
        assert abs(row["mean"] - truth) < 4 * row["sd"]


def test_effects_are_those_of_the_dense_conditional(fit, matrix):
    """Given sd, sigma and b, r is normal about sd² A Z' (sd² Z A Z' + σ²)⁻¹ (y − X b); averaged over the draws."""
    data = fit.data
    posterior = fit.posterior.isel(draw=slice(None, None, 20))
    levels = posterior["g"].to_numpy()
    across = matrix.loc[levels, data["g"]].to_numpy()
    related = matrix.loc[data["g"], data["g"]].to_numpy()
    sd, sigma = (posterior[name].to_numpy().ravel() for name in ("sd_g", "sigma"))
    b = posterior["b"].to_numpy().reshape(len(sd), 2)
    means = [
        s**2
        * across
        @ np.linalg.solve(s**2 * related + e**2 * np.eye(len(data)), data["y"] - c[0] - c[1] * data["x"])
        for s, e, c in zip(sd, sigma, b, strict=True)
    ]
    table = fit.ranef().set_index("level").loc[levels]
    left = np.abs(table["mean"] - np.mean(means, axis=0)) / table["sd"]
    assert left.max() < 4 / np.sqrt(len(sd)) + 4 / np.sqrt(4000)


def test_new_levels_are_drawn_given_their_relatives(fit, matrix):
    new = {"x": [0.0, 0.0], "g": ["s60", "s61"]}
    drawn = np.asarray(fit.predict(new, kind="linear", output="draws", seed=2)).reshape(-1, 2)
    b = fit.posterior["b"].sel(coef="Intercept").to_numpy().ravel()
    r = fit.posterior["r_g"].sel(g_effect="Intercept")
    known = r["g"].to_numpy()
    effects, sd = r.to_numpy().reshape(len(b), -1), fit.posterior["sd_g"].to_numpy().ravel()
    own = matrix.loc[known, known].to_numpy()
    weights = np.linalg.solve(own, matrix.loc[known, ["s60", "s61"]].to_numpy())
    left = (drawn - b[:, None] - effects @ weights) / sd[:, None]
    expected = (
        matrix.loc[["s60", "s61"], ["s60", "s61"]] - matrix.loc[["s60", "s61"], known].to_numpy() @ weights
    )
    np.testing.assert_allclose(np.cov(left.T), expected, atol=0.1 * np.diagonal(expected).max())
    mean = fit.predict(new, kind="linear", new_levels="mean")["mean"]
    np.testing.assert_allclose(mean, (b[:, None] + effects @ weights).mean(axis=0), rtol=1e-8)
    average = fit.predict(new, kind="mean", new_levels="average")["mean"]
    np.testing.assert_allclose(average, mean, rtol=1e-8)
    with pytest.raises(hb.DataError, match="no row for 'other'"):
        fit.predict(new | {"g": ["s60", "other"]})


def test_an_unknown_level_is_related_to_none(fit):
    (factor,) = fit.spec.layout.main.factors
    weights, covariance = conditional_levels(factor, [None, ("s60",)], [])
    assert not weights[0, 0].any()
    assert covariance[0, 0].tolist() == [pytest.approx(factor.relations.size), 0.0]


def test_answers_know_related_levels(fit, tmp_path):
    assert fit.loo().elpd < 0
    components = fit.icc().set_index("scale")
    assert np.isfinite(components["mean"]).all()
    assert "r[g] ~ MvNormal(0, sd[g]² A)" in repr(fit.model)
    for call in (lambda: fit.logo("g"), fit.shrinkage):
        with pytest.raises(hb.UnsupportedError, match="related"):
            call()
    fit.plot_ranef()
    fit.plot_level_qq()
    fit.save(tmp_path / "fit.nc")
    loaded = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(loaded.ranef(), fit.ranef())
    new = {"x": [0.0], "g": ["s62"]}
    pd.testing.assert_frame_equal(loaded.predict(new, seed=1), fit.predict(new, seed=1))


def test_simulated_rows_have_the_covariance():
    design = {"g": MATRIX.index.to_numpy()}
    truth = {"Intercept": 0, "sd[g, Intercept]": 2, "sigma": 1e-6}
    rows = [
        hb.simulate("y ~ 1 + (1 | gr(g, cov=A))", design, truth, seed=seed, data2={"A": MATRIX})["y"]
        for seed in range(200)
    ]
    scaled = np.linalg.solve(np.linalg.cholesky(MATRIX.to_numpy()), np.array(rows).T / 2)
    assert stats.kstest(scaled.ravel(), "norm").pvalue > 1e-3


def test_a_thorough_check_says_what_it_left_out():
    fit = model_of().fit(seed=1, progress=False)
    findings = {finding.code: finding.found for finding in fit.check(thorough=True)}
    assert "logo() doesn't know that yet" in findings["left-out"]
