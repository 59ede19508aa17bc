"""New rows of series that training knows: what its residuals say of theirs."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.answers.draws import flatten

pytestmark = [  # any draws are predicted from, of any model
    pytest.mark.filterwarnings("ignore::hierbayes.SamplingWarning"),
    pytest.mark.filterwarnings("ignore:.few-levels"),
]
RNG = np.random.default_rng(8)
DATA = pd.DataFrame({"g": np.repeat(["a", "b", "c", "d"], 9), "t": np.tile(np.r_[1:6, 7:11], 4)})
DATA["x"] = RNG.normal(size=36)
DATA["h"] = DATA["g"].isin(["a", "b"]).astype(int)
DATA["y"] = 1 + DATA["x"] + np.repeat(RNG.normal(size=4), 9) + RNG.normal(size=36)
NEW = pd.DataFrame(
    {"g": ["c", "z", "a", "a", "c", "b"], "t": [11, 12, 6, 13, 6, 7], "x": np.linspace(-1, 1, 6)}
)
NEW["h"] = [0, 1, 1, 1, 0, 1]
CONTINUED = [0, 2, 3, 4]  # z is new; b was seen at time 7


def expected_of(fit: hb.Fit, mean: np.ndarray, old: np.ndarray, cor_of, sigma: np.ndarray):
    """Each draw's conditional mean and covariance of the rows of a and c, by the dense normal of all of them."""
    rows = pd.concat([DATA, NEW.iloc[CONTINUED]])
    same = rows["g"].to_numpy()[:, None] == rows["g"].to_numpy()
    apart = np.abs(np.subtract.outer(rows["t"].to_numpy(), rows["t"].to_numpy()))
    centres, covariances = [], []
    for draw in range(len(mean)):
        R = np.where(same, cor_of(draw, apart), 0.0) * sigma[draw] ** 2
        weights = np.linalg.solve(R[:36, :36], R[:36, 36:]).T
        centres.append(mean[draw, CONTINUED] + weights @ (DATA["y"].to_numpy() - old[draw]))
        covariances.append(R[36:, 36:] - weights @ R[:36, 36:])
    return np.array(centres), np.array(covariances)


@pytest.mark.parametrize(
    ("formula", "cor_of"),
    [
        ("y ~ x + ar(t, g)", lambda values: lambda draw, apart: values["ar"][draw] ** apart),
        (
            "y ~ x + (1 | g) + ar(t, g)",
            lambda values: lambda draw, apart: values["ar"][draw] ** apart,
        ),
        (
            "y ~ x + cosy(t, g)",
            lambda values: lambda draw, apart: np.where(apart == 0, 1.0, values["cosy"][draw]),
        ),
    ],
)
def test_new_times_are_the_dense_normals(formula, cor_of):
    fit = hb.fit(formula, DATA, seed=1, draws=500, progress=False)
    values = flatten(fit.spec, fit.posterior).values
    b = values["b"]
    mean, old = (b[:, :1] + b[:, 1:] * frame["x"].to_numpy() for frame in (NEW, DATA))
    if "r_g" in values:
        r = values["r_g"][..., 0]
        mean[:, CONTINUED] += r[:, [2, 0, 0, 2]]
        mean[:, 5] += r[:, 1]
        old = old + np.repeat(r, 9, axis=1)
    centre, covariance = expected_of(fit, mean, old, cor_of(values), values["sigma"])
    found = fit.predict(NEW, output="draws", seed=2).to_numpy().reshape(-1, 6)
    np.testing.assert_allclose(found[:, CONTINUED], centre, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found[:, 5], mean[:, 5], rtol=1e-10)
    if "r_g" not in values:
        np.testing.assert_allclose(found[:, 1], mean[:, 1], rtol=1e-10)
    table = fit.predict(NEW, seed=2)
    np.testing.assert_allclose(table["mean"], found.mean(axis=0), rtol=1e-10)
    y = fit.predict(NEW, kind="response", output="draws", seed=2).to_numpy().reshape(-1, 6)
    z = np.linalg.solve(np.linalg.cholesky(covariance), (y[:, CONTINUED] - centre)[..., None])[..., 0]
    assert np.abs(z.mean(axis=0)).max() < 4.5 / len(z) ** 0.5
    assert np.abs(z.T @ z / len(z) - np.eye(4)).max() < 4.5 * (2 / len(z)) ** 0.5


def test_what_does_not_belong_to_a_series_is_another():
    """The rows of one that training knows at their times, and what is predicted without groups or times."""
    fit = hb.fit("y ~ x + ar(t, g)", DATA, seed=1, draws=200, progress=False)
    again = NEW.assign(t=[1, 12, 2, 13, 6, 7])
    plain = fit.predict(NEW.drop(columns=["t"]), output="draws").to_numpy()
    np.testing.assert_allclose(fit.predict(again, output="draws").to_numpy()[..., :4], plain[..., :4])
    np.testing.assert_allclose(fit.predict(NEW, output="draws", groups="none").to_numpy(), plain)
    alone = fit.predict(NEW.iloc[[3]], output="draws").to_numpy()
    np.testing.assert_allclose(alone[..., 0], fit.predict(NEW, output="draws").to_numpy()[..., 3], rtol=1e-9)


def test_unstructured_times_that_a_series_lacked():
    lacking = DATA.drop(index=[3, 17])
    fit = hb.fit(
        "y ~ x + unstr(t, h)", lacking[lacking["g"].isin(["a", "c"])], seed=1, draws=200, progress=False
    )
    new = pd.DataFrame({"x": [0.0], "t": [4], "h": [1]})
    values = flatten(fit.spec, fit.posterior).values
    found = fit.predict(new, output="draws").to_numpy().ravel()
    series = fit.spec.layout.response.series
    own = lacking[lacking["g"] == "a"]
    b = values["b"]
    z = (own["y"].to_numpy() - b[:, :1] - b[:, 1:] * own["x"].to_numpy()) / values["sigma"][:, None]
    cor = series.correlations(values["cortime"])
    places = [list(series.labels).index(str(t)) for t in own["t"]]
    at = list(series.labels).index("4")
    for draw in range(0, len(found), 97):
        R = cor[draw]
        centre = R[at, places] @ np.linalg.solve(R[np.ix_(places, places)], z[draw])
        assert found[draw] == pytest.approx(b[draw, 0] + values["sigma"][draw] * centre, rel=1e-7)


def test_a_saved_fit_knows_the_past(tmp_path):
    fit = hb.fit("y ~ x + ar(t, g)", DATA, seed=1, draws=100, progress=False)
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(fit.predict(NEW, seed=3), again.predict(NEW, seed=3))
