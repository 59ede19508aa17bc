"""Any name of a column works in any role, and says the same as another name would."""

import keyword
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.formula import quote

from .test_predict import prior_fit

N = 48
RNG = np.random.default_rng(7)
D = pd.DataFrame(
    {
        "resp": RNG.normal(size=N),
        "num": RNG.normal(3, 1, size=N),
        "cat": np.tile(list("abc"), N // 3),
        "grp": np.repeat(list("uvwxyz"), N // 6),
        "other": np.tile(list("pqrs"), N // 4),
        "off": RNG.normal(size=N),
        "wt": RNG.integers(1, 4, size=N),
    }
)
OURS = [
    *("Intercept", "Intercept_", "term", "contrast", "mean", "sd", "lower", "upper", "p_greater", "group"),
    *(
        "scale",
        "level",
        "level_a",
        "effect",
        "Sum",
        "sample",
        "b",
        "chain",
        "draw",
        "coef",
        "quantity",
        "row",
    ),
    *("y", "r_grp", "sd_grp", "grp_effect", "mu", "sigma", "b_sigma", "sigma_coef", "total", "Residual"),
    *("predictive_lower", "linear", "parameter", "rank", "variable", "x", "n", "data", "index", "values"),
    *("__obs__", "__index__", "posterior", "observed_data", "self", "all", "none", "average", "I", "C"),
]
STRANGE = [
    "a b",
    "x/y",
    "a:b",
    "é",
    "数",
    "Ω̂",
    "it's",
    'say "hi"',
    "1",
    "1st",
    "x.1",
    "_x",
    "sd[grp, Intercept]",
    "b[x]",
]
NAMES = [*OURS, *STRANGE, *("class", "None", "True", "lambda")]
assert all(map(keyword.iskeyword, ("class", "None", "True", "lambda")))

FORMULA = {"mu": "resp | weights(wt) ~ num * cat + offset(off) + (num | grp) + (1 | other)", "sigma": "~ num"}
ROLES = tuple(D.columns)


def renamed(names: dict[str, str]) -> tuple[dict[str, str], pd.DataFrame]:
    """The formulas and the data with other names for the columns."""
    spelt = {role: quote(name) for role, name in names.items()}
    formula = {
        parameter: re.sub(rf"\b({'|'.join(ROLES)})\b", lambda found: spelt[found[0]], text)
        for parameter, text in FORMULA.items()
    }
    return formula, D.rename(columns=names)


def quiet(formula, data, **options) -> hb.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hb.Model(formula, data, **options)


@pytest.fixture(scope="module")
def plain() -> hb.Fit:
    return prior_fit(quiet(FORMULA, D), draws=10)


def answers(fit: hb.Fit, call: dict[str, str]) -> dict[str, object]:
    """Tables of a fit, `call` being what each of its columns is called."""
    num, cat, grp, other = (call.get(role, role) for role in ("num", "cat", "grp", "other"))
    at = {num: [2.0, 3.0], cat: ["a", "b"]}
    rows = fit.data.head(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "summary": fit.summary(),
            "fixef": fit.fixef(),
            "ranef": fit.ranef(),
            "coef": fit.coef(),
            "varcorr": fit.varcorr(),
            "icc": fit.icc(at=at),
            "r2": fit.r2(),
            "rank": fit.rank(grp, at=at),
            "contrasts": fit.contrasts(grp, at=at),
            "predict": fit.predict(rows),
            "unknown": fit.predict(rows.drop(columns=[grp, other]), groups="average"),
            "compare": fit.compare(rows, fit.data.tail(4)),
            "avg_predictions": fit.avg_predictions(by=[cat, other]),
            "avg_comparisons": fit.avg_comparisons([num, cat], by=grp),
            "avg_slopes": fit.avg_slopes(num, by=grp),
            "slopes": fit.slopes(num),
            "effects": fit.conditional_effects(num, by=cat, at={grp: ["u", "v"]}, groups=[grp], resolution=3),
            "shrinkage": fit.shrinkage(grp),
            "residuals": fit.residuals(),
        }


@pytest.mark.parametrize("first", range(len(NAMES)))
def test_a_name_changes_no_number(plain, expected, first):
    """Every table has the numbers that it has under plain names, and a column of its own for each label.

    Over all tests each name stands once in each role.
    """
    names = {role: NAMES[(first + 10 * place) % len(NAMES)] for place, role in enumerate(ROLES)}
    formula, data = renamed(names)
    model = quiet(formula, data)
    fit = prior_fit(model, draws=10)
    for (old, design), (new, other) in zip(
        plain.design.predictors.items(), fit.design.predictors.items(), strict=True
    ):
        assert old == new
        assert_allclose(other.x, design.x)
    assert str(model)
    for table, found in answers(fit, names).items():
        assert list(found.columns) == list(dict.fromkeys(found.columns)), table
        assert len(found.columns) == len(expected[table].columns), table
        numbers = [values.to_numpy() for _, values in found.items() if values.dtype.kind == "f"]
        before = [values.to_numpy() for _, values in expected[table].items() if values.dtype.kind == "f"]
        assert len(numbers) == len(before), table
        for left, right in zip(numbers, before, strict=True):
            assert_allclose(left, right, err_msg=table)


@pytest.fixture(scope="module")
def expected(plain) -> dict[str, pd.DataFrame]:
    return answers(plain, {})
