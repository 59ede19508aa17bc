"""The general strategy: NUTS on the PyMC graph, any model."""

import logging
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hierbayes.data.design import Design
from hierbayes.engine.draws import largest_block, to_tree
from hierbayes.engine.settings import Settings, notify
from hierbayes.engine.streamed import Streamed, in_memory
from hierbayes.errors import UnsupportedError
from hierbayes.spec import ModelSpec

TUNE = {"nutpie": 1000, "pymc": 1000, "numpyro": 1000}
TARGET = 0.9


class Nuts:
    """NUTS on the PyMC graph, by nutpie, PyMC or NumPyro."""

    name = "nuts"

    def describe(self, spec: ModelSpec, design: Design | Streamed) -> str:
        """What it does, in a clause: the same with every model."""
        return "NUTS on the PyMC graph"

    def supports(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """None where the rows are in memory and the family has a distribution of PyMC's."""
        if isinstance(design, Streamed):
            return f"its rows stay in {design.source.words}"
        if spec.family.graph is None:
            return f"family {spec.family.name!r} has a row function and no distribution of PyMC's"
        return None

    def approximate(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> None:
        """None: the graph's variables are far from normal where a standard deviation is."""

    def dear(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """No other strategy costs less."""
        return None

    def run(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw the posterior.

        Parameters
        ----------
        spec : ModelSpec
        design : Design
            The training rows.
        settings : Settings

        Returns
        -------
        xarray.DataTree
            Groups posterior, sample_stats, observed_data.
        """
        from hierbayes.graph import build_graph

        rows = in_memory(design, "strategy 'nuts'")
        names = [variable.name for variable in spec.variables]
        posterior, statistics, attributes = draw(
            lambda: build_graph(spec, rows, settings.parameterization), names, settings
        )
        return to_tree(spec, rows, posterior, statistics, attributes)


def draw(
    build: Callable[[], Any], names: list[str], settings: Settings
) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray], dict[str, Any]]:
    """Draws of some variables of a graph, sampler statistics, and how they came about."""
    start = time.perf_counter()
    notify(
        settings,
        "Building and compiling the model (a first time on a machine this takes about a minute) …",
    )
    sample = {"nutpie": _sample_nutpie, "pymc": _sample_pymc, "numpyro": _sample_pymc}[settings.sampler]
    result, compiled = sample(build(), names, settings)
    posterior, statistics = _complete(result, names)
    kept = next(iter(posterior.values())).shape[:2]
    attributes = {
        "strategy": Nuts.name,
        "sampler": settings.sampler,
        "parameterization": settings.parameterization,
        "compile_seconds": compiled - start,
        "sampling_seconds": time.perf_counter() - compiled,
        "interrupted": int(kept != (settings.chains, settings.draws)),
    }
    return posterior, statistics, attributes


def _sample_nutpie(graph: Any, names: list[str], settings: Settings) -> tuple[Any, float]:
    import nutpie
    import pytensor

    # reassociating floating-point arithmetic makes draws depend on what was compiled before; seeds must repeat
    with pytensor.config.change_flags(numba__fastmath=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = nutpie.compile_pymc_model(graph, var_names=names)
    compiled = _with_plain_dimensions(compiled)
    ready = time.perf_counter()
    tree = nutpie.sample(
        compiled,
        draws=settings.draws,
        tune=settings.tune or TUNE["nutpie"],
        chains=settings.chains,
        cores=settings.cores,
        seed=settings.seed,
        progress_bar=settings.progress,
        target_accept=settings.target_accept or TARGET,
        save_warmup=False,
    )
    return tree, ready


def _with_plain_dimensions(compiled: Any) -> Any:
    """The model with dimensions that have no comma in their names, as that of ``s(x, z)`` has.

    nutpie writes the dimensions of a variable as one text, with commas between them.
    """
    dims = {
        name: tuple(f"axis{i}_{size}" for i, size in enumerate(shape))
        for name, shape in compiled.shapes.items()
    }
    sizes = {
        dim: size for name, own in dims.items() for dim, size in zip(own, compiled.shapes[name], strict=True)
    }
    coords = {**(compiled.coords or {}), **{dim: pd.RangeIndex(size) for dim, size in sizes.items()}}
    return replace(compiled, dims=dims, _coords=coords)


def _sample_pymc(graph: Any, names: list[str], settings: Settings) -> tuple[Any, float]:
    import pymc as pm

    if settings.sampler == "numpyro":
        try:
            import numpyro  # noqa: F401 — asked for only to tell its absence in time
        except ImportError as error:
            raise UnsupportedError(
                "sampler='numpyro' needs numpyro: pip install 'hierbayes[numpyro]'"
            ) from error
    logging.getLogger("pymc").setLevel(logging.ERROR)
    options = {"init": "adapt_diag"} if settings.sampler == "pymc" else {}
    tree = pm.sample(
        model=graph,
        draws=settings.draws,
        tune=settings.tune or TUNE[settings.sampler],
        chains=settings.chains,
        cores=settings.cores,
        random_seed=settings.seed,
        progressbar=settings.progress,
        nuts_sampler=settings.sampler,
        nuts={"target_accept": settings.target_accept or TARGET},
        var_names=names,
        compute_convergence_checks=False,
        **options,
    )
    return tree, time.perf_counter() - float(tree.posterior.attrs.get("sampling_time", 0.0))


def _complete(tree: Any, names: list[str]) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
    """The draws that every kept chain has; an interrupted run leaves chains of different lengths, padded with NaN."""
    posterior = {name: tree["posterior"][name].to_numpy() for name in names}
    finished = np.all(
        [np.isfinite(values.reshape(*values.shape[:2], -1)).all(axis=-1) for values in posterior.values()],
        axis=0,
    )
    chains, draws = largest_block(finished.sum(axis=1))
    if draws == 0:
        raise KeyboardInterrupt("stopped before any chain had a draw after warm-up")
    cut = np.ix_(chains, np.arange(draws))
    statistics = {
        str(name): values.to_numpy()[cut]
        for name, values in tree["sample_stats"].data_vars.items()
        if values.dims == ("chain", "draw")
    }
    return {name: values[cut] for name, values in posterior.items()}, statistics
