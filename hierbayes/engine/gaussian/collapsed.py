"""Gaussian mixed models: NUTS sees the hyperparameters, and of the effects those too dear to integrate out."""

import os
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from hierbayes.engine.core.density import Density
from hierbayes.engine.core.hyperparameters import blocks_of, correlations_of, scale_table, start_theta
from hierbayes.engine.core.nuts import sample_nuts
from hierbayes.engine.core.problem import Floats
from hierbayes.engine.core.standardisation import find_mode, standardise
from hierbayes.engine.core.trajectories import harmonic
from hierbayes.engine.gaussian.conditional import draw_coefficients
from hierbayes.engine.gaussian.crossed import crossed_density, draw_crossed
from hierbayes.engine.gaussian.kernels import log_density
from hierbayes.engine.gaussian.laplace import laplace_start
from hierbayes.engine.gaussian.moments import Moments, Reference, moments
from hierbayes.engine.gaussian.nestdraws import draw_nested
from hierbayes.engine.gaussian.nested import Nested, nest, seconds_of
from hierbayes.engine.gaussian.nestkernels import nested_log_density
from hierbayes.engine.gaussian.packing import Packed, pack
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.gaussian.products import Crossed, cross
from hierbayes.engine.gaussian.route import SERIES, Route, chain_of, choose_route
from hierbayes.engine.gaussian.serial import Serial, draw_serial, serialise

TUNE, TUNE_SAMPLED = (
    500,
    150,
)  # the standardisation is good from the start; few dimensions are cheap to tune for longer
TARGET, TARGET_SAMPLED = 0.9, 0.8  # of thousands of almost independent coordinates, 0.8 is enough
# Seven steps of half a radian are just more than half a circle, where NUTS turns; longer ones would be unstable where
# curvatures are a dozen.
HARMONIC = harmonic(0.5)


@dataclass(frozen=True)
class Draws:
    """Posterior draws, every array (chain, draw, …).

    ``sd``, ``shapes``, ``cor`` and ``r`` have one array a factor, of shapes (…, q), (…, parameters and constants of its
    structures), (…, q, q) and (…, n_levels, q);
    ``r`` is empty if the effects were not asked for.
    """

    own: Floats  # (chain, draw, S): sigma, or the scales that log sigma of each row comes from
    b: Floats  # (chain, draw, p), on the scale of the user's columns
    sd: tuple[Floats, ...]
    shapes: tuple[Floats, ...]
    cor: tuple[Floats, ...]
    r: tuple[Floats, ...]
    series: Floats  # (chain, draw, P): parameters and constants of the residuals' structure
    theta: Floats  # (chain, draw, n_theta)
    statistics: dict[str, np.ndarray]

    @property
    def sigma(self) -> Floats:
        """The standard deviation of all residuals, (chain, draw)."""
        return self.own[..., 0]


def route_of(problem: GaussianProblem) -> Route:
    """Return the way that is the cheapest for a problem's sizes."""
    if problem.series is not None:
        return SERIES
    sizes, codes = [(f.n_levels, f.q) for f in problem.factors], [f.codes for f in problem.factors]
    chain = chain_of([f.n_levels for f in problem.factors], lambda j, k: (codes[j], codes[k]))
    return choose_route(problem.X.shape[1], sizes, len(problem.y), bool(chain))


def prepare(
    problem: GaussianProblem, m: Moments | None = None, route: Route | None = None
) -> tuple[Packed | Nested | Crossed | Serial, Moments]:
    """Return a problem ready for evaluation, standardised: in coordinates in which the posterior is about N(0, I).

    Parameters
    ----------
    problem : GaussianProblem
    m : Moments, optional
        If they are known already; the problem's rows are not read then.
    route : Route, optional
        Default: the cheapest.
    """
    m = moments(problem) if m is None else m
    model = arrange(problem, m, route_of(problem) if route is None else route)
    if isinstance(model, Crossed):
        return laplace_start(m, model, rough_start(problem, m)), m
    mode = find_mode(density_of(model).evaluator(), rough_start(problem, m))
    return standardise(model, model.constants.scales, lambda model: density_of(model).evaluator(), mode), m


def arrange(problem: GaussianProblem, m: Moments, route: Route) -> Packed | Nested | Crossed | Serial:
    """Return a problem's moments as the arrays of its route, in theta's own coordinates."""
    if route.series:
        return serialise(problem, m)
    if route.sampled:
        return cross(problem, m, route.primary, route.sampled)
    if route.chained < inf and seconds_of(problem, m) <= route.seconds:
        return nest(problem, m)
    return pack(problem, m, route.primary)


def density_of(model: Packed | Nested | Crossed | Serial) -> Density:
    """Return the log density of a model's coordinates."""
    if isinstance(model, Crossed):
        return crossed_density(model)
    if isinstance(model, Serial):
        return model.density()
    kernels: dict[type, Any] = {Nested: nested_log_density, Packed: log_density}
    return Density(kernels[type(model)], model.dim, model.constants, model.memory)


def rough_start(problem: GaussianProblem, m: Moments) -> Floats:
    """Return a theta of sensible size: residual and group effects share what X leaves unexplained.

    That is at least a tenth of what X explains: as many columns as rows leave nothing, and no residual is that small.
    """
    b, n = m.reference.b, m.n
    products = m.dense[:-1, :-1]
    mean = 0.0 if problem.intercept is None else float(products[problem.intercept] @ b) / n
    explained = float(b @ products @ b) / n - mean * mean
    left = max(float(m.dense[-1, -1]) / n, 0.01 * explained, 1e-300) ** 0.5
    values = [0.7 * left]
    if problem.log_sigma is not None:
        wanted = np.log(values[0]) - problem.log_sigma.offset
        values = np.exp(np.linalg.lstsq(problem.log_sigma.columns, wanted)[0]).tolist()
    for f, ZZ in zip(problem.factors, m.within, strict=True):
        squares = np.bincount(f.scale_of, np.einsum("gaa->a", ZZ) / m.n)
        size = np.sqrt(squares)
        size[size == 0] = 1.0
        values += (0.5 * left / size).tolist()
    return start_theta(problem.n_theta, *scale_table(problem.own_priors, problem.factors), values)


def sample(
    problem: GaussianProblem,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    seed: int = 0,
    target_accept: float | None = None,
    progress: bool = False,
    effects: bool = True,
    m: Moments | None = None,
    route: Route | None = None,
    **settings: Any,
) -> Draws:
    """Draw from the posterior of a Gaussian mixed model.

    Parameters
    ----------
    problem : GaussianProblem
    draws, tune, chains : int
        Draws after tuning, tuning steps (default: what the route needs) and chains.
    cores : int, optional
        Chains at the same time. Default: as many as the machine can run.
    seed : int
        Same seed, same draws.
    target_accept : float, optional
        Acceptance rate that the step size aims at. Default: what the route needs.
    progress : bool
        Show nutpie's progress bar.
    effects : bool
        Return the group effects too. They take draws × chains × levels × effects numbers of memory; `complete`
        can draw them later for some of the draws.
    m : Moments, optional
        If they are known already; the problem's rows are not read then.
    route : Route, optional
        What is integrated out and what sampled. Default: the cheapest.
    **settings
        Of ``nutpie.sample``, such as ``progress_callback``.
    """
    route = route_of(problem) if route is None else route
    model, m = prepare(problem, m, route)
    available = min(chains, getattr(os, "process_cpu_count", os.cpu_count)() or 1)
    found = sample_nuts(
        density_of(model),
        start=lambda chain_seed: np.random.default_rng(chain_seed).uniform(-2, 2, model.dim),
        draws=draws,
        tune=(TUNE_SAMPLED if route.sampled else TUNE) if tune is None else tune,
        chains=chains,
        cores=available if cores is None else cores,
        seed=seed,
        progress=progress,
        target_accept=(TARGET_SAMPLED if route.sampled else TARGET)
        if target_accept is None
        else target_accept,
        **(HARMONIC if route.sampled else {}) | settings,
    )
    points = unframe(model, found.positions)
    return complete(problem, model, m.reference, points, found.statistics, seed, cores or available, effects)


def unframe(model: Packed | Nested | Crossed | Serial, positions: Floats) -> Floats:
    """Return positions (…, dim) with theta itself in place of its coordinates."""
    packed = model.packed if isinstance(model, Crossed) else model
    n, constants = packed.n_theta, packed.constants
    theta = constants.origin + positions[..., :n] @ constants.scale_tril.T
    return np.concatenate([theta, positions[..., n:]], axis=-1)


def log_volume(model: Packed | Nested | Crossed | Serial) -> float:
    """Return the logarithm of the volume in theta of a unit of its coordinates' volume."""
    packed = model.packed if isinstance(model, Crossed) else model
    return float(np.log(np.diagonal(packed.constants.scale_tril)).sum())


def complete(
    problem: GaussianProblem,
    model: Packed | Nested | Crossed | Serial,
    about: Reference,
    points: Floats,
    statistics: dict[str, np.ndarray],
    seed: int,
    threads: int,
    effects: bool = True,
) -> Draws:
    """Add exact draws of all other coefficients to draws of theta and the sampled effects, (chain, draw, dim)."""
    shape = points.shape[:2]
    p = problem.X.shape[1]
    keep = None if effects else p
    flat = points.reshape(shape[0] * shape[1], points.shape[2])
    if isinstance(model, Crossed):
        drawn = draw_crossed(model, flat, (seed, 1), threads, keep)
    elif isinstance(model, Nested):
        drawn = draw_nested(model, flat, (seed, 1), threads, keep)
    elif isinstance(model, Serial):
        drawn = draw_serial(model, flat, (seed, 1), threads, keep)
    else:
        drawn = draw_coefficients(model, flat, (seed, 1), threads, keep)
    values = drawn.values.reshape(*shape, -1)
    scale = drawn.scale.reshape(*shape, -1)
    chol = drawn.chol.reshape(*shape, *drawn.chol.shape[1:])
    b = values[..., :p] + about.b
    if problem.intercept is not None:
        b[..., problem.intercept] -= b @ problem.centre
    sds, shapes, cors, rs = [], [], [], []
    at, first = p, len(problem.own_priors)
    series = (problem.series,) if problem.series else ()
    start = first + sum(len(f.sd_priors) for f in (*problem.factors, *series))
    for k, f in enumerate(problem.factors):
        sds.append(scale[..., first + f.scale_of])
        count = sum(len(block.shapes) for block in blocks_of(f))
        shapes.append(scale[..., start : start + count])
        cors.append(correlations_of(chol, k, f.q))
        if effects:
            rs.append(values[..., at : at + f.n_levels * f.q].reshape(*shape, f.n_levels, f.q))
        at, first, start = at + f.n_levels * f.q, first + len(f.sd_priors), start + count
    return Draws(
        scale[..., : len(problem.own_priors)],
        b,
        tuple(sds),
        tuple(shapes),
        tuple(cors),
        tuple(rs),
        scale[..., start:],
        points[..., : problem.n_theta],
        statistics,
    )
