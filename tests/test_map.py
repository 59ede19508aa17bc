"""Effects of areas on a map."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import hierbayes as hb

mpl.use("Agg")  # before pyplot: these tests need no screen

import matplotlib.pyplot as plt

LEVELS = ["west", "middle", "east"]


@pytest.fixture
def fit(known_fit):
    rows = pd.DataFrame({"g": np.repeat(LEVELS, 2), "x": np.arange(6.0) % 2, "y": np.arange(6.0)})
    with pytest.warns(hb.DataWarning):
        model = hb.Model("y ~ x + (x || g)", rows)
    effects = {"west": [-1.0, 0.2], "middle": [0.25, 0.0], "east": [2.0, -0.1]}
    r = np.array([effects[level] for level in model.spec.layout.main.factors[0].levels.labels])
    values = {"b": [1.0, 0.5], "r_g": r, "sd_g": [1.0, 0.3], "sigma": 0.5}
    yield known_fit(model, values)
    plt.close("all")


@pytest.fixture
def shapes():
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    names = ["middle", "sea", "west", "east"]
    return geopandas.GeoDataFrame(
        {"name": names}, geometry=[box(x, 0, x + 1, 1) for x in (1, 5, 0, 2)], index=names
    )


def values_of(ax):
    """What the shapes of a map are coloured by."""
    return np.concatenate(
        [np.asarray(part.get_array()) for part in ax.collections if part.get_array() is not None]
    )


def test_shapes_have_the_colours_of_their_levels(fit, shapes):
    axes = fit.plot_map(shapes)
    assert axes.shape == (2, 2)
    means = fit.ranef()
    for row, effect in zip(axes, ("Intercept", "x"), strict=True):
        own = means[means["effect"] == effect].set_index("level").loc[["middle", "west", "east"]]
        np.testing.assert_allclose(values_of(row[0]), own["mean"])
        np.testing.assert_allclose(values_of(row[1]), own["sd"], atol=1e-12)
    low, high = axes[0, 0].collections[0].get_clim()
    assert -low == high == pytest.approx(2.0)


def test_levels_may_stand_in_a_column(fit, shapes):
    (row,) = fit.plot_map(shapes.reset_index(drop=True), on="name", effects="x")
    np.testing.assert_allclose(values_of(row[0]), [0.0, 0.2, -0.1], atol=1e-12)


def test_what_cannot_be_says_why(fit, shapes):
    with pytest.raises(hb.DataError, match="no shape for 'east' of 'g'"):
        fit.plot_map(shapes.drop(index="east"))
    with pytest.raises(hb.DataError, match="no column 'county'; it has 'name'"):
        fit.plot_map(shapes, on="county")
    with pytest.raises(hb.DataError, match="geometry is DataFrame"):
        fit.plot_map(pd.DataFrame({"name": LEVELS}))


def test_without_geopandas_the_way_out_is_said(fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(ImportError, match=r"hierbayes\[geo\]"):
        fit.plot_map(None)
