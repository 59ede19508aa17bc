"""Kinds of levels with covariances of their own: ``(x | gr(g, by=z))``."""

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


def rows_of(groups: int = 12, each: int = 4, seed: int = 1, share: float = 0.5) -> pd.DataFrame:
    """Groups of kind a or b, whose intercepts and slopes have sds 0.5, 0.3 or 2, 1."""
    rng = np.random.default_rng(seed)
    b = np.arange(groups) < share * groups
    g = np.repeat(np.arange(groups), each)
    r = rng.normal(size=(groups, 2)) * np.where(b[:, None], [2.0, 1.0], [0.5, 0.3])
    x = rng.normal(size=g.size)
    y = 1 + x + r[g, 0] + x * r[g, 1] + rng.normal(scale=0.5, size=g.size)
    z = np.where(b, "b", "a")[g]
    return pd.DataFrame({"y": y, "x": x, "g": g, "z": z, "n": rng.poisson(np.exp(0.2 * y))})


@pytest.mark.parametrize(
    "text",
    [
        "y ~ x + (x | gr(g, by=z))",
        "y ~ x + (x || gr(g, by=`my z`))",
        "y ~ 1 + (1 | gr(g:h, by=z))",
        "y ~ 1 + cs(0 + f | gr(g, by=z))",
    ],
)
def test_the_text_round_trips(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


def test_nothing_said_is_the_plain_term():
    assert parse("y ~ (1 | gr(g))") == parse("y ~ (1 | g)")


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("y ~ (1 | gr(g, by=1))", "by= names a column"),
        ("y ~ (1 | gr(g, by=log(x)))", "by= names a column"),
        ("y ~ (z | gr(g, by=z))", "cannot vary within it"),
        ("y ~ (1 | gr(g, bye=z))", "no option bye; did you mean by"),
        ("y ~ (1 | gr(g, h))", "one grouping factor"),
        ("y ~ (1 | h:gr(g, by=z))", "stands alone right of a bar"),
        ("y ~ (1 | gr(log(g), by=z))", "right of a bar stand columns"),
        ("y ~ (1 | h - gr(g, by=z))", "cannot be subtracted"),
        ("y ~ (1 |p| gr(g, by=z))", "leave one of the two out"),
        ("y ~ (1 | gr(g, by=z)) + (0 + x | g)", "says something else of the levels of 'g'"),
        ("y ~ (1 | gr(h, by=z))", r"level '0' of 'h' has rows with z = 'a' and 'b'"),
    ],
)
def test_what_cannot_be_says_why(formula, reason):
    with pytest.raises(hb.HierBayesError, match=reason):
        hb.Model(formula, rows_of().assign(h=0))


def test_names_are_those_of_brms():
    model = hb.Model("y ~ x + (x | gr(g, by=z))", rows_of())
    (factor,) = model.spec.layout.main.factors
    assert set(factor.effects) == {"Intercept:za", "Intercept:zb", "x:za", "x:zb"}
    assert {"sd[g, Intercept:za]", "cor[g, Intercept:zb, x:zb]"} < {q.name for q in model.spec.quantities}
    assert not any("za" in q.name and "zb" in q.name for q in model.spec.quantities)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("term", ["(1 | {})", "(x | {})", "(x || {})", "cs(0 + f | {})"])
def test_whitened_kernel_is_the_graph(term, family):
    data = rows_of().assign(f=np.tile(["p", "q"], 24))
    response = "y" if family == "gaussian" else "n"
    assert_kernel_is_the_graph(hb.Model(f"{response} ~ x + {term.format('gr(g, by=z)')}", data, family))


def test_collapsed_density_is_that_of_the_dense_normal():
    """y is normal with covariance Z Σ(kind) Z' of each level; the free coefficients' prior widens it."""
    data = rows_of()
    model = hb.Model("y ~ x + (x || gr(g, by=z))", data)
    problem = to_problem(model.spec, model.design)
    evaluate = density_of(arrange(problem, moments(problem), route_of(problem))).evaluator()
    (factor,) = model.spec.layout.main.factors
    means = np.array([dict(p.args)["mu"] for p in model.spec.coefficient_priors()])
    sds = np.array([dict(p.args)["sigma"] for p in model.spec.coefficient_priors()])
    X = model.spec.layout.main.map.inner_columns(model.design.main.x)
    own = data["z"].to_numpy()[:, None] == [name[-1] for name in factor.effects]
    Z = np.where([name.startswith("x") for name in factor.effects], data[["x"]].to_numpy(), 1.0) * own
    same = data["g"].to_numpy()[:, None] == data["g"].to_numpy()
    rates = [dict(prior.args)["lam"] for prior in model.spec.sd_priors("mu", factor)]
    rate = dict(model.spec.prior("sigma", parameter="sigma").args)["lam"]
    rng = np.random.default_rng(2)
    found, expected = [], []
    for _ in range(4):
        theta = rng.normal(scale=0.4, size=problem.n_theta)
        sigma, sd = np.exp(theta[0]), np.exp(theta[1:])
        covariance = (Z * sd**2) @ Z.T * same + sigma**2 * np.eye(len(data)) + (X * sds**2) @ X.T
        normal = stats.multivariate_normal(X @ means, covariance).logpdf(data["y"])
        prior = stats.expon.logpdf([sigma, *sd], scale=1 / np.array([rate, *rates])).sum() + theta.sum()
        found.append(evaluate(theta)[0])
        expected.append(normal + prior)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_default_priors_do_not_ask_how_many_rows_a_kind_has():
    """They are those of the same term without kinds, of rows of one kind alone."""
    many, few = (hb.Model("y ~ x + (x | gr(g, by=z))", rows_of(40, share=share)) for share in (0.5, 0.05))
    for name in ("Intercept:za", "Intercept:zb"):
        rates = [
            dict(model.spec.prior("sd", coefficient=name, group="g").args)["lam"]
            * model.spec.layout.response.scale
            for model in (many, few)
        ]
        np.testing.assert_allclose(rates, 1.0, rtol=1e-10)


def test_weight_2_is_the_row_twice():
    data = rows_of()
    twice = pd.concat([data, data[data["x"] > 0]], ignore_index=True)
    weighted = hb.Model(
        "y | weights(w) ~ x + (x | gr(g, by=z))", data.assign(w=np.where(data["x"] > 0, 2, 1))
    )
    doubled = hb.Model("y ~ x + (x | gr(g, by=z))", twice)
    for one, other in zip(weighted.spec.priors, doubled.spec.priors, strict=True):
        assert one.coefficient == other.coefficient
        for key, value in dict(one.prior.args).items():
            assert value == pytest.approx(dict(other.prior.args)[key], rel=1e-9)


@pytest.fixture(scope="module")
def fit():
    return hb.fit("y ~ x + (x | gr(g, by=z))", rows_of(80, 6), seed=1, progress=False)


def test_sds_of_kinds_are_recovered(fit):
    summary = fit.summary()
    for name, truth in {"Intercept:za": 0.5, "x:za": 0.3, "Intercept:zb": 2.0, "x:zb": 1.0}.items():
        row = summary.loc[f"sd[g, {name}]"]
        assert row["ess_bulk"] > 400
        assert abs(row["mean"] - truth) < 4 * row["sd"]
        assert row["sd"] < 0.3 * truth


def test_tables_list_the_effects_that_a_level_has(fit):
    for table in (fit.ranef(), fit.coef(), fit.shrinkage(), fit.rank()):
        assert len(table) == 160
        kinds = fit.data.groupby("g")["z"].first()
        assert (table["effect"].str[-1].to_numpy() == kinds[table["level"]].to_numpy()).all()
    assert np.isfinite(fit.shrinkage()["no_pooling"]).all()
    ranks = fit.rank(effect="x:zb")
    assert ranks["mean"].sum() == pytest.approx(40 * 41 / 2)
    assert len(fit.contrasts(effect="x:za", levels=[0, 1, 78, 79])) == 1
    with pytest.raises(hb.DataError, match="of different kinds"):
        fit.contrasts(levels=[0, 79])
    assert len(fit.contrasts(levels=[0, 79], at={"x": [0]})) == 1


def test_own_estimates_are_least_squares_of_the_level(fit):
    table = fit.shrinkage().set_index(["level", "effect"])
    rows = fit.data[fit.data["g"] == 79]
    slope, intercept = np.polyfit(rows["x"], rows["y"], 1)
    assert table.loc[(79, "x:za"), "no_pooling"] == pytest.approx(slope, rel=1e-8)
    assert table.loc[(79, "Intercept:za"), "no_pooling"] == pytest.approx(intercept, rel=1e-8)


def test_coef_adds_the_coefficient_that_kinds_share(fit):
    row = fit.coef().set_index(["level", "effect"]).loc[(79, "x:za")]
    r = fit.ranef().set_index(["level", "effect"]).loc[(79, "x:za")]
    assert row["mean"] - r["mean"] == pytest.approx(
        fit.fixef().set_index("effect").loc["x", "mean"], rel=1e-9
    )


def test_a_new_level_is_of_its_kind(fit):
    """Its effects' variance is the mean squared sd of the kind that its row states."""
    new = {"x": [0.0, 0.0], "g": [900, 901], "z": ["a", "b"]}
    drawn = np.asarray(fit.predict(new, kind="linear", output="draws", seed=3)).reshape(-1, 2)
    b = fit.posterior["b"].sel(coef="Intercept").to_numpy().ravel()
    sd = fit.posterior["sd_g"].sel(g_effect=["Intercept:za", "Intercept:zb"]).to_numpy().reshape(-1, 2)
    np.testing.assert_allclose((drawn - b[:, None]).std(axis=0), (sd**2).mean(axis=0) ** 0.5, rtol=0.06)
    with pytest.raises(hb.DataError, match="levels in the new rows that training didn't: c"):
        fit.predict(new | {"z": ["c", "b"]})


def test_a_known_level_stays_of_its_kind(fit):
    new = {"x": [0.0], "g": [79], "z": ["b"]}
    with pytest.raises(
        hb.DataError, match="level '79' of 'g' has z = 'b' in the new rows and 'a' in training"
    ):
        fit.predict(new)
    assert len(fit.predict(new, groups="none")) == 1
    assert len(fit.predict(new | {"g": [None]})) == 1


def test_answers_and_pictures_know_kinds(fit, tmp_path):
    assert fit.loo().good_k is not None
    assert np.isfinite(fit.icc()["mean"]).all()
    assert "r[g, (Intercept:za, x:za)] ~ MvNormal" in repr(fit.model)
    for name, options in [
        ("plot_ranef", {}),
        ("plot_shrinkage", {}),
        ("plot_shrinkage", {"effects": "x:zb"}),
        ("plot_groups", {"max_levels": 4}),
        ("plot_level_qq", {}),
    ]:
        assert getattr(fit, name)(**options) is not None
    with pytest.raises(hb.DataError, match="different kinds"):
        fit.plot_shrinkage(effects=["x:za", "x:zb"])
    fit.save(tmp_path / "fit.nc")
    loaded = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(loaded.ranef(), fit.ranef())
    assert loaded.formula == fit.formula


def test_default_comparisons_leave_the_kinds_out(fit):
    assert set(fit.avg_comparisons()["term"]) == {"x"}
