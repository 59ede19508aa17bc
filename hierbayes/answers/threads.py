"""Pieces of work on all cores, in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice


def side_by_side[T, R](function: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
    """The function of each piece, in their order: as ``map``, with no more pieces in work than there are cores.

    Threads gain where NumPy or compiled code does the work. A single piece needs none.

    Examples
    --------
    >>> list(side_by_side(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    pieces = iter(pieces)
    first = list(islice(pieces, 2))
    if len(first) < 2:
        yield from map(function, first)
        return
    cores = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    with ThreadPoolExecutor(cores) as pool:
        waiting = deque[Future[R]]()
        for piece in chain(first, pieces):
            waiting.append(pool.submit(function, piece))
            if len(waiting) > cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
