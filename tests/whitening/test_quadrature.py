"""One factor's effects integrated out: its integrals against dense grids, its gradient, its draws."""

from dataclasses import replace

import arviz_stats
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm

import hierbayes as hb
from hierbayes.criticism.checks import check_draws
from hierbayes.engine.core.routine import run
from hierbayes.engine.whitened import to_question
from hierbayes.engine.whitening import sample as sampling
from hierbayes.engine.whitening.integrable import integrable
from hierbayes.engine.whitening.integrated import draw_effects, lay_out, rule
from hierbayes.engine.whitening.kernel import fill_rows, forward
from hierbayes.engine.whitening.laplace import evaluator, integrated_start, laplace_start
from hierbayes.engine.whitening.packing import CHUNK
from hierbayes.families.rows import inner_coordinates

rng = np.random.default_rng(4)
N = 60
FRAME = pd.DataFrame(
    {"g": np.arange(N) % 25, "h": np.arange(N) % 5, "x": rng.normal(size=N), "k": 1.0 + np.arange(N) % 2}
)
ETA = 0.3 + 0.4 * FRAME["x"] + rng.normal(size=25)[FRAME["g"]]
PROBABILITY = 1 / (1 + np.exp(-ETA))
FRAME["binary"] = rng.binomial(1, PROBABILITY)
FRAME["trials"], FRAME["successes"] = 7, rng.binomial(7, PROBABILITY)
FRAME["count"] = rng.poisson(np.exp(ETA))
FRAME["positive"] = rng.gamma(3.0, np.exp(ETA) / 3.0)
FRAME["number"] = ETA + rng.standard_t(4, size=N)
FRAME["share"] = rng.beta(4 * PROBABILITY, 4 * (1 - PROBABILITY)).clip(0.01, 0.99)
FRAME["grade"] = pd.Categorical(np.digitize(FRAME["number"], [-0.5, 1.0]), ordered=True)
MODELS = [
    ("binary ~ x + (1 | g)", "bernoulli", "logit"),
    ("binary | weights(k) ~ x + (1 | g)", "bernoulli", "probit"),
    ("binary ~ x + (1 | g) + (1 | h)", "bernoulli", "cloglog"),
    ("successes | trials(trials) ~ x + (0 + x | g) + (1 | h)", "binomial", "logit"),
    ("count ~ x + (1 | g) + offset(log(k))", "poisson", "log"),
    ("count ~ x + (1 | g)", "poisson", "softplus"),
    ("count ~ x + (1 | g)", "negbinomial", "log"),
    ("count ~ x + (1 | g)", "zero_inflated_poisson", "log"),
    ("positive ~ x + (1 | g)", "gamma", "log"),
    ("positive ~ x + (1 | g)", "weibull", "log"),
    ("positive ~ x + (1 | g)", "lognormal", "identity"),
    ("number ~ x + (1 | g)", "student", "identity"),
    ("share ~ x + (1 | g)", "beta", "logit"),
    ("grade ~ x + (1 | g)", "cumulative", "logit"),
    ({"mu": "number ~ x", "sigma": "~ 1 + (1 | g)"}, "gaussian", "identity"),
]
GRID = np.linspace(-12.0, 12.0, 4001)


class Case:
    """A model, its start, and a point."""

    def __init__(self, formula, family, link="logit", frame=FRAME):
        self.model = hb.Model(formula, frame, family=family, link=link)
        self.problem = to_question(self.model.spec, self.model.design)
        self.start = integrated_start(self.problem)
        self.packed = self.start.packed
        self.position = self.start.position + 0.5 * np.random.default_rng(2).normal(size=self.packed.dim)

    def rows(self):
        """Linear predictors without the effects, inner coordinates, and the log densities of levels: at the point."""
        packed, memory = self.packed, self.packed.memory()
        n, M, J = packed.model.rows.shape[1], len(packed.model.predictors), len(packed.model.components)
        etas, inner, slopes, out = np.zeros((M, n)), np.zeros((J, n)), np.ones((J, n)), np.zeros((1 + J, n))
        forward(self.position, packed.model, packed.mapping, memory)
        run(fill_rows, packed.model, memory, etas, inner, slopes, out)
        return memory, etas, inner, out

    def on_grid(self, level):
        """The log density of a level's rows and u, at all points of the grid."""
        memory, _, inner, _ = self.rows()
        integral, placed, first = (
            self.packed.model.integral,
            self.packed.model.placed,
            self.packed.integrated.first,
        )
        rows = slice(first[level], first[level] + self.packed.integrated.counts[first[level]])
        sd, component = memory.lams[1, integral[1], 0, 0], int(integral[2])
        family = self.model.spec.family
        kinds = [
            p.kind
            for p in family.parameters
            for _ in range(self.model.spec.components(p) if p.kind.vector else 1)
        ]
        name = list(self.model.spec.layout.predictors)[int(self.packed.model.columns[0])]
        link = self.model.spec.parameter_link(name).name
        total = norm.logpdf(GRID)
        for i in range(rows.start, rows.stop):
            t = np.repeat(inner[:, i : i + 1], len(GRID), axis=1)
            t[component] = inner_coordinates(kinds[component], link, t[component] + placed[0, i] * sd * GRID)[
                0
            ]
            y = np.full(len(GRID), self.packed.model.y[i])
            trials = np.full(len(GRID), self.packed.model.rows[0, i])
            total = total + placed[1, i] * family.rows.evaluate(y, trials, t)[0]
        return total


@pytest.fixture(scope="module", params=MODELS, ids=[f"{family}-{link}" for _, family, link in MODELS])
def case(request):
    return Case(*request.param)


def test_integrals_are_those_of_a_dense_grid(case):
    out = case.rows()[3]
    for level in (0, 3, 11, 24):
        exact = np.log(np.trapezoid(np.exp(case.on_grid(level)), GRID))
        assert out[0, case.packed.integrated.first[level]] == pytest.approx(exact, abs=0.01)


def test_gradient_is_that_of_the_sum(case):
    evaluate, step = evaluator(case.packed), 1e-3
    gradient = evaluate(case.position)[1].copy()
    found = []
    for unit in np.eye(case.packed.dim):
        near, far = (
            evaluate(case.position + k * step * unit)[0] - evaluate(case.position - k * step * unit)[0]
            for k in (1, 2)
        )
        found.append((8 * near - far) / (12 * step))
    np.testing.assert_allclose(gradient, found, rtol=1e-6, atol=1e-6 * np.abs(found).max())


def test_more_nodes_change_nothing_but_a_constant(case):
    evaluate, packed = evaluator(case.packed), case.packed
    finer = evaluator(replace(packed, model=packed.model._replace(nodes=rule(61))))
    away = 0.5 * np.random.default_rng(4).normal(size=(20, packed.dim))
    points = case.start.position + away
    assert np.std([finer(point)[0] - evaluate(point)[0] for point in points]) < 0.05


def test_draws_are_those_of_the_conditional_density(case):
    count = 4000
    drawn = np.empty((count, 25))
    seeds = np.random.default_rng(3).integers(2**62, size=count)
    draw_effects(case.packed, np.repeat(case.position[None], count, axis=0), seeds, drawn)
    memory = case.rows()[0]
    for level in (0, 3, 11, 24):
        density = np.exp(case.on_grid(level) - case.on_grid(level).max())
        below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        u = drawn[:, level] / memory.lams[1, case.packed.model.integral[1], 0, 0]
        assert kstest(np.interp(u, GRID, below / below[-1]), "uniform").pvalue > 1e-4


def test_levels_of_any_size_lie_within_chunks():
    sizes = np.random.default_rng(1).integers(0, 90, size=40)
    codes = np.random.default_rng(2).permutation(np.repeat(np.arange(40), sizes))
    levels = lay_out(codes, 40)
    for level in range(40):
        first = levels.first[level]
        if sizes[level] == 0:
            assert first == -1
            continue
        assert first // CHUNK == (first + sizes[level] - 1) // CHUNK
        assert levels.counts[first] == sizes[level]
        assert sorted(levels.order[first : first + sizes[level]]) == list(np.flatnonzero(codes == level))
    assert sorted(levels.order[~levels.fills]) == list(range(len(codes)))
    assert levels.fills.any()


def test_rows_that_fill_chunks_change_nothing():
    """Levels whose rows would lie in two chunks."""
    case = Case(
        "binary ~ x + (1 | g)",
        "bernoulli",
        frame=pd.concat([FRAME.assign(g=FRAME["g"] + 25 * k) for k in range(6)]),
    )
    levels, out = case.packed.integrated, case.rows()[3]
    assert levels.fills.any()
    assert not out[:, levels.fills].any()
    border = int(np.flatnonzero(levels.first >= CHUNK)[0])
    for level in (border - 1, border, 149):
        exact = np.log(np.trapezoid(np.exp(case.on_grid(level)), GRID))
        assert out[0, levels.first[level]] == pytest.approx(exact, abs=0.01)


def small(seed=5, levels=150):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(levels), 2)
    h, x = g % 12, rng.normal(size=len(g))
    eta = -0.3 + 0.6 * x + 1.5 * rng.normal(size=levels)[g] + 0.7 * rng.normal(size=12)[h]
    return pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "x": x, "g": g, "h": h})


FORMULA = "y ~ x + (1 | g) + (1 | h)"


@pytest.fixture(scope="module")
def fits():
    model = hb.Model(FORMULA, small(), family="bernoulli")
    problem = to_question(model.spec, model.design)
    settings = {"draws": 2000, "tune": 300, "chains": 4, "cores": 2, "seed": 1, "progress": False}
    return [
        sampling.sample(problem, start(problem), target_accept=target, **settings)
        for start, target in ((integrated_start, 0.65), (laplace_start, 0.9))
    ]


def test_posterior_is_that_of_sampled_effects(fits):
    integrated, sampled = fits
    assert integrated.quadrature["quadrature_error"] < 0.05
    assert not sampled.quadrature
    for of in (np.asarray, np.square):  # means, then squares: the variances
        for one, other in zip(numbers(integrated), numbers(sampled), strict=True):
            errors = [float(arviz_stats.mcse(of(draws))) for draws in (one, other)]
            assert abs(of(one).mean() - of(other).mean()) < 4.5 * np.hypot(*errors)
    assert min(float(arviz_stats.ess(one)) for one in numbers(integrated)) > 2000


def numbers(draws):
    """Coefficients, log sds and some effects, each (chain, draw)."""
    effects = [draws.r[0][k][..., level, 0] for k in (0, 1) for level in (0, 3, 7)]
    return [draws.b[0][..., 0], draws.b[0][..., 1], *(np.log(sd[..., 0]) for sd in draws.sd[0]), *effects]


@pytest.mark.slow
def test_posterior_is_that_of_nuts(fits):
    nuts = (
        hb.Model(FORMULA, small(), family="bernoulli").fit(strategy="nuts", seed=1, progress=False).posterior
    )
    own = fits[0]
    pairs = [
        (own.sd[0][0][..., 0], nuts["sd_g"].to_numpy()[..., 0]),
        (own.sd[0][1][..., 0], nuts["sd_h"].to_numpy()[..., 0]),
        (own.r[0][0][..., 5, 0], nuts["r_g"].to_numpy()[..., 5, 0]),
        (own.b[0][..., 1], nuts["b"].to_numpy()[..., 1]),
    ]
    for one, other in pairs:
        errors = [float(arviz_stats.mcse(draws)) for draws in (one, other)]
        assert abs(one.mean() - other.mean()) < 4.5 * np.hypot(*errors)


def test_plan_and_fit_say_so():
    frame = small()
    model = hb.Model(FORMULA, frame, family="bernoulli")
    assert "effects of g integrated out by quadrature" in repr(model)
    fit = model.fit(draws=1000, seed=1, progress=False)
    attributes = fit.tree.attrs
    assert attributes["quadrature_nodes"] >= 5
    assert attributes["quadrature_error"] < 0.1
    assert fit.posterior["r_g"].shape == (4, 1000, 150, 1)
    again = model.fit(draws=1000, seed=1, cores=1, progress=False)
    np.testing.assert_array_equal(fit.posterior["r_g"], again.posterior["r_g"])
    assert not any(finding.code == "quadrature" for finding in check_draws(fit.spec, fit.tree))
    tree = fit.tree.copy()
    tree.attrs["quadrature_error"] = 0.5
    assert any(finding.code == "quadrature" for finding in check_draws(fit.spec, tree))


@pytest.mark.filterwarnings("ignore:.approximate.")
def test_an_approximation_has_their_effects_too():
    rough = hb.Model(FORMULA, small(), family="bernoulli").approximate(seed=1)
    assert rough.tree.attrs["quadrature_nodes"] >= 5
    assert rough.posterior["r_g"].shape[-2:] == (150, 1)
    assert np.isfinite(rough.posterior["r_g"]).all()


@pytest.mark.parametrize(
    ("formula", "family", "rows"),
    [
        ("y ~ x + (x | g)", "bernoulli", 2),  # two effects
        ("y ~ x + (1 | mm(g, g2))", "bernoulli", 2),  # two levels a row
        ("y ~ x + (1 | h)", "bernoulli", 2),  # few levels
        ("y ~ x + (1 | g)", "bernoulli", 4),  # many rows a level
        ("count ~ x + (1 | g)", "poisson", 2),  # counts say more
    ],
)
def test_what_is_sampled_as_before(formula, family, rows):
    frame = pd.concat([small()] * (rows // 2)).assign(
        g2=lambda d: (d["g"] + 1) % 150, x=lambda d: np.arange(len(d)) * 0.01
    )
    frame["count"] = np.arange(len(frame)) % 4
    model = hb.Model(formula, frame, family=family)
    assert integrable(to_question(model.spec, model.design)) is None
    assert "quadrature" not in repr(model)


def test_levels_without_rows_are_drawn_from_the_population():
    model = hb.Model("y ~ x + (1 | g)", small(), family="bernoulli")
    problem = to_question(model.spec, model.design)
    (predictor,) = problem.predictors
    wider = replace(predictor, factors=(replace(predictor.factors[0], n_levels=151),))
    start = integrated_start(replace(problem, predictors=(wider,)))
    count = 4000
    drawn, seeds = np.empty((count, 151)), np.random.default_rng(3).integers(2**62, size=count)
    draw_effects(start.packed, np.repeat(start.position[None], count, axis=0), seeds, drawn)
    memory = start.packed.memory()
    forward(start.position, start.packed.model, start.packed.mapping, memory)
    assert kstest(drawn[:, 150] / memory.lams[1, 0, 0, 0], norm.cdf).pvalue > 1e-4
