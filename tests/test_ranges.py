"""Beyond the training rows: what warns, what stays within, and slopes where there are none."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.errors import DataError, DataWarning

RNG = np.random.default_rng(4)
N = 60
D = pd.DataFrame(
    {
        "temp": np.linspace(1.0, 30.0, N),
        "x": RNG.permutation(np.linspace(0.0, 9.0, N)),
        "g": np.repeat([f"g{i}" for i in range(6)], 10),
        "y": RNG.normal(size=N),
    }
)


@pytest.fixture
def fit(known_fit):
    return known_fit(hb.Model("y ~ bs(temp, df=4) + x + (x | g)", D), {"sd_g": [1, 1], "sigma": 1.0})


def silent(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        return function(*arguments, **options)


def test_a_spline_beyond_its_data_warns_whoever_asks(fit):
    rows = {"temp": [1.0, 30.0, 30.5], "x": 3.0, "g": "g1"}
    message = r"'temp' reaches 30.5 in 1 of 3 rows, and training had 1 to 30 \(no data hold its curve bs\(temp, df=4\)"
    for ask in (fit.predict, lambda rows: fit.compare(rows, rows | {"x": 2.0}), fit.avg_predictions):
        with pytest.warns(DataWarning, match="beyond the training rows: 'temp' reaches"):
            ask(rows)
    with pytest.warns(DataWarning, match=message):
        fit.predict(rows)
    silent(fit.predict, {"temp": [1.0, 30.0], "x": 3.0, "g": "g1"})
    with pytest.warns(DataWarning, match="'temp' reaches"):  # a step up from the highest row
        fit.avg_comparisons("temp")


def test_a_line_may_go_its_own_width_beyond_its_data_and_a_grid_not_at_all(fit):
    silent(fit.predict, {"temp": 3.0, "x": [-9.0, 18.0], "g": "g1"})
    with pytest.warns(
        DataWarning, match=r"'x' reaches -9.1 and 18.1 in 2 of 3 rows, and training had 0 to 9 \(the m"
    ):
        fit.predict({"temp": 3.0, "x": [-9.1, 4, 18.1], "g": "g1"})
    silent(fit.conditional_effects, "x")
    silent(fit.avg_slopes)
    for beyond in (
        lambda: fit.conditional_effects("x", at={"x": [0, 10]}),
        lambda: fit.plot_conditional_effects("temp", at={"x": 10}),
        lambda: fit.icc(at={"x": [0, 10]}),
        lambda: fit.contrasts(at={"temp": 3, "x": 10}),
    ):
        with pytest.warns(DataWarning, match=r"'x' reaches 10 in .* training had 0 to 9"):
            beyond()


def test_an_offset_has_no_range(known_fit):
    counts = D.assign(n=RNG.poisson(3, N), days=RNG.uniform(1, 2, N))
    fit = known_fit(hb.Model("n ~ x + offset(log(days))", counts, family="poisson"), {})
    silent(fit.predict, {"x": 3.0, "days": [1000.0]})


def test_ranges_are_learnt_of_rows_in_parts_and_of_saved_rows(tmp_path, fit):
    D.to_csv(tmp_path / "rows.csv", index=False)
    parts = hb.Model("y ~ I(x**2) + temp + (1 | g)", tmp_path / "rows.csv", progress=False)
    known = hb.Model("y ~ I(x**2) + temp + (1 | g)", D).spec.layout.ranges
    assert dict(parts.spec.layout.ranges) == dict(known)
    assert (known["x"].low, known["x"].high, known["temp"].high) == (0.0, 9.0, 30.0)
    fit.save(tmp_path / "fit.nc")
    with pytest.warns(DataWarning, match="'temp' reaches 31"):
        hb.load(tmp_path / "fit.nc").predict({"temp": [31.0], "x": 3.0, "g": "g1"})


def test_lines_of_a_level_stay_within_its_own_rows(fit):
    axes = fit.plot_groups(x="x")
    own = D.groupby("g")["x"]
    for ax, low, high in zip(axes, own.min(), own.max(), strict=True):
        line = next(line for line in ax.lines if line.get_label() == "level")
        assert_allclose((line.get_xdata()[0], line.get_xdata()[-1]), (low, high))


def test_a_level_with_one_value_is_a_point(known_fit):
    data = D.assign(x=np.where(D["g"] == "g2", 4.0, D["x"]))
    fit = known_fit(hb.Model("y ~ x + (1 | g)", data), {"sd_g": [1], "sigma": 1.0})
    level = next(line for line in fit.plot_groups(x="x")[2].lines if line.get_label() == "level")
    assert (list(level.get_xdata()), level.get_marker()) == ([4.0], "o")


def test_a_step_has_no_slope(known_fit):
    step = known_fit(hb.Model("y ~ x + I(temp >= 15)", D), {"b": [0, 1, 5.0], "sigma": 1.0})
    with pytest.raises(
        DataError, match=r"'temp' enters by a step, temp >= 15, .*avg_comparisons\(\{'temp': \(from, to\)"
    ):
        step.avg_slopes("temp")
    with pytest.warns(DataWarning, match="slopes are of x alone: 'temp' enters by a step"):
        assert step.avg_slopes()["term"].tolist() == ["x"]
    assert step.avg_comparisons({"temp": (14, 16)})["mean"].iloc[0] == pytest.approx(5.0)
    floored = known_fit(hb.Model("y ~ np.floor(temp)", D), {"sigma": 1.0})
    with pytest.raises(DataError, match=r"'temp' enters by a step, np.floor\(temp\)"):
        floored.slopes()


# -- where the rest is held -------------------------------------------------------------------------------------


def test_tables_and_pictures_say_where_the_others_are_held(fit):
    assert fit.conditional_effects("temp").attrs["held"] == {"x": pytest.approx(4.5)}
    assert fit.conditional_effects("temp", output="draws").attrs["held"] == {"x": pytest.approx(4.5)}
    assert "at x = 4.5" in fit.plot_conditional_effects("temp").get_title(loc="left")


def test_counts_are_carried_to_the_exposure_of_the_curve(known_fit):
    counts = D.assign(n=RNG.poisson(3, N).astype(float), days=np.linspace(1, 9, N))
    fit = known_fit(hb.Model("n ~ x + offset(log(days))", counts, family="poisson"), {})
    ax = fit.plot_conditional_effects("x", at={"days": 1})
    rates = next(line for line in ax.lines if line.get_label() == "data carried to days = 1")
    assert_allclose(rates.get_ydata(), counts["n"] / counts["days"])
    ax = fit.plot_conditional_effects("x", at={"days": [1, 2]})
    assert "no data are drawn: the curves differ in days" in ax.get_title(loc="left")
    assert not [line for line in ax.lines if line.get_label().startswith("data")]


def test_what_a_picture_is_to_show_is_checked(fit):
    with pytest.raises(
        DataError, match="show names 'mean'; beside the curve it takes expected, predictive, data"
    ):
        fit.plot_conditional_effects("x", show=("mean",))
