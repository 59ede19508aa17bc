"""One rule for what a column is, whoever reads it: pandas, the command line's reader, DuckDB by path."""

import csv
import datetime as dt
import random
import warnings

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.data.csvfile import read_csv
from hierbayes.data.sources import find_source
from hierbayes.data.tables import read_columns

from .test_predict import prior_fit

COLUMNS = {
    "letters": ["T", "F"],
    "truth": ["True", "False"],
    "mixed truth": ["TRUE", "false", "True"],
    "yes": ["yes", "no"],
    "lower t": ["t", "f"],
    "codes": ["01", "02", "10"],
    "codes and text": ["01", "02", "x"],
    "whole": ["1", "2", "3"],
    "whole with gaps": ["1", "2", ""],
    "whole with blanks": [" 1", "2 ", "3"],
    "signed": ["+1", "-2", "3"],
    "large": ["9007199254740993", "9007199254740995"],
    "larger": ["9223372036854775808", "9223372036854775809"],
    "decimal": ["1.5", "2", ".5", "3."],
    "exponent": ["1e3", "2E-1", "-1.5e+2"],
    "infinite": ["inf", "-inf", "1.0"],
    "number with NA": ["1.5", "NA", "2"],
    "text with NA": ["a", "n/a", "b", "None"],
    "text with blanks": ["a", " a", "a "],
    "dates": ["2024-01-01", "2024-02-03"],
    "times": ["12:30", "01:15"],
    "numbers with commas": ["1,000", "2,500"],
    "underscores": ["1_000", "2_000"],
    "hexadecimal": ["0x10", "0x11"],
    "percent": ["5%", "10%"],
    "truth and numbers": ["True", "1", "0"],
    "truth with gaps": ["True", "False", "NA"],
    "quotes": ['say "hi"', "it's"],
    "zero and one": ["0", "1"],
    "one number": ["7"],
    "accents": ["é", "ü", "数"],
}


def in_chunks(path: object, name: str) -> pd.Series:
    source = find_source(str(path))
    assert source is not None
    return pd.concat([chunk.frame for chunk in source.chunks([name])])[name]


def plain(values: pd.Series) -> list[object]:
    """Values that are not missing, a number as a float and a truth value as itself."""
    kinds = (bool, np.bool_)
    return [
        value if isinstance(value, str) else bool(value) if isinstance(value, kinds) else float(value)
        for value in values.dropna()
    ]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_the_same_whoever_reads_it(tmp_path, name, quoting):
    values = random.Random(1).choices(COLUMNS[name], k=20)
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=quoting)
        writer.writerow(["other", name, "NAME", "name"])
        writer.writerows([number, value, "x", number] for number, value in enumerate(values))
    frame = read_columns(pd.read_csv(path), [name])[name]
    expected = plain(frame)
    assert plain(read_columns(read_csv(path), [name])[name]) == expected
    assert plain(in_chunks(path, name)) == expected
    assert plain(in_chunks(path, "NAME")) == ["x"] * 20


def test_one_value_of_another_kind_far_down_decides(tmp_path):
    path = tmp_path / "rows.csv"
    pd.DataFrame({"g": [*range(30_000), "x"], "y": 1.0}).to_csv(path, index=False)
    assert in_chunks(path, "g").iloc[[0, -1]].tolist() == ["0", "x"]


# -- labels that are almost alike -----------------------------------------------------------------------------------

LEVELS = ["2", "10", "a", "B c", "TRUE", "2024-02-01", "é", "x-y"]
SPELLINGS = {
    "2": [" 2", "2.0", "02", "２"],
    "10": ["10.0", "10 ", b"10"],
    "a": ["A", "a ", b"a", "\ta"],
    "B c": ["b c", "B  c", "B\u00a0c"],
    "TRUE": ["true", "True "],
    "2024-02-01": ["2024-02-01 00:00:00", "2024-02-01T00:00+01:00"],
    "é": ["E\u0301"],
    "x-y": ["x\u2013y", "X-Y"],
}
ROWS = pd.DataFrame({"y": np.random.default_rng(1).normal(size=80), "g": LEVELS * 10, "k": [1, 2] * 40})


@pytest.fixture(scope="module")
def labelled_fit() -> hb.Fit:
    return prior_fit(hb.Model("y ~ 1 + (1 | g)", ROWS), draws=20)


@pytest.mark.parametrize(
    ("known", "new"), [(known, new) for known, more in SPELLINGS.items() for new in more]
)
def test_a_new_level_that_is_almost_a_known_one_warns(labelled_fit, known, new):
    with pytest.warns(hb.DataWarning, match="only in how they are written") as caught:
        labelled_fit.predict({"g": [new, "a"]})
    assert repr(new) in str(caught[0].message)
    assert repr(known) in str(caught[0].message)


@pytest.mark.parametrize(
    "new", [None, "a", "b", "22", "2024-02-02", "B d", "2024-02-01 12:00", 17, dt.date(2020, 1, 1)]
)
def test_other_levels_do_not_warn(labelled_fit, new):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labelled_fit.predict({"g": pd.Series([new], dtype=object)})


def test_another_type_beside_known_levels_warns():
    """Levels of several types, where no type can be called wrong."""
    data = ROWS.assign(g=pd.Series(["308", "309", 7, "a", "b"] * 16, dtype=object))
    fit = prior_fit(hb.Model("y ~ 1 + (1 | g)", data), draws=20)
    with pytest.warns(hb.DataWarning, match=r"308 \(known: '308'\)"):
        fit.predict({"g": pd.Series([308, "a"], dtype=object)})


@pytest.mark.parametrize("formula", ["y ~ 1 + (1 | g)", "y ~ g", "y ~ 1 + (1 | g:k)", "y ~ C(g)"])
def test_levels_of_the_data_that_are_almost_alike_are_found(formula):
    data = ROWS.assign(g=["A", "a ", "b", "c", "d", "e", "f", "h"] * 10)
    with pytest.warns(hb.DataWarning, match=r"alike-levels.*'A' and 'a '"):
        model = hb.Model(formula, data)
    assert "alike-levels" in [finding.code for finding in model.check()]
