"""Survival curves: the probability of more than a time."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.answers.intervals import Interval
from hierbayes.criticism.survival import kaplan_meier, survival_beside

KIDNEY = hb.load_dataset("kidney")
NEW = pd.DataFrame({"age": [45, 30], "sex": ["female", "male"], "patient": ["3", None]}, index=["a", "b"])


@pytest.fixture(scope="module")
def weibull():
    formula = "time | cens(1 - status) ~ age + sex + (1 | patient)"
    return hb.fit(formula, KIDNEY, family="weibull", draws=4000, seed=1, progress=False)


def test_it_is_the_share_above_the_time_in_every_draw(weibull):
    found = weibull.survival([180, 30], NEW, groups="none", output="draws")
    assert found.dims == ("chain", "draw", "__obs__", "time")
    assert found["time"].to_numpy().tolist() == [30.0, 180.0]
    mean = np.exp(weibull.predict(NEW, kind="linear", groups="none", output="draws").to_numpy())
    shape = weibull.posterior["shape"].to_numpy()[..., None]
    for time in (30.0, 180.0):
        exact = stats.weibull_min.sf(time, shape, scale=mean / special.gamma(1 + 1 / shape))
        assert_allclose(found.sel(time=time).to_numpy(), exact, rtol=1e-9, atol=1e-15)


def test_a_table_has_a_row_a_row_and_time(weibull):
    table = weibull.survival([0, 30, 180], NEW, seed=3)
    assert table.index.names == [None, "time"]
    assert list(table.index)[:4] == [("a", 0.0), ("a", 30.0), ("a", 180.0), ("b", 0.0)]
    assert (table.xs(0.0, level="time")["mean"] == 1).all()
    drawn = weibull.survival([0, 30, 180], NEW, seed=3, output="draws").to_numpy()
    assert_allclose(table["mean"], drawn.mean(axis=(0, 1)).ravel())
    responses = weibull.predict(NEW, kind="response", seed=3, output="draws").to_numpy() > 30
    error = np.sqrt(responses.mean((0, 1)) / responses[..., 0].size)
    assert np.all(np.abs(drawn[..., 1].mean((0, 1)) - responses.mean((0, 1))) < 4.5 * error)


def test_counts_have_it_too():
    data = hb.load_dataset("epilepsy")
    fit = hb.fit("count ~ Trt", data, family="poisson", seed=1, progress=False)
    found = fit.survival([3, 3.5], data.iloc[:2], output="draws").to_numpy()
    mean = fit.predict(data.iloc[:2], output="draws").to_numpy()
    assert_allclose(found[..., 0], stats.poisson.sf(3, mean), rtol=1e-9)
    assert_allclose(found[..., 1], found[..., 0])


def test_what_is_refused(weibull):
    for times in ([], "soon", [np.nan], [np.inf]):
        with pytest.raises(hb.DataError, match="times must be one number or several"):
            weibull.survival(times)
    cbpp = hb.load_dataset("cbpp")
    fit = hb.fit("incidence | trials(size) ~ 1", cbpp, family="binomial", seed=1, progress=False)
    with pytest.raises(hb.UnsupportedError, match="is the probability that a number is more than a time"):
        fit.survival([1])


# -- beside the responses ------------------------------------------------------------------------------------------

# library(survival); summary(survfit(Surv(time, status) ~ 1, kidney, conf.type = "log-log"), times = …)
SURVFIT = {
    8: (0.9312453669385, 0.842612217469, 0.970804801690),
    30: (0.6448711426190, 0.517588712654, 0.746589218171),
    152: (0.3332428563833, 0.216792786070, 0.453909214144),
    447: (0.0630081030977, 0.016792088999, 0.154123244851),
    562: (0.0, np.nan, np.nan),
}


def test_kaplan_and_meiers_estimate_is_survfits():
    time, right = KIDNEY["time"].to_numpy(float), KIDNEY["status"].to_numpy() == 0
    found = kaplan_meier(time, right, None, 0.95)
    assert (np.diff(found.times) > 0).all()
    for at, expected in SURVFIT.items():
        place = np.searchsorted(found.times, at, side="right") - 1
        row = found.survival[place], found.lower[place], found.upper[place]
        assert_allclose(row, expected, rtol=1e-9, atol=1e-15)
    assert found.censored.tolist() == sorted(set(KIDNEY["time"][right]))


def test_a_weight_is_so_many_rows():
    time, right = np.array([1.0, 2.0, 2.0, 4.0]), np.array([False, False, True, False])
    weights = np.array([1, 2, 3, 0])
    found = kaplan_meier(time, right, weights.astype(float), 0.9)
    repeated = kaplan_meier(np.repeat(time, weights), np.repeat(right, weights), None, 0.9)
    for name in ("times", "survival", "lower", "upper", "censored"):
        assert_allclose(getattr(found, name), getattr(repeated, name))


def test_what_the_model_expects_is_the_rows_mean(weibull):
    interval = Interval(0.9, "eti")
    design, posterior = weibull.model.design, weibull.posterior
    observed, expected = survival_beside(weibull.model.spec, design, posterior, 400, interval)
    assert observed.times.size > 40
    some = posterior.isel(draw=np.linspace(0, posterior.sizes["draw"] - 1, 100).round().astype(int))
    draws = weibull.survival(expected.times[[20, 60]], output="draws").sel(draw=some["draw"])
    assert_allclose(draws.mean(("chain", "draw", "__obs__")), expected.mean[[20, 60]], rtol=1e-9)
    assert_allclose(
        draws.mean("__obs__").quantile(0.05, ("chain", "draw")), expected.lower[[20, 60]], rtol=1e-6
    )
    assert expected.mean[0] == 1.0


def test_pictures_of_censored_responses(weibull):
    ax = weibull.plot_ppc("survival")
    (step,) = (line for line in ax.lines if line.get_label() == "Kaplan–Meier")
    assert step.get_ydata()[0] == 1.0
    assert step.get_ydata()[-1] == 0.0
    (ticks,) = (line for line in ax.lines if line.get_label() == "censored")
    assert len(ticks.get_xdata()) == KIDNEY.loc[KIDNEY["status"] == 0, "time"].nunique()
    assert ax.get_xlabel() == "time"
    plt.close("all")
    with pytest.raises(hb.UnsupportedError, match=r"plot_ppc\('survival'\) lays their survival beside"):
        weibull.plot_ppc()


def test_points_of_censored_responses_say_to_which_side_they_are(weibull):
    seen = int((KIDNEY["status"] == 1).sum())
    ax = weibull.plot_conditional_effects("age")
    drawn = {line.get_label(): line for line in ax.lines}
    assert len(drawn["data"].get_xdata()) == seen
    censored = drawn["data: more than this"]
    assert sorted(censored.get_ydata()) == sorted(KIDNEY.loc[KIDNEY["status"] == 0, "time"])
    assert censored.get_marker() == "^"
    axes = weibull.plot_groups("patient", "age", levels=["1", "2"])
    for panel, patient in zip(axes, ("1", "2"), strict=True):
        own = KIDNEY[KIDNEY["patient"].astype(str) == patient]
        lines = {line.get_label(): line for line in panel.lines}
        assert len(lines["data"].get_xdata()) == (own["status"] == 1).sum()
        assert len(lines["data: more than this"].get_xdata()) == (own["status"] == 0).sum()
    plt.close("all")


def test_survival_of_what_is_left_censored_or_truncated_is_refused():
    rows = KIDNEY.assign(how=np.where(KIDNEY["time"] < 20, "left", "none"))
    for response in ("time | cens(how)", "time | trunc(lb=1)"):
        fit = hb.fit(f"{response} ~ age", rows, family="weibull", seed=1, progress=False)
        with pytest.raises(hb.UnsupportedError, match="exact or censored on the right"):
            fit.plot_ppc("survival")
        assert len(fit.plot_check()) in (3, 4)
        plt.close("all")
