"""Links: between the mean of a response and its linear predictor.

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
    gammaln=special.gammaln,
    softplus=lambda x: np.logaddexp(0.0, x),
    sigmoid=special.expit,
    ndtr=special.ndtr,
    log_ndtr=special.log_ndtr,
    arctan2=np.arctan2,
)


@dataclass(frozen=True)
class Link:
    """What is known of one link function.

    Attributes
    ----------
    name : str
        The field's name: ``"identity"``, ``"log"``, ``"logit"``, ``"probit"``, ``"cloglog"`` or ``"inverse"``.
    link : callable
        Mean → linear predictor, on arrays.
    inverse : callable
        ``inverse(eta, m)``: linear predictor → mean, with the functions of namespace ``m``.
    slope : callable
        Derivative of the mean in the linear predictor, on arrays.
    log_odds : callable or None
        ``log_odds(eta, m)``: the log odds of a mean in (0, 1), without forming the mean; None for other links.
    latent_variance : float or None
        Variance of the latent variable (logistic, normal, Gumbel) whose distribution function the inverse is: Nakagawa
        & Schielzeth (2010), Biological Reviews 85, table 2; None for other links.
    """

    name: str
    link: Callable[[Any], Any]
    inverse: Callable[[Any, Any], Any]
    slope: Callable[[Any], Any]
    log_odds: Callable[[Any, Any], Any] | None = None
    latent_variance: float | None = None

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


LINKS: dict[str, Link] = {
    link.name: link
    for link in (
        Link("identity", lambda mu: mu, lambda eta, m: eta, np.ones_like),
        Link("log", np.log, lambda eta, m: m.exp(eta), np.exp),
        Link("inverse", lambda mu: 1 / mu, lambda eta, m: 1 / eta, lambda eta: -1 / eta**2),
        Link(
            "logit",
            special.logit,
            lambda eta, m: m.sigmoid(eta),
            lambda eta: special.expit(eta) * special.expit(-eta),
            log_odds=lambda eta, m: eta,
            latent_variance=np.pi**2 / 3,
        ),
        Link(
            "probit",
            special.ndtri,
            lambda eta, m: m.ndtr(eta),
            lambda eta: np.exp(-0.5 * np.square(eta)) / np.sqrt(2 * np.pi),
            log_odds=lambda eta, m: m.log_ndtr(eta) - m.log_ndtr(-eta),
            latent_variance=1.0,
        ),
        Link(
            "cloglog",
            lambda mu: np.log(-np.log1p(-mu)),
            lambda eta, m: -m.expm1(-m.exp(eta)),
            lambda eta: np.exp(eta - np.exp(eta)),
            log_odds=_cloglog_log_odds,
            latent_variance=np.pi**2 / 6,
        ),
    )
}
