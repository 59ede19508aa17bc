"""Counts of more or less variation than a Poisson's: the Conway–Maxwell–Poisson distribution by its mean.

P(Y = y) is lambda^y / y!^shape / Z. Huang (2017), Statistical Modelling 17, takes lambda such that the mean is mu, as
glmmTMB does, whose dispersion is 1/shape. No formula gives lambda, so it is solved for; its derivatives are those of
the equation.
"""

from math import lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import deferred, row_function
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import (
    COUNT,
    COUNT_LINKS,
    OWN_LINKS,
    Array,
    Family,
    Parameter,
    Tails,
    first_value,
)
from hierbayes.incomplete import complement
from hierbayes.kinds import POSITIVE, Positive, PositiveRow
from hierbayes.priors import Prior
from hierbayes.special import STIRLING, lgamma_rest, log1p_minus

NEGLIGIBLE, LARGEST, LOG_HALF = 1e-17, 1e300, float(np.log(0.5))
STEPS, CLOSE = 100, 1e-14  # of the search for lambda
NONE = 45.0  # logarithm of the largest probability over that of 0, from which on 0 doesn't count
MANY = 1e8  # a mean from which on counts are drawn as rounded normal variables
TERMS = 3000  # of sums in tensors


@row_function
def row(y: float, mu: PositiveRow, shape: PositiveRow) -> tuple[float, float, float]:
    """Return the log density, and its scores in log mu and log shape."""
    if not 0.0 < mu.value < LARGEST:
        return -np.inf, 0.0, 0.0
    ref, s, total, spread, bend, centre = solved(mu.value, shape.value)
    j, away = y - ref, (y - ref) - (mu.value - ref)
    excess = rise(ref, y, j)
    in_shape = away * bend - (excess - centre)
    return j * s - shape.value * excess - total, mu.value * away / spread, shape.value * in_shape


@deferred
def rise(ref: float, y: float, j: float) -> float:
    """Return log y! − log ref! − j log(ref + 1), of j = y − ref: about j² / 2 (ref + 1) where ref is large."""
    base, after = ref + 1.0, y + 1.0
    if min(base, after) < STIRLING:
        return lgamma(after) - lgamma(base) - j * np.log(base)
    r = j / base
    bulk = base * ((1.0 + r) * log1p_minus(r) + r * r) if abs(r) < 0.5 else after * np.log(after / base) - j
    return bulk - 0.5 * np.log(after / base) + lgamma_rest(after) - lgamma_rest(base)


@deferred
def solved(mu: float, nu: float) -> tuple[float, float, float, float, float, float]:
    """Return ref, s and what follows from them, with lambda = exp(s) (ref + 1)^nu such that the mean is mu.

    Then come the logarithm of the sum of all probabilities over that of ref, the variance, the derivative of s in nu
    and the mean of `rise`. The search is Newton's within bounds, for nu >= 1 of log E[Y], which bends down as log
    lambda grows; else of log(1 + 1/E[Y]), which bends up and is −log lambda where nu is 0.
    """
    ref = np.floor(mu)
    shift = nu * np.log(ref + 1.0)
    if nu < 1.0:
        lower = -np.log1p(1.0 / mu)
        upper = nu * np.log(mu) if mu > 1.0 else np.log(mu)
        start = nu * np.log(mu + 0.5) - 1.0 / (2.0 * mu + 1.0) if mu > 1.0 else lower
    else:
        lower, upper = np.log(mu), nu * np.log1p(mu)
        start = nu * np.log(max(mu + 0.5 - 0.5 / nu, mu))
    s, lower, upper = min(max(start, lower), upper) - shift, lower - shift, upper - shift
    if (
        ref > 1e5
    ):  # where the difference of two large numbers has few digits, and the first terms of a series more
        s = nu * np.log1p((mu - ref - 0.5 - 0.5 / nu) / (ref + 1.0))
        lower, upper = s - 1e-3 * nu, s + 1e-3 * nu
    total, first, second, once, cross = 0.0, 0.0, 1.0, 0.0, 0.0
    for _ in range(STEPS):
        total, first, second, once, cross = sums(ref, s, nu, np.sqrt(mu / nu))
        mean, less, spread = ref + first, (mu - ref) - first, second - first * first
        if less > 0.0:
            lower = s
        else:
            upper = s
        if spread > 0.0 and abs(less) <= CLOSE * min(spread, np.sqrt(spread)):
            break
        change = np.log1p(less / (mean * (1.0 + mu))) * (1.0 + mean) if nu < 1.0 else np.log1p(less / mean)
        after = s + change * mean / spread if spread > 0.0 else np.inf
        if not lower < after < upper:
            after = 0.5 * (lower + upper)
        if after == s:
            break
        s = after
    spread = max(second - first * first, 1.0 / LARGEST)
    return ref, s, total, spread, (cross - first * once) / spread, once


@deferred
def sums(ref: float, s: float, nu: float, width: float) -> tuple[float, float, float, float, float]:
    """Return the logarithm of the sum of all probabilities over that of ref, and means under them.

    Over that of ref they are exp(j s − nu e), with j = y − ref and e the `rise`. The means are those of j, j², e and
    j e. Where the probabilities are smooth and that of 0 doesn't count, every h-th is enough: both sums are the
    integral, to rounding (the trapezoidal rule's error is about exp(−2 (π sd/h)²)).
    """
    base, step = ref + 1.0, 1.0
    if width > 4.0 and ref * s - nu * (lgamma(base) - ref * np.log(base)) > NONE:
        step = np.floor(0.5 * width)
    total, first, second, once, cross = 1.0, 0.0, 0.0, 0.0, 0.0
    largest = 0.0  # logarithm of what all terms are over
    for side in (1.0, -1.0):
        j, excess, before = 0.0, 0.0, 0.0
        while True:
            if ref + j + side * step < 0.0:
                break
            if step > 1.0:
                excess = rise(ref, ref + j + side * step, j + side * step)
            elif side > 0.0:
                excess += np.log1p(j / base)
            else:
                excess -= np.log((ref + j) / base)
            j += side * step
            exponent = j * s - nu * excess
            if exponent > largest + 600.0:
                shrink = np.exp(largest - exponent)
                total, first, second = total * shrink, first * shrink, second * shrink
                once, cross, largest = once * shrink, cross * shrink, exponent
            term = np.exp(exponent - largest)
            total += term
            first += j * term
            second += j * j * term
            once += excess * term
            cross += j * excess * term
            if exponent < before and term * max(1.0, abs(j)) < NEGLIGIBLE * total:
                break
            before = exponent
    return largest + np.log(total * step), first / total, second / total, once / total, cross / total


@deferred
def tails(y: float, mu: PositiveRow, shape: PositiveRow) -> tuple[float, float, float, float, float, float]:
    """Return the logarithms of the probabilities of y or less and of more, with scores in log mu and log shape.

    Probabilities are summed: those on y's side of the mean, and where they are more than a half the others.
    """
    y = np.floor(y)
    if y < 0.0 or not 0.0 < mu.value < LARGEST:
        return -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    at = solved(mu.value, shape.value)
    if y < mu.value:
        below, below_mu, below_shape = log_sum(y, False, mu.value, shape.value, at)
        if below < LOG_HALF:
            above, share = complement(below)
            return below, below_mu, below_shape, above, share * below_mu, share * below_shape
        above, above_mu, above_shape = log_sum(y + 1.0, True, mu.value, shape.value, at)
        return below, below_mu, below_shape, above, above_mu, above_shape
    above, above_mu, above_shape = log_sum(y + 1.0, True, mu.value, shape.value, at)
    if above < LOG_HALF:
        below, share = complement(above)
        return below, share * above_mu, share * above_shape, above, above_mu, above_shape
    below, below_mu, below_shape = log_sum(y, False, mu.value, shape.value, at)
    return below, below_mu, below_shape, above, above_mu, above_shape


@deferred
def log_sum(
    y: float, upwards: bool, mu: float, nu: float, at: tuple[float, float, float, float, float, float]
) -> tuple[float, float, float]:
    """Return the logarithm of the sum of probabilities from y on, and its derivatives in log mu and log shape."""
    ref, s, whole, spread, bend, centre = at
    base, j = ref + 1.0, y - ref
    excess = rise(ref, y, j)
    largest = j * s - nu * excess
    total, first, once, before = 1.0, j, excess, largest
    while upwards or y > 0.0:
        if upwards:
            y += 1.0
            excess += np.log(y / base)
            j += 1.0
        else:
            excess -= np.log(y / base)
            y -= 1.0
            j -= 1.0
        exponent = j * s - nu * excess
        if exponent > largest + 600.0:
            shrink = np.exp(largest - exponent)
            total, first, once, largest = total * shrink, first * shrink, once * shrink, exponent
        term = np.exp(exponent - largest)
        total += term
        first += j * term
        once += excess * term
        if exponent < before and term < NEGLIGIBLE * total:
            break
        before = exponent
    away = first / total - (mu - ref)
    value = min(largest + np.log(total) - whole, 0.0)
    return value, mu * away / spread, nu * (away * bend - (once / total - centre))


# -- answers -------------------------------------------------------------------------------------------------------


@deferred
def spreads(mu: Any, nu: Any, out: Any) -> None:
    """Set variances (n,)."""
    for i in range(mu.size):
        out[i] = solved(mu[i], nu[i])[3]


@deferred
def shares(y: Any, mu: Any, nu: Any, out: Any) -> None:
    """Set probabilities of y or less (n,)."""
    for i in range(mu.size):
        at = solved(mu[i], nu[i])
        if y[i] < mu[i]:
            out[i] = np.exp(log_sum(y[i], False, mu[i], nu[i], at)[0])
        else:
            out[i] = -np.expm1(log_sum(y[i] + 1.0, True, mu[i], nu[i], at)[0])


@deferred
def invert(mu: Any, nu: Any, u: Any) -> None:
    """Put counts in the place of their probabilities (n,): the first with no less below, from the mean on."""
    for i in range(mu.size):
        at = solved(mu[i], nu[i])
        ref, s, whole = at[0], at[1], at[2]
        y, p = ref, np.exp(-whole)
        below = np.exp(log_sum(ref, False, mu[i], nu[i], at)[0])
        if u[i] > below:
            while u[i] > below and p > 0.0:
                y += 1.0
                p *= np.exp(s - nu[i] * np.log(y / (ref + 1.0)))
                below += p
        else:
            while y > 0.0 and u[i] <= below - p:
                below -= p
                p *= np.exp(nu[i] * np.log(y / (ref + 1.0)) - s)
                y -= 1.0
        u[i] = y


def flat(chosen: NDArray[np.bool_], *values: Any) -> list[Array]:
    """The values where chosen, side by side."""
    return [
        np.ascontiguousarray(np.broadcast_to(value, chosen.shape)[chosen], np.float64) for value in values
    ]


def variance(mu: Positive, shape: Positive) -> Array:
    """That of the sums; about mu/shape where the mean is large."""
    mean, nu = np.broadcast_arrays(mu.value, shape.value)
    chosen = (mean > 0) & (mean < LARGEST)
    out = np.empty(int(chosen.sum()))
    spreads.compiled(*flat(chosen, mean, nu), out)
    found = np.array(mean, np.float64)
    found[chosen] = out
    return found


def cdf(y: Array, mu: Positive, shape: Positive) -> Array:
    """P(Y <= y), summed; 1 of a mean of 0."""
    count, mean, nu = np.broadcast_arrays(np.asarray(y, float), mu.value, shape.value)
    chosen = (mean > 0) & (mean < LARGEST) & (count >= 0)
    out = np.empty(int(chosen.sum()))
    shares.compiled(*flat(chosen, count, mean, nu), out)
    found = np.where((count >= 0) & (mean < LARGEST), 1.0, 0.0)
    found[chosen] = out
    return found


def simulate(rng: np.random.Generator, mu: Positive, shape: Positive) -> Array:
    """Responses: the inverse of the distribution function; of a huge mean a rounded normal variable."""
    size = np.shape(mu.eta)
    mean = np.broadcast_to(np.minimum(mu.value, 1e18), size)
    nu = np.broadcast_to(shape.value, size)
    drawn = np.round(mean + np.sqrt(mean / nu) * rng.standard_normal(size))
    found = np.where(mean > 0, np.maximum(drawn, 0.0), 0.0)
    chosen = (mean > 0) & (mean < MANY)
    u = rng.random(int(chosen.sum()))
    invert.compiled(*flat(chosen, mean, nu), u)
    found[chosen] = u
    return found


# -- the graph -----------------------------------------------------------------------------------------------------


def in_tensors(mean: Any, nu: Any) -> tuple[Any, Any, Any, Any]:
    """Counts (…, terms), logarithms of their probabilities but for a factor, log lambda, and that factor's logarithm.

    Lambda is solved for without derivatives, and a last step of Newton's has them.
    """
    import pytensor.tensor as pt
    from pytensor.gradient import disconnected_grad

    def logs(log_lambda: Any) -> Any:
        return counts * pt.shape_padright(log_lambda) - pt.shape_padright(nu) * pt.gammaln(counts + 1.0)

    def moments(log_lambda: Any) -> tuple[Any, Any, Any]:
        terms = logs(log_lambda)
        top = pt.max(terms, axis=-1, keepdims=True)
        weights = pt.exp(terms - top)
        whole = pt.sum(weights, axis=-1)
        expected = pt.sum(weights * counts, axis=-1) / whole
        square = pt.sum(weights * (counts - pt.shape_padright(expected)) ** 2, axis=-1) / whole
        return expected, square, pt.log(whole) + top[..., 0]

    spread = pt.sqrt(pt.minimum(mean / pt.minimum(nu, 1.0), mean * (1.0 + mean)))
    first = disconnected_grad(pt.maximum(pt.floor(mean - 12.0 * spread - 20.0), 0.0))
    counts = pt.shape_padright(first) + np.arange(float(TERMS))
    wide = pt.maximum(-pt.log1p(1.0 / mean), nu * pt.log(mean + 0.5) - 1.0 / (2.0 * mean + 1.0))
    start = pt.switch(mean > 1.0, wide, -pt.log1p(1.0 / mean))
    narrow = pt.maximum(pt.log(mean), nu * pt.log(mean + 0.5 - 0.5 / nu))
    log_lambda = disconnected_grad(pt.switch(nu < 1.0, start, narrow))
    for turn in range(12):
        expected, square, _ = moments(log_lambda)
        flat = pt.log1p((mean - expected) / (expected * (1.0 + mean))) * (1.0 + expected)
        change = pt.switch(nu < 1.0, flat, pt.log(mean / expected)) * expected
        log_lambda = log_lambda + change / disconnected_grad(square)
        if turn < 11:
            log_lambda = disconnected_grad(log_lambda)
    return counts, logs(log_lambda), log_lambda, moments(log_lambda)[2]


def log_density(y: Any, mean: Any, nu: Any) -> Any:
    """The log density, in tensors."""
    import pytensor.tensor as pt

    _, _, log_lambda, total = in_tensors(mean, nu)
    y = pt.cast(y, "float64")
    return y * log_lambda - nu * pt.gammaln(y + 1.0) - total


def tensor_tail(y: Any, mean: Any, nu: Any, above: bool) -> Any:
    """The logarithm of the probability of more than y, or of y or less, in tensors."""
    import pytensor.tensor as pt

    counts, logs, _, total = in_tensors(mean, nu)
    last = pt.shape_padright(pt.as_tensor(y))
    chosen = counts > last if above else counts <= last
    return pt.log(pt.sum(pt.switch(chosen, pt.exp(logs - pt.shape_padright(total)), 0.0), axis=-1))


def graph(pm: Any, mu: Any, shape: Any) -> tuple[Any, dict[str, Any]]:
    """Its density, of sums of so many terms from twelve standard deviations below the mean on."""
    return ByDensity(pm, log_density), {"mean": mu.value, "nu": shape.value + 0.0 * mu.value}


FAMILY = Family(
    "compois",
    parameters=(
        Parameter("mu", POSITIVE, COUNT_LINKS, "mean"),
        Parameter(
            "shape",
            POSITIVE,
            OWN_LINKS,
            "shape: about mean over variance",
            lambda spread: Prior("LogNormal", mu=-0.7, sigma=1.0),
            lambda spread: 0.5,
        ),
    ),
    support=COUNT,
    row=row,
    graph=graph,
    simulate=simulate,
    mean=first_value,
    variance=variance,
    cdf=cdf,
    tails=Tails(
        tails,
        None,
        lambda y, **given: tensor_tail(y, **given, above=True),
        lambda y, **given: tensor_tail(y, **given, above=False),
    ),
    information=lambda mu, shape: np.square(mu.value) / np.maximum(variance(mu, shape), 1 / LARGEST),
    equation="ConwayMaxwellPoisson(mu, shape), P(Y = y) ∝ lambda^y / y!^shape",
    place=15,
)
