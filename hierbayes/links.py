"""Links: between a parameter of a response, such as its mean, and its linear predictor.

Each inverse is written once, over a small namespace of mathematical functions, and serves NumPy draws and the
PyTensor graph alike (`hierbayes.graph` passes its own namespace of the same names).
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import special

NUMPY_MATH = SimpleNamespace(
    exp=np.exp,
    log=np.log,
    expm1=np.expm1,
    log1p=np.log1p,
    sqrt=np.sqrt,
    arcsinh=np.arcsinh,
    arctan2=np.arctan2,
    gammaln=special.gammaln,
    softplus=lambda x: np.logaddexp(0.0, x),
    sigmoid=special.expit,
    ndtr=special.ndtr,
    log_ndtr=special.log_ndtr,
    arrays=np,
)


@dataclass(frozen=True)
class Link:
    """What is known of one link function.

    Attributes
    ----------
    name : str
        The field's name, brms's: ``"identity"``, ``"log"``, ``"logit"``, ``"probit"``, ``"1/mu^2"``, …
    words : str
        What is on the link's scale, of a response in the place of ``{}``: ``"log odds of {}"``.
    link : callable
        Mean, or another parameter → linear predictor, on arrays.
    inverse : callable
        ``inverse(eta, m)``: linear predictor → mean, with the functions of namespace ``m``.
    slope : callable
        Derivative of the mean in the linear predictor, on arrays.
    unit : str or None
        What 1 on the link's scale is comparable to, for default priors: None for links to a scale of their own (log,
        logit, …), ``"response"`` for those of which the scale is that of the mean, ``"relative"`` for powers of it.
    log_odds : callable or None
        ``log_odds(eta, m)``: the log odds of a mean in (0, 1), without forming the mean; None for other links.
    latent_variance : float or None
        Variance of the latent variable (logistic, normal, Gumbel) whose distribution function the inverse is: Nakagawa
        & Schielzeth (2010), Biological Reviews 85, table 2; None for other links.
    """

    name: str
    words: str
    link: Callable[[Any], Any]
    inverse: Callable[[Any, Any], Any]
    slope: Callable[[Any], Any]
    unit: str | None = None
    log_odds: Callable[[Any, Any], Any] | None = None
    latent_variance: float | None = None

    @property
    def has_average(self) -> bool:
        """Whether a mean has an average over normal linear predictors, which powers below 0 have not."""
        return self.unit != "relative"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Mean of the response at linear predictor `eta` (any shape).

        Examples
        --------
        >>> float(LINKS["log"].mean(0.0))
        1.0
        """
        with np.errstate(over="ignore"):  # the limit is meant: an infinite mean, a probability of 1
            return self.inverse(eta, NUMPY_MATH)


def _cloglog_log_odds(eta: Any, m: Any) -> Any:
    """log(p / (1 − p)) where 1 − p = exp(−t), t = exp(eta)."""
    t = m.exp(eta)
    return m.log(-m.expm1(-t)) + t


def _softplus_link(mu: Any) -> Any:
    """log(exp(mu) − 1), without overflow."""
    return mu + np.log(-np.expm1(-mu))


def _cauchit_log_odds(eta: Any, m: Any) -> Any:
    """log(p / (1 − p)), both in the form that keeps their digits in the tails."""
    return m.log(m.arctan2(1.0, -eta)) - m.log(m.arctan2(1.0, eta))


LINKS: dict[str, Link] = {
    link.name: link
    for link in (
        Link("identity", "{}", lambda mu: mu, lambda eta, m: eta, np.ones_like, "response"),
        Link("log", "log mean of {}", np.log, lambda eta, m: m.exp(eta), np.exp),
        Link(
            "inverse",
            "inverse mean of {}",
            lambda mu: 1 / mu,
            lambda eta, m: 1 / eta,
            lambda eta: -1 / eta**2,
            "relative",
        ),
        Link(
            "logit",
            "log odds of {}",
            special.logit,
            lambda eta, m: m.sigmoid(eta),
            lambda eta: special.expit(eta) * special.expit(-eta),
            log_odds=lambda eta, m: eta,
            latent_variance=np.pi**2 / 3,
        ),
        Link(
            "probit",
            "probit of {}",
            special.ndtri,
            lambda eta, m: m.ndtr(eta),
            lambda eta: np.exp(-0.5 * np.square(eta)) / np.sqrt(2 * np.pi),
            log_odds=lambda eta, m: m.log_ndtr(eta) - m.log_ndtr(-eta),
            latent_variance=1.0,
        ),
        Link(
            "cloglog",
            "complementary log-log of {}",
            lambda mu: np.log(-np.log1p(-mu)),
            lambda eta, m: -m.expm1(-m.exp(eta)),
            lambda eta: np.exp(eta - np.exp(eta)),
            log_odds=_cloglog_log_odds,
            latent_variance=np.pi**2 / 6,
        ),
        Link(
            "cauchit",
            "cauchit of {}",
            lambda mu: np.where(mu < 0.5, -1 / np.tan(np.pi * mu), 1 / np.tan(np.pi * (1 - mu))),
            lambda eta, m: m.arctan2(1.0, -eta) / np.pi,
            lambda eta: 1 / (np.pi * (1 + np.square(eta))),
            log_odds=_cauchit_log_odds,
        ),
        Link(
            "softplus",
            "inverse softplus of the mean of {}",
            _softplus_link,
            lambda eta, m: m.softplus(eta),
            special.expit,
            "response",
        ),
        Link(
            "squareplus",
            "inverse squareplus of the mean of {}",
            lambda mu: mu - 1 / mu,
            lambda eta, m: m.exp(m.arcsinh(eta / 2)),  # (eta + sqrt(eta² + 4)) / 2, without cancellation
            lambda eta: np.exp(np.arcsinh(eta / 2)) / np.sqrt(np.square(eta) + 4),
            "response",
        ),
        Link(
            "sqrt",
            "root of the mean of {}",
            np.sqrt,
            lambda eta, m: eta * eta,
            lambda eta: 2 * eta,
            "response",
        ),
        Link(
            "1/mu^2",
            "1/mean² of {}",
            lambda mu: 1 / np.square(mu),
            lambda eta, m: 1 / m.sqrt(eta),
            lambda eta: -0.5 * eta**-1.5,
            "relative",
        ),
        Link(
            "logm1", "log (mean − 1) of {}", lambda mu: np.log(mu - 1), lambda eta, m: 1 + m.exp(eta), np.exp
        ),
        Link(
            "logitm1",
            "log odds of (mean − 1) of {}",
            lambda mu: np.log(mu - 1) - np.log(2 - mu),
            lambda eta, m: 1 + m.sigmoid(eta),
            lambda eta: special.expit(eta) * special.expit(-eta),
        ),
        Link("log1p", "log (1 + mean) of {}", np.log1p, lambda eta, m: m.expm1(eta), np.exp),
        Link(
            "tan_half",  # of an angle
            "tangent of half the angle of {}",
            lambda mu: np.tan(mu / 2),
            lambda eta, m: 2 * m.arctan2(eta, 1.0),
            lambda eta: 2 / (1 + np.square(eta)),
        ),
    )
}
