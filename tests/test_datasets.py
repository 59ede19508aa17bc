"""The data sets load whole, with R's levels, and stay small."""

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from formulae import design_matrices

from hierbayes.datasets import DATASETS, load_dataset
from hierbayes.errors import DataError

REFERENCE = json.loads((Path(__file__).parent / "parity" / "lme4_reference.json").read_text(encoding="utf-8"))

# Rows, then each column with its kind: "text", "float", "int", or the levels of a categorical.
SCHEMAS = {
    "sleepstudy": (180, {"Reaction": "float", "Days": "int", "Subject": "text"}),
    "cbpp": (56, {"herd": "text", "incidence": "int", "size": "int", "period": ["1", "2", "3", "4"]}),
    "radon": (919, {"floor": "int", "county": "text", "log_radon": "float", "log_uranium": "float"}),
    "pastes": (60, {"strength": "float", "batch": "text", "cask": "text", "sample": "text"}),
    "dyestuff2": (30, {"Batch": "text", "Yield": "float"}),
    "oats": (72, {"Block": "text", "Variety": "text", "nitro": "float", "yield": "int"}),
    "contraception": (
        1934,
        {
            "woman": "text",
            "district": "text",
            "use": ["N", "Y"],
            "livch": ["0", "1", "2", "3+"],
            "age": "float",
            "urban": ["N", "Y"],
        },
    ),
    "bdf": (
        2287,
        {
            "school": "text",
            "pupil": "text",
            "iq": "float",
            "ses": "int",
            "language": "int",
            "arithmetic": "int",
        },
    ),
    "epilepsy": (
        236,
        {
            "Age": "int",
            "Base": "int",
            "Trt": "int",
            "patient": "text",
            "visit": ["1", "2", "3", "4"],
            "count": "int",
            "obs": "text",
            "zAge": "float",
            "zBase": "float",
        },
    ),
    "insteval": (
        73421,
        {
            "s": "text",
            "d": "text",
            "studage": "int",
            "lectage": "int",
            "service": "int",
            "dept": "text",
            "y": "int",
        },
    ),
    "arabidopsis": (
        625,
        {
            "reg": "text",
            "popu": "text",
            "gen": "text",
            "rack": "text",
            "nutrient": "int",
            "amd": ["clipped", "unclipped"],
            "status": ["Normal", "Petri.Plate", "Transplant"],
            "total.fruits": "int",
        },
    ),
    "hsb82": (
        7185,
        {
            "school": "text",
            "minrty": ["No", "Yes"],
            "sx": "text",
            "ses": "float",
            "mAch": "float",
            "meanses": "float",
            "sector": "text",
            "cses": "float",
        },
    ),
    "wine": (
        72,
        {
            "response": "int",
            "rating": "int",
            "temp": ["cold", "warm"],
            "contact": ["no", "yes"],
            "bottle": "text",
            "judge": "text",
        },
    ),
    "inhaler": (
        572,
        {"subject": "text", "rating": "int", "treat": "float", "period": "float", "carry": "int"},
    ),
    "bcg": (
        13,
        {
            "trial": "text",
            "author": "text",
            "year": "int",
            "latitude": "int",
            "allocation": "text",
            "log_rr": "float",
            "se": "float",
        },
    ),
    "kidney": (
        76,
        {"patient": "text", "time": "int", "status": "int", "age": "int", "sex": "text", "disease": "text"},
    ),
    "loblolly": (84, {"height": "float", "age": "int", "seed": "text"}),
    "faithful": (272, {"eruptions": "float", "waiting": "int"}),
    "galaxies": (82, {"velocity": "float"}),
    "salamanders": (
        644,
        {
            "site": "text",
            "mined": ["no", "yes"],
            "cover": "float",
            "sample": "int",
            "DOP": "float",
            "Wtemp": "float",
            "DOY": "float",
            "spp": "text",
            "count": "int",
        },
    ),
    "mroz": (
        753,
        {
            "hours": "int",
            "wage": "float",
            "youngkids": "int",
            "oldkids": "int",
            "age": "int",
            "education": "int",
            "experience": "int",
            "husband_wage": "float",
            "city": ["no", "yes"],
        },
    ),
    "lexical": (
        2117,
        {
            "person": "text",
            "condition": "text",
            "frequency": "text",
            "word": "text",
            "correct": "int",
            "rt": "int",
        },
    ),
    "seatbelts": (
        192,
        {
            "year": "int",
            "month": "int",
            "drivers": "int",
            "front": "int",
            "rear": "int",
            "kms": "int",
            "petrol": "float",
            "law": "int",
        },
    ),
    "orthodont": (108, {"child": "text", "sex": "text", "age": "int", "distance": "float"}),
    "mammals": (49, {"species": "text", "body_mass": "float", "home_range": "float"}),
    "mammal_tree": (96, {"node": "text", "parent": "text", "length": "float"}),
    "chile": (
        2581,
        {
            "region": "text",
            "population": "int",
            "sex": "text",
            "age": "int",
            "education": ["primary", "secondary", "post-secondary"],
            "income": "int",
            "statusquo": "float",
        },
    ),
    "sids": (
        200,
        {
            "county": "text",
            "period": ["1974-78", "1979-84"],
            "births": "int",
            "deaths": "int",
            "nonwhite": "int",
        },
    ),
    "sids_neighbours": (246, {"county": "text", "neighbour": "text"}),
    "blue_tits": (
        828,
        {
            "animal": "text",
            "sire": "text",
            "dam": "text",
            "fosternest": "text",
            "hatchdate": "float",
            "sex": "text",
            "tarsus": "float",
            "back": "float",
        },
    ),
    "sids_counties": (100, {"county": "text", "lon": "float", "lat": "float"}),
}

# The reference's population-level parts, and the data they are about.
MODELS = {
    "sleepstudy_slopes": ("sleepstudy", "Days"),
    "sleepstudy_intercepts": ("sleepstudy", "Days"),
    "sleepstudy_uncorrelated": ("sleepstudy", "Days"),
    "cbpp": ("cbpp", "period"),
    "pastes_nested": ("pastes", "1"),
    "dyestuff2_singular": ("dyestuff2", "1"),
    "insteval_crossed": ("insteval", "service"),
    "radon_slopes": ("radon", "floor + log_uranium"),
    "radon_intercepts": ("radon", "floor + log_uranium"),
    "oats_splitplot": ("oats", "nitro + Variety"),
    "hsb82_slopes": ("hsb82", "meanses * cses + sector * cses"),
    "contraception": ("contraception", "age + I(age ** 2) + urban + livch"),
    "epilepsy_olre": ("epilepsy", "zAge + zBase * Trt"),
    "arabidopsis": ("arabidopsis", "nutrient * amd + rack + status"),
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {name: load_dataset(name) for name in DATASETS}


def test_every_data_set_has_a_schema_and_a_description():
    assert set(DATASETS) == set(SCHEMAS)
    assert all(text and "\n" not in text for text in DATASETS.values())


def test_the_docstring_describes_every_data_set_and_column():
    text = load_dataset.__doc__ or ""
    for name, (rows, columns) in SCHEMAS.items():
        assert f"**{name}**, {rows} rows" in text
        section = text.split(f"**{name}**")[1].split("\n    **")[0]
        assert [column for column in columns if f"``{column}``" not in section] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_shape_and_types(tables, name):
    rows, columns = SCHEMAS[name]
    table = tables[name]
    assert len(table) == rows
    assert list(table.columns) == list(columns)
    assert isinstance(table.index, pd.RangeIndex)
    for column, kind in columns.items():
        values = table[column]
        if kind == "text":
            assert {type(value) for value in values} == {str}, column
        elif isinstance(kind, list):
            assert isinstance(values.dtype, pd.CategoricalDtype), column
            assert not values.cat.ordered
            assert values.cat.categories.tolist() == kind
            assert set(values) == set(kind)
        else:
            assert values.dtype == {"int": np.int64, "float": np.float64}[kind], column


@pytest.mark.parametrize("name", SCHEMAS)
def test_nothing_is_missing_or_padded(tables, name):
    table = tables[name]
    assert not table.isna().any(axis=None)
    for column in table.columns.difference(table.select_dtypes("number").columns):
        assert all(value and value == value.strip() for value in set(table[column]))


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("sleepstudy", 0, {"Reaction": 249.56, "Days": 0, "Subject": "308"}),
        ("sleepstudy", -1, {"Reaction": 364.1236, "Days": 9, "Subject": "372"}),
        ("cbpp", 1, {"herd": "1", "incidence": 3, "size": 12, "period": "2"}),
        ("radon", 0, {"floor": 1, "county": "AITKIN"}),
        ("pastes", 0, {"strength": 62.8, "batch": "A", "cask": "a", "sample": "A:a"}),
        ("dyestuff2", 0, {"Batch": "A", "Yield": 7.298}),
        ("oats", 2, {"Block": "I", "Variety": "Victory", "nitro": 0.4, "yield": 157}),
        ("contraception", 0, {"woman": "1", "use": "N", "livch": "3+", "age": 18.44, "urban": "Y"}),
        ("epilepsy", 0, {"Age": 31, "Base": 11, "Trt": 0, "patient": "1", "visit": "1", "count": 5}),
        (
            "insteval",
            0,
            {"s": "1", "d": "1002", "studage": 2, "lectage": 2, "service": 0, "dept": "2", "y": 5},
        ),
        ("arabidopsis", 0, {"popu": "3.NL", "gen": "4", "rack": "2", "nutrient": 1, "status": "Transplant"}),
        ("blue_tits", 0, {"animal": "R187142", "sire": "R187556", "dam": "R187557", "fosternest": "F2102"}),
        ("salamanders", 3, {"site": "R-1", "mined": "no", "spp": "GP", "count": 2}),
        ("mroz", 0, {"hours": 1610, "wage": 3.354, "youngkids": 1, "city": "no"}),
        ("lexical", 0, {"person": "1", "condition": "speed"}),
        ("seatbelts", -1, {"year": 1984, "month": 12, "drivers": 1763, "law": 1}),
        ("orthodont", 0, {"child": "M01", "sex": "male", "age": 8, "distance": 26.0}),
        ("mammals", 0, {"species": "U. maritimus", "body_mass": 265.0, "home_range": 115.6}),
        ("mammal_tree", 5, {"node": "U. maritimus", "parent": "n6", "length": 2.0}),
        ("chile", 0, {"region": "N", "age": 65, "education": "primary", "income": 35000}),
        ("hsb82", 0, {"school": "1224", "sx": "Female", "ses": -1.528, "mAch": 5.876, "sector": "Public"}),
    ],
)
def test_spot_values(tables, name, row, expected):
    found = tables[name].iloc[row]
    assert {column: found[column] for column in expected} == expected


@pytest.mark.parametrize(
    ("name", "column", "levels"),
    [
        ("sleepstudy", "Subject", 18),
        ("cbpp", "herd", 15),
        ("radon", "county", 85),
        ("pastes", "sample", 30),
        ("dyestuff2", "Batch", 6),
        ("oats", "Block", 6),
        ("contraception", "district", 60),
        ("contraception", "woman", 1934),
        ("epilepsy", "patient", 59),
        ("epilepsy", "obs", 236),
        ("insteval", "s", 2972),
        ("insteval", "d", 1128),
        ("insteval", "dept", 14),
        ("arabidopsis", "popu", 9),
        ("arabidopsis", "gen", 24),
        ("hsb82", "school", 160),
    ],
)
def test_number_of_levels(tables, name, column, levels):
    assert tables[name][column].nunique() == levels


def test_derived_columns_follow_from_the_others(tables):
    hsb82, epilepsy, pastes = tables["hsb82"], tables["epilepsy"], tables["pastes"]
    np.testing.assert_allclose(hsb82["meanses"], hsb82.groupby("school")["ses"].transform("mean"), atol=1e-12)
    np.testing.assert_allclose(hsb82["cses"], hsb82["ses"] - hsb82["meanses"], atol=1e-12)
    for raw, z in [("Age", "zAge"), ("Base", "zBase")]:
        standardized = (epilepsy[raw] - epilepsy[raw].mean()) / epilepsy[raw].std()
        np.testing.assert_allclose(epilepsy[z], standardized, atol=1e-12)
    assert (pastes["sample"] == pastes["batch"] + ":" + pastes["cask"]).all()


def test_the_tree_ends_in_the_species_all_equally_old(tables):
    tree, species = tables["mammal_tree"].set_index("node"), set(tables["mammals"]["species"])
    assert set(tree.index) - set(tree["parent"]) == species
    for node in species:
        age = 0.0
        while node != "n1":
            age, node = age + tree.loc[node, "length"], tree.loc[node, "parent"]
        assert age == 70.0


def test_every_reference_model_is_looked_at():
    assert set(MODELS) == set(REFERENCE)


@pytest.mark.parametrize("model", MODELS)
def test_coefficients_have_the_references_names(tables, model):
    """The same reference levels as in R: `rack[2]` here is `rack2` there."""
    name, formula = MODELS[model]
    # formulae sorts the levels of a categorical unless it is ordered, and would hide a wrong order here.
    ordered = tables[name].select_dtypes("category").apply(lambda column: column.cat.as_ordered())
    common = design_matrices(formula, tables[name].assign(**ordered)).common
    assert common is not None
    ours = (
        "(Intercept)"
        if column == "Intercept"
        else column.replace("[", "").replace("]", "").replace(" ** ", "^")
        for column in common.as_dataframe().columns
    )
    # R and formulae order the factors of an interaction differently.
    assert {frozenset(c.split(":")) for c in ours} == {
        frozenset(c.split(":")) for c in REFERENCE[model]["fixef"]
    }
    assert REFERENCE[model]["nobs"] == len(tables[name])


@pytest.mark.parametrize("model", MODELS)
def test_groups_have_the_references_levels(tables, model):
    table = tables[MODELS[model][0]]
    for factor, effects in REFERENCE[model]["ranef"].items():
        columns = factor.split(":")
        levels = {":".join(row) for row in table[columns].itertuples(index=False)}
        if effects:
            assert levels == {effect["level"] for effect in effects}
        else:
            assert len(levels) > 100


def test_every_call_returns_its_own_table():
    first = load_dataset("sleepstudy")
    first.loc[0, "Reaction"] = -1.0
    assert load_dataset("sleepstudy").loc[0, "Reaction"] == 249.56


@pytest.mark.parametrize(
    ("wrong", "near"), [("InstEval", "insteval"), ("slep", "sleepstudy"), ("oat", "oats")]
)
def test_unknown_name_lists_the_names_and_the_nearest(wrong, near):
    with pytest.raises(DataError) as caught:
        load_dataset(wrong)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert repr(wrong) in message
    assert f"Did you mean {near!r}?" in message
    assert all(name in message.split("There are:")[1] for name in DATASETS)


def test_unknown_name_without_a_near_one_suggests_nothing():
    with pytest.raises(DataError, match="'xyz'") as caught:
        load_dataset("xyz")
    assert "Did you mean" not in str(caught.value)


def test_the_listing_cannot_be_changed():
    with pytest.raises(TypeError):
        DATASETS["mine"] = "my data"  # type: ignore[index]


def test_files_are_small_and_each_is_listed():
    files = {
        f.name: len(f.read_bytes())
        for f in resources.files("hierbayes.datasets").iterdir()
        if ".csv" in f.name
    }
    assert {name.split(".")[0] for name in files} == set(DATASETS)
    assert len(files) == len(DATASETS)
    assert max(files.values()) < 700_000
    assert sum(files.values()) < 1_500_000


def test_importing_does_not_load_pandas():
    code = "import sys, hierbayes.datasets; print('pandas' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
