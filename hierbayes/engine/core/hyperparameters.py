"""theta <-> standard deviations and correlations: transforms, their Jacobians and priors (numba).

theta holds one number for sigma, then for each factor its q sds and, for each block of k > 1 correlated
effects, k(k - 1)/2 numbers (strictly lower triangle by rows) whose tanh are canonical partial correlations.
What is fixed has no number in theta: its index is -1.
"""

from collections.abc import Sequence
from math import lgamma, log, pi

import numpy as np

from hierbayes.engine.core.loops import compiled
from hierbayes.engine.core.problem import Factor, Floats, Ints, PriorCode, count_free
from hierbayes.engine.gaussian.problem import GaussianProblem

EXPONENTIAL, HALF_NORMAL, HALF_STUDENT, HALF_CAUCHY = 0, 1, 2, 3
GAMMA, INVERSE_GAMMA, LOGNORMAL, UNIFORM = 4, 5, 6, 7
FIXED = 9
VALUE, SLOPE, SCORE = 0, 1, 2  # of a scale: itself, d scale/d theta, d (log prior + log-Jacobian)/d theta
CORRELATION, ROOT = 0, 1  # z and sqrt(1 - z²) of a partial correlation
CHOL, LAM, LAM_SCORE = 0, 1, 2  # of a factor: chol, Λ = diag(sds) chol, d log likelihood/d Λ (lower triangle)
Q, FIRST_SCALE = 0, 1  # columns of a factor's row
FACTOR, SIZE, AT, EFFECTS = 0, 1, 2, 3  # columns of a block's row: factor, size, index in theta, its effects


def scale_table(own: Floats, factors: Sequence[Factor]) -> tuple[Ints, Floats]:
    """Return each scale's index in theta and prior code, and its prior's arguments; own ones first, then the sds.

    Two columns more are for its tail transform (see `tail_transform`): none yet.
    """
    indices: list[int] = []
    at = 0
    for priors, correlations in ((own, 0), *((f.sd_priors, f.n_correlations) for f in factors)):
        for code in priors[:, 0]:
            indices.append(-1 if code == FIXED else at)
            at += code != FIXED
        at += correlations
    table = np.vstack([own, *(f.sd_priors for f in factors)])
    codes = np.column_stack([indices, table[:, 0]]).astype(np.int64).reshape(-1, 2)
    return codes, np.column_stack([table[:, 1:3], np.zeros((len(table), 2))])


def block_table(own: Floats, factors: Sequence[Factor]) -> tuple[Ints, Floats]:
    """Return each block's factor, size, index in theta and effects, and its LKJ shape or the fixed correlation."""
    widest = max((f.q for f in factors), default=1)
    rows: list[list[int]] = []
    at = count_free(own)
    for k, f in enumerate(factors):
        at += f.n_scales
        for block in f.blocks:
            free = f.cor is None
            rows.append([k, len(block), at if free else -1, *block, *[-1] * (widest - len(block))])
            at += len(block) * (len(block) - 1) // 2 if free else 0
    eta = np.array([shape if f.cor is None else f.cor for f in factors for shape in f.eta], np.float64)
    return np.array(rows, np.int64).reshape(-1, 3 + widest), eta


def prior_constant(problem: GaussianProblem) -> float:
    """Return the part of the hyperparameters' log prior that does not depend on theta."""
    rows = [problem.sigma_prior, *(row for f in problem.factors for row in f.sd_priors)]
    return sum(scale_constant(PriorCode(int(code)), a, b) for code, a, b, _ in rows) + sum(
        lkj_constant(f) for f in problem.factors
    )


def scale_constant(code: PriorCode, a: float, b: float) -> float:
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
        case PriorCode.LOGNORMAL:
            return -0.5 * log(2 * pi) - log(b)
        case PriorCode.UNIFORM | PriorCode.HALF_FLAT | PriorCode.FIXED:
            return 0.0


def lkj_constant(factor: Factor) -> float:
    """Return the log normaliser over a factor's blocks: partial correlations are independent symmetric Betas.

    Lewandowski, Kurowicka & Joe (2009), Journal of Multivariate Analysis 100, section 2.4.
    """
    total = 0.0
    for block, eta in zip(factor.blocks, factor.eta, strict=True) if factor.cor is None else ():
        k = len(block)
        for column in range(k - 1):
            beta = eta + (k - 2 - column) / 2
            total += (k - 1 - column) * (lgamma(2 * beta) - 2 * lgamma(beta) - (2 * beta - 1) * log(2.0))
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
    one has no t.
    """
    if code == FIXED:
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
def constrain(
    theta: Floats,
    scales: Ints,
    priors: Floats,
    factors: Ints,
    blocks: Ints,
    eta: Floats,
    scale: Floats,
    partial: Floats,
    lams: Floats,
) -> float:
    """Set scale, partial and lams from theta; return log prior + log-Jacobian without their constant."""
    total = 0.0
    for i in range(scales.shape[0]):
        t = theta[scales[i, 0]] if scales[i, 0] >= 0 else 0.0
        t, steepness, steeper = tail_transform(t, priors[i, 2], priors[i, 3])
        x, slope, value, score = positive(t, scales[i, 1], priors[i, 0], priors[i, 1])
        scale[VALUE, i] = x
        scale[SLOPE, i] = slope * steepness
        scale[SCORE, i] = score * steepness + steeper
        total += value + np.log(steepness)
    for i in range(blocks.shape[0]):
        factor = blocks[i, FACTOR]
        first = factors[factor, FIRST_SCALE]
        total += _correlate(
            theta, blocks[i], eta[i], scale[VALUE], first, partial, lams[CHOL, factor], lams[LAM, factor]
        )
    return total


@compiled
def _correlate(
    theta: Floats,
    block: Ints,
    eta: float,
    scale: Floats,
    first: int,
    partial: Floats,
    chol: Floats,
    lam: Floats,
) -> float:
    """Fill one block's entries of its factor's chol and Λ; return the LKJ log density of its numbers in theta.

    Of fixed correlations `eta` is the value.

    Row i of the Cholesky factor: C_ij = z_ij Π_{l<j} sqrt(1 - z_il²), with z = tanh(theta). All Jacobians and
    the LKJ density together leave (1 - z_ij²) to the power eta + (k - 2 - j)/2.
    """
    k, t = block[SIZE], block[AT]
    if t < 0:
        _equal_correlations(block, eta, scale, first, chol, lam)
        return 0.0
    total = 0.0
    for i in range(k):
        row = block[EFFECTS + i]
        sd = scale[first + row]
        rest = 1.0
        for j in range(i):
            column = block[EFFECTS + j]
            x = abs(theta[t])
            tail = np.exp(-2.0 * x)
            total += 2.0 * (eta + 0.5 * (k - 2 - j)) * (np.log(2.0) - x - np.log1p(tail))
            z = np.sign(theta[t]) * (1.0 - tail) / (1.0 + tail)
            partial[CORRELATION, t] = z
            partial[ROOT, t] = 2.0 * np.exp(-x) / (1.0 + tail)
            chol[row, column] = z * rest
            lam[row, column] = sd * z * rest
            rest *= partial[ROOT, t]
            t += 1
        chol[row, row] = rest
        lam[row, row] = sd * rest
    return total


@compiled
def _equal_correlations(
    block: Ints, value: float, scale: Floats, first: int, chol: Floats, lam: Floats
) -> None:
    """Fill one block's entries of chol and Λ where every correlation has one known value.

    Below the diagonal a column of that Cholesky factor has one value throughout.
    """
    squared = 0.0  # of a row, left of the column
    for j in range(block[SIZE]):
        column = block[EFFECTS + j]
        root = np.sqrt(1.0 - squared)
        below = (value - squared) / root
        for i in range(j, block[SIZE]):
            row = block[EFFECTS + i]
            chol[row, column] = root if i == j else below
            lam[row, column] = scale[first + row] * chol[row, column]
        squared += below * below


@compiled
def add_scores(
    sigma_score: float,
    scales: Ints,
    factors: Ints,
    blocks: Ints,
    eta: Floats,
    scale: Floats,
    partial: Floats,
    lams: Floats,
    grad: Floats,
) -> None:
    """Set grad to the gradient in theta, from the likelihood's in log sigma and in each Λ."""
    for i in range(scales.shape[0]):
        if scales[i, 0] >= 0:
            grad[scales[i, 0]] = scale[SCORE, i]
    if scales[0, 0] >= 0:
        grad[scales[0, 0]] += sigma_score * scale[SLOPE, 0] / scale[VALUE, 0]
    for i in range(blocks.shape[0]):
        factor = blocks[i, FACTOR]
        _decorrelate(
            blocks[i], eta[i], scale, factors[factor, FIRST_SCALE], partial, lams[:, factor], scales, grad
        )


@compiled
def _decorrelate(
    block: Ints,
    eta: float,
    scale: Floats,
    first: int,
    partial: Floats,
    lams: Floats,
    scales: Ints,
    grad: Floats,
) -> None:
    """Add one block's part of the gradient: the reverse sweep of `_correlate`. Nothing is divided by an sd."""
    k, t = block[SIZE], block[AT]
    for i in range(k):
        row = block[EFFECTS + i]
        sd = scale[VALUE, first + row]
        for j in range(i + 1):
            column = block[EFFECTS + j]
            score = lams[LAM_SCORE, row, column] * lams[CHOL, row, column]
            if scales[first + row, 0] >= 0:
                grad[scales[first + row, 0]] += score * scale[SLOPE, first + row]
        if t < 0:
            continue
        rest_score = sd * lams[LAM_SCORE, row, row]
        for j in range(i - 1, -1, -1):
            z, root = partial[CORRELATION, t + j], partial[ROOT, t + j]
            rest = 1.0  # Π_{l<j} of the roots, anew: dividing it out would fail at z = ±1
            for before in range(j):
                rest *= partial[ROOT, t + before]
            score = sd * lams[LAM_SCORE, row, block[EFFECTS + j]]
            grad[t + j] = rest * root * (score * root - rest_score * z) - 2.0 * (eta + 0.5 * (k - 2 - j)) * z
            rest_score = score * z + rest_score * root
        t += i
