"""Means and standard deviations that don't exist, or that draws don't tell, are left out of tables."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.answers.intervals import centre, get_interval, summarise
from hierbayes.answers.pareto import tail_shapes, unknown_moments
from hierbayes.cli import main
from hierbayes.criticism.checks import check_draws
from hierbayes.prior_comparison import PriorComparison

S, COLUMNS = 4000, 1000
D = pd.DataFrame({"count": np.arange(24) % 5, "x": np.linspace(-1, 1, 24), "g": np.repeat(list("abcdef"), 4)})


def shares(draw):
    """Of 1000 quantities, how many have no mean and no standard deviation."""
    shapes = tail_shapes(np.sort(draw(np.random.default_rng(1), (S, COLUMNS)), axis=0))
    return tuple(float(each.mean()) for each in unknown_moments(shapes, S))


@pytest.mark.parametrize(
    ("draw", "no_mean", "no_sd"),
    [
        (lambda rng, size: rng.standard_normal(size), (0, 0), (0, 0)),
        (lambda rng, size: rng.standard_exponential(size), (0, 0), (0, 0)),
        (lambda rng, size: rng.poisson(0.3, size).astype(float), (0, 0), (0, 0)),
        (lambda rng, size: np.exp(rng.standard_normal(size)), (0, 0), (0, 0.02)),
        (lambda rng, size: rng.standard_t(8, size), (0, 0), (0, 0.001)),
        (lambda rng, size: rng.standard_t(4, size), (0, 0), (0, 0.01)),
        (lambda rng, size: rng.standard_t(2, size), (0, 0.03), (0.5, 1)),  # k is ½: no sd
        (lambda rng, size: rng.standard_cauchy(size), (0.97, 1), (0.99, 1)),
        (lambda rng, size: rng.normal(size=size) / rng.normal(0.5, 1, size), (0.97, 1), (0.99, 1)),
        (lambda rng, size: -1 / rng.gamma(0.4, 1, size), (1, 1), (1, 1)),
        # counts, whose largest are ties
        (lambda rng, size: rng.poisson(rng.gamma(0.3, 3, size)).astype(float), (0, 0), (0, 0)),
        (lambda rng, size: rng.gamma(1, 1, size) * (rng.random(size) < 0.03), (0, 0), (0, 0.005)),
        (lambda rng, size: np.round(0.2 * rng.standard_cauchy(size)), (0.6, 1), (0.99, 1)),
    ],
)
def test_how_often_moments_are_found_unknown(draw, no_mean, no_sd):
    for found, (least, most) in zip(shares(draw), (no_mean, no_sd), strict=True):
        assert least <= found <= most


def test_shapes_of_either_tail_and_of_draws_that_never_move():
    heavy = np.random.default_rng(0).pareto(1.0, S)
    columns = np.column_stack([heavy, -heavy, np.zeros(S), np.append(heavy[1:], np.inf)])
    found = tail_shapes(np.sort(columns, axis=0))
    assert found[0] == found[1] == pytest.approx(1.0, abs=0.4)
    assert list(found[2:]) == [-np.inf, np.inf]
    assert (tail_shapes(np.sort(columns[:20], axis=0)) == -np.inf).all()


def test_summaries_leave_out_what_there_is_not():
    rng = np.random.default_rng(3)
    draws = np.column_stack([rng.normal(size=S), rng.standard_cauchy(S), (np.arange(S) + 0.5)[::-1] ** -0.6])
    found = pd.DataFrame(summarise(draws, get_interval(0.9, "eti")))
    assert list(found.columns) == ["mean", "sd", "lower", "upper", "median", "pareto_k"]
    assert found["mean"].isna().tolist() == [False, True, False]
    assert found["sd"].isna().tolist() == [False, True, True]
    assert found["pareto_k"].isna().tolist() == [True, False, False]
    np.testing.assert_allclose(found["median"], np.median(draws, axis=0))
    assert list(summarise(draws[:, :1], get_interval())) == ["mean", "sd", "lower", "upper"]


@pytest.fixture(scope="module")
def fit(known_fit):
    """The shape of a negative binomial, and one coefficient, have Cauchy tails."""
    rng = np.random.default_rng(7)
    model = hb.Model("count ~ x + (1 | g)", D, family="negbinomial")
    b = np.column_stack([0.1 * rng.normal(size=S), 0.1 * rng.standard_cauchy(S)])
    values = {"b": b, "sd_g": np.full((S, 1), 0.3), "shape": 1 / rng.gamma(0.4, 1, S)}
    return known_fit(model, values | {"r_g": 0.1 * rng.normal(size=(S, 6, 1))}, chains=4)


def test_tables_of_a_fit_say_so(fit):
    table = fit.summary()
    assert table.loc[["x", "shape"], ["mean", "sd", "mcse_mean"]].isna().all(axis=None)
    assert table.loc[["Intercept", "sd[g, Intercept]"], ["mean", "sd"]].notna().all(axis=None)
    shape = fit.posterior["shape"].to_numpy()
    assert table.loc["shape", "median"] == pytest.approx(np.median(shape))
    assert fit.fixef()["mean"].isna().tolist() == [False, True]
    assert "median" not in fit.ranef()
    at_ends = fit.predict({"x": [0.0, 1.0], "g": ["a", "a"]}, kind="linear")
    assert at_ends["mean"].isna().tolist() == [False, True]
    compared = fit.compare({"x": [1.0], "g": ["a"]}, {"x": [0.0], "g": ["a"]}, kind="linear")
    assert list(compared.columns) == ["mean", "sd", "lower", "upper", "median", "pareto_k", "p_greater"]
    assert compared["mean"].isna().all()
    assert "median" not in fit.predict({"x": [0.0], "g": ["a"]}, kind="linear")


def test_a_check_tells_which(fit):
    (finding,) = [each for each in check_draws(fit.spec, fit.tree) if each.code == "heavy-tails"]
    assert finding.question
    assert "no standard deviation of x, shape and no mean of x, shape" in finding.found


def test_a_tail_of_the_prior_that_no_data_bound_is_known_without_draws_in_it(known_fit):
    """Draws of 1 / gamma variables to which the far tail doesn't happen to come; well-known shapes keep their mean."""
    model = hb.Model("count ~ x", D, family="negbinomial")
    wide = np.exp(1.1 * np.random.default_rng(1).normal(size=S))
    assert tail_shapes(np.sort(wide)[:, None])[0] < 0.7
    for shape, prior, there in (
        (wide, {}, False),
        (wide, {"shape": "Gamma(2, 0.1)"}, True),
        (wide**0.3, {}, True),
    ):
        fit = known_fit(
            hb.Model("count ~ x", D, family="negbinomial", priors=prior), {"shape": shape}, chains=4
        )
        table = fit.summary()
        assert bool(np.isfinite(table.loc["shape", "mean"])) is there
        assert ("median" in table) is not there
        if not there:
            assert table.loc["shape", "pareto_k"] == pytest.approx(2.5)
    gamma = hb.Model("y ~ x", D.assign(y=D["count"] + 1.0), family="gamma")  # whose shape data do bound
    assert np.isfinite(known_fit(gamma, {"shape": wide}, chains=4).summary().loc["shape", "mean"])
    assert model.spec.prior("shape", parameter="shape").tail == pytest.approx(2.5)


def test_what_lies_between_ends_has_mean_and_sd_whatever_the_draws(known_fit):
    """Of probabilities, bounded coefficients and correlations; what a function makes of them may be anything."""
    tail = np.random.default_rng(4).pareto(1.0, S)
    far = tail / tail.max()
    assert unknown_moments(tail_shapes(np.sort(far)[:, None]), S)[1].all()
    cor = np.moveaxis(np.array([[np.ones(S), far], [far, np.ones(S)]]), -1, 0)
    model = hb.Model(
        "count ~ x + (x | g)", D, family="zero_inflated_poisson", priors={"b[x]": "Uniform(-1, 1)"}
    )
    made = known_fit(model, {"zi": far, "b": np.column_stack([far, far]), "cor_g": cor}, chains=4)
    table = made.summary()
    assert table["sd"].isna()[lambda blank: blank].index.tolist() == ["Intercept"]
    for name in ("zi", "x", "cor[g, Intercept, x]"):
        assert table.loc[name, "sd"] == pytest.approx(far.std(ddof=1), rel=1e-3)
        assert table.loc[name, "mean"] == pytest.approx(far.mean())
    assert np.isnan(made.summary(transform=lambda draws: draws).loc["zi", "sd"])
    (heavy,) = [each for each in check_draws(made.spec, made.tree) if each.code == "heavy-tails"]
    assert "no standard deviation of Intercept and no mean of Intercept: Pareto k" in heavy.found


@pytest.fixture(scope="module")
def poisson_like(known_fit):
    """The slope has Cauchy draws, wide enough for the means of the response to have no mean."""
    rng = np.random.default_rng(7)
    b = np.column_stack([0.1 * rng.normal(size=S), 0.05 * rng.standard_cauchy(S)])
    values = {"b": b, "sd_g": np.full((S, 1), 0.3), "r_g": 0.1 * rng.normal(size=(S, 6, 1))}
    return known_fit(hb.Model("count ~ x + (1 | g)", D, family="poisson"), values, chains=4)


def test_quotients_and_effects_without_a_mean_say_so(fit, poisson_like):
    effects = poisson_like.conditional_effects("x", at={"x": [0.0, 1.0]})
    assert effects["mean"].isna().tolist() == [False, True]
    assert effects["median"].notna().all()
    slopes = poisson_like.avg_slopes("x")
    assert slopes["mean"].isna().all()
    assert slopes["median"].notna().all()
    assert poisson_like.avg_comparisons("x")["median"].notna().all()
    rates = poisson_like.predict({"x": [1.0], "g": ["a"]}, kind="response")
    assert rates["mean"].isna().all()
    assert poisson_like.icc()["mean"].notna().all()  # a share, between 0 and 1
    assert PriorComparison(fit, fit).table().loc["shape", ["median_before", "median_after"]].notna().all()


def test_what_is_printed_says_so(fit, tmp_path, capsys):
    for text in (repr(fit), fit._repr_html_()):
        assert "empty mean or sd" in text
        assert "median" in text
        assert "nan" not in text.lower()
    fit.save(tmp_path / "fit.nc")
    main(["summary", str(tmp_path / "fit.nc")])
    printed = capsys.readouterr().out
    assert "empty mean or sd" in printed
    assert "nan" not in printed.lower()


def test_pictures_show_medians_where_there_is_no_mean(poisson_like):
    table = poisson_like.conditional_effects("x")
    ax = poisson_like.plot_conditional_effects("x")
    (line,) = [each for each in ax.lines if each.get_label() == "expected"]
    np.testing.assert_allclose(line.get_ydata(), table["mean"].fillna(table["median"]))
    assert table["mean"].isna().any()
    panel = poisson_like.plot_groups("g", levels=["a"])[0]
    assert all(np.isfinite(each.get_ydata()).all() for each in panel.lines)
    plt.close("all")


def test_deviations_without_a_mean(known_fit):
    rng = np.random.default_rng(2)
    model = hb.Model("y ~ x + (1 | g)", D.assign(y=np.sin(np.arange(24.0))))
    r = rng.normal(size=(S, 6, 1))
    r[:, 2, 0] = rng.standard_cauchy(S)
    values = {"b": rng.normal(size=(S, 2)), "sd_g": np.ones((S, 1)), "sigma": np.ones(S), "r_g": r}
    fit = known_fit(model, values, chains=4)
    assert fit.ranef()["mean"].isna().tolist() == [level == "c" for level in "abcdef"]
    table = fit.shrinkage()
    assert table["partial_pooling"].isna().tolist() == [level == "c" for level in "abcdef"]
    assert table["median"].notna().all()
    for axes in (fit.plot_ranef(), fit.plot_shrinkage()):
        assert all(np.isfinite(each.get_xdata()).all() for each in np.atleast_1d(axes)[0].lines)
    plt.close("all")


def test_pictures_of_categories_and_of_scores(known_fit):
    """Probabilities have means however skewed their draws are; a score may have its median in its place."""
    rng = np.random.default_rng(3)
    model = hb.Model("count ~ x", D, family="cumulative")
    b = rng.standard_cauchy(S)
    far = known_fit(
        model,
        {"b": np.column_stack([np.zeros(S), b]), "thresholds": np.arange(4.0) + 4, "disc": 1.0},
        chains=4,
    )
    for kind, stacked in (("mean", False), ("mean", True), ("score", False)):
        table = far.conditional_effects("x", kind=kind)
        assert kind == "score" or table["mean"].notna().all()
        ax = far.plot_conditional_effects("x", kind=kind, stacked=stacked)
        shown = [each for each in ax.lines if len(each.get_ydata()) > 2]
        assert all(np.isfinite(each.get_ydata()).all() for each in shown)
        assert {"mean", "lower", "upper"} <= set(table.columns)
        if kind == "score":
            np.testing.assert_allclose(
                next(each for each in shown if each.get_label() == "expected").get_ydata(), centre(table)
            )
    plt.close("all")
