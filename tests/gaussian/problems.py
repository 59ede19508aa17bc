"""Small Gaussian mixed models, and a dense reference for everything the collapsed kernels compute.

The reference shares no formula with the kernels: n × n covariances, correlations by the recursion over
partial correlations, densities by scipy, log-Jacobians by numerical differentiation.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.special import gammaln

from hierbayes.engine.core.problem import Factor, PriorCode
from hierbayes.engine.gaussian.problem import GaussianProblem

EXPONENTIAL = (PriorCode.EXPONENTIAL, 0.7, 0, 0)
HALF_NORMAL = (PriorCode.HALF_NORMAL, 2.0, 0, 0)


def factor(
    rng: np.random.Generator,
    codes: np.ndarray,
    q: int,
    blocks: Sequence[tuple[int, ...]] | None = None,
    n_levels: int | None = None,
    prior: tuple[float, ...] = EXPONENTIAL,
) -> Factor:
    """Return a factor with an intercept and q - 1 random columns, unstructured unless told."""
    Z = np.column_stack([np.ones(codes.size), rng.normal(size=(codes.size, q - 1))])
    blocks = (tuple(range(q)),) if blocks is None else tuple(blocks)
    eta = tuple(1.0 + 0.5 * i for i in range(len(blocks)))
    return Factor(codes, Z, int(codes.max()) + 1 if n_levels is None else n_levels, blocks, [prior] * q, eta)


def problem(
    rng: np.random.Generator, factors: Sequence[Factor], p: int = 3, n: int = 60, **changes
) -> GaussianProblem:
    """Return a problem with an intercept and p - 1 centred predictors."""
    X = np.column_stack([np.ones(n), rng.normal(2.0, 1.0, size=(n, p - 1))])[:, :p]
    y = 3.0 + X @ rng.normal(size=p) + rng.normal(size=n)
    for f in factors:
        y = y + (f.Z * rng.normal(size=(f.n_levels, f.q))[f.codes]).sum(1)
    fields = {
        "y": y,
        "X": X,
        "factors": factors,
        "prior_mean": rng.normal(size=p),
        "prior_precision": rng.uniform(0.05, 0.5, size=p),
        "sigma_prior": HALF_NORMAL,
        "centre": X.mean(0) * (np.arange(p) > 0),
        "intercept": 0,
    }
    return GaussianProblem(**fields | changes)


def _one_factor(q: int, blocks: Sequence[tuple[int, ...]] | None = None) -> GaussianProblem:
    rng = np.random.default_rng(q)
    return problem(rng, [factor(rng, rng.integers(0, 8, 60), q, blocks)])


def _nested() -> GaussianProblem:
    rng = np.random.default_rng(21)
    inner = np.sort(rng.integers(0, 12, 60))
    return problem(rng, [factor(rng, inner // 3, 2), factor(rng, inner, 1)])


def _crossed(sizes: Sequence[int], qs: Sequence[int]) -> GaussianProblem:
    rng = np.random.default_rng(len(sizes))
    return problem(rng, [factor(rng, rng.integers(0, s, 60), q) for s, q in zip(sizes, qs, strict=True)])


def _weighted() -> GaussianProblem:
    made = _crossed((7, 4), (2, 1))
    rng = np.random.default_rng(31)
    return replace(made, weights=rng.choice([0.0, 0.5, 1.0, 2.0, 3.7], 60), offset=rng.normal(size=60))


def _one_row_a_level() -> GaussianProblem:
    rng = np.random.default_rng(41)
    return problem(rng, [factor(rng, rng.permutation(60), 2)])


def _constant_slope() -> GaussianProblem:
    rng = np.random.default_rng(42)
    codes = rng.integers(0, 8, 60)
    made = factor(rng, codes, 2)
    return problem(rng, [replace(made, Z=np.column_stack([np.ones(60), rng.normal(size=8)[codes]]))])


def _odd_scales() -> GaussianProblem:
    rng = np.random.default_rng(43)
    made = problem(rng, [factor(rng, rng.integers(0, 8, 60), 2)])
    scales = np.array([1.0, 1e-3, 1e4])
    f = made.factors[0]
    return replace(
        made,
        X=made.X * scales,
        centre=made.centre * scales,
        prior_mean=made.prior_mean / scales,
        prior_precision=made.prior_precision * scales**2,
        factors=[
            replace(f, Z=f.Z * [1.0, 1e4], sd_priors=[EXPONENTIAL, (PriorCode.EXPONENTIAL, 0.7e4, 0, 0)])
        ],
    )


def _many_columns() -> GaussianProblem:
    rng = np.random.default_rng(44)
    return problem(rng, [factor(rng, rng.integers(0, 8, 60), 2)], p=30)


def _two_levels() -> GaussianProblem:
    rng = np.random.default_rng(45)
    return problem(rng, [factor(rng, rng.integers(0, 2, 60), 1)])


def _empty_levels() -> GaussianProblem:
    rng = np.random.default_rng(46)
    return problem(
        rng, [factor(rng, rng.integers(0, 8, 60), 2, n_levels=12), factor(rng, rng.integers(0, 5, 60), 1)]
    )


def _no_intercept() -> GaussianProblem:
    rng = np.random.default_rng(47)
    made = problem(rng, [factor(rng, rng.integers(0, 8, 60), 2)])
    return replace(made, centre=np.zeros(2), intercept=None, X=made.X[:, 1:], **_short_prior(made))


def _short_prior(made: GaussianProblem) -> dict[str, np.ndarray]:
    return {"prior_mean": made.prior_mean[1:], "prior_precision": made.prior_precision[1:]}


def _wide_and_sparse() -> GaussianProblem:
    """Many levels that each meet few others: column_sets of one batch, batches with empty lanes."""
    rng = np.random.default_rng(48)
    parent = rng.integers(0, 30, 150)
    codes = [rng.integers(0, 60, 150), parent, parent // 4]
    return problem(rng, [factor(rng, c, q) for c, q in zip(codes, (1, 2, 1), strict=True)], n=150)


def _priors() -> GaussianProblem:
    rng = np.random.default_rng(49)
    codes = rng.integers(0, 8, 60)
    rows = [
        (PriorCode.UNIFORM, 0.0, 3.0, 0),
        (PriorCode.GAMMA, 2.0, 1.5, 0),
        (PriorCode.HALF_STUDENT, 3.0, 2.0, 0),
    ]
    made = replace(factor(rng, codes, 3), sd_priors=rows)
    return problem(rng, [made], sigma_prior=(PriorCode.LOGNORMAL, 0.1, 0.8, 0))


def _fixed_effects() -> GaussianProblem:
    """One sd of each factor and all correlations of the first are known."""
    rng = np.random.default_rng(50)
    first, second = (factor(rng, rng.integers(0, size, 60), q) for size, q in ((8, 3), (5, 2)))
    known = (PriorCode.FIXED, 0.8, 0, 0)
    return problem(
        rng,
        [
            replace(first, sd_priors=[EXPONENTIAL, known, HALF_NORMAL], cor=-0.3),
            replace(second, sd_priors=[known, EXPONENTIAL]),
        ],
    )


def _fixed_sigma() -> GaussianProblem:
    rng = np.random.default_rng(51)
    made = replace(factor(rng, rng.integers(0, 8, 60), 4, ((0, 3), (1, 2))), cor=0.6)
    return problem(rng, [made], sigma_prior=(PriorCode.FIXED, 1.3, 0, 0))


PROBLEMS: dict[str, Callable[[], GaussianProblem]] = {
    "no factor": lambda: problem(np.random.default_rng(9), []),
    "q = 1": lambda: _one_factor(1),
    "q = 2": lambda: _one_factor(2),
    "q = 3": lambda: _one_factor(3),
    "q = 5": lambda: _one_factor(5),
    "diagonal": lambda: _one_factor(3, ((0,), (1,), (2,))),
    "merged blocks": lambda: _one_factor(4, ((0, 3), (1,), (2,))),
    "two blocks": lambda: _one_factor(5, ((1, 4), (0, 2, 3))),
    "nested": _nested,
    "two crossed": lambda: _crossed((9, 5), (1, 1)),
    "two crossed, slopes": lambda: _crossed((6, 5), (2, 3)),
    "three crossed": lambda: _crossed((9, 6, 4), (2, 1, 2)),
    "weights and offset": _weighted,
    "one row a level": _one_row_a_level,
    "slope constant within levels": _constant_slope,
    "predictors of odd scales": _odd_scales,
    "p = 30": _many_columns,
    "two levels": _two_levels,
    "empty levels": _empty_levels,
    "no intercept": _no_intercept,
    "wide and sparse": _wide_and_sparse,
    "other priors": _priors,
    "fixed sds and correlations": _fixed_effects,
    "fixed sigma": _fixed_sigma,
}


@dataclass(frozen=True)
class Natural:
    """Hyperparameters on their own scale."""

    sigma: float
    sds: tuple[np.ndarray, ...]
    cors: tuple[np.ndarray, ...]

    def covariance(self, k: int) -> np.ndarray:
        """Return a factor's Σ (q, q)."""
        return self.sds[k][:, None] * self.cors[k] * self.sds[k]


def natural(made: GaussianProblem, theta: np.ndarray) -> Natural:
    """Return theta on its natural scale."""
    at = iter(theta)
    sigma = _scale(at, made.sigma_prior)
    sds, cors = [], []
    for f in made.factors:
        sds.append(np.array([_scale(at, row) for row in f.sd_priors]))
        cor = np.eye(f.q)
        for block in f.blocks:
            k = len(block)
            if f.cor is not None:
                cor[np.ix_(block, block)] = (1 - f.cor) * np.eye(k) + f.cor
                continue
            partial = np.zeros((k, k))
            for i in range(k):
                for j in range(i):
                    partial[i, j] = np.tanh(next(at))
            cor[np.ix_(block, block)] = correlation_from_partials(partial)
        cors.append(cor)
    return Natural(sigma, tuple(sds), tuple(cors))


def _scale(at: Iterator[float], prior: Sequence[float]) -> float:
    if int(prior[0]) == PriorCode.FIXED:
        return prior[1]
    t = next(at)
    if int(prior[0]) == PriorCode.UNIFORM:
        return prior[1] + (prior[2] - prior[1]) / (1 + np.exp(-t))
    return float(np.exp(t))


def correlation_from_partials(partial: np.ndarray) -> np.ndarray:
    """Return the correlation matrix whose C-vine has ``partial[i, j]`` = ρ_{ij; 0..j-1} for j < i.

    Lewandowski, Kurowicka & Joe (2009), the recursion that ends their section 2.4.
    """
    k = len(partial)
    cor = np.eye(k)
    for j in range(k):
        for i in range(j + 1, k):
            value = partial[i, j]
            for given in range(j - 1, -1, -1):
                a, b = partial[i, given], partial[j, given]
                value = value * np.sqrt((1 - a**2) * (1 - b**2)) + a * b
            cor[i, j] = cor[j, i] = value
    return cor


def lkj_log_density(cor: np.ndarray, eta: float) -> float:
    """Return the LKJ density over the strictly lower triangle (same paper, equations 15 and 16)."""
    d = len(cor)
    constant = 0.0
    for k in range(1, d):
        beta = eta + (d - 1 - k) / 2
        constant += (2 * eta - 2 + d - k) * (d - k) * np.log(2)
        constant += (d - k) * (2 * gammaln(beta) - gammaln(2 * beta))
    return (eta - 1) * np.linalg.slogdet(cor)[1] - constant


def log_prior(made: GaussianProblem, theta: np.ndarray) -> float:
    """Return the hyperparameters' log prior density in theta."""
    at = natural(made, theta)
    total = scale_log_density(at.sigma, made.sigma_prior)
    for k, f in enumerate(made.factors):
        total += sum(scale_log_density(sd, row) for sd, row in zip(at.sds[k], f.sd_priors, strict=True))
        for block, eta in zip(f.blocks, f.eta, strict=True) if f.cor is None else ():
            total += lkj_log_density(at.cors[k][np.ix_(block, block)], eta)
    jacobian = differentiate(lambda t: _free_numbers(made, t), theta)
    return total + np.linalg.slogdet(jacobian)[1]


def scale_log_density(x: float, prior: Sequence[float]) -> float:
    """Return the log density of a scale."""
    code, a, b = PriorCode(int(prior[0])), prior[1], prior[2]
    return float(
        {
            PriorCode.EXPONENTIAL: lambda: stats.expon(scale=1 / a).logpdf(x),
            PriorCode.HALF_NORMAL: lambda: stats.halfnorm(scale=a).logpdf(x),
            PriorCode.HALF_STUDENT: lambda: np.log(2) + stats.t(a, scale=b).logpdf(x),
            PriorCode.HALF_CAUCHY: lambda: stats.halfcauchy(scale=a).logpdf(x),
            PriorCode.GAMMA: lambda: stats.gamma(a, scale=1 / b).logpdf(x),
            PriorCode.INVERSE_GAMMA: lambda: stats.invgamma(a, scale=b).logpdf(x),
            PriorCode.LOGNORMAL: lambda: stats.lognorm(b, scale=np.exp(a)).logpdf(x),
            PriorCode.UNIFORM: lambda: stats.uniform(a, b - a).logpdf(x),
            PriorCode.HALF_FLAT: lambda: 0.0,
            PriorCode.FIXED: lambda: 0.0,
        }[code]()
    )


def _free_numbers(made: GaussianProblem, theta: np.ndarray) -> np.ndarray:
    """Return sigma, sds and the lower triangles of the blocks' correlations, in theta's order; no fixed ones."""
    at = natural(made, theta)
    out = [np.array([at.sigma] if made.sigma_prior[0] != PriorCode.FIXED else [])]
    for f, sds, cor in zip(made.factors, at.sds, at.cors, strict=True):
        out.append(sds[f.sd_priors[:, 0] != PriorCode.FIXED])
        for block in f.blocks if f.cor is None else ():
            out.append(cor[np.ix_(block, block)][np.tril_indices(len(block), -1)])
    return np.concatenate(out)


def differentiate(
    f: Callable[[np.ndarray], np.ndarray | float], x: np.ndarray, step: float = 1e-3
) -> np.ndarray:
    """Return the derivative by a central difference of sixth order, (…, x.size)."""
    columns = []
    for i in range(x.size):
        e = np.zeros(x.size)
        e[i] = step
        pairs = [np.asarray(f(x + k * e)) - np.asarray(f(x - k * e)) for k in (1, 2, 3)]
        columns.append((45 * pairs[0] - 9 * pairs[1] + pairs[2]) / (60 * step))
    return np.stack(columns, -1)


def design(made: GaussianProblem) -> np.ndarray:
    """Return all coefficients' columns (n, p + Σ levels × q): centred X, then each factor level by level."""
    n = len(made.y)
    columns = [made.X - made.centre]
    for f in made.factors:
        block = np.zeros((n, f.n_levels, f.q))
        block[np.arange(n), f.codes] = f.Z
        columns.append(block.reshape(n, -1))
    return np.hstack(columns)


def response(made: GaussianProblem) -> np.ndarray:
    """Return the response less its offset."""
    return made.y - (0.0 if made.offset is None else made.offset)


def weight(made: GaussianProblem) -> np.ndarray:
    """Return the rows' weights."""
    return np.ones(len(made.y)) if made.weights is None else made.weights


def log_likelihood(made: GaussianProblem, at: Natural) -> float:
    """Return log p(y | theta), from the n × n covariance of the rows with a weight.

    A row of weight w counts w times: its density is N(·; σ²/w) times (2πσ²)^((1-w)/2) w^(-1/2). Flat
    coefficients are integrated over Lebesgue measure.
    """
    w = weight(made)
    made, w = made.rows(np.flatnonzero(w)), w[w > 0]
    A, r = design(made), response(made) - (made.X - made.centre) @ made.prior_mean
    p = made.X.shape[1]
    flat = made.prior_precision == 0
    covariance = np.diag(at.sigma**2 / w)
    proper = A[:, :p][:, ~flat]
    covariance += proper / made.prior_precision[~flat] @ proper.T
    start = p
    for k, f in enumerate(made.factors):
        Z = A[:, start : start + f.n_levels * f.q].reshape(len(w), f.n_levels, f.q)
        covariance += np.einsum("nga,ab,mgb->nm", Z, at.covariance(k), Z)
        start += f.n_levels * f.q
    X = A[:, :p][:, flat]
    precision = np.linalg.inv(covariance)
    information = X.T @ precision @ X
    r = r - X @ np.linalg.lstsq(information, X.T @ precision @ r)[0] if flat.any() else r
    value = -0.5 * (
        (len(w) - flat.sum()) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + r @ precision @ r
    )
    value -= 0.5 * np.linalg.slogdet(information)[1] if flat.any() else 0.0
    return float(value + 0.5 * ((1 - w) * np.log(2 * np.pi * at.sigma**2) - np.log(w)).sum())


def conditional(made: GaussianProblem, at: Natural) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of all coefficients given theta, from the dense normal equations."""
    A = design(made)
    precision = np.zeros((A.shape[1], A.shape[1]))
    p = made.X.shape[1]
    precision[:p, :p] = np.diag(made.prior_precision)
    start = p
    for k, f in enumerate(made.factors):
        size = f.n_levels * f.q
        precision[start : start + size, start : start + size] = np.kron(
            np.eye(f.n_levels), np.linalg.inv(at.covariance(k))
        )
        start += size
    mean = np.append(made.prior_mean, np.zeros(A.shape[1] - p))
    weighted = A.T * (weight(made) / at.sigma**2)
    covariance = np.linalg.inv(weighted @ A + precision)
    return covariance @ (weighted @ response(made) + precision @ mean), covariance


def joint_log_density(made: GaussianProblem, at: Natural, coefficients: np.ndarray) -> float:
    """Return log p(y, coefficients | theta)."""
    p = made.X.shape[1]
    fitted = design(made) @ coefficients
    total = float(weight(made) @ stats.norm(fitted, at.sigma).logpdf(response(made)))
    proper = made.prior_precision > 0
    sd = made.prior_precision[proper] ** -0.5
    total += float(stats.norm(made.prior_mean[proper], sd).logpdf(coefficients[:p][proper]).sum())
    start = p
    for k, f in enumerate(made.factors):
        r = coefficients[start : start + f.n_levels * f.q].reshape(f.n_levels, f.q)
        total += float(np.sum(stats.multivariate_normal(np.zeros(f.q), at.covariance(k)).logpdf(r)))
        start += f.n_levels * f.q
    return total


def random_theta(made: GaussianProblem, seed: int) -> np.ndarray:
    """Return a theta of ordinary size."""
    return 0.6 * np.random.default_rng(seed).normal(size=made.n_theta)
