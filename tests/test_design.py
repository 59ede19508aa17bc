"""Rows to arrays: what training teaches is replayed, any data frame will do, and labels keep value and type."""

import datetime as dt
import gc
import json
import subprocess
import sys
import tracemalloc
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hierbayes as hb
from hierbayes.data.design import linear_predictor
from hierbayes.data.levels import learn_levels
from hierbayes.data.tables import read_columns

N = 120
RNG = np.random.default_rng(1)
D = pd.DataFrame(
    {
        "y": RNG.normal(10, 3, N),
        "x": RNG.normal(3, 2, N),
        "age": RNG.uniform(20, 60, N),
        "dose": np.tile([1, 2, 3, 4], N // 4),
        "kind": np.tile(["lo", "mid", "hi"], N // 3),
        "size": pd.Categorical(RNG.choice(["S", "M", "L"], N), ["S", "M", "L"]),
        "yes": RNG.uniform(size=N) < 0.4,
        "g": RNG.permutation(np.tile(list("fedcba"), N // 6)),
        "h": np.tile(np.arange(8), N // 8),
        "k": RNG.integers(1, 11, N),
        "n": 12,
        "count": RNG.poisson(4, N),
        "share": RNG.uniform(0.1, 0.9, N),
        "w": RNG.integers(1, 4, N),
    }
)
RESPONSES = {
    "gaussian": "y",
    "student": "y",
    "lognormal": "age",
    "bernoulli": "yes",
    "binomial": "k | trials(n)",
    "betabinomial": "k | trials(n)",
    "poisson": "count",
    "negbinomial": "count",
    "gamma": "age",
    "beta": "share",
}


def quiet(*arguments, **options) -> hb.Model:
    """A model whose findings are beside the point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        return hb.Model(*arguments, **options)


def new_design(model, rows, groups=("g",)):
    return model.spec.layout.bind_new(rows, groups).predictors["mu"]


# -- encodings ----------------------------------------------------------------------------------------------------

TERMS = [
    "center(x)",
    "scale(x)",
    "standardize(x)",
    "bs(x, df=5)",
    "bs(age, df=6, degree=2)",
    "cr(x, df=4)",
    "poly(x, 3)",
    "C(dose)",
    "C(dose, Sum)",
    "C(kind, Treatment('mid'))",
    "factor(dose)",
    "kind",
    "size",
    "yes",
    "I(x ** 2)",
    "log(age)",
    "np.sqrt(age)",
    "x:kind",
    "kind:size",
    "kind * scale(x)",
    "size * C(dose, Sum)",
    "scale(log(age)) * yes",
    "I(kind == 'lo')",
]


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("where", ["population", "group"])
def test_few_new_rows_have_the_columns_of_training(term, where):
    formula = f"y ~ {term} + (1 | g)" if where == "population" else f"y ~ 1 + ({term} | g)"
    model = quiet(formula, D)
    trained = model.design.predictors["mu"]
    for rows in ([5], [7, 7, 3], list(range(40, 50))):
        fresh = D.iloc[rows].astype({"size": str}).reset_index(drop=True)
        design = new_design(model, fresh)
        assert_allclose(design.x, trained.x[rows], rtol=1e-12, atol=1e-12)
        assert_allclose(design.factors["g"].z, trained.factors["g"].z[rows], rtol=1e-12, atol=1e-12)
        assert_array_equal(design.factors["g"].codes, trained.factors["g"].codes[rows])


def test_what_was_learnt_are_the_training_rows_centres_and_scales():
    rows = {"x": [0.0, 8.0], "g": ["a", "b"]}
    centred = new_design(quiet("y ~ center(x) + (1 | g)", D), rows).x[:, 1]
    scaled = new_design(quiet("y ~ scale(x) + (1 | g)", D), rows).x[:, 1]
    assert_allclose(centred, np.array([0.0, 8.0]) - D["x"].mean())
    assert_allclose(scaled, (np.array([0.0, 8.0]) - D["x"].mean()) / D["x"].std(ddof=0))


def test_orthogonal_polynomials_are_orthonormal_and_extrapolate():
    model = quiet("y ~ poly(x, 2)", D)
    columns = model.design.predictors["mu"].x[:, 1:]
    assert_allclose(columns.T @ columns, np.eye(2), atol=1e-12)
    inside = new_design(model, {"x": D["x"][:6]}).x
    with pytest.warns(hb.DataWarning, match="beyond the training rows"):
        outside = new_design(model, {"x": [*D["x"][:6], 30.0]}).x
    assert_allclose(outside[:6], inside, rtol=1e-12)
    third = np.polynomial.Polynomial.fit(D["x"], columns[:, 1], 2)(30.0)
    assert_allclose(outside[6, 2], third)


def test_contrasts():
    treatment = quiet("y ~ kind", D).spec.layout.predictors["mu"].coefficients
    ordered = quiet("y ~ size", D).spec.layout.predictors["mu"].coefficients
    assert treatment == ("Intercept", "kind[lo]", "kind[mid]")
    assert ordered == ("Intercept", "size[M]", "size[L]")
    total = quiet("y ~ C(dose, Sum)", D)
    last = new_design(total, {"dose": [4, 1]}).x
    assert_array_equal(last, [[1, -1, -1, -1], [1, 1, 0, 0]])


def test_a_truth_value_is_0_or_1():
    model = quiet("y ~ yes + (yes | g)", D)
    assert model.spec.layout.predictors["mu"].coefficients == ("Intercept", "yes")
    for rows in ([True, True], [1, 1], [1.0, 1.0]):
        design = new_design(model, {"yes": rows, "g": ["a", "b"]})
        assert_array_equal(design.x, [[1, 1], [1, 1]])
        assert_array_equal(design.factors["g"].z, [[1, 1], [1, 1]])


def test_categories_of_numbers_may_come_as_numbers():
    model = quiet("y ~ dose", D.assign(dose=pd.Categorical(D["dose"], [4, 2, 1, 3])))
    assert model.spec.layout.predictors["mu"].coefficients == ("Intercept", "dose[2]", "dose[1]", "dose[3]")
    for rows in ([3, 4], np.array([3.0, 4.0]), pd.Categorical([3, 4])):
        assert_array_equal(new_design(model, {"dose": rows}).x, [[1, 0, 0, 1], [1, 0, 0, 0]])


def test_an_unseen_value_may_stand_in_a_comparison():
    model = quiet("y ~ I(kind == 'lo')", D)
    assert_array_equal(new_design(model, {"kind": ["lo", "huge"]}).x, [[1, 1], [1, 0]])


def test_small_integers_do_not_overflow():
    small = D.assign(i8=np.arange(N).astype(np.int8), u8=np.arange(N).astype(np.uint8))
    model = quiet("y ~ I(i8 ** 2) + I(1 - u8)", small)
    assert_array_equal(model.design.predictors["mu"].x[:, 1], np.arange(N) ** 2)
    assert_array_equal(model.design.predictors["mu"].x[:, 2], 1 - np.arange(N))
    assert_array_equal(
        new_design(model, {"i8": np.int8([100]), "u8": np.uint8([200])}).x, [[1, 10_000, -199]]
    )


def test_offsets_are_summed_and_replayed():
    model = quiet("count ~ x + offset(log(age)) + offset(center(dose)) + (1 | g)", D, family="poisson")
    expected = np.log(D["age"]) + D["dose"] - D["dose"].mean()
    assert_allclose(model.design.predictors["mu"].offset, expected)
    assert_allclose(new_design(model, D.iloc[[3]]).offset, expected.iloc[[3]])


def test_weights_and_trials_may_be_computed():
    model = quiet("k | trials(n + 1) + weights(w / 2) ~ x", D, family="binomial")
    assert_array_equal(model.design.trials, D["n"] + 1)
    assert_array_equal(model.design.weights, D["w"] / 2)
    assert_array_equal(quiet("k | trials(12) ~ x", D, family="binomial").design.trials, np.full(N, 12.0))


def test_a_large_constant_column_is_no_rank_deficiency():
    model = quiet("y ~ 0 + big + x", D.assign(big=1e7))
    assert model.spec.layout.predictors["mu"].coefficients == ("big", "x")
    shifted = quiet("y ~ year + x + (1 | g)", D.assign(year=2000 + D["dose"]))
    assert shifted.spec.layout.predictors["mu"].columns.scales[1] == pytest.approx(D["dose"].std(ddof=0))


# -- data frames --------------------------------------------------------------------------------------------------

FORMULA = "y ~ x * kind + size + yes + (x | g) + (1 | h)"
COLUMNS = ["y", "x", "kind", "size", "yes", "g", "h"]


def as_polars() -> pl.DataFrame:
    columns = {name: D[name].tolist() for name in COLUMNS}
    return pl.DataFrame(columns).with_columns(pl.col("size").cast(pl.Enum(["S", "M", "L"])))


FRAMES = {
    "pandas nullable": lambda: D[COLUMNS].convert_dtypes(),
    "pandas string": lambda: D[COLUMNS].astype({"kind": "string", "g": "string"}),
    "pandas object": lambda: D[COLUMNS].astype({"kind": object, "g": object, "h": object, "yes": object}),
    "pandas category": lambda: D[COLUMNS].astype({"kind": "category", "g": "category", "h": "category"}),
    "pandas arrow": lambda: D[COLUMNS].convert_dtypes(dtype_backend="pyarrow").assign(size=D["size"]),
    "pandas small": lambda: D[COLUMNS].astype({"h": "uint8"}),
    "pandas index": lambda: D[COLUMNS].set_index(D["count"]),
    "polars": as_polars,
    "polars categorical": lambda: as_polars().with_columns(pl.col("kind", "g").cast(pl.Categorical)),
    "polars small": lambda: as_polars().with_columns(pl.col("h").cast(pl.UInt8)),
    "arrow": lambda: as_polars().to_arrow(),
    "mapping": lambda: {name: D[name].array if name == "size" else D[name].tolist() for name in COLUMNS},
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_data_frame_gives_the_same_model(name):
    expected, found = quiet(FORMULA, D), quiet(FORMULA, FRAMES[name]())
    assert found.spec.priors == expected.spec.priors
    for key, labels in expected.spec.coords.items():
        assert found.spec.coords[key].tolist() == labels.tolist()
        assert list(map(type, found.spec.coords[key].tolist())) == list(map(type, labels.tolist()))
    for left, right in (
        (found.design, expected.design),
        (bind_all(expected, FRAMES[name]()), expected.design),
    ):
        assert_array_equal(left.predictors["mu"].x, right.predictors["mu"].x)
        for factor, bound in right.predictors["mu"].factors.items():
            assert_array_equal(left.predictors["mu"].factors[factor].codes, bound.codes)
            assert_array_equal(left.predictors["mu"].factors[factor].z, bound.z)


def bind_all(model, rows):
    return model.spec.layout.bind_new(rows, ("g", "h"))


GAPS = {
    "pandas": lambda: D[COLUMNS].drop(index=4).reindex(D.index),
    "pandas nullable": lambda: D[COLUMNS].convert_dtypes().drop(index=4).reindex(D.index),
    "polars": lambda: as_polars().with_columns(
        pl.when(pl.int_range(N) != 4).then(pl.col(name)).alias(name) for name in COLUMNS
    ),
}


@pytest.mark.parametrize("name", GAPS)
def test_a_row_of_gaps_leaves_the_other_rows_and_types_as_they_were(name):
    expected = quiet(FORMULA, D.drop(index=4))
    with pytest.warns(hb.DataWarning, match="1 of 120 rows left out"):
        found = hb.Model(FORMULA, GAPS[name]())
    assert_array_equal(found.design.predictors["mu"].x, expected.design.predictors["mu"].x)
    assert found.spec.coords["g"].tolist() == expected.spec.coords["g"].tolist()
    assert found.spec.coords["h"].tolist() == expected.spec.coords["h"].tolist()
    if name != "pandas":  # its own integers with a gap are floating-point numbers
        assert {type(label) for label in found.spec.coords["h"].tolist()} == {int}


def test_a_category_that_vanishes_with_the_rows_left_out_has_no_column():
    rare = D.assign(kind=pd.Categorical(D["kind"].where(D.index != 1, "rare"), ["rare", "hi", "lo", "mid"]))
    with pytest.warns(hb.DataWarning, match=r"y \(1\)"):
        model = hb.Model("y ~ kind", rare.assign(y=D["y"].where(D.index != 1)))
    assert model.spec.layout.predictors["mu"].coefficients == ("Intercept", "kind[lo]", "kind[mid]")


def test_the_order_of_a_polars_categorical_is_not_that_of_the_rows():
    text = pl.DataFrame(
        {"y": D["y"].to_numpy(), "c": pl.Series(["zulu", "alpha", "mike"] * 40, dtype=pl.Categorical)}
    )
    for rows in (text, text.reverse()):
        assert quiet("y ~ c", rows).spec.layout.predictors["mu"].coefficients == (
            "Intercept",
            "c[mike]",
            "c[zulu]",
        )


def test_decimals_and_duplicate_labels_of_rows():
    decimals = D.assign(x=[Decimal(i) / 4 for i in range(N)], h=[Decimal(i % 8) for i in range(N)])
    model = quiet("y ~ x + (1 | h)", pd.concat([decimals, decimals]))
    assert_array_equal(model.design.predictors["mu"].x[:, 1], np.tile(np.arange(N) / 4, 2))
    assert model.spec.coords["h"].tolist() == list(range(8))
    assert model.design.index.tolist() == [*range(N), *range(N)]


def test_columns_that_are_not_asked_for_are_not_read():
    frame = pl.LazyFrame({"x": [1, 2]}).with_columns(
        pl.col("x").map_batches(lambda s: 1 / 0, pl.Int64).alias("n")
    )
    assert read_columns(frame, ["x"])["x"].tolist() == [1, 2]


def test_polars_needs_no_pyarrow():
    code = """
import sys
sys.modules["pyarrow"] = None
import polars as pl
import hierbayes as hb
frame = pl.DataFrame({"y": [1.0, 2.5, 2.0, 4.0] * 5, "x": [1, 2, None, 4] * 5, "g": list("abcde") * 4})
frame = frame.with_columns(pl.col("g").cast(pl.Categorical), e=pl.Series(list("uv") * 10, dtype=pl.Enum(["v", "u"])))
import warnings
warnings.simplefilter("ignore", hb.DataWarning)
print(hb.Model("y ~ x + e + (1 | g)", frame).design.predictors["mu"].x[0].tolist())
assert len(hb.Model("y ~ x + e + (1 | g)", frame.lazy()).design) == 15
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1.0, 1.0, 1.0]


# -- levels -------------------------------------------------------------------------------------------------------

LABELS = {
    "colons": (["a:b", "a", "b:c", "c", ":", "::"], str),
    "spaces and accents": (["São Paulo", " lead", "ÅÄÖ", "日本", "", "a b"], str),
    "integers": ([30, -1, 2, 100, 5, 0], int),
    "numbers": ([0.5, -1.25, 2.0, 1e9, 1e-9, 0.1], float),
    "truth": ([True, False], bool),
    "dates": ([dt.date(2024, 1, day) for day in (3, 1, 2, 6, 5, 4)], dt.date),
    "large integers": ([2**63 + i for i in range(6)], int),
    "mixed": (["a", 1, "1", dt.date(2024, 1, 1), 2.5, 10], None),
    "pairs": ([(1, "a"), (0, "b"), (1, "b"), (0, "a"), (2, "a"), (2, "b")], tuple),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_keep_their_value_and_type(name):
    values, kind = LABELS[name]
    column = pd.Series([values[i % len(values)] for i in range(N)])
    model = quiet("y ~ x + (x | g)", D.assign(g=column))
    labels = model.spec.coords["g"].tolist()
    assert set(labels) == set(values)
    assert len(labels) == len(values)
    assert kind is None or {type(label) for label in labels} == {kind}
    if kind is not None:
        assert labels == sorted(values)
    codes = model.design.predictors["mu"].factors["g"].codes
    assert [labels[code] for code in codes] == column.tolist()
    assert_array_equal(new_design(model, D.assign(g=column)).factors["g"].codes, codes)


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_stay_times(unit):
    days = pd.date_range("2024-01-01", periods=6, unit=unit)
    model = quiet("y ~ x + (1 | g)", D.assign(g=np.tile(days, N // 6)))
    assert model.spec.coords["g"].dtype == np.dtype(f"datetime64[{unit}]")
    assert_array_equal(model.spec.coords["g"], days.to_numpy())
    assert_array_equal(
        new_design(model, {"x": [1.0], "g": [dt.datetime(2024, 1, 3)]}).factors["g"].codes, [2]
    )


def test_categories_keep_their_order_and_lose_the_unused():
    model = quiet("y ~ x + (1 | size)", D.assign(size=pd.Categorical(D["size"], ["L", "XL", "S", "M"])))
    assert model.spec.coords["size"].tolist() == ["L", "S", "M"]


def test_the_order_of_mixed_labels_is_not_that_of_the_rows():
    column = pd.Series([LABELS["mixed"][0][i % 6] for i in range(N)])
    forward = learn_levels(("g",), pd.DataFrame({"g": column}))
    backward = learn_levels(("g",), pd.DataFrame({"g": column[::-1]}))
    assert forward.labels.tolist() == backward.labels.tolist()


def test_only_observed_combinations_are_levels():
    rng = np.random.default_rng(0)
    cells = rng.choice(50 * 500, 554, replace=False)
    rows = rng.permutation(np.repeat(cells, 4))
    frame = pd.DataFrame({"y": rng.normal(size=len(rows)), "school": rows // 500, "class": rows % 500})
    model = quiet("y ~ 1 + (1 | school/class)", frame)
    assert len(model.spec.coords["school:class"]) == 554
    assert len(set(model.spec.coords["school:class"])) == 554
    codes = model.design.predictors["mu"].factors["school:class"].codes
    expected = [f"{school}:{number}" for school, number in zip(frame["school"], frame["class"], strict=True)]
    assert model.spec.coords["school:class"][codes].tolist() == expected
    new = new_design(model, {"school": [frame["school"][0]], "class": [999]}, ("school", "school:class"))
    assert new.factors["school"].new == ()
    assert new.factors["school:class"].new == ((frame["school"][0], 999),)


def test_combinations_with_colons_in_their_names_stay_apart():
    frame = D.assign(a=np.where(D["yes"], "u:v", "u"), b=np.where(D["yes"], "w", "v:w"))
    labels = quiet("y ~ 1 + (1 | a:b)", frame).spec.coords["a:b"]
    assert len(labels) == len(set(labels)) == 2


def test_nesting_is_the_factor_and_its_combinations():
    nested, written_out = quiet("y ~ x + (x | g/h)", D), quiet("y ~ x + (x | g) + (x | g:h)", D)
    assert nested.spec.priors == written_out.spec.priors
    assert [v.name for v in nested.spec.variables] == [v.name for v in written_out.spec.variables]
    for name, bound in written_out.design.predictors["mu"].factors.items():
        assert_array_equal(nested.design.predictors["mu"].factors[name].codes, bound.codes)
        assert_array_equal(nested.spec.coords[name], written_out.spec.coords[name])


@pytest.mark.parametrize(
    ("terms", "effects", "blocks"),
    [
        ("(x | g)", ("Intercept", "x"), ((0, 1),)),
        ("(x || g)", ("Intercept", "x"), ((0,), (1,))),
        ("(1 | g) + (0 + x | g)", ("Intercept", "x"), ((0,), (1,))),
        ("(x | g) + (0 + age + dose | g)", ("Intercept", "x", "age", "dose"), ((0, 1), (2, 3))),
        ("(x | g) + (0 + age || g)", ("Intercept", "x", "age"), ((0, 1), (2,))),
        ("(kind || g)", ("Intercept", "kind[lo]", "kind[mid]"), ((0,), (1,), (2,))),
        ("(0 + kind || g)", ("kind[hi]", "kind[lo]", "kind[mid]"), ((0,), (1,), (2,))),
        ("(0 + kind | g)", ("kind[hi]", "kind[lo]", "kind[mid]"), ((0, 1, 2),)),
    ],
)
def test_terms_on_one_factor_are_one_block_of_effects(terms, effects, blocks):
    model = quiet(f"y ~ x + {terms}", D)
    (factor,) = model.spec.layout.predictors["mu"].factors
    assert factor.effects == effects
    assert factor.blocks == blocks
    assert factor.correlated == any(len(block) > 1 for block in blocks)
    assert ("cor_g" in {v.name for v in model.spec.variables}) == factor.correlated
    assert [p.coefficient for p in model.spec.priors if p.kind == "sd"] == list(effects)
    assert model.design.predictors["mu"].factors["g"].z.shape == (N, len(effects))


def test_a_combination_in_either_order_is_one_factor():
    (factor,) = quiet("y ~ x + (1 | g:kind) + (0 + x | kind:g)", D).spec.layout.predictors["mu"].factors
    assert factor.name == "g:kind"
    assert factor.effects == ("Intercept", "x")


def test_missing_and_new_levels_are_numbered_after_the_known():
    model = quiet("y ~ x + (1 | g)", D)
    levels = ["a", "new", None, "f", "new", None, "other"]
    bound = new_design(model, {"x": np.zeros(7), "g": levels}).factors["g"]
    assert bound.codes.tolist() == [0, 6, 7, 5, 6, 8, 9]
    assert bound.new == (("new",), None, None, ("other",))


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA, pd.NaT], ids=str)
@pytest.mark.parametrize("column", ["g", "h"])
def test_every_sort_of_gap_is_a_missing_level(gap, column):
    model = quiet(f"y ~ x + (1 | {column})", D)
    rows = pd.DataFrame({"x": [0.0, 0.0], column: pd.Series([D[column][0], gap], dtype=object)})
    bound = new_design(model, rows, (column,)).factors[column]
    assert bound.new == (None,)
    as_category = new_design(model, rows.astype({column: "category"}), (column,)).factors[column]
    assert_array_equal(as_category.codes, bound.codes)


# -- laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", RESPONSES)
def test_a_weight_of_2_is_the_row_twice(family):
    response = RESPONSES[family]
    addition = " + " if "|" in response else " | "
    weighted = quiet(f"{response}{addition}weights(w) ~ x * kind + (x + age | g)", D, family=family)
    repeated = quiet(f"{response} ~ x * kind + (x + age | g)", D.loc[D.index.repeat(D["w"])], family=family)
    left, right = weighted.spec.layout, repeated.spec.layout
    assert_allclose(left.predictors["mu"].columns.means, right.predictors["mu"].columns.means, rtol=1e-12)
    assert_allclose(left.predictors["mu"].columns.scales, right.predictors["mu"].columns.scales, rtol=1e-12)
    assert_allclose(
        left.predictors["mu"].factors[0].columns.scales,
        right.predictors["mu"].factors[0].columns.scales,
        rtol=1e-12,
    )
    assert_allclose(prior_numbers(weighted), prior_numbers(repeated), rtol=1e-12)


def prior_numbers(model) -> list[float]:
    return [number for prior in model.spec.priors for _, number in prior.prior.args]


@pytest.mark.parametrize("family", RESPONSES)
def test_the_order_of_rows_does_not_matter(family):
    formula = f"{RESPONSES[family]} ~ x * kind + scale(age) + (x | g/h)"
    order = np.random.default_rng(2).permutation(N)
    model, permuted = quiet(formula, D, family=family), quiet(formula, D.iloc[order], family=family)
    assert_allclose(prior_numbers(permuted), prior_numbers(model), rtol=1e-12)
    assert all(
        permuted.spec.coords[name].tolist() == labels.tolist() for name, labels in model.spec.coords.items()
    )
    left, right = permuted.design.predictors["mu"], model.design.predictors["mu"]
    assert_allclose(left.x, right.x[order], rtol=1e-12, atol=1e-12)
    assert_array_equal(permuted.design.y, model.design.y[order])
    for name, bound in right.factors.items():
        assert_array_equal(left.factors[name].codes, bound.codes[order])


def test_the_names_of_levels_do_not_matter():
    names = dict(zip("abcdef", [9, 3, 7, 1, 8, 2], strict=True))
    model, renamed = quiet("y ~ x + (x | g/h)", D), quiet("y ~ x + (x | g/h)", D.assign(g=D["g"].map(names)))
    assert prior_numbers(model) == prior_numbers(renamed)
    for name, size in (("g", 6), ("g:h", len(model.spec.coords["g:h"]))):
        left, right = (m.design.predictors["mu"].factors[name].codes for m in (model, renamed))
        pairs = set(zip(left.tolist(), right.tolist(), strict=True))
        assert len(pairs) == size == len(renamed.spec.coords[name])
    assert [names[label] for label in model.spec.coords["g"]] == [9, 3, 7, 1, 8, 2]


def test_one_filter_for_every_formula():
    gaps = D.assign(
        x=D["x"].where(D.index != 0),
        age=D["age"].where(D.index != 1),
        g=D["g"].where(D.index != 2),
        w=D["w"].where(D.index != 3),
    )
    with pytest.warns(
        hb.DataWarning, match=r"4 of 120 rows left out for missing values in w \(1\), x \(1\), .*"
    ):
        model = hb.Model({"mu": "y | weights(w) ~ x", "sigma": "~ age + (1 | g)"}, gaps)
    assert model.design.index.tolist() == list(range(4, N))
    assert len(model.design.predictors["sigma"].x) == len(model.design.predictors["mu"].x) == N - 4
    assert_array_equal(model.design.y, D["y"][4:])


def test_linear_predictor_is_the_sum_it_says():
    rng = np.random.default_rng(3)
    x, offset, b = rng.normal(size=(5, 2)), rng.normal(size=5), rng.normal(size=(3, 2))
    codes, z, r = np.array([0, 2, 1, 0, 2]), rng.normal(size=(5, 2)), rng.normal(size=(3, 4, 2))
    eta = linear_predictor(x, offset, b, [(codes, z, r)])
    for s in range(3):
        for i in range(5):
            assert eta[s, i] == pytest.approx(offset[i] + x[i] @ b[s] + z[i] @ r[s, codes[i]])


# -- size ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_million_rows_and_ten_thousand_levels_stay_small():
    code = r"""
import json, re, time
import numpy as np, pandas as pd
import hierbayes as hb
rng = np.random.default_rng(0)
n, levels = 1_000_000, 10_000
frame = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "g": rng.integers(0, levels, n).astype(str)})
start = time.perf_counter()
model = hb.Model("y ~ x + (x | g)", frame)
bound = model.design.predictors["mu"].factors["g"]
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "gigabytes": int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 2**20,
    "levels": len(model.spec.coords["g"]),
    "shapes": [bound.codes.shape, bound.z.shape],
}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["levels"] == 10_000
    assert found["shapes"] == [[1_000_000], [1_000_000, 2]]
    assert found["gigabytes"] < 1
    assert found["seconds"] < 30


def test_what_was_learnt_holds_no_rows():
    rng = np.random.default_rng(0)
    n = 100_000
    columns = {"y": rng.normal(size=n), "x": rng.normal(size=n), "g": rng.integers(0, 10, n)}
    frame = pd.DataFrame(columns | {"kind": rng.choice(["lo", "hi"], n)})
    quiet("y ~ scale(x) * kind + offset(x) + (bs(x, df=4) | g)", frame.head(100))  # what is imported once
    gc.collect()
    tracemalloc.start()
    spec = quiet("y | weights(g + 1) ~ scale(x) * kind + offset(x) + (bs(x, df=4) | g)", frame).spec
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert spec.layout.predictors["mu"].coefficients
    assert held < 400_000  # a column of the rows is 800 kB


def test_whole_levels_stay_whole_where_some_are_missing():
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0, 5.0, 2.5], "g": [308, 309, None, 308, 309, 310]})
    with pytest.warns(hb.DataWarning):
        model = hb.Model("y ~ 1 + (1 | g)", frame)
    assert model.spec.coords["g"].tolist() == [308, 309, 310]
    assert all(isinstance(level, int) for level in model.spec.coords["g"].tolist())


def test_a_nested_categorical_term_is_written_out():
    oats = hb.load_dataset("oats")
    nested = hb.Model("yield ~ Variety/nitro + (1 | Block)", oats)
    written = hb.Model("yield ~ Variety + Variety:nitro + (1 | Block)", oats)
    assert (
        nested.spec.layout.predictors["mu"].coefficients == written.spec.layout.predictors["mu"].coefficients
    )
    assert len(nested.spec.layout.predictors["mu"].coefficients) == 6
