"""What is said where chains find no place to start."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hierbayes.errors import DataError

_FAILED = ("All initialization points failed", "Initial evaluation of model at starting point failed")
_MOMENT = 0.5  # seconds


@contextmanager
def with_places_to_start() -> Iterator[None]:
    """Say of a sampler that found no point with a density, in our words.

    Raises
    ------
    DataError
        For a posterior whose density is 0, or no number, wherever chains were to start.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in _FAILED):
            raise
        time.sleep(
            _MOMENT
        )  # nutpie's threads end after it raises, and a process that ends before them crashes
        raise DataError(
            "chains find no place to start: the posterior's density is 0, or no number, wherever they try. An "
            "expression in a formula may have no finite value there, as a division by 0 or the logarithm of a negative "
            "number, or the priors may lie where the responses cannot be; prior_predictive() shows what they imply"
        ) from None
