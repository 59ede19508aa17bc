"""Where the variance lies: against lme4's estimates in the published formulas, and brute force."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from tests.test_families import TEN

# lme4 1.1-31's estimates
SLEEP = {"b": [251.40510485, 10.46728596], "sd_Subject": [24.74065799, 5.92213766], "sigma": 25.59179572}
SLEEP_COR = 0.06555124
CBPP = {"b": [-1.39834293, -0.99192502, -1.12821622, -1.57974541], "sd_herd": [0.64206991]}
EPILEPSY = {"b": [1.76, 0.10, 0.70, -0.28, 0.06], "sd_patient": [0.48], "sd_obs": [0.36]}
RNG = np.random.default_rng(7)


def number(table, **where):
    rows = table
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows["mean"].item()


@pytest.fixture(scope="module")
def sleep(known_fit):
    model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))
    return known_fit(model, SLEEP | {"cor_Subject": [[1, SLEEP_COR], [SLEEP_COR, 1]]})


@pytest.fixture(scope="module")
def cbpp(known_fit):
    formula = "incidence | trials(size) ~ period + (1 | herd)"
    return known_fit(hb.Model(formula, hb.load_dataset("cbpp"), family="binomial"), CBPP)


def test_sleepstudy_as_the_r_package_performance_has_it(sleep):
    # performance::icc and r2_nakagawa of that fit: adjusted 0.722, unadjusted 0.521; marginal 0.279, conditional 0.799
    assert_allclose(number(sleep.icc(), group="Subject"), 0.722, atol=5e-4)
    assert_allclose(number(sleep.icc(definition="unadjusted"), group="Subject"), 0.521, atol=5e-4)
    r2 = sleep.r2()
    assert_allclose(number(r2, definition="nakagawa", kind="marginal"), 0.279, atol=5e-4)
    assert_allclose(number(r2, definition="nakagawa", kind="conditional"), 0.799, atol=5e-4)


def test_an_identity_links_scale_is_called_as_it_was_asked_for(sleep):
    assert [sleep.icc(scale=scale)["scale"].tolist() for scale in ("both", "latent", "response")] == [
        ["response"],
        ["latent"],
        ["response"],
    ]


def test_the_icc_is_a_function_of_the_predictor(sleep):
    table = sleep.icc(at={"Days": [0, 5, 9]})
    s0, s1 = SLEEP["sd_Subject"]
    for day in (0, 5, 9):
        between = s0**2 + 2 * day * SLEEP_COR * s0 * s1 + day**2 * s1**2
        expected = between / (between + SLEEP["sigma"] ** 2)
        assert_allclose(number(table, group="Subject", Days=day), expected, rtol=1e-10)
    assert table["Days"].dtype == np.int64
    draws = sleep.icc(at={"Days": 5}, output="draws")
    assert draws.dims == ("chain", "draw", "quantity")
    assert_allclose(draws.sel(quantity=draws["group"] == "Subject"), number(table, group="Subject", Days=5))


def test_shares_of_the_variance(sleep):
    table = sleep.varcorr()
    assert_allclose(table["share"].sum(), 1.0)
    days = hb.load_dataset("sleepstudy")["Days"]
    variance = SLEEP["sd_Subject"][1] ** 2
    row = table.set_index("effect").iloc[1]
    assert_allclose(row["variance"], variance)
    assert_allclose(table.loc[2, "variance"], SLEEP_COR * np.prod(SLEEP["sd_Subject"]))
    assert_allclose(row["share"] / table.loc[3, "share"], variance * (days**2).mean() / SLEEP["sigma"] ** 2)
    assert_allclose(1 - table.loc[3, "share"], number(sleep.icc(), group="Subject"))


def test_cbpp_on_both_scales(cbpp):
    table = cbpp.icc()
    sd = CBPP["sd_herd"][0]
    assert_allclose(number(table, group="herd", scale="latent"), sd**2 / (sd**2 + np.pi**2 / 3), rtol=1e-10)
    # the correlation of two animals of one herd, by brute force over herds
    data, design = cbpp.data, cbpp.design
    eta = design.predictors["mu"].x @ np.array(CBPP["b"])
    p = special.expit(eta[:, None] + sd * RNG.normal(size=400_000))
    weights = data["size"] / data["size"].sum()
    between, within = weights @ p.var(axis=1), weights @ (p * (1 - p)).mean(axis=1)
    assert_allclose(number(table, group="herd", scale="response"), between / (between + within), atol=3e-4)


@pytest.mark.parametrize(
    ("link", "expected"), [("logit", np.pi**2 / 3), ("probit", 1.0), ("cloglog", np.pi**2 / 6)]
)
def test_the_latent_variable_of_a_threshold(known_fit, link, expected):
    data = pd.DataFrame({"y": np.tile([0, 1], 30), "g": np.repeat(np.arange(10), 6)})
    fit = known_fit(
        hb.Model("y ~ 1 + (1 | g)", data, family="bernoulli", link=link), {"b": [0.3], "sd_g": [1.5]}
    )
    assert_allclose(number(fit.icc(scale="latent"), group="g"), 2.25 / (2.25 + expected))
    assert_allclose(number(fit.r2(), definition="nakagawa", kind="conditional"), 2.25 / (2.25 + expected))


def test_epilepsy_with_observation_level_effects(known_fit):
    formula = "count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)"
    fit = known_fit(hb.Model(formula, hb.load_dataset("epilepsy"), family="poisson"), EPILEPSY)
    patient, obs = EPILEPSY["sd_patient"][0] ** 2, EPILEPSY["sd_obs"][0] ** 2
    eta = fit.design.predictors["mu"].x @ np.array(EPILEPSY["b"])
    rate = np.exp(eta + (patient + obs) / 2).mean()
    own = {"lognormal": np.log1p(1 / rate), "delta": 1 / rate, "trigamma": special.polygamma(1, rate)}
    for method, variance in own.items():
        table = fit.icc(method=method, scale="latent")
        assert_allclose(number(table, group="patient"), patient / (patient + obs + variance), rtol=1e-9)
        r2 = fit.r2(method=method)
        total = eta.var(ddof=1) + patient + obs + variance
        assert_allclose(
            number(r2, definition="nakagawa", kind="marginal"), eta.var(ddof=1) / total, rtol=1e-9
        )
    assert set(table["group"]) == {"patient"}  # of one factor no total
    # Stryhn et al.'s closed form of the Poisson model on the scale of the counts, averaged over the rows
    mean = np.exp(eta + (patient + obs) / 2)
    between = (mean**2).mean() * np.expm1(patient)
    total = (mean**2).mean() * np.expm1(patient + obs) + mean.mean()
    assert_allclose(number(fit.icc(scale="response"), group="patient"), between / total, rtol=1e-6)


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_two_factors_and_a_slope_on_the_response_scale_against_brute_force(known_fit, link):
    data = pd.DataFrame(
        {
            "y": np.tile([0, 1, 1], 40),
            "x": np.tile([-1.0, 0.0, 1.0, 2.0], 30),
            "g": np.repeat(np.arange(12), 10),
            "h": np.tile(np.arange(8), 15),
        }
    )
    model = hb.Model("y ~ x + (x | g) + (1 | h)", data, family="bernoulli", link=link)
    cor = [[1.0, -0.4], [-0.4, 1.0]]
    values = {"b": [-0.5, 0.4], "sd_g": [0.9, 0.5], "cor_g": cor, "sd_h": [1.3]}
    table = known_fit(model, values).icc(scale="response")
    g = RNG.multivariate_normal([0, 0], np.outer([0.9, 0.5], [0.9, 0.5]) * cor, size=1_000_000)
    h, other = 1.3 * RNG.normal(size=(2, 1_000_000))
    sums = dict.fromkeys(("g", "h", "total", "mean"), 0.0)
    for x in (-1.0, 0.0, 1.0, 2.0):
        fixed, slope = -0.5 + 0.4 * x, g @ [1.0, x]
        p = LINKS[link].mean(fixed + slope + h)
        sums["total"] += p.var() / 4
        sums["mean"] += p.mean() * (1 - p.mean()) / 4
        sums["g"] += np.cov(p, LINKS[link].mean(fixed + slope + other))[0, 1] / 4
        sums["h"] += np.cov(p, LINKS[link].mean(fixed + RNG.permutation(slope) + h))[0, 1] / 4
    for group in ("g", "h", "total"):
        assert_allclose(number(table, group=group), sums[group] / sums["mean"], atol=1.5e-3)


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
@pytest.mark.parametrize("phi", [0.5, 12.0])
def test_two_animals_of_a_herd_but_not_of_a_row(known_fit, phi):
    """A beta-binomial's trials are threshold variables, each by itself; rows bring in a correlation of their own."""
    data = pd.DataFrame({"k": [1, 3, 0, 2], "n": [4, 5, 2, 3], "g": list("aabb")})
    mean, sd, draws = -0.6, 0.8, 400_000
    model = hb.Model("k | trials(n) ~ 1 + (1 | g)", data, family="betabinomial", link="probit")
    table = known_fit(model, {"b": [mean], "sd_g": [sd], "phi": phi}).icc()
    mu = special.ndtr(mean + sd * RNG.normal(size=draws))
    shapes = np.maximum(mu * phi, 1e-12), np.maximum((1 - mu) * phi, 1e-12)
    first, second = RNG.beta(*shapes), RNG.beta(*shapes)  # of two rows of each herd
    animals = RNG.uniform(size=(3, draws)) < np.stack([first, first, second])
    same, other = np.corrcoef(animals[0], animals[1:])[0, 1:]
    assert_allclose(number(table, group="g", scale="response"), other, atol=4.5 / np.sqrt(draws))
    p = mu.mean()
    assert_allclose(same, other + (mu * (1 - mu)).mean() / (1 + phi) / (p * (1 - p)), atol=9 / np.sqrt(draws))
    # on the link's scale two normal variables, both above a threshold as often as two animals are sick
    correlation = number(table, group="g", scale="latent")
    both = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    at = mean / np.hypot(1, sd)
    assert_allclose(both.cdf([at, at]), (mu**2).mean(), atol=4.5 * (mu**2).std() / np.sqrt(draws))


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_trials_are_rows_and_a_weight_is_a_repeated_row(known_fit):
    wide = pd.DataFrame({"k": [1, 3, 0, 2], "n": [4, 5, 2, 3], "x": [0.0, 1.0, 2.0, 1.0], "g": list("abab")})
    long = pd.DataFrame(
        [
            {"y": int(trial < row.k), "x": row.x, "g": row.g}
            for row in wide.itertuples()
            for trial in range(row.n)
        ]
    )
    values = {"b": [0.2, 0.7], "sd_g": [0.8], "r_g": [[-0.5], [0.6]]}
    counts = known_fit(hb.Model("k | trials(n) ~ x + (1 | g)", wide, family="binomial"), values)
    single = known_fit(hb.Model("y ~ x + (1 | g)", long, family="bernoulli"), values)
    weighted = known_fit(hb.Model("x | weights(n) ~ k + (1 | g)", wide), values | {"sigma": 2.0})
    repeated = known_fit(
        hb.Model("x ~ k + (1 | g)", wide.loc[wide.index.repeat(wide["n"])]), values | {"sigma": 2.0}
    )
    for a, b in ((counts, single), (weighted, repeated)):
        for name in ("icc", "r2", "varcorr"):
            pd.testing.assert_frame_equal(getattr(a, name)(), getattr(b, name)())


def test_gelmans_r2_is_of_these_rows(sleep, known_fit):
    values = {name: np.asarray(value) for name, value in SLEEP.items()}
    r = RNG.normal(size=(10, 18, 2)) * SLEEP["sd_Subject"]
    fit = known_fit(sleep, values | {"r_Subject": r, "cor_Subject": np.eye(2)}, chains=2)
    found = fit.r2(output="draws")
    design = fit.design.predictors["mu"]
    codes, z = design.factors["Subject"].codes, design.factors["Subject"].z
    for draw in range(5):
        fixed = design.x @ values["b"]
        added = (z * r[draw][codes]).sum(axis=1)
        residual = SLEEP["sigma"] ** 2
        explained = (fixed + added).var(ddof=1)
        assert_allclose(found[0, draw, 1], explained / (explained + residual))
        marginal = fixed.var(ddof=1)
        assert_allclose(found[0, draw, 0], marginal / (marginal + added.var(ddof=1) + residual))


def test_a_sigma_with_a_formula_is_averaged_over_the_rows(known_fit):
    data = pd.DataFrame(
        {"y": RNG.normal(size=40), "x": np.tile([0.0, 1.0], 20), "g": np.repeat(np.arange(8), 5)}
    )
    model = hb.Model({"mu": "y ~ 1 + (1 | g)", "sigma": "~ x"}, data)
    fit = known_fit(model, {"b": [1.0], "b_sigma": [0.0, np.log(3.0)], "sd_g": [2.0]})
    assert_allclose(number(fit.icc(), group="g"), 4 / (4 + (1 + 9) / 2))
    table = fit.icc(at={"x": [0, 1]})
    assert_allclose([number(table, group="g", x=x) for x in (0, 1)], [4 / 5, 4 / 13])
    residual = fit.varcorr().set_index("group").loc["Residual"]
    assert_allclose(residual["mean"], np.sqrt(5))
    assert_allclose(residual["share"], 5 / 9)


@pytest.mark.parametrize("family", ["gaussian", "student", "lognormal"])
def test_shares_of_a_sigma_with_a_formula_add_to_1(known_fit, family):
    y, x, g = RNG.gamma(2.0, size=40), np.tile([0.0, 1.0, 2.0, 1.0], 10), np.repeat(np.arange(8), 5)
    data = pd.DataFrame({"y": y, "x": x, "g": g, "w": np.tile([1, 3], 20)})
    model = hb.Model({"mu": "y | weights(w) ~ x + (x | g)", "sigma": "~ x + (1 | g)"}, data, family=family)
    r = RNG.normal(scale=0.4, size=(10, 8, 1))
    values = {
        "b": [1.0, 0.5], "sd_g": [0.9, 0.4], "cor_g": [[1, 0.3], [0.3, 1]], "b_sigma": [-0.2, 0.6],
        "sd_sigma_g": [0.4], "r_sigma_g": r, "nu": 5.0,
    }  # fmt: skip
    table = known_fit(model, values).varcorr()
    assert_allclose(table["share"].sum(), 1.0)
    variance = np.exp(2 * (-0.2 + 0.6 * x + r[:, g, 0]))
    average = np.average(variance, axis=1, weights=data["w"])
    residual = table.set_index("group").loc["Residual"]
    assert_allclose([residual["mean"], residual["variance"]], [np.sqrt(average).mean(), average.mean()])
    between = np.average(
        [[1, x] @ np.array([[0.81, 0.108], [0.108, 0.16]]) @ [1, x] for x in x], weights=data["w"]
    )
    own = average * (5 / 3 if family == "student" else 1)
    assert_allclose(residual["share"], (own / (own + between)).mean())


@pytest.mark.parametrize(
    ("family", "link", "relative"),
    [
        ("poisson", "log", lambda mean: 1 / mean),
        ("negbinomial", "log", lambda mean: 1 / mean + 1 / 3.0),
        ("gamma", "log", lambda mean: np.full_like(mean, 1 / 3.0)),
    ],
)
def test_methods_of_the_log_link(known_fit, family, link, relative):
    data = pd.DataFrame({"y": np.tile([1, 2, 4], 10), "g": np.repeat(np.arange(6), 5)})
    fit = known_fit(
        hb.Model("y ~ 1 + (1 | g)", data, family=family, link=link), {"b": [0.7], "sd_g": [0.6], "shape": 3.0}
    )
    c = relative(np.exp(0.7 + 0.18))
    own = {"lognormal": np.log1p(c), "delta": c, "trigamma": special.polygamma(1, 1 / c)}
    for method, variance in own.items():
        assert_allclose(number(fit.icc(scale="latent", method=method), group="g"), 0.36 / (0.36 + variance))


def test_lognormal_has_its_residual_on_the_log_scale(known_fit):
    data = pd.DataFrame({"y": np.tile([1.0, 2, 4], 10), "g": np.repeat(np.arange(6), 5)})
    fit = known_fit(
        hb.Model("y ~ 1 + (1 | g)", data, family="lognormal"), {"b": [0.7], "sd_g": [0.6], "sigma": 0.8}
    )
    for method in ("lognormal", "delta", "trigamma"):
        assert_allclose(number(fit.icc(scale="latent", method=method), group="g"), 0.36 / (0.36 + 0.64))
    expected = np.expm1(0.36) / np.expm1(0.36 + 0.64)  # of a lognormal product
    assert_allclose(number(fit.icc(scale="response"), group="g"), expected, rtol=1e-8)


def test_a_student_residual_without_a_variance_has_all_of_it(known_fit):
    data = pd.DataFrame({"y": np.tile([1.0, 2, 4], 10), "g": np.repeat(np.arange(6), 5)})
    fit = known_fit(
        hb.Model("y ~ 1 + (1 | g)", data, family="student"), {"sd_g": [1.0], "sigma": 1.0, "nu": 1.5}
    )
    assert fit.varcorr()["share"].tolist() == [0.0, 1.0]


def test_requests_that_cannot_be_met(sleep, known_fit):
    with pytest.raises(DataError, match=r"'Day'.*no predictor of this model; it has 'Days'"):
        sleep.icc(at={"Day": 1})
    with pytest.raises(DataError, match=r"at must be a mapping of columns to values.*got 'Subject'"):
        sleep.icc("Subject")
    with pytest.raises(ValueError, match="method must be one of"):
        sleep.icc(method="exact")
    with pytest.raises(ValueError, match="scale must be one of"):
        sleep.icc(scale="log")
    with pytest.raises(ValueError, match="output must be"):
        sleep.r2(output="frame")
    data = pd.DataFrame({"y": np.tile([1.0, 2, 4], 10), "g": np.repeat(np.arange(6), 5)})
    fit = known_fit(
        hb.Model("y ~ 1 + (1 | g)", data, family="gamma", link="inverse"),
        {"b": [2.0], "sd_g": [0.1], "shape": 3.0},
    )
    with pytest.raises(UnsupportedError, match="has no average over groups"):
        fit.icc(scale="response")
    assert set(fit.icc()["scale"]) == {"latent"}


@pytest.mark.parametrize("name", TEN)
def test_a_familys_variance_is_that_of_its_simulations(name):
    family, rng = FAMILIES[name], np.random.default_rng(3)
    link = LINKS[family.links[0]]
    aux = {"sigma": 0.5, "nu": 9.0, "shape": 3.0, "phi": 7.0}
    for eta in (-0.4, 0.8):
        simulated = family.at(np.full(400_000, eta), aux, link).simulate(rng)
        assert_allclose(family.at(np.array([eta]), aux, link).variance(), simulated.var(), rtol=0.02)


def test_students_t_without_a_variance():
    assert np.isinf(
        FAMILIES["student"].at(np.zeros(1), {"nu": 2.0, "sigma": 1.0}, LINKS["identity"]).variance()
    ).all()


def test_levels_of_one_row_have_no_icc(known_fit):
    data = pd.DataFrame({"y": np.linspace(0, 1, 8), "study": [f"s{i}" for i in range(8)]})
    studies = known_fit(
        hb.Model("y ~ 1 + (1 | study)", data, priors={"sigma": "Fixed(0.2)"}),
        {"sd_study": [0.4], "sigma": 0.2},
    )
    with pytest.raises(hb.DataError, match=r"every level of 'study' has one row, .* in a meta-analysis I²"):
        studies.icc()
    assert_allclose(studies.varcorr()["share"], [0.8, 0.2])
    with pytest.raises(hb.DataError, match="the mean's formula has no grouping factor"):
        known_fit(hb.Model("y ~ 1", data), {"sigma": 0.2}).icc()
