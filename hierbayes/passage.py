"""When and where a Wiener process first leaves an interval: its density, probabilities, moments, and draws.

The process starts at `w` of the way from the lower to the upper end of an interval of length 1, has variance u at time
u, and, but for `draw`, arrives at the lower end. What drift and length do to that is a factor and a change of units.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hierbayes.compiling import deferred

Array = NDArray[np.float64]
LATE = 0.5  # from this time on the series of sines has the fewer terms, before it that of images
SINES, IMAGES = 6, 6  # of which the last is below 1e-16 of the first on its side of LATE
LOG_PI, HALF_LOG_2PI = np.log(np.pi), 0.5 * np.log(2 * np.pi)
LEAST = 1e-300
ROUNDING = 1e-18  # what a term has at least, of it and of what is made of it, to be added


@deferred
def log_passage(u: float, w: float, v: float, log_w: float, log_v: float) -> tuple[float, float, float]:
    """Return the log density of reaching the lower end at time u, and its derivatives in log u and the log odds of w.

    Navarro and Fuss (2009), Journal of Mathematical Psychology 53, eq. 5 and 6, with the number of terms that leaves
    nothing out; each series is over its first term, and images are taken in pairs so that none cancels another where
    the process starts beside an end.

    Parameters
    ----------
    u : float
        Above 0.
    w, v : float
        The start and one minus it.
    log_w, log_v : float
        Their logarithms.
    """
    if u >= LATE:
        return _by_sines(u, w, v, log_w, log_v)
    return _by_images_near(u, w, v, log_w) if w <= v else _by_images_far(u, w, v, log_v)


@deferred
def _by_sines(u: float, w: float, v: float, log_w: float, log_v: float) -> tuple[float, float, float]:
    """Σ k sin(kπw) exp(−k²π²u/2), of whichever end is nearer: sin(kπw) is sin(kπv) with the sign of −(−1)^k."""
    near = w <= v
    m, rest, log_m = (w, v, log_w) if near else (v, w, log_v)
    sign = 1.0 if near else -1.0
    angle = np.pi * m
    sine, cosine = np.sin(angle), np.cos(angle)
    ratio = angle / sine if angle > 0.0 else 1.0
    # sin(kπm) / sin(πm) by its recursion, and its derivative in m
    last, now, last_slope, slope = 0.0, 1.0, 0.0, 0.0
    total, by_u, by_m, flip = 0.0, 0.0, 0.0, 1.0
    for k in range(1, SINES + 1):
        power = 0.5 * (k * k - 1.0) * np.pi * np.pi * u
        weight = flip * k * np.exp(-power)
        if k > 1 and k * abs(weight) * (k + power) < ROUNDING:
            break
        total += weight * now
        by_u -= weight * now * power
        by_m += weight * slope
        last_slope, slope = (
            slope,
            2.0 * (cosine * slope - np.pi * sine * now) - last_slope,
        )
        last, now = now, 2.0 * cosine * now - last
        flip *= sign
    decay = 0.5 * np.pi * np.pi * u
    value = 2.0 * LOG_PI - decay + log_m - np.log(ratio) + np.log(total)
    return value, -decay + by_u / total, sign * rest * (cosine * ratio + m * by_m / total)


@deferred
def _by_images_near(u: float, w: float, v: float, log_w: float) -> tuple[float, float, float]:
    """Σ (w + 2k) exp(−(w + 2k)²/2u), of a start in the lower half, over w exp(−w²/2u)."""
    at = max(w, LEAST)
    total, by_u, by_w = 1.0, 0.0, 0.0
    for k in range(1, IMAGES):
        upper = np.exp(-2.0 * k * (k - w) / u)  # of the image above the interval; the other is smaller
        lower = upper * np.exp(-4.0 * k * w / u)
        apart = upper * (-np.expm1(-4.0 * k * at / u) / at)
        both, share, pull = upper + lower, 2.0 * k / u, 2.0 * k * k / u
        if upper * share * (pull + k) < ROUNDING:
            break
        total += both - 2.0 * k * apart
        # derivatives in log u and log w of both and of apart
        both_u = pull * both - share * w * w * apart
        apart_u = pull * apart - share * both
        by_u += both_u - 2.0 * k * apart_u
        by_w += share * w * w * apart - 2.0 * k * (share * both - apart)
    value = -HALF_LOG_2PI - 1.5 * np.log(u) + log_w - 0.5 * w * w / u + np.log(total)
    return value, -1.5 + 0.5 * w * w / u + by_u / total, v * (1.0 - w * w / u + by_w / total)


@deferred
def _by_images_far(u: float, w: float, v: float, log_v: float) -> tuple[float, float, float]:
    """The same series of a start in the upper half, from v = 1 − w, over v exp(−w²/2u)."""
    at = max(v, LEAST)
    total, by_u, by_v = 0.0, 0.0, 0.0
    for k in range(IMAGES - 1):
        d = 2.0 * k + 1.0  # how far the middle of two images is from the lower end
        pull = 0.5 * (d - 1.0) * (d + 1.0 - 2.0 * v) / u
        share = 2.0 * d / u
        near = np.exp(-pull)
        if near * share * (pull + 1.0) * d < ROUNDING:
            break
        far = near * np.exp(-share * v)
        apart = near * (-np.expm1(-share * at) / at)
        lean = (d - 1.0) * v / u
        total += d * apart - near - far
        by_u += d * (pull * apart - share * far) - pull * near - (pull + share * v) * far
        by_v += d * ((lean - 1.0) * apart + share * far) - lean * near - (lean - share * v) * far
    value = -HALF_LOG_2PI - 1.5 * np.log(u) + log_v - 0.5 * w * w / u + np.log(total)
    return value, -1.5 + 0.5 * w * w / u + by_u / total, -w * (1.0 + v * w / u + by_v / total)


# -- probabilities, moments and draws, of arrays ------------------------------------------------------------------


def arrives_below(drift: Array, w: Array, v: Array) -> Array:
    """Probability that the lower end is the one reached, from w = 1 − v, under a drift a unit of time."""
    twice = 2.0 * np.abs(drift)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(twice > 1e-300, np.expm1(-twice * v) / np.expm1(-twice), v)
    return np.asarray(np.exp(-np.maximum(2.0 * drift, 0.0) * w) * ratio)


def arrived_below(u: Array, drift: Array, w: Array, v: Array) -> Array:
    """Probability that the lower end is reached, and by time u; 0 for u <= 0.

    Blurton, Kesselmeier and Gondan (2012), Journal of Mathematical Psychology 56, eq. 4 and 6.
    """
    u, drift, w, v = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (u, drift, w, v)))
    found = np.zeros(u.shape)
    early, late = (u > 0) & (u < LATE), u >= LATE
    found[early] = _arrived_early(u[early], drift[early], w[early])
    some = drift[late], w[late], v[late]
    found[late] = arrives_below(*some) - _arrives_late(u[late], *some)
    return np.clip(found, 0.0, 1.0)


def _arrived_early(u: Array, drift: Array, w: Array) -> Array:
    """A sum over images: of each the probability of an inverse Gaussian time."""
    speed, root, pull = np.abs(drift), np.sqrt(u), drift * w
    found = np.zeros(u.shape)
    for k in range(-3, 3):  # the next are exp(-36) of the first
        z = np.abs(w + 2.0 * k)
        there = np.exp(-pull - speed * z + special.log_ndtr((speed * u - z) / root))
        there += np.exp(-pull + speed * z + special.log_ndtr(-(speed * u + z) / root))
        found += there if k >= 0 else -there
    return found


def _arrives_late(u: Array, drift: Array, w: Array, v: Array) -> Array:
    """The probability that the lower end is reached, later than u: a sum over sines."""
    near = w <= v
    angle, found = np.pi * np.where(near, w, v), np.zeros(u.shape)
    for k in range(1, 5):
        rate = 0.5 * (drift * drift + (k * np.pi) ** 2)
        sine = np.sin(k * angle) * (1.0 if k % 2 else np.where(near, 1.0, -1.0))
        found += np.pi * k * sine * np.exp(-drift * w - rate * u) / rate
    return found


SLOW = 0.25  # drifts below which closed forms would cancel
ORDER = 10  # of series in the drift, which converge as (drift / π)^n


def passage_moments(drift: Array, w: Array, v: Array) -> tuple[Array, Array]:
    """Mean and variance of the time at which either end is reached.

    The moments solve m'' / 2 + drift m' = −1, or −2 m₁ of the second, with m = 0 at the ends (Cox and Miller 1965, The
    Theory of Stochastic Processes, section 5.10): in closed form, or under a slow drift by powers of it.
    """
    drift, w, v = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (drift, w, v)))
    near, far = np.where(drift < 0, v, w), np.where(drift < 0, w, v)  # seen so that the drift is upwards
    speed = np.abs(drift)
    fast = np.maximum(speed, SLOW)
    beta, tail = -1.0 / np.expm1(-2.0 * fast), np.exp(-2.0 * fast * near)
    gone = -np.expm1(-2.0 * fast * near)
    mean = (beta * gone - near) / fast
    last = (2 * beta + 1 / fast - 1 + 2 * beta * np.exp(-2 * fast)) / np.square(fast) * beta
    line = np.square(near) - (2 * beta + 1 / fast) * near - 2 * beta * near * tail
    second = line / np.square(fast) + last * gone
    mean, second = np.array(mean), np.array(second)  # of single numbers too
    slow = speed < SLOW
    if slow.any():
        mean[slow], second[slow] = (_by_powers(table, speed[slow], near[slow], far[slow]) for table in SERIES)
    return mean, np.maximum(second - np.square(mean), 0.0)


def _moment_series() -> tuple[list[Array], list[Array]]:
    """The moments' coefficients: of each power of the drift a polynomial in w, over w (1 − w)."""
    from numpy.polynomial import Polynomial

    ends, x = Polynomial([0.0, 1.0, -1.0]), Polynomial([0.0, 1.0])
    tables = []
    right = [Polynomial([-1.0])] + [Polynomial([0.0])] * ORDER
    for _ in range(2):
        found: list[Polynomial] = []
        for n in range(ORDER + 1):
            before = found[-1].deriv() if found else Polynomial([0.0])
            curve = (2.0 * (right[n] - before)).integ(2)
            found.append(curve - curve(1.0) * x)
        tables.append([np.asarray((one // ends).coef, np.float64) for one in found])
        right = [-2.0 * one for one in found]
    return tables[0], tables[1]


SERIES = _moment_series()


def _by_powers(table: list[Array], drift: Array, w: Array, v: Array) -> Array:
    found = np.zeros(drift.shape)
    for coefficients in reversed(table):
        found = found * drift + np.polynomial.polynomial.polyval(w, coefficients)
    return np.asarray(found * w * v)


FASTEST = 1e6  # drift over a distance from which on the time is that distance over the drift, to rounding


def draw_passage(
    rng: np.random.Generator, drift: Array, w: Array, v: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Draw times, and whether the upper end is the one reached; exact.

    From wherever it is the process leaves the largest interval around it that fits, the same way up or down but for
    the odds of the drift and independently of when; until that interval's end is an end of the whole.
    """
    shape = np.broadcast_shapes(*map(np.shape, (drift, w, v)))
    drift, below, above = (
        np.array(np.broadcast_to(each, shape), np.float64).ravel() for each in (drift, w, v)
    )
    time, upper = np.zeros(drift.shape), np.zeros(drift.shape, np.bool_)
    going = np.arange(drift.size)
    while going.size:
        low, high = below[going], above[going]
        step = np.minimum(low, high)
        pull = np.clip(drift[going] * step, -FASTEST, FASTEST)
        time[going] += np.square(step) * _draw_exit(rng, np.abs(pull))
        up = rng.random(going.size) < special.expit(2.0 * pull)
        ended = np.where(up, high <= low, low <= high)
        upper[going[ended]] = up[ended]
        below[going] = np.where(up, low + step, low - step)
        above[going] = np.where(up, high - step, high + step)
        going = going[~ended]
    return np.reshape(time, shape), np.reshape(upper, shape)


PARTED = 0.64  # where the proposals' densities change


def _draw_exit(rng: np.random.Generator, drift: Array) -> Array:
    """Draw the time at which a process with this drift (n,), 0 or more, is first at distance 1 from its start.

    Devroye (2009), Statistics & Probability Letters 79, with the proposals of Polson, Scott and Windle (2013), Journal
    of the American Statistical Association 108, whose J*(1, z) this is.
    """
    rate = np.pi**2 / 8 + np.square(drift) / 2
    root = np.sqrt(1 / PARTED)
    late = np.log(np.pi / 2 / rate) - rate * PARTED
    with np.errstate(invalid="ignore"):
        early = np.log(2.0) + np.logaddexp(
            special.log_ndtr(root * (PARTED * drift - 1)) - drift,
            drift + special.log_ndtr(-root * (PARTED * drift + 1)),
        )
    is_late = special.expit(late - early)
    found, going = np.empty(drift.shape), np.arange(drift.size)
    while going.size:
        x = np.empty(going.size)
        beyond = rng.random(going.size) < is_late[going]
        x[beyond] = PARTED + rng.standard_exponential(beyond.sum()) / rate[going[beyond]]
        x[~beyond] = _draw_early(rng, drift[going[~beyond]])
        share = np.ones(going.size)  # of the proposal's density that the density is, by alternating terms
        power = np.where(beyond, np.square(np.pi) * x / 2, 2 / x)
        for n in range(1, SINES):
            share += (-1) ** n * (2 * n + 1) * np.exp(-n * (n + 1) * power)
        taken = rng.random(going.size) < share
        found[going[taken]] = x[taken]
        going = going[~taken]
    return found


def _draw_early(rng: np.random.Generator, drift: Array) -> Array:
    """Draw inverse Gaussian times with mean 1 / drift and shape 1 that are below `PARTED`."""
    found, going = np.empty(drift.shape), np.arange(drift.size)
    while going.size:
        z = drift[going]
        x = np.empty(going.size)
        slow = z < 1 / PARTED
        # inverse chi-squared ones, cut off, and taken as often as the drift says
        e = rng.standard_exponential((2, int(slow.sum())))
        x[slow] = PARTED / np.square(1 + PARTED * e[0])
        taken = np.ones(going.size, np.bool_)
        taken[slow] = np.square(e[0]) <= 2 * e[1] / PARTED
        taken[slow] &= rng.random(e.shape[1]) < np.exp(-0.5 * np.square(z[slow]) * x[slow])
        x[~slow] = rng.wald(1 / z[~slow], 1.0)
        taken[~slow] = x[~slow] < PARTED
        found[going[taken]] = x[taken]
        going = going[~taken]
    return found
