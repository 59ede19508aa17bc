"""Predictions: a known level uses its own draws, a new one is drawn from the population, memory stays bounded."""

import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hierbayes as hb
from hierbayes.answers import predict
from hierbayes.answers.draws import flatten, population_coefficients
from hierbayes.data.design import linear_predictor
from hierbayes.engine.draws import to_tree
from hierbayes.links import LINKS
from hierbayes.simulation import sample_prior
from tests.test_families import TEN, tabled

N, LIMIT = 60, 4.5  # the largest z-score that chance may make, over some hundred comparisons with fixed seeds
RNG = np.random.default_rng(4)
D = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "kind": np.tile(["lo", "hi"], N // 2),
        "g": np.tile(list("abcdef"), N // 6),
        "h": np.repeat(np.arange(5), N // 5),
        "k": RNG.integers(1, 11, N),
        "n": 12,
        "count": RNG.poisson(4, N),
        "yes": RNG.integers(0, 2, N),
        "positive": RNG.gamma(2, 3, N),
        "share": RNG.uniform(0.1, 0.9, N),
    }
)
RESPONSES = {
    "gaussian": "y",
    "student": "y",
    "lognormal": "positive",
    "bernoulli": "yes",
    "binomial": "k | trials(n)",
    "betabinomial": "k | trials(n)",
    "poisson": "count",
    "negbinomial": "count",
    "gamma": "positive",
    "beta": "share",
}
AUXILIARIES = {"sigma": 0.7, "nu": 8.0, "shape": 3.0, "phi": 20.0}
SHAPES = {"df": 6.0, "rho": 0.5}
SLOPES = "x + (x | g)"


OF_NUMBERS = ("linear", "mean", "response")  # kinds of predictions of responses that are numbers


def to_fit(model: hb.Model, values: dict[str, np.ndarray], chains: int) -> hb.Fit:
    shaped = {name: np.reshape(array, (chains, -1, *array.shape[1:])) for name, array in values.items()}
    return hb.Fit(model.spec, model.data, model.design, to_tree(model.spec, model.design, shaped, {}, {}))


def prior_fit(model: hb.Model, draws: int = 500, chains: int = 2, seed: int = 0) -> hb.Fit:
    """A fit whose draws are the prior's: every kind of quantity, without sampling."""
    return to_fit(model, dict(sample_prior(model.spec, chains * draws, seed).values), chains)


def tame_fit(model: hb.Model, draws: int = 1000, chains: int = 2, seed: int = 0) -> hb.Fit:
    """A fit with draws around 0.3 for coefficients, 0.4 for sds, 0.5 for correlations: nothing of it is extreme."""
    rng = np.random.default_rng(seed)
    size = draws * chains
    values: dict[str, np.ndarray] = {}
    for parameter, layout in model.spec.layout.predictors.items():
        if layout.coefficients:
            name = model.spec.coefficient_variable(parameter).name
            values[name] = 0.3 + 0.1 * rng.normal(size=(size, len(layout.coefficients)))
        for factor in layout.factors:
            names = {kind: v.name for kind, v in model.spec.factor_variables(parameter, factor).items()}
            q = len(factor.effects)
            sd = 0.4 * np.exp(0.2 * rng.normal(size=(size, q)))
            cor = np.tile(np.eye(q), (size, 1, 1))
            for block in factor.blocks:
                rho = rng.uniform(0.4, 0.6, size)
                for i, j in ((i, j) for i in block for j in block if i != j):
                    cor[:, i, j] = rho
            z = rng.normal(size=(size, len(factor.levels), q))
            root = np.linalg.cholesky(cor)
            values |= {names["sd"]: sd, names["r"]: np.einsum("sij,slj->sli", root, z) * sd[:, None]}
            if factor.correlated and "cor" in names:
                values[names["cor"]] = cor
            for variable in model.spec.shape_variables(parameter, factor):
                typical = SHAPES[variable.kind]
                values[variable.name] = typical * np.exp(0.1 * rng.normal(size=size))
    for name in model.spec.plain_parameters:
        values[name] = AUXILIARIES[name] * np.exp(0.1 * rng.normal(size=size))
    return to_fit(model, values, chains)


def draws_of(fit: hb.Fit, rows=None, **options) -> np.ndarray:
    """Draws of predictions, (S, n)."""
    found = fit.predict(rows, output="draws", **options)
    return found.to_numpy().reshape(-1, found.sizes["__obs__"])


def values_of(fit: hb.Fit, name: str) -> np.ndarray:
    values = fit.posterior[name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def covariances(fit: hb.Fit, factor: str = "g") -> np.ndarray:
    """Σ of each draw, (S, q, q)."""
    sd = values_of(fit, f"sd_{factor}")
    cor = values_of(fit, f"cor_{factor}") if f"cor_{factor}" in fit.posterior else np.eye(sd.shape[1])
    return sd[:, :, None] * cor * sd[:, None, :]


def z_score(values: np.ndarray) -> np.ndarray:
    """How many standard errors the mean of draws (S, …) is from 0."""
    return values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def new_effects(fit: hb.Fit, labels, **options) -> np.ndarray:
    """Effects (intercept, x) of new levels, (S, levels, 2), as rows at x = 0 and x = 1 show them."""
    at = [pd.DataFrame({"x": np.full(len(labels), float(x)), "g": labels}) for x in (0, 1)]
    zero, one = (
        draws_of(fit, rows, kind="linear", **options) - draws_of(fit, rows, kind="linear", groups="none")
        for rows in at
    )
    return np.stack([zero, one - zero], axis=-1)


@pytest.fixture(scope="module")
def slopes() -> hb.Fit:
    return prior_fit(hb.Model(f"y ~ {SLOPES}", D), draws=2000)


# -- known levels -------------------------------------------------------------------------------------------------


def test_a_known_level_uses_its_own_draws(slopes):
    rows = pd.DataFrame({"x": [0.5, -2.0, 3.0], "g": ["c", "a", "c"]})
    b, r = values_of(slopes, "b"), values_of(slopes, "r_g")
    for i, (x, level) in enumerate([(0.5, 2), (-2.0, 0), (3.0, 2)]):
        expected = b[:, 0] + b[:, 1] * x + r[:, level, 0] + r[:, level, 1] * x
        assert_allclose(draws_of(slopes, rows)[:, i], expected)


def test_the_training_rows_are_the_default(slopes):
    pd.testing.assert_frame_equal(slopes.predict(), slopes.predict(D))
    assert_array_equal(draws_of(slopes), draws_of(slopes, D))


def direct(fit: hb.Fit, rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Linear predictor (S, n) and auxiliary parameters of known levels, written out for ``x + (x | g)``."""
    level = [list("abcdef").index(label) for label in rows["g"]]
    b, r, x = values_of(fit, "b"), values_of(fit, "r_g")[:, level], rows["x"].to_numpy()
    aux = {name: values_of(fit, name)[:, None] for name in fit.spec.plain_parameters}
    return b[:, [0]] + r[..., 0] + (b[:, [1]] + r[..., 1]) * x, aux


PAIRS = [(name, link) for name in TEN for link in tabled(name)]


@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_linear_and_mean_of_every_family(family, link):
    fit = tame_fit(hb.Model(f"{RESPONSES[family]} ~ {SLOPES}", D, family=family, link=link), draws=20)
    rows = pd.DataFrame({"x": [0.1, -0.2], "g": ["b", "f"]})
    eta, aux = direct(fit, rows)
    mean = LINKS[link].mean(eta)
    if family == "lognormal":
        mean = np.exp(mean + aux["sigma"] ** 2 / 2)
    assert_allclose(draws_of(fit, rows, kind="linear"), eta)
    assert_allclose(draws_of(fit, rows, kind="mean"), mean)


@pytest.mark.parametrize("family", RESPONSES)
def test_responses_are_in_the_support_and_have_the_mean(family):
    fit = tame_fit(hb.Model(f"{RESPONSES[family]} ~ {SLOPES}", D, family=family), draws=4000)
    trials = np.array([1.0, 5.0, 40.0])
    rows = pd.DataFrame({"x": [0.1, -0.2, 0.3], "g": ["b", "f", "new"], "n": trials})
    responses, means = draws_of(fit, rows, kind="response"), draws_of(fit, rows, kind="mean")
    assert fit.spec.family.support.contains(responses, trials).all()
    expected = means * trials if fit.spec.family.needs_trials else means
    assert np.abs(z_score(responses - expected)).max() < LIMIT
    assert (responses.std(axis=0) > expected.std(axis=0)).all()


def test_no_response_and_no_weights_are_needed():
    data = D.assign(w=1.0, e=2.0)
    fit = prior_fit(hb.Model("log(positive) | weights(w) ~ x + offset(log(e)) + (1 | g)", data), draws=20)
    rows = {"x": [0.0, 1.0], "g": ["a", "b"], "e": [2.0, 20.0]}
    moved = draws_of(fit, rows | {"e": [20.0, 20.0]}) - draws_of(fit, rows)
    assert_allclose(moved[:, 0], np.log(10.0))
    assert_allclose(moved[:, 1], 0.0, atol=1e-12)


def test_trials_are_needed_for_responses_alone():
    fit = tame_fit(hb.Model(f"k | trials(n) ~ {SLOPES}", D, family="binomial"), draws=20)
    rows = pd.DataFrame({"x": [0.0], "g": ["a"]})
    assert ((draws_of(fit, rows) > 0) & (draws_of(fit, rows) < 1)).all()
    with pytest.raises(hb.DataError, match="add the column 'n'"):
        fit.predict(rows, kind="response")
    constant = tame_fit(hb.Model(f"k | trials(12) ~ {SLOPES}", D, family="binomial"), draws=20)
    assert draws_of(constant, rows, kind="response").max() <= 12


def test_another_parameters_formula_enters_the_prediction():
    formulas = {"mu": "positive ~ x + (1 | g)", "sigma": "~ x + (x | g)"}
    fit = tame_fit(hb.Model(formulas, D, family="lognormal"), draws=50)
    rows = pd.DataFrame({"x": [0.2, -0.4], "g": ["d", "a"]})
    level, x = [3, 0], rows["x"].to_numpy()
    b, r = values_of(fit, "b"), values_of(fit, "r_g")[:, level]
    b_sigma, r_sigma = values_of(fit, "b_sigma"), values_of(fit, "r_sigma_g")[:, level]
    mu = b[:, [0]] + b[:, [1]] * x + r[..., 0]
    sigma = np.exp(b_sigma[:, [0]] + r_sigma[..., 0] + (b_sigma[:, [1]] + r_sigma[..., 1]) * x)
    assert_allclose(draws_of(fit, rows), np.exp(mu + sigma**2 / 2))


def test_a_new_level_has_effects_of_its_own_in_each_formula():
    formulas = {"mu": "positive ~ 1 + (1 | g)", "sigma": "~ 1 + (1 | g)"}
    fit = tame_fit(hb.Model(formulas, D, family="lognormal"))
    new = {"g": ["new"]}
    mu = draws_of(fit, new, kind="linear")[:, 0]
    sigma = np.sqrt(2 * (np.log(draws_of(fit, new))[:, 0] - mu))
    effects = {"": mu - values_of(fit, "b")[:, 0], "sigma_": np.log(sigma) - values_of(fit, "b_sigma")[:, 0]}
    z = np.stack([effect / values_of(fit, f"sd_{prefix}g")[:, 0] for prefix, effect in effects.items()])
    assert_allclose(z.std(axis=1), 1.0, atol=LIMIT / np.sqrt(2 * z.shape[1]))
    assert abs(np.corrcoef(z)[0, 1]) < LIMIT / np.sqrt(z.shape[1])


# -- new levels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terms", ["(x | g)", "(x || g)", "(1 | g) + (0 + x | g)"])
def test_a_new_level_has_the_covariance_of_each_draw(terms):
    fit = tame_fit(hb.Model(f"y ~ x + {terms}", D), draws=4000)
    effects = new_effects(fit, ["new", "other"])
    for level in range(2):
        products = effects[:, level, :, None] * effects[:, level, None, :] - covariances(fit)
        assert np.abs(z_score(products)[np.triu_indices(2)]).max() < LIMIT
        assert np.abs(z_score(effects[:, level])).max() < LIMIT
    expected = covariances(fit).mean(axis=0)
    assert_allclose(np.cov(effects[:, 0].T), expected, atol=0.02)
    assert (expected[0, 1] > 0.05) == (terms == "(x | g)")


def test_new_levels_exceed_what_was_observed():
    fit = tame_fit(hb.Model(f"y ~ {SLOPES}", D), draws=4000)
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    values["r_g"][:] = 0.0  # six levels that happen to be alike say nothing of what sd says
    effects = new_effects(to_fit(hb.Model(f"y ~ {SLOPES}", D), values, 2), ["new"])
    assert effects[:, 0].std(axis=0) == pytest.approx(values["sd_g"].mean(axis=0), rel=0.1)


def standardized(fit: hb.Fit, effects: np.ndarray) -> np.ndarray:
    """Independent standard normals where effects (S, levels, q) have the covariance of their draw."""
    roots = np.linalg.cholesky(covariances(fit))
    return np.linalg.solve(roots[:, None], effects[..., None])[..., 0]


def test_two_new_levels_are_independent_given_the_draw(slopes):
    z = standardized(slopes, new_effects(slopes, ["new", "other", None, None])).reshape(4000, 8)
    correlations = np.corrcoef(z.T)[np.triu_indices(8, 1)]
    assert np.abs(correlations).max() < LIMIT / np.sqrt(len(z))
    assert_allclose(z.std(axis=0), 1.0, atol=LIMIT / np.sqrt(2 * len(z)))


def test_a_new_level_is_independent_of_the_known_ones(slopes):
    z = standardized(slopes, new_effects(slopes, ["new"]))[:, 0]
    known = standardized(slopes, values_of(slopes, "r_g")).reshape(len(z), -1)
    correlations = np.corrcoef(np.hstack([z, known]).T)[:2, 2:]
    assert np.abs(correlations).max() < LIMIT / np.sqrt(len(z))


def test_one_draw_of_a_new_level_is_shared_by_all_its_rows(slopes, monkeypatch):
    rows = pd.DataFrame({"x": np.zeros(7), "g": ["q", "a", "q", None, "p", None, "q"]})
    found = draws_of(slopes, rows)
    monkeypatch.setattr(predict, "CHUNK_ENTRIES", 1)  # every row is a chunk of its own
    assert_array_equal(draws_of(slopes, rows), found)
    assert_array_equal(found[:, 0], found[:, 2])
    assert_array_equal(found[:, 0], found[:, 6])
    different = found[:, [0, 1, 3, 4, 5]]
    assert (np.diff(np.sort(different, axis=1), axis=1) > 0).all()


def test_a_new_levels_draws_do_not_depend_on_the_other_rows(slopes):
    alone = draws_of(slopes, {"x": [1.0], "g": ["q"]})
    among = draws_of(slopes, {"x": [5.0, 1.0, 0.0], "g": ["p", "q", None]})
    assert_array_equal(alone[:, 0], among[:, 1])


def test_a_seed_repeats_new_levels_and_responses(slopes):
    rows = {"x": [0.0, 1.0], "g": ["q", None]}
    for kind in ("linear", "response"):
        first, again, other = (draws_of(slopes, rows, kind=kind, seed=seed) for seed in (1, 1, 2))
        assert_array_equal(first, again)
        assert (first != other).all()


def test_new_levels_at_the_population_mean(slopes):
    rows = pd.DataFrame({"x": [0.5, 0.5, 0.5], "g": ["q", None, "b"]})
    population, known = draws_of(slopes, rows, groups="none"), draws_of(slopes, rows)
    found = draws_of(slopes, rows, new_levels="mean")
    assert_allclose(found[:, :2], population[:, :2])
    assert_array_equal(found[:, 2], known[:, 2])


def test_new_levels_refused(slopes):
    with pytest.raises(hb.DataError, match="levels of 'g' that training didn't: q, a missing value"):
        slopes.predict({"x": [0.0] * 3, "g": ["a", "q", None]}, new_levels="error")
    known = {"x": [0.0], "g": ["a"]}
    assert_array_equal(draws_of(slopes, known, new_levels="error"), draws_of(slopes, known))
    ignored = slopes.predict({"x": [0.0], "g": ["q"]}, groups="none", new_levels="error")
    assert len(ignored) == 1


@pytest.mark.filterwarnings("ignore:predictions go beyond the training rows:hierbayes.errors.DataWarning")
def test_a_new_subjects_mean_has_the_variance_on_paper():
    sleep = hb.load_dataset("sleepstudy")
    model = hb.Model("Reaction ~ Days + (Days | Subject)", sleep)
    size, rng = 20_000, np.random.default_rng(5)
    sd = np.array([25.0, 6.0]) * np.exp(0.2 * rng.normal(size=(size, 2)))
    rho = np.tanh(0.1 + 0.3 * rng.normal(size=size))
    cor = np.stack([np.stack([np.ones(size), rho], -1), np.stack([rho, np.ones(size)], -1)], -1)
    values = {
        "b": [250.0, 10.0] + [7.0, 1.5] * rng.normal(size=(size, 2)),
        "sd_Subject": sd,
        "cor_Subject": cor,
        "r_Subject": np.zeros((size, 18, 2)),
        "sigma": np.full(size, 25.0),
    }
    fit = to_fit(model, values, 4)
    days = np.array([0.0, 4.0, 9.0, 30.0])
    found = draws_of(fit, {"Days": days, "Subject": ["new"] * 4})
    population = values["b"][:, [0]] + values["b"][:, [1]] * days
    group = sd[:, [0]] ** 2 + 2 * days * (rho * sd[:, 0] * sd[:, 1])[:, None] + (days * sd[:, [1]]) ** 2
    expected = population.var(axis=0) + group.mean(axis=0)
    squares = (found - population.mean(axis=0)) ** 2
    assert np.abs(z_score(squares - expected)).max() < LIMIT
    table = fit.predict({"Days": days, "Subject": ["new"] * 4})
    assert_allclose(table["sd"], np.sqrt(expected), rtol=0.02)


# -- nested and crossed factors -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nested() -> hb.Fit:
    return prior_fit(hb.Model("y ~ x + (1 | g/h)", D), draws=200)


def test_a_new_cell_in_a_known_level_uses_the_levels_draws(nested):
    known_cell = D.iloc[0]
    rows = pd.DataFrame(
        {"x": 0.0, "g": ["a", known_cell["g"], "new", "new"], "h": [99, known_cell["h"], 0, 1]}
    )
    b, r = values_of(nested, "b"), values_of(nested, "r_g")[..., 0]
    without_cells = draws_of(nested, rows, groups=["g"])
    assert_allclose(without_cells[:, 0], b[:, 0] + r[:, 0])
    assert_allclose(draws_of(nested, rows, new_levels="mean")[:, 0], b[:, 0] + r[:, 0])
    cells = draws_of(nested, rows) - without_cells
    place = nested.posterior["g:h"].to_numpy().tolist().index(f"{known_cell['g']}:{known_cell['h']}")
    assert_allclose(cells[:, 1], values_of(nested, "r_g:h")[:, place, 0], atol=1e-9)
    assert_array_equal(without_cells[:, 2], without_cells[:, 3])
    z = cells[:, [0, 2, 3]] / values_of(nested, "sd_g:h")
    assert np.abs(np.corrcoef(z.T)[np.triu_indices(3, 1)]).max() < LIMIT / np.sqrt(len(z))
    assert_allclose(z.std(axis=0), 1.0, atol=LIMIT / np.sqrt(2 * len(z)))


def test_a_missing_part_makes_the_cell_unknown(nested):
    rows = pd.DataFrame({"x": 0.0, "g": ["a", "a", None], "h": [None, None, 0]})
    cells = draws_of(nested, rows) - draws_of(nested, rows, groups=["g"])
    assert (cells[:, 0] != cells[:, 1]).all()
    assert_allclose(draws_of(nested, rows, groups=["g"])[:, 0], draws_of(nested, rows, groups=["g"])[:, 1])


def test_groups_says_which_factors_count():
    fit = prior_fit(hb.Model("y ~ x + (x | g) + (1 | h)", D), draws=50)
    rows = pd.DataFrame({"x": [1.0, 2.0], "g": ["a", "b"], "h": [3, 4]})
    population = draws_of(fit, rows[["x"]], groups="none")
    b = values_of(fit, "b")
    assert_allclose(population, b[:, [0]] + b[:, [1]] * [1.0, 2.0])
    only_g, only_h = (
        draws_of(fit, rows[["x", "g"]], groups=["g"]),
        draws_of(fit, rows[["x", "h"]], groups="h"),
    )
    assert_allclose(only_g - population + only_h, draws_of(fit, rows), atol=1e-9)
    assert_array_equal(draws_of(fit, rows, groups=["h", "g"]), draws_of(fit, rows))
    assert_array_equal(draws_of(fit, rows[["x"]], groups=[]), population)
    pd.testing.assert_frame_equal(fit.predict(groups="none"), fit.predict(D[["x"]], groups="none"))


def test_a_model_without_population_level_part():
    with pytest.warns(hb.DataWarning, match="no-population-mean"):
        fit = prior_fit(hb.Model("y ~ 0 + (1 | g)", D), draws=50)
    assert_array_equal(draws_of(fit, {"g": ["c"]})[:, 0], values_of(fit, "r_g")[:, 2, 0])
    assert_array_equal(draws_of(fit, {"g": ["c"]}, groups="none"), np.zeros((100, 1)))


# -- chunks, order, tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", RESPONSES)
def test_chunks_do_not_show(family, monkeypatch):
    fit = tame_fit(hb.Model(f"{RESPONSES[family]} ~ {SLOPES}", D, family=family), draws=500)
    rows = pd.DataFrame(
        {"x": np.linspace(-1, 1, 9), "g": ["a", "p", None, "b", "p", "q", None, "a", "q"], "n": 7}
    )
    whole = {kind: draws_of(fit, rows, kind=kind) for kind in OF_NUMBERS}
    table = fit.predict(rows)
    monkeypatch.setattr(predict, "CHUNK_ENTRIES", 2 * len(whole["mean"]))
    for kind in ("linear", "mean"):
        assert_allclose(draws_of(fit, rows, kind=kind), whole[kind], rtol=1e-13)
    pd.testing.assert_frame_equal(fit.predict(rows), table)
    with np.errstate(
        invalid="ignore"
    ):  # rows whose noise is the same, as the first chunk's, differ by nothing
        scores = z_score(draws_of(fit, rows, kind="response") - whole["response"])
    assert np.isfinite(scores).sum() >= 6
    assert np.nanmax(np.abs(scores)) < LIMIT


@pytest.mark.parametrize("cores", [1, 3])
def test_cores_do_not_show(slopes, cores, monkeypatch):
    rows = pd.DataFrame({"x": np.linspace(-1, 1, 40), "g": np.tile(["a", "p", None, "b", "q"], 8)})
    monkeypatch.setattr(predict, "CHUNK_ENTRIES", 3 * slopes.posterior["b"].sizes["draw"])
    tables = {kind: slopes.predict(rows, kind=kind) for kind in OF_NUMBERS}
    monkeypatch.setattr(
        os, "process_cpu_count" if hasattr(os, "process_cpu_count") else "cpu_count", lambda: cores
    )
    for kind, table in tables.items():
        pd.testing.assert_frame_equal(slopes.predict(rows, kind=kind), table, check_exact=True)


def test_draws_have_the_designs_linear_predictor():
    """By loops of their own, with an offset and two factors."""
    fit = tame_fit(hb.Model("y ~ x + kind + offset(positive) + (x | g) + (1 | h)", D))
    draws, bound = flatten(fit.spec, fit.posterior), fit.design.main
    factors = [
        (bound.factors[f.name].codes, bound.factors[f.name].z, draws.values[f"r_{f.name}"])
        for f in fit.spec.layout.main.factors
    ]
    b = population_coefficients(fit.spec, "mu", draws.values)
    expected = linear_predictor(bound.columns, bound.offset, b, factors)
    found = fit.predict(kind="linear", output="draws").values.reshape(expected.shape)
    assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_blocks_of_levels_are_as_few_as_their_effects_allow(monkeypatch):
    """Every row once, the levels of a block few enough, and a block more has more than half of them."""
    rows = D.assign(g=[f"{g}{i % 3}" for i, g in enumerate(D["g"])], h=D.index // 12)
    fit = tame_fit(hb.Model("y ~ x + (x | g) + (1 | h)", rows), draws=20)
    codes = [factor.codes for factor in fit.design.predictors["mu"].factors.values()]
    (whole,) = predict.level_blocks(fit.design, ("g", "h"), 10**6)
    assert sorted(whole) == list(range(len(rows)))
    assert (np.diff(codes[0][whole]) >= 0).all()
    for most in (9, 16):
        blocks = list(predict.level_blocks(fit.design, ("g", "h"), most))
        assert list(np.concatenate(blocks)) == list(whole)
        for places in blocks:
            assert 2 * len(np.unique(codes[0][places])) + len(np.unique(codes[1][places])) <= most
    whole = draws_of(fit, rows)
    monkeypatch.setattr(predict, "LEVEL_ENTRIES", 9 * len(whole))
    assert_allclose(draws_of(fit, rows), whole, rtol=1e-13)


def test_responses_of_different_chunks_are_independent(slopes, monkeypatch):
    monkeypatch.setattr(predict, "CHUNK_ENTRIES", 1)
    rows = {"x": [0.0, 0.0, 0.0], "g": ["a", "a", "q"]}
    noise = draws_of(slopes, rows, kind="response") - draws_of(slopes, rows)
    z = noise / values_of(slopes, "sigma")[:, None]
    assert np.abs(np.corrcoef(z.T)[np.triu_indices(3, 1)]).max() < LIMIT / np.sqrt(len(z))
    assert_allclose(z.std(axis=0), 1.0, atol=LIMIT / np.sqrt(2 * len(z)))


def test_permuted_rows_have_permuted_predictions(slopes):
    rows = D.assign(g=D["g"].where(D.index % 7 > 0, "q").where(D.index % 11 > 0, "p"))
    order = np.random.default_rng(6).permutation(N)
    for kind in ("linear", "mean"):
        assert_array_equal(
            draws_of(slopes, rows.iloc[order], kind=kind), draws_of(slopes, rows, kind=kind)[:, order]
        )
    pd.testing.assert_frame_equal(slopes.predict(rows.iloc[order]), slopes.predict(rows).iloc[order])


def test_permuted_draws_have_permuted_predictions(slopes):
    order = np.random.default_rng(7).permutation(4000)
    values = {v.name: values_of(slopes, v.name)[order] for v in slopes.spec.variables}
    model = hb.Model(f"y ~ {SLOPES}", D)
    assert_array_equal(draws_of(to_fit(model, values, 2)), draws_of(slopes)[order])


@pytest.mark.parametrize("kind", OF_NUMBERS)
@pytest.mark.parametrize("prob", [0.5, 0.89, 0.95])
def test_the_table_summarises_the_draws(slopes, kind, prob):
    rows = {"x": [0.0, 1.0, 2.0], "g": ["a", "q", None]}
    draws = draws_of(slopes, rows, kind=kind)
    table = slopes.predict(rows, kind=kind, prob=prob, interval="eti")
    assert list(table.columns) == ["mean", "sd", "lower", "upper"]
    assert_allclose(table["mean"], draws.mean(axis=0))
    assert_allclose(table["sd"], draws.std(axis=0, ddof=1))
    tails = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    assert_allclose(table[["lower", "upper"]].to_numpy().T, tails)
    assert table.attrs["interval"] == f"{100 * prob:g}% ETI"


@pytest.mark.parametrize("interval", ["eti", "hdi"])
@pytest.mark.parametrize("prob", [0.5, 0.89, 0.95])
def test_intervals_are_arvizs(slopes, interval, prob):
    from arviz_stats.base import array_stats

    rows = {"x": [0.0, 1.0, 2.0], "g": ["a", "q", None]}
    table = slopes.predict(rows, prob=prob, interval=interval)
    expected = getattr(array_stats, interval)(draws_of(slopes, rows), prob, axis=0)
    assert_allclose(table[["lower", "upper"]], expected)
    assert table.attrs["interval"] == f"{100 * prob:g}% {interval.upper()}"


def test_the_interval_is_arvizs_unless_given(slopes):
    from arviz_base import rc_context

    with rc_context({"stats.ci_prob": 0.6, "stats.ci_kind": "hdi"}):
        assert slopes.predict({"x": [0.0], "g": ["a"]}).attrs["interval"] == "60% HDI"


def test_the_index_of_the_rows_is_kept(slopes):
    rows = D.head(3)
    for index in (
        pd.Index([7, 7, -1]),
        pd.Index(list("abc"), name="id"),
        pd.MultiIndex.from_product([[1], [2, 3, 4]]),
    ):
        assert slopes.predict(rows.set_axis(index)).index.equals(index)
    assert slopes.predict(pl.DataFrame({"x": [1.0], "g": ["a"]})).index.equals(pd.RangeIndex(1))
    assert slopes.predict(D.head(0)).shape == (0, 4)
    assert slopes.predict(D.head(0), output="draws").shape == (2, 2000, 0)


def test_draws_are_labelled(slopes):
    found = slopes.predict({"x": [0.0, 1.0], "g": ["a", "b"]}, output="draws")
    assert found.dims == ("chain", "draw", "__obs__")
    assert found.shape == (2, 2000, 2)
    expected = slopes.posterior["b"].sel(coef="Intercept") + slopes.posterior["r_g"].sel(
        g="a", g_effect="Intercept"
    )
    assert_allclose(found.isel(__obs__=0), expected)


def test_polars_rows_are_predicted_alike(slopes):
    frame = pl.DataFrame({"x": [0.0, 1.0, 2.0], "g": ["a", "q", None]}).with_columns(
        pl.col("g").cast(pl.Categorical)
    )
    expected = slopes.predict({"x": [0.0, 1.0, 2.0], "g": ["a", "q", None]})
    for rows in (frame, frame.lazy(), frame.to_arrow()):
        pd.testing.assert_frame_equal(slopes.predict(rows), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_hundred_thousand_rows_in_bounded_memory():
    code = r"""
import json, re, time
import numpy as np, pandas as pd
import hierbayes as hb
from hierbayes.engine.draws import to_tree
from hierbayes.simulation import sample_prior

rng = np.random.default_rng(0)
data = pd.DataFrame({"y": rng.normal(size=500), "x": rng.normal(size=500), "g": np.tile(np.arange(50), 10)})
model = hb.Model("y ~ x + (x | g)", data)
values = {k: v.reshape(4, 1000, *v.shape[1:]) for k, v in sample_prior(model.spec, 4000, 0).values.items()}
fit = hb.Fit(model.spec, model.data, model.design, to_tree(model.spec, model.design, values, {}, {}))
n = 100_000
rows = pd.DataFrame({"x": rng.normal(size=n), "g": rng.integers(0, 60, n)})
start = time.perf_counter()
table = fit.predict(rows)
seconds = time.perf_counter() - start
gigabytes = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 2**20
print(json.dumps({"rows": len(table), "seconds": seconds, "gigabytes": gigabytes}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["rows"] == 100_000
    assert found["gigabytes"] < 1  # all draws at once would be 3.2


# -- comparisons --------------------------------------------------------------------------------------------------


def test_rows_are_compared_one_by_one(slopes):
    a = pd.DataFrame({"x": [1.0, 2.0], "g": ["a", "q"]}, index=["first", "second"])
    b = pd.DataFrame({"x": [0.0, 1.0], "g": ["b", "p"]})
    difference = draws_of(slopes, a) - draws_of(slopes, b)
    table = slopes.compare(a, b)
    assert table.index.tolist() == ["first", "second"]
    assert_allclose(table["mean"], difference.mean(axis=0))
    assert_allclose(table["sd"], difference.std(axis=0, ddof=1))
    assert_allclose(table["p_greater"], (difference > 0).mean(axis=0))
    reverse = slopes.compare(b, a)
    assert_allclose(reverse["mean"].to_numpy(), -table["mean"].to_numpy())
    assert_allclose(reverse["p_greater"].to_numpy(), 1 - table["p_greater"].to_numpy())


def test_a_new_level_on_both_sides_is_one_group():
    fit = prior_fit(hb.Model("y ~ x + (1 | g)", D))
    table = fit.compare({"x": [1.0], "g": ["q"]}, {"x": [0.0], "g": ["q"]})
    slope = values_of(fit, "b")[:, 1]
    assert table["sd"].item() == pytest.approx(slope.std(ddof=1))
    others = fit.compare({"x": [1.0], "g": ["q"]}, {"x": [0.0], "g": ["p"]})
    assert others["sd"].item() > table["sd"].item()
    same = fit.compare({"x": [1.0], "g": ["q"]}, {"x": [1.0], "g": ["q"]})
    assert same[["mean", "sd", "p_greater"]].to_numpy().tolist() == [[0.0, 0.0, 0.5]]


@pytest.mark.parametrize("per_chunk", [1, 3])
def test_responses_of_every_chunk_have_noise_of_their_own(slopes, monkeypatch, per_chunk):
    """Alike rows in different chunks differ by chance alone, and do differ: compared, predicted and averaged."""
    draws, rows = 4000, pd.DataFrame({"x": np.zeros(6), "g": "a"})
    monkeypatch.setattr(predict, "CHUNK_ENTRIES", 2 * draws * per_chunk)
    pairs = slopes.compare(rows, rows, kind="response")
    assert pairs["mean"].nunique() == 6
    request = predict.make_request(slopes.spec, "response", "all", "sample", 0)
    flat = flatten(slopes.spec, slopes.posterior)
    both = slopes.spec.layout.bind_new(pd.concat([rows, rows], ignore_index=True), request.groups)
    differences = np.column_stack([a - b for a, b in predict.predict_pairs(slopes.spec, flat, both, request)])
    # signs: their noise is independent between rows, whatever sigma is in a draw
    off = np.corrcoef(np.sign(differences).T)[~np.eye(6, dtype=bool)]
    assert np.abs(off).max() < LIMIT / np.sqrt(draws)
    monkeypatch.setattr(predict, "CHUNK_ENTRIES", draws * per_chunk)
    noise = draws_of(slopes, rows, kind="response") - draws_of(slopes, rows, kind="mean")
    assert np.abs(np.corrcoef(noise.T)[~np.eye(6, dtype=bool)]).max() < 0.5
    assert len(np.unique(noise[0])) == 6


def test_unequally_many_rows_are_averaged_within_each_draw(slopes):
    a, b = D.head(10), D.tail(25)
    difference = draws_of(slopes, a).mean(axis=1) - draws_of(slopes, b).mean(axis=1)
    table = slopes.compare(a, b)
    assert table.index.tolist() == ["average"]
    assert table["mean"].item() == pytest.approx(difference.mean())
    assert table["sd"].item() == pytest.approx(difference.std(ddof=1))
    assert table["p_greater"].item() == pytest.approx((difference > 0).mean())


def test_comparisons_take_any_table_groups_and_kinds():
    fit = tame_fit(hb.Model(f"k | trials(n) ~ x * kind + {SLOPES}", D, family="binomial"), draws=50)
    a = pl.DataFrame({"x": [1.0], "kind": ["lo"], "n": [100]})
    b = {"x": [0.0], "kind": ["hi"], "n": [1]}
    expected = draws_of(fit, {"x": [1.0], "kind": ["lo"]}, groups="none") - draws_of(
        fit, {"x": [0.0], "kind": ["hi"]}, groups="none"
    )
    assert fit.compare(a, b, groups="none")["mean"].item() == pytest.approx(expected.mean())
    assert fit.compare(a, b, groups="none", kind="response")["mean"].item() > 10


def test_comparisons_of_many_rows_are_chunked_too(slopes, monkeypatch):
    a = D.assign(x=D["x"] + 1, g=D["g"].where(D.index % 5 > 0, "q").where(D.index % 7 > 0))
    b = D.assign(g=a["g"])
    pairs, averages = slopes.compare(a, b), slopes.compare(a, b.head(20))
    monkeypatch.setattr(predict, "CHUNK_ENTRIES", 6 * 4000)
    pd.testing.assert_frame_equal(slopes.compare(a, b), pairs)
    pd.testing.assert_frame_equal(slopes.compare(a, b.head(20)), averages)


@pytest.mark.parametrize("rows_b", [3000, 2999])
def test_comparisons_of_many_rows_stay_small(slopes, rows_b, monkeypatch):
    monkeypatch.setattr(predict, "CHUNK_ENTRIES", 200_000)
    a = pd.DataFrame({"x": np.linspace(-1, 1, 3000), "g": "a"})
    tracemalloc.start()
    slopes.compare(a, a.head(rows_b).assign(x=0.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # every draw of both sides would be 192 MB


def test_unused_effects_need_no_columns():
    fit = prior_fit(hb.Model("y ~ 1 + (x | g)", D), draws=20)
    for rows in (
        pd.DataFrame(index=[3, 4, 5]),
        pl.DataFrame({"z": [1, 2, 3]}),
        pl.LazyFrame({"z": [1, 2, 3]}),
    ):
        table = fit.predict(rows, groups="none")
        assert_allclose(table["mean"], np.full(3, values_of(fit, "b").mean()))


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x | g)", "y ~ x + (1 | g) + (1 | h)"])
def test_an_unknown_group_is_that_of_a_row_on_both_sides(formula):
    """A missing level on both sides of a comparison is one group, as in every other comparison of a row with itself."""
    fit = tame_fit(hb.Model(formula, D))
    low, high = ({"x": [x, x], "g": [None, "a"], "h": [0, None]} for x in (0.0, 1.0))
    found = fit.compare(high, low, seed=3)
    rows = pd.DataFrame(low)
    same = [fit.avg_comparisons({"x": (0.0, 1.0)}, rows.iloc[[row]], seed=3) for row in (0, 1)]
    for row, other in enumerate(same):
        assert_allclose(found["sd"][row], other["sd"][0], rtol=0.15)
    if "(x | g)" not in formula:  # effects of a shared group cancel
        slope = fit.posterior["b"].sel(coef="x").to_numpy().ravel()
        assert_allclose(found[["mean", "sd"]], [[slope.mean(), slope.std(ddof=1)]] * 2)
    uneven = fit.compare(high, {name: values[:1] for name, values in low.items()}, seed=3)
    assert np.isfinite(uneven["sd"]).all()
