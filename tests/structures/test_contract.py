"""What every covariance structure promises, by one test over the registry."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hierbayes as hb
from hierbayes.engine.collapsed import shape_row
from hierbayes.engine.core import hyperparameters as core
from hierbayes.engine.core.problem import Block, Factor, PriorCode
from hierbayes.engine.core.shapes import constant_rows, matrix_rows
from hierbayes.engine.core.structures import add_reverse, set_root
from hierbayes.priors import Prior
from hierbayes.simulation import sample_prior
from hierbayes.structures import BOUNDED, STRUCTURES
from hierbayes.structures.record import SCORE, VALUE
from hierbayes.structures.registry import CODES
from tests.families.fits import assert_kernel_is_the_graph

SIZES = (2, 5, 30)
RANK = 2  # of loadings
FLAT = (PriorCode.HALF_FLAT, 0, 0, 0)
ENDS = (-30.0, -8.0, 8.0, 30.0)  # on the scale of log odds: as near to a bound as numbers go


def positions_of(structure, q: int) -> np.ndarray:
    """Times with gaps where the structure asks for whole numbers or any; places in the plane."""
    rng = np.random.default_rng(q)
    if structure.positions == "place":
        return rng.uniform(0.0, 3.0, (q, 2))
    if structure.positions == "any":
        return np.cumsum(rng.uniform(0.2, 2.0, q))
    gaps = structure.positions == "whole"
    return np.cumsum(rng.integers(1, 4, q)).astype(float) if gaps else np.arange(float(q))


def default_of(parameter, q: int, positions: np.ndarray) -> Prior:
    distribution, arguments = parameter.prior(q, positions)
    return Prior(distribution, **arguments)


class Root:
    """A structure's factor and its gradient as functions of its numbers in theta."""

    def __init__(self, structure, q: int):
        self.structure, self.q, self.positions = structure, q, positions_of(structure, q)
        self.parameters = structure.parameters_of(q, RANK)
        rows = [shape_row(s, q, self.positions, default_of(s, q, self.positions)) for s in self.parameters]
        if structure.matrix:
            rows.append(matrix_rows(structure, q, 1.5, None))
        rows.append(constant_rows(structure.constants(self.positions)))
        self.rows = np.concatenate([np.zeros((0, 8)), *rows])
        self.block = Block(structure.name, tuple(range(q)), tuple(range(q)), self.rows)

    @property
    def size(self) -> int:
        return self.block.n_free

    def at(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """The factor, the parameters' memory and the log prior."""
        p, chol = np.zeros((7, len(self.rows))), np.zeros((self.q, self.q))
        numbers = np.append(theta, np.zeros(len(self.rows) - len(theta)))
        prior = sum(
            core._shape(t, row, column) for t, row, column in zip(numbers, self.rows, p.T, strict=True)
        )
        set_root(CODES[self.structure.name], self.q, p, chol)
        return np.tril(chol), p, prior

    def gradient(self, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Of the sum of weights times the factor's entries."""
        chol, p, _ = self.at(theta)
        add_reverse(CODES[self.structure.name], self.q, p, chol, weights.copy())
        return (p[core.RATIO] * p[SCORE])[: self.size]

    def precise(self, theta: np.ndarray, weights: np.ndarray) -> float:
        """The sum of weights times the factor's entries: in long where it is a dense Cholesky's."""
        if self.structure.positions != "place":
            return (self.at(theta)[0] * weights).sum()
        (parameter,) = self.structure.parameters
        value = np.exp(np.longdouble(theta[0])) * np.longdouble(parameter.typical(self.positions))
        factor = np.array(
            self.structure.correlation(np, self.q, self.positions, np.full((1, 1), value)), np.longdouble
        )
        for j in range(self.q):
            factor[j:, j] -= factor[j:, :j] @ factor[j, :j]
            factor[j:, j] /= np.sqrt(factor[j, j])
        return (np.tril(factor) * weights).sum()

    def loadings(self, theta: np.ndarray) -> np.ndarray:
        """Those that theta has, in their places."""
        found, p = np.zeros((self.q, RANK)), self.at(theta)[1]
        for parameter, value in zip(self.parameters, p[VALUE], strict=True):
            found[parameter.place] = value
        return found

    def correlation(self, theta: np.ndarray) -> np.ndarray:
        """R from the record, of the parameters' values; or of the partial correlations."""
        found = self.at(theta)[1][VALUE, : self.size]
        if self.structure.matrix:
            return self.structure.matrix.from_partials(found[None], self.q)[0]
        if self.structure.loadings:
            return self.structure.correlation(np, self.q, self.positions, self.loadings(theta))
        values = [np.full((1, 1), value) for value in found]
        return self.structure.correlation(np, self.q, self.positions, *values)


CASES = [(name, q) for name in STRUCTURES for q in SIZES]


@pytest.mark.parametrize(("name", "q"), CASES)
def test_root_is_that_of_the_correlations(name, q):
    root, rng = Root(STRUCTURES[name], q), np.random.default_rng(1)
    for _ in range(5):
        theta = rng.normal(size=root.size)
        chol = root.at(theta)[0]
        if root.structure.loadings:
            np.testing.assert_allclose(
                chol @ chol.T, root.loadings(theta) @ root.loadings(theta).T, rtol=1e-12
            )
            chol = chol / np.sqrt((chol**2).sum(axis=1, keepdims=True))
        else:
            assert (np.diagonal(chol) > 0).all()
        np.testing.assert_allclose((chol**2).sum(axis=1), 1.0, rtol=1e-12)
        np.testing.assert_allclose(chol @ chol.T, root.correlation(theta), atol=1e-12)


@pytest.mark.parametrize(("name", "q"), CASES)
def test_reverse_is_the_difference(name, q):
    root, rng = Root(STRUCTURES[name], q), np.random.default_rng(2)
    theta, weights = rng.normal(size=root.size), np.tril(rng.normal(size=(q, q)))
    found = root.gradient(theta, weights)
    step = 1e-4
    for place in range(0, root.size, max(1, root.size // 7)):
        unit = step * (np.arange(root.size) == place)
        near, far = (
            ((root.at(theta + k * unit)[0] - root.at(theta - k * unit)[0]) * weights).sum() for k in (1, 2)
        )
        assert found[place] == pytest.approx((8 * near - far) / (12 * step), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("name", "q"), [case for case in CASES if STRUCTURES[case[0]].correlated])
def test_nothing_is_lost_near_a_bound(name, q, end):
    """Finite there, and the gradient still the difference, relative to its size."""
    root, rng = Root(STRUCTURES[name], q), np.random.default_rng(3)
    theta, weights = np.full(root.size, end), np.tril(rng.normal(size=(q, q)))
    chol, _, prior = root.at(theta)
    assert np.isfinite(chol).all()
    assert np.isfinite(prior)
    found = root.gradient(theta, weights)
    assert np.isfinite(found).all()
    if root.size == 1:
        near = (root.precise(theta + 1e-3, weights) - root.precise(theta - 1e-3, weights)) / 2e-3
        assert found[0] == pytest.approx(near, rel=1e-4, abs=1e-11)


@pytest.mark.parametrize("name", STRUCTURES)
def test_priors_add_up_to_one(name):
    """The log prior with its constant, over a parameter's whole range, the others left out."""
    for parameter in STRUCTURES[name].parameters_of(4, RANK):
        positions = positions_of(STRUCTURES[name], 4)
        row = shape_row(parameter, 4, positions, default_of(parameter, 4, positions))
        block = Block(name, tuple(range(4)), tuple(range(4)), row)
        factor = Factor(np.zeros(1, int), np.ones((1, 4)), 1, sd_priors=[FLAT] * 4, structured=(block,))
        grid = np.linspace(-60, 60, 40001)
        heights = [core._shape(t, row[0], np.zeros(7)) for t in grid]
        total = np.exp(np.array(heights) + core.shape_constant(factor)).sum() * (grid[1] - grid[0])
        assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "q"), [case for case in CASES if STRUCTURES[case[0]].matrix and case[1] < 30]
)
def test_free_correlations(name, q):
    """Partials give their correlations back; the density is that of partials, whose map has the differences' slope."""
    structure, rng = STRUCTURES[name], np.random.default_rng(4)
    matrix, prior = structure.matrix, Prior("LKJ", eta=1.7)
    powers = matrix.powers(q, 1.7)
    partials = 2 * rng.beta(powers, powers, (3, len(powers))) - 1
    cor = matrix.from_partials(partials, q)
    np.testing.assert_allclose(matrix.partials_of(cor), partials, atol=1e-9)
    np.testing.assert_allclose(structure.correlation(np, q, np.arange(q), cor), cor, atol=1e-14)
    pairs = tuple(zip(*matrix.pairs(q), strict=True))
    step = 1e-6 * np.eye(len(powers))
    for row, heights in zip(partials, matrix.log_density(prior, cor), strict=True):
        slopes = (matrix.from_partials(row + step, q) - matrix.from_partials(row - step, q)) / 2e-6
        slope = np.linalg.slogdet(slopes[(slice(None), *pairs)])[1]
        expected = stats.beta.logpdf((1 + row) / 2, powers, powers).sum() - len(row) * np.log(2)
        assert heights == pytest.approx(expected - slope, abs=1e-6)
    equal = matrix.from_partials(matrix.equal(q, 0.4)[None], q)[0]
    np.testing.assert_allclose(equal, np.where(np.eye(q, dtype=bool), 1.0, 0.4), atol=1e-12)
    logdet = np.linalg.slogdet(cor)[1]
    flat = matrix.log_density(Prior("LKJ", eta=1), cor)
    np.testing.assert_allclose(
        np.diff(matrix.log_density(prior, cor) - flat), 0.7 * np.diff(logdet), atol=1e-7
    )
    assert np.ptp(flat) < 1e-9


# -- in models --------------------------------------------------------------------------------------------------


def rows_of(groups: int = 8, repeats: int = 2) -> pd.DataFrame:
    """Groups with rows at four times, of a category each."""
    rng = np.random.default_rng(5)
    g, place = np.repeat(np.arange(groups), 4 * repeats), np.tile(np.repeat(np.arange(4), repeats), groups)
    y = rng.normal(size=groups)[g] + rng.normal(size=g.size)
    columns = {"t": np.array([0, 1, 3, 6])[place], "f": np.array(list("abcd"))[place], "k": place}
    columns |= {"u": np.array([0.0, 1.0, 0.3, 2.5])[place], "v": np.array([0.5, 0.0, 2.0, 1.0])[place]}
    return pd.DataFrame({"y": y, "n": rng.poisson(np.exp(0.4 * y)), "g": g, **columns})


def term_of(name: str) -> str:
    column = {"": "f", "equal": "k", "place": "u + v"}.get(STRUCTURES[name].positions, "t")
    return f"{name}(0 + {column} | g)"


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_whitened_kernel_is_the_graph(name, family):
    response = {"gaussian": "y", "poisson": "n"}[family]
    model = hb.Model(f"{response} ~ 1 + (1 | g) + {term_of(name)}", rows_of(), family=family)
    assert_kernel_is_the_graph(model)


@pytest.mark.parametrize("name", STRUCTURES)
def test_new_levels_have_the_covariance(name, known_fit):
    """Effects of 4000 new levels at known sds and correlations, from predictions of rows with one effect each."""
    model = hb.Model(f"y ~ 1 + {term_of(name)}", rows_of())
    (factor,) = model.spec.layout.predictors["mu"].factors
    q = len(factor.effects)
    shapes = [(s.lower(q) + 2 * s.upper(q)) / 3 if s.kind == BOUNDED else 0.4 for _, s in factor.shapes]
    if factor.loaded:
        shapes = np.random.default_rng(6).uniform(0.3, 1.2, len(shapes)).tolist()
    matrix = np.where(np.eye(q, dtype=bool), 1.0, 0.3)
    sd = np.arange(1.0, q + 1)[list(factor.scale_of)]
    sd, cor, shapes = factor.settled(sd, factor.correlations(list(map(np.array, shapes)), matrix), shapes)
    values = {"sd_g": sd, "sigma": 1.0} | ({"cor_g": matrix} if factor.has_matrix else {})
    variables = model.spec.shape_variables("mu", factor)
    if factor.loaded:
        values["loadings_g"] = factor.loadings(shapes)
    else:
        values |= {variable.name: value for variable, value in zip(variables, shapes, strict=True)}
    fit = known_fit(model, values, chains=1, draws=2)
    new = 2000
    block = rows_of(1, repeats=1)
    frame = pd.concat([block] * new, ignore_index=True).assign(g=np.repeat(1000 + np.arange(new), q))
    drawn = fit.predict(frame, kind="linear", new_levels="sample", output="draws")
    effects = np.asarray(drawn).reshape(-1, new, q).reshape(-1, q)
    expected = sd[:, None] * cor * sd
    error = np.sqrt((np.outer(np.diagonal(expected), np.diagonal(expected)) + expected**2) / len(effects))
    assert (np.abs(effects.mean(axis=0)) < 4.5 * sd / len(effects) ** 0.5).all()
    assert (np.abs(effects.T @ effects / len(effects) - expected) < 4.5 * error).all()


@pytest.mark.parametrize("name", STRUCTURES)
def test_priors_are_simulated(name):
    """Effects of the prior have the correlations of its draws: standardised by them, they are independent."""
    model = hb.Model(f"y ~ 1 + {term_of(name)}", rows_of(groups=60))
    (factor,) = model.spec.layout.predictors["mu"].factors
    prior = sample_prior(model.spec, 300, 3)
    sd, cor = prior.values["sd_g"], model.spec.correlations("mu", factor, prior.values)
    r = prior.values["r_g"]
    if factor.loaded:  # the first effects decide the others
        sd, cor, r = sd[:, :RANK], cor[:, :RANK, :RANK], r[..., :RANK]
    keep = np.linalg.eigvalsh(np.broadcast_to(cor, (300, *cor.shape[1:])))[:, 0] > 1e-6
    root = np.linalg.cholesky(np.broadcast_to(cor, (300, *cor.shape[1:]))[keep])
    z = np.linalg.solve(root, np.swapaxes(r[keep] / sd[keep, None], 1, 2))
    assert abs(z.mean()) < 5 / z.size**0.5
    assert z.std() == pytest.approx(1.0, abs=5 / z.size**0.5)
    text = repr(model)
    for variable in model.spec.shape_variables("mu", factor):
        assert variable.address in text
        assert variable.kind in set(model.priors["class"])
