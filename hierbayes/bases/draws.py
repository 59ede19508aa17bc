"""A sample that R, too, draws: which of many distinct values are the sites of a thin plate spline."""

import math

import numpy as np
from numpy.typing import NDArray

_SEED = 1
_MASK = 0xFFFFFFFF


def drawn_places(count: int, size: int) -> NDArray[np.int64]:
    """What ``set.seed(1); sample.int(count, size) - 1`` is in R 3.6 and later: (size,).

    R fills the state of the Mersenne twister by a linear congruential generator, and rejects numbers of random bits
    that are too large ("Random" and "sample" of the R reference manual).

    Examples
    --------
    >>> drawn_places(10, 3).tolist()
    [8, 3, 6]
    """
    twister = _twister(_SEED)
    left = np.arange(count)
    found = np.empty(size, dtype=np.int64)
    for place in range(size):
        at = _below(twister, count - place)
        found[place] = left[at]
        left[at] = left[count - place - 1]
    return found


def _twister(seed: int) -> np.random.MT19937:
    state = seed
    for _ in range(50):
        state = (69069 * state + 1) & _MASK
    words = []
    for _ in range(625):
        state = (69069 * state + 1) & _MASK
        words.append(state)
    twister = np.random.MT19937()
    twister.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(words[1:], dtype=np.uint64), "pos": 624},
    }
    return twister


def _below(twister: np.random.MT19937, bound: int) -> int:
    """A whole number from 0 to below `bound`."""
    bits = max(math.ceil(math.log2(bound)), 0)
    while True:
        number = 0
        for _ in range(0, bits + 1, 16):
            share = int(twister.random_raw()) * 2.3283064365386963e-10
            number = 65536 * number + int(share * 65536)
        number &= (1 << bits) - 1
        if number < bound:
            return number
