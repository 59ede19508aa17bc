"""What is calibrated: a formula, its rows, and proper priors that do not depend on the response."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

import hierbayes as hb


@dataclass(frozen=True)
class Setting:
    """One model to calibrate.

    Attributes
    ----------
    name : str
    formula : str, mapping of str to str, or list of str
        A list: of several responses.
    family : str, or list of str
    priors : mapping of str to str
        Every prior, with numbers.
    rows : callable
        Predictors and groups, with a response that only has to be possible; its values don't matter.
    strategy : str
        The strategy whose draws are ranked.
    new : mapping of str to list
        One row of a new group, whose mean is ranked too; none where the true one isn't a matter of a line or two.
    steps_below : int
        How many steps of an ordered predictor lie below its value there.
    data2 : mapping of str to Any
        How levels are related.
    curve : callable
        The mean there from its columns and the parameters of ``nl()``, by name; none where the mean is a sum of terms.
    observe : callable
        The rows as they are seen, from those above and the responses.
    link : mapping of str to str
    rescor : bool
        Whether residuals of several responses are correlated.
    """

    name: str
    formula: str | dict[str, str] | list[str]
    priors: dict[str, str]
    rows: Callable[[], pd.DataFrame]
    new: dict[str, list[object]] | None
    family: str | list[str] = "gaussian"
    strategy: str = "collapsed"
    options: dict[str, object] = field(default_factory=dict)
    steps_below: int = 0
    data2: Mapping[str, Any] = field(default_factory=dict)
    curve: Callable[..., float] | None = None
    observe: Callable[[pd.DataFrame, np.ndarray], pd.DataFrame] = lambda rows, y: rows.assign(y=y)
    link: dict[str, str] | None = None
    rescor: bool = False

    def model(self, rows: pd.DataFrame) -> hb.Model:
        """The model of these rows."""
        several = {"rescor": True} if self.rescor else {"link": self.link, "data2": self.data2}
        return hb.Model(self.formula, rows, family=self.family, priors=self.priors, **several)


def one_factor() -> pd.DataFrame:
    """16 groups of 3 to 9 rows; the predictor lies far from 0."""
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(16), rng.integers(3, 10, 16))
    return pd.DataFrame(
        {"x": rng.normal(3, 1, len(g)), "g": [f"g{level:02}" for level in g], "y": rng.normal(size=len(g))}
    )


def nested() -> pd.DataFrame:
    """7 groups of 4 subgroups of 2 or 3 rows."""
    rng = np.random.default_rng(12)
    pair = np.repeat(np.arange(28), rng.integers(2, 4, 28))
    return pd.DataFrame(
        {
            "x": rng.normal(size=len(pair)),
            "a": [f"a{level}" for level in pair // 4],
            "b": [f"b{level}" for level in pair % 4],
            "y": rng.normal(size=len(pair)),
        }
    )


def crossed() -> pd.DataFrame:
    """12 by 9 groups, three quarters of the pairs observed, with weights."""
    rng = np.random.default_rng(13)
    pairs = np.array([(g, h) for g in range(12) for h in range(9)])[rng.random(108) < 0.75]
    n = len(pairs)
    return pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "g": [f"g{level:02}" for level in pairs[:, 0]],
            "h": [f"h{level}" for level in pairs[:, 1]],
            "y": rng.normal(size=n),
        }
    )


def widely_crossed() -> pd.DataFrame:
    """130 by 110 groups in 500 rows: one factor's effects are sampled."""
    rng = np.random.default_rng(15)
    g = np.concatenate([np.arange(130), rng.integers(0, 130, 370)])
    h = np.concatenate([np.arange(110), rng.integers(0, 110, 390)])
    return pd.DataFrame(
        {
            "x": rng.normal(size=500),
            "g": [f"g{level:03}" for level in g],
            "h": [f"h{level:03}" for level in rng.permutation(h)],
            "y": rng.normal(size=500),
        }
    )


GAUSSIAN = (
    Setting(
        "slopes",
        "y ~ x + (x | g)",
        {"Intercept": "Normal(1, 2)", "b": "Normal(0, 1)", "sd": "Exponential(1)", "cor": "LKJ(2)"}
        | {"sigma": "LogNormal(0, 0.5)"},
        one_factor,
        {"x": [4.0], "g": ["new"]},
    ),
    Setting(
        "nested",
        "y ~ x + (1 | a/b)",
        {"Intercept": "Normal(0, 2)", "b": "Normal(0, 1)", "sd": "HalfStudentT(5, 1)", "sigma": "Gamma(3, 3)"},
        nested,
        {"x": [1.0], "a": ["new"], "b": ["new"]},
    ),
    Setting(
        "crossed",
        "y ~ x + (x || g) + (1 | h)",
        {"Intercept": "Normal(0, 2)", "b": "Normal(0, 1)", "sd": "HalfNormal(1)", "sigma": "InverseGamma(4, 3)"},
        crossed,
        {"x": [1.0], "g": ["new"], "h": ["new"]},
    ),
    Setting(
        "widely-crossed",
        "y ~ x + (x | g) + (1 | h)",
        {"Intercept": "Normal(0, 2)", "b": "Normal(0, 1)", "sd": "HalfNormal(1)", "cor": "LKJ(2)"}
        | {"sigma": "LogNormal(0, 0.5)"},
        widely_crossed,
        {"x": [1.0], "g": ["new"], "h": ["new"]},
    ),
)  # fmt: skip


def responding(value: float | list[float], rows_each: int = 8) -> Callable[[], pd.DataFrame]:
    """14 groups and a predictor, with a response that a family can have, and trials."""

    def rows() -> pd.DataFrame:
        rng = np.random.default_rng(14)
        g = np.repeat(np.arange(14), rng.integers(rows_each - 4, rows_each + 5, 14))
        n = len(g)
        return pd.DataFrame(
            {
                "x": rng.normal(1, 1, n),
                "g": [f"g{level:02}" for level in g],
                "trials": rng.integers(1, 12, n),
                "y": np.resize(value, n),
            }
        )

    return rows


# priors under which no response overflows and few lie on the edge of what a family can have
MODEST = {"Intercept": "Normal(0, 1)", "b": "Normal(0, 0.5)", "sd": "HalfNormal(0.6)", "cor": "LKJ(2)"}
NARROW = {
    "Intercept": "Normal(0, 0.5)",
    "b": "Normal(0, 0.3)",
    "sd": "HalfNormal(0.3)",
}  # no response rounds to 0 or 1
NEW = {"x": [2.0], "g": ["new"]}


def _family(name: str, value: float | list[float], formula: str = "y ~ x + (x | g)", **own: str) -> Setting:
    return Setting(name, formula, MODEST | own, responding(value), NEW, name, "whitened")


def stepped() -> pd.DataFrame:
    """14 groups and an ordered predictor of four values."""
    rows = responding([0.0, 1.0])()
    sizes = np.random.default_rng(16).integers(0, 4, len(rows))
    return rows.assign(size=pd.Categorical.from_codes(sizes, ["s", "m", "l", "xl"], ordered=True))


MONOTONIC = Setting(
    "monotonic",
    "y ~ mo(size) * x + (1 | g)",
    {
        "Intercept": "Normal(0, 1)",
        "b": "Normal(0, 0.5)",
        "sd": "HalfNormal(0.6)",
        "sigma": "LogNormal(0, 0.5)",
    }
    | {"simo[mo(size)]": "Dirichlet(2, 1, 1)"},
    stepped,
    {"x": [2.0], "size": ["l"], "g": ["new"]},
    strategy="whitened",
    steps_below=2,
)

CLIMBING = replace(MONOTONIC, name="monotonic-by-group", formula="y ~ mo(size) + x + (1 + mo(size) | g)")

FAMILIES = (
    _family("bernoulli", [0, 1]),
    _family("binomial", [0, 1], "y | trials(trials) ~ x + (x | g)"),
    _family("betabinomial", [0, 1], "y | trials(trials) ~ x + (x | g)", phi="Gamma(3, 1)"),
    _family("poisson", [0, 1, 2]),
    _family("negbinomial", [0, 1, 2], shape="Gamma(4, 2)"),
    _family("gamma", [0.5, 1.5], shape="Gamma(6, 2)"),
    _family("beta", [0.3, 0.6], phi="Gamma(20, 1)", **NARROW),
    _family("student", [-1.0, 0.5, 2.0], sigma="LogNormal(0, 0.5)", nu="Gamma(8, 1)"),
)


def explained() -> pd.DataFrame:
    """14 groups, four predictors with standard deviations of 1."""
    rows, rng = responding([0.0, 1.0], 12)(), np.random.default_rng(17)
    columns = rng.normal(size=(len(rows), 4))
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    return rows.assign(**{f"z{j}": column for j, column in enumerate(columns.T, 1)})


EXPLAINED = Setting(
    "explained",
    "y ~ z1 + z2 + z3 + z4 + (z1 | g)",
    {"Intercept": "Normal(0, 1)", "b": "R2D2(0.4, 4, 1, main=True)", "sd": "R2D2", "cor": "LKJ(2)"}
    | {"sigma": "LogNormal(0, 0.5)"},
    explained,
    {"z1": [1.0], "z2": [0.0], "z3": [0.5], "z4": [-1.0], "g": ["new"]},
    strategy="whitened",
)


def neighbours() -> pd.DataFrame:
    """The pairs of neighbours of a grid of 7 by 7 areas."""
    cells = np.arange(49).reshape(7, 7)
    pairs = [(cells[:, :-1].ravel(), cells[:, 1:].ravel()), (cells[:-1].ravel(), cells[1:].ravel())]
    first, second = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return pd.DataFrame({"area": [f"a{i:02}" for i in first], "neighbour": [f"a{j:02}" for j in second]})


def counted_areas() -> pd.DataFrame:
    """Two rows of each of those areas but one in the middle."""
    rng = np.random.default_rng(18)
    area = np.repeat([f"a{i:02}" for i in range(49) if i != 24], 2)
    return pd.DataFrame({"area": area, "x": rng.normal(size=len(area)), "y": rng.integers(0, 3, len(area))})


def animals() -> pd.DataFrame:
    """48 animals of 16 pairs of parents, of whom 4 are animals themselves: a row each."""
    rows = [(f"c{pair:02}.{k}", f"s{pair:02}", f"d{pair // 2:02}") for pair in range(12) for k in range(3)]
    rows += [(f"i{pair}.{k}", f"c{pair:02}.0", f"c{pair + 6:02}.1") for pair in range(4) for k in range(3)]
    return pd.DataFrame(rows, columns=["animal", "sire", "dam"])


def weighed_animals() -> pd.DataFrame:
    """Two records of each but one."""
    rng = np.random.default_rng(19)
    animal = np.repeat(animals()["animal"].to_numpy()[:-1], 2)
    return pd.DataFrame(
        {"animal": animal, "x": rng.normal(size=len(animal)), "y": rng.normal(size=len(animal))}
    )


def abundances() -> pd.DataFrame:
    """Counts of 4 species at 20 sites."""
    rng = np.random.default_rng(20)
    site, kind = np.repeat([f"s{i:02}" for i in range(20)], 4), np.tile(list("abcd"), 20)
    return pd.DataFrame({"site": site, "kind": kind, "x": rng.normal(size=80), "y": rng.integers(0, 3, 80)})


RELATED = (
    Setting(
        "areas",
        'y ~ x + (1 | gr(area, car=W, type="bym2"))',
        {"Intercept": "Normal(0.5, 0.5)", "b": "Normal(0, 0.5)", "sd": "Gamma(4, 5)", "rho": "Uniform(0, 1)"},
        counted_areas,
        {"x": [1.0], "area": ["a24"]},
        family="poisson",
        strategy="whitened",
        data2={"W": neighbours()},
    ),
    Setting(
        "pedigree",
        "y ~ x + (1 | gr(animal, cov=A))",
        {"Intercept": "Normal(0, 1)", "b": "Normal(0, 1)", "sd": "Gamma(4, 4)", "sigma": "LogNormal(0, 0.5)"},
        weighed_animals,
        {"x": [1.0], "animal": ["i3.2"]},
        strategy="whitened",
        data2={"A": hb.pedigree(animals())},
    ),
    Setting(
        "reduced-rank",
        "y ~ x + rr(0 + kind | site, d=1)",
        {"Intercept": "Normal(0.5, 0.5)", "b": "Normal(0, 0.5)", "loadings": "Normal(0, 0.7)"},
        abundances,
        {"x": [1.0], "kind": ["c"], "site": ["new"]},
        family="poisson",
        strategy="whitened",
    ),
)


def growing() -> pd.DataFrame:
    """10 trees, their girths measured seven times in four years."""
    rng = np.random.default_rng(18)
    ages = np.array([0.3, 1.3, 1.8, 2.7, 3.4, 3.8, 4.3])
    age = (ages + rng.uniform(-0.1, 0.1, (10, 7))).ravel()
    tree = np.repeat([f"t{level}" for level in range(10)], 7)
    return pd.DataFrame({"age": age, "tree": tree, "y": np.linspace(30, 200, 70)})


def logistic(age: float, asym: float, mid: float, pace: float) -> float:
    """Girth at an age: half of `asym` at the age `mid`."""
    return asym / (1.0 + math.exp((mid - age) / math.exp(pace)))


GROWTH = Setting(
    "growth",
    {
        "mu": "y ~ nl(asym / (1 + exp((mid - age) / exp(pace))))",
        "asym": "~ 1 + (1 | tree)",
        "mid": "~ 1 + (1 | tree)",
        "pace": "~ 1",
    },
    {"asym.Intercept": "Normal(190, 25)", "asym.sd": "Gamma(4, 0.2)", "mid.Intercept": "Normal(2, 0.3)"}
    | {"mid.sd": "HalfNormal(0.3)", "pace.Intercept": "Normal(0, 0.3)", "sigma": "Gamma(4, 0.5)"},
    growing,
    {"age": [3.0], "tree": ["new"]},
    strategy="whitened",
    curve=logistic,
)


INTERCEPTS = {name: prior for name, prior in MODEST.items() if name != "cor"}


def categorised(names: str, *, ordered: bool) -> Callable[[pd.DataFrame, np.ndarray], pd.DataFrame]:
    """Rows whose response is one of so many categories, whether or not each was drawn."""

    def observe(rows: pd.DataFrame, codes: np.ndarray) -> pd.DataFrame:
        return rows.assign(y=pd.Categorical.from_codes(np.int64(codes), list(names), ordered=ordered))

    return observe


def censored(rows: pd.DataFrame, time: np.ndarray) -> pd.DataFrame:
    """Times of which none beyond 2 was seen."""
    return rows.assign(y=np.minimum(time, 2.0), beyond=(time > 2.0).astype(int))


KINDS = (
    Setting(
        "ordinal",
        {"mu": "y ~ x + (1 | g)", "disc": "~ 0 + x"},
        {
            "thresholds": "Normal(0, 1.5)",
            "b": "Normal(0, 0.5)",
            "sd": "HalfNormal(0.6)",
            "disc.b": "Normal(0, 0.3)",
        },
        responding([0, 1, 2, 3]),
        None,
        "cumulative",
        "whitened",
        observe=categorised("abcd", ordered=True),
    ),
    Setting(
        "ordinal-steps",
        "y ~ x + (1 | g)",
        {"thresholds": "Normal(0, 1)", "b": "Normal(0, 0.5)", "sd": "HalfNormal(0.6)"},
        responding([0, 1, 2, 3]),
        None,
        "sratio",
        "whitened",
        observe=categorised("abcd", ordered=True),
    ),
    Setting(
        "categories",
        {"mu": "y ~ x + (1 | g)", "muc": "~ 1"},
        {"mub.Intercept": "Normal(0, 0.4)", "mub.b": "Normal(0, 0.3)", "mub.sd": "HalfNormal(0.6)"}
        | {"muc.Intercept": "Normal(0, 0.4)"},  # no category without a row
        responding([0, 1, 2]),
        None,
        "categorical",
        "whitened",
        observe=categorised("abc", ordered=False),
    ),
    Setting(
        "zero-inflated",
        {"mu": "y ~ x + (x | g)", "zi": "~ x"},
        MODEST | {"zi.Intercept": "Normal(-1, 1)", "zi.b": "Normal(0, 0.5)"},
        responding([0, 1, 2]),
        None,
        "zero_inflated_poisson",
        "whitened",
    ),
    Setting(
        "hurdle",
        {"mu": "y ~ x + (1 | g)", "hu": "~ x + (1 | g)"},
        INTERCEPTS
        | {"hu.Intercept": "Normal(-1, 1)", "hu.b": "Normal(0, 0.5)", "hu.sd": "HalfNormal(0.6)"}
        | {"sigma": "LogNormal(-0.5, 0.3)"},
        responding([0.0, 1.0, 2.0]),
        None,
        "hurdle_lognormal",
        "whitened",
    ),
    Setting(
        "censored",
        "y | cens(beyond) ~ x + (1 | g)",
        INTERCEPTS | {"shape": "Gamma(6, 4)"},
        responding([0.5, 3.0]),
        None,
        "weibull",
        "whitened",
        observe=censored,
    ),
    Setting(
        "shift",
        "y ~ x + (1 | g)",
        INTERCEPTS | {"sigma": "LogNormal(-0.5, 0.3)", "ndt": "Gamma(4, 8)"},
        responding([1.0, 2.0]),
        None,
        "shifted_lognormal",
        "whitened",
    ),
    Setting(
        "mixture",
        {"mu": "y ~ x + (1 | g)", "mu2": "~ 1"},
        {"mu1.Intercept": "Normal(-2, 0.7)", "mu2.Intercept": "Normal(2, 0.7)", "mu1.b": "Normal(0, 0.5)"}
        | {"mu1.sd": "HalfNormal(0.6)", "sigma1": "LogNormal(0, 0.3)", "sigma2": "LogNormal(0, 0.3)"}
        | {"theta2": "Beta(3, 3)"},
        responding([-2.0, 2.0], 12),
        None,
        "mixture(gaussian, gaussian)",
        "whitened",
    ),
)


def series() -> pd.DataFrame:
    """12 groups of 12 times with gaps."""
    rng = np.random.default_rng(21)
    g, t = np.repeat(np.arange(12), 12), np.tile(np.arange(12), 12)
    seen = rng.random(g.size) < 0.7
    g, t = g[seen], t[seen]
    group = [f"g{i:02}" for i in g]
    return pd.DataFrame({"g": group, "t": t, "x": rng.normal(size=g.size), "y": np.resize([0, 1, 2], g.size)})


LINEAR = {"Intercept": "Normal(0, 1)", "b": "Normal(0, 1)", "sigma": "LogNormal(0, 0.3)"}
GROUPED = LINEAR | {"sd": "Gamma(4, 4)"}

STRUCTURES = (
    Setting("ar1", "y ~ x + ar1(0 + t | g)", GROUPED | {"rho": "Uniform(-1, 1)"}, series, None),
    Setting(
        "ar1-counts",
        "y ~ x + ar1(0 + t | g)",
        {"Intercept": "Normal(1, 0.5)", "b": "Normal(0, 0.3)", "sd": "Gamma(6, 10)", "rho": "Beta(3, 2)"},
        series,
        None,
        "poisson",
        "whitened",
    ),
    Setting(
        "cs",
        "y ~ x + cs(1 + x | g)",
        GROUPED | {"rho": "Uniform(-1, 1)"},
        one_factor,
        {"x": [4.0], "g": ["new"]},
    ),
    Setting("residuals", "y ~ x + ar(t, g)", LINEAR | {"ar": "Uniform(-1, 1)"}, series, None),
    Setting(
        "student-levels",
        'y ~ x + (1 | gr(g, dist="student"))',
        GROUPED | {"df": "Gamma(4, 0.5)"},
        one_factor,
        None,
        strategy="whitened",
        options={"target_accept": 0.95},
    ),
    Setting(
        "across",
        {"mu": "y ~ x + (x |p| g)", "sigma": "~ 1 + (1 |p| g)"},
        {"Intercept": "Normal(0, 1)", "b": "Normal(0, 1)", "sd": "Gamma(4, 4)", "cor": "LKJ(2)"}
        | {"sigma.Intercept": "Normal(0, 0.3)", "sigma.sd": "HalfNormal(0.5)"},
        one_factor,
        None,
        strategy="whitened",
        options={"target_accept": 0.95},
    ),
)


def answered() -> pd.DataFrame:
    """16 groups with two responses."""
    rows = one_factor()
    return rows.assign(y2=-rows["y"], count=np.resize([0, 1, 2], len(rows)))


BOTH = {"Intercept": "Normal(0, 1)", "b": "Normal(0, 0.5)", "sd": "Gamma(4, 6)", "cor": "LKJ(2)"}
SEVERAL = (
    Setting(
        "two-responses",
        ["y ~ x + (1 |p| g)", "y2 ~ x + (1 |p| g)"],
        BOTH | {"sigma": "LogNormal(0, 0.3)", "rescor": "LKJ(2)"},
        answered,
        None,
        rescor=True,
        strategy="whitened",
    ),
    Setting(
        "number-and-count",
        ["y ~ x + (1 |p| g)", "count ~ x + (1 |p| g)"],
        BOTH | {"y.sigma": "LogNormal(0, 0.3)"},
        answered,
        None,
        ["gaussian", "poisson"],
        "whitened",
    ),
)


def wavy() -> pd.DataFrame:
    """14 groups and a predictor over an interval."""
    rows = responding([0.0, 1.0], 12)()
    return rows.assign(z=np.random.default_rng(22).uniform(0, 10, len(rows)))


CURVES = (
    Setting("smooth", "y ~ s(z, k=8) + (1 | g)", GROUPED | {"sds": "Gamma(4, 2)"}, wavy, None),
    Setting(
        "smooth-counts",
        "y ~ s(z, k=8) + (1 | g)",
        {"Intercept": "Normal(1, 0.5)", "b": "Normal(0, 0.3)", "sd": "HalfNormal(0.4)", "sds": "Gamma(3, 3)"},
        wavy,
        None,
        "poisson",
        "whitened",
    ),
    Setting(
        "process",
        "y ~ gp(z, k=15) + (1 | g)",
        {"Intercept": "Normal(0, 1)", "sd": "Gamma(4, 4)", "sigma": "LogNormal(0, 0.3)"}
        | {"sdgp": "Gamma(4, 4)", "lscale": "InverseGamma(5, 1)"},
        wavy,
        None,
    ),
)

SETTINGS = {
    setting.name: setting
    for setting in (
        *(*GAUSSIAN, MONOTONIC, CLIMBING, EXPLAINED, GROWTH, *FAMILIES),
        *(*RELATED, *KINDS, *STRUCTURES, *SEVERAL, *CURVES),
    )
}
