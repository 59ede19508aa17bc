"""Correlated residuals: nlme's maxima, a posterior by integration, each row given others, what is refused."""

import warnings

import numpy as np
import pandas as pd
import pytensor
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.answers.series import EARLIER, given_others
from hierbayes.answers.summary import summary_draws
from hierbayes.criticism.crossval import logo
from hierbayes.criticism.likelihood import likelihood_chunks
from hierbayes.criticism.matching import group_densities, smallest_group
from hierbayes.formula import parse
from hierbayes.graph import build_graph
from hierbayes.kinds import CORRELATIONS
from tests.calibration.uniformity import p_value
from tests.structures.test_toeplitz import ORTHODONT

DATA = pd.DataFrame(
    {"distance": np.array(ORTHODONT.split(), dtype=float), "child": np.repeat(np.arange(27), 4)}
)
DATA["age"], DATA["visit"] = np.tile([8, 10, 12, 14], 27), np.tile([1, 2, 3, 4], 27)
GAPS = DATA.drop(index=[1, 6, 9, 49, 50])
AR, COSY = "distance ~ age + ar(time=visit, gr=child)", "distance ~ age + cosy(gr=child)"
UNSTR = "distance ~ age + unstr(time=visit, gr=child)"


SYMM = (0.750172037225705, 0.755739970598681, 0.596589959349606)
SYMM = (*SYMM, 0.610574235568322, 0.744780313704547, 0.734608075314976)
SYMM_REML = (15.9329122365026, 0.824340235997218, 1.47367716540273, -0.348101313190416)


def correlations(model: hb.Model, value) -> np.ndarray:
    """Of the residuals of all rows, by the formulas: (n, n)."""
    series, (codes, places, times, _) = (
        model.spec.layout.response.series,
        model.design.series,
    )
    gaps = np.abs(np.subtract.outer(times, times))
    if series.term.kind == "unstr":
        r = np.eye(len(times))
        r[np.triu_indices(len(times), 1)] = value
        r = r + np.triu(r, 1).T
    else:
        r = float(value) ** gaps if series.term.kind == "ar" else np.where(gaps == 0, 1.0, value)
    return np.where(np.equal.outer(codes, codes), r[np.ix_(places, places)], 0.0)


def marginal(model: hb.Model, b, sigma, value) -> float:
    mean, sigma = model.design.main.x @ np.array(b), np.broadcast_to(sigma, len(model.design))
    return stats.multivariate_normal.logpdf(
        model.design.y, mean, np.outer(sigma, sigma) * correlations(model, value)
    )


@pytest.mark.parametrize(
    ("formula", "frame", "loglik", "b", "sigma", "value"),
    [
        # nlme 3.1.162: gls(distance ~ age, Orthodont, correlation = corCompSymm(form = ~1 | Subject), method = "ML")
        # logLik(m), coef(m), m$sigma, coef(m$modelStruct$corStruct, unconstrained = FALSE)
        (
            COSY,
            DATA,
            -221.6947710495283,
            (16.7611111111111, 0.6601851851852),
            2.5135486686579,
            0.6796173605100,
        ),
        # … corAR1(form = ~1 | Subject)
        (AR, DATA, -227.1112675798955, (16.9072972461954, 0.6524509180866), 2.5280251532675, 0.6910853097364),
        # … d$k <- rep(1:4, 27); d <- d[-c(2, 7, 10, 50, 51), ]; corAR1(form = ~k | Subject): with gaps
        (AR, GAPS, -216.5418702335126, (16.9144594388092, 0.6524568082434), 2.5562779549065, 0.7148426700886),
        # … corSymm(form = ~k | Subject)
        (UNSTR, GAPS, -206.540165529452, (16.8953075063669, 0.650805080882502), 2.55618618649183, SYMM),
    ],
)
def test_likelihood_is_nlmes_and_at_its_maximum(formula, frame, loglik, b, sigma, value):
    model = hb.Model(formula, frame)
    assert marginal(model, b, sigma, value) == pytest.approx(loglik, abs=1e-6)
    for factor in (0.99, 1.01):
        assert marginal(model, b, sigma * factor, value) < loglik
        assert marginal(model, b, sigma, np.multiply(value, factor)) < loglik


def test_variances_may_differ_by_time_as_in_nlme():
    """… weights = varIdent(form = ~1 | k)."""
    model = hb.Model({"mu": UNSTR, "sigma": "~ 0 + factor(visit)"}, GAPS)
    ratios = np.array([1, 0.945847931438952, 1.16110450559918, 1.13655064275733])
    sigma = 2.39147776914439 * ratios[GAPS["visit"] - 1]
    cor = (0.698963200765431, 0.781242522285963, 0.600730271410897)
    cor = (*cor, 0.61726547815626, 0.760596454014821, 0.745876903393542)
    found = marginal(model, (16.8842004445294, 0.648517986780839), sigma, cor)
    assert found == pytest.approx(-205.314632933605, abs=1e-6)


@pytest.mark.parametrize(
    ("formula", "own"),
    [
        (UNSTR, {}),
        (AR, {"ar": 0.7}),
        (COSY, {"cosy": 0.4}),
        ({"mu": UNSTR, "sigma": "~ age"}, {}),
        ("distance ~ age + (1 | child) + ar(time=visit, gr=child)", {"ar": -0.3}),
    ],
)
def test_graph_has_the_dense_normals_density(formula, own):
    """Its potential, at any values of its parameters."""
    model = hb.Model(formula, GAPS)
    spec, graph = model.spec, build_graph(model.spec, model.design)
    names = [variable.name for variable in spec.variables]
    outputs = graph.replace_rvs_by_values([graph.potentials[0], *(graph[name] for name in names)])
    options = {"mode": "FAST_COMPILE", "on_unused_input": "ignore"}
    evaluate = pytensor.function(graph.value_vars, outputs, **options)
    found, *drawn = evaluate(**graph.initial_point(random_seed=1))
    at = dict(zip(names, drawn, strict=True))
    mean = model.design.main.x @ at["b"]
    for factor in spec.layout.main.factors:
        mean = mean + at["r_child"][model.design.main.factors[factor.name].codes, 0]
    sigma = at.get("sigma")
    if sigma is None:
        sigma = np.exp(model.design.predictors["sigma"].x @ at["b_sigma"])
    series = spec.layout.response.series
    sigma = np.broadcast_to(sigma, len(mean))
    covariance = np.outer(sigma, sigma) * correlations(model, at[series.parameter])
    assert found == pytest.approx(
        stats.multivariate_normal.logpdf(model.design.y, mean, covariance), abs=1e-8
    )


@pytest.fixture(scope="module", params=[AR, COSY, UNSTR])
def fit(request):
    return hb.fit(request.param, GAPS, seed=1, progress=False)


def test_rows_given_all_others_are_the_dense_normals(fit):
    """A draw's log-likelihood is log p(y) − log p(y without the row); given the earlier ones the product is p(y)."""
    values = fit.log_likelihood()["log_likelihood"]["distance"].to_numpy()
    draws = flatten(fit.spec, fit.posterior)
    earlier = np.zeros(len(draws))
    for _, part in likelihood_chunks(fit.spec, draws, fit.design, others=EARLIER):
        earlier += part.sum(axis=1)
    parameter = fit.spec.layout.response.series.parameter
    for chain, draw in ((0, 0), (2, 17), (3, 999)):
        own = {name: fit.posterior[name].to_numpy()[chain, draw] for name in ("b", "sigma", parameter)}
        covariance = own["sigma"] ** 2 * correlations(fit, own[parameter])
        left = fit.design.y - fit.design.main.x @ own["b"]
        whole = stats.multivariate_normal.logpdf(left, cov=covariance)
        assert earlier[chain * 1000 + draw] == pytest.approx(whole, abs=1e-8)
        for row in (0, 1, 50, 102):
            rest = np.delete(np.arange(len(left)), row)
            without = stats.multivariate_normal.logpdf(left[rest], cov=covariance[np.ix_(rest, rest)])
            assert values[chain, draw, row] == pytest.approx(whole - without, abs=1e-8)


def test_rows_given_earlier_ones_are_nlmes_normalised_residuals():
    """residuals(gls(…, corAR1(form = ~k | Subject), method = "ML"), type = "normalized"), the first eight."""
    model = hb.Model(AR, GAPS)
    b = model.design.main.x @ np.array([16.9144594388092, 0.652456808243384])
    aux = {"sigma": np.array([[2.55627795490651]]), "ar": np.array([[0.714842670088552]])}
    mean, given = given_others(model.spec, model.design, b[None], aux, EARLIER)
    expected = [1.51231053976498, 1.03789319244568, 1.06778211681649, -0.248061406374348]
    expected += [-0.27173004936395, 0.423691277056433, 0.338729242338762, -0.539932783973191]
    np.testing.assert_allclose(((model.design.y - mean) / given["sigma"])[0, :8], expected, atol=1e-6)


def test_posterior_is_that_by_integration(fit):
    """Over sigma and the correlation on a grid, the coefficients in closed form."""
    if fit.spec.layout.response.series.term.kind == "unstr":
        pytest.skip("six correlations are no grid")
    model, kind = hb.Model(str(fit.spec.formulas["mu"]), GAPS), fit.spec.layout.response.series.term.kind
    x = model.design.main.x - [0.0, GAPS["age"].mean()]  # the intercept's prior stands at the mean
    priors = [dict(prior.args) for prior in model.spec.coefficient_priors()]
    mean, precision = np.array([prior["mu"] for prior in priors]), [prior["sigma"] ** -2 for prior in priors]
    rate, y = dict(model.spec.prior("sigma", parameter="sigma").args)["lam"], model.design.y - x @ mean
    sigmas, values = np.linspace(1.7, 4.6, 60), np.linspace(0.2, 0.98, 60)
    log_density, slopes = np.empty((60, 60)), np.empty((60, 60))
    for j, value in enumerate(values):
        root = np.linalg.cholesky(correlations(model, value))
        white = np.linalg.solve(root, np.column_stack([x, y]))
        products = white.T @ white
        for i, sigma in enumerate(sigmas):
            inner = products[:2, :2] / sigma**2 + np.diag(precision)
            b = np.linalg.solve(inner, products[:2, 2]) / sigma**2
            square = products[2, 2] / sigma**2 - b @ inner @ b
            volume = (
                np.log(np.diagonal(root)).sum() + len(y) * np.log(sigma) + np.linalg.slogdet(inner)[1] / 2
            )
            log_density[i, j] = -volume - square / 2 - rate * sigma
            slopes[i, j] = mean[1] + b[1]
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    assert density[[0, -1]].sum() + density[:, [0, -1]].sum() < 1e-3  # the grid has all of it
    summary = fit.summary()
    expected = {"sigma": density.sum(axis=1) @ sigmas, kind: density.sum(axis=0) @ values}
    expected["age"] = (density * slopes).sum()
    for name, value in expected.items():
        row = summary.loc[name]
        assert abs(row["mean"] - value) < 4.5 * row["mcse_mean"] + 0.005 * row["sd"], name
    assert summary["r_hat"].max() < 1.01


def test_repeated_measures_are_nlmes():
    """gls(distance ~ age * Sex, Orthodont, corSymm(form = ~k | Subject)), REML: estimates within a share of their se.

    Coefficients have nearly flat priors here and there, and sigma as well; correlations have LKJ(1).
    """
    boys = DATA.assign(girl=(DATA["child"] >= 16).astype(float))
    fit = hb.fit("distance ~ age * girl + unstr(visit, child)", boys, seed=3, progress=False)
    table = fit.summary()
    expected = {
        "Intercept": SYMM_REML[0],
        "age": SYMM_REML[1],
        "girl": SYMM_REML[2],
        "age:girl": SYMM_REML[3],
    }
    for name, value in expected.items():
        row = table.loc[name]
        assert abs(row["mean"] - value) < 4.5 * row["mcse_mean"] + 0.2 * row["sd"], name


def test_what_rows_alone_can_say_is_said(fit):
    new = pd.DataFrame({"age": [9, 11]})
    found = fit.predict(new)["mean"].to_numpy()
    b = fit.posterior["b"].mean(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(found, b[0] + b[1] * new["age"], rtol=1e-10)
    assert 0 < fit.r2()["mean"].iloc[0] < 1
    assert fit.check() is not None


def test_rows_of_a_grid_are_series_of_their_own(fit):
    """A new response there is normal with sigma, whatever rows beside it are."""
    table = fit.conditional_effects("age", resolution=4)
    sigma = float(fit.posterior["sigma"].mean())
    width = table["predictive_upper"] - table["predictive_lower"]
    np.testing.assert_allclose(width, 2 * stats.norm.ppf(0.95) * sigma, rtol=0.12)
    assert fit.plot_conditional_effects("age") is not None
    drawn = fit.conditional_effects("age", kind="response", output="draws", resolution=4)
    apart = drawn.to_numpy().reshape(-1, 4) - fit.conditional_effects(
        "age", output="draws", resolution=4
    ).to_numpy().reshape(-1, 4)
    assert np.abs(np.corrcoef(apart.T)[np.triu_indices(4, 1)]).max() < 4.5 / 4000**0.5


def test_responses_of_a_series_are_drawn_together(fit):
    """Their covariance about the means is sigma² R, whatever order rows stand in."""
    rows = GAPS[GAPS["child"].isin([0, 1, 5])].sample(frac=1, random_state=2)
    found = fit.predict(rows, kind="response", output="draws", seed=4).to_numpy().reshape(4000, -1)
    draws, place = flatten(fit.spec, fit.posterior), [list(GAPS.index).index(label) for label in rows.index]
    parameter = fit.spec.layout.response.series.parameter
    b, sigma = draws.values["b"], draws.values["sigma"]
    z = (found - b[:, :1] - b[:, 1:] * rows["age"].to_numpy()) / sigma[:, None]
    expected = np.mean([correlations(fit, value) for value in draws.values[parameter][::20]], axis=0)
    expected = expected[np.ix_(place, place)]
    assert np.abs(z.T @ z / 4000 - expected).max() < 4.5 * np.sqrt(2 / 4000) + 0.01


def test_a_fit_is_looked_at_as_any_other(fit):
    assert (fit.loo().table["pareto_k"] < 0.7).mean() > 0.9
    table, tests = fit.residuals(), fit.residual_tests()
    assert table["quantile"].between(0, 1).all()
    assert np.isfinite(table[["fitted", "sd", "residual", "pearson"]]).all(axis=None)
    assert (tests["p_value"] > 1e-3).all()
    assert (fit.prior_sensitivity()["prior"] < 0.1).all()
    simulated = fit.posterior_predictive(draws=100)["posterior_predictive"]["distance"]
    assert simulated.shape == (4, 25, len(GAPS))
    assert "influential-level" not in [finding.code for finding in fit.check(thorough=True)]


def test_moment_matching_finds_the_posterior_without_a_row():
    """Of a row far out, whose weights alone are no good, as fitting without it does."""
    wild = GAPS.copy()
    wild.loc[wild.index[40], "distance"] += 12
    fit = hb.fit(AR, wild, seed=5, progress=False)
    table = fit.loo().table
    assert table["method"].iloc[40] == "moment_match"
    refitted = fit.loo(refit=True).table if table["pareto_k"].iloc[40] > 0.7 else None
    others = hb.fit(AR, wild.drop(index=wild.index[40]), seed=6, progress=False)
    draws = flatten(others.spec, others.posterior)
    parts = likelihood_chunks(fit.spec, draws, fit.design)
    density = next(part[:, places == 40][:, 0] for places, part in parts if 40 in places)
    found = np.exp(density - density.max())
    expected = np.log(found.mean()) + density.max()
    error = (
        found.std() / found.mean() / np.sqrt(others.summary()["ess_bulk"].min())
    )  # relative, so of the logarithm
    assert refitted is None
    assert table["elpd"].iloc[40] == pytest.approx(expected, abs=4.5 * np.sqrt(2) * error)


@pytest.fixture(scope="module")
def beside():
    """Effects of children, and of sites of some children, beside correlated residuals."""
    frame = GAPS.assign(site=GAPS["child"] // 5)
    children = "distance ~ age + (1 | child) + ar(time=visit, gr=child)"
    sites = {"mu": "distance ~ age + (age | site) + unstr(time=visit, gr=child)", "sigma": "~ age"}
    return [hb.fit(formula, frame, seed=1, progress=False) for formula in (children, sites)]


def with_effects(fit: hb.Fit, chain: int, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A draw's mean without effects, and the covariances of residuals and of effects: (n,), (n, n), (n, n)."""
    at = {name: fit.posterior[name].to_numpy()[chain, draw] for name in fit.posterior.data_vars}
    (factor,) = fit.design.main.factors.values()
    name = "child" if "sd_child" in at else "site"
    cor = at.get(f"cor_{name}", np.eye(1))
    covariance = np.outer(at[f"sd_{name}"], at[f"sd_{name}"]) * cor
    effects = np.equal.outer(factor.codes, factor.codes) * (factor.z @ covariance @ factor.z.T)
    sigma = at.get("sigma")
    if sigma is None:
        sigma = np.exp(fit.design.predictors["sigma"].x @ at["b_sigma"])
    sigma = np.broadcast_to(sigma, len(fit.design))
    value = at[fit.spec.layout.response.series.parameter]
    residual = np.outer(sigma, sigma) * correlations(fit, value)
    return fit.design.main.x @ at["b"], residual, effects


def test_effects_beside_correlated_residuals_are_integrated_out(beside):
    for fit in beside:
        assert fit.tree.attrs["strategy"] == "collapsed"
        assert fit.summary()["r_hat"].max() < 1.015


def test_likelihood_with_effects_is_nlmes():
    """lme(distance ~ age, ~ 1 | Subject, correlation = corAR1(form = ~k | Subject), method = "ML")."""
    model = hb.Model("distance ~ age + (1 | child) + ar(time=visit, gr=child)", GAPS)
    mean = model.design.main.x @ np.array([16.8207571433707, 0.655925821442343])
    codes = model.design.main.factors["child"].codes
    covariance = 1.41443771024996**2 * correlations(model, 0.0142260054983232)
    covariance = covariance + 4.50236789544377 * np.equal.outer(codes, codes)
    found = stats.multivariate_normal.logpdf(model.design.y, mean, covariance)
    assert found == pytest.approx(-212.030651375333, abs=1e-6)


def test_levels_left_out_have_the_dense_normals_density(beside):
    """A level's rows with its effects integrated, and a row given the others of its level: by the dense normal."""
    for fit in beside:
        (name, bound), draws = *fit.design.main.factors.items(), flatten(fit.spec, fit.posterior)
        mean, residual, effects = with_effects(fit, 2, 40)
        places = np.flatnonzero(bound.codes == 3)
        whole, row = group_densities(fit.spec, draws, fit.design, places, int(places[1]))
        here = np.ix_(places, places)
        left, covariance = (fit.design.y - mean)[places], (residual + effects)[here]
        expected = stats.multivariate_normal.logpdf(left, cov=covariance)
        assert whole[2040] == pytest.approx(expected, abs=1e-8)
        rest = np.delete(np.arange(len(places)), 1)
        without = stats.multivariate_normal.logpdf(left[rest], cov=covariance[np.ix_(rest, rest)])
        assert row[2040] == pytest.approx(expected - without, abs=1e-8)
        table = fit.logo(name).table
        assert np.isfinite(table["elpd"]).all()
        assert np.isfinite(fit.residuals()).drop(columns="pareto_k").all(axis=None)
    assert "integrated" in beside[0].loo().table["method"].to_numpy()


def test_draws_of_effects_follow_the_rows(beside):
    """Over draws the posterior mean of effects is that of the normal distribution given the rows, draw by draw."""
    for fit in beside:
        (name, bound), drawn = *fit.design.main.factors.items(), []
        expected = []
        for draw in range(0, 1000, 10):
            mean, residual, effects = with_effects(fit, 1, draw)
            weights = np.linalg.solve(residual + effects, fit.design.y - mean)
            expected.append((effects @ weights)[bound.codes == 2][0])
            r = fit.posterior[f"r_{name}"].to_numpy()[1, draw, 2]
            drawn.append(bound.z[bound.codes == 2][0] @ r)
        error = np.std(np.subtract(drawn, expected)) / np.sqrt(len(drawn))
        assert abs(np.mean(drawn) - np.mean(expected)) < 4.5 * error


def test_new_levels_and_series(beside):
    """Responses of a new level vary by effects and by residuals, which go together within its series."""
    fit = beside[0]
    new = pd.DataFrame({"age": [8.0, 10.0], "visit": [1, 2], "child": [99, 99]})
    y = fit.predict(new, kind="response", output="draws", seed=3).to_numpy().reshape(-1, 2)
    draws = flatten(fit.spec, fit.posterior)
    sd, sigma, ar = (draws.values[name] for name in ("sd_child", "sigma", "ar"))
    z = y - draws.values["b"][:, :1] - draws.values["b"][:, 1:] * new["age"].to_numpy()
    both = np.mean(sd[:, 0] ** 2 + ar * sigma**2)
    assert np.mean(z[:, 0] * z[:, 1]) == pytest.approx(both, rel=4.5 * np.sqrt(2 / 4000) * 2)


@pytest.mark.filterwarnings("ignore:.few-levels")
@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        (
            "distance ~ age + (1 | visit) + ar(visit, child)",
            "residuals are correlated across levels of visit",
        ),
        ("distance ~ age + (1 | child) + (1 | site) + ar(visit, child)", "several group terms or smooths"),
        ("distance ~ s(age, k=3) + (1 | child) + ar(visit, child)", "several group terms or smooths"),
        ({"mu": UNSTR, "sigma": "~ (1 | child)"}, "sigma has a formula of its own"),
    ],
)
def test_what_is_not_integrated_out_is_sampled_from_the_graph(formula, reason):
    model = hb.Model(formula, GAPS.assign(site=GAPS["child"] // 5))
    assert f"'nuts': NUTS on the PyMC graph; not collapsed: there are {reason}".replace(
        "there are residuals", "residuals"
    ).replace("there are sigma", "sigma") in repr(model)


def test_sigma_that_is_known_has_no_draws():
    """An offset alone, and coefficients that are Fixed: the density is that of the rows' own sds."""
    frame = GAPS.assign(log_sd=np.log(2.0 + 0.1 * GAPS["visit"]))
    by_offset = hb.fit({"mu": AR, "sigma": "~ 0 + offset(log_sd)"}, frame, seed=1, progress=False)
    priors = {"sigma.b[log_sd]": "Fixed(1)"}
    by_prior = hb.fit({"mu": AR, "sigma": "~ 0 + log_sd"}, frame, priors=priors, seed=1, progress=False)
    assert "b_sigma" not in by_offset.posterior
    np.testing.assert_allclose(by_prior.posterior["b_sigma"], 1.0)
    np.testing.assert_allclose(by_offset.posterior["ar"], by_prior.posterior["ar"], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "formula",
    [
        "distance ~ age + (1 | child) + ar(time=visit, gr=child)",
        {"mu": UNSTR, "sigma": "~ 0 + factor(visit)"},
    ],
)
def test_strategies_agree(formula):
    model = hb.Model(formula, GAPS.assign(site=GAPS["child"] // 5))
    one = model.fit(seed=1, progress=False).summary()
    other = model.fit(strategy="nuts", seed=1, target_accept=0.99, progress=False).summary()
    for name in one.index:
        error = np.hypot(one.loc[name, "mcse_mean"], other.loc[name, "mcse_mean"])
        assert abs(one.loc[name, "mean"] - other.loc[name, "mean"]) < 4.5 * error, name


@pytest.mark.filterwarnings("ignore:.few-levels")
def test_what_takes_rows_one_by_one_is_refused(beside):
    for name in ("shrinkage", "plot_shrinkage"):
        with pytest.raises(hb.UnsupportedError, match=r"residuals are correlated, by ar\("):
            getattr(beside[0], name)()
    smooth = hb.fit("distance ~ s(age, k=3) + ar(visit, child)", GAPS, seed=1, progress=False)
    with pytest.raises(hb.UnsupportedError, match=r"residuals are correlated, by ar\("):
        smooth.edf()
    crossed = hb.Model("distance ~ age + (1 | visit) + ar(visit, child)", GAPS)
    assert smallest_group(crossed.design, 0).tolist() == [0, 1, 2]
    with pytest.raises(hb.UnsupportedError, match="across levels of 'visit'"):
        logo(crossed.spec, crossed.design, crossed.prior_predictive(draws=200)["prior"].to_dataset(), "visit")
    with pytest.raises(hb.UnsupportedError, match="correlated across responses alone"):
        hb.Model([AR, "age ~ 1"], GAPS, rescor=True)


def test_a_link_of_the_mean_is_heeded():
    """The strategy that knows the identity alone leaves others to the graph."""
    assert "'nuts'" in repr(hb.Model(AR, GAPS, link="log"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"age": [9]}, "the columns 'child' and 'visit'"),
        ({"age": [9], "child": [None], "visit": [1]}, "the columns 'child' and 'visit'"),
        ({"age": [9, 9], "child": [1, 1], "visit": [2, 2]}, "has the time 2 twice"),
        ({"age": [9], "child": [1], "visit": [2.5]}, "'visit' of row 0 has to be a whole number"),
    ],
)
def test_responses_need_series_and_times(rows, message):
    fit, rows = hb.fit(AR, GAPS, seed=1, progress=False), pd.DataFrame(rows)
    with pytest.raises(hb.DataError, match=message):
        fit.predict(rows, kind="response")
    assert len(fit.predict(rows)) == len(rows)


def test_times_that_were_not_seen():
    """An autoregressive process knows them; an unstructured matrix has no correlation for them."""
    new = pd.DataFrame({"age": [8, 20], "child": [1, 1], "visit": [1, 7]})
    fit = hb.fit(AR, GAPS, priors={"ar": "Fixed(0.9)"}, seed=2, progress=False)
    y = fit.predict(new, kind="response", output="draws").to_numpy().reshape(-1, 2)
    z = y - fit.predict(new, output="draws").to_numpy().reshape(-1, 2)
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(0.9**6, abs=4.5 / 4000**0.5)
    with pytest.raises(hb.DataError, match="one of 1, 2, 3, 4: no other has been seen"):
        hb.fit(UNSTR, GAPS, seed=1, progress=False).predict(new, kind="response")


def test_known_parameters_are_simulated_from():
    truth = {"Intercept": 20, "age": 0.5, "sigma": 2.0}
    rows = pd.concat([DATA.assign(child=DATA["child"] + 27 * k) for k in range(80)], ignore_index=True)
    own = {"cortime[1, 2]": 0.8, "cortime[2, 3]": -0.3}
    found = hb.simulate("y ~ age + unstr(visit, child)", rows, truth | own, seed=1)
    z = (found["y"] - 20 - 0.5 * found["age"]).to_numpy().reshape(-1, 4) / 2
    expected = np.eye(4)
    expected[0, 1] = expected[1, 0] = 0.8
    expected[1, 2] = expected[2, 1] = -0.3
    assert np.abs(z.T @ z / len(z) - expected).max() < 4.5 * np.sqrt(2 / len(z))
    with pytest.raises(hb.DataError, match="'cortime' contradict each other"):
        hb.simulate("y ~ age + unstr(visit, child)", DATA, truth | own | {"cortime[1, 3]": 0.9})
    with pytest.raises(hb.DataError, match="'ar' lies between -1 and 1"):
        hb.simulate("y ~ age + ar(visit, child)", DATA, truth | {"ar": 1.5})
    prior = hb.Model(UNSTR, GAPS).prior_predictive(draws=200, seed=1)
    pairs = prior["prior"]["cortime"].to_numpy()[0]
    assert (np.linalg.eigvalsh(CORRELATIONS.joint(pairs)) > 0).all()
    assert np.isfinite(prior["prior_predictive"]["distance"]).all()


def test_correlations_have_coordinates_without_bounds():
    """There and back, and the log determinant of the way by differences."""
    rng = np.random.default_rng(1)
    free = rng.normal(size=(1, 6))
    pairs = CORRELATIONS.bound(free)
    np.testing.assert_allclose(CORRELATIONS.free(pairs), free, atol=1e-10)
    step = 1e-6 * np.eye(6)
    jacobian = [(CORRELATIONS.bound(free + h) - CORRELATIONS.bound(free - h))[0] / 2e-6 for h in step]
    assert CORRELATIONS.log_slope(pairs)[0] == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-6)


def test_a_saved_fit_comes_back(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    back = hb.load(tmp_path / "fit.nc")
    assert back.spec.formulas == fit.spec.formulas
    pd.testing.assert_frame_equal(back.summary(), fit.summary())


def test_without_times_the_rows_stand_in_their_order():
    shuffled = GAPS.sample(frac=1, random_state=1)
    model = hb.Model("distance ~ age + ar(gr=child)", shuffled)
    position = shuffled.groupby("child").cumcount()
    np.testing.assert_array_equal(model.design.series.places, position)
    whole = hb.Model("distance ~ age + ar(time=row)", DATA.assign(row=np.arange(108)))
    assert (whole.design.series.codes == 0).all()


def test_unstructured_correlations_have_a_prior_of_their_matrix():
    assert str(hb.Model(UNSTR, GAPS).priors.set_index("class").loc["cortime", "prior"]) == "LKJ(eta=1)"
    for prior in ("LKJ(2)", "Fixed(0.5)"):
        model = hb.Model(UNSTR, GAPS, priors={"cortime": prior})
        assert "collapsed" in repr(model), prior
    fit = model.fit(seed=1, progress=False)
    np.testing.assert_allclose(fit.posterior["cortime"], 0.5)
    with pytest.raises(hb.PriorError):
        hb.Model(UNSTR, GAPS, priors={"cortime": "Normal(0, 5)"})


@pytest.mark.parametrize("kind", ["ar", "cosy"])
def test_priors_are_about_correlations(kind):
    formula = {"ar": AR, "cosy": COSY}[kind]
    assert str(hb.Model(formula, GAPS).priors.set_index("class").loc[kind, "prior"]).startswith("Uniform")
    for prior in ("Uniform(0.1, 0.8)", "Beta(2, 2)", "Normal(0, 5)", "Fixed(0.5)"):
        model = hb.Model(formula, GAPS, priors={kind: prior})
        assert "collapsed" in repr(model), prior
    ends = f"lower={-1 if kind == 'ar' else 0}, upper=1)"
    cut = hb.Model(formula, GAPS, priors={kind: "Normal(0, 5)"}).priors.set_index("class").loc[kind, "prior"]
    assert str(cut) == f"TruncatedNormal(mu=0, sigma=5, {ends}"
    for prior in ("Cauchy(0, 5)", "Normal(0, 5, lower=2)"):
        with pytest.raises(hb.PriorError):
            hb.Model(formula, GAPS, priors={kind: prior})


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        (AR, {"family": "poisson"}, "family 'poisson' cannot be correlated"),
        (AR, {"family": "lognormal"}, "family 'lognormal' cannot be correlated"),
        ("distance | se(age) ~ 1 + ar(visit, child)", {}, "no standard errors"),
        ("distance | cens(none) ~ 1 + ar(visit, child)", {}, r"ar\(\) goes with no .* limits of rows"),
        ("distance ~ age + ar(visit, child, cov=False)", {}, "as in brms's cov = TRUE"),
        ("distance ~ age * unstr(visit, child)", {}, "a term of their own"),
        ("distance ~ age + fcor(V)", {}, "special terms are not supported"),
        ("distance ~ age + unstr(visit)", {}, "needs gr=, as in"),
        ("distance ~ age + unstr(gr=child)", {}, "needs time=, as in"),
        ("distance ~ age + unstr(age, sex)", {}, "has the time 8 twice"),
        ("distance ~ age + unstr(many, child)", {}, "108 different times; more than 40"),
        ("distance | weights(age) ~ 1 + ar(visit, child)", {}, r"no weights"),
        ("distance ~ age + ar(visit)", {}, "has the time 1 twice"),
        ("distance ~ ar(half, child)", {}, "are whole numbers, and 0.5 is none"),
        ("distance ~ ar(gr=row)", {}, "no series of two rows"),
    ],
)
def test_what_does_not_go_together_is_refused(formula, options, message):
    frame = DATA.assign(
        half=DATA["visit"] / 2, row=np.arange(108), many=np.arange(108), sex=DATA["child"] % 2, none=0
    )
    with pytest.raises(hb.HierBayesError, match=message):
        hb.Model(formula, frame, **options)


def test_formulas_are_read_as_written():
    for text in (
        "ar(visit, child)",
        "ar(time=visit, gr=child)",
        "ar(gr=child, time=visit, p=1)",
        "ar(visit, child, cov=True)",
    ):
        assert str(parse(f"distance ~ age + {text}")) == AR
    with pytest.raises(hb.FormulaError, match="formula of the response"):
        hb.Model({"mu": "distance ~ age", "sigma": "~ ar(visit, child)"}, DATA)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formula", "priors"),
    [
        ("y ~ x + (x | g) + ar(time=t, gr=s)", {"sd": "Exponential(1)", "sigma": "Exponential(1)"}),
        (
            {"mu": "y ~ x + unstr(time=t, gr=s)", "sigma": "~ x"},
            {"sigma.Intercept": "Normal(0, 0.5)", "sigma.b": "Normal(0, 0.3)"},
        ),
    ],
)
def test_the_truth_is_anywhere_among_the_draws(formula, priors):
    """Simulation-based calibration, 200 replications: two series a group, some times missing."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"s": np.repeat(np.arange(20), 4), "t": np.tile([1, 2, 3, 5], 20)})
    rows["g"], rows["x"], rows["y"] = rows["s"] // 2, rng.normal(size=80), rng.normal(size=80)
    rows = rows.drop(index=[2, 9, 31, 32, 50])
    priors = {"Intercept": "Normal(0, 2)", "b": "Normal(0, 1)", **priors}
    model, ranks = hb.Model(formula, rows, priors=priors), {}
    prior = model.prior_predictive(draws=200, seed=5)
    truths = summary_draws(model.spec, prior["prior"].to_dataset())
    for k in range(200):
        own = rows.assign(y=prior["prior_predictive"]["y"].to_numpy()[0, k])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = hb.Model(formula, own, priors=priors).fit(draws=500, chains=2, seed=k, progress=False)
        for name, values in summary_draws(fit.spec, fit.posterior).items():
            ranks.setdefault(name, []).append(int((values[:, 4::5] < truths[name][0, k]).sum()))
    found = {name: p_value(np.array(own), 200) for name, own in ranks.items()}
    assert min(found.values()) > 0.01 / len(found), found
