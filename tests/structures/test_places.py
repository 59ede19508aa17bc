"""Processes over places: new places given the known ones, one coordinate, maxima of glmmTMB's, a truth found again."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.special import gammaln, kve

import hierbayes as hb
from hierbayes.engine.core.structures import set_root
from hierbayes.formula import parse
from hierbayes.structures import STRUCTURES
from hierbayes.structures.distances import CORRELATION, NUGGET, SECOND_SLOPE
from hierbayes.structures.record import VALUE
from hierbayes.structures.registry import CODES
from tests.structures.test_glmmtmb import marginal

DRAWS = 20_000
CORRELATIONS = {
    "exp": lambda x: np.exp(-x),
    "gau": lambda x: np.exp(-(x**2) / 2),
    "mat": lambda x: (1 + np.sqrt(3) * x) * np.exp(-np.sqrt(3) * x),  # of smoothness 1.5
}
KNOWN = np.array([[0.0, 0.0], [0.2, 1.0], [1.0, 0.3], [2.0, 2.0]])
NEW = np.array([[0.1, 0.4], [3.0, 3.5]])


def rows_at(level, places) -> pd.DataFrame:
    return pd.DataFrame({"g": level, "u": places[:, 0], "v": places[:, 1]})


@pytest.mark.parametrize("name", CORRELATIONS)
def test_new_places_are_given_the_known_ones(name, known_fit):
    rng = np.random.default_rng(3)
    frame = pd.concat([rows_at(level, KNOWN) for level in "abcdef"]).assign(y=rng.normal(size=24))
    model = hb.Model(f"y ~ 1 + {name}(0 + u + v | g)", frame)
    r = rng.normal(size=(6, 4))
    values = {"r_g": r, "sd_g": np.full(4, 1.5), "lscale_g": 0.8, "sigma": 1.0}
    values |= {"smoothness_g": 1.5} if name == "mat" else {}
    fit = known_fit(model, values, chains=1, draws=DRAWS)
    order = model.spec.layout.main.factors[0].encodings[0].at
    both = np.concatenate([order, NEW])
    covariance = 1.5**2 * CORRELATIONS[name](cdist(both, both) / 0.8)
    weights = np.linalg.solve(covariance[:4, :4], covariance[:4, 4:]).T
    mean, spread = weights @ r[1], covariance[4:, 4:] - weights @ covariance[:4, 4:]

    def linear(frame, **options):
        return np.asarray(fit.predict(frame, kind="linear", output="draws", **options)).reshape(DRAWS, -1)

    found = linear(rows_at("b", NEW), new_levels="mean")
    np.testing.assert_allclose(found, np.broadcast_to(mean, found.shape), atol=1e-6)  # but for the nugget
    found = linear(rows_at("b", NEW))
    sds = np.sqrt(np.diagonal(spread))
    assert (np.abs(found.mean(axis=0) - mean) < 4.5 * sds / DRAWS**0.5 + 1e-6).all()
    np.testing.assert_allclose(found.std(axis=0), sds, rtol=4.5 / (2 * DRAWS) ** 0.5)
    mixed = linear(rows_at("a", np.concatenate([NEW[:1], order])))
    np.testing.assert_array_equal(mixed[:, 1:], np.broadcast_to(r[0], (DRAWS, 4)))
    fresh = linear(rows_at("new", both))
    error = 4.5 * np.sqrt((1.5**4 + covariance**2) / DRAWS)
    assert (np.abs(np.cov(fresh.T) - covariance) < error).all()


@pytest.mark.parametrize("lscale", [0.01, 0.75, 40.0])
@pytest.mark.parametrize("smoothness", [0.03, 0.2, 0.5, 1.0, 2.5, 12.0, 40.0, 1e6])
def test_matern_correlations_are_scipys(smoothness, lscale):
    """In the kernel, and by NumPy; with the slopes, of differences."""
    places = np.random.default_rng(2).uniform(0, 3, (12, 2))
    structure, lower = STRUCTURES["mat"], np.tril_indices(12, -1)
    distance = structure.constants(places)

    def kernel(lscale, smoothness):
        p, chol = np.zeros((5, 2 + len(distance))), np.zeros((12, 12))
        p[VALUE] = [lscale, smoothness, *distance]
        set_root(CODES["mat"], 12, p, chol)
        return p[CORRELATION : SECOND_SLOPE + 1, 2:]

    correlation, slope, second = kernel(lscale, smoothness)
    if smoothness < 1e6:
        x = np.sqrt(2 * smoothness) * distance / lscale
        front = (1 - smoothness) * np.log(2) - gammaln(smoothness)
        expected = kve(smoothness, x) * np.exp(front + smoothness * np.log(x) - x)
    else:
        expected = np.exp(-0.5 * (distance / lscale) ** 2)
    np.testing.assert_allclose(correlation, expected, atol=1e-13 if smoothness < 1e6 else 1e-6)
    found = structure.correlation(np, 12, places, np.full((1, 1), lscale), np.full((1, 1), smoothness))
    np.testing.assert_allclose(
        found[lower], (1 - NUGGET) * correlation, atol=1e-13 if smoothness < 1e6 else 1e-8
    )
    for given, up, down in (
        (slope, (lscale * np.exp(1e-4), smoothness), (lscale * np.exp(-1e-4), smoothness)),
        (second, (lscale, smoothness * np.exp(1e-4)), (lscale, smoothness * np.exp(-1e-4))),
    ):
        difference = (kernel(*up)[0] - kernel(*down)[0]) / 2e-4
        np.testing.assert_allclose(given, difference, atol=1e-8)


def test_one_coordinate_is_a_process_in_time():
    """exp() along a line is ou(), with lscale = 1 / decay, but for the nugget; and so are their priors."""
    times = np.array([0, 0.5, 2, 3.1])
    line, time = STRUCTURES["exp"], STRUCTURES["ou"]
    found = line.correlation(np, 4, times[:, None], np.full((1, 1), 1 / 0.7))
    np.testing.assert_allclose(found, time.correlation(np, 4, times, np.full((1, 1), 0.7)), rtol=2e-8)
    (_, length), (_, decay) = (each.parameters[0].prior(4, times) for each in (line, time))
    assert length["mu"] == pytest.approx(-decay["mu"])
    assert length["sigma"] == decay["sigma"]
    frame = pd.concat([rows_at(level, np.column_stack([times, times])) for level in "abcdef"])
    (factor,) = hb.Model("y ~ 1 + exp(0 + u | g)", frame.assign(y=np.arange(24.0))).spec.layout.main.factors
    assert factor.effects == ("u[0]", "u[0.5]", "u[2]", "u[3.1]")


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("exp(1 + u + v | g)", "coordinates of places, columns, and no intercept"),
        ("exp(0 + u:v | g)", "coordinates of places, columns, and no intercept"),
        ("gau(0 + g | g)", "coordinates are numbers"),
        ("(0 + pos(u, v) | g)", r"coordinates of places, in exp\(\), gau\(\) and mat\(\)"),
        ("gau(0 + pos(u + 1, v) | g)", r"names the columns of coordinates: pos\(x, y\)"),
    ],
)
def test_what_is_no_place_is_refused(term, message):
    frame = pd.concat([rows_at(level, KNOWN) for level in "abcdef"]).assign(y=np.arange(24.0))
    with pytest.raises(hb.HierBayesError, match=message):
        hb.Model(f"y ~ 1 + {term}", frame)


def test_coordinates_have_two_spellings():
    assert parse("y ~ 1 + exp(0 + pos(u, v) | g)") == parse("y ~ 1 + exp(0 + u + v | g)")


def test_a_place_that_is_no_number_is_refused_in_new_rows(known_fit):
    frame = pd.concat([rows_at(level, KNOWN) for level in "abcdef"]).assign(y=np.arange(24.0))
    fit = known_fit(hb.Model("y ~ 1 + exp(0 + u + v | g)", frame), {"sigma": 1.0})
    with pytest.raises(hb.DataError, match="'v' is a coordinate"):
        fit.predict(rows_at("a", NEW).assign(v=np.inf))


# The first 60 rows of sp's meuse: (x − 181000) / 1000, (y − 333000) / 1000, zinc in the topsoil
MEUSE = np.array(
    [
        (0.072, 0.611, 1022),
        (0.025, 0.558, 1141),
        (0.165, 0.537, 640),
        (0.298, 0.484, 257),
        (0.307, 0.33, 269),
        (0.39, 0.26, 281),
        (0.165, 0.37, 346),
        (0.027, 0.363, 406),
        (0.06, 0.231, 347),
        (0.232, 0.168, 183),
        (0.191, 0.115, 189),
        (0.032, 0.031, 251),
        (-0.126, 0.339, 1096),
        (-0.031, 0.252, 504),
        (0.011, 0.161, 326),
        (-0.17, 0.246, 1032),
        (-0.237, 0.104, 606),
        (-0.306, -0.028, 711),
        (-0.375, -0.153, 735),
        (-0.445, -0.293, 1052),
        (-0.358, -0.292, 673),
        (-0.296, -0.283, 402),
        (-0.296, -0.336, 343),
        (0.153, -0.075, 218),
        (0.147, -0.177, 200),
        (0.167, -0.222, 194),
        (0.008, -0.223, 207),
        (-0.027, -0.313, 180),
        (-0.084, -0.247, 240),
        (0.352, -0.054, 180),
        (0.133, -0.43, 208),
        (-0.122, -0.511, 198),
        (-0.171, -0.55, 250),
        (-0.046, -0.601, 192),
        (-0.044, -0.682, 213),
        (-0.29, -0.67, 321),
        (-0.368, -0.555, 569),
        (-0.47, -0.462, 833),
        (-0.522, -0.422, 906),
        (-0.617, -0.524, 1454),
        (-0.506, -0.67, 298),
        (-0.439, -0.807, 167),
        (-0.549, -0.825, 176),
        (-0.59, -0.969, 258),
        (-0.645, -0.701, 746),
        (-0.708, -0.843, 746),
        (-0.717, -0.986, 464),
        (-0.718, -1.139, 365),
        (-0.73, -1.293, 282),
        (-0.801, -1.409, 375),
        (-0.865, -1.448, 222),
        (-0.763, -0.649, 812),
        (-0.897, -0.703, 1548),
        (-1.027, -0.745, 1839),
        (-1.174, -0.783, 1528),
        (-1.313, -0.839, 933),
        (-1.208, -0.965, 432),
        (-1.098, -0.887, 550),
        (-0.9, -0.787, 1571),
        (-1.396, -0.941, 1190),
    ]
)


NU = np.exp(-0.264144607717)  # glmmTMB's smoothness of mat()


@pytest.mark.parametrize(
    ("name", "loglik", "mean", "sigma", "sd", "own"),
    [
        # glmmTMB 1.1.5: d$pos <- numFactor(d$x, d$y); d$one <- factor(1)
        # m <- glmmTMB(log(zinc) ~ 1 + exp(0 + pos | one), d, start = list(beta = 6, betad = -3, theta = c(-0.3, -0.5)))
        # logLik(m), fixef(m), sigma(m), sd, exp(theta[2])
        ("exp", -22.3073441393, 6.3050078147, 4.715694711e-06, 1.404116551, {"lscale": np.exp(1.1376827585)}),
        # the same with gau(), whose range is exp(theta[2]) = √2 lscale
        (
            "gau",
            -24.220401937,
            6.2338325884,
            0.1965907619,
            0.770144872,
            {"lscale": np.exp(-0.9721350490) / np.sqrt(2)},
        ),
        # the same with mat(), start = list(beta = 6, betad = -3, theta = c(-0.3, -1, 0)): its range is exp(theta[2]),
        # that is lscale / √(2 smoothness), and the smoothness exp(theta[3])
        (
            "mat",
            -20.6963435916,
            6.37432698361,
            7.98100201e-06,
            np.exp(0.148305011164),
            {"lscale": np.exp(-0.249274192421) * np.sqrt(2 * NU), "smoothness": NU},
        ),
    ],
)
def test_marginal_density_is_glmmtmbs_and_at_its_maximum(name, loglik, mean, sigma, sd, own):
    frame = pd.DataFrame({"x": MEUSE[:, 0], "y": MEUSE[:, 1], "z": np.log(MEUSE[:, 2]), "one": "all"})
    model = hb.Model(f"z ~ 1 + {name}(0 + x + y | one)", frame)
    found = marginal(model, (mean,), sigma, sd, own)
    assert found == pytest.approx(loglik, abs=2e-4)  # the nugget's share
    for factor in (0.97, 1.03):
        assert marginal(model, (mean,), sigma, sd * factor, own) < found
        for parameter, value in own.items():
            assert marginal(model, (mean,), sigma, sd, own | {parameter: value * factor}) < found


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_truth_is_found(family):
    rng = np.random.default_rng(6)
    places = rng.uniform(0, 4, (25, 2))
    covariance = 0.8**2 * np.exp(-cdist(places, places) / 1.2)
    r = rng.multivariate_normal(np.zeros(25), covariance, 40)
    frame = pd.concat([rows_at(level, places) for level in range(40)], ignore_index=True)
    eta = 1.0 + r.ravel()
    frame["y"] = eta + rng.normal(scale=0.5, size=1000) if family == "gaussian" else rng.poisson(np.exp(eta))
    fit = hb.fit("y ~ 1 + exp(0 + u + v | g)", frame, family, seed=1, progress=False)
    summary = fit.summary()
    truth = {"Intercept": 1.0, "sd[g, u + v]": 0.8, "lscale[g]": 1.2}
    for name, value in truth.items():
        assert abs(summary.loc[name, "mean"] - value) < 3.5 * summary.loc[name, "sd"], name
    assert summary["r_hat"].max() < 1.02
