"""Gaussian mixed models with every coefficient integrated out: NUTS sees the hyperparameters only."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hierbayes.engine.gaussian.conditional import draw_coefficients
from hierbayes.engine.gaussian.hyperparameters import unconstrain
from hierbayes.engine.gaussian.kernels import log_density
from hierbayes.engine.gaussian.modes import find_mode, spread_at
from hierbayes.engine.gaussian.moments import Moments, Reference, moments
from hierbayes.engine.gaussian.nuts import Evaluate, sample_nuts
from hierbayes.engine.gaussian.packing import Packed, pack
from hierbayes.engine.gaussian.problem import WIDE, Floats, GaussianProblem, dense_columns

PARALLEL = 4e-5  # seconds of a gradient below which chains only wait for Python's lock


@dataclass(frozen=True)
class Cost:
    """What one evaluation of the log density takes.

    Parameters
    ----------
    primary : int
        The factor that is eliminated first; -1 if there is none.
    columns : int
        Dense columns: X's and the other factors' effects × levels. Work grows with their third power.
    seconds : float
        Rough time of one gradient; nested factors take less.
    too_wide : str or None
        Why another strategy is better, if it is.
    """

    primary: int
    columns: int
    seconds: float
    too_wide: str | None


@dataclass(frozen=True)
class Draws:
    """Posterior draws, every array (chain, draw, …).

    ``sd``, ``cor`` and ``r`` have one array a factor, of shapes (…, q), (…, q, q) and (…, n_levels, q);
    ``r`` is empty if the effects were not asked for.
    """

    sigma: Floats
    b: Floats  # (chain, draw, p), on the scale of the user's columns
    sd: tuple[Floats, ...]
    cor: tuple[Floats, ...]
    r: tuple[Floats, ...]
    theta: Floats  # (chain, draw, n_theta)
    statistics: dict[str, np.ndarray]


def cost(problem: GaussianProblem) -> Cost:
    """Choose the primary factor, the one that leaves the fewest dense columns, and estimate the work."""
    p = problem.X.shape[1]
    sizes = [f.n_levels * f.q for f in problem.factors]
    if not sizes:
        return Cost(-1, p, _seconds(p, 0), None)
    primary = sizes.index(max(sizes))
    columns = dense_columns(p, sizes)
    reason = None
    if columns > WIDE:
        reason = (
            f"the grouping factors besides the largest have {columns - p} coefficients; "
            f"integrating them out takes dense matrices of {columns} columns"
        )
    return Cost(primary, columns, _seconds(columns, sizes[primary]), reason)


def _seconds(columns: int, level_effects: int) -> float:
    """Return the rough time of one gradient, from about 16e9 multiplications a second."""
    return 3e-6 + (columns**3 + 2 * level_effects * columns**2) / 1.6e10


def prepare(problem: GaussianProblem, m: Moments | None = None) -> tuple[Packed, Moments]:
    """Return a problem ready for evaluation, in a frame in which the posterior is about N(0, I).

    Parameters
    ----------
    problem : GaussianProblem
    m : Moments, optional
        If they are known already; the problem's rows are not read then.
    """
    m = moments(problem) if m is None else m
    packed = pack(problem, m, cost(problem).primary)
    evaluate = evaluator(packed)()
    mode = find_mode(evaluate, rough_start(problem, m))
    return packed.framed(mode, spread_at(evaluate, mode)), m


def evaluator(packed: Packed) -> Callable[[], Evaluate]:
    """Return a function that makes evaluators, one for each thread."""

    def make() -> Evaluate:
        arguments = (*packed.constants, *packed.memory())
        grad = np.zeros(packed.n_theta)

        def evaluate(position: Floats) -> tuple[float, Floats]:
            return log_density(position, grad, *arguments), grad

        return evaluate

    return make


def rough_start(problem: GaussianProblem, m: Moments) -> Floats:
    """Return a theta of sensible size: residual and group effects share what X leaves unexplained."""
    left = max(float(m.dense[-1, -1]) / m.n, 1e-300) ** 0.5
    theta = np.zeros(problem.n_theta)
    theta[0] = unconstrain(0.7 * left, problem.sigma_prior)
    at = 1
    for f, ZZ in zip(problem.factors, m.within, strict=True):
        size = np.sqrt(np.einsum("gaa->a", ZZ) / m.n)
        size[size == 0] = 1.0
        theta[at : at + f.q] = [
            unconstrain(0.5 * left / s, prior) for s, prior in zip(size, f.sd_priors, strict=True)
        ]
        at += f.q + f.n_correlations
    return theta


def sample(
    problem: GaussianProblem,
    *,
    draws: int = 1000,
    tune: int = 300,
    chains: int = 4,
    cores: int | None = None,
    seed: int = 0,
    progress: bool = False,
    effects: bool = True,
    m: Moments | None = None,
    **settings: Any,
) -> Draws:
    """Draw from the posterior of a Gaussian mixed model.

    Parameters
    ----------
    problem : GaussianProblem
    draws, tune, chains : int
        Draws after tuning, tuning steps and chains.
    cores : int, optional
        Chains at the same time. Default: all that help; a model whose gradient takes microseconds is faster
        on one.
    seed : int
        Same seed, same draws.
    progress : bool
        Show nutpie's progress bar.
    effects : bool
        Return the group effects too. They take draws × chains × levels × effects numbers of memory; `complete`
        can draw them later for some of the draws.
    m : Moments, optional
        If they are known already; the problem's rows are not read then.
    **settings
        Of ``nutpie.sample``, such as ``target_accept`` or ``progress_callback``.
    """
    packed, m = prepare(problem, m)
    available = min(chains, getattr(os, "process_cpu_count", os.cpu_count)() or 1)
    worth = available if cost(problem).seconds > PARALLEL else 1
    found = sample_nuts(
        evaluator(packed),
        packed.n_theta,
        start=lambda chain_seed: np.random.default_rng(chain_seed).uniform(-2, 2, packed.n_theta),
        draws=draws,
        tune=tune,
        chains=chains,
        cores=worth if cores is None else cores,
        seed=seed,
        progress=progress,
        **settings,
    )
    theta = packed.constants.origin + found.positions @ packed.constants.frame.T
    return complete(problem, packed, m.reference, theta, found.statistics, seed, cores or available, effects)


def complete(
    problem: GaussianProblem,
    packed: Packed,
    about: Reference,
    theta: Floats,
    statistics: dict[str, np.ndarray],
    seed: int,
    threads: int,
    effects: bool = True,
) -> Draws:
    """Add exact draws of all coefficients to draws of theta, (chain, draw, n_theta)."""
    shape = theta.shape[:2]
    p = problem.X.shape[1]
    keep = None if effects else p
    drawn = draw_coefficients(packed, theta.reshape(-1, theta.shape[2]), (seed, 1), threads, keep)
    values = drawn.values.reshape(*shape, -1)
    scale = drawn.scale.reshape(*shape, -1)
    chol = drawn.chol.reshape(*shape, *drawn.chol.shape[1:])
    b = values[..., :p] + about.b
    if problem.intercept is not None:
        b[..., problem.intercept] -= b @ problem.centre
    sds, cors, rs = [], [], []
    at, first = p, 1
    for k, f in enumerate(problem.factors):
        sds.append(scale[..., first : first + f.q])
        factor_chol = chol[..., k, : f.q, : f.q]
        cor = factor_chol @ np.swapaxes(factor_chol, -1, -2)
        cor[..., range(f.q), range(f.q)] = 1.0
        cors.append(cor)
        if effects:
            rs.append(values[..., at : at + f.n_levels * f.q].reshape(*shape, f.n_levels, f.q))
        at, first = at + f.n_levels * f.q, first + f.q
    return Draws(scale[..., 0], b, tuple(sds), tuple(cors), tuple(rs), theta, statistics)
