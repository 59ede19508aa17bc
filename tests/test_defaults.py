"""Default priors move with the data's units, stay sane in extreme data, and yield to the user's most specific entry."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from tests.test_families import TEN, tabled

from .test_design import RESPONSES, D, N, quiet

FORMULA = "x * kind + yes + (x + kind | g)"


def numbers(model, parameter="mu") -> dict[tuple[str, str, str], tuple[str, dict[str, float]]]:
    """Distribution and arguments by class, coefficient and group, of one parameter's formula."""
    return {
        (p.kind, p.coefficient, p.group): (p.prior.name, dict(p.prior.args))
        for p in model.spec.priors
        if p.parameter == parameter or p.kind == p.parameter
    }


def same(found, expected, rtol=1e-9):
    assert found.keys() == expected.keys()
    for key, (name, arguments) in expected.items():
        assert found[key][0] == name
        assert_allclose(list(found[key][1].values()), list(arguments.values()), rtol=rtol, err_msg=str(key))


# -- numbers ------------------------------------------------------------------------------------------------------


def test_sleepstudy_has_the_numbers_of_its_means_and_standard_deviations():
    sleep = hb.load_dataset("sleepstudy")
    y, days = sleep["Reaction"], sleep["Days"]
    sd_y, sd_x = y.std(ddof=0), days.std(ddof=0)
    found = numbers(hb.Model("Reaction ~ Days + (Days | Subject)", sleep))
    same(
        found,
        {
            ("Intercept", "", ""): ("Normal", {"mu": y.mean(), "sigma": 2.5 * sd_y}),
            ("b", "Days", ""): ("Normal", {"mu": 0.0, "sigma": 2.5 * sd_y / sd_x}),
            ("sd", "Intercept", "Subject"): ("Exponential", {"lam": 1 / sd_y}),
            ("sd", "Days", "Subject"): ("Exponential", {"lam": sd_x / sd_y}),
            ("cor", "", "Subject"): ("LKJ", {"eta": 1.0}),
            ("sigma", "", ""): ("Exponential", {"lam": 1 / sd_y}),
        },
    )


@pytest.mark.parametrize("family", RESPONSES)
def test_a_shifted_predictor_changes_no_prior(family):
    formula = f"{RESPONSES[family]} ~ {FORMULA.replace('x * kind', 'x + kind')}"
    model, shifted = (quiet(formula, data, family=family) for data in (D, D.assign(x=D["x"] + 2000)))
    same(numbers(shifted), numbers(model))


@pytest.mark.parametrize("family", RESPONSES)
def test_a_rescaled_predictor_rescales_its_own_priors(family):
    formula = f"{RESPONSES[family]} ~ {FORMULA}"
    expected = numbers(quiet(formula, D, family=family))
    for (kind, coefficient, _), (_, arguments) in expected.items():
        if "x" in coefficient.split(":"):
            name, factor = ("sigma", 1e-3) if kind == "b" else ("lam", 1e3)
            arguments[name] *= factor
    same(numbers(quiet(formula, D.assign(x=1000 * D["x"]), family=family)), expected)


@pytest.mark.parametrize("family", ["gaussian", "student"])
def test_other_units_of_the_response_are_other_units_of_the_priors(family):
    expected = numbers(quiet(f"y ~ {FORMULA}", D, family=family))
    for (kind, *_), (name, arguments) in expected.items():
        if name == "Normal":
            arguments["sigma"] *= 1000
            arguments["mu"] = 1000 * arguments["mu"] - 7 * (kind == "Intercept")
        elif name == "Exponential":
            arguments["lam"] /= 1000
    same(numbers(quiet(f"y ~ {FORMULA}", D.assign(y=1000 * D["y"] - 7), family=family)), expected)


@pytest.mark.parametrize(
    ("family", "link", "column"),
    [
        ("lognormal", "identity", "age"),
        ("gamma", "log", "age"),
        ("gaussian", "log", "age"),
        ("student", "log", "age"),
    ],
)
def test_other_units_under_a_log_shift_the_intercept(family, link, column):
    expected = numbers(quiet(f"{column} ~ x + (x | g)", D, family=family, link=link))
    expected["Intercept", "", ""][1]["mu"] += np.log(1000)
    if family in ("gaussian", "student"):
        expected["sigma", "", ""][1]["lam"] /= 1000
    same(
        numbers(quiet(f"{column} ~ x + (x | g)", D.assign(age=1000 * D["age"]), family=family, link=link)),
        expected,
    )


def test_an_offset_is_taken_off_the_intercept():
    exposure = D.assign(e=np.linspace(1e5, 2e6, N))
    model = quiet("count ~ x + offset(log(e))", exposure, family="poisson")
    (name, arguments) = numbers(model)["Intercept", "", ""]
    assert name == "Normal"
    assert arguments["mu"] == pytest.approx(np.log(D["count"].mean()) - np.log(exposure["e"]).mean())
    rate = np.log(D["count"].sum() / exposure["e"].sum())
    assert abs(rate - arguments["mu"]) < 0.25 * arguments["sigma"]
    thousands = numbers(quiet("count ~ x + offset(log(e / 1000))", exposure, family="poisson"))
    assert thousands["Intercept", "", ""][1]["mu"] == pytest.approx(arguments["mu"] + np.log(1000))


def test_without_an_intercept_the_coefficients_reach_the_level():
    found = numbers(quiet("y ~ 0 + kind", D.assign(y=D["y"] + 500)))
    assert found.keys() == {
        ("b", "kind[hi]", ""),
        ("b", "kind[lo]", ""),
        ("b", "kind[mid]", ""),
        ("sigma", "", ""),
    }
    assert all(arguments["sigma"] > 500 for name, arguments in found.values() if name == "Normal")


def test_another_parameters_formula_is_on_its_own_scale():
    data = D.assign(y=1000 * D["y"])
    found = numbers(quiet({"mu": "y ~ x", "sigma": "~ x + (x | g)"}, data), "sigma")
    sd_x = D["x"].std(ddof=0)
    same(
        found,
        {
            ("Intercept", "", ""): ("Normal", {"mu": np.log(data["y"].std(ddof=0)), "sigma": 2.5}),
            ("b", "x", ""): ("Normal", {"mu": 0.0, "sigma": 2.5 / sd_x}),
            ("sd", "Intercept", "g"): ("Exponential", {"lam": 1.0}),
            ("sd", "x", "g"): ("Exponential", {"lam": sd_x}),
            ("cor", "", "g"): ("LKJ", {"eta": 1.0}),
        },
    )


# -- extremes -----------------------------------------------------------------------------------------------------

SIGNS = np.where(np.arange(N) % 2, 1.0, -1.0)
EXTREMES = {
    "gaussian": {
        "plain": D["y"],
        "mean 0": SIGNS,
        "tiny": 1e-9 * D["y"],
        "huge": 1e12 * D["y"],
        "negative": -D["y"].abs() - 1,
        "far": 1e9 + D["x"],
    },
    "lognormal": {
        "plain": D["age"],
        "log mean 0": 2.0**SIGNS,
        "tiny": 1e-12 * D["age"],
        "huge": 1e12 * D["age"],
    },
    "bernoulli": {"plain": D["yes"], "all": np.ones(N), "none": np.zeros(N)},
    "binomial": {"plain": D["k"], "all": D["n"], "none": np.zeros(N)},
    "poisson": {
        "plain": D["count"],
        "none": np.zeros(N),
        "one": np.arange(N) == 3,
        "huge": 1e12 + D["count"],
    },
    "gamma": {"plain": D["age"], "tiny": 1e-12 * D["age"], "huge": 1e12 * D["age"]},
    "beta": {"plain": D["share"], "near 0": 1e-9 * D["share"], "near 1": 1 - 1e-9 * D["share"]},
}
EXTREMES |= {
    "student": EXTREMES["gaussian"],
    "negbinomial": EXTREMES["poisson"],
    "betabinomial": EXTREMES["binomial"],
}


@pytest.mark.parametrize(
    ("family", "link", "case"),
    [(name, link, case) for name in TEN for link in tabled(name) for case in EXTREMES[name]],
)
def test_every_family_and_link_has_sane_numbers(family, link, case):
    y = np.asarray(EXTREMES[family][case], dtype=float)
    response = "y | trials(n)" if FAMILIES[family].needs_trials else "y"
    model = quiet(f"{response} ~ x + (x | g)", D.assign(y=y), family=family, link=link)
    found = numbers(model)
    values = np.array([number for _, arguments in found.values() for number in arguments.values()])
    assert np.isfinite(values).all()
    widths = {key: arguments["sigma"] for key, (name, arguments) in found.items() if name == "Normal"}
    scale = widths["Intercept", "", ""] / 2.5
    assert scale > 0
    assert_allclose(widths["b", "x", ""], 2.5 * scale / D["x"].std(ddof=0), rtol=1e-9)
    assert_allclose(found["sd", "Intercept", "g"][1]["lam"], 1 / scale, rtol=1e-9)
    mean = (
        np.log(y).mean() if family == "lognormal" else y.mean() / (12 if FAMILIES[family].needs_trials else 1)
    )
    if link == "identity":
        assert found["Intercept", "", ""][1]["mu"] == pytest.approx(mean)
        continuous = np.log(y) if family == "lognormal" else y
        assert scale == pytest.approx(continuous.std() or 1.0)
    elif link == "inverse":
        assert scale == pytest.approx(abs(found["Intercept", "", ""][1]["mu"]))
    else:
        assert scale == 1.0
        total = 12 * N if FAMILIES[family].needs_trials else N
        if link != "log":  # half a row inside the boundary
            centre = LINKS[link].link((mean * total + 0.5) / (total + 1))
        elif mean > 0:
            centre = np.log(mean)
        else:
            centre = np.log(0.5 / total) if y.min() >= 0 else np.log(y.std())
        assert found["Intercept", "", ""][1]["mu"] == pytest.approx(float(centre))


# -- the user's choices -------------------------------------------------------------------------------------------


def chosen(priors, formula="y ~ x + kind + (x | g) + (1 | h)") -> pd.DataFrame:
    return quiet(formula, D, priors=priors).priors.set_index(["class", "coefficient", "group"])


def test_the_most_specific_address_wins_in_any_order():
    entries = {
        "b": "Normal(0, 1)",
        "b[x]": "Normal(0, 2)",
        "sd": "Exponential(1)",
        "sd[g]": "Exponential(2)",
        "sd[g, x]": "Exponential(3)",
        "cor": "LKJ(5)",
    }
    for priors in (entries, dict(reversed(entries.items()))):
        prior = chosen(priors)["prior"]
        assert prior["b", "x", ""] == "Normal(mu=0, sigma=2)"
        assert prior["b", "kind[lo]", ""] == "Normal(mu=0, sigma=1)"
        assert prior["sd", "x", "g"] == "Exponential(lam=3)"
        assert prior["sd", "Intercept", "g"] == "Exponential(lam=2)"
        assert prior["sd", "Intercept", "h"] == "Exponential(lam=1)"
        assert prior["cor", "", "g"] == "LKJ(eta=5)"


def test_origins_say_who_chose(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[priors]\n"b[x]" = "Normal(0, 2)"\n')
    from_file, from_user = chosen(file)["origin"], chosen({"b[x]": "Normal(0, 2)"})["origin"]
    assert from_file["b", "x", ""] == "file mine.toml"
    assert from_user["b", "x", ""] == "user"
    assert set(from_file.drop(("b", "x", ""))) == set(from_user.drop(("b", "x", ""))) == {"default"}


@pytest.mark.parametrize(
    "name", ["HalfNormal", "HalfCauchy", "HalfStudentT", "Exponential", "Gamma", "LogNormal"]
)
def test_a_bare_name_of_a_positive_prior_has_the_default_scale(name):
    model = quiet("y ~ x + (x | g)", D, priors={"sd": name, "sigma": name})
    sd_y, sd_x = D["y"].std(ddof=0), D["x"].std(ddof=0)
    for key, scale in (
        (("sd", "Intercept", "g"), sd_y),
        (("sd", "x", "g"), sd_y / sd_x),
        (("sigma", "", ""), sd_y),
    ):
        found, arguments = numbers(model)[key]
        expected = {
            "HalfNormal": {"sigma": scale},
            "HalfCauchy": {"beta": scale},
            "HalfStudentT": {"nu": 3.0, "sigma": scale},
            "Exponential": {"lam": 1 / scale},
            "Gamma": {"alpha": 2.0, "beta": 2 / scale},
            "LogNormal": {"mu": np.log(scale), "sigma": 1.0},
        }[name]
        assert found == name
        assert arguments == pytest.approx(expected)


def test_a_bare_name_of_a_real_prior_has_the_default_place_and_width():
    model = quiet("y ~ x + (x | g)", D, priors={"Intercept": "StudentT", "b": "Cauchy"})
    sd_y, sd_x = D["y"].std(ddof=0), D["x"].std(ddof=0)
    found = numbers(model)
    assert found["Intercept", "", ""][1] == pytest.approx(
        {"nu": 3.0, "mu": D["y"].mean(), "sigma": 2.5 * sd_y}
    )
    assert found["b", "x", ""][1] == pytest.approx({"alpha": 0.0, "beta": 2.5 * sd_y / sd_x})


@pytest.mark.parametrize(
    ("family", "parameter", "typical"),
    [("student", "nu", 10), ("negbinomial", "shape", 1), ("beta", "phi", 10), ("betabinomial", "phi", 10)],
)
def test_a_bare_name_of_a_parameter_without_units_has_nothing_to_do_with_the_responses_scale(
    family, parameter, typical
):
    model = quiet(f"{RESPONSES[family]} ~ x", D, family=family, priors={parameter: "HalfNormal"})
    assert numbers(model)[parameter, "", ""][1] == {"sigma": typical}


def test_addresses_of_another_parameters_formula():
    formulas = {"mu": "y ~ x + (1 | g)", "sigma": "~ x + (x | g)"}
    model = quiet(
        formulas,
        D,
        priors={
            "b": "Normal(0, 1)",
            "sigma.b": "Normal(0, 2)",
            "sigma.Intercept": "Normal(0, 3)",
            "sigma.sd[g, x]": "Exponential(4)",
            "sigma.cor": "LKJ(5)",
            "sd[g]": "Exponential(6)",
        },
    )
    table = model.priors.set_index(["parameter", "class", "coefficient", "group"])["prior"]
    assert table["mu", "b", "x", ""] == "Normal(mu=0, sigma=1)"
    assert table["sigma", "b", "x", ""] == "Normal(mu=0, sigma=2)"
    assert table["sigma", "Intercept", "", ""] == "Normal(mu=0, sigma=3)"
    assert table["sigma", "sd", "x", "g"] == "Exponential(lam=4)"
    assert table["sigma", "sd", "Intercept", "g"] == "Exponential(lam=1)"
    assert table["sigma", "cor", "", "g"] == "LKJ(eta=5)"
    assert table["mu", "sd", "Intercept", "g"] == "Exponential(lam=6)"


@pytest.mark.parametrize(
    ("formula", "entry", "listed"),
    [
        (
            "y ~ x + (x | g)",
            "b[age]",
            "Intercept, b, b[x], sd, sd[g], sd[g, Intercept], sd[g, x], cor, cor[g], sigma",
        ),
        ("y ~ x + (x || g)", "cor", "Intercept, b, b[x], sd, sd[g], sd[g, Intercept], sd[g, x], sigma"),
        ("y ~ 0 + x", "Intercept", "b, b[x], sigma"),
        ({"mu": "y ~ 1", "sigma": "~ x"}, "sigma", "Intercept, sigma.Intercept, sigma.b, sigma.b[x]"),
    ],
    ids=["coefficient", "cor", "intercept", "sigma"],
)
def test_an_address_that_matches_nothing_lists_what_there_is(formula, entry, listed):
    with pytest.raises(hb.PriorError) as caught:
        quiet(formula, D, priors={entry: "Normal(0, 1)"})
    assert str(caught.value).endswith(f"There are: {listed}")


def test_the_table_names_every_prior_once():
    table = quiet("y ~ x * kind + (x | g) + (1 | g:h)", D).priors
    assert list(table.columns) == ["class", "coefficient", "group", "parameter", "prior", "stands", "origin"]
    assert not table.duplicated(["class", "coefficient", "group", "parameter"]).any()
    assert table["class"].value_counts().to_dict() == {"b": 5, "sd": 3, "Intercept": 1, "cor": 1, "sigma": 1}


def test_the_table_prints_every_column_in_a_narrow_terminal():
    with pd.option_context("display.width", 40, "display.max_columns", 2):
        text = repr(quiet("y ~ x + (x | g)", D).priors)
    assert text.splitlines()[0].split() == [
        "class",
        "coefficient",
        "group",
        "parameter",
        "prior",
        "stands",
        "origin",
    ]
    assert "..." not in text


def test_priors_of_defaults_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hb.Model("y ~ x + kind + (x | g)", D)
