"""Every seed shifted by one variable of the environment, HIERBAYES_TEST_SEED_SHIFT: do tests pass by luck?

Another processor's rounding leads the same seed to other draws, as another seed does here. Shifted are the seeds that
strategies draw with, and the generators that the package makes; data that tests simulate stay as they are, by NumPy or
by `hierbayes.simulate`, which many are chosen for. Doctests, which print numbers of their own seeds, are left out of a
shifted run.
"""

import dataclasses
import os
import sys
from types import FrameType
from typing import Any

import numpy as np

SHIFT = int(os.environ.get("HIERBAYES_TEST_SEED_SHIFT", "0"))


def shifted(seed: int, shift: int = SHIFT) -> int:
    """The seed that a strategy draws with where it is given this one."""
    return seed + 1000 * shift


def shift_seeds(shift: int) -> None:
    """Shift the seeds of all strategies and of the package's own generators, until the process ends."""
    from hierbayes.engine.collapsed import Collapsed
    from hierbayes.engine.nuts import Nuts
    from hierbayes.engine.whitened import Whitened

    for strategy in (Collapsed, Whitened, Nuts):
        for name in ("run", "approximate"):
            setattr(strategy, name, _shifted(getattr(strategy, name), shift))
    make = np.random.default_rng

    def default_rng(seed: Any = None) -> np.random.Generator:
        caller = sys._getframe(1)
        inside = caller.f_globals.get("__name__", "").startswith("hierbayes.")
        if inside and isinstance(seed, int | np.integer | list | tuple) and not _makes_data(caller):
            return make([shift, *np.atleast_1d(np.array(seed, dtype=object))])
        return make(seed)

    np.random.default_rng = default_rng  # type: ignore[assignment]


def _makes_data(frame: FrameType | None) -> bool:
    """Whether this is called for data from known parameters."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "hierbayes.known_parameters":
            return True
        frame = frame.f_back
    return False


def _shifted(method: Any, shift: int) -> Any:
    def run(self: Any, spec: Any, design: Any, settings: Any) -> Any:
        return method(self, spec, design, dataclasses.replace(settings, seed=shifted(settings.seed, shift)))

    return run
