"""Parameters and constants of covariance structures as rows of numbers that the kernels read."""

from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np

from hierbayes.engine.core.problem import Block, Factor, Floats, PriorCode
from hierbayes.structures.record import Structure
from hierbayes.structures.registry import STRUCTURES

# columns of a shape's row: index in theta, kind, four numbers of its prior, its bounds
AT, KIND, A, B, C, D, LOWER, UPPER = 0, 1, 2, 3, 4, 5, 6, 7
PARTIAL, BOUNDED, POSITIVE, CONSTANT, OWN, REAL, NORMAL = range(7)  # kinds of shapes


def partial_rows(powers: Sequence[float] | Floats) -> Floats:
    """Return the rows of partial correlations w with densities (1 - w²)^(power - 1)."""
    found = np.zeros((len(powers), 8))
    found[:, A], found[:, LOWER], found[:, UPPER] = powers, -1.0, 1.0
    return found


def constant_rows(values: Sequence[float] | Floats, lower: float = 0.0, upper: float = np.inf) -> Floats:
    """Return the rows of what is known: of parameters between their bounds, and of constants."""
    found = np.zeros((len(values), 8))
    found[:, AT], found[:, KIND], found[:, A] = -1, CONSTANT, values
    found[:, LOWER], found[:, UPPER] = lower, upper
    return found


def bounded_row(low: float, high: float, alpha: float, beta: float, lower: float, upper: float) -> Floats:
    """Return the row of a parameter that is a Beta(alpha, beta) stretched from `low` to `high`, within its bounds."""
    return np.array([[0, BOUNDED, low, high, alpha, beta, lower, upper]])


def normal_row(low: float, high: float, mu: float, sigma: float, lower: float, upper: float) -> Floats:
    """Return the row of a parameter that is what of a Normal(mu, sigma) lies from `low` to `high`."""
    return np.array([[0, NORMAL, low, high, mu, sigma, lower, upper]])


def positive_row(prior: Floats, typical: float) -> Floats:
    """Return the row of a positive parameter with a prior as `PriorCode` has it; theta counts from a typical value.

    That of one with a lower end counts the distance to it.
    """
    lower = prior[3] if prior[0] == PriorCode.TRUNCATED_GAMMA else 0.0
    return np.array([[0, POSITIVE, prior[1], prior[2], prior[0], log(typical), lower, np.inf]])


def real_row(prior: Floats, typical: float, start: float) -> Floats:
    """Return the row of any number whose size has a prior as `PriorCode` has it, either sign being as likely.

    theta counts from a start, in units of a typical value.
    """
    return np.array([[0, REAL, prior[1], prior[2], prior[0], typical, start, np.inf]])


def follow_row(place: int) -> Floats:
    """Return the row of a positive own number of the model, by its place, which a structure follows."""
    return np.array([[-1, OWN, place, 0.0, 0.0, 0.0, 0.0, np.inf]])


def with_own_from(factor: Factor, first: int) -> Factor:
    """Return the factor where the model's own numbers that it follows are counted from another one on."""
    blocks = []
    for block in factor.structured:
        shapes = block.shapes.copy()
        shapes[shapes[:, KIND] == OWN, A] += first
        blocks.append(replace(block, shapes=shapes))
    return replace(factor, structured=tuple(blocks))


def matrix_rows(structure: Structure, q: int, eta: float, cor: float | None) -> Floats:
    """Return the rows of correlations that are free one by one, or known and all the same."""
    assert structure.matrix is not None, "its correlations are parameters themselves"
    if cor is None:
        return partial_rows(structure.matrix.powers(q, eta))
    return constant_rows(structure.matrix.equal(q, cor), -1.0, 1.0)


def unstructured(effects: Sequence[int], eta: float, cor: float | None) -> Block:
    """Return a block of effects with any correlations, or with known ones that are all the same."""
    shapes = matrix_rows(STRUCTURES["us"], len(effects), eta, cor)
    return Block("us", tuple(effects), tuple(effects), shapes)
