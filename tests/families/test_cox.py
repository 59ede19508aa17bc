"""Proportional hazards with a baseline of M-splines: splines, densities, models, and what is refused."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, interpolate

import hierbayes as hb
from hierbayes.criticism.coordinates import log_jacobian, space_of
from hierbayes.criticism.sensitivity import log_prior
from hierbayes.families import FAMILIES, cox
from hierbayes.families.bounds import with_bounds
from hierbayes.kinds import SHARES
from hierbayes.links import LINKS, NUMPY_MATH
from hierbayes.simulation import sample_prior
from tests.families.fits import assert_kernel_is_the_graph

KIDNEY = hb.load_dataset("kidney")
LEFT, NONE, RIGHT, INTERVAL = -1.0, 0.0, 1.0, 2.0
ENDS = (1.22, 12.25, 41.78)
SPLINES = cox.splines(5)
Y = np.array([2.0, 5.0, 7.0, 11.0, 13.5, 20.0, 33.0, 41.0])
SHARE = np.array([0.1, 0.25, 0.3, 0.05, 0.3])
OWN = {"knot1": ENDS[0], "knot2": ENDS[1], "knot3": ENDS[2], "sbhaz": SHARE}

# library(splines2); at y = c(2, 13.5, 41) of Y, boundary knots c(min(Y) - 39 / 50, max(Y) + 39 / 50):
# mSpline(y, df = 5, intercept = TRUE, Boundary.knots = bk), and iSpline(…) of the same
M_SPLINES = {
    2.0: [0.291024490607552, 0.0190870321628335, 0.000387703014515368, 2.57913721463910e-06, 0.0],
    13.5: [0.0, 0.0459135550095982, 0.042661449964904868, 0.0100368444115551, 1.02739214859645e-05],
    41.0: [0.0, 9.63355349728052e-07, 0.000147033537505767, 0.00746214205404688, 0.125002802719730],
}
I_SPLINES = {
    2.0: [0.254249742818147, 0.00767943229029481, 0.000101754539186937, 5.02931756854624e-07, 0.0],
    13.5: [1.0, 0.67539116608214067, 0.232820100950796915, 0.0308889595688443, 3.21060046436392e-06],
    41.0: [1.0, 0.99999981214570677, 0.999961560036940034, 0.997044193805906, 0.898457644548062],
}


def hazard(y):
    """The baseline by SciPy's B-splines."""
    t = np.repeat(ENDS, (4, 1, 4))
    widths = t[4:] - t[:-4]
    return interpolate.BSpline(t, SHARE * 4 / widths, 3, extrapolate=False)(y)


def cumulative(y):
    t = np.repeat(ENDS, (4, 1, 4))
    whole = interpolate.BSpline(t, SHARE * 4 / (t[4:] - t[:-4]), 3).antiderivative()
    return whole(np.clip(y, ENDS[0], ENDS[2]))


def at(eta, stated=(), link="log", **values):
    family = with_bounds(FAMILIES["cox"], stated) if stated else FAMILIES["cox"]
    own = {name: np.asarray(value, float) for name, value in (OWN | values).items()}
    return family.at(np.asarray(eta), own, LINKS[link])


# -- the family ----------------------------------------------------------------------------------------------------


def test_knots_are_where_brms_has_them():
    found = cox.knots_of(Y)
    assert_allclose([found["knot1"], found["knot2"], found["knot3"]], ENDS)
    assert cox.knots_of(np.array([0.1, 5.0, 9.0]))["knot1"] == 0.0


def test_splines_are_those_of_splines2():
    assert_allclose([SPLINES(y, *ENDS)[0] for y in M_SPLINES], list(M_SPLINES.values()), rtol=1e-12)
    assert_allclose([SPLINES(y, *ENDS)[1] for y in I_SPLINES], list(I_SPLINES.values()), rtol=1e-12)


def test_i_splines_are_integrals_of_m_splines():
    for y, k in itertools.product(Y, range(5)):
        found = integrate.quad(lambda x, k=k: SPLINES(x, *ENDS)[0][k], ENDS[0], y, points=[12.25])[0]
        assert_allclose(SPLINES(y, *ENDS)[1][k], found, atol=1e-10)


def test_many_i_splines_are_those_of_one_place():
    y = np.array([0.5, ENDS[0], *Y, ENDS[1], ENDS[2], 50.0])
    found = cox.i_splines(y, [np.array(end) for end in ENDS])
    assert_allclose(found, [SPLINES(one, *ENDS)[1] for one in y], atol=1e-15)


@pytest.mark.parametrize("link", FAMILIES["cox"].links)
def test_the_density_is_the_hazard_times_the_survival(link):
    eta = np.linspace(0.3, 1.7, 8)
    mu = LINKS[link].inverse(eta, NUMPY_MATH)
    expected = np.log(mu * hazard(Y)) - mu * cumulative(Y)
    assert_allclose(at(eta, link=link).log_density(Y), expected, rtol=1e-11)
    assert_allclose(at(eta, link=link).cdf(Y), -np.expm1(-mu * cumulative(Y)), rtol=1e-11)


def test_nothing_is_known_beyond_the_knots():
    beyond = at(np.zeros(3)).log_density(np.array([0.5, 42.0, 100.0]))
    assert (beyond == -np.inf).all()
    found = at(np.zeros(4)).cdf(np.array([0.5, 41.78, 42.0, np.inf]))
    assert_allclose(found, [0.0, 1 - np.exp(-1), np.nan, 1.0])


@pytest.mark.parametrize(
    ("status", "bounds"),
    list(itertools.product([LEFT, NONE, RIGHT, INTERVAL], [(), ("lb",), ("ub",), ("lb", "ub")])),
)
def test_censored_and_truncated_densities(status, bounds):
    eta, y = np.linspace(-0.5, 1.2, 8), Y
    stated = {"cens": np.full(8, status), "y2": y + 4.0} | dict.fromkeys(bounds)
    lower, upper = np.full(8, 0.0), np.full(8, np.inf)
    if "lb" in bounds:
        stated["lb"] = lower = 0.7 * Y
    if "ub" in bounds:
        stated["ub"] = upper = 1.4 * Y + 1.0
    mu = np.exp(eta)
    low, high, h = (mu * cumulative(end) for end in (lower, upper, y))
    # what is left at the end of the baseline lies beyond all bounds
    last = np.where(np.isinf(upper), 0.0, np.exp(-high))
    expected = {
        LEFT: np.exp(-low) - np.exp(-h),
        NONE: mu * hazard(y) * np.exp(-h),
        RIGHT: np.exp(-h) - last,
        INTERVAL: np.exp(-h) - np.exp(-mu * cumulative(np.minimum(y + 4.0, upper))),
    }[status] / (np.exp(-low) - last)
    found = at(eta, tuple(stated), **stated)
    assert_allclose(found.log_density(y), np.log(expected), rtol=1e-9)
    if status == RIGHT and not bounds:
        lower, upper = found.family.known_between(y, **found.parameters)
        assert_allclose(lower, y)
        assert np.isinf(upper).all()


def moved(broken, k, h):
    """The shares whose k-th part of what is left has log odds larger by h."""
    t = np.array(broken)
    t[k] += h
    v = 1 / (1 + np.exp(-t))
    return np.append(v, 1.0) * np.append(1.0, np.cumprod(1 - v))


@pytest.mark.parametrize("status", [LEFT, NONE, RIGHT, INTERVAL])
def test_scores_are_differences(status):
    eta = np.linspace(-0.5, 1.2, 8)
    stated = {"cens": np.full(8, status), "y2": Y + 4.0, "lb": 0.7 * Y}
    broken = SHARES.parts(SHARE)
    assert_allclose(moved(broken, 0, 0.0), SHARE)

    def difference(value):
        near, far = (value(k) - value(-k) for k in (1e-3, 2e-3))
        return (8 * near - far) / 12e-3

    _, scores = at(eta, tuple(stated), **stated).evaluate(Y)
    found = difference(lambda h: at(eta + h, tuple(stated), **stated).log_density(Y))
    assert_allclose(scores[0], found, rtol=1e-7, atol=1e-9)
    for k in range(4):
        found = difference(
            lambda h, k=k: at(eta, tuple(stated), **stated, sbhaz=moved(broken, k, h)).log_density(Y)
        )
        assert_allclose(scores[4 + k], found, rtol=1e-6, atol=1e-9)
    assert not np.any(scores[1:4])
    assert not np.any(scores[8:])


@pytest.mark.parametrize("eta", [-40.0, 40.0])
def test_nothing_is_lost_far_out(eta):
    y = np.array([7.0])
    total = np.exp(eta) * cumulative(7.0)
    for status, expected in (
        (NONE, eta + np.log(hazard(7.0)) - total),
        (RIGHT, -total),
        (LEFT, np.log(total) if eta < 0 else 0.0),
    ):
        value, scores = at([eta], ("cens",), cens=[status]).evaluate(y)
        assert_allclose(value, expected, rtol=1e-10, atol=1e-300)
        assert np.isfinite(scores).all()


def test_shares_as_numbers_without_bounds_and_back():
    shares = np.random.default_rng(1).dirichlet(np.ones(5), 7)
    assert_allclose(SHARES.bound(SHARES.free(shares)), shares, rtol=1e-12)
    free = SHARES.free(shares[0])
    rows = [(SHARES.bound(free + h) - SHARES.bound(free - h))[:-1] / 2e-6 for h in 1e-6 * np.eye(4)]
    assert_allclose(np.linalg.slogdet(np.array(rows))[1], SHARES.log_slope(shares[0]), rtol=1e-6)


# -- models --------------------------------------------------------------------------------------------------------

# library(survival); coxph(Surv(time, status) ~ age + sex + frailty(patient, dist = "gauss"), kidney): estimates and
# standard errors, and the frailty's variance
COXPH = {"age": (0.004713, 0.01248), "sex[male]": (1.410822, 0.44518)}
FRAILTY = 0.5691225
FORMULA = "time | cens(1 - status) ~ age + sex + (1 | patient)"


@pytest.fixture(scope="module")
def fit():
    return hb.fit(FORMULA, KIDNEY, family="cox", seed=1, progress=False)


def weibull_times(rows: int, seed: int) -> pd.DataFrame:
    """Times whose hazard is 1.5 (t / 10)^0.5 / 10 · exp(0.8 x + effect of the group), a third of them censored."""
    rng = np.random.default_rng(seed)
    g, x = np.arange(rows) % 60, rng.normal(size=rows)
    eta = 0.8 * x + rng.normal(scale=0.6, size=60)[g]
    time = 10 * (rng.exponential(size=rows) / np.exp(eta)) ** (1 / 1.5)
    end = rng.exponential(15.0, size=rows)
    status = np.where(time > end, "right", "none")
    return pd.DataFrame({"x": x, "g": g, "time": np.minimum(time, end), "status": status, "late": 0.3})


@pytest.mark.parametrize(
    "response",
    ["time | cens(status)", "time", "time | cens(status, end)", "time | cens(status) + trunc(lb=entry)"],
)
def test_the_kernel_is_the_graph(response):
    rows = weibull_times(120, 3)
    third = np.arange(120) % 3 == 0
    rows["entry"], rows["end"] = 0.4 * rows["time"], rows["time"] + 1.0
    if "end" in response:
        rows["status"] = np.where(
            third, "interval", np.where(np.arange(120) % 7 == 1, "left", rows["status"])
        )
    model = hb.Model(
        f"{response} ~ x + (1 | g)", rows, family="cox", priors={"sbhaz": "Dirichlet(2, 1, 1.5, 1, 3)"}
    )
    assert_kernel_is_the_graph(model)


def test_estimates_are_coxphs(fit):
    table = fit.summary()
    for name, (estimate, error) in COXPH.items():
        assert abs(table.loc[name, "mean"] - estimate) < 0.25 * error, name
        assert table.loc[name, "sd"] == pytest.approx(error, rel=0.15), name
    assert table.loc["sd[patient, Intercept]", "mean"] == pytest.approx(np.sqrt(FRAILTY), abs=0.15)
    assert table["r_hat"].max() < 1.01
    assert table["ess_bulk"].min() > 1000
    shares = fit.posterior["sbhaz"]
    assert list(shares["sbhaz_element"].to_numpy()) == ["1", "2", "3", "4", "5"]
    assert_allclose(shares.sum("sbhaz_element"), 1.0)


@pytest.mark.slow
def test_a_known_truth_is_found_with_its_baseline():
    rows = weibull_times(1500, 11)
    model = hb.Model("time | cens(status) ~ x + (1 | g)", rows, family="cox")
    found = model.fit(seed=2, target_accept=0.95, progress=False)
    table = found.summary()
    for name, truth in (("x", 0.8), ("sd[g, Intercept]", 0.6)):
        assert abs(table.loc[name, "mean"] - truth) < 4 * table.loc[name, "sd"], name
    draws = found.posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    knots = cox.knots_of(rows["time"].to_numpy())
    for time in (2.0, 5.0, 10.0, 15.0):
        masses = SPLINES(time, knots["knot1"], knots["knot2"], knots["knot3"])[1]
        level = np.exp(draws["b"].sel(coef="Intercept").to_numpy())
        cumulative = level * (draws["sbhaz"].to_numpy() @ np.array(masses))
        truth = (time / 10) ** 1.5
        assert abs(np.log(cumulative).mean() - np.log(truth)) < 4 * np.log(cumulative).std(), time


def test_answers(fit):
    quantile = np.sort(fit.residuals()["quantile"].to_numpy())
    even = (np.arange(76) + 0.5) / 76
    assert np.abs(quantile - even).max() < 1.95 / np.sqrt(76)
    assert np.isfinite(fit.loo().elpd)
    assert np.isfinite(fit.predict(kind="linear").to_numpy()).all()
    assert np.isfinite(fit.predict(KIDNEY.iloc[:3], kind="mean", parameter="mu").to_numpy()).all()
    assert "hazard mu" in repr(fit.model)
    assert {"sbhaz"} <= set(fit.model.priors["class"])


def test_what_cannot_be_is_refused(fit):
    for ask in (
        lambda: fit.predict(kind="response"),
        lambda: fit.model.prior_predictive(draws=10),
        lambda: fit.model.simulate({}),
    ):
        with pytest.raises((hb.UnsupportedError, hb.DataError)):
            ask()
    with pytest.raises(
        hb.UnsupportedError, match="cannot be simulated: nothing is known of its hazard beyond"
    ):
        fit.predict(kind="response")
    with pytest.raises(hb.UnsupportedError, match="has no expected response"):
        fit.predict()
    with pytest.raises(hb.DataError, match="learns its baseline from the response 'time'"):
        hb.Model(
            FORMULA.replace("cens(1 - status)", "cens(c)"),
            hb.design_grid(age=[40, 50], sex=["male", "female"], patient=[1, 2], c=[0]),
            family="cox",
        )
    with pytest.raises(hb.DataError, match="must be a finite number above 0"):
        hb.Model(FORMULA, KIDNEY.assign(time=KIDNEY["time"] - 2), family="cox")
    with pytest.raises(hb.PriorError, match="use Dirichlet"):
        hb.Model(FORMULA, KIDNEY, family="cox", priors={"sbhaz": "Normal(0, 1)"})
    with pytest.raises(hb.UnsupportedError, match="sbhaz"):
        hb.Model({"mu": FORMULA, "sbhaz": "~ age"}, KIDNEY, family="cox")


def test_the_baseline_is_that_of_the_training_rows(fit, tmp_path):
    """New rows, and a fit read from disk, have the training rows' knots."""
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    rows = KIDNEY.iloc[[3, 20]]
    for one in (fit, again):
        design = one.model.spec.layout.bind(rows)
        assert_allclose(design.predictors["knot2"].offset, 39.5)
        assert_allclose(design.predictors["knot3"].offset, 562 + 560 / 50)
    assert_allclose(again.loo().elpd, fit.loo().elpd)


def test_draws_from_the_prior_and_their_density(fit):
    spec = fit.model.spec
    drawn = sample_prior(spec, 4000, 1)
    shares = drawn.values["sbhaz"]
    assert shares.shape == (4000, 5)
    assert_allclose(shares.sum(axis=1), 1.0)
    assert_allclose(shares.mean(axis=0), 0.2, atol=0.01)
    assert_allclose(log_prior(spec, drawn)["sbhaz"], np.log(24.0))  # of the flat density on four numbers


def test_points_without_bounds_and_back(fit):
    from hierbayes.answers.draws import flatten

    spec, draws = fit.model.spec, flatten(fit.model.spec, fit.posterior)
    levels = {("mu", "patient"): np.zeros(0, np.intp)}
    space = space_of(spec, draws, levels)
    part = next(space.parts())
    back = space.at(space.points[part], part)
    assert_allclose(back.values["sbhaz"], draws.values["sbhaz"][part], rtol=1e-10)
    assert np.isfinite(log_jacobian(spec, draws)).all()
