"""Choices and their times: densities against RWiener and quadrature, draws against probabilities, what fits answer."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats

import hierbayes as hb
from hierbayes import passage
from hierbayes.errors import DataError, FormulaError, UnsupportedError
from hierbayes.families import FAMILIES
from hierbayes.families.record import Responses
from hierbayes.formula import parse
from hierbayes.kinds import PROBABILITY
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works

WIENER = FAMILIES["wiener"]
# R's RWiener 1.3-3: dwiener(t, a, 0.25, w, v, resp, give_log = TRUE), pwiener(…), for "upper" and for "lower"
#    t     v    a    w      density                             probability by then
RWIENER = np.array(
    [
        [0.26, -2.0, 0.7, 0.2, -11.4110017540878, 3.3027038894046, 6.86298853858e-09, 2.11005283236e-01],
        [0.35, -2.0, 0.7, 0.2, -1.1702328688206, 0.5473631580332, 1.95060017256e-02, 8.22273247017e-01],
        [0.80, -2.0, 0.7, 0.2, -6.4323777321984, -5.0323773392882, 4.84707944830e-02, 9.50855534072e-01],
        [3.00, -2.0, 0.7, 0.2, -32.9886323136990, -31.5886323136990, 4.86040575367e-02, 9.51395942463e-01],
    ]
)


def at(y, mu, bs, ndt, bias):
    """The family where all parameters are given."""
    shape = np.broadcast_shapes(*map(np.shape, (y, mu, bs, ndt, bias)))
    own = {"bs": np.asarray(bs), "ndt": np.asarray(ndt), "bias": np.asarray(bias)}
    return WIENER.at(np.broadcast_to(np.asarray(mu, float), shape), own, LINKS["identity"])


def density(y, mu, bs, ndt, bias):
    return at(y, mu, bs, ndt, bias).log_density(np.asarray(y))


def test_density_and_probabilities_are_rwieners():
    t, v, a, w, upper, lower, by_upper, by_lower = RWIENER.T
    assert_allclose(density(t, v, a, 0.25, w), upper, rtol=1e-11)
    assert_allclose(density(-t, v, a, 0.25, w), lower, rtol=1e-11)
    found, below = at(t, v, a, 0.25, w), at(t, v, a, 0.25, w).cdf(np.full(t.shape, 1e-9))
    assert_allclose(found.cdf(t) - below, by_upper, rtol=1e-9, atol=1e-13)
    assert_allclose(below - found.cdf(-t), by_lower, rtol=1e-9, atol=1e-13)


def integral(function, ends):
    """By pieces, so that none is narrow in its interval."""
    pairs = itertools.pairwise(ends)
    return sum(integrate.quad(function, low, high, epsabs=1e-13, epsrel=1e-11)[0] for low, high in pairs)


@pytest.mark.parametrize("mu", [-6.0, 0.0, 0.1, 0.7])
@pytest.mark.parametrize("bias", [0.03, 0.8])
def test_density_adds_up_to_the_probability_of_each_boundary_and_to_the_moments(mu, bias):
    bs, ndt = 1.4, 0.2
    ends = ndt + bs**2 * np.array([0.0, 0.003, 0.02, 0.1, 0.5, 1.0, 3.0, 10.0, 40.0])

    def of(power, sides=(-1.0, 1.0)):
        return sum(
            integral(lambda t, s=s: t**power * np.exp(density(s * t, mu, bs, ndt, bias)), ends) for s in sides
        )

    found = at(0.0, mu, bs, ndt, bias)
    upper = WIENER.quantities["upper"](**found.parameters)
    assert_allclose(of(0, (1.0,)), upper, rtol=1e-10)
    assert_allclose(of(0), 1.0, rtol=1e-10)
    assert_allclose(found.mean(), of(1), rtol=1e-10)
    assert_allclose(found.variance(), of(2) - of(1) ** 2, rtol=1e-9)
    assert_allclose(
        found.cdf(np.array(-0.5)),
        integral(lambda t: np.exp(density(-t, mu, bs, ndt, bias)), [0.5, *ends[ends > 0.5]]),
        atol=1e-12,
    )


def test_series_meet_where_one_follows_the_other():
    """Both are exact there, whichever way the start leans."""
    for log_odds in np.array([-40.0, -3.0, -0.1, 0.0, 0.1, 3.0, 40.0]):
        share = PROBABILITY.under("logit", np.array(log_odds))
        given = [float(each) for each in (share.p, share.q, share.log_p, share.log_q)]
        late = passage.log_passage(passage.LATE, *given)
        early = passage.log_passage(np.nextafter(passage.LATE, 0.0), *given)
        assert_allclose(early, late, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("parameter", ["mu", "bs", "ndt", "bias"])
def test_nothing_is_lost_far_out(parameter):
    """Log density and scores are numbers and are differences of one another, at 40 on either side of each link."""
    y = np.array([-0.9, 0.9])
    links = {name: WIENER.parameter(name).link for name in ("mu", "bs", "ndt", "bias")}
    middle = {"mu": 0.3, "bs": 0.4, "ndt": -1.5, "bias": 0.2}

    def evaluated(**moved):
        etas = middle | moved
        given = {
            name: WIENER.parameter(name).kind.under(links[name], np.full(2, eta))
            for name, eta in etas.items()
        }
        return Responses(WIENER, given).evaluate(y)

    place = ["mu", "bs", "ndt", "bias"].index(parameter)
    for eta in (-40.0, -8.0, 8.0, 40.0):
        value, scores = evaluated(**{parameter: eta})
        if parameter == "ndt" and eta > 0:  # longer than the responses
            assert (value == -np.inf).all()
            continue
        assert np.isfinite(value).all()
        assert all(np.isfinite(score).all() for score in scores)
        near, far = (
            evaluated(**{parameter: eta + h})[0] - evaluated(**{parameter: eta - h})[0] for h in (1e-3, 2e-3)
        )
        assert_allclose(scores[place], (8 * near - far) / 12e-3, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("mu", "bias"), [(-1.0, 0.1), (0.0, 0.5), (1e-9, 0.85), (0.8, 0.3), (9.0, 0.04)])
def test_draws_of_each_boundary_have_its_times(mu, bias):
    n, bs, ndt = 40_000, 1.2, 0.3
    y = at(np.zeros(n), mu, bs, ndt, bias).simulate(np.random.default_rng([5, int(100 * bias)]))
    upper = float(WIENER.quantities["upper"](**at(0.0, mu, bs, ndt, bias).parameters))
    assert abs((y > 0).sum() - n * upper) < 4.5 * np.sqrt(n * upper * (1 - upper)) + 1
    for side, share in ((y[y > 0], upper), (y[y < 0], 1 - upper)):
        if len(side) > 100:
            ends = np.sort([0.0, np.sign(side[0]) * 1e9])

            def upto(values, ends=ends, share=share):
                found = at(values, mu, bs, ndt, bias)
                return (found.cdf(values) - found.cdf(np.full(len(values), ends[0]))) / share

            assert stats.kstest(side, upto).pvalue > 1e-4


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    n = 300
    x, g = rng.normal(size=n), np.arange(n) % 12
    mu = 0.9 + 0.5 * x + rng.normal(scale=0.4, size=12)[g]
    y = at(np.zeros(n), mu, 1.5, 0.25, 0.45).simulate(rng)
    return pd.DataFrame({"x": x, "g": g, "time": np.abs(y), "yes": (y > 0).astype(int)})


MODELS = [
    "time | dec(yes) ~ x + (1 | g)",
    {"mu": "time | dec(yes) ~ x", "bs": "~ x + (1 | g)", "ndt": "~ (1 | g)", "bias": "~ (1 | g)"},
]


@pytest.mark.parametrize("formula", MODELS, ids=["plain", "a formula each"])
def test_the_kernel_is_the_graph(data, formula):
    assert_kernel_is_the_graph(hb.Model(formula, data, family="wiener"))


@pytest.fixture(scope="module")
def fit(data):
    model = hb.Model(MODELS[0], data, family="wiener")
    return assert_works(model, {"Intercept": 0.9, "x": 0.5, "bs": 1.5, "ndt": 0.25, "bias": 0.45})


def test_predictions_are_of_times_and_of_the_upper_boundary(fit, tmp_path):
    rows = {"x": [-1.0, 1.0]}
    time = fit.predict(rows, groups="none")["mean"]
    upper = fit.predict(rows, groups="none", parameter="upper")
    assert upper["mean"].between(0, 1).all()
    assert upper["mean"].is_monotonic_increasing
    drawn = fit.predict(rows, groups="none", kind="response", output="draws").to_numpy()
    shares, draws = (drawn > 0).mean(axis=(0, 1)), drawn[..., 0].size
    assert_allclose(shares, upper["mean"], atol=4.5 * np.sqrt(0.25 / draws))
    table = fit.predict(rows, groups="none", kind="response")
    assert (table["lower"] > 0.2).all()
    assert_allclose(table["mean"], time, atol=4.5 * np.abs(drawn).std() / np.sqrt(draws))
    with pytest.raises(UnsupportedError, match="upper has no linear predictor"):
        fit.predict(rows, groups="none", kind="linear", parameter="upper")
    longer = fit.survival([0.0, 0.6, 1.0], rows, groups="none")["mean"].to_numpy().reshape(2, 3)
    shares = np.array([(np.abs(drawn) > time).mean(axis=(0, 1)) for time in (0.0, 0.6, 1.0)]).T
    assert_allclose(longer, shares, atol=4.5 * np.sqrt(0.25 / draws))
    fit.plot_ppc("survival")
    residuals = fit.residuals()
    assert_allclose(residuals["observed"], fit.data["time"])
    assert np.abs(residuals["pearson"].mean()) < 4.5 / np.sqrt(len(residuals))
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    assert_allclose(again.predict(rows, groups="none", parameter="upper"), upper)


def test_the_choice_may_be_written_as_words_numbers_or_a_comparison(data):
    formula, expected = "time | dec({}) ~ x", hb.Model("time | dec(yes) ~ x", data, family="wiener").design.y
    assert_allclose(np.abs(expected), data["time"])
    words = np.where(data["yes"] == 1, "upper", "lower")
    others = data.assign(
        word=words,
        told=data["yes"] == 1,
        category=pd.Categorical(words),
        key=np.where(data["yes"] == 1, "j", "f"),
    )
    for text in ("word", "told", "category", "key == 'j'", "1 - (yes == 0)"):
        model = hb.Model(formula.format(text), others, family="wiener")
        assert_allclose(model.design.y, expected)
        written = str(model.spec.formulas["mu"])
        assert str(parse(written)) == written
    with pytest.raises(DataError, match=r"dec\(key\) must be 'upper' or 'lower' .* dec\(choice == "):
        hb.Model(formula.format("key"), others, family="wiener")
    with pytest.raises(DataError, match=r"write time \| dec\(choice\) ~"):
        hb.Model("time ~ x", data, family="wiener")
    with pytest.raises(DataError, match=r"takes no dec\(…\); wiener does"):
        hb.Model("time | dec(yes) ~ x", data, family="lognormal")
    with pytest.raises(DataError, match="above 0, a time"):
        hb.Model("time | dec(yes) ~ x", data.assign(time=data["time"] - 0.5), family="wiener")
    with pytest.raises(FormulaError, match="needs an argument"):
        hb.Model("time | dec() ~ x", data, family="wiener")


def test_rows_without_a_choice_are_left_out_and_new_rows_need_none(data):
    gaps = data.assign(yes=data["yes"].where(np.arange(len(data)) % 10 > 0))
    with pytest.warns(UserWarning, match="30"):
        model = hb.Model("time | dec(yes) ~ x", gaps, family="wiener")
    assert len(model.data) == 270


def test_a_choice_that_never_differs_is_found(data):
    always = data.assign(yes=1)
    with pytest.warns(hb.DataWarning, match="the choice is the upper boundary in every row"):
        hb.Model("time | dec(yes) ~ x", always, family="wiener")


def test_data_from_known_parameters_have_both_columns(data):
    truth = {"Intercept": 1.0, "x": 0.5, "bs": 1.5, "ndt": 0.25, "bias": 0.5, "sd[g, Intercept]": 0.3}
    for column in (data["yes"], data["yes"] == 1, np.where(data["yes"] == 1, "upper", "lower")):
        model = hb.Model(MODELS[0], data.assign(yes=column), family="wiener")
        made = model.simulate(truth, seed=3)
        assert (made["time"] > 0.25).all()
        again = hb.Model(MODELS[0], made, family="wiener")
        assert 0.5 < (again.design.y > 0).mean() < 1
