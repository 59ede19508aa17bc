"""Ranks and differences of levels, against the same counted draw by draw."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.answers.intervals import get_interval
from hierbayes.errors import DataError

RNG = np.random.default_rng(2)
LEVELS = [10, 2, 33, 4, 5, 61]
D = pd.DataFrame(
    {
        "y": RNG.normal(size=60),
        "x": RNG.normal(size=60),
        "g": np.repeat(LEVELS, 10),
        "h": np.tile(list("abcde"), 12),
    }
)
R = RNG.normal(size=(40, 6, 2)) + np.arange(6)[:, None] * [0.5, -0.5]


@pytest.fixture(scope="module")
def fit(known_fit):
    return known_fit(hb.Model("y ~ x + (x | g) + (1 | h)", D), {"r_g": R, "sd_g": [1.0, 1.0], "sigma": 1.0})


def test_ranks_of_every_level_and_effect(fit):
    table = fit.rank()
    assert table["level"].tolist() == sorted(LEVELS) * 2
    assert table["level"].dtype == np.int64
    for effect, place in (("Intercept", 0), ("x", 1)):
        rows = table[table["effect"] == effect]
        ranks = np.array([[1 + sum(draw < value) for value in draw] for draw in R[:, :, place]], dtype=float)
        lower, upper = get_interval().bounds(ranks)
        assert_allclose(rows[["mean", "lower", "upper"]], np.column_stack([ranks.mean(axis=0), lower, upper]))
        assert_allclose(rows["p_first"], (ranks == 1).mean(axis=0))
        assert_allclose(rows["p_last"], (ranks == 6).mean(axis=0))
    down = fit.rank(descending=True)
    assert_allclose(down["mean"], 7 - table["mean"])
    assert_allclose(down["p_first"], table["p_last"])
    slopes = table[table["effect"] == "x"].reset_index(drop=True)
    pd.testing.assert_frame_equal(fit.rank("g", effect="x"), slopes)


def test_all_pairs_and_chosen_ones(fit):
    table = fit.contrasts(effect="x")
    assert len(table) == 15
    row = table[(table["level_a"] == 4) & (table["level_b"] == 33)].iloc[0]
    difference = R[:, 1, 1] - R[:, 4, 1]  # the levels in order are 2, 4, 5, 10, 33, 61
    assert_allclose(row[["mean", "sd"]].astype(float), [difference.mean(), difference.std(ddof=1)])
    assert row["p_greater"] == np.mean(difference > 0)
    chosen = fit.contrasts("g", pairs=[(33, 4), (2, 61)])
    assert chosen[["level_a", "level_b", "effect"]].to_numpy().tolist() == [
        [33, 4, "Intercept"],
        [2, 61, "Intercept"],
        [33, 4, "x"],
        [2, 61, "x"],
    ]
    assert_allclose(chosen.loc[2, "mean"], -row["mean"])
    assert len(fit.contrasts("h", levels=["a", "c", "e"])) == 3
    draws = fit.contrasts("g", effect="x", pairs=[(4, 33)], output="draws")
    assert_allclose(draws.to_numpy().ravel(), difference)


def test_levels_at_values_of_the_predictors(fit):
    there = R[:, :, 0] + 3.0 * R[:, :, 1]
    table = fit.contrasts("g", pairs=[(4, 33)], at={"x": [0, 3.0]})
    assert list(table)[:4] == ["group", "level_a", "level_b", "x"]
    assert table["x"].tolist() == [0, 3.0]
    difference = there[:, 1] - there[:, 4]
    assert_allclose(table.loc[1, ["mean", "sd"]].astype(float), [difference.mean(), difference.std(ddof=1)])
    assert table.loc[1, "p_greater"] == np.mean(difference > 0)
    assert table.loc[0, "mean"] == pytest.approx(fit.contrasts("g", "Intercept", pairs=[(4, 33)])["mean"][0])
    league = fit.rank("g", at={"x": 3.0})
    assert_allclose(league["mean"], (np.argsort(np.argsort(there, axis=1), axis=1) + 1).mean(axis=0))
    rows = [{"x": [3.0], "g": [level]} for level in (4, 33)]
    assert fit.compare(*rows, groups="g")["p_greater"][0] == table.loc[1, "p_greater"]
    with pytest.raises(DataError, match="give one of them"):
        fit.rank("g", "x", at={"x": 0})
    with pytest.raises(DataError, match="at names 'z', which is no predictor"):
        fit.rank(at={"z": 0})


def test_what_at_leaves_open(known_fit):
    two = known_fit(hb.Model("y ~ x + z + (x + z | g)", D.assign(z=D["x"] ** 2)), {"sigma": 1.0})
    with pytest.raises(DataError, match="at leaves 'z' open, which varies by 'g'"):
        two.contrasts(at={"x": 0})


def test_levels_of_a_nested_factor_go_by_label_or_values(known_fit):
    nested = known_fit(hb.Model("y ~ 1 + (1 | g/h)", D), {"sigma": 1.0})
    joined, apart = (nested.contrasts("g:h", pairs=[pair]) for pair in (("4:a", "2:b"), ((4, "a"), (2, "b"))))
    pd.testing.assert_frame_equal(joined, apart)


def test_levels_that_tie_share_their_ranks(known_fit):
    tied = np.zeros((40, 6, 1))
    tied[:, 5] = 1.0
    table = known_fit(hb.Model("y ~ 1 + (1 | g)", D), {"r_g": tied, "sd_g": [0.0], "sigma": 1.0}).rank()
    assert table["mean"].tolist() == [3.0] * 5 + [6.0]
    assert table["p_first"].tolist() == pytest.approx([0.2] * 5 + [0.0])
    assert table["p_last"].tolist() == [0.0] * 5 + [1.0]


def test_requests_that_cannot_be_met(fit, known_fit):
    with pytest.raises(DataError, match="'k' is no grouping factor"):
        fit.rank("k")
    for answer in (fit.contrasts, fit.rank):
        with pytest.raises(DataError, match="'z' does not vary by 'g'; its effects are 'Intercept', 'x'"):
            answer(effect="z")
    with pytest.raises(DataError, match="pairs names 7, which is no level of 'g'"):
        fit.contrasts(pairs=[(4, 7)])
    with pytest.raises(DataError, match=r"pairs is a list of pairs of levels, such as \[\(a, b\)\]; got 4"):
        fit.contrasts(pairs=(4, 33))
    many = pd.DataFrame({"y": RNG.normal(size=404), "g": np.repeat(np.arange(101), 4)})
    fit = known_fit(hb.Model("y ~ 1 + (1 | g)", many), {"sigma": 1.0})
    with pytest.raises(DataError, match="101 levels of 'g' have 5050 pairs; name some"):
        fit.contrasts()
    assert len(fit.contrasts(levels=list(range(100)))) == 4950
