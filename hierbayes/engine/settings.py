"""What a user asks of the sampler, as one value."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from threading import Timer

from hierbayes.errors import UnsupportedError
from hierbayes.graph import PARAMETERIZATIONS

PATIENCE = 1.5  # seconds after which a wait is explained
SAMPLERS = ("nutpie", "pymc", "numpyro")


@dataclass(frozen=True)
class Settings:
    """How to sample.

    Attributes
    ----------
    draws : int
        Draws kept from each chain.
    chains : int
    tune : int or None
        Warm-up draws of each chain; None takes the strategy's own number.
    seed : int
        The same seed on the same model repeats the draws.
    cores : int or None
        Chains run at once; None takes as many as the machine has, up to the number of chains.
    target_accept : float or None
        Acceptance rate that the step size aims at, between 0 and 1; None takes the strategy's own.
    progress : bool
    sampler : str
        ``"nutpie"``, ``"pymc"`` or ``"numpyro"``; strategies other than ``"nuts"`` always use nutpie.
    parameterization : str
        ``"noncentered"`` or ``"centered"``, for strategy ``"nuts"``.

    Raises
    ------
    ValueError
        For a number out of range.

    Examples
    --------
    >>> Settings(draws=200, seed=1).chains
    4
    """

    draws: int = 1000
    chains: int = 4
    tune: int | None = None
    seed: int = 0
    cores: int | None = None
    target_accept: float | None = None
    progress: bool = True
    sampler: str = "nutpie"
    parameterization: str = "noncentered"

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("chains", 1), ("seed", 0)):
            value = getattr(self, name)
            if not _whole(value, least):
                raise ValueError(f"{name} must be a whole number, {least} or more; got {value!r}")
        for name in ("tune", "cores"):
            value = getattr(self, name)
            if value is not None and not _whole(value, 1):
                raise ValueError(f"{name} must be a whole number, 1 or more, or None; got {value!r}")
        target = self.target_accept
        if target is not None and not (isinstance(target, float) and 0 < target < 1):
            raise ValueError(f"target_accept must be a number between 0 and 1, or None; got {target!r}")
        if self.sampler not in SAMPLERS:
            raise UnsupportedError(f"there is no sampler {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        if self.parameterization not in PARAMETERIZATIONS:
            have = " and ".join(PARAMETERIZATIONS)
            raise UnsupportedError(
                f"there is no parameterization {self.parameterization!r}; there are {have}"
            )

    @property
    def threads(self) -> int:
        """What is done at once where it isn't chains: as many as the machine has, unless `cores` says otherwise."""
        return self.cores or getattr(os, "process_cpu_count", os.cpu_count)() or 1


def _whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def notify(settings: Settings, message: str) -> None:
    """Tell what takes long, where progress is wanted."""
    if settings.progress:
        print(message, file=sys.stderr, flush=True)


@contextmanager
def notify_if_slow(settings: Settings, message: str) -> Iterator[None]:
    """Tell what takes long if it does: after `PATIENCE` seconds."""
    notice = Timer(PATIENCE, notify, (settings, message))
    notice.start()
    try:
        yield
    finally:
        notice.cancel()
