"""Effects of reduced rank, ``rr(0 + f | g, d=2)``: loadings times fewer independent numbers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism.coordinates import space_of
from hierbayes.criticism.marginal import hold_out, log_marginal
from hierbayes.criticism.sensitivity import log_effects
from hierbayes.engine.collapsed import to_problem
from hierbayes.engine.core.shapes import AT, LOWER, D
from hierbayes.engine.gaussian.kernels import log_density
from hierbayes.engine.gaussian.moments import moments
from hierbayes.engine.gaussian.nested import nest
from hierbayes.engine.gaussian.nestkernels import nested_log_density
from hierbayes.engine.gaussian.packing import pack
from hierbayes.errors import DataError, FormulaError, PriorError
from hierbayes.formula import parse
from hierbayes.known_parameters import known_draws
from hierbayes.structures import STRUCTURES
from tests.families.fits import assert_kernel_is_the_graph
from tests.gaussian.problems import differentiate
from tests.structures.test_glmmtmb import SLEEP, marginal

LOADINGS = np.array([[1.0, 0.0], [0.8, 0.6], [-0.7, 0.5], [0.3, -0.9], [0.0, 0.4]])
TERM = "rr(0 + f | g)"


def rows(levels: int = 12, repeats: int = 2, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    q = len(LOADINGS)
    r = rng.normal(size=(levels, 2)) @ LOADINGS.T
    g = np.repeat(np.arange(levels), q * repeats)
    f = np.tile(np.repeat(np.arange(q), repeats), levels)
    y = 1 + r[g, f] + 0.7 * rng.normal(size=g.size)
    columns = {"g": g, "f": np.array(list("abcde"))[f], "x": rng.normal(size=g.size)}
    return pd.DataFrame({"y": y, "n": rng.poisson(np.exp(0.5 * y)), **columns})


DATA = rows()


# -- formulas and priors --------------------------------------------------------------------------------------------


def test_the_text_round_trips():
    text = "y ~ x + rr(0 + f | g, d=3) + (1 | h)"
    assert str(parse(text)) == text
    assert str(parse("y ~ rr(f | g)")) == "y ~ 1 + rr(f | g, d=2)"
    (term,) = parse("y ~ rr(f | g, d = 1)").groups
    assert (term.structure, term.rank) == ("rr", 1)


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ("rr(0 + f | g, d=0)", "whole number of dimensions, 1 or more"),
        ("rr(0 + f | g, d=1.5)", "whole number of dimensions"),
        ("rr(0 + f | g, rank=2)", "has the option d="),
        ("rr(0 + f | g, 2)", "has the option d="),
        ("cs(0 + f | g, d=2)", "takes effects and groups alone"),
        ("rr(0 + f | g, d=6)", "5 dimensions at most"),
        ("rr(1 | g)", "no rank to reduce"),
        ("rr(1 | g, d=1)", "no rank to reduce"),
        ("rr(0 + f | g) + rr(x | g)", "has loadings in"),
        ("rr(0 + f | gr(g, by=k))", "leave by= out"),
        ('rr(0 + f | gr(g, dist="student"))', "leave dist= out"),
    ],
)
def test_what_it_does_not_go_with_is_refused(term, reason):
    data = DATA.assign(k=np.where(DATA["g"] < 6, "p", "q"))
    with pytest.raises(FormulaError, match=reason):
        hb.Model(f"y ~ 1 + {term}", data)


def test_effects_with_an_id_beside_are_refused():
    formulas = {"mu": f"y ~ (x |p| g) + {TERM}", "sigma": "~ (1 |p| g)"}
    with pytest.raises(FormulaError, match="doesn't stand beside effects with an ID"):
        hb.Model(formulas, DATA)


def test_default_priors_have_the_variance_of_other_structures_effects():
    free = hb.Model("y ~ x + (0 + f || g)", DATA).priors
    sds = 1 / free[free["class"] == "sd"]["prior"].str.extract(r"lam=([\d.]+)")[0].astype(float).to_numpy()
    for d in (1, 2):
        model = hb.Model(f"y ~ x + rr(0 + f | g, d={d})", DATA)
        priors = model.priors[model.priors["class"] == "loadings"]
        assert len(priors) == 5 * d - d * (d - 1) // 2
        half = priors["prior"].str.startswith("HalfNormal").to_numpy()
        assert priors["coefficient"][half].tolist() == ["f[a], 1", "f[b], 2"][:d]
        widths = priors["prior"].str.extract(r"sigma=([\d.]+)")[0].astype(float)
        last = widths[priors["coefficient"].str.startswith("f[e]")].to_numpy()
        assert np.square(last).sum() == pytest.approx(2 * sds[-1] ** 2, rel=1e-4)
        assert "sd" not in set(model.priors["class"])


def test_stated_priors():
    priors = {"loadings[g]": "StudentT(4, 0, 1.5)", "loadings[g, f[b], 1]": "Normal(0, 2)"}
    model = hb.Model(f"y ~ x + {TERM}", DATA, priors=priors | {"loadings[g, f[e], 2]": "Fixed(0)"})
    found = dict(zip(model.priors["coefficient"], model.priors["prior"], strict=True))
    assert found["f[a], 1"] == found["f[b], 2"] == "HalfStudentT(nu=4, sigma=1.5)"
    assert found["f[c], 2"] == "StudentT(nu=4, mu=0, sigma=1.5)"
    assert found["f[b], 1"] == "Normal(mu=0, sigma=2)"
    assert found["f[e], 2"] == "Fixed(value=0)"
    bare = hb.Model(f"y ~ x + {TERM}", DATA, priors={"loadings": "Cauchy"})
    assert str(bare.priors["prior"][2]).startswith("HalfCauchy")


@pytest.mark.parametrize(
    ("address", "prior"),
    [
        ("loadings[g]", "Normal(1, 1)"),
        ("loadings[g]", "Exponential(1)"),
        ("loadings[g, f[b], 1]", "HalfNormal(1)"),
        ("loadings[g, f[b], 1]", "Fixed(1)"),
        ("loadings[g, f[a], 1]", "Fixed(-1)"),
        ("loadings[g, f[a], 1]", "Gamma(2, 1)"),
    ],
)
def test_priors_that_would_break_the_symmetry_are_refused(address, prior):
    with pytest.raises(PriorError, match="sign of a column of loadings is a convention"):
        hb.Model(f"y ~ x + {TERM}", DATA, priors={address: prior})


def test_no_standard_deviation_has_a_prior():
    with pytest.raises(PriorError, match="matches nothing"):
        hb.Model(f"y ~ x + {TERM}", DATA, priors={"sd[g]": "Exponential(1)"})


# -- densities ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::hierbayes.DataWarning")
@pytest.mark.parametrize("kernel", ["dense", "nested"])
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("shape", ["as it is", "one level", "a row a level"])
def test_collapsed_density_is_the_dense_normals(shape, d, kernel):
    """And with every loading near 0; its gradient is the difference."""
    data = DATA.assign(g=0) if shape == "one level" else DATA
    data = data.assign(g=np.arange(len(data))) if shape == "a row a level" else data
    priors = {"b": "Normal(0, 2)", "Intercept": "Normal(0, 3)", "sigma": "Exponential(1)"}
    priors |= {"loadings": "StudentT(4, 0, 1.3)", "loadings[g, f[c], 1]": "Normal(0, 2)"}
    model = hb.Model(f"y ~ 1 + x + rr(0 + f | g, d={d})", data, priors=priors)
    problem = to_problem(model.spec, model.design)
    packed = pack(problem, moments(problem), 0) if kernel == "dense" else nest(problem, moments(problem))
    density = log_density if kernel == "dense" else nested_log_density
    memory, grad = packed.memory(), np.empty(problem.n_theta)
    (factor,) = model.spec.layout.main.factors
    table = problem.factors[0].structured[0].shapes
    bound = model.design.main.factors["g"]
    same = np.equal.outer(bound.codes, bound.codes)
    names = [f"{variable.label}" for variable in model.spec.shape_variables("mu", factor)]
    for seed, size in ((0, 1.0), (1, 1.0), (2, 1e-9)):
        theta = np.random.default_rng(seed).normal(size=problem.n_theta)
        cells = size * (table[:, LOWER] + table[:, D] * theta[1:])
        theta[1:] = (cells - table[:, LOWER]) / table[:, D]
        loadings = np.zeros((5, d))
        for (_, own), value in zip(factor.shapes, cells, strict=True):
            loadings[own.place] = value
        between = bound.z @ loadings @ loadings.T @ bound.z.T
        covariance = np.where(same, between, 0.0) + np.exp(2 * theta[0]) * np.eye(len(data))
        covariance += problem.X @ np.diag(1 / problem.prior_precision) @ problem.X.T
        mean = problem.X @ problem.prior_mean
        expected = stats.multivariate_normal.logpdf(problem.y, mean, covariance)
        expected += stats.expon.logpdf(np.exp(theta[0])) + theta[0]
        for name, value, scale in zip(names, cells, table[:, D], strict=True):
            prior = stats.norm(0, 2) if name == "f[c], 1" else stats.t(4, 0, 1.3)
            expected += prior.logpdf(value) + np.log(scale)
        assert density(theta, grad, *packed.constants, *memory) == pytest.approx(expected, rel=1e-8)
        slope = differentiate(lambda t: density(t, np.empty(t.size), *packed.constants, *memory), theta)
        np.testing.assert_allclose(grad, slope, rtol=1e-6, atol=1e-5 * max(1.0, np.abs(slope).max()))
    assert (table[:, AT] >= 0).all()


@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("y ~ x + rr(0 + f | g, d=1) + (1 | f)", "gaussian", {}),
        ("n ~ x + (x | g) + rr(0 + f | g)", "poisson", {}),
        ("n ~ rr(1 + x + f | g, d=3)", "negbinomial", {"loadings": "StudentT(3, 0, 1)"}),
        ("y ~ x + rr(0 + f | mm(g, h))", "gaussian", {}),
    ],
)
def test_whitened_kernel_is_the_graph(formula, family, priors):
    data = DATA.assign(h=(DATA["g"] + 1) % 12)
    assert_kernel_is_the_graph(hb.Model(formula, data, family=family, priors=priors))


def test_known_loadings_stay_what_they_are():
    priors = {"loadings[g, f[c], 1]": "Fixed(0)", "loadings[g, f[a], 1]": "Fixed(1)"}
    fit = hb.fit(f"y ~ x + {TERM}", rows(40), priors=priors, seed=1, progress=False)
    found = fit.posterior["loadings_g"].to_numpy()
    assert (found[..., 2, 0] == 0).all()
    assert (found[..., 0, 0] == 1).all()
    assert fit.summary()["r_hat"].max() < 1.02


# logLik, fixed effects, sigma and loadings of glmmTMB 1.1.5, rr(0 + f | Subject, d = d) with f <- factor(Days):
# m$obj$env$report(m$fit$parfull)$fact_load[[1]]
FOUND = {
    1: (
        -877.882647028,
        (249.400175034, 9.83586521947),
        27.22825261,
        [
            [16.14096032],
            [19.98996288],
            [16.80560655],
            [29.74095860],
            [36.10511539],
            [47.20563572],
            [48.07465395],
            [39.45349646],
            [54.05071925],
            [56.74232234],
        ],
    ),
    2: (
        -863.921330449,
        (249.00469082617, 9.45180675136),
        22.89514185,
        [
            [-18.81273303, 0.000000000],
            [-20.50717842, 4.873514809],
            [-12.59517435, 11.990547329],
            [-23.26359333, 20.516661742],
            [-29.38704791, 22.184340394],
            [-43.37705159, 20.908711557],
            [-28.63522217, 49.734128035],
            [-32.58597771, 23.831302952],
            [-51.10459745, 21.244348378],
            [-64.09786940, 3.311093556],
        ],
    ),
}


@pytest.mark.filterwarnings("ignore::hierbayes.DataWarning")
@pytest.mark.parametrize("d", FOUND)
def test_marginal_density_is_glmmtmbs_and_at_its_maximum(d):
    loglik, b, sigma, loadings = FOUND[d]
    model = hb.Model(f"Reaction ~ Days + rr(0 + C(Days) | Subject, d={d})", SLEEP)
    (factor,) = model.spec.layout.main.factors

    def density(loadings):
        cells = [np.array(loadings[shape.place]) for _, shape in factor.shapes]
        sd, _, cells = factor.settled(np.ones(10), np.eye(10), cells)
        assert cells[0] > 0
        return marginal(model, b, sigma, sd, {str(place): cell for place, cell in enumerate(cells)})

    loadings = np.array(loadings)
    assert density(loadings) == pytest.approx(loglik, abs=2e-6)
    for _, shape in factor.shapes:
        for away in (-0.5, 0.5):
            moved = loadings.copy()
            moved[shape.place] += away
            assert density(moved) < loglik


def test_density_of_effects_is_that_of_those_that_decide():
    rng = np.random.default_rng(3)
    loadings = np.tril(rng.uniform(0.3, 1.0, (4, 5, 2)))
    r = rng.normal(size=(4, 12, 2)) @ np.swapaxes(loadings, 1, 2)
    model = hb.Model(f"y ~ 1 + {TERM}", DATA)
    sd = np.sqrt(np.square(loadings).sum(axis=2))
    values = {"loadings_g": loadings, "r_g": r, "sd_g": sd, "sigma": np.ones(4), "b": np.zeros((4, 1))}
    draws = flatten(model.spec, _dataset(model, values))
    expected = [
        stats.multivariate_normal(cov=own[:2] @ own[:2].T).logpdf(effects[:, :2]).sum()
        for own, effects in zip(loadings, r, strict=True)
    ]
    np.testing.assert_allclose(log_effects(model.spec, draws), expected, rtol=1e-10)
    space = space_of(model.spec, draws, {("mu", "g"): np.arange(12)})
    back = space.at(space.points, slice(0, 4))
    for name in values:
        np.testing.assert_allclose(back.values[name], draws.values[name], atol=1e-12)
    moved = space.at(space.points + 0.1 * rng.normal(size=space.points.shape), slice(0, 4)).values
    own = moved["loadings_g"]
    numbers = np.linalg.solve(own[:, :2], np.swapaxes(moved["r_g"][..., :2], 1, 2))
    np.testing.assert_allclose(moved["r_g"], np.swapaxes(own @ numbers, 1, 2), atol=1e-12)
    np.testing.assert_allclose(moved["sd_g"], np.sqrt(np.square(own).sum(axis=2)), atol=1e-12)


def _dataset(model, values):
    from hierbayes.engine.draws import to_dataset

    return to_dataset(model.spec, {name: np.asarray(array)[None] for name, array in values.items()})


# -- posteriors -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fit():
    return hb.fit(f"y ~ f + {TERM}", rows(60, 3), seed=1, progress=False)


def covariance_of(loadings: np.ndarray) -> np.ndarray:
    return loadings @ np.swapaxes(loadings, -1, -2)


def test_truth_is_found(fit):
    summary = fit.summary()
    assert fit.tree.attrs["strategy"] == "collapsed"
    assert summary["ess_bulk"].min() > 400
    assert summary["r_hat"].max() < 1.03
    found = covariance_of(fit.posterior["loadings_g"].to_numpy().reshape(-1, 5, 2))
    distance = (found.mean(axis=0) - covariance_of(LOADINGS)) / found.std(axis=0)
    assert (np.abs(distance) < 4).all()
    assert abs(summary.loc["sigma", "mean"] - 0.7) < 4 * summary.loc["sigma", "sd"]
    sd = fit.posterior["sd_g"].to_numpy().reshape(-1, 5)
    np.testing.assert_allclose(sd**2, np.diagonal(found, axis1=1, axis2=2), rtol=1e-10)
    assert (fit.posterior["loadings_g"].to_numpy()[..., [0, 1], [0, 1]] > 0).all()
    r, own = (fit.posterior[name].to_numpy() for name in ("r_g", "loadings_g"))
    numbers = np.linalg.lstsq(own[0, 0], r[0, 0].T, rcond=None)[0]
    np.testing.assert_allclose(own[0, 0] @ numbers, r[0, 0].T, atol=1e-8)


def test_strategies_agree(fit):
    other = hb.fit(f"y ~ f + {TERM}", fit.data, seed=2, progress=False, strategy="whitened")
    one, two = fit.summary(), other.summary()
    error = np.hypot(one["mcse_mean"], two["mcse_mean"])
    assert (np.abs(one["mean"] - two["mean"]) < 4.5 * error).all()


def test_a_poisson_response_in_one_dimension():
    truth = dict(zip("abcde", (0.8, 0.5, -0.6, 0.3, 0.0), strict=True))
    data, rng = rows(80, 2, seed=7), np.random.default_rng(8)
    data["n"] = rng.poisson(np.exp(1 + rng.normal(size=80)[data["g"]] * data["f"].map(truth)))
    found = hb.fit("n ~ f + rr(0 + f | g, d=1)", data, "poisson", seed=1, progress=False)
    assert found.tree.attrs["strategy"] == "whitened"
    summary = found.summary()
    for effect, value in truth.items():
        row = summary.loc[f"loadings[g, f[{effect}], 1]"]
        assert abs(row["mean"] - value) < 4 * row["sd"]
    assert summary["r_hat"].max() < 1.03


def test_tables_know_loadings(fit):
    names = fit.summary().index
    assert [name for name in names if name.startswith("loadings")][:3] == [
        "loadings[g, f[a], 1]",
        "loadings[g, f[b], 1]",
        "loadings[g, f[b], 2]",
    ]
    table = fit.varcorr().set_index(["effect", "effect2"])
    sd, own = fit.posterior["sd_g"].to_numpy(), fit.posterior["loadings_g"].to_numpy()
    assert table.loc[("f[b]", ""), "mean"] == pytest.approx(sd[..., 1].mean())
    cor = (own[..., 1, :] * own[..., 3, :]).sum(axis=-1) / (sd[..., 1] * sd[..., 3])
    assert table.loc[("f[b]", "f[d]"), "mean"] == pytest.approx(cor.mean())
    assert len(table) == 5 + 10 + 1
    assert "loadings[g] loadings[g]'" in repr(fit.model)
    assert "reduced rank" in repr(fit.model)
    assert fit.posterior["loadings_g"].dims[2:] == ("g_effect", "g_dimension")


@pytest.mark.filterwarnings("ignore:.approximate.")
def test_answers_are_finite(fit, tmp_path):
    new = fit.data.iloc[:5].assign(g=999)
    assert np.isfinite(fit.predict(new, kind="mean", new_levels="sample")["mean"]).all()
    assert np.isfinite(fit.icc()["mean"]).all()
    assert fit.shrinkage()["partial_pooling"].notna().all()
    assert np.isfinite(fit.loo().elpd)
    assert np.isfinite(fit.logo("g").elpd)
    assert fit.prior_sensitivity().notna().any(axis=None)
    assert np.isfinite(fit.residuals()["quantile"]).all()
    fit.save(tmp_path / "rr.nc")
    again = hb.load(tmp_path / "rr.nc")
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    assert again.formula == fit.formula
    approximate = fit.model.approximate(seed=1).summary()
    together = fit.summary()
    distance = (approximate["mean"] - together["mean"]) / together["sd"]
    assert (np.abs(distance) < 1.0).all()


def test_left_out_groups_are_those_of_the_dense_normal(fit):
    """The log density of a group's rows in a draw, its effects integrated out, by SciPy."""
    draws = flatten(fit.spec, fit.posterior).thinned(40)
    loadings, sigma, b = (draws.values[name] for name in ("loadings_g", "sigma", "b"))
    x, bound = fit.design.main.x, fit.design.main.factors["g"]
    own = bound.codes == 4
    expected = [
        stats.multivariate_normal.logpdf(
            fit.design.y[own],
            x[own] @ b[s],
            bound.z[own] @ covariance_of(loadings[s]) @ bound.z[own].T + sigma[s] ** 2 * np.eye(own.sum()),
        )
        for s in range(len(draws))
    ]
    ((_, held),) = hold_out(fit.spec, draws, fit.design, np.flatnonzero(own))
    np.testing.assert_allclose(log_marginal(fit.spec, held)[0], expected, rtol=1e-8)


def test_known_parameters():
    model = hb.Model(f"y ~ 1 + {TERM}", rows(3000, 1))
    given = {
        f"loadings[g, f[{'abcde'[i]}], {j + 1}]": LOADINGS[i, j]
        for i in range(5)
        for j in range(min(i + 1, 2))
    }
    draws = known_draws(model.spec, {"Intercept": 1, "sigma": 0.5} | given, seed=1)
    np.testing.assert_allclose(draws.values["loadings_g"][0], LOADINGS)
    r = draws.values["r_g"][0]
    expected = covariance_of(LOADINGS)
    error = np.sqrt((np.outer(np.diagonal(expected), np.diagonal(expected)) + expected**2) / len(r))
    assert (np.abs(r.T @ r / len(r) - expected) < 4.5 * error).all()
    with pytest.raises(DataError, match="lies between 0 and"):
        known_draws(model.spec, {"Intercept": 1, "sigma": 0.5} | given | {"loadings[g, f[a], 1]": -1}, seed=1)


def test_signs_change_nothing_but_themselves():
    settled = STRUCTURES["rr"].loadings.settled
    signs = np.array([-1.0, 1.0])
    np.testing.assert_array_equal(settled(settled(LOADINGS * signs)), settled(LOADINGS * signs))
    np.testing.assert_allclose(covariance_of(settled(LOADINGS * signs)), covariance_of(LOADINGS))
