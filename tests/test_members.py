"""Several levels of a factor a row: ``(1 | mm(g1, g2, weights=cbind(w1, w2)))``."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.variance import second_moments
from hierbayes.errors import DataError, FormulaError, UnsupportedError
from hierbayes.formula import parse
from hierbayes.simulation import sample_prior
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_graph import compile_quickly

N = 60
LEVELS = np.array([f"s{place}" for place in range(9)])


def rows(seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 7, N), rng.integers(2, 9, N)
    first[:3], second[:3] = 4, 4  # some rows have one level twice
    x = rng.normal(size=N)
    r = rng.normal(size=9)
    y = 1 + 0.5 * x + 0.5 * r[first] + 0.5 * r[second] + 0.5 * rng.normal(size=N)
    weights = rng.uniform(0.1, 2.0, size=(2, N))
    table = {"y": y, "x": x, "a": LEVELS[first], "b": LEVELS[second], "u": weights[0], "v": weights[1]}
    return pd.DataFrame(table | {"n": rng.poisson(np.exp(0.4 * y)), "h": rng.integers(0, 6, N)})


DATA = rows()
EQUAL = "y ~ x + (1 | mm(a, b))"
NAME = "mm(a, b)"


def membership(
    data: pd.DataFrame, levels: np.ndarray, scale: bool = True, weighted: bool = True
) -> np.ndarray:
    """What each level weighs in each row, from the definition: (n, G)."""
    w = data[["u", "v"]].to_numpy() if weighted else np.ones((len(data), 2))
    w = w / w.sum(axis=1, keepdims=True) if scale else w
    found = np.zeros((len(data), len(levels)))
    for row in range(len(data)):
        for place, column in enumerate("ab"):
            found[row, list(levels).index(data[column].iloc[row])] += w[row, place]
    return found


def test_the_text_round_trips():
    for text in (
        "y ~ x + (1 | mm(a, b))",
        "y ~ x + (x || mm(a, `b c`, weights=cbind(u, I(1 - u)), scale=False)) + (1 | a)",
    ):
        assert str(parse(text)) == text
    columns = parse("y ~ (1 | mm(a, b, weights=cbind(u, v)))").columns
    assert [name for name, _ in columns] == ["y", "a", "b", "u", "v"]


def test_levels_are_those_of_both_columns():
    factor = hb.Model(EQUAL, DATA).spec.layout.main.factors[0]
    assert factor.name == NAME
    assert list(factor.levels.labels) == sorted({*DATA["a"], *DATA["b"]})


def test_it_is_another_factor_than_its_columns_and_their_combinations():
    layout = hb.Model("n ~ (1 | a) + (1 | a:b) + (1 | mm(a, b))", DATA, "poisson").spec.layout.main
    assert layout.factor_names == ("a", "a:b", NAME)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_rows_have_the_weights_of_the_definition(scale, weighted):
    weights = "weights=cbind(u, v), " if weighted else ""
    model = hb.Model(f"n ~ x + (1 | mm(a, b, {weights}scale={scale}))", DATA, "poisson")
    bound, factor = model.design.main.factors[NAME], model.spec.layout.main.factors[0]
    found = np.zeros((N, len(factor.levels)))
    for each in bound.memberships:
        np.add.at(found, (np.arange(N), each.codes), each.z[:, 0])
    expected = membership(DATA, factor.levels.labels, scale, weighted)
    np.testing.assert_allclose(found, expected)
    draws = sample_prior(model.spec, 2, seed=1)
    variance = second_moments(model.spec, draws, model.design, "mu", factor, np.full(N, 1 / N))
    np.testing.assert_allclose(variance[0, 0, 0], np.square(expected).sum(axis=1).mean())


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ x + (1 | mm(a, b))", "gaussian"),
        ("n ~ x + (x | mm(a, b, weights=cbind(u, v)))", "poisson"),
        ("n ~ x + (x || mm(a, b, weights=cbind(u, v), scale=False)) + (1 | a) + (1 | h)", "poisson"),
        ("n ~ x + (1 | h) + ar1(0 + h | mm(a, b))", "poisson"),
    ],
)
def test_whitened_kernel_is_the_graph(formula, family):
    assert_kernel_is_the_graph(hb.Model(formula, DATA, family))


def test_the_posterior_is_that_of_the_dense_normal():
    """log p(y, r) − log p(r | y) of the graph is the marginal density, with the covariance sd² W W' + σ² I."""
    stated = {
        "Intercept": "Normal(1, 2)",
        "b": "Normal(0, 1)",
        "sd": "Exponential(1)",
        "sigma": "Exponential(2)",
    }
    model = hb.Model("y ~ x + (1 | mm(a, b, weights=cbind(u, v)))", DATA, priors=stated)
    graph = model.graph()
    density = compile_quickly(graph, graph.logp(jacobian=False))
    W = membership(DATA, model.spec.layout.main.factors[0].levels.labels)
    X = np.column_stack([np.ones(N), DATA["x"] - DATA["x"].mean()])
    b, sd, sigma = np.array([0.7, 0.4]), 0.8, 0.6
    z = np.random.default_rng(0).normal(size=W.shape[1])
    names = {value.name: variable.name for variable, value in graph.rvs_to_values.items()}
    given = {
        "b_intercept": b[0],
        "b_slopes": b[1:],
        f"sd_{NAME}": [sd],
        f"r_{NAME}_z": z[:, None],
        "sigma": sigma,
    }
    point = {}
    for value, name in names.items():
        transformed = value.endswith("_log__")
        if name in given:
            point[value] = np.log(given[name]) if transformed else np.asarray(given[name], float)
    y, A = DATA["y"].to_numpy(), sd * W
    precision = np.eye(len(z)) + A.T @ A / sigma**2
    mean = np.linalg.solve(precision, A.T @ (y - X @ b) / sigma**2)
    given_y = stats.multivariate_normal.logpdf(z, mean, np.linalg.inv(precision))
    marginal = stats.multivariate_normal.logpdf(y, X @ b, A @ A.T + sigma**2 * np.eye(N))
    priors = [
        stats.norm.logpdf(b[0], 1, 2),
        stats.norm.logpdf(b[1], 0, 1),
        stats.expon.logpdf(sd),
        stats.expon.logpdf(sigma, scale=0.5),
    ]
    assert float(density(**point)) - given_y == pytest.approx(marginal + sum(priors), abs=1e-8)


def test_columns_of_different_types_are_refused():
    with pytest.raises(DataError, match="number values in column 'h' and string values in 'a'"):
        hb.Model("y ~ (1 | mm(h, a))", DATA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": -0.1}, "are negative in rows 0, 1.*scale=False"),
        ({"u": 0.0, "v": 0.0}, "are all 0"),
        ({"u": np.inf}, "not a finite number"),
        ({"u": "much"}, "must be one number"),
    ],
)
def test_weights_that_cannot_serve_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        hb.Model("y ~ (1 | mm(a, b, weights=cbind(u, v)))", DATA.assign(**change))


def test_terms_of_one_factor_say_the_same_of_it():
    with pytest.raises(FormulaError, match="says something else"):
        hb.Model("y ~ (1 | mm(a, b)) + (0 + x | mm(a, b, scale=False))", DATA)


@pytest.fixture(scope="module")
def fit() -> hb.Fit:
    return hb.fit(
        "y ~ x + (1 | mm(a, b, weights=cbind(u, v)))", DATA, seed=1, draws=500, chains=2, progress=False
    )


def effects_of(fit: hb.Fit) -> np.ndarray:
    return fit.posterior[f"r_{NAME}"].to_numpy().reshape(-1, len(LEVELS))


def test_predictions_add_up_the_weighed_effects(fit):
    b = fit.posterior["b"].to_numpy().reshape(-1, 2)
    new = pd.DataFrame({"x": 0.5, "a": ["s1", "s4"], "b": ["s7", "s4"], "u": [3.0, 1.0], "v": [1.0, 2.0]})
    found = fit.predict(new, kind="linear", output="draws").to_numpy().reshape(-1, 2)
    r = effects_of(fit)
    np.testing.assert_allclose(found[:, 0], b @ [1, 0.5] + 0.75 * r[:, 1] + 0.25 * r[:, 7])
    np.testing.assert_allclose(found[:, 1], b @ [1, 0.5] + r[:, 4])
    everywhere = fit.predict(DATA, kind="linear", output="draws").to_numpy().reshape(-1, N)
    X = np.column_stack([np.ones(N), DATA["x"]])
    np.testing.assert_allclose(everywhere, b @ X.T + r @ membership(DATA, LEVELS).T)


def test_a_new_level_is_drawn_once_whichever_column_it_stands_in(fit):
    new = pd.DataFrame(
        {
            "x": 0.0,
            "a": ["t", "s1", "t", None],
            "b": ["s1", "t", "t", "s1"],
            "u": [1.0, 3.0, 1.0, 1.0],
            "v": [3.0, 1.0, 1.0, 0.0],
        }
    )
    found = fit.predict(new, kind="linear", output="draws", seed=2).to_numpy().reshape(-1, 4)
    b, r = fit.posterior["b"].to_numpy().reshape(-1, 2)[:, 0], effects_of(fit)
    np.testing.assert_allclose(found[:, 0], found[:, 1])
    drawn = found[:, 2] - b
    np.testing.assert_allclose(found[:, 0], b + 0.25 * drawn + 0.75 * r[:, 1])
    sd = fit.posterior[f"sd_{NAME}"].to_numpy().ravel()
    assert stats.kstest(drawn / sd, "norm").pvalue > 1e-4
    assert stats.kstest((found[:, 3] - b) / sd, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(drawn / sd, (found[:, 3] - b) / sd)[0, 1]) < 0.15
    averaged = fit.predict(new, kind="linear", output="draws", new_levels="average").to_numpy().reshape(-1, 4)
    np.testing.assert_allclose(averaged[:, 0], b + 0.75 * r[:, 1])


def test_the_share_of_variance_goes_by_the_squared_weights(fit):
    sd, sigma = (fit.posterior[name].to_numpy().ravel() for name in (f"sd_{NAME}", "sigma"))
    between = sd**2 * np.square(membership(DATA, LEVELS)).sum(axis=1).mean()
    assert fit.icc()["mean"].iloc[0] == pytest.approx((between / (between + sigma**2)).mean(), rel=1e-8)


def test_leaving_out_a_row_is_its_density_without_it(fit):
    """The density of y given the others, beside plain importance weights of the densities by hand, where those do."""
    loo = fit.loo()
    b, sigma = fit.posterior["b"].to_numpy().reshape(-1, 2), fit.posterior["sigma"].to_numpy().ravel()
    mu = b @ np.column_stack([np.ones(N), DATA["x"]]).T + effects_of(fit) @ membership(DATA, LEVELS).T
    logs = stats.norm.logpdf(DATA["y"].to_numpy(), mu, sigma[:, None])
    np.testing.assert_allclose(fit.log_likelihood()["log_likelihood"]["y"].to_numpy().reshape(-1, N), logs)
    plain = -(np.logaddexp.reduce(-logs, axis=0) - np.log(len(logs)))
    steady = loo.pareto_k.to_numpy() < 0.5
    assert steady.mean() > 0.7
    assert np.abs(loo.elpd_i.to_numpy() - plain)[steady].max() < 0.05


def test_questions_about_rows_of_one_level_are_refused(fit):
    for ask in (
        lambda: fit.logo(NAME),
        fit.shrinkage,
        fit.plot_groups,
        lambda: fit.plot_ppc("group", group=NAME),
    ):
        with pytest.raises(UnsupportedError, match="several"):
            ask()


def test_every_other_answer_is_given(fit, tmp_path):
    assert len(fit.ranef()) == len(fit.rank()) == len(fit.coef()) == len(LEVELS)
    assert np.isfinite(fit.contrasts(pairs=[("s1", "s2")], at={"x": 1, "u": 1, "v": 1})["mean"]).all()
    assert np.isfinite(
        fit.compare(
            {"x": [0], "a": ["s1"], "b": ["z"], "u": [1], "v": [1]},
            {"x": [0], "a": ["s2"], "b": ["z"], "u": [1], "v": [1]},
        )["mean"]
    ).all()
    assert np.isfinite(fit.conditional_effects("x", groups="all")["mean"]).all()
    assert np.isfinite(fit.avg_slopes()["mean"]).all()
    assert np.isfinite(fit.residuals()["quantile"]).all()
    assert set(fit.varcorr()["group"]) == {NAME, "Residual"}
    assert "Σ_m w_m·(r[mm(a, b)])_m" in repr(fit.model)
    fit.plot_ranef()
    fit.save(tmp_path / "fit.nc")
    new = DATA.head(3).assign(a="t")
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").predict(new, seed=3), fit.predict(new, seed=3))


def test_new_levels_that_are_known_but_for_how_they_are_written_are_told(fit):
    with pytest.warns(hb.DataWarning, match="known: 's1'"):
        fit.predict(DATA.head(1).assign(b="S1"))


def test_the_order_of_the_columns_does_not_matter():
    first = hb.Model("y ~ x + (1 | mm(a, b))", DATA)
    second = hb.Model("y ~ x + (1 | mm(b, a))", DATA)
    one, other = (model.design.main.factors for model in (first, second))
    np.testing.assert_array_equal(one[NAME].memberships[0].codes, other["mm(b, a)"].memberships[1].codes)
    assert first.priors["prior"].tolist() == second.priors["prior"].tolist()


def test_files_of_rows_are_refused(tmp_path):
    DATA.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(UnsupportedError, match="mm"):
        hb.Model(EQUAL, tmp_path / "rows.parquet")
