"""Groups that vary in parameters of ``nl()``: means averaged over new groups, and where the variance lies."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.answers.averaging import expect_of_several
from hierbayes.answers.draws import flatten
from hierbayes.errors import DataError, UnsupportedError
from tests.test_nonlinear import GROWTH, PRIORS

BOTH = GROWTH | {"asym": "~ 1 + (1 |a| seed)", "lrc": "~ 1 + (1 |a| seed)"}
AGES = np.array([3.0, 10.0, 25.0])


@pytest.fixture(scope="module")
def both():
    priors = PRIORS | {"lrc.sd": "Exponential(5)", "asym.sd": "Exponential(0.1)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.SamplingWarning)  # what is compared is the same in any draw
        return hb.fit(BOTH, _sources(), priors=priors, draws=100, chains=2, seed=1, progress=False)


def _sources() -> pd.DataFrame:
    """Forty sources whose asymptotes and rates differ, by correlated effects."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(40, 2))
    asym, lrc = 100 + 10 * z[:, 0], -2.5 + 0.2 * (0.5 * z[:, 0] + 0.75**0.5 * z[:, 1])
    rows = pd.MultiIndex.from_product([range(40), [3, 5, 10, 15, 20, 25]], names=["seed", "age"]).to_frame(
        index=False
    )
    own = rows["seed"].to_numpy()
    mean = asym[own] + (-8 - asym[own]) * np.exp(-np.exp(lrc[own]) * rows["age"])
    return rows.assign(height=mean + rng.normal(0, 3, len(rows)))


def _simulated(fit, some: slice, size: int = 40_000) -> np.ndarray:
    """Heights of new sources at three ages, in some draws: (draws, ages, size)."""
    values = {name: v[some] for name, v in flatten(fit.spec, fit.posterior).values.items()}
    z = np.random.default_rng(1).normal(size=(2, size))
    rho = values["cor_seed_a"][:, 0, 1][:, None]
    asym = values["b_asym"] + values["sd_asym_seed"] * z[0]
    lrc = values["b_lrc"] + values["sd_lrc_seed"] * (rho * z[0] + np.sqrt(1 - rho**2) * z[1])
    r0 = values["b_r0"][:, :, None]
    return asym[:, None] + (r0 - asym[:, None]) * np.exp(-np.exp(lrc)[:, None] * AGES[:, None])


def test_means_of_new_groups_are_those_of_simulated_ones(both):
    """Of correlated effects on two parameters; a row with a level that is known has its own."""
    rows = pd.DataFrame({"age": AGES, "seed": 99})
    found = both.predict(rows, groups="average", output="draws").to_numpy().reshape(-1, 3)
    some = slice(0, 200, 40)
    wanted = _simulated(both, some)
    errors = wanted.std(axis=2) / wanted.shape[2] ** 0.5
    assert (np.abs(found[some] - wanted.mean(axis=2)) < 4 * errors + 1e-9).all()
    # nothing but nonlinearity parts it from the mean of a group whose effects are 0, and 4 errors are far less
    typical = both.predict(rows, groups="none", output="draws").to_numpy().reshape(-1, 3)
    assert np.abs(typical - found)[:, 1].max() > 0.05
    known = pd.DataFrame({"age": AGES, "seed": 7})
    averaged = both.predict(known, new_levels="average", output="draws").to_numpy()
    assert_allclose(averaged, both.predict(known, output="draws").to_numpy())


def test_answers_over_new_groups(both):
    curve = both.conditional_effects("age", groups="average")
    assert (np.diff(curve["mean"]) > 0).all()
    assert np.isfinite(both.avg_slopes("age", groups="average")["mean"]).all()


def test_shares_of_the_variance_are_those_of_simulated_groups(both):
    found = both.icc(at={"age": AGES.tolist()}, output="draws").to_numpy().reshape(-1, 3)
    some = slice(0, 200, 40)
    between = _simulated(both, some).var(axis=2)
    sigma = flatten(both.spec, both.posterior).values["sigma"][some]
    assert_allclose(found[some], between / (between + sigma[:, None] ** 2), rtol=0.05)
    table = both.icc()
    assert table["group"].tolist() == ["seed"]
    assert table["scale"].tolist() == ["response"]
    parts = both.varcorr()
    assert parts.loc[parts["group"] == "seed", "share"].isna().all()  # two effects have no shares apart
    (residual,) = parts.loc[parts["group"] == "Residual", "share"]
    assert residual + table["mean"].iloc[0] == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(UnsupportedError, match="no variance on the link's scale"):
        both.icc(scale="latent")
    with pytest.raises(DataError, match="the mean's formula has no grouping factor"):
        both.shrinkage()


@pytest.mark.filterwarnings("ignore::hierbayes.SamplingWarning")  # what is compared is the same in any draw
def test_two_factors_and_their_parts():
    """An exactly additive expression: the shares are those of the model that is written without nl()."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=120), "g": np.arange(120) % 10, "h": rng.integers(0, 8, 120)})
    frame["y"] = 1 + frame["x"] + rng.normal(0, 1, 10)[frame["g"]] + rng.normal(0, 0.5, 8)[frame["h"]]
    frame["y"] += rng.normal(size=120)
    formulas = {"mu": "y ~ nl(a + b * x)", "a": "~ 1 + (1 | g)", "b": "~ 1 + (1 | h)"}
    priors = {"a.Intercept": "Normal(0, 3)", "b.Intercept": "Normal(0, 3)", "a.sd": "Exponential(1)"}
    priors |= {"b.sd": "Exponential(1)", "sigma": "Exponential(1)"}
    fit = hb.fit(formulas, frame, priors=priors, draws=100, chains=2, seed=1, progress=False)
    values = flatten(fit.spec, fit.posterior).values
    of_g, of_h = values["sd_a_g"][:, 0] ** 2, values["sd_b_h"][:, 0] ** 2 * float(np.mean(frame["x"] ** 2))
    total = of_g + of_h + values["sigma"] ** 2
    found = fit.icc(output="draws").to_numpy().reshape(len(total), -1)
    assert_allclose(found, np.column_stack([of_g, of_h, of_g + of_h]) / total[:, None], rtol=1e-6)
    table = fit.varcorr().set_index("group")["share"]
    assert_allclose(table[["g", "h"]], [(of_g / total).mean(), (of_h / total).mean()], rtol=1e-6)
    assert table.sum() == pytest.approx(1.0)


def test_what_has_no_average_is_refused():
    def reciprocal(u):
        return 1.0 / (0.5 + u[0])

    with pytest.raises(UnsupportedError, match="no average over groups' effects on k that can be found"):
        expect_of_several(reciprocal, np.full((1, 1, 4, 3), 1.0), ("k",))
    near = expect_of_several(reciprocal, np.full((1, 1, 4, 3), 1e-4), ("k",))
    assert_allclose(near, 2.0 * (1 + 4e-4), rtol=1e-5)
    with pytest.raises(UnsupportedError, match="at most 3 such parameters"):
        expect_of_several(lambda u: u[0], np.zeros((4, 4, 1, 1)), ("a", "b", "c", "d"))


def test_an_average_is_exact_where_it_is_known():
    """E exp(u + v) of two correlated normal numbers, one of which may have no variance."""
    covariance = np.array([[0.3, 0.1], [0.1, 0.2]])[:, :, None, None] * np.array([0.0, 1.0])
    covariance[1, 1] += 0.05
    found = expect_of_several(lambda u: np.exp(u[0] + u[1]), covariance, ("a", "b"))
    assert_allclose(found, np.exp(covariance.sum(axis=(0, 1)) / 2), rtol=1e-6)
