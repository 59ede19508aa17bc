"""Fits that many tests share, and machine code of the sources as they are.

numba's cache of a kernel looks only at the kernel's own file, not at those of the functions it calls; so the cache that
the tests use is keyed by all of the engine's sources.
"""

import hashlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "hierbayes" / "engine" / "gaussian").glob("*.py"))
VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:16]
os.environ["NUMBA_CACHE_DIR"] = str(ROOT / ".numba_cache" / VERSION)

import hierbayes as hb  # noqa: E402 — numba reads the folder's name when it is imported

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="session")
def sleep_fit() -> hb.Fit:
    """The sleep study's correlated slopes, sampled by NUTS on the graph."""
    return hb.fit(SLEEP, hb.load_dataset("sleepstudy"), seed=2, strategy="nuts", progress=False)
