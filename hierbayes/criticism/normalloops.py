"""Loops over rows whose response is normal with one scale, and over what they share, draws side by side (numba)."""

import numpy as np

from hierbayes.engine.core.loops import add, add_product, compiled, fill
from hierbayes.engine.core.problem import Floats, Ints


@compiled
def log_densities(
    y: Floats, weights: Floats, constants: Floats, places: Ints, coefficients: Floats, table: Floats,
    logs: Floats, precision: Floats, out: Floats,
) -> None:  # fmt: skip
    """Set out (k, S) to weight · (logs − ½ precision (y − η)²) + constant; η is each row's sum over the table.

    Parameters
    ----------
    y, weights, constants : (k,)
        y without the offset.
    places, coefficients : (k, J)
        Which rows of the table each row's predictor is the sum of, and how often.
    table : (T, S)
    logs, precision : (S,)
        ½ log(precision / 2π), and 1 / σ².
    """
    for i in range(y.size):
        if weights[i] == 0.0:
            fill(out[i], 0.0)
            continue
        residual(y[i], places[i], coefficients[i], table, out[i])
        for draw in range(logs.size):
            e = out[i, draw]
            value = weights[i] * (logs[draw] - 0.5 * precision[draw] * e * e) + constants[i]
            out[i, draw] = value if value == value else -np.inf


@compiled
def residual(y: float, places: Ints, coefficients: Floats, table: Floats, out: Floats) -> None:
    """Set out to y less a sum over the table; a negative place is left out."""
    fill(out, y)
    for j in range(places.size):
        if places[j] >= 0 and coefficients[j] != 0.0:
            add(out, -coefficients[j], table[places[j]])


@compiled
def linear_predictors(
    offsets: Floats, places: Ints, coefficients: Floats, table: Floats, out: Floats
) -> None:
    """Set out (k, S) to each row's offset and sum over the table."""
    for i in range(offsets.size):
        residual(-offsets[i], places[i], coefficients[i], table, out[i])
        for draw in range(table.shape[1]):
            out[i, draw] = -out[i, draw]


@compiled
def sum_residuals(
    y: Floats, weights: Floats, places: Ints, coefficients: Floats, columns: Ints, groups: Ints, table: Floats,
    row: Floats, squares: Floats, sums: Floats,
) -> None:  # fmt: skip
    """Add each row's weighted square residual to its group's, and residuals to the sums of the columns it has.

    Parameters
    ----------
    columns : (k, J)
        Which of the sums each coefficient stands in, −1 for none.
    groups : (k,)
    row : (S,)
        Memory.
    squares, sums : (G, S), (m, S)
    """
    for i in range(y.size):
        residual(y[i], places[i], coefficients[i], table, row)
        add_product(squares[groups[i]], weights[i], row, row)
        for j in range(columns.shape[1]):
            if columns[i, j] >= 0 and coefficients[i, j] != 0.0:
                add(sums[columns[i, j]], weights[i] * coefficients[i, j], row)


@compiled
def integrate(
    firsts: Ints, starts: Ints, rows: Ints, pairs: Ints, products: Floats, lefts: Ints, rights: Ints, ups: Ints,
    sources: Ints, scales: Ints, lams: Floats, constants: Floats, logs: Floats, precision: Floats, sums: Floats,
    squares: Floats, lower: Floats, diagonal: Floats, right: Floats, lanes: Floats,
) -> None:  # fmt: skip
    """Turn each group's squares into the log density of its rows, its own effects integrated, some draws at a time.

    By M = L D L' of M = I + Λ' Z'WZ Λ / σ², without what is 0 in every draw. M's and L's entries are numbered column by
    column: those below the diagonal from starts[j] on, and the diagonal's after all of them.

    Parameters
    ----------
    firsts : (G + 1,)
        Each group's first column.
    starts, rows : (m + 1,), (N,)
        Rows of the entries below each column's diagonal, in order.
    pairs, products, lefts, rights : (N + m + 1,), (P,), (P,), (P,)
        Each entry of M is a sum of products with two rows of lams: from pairs[entry] on.
    ups, sources, scales : (m + 1,), (U,), (U,)
        Each entry of Λ'Z'We is a sum of sums with a row of lams: from ups[column] on.
    constants : (G, 2)
        Sum of the weights, and of the logarithms of a lognormal response.
    logs, precision : (S,)
        ½ log(precision / 2π), and 1 / σ².
    lower, diagonal, right, lanes : (most N of a group, B), (most m, B), (most m, B), (2, B)
        Memory for B draws.
    """
    below = rows.size
    for group in range(firsts.size - 1):
        first, last = firsts[group], firsts[group + 1]
        base = starts[first]
        for at in range(0, precision.size, lower.shape[1]):
            to = min(at + lower.shape[1], precision.size)
            width = to - at
            density, scale = squares[group, at:to], precision[at:to]
            for i in range(width):
                density[i] = (
                    constants[group, 0] * logs[at + i] - 0.5 * scale[i] * density[i] + constants[group, 1]
                )
            for j in range(first, last):
                fill(diagonal[j - first], 0.0)
                fill(right[j - first], 0.0)
                for entry in range(starts[j], starts[j + 1]):
                    fill(lower[entry - base], 0.0)
                    _add_products(
                        lower[entry - base, :width], entry, pairs, products, lefts, rights, lams, at, scale
                    )
                _add_products(
                    diagonal[j - first, :width], below + j, pairs, products, lefts, rights, lams, at, scale
                )
                for i in range(width):
                    diagonal[j - first, i] += 1.0
                for term in range(ups[j], ups[j + 1]):
                    add_product(
                        right[j - first, :width], 1.0, lams[scales[term], at:to], sums[sources[term], at:to]
                    )
                for i in range(width):
                    right[j - first, i] *= scale[i]
            for j in range(first, last):
                _eliminate(j, first, base, starts, rows, lower, diagonal, right, lanes)
                for i in range(width):
                    own = right[j - first, i]
                    density[i] += 0.5 * (own * own * lanes[0, i] - np.log(diagonal[j - first, i]))


@compiled
def _add_products(
    out: Floats, entry: int, pairs: Ints, products: Floats, lefts: Ints, rights: Ints, lams: Floats, at: int,
    scale: Floats,
) -> None:  # fmt: skip
    """Set an entry of Λ' Z'WZ Λ / σ² in some draws; it is 0 before."""
    to = at + out.size
    for term in range(pairs[entry], pairs[entry + 1]):
        add_product(out, products[term], lams[lefts[term], at:to], lams[rights[term], at:to])
    for i in range(out.size):
        out[i] *= scale[i]


@compiled
def _eliminate(
    j: int, first: int, base: int, starts: Ints, rows: Ints, lower: Floats, diagonal: Floats, right: Floats,
    lanes: Floats,
) -> None:  # fmt: skip
    """Subtract from later columns what column j takes up; set lanes[0] to 1 / its diagonal."""
    inverse, gain = lanes[0], lanes[1]
    for i in range(inverse.size):
        inverse[i] = 1.0 / diagonal[j - first, i]
    for entry in range(starts[j], starts[j + 1]):
        later = rows[entry]
        below = lower[entry - base]
        for i in range(inverse.size):
            gain[i] = -below[i] * inverse[i]
        add_product(diagonal[later - first], 1.0, gain, below)
        add_product(right[later - first], 1.0, gain, right[j - first])
        target = starts[later]
        for other in range(entry + 1, starts[j + 1]):
            while rows[target] != rows[other]:
                target += 1
            add_product(lower[target - base], 1.0, gain, lower[other - base])
