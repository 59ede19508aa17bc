"""The table of prior distributions: what each takes, its log density, its draws."""

import difflib
import math
import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.special import (
    betaln,
    gammaln,
    xlog1py,
    xlogy,
)

from hierbayes import truncation
from hierbayes.errors import PriorError
from hierbayes.spelling import meant
from hierbayes.truncation import Truncation

type Array = NDArray[np.float64]
type Size = int | tuple[int, ...] | None
type Support = Literal["real", "positive", "unit", "correlation", "simplex", "coefficients"]
SEVERAL = ("correlation", "simplex")  # supports of several numbers together

# Words that users try for a parameter of each role. Domains and defaults follow from roles too: check, bind.
_WORDS = {
    "location": ("loc", "location", "mean", "median", "mu"),
    "scale": ("scale", "sd", "std", "stdev", "sigma"),
    "rate": ("rate", "lam", "lambda"),
    "shape": ("shape", "concentration", "k"),
    "df": ("df", "dof", "nu"),
}


@dataclass(frozen=True)
class Distribution:
    """Everything known of one distribution; a new one is one more record in ``DISTRIBUTIONS``."""

    name: str  # PyMC's
    parameters: tuple[str, ...]  # PyMC's argument names in PyMC's positional order (Fixed is none of PyMC's)
    roles: tuple[
        str, ...
    ]  # of the parameters: keys of _WORDS, "lower", "upper", "factor", "value", "share", "switch"
    support: Support  # of a Uniform it depends on the arguments: see Prior.support
    code: int  # for compiled kernels; never reused
    density: Callable[..., Any] = field(repr=False)  # (x, *arguments): log density inside the support
    draw: Callable[..., Any] | None = field(repr=False)  # (rng, *arguments, size=...); None if improper
    scaled: Callable[[float, float], dict[str, float]] | None = field(repr=False)  # for a bare name
    aliases: tuple[str, ...] = ()  # lower case, no underscores
    closed: bool = True  # False: the density is 0 at the lower end itself, though not at a bound above it
    tail: Callable[..., float] = lambda *arguments: 0.0  # k of its upper tail, which falls as x^(-1/k)
    each: bool = False  # True: its one parameter may be given for each element, a1, a2, …
    defaults: Mapping[str, float | None] = field(default_factory=dict, repr=False)  # None: may be absent
    whole: str = ""  # the one of PyMC's of which it is what lies between bounds, where PyMC has no such name
    inside: str = ""  # the one here that it is between bounds, of which either may be absent
    share: Callable[..., float] | None = field(default=None, repr=False)  # then: log probability between them

    def bounds(self, **args: Any) -> tuple[Any, Any]:
        """Lower and upper end of the support, given the arguments."""
        lowest = 0.0 if self.support in ("positive", "unit") else -math.inf
        highest = 1.0 if self.support == "unit" else math.inf
        return np.maximum(args.get("lower", lowest), lowest), np.minimum(args.get("upper", highest), highest)

    def check(self, **args: Any) -> None:
        """Raise PriorError unless the arguments are finite numbers in the parameters' domain."""
        for name, role in zip(self.parameters, self.roles, strict=True):
            if name not in args:  # may be absent
                continue
            if role == "switch":
                if args[name] not in (0, 1):
                    raise PriorError(f"{self.name}: {name} must be True or False, not {args[name]!r}.")
                continue
            if isinstance(args[name], bool) or not isinstance(args[name], numbers.Real):
                raise PriorError(f"{self.name}: {name} must be one number, not {args[name]!r}.")
            value = float(args[name])
            if not math.isfinite(value):
                raise PriorError(f"{self.name}: {name} must be finite, not {value}.")
            if value <= 0 and role not in ("location", "lower", "upper", "value"):
                raise PriorError(f"{self.name}: {name} must be positive, not {value}.")
            if value >= 1 and role == "share":
                raise PriorError(f"{self.name}: {name} must lie between 0 and 1, not {value}.")
        lower, upper = self.bounds(**args)
        if not lower < upper:
            raise PriorError(f"{self.name}: lower must be below upper, but {lower} >= {upper}.")

    def bind(self, values: tuple[object, ...], named: Mapping[str, object]) -> dict[str, float]:
        """Checked arguments in PyMC's order, from a call's arguments; {} for a bare name."""
        takes = f"{self.name} takes {', '.join(self.parameters) or 'no arguments'}"
        if self.each and len(values) > 1 and not named:
            return self._bind_each(values)
        if len(values) > len(self.parameters):
            raise PriorError(f"{takes}; found {len(values)} arguments.")
        given: dict[str, Any] = dict(zip(self.parameters, values, strict=False))
        for word, value in named.items():
            if word not in self.parameters:
                raise PriorError(f"{self.name} has no parameter {word!r}; {self._hint(word.lower())}")
            if word in given:
                raise PriorError(f"{self.name}: {word} is given twice, by position and by name.")
            given[word] = value
        if not given and self.scaled is not None:
            return {}
        given = {name: value for name, value in self.defaults.items() if value is not None} | given
        for name, role in zip(self.parameters, self.roles, strict=True):
            if name not in given and role != "location" and name not in self.defaults:
                way_out = f" Write {self.name} alone for a default scale." if self.scaled else ""
                raise PriorError(f"{takes}; {name} is missing.{way_out}")
            if name not in self.defaults:
                given.setdefault(name, 0.0)
        self.check(**given)
        return {
            name: float(given[name]) + 0.0 for name in self.parameters if name in given
        }  # -0.0 becomes 0.0

    def _bind_each(self, values: tuple[object, ...]) -> dict[str, float]:
        """Checked arguments of the one parameter, an element each."""
        (name,) = self.parameters
        for value in values:
            self.check(**{name: value})
        return {f"{name}{place}": float(value) + 0.0 for place, value in enumerate(values, 1)}  # type: ignore[arg-type]

    def _hint(self, word: str) -> str:
        name_of = dict(zip(self.roles, self.parameters, strict=True))
        meant = [name_of[role] for role, words in _WORDS.items() if word in words and role in name_of]
        meant += difflib.get_close_matches(word, self.parameters, n=1)
        if word == "scale" and "rate" in name_of:
            meant = [f"{name_of['rate']} = 1/scale"]
        way_out = f" Did you mean {meant[0]}?" if meant else ""
        return f"it has {', '.join(self.parameters) or 'none'}.{way_out}"

    def logpdf(self, x: ArrayLike, **args: Any) -> Array:
        """Log density at `x` (for LKJ, matrices (..., q, q), for Dirichlet (..., q)), -inf outside; broadcasts."""
        x = np.asarray(x, dtype=float)
        values = self._values(args)
        if self.support in SEVERAL:
            return np.asarray(self.density(x, *values))[()]
        lower, upper = self.bounds(**args)
        inside = np.isfinite(x) & (x >= lower) & (x <= upper)
        if not self.closed:
            inside &= x > self.bounds()[0]
        with np.errstate(over="ignore", invalid="ignore"):  # nan stands in for what is outside
            value = self.density(np.where(inside, x, np.nan), *values)
        return np.where(inside | np.isnan(x), value, -np.inf)[()]

    def _values(self, args: Mapping[str, Any]) -> list[Any]:
        """What the density and the draws are given: one that may be absent as None, where it is."""
        return [np.array(list(args.values()))] if self.each else [args.get(name) for name in self.parameters]

    def sample(self, rng: Generator, size: Size = None, *, dimension: int = 0, **args: Any) -> Array:
        """Draws of shape `size`; LKJ and Dirichlet, and they alone, need ``dimension=q`` and add two axes or one."""
        if self.draw is None:
            raise PriorError(f"{self.name}() is improper, so it cannot be simulated; give a proper prior.")
        if (dimension > 0) != (self.support in SEVERAL):
            raise PriorError(f"{self.name}: dimension goes with LKJ and Dirichlet, and with them alone.")
        given = self._values(args)
        values = given + [dimension] * (dimension > 0)
        with np.errstate(divide="ignore", over="ignore"):  # a tiny alpha of InverseGamma: beyond any float
            return np.asarray(self.draw(rng, *values, size=size), dtype=float)[()]


def _normal(x: Array, mu: Any, sigma: Any) -> Any:
    return -0.5 * ((x - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * math.log(2 * math.pi)


def _student_t(x: Array, nu: Any, mu: Any, sigma: Any) -> Any:
    constant = -betaln(nu / 2, 0.5) - 0.5 * np.log(nu) - np.log(sigma)  # gammaln cancels for large nu
    return constant - (nu + 1) / 2 * np.log1p(((x - mu) / sigma) ** 2 / nu)


def _between(
    name: str, code: int, whole: Distribution, cut: Truncation, of_pymc: bool = False
) -> Distribution:
    """What of a distribution lies between bounds, of which either may be absent: None."""

    def ends(lower: float | None, upper: float | None) -> tuple[float, float]:
        stated = {word: end for word, end in (("lower", lower), ("upper", upper)) if end is not None}
        return found.bounds(**stated)

    def share(*arguments: Any) -> float:
        *own, lower, upper = arguments
        try:
            return cut.log_share(*ends(lower, upper), *own)
        except PriorError:
            stated = ", ".join(f"{word}={value:g}" for word, value in zip(whole.parameters, own, strict=True))
            raise PriorError(f"nothing of {whole.name}({stated}) lies between {lower} and {upper}") from None

    def density(x: Array, *arguments: Any) -> Any:
        return whole.density(x, *arguments[:-2]) - share(*arguments)

    def draw(rng: Generator, *arguments: Any, size: Size) -> Array:
        *own, lower, upper = arguments
        return cut.draw(rng, *ends(lower, upper), *own, size=size)

    found = Distribution(
        name, (*whole.parameters, "lower", "upper"), (*whole.roles, "lower", "upper"), whole.support, code, density,
        draw, None, closed=whole.closed, defaults={"lower": None, "upper": None},
        whole=whole.name, inside=whole.name, share=share,
    )  # fmt: skip
    return found


def _lkj(x: Array, eta: Any) -> Any:
    """Density of the entries below the diagonal: Lewandowski, Kurowicka and Joe (2009), eq. 15 and 16."""
    valid = np.isclose(x, np.swapaxes(x, -1, -2)).all((-2, -1))  # False where an entry is not a number
    valid &= np.isclose(np.diagonal(x, axis1=-2, axis2=-1), 1).all(-1)
    eigenvalues = np.linalg.eigvalsh(np.where(valid[..., None, None], x, np.eye(x.shape[-1])))
    valid &= (eigenvalues > 0).all(-1)
    value = (eta - 1) * np.log(np.where(valid[..., None], eigenvalues, 1.0)).sum(-1)
    for k in range(1, x.shape[-1]):
        b = eta + (k - 1) / 2
        value = value - k * ((2 * b - 1) * math.log(2) + betaln(b, b))
    return np.where(valid, value, -np.inf)


def equal_correlations(value: float, dimension: int) -> Array:
    """The (q, q) matrix whose correlations all have one value, which must lie above −1 / (q − 1).

    Examples
    --------
    >>> equal_correlations(0.5, 2).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    return np.where(np.eye(dimension, dtype=bool), 1.0, value)


def _draw_lkj(rng: Generator, eta: float, dimension: int, size: Size) -> Array:
    """Onion method of the same paper (J. Multivariate Anal. 100, 1989-2001), row by row of the factor."""
    shape = () if size is None else tuple(np.atleast_1d(size))
    factor = np.tile(np.eye(dimension), (*shape, 1, 1))
    for k in range(1, dimension):
        direction = rng.standard_normal((*shape, k))
        squared = rng.beta(k / 2, eta + (dimension - 1 - k) / 2, size=shape)
        factor[..., k, :k] = direction * np.sqrt(squared / (direction**2).sum(-1))[..., None]
        factor[..., k, k] = np.sqrt(1 - squared)
    matrix: Array = np.einsum("...ij,...kj->...ik", factor, factor)
    matrix[..., range(dimension), range(dimension)] = 1.0
    return matrix


def _dirichlet(x: Array, a: Array) -> Any:
    """Density of the elements but one: a concentration for all, or one each."""
    a = np.broadcast_to(a, x.shape[-1:])
    inside = (x >= 0).all(-1) & np.isclose(x.sum(-1), 1)
    value = gammaln(a.sum()) - gammaln(a).sum() + xlogy(a - 1, np.where(inside[..., None], x, 1.0)).sum(-1)
    return np.where(inside, value, -np.inf)


def _draw_dirichlet(rng: Generator, a: Array, dimension: int, size: Size) -> Array:
    return rng.dirichlet(np.broadcast_to(a, (dimension,)), size)


# fmt: off
DISTRIBUTIONS = {record.name: record for record in (
    Distribution("Flat", (), (), "real", 0, lambda x: 0.0 * x, None, None, tail=lambda: math.inf),
    Distribution("HalfFlat", (), (), "positive", 1, lambda x: 0.0 * x, None, None, tail=lambda: math.inf),
    Distribution("Uniform", ("lower", "upper"), ("lower", "upper"), "real", 2,
        lambda x, lower, upper: 0.0 * x - np.log(upper - lower), Generator.uniform, None),
    Distribution("Normal", ("mu", "sigma"), ("location", "scale"), "real", 3, _normal, Generator.normal,
        lambda location, scale: {"mu": location, "sigma": scale}, ("gaussian",)),
    Distribution("StudentT", ("nu", "mu", "sigma"), ("df", "location", "scale"), "real", 4, _student_t,
        lambda rng, nu, mu, sigma, size: mu + sigma * rng.standard_t(nu, size),
        lambda location, scale: {"nu": 3.0, "mu": location, "sigma": scale}, ("t", "student"),
        tail=lambda nu, mu, sigma: 1 / nu),
    Distribution("Cauchy", ("alpha", "beta"), ("location", "scale"), "real", 5,
        lambda x, alpha, beta: _student_t(x, 1.0, alpha, beta),
        lambda rng, alpha, beta, size: alpha + beta * rng.standard_cauchy(size),
        lambda location, scale: {"alpha": location, "beta": scale}, tail=lambda alpha, beta: 1.0),
    Distribution("Laplace", ("mu", "b"), ("location", "scale"), "real", 6,
        lambda x, mu, b: -np.abs(x - mu) / b - np.log(2 * b), Generator.laplace,
        lambda location, scale: {"mu": location, "b": scale}, ("doubleexponential",)),
    Distribution("Logistic", ("mu", "s"), ("location", "scale"), "real", 7,
        lambda x, mu, s: -np.logaddexp(0, (x - mu) / s) - np.logaddexp(0, (mu - x) / s) - np.log(s),
        Generator.logistic, lambda location, scale: {"mu": location, "s": scale}),
    Distribution("Exponential", ("lam",), ("rate",), "positive", 8, lambda x, lam: np.log(lam) - lam * x,
        lambda rng, lam, size: rng.exponential(1 / lam, size), lambda _, scale: {"lam": 1 / scale}, ("exp",)),
    Distribution("HalfNormal", ("sigma",), ("scale",), "positive", 9,
        lambda x, sigma: math.log(2) + _normal(x, 0.0, sigma),
        lambda rng, sigma, size: np.abs(rng.normal(0.0, sigma, size)), lambda _, scale: {"sigma": scale}),
    Distribution("HalfStudentT", ("nu", "sigma"), ("df", "scale"), "positive", 10,
        lambda x, nu, sigma: math.log(2) + _student_t(x, nu, 0.0, sigma),
        lambda rng, nu, sigma, size: np.abs(sigma * rng.standard_t(nu, size)),
        lambda _, scale: {"nu": 3.0, "sigma": scale}, ("halft", "halfstudent"), tail=lambda nu, sigma: 1 / nu),
    Distribution("HalfCauchy", ("beta",), ("scale",), "positive", 11,
        lambda x, beta: math.log(2) + _student_t(x, 1.0, 0.0, beta),
        lambda rng, beta, size: np.abs(beta * rng.standard_cauchy(size)), lambda _, scale: {"beta": scale},
        tail=lambda beta: 1.0),
    Distribution("Gamma", ("alpha", "beta"), ("shape", "rate"), "positive", 12,
        lambda x, alpha, beta: xlogy(alpha - 1, x) - beta * x + alpha * np.log(beta) - gammaln(alpha),
        lambda rng, alpha, beta, size: rng.gamma(alpha, 1 / beta, size),
        lambda _, scale: {"alpha": 2.0, "beta": 2 / scale}),  # mean = scale, density 0 at 0
    Distribution("InverseGamma", ("alpha", "beta"), ("shape", "factor"), "positive", 13,
        lambda x, alpha, beta: alpha * np.log(beta) - gammaln(alpha) - (alpha + 1) * np.log(x) - beta / x,
        lambda rng, alpha, beta, size: beta / rng.gamma(alpha, size=size),
        lambda _, scale: {"alpha": 3.0, "beta": 2 * scale}, ("invgamma",), False,  # mean = sd = scale
        tail=lambda alpha, beta: 1 / alpha),
    Distribution("LogNormal", ("mu", "sigma"), ("location", "scale"), "positive", 14,
        lambda x, mu, sigma: _normal(np.log(x), mu, sigma) - np.log(x), Generator.lognormal,
        lambda _, scale: {"mu": math.log(scale), "sigma": 1.0}, (), False),
    Distribution("Beta", ("alpha", "beta"), ("shape", "shape"), "unit", 17,
        lambda x, alpha, beta: xlogy(alpha - 1, x) + xlog1py(beta - 1, -x) - betaln(alpha, beta), Generator.beta,
        lambda _, __: {"alpha": 1.0, "beta": 1.0}),
    Distribution("LKJ", ("eta",), ("shape",), "correlation", 15, _lkj, _draw_lkj,
        lambda _, __: {"eta": 1.0}, ("lkjcorr",)),
    Distribution("Dirichlet", ("a",), ("shape",), "simplex", 18, _dirichlet, _draw_dirichlet,
        lambda _, __: {"a": 1.0}, each=True),
    Distribution("Fixed", ("value",), ("value",), "real", 16,
        lambda x, value: np.where(x == value, 0.0, -np.inf), lambda rng, value, size: np.full(size or (), value), None,
        ("constant", "delta", "dirac")),
)}
DISTRIBUTIONS |= {record.name: record for record in (
    _between("TruncatedNormal", 19, DISTRIBUTIONS["Normal"], truncation.NORMAL),
    _between("TruncatedStudentT", 23, DISTRIBUTIONS["StudentT"], truncation.STUDENT_T),
    _between("TruncatedCauchy", 24, DISTRIBUTIONS["Cauchy"], truncation.CAUCHY),
    _between("TruncatedLaplace", 25, DISTRIBUTIONS["Laplace"], truncation.LAPLACE),
    _between("TruncatedLogistic", 26, DISTRIBUTIONS["Logistic"], truncation.LOGISTIC),
    _between("TruncatedGamma", 22, DISTRIBUTIONS["Gamma"], truncation.GAMMA),
    _between("TruncatedInverseGamma", 27, DISTRIBUTIONS["InverseGamma"], truncation.INVERSE_GAMMA),
    _between("TruncatedExponential", 28, DISTRIBUTIONS["Exponential"], truncation.EXPONENTIAL),
    _between("TruncatedLogNormal", 29, DISTRIBUTIONS["LogNormal"], truncation.LOGNORMAL),
    _between("TruncatedBeta", 30, DISTRIBUTIONS["Beta"], truncation.BETA),
)}
# Those above 0 that are a half of one of real numbers about 0: its name, and its location's
HALVES = {"HalfNormal": ("Normal", "mu"), "HalfStudentT": ("StudentT", "mu"), "HalfCauchy": ("Cauchy", "alpha")}
MIDDLES = dict(HALVES.values())  # of those: what they call their location
# fmt: on


def _of_several(x: Any, *arguments: Any, **more: Any) -> Any:
    raise PriorError("a joint prior says nothing of one quantity alone: see structures.shrinkage")


# Joint priors of coefficients and standard deviations, with brms's arguments and defaults: what they say is in
# `structures.shrinkage`; `main` marks the class of several whose arguments hold for all
JOINT = {
    record.name: record
    for record in (
        Distribution(
            "Horseshoe",
            ("df", "scale_global", "df_global", "scale_slab", "df_slab", "par_ratio", "autoscale", "main"),
            ("df", "scale", "df", "scale", "df", "shape", "switch", "switch"),
            "coefficients",
            20,
            _of_several,
            _of_several,
            None,
            ("hs", "regularisedhorseshoe", "regularizedhorseshoe"),
            defaults={
                "df": 1.0, "scale_global": 1.0, "df_global": 1.0, "scale_slab": 2.0, "df_slab": 4.0, "par_ratio": None,
                "autoscale": 1.0, "main": None,
            },
        ),
        Distribution(
            "R2D2",
            ("mean_R2", "prec_R2", "cons_D2", "autoscale", "main"),
            ("share", "shape", "shape", "switch", "switch"),
            "coefficients",
            21,
            _of_several,
            _of_several,
            None,
            defaults={"mean_R2": 0.5, "prec_R2": 2.0, "cons_D2": 0.5, "autoscale": 1.0, "main": None},
        ),
    )
}  # fmt: skip
RECORDS = {**DISTRIBUTIONS, **JOINT}
TRUNCATED = {record.inside: record for record in DISTRIBUTIONS.values() if record.inside}
BOUNDS = {"lower": "lower", "upper": "upper", "lb": "lower", "ub": "upper"}  # brms's names too
_NAMES = {word: name for name, record in RECORDS.items() for word in (name.lower(), *record.aliases)}


def find_distribution(name: str) -> Distribution:
    """The record of that name, matched without case, underscores and hyphens; PriorError if there is none."""
    word = re.sub(r"[_\s-]", "", str(name)).lower()
    if word not in _NAMES:
        near = dict.fromkeys(_NAMES[match] for match in meant(word, _NAMES))
        names = f"the nearest: {', '.join(near) or 'none'}; all: {', '.join(RECORDS)}"
        raise PriorError(f"No prior distribution {name!r} ({names}).")
    return RECORDS[_NAMES[word]]
