"""Facts about the data are reported before sampling, facts about the draws after it, each with what to do."""

import contextlib
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import hierbayes as hb
from hierbayes.criticism.checks import check_draws
from hierbayes.criticism.findings import Finding

from .test_predict import prior_fit, tame_fit, to_fit, values_of

N = 60
RNG = np.random.default_rng(9)
D = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "z": RNG.normal(size=N),
        "kind": RNG.choice(["lo", "mid", "hi"], N),
        "g": np.tile(list("abcdef"), N // 6),
        "id": np.arange(N),
        "name": [f"row {i}" for i in range(N)],
        "few": np.tile(list("uvwx"), N // 4),
        "five": np.tile(list("uvwxy"), N // 5),
        "one": "all",
        "year": 2000 + np.tile(np.arange(10), N // 10),
        "size": np.tile([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], N // 6),
        "count": RNG.poisson(4, N),
        "yes": np.tile([0, 1], N // 2),
        "k": RNG.integers(0, 11, N),
        "w": 1.0,
        "e": RNG.uniform(1, 2, N),
    }
)


def found(formula, data=D, **options) -> list[Finding]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        return list(hb.Model(formula, data, **options).check())


# -- the design ---------------------------------------------------------------------------------------------------

FINDINGS = [
    ("y ~ x + (1 | one)", {}, "one-level", ["'one' has a single level", "leave the group term out"]),
    ("y ~ x + (1 | few)", {}, "few-levels", ["'few' has only 4 levels", "as a population-level factor"]),
    (
        "y ~ x + (1 | name)",
        {},
        "one-row-a-level",
        ["every level of 'name' has one row", "leave the term out"],
    ),
    ("y ~ x + (1 | id)", {}, "numeric-factor", ["'id' is numeric", "(60)", "continuous predictor"]),
    ("y ~ x + (1 | z)", {}, "numeric-factor", ["'z' is numeric", "not behind a bar"]),
    ("count ~ x + (1 | z)", {"family": "poisson"}, "numeric-factor", ["'z' is numeric"]),
    ("yes ~ x + (1 | id)", {"family": "bernoulli"}, "numeric-factor", ["'id' is numeric"]),
    (
        "yes ~ x + (1 | name)",
        {"family": "bernoulli"},
        "one-row-a-level",
        ["'name'", "One 0 or 1", "leave the term out"],
    ),
    (
        "y ~ size + (size | g)",
        {},
        "constant-slope",
        ["'size' doesn't vary within any level of 'g'", "leave it out"],
    ),
    ("y ~ size + (size || g)", {}, "constant-slope", ["'size' doesn't vary within any level of 'g'"]),
    (
        "y ~ year + (year || g)",
        {},
        "far-from-zero",
        ["'year' lies far from 0 (mean 2004.5", "(year | g)", "(center(year) || g)"],
    ),
    ("y ~ 0 + (1 | g)", {}, "no-population-mean", ["'g' have no population-level mean", "add the intercept"]),
    ({"mu": "y ~ x", "sigma": "~ (1 | few)"}, {}, "few-levels", ["'few' has only 4 levels"]),
]


@pytest.mark.parametrize(("formula", "options", "code", "words"), FINDINGS)
def test_findings_about_the_design(formula, options, code, words):
    (finding,) = found(formula, **options)
    assert finding.code == code
    assert [word for word in words if word not in str(finding)] == []
    with pytest.warns(hb.DataWarning) as caught:
        hb.Model(formula, D, **options)
    assert [str(warning.message) for warning in caught] == [str(finding)]


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x + kind + (x + kind | g)", {}),
        ("y ~ x + (1 | five)", {}),
        ("y ~ x", {}),
        ("count ~ x + (1 | id)", {"family": "poisson"}),
        ("k | trials(10) ~ x + (1 | name)", {"family": "binomial"}),
        ("y ~ year + (center(year) || g)", {}),
        ("y ~ year + (year | g)", {}),
        ("y ~ (0 + kind | g)", {}),
        ("y ~ size + (0 + size | g)", {}),
        ({"mu": "y ~ x + (1 | g)", "sigma": "~ (1 | g)"}, {}),
    ],
)
def test_a_sound_design_has_no_findings(formula, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hb.Model(formula, D, **options).check() == ()


def test_every_finding_is_told():
    assert [
        finding.code for finding in found("y ~ size + (size || few)", D.assign(size=2000 + D["few"].map(ord)))
    ] == [
        "few-levels",
        "constant-slope",
        "far-from-zero",
    ]


def test_findings_read_as_sentences():
    for formula, options, code, _ in FINDINGS:
        text = str(found(formula, **options)[0])
        assert text.startswith(f"[{code}] ")
        assert text.endswith(".")
        assert not text.endswith("..")


# -- rows left out ------------------------------------------------------------------------------------------------


def gaps(**rows: int) -> pd.DataFrame:
    """The data with the value of one row missing in each column named."""
    data = D.copy()
    for column, row in rows.items():
        data[column] = data[column].where(data.index != row)
    return data


@pytest.mark.parametrize(
    ("formula", "data", "counts", "options"),
    [
        ("y ~ x + (1 | g)", gaps(y=0, x=1, g=2), ["3 of 60", "y (1)", "x (1)", "g (1)"], {}),
        ("y ~ x + (1 | g)", gaps(y=0, x=0, g=0), ["1 of 60", "y (1)", "x (1)", "g (1)"], {}),
        ("y | weights(w) ~ x + offset(log(e))", gaps(w=3, e=4), ["2 of 60", "w (1)", "e (1)"], {}),
        ("k | trials(id + 10) ~ x", gaps(id=3), ["1 of 60", "id (1)"], {"family": "binomial"}),
        ("y ~ 1 + (z | g/few)", gaps(z=1, few=2), ["2 of 60", "z (1)", "few (1)"], {}),
        (
            {"mu": "y ~ x", "sigma": "~ z + (1 | g)"},
            gaps(x=1, z=2, g=3),
            ["3 of 60", "x (1)", "z (1)", "g (1)"],
            {},
        ),
        (
            "I(y + z) ~ log(e):kind",
            gaps(y=1, z=2, e=3, kind=4),
            ["4 of 60", "y (1)", "z (1)", "e (1)", "kind (1)"],
            {},
        ),
    ],
)
def test_rows_left_out_name_columns_and_counts(formula, data, counts, options):
    with pytest.warns(hb.DataWarning, match="left out for missing values") as caught:
        model = hb.Model(formula, data, **options)
    message = next(str(warning.message) for warning in caught if "left out" in str(warning.message))
    assert [words for words in counts if words not in message] == []
    kept = N - int(counts[0].split()[0])
    assert len(model.design) == len(model.data) == kept
    assert not model.data.isna().any().any()
    assert all(len(bound.x) == len(bound.offset) == kept for bound in model.design.predictors.values())


def test_gaps_in_other_columns_leave_no_row_out():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(hb.Model("y ~ x + (1 | g)", gaps(z=0, w=1, few=2)).design) == N


def begin_fit(formula, data):
    with contextlib.suppress(hb.UnsupportedError):  # after the model is made, before any sampling
        hb.fit(formula, data, strategy="none of these")


@pytest.mark.parametrize("make", [hb.Model, begin_fit])
def test_warnings_point_at_the_users_line(make):
    with pytest.warns(hb.DataWarning) as caught:
        make("y ~ x + (1 | few)", gaps(x=0))
    assert len(caught) == 2
    assert {warning.filename for warning in caught} == {__file__}


# -- the draws ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fit() -> hb.Fit:
    return tame_fit(hb.Model("y ~ x + (x | g)", D), draws=500, chains=4)


def with_statistics(fit: hb.Fit, **arrays) -> hb.Fit:
    tree = fit.tree.copy()
    tree["sample_stats"] = xr.DataTree(
        xr.Dataset({name: (("chain", "draw"), a) for name, a in arrays.items()})
    )
    return hb.Fit(fit.spec, fit.data, fit.design, tree)


def test_independent_draws_have_no_findings(fit):
    assert check_draws(fit.spec, fit.tree) == ()
    clean = with_statistics(
        fit, diverging=np.zeros((4, 500), bool), reached_max_treedepth=np.zeros((4, 500), bool)
    )
    assert check_draws(clean.spec, clean.tree) == ()


def test_divergences_are_counted(fit):
    diverging = np.zeros((4, 500), bool)
    diverging[1, :7] = True
    (finding,) = check_draws(fit.spec, with_statistics(fit, diverging=diverging).tree)
    assert finding.code == "divergences"
    assert "7 of 2000 draws diverged" in finding.found
    assert "target_accept=0.99" in finding.advice


@pytest.mark.parametrize(("share", "codes"), [(0.04, []), (0.06, ["treedepth"])])
def test_tree_depth(fit, share, codes):
    deep = np.arange(2000).reshape(4, 500) < 2000 * share
    assert [
        f.code for f in check_draws(fit.spec, with_statistics(fit, reached_max_treedepth=deep).tree)
    ] == codes


def test_chains_that_disagree_are_named(fit):
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    values["b"][:500, 1] += 10 * values["b"][:, 1].std()
    apart = to_fit(hb.Model("y ~ x + (x | g)", D), values, 4)
    found = check_draws(apart.spec, apart.tree)
    assert [finding.code for finding in found] == ["r-hat", "low-ess"]
    assert "for x (largest" in found[0].found
    assert "Intercept" not in found[0].found


def test_few_effective_draws_are_named(fit):
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    values["sigma"] = np.sort(values["sigma"].reshape(4, 500), axis=1).ravel()
    codes = {finding.code: finding for finding in to_fit(hb.Model("y ~ x + (x | g)", D), values, 4).check()}
    assert "of sigma; least" in codes["low-ess"].found
    assert "fit(draws=" in codes["low-ess"].advice


def test_an_interrupted_run_says_so(fit):
    stopped = with_statistics(fit)
    stopped.tree.attrs["interrupted"] = 1
    (finding,) = check_draws(stopped.spec, stopped.tree)
    assert finding.code == "interrupted"
    assert "500 draws of 4 chains" in finding.found


def test_too_few_draws_for_diagnostics_are_no_error():
    short = prior_fit(hb.Model("y ~ x + (x | g)", D), draws=3, chains=1)
    (finding,) = short.check()
    assert (finding.code, "3 draws say nothing of convergence" in finding.found) == ("few-draws", True)


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_a_draw_or_two_answer_or_refuse_in_words(draws, known_fit):
    fit = known_fit(hb.Model("y ~ x + (1 | g)", D), {"sd_g": [1.0], "sigma": 1.0}, chains=1, draws=draws)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables = fit.summary(), fit.coef(), fit.predict(), fit.icc(), fit.avg_slopes(), fit.residuals()
    assert tables[0]["sd"].isna().all() == (draws == 1)
    for reweighting in (
        fit.loo,
        fit.prior_sensitivity,
        lambda: fit.logo("g"),
        lambda: fit.check(thorough=True),
    ):
        with pytest.raises(
            hb.UnsupportedError, match=rf"needs 30 or more, and this fit has {draws}; draw more"
        ):
            reweighting()
