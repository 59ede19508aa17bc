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


@pytest.mark.filterwarnings("ignore:predictions go beyond")
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


@pytest.mark.filterwarnings("ignore:.alike-levels.")
def test_a_value_is_no_text(known_fit):
    """The number 1 and the text "1" may both be levels; a text that could be either is refused."""
    levels = [1, "1", "a", 2, "b", "c"]
    data = D.assign(g=pd.Series(np.repeat(np.array(levels, dtype=object), 10)), h=["a", "b"] * 30)
    r = np.arange(6.0)[:, None] * 10
    fit = known_fit(hb.Model("y ~ 1 + (1 | g)", data), {"r_g": r, "sd_g": [1.0], "sigma": 1.0})
    assert list(fit.spec.coords["g"]) == [1, 2, "1", "a", "b", "c"]
    pairs = [(1, 2), ("1", 2), ("1", 1), (2.0, "a"), ("2", 1)]
    assert fit.contrasts("g", pairs=pairs)["mean"].tolist() == [-10, 10, 20, -20, 10]
    joint = known_fit(hb.Model("y ~ 1 + (1 | g:h)", data), {"r_g:h": np.arange(12.0)[:, None], "sigma": 1.0})
    assert len(set(joint.spec.coords["g:h"])) == 12
    cells = joint.spec.layout.predictors["mu"].factors[0].levels.tuples
    first, second = cells.index((1, "a")), cells.index(("1", "a"))
    assert joint.contrasts(pairs=[((1, "a"), ("1", "a"))])["mean"][0] == first - second


OATS = "yield ~ nitro * Variety + (nitro | Block/Variety)"


@pytest.fixture(scope="module")
def oats_fit(known_fit):
    rng = np.random.default_rng(5)
    shapes = {"b": (6,), "r_Block": (6, 2), "r_Block:Variety": (18, 2)}
    draws = {name: 10 * rng.normal(size=(40, *shape)) for name, shape in shapes.items()}
    oats = hb.load_dataset("oats")
    model = hb.Model(OATS.replace("yield", oats.columns[-1]), oats)
    sds = {"sd_Block": [10.0, 10.0], "sd_Block:Variety": [10.0, 10.0]}
    cors = {"cor_Block": np.eye(2), "cor_Block:Variety": np.eye(2)}
    return known_fit(model, draws | sds | cors | {"sigma": 1.0})


def test_levels_at_a_cell_differ_by_all_of_its_factors(oats_fit):
    """The difference of two levels at values is that of their rows, the interaction's effects included."""
    varieties = sorted(set(oats_fit.data["Variety"]))
    table = oats_fit.contrasts("Block", pairs=[("I", "II")], at={"nitro": [0.2], "Variety": varieties})
    for variety, mean, sd in zip(table["Variety"], table["mean"], table["sd"], strict=True):
        rows = [{"nitro": [0.2], "Variety": [variety], "Block": [block]} for block in ("I", "II")]
        expected = oats_fit.compare(*rows, kind="linear")
        assert_allclose([mean, sd], expected[["mean", "sd"]].to_numpy()[0])
    assert table["mean"].nunique() == 3
    league = oats_fit.rank("Block", at={"nitro": 0.2, "Variety": varieties[1]})
    rows = {"nitro": 0.2, "Variety": varieties[1], "Block": sorted(set(oats_fit.data["Block"]))}
    linear = oats_fit.predict(pd.DataFrame(rows), kind="linear", output="draws").to_numpy().reshape(-1, 6)
    assert_allclose(league["mean"], (np.argsort(np.argsort(linear, axis=1), axis=1) + 1).mean(axis=0))
    cells = oats_fit.contrasts(
        "Block:Variety", pairs=[(("I", varieties[0]), ("II", varieties[1]))], at={"nitro": 0.4}
    )
    rows = [
        {"nitro": [0.4], "Variety": [v], "Block": [b]} for b, v in zip(("I", "II"), varieties, strict=False)
    ]
    assert_allclose(cells["mean"], oats_fit.compare(*rows, kind="linear")["mean"])


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ({"nitro": 0.2}, "open"),  # the varieties of a block differ
        ({"Variety": "Victory"}, "'nitro' open"),
        ({"nitro": 0.2, "Block": "I"}, "leave it out"),
        ({"nitro": 0.2, "weather": 1}, "'weather', which is no predictor"),
    ],
)
def test_what_at_cannot_hold(oats_fit, at, words):
    group = "Block:Variety" if at == {"nitro": 0.2} else "Block"
    if words == "open":
        assert len(oats_fit.contrasts(group, pairs=[(("I", "Victory"), ("II", "Victory"))], at=at)) == 1
        return
    with pytest.raises(DataError, match=words):
        oats_fit.contrasts(group, at=at)


def test_a_level_that_is_a_number_of_the_population_too(known_fit):
    """`year` as a predictor and as a grouping factor: both parts move with the level."""
    data = D.assign(year=np.repeat(np.arange(6.0), 10))
    r = RNG.normal(size=(40, 6, 1))
    fit = known_fit(
        hb.Model("y ~ x + year + (1 | year)", data), {"b": [1.0, 2.0, 3.0], "r_year": r, "sigma": 1.0}
    )
    found = fit.contrasts("year", pairs=[(4.0, 1.0)], at={"x": 0.0})
    assert_allclose(found["mean"], 9 + (r[:, 4] - r[:, 1]).mean())
    crossed = known_fit(hb.Model("y ~ x * year + (1 | year)", data), {"sigma": 1.0, "b": [0, 0, 0, 1.0]})
    assert crossed.contrasts("year", pairs=[(4.0, 1.0)], at={"x": 2.0})["mean"][0] == pytest.approx(6.0)
    data = data.assign(w=data["x"] ** 2)
    open_product = known_fit(hb.Model("y ~ x * year + w + (1 | year)", data), {"sigma": 1.0})
    with pytest.raises(DataError, match="'x:year' open"):
        open_product.contrasts("year", at={"w": 1.0})


def test_levels_of_another_parameters_formula(known_fit):
    model = hb.Model({"mu": "y ~ x", "sigma": "~ x + (x | g)"}, D)
    fit = known_fit(model, {"r_sigma_g": R, "sd_sigma_g": [1.0, 1.0], "b_sigma": [0.1, 0.2]})
    table = fit.contrasts(pairs=[(10, 2)], effect="x", parameter="sigma")
    order = sorted(LEVELS)
    ten, two = order.index(10), order.index(2)
    assert_allclose(table["mean"], (R[:, ten, 1] - R[:, two, 1]).mean())
    at = fit.contrasts(pairs=[(10, 2)], at={"x": 2.0}, parameter="sigma")
    assert_allclose(at["mean"], (R[:, ten] - R[:, two]).mean(axis=0) @ [1.0, 2.0])
    first = fit.rank(effect="Intercept", parameter="sigma")["p_first"]
    assert_allclose(first, (R[:, :, 0].argmin(axis=1)[:, None] == np.arange(6)).mean(axis=0))
    panels = fit.plot_ranef(parameter="sigma")
    assert panels[1].get_xlabel() == "Deviation in x (sigma, log scale)"
    with pytest.raises(DataError, match=r"take parameter='sigma'"):
        fit.rank()
    with pytest.raises(DataError, match="'phi' is no parameter with a formula"):
        fit.rank(parameter="phi")
