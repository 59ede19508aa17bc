"""What each level says alone, beside what it says in company: no, partial and complete pooling.

The no-pooling estimates are each level's maximum-likelihood coefficients from its own rows. All levels climb
at once: a sum over each level's rows is a weighted count of its number, and each takes its own Newton steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.design import MEAN, Design, linear_predictor
from hierbayes.factors import Codes, Factor
from hierbayes.intervals import Interval, labelled, summarise
from hierbayes.ranks import find_factor
from hierbayes.spec import CHAIN_DIMS, ModelSpec
from hierbayes.summary import level_coefficients

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

COLUMNS = ["group", "level", "effect", "n", "no_pooling", "partial_pooling", "lower", "upper", "population"]
STEPS = 50  # Newton steps; an interior maximum takes about five
HALVINGS = 30  # of one step
SETTLED = 1e-6  # a level stops when a step moves none of its rows by more, in units of `_Rows.scale`
NEARLY = 1e-3  # and has arrived all the same when its last step was this small
DIFFERENCE = 1e-3  # step of the central differences, in the same units
DEPENDENT = 1e-11  # a column whose part orthogonal to the others is relatively this small adds nothing
FLAT = 1e-8  # with so little information about log odds (standard error 10⁴) the maximum lies at infinity


# -- public -------------------------------------------------------------------------------------------------


def no_pooling(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, factor_name: str | None = None
) -> pd.DataFrame:
    """Each level's coefficients by maximum likelihood from its own rows.

    A coefficient is population-level plus deviation, as in lme4's ``coef``. Everything else of the mean's
    linear predictor (other population-level columns, offsets, other factors' effects) and the family's own
    parameters are held at their posterior means. Where the likelihood has several maxima (Student's t), it is
    the one reached from the partial-pooling estimate.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    factor_name : str, optional
        A grouping factor of the mean's formula; the first unless given.

    Returns
    -------
    pandas.DataFrame
        One row a level and effect: level, effect, estimate, n. `n` counts the level's rows, less those whose
        weight or trials are 0. The estimate is NaN where the rows do not settle it: too few of them, columns
        that depend on each other within the level, or a maximum at infinity (separation) or, with an identity
        or inverse link, at the edge of what the mean may be.

    Raises
    ------
    DataError
        For a name that is no grouping factor of the mean's formula.

    Examples
    --------
    >>> import hierbayes as hb
    >>> model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))
    >>> posterior = model.prior_predictive(draws=10)["prior"].to_dataset()  # any draws of the schema
    >>> no_pooling(model.spec, model.design, posterior).round(2).head(2)
      level     effect  estimate   n
    0   308  Intercept    244.19  10
    1   308       Days     21.76  10
    """
    factor = find_factor(spec, factor_name)
    means = posterior_means(spec, posterior)
    start = _coefficients(spec, means, factor)
    bound = design.predictors[MEAN].factors[factor.name]
    counts = _informative(design)
    codes, z = bound.codes[counts], bound.z[counts]
    basis, root, full = _orthonormal(z, codes, len(factor.levels))
    eta = _rest(spec, design, means, factor)[counts] + (z * start[codes]).sum(axis=1)
    shift, found = _climb(_rows(spec, design, means, basis, codes, counts), eta, full)
    estimate = np.full(start.shape, np.nan)
    estimate[found] = start[found] + np.linalg.solve(root[found], shift[found][..., None])[..., 0]
    n = np.bincount(codes, minlength=len(factor.levels))
    return _level_frame(factor, {"estimate": estimate.ravel(), "n": np.repeat(n, len(factor.effects))})


def population(spec: ModelSpec, posterior: xr.Dataset, factor: Factor) -> Array:
    """Population-level coefficients (posterior means) of a factor's effects, 0 where there is none: (q,)."""
    layout = spec.layout.predictors[MEAN]
    centre = np.zeros(len(factor.effects))
    if layout.coefficients:
        b = posterior_means(spec, posterior)[spec.coefficient_variable(MEAN).name]
        for place, effect in enumerate(factor.effects):
            if effect in layout.coefficients:
                centre[place] = b[layout.coefficients.index(effect)]
    return centre


def between_covariance(spec: ModelSpec, posterior: xr.Dataset, factor: Factor) -> Array:
    """Posterior mean of the covariance matrix of a factor's effects between levels: (q, q)."""
    variables = spec.factor_variables(MEAN, factor)
    sd = np.asarray(posterior[variables["sd"].name].transpose(*CHAIN_DIMS, ...))
    if factor.correlated:
        cor = np.asarray(posterior[variables["cor"].name].transpose(*CHAIN_DIMS, ...))
    else:
        cor = np.eye(len(factor.effects))
    products: Array = sd[..., :, None] * cor * sd[..., None, :]
    return products.mean(axis=(0, 1))


def shrinkage_table(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, interval: Interval, group: str | None = None
) -> pd.DataFrame:
    """No, partial and complete pooling of every level side by side.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    interval : Interval
        Of the partial-pooling estimates.
    group : str, optional
        One grouping factor of the mean's formula; all of them unless given.

    Returns
    -------
    pandas.DataFrame
        group, level, effect, n, no_pooling (as `no_pooling`), partial_pooling (posterior mean of the level's
        coefficient) with its lower and upper, population (the population-level coefficient, 0 where there is
        none).

    Raises
    ------
    DataError
        For a name that is no grouping factor of the mean's formula.
    """
    chosen = spec.layout.predictors[MEAN].factors if group is None else (find_factor(spec, group),)
    tables = [_shrinkage(spec, design, posterior, interval, factor) for factor in chosen]
    if not tables:
        return labelled(pd.DataFrame(columns=COLUMNS), interval)
    if len({table["level"].dtype for table in tables}) > 1:
        tables = [table.astype({"level": object}) for table in tables]
    return labelled(pd.concat(tables, ignore_index=True), interval)


def posterior_means(spec: ModelSpec, posterior: xr.Dataset) -> dict[str, Array]:
    """Posterior mean of every variable of the schema."""
    return {v.name: np.asarray(posterior[v.name].mean(CHAIN_DIMS).transpose(*v.dims)) for v in spec.variables}


# -- tables -------------------------------------------------------------------------------------------------


def _shrinkage(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, interval: Interval, factor: Factor
) -> pd.DataFrame:
    alone = no_pooling(spec, design, posterior, factor.name)
    together = summarise(level_coefficients(spec, posterior, MEAN, factor), interval)
    columns = {
        "n": alone["n"].to_numpy(),
        "no_pooling": alone["estimate"].to_numpy(),
        "partial_pooling": together["mean"],
        "lower": together["lower"],
        "upper": together["upper"],
        "population": np.tile(population(spec, posterior, factor), len(factor.levels)),
    }
    table = _level_frame(factor, columns)
    table.insert(0, "group", factor.name)
    return table


def _level_frame(factor: Factor, columns: Mapping[str, Any]) -> pd.DataFrame:
    labels = {
        "level": np.repeat(factor.levels.labels, len(factor.effects)),
        "effect": np.tile(np.array(factor.effects, dtype=object), len(factor.levels)),
    }
    return pd.DataFrame(labels | dict(columns))


# -- what is held fixed -------------------------------------------------------------------------------------


def _coefficients(spec: ModelSpec, means: Mapping[str, Array], factor: Factor) -> Array:
    """Posterior-mean coefficients of each level: (G, q)."""
    layout = spec.layout.predictors[MEAN]
    total = means[spec.factor_variables(MEAN, factor)["r"].name].copy()
    for place, effect in enumerate(factor.effects):
        if effect in layout.coefficients:
            total[:, place] += means[spec.coefficient_variable(MEAN).name][layout.coefficients.index(effect)]
    return total


def _rest(
    spec: ModelSpec, design: Design, means: Mapping[str, Array], factor: Factor | None, parameter: str = MEAN
) -> Array:
    """A linear predictor at the posterior mean, less the factor's coefficients: (n,)."""
    layout, bound = spec.layout.predictors[parameter], design.predictors[parameter]
    b = None
    if layout.coefficients:
        varying = () if factor is None else factor.effects
        kept = np.array([label not in varying for label in layout.coefficients])
        b = means[spec.coefficient_variable(parameter).name] * kept
    others = []
    for other in layout.factors:
        if factor is None or other.name != factor.name:
            rows = bound.factors[other.name]
            others.append((rows.codes, rows.z, means[spec.factor_variables(parameter, other)["r"].name]))
    return np.asarray(linear_predictor(bound.x, bound.offset, b, others))


def _informative(design: Design) -> Mask:
    """The rows that say anything: weight and trials above 0."""
    counts = np.ones(len(design), dtype=bool)
    for values in (design.weights, design.trials):
        if values is not None:
            counts &= values > 0
    return counts


# -- one likelihood a level ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows with their level's number and basis: the log likelihood of each level's own coefficients."""

    spec: ModelSpec
    y: Array
    trials: Array | None
    weights: Array
    aux: Mapping[str, Array]  # each (n,)
    basis: Array  # (n, q)
    codes: Codes

    def rows(self, part: Mask) -> "_Rows":
        trials = None if self.trials is None else self.trials[part]
        aux = {name: values[part] for name, values in self.aux.items()}
        return _Rows(
            self.spec, self.y[part], trials, self.weights[part], aux, self.basis[part], self.codes[part]
        )

    def log_density(self, eta: Array) -> Array:
        return self.weights * self.spec.family.log_density(self.y, eta, self.aux, self.spec.link, self.trials)

    def information(self, eta: Array) -> Array:
        """Fisher information of each row about its linear predictor, without its weight."""
        return self.spec.family.information(eta, self.aux, self.spec.link, self.trials) * np.ones_like(eta)

    @property
    def relative(self) -> bool:
        """Whether a unit of the linear predictor is large by itself: a factor e on mean or odds."""
        return self.spec.link_name not in ("identity", "inverse")

    def scale(self, information: Array) -> Array:
        """How far a linear predictor moves before it matters: a standard error, or a log unit.

        NaN where the mean is out of its range and the information therefore negative, which stops the level.
        """
        scale = 1 / np.sqrt(information)
        return np.minimum(scale, 1.0) if self.relative else scale


def _rows(
    spec: ModelSpec, design: Design, means: Mapping[str, Array], basis: Array, codes: Codes, counts: Mask
) -> _Rows:
    assert design.y is not None, "training rows have a response"
    aux = {name: np.full(int(counts.sum()), means[name]) for name in spec.plain_auxiliaries}
    for parameter in design.predictors:
        if parameter != MEAN:
            eta = _rest(spec, design, means, None, parameter)
            aux[parameter] = np.asarray(spec.parameter_link(parameter).mean(eta))[counts]
    weights = np.ones(len(codes)) if design.weights is None else design.weights[counts]
    trials = None if design.trials is None else design.trials[counts]
    return _Rows(spec, design.y[counts], trials, weights, aux, basis, codes)


def _orthonormal(z: Array, codes: Codes, levels: int) -> tuple[Array, Array, Mask]:
    """QR within each level: basis (n, q) and root (G, q, q), z = basis · root; who has full rank (G,).

    By modified Gram-Schmidt, so that a predictor like `year` beside an intercept costs no digits.
    """
    q = z.shape[1]
    basis, root = np.zeros_like(z), np.zeros((levels, q, q))
    full = np.ones(levels, dtype=bool)
    for j in range(q):
        column = z[:, j].copy()
        length = np.sqrt(_sums(column**2, codes, levels))
        for i in range(j):
            along = _sums(basis[:, i] * column, codes, levels)
            root[:, i, j] = along
            column -= along[codes] * basis[:, i]
        rest = np.sqrt(_sums(column**2, codes, levels))
        full &= rest > DEPENDENT * length
        root[:, j, j] = np.where(full, rest, 1.0)
        basis[:, j] = column / root[codes, j, j]
    return basis, root, full


def _sums(values: Array, codes: Codes, levels: int) -> Array:
    return np.bincount(codes, weights=values, minlength=levels)


# -- climbing -----------------------------------------------------------------------------------------------


def _climb(rows: _Rows, eta: Array, full: Mask) -> tuple[Array, Mask]:
    """Maximise each level's log likelihood from `eta`: the way gone in its basis (G, q), who arrived (G,)."""
    levels, q = len(full), rows.basis.shape[1]
    shift, size = np.zeros((levels, q)), np.full(levels, np.inf)
    active, eta = full.copy(), eta.copy()
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            if not active.any():
                break
            part = active[rows.codes]
            own, here = rows.rows(part), eta[part]
            step, scale, able = _newton_step(own, here, active)
            size[active] = 0.0
            np.maximum.at(size, own.codes, np.abs(_along(own, step)) / scale)
            size[active & ~able] = np.inf
            taken = step * _fractions(own, here, step, levels)[:, None]
            shift += taken
            eta[part] = here + _along(own, taken)
            active &= able & (size > SETTLED)
    return shift, full & (size < NEARLY)


def _newton_step(rows: _Rows, eta: Array, active: Mask) -> tuple[Array, Array, Mask]:
    """A step for each active level (G, q), the rows' scales (n,), and which levels can take one (G,).

    Derivatives in the linear predictor are central differences of the family's own log density, so they hold
    for every family. Observed information converges fastest; Fisher's stands in where that is not positive.
    """
    levels = len(active)
    information = rows.information(eta)
    scale = rows.scale(information)
    h = DIFFERENCE * scale
    below, middle, above = rows.log_density(eta - h), rows.log_density(eta), rows.log_density(eta + h)
    gradient = _level_sums(rows, (above - below) / (2 * h), levels)
    expected = _level_products(rows, rows.weights * information, levels)
    observed = _level_products(rows, -((above - middle) - (middle - below)) / h**2, levels)
    able = active & np.isfinite(gradient).all(axis=1) & np.isfinite(expected).all(axis=(1, 2))
    least = _least_eigenvalues(expected, able)
    able &= least > (FLAT if rows.relative else 0.0)
    curved = able & np.isfinite(observed).all(axis=(1, 2))
    curved &= _least_eigenvalues(observed, curved) > 1e-3 * least
    matrix = np.where(curved[:, None, None], observed, expected)
    step = np.zeros(gradient.shape)
    step[able] = np.linalg.solve(matrix[able], gradient[able][..., None])[..., 0]
    return step, scale, able


def _fractions(rows: _Rows, eta: Array, step: Array, levels: int) -> Array:
    """How much of each level's step to take (G,): halved until its log likelihood does not fall."""
    start = rows.log_density(eta)
    floor = _sums(start, rows.codes, levels) - 1e-12 * _sums(np.abs(start), rows.codes, levels)
    fractions = np.ones(levels)
    falling = np.zeros(levels, dtype=bool)
    falling[rows.codes] = True
    for _ in range(HALVINGS):
        part = falling[rows.codes]
        own = rows.rows(part)
        there = eta[part] + _along(own, step * fractions[:, None])
        reached = _sums(own.log_density(there), own.codes, levels)
        falling &= ~(reached >= floor)  # also where it is not a number
        if not falling.any():
            return fractions
        fractions[falling] /= 2
    fractions[falling] = 0.0
    return fractions


def _along(rows: _Rows, step: Array) -> Array:
    """What a step in each level's basis changes in the linear predictor: (n,)."""
    change: Array = (rows.basis * step[rows.codes]).sum(axis=1)
    return change


def _level_sums(rows: _Rows, values: Array, levels: int) -> Array:
    """Σ basis · value within levels: (G, q)."""
    return np.stack([_sums(column * values, rows.codes, levels) for column in rows.basis.T], axis=1)


def _level_products(rows: _Rows, values: Array, levels: int) -> Array:
    """Σ basis basisᵀ · value within levels: (G, q, q)."""
    q = rows.basis.shape[1]
    products = np.empty((levels, q, q))
    for i in range(q):
        for j in range(i + 1):
            sums = _sums(rows.basis[:, i] * rows.basis[:, j] * values, rows.codes, levels)
            products[:, i, j] = products[:, j, i] = sums
    return products


def _least_eigenvalues(matrices: Array, where: Mask) -> Array:
    """The least eigenvalue of each matrix that `where` names, minus infinity for the others: (G,)."""
    least = np.full(len(matrices), -np.inf)
    least[where] = np.linalg.eigvalsh(matrices[where])[:, 0]
    return least
