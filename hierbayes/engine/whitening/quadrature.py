"""One factor's effects integrated out by quadrature, or drawn given all the rest, a chunk of rows at a time (numba).

With one effect a level, u ~ N(0, 1), and all else known, a level's rows have the density

    ∫ N(u; 0, 1) Π_i f(y_i | η_i + z_i σ u) du ≈ Σ_r w_r s exp(x_r²/2 - u_r²/2) Π_i f(y_i | η_i + z_i σ u_r) / √(2π)

with u_r = m + s x_r and Gauss and Hermite's nodes x and weights w (Naylor & Smith 1982, Applied Statistics 31(3)). The
nodes follow what the rest says of the level, by a formula that is smooth, and right at the start:

    P = 1 + W σ²,   m = σ (c - Σ_i v_i (η_i - η̂_i)) / P,   s = 1 / √P

The gradient is that of the sum, moving nodes included (docs/engine.md, section 7).

The kernel calls this by an address, as it calls the family's rows: what few models need is no part of it, and families
know nothing of it. Rows of a level follow one another within a chunk; rows that belong to none fill it up.
"""

import numpy as np

from hierbayes import compiledlinks
from hierbayes.engine.core.hyperparameters import LAM, LAM_SCORE
from hierbayes.engine.core.loops import compiled, fill
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.whitening.rows import call_family

apply_link = compiledlinks.apply_link.compiled
LOWEST = -1e300  # log density of a node at which a row is impossible
STEPS = 5  # of the chain that makes draws exact
# in the facts: the factor; the component that its effects move, its link; columns of y; seed of a draw, if there is one
FACTOR, COMPONENT, LINK, Y_WIDTH, SEED, DRAWS = range(6)
Z, WEIGHT, SHARE, ETA, CENTRE, INFORMATION = 0, 1, 2, 3, 4, 5  # in `placed`
MEAN, VARIANCE = 0, 1  # in `moments`
OWN_ETA, MIDDLE, SPREAD, SLOPE, SHIFTED, HEIGHT, CURRENT, PROPOSED, OLD, NEW, DENSITY, LINE = range(
    12
)  # in `rowwise`
VALUE = 0  # in `grid`, after it the scores; the last two are the nodes' log weights by level and by row


@compiled
def place_nodes(
    size: int, facts: Ints, counts: Ints, placed: Floats, t: Floats, sd: float, rowwise: Floats
) -> None:
    """Set each row's own η, and the middle and the spread of its level's nodes."""
    for i in range(size):
        rowwise[OWN_ETA, i] = t[facts[COMPONENT], i]
        rowwise[MIDDLE, i], rowwise[SPREAD, i] = 0.0, 0.0
    for first in range(size):
        end = first + counts[first]
        if end == first:
            continue
        seen = placed[CENTRE, first]
        for i in range(first, end):
            seen -= placed[SHARE, i] * (rowwise[OWN_ETA, i] - placed[ETA, i])
        precision = 1.0 + placed[INFORMATION, first] * sd * sd
        for i in range(first, end):
            rowwise[MIDDLE, i], rowwise[SPREAD, i] = sd * seen / precision, 1.0 / np.sqrt(precision)


@compiled
def evaluate_node(
    size: int, family: int, facts: Ints, placed: Floats, y: Floats, trials: Floats, t: Floats, out: Floats,
    sd: float, u: Floats, rowwise: Floats, node: Floats,
) -> None:  # fmt: skip
    """Set weighted log densities, and scores of all components, of rows with these u (size,)."""
    shifted, slope = t[facts[COMPONENT]], rowwise[SLOPE]
    for i in range(size):
        shifted[i] = rowwise[OWN_ETA, i] + placed[Z, i] * sd * u[i]
    if facts[LINK] != 0:
        apply_link(facts[LINK], shifted[:size], slope[:size])
    call_family(family, size, t.shape[0], t.shape[1], y, trials, t, out)
    for i in range(size):
        value = out[0, i]
        possible = abs(value) < np.inf
        node[VALUE, i] = placed[WEIGHT, i] * value if possible else LOWEST
        rowwise[SHIFTED, i] = placed[WEIGHT, i] if possible else 0.0
    for c in range(t.shape[0]):
        for i in range(size):
            node[1 + c, i] = rowwise[SHIFTED, i] * out[1 + c, i] if rowwise[SHIFTED, i] > 0.0 else 0.0
    if facts[LINK] != 0:
        for i in range(size):
            node[1 + facts[COMPONENT], i] *= slope[i]


@compiled
def evaluate_nodes(
    size: int, family: int, facts: Ints, nodes: Floats, placed: Floats, y: Floats, trials: Floats, t: Floats,
    out: Floats, sd: float, rowwise: Floats, grid: Floats,
) -> None:  # fmt: skip
    """Evaluate all rows at each of the nodes; then t has the rows' own η again."""
    u = rowwise[PROPOSED]
    for r in range(nodes.shape[1]):
        for i in range(size):
            u[i] = rowwise[MIDDLE, i] + rowwise[SPREAD, i] * nodes[0, r]
        evaluate_node(size, family, facts, placed, y, trials, t, out, sd, u, rowwise, grid[r])
    for i in range(size):
        t[facts[COMPONENT], i] = rowwise[OWN_ETA, i]


@compiled
def exp_below_0(x: float) -> float:
    """Return exp(x) of a number that is not positive, to twelve digits; that of less than -45 is 0.

    Without a call: a loop over it fills vector registers.
    """
    a = max(x, -45.0) * 2.0**-10
    y = 1.0 + a * (1.0 + a / 2.0 * (1.0 + a / 3.0 * (1.0 + a / 4.0 * (1.0 + a / 5.0 * (1.0 + a / 6.0)))))
    for _ in range(10):
        y *= y
    return y if x > -45.0 else 0.0


@compiled
def weigh_nodes(
    size: int, counts: Ints, nodes: Floats, rowwise: Floats, grid: Floats, density: Floats
) -> int:
    """Set each level's log density at its first row, 0 at others, and its nodes' weights; return how many levels."""
    R, by_level = nodes.shape[1], grid.shape[1] - 2
    level = 0
    for first in range(size):
        density[first] = 0.0
        end = first + counts[first]
        if end == first:
            continue
        top = -np.inf
        for r in range(R):
            u = rowwise[MIDDLE, first] + rowwise[SPREAD, first] * nodes[0, r]
            value = nodes[1, r] - 0.5 * u * u
            for i in range(first, end):
                value += grid[r, VALUE, i]
            grid[r, by_level, level] = value
            top = max(top, value)
        rowwise[HEIGHT, level] = top
        level += 1
    total = rowwise[NEW]
    for place in range(level):
        total[place] = 0.0
    for r in range(R):
        for place in range(level):
            grid[r, by_level, place] = exp_below_0(grid[r, by_level, place] - rowwise[HEIGHT, place])
            total[place] += grid[r, by_level, place]
    level = 0
    for first in range(size):
        if counts[first] > 0:
            density[first] = rowwise[HEIGHT, level] + np.log(total[level] * rowwise[SPREAD, first])
            for r in range(R):
                grid[r, by_level, level] /= total[level]
            level += 1
    return level


@compiled
def score_nodes(
    size: int, facts: Ints, counts: Ints, nodes: Floats, placed: Floats, sd: float, rowwise: Floats, grid: Floats,
    out: Floats, moments: Floats,
) -> float:  # fmt: skip
    """Set the scores of all components in all rows, and the moments of u at levels' first; return the sd's score."""
    R, J = nodes.shape[1], grid.shape[1] - 3
    by_level, by_row, mu = J + 1, J + 2, 1 + facts[COMPONENT]
    sd_score, level = 0.0, 0
    for r in range(R):
        fill(grid[r, by_row, :size], 0.0)
    fill(rowwise[NEW], 0.0)
    for first in range(size):
        end = first + counts[first]
        if end == first:
            continue
        middle, spread = rowwise[MIDDLE, first], rowwise[SPREAD, first]
        moved = stretched = direct = mean = square = 0.0
        for r in range(R):
            weight, u = grid[r, by_level, level], middle + spread * nodes[0, r]
            score = 0.0
            for i in range(first, end):
                score += placed[Z, i] * grid[r, mu, i]
                grid[r, by_row, i] = weight
            direct += weight * u * score
            moved += weight * (sd * score - u)
            stretched += weight * (sd * score - u) * nodes[0, r]
            mean += weight * u
            square += weight * u * u
        moments[MEAN, first], moments[VARIANCE, first] = mean, square - mean * mean
        W = placed[INFORMATION, first]
        precision = 1.0 + W * sd * sd
        of_sd = W * sd / precision  # -d log s/d σ
        middle_of_sd = -2.0 * of_sd * middle  # and (c - …) / P, which is m / σ but for σ = 0:
        seen = placed[CENTRE, first]
        for i in range(first, end):
            seen -= placed[SHARE, i] * (rowwise[OWN_ETA, i] - placed[ETA, i])
            rowwise[NEW, i] = -moved * sd * placed[SHARE, i] / precision
        middle_of_sd += seen / precision
        sd_score += direct + moved * middle_of_sd - of_sd * (1.0 + stretched * spread)
        level += 1
    for c in range(J):
        row = out[1 + c, :size]
        fill(row, 0.0)
        for r in range(R):
            weights, scores = grid[r, by_row, :size], grid[r, 1 + c, :size]
            for i in range(size):
                row[i] += weights[i] * scores[i]
    for i in range(size):
        out[mu, i] += rowwise[NEW, i]
    return sd_score


@compiled
def uniform(seed: np.uint64, number: np.uint64) -> float:
    """Return a number within 0 and 1, the same for the same arguments: Steele, Lea & Flood's SplitMix64 (2014)."""
    x = seed + (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return (np.float64(x >> np.uint64(11)) + 0.5) * 2.0**-53


@compiled
def set_masses(level: int, x: Floats, heights: Floats, masses: Floats, totals: Floats) -> None:
    """Set the integral up to each node of a level's density with straight lines for its logarithm, and the whole one.

    The lines go through the nodes' heights (nodes, levels), the highest at 0; those at both ends go on outwards.
    """
    R = x.size
    masses[0, level] = np.exp(heights[0, level]) / _first_slope(level, x, heights)
    for r in range(R - 1):
        left, right, width = heights[r, level], heights[r + 1, level], x[r + 1] - x[r]
        rise = right - left
        top = np.exp(max(left, right))
        share = -np.expm1(-abs(rise)) / abs(rise) if abs(rise) > 1e-9 else 1.0
        masses[r + 1, level] = masses[r, level] + top * width * share
    totals[level] = masses[R - 1, level] - np.exp(heights[R - 1, level]) / _last_slope(level, x, heights)


@compiled
def _first_slope(level: int, x: Floats, heights: Floats) -> float:
    return max((heights[1, level] - heights[0, level]) / (x[1] - x[0]), 1.0)


@compiled
def _last_slope(level: int, x: Floats, heights: Floats) -> float:
    R = x.size
    return min((heights[R - 1, level] - heights[R - 2, level]) / (x[R - 1] - x[R - 2]), -1.0)


@compiled
def draw_line(
    p: float, level: int, x: Floats, heights: Floats, masses: Floats, totals: Floats
) -> tuple[float, float]:
    """Return the p-quantile of the density that `set_masses` is about, and the height there."""
    R, left = x.size, p * totals[level]
    if left <= masses[0, level]:
        fall = np.log(left / masses[0, level])
        return x[0] + fall / _first_slope(level, x, heights), heights[0, level] + fall
    if left >= masses[R - 1, level]:
        rest = totals[level] - masses[R - 1, level]
        fall = np.log(max((totals[level] - left) / rest, 1e-300))
        return x[R - 1] + fall / _last_slope(level, x, heights), heights[R - 1, level] + fall
    r = 1
    while masses[r, level] < left:
        r += 1
    share = (left - masses[r - 1, level]) / (masses[r, level] - masses[r - 1, level])
    width, rise = x[r] - x[r - 1], heights[r, level] - heights[r - 1, level]
    if abs(rise) < 1e-9:
        return x[r - 1] + share * width, heights[r, level]
    fall = np.expm1(-abs(rise))
    climbed = np.log1p(share * fall) if rise < 0.0 else rise + np.log1p((1.0 - share) * fall)
    return x[r - 1] + width * climbed / rise, heights[r - 1, level] + climbed


@compiled
def draw_levels(
    start: int, size: int, family: int, facts: Ints, counts: Ints, nodes: Floats, placed: Floats, y: Floats,
    trials: Floats, t: Floats, out: Floats, sd: float, rowwise: Floats, grid: Floats,
) -> None:  # fmt: skip
    """Set CURRENT at each level's first row to a draw of its u, given all the rest.

    A first draw from straight lines through the log density at the nodes; then a Metropolis chain of independent
    proposals from the same (Tierney 1994, Annals of Statistics 22(4), section 2.3), whose distance from the density
    shrinks by a factor with each step.
    """
    R, by_level = nodes.shape[1], grid.shape[1] - 2
    x, heights, masses, scratch = nodes[0], grid[:, by_level], grid[:, by_level + 1], grid[0]
    totals = rowwise[NEW]
    level = 0
    for first in range(size):
        if counts[first] == 0:
            continue
        top = -np.inf
        for r in range(R):  # from weights to log densities
            u = rowwise[MIDDLE, first] + rowwise[SPREAD, first] * x[r]
            value = -0.5 * u * u
            for i in range(first, first + counts[first]):
                value += grid[r, VALUE, i]
            heights[r, level] = value
            top = max(top, value)
        for r in range(R):
            heights[r, level] = max(heights[r, level] - top, -700.0)
        rowwise[HEIGHT, level] = top
        set_masses(level, x, heights, masses, totals)
        level += 1
    seed = np.uint64(facts[SEED])
    for step in range(STEPS):
        level = 0
        fill(rowwise[PROPOSED], 0.0)
        for first in range(size):
            if counts[first] > 0:
                number = np.uint64((start + first) * 2 * STEPS + 2 * step)
                place, height = draw_line(uniform(seed, number), level, x, heights, masses, totals)
                rowwise[LINE, level] = height
                for i in range(first, first + counts[first]):
                    rowwise[PROPOSED, i] = rowwise[MIDDLE, first] + rowwise[SPREAD, first] * place
                level += 1
        evaluate_node(size, family, facts, placed, y, trials, t, out, sd, rowwise[PROPOSED], rowwise, scratch)
        level = 0
        for first in range(size):
            if counts[first] > 0:
                u = rowwise[PROPOSED, first]
                value = -0.5 * u * u - rowwise[HEIGHT, level]
                for i in range(first, first + counts[first]):
                    value += scratch[VALUE, i]
                ratio = value - rowwise[LINE, level]
                number = np.uint64((start + first) * 2 * STEPS + 2 * step + 1)
                if step == 0 or np.log(uniform(seed, number)) < ratio - rowwise[OLD, first]:
                    rowwise[CURRENT, first], rowwise[OLD, first] = u, ratio
                level += 1
    for i in range(size):
        t[facts[COMPONENT], i] = rowwise[OWN_ETA, i]


@compiled
def integrate(
    start: int, size: int, family: int, facts: Ints, lams: Floats, counts: Ints, nodes: Floats, placed: Floats,
    y: Floats, rows: Floats, inner: Floats, out: Floats, rowwise: Floats, grid: Floats, moments: Floats,
) -> None:  # fmt: skip
    """Set the log densities and scores of a chunk of rows in `out`, and add to the score of the factor's sd.

    Where there are draws to make, its first two rows are these and the levels' log densities instead.
    """
    factor, width, end = facts[FACTOR], facts[Y_WIDTH], start + size
    sd = lams[LAM, factor, 0, 0]
    here, of_rows, responses = counts[start:end], placed[:, start:end], y[start * width : end * width]
    trials = rows[0, start:end]
    place_nodes(size, facts, here, of_rows, inner, sd, rowwise)
    evaluate_nodes(size, family, facts, nodes, of_rows, responses, trials, inner, out, sd, rowwise, grid)
    weigh_nodes(size, here, nodes, rowwise, grid, rowwise[DENSITY])
    if facts[DRAWS] == 0:
        lams[LAM_SCORE, factor, 0, 0] += score_nodes(
            size, facts, here, nodes, of_rows, sd, rowwise, grid, out, moments[:, start:end]
        )
        for i in range(size):
            out[0, i] = rowwise[DENSITY, i]
        return
    draw_levels(
        start, size, family, facts, here, nodes, of_rows, responses, trials, inner, out, sd, rowwise, grid
    )
    for i in range(size):
        out[0, i] = rowwise[CURRENT, i]
        out[1, i] = rowwise[DENSITY, i]
