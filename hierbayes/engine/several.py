"""Several responses drawn together: strategy ``"whitened"`` over all their rows."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from hierbayes.data.design import Design
from hierbayes.engine.draws import observed_dataset, statistics_dataset
from hierbayes.engine.settings import Settings
from hierbayes.engine.whitened import (
    Whitened,
    draw,
    posterior_arrays,
    tied_correlations,
    to_problem,
    to_tie,
)
from hierbayes.engine.whitening.compression import compress
from hierbayes.engine.whitening.stacked import Stacked
from hierbayes.exchange import exchanged, in_order
from hierbayes.several import JointSpec
from hierbayes.spec import CHAIN_DIMS


def joint_obstacle(spec: JointSpec, designs: Mapping[str, Design]) -> str | None:
    """Why several responses cannot be drawn together, in words; None where they can."""
    for name, own in spec.responses.items():
        obstacle = Whitened().supports(own, designs[name])
        if obstacle:
            return f"of response {name!r} {obstacle}"
        tied = any(member.response == name for tie in spec.ties for member in tie.members)
        if tied and exchanged(own):
            return (
                f"the components of {own.family.name}, the family of {name!r}, are put in order draw by draw, which "
                "effects that are tied by an |ID| in models of several responses cannot follow; leave the ID out, or "
                "state priors by which the components differ"
            )
    return None


def to_stacked(spec: JointSpec, designs: Mapping[str, Design]) -> Stacked:
    """All responses and their rows as the engine takes them, equal rows of each merged."""
    problems = tuple(compress(to_problem(own, designs[name])) for name, own in spec.responses.items())
    ties = tuple(to_tie(tie, spec.tie_prior(tie), spec.predictors) for tie in spec.ties)
    return Stacked(problems, ties)


def draw_jointly(spec: JointSpec, designs: Mapping[str, Design], settings: Settings) -> xr.DataTree:
    """Draws of all responses' variables: groups posterior, sample_stats and each response's observed data."""
    start = time.perf_counter()
    drawn, attributes = draw(to_stacked(spec, designs), sum(map(len, designs.values())), settings, start)
    data: dict[str, Any] = {}
    predictor = own = 0
    for name, one in spec.responses.items():
        arrays = in_order(one, posterior_arrays(one, drawn, predictor, own))
        found = spec.joint_arrays(name, arrays)
        data |= {key: ((*CHAIN_DIMS, *dims), values) for key, (dims, values) in found.items()}
        predictor += len(one.layout.predictors)
        own += sum(one.components(one.family.parameter(parameter)) for parameter in one.plain_parameters)
    for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
        data[variable.name] = (*CHAIN_DIMS, *variable.dims), tied_correlations(tie, drawn, spec.predictors)
    stats = statistics_dataset(drawn.statistics)
    chains, draws = (np.arange(stats.sizes[dim]) for dim in CHAIN_DIMS)
    groups = {
        "posterior": xr.Dataset(data, coords={**spec.coords, "chain": chains, "draw": draws}),
        "sample_stats": stats,
    }
    for name, design in designs.items():
        groups[f"observed_data_{name}"] = observed_dataset(spec.responses[name], design)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(attributes | {"strategy_reason": "several responses", "seed": settings.seed})
    return tree
