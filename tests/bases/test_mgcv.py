"""Bases of smooths are mgcv's: the same functions, the same penalty in the same units, on old rows and new ones."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from hierbayes.bases import BASES, learn_smooths
from hierbayes.data.encoding import learn_encoding

REFERENCE = json.loads((Path(__file__).parent / "mgcv.json").read_text())
DATA, NEW = pd.DataFrame(REFERENCE["data"]), pd.DataFrame(REFERENCE["new_rows"])
TERMS = {
    "tp": "s(x, k=7)",
    "cr": 's(x, k=7, bs="cr")',
    "cc": 's(x, k=7, bs="cc")',
    "ps": 's(x, k=7, bs="ps")',
    "surface": "s(x, z, k=9)",
    "number": "s(x, k=6, by=w)",
    "level": "s(x, k=6, by=f)",
    "knots": 's(x, k=6, bs="cc", knots=[0, 12])',
}


def _columns(name: str, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Straight and penalised columns, of the second curve where there are several."""
    encoding = learn_encoding(f"0 + {TERMS[name]}", DATA)
    straight, penalised = encoding.matrix(rows), encoding.penalised(rows)
    if name == "level":
        return straight[:, [1]], penalised[:, 4:8]
    return straight, penalised


def _covariance(name: str) -> np.ndarray:
    """Of mgcv's penalised functions at the rows."""
    columns = np.array(REFERENCE["terms"][name]["penalised"])
    return columns @ columns.T


@pytest.mark.parametrize("name", TERMS)
def test_the_functions_are_mgcvs_on_old_rows_and_beyond_them(name):
    ours, theirs = np.hstack(_columns(name, DATA)), np.array(REFERENCE["terms"][name]["X"])
    assert ours.shape == theirs.shape
    assert np.linalg.matrix_rank(ours) == ours.shape[1]
    same = np.linalg.lstsq(ours, theirs, rcond=None)[0]
    assert_allclose(ours @ same, theirs, atol=1e-8 * np.abs(theirs).max())
    new = np.array(REFERENCE["terms"][name]["new"])
    assert_allclose(np.hstack(_columns(name, NEW)) @ same, new, atol=1e-8 * np.abs(new).max())


@pytest.mark.parametrize("name", TERMS)
def test_the_penalty_is_mgcvs_in_its_units(name):
    """The covariance of the penalised part is the same, once what is a straight line is taken off both."""
    straight, penalised = _columns(name, DATA)
    theirs = _covariance(name)
    residual = np.eye(len(DATA)) - straight @ np.linalg.pinv(straight)
    expected = residual @ theirs @ residual
    assert_allclose(penalised @ penalised.T, expected, atol=1e-8 * np.abs(theirs).max())


def test_of_many_values_the_sites_are_those_that_r_draws():
    x = np.round(np.arange(1, 2101) * 0.6180339887 % 1, 8)[:, None]
    basis = BASES["tp"].learn(x, 8, None)
    (smooth,) = learn_smooths(basis, x, [np.ones(len(x))], constant=False)
    straight, penalised = smooth.straight(x, np.ones(len(x))), smooth.penalised(x, np.ones(len(x)))
    theirs = _covariance("many")
    # what a straight line is in their columns is not known from twenty rows: bends are compared
    line = np.hstack([np.ones((20, 1)), straight[:20]])
    residual = np.eye(20) - line @ np.linalg.pinv(line)
    ours = residual @ penalised[:20] @ penalised[:20].T @ residual
    assert_allclose(ours, residual @ theirs @ residual, atol=1e-8 * np.abs(theirs).max())


@pytest.mark.parametrize("name", TERMS)
def test_penalised_columns_are_orthogonal_to_each_other_and_to_lines(name):
    straight, penalised = _columns(name, DATA)
    gram = penalised.T @ penalised
    assert_allclose(gram, np.diag(np.diagonal(gram)), atol=1e-10 * gram.max())
    assert np.abs(straight.T @ penalised).max(initial=0.0) < 1e-9
    if name not in ("number", "level"):
        assert_allclose(np.hstack([straight, penalised]).sum(axis=0), 0.0, atol=1e-9)


@pytest.mark.parametrize("name", TERMS)
def test_one_new_row_has_the_columns_that_it_has_among_others(name):
    whole = np.hstack(_columns(name, NEW))
    alone = [np.hstack(_columns(name, NEW.iloc[[row]])) for row in range(len(NEW))]
    assert_allclose(np.vstack(alone), whole, atol=1e-12)
