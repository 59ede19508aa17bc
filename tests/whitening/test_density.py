"""The whitened kernel's log density is the graph's, in other variables: every family, link and structure."""

import numpy as np
import pytest

import hierbayes as hb
from hierbayes.engine.whitening.packing import CONDITIONAL
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_families import PAIRS
from tests.test_graph import (
    FRAME,
    OTHER_PARAMETERS,
    RESPONSE,
    STRUCTURES,
    Predictor,
    another_parameter,
    by_hand,
    columns,
    compile_quickly,
    group,
    left_side,
    texts,
    trials_of,
)
from tests.whitening.points import Whitened, assert_density


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("family", "link"), PAIRS, ids=[f"{f}-{link}" for f, link in PAIRS])
def test_density_of_every_family_link_and_structure(family, link, structure):
    right, groups = STRUCTURES[structure]
    model = hb.Model(f"{left_side(family)} ~ x + c{right}", FRAME, family=family, link=link)
    predictors = {"mu": Predictor(columns("x", "c"), groups)}
    assert_density(model, by_hand(family, link, predictors, trials=trials_of(family)))


@pytest.mark.parametrize(
    ("formula", "family", "link", "priors"),
    [
        ("binary ~ x + c + (x | g) + (1 | a/level)", "bernoulli", "probit", {"b[x]": "Fixed(0.4)"}),
        ("count | weights(k) ~ x + offset(log(e)) + (x + w || g) + (1 | h)", "negbinomial", "log", {}),
        (
            {"mu": "share ~ x + (x | g)", "phi": "~ w + (1 | g)"},
            "beta",
            "logit",
            {"Intercept": "Fixed(-0.3)", "phi.b": "Fixed(0.2)"},
        ),
    ],
)
def test_density_of_compiled_graphs(formula, family, link, priors):
    """The same against PyMC itself."""
    model = hb.Model(formula, FRAME, family=family, link=link, priors=priors)
    assert_kernel_is_the_graph(model)


@pytest.mark.parametrize(
    ("family", "link"),
    [
        ("poisson", "log"),
        ("binomial", "cloglog"),
        ("gamma", "log"),
        ("bernoulli", "logit"),
        ("student", "identity"),
    ],
)
def test_weights_offset_and_trials(family, link):
    weights, additions, trials = FRAME["k"].to_numpy(float) / 2, "weights(k / 2)", None
    if family == "binomial":
        additions, trials = "trials(n) + weights(k / 2)", FRAME["n"].to_numpy()
    predictors = {"mu": Predictor(columns("x"), (group("g", "Intercept"),), offset=FRAME["w"].to_numpy())}
    formula = f"{RESPONSE[family]} | {additions} ~ x + offset(w) + (1 | g)"
    model = hb.Model(formula, FRAME, family=family, link=link)
    assert_density(model, by_hand(family, link, predictors, trials=trials, weights=weights))


@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_priors_of_many_distributions(family):
    groups = (group("g", "Intercept", "x", "w", blocks=((0, 1, 2),)), group("h", "Intercept"))
    priors = {
        "Intercept": ("StudentT", 3.0, 1.5, 2.5),
        "b[x]": ("Laplace", 0.5, 2.0),
        "b[w]": ("Normal", 0.3, 2.0),
        "b[e]": ("Cauchy", 0.0, 0.5),
        "b[c[lo]]": ("Flat",),
        "b[c[mid]]": ("Logistic", 0.0, 2.0),
        "sd[g, Intercept]": ("HalfNormal", 2.5),
        "sd[g, x]": ("HalfStudentT", 4.0, 2.5),
        "sd[g, w]": ("InverseGamma", 2.0, 1.5),
        "sd[h, Intercept]": ("HalfCauchy", 2.0),
        "cor[g]": ("LKJ", 1.3),
    } | ({"sigma": ("LogNormal", 0.5, 0.7)} if family == "gaussian" else {})
    formula = f"{RESPONSE[family]} ~ x + w + e + c + (x + w | g) + (1 | h)"
    model = hb.Model(formula, FRAME, family=family, priors=texts(priors))
    predictors = {"mu": Predictor(columns("x", "w", "e", "c"), groups)}
    link = {"gaussian": "identity", "poisson": "log", "bernoulli": "logit"}[family]
    assert_density(model, by_hand(family, link, predictors, priors), scale=0.3)


@pytest.mark.parametrize(
    ("intercept", "slope", "sd"),
    [
        (("Uniform", -3.0, 9.5), ("HalfNormal", 0.5), ("Uniform", 0.0, 5.0)),
        (("Flat",), ("Exponential", 2.0), ("Uniform", 0.5, 2.5)),
        (("Gamma", 3.0, 2.0), ("InverseGamma", 3.0, 0.2), ("Gamma", 2.0, 0.5)),
        (("HalfStudentT", 4.0, 2.0), ("LogNormal", -2.0, 1.0), ("LogNormal", 0.0, 1.0)),
        (("HalfCauchy", 1.0), ("HalfFlat",), ("HalfFlat",)),
    ],
)
def test_bounded_priors(intercept, slope, sd):
    """A coefficient may be taken to be positive, or to lie in an interval."""
    priors = {"Intercept": intercept, "b[x]": slope, "sd[g, Intercept]": sd}
    model = hb.Model("count ~ x + (1 | g)", FRAME, family="poisson", priors=texts(priors))
    predictors = {"mu": Predictor(columns("x"), (group("g", "Intercept"),))}
    assert_density(model, by_hand("poisson", "log", predictors, priors), scale=0.3)


@pytest.mark.parametrize("family", ["student", "poisson"])
def test_fixed_values_are_no_coordinates(family):
    """Sds, correlations and the family's own parameters that are known: all of them, some of them."""
    groups = (
        group("g", "Intercept", "x", "w", blocks=((0, 1, 2),)),
        group("h", "Intercept", "x", blocks=((0, 1),)),
    )
    priors = {
        "Intercept": ("Normal", 1.0, 2.0),
        "b[x]": ("Normal", 0.3, 2.0),
        "sd[g, Intercept]": ("Exponential", 1.0),
        "sd[g, x]": ("Fixed", 0.7),
        "sd[g, w]": ("HalfNormal", 0.5),
        "sd[h, Intercept]": ("Fixed", 0.6),
        "sd[h, x]": ("Fixed", 0.2),
        "cor[g]": ("Fixed", -0.3),
        "cor[h]": ("LKJ", 2.0),
    } | ({"sigma": ("Fixed", 0.8), "nu": ("Gamma", 2.0, 0.1)} if family == "student" else {})
    model = hb.Model(
        f"{RESPONSE[family]} ~ x + (x + w | g) + (x | h)", FRAME, family=family, priors=texts(priors)
    )
    link = {"student": "identity", "poisson": "log"}[family]
    whitened = assert_density(
        model, by_hand(family, link, {"mu": Predictor(columns("x"), groups)}, priors), scale=0.3
    )
    assert whitened.packed.n_theta == (4 if family == "student" else 3)


def test_a_model_may_have_no_free_hyperparameter():
    priors = {"Intercept": ("Normal", 1.0, 2.0), "sd[g, Intercept]": ("Fixed", 0.5)}
    model = hb.Model("count ~ 1 + (1 | g)", FRAME, family="poisson", priors=texts(priors))
    expected = by_hand("poisson", "log", {"mu": Predictor({}, (group("g", "Intercept"),))}, priors)
    assert assert_density(model, expected, scale=0.3).packed.n_theta == 0


@pytest.mark.parametrize(("family", "link", "parameter"), OTHER_PARAMETERS)
def test_another_parameter_with_a_formula(family, link, parameter):
    model, expected = another_parameter(family, link, parameter)
    assert_density(model, expected, scale=0.3)


def test_every_parameter_with_a_formula_of_its_own():
    predictors = {
        "mu": Predictor(columns("x"), (group("g", "Intercept"),)),
        "sigma": Predictor({}, (group("g", "Intercept", "x", blocks=((0, 1),)), group("h", "Intercept"))),
        "nu": Predictor(columns("w"), offset=FRAME["e"].to_numpy()),
    }
    formulas = {"mu": "real ~ x + (1 | g)", "sigma": "~ 1 + (x | g) + (1 | h)", "nu": "~ w + offset(e)"}
    model = hb.Model(formulas, FRAME, family="student")
    assert_density(model, by_hand("student", "identity", predictors), scale=0.2)


@pytest.mark.parametrize(
    ("formula", "predictor"),
    [
        ("count ~ 0 + x + (1 | g)", Predictor(columns("x"), (group("g", "Intercept"),), intercept=False)),
        (
            "count ~ 1 + (1 | g) + (0 + x + w | g)",
            Predictor({}, (group("g", "Intercept", "x", "w", blocks=((0,), (1, 2))),)),
        ),
        (
            "count ~ 1 + (x | g) + (0 + w + e | g)",
            Predictor({}, (group("g", "Intercept", "x", "w", "e", blocks=((0, 1), (2, 3))),)),
        ),
    ],
)
def test_predictors_with_parts_left_out(formula, predictor):
    priors = {"b[x]": ("Normal", 0.0, 3.0)} if predictor.slopes else {}
    model = hb.Model(formula, FRAME, family="poisson", priors=texts(priors))
    assert_density(model, by_hand("poisson", "log", {"mu": predictor}, priors), scale=0.3)


def test_wide_factors_have_a_sparse_map(monkeypatch):
    """With no room for a dense part, all factors are eliminated one after another; the density is the same."""
    monkeypatch.setattr("hierbayes.engine.whitening.information.NARROW", 1)
    monkeypatch.setattr("hierbayes.engine.whitening.information.ROWS_A_SQUARE", 0)
    groups = (
        group("g", "Intercept", "x", blocks=((0, 1),)),
        group("h", "Intercept"),
        group("a", "Intercept"),
    )
    model = hb.Model("binary ~ x + (x | g) + (1 | h) + (1 | a)", FRAME, family="bernoulli")
    whitened = assert_density(
        model, by_hand("bernoulli", "logit", {"mu": Predictor(columns("x"), groups)}), scale=0.3
    )
    assert whitened.packed.model.sizes[CONDITIONAL] == 3
    assert len(whitened.packed.mapping.pairs) > len(FRAME) / 2


def test_merged_rows_have_the_density_of_all_rows():
    scale_tril = FRAME.assign(x=FRAME["x"].round(), e=FRAME["e"].round().clip(1))
    scale_tril = scale_tril.loc[np.repeat(scale_tril.index, 1 + np.arange(len(scale_tril)) % 3)].reset_index(
        drop=True
    )
    scale_tril["hits"] = np.random.default_rng(5).binomial(scale_tril["n"], 0.4)
    scale_tril["count"] = np.random.default_rng(6).poisson(2.0, len(scale_tril))
    scale_tril["binary"] = np.random.default_rng(7).integers(0, 2, len(scale_tril))
    for formula, family in [
        ("hits | trials(n) + weights(k) ~ x + (1 | g)", "binomial"),
        ("count ~ x + offset(log(e)) + (1 | g)", "poisson"),
        ("binary | weights(k) ~ x + (1 | g)", "bernoulli"),
        ("real ~ x + (1 | g)", "student"),
        ({"mu": "count ~ x + (1 | g)", "shape": "~ e"}, "negbinomial"),
        ("hits | trials(n) ~ x + (1 | g)", "betabinomial"),
        # whose density is not linear in y: rows with the same y are merged, their weights summed
        ("real | weights(k) ~ x + (1 | g)", "student"),
        ("count | weights(k) ~ x + (1 | g)", "negbinomial"),
        ("hits | trials(n) + weights(k) ~ x + (1 | g)", "betabinomial"),
    ]:
        model = hb.Model(formula, scale_tril, family=family)
        whitened = Whitened(model)
        assert len(whitened.problem.y) < 0.8 * len(scale_tril), family
        logp = compile_quickly(graph := model.graph(), graph.logp())
        position = 0.3 * np.random.default_rng(2).normal(size=whitened.packed.dim)
        expected = float(logp(**whitened.point(position))) + whitened.log_jacobian(position)
        np.testing.assert_allclose(whitened.evaluate(position)[0], expected, rtol=1e-8)
