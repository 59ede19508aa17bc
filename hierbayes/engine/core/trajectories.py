"""Steps along the exact trajectories of N(0, I), and how long they may be."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hierbayes.engine.core.problem import Floats

Evaluate = Callable[[Floats], tuple[float, Floats]]
LONG = 1.12  # radians
HALF = 3  # such steps, jitter or not, are just over half a circle, where NUTS turns: three gradients a draw, not seven
CHAINS, TRAJECTORIES = 12, 6  # that are tried: 230 gradients of some 20,000
HOPELESS = 0.1  # so far below the target, no further chain is tried


def harmonic(longest: float) -> dict[str, Any]:
    """Return the settings of steps along the exact trajectories of N(0, I), no longer than so many radians.

    Only what departs from N(0, I) makes an error then; that of a straight step grows with the number of coordinates.
    """
    return {"exact_normal_trajectory": True, "max_step_size": longest, "step_size_jitter": 0.05}


def is_nearly_normal(evaluate: Evaluate, centre: Floats, target: float) -> bool:
    """Whether trajectories of three `LONG` steps reach a target of acceptance, so that they pay.

    Parameters
    ----------
    evaluate : callable
        The log density and its gradient at a position.
    centre : array (dim,)
        About where the density is N(centre, I), if it is normal.
    target : float
        Mean acceptance that is asked for.

    Examples
    --------
    >>> normal = lambda x: (-0.5 * x @ x, -x)
    >>> narrow = lambda x: (-8 * x @ x, -16 * x)
    >>> [is_nearly_normal(each, np.zeros(20), 0.8) for each in (normal, narrow)]
    [True, False]
    """
    found: list[float] = []
    for seed in range(CHAINS):
        found += _acceptance(evaluate, centre, seed)
        if not np.mean(found) > target - HOPELESS:
            return False
    return bool(np.mean(found) >= target)


def _acceptance(evaluate: Evaluate, centre: Floats, seed: int) -> Iterator[float]:
    """Acceptance at each position of a chain of trajectories, but for the first, which leads to where mass is."""
    rng = np.random.default_rng(seed)
    cos, sin = np.cos(LONG), np.sin(LONG)
    here = centre + rng.standard_normal(centre.size)
    value, pull = _beside_normal(evaluate, here)
    for trajectory in range(TRAJECTORIES):
        x, momentum, slope, rise = here, rng.standard_normal(centre.size), pull, 0.0
        energy = 0.5 * momentum @ momentum - value
        for _ in range(HALF):
            momentum = momentum + 0.5 * LONG * slope
            x, momentum = cos * x + sin * momentum, cos * momentum - sin * x
            reached, slope = _beside_normal(evaluate, x)
            momentum = momentum + 0.5 * LONG * slope
            rise = energy - (0.5 * momentum @ momentum - reached)
            if not np.isfinite(rise):
                rise = -np.inf
            if trajectory:
                yield float(np.exp(min(rise, 0.0)))
        if np.log(rng.random()) < rise:
            here, value, pull = x, reached, slope


def _beside_normal(evaluate: Evaluate, x: Floats) -> tuple[float, Floats]:
    """The log density, and its score beside that of N(0, I)."""
    value, score = evaluate(x)
    return value, score + x
