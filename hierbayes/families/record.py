"""What is known of a response distribution: its record, and what several families share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.links import LINKS, Link
from hierbayes.priors import Prior

Array = NDArray[np.float64]
Values = Mapping[str, Any]
TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Support:
    """Where a response may lie.

    Attributes
    ----------
    words : str
        The condition in words, for messages: "a whole number, 0 or more".
    contains : callable
        ``contains(y, trials)``: boolean array, one a row.
    whole : bool
        Whether responses are whole numbers.
    two_levels : bool
        Whether a two-valued column (text, categories, True and False) stands for 0 and 1.
    """

    words: str
    contains: Callable[[Array, Array | None], NDArray[np.bool_]]
    whole: bool = False
    two_levels: bool = False


@dataclass(frozen=True)
class Auxiliary:
    """A parameter of the response distribution besides its mean.

    Attributes
    ----------
    name : str
        Its name in the posterior: ``"sigma"``, ``"nu"``, ``"shape"``, ``"phi"``.
    words : str
        What it is, for printing.
    link : str
        The link that its own formula uses, when it has one.
    prior : callable
        ``prior(spread)``: the default prior for a response of that standard deviation.
    typical : callable
        ``typical(spread)``: a middling value, where the intercept of its own formula is centred.
    """

    name: str
    words: str
    link: str
    prior: Callable[[float], Prior]
    typical: Callable[[float], float]


@dataclass(frozen=True)
class Family:
    """A response distribution, its links and its own parameters.

    In every function `eta` is the linear predictor (any shape ending in rows), `aux` maps the names of the
    auxiliary parameters to arrays that broadcast against it, `link` is a `Link`, and `trials` (n,) is None except
    for families that have trials.

    Attributes
    ----------
    name : str
        What users write.
    links : tuple of str
        The links it takes, the default first.
    auxiliaries : tuple of Auxiliary
        Its own parameters.
    support : Support
        Where the response may lie.
    log_density : callable
        ``log_density(y, eta, aux, link, trials)``: log density of each row, -inf where `eta` gives a mean
        that the distribution cannot have (a negative one under the identity or inverse link).
    simulate : callable
        ``simulate(rng, eta, aux, link, trials)``: one response for each entry of `eta`, NaN for such a mean.
    mean : callable
        ``mean(eta, aux, link)``: expected response (for families with trials: per trial).
    variance : callable
        ``variance(eta, aux, link)``: variance of the response about that mean (for families with trials: of one
        trial), infinite where it has none.
    cdf : callable
        ``cdf(y, eta, aux, link, trials)``: probability of a response of `y` or less, `y` in the support; NaN for a mean
        that the distribution cannot have.
    information : callable
        ``information(eta, aux, link, trials)``: Fisher information of a row about `eta`.
    distribution : callable
        ``distribution(pm, m, eta, aux, link, trials)``: PyMC's class and its arguments.
    equation : str
        The distribution as printed: ``"Normal(mu, sigma)"``.
    needs_trials : bool
        Whether the response must state its trials.
    log_response : bool
        Whether location and scale are those of the response's logarithm.
    has_variance : bool
        Whether the response has a variance whatever the parameters are.
    design_effect : callable
        ``design_effect(aux, trials)``: the variance of a response out of trials over that of independent ones.
    threshold : bool
        Whether a response, or each of its trials, says on which side of a threshold a latent variable fell, whose
        distribution about the linear predictor is the link's.
    """

    name: str
    links: tuple[str, ...]
    auxiliaries: tuple[Auxiliary, ...]
    support: Support
    log_density: Callable[[Array, Array, Values, Link, Array | None], Array]
    simulate: Callable[[np.random.Generator, Array, Values, Link, Array | None], Array]
    mean: Callable[[Array, Values, Link], Array]
    variance: Callable[[Array, Values, Link], Array]
    cdf: Callable[[Array, Array, Values, Link, Array | None], Array]
    information: Callable[[Array, Values, Link, Array | None], Array]
    distribution: Callable[[Any, Any, Any, Values, Link, Any], tuple[Any, dict[str, Any]]]
    equation: str
    needs_trials: bool = False
    log_response: bool = False
    has_variance: bool = True
    design_effect: Callable[[Values, Array], Array] = lambda aux, trials: np.ones_like(trials)
    threshold: bool = False

    def moments(
        self, eta: Array, aux: Values, link: Link, trials: Array | None = None
    ) -> tuple[Array, Array]:
        """Mean and variance of the response itself, out of all its trials; each in the shape of `eta`."""
        shape = np.shape(eta)
        mean, variance = self.mean(eta, aux, link), self.variance(eta, aux, link)
        if trials is not None:
            mean, variance = trials * mean, trials * self.design_effect(aux, trials) * variance
        return np.broadcast_to(mean, shape), np.broadcast_to(variance, shape)

    def location_and_scale(
        self, y: Array, trials: Array | None, weights: Array, link: str
    ) -> tuple[float, float]:
        """Centre and spread of the response on the link's scale, for the default priors.

        Identity link: the (weighted) mean and standard deviation of the response. Log, logit, probit and cloglog:
        the link of the mean, pulled half a row from the boundary, and 1. Inverse: the inverse of the mean, twice.
        """
        values = np.log(y) if self.log_response else y
        if trials is not None:  # a row without trials counts for nothing
            values, weights = y / np.maximum(trials, 1), weights * trials
        total = weights.sum()
        mean = float((weights * values).sum() / total)
        if link == "identity":
            return mean, response_scale(values, weights)
        if link == "inverse":
            mean = mean or response_scale(values, weights)
            return 1 / mean, abs(1 / mean)
        if LINKS[link].log_odds is not None:
            mean = (mean * total + 0.5) / (total + 1)
        elif mean <= 0:
            mean = 0.5 / total if np.all(values >= 0) else response_scale(values, weights)
        return float(LINKS[link].link(mean)), 1.0

    def typical_location_and_scale(self, link: str) -> tuple[float, float]:
        """The same without a response: the middle of a link's own scale and 1, NaN where there is none.

        The middle is a probability of a half, or a mean of 1 under the log link.
        """
        if link in ("identity", "inverse"):
            return np.nan, np.nan
        return (0.0 if LINKS[link].log_odds is None else float(LINKS[link].link(0.5))), 1.0


def response_scale(values: Array, weights: Array) -> float:
    """Weighted standard deviation (divisor: the weights' sum), 1 where it vanishes."""
    mean = (weights * values).sum() / weights.sum()
    scale = float(np.sqrt((weights * np.square(values - mean)).sum() / weights.sum()))
    return scale if scale > 0 else 1.0


# -- what several families share ---------------------------------------------------------------------------------


def link_mean(eta: Array, aux: Values, link: Link) -> Array:
    """The link's mean, which is the expected response of most families."""
    return link.mean(eta)


def whole(y: Array) -> NDArray[np.bool_]:
    """Which values are whole numbers, 0 or more."""
    return np.isfinite(y) & (y == np.floor(y)) & (y >= 0)


POSITIVE = Support("a finite number above 0", lambda y, trials: np.isfinite(y) & (y > 0))
# Heavy right tail (the Poisson limit stays possible), little mass near 0: brms' default for negbinomial's shape.
DISPERSION = Prior("InverseGamma", alpha=0.4, beta=0.3)
