"""Fits that many tests share, and machine code of the sources as they are.

numba's cache of a kernel looks only at the kernel's own file, not at those of the functions it calls; so the cache that
the tests use is keyed by all sources of compiled code.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hierbayes"
SOURCES = sorted(
    path for part in ("engine", "families", "structures") for path in (PACKAGE / part).rglob("*.py")
) + [
    PACKAGE / f"{name}.py"
    for name in (
        "compiling", "compiledlinks", "kinds", "special", "incomplete", "answers/pareto", "answers/paretoloops",
    )
]  # fmt: skip
VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:16]
os.environ["NUMBA_CACHE_DIR"] = str(ROOT / ".numba_cache" / VERSION)

import hierbayes as hb  # noqa: E402 — numba reads the folder's name when it is imported

from .seeds import SHIFT, shift_seeds  # noqa: E402

if SHIFT:
    shift_seeds(SHIFT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave doctests out of a run with shifted seeds: they print the numbers of their own."""
    if SHIFT:
        items[:] = [item for item in items if not isinstance(item, pytest.DoctestItem)]


SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="session")
def sleep_fit() -> hb.Fit:
    """The sleep study's correlated slopes, sampled by NUTS on the graph, long enough for no warning."""
    return hb.fit(SLEEP, hb.load_dataset("sleepstudy"), seed=2, strategy="nuts", draws=3000, progress=False)


@pytest.fixture(scope="session")
def known_fit():
    """A fit whose draws are known numbers: the values of every variable of the schema, with or without draws in front.

    ``known_fit(model, values, chains=2, draws=5)`` repeats values that have the variable's own shape in every draw.
    """
    from hierbayes.engine.draws import to_tree

    def make(model: hb.Model, values: dict[str, Any], chains: int = 2, draws: int = 5) -> hb.Fit:
        shapes = {v.name: tuple(len(model.spec.coords[dim]) for dim in v.dims) for v in model.spec.variables}
        given = {
            name: np.asarray(values.get(name, np.zeros(own)), dtype=float) for name, own in shapes.items()
        }
        varying = [array for name, array in given.items() if array.ndim > len(shapes[name])]
        draws = len(varying[0]) // chains if varying else draws
        arrays = {
            name: array.reshape(chains, draws, *shapes[name])
            if array.ndim > len(shapes[name])
            else np.broadcast_to(array, (chains, draws, *shapes[name]))
            for name, array in given.items()
        }
        return hb.Fit(model.spec, model.data, model.design, to_tree(model.spec, model.design, arrays, {}, {}))

    return make
