"""Toeplitz correlations: which times they take, and that they are found again."""

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import toeplitz

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism.coordinates import space_of
from hierbayes.criticism.sensitivity import log_prior
from hierbayes.known_parameters import known_draws
from tests.structures.test_glmmtmb import marginal

COR = np.array([1.0, 0.7, 0.35, 0.3, 0.1])
SDS = np.array([0.5, 0.8, 1.0, 1.2, 1.5])


def simulated(levels: int, repeats: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    r = rng.multivariate_normal(np.zeros(5), SDS[:, None] * toeplitz(COR) * SDS, levels)
    frame = pd.DataFrame({"g": np.repeat(np.arange(levels), 5 * repeats)})
    frame["t"] = np.tile(np.repeat([2, 4, 6, 8, 10], repeats), levels)
    frame["y"] = 1 + r[frame["g"], frame["t"] // 2 - 1] + rng.normal(scale=0.4, size=len(frame))
    return frame


@pytest.fixture(scope="module")
def fit():
    return hb.fit("y ~ 1 + toep(0 + t | g)", simulated(300), seed=1, progress=False)


def test_truth_is_found(fit):
    summary = fit.summary()
    truth = {f"sd[g, t[{2 * k + 2}]]": sd for k, sd in enumerate(SDS)} | {"sigma": 0.4, "Intercept": 1.0}
    truth |= {f"cor[g, t[2], t[{2 * k + 2}]]": COR[k] for k in range(1, 5)}
    assert set(truth) == set(summary.index)
    for name, value in truth.items():
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"], name
    assert summary["r_hat"].max() < 1.02
    cor = fit.posterior["cor_g"].to_numpy()
    np.testing.assert_allclose(cor[..., 1, 3], cor[..., 0, 2], atol=1e-12)


def test_tables_and_criticism_know_the_lags(fit):
    table = fit.varcorr().reset_index()
    assert ("t[2]", "t[10]") in set(zip(table["effect"], table["effect2"], strict=True))
    draws = flatten(fit.spec, fit.posterior).thinned(50)
    assert np.isfinite(log_prior(fit.spec, draws)["cor"]).all()
    space = space_of(fit.spec, draws, {("mu", "g"): np.array([0])})
    back = space.at(space.points, slice(0, len(draws)))
    np.testing.assert_allclose(back.values["cor_g"], draws.values["cor_g"], atol=1e-9)


def test_times_between_or_beyond_are_refused(fit):
    for time in (5, 12):
        with pytest.raises(hb.DataError, match="correlations are those of training's times alone"):
            fit.predict(pd.DataFrame({"g": [0], "t": [time]}))
    assert len(fit.predict(pd.DataFrame({"g": [0, 999], "t": [4, 4]}))) == 2


def test_gaps_are_refused_with_the_way_out():
    frame = simulated(5).query("t != 6")
    with pytest.raises(hb.FormulaError, match=r"different distances, 2 to 4 and 4 to 8; ar1"):
        hb.Model("y ~ 1 + homtoep(0 + t | g)", frame)


def test_categories_stand_in_their_order():
    frame = simulated(5)
    frame["t"] = pd.Categorical(
        frame["t"].map(dict(zip([2, 4, 6, 8, 10], "vwabc", strict=True))), list("vwabc")
    )
    (factor,) = hb.Model("y ~ 1 + toep(0 + t | g)", frame).spec.layout.main.factors
    assert factor.effects == tuple(f"t[{c}]" for c in "vwabc")
    with pytest.raises(hb.FormulaError, match="categories in the order of time"):
        hb.Model("y ~ 1 + toep(0 + t | g)", frame.astype({"t": str}))


def test_one_sd_is_for_all():
    model = hb.Model("y ~ 1 + homtoep(0 + t | g)", simulated(5))
    assert list(model.priors["class"]).count("sd") == 1


# nlme's Orthodont: distances of 27 children at the ages of 8, 10, 12 and 14
ORTHODONT = """
26 25 29 31  21.5 22.5 23 26.5  23 22.5 24 27.5  25.5 27.5 26.5 27  20 23.5 22.5 26  24.5 25.5 27 28.5  22 22 24.5 26.5
24 21.5 24.5 25.5  23 20.5 31 26  27.5 28 31 31.5  23 23 23.5 25  21.5 23.5 24 28  17 24.5 26 29.5  22.5 25.5 25.5 26
23 24.5 26 30  22 21.5 23.5 25  21 20 21.5 23  21 21.5 24 25.5  20.5 24 24.5 26  23.5 24.5 25 26.5  21.5 23 22.5 23.5
20 21 21 22.5  21.5 22.5 23 25  23 23 23.5 24  20 21 22 21.5  16.5 19 19 19.5  24.5 25 28 28
"""


@pytest.mark.filterwarnings("ignore::hierbayes.DataWarning")  # as many effects as rows
def test_one_sd_is_nlmes_at_its_maximum():
    """An autoregression of order 3 has any Toeplitz correlations of four times; what a residual adds is one, too.

    nlme 3.1.162: m <- gls(distance ~ age, Orthodont, correlation = corARMA(form = ~1 | Subject, p = 3), method = "ML")
    logLik(m), coef(m), m$sigma, ARMAacf(coef(m$modelStruct$corStruct, unconstrained = FALSE), lag.max = 3)
    """
    distance = np.array(ORTHODONT.split(), dtype=float)
    frame = pd.DataFrame({"distance": distance, "child": np.repeat(np.arange(27), 4)})
    frame["age"] = np.tile([8, 10, 12, 14], 27)
    model = hb.Model("distance ~ age + homtoep(0 + age | child)", frame)
    b, sd, cor = (
        (16.7425129994676, 0.6658401391261),
        2.5421195754578,
        (0.699406970917, 0.732832013894, 0.553182439178),
    )
    found = marginal(model, b, 1e-5, sd, {"cor": cor})
    assert found == pytest.approx(-219.6290247770965, abs=1e-7)
    assert marginal(
        model, b, 0.5, (sd**2 - 0.25) ** 0.5, {"cor": np.array(cor) * sd**2 / (sd**2 - 0.25)}
    ) == (pytest.approx(found, abs=1e-7))
    for factor in (0.99, 1.01):
        assert marginal(model, b, 1e-5, sd * factor, {"cor": cor}) < found
        for lag in range(3):
            moved = np.array(cor)
            moved[lag] *= factor
            assert marginal(model, b, 1e-5, sd, {"cor": moved}) < found


def test_known_correlations_by_lag():
    model = hb.Model("y ~ 1 + toep(0 + t | g)", simulated(5))
    given = {f"sd[g, t[{t}]]": sd for t, sd in zip([2, 4, 6, 8, 10], SDS, strict=True)}
    given |= {"Intercept": 0, "sigma": 1, "cor[g, t[2], t[4]]": 0.5, "cor[g, t[2], t[6]]": 0.2}
    cor = known_draws(model.spec, given, seed=1).values["cor_g"][0]
    np.testing.assert_allclose(cor, toeplitz([1, 0.5, 0.2, 0, 0]), atol=1e-12)
    with pytest.raises(hb.DataError, match="contradict each other"):
        known_draws(model.spec, given | {"cor[g, t[2], t[6]]": -0.9}, seed=1)
