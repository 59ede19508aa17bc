"""NUTS over a compiled log density, by nutpie."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from hierbayes.engine.core.arguments import ENTRY
from hierbayes.engine.core.density import Density
from hierbayes.engine.core.machine import link, machine_code
from hierbayes.engine.core.problem import Floats
from hierbayes.engine.draws import largest_block

Start = Callable[[int], Floats]
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
    density: Density,
    *,
    start: Start,
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
    density : Density
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
    dim = density.dim
    if dim == 0:  # everything else is drawn from its exact conditional
        return Chains(np.zeros((chains, draws, 0)), {"diverging": np.zeros((chains, draws), bool)})
    nutpie = _import_nutpie()
    model = by_address(density, chains, start) or by_callback(density, start)
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


def by_address(density: Density, chains: int, start: Start) -> Any:
    """Return the density as nutpie takes it from PyMC: the address of a C function, called without Python.

    None if this release of nutpie lacks the names that are used here, which it doesn't document.
    """
    dim, table = density.dim, density.table(chains)
    functions = _Function(density.address(table)), _Function(_copy())
    try:
        from nutpie.compile_pymc import CompiledPyMCModel

        model = CompiledPyMCModel(
            dims={},
            compiled_logp_func=functions[0],
            compiled_expand_func=functions[1],
            initial_point_func=start,
            shared_data={},
            shared_var_keys={},
            user_data=table.words,
            n_expanded=dim,
            shape_info=(["position"], [slice(0, dim)], [(dim,)]),
            logp_func=table,  # for its arrays to live as long as the model
            expand_func=None,
            _n_dim=dim,
            _shapes={"position": (dim,)},
            _coords={},
        )
        model._make_model(None)
    except (ImportError, AttributeError, TypeError):
        return None
    return model


def by_callback(density: Density, start: Start) -> Any:
    """Return the density as nutpie documents it, a Python function: a call takes longer, and no two run at a time."""
    from nutpie.compiled_pyfunc import from_pyfunc

    return from_pyfunc(
        density.dim,
        density.evaluator,
        lambda seed1, seed2, chain: lambda position: {"position": position},
        [np.dtype(np.float64)],
        [(density.dim,)],
        ["position"],
        make_initial_point_fn=start,
    )


@dataclass(frozen=True)
class _Function:
    """What stands for numba's C functions."""

    address: int


@cache
def _copy() -> int:
    """Return the address of a C function that copies a position: what nutpie is to keep of it is all of it."""
    return link(
        machine_code(
            llvm.parse_assembly(f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define i64 @{ENTRY}(i64 %dim, i64 %kept, ptr %position, ptr %out, ptr %user) {{
  %bytes = mul i64 %kept, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %out, ptr %position, i64 %bytes, i1 false)
  ret i64 0
}}
""")
        )
    )


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
    in a way that is not used here. That is two thirds of the waiting time of a small model. This can go when nutpie
    imports arviz only where it converts: `tests/core/test_nuts.py` fails then.
    """
    if "nutpie" not in sys.modules and "arviz" not in sys.modules:
        sys.modules["arviz"] = _Later("arviz")
        try:
            importlib.import_module("nutpie")
        finally:
            del sys.modules["arviz"]
    return importlib.import_module("nutpie")
