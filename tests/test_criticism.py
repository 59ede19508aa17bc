"""What the pictures of fit show: numbers by hand, and axes that hold them."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.intervals import Interval
from hierbayes.criticism.discrepancies import (
    Replicates,
    frequencies,
    level_means,
    level_scores,
    replicate,
    share_of_zeros,
    statistic,
)

mpl.use("Agg")  # before pyplot: these tests need no screen

import matplotlib.pyplot as plt

from .test_predict import tame_fit, to_fit, values_of

pytestmark = pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
RNG = np.random.default_rng(2)
ETI = Interval(0.89, "eti")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def data_of(levels, rows=4):
    codes = np.repeat(np.arange(levels), rows)
    n = len(codes)
    return pd.DataFrame(
        {
            "g": [f"level {code:03d}" for code in codes],
            "x": RNG.normal(size=n),
            "y": RNG.normal(size=n),
            "above": RNG.gamma(2.0, size=n),
            "count": RNG.poisson(2.0, n),
            "yes": np.arange(n) % 2,
            "k": RNG.integers(0, 5, n),
            "n": 5,
        }
    )


RESPONSES = {
    "gaussian": "y",
    "gamma": "above",
    "poisson": "count",
    "bernoulli": "yes",
    "binomial": "k | trials(n)",
}


def fit_of(family="gaussian", levels=6, effects="x"):
    return tame_fit(
        hb.Model(f"{RESPONSES[family]} ~ x + ({effects} | g)", data_of(levels), family=family), draws=60
    )


# -- numbers ------------------------------------------------------------------------------------------------------


def test_replicates_are_the_posterior_predictive():
    fit = fit_of()
    found = replicate(fit.spec, fit.design, fit.posterior, 500, seed=4)
    want = fit.posterior_predictive(draws=500, seed=4)["posterior_predictive"]["y"].to_numpy()
    np.testing.assert_array_equal(found.simulated, want.reshape(-1, 24))
    np.testing.assert_array_equal(found.observed, fit.data["y"])


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_level_means(family):
    fit = fit_of(family)
    replicates = replicate(fit.spec, fit.design, fit.posterior, 40, seed=0)
    found = level_means(fit.spec, fit.design, replicates, "g")
    response = "y" if family == "gaussian" else "k"
    sums = fit.data.groupby("g")[response].sum()
    size = 4 if family == "gaussian" else 20
    np.testing.assert_allclose(found.observed, sums.to_numpy() / size)
    assert list(found.labels) == list(sums.index)
    third = pd.Series(replicates.simulated[3]).groupby(fit.data["g"].to_numpy()).sum() / size
    np.testing.assert_allclose(found.simulated[3], third)


def test_frequencies():
    simulated = RNG.poisson(2.0, size=(300, 500)).astype(float)
    observed = np.r_[np.zeros(100), np.ones(250), np.full(150, 4.0)]
    found = frequencies(Replicates(observed, simulated, None), ETI)
    np.testing.assert_array_equal(found.observed[:5], [100, 250, 0, 0, 150])
    assert found.expected.sum() == pytest.approx(500)
    want = 500 * stats.poisson(2.0).pmf(found.values[:-1])
    np.testing.assert_allclose(found.expected[:-1], want, atol=4 * np.sqrt(500 * 0.25 / 300))
    lower, upper = stats.binom(500, stats.poisson(2.0).pmf(1)).ppf([0.055, 0.945])
    assert found.lower[1] == pytest.approx(lower, abs=4)
    assert found.more == (simulated.max() > found.values[-1])
    assert found.upper[1] == pytest.approx(upper, abs=4)


def test_the_largest_frequencies_are_counted_together():
    y = np.array([0.0, 3.0, 1000.0])
    found = frequencies(Replicates(y, np.tile(y, (5, 1)), None), ETI, largest=10)
    assert len(found.values) == 11
    assert (found.observed[10], found.expected[10], found.observed.sum()) == (1, 1, 3)
    assert found.more
    assert not frequencies(Replicates(y, np.tile(y, (5, 1)), None), ETI, largest=1000).more


def test_a_statistic_and_its_p_value():
    simulated = np.arange(10.0)[:, None] + np.array([0.0, -1.0])
    found = statistic(Replicates(np.array([6.0, 2.0]), simulated, None), np.max)
    assert (found.name, found.observed) == ("max", 6.0)
    np.testing.assert_array_equal(found.simulated, np.arange(10.0))
    assert found.p_value == pytest.approx(0.35)  # 7, 8, 9 and half of 6
    with pytest.raises(hb.DataError, match="return one number"):
        statistic(Replicates(np.zeros(2), simulated, None), lambda y: y)


def test_share_of_zeros():
    assert share_of_zeros(np.array([0.0, 1.0, 0.0, 3.0])) == 0.5


def test_level_scores_of_normal_effects_lie_on_the_line():
    levels, draws = 400, 200
    rng = np.random.default_rng(1)
    model = hb.Model("y ~ 1 + (1 | g)", data_of(levels, rows=2))
    sd = np.exp(0.3 * rng.normal(size=(draws, 1)))
    effects = rng.normal(size=(draws, levels)) * sd
    values = {"b": np.zeros((draws, 1)), "sd_g": sd, "r_g": effects[..., None], "sigma": np.ones(draws)}
    fit = to_fit(model, values, 2)
    factor = model.spec.layout.predictors["mu"].factors[0]
    found = level_scores(fit.spec, fit.posterior, "mu", factor, "Intercept", ETI)
    inner = slice(20, -20)
    np.testing.assert_allclose(found.mean[inner], found.expected[inner], atol=0.03)
    by_hand = np.sort(effects / sd, axis=1)
    np.testing.assert_allclose(found.mean, by_hand.mean(axis=0))
    np.testing.assert_allclose(found.lower, np.quantile(by_hand, 0.055, axis=0))
    values["r_g"] = np.tile(stats.t(2).ppf((np.arange(levels) + 0.5) / levels), (draws, 1))[..., None]
    heavy = to_fit(model, values | {"sd_g": np.ones((draws, 1))}, 2)
    tails = level_scores(heavy.spec, heavy.posterior, "mu", factor, "Intercept", ETI)
    assert tails.lower[-1] > tails.expected[-1] + 3


# -- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [5, 18, 500])
@pytest.mark.parametrize("family", RESPONSES)
def test_the_page_has_every_panel(family, levels):
    if levels == 500 and family not in ("gaussian", "poisson"):
        levels = 40
    fit = fit_of(family, levels)
    axes = fit.plot_check(draws=40)
    titles = [ax.get_title(loc="left") for ax in axes]
    counts = ["Rootogram", "P(simulated"] if family == "poisson" else []
    expected = [
        "Observed and simulated",
        *counts,
        "Means by g",
        "Quantile residuals",
        "Residuals against fitted",
    ]
    expected += ["Scale–location", "Intercept by g", "x by g"]
    assert len(titles) == len(expected)
    assert all(title.startswith(start) for title, start in zip(titles, expected, strict=True))
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in axes)


def test_a_model_without_groups_has_a_page():
    fit = tame_fit(hb.Model("y ~ x", data_of(6)), draws=40)
    assert len(fit.plot_check(draws=40)) == 4
    with pytest.raises(hb.DataError, match="no grouping factor"):
        fit.plot_ppc("group")
    with pytest.raises(hb.DataError, match="mu's formula has no grouping factor"):
        fit.plot_level_qq()


@pytest.mark.parametrize("kind", ["density", "group", "rootogram", "zeros", np.std])
def test_each_check_takes_axes_or_a_size(kind):
    fit = fit_of("poisson")
    ax = plt.subplots()[1]
    assert fit.plot_ppc(kind, ax=ax, draws=30) is ax
    new = fit.plot_ppc(kind, figsize=(3.0, 2.0), draws=30)
    assert tuple(new.figure.get_size_inches()) == (3.0, 2.0)
    assert new.get_xlabel()


@pytest.mark.parametrize("kind", ["quantile", "fitted", "scale"])
def test_each_residual_plot_shows_every_row(kind):
    fit = fit_of()
    ax = fit.plot_residuals(kind, draws=50)
    table = fit.residuals(draws=50)
    points = next(line for line in ax.lines if line.get_linestyle() == "None")
    want = {
        "quantile": np.sort(table["quantile"]),
        "fitted": table["quantile"],
        "scale": np.sqrt(table["pearson"].abs()),
    }[kind]
    np.testing.assert_allclose(points.get_ydata(), want)
    if kind != "quantile":
        np.testing.assert_allclose(points.get_xdata(), table["fitted"])


def test_levels_are_named_while_there_is_room():
    fit = fit_of(levels=18)
    ordered = fit.data.groupby("g")["y"].mean().sort_values()
    ax = fit.plot_ppc("group", draws=30)
    assert [text.get_text() for text in ax.get_xticklabels()] == list(ordered.index)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), ordered)
    many = fit_of(levels=60).plot_ppc("group", draws=30)
    assert len(many.get_xticklabels()) == 0
    assert many.get_xlabel() == "60 levels of g, by observed mean"


def test_the_group_plot_counts_levels_outside():
    fit = fit_of(levels=18)
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    values["r_g"][:, 0] += 50  # no simulation comes near that level's rows
    moved = to_fit(hb.Model("y ~ x + (x | g)", fit.data), values, 2)
    title = moved.plot_ppc("group", draws=60).get_title(loc="left")
    assert int(title.split(": ")[1].split()[0]) >= 1


@pytest.mark.parametrize(
    ("family", "kind", "message"),
    [
        ("gaussian", "rootogram", "is for counts; family 'gaussian'"),
        ("bernoulli", "zeros", "is for counts"),
        (
            "poisson",
            "histogram",
            "kind must be one of density, group, rootogram, zeros, survival or a function",
        ),
    ],
)
def test_kinds_that_do_not_fit(family, kind, message):
    with pytest.raises(hb.DataError, match=message):
        fit_of(family).plot_ppc(kind)


def test_unknown_residuals_groups_and_effects():
    fit = fit_of()
    with pytest.raises(hb.DataError, match="quantile, fitted, scale"):
        fit.plot_residuals("qq")
    with pytest.raises(hb.DataError, match="'h' is no grouping factor"):
        fit.plot_ppc("group", group="h")
    with pytest.raises(hb.DataError, match="'z' does not vary by 'g'; its effects are Intercept, x"):
        fit.plot_level_qq("g", "z")
    assert fit.plot_level_qq("g", "x").get_title(loc="left") == "x by g"
