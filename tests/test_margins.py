"""Default priors are about residuals on margins: shifts and rescaling change nothing; stated priors are literal."""

import itertools
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from hierbayes.data.margins import plainness
from hierbayes.simulation import sample_prior
from hierbayes.standing import standing

N, GROUPS = 240, 20


def rows(seed=0):
    rng = np.random.default_rng(seed)
    g = rng.integers(0, GROUPS, N)
    frame = pd.DataFrame(
        {
            "x": rng.normal(1.0, 1.0, N),
            "z": rng.gamma(3.0, 1.0, N),
            "v": rng.integers(0, 6, N).astype(float),
            "a": rng.choice(list("pqr"), N),
            "k": rng.choice(list("st"), N),
            "g": g,
            "w": rng.integers(1, 4, N) / 2.0,
        }
    )
    return frame.assign(y=5 + frame.x + 0.3 * frame.x * frame.z + rng.normal(size=N), count=rng.poisson(3, N))


def model(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        return hb.Model(formula, data, **options)


def widths(spec, parameter="mu"):
    """The inner columns in units of their priors, those of coefficients and of each factor's effects."""
    layout = spec.layout.predictors[parameter]
    own = [dict(prior.args)["sigma"] for prior in spec.coefficient_priors(parameter)]
    sds = [
        [
            1 / dict(spec.prior("sd", coefficient=e, group=f.name, parameter=parameter).args)["lam"]
            for e in f.effects
        ]
        for f in layout.factors
    ]
    return np.array(own), [np.array(sd) for sd in sds]


def scaled_columns(made):
    """All that the default posterior reads of the predictors: (n, p), and (n, q) of each factor."""
    bound, layout = made.design.predictors["mu"], made.spec.layout.predictors["mu"]
    own, sds = widths(made.spec)
    x = layout.map.inner_columns(bound.x) * own
    z = [f.map.inner_columns(bound.factors[f.name].z) * sd for f, sd in zip(layout.factors, sds, strict=True)]
    return [x, *z]


def assert_same_posterior(before, after):
    """The same columns in units of their priors, up to signs; the response and the other priors are the same."""
    for old, new in zip(scaled_columns(before), scaled_columns(after), strict=True):
        size = np.abs(old).max(axis=0)
        sign = np.where((old * new).sum(axis=0) < 0, -1.0, 1.0)
        assert_allclose(new * sign / size, old / size, rtol=0, atol=2e-7)


BASE = ("x", "z", "v")
CATEGORIES = ("a", "k")


def random_formula(rng):
    """A formula whose columns span the same space wherever its predictors have their zero: with all margins."""
    common = []
    for _ in range(rng.integers(1, 3)):
        size = rng.integers(1, 4)
        common.append("*".join(rng.permutation([*BASE, *CATEGORIES])[:size]))
    numeric = {name for name in BASE if any(name in term.split("*") for term in common)}
    for name in sorted(numeric):
        if rng.random() < 0.5:
            common.append(f"I({name}**2)")
            common += [f"I({name}**3)"] if rng.random() < 0.4 else []
    if rng.random() < 0.3 and numeric:
        name = sorted(numeric)[0]
        common += [f"I({name}**2)", f"{name}*k", f"I({name}**2):k"]
    common = [str(term) for term in rng.permutation(list(dict.fromkeys(common)))]
    text = " + ".join(common)
    if rng.random() < 0.25:
        text = "0 + a + " + text.replace("a*", "a:").replace("*a", ":a") if "a" not in text else "0 + a + a:x"
    effects = rng.choice(["1", "x", "x*z", "x + I(x**2)", "a*x", "0 + a + a:x", "x*z*v"])
    return f"y ~ {text} + ({effects} | g)" if rng.random() < 0.7 else f"y ~ {text}"


@pytest.mark.parametrize("seed", range(60))
def test_shifting_and_rescaling_any_predictor_leaves_the_default_posterior_as_it_is(seed):
    rng, data = np.random.default_rng(seed), rows(seed)
    formula = random_formula(rng)
    before = model(formula, data)
    for name in BASE:
        shift, scale = rng.choice([-300.0, 20.0, 1013.0]), rng.choice([-2.5, 0.01, 1.0, 40.0])
        assert_same_posterior(before, model(formula, data.assign(**{name: scale * (data[name] + shift)})))


FORMULAS = [
    "y ~ x*z*v",
    "y ~ x + I(x**2) + I(x**3)",
    "y | weights(w) ~ x*z + I(z**2) + a*x",
    "y ~ 0 + a + a:x + z + a:z",
    "y ~ scale(x) + I(scale(x)**2) + center(z)*x",
    "y ~ log(z) + I(log(z)**2)",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_rows_in_any_order_and_terms_in_any_place(formula):
    data = rows(3)
    before = model(formula, data)
    assert_same_posterior(before, model(formula, data.assign(z=7.0 * data.z)))
    left, right = formula.split(" ~ ")
    labels = before.spec.layout.predictors["mu"].coefficients
    own = dict(zip(labels, scaled_columns(before)[0].T, strict=True))
    terms = right.split(" + ")
    first = terms.pop(0) if terms[0] == "0" else None
    for order in itertools.islice(itertools.permutations(terms), 6):
        if first and order[0] != "a":
            continue  # which factor without an intercept has all its indicators is decided by the place
        text = " + ".join([first, *order] if first else order)
        after = model(f"{left} ~ {text}", data)
        names = after.spec.layout.predictors["mu"].coefficients
        for label, column in zip(names, scaled_columns(after)[0].T, strict=True):
            spelt = label if label in own else ":".join(reversed(label.split(":")))
            assert_allclose(column, own[spelt], atol=1e-9)


def test_residuals_are_those_of_weighted_least_squares():
    """Of each column on its margins, written out here."""
    data = rows(5).assign(x=lambda d: d.x + 300, z=lambda d: d.z + 1013)
    made = model("y | weights(w) ~ x*z + I(x**2) + a:x + a", data)
    layout = made.spec.layout.predictors["mu"]
    X = made.design.predictors["mu"].x
    at = {label: j for j, label in enumerate(layout.coefficients)}
    margins = {
        "x": ["Intercept"],
        "z": ["Intercept"],
        "a[q]": ["Intercept"],
        "a[r]": ["Intercept"],
        "I(x ** 2)": ["Intercept", "x"],
        "x:z": ["Intercept", "x", "z", "I(x ** 2)"],
        "a[q]:x": ["Intercept", "x", "a[q]", "a[r]", "I(x ** 2)"],
        "a[r]:x": ["Intercept", "x", "a[q]", "a[r]", "I(x ** 2)"],
    }
    assert set(margins) | {"Intercept"} == set(at)
    inner, w = layout.map.inner_columns(X), data.w.to_numpy()
    # about the middle, so that the least squares here lose no digits
    c = data.assign(x=data.x - 300, z=data.z - 1013)
    by_hand = model("y ~ x*z + I(x**2) + a:x + a", c).design.predictors["mu"].x
    sd_y = np.sqrt(np.cov(data.y, aweights=w, ddof=0))
    for label, own in margins.items():
        on, root = by_hand[:, [at[m] for m in own]], np.sqrt(w)
        fitted = on @ np.linalg.lstsq(on * root[:, None], by_hand[:, at[label]] * root, rcond=None)[0]
        residual = by_hand[:, at[label]] - fitted
        assert_allclose(inner[:, at[label]], residual, atol=1e-7 * np.abs(residual).max(), err_msg=label)
        sd = np.sqrt(np.average(residual**2, weights=w))
        prior = made.spec.prior("b", coefficient=label)
        assert dict(prior.args)["sigma"] == pytest.approx(2.5 * sd_y / sd, rel=1e-7)


def test_which_terms_are_plainer():
    same = ["x", "center(x)", "scale(x)", "standardize(x)", "I(x + 1)", "I(x / 10)", "I(3 * x)", "I(-x)"]
    assert {plainness(text) for text in same} == {(0, 1)}
    rising = ["I(2.0)", "x", "I(x * z)", "I(x ** 2):z", "I((x + z) ** 4)", "log(x)", "I(log(x) ** 2)"]
    order = [plainness(text) for text in rising]
    assert order == sorted(order)
    assert len(set(order)) == len(order)
    assert plainness("I(1 / x)") == plainness("sin(x)") == plainness("I(x ** 0.5)") == (1, 1)


# -- stated priors ------------------------------------------------------------------------------------------------


def test_a_stated_prior_is_about_what_the_tables_show():
    """Draws from the prior have the stated distribution at the user's 0, of those named and of no others."""
    data = rows(2).assign(x=lambda d: d.x + 300)
    priors = {
        "b[z]": "Normal(3, 0.5)",
        "sd[g, Intercept]": "HalfNormal(2)",
        "cor[g]": "LKJ(30)",
        "b[x:z]": "Normal(0, 0.2)",
    }
    spec = model("y ~ x*z + (x | g)", data, priors=priors).spec
    draws = sample_prior(spec, 20_000, seed=1)
    b, sd, cor = (draws.values[name] for name in ("b", "sd_g", "cor_g"))
    assert b[:, 2].mean() == pytest.approx(3, abs=0.02)
    assert b[:, 2].std() == pytest.approx(0.5, rel=0.03)
    assert b[:, 3].std() == pytest.approx(0.2, rel=0.03)
    assert sd[:, 0].mean() == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.03)
    assert cor[:, 0, 1].std() == pytest.approx(1 / np.sqrt(2 * 30 + 1), rel=0.03)
    # the slope's default and the intercept's at the means have stayed
    means = model("y ~ x*z + (x | g)", data).design.predictors["mu"].x.mean(axis=0)
    assert (b @ means).std() == pytest.approx(2.5 * data.y.std(ddof=0), rel=0.03)
    assert sd[:, 1].mean() == pytest.approx(data.y.std(ddof=0) / data.x.std(ddof=0), rel=0.03)


@pytest.mark.parametrize(
    ("priors", "options", "expected"),
    [
        ({}, {}, {"Intercept": "at the predictors' means", "b x": "at z = 1.5", "sd Intercept": "at x = 2, z = 1.5"}),
        ({"b": "Normal(0, 1)"}, {}, {"Intercept": "at the predictors' means", "b x": "at 0", "b x:z": ""}),
        ({"b[x]": "Fixed(2)"}, {}, {"b x": "at 0", "b z": "at x = 2"}),
        ({"b": "Normal"}, {}, {"b x": "at z = 1.5"}),
        ({"Intercept": "Normal(0, 1)"}, {}, {"Intercept": "at the predictors' means"}),
        ({"Intercept": "Normal(0, 1)"}, {"center": False}, {"Intercept": "at 0", "b x": "at z = 1.5"}),
        ({"sd": "HalfNormal(1)"}, {}, {"sd Intercept": "at 0", "sd x": "", "cor ": "at 0"}),
        ({"sd[g, x]": "HalfNormal(1)"}, {}, {"sd Intercept": "at x = 2, z = 1.5", "cor ": "at x = 2, z = 1.5"}),
        ({"cor": "LKJ(2)"}, {}, {"sd Intercept": "at 0", "cor ": "at 0"}),
    ],
)  # fmt: skip
def test_where_priors_stand(priors, options, expected):
    data = pd.DataFrame({"x": [1.0, 3.0] * 20, "z": [1.0, 1.0, 2.0, 2.0] * 10, "g": np.arange(40) // 4})
    data["y"] = np.random.default_rng(0).normal(size=40)
    made = model("y ~ x*z + (x + z | g)", data, priors=priors, **options)
    found = {
        f"{p.kind} {p.coefficient}" if p.kind != "Intercept" else p.kind: standing(made.spec, p)
        for p in made.spec.priors
    }
    assert {name: found[name] for name in expected} == expected
    assert list(made.priors["stands"]) == list(found.values())


def test_a_file_of_priors_is_as_literal_as_a_mapping(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('[priors]\n"sd[g]" = "HalfNormal(1)"\n')
    a, b = (model("y ~ x + (x | g)", rows(), priors=p) for p in (path, {"sd[g]": "HalfNormal(1)"}))
    assert a.spec.layout.predictors["mu"].factors[0].map.identity
    assert list(a.priors["stands"]) == list(b.priors["stands"])


# -- columns that determine each other ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ x + I(2*x)", "the columns 'x', 'I(2 * x)' determine each other"),
        ("y ~ flag + I(flag**2)", "'flag', 'I(flag ** 2)' determine each other"),
        ("y ~ x + five", "'Intercept', 'five' determine each other"),
        ("y ~ x + none", "'none' is 0 in every row"),
        ("y ~ x + z + I(x + z)", "'x', 'z', 'I(x + z)' determine each other (rank 3 of 4"),
    ],
)
def test_columns_that_determine_each_other_are_a_model_with_a_warning(formula, words):
    data = rows().assign(flag=lambda d: d.k == "s", five=5.0, none=0.0)
    with pytest.warns(hb.DataWarning, match=re.escape(words)):
        made = hb.Model(formula, data)
    assert np.isfinite([dict(prior.args)["sigma"] for prior in made.spec.coefficient_priors()]).all()


def test_more_columns_than_rows():
    data = rows().head(8)
    with pytest.warns(hb.DataWarning, match="10 columns, 8 rows"):
        made = hb.Model("y ~ x*z*v + I(x**2) + I(z**2)", data)
    fit = made.fit(draws=500, chains=2, seed=1, progress=False)
    assert np.isfinite(fit.posterior["b"]).all()
    assert fit.summary()["sd"]["sigma"] > 0.1  # nothing but the prior keeps it from 0


def test_flat_priors_cannot_share():
    data = rows()
    with pytest.raises(hb.PriorError, match="flat priors of x, I\\(2 \\* x\\) leave open"):
        hb.Model("y ~ x + I(2*x)", data, priors={"b": "Flat"})
    with pytest.warns(hb.DataWarning, match="determine each other"):
        hb.Model("y ~ x + I(2*x)", data, priors={"b[x]": "Flat"})
    hb.Model("y ~ x*z", data.assign(x=data.x + 300), priors={"b": "Flat", "Intercept": "Flat"})
