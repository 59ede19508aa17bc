"""theta <-> standard deviations and the structures' parameters: transforms, their Jacobians and priors (numba).

theta holds one number for sigma, then for each factor one for each of its standard deviations and for each parameter of
its covariance structures: of unstructured correlations the strictly lower triangle by rows, whose tanh are canonical
partial correlations. What is fixed has no number in theta: its index is -1. Nor has a standard deviation that a joint
prior decides: it is that of one of the effects of another factor, whose structure the joint prior is.
"""

from collections.abc import Sequence
from math import lgamma, log, pi

import numpy as np
from scipy.special import gammaincc

from hierbayes.distributions import RECORDS
from hierbayes.engine.core.loops import add_lower_rows, compiled, fill, finite, head_dot
from hierbayes.engine.core.problem import Block, Factor, Floats, Ints, PriorCode, count_free
from hierbayes.engine.core.shapes import (
    AT,
    BOUNDED,
    KIND,
    LOWER,
    NORMAL,
    OWN,
    PARTIAL,
    POSITIVE,
    REAL,
    UPPER,
    A,
    B,
    C,
    D,
    unstructured,
)
from hierbayes.engine.core.structures import add_reverse, set_root
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.structures.record import ABOVE, BELOW, ROOT, SCORE
from hierbayes.structures.registry import CODES
from hierbayes.structures.shrinkage import SHRINKAGES

EXPONENTIAL, HALF_NORMAL, HALF_STUDENT, HALF_CAUCHY = 0, 1, 2, 3
GAMMA, INVERSE_GAMMA, LOGNORMAL, UNIFORM = 4, 5, 6, 7
FIXED, TRUNCATED_GAMMA, JOINT = 9, 10, 11
VALUE, SLOPE, SCALE_SCORE = (
    0,
    1,
    2,
)  # of a scale: itself, d scale/d theta, d (log prior + log-Jacobian)/d theta
CHOL, LAM, LAM_SCORE = 0, 1, 2  # of a factor: chol, Λ = diag(sds) chol, d log likelihood/d Λ (lower triangle)
BLOCK, BLOCK_SCORE = 3, 4  # the blocks' own chols down the diagonal, and their scores
Q, FIRST_SCALE = 0, 1  # columns of a factor's row
# columns of a block's row: factor, size, structure, where its shapes begin and end, where its chol lies; then its
# effects, and which scale of the factor each has
FACTOR, SIZE, STRUCTURE, FIRST_SHAPE, END_SHAPE, CORNER, EFFECTS = 0, 1, 2, 3, 4, 5, 6
RATIO, PRIOR = 5, 6  # of a shape's memory, after those that a structure sees


def scale_table(own: Floats, factors: Sequence[Factor]) -> tuple[Ints, Floats]:
    """Return each scale's index in theta and prior code, and its prior's arguments; own ones first, then the sds.

    Two columns more are for its tail transform (see `tail_transform`): none yet.
    """
    indices: list[int] = []
    at = 0
    for priors, correlations in ((own, 0), *((f.sd_priors, f.n_correlations) for f in factors)):
        for code in priors[:, 0]:
            free = code not in (FIXED, JOINT)
            indices.append(at if free else -1)
            at += free
        at += correlations
    table = np.vstack([own, *(f.sd_priors for f in factors)])
    codes = np.column_stack([indices, table[:, 0]]).astype(np.int64).reshape(-1, 2)
    return codes, np.column_stack([table[:, 1:3], np.zeros((len(table), 2))])


def blocks_of(factor: Factor) -> tuple[Block, ...]:
    """Return a factor's covariance structures."""
    if factor.structured:
        return factor.structured
    return tuple(
        unstructured(block, eta, factor.cor) for block, eta in zip(factor.blocks, factor.eta, strict=True)
    )


def block_table(own: Floats, factors: Sequence[Factor]) -> tuple[Ints, Floats]:
    """Return each block's row, and the rows of the parameters and constants of all of them.

    Those of joint priors come first, which may decide standard deviations of others.
    """
    widest = max((f.q for f in factors), default=1)
    rows: list[list[int]] = []
    joint: list[bool] = []
    shapes = [np.zeros((0, 8))]
    at, first = count_free(own), 0
    for k, f in enumerate(factors):
        at += f.n_scales
        corner = 0
        for block in blocks_of(f):
            q, count = len(block.effects), len(block.shapes)
            padding = [-1] * (widest - q)
            head = [k, q, CODES.get(block.structure, -1), first, first + count, corner]
            rows.append([*head, *block.effects, *padding, *block.scales, *padding])
            joint.append(block.structure in SHRINKAGES)
            own_rows = block.shapes.copy()
            free = own_rows[:, AT] >= 0
            own_rows[free, AT] = at + np.arange(free.sum())
            for place in np.flatnonzero(own_rows[:, KIND] == OWN):
                own_rows[place, AT] = count_free(own[: int(own_rows[place, A])])
            shapes.append(own_rows)
            at, first, corner = at + int(free.sum()), first + count, corner + q
    table = np.array(rows, np.int64).reshape(-1, EFFECTS + 2 * widest)
    return table[np.argsort(np.logical_not(joint), kind="stable")], np.concatenate(shapes)


def law_places(factors: int, blocks: Ints) -> Ints:
    """Return where in the shapes the parameter of each factor's law is, -1 for normal effects: (K,)."""
    found = np.full(factors, -1, np.int64)
    laws = blocks[blocks[:, SIZE] == 0]
    found[laws[:, FACTOR]] = laws[:, FIRST_SHAPE]
    return found


def effects_of(blocks: Ints) -> int:
    """Return how many effects the widest factor has, from the table of blocks."""
    return (blocks.shape[1] - EFFECTS) // 2


def chol_shape(factors: int, blocks: Ints) -> tuple[int, int, int]:
    """Return the shape of a draw's correlations, as wide as the widest factor that has any: see `block_table`."""
    widest = (blocks[blocks[:, FACTOR] == k, SIZE] for k in np.unique(blocks[blocks[:, SIZE] > 1, FACTOR]))
    q = max((int(sizes.sum()) for sizes in widest), default=0)
    return factors, q, q


def correlations_of(chol: Floats, factor: int, q: int) -> Floats:
    """Return a factor's correlations (…, q, q) from draws of `chol_shape`; one that is wider has none."""
    if q > chol.shape[-1]:
        return np.broadcast_to(np.eye(q), (*chol.shape[:-3], q, q))
    root = chol[..., factor, :q, :q]
    cor: Floats = root @ np.swapaxes(root, -1, -2)
    cor[..., range(q), range(q)] = 1.0
    return cor


def prior_constant(problem: GaussianProblem) -> float:
    """Return the part of the hyperparameters' log prior that does not depend on theta."""
    rows = [*problem.own_priors, *(row for f in problem.factors for row in f.sd_priors)]
    return sum(scale_constant(PriorCode(int(code)), a, b) for code, a, b, _ in rows) + sum(
        shape_constant(f) for f in problem.factors
    )


def scale_constant(code: PriorCode, a: float, b: float, c: float = 0.0) -> float:
    """Return the part of a scale's log prior that `positive` leaves out."""
    match code:
        case PriorCode.EXPONENTIAL:
            return log(a)
        case PriorCode.HALF_NORMAL:
            return 0.5 * log(2 / pi) - log(a)
        case PriorCode.HALF_STUDENT:
            return log(2.0) + lgamma((a + 1) / 2) - lgamma(a / 2) - 0.5 * log(a * pi) - log(b)
        case PriorCode.HALF_CAUCHY:
            return log(2 / pi) - log(a)
        case PriorCode.GAMMA | PriorCode.INVERSE_GAMMA:
            return a * log(b) - lgamma(a)
        case PriorCode.TRUNCATED_GAMMA:
            return a * log(b) - lgamma(a) - log(gammaincc(a, b * c))
        case PriorCode.LOGNORMAL:
            return -0.5 * log(2 * pi) - log(b)
        case PriorCode.UNIFORM | PriorCode.HALF_FLAT | PriorCode.FIXED | PriorCode.JOINT:
            return 0.0


def shape_constant(factor: Factor) -> float:
    """Return the log normaliser of the priors of a factor's structures.

    Partial correlations are independent symmetric Betas: Lewandowski, Kurowicka & Joe (2009), Journal of Multivariate
    Analysis 100, section 2.4.
    """
    total = 0.0
    for row in (row for block in blocks_of(factor) for row in block.shapes if row[AT] >= 0):
        if row[KIND] == PARTIAL:
            beta = row[A]
            total += lgamma(2 * beta) - 2 * lgamma(beta) - (2 * beta - 1) * log(2.0)
        elif row[KIND] == BOUNDED:
            total += lgamma(row[C] + row[D]) - lgamma(row[C]) - lgamma(row[D])
        elif row[KIND] == NORMAL:  # its density at mu, and the width that the Jacobian leaves out
            total += RECORDS["TruncatedNormal"].density(row[C], *row[C:LOWER], *row[A:C]) + log(
                row[B] - row[A]
            )
        elif row[KIND] == POSITIVE:
            total += scale_constant(PriorCode(int(row[C])), row[A], row[B], row[LOWER])
        elif row[KIND] == REAL:
            total += scale_constant(PriorCode(int(row[C])), row[A], row[B]) + log(row[D] / 2.0)
    return total


def unconstrain(value: float, prior: Floats) -> float:
    """Return the number in theta of a scale; a value outside a Uniform prior's range is moved inside."""
    code, lower, upper = PriorCode(int(prior[0])), prior[1], prior[2]
    if code is PriorCode.UNIFORM:
        share = min(max((value - lower) / (upper - lower), 0.02), 0.98)
        return log(share / (1 - share))
    return log(value)


def start_theta(n_theta: int, scales: Ints, priors: Floats, values: Sequence[float]) -> Floats:
    """Return theta with those scales and correlations of 0; `scales` and `priors` are those of `scale_table`."""
    theta = np.zeros(n_theta)
    for (at, code), arguments, value in zip(scales, priors, values, strict=True):
        if at >= 0:
            theta[at] = unconstrain(value, np.array([code, *arguments]))
    return theta


@compiled
def set_theta(position: Floats, origin: Floats, scale_tril: Floats, theta: Floats) -> None:
    """Set theta = origin + scale_tril position, of the position's first numbers."""
    for i in range(theta.size):
        theta[i] = origin[i] + head_dot(scale_tril[i], position, i + 1)


@compiled
def to_position(value: float, score: Floats, scale_tril: Floats, grad: Floats) -> float:
    """Set grad to the gradient in position, from that in theta; return the value.

    Where either cannot be evaluated it is -inf, with a gradient of zeros.
    """
    fill(grad, 0.0)
    if not (finite(value) and finite(score.sum())):
        return -np.inf
    add_lower_rows(grad, score.size, score, scale_tril, 0)
    return value


@compiled
def keep_draw(
    draw: int, scale: Floats, shaped: Floats, lams: Floats, out_scale: Floats, out_chol: Floats
) -> None:
    """Store a draw's scales and structures' parameters, and the Cholesky factors of correlations."""
    for i in range(scale.shape[1]):
        out_scale[draw, i] = scale[VALUE, i]
    for i in range(shaped.shape[1]):
        out_scale[draw, scale.shape[1] + i] = shaped[VALUE, i]
    for k in range(out_chol.shape[1]):
        for i in range(out_chol.shape[2]):
            for j in range(out_chol.shape[3]):
                out_chol[draw, k, i, j] = lams[CHOL, k, i, j]


@compiled
def tail_transform(t: float, knee: float, rate: float) -> tuple[float, float, float]:
    """Return s = t - h²/2 with h = softplus(rate (knee - t)), ds/dt and the slope of its logarithm.

    Above the knee s is t, below it falls as -t²: where the density of s has the tail exp(s), as that of log sd has
    if an sd of 0 is possible, the density of t is about Gaussian. Rate 0: no tail transform.
    """
    if rate == 0.0:
        return t, 1.0, 0.0
    x = rate * (knee - t)
    tail = np.exp(-abs(x))
    h = max(x, 0.0) + np.log1p(tail)
    share = (1.0 if x > 0 else tail) / (1.0 + tail)
    slope = 1.0 + rate * h * share
    return t - 0.5 * h * h, slope, -rate * rate * share * (share + h * (1.0 - share)) / slope


@compiled
def positive(t: float, code: int, a: float, b: float) -> tuple[float, float, float, float]:
    """Return scale, d scale/dt, log density incl. log-Jacobian without its constant, and that one's slope.

    The scale is exp(t), but for a Uniform prior lower + (upper - lower) expit(t): no wall for NUTS to hit. A fixed
    one has no t, nor has one that a joint prior decides, which is not set here.
    """
    if code in (FIXED, JOINT):
        return a, 0.0, 0.0, 0.0
    if code == UNIFORM:
        tail = np.exp(-abs(t))
        upper = 1.0 / (1.0 + tail) if t >= 0 else tail / (1.0 + tail)
        lower = tail / (1.0 + tail) if t >= 0 else 1.0 / (1.0 + tail)
        width = b - a
        return a + width * upper, width * upper * lower, -abs(t) - 2.0 * np.log1p(tail), lower - upper
    x = np.exp(t)
    if code == EXPONENTIAL:
        return x, x, t - a * x, 1.0 - a * x
    if code == HALF_NORMAL:
        s = (x / a) ** 2
        return x, x, t - 0.5 * s, 1.0 - s
    if code in (HALF_STUDENT, HALF_CAUCHY):
        nu = a if code == HALF_STUDENT else 1.0
        s = x / (b if code == HALF_STUDENT else a)
        s = s * s / nu
        return x, x, t - 0.5 * (nu + 1.0) * np.log1p(s), 1.0 - (nu + 1.0) * s / (1.0 + s)
    if code == GAMMA:
        return x, x, a * t - b * x, a - b * x
    if code == INVERSE_GAMMA:
        return x, x, -a * t - b / x, b / x - a
    if code == LOGNORMAL:
        s = (t - a) / b
        return x, x, -0.5 * s * s, -s / b
    return x, x, t, 1.0


@compiled
def symmetric(x: float, code: int, a: float, b: float) -> tuple[float, float]:
    """Return the log density without its constant of a number whose size has that prior, and its slope."""
    if code == HALF_NORMAL:
        return -0.5 * (x / a) ** 2, -x / (a * a)
    nu, width = (a, b) if code == HALF_STUDENT else (1.0, a)
    s = (x / width) ** 2 / nu
    return -0.5 * (nu + 1.0) * np.log1p(s), -(nu + 1.0) * x / (width * width * nu * (1.0 + s))


@compiled
def constrain(
    theta: Floats,
    scales: Ints,
    priors: Floats,
    factors: Ints,
    blocks: Ints,
    shapes: Floats,
    scale: Floats,
    shaped: Floats,
    lams: Floats,
) -> float:
    """Set scale, shaped and lams from theta; return log prior + log-Jacobian without their constant."""
    total = 0.0
    for i in range(scales.shape[0]):
        t = theta[scales[i, 0]] if scales[i, 0] >= 0 else 0.0
        t, steepness, steeper = tail_transform(t, priors[i, 2], priors[i, 3])
        x, slope, value, score = positive(t, scales[i, 1], priors[i, 0], priors[i, 1])
        scale[VALUE, i] = x
        scale[SLOPE, i] = slope * steepness
        scale[SCALE_SCORE, i] = score * steepness + steeper
        total += value + np.log(steepness)
    for i in range(shapes.shape[0]):
        at = int(shapes[i, AT])
        total += _shape(theta[at] if at >= 0 else 0.0, shapes[i], shaped[:, i])
    for i in range(blocks.shape[0]):
        factor = blocks[i, FACTOR]
        _correlate(blocks[i], scale[VALUE], factors[factor, FIRST_SCALE], shaped, lams[:, factor])
        for j in range(scales.shape[0]):
            if scales[j, 1] == JOINT and int(priors[j, 1]) == factor:
                place = int(priors[j, 0])
                scale[VALUE, j] = lams[BLOCK, factor, place, place]
    return total


@compiled
def _shape(t: float, row: Floats, out: Floats) -> float:
    """Set a structure's parameter from its number in theta; return its log density without its constant.

    Distances to the bounds come from the tails of the transform, exact to the last digit however near.
    """
    kind = int(row[KIND])
    out[SCORE], out[RATIO] = 0.0, 1.0
    if kind == PARTIAL:  # all Jacobians and the density together leave (1 - z²) to a power
        x = abs(t)
        tail = np.exp(-2.0 * x)
        near, far = 2.0 * tail / (1.0 + tail), 2.0 / (1.0 + tail)
        z = np.sign(t) * (1.0 - tail) / (1.0 + tail)
        out[VALUE], out[ROOT], out[PRIOR] = z, 2.0 * np.exp(-x) / (1.0 + tail), -2.0 * row[A] * z
        out[BELOW], out[ABOVE] = (far, near) if t >= 0 else (near, far)
        return 2.0 * row[A] * (np.log(2.0) - x - np.log1p(tail))
    if kind in (BOUNDED, NORMAL):
        tail = np.exp(-abs(t))
        near, far = tail / (1.0 + tail), 1.0 / (1.0 + tail)
        p, q = (far, near) if t >= 0 else (near, far)
        width = row[B] - row[A]
        below, above = row[A] - row[LOWER] + width * p, row[UPPER] - row[B] + width * q
        out[VALUE], out[BELOW], out[ABOVE] = row[A] + width * p, below, above
        out[ROOT] = np.sqrt(below) * np.sqrt(above)
        out[RATIO] = 1.0 / width
        if row[A] != row[LOWER]:
            out[RATIO] *= width * p / below
        if row[B] != row[UPPER]:
            out[RATIO] *= width * q / above
        if kind == NORMAL:
            z = (out[VALUE] - row[C]) / row[D]
            out[PRIOR] = q - p - z / row[D] * width * p * q
            return -0.5 * z * z - abs(t) - 2.0 * np.log1p(tail)
        out[PRIOR] = row[C] * q - row[D] * p
        return row[C] * min(t, 0.0) - row[D] * max(t, 0.0) - (row[C] + row[D]) * np.log1p(tail)
    if kind == POSITIVE and int(row[C]) == TRUNCATED_GAMMA:
        away = np.exp(t + row[D])
        x = row[LOWER] + away
        out[VALUE], out[BELOW], out[ABOVE], out[ROOT] = x, x, 1.0, np.sqrt(x)
        out[PRIOR] = ((row[A] - 1.0) / x - row[B]) * away + 1.0
        out[RATIO] = away / x
        return (row[A] - 1.0) * np.log(x) - row[B] * x + t + row[D]
    if kind == POSITIVE:
        x, slope, value, score = positive(t + row[D], int(row[C]), row[A], row[B])
        out[VALUE], out[BELOW], out[ABOVE], out[ROOT], out[PRIOR] = x, x, 1.0, np.sqrt(x), score
        out[RATIO] = slope / x
        return value
    if kind == REAL:
        x = row[LOWER] + row[D] * t
        value, slope = symmetric(x, int(row[C]), row[A], row[B])
        out[VALUE], out[BELOW], out[ABOVE], out[ROOT] = x, 1.0, 1.0, 1.0
        out[RATIO], out[PRIOR] = row[D], row[D] * slope
        return value
    if kind == OWN:  # exp(t), as own numbers of the model above 0 are; they have their priors elsewhere
        x = np.exp(t)
        out[VALUE], out[BELOW], out[ABOVE], out[ROOT], out[PRIOR] = x, x, 1.0, np.sqrt(x), 0.0
        return 0.0
    out[VALUE], out[BELOW], out[ABOVE] = row[A], row[A] - row[LOWER], min(row[UPPER] - row[A], 1e300)
    out[ROOT], out[PRIOR] = np.sqrt(max(out[BELOW], 0.0)) * np.sqrt(max(out[ABOVE], 0.0)), 0.0
    return 0.0


@compiled
def _correlate(block: Ints, scale: Floats, first: int, shaped: Floats, lams: Floats) -> None:
    """Fill one block's entries of its factor's chol and Λ."""
    q, corner = block[SIZE], block[CORNER]
    own = lams[BLOCK, corner : corner + q, corner : corner + q]
    if q == 1:
        own[0, 0] = 1.0
    elif q > 1:
        set_root(block[STRUCTURE], q, shaped[:, block[FIRST_SHAPE] : block[END_SHAPE]], own)
    scales = EFFECTS + (block.size - EFFECTS) // 2
    for i in range(q):
        row, sd = block[EFFECTS + i], scale[first + block[scales + i]]
        for j in range(i + 1):
            lams[CHOL, row, block[EFFECTS + j]] = own[i, j]
            lams[LAM, row, block[EFFECTS + j]] = sd * own[i, j]


@compiled
def add_scores(
    sigma_score: float,
    scales: Ints,
    priors: Floats,
    factors: Ints,
    blocks: Ints,
    shapes: Floats,
    scale: Floats,
    shaped: Floats,
    lams: Floats,
    grad: Floats,
) -> None:
    """Set grad to the gradient in theta, from the likelihood's in log sigma and in each Λ.

    To that of own numbers which a structure follows its part is added.
    """
    for i in range(scales.shape[0]):
        if scales[i, 0] >= 0:
            grad[scales[i, 0]] = scale[SCALE_SCORE, i]
    if scales[0, 0] >= 0:
        grad[scales[0, 0]] += sigma_score * scale[SLOPE, 0] / scale[VALUE, 0]
    for i in range(blocks.shape[0] - 1, -1, -1):  # those of joint priors last
        factor = blocks[i, FACTOR]
        first = factors[factor, FIRST_SCALE]
        _decorrelate(blocks[i], scale, first, shaped, lams[:, factor], scales, priors, grad)
    for i in range(shapes.shape[0]):
        at = int(shapes[i, AT])
        if at >= 0 and int(shapes[i, KIND]) == OWN:
            grad[at] += shaped[SCORE, i]
        elif at >= 0:
            grad[at] = shaped[RATIO, i] * shaped[SCORE, i] + shaped[PRIOR, i]


@compiled
def _decorrelate(
    block: Ints,
    scale: Floats,
    first: int,
    shaped: Floats,
    lams: Floats,
    scales: Ints,
    priors: Floats,
    grad: Floats,
) -> None:
    """Add one block's part of the gradient: the reverse sweep of `_correlate`. Nothing is divided by an sd."""
    q, corner = block[SIZE], block[CORNER]
    own = lams[BLOCK, corner : corner + q, corner : corner + q]
    own_score = lams[BLOCK_SCORE, corner : corner + q, corner : corner + q]
    places = EFFECTS + (block.size - EFFECTS) // 2
    for i in range(q):
        row, place = block[EFFECTS + i], first + block[places + i]
        for j in range(i + 1):
            score = lams[LAM_SCORE, row, block[EFFECTS + j]]
            if scales[place, 0] >= 0:
                grad[scales[place, 0]] += score * own[i, j] * scale[SLOPE, place]
            elif scales[place, 1] == JOINT:
                scale[SCALE_SCORE, place] += score * own[i, j]
            own_score[i, j] = scale[VALUE, place] * score
    for j in range(scales.shape[0]):  # which other factors' scores of them have been added up by now
        if scales[j, 1] == JOINT and int(priors[j, 1]) == block[FACTOR]:
            place = int(priors[j, 0])
            own_score[place, place] += scale[SCALE_SCORE, j]
    if q > 1:
        add_reverse(block[STRUCTURE], q, shaped[:, block[FIRST_SHAPE] : block[END_SHAPE]], own, own_score)
