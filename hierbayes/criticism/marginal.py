"""The likelihood of a set of rows with the effects that only they inform integrated out, in every draw.

Hold a set of rows out, such as all rows of one level: the effects that no other row informs go back to their
distribution, normal or of another law. Given a draw's population-level coefficients, standard deviations and the
effects that other rows inform, the density of the held-out responses is

    p(y_rows | draw) = ∫ Π p(y_i | η_i + a_i u)^{w_i} p(u) du,

where η_i is the linear predictor without those effects and a_i = z_i Λ their columns, whitened by Σ = Λ Λ'. For a
normal response (of itself or of its logarithm) and normal u that is a multivariate normal density, exactly. For others
the integral is found by quadrature around the mode of the integrand: adaptive Gauss–Hermite for up to two effects
(Naylor & Smith 1982, Applied Statistics 31; Pinheiro & Bates 1995, JCGS 4), a quasi-random importance sample beyond.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from hierbayes.answers.draws import Draws, population_coefficients
from hierbayes.answers.predict import CHUNK_ENTRIES, own_of_predictors, own_values, population_root
from hierbayes.answers.series import correlations_at, roots, slices
from hierbayes.criticism.likelihood import log_densities
from hierbayes.data.design import MEAN, Design, linear_predictor
from hierbayes.data.levels import Codes
from hierbayes.errors import UnsupportedError
from hierbayes.families import Values
from hierbayes.spec import ModelSpec
from hierbayes.special import LOG_ROOT_2PI
from hierbayes.structures import Law

Array = NDArray[np.float64]
type Own = dict[tuple[str, str], tuple[Codes, int]]  # by parameter and factor: levels, and effects of each
NODES = {1: 21, 2: 11}  # Gauss–Hermite nodes an effect
SAMPLES = 256  # points of the importance sample where there are more effects
FREEDOM = 5.0  # degrees of freedom of its t distribution
NEWTON_STEPS = 25
INFORMED = 1e10  # of whitened effects: the most that a row's curvature counts for
STEP = 1e-3  # of the differences that find slope and curvature of a log density


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows held out, their linear predictors without the integrated effects, and those effects' columns.

    Attributes
    ----------
    places : ndarray of int, (n,)
        The rows' places in the training rows.
    rows : Design
    etas : mapping of str to ndarray (S, n)
        By parameter.
    columns : mapping of str to ndarray (S, n, m)
        Whitened columns of the m integrated effects, for the parameters that have any.
    aux : mapping of str to ndarray
        The family's parameters without a formula, (S, 1).
    heavy : tuple of (slice, Law, list of ndarray (S,))
        The effects of each level whose law is not normal, and its parameters.
    """

    places: Codes
    rows: Design
    etas: Mapping[str, Array]
    columns: Mapping[str, Array]
    aux: Mapping[str, Array]
    heavy: tuple[tuple[slice, Law, Sequence[Array]], ...] = ()

    @property
    def effects(self) -> int:
        """How many effects are integrated out."""
        return next((columns.shape[-1] for columns in self.columns.values()), 0)

    def log_law(self, u: Array) -> Array:
        """Log density of effects u (S, m), less the normal one's constant: (S,)."""
        total: Array = -0.5 * np.square(u).sum(axis=-1)
        for own, law, parameters in self.heavy:
            total = total + law.log_ratio(
                np.square(u[:, own]).sum(axis=-1), own.stop - own.start, *parameters
            )
        return total

    def law_weights(self, u: Array) -> Array:
        """What minus the slope of `log_law` is, over the effects themselves: (S, m)."""
        weights = np.ones(u.shape)
        for own, law, parameters in self.heavy:
            square = np.square(u[:, own]).sum(axis=-1)
            weights[:, own] = law.weight(square, own.stop - own.start, *parameters)[:, None]
        return weights

    def weighted(self, weights: Array) -> "HeldOut":
        """The same rows with other weights."""
        return replace(self, rows=replace(self.rows, weights=weights))


def hold_out(spec: ModelSpec, draws: Draws, design: Design, places: Codes) -> Iterator[tuple[slice, HeldOut]]:
    """The rows at these places with their own effects set aside, for successive slices of the draws."""
    rows = design.rows(places)
    own = own_levels(spec, design, places)
    total = sum(len(levels) * q for levels, q in own.values())
    step = max(1, CHUNK_ENTRIES // max(1, len(places) * max(total, 1)))
    for start in range(0, len(draws), step):
        part = slice(start, min(start + step, len(draws)))
        yield part, _hold_out(spec, draws.part(part), places, rows, own, total)


def own_levels(spec: ModelSpec, design: Design, places: Codes) -> Own:
    """The levels that stand in these rows only, and their number of effects, by parameter and factor."""
    own: Own = {}
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            alone = np.empty(0, dtype=np.int64)
            if factor.by_own_rows:
                codes = design.predictors[parameter].factors[factor.name].codes
                levels, inside = np.unique(codes[places], return_counts=True)
                alone = levels[inside == np.bincount(codes, minlength=len(factor.levels))[levels]]
            own[parameter, factor.name] = alone, len(factor.effects)
    return own


def _hold_out(
    spec: ModelSpec,
    draws: Draws,
    places: Codes,
    rows: Design,
    own: Own,
    total: int,
) -> HeldOut:
    etas: dict[str, Array] = {}
    columns: dict[str, Array] = {}
    starts: dict[tuple[str, str], int] = {}  # formulas whose effects are correlated share theirs
    heavy: list[tuple[slice, Law, Sequence[Array]]] = []
    first = 0
    for parameter, layout in spec.layout.predictors.items():
        etas[parameter] = rest_of(spec, parameter, draws, rows, own)
        for factor in layout.factors:
            here = rows.predictors[parameter].factors[factor.name]
            alone, _ = own[parameter, factor.name]
            if not len(alone):
                continue
            root, whose = population_root(spec, parameter, factor, draws)
            q = root.shape[2]
            of_columns = spec.with_steps(parameter, factor, draws.values, root.swapaxes(1, 2)).swapaxes(1, 2)
            whitened = here.memberships[0].columns @ of_columns
            block = columns.setdefault(parameter, np.zeros((len(draws), len(rows), total)))
            at_first = starts.setdefault((whose, factor.name), first)
            for number, level in enumerate(alone):
                at = np.flatnonzero(here.codes == level)
                begin = at_first + number * q
                block[:, at, begin : begin + q] = whitened[:, at]
                if not factor.law.normal:
                    law = factor.law_values(spec.shape_values(parameter, factor, draws.values))
                    heavy.append((slice(begin, begin + q), factor.law, law))
            first = max(first, at_first + len(alone) * q)
    aux = own_values(spec, draws, rows)
    return HeldOut(places, rows, etas, columns, aux, tuple(heavy))


def rest_of(spec: ModelSpec, parameter: str, draws: Draws, rows: Design, own: Own) -> Array:
    """A parameter's linear predictor without the effects of those levels: (S, n)."""
    layout, bound = spec.layout.predictors[parameter], rows.predictors[parameter]
    b = population_coefficients(spec, parameter, draws.values)
    terms = []
    for factor in layout.factors:
        here = bound.factors[factor.name]
        levels = np.unique(here.all_codes)
        r = np.array(draws.values[spec.factor_variables(parameter, factor)["r"].name][:, levels])
        r[:, np.isin(levels, own[parameter, factor.name][0])] = 0.0
        terms += here.terms(spec.with_steps(parameter, factor, draws.values, r), levels)
    eta = linear_predictor(bound.columns, bound.offset, b, terms)
    return np.broadcast_to(eta, (len(draws), len(rows)))


def is_normal(spec: ModelSpec, held: HeldOut) -> bool:
    """Whether the held-out rows are jointly normal given a draw: the integral has a closed form."""
    return spec.is_normal and set(held.columns) <= {MEAN} and not held.heavy


def log_marginal(spec: ModelSpec, held: HeldOut) -> tuple[Array, Array]:
    """Log density of the held-out rows in each draw, and the same with half the quadrature: (S,), (S,)."""
    if held.rows.series is not None:
        exact, _ = series_marginal(spec, held)
        return exact, exact
    if not held.effects:
        whole = _log_joint(spec, held, None)
        return whole, whole
    if is_normal(spec, held):
        exact = normal_conditional(spec, held).log_marginal
        return exact, exact
    return _quadrature(spec, held)


def series_marginal(spec: ModelSpec, held: HeldOut) -> tuple[Array, Array]:
    """Log density of whole series whose residuals are correlated, and of each row given the others: (S,), (S, n).

    Effects and residuals together are normal with covariance A A' + D R D, A the effects' columns and D the sigmas.
    """
    if set(held.columns) - {MEAN}:
        raise UnsupportedError(
            "effects of levels on sigma are not integrated out where residuals are correlated; leave them out"
        )
    series = held.rows.series
    assert series is not None, "residuals are correlated"
    assert held.rows.y is not None, "only rows with a response have a density"
    eta, aux = _parameters(spec, held.etas, held.aux)
    given = spec.family.given(eta, aux, spec.link)
    sigma = np.broadcast_to(given["sigma"].value, eta.shape)
    left, n = held.rows.y - given[MEAN].value, eta.shape[1]
    within = np.equal.outer(series.codes, series.codes)
    whole, rows = np.empty(len(eta)), np.empty(eta.shape)
    for part in slices(len(eta), n):
        plain = {name: value[part] for name, value in held.aux.items()}
        cor = correlations_at(spec, plain, series.times)[:, series.places[:, None], series.places]
        covariance = np.where(within, cor, 0.0) * sigma[part, :, None] * sigma[part, None]
        if held.effects:
            covariance = covariance + held.columns[MEAN][part] @ np.swapaxes(held.columns[MEAN][part], 1, 2)
        sds = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        inverse = np.linalg.inv(roots(covariance / (sds[:, :, None] * sds[:, None])))
        z = (inverse @ (left[part] / sds)[:, :, None])[..., 0]
        volume = np.log(np.diagonal(inverse, axis1=1, axis2=2)).sum(axis=1) - np.log(sds).sum(axis=1)
        whole[part] = volume - 0.5 * np.square(z).sum(axis=1) - n * LOG_ROOT_2PI
        precision = np.square(inverse).sum(axis=1)
        pull = (np.swapaxes(inverse, 1, 2) @ z[:, :, None])[..., 0]
        rows[part] = 0.5 * np.log(precision) - np.log(sds) - 0.5 * pull**2 / precision - LOG_ROOT_2PI
    return whole, rows


# -- normal responses: exactly ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NormalConditional:
    """The integrated effects given the rows, for a normal response.

    Attributes
    ----------
    log_marginal : ndarray (S,)
        Log density of all the rows.
    residuals, leverages : ndarray (S, n)
        What the effects' conditional mean leaves of each row, and the row's own pull on that mean.
    precisions : ndarray (S, n)
        weight / σ².
    constants : ndarray (S, n)
        −½ w log(2πσ²), and the Jacobian of the logarithm for a lognormal response.
    """

    log_marginal: Array
    residuals: Array
    leverages: Array
    precisions: Array
    constants: Array

    def log_leave_one_out(self) -> Array:
        """Log density of each row given the other held-out rows, the effects integrated: (S, n).

        The determinant lemma gives log|M| − log|M − a a' d| = −log(1 − h), and the least squares without a row
        are d e² / (1 − h) smaller: so it is constants + ½ log(1 − h) − ½ d e² / (1 − h) with e the residual and h
        the leverage; for unit weights the density N(y; ŷ₋ᵢ, σ² / (1 − h)).
        """
        rest = np.maximum(1 - self.leverages, np.finfo(float).tiny)
        values: Array = self.constants + 0.5 * np.log(rest) - 0.5 * self.precisions * self.residuals**2 / rest
        return values


def normal_conditional(spec: ModelSpec, held: HeldOut) -> NormalConditional:
    """Woodbury's identity on M = I + A' D A, with A the whitened columns and D the rows' precisions."""
    rows, a = held.rows, held.columns[MEAN]
    assert rows.y is not None, "only rows with a response have a likelihood"
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    y = np.log(rows.y) if spec.family.log_response else rows.y
    sigma = (
        spec.parameter_link("sigma").mean(held.etas["sigma"]) if "sigma" in held.etas else held.aux["sigma"]
    )
    d = np.broadcast_to(weights / sigma**2, held.etas[MEAN].shape)
    jacobian = -weights * np.log(rows.y) if spec.family.log_response else 0.0
    constants = np.broadcast_to(-0.5 * weights * np.log(2 * np.pi * sigma**2) + jacobian, d.shape)
    e = y - held.etas[MEAN]
    scaled = a * d[..., None]
    m = np.swapaxes(a, 1, 2) @ scaled
    m[:, range(m.shape[1]), range(m.shape[1])] += 1.0
    root = np.linalg.cholesky(m)
    h = np.einsum("sna,sn->sa", scaled, e)
    u = np.linalg.solve(m, h[..., None])[..., 0]
    residuals = e - np.einsum("sna,sa->sn", a, u)
    quadratic = (d * e * residuals).sum(axis=1)
    determinant = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    leverages = d * np.einsum("sna,san->sn", a, np.linalg.solve(m, np.swapaxes(a, 1, 2)))
    marginal = constants.sum(axis=1) - 0.5 * determinant - 0.5 * quadratic
    return NormalConditional(marginal, residuals, leverages, d, constants)


# -- other responses: quadrature around the mode -------------------------------------------------------------------


def _log_joint(spec: ModelSpec, held: HeldOut, u: Array | None) -> Array:
    """Log density of the rows and of whitened effects u (S, m), less its normal constant: (S,)."""
    joint: Array = log_densities(spec, held.rows, *_parameters(spec, _shifted(held, u), held.aux)).sum(
        axis=-1
    )
    return joint if u is None else joint + held.log_law(u)


def _shifted(held: HeldOut, u: Array | None) -> dict[str, Array]:
    if u is None:
        return dict(held.etas)
    return {
        parameter: eta + np.einsum("sna,sa->sn", held.columns[parameter], u)
        if parameter in held.columns
        else eta
        for parameter, eta in held.etas.items()
    }


def _parameters(spec: ModelSpec, etas: Mapping[str, Array], aux: Values) -> tuple[Array, Values]:
    return etas[MEAN], {**aux, **own_of_predictors(spec, etas)}


def _quadrature(spec: ModelSpec, held: HeldOut) -> tuple[Array, Array]:
    mode, precision = _mode(spec, held)
    # columns of the inverse factor span the integrand: precision = R R', so R⁻ᵀ z has covariance precision⁻¹
    root = np.linalg.cholesky(precision)
    spread = np.swapaxes(np.linalg.inv(root), 1, 2)
    log_scale = -np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    log_scale -= 0.5 * held.effects * np.log(2 * np.pi)
    answers = []
    for nodes, log_weights in quadrature_rules(held.effects):
        total = np.full(len(mode), -np.inf)
        for z, log_weight in zip(nodes, log_weights, strict=True):
            total = np.logaddexp(total, log_weight + _log_joint(spec, held, mode + spread @ z))
        answers.append(total + log_scale)
    return answers[0], answers[1]


@cache
def quadrature_rules(effects: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Points z (k, m) and log weights for ∫ f(z) dz, and a coarser rule of the same kind."""
    if effects in NODES:
        return _hermite(effects, NODES[effects]), _hermite(effects, NODES[effects] // 2 + 1)
    points = _quasi_t(effects)
    coarse = tuple(half[: SAMPLES // 2] for half in points)
    return points, (coarse[0], coarse[1] + np.log(2.0))


def _hermite(effects: int, nodes: int) -> tuple[Array, Array]:
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[x] * effects, indexing="ij"), axis=-1).reshape(-1, effects)
    logs = np.stack(np.meshgrid(*[np.log(w) + x**2 / 2] * effects, indexing="ij"), axis=-1)
    return grid, logs.reshape(-1, effects).sum(axis=1)


def _quasi_t(effects: int) -> tuple[Array, Array]:
    """Scrambled Sobol points made multivariate t, weighted by 1 / density."""
    uniform = stats.qmc.Sobol(effects + 1, rng=np.random.default_rng(0)).random(SAMPLES)
    uniform = np.clip(uniform, 1e-6, 1 - 1e-6)
    normal = special.ndtri(uniform[:, :effects])
    points = normal * np.sqrt(FREEDOM / stats.chi2(FREEDOM).ppf(uniform[:, [-1]]))
    density = stats.multivariate_t(np.zeros(effects), np.eye(effects), df=FREEDOM).logpdf(points)
    return points, -np.atleast_1d(density) - np.log(SAMPLES)


def _mode(spec: ModelSpec, held: HeldOut) -> tuple[Array, Array]:
    """The integrand's mode in every draw and the precision there: (S, m), (S, m, m).

    Newton's method with slopes and curvatures by differences; they only place the nodes, so they need not be exact.
    """
    u = np.zeros((len(held.etas[MEAN]), held.effects))
    value = _log_joint(spec, held, u)
    gradient, precision = _slopes(spec, held, u)
    for _ in range(NEWTON_STEPS):
        step = np.linalg.solve(precision, gradient[..., None])[..., 0]
        size = np.ones(len(u))
        for _ in range(8):
            new = _log_joint(spec, held, u + size[:, None] * step)
            worse = ~(new >= value - 1e-9)
            if not worse.any():
                break
            size[worse] /= 3
        size[worse] = 0.0
        u = u + size[:, None] * step
        value = np.where(worse, value, new)
        gradient, precision = _slopes(spec, held, u)
        if np.abs(size[:, None] * step).max() < 1e-3:
            break
    return u, precision


def _slopes(spec: ModelSpec, held: HeldOut, u: Array) -> tuple[Array, Array]:
    """Gradient of the log integrand and its negative Hessian, curvatures kept above 0: (S, m), (S, m, m)."""
    etas = _shifted(held, u)

    def densities(parameter: str, by: Array | float) -> Array:
        moved = {**etas, parameter: etas[parameter] + by}
        return log_densities(spec, held.rows, *_parameters(spec, moved, held.aux))

    drawn = held.law_weights(u)
    gradient, precision = -drawn * u, drawn[:, :, None] * np.eye(held.effects)
    middle = densities(MEAN, 0.0)
    for parameter, a in held.columns.items():
        h = STEP * np.maximum(1.0, np.abs(etas[parameter]))
        up, down = densities(parameter, h), densities(parameter, -h)
        with np.errstate(invalid="ignore"):
            slope = np.nan_to_num((up - down) / (2 * h), nan=0.0, posinf=0.0, neginf=0.0)
            curvature = np.nan_to_num((2 * middle - up - down) / h**2, nan=0.0, posinf=0.0, neginf=0.0)
        gradient = gradient + np.einsum("sna,sn->sa", a, slope)
        # a row that says more than this of an effect would leave nothing of the others to rounding
        most = INFORMED / np.maximum(np.square(a).sum(axis=2), np.finfo(float).tiny)
        precision += np.swapaxes(a, 1, 2) @ (a * np.clip(curvature, 0.0, most)[..., None])
    return gradient, precision
