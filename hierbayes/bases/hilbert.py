"""A basis of sines on a box, which stands for a Gaussian process: the Laplace operator's eigenfunctions there.

Solin & Särkkä (2020), Statistics and Computing 30. The box reaches c times the largest distance between two training
rows to each side of the middle, in every direction, as in brms.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from hierbayes.bases.record import Array


@dataclass(frozen=True, eq=False)
class SineBasis:
    """The basis, learnt.

    Attributes
    ----------
    centre : ndarray, (d,)
        The middle of the training rows.
    extent, gap : float
        The largest distance of two different training rows, and the smallest.
    half_width : float
        How far the box reaches from the middle.
    indices : ndarray, (m, d)
        The frequency of each function in each direction, counted from 1.
    """

    centre: Array
    extent: float
    gap: float
    half_width: float
    indices: Array

    @property
    def squares(self) -> Array:
        """Squared frequencies of the functions: (m,)."""
        found: Array = np.square(np.pi * self.indices / (2 * self.half_width)).sum(axis=1)
        return found

    def evaluate(self, x: Array) -> Array:
        """The functions at predictors (n, d): (n, m).

        Raises
        ------
        ValueError
            Beyond the box, where they stand for nothing.
        """
        away = x - self.centre
        furthest = float(np.abs(away).max(initial=0.0))
        if furthest > self.half_width * (1 + 1e-9):
            raise ValueError(
                f"a row lies {furthest:.4g} from the middle of the training rows, and the process's functions reach "
                f"{self.half_width:.4g}: fit with c={np.ceil(100 * furthest / self.extent) / 100:g} or more"
            )
        columns = np.ones((len(x), len(self.indices)))
        for j in range(x.shape[1]):
            angles = np.pi * (away[:, j] / self.half_width + 1) / 2
            most = int(self.indices[:, j].max())
            sines = np.sin(np.outer(angles, np.arange(1, most + 1))) / np.sqrt(self.half_width)
            columns *= sines[:, self.indices[:, j].astype(np.int64) - 1]
        return columns


def learn_sines(x: Array, k: int, c: float) -> SineBasis:
    """The basis of k functions a direction for training rows (n, d).

    Raises
    ------
    ValueError
        Where all rows are in one place.
    """
    distinct = np.unique(x, axis=0)
    if len(distinct) < 2:
        raise ValueError("all rows have one value, and a process needs several")
    extent, gap = _distances(distinct)
    indices = np.array(list(product(range(1, k + 1), repeat=x.shape[1])), np.float64)
    middle = 0.5 * (distinct.min(axis=0) + distinct.max(axis=0))
    return SineBasis(middle, extent, gap, c * extent, indices)


def _distances(distinct: Array) -> tuple[float, float]:
    """The largest and the smallest distance of different places (n, d)."""
    if distinct.shape[1] == 1:
        values = distinct[:, 0]
        return float(values[-1] - values[0]), float(np.diff(values).min())
    from scipy.spatial import ConvexHull, QhullError, cKDTree  # half a second to import

    gap = float(cKDTree(distinct).query(distinct, k=2)[0][:, 1].min())
    try:
        edge = distinct[ConvexHull(distinct).vertices]
    except QhullError:  # all on one line, whose ends come first and last
        edge = distinct[[0, -1]]
    between = edge[:, None] - edge
    return float(np.sqrt(np.square(between).sum(axis=2)).max()), gap
