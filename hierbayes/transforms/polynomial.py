"""``poly(x, degree)``: powers of a number, orthonormal over the training rows unless they are raw."""

from dataclasses import dataclass

import numpy as np

from hierbayes.transforms.record import Argument, Array, Transform


@dataclass(frozen=True)
class Polynomial:
    """The recurrence of the orthogonal polynomials, or none of it for raw powers.

    Attributes
    ----------
    degree : int
    centres : tuple of float
        The centre of each step, degree of them.
    norms : tuple of float
        Sums of squares of the polynomials of degree 0, 1, … over the training rows; empty for raw powers.
    """

    degree: int
    centres: tuple[float, ...] = ()
    norms: tuple[float, ...] = ()


def _learn(values: Array, degree: int, raw: bool) -> Polynomial:
    """Three-term recurrence (Kennedy and Gentle 1980, Statistical Computing, section 8.2)."""
    if degree < 1:
        raise ValueError("the degree is 1 or more")
    distinct = len(np.unique(values))
    if degree >= distinct:
        raise ValueError(f"degree {degree} needs more than {degree} different values; there are {distinct}")
    if raw:
        return Polynomial(degree)
    before, current = np.zeros_like(values), np.ones_like(values)
    centres: list[float] = []
    norms = [float(len(values))]
    for step in range(degree):
        centres.append(float(np.sum(values * current**2) / norms[step]))
        back = norms[step] / norms[step - 1] if step else 0.0
        before, current = current, (values - centres[step]) * current - back * before
        norms.append(float(np.sum(current**2)))
    return Polynomial(degree, tuple(centres), tuple(norms))


def _columns(state: Polynomial, values: Array) -> Array:
    if not state.norms:
        return np.column_stack([values**power for power in range(1, state.degree + 1)])
    before, current = np.zeros_like(values), np.ones_like(values)
    columns = np.empty((len(values), state.degree))
    for step, centre in enumerate(state.centres):
        back = state.norms[step] / state.norms[step - 1] if step else 0.0
        before, current = current, (values - centre) * current - back * before
        columns[:, step] = current / np.sqrt(state.norms[step + 1])
    return columns


POLY = Transform("poly", _learn, _columns, {"degree": Argument("whole", 1), "raw": Argument("truth", False)})
