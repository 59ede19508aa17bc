"""What looking at the rows tells before sampling: slopes, pairs of factors, offsets; every code is documented."""

import ast
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb

ROOT = Path(hb.__file__).parent
RNG = np.random.default_rng(17)


def found(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        return list(hb.Model(formula, data, **options).check())


def codes(formula, data, **options):
    return [finding.code for finding in found(formula, data, **options)]


# -- categories ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "family", "y", "words"),
    [
        ("y ~ w + (1 | g)", "bernoulli", 0, "is 0 in every row"),
        ("y ~ w + (1 | g)", "bernoulli", 1, "as large as it can be"),
        ("y | trials(n) ~ w + (1 | g)", "binomial", 5, "as large as it can be"),
        ("y ~ w + (1 | g)", "poisson", 0, "is 0 in every row"),
    ],
)
def test_a_response_at_one_end(formula, family, y, words):
    (finding,) = found(formula, levels(12, 5).assign(y=y, n=5), family=family)
    assert finding.code == "constant-response"
    assert words in finding.found


def test_a_response_inside_its_range():
    assert codes("y | trials(n) ~ w + (1 | g)", levels(12, 5).assign(y=3, n=5), family="binomial") == []
    assert codes("y ~ w + (1 | g)", levels(12, 5).assign(y=1), family="poisson") == []


def test_numbers_stored_as_text_and_labels_as_predictors():
    n = 60
    frame = levels(12, 5).assign(
        text=[f"{v:.2f}" for v in RNG.normal(size=n)], name=[f"id{i}" for i in range(n)]
    )
    (finding,) = found("y ~ text + (1 | g)", frame)
    assert finding.code == "numbers-as-text"
    assert "'text' is text whose values are numbers" in finding.found
    (finding,) = found("y ~ name + (1 | g)", frame)
    assert finding.code == "many-categories"
    assert "59 coefficients, one a value, for 60 rows" in finding.found
    wave = frame.assign(wave=[str(i % 4) for i in range(n)])  # codes are few
    assert codes("y ~ wave + kind + (1 | g)", wave) == []
    assert codes("y ~ C(x) + (1 | g)", frame.assign(x=np.arange(n) % 20)) == []  # asked for


# -- slopes -------------------------------------------------------------------------------------------------------


def levels(number, rows):
    """Rows of `number` levels: x varies in the first three only, each level has one kind."""
    code = np.repeat(np.arange(number), rows)
    n = len(code)
    return pd.DataFrame(
        {
            "y": RNG.normal(size=n),
            "g": [f"g{c}" for c in code],
            "x": np.where(code < 3, RNG.normal(size=n), 1.0 * (code % 2)),
            "w": RNG.normal(size=n),
            "kind": np.where(code % 2 == 0, "even", "odd"),
            "count": RNG.poisson(3, n),
        }
    )


def test_a_slope_that_few_levels_show():
    (finding,) = found("y ~ x + (x | g)", levels(12, 5))
    assert finding.code == "few-slopes"
    assert "'x' varies within only 3 of the 12 levels of 'g'" in finding.found
    assert codes("y ~ w + (w | g)", levels(12, 5)) == []
    assert codes("y ~ x + (1 | g)", levels(12, 5)) == []


def test_as_many_effects_as_rows():
    (finding,) = found("y ~ w + (w | g)", levels(12, 2))
    assert finding.code == "more-effects-than-rows"
    assert "24 effects (12 levels, 2 each) for 24 rows" in finding.found
    assert codes("count ~ w + (w | g)", levels(12, 2), family="poisson") == []  # a count has no residual sd
    assert codes("y ~ w + (w | g)", levels(12, 3)) == []


def test_a_row_a_level_where_the_spread_is_known():
    frame = levels(30, 1).assign(se=1.5)
    assert codes("y ~ 1 + (1 | g)", frame) == ["one-row-a-level"]
    assert codes({"mu": "y ~ 1 + (1 | g)", "sigma": "~ 0 + offset(log(se))"}, frame) == []  # a meta-analysis
    assert codes("y ~ 1 + (1 | g)", frame, priors={"sigma": "Fixed(1.5)"}) == []
    assert codes({"mu": "y ~ 1 + (1 | g)", "sigma": "~ w"}, frame) == ["one-row-a-level"]


def test_a_correlation_that_no_level_shows():
    (finding,) = found("y ~ kind + (0 + kind | g)", levels(12, 5))
    assert finding.code == "correlation-unseen"
    assert "'kind[even]' and 'kind[odd]'" in finding.found
    crossed = levels(12, 6).assign(kind=np.tile(["even", "odd"], 36))
    assert codes("y ~ kind + (0 + kind | g)", crossed) == []
    assert codes("y ~ kind + (0 + kind || g)", levels(12, 5)) == []


# -- pairs of factors ---------------------------------------------------------------------------------------------


def classes(sizes, pupils, labels="123456789"):
    """Pupils of classes that are numbered anew in every school."""
    rows = [
        (f"school {s:02d}", labels[c], f"school {s:02d}.{c}")
        for s, size in enumerate(sizes)
        for c in range(size)
        for _ in range(pupils)
    ]
    frame = pd.DataFrame(rows, columns=["school", "room", "unique"])
    return frame.assign(y=RNG.normal(size=len(frame)))


UNEVEN, EVEN = [2, 3, 4, 2, 5, 3, 4, 6, 5, 2], [5] * 12


@pytest.mark.parametrize(
    ("sizes", "pupils", "labels"),
    [(UNEVEN, 4, "123456789"), (EVEN, 3, "abcdefghi"), (UNEVEN, 1, "012345678")],
)
def test_classes_numbered_anew_in_every_school(sizes, pupils, labels):
    (finding,) = found("y ~ 1 + (1 | school) + (1 | room)", classes(sizes, pupils, labels))
    assert finding.code == "nested-labels"
    assert "'room'" in finding.found
    assert f"({', '.join(labels[:3])}, …)" in finding.found
    assert "(1 | school/room)" in finding.advice
    assert finding.question == (sizes == EVEN)


def test_a_question_is_no_warning():
    """Where every combination has rows, a crossed design looks the same; that is reported on request alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = hb.Model("y ~ 1 + (1 | school) + (1 | room)", classes(EVEN, 3))
    assert [finding.code for finding in model.check()] == ["nested-labels"]
    with pytest.warns(hb.DataWarning, match="nested-labels"):
        hb.Model("y ~ 1 + (1 | school) + (1 | room)", classes(UNEVEN, 4))


def test_numbered_classes_as_integers_are_seen_too():
    frame = classes(UNEVEN, 4)
    assert codes("y ~ 1 + (1 | school) + (1 | room)", frame.assign(room=frame["room"].astype(int))) == [
        "nested-labels"
    ]


@pytest.mark.parametrize(
    ("formula", "frame"),
    [
        ("y ~ 1 + (1 | school/room)", classes(UNEVEN, 4)),  # nested as written
        ("y ~ 1 + (1 | school) + (1 | unique)", classes(UNEVEN, 4)),  # labels of their own
        ("y ~ 1 + (1 | school) + (1 | room)", classes([6] * 24, 1, "abcdef")),  # penicillin: one row a cell
    ],
)
def test_sound_pairs_of_factors_have_no_findings(formula, frame):
    assert codes(formula, frame) == []


def test_items_that_subjects_answered_in_part_are_crossed():
    frame = classes([40] * 30, 1, [f"item {i}" for i in range(40)]).sample(frac=0.5, random_state=1)
    assert codes("y ~ 1 + (1 | school) + (1 | room)", frame) == []


def test_two_names_of_one_grouping():
    frame = classes(EVEN, 3).assign(number=lambda d: d["school"].str[-2:].astype(int))
    (finding,) = found("y ~ 1 + (1 | school) + (1 | number)", frame)
    assert finding.code == "same-groups"
    assert "'school' and 'number' divide the rows in the same way" in finding.found


def test_structure_tells_nested_from_crossed():
    frame = classes(UNEVEN, 4)
    table = hb.Model("y ~ 1 + (1 | school) + (1 | unique)", frame).structure()
    assert table.to_dict("records") == [
        {"factor": "unique", "relation": "nested in", "other": "school", "pairs": 36, "possible": 360}
    ]
    crossed = classes([6] * 24, 1, "abcdef")
    table = hb.Model("y ~ 1 + (1 | school) + (1 | room)", crossed).structure()
    assert table["relation"].to_list() == ["crossed"]
    table = hb.Model("y ~ 1 + (1 | school) + (1 | room)", crossed.iloc[3:]).structure()
    assert table["relation"].to_list() == ["partly crossed"]
    assert table["pairs"].to_list() == [141]
    assert hb.Model("y ~ 1 + (1 | school)", frame).structure().empty


# -- offsets ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exposed():
    hours = RNG.uniform(1, 30, 200)
    return pd.DataFrame(
        {
            "hours": hours,
            "lhours": np.log(hours * 50),
            "y": RNG.poisson(0.5 * hours),
            "x": RNG.normal(size=200),
        }
    )


@pytest.mark.parametrize("family", ["poisson", "negbinomial"])
def test_an_exposure_that_is_not_logged(exposed, family):
    (finding,) = found("y ~ x + offset(hours)", exposed, family=family)
    assert finding.code == "offset-not-logged"
    assert "offset(log(hours))" in finding.advice


@pytest.mark.parametrize("offset", ["log(hours)", "lhours"])
def test_a_logged_exposure_is_sound(exposed, offset):
    assert codes(f"y ~ x + offset({offset})", exposed, family="poisson") == []


def test_offsets_of_other_links_are_as_they_are(exposed):
    assert codes("y ~ x + offset(hours)", exposed) == []


# -- trials -------------------------------------------------------------------------------------------------------


def test_single_trials_say_nothing_of_how_trials_vary_together(exposed):
    frame = exposed.assign(n=np.resize([0, 1], 200), k=np.resize([0, 0, 0, 1], 200))
    (finding,) = found("k | trials(n) ~ x", frame, family="betabinomial")
    assert finding.code == "one-trial-a-row"
    assert "phi" in finding.found
    assert codes("k | trials(n) ~ x", frame, family="binomial") == []
    assert codes("k | trials(n) ~ x", frame.assign(n=np.resize([1, 2], 200)), family="betabinomial") == []


# -- documentation ------------------------------------------------------------------------------------------------


def test_every_code_has_a_paragraph():
    """Each first argument of a Finding in the sources stands in bold at the head of a paragraph, and no other does."""
    told = {
        node.args[0].value
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding" and node.args
    }
    page = (ROOT.parent / "docs" / "findings.md").read_text(encoding="utf-8")
    assert told == set(re.findall(r"^\*\*([a-z-]+)\*\*\. \w", page, re.M))
    assert len(told) > 20


def test_an_id_used_once_and_zeros_that_are_missing():
    rows = pd.DataFrame({"y": np.arange(1.0, 13), "n": np.arange(12) + 1, "g": np.tile(list("abcdef"), 2)})
    lone = hb.Model({"mu": "y ~ 1 + (1 |p| g)", "sigma": "~ 1 + (1 | g)"}, rows)
    assert "id-used-once" in [finding.code for finding in lone.check()]
    joined = hb.Model({"mu": "y ~ 1 + (1 |p| g)", "sigma": "~ 1 + (1 |p| g)"}, rows)
    assert "id-used-once" not in [finding.code for finding in joined.check()]
    both = hb.Model("mvbind(y, n) ~ 1 + (1 |p| g)", rows)
    assert "id-used-once" not in [finding.code for finding in both.check()]
    for family in ("hurdle_poisson", "zero_inflated_negbinomial"):
        assert "no-zeros" in [finding.code for finding in hb.Model("n ~ 1", rows, family).check()]
    zeros = rows.assign(n=rows["n"] - 1)
    assert "no-zeros" not in [finding.code for finding in hb.Model("n ~ 1", zeros, "hurdle_poisson").check()]


def test_other_effects_of_the_same_groups_can_be_told_apart():
    """Intercepts and slopes on two copies of a column, which are then independent."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(8), 6), "x": rng.normal(size=48), "y": rng.normal(size=48)})
    data["h"] = data["g"]
    codes = {f.code for f in hb.Model("y ~ x + (1 | g) + (0 + x | h)", data).check()}
    assert "same-groups" not in codes
    with pytest.warns(hb.DataWarning, match="same-groups"):
        hb.Model("y ~ x + (x | g) + (0 + I(-2 * x) | h)", data)
