"""The graph's log density against one written out by hand with NumPy, pandas and SciPy."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families import FAMILIES
from hierbayes.graph import build_graph

from .test_families import AUXILIARIES, MEANS, PAIRS, SCIPY

# -- data ----------------------------------------------------------------------------------------------------

ROWS = 60


def make_frame() -> pd.DataFrame:
    """Unbalanced rows in no order: factors g (6 levels), h (5), a (5) with b nested in it, c (3, of text)."""
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {
            "x": rng.normal(2.0, 1.5, ROWS),
            "w": rng.normal(-1.0, 0.5, ROWS),
            "g": rng.choice(list("uvwxyz"), ROWS),
            "h": rng.choice([30, 4, 5, 16, 7], ROWS),
            "a": rng.choice(list("pqrst"), ROWS),
            "b": rng.choice(list("ij"), ROWS),
            "c": rng.choice(["lo", "mid", "hi"], ROWS),
            "e": rng.uniform(0.5, 3.0, ROWS),
            "n": rng.integers(1, 9, ROWS),
            "k": rng.integers(1, 4, ROWS),
        }
    )
    frame["level"] = frame["b"].where(frame["a"] != "p", "i")  # p:j is never observed
    frame["real"] = rng.normal(3.0, 1.0, ROWS)
    frame["positive"] = rng.gamma(4.0, 0.5, ROWS)
    frame["count"] = rng.poisson(3.0, ROWS)
    frame["binary"] = rng.integers(0, 2, ROWS)
    frame["share"] = rng.beta(3.0, 2.0, ROWS)
    frame["hits"] = rng.binomial(frame["n"], 0.4)
    return frame


FRAME = make_frame()
RESPONSE = {
    "gaussian": "real",
    "student": "real",
    "lognormal": "positive",
    "bernoulli": "binary",
    "binomial": "hits",
    "betabinomial": "hits",
    "poisson": "count",
    "negbinomial": "count",
    "gamma": "positive",
    "beta": "share",
}
LOG_RESPONSE = {"lognormal"}


# -- a model by hand -----------------------------------------------------------------------------------------

Distribution = tuple[Any, ...]  # ("Normal", 0.0, 2.5): PyMC's name and positional arguments

DENSITIES: Mapping[str, Any] = {
    "Normal": stats.norm,
    "StudentT": stats.t,
    "Cauchy": stats.cauchy,
    "Laplace": stats.laplace,
    "Logistic": stats.logistic,
    "Exponential": lambda lam: stats.expon(scale=1 / lam),
    "HalfNormal": lambda sigma: stats.halfnorm(scale=sigma),
    "HalfStudentT": lambda nu, sigma: SimpleNamespace(
        logpdf=lambda x: np.log(2) + stats.t(nu, scale=sigma).logpdf(x)
    ),
    "HalfCauchy": lambda beta: stats.halfcauchy(scale=beta),
    "Gamma": lambda alpha, beta: stats.gamma(alpha, scale=1 / beta),
    "InverseGamma": lambda alpha, beta: stats.invgamma(alpha, scale=beta),
    "LogNormal": lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu)),
    "Uniform": lambda lower, upper: stats.uniform(lower, upper - lower),
    "Flat": lambda: SimpleNamespace(logpdf=np.zeros_like),
    "HalfFlat": lambda: SimpleNamespace(logpdf=np.zeros_like),
}
REAL = {"Normal", "StudentT", "Cauchy", "Laplace", "Logistic", "Flat"}


def left_side(family: str) -> str:
    """The response as a formula has it."""
    return RESPONSE[family] + (" | trials(n)" if FAMILIES[family].needs_trials else "")


def trials_of(family: str) -> Any:
    return FRAME["n"].to_numpy() if FAMILIES[family].needs_trials else None


def log_density(priors: list[Distribution], x: np.ndarray) -> float:
    return sum(
        float(DENSITIES[name](*args).logpdf(value)) for (name, *args), value in zip(priors, x, strict=True)
    )


@dataclass(frozen=True)
class Group:
    """A grouping factor: each row's label, for each effect a column, and blocks of correlated effects."""

    name: str
    label: pd.Series
    effects: dict[str, Any]
    blocks: tuple[tuple[int, ...], ...] = ()

    @property
    def indicators(self) -> np.ndarray:
        return pd.get_dummies(self.label).to_numpy(float)


@dataclass(frozen=True)
class Predictor:
    slopes: dict[str, Any] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    intercept: bool = True
    offset: Any = 0.0


@dataclass(frozen=True)
class ByHand:
    """A model by hand: the log density of its unconstrained variables."""

    y: np.ndarray
    family: str
    link: str
    predictors: dict[str, Predictor]
    priors: dict[str, Distribution]
    trials: Any = None
    weights: Any = 1.0
    centered: bool = False
    stated: frozenset[str] = frozenset()  # addresses of priors that are literal

    def logp(self, point: Mapping[str, np.ndarray]) -> float:
        left = dict(point)
        total, etas = 0.0, {}
        for parameter, predictor in self.predictors.items():
            etas[parameter], density = self._predictor(parameter, predictor, left)
            total += density
        aux = {name: np.exp(eta) for name, eta in etas.items() if name != "mu"}
        for name in AUXILIARIES.get(self.family, [{}])[0]:
            if name not in aux:
                value, density = self._vector(name, [self.priors[name]], left)
                aux[name], total = value[0], total + density
        assert not left, f"the graph has free variables that the model has not: {list(left)}"
        exact = SCIPY[self.family](MEANS[self.link](etas["mu"]), aux, self.trials)
        rows = exact.logpdf(self.y) if hasattr(exact.dist, "pdf") else exact.logpmf(self.y)
        return total + float(np.sum(self.weights * rows))

    def _vector(
        self, name: str, priors: list[Distribution], left: dict[str, Any]
    ) -> tuple[np.ndarray, float]:
        """Values and log density of several quantities; each distribution among them is one variable."""
        kinds = list(dict.fromkeys(prior[0] for prior in priors))
        values, total = np.empty(len(priors)), 0.0
        for kind in kinds:
            places = [place for place, prior in enumerate(priors) if prior[0] == kind]
            those = [priors[place] for place in places]
            own = name if len(kinds) == 1 else f"{name}_{kind.lower()}"
            if kind == "Fixed":
                values[places] = [prior[1] for prior in those]
                continue
            values[places], jacobian = self._free(own, those, left)
            total += jacobian + log_density(those, values[places])
        return values, total

    @staticmethod
    def _free(name: str, priors: list[Distribution], left: dict[str, Any]) -> tuple[np.ndarray, float]:
        kind = priors[0][0]
        if kind in REAL:
            return np.atleast_1d(left.pop(name)), 0.0
        if kind == "Uniform":
            z = np.atleast_1d(left.pop(f"{name}_interval__"))
            lower, upper = np.array([prior[1:] for prior in priors], dtype=float).T
            jacobian = np.log(upper - lower) + special.log_expit(z) + special.log_expit(-z)
            return lower + (upper - lower) * special.expit(z), float(jacobian.sum())
        z = np.atleast_1d(left.pop(f"{name}_log__"))
        return np.exp(z), float(z.sum())

    def _predictor(
        self, parameter: str, predictor: Predictor, left: dict[str, Any]
    ) -> tuple[np.ndarray, float]:
        own, prefix = ("b", "") if parameter == "mu" else (f"b_{parameter}", f"{parameter}.")
        eta, total = np.zeros(len(self.y)) + predictor.offset, 0.0
        if predictor.intercept:
            value, density = self._vector(f"{own}_intercept", [self.priors[f"{prefix}Intercept"]], left)
            eta, total = eta + value[0], total + density
        if predictor.slopes:
            priors = [self.priors[f"{prefix}b[{label}]"] for label in predictor.slopes]
            values, density = self._vector(f"{own}_slopes", priors, left)
            total += density
            weights = np.broadcast_to(self.weights, len(self.y))
            for value, column in zip(values, predictor.slopes.values(), strict=True):
                centre = np.average(column, weights=weights) if predictor.intercept else 0.0
                eta = eta + value * (column - centre)
        for group in predictor.groups:
            r, density = self._effects(parameter, group, left)
            total += density
            columns = zip(group.effects.values(), self.centres(group, prefix), strict=True)
            for number, (column, centre) in enumerate(columns):
                eta = eta + (group.indicators * np.reshape(column - centre, (-1, 1))) @ r[:, number]
        return eta, total

    def centres(self, group: Group, prefix: str = "") -> list[float]:
        """Weighted means of the columns that are correlated with a varying intercept, unless its priors are stated."""
        if {f"{prefix}cor[{group.name}]", f"{prefix}sd[{group.name}, Intercept]"} & self.stated:
            return [0.0] * len(group.effects)
        labels, weights = list(group.effects), np.broadcast_to(self.weights, len(self.y))
        with_intercept = [block for block in group.blocks if any(labels[j] == "Intercept" for j in block)]
        return [
            float(np.average(np.broadcast_to(column, len(self.y)), weights=weights))
            if label != "Intercept" and any(place in block for block in with_intercept)
            else 0.0
            for place, (label, column) in enumerate(group.effects.items())
        ]

    def _effects(self, parameter: str, group: Group, left: dict[str, Any]) -> tuple[np.ndarray, float]:
        own, prefix = (
            (group.name, "") if parameter == "mu" else (f"{parameter}_{group.name}", f"{parameter}.")
        )
        sds = [self.priors[f"{prefix}sd[{group.name}, {label}]"] for label in group.effects]
        free = "_centred" if any(self.centres(group, prefix)) else ""
        sd, total = self._vector(f"sd_{own}{free}", sds, left)
        correlation = np.eye(len(sd))
        several = sum(len(block) > 1 for block in group.blocks) > 1
        for number, block in enumerate(group.blocks):
            kind, *arguments = self.priors.get(f"{prefix}cor[{group.name}]", ("none",))
            if kind == "Fixed":
                correlation[np.ix_(block, block)] = np.where(np.eye(len(block)), 1.0, arguments[0])
            elif len(block) > 1:
                y = left.pop(f"cor_{own}_chol{number if several else ''}_cholesky_corr__")
                (eta,) = arguments
                correlation[np.ix_(block, block)] = correlation_of(y, len(block))
                total += lkj_log_density(correlation[np.ix_(block, block)], eta) + log_jacobian(y, len(block))
        root = sd[:, None] * np.linalg.cholesky(correlation)
        if self.centered:
            r = left.pop(f"r_{own}{free}")
            return r, total + float(np.sum(stats.multivariate_normal(cov=root @ root.T).logpdf(r)))
        z = left.pop(f"r_{own}_z")
        return z @ root.T, total + float(stats.norm.logpdf(z).sum())


def correlation_of(y: np.ndarray, q: int) -> np.ndarray:
    """The correlation matrix at unconstrained values: rows of a unit lower triangle, brought to length 1.

    The triangle below the diagonal is filled in a spiral: last row backwards, first row forwards, and so on.
    """
    m = q - 1
    square = np.concatenate([y[m:], y[::-1]]).reshape(m, m)
    rows = np.eye(q, dtype=y.dtype)
    rows[1:, :-1] += np.tril(square)
    rows = rows / np.sqrt((rows**2).sum(axis=1))[:, None]
    return rows @ rows.T


def log_jacobian(y: np.ndarray, q: int) -> float:
    """log |d correlations / d y| by complex steps, which are exact to rounding."""
    below = np.tril_indices(q, -1)
    columns = [correlation_of(y + 1e-30j * unit, q)[below].imag / 1e-30 for unit in np.eye(len(y))]
    return float(np.linalg.slogdet(np.array(columns)).logabsdet)


def lkj_log_density(correlation: np.ndarray, eta: float) -> float:
    """Lewandowski, Kurowicka and Joe (2009), equation 16 with their indices."""
    d = len(correlation)
    constant = 0.0
    for k in range(1, d):
        constant += (2 * eta - 2 + d - k) * (d - k) * np.log(2)
        constant += (d - k) * special.betaln(eta + (d - k - 1) / 2, eta + (d - k - 1) / 2)
    return float((eta - 1) * np.linalg.slogdet(correlation).logabsdet - constant)


def default_priors(y, family, link, predictors, trials=None, weights=None) -> dict[str, Distribution]:
    """The documented defaults, from means and standard deviations."""
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)

    def sd(column):
        column = np.broadcast_to(column, len(y))
        return np.sqrt(np.cov(column, aweights=weights, ddof=0)) or 1.0

    values = np.log(y) if family in LOG_RESPONSE else y
    mean, spread = np.average(values, weights=weights), sd(values)
    if link == "identity":
        location, scale = mean, spread
    elif link == "inverse":
        location, scale = 1 / mean, 1 / mean
    elif link == "log":
        location, scale = np.log(mean), 1.0
    else:
        total = (weights * (1 if trials is None else trials)).sum()
        quantile = {
            "logit": special.logit,
            "probit": special.ndtri,
            "cloglog": lambda p: np.log(-np.log(1 - p)),
        }
        location, scale = quantile[link](((weights * y).sum() + 0.5) / (total + 1)), 1.0
    typical = {"sigma": spread, "nu": 10.0, "shape": 1.0, "phi": 10.0}
    priors: dict[str, Distribution] = {
        "sigma": ("Exponential", 1 / spread),
        "nu": ("Gamma", 2.0, 0.1),
        "shape": ("InverseGamma", 0.4, 0.3),
        "phi": ("InverseGamma", 0.4, 0.3),
    }
    for parameter, predictor in predictors.items():
        prefix = "" if parameter == "mu" else f"{parameter}."
        if parameter != "mu":
            location, scale = np.log(typical[parameter]), 1.0
        offset = np.average(np.broadcast_to(predictor.offset, len(y)), weights=weights)
        priors[f"{prefix}Intercept"] = ("Normal", location - offset, 2.5 * scale)
        for label, column in predictor.slopes.items():
            priors[f"{prefix}b[{label}]"] = ("Normal", 0.0, 2.5 * scale / sd(column))
        for group in predictor.groups:
            priors[f"{prefix}cor[{group.name}]"] = ("LKJ", 1.0)
            for label, column in group.effects.items():
                priors[f"{prefix}sd[{group.name}, {label}]"] = ("Exponential", sd(column) / scale)
    return priors


# -- comparison ----------------------------------------------------------------------------------------------


def compile_quickly(model, outputs, rewrites: str | None = None):
    """A function of the graph's unconstrained variables: interpreted, and as a rule not even rewritten."""
    import pymc as pm
    from pytensor.compile.mode import Mode

    return pm.compile(
        model.value_vars, outputs, mode=Mode(linker="py", optimizer=rewrites), on_unused_input="ignore"
    )


def random_points(model, seed: int, scale: float, number: int = 3) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    start = model.initial_point()
    return [{k: v + rng.normal(0, scale, np.shape(v)) for k, v in start.items()} for _ in range(number)]


def assert_same_density(graph, by_hand: ByHand, seed: int = 1, scale: float = 0.2) -> None:
    """At three random points; nearer the start where a mean would leave the distribution's domain.

    Not so far from it that 1 - p would lose digits: this graph is not rewritten for the tails.
    """
    logp = compile_quickly(graph, graph.logp())
    while True:
        points = random_points(graph, seed, scale)
        with np.errstate(invalid="ignore"):
            expected = [by_hand.logp(point) for point in points]
        if np.isfinite(expected).all():
            break
        scale /= 2
        assert scale > 0.01, "no point near the start has a density"
    found = [float(logp(**point)) for point in points]
    assert_allclose(found, expected, rtol=1e-8)
    assert len(set(found)) == 3


def columns(*names: str) -> dict[str, Any]:
    """Columns of FRAME by name; "c" by its indicators but the first level's, "Intercept" as ones."""
    found: dict[str, Any] = {}
    for name in names:
        if name == "c":
            dummies = pd.get_dummies(FRAME["c"], dtype=float)
            found |= {f"c[{level}]": dummies[level].to_numpy() for level in dummies.columns[1:]}
        else:
            found[name] = np.ones(ROWS) if name == "Intercept" else FRAME[name].to_numpy(float)
    return found


def group(name: str, *effects: str, blocks: tuple[tuple[int, ...], ...] = ()) -> Group:
    parts = name.split(":")
    label = FRAME[parts[0]] if len(parts) == 1 else FRAME[parts].astype(str).agg(":".join, axis=1)
    return Group(name, label, columns(*effects), blocks)


STRUCTURES = {
    "none": ("", ()),
    "intercept": (" + (1 | g)", (group("g", "Intercept"),)),
    "correlated": (" + (x + w | g)", (group("g", "Intercept", "x", "w", blocks=((0, 1, 2),)),)),
    "uncorrelated": (" + (x + w || g)", (group("g", "Intercept", "x", "w"),)),
    "nested": (" + (1 | a/level)", (group("a", "Intercept"), group("a:level", "Intercept"))),
    "crossed": (
        " + (x | g) + (1 | h)",
        (group("g", "Intercept", "x", blocks=((0, 1),)), group("h", "Intercept")),
    ),
}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("family", "link"), PAIRS, ids=[f"{f}-{link}" for f, link in PAIRS])
def test_density_of_every_family_link_and_structure(family, link, structure):
    right, groups = STRUCTURES[structure]
    trials = trials_of(family)
    model = hb.Model(f"{left_side(family)} ~ x + c{right}", FRAME, family=family, link=link)
    y, predictors = FRAME[RESPONSE[family]].to_numpy(float), {"mu": Predictor(columns("x", "c"), groups)}
    priors = default_priors(y, family, link, predictors, trials)
    assert_same_density(model.graph(), ByHand(y, family, link, predictors, priors, trials))


def by_hand(family, link, predictors, priors=None, **rest) -> ByHand:
    y = FRAME[RESPONSE[family]].to_numpy(float)
    defaults = default_priors(y, family, link, predictors, rest.get("trials"), rest.get("weights"))
    return ByHand(
        y, family, link, predictors, defaults | (priors or {}), stated=frozenset(priors or {}), **rest
    )


def texts(priors: dict[str, Distribution]) -> dict[str, str]:
    """Priors as a user writes them."""
    return {name: f"{kind}({', '.join(map(repr, args))})" for name, (kind, *args) in priors.items()}


def test_four_correlated_effects_one_of_them_categorical():
    groups = (group("g", "Intercept", "x", "c", blocks=((0, 1, 2, 3),)),)
    predictors = {"mu": Predictor(columns("x"), groups)}
    model = hb.Model("real ~ x + (x + c | g)", FRAME, priors={"cor": "LKJ(0.7)"})
    assert_same_density(model.graph(), by_hand("gaussian", "identity", predictors, {"cor[g]": ("LKJ", 0.7)}))


def residual(column, *margins) -> np.ndarray:
    """What is left of a column after least squares on the constant and its margins."""
    on = np.column_stack([np.ones(len(FRAME)), *margins])
    column = np.asarray(column, dtype=float)
    return column - on @ np.linalg.lstsq(on, column, rcond=None)[0]


@pytest.mark.parametrize("centered", [False, True])
def test_products_and_powers_are_residuals_on_their_margins(centered):
    x, w = (FRAME[name].to_numpy(float) for name in "xw")
    slopes = {
        "x": residual(x),
        "w": residual(w),
        "x:w": residual(x * w, x, w, x**2),
        "I(x ** 2)": residual(x**2, x),
    }
    effects = {"Intercept": 1.0, "x": x, "w": w, "x:w": residual(x * w, x, w)}
    predictors = {"mu": Predictor(slopes, (Group("g", FRAME["g"], effects, ((0, 1, 2, 3),)),))}
    made = by_hand("gaussian", "identity", predictors, centered=centered)
    model = hb.Model("real ~ x*w + I(x**2) + (x*w | g)", FRAME)
    assert_same_density(model.graph("centered" if centered else "noncentered"), made)


def test_terms_on_one_factor_are_merged():
    groups = (group("g", "Intercept", "x", "w", blocks=((0,), (1, 2))),)
    model = hb.Model("real ~ x + (1 | g) + (0 + x + w | g)", FRAME)
    graph = model.graph()
    assert_same_density(graph, by_hand("gaussian", "identity", {"mu": Predictor(columns("x"), groups)}))
    correlations = compile_quickly(graph, graph.replace_rvs_by_values([graph["cor_g"]])[0])
    (point,) = random_points(graph, 3, 0.5, 1)
    found = correlations(**point)
    assert_allclose(found[0], [1, 0, 0])
    assert_allclose(found[1:, 1:], correlation_of(point["cor_g_chol_cholesky_corr__"], 2))


def test_two_blocks_of_correlated_effects_on_one_factor():
    groups = (group("g", "Intercept", "x", "w", "e", blocks=((0, 1), (2, 3))),)
    model = hb.Model("real ~ x + (x | g) + (0 + w + e | g)", FRAME)
    assert_same_density(
        model.graph(), by_hand("gaussian", "identity", {"mu": Predictor(columns("x"), groups)})
    )


@pytest.mark.parametrize(
    ("formula", "predictor"),
    [
        ("real ~ 1", Predictor()),
        ("real ~ 0 + x + (1 | g)", Predictor(columns("x"), (group("g", "Intercept"),), intercept=False)),
        pytest.param(
            "real ~ 0 + (1 | g)",
            Predictor({}, (group("g", "Intercept"),), intercept=False),
            marks=pytest.mark.filterwarnings("ignore:.no-population-mean"),
        ),
        ("real ~ 0 + w", Predictor(columns("w"), intercept=False)),
        ("real ~ x + (0 + x | g)", Predictor(columns("x"), (group("g", "x"),))),
        (
            "real ~ x + offset(log(e)) + offset(w)",
            Predictor(columns("x"), offset=np.log(FRAME["e"].to_numpy()) + FRAME["w"].to_numpy()),
        ),
        ("real ~ 0 + offset(w)", Predictor(intercept=False, offset=FRAME["w"].to_numpy())),
    ],
)
def test_predictors_with_parts_left_out(formula, predictor):
    priors = {"Intercept": ("Normal", 2.0, 2.0), "b[x]": ("Normal", 0.0, 3.0), "b[w]": ("Normal", 0.0, 3.0)}
    priors = {
        k: p
        for k, p in priors.items()
        if k[2:-1] in predictor.slopes or (k == "Intercept" and predictor.intercept)
    }
    model = hb.Model(formula, FRAME, priors=texts(priors))
    assert_same_density(model.graph(), by_hand("gaussian", "identity", {"mu": predictor}, priors))


@pytest.mark.parametrize(("family", "link"), [("poisson", "log"), ("binomial", "cloglog"), ("gamma", "log")])
def test_weights_multiply_the_rows_log_densities(family, link):
    weights = FRAME["k"].to_numpy(float) / 2
    additions, trials = "weights(k / 2)", None
    if family == "binomial":
        additions, trials = "trials(n) + weights(k / 2)", FRAME["n"].to_numpy()
    predictors = {"mu": Predictor(columns("x"), (group("g", "Intercept"),))}
    model = hb.Model(f"{RESPONSE[family]} | {additions} ~ x + (1 | g)", FRAME, family=family, link=link)
    assert_same_density(model.graph(), by_hand(family, link, predictors, trials=trials, weights=weights))


def test_a_number_of_trials_for_all_rows():
    predictors = {"mu": Predictor(columns("x"))}
    model = hb.Model("hits | trials(12) ~ x", FRAME, family="binomial")
    assert_same_density(model.graph(), by_hand("binomial", "logit", predictors, trials=np.full(ROWS, 12)))


def test_priors_of_many_distributions():
    groups = (group("g", "Intercept", "x", "w", blocks=((0, 1, 2),)), group("h", "Intercept"))
    priors = {
        "Intercept": ("StudentT", 3.0, 1.5, 2.5),
        "b[x]": ("Laplace", 0.5, 2.0),
        "b[w]": ("Normal", 0.3, 2.0),
        "b[e]": ("Cauchy", 0.0, 0.5),
        "b[c[lo]]": ("Normal", -1.0, 7.0),
        "b[c[mid]]": ("Logistic", 0.0, 2.0),
        "sd[g, Intercept]": ("HalfNormal", 2.5),
        "sd[g, x]": ("HalfStudentT", 4.0, 2.5),
        "sd[g, w]": ("HalfNormal", 1.5),
        "sd[h, Intercept]": ("HalfCauchy", 2.0),
        "cor[g]": ("LKJ", 1.3),
        "sigma": ("LogNormal", 0.5, 0.7),
    }
    model = hb.Model("real ~ x + w + e + c + (x + w | g) + (1 | h)", FRAME, priors=texts(priors))
    predictors = {"mu": Predictor(columns("x", "w", "e", "c"), groups)}
    assert_same_density(model.graph(), by_hand("gaussian", "identity", predictors, priors))


@pytest.mark.parametrize(
    "sigma",
    [
        ("Uniform", 0.0, 5.0),
        ("Uniform", 0.5, 2.5),
        ("HalfFlat",),
        ("Gamma", 2.0, 0.5),
        ("InverseGamma", 3.0, 2.0),
    ],
)
def test_priors_of_one_quantity(sigma):
    intercept = ("Uniform", -3.0, 9.5) if sigma[0] == "Uniform" else ("Flat",)
    slope = ("HalfNormal", 0.5) if sigma[0] == "Gamma" else ("Flat",)  # a slope may be taken to be positive
    priors = {"Intercept": intercept, "b[x]": slope, "sigma": sigma, "sd[g, Intercept]": sigma}
    model = hb.Model("real ~ x + (1 | g)", FRAME, priors=texts(priors))
    predictors = {"mu": Predictor(columns("x"), (group("g", "Intercept"),))}
    assert_same_density(model.graph(), by_hand("gaussian", "identity", predictors, priors))


OTHER_PARAMETERS = [
    ("gaussian", "identity", "sigma"),
    ("student", "identity", "nu"),
    ("lognormal", "identity", "sigma"),
    ("negbinomial", "log", "shape"),
    ("gamma", "log", "shape"),
    ("beta", "probit", "phi"),
    ("betabinomial", "logit", "phi"),
]


def another_parameter(family, link, parameter) -> tuple[hb.Model, ByHand]:
    """A model in which that parameter has a formula too, and the same by hand."""
    predictors = {
        "mu": Predictor(columns("x"), (group("g", "Intercept", "x", blocks=((0, 1),)),)),
        parameter: Predictor(columns("x"), (group("g", "Intercept"),)),
    }
    formulas = {"mu": f"{left_side(family)} ~ x + (x | g)", parameter: "~ x + (1 | g)"}
    model = hb.Model(formulas, FRAME, family=family, link=link)
    return model, by_hand(family, link, predictors, trials=trials_of(family))


@pytest.mark.parametrize(("family", "link", "parameter"), OTHER_PARAMETERS)
def test_another_parameter_with_a_formula(family, link, parameter):
    model, expected = another_parameter(family, link, parameter)
    assert_same_density(model.graph(), expected)


def test_every_parameter_with_a_formula_of_its_own():
    predictors = {
        "mu": Predictor(columns("x"), (group("g", "Intercept"),)),
        "sigma": Predictor({}, (group("g", "Intercept", "x", blocks=((0, 1),)), group("h", "Intercept"))),
        "nu": Predictor(columns("w"), offset=FRAME["e"].to_numpy()),
    }
    priors = {
        "sigma.sd[g, x]": ("HalfNormal", 0.3),
        "sigma.cor[g]": ("LKJ", 4.0),
        "nu.b[w]": ("Normal", 0.0, 0.2),
    }
    formulas = {"mu": "real ~ x + (1 | g)", "sigma": "~ 1 + (x | g) + (1 | h)", "nu": "~ w + offset(e)"}
    model = hb.Model(formulas, FRAME, family="student", priors=texts(priors))
    assert_same_density(model.graph(), by_hand("student", "identity", predictors, priors))


# -- parameterizations ---------------------------------------------------------------------------------------

CENTRED = {
    "intercept": STRUCTURES["intercept"],
    "correlated": STRUCTURES["correlated"],
    "uncorrelated": STRUCTURES["uncorrelated"],
    "crossed": STRUCTURES["crossed"],
    "merged": (" + (1 | g) + (0 + x + w | g)", (group("g", "Intercept", "x", "w", blocks=((0,), (1, 2))),)),
}


@pytest.mark.parametrize("structure", CENTRED)
def test_the_centered_density_has_the_effects_as_variables(structure):
    right, groups = CENTRED[structure]
    model = hb.Model(f"count ~ x{right}", FRAME, family="negbinomial")
    predictors = {"mu": Predictor(columns("x"), groups)}
    expected = by_hand("negbinomial", "log", predictors, centered=True)
    assert_same_density(model.graph("centered"), expected)


@pytest.mark.parametrize("structure", ["uncorrelated", "merged"])
def test_centered_and_noncentered_are_one_density_in_two_variables(structure):
    """p(r) = p(z) / |dr/dz|, and dr/dz is each level's root of the covariance."""
    model = hb.Model(f"real ~ x{CENTRED[structure][0]}", FRAME)
    noncentered, centered = model.graph(), model.graph("centered")
    names = ["r_g", "sd_g", "cor_g"][: 3 if structure == "merged" else 2]
    values = compile_quickly(
        noncentered, noncentered.replace_rvs_by_values([noncentered[name] for name in names])
    )
    logp, logp_centered = (compile_quickly(graph, graph.logp()) for graph in (noncentered, centered))
    for point in random_points(noncentered, 5, 0.7):
        r, sd, *correlation = values(**point)
        logdet = np.log(sd).sum() + (np.linalg.slogdet(correlation[0]).logabsdet / 2 if correlation else 0.0)
        other = {k: v for k, v in point.items() if k != "r_g_z"} | {"r_g": r}
        assert_allclose(logp_centered(**other), logp(**point) - len(r) * logdet, rtol=1e-10)


def test_there_is_no_third_parameterization():
    model = hb.Model("real ~ x", FRAME)
    with pytest.raises(UnsupportedError, match="'funnel'; there are noncentered and centered"):
        model.graph("funnel")


# -- derivatives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "family", "link", "parameterization"),
    [
        ("real ~ x + (x + w | g)", "gaussian", "identity", "noncentered"),
        ("hits | trials(n) ~ x + (1 | g) + (1 | h)", "binomial", "cloglog", "centered"),
        ("binary ~ x + (x | g)", "bernoulli", "probit", "noncentered"),
        ({"mu": "count ~ x + (x | g)", "shape": "~ w + (1 | g)"}, "negbinomial", "log", "centered"),
    ],
)
def test_the_gradient_is_that_of_the_density(formula, family, link, parameterization):
    graph = hb.Model(formula, FRAME, family=family, link=link).graph(parameterization)
    logp, gradient = (
        compile_quickly(graph, output, "fast_compile") for output in (graph.logp(), graph.dlogp())
    )
    (point,) = random_points(graph, 2, 0.3, 1)
    differences = []
    for name, value in point.items():
        for place in np.ndindex(np.shape(value)):
            step = np.zeros(np.shape(value))
            step[place] = 1e-4
            near, far = ([logp(**point | {name: value + k * step}) for k in (-m, m)] for m in (1, 2))
            differences.append((8 * (near[1] - near[0]) - (far[1] - far[0])) / 12e-4)
    assert_allclose(gradient(**point), differences, rtol=1e-7, atol=1e-6)


# -- laws ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "link"), [pair for pair in PAIRS if pair[1] == dict(reversed(PAIRS))[pair[0]]]
)
def test_weight_two_is_the_row_twice(family, link):
    trials = "trials(n) + " if FAMILIES[family].needs_trials else ""
    twice = FRAME.loc[np.repeat(FRAME.index, FRAME["k"])].reset_index(drop=True).assign(k=1)
    weighted, repeated = (
        hb.Model(f"{RESPONSE[family]} | {trials}weights(k) ~ x + (x | g)", frame, family=family, link=link)
        for frame in (FRAME, twice)
    )
    plain = hb.Model(
        f"{RESPONSE[family]} {trials and '| trials(n)'} ~ x + (x | g)", twice, family=family, link=link
    )
    for mine, theirs in zip(weighted.spec.priors, plain.spec.priors, strict=True):
        assert mine.prior.name == theirs.prior.name
        assert_allclose([v for _, v in mine.prior.args], [v for _, v in theirs.prior.args], rtol=1e-10)
    graphs = [model.graph() for model in (weighted, repeated, plain)]
    points = random_points(graphs[0], 4, 0.2)
    values = [densities(graph, points) for graph in graphs]
    assert_allclose(values[1], values[0], rtol=1e-9)
    assert_allclose(values[2], values[0], rtol=1e-9)


def logp_at(formula: Any, frame: pd.DataFrame, points, **options: Any) -> list[float]:
    return densities(hb.Model(formula, frame, **options).graph(), points)


def densities(graph, points) -> list[float]:
    logp = compile_quickly(graph, graph.logp())
    return [float(logp(**point)) for point in points]


RICH = "real ~ x + c + (x | g) + (1 | a/level)"


@pytest.fixture(scope="module")
def rich_points():
    return random_points(hb.Model(RICH, FRAME).graph(), 8, 0.5)


def test_row_order_does_not_matter(rich_points):
    shuffled = FRAME.sample(frac=1, random_state=3)
    assert_allclose(logp_at(RICH, shuffled, rich_points), logp_at(RICH, FRAME, rich_points), rtol=1e-10)


def test_order_and_spelling_of_terms_do_not_matter(rich_points):
    other = "real ~ (1 | a:level) + c + (1 + x | g) + x + (1 | a)"
    swapped = [p | {"b_slopes": p["b_slopes"][[1, 2, 0]]} for p in rich_points]
    assert_allclose(logp_at(other, FRAME, swapped), logp_at(RICH, FRAME, rich_points), rtol=1e-10)


def test_names_of_levels_do_not_matter(rich_points):
    """New labels sort otherwise, so the levels' rows move with them."""
    new = {"u": "k", "v": "z", "w": "a", "x": "m", "y": "c", "z": "b"}
    relabelled = FRAME.assign(g=FRAME["g"].map(new))
    order = np.argsort([new[old] for old in sorted(new)])
    moved = [point | {"r_g_z": point["r_g_z"][order]} for point in rich_points]
    assert_allclose(logp_at(RICH, relabelled, moved), logp_at(RICH, FRAME, rich_points), rtol=1e-10)


def test_shifting_a_predictor_changes_only_the_uncentred_intercept():
    formula = "count ~ x + (1 | g)"
    graphs = [
        hb.Model(formula, f, family="poisson").graph() for f in (FRAME, FRAME.assign(x=FRAME["x"] + 2000))
    ]
    points = random_points(graphs[0], 6, 0.3)
    assert_allclose(densities(graphs[1], points), densities(graphs[0], points), rtol=1e-9)
    b = [compile_quickly(graph, graph.replace_rvs_by_values([graph["b"]])[0]) for graph in graphs]
    for point in points:
        here, there = (function(**point) for function in b)
        assert_allclose(there[1], here[1])
        assert_allclose(there[0], here[0] - 2000 * here[1])


# -- what the graph holds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameterization", ["noncentered", "centered"])
@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("real ~ x + c + (x + w | g) + (1 | a/level)", "student"),
        ("real ~ x + (x || g) + (1 | h)", "gaussian"),
        ("hits | trials(n) ~ 1 + (1 | g) + (0 + x + w | g)", "binomial"),
        ({"mu": "share ~ x + (x | g)", "phi": "~ w + (x | g) + (1 | h)"}, "beta"),
        ("count | weights(k) ~ x", "poisson"),
    ],
)
def test_the_graph_holds_the_schema(formula, family, parameterization):
    model = hb.Model(formula, FRAME, family=family)
    graph = model.graph(parameterization)
    names = [variable.name for variable in model.spec.variables]
    values = compile_quickly(graph, graph.replace_rvs_by_values([graph[name] for name in names]))
    shapes = {
        name: np.shape(value) for name, value in zip(names, values(**graph.initial_point()), strict=True)
    }
    for variable in model.spec.variables:
        assert graph.named_vars_to_dims.get(variable.name, ()) == variable.dims, variable.name
        assert shapes[variable.name] == tuple(len(graph.coords[dim]) for dim in variable.dims)
    for dim, labels in model.spec.coords.items():
        assert list(graph.coords[dim]) == list(labels), dim
    assert len(graph.coords["__obs__"]) == ROWS


def test_b_is_on_the_scale_of_the_users_columns():
    """η by the user's own columns, b and r equals the η of the centred columns that the density uses."""
    model = hb.Model("real ~ x + c + (x | g)", FRAME, priors={"sigma": "Exponential(1)"})
    graph = model.graph()
    b, r = (graph.replace_rvs_by_values([graph[name]])[0] for name in ("b", "r_g"))
    function = compile_quickly(graph, [b, r, graph.logp(vars=graph.observed_RVs)])
    x = np.column_stack([np.ones(ROWS), *columns("x", "c").values()])
    for point in random_points(graph, 9, 0.5):
        coefficients, effects, likelihood = function(**point)
        means = np.average(x[:, 1:], axis=0)
        assert_allclose(coefficients[1:], point["b_slopes"])
        assert_allclose(coefficients[0], point["b_intercept"] - means @ point["b_slopes"])
        levels = pd.get_dummies(FRAME["g"]).to_numpy(float)
        eta = x @ coefficients + levels @ effects[:, 0] + (levels * x[:, [1]]) @ effects[:, 1]
        expected = stats.norm(eta, np.exp(point["sigma_log__"])).logpdf(FRAME["real"]).sum()
        assert_allclose(likelihood, expected, rtol=1e-10)


def test_labels_keep_their_type():
    graph = hb.Model("real ~ x + (1 | h)", FRAME).graph()
    assert list(graph.coords["h"]) == [4, 5, 7, 16, 30]
    assert all(type(label) is int for label in graph.coords["h"])


@pytest.mark.parametrize("code", [6, -1, 10**6])
def test_a_level_number_out_of_range_is_refused(code):
    model = hb.Model("real ~ x + (1 | g)", FRAME)
    predictor = model.design.predictors["mu"]
    factor = predictor.factors["g"]
    codes = factor.codes.copy()
    codes[7] = code
    own = dataclasses.replace(factor.memberships[0], codes=codes)
    wrong = dataclasses.replace(predictor, factors={"g": dataclasses.replace(factor, memberships=(own,))})
    with pytest.raises(DataError, match="'g' has rows whose level is not one of its 6"):
        build_graph(model.spec, dataclasses.replace(model.design, predictors={"mu": wrong}))


@pytest.mark.parametrize(
    "name",
    ["weights", "trials", "mu_x", "mu_offset", "mu_z_g", "b_intercept", "b_slopes", "r_g_z", "cor_g_chol"],
)
def test_a_columns_name_is_free(name):
    """Whatever response and grouping factor are called, the graph finds other names for its own parts."""
    formula = "hits | trials(k * 9) + weights(e) ~ w + (w | g) + (1 | {})"
    expected = hb.Model(formula.format("h"), FRAME, family="binomial").graph()
    found = hb.Model(formula.format(name), FRAME.rename(columns={"h": name}), family="binomial").graph()
    points = random_points(expected, 1, 0.2)
    moved = [dict(zip(found.initial_point(), point.values(), strict=True)) for point in points]
    assert_allclose(densities(found, moved), densities(expected, points))
    as_response = hb.Model(f"{name} ~ w + (w | g)", FRAME.rename(columns={"real": name})).graph()
    assert np.isfinite(densities(as_response, [as_response.initial_point()])).all()


@pytest.mark.parametrize("weights", ["", " | weights(k)"])
def test_a_response_may_be_a_quotient(weights):
    """PyMC allows no "/" in a name."""
    quotient = hb.Model(f"I(count / e){weights} ~ x", FRAME).graph()
    column = hb.Model(f"rate{weights} ~ x", FRAME.assign(rate=FRAME["count"] / FRAME["e"])).graph()
    points = random_points(column, 1, 0.2)
    assert_allclose(densities(quotient, points), densities(column, points))


def test_a_mean_outside_the_domain_has_density_zero():
    graph = hb.Model("positive ~ x", FRAME, family="gamma", link="identity").graph()
    point = graph.initial_point() | {"b_intercept": np.array(-3.0)}
    assert compile_quickly(graph, graph.logp(), "fast_compile")(**point) == -np.inf


def test_coefficients_between_bounds_are_scipys():
    """Bounds differ from one to the next, and so do the variables that they are drawn as."""
    bounds = {"u": "lower=0", "v": "upper=1", "w": "lower=-1, upper=2"}
    priors = {f"b[{name}]": f"TruncatedNormal(0.2, 1.5, {text})" for name, text in bounds.items()}
    priors |= {"Intercept": "Normal(0, 1)", "sigma": "Fixed(1.5)"}
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({name: rng.normal(size=12) for name in "uvwy"})
    model = hb.Model("y ~ u + v + w", frame, priors=priors, center=False)
    assert "strategy 'whitened'" in repr(model)
    graph, b = model.graph(), {"u": 0.4, "v": -0.7, "w": 1.1}
    place = {"b_intercept": 0.3}
    for name, text in bounds.items():
        words = "_".join(["truncatednormal", *(part.split("=")[0].strip() for part in text.split(","))])
        place[f"b_slopes_{words}"] = np.array([b[name]])
    values = {}
    for variable in graph.free_RVs:
        transform, value = graph.rvs_to_transforms[variable], np.asarray(place[variable.name])
        if transform is not None:
            value = transform.forward(value, *variable.owner.inputs).eval()
        values[graph.rvs_to_values[variable].name] = value
    found = float(graph.compile_logp(jacobian=False, mode="FAST_COMPILE")(values))
    ends = {"u": (0, np.inf), "v": (-np.inf, 1), "w": (-1, 2)}
    wanted = (
        stats.norm.logpdf(0.3)
        + stats.norm.logpdf(
            frame["y"], 0.3 + frame[list("uvw")].to_numpy() @ np.array(list(b.values())), 1.5
        ).sum()
    )
    for name, (low, high) in ends.items():
        wanted += stats.truncnorm.logpdf(b[name], (low - 0.2) / 1.5, (high - 0.2) / 1.5, 0.2, 1.5)
    assert found == pytest.approx(wanted, rel=1e-8)
