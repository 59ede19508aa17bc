"""Bases of splines: B-splines, natural and cyclic cubic regression splines, thin-plate regression splines.

Their columns sum to 0 over the training rows unless ``center=False``: the constant is the intercept's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hierbayes.transforms.record import REQUIRED, Argument, Array, Transform

_TRUTH = Argument("truth", True)
_BOUND = Argument("number")
_SITES = 2000  # of a thin-plate basis, beyond which some are drawn


@dataclass(frozen=True)
class Basis:
    """A basis as a function of values (n,) → (n, k), and what takes the constant out of it."""

    evaluate: Callable[[Array], Array]
    centring: Array | None


def _columns(state: Basis, values: Array) -> Array:
    basis = state.evaluate(values)
    return basis if state.centring is None else basis @ state.centring


def _centred(evaluate: Callable[[Array], Array], values: Array, center: bool) -> Basis:
    """The basis, less the direction of its columns' means: a Householder reflection without its first column."""
    if not center:
        return Basis(evaluate, None)
    means = evaluate(values).mean(axis=0)
    normal = means / np.linalg.norm(means)
    normal[0] += 1.0 if normal[0] >= 0 else -1.0
    normal /= np.linalg.norm(normal)
    return Basis(evaluate, (np.eye(len(means)) - 2.0 * np.outer(normal, normal))[:, 1:])


def _check_df(df: int | None, least: int, values: Array) -> None:
    if df is not None and df < least:
        raise ValueError(f"df is {least} or more here, not {df}")
    distinct = len(np.unique(values))
    if df is not None and df > distinct:
        raise ValueError(f"df={df} needs as many different values; there are {distinct}")


# -- B-splines --------------------------------------------------------------------------------------------------


def _learn_bs(
    values: Array,
    df: int | None,
    knots: tuple[float, ...] | None,
    degree: int,
    intercept: bool | None,
    lower_bound: float | None,
    upper_bound: float | None,
    center: bool,
) -> Basis:
    from scipy.interpolate import BSpline

    center = center if intercept is None else not intercept
    if degree < 0:
        raise ValueError("the degree is 0 or more")
    if df is None and knots is None:
        raise ValueError("it needs df= or knots=")
    _check_df(df, degree + 1 - center, values)
    count = None if df is None else df - degree - 1 + center
    if knots is None:
        assert count is not None
        inner = np.percentile(values, 100 * np.linspace(0, 1, count + 2)[1:-1])
    else:
        inner = np.array(knots, dtype=np.float64)
        if count is not None and len(inner) != count:
            raise ValueError(f"df={df} goes with {count} knots, and knots= has {len(inner)}")
    low = float(values.min() if lower_bound is None else lower_bound)
    high = float(values.max() if upper_bound is None else upper_bound)
    if not low < high:
        raise ValueError(f"the lower bound {low:g} is not below the upper one, {high:g}")
    outside = inner[(inner < low) | (inner > high)]
    if len(outside):
        raise ValueError(f"the knot {outside[0]:g} is outside of the bounds {low:g} and {high:g}")
    every = np.sort(np.concatenate([np.repeat([low, high], degree + 1), inner]))
    spline = BSpline(every, np.eye(len(every) - degree - 1), degree, extrapolate=True)
    return _centred(spline, values, center)


# -- cubic regression splines -----------------------------------------------------------------------------------


def _inner_knots(
    values: Array,
    df: int | None,
    knots: tuple[float, ...] | None,
    low: float,
    high: float,
    more: int,
    least: int,
) -> Array:
    """Knots between the bounds: those given, or quantiles of the different values; `more` is df less their number."""
    if knots is not None:
        inner = np.sort(np.array(knots, dtype=np.float64))
        if len(np.unique(inner)) < len(inner):
            raise ValueError("a knot stands twice")
        if (inner <= low).any() or (inner >= high).any():
            raise ValueError(f"the knots lie between the bounds {low:g} and {high:g}")
        if len(inner) < least:
            raise ValueError(f"it needs {least} knot or more")
        if df is not None and df != len(inner) + more:
            raise ValueError(f"df={df} goes with {df - more} knots, and knots= has {len(inner)}")
    else:
        df = 10 if df is None else df
        _check_df(df, more + least, values)
        within = np.unique(values[(values >= low) & (values <= high)])
        inner = np.quantile(within, np.linspace(0, 1, df - more + 2)[1:-1])
    ends = 1 if least else 2  # both ends of a cycle are one
    distinct = len(np.unique(values))
    if distinct < len(inner) + ends:
        raise ValueError(f"it needs {len(inner) + ends} different values; there are {distinct}")
    return inner


def _learn_cr(
    values: Array,
    df: int | None,
    knots: tuple[float, ...] | None,
    lower_bound: float | None,
    upper_bound: float | None,
    center: bool,
) -> Basis:
    from scipy.interpolate import CubicSpline

    low = float(values.min() if lower_bound is None else lower_bound)
    high = float(values.max() if upper_bound is None else upper_bound)
    if not low < high:
        raise ValueError(f"the lower bound {low:g} is not below the upper one, {high:g}")
    inner = _inner_knots(values, df, knots, low, high, 1 if center else 2, 0)
    every = np.concatenate([[low], inner, [high]])
    spline = CubicSpline(every, np.eye(len(every)), bc_type="natural")

    def evaluate(x: Array) -> Array:
        """Cubic between the bounds, along the tangents outside."""
        basis: Array = spline(np.clip(x, low, high))
        for end, outside in ((low, x < low), (high, x > high)):
            if outside.any():
                basis[outside] += np.outer(x[outside] - end, spline(end, nu=1))
        return basis

    return _full_rank(_centred(evaluate, values, center), values)


def _learn_cc(
    values: Array,
    period: float,
    df: int | None,
    knots: tuple[float, ...] | None,
    lower_bound: float | None,
    center: bool,
) -> Basis:
    from scipy.interpolate import CubicSpline

    if not 0 < period < np.inf:
        raise ValueError("the period is above 0")
    low = float(values.min() if lower_bound is None else lower_bound)

    def phase(x: Array) -> Array:
        return low + np.mod(x - low, period)

    inner = _inner_knots(phase(values), df, knots, low, low + period, 0 if center else 1, 1)
    every = np.concatenate([[low], inner, [low + period]])
    free = np.eye(len(every) - 1)
    spline = CubicSpline(every, np.vstack([free, free[:1]]), bc_type="periodic")
    return _full_rank(_centred(lambda x: spline(phase(x)), values, center), values)


def _full_rank(basis: Basis, values: Array) -> Basis:
    columns = basis.evaluate(values)
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        raise ValueError("these values leave some of its columns undetermined; take a smaller df")
    return basis


# -- thin-plate regression splines ------------------------------------------------------------------------------


def _kernel(x: Array, sites: Array) -> Array:
    return np.abs(np.subtract.outer(x, sites)) ** 3 / 12


def _leading(matrix: Array, rank: int) -> Array:
    """Eigenvectors of the `rank` eigenvalues that are largest in size."""
    size = len(matrix)
    if rank >= size // 2 or size <= 200:
        values, vectors = np.linalg.eigh(matrix)
    else:
        from scipy.sparse.linalg import eigsh

        values, vectors = eigsh(matrix, k=rank, which="LM", v0=np.ones(size))
    leading: Array = vectors[:, np.argsort(np.abs(values))[::-1][:rank]]
    return leading


def _learn_tp(values: Array, df: int, center: bool, max_knots: int, seed: int) -> Basis:
    """Wood (2003), JRSS B 65, section 3, for one predictor and second derivatives."""
    _check_df(df, 2 if center else 3, values)
    if max_knots < 3:
        raise ValueError("max_knots is 3 or more")
    rank = df + center
    mean, deviation = float(values.mean()), float(values.std())
    if not deviation > 0:
        raise ValueError("it has one value in every row")
    sites = np.unique((values - mean) / deviation)
    if len(sites) > max_knots:
        chosen = np.random.RandomState(seed).choice(sites, size=max_knots, replace=False)
        sites = np.sort(chosen)
    if len(sites) < rank:
        raise ValueError(f"df={df} needs {rank} different values; there are {len(sites)}")
    leading = _leading(_kernel(sites, sites), rank)
    lines = leading.T @ np.column_stack([np.ones(len(sites)), sites])
    curved = leading @ np.linalg.qr(lines, mode="complete")[0][:, 2:]
    radial = _kernel((values - mean) / deviation, sites) @ curved
    curved = curved / np.sqrt(np.mean(radial**2, axis=0))

    def evaluate(x: Array) -> Array:
        z = (x - mean) / deviation
        return np.column_stack([_kernel(z, sites) @ curved, np.ones(len(z)), z])

    return _centred(evaluate, values, center)


_KNOTS: dict[str, Any] = {"df": Argument("whole"), "knots": Argument("numbers")}
BS = Transform(
    "bs",
    _learn_bs,
    _columns,
    _KNOTS
    | {
        "degree": Argument("whole", 3),
        "intercept": Argument("truth"),
        "lower_bound": _BOUND,
        "upper_bound": _BOUND,
        "center": _TRUTH,
    },
)
CR = Transform(
    "cr", _learn_cr, _columns, _KNOTS | {"lower_bound": _BOUND, "upper_bound": _BOUND, "center": _TRUTH}
)
CC = Transform(
    "cc",
    _learn_cc,
    _columns,
    {"period": Argument("number", REQUIRED)} | _KNOTS | {"lower_bound": _BOUND, "center": _TRUTH},
)
TP = Transform(
    "tp",
    _learn_tp,
    _columns,
    {
        "df": Argument("whole", 10),
        "center": _TRUTH,
        "max_knots": Argument("whole", _SITES),
        "seed": Argument("whole", 1),
    },
)
