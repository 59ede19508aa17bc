"""Successes out of trials whose probability varies."""

from dataclasses import replace
from math import lgamma
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import deferred, row_function
from hierbayes.cumulative import betabinomial_cdf, log_choices
from hierbayes.families.beta import shapes
from hierbayes.families.record import PHI, SUCCESSES, UNIT_LINKS, Array, Family, Parameter, Tails
from hierbayes.incomplete import complement
from hierbayes.kinds import PROBABILITY, Positive, PositiveRow, Probability, ProbabilityRow
from hierbayes.special import lgamma_rise

FAR = 1000.0  # from here on two terms of Stirling's series are exact to rounding
SMALLEST = 1e-300
LOG_HALF = float(np.log(0.5))
TERMS = 100  # trials up to which the information is summed over the responses


@deferred
def shared(trials: float, phi: PositiveRow) -> tuple[float, float]:
    """Return log Γ(phi + trials) - log Γ(phi), and its derivative."""
    rise, slope = lgamma_rise(phi.value, trials)
    return rise, slope


@row_function
def row(
    y: float, trials: float, mu: ProbabilityRow, phi: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float]:
    """Return the log density without the orders of the successes, and its scores in the log odds and log phi.

    Γ(a + y) / Γ(a) = a Γ(a + y) / Γ(a + 1): mu may round to 0 while its logarithm is finite.
    """
    rise, slope = once
    value, in_mu, in_phi = -rise, 0.0, -slope * phi.value
    if y > 0.0:
        a = mu.p * phi.value
        more, steep = lgamma_rise(a + 1.0, y - 1.0)
        value += mu.log_p + phi.log + more
        in_mu += mu.q * (1.0 + a * steep)
        in_phi += 1.0 + a * steep
    if trials > y:
        b = mu.q * phi.value
        more, steep = lgamma_rise(b + 1.0, trials - y - 1.0)
        value += mu.log_q + phi.log + more
        in_mu -= mu.p * (1.0 + b * steep)
        in_phi += 1.0 + b * steep
    return value, in_mu, in_phi


@deferred
def tails(
    y: float, trials: float, mu: ProbabilityRow, phi: PositiveRow, once: tuple[float, float]
) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities of y or less and of more, each with scores in log odds and log phi.

    The probabilities are summed: all of one tail, and where it is more than a half all of the other.
    """
    y = np.floor(y)
    if y < 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    if y >= trials:
        return 0.0, 0.0, 0.0, -np.inf, 0.0, 0.0
    a, b = max(mu.p * phi.value, SMALLEST), max(mu.q * phi.value, SMALLEST)
    if 2.0 * y < trials:
        below, below_a, below_b = log_sum(y, trials, a, b, mu, phi, once, False)
        if below < LOG_HALF:
            above, share = complement(below)
            above_a, above_b = share * below_a, share * below_b
        else:
            above, above_a, above_b = log_sum(y + 1.0, trials, a, b, mu, phi, once, True)
    else:
        above, above_a, above_b = log_sum(y + 1.0, trials, a, b, mu, phi, once, True)
        if above < LOG_HALF:
            below, share = complement(above)
            below_a, below_b = share * above_a, share * above_b
        else:
            below, below_a, below_b = log_sum(y, trials, a, b, mu, phi, once, False)
    return (
        below, mu.q * below_a - mu.p * below_b, below_a + below_b,
        above, mu.q * above_a - mu.p * above_b, above_a + above_b,
    )  # fmt: skip


@deferred
def log_sum(
    y: float, n: float, a: float, b: float, mu: ProbabilityRow, phi: PositiveRow, once: tuple[float, float],
    upwards: bool,
) -> tuple[float, float, float]:  # fmt: skip
    """Return the logarithm of the sum of the probabilities from y on, and its derivatives in log a and log b."""
    first, in_mu, in_phi = row(y, n, mu, phi, once)
    first += lgamma(n + 1.0) - lgamma(y + 1.0) - lgamma(n - y + 1.0)
    slope_a, slope_b = mu.p * in_phi + in_mu, mu.q * in_phi - in_mu  # of the term at hand
    term, total, total_a, total_b = 1.0, 1.0, slope_a, slope_b
    at = y
    while at < n if upwards else at > 0.0:
        if upwards:
            after = b + (n - at - 1.0)
            term *= (n - at) / (at + 1.0) * ((a + at) / after)
            slope_a += a / (a + at)
            slope_b -= b / after
            at += 1.0
        else:
            before = a + (at - 1.0)
            term *= at / (n - at + 1.0) * ((b + n - at) / before)
            slope_a -= a / before
            slope_b += b / (b + n - at)
            at -= 1.0
        total += term
        total_a += term * slope_a
        total_b += term * slope_b
        if term > 1e200:  # the sum is carried in units of another term
            first += np.log(term)
            total, total_a, total_b, term = total / term, total_a / term, total_b / term, 1.0
    return min(first + np.log(total), 0.0), total_a / total, total_b / total


def tensor_tails(y: Any, n: Any, alpha: Any, beta: Any) -> tuple[Any, Any]:
    """The logarithms of the probabilities of y or less and of more, in tensors: of all responses."""
    import pymc as pm
    import pytensor.tensor as pt

    responses = pt.arange(pt.max(n) + 1)
    of = [pt.shape_padright(pt.as_tensor(each)) for each in (alpha, beta, n)]
    each = pm.logp(pm.BetaBinomial.dist(alpha=of[0], beta=of[1], n=of[2]), responses)
    last = pt.shape_padright(pt.as_tensor(y))

    def summed(chosen: Any) -> Any:
        return pt.log(pt.sum(pt.switch(chosen, pt.exp(each), 0.0), axis=-1))

    return summed(responses <= last), summed(responses > last)


def log_rise(log_x: Array, y: Array) -> Array:
    """log Γ(x + y) − log Γ(x) for whole y, the logarithm of x (x + 1) … (x + y − 1).

    Without what differences lose: x may underflow to 0 (its own factor is split off), or be so large that both
    logarithms agree in all their digits (then by Stirling's series, Abramowitz & Stegun 1964, 6.1.41).
    """
    x = np.exp(np.minimum(log_x, 700.0)) + 1
    k = np.maximum(y - 1, 0)
    small, large = np.minimum(x, FAR), np.maximum(x, FAR)
    near = special.gammaln(small + k) - special.gammaln(small)
    rests = [(1 - 1 / (30 * z**2)) / (12 * z) for z in (large + k, large)]
    far = (large - 0.5) * np.log1p(k / large) + k * (np.log(large + k) - 1) + rests[0] - rests[1]
    return np.where(y > 0, log_x + np.where(x < FAR, near, far), 0.0)


def cdf(y: Array, trials: Array, mu: Probability, phi: Positive) -> Array:
    """The probabilities summed."""
    log_phi = np.log(phi.value)
    rises = (
        log_rise(log_phi + mu.log_p, y) + log_rise(log_phi + mu.log_q, trials - y) - log_rise(log_phi, trials)
    )
    return betabinomial_cdf(y, trials, *shapes(mu, phi), np.exp(log_choices(y, trials) + rises))


def simulate(rng: np.random.Generator, trials: Any, mu: Probability, phi: Positive) -> Array:
    """Responses: successes whose probability is a beta variable."""
    return rng.binomial(trials, rng.beta(*shapes(mu, phi))).astype(float)


def information(trials: Array, mu: Probability, phi: Positive) -> Array:
    """The mean square of the score, summed over the responses.

    That of more than `TERMS` trials is scaled up from that of `TERMS` in the ratio of n / (1 + (n − 1) / (1 + phi)),
    their numbers of independent trials: exact for a large phi, else too small, by a tenth for a mean of 0.1 and a phi
    of 10, down to a third of it for a mean of 0.001.
    """
    n = np.asarray(trials, dtype=np.float64)
    few = np.minimum(n, TERMS)
    a, b = shapes(mu, phi)
    total_shape = a + b
    # log density and score, d / d a − d / d b, of y successes: from y = 0 on
    logs = log_rise(np.log(b), few) - log_rise(np.log(total_shape), few)
    score = special.digamma(b) - special.digamma(b + few)
    total = np.exp(logs) * score**2
    with np.errstate(divide="ignore", invalid="ignore"):  # of more successes than trials, which are left out
        for y in range(int(few.max(initial=0.0))):
            left = few - y
            after = b + (left - 1)  # in this order: b may be lost in 1
            logs = logs + np.log(left / (y + 1) * (a + y) / after)
            score = score + 1 / (a + y) + 1 / after
            total = total + np.where(left > 0, np.exp(logs) * score**2, 0.0)
    independent, summed = (
        (1 + total_shape) * many / (total_shape + np.maximum(many, 1)) for many in (n, few)
    )
    found: Array = (total_shape * mu.p * mu.q) ** 2 * total * independent / np.where(summed > 0, summed, 1.0)
    return found


def graph(pm: Any, trials: Any, mu: Any, phi: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's beta-binomial distribution."""
    return pm.BetaBinomial, {"alpha": mu.p * phi.value, "beta": mu.q * phi.value, "n": trials}


FAMILY = Family(
    "betabinomial",
    parameters=(Parameter("mu", PROBABILITY, UNIT_LINKS, "probability"), replace(PHI, endless=True)),
    support=SUCCESSES,
    row=row,
    shared=shared,
    of_y_alone=log_choices,
    graph=graph,
    simulate=simulate,
    mean=lambda mu, phi: mu.value,
    variance=lambda mu, phi: mu.p * mu.q,  # of one trial, whatever phi: its trials vary together, none more
    cdf=cdf,
    tails=Tails(
        tails,
        None,
        lambda y, **given: tensor_tails(y, **given)[1],
        lambda y, **given: tensor_tails(y, **given)[0],
    ),
    information=information,
    equation="BetaBinomial(trials, mu·phi, (1 − mu)·phi)",
    design_effect=lambda trials, mu, phi: 1 + (np.maximum(trials, 1) - 1) / (1 + phi.value),
    threshold=True,
    needs_trials=True,
    place=6,
)
