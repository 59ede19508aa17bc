"""Draws as a DataTree of the posterior schema."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from hierbayes.data.design import OBS, Design
from hierbayes.exchange import in_order
from hierbayes.schema import CATEGORY, CHAIN_DIMS
from hierbayes.several import JointSpec
from hierbayes.spec import ModelSpec

STATISTICS = {  # PyMC's and nutpie's names for the same thing → ArviZ's
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "mean_tree_accept": "acceptance_rate",
    "logp": "lp",
}
KEPT = ("diverging", "energy", "n_steps", "step_size", "log_ratio", *STATISTICS.values())


def to_dataset(spec: ModelSpec | JointSpec, arrays: Mapping[str, Any]) -> xr.Dataset:
    """Arrays (chain, draw, …) by variable name as a dataset of the schema, its dims and coords.

    Raises
    ------
    KeyError
        When a variable of the schema is absent.
    """
    data = {v.name: ((*CHAIN_DIMS, *v.dims), np.asarray(arrays[v.name])) for v in spec.variables}
    chains, draws = next(iter(data.values()))[1].shape[:2] if data else (0, 0)
    coords = {**spec.coords, "chain": np.arange(chains), "draw": np.arange(draws)}
    return xr.Dataset(data, coords=coords)


def to_tree(
    spec: ModelSpec,
    design: Design,
    posterior: Mapping[str, Any],
    statistics: Mapping[str, Any],
    attributes: Mapping[str, Any],
) -> xr.DataTree:
    """A strategy's result: groups posterior, sample_stats and observed_data.

    Parameters
    ----------
    posterior : mapping of str to ndarray (chain, draw, …)
        Every variable of the schema.
    statistics : mapping of str to ndarray (chain, draw)
        Sampler statistics, under nutpie's or ArviZ's names.
    attributes : mapping
        Strategy, seed, timings, versions.
    """
    groups = {
        "posterior": to_dataset(spec, in_order(spec, posterior)),
        "sample_stats": statistics_dataset(statistics),
    }
    if design.y is not None and len(design):
        groups["observed_data"] = observed_dataset(spec, design)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(attributes)
    return tree


def statistics_dataset(statistics: Mapping[str, Any]) -> xr.Dataset:
    """Sampler statistics (chain, draw) by ArviZ's names."""
    stats = {STATISTICS.get(name, name): values for name, values in statistics.items()}
    return xr.Dataset({name: (CHAIN_DIMS, np.asarray(stats[name])) for name in KEPT if name in stats})


def observed_dataset(spec: ModelSpec, design: Design) -> xr.Dataset:
    """The training response as a dataset."""
    coords, levels = {OBS: design.labels}, spec.layout.response.levels
    if spec.family.support.columns:
        coords |= {CATEGORY: np.array(levels, dtype=object)}
    return xr.Dataset({spec.response_name: (tuple(coords), design.y)}, coords=coords)


def largest_block(counts: np.ndarray) -> tuple[np.ndarray, int]:
    """Of an interrupted run, the chains and the number of draws that keep the most draws in all.

    Parameters
    ----------
    counts : ndarray of int, (chains,)
        Draws finished by each chain.

    Examples
    --------
    >>> chains, draws = largest_block(np.array([900, 0, 880, 12]))
    >>> chains.tolist(), draws
    ([0, 2], 880)
    """
    order = np.argsort(-counts, kind="stable")
    kept = [(place + 1) * counts[chain] for place, chain in enumerate(order)]
    best = int(np.argmax(kept))
    return np.sort(order[: best + 1]), int(counts[order[best]])
