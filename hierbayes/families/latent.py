"""Distributions of latent variables, by the link that is named after them: logistic, normal, Gumbel, Cauchy.

Ordinal families ask on which side of thresholds such a variable falls. They read the log odds of its distribution
function, log(F / (1 − F)), which lose no digits in either tail; all their formulas are those of the logistic
distribution at these. The cloglog's F is 1 − exp(−exp(x)), as brms and ordinal::clm have it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hierbayes.compiling import row_function
from hierbayes.links import LINKS, NUMPY_MATH
from hierbayes.special import log_ndtr

LOGIT, PROBIT, CLOGLOG, CAUCHIT = range(4)
PI = np.pi


@dataclass(frozen=True)
class Latent:
    """One latent distribution.

    Attributes
    ----------
    code : int
        Its number in compiled code.
    cdf : callable
        ``cdf(x, m)``: its distribution function, with the functions of namespace `m`.
    log_odds : callable
        ``log_odds(x, m)``: log(F / (1 − F)).
    variance : float or None
        None where it has none.
    words : str
    """

    code: int
    cdf: Callable[[Any, Any], Any]
    log_odds: Callable[[Any, Any], Any]
    variance: float | None
    words: str


def _of_link(code: int, name: str, words: str) -> Latent:
    link = LINKS[name]
    assert link.log_odds is not None
    return Latent(code, link.inverse, link.log_odds, link.latent_variance, words)


def _cauchy_log_odds(x: Any, m: Any) -> Any:
    """Angles from either end, of which neither is a difference."""
    return m.log(m.arctan2(1.0, -x)) - m.log(m.arctan2(1.0, x))


LATENTS: Mapping[str, Latent] = {
    "logit": _of_link(LOGIT, "logit", "logistic"),
    "probit": _of_link(PROBIT, "probit", "normal"),
    "cloglog": _of_link(CLOGLOG, "cloglog", "Gumbel"),
    "cauchit": Latent(CAUCHIT, lambda x, m: m.arctan2(1.0, -x) / np.pi, _cauchy_log_odds, None, "Cauchy"),
}


def log_odds(name: str, x: Any, m: Any = NUMPY_MATH) -> Any:
    """Log odds of a latent variable's distribution function at x."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        found = LATENTS[name].log_odds(x, m)
    return np.clip(found, -1e300, 1e300) if m is NUMPY_MATH else found


@row_function
def log_odds_row(code: int, x: float) -> tuple[float, float]:
    """Return log(F / (1 − F)) at a finite x, and its derivative."""
    if code == LOGIT:
        return x, 1.0
    if code == PROBIT:
        log_p, slope_p = log_ndtr(x)
        log_q, slope_q = log_ndtr(-x)
        return log_p - log_q, slope_p + slope_q
    if code == CLOGLOG:
        t = np.exp(min(x, 690.0))  # log(1 − F) is −t
        if t < 1e-5:
            return x + 0.5 * t + t * t / 24.0, 1.0 + 0.5 * t + t * t / 12.0
        p = -np.expm1(-t)
        return np.log(p) + t, t * (1.0 + np.exp(-t) / p)
    below, above = np.arctan2(1.0, -x), np.arctan2(1.0, x)
    return np.log(below) - np.log(above), PI / (below * above * (1.0 + x * x))
