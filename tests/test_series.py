"""Correlated residuals: nlme's maxima, a posterior by integration, what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.formula import parse
from tests.structures.test_toeplitz import ORTHODONT

DATA = pd.DataFrame(
    {"distance": np.array(ORTHODONT.split(), dtype=float), "child": np.repeat(np.arange(27), 4)}
)
DATA["age"], DATA["visit"] = np.tile([8, 10, 12, 14], 27), np.tile([1, 2, 3, 4], 27)
GAPS = DATA.drop(index=[1, 6, 9, 49, 50])
AR, COSY = "distance ~ age + ar(time=visit, gr=child)", "distance ~ age + cosy(gr=child)"


def correlations(model: hb.Model, value: float) -> np.ndarray:
    """Of the residuals of all rows: (n, n)."""
    series, (codes, places) = model.spec.layout.response.series, model.design.series
    r = series.structure.correlation(np, len(series.times), series.times, np.full((1, 1), value))
    return np.where(np.equal.outer(codes, codes), r[np.ix_(places, places)], 0.0)


def marginal(model: hb.Model, b, sigma: float, value: float) -> float:
    mean = model.design.main.x @ np.array(b)
    return stats.multivariate_normal.logpdf(model.design.y, mean, sigma**2 * correlations(model, value))


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
    ],
)
def test_likelihood_is_nlmes_and_at_its_maximum(formula, frame, loglik, b, sigma, value):
    model = hb.Model(formula, frame)
    assert marginal(model, b, sigma, value) == pytest.approx(loglik, abs=1e-6)
    for factor in (0.99, 1.01):
        assert marginal(model, b, sigma * factor, value) < loglik
        assert marginal(model, b, sigma, value * factor) < loglik


@pytest.fixture(scope="module", params=[AR, COSY])
def fit(request):
    return hb.fit(request.param, GAPS, seed=1, progress=False)


def test_posterior_is_that_by_integration(fit):
    """Over sigma and the correlation on a grid, the coefficients in closed form."""
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


def test_what_rows_alone_can_say_is_said(fit):
    new = pd.DataFrame({"age": [9, 11]})
    found = fit.predict(new)["mean"].to_numpy()
    b = fit.posterior["b"].mean(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(found, b[0] + b[1] * new["age"], rtol=1e-10)
    assert 0 < fit.r2()["mean"].iloc[0] < 1
    assert fit.check() is not None


@pytest.mark.parametrize("name", ["loo", "residuals", "posterior_predictive", "prior_sensitivity", "predict"])
def test_what_depends_on_the_series_is_refused(fit, name):
    options = {"rows": GAPS, "kind": "response"} if name == "predict" else {}
    with pytest.raises(hb.UnsupportedError, match=r"residuals are correlated, by (ar|cosy)\("):
        getattr(fit, name)(**options)


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


@pytest.mark.parametrize("kind", ["ar", "cosy"])
def test_priors_are_about_correlations(kind):
    formula = {"ar": AR, "cosy": COSY}[kind]
    assert str(hb.Model(formula, GAPS).priors.set_index("class").loc[kind, "prior"]).startswith("Uniform")
    for prior in ("Uniform(0.1, 0.8)", "Beta(2, 2)", "Fixed(0.5)"):
        model = hb.Model(formula, GAPS, priors={kind: prior})
        assert "collapsed" in repr(model), prior
    with pytest.raises(hb.PriorError):
        hb.Model(formula, GAPS, priors={kind: "Normal(0, 5)"})


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        (
            "distance ~ age + ar(visit, child) + (1 | child)",
            {},
            r"no group effects; .* ar1\(0 \+ time \| child\)",
        ),
        (AR, {"family": "poisson"}, "family 'poisson' cannot be correlated"),
        (AR, {"family": "lognormal"}, "family 'lognormal' cannot be correlated"),
        ({"mu": AR, "sigma": "~ age"}, {}, "one sigma for all rows"),
        ("distance | se(age) ~ 1 + ar(visit, child)", {}, "one sigma for all rows"),
        ("distance | weights(age) ~ 1 + ar(visit, child)", {}, r"no weights"),
        ("distance ~ age + ar(visit)", {}, "has the time 1 twice"),
        ("distance ~ ar(half, child)", {}, "are whole numbers, and 0.5 is none"),
        ("distance ~ ar(gr=row)", {}, "no series of two rows"),
    ],
)
def test_what_does_not_go_together_is_refused(formula, options, message):
    frame = DATA.assign(half=DATA["visit"] / 2, row=np.arange(108))
    with pytest.raises(hb.HierBayesError, match=message):
        hb.Model(formula, frame, **options)


def test_formulas_are_read_as_written():
    for text in ("ar(visit, child)", "ar(time=visit, gr=child)", "ar(gr=child, time=visit, p=1)"):
        assert str(parse(f"distance ~ age + {text}")) == AR
    with pytest.raises(hb.FormulaError, match="formula of the response"):
        hb.Model({"mu": "distance ~ age", "sigma": "~ ar(visit, child)"}, DATA)
