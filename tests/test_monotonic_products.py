"""Products of monotonic effects and steps that terms share: columns, densities, posteriors, answers."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.answers.predict import Request, evaluate_predictors
from hierbayes.criticism.likelihood import log_densities
from hierbayes.errors import DataError, FormulaError, UnsupportedError
from hierbayes.formula import parse
from tests.test_graph import compile_quickly, random_points
from tests.test_monotonic import FRAME

PRODUCT = "mo(size):mo(j)"
CODES = {"size": FRAME["size"].cat.codes.to_numpy(), "j": FRAME["j"].to_numpy() - 1}


def _heights(shares: np.ndarray, column: str) -> np.ndarray:
    """D Σ_{i ≤ x} ζ_i of each row: shares (S, D) → (S, n)."""
    sums = np.concatenate([np.zeros((len(shares), 1)), shares.cumsum(axis=1)], axis=1)
    return shares.shape[1] * sums[:, CODES[column]]


# -- formulas and columns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "y ~ mo(a) * mo(b)",
        'y ~ mo(a, id="p") * z + mo(b, id="p"):mo(a, id="p")',
        "y ~ mo(a) * mo(b) + (mo(a) * mo(b) | g)",
    ],
)
def test_a_formula_is_read_and_written(text):
    assert str(parse(text)) == text


def test_columns_and_names():
    model = hb.Model("y ~ mo(size) * mo(j) + mo(size):mo(j):z", FRAME)
    layout, bound = model.spec.layout.main, model.design.main
    assert [effect.label for effect in layout.monotonic] == ["mo(size)", "mo(j)", PRODUCT, f"{PRODUCT}:z"]
    assert_allclose(bound.x[:, 3], CODES["size"] * CODES["j"])
    pairs = [(CODES["size"] >= i) & (CODES["j"] >= j) for i in (1, 2, 3) for j in (1, 2, 3)]
    assert_allclose(bound.stairs[:, 6:15], np.array(pairs).T)
    assert_allclose(bound.stairs[:, 15:], np.array(pairs).T * FRAME[["z"]].to_numpy())
    names = [q.name for q in model.spec.quantities if q.kind == "simo"]
    assert names[6] == f"simo[{PRODUCT}, mo(size), low|middle]"
    assert names[-1] == f"simo[{PRODUCT}:z, mo(j), 3|4]"


def test_terms_with_an_id_share_their_steps():
    model = hb.Model('y ~ mo(size, id="p") * z + mo(j):f', FRAME)
    labels = [simplex.label for simplex in model.spec.layout.main.simplexes]
    assert labels == ["p", "mo(j):f[a]", "mo(j):f[b]", "mo(j):f[c]"]
    assert model.spec.coords["p_step"].tolist() == ["low|middle", "middle|high", "high|top"]
    two = hb.Model('y ~ mo(size, id="p") + mo(j, id="p")', FRAME)
    assert two.spec.coords["p_step"].tolist() == ["1", "2", "3"]
    assert "mo(j) counts steps of 3·simo[p, j]" in str(two)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('y ~ mo(size, id="p") + mo(few, id="p")', DataError, "share their steps, so they have as many"),
        ("y ~ mo(many) * mo(more)", FormulaError, "multiplies 40 by 50 steps, more than 1000 pairs"),
    ],
)
def test_what_cannot_be_is_refused(text, error, words):
    frame = FRAME.assign(few=FRAME["j"] // 2, many=np.arange(80) % 41, more=np.arange(80) % 51)
    with pytest.raises(error, match=words):
        hb.Model(text, frame)


def test_the_plan_says_why():
    for text, words in {
        "y ~ mo(size) * mo(j)": "two monotonic effects multiply each other",
        'y ~ mo(size, id="p") * z': "monotonic effects share their steps",
    }.items():
        model = hb.Model(text, FRAME)
        assert f"not whitened: {words}" in str(model)
        with pytest.raises(UnsupportedError, match=words):
            model.fit(strategy="whitened")


def test_priors_by_name():
    product, of_j = f"simo[{PRODUCT}]", f"simo[{PRODUCT}, mo(j)]"
    priors = {
        product: "Dirichlet(2)",
        of_j: "Dirichlet(3)",
        "simo": "Dirichlet(4)",
        "simo[p]": "Dirichlet(5)",
    }
    model = hb.Model('y ~ mo(size) * mo(j) + mo(size, id="p"):z', FRAME, priors=priors)
    labels = [simplex.label for simplex in model.spec.layout.main.simplexes]
    found = {label: dict(model.spec.simplex_prior("mu", label).args)["a"] for label in labels}
    of_size, of_j = f"{PRODUCT}, mo(size)", f"{PRODUCT}, mo(j)"
    assert found == {"mo(size)": 4, "mo(j)": 4, of_size: 2, of_j: 3, "p": 5}


# -- densities --------------------------------------------------------------------------------------------------


def _linear(formula: str, values: dict[str, np.ndarray]) -> np.ndarray:
    """The linear predictor by hand in S draws, from b (S, p) and the shares (S, D) by label: (S, n)."""
    b, z = values["b"].T[..., None], FRAME["z"].to_numpy()
    if "id" in formula:
        size, j = _heights(values["p"], "size"), _heights(values["p"], "j")
        return b[0] + b[1] * size + b[2] * z + b[3] * size * z + b[4] * j
    own = [_heights(values[f"mo({column})"], column) for column in ("size", "j")]
    in_product = [_heights(values[f"{PRODUCT}, mo({column})"], column) for column in ("size", "j")]
    return b[0] + b[1] * own[0] + b[2] * own[1] + b[3] * in_product[0] * in_product[1]


FORMULAS = ["y ~ mo(size) * mo(j)", 'y ~ mo(size, id="p") * z + mo(j, id="p")']


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_graphs_density_is_the_formulas(formula):
    """The likelihood and all priors written out, and its slopes."""
    priors = {
        "Intercept": "Normal(1, 2)",
        "b": "Normal(0, 1.5)",
        "sigma": "Exponential(1)",
        "simo": "Dirichlet(2)",
    }
    model = hb.Model(formula, FRAME, priors=priors, center=False)
    graph, labels = model.graph(), [simplex.label for simplex in model.spec.layout.main.simplexes]
    outputs = [graph["b"], graph["sigma"], *(graph[f"simo_{label}"] for label in labels)]
    values_at = compile_quickly(graph, graph.replace_rvs_by_values(outputs))
    logp = compile_quickly(graph, graph.logp(jacobian=False))
    slopes = compile_quickly(graph, graph.dlogp(jacobian=False))

    def by_hand(point: dict[str, np.ndarray]) -> float:
        b, sigma, *shares = values_at(**point)
        values = {"b": b[None], **{label: own[None] for label, own in zip(labels, shares, strict=True)}}
        density = stats.norm.logpdf(FRAME["y"], _linear(formula, values)[0], sigma).sum()
        density += stats.norm.logpdf(b[0], 1, 2) + stats.norm.logpdf(b[1:], 0, 1.5).sum() - sigma
        return float(density + sum(stats.dirichlet.logpdf(own, np.full(3, 2.0)) for own in shares))

    for point in random_points(graph, 1, 0.3):
        assert float(logp(**point)) == pytest.approx(by_hand(point), rel=1e-9)
        found = np.asarray(slopes(**point))
        expected = []
        for name in (variable.name for variable in graph.value_vars):
            for place in range(np.size(point[name])):
                step = np.zeros(np.size(point[name]))
                step[place] = 1e-5
                sides = [
                    by_hand({**point, name: point[name] + sign * step.reshape(np.shape(point[name]))})
                    for sign in (1, -1)
                ]
                expected.append((sides[0] - sides[1]) / 2e-5)
        assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("formula", FORMULAS)
def test_predictions_are_the_formulas(formula):
    model = hb.Model(formula, FRAME)
    draws = flatten(model.spec, model.prior_predictive(draws=50, seed=2)["prior"].to_dataset())
    request = Request("linear", (), "error", 0)
    eta, aux = evaluate_predictors(model.spec, draws, model.design, request)
    shares = {
        simplex.label: draws.values[f"simo_{simplex.label}"] for simplex in model.spec.layout.main.simplexes
    }
    expected = _linear(formula, {"b": draws.values["b"], **shares})
    assert_allclose(eta, expected, rtol=1e-10, atol=1e-10)
    density = stats.norm.logpdf(FRAME["y"].to_numpy(), expected, draws.values["sigma"][:, None])
    assert_allclose(log_densities(model.spec, model.design, eta, aux), density, rtol=1e-9)


def test_levels_climb_the_steps_of_the_product():
    formula = "count ~ mo(size) * mo(j) + (0 + mo(size):mo(j) || g)"
    model = hb.Model(formula, FRAME, family="poisson")
    draws = flatten(model.spec, model.prior_predictive(draws=50, seed=2)["prior"].to_dataset())
    eta, _ = evaluate_predictors(model.spec, draws, model.design, Request("linear", ("g",), "error", 0))
    shares = {
        simplex.label: draws.values[f"simo_{simplex.label}"] for simplex in model.spec.layout.main.simplexes
    }
    product = _heights(shares[f"{PRODUCT}, mo(size)"], "size") * _heights(shares[f"{PRODUCT}, mo(j)"], "j")
    own = draws.values["r_g"][:, np.unique(FRAME["g"], return_inverse=True)[1], 0]
    expected = _linear("", {"b": draws.values["b"], **shares}) + own * product
    assert_allclose(eta, expected, rtol=1e-9, atol=1e-9)
    graph = model.graph()
    assert np.isfinite(float(compile_quickly(graph, graph.logp())(**graph.initial_point())))


def test_single_steps_are_plain_numbers():
    """Of two values each, the product is that of two indicators, in every strategy the same density."""
    frame = FRAME.assign(p=FRAME["j"] // 3, q=CODES["size"] // 2)
    steps, numbers = (hb.Model(f"y ~ {text}", frame).graph() for text in ("mo(p) * mo(q)", "p * q"))
    for point in random_points(numbers, 1, 0.3):
        found = float(compile_quickly(steps, steps.logp())(**point))
        assert found == pytest.approx(float(compile_quickly(numbers, numbers.logp())(**point)), rel=1e-10)


# -- posteriors -------------------------------------------------------------------------------------------------

TRUE = {
    "mo(a)": [0.6, 0.1, 0.3],
    "mo(b)": [0.2, 0.8],
    "mo(a):mo(b), mo(a)": [0.1, 0.2, 0.7],
    "mo(a):mo(b), mo(b)": [0.7, 0.3],
}


def _crossed() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    a, b, z = rng.integers(0, 4, 400), rng.integers(0, 3, 400), rng.normal(size=400)
    height = {label: len(own) * np.r_[0, np.cumsum(own)] for label, own in TRUE.items()}
    product = height["mo(a):mo(b), mo(a)"][a] * height["mo(a):mo(b), mo(b)"][b]
    y = 1 + 0.5 * height["mo(a)"][a] + 0.3 * height["mo(b)"][b] + 0.6 * product
    shared = 1 + (0.8 - 0.5 * z) * height["mo(a)"][a]
    return pd.DataFrame(
        {
            "a": pd.Categorical.from_codes(a, list("pqrs"), ordered=True),
            "b": b,
            "z": z,
            "y": y + rng.normal(scale=0.5, size=400),
            "w": shared + rng.normal(scale=0.5, size=400),
        }
    )


CROSSED = _crossed()


@pytest.fixture(scope="module")
def product():
    return hb.fit("y ~ mo(a) * mo(b)", CROSSED, seed=1, progress=False)


def _assert_near(table: pd.DataFrame, truth: dict[str, float]) -> None:
    for name, value in truth.items():
        assert abs(table.loc[name, "mean"] - value) < 3.5 * table.loc[name, "sd"], name
    assert table["r_hat"].max() < 1.02


def test_steps_of_a_product_are_found(product):
    assert product.tree.attrs["strategy"] == "nuts"
    truth = {"Intercept": 1.0, "mo(a)": 0.5, "mo(b)": 0.3, "mo(a):mo(b)": 0.6, "sigma": 0.5}
    for label, shares in TRUE.items():
        steps = ["p|q", "q|r", "r|s"] if label.endswith("mo(a)") or label == "mo(a)" else ["0|1", "1|2"]
        truth |= {f"simo[{label}, {step}]": share for step, share in zip(steps, shares, strict=True)}
    _assert_near(product.summary(), truth)


def test_answers_of_a_product(product, tmp_path):
    new = pd.DataFrame({"a": ["p", "s", "s"], "b": [0, 0, 2]})
    found = np.asarray(product.predict(new, kind="linear", output="draws"))
    b = np.asarray(product.posterior["b"])
    assert_allclose(found[..., 0], b[..., 0])
    assert_allclose(found[..., 1], b[..., 0] + 3 * b[..., 1])
    assert_allclose(found[..., 2], b[..., 0] + 3 * b[..., 1] + 2 * b[..., 2] + 6 * b[..., 3])
    with pytest.raises(DataError, match=r"'b' has values in the new rows that mo\(b\) has no step to: 7"):
        product.predict(new.assign(b=7))
    cells = hb.fit("y ~ C(a) * C(b)", CROSSED, seed=1, progress=False)
    assert product.loo().elpd == pytest.approx(cells.loo().elpd, abs=4)
    assert product.conditional_effects("a:b").shape[0] == 12
    assert "simo[mo(a):mo(b), mo(b), 0|1]" in product.prior_sensitivity().index
    assert not product.check()
    product.save(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").predict(new), product.predict(new))


def test_known_parameters_make_responses():
    model = hb.Model('y ~ mo(a, id="p") * mo(b)', CROSSED)
    known = {"Intercept": 1.0, "mo(a)": 2.0, "mo(b)": 0.0, "mo(a):mo(b)": 0.5, "sigma": 1e-6}
    known |= {"simo[p, p|q]": 0.5, "simo[p, q|r]": 0.5, "simo[p, r|s]": 0.0}
    known |= {"simo[mo(b), 0|1]": 0.5, "simo[mo(b), 1|2]": 0.5}
    known |= {"simo[mo(a):mo(b), mo(b), 0|1]": 0.2, "simo[mo(a):mo(b), mo(b), 1|2]": 0.8}
    height = np.array([0, 1.5, 3, 3])[CROSSED["a"].cat.codes]
    expected = 1 + 2 * height + 0.5 * height * np.array([0, 0.4, 2.0])[CROSSED["b"]]
    assert_allclose(model.simulate(known, seed=1)["y"], expected, atol=1e-4)


def test_shared_steps_are_found():
    """And the curve has one shape whatever z is."""
    fit = hb.fit('w ~ mo(a, id="p") * z', CROSSED, seed=1, progress=False)
    assert fit.tree.attrs["strategy"] == "nuts"
    truth = {"Intercept": 1.0, "mo(a)": 0.8, "z": 0.0, "mo(a):z": -0.5, "sigma": 0.5}
    truth |= {"simo[p, p|q]": 0.6, "simo[p, q|r]": 0.1, "simo[p, r|s]": 0.3}
    _assert_near(fit.summary(), truth)
    own = hb.fit("w ~ mo(a) * z", CROSSED, seed=1, progress=False)
    assert fit.loo().elpd > own.loo().elpd - 1
    new = pd.DataFrame({"a": list("pqrs") * 2, "z": np.repeat([0.0, 1.0], 4)})
    curves = np.asarray(fit.predict(new, kind="linear", output="draws"))
    steps = np.diff(curves.reshape(*curves.shape[:-1], 2, 4), axis=-1)
    shares = steps / steps.sum(axis=-1, keepdims=True)
    assert_allclose(shares[..., 0, :], shares[..., 1, :], rtol=1e-6, atol=1e-8)
