"""Levels whose effects follow Student's t: ``(x | gr(g, dist="student"))``."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import hierbayes as hb
from hierbayes.answers.convergence import ess_mean
from hierbayes.answers.draws import Draws, flatten
from hierbayes.answers.pooling import pooling_factors
from hierbayes.criticism.discrepancies import level_scores
from hierbayes.criticism.marginal import hold_out, log_marginal
from hierbayes.criticism.sensitivity import log_effects
from hierbayes.engine.whitening import law
from hierbayes.errors import FormulaError, UnsupportedError
from hierbayes.formula import parse
from hierbayes.simulation import sample_prior
from hierbayes.structures import LAWS
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_predict import tame_fit

STUDENT = LAWS["student"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning"),
]


def rows(groups: int = 9, each: int = 5, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), each)
    n, x = len(g), rng.normal(size=groups * each)
    r = rng.normal(size=(groups, 2)) * [1.0, 0.5]
    r[-1] = [7.0, 2.0]  # far out
    mu = 1 + 0.5 * x + r[g, 0] + r[g, 1] * x
    table = {"y": mu + 0.5 * rng.normal(size=n), "x": x, "g": [f"l{i}" for i in g], "h": np.arange(n) % 7}
    table |= {
        "count": rng.poisson(np.exp(0.3 * mu)),
        "yes": (mu > 1).astype(int),
        "t": np.tile(np.arange(each), groups),
    }
    return pd.DataFrame(table | {"arm": np.where(g % 2, "a", "b")})


DATA = rows()
ONE = 'y ~ x + (1 | gr(g, dist="student"))'
TWO = 'y ~ x + (x | gr(g, dist="student"))'


# -- the formula ------------------------------------------------------------------------------------------------------


def test_the_text_round_trips():
    for text in (
        ONE,
        'y ~ x + (x || gr(g:h, by=arm, dist="student"))',
        'y ~ x + ar1(0 + t | gr(g, dist="student"))',
    ):
        assert str(parse(text)) == text
    assert str(parse('y ~ (1 | gr(g, dist="gaussian"))')) == "y ~ 1 + (1 | g)"


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ('gr(g, dist="cauchy")', 'there is "gaussian", "student"'),
        ("gr(g, dist=student)", "no dist student"),
        ('gr(g, cov=A, dist="student")', "leave dist= or cov= out"),
        ('gr(g, car=W, type="icar", dist="student")', "leave dist= or car= out"),
        ('mm(g, h, dist="student")', "mm"),
    ],
)
def test_what_it_does_not_go_with_is_refused(term, reason):
    with pytest.raises(FormulaError, match=reason):
        parse(f"y ~ (1 | {term})")
    with pytest.raises(FormulaError, match="don't go together"):
        parse('y ~ (1 |p| gr(g, dist="student"))')


def test_it_is_said_in_words():
    model = hb.Model(TWO, DATA)
    text = str(model)
    assert "varying Intercept, x (correlated), Student's t" in text
    assert "r[g, (Intercept, x)] ~ MvStudentT(df[g], 0, D R D), D = diag(sd[g]), R = cor[g]" in text
    assert "df[g]" in text
    assert "TruncatedGamma(alpha=2, beta=0.1, lower=1)" in text
    assert "not collapsed: effects of g are Student's t, not normal" in text
    assert "r[g] ~ StudentT(df[g], 0, sd[g])" in str(hb.Model(ONE, DATA))
    together = str(hb.Model('y ~ (1 | gr(g, dist="student")) + (0 + x | gr(g, dist="student"))', DATA))
    assert "r[g, (Intercept, x)] ~ MvStudentT(df[g], 0, D I D), D = diag(sd[g])" in together
    times = str(hb.Model('y ~ (1 | gr(g, dist="student")) + ar1(0 + t | gr(g, dist="student"))', DATA))
    assert times.count("uncorrelated, and all Student's t together") == 2


# -- the density ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        (ONE, "gaussian"),
        (TWO.replace("y", "count"), "poisson"),
        ('y ~ x + (x || gr(g, dist="student")) + (1 | h)', "gaussian"),
        ('yes ~ x + (1 | g) + (1 | gr(h, dist="student"))', "bernoulli"),
        ('y ~ cs(0 + factor(h) | gr(g, dist="student"))'.replace("factor(h)", "arm"), "gaussian"),
        ('y ~ ar1(0 + t | gr(g, dist="student"))', "gaussian"),
        ('count ~ (x | gr(g, by=arm, dist="student"))', "poisson"),
        ('y ~ x + (1 | gr(g, dist="student")) + (0 + x | gr(g, dist="student"))', "gaussian"),
    ],
)
def test_kernel_is_the_graph(formula, family):
    assert_kernel_is_the_graph(hb.Model(formula, DATA, family))


def test_parameters_of_sigma_and_known_degrees_of_freedom():
    distributional = {"mu": "y ~ x + (1 | g)", "sigma": '1 + (1 | gr(g, dist="student"))'}
    assert_kernel_is_the_graph(hb.Model(distributional, DATA))
    for prior in ("Fixed(3)", "Exponential(0.1)", "Uniform(2, 30)"):
        model = hb.Model(ONE, DATA, priors={"df[g]": prior})
        if "Uniform" not in prior:
            assert_kernel_is_the_graph(model)
        assert model.spec.shape_priors("mu", model.spec.layout.main.factors[0])[0] == hb.Prior(
            *_parsed(prior)
        )


def _parsed(prior: str):
    name, arguments = prior.rstrip(")").split("(")
    return name, *map(float, arguments.split(","))


@pytest.mark.parametrize("df", [1.0, 1.5, 4.0, 300.0, 1e7])
@pytest.mark.parametrize("q", [1, 2, 30])
def test_law_in_the_kernel(df, q):
    """Scipy's multivariate t, and slopes that are differences, near and far out."""
    constant, in_df = law.law_constant(q, df)
    for square in (0.0, 0.7 * q, 50.0 * q, 1e9):
        z = np.full(q, (square / q) ** 0.5)
        expected = stats.multivariate_t(shape=np.eye(q), df=df).logpdf(z) + 0.5 * q * np.log(2 * np.pi)
        assert constant + law.log_law(square, q, df) == pytest.approx(expected, rel=1e-8, abs=1e-7)
        assert STUDENT.log_ratio(square, q, df) - 0.5 * square == pytest.approx(expected, rel=1e-8, abs=1e-6)
        h = 1e-5 * df
        rise = [law.law_constant(q, df + by)[0] + law.log_law(square, q, df + by) for by in (h, -h)]
        assert in_df + law.df_score(square, q, df) == pytest.approx(
            (rise[0] - rise[1]) / (2 * h), rel=1e-4, abs=1e-9
        )
        step = 1e-6 * (1 + square)
        slope = (law.log_law(square + step, q, df) - law.log_law(square, q, df)) / step
        assert -0.5 * law.law_weight(square, q, df) == pytest.approx(slope, rel=1e-4)
        assert STUDENT.weight(square, q, df) == law.law_weight(square, q, df)


@pytest.mark.parametrize(
    ("W", "c", "sd", "df"), [(8.0, 60.0, 0.3, 1.2), (2.0, 0.1, 4.0, 9.0), (1e-3, 5.0, 1e-3, 2.0)]
)
def test_weight_of_one_effect_has_the_slopes_of_differences(W, c, sd, df):
    _, in_sd, in_df = law.one_weight(W, c, sd, df)
    by_sd = [law.one_weight(W, c, sd * (1 + by), df)[0] for by in (1e-6, -1e-6)]
    by_df = [law.one_weight(W, c, sd, df * (1 + by))[0] for by in (1e-6, -1e-6)]
    assert in_sd == pytest.approx((by_sd[0] - by_sd[1]) / (2e-6 * sd), rel=1e-5, abs=1e-9)
    assert in_df == pytest.approx((by_df[0] - by_df[1]) / (2e-6 * df), rel=1e-5, abs=1e-9)
    assert law.one_weight(0.0, 0.0, sd, df) == (1.0, 0.0, 0.0)


def test_endless_degrees_of_freedom_are_normal():
    student = hb.Model(TWO, DATA, priors={"df[g]": "Fixed(1e12)"})
    draws = sample_prior(student.spec, 20, seed=1)
    normal = hb.Model("y ~ x + (x | g)", DATA)
    np.testing.assert_allclose(
        log_effects(student.spec, draws), log_effects(normal.spec, draws), rtol=1e-6, atol=1e-4
    )


def test_log_density_of_effects_is_scipys():
    model = hb.Model(TWO, DATA)
    draws = sample_prior(model.spec, 10, seed=2)
    r, sd, cor, df = (draws.values[name] for name in ("r_g", "sd_g", "cor_g", "df_g"))
    expected = [
        stats.multivariate_t(shape=sd[s][:, None] * cor[s] * sd[s], df=df[s]).logpdf(r[s]).sum()
        for s in range(10)
    ]
    np.testing.assert_allclose(log_effects(model.spec, draws), expected, rtol=1e-8)


# -- the posterior ----------------------------------------------------------------------------------------------------

MEANS = np.array([-1.2, -0.7, -0.3, 0.1, 0.2, 0.6, 1.0, 9.0])
EIGHT = pd.DataFrame({"y": MEANS, "g": [f"s{i}" for i in range(8)], "se": np.full(8, 0.4)})
KNOWN = 'y | se(se) ~ 0 + (1 | gr(g, dist="student"))'


def posterior_by_quadrature() -> dict[str, float]:
    """Means of sd and df, of eight levels with one estimate each and a known population mean of 0."""
    model = hb.Model(KNOWN, EIGHT)
    factor = model.spec.layout.main.factors[0]
    (of_sd,), (of_df,) = model.spec.sd_priors("mu", factor), model.spec.shape_priors("mu", factor)
    sds, above = (
        np.exp(np.linspace(np.log(1e-3), np.log(60), 160)),
        np.exp(np.linspace(np.log(1e-3), np.log(200), 70)),
    )
    nodes, weights = np.polynomial.legendre.leggauss(80)
    logs = np.empty((len(above), len(sds)))
    for place, df in enumerate(1 + above):
        u = df / stats.chi2(df).ppf(0.5 * (1 + nodes))  # of the scale mixture
        spread = np.sqrt(np.square(sds)[:, None, None] * u + 0.4**2)
        density = stats.norm.pdf(MEANS[:, None] / spread) / spread @ (0.5 * weights)
        logs[place] = np.log(density).sum(axis=1) + of_df.logpdf(df)
    logs += of_sd.logpdf(sds) + np.log(sds) + np.log(above)[:, None]
    p = np.exp(logs - logs.max())
    p /= p.sum()
    return {"sd[g, Intercept]": float(p.sum(axis=0) @ sds), "df[g]": float(p.sum(axis=1) @ (1 + above))}


def test_posterior_is_that_of_quadrature():
    fit = hb.fit(KNOWN, EIGHT, seed=1, draws=2000, progress=False)
    assert fit.tree.attrs["strategy"] == "whitened"
    summary = fit.summary()
    for name, expected in posterior_by_quadrature().items():
        assert abs(summary.loc[name, "mean"] - expected) < 4 * summary.loc[name, "mcse_mean"], name
        assert summary.loc[name, "ess_bulk"] > 1000
    r = flatten(fit.spec, fit.posterior).values["r_g"]
    assert abs(r[:, -1].mean() - 9.0) < 0.5  # hardly shrunk


@pytest.fixture(scope="module")
def many() -> tuple[hb.Fit, pd.DataFrame]:
    """Sixty levels of four degrees of freedom."""
    rng = np.random.default_rng(6)
    design = {"g": np.repeat(np.arange(60), 8), "x": rng.normal(size=480)}
    truth = {"Intercept": 1, "x": 0.5, "sd[g, Intercept]": 1, "sd[g, x]": 0.5, "df[g]": 4, "sigma": 0.5}
    data = hb.simulate(TWO, design, truth, seed=4)
    return hb.fit(TWO, data, seed=1, progress=False), data


def test_known_parameters_are_found_again(many):
    fit, _ = many
    summary = fit.summary()
    truth = {"Intercept": 1, "x": 0.5, "sd[g, Intercept]": 1, "sd[g, x]": 0.5, "df[g]": 4, "sigma": 0.5}
    for name, value in truth.items():
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"], name
    assert summary["ess_bulk"].min() > 400
    assert summary["r_hat"].max() < 1.02
    assert summary.loc["df[g]", "mean"] < 15


@pytest.mark.slow
def test_the_graph_agrees(many):
    fit, data = many
    other = hb.fit(TWO, data, seed=2, strategy="nuts", progress=False)
    a, b = fit.summary(), other.summary()
    error = np.hypot(a["mcse_mean"], b["mcse_mean"])
    assert (np.abs(a["mean"] - b["mean"]) < 4 * error).all()


def test_save_and_load(many, tmp_path):
    fit, _ = many
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    assert again.model.spec.layout.main.factors[0].law is STUDENT
    np.testing.assert_array_equal(again.posterior["df_g"], fit.posterior["df_g"])
    new = {"g": ["new"], "x": [1.0]}
    pd.testing.assert_frame_equal(again.predict(new, seed=1), fit.predict(new, seed=1))


# -- draws of levels --------------------------------------------------------------------------------------------------


def uniform(values: np.ndarray) -> float:
    return float(stats.kstest(values, "uniform").pvalue)


def test_prior_draws_follow_the_law():
    draws = sample_prior(hb.Model(ONE, DATA).spec, 2000, seed=5)
    sd, df, r = (draws.values[name] for name in ("sd_g", "df_g", "r_g"))
    assert uniform(stats.t.cdf(r[:, 3, 0] / sd[:, 0], df)) > 1e-3
    scores = STUDENT.normal_scores(r[:, :, 0] / sd, df[:, None])
    assert stats.kstest(np.square(scores[:, :4]).sum(axis=1), stats.chi2(4).cdf).pvalue > 1e-3
    prior = hb.Prior("TruncatedGamma", 2, 0.1, 1)
    assert df.min() > 1
    assert abs(df.mean() - prior.sample(np.random.default_rng(0), 400_000).mean()) < 4 * df.std() / 2000**0.5


def test_known_parameters_draw_from_it():
    design = {"g": np.arange(4000), "x": np.linspace(-1, 1, 4000)}
    truth = {
        "Intercept": 0,
        "x": 0,
        "sd[g, Intercept]": 2,
        "sd[g, x]": 1,
        "cor[g, Intercept, x]": 0.5,
        "df[g]": 3,
    }
    model = hb.Model(TWO, pd.DataFrame(design).assign(y=0.0 + np.arange(4000)))
    _, effects = model.simulate(truth | {"sigma": 1}, seed=3, effects=True)
    r = effects["value"].to_numpy().reshape(-1, 2)
    covariance = np.array([[4, 1], [1, 1]])
    squares = np.einsum("gi,ij,gj->g", r, np.linalg.inv(covariance), r)
    assert uniform(stats.f(2, 3).cdf(squares / 2)) > 1e-3
    assert model.spec.quantities[-2].name == "df[g]"


def test_new_levels_follow_the_law():
    model = hb.Model(TWO, DATA, priors={"df[g]": "Fixed(2)"})
    fit = tame_fit(model, draws=1500, chains=2)
    draws = flatten(fit.spec, fit.posterior)
    new = fit.predict({"g": ["a", "a"], "x": [0.0, 1.0]}, kind="linear", groups="all", output="draws", seed=2)
    eta = new.to_numpy().reshape(len(draws), 2)
    fixed = draws.values["b"] @ np.array([[1.0, 1.0], [0.0, 1.0]])
    r = (eta - fixed) @ np.array([[1.0, -1.0], [0.0, 1.0]])
    sd, cor, df = (draws.values[name] for name in ("sd_g", "cor_g", "df_g"))
    factor = fit.spec.layout.main.factors[0]
    squares = factor.squares(r[:, None], sd, cor)[:, 0]
    assert uniform(stats.f.cdf(squares / 2, 2, df)) > 1e-3


def test_new_times_are_drawn_given_the_known_ones():
    """Of a multivariate t: a t with as many more degrees of freedom, its scale by how far out the known ones are."""
    model = hb.Model('y ~ ar1(0 + t | gr(g, dist="student"))', DATA)
    fit = tame_fit(model, draws=1500, chains=2)
    draws = flatten(fit.spec, fit.posterior)
    drawn = fit.predict({"g": ["l8"], "t": [6]}, kind="linear", output="draws", seed=3).to_numpy().ravel()
    sd, rho, df = draws.values["sd_g"][:, 0], draws.values["rho_g"], draws.values["df_g"]
    r = draws.values["r_g"][:, 8]
    times = np.array([0, 1, 2, 3, 4, 6])
    cors = rho[:, None, None] ** np.abs(times[:, None] - times)
    inverses = np.linalg.inv(cors[:, :5, :5])
    weights = np.einsum("si,sij->sj", cors[:, 5, :5], inverses)
    mean, left = (weights * r).sum(axis=1), 1 - (weights * cors[:, :5, 5]).sum(axis=1)
    squares = np.einsum("si,sij,sj->s", r, inverses, r) / sd**2
    scale = sd * np.sqrt(left * (df + squares) / (df + 5))
    population = draws.values["b"][:, 0]
    assert uniform(stats.t.cdf((drawn - population - mean) / scale, df + 5)) > 1e-3


# -- left-out levels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("formula", "family"), [(ONE, "gaussian"), (ONE.replace("y", "count"), "poisson")])
@pytest.mark.parametrize("level", ["l2", "l8"])
def test_integrated_levels_are_numerical_integrals(formula, family, level):
    """Also of the level that is far out."""
    model = hb.Model(formula, DATA, family, priors={"df[g]": "Uniform(1.5, 6)"})
    fit = tame_fit(model, draws=4, chains=1)
    draws = flatten(fit.spec, fit.posterior)
    places = np.flatnonzero(DATA["g"] == level)
    ((_, held),) = list(hold_out(fit.spec, draws, fit.design, places))
    found, coarse = log_marginal(fit.spec, held)
    own = DATA.loc[places]
    for s in range(4):
        b, sd, df = draws.values["b"][s], draws.values["sd_g"][s, 0], draws.values["df_g"][s]
        fixed = b[0] + b[1] * own["x"].to_numpy()
        if family == "gaussian":
            sigma, y = draws.values["sigma"][s], own["y"].to_numpy()
            middle = float((y - fixed).mean())

            def logs(r, fixed=fixed, y=y, sigma=sigma):
                return stats.norm.logpdf(y, fixed + r, sigma).sum()
        else:
            y = own["count"].to_numpy()
            middle = float(np.log((y.sum() + 0.5) / np.exp(fixed).sum()))

            def logs(r, fixed=fixed, y=y):
                return stats.poisson.logpmf(y, np.exp(fixed + r)).sum()

        top = logs(middle)
        expected, _ = integrate.quad(
            lambda r, logs=logs, top=top, sd=sd, df=df: np.exp(logs(r) - top) * stats.t.pdf(r / sd, df) / sd,
            -60,
            60,
            points=[0, middle],
            limit=400,
        )
        assert found[s] == pytest.approx(np.log(expected) + top, abs=2e-3)
        assert abs(found[s] - coarse[s]) < 0.05


def test_several_effects_and_normal_ones_beside_them():
    """By samples of the effects."""
    model = hb.Model(f"{TWO} + (1 | h:g)", DATA)
    fit = tame_fit(model, draws=2, chains=1)
    draws = flatten(fit.spec, fit.posterior)
    places = np.flatnonzero(DATA["g"] == "l4")
    ((_, held),) = list(hold_out(fit.spec, draws, fit.design, places))
    assert held.effects == 2 + 5
    assert len(held.heavy) == 1
    rng = np.random.default_rng(8)
    found, coarse = log_marginal(fit.spec, held)
    for s in range(2):
        z = rng.normal(size=(400_000, 7))
        own, df = held.heavy[0][0], held.heavy[0][2][0][s]
        z[:, own] *= np.sqrt(df / rng.chisquare(df, len(z)))[:, None]
        eta = held.etas["mu"][s] + z @ held.columns["mu"][s].T
        logs = stats.norm.logpdf(DATA["y"].to_numpy()[places], eta, held.aux["sigma"][s]).sum(axis=1)
        weights = np.exp(logs - logs.max())
        expected = np.log(weights.mean()) + logs.max()
        error = weights.std() / weights.mean() / len(z) ** 0.5
        assert abs(found[s] - expected) < 4 * error + 2 * abs(found[s] - coarse[s]) + 0.02


def test_leaving_out_rows_and_levels():
    fit = tame_fit(hb.Model(ONE, DATA), draws=60, chains=2)
    assert np.isfinite(fit.loo().elpd)
    table = fit.logo("g").table
    assert len(table) == 9
    assert np.isfinite(table["elpd"]).all()
    assert table["error"].max() < 0.05


# -- variances and averages -------------------------------------------------------------------------------------------


def with_df(fit: hb.Fit, df: float) -> Draws:
    draws = flatten(fit.spec, fit.posterior)
    return Draws({**draws.values, "df_g": np.full(len(draws), df)}, draws.chains, draws.draws)


def test_variances_are_those_of_the_law():
    from hierbayes.answers.partition import icc, r2, varcorr

    fit = tame_fit(hb.Model(ONE, DATA), draws=50, chains=1)
    for df, times in ((4.0, 2.0), (12.0, 1.2)):
        draws = with_df(fit, df)
        between, within = times * draws.values["sd_g"][:, 0] ** 2, draws.values["sigma"] ** 2
        found = icc(fit.spec, draws, fit.design, DATA).values[:, 0]
        np.testing.assert_allclose(found, between / (between + within), rtol=1e-10)
        table = varcorr(fit.spec, draws, fit.design)
        np.testing.assert_allclose(table.variance[:, 0], between)
        np.testing.assert_allclose(table.estimates.values[:, 0], draws.values["sd_g"][:, 0])
        assert table.estimates.labels["effect2"].tolist() == ["", "df", ""]
    draws = with_df(fit, 2.0)
    assert (icc(fit.spec, draws, fit.design, DATA).values == 1).all()
    found = varcorr(fit.spec, draws, fit.design)
    assert np.isinf(found.variance[:, 0]).all()
    assert found.share[:, [0, 2]].tolist() == [[1.0, 0.0]] * 50
    assert (r2(fit.spec, draws, fit.design).values[:, 2:] == [0.0, 1.0]).all()


def test_what_averages_over_effects_is_refused_where_there_is_no_average():
    fit = tame_fit(hb.Model(ONE.replace("y", "count"), DATA, "poisson"), draws=20, chains=1)
    with pytest.raises(UnsupportedError, match="no average over new levels"):
        fit.predict({"x": [0.0], "g": ["new"]}, groups="average")
    with pytest.raises(UnsupportedError, match="no such average"):
        fit.icc()
    assert np.isfinite(fit.varcorr()["mean"]).all()
    assert "nakagawa" not in set(fit.r2()["definition"])
    assert str(fit.model.prior_summary(draws=50))
    yes = tame_fit(hb.Model(ONE.replace("y", "yes"), DATA, "bernoulli"), draws=20, chains=1)
    assert yes.icc()["scale"].tolist() == ["latent"]
    with pytest.raises(UnsupportedError, match="take scale='latent'"):
        yes.icc(scale="response")


def test_averages_of_a_linear_mean_are_the_population():
    fit = tame_fit(hb.Model(ONE, DATA), draws=50, chains=1)
    rows = {"x": [0.0, 1.0], "g": ["new", "l1"]}
    average = fit.predict(rows, groups="average", kind="mean")["mean"]
    assert average.iloc[0] == pytest.approx(fit.posterior["b"].mean(("chain", "draw")).to_numpy()[0])


# -- levels beside each other -----------------------------------------------------------------------------------------


def test_pooling_is_the_weight_of_the_population_in_a_levels_estimate():
    """σ²/n over σ²/n + sd² u, with 1/u at its posterior mean."""
    fit = tame_fit(hb.Model('y ~ 1 + (1 | gr(g, dist="student"))', DATA), draws=200, chains=1)
    factor = fit.spec.layout.main.factors[0]
    levels, _ = pooling_factors(fit.spec, fit.design, fit.posterior, factor)
    draws = flatten(fit.spec, fit.posterior)
    sd, df, r = draws.values["sd_g"], draws.values["df_g"][:, None], draws.values["r_g"][:, :, 0]
    weights = ((df + 1) / (df + (r / sd) ** 2)).mean(axis=0)
    noise = draws.values["sigma"].mean() ** 2 / 5
    np.testing.assert_allclose(levels[:, 0], noise / (noise + (sd**2).mean() / weights), rtol=1e-9)


def test_level_scores_are_against_the_law():
    fit = tame_fit(hb.Model(ONE, DATA), draws=100, chains=1)
    factor = fit.spec.layout.main.factors[0]
    from hierbayes.answers.intervals import get_interval

    scores = level_scores(fit.spec, fit.posterior, "mu", factor, "Intercept", get_interval())
    draws = flatten(fit.spec, fit.posterior)
    values = draws.values["r_g"][:, :, 0] / draws.values["sd_g"]
    expected = np.sort(stats.norm.ppf(stats.t.cdf(values, draws.values["df_g"][:, None])), axis=1).mean(
        axis=0
    )
    np.testing.assert_allclose(scores.mean, expected, rtol=1e-6)


def test_pictures_are_drawn(many):
    fit, _ = many
    for draw in (fit.plot_level_qq, fit.plot_shrinkage, fit.plot_ranef, fit.plot_check):
        assert draw() is not None


def test_checks_and_sensitivity(many):
    fit, _ = many
    assert fit.check() is not None
    table = fit.prior_sensitivity()
    assert "df[g]" in table.index
    efficiency = ess_mean(np.asarray(fit.posterior["df_g"])[..., None])
    assert efficiency.min() > 200


def test_a_gaussian_approximation_is_drawn():
    found = hb.Model(ONE, DATA).approximate(seed=1)
    assert np.isfinite(found.summary()["mean"]).all()
