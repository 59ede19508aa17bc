"""The log prior of every draw, and what it decides: sensitivity of the posterior to the prior by power-scaling.

Power-scaling raises the prior, or the likelihood, to a power near 1 by reweighting the draws and looks at how far
each quantity's posterior moves (Kallioinen, Paananen, Bürkner & Vehtari 2024, Statistics and Computing 34). The
prior is that of coefficients, standard deviations, correlations and the family's own parameters. The distribution of
group effects given their standard deviations goes with the likelihood, p(y | r, θ) p(r | θ): given the effects the
rows alone say next to nothing of a coefficient that varies by level, and every prior would look strong.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws, flatten
from hierbayes.answers.latents import need_known_predictors
from hierbayes.answers.series import EARLIER
from hierbayes.answers.summary import summary_draws
from hierbayes.criticism.findings import Finding
from hierbayes.criticism.likelihood import likelihood_chunks
from hierbayes.data.design import Design, prefix_of
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.priors import Prior
from hierbayes.schema import CHAIN_DIMS
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
THRESHOLD = 0.05  # Kallioinen et al., section 4.2
AT_ZERO = 0.12  # of 5% quantile to median; 0.09 for a half-normal distribution, 0.25 for one that is 0 at 0
AT_ONE = 0.95
ENOUGH = 100  # draws, for a 5% quantile


def log_prior(spec: ModelSpec, draws: Draws) -> dict[str, Array]:
    """Log prior density of each draw, by class of parameter: b, sd, cor, sds, and the family's own; each (S,).

    The densities are of what the priors are about: the intercept at the predictors' means, and so on. A fixed value
    has none.
    """
    found: dict[str, Array] = {}

    def add(
        kind: str, prior: Prior, values: Array, density_of: Callable[[Array], Array] | None = None
    ) -> None:
        density = np.zeros(len(draws)) if prior.fixed is not None else (density_of or prior.logpdf)(values)
        found[kind] = found.get(kind, np.zeros(len(draws))) + density

    for parameter, layout in spec.layout.predictors.items():
        shrunk = spec.shrunk(parameter)
        if layout.coefficients:
            b = layout.map.to_inner(draws.values[spec.coefficient_variable(parameter).name])
            for place, prior in enumerate(spec.coefficient_priors(parameter)):
                if place not in shrunk.places:
                    add("b", prior, b[:, place])
        for variable, prior in zip(shrunk.variables, shrunk.priors, strict=True):
            if not variable.dims:
                add(variable.kind, prior, draws.values[variable.name])
        for factor in layout.factors:
            sd, cor = inner_covariance(spec, draws, parameter, factor)
            for (_, places), prior in zip(factor.scales, spec.sd_priors(parameter, factor), strict=True):
                if not prior.joint:
                    add("sd", prior, sd[:, places[0]])
            for block in factor.structures:
                if block.matrix:
                    prior = spec.cor_prior(parameter, factor, block)
                    own = cor[:, block.effects][:, :, block.effects]
                    add("cor", prior, own, partial(block.matrix.log_density, prior))
            shapes = zip(
                spec.shape_variables(parameter, factor), spec.shape_priors(parameter, factor), strict=True
            )
            for variable, prior in shapes:
                add(variable.kind, prior, variable.of(draws.values))
        for curve in layout.curves:
            for variable, prior in spec.curve_priors(parameter, curve):
                if not prior.joint:
                    add(variable.kind, prior, draws.values[variable.name])
        for simplex in layout.simplexes:
            variable = spec.simplex_variable(parameter, simplex.label)
            add(variable.kind, spec.simplex_prior(parameter, simplex.label), draws.values[variable.name])
    about_means = spec.about_means(draws.values)
    for name in spec.plain_parameters:
        prior, values = spec.prior(name, parameter=name), about_means[name]
        auxiliary = spec.family.parameter(name)
        if auxiliary.size:
            for joint in (values,) if spec.sets_of(auxiliary) is None else np.moveaxis(values, 1, 0):
                add(name, prior, auxiliary.kind.joint(joint))
            continue
        for element in values.reshape(len(draws), -1).T:
            add(name, prior, element)
    return found


def inner_covariance(spec: ModelSpec, draws: Draws, parameter: str, factor: Factor) -> tuple[Array, Array]:
    """Standard deviations and correlations of the effects that the priors are about: (S, q), (S, q, q)."""
    variables = spec.factor_variables(parameter, factor)
    sd, q = draws.values[variables["sd"].name], len(factor.effects)
    if not factor.correlated:
        return sd, np.broadcast_to(np.eye(q), (len(sd), q, q))
    return factor.map.to_inner_covariance(sd, spec.correlations(parameter, factor, draws.values))


def log_effects(spec: ModelSpec, draws: Draws) -> Array:
    """Log density of all group effects given their standard deviations and correlations, in each draw: (S,).

    The penalised coefficients of smooths are among them, and the coefficients of a joint prior with their own scales.
    """
    total = np.zeros(len(draws))
    for parameter, layout in spec.layout.predictors.items():
        shrunk = spec.shrunk(parameter)
        if shrunk.places.size:
            b = layout.map.to_inner(draws.values[spec.coefficient_variable(parameter).name])[:, shrunk.places]
            total += _log_normal(b, shrunk.sds(np, draws.values)[..., : b.shape[1]])
        for _, variable, prior in shrunk.parts:
            if variable.dims:
                total += prior.logpdf(draws.values[variable.name]).reshape(len(draws), -1).sum(axis=1)
        for factor in layout.factors:
            # effects that others decide have no density of their own
            variables, own = spec.factor_variables(parameter, factor), factor.deciding
            sd, r = draws.values[variables["sd"].name][:, own], draws.values[variables["r"].name][..., own]
            q = len(own)
            shapes = spec.shape_values(parameter, factor, draws.values)
            z, log_root = factor.unrelated(r, shapes)
            scaled = z / np.maximum(sd, np.finfo(float).tiny)[:, None, :]
            size = q * np.log(2 * np.pi) + 2 * np.log(np.maximum(sd, np.finfo(float).tiny)).sum(axis=1)
            total -= q * log_root
            if factor.correlated:
                # eigenvalues kept above 0: a correlation that rounds to 1 is a density as large as rounding allows
                cor = spec.correlations(parameter, factor, draws.values)[:, own][:, :, own]
                values, vectors = np.linalg.eigh(cor)
                values = np.maximum(values, 1e-14)
                scaled = (scaled @ vectors) / np.sqrt(values)[:, None, :]
                size = size + np.log(values).sum(axis=1)
            squares = np.square(scaled).sum(axis=2)
            law = [value[:, None] for value in factor.law_values(shapes)]
            total += (factor.law.log_ratio(squares, q, *law) - 0.5 * squares).sum(axis=1)
            total -= 0.5 * scaled.shape[1] * size
        for curve in layout.curves:
            s = draws.values[spec.curve_variables(parameter, curve)["s"].name]
            total += _log_normal(s, spec.curve_sds(parameter, curve, draws.values))
    return total


def _log_normal(values: Array, sds: Array) -> Array:
    """Log density of independent normal values (S, m) about 0: (S,)."""
    sds = np.maximum(sds, np.finfo(float).tiny)
    density: Array = -(0.5 * np.square(values / sds) + np.log(sds) + 0.5 * np.log(2 * np.pi)).sum(axis=1)
    return density


def prior_sensitivity(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, threshold: float = THRESHOLD
) -> pd.DataFrame:
    """How far each quantity moves when the prior, or the likelihood, is raised to a power near 1: ArviZ's psense.

    Returns
    -------
    pandas.DataFrame
        One row a quantity, as in the summary: prior, likelihood (sensitivities) and diagnosis: "" where all is well,
        "prior-data conflict" where both exceed the threshold, "strong prior or weak likelihood" where only the
        prior does.
    """
    need_known_predictors(spec, "prior_sensitivity()")
    from arviz_stats import psense

    if spec.ties:
        raise UnsupportedError(
            "prior_sensitivity() does not know effects that are correlated across formulas, as those of "
            f"(x |{spec.ties[0].identifier}| {spec.ties[0].group}); refit(priors=…) compares posteriors"
        )
    if any(factor.told_by_others for layout in spec.layout.predictors.values() for factor in layout.factors):
        raise UnsupportedError(
            "prior_sensitivity() does not know effects that are correlated across responses; compare with the fit of a "
            "model with other priors"
        )
    draws = flatten(spec, posterior)
    shape = (draws.chains, draws.draws)
    total = log_effects(spec, draws)
    for _, values in likelihood_chunks(spec, draws, design, others=EARLIER):
        total = total + values.sum(axis=1)
    prior = np.sum(list(log_prior(spec, draws).values()), axis=0)
    # what is fixed doesn't move, but by rounding on the way to the user's columns
    quantities = {
        name: values
        for name, values in summary_draws(spec, posterior).items()
        if np.ptp(values) > 1e-9 * np.abs(values).max()
    }
    tree = xr.DataTree.from_dict(
        {
            "posterior": _dataset(quantities),
            "log_prior": _dataset({"prior": prior.reshape(shape)}),
            "log_likelihood": _dataset({"likelihood": total.reshape(shape)}),
        }
    )
    table = pd.DataFrame(index=pd.Index(list(quantities), name="quantity"))
    for group in ("prior", "likelihood"):
        try:
            moved = psense(tree, group=group)
        except ValueError as error:  # tails of one value: chains that stood still
            raise DataError(
                f"the draws hardly move, and say nothing of other priors ({error}); fit.check() says what is wrong"
            ) from error
        table[group] = [float(moved[name]) for name in quantities]
    conflict = (table["prior"] >= threshold) & (table["likelihood"] >= threshold)
    strong = (table["prior"] >= threshold) & (table["likelihood"] < threshold)
    words = np.where(conflict, "prior-data conflict", np.where(strong, "strong prior or weak likelihood", ""))
    return table.assign(diagnosis=words)


def _dataset(arrays: dict[str, Array]) -> xr.Dataset:
    chains, draws = next(iter(arrays.values())).shape
    coords = {"chain": np.arange(chains), "draw": np.arange(draws)}
    return xr.Dataset({name: (CHAIN_DIMS, values) for name, values in arrays.items()}, coords=coords)


def sensitivity_findings(table: pd.DataFrame) -> Iterator[Finding]:
    """Findings of a table of `prior_sensitivity`."""
    conflict = list(table.index[table["diagnosis"] == "prior-data conflict"])
    if conflict:
        yield Finding(
            "prior-conflict",
            f"prior and data pull apart for {', '.join(conflict[:4])}{', …' if len(conflict) > 4 else ''}",
            "Look at whether that prior says what was meant (model.priors), and compare with a wider one",
        )
    strong = list(table.index[table["diagnosis"] == "strong prior or weak likelihood"])
    if strong:
        yield Finding(
            "strong-prior",
            f"the prior rather than the data decides {', '.join(strong[:4])}{', …' if len(strong) > 4 else ''}",
            "Say so where the numbers are reported, or learn it from more data",
        )


def check_boundary(spec: ModelSpec, posterior: xr.Dataset) -> Iterator[Finding]:
    """Standard deviations that may be 0 and correlations at ±1: a part of the model that the data may not ask for."""
    draws = flatten(spec, posterior)
    if len(draws) < ENOUGH:
        return
    for parameter, layout in spec.layout.predictors.items():
        prefix = prefix_of(parameter, ": ")
        for factor in layout.factors:
            sd, cor = inner_covariance(spec, draws, parameter, factor)
            low, middle = np.quantile(sd, [0.05, 0.5], axis=0)
            for effect, (place, *_) in factor.scales:
                if low[place] < AT_ZERO * middle[place]:
                    yield Finding(
                        "sd-at-zero",
                        f"{prefix}sd[{factor.name}, {effect}] is piled up at 0 (median {middle[place]:.3g}, "
                        f"5% below {low[place]:.2g})",
                        "The data agree with equal levels, and with levels that differ as much as its interval says; "
                        "the model is right to keep it",
                    )
            for i, j in factor.correlated_pairs:
                extreme = float(np.mean(np.abs(cor[:, i, j]) > AT_ONE))
                if extreme > 0.5:
                    yield Finding(
                        "cor-at-one",
                        f"{prefix}cor[{factor.name}, {factor.effects[i]}, {factor.effects[j]}] lies beyond ±{AT_ONE} "
                        f"in {extreme:.0%} of the draws",
                        "The two effects are all but one; look for a term that says the same thing twice, or "
                        "leave one of them out",
                    )
