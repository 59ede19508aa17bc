"""Rough posterior values, and from them the coordinates in which the sampled effects are about N(0, I).

Any whitening leaves the posterior exact, so nothing here has to be accurate (docs/engine.md, section 2).
"""

from collections.abc import Callable

import numpy as np

from hierbayes.engine.core.hyperparameters import LAM, VALUE
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.standardisation import find_mode, standardise
from hierbayes.engine.gaussian.crossed import CrossedEvaluator
from hierbayes.engine.gaussian.information import informations
from hierbayes.engine.gaussian.moments import Moments
from hierbayes.engine.gaussian.products import Crossed
from hierbayes.engine.gaussian.whitening import R, Whitening

ROUNDS = 3  # of values for theta, then for the effects
PAIRS = 3, 32  # antithetic pairs of effects that theta's density is averaged over: more of few effects
STEPS = 60  # of conjugate gradients, and of Lanczos
ORDINARY = (0.7, 1.4)  # curvatures that need no direction of their own
DIRECTIONS = 24


def laplace_start(m: Moments, model: Crossed, start: Floats) -> Crossed:
    """Return the model in coordinates, theta's and the effects', in which the posterior is about N(0, I)."""
    rng = np.random.default_rng(0)
    theta = start
    noise = rng.standard_normal((int(np.clip(1500 // model.size, *PAIRS)), model.size))
    for _ in range(ROUNDS):
        model = whiten(m, model, theta)
        theta = find_mode(_averaged(model, noise), theta)
    return standardise(model, model.packed.constants.scales, lambda model: _averaged(model, noise), theta)


def whiten(m: Moments, model: Crossed, theta: Floats) -> Crossed:
    """Return the model in coordinates of the effects that are about N(0, I) given theta."""
    given = GivenTheta(model, theta)
    given.score(np.zeros(model.size))
    lams, sigma2 = given.density.memory.lams[LAM], given.density.memory.scale[VALUE, 0] ** 2
    table = model.whitening.table
    information, later = informations(m, int(model.packed.constants.sizes[0]), table, lams, sigma2)
    none = np.zeros((0, model.size)), np.zeros(0)
    model = model.whitened(Whitening(table, information, np.zeros(model.size), later, *none))
    # u_g's conditional mode is the start's where the later levels are: W r̂ + E r̂_later + what r̂ leaves over
    given = GivenTheta(model, theta)
    given.score(conjugate_gradients(given))
    r = given.density.mapped.mapped[R]
    row = np.repeat(np.arange(model.size), np.diff(later.starts))
    centre = sigma2 * given.density.residual() + _times(information, r, table)
    centre += np.bincount(row, later.values * r[later.columns], minlength=model.size)
    model = model.whitened(model.whitening._replace(centre=centre))
    curvatures, directions = extreme_directions(GivenTheta(model, theta))
    return model.whitened(
        model.whitening._replace(directions=directions, stretch=1.0 / np.sqrt(curvatures) - 1.0)
    )


class GivenTheta:
    """The log density as a function of the effects' coordinates alone: its score is affine in them."""

    def __init__(self, model: Crossed, theta: Floats) -> None:
        n = model.packed.n_theta
        self.density = CrossedEvaluator(model.standardised(np.zeros(n), np.eye(n)))
        self.size = model.size
        self.position = np.concatenate([theta, np.zeros(model.size)])

    def score(self, coordinates: Floats) -> Floats:
        """Return the derivative in the coordinates."""
        start = self.position.size - self.size
        self.position[start:] = coordinates
        return self.density(self.position)[1][start:].copy()


def _averaged(model: Crossed, noise: Floats) -> Callable[[Floats], tuple[float, Floats]]:
    """Return theta's log density and gradient, averaged over effects that are their mode plus and minus noise.

    That is variational inference with N(mode, I) for the effects; few draws do, as each averages many levels.
    """
    n = model.packed.n_theta
    density = CrossedEvaluator(model.standardised(np.zeros(n), np.eye(n)))
    points = np.concatenate([noise, -noise])

    def evaluate(theta: Floats) -> tuple[float, Floats]:
        value, score = 0.0, np.zeros(n)
        for point in points:
            one, gradient = density(np.concatenate([theta, point]))
            value += one / len(points)
            score += gradient[:n] / len(points)
        return value, score

    return evaluate


def conjugate_gradients(given: GivenTheta) -> Floats:
    """Return about the coordinates where the score is 0."""
    start = given.score(np.zeros(given.size))
    x, left = np.zeros(start.size), start.copy()
    direction, size = left.copy(), float(left @ left)
    for _ in range(STEPS):
        if not size > 1e-10 * start.size:
            break
        curved = start - given.score(direction)
        step = size / float(direction @ curved)
        x += step * direction
        left -= step * curved
        size, before = float(left @ left), size
        direction = left + size / before * direction
    return x


def extreme_directions(given: GivenTheta) -> tuple[Floats, Floats]:
    """Return the curvatures far from 1 and their orthonormal directions (rows), by Lanczos' method.

    Golub & Van Loan (2013), Matrix Computations, section 10.1, with complete reorthogonalisation.
    """
    size = given.size
    origin = given.score(np.zeros(size))
    basis, curved = np.zeros((2, min(STEPS, size), size))
    vector = np.random.default_rng(0).standard_normal(size)
    for i in range(len(basis)):
        for _ in range(2):
            vector -= basis[:i].T @ (basis[:i] @ vector)
        norm = float(np.linalg.norm(vector))
        if norm < 1e-8:
            basis, curved = basis[:i], curved[:i]
            break
        basis[i] = vector / norm
        curved[i] = origin - given.score(basis[i])
        vector = curved[i].copy()
    small = basis @ curved.T
    values, vectors = np.linalg.eigh((small + small.T) / 2)
    values = np.maximum(values, 1e-3)
    far = np.flatnonzero((values < ORDINARY[0]) | (values > ORDINARY[1]))
    far = far[np.argsort(-np.abs(np.log(values[far])))][:DIRECTIONS]
    return values[far], np.ascontiguousarray((basis.T @ vectors[:, far]).T)


def _times(information: Floats, r: Floats, table: Ints) -> Floats:
    """Return W_g r_g of every level."""
    out = np.zeros(r.size)
    for _, q, levels, first, _ in table:
        rows = slice(first, first + q * levels)
        W = information[rows, :q].reshape(levels, q, q)
        out[rows] = np.einsum("gab,gb->ga", W, r[rows].reshape(levels, q)).ravel()
    return out
