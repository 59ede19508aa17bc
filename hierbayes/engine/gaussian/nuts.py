"""NUTS over a compiled log density, by nutpie."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hierbayes.engine.draws import largest_block
from hierbayes.engine.gaussian.problem import Floats

Evaluate = Callable[[Floats], tuple[float, Floats]]
STATISTICS = (
    "depth", "maxdepth_reached", "n_steps", "step_size", "step_size_bar", "mean_tree_accept", "mean_tree_accept_sym",
    "energy", "energy_error", "max_energy_error", "logp", "diverging",
)  # fmt: skip


@dataclass(frozen=True)
class Chains:
    """What NUTS drew after tuning."""

    positions: Floats  # (chain, draw, dim)
    statistics: dict[str, np.ndarray]  # each (chain, draw)


def sample_nuts(
    make_evaluate: Callable[[], Evaluate],
    dim: int,
    *,
    start: Callable[[int], Floats],
    draws: int,
    tune: int,
    chains: int,
    cores: int,
    seed: int,
    progress: bool = False,
    **settings: Any,
) -> Chains:
    """Draw from a log density on R^dim.

    Parameters
    ----------
    make_evaluate : callable
        Called once for each chain; returns a function of a position that returns the log density and its
        gradient. The gradient may be the same array each time.
    dim : int
    start : callable
        A chain's first position from its seed.
    draws, tune, chains, cores, seed, progress
        As in ``nutpie.sample``.
    **settings
        Further ones of ``nutpie.sample``, such as ``target_accept`` or ``progress_callback``.

    Notes
    -----
    If the user interrupts, the draws so far are returned (see `hierbayes.engine.draws.largest_block`).
    """
    if dim == 0:  # everything else is drawn from its exact conditional
        return Chains(np.zeros((chains, draws, 0)), {"diverging": np.zeros((chains, draws), bool)})
    nutpie = _import_nutpie()
    model = nutpie.compiled_pyfunc.from_pyfunc(
        dim,
        make_evaluate,
        lambda seed1, seed2, chain: lambda position: {"position": position},
        [np.dtype(np.float64)],
        [(dim,)],
        ["position"],
        make_initial_point_fn=start,
    )
    trace = nutpie.sample(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        seed=seed,
        progress_bar=progress,
        return_raw_trace=True,
        **settings,
    )
    draw_batches, stat_batches = trace.get_arrow_trace()
    return _read(draw_batches, stat_batches, dim)


def _read(draw_batches: list[Any], stat_batches: list[Any], dim: int) -> Chains:
    """Return the draws after tuning of a raw trace; of an interrupted one, the chains and draws that keep the most."""
    import pyarrow

    positions: list[Floats] = []
    statistics: dict[str, list[np.ndarray]] = {
        name: [] for name in STATISTICS if name in stat_batches[0].column_names
    }
    for batch, stats in zip(draw_batches, stat_batches, strict=True):
        kept = ~pyarrow.array(stats.column("tuning")).to_numpy(zero_copy_only=False).astype(bool)
        position = pyarrow.array(batch.column("position")).flatten().to_numpy().reshape(-1, dim)
        positions.append(position[kept])
        for name, columns in statistics.items():
            columns.append(pyarrow.array(stats.column(name)).to_numpy(zero_copy_only=False)[kept])
    chosen, length = largest_block(np.array([len(chain) for chain in positions]))
    if length == 0:
        raise KeyboardInterrupt("stopped before any chain had a draw after warm-up")
    stacked = {name: np.stack([columns[c][:length] for c in chosen]) for name, columns in statistics.items()}
    return Chains(np.stack([positions[c][:length] for c in chosen]), stacked)


class _Later(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _import_nutpie() -> ModuleType:
    """Import nutpie, but not ArviZ with it.

    nutpie's modules import arviz, with matplotlib and all of scipy.stats behind it, only to convert a trace
    in a way that is not used here. That is two thirds of the waiting time of a small model.
    """
    if "nutpie" not in sys.modules and "arviz" not in sys.modules:
        sys.modules["arviz"] = _Later("arviz")
        try:
            importlib.import_module("nutpie")
        finally:
            del sys.modules["arviz"]
    return importlib.import_module("nutpie")
