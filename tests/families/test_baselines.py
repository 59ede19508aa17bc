"""Baseline hazards of other numbers of splines, at stated knots, and one for each stratum: ``bhaz(…)``."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import interpolate

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism.coordinates import log_jacobian, space_of
from hierbayes.criticism.likelihood import likelihood_chunks
from hierbayes.criticism.sensitivity import log_prior
from hierbayes.families import cox
from hierbayes.families.bounds import with_bounds
from hierbayes.formula import parse
from hierbayes.links import LINKS
from hierbayes.simulation import sample_prior
from tests.families.fits import assert_kernel_is_the_graph

KIDNEY = hb.load_dataset("kidney")
LEFT, NONE, RIGHT, INTERVAL = -1.0, 0.0, 1.0, 2.0
Y = np.array([2.0, 5.0, 7.0, 11.0, 13.5, 20.0, 33.0, 41.0])

# brms 2.18: brms:::bhaz_basis_matrix(Y, list(df = df, intercept = TRUE, knots = knots)) at 13.5, and the same with
# integrate = TRUE: splines2's M-splines and I-splines
BRMS = {
    (4, None): (
        [0.03342769426611031, 0.04354583651921864, 0.01890887102036793, 0.00273692758286325],
        [0.76366620153859999, 0.35317411595076542, 0.08580267972276288, 0.00840236767939017],
    ),
    (8, None): (
        [
            0.0,
            0.0,
            0.00115103934032423,
            0.08622236205202929,
            0.04547956734462223,
            0.00178035685104335,
            0.0,
            0.0,
        ],
        [
            1.0,
            1.0,
            0.99962591221439434,
            0.68784727710359406,
            0.101604084477385,
            0.00146879440211076,
            0.0,
            0.0,
        ],
    ),
    (7, (6.0, 18.0, 30.0)): (
        [0.0, 0.00642895546239605, 0.06633493734990820, 0.04485309297289909, 0.00457689154359556, 0.0, 0.0],
        [1.0, 0.99276742510480420, 0.69939891526687714, 0.17863929028426245, 0.00858167164424167, 0.0, 0.0],
    ),
}


def hazard(y, knots, shares):
    """The baseline by SciPy's B-splines, each over its mass."""
    t = np.concatenate([[knots[0]] * 3, knots, [knots[-1]] * 3])
    return interpolate.BSpline(t, shares * 4 / (t[4:] - t[:-4]), 3)(y)


def cumulative(y, knots, shares):
    t = np.concatenate([[knots[0]] * 3, knots, [knots[-1]] * 3])
    whole = interpolate.BSpline(t, shares * 4 / (t[4:] - t[:-4]), 3).antiderivative()
    return whole(np.clip(y, knots[0], knots[-1]))


def expected(y, status, end, mu, knots, shares):
    """The log density of rows that are censored so, from hazard and cumulative hazard."""
    low, high = (mu * cumulative(place, knots, shares) for place in (y, end))
    if status == NONE:
        return np.log(mu * hazard(y, knots, shares)) - low
    if status == LEFT:
        return np.log(-np.expm1(-low))
    return -low if status == RIGHT else -low + np.log(-np.expm1(low - high))


# -- the family ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "knots"), list(BRMS))
def test_splines_are_those_of_brms(count, knots):
    found = cox.splines(count)(13.5, *cox.knots_of(Y, count, knots).values())
    assert_allclose(found, BRMS[count, knots], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("count", "apart", "status"),
    [
        (4, False, NONE),
        (5, True, NONE),
        (6, False, INTERVAL),
        (8, True, RIGHT),
        (8, False, LEFT),
        (12, True, NONE),
    ],
)
def test_densities_and_scores(count, apart, status):
    rng = np.random.default_rng(count)
    y, end, eta = rng.uniform(1.5, 38.0, 40), 40.0, rng.normal(size=40)
    shares = rng.dirichlet(np.ones(count), 40 if apart else None)
    inner = tuple(np.sort(rng.uniform(3.0, 36.0, count - 4)))
    knots = cox.knots_of(Y, count, inner if apart else None)
    family = with_bounds(cox.family(count, None, apart), ("cens", "y2"))
    stated = {"cens": np.full(40, status), "y2": np.full(40, end)}

    def at(eta, shares):
        own = {name: np.asarray(value, float) for name, value in (knots | {"sbhaz": shares} | stated).items()}
        return family.at(eta, own, LINKS["log"])

    value, scores = at(eta, shares).evaluate(y)
    places = np.array(list(knots.values()))
    each = shares if apart else np.tile(shares, (40, 1))
    wanted = [
        expected(one, status, end, np.exp(t), places, s) for one, t, s in zip(y, eta, each, strict=True)
    ]
    assert_allclose(value, wanted, rtol=1e-9)
    upto = [cumulative(one, places, s) for one, s in zip(y, each, strict=True)]
    assert_allclose(at(eta, shares).cdf(y), -np.expm1(-np.exp(eta) * upto), rtol=1e-10)

    def difference(value):
        near, far = (value(k) - value(-k) for k in (1e-4, 2e-4))
        return (8 * near - far) / 12e-4

    kind = family.parameter("sbhaz").kind
    parts = np.moveaxis(np.array(kind.parts(each)), 0, -1)
    assert_allclose(scores[0], difference(lambda h: at(eta + h, shares).log_density(y)), rtol=1e-6, atol=1e-8)
    for k in range(count - 1):

        def moved(h, k=k):
            v = parts.copy()
            v[:, k] += h * (v[:, k] * (1 - v[:, k]) if apart else 1.0)
            v = v if apart else 1 / (1 + np.exp(-v))
            whole = np.concatenate([v, np.ones((40, 1))], axis=1)
            left = np.concatenate([np.ones((40, 1)), np.cumprod(1 - v, axis=1)], axis=1)
            return at(eta, whole * left).log_density(y)

        slope = parts[:, k] * (1 - parts[:, k]) if apart else 1.0
        assert_allclose(scores[1 + len(knots) + k] * slope, difference(moved), rtol=1e-5, atol=1e-7)
    assert not np.any(scores[1 : 1 + len(knots)])


def test_knots_that_cannot_be_are_refused():
    with pytest.raises(hb.DataError, match="a fiftieth of the times' range"):
        cox.knots_of(Y, 5, (50.0,))
    with pytest.raises(hb.DataError, match="too few values for a baseline of 9 splines"):
        cox.knots_of(np.array([1.0, 2.0, 2.0, 2.0, 3.0]), 9)


# -- formulas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("bhaz(df=6)", "bhaz(df=6)"),
        ("bhaz(clinic, 7)", "bhaz(gr=clinic, df=7)"),
        ("bhaz(knots=[60, 30.5])", "bhaz(knots=[30.5, 60])"),
        ("bhaz(df=6, knots=[30, 60], gr=`my clinic`)", "bhaz(gr=`my clinic`, knots=[30, 60])"),
    ],
)
def test_what_is_said_of_the_baseline_is_read(written, text):
    formula = parse(f"time | cens(c) + {written} ~ x")
    assert str(formula) == f"time | cens(c) + {text} ~ x"
    assert parse(str(formula)) == formula


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("bhaz(df=3)", "4 splines, without an inner knot, to 20; 3 are asked for"),
        ("bhaz(df=21)", "21 are asked for"),
        ("bhaz(df=x)", "df of bhaz\\(\\) is a whole number"),
        ("bhaz(df=7, knots=[30])", "df=7 goes with 3 inner knots, and knots= has 1"),
        ("bhaz(gr=log(x))", "clinic a column"),
        ("bhaz(degree=2)", "bhaz\\(\\) takes gr=column"),
        ("bhaz(gr=g, gr=h)", "twice"),
    ],
)
def test_what_cannot_be_said_is_refused(written, words):
    with pytest.raises(hb.FormulaError, match=words):
        parse(f"time | {written} ~ x")


def test_other_families_have_no_baseline():
    with pytest.raises(
        hb.UnsupportedError, match=r"family 'weibull' has no baseline hazard; leave bhaz\(df=6\)"
    ):
        hb.Model("time | bhaz(df=6) ~ age", KIDNEY, family="weibull")
    with pytest.raises(hb.DataError, match="no column 'clinic'"):
        hb.Model("time | bhaz(gr=clinic) ~ age", KIDNEY, family="cox")


# -- models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addition",
    ["bhaz(df=7)", "bhaz(knots=[30, 100, 200])", "bhaz(gr=sex)", "bhaz(gr=sex, df=4) + trunc(lb=1)"],
)
def test_the_kernel_is_the_graph(addition):
    model = hb.Model(
        f"time | cens(1 - status) + {addition} ~ age + sex + (1 | patient)",
        KIDNEY,
        family="cox",
        priors={"sbhaz": "Dirichlet(1.5)"},
    )
    assert_kernel_is_the_graph(model)


def strata(rows: int, seed: int) -> pd.DataFrame:
    """Times of two strata, whose hazards rise and fall: 2 t / 100 and 0.7 t^-0.3 / 10^0.7, times exp(0.6 x)."""
    rng = np.random.default_rng(seed)
    stratum, x = np.array(["rises", "falls"])[np.arange(rows) % 2], rng.normal(size=rows)
    shape = np.where(stratum == "rises", 2.0, 0.7)
    time = 10 * (rng.exponential(size=rows) / np.exp(0.6 * x)) ** (1 / shape)
    return pd.DataFrame({"x": x, "stratum": stratum, "time": np.minimum(time, 25.0), "late": time > 25.0})


STRATIFIED = "time | cens(late) + bhaz(gr=stratum, df=6) ~ x + stratum"


@pytest.fixture(scope="module")
def fit():
    return hb.fit(STRATIFIED, strata(600, 5), family="cox", seed=1, progress=False)


def test_a_baseline_for_each_stratum_is_found(fit):
    table = fit.summary()
    assert abs(table.loc["x", "mean"] - 0.6) < 4 * table.loc["x", "sd"]
    assert table["r_hat"].max() < 1.02
    assert table["ess_bulk"].min() > 400
    assert {f"sbhaz[{s}, {k}]" for s in ("falls", "rises") for k in range(1, 7)} <= set(table.index)
    assert_allclose(fit.posterior["sbhaz"].sum("sbhaz_element"), 1.0)
    new = pd.DataFrame({"x": [0.0, 0.0], "stratum": ["rises", "falls"]})
    found = fit.survival([2.0, 5.0, 10.0, 15.0], new)
    truth = [np.exp(-((t / 10) ** shape)) for shape in (2.0, 0.7) for t in (2.0, 5.0, 10.0, 15.0)]
    assert (np.abs(found["mean"] - truth) < 4 * found["sd"] + 0.01).all()


def test_strata_have_likelihoods_of_their_own(fit):
    """Each row has the density by SciPy's splines with the shares of its stratum."""
    spec, rows = fit.model.spec, fit.data
    draws = flatten(spec, fit.posterior)
    found = np.concatenate([part for _, part in likelihood_chunks(spec, draws, fit.model.design)], axis=1)
    knots = np.array(list(cox.knots_of(rows["time"].to_numpy(), 6).values()))
    b, shares = draws.values["b"], draws.values["sbhaz"]
    for draw in (0, 1777):
        for place, label in enumerate(("falls", "rises")):
            own = (rows["stratum"] == label).to_numpy()
            y, late = rows["time"].to_numpy()[own], rows["late"].to_numpy()[own]
            mu = np.exp(b[draw, 0] + b[draw, 1] * rows["x"].to_numpy()[own] + b[draw, 2] * (label == "rises"))
            wanted = np.where(
                late,
                expected(y, RIGHT, y, mu, knots, shares[draw, place]),
                expected(y, NONE, y, mu, knots, shares[draw, place]),
            )
            assert_allclose(found[draw][own], wanted, rtol=1e-8, atol=1e-9)


def test_answers(fit, tmp_path):
    quantile = np.sort(fit.residuals()["quantile"].to_numpy())
    even = (np.arange(600) + 0.5) / 600
    assert np.abs(quantile - even).max() < 1.95 / np.sqrt(600)
    rows = fit.data.iloc[:5]
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    assert_allclose(again.loo().elpd, fit.loo().elpd)
    assert_allclose(again.survival([3.0, 9.0], rows), fit.survival([3.0, 9.0], rows))
    assert np.isfinite(fit.predict(rows, kind="linear").to_numpy()).all()
    whole = hb.fit(STRATIFIED.replace("gr=stratum, ", ""), fit.data, family="cox", seed=1, progress=False)
    assert fit.loo().elpd > whole.loo().elpd + 10


def test_strata_that_training_had_not_are_refused(fit):
    model = hb.Model("time | cens(late) + bhaz(gr=stratum) ~ x", fit.data, family="cox")
    found = model.fit(chains=2, seed=1, progress=False)
    rows = fit.data.iloc[:5]
    assert np.isfinite(found.survival([3.0], rows)["mean"]).all()
    with pytest.raises(hb.DataError, match="nothing is known of the baseline hazard of stratum = 'other'"):
        found.survival([3.0], rows.assign(stratum="other"))
    with pytest.raises(hb.DataError, match="'stratum'"):
        found.survival([3.0], rows.drop(columns="stratum"))


def test_priors_of_each_stratum(fit):
    spec = fit.model.spec
    drawn = sample_prior(spec, 2000, 1)
    shares = drawn.values["sbhaz"]
    assert shares.shape == (2000, 2, 6)
    assert_allclose(shares.sum(axis=-1), 1.0)
    assert_allclose(shares.mean(axis=0), 1 / 6, atol=0.015)
    assert abs(np.corrcoef(shares[:, 0, 0], shares[:, 1, 0])[0, 1]) < 0.1
    assert_allclose(log_prior(spec, drawn)["sbhaz"], 2 * np.log(120.0))
    draws = flatten(spec, fit.posterior)
    space = space_of(spec, draws, {})
    part = next(space.parts())
    back = space.at(space.points[part], part)
    assert_allclose(back.values["sbhaz"], draws.values["sbhaz"][part], rtol=1e-10)
    assert np.isfinite(log_jacobian(spec, draws)).all()
