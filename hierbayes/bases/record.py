"""What a basis of a smooth is: columns as a function of the predictors, and a penalty on their coefficients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Basis:
    """A basis that has been learnt: k functions of d predictors, and the penalty on their coefficients.

    Attributes
    ----------
    evaluate : callable
        Predictors (n, d) → columns (n, k).
    penalty : ndarray, (k, k)
        c' S c is how much the function with coefficients c bends.
    straight : bool
        Whether straight lines (planes) are free of penalty, beside constants.
    """

    evaluate: Callable[[Array], Array]
    penalty: Array
    straight: bool


@dataclass(frozen=True)
class BasisKind:
    """A kind of basis, as ``bs=`` names it.

    Attributes
    ----------
    name : str
    words : str
    learn : callable
        Predictors of the training rows (n, d), k and the knots that are given → `Basis`. It raises a ValueError where
        they cannot serve, whose text follows "cannot be computed from these data: ".
    predictors : int
        The largest d.
    """

    name: str
    words: str
    learn: Callable[[Array, int, tuple[float, ...] | None], Basis]
    predictors: int = 1


def check_distinct(values: Array, k: int) -> None:
    """Refuse fewer distinct rows of predictors (n, d) than the basis has functions."""
    distinct = len(np.unique(values, axis=0)) if values.shape[1] > 1 else len(np.unique(values))
    if distinct < 3:
        raise ValueError(
            f"a smooth needs 3 different values or more; there {'is 1' if distinct == 1 else 'are 2'}"
        )
    if distinct < k:
        raise ValueError(
            f"k={k} needs {k} different values; there are {distinct}: write k={distinct} or less"
        )


def check_least(k: int, least: int, kind: str) -> None:
    """Refuse a k that leaves nothing to bend."""
    if k < least:
        raise ValueError(f'k={k} is too small for bs="{kind}", which needs {least} or more')
