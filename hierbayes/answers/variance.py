"""Where the variance lies: between the levels of each factor, along the predictors, and in what is left.

Everything is computed in every draw and averaged over rows, each counted as often as its weight and its trials say:
a binomial row is its trials, a weight of 2 is the row twice. A factor's effects give row i the variance z_i Σ z_i'
(Johnson 2014, Methods in Ecology and Evolution 5(9), eq. 10-11), which for a varying intercept is its variance. A
factor with a level for each row (lme4's observation-level effects) is part of what is left. docs/variance.md has the
formulas.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hierbayes.answers.averaging import average_mean, expect
from hierbayes.answers.draws import Draws, population_coefficients
from hierbayes.answers.predict import (
    CHUNK_ENTRIES,
    Request,
    choose_groups,
    column_covariances,
    covariances,
    effect_variance,
    evaluate_predictors,
)
from hierbayes.data.design import MEAN, Design
from hierbayes.data.factors import Factor
from hierbayes.engine.streamed import Streamed
from hierbayes.errors import UnsupportedError
from hierbayes.families import Values
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
NEEDS_ROWS = "rows that stay in their source are those of Gaussian models"
METHODS = ("lognormal", "delta", "trigamma")
EVALUATIONS = 100_000_000  # draws × rows × nodes; of a larger problem evenly spaced draws are used


@dataclass(frozen=True, eq=False)
class Components:
    """Variances in every draw, each (S,), on one scale.

    Attributes
    ----------
    groups : mapping of str to ndarray
        Of each grouping factor of the mean's formula that has fewer levels than rows.
    between : ndarray
        Of all of these together.
    fixed : ndarray
        Of the population-level part over the rows.
    residual : ndarray
        What is left.
    own : ndarray
        The response distribution's part of it, observation-level effects apart.
    """

    groups: Mapping[str, Array]
    between: Array
    fixed: Array
    residual: Array
    own: Array


def row_weights(design: Design | Streamed) -> Array:
    """How often each training row counts: its weight times its trials, (n,); one for rows that stay in their source."""
    if isinstance(design, Streamed):
        return np.ones(1)
    weights = np.ones(len(design))
    for values in (design.weights, design.trials):
        weights = weights if values is None else weights * values
    return weights


def structural_factors(spec: ModelSpec, design: Design | Streamed) -> tuple[Factor, ...]:
    """The factors of the mean's formula with fewer levels than rows, or whose levels are related or share rows."""
    factors = spec.layout.main.factors
    return tuple(f for f in factors if len(f.levels) < len(design) or not f.apart)


# -- the link's scale -------------------------------------------------------------------------------------------


def latent_components(
    spec: ModelSpec, draws: Draws, design: Design | Streamed, weights: Array, method: str = "lognormal"
) -> Components:
    """Components on the link's scale, where what is left is the distribution's own variance.

    Nakagawa, Johnson & Schielzeth (2017), J. R. Soc. Interface 14: table 1 and equations 6 to 9.

    Parameters
    ----------
    design : Design
        n rows; their levels matter only to parameters with a formula of their own.
    weights : ndarray, (n,)
    method : {"lognormal", "delta", "trigamma"}
        How a variance on the response's scale becomes one on the log scale; other links take the delta method.

    Raises
    ------
    ValueError
        For an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    layout = spec.layout.main
    share = weights / weights.sum()
    every = {
        factor.name: product(
            covariances(spec, MEAN, factor, draws),
            second_moments(spec, draws, design, MEAN, factor, share),
        ).sum(axis=(1, 2))
        for factor in layout.factors
    }
    groups = {factor.name: every[factor.name] for factor in structural_factors(spec, design)}
    between = sum(groups.values(), start=np.zeros(len(draws)))
    fixed = np.zeros(len(draws))
    b = population_coefficients(spec, MEAN, draws.values)
    if spec.layout.latents:  # whose columns differ from draw to draw
        fixed = _population_variance(spec, draws, design, weights)
    elif b is not None:
        if isinstance(design, Streamed):
            products, total = design.column_products(), design.moments.n
        else:
            x = design.main.columns
            centred = x - share @ x
            products, total = (centred.T * weights) @ centred, weights.sum()
        spread = products / max(total - 1, 1.0)  # R's var has n − 1 below
        fixed = np.einsum("si,ij,sj->s", b, spread, b)
    own = _distribution_variance(spec, draws, design, share, method)
    residual = own + sum((every[name] for name in every if name not in groups), start=np.zeros(len(draws)))
    return Components(groups, between, fixed, residual, own)


def _population_variance(spec: ModelSpec, draws: Draws, design: Design | Streamed, weights: Array) -> Array:
    """The variance over rows of what their population-level parts are in each draw: (S,)."""
    assert isinstance(design, Design), "rows that stay in their source have no drawn predictors"
    nobody, share = Request("linear", (), "mean", 0), weights / weights.sum()
    found = np.empty(len(draws))
    step = max(1, CHUNK_ENTRIES // len(design))
    for start in range(0, len(draws), step):
        part = slice(start, start + step)
        eta = evaluate_predictors(spec, draws.part(part), design, nobody)[0]
        found[part] = np.square(eta - (eta @ share)[:, None]) @ weights
    return found / max(weights.sum() - 1, 1.0)


def second_moments(
    spec: ModelSpec, draws: Draws, design: Design | Streamed, parameter: str, factor: Factor, share: Array
) -> Array:
    """Σ share · z z' over the rows, z the columns of a factor's effects, in every draw: (S, q, q).

    Times the variance of the row's level in units of sd², where levels are related or have no normal effects. The
    columns of monotonic effects rise in steps that differ from draw to draw.
    """
    q = len(factor.effects)
    shapes = spec.shape_values(parameter, factor, draws.values)
    if isinstance(design, Streamed):
        return np.broadcast_to(design.second_moments(factor), (len(draws), q, q))
    units = spec.with_steps(parameter, factor, draws.values, np.broadcast_to(np.eye(q), (len(draws), q, q)))
    width = units.shape[2]
    of_levels = np.zeros((len(factor.levels), width * width))
    for each in design.predictors[parameter].factors[factor.name].different_levels:
        products = each.columns[:, :, None] * each.columns[:, None, :] * share[:, None, None]
        np.add.at(of_levels, each.codes, products.reshape(len(each.codes), width * width))
    moments: Array = (factor.level_variances(shapes) @ of_levels).reshape(-1, width, width)
    if width > q:
        moments = units @ moments @ units.swapaxes(1, 2)
    moments = product(moments, factor.variance(shapes)[..., None, None])
    return np.broadcast_to(moments, (len(draws), q, q))


def product(a: Array, b: Array) -> Array:
    """a b, 0 where one of them is 0 and the other infinite."""
    with np.errstate(invalid="ignore"):
        return np.where((a == 0) | (b == 0), 0.0, a * b)


def share_of(part: Array, total: Array) -> Array:
    """part / total: an infinite variance is all of it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isposinf(part), 1.0, part / total)


def _distribution_variance(
    spec: ModelSpec, draws: Draws, design: Design | Streamed, share: Array, method: str
) -> Array:
    """Variance of a response about its linear predictor, on the link's scale: (S,)."""
    family, link = spec.family, spec.link
    if not has_variance_on_the_link(spec):
        return np.full(len(draws), np.nan)
    if family.latent_variance is not None:
        return family.latent_variance * _inverse_squares(spec, draws, design, share, "disc")
    if family.threshold and link.name == "cauchit":
        raise UnsupportedError(
            "with link 'cauchit' the latent variable is a Cauchy variable, which has no variance: take "
            "scale='response', or another link"
        )
    if family.threshold and link.latent_variance is not None:
        return np.full(len(draws), link.latent_variance)
    exponential = family.mean_is_exponential(link.name)
    # the scale of a normal or Student's t response, or of its logarithm, is the same at every mean
    constant = has_constant_scale(spec)
    centre = np.zeros((len(draws), 1))
    if not constant:
        assert isinstance(design, Design), NEEDS_ROWS
        average = np.zeros(len(draws))
        inverse = not link.has_average
        for part, rows in each_rows(spec, draws, design, auxiliaries=False):
            mean = rows.eta if inverse else average_mean(family, link, rows.eta, rows.variance(), rows.aux)
            average += mean @ share[part]
        centre = np.asarray(average if inverse else link.link(average))[:, None]
    if spec.layout.alone:
        aux = {name: draws.values[name][:, None] for name in spec.plain_parameters}
        return _on_the_link(spec, centre, aux, exponential, method)[:, 0]
    assert isinstance(design, Design), NEEDS_ROWS
    total = np.zeros(len(draws))
    for part, rows in each_rows(spec, draws, design):
        values = _on_the_link(spec, centre, rows.aux, exponential, method)
        total += np.broadcast_to(values, rows.eta.shape) @ share[part]
    return total


def has_constant_scale(spec: ModelSpec) -> bool:
    """Whether the scale about the linear predictor is the same at every mean."""
    return spec.link.name == "identity" and any(own.name == "sigma" for own in spec.family.own)


def heavy_levels(spec: ModelSpec) -> str:
    """The first of the mean's grouping factors whose effects are not normal, "" where all are."""
    return next((factor.name for factor in spec.layout.main.factors if not factor.law.normal), "")


def has_variance_on_the_link(spec: ModelSpec) -> bool:
    """Whether a response varies about its linear predictor by a variance that is defined: not every category does.

    Where it depends on the mean, that is averaged over the levels' effects, for which they must be normal.
    """
    family = spec.family
    fixed = (
        family.latent_variance is not None
        or (family.threshold and spec.link.latent_variance is not None)
        or has_constant_scale(spec)
    )
    if not fixed and heavy_levels(spec):
        return False
    # a mean that other parameters move, as zeros do, is none about a linear predictor
    return family.latent_variance is not None or (family.mean is not None and family.mean_of == "value")


def check_levels(spec: ModelSpec, response: bool = False) -> None:
    """Refuse variances that ask for the mean's average over levels' effects that are not normal.

    Parameters
    ----------
    response : bool
        Whether they are of the response itself, not on the link's scale.

    Raises
    ------
    UnsupportedError
    """
    name, possible = heavy_levels(spec), has_variance_on_the_link(spec)
    if not name or (possible and not response):
        return
    way_out = "take scale='latent'" if possible else "varcorr() has the levels' standard deviations"
    raise UnsupportedError(
        f"this variance needs the mean averaged over the effects of {name!r}, which are not normal (dist=): with link "
        f"{spec.shown_link!r} there is no such average; {way_out}"
    )


def check_variance(spec: ModelSpec, what: str) -> None:
    """Refuse shares of a variance that a family has not.

    Raises
    ------
    UnsupportedError
    """
    if spec.family.mean is None and spec.family.latent_variance is None:
        family, link = spec.family, spec.shown_link
        if not family.has_categories:
            why = "they have no mean to vary about"
        elif link == "cauchit":
            why = "its latent variable has no variance"
        else:
            why = "no one latent variable is behind them"
        raise UnsupportedError(
            f"responses of family {family.name!r} with link {link!r} have no variance, because {why}: there is no "
            f"{what}. varcorr() has the groups' standard deviations"
        )


def _inverse_squares(
    spec: ModelSpec, draws: Draws, design: Design | Streamed, share: Array, name: str
) -> Array:
    """1 / a parameter's square, averaged over the rows: (S,)."""
    if name in spec.plain_parameters:
        return np.asarray(1 / np.square(draws.values[name]))
    assert isinstance(design, Design), NEEDS_ROWS
    total = np.zeros(len(draws))
    for part, rows in each_rows(spec, draws, design):
        total += (1 / np.square(np.asarray(rows.aux[name]))) @ share[part]
    return total


def average_square(
    spec: ModelSpec, draws: Draws, design: Design | Streamed, weights: Array, name: str
) -> Array | None:
    """A parameter's square averaged over the rows, (S,); None where the family hasn't got it."""
    if name in spec.plain_parameters:
        return np.square(draws.values[name])
    if name not in spec.layout.predictors:
        return None
    assert isinstance(design, Design), NEEDS_ROWS
    share = weights / weights.sum()
    total = np.zeros(len(draws))
    for part, rows in each_rows(spec, draws, design):
        total += np.square(rows.aux[name]) @ share[part]
    return total


def _on_the_link(spec: ModelSpec, eta: Array, aux: Values, exponential: bool, method: str) -> Array:
    """The family's variance at linear predictor `eta`, carried over to the link's scale."""
    from scipy import special

    family, link = spec.family, spec.link
    variance = family.at(eta, aux, link).variance()
    if not exponential:
        return np.asarray(variance / link.slope(eta) ** 2)
    relative = variance / family.at(eta, aux, link).mean() ** 2
    match method:
        case "delta":
            # the logarithm's own variance is known exactly where the response is lognormal
            return np.log1p(relative) if family.log_response else relative
        case "trigamma" if not family.log_response:
            return np.asarray(special.polygamma(1, 1 / relative))
    return np.log1p(relative)


# -- rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RowDraws:
    """Some rows in every draw: the linear predictor without group effects, its variance by factor, the auxiliaries."""

    eta: Array
    variances: Mapping[str, Array]
    aux: Values

    def variance(self, names: Sequence[str] | None = None) -> Array:
        """Variance of the linear predictor by the named factors' effects, all by default: as `eta`."""
        chosen = self.variances if names is None else {name: self.variances[name] for name in names}
        return sum(chosen.values(), start=np.zeros(self.eta.shape))


def each_rows(
    spec: ModelSpec, draws: Draws, design: Design, auxiliaries: bool = True
) -> Iterator[tuple[slice, RowDraws]]:
    """Successive slices of the rows, in bounded memory.

    With `auxiliaries` the parameters that have a formula are those of each row and its own levels.
    """
    nobody = Request("linear", (), "mean", 0)
    everybody = Request("linear", choose_groups(spec, "all"), "mean", 0)
    factors = spec.layout.main.factors
    reached = design.main.factors
    matrices = {f.name: column_covariances(spec, MEAN, reached[f.name].reaching(f), draws) for f in factors}
    shapes = {f.name: spec.shape_values(MEAN, f, draws.values) for f in factors}
    of_levels = {f.name: np.atleast_2d(f.level_variances(shapes[f.name])) for f in factors}
    times = {f.name: f.variance(shapes[f.name])[..., None] for f in factors}
    step = max(1, CHUNK_ENTRIES // len(draws))
    for start in range(0, len(design), step):
        part = slice(start, min(start + step, len(design)))
        rows = design.rows(part)
        eta, aux = evaluate_predictors(spec, draws, rows, nobody)
        if auxiliaries and not spec.layout.alone:
            aux = evaluate_predictors(spec, draws, rows, everybody)[1]
        bound = rows.main.factors
        variances = {
            name: sum(
                (
                    product(
                        effect_variance(matrix, each.columns) * of_levels[name][:, each.codes], times[name]
                    )
                    for each in bound[name].different_levels
                ),
                start=np.zeros(eta.shape),
            )
            for name, matrix in matrices.items()
        }
        yield part, RowDraws(eta, variances, aux)


# -- the response's scale ---------------------------------------------------------------------------------------


def response_components(spec: ModelSpec, draws: Draws, design: Design, weights: Array) -> Components:
    """Components of the response itself, by integration over the group effects.

    A factor's is Var(E(y | its effects)): what two responses share that have its level in common and no other, so
    that its ratio to the total variance is their correlation (Goldstein, Browne & Rasbash 2002, Understanding
    Statistics 1(4), method B, by quadrature; de Villemereuil, Schielzeth, Nakagawa & Morrissey 2016, Genetics 204,
    eq. 14-22). In closed form for the identity and log links. The draws should be few enough for `evaluations`.

    Raises
    ------
    UnsupportedError
        For the links inverse and 1/mu².
    """
    family, link = spec.family, spec.link
    names = [factor.name for factor in structural_factors(spec, design)]
    subsets = {name: (name,) for name in names} | {"": tuple(names)}
    found = {key: np.zeros(len(draws)) for key in subsets}
    share = weights / weights.sum()
    own, everything, mean, square = (np.zeros(len(draws)) for _ in range(4))
    for part, rows in each_rows(spec, draws, design):
        average = average_mean(family, link, rows.eta, rows.variance(), rows.aux)
        for key, subset in subsets.items():
            found[key] += _between(spec, rows, subset) @ share[part]
        spread = np.sqrt(rows.variance())
        own += expect(_variance_given(spec, rows.aux), rows.eta, spread) @ share[part]
        everything += _between(spec, rows, tuple(rows.variances)) @ share[part]
        mean += average @ share[part]
        square += average**2 @ share[part]
    between = found.pop("")
    fixed = np.maximum(square - mean**2, 0.0) * weights.sum() / max(weights.sum() - 1, 1.0)
    return Components(found, between, fixed, own + everything - between, own)


def _variance_given(spec: ModelSpec, aux: Values) -> Callable[[Array], Array]:
    return lambda eta: spec.family.at(eta, aux, spec.link).variance()


def evaluations(spec: ModelSpec, design: Design) -> int:
    """About how many evaluations one draw of `response_components` takes."""
    factors = len(spec.layout.main.factors)
    family, link = spec.family, spec.link_name
    closed = family.mean_is_linear(link) or family.mean_is_exponential(link)
    each = 20 * (1 if closed else 2 if factors < 2 else 20 * (factors + 2))
    return each * len(design)


def _between(spec: ModelSpec, rows: RowDraws, subset: tuple[str, ...]) -> Array:
    """Var(E(y | effects of these factors)) of each row in every draw."""
    family, link = spec.family, spec.link
    inside, total = rows.variance(subset), rows.variance()
    if not inside.any():
        return inside
    if family.mean_is_exponential(link.name):
        return np.asarray(average_mean(family, link, rows.eta, total, rows.aux) ** 2 * np.expm1(inside))
    if family.mean_is_predictor(link.name):
        return inside
    rest = np.maximum(total - inside, 0.0)

    def given(eta: Array) -> Array:
        if len(subset) == len(rows.variances):
            return family.at(eta, rows.aux, link).mean()
        return average_mean(family, link, eta, rest, rows.aux)

    spread = np.sqrt(inside)
    first = average_mean(family, link, rows.eta, total, rows.aux)
    return np.maximum(expect(lambda eta: (given(eta) - first) ** 2, rows.eta, spread), 0.0)
