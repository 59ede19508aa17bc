"""Choices and how long they took: a Wiener process that drifts until it reaches one of two boundaries.

A response is a time with the sign of its choice: above 0 at the upper boundary, below 0 at the lower one.
"""

from typing import Any

import numpy as np

from hierbayes.compiling import row_function
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import OWN_LINKS, SHARE_LINKS, Array, Family, Parameter, Support
from hierbayes.kinds import (
    NUMBER,
    POSITIVE,
    PROBABILITY,
    NumberRow,
    ParameterValues,
    Positive,
    PositiveRow,
    Probability,
    ProbabilityRow,
)
from hierbayes.passage import (
    LATE,
    LEAST,
    arrived_below,
    arrives_below,
    draw_passage,
    log_passage,
    passage_moments,
)
from hierbayes.priors import Prior

FASTEST = 1e100  # drift or distance whose squares are still numbers


@row_function
def row(
    y: float, mu: NumberRow, bs: PositiveRow, ndt: PositiveRow, bias: ProbabilityRow
) -> tuple[float, float, float, float, float]:
    """Return the log density, and its scores in mu, log bs, log ndt and the log odds of bias.

    At the lower boundary it is −2 log bs − mu bs bias − mu² t/2 + log f(t/bs²; bias), t the time beyond ndt and f of
    `passage`; at the upper one the same of −mu and 1 − bias.
    """
    t = abs(y) - ndt.value
    if t <= 0.0:
        return -np.inf, 0.0, 0.0, 0.0, 0.0
    u, drift = t * np.exp(-2.0 * bs.log), min(max(mu.value, -FASTEST), FASTEST)
    if y < 0.0:
        side, start = 1.0, bias.p
        log, by_u, by_w = log_passage(u, bias.p, bias.q, bias.log_p, bias.log_q)
    else:
        side, start = -1.0, bias.q
        log, by_u, by_w = log_passage(u, bias.q, bias.p, bias.log_q, bias.log_p)
    path = side * drift * bs.value * start
    value = log - 2.0 * bs.log - path - 0.5 * drift * drift * t
    by_path = side * drift * bs.value * bias.p * bias.q
    return (
        value,
        -side * bs.value * start - drift * t,
        -2.0 - path - 2.0 * by_u,
        ndt.value * (0.5 * drift * drift - by_u / t),
        side * (by_w - by_path),
    )


def scaled(mu: ParameterValues, bs: Positive) -> tuple[Array, Array]:
    """The drift where the boundaries are 1 apart, and the unit of time that makes it so: bs²."""
    distance = np.clip(bs.value, 1 / FASTEST, FASTEST)
    return np.clip(mu.value, -FASTEST, FASTEST) * distance, np.square(distance)


def simulate(
    rng: np.random.Generator, mu: ParameterValues, bs: Positive, ndt: Positive, bias: Probability
) -> Array:
    """Responses."""
    drift, unit = scaled(mu, bs)
    shape = np.broadcast_shapes(*(np.shape(each.eta) for each in (mu, bs, ndt, bias)))
    time, upper = draw_passage(rng, np.broadcast_to(drift, shape), bias.p, bias.q)
    whole = np.maximum(ndt.value + unit * time, LEAST)
    return np.where(upper, whole, -whole)


def upper(mu: ParameterValues, bs: Positive, ndt: Positive, bias: Probability) -> Array:
    """The probability of the upper boundary."""
    return arrives_below(-scaled(mu, bs)[0], bias.q, bias.p) + 0.0 * ndt.value


def mean(mu: ParameterValues, bs: Positive, ndt: Positive, bias: Probability) -> Array:
    """The mean time, whichever the boundary."""
    drift, unit = scaled(mu, bs)
    found: Array = ndt.value + unit * passage_moments(drift, bias.p, bias.q)[0]
    return found


def variance(mu: ParameterValues, bs: Positive, ndt: Positive, bias: Probability) -> Array:
    """The variance of the time, whichever the boundary."""
    drift, unit = scaled(mu, bs)
    found: Array = np.square(unit) * passage_moments(drift, bias.p, bias.q)[1] + 0.0 * ndt.value
    return found


def cdf(y: Array, mu: ParameterValues, bs: Positive, ndt: Positive, bias: Probability) -> Array:
    """Below 0 the probability of the lower boundary after −y; above it that of this one, or the other by y."""
    drift, unit = scaled(mu, bs)
    below, lower = arrives_below(drift, bias.p, bias.q), np.less(y, 0)
    start, rest = np.where(lower, bias.p, bias.q), np.where(lower, bias.q, bias.p)
    arrived = arrived_below((np.abs(y) - ndt.value) / unit, np.where(lower, drift, -drift), start, rest)
    return np.clip(np.where(lower, below - arrived, below + arrived), 0.0, 1.0)


def graph(pm: Any, mu: Any, bs: Any, ndt: Any, bias: Any) -> tuple[Any, dict[str, Any]]:
    """The same density in tensors, by both series as they are written, each where it has few terms."""
    import pytensor.tensor as pt

    def log_density(y: Any, mu: Any, bs: Any, ndt: Any, bias: Any) -> Any:
        lower = y < 0
        drift, w = pt.switch(lower, mu, -mu), pt.switch(lower, bias, 1 - bias)
        t = pt.abs(y) - ndt
        inside = t > 0
        t = pt.switch(inside, t, 1.0)
        u = t / pt.sqr(bs)
        early, late = pt.minimum(u, LATE), pt.maximum(u, LATE)
        images = pt.stack(
            [(w + 2 * k) * pt.exp(-2 * k * (w + k) / early) for k in range(-8, 9)], axis=0
        )  # over the first one's exp(−w²/2u)
        sines = pt.stack(
            [k * pt.sin(k * np.pi * w) * pt.exp(-(k * k - 1) * np.pi**2 * late / 2) for k in range(1, 9)],
            axis=0,
        )
        of_images = pt.log(images.sum(axis=0)) - 0.5 * pt.sqr(w) / early - 0.5 * pt.log(2 * np.pi * early**3)
        of_sines = pt.log(np.pi * sines.sum(axis=0)) - np.pi**2 * late / 2
        passage = pt.switch(u < LATE, of_images, of_sines)
        value = passage - 2 * pt.log(bs) - drift * bs * w - 0.5 * pt.sqr(drift) * t
        return pt.switch(inside, value, -np.inf)

    arguments = {"mu": mu.value, "bs": bs.value, "ndt": ndt.value, "bias": bias.value}
    return ByDensity(pm, log_density), arguments


FAMILY = Family(
    "wiener",
    parameters=(
        Parameter("mu", NUMBER, ("identity", "log", "softplus", "squareplus"), "drift rate"),
        Parameter(
            "bs",
            POSITIVE,
            OWN_LINKS,
            "boundary separation",
            lambda spread: Prior("Gamma", alpha=2.0, beta=0.8 / np.sqrt(spread)),
            lambda spread: 2.4 * np.sqrt(spread),
        ),
        Parameter(
            "ndt",
            POSITIVE,
            OWN_LINKS,
            "non-decision time",
            lambda least: Prior("Uniform", lower=0.0, upper=least),
            lambda least: 0.5 * least,
            of="least",
        ),
        Parameter(
            "bias",
            PROBABILITY,
            SHARE_LINKS,
            "start, as a share of the way from the lower boundary to the upper one",
            lambda spread: Prior("Beta", alpha=2.0, beta=2.0),
            lambda spread: 0.5,
        ),
    ),
    support=Support(
        "a finite number above 0, and a choice",
        lambda y, trials: np.isfinite(y) & (y != 0),
        signed=True,
    ),
    row=row,
    graph=graph,
    simulate=simulate,
    mean=mean,
    mean_of="other",
    own_in_mean=("bs", "ndt", "bias"),
    variance=variance,
    cdf=cdf,
    first_scale=lambda spread: 1 / np.sqrt(spread),
    quantities={"upper": upper},
    equation="ndt + the time in which a Wiener process of drift mu, from bias·bs, reaches 0 or bs",
    place=32,
)
