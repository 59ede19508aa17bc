"""No, partial and complete pooling: each level's own maximum, whatever the family."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

import hierbayes as hb
from hierbayes.answers.intervals import Interval
from hierbayes.answers.pooling import (
    between_covariance,
    complete_pooling,
    no_pooling,
    pooling_factors,
    population,
    shrinkage_table,
)
from hierbayes.answers.ranks import find_factor
from hierbayes.answers.summary import coef
from hierbayes.engine.draws import to_dataset
from hierbayes.errors import DataError
from hierbayes.families import FAMILIES
from hierbayes.links import LINKS
from tests.test_families import tabled

# the designs below are made small or lopsided on purpose
pytestmark = pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")

RNG = np.random.default_rng(8)
AUX = {"sigma": 0.2, "nu": 3.0, "shape": 4.0, "phi": 8.0, "zi": 0.2, "power": 1.5}


def posterior_of(model, means, noise=0.1, seed=0):
    """A posterior of the schema with the means given; unless given, 0, sds of 1 and no correlation."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for variable in model.spec.variables:
        shape = tuple(len(model.spec.coords[dim]) for dim in variable.dims)
        default = {"b": 0.0, "r": 0.0, "sd": 1.0, "auxiliary": 1.0}.get(variable.kind)
        mean = means.get(variable.name, np.eye(shape[0]) if variable.kind == "cor" else default)
        jitter = rng.normal(size=(2, 25, *shape)) * (noise if variable.kind in "br" else 0.0)
        arrays[variable.name] = np.broadcast_to(mean, shape) + jitter - jitter.mean(axis=(0, 1))
    return to_dataset(model.spec, arrays)


def estimates(model, posterior, factor=None):
    table = no_pooling(model.spec, model.design, posterior, factor)
    return table["estimate"].to_numpy().reshape(-1, table["effect"].nunique())


@pytest.fixture(scope="module")
def sleep():
    return hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))


# -- the normal distribution: least squares -----------------------------------------------------------------


def test_sleepstudy_estimates_are_each_subjects_least_squares_line(sleep):
    table = no_pooling(
        sleep.spec, sleep.design, posterior_of(sleep, {"b": [250, 10], "sigma": 25}), "Subject"
    )
    for subject, rows in sleep.data.groupby("Subject"):
        line = np.linalg.lstsq(np.column_stack([np.ones(10), rows["Days"]]), rows["Reaction"], rcond=None)[0]
        own = table[table["level"] == subject]
        assert own["effect"].tolist() == ["Intercept", "Days"]
        assert own["n"].tolist() == [10, 10]
        np.testing.assert_allclose(own["estimate"], line, rtol=1e-9)


def test_everything_else_is_held_at_its_posterior_mean():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(rng.normal(size=(60, 4)), columns=["y", "x", "w", "o"])
    data["g"], data["h"] = np.repeat(list("abcdef"), 10), np.tile(np.arange(5), 12)
    model = hb.Model({"mu": "y ~ x + w + offset(o) + (0 + x | g) + (1 | h)", "sigma": "~ w"}, data)
    means = {"b": [0.3, 1.0, -2.0], "r_h": np.arange(5)[:, None] / 2, "b_sigma": [0.1, 0.7]}
    found = estimates(model, posterior_of(model, means), "g")[:, 0]
    left = data["y"] - data["o"] - 0.3 + 2.0 * data["w"] - data["h"] / 2
    weight = np.exp(-2 * (0.1 + 0.7 * data["w"]))
    by_hand = (weight * data["x"] * left).groupby(data["g"]).sum() / (weight * data["x"] ** 2).groupby(
        data["g"]
    ).sum()
    np.testing.assert_allclose(found, by_hand, rtol=1e-9)


def test_a_weight_of_2_is_the_row_twice_and_of_0_no_row():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"y": rng.poisson(3, 40), "x": rng.normal(size=40), "g": np.repeat(np.arange(5), 8)})
    data["w"] = rng.integers(0, 3, 40)
    weighted = hb.Model("y | weights(w) ~ x + (x | g)", data, family="poisson")
    repeated = hb.Model("y ~ x + (x | g)", data.loc[data.index.repeat(data["w"])], family="poisson")
    a = no_pooling(weighted.spec, weighted.design, posterior_of(weighted, {"b": [1, 0]}))
    b = no_pooling(repeated.spec, repeated.design, posterior_of(repeated, {"b": [1, 0]}))
    np.testing.assert_allclose(a["estimate"], b["estimate"], rtol=1e-6)
    assert a["n"][::2].tolist() == (data["w"] > 0).groupby(data["g"]).sum().tolist()


def test_a_predictor_far_from_0_costs_no_digits():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"year": np.tile(2000.0 + np.arange(6) / 4, 5), "g": np.repeat(list("abcde"), 6)})
    data["y"] = rng.normal(size=30)
    model = hb.Model("y ~ year + (year | g)", data)
    found = estimates(model, posterior_of(model, {"b": [0, 0]}))
    slopes = [np.polyfit(rows["year"] - 2000.625, rows["y"], 1)[0] for _, rows in data.groupby("g")]
    np.testing.assert_allclose(found[:, 1], slopes, rtol=1e-8)


# -- every family: the maximum of its own log density -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "link"),
    [
        (f.name, link)
        for f in FAMILIES.values()
        # an asymmetric Laplace density has kinks, at which Newton's steps end nowhere: its levels have no estimates
        if f.information and f.mean and f.name != "asym_laplace"
        for link in tabled(f.name)
    ],
)
def test_estimates_maximise_the_familys_log_density(name, link):
    rng = np.random.default_rng(4)
    family, levels, rows = FAMILIES[name], 4, 30
    codes, x, w = (
        np.repeat(np.arange(levels), rows),
        rng.uniform(-1, 1, levels * rows),
        rng.normal(size=levels * rows),
    )
    base = {"identity": 5.0, "inverse": 1.5, "log": 1.0}.get(link, 0.1)
    r = rng.normal(size=(levels, 2)) * 0.2
    trials = rng.integers(1, 9, levels * rows).astype(float) if family.needs_trials else None
    aux = {a.name: AUX[a.name] for a in family.own}
    eta = base + r[codes, 0] + (0.1 + r[codes, 1]) * x + 0.1 * w
    data = pd.DataFrame({"x": x, "w": w, "g": codes, "n": 1.0 if trials is None else trials})
    data["y"] = family.at(eta, aux, LINKS[link]).simulate(rng, trials)
    response = "y" if trials is None else "y | trials(n)"
    model = hb.Model(f"{response} ~ x + w + (x | g)", data, family=name, link=link)
    posterior = posterior_of(model, {"b": [base, 0.1, 0.1], "r_g": r / 2, **aux}, noise=0.0)
    for level, own in enumerate(estimates(model, posterior)):
        mine = codes == level
        n = None if trials is None else trials[mine]

        def loss(c, mine=mine, n=n):
            eta = c[0] + c[1] * x[mine] + 0.1 * w[mine]
            return -family.at(eta, aux, LINKS[link]).log_density(data["y"].to_numpy()[mine], n).sum()

        best = optimize.minimize(
            loss, own + 0.01, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
        )
        np.testing.assert_allclose(own, best.x, atol=3e-5)
        assert loss(own) <= best.fun + 1e-9


def test_herds_agree_with_a_direct_optimisation():
    model = hb.Model(
        "incidence | trials(size) ~ period + (1 | herd)", hb.load_dataset("cbpp"), family="binomial"
    )
    b = np.array([-1.4, -1.0, -1.1, -1.6])
    table = no_pooling(model.spec, model.design, posterior_of(model, {"b": b})).set_index("level")
    periods = model.data["period"].astype(int).to_numpy()
    shift = np.concatenate([[0.0], b[1:]])[periods - 1]
    compared = 0
    for herd, estimate in table["estimate"].items():
        mine = (model.data["herd"] == herd).to_numpy()
        y, n = (model.data.loc[mine, name].to_numpy() for name in ("incidence", "size"))
        if y.sum() == 0:
            assert np.isnan(estimate)
            continue

        def loss(c, y=y, n=n, mine=mine):
            odds = c + shift[mine]
            return (n * np.logaddexp(0, odds) - y * odds).sum()

        best = optimize.minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-10})
        assert estimate == pytest.approx(best.x, abs=1e-6)
        compared += 1
    assert compared >= 10


# -- where rows do not settle it ----------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_separated_levels_have_no_estimate(link):
    x = np.tile(np.arange(6.0), 4)
    y = [0, 1, 0, 1, 1, 0] + [1] * 6 + [0] * 6 + [0, 0, 0, 1, 1, 1]
    data = pd.DataFrame({"x": x, "y": y, "g": np.repeat(["mixed", "all", "none", "parted"], 6)})
    model = hb.Model("y ~ x + (x | g)", data, family="bernoulli", link=link)
    table = no_pooling(model.spec, model.design, posterior_of(model, {"b": [0, 0]}))
    missing = table.groupby("level")["estimate"].apply(lambda own: own.isna().all())
    assert missing.to_dict() == {"mixed": False, "all": True, "none": True, "parted": True}


def test_quasi_complete_separation_has_no_estimate():
    data = pd.DataFrame({"x": [0, 0, 0, 1, 1, 1] * 2, "y": [0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1]})
    data["g"] = np.repeat(["parted", "mixed"], 6)
    model = hb.Model("y ~ x + (x | g)", data, family="bernoulli")
    found = estimates(model, posterior_of(model, {"b": [0, 0]}))
    np.testing.assert_allclose(
        found[0], [special.logit(1 / 3), special.logit(2 / 3) - special.logit(1 / 3)], atol=1e-6
    )
    assert np.isnan(found[1]).all()


def test_too_few_rows_or_a_constant_slope_leave_no_estimate():
    x = np.array([0.3, 0.7, 0.7, 0.7, 0.0, 1.0, 2.0])
    data = pd.DataFrame({"g": list("abbbccc"), "x": x, "y": [1.0, 2.0, 3.0, 7.0, 1.0, 3.0, 5.0]})
    model = hb.Model("y ~ x + (x | g)", data)
    posterior = posterior_of(model, {})
    found = estimates(model, posterior)
    assert np.isnan(found[:2]).all()
    np.testing.assert_allclose(found[2], [1.0, 2.0], atol=1e-8)
    assert no_pooling(model.spec, model.design, posterior)["n"].tolist() == [1, 1, 3, 3, 3, 3]


@pytest.mark.parametrize("family", ["poisson", "negbinomial"])
def test_an_identity_link_stays_where_the_mean_is_positive(family):
    data = pd.DataFrame({"y": [0, 0, 0, 0, 3, 4, 2, 5], "g": np.repeat(["none", "some"], 4)})
    model = hb.Model("y ~ 1 + (1 | g)", data, family=family, link="identity")
    found = estimates(model, posterior_of(model, {"b": [2.0], "shape": 4.0}, noise=0.0))
    assert np.isnan(found[0, 0])
    assert found[1, 0] == pytest.approx(3.5)


@pytest.mark.parametrize("family", ["poisson", "negbinomial"])
def test_estimates_of_an_identity_link_imply_positive_means(family):
    rng = np.random.default_rng(7)
    data = pd.DataFrame({"y": rng.negative_binomial(2, 0.5, 800), "x": rng.uniform(-1, 1, 800)})
    data["g"] = np.repeat(np.arange(200), 4)
    model = hb.Model("y ~ x + (x | g)", data, family=family, link="identity")
    found = estimates(model, posterior_of(model, {"b": [2.0, 0.0], "shape": 2.0}, noise=0.0))
    settled = np.isfinite(found[:, 0])
    assert 50 < settled.sum() < 150  # many maxima lie at the edge, where a mean is 0
    means = found[data["g"], 0] + found[data["g"], 1] * data["x"]
    assert (means[settled[data["g"]]] > 0).all()


# -- tables -------------------------------------------------------------------------------------------------


def test_an_effect_without_a_population_coefficient_has_population_0():
    data = hb.load_dataset("sleepstudy")
    model = hb.Model("Reaction ~ 1 + (Days | Subject)", data)
    posterior = posterior_of(model, {"b": [280.0]})
    assert population(model.spec, posterior, find_factor(model.spec)).tolist() == [pytest.approx(280.0), 0.0]


def test_between_covariance_is_the_mean_over_draws(sleep):
    posterior = posterior_of(sleep, {})
    rng = np.random.default_rng(5)
    sd, rho = rng.uniform(1, 3, (2, 25, 2)), rng.uniform(-0.9, 0.9, (2, 25))
    posterior["sd_Subject"][:] = sd
    posterior["cor_Subject"][..., 0, 1] = posterior["cor_Subject"][..., 1, 0] = rho
    found = between_covariance(sleep.spec, posterior, find_factor(sleep.spec))
    off = (rho * sd[..., 0] * sd[..., 1]).mean()
    np.testing.assert_allclose(found, [[(sd[..., 0] ** 2).mean(), off], [off, (sd[..., 1] ** 2).mean()]])


def test_uncorrelated_effects_have_no_covariance():
    model = hb.Model("Reaction ~ Days + (Days || Subject)", hb.load_dataset("sleepstudy"))
    posterior = posterior_of(model, {"sd_Subject": [3.0, 2.0]})
    found = between_covariance(model.spec, posterior, find_factor(model.spec))
    np.testing.assert_allclose(found, [[9.0, 0.0], [0.0, 4.0]])


def test_shrinkage_table_sets_the_three_side_by_side(sleep):
    posterior = posterior_of(sleep, {"b": [250, 10], "r_Subject": np.arange(36.0).reshape(18, 2)})
    interval = Interval(0.8, "eti")
    table = shrinkage_table(sleep.spec, sleep.design, posterior, interval)
    assert list(table) == [
        *("group", "level", "effect", "n", "no_pooling", "partial_pooling", "lower", "upper", "population"),
        *("complete_pooling", "pooling", "pooling_factor"),
    ]
    assert table.attrs["interval"] == "80% ETI"
    together = coef(sleep.spec, posterior).table(0.8, "eti")
    for ours, theirs in (("partial_pooling", "mean"), ("lower", "lower"), ("upper", "upper")):
        np.testing.assert_allclose(table[ours], together[theirs])
    assert table["level"].tolist() == together["level"].tolist()
    assert table["population"].tolist() == pytest.approx([250, 10] * 18)
    alone = no_pooling(sleep.spec, sleep.design, posterior)
    assert table["no_pooling"].tolist() == alone["estimate"].tolist()


def test_complete_pooling_is_the_regression_of_all_rows(sleep):
    data = hb.load_dataset("sleepstudy")
    expected = np.polyfit(data["Days"], data["Reaction"], 1)[::-1]
    posterior = posterior_of(sleep, {"b": [250, 10], "r_Subject": RNG.normal(size=(18, 2))})
    np.testing.assert_allclose(complete_pooling(sleep.spec, sleep.design, posterior), expected, rtol=1e-6)


def test_complete_pooling_of_a_binary_response_is_its_overall_log_odds():
    data = pd.DataFrame({"y": np.tile([0, 1, 1], 40), "g": np.repeat(np.arange(10), 12)})
    model = hb.Model("y ~ 1 + (1 | g)", data, family="bernoulli")
    posterior = posterior_of(model, {"b": [0.2], "r_g": RNG.normal(size=(10, 1))})
    assert complete_pooling(model.spec, model.design, posterior) == pytest.approx([np.log(2)])


def test_pooling_of_one_effect_is_gelman_and_pardoes():
    sizes = np.array([2, 5, 10, 40, 3, 8])
    data = pd.DataFrame({"g": np.repeat(np.arange(6), sizes)})
    data["y"] = RNG.normal(size=len(data))
    model = hb.Model("y ~ 1 + (1 | g)", data)
    posterior = posterior_of(model, {"sd_g": [1.5], "sigma": 2.0})
    r = RNG.normal(size=(2, 25, 6, 1)) + np.linspace(-2, 2, 6)[:, None]
    posterior["r_g"] = (posterior["r_g"].dims, r)
    levels, whole = pooling_factors(model.spec, model.design, posterior, find_factor(model.spec))
    np.testing.assert_allclose(levels[:, 0], (4 / sizes) / (1.5**2 + 4 / sizes), rtol=1e-9)
    draws = r.reshape(50, 6)
    expected = 1 - draws.mean(axis=0).var(ddof=1) / draws.var(axis=1, ddof=1).mean()
    assert whole == pytest.approx([expected])


def test_pooling_of_two_effects_is_the_variance_their_rows_leave(sleep):
    cor = [[1.0, 0.3], [0.3, 1.0]]
    posterior = posterior_of(sleep, {"sd_Subject": [25.0, 6.0], "cor_Subject": cor, "sigma": 25.0})
    levels, _ = pooling_factors(sleep.spec, sleep.design, posterior, find_factor(sleep.spec))
    between = np.outer([25, 6], [25, 6]) * cor
    z = np.column_stack([np.ones(10), np.arange(10)])
    left = np.linalg.inv(np.linalg.inv(between) + z.T @ z / 625)
    np.testing.assert_allclose(levels, np.tile(np.diag(left) / np.diag(between), (18, 1)))


def test_nested_factors_are_part_of_a_levels_own_rows():
    data = pd.DataFrame({"school": np.repeat(list("abcd"), [4, 6, 9, 5])})
    data["class"] = data["school"] + np.resize(list("123"), 24)
    data["seat"] = data["class"] + np.resize(list("lmrr"), 24)
    data["y"], data["x"] = RNG.normal(size=24), RNG.normal(size=24)
    model = hb.Model("y ~ x + (x | school) + (1 | class) + (1 | seat)", data)
    means = {"b": [1.0, 0.5], "sd_school": [1.5, 0.7], "sd_class": [0.9], "sd_seat": [0.6], "sigma": 1.2}
    means |= {"r_class": RNG.normal(size=(12, 1)), "cor_school": [[1.0, -0.2], [-0.2, 1.0]]}
    posterior = posterior_of(model, means)
    factor = find_factor(model.spec, "school")
    found = estimates(model, posterior, "school")
    levels, _ = pooling_factors(model.spec, model.design, posterior, factor)
    between = np.outer([1.5, 0.7], [1.5, 0.7]) * [[1.0, -0.2], [-0.2, 1.0]]
    for place, (_, rows) in enumerate(data.groupby("school")):
        z = np.column_stack([np.ones(len(rows)), rows["x"]])
        np.testing.assert_allclose(found[place], np.linalg.lstsq(z, rows["y"], rcond=None)[0], rtol=1e-6)
        same = [np.equal.outer(rows[name].to_numpy(), rows[name].to_numpy()) for name in ("class", "seat")]
        noise = 1.2**2 * np.eye(len(rows)) + 0.9**2 * same[0] + 0.6**2 * same[1]
        left = np.linalg.inv(np.linalg.inv(between) + z.T @ np.linalg.solve(noise, z))
        np.testing.assert_allclose(levels[place], np.diag(left) / np.diag(between), rtol=1e-9)


def test_shrinkage_table_has_every_factor_and_keeps_the_levels_types():
    data = pd.DataFrame({"g": np.repeat([10, 20, 30], 8), "h": np.tile(list("abcd"), 6)})
    data["y"] = np.random.default_rng(6).normal(size=24)
    model = hb.Model("y ~ 1 + (1 | g) + (1 | h)", data)
    posterior = posterior_of(model, {})
    table = shrinkage_table(model.spec, model.design, posterior, Interval(0.8, "eti"))
    assert list(zip(table["group"], table["level"], strict=True)) == [
        *(("g", level) for level in (10, 20, 30)),
        *(("h", level) for level in "abcd"),
    ]
    one = shrinkage_table(model.spec, model.design, posterior, Interval(0.8, "eti"), "g")
    assert one["level"].tolist() == [10, 20, 30]
    assert np.issubdtype(one["level"].dtype, np.integer)


def test_a_model_without_groups_has_an_empty_table():
    model = hb.Model("Reaction ~ Days", hb.load_dataset("sleepstudy"))
    table = shrinkage_table(model.spec, model.design, posterior_of(model, {}), Interval(0.8, "eti"))
    assert len(table) == 0
    assert "no_pooling" in table
    with pytest.raises(DataError, match="no grouping factor"):
        no_pooling(model.spec, model.design, posterior_of(model, {}))


def test_an_unknown_factor_is_told_those_there_are(sleep):
    with pytest.raises(DataError, match=r"'subject' is no grouping factor .* it has 'Subject'"):
        find_factor(sleep.spec, "subject")


def test_thousands_of_levels_take_moments():
    data = hb.load_dataset("insteval")
    data["high"] = (data["y"] > 3).astype(int)
    model = hb.Model("high ~ 1 + (1 | s)", data, family="bernoulli")
    posterior = posterior_of(model, {"b": [0.2]})
    start = time.perf_counter()
    table = no_pooling(model.spec, model.design, posterior)
    assert time.perf_counter() - start < 3
    shares = data.groupby("s")["high"].mean().to_numpy()
    settled = (shares > 0) & (shares < 1)
    np.testing.assert_allclose(table["estimate"][settled], special.logit(shares[settled]), atol=1e-6)
    assert table["estimate"][~settled].isna().all()
