"""Laws of a level's effects: what their distribution is, given their standard deviations and correlations.

Normal effects are Λz with independent standard normal z. Student's are Λz √u, with one u ~ InverseGamma(ν/2, ν/2) a
level: a multivariate t with ν degrees of freedom and the scale matrix ΛΛ', whose effects are far out together. Given
the other effects of its level an effect is t again, with a larger scale the further these are out (Kotz & Nadarajah
2004, Multivariate t Distributions and Their Applications, sections 1.1 and 1.11).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.structures.record import POSITIVE, StructureParameter

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Law:
    """A law of q standard effects of a level, those that Λ makes the effects of: their distribution is spherical.

    What its functions are given behind other arguments are the parameters, arrays of one shape.

    Attributes
    ----------
    name : str
        What ``dist=`` calls it.
    words : str
        Of a model's description; "" for the normal one.
    single, several : str
        The distributions of one effect and of several in a model's equations, ``"{sd}"`` and ``"{covariance}"``
        standing for their scale, ``"{df}"`` for the parameter.
    log_ratio : callable
        ``log_ratio(square, q, …)``: the log density less that of standard normal effects, of the sum of their squares.
    weight : callable
        ``weight(square, q, …)``: the slope of the log density is minus the effects times this.
    variance : callable
        ``variance(…)``: of a standard effect; infinite where it has none.
    stretch : callable
        ``stretch(rng, square, q, …)``: what standard normal numbers are multiplied by, drawn anew for each entry of
        `square`. Given q effects of the level, whose sum of squares that is, they are more of its effects; with q = 0
        they are a level's first.
    normal_scores : callable
        ``normal_scores(values, …)``: standard effects as the normal numbers of the same probability.
    radius : callable
        ``radius(prob, …)``: of the circle about 0 that holds so much of the distribution of two standard effects.
    graph : callable
        ``graph(pm, name, root, shape, …, **options)``: PyMC's variable of effects with this root (q, q).
    parameters : tuple of StructureParameter
    """

    name: str
    words: str
    single: str
    several: str
    log_ratio: Callable[..., Any]
    weight: Callable[..., Any]
    variance: Callable[..., Any]
    stretch: Callable[..., Any]
    normal_scores: Callable[..., Any]
    radius: Callable[..., float]
    graph: Callable[..., Any]
    parameters: tuple[StructureParameter, ...] = ()

    @property
    def normal(self) -> bool:
        """Whether it is the normal one."""
        return not self.parameters


def _normal_graph(pm: Any, name: str, root: Any, shape: tuple[int, int], **options: Any) -> Any:
    return pm.MvNormal(name, mu=np.zeros(shape[1]), chol=root, **(options or {"shape": shape}))


# -- Student's t ----------------------------------------------------------------------------------------------------


def log_ratio(square: Array, q: int, df: Array) -> Array:
    """Density of the multivariate t over that of the normal: Kotz & Nadarajah (2004), equation 1.1.

    Examples
    --------
    >>> from scipy import stats
    >>> z = np.array([0.3, -1.2])
    >>> expected = stats.multivariate_t(shape=np.eye(2), df=4.0).logpdf(z) - stats.norm.logpdf(z).sum()
    >>> bool(np.isclose(log_ratio(z @ z, 2, np.array(4.0)), expected))
    True
    """
    from scipy import special

    rise = special.gammaln(q / 2) - special.betaln(df / 2, q / 2)  # of log Γ, which cancels for large df
    constant = rise - 0.5 * q * np.log(df / 2)
    found: Array = constant + 0.5 * square - 0.5 * (df + q) * np.log1p(square / df)
    return found


def weight(square: Array, q: int, df: Array) -> Array:
    """How much less a level is drawn to 0 than a normal one: below 1 where it is far out."""
    found: Array = (df + q) / (df + square)
    return found


def variance(df: Array) -> Array:
    """Infinite for two degrees of freedom or fewer.

    Examples
    --------
    >>> variance(np.array([4.0, 2.0]))
    array([ 2., inf])
    """
    df = np.asarray(df, np.float64)
    return np.divide(df, df - 2, out=np.full(df.shape, np.inf), where=df > 2)


def stretch(rng: np.random.Generator, square: Array, q: int, df: Array) -> Array:
    """√u: given effects with this sum of squares u is InverseGamma((ν + q)/2, (ν + square)/2)."""
    freedom = np.broadcast_to(df + q, np.shape(square))
    found: Array = np.sqrt((df + square) / rng.chisquare(freedom))
    return found


def normal_scores(values: Array, df: Array) -> Array:
    """By the tail, which keeps its digits."""
    from scipy import special

    found: Array = -np.sign(values) * special.ndtri(special.stdtr(df, -np.abs(values)))
    return found


def radius(prob: float, df: float) -> float:
    """From the distribution of half the sum of two squares, F(2, ν).

    Examples
    --------
    >>> from scipy import stats
    >>> bool(np.isclose(stats.f(2, 5).cdf(radius(0.9, 5.0) ** 2 / 2), 0.9))
    True
    """
    return float(np.sqrt(df * np.expm1(-2 / df * np.log1p(-prob))))


def graph(pm: Any, name: str, root: Any, shape: tuple[int, int], df: Any, **options: Any) -> Any:
    """PyMC's multivariate t, its scale given by a root."""
    return pm.MvStudentT(name, nu=df, mu=np.zeros(shape[1]), chol=root, **(options or {"shape": shape}))


NORMAL = Law(
    "gaussian",
    words="",
    single="Normal(0, {sd})",
    several="MvNormal(0, {covariance})",
    log_ratio=lambda square, q: np.zeros(np.shape(square)),
    weight=lambda square, q: np.ones(np.shape(square)),
    variance=lambda: np.ones(()),
    stretch=lambda rng, square, q: np.ones(np.shape(square)),
    normal_scores=lambda values: values,
    radius=lambda prob: float(np.sqrt(-2 * np.log1p(-prob))),
    graph=_normal_graph,
)
STUDENT = Law(
    "student",
    words="Student's t",
    single="StudentT({df}, 0, {sd})",
    several="MvStudentT({df}, 0, {covariance})",
    log_ratio=log_ratio,
    weight=weight,
    variance=variance,
    stretch=stretch,
    normal_scores=normal_scores,
    radius=radius,
    graph=graph,
    parameters=(
        StructureParameter(
            "df",
            POSITIVE,
            "degrees of freedom of the levels' effects",
            # Juárez & Steel (2010), Journal of Business & Economic Statistics 28(1), above 1 as in brms
            prior=lambda q, positions: ("TruncatedGamma", {"alpha": 2.0, "beta": 0.1, "lower": 1.0}),
            typical=lambda positions: 10.0,
        ),
    ),
)
LAWS: Mapping[str, Law] = MappingProxyType({law.name: law for law in (NORMAL, STUDENT)})
