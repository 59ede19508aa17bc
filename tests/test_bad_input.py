"""What a newcomer gets wrong is found before any sampling, and told with the culprit and the way out."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import hierbayes as hb
from hierbayes.engine.nuts import Nuts

from .test_predict import prior_fit

N = 60
RNG = np.random.default_rng(0)
D = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "age": RNG.uniform(20, 60, N),
        "g": np.tile(list("abcdef"), N // 6),
        "h": np.repeat(list("uvwxyz"), N // 6),
        "id": np.tile(np.arange(1, 7), N // 6),
        "code": np.tile(list("123456"), N // 6),
        "kind": np.tile(["lo", "mid", "hi"], N // 3),
        "day": np.tile(pd.date_range("2024-01-01", periods=6), N // 6),
        "k": RNG.integers(0, 11, N),
        "n": 10,
        "count": RNG.poisson(3, N),
        "yes": RNG.integers(0, 2, N),
        "share": RNG.uniform(0.1, 0.9, N),
        "w": 1.0,
    }
)
ROWS = pd.DataFrame({"x": [0.0, 1.0], "kind": ["lo", "mid"], "g": ["a", "b"], "h": ["u", "v"]})


def with_value(column: str, value: object, rows: tuple[int, ...] = (3, 7)) -> pd.DataFrame:
    """The data with a value in some rows of a column."""
    changed = D.assign(**{column: D[column].astype(object if isinstance(value, str) else float)})
    changed.loc[list(rows), column] = value
    return changed


@functools.cache
def fitted(formula: str = "y ~ x + kind + (x | g) + (1 | h)", family: str = "gaussian") -> hb.Fit:
    return prior_fit(hb.Model(formula, D, family=family), draws=20)


@dataclass(frozen=True)
class Bad:
    """A call, the exception it raises, and what its message must hold: the culprit and the way out."""

    name: str
    call: Callable[[], object]
    error: type[Exception]
    words: tuple[str, ...]


def bad(name: str, call: Callable[[], object], error: type[Exception], *words: str) -> Bad:
    return Bad(name, call, error, words)


def model(formula, data=D, **options) -> Callable[[], object]:
    return lambda: hb.Model(formula, data, **options)


def sampled(**options) -> Callable[[], object]:
    return lambda: hb.fit("y ~ x + (1 | g)", D, progress=False, **options)


def priors(entries, formula="y ~ x + (x | g)") -> Callable[[], object]:
    return lambda: hb.Model(formula, D, priors=entries)


def predicted(
    rows, formula="y ~ x + kind + (x | g) + (1 | h)", family="gaussian", **options
) -> Callable[[], object]:
    return lambda: fitted(formula, family).predict(rows, **options)


DATA = [
    bad("near column", model("y ~ X + (1 | g)"), hb.DataError, "no column 'X'", "did you mean 'x'?"),
    bad(
        "misspelt column",
        model("y ~ agee + (1 | g)"),
        hb.DataError,
        "no column 'agee'",
        "did you mean 'age'?",
    ),
    bad(
        "absent column",
        model("y ~ treatment"),
        hb.DataError,
        "no column 'treatment'",
        "they have y, x, age, g",
    ),
    bad("in the index", model("y ~ x", D.set_index("x")), hb.DataError, "no column 'x'", "reset_index()"),
    bad(
        "columns of two levels",
        model("y ~ x", pd.concat({"a": D}, axis=1)),
        hb.DataError,
        "('a', 'y')",
        "one name",
    ),
    bad("absent factor", model("y ~ x + (1 | G)"), hb.DataError, "no column 'G'", "did you mean 'g'?"),
    bad("two absent", model("y ~ zip + zap"), hb.DataError, "'zip'", "'zap'"),
    bad(
        "not a table",
        model("y ~ x", [1, 2, 3]),
        hb.DataError,
        "list",
        "must be a data frame",
        "mapping of column",
    ),
    bad("a path", model("y ~ x", "data.csv"), hb.DataError, "data.csv", "there is no file"),
    bad("nothing", model("y ~ x", None), hb.DataError, "NoneType", "must be a data frame"),
    bad("an array", model("y ~ x", np.zeros((5, 2))), hb.DataError, "ndarray", "must be a data frame"),
    bad("a column", model("y ~ x", pl.Series("y", [1, 2])), hb.DataError, "Series", "must be a data frame"),
    bad("ragged", model("y ~ x", {"y": [1, 2], "x": [1]}), hb.DataError, "not a table", "equally many"),
    bad(
        "swapped",
        lambda: hb.Model(D, "y ~ x"),
        hb.FormulaError,
        "DataFrame",
        "a text such as 'y ~ x + (x | g)'",
        "the formula comes before the data",
    ),
    bad(
        "column twice", model("y ~ x", pd.concat([D, D[["x"]]], axis=1)), hb.DataError, "'x'", "its own name"
    ),
    bad("no rows", model("y ~ x", D.iloc[:0]), hb.DataError, "no rows", "check how they were read"),
    bad("all missing", model("y ~ x", D.assign(x=np.nan)), hb.DataError, "'x' has no values", "leave it out"),
    bad(
        "no complete row",
        model(
            "y ~ x + age", D.assign(x=D["x"].where(D.index % 2 == 0), age=D["age"].where(D.index % 2 == 1))
        ),
        hb.DataError,
        "x (30), age (30)",
        "fill one of them",
    ),
    bad("dates", model("y ~ day"), hb.DataError, "'day' holds Timestamp", "days since a date"),
    bad(
        "lists",
        model("y ~ x", D.assign(x=[[1, 2]] * N)),
        hb.DataError,
        "'x' holds list",
        "make it one of these",
    ),
    bad(
        "dicts",
        model("y ~ x", D.assign(x=[{"a": 1}] * N)),
        hb.DataError,
        "'x' holds dict",
        "numbers, booleans, text",
    ),
    bad(
        "mixed",
        model("y ~ x", D.assign(x=["a", 1] * 30)),
        hb.DataError,
        "'x' holds int and str",
        "make it one of",
    ),
    bad(
        "complex",
        model("y ~ x", D.assign(x=1j * D["x"])),
        hb.DataError,
        "'x' holds complex",
        "numbers, booleans",
    ),
    bad(
        "infinite",
        model("y ~ x", with_value("x", np.inf)),
        hb.DataError,
        "'x' is infinite in rows 3, 7",
        "leave",
    ),
    bad(
        "infinite slope", model("y ~ 1 + (x | g)", with_value("x", -np.inf)), hb.DataError, "'x'", "rows 3, 7"
    ),
    bad(
        "one category",
        model("y ~ kind", D.assign(kind="a")),
        hb.DataError,
        "'kind' has the one value 'a'",
        "leave it",
    ),
    bad("log of negative", model("y ~ log(x)"), hb.DataError, "'log(x)'", "… (", "change the transformation"),
    bad("division by 0", model("y ~ I(1 / count)"), hb.DataError, "'I(1 / count)'", "remove or correct"),
    bad("log of text", model("y ~ log(kind)"), hb.DataError, "'log(kind)'", "'kind'", "not for arithmetic"),
    bad(
        "levels that are lists",
        model("y ~ 1 + (1 | x)", D.assign(x=[[1]] * N)),
        hb.DataError,
        "'x' holds list",
        "text",
    ),
]
SUPPORT = {
    "gaussian": ("y", np.inf, "a finite number", "Leave those rows out"),
    "student": ("y", -np.inf, "a finite number", "Leave those rows out"),
    "lognormal": ("share", 0.0, "above 0", "a hurdle model"),
    "bernoulli": ("yes", 2.0, "0 or 1", "recode it"),
    "binomial": ("k", 11.0, "from 0 to the row's trials", "Correct those rows"),
    "betabinomial": ("k", 11.0, "from 0 to the row's trials", "Correct those rows"),
    "poisson": ("count", 1.5, "a whole number, 0 or more", "offset(log(…))"),
    "negbinomial": ("count", -1.0, "a whole number, 0 or more", "No count is negative"),
    "gamma": ("share", -0.5, "above 0", "gaussian"),
    "beta": ("share", 1.0, "strictly between 0 and 1", "family='zero_one_inflated_beta'"),
}
TEXTS = [
    (
        "score",
        list("12345"),
        "If they are a score",
        "categories in an order",
        "If they count or measure",
        "to_numeric",
    ),
    ("numbers", [f"{i}.5" for i in range(20)], "numbers stored as text", "pandas.to_numeric(data['z'])"),
    ("with a word", ["1.5", "2", "3", "below 1"], "Most are numbers", "'below 1' is not"),
    ("comma", ["1,5", "2,5", "3,75"], "decimal comma", "decimal=','"),
]
RESPONSE = [
    *(
        bad(
            f"outside {family}",
            model(
                f"{column}{' | trials(n)' if 'trials' in words else ''} ~ x + (1 | g)",
                with_value(column, value),
                family=family,
            ),
            hb.DataError,
            repr(column),
            f"found {value:g} in rows 3, 7",
            words,
            way_out,
        )
        for family, (column, value, words, way_out) in SUPPORT.items()
    ),
    bad(
        "3 levels",
        model("kind ~ x", family="bernoulli"),
        hb.DataError,
        "'kind' has 3: 'hi', 'lo', 'mid'",
        "categories in an order",
        "recode",
    ),
    bad(
        "1 and 2",
        model("z ~ x", D.assign(z=D["yes"] + 1), family="bernoulli"),
        hb.DataError,
        "found 2",
        "1 where it is 2",
    ),
    bad(
        "text",
        model("kind ~ x"),
        hb.DataError,
        "'kind' of family 'gaussian'",
        "it holds 'hi', 'lo'",
        "categories in an order",
    ),
    *(
        bad(f"text {name}", model("z ~ x", D.assign(z=np.resize(values, N))), hb.DataError, "'z'", *way_out)
        for name, values, *way_out in TEXTS
    ),
    bad(
        "many zeros",
        model("z ~ x", D.assign(z=np.where(np.arange(N) % 10 < 9, 0.0, 2.5)), family="gamma"),
        hb.DataError,
        "90% of the rows are 0",
        "family='hurdle_gamma'",
    ),
    bad(
        "yes or no",
        model("z ~ x", D.assign(z=D["yes"] > 0)),
        hb.DataError,
        "False, True",
        "family='bernoulli'",
    ),
    bad("dates", model("day ~ x"), hb.DataError, "'day'", "days since a date"),
    bad(
        "lists", model("y ~ x", D.assign(y=[[1]] * N)), hb.DataError, "'y' holds list", "a column of numbers"
    ),
    bad("categories", model("C(kind) ~ x"), hb.DataError, "the response", "'C(kind)'", "convert it"),
    bad(
        "constant", model("y ~ x", D.assign(y=3.0)), hb.DataError, "'y' is 3 in every row", "check the column"
    ),
    bad(
        "constant share",
        model("y ~ x", D.assign(y=0.5), family="beta"),
        hb.DataError,
        "'y' is 0.5 in every row",
    ),
    bad("log response", model("log(y) ~ x"), hb.DataError, "'log(y)'", "change the transformation"),
    bad(
        "no trials",
        model("k ~ x", family="binomial"),
        hb.DataError,
        "needs the number of trials",
        "k | trials(n) ~",
        "family='bernoulli'",
    ),
    bad(
        "trials",
        model("y | trials(n) ~ x"),
        hb.DataError,
        "takes no trials",
        "family='binomial' or family='betabinomial'",
    ),
    bad(
        "few trials",
        model("k | trials(2) ~ x", family="binomial"),
        hb.DataError,
        "'k'",
        "the row's trials",
        "Correct",
    ),
    bad(
        "half trials",
        model("k | trials(n) ~ x", with_value("n", 10.5), family="binomial"),
        hb.DataError,
        "trials must be whole numbers",
        "rows 3, 7",
    ),
    bad(
        "trials of text",
        model("k | trials(kind) ~ x", family="binomial"),
        hb.DataError,
        "trials",
        "'kind'",
        "convert",
    ),
    bad(
        "trials of 0",
        model("k | trials(n) ~ x", D.assign(n=0, k=0), family="binomial"),
        hb.DataError,
        "trials are 0",
    ),
    bad(
        "negative weights",
        model("y | weights(w) ~ x", with_value("w", -1.0)),
        hb.DataError,
        "weights",
        "rows 3, 7",
    ),
    bad(
        "no weight",
        model("y | weights(w) ~ x", D.assign(w=0)),
        hb.DataError,
        "weights are all 0",
        "leave weights(…) out",
    ),
    bad("weights of text", model("y | weights(kind) ~ x"), hb.DataError, "weights", "'kind'", "convert it"),
    bad("offset of text", model("y ~ x + offset(kind)"), hb.DataError, "offset", "'kind'", "convert it"),
    bad(
        "offset of log 0",
        model("count ~ offset(log(z))", D.assign(z=0)),
        hb.DataError,
        "'log(z)'",
        "remove or correct",
    ),
    bad(
        "censored angles",
        model("y | cens(1) ~ x", family="von_mises"),
        hb.UnsupportedError,
        "takes no cens(…)",
        "gaussian, student, lognormal",
    ),
    bad(
        "truncated angles",
        model("y | trunc(lb=0) ~ x", family="von_mises"),
        hb.UnsupportedError,
        "takes no trunc(…)",
        "weibull",
    ),
    bad(
        "a status of 3",
        model("y | cens(z) ~ x", D.assign(z=3)),
        hb.DataError,
        "'none', 'left'",
        "z is not",
    ),
    bad("a status in other words", model("y | cens(kind) ~ x"), hb.DataError, "cens must be", "kind is not"),
    bad(
        "intervals without an end",
        model("y | cens(2) ~ x"),
        hb.DataError,
        "needs the upper end",
        "cens(2, y2)",
    ),
    bad(
        "intervals that end before", model("y | cens(2, y - 1) ~ x"), hb.DataError, "ends above the response"
    ),
    bad("below a bound", model("y | trunc(lb=1000) ~ x"), hb.DataError, "below lb = 1000", "cens(…)"),
    bad("above a bound", model("y | trunc(ub=-1e6) ~ x"), hb.DataError, "above ub"),
    bad("bounds the wrong way", model("y | trunc(lb=1, ub=0) ~ x"), hb.DataError, "leave no response"),
    bad(
        "an infinite bound",
        model("y | trunc(lb=log(z)) ~ x", D.assign(z=0)),
        hb.DataError,
        "lb must be a finite",
    ),
    bad("standard errors of 0", model("y | se(z) ~ x", D.assign(z=0)), hb.DataError, "se must be above 0"),
    bad(
        "errors of counts",
        model("count | se(1) ~ x", family="poisson"),
        hb.UnsupportedError,
        "gaussian, student",
    ),
    bad(
        "errors and sigma",
        model({"mu": "y | se(1) ~ x", "sigma": "~ x"}),
        hb.UnsupportedError,
        "se(…, sigma=True)",
    ),
]
FORMULAS = [
    bad("bare bar", model("y ~ x | g"), hb.FormulaError, "needs parentheses: (x | g)", "^"),
    bad("bare term", model("y ~ x + 1|g"), hb.FormulaError, "needs parentheses", "^"),
    bad("closed too often", model("y ~ x) + (1|g)"), hb.FormulaError, "closes nothing", "^"),
    bad("never closed", model("y ~ x + (1 | g"), hb.FormulaError, "never closed", "^"),
    bad("no operator", model("y ~ x age"), hb.FormulaError, "an operator such as +", "^"),
    bad("smooth", model("y ~ t2(x)"), hb.FormulaError, "t2() is along two predictors", "t2(x, z)"),
    bad("no response", model("~ x + (1 | g)"), hb.FormulaError, "no response before the `~`"),
    bad("empty", model(""), hb.FormulaError, "empty", "write one such as"),
    bad(
        "effect twice",
        model("y ~ x + (1 | g) + (x | g)"),
        hb.FormulaError,
        "'Intercept' of 'g'",
        "(0 + x | g)",
        "^",
    ),
    bad(
        "term twice", model("y ~ (1 | g) + (1 | g)"), hb.FormulaError, "(1 | g) stands twice", "leave one out"
    ),
    bad(
        "no such parameter",
        model({"mu": "y ~ x", "tau": "~ x"}),
        hb.UnsupportedError,
        "'tau'",
        "it has mu, sigma",
    ),
    bad(
        "no sigma",
        model({"mu": "count ~ x", "sigma": "~ x"}, family="poisson"),
        hb.UnsupportedError,
        "'poisson' has no parameter 'sigma'",
        "it has mu",
    ),
    bad("no mean", model({"sigma": "~ x"}), hb.FormulaError, "need one for 'mu'", "got 'sigma'"),
    bad("second response", model({"mu": "y ~ x", "sigma": "y ~ x"}), hb.FormulaError, "begin it with `~`"),
    bad(
        "family",
        model("y ~ x", family="gausian"),
        hb.UnsupportedError,
        "'gausian'",
        "did you mean gaussian or exgaussian? the families are gaussian",
    ),
    *(
        bad(name, model("y ~ x", family=name), hb.UnsupportedError, f"no family {name!r}; {words}")
        for name, words in {
            "quasipoisson": "for counts that vary more than a Poisson's take 'negbinomial'",
            "truncated_poisson": "the families are",
            "halfnormal": "the families are",
        }.items()
    ),
    bad(
        "a label that is no text", model("y ~ x1", D.rename(columns={"x": 1})), hb.DataError, "no column 'x1'"
    ),
    bad(
        "a number as label",
        model("y ~ `1`", D.rename(columns={"x": 1})),
        hb.DataError,
        "a column 1, which is int",
    ),
    bad("ordinal", model("y ~ x", family="polr"), hb.UnsupportedError, "'cumulative'", "'sratio'"),
    bad(
        "hurdle",
        model("y ~ x", family="hurdle_gama"),
        hb.UnsupportedError,
        "no family 'hurdle_gama'",
        "hurdle_gamma",
    ),
    bad("logistic", model("yes ~ x", family="logistic"), hb.UnsupportedError, "take 'bernoulli'"),
    bad("rate of a measure", model("y | rate(n) ~ x"), hb.UnsupportedError, "takes no rate(…)", "poisson"),
    bad(
        "rate of 0", model("count | rate(x * 0) ~ 1", family="poisson"), hb.DataError, "rate must be above 0"
    ),
    bad("link", model("y ~ x", link="logit"), hb.UnsupportedError, "'logit'", "its links are identity, log"),
]
PRIORS = [
    bad(
        "near target",
        priors({"b[X]": "Normal(0, 1)"}),
        hb.PriorError,
        "'b[X]'",
        "did you mean b[x]?",
        "There are",
    ),
    bad("other factor", priors({"sd[h]": "Normal(0, 1)"}), hb.PriorError, "'sd[h]'", "sd[g]", "sd[g, x]"),
    bad(
        "other family",
        priors({"shape": "Exponential(1)"}),
        hb.PriorError,
        "'shape'",
        "There are: Intercept, b, b[x]",
    ),
    bad("keyword", lambda: hb.Prior("Normal", mean=100, sd=0.1), hb.PriorError, "'mean'", "Did you mean mu?"),
    bad(
        "keyword in text",
        priors({"b": "Normal(mean=1, sd=1)"}),
        hb.PriorError,
        "'b'",
        "'mean'",
        "Did you mean mu?",
    ),
    bad("negative sd", priors({"b": "Normal(0, -1)"}), hb.PriorError, "'b'", "sigma must be positive"),
    bad(
        "missing argument",
        priors({"b": "Normal(0)"}),
        hb.PriorError,
        "sigma is missing",
        "Write Normal alone",
    ),
    bad("distribution", priors({"b": "Nromal(0, 1)"}), hb.PriorError, "'Nromal'", "Normal"),
    bad("number", priors({"b": 0.5}), hb.PriorError, "'b'", "0.5", "Normal(0, 2.5)"),
    bad("a bare name", priors({"x": "Normal(0, 1)"}), hb.PriorError, "did you mean b[x] or sd[g, x]?"),
    bad("far from 0", priors({"sd": "Normal(1, 1)"}), hb.PriorError, "sd cannot", "Exponential, HalfNormal"),
    bad("bare Normal", priors({"sd": "Normal"}), hb.PriorError, "sd cannot", "such as HalfNormal, or"),
    bad(
        "brms's sigma",
        priors({"sigma": "student_t(3, 0, 2.5)"}),
        hb.PriorError,
        "sigma cannot",
        "such as HalfStudentT(nu=3, sigma=2.5), or",
    ),
    bad("correlation", priors({"cor": "Normal(0, 1)"}), hb.PriorError, "cor cannot", "LKJ(eta)"),
    bad("LKJ of b", priors({"b[x]": "LKJ(2)"}), hb.PriorError, "b[x] cannot", "Normal or StudentT"),
    bad("no cor", priors({"cor[g]": "LKJ(2)"}, "y ~ x + (1 | g)"), hb.PriorError, "'cor[g]'", "There are"),
    bad("no file", priors("sleep.toml"), hb.PriorError, "'sleep.toml'", "path of a TOML file"),
    bad("a text", priors("Normal(0, 1)"), hb.PriorError, "'Normal(0, 1)'", "a mapping such as"),
    bad("a list", priors([("b", "Normal(0, 1)")]), hb.PriorError, "mapping"),
]
SETTINGS = [
    bad("draws", sampled(draws=0), ValueError, "draws", "1 or more", "got 0"),
    bad("half draws", sampled(draws=100.5), ValueError, "draws", "whole number", "got 100.5"),
    bad("draws True", sampled(draws=True), ValueError, "draws", "whole number"),
    bad("chains", sampled(chains=-1), ValueError, "chains", "1 or more"),
    bad("tune", sampled(tune=-5), ValueError, "tune", "1 or more, or None"),
    bad("cores", sampled(cores=0), ValueError, "cores", "1 or more, or None"),
    bad("seed", sampled(seed=-1), ValueError, "seed", "0 or more", "got -1"),
    bad("text seed", sampled(seed="a"), ValueError, "seed", "whole number", "got 'a'"),
    bad("target", sampled(target_accept=1.0), ValueError, "target_accept", "between 0 and 1"),
    bad("text target", sampled(target_accept="high"), ValueError, "target_accept", "got 'high'"),
    bad("strategy", sampled(strategy="mcmc"), hb.UnsupportedError, "'mcmc'", "there are auto"),
    bad("sampler", sampled(sampler="stan"), hb.UnsupportedError, "'stan'", "there are nutpie"),
    bad(
        "parameterization",
        sampled(parameterization="ncp"),
        hb.UnsupportedError,
        "'ncp'",
        "noncentered and centered",
    ),
    bad("graph", lambda: hb.Model("y ~ x", D).graph("ncp"), hb.UnsupportedError, "'ncp'", "noncentered"),
    bad(
        "prior draws",
        lambda: hb.Model("y ~ x", D).prior_predictive(draws=0),
        ValueError,
        "draws",
        "1 or more",
    ),
]
INT, CODE, DAY = "y ~ x + (1 | id)", "y ~ x + (1 | code)", "y ~ x + (1 | day)"
BINOMIAL = "k | trials(n) ~ x + (1 | g)"
PREDICTIONS = [
    bad("unseen level", predicted(ROWS.assign(kind="huge")), hb.DataError, "'kind'", "huge", "(1 | kind)"),
    bad("unseen number", predicted({"id": [9]}, "y ~ C(id)"), hb.DataError, "'C(id)'", "9", "(1 | id)"),
    bad(
        "missing number",
        predicted(ROWS.assign(x=[1, np.nan])),
        hb.DataError,
        "'x' is missing in row 1",
        "fill it",
    ),
    bad(
        "missing text",
        predicted(ROWS.assign(kind=["lo", None])),
        hb.DataError,
        "'kind' is missing in row 1",
        "fill it",
    ),
    bad(
        "no column",
        predicted(ROWS.drop(columns="kind")),
        hb.DataError,
        "new rows have no column 'kind'",
        "they have x",
    ),
    bad("near column", predicted(ROWS.rename(columns={"x": "X"})), hb.DataError, "'x'", "did you mean 'X'?"),
    bad(
        "no factor",
        predicted(ROWS.drop(columns="g")),
        hb.DataError,
        "no column 'g'; they have x, kind, h",
        "None where it is unknown",
        "a list without 'g'",
    ),
    bad("other case", predicted(ROWS.rename(columns={"g": "G"})), hb.DataError, "did you mean 'G'?"),
    bad("a series", predicted(ROWS.iloc[0]), hb.DataError, "Series", "data.iloc[[0]]"),
    bad(
        "text for numbers", predicted(ROWS.assign(x=["0", "1"])), hb.DataError, "'x' holds text", "convert it"
    ),
    bad(
        "numbers for text",
        predicted(ROWS.assign(kind=[1, 2])),
        hb.DataError,
        "'kind' holds numbers",
        "convert it",
    ),
    bad(
        "dates for numbers",
        predicted(ROWS.assign(x=D["day"][:2])),
        hb.DataError,
        "'x' holds Timestamp",
        "convert it",
    ),
    bad("infinite", predicted(ROWS.assign(x=[0, np.inf])), hb.DataError, "'x'", "row 1", "remove or correct"),
    bad(
        "text for a number's level",
        predicted({"x": [1.0], "id": ["1"]}, INT),
        hb.DataError,
        "str '1'",
        "convert",
    ),
    bad(
        "number for a text's level",
        predicted({"x": [1.0], "code": [1]}, CODE),
        hb.DataError,
        "int 1",
        "convert",
    ),
    bad(
        "float for a text's level",
        predicted({"x": [1.0], "code": [1.0]}, CODE),
        hb.DataError,
        "float 1.0",
        "convert",
    ),
    bad(
        "text for a date's level",
        predicted({"x": [1.0], "day": ["2024-01-01"]}, DAY),
        hb.DataError,
        "Timestamp",
        "convert",
    ),
    bad(
        "truth for a number's level",
        predicted({"x": [1.0], "id": [True]}, INT),
        hb.DataError,
        "bool True",
        "convert",
    ),
    bad(
        "new level refused",
        predicted(ROWS.assign(g="q"), new_levels="error"),
        hb.DataError,
        "'g'",
        "q",
        "'sample'",
    ),
    bad(
        "missing refused",
        predicted(ROWS.assign(g=None), new_levels="error"),
        hb.DataError,
        "missing value",
        "'sample'",
    ),
    bad("unknown factor", predicted(ROWS, groups=["g", "school"]), hb.DataError, "'school'", "it has g, h"),
    bad("groups as text", predicted(ROWS, groups="All"), hb.DataError, "'All'", "groups='all'"),
    bad("kind", predicted(ROWS, kind="mu"), ValueError, "kind", "linear, mean, response", "'mu'"),
    bad(
        "new_levels",
        predicted(ROWS, new_levels="zero"),
        ValueError,
        "new_levels",
        "sample, mean, average, error",
    ),
    bad("output", predicted(ROWS, output="frame"), ValueError, "output", "'table' or 'draws'"),
    bad("prob", predicted(ROWS, prob=95), ValueError, "prob", "such as 0.95", "got 95"),
    bad("prob as text", predicted(ROWS, prob="g"), ValueError, "prob", "such as 0.95", "got 'g'"),
    bad("groups as a bool", predicted(ROWS, groups=False), hb.DataError, "False", "groups='none'"),
    bad("interval", predicted(ROWS, interval="hpd"), ValueError, "'eti'", "'hdi'", "'hpd'"),
    bad("seed", predicted(ROWS, seed=-1), ValueError, "seed", "0 or more"),
    bad("no table", predicted([1, 2]), hb.DataError, "the new rows must be a data frame", "list"),
    bad(
        "no trials",
        predicted({"x": [1.0], "g": ["a"]}, BINOMIAL, "binomial", kind="response"),
        hb.DataError,
        "'n'",
        "add",
    ),
    bad(
        "half trials",
        predicted({"x": [1.0], "g": ["a"], "n": [1.5]}, BINOMIAL, "binomial"),
        hb.DataError,
        "row 0",
    ),
    bad(
        "missing trials",
        predicted({"x": [1.0], "g": ["a"], "n": [None]}, BINOMIAL, "binomial"),
        hb.DataError,
        "'n'",
    ),
    bad(
        "compare nothing",
        lambda: fitted().compare(ROWS, ROWS[:0]),
        hb.DataError,
        "rows_b has no rows",
        "at least one",
    ),
    bad(
        "compare less", lambda: fitted().compare(ROWS.drop(columns="x"), ROWS), hb.DataError, "rows_a", "'x'"
    ),
    bad("summary", lambda: fitted().summary(prob=1.5), ValueError, "prob", "0.95"),
]
TABLE = {
    f"{group}: {case.name}": case
    for group, cases in {
        "data": DATA,
        "response": RESPONSE,
        "formula": FORMULAS,
        "prior": PRIORS,
        "setting": SETTINGS,
        "prediction": PREDICTIONS,
    }.items()
    for case in cases
}


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE.keys())
def test_bad_input_is_told_with_culprit_and_way_out(case, monkeypatch):
    monkeypatch.setattr(Nuts, "run", lambda *_: pytest.fail("this reached the sampler"))
    with pytest.raises(case.error) as caught:
        case.call()
    message = str(caught.value)
    assert type(caught.value) is case.error
    assert [words for words in case.words if words not in message] == [], message


def test_the_table_is_long_and_every_case_is_there():
    assert len(TABLE) == sum(map(len, (DATA, RESPONSE, FORMULAS, PRIORS, SETTINGS, PREDICTIONS)))
    assert len(TABLE) >= 130


def test_fit_finds_the_same_as_model():
    with pytest.raises(hb.DataError, match="did you mean 'x'"):
        hb.fit("y ~ X", D)


# -- files ------------------------------------------------------------------------------------------------------


def test_loading_what_is_no_fit(tmp_path):
    text, foreign, draws = tmp_path / "text.nc", tmp_path / "foreign.nc", tmp_path / "draws.nc"
    text.write_text("hello")
    xr.Dataset({"a": 1}).to_netcdf(foreign, engine="h5netcdf")
    fitted().tree.to_netcdf(draws, engine="h5netcdf")
    with pytest.raises(hb.DataError, match=r"no file .*absent\.nc.*save\(\)"):
        hb.load(tmp_path / "absent.nc")
    for path in (text, foreign, draws, tmp_path):
        with pytest.raises(hb.DataError, match=rf"{path.name}.* is not a fit that hierbayes saved.*save\(\)"):
            hb.load(path)


def test_loading_a_file_of_a_newer_version(tmp_path, monkeypatch):
    monkeypatch.setattr("hierbayes.seal.FORMAT", 99)
    fitted().save(tmp_path / "new.nc")
    monkeypatch.undo()
    with pytest.raises(hb.DataError, match="newer hierbayes; update"):
        hb.load(tmp_path / "new.nc")


def test_saving_into_no_folder(tmp_path):
    with pytest.raises(hb.DataError, match=r"no folder .*absent.*make it first"):
        fitted().save(tmp_path / "absent" / "fit.nc")


def test_a_prior_file_that_cannot_be_read(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("[priors]\nb = 'Normal(mean=1)'\n")
    with pytest.raises(hb.PriorError, match=r"bad\.toml.*'mean'.*Did you mean mu"):
        hb.Model("y ~ x", D, priors=file)


# -- what is no error ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "family", "response"),
    [
        ("z ~ x", "bernoulli", D["yes"].map({0: "no", 1: "yes"})),
        ("z ~ x", "bernoulli", D["yes"].astype(bool)),
        ("z ~ x", "bernoulli", D["yes"].astype(float)),
        ("z ~ x", "bernoulli", pd.Categorical(D["yes"].map({0: "no", 1: "yes"}), ["no", "yes", "perhaps"])),
        ("I(z == 'a') ~ x", "bernoulli", D["g"]),
    ],
    ids=["text", "bool", "float", "category", "comparison"],
)
def test_two_values_stand_for_0_and_1(formula, family, response):
    design = hb.Model(formula, D.assign(z=response), family=family).design
    expected = D["g"] == "a" if formula.startswith("I(") else D["yes"]
    np.testing.assert_array_equal(design.y, expected.to_numpy(float))


def test_a_whole_number_as_float_is_the_same_level():
    fit = fitted(INT)
    whole, floating = {"x": [1.0, 2.0], "id": [1, 2]}, {"x": [1.0, 2.0], "id": [1.0, 2.0]}
    options = {"new_levels": "error"}
    pd.testing.assert_frame_equal(fit.predict(floating, **options), fit.predict(whole, **options))


def test_counts_of_0_and_responses_of_1_only_are_fitted():
    for column, family in (("count", "poisson"), ("count", "negbinomial"), ("yes", "bernoulli")):
        value = 0 if column == "count" else 1
        with pytest.warns(hb.DataWarning, match="constant-response"):
            spec = hb.Model(f"{column} ~ x", D.assign(**{column: value}), family=family).spec
        assert np.isfinite([number for prior in spec.priors for _, number in prior.prior.args]).all()
