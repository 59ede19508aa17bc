"""What the ordinal families share: thresholds, discrimination, and from the probabilities of categories to the rest.

A latent variable lies about mu with scale 1 / disc; `latent` names its distribution. The thresholds say where the
categories are, so the intercept of mu's formula is known to be 0, and the thresholds are those where all predictors
are 0. Category-specific effects move each threshold by an amount of its own, `cs1` the first, against it as mu does.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import Deferred, row_function
from hierbayes.families.latent import LATENTS, log_odds
from hierbayes.families.record import Array, Family, Parameter, Support
from hierbayes.kinds import NUMBER, POSITIVE, VECTOR, Kind, ListRow, ParameterValues
from hierbayes.priors import Prior

CATEGORIES = Support(
    "one of at least two categories in an order",
    lambda y, trials: np.isfinite(y) & (y == np.floor(y)) & (y >= 0),
    whole=True,
    categories=True,
)
ZERO = Prior("Fixed", value=0.0)
MU = Parameter("mu", NUMBER, ("identity",), "latent mean", intercept=ZERO, moves=-1)
DISC = Parameter(
    "disc",
    POSITIVE,
    ("log",),
    "discrimination: 1 / scale of the latent variable",
    lambda spread: Prior("Fixed", value=1.0),
    intercept=ZERO,
)


def thresholds_of(kind: Kind, start: Callable[[Any], Array]) -> Parameter:
    """The thresholds between categories, with brms' default prior, at their start for the categories' shares."""
    return Parameter(
        "thresholds",
        kind,
        ("identity",),
        "thresholds between categories",
        lambda spread: Prior("StudentT", nu=3.0, mu=0.0, sigma=2.5),
        start,
    )


def specific(place: int) -> Parameter:
    """The predictor of category-specific effects on one threshold."""
    words = f"category-specific effects at threshold {place}"
    return Parameter(
        f"cs{place}", NUMBER, ("identity",), words, lambda spread: ZERO, intercept=ZERO, moves=place - 1
    )


def distances(
    mu: ParameterValues, disc: ParameterValues, thresholds: ParameterValues, **cs: ParameterValues
) -> Array:
    """disc (threshold − mu − cs) of every threshold: (…, m)."""
    gaps = np.asarray(thresholds.value) - np.asarray(mu.value)[..., None]
    if cs:
        gaps = gaps - np.stack(np.broadcast_arrays(*(np.asarray(one.value) for one in cs.values())), axis=-1)
    found: Array = np.asarray(disc.value)[..., None] * gaps
    return found


def tensor_distances(mu: Any, disc: Any, thresholds: Any, **cs: Any) -> Any:
    """The same of tensors."""
    pt, gaps = mu.m.arrays, thresholds.value - mu.value[..., None]
    if cs:
        gaps = gaps - pt.stack([one.value for one in cs.values()], axis=-1)
    return pt.shape_padright(disc.value) * gaps if getattr(disc.value, "ndim", 0) else disc.value * gaps


def log_tails(latent: str, x: Array) -> tuple[Array, Array]:
    """log F and log(1 − F) of a latent variable."""
    odds = log_odds(latent, x)
    return -np.logaddexp(0.0, -odds), -np.logaddexp(0.0, odds)


def hazards(latent: str, x: Array) -> tuple[Array, Array]:
    """The derivatives of log F and of log(1 − F), the latter as a positive number."""
    odds = log_odds(latent, x)
    with np.errstate(over="ignore", invalid="ignore"):
        slope = _slope(latent, x)
        return slope * special.expit(-odds), slope * special.expit(odds)


def _slope(latent: str, x: Array) -> Array:
    """The derivative of the log odds."""
    if latent == "logit":
        return np.ones_like(x)
    if latent == "probit":
        density = -0.5 * np.square(x) - 0.5 * np.log(2 * np.pi)
        return np.exp(density - special.log_ndtr(x)) + np.exp(density - special.log_ndtr(-x))
    if latent == "cloglog":
        t = np.exp(np.minimum(x, 690.0))
        return np.where(t < 1e-5, 1 + 0.5 * t, t / -np.expm1(-np.maximum(t, 1e-300)))
    return np.pi / (np.arctan2(1.0, -x) * np.arctan2(1.0, x) * (1 + np.square(x)))


def draw(rng: np.random.Generator, below: Array) -> Array:
    """Categories 0, 1, … from P(y <= k), k = 0 … m − 1, on the last axis of `below`."""
    u = rng.random(below.shape[:-1])
    found = np.zeros(u.shape)
    for share in np.moveaxis(below, -1, 0):
        found += u > share
    return found


def up_to(y: Array, below: Array) -> Array:
    """P(Y <= y) from P(y <= k), k = 0 … m − 1, on the last axis of `below`."""
    whole = np.concatenate([below, np.ones((*below.shape[:-1], 1))], axis=-1)
    shape = np.broadcast_shapes(np.shape(y), whole.shape[:-1])
    places = np.broadcast_to(np.asarray(y, np.int64), shape)[..., None]
    return np.take_along_axis(np.broadcast_to(whole, (*shape, whole.shape[-1])), places, axis=-1)[..., 0]


def by_link(make: Callable[[str], Family]) -> Family:
    """A family under the default link, which knows those under all links."""
    found = {name: make(name) for name in LATENTS}
    return replace(found["logit"], latents=found)


# -- families whose thresholds are in no order ------------------------------------------------------------------


@row_function
def distance(disc: float, mu: float, listed: ListRow, specific: bool, j: int) -> float:
    """Return disc (threshold j − mu − cs j), of a list of thresholds, before which may stand as many cs."""
    if specific:
        m = listed.size // 2
        threshold = listed.values[listed.first + m + j, listed.at]
        return disc * (threshold - mu - listed.values[listed.first + j, listed.at])
    return disc * (listed.values[listed.first + j, listed.at] - mu)


@row_function
def put_score(scores: ListRow, specific: bool, j: int, score: float) -> None:
    """Set the score of threshold j, and that of cs j, which moves against it."""
    m = scores.size // 2 if specific else 0
    scores.values[scores.first + m + j, scores.at] = score
    if specific:
        scores.values[scores.first + j, scores.at] = -score


@dataclass(frozen=True)
class Steps:
    """A family of thresholds in no order, each of which is a step that a response takes or not.

    Attributes
    ----------
    name, equation : str
    row_of : callable
        ``row_of(code, specific)``: its row function under a latent distribution, with or without cs.
    log_weights : callable
        ``log_weights(latent, x)``: log probabilities of the categories (…, K) up to a constant, x (…, K − 1) the
        distances disc (threshold − mu).
    slopes : callable
        ``slopes(latent, x, p)``: the log probabilities' derivatives in mu, at disc 1: (…, K).
    tensor : callable
        ``tensor(pt, below, above)``: the probabilities as a tensor (…, K), of F(x) and F(−x).
    between : callable
        ``between(shares)``: the thresholds (K − 1,) at which categories have these shares (K,), by the logit.
    """

    name: str
    equation: str
    row_of: Callable[[int, bool], Deferred]
    log_weights: Callable[[str, Array], Array]
    slopes: Callable[[str, Array, Array], Array]
    tensor: Callable[[Any, Any, Any], Any]
    between: Callable[[Array], Array]

    def family(self) -> Family:
        """The family under the default link, which knows those under all links."""
        return by_link(self.under)

    def under(self, latent: str, thresholds: int = 0) -> Family:
        """The family under one link; with category-specific effects on so many thresholds."""

        def probabilities(**parameters: ParameterValues) -> Array:
            """P(y = k) of every category k: (…, K)."""
            found: Array = special.softmax(self.log_weights(latent, distances(**parameters)), axis=-1)
            return found

        def below(**parameters: ParameterValues) -> Array:
            """P(y <= k) of all categories but the last: (…, K − 1)."""
            return np.minimum(np.cumsum(probabilities(**parameters)[..., :-1], axis=-1), 1.0)

        def information(disc: ParameterValues, **parameters: ParameterValues) -> Array:
            """The mean square of the score in mu."""
            x, p = distances(disc=disc, **parameters), probabilities(disc=disc, **parameters)
            with np.errstate(all="ignore"):
                squares = p * np.square(self.slopes(latent, x, p))
            found: Array = np.square(disc.value) * np.where(p > 0, squares, 0.0).sum(axis=-1)
            return found

        def graph(pm: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
            """PyMC's categorical distribution of products of the distribution function."""
            cdf, m, x = LATENTS[latent].cdf, parameters["mu"].m, tensor_distances(**parameters)
            return pm.Categorical, {"p": self.tensor(m.arrays, cdf(x, m), cdf(-x, m))}

        cs = tuple(specific(place + 1) for place in range(thresholds))
        return Family(
            self.name,
            parameters=(MU, DISC, *cs, thresholds_of(VECTOR, self.between)),
            support=CATEGORIES,
            row=self.row_of(LATENTS[latent].code, bool(cs)),
            graph=graph,
            simulate=lambda rng, **parameters: draw(rng, below(**parameters)),
            cdf=lambda y, **parameters: up_to(y, below(**parameters)),
            probabilities=probabilities,
            information=information,
            has_variance=False,
            own_in_mean=("disc", *(one.name for one in cs)),
            latent=latent,
            origin="thresholds",
            listed=2,
            variant="cs" if cs else "",
            specific=None if cs else lambda count: self.under(latent, count),
            equation=self.equation,
        )


def stages(shares: Array) -> Array:
    """Thresholds of a logistic variable at which so many of those who come to a category stop there."""
    beyond = np.cumsum(shares[::-1])[::-1]
    found: Array = np.log(shares[:-1] / beyond[1:])
    return found


def ahead(steps: Array) -> Array:
    """Sums of all steps before each category: (…, m) → (…, m + 1)."""
    return np.concatenate([np.zeros((*steps.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)


def tensor_products(pt: Any, one: Any, other: Any) -> Any:
    """∏_{j < k} one_j · other_k, the last factor of the last category 1: (…, m), (…, m) → (…, m + 1)."""
    edge = pt.ones_like(one[..., :1])
    return pt.cumprod(pt.concatenate([edge, one], axis=-1), axis=-1) * pt.concatenate([other, edge], axis=-1)
