"""The pictures hold what they say: every level, its estimates, the scale, and what was left out."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats

import hierbayes as hb
from hierbayes.answers.intervals import get_interval
from hierbayes.answers.pooling import shrinkage_table
from hierbayes.engine.draws import to_dataset
from hierbayes.errors import DataError

mpl.use("Agg")  # before pyplot: these tests need no screen

import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyArrowPatch

from hierbayes.plots.ranef import plot_ranef
from hierbayes.plots.shrinkage import plot_shrinkage

# the designs below are made small or lopsided on purpose
pytestmark = pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")

LONG = [
    "Ministry of Agriculture and Rural Development (north)",
    "Q",
    "St. Mary's Comprehensive School for Girls, Upper Campus",
    "$5 a day, $10 a week",
    "École polytechnique fédérale de Lausanne",
]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def posterior_of(model, b, seed=0):
    """A posterior of the schema that shrinks nothing but is spread about `b` and deviations of sd 1."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for variable in model.spec.variables:
        shape = tuple(len(model.spec.coords[dim]) for dim in variable.dims)
        means = {
            "b": lambda shape: np.broadcast_to(b, shape),
            "r": lambda shape: rng.normal(size=shape),
            "sd": np.ones,
            "cor": lambda shape: np.eye(shape[0]),
            "auxiliary": np.ones,
        }
        jitter = rng.normal(size=(2, 20, *shape)) * (0.3 if variable.kind in "br" else 0.0)
        arrays[variable.name] = means[variable.kind](shape) + jitter
    return to_dataset(model.spec, arrays)


def simulated(levels, names=None, slopes=True, rows=6, seed=1):
    """A normal model of `levels` levels and a posterior of it."""
    rng = np.random.default_rng(seed)
    names = names or [f"{level:03d}" for level in range(levels)]
    codes = np.repeat(np.arange(levels), rows)
    data = pd.DataFrame({"x": rng.uniform(-1, 1, levels * rows), "g": np.array(names, dtype=object)[codes]})
    r = rng.normal(size=(levels, 2))
    data["y"] = 3 + r[codes, 0] + (1 + r[codes, 1]) * data["x"] + rng.normal(size=len(codes))
    model = hb.Model("y ~ x + (x | g)" if slopes else "y ~ x + (1 | g)", data)
    return model, posterior_of(model, [3.0, 1.0])


def shrinkage(model, posterior, *args, **options):
    return plot_shrinkage(model.spec, model.design, posterior, *args, **options)


def line(ax, start):
    """The line whose legend entry starts so."""
    (found,) = [line for line in ax.lines if str(line.get_label()).startswith(start)]
    return found


def tick_names(ax):
    return [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]


def boxes(texts):
    """Extents in pixels (left, bottom, right, top) of texts as drawn."""
    texts[0].figure.canvas.draw()
    return np.array([mpl.text.Text.get_window_extent(text).extents for text in texts])


def overlapping(boxes):
    return [
        (i, j)
        for i in range(len(boxes))
        for j in range(i)
        if (boxes[i, :2] < boxes[j, 2:]).all() and (boxes[j, :2] < boxes[i, 2:]).all()
    ]


def names_in(ax):
    return [text for text in ax.texts if text.get_text()]


# -- shrinkage in the plane ---------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [5, 18])
def test_the_plane_shows_every_level_alone_and_pooled(levels):
    model, posterior = simulated(levels)
    ax = shrinkage(model, posterior)
    table = shrinkage_table(model.spec, model.design, posterior, get_interval())
    for label, column in (("own rows alone", "no_pooling"), ("partial pooling", "partial_pooling")):
        drawn = np.column_stack(line(ax, label).get_data())
        np.testing.assert_allclose(drawn, table[column].to_numpy().reshape(levels, 2))
    assert len([patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]) == levels
    np.testing.assert_allclose(np.ravel(line(ax, "population").get_data()), table["population"][:2])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Intercept (y)", "x (y)")
    assert ax.get_title(loc="left") == "Shrinkage by g"


@pytest.mark.parametrize("levels", [5, 18])
def test_a_few_levels_are_all_named_apart_and_inside(levels):
    ax = shrinkage(*simulated(levels))
    texts = names_in(ax)
    assert sorted(text.get_text() for text in texts) == [f"{level:03d}" for level in range(levels)]
    drawn, frame = boxes(texts), ax.get_window_extent()
    assert overlapping(drawn) == []
    assert (drawn[:, :2] >= frame.min).all()
    assert (drawn[:, 2:] <= frame.max).all()


def test_long_names_are_whole_apart_and_inside():
    model, posterior = simulated(5, names=LONG)
    ax = shrinkage(model, posterior)
    texts = names_in(ax)
    assert sorted(text.get_text().replace("\n", " ") for text in texts) == sorted(LONG)
    drawn, frame = boxes(texts), ax.get_window_extent()
    assert overlapping(drawn) == []
    assert (drawn[:, :2] >= frame.min).all()
    assert (drawn[:, 2:] <= frame.max).all()


@pytest.mark.parametrize("seed", range(1, 6))
def test_names_hide_no_marker_where_there_is_room(seed):
    ax = shrinkage(*simulated(5, names=LONG, seed=seed))
    drawn = boxes(names_in(ax))
    points = [np.column_stack(line(ax, label).get_data()) for label in ("own", "partial", "population")]
    markers = ax.transData.transform(np.concatenate(points))[:, None]
    assert not ((markers > drawn[:, :2]) & (markers < drawn[:, 2:])).all(axis=2).any()


def limits_hold(ax, points):
    x, y = np.sort(ax.get_xlim()), np.sort(ax.get_ylim())
    points = points[np.isfinite(points).all(axis=1)]
    return (points >= [x[0], y[0]]).all() and (points <= [x[1], y[1]]).all()


@pytest.mark.parametrize("levels", [5, 18, 60])
def test_limits_hold_every_marker_and_ellipse(levels):
    ax = shrinkage(*simulated(levels, rows=3))
    assert len(ax.lines) == 5  # alone, pooled, two ellipses, population
    assert all(limits_hold(ax, np.column_stack(line.get_data())) for line in ax.lines)


def test_of_many_levels_the_frame_holds_all_but_those_that_the_title_counts():
    model, posterior = simulated(500, rows=3)
    ax = shrinkage(model, posterior)
    assert limits_hold(ax, np.column_stack(line(ax, "partial").get_data()))
    alone = np.column_stack(line(ax, "own").get_data())
    assert len(alone) == 500
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    outside = (alone < [low, bottom]).any(axis=1) | (alone > [high, top]).any(axis=1)
    assert 0 < outside.sum() < 100
    assert f"\nown estimates of {outside.sum()} of 500 levels lie beyond the frame" in ax.get_title(
        loc="left"
    )
    unlimited = shrinkage(model, posterior, max_levels=None)
    assert limits_hold(unlimited, alone)
    assert unlimited.get_title(loc="left") == "Shrinkage by g"


def test_of_many_levels_the_most_extreme_are_named():
    model, posterior = simulated(500)
    ax = shrinkage(model, posterior)
    texts = names_in(ax)
    assert 5 <= len(texts) <= 10
    assert overlapping(boxes(texts)) == []
    pooled = np.column_stack(line(ax, "partial").get_data()) - [3.0, 1.0]
    assert f"{np.argmax((pooled**2).sum(axis=1)):03d}" in {text.get_text() for text in texts}
    assert len([item for item in ax.collections if isinstance(item, LineCollection)]) == 1


def test_the_names_asked_for_are_written():
    model, posterior = simulated(40)
    assert names_in(shrinkage(model, posterior, labels="none")) == []
    assert {text.get_text() for text in names_in(shrinkage(model, posterior, labels=["007", "031"]))} == {
        "007",
        "031",
    }
    assert len(names_in(shrinkage(model, posterior, labels="all"))) > 25


def test_effects_are_drawn_in_the_order_given():
    model, posterior = simulated(5)
    ax, reverse = shrinkage(model, posterior), shrinkage(model, posterior, effects=["x", "Intercept"])
    assert (reverse.get_xlabel(), reverse.get_ylabel()) == ("x (y)", "Intercept (y)")
    for label in ("own", "partial", "population"):
        np.testing.assert_allclose(line(reverse, label).get_data()[::-1], line(ax, label).get_data())
    np.testing.assert_allclose(line(reverse, "own").get_xdata(), line(ax, "own").get_ydata())


def test_the_ellipses_hold_half_and_nine_tenths_of_the_population():
    model, posterior = simulated(5)
    rng = np.random.default_rng(3)
    posterior["sd_g"][:] = [2.0, 0.5]
    posterior["cor_g"][..., 0, 1] = posterior["cor_g"][..., 1, 0] = 0.8
    ax = shrinkage(model, posterior)
    curves = [line for line in ax.lines if len(line.get_xdata()) > 100]
    centre = np.ravel(line(ax, "population").get_data())
    people = rng.multivariate_normal(centre, [[4.0, 0.8], [0.8, 0.25]], 20_000)
    inside = [
        mpl.path.Path(np.column_stack(curve.get_data())).contains_points(people).mean() for curve in curves
    ]
    np.testing.assert_allclose(inside, [0.5, 0.9], atol=0.012)  # 3.4 standard errors


def test_levels_without_an_estimate_of_their_own_are_counted():
    data = pd.DataFrame({"y": [0, 1, 1, 0] + [1] * 4 + [0] * 4, "g": np.repeat(["mixed", "all", "none"], 4)})
    model = hb.Model("y ~ 1 + (1 | g)", data, family="bernoulli")
    ax = shrinkage(model, posterior_of(model, [0.0]))
    (entry,) = [text.get_text() for text in ax.get_legend().get_texts() if text.get_text().startswith("own")]
    assert entry == "own rows alone (not estimable for 2 of 3 levels)"
    assert np.isfinite(line(ax, "own").get_xdata()).sum() == 1
    assert np.isfinite(line(ax, "partial").get_xdata()).sum() == 3
    assert len(ax.patches) == 1


# -- shrinkage in rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"slopes": False}, {"slopes": True}])
def test_one_effect_gives_a_row_a_level_ordered_by_the_pooled_estimate(options):
    model, posterior = simulated(18, **options)
    ax = shrinkage(model, posterior, effects="Intercept")
    table = shrinkage_table(model.spec, model.design, posterior, get_interval())
    table = table[table["effect"] == "Intercept"].sort_values("partial_pooling")
    np.testing.assert_allclose(line(ax, "own").get_xdata(), table["no_pooling"])
    np.testing.assert_allclose(line(ax, "partial").get_xdata(), table["partial_pooling"])
    assert tick_names(ax) == table["level"].tolist()
    segments = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(segments[:, :, 0], table[["lower", "upper"]])
    np.testing.assert_allclose(line(ax, "population").get_xdata(), table["population"].iloc[:2])
    (low, high) = ax.get_xlim()
    assert low < min(segments[..., 0].min(), table["no_pooling"].min())
    assert high > max(segments[..., 0].max(), table["no_pooling"].max())
    assert ax.get_xlabel() == "Intercept (y)"
    assert ax.get_title(loc="left") == "Shrinkage by g"
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["own rows alone", "partial pooling", f"its {get_interval()}", "population"]


def test_rows_of_many_levels_are_the_extremes_and_the_title_says_so():
    model, posterior = simulated(500, slopes=False)
    ax = shrinkage(model, posterior, max_levels=21)
    pooled = shrinkage_table(model.spec, model.design, posterior, get_interval()).sort_values(
        "partial_pooling"
    )
    assert tick_names(ax) == [*pooled["level"][:10], *pooled["level"][-11:]]
    assert ax.get_title(loc="left") == "Shrinkage by g\nthe 10 lowest and 11 highest of 500 levels"
    assert [text.get_text() for text in ax.texts] == ["479 levels between"]
    assert len(tick_names(shrinkage(model, posterior))) == 60
    assert len(tick_names(shrinkage(model, posterior, max_levels=None))) == 500


@pytest.mark.parametrize(
    ("levels", "options"), [(5, {}), (60, {}), (60, {"figsize": (5, 5)}), (500, {"max_levels": None})]
)
def test_row_names_do_not_overlap(levels, options):
    ax = shrinkage(*simulated(levels, slopes=False), **options)
    drawn = boxes(ax.get_yticklabels()[:60])
    assert (drawn[1:, 1] > drawn[:-1, 1]).all()
    assert (drawn[1:, 1] >= drawn[:-1, 3] - 1).all()


def test_long_row_names_are_whole_and_inside_the_figure():
    model, posterior = simulated(5, names=LONG, slopes=False)
    ax = shrinkage(model, posterior)
    assert sorted(tick_names(ax)) == sorted(LONG)
    drawn = boxes(ax.get_yticklabels())
    assert (drawn[:, :2] >= 0).all()
    assert overlapping(drawn) == []
    assert ax.get_window_extent().width > 0.5 * ax.figure.bbox.width


def test_the_axes_given_are_used():
    figure, axes = plt.subplots(1, 2)
    assert shrinkage(*simulated(5), ax=axes[0]) is axes[0]
    assert shrinkage(*simulated(5, slopes=False), ax=axes[1]) is axes[1]
    assert plt.get_fignums() == [figure.number]


# -- deviations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [5, 18])
def test_ranef_has_a_panel_an_effect_in_one_order(levels):
    model, posterior = simulated(levels)
    axes = plot_ranef(model.spec, posterior)
    assert axes.shape == (2,)
    r = posterior["r_g"].stack(sample=("chain", "draw"))
    order = np.argsort(r.mean("sample").to_numpy()[:, 0])
    assert tick_names(axes[0]) == [f"{level:03d}" for level in order]
    for place, (ax, effect) in enumerate(zip(axes, ("Intercept", "x"), strict=True)):
        draws = r.to_numpy()[order, place]
        np.testing.assert_allclose(line(ax, "posterior mean").get_xdata(), draws.mean(axis=1))
        assert ax.get_xlabel() == f"Deviation in {effect} (y)"
        assert 0 in ax.lines[0].get_xdata()
        assert ax.get_xlim()[0] < min(0, draws.mean(axis=1).min())
        assert ax.get_xlim()[1] > max(0, draws.mean(axis=1).max())
    assert axes[0].get_title(loc="left") == "Deviations by g"


@pytest.mark.parametrize("kind", ["eti", "hdi"])
def test_ranef_has_a_thick_and_a_thin_interval(kind):
    model, posterior = simulated(5)
    (ax,) = plot_ranef(model.spec, posterior, effects="x", prob=0.8, interval=kind)
    draws = posterior["r_g"].sel(g_effect="x").stack(sample=("chain", "draw")).to_numpy()
    draws = draws[np.argsort(draws.mean(axis=1))]
    for lines, prob in zip(ax.collections, (0.5, 0.8), strict=True):
        drawn = np.array(lines.get_segments())[..., 0]
        np.testing.assert_allclose(drawn, [getattr(array_stats, kind)(level, prob) for level in draws])
    assert ax.collections[0].get_linewidth() > ax.collections[1].get_linewidth()
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["posterior mean", f"50% {kind.upper()}", f"80% {kind.upper()}"]


def test_ranef_of_many_levels_shows_the_extremes_and_says_so():
    model, posterior = simulated(500)
    axes = plot_ranef(model.spec, posterior)
    means = posterior["r_g"].mean(("chain", "draw")).to_numpy()[:, 0]
    order = [f"{level:03d}" for level in np.argsort(means)]
    assert tick_names(axes[0]) == order[:30] + order[-30:]
    assert axes[0].get_title(loc="left") == "Deviations by g\nthe 30 lowest and 30 highest of 500 levels"


# -- words, and what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "link", "words"),
    [
        ("gaussian", None, "Intercept (y)"),
        ("lognormal", None, "Intercept (log y)"),
        ("gamma", "inverse", "Intercept (inverse mean of y)"),
        ("poisson", None, "Intercept (log mean of y)"),
        ("bernoulli", None, "Intercept (log odds of y)"),
        ("bernoulli", "probit", "Intercept (probit of y)"),
        ("bernoulli", "cloglog", "Intercept (complementary log-log of y)"),
    ],
)
def test_axis_labels_name_the_scale(family, link, words):
    y = [1, 0, 1, 0, 0, 1] if family in ("bernoulli", "poisson") else [1.0, 2.0, 1.5, 3.0, 2.5, 1.2]
    model = hb.Model("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": list("aabbcc")}), family=family, link=link)
    posterior = posterior_of(model, [1.5])
    assert shrinkage(model, posterior).get_xlabel() == words
    label = plot_ranef(model.spec, posterior)[0].get_xlabel()
    assert label.replace("\n", " ") == f"Deviation in {words}"


def test_a_response_of_two_words_says_which_one_is_counted():
    data = pd.DataFrame({"use": ["Y", "N"] * 3, "g": list("aabbcc")})
    model = hb.Model("use ~ 1 + (1 | g)", data, family="bernoulli")
    assert shrinkage(model, posterior_of(model, [0.0])).get_xlabel() == "Intercept (log odds of use = Y)"


def test_a_dollar_sign_in_a_name_is_no_mathematics():
    names = ["$a$ and $b$", "$5", "x_1", "y^2", "{"]
    model, posterior = simulated(5, names=names)
    ax = shrinkage(model, posterior)
    assert sorted(text.get_text() for text in names_in(ax)) == sorted(names)
    written = [ax.xaxis.label, ax.yaxis.label, *names_in(ax)]
    assert not any(text.get_parse_math() for text in written)
    axes = plot_ranef(model.spec, posterior)
    assert not any(text.get_parse_math() for text in axes[0].get_yticklabels())
    ax.figure.canvas.draw()
    axes[0].figure.canvas.draw()


def test_the_first_factor_is_drawn_unless_one_is_named():
    rng = np.random.default_rng(5)
    data = pd.DataFrame(
        {"y": rng.normal(size=60), "g": np.repeat(np.arange(6), 10), "h": np.tile(list("vwxyz"), 12)}
    )
    model = hb.Model("y ~ 1 + (1 | g) + (1 | h)", data)
    posterior = posterior_of(model, [0.0])
    assert shrinkage(model, posterior).get_title(loc="left") == "Shrinkage by g"
    assert sorted(tick_names(shrinkage(model, posterior, "h"))) == list("vwxyz")
    assert sorted(tick_names(plot_ranef(model.spec, posterior)[0])) == list("012345")
    for draw in (lambda: shrinkage(model, posterior, "c"), lambda: plot_ranef(model.spec, posterior, "c")):
        with pytest.raises(DataError, match=r"'c' is no grouping factor .* it has 'g', 'h'"):
            draw()


def test_a_model_without_groups_is_refused():
    model = hb.Model("Reaction ~ Days", hb.load_dataset("sleepstudy"))
    posterior = posterior_of(model, [250.0, 10.0])
    with pytest.raises(DataError, match="no grouping factor"):
        shrinkage(model, posterior)
    with pytest.raises(DataError, match="no grouping factor"):
        plot_ranef(model.spec, posterior)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effects": "z"}, r"'z', which does not vary by 'g'; its effects are 'Intercept', 'x'"),
        ({"effects": []}, "nothing that varies"),
        ({"labels": "some"}, "'auto', 'all', 'none' or a list"),
        ({"labels": ["999"]}, "'999', which is no level of 'g'"),
        ({"effects": "x", "max_levels": 1}, "2 or more"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_drawn(options, message):
    model, posterior = simulated(5)
    with pytest.raises(DataError, match=message):
        shrinkage(model, posterior, **options)
    assert plt.get_fignums() == []


def test_three_effects_have_no_plane():
    rng = np.random.default_rng(6)
    data = pd.DataFrame(rng.normal(size=(60, 3)), columns=["y", "x", "w"]).assign(
        g=np.repeat(np.arange(6), 10)
    )
    model = hb.Model("y ~ x + w + (x + w | g)", data)
    posterior = posterior_of(model, [0.0, 0.0, 0.0])
    assert shrinkage(model, posterior).get_ylabel() == "x (y)"
    assert len(plot_ranef(model.spec, posterior)) == 3
    with pytest.raises(DataError, match="one or two effects at a time"):
        shrinkage(model, posterior, effects=["Intercept", "x", "w"])


def test_drawing_leaves_the_settings_as_they_were():
    before, backend = dict(mpl.rcParams), mpl.get_backend()
    model, posterior = simulated(5)
    shrinkage(model, posterior)
    plot_ranef(model.spec, posterior)
    assert dict(mpl.rcParams) == before
    assert mpl.get_backend() == backend


def test_a_surface_is_the_expected_response_over_two_predictors(known_fit):
    rng = np.random.default_rng(4)
    rows = pd.DataFrame({"x": rng.normal(size=30), "z": rng.uniform(0, 5, 30), "f": np.tile(["a", "b"], 15)})
    rows["y"] = rng.normal(size=30)
    fit = known_fit(hb.Model("y ~ x * z + f", rows), {"b": [1.0, 2.0, 3.0, 0.5, -0.5]})
    ax = fit.plot_conditional_effects("x:z", surface=True)
    contours = next(c for c in ax.collections if hasattr(c, "zmin"))
    names = fit.spec.layout.main.coefficients
    b = dict(zip(names, [1.0, 2.0, 3.0, 0.5, -0.5], strict=True))
    corners = [
        b["Intercept"] + b["x"] * x + b["z"] * z + b["x:z"] * x * z
        for x in (rows["x"].min(), rows["x"].max())
        for z in (rows["z"].min(), rows["z"].max())
    ]
    np.testing.assert_allclose([contours.zmin, contours.zmax], [min(corners), max(corners)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "z")
    assert "at f = a" in ax.get_title(loc="left")
    for options, words in (
        ({"variable": "x"}, "over two predictors"),
        ({"variable": "x", "by": "f"}, "'f' is categorical"),
        ({"variable": "x", "by": "z", "at": {"f": ["a", "b"]}}, "hold it at one"),
    ):
        with pytest.raises(hb.DataError, match=words):
            fit.plot_conditional_effects(**options, surface=True)
