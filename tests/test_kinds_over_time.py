"""Kinds of levels with effects over times and places, or with relatives: ``ar1(0 + t | gr(g, by=z))``."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.engine.collapsed import to_problem
from hierbayes.engine.gaussian.collapsed import arrange, density_of, route_of
from hierbayes.engine.gaussian.moments import moments
from hierbayes.formula import parse
from tests.families.fits import assert_kernel_is_the_graph

TIMES = {"a": np.array([0, 1, 2, 5]), "b": np.array([0, 1, 3, 4, 7])}
LEVELS = {"a": list("klmn"), "b": list("pqrst")}
CORRELATIONS = {
    "ar1": ("rho", lambda gap, rho: rho**gap),
    "ou": ("decay", lambda gap, decay: np.exp(-decay * gap)),
    "exp": ("lscale", lambda gap, lscale: np.where(gap == 0, 1.0, (1 - 1e-8) * np.exp(-gap / lscale))),
}


def rows(seed: int = 1, by: str = "z") -> pd.DataFrame:
    """Levels of two kinds, each at the times of its kind."""
    frames = [
        pd.DataFrame({"g": level, "t": TIMES[kind], by: kind}) for kind in "ab" for level in LEVELS[kind]
    ]
    data, rng = pd.concat(frames, ignore_index=True), np.random.default_rng(seed)
    return data.assign(y=rng.normal(size=len(data)), n=rng.poisson(2.0, size=len(data)), s=data["t"] / 2)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize(
    "term",
    [
        "ar1(0 + t | gr(g, by=z))",
        "ou(0 + s | gr(g, by=z))",
        "gau(0 + s + t | gr(g, by=z))",
        'mat(0 + s | gr(g, by=z, dist="student"))',
        "toep(0 + v | gr(g, by=z))",
        "(1 | gr(g, by=z)) + ar1(0 + t | gr(g, by=z))",
    ],
)
def test_whitened_kernel_is_the_graph(term, family):
    data = rows()
    data["v"] = data.groupby("g").cumcount()
    data = pd.concat([data, data.assign(y=-data["y"])], ignore_index=True)
    assert_kernel_is_the_graph(hb.Model(f"{'y' if family == 'gaussian' else 'n'} ~ 1 + {term}", data, family))


@pytest.mark.parametrize("name", CORRELATIONS)
def test_collapsed_density_is_that_of_the_dense_normal(name):
    """Rows of a level are normal with the covariance of its kind at their times."""
    data = rows()
    model = hb.Model(f"y ~ 1 + {name}(0 + t | gr(g, by=z))", data)
    problem = to_problem(model.spec, model.design)
    evaluate = density_of(arrange(problem, moments(problem), route_of(problem))).evaluator()
    (mean,) = (dict(prior.args) for prior in model.spec.coefficient_priors())
    same = data["g"].to_numpy()[:, None] == data["g"].to_numpy()
    gaps = np.abs(np.subtract.outer(data["t"].to_numpy(), data["t"].to_numpy())).astype(float)
    parameter, correlation = CORRELATIONS[name]
    (factor,) = model.spec.layout.main.factors
    rates = [dict(prior.args)["lam"] for prior in model.spec.sd_priors("mu", factor)]
    rates = [dict(model.spec.prior("sigma", parameter="sigma").args)["lam"], *rates]
    assert len(rates) == 3
    typical = [block.parameters[0].typical(block.positions) for block in factor.structures]
    rng, found, expected = np.random.default_rng(2), [], []
    for _ in range(4):
        theta = rng.normal(scale=0.4, size=problem.n_theta)
        sigma, *sds = np.exp(theta[:3])
        values = 2 / (1 + np.exp(-theta[3:])) - 1 if name == "ar1" else typical * np.exp(theta[3:])
        covariance = sigma**2 * np.eye(len(data)) + mean["sigma"] ** 2
        prior = stats.expon.logpdf([sigma, *sds], scale=1 / np.array(rates)).sum() + theta[:3].sum()
        for kind, sd, value in zip("ab", sds, values, strict=True):
            own = (data["z"] == kind).to_numpy()
            covariance += sd**2 * correlation(gaps, value) * (same & own[:, None] & own)
            stated = model.spec.prior(parameter, coefficient=f"t:z{kind}", group="g")
            density = stated.logpdf(np.array(value))
            prior += density + np.log((1 + value) * (1 - value) / 2 if name == "ar1" else value)
        normal = stats.multivariate_normal(np.full(len(data), mean["mu"]), covariance).logpdf(data["y"])
        found.append(evaluate(theta)[0])
        expected.append(normal + prior)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_names_priors_and_text():
    text = "n ~ 1 + ar1(0 + t | gr(g, by=`my z`))"
    assert str(parse(text)) == text
    model = hb.Model(
        "n ~ 1 + ar1(0 + t | gr(g, by=z))",
        rows(),
        "poisson",
        priors={"rho[g, t:zb]": "Uniform(0, 1)", "sd[g, t:za]": "Fixed(1)"},
    )
    names = {quantity.name for quantity in model.spec.quantities}
    assert {"sd[g, t:za]", "sd[g, t:zb]", "rho[g, t:za]", "rho[g, t:zb]"} < names
    assert "rho = rho[g, t:zb]" in repr(model)
    (factor,) = model.spec.layout.main.factors
    assert factor.effects[:4] == ("t[0]:za", "t[1]:za", "t[2]:za", "t[5]:za")
    assert factor.has.sum() == 4 * 4 + 5 * 5


def test_categories_without_numbers_have_their_distances_from_all_others():
    """A kind without rows in March has April two months after February."""
    codes = np.r_[np.tile([0, 1, 3, 1], 4), np.tile([0, 1, 2, 3, 2], 5)]
    data = rows().assign(m=pd.Categorical.from_codes(codes, ["Jan", "Feb", "Mar", "Apr"], ordered=True))
    (factor,) = hb.Model("y ~ 1 + ar1(0 + m | gr(g, by=z))", data).spec.layout.main.factors
    for block in factor.structures:
        np.testing.assert_array_equal(block.positions, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ("toep(0 + t | gr(g, by=z))", "different distances"),
        ("rr(0 + f | gr(g, by=z))", "same loadings"),
        ('(1 | gr(g, by=z, car=W, type="bym2"))', "a term with its indicator"),
        ("(x | gr(g, by=z, cov=W))", "uncorrelated ones"),
        ("ar1(0 + t | gr(g, by=z, cov=W))", "correlated with each other"),
    ],
)
def test_what_cannot_be_says_why(term, reason):
    data = rows().assign(x=1.0, f=list("uvwuvw") * 6 + list("uvwuv"))
    data.loc[::2, "x"] = 2.0
    levels = sorted(set(data["g"]))
    W = pd.DataFrame(np.ones((9, 9)) - np.eye(9), levels, levels)
    with pytest.raises(hb.HierBayesError, match=reason):
        hb.Model(f"y ~ 1 + {term}", data, data2={"W": W})


def test_the_way_out_for_areas_is_one():
    data = rows().assign(g1=lambda d: d["g"], g2=lambda d: d["g"], kind1=lambda d: (d["z"] == "a") * 1.0)
    levels = sorted(set(data["g"]))
    W = pd.DataFrame(np.ones((9, 9)) - np.eye(9), levels, levels)
    terms = [f"(0 + kind{n} | gr(g{n}, car=W, type='bym2'))" for n in (1, 2)]
    model = hb.Model(
        f"n ~ 1 + {' + '.join(terms)}", data.assign(kind2=1 - data["kind1"]), "poisson", data2={"W": W}
    )
    assert {"rho[g1]", "rho[g2]"} < {quantity.name for quantity in model.spec.quantities}


@pytest.fixture(scope="module")
def known(known_fit):
    """Effects and parameters that are known."""
    model = hb.Model("n ~ 1 + ar1(0 + t | gr(g, by=z))", rows(), "poisson")
    r = np.random.default_rng(3).normal(size=(9, 9))
    values = {"r_g": r, "sd_g": np.r_[np.full(4, 1.5), np.full(5, 0.5)]}
    names = [v.name for v in model.spec.shape_variables("mu", model.spec.layout.main.factors[0])]
    values |= dict(zip(names, [0.7, -0.4], strict=True))
    return known_fit(model, values, chains=1, draws=20_000), r


def test_new_times_go_by_the_covariance_of_their_kind(known):
    """Dense conditional normals; 5 is known to a and new to b, 3 the other way round."""
    fit, r = known
    new = pd.DataFrame({"g": list("ltltlt"), "t": [3, 5, 2, 4, 8, 9], "z": list("ababab")})
    found = fit.predict(new, kind="linear", output="draws", seed=1).to_numpy().reshape(-1, 6)
    for kind, places, at, known_r, rho, sd in (
        ("a", [0, 4], [3, 8], r[1, :4], 0.7, 1.5),
        ("b", [1, 5], [5, 9], r[8, 4:], -0.4, 0.5),
    ):
        times = np.r_[TIMES[kind], at]
        covariance = sd**2 * rho ** np.abs(np.subtract.outer(times, times)).astype(float)
        m = len(TIMES[kind])
        weights = np.linalg.solve(covariance[:m, :m], covariance[:m, m:]).T
        left = covariance[m:, m:] - weights @ covariance[:m, m:]
        z = np.linalg.solve(np.linalg.cholesky(left), (found[:, places] - weights @ known_r).T)
        assert np.abs(z.mean(axis=1)).max() < 4.5 / z.shape[1] ** 0.5
        assert np.abs(z @ z.T / z.shape[1] - np.eye(2)).max() < 4.5 * (2 / z.shape[1]) ** 0.5
    np.testing.assert_array_equal(found[:, 2], r[1, 2])
    np.testing.assert_array_equal(found[:, 3], r[8, 7])


def test_a_new_level_has_the_covariance_of_its_kind(known):
    fit, _ = known
    new = pd.DataFrame({"g": ["x", "x", "y", "y"], "t": [0, 8, 0, 8], "z": list("aabb")})
    found = fit.predict(new, kind="linear", output="draws", seed=1).to_numpy().reshape(-1, 4)
    expected = np.zeros((4, 4))
    expected[:2, :2] = 1.5**2 * np.array([[1, 0.7**8], [0.7**8, 1]])
    expected[2:, 2:] = 0.5**2 * np.array([[1, 0.4**8], [0.4**8, 1]])
    variances = np.diagonal(expected)
    error = np.sqrt((np.outer(variances, variances) + expected**2) / len(found))
    assert (np.abs(np.cov(found.T) - expected) < 4.5 * error).all()
    means = fit.predict(new, kind="mean", groups="average")["mean"]
    np.testing.assert_allclose(means, np.exp(variances / 2), rtol=1e-12)
    with pytest.raises(hb.DataError, match="levels in the new rows that training didn't: c"):
        fit.predict(new.assign(z="c"))


def series_of_kinds(levels: int = 50, seed: int = 5) -> pd.DataFrame:
    """Levels of kind a with sd 0.6 and rho 0.2, of kind b with sd 2 and rho 0.8."""
    rng = np.random.default_rng(seed)
    frames = []
    for level in range(levels):
        kind, times = "ab"[level % 2], np.arange(6)
        sd, rho = (0.6, 0.2) if kind == "a" else (2.0, 0.8)
        r = np.linalg.cholesky(rho ** np.abs(np.subtract.outer(times, times)).astype(float)) @ rng.normal(
            size=6
        )
        y = 1 + sd * r[:, None] + 0.4 * rng.normal(size=(6, 2))
        frames.append(pd.DataFrame({"g": level, "z": kind, "t": np.repeat(times, 2), "y": y.ravel()}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def fit():
    return hb.fit("y ~ 1 + ar1(0 + t | gr(g, by=z))", series_of_kinds(), seed=1, draws=500, progress=False)


def test_kinds_are_recovered(fit):
    summary = fit.summary()
    truth = {"sd[g, t:za]": 0.6, "rho[g, t:za]": 0.2, "sd[g, t:zb]": 2.0, "rho[g, t:zb]": 0.8, "sigma": 0.4}
    for name, value in truth.items():
        assert summary.loc[name, "ess_bulk"] > 400
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"], name
    assert summary.loc["sd[g, t:za]", "sd"] < 0.1
    assert summary.loc["rho[g, t:zb]", "sd"] < 0.1


def test_answers_know_kinds(fit, tmp_path):
    assert len(fit.ranef()) == 50 * 6
    assert np.isfinite(fit.icc()["mean"]).all()
    assert np.isfinite(fit.loo().elpd)
    assert np.isfinite(fit.logo("g").elpd)
    assert np.isfinite(fit.predict(fit.data[:3])["mean"]).all()
    assert len(fit.varcorr()) > 2
    assert fit.plot_ranef(effects="t[3]:zb") is not None
    assert fit.plot_level_qq("g") is not None
    fit.check()
    fit.save(tmp_path / "fit.nc")
    loaded = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(loaded.ranef(), fit.ranef())
    new = pd.DataFrame({"g": [1, 900], "z": ["b", "a"], "t": [9, 2]})
    pd.testing.assert_frame_equal(loaded.predict(new, seed=2), fit.predict(new, seed=2))


# -- related levels ----------------------------------------------------------------------------------------------


def related_rows(seed: int = 4, levels: int = 12) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Levels of two kinds with a covariance, of kinds with each other too."""
    rng = np.random.default_rng(seed)
    root = np.tril(rng.uniform(0.2, 0.6, size=(levels + 2, levels + 2))) + np.eye(levels + 2)
    labels = [f"s{i}" for i in range(levels + 2)]
    A = pd.DataFrame(root @ root.T / levels, labels, labels)
    g = np.repeat(np.arange(levels), 4)
    data = pd.DataFrame({"g": np.array(labels)[g], "z": np.where(g % 3 == 0, "a", "b")})
    return data.assign(y=rng.normal(size=g.size), n=rng.poisson(2.0, size=g.size)), A


@pytest.mark.parametrize("matrix", ["cov=A", 'car=W, type="icar"'])
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_kinds_of_related_levels_are_indicators_as_effects(matrix, family):
    """The model of ``(0 + za + zb || gr(g, cov=A))``: kernel and graph, default priors and densities."""
    data, A = related_rows()
    W = pd.DataFrame(np.eye(14, k=1) + np.eye(14, k=-1), A.index, A.index)
    response = "y" if family == "gaussian" else "n"
    data = data.assign(za=(data["z"] == "a") * 1.0, zb=(data["z"] == "b") * 1.0)
    given = {"data2": {"A": A, "W": W}}
    kinds = hb.Model(f"{response} ~ 1 + (1 | gr(g, by=z, {matrix}))", data, family, **given)
    assert_kernel_is_the_graph(kinds)
    priors = {
        "sd[g, za]": kinds.spec.prior("sd", coefficient="Intercept:za", group="g"),
        "sd[g, zb]": kinds.spec.prior("sd", coefficient="Intercept:zb", group="g"),
    }
    plain = hb.Model(
        f"{response} ~ 1 + (0 + za + zb || gr(g, {matrix}))", data, family, priors=priors, **given
    )
    one, other = kinds.graph(), plain.graph()
    point = {name: value + 0.3 for name, value in one.initial_point().items()}
    of = dict(zip(one.initial_point(), other.initial_point(), strict=True))
    np.testing.assert_allclose(
        one.compile_logp()(point),
        other.compile_logp()({of[name]: value for name, value in point.items()}),
        rtol=1e-10,
    )


def test_default_priors_go_by_the_size_of_the_matrix():
    data, A = related_rows()

    def rate(matrix):
        model = hb.Model("y ~ 1 + (1 | gr(g, by=z, cov=A))", data, data2={"A": matrix})
        return dict(model.spec.prior("sd", coefficient="Intercept:za", group="g").args)["lam"]

    assert rate(4 * A) == pytest.approx(2 * rate(A), rel=1e-9)


def test_answers_of_related_kinds():
    data, A = related_rows()
    fit = hb.fit(
        "n ~ 1 + (1 | gr(g, by=z, cov=A))",
        data,
        "poisson",
        data2={"A": A},
        seed=1,
        draws=300,
        chains=2,
        progress=False,
    )
    assert len(fit.ranef()) == 12
    new = pd.DataFrame({"g": ["s12", "s13"], "z": ["a", "b"]})
    drawn = fit.predict(new, kind="linear", output="draws", seed=1).to_numpy().reshape(-1, 2)
    r = fit.posterior["r_g"].to_numpy().reshape(-1, 12, 2)
    b = fit.posterior["b"].to_numpy().reshape(-1)
    sd = fit.posterior["sd_g"].to_numpy().reshape(-1, 2)
    A = A.to_numpy()
    order = [int(label[1:]) for label in fit.spec.layout.main.factors[0].levels.texts]
    for place in (0, 1):
        weights = np.linalg.solve(A[np.ix_(order, order)], A[order, 12 + place])
        left = A[12 + place, 12 + place] - weights @ A[order, 12 + place]
        z = (drawn[:, place] - b - r[:, :, place] @ weights) / (sd[:, place] * left**0.5)
        assert abs(z.mean()) < 4.5 / len(z) ** 0.5
        assert abs(z.var() - 1) < 4.5 * (2 / len(z)) ** 0.5
    assert np.isfinite(fit.loo().elpd)
    assert np.isfinite(fit.icc()["mean"]).all()
    assert fit.plot_level_qq() is not None
