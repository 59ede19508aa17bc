"""Tables from draws: lme4's names, the levels' own values, numbers as NumPy and ArviZ have them."""

import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from numpy.testing import assert_allclose, assert_array_equal

import hierbayes as hb

from .test_design import quiet
from .test_predict import prior_fit, tame_fit, to_fit, values_of

N = 60
RNG = np.random.default_rng(10)
D = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "z": RNG.normal(size=N),
        "kind": RNG.choice(["lo", "mid", "hi"], N),
        "g": np.tile(list("fedcba"), N // 6),
        "h": np.repeat([7, 3, 5, 1, 9], N // 5),
        "count": RNG.poisson(4, N),
    }
)
FORMULA = "y ~ x + kind + (x + z | g) + (1 | h)"
NUMBERS = ["mean", "sd", "lower", "upper"]


@pytest.fixture(scope="module")
def fit() -> hb.Fit:
    return tame_fit(hb.Model(FORMULA, D), draws=200, chains=4)


@pytest.fixture(scope="module")
def distributional() -> hb.Fit:
    formulas = {"mu": "y ~ x + (x | g)", "sigma": "~ kind + (1 | g) + (0 + x || h)"}
    return tame_fit(hb.Model(formulas, D, family="student"), draws=100)


def assert_numbers(row: pd.Series, draws: np.ndarray, prob: float = 0.89) -> None:
    tails = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2])
    assert_allclose(row[NUMBERS].to_numpy(float), [draws.mean(), draws.std(ddof=1), *tails])


# -- summary ------------------------------------------------------------------------------------------------------


def test_summary_has_every_scalar_quantity(fit):
    table = fit.summary()
    assert list(table.columns) == [*NUMBERS, "ess_bulk", "ess_tail", "r_hat", "mcse_mean"]
    assert table.index.tolist() == [
        "Intercept",
        "x",
        "kind[lo]",
        "kind[mid]",
        "sd[g, Intercept]",
        "sd[g, x]",
        "sd[g, z]",
        "cor[g, Intercept, x]",
        "cor[g, Intercept, z]",
        "cor[g, x, z]",
        "sd[h, Intercept]",
        "sigma",
    ]
    assert table.attrs["interval"] == "89% ETI"
    b, cor = values_of(fit, "b"), values_of(fit, "cor_g")
    assert_numbers(table.loc["x"], b[:, 1])
    assert_numbers(table.loc["sd[g, z]"], values_of(fit, "sd_g")[:, 2])
    assert_numbers(table.loc["cor[g, x, z]"], cor[:, 1, 2])
    assert_numbers(table.loc["sigma"], values_of(fit, "sigma"))


def test_summary_of_two_formulas_names_the_parameter(distributional):
    assert distributional.summary().index.tolist() == [
        "Intercept",
        "x",
        "sd[g, Intercept]",
        "sd[g, x]",
        "cor[g, Intercept, x]",
        "sigma.Intercept",
        "sigma.kind[lo]",
        "sigma.kind[mid]",
        "sigma.sd[g, Intercept]",
        "sigma.sd[h, x]",
        "nu",
    ]
    assert_numbers(distributional.summary().loc["sigma.kind[lo]"], values_of(distributional, "b_sigma")[:, 1])


def test_names_of_the_summary_are_addresses_of_priors(distributional):
    entries = {}
    for name in distributional.summary().index:
        parameter, rest = ("sigma.", name.removeprefix("sigma.")) if name.startswith("sigma.") else ("", name)
        if rest.startswith("cor["):
            entries[f"{parameter}cor[g]"] = "LKJ(3)"
        elif rest.startswith("sd[") or rest in ("Intercept", "nu"):
            entries[f"{parameter}{rest}"] = "HalfNormal(1)"
        else:
            entries[f"{parameter}b[{rest}]"] = "Normal(0, 1)"
    formulas = {"mu": "y ~ x + (x | g)", "sigma": "~ kind + (1 | g) + (0 + x || h)"}
    assert set(hb.Model(formulas, D, family="student", priors=entries).priors["origin"]) == {"user"}


@pytest.mark.parametrize(("prob", "kind"), [(0.5, "eti"), (0.95, "hdi")])
def test_intervals_are_as_asked(fit, prob, kind):
    draws = values_of(fit, "b")[:, 1]
    expected = getattr(array_stats, kind)(draws, prob)
    for table in (
        fit.summary(prob=prob, interval=kind).loc[["x"]],
        fit.fixef(prob=prob, interval=kind).query("effect == 'x'"),
    ):
        assert_allclose(table[["lower", "upper"]].to_numpy()[0], expected)
        assert table.attrs["interval"] == f"{100 * prob:g}% {kind.upper()}"


def test_intervals_follow_arvizs_settings(fit):
    with az.rc_context({"stats.ci_prob": 0.6, "stats.ci_kind": "hdi"}):
        for table in (fit.summary(), fit.fixef(), fit.ranef(), fit.coef(), fit.varcorr()):
            assert table.attrs["interval"] == "60% HDI"


def test_diagnostics_are_arvizs():
    model = hb.Model(FORMULA, D)
    values = {
        v.name: values_of(prior_fit(model, draws=300, chains=4), v.name).copy() for v in model.spec.variables
    }
    rng = np.random.default_rng(0)
    for name, array in values.items():  # draws that follow each other, and one chain elsewhere
        if not name.startswith("cor"):
            chains = array.reshape(4, 300, -1)
            chains += np.cumsum(0.05 * rng.normal(size=chains.shape), axis=1)
            chains[0] += chains.std(axis=(0, 1))
    fit = to_fit(model, values, 4)
    table = fit.summary()
    reference = az.summary(fit.tree, var_names=["b", "sd_g", "sd_h", "sigma"], round_to="none")
    pairs = {
        "b[Intercept]": "Intercept",
        "b[kind[mid]]": "kind[mid]",
        "sd_g[x]": "sd[g, x]",
        "sd_h[Intercept]": "sd[h, Intercept]",
        "sigma": "sigma",
    }
    for theirs, ours in pairs.items():
        for column in ("mean", "sd", "ess_bulk", "r_hat", "mcse_mean"):
            assert table.loc[ours, column] == pytest.approx(float(reference.loc[theirs, column]), rel=1e-6)
        assert table.loc[ours, "r_hat"] > 1.001
    # the 5% and 95% quantiles of the paper, whatever the width of intervals
    tails = az.ess(fit.tree, var_names=["sd_g", "sigma"], method="tail", prob=(0.05, 0.95))
    assert_allclose(table.loc["sd[g, Intercept]":"sd[g, z]", "ess_tail"], tails["sd_g"])
    assert table.loc["sigma", "ess_tail"] == pytest.approx(float(tails["sigma"]))
    assert_allclose(
        table["ess_bulk"]["x"], array_stats.ess(values["b"].reshape(4, 300, 4)[..., 1], method="bulk")
    )


def test_transformed_quantities_are_computed_in_every_draw(fit):
    odds = fit.summary(0.89, "eti", transform=np.exp)
    draws = fit.summary(output="draws").values
    assert list(odds.index) == list(fit.summary().index)
    assert_numbers(odds.loc["x"], np.exp(draws[..., list(odds.index).index("x")]).ravel())
    ratio = fit.summary(0.89, "eti", transform={"x by sigma": lambda q: q["x"] / q["sigma"]})
    assert list(ratio.index) == ["x by sigma"]
    places = [list(odds.index).index(name) for name in ("x", "sigma")]
    assert_numbers(ratio.loc["x by sigma"], (draws[..., places[0]] / draws[..., places[1]]).ravel())
    assert_allclose(
        fit.summary(transform={"r": lambda q: q["x"] ** 2}, output="draws").squeeze(),
        draws[..., places[0]] ** 2,
    )


def test_a_quotient_without_a_mean_has_none_in_a_transformed_summary(fit):
    rng = np.random.default_rng(3)
    table = fit.summary(transform={"Cauchy": lambda q: rng.standard_cauchy(q["x"].shape)})
    assert np.isnan(table.loc["Cauchy", "mean"])
    assert np.isfinite(table.loc["Cauchy", "median"])


def test_a_transform_that_is_none_is_refused(fit):
    with pytest.raises(hb.DataError, match="there is no quantity 'sigm'; did you mean 'sigma'"):
        fit.summary(transform={"ratio": lambda q: q["x"] / q["sigm"]})
    with pytest.raises(hb.DataError, match="transform 'mean' must make a number of each draw"):
        fit.summary(transform={"mean": lambda q: q["x"].mean()})


# -- tables by lme4's names ---------------------------------------------------------------------------------------


def test_fixef(fit, distributional):
    table = fit.fixef()
    assert list(table.columns) == ["parameter", "effect", *NUMBERS]
    assert table["effect"].tolist() == ["Intercept", "x", "kind[lo]", "kind[mid]"]
    for j in range(4):
        assert_numbers(table.loc[j], values_of(fit, "b")[:, j])
    both = distributional.fixef()
    assert both["parameter"].tolist() == ["mu"] * 2 + ["sigma"] * 3


def test_ranef(fit):
    table = fit.ranef()
    assert list(table.columns) == ["group", "level", "effect", *NUMBERS]
    assert len(table) == 6 * 3 + 5
    for g, level in enumerate("abcdef"):
        for j, effect in enumerate(["Intercept", "x", "z"]):
            (row,) = (
                table[(table["group"] == "g") & (table["level"] == level) & (table["effect"] == effect)]
            ).index
            assert_numbers(table.loc[row], values_of(fit, "r_g")[:, g, j])
    numbered = table[table["group"] == "h"]
    assert numbered["level"].tolist() == [1, 3, 5, 7, 9]
    assert {type(level) for level in numbered["level"]} == {int}


def test_coef_is_the_population_plus_the_deviation(fit):
    table = fit.coef()
    assert list(table.columns) == ["group", "level", "effect", *NUMBERS]
    b, r_g, r_h = values_of(fit, "b"), values_of(fit, "r_g"), values_of(fit, "r_h")
    rows = table.set_index(["group", "level", "effect"])
    assert_numbers(rows.loc["g", "c", "Intercept"], b[:, 0] + r_g[:, 2, 0])
    assert_numbers(rows.loc["g", "c", "x"], b[:, 1] + r_g[:, 2, 1])
    assert_numbers(
        rows.loc["g", "c", "z"], r_g[:, 2, 2]
    )  # no population-level z: the deviation alone, as in lme4
    assert_numbers(rows.loc["h", 5, "Intercept"], b[:, 0] + r_h[:, 2, 0])


def test_coef_of_categories_finds_its_column():
    fit = tame_fit(hb.Model("y ~ kind + (0 + kind | g) + (kind || h)", D), draws=50)
    rows = fit.coef().set_index(["group", "level", "effect"])
    b, r_g, r_h = values_of(fit, "b"), values_of(fit, "r_g"), values_of(fit, "r_h")
    assert_numbers(rows.loc["g", "a", "kind[lo]"], b[:, 1] + r_g[:, 0, 1])
    assert_numbers(rows.loc["g", "a", "kind[hi]"], r_g[:, 0, 0])
    assert_numbers(rows.loc["h", 9, "kind[mid]"], b[:, 2] + r_h[:, 4, 2])


def test_varcorr(fit):
    table = fit.varcorr()
    more = [f"{name}{bound}" for name in ("variance", "share") for bound in ("", "_lower", "_upper")]
    assert list(table.columns) == ["parameter", "group", "effect", "effect2", *NUMBERS, *more]
    assert list(zip(table["group"], table["effect"], table["effect2"], strict=True)) == [
        ("g", "Intercept", ""),
        ("g", "x", ""),
        ("g", "z", ""),
        ("g", "Intercept", "x"),
        ("g", "Intercept", "z"),
        ("g", "x", "z"),
        ("h", "Intercept", ""),
        ("Residual", "sigma", ""),
    ]
    assert_numbers(table.loc[2], values_of(fit, "sd_g")[:, 2])
    assert_numbers(table.loc[5], values_of(fit, "cor_g")[:, 1, 2])
    assert_numbers(table.loc[7], values_of(fit, "sigma"))


def test_varcorr_of_a_parameter_with_a_formula(distributional):
    table = distributional.varcorr()
    assert list(zip(table["parameter"], table["group"], table["effect"], table["effect2"], strict=True)) == [
        ("mu", "g", "Intercept", ""),
        ("mu", "g", "x", ""),
        ("mu", "g", "Intercept", "x"),
        ("sigma", "g", "Intercept", ""),
        ("sigma", "h", "x", ""),
        ("mu", "Residual", "sigma", ""),
    ]
    eta = sigmas(distributional)  # of a row, averaged over the rows of D, which count alike
    assert_numbers(table.iloc[-1], np.sqrt(np.exp(2 * eta).mean(axis=1)))


def sigmas(fit: hb.Fit) -> np.ndarray:
    """log sigma ~ kind + (1 | g) + (0 + x || h) in every draw, row by row: (S, n)."""
    b, r_g, r_h = (values_of(fit, name) for name in ("b_sigma", "r_sigma_g", "r_sigma_h"))
    coefficients = fit.fixef().query("parameter == 'sigma'")["effect"].tolist()
    columns = []
    for _, row in D.iterrows():
        eta = b[:, coefficients.index("Intercept")].copy()
        if f"kind[{row['kind']}]" in coefficients:
            eta += b[:, coefficients.index(f"kind[{row['kind']}]")]
        for name, r in (("g", r_g), ("h", r_h)):
            level = fit.posterior[name].to_numpy().tolist().index(row[name])
            eta += r[:, level, 0] * (row["x"] if name == "h" else 1.0)
        columns.append(eta)
    return np.stack(columns, axis=1)


def test_only_correlated_pairs_have_correlations():
    fit = tame_fit(hb.Model("y ~ x + (x | g) + (0 + z || g) + (0 + kind | h)", D), draws=20)
    pairs = [name for name in fit.summary().index if name.startswith("cor")]
    assert pairs == [
        "cor[g, Intercept, x]",
        "cor[h, kind[hi], kind[lo]]",
        "cor[h, kind[hi], kind[mid]]",
        "cor[h, kind[lo], kind[mid]]",
    ]


def test_levels_of_another_parameters_formula_say_so(distributional):
    table = distributional.ranef()
    assert list(table.columns) == ["parameter", "group", "level", "effect", *NUMBERS]
    sigma = table[(table["parameter"] == "sigma") & (table["group"] == "g")]
    assert_allclose(sigma["mean"], values_of(distributional, "r_sigma_g")[..., 0].mean(axis=0))
    assert len(table) == 12 + 6 + 5


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (D["h"], int),
        (D["h"] / 2, float),
        (D["g"], str),
        (pd.Series(pd.date_range("2024", periods=5).to_numpy()[np.arange(N) % 5]), pd.Timestamp),
        (pd.Series(pd.Categorical(D["h"], [9, 7, 5, 3, 1])), int),
        (pd.Series([(i % 5, "a") for i in range(N)]), tuple),
    ],
    ids=["integers", "numbers", "text", "times", "categories", "pairs"],
)
def test_levels_keep_their_own_type(column, kind):
    fit = tame_fit(quiet("y ~ x + (x | g)", D.assign(g=column)), draws=10)
    for table in (fit.ranef(), fit.coef()):
        assert {type(level) for level in table["level"].tolist()} == {kind}
        assert set(table["level"]) == set(column)


def test_tables_of_a_model_without_groups_or_without_coefficients():
    plain = tame_fit(hb.Model("count ~ x", D, family="poisson"), draws=20)
    assert plain.summary().index.tolist() == ["Intercept", "x"]
    assert (len(plain.ranef()), len(plain.coef()), len(plain.varcorr())) == (0, 0, 0)
    bare = tame_fit(quiet("y ~ 0 + (1 | g)", D), draws=20)
    assert len(bare.fixef()) == 0
    assert_array_equal(bare.coef()[NUMBERS], bare.ranef()[NUMBERS])
    for table in (plain.ranef(), bare.fixef()):
        assert table.columns[-4:].tolist() == NUMBERS


def test_every_method_agrees_with_every_other(fit):
    fixef, ranef, coef = (getattr(fit, name)() for name in ("fixef", "ranef", "coef"))
    population = fixef.set_index("effect")["mean"]
    assert_allclose(coef["mean"], ranef["mean"] + population.reindex(coef["effect"]).fillna(0).to_numpy())
    summary = fit.summary()
    varcorr = fit.varcorr()
    assert_allclose(summary.loc["sd[g, Intercept]":, "mean"], varcorr["mean"])
    assert_allclose(summary["mean"].iloc[:4], fixef["mean"])


def test_summaries_are_quiet(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("summary", "fixef", "ranef", "coef", "varcorr"):
            getattr(fit, name)()


def test_a_quantity_that_never_moves_has_no_r_hat(fit):
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    values["sigma"][:] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = to_fit(hb.Model(FORMULA, D), values, 4).summary().loc["sigma"]
    assert np.isnan(row["r_hat"])
    assert (row["mean"], row["sd"]) == (1.0, 0.0)


@pytest.mark.parametrize("method", ["summary", "fixef", "ranef", "coef", "varcorr"])
def test_draws_are_what_the_table_summarises(fit, method):
    table, draws = getattr(fit, method)(), getattr(fit, method)(output="draws")
    assert draws.dims == ("chain", "draw", "quantity")
    assert_allclose(draws.mean(("chain", "draw")), table["mean"], rtol=1e-10)
    assert_allclose(draws.quantile(0.055, ("chain", "draw")), table["lower"], rtol=1e-6)
    with pytest.raises(ValueError, match="output"):
        getattr(fit, method)(output="everything")
