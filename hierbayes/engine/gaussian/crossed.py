"""The log density with some factors' effects as coordinates and all else integrated out (numba).

Given the sampled effects r, the model is the collapsed one with the response y - D r. Only the response's
cross-products change with r: sparse products. Symbols are those of docs/engine.md, section 2.
"""

from collections.abc import Sequence

import numpy as np

from hierbayes.engine.core.density import Density, Evaluator
from hierbayes.engine.core.hyperparameters import (
    LAM,
    LAM_SCORE,
    VALUE,
    Q,
    add_scores,
    constrain,
    set_theta,
    to_position,
)
from hierbayes.engine.core.loops import add, compiled, fill, finite
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.gaussian.conditional import Coefficients, draw_conditional, in_batches
from hierbayes.engine.gaussian.elimination import COLUMNS, EFFECT, END, FIRST, WIDTH, inverse_variance
from hierbayes.engine.gaussian.kernels import gain, level_mode, level_residual, log_likelihood
from hierbayes.engine.gaussian.packing import Constants, Memory
from hierbayes.engine.gaussian.products import Crossed, Products, Work
from hierbayes.engine.gaussian.whitening import FIRST as FIRST_EFFECT
from hierbayes.engine.gaussian.whitening import LEVELS, START, Mapped, R, Whitening, forward, vjp
from hierbayes.engine.gaussian.whitening import Q as EFFECTS


def crossed_density(model: Crossed) -> Density:
    """Return the log density of a model's coordinates."""
    constants = model.packed.constants, model.whitening, model.products
    return Density(crossed_log_density, model.dim, constants, model.memory)


class CrossedEvaluator(Evaluator):
    """A model's log density and its gradient as a function of the position; one for each thread."""

    def __init__(self, model: Crossed) -> None:
        super().__init__(crossed_density(model))
        self.model = model
        self.memory: Memory
        self.mapped: Mapped
        self.work: Work
        self.memory, self.mapped, self.work = self.table.arguments[0][-3:]  # type: ignore[assignment]

    def residual(self) -> Floats:
        """Return D'(y - D r - the mode of the rest)/σ² where it was evaluated last."""
        out = np.zeros(self.model.size)
        is2 = self.memory.scale[VALUE, 0] ** -2
        residual(is2, self.model.packed.constants, self.model.products, self.memory, self.work, out)
        return out


def draw_crossed(
    model: Crossed, points: Floats, seed: Sequence[int] | int, threads: int = 1, keep: int | None = None
) -> Coefficients:
    """Complete draws by those of b and of the factors that are integrated out, from their exact conditional.

    As `conditional.draw_coefficients`, but ``points`` (draws, dim) holds each theta and then the sampled effects'
    coordinates.
    """
    n = model.packed.n_theta
    points = np.ascontiguousarray(points, dtype=np.float64)

    def draw_batch(rows: slice, out: Floats, out_scale: Floats, out_chol: Floats) -> None:
        thetas, coordinates = np.ascontiguousarray(points[rows, :n]), np.ascontiguousarray(points[rows, n:])
        arrays = (model.packed.constants, model.whitening, model.products, *model.memory())
        run(
            draw_crossed_conditional,
            thetas,
            coordinates,
            model.packed.levels,
            out,
            out_scale,
            out_chol,
            *arrays,
        )

    return in_batches(model.packed, len(points), draw_batch, seed, threads, keep)


@compiled
def crossed_log_density(
    position: Floats, grad: Floats, c: Constants, whitening: Whitening, products: Products, memory: Memory,
    mapped: Mapped, work: Work,
) -> float:  # fmt: skip
    """Return log p(y, theta, sampled effects) in the coordinates (theta's, then the effects').

    Sets grad. -inf with a gradient of zeros where it cannot be evaluated.
    """
    n_theta = memory.theta.size
    set_theta(position, c.origin, c.scale_tril, memory.theta)
    value = c.scalars[1] - 0.5 * np.log(2.0 * np.pi) * (position.size - n_theta)
    value += constrain(
        memory.theta, c.scales, c.scale_priors, c.factors, c.blocks, c.shapes, memory.scale, memory.shaped, memory.lams
    )  # fmt: skip
    is2 = 1.0 / memory.scale[VALUE, 0] ** 2
    value += forward(is2, memory.lams[LAM], position[n_theta:], whitening, mapped)
    subtract(mapped.mapped[R], c, products, work)
    likelihood, sigma_score = log_likelihood(
        c.sizes, c.scalars, c.factors, c.column_sets, c.columns, c.starts, c.ZZ, work.ZA, work.gram, c.prior,
        memory.scale, memory.lams, memory.inverses, memory.tiles, memory.rows, memory.H, memory.flat_H,
        memory.column_set, memory.E, memory.squares, memory.vectors,
    )  # fmt: skip
    value += likelihood
    if finite(value):
        least = inverse_variance(memory.scale[VALUE, 0], work.gram)  # as the likelihood has it
        residual(least, c, products, memory, work, mapped.pull)
        sigma_score += vjp(is2, memory.lams[LAM], whitening, mapped, memory.lams[LAM_SCORE], grad[n_theta:])
        add_scores(
            sigma_score, c.scales, c.scale_priors, c.factors, c.blocks, c.shapes, memory.scale, memory.shaped,
            memory.lams, memory.score,
        )  # fmt: skip
        value = to_position(value, memory.score, c.scale_tril, grad[:n_theta])
        if finite(value) and finite(grad[n_theta:].sum()):
            return value
    fill(grad, 0.0)
    return -np.inf


@compiled
def subtract(r: Floats, c: Constants, products: Products, work: Work) -> None:
    """Set the response's cross-products in work to those of y - D r."""
    rows = products.with_primary
    lanes = products.primary_response.shape[1]
    q = c.factors[c.sizes[0], Q]
    row = 0
    for k in range(c.column_sets.shape[0]):
        width = c.column_sets[k, WIDTH]
        for batch in range(c.column_sets[k, FIRST], c.column_sets[k, END]):
            for a in range(q):
                out = work.ZA[c.starts[batch] + (a + 1) * width - 1]
                for lane in range(lanes):
                    own = rows.columns[rows.starts[row] : rows.starts[row + 1]]
                    values = rows.values[rows.starts[row] : rows.starts[row + 1]]
                    total = products.primary_response[batch * q + a, lane]
                    for e in range(own.size):
                        total -= values[e] * r[own[e]]
                    out[lane] = total
                    row += 1
    m = work.gram.shape[0] - 1
    response = work.gram[m]
    for j in range(m + 1):
        response[j] = products.dense_response[j]
    squares, dense = products.with_sampled, products.with_dense
    for i in range(r.size):
        left = products.with_response[i]
        for e in range(squares.starts[i], squares.starts[i + 1]):
            left -= squares.values[e] * r[squares.columns[e]]
        work.left[i] = left
        response[m] -= r[i] * (left + products.with_response[i])
        for e in range(dense.starts[i], dense.starts[i + 1]):
            response[dense.columns[e]] -= dense.values[e] * r[i]


@compiled
def residual(is2: float, c: Constants, products: Products, memory: Memory, work: Work, pull: Floats) -> None:
    """Set pull = D'(y - D r - the mode of the rest)/σ²: the derivative of the collapsed log likelihood in r."""
    primary = c.sizes[0]
    q = c.factors[primary, Q]
    lam, effect = memory.lams[LAM, primary], memory.vectors[EFFECT]
    rows, dense = products.with_primary, products.with_dense
    for i in range(pull.size):
        total = work.left[i]
        for e in range(dense.starts[i], dense.starts[i + 1]):
            total += dense.values[e] * effect[dense.columns[e]]
        pull[i] = is2 * total
    for k in range(c.column_sets.shape[0]):
        own = c.columns[c.column_sets[k, COLUMNS] : c.column_sets[k, COLUMNS] + c.column_sets[k, WIDTH]]
        for batch in range(c.column_sets[k, FIRST], c.column_sets[k, END]):
            gain(q, memory.inverses, batch * q * q, memory.tiles[0])
            level_residual(q, effect, own, work.ZA, c.starts[batch], memory.rows[0])
            level_mode(is2, q, memory.tiles[0], memory.rows[0], memory.rows[1])
            for a in range(q):
                out = work.effects[batch * q + a]
                fill(out, 0.0)
                for b in range(a + 1):
                    add(out, is2 * lam[a, b], memory.rows[1, b])
    for row in range(rows.starts.size - 1):
        met = rows.columns[rows.starts[row] : rows.starts[row + 1]]
        values = rows.values[rows.starts[row] : rows.starts[row + 1]]
        for e in range(met.size):
            pull[met[e]] -= work.flat_effects[row] * values[e]


@compiled
def draw_crossed_conditional(
    thetas: Floats, coordinates: Floats, levels: Ints, out: Floats, out_scale: Floats, out_chol: Floats,
    c: Constants, whitening: Whitening, products: Products, memory: Memory, mapped: Mapped, work: Work,
) -> None:  # fmt: skip
    """As `conditional.draw_conditional`, given the sampled effects' coordinates (draws, D) too."""
    for draw in range(thetas.shape[0]):
        constrain(
            thetas[draw], c.scales, c.scale_priors, c.factors, c.blocks, c.shapes, memory.scale, memory.shaped,
            memory.lams,
        )  # fmt: skip
        is2 = 1.0 / memory.scale[VALUE, 0] ** 2
        forward(is2, memory.lams[LAM], coordinates[draw], whitening, mapped)
        subtract(mapped.mapped[R], c, products, work)
        draw_conditional(
            thetas[draw : draw + 1], levels, out[draw : draw + 1], out_scale[draw : draw + 1],
            out_chol[draw : draw + 1], c.origin, c.scale_tril, c.sizes, c.scalars, c.scales, c.scale_priors, c.factors,
            c.blocks, c.shapes, c.column_sets, c.columns, c.starts, c.ZZ, work.ZA, work.gram, c.prior, memory.theta,
            memory.score, memory.scale, memory.shaped, memory.lams, memory.inverses, memory.tiles, memory.rows,
            memory.H, memory.flat_H, memory.column_set, memory.E, memory.squares, memory.vectors,
        )  # fmt: skip
        for k in range(whitening.table.shape[0]):
            row = whitening.table[k]
            for i in range(row[LEVELS] * row[EFFECTS]):
                out[draw, row[START] + i] = mapped.mapped[R, row[FIRST_EFFECT] + i]
