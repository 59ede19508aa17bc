"""From what people can say about groups and responses to priors: elicitation by intervals."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from hierbayes.distributions import find_distribution
from hierbayes.errors import PriorError
from hierbayes.priors import Prior

TOLERANCE = 0.005  # of a probability: what an interval may miss
NODES, WEIGHTS = np.polynomial.laguerre.laggauss(60)


def elicit(distribution: str, lower: float, upper: float, prob: float = 0.9, **fixed: float) -> Prior:
    """The prior with that probability between two values, and as little other information as can be.

    Found by PreliZ as the distribution of greatest entropy; needs the extra ``hierbayes[preliz]``.

    Parameters
    ----------
    distribution : str
        A name as in `Prior`: ``"Normal"``, ``"HalfNormal"``, ``"Gamma"``, …
    lower, upper : float
        In the quantity's own units.
    prob : float
        The probability between them, 0 to 1.
    **fixed
        Arguments that are known, such as ``nu=4`` of a StudentT.

    Returns
    -------
    Prior

    Raises
    ------
    PriorError
        When the distribution cannot have that probability there; the message says how near it comes.
    ImportError
        Without PreliZ.

    Examples
    --------
    >>> print(elicit("Normal", 200, 500, prob=0.9))
    Normal(mu=350, sigma=91.2)
    """
    record = find_distribution(distribution)
    name = record.name
    if record.scaled is None or record.support == "correlation":
        raise PriorError(f"{name} is not found from an interval; write its arguments.")
    _check_interval(lower, upper, prob)
    unknown = [word for word in fixed if word not in record.parameters]
    if unknown:
        have = ", ".join(record.parameters)
        raise PriorError(f"{name} has no argument {unknown[0]!r} to fix; it has {have}.")
    try:
        import preliz as pz
    except ImportError as error:
        raise ImportError("elicit() needs PreliZ: python -m pip install 'hierbayes[preliz]'") from error
    found = getattr(pz, name)(**fixed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it misses is said below
        pz.maxent(found, lower, upper, prob, plot=False)
    reached = float(found.cdf(upper) - found.cdf(lower))
    arguments = {word: _rounded(getattr(found, word)) for word in record.parameters}
    if not abs(reached - prob) < TOLERANCE:
        raise PriorError(
            f"{name} cannot have {100 * prob:g} % between {lower:g} and {upper:g}; the nearest, "
            f"{Prior(name, **arguments)}, has {100 * reached:.3g} %. Take another distribution or interval."
        )
    return Prior(name, **arguments)


def elicit_groups(
    lower: float, upper: float, prob: float = 0.9, *, group: str | None = None
) -> Mapping[str, Prior]:
    """Priors of an intercept and of a group's sd from where that share of the groups lie.

    "90 % of subjects lie between 200 and 500 ms" is a statement on a subject nobody has measured: about the mean of
    all, which is not known, and about how subjects differ from it, which isn't either. Both get the same scale s: the
    mean is Normal(centre, s), the sd Exponential(1 / s), and s is such that a new group's mean, drawn from these, lies
    between the two values with that probability. On the scale of the link: for log or logit link give logarithms or
    log odds.

    Parameters
    ----------
    lower, upper : float
        On the link's scale.
    prob : float
        The share of the groups between them.
    group : str, optional
        The grouping factor, for the address ``sd[group, Intercept]``; every sd unless given.

    Returns
    -------
    mapping of str to Prior
        What `Model` takes as priors, alone or in a list.

    Examples
    --------
    >>> for address, prior in elicit_groups(200, 500, group="subject").items():
    ...     print(address, prior)
    Intercept Normal(mu=350, sigma=58.1)
    sd[subject, Intercept] Exponential(lam=0.0172)
    """
    from scipy import optimize, stats

    _check_interval(lower, upper, prob)
    half = (upper - lower) / 2

    def missing(log_scale: float) -> float:
        scale = np.exp(log_scale)
        inside = 2 * stats.norm.cdf(half / (scale * np.sqrt(1 + NODES**2))) - 1
        return float(WEIGHTS @ inside) - prob

    start = np.log(half)
    scale = float(np.exp(optimize.brentq(missing, start - 15, start + 15)))
    sd = "sd" if group is None else f"sd[{group}, Intercept]"
    intercept = Prior("Normal", mu=(lower + upper) / 2, sigma=_rounded(scale))
    return {"Intercept": intercept, sd: Prior("Exponential", lam=_rounded(1 / scale))}


def _check_interval(lower: float, upper: float, prob: float) -> None:
    if not (np.isfinite(lower) and np.isfinite(upper) and lower < upper):
        raise PriorError(f"lower must be below upper, both finite; got {lower!r} and {upper!r}.")
    if not 0 < prob < 1:
        raise PriorError(f"prob is a probability between 0 and 1, such as 0.9; got {prob!r}.")


def _rounded(value: Any) -> float:
    """Three digits: more is not known."""
    return float(f"{float(value):.3g}")
