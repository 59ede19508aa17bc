"""Many related levels, whose precision is sparse: areas and relatives by descent."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.answers.related import GivenKnown, conditional_levels, new_effects, new_variances
from hierbayes.engine.core.hyperparameters import LAM, VALUE
from hierbayes.engine.registry import choose
from hierbayes.engine.several import to_stacked
from hierbayes.engine.whitened import to_question
from hierbayes.engine.whitening.fields import ALONG
from hierbayes.engine.whitening.kernel import B, R, U, forward
from hierbayes.engine.whitening.laplace import evaluator, laplace_start
from hierbayes.engine.whitening.packing import FIELD
from tests.test_areas import covariance_of, grid, weights_of

KINDS = ["known", "icar", "bym2", "car"]
RNG = np.random.default_rng(5)
MAP = pd.concat([grid(6, 7), grid(2, 3).map(lambda label: f"b{label}")])  # two parts
ALONE = pd.DataFrame({"area": ["c"], "neighbour": [None]})
LABELS = [f"a{i}" for i in range(42)] + [f"ba{i}" for i in range(6)]
SEEN = [label for label in LABELS if label not in ("a9", "a20", "ba3")]
LINE = pd.DataFrame(1.3 * 0.7 ** np.abs(np.subtract.outer(np.arange(48), np.arange(48))), LABELS, LABELS)
DATA = pd.DataFrame({"g": np.tile(SEEN, 2), "x": RNG.normal(size=2 * len(SEEN))})
DATA["h"] = RNG.integers(5, size=len(DATA))
DATA["copy"] = DATA["g"]
DATA["n"] = RNG.poisson(np.exp(0.7 + 0.2 * DATA["x"] + np.tile(RNG.normal(size=len(SEEN)), 2)))
DATA["y"] = np.log(DATA["n"] + 0.5) + RNG.normal(size=len(DATA))


def term_of(kind: str) -> str:
    return "(1 | gr(g, cov=A))" if kind == "known" else f'(1 | gr(g, car=W, type="{kind}"))'


def model_of(kind: str, more: str = "", data: pd.DataFrame = DATA, family: str = "poisson") -> hb.Model:
    neighbours = MAP if kind == "car" else pd.concat([MAP, ALONE])
    response = "y" if family == "gaussian" else "n"
    return hb.Model(
        f"{response} ~ x + {term_of(kind)}{more}", data, family, data2={"W": neighbours, "A": LINE}
    )


def dense_covariance(kind: str, rho: float) -> pd.DataFrame:
    """From its definition, in units of sd²; of each part of the map by itself."""
    if kind == "known":
        return LINE
    parts = [MAP[MAP["area"].str.startswith(prefix)] for prefix in ("a", "b")]
    found = [covariance_of(kind, rho, weights_of(part)) for part in parts]
    labels = [label for part in found for label in part.index]
    whole = pd.DataFrame(0.0, labels, labels)
    for part in found:
        whole.loc[part.index, part.index] = part
    return whole.loc[LABELS, LABELS]


class Field:
    """A model in whitened coordinates, and what they say of the field."""

    def __init__(self, model: hb.Model):
        self.model = model
        (self.factor,) = (f for f in model.spec.layout.main.factors if f.relations is not None)
        self.start = laplace_start(to_question(model.spec, model.design))
        self.packed = self.start.packed
        self.evaluate, self.memory = evaluator(self.packed), self.packed.memory()
        self.row = next(row for row in self.packed.model.factors if row[FIELD] >= 0)

    def numbers(self, position: np.ndarray) -> np.ndarray:
        """sds and rho, coefficients, independent effects, the field's in a basis of what it can be, what is left."""
        packed, memory, relations = self.packed, self.memory, self.factor.relations
        forward(position, packed.model, packed.mapping, memory)
        size, parts = len(relations.labels), relations.precision.parts
        first = int(self.row[3])
        of_u = first + size * (relations.kind.name == "bym2")
        others = np.delete(memory.effects[U], np.s_[of_u : of_u + size])
        self.u, self.v = memory.effects[U, of_u : of_u + size].copy(), others
        self.b, self.r = memory.coefs[B].copy(), memory.effects[R].copy()
        self.sds = memory.lams[LAM, :, 0, 0].copy()
        self.rho = memory.shaped[VALUE, :1].copy() if relations.kind.parameters else np.zeros(0)
        along = memory.fields.reshape(7, size)[ALONG]
        order = packed.model.fields.order.reshape(2, size)
        z = memory.white[0, of_u : of_u + size]
        every = range(parts.max() + 1)
        self.left = np.array([along[order[1] == part] @ z[order[1] == part] for part in every])
        basis = np.eye(size)
        for part in every:
            ones = (parts == part).astype(float)
            basis -= np.outer(ones, ones) / ones.sum()
        self.basis = np.linalg.svd(basis)[0][:, : size - len(self.left)]
        return np.concatenate([self.sds, self.rho, self.b, others, self.basis.T @ self.u, self.left])

    def expected(self, position: np.ndarray) -> float:
        """The log density there, from the normal distribution with the dense covariance of what the field can be."""
        steps, whole = 1e-4 * np.eye(len(position)), self.numbers(position)
        slopes = [(self.numbers(position + s) - self.numbers(position - s)) / 2e-4 for s in steps]
        self.numbers(position)
        model, kind = self.model, self.factor.relations.kind.name
        labels = list(self.factor.relations.labels)
        covariance = dense_covariance("icar" if kind == "bym2" else kind, *self.rho if kind == "car" else [0])
        covariance = covariance.reindex(labels, fill_value=0.0).reindex(labels, fill_value=0.0, axis=1)
        if "c" in labels:
            covariance.loc["c", "c"] = 1.0
        inner = self.basis.T @ covariance.to_numpy() @ self.basis
        total = stats.multivariate_normal(cov=inner).logpdf(self.basis.T @ self.u)
        total += stats.norm.logpdf(np.concatenate([self.v, self.left])).sum()
        spec = model.spec
        means, sds = np.array([tuple(dict(p.args).values()) for p in spec.coefficient_priors()]).T
        total += stats.norm.logpdf(self.b, means, sds).sum()
        places = {name: place for place, name in enumerate(p[0][1] for p in self.packed.places)}
        eta = spec.layout.main.map.inner_columns(model.design.main.x) @ self.b
        for place, factor in enumerate(spec.layout.main.factors):
            (prior,) = spec.sd_priors("mu", factor)
            number = places[place]
            total += stats.expon.logpdf(self.sds[number], scale=1 / dict(prior.args)["lam"])
            codes = model.design.main.factors[factor.name].codes
            if factor.relations is not None:
                codes = factor.relations.places(factor.levels.labels, factor.name)[codes]
            eta += self.r[int(self.packed.model.factors[number, 3]) + codes]
        total += stats.poisson.logpmf(model.design.y, np.exp(eta)).sum()
        assert len(whole) == len(position)
        return total + np.linalg.slogdet(slopes).logabsdet


@pytest.mark.parametrize("more", ["", " + (1 | h)", " + (1 | copy) + (1 | h)"])
@pytest.mark.parametrize("kind", KINDS)
def test_kernel_is_the_dense_normal(kind, more, monkeypatch):
    """In the coordinates of the start, for effects of other factors before and behind those of the field."""
    monkeypatch.setattr("hierbayes.engine.whitening.stacked.FEW", 20)
    field = Field(model_of(kind, more))
    position = np.random.default_rng(1).normal(scale=0.5, size=field.packed.dim)
    value, gradient = field.evaluate(position)
    gradient = gradient.copy()
    assert value == pytest.approx(field.expected(position), abs=1e-5)
    differences = []
    for step in 1e-3 * np.eye(len(position)):
        one, two = (
            field.evaluate(position + k * step)[0] - field.evaluate(position - k * step)[0] for k in (1, 2)
        )
        differences.append((8 * one - two) / 12e-3)
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())
    assert field.start.converged


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_far_out(kind):
    """At standard deviations near 0 and rho near both bounds, where the map is that of another place."""
    field = Field(model_of(kind))
    rng = np.random.default_rng(2)
    n_theta = field.packed.n_theta
    for theta in ([-8, -8], [-8, 8], [3, -8], [3, 8]):
        position = rng.normal(scale=0.3, size=field.packed.dim)
        position[:n_theta] = np.array(theta)[:n_theta]
        value, gradient = field.evaluate(position)
        gradient = gradient.copy()
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        direction = rng.normal(size=len(position))
        one, two = (
            field.evaluate(position + k * 1e-3 * direction)[0]
            - field.evaluate(position - k * 1e-3 * direction)[0]
            for k in (1, 2)
        )
        np.testing.assert_allclose(gradient @ direction, (8 * one - two) / 12e-3, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_are_independent_at_the_start(kind):
    """Given theta the posterior of a normal response is N(0, I) in them; nearly so a third of an sd elsewhere."""
    field = Field(model_of(kind, family="gaussian"))
    field.evaluate = evaluator(field.packed)
    n_theta = field.packed.n_theta
    units = np.eye(field.packed.dim)[n_theta:]
    for moved, most in ((0.0, 0.01), (0.3, 0.15)):
        position = np.zeros(field.packed.dim)
        position[1:n_theta] = moved
        score = field.evaluate(position)[1].copy()
        curvature = np.array([score - field.evaluate(position + unit)[1] for unit in units])[:, n_theta:]
        assert np.abs(curvature - np.eye(len(units))).max() < most


@pytest.mark.parametrize("kind", KINDS)
def test_the_precision_is_the_inverse_of_the_covariance(kind):
    relations = model_of(kind).spec.layout.main.factors[0].relations
    precision = relations.precision
    for rho in (0.2, 0.9):
        dense = precision.matrix.toarray()
        if kind == "car":
            dense = rho * dense + (1 - rho) * np.diag(precision.diagonal)
            determinant = precision.log_determinant + np.log(1 - rho + rho * precision.constants).sum()
            assert np.linalg.slogdet(dense).logabsdet == pytest.approx(determinant)
        inverse = np.linalg.pinv(dense, rcond=1e-10, hermitian=True)
        known = [label for label in relations.labels if label != "c"]
        found = pd.DataFrame(inverse, relations.labels, relations.labels).loc[known, known]
        expected = dense_covariance("icar" if kind == "bym2" else kind, rho).loc[known, known]
        np.testing.assert_allclose(found, expected, atol=1e-10)
        if kind != "car":
            values = np.linalg.eigvalsh(dense)
            determinant = np.log(values[values > 1e-10]).sum()
            assert determinant == pytest.approx(precision.log_determinant)
    parameters = [0.4] if relations.kind.parameters else []
    arrays = [np.array(value) for value in parameters]
    assert precision.mean_variance(relations.kind, parameters) == pytest.approx(
        float(relations.mean_variance(arrays))
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unseen", [["a9", "a20", "ba3"], ["a9", "a8", *LABELS[42:]]])
def test_new_levels_are_those_of_the_dense_covariance(kind, unseen):
    """The second time a part of the map has no known level."""
    model = model_of(kind, data=DATA[~DATA["g"].isin(unseen)])
    factor = model.spec.layout.main.factors[0]
    assert factor.precision is not None
    shapes = [np.array([0.2, 0.95])] if factor.relations.kind.parameters else []
    new = [(unseen[0],), None, (unseen[-1],), (unseen[1],)]
    effects = np.random.default_rng(4).normal(size=(2, len(factor.levels), 1))
    if kind == "icar":  # such as sum to 0 with the others
        effects = factor.root @ np.random.default_rng(4).normal(size=(2, factor.width, 1))
    weights, expected = conditional_levels(factor, new, shapes)
    sd, none = np.array([[1.3], [0.4]]), np.zeros((4, 1, 2))
    mean = new_effects(factor, new, shapes, effects, none, sd, None).transpose(2, 0, 1)
    np.testing.assert_allclose(mean, weights @ effects, atol=1e-5)
    variances = new_variances(factor, new, shapes)
    np.testing.assert_allclose(variances, np.diagonal(expected, axis1=1, axis2=2), atol=1e-6)
    # what each normal number moves is a root of the covariance, numbers of relatives that nobody asked for included
    given = GivenKnown(factor)
    covariance = np.zeros((2, 4, 4))
    for label in given.labels[given.left]:
        moved = new_effects(
            factor,
            new,
            shapes,
            0 * effects,
            none,
            sd,
            lambda own, label=label: np.full(2, float(own == label)),
        )
        covariance += np.einsum("ias,jas->sij", moved, moved) / np.square(sd)[:, :, None]
    for place in range(4):
        apart = none.copy()
        apart[place] = sd.T
        moved = new_effects(factor, new, shapes, 0 * effects, apart, sd, None)
        covariance += np.einsum("ias,jas->sij", moved, moved) / np.square(sd)[:, :, None]
    np.testing.assert_allclose(covariance, np.broadcast_to(expected, covariance.shape), atol=1e-6)


@pytest.mark.parametrize("kind", ["known", "bym2", "car"])
def test_the_posterior_is_that_of_dense_matrices(kind, monkeypatch):
    """Means of hyperparameters, coefficients and effects, within Monte Carlo errors of their difference."""
    fits = [model_of(kind).fit(seed=1, progress=False)]
    monkeypatch.setattr("hierbayes.data.relations.MANY", 1_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.SamplingWarning)  # dense coordinates are worse ones
        fits.append(model_of(kind).fit(seed=1, progress=False))
    found, expected = (fit.summary() for fit in fits)
    assert (found["ess_bulk"] > 400).all()
    error = np.hypot(found["sd"] / found["ess_bulk"] ** 0.5, expected["sd"] / expected["ess_bulk"] ** 0.5)
    assert (np.abs(found["mean"] - expected["mean"]) / error).max() < 4.5
    effects = [fit.tree.posterior["r_g"].to_numpy().reshape(4000, -1) for fit in fits]
    apart = np.abs(effects[0].mean(axis=0) - effects[1].mean(axis=0)) / effects[1].std(axis=0)
    assert apart.max() < 0.15
    spread = effects[0].std(axis=0) / effects[1].std(axis=0)
    assert np.abs(np.log(spread)).max() < 0.2


def test_two_responses_have_fields_of_their_own():
    formulas = ["n ~ x + (1 | gr(g, cov=A))", 'y ~ (1 | gr(g, car=W, type="bym2")) + (1 | h)']
    model = hb.Model(formulas, DATA, family=["poisson", "gaussian"], data2={"W": MAP, "A": LINE})
    start = laplace_start(to_stacked(model.spec, {name: own.design for name, own in model.models.items()}))
    assert len(start.packed.model.fields.fields) == 2
    evaluate, rng = evaluator(start.packed), np.random.default_rng(3)
    position, direction = rng.normal(scale=0.5, size=(2, start.packed.dim))
    gradient = evaluate(position)[1].copy()
    one, two = (
        evaluate(position + k * 1e-3 * direction)[0] - evaluate(position - k * 1e-3 * direction)[0]
        for k in (1, 2)
    )
    np.testing.assert_allclose(gradient @ direction, (8 * one - two) / 12e-3, rtol=1e-6)
    assert start.converged


def test_a_gaussian_model_of_many_related_levels_is_sampled():
    """Where they are few, or all there is, their effects are integrated out."""
    labels = [f"s{i}" for i in range(230)]
    line = pd.DataFrame(0.8 ** np.abs(np.subtract.outer(np.arange(230), np.arange(230))), labels, labels)
    data = pd.DataFrame({"g": labels * 2, "own": labels * 2, "y": np.random.default_rng(0).normal(size=460)})
    both = hb.Model("y ~ (1 | gr(g, cov=A)) + (1 | own)", data, data2={"A": line})
    assert not [finding for finding in both.check() if finding.code == "same-groups"]
    assert "NUTS in coordinates whitened" in str(both)
    assert "A has 230 levels and a sparse inverse" in choose(both.spec, both.design).reason
    assert choose(both.spec, both.design, "collapsed").strategy.name == "collapsed"
    alone = hb.Model("y ~ (1 | gr(g, cov=A))", data, data2={"A": line})
    assert choose(alone.spec, alone.design).strategy.name == "collapsed"


@pytest.mark.parametrize("kind", ["known", "bym2"])
def test_a_new_levels_draws_do_not_depend_on_others_that_are_asked_for(kind, known_fit):
    model = model_of(kind)
    rng = np.random.default_rng(6)
    values = {"r_g": rng.normal(size=(40, len(SEEN), 1)), "sd_g": np.full((40, 1), 0.8)}
    values |= {"rho_g": rng.uniform(size=40)} if kind == "bym2" else {}
    fit = known_fit(model, values)
    options = {"kind": "linear", "output": "draws", "seed": 1}
    alone = fit.predict({"g": ["a20"], "x": [0.0]}, **options).to_numpy()
    beside = fit.predict({"g": ["a9", "a20", "ba3"], "x": [0.0] * 3}, **options).to_numpy()
    np.testing.assert_allclose(beside[..., 1], alone[..., 0], rtol=1e-8)
