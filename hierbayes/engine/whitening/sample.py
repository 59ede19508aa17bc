"""Posterior draws in whitened coordinates, turned into those of the model's variables."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from hierbayes.engine.core.hyperparameters import CHOL, VALUE, blocks_of, chol_shape, correlations_of
from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.nuts import sample_nuts
from hierbayes.engine.core.problem import Floats
from hierbayes.engine.core.routine import run
from hierbayes.engine.core.trajectories import LONG, harmonic, is_nearly_normal
from hierbayes.engine.whitening.integrated import draw_effects
from hierbayes.engine.whitening.kernel import B, R, forward
from hierbayes.engine.whitening.laplace import LaplaceStart, density_of, evaluator, quadrature_error
from hierbayes.engine.whitening.packing import Memory, Model, Packed, WhiteningMap
from hierbayes.engine.whitening.stacked import Place, Question, joint_factors, tied_effects, ties_of

HARMONIC = harmonic(0.8)
NEARLY_NORMAL = harmonic(LONG)
MANY = 50  # coordinates, from which on the error of straight steps is the larger one
WIDER = 3.0  # how much wider chains start where the start did not arrive


@dataclass(frozen=True)
class Draws:
    """Posterior draws by the model's parts, every array (chain, draw, …).

    Attributes
    ----------
    own : array (…, A)
        The family's own parameters that have no predictor.
    b : tuple of arrays (…, p)
        Each predictor's coefficients, of its centred columns.
    sd, shapes, cor, r : tuples of tuples of arrays (…, q), (…, P), (…, q, q), (…, levels, q)
        Of each predictor's factors: standard deviations, structures' parameters and constants, correlations, effects.
    joint : dict
        Of tied factors by their places: standard deviations and correlations of all their effects.
    statistics : dict
        The sampler's, (chain, draw).
    quadrature : dict
        Of effects that were integrated out: number of nodes, and error (`laplace.quadrature_error`).
    """

    own: Floats
    b: tuple[Floats, ...]
    sd: tuple[tuple[Floats, ...], ...]
    shapes: tuple[tuple[Floats, ...], ...]
    cor: tuple[tuple[Floats, ...], ...]
    r: tuple[tuple[Floats, ...], ...]
    joint: dict[tuple[Place, ...], tuple[Floats, Floats]]
    statistics: dict[str, np.ndarray]
    quadrature: dict[str, float]


def sample(
    problem: Question,
    initial: LaplaceStart,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    seed: int,
    progress: bool,
    target_accept: float,
    **settings: Any,
) -> Draws:
    """Draw from the posterior: see `gaussian.collapsed.sample` for the arguments."""
    packed = initial.packed
    available = min(chains, getattr(os, "process_cpu_count", os.cpu_count)() or 1)
    found = sample_nuts(
        density_of(packed),
        start=_positions(initial),
        draws=draws,
        tune=tune,
        chains=chains,
        cores=available if cores is None else cores,
        seed=seed,
        progress=progress,
        target_accept=target_accept,
        **_steps(initial, target_accept) | settings,
    )
    return expand(problem, packed, found.positions, found.statistics, cores or available, seed)


def _steps(initial: LaplaceStart, target: float) -> dict[str, Any]:
    """The sampler's settings: what steps it takes."""
    integrated = initial.packed.integrated is not None  # what is left is about independent
    if not initial.converged or (initial.packed.dim < MANY and not integrated):
        return {}
    nearly = is_nearly_normal(evaluator(initial.packed), initial.position, target)
    return NEARLY_NORMAL if nearly else HARMONIC


def _positions(initial: LaplaceStart) -> Callable[[int], Floats]:
    """A chain's first position: as far out as a draw, nearer where the density is 0 there."""
    packed = initial.packed
    evaluate = evaluator(packed)
    width = 1.0 if initial.converged else WIDER

    def start(seed: int) -> Floats:
        away = width * np.random.default_rng(seed).standard_normal(packed.dim)
        for _ in range(60):
            value, gradient = evaluate(initial.position + away)
            if np.isfinite(value) and np.isfinite(gradient).all():
                break
            away *= 0.7
        return initial.position + away

    return start


def expand(
    problem: Question,
    packed: Packed,
    positions: Floats,
    statistics: dict[str, np.ndarray],
    threads: int = 1,
    seed: int = 0,
) -> Draws:
    """The model's variables at positions (chain, draw, dim); effects that were integrated out are drawn."""
    shape = positions.shape[:2]
    size = shape[0] * shape[1]
    flat = positions.reshape(size, packed.dim)
    model = packed.model
    own = np.empty((size, len(model.own_places)))
    scale, b = (
        np.empty((size, len(model.scales) + len(model.shapes))),
        np.empty((size, packed.mapping.t.size)),
    )
    chol = np.empty((size, *chol_shape(len(model.factors), model.blocks)))
    r = np.empty((size, packed.n_effects))
    count = 0 if packed.integrated is None else len(packed.integrated.first)
    drawn = np.empty((size, count))
    seeds = np.random.default_rng(seed).integers(2**62, size=size if count else 0)
    parts = [part for part in np.array_split(np.arange(size), max(1, threads)) if part.size]

    def fill(part: np.ndarray) -> None:
        rows = slice(int(part[0]), int(part[-1]) + 1)
        arrays = own[rows], scale[rows], chol[rows], b[rows], r[rows]
        run(_expand, flat[rows], model, packed.mapping, packed.memory(), *arrays)
        if count:
            draw_effects(packed, flat[rows], seeds[rows], drawn[rows])

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(fill, parts))
    r = np.hstack([drawn, r])
    sds: list[list[Floats]] = [[np.empty(0)] * len(p.factors) for p in problem.predictors]
    cors = [list(one) for one in sds]
    rs = [list(one) for one in sds]
    shapes = [list(one) for one in sds]
    at, first, shape_at = 0, 0, len(model.scales)
    joint: dict[tuple[Place, ...], tuple[Floats, Floats]] = {}
    for number, (places, factor) in enumerate(joint_factors(problem)):
        q, levels = factor.q, factor.n_levels
        sd = scale[:, first + factor.scale_of].reshape(*shape, q)
        cor = correlations_of(chol, number, q).reshape(*shape, q, q)
        effects = r[:, at : at + levels * q].reshape(*shape, levels, q)
        if len(places) > 1:
            joint[places] = sd, cor
        ties = ties_of(problem, places)
        shape_at += sum(len(tie.shapes) for tie in ties)
        begin, tied = 0, tied_effects(ties)
        for j, k in places:
            member = problem.predictors[j].factors[k]
            part = slice(begin, begin + member.q)
            begin = part.stop
            sds[j][k], cors[j][k], rs[j][k] = sd[..., part], cor[..., part, part], effects[..., part]
            values = [np.empty((size, 0))]
            for block in blocks_of(member):
                count = len(block.shapes)
                if any((j, k, effect) in tied for effect in block.effects):
                    values.append(np.full((size, count), np.nan))  # the tie's own stand for them
                else:
                    values.append(scale[:, shape_at : shape_at + count])
                    shape_at += count
            together = np.hstack(values)
            shapes[j][k] = together.reshape(*shape, together.shape[1])
        at, first = at + levels * q, first + len(factor.sd_priors)
    return Draws(
        own=own.reshape(*shape, len(model.own_places)),
        b=tuple(b[:, start:end].reshape(*shape, end - start) for start, end in model.predictors),
        sd=tuple(map(tuple, sds)),
        shapes=tuple(map(tuple, shapes)),
        cor=tuple(map(tuple, cors)),
        r=tuple(map(tuple, rs)),
        joint=joint,
        statistics=statistics,
        quadrature=_of_quadrature(packed, flat),
    )


def _of_quadrature(packed: Packed, positions: Floats) -> dict[str, float]:
    if packed.integrated is None:
        return {}
    return {
        "quadrature_nodes": packed.model.nodes.shape[1],
        "quadrature_error": quadrature_error(packed, positions),
    }


@compiled
def _expand(
    positions: Floats,
    model: Model,
    mapping: WhiteningMap,
    memory: Memory,
    own: Floats,
    scale: Floats,
    chol: Floats,
    b: Floats,
    r: Floats,
) -> None:
    for draw in range(positions.shape[0]):
        forward(positions[draw], model, mapping, memory)
        for i in range(own.shape[1]):
            own[draw, i] = memory.own[VALUE, i]
        for i in range(memory.scale.shape[1]):
            scale[draw, i] = memory.scale[VALUE, i]
        for i in range(memory.shaped.shape[1]):
            scale[draw, memory.scale.shape[1] + i] = memory.shaped[VALUE, i]
        for k in range(chol.shape[1]):
            for i in range(chol.shape[2]):
                for j in range(chol.shape[3]):
                    chol[draw, k, i, j] = memory.lams[CHOL, k, i, j]
        for j in range(b.shape[1]):
            b[draw, j] = memory.coefs[B, j]
        for i in range(r.shape[1]):
            r[draw, i] = memory.effects[R, i]
