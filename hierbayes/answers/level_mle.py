"""Each level's maximum-likelihood coefficients from its own rows, all levels at once.

A sum over each level's rows is a weighted count of its number, so that all levels climb together and each takes its
own Newton steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.levels import Codes
from hierbayes.kinds import ParameterValues
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEPS = 50  # Newton steps; an interior maximum takes about five
HALVINGS = 30  # of one step
SETTLED = 1e-6  # a level stops when a step moves none of its rows by more, in units of `LevelRows.scale`
NEARLY = 1e-3  # and has arrived all the same when its last step was this small
DIFFERENCE = 1e-3  # step of the central differences, in the same units
DEPENDENT = 1e-11  # a column whose part orthogonal to the others is relatively this small adds nothing
FLAT = 1e-8  # with so little information about log odds (standard error 10⁴) the maximum lies at infinity


@dataclass(frozen=True, eq=False)
class LevelRows:
    """Rows with their level's number and basis: the log likelihood of each level's own coefficients."""

    spec: ModelSpec
    y: Array
    trials: Array | None
    weights: Array
    aux: Mapping[str, ParameterValues]  # each (n,), or (n, elements)
    basis: Array  # (n, q)
    codes: Codes

    def rows(self, part: Mask) -> "LevelRows":
        """The same for some of the rows."""
        trials = None if self.trials is None else self.trials[part]
        aux = {name: values.map(lambda eta: eta[part]) for name, values in self.aux.items()}
        return LevelRows(
            self.spec, self.y[part], trials, self.weights[part], aux, self.basis[part], self.codes[part]
        )

    def log_density(self, eta: Array) -> Array:
        """Log density of each row, times its weight."""
        return self.weights * self.spec.family.at(eta, self.aux, self.spec.link).log_density(
            self.y, self.trials
        )

    def information(self, eta: Array) -> Array:
        """Fisher information of each row about its linear predictor, without its weight."""
        return self.spec.family.at(eta, self.aux, self.spec.link).information(self.trials) * np.ones_like(eta)

    @property
    def relative(self) -> bool:
        """Whether a unit of the linear predictor is large by itself: a factor e on mean or odds."""
        # a latent variable's scale is its own too
        return self.spec.link.unit is None or self.spec.family.latent != ""

    def scale(self, information: Array) -> Array:
        """How far a linear predictor moves before it matters: a standard error, or a log unit.

        NaN where the mean is out of its range and the information therefore negative, which stops the level.
        """
        scale = 1 / np.sqrt(information)
        return np.minimum(scale, 1.0) if self.relative else scale


def orthonormal(z: Array, codes: Codes, levels: int) -> tuple[Array, Array, Mask]:
    """QR within each level: basis (n, q) and root (G, q, q), z = basis · root; who has full rank (G,).

    By modified Gram-Schmidt, so that a predictor like `year` beside an intercept costs no digits.
    """
    q = z.shape[1]
    basis, root = np.zeros_like(z), np.zeros((levels, q, q))
    full = np.ones(levels, dtype=bool)
    for j in range(q):
        column = z[:, j].copy()
        length = np.sqrt(_sums(column**2, codes, levels))
        for i in range(j):
            along = _sums(basis[:, i] * column, codes, levels)
            root[:, i, j] = along
            column -= along[codes] * basis[:, i]
        rest = np.sqrt(_sums(column**2, codes, levels))
        full &= rest > DEPENDENT * length
        root[:, j, j] = np.where(full, rest, 1.0)
        basis[:, j] = column / root[codes, j, j]
    return basis, root, full


def _sums(values: Array, codes: Codes, levels: int) -> Array:
    return np.bincount(codes, weights=values, minlength=levels)


def climb(rows: LevelRows, eta: Array, full: Mask) -> tuple[Array, Mask]:
    """Maximise each level's log likelihood from `eta`: the way gone in its basis (G, q), who arrived (G,)."""
    levels, q = len(full), rows.basis.shape[1]
    shift, size = np.zeros((levels, q)), np.full(levels, np.inf)
    active, eta = full.copy(), eta.copy()
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            if not active.any():
                break
            part = active[rows.codes]
            own, here = rows.rows(part), eta[part]
            step, scale, able = _newton_step(own, here, active)
            size[active] = 0.0
            np.maximum.at(size, own.codes, np.abs(_along(own, step)) / scale)
            size[active & ~able] = np.inf
            taken = step * _fractions(own, here, step, levels)[:, None]
            shift += taken
            eta[part] = here + _along(own, taken)
            active &= able & (size > SETTLED)
    return shift, full & (size < NEARLY)


def _newton_step(rows: LevelRows, eta: Array, active: Mask) -> tuple[Array, Array, Mask]:
    """A step for each active level (G, q), the rows' scales (n,), and which levels can take one (G,).

    Derivatives in the linear predictor are central differences of the family's own log density, so they hold
    for every family. Observed information converges fastest; Fisher's stands in where that is not positive.
    """
    levels = len(active)
    information = rows.information(eta)
    scale = rows.scale(information)
    h = DIFFERENCE * scale
    below, middle, above = rows.log_density(eta - h), rows.log_density(eta), rows.log_density(eta + h)
    gradient = _level_sums(rows, (above - below) / (2 * h), levels)
    expected = level_products(rows, rows.weights * information, levels)
    observed = level_products(rows, -((above - middle) - (middle - below)) / h**2, levels)
    able = active & np.isfinite(gradient).all(axis=1) & np.isfinite(expected).all(axis=(1, 2))
    least = _least_eigenvalues(expected, able)
    able &= least > (FLAT if rows.relative else 0.0)
    curved = able & np.isfinite(observed).all(axis=(1, 2))
    curved &= _least_eigenvalues(observed, curved) > 1e-3 * least
    matrix = np.where(curved[:, None, None], observed, expected)
    step = np.zeros(gradient.shape)
    step[able] = np.linalg.solve(matrix[able], gradient[able][..., None])[..., 0]
    return step, scale, able


def _fractions(rows: LevelRows, eta: Array, step: Array, levels: int) -> Array:
    """How much of each level's step to take (G,): halved until its log likelihood does not fall."""
    start = rows.log_density(eta)
    floor = _sums(start, rows.codes, levels) - 1e-12 * _sums(np.abs(start), rows.codes, levels)
    fractions = np.ones(levels)
    falling = np.zeros(levels, dtype=bool)
    falling[rows.codes] = True
    for _ in range(HALVINGS):
        part = falling[rows.codes]
        own = rows.rows(part)
        there = eta[part] + _along(own, step * fractions[:, None])
        reached = _sums(own.log_density(there), own.codes, levels)
        falling &= ~(reached >= floor)  # also where it is not a number
        if not falling.any():
            return fractions
        fractions[falling] /= 2
    fractions[falling] = 0.0
    return fractions


def _along(rows: LevelRows, step: Array) -> Array:
    """What a step in each level's basis changes in the linear predictor: (n,)."""
    change: Array = (rows.basis * step[rows.codes]).sum(axis=1)
    return change


def _level_sums(rows: LevelRows, values: Array, levels: int) -> Array:
    """Σ basis · value within levels: (G, q)."""
    return np.stack([_sums(column * values, rows.codes, levels) for column in rows.basis.T], axis=1)


def level_products(rows: LevelRows, values: Array, levels: int) -> Array:
    """Σ basis basisᵀ · value within levels: (G, q, q)."""
    q = rows.basis.shape[1]
    products = np.empty((levels, q, q))
    for i in range(q):
        for j in range(i + 1):
            sums = _sums(rows.basis[:, i] * rows.basis[:, j] * values, rows.codes, levels)
            products[:, i, j] = products[:, j, i] = sums
    return products


def _least_eigenvalues(matrices: Array, where: Mask) -> Array:
    """The least eigenvalue of each matrix that `where` names, minus infinity for the others: (G,)."""
    least = np.full(len(matrices), -np.inf)
    least[where] = np.linalg.eigvalsh(matrices[where])[:, 0]
    return least
