"""Several responses drawn together: strategy ``"whitened"`` over all their rows."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hierbayes.data.design import OBS, Design
from hierbayes.engine.draws import KEPT, STATISTICS
from hierbayes.engine.settings import Settings, notify, notify_if_slow
from hierbayes.engine.whitened import (
    TARGET_ACCEPT,
    TUNE,
    TUNE_UNGUIDED,
    Whitened,
    posterior_arrays,
    tied_correlations,
    to_problem,
    to_tie,
)
from hierbayes.engine.whitening.compression import compress
from hierbayes.engine.whitening.stacked import Stacked
from hierbayes.several import JointSpec
from hierbayes.spec import CHAIN_DIMS

if TYPE_CHECKING:
    from hierbayes.engine.whitening.sample import Draws


def joint_obstacle(spec: JointSpec, designs: Mapping[str, Design]) -> str | None:
    """Why several responses cannot be drawn together, in words; None where they can."""
    for name, own in spec.responses.items():
        obstacle = Whitened().supports(own, designs[name])
        if obstacle:
            return f"of response {name!r} {obstacle}"
    return None


def to_stacked(spec: JointSpec, designs: Mapping[str, Design]) -> Stacked:
    """All responses and their rows as the engine takes them, equal rows of each merged."""
    problems = tuple(compress(to_problem(own, designs[name])) for name, own in spec.responses.items())
    ties = tuple(to_tie(tie, spec.tie_prior(tie), spec.predictors) for tie in spec.ties)
    return Stacked(problems, ties)


def draw_jointly(spec: JointSpec, designs: Mapping[str, Design], settings: Settings) -> xr.DataTree:
    """Draws of all responses' variables: groups posterior, sample_stats and each response's observed data."""
    from hierbayes.engine.whitening.laplace import laplace_start
    from hierbayes.engine.whitening.sample import sample

    start = time.perf_counter()
    question = to_stacked(spec, designs)
    with notify_if_slow(
        settings,
        "Finding where the posterior is; the first time on a machine that is compiled, in about half a minute …",
    ):
        initial = laplace_start(question)
    if not initial.converged:
        notify(settings, "The Laplace approximation did not converge: chains start from a wider region.")
    ready = time.perf_counter()
    drawn = sample(
        question,
        initial,
        draws=settings.draws,
        tune=settings.tune or (TUNE if initial.converged else TUNE_UNGUIDED),
        chains=settings.chains,
        cores=settings.cores,
        seed=settings.seed,
        progress=settings.progress,
        target_accept=settings.target_accept or TARGET_ACCEPT,
    )
    shape = next(iter(drawn.statistics.values())).shape
    attributes = {
        "sampler": "nutpie",
        "compile_seconds": ready - start,
        "sampling_seconds": time.perf_counter() - ready,
        "interrupted": int(shape != (settings.chains, settings.draws)),
        "strategy": "whitened",
        "strategy_reason": "several responses",
        "rows": sum(map(len, designs.values())),
        "cells": sum(len(problem.y) for problem in question.problems),
        "initialisation": "converged" if initial.converged else "not converged",
        "seed": settings.seed,
    }
    return _tree(spec, designs, drawn, attributes)


def _tree(
    spec: JointSpec, designs: Mapping[str, Design], drawn: "Draws", attributes: dict[str, Any]
) -> xr.DataTree:
    data: dict[str, Any] = {}
    predictor = own = 0
    for name, one in spec.responses.items():
        found = spec.joint_arrays(name, posterior_arrays(one, drawn, predictor, own))
        data |= {key: ((*CHAIN_DIMS, *dims), values) for key, (dims, values) in found.items()}
        predictor += len(one.layout.predictors)
        own += sum(one.components(one.family.parameter(parameter)) for parameter in one.plain_parameters)
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        data[variable.name] = (*CHAIN_DIMS, *variable.dims), tied_correlations(tie, drawn, spec.predictors)
    stats = {STATISTICS.get(name, name): values for name, values in drawn.statistics.items()}
    chains, draws = next(iter(stats.values())).shape
    coords = {**spec.coords, "chain": np.arange(chains), "draw": np.arange(draws)}
    groups = {
        "posterior": xr.Dataset(data, coords=coords),
        "sample_stats": xr.Dataset({n: (CHAIN_DIMS, np.asarray(stats[n])) for n in KEPT if n in stats}),
    }
    for name, design in designs.items():
        groups[f"observed_data_{name}"] = xr.Dataset(
            {spec.responses[name].response_name: ((OBS,), design.y)}, coords={OBS: design.labels}
        )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(attributes)
    return tree
