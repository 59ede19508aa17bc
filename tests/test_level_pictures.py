"""Lines of levels over their data, and predictions along a predictor: what they show and what they say of it."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.answers.intervals import get_interval
from hierbayes.errors import DataError

mpl.use("Agg")  # before pyplot: these tests need no screen

import matplotlib.pyplot as plt

pytestmark = pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
RNG = np.random.default_rng(12)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def make(known_fit, levels, family="gaussian", names=None, formula="y ~ x + z + (x | g)"):
    labels = np.arange(levels) if names is None else np.array(names, dtype=object)
    data = pd.DataFrame(
        {
            "g": np.repeat(labels, 4),
            "x": np.tile([0.0, 1, 2, 5], levels),
            "z": np.repeat(np.arange(levels) % 3, 4) * 1.0,
        }
    )
    data["y"] = RNG.normal(size=len(data)) if family == "gaussian" else RNG.integers(0, 2, len(data))
    model = hb.Model(formula, data, family=family)
    r = np.column_stack([RNG.normal(size=levels), RNG.permutation(levels) / levels])
    values = {"b": [1.0, 0.5, -2.0], "r_g": r, "sd_g": [1.0, 0.3], "cor_g": np.eye(2), "sigma": 0.5}
    return known_fit(model, values), r


def lines(ax):
    return {line.get_label(): np.column_stack(line.get_data()) for line in ax.get_lines()}


@pytest.mark.parametrize("levels", [2, 5, 18, 24])
def test_every_level_has_its_line_its_data_and_the_populations(known_fit, levels):
    fit, r = make(known_fit, levels)
    axes = fit.plot_groups()
    assert len(axes) == levels
    for level, ax in enumerate(axes):
        drawn = lines(ax)
        own = fit.data[fit.data["g"] == level]
        assert_allclose(drawn["data"], own[["x", "y"]])
        x, z = drawn["level"][:, 0], own["z"].mean()
        assert_allclose(drawn["level"][:, 1], 1 + r[level, 0] + (0.5 + r[level, 1]) * x - 2 * z)
        assert_allclose(drawn["population"][:, 1], 1 + 0.5 * x - 2 * z)
        assert ax.get_title() == str(level)
    figure = fit.plot_groups(prob=0.5, interval="hdi")[0].figure
    assert figure.get_suptitle() == "y by g"
    assert "50% HDI" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_of_many_levels_the_lowest_and_highest_slopes(known_fit):
    fit, r = make(known_fit, 500)
    axes = fit.plot_groups(max_levels=10)
    order = np.argsort(r[:, 1])
    assert [int(ax.get_title()) for ax in axes] == [*order[:5], *order[-5:]]
    assert "the 5 lowest and 5 highest of 500 levels in x" in axes[0].figure.get_suptitle()
    chosen = fit.plot_groups(levels=[7, 3])
    assert [ax.get_title() for ax in chosen] == ["7", "3"]
    assert "2 of 500 levels" in chosen[0].figure.get_suptitle()


def test_long_and_odd_names_and_unequal_panels(known_fit):
    names = ["$5 a day, $10 a week", "Q", "École polytechnique fédérale de Lausanne", "d", "e", "f", "g"]
    fit, _ = make(known_fit, 7, names=names)
    axes = fit.plot_groups()
    figure = axes[0].figure
    figure.canvas.draw()
    assert [ax.get_title().replace("\n", " ") for ax in axes] == sorted(names)
    titles = [ax.title.get_window_extent() for ax in axes]
    assert not any(a.overlaps(b) for place, a in enumerate(titles) for b in titles[:place])
    figure.supxlabel("words of the user's own")
    figure.canvas.draw()
    legend, label = figure.legends[0].get_window_extent(), figure._supxlabel.get_window_extent()
    assert not legend.overlaps(label)
    assert not any(ax.get_tightbbox().overlaps(box) for ax in axes for box in (legend, label))


def test_days_are_named_without_their_time(known_fit):
    days = pd.date_range("2024-02-28", periods=4)
    data = pd.DataFrame(
        {"y": RNG.normal(size=16), "x": np.tile([0.0, 1, 2, 3], 4), "day": np.repeat(days, 4)}
    )
    fit = known_fit(hb.Model("y ~ x + (x | day)", data), {"sd_day": [1.0, 0.3], "sigma": 0.5})
    wanted = sorted(str(day.date()) for day in days)
    assert sorted(ax.get_title() for ax in fit.plot_groups().flat if ax.get_visible()) == wanted
    assert sorted(text.get_text() for text in fit.plot_ranef()[0].get_yticklabels()) == wanted
    assert sorted(text.get_text() for text in fit.plot_ppc("group", draws=10).get_xticklabels()) == wanted
    assert {text.get_text() for text in fit.plot_shrinkage(labels=[days[1]]).texts} == {"2024-02-29"}
    for pair in (
        (days[0], days[2]),
        ("2024-02-28", "2024-03-01"),
        (days[0].date(), np.datetime64("2024-03-01")),
    ):
        (row,) = fit.contrasts(effect="x", pairs=[pair]).to_dict("records")
        assert (row["level_a"], row["level_b"]) == (days[0], days[2])
    with pytest.raises(DataError, match="names 'soon', which is no level"):
        fit.contrasts(levels=["soon", days[0]])


def test_a_crossed_factor_and_trials(known_fit):
    data = pd.DataFrame(
        {
            "k": RNG.integers(0, 5, 48),
            "n": 5,
            "x": np.tile(np.arange(6.0), 8),
            "g": np.repeat(list("abcdefgh"), 6),
            "h": np.tile(list("uvwxyz"), 8),
        }
    )
    model = hb.Model("k | trials(n) ~ x + (1 | g) + (1 | h)", data, family="binomial")
    r = RNG.normal(size=(8, 1))
    fit = known_fit(
        model, {"b": [0.2, 0.1], "r_g": r, "r_h": RNG.normal(size=(6, 1)), "sd_g": [1.0], "sd_h": [1.0]}
    )
    axes = fit.plot_groups("g")
    drawn = lines(axes[2])
    assert_allclose(drawn["level"][:, 1], 1 / (1 + np.exp(-(0.2 + 0.1 * drawn["level"][:, 0] + r[2, 0]))))
    assert_allclose(drawn["data"][:, 1], data[data["g"] == "c"]["k"] / 5)
    assert axes[0].figure.get_supylabel() == "share of k"


def test_points_along_a_category_with_trials_that_differ(known_fit):
    data = pd.DataFrame({"kind": np.tile(["lo", "mid", "hi"], 8), "g": np.repeat(list("abcd"), 6)})
    data["n"] = RNG.integers(1, 9, 24)
    data["k"] = RNG.integers(0, data["n"] + 1)
    r = RNG.normal(size=(4, 1))
    model = hb.Model("k | trials(n) ~ kind + (1 | g)", data, family="binomial")
    axes = known_fit(model, {"b": [0.2, 0.5, -1.0], "r_g": r, "sd_g": [1.0]}).plot_groups()
    drawn = lines(axes[1])  # "hi" is the first category
    assert_allclose(drawn["level"][:, 0], [0, 1, 2])
    assert_allclose(drawn["level"][:, 1], 1 / (1 + np.exp(-(r[1, 0] + np.array([0.2, 0.7, -0.8])))))
    assert_allclose(drawn["population"][:, 1], 1 / (1 + np.exp(-np.array([0.2, 0.7, -0.8]))))
    assert [text.get_text() for text in axes[1].get_xticklabels()] == ["hi", "lo", "mid"]
    own = data[data["g"] == "b"]
    assert_allclose(drawn["data"][:, 0].round(), own["kind"].map({"hi": 0, "lo": 1, "mid": 2}))
    assert_allclose(drawn["data"][:, 1], own["k"] / own["n"])


def test_the_school_counts_in_the_line_of_its_class(known_fit):
    data = pd.DataFrame({"x": np.tile([0.0, 1, 2, 3], 6), "school": np.repeat(["s", "t"], 12)})
    data["room"], data["y"] = np.repeat(list("abcabc"), 4), RNG.normal(size=24)
    model = hb.Model("y ~ x + (1 | school/room)", data)
    r, rooms = RNG.normal(size=(2, 1)), RNG.normal(size=(6, 1))
    values = {"b": [1.0, 0.5], "r_school": r, "r_school:room": rooms, "sigma": 1.0}
    axes = known_fit(model, values).plot_groups("school:room")
    drawn = lines(axes[4])
    assert_allclose(drawn["level"][:, 1], 1.0 + 0.5 * drawn["level"][:, 0] + r[1, 0] + rooms[4, 0])
    assert_allclose(drawn["population"][:, 1], 1.0 + 0.5 * drawn["level"][:, 0])


def test_groups_that_cannot_be_drawn(known_fit):
    fit, _ = make(known_fit, 5)
    with pytest.raises(DataError, match=r"'w' is no predictor of this model .* it has 'x', 'z'"):
        fit.plot_groups(x="w")
    with pytest.raises(DataError, match="levels names 9, which is no level of 'g'"):
        fit.plot_groups(levels=[9])
    with pytest.raises(DataError, match="max_levels must be 2 or more"):
        fit.plot_groups(max_levels=1)
    plain = known_fit(hb.Model("y ~ 1 + (1 | g)", fit.data), {"sd_g": [1.0], "sigma": 1.0})
    with pytest.raises(DataError, match="this model has no predictor to draw lines along"):
        plain.plot_groups()
    years = known_fit(hb.Model("y ~ z + (1 | z)", fit.data), {"sd_z": [1.0], "sigma": 1.0})
    with pytest.raises(DataError, match=r"'z' is no predictor .* within a level of 'z'; it has none"):
        years.plot_groups(x="z")


# -- along a predictor ------------------------------------------------------------------------------------------


def test_the_curve_is_the_tables(known_fit):
    fit, _ = make(known_fit, 6, family="bernoulli")
    ax = fit.plot_conditional_effects("x", groups="average")
    table = fit.conditional_effects("x", groups="average")
    drawn = lines(ax)
    assert_allclose(drawn["expected"], table[["x", "mean"]])
    assert_allclose(drawn["data"], fit.data[["x", "y"]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "probability of y = 1")
    assert len(ax.collections) == 1  # the band of the mean; a new response is 0 or 1
    counted, _ = make(known_fit, 6, family="poisson")
    assert len(counted.plot_conditional_effects("x").collections) == 2  # and that of a new response
    own = plt.subplots()[1]
    assert fit.plot_conditional_effects("x", show=("expected",), ax=own) is own
    assert len(own.collections) == 1
    assert set(lines(own)) == {"expected"}


def test_several_curves_are_named_and_few(known_fit):
    fit, _ = make(known_fit, 12)
    ax = fit.plot_conditional_effects("x", at={"g": [1, 2]}, groups="all")
    assert {"g = 1", "g = 2"} <= set(lines(ax))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["data", "g = 1", "g = 2"]
    assert ax.get_title(loc="left") == f"y along x\nat z = 1\n{get_interval()} of the mean"
    by = fit.plot_conditional_effects("x:z")
    assert sum(label.startswith("z = ") for label in lines(by)) == 3
    with pytest.raises(DataError, match="12 curves cannot be distinguished"):
        fit.plot_conditional_effects("x", at={"g": list(range(12))}, groups="all")


def test_categories_stand_side_by_side(known_fit):
    data = pd.DataFrame(
        {"y": RNG.normal(size=36), "kind": np.tile(["lo", "mid", "hi"], 12), "g": np.repeat(np.arange(6), 6)}
    )
    fit = known_fit(hb.Model("y ~ kind + (1 | g)", data), {"b": [1.0, 2.0, 3.0], "sd_g": [1.0], "sigma": 1.0})
    ax = fit.plot_conditional_effects("kind")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["hi", "lo", "mid"]
    assert_allclose(lines(ax)["expected"], [[0, 1], [1, 3], [2, 4]])


# -- rows ordered by n ------------------------------------------------------------------------------------------


def test_shrinkage_ordered_by_the_number_of_rows(known_fit):
    sizes = [3, 9, 2, 5, 4]
    data = pd.DataFrame({"g": np.repeat(list("abcde"), sizes), "y": RNG.normal(size=sum(sizes))})
    fit = known_fit(
        hb.Model("y ~ 1 + (1 | g)", data), {"r_g": RNG.normal(size=(5, 1)), "sd_g": [1.0], "sigma": 1.0}
    )
    ax = fit.plot_shrinkage(order="n")
    expected = [f"{name}  n = {n}" for n, name in sorted(zip(sizes, "abcde", strict=True))]
    assert [text.get_text() for text in ax.get_yticklabels()] == expected
    assert "2 smallest and 2 largest of 5 levels" in fit.plot_shrinkage(order="n", max_levels=4).get_title(
        loc="left"
    )
    with pytest.raises(DataError, match="order must be 'estimate' or 'n'"):
        fit.plot_shrinkage(order="size")
